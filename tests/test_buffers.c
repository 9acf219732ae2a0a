/* Shared buffers: memory that the host and every worker see. */
#include "harness.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>

enum { MIB = 1 << 20 };

/* Pointers as they are in the host. */
typedef struct parcel {
  test_job job;
  unsigned char *from, *to;
  size_t size;
  unsigned seed;
} parcel;

static parcel parcel_of(unsigned char *from, unsigned char *to, size_t size, unsigned seed) {
  parcel p;
  memset(&p, 0, sizeof(p));
  p.job = job_of((int)seed);
  p.from = from;
  p.to = to;
  p.size = size;
  p.seed = seed;
  return p;
}

static unsigned char *alloc(procpool *pool, size_t size) {
  unsigned char *buffer = (unsigned char *)procpool_shared_alloc(pool, size);
  CHECK(buffer != NULL);
  CHECK_EQ((uintptr_t)buffer % 64, 0);
  return buffer;
}

static void check_refused(procpool *pool, size_t size, procpool_status status, int error) {
  const procpool_stats before = test_stats(pool);
  procpool_stats after;
  procpool_error why;
  CHECK(procpool_shared_alloc(pool, size) == NULL);
  (void)procpool_last_error(&why);
  CHECK_STATUS(why.status, status);
  CHECK_EQ(why.system_error, error);
  after = test_stats(pool);
  CHECK_LE(after.shared_bytes, before.shared_bytes); /* what was kept for later may have gone */
  CHECK_EQ(after.submitted, before.submitted);
}

static bool overlap(const unsigned char *a, size_t a_size, const unsigned char *b, size_t b_size) {
  return a < b + b_size && b < a + a_size;
}

/* ---- alloc and free ---- */

static const size_t sizes[] = {0,   1,       63,      64,      65,          4096,    4097, 65536, MIB - 1,
                               MIB, MIB + 1, 2 * MIB, 3 * MIB, 2 * MIB + 1, 5 * MIB, 8,    MIB,   100};
enum { SIZES = (int)(sizeof(sizes) / sizeof(sizes[0])) };

TEST_STARTS(buffers_are_what_they_should_be, EVERY) {
  procpool *pool = test_open(start, 1);
  unsigned char *buffers[SIZES];
  for (int i = 0; i < SIZES; i++) {
    buffers[i] = alloc(pool, sizes[i]);
    pattern_fill(buffers[i], sizes[i], (unsigned)i);
    for (int j = 0; j < i; j++) {
      CHECK(buffers[i] != buffers[j]);
      CHECK(!overlap(buffers[i], sizes[i], buffers[j], sizes[j]));
    }
  }
  for (int i = 0; i < SIZES; i++)
    CHECK(pattern_holds(buffers[i], sizes[i], (unsigned)i));
  for (int i = 0; i < SIZES; i += 2)
    CHECK_OK(procpool_shared_free(pool, buffers[i]));
  for (int i = 1; i < SIZES; i += 2)
    CHECK(pattern_holds(buffers[i], sizes[i], (unsigned)i));
  CHECK_WORKS(pool);
  test_close(pool); /* the others go with the pool */
}

TEST_STARTS(buffers_free_takes_only_their_starts, EVERY) {
  procpool *pool = test_open(start, 1), *other = test_open(PROCPOOL_START_INLINE, 1);
  unsigned char *a = alloc(pool, 1000), *b = alloc(pool, 3 * MIB), *elsewhere = alloc(other, 1000);
  unsigned char *heap = (unsigned char *)malloc(64), here[8];
  unsigned char *const wrong[] = {here,
                                  heap,
                                  a + 64,
                                  a - 64,
                                  b + 1,
                                  b + MIB,
                                  elsewhere,
                                  a + 64 * 65536,
                                  b - (1024 << 10),
                                  (unsigned char *)64,
                                  (unsigned char *)UINTPTR_MAX};
  procpool_error error;
  CHECK_OK(procpool_shared_free(pool, NULL));
  for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
    CHECK_STATUS(procpool_shared_free(pool, wrong[i]), PROCPOOL_ARGUMENT);
  (void)procpool_last_error(&error);
  CHECK_STATUS(error.status, PROCPOOL_ARGUMENT);
  CHECK_OK(procpool_shared_free(pool, a));
  CHECK_STATUS(procpool_shared_free(pool, a), PROCPOOL_ARGUMENT);
  CHECK_OK(procpool_shared_free(pool, b));
  CHECK_STATUS(procpool_shared_free(pool, b), PROCPOOL_ARGUMENT);
  CHECK_OK(procpool_shared_free(other, elsewhere));
  free(heap);
  test_close(other);
  test_close(pool);
}

TEST(buffers_bad_handles) {
  int word = 0;
  procpool *pool = test_open(PROCPOOL_START_FORK, 1);
  unsigned char *buffer = alloc(pool, 100);
  pid_t child;
  CHECK(procpool_shared_alloc(NULL, 1) == NULL);
  CHECK_STATUS(procpool_shared_free(NULL, &word), PROCPOOL_HANDLE);
  CHECK_STATUS(procpool_shared_free(NULL, NULL), PROCPOOL_HANDLE);
  CHECK(procpool_task_shared(NULL, buffer) == NULL);
  child = fork();
  if (child == 0)
    _exit(procpool_shared_alloc(pool, 1) == NULL && procpool_shared_free(pool, buffer) == PROCPOOL_FORKED ? 5 : 6);
  CHECK_EQ(test_wait_exit(child), 5);
  CHECK_OK(procpool_shared_free(pool, buffer));
  test_close(pool);
}

/* Bytes of the pool's shared memory that the kernel has, by its descriptor. */
static uint64_t kernel_bytes(void) {
  for (int fd = 3; fd < 256; fd++) {
    char path[64], target[256];
    ssize_t length;
    struct stat st;
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    length = readlink(path, target, sizeof(target) - 1);
    target[length > 0 ? length : 0] = '\0';
    if (strstr(target, "memfd:procpool") != NULL && fstat(fd, &st) == 0)
      return (uint64_t)st.st_blocks * 512;
  }
  return 0;
}

TEST_STARTS(buffers_memory_is_used_again_and_counted, EVERY) {
  procpool *pool = test_open(start, 1);
  unsigned char *first[SIZES];
  uint64_t bytes = 0;
  CHECK_WORKS(pool);
  CHECK_EQ(test_stats(pool).shared_bytes, kernel_bytes());
  for (int round = 0; round < 20; round++) {
    for (int i = 0; i < SIZES; i++) {
      first[i] = alloc(pool, sizes[i]);
      CHECK_EQ(test_stats(pool).shared_bytes, kernel_bytes());
    }
    if (round == 0)
      bytes = test_stats(pool).shared_bytes;
    CHECK_LE(test_stats(pool).shared_bytes, bytes);
    for (int i = 0; i < SIZES; i++)
      CHECK_OK(procpool_shared_free(pool, first[(i * 7 + round) % SIZES]));
  }
  test_close(pool);
}

/* What is large goes back to the system. */
TEST_STARTS(buffers_large_ones_go_back, FORK | THREAD) {
  procpool *pool = test_open(start, 1);
  const size_t size = (size_t)150 * MIB;
  uint64_t before;
  CHECK_WORKS(pool);
  before = test_stats(pool).shared_bytes;
  for (int i = 0; i < 3; i++) {
    unsigned char *buffer = alloc(pool, size);
    CHECK_EQ(test_stats(pool).shared_bytes, before + size);
    CHECK_EQ(kernel_bytes(), before + size);
    for (size_t at = 0; at < size; at += 4096)
      buffer[at] = (unsigned char)(at >> 12);
    for (size_t at = 0; at < size; at += 4096)
      CHECK(buffer[at] == (unsigned char)(at >> 12));
    CHECK_OK(procpool_shared_free(pool, buffer));
    CHECK_EQ(test_stats(pool).shared_bytes, before);
    CHECK_EQ(kernel_bytes(), before);
  }
  test_close(pool);
}

