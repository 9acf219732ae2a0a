/* Submit: arguments in, results out, order, a full queue, failures that a task reports, statistics. */
#include "harness.h"

#include <limits.h>
#ifdef __GLIBC__
#include <malloc.h>
#endif
#include <poll.h>
#include <sys/mman.h>

/* ---- what goes in and what comes out ---- */

TEST_STARTS(r018_result_identical, EVERY) {
  procpool *pool = test_open(start, 2);
  char text[] = "the very same bytes";
  char copy[sizeof(text)];
  procpool_future *future = test_submit(pool, task_echo, text, sizeof(text));
  size_t size = 0;
  memset(text, 'x', sizeof(text)); /* the argument was copied */
  CHECK_OK(procpool_future_result(future, PROCPOOL_FOREVER, copy, sizeof(copy), &size));
  CHECK_EQ(size, sizeof(text));
  CHECK_TEXT(copy, "the very same bytes");
  CHECK_OK(procpool_future_release(future));
  test_close(pool);
}

TEST_STARTS(r018_repeated_get, EVERY) {
  procpool *pool = test_open(start, 1);
  char bytes[1000], copy[1000];
  procpool_future *future;
  const void *data;
  size_t size = 0;
  pattern_fill(bytes, sizeof(bytes), 1);
  future = test_submit(pool, task_echo, bytes, sizeof(bytes));
  CHECK_SETTLES(future, PROCPOOL_OK);
  data = procpool_future_data(future, &size);
  CHECK_EQ(size, sizeof(bytes));
  CHECK_EQ((uintptr_t)data % 16, 0);
  for (int i = 0; i < 5; i++) {
    memset(copy, 0, sizeof(copy));
    CHECK_OK(procpool_future_result(future, 0, copy, sizeof(copy), &size));
    CHECK_EQ(size, sizeof(bytes));
    CHECK(pattern_holds(copy, sizeof(copy), 1));
    CHECK(procpool_future_data(future, NULL) == data);
    CHECK_WORKS(pool); /* other tasks do not disturb it */
  }
  CHECK_OK(procpool_future_release(future));
  test_close(pool);
}

static void task_alignment(procpool_task *task) {
  size_t size = 0;
  const uintptr_t argument = (uintptr_t)procpool_task_argument(task, &size);
  int *result = (int *)procpool_task_result(task, sizeof(int));
  *result = (int)(argument % 16 + (uintptr_t)result % 16 * 100);
}

TEST_STARTS(r018_argument_and_result_are_aligned, EVERY) {
  procpool *pool = test_open(start, 1);
  static char bytes[5000];
  for (size_t size = 1; size < sizeof(bytes); size += size < 100 ? 7 : 501) {
    procpool_future *future = test_submit(pool, task_alignment, bytes, size);
    int out = -1;
    CHECK_SETTLES(future, PROCPOOL_OK);
    CHECK_OK(procpool_future_result(future, 0, &out, sizeof(out), NULL));
    CHECK_EQ(out, 0);
    CHECK_EQ((uintptr_t)procpool_future_data(future, NULL) % 16, 0);
    CHECK_OK(procpool_future_release(future));
  }
  test_close(pool);
}

TEST_STARTS(r018_results_read_in_any_order, EVERY) {
  procpool *pool = test_open(start, 2);
  procpool_future *futures[100];
  for (int i = 0; i < 100; i++)
    futures[i] = test_submit(pool, task_twice, &i, sizeof(i));
  for (int i = 99; i >= 0; i--) {
    int out = 0;
    CHECK_OK(procpool_future_result(futures[i], PROCPOOL_FOREVER, &out, sizeof(out), NULL));
    CHECK_EQ(out, 2 * i);
    CHECK_OK(procpool_future_release(futures[i]));
  }
  test_close(pool);
}

/* ---- sizes ---- */

enum { RING = 65536 };

static void echo_of_size(procpool *pool, size_t size, unsigned seed) {
  unsigned char *bytes = (unsigned char *)malloc(size + 1);
  procpool_future *future;
  const void *data;
  size_t got = 77;
  CHECK(bytes != NULL);
  pattern_fill(bytes, size, seed);
  future = test_submit(pool, task_echo, bytes, size);
  CHECK_SETTLES(future, PROCPOOL_OK);
  data = procpool_future_data(future, &got);
  CHECK_EQ(got, size);
  CHECK(data != NULL); /* for 0 bytes too */
  CHECK(pattern_holds(data, size, seed));
  CHECK_OK(procpool_future_release(future));
  free(bytes);
}

static procpool *open_with_ring(procpool_start start, int workers) {
  procpool_options options = {0};
  options.ring_size = RING;
  return test_open_with(start, workers, &options);
}

TEST_STARTS(r020_small_payloads, EVERY) {
  procpool *pool = open_with_ring(start, 1);
  for (size_t size = 0; size <= 300; size++)
    echo_of_size(pool, size, (unsigned)size);
  test_close(pool);
}

TEST_STARTS(r020_payloads_around_the_ring, EVERY) {
  procpool *pool = open_with_ring(start, 1);
  static const size_t middles[] = {4096, RING / 2, RING, 2 * RING, 3 * RING, 16 * RING};
  for (size_t i = 0; i < sizeof(middles) / sizeof(middles[0]); i++)
    for (size_t size = middles[i] - 130; size <= middles[i] + 130; size += size % 16 == 1 ? 1 : 3)
      echo_of_size(pool, size, (unsigned)(size + i));
  test_close(pool);
}

TEST_STARTS(r020_payloads_around_the_default_ring, EVERY) {
  procpool *pool = test_open(start, 1);
  for (size_t size = 262144 - 65; size <= 262144 + 65; size += 5)
    echo_of_size(pool, size, (unsigned)size);
  test_close(pool);
}

TEST_STARTS(r020_large_argument_small_result, EVERY) {
  procpool *pool = open_with_ring(start, 1);
  static const size_t sizes[] = {RING - 1, RING, RING + 1, 10 * RING + 3};
  for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
    void *bytes = malloc(sizes[i]);
    procpool_future *future;
    uint64_t sum = 0;
    CHECK(bytes != NULL);
    pattern_fill(bytes, sizes[i], 7);
    future = test_submit(pool, task_sum, bytes, sizes[i]);
    CHECK_OK(procpool_future_result(future, PROCPOOL_FOREVER, &sum, sizeof(sum), NULL));
    CHECK(sum == pattern_sum(bytes, sizes[i]));
    CHECK_OK(procpool_future_release(future));
    free(bytes);
  }
  test_close(pool);
}

TEST_STARTS(r020_small_argument_large_result, EVERY) {
  procpool *pool = open_with_ring(start, 1);
  static const size_t sizes[] = {0, 1, RING - 1, RING, RING + 1, 10 * RING + 3};
  for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
    const test_job job = job_sized((int)i, sizes[i]);
    procpool_future *future = test_submit(pool, task_make, &job, sizeof(job));
    size_t size = 77;
    CHECK_SETTLES(future, PROCPOOL_OK);
    CHECK(pattern_holds(procpool_future_data(future, &size), sizes[i], (unsigned)i));
    CHECK_EQ(size, sizes[i]);
    CHECK_OK(procpool_future_release(future));
  }
  test_close(pool);
}

/* Sizes that walk the ring's end over every offset. */
TEST_STARTS(r020_records_wrap_at_every_offset, EVERY) {
  procpool_options options = {0};
  procpool *pool;
  unsigned char bytes[1500];
  options.ring_size = 8192;
  pool = test_open_with(start, 1, &options);
  pattern_fill(bytes, sizeof(bytes), 3);
  for (size_t i = 0; i < (size_t)test_rounds(3000); i++) {
    const size_t size = i * 17 % sizeof(bytes);
    procpool_future *future = test_submit(pool, task_echo, bytes, size);
    CHECK_SETTLES(future, PROCPOOL_OK);
    if (size > 0)
      CHECK_BYTES(procpool_future_data(future, NULL), bytes, size);
    CHECK_OK(procpool_future_release(future));
  }
  test_close(pool);
}

