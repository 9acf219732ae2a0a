/* Measures everything and prints it, one line each:
 *   metric NAME VALUE UNIT     a figure, or the ratio of two
 *   samples NAME VALUE ...     what it is the median of, round by round
 *   skip WHAT: REASON          a peer that is absent, a ratio that cannot be had
 *   failed NAME                what should have been measured; stderr says why, and the exit status is 1
 *
 *   bench [--quick] [GROUP ...]
 *
 * A group's figures are measured in turn, every second round backwards, so that what drifts on the machine hits both
 * sides of a ratio alike. A figure is the median over the rounds; a ratio is the median of the rounds' own ratios, and so
 * not quite the ratio of the two medians. */
#include "bench.h"

#include <math.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>

enum { ROUNDS = 5, MOST_FIGURES = 12, SECONDS_EACH = 60 };

/* ---- what is measured ---- */

typedef struct peer {
  const char *name;
  absence *absent; /* null: never */
  const char *reason;
  bool asked;
} peer;

typedef struct output {
  const char *name, *unit;
} output;

typedef struct figure {
  peer *by;
  measure *run;
  int workers;
  output outputs[OUTPUTS];
} figure;

typedef struct ratio {
  const char *name, *over, *under; /* names of outputs */
  const char *missing;             /* why it cannot be had yet; null if it can */
} ratio;

typedef struct group {
  const char *name;
  int rounds;
  figure figures[MOST_FIGURES];
  ratio ratios[8];
} group;

static peer limits = {"limits", NULL, NULL, false}, two = {"two_processors", two_processors_absent, NULL, false},
            pool = {"procpool", NULL, NULL, false}, pipes = {"pipes", NULL, NULL, false},
            threads = {"threads", NULL, NULL, false}, uv = {"uv", uv_absent, NULL, false},
            openmp = {"openmp", openmp_absent, NULL, false}, ppe = {"ppe", ppe_absent, NULL, false},
            mp = {"mp_pool", mp_absent, NULL, false}, mpi = {"mpi", mpi_absent, NULL, false};

#define TAILS(name)                                                                                                    \
  {                                                                                                                    \
    {name, "us"}, {name "_p50", "us"}, {name "_p99", "us"}, {                                                          \
      name "_p99.9", "us"                                                                                              \
    }                                                                                                                  \
  }
#define ONE(name, unit)                                                                                                \
  {                                                                                                                    \
    { name, unit }                                                                                                     \
  }