/* At random, with a private copy of what should be in each. */
TEST_STARTS(buffers_at_random, FORK | INLINE) {
  enum { LIVE = 40, STEPS = 3000 };
  procpool_options options;
  procpool *pool;
  unsigned char *live[LIVE] = {NULL};
  size_t size[LIVE] = {0};
  uint64_t r = 12345;
  int refused = 0;
  memset(&options, 0, sizeof(options));
  options.max_memory = 24 * MIB;
  pool = test_open_with(start, 1, &options);
  for (int step = 0; step < test_rounds(STEPS); step++) {
    const int i = (int)((r = r * 6364136223846793005u + 1442695040888963407u) >> 33) % LIVE;
    const int power = (int)(r >> 40) % 23;
    if (live[i] != NULL) {
      CHECK(pattern_holds(live[i], size[i], (unsigned)i));
      CHECK_OK(procpool_shared_free(pool, live[i]));
      live[i] = NULL;
      continue;
    }
    size[i] = (((size_t)1 << power) + (r >> 50) % ((size_t)1 << power)) % (3 * MIB);
    live[i] = (unsigned char *)procpool_shared_alloc(pool, size[i]);
    refused += live[i] == NULL;
    if (live[i] == NULL)
      continue;
    pattern_fill(live[i], size[i], (unsigned)i);
    for (int j = 0; j < LIVE; j++)
      CHECK(j == i || live[j] == NULL || !overlap(live[i], size[i], live[j], size[j]));
  }
  CHECK_GT(refused, 0);
  for (int i = 0; i < LIVE; i++)
    if (live[i] != NULL)
      CHECK_OK(procpool_shared_free(pool, live[i]));
  CHECK_OK(procpool_shared_free(pool, alloc(pool, 24 * MIB))); /* all of it is free again, in one piece */
  test_close(pool);
}

/* ---- no memory ---- */

TEST_STARTS(buffers_more_than_max_memory, EVERY) {
  procpool_options options;
  procpool *pool;
  unsigned char *a;
  memset(&options, 0, sizeof(options));
  options.max_memory = 4 * MIB;
  pool = test_open_with(start, 1, &options);
  check_refused(pool, 4 * MIB + 1, PROCPOOL_MEMORY, ENOMEM);
  check_refused(pool, (size_t)PTRDIFF_MAX + 1, PROCPOOL_MEMORY, ENOMEM);
  check_refused(pool, SIZE_MAX, PROCPOOL_MEMORY, ENOMEM);
  a = alloc(pool, 3 * MIB);
  pattern_fill(a, 3 * MIB, 1);
  check_refused(pool, 2 * MIB, PROCPOOL_MEMORY, ENOMEM);
  CHECK_OK(procpool_shared_free(pool, alloc(pool, MIB)));
  CHECK(pattern_holds(a, 3 * MIB, 1));
  CHECK_OK(procpool_shared_free(pool, a));
  CHECK_OK(procpool_shared_free(pool, alloc(pool, 4 * MIB)));
  CHECK_WORKS(pool);
  test_close(pool);
}

/* More than the machine can give is an error at once, not the end of some process. */
TEST_STARTS(buffers_more_than_the_machine_has, EVERY) {
  procpool *pool;
  double begin;
  if (test_instrumented() || sizeof(size_t) < 8)
    SKIP("not in this build");
  pool = test_open(start, 1);
  begin = test_now();
  check_refused(pool, (size_t)sysconf(_SC_PHYS_PAGES) * (size_t)sysconf(_SC_PAGESIZE) / 100 * 99, PROCPOOL_MEMORY,
                ENOMEM);
  CHECK_SECONDS(test_now() - begin, <, 1.0 * test_slow());
  CHECK_OK(procpool_shared_free(pool, alloc(pool, 20 * MIB)));
  test_close(pool);
}

/* Exceeding RLIMIT_FSIZE would raise SIGXFSZ. */
TEST_STARTS(buffers_beyond_the_file_size_limit, EVERY) {
  procpool *pool = test_open(start, 1);
  struct rlimit limit, all;
  unsigned char *a = alloc(pool, 3 * MIB);
  CHECK_EQ(getrlimit(RLIMIT_FSIZE, &all), 0);
  limit = all;
  limit.rlim_cur = 4 * MIB;
  CHECK_EQ(setrlimit(RLIMIT_FSIZE, &limit), 0);
  check_refused(pool, 64 * MIB, PROCPOOL_MEMORY, EFBIG);
  check_refused(pool, 64 * MIB, PROCPOOL_MEMORY, EFBIG);
  CHECK_EQ(setrlimit(RLIMIT_FSIZE, &all), 0);
  pattern_fill(a, 3 * MIB, 1);
  CHECK_OK(procpool_shared_free(pool, alloc(pool, 64 * MIB)));
  CHECK(pattern_holds(a, 3 * MIB, 1));
  test_close(pool);
}

/* ---- pointers ---- */

/* Reads one buffer and writes the other. */
static void task_carry(procpool_task *task) {
  const parcel *p = (const parcel *)procpool_task_argument(task, NULL);
  if (!pattern_holds(p->from, p->size, p->seed))
    procpool_task_fail(task, 1, "the buffer does not hold what the host wrote");
  pattern_fill(p->to, p->size, p->seed + 1);
}

/* The workers were there first. */
TEST_STARTS(buffers_of_any_size_reach_workers_that_live, EVERY) {
  procpool *pool = test_open(start, 2);
  CHECK_WORKS(pool);
  for (int i = 0; i < SIZES; i++) {
    unsigned char *from = alloc(pool, sizes[i]), *to = alloc(pool, sizes[i]);
    const parcel p = parcel_of(from, to, sizes[i], (unsigned)i);
    procpool_future *future;
    pattern_fill(from, sizes[i], (unsigned)i);
    memset(to, 0, sizes[i]);
    future = test_submit(pool, task_carry, &p, sizeof(p));
    CHECK_SETTLES(future, PROCPOOL_OK);
    CHECK(pattern_holds(to, sizes[i], (unsigned)i + 1));
    CHECK_OK(procpool_future_release(future));
    if (i % 3 == 0)
      CHECK_OK(procpool_shared_free(pool, from));
  }
  CHECK_EQ(test_stats(pool).crashed, 0);
  test_close(pool);
}

typedef struct chain {
  struct chain *next;
  int value;
} chain;

static void task_walk(procpool_task *task) {
  chain *const *first = (chain *const *)procpool_task_argument(task, NULL);
  int sum = 0;
  for (chain *l = *first; l != NULL; l = l->next)
    sum += l->value++;
  procpool_task_return(task, &sum, sizeof(sum));
}

TEST_STARTS(buffers_with_pointers_in_them, EVERY) {
  enum { LINKS = 200 };
  procpool *pool = test_open(start, 1);
  chain *first = NULL;
  int sum = 0;
  for (int i = 0; i < LINKS; i++) {
    chain *l = (chain *)(void *)alloc(pool, i % 50 == 0 ? 2 * MIB : sizeof(chain));
    l->next = first;
    l->value = i;
    first = l;
  }
  for (int round = 0; round < 3; round++) {
    procpool_future *future = test_submit(pool, task_walk, &first, sizeof(first));
    CHECK_OK(procpool_future_result(future, PROCPOOL_FOREVER, &sum, sizeof(sum), NULL));
    CHECK_EQ(sum, LINKS * (LINKS - 1) / 2 + round * LINKS);
    CHECK_OK(procpool_future_release(future));
  }
  test_close(pool);
}

static void task_where(procpool_task *task) {
  const parcel *p = (const parcel *)procpool_task_argument(task, NULL);
  const void *found[3];
  found[0] = procpool_task_shared(task, p->from);
  found[1] = procpool_task_shared(task, p->to);
  found[2] = procpool_task_shared(task, NULL);
  procpool_task_return(task, found, sizeof(found));
}

TEST_STARTS(buffers_task_shared_is_identity, EVERY) {
  procpool *pool = test_open(start, 1);
  unsigned char here = 0, *buffer = alloc(pool, 5 * MIB);
  for (size_t at = 0; at < 5 * MIB; at += 5 * MIB - 1) {
    const parcel p = parcel_of(buffer + at, &here, 0, 0);
    procpool_future *future = test_submit(pool, task_where, &p, sizeof(p));
    const void *found[3] = {&here, &here, &here};
    CHECK_OK(procpool_future_result(future, PROCPOOL_FOREVER, found, sizeof(found), NULL));
    CHECK(found[0] == buffer + at);
    CHECK(found[1] == NULL);
    CHECK(found[2] == NULL);
    CHECK_OK(procpool_future_release(future));
  }
  test_close(pool);
}