/* Many in flight: two small messages are never merged or split. */
TEST_STARTS(r020_many_small_messages_stay_apart, EVERY) {
  enum { COUNT = 3000 };
  procpool *pool = open_with_ring(start, 2);
  static procpool_future *futures[COUNT];
  unsigned char bytes[64];
  for (int i = 0; i < COUNT; i++) {
    pattern_fill(bytes, sizeof(bytes), (unsigned)i);
    futures[i] = test_submit(pool, task_echo, bytes, (size_t)i % sizeof(bytes));
  }
  for (int i = 0; i < COUNT; i++) {
    size_t size = 77;
    CHECK_SETTLES(futures[i], PROCPOOL_OK);
    CHECK(pattern_holds(procpool_future_data(futures[i], &size), (size_t)i % sizeof(bytes), (unsigned)i));
    CHECK_EQ(size, (size_t)i % sizeof(bytes));
    CHECK_OK(procpool_future_release(futures[i]));
  }
  test_close(pool);
}

/* More results than all rings hold, and the host takes none until all are submitted. */
TEST_STARTS(r020_results_many_times_the_ring_before_any_is_read, EVERY) {
  enum { COUNT = 200, SIZE = 20000 };
  procpool *pool = open_with_ring(start, 2);
  static procpool_future *futures[COUNT];
  for (int i = 0; i < COUNT; i++) {
    const test_job job = job_sized(i, SIZE);
    futures[i] = test_submit(pool, task_make, &job, sizeof(job));
  }
  for (int i = COUNT - 1; i >= 0; i--) {
    CHECK_SETTLES(futures[i], PROCPOOL_OK);
    CHECK(pattern_holds(procpool_future_data(futures[i], NULL), SIZE, (unsigned)i));
    CHECK_OK(procpool_future_release(futures[i]));
  }
  test_close(pool);
}

/* Both directions at once, in pieces larger than every ring. */
TEST_STARTS(r020_large_both_ways_in_flight, EVERY) {
  enum { COUNT = 24, SIZE = 5 * RING + 11 };
  procpool *pool = open_with_ring(start, 2);
  procpool_future *futures[COUNT];
  unsigned char *bytes = (unsigned char *)malloc(SIZE);
  CHECK(bytes != NULL);
  for (int i = 0; i < COUNT; i++) {
    pattern_fill(bytes, SIZE, (unsigned)i);
    futures[i] = test_submit(pool, task_echo, bytes, SIZE);
  }
  for (int i = 0; i < COUNT; i++) {
    CHECK_SETTLES(futures[i], PROCPOOL_OK);
    CHECK(pattern_holds(procpool_future_data(futures[i], NULL), SIZE, (unsigned)i));
    CHECK_OK(procpool_future_release(futures[i]));
  }
  free(bytes);
  test_close(pool);
}

TEST_STARTS(r021_16_mib_both_ways, EVERY) {
  procpool *pool = test_open(start, 2);
  echo_of_size(pool, 16 << 20, 1);
  echo_of_size(pool, (16 << 20) + 1, 2);
  test_close(pool);
}

TEST_STARTS_LIMIT(r021_100_mib_both_ways, EVERY, 60) {
  procpool *pool = test_open(start, 1);
  echo_of_size(pool, (size_t)100 << 20, 1);
  test_close(pool);
}

/* Marks in a great emptiness: who reads or writes at a wrong place, beyond 31 or 32 bits of size, is found. With one start
 * method: what it takes is the kernel's time for the pages. */
enum { MARKS = 37 };

static size_t mark_at(size_t size, int i) {
  return i == MARKS - 1 ? size - 1 : size / MARKS * (size_t)i + (size_t)i;
}

static void task_swap_marks(procpool_task *task) {
  size_t size = 0;
  const unsigned char *argument = (const unsigned char *)procpool_task_argument(task, &size);
  unsigned char *result = (unsigned char *)procpool_task_result(task, size);
  if (result == NULL)
    return;
  memset(result, 0, size);
  for (int i = 0; i < MARKS; i++)
    result[mark_at(size, i)] = (unsigned char)~argument[mark_at(size, i)];
}

static bool memory_is_there(long mib) {
  FILE *file = fopen("/proc/meminfo", "r");
  char line[200];
  long kib = 0;
  CHECK(file != NULL);
  while (fgets(line, sizeof(line), file) != NULL)
    (void)sscanf(line, "MemAvailable: %ld kB", &kib);
  fclose(file);
  return kib / 1024 >= mib;
}

static void empty_but_for_marks(unsigned char *bytes, size_t size) {
  static const unsigned char nothing[1 << 20];
  for (int i = 0; i < MARKS; i++) {
    CHECK_EQ(bytes[mark_at(size, i)], (unsigned char)~(i + 1));
    bytes[mark_at(size, i)] = 0;
  }
  for (size_t at = 0; at < size; at += sizeof(nothing))
    CHECK_EQ(memcmp(bytes + at, nothing, size - at < sizeof(nothing) ? size - at : sizeof(nothing)), 0);
}

TEST_STARTS_LIMIT(r021_above_2_gib_both_ways, FORK, 240) {
  const size_t size = ((size_t)1 << 31) + 4097;
  procpool_options options = {0};
  procpool *pool;
  procpool_future *future;
  unsigned char *bytes;
  size_t got = 0;
  if (sizeof(size_t) < 8 || test_slow() > 1 || test_instrumented())
    SKIP("too much memory for this build");
  if (!memory_is_there(12 * 1024))
    SKIP("less than 12 GiB of memory are available");
  bytes = (unsigned char *)mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  CHECK(bytes != MAP_FAILED);
  for (int i = 0; i < MARKS; i++)
    bytes[mark_at(size, i)] = (unsigned char)(i + 1);
#ifdef M_PERTURB
  (void)mallopt(M_PERTURB, 0); /* what the runner asks for would write all of it twice more */
#endif
  options.max_memory = (size_t)3 << 30;
  pool = test_open_with(start, 1, &options);
  future = test_submit(pool, task_swap_marks, bytes, size);
  CHECK_EQ(munmap(bytes, size), 0); /* it was copied */
  CHECK_SETTLES(future, PROCPOOL_OK);
  bytes = (unsigned char *)(uintptr_t)procpool_future_data(future, &got);
  CHECK_EQ(got, size);
  empty_but_for_marks(bytes, size);
  CHECK_OK(procpool_future_release(future));
  CHECK_WORKS(pool);
  test_close(pool);
}

TEST_STARTS(r022_too_small_buffer, EVERY) {
  procpool *pool = test_open(start, 1);
  char bytes[100], copy[101];
  procpool_future *future;
  size_t size = 0;
  pattern_fill(bytes, sizeof(bytes), 1);
  future = test_submit(pool, task_echo, bytes, sizeof(bytes));
  memset(copy, 'x', sizeof(copy));
  CHECK_STATUS(procpool_future_result(future, PROCPOOL_FOREVER, copy, 99, &size), PROCPOOL_TOO_SMALL);
  CHECK_EQ(size, 100);
  for (size_t i = 0; i < sizeof(copy); i++)
    CHECK_EQ(copy[i], 'x'); /* nothing was copied */
  CHECK_STATUS(procpool_future_status(future), PROCPOOL_OK);
  CHECK_OK(procpool_future_result(future, 0, copy, 100, &size));
  CHECK_BYTES(copy, bytes, 100);
  CHECK_EQ(copy[100], 'x');
  CHECK_OK(procpool_future_result(future, 0, copy, 101, NULL)); /* larger will do */
  CHECK_OK(procpool_future_release(future));
  test_close(pool);
}

/* ---- building a result ---- */

static void task_result_twice(procpool_task *task) {
  memset(procpool_task_result(task, 50), 'a', 50);
  memset(procpool_task_result(task, 20), 'b', 20);
}

TEST_STARTS(submit_later_result_replaces_earlier, EVERY) {
  procpool *pool = test_open(start, 1);
  procpool_future *future = test_submit(pool, task_result_twice, NULL, 0);
  char out[50];
  size_t size = 0;
  CHECK_OK(procpool_future_result(future, PROCPOOL_FOREVER, out, sizeof(out), &size));
  CHECK_EQ(size, 20);
  for (int i = 0; i < 20; i++)
    CHECK_EQ(out[i], 'b');
  CHECK_OK(procpool_future_release(future));
  test_close(pool);
}

static void task_grow_and_shrink(procpool_task *task) {
  static const size_t sizes[] = {10, 100000, 5, 300000, 0, 70000};
  for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++)
    pattern_fill(procpool_task_result(task, sizes[i]), sizes[i], (unsigned)i);
}