static group groups[] = {
    {"hot",
     ROUNDS,
     {{&two, limit_bounce, 1, TAILS("limit_hot_round_trip")}, {&two, pool_hot, 1, TAILS("procpool_hot_round_trip")}},
     {{"roundtrip_hot_vs_limit", "procpool_hot_round_trip", "limit_hot_round_trip", NULL}}},

    {"asleep",
     ROUNDS,
     {{&two, limit_futex, 1, TAILS("limit_asleep_round_trip")},
      {&two, pool_asleep, 1, TAILS("procpool_asleep_round_trip")}},
     {{"roundtrip_asleep_vs_limit", "procpool_asleep_round_trip", "limit_asleep_round_trip", NULL}}},

    {"round_trip",
     ROUNDS,
     {{&pool, pool_default, 1, TAILS("procpool_round_trip")},
      {&pool, pool_no_spin, 1, ONE("procpool_no_spin_round_trip", "us")},
      {&threads, threads_round_trip, 1, ONE("threads_round_trip", "us")},
      {&two, pool_no_spin_pinned, 1, ONE("procpool_no_spin_pinned_round_trip", "us")},
      {&two, threads_round_trip_pinned, 1, ONE("threads_pinned_round_trip", "us")},
      {&uv, uv_round_trip, 1, ONE("uv_round_trip", "us")},
      {&pipes, pipes_round_trip, 1, ONE("pipes_round_trip", "us")},
      {&ppe, ppe_round_trip, 1, ONE("ppe_round_trip", "us")},
      {&mp, mp_round_trip, 1, ONE("mp_pool_round_trip", "us")},
      {&mpi, mpi_round_trip, 1, ONE("mpi_round_trip", "us")}},
     {{"roundtrip_vs_threadpool", "threads_round_trip", "procpool_round_trip", NULL},
      {"roundtrip_asleep_vs_threadpool", "threads_round_trip", "procpool_no_spin_round_trip", NULL},
      {"roundtrip_asleep_pinned_vs_threadpool", "threads_pinned_round_trip", "procpool_no_spin_pinned_round_trip",
       NULL}}},

    /* the number of workers is set in main */
    {"oversubscribed",
     ROUNDS,
     {{&pool, pool_default, 0, TAILS("procpool_oversubscribed_round_trip")}},
     {{NULL, NULL, NULL, NULL}}},

    {"throughput_1",
     ROUNDS,
     {{&pool, pool_throughput, 1, ONE("procpool_throughput", "tasks/s")},
      {&pool, pool_throughput_many, 1, ONE("procpool_throughput_many", "tasks/s")},
      {&threads, threads_throughput, 1, ONE("threads_throughput", "tasks/s")},
      {&pipes, pipes_throughput, 1, ONE("pipes_throughput", "tasks/s")},
      {&uv, uv_throughput, 1, ONE("uv_throughput", "tasks/s")},
      {&openmp, openmp_throughput, 1, ONE("openmp_throughput", "tasks/s")},
      {&ppe, ppe_throughput, 1, ONE("ppe_throughput", "tasks/s")},
      {&mp, mp_throughput, 1, ONE("mp_pool_throughput", "tasks/s")},
      {&mpi, mpi_throughput, 1, ONE("mpi_throughput", "tasks/s")}},
     {{"throughput_vs_pipes", "procpool_throughput", "pipes_throughput", NULL},
      {"throughput_vs_threadpool", "procpool_throughput", "threads_throughput", NULL},
      {"throughput_many_vs_threadpool", "procpool_throughput_many", "threads_throughput", NULL},
      {"throughput_vs_mp_pool", "procpool_throughput", "mp_pool_throughput", NULL}}},

    {"throughput_2",
     ROUNDS,
     {{&pool, pool_throughput, 2, ONE("procpool_throughput_2", "tasks/s")},
      {&pool, pool_throughput_many, 2, ONE("procpool_throughput_many_2", "tasks/s")},
      {&threads, threads_throughput, 2, ONE("threads_throughput_2", "tasks/s")},
      {&pipes, pipes_throughput, 2, ONE("pipes_throughput_2", "tasks/s")},
      {&uv, uv_throughput, 2, ONE("uv_throughput_2", "tasks/s")},
      {&openmp, openmp_throughput, 2, ONE("openmp_throughput_2", "tasks/s")},
      {&ppe, ppe_throughput, 2, ONE("ppe_throughput_2", "tasks/s")},
      {&mp, mp_throughput, 2, ONE("mp_pool_throughput_2", "tasks/s")},
      {&mpi, mpi_throughput, 2, ONE("mpi_throughput_2", "tasks/s")}},
     {{"throughput_vs_pipes_2", "procpool_throughput_2", "pipes_throughput_2", NULL},
      {"throughput_vs_threadpool_2", "procpool_throughput_2", "threads_throughput_2", NULL},
      {"throughput_many_vs_threadpool_2", "procpool_throughput_many_2", "threads_throughput_2", NULL},
      {"throughput_vs_mp_pool_2", "procpool_throughput_2", "mp_pool_throughput_2", NULL}}},

    {"map_compute",
     ROUNDS,
     {{&pool, pool_map_compute, 2, ONE("procpool_map_compute", "items/s")},
      {&openmp, openmp_map_compute, 2, ONE("openmp_map_compute", "items/s")},
      {&pool, pool_map_compute, 1, ONE("procpool_map_compute_1", "items/s")},
      {&openmp, openmp_map_compute, 1, ONE("openmp_map_compute_1", "items/s")}},
     {{"map_vs_openmp_compute", "procpool_map_compute", "openmp_map_compute", NULL},
      {"map_vs_openmp_compute_1", "procpool_map_compute_1", "openmp_map_compute_1", NULL}}},

    {"map_small",
     ROUNDS,
     {{&pool, pool_map_small, 2, ONE("procpool_map_small", "items/s")},
      {&openmp, openmp_map_small, 2, ONE("openmp_map_small", "items/s")},
      {&ppe, ppe_map, 2, ONE("ppe_map_small", "items/s")},
      {&mp, mp_map, 2, ONE("mp_pool_map_small", "items/s")},
      {&mpi, mpi_map, 2, ONE("mpi_map_small", "items/s")}},
     {{NULL, NULL, NULL, NULL}}},

    {"map_memory",
     ROUNDS,
     {{&pool, pool_map_memory, 2, ONE("procpool_map_memory", "GB/s")},
      {&openmp, openmp_map_memory, 2, ONE("openmp_map_memory", "GB/s")},
      {&pool, pool_map_memory, 1, ONE("procpool_map_memory_1", "GB/s")},
      {&openmp, openmp_map_memory, 1, ONE("openmp_map_memory_1", "GB/s")},
      {&pool, pool_map_memory_by_doubles, 2, ONE("procpool_map_memory_by_doubles", "GB/s")}},
     {{"map_vs_openmp_memory", "procpool_map_memory", "openmp_map_memory", NULL},
      {"map_vs_openmp_memory_by_doubles", "procpool_map_memory_by_doubles", "openmp_map_memory", NULL},
      {"map_vs_openmp_memory_1", "procpool_map_memory_1", "openmp_map_memory_1", NULL}}},

    {"echo",
     ROUNDS,
     {{&two, limit_echo, 1, ONE("limit_echo_1mib", "GB/s")},
      {&two, pool_echo_pinned, 1, ONE("procpool_echo_1mib_pinned", "GB/s")},
      {&pool, pool_echo, 1, ONE("procpool_echo_1mib", "GB/s")},
      {&pipes, pipes_echo, 1, ONE("pipes_echo_1mib", "GB/s")},
      {&ppe, ppe_echo, 1, ONE("ppe_echo_1mib", "GB/s")},
      {&mp, mp_echo, 1, ONE("mp_pool_echo_1mib", "GB/s")},
      {&mpi, mpi_echo, 1, ONE("mpi_echo_1mib", "GB/s")}},
     {{"echo_1mib_vs_limit", "procpool_echo_1mib_pinned", "limit_echo_1mib", NULL},
      {"echo_1mib_vs_ppe", "procpool_echo_1mib", "ppe_echo_1mib", NULL}}},

    {"open",
     ROUNDS,
     {{&limits, limit_fork_3, 1, ONE("limit_three_forks", "us")},
      {&pool, pool_open, 1, ONE("procpool_open", "us")},
      {&pool, pool_open_spawn, 1, ONE("procpool_open_spawn", "us")},
      {&ppe, ppe_open, 1, ONE("ppe_open", "us")},
      {&mp, mp_open, 1, ONE("mp_pool_open", "us")}},
     {{"open_to_first_result_vs_fork", "procpool_open", "limit_three_forks", NULL}}},

    {"recovery",
     ROUNDS,
     {{&limits, limit_fork_1, 1, ONE("limit_fork", "us")}, {&pool, pool_recovery, 1, ONE("procpool_recovery", "us")}},
     {{"recovery_vs_fork", "procpool_recovery", "limit_fork", NULL}}},

    {"idle",
     1,
     {{&pool, pool_idle, 2, {{"idle_cpu_ms", "ms"}, {"idle_wakeups", "wakeups"}}}},
     {{NULL, NULL, NULL, NULL}}},

    {"queued_memory",
     ROUNDS,
     {{&pool, pool_bytes_per_queued, 1, ONE("bytes_per_queued_task", "bytes")}},
     {{NULL, NULL, NULL, NULL}}},

    {"efficiency",
     ROUNDS,
     {{&two, limit_two_processes, 2, ONE("limit_two_processes_1ms", "tasks/s")},
      {&two, pool_two_workers, 2, ONE("procpool_two_workers_1ms", "tasks/s")}},
     {{"efficiency_2", "procpool_two_workers_1ms", "limit_two_processes_1ms", NULL}}},

    {"cost",
     ROUNDS,
     {{&pool, pool_cost_1e3, 1, {{"procpool_cost_1e3", "us"}, {"procpool_cost_1e3_first", "us"}}},
      {&pool, pool_cost_1e6, 1, {{"procpool_cost_1e6", "us"}, {"procpool_cost_1e6_first", "us"}}}},
     {{"cost_per_task_1e6_vs_1e3", "procpool_cost_1e6", "procpool_cost_1e3", NULL},
      {"cost_per_task_1e6_vs_1e3_first", "procpool_cost_1e6_first", "procpool_cost_1e3_first", NULL}}},
};