/* A spawned process that has something else in the segment's place; see elsewhere.c. */
TEST(buffers_in_a_process_that_has_them_elsewhere) {
  char output[2000];
  CHECK_EQ(test_run(output, sizeof(output), test_path("elsewhere"), "always", (char *)NULL), 0);
  CHECK_TEXT(output, "7 starts, elsewhere\n");
  CHECK_EQ(test_run(output, sizeof(output), test_path("elsewhere"), "twice", (char *)NULL), 0);
  CHECK_TEXT(output, "3 starts, the same place\n");
  CHECK_EQ(test_run(output, sizeof(output), test_path("elsewhere"), "never", (char *)NULL), 0);
  CHECK_TEXT(output, "1 starts, the same place\n");
}

static void task_child_writes(procpool_task *task) {
  const parcel *p = (const parcel *)procpool_task_argument(task, NULL);
  const pid_t child = fork();
  int status;
  if (child == 0) {
    if (!pattern_holds(p->from, p->size, p->seed))
      _exit(3);
    memset(p->from, 0, p->size);
    _exit(4);
  }
  status = test_wait_exit(child);
  procpool_task_return(task, &status, sizeof(status));
}

TEST_STARTS(buffers_a_tasks_child_reads_and_does_not_write, PROCESSES) {
  procpool *pool = test_open(start, 1);
  unsigned char *buffer = alloc(pool, 2 * MIB);
  const parcel p = parcel_of(buffer, NULL, 2 * MIB, 6);
  procpool_future *future;
  int status = 0;
  pattern_fill(buffer, 2 * MIB, 6);
  future = test_submit(pool, task_child_writes, &p, sizeof(p));
  CHECK_OK(procpool_future_result(future, PROCPOOL_FOREVER, &status, sizeof(status), NULL));
  CHECK_EQ(status, -SIGSEGV);
  CHECK(pattern_holds(buffer, 2 * MIB, 6));
  CHECK_OK(procpool_future_release(future));
  test_close(pool);
}

/* ---- freed while in use ---- */

/* Holds its buffer until the gate opens, and says whether it stayed as it was. */
static void task_hold(procpool_task *task) {
  const parcel *p = (const parcel *)procpool_task_argument(task, NULL);
  page_attach(p->job.host, p->job.descriptor);
  gate_add(&page->started, 1);
  gate_wait(&page->word[p->job.number], 1);
  if (!pattern_holds(p->from, p->size, p->seed))
    procpool_task_fail(task, 1, "another process has written there");
}

static procpool_future *hold(procpool *pool, unsigned char *buffer, size_t size, int gate) {
  parcel p = parcel_of(buffer, NULL, size, 3);
  const int started = gate_read(&page->started);
  procpool_future *future;
  p.job.number = gate;
  pattern_fill(buffer, size, 3);
  future = test_submit(pool, task_hold, &p, sizeof(p));
  gate_wait(&page->started, started + 1);
  return future;
}

static void freed_while_used(procpool *pool, size_t size, int gate) {
  enum { OTHERS = 8 };
  unsigned char *buffer = alloc(pool, size), *others[OTHERS], *again;
  procpool_future *future = hold(pool, buffer, size, gate);
  CHECK_OK(procpool_shared_free(pool, buffer));
  CHECK_STATUS(procpool_shared_free(pool, buffer), PROCPOOL_ARGUMENT);
  for (int i = 0; i < OTHERS; i++) {
    others[i] = alloc(pool, size);
    CHECK(!overlap(others[i], size, buffer, size));
    memset(others[i], 0x77, size);
    CHECK_WORKS(pool); /* later tasks come and go */
    if (i % 2 == 0)
      CHECK_OK(procpool_shared_free(pool, others[i]));
  }
  gate_add(&page->word[gate], 1);
  CHECK_SETTLES(future, PROCPOOL_OK);
  CHECK_OK(procpool_future_release(future));
  again = alloc(pool, size);
  for (int i = 0; again != buffer && i < 2 * OTHERS; i++)
    again = alloc(pool, size);
  CHECK(again == buffer);
}

TEST_STARTS(buffers_freed_while_a_task_uses_them, CONCURRENT) {
  procpool *pool = test_open(start, 2);
  freed_while_used(pool, 200, 1);
  freed_while_used(pool, 100000, 2);
  freed_while_used(pool, 3 * MIB, 3);
  test_close(pool);
}

/* The host keeps some tasks in flight for ever: every buffer comes back all the same. */
TEST_STARTS(buffers_freed_in_an_endless_stream, EVERY) {
  enum { WINDOW = 8 };
  procpool *pool = test_open(start, 2);
  procpool_future *futures[WINDOW] = {NULL};
  const size_t size = 300000;
  uint64_t most = 0, begin;
  CHECK_WORKS(pool);
  begin = test_stats(pool).shared_bytes;
  for (int i = 0; i < test_rounds(1500); i++) {
    procpool_future **f = &futures[i % WINDOW];
    unsigned char *from = alloc(pool, size), *to = alloc(pool, size);
    const parcel p = parcel_of(from, to, i % 16 == 0 ? size : 64, (unsigned)i);
    uint64_t now;
    if (*f != NULL) {
      CHECK_SETTLES(*f, PROCPOOL_OK);
      CHECK_OK(procpool_future_release(*f));
    }
    pattern_fill(from, p.size, (unsigned)i);
    *f = test_submit(pool, task_carry, &p, sizeof(p));
    CHECK_OK(procpool_shared_free(pool, from));
    CHECK_OK(procpool_shared_free(pool, to));
    now = test_stats(pool).shared_bytes;
    most = now > most ? now : most;
  }
  CHECK_LE(most - begin, (uint64_t)5 * WINDOW * 2 * 524288); /* those of two epochs, each as long as the window */
  for (int i = 0; i < WINDOW; i++)
    if (futures[i] != NULL) {
      CHECK_SETTLES(futures[i], PROCPOOL_OK);
      CHECK_OK(procpool_future_release(futures[i]));
    }
  test_close(pool);
}

/* However their users end, they come back then and not before. */
TEST_STARTS_LIMIT(buffers_whose_users_are_cancelled_crash_or_time_out, PROCESSES, 60) {
  const size_t size = 3 * MIB;
  procpool *pool = test_open(start, 1);
  for (int i = 0; i < 4; i++) {
    unsigned char *buffer = alloc(pool, size), *other, *again;
    const test_job job = job_with(0, SIGKILL);
    procpool_future *future, *queued = NULL;
    procpool_submit_options options;
    parcel p = parcel_of(buffer, NULL, size, 3);
    memset(&options, 0, sizeof(options));
    pattern_fill(buffer, size, 3);
    options.time_limit = i == 2 ? 0.2 : 0;
    options.grace = -1;
    p.job.number = 10 + i;
    CHECK_OK(procpool_submit(pool, task_hold, &p, sizeof(p), &options, &future));
    if (i != 2) /* it runs, so the next one waits */
      while (!procpool_future_running(future))
        sched_yield();
    if (i == 0)
      queued = test_submit(pool, task_hold, &p, sizeof(p));
    CHECK_OK(procpool_shared_free(pool, buffer));
    other = alloc(pool, size);
    CHECK(!overlap(other, size, buffer, size));
    if (queued != NULL) {
      CHECK_STATUS(procpool_future_cancel(queued), PROCPOOL_CANCELLED);
      CHECK_OK(procpool_future_release(queued));
      CHECK(!overlap(alloc(pool, size), size, buffer, size)); /* the other one has it still */
    }
    if (i == 1 || i == 0)
      CHECK_STATUS(procpool_future_cancel_kill(future, -1), PROCPOOL_PENDING);
    if (i == 3) {
      const test_job die = job;
      procpool_future *dead;
      gate_add(&page->word[13], 1);
      CHECK_SETTLES(future, PROCPOOL_OK);
      dead = test_submit(pool, task_die, &die, sizeof(die));
      CHECK_SETTLES(dead, PROCPOOL_CRASHED);
      CHECK_OK(procpool_future_release(dead));
    } else {
      CHECK_SETTLES(future, i == 2 ? PROCPOOL_TIMEOUT : PROCPOOL_CANCELLED);
    }
    CHECK_OK(procpool_future_release(future));
    again = alloc(pool, size);
    CHECK(again == buffer);
    CHECK_OK(procpool_shared_free(pool, again));
    CHECK_OK(procpool_shared_free(pool, other));
  }
  test_close(pool);
}