TEST_STARTS(submit_result_replaced_across_the_ring_size, EVERY) {
  procpool *pool = open_with_ring(start, 1);
  for (int i = 0; i < 3; i++) {
    procpool_future *future = test_submit(pool, task_grow_and_shrink, NULL, 0);
    size_t size = 0;
    CHECK_SETTLES(future, PROCPOOL_OK);
    CHECK(pattern_holds(procpool_future_data(future, &size), 70000, 5));
    CHECK_EQ(size, 70000);
    CHECK_OK(procpool_future_release(future));
  }
  test_close(pool);
}

static void task_return_tail(procpool_task *task) {
  size_t size = 0;
  const char *argument = (const char *)procpool_task_argument(task, &size);
  procpool_task_return(task, argument + size / 2, size - size / 2);
}

TEST_STARTS(submit_result_out_of_the_argument, EVERY) {
  procpool *pool = open_with_ring(start, 1);
  procpool_future *future = test_submit(pool, task_return_tail, "abcdefgh", 8);
  char out[4];
  CHECK_OK(procpool_future_result(future, PROCPOOL_FOREVER, out, sizeof(out), NULL));
  CHECK_BYTES(out, "efgh", 4);
  CHECK_OK(procpool_future_release(future));
  test_close(pool);
}

TEST_STARTS(submit_task_that_returns_nothing, EVERY) {
  procpool *pool = test_open(start, 1);
  procpool_future *future = test_submit(pool, task_nothing, NULL, 0);
  size_t size = 77;
  CHECK_OK(procpool_future_result(future, PROCPOOL_FOREVER, NULL, 0, &size));
  CHECK_EQ(size, 0);
  CHECK_OK(procpool_future_release(future));
  test_close(pool);
}

static void task_impossible_result(procpool_task *task) {
  if (procpool_task_result(task, TEST_IMPOSSIBLE) != NULL)
    abort();
}

TEST_STARTS(r110_impossible_result_is_codec, EVERY) {
  procpool *pool = test_open(start, 1);
  long pid = 0;
  for (int i = 0; i < 20; i++) {
    procpool_future *future = test_submit(pool, task_impossible_result, NULL, 0);
    CHECK_SETTLES(future, PROCPOOL_TRANSFER);
    CHECK_STATUS(test_error(future).status, PROCPOOL_TRANSFER);
    CHECK(procpool_future_data(future, NULL) == NULL);
    if (i > 0)
      CHECK_EQ(pid_of(future), pid); /* the worker survives */
    pid = pid_of(future);
    CHECK_OK(procpool_future_release(future));
  }
  CHECK_WORKS(pool);
  test_close(pool);
}

/* ---- order, room ---- */

TEST_STARTS(r025_first_in_first_out, EVERY) {
  enum { COUNT = 500 };
  procpool *pool = test_open(start, 1);
  for (int i = 0; i < COUNT; i++) {
    const test_job job = job_of(i);
    CHECK_OK(procpool_submit(pool, task_count, &job, sizeof(job), NULL, NULL));
  }
  test_close(pool);
  CHECK_EQ(page->count, COUNT);
  for (int i = 0; i < COUNT; i++)
    CHECK_EQ(page->order[i], i);
}

TEST_STARTS(r025_removal_from_the_middle_keeps_the_order, CONCURRENT) {
  enum { COUNT = 100 };
  procpool *pool = test_open(start, 1);
  procpool_future *futures[COUNT];
  const test_job first = job_of(0);
  procpool_future *blocker = test_submit(pool, task_block, &first, sizeof(first));
  int next = 0;
  for (int i = 0; i < COUNT; i++) {
    const test_job job = job_of(i);
    futures[i] = test_submit(pool, task_count, &job, sizeof(job));
  }
  for (int i = 0; i < COUNT; i += 3)
    CHECK_STATUS(procpool_future_cancel(futures[i]), PROCPOOL_CANCELLED);
  gate_add(&page->gate, 1);
  for (int i = 0; i < COUNT; i++)
    CHECK_SETTLES(futures[i], i % 3 == 0 ? PROCPOOL_CANCELLED : PROCPOOL_OK);
  for (int i = 0; i < COUNT; i++)
    if (i % 3 != 0)
      CHECK_EQ(page->order[next++], i);
  CHECK_EQ(page->count, next);
  for (int i = 0; i < COUNT; i++)
    CHECK_OK(procpool_future_release(futures[i]));
  CHECK_SETTLES(blocker, PROCPOOL_OK);
  CHECK_OK(procpool_future_release(blocker));
  test_close(pool);
}

TEST(r025_removal_from_the_middle_keeps_the_order_inline) {
  enum { COUNT = 100 };
  procpool *pool = test_open(PROCPOOL_START_INLINE, 1);
  procpool_future *futures[COUNT];
  int next = 0;
  for (int i = 0; i < COUNT; i++) {
    const test_job job = job_of(i);
    futures[i] = test_submit(pool, task_count, &job, sizeof(job));
  }
  for (int i = 0; i < COUNT; i += 3)
    CHECK_STATUS(procpool_future_cancel(futures[i]), PROCPOOL_CANCELLED);
  for (int i = 0; i < COUNT; i++)
    CHECK_SETTLES(futures[i], i % 3 == 0 ? PROCPOOL_CANCELLED : PROCPOOL_OK);
  for (int i = 0; i < COUNT; i++)
    if (i % 3 != 0)
      CHECK_EQ(page->order[next++], i);
  CHECK_EQ(page->count, next);
  for (int i = 0; i < COUNT; i++)
    CHECK_OK(procpool_future_release(futures[i]));
  test_close(pool);
}

static procpool *open_and_fill(procpool_start start, procpool_future **futures, int count) {
  procpool_options options = {0};
  procpool *pool;
  options.max_queued = (size_t)count;
  pool = test_open_with(start, 1, &options);
  for (int i = 0; i < count; i++) {
    const test_job job = job_of(i);
    futures[i] = test_submit(pool, task_block, &job, sizeof(job));
  }
  return pool;
}

static void open_the_gate(procpool *pool, procpool_future **futures, int count) {
  gate_add(&page->gate, 1);
  for (int i = 0; i < count; i++) {
    CHECK_SETTLES(futures[i], PROCPOOL_OK);
    CHECK_OK(procpool_future_release(futures[i]));
  }
  CHECK_WORKS(pool);
  test_close(pool);
}

TEST_STARTS(r023_full_queue_refuses_try_submit, CONCURRENT) {
  procpool_future *futures[4], *future = NULL;
  procpool *pool = open_and_fill(start, futures, 4);
  CHECK_STATUS(try_submit(pool, task_nothing, NULL, 0, &future), PROCPOOL_FULL);
  CHECK(future == NULL);
  CHECK_STATUS(try_submit(pool, task_nothing, NULL, 0, NULL), PROCPOOL_FULL);
  CHECK_EQ(test_stats(pool).submitted, 4);
  CHECK_EQ(test_stats(pool).queued + test_stats(pool).running, 4);
  open_the_gate(pool, futures, 4);
  CHECK_EQ(page->finished, 4);
}

TEST_STARTS(r023_timed_submit_gives_up_in_time, CONCURRENT) {
  procpool_future *futures[2], *future = NULL;
  procpool *pool = open_and_fill(start, futures, 2);
  double begin = test_now();
  CHECK_STATUS(submit_timed(pool, 0.1, task_nothing, NULL, 0, &future), PROCPOOL_FULL);
  CHECK_SECONDS(test_now() - begin, >=, 0.1);
  CHECK_SECONDS(test_now() - begin, <, 0.1 + 1.0 * test_slow());
  begin = test_now();
  CHECK_STATUS(submit_timed(pool, 0, task_nothing, NULL, 0, &future), PROCPOOL_FULL);
  CHECK_STATUS(submit_timed(pool, -5, task_nothing, NULL, 0, &future), PROCPOOL_FULL);
  CHECK_SECONDS(test_now() - begin, <, 1.0 * test_slow());
  CHECK(future == NULL);
  CHECK_EQ(test_stats(pool).submitted, 2);
  open_the_gate(pool, futures, 2);
}

static procpool *full_pool;

/* The task holds the only place itself: nothing could make room while it waits. */
static void task_submits_into_a_full_queue(procpool_task *task) {
  procpool_status status;
  gate_wait(&page->gate, 1); /* full_pool is set */
  status = procpool_submit(full_pool, task_nothing, NULL, 0, NULL, NULL);
  procpool_task_return(task, &status, sizeof(status));
}