enum { GROUPS = sizeof(groups) / sizeof(groups[0]) };

/* ---- measuring ---- */

typedef double samples[MOST_FIGURES][OUTPUTS][ROUNDS];

static bool good = true;

/* Asks once, and says once what is not there. */
static bool is_absent(peer *p) {
  if (!p->asked && p->absent != NULL) {
    p->reason = p->absent();
    if (p->reason != NULL)
      printf("skip %s: %s\n", p->name, p->reason);
  }
  p->asked = true;
  return p->reason != NULL;
}

static void run_in_child(const figure *f, double *out, pid_t parent) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (getppid() != parent)
    _exit(1);
  alarm(SECONDS_EACH);
  f->run(f->workers, out);
  _exit(0);
}

/* One sample of each output; NAN where it failed. */
static void measure_once(const figure *f, double *values) {
  static double *out;
  int status = -1;
  const pid_t parent = getpid();
  if (out == NULL)
    out = shared_pages(OUTPUTS * sizeof(*out));
  fflush(NULL);
  const pid_t pid = fork();
  if (pid == 0)
    run_in_child(f, out, parent);
  if (pid > 0)
    waitpid(pid, &status, 0);
  if (status != 0) {
    fprintf(stderr, "bench: %s failed (wait status %d)\n", f->outputs[0].name, status);
    good = false;
  }
  for (int i = 0; i < OUTPUTS; i++)
    values[i] = status == 0 ? out[i] : (double)NAN;
}

