/* The benchmark of procpool.h. Prints one line per figure: metric NAME VALUE UNIT.
 *
 *   make -C tests bench      or      tests/build/bench/bench [GROUP]
 *
 * Each group of figures is one function, run in a process of its own with a fresh heap and one pool at a time; the
 * table of them stands at the end. A figure is the median of at least five runs, except the idle ones, which are totals
 * over five seconds. */
#define PROCPOOL_IMPLEMENTATION
#include "../../procpool.h"

#include <dirent.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum {
  RUNS = 5,
  ROUND_TRIPS = 20000,
  WINDOW = 4096, /* futures held at once while tasks stream through */
  STREAMED = 500000,
  QUEUED = 1000000,
  MAP_ITEMS = 10000000,
  MIB = 1024 * 1024,
  GROUP_SECONDS = 90 /* a group that takes longer is ended */
};

/* ---- tools ---- */

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static void pause_us(long us) {
  const struct timespec t = {us / 1000000, us % 1000000 * 1000};
  nanosleep(&t, NULL);
}

static void metric(const char *name, double value, const char *unit) {
  printf("metric %s %.6g %s\n", name, value, unit);
}

static void fail(const char *what, const char *why) {
  fprintf(stderr, "bench: %s: %s\n", what, why);
  exit(1);
}

static void check(procpool_status status, const char *what) {
  if (status != PROCPOOL_OK)
    fail(what, procpool_strerror(status));
}