TEST_STARTS(r023_submit_in_a_task_of_a_full_pool, THREAD | INLINE) {
  procpool_options options = {0};
  procpool_future *future;
  procpool_status seen = PROCPOOL_END;
  options.max_queued = 1;
  full_pool = test_open_with(start, 1, &options);
  future = test_submit(full_pool, task_submits_into_a_full_queue, NULL, 0);
  gate_add(&page->gate, 1);
  CHECK_OK(procpool_future_result(future, PROCPOOL_FOREVER, &seen, sizeof(seen), NULL));
  CHECK_STATUS(seen, PROCPOOL_FULL);
  CHECK_OK(procpool_future_release(future));
  CHECK_WORKS(full_pool);
  test_close(full_pool);
}

typedef struct submitter {
  procpool *pool;
  procpool_future *future;
  procpool_status status;
  int began;
} submitter;

static void *submit_in_a_thread(void *context) {
  submitter *self = (submitter *)context;
  const int in = 4;
  gate_add(&self->began, 1);
  self->status = procpool_submit(self->pool, task_twice, &in, sizeof(in), NULL, &self->future);
  return NULL;
}

TEST_STARTS(r023_blocked_submit_goes_on_when_there_is_room, CONCURRENT) {
  procpool_future *futures[2];
  procpool *pool = open_and_fill(start, futures, 2);
  submitter self = {pool, NULL, PROCPOOL_END, 0};
  pthread_t thread = test_thread(submit_in_a_thread, &self);
  gate_wait(&self.began, 1);
  CHECK_STATUS(try_submit(pool, task_nothing, NULL, 0, NULL), PROCPOOL_FULL);
  gate_add(&page->gate, 1);
  test_join(thread);
  CHECK_OK(self.status);
  CHECK_SETTLES(self.future, PROCPOOL_OK);
  CHECK_OK(procpool_future_release(self.future));
  open_the_gate(pool, futures, 2);
}

TEST_STARTS(r023_cancel_makes_room, CONCURRENT) {
  procpool_future *futures[3];
  procpool *pool = open_and_fill(start, futures, 3);
  CHECK_STATUS(try_submit(pool, task_nothing, NULL, 0, NULL), PROCPOOL_FULL);
  CHECK_STATUS(procpool_future_cancel(futures[2]), PROCPOOL_CANCELLED);
  CHECK_OK(try_submit(pool, task_nothing, NULL, 0, NULL));
  CHECK_STATUS(try_submit(pool, task_nothing, NULL, 0, NULL), PROCPOOL_FULL);
  CHECK_OK(procpool_future_release(futures[2]));
  open_the_gate(pool, futures, 2);
}

/* A queue far smaller than the work: submit itself must take results out. */
TEST_STARTS(r023_submit_through_a_small_queue, EVERY) {
  enum { COUNT = 2000 };
  procpool_options options = {0};
  procpool *pool;
  static procpool_future *futures[COUNT];
  options.max_queued = 8;
  options.ring_size = 4096;
  pool = test_open_with(start, 2, &options);
  for (int i = 0; i < COUNT; i++)
    futures[i] = test_submit(pool, task_twice, &i, sizeof(i));
  for (int i = 0; i < COUNT; i++) {
    int out = 0;
    CHECK_OK(procpool_future_result(futures[i], PROCPOOL_FOREVER, &out, sizeof(out), NULL));
    CHECK_EQ(out, 2 * i);
    CHECK_OK(procpool_future_release(futures[i]));
  }
  test_close(pool);
}

/* The futures are released, and the results are larger than the rings. */
TEST_STARTS(r023_unwanted_results_through_a_small_queue, EVERY) {
  procpool_options options = {0};
  procpool *pool;
  options.max_queued = 4;
  options.ring_size = 4096;
  pool = test_open_with(start, 2, &options);
  for (int i = 0; i < 200; i++) {
    const test_job job = job_sized(i, 10000);
    CHECK_OK(procpool_submit(pool, task_make, &job, sizeof(job), NULL, NULL));
  }
  CHECK_OK(procpool_shutdown(pool, PROCPOOL_DRAIN, PROCPOOL_FOREVER));
  CHECK_EQ(test_stats(pool).settled, 200);
  CHECK_OK(procpool_free(pool));
}

/* ---- many workers ---- */

TEST_STARTS(r010_as_many_as_workers_run_at_once, CONCURRENT) {
  enum { COUNT = 6 };
  procpool *pool = test_open(start, COUNT);
  for (int round = 0; round < 20; round++) {
    procpool_future *futures[COUNT];
    for (int i = 0; i < COUNT; i++) {
      const test_job job = job_with(i, (round + 1) * COUNT);
      futures[i] = test_submit(pool, task_meet, &job, sizeof(job));
    }
    for (int i = 0; i < COUNT; i++) {
      CHECK_SETTLES(futures[i], PROCPOOL_OK);
      CHECK_OK(procpool_future_release(futures[i]));
    }
    CHECK_EQ(page->started, (round + 1) * COUNT);
  }
  test_close(pool);
}

/* The same where all of them sleep: as many are woken as there are tasks. Two are no more than there are processors. */
static void check_sleepers_meet(procpool_start start, int count) {
  procpool_options options = {0};
  procpool *pool;
  options.spin_us = -1;
  pool = test_open_with(start, count, &options);
  page->started = 0;
  for (int round = 0; round < 5; round++) {
    procpool_future *futures[6];
    usleep(20000);
    for (int i = 0; i < count; i++) {
      const test_job job = job_with(i, (round + 1) * count);
      futures[i] = test_submit(pool, task_meet, &job, sizeof(job));
    }
    for (int i = 0; i < count; i++) {
      CHECK_SETTLES(futures[i], PROCPOOL_OK);
      CHECK_OK(procpool_future_release(futures[i]));
    }
  }
  test_close(pool);
}

TEST_STARTS(r010_as_many_as_sleep_run_at_once, CONCURRENT) {
  check_sleepers_meet(start, 2);
  check_sleepers_meet(start, 6);
}

/* The same with more workers than there are processors on most machines, and than a mask has bits: where as many are awake
 * as there are processors, each that was called calls the next. By many calls, and by one. */
TEST_STARTS(r010_more_than_processors_run_at_once, CONCURRENT) {
  enum { COUNT = 72 };
  procpool *pool = test_open(start, COUNT);
  for (int round = 0; round < 6; round++) {
    procpool_future *futures[COUNT];
    test_job jobs[COUNT];
    for (int i = 0; i < COUNT; i++)
      jobs[i] = job_with(i, (round + 1) * COUNT);
    if (round % 2 == 0)
      CHECK_OK(procpool_submit_many(pool, task_meet, jobs, sizeof(jobs[0]), COUNT, NULL, futures, NULL));
    for (int i = 0; i < COUNT && round % 2 != 0; i++)
      futures[i] = test_submit(pool, task_meet, &jobs[i], sizeof(jobs[i]));
    for (int i = 0; i < COUNT; i++) {
      CHECK_SETTLES(futures[i], PROCPOOL_OK);
      CHECK_OK(procpool_future_release(futures[i]));
    }
    CHECK_EQ(page->started, (round + 1) * COUNT);
  }
  test_close(pool);
}

/* Short tasks in rows, with pauses in which all workers sleep: none is left, none lies in a ring that the host passes by. */
TEST_STARTS(r010_many_workers_for_short_tasks, CONCURRENT) {
  enum { COUNT = 72, TASKS = 150 };
  procpool *pool = test_open(start, COUNT);
  for (int round = 0; round < 40; round++) {
    procpool_future *futures[TASKS];
    for (int i = 0; i < TASKS; i++)
      futures[i] = test_submit(pool, task_twice, &i, sizeof(i));
    for (int i = 0; i < TASKS; i++) {
      int out = 0;
      CHECK_OK(procpool_future_result(futures[i], PROCPOOL_FOREVER, &out, sizeof(out), NULL));
      CHECK_EQ(out, 2 * i);
      CHECK_OK(procpool_future_release(futures[i]));
    }
    usleep(round % 4 == 0 ? 3000 : 0);
  }
  test_close(pool);
}

/* A task behind a busy worker runs on the other one. */
TEST_STARTS(r010_no_task_waits_behind_a_busy_worker, CONCURRENT) {
  procpool *pool = test_open(start, 2);
  const test_job job = job_of(0);
  procpool_future *blocker = test_submit(pool, task_block, &job, sizeof(job));
  gate_wait(&page->started, 1);
  for (int i = 0; i < 200; i++)
    CHECK_WORKS(pool);
  CHECK_STATUS(procpool_future_status(blocker), PROCPOOL_PENDING);
  gate_add(&page->gate, 1);
  CHECK_SETTLES(blocker, PROCPOOL_OK);
  CHECK_OK(procpool_future_release(blocker));
  test_close(pool);
}

