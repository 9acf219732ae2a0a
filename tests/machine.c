/* machine.c - what must hold on every machine and with every compiler, in one program that needs nothing but the header:
 * built for machines that the suite itself is not built for each time (32 bits, pages of 64 KiB, under sanitizers).
 *   machine [START...]    fork, spawn, thread, inline; all of them by default. Prints "START ok" for each */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>

#ifdef MACHINE_OTHER /* pages of 64 KiB, and memory that is aligned to 8 only, as it is on several machines of 32 bits */
#define PROCPOOL__PAGE_SIZE() 65536
static void *odd(void *block) {
  return block != NULL ? (char *)block + 8 : NULL;
}
static void *even(void *block) {
  return block != NULL ? (char *)block - 8 : NULL;
}
#define PROCPOOL_MALLOC(size) odd(malloc((size) + 8))
#define PROCPOOL_REALLOC(block, size) odd(realloc(even(block), (size) + 8))
#define PROCPOOL_FREE(block) free(even(block))
#endif
#define PROCPOOL_IMPLEMENTATION
#include "../procpool.h"

#define REQUIRE(condition)                                                                                             \
  do {                                                                                                                 \
    if (!(condition)) {                                                                                                \
      printf("line %d: %s\n", __LINE__, #condition);                                                                   \
      exit(1);                                                                                                         \
    }                                                                                                                  \
  } while (0)

PROCPOOL_FUNCTION(double, square, double, x) {
  return x * x;
}

/* Where its argument lies and its result will: modulo 16. */
static void task_places(procpool_task *task) {
  size_t size;
  const uintptr_t argument = (uintptr_t)procpool_task_argument(task, &size);
  unsigned char *result = (unsigned char *)procpool_task_result(task, size);
  memset(result, 0, size);
  result[0] = (unsigned char)(argument % 16);
  result[1] = (unsigned char)((uintptr_t)result % 16);
}

static void task_nap(procpool_task *task) {
  struct timespec time = {0, 700000000};
  (void)task;
  while (nanosleep(&time, &time) != 0)
    continue;
}

static void task_parent(procpool_task *task) {
  const long parent = (long)getppid();
  procpool_task_return(task, &parent, sizeof(parent));
}

/* What the initializer was given must have come through whole. Of each thread its own: workers may be threads. */
static __thread char given[8];
static int initializer(const void *argument, size_t size) {
  if (size != 6 || memcmp(argument, "given", 6) != 0)
    return 1;
  memcpy(given, argument, size);
  return 0;
}
static void task_given(procpool_task *task) {
  procpool_task_return(task, given, sizeof(given));
}

static double now(void) {
  struct timespec time;
  (void)clock_gettime(CLOCK_MONOTONIC, &time);
  return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

/* Seconds of processor time that a process has had, in clock ticks. */
static long ticks_of(long pid) {
  char path[64], line[512];
  unsigned long user = 0, system = 0;
  FILE *file;
  (void)snprintf(path, sizeof(path), "/proc/%ld/stat", pid);
  file = fopen(path, "r");
  if (file == NULL)
    return 0;
  if (fgets(line, sizeof(line), file) != NULL && strrchr(line, ')') != NULL)
    (void)sscanf(strrchr(line, ')') + 2, "%*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user, &system);
  (void)fclose(file);
  return (long)(user + system);
}

static void check_values(procpool *pool) {
  double in[100], out[100], one = 0;
  char text[8] = "";
  procpool_future *future;
  for (int i = 0; i < 100; i++)
    in[i] = i;
  REQUIRE(square_map(pool, in, out, 100) == PROCPOOL_OK);
  for (int i = 0; i < 100; i++)
    REQUIRE(out[i] == in[i] * in[i]);
  REQUIRE(square_result(square_submit(pool, 12), &one) == PROCPOOL_OK && one == 144);
  REQUIRE(procpool_submit(pool, task_given, NULL, 0, NULL, &future) == PROCPOOL_OK);
  REQUIRE(procpool_future_result(future, PROCPOOL_FOREVER, text, sizeof(text), NULL) == PROCPOOL_OK);
  REQUIRE(procpool_future_release(future) == PROCPOOL_OK);
  REQUIRE(strcmp(text, "given") == 0);
}

/* Arguments and results of every kind: in the slot, in the arena, in the ring, in pieces. */
static void check_places(procpool *pool) {
  static unsigned char bytes[700000], items[3][48], results[3][48];
  static const size_t sizes[] = {2, 16, 17, 32, 33, 5000, 140000, 700000};
  for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
    procpool_future *futures[3];
    for (int k = 0; k < 3; k++) /* one behind the other: rings are not at their start */
      REQUIRE(procpool_submit(pool, task_places, bytes, sizes[i], NULL, &futures[k]) == PROCPOOL_OK);
    for (int k = 0; k < 3; k++) {
      size_t size = 0;
      const unsigned char *data;
      REQUIRE(procpool_future_wait(futures[k], PROCPOOL_FOREVER) == PROCPOOL_OK);
      data = (const unsigned char *)procpool_future_data(futures[k], &size);
      REQUIRE(data != NULL && size == sizes[i] && (uintptr_t)data % 16 == 0);
      REQUIRE(data[0] == 0 && data[1] == 0);
      REQUIRE(procpool_future_release(futures[k]) == PROCPOOL_OK);
    }
  }
  REQUIRE(procpool_map(pool, task_places, items, 48, results, 48, 3, NULL) == PROCPOOL_OK);
  for (int i = 0; i < 3; i++)
    REQUIRE(results[i][0] == 0 && results[i][1] == 0);
}

/* A wait sleeps, and so does the supervisor that has a limit to look after: in the layout of time that the kernel has. */
static void check_waits(procpool *pool, procpool_start start) {
  procpool_future *future;
  long parent = 0, ticks;
  double begin;
  struct rusage before, after;
  REQUIRE(procpool_submit(pool, task_parent, NULL, 0, NULL, &future) == PROCPOOL_OK);
  REQUIRE(procpool_future_result(future, PROCPOOL_FOREVER, &parent, sizeof(parent), NULL) == PROCPOOL_OK);
  REQUIRE(procpool_future_release(future) == PROCPOOL_OK);
  REQUIRE(procpool_submit(pool, task_nap, NULL, 0, NULL, &future) == PROCPOOL_OK);
  ticks = start == PROCPOOL_START_THREAD ? 0 : ticks_of(parent);
  begin = now();
  REQUIRE(getrusage(RUSAGE_SELF, &before) == 0);
  REQUIRE(procpool_future_wait(future, 0.4) == PROCPOOL_PENDING);
  REQUIRE(getrusage(RUSAGE_SELF, &after) == 0);
  REQUIRE(now() - begin >= 0.4);
  REQUIRE(after.ru_nvcsw - before.ru_nvcsw < 40); /* a wait in the wrong layout returns thousands of times */
  REQUIRE(procpool_future_wait(future, PROCPOOL_FOREVER) == PROCPOOL_OK);
  REQUIRE(procpool_future_release(future) == PROCPOOL_OK);
  if (start != PROCPOOL_START_THREAD)
    REQUIRE(ticks_of(parent) - ticks < sysconf(_SC_CLK_TCK) / 4);
}

/* What is given back to the kernel begins at a page of its own. */
static void check_memory(procpool *pool) {
  const uint64_t page = (uint64_t)PROCPOOL__PAGE_SIZE();
  const size_t size = (size_t)5 << 20;
  unsigned char *buffer = (unsigned char *)procpool_shared_alloc(pool, size);
  const procpool__segment *s = &pool->segment;
  REQUIRE(buffer != NULL);
  memset(buffer, 1, size);
  REQUIRE(s->arena_at % page == 0);
  REQUIRE(procpool__shm_offset(s, s->rings) % page == 0 && procpool__shm_offset(s, s->cells) % page == 0);
  REQUIRE(procpool__shm_offset(s, s->slots) % page == 0 && procpool__shm_offset(s, buffer) % page == 0);
  REQUIRE(pool->reserved.bytes % page == 0);
  REQUIRE(procpool_shared_free(pool, buffer) == PROCPOOL_OK);
}

static void check_start(procpool_start start, const char *name) {
  procpool_options options;
  procpool_error error;
  procpool *pool;
  memset(&options, 0, sizeof(options));
  options.error = &error;
  options.start = start;
  options.max_workers = start == PROCPOOL_START_INLINE ? 1 : 2;
  options.max_memory = (size_t)12 << 20;
  options.initializer = initializer;
  options.initializer_argument = "given";
  options.initializer_size = 6;
  options.time_limit = start <= PROCPOOL_START_SPAWN ? 60 : 0;
  pool = procpool_open(&options);
  if (pool == NULL)
    printf("%s: %s: %s\n", name, procpool_status_name(error.status), error.message);
  REQUIRE(pool != NULL);
  check_values(pool);
  check_places(pool);
  check_memory(pool);
  if (start != PROCPOOL_START_INLINE)
    check_waits(pool, start);
  REQUIRE(procpool_shutdown(pool, PROCPOOL_DRAIN, PROCPOOL_FOREVER) == PROCPOOL_OK);
  REQUIRE(procpool_free(pool) == PROCPOOL_OK);
  printf("%s ok\n", name);
}

/* Pools that say nothing of memory leave room for others, and for the stacks of threads, also with few addresses. */
static void check_default_pools(void) {
  enum { POOLS = 12 };
  procpool *pools[POOLS];
  for (int i = 0; i < POOLS; i++) {
    procpool_options options;
    unsigned char *buffer;
    memset(&options, 0, sizeof(options));
    options.max_workers = 1;
    options.start = i % 2 == 0 ? PROCPOOL_START_THREAD : PROCPOOL_START_FORK;
    if (i % 2 != 0 && procpool__platform_threads() > 1)
      options.start = PROCPOOL_START_SPAWN;
    pools[i] = procpool_open(&options);
    REQUIRE(pools[i] != NULL);
    buffer = (unsigned char *)procpool_shared_alloc(pools[i], (size_t)16 << 20);
    REQUIRE(buffer != NULL);
    REQUIRE(procpool_shared_free(pools[i], buffer) == PROCPOOL_OK);
  }
  for (int i = 0; i < POOLS; i++)
    REQUIRE(procpool_free(pools[i]) == PROCPOOL_OK);
}

static bool wanted(int argc, char **argv, const char *name) {
  for (int i = 1; i < argc; i++)
    if (strcmp(argv[i], name) == 0)
      return true;
  return argc < 2;
}

int main(int argc, char **argv) {
  static const char *const names[] = {"auto", "fork", "spawn", "thread", "inline"};
  procpool_worker_main();
  (void)setvbuf(stdout, NULL, _IOLBF, BUFSIZ);
  for (int start = PROCPOOL_START_FORK; start <= PROCPOOL_START_INLINE; start++)
    if (wanted(argc, argv, names[start]))
      check_start((procpool_start)start, names[start]);
  if (wanted(argc, argv, "pools"))
    check_default_pools();
  return 0;
}