static void free_in_callback(procpool_future *future, void *context) {
  procpool *pool = *(procpool **)context;
  unsigned char *buffer = (unsigned char *)procpool_shared_alloc(pool, 100);
  (void)future;
  CHECK(buffer != NULL);
  CHECK_OK(procpool_shared_free(pool, buffer));
}

TEST_STARTS(buffers_in_callbacks, EVERY) {
  procpool *pool = test_open(start, 1);
  procpool_future *future = test_submit(pool, task_nothing, NULL, 0);
  CHECK_OK(procpool_future_add_done_callback(future, free_in_callback, &pool));
  CHECK_SETTLES(future, PROCPOOL_OK);
  CHECK_OK(procpool_future_release(future));
  test_close(pool);
}

static void task_alloc(procpool_task *task) {
  procpool *pool = *(procpool *const *)procpool_task_argument(task, NULL);
  unsigned char *buffer = (unsigned char *)procpool_shared_alloc(pool, 3 * MIB);
  const bool good = buffer != NULL && procpool_task_shared(task, buffer) == buffer &&
                    procpool_shared_free(pool, buffer) == PROCPOOL_OK;
  procpool_task_return(task, &good, sizeof(good));
}

TEST_STARTS(buffers_in_tasks_that_share_the_hosts_memory, THREAD | INLINE) {
  procpool *pool = test_open(start, 1);
  procpool_future *future = test_submit(pool, task_alloc, &pool, sizeof(pool));
  bool good = false;
  CHECK_OK(procpool_future_result(future, PROCPOOL_FOREVER, &good, sizeof(good), NULL));
  CHECK(good);
  CHECK_OK(procpool_future_release(future));
  test_close(pool);
}

/* ---- arguments and results in place ---- */

static procpool_submit_options in_place(void *result, size_t size, bool shared) {
  procpool_submit_options options;
  memset(&options, 0, sizeof(options));
  options.result = result;
  options.result_size = size;
  options.shared_argument = shared;
  return options;
}

static procpool_future *submit_in_place(procpool *pool, procpool_function function, const void *argument, size_t size,
                                        const procpool_submit_options *options) {
  procpool_future *future = NULL;
  CHECK_OK(procpool_submit(pool, function, argument, size, options, &future));
  return future;
}

/* Its argument, and where it was. */
static void task_address(procpool_task *task) {
  const void *argument = procpool_task_argument(task, NULL);
  procpool_task_return(task, &argument, sizeof(argument));
}

TEST_STARTS(buffers_argument_in_place, EVERY) {
  procpool *pool = test_open(start, 1);
  unsigned char *buffer = alloc(pool, 3 * MIB);
  static const size_t lengths[] = {0, 1, 16, 17, 32, 33, 5000, 2 * MIB};
  const procpool_submit_options options = in_place(NULL, 0, true);
  pattern_fill(buffer, 3 * MIB, 8);
  for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++)
    for (size_t at = 0; at < 4000; at += 1333) {
      procpool_future *future = submit_in_place(pool, task_sum, buffer + at, lengths[i], &options);
      uint64_t sum = 0;
      const void *where = NULL;
      CHECK_OK(procpool_future_result(future, PROCPOOL_FOREVER, &sum, sizeof(sum), NULL));
      CHECK_EQ(sum, pattern_sum(buffer + at, lengths[i]));
      CHECK_OK(procpool_future_release(future));
      future = submit_in_place(pool, task_address, buffer + at, lengths[i], &options);
      CHECK_OK(procpool_future_result(future, PROCPOOL_FOREVER, (void *)&where, sizeof(where), NULL));
      CHECK(where == buffer + at);
      CHECK_OK(procpool_future_release(future));
    }
  test_close(pool);
}

/* Returns so many bytes of a pattern. */
typedef struct order {
  uint32_t size, seed;
} order;

static void task_make_order(procpool_task *task) {
  size_t size;
  const order *o = (const order *)procpool_task_argument(task, &size);
  void *result = procpool_task_result(task, o->size);
  if (result != NULL)
    pattern_fill(result, o->size, o->seed + (unsigned)size);
}

static void check_in_place(procpool *pool, size_t argument_size, uint32_t size, size_t capacity, bool shared) {
  const size_t guard = 64;
  unsigned char *place = alloc(pool, capacity + 2 * guard), *argument = alloc(pool, argument_size), *copy;
  const order o = {size, size + 5};
  const procpool_submit_options options = in_place(place + guard, capacity, shared);
  procpool_future *future;
  size_t got = 0;
  memset(place, 0xab, capacity + 2 * guard);
  memset(argument, 0, argument_size);
  memcpy(argument, &o, sizeof(o));
  copy = (unsigned char *)malloc(argument_size + size + 1);
  CHECK(copy != NULL);
  memcpy(copy, argument, argument_size);
  future = submit_in_place(pool, task_make_order, shared ? argument : copy, argument_size, &options);
  if (size > capacity) {
    CHECK_SETTLES(future, PROCPOOL_TRANSFER);
    CHECK_TEXT(test_error(future).message, "the result is larger than its place");
    CHECK(procpool_future_data(future, &got) == NULL);
  } else {
    CHECK_OK(procpool_future_result(future, PROCPOOL_FOREVER, copy, size, &got));
    CHECK_EQ(got, size);
    CHECK(pattern_holds(copy, size, o.seed + (unsigned)argument_size));
    CHECK(procpool_future_data(future, &got) == place + guard);
    CHECK_EQ(got, size);
    CHECK(pattern_holds(place + guard, size, o.seed + (unsigned)argument_size));
    if (size > 0)
      CHECK_STATUS(procpool_future_result(future, 0, copy, size - 1, &got), PROCPOOL_TOO_SMALL);
    CHECK_OK(procpool_future_result(future, 0, place + guard, capacity, &got)); /* onto itself */
    CHECK(pattern_holds(place + guard, size, o.seed + (unsigned)argument_size));
  }
  for (size_t i = 0; i < guard; i++)
    CHECK(place[i] == 0xab && place[guard + capacity + i] == 0xab);
  CHECK_OK(procpool_future_release(future));
  CHECK_OK(procpool_shared_free(pool, place));
  CHECK_OK(procpool_shared_free(pool, argument));
  free(copy);
}

TEST_STARTS(buffers_result_in_place, EVERY) {
  procpool_options options;
  procpool *pool;
  static const uint32_t results[] = {0, 1, 15, 16, 17, 100, 3000, 70000, 3 * MIB};
  static const size_t arguments[] = {8, 16, 17, 32, 33, 5000};
  memset(&options, 0, sizeof(options));
  options.ring_size = 4096; /* nothing of a large result passes through it */
  pool = test_open_with(start, 1, &options);
  for (size_t i = 0; i < sizeof(results) / sizeof(results[0]); i++)
    for (size_t j = 0; j < sizeof(arguments) / sizeof(arguments[0]); j++) {
      const bool shared = (i + j) % 2 == 0;
      check_in_place(pool, arguments[j], results[i], results[i], shared);
      check_in_place(pool, arguments[j], results[i], (size_t)results[i] + 77, !shared);
      if (results[i] > 0)
        check_in_place(pool, arguments[j], results[i], (size_t)results[i] - 1, shared);
    }
  CHECK_EQ(test_stats(pool).crashed, 0);
  test_close(pool);
}

static void task_result_in_turns(procpool_task *task) {
  memset(procpool_task_result(task, 100), 'x', 100);
  memset(procpool_task_result(task, 50), 'y', 50);
  (void)procpool_task_result(task, 101); /* does not fit: but it is not the last */
  memset(procpool_task_result(task, 10), 'z', 10);
}