TEST_STARTS(r009_blocked_tasks_never_exceed_the_workers, CONCURRENT) {
  enum { WORKERS = 3, COUNT = 45 };
  procpool *pool = test_open(start, WORKERS);
  procpool_future *futures[COUNT];
  for (int i = 0; i < COUNT; i++) {
    const test_job job = job_of(i);
    futures[i] = test_submit(pool, task_block, &job, sizeof(job));
  }
  gate_wait(&page->started, WORKERS);
  CHECK_EQ(test_stats(pool).workers_alive, WORKERS);
  CHECK_EQ(test_stats(pool).workers_busy, WORKERS);
  CHECK_EQ(test_stats(pool).running, WORKERS);
  CHECK_EQ(test_stats(pool).queued, COUNT - WORKERS);
  CHECK_EQ(page->started, WORKERS);
  gate_add(&page->gate, 1);
  for (int i = 0; i < COUNT; i++) {
    CHECK_SETTLES(futures[i], PROCPOOL_OK);
    CHECK_OK(procpool_future_release(futures[i]));
  }
  CHECK_EQ(test_stats(pool).workers_alive, WORKERS);
  test_close(pool);
}

TEST_STARTS_LIMIT(r011_two_hundred_workers, CONCURRENT, 60) {
  enum { WORKERS = 200, COUNT = 1000 };
  procpool *pool;
  static procpool_future *futures[COUNT];
  if (test_slow() > 1)
    SKIP("200 workers are too slow under instrumentation");
  pool = test_open(start, WORKERS);
  for (int i = 0; i < WORKERS; i++) {
    const test_job job = job_with(i, WORKERS);
    futures[i] = test_submit(pool, task_meet, &job, sizeof(job));
  }
  for (int i = 0; i < WORKERS; i++) {
    CHECK_SETTLES(futures[i], PROCPOOL_OK);
    CHECK_OK(procpool_future_release(futures[i]));
  }
  for (int i = 0; i < COUNT; i++)
    futures[i] = test_submit(pool, task_twice, &i, sizeof(i));
  for (int i = 0; i < COUNT; i++) {
    int out = 0;
    CHECK_OK(procpool_future_result(futures[i], PROCPOOL_FOREVER, &out, sizeof(out), NULL));
    CHECK_EQ(out, 2 * i);
    CHECK_OK(procpool_future_release(futures[i]));
  }
  test_close(pool);
}

/* ---- several pools, several threads ---- */

TEST_STARTS(r004_pools_do_not_mix, EVERY) {
  enum { POOLS = 3, COUNT = 100 };
  procpool *pools[POOLS];
  procpool_future *futures[POOLS][COUNT];
  for (int p = 0; p < POOLS; p++)
    pools[p] = test_open(start, 1);
  for (int i = 0; i < COUNT; i++)
    for (int p = 0; p < POOLS; p++) {
      const int in = 1000 * p + i;
      futures[p][i] = test_submit(pools[p], task_twice, &in, sizeof(in));
    }
  for (int p = POOLS - 1; p >= 0; p--)
    for (int i = 0; i < COUNT; i++) {
      int out = 0;
      CHECK_OK(procpool_future_result(futures[p][i], PROCPOOL_FOREVER, &out, sizeof(out), NULL));
      CHECK_EQ(out, 2 * (1000 * p + i));
      CHECK_OK(procpool_future_release(futures[p][i]));
    }
  test_close(pools[1]);
  CHECK_WORKS(pools[0]);
  CHECK_WORKS(pools[2]);
  test_close(pools[0]);
  test_close(pools[2]);
}

typedef struct threads_job {
  procpool *pool;
  int index;
  int rounds;
} threads_job;

static void *work_in_a_thread(void *context) {
  const threads_job *self = (const threads_job *)context;
  for (int i = 0; i < self->rounds; i++) {
    const int in = self->index * 100000 + i;
    int out = 0;
    procpool_future *future = test_submit(self->pool, task_twice, &in, sizeof(in));
    CHECK_OK(procpool_future_result(future, PROCPOOL_FOREVER, &out, sizeof(out), NULL));
    CHECK_EQ(out, 2 * in);
    CHECK_OK(procpool_future_release(future));
  }
  return NULL;
}

TEST_STARTS(r123_ten_threads_on_one_pool, EVERY) {
  enum { THREADS = 10 };
  procpool *pool = test_open(start, 2);
  threads_job jobs[THREADS];
  pthread_t threads[THREADS];
  for (int i = 0; i < THREADS; i++) {
    jobs[i].pool = pool;
    jobs[i].index = i;
    jobs[i].rounds = test_rounds(500);
    threads[i] = test_thread(work_in_a_thread, &jobs[i]);
  }
  for (int i = 0; i < THREADS; i++)
    test_join(threads[i]);
  CHECK_EQ(test_stats(pool).settled, THREADS * test_rounds(500));
  test_close(pool);
}

typedef struct opening {
  procpool_start start;
  procpool *pool;
} opening;

static void *open_and_use(void *context) {
  opening *self = (opening *)context;
  self->pool = test_open(self->start, 1);
  CHECK_WORKS(self->pool);
  return NULL;
}

static void *close_in_a_thread(void *context) {
  test_close((procpool *)context);
  return NULL;
}

/* Opened in one thread, which has ended when it is used in another and closed in a third. */
TEST_STARTS(r004_used_in_other_threads_than_the_opener, EVERY) {
  opening self = {start, NULL};
  test_join(test_thread(open_and_use, &self));
  for (int i = 0; i < 50; i++)
    CHECK_WORKS(self.pool);
  test_join(test_thread(close_in_a_thread, self.pool));
}

/* ---- failures that a task reports ---- */

TEST_STARTS(r026_failure_has_code_message_and_pid, EVERY) {
  procpool *pool = test_open(start, 1);
  const test_job job = job_with(7, 42);
  procpool_future *future = test_submit(pool, task_fail, &job, sizeof(job));
  procpool_error error;
  size_t size = 77;
  char out[4];
  CHECK_SETTLES(future, PROCPOOL_FAILED);
  error = test_error(future);
  CHECK_STATUS(error.status, PROCPOOL_FAILED);
  CHECK_EQ(error.code, 42);
  CHECK_TEXT(error.message, "failure 7");
  CHECK_EQ(error.pid, pid_of(future));
  CHECK_NE(error.pid, 0);
  CHECK_EQ(error.worker, 0);
  CHECK_EQ(error.signal, 0);
  CHECK_EQ(error.exit_status, 0);
  CHECK_EQ(error.system_error, 0);
  CHECK_STATUS(procpool_future_result(future, 0, out, sizeof(out), &size), PROCPOOL_FAILED);
  CHECK(procpool_future_data(future, &size) == NULL);
  CHECK_OK(procpool_future_release(future));
  test_close(pool);
}

TEST_STARTS(r026_worker_is_used_again_after_a_failure, EVERY) {
  procpool *pool = test_open(start, 1);
  long pid = 0;
  for (int i = 0; i < 20; i++) {
    const test_job job = job_with(i, i - 5);
    procpool_future *failing = test_submit(pool, task_fail, &job, sizeof(job));
    procpool_future *next = test_submit(pool, task_twice, &i, sizeof(i));
    int out = 0;
    CHECK_SETTLES(failing, PROCPOOL_FAILED);
    CHECK_EQ(test_error(failing).code, i - 5); /* 0 and less are codes like others */
    CHECK_OK(procpool_future_result(next, PROCPOOL_FOREVER, &out, sizeof(out), NULL));
    CHECK_EQ(out, 2 * i);
    if (i > 0)
      CHECK_EQ(pid_of(next), pid);
    pid = pid_of(next);
    CHECK_EQ(pid_of(failing), pid);
    CHECK_OK(procpool_future_release(failing));
    CHECK_OK(procpool_future_release(next));
  }
  CHECK_EQ(test_stats(pool).crashed, 0);
  test_close(pool);
}

static void task_fail_long(procpool_task *task) {
  char message[1000];
  memset(message, 'm', sizeof(message));
  message[sizeof(message) - 1] = '\0';
  procpool_task_fail(task, 1, message);
}

