/* What several files of the benchmark need. */
#include "bench.h"

#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>

bool quick;
size_t work_per_us;

size_t few(size_t count) {
  return quick ? count / 20 + 1 : count;
}

double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

void pause_us(long us) {
  const struct timespec t = {us / 1000000, us % 1000000 * 1000};
  nanosleep(&t, NULL);
}

void fail(const char *what, const char *why) {
  fprintf(stderr, "bench: %s: %s\n", what, why);
  _exit(1);
}

static int by_value(const void *a, const void *b) {
  const double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

double percentile(double *values, size_t count, double percent) {
  qsort(values, count, sizeof(*values), by_value);
  const size_t rank = (size_t)((double)count * percent / 100);
  return values[rank < count ? rank : count - 1];
}

double median(double *values, size_t count) {
  return percentile(values, count, 50);
}

/* ---- processors and processes ---- */

int processors(void) {
  cpu_set_t set;
  return sched_getaffinity(0, sizeof(set), &set) == 0 ? CPU_COUNT(&set) : 1;
}

void pin(int n) {
  cpu_set_t set, one;
  CPU_ZERO(&one);
  if (sched_getaffinity(0, sizeof(set), &set) != 0)
    fail("sched_getaffinity", "refused");
  for (int cpu = 0; cpu < CPU_SETSIZE; cpu++)
    if (CPU_ISSET((size_t)cpu, &set) && n-- == 0)
      CPU_SET((size_t)cpu, &one);
  if (sched_setaffinity(0, sizeof(one), &one) != 0)
    fail("sched_setaffinity", "refused");
}

const char *two_processors_absent(void) {
  return processors() < 2 ? "needs two processors" : NULL;
}

void *shared_pages(size_t size) {
  void *pages = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
  if (pages == MAP_FAILED)
    fail("mmap", "refused");
  return pages;
}

pid_t child(void (*body)(void *context), void *context) {
  const pid_t parent = getpid(), pid = fork();
  if (pid < 0)
    fail("fork", "refused");
  if (pid != 0)
    return pid;
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (getppid() == parent)
    body(context);
  _exit(0);
}

void reap(pid_t pid) {
  int status = 0;
  if (waitpid(pid, &status, 0) != pid || status != 0)
    fail("a child", "failed");
}

/* ---- round trips ---- */

double batched_us(trip one, void *context, size_t count) {
  enum { BATCH = 100 };
  const size_t batches = count / BATCH + 1;
  double *us = malloc(batches * sizeof(*us));
  if (us == NULL)
    fail("batched_us", "out of memory");
  for (size_t i = 0; i < count / 4; i++)
    one(context);
  for (size_t batch = 0; batch < batches; batch++) {
    const double start = now();
    for (int i = 0; i < BATCH; i++)
      one(context);
    us[batch] = (now() - start) * 1e6 / BATCH;
  }
  const double value = median(us, batches);
  free(us);
  return value;
}

void each_us(trip one, void *context, size_t count, long pause, double *us) {
  double *each = malloc(count * sizeof(*each));
  if (each == NULL)
    fail("each_us", "out of memory");
  for (size_t i = 0; i < count; i++) {
    if (pause > 0)
      pause_us(pause);
    const double start = now();
    one(context);
    each[i] = (now() - start) * 1e6;
  }
  us[0] = us[1] = median(each, count);
  us[2] = percentile(each, count, 99);
  us[3] = percentile(each, count, 99.9);
  free(each);
}

double echo_gbs(trip one, void *context) {
  enum { TRIPS = 200, WARM_UP = 20 };
  double seconds[TRIPS];
  const size_t trips = few(TRIPS);
  for (int i = 0; i < WARM_UP; i++)
    one(context);
  for (size_t i = 0; i < trips; i++) {
    const double start = now();
    one(context);
    seconds[i] = now() - start;
  }
  return 2.0 * MIB / median(seconds, trips) * 1e-9;
}

void echo_fill(char *bytes) {
  for (size_t i = 0; i < MIB; i++)
    bytes[i] = (char)(i * 31 + i / 251);
}

void echo_check(const char *sent, char *got) {
  if (memcmp(sent, got, MIB) != 0)
    fail("echo", "wrong bytes");
  memset(got, 0, MIB);
}

/* ---- work and maps ---- */

__attribute__((noinline)) double work(double x, size_t iterations) {
  for (size_t i = 0; i < iterations; i++)
    x = x * 0.9999999 + 1e-7;
  return x;
}

/* The fastest of many: what the loop takes when nothing interrupts it. */
void calibrate(void) {
  enum { ITERATIONS = 20000 };
  double best = 1, x = 0;
  for (int i = 0; i < 200; i++) {
    const double start = now();
    x += work(x, ITERATIONS);
    const double seconds = now() - start;
    best = seconds < best ? seconds : best;
  }
  work_per_us = (size_t)(ITERATIONS * 1e-6 / best) + (x < 0);
}

double square_plus_one(double x) {
  return x * x + 1.0;
}

double work_1us(double x) {
  return work(x, work_per_us);
}

double scale_and_offset(double x) {
  return x * SCALE + OFFSET;
}

map_data map_open_in(double *arguments, double *results, size_t count) {
  map_data map = {arguments, results, count};
  if (map.arguments == NULL || map.results == NULL)
    fail("map", "out of memory");
  for (size_t i = 0; i < count; i++)
    map.arguments[i] = (double)i;
  memset(map.results, 0, count * sizeof(double));
  return map;
}

map_data map_open(size_t count) {
  return map_open_in(malloc(count * sizeof(double)), malloc(count * sizeof(double)), count);
}

/* Every 97th item and the last. */
void map_check(map_data *map, double (*function)(double x)) {
  for (size_t i = map->count; i-- > 0; i = i < 97 ? 0 : i - 96)
    if (map->results[i] != function(map->arguments[i]))
      fail("map", "wrong value");
  memset(map->results, 0, map->count * sizeof(double));
}

void map_close(map_data *map) {
  free(map->arguments);
  free(map->results);
}

double map_rate(map_data *map, void (*call)(void *context, map_data *map), void *context,
                double (*function)(double x)) {
  double rates[3];
  call(context, map);
  for (int i = 0; i < 3; i++) {
    map_check(map, function);
    const double start = now();
    call(context, map);
    rates[i] = (double)map->count / (now() - start);
  }
  map_check(map, function);
  return median(rates, 3);
}
