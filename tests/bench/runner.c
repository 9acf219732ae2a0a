/* Measures what the tables in figures.c say, and prints it, one line each:
 *   metric NAME VALUE UNIT     a figure, or the ratio of two
 *   samples NAME VALUE ...     what it is the median of, round by round
 *   spread NAME PERCENT        the middle half of the samples spans so much of the median, which is over 15 %
 *   bounce GROUP US ...        round by round, what a cache line needed there and back between the first two processors
 *                              just before; near: less than 0.2 us, far: more. Machines change between the two
 *   near|far NAME VALUE ROUNDS a ratio from the rounds of one kind, where a group had both
 *   skip WHAT: REASON          a peer that is absent, a ratio that cannot be had
 *   failed NAME                what should have been measured; stderr says why, and the exit status is 1
 *
 *   bench [--quick] [--rounds N] [--only PREFIX] [GROUP ...]
 *   bench [--quick] --sweeps FOLDER
 *
 * --only, which may be given several times, measures those groups, figures and ratios only whose names begin so.
 *
 * A group's figures are measured in turn, every second round backwards, so that what drifts on the machine hits both
 * sides of a ratio alike. A figure is the median over the rounds; a ratio is the median of the rounds' own ratios, and
 * so not quite the ratio of the two medians. */
#include "runner.h"

#include <math.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>

enum { SECONDS_EACH = 60, MOST_ONLY = 16, SPREAD_SAID = 15 };
#define NEAR_US 0.2

typedef double samples[MOST_FIGURES][OUTPUTS][ROUNDS];

static bool good = true;
static const char *only[MOST_ONLY];
static int only_count, rounds_asked;

/* ---- measuring ---- */

bool is_absent(peer *p) {
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
  amount = f->amount;
  f->run(f->workers, out);
  _exit(0);
}

void measure_once(const figure *f, double *values) {
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

/* What is asked for with --only. */
static bool begins_as_asked(const char *name) {
  for (int i = 0; i < only_count; i++)
    if (strncmp(name, only[i], strlen(only[i])) == 0)
      return true;
  return only_count == 0;
}

/* Whether a list with blanks between has this name. */
static bool mentions(const char *list, const char *name) {
  const size_t length = strlen(name);
  for (const char *at = list; (at = strstr(at, name)) != NULL; at += length)
    if ((at == list || at[-1] == ' ') && (at[length] == ' ' || at[length] == 0))
      return true;
  return false;
}

static bool ratio_is_wanted(const group *g, const ratio *r) {
  return begins_as_asked(g->name) || begins_as_asked(r->name);
}

static bool figure_is_wanted(const group *g, const figure *f) {
  if (begins_as_asked(g->name))
    return true;
  for (int o = 0; o < OUTPUTS && f->outputs[o].name != NULL; o++) {
    const char *name = f->outputs[o].name;
    if (begins_as_asked(name))
      return true;
    for (const ratio *r = g->ratios; r < g->ratios + MOST_RATIOS && r->name != NULL; r++)
      if (begins_as_asked(r->name) && (mentions(r->over, name) || mentions(r->under, name)))
        return true;
  }
  return false;
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
    const figure *f = &g->figures[i];
    double values[OUTPUTS];
    for (int o = 0; o < OUTPUTS; o++)
      all[i][o][round] = (double)NAN;
    if (!figure_is_wanted(g, f) || is_absent(f->by) || (f->by->rounds > 0 && round >= f->by->rounds))
      continue;
    measure_once(f, values);
    for (int o = 0; o < OUTPUTS; o++)
      all[i][o][round] = values[o];
  }
}

static double bounce_now(void) {
  static const figure state = {&two, limit_state, 1, {{"bounce", "us"}}, 0};
  double values[OUTPUTS];
  if (is_absent(&two))
    return (double)NAN;
  measure_once(&state, values);
  return values[0];
}

/* ---- printing ---- */

/* Those that are numbers, to the front of good_ones. */
static size_t pick_numbers(const double *values, int count, double *good_ones) {
  size_t n = 0;
  for (int i = 0; i < count; i++)
    if (!isnan(values[i]))
      good_ones[n++] = values[i];
  return n;
}

double median_of(const double *values, int count) {
  double good_ones[ROUNDS];
  const size_t n = pick_numbers(values, count, good_ones);
  return n > 0 ? median(good_ones, n) : (double)NAN;
}

static void print_metric(const char *name, double value, const char *unit) {
  if (isnan(value))
    printf("failed %s\n", name);
  else
    printf("metric %s %.6g %s\n", name, value, unit);
}

static void print_spread(const char *name, const double *values, int count) {
  double good_ones[ROUNDS];
  const size_t n = pick_numbers(values, count, good_ones);
  if (n < 4)
    return;
  const double quarter = percentile(good_ones, n, 25), half = good_ones[n / 2];
  const double percent = 100 * (good_ones[n - 1 - n / 4] - quarter) / fabs(half);
  if (percent > SPREAD_SAID)
    printf("spread %s %.0f\n", name, percent);
}

/* What the median hides. */
static void print_samples(const char *name, const double *values, int count) {
  printf("samples %s", name);
  for (int i = 0; i < count; i++)
    if (!isnan(values[i]))
      printf(" %.4g", values[i]);
  printf("\n");
  print_spread(name, values, count);
}

static void print_figure(const figure *f, double values[OUTPUTS][ROUNDS], int rounds) {
  if (is_absent(f->by))
    return;
  for (int o = 0; o < OUTPUTS && f->outputs[o].name != NULL; o++)
    print_metric(f->outputs[o].name, median_of(values[o], rounds), f->outputs[o].unit);
  print_samples(f->outputs[0].name, values[0], rounds);
}