static void task_fail_silently(procpool_task *task) {
  procpool_task_fail(task, 2, NULL);
}

TEST_STARTS(r026_long_and_missing_messages, EVERY) {
  procpool *pool = test_open(start, 1);
  procpool_future *talkative = test_submit(pool, task_fail_long, NULL, 0);
  procpool_future *silent = test_submit(pool, task_fail_silently, NULL, 0);
  procpool_error error;
  CHECK_SETTLES(talkative, PROCPOOL_FAILED);
  error = test_error(talkative);
  CHECK_EQ(strlen(error.message), 191);
  CHECK_EQ(strspn(error.message, "m"), 191);
  CHECK_SETTLES(silent, PROCPOOL_FAILED);
  error = test_error(silent);
  CHECK_EQ(error.code, 2);
  CHECK_EQ(strspn(error.message, "m"), 0); /* not the other's */
  CHECK_OK(procpool_future_release(talkative));
  CHECK_OK(procpool_future_release(silent));
  test_close(pool);
}

static void task_return_and_fail(procpool_task *task) {
  procpool_task_return(task, "half", 4);
  procpool_task_fail(task, 3, "then it failed");
}

TEST_STARTS(r026_failure_after_a_result_is_a_failure, EVERY) {
  procpool *pool = test_open(start, 1);
  procpool_future *future = test_submit(pool, task_return_and_fail, NULL, 0);
  CHECK_SETTLES(future, PROCPOOL_FAILED);
  CHECK_TEXT(test_error(future).message, "then it failed");
  CHECK_OK(procpool_future_release(future));
  CHECK_WORKS(pool);
  test_close(pool);
}

static void task_error_shaped(procpool_task *task) {
  procpool_error error;
  memset(&error, 0, sizeof(error));
  error.status = PROCPOOL_CRASHED;
  error.signal = 11;
  snprintf(error.message, sizeof(error.message), "not an error");
  procpool_task_return(task, &error, sizeof(error));
}

TEST_STARTS(r027_error_shaped_value_is_a_value, EVERY) {
  procpool *pool = test_open(start, 1);
  procpool_future *future = test_submit(pool, task_error_shaped, NULL, 0);
  procpool_error value;
  CHECK_OK(procpool_future_result(future, PROCPOOL_FOREVER, &value, sizeof(value), NULL));
  CHECK_STATUS(value.status, PROCPOOL_CRASHED);
  CHECK_TEXT(value.message, "not an error");
  CHECK_STATUS(test_error(future).status, PROCPOOL_OK);
  CHECK_EQ(test_error(future).signal, 0);
  CHECK_OK(procpool_future_release(future));
  test_close(pool);
}

TEST_STARTS(r028_each_failure_has_its_own_record, EVERY) {
  enum { COUNT = 50 };
  procpool *pool = test_open(start, 2);
  procpool_future *futures[COUNT];
  for (int i = 0; i < COUNT; i++) {
    const test_job job = job_with(i, 100 + i);
    futures[i] = test_submit(pool, task_fail, &job, sizeof(job));
  }
  for (int i = COUNT - 1; i >= 0; i--)
    CHECK_SETTLES(futures[i], PROCPOOL_FAILED);
  for (int i = 0; i < COUNT; i++) {
    const procpool_error error = test_error(futures[i]);
    char message[64];
    snprintf(message, sizeof(message), "failure %d", i);
    CHECK_EQ(error.code, 100 + i);
    CHECK_TEXT(error.message, message);
    CHECK_OK(procpool_future_release(futures[i]));
  }
  test_close(pool);
}

/* ---- statistics ---- */

TEST_STARTS(r029_stats_of_a_fresh_pool, EVERY) {
  procpool *pool = test_open(start, 3);
  const procpool_stats stats = test_stats(pool);
  if (start != PROCPOOL_START_INLINE)
    CHECK_EQ(stats.workers, 3);
  CHECK_EQ(stats.workers_busy, 0);
  CHECK_EQ(stats.queued, 0);
  CHECK_EQ(stats.running, 0);
  CHECK_EQ(stats.submitted, 0);
  CHECK_EQ(stats.settled, 0);
  CHECK_EQ(stats.crashed, 0);
  CHECK_EQ(stats.workers_stopped, 0);
  test_close(pool);
}

TEST_STARTS(r029_stats_at_rest_are_exact, EVERY) {
  procpool *pool = test_open(start, 2);
  procpool_future *futures[30];
  procpool_stats stats;
  for (int i = 0; i < 30; i++) {
    const test_job job = job_with(i, 1);
    futures[i] = test_submit(pool, i % 3 == 0 ? task_fail : task_count, &job, sizeof(job));
  }
  for (int i = 0; i < 30; i++)
    CHECK_SETTLES(futures[i], i % 3 == 0 ? PROCPOOL_FAILED : PROCPOOL_OK);
  stats = test_stats(pool);
  CHECK_EQ(stats.submitted, 30);
  CHECK_EQ(stats.settled, 30);
  CHECK_EQ(stats.queued, 0);
  CHECK_EQ(stats.running, 0);
  CHECK_EQ(stats.crashed, 0);
  for (int i = 0; i < 30; i++)
    CHECK_OK(procpool_future_release(futures[i]));
  CHECK_EQ(test_stats(pool).settled, 30);
  test_close(pool);
}

TEST_STARTS(r029_stats_after_crashes_and_cancels, PROCESSES) {
  procpool *pool = test_open(start, 1);
  const test_job dying = job_with(0, SIGKILL), blocking = job_of(1);
  procpool_future *dead = test_submit(pool, task_die, &dying, sizeof(dying)), *blocker, *queued;
  procpool_stats stats;
  CHECK_SETTLES(dead, PROCPOOL_CRASHED);
  blocker = test_submit(pool, task_block, &blocking, sizeof(blocking));
  gate_wait(&page->started, 1);
  queued = test_submit(pool, task_nothing, NULL, 0);
  stats = test_stats(pool);
  CHECK_EQ(stats.workers_alive, 1);
  CHECK_EQ(stats.workers_busy, 1);
  CHECK_EQ(stats.queued, 1);
  CHECK_EQ(stats.running, 1);
  CHECK_EQ(stats.submitted, 3);
  CHECK_EQ(stats.settled, 1);
  CHECK_EQ(stats.crashed, 1);
  CHECK_EQ(stats.workers_started, 2);
  CHECK_STATUS(procpool_future_cancel(queued), PROCPOOL_CANCELLED);
  stats = test_stats(pool);
  CHECK_EQ(stats.queued, 0);
  CHECK_EQ(stats.settled, 2);
  gate_add(&page->gate, 1);
  CHECK_SETTLES(blocker, PROCPOOL_OK);
  stats = test_stats(pool);
  CHECK_EQ(stats.settled, 3);
  CHECK_EQ(stats.running, 0);
  CHECK_EQ(stats.crashed, 1);
  CHECK_OK(procpool_future_release(dead));
  CHECK_OK(procpool_future_release(blocker));
  CHECK_OK(procpool_future_release(queued));
  test_close(pool);
}

/* ---- nothing piles up ---- */

TEST_STARTS_LIMIT(r030_discarded_tasks_leave_memory_flat, EVERY, 60) {
  procpool *pool = test_open(start, 1);
  const int in = 1;
  long before;
  for (int i = 0; i < test_rounds(100000); i++)
    CHECK_OK(procpool_submit(pool, task_twice, &in, sizeof(in), NULL, NULL));
  before = test_resident_kib();
  for (int i = 0; i < test_rounds(1000000); i++)
    CHECK_OK(procpool_submit(pool, task_twice, &in, sizeof(in), NULL, NULL));
  CHECK_WORKS(pool);
  if (!test_instrumented())
    CHECK_LT(test_resident_kib() - before, 16 * 1024);
  test_close(pool);
}

TEST_STARTS(r030_released_unread_results_are_freed, EVERY) {
  procpool *pool = test_open(start, 1);
  long before = 0;
  for (int i = 0; i < test_rounds(400); i++) {
    const test_job job = job_sized(i, 1 << 20);
    procpool_future *future = test_submit(pool, task_make, &job, sizeof(job));
    CHECK_SETTLES(future, PROCPOOL_OK);
    CHECK_OK(procpool_future_release(future));
    if (i == 20)
      before = test_resident_kib();
  }
  if (!test_instrumented())
    CHECK_LT(test_resident_kib() - before, 32 * 1024);
  test_close(pool);
}