TEST_STARTS(buffers_result_in_place_is_replaced, EVERY) {
  procpool *pool = test_open(start, 1);
  unsigned char *place = alloc(pool, 100);
  const procpool_submit_options options = in_place(place, 100, false);
  procpool_future *future = submit_in_place(pool, task_result_in_turns, NULL, 0, &options);
  size_t size = 0;
  CHECK_SETTLES(future, PROCPOOL_OK);
  CHECK(procpool_future_data(future, &size) == place);
  CHECK_EQ(size, 10);
  CHECK_BYTES(place, "zzzzzzzzzz", 10);
  CHECK_OK(procpool_future_release(future));
  future = submit_in_place(pool, task_nothing, NULL, 0, &options); /* none at all */
  CHECK_SETTLES(future, PROCPOOL_OK);
  CHECK(procpool_future_data(future, &size) == NULL);
  CHECK_EQ(size, 0);
  CHECK_OK(procpool_future_result(future, 0, NULL, 0, &size));
  CHECK_EQ(size, 0);
  CHECK_OK(procpool_future_release(future));
  test_close(pool);
}

TEST_STARTS(buffers_result_in_place_that_fails, EVERY) {
  procpool *pool = test_open(start, 1);
  unsigned char *place = alloc(pool, 5000);
  const procpool_submit_options options = in_place(place, 5000, false);
  const test_job job = job_with(4, 9), death = job_with(0, SIGKILL);
  size_t size = 1;
  procpool_future *future = submit_in_place(pool, task_fail, &job, sizeof(job), &options);
  CHECK_SETTLES(future, PROCPOOL_FAILED);
  CHECK_EQ(test_error(future).code, 9);
  CHECK(procpool_future_data(future, &size) == NULL);
  CHECK_EQ(size, 0);
  CHECK_OK(procpool_future_release(future));
  if (start <= PROCPOOL_START_SPAWN) {
    future = submit_in_place(pool, task_die, &death, sizeof(death), &options);
    CHECK_SETTLES(future, PROCPOOL_CRASHED);
    CHECK(procpool_future_data(future, &size) == NULL);
    CHECK_OK(procpool_future_release(future));
  }
  CHECK_WORKS(pool);
  test_close(pool);
}

/* The future has been released: the result is there nevertheless when all is done. */
TEST_STARTS(buffers_result_in_place_of_released_futures, EVERY) {
  enum { COUNT = 200, SIZE = 3000 };
  procpool *pool = test_open(start, 2);
  unsigned char *place = alloc(pool, COUNT * SIZE);
  for (int i = 0; i < COUNT; i++) {
    const order o = {SIZE, (uint32_t)i};
    const procpool_submit_options options = in_place(place + i * SIZE, SIZE, false);
    procpool_future *future = NULL;
    CHECK_OK(procpool_submit(pool, task_make_order, &o, sizeof(o), &options, i % 2 ? &future : NULL));
    CHECK_OK(procpool_future_release(future));
  }
  CHECK_OK(procpool_shutdown(pool, PROCPOOL_DRAIN, PROCPOOL_FOREVER));
  for (int i = 0; i < COUNT; i++)
    CHECK(pattern_holds(place + i * SIZE, SIZE, (unsigned)i + (unsigned)sizeof(order)));
  CHECK_OK(procpool_free(pool));
}

static void check_submit_refused(procpool *pool, const void *argument, size_t size,
                                 const procpool_submit_options *options) {
  const procpool_stats before = test_stats(pool);
  procpool_future *future = (procpool_future *)(void *)pool;
  CHECK_STATUS(procpool_submit(pool, task_nothing, argument, size, options, &future), PROCPOOL_ARGUMENT);
  CHECK(future == NULL);
  CHECK_EQ(test_stats(pool).submitted, before.submitted);
}

TEST_STARTS(buffers_in_place_must_be_live_buffers, EVERY) {
  procpool *pool = test_open(start, 1), *other = test_open(PROCPOOL_START_INLINE, 1);
  unsigned char here[64] = {0}, *a = alloc(pool, 1000), *b = alloc(pool, 1000), *gone = alloc(pool, 3 * MIB),
                *foreign = alloc(other, 100);
  procpool_submit_options options = in_place(NULL, 0, true);
  CHECK_OK(procpool_shared_free(pool, gone));
  check_submit_refused(pool, here, sizeof(here), &options);
  check_submit_refused(pool, a, 1001, &options);
  check_submit_refused(pool, a + 999, 2, &options);
  check_submit_refused(pool, a - 1, 10, &options);
  check_submit_refused(pool, gone, 10, &options);
  check_submit_refused(pool, foreign, 10, &options);
  check_submit_refused(pool, NULL, 0, &options);
  check_submit_refused(pool, a, PTRDIFF_MAX, &options);
  options = in_place(here, 10, false);
  check_submit_refused(pool, NULL, 0, &options);
  options = in_place(b, 1001, false);
  check_submit_refused(pool, NULL, 0, &options);
  options = in_place(b, SIZE_MAX, false);
  check_submit_refused(pool, NULL, 0, &options);
  options = in_place(gone, 1, false);
  check_submit_refused(pool, NULL, 0, &options);
  options = in_place(NULL, 1, false);
  check_submit_refused(pool, NULL, 0, &options);
  options = in_place(b + 1000, 0, true);
  CHECK_OK(procpool_submit(pool, task_nothing, a + 1000, 0, &options, NULL)); /* the end is still within it */
  CHECK_WORKS(pool);
  test_close(other);
  test_close(pool);
}

/* Several at once: each has its part of the arrays. */
TEST_STARTS(buffers_of_submit_many, EVERY) {
  enum { COUNT = 500, PLACE = 24 };
  procpool *pool = test_open(start, 2);
  order *orders = (order *)(void *)alloc(pool, COUNT * sizeof(order));
  unsigned char *places = alloc(pool, COUNT * PLACE);
  static procpool_future *futures[COUNT];
  procpool_submit_options options = in_place(places, PLACE, true);
  size_t submitted = 7, size;
  for (unsigned i = 0; i < COUNT; i++) {
    orders[i].size = i % (PLACE + 1);
    orders[i].seed = i;
  }
  CHECK_OK(procpool_submit_many(pool, task_make_order, orders, sizeof(order), COUNT, &options, futures, &submitted));
  CHECK_EQ(submitted, COUNT);
  for (unsigned i = 0; i < COUNT; i++) {
    CHECK_SETTLES(futures[i], PROCPOOL_OK);
    CHECK(procpool_future_data(futures[i], &size) == places + i * PLACE);
    CHECK_EQ(size, i % (PLACE + 1));
    CHECK(pattern_holds(places + i * PLACE, size, i + (unsigned)sizeof(order)));
    CHECK_OK(procpool_future_release(futures[i]));
  }
  CHECK_STATUS(
      procpool_submit_many(pool, task_make_order, orders, sizeof(order), COUNT + 1, &options, NULL, &submitted),
      PROCPOOL_ARGUMENT);
  CHECK_EQ(submitted, 0);
  options = in_place(places, PLACE + 1, false);
  CHECK_STATUS(procpool_submit_many(pool, task_make_order, orders, sizeof(order), COUNT, &options, NULL, &submitted),
               PROCPOOL_ARGUMENT);
  CHECK_EQ(submitted, 0);
  CHECK_EQ(test_stats(pool).submitted, COUNT);
  test_close(pool);
}

/* ---- map ---- */

PROCPOOL_FUNCTION(int, plus_one, int, x) {
  return x + 1;
}

typedef struct arrays {
  int *in, *out, *in_base, *out_base;
  bool in_shared, out_shared;
  size_t count;
} arrays;

enum { GUARD = 32 };

static int *array_open(procpool *pool, size_t count, bool shared) {
  const size_t bytes = (count + 2 * GUARD) * sizeof(int);
  int *array = (int *)(shared ? (void *)alloc(pool, bytes) : malloc(bytes));
  CHECK(array != NULL);
  for (size_t i = 0; i < count + 2 * GUARD; i++)
    array[i] = -7;
  return array;
}

static void array_close(procpool *pool, int *array, size_t count, bool shared) {
  for (size_t i = 0; i < GUARD; i++)
    CHECK(array[i] == -7 && array[count + GUARD + i] == -7);
  if (shared)
    CHECK_OK(procpool_shared_free(pool, array));
  else
    free(array);
}