static int figures_of(const group *g) {
  int count = 0;
  while (count < MOST_FIGURES && g->figures[count].run != NULL)
    count++;
  return count;
}

static void measure_round(group *g, int round, samples all) {
  const int count = figures_of(g);
  for (int k = 0; k < count; k++) {
    const int i = round % 2 == 0 ? k : count - 1 - k;
    double values[OUTPUTS];
    if (is_absent(g->figures[i].by))
      continue;
    measure_once(&g->figures[i], values);
    for (int o = 0; o < OUTPUTS; o++)
      all[i][o][round] = values[o];
  }
}

/* ---- printing ---- */

/* Of what did not fail. */
static double median_of(const double *values, int count) {
  double good_ones[ROUNDS];
  size_t n = 0;
  for (int i = 0; i < count; i++)
    if (!isnan(values[i]))
      good_ones[n++] = values[i];
  return n > 0 ? median(good_ones, n) : (double)NAN;
}

static void print_metric(const char *name, double value, const char *unit) {
  if (isnan(value))
    printf("failed %s\n", name);
  else
    printf("metric %s %.6g %s\n", name, value, unit);
}

/* What the median hides. */
static void print_samples(const char *name, const double *values, int count) {
  printf("samples %s", name);
  for (int i = 0; i < count; i++)
    printf(" %.4g", values[i]);
  printf("\n");
}

static void print_figure(const figure *f, double values[OUTPUTS][ROUNDS], int rounds) {
  if (is_absent(f->by))
    return;
  for (int o = 0; o < OUTPUTS && f->outputs[o].name != NULL; o++)
    print_metric(f->outputs[o].name, median_of(values[o], rounds), f->outputs[o].unit);
  print_samples(f->outputs[0].name, values[0], rounds);
}

/* The samples of an output; *absent is set where its peer is. */
static const double *find(group *g, samples all, const char *name, peer **absent) {
  for (int i = 0; i < figures_of(g); i++)
    for (int o = 0; o < OUTPUTS && g->figures[i].outputs[o].name != NULL; o++)
      if (strcmp(g->figures[i].outputs[o].name, name) == 0) {
        if (is_absent(g->figures[i].by))
          *absent = g->figures[i].by;
        return all[i][o];
      }
  fprintf(stderr, "bench: no figure is called %s\n", name);
  exit(2);
}

static void print_ratio(group *g, samples all, const ratio *r) {
  double each[ROUNDS];
  peer *absent = NULL;
  if (r->missing != NULL) {
    printf("skip %s: %s\n", r->name, r->missing);
    return;
  }
  const double *over = find(g, all, r->over, &absent), *under = find(g, all, r->under, &absent);
  if (absent != NULL) {
    printf("skip %s: %s: %s\n", r->name, absent->name, absent->reason);
    return;
  }
  for (int i = 0; i < g->rounds; i++)
    each[i] = over[i] / under[i];
  print_metric(r->name, median_of(each, g->rounds), "ratio");
  print_samples(r->name, each, g->rounds);
}

static void run_group(group *g) {
  static samples all;
  const double start = now();
  if (quick && g->rounds > 2)
    g->rounds = 2;
  for (int round = 0; round < g->rounds; round++)
    measure_round(g, round, all);
  for (int i = 0; i < figures_of(g); i++)
    print_figure(&g->figures[i], all[i], g->rounds);
  for (const ratio *r = g->ratios; r->name != NULL; r++)
    print_ratio(g, all, r);
  fprintf(stderr, "bench: %s took %.1f s\n", g->name, now() - start);
}

static bool is_wanted(const char *name, int argc, char **argv) {
  for (int i = 1; i < argc; i++)
    if (strcmp(argv[i], name) == 0)
      return true;
  return argc < 2;
}

int main(int argc, char **argv) {
  pool_door();
  setvbuf(stdout, NULL, _IOLBF, 0);
  if (argc > 1 && strcmp(argv[1], "--quick") == 0) {
    quick = true;
    argv++;
    argc--;
  }
  calibrate();
  for (int i = 0; i < GROUPS; i++) {
    if (strcmp(groups[i].name, "oversubscribed") == 0)
      groups[i].figures[0].workers = 2 * processors();
    if (is_wanted(groups[i].name, argc, argv))
      run_group(&groups[i]);
  }
  return good ? 0 : 1;
}