TEST_STARTS(r030_large_arguments_are_freed, EVERY) {
  procpool *pool = test_open(start, 1);
  const size_t size = 4 << 20;
  void *bytes = calloc(1, size);
  uint64_t before = 0;
  CHECK(bytes != NULL);
  for (int i = 0; i < 100; i++) {
    procpool_future *future = test_submit(pool, task_sum, bytes, size);
    CHECK_SETTLES(future, PROCPOOL_OK);
    CHECK_OK(procpool_future_release(future));
    if (i == 10)
      before = test_stats(pool).shared_bytes;
  }
  CHECK_LE(test_stats(pool).shared_bytes, before);
  free(bytes);
  test_close(pool);
}

static void task_resident(procpool_task *task) {
  const long kib = test_resident_kib();
  procpool_task_return(task, &kib, sizeof(kib));
}

static long resident_of_worker(procpool *pool) {
  procpool_future *future = test_submit(pool, task_resident, NULL, 0);
  long kib = 0;
  CHECK_OK(procpool_future_result(future, PROCPOOL_FOREVER, &kib, sizeof(kib), NULL));
  CHECK_OK(procpool_future_release(future));
  return kib;
}

TEST_STARTS(r030_memory_of_the_worker_stays_flat, PROCESSES) {
  procpool *pool = test_open(start, 1);
  const size_t size = 3 << 20;
  void *bytes = calloc(1, size);
  long before = 0;
  CHECK(bytes != NULL);
  for (int i = 0; i < 120; i++) {
    procpool_future *future = test_submit(pool, task_echo, bytes, size - (size_t)i * 1000);
    CHECK_SETTLES(future, PROCPOOL_OK);
    CHECK_OK(procpool_future_release(future));
    if (i == 20)
      before = resident_of_worker(pool);
  }
  if (!test_instrumented())
    CHECK_LT(resident_of_worker(pool) - before, 16 * 1024);
  free(bytes);
  test_close(pool);
}

TEST_STARTS(r030_a_queued_task_costs_at_most_256_bytes, CONCURRENT) {
  enum { COUNT = 200000 };
  procpool_options options = {0};
  procpool *pool;
  const test_job job = job_of(0);
  procpool_future *blocker;
  static procpool_future *futures[COUNT];
  long before;
  uint64_t shared;
  if (test_instrumented() || test_slow() > 1)
    SKIP("an instrument has costs of its own");
  options.max_queued = COUNT + 1;
  pool = test_open_with(start, 1, &options);
  blocker = test_submit(pool, task_block, &job, sizeof(job));
  gate_wait(&page->started, 1);
  memset(futures, 0x5a, sizeof(futures)); /* this array is not the pool's */
  before = test_resident_kib();
  shared = test_stats(pool).shared_bytes;
  for (int i = 0; i < COUNT; i++)
    CHECK_OK(procpool_submit(pool, task_nothing, NULL, 0, NULL, &futures[i]));
  CHECK_LE((test_resident_kib() - before) * 1024 / COUNT, 256);
  CHECK_LE((test_stats(pool).shared_bytes - shared) / COUNT, 256);
  gate_add(&page->gate, 1);
  for (int i = 0; i < COUNT; i++) {
    CHECK_SETTLES(futures[i], PROCPOOL_OK);
    CHECK_OK(procpool_future_release(futures[i]));
  }
  CHECK_SETTLES(blocker, PROCPOOL_OK);
  CHECK_OK(procpool_future_release(blocker));
  test_close(pool);
}

TEST_STARTS(r031_release_before_it_settles, EVERY) {
  enum { COUNT = 3000 };
  procpool *pool = test_open(start, 2);
  for (int i = 0; i < COUNT; i++) {
    const test_job job = job_of(i);
    CHECK_OK(procpool_future_release(test_submit(pool, task_count, &job, sizeof(job))));
  }
  test_close(pool);
  CHECK_EQ(page->count, COUNT); /* each ran all the same */
}

typedef struct handover {
  procpool_future *futures[2000];
  int given;
} handover;

static void *release_in_a_thread(void *context) {
  handover *self = (handover *)context;
  for (int i = 0; i < 2000; i++) {
    gate_wait(&self->given, i + 1);
    CHECK_OK(procpool_future_release(self->futures[i]));
  }
  return NULL;
}

TEST_STARTS(r031_release_in_another_thread, EVERY) {
  static handover self;
  procpool *pool = test_open(start, 2);
  pthread_t thread;
  self.given = 0;
  thread = test_thread(release_in_a_thread, &self);
  for (int i = 0; i < 2000; i++) {
    const test_job job = job_of(i);
    self.futures[i] = test_submit(pool, task_count, &job, sizeof(job));
    gate_add(&self.given, 1);
    if (i % 8 == 0)
      CHECK_POLL(procpool_poll(pool, 0));
  }
  test_join(thread);
  test_close(pool);
  CHECK_EQ(page->count, 2000);
}

/* ---- a stopped supervisor delays no task ---- */

TEST_STARTS_LIMIT(r024_submit_goes_on_while_the_supervisor_is_stopped, PROCESSES, 60) {
  procpool_options options = {0};
  procpool *pool;
  procpool_future *future;
  const int count = test_rounds(100000), in = 1;
  long supervisor = 0;
  double begin;
  options.max_queued = 131072;
  pool = test_open_with(start, 2, &options);
  future = test_submit(pool, task_parent, NULL, 0);
  CHECK_OK(procpool_future_result(future, PROCPOOL_FOREVER, &supervisor, sizeof(supervisor), NULL));
  CHECK_OK(procpool_future_release(future));
  CHECK_NE(supervisor, (long)getpid());
  CHECK_EQ(kill((pid_t)supervisor, SIGSTOP), 0);
  begin = test_now();
  for (int i = 0; i < count; i++)
    CHECK_OK(procpool_submit(pool, task_twice, &in, sizeof(in), NULL, NULL));
  CHECK_SECONDS(test_now() - begin, <, 3.0 * test_slow());
  future = test_submit(pool, task_twice, &in, sizeof(in));
  CHECK_SETTLES(future, PROCPOOL_OK); /* and all of it runs */
  CHECK_OK(procpool_future_release(future));
  CHECK_EQ(kill((pid_t)supervisor, SIGCONT), 0);
  test_close(pool);
}

/* ---- what is not wanted ---- */

enum { FORGOTTEN = 4000 };

static void task_started(procpool_task *task) {
  (void)job_begin(task);
  gate_add(&page->started, 1);
}

/* started + 1, and fails: no one is told. */
static void task_started_fails(procpool_task *task) {
  task_started(task);
  procpool_task_fail(task, 1, "a failure that is not heard of");
}

static void task_started_large(procpool_task *task) {
  void *result;
  task_started(task);
  result = procpool_task_result(task, 20000);
  if (result != NULL)
    memset(result, 1, 20000);
}

static void forget(procpool *pool, procpool_function function, int count, bool released) {
  const test_job job = job_of(0);
  for (int i = 0; i < count; i++)
    if (released)
      CHECK_OK(procpool_future_release(test_submit(pool, function, &job, sizeof(job))));
    else
      CHECK_OK(procpool_submit(pool, function, &job, sizeof(job), NULL, NULL));
}

/* The host hands out more tasks than the rings have room for results, and then does something else. */
TEST_STARTS(r031_what_nobody_wants_needs_no_host, CONCURRENT) {
  const procpool_function functions[] = {task_started, task_started_fails, task_started_large};
  for (int i = 0; i < 6; i++) {
    procpool_options options = {.ring_size = 4096, .max_queued = FORGOTTEN};
    procpool *pool = test_open_with(start, 2, &options);
    page->started = 0;
    forget(pool, functions[i / 2], FORGOTTEN, i % 2 != 0);
    gate_wait(&page->started, FORGOTTEN);        /* this thread does not call the pool */
    while (test_stats(pool).settled < FORGOTTEN) /* what has no record is looked for */
      CHECK_POLL(procpool_poll(pool, 0));
    CHECK_WORKS(pool);
    test_close_by(pool, i % 2 == 0 ? PROCPOOL_DRAIN : PROCPOOL_KILL);
  }
}

static void task_gate_large(procpool_task *task) {
  task_gate(task);
  task_started_large(task);
}

static void *open_gates_later(void *context) {
  (void)context;
  (void)poll(NULL, 0, 50);
  gate_add(&page->word[2], 1);
  (void)poll(NULL, 0, 400);
  gate_add(&page->word[0], 1);
  return NULL;
}