static arrays arrays_open(procpool *pool, size_t count, int which) {
  arrays a;
  memset(&a, 0, sizeof(a));
  a.count = count;
  a.in_shared = (which & 1) != 0;
  a.out_shared = (which & 2) != 0;
  a.in_base = array_open(pool, count, a.in_shared);
  a.out_base = array_open(pool, count, a.out_shared);
  a.in = a.in_base + GUARD;
  a.out = a.out_base + GUARD;
  for (size_t i = 0; i < count; i++)
    a.in[i] = (int)i * 5;
  return a;
}

static void arrays_close(procpool *pool, arrays *a) {
  array_close(pool, a->in_base, a->count, a->in_shared);
  array_close(pool, a->out_base, a->count, a->out_shared);
}

TEST_STARTS(buffers_map_equals_serial, EVERY) {
  procpool *pool = test_open(start, 2);
  static const size_t counts[] = {1, 2, 7, 1000, 100000}, chunks[] = {0, 1, 3, 100, 1000000};
  for (int which = 0; which < 4; which++)
    for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++)
      for (size_t j = 0; j < sizeof(chunks) / sizeof(chunks[0]); j++) {
        arrays a = arrays_open(pool, counts[i], which);
        procpool_map_options options;
        memset(&options, 0, sizeof(options));
        options.chunksize = chunks[j];
        if (counts[i] == 100000 && chunks[j] > 0 && chunks[j] < 100)
          options.chunksize = 997;
        CHECK_OK(plus_one_map_with(pool, a.in, a.out, a.count, &options));
        for (size_t k = 0; k < a.count; k++)
          CHECK(a.out[k] == a.in[k] + 1 && a.in[k] == (int)k * 5);
        CHECK_OK(procpool_map(pool, task_twice, a.in, sizeof(int), a.out, sizeof(int), a.count, &options));
        for (size_t k = 0; k < a.count; k++)
          CHECK(a.out[k] == 2 * a.in[k]);
        arrays_close(pool, &a);
      }
  test_close(pool);
}

/* Both at once: the array is worked on where it is. */
TEST_STARTS(buffers_map_onto_itself, EVERY) {
  procpool *pool = test_open(start, 2);
  arrays a = arrays_open(pool, 50000, 3);
  CHECK_OK(plus_one_map(pool, a.in, a.in, a.count));
  for (size_t k = 0; k < a.count; k++)
    CHECK_EQ(a.in[k], (int)k * 5 + 1);
  arrays_close(pool, &a);
  test_close(pool);
}

/* Nothing is copied: a map over 64 MiB takes no more shared memory than its chunks do. */
TEST_STARTS(buffers_map_copies_nothing, FORK | THREAD) {
  procpool *pool = test_open(start, 2);
  const size_t count = (size_t)32 * MIB / sizeof(int);
  arrays a = arrays_open(pool, count, 3);
  procpool_map_options options;
  uint64_t before;
  memset(&options, 0, sizeof(options));
  options.chunksize = 65536;
  CHECK_WORKS(pool);
  before = test_stats(pool).shared_bytes;
  CHECK_OK(plus_one_map_with(pool, a.in, a.out, count, &options));
  for (size_t k = 0; k < count; k++)
    CHECK(a.out[k] == a.in[k] + 1);
  CHECK_LE(test_stats(pool).shared_bytes, before + 8 * MIB);
  CHECK_GE(test_stats(pool).settled, 1 + count / 65536); /* more: one that ran was divided */
  arrays_close(pool, &a);
  test_close(pool);
}

/* Fails, gives nothing, dies, runs on, by the number. */
PROCPOOL_TASK_FUNCTION(int, moody, int, x) {
  if (x % 35 == 10)
    procpool_task_fail(task, x, "a mood");
  if (x % 1000 == 500)
    raise(SIGKILL);
  return x + 1;
}

static void task_moody(procpool_task *task) {
  const int x = *(const int *)procpool_task_argument(task, NULL), y = moody(task, x);
  if (x % 35 != 10 && x % 35 != 20)
    procpool_task_return(task, &y, sizeof(y));
  if (x % 35 == 20)
    memset(procpool_task_result(task, 2 * sizeof(int)), 1, 2 * sizeof(int)); /* too large */
}

static void map_moody(procpool *pool, int which, size_t chunksize, bool typed, bool deaths) {
  enum { COUNT = 2000 };
  arrays a = arrays_open(pool, COUNT, which);
  static procpool_status statuses[COUNT];
  procpool_map_options options;
  procpool_error error;
  size_t bad = 0;
  memset(&options, 0, sizeof(options));
  options.statuses = statuses;
  options.error = &error;
  options.chunksize = chunksize;
  for (size_t i = 0; !deaths && i < COUNT; i++)
    a.in[i] = a.in[i] % 1000 == 500 ? a.in[i] + 1 : a.in[i];
  CHECK_NE(typed ? moody_map_with(pool, a.in, a.out, COUNT, &options)
                 : procpool_map(pool, task_moody, a.in, sizeof(int), a.out, sizeof(int), COUNT, &options),
           PROCPOOL_OK);
  for (size_t i = 0; i < COUNT; i++) {
    const int x = a.in[i];
    procpool_status expected = PROCPOOL_OK;
    if (x % 1000 == 500)
      expected = PROCPOOL_CRASHED;
    else if (x % 35 == 10)
      expected = PROCPOOL_FAILED;
    else if (!typed && x % 35 == 20)
      expected = PROCPOOL_TRANSFER;
    CHECK_STATUS(statuses[i], expected);
    bad += expected != PROCPOOL_OK;
    if (expected == PROCPOOL_OK)
      CHECK_EQ(a.out[i], x + 1);
    else if (!a.out_shared)
      CHECK_EQ(a.out[i], -7); /* as it was */
  }
  CHECK_EQ(options.failed_item, 2);
  CHECK_EQ(options.failed_count, bad);
  CHECK_EQ(error.code, 10);
  CHECK_TEXT(error.message, "a mood");
  arrays_close(pool, &a);
}

TEST_STARTS_LIMIT(buffers_map_with_failures_and_deaths, EVERY, 60) {
  procpool *pool = test_open(start, 2);
  static const size_t chunks[] = {0, 1, 50, 2000};
  const bool deaths = start <= PROCPOOL_START_SPAWN;
  for (int which = 0; which < 4; which++)
    for (size_t i = 0; i < sizeof(chunks) / sizeof(chunks[0]); i++) {
      map_moody(pool, which, chunks[i], true, false);
      map_moody(pool, which, chunks[i], false, false);
      if (deaths) {
        map_moody(pool, which, chunks[i], true, true);
        map_moody(pool, which, chunks[i], false, true);
      }
    }
  CHECK_WORKS(pool);
  test_close(pool);
}

static void check_map_refused(procpool *pool, const void *in, void *out, size_t count) {
  const procpool_stats before = test_stats(pool);
  procpool_status status = PROCPOOL_END;
  procpool_map_options options;
  memset(&options, 0, sizeof(options));
  options.statuses = &status;
  options.failed_count = 99;
  CHECK_STATUS(procpool_map(pool, task_twice, in, sizeof(int), out, sizeof(int), count, &options), PROCPOOL_ARGUMENT);
  CHECK_STATUS(status, PROCPOOL_END); /* nothing was touched */
  CHECK_EQ(options.failed_count, 99);
  CHECK_EQ(test_stats(pool).submitted, before.submitted);
}

TEST_STARTS(buffers_map_over_half_a_buffer_is_refused, EVERY) {
  procpool *pool = test_open(start, 1);
  int here[100] = {0}, *a = (int *)(void *)alloc(pool, 100 * sizeof(int)), *gone = (int *)(void *)alloc(pool, 3 * MIB);
  CHECK_OK(procpool_shared_free(pool, gone));
  memset(a, 0, 100 * sizeof(int));
  check_map_refused(pool, a, here, 101);
  check_map_refused(pool, a + 1, here, 100);
  check_map_refused(pool, a - 1, here, 10);
  check_map_refused(pool, here, a + 50, 51);
  check_map_refused(pool, here, gone, 10);
  check_map_refused(pool, gone, here, 10);
  check_map_refused(pool, a, here, SIZE_MAX / 2);
  CHECK_OK(procpool_map(pool, task_twice, a, sizeof(int), here, sizeof(int), 100, NULL));
  CHECK_OK(procpool_map(pool, task_twice, a, 0, NULL, 0, 0, NULL));
  test_close(pool);
}

