/* What several files of the benchmark need. */
#include "bench.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>

bool quick;
size_t amount;
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

size_t repeats(size_t most, size_t each, size_t limit) {
  const bool huge = each > (size_t)64 * MIB;
  const size_t fitting = most / (each + 1), least = quick ? (huge ? 1 : 3) : (huge ? 3 : 5);
  const size_t wanted = fitting < limit ? fitting : limit;
  const size_t count = quick ? wanted / 20 : wanted;
  return count < least ? least : count;
}

double median_us(trip one, void *context, size_t each) {
  enum { MOST = 200, WARM_UP = 20 };
  double us[MOST];
  const size_t trips = repeats((size_t)256 * MIB, each, MOST), warm_up = repeats((size_t)32 * MIB, each, WARM_UP);
  for (size_t i = 0; i < (each > 64 * MIB ? 1 : warm_up); i++)
    one(context);
  for (size_t i = 0; i < trips; i++) {
    const double start = now();
    one(context);
    us[i] = (now() - start) * 1e6;
  }
  return median(us, trips);
}

double echo_us(trip one, void *context) {
  return amount < 4096 ? batched_us(one, context, few(20000)) : median_us(one, context, amount);
}

double echo_gbs(trip one, void *context) {
  return 2e-3 * (double)amount / echo_us(one, context);
}

char *echo_bytes(void) {
  char *bytes = aligned_alloc(64, amount + 64 - amount % 64);
  if (bytes == NULL)
    fail("echo", "out of memory");
  echo_fill(bytes);
  return bytes;
}

void echo_fill(char *bytes) {
  for (size_t i = 0; i < amount; i++)
    bytes[i] = (char)(i * 31 + i / 251);
}

void echo_check(const char *sent, char *got) {
  if (memcmp(sent, got, amount) != 0)
    fail("echo", "wrong bytes");
  memset(got, 0, amount);
}

/* ---- threads that wait ---- */

typedef struct waiting {
  pthread_barrier_t *start;
  trip one;
  void *context;
  double *us, begin, end;
  size_t count, capacity;
} waiting;

static void *wait_repeatedly(void *context) {
  waiting *w = context;
  const double seconds = quick ? 0.03 : 0.4;
  pthread_barrier_wait(w->start);
  w->begin = w->end = now();
  while (w->count < w->capacity && w->end - w->begin < seconds) {
    const double start = w->end;
    w->one(w->context);
    w->end = now();
    w->us[w->count++] = (w->end - start) * 1e6;
  }
  return NULL;
}

/* The values of all threads, put together. */
static void sum_up(const waiting *all, size_t threads, double *us, double *out) {
  size_t count = 0;
  out[0] = 0;
  for (size_t i = 0; i < threads; i++) {
    memmove(us + count, all[i].us, all[i].count * sizeof(*us));
    count += all[i].count;
    out[0] += (double)all[i].count / (all[i].end - all[i].begin);
  }
  out[1] = median(us, count);
  out[2] = percentile(us, count, 99);
  out[3] = percentile(us, count, 99.9);
}

void waiting_threads(size_t threads, trip one, void *context, double *out) {
  enum { MOST = 64, CALLS = 65536 };
  waiting all[MOST];
  pthread_t ids[MOST];
  pthread_barrier_t start;
  double *us = malloc(threads * CALLS * sizeof(*us));
  if (threads > MOST || us == NULL || pthread_barrier_init(&start, NULL, (unsigned)threads) != 0)
    fail("waiting_threads", "refused");
  memset(us, 0, threads * CALLS * sizeof(*us)); /* its page faults are no part of it */
  for (size_t i = 0; i < threads; i++) {
    const waiting w = {&start, one, context, us + i * CALLS, 0, 0, 0, CALLS};
    all[i] = w;
    if (pthread_create(&ids[i], NULL, wait_repeatedly, &all[i]) != 0)
      fail("pthread_create", "refused");
  }
  for (size_t i = 0; i < threads; i++)
    pthread_join(ids[i], NULL);
  pthread_barrier_destroy(&start);
  sum_up(all, threads, us, out);
  free(us);
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

double work_10us(double x) {
  return work(x, 10 * work_per_us);
}

size_t skewed_first(void) {
  return amount == 0 ? 0 : amount == 1 ? (SKEWED - SKEWED_LONG) / 2 : SKEWED - SKEWED_LONG;
}

double skewed_work(double x) {
  const double first = (double)skewed_first();
  return work(x, x >= first && x < first + SKEWED_LONG ? SKEWED_TIMES * work_per_us : work_per_us);
}

double skewed_share(double us, int workers) {
  return ((double)SKEWED + (double)SKEWED_LONG * (SKEWED_TIMES - 1)) / (double)workers / us;
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

double map_us(map_data *map, void (*call)(void *context, map_data *map), void *context, double (*function)(double x)) {
  enum { MOST = 200, WARM_UP = 10 };
  double us[MOST];
  const size_t calls = repeats(40000000, map->count, MOST);
  for (size_t i = 0; i < (calls < WARM_UP ? 2 : WARM_UP); i++)
    call(context, map);
  map_check(map, function);
  call(context, map);
  for (size_t i = 0; i < calls; i++) {
    const double start = now();
    call(context, map);
    us[i] = (now() - start) * 1e6;
  }
  map_check(map, function);
  return median(us, calls);
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

/* ---- a peer that is a program of its own ---- */

int offer_main(int argc, char **argv, const offer *offers) {
  double out[OUTPUTS] = {0};
  if (argc != 6)
    fail(argv[0], "is run by bench: FIGURE WORKERS AMOUNT WORK_PER_US QUICK");
  while (offers->name != NULL && strcmp(offers->name, argv[1]) != 0)
    offers++;
  if (offers->name == NULL)
    fail(argv[1], "is no figure of this program");
  amount = strtoul(argv[3], NULL, 10);
  work_per_us = strtoul(argv[4], NULL, 10);
  quick = strcmp(argv[5], "0") != 0;
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  offers->run(atoi(argv[2]), out);
  for (int i = 0; i < OUTPUTS; i++)
    printf("%.17g%c", out[i], i + 1 < OUTPUTS ? ' ' : '\n');
  fflush(stdout);
  _exit(0); /* nothing is to be taken down: some of these pools take long */
}