/* Round by round, the best of the outputs that are listed and there; null if none is there, and then *absent is a peer
 * that is missing. */
static const double *find(group *g, samples all, const char *list, double *best, peer **absent) {
  bool there = false, known = false;
  for (int i = 0; i < figures_of(g); i++)
    for (int o = 0; o < OUTPUTS && g->figures[i].outputs[o].name != NULL; o++) {
      const output *from = &g->figures[i].outputs[o];
      if (!mentions(list, from->name))
        continue;
      known = true;
      if (is_absent(g->figures[i].by)) {
        *absent = g->figures[i].by;
        continue;
      }
      for (int r = 0; r < g->rounds; r++) {
        const double value = all[i][o][r];
        if (!there || isnan(best[r]) || (strcmp(from->unit, "us") == 0 ? value < best[r] : value > best[r]))
          best[r] = value;
      }
      there = true;
    }
  if (!known) {
    fprintf(stderr, "bench: no figure is called %s\n", list);
    exit(2);
  }
  return there ? best : NULL;
}

/* Of the rounds in which the processors were near, and of those in which they were far, where there were both. */
static void print_by_state(const char *name, const double *each, const double *bounces, int rounds) {
  double parted[2][ROUNDS];
  int count[2] = {0, 0};
  for (int i = 0; i < rounds; i++)
    if (!isnan(each[i]) && !isnan(bounces[i])) {
      const int far = bounces[i] > NEAR_US;
      parted[far][count[far]++] = each[i];
    }
  for (int far = 0; far < 2 && count[0] > 0 && count[1] > 0; far++)
    printf("%s %s %.6g %d\n", far ? "far" : "near", name, median_of(parted[far], count[far]), count[far]);
}

static void print_ratio(group *g, samples all, const ratio *r, const double *bounces) {
  double best_over[ROUNDS], best_under[ROUNDS], each[ROUNDS];
  peer *absent = NULL;
  const double *over = find(g, all, r->over, best_over, &absent), *under = find(g, all, r->under, best_under, &absent);
  if (over == NULL || under == NULL) {
    printf("skip %s: %s: %s\n", r->name, absent->name, absent->reason);
    return;
  }
  for (int i = 0; i < g->rounds; i++)
    each[i] = over[i] / under[i];
  print_metric(r->name, median_of(each, g->rounds), "ratio");
  print_samples(r->name, each, g->rounds);
  print_by_state(r->name, each, bounces, g->rounds);
}

static void print_group(group *g, samples all, const double *bounces) {
  printf("bounce %s", g->name);
  for (int round = 0; round < g->rounds; round++)
    printf(" %.3g", bounces[round]);
  printf(" %s\n", median_of(bounces, g->rounds) > NEAR_US ? "far" : "near");
  for (int i = 0; i < figures_of(g); i++)
    if (figure_is_wanted(g, &g->figures[i]))
      print_figure(&g->figures[i], all[i], g->rounds);
  for (const ratio *r = g->ratios; r < g->ratios + MOST_RATIOS && r->name != NULL; r++)
    if (ratio_is_wanted(g, r))
      print_ratio(g, all, r, bounces);
}

static void run_group(group *g) {
  static samples all;
  double bounces[ROUNDS];
  const double start = now();
  const int most = quick ? 1 : rounds_asked > 0 ? rounds_asked : ROUNDS;
  g->rounds = g->rounds < most ? g->rounds : most;
  for (int round = 0; round < g->rounds; round++) {
    bounces[round] = bounce_now();
    measure_round(g, round, all);
  }
  print_group(g, all, bounces);
  fprintf(stderr, "bench: %s took %.1f s\n", g->name, now() - start);
}

/* ---- what is asked for ---- */

static bool is_wanted(const group *g, int argc, char **argv) {
  bool named = argc < 2, figures = false;
  for (int i = 1; i < argc; i++)
    named = named || strcmp(argv[i], g->name) == 0;
  for (int i = 0; i < figures_of(g); i++)
    figures = figures || figure_is_wanted(g, &g->figures[i]);
  return named && figures;
}

/* Takes one option with its value, if there is one; returns how many words. */
static int take_option(int argc, char **argv, const char **sweeps) {
  if (argc > 1 && strcmp(argv[1], "--quick") == 0) {
    quick = true;
    return 1;
  }
  if (argc > 2 && strcmp(argv[1], "--only") == 0 && only_count < MOST_ONLY)
    only[only_count++] = argv[2];
  else if (argc > 2 && strcmp(argv[1], "--rounds") == 0)
    rounds_asked = atoi(argv[2]);
  else if (argc > 2 && strcmp(argv[1], "--sweeps") == 0)
    *sweeps = argv[2];
  else
    return 0;
  return 2;
}

int main(int argc, char **argv) {
  const char *sweeps = NULL;
  int taken;
  pool_door();
  setvbuf(stdout, NULL, _IOLBF, 0);
  while ((taken = take_option(argc, argv, &sweeps)) > 0) {
    argv += taken;
    argc -= taken;
  }
  calibrate();
  if (sweeps != NULL)
    run_sweeps(sweeps);
  for (int i = 0; i < groups_count && sweeps == NULL; i++) {
    if (strcmp(groups[i].name, "oversubscribed") == 0)
      groups[i].figures[0].workers = 2 * processors();
    if (is_wanted(&groups[i], argc, argv))
      run_group(&groups[i]);
  }
  return good ? 0 : 1;
}