static void task_slow_echo(procpool_task *task) {
  usleep(2000);
  task_twice(task);
}

/* A map that is left, and its buffers freed at once: the tasks that go on have them to themselves. */
TEST_STARTS(buffers_of_an_abandoned_map, CONCURRENT) {
  procpool *pool = test_open(start, 2);
  for (int round = 0; round < 5; round++) {
    arrays a = arrays_open(pool, 200, 3);
    procpool_map_options options;
    unsigned char *others[20];
    memset(&options, 0, sizeof(options));
    options.chunksize = 10;
    options.timeout = 0.03;
    CHECK_STATUS(procpool_map(pool, task_slow_echo, a.in, sizeof(int), a.out, sizeof(int), a.count, &options),
                 PROCPOOL_PENDING);
    arrays_close(pool, &a);
    for (int i = 0; i < 20; i++) {
      others[i] = alloc(pool, 1000);
      memset(others[i], 0x11, 1000);
    }
    while (test_stats(pool).settled != test_stats(pool).submitted)
      usleep(1000);
    for (int i = 0; i < 20; i++) {
      for (int k = 0; k < 1000; k++)
        CHECK_EQ(others[i][k], 0x11);
      CHECK_OK(procpool_shared_free(pool, others[i]));
    }
  }
  CHECK_EQ(test_stats(pool).crashed, 0);
  test_close(pool);
}

/* ---- the end ---- */

TEST_STARTS(buffers_after_a_shutdown, EVERY) {
  procpool *pool = test_open(start, 1);
  unsigned char *a = alloc(pool, 3 * MIB), *b = alloc(pool, 100);
  const order o = {100, 1};
  const procpool_submit_options options = in_place(b, 100, false);
  procpool_future *future;
  unsigned char copy[100];
  size_t size = 7;
  pattern_fill(a, 3 * MIB, 1);
  future = submit_in_place(pool, task_make_order, &o, sizeof(o), &options);
  CHECK_OK(procpool_shutdown(pool, PROCPOOL_DRAIN, PROCPOOL_FOREVER));
  CHECK(pattern_holds(a, 3 * MIB, 1));
  check_refused(pool, 10, PROCPOOL_SHUTDOWN, 0);
  CHECK_OK(procpool_shared_free(pool, a));
  CHECK_STATUS(procpool_shared_free(pool, a), PROCPOOL_ARGUMENT);
  CHECK_SETTLES(future, PROCPOOL_OK);
  CHECK(procpool_future_data(future, &size) == b);
  CHECK_OK(procpool_free(pool));
  CHECK(procpool_future_data(future, &size) == NULL); /* the buffer went with the pool */
  CHECK_EQ(size, 0);
  CHECK_STATUS(procpool_future_result(future, 0, copy, sizeof(copy), &size), PROCPOOL_HANDLE);
  CHECK_STATUS(procpool_future_status(future), PROCPOOL_OK);
  CHECK_OK(procpool_future_release(future));
}

TEST_STARTS(buffers_of_a_broken_pool, PROCESSES) {
  procpool *pool = test_open(start, 2);
  unsigned char *a = alloc(pool, 3 * MIB), *b = alloc(pool, 100);
  procpool_future *future = hold(pool, a, 3 * MIB, 1);
  CHECK_OK(procpool_shared_free(pool, b));
  CHECK_EQ(kill((pid_t)test_supervisor(pool), SIGKILL), 0);
  CHECK_SETTLES(future, PROCPOOL_BROKEN);
  CHECK(pattern_holds(a, 3 * MIB, 3));
  check_refused(pool, 10, PROCPOOL_BROKEN, 0);
  CHECK_OK(procpool_shared_free(pool, a));
  CHECK_STATUS(procpool_shared_free(pool, a), PROCPOOL_ARGUMENT);
  CHECK_OK(procpool_future_release(future));
  CHECK_OK(procpool_free(pool));
}

/* ---- many threads ---- */

typedef struct side {
  procpool *pool;
  unsigned seed;
} side;

static void *thread_of_buffers(void *context) {
  const side *s = (const side *)context;
  for (int i = 0; i < test_rounds(100); i++) {
    const size_t size = (size_t)1 << (6 + (i + (int)s->seed) % 16);
    unsigned char *from = alloc(s->pool, size), *to = alloc(s->pool, size);
    const parcel p = parcel_of(from, to, size, s->seed);
    procpool_future *future;
    pattern_fill(from, size, s->seed);
    future = test_submit(s->pool, task_carry, &p, sizeof(p));
    if (i % 3 == 0)
      CHECK_OK(procpool_shared_free(s->pool, from));
    CHECK_SETTLES(future, PROCPOOL_OK);
    CHECK(pattern_holds(to, size, s->seed + 1));
    CHECK_OK(procpool_future_release(future));
    if (i % 3 != 0)
      CHECK_OK(procpool_shared_free(s->pool, from));
    CHECK_OK(procpool_shared_free(s->pool, to));
  }
  return NULL;
}

TEST_STARTS_LIMIT(buffers_of_many_threads, EVERY, 60) {
  enum { THREADS = 4 };
  procpool *pool = test_open(start, 2);
  pthread_t threads[THREADS];
  side sides[THREADS];
  for (unsigned i = 0; i < THREADS; i++) {
    sides[i].pool = pool;
    sides[i].seed = 100 * i;
    threads[i] = test_thread(thread_of_buffers, &sides[i]);
  }
  for (int i = 0; i < THREADS; i++)
    (void)test_join(threads[i]);
  test_close(pool);
}

/* Free memory beyond what is kept warm goes back by parts, and each part makes the list of free extents longer. */
TEST_STARTS(r148_memory_given_back_by_parts, EVERY) {
  enum { BASE = 16, LARGE = 30 };
  procpool_options options = {.max_memory = (size_t)1 << 30, .max_queued = 1024};
  procpool *pool = test_open_with(start, 1, &options);
  unsigned char *argument = (unsigned char *)calloc(1, 6 * MIB);
  procpool_future *base[BASE], *large[LARGE];
  CHECK(argument != NULL);
  for (int i = 0; i < BASE; i++) {
    base[i] = test_submit(pool, task_nothing, argument, 4 * MIB);
    (void)alloc(pool, 2 * MIB); /* keeps them apart */
  }
  for (int i = 0; i < LARGE; i++)
    large[i] = test_submit(pool, task_nothing, argument, 6 * MIB);
  for (int i = 0; i < BASE + LARGE; i++)
    CHECK_SETTLES(i < BASE ? base[i] : large[i - BASE], PROCPOOL_OK);
  for (int i = 0; i < BASE + LARGE; i++)
    CHECK_OK(procpool_future_release(i < BASE ? base[i] : large[i - BASE]));
  free(argument);
  test_close(pool);
}

/* ---- memory that is to come back ---- */

typedef struct maker {
  procpool *pool;
  procpool_status status;
} maker;

static void task_slow_item(procpool_task *task) {
  void *result = procpool_task_result(task, 16 * MIB);
  (void)poll(NULL, 0, 20);
  if (result != NULL)
    memset(result, 1, 16 * MIB);
}

static void *map_large_results(void *context) {
  enum { COUNT = 4 };
  maker *m = (maker *)context;
  int arguments[COUNT] = {0};
  unsigned char *results = (unsigned char *)malloc((size_t)COUNT * 16 * MIB);
  procpool_map_options options = {.chunksize = 1};
  CHECK(results != NULL);
  m->status = procpool_map(m->pool, task_slow_item, arguments, sizeof(int), results, 16 * MIB, COUNT, &options);
  free(results);
  return NULL;
}

/* Two maps that each need most of the memory take turns: also while one holds it without an unsettled task. */
TEST_STARTS(r139_maps_wait_for_each_others_memory, CONCURRENT) {
  procpool_options options = {.max_memory = (size_t)24 * MIB};
  procpool *pool = test_open_with(start, 2, &options);
  maker makers[2] = {{pool, PROCPOOL_OK}, {pool, PROCPOOL_OK}};
  pthread_t threads[2];
  for (int i = 0; i < 2; i++)
    threads[i] = test_thread(map_large_results, &makers[i]);
  for (int i = 0; i < 2; i++) {
    test_join(threads[i]);
    CHECK_OK(makers[i].status);
  }
  test_close(pool);
}