static int by_value(const void *a, const void *b) {
  const double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

/* Sorts the values. */
static double percentile(double *values, size_t count, double percent) {
  qsort(values, count, sizeof(*values), by_value);
  const size_t rank = (size_t)((double)count * percent / 100);
  return values[rank < count ? rank : count - 1];
}

static double median(double *values, size_t count) {
  return percentile(values, count, 50);
}

static procpool *open_pool(procpool_options options) {
  procpool_error error = {0};
  options.error = &error;
  procpool *pool = procpool_open(&options);
  if (pool == NULL)
    fail("open", error.message[0] ? error.message : procpool_strerror(error.status));
  return pool;
}

static void close_pool(procpool *pool) {
  check(procpool_shutdown(pool, PROCPOOL_DRAIN), "shutdown");
  check(procpool_free(pool), "free");
}

static procpool_options workers(int count) {
  procpool_options options = {0};
  options.max_workers = count;
  return options;
}

static procpool_future *submit(procpool *pool, procpool_function function, const void *argument, size_t size) {
  procpool_future *future = NULL;
  check(procpool_submit(pool, function, argument, size, &future), "submit");
  return future;
}

/* Waits for the result, which has exactly size bytes, and gives the future back. */
static void collect(procpool_future *future, void *result, size_t size) {
  size_t got = 0;
  check(procpool_future_result(future, PROCPOOL_FOREVER, result, size, &got), "result");
  if (got != size)
    fail("result", "wrong size");
  check(procpool_future_release(future), "release");
}

/* ---- what runs in the workers ---- */

static void empty(procpool_task *task) {
  (void)task;
}

static void echo(procpool_task *task) {
  size_t size;
  const void *argument = procpool_task_argument(task, &size);
  procpool_task_return(task, argument, size);
}

static void parent(procpool_task *task) {
  const long pid = (long)getppid();
  procpool_task_return(task, &pid, sizeof(pid));
}

static void die(procpool_task *task) {
  (void)task;
  raise(SIGKILL);
}

/* Blocks until a byte can be read from the descriptor in its argument. */
static void wait_at_gate(procpool_task *task) {
  const int *gate = (const int *)procpool_task_argument(task, NULL);
  char byte;
  if (read(*gate, &byte, 1) != 1)
    procpool_task_fail(task, 1, "the gate is closed");
}

PROCPOOL_FUNCTION(double, square_plus_one, double, x) {
  return x * x + 1.0;
}

/* ---- /proc ---- */

/* The number after "KEY:" in /proc/PID/FILE; -1 if it is not there. */
static long proc_number(long pid, const char *file, const char *key) {
  char path[64], line[512];
  long value = -1;
  const size_t length = strlen(key);
  snprintf(path, sizeof(path), "/proc/%ld/%s", pid, file);
  FILE *in = fopen(path, "r");
  while (in != NULL && value < 0 && fgets(line, sizeof(line), in) != NULL)
    if (strncmp(line, key, length) == 0 && line[length] == ':')
      value = strtol(line + length + 1, NULL, 10);
  if (in != NULL)
    fclose(in);
  return value;
}

/* Time on a processor in ns: the first number of /proc/PID/schedstat. */
static long proc_ns(long pid) {
  char path[64];
  long ns = 0;
  snprintf(path, sizeof(path), "/proc/%ld/schedstat", pid);
  FILE *in = fopen(path, "r");
  if (in == NULL || fscanf(in, "%ld", &ns) != 1)
    fail(path, "cannot be read");
  fclose(in);
  return ns;
}

/* The supervisor, which is the parent of whoever runs a task, and all its children. Returns how many. */
static size_t pool_processes(procpool *pool, long *pids, size_t capacity) {
  size_t count = 0;
  collect(submit(pool, parent, NULL, 0), &pids[count++], sizeof(pids[0]));
  DIR *proc = opendir("/proc");
  struct dirent *entry;
  while (proc != NULL && count < capacity && (entry = readdir(proc)) != NULL) {
    const long pid = strtol(entry->d_name, NULL, 10);
    if (pid > 0 && proc_number(pid, "status", "PPid") == pids[0])
      pids[count++] = pid;
  }
  if (proc != NULL)
    closedir(proc);
  return count;
}

/* ---- round trip ---- */

/* Submit to result of an empty task, in us; the pause before each is not counted. */
static void round_trips(procpool *pool, double *us, size_t count, long pause) {
  for (size_t i = 0; i < count; i++) {
    if (pause > 0)
      pause_us(pause);
    const double start = now();
    collect(submit(pool, empty, NULL, 0), NULL, 0);
    us[i] = (now() - start) * 1e6;
  }
}

static void measure_round_trip(const char *name, procpool_options options, size_t count, long pause) {
  static double us[ROUND_TRIPS];
  static const double percents[] = {50, 99, 99.9};
  static const char *const suffixes[] = {"p50", "p99", "p99.9"};
  double figures[3][RUNS];
  char full[64];
  procpool *pool = open_pool(options);
  round_trips(pool, us, count, pause); /* warm up */
  for (int run = 0; run < RUNS; run++) {
    round_trips(pool, us, count, pause);
    for (int i = 0; i < 3; i++)
      figures[i][run] = percentile(us, count, percents[i]);
  }
  close_pool(pool);
  for (int i = 0; i < 3; i++) {
    snprintf(full, sizeof(full), "%s_%s", name, suffixes[i]);
    metric(full, median(figures[i], RUNS), "us");
  }
}

static void round_trip_hot(void) {
  measure_round_trip("round_trip_hot", workers(1), ROUND_TRIPS, 0);
}

static void round_trip_default_pool(void) {
  measure_round_trip("round_trip_default_pool", workers(0), ROUND_TRIPS, 0);
}

/* No spinning on either side, and the worker is given the time to fall asleep. */
static void round_trip_asleep(void) {
  procpool_options options = workers(1);
  options.spin_us = -1;
  measure_round_trip("round_trip_asleep", options, 2000, 200);
}

/* ---- tasks per second, each with its own future and its own result ---- */

static double stream(procpool *pool, procpool_function function, size_t size) {
  static procpool_future *futures[WINDOW];
  const double start = now();
  for (uint64_t i = 0; i < STREAMED + WINDOW; i++) {
    uint64_t result = 0;
    if (i >= WINDOW)
      collect(futures[i % WINDOW], &result, size);
    if (i >= WINDOW && size > 0 && result != i - WINDOW)
      fail("stream", "wrong result");
    if (i < STREAMED)
      futures[i % WINDOW] = submit(pool, function, &i, size);
  }
  return STREAMED / (now() - start);
}

static void measure_stream(const char *name, int worker_count, procpool_function function, size_t size) {
  double figures[RUNS];
  procpool *pool = open_pool(workers(worker_count));
  stream(pool, function, size);
  for (int run = 0; run < RUNS; run++)
    figures[run] = stream(pool, function, size);
  close_pool(pool);
  metric(name, median(figures, RUNS), "tasks/s");
}

static void tasks_per_second(void) {
  measure_stream("empty_tasks_1_worker", 1, empty, 0);
  measure_stream("empty_tasks_2_workers", 2, empty, 0);
  measure_stream("echo_8_bytes_1_worker", 1, echo, 8);
  measure_stream("echo_8_bytes_2_workers", 2, echo, 8);
}

/* ---- map ---- */

static double map_seconds(procpool *pool, const double *arguments, double *results) {
  memset(results, 0, MAP_ITEMS * sizeof(*results));
  const double start = now();
  check(square_plus_one_map(pool, arguments, results, MAP_ITEMS), "map");
  const double seconds = now() - start;
  for (size_t i = 0; i < MAP_ITEMS; i++)
    if (results[i] != (double)i * (double)i + 1.0)
      fail("map", "wrong value");
  return seconds;
}

static int default_workers(void) {
  procpool_stats stats;
  procpool *pool = open_pool(workers(0));
  check(procpool_get_stats(pool, &stats), "get_stats");
  close_pool(pool);
  return stats.workers;
}

/* The same by multiprocessing.Pool.map with as many workers; 0 if there is no Python here. */
static double python_map_seconds(int worker_count) {
  char command[4096];
  double seconds = 0;
  snprintf(command, sizeof(command), "command -v python3 >/dev/null || exit 0; exec python3 '%s' %d %d %d", PYTHON_MAP,
           worker_count, MAP_ITEMS, RUNS);
  FILE *python = popen(command, "r");
  if (python == NULL || (fscanf(python, "%lf", &seconds) != 1 && !feof(python)))
    fail("python_map.py", "cannot be run");
  pclose(python);
  return seconds;
}

/* The third call on a fresh pool. */
static double third_map_seconds(const double *arguments, double *results) {
  procpool *pool = open_pool(workers(0));
  map_seconds(pool, arguments, results);
  map_seconds(pool, arguments, results);
  const double seconds = map_seconds(pool, arguments, results);
  close_pool(pool);
  return seconds;
}

/* The same work without any pool, in the host: what a map of so small a function has to be compared with. */
static double loop_seconds(const double *arguments, double *results) {
  const double start = now();
  for (size_t i = 0; i < MAP_ITEMS; i++)
    results[i] = square_plus_one(arguments[i]);
  return now() - start;
}

static void map_10m_doubles(void) {
  double *arguments = (double *)malloc(MAP_ITEMS * sizeof(double));
  double *results = (double *)malloc(MAP_ITEMS * sizeof(double));
  double maps[RUNS], loops[RUNS];
  if (arguments == NULL || results == NULL)
    fail("map", "out of memory");
  for (size_t i = 0; i < MAP_ITEMS; i++)
    arguments[i] = (double)i;
  for (int run = 0; run < RUNS; run++) {
    maps[run] = third_map_seconds(arguments, results);
    loops[run] = loop_seconds(arguments, results);
  }
  free(arguments);
  free(results);
  const double seconds = median(maps, RUNS), python = python_map_seconds(default_workers());
  metric("map_10m_doubles", MAP_ITEMS / seconds, "items/s");
  metric("map_10m_doubles_loop_without_pool", MAP_ITEMS / median(loops, RUNS), "items/s");
  if (python > 0) {
    metric("map_10m_doubles_python_pool", MAP_ITEMS / python, "items/s");
    metric("map_10m_doubles_ratio_to_python_pool", python / seconds, "times");
  } else {
    printf("skipped map_10m_doubles_python_pool: no python3 here\n");
  }
}

/* ---- 1 MiB there and back: 2 MiB over the time from submit until the result is in the caller's buffer ---- */

static double echo_rate(procpool *pool, const char *argument, char *result) {
  enum { TRIPS = 200 };
  memset(result, 0, MIB);
  const double start = now();
  for (int i = 0; i < TRIPS; i++)
    collect(submit(pool, echo, argument, MIB), result, MIB);
  const double seconds = now() - start;
  if (memcmp(argument, result, MIB) != 0)
    fail("echo", "wrong bytes");
  return 2.0 * MIB * TRIPS / seconds * 1e-9;
}

static void measure_echo(const char *name, size_t ring_size) {
  static char argument[MIB], result[MIB];
  double figures[RUNS];
  procpool_options options = workers(1);
  options.ring_size = ring_size;
  procpool *pool = open_pool(options);
  for (size_t i = 0; i < MIB; i++)
    argument[i] = (char)(i * 31 + i / 251);
  echo_rate(pool, argument, result);
  for (int run = 0; run < RUNS; run++)
    figures[run] = echo_rate(pool, argument, result);
  close_pool(pool);
  metric(name, median(figures, RUNS), "GB/s");
}

static void echo_1_mib(void) {
  measure_echo("echo_1_mib", 0);
  measure_echo("echo_1_mib_ring_4_mib", 4 * MIB);
}

/* ---- idle: totals of supervisor and workers over 5 s, after everything has gone to sleep ---- */

static void idle(void) {
  long pids[64];
  long ns = 0, switches = 0;
  procpool *pool = open_pool(workers(0));
  const size_t count = pool_processes(pool, pids, 64);
  pause_us(500000);
  for (int sign = -1; sign <= 1; sign += 2) {
    for (size_t i = 0; i < count; i++) {
      ns += sign * proc_ns(pids[i]);
      switches += sign * (proc_number(pids[i], "status", "voluntary_ctxt_switches") +
                          proc_number(pids[i], "status", "nonvoluntary_ctxt_switches"));
    }
    if (sign < 0)
      pause_us(5000000);
  }
  close_pool(pool);
  metric("idle_processes", (double)count, "processes");
  metric("idle_processor_time_5s", (double)ns * 1e-3, "us");
  metric("idle_context_switches_5s", (double)switches, "switches");
}

/* ---- memory per queued empty task ---- */

/* Proportional set size of the host and the pool: shared pages count once in the sum over those who map them. */
static double pss_bytes(const long *pids, size_t count) {
  double kib = (double)proc_number((long)getpid(), "smaps_rollup", "Pss");
  for (size_t i = 0; i < count; i++)
    kib += (double)proc_number(pids[i], "smaps_rollup", "Pss");
  return kib * 1024;
}

static double bytes_per_queued_task(void) {
  static procpool_future *futures[QUEUED];
  long pids[64];
  int gate[2];
  procpool_options options = workers(1);
  options.max_queued = QUEUED + 16;
  if (pipe(gate) != 0)
    fail("pipe", "refused");
  procpool *pool = open_pool(options);
  const size_t count = pool_processes(pool, pids, 64);
  procpool_future *first = submit(pool, wait_at_gate, &gate[0], sizeof(gate[0]));
  while (!procpool_future_running(first))
    pause_us(1000);
  memset(futures, 1, sizeof(futures)); /* the caller's own array is not to be counted */
  const double before = pss_bytes(pids, count);
  for (size_t i = 0; i < QUEUED; i++)
    futures[i] = submit(pool, empty, NULL, 0);
  const double after = pss_bytes(pids, count);
  if (write(gate[1], "x", 1) != 1)
    fail("gate", "cannot be opened");
  collect(first, NULL, 0);
  for (size_t i = 0; i < QUEUED; i++)
    collect(futures[i], NULL, 0);
  close_pool(pool);
  return (after - before) / QUEUED;
}

/* Runs it in a process of its own, so that no heap of an earlier run is reused and thereby not counted. */
static double in_fresh_process(double (*run)(void)) {
  int out[2];
  double value = 0;
  if (pipe(out) != 0)
    fail("pipe", "refused");
  const pid_t pid = fork();
  if (pid == 0) {
    value = run();
    _exit(write(out[1], &value, sizeof(value)) != sizeof(value));
  }
  close(out[1]);
  if (read(out[0], &value, sizeof(value)) != sizeof(value))
    fail("a run in a process of its own", "failed");
  close(out[0]);
  waitpid(pid, NULL, 0);
  return value;
}

static void queued_memory(void) {
  double figures[RUNS];
  for (int run = 0; run < RUNS; run++)
    figures[run] = in_fresh_process(bytes_per_queued_task);
  metric("bytes_per_queued_empty_task", median(figures, RUNS), "bytes");
}

/* ---- opening ---- */

static void measure_open(const char *name, procpool_start start_method) {
  enum { OPENINGS = 21 };
  double figures[OPENINGS];
  procpool_options options = workers(0);
  options.start = start_method;
  for (int i = 0; i < OPENINGS; i++) {
    const double start = now();
    procpool *pool = open_pool(options);
    collect(submit(pool, empty, NULL, 0), NULL, 0);
    figures[i] = (now() - start) * 1e3;
    close_pool(pool);
  }
  metric(name, median(figures, OPENINGS), "ms");
}

static void opening(void) {
  measure_open("open_to_first_result_fork", PROCPOOL_START_FORK);
  measure_open("open_to_first_result_spawn", PROCPOOL_START_SPAWN);
}

/* ---- crash recovery: one worker, a task that kills it, an empty task queued behind ---- */

static void crash_recovery(void) {
  enum { CRASHES = 21 };
  double reported[CRASHES], recovered[CRASHES];
  procpool *pool = open_pool(workers(1));
  collect(submit(pool, empty, NULL, 0), NULL, 0);
  for (int i = 0; i < CRASHES; i++) {
    const double start = now();
    procpool_future *crash = submit(pool, die, NULL, 0);
    procpool_future *next = submit(pool, empty, NULL, 0);
    if (procpool_future_wait(crash, PROCPOOL_FOREVER) != PROCPOOL_CRASHED)
      fail("crash", "not CRASHED");
    reported[i] = (now() - start) * 1e3;
    collect(next, NULL, 0);
    recovered[i] = (now() - start) * 1e3;
    check(procpool_future_release(crash), "release");
  }
  close_pool(pool);
  metric("crash_reported", median(reported, CRASHES), "ms");
  metric("crash_recovery", median(recovered, CRASHES), "ms");
}

/* ---- the limits of this machine, to judge the figures by ---- */

/* Keeps the caller on the n-th processor, where it may run there. */
static void pin(unsigned n) {
  unsigned long mask[1024 / sizeof(unsigned long)] = {0};
  mask[0] = 1ul << n;
  syscall(SYS_sched_setaffinity, 0, sizeof(mask), mask);
}

/* Two processes, on two processors, bounce a cache line. */
static double bounce_us(void) {
  enum { BOUNCES = 100000, WARM_UP = 10000 };
  int *ball = (int *)mmap(NULL, sizeof(*ball), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (ball == MAP_FAILED)
    fail("mmap", "refused");
  const pid_t pid = fork();
  const int mine = pid == 0, other = !mine; /* the ball starts as 0, the parent's */
  double start = 0;
  pin((unsigned)mine);
  for (int i = 0; i < WARM_UP + BOUNCES; i++) {
    if (i == WARM_UP)
      start = now();
    while (__atomic_load_n(ball, __ATOMIC_ACQUIRE) != mine)
      continue;
    __atomic_store_n(ball, other, __ATOMIC_RELEASE);
  }
  const double seconds = now() - start;
  if (pid == 0)
    _exit(0);
  waitpid(pid, NULL, 0);
  munmap(ball, sizeof(*ball));
  return seconds / BOUNCES * 1e6;
}

/* Two processes, on the processors given, bounce a byte through two pipes. */
static double pipes_us(unsigned parents, unsigned childs) {
  enum { BOUNCES = 10000 };
  int there[2], back[2];
  char byte = 0;
  if (pipe(there) != 0 || pipe(back) != 0)
    fail("pipe", "refused");
  const pid_t pid = fork();
  pin(pid == 0 ? childs : parents);
  if (pid == 0) {
    close(there[1]);
    while (read(there[0], &byte, 1) == 1 && write(back[1], &byte, 1) == 1)
      continue;
    _exit(0);
  }
  const double start = now();
  for (int i = 0; i < BOUNCES; i++)
    if (write(there[1], &byte, 1) != 1 || read(back[0], &byte, 1) != 1)
      fail("pipe", "broken");
  const double seconds = now() - start;
  close(there[0]);
  close(there[1]);
  waitpid(pid, NULL, 0);
  close(back[0]);
  close(back[1]);
  return seconds / BOUNCES * 1e6;
}

static void limits(void) {
  double bounce[RUNS], across[RUNS], same[RUNS];
  for (int run = 0; run < RUNS; run++) {
    bounce[run] = bounce_us();
    across[run] = pipes_us(0, 1);
    same[run] = pipes_us(0, 0);
  }
  metric("limit_cache_line_round_trip", median(bounce, RUNS), "us");
  metric("limit_pipe_round_trip_across_processors", median(across, RUNS), "us");
  metric("limit_pipe_round_trip_on_one_processor", median(same, RUNS), "us");
}

/* ---- all of it ---- */

static const struct {
  const char *name;
  void (*run)(void);
} groups[] = {
    {"limits", limits},
    {"round_trip_hot", round_trip_hot},
    {"round_trip_default_pool", round_trip_default_pool},
    {"round_trip_asleep", round_trip_asleep},
    {"tasks_per_second", tasks_per_second},
    {"map", map_10m_doubles},
    {"echo", echo_1_mib},
    {"idle", idle},
    {"queued_memory", queued_memory},
    {"opening", opening},
    {"crash_recovery", crash_recovery},
};

static bool run_group(size_t group) {
  int status = 0;
  const pid_t pid = fork();
  if (pid == 0) {
    alarm(GROUP_SECONDS);
    groups[group].run();
    exit(0);
  }
  if (waitpid(pid, &status, 0) == pid && status == 0)
    return true;
  fprintf(stderr, "bench: %s failed (wait status %d)\n", groups[group].name, status);
  return false;
}

int main(int argc, char **argv) {
  procpool_worker_main();
  setvbuf(stdout, NULL, _IOLBF, 0);
  bool good = true;
  for (size_t i = 0; i < sizeof(groups) / sizeof(groups[0]); i++)
    if (argc < 2 || strcmp(argv[1], groups[i].name) == 0)
      good = run_group(i) && good;
  return good ? 0 : 1;
}