static void *wait_a_little(void *context) {
  CHECK_STATUS(procpool_future_wait((procpool_future *)context, 0.3), PROCPOOL_PENDING);
  return NULL;
}

/* A worker waits for room for a result that is not wanted any more. */
TEST_STARTS(r031_given_up_after_a_cancel, PROCESSES) {
  procpool_options options = {.ring_size = 4096};
  procpool *pool = test_open_with(start, 1, &options);
  const test_job job = job_of(0);
  procpool_future *future = test_submit(pool, task_started_large, &job, sizeof(job));
  forget(pool, task_started, 10, false);
  gate_wait(&page->started, 1);
  (void)poll(NULL, 0, 50); /* the ring is full by then */
  CHECK_STATUS(procpool_future_cancel_kill(future, 30), PROCPOOL_PENDING);
  (void)poll(NULL, 0, 20);
  CHECK_OK(procpool_future_release(future));
  gate_wait(&page->started, 11); /* this thread does not call the pool */
  test_close(pool);
}

/* The same where a wait had still wanted it. */
TEST_STARTS(r031_given_up_by_a_wait_that_ends, CONCURRENT) {
  procpool_options options = {.ring_size = 4096};
  procpool *pool = test_open_with(start, 1, &options);
  const test_job job = job_of(0);
  procpool_future *future = test_submit(pool, task_gate_large, &job, sizeof(job));
  pthread_t thread;
  gate_wait(&page->started, 1);
  forget(pool, task_started, 10, false);
  thread = test_thread(wait_a_little, future);
  (void)poll(NULL, 0, 50);
  CHECK_OK(procpool_future_release(future));
  test_join(thread);
  gate_add(&page->word[0], 1);
  gate_wait(&page->started, 12); /* this thread does not call the pool */
  test_close(pool);
}

static procpool_future *other, *released;

static void *wait_for_the_other(void *context) {
  (void)context;
  CHECK_SETTLES(other, PROCPOOL_OK);
  return NULL;
}

static void release_beside_a_drainer(procpool_future *future, void *thread) {
  (void)future;
  *(pthread_t *)thread = test_thread(wait_for_the_other, NULL);
  (void)poll(NULL, 0, 100);
  CHECK_OK(procpool_future_release(released));
}

/* A future is released in a callback that its own waiter runs, which then sleeps while another thread drains: it hears
 * of the end of the task, and no sound worker is taken for one that wrote nonsense. */
TEST_STARTS(r031_released_while_its_waiter_is_awake, PROCESSES) {
  procpool_options options = {.ring_size = 4096};
  procpool *pool = test_open_with(start, 2, &options);
  const test_job job = job_with(0, 0), last = job_with(1, 1), before = job_with(2, 2);
  procpool_future *first = test_submit(pool, task_gate, &before, sizeof(before));
  pthread_t thread, opener;
  procpool_stats stats;
  CHECK_OK(procpool_future_add_done_callback(first, release_beside_a_drainer, &thread));
  released = test_submit(pool, task_gate_large, &job, sizeof(job));
  gate_wait(&page->started, 2);
  other = test_submit(pool, task_gate, &last, sizeof(last));
  opener = test_thread(open_gates_later, NULL);
  CHECK_SETTLES(released, PROCPOOL_OK);
  gate_add(&page->word[1], 1);
  test_join(thread);
  test_join(opener);
  CHECK_OK(procpool_future_release(first));
  CHECK_OK(procpool_future_release(other));
  stats = test_stats(pool);
  CHECK_EQ(stats.crashed, 0);
  CHECK_EQ(stats.workers_started, 2);
  test_close(pool);
}

enum { RELEASED_CALLED = 5, RELEASED_RETURN };

static void task_gate_fails(procpool_task *task) {
  const test_job *job = job_begin(task);
  gate_add(&page->started, 1);
  gate_wait(&page->word[job->number], 1);
  procpool_task_fail(task, 7, "a failure that a wait hears of");
}

static void stay_in_the_callback(procpool_future *future, void *context) {
  (void)future;
  (void)context;
  gate_add(&page->word[RELEASED_CALLED], 1);
  gate_wait(&page->word[RELEASED_RETURN], 1);
}

static void *wait_for_the_failure(void *context) {
  CHECK_STATUS(procpool_future_wait((procpool_future *)context, PROCPOOL_FOREVER), PROCPOOL_FAILED);
  return NULL;
}

/* What a thread waits for is wanted, also while it runs a callback: another thread releases it before the pool begins to
 * drain, after that, or in a pool that goes on. */
TEST_STARTS(r031_released_while_its_waiter_is_in_a_callback, CONCURRENT) {
  for (int way = 0; way < 3; way++) {
    procpool_options options = {.ring_size = 4096};
    procpool *pool = test_open_with(start, 1, &options);
    const test_job job = job_with(0, 0);
    procpool_future *first = test_submit(pool, task_nothing, NULL, 0);
    procpool_future *future = test_submit(pool, task_gate_fails, &job, sizeof(job));
    pthread_t thread;
    gate_wait(&page->started, 1);
    CHECK_OK(procpool_future_add_done_callback(first, stay_in_the_callback, NULL));
    thread = test_thread(wait_for_the_failure, future);
    gate_wait(&page->word[RELEASED_CALLED], 1);
    if (way == 0)
      CHECK_OK(procpool_future_release(future));
    if (way < 2)
      CHECK_STATUS(procpool_shutdown(pool, PROCPOOL_DRAIN, 0), PROCPOOL_PENDING);
    if (way != 0)
      CHECK_OK(procpool_future_release(future));
    gate_add(&page->word[0], 1);
    (void)poll(NULL, 0, 50); /* it has ended by then */
    gate_add(&page->word[RELEASED_RETURN], 1);
    test_join(thread);
    CHECK_OK(procpool_future_release(first));
    test_close(pool);
    page->started = 0;
    memset(page->word, 0, sizeof(page->word));
  }
}

/* Many more than the queue holds: slots come back though there are no records. */
TEST_STARTS(r031_what_nobody_wants_gives_room, EVERY) {
  procpool_options options = {.ring_size = 4096, .max_queued = 500};
  procpool *pool = test_open_with(start, 2, &options);
  page->started = 0;
  forget(pool, task_started, 20 * FORGOTTEN, false);
  CHECK_OK(procpool_shutdown(pool, PROCPOOL_DRAIN, PROCPOOL_FOREVER));
  CHECK_EQ(page->started, 20 * FORGOTTEN);
  CHECK_EQ(test_stats(pool).settled, 20 * FORGOTTEN);
  CHECK_OK(procpool_free(pool));
}

/* Numbers are exact at the first look, however many tasks have left no record. */
TEST_STARTS(r029_exact_at_the_first_look, CONCURRENT) {
  enum { MANY = 40000 };
  procpool_options options = {.ring_size = 4096};
  procpool *pool = test_open_with(start, 2, &options);
  procpool_stats stats;
  page->started = 0;
  forget(pool, task_started, MANY, false);
  gate_wait(&page->started, MANY);
  (void)poll(NULL, 0, 200);
  stats = test_stats(pool);
  CHECK_EQ(stats.settled, MANY);
  CHECK_EQ(stats.running, 0);
  test_close(pool);
}

static void task_started_dies_now_and_then(procpool_task *task) {
  const test_job *job = job_begin(task);
  gate_add(&page->started, 1);
  if (job->index % 100 == 7)
    raise(SIGKILL);
}

/* Workers die among tasks that are not wanted: each is settled all the same, and the others run. */
TEST_STARTS(r031_what_nobody_wants_beside_deaths, PROCESSES) {
  procpool_options options = {.ring_size = 4096, .max_queued = 300};
  procpool *pool = test_open_with(start, 2, &options);
  const int count = test_rounds(3000);
  page->started = 0;
  for (int i = 0; i < count; i++) {
    const test_job job = job_of(i);
    CHECK_OK(procpool_submit(pool, task_started_dies_now_and_then, &job, sizeof(job), NULL, NULL));
  }
  CHECK_OK(procpool_shutdown(pool, PROCPOOL_DRAIN, PROCPOOL_FOREVER));
  CHECK_EQ(page->started, count);
  CHECK_EQ(test_stats(pool).settled, (uint64_t)count);
  CHECK_EQ(test_stats(pool).crashed, (uint64_t)(count + 92) / 100);
  CHECK_OK(procpool_free(pool));
}