static void task_gate_large_result(procpool_task *task) {
  task_gate(task);
  (void)procpool_task_result(task, (size_t)20 * MIB);
}

static void *map_of_one(void *context) {
  maker *m = (maker *)context;
  const size_t size = (size_t)20 * MIB;
  unsigned char *result = (unsigned char *)malloc(size);
  const test_job job = job_of(0);
  CHECK(result != NULL);
  m->status = procpool_map(m->pool, task_gate_large_result, &job, sizeof(job), result, size, 1, NULL);
  free(result);
  return NULL;
}

/* A submit that waits for memory hears when a map gives some back, though no further task settles. */
TEST_STARTS(r139_a_submit_hears_of_memory_that_a_map_held, CONCURRENT) {
  procpool_options options = {.max_memory = (size_t)48 * MIB};
  procpool *pool = test_open_with(start, 2, &options);
  const test_job job = job_with(1, 1);
  procpool_future *other = test_submit(pool, task_gate, &job, sizeof(job)), *future;
  unsigned char *argument = (unsigned char *)calloc(1, (size_t)20 * MIB);
  maker m = {pool, PROCPOOL_OK};
  pthread_t thread;
  double begin;
  CHECK(argument != NULL);
  (void)alloc(pool, (size_t)8 * MIB);
  thread = test_thread(map_of_one, &m);
  gate_wait(&page->started, 2);
  begin = test_now();
  gate_add(&page->word[0], 1);
  CHECK_OK(procpool_submit(pool, task_nothing, argument, (size_t)20 * MIB, NULL, &future));
  CHECK_SECONDS(test_now() - begin, <, 1 * test_slow());
  gate_add(&page->word[1], 1);
  test_join(thread);
  CHECK_OK(m.status);
  CHECK_SETTLES(other, PROCPOOL_OK);
  CHECK_SETTLES(future, PROCPOOL_OK);
  CHECK_OK(procpool_future_release(other));
  CHECK_OK(procpool_future_release(future));
  free(argument);
  test_close(pool);
}

static void *submit_much(void *context) {
  maker *m = (maker *)context;
  const size_t size = (size_t)200 * MIB;
  void *argument = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  procpool_future *future = NULL;
  CHECK(argument != MAP_FAILED);
  m->status = procpool_submit(m->pool, task_nothing, argument, size, NULL, &future);
  CHECK_OK(procpool_future_release(future));
  CHECK_EQ(munmap(argument, size), 0);
  return NULL;
}

static void *map_much(void *context) {
  maker *m = (maker *)context;
  const size_t size = (size_t)16 * MIB;
  unsigned char *in = (unsigned char *)calloc(1, size), *out = (unsigned char *)calloc(1, size);
  CHECK(in != NULL && out != NULL);
  m->status = procpool_map(m->pool, task_nothing, in, size, out, size, 1, NULL);
  free(in);
  free(out);
  return NULL;
}

/* A pool ends while a submit takes and copies memory that a map waits for. */
TEST_STARTS(r139_a_shutdown_ends_a_wait_for_memory, CONCURRENT) {
  for (int i = 0; i < 4; i++) {
    procpool_options options = {.max_memory = (size_t)201 * MIB};
    procpool *pool = test_open_with(start, 1, &options);
    maker makers[2] = {{pool, PROCPOOL_OK}, {pool, PROCPOOL_OK}};
    pthread_t threads[2];
    threads[0] = test_thread(submit_much, &makers[0]);
    (void)poll(NULL, 0, 10 * i + 5);
    threads[1] = test_thread(map_much, &makers[1]);
    (void)poll(NULL, 0, 10);
    CHECK_OK(procpool_shutdown(pool, PROCPOOL_DRAIN, PROCPOOL_FOREVER));
    for (int k = 0; k < 2; k++)
      test_join(threads[k]);
    CHECK_OK(procpool_free(pool));
  }
}

static void *submit_late(void *context) {
  maker *m = (maker *)context;
  const size_t size = (size_t)80 * MIB;
  unsigned char *argument = (unsigned char *)calloc(1, size);
  procpool_future *future = NULL;
  CHECK(argument != NULL);
  (void)poll(NULL, 0, 15);
  m->status = submit_timed(m->pool, 10 * test_slow(), task_nothing, argument, size, &future);
  CHECK_OK(procpool_future_release(future));
  free(argument);
  return NULL;
}

/* Inline there is no worker that would wake a thread: the thread that gives the memory back does. */
TEST(r139_a_wait_for_memory_inline) {
  procpool_options options = {.max_memory = (size_t)201 * MIB};
  procpool *pool = test_open_with(PROCPOOL_START_INLINE, 1, &options);
  const size_t size = (size_t)150 * MIB;
  unsigned char *argument = (unsigned char *)calloc(1, size);
  maker m = {pool, PROCPOOL_OK};
  procpool_future *future;
  pthread_t thread;
  CHECK(argument != NULL);
  memset(argument, 1, size);
  thread = test_thread(submit_late, &m);
  CHECK_OK(procpool_submit(pool, task_nothing, argument, size, NULL, &future));
  test_join(thread);
  CHECK_OK(m.status);
  CHECK_OK(procpool_future_wait(future, PROCPOOL_FOREVER));
  CHECK_OK(procpool_future_release(future));
  free(argument);
  test_close(pool);
}

static void *submit_again_and_again(void *context) {
  maker *m = (maker *)context;
  const size_t size = (size_t)100 * MIB;
  unsigned char *argument = (unsigned char *)calloc(1, size);
  CHECK(argument != NULL);
  for (int i = 0; i < 15 && m->status == PROCPOOL_OK; i++) {
    procpool_future *future = NULL;
    m->status = procpool_submit(m->pool, task_nothing, argument, size, NULL, &future);
    if (m->status == PROCPOOL_OK)
      CHECK_SETTLES(future, PROCPOOL_OK);
    CHECK_OK(procpool_future_release(future));
  }
  free(argument);
  return NULL;
}

/* Memory that one thread gives back to the system, without the lock, is not missing for good. */
TEST_STARTS(r139_memory_on_its_way_back, CONCURRENT) {
  procpool_options options = {.max_memory = (size_t)201 * MIB};
  procpool *pool = test_open_with(start, 1, &options);
  maker makers[2] = {{pool, PROCPOOL_OK}, {pool, PROCPOOL_OK}};
  pthread_t threads[2];
  (void)alloc(pool, (size_t)99 * MIB);
  for (int i = 0; i < 2; i++)
    threads[i] = test_thread(submit_again_and_again, &makers[i]);
  for (int i = 0; i < 2; i++) {
    test_join(threads[i]);
    CHECK_OK(makers[i].status);
  }
  test_close(pool);
}

/* ---- a buffer that another thread gives back ---- */

typedef struct giver {
  procpool *pool;
  void *buffer;
} giver;

static void *give_back(void *context) {
  giver *self = (giver *)context;
  CHECK_OK(procpool_shared_free(self->pool, self->buffer));
  return NULL;
}

/* Whether it is live: a map whose time is over looks where its array lies, and does nothing else. */
static bool still_there(procpool *pool, void *buffer) {
  procpool_map_options options;
  memset(&options, 0, sizeof(options));
  options.timeout = -1;
  return procpool_map(pool, task_nothing, buffer, 1, NULL, 0, 1, &options) != PROCPOOL_ARGUMENT;
}

/* From when it is freed on its memory is to be had, though the kernel is still at it. */
TEST_STARTS(r139_memory_on_its_way_back_is_waited_for, FORK | THREAD) {
  const size_t size = (size_t)200 << 20;
  procpool_options options = {0};
  giver self;
  options.max_memory = (size_t)300 << 20;
  self.pool = test_open_with(start, 1, &options);
  self.buffer = procpool_shared_alloc(self.pool, size);
  CHECK(self.buffer != NULL);
  for (int i = 0; i < 4; i++) {
    pthread_t thread = test_thread(give_back, &self);
    void *next;
    while (still_there(self.pool, self.buffer))
      ;
    next = procpool_shared_alloc(self.pool, size);
    CHECK(next != NULL);
    test_join(thread);
    self.buffer = next;
  }
  test_close(self.pool);
}
