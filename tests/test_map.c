/* map, imap, and the typed layer over them. */
#include "harness.h"

#include <poll.h>
#include <sys/resource.h>

/* ---- map ---- */

enum { MANY = 1000 };

static void map_equals_serial(procpool *pool, size_t count, size_t chunksize) {
  int *in = (int *)calloc(count + 1, sizeof(int)), *out = (int *)calloc(count + 1, sizeof(int));
  procpool_map_options options = {0};
  procpool_status *statuses = (procpool_status *)calloc(count + 1, sizeof(procpool_status));
  CHECK(in != NULL && out != NULL && statuses != NULL);
  for (size_t i = 0; i < count; i++) {
    in[i] = (int)i * 3 - 7;
    statuses[i] = PROCPOOL_END;
  }
  out[count] = 12345;
  options.chunksize = chunksize;
  options.statuses = statuses;
  options.failed_item = 99;
  options.failed_count = 99;
  CHECK_OK(procpool_map(pool, task_twice, in, sizeof(int), out, sizeof(int), count, &options));
  for (size_t i = 0; i < count; i++) {
    CHECK_EQ(out[i], 2 * in[i]);
    CHECK_OK(statuses[i]);
  }
  CHECK_EQ(out[count], 12345);
  CHECK_EQ(options.failed_count, 0);
  free(in);
  free(out);
  free(statuses);
}

TEST_STARTS(r032_map_equals_serial, EVERY) {
  procpool *pool = test_open(start, 2);
  static const size_t counts[] = {1, 2, 3, 7, 64, 1000};
  for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
    const size_t n = counts[i];
    map_equals_serial(pool, n, 0);
    map_equals_serial(pool, n, 1);
    map_equals_serial(pool, n, n);
    map_equals_serial(pool, n, n + 1);
    map_equals_serial(pool, n, 10 * n + 5);
    map_equals_serial(pool, n, n > 1 ? n - 1 : 1);
    map_equals_serial(pool, n, 3);
  }
  test_close(pool);
}

TEST_STARTS(r032_map_of_nothing, EVERY) {
  procpool *pool = test_open(start, 1);
  procpool_map_options options = {0};
  CHECK_OK(procpool_map(pool, task_twice, NULL, sizeof(int), NULL, sizeof(int), 0, NULL));
  options.failed_count = 99;
  CHECK_OK(procpool_map(pool, task_twice, NULL, sizeof(int), NULL, sizeof(int), 0, &options));
  CHECK_EQ(options.failed_count, 0);
  CHECK_EQ(test_stats(pool).submitted, 0);
  test_close(pool);
}

TEST_STARTS(r032_map_of_many_items, EVERY) {
  enum { COUNT = 200000 };
  procpool *pool = test_open(start, 2);
  static int in[COUNT], out[COUNT];
  for (int i = 0; i < COUNT; i++)
    in[i] = i;
  CHECK_OK(procpool_map(pool, task_twice, in, sizeof(int), out, sizeof(int), COUNT, NULL));
  for (int i = 0; i < COUNT; i++)
    CHECK_EQ(out[i], 2 * i);
  test_close(pool);
}

TEST_STARTS(r032_huge_chunksize, EVERY) {
  procpool *pool = test_open(start, 1);
  map_equals_serial(pool, 10, SIZE_MAX);
  map_equals_serial(pool, 10, SIZE_MAX / 2);
  test_close(pool);
}

/* Items and results larger than the ring, in one chunk and in several. */
TEST_STARTS(r032_large_items, EVERY) {
  enum { COUNT = 12, SIZE = 100000 };
  procpool_options options = {0};
  procpool_map_options map = {0};
  procpool *pool;
  unsigned char *in = (unsigned char *)malloc((size_t)COUNT * SIZE),
                *out = (unsigned char *)malloc((size_t)COUNT * SIZE);
  CHECK(in != NULL && out != NULL);
  options.ring_size = 65536;
  pool = test_open_with(start, 2, &options);
  pattern_fill(in, (size_t)COUNT * SIZE, 9);
  for (size_t chunksize = 0; chunksize < 6; chunksize++) {
    memset(out, 0, (size_t)COUNT * SIZE);
    map.chunksize = chunksize;
    CHECK_OK(procpool_map(pool, task_echo, in, SIZE, out, SIZE, COUNT, &map));
    CHECK(pattern_holds(out, (size_t)COUNT * SIZE, 9));
  }
  free(in);
  free(out);
  test_close(pool);
}

static void task_short_result(procpool_task *task) {
  const unsigned char *n = (const unsigned char *)procpool_task_argument(task, NULL);
  unsigned char *result = (unsigned char *)procpool_task_result(task, *n);
  memset(result, 'r', *n);
}

/* "At most result_size bytes": less is fine, what lies behind is not touched by more than the item's own place. */
TEST_STARTS(r032_results_shorter_than_their_place, EVERY) {
  procpool *pool = test_open(start, 1);
  unsigned char in[9], out[9 * 8];
  for (int i = 0; i < 9; i++)
    in[i] = (unsigned char)i;
  memset(out, 'x', sizeof(out));
  CHECK_OK(procpool_map(pool, task_short_result, in, 1, out, 8, 9, NULL));
  for (int i = 0; i < 9; i++)
    for (int j = 0; j < i && j < 8; j++)
      CHECK_EQ(out[i * 8 + j], 'r');
  test_close(pool);
}

/* An item whose result does not fit fails alone. */
TEST_STARTS(r034_result_larger_than_its_place, EVERY) {
  procpool *pool = test_open(start, 1);
  unsigned char in[6] = {4, 8, 9, 200, 8, 1}, out[6 * 8 + 1];
  procpool_status statuses[6];
  for (size_t chunksize = 0; chunksize < 7; chunksize++) {
    procpool_map_options options = {0};
    memset(out, 'x', sizeof(out));
    options.statuses = statuses;
    options.chunksize = chunksize;
    CHECK_NE(procpool_map(pool, task_short_result, in, 1, out, 8, 6, &options), PROCPOOL_OK);
    CHECK_EQ(options.failed_item, 2);
    CHECK_EQ(options.failed_count, 2);
    for (int i = 0; i < 6; i++)
      if (i == 2 || i == 3)
        CHECK_STATUS(statuses[i], PROCPOOL_TRANSFER);
      else
        CHECK_OK(statuses[i]);
    for (int i = 2 * 8; i < 4 * 8; i++)
      CHECK_EQ(out[i], 'x'); /* left as they were */
    CHECK_EQ(out[8], 'r');
    CHECK_EQ(out[4 * 8 + 7], 'r');
    CHECK_EQ(out[5 * 8], 'r');
    CHECK_EQ(out[6 * 8], 'x');
  }
  test_close(pool);
}

TEST_STARTS(r032_items_without_results_or_arguments, EVERY) {
  procpool *pool = test_open(start, 2);
  const test_job jobs[3] = {job_of(1), job_of(2), job_of(3)};
  long pids[4] = {0, 0, 0, 0};
  CHECK_STATUS(procpool_map(pool, task_nothing, jobs, sizeof(jobs[0]), NULL, 0, 3, NULL), PROCPOOL_OK);
  CHECK_OK(procpool_map(pool, task_pid, NULL, 0, pids, sizeof(long), 4, NULL));
  for (int i = 0; i < 4; i++)
    CHECK_NE(pids[i], 0);
  test_close(pool);
}

static void task_fail_multiples(procpool_task *task) {
  const int x = *(const int *)procpool_task_argument(task, NULL);
  const int y = x + 1;
  if (x % 10 == 3)
    procpool_task_fail(task, x, "a multiple");
  else
    procpool_task_return(task, &y, sizeof(y));
}

static void map_with_failures(procpool *pool, size_t chunksize) {
  enum { COUNT = 100 };
  int in[COUNT], out[COUNT];
  procpool_status statuses[COUNT];
  procpool_error error;
  procpool_map_options options = {0};
  for (int i = 0; i < COUNT; i++) {
    in[i] = i;
    out[i] = -1;
    statuses[i] = PROCPOOL_END;
  }
  memset(&error, 0x5a, sizeof(error));
  options.chunksize = chunksize;
  options.statuses = statuses;
  options.error = &error;
  CHECK_STATUS(procpool_map(pool, task_fail_multiples, in, sizeof(int), out, sizeof(int), COUNT, &options),
               PROCPOOL_FAILED);
  CHECK_EQ(options.failed_item, 3);
  CHECK_EQ(options.failed_count, 10);
  CHECK_STATUS(error.status, PROCPOOL_FAILED);
  CHECK_EQ(error.code, 3); /* the lowest, not the first that came */
  CHECK_TEXT(error.message, "a multiple");
  for (int i = 0; i < COUNT; i++) {
    CHECK_STATUS(statuses[i], i % 10 == 3 ? PROCPOOL_FAILED : PROCPOOL_OK);
    CHECK_EQ(out[i], i % 10 == 3 ? -1 : i + 1);
  }
}

TEST_STARTS(r034_errors_by_position, EVERY) {
  procpool *pool = test_open(start, 2);
  static const size_t chunks[] = {0, 1, 2, 7, 10, 33, 100, 1000};
  for (size_t i = 0; i < sizeof(chunks) / sizeof(chunks[0]); i++)
    map_with_failures(pool, chunks[i]);
  CHECK_WORKS(pool);
  test_close(pool);
}

TEST_STARTS(r034_every_item_fails, EVERY) {
  procpool *pool = test_open(start, 2);
  enum { COUNT = 500 };
  static test_job jobs[COUNT];
  static int out[COUNT];
  procpool_map_options options = {0};
  for (int i = 0; i < COUNT; i++)
    jobs[i] = job_with(i, i);
  CHECK_STATUS(procpool_map(pool, task_fail, jobs, sizeof(jobs[0]), out, sizeof(int), COUNT, &options),
               PROCPOOL_FAILED);
  CHECK_EQ(options.failed_item, 0);
  CHECK_EQ(options.failed_count, COUNT);
  CHECK_WORKS(pool);
  test_close(pool);
}

/* A failing item in one chunk while another worker writes a large result. */
TEST_STARTS(r034_failure_beside_a_large_result, EVERY) {
  enum { COUNT = 8 };
  procpool_options options = {0};
  procpool *pool;
  const size_t size = 3 << 20;
  test_job jobs[COUNT];
  procpool_map_options map = {0};
  unsigned char *out = (unsigned char *)calloc(COUNT, size);
  CHECK(out != NULL);
  options.ring_size = 65536;
  pool = test_open_with(start, 2, &options);
  for (int i = 0; i < COUNT; i++)
    jobs[i] = job_sized(i, i == 1 ? size + 1 : size); /* one does not fit */
  map.chunksize = 1;
  CHECK_STATUS(procpool_map(pool, task_make, jobs, sizeof(jobs[0]), out, size, COUNT, &map), PROCPOOL_TRANSFER);
  CHECK_EQ(map.failed_item, 1);
  CHECK_EQ(map.failed_count, 1);
  for (int i = 0; i < COUNT; i++)
    if (i != 1)
      CHECK(pattern_holds(out + (size_t)i * size, size, (unsigned)i));
  free(out);
  test_close(pool);
}

static void task_die_at(procpool_task *task) {
  const test_job *job = job_begin(task);
  if (job->number != 0)
    raise(job->number);
  procpool_task_return(task, &job->index, sizeof(job->index));
}

static void map_with_deaths(procpool *pool, size_t chunksize) {
  enum { COUNT = 60 };
  test_job jobs[COUNT];
  int out[COUNT];
  procpool_status statuses[COUNT];
  procpool_error error;
  procpool_map_options options = {0};
  for (int i = 0; i < COUNT; i++) {
    jobs[i] = job_with(i, i == 17 || i == 18 || i == 44 ? SIGKILL : 0);
    out[i] = -1;
  }
  options.chunksize = chunksize;
  options.statuses = statuses;
  options.error = &error;
  CHECK_STATUS(procpool_map(pool, task_die_at, jobs, sizeof(jobs[0]), out, sizeof(int), COUNT, &options),
               PROCPOOL_CRASHED);
  CHECK_EQ(options.failed_item, 17);
  CHECK_EQ(options.failed_count, 3);
  CHECK_STATUS(error.status, PROCPOOL_CRASHED);
  CHECK_EQ(error.signal, SIGKILL);
  CHECK_NE(error.pid, 0);
  for (int i = 0; i < COUNT; i++) {
    CHECK_STATUS(statuses[i], jobs[i].number != 0 ? PROCPOOL_CRASHED : PROCPOOL_OK);
    CHECK_EQ(out[i], jobs[i].number != 0 ? -1 : i);
  }
}

TEST_STARTS(r096_an_item_that_crashes_fails_alone, PROCESSES) {
  procpool *pool = test_open(start, 2);
  static const size_t chunks[] = {1, 0, 5, 20, 60};
  for (size_t i = 0; i < sizeof(chunks) / sizeof(chunks[0]); i++)
    map_with_deaths(pool, chunks[i]);
  CHECK_WORKS(pool);
  test_close(pool);
}

TEST_STARTS(r035_pool_is_usable_for_maps_in_a_row, EVERY) {
  procpool *pool = test_open(start, 2);
  for (int i = 0; i < 200; i++)
    map_equals_serial(pool, (size_t)i, 0);
  CHECK_EQ(test_stats(pool).submitted, test_stats(pool).settled);
  test_close(pool);
}

/* ---- the map's own time limit ---- */

TEST_STARTS(r036_map_times_out, PROCESSES) {
  enum { COUNT = 20 };
  procpool *pool = test_open(start, 1);
  test_job jobs[COUNT];
  int out[COUNT];
  procpool_status statuses[COUNT];
  procpool_map_options options = {0};
  double begin;
  for (int i = 0; i < COUNT; i++) {
    jobs[i] = job_with(i, i < 3 ? 1 : 2);
    out[i] = -1;
  }
  gate_add(&page->word[1], 1); /* the first three pass at once */
  options.timeout = 0.3 * test_slow();
  options.chunksize = 1;
  options.statuses = statuses;
  begin = test_now();
  CHECK_STATUS(procpool_map(pool, task_gate, jobs, sizeof(jobs[0]), out, sizeof(int), COUNT, &options),
               PROCPOOL_PENDING);
  CHECK_SECONDS(test_now() - begin, >=, 0.3);
  CHECK_SECONDS(test_now() - begin, <, (0.3 + 2.0) * test_slow());
  CHECK_EQ(options.failed_item, 3);
  CHECK_EQ(options.failed_count, COUNT - 3);
  for (int i = 0; i < COUNT; i++) {
    CHECK_STATUS(statuses[i], i < 3 ? PROCPOOL_OK : PROCPOOL_PENDING);
    CHECK_EQ(out[i], i < 3 ? i : -1);
  }
  gate_add(&page->word[2], 1);
  CHECK_WORKS(pool);          /* behind what still ran */
  CHECK_EQ(page->started, 4); /* those not begun never will */
  CHECK_EQ(out[3], -1);
  test_close(pool);
}

TEST_STARTS(r036_map_within_its_limit, EVERY) {
  procpool *pool = test_open(start, 2);
  procpool_map_options options = {0};
  const int in[4] = {1, 2, 3, 4};
  int out[4];
  options.timeout = 1000;
  CHECK_OK(procpool_map(pool, task_twice, in, sizeof(int), out, sizeof(int), 4, &options));
  CHECK_EQ(out[3], 8);
  test_close(pool);
}

static void *interrupt_in_a_thread(void *context) {
  gate_wait(&page->started, 1);
  procpool_interrupt((procpool *)context);
  return NULL;
}

TEST_STARTS(r036_map_interrupted, PROCESSES) {
  procpool *pool = test_open(start, 1);
  const test_job jobs[2] = {job_with(0, 1), job_with(1, 1)};
  int out[2] = {-1, -1};
  procpool_status statuses[2];
  procpool_map_options options = {0};
  pthread_t thread = test_thread(interrupt_in_a_thread, pool);
  options.statuses = statuses;
  options.chunksize = 1;
  CHECK_STATUS(procpool_map(pool, task_gate, jobs, sizeof(jobs[0]), out, sizeof(int), 2, &options),
               PROCPOOL_INTERRUPTED);
  test_join(thread);
  CHECK_STATUS(statuses[0], PROCPOOL_PENDING);
  CHECK_STATUS(statuses[1], PROCPOOL_PENDING);
  gate_add(&page->word[1], 1);
  CHECK_WORKS(pool);
  CHECK_EQ(page->started, 1);
  CHECK_EQ(out[0], -1);
  test_close(pool);
}

/* ---- maps at the same time ---- */

typedef struct mapper {
  procpool *pool;
  int base;
} mapper;

static void *map_in_a_thread(void *context) {
  const mapper *self = (const mapper *)context;
  int in[MANY], out[MANY];
  for (int round = 0; round < test_rounds(20); round++) {
    for (int i = 0; i < MANY; i++)
      in[i] = self->base + i;
    CHECK_OK(procpool_map(self->pool, task_twice, in, sizeof(int), out, sizeof(int), MANY, NULL));
    for (int i = 0; i < MANY; i++)
      CHECK_EQ(out[i], 2 * in[i]);
  }
  return NULL;
}

TEST_STARTS(r040_maps_from_several_threads, EVERY) {
  procpool *pool = test_open(start, 2);
  mapper self[6];
  pthread_t threads[6];
  for (int i = 0; i < 6; i++) {
    self[i].pool = pool;
    self[i].base = i * 1000000;
    threads[i] = test_thread(map_in_a_thread, &self[i]);
  }
  for (int i = 0; i < 6; i++)
    test_join(threads[i]);
  test_close(pool);
}

/* ---- imap ---- */

typedef struct source {
  int next;
  int end;  /* -1: endless */
  int fail; /* at this item, or -1 */
  int delivered;
  int furthest; /* most items ahead of the delivery */
} source;

static int generate(void *context, void *item) {
  source *self = (source *)context;
  if (self->next == self->fail)
    return -5;
  if (self->end >= 0 && self->next >= self->end)
    return 0;
  if (self->next + 1 - self->delivered > self->furthest)
    self->furthest = self->next + 1 - self->delivered;
  memcpy(item, &self->next, sizeof(self->next));
  self->next++;
  return 1;
}

static source source_of(int end) {
  source self = {0, 0, -1, 0, 0};
  self.end = end;
  return self;
}

static int next_int(procpool_iterator *iterator, source *from) {
  procpool_future *future = NULL;
  int out = -1;
  CHECK_OK(procpool_next(iterator, PROCPOOL_FOREVER, &future));
  CHECK_OK(procpool_future_result(future, 0, &out, sizeof(out), NULL));
  from->delivered++;
  return out;
}

TEST_STARTS(r032_imap_in_order, EVERY) {
  procpool *pool = test_open(start, 2);
  source from = source_of(500);
  procpool_iterator *iterator = NULL;
  procpool_future *future = NULL;
  CHECK_OK(procpool_imap(pool, task_twice, generate, &from, sizeof(int), NULL, &iterator));
  for (int i = 0; i < 500; i++)
    CHECK_EQ(next_int(iterator, &from), 2 * i);
  CHECK_STATUS(procpool_next(iterator, PROCPOOL_FOREVER, &future), PROCPOOL_END);
  CHECK_STATUS(procpool_next(iterator, 0, &future), PROCPOOL_END);
  CHECK_EQ(procpool_iterator_remaining(iterator), 0);
  procpool_iterator_free(iterator);
  test_close(pool);
}

TEST_STARTS(r032_imap_of_nothing, EVERY) {
  procpool *pool = test_open(start, 1);
  source from = source_of(0);
  procpool_iterator *iterator = NULL;
  procpool_future *future = NULL;
  CHECK_OK(procpool_imap(pool, task_twice, generate, &from, sizeof(int), NULL, &iterator));
  CHECK_STATUS(procpool_next(iterator, PROCPOOL_FOREVER, &future), PROCPOOL_END);
  CHECK(future == NULL);
  procpool_iterator_free(iterator);
  test_close(pool);
}

TEST_STARTS(r033_imap_unordered_delivers_the_multiset, EVERY) {
  enum { COUNT = 500 };
  procpool *pool = test_open(start, 2);
  source from = source_of(COUNT);
  procpool_imap_options options = {0};
  procpool_iterator *iterator = NULL;
  procpool_future *future = NULL;
  int seen[COUNT] = {0};
  options.unordered = true;
  CHECK_OK(procpool_imap(pool, task_twice, generate, &from, sizeof(int), &options, &iterator));
  for (int i = 0; i < COUNT; i++) {
    const int out = next_int(iterator, &from);
    CHECK(out >= 0 && out < 2 * COUNT && out % 2 == 0);
    CHECK_EQ(++seen[out / 2], 1);
  }
  CHECK_STATUS(procpool_next(iterator, PROCPOOL_FOREVER, &future), PROCPOOL_END);
  procpool_iterator_free(iterator);
  test_close(pool);
}

static int generate_gated(void *context, void *item) {
  source *self = (source *)context;
  const test_job job = job_with(self->next, self->next);
  if (self->next >= self->end)
    return 0;
  memcpy(item, &job, sizeof(job));
  self->next++;
  return 1;
}

TEST_STARTS(r033_imap_unordered_delivers_as_they_settle, CONCURRENT) {
  procpool *pool = test_open(start, 3);
  source from = source_of(3);
  procpool_imap_options options = {0};
  procpool_iterator *iterator = NULL;
  procpool_future *future = NULL;
  static const int order[3] = {1, 2, 0};
  options.unordered = true;
  options.buffersize = 3;
  CHECK_OK(procpool_imap(pool, task_gate, generate_gated, &from, sizeof(test_job), &options, &iterator));
  CHECK_STATUS(procpool_next(iterator, 0.02, &future), PROCPOOL_PENDING);
  CHECK_EQ(procpool_iterator_remaining(iterator), 3);
  for (int i = 0; i < 3; i++) {
    gate_add(&page->word[order[i]], 1);
    CHECK_EQ(next_int(iterator, &from), order[i]);
  }
  procpool_iterator_free(iterator);
  test_close(pool);
}

TEST_STARTS(r032_imap_ordered_waits_for_the_first, CONCURRENT) {
  procpool *pool = test_open(start, 3);
  source from = source_of(3);
  procpool_imap_options options = {0};
  procpool_iterator *iterator = NULL;
  procpool_future *future = NULL;
  options.buffersize = 3;
  gate_add(&page->word[1], 1);
  gate_add(&page->word[2], 1);
  CHECK_OK(procpool_imap(pool, task_gate, generate_gated, &from, sizeof(test_job), &options, &iterator));
  CHECK_STATUS(procpool_next(iterator, 0.05, &future), PROCPOOL_PENDING); /* later ones are ready */
  gate_add(&page->word[0], 1);
  for (int i = 0; i < 3; i++)
    CHECK_EQ(next_int(iterator, &from), i);
  procpool_iterator_free(iterator);
  test_close(pool);
}

typedef struct taker {
  procpool_iterator *iterator;
  int taken; /* the item's result; 0: none */
} taker;

/* Takes an item from the iterator whose call runs this callback. */
static void take_an_item(procpool_future *settled, void *context) {
  taker *self = (taker *)context;
  procpool_future *future = NULL;
  (void)settled;
  while (procpool_next(self->iterator, 1, &future) == PROCPOOL_DEADLOCK)
    ;
  CHECK_OK(procpool_future_result(future, 0, &self->taken, sizeof(self->taken), NULL));
}

static void imap_beside_a_taker(procpool *pool, int gate, bool unordered, size_t buffersize) {
  const test_job job = job_of(gate);
  procpool_future *gated = test_submit(pool, task_gate, &job, sizeof(job));
  procpool_imap_options options = {0};
  source from = source_of(9);
  taker self = {0};
  procpool_stats stats;
  int sum = 0;
  from.next = 1;
  options.unordered = unordered;
  options.buffersize = buffersize;
  CHECK_OK(procpool_imap(pool, task_twice, generate, &from, sizeof(int), &options, &self.iterator));
  CHECK_OK(procpool_future_add_done_callback(gated, take_an_item, &self));
  gate_add(&page->word[gate], 1);
  while (!known_done(gated)) /* its callback is left to the first call that waits */
    CHECK_OK(procpool_get_stats(pool, &stats));
  for (int i = 1; i < 8; i++)
    sum += next_int(self.iterator, &from);
  CHECK(self.taken > 0);
  CHECK_EQ(sum + self.taken, 2 * (1 + 2 + 3 + 4 + 5 + 6 + 7 + 8));
  CHECK_EQ(procpool_iterator_remaining(self.iterator), 0);
  procpool_iterator_free(self.iterator);
  CHECK_OK(procpool_future_release(gated));
}

TEST_STARTS(imap_in_a_callback_of_its_own_call, CONCURRENT) {
  procpool *pool = test_open(start, 3);
  imap_beside_a_taker(pool, 0, false, 1);
  imap_beside_a_taker(pool, 1, true, 1);
  imap_beside_a_taker(pool, 2, false, 3);
  imap_beside_a_taker(pool, 3, true, 3);
  test_close(pool);
}

static void imap_failures(procpool *pool, bool unordered) {
  source from = source_of(100);
  procpool_imap_options options = {0};
  procpool_iterator *iterator = NULL;
  procpool_future *future = NULL;
  int failed = 0, good = 0;
  options.unordered = unordered;
  CHECK_OK(procpool_imap(pool, task_fail_multiples, generate, &from, sizeof(int), &options, &iterator));
  for (int i = 0; i < 100; i++) {
    procpool_status status;
    CHECK_OK(procpool_next(iterator, PROCPOOL_FOREVER, &future));
    status = procpool_future_status(future);
    if (!unordered)
      CHECK_STATUS(status, i % 10 == 3 ? PROCPOOL_FAILED : PROCPOOL_OK);
    if (status == PROCPOOL_FAILED)
      CHECK_EQ(test_error(future).code % 10, 3);
    failed += status == PROCPOOL_FAILED;
    good += status == PROCPOOL_OK;
  }
  CHECK_EQ(failed, 10);
  CHECK_EQ(good, 90);
  CHECK_STATUS(procpool_next(iterator, PROCPOOL_FOREVER, &future), PROCPOOL_END);
  procpool_iterator_free(iterator);
}

TEST_STARTS(r034_imap_goes_on_after_failures, EVERY) {
  procpool *pool = test_open(start, 2);
  imap_failures(pool, false);
  imap_failures(pool, true);
  test_close(pool);
}

static int generate_deaths(void *context, void *item) {
  source *self = (source *)context;
  const test_job job = job_with(self->next, self->next % 5 == 3 ? SIGKILL : 0);
  if (self->next >= self->end)
    return 0;
  memcpy(item, &job, sizeof(job));
  self->next++;
  return 1;
}

TEST_STARTS(r096_imap_goes_on_after_crashes, PROCESSES) {
  procpool *pool = test_open(start, 2);
  source from = source_of(20);
  procpool_iterator *iterator = NULL;
  procpool_future *future = NULL;
  CHECK_OK(procpool_imap(pool, task_die_at, generate_deaths, &from, sizeof(test_job), NULL, &iterator));
  for (int i = 0; i < 20; i++) {
    CHECK_OK(procpool_next(iterator, PROCPOOL_FOREVER, &future));
    CHECK_STATUS(procpool_future_status(future), i % 5 == 3 ? PROCPOOL_CRASHED : PROCPOOL_OK);
    CHECK_EQ(test_error(future).signal, i % 5 == 3 ? SIGKILL : 0);
  }
  CHECK_STATUS(procpool_next(iterator, PROCPOOL_FOREVER, &future), PROCPOOL_END);
  procpool_iterator_free(iterator);
  CHECK_WORKS(pool);
  test_close(pool);
}

TEST_STARTS(r035_generator_error_after_what_came_before, EVERY) {
  procpool *pool = test_open(start, 2);
  for (int round = 0; round < 3; round++) { /* the pool is usable again */
    source from = source_of(-1);
    procpool_iterator *iterator = NULL;
    procpool_future *future = NULL;
    procpool_imap_options options = {0};
    from.fail = 7;
    options.buffersize = round == 0 ? 1 : 50;
    CHECK_OK(procpool_imap(pool, task_twice, generate, &from, sizeof(int), &options, &iterator));
    for (int i = 0; i < 7; i++)
      CHECK_EQ(next_int(iterator, &from), 2 * i);
    CHECK_STATUS(procpool_next(iterator, PROCPOOL_FOREVER, &future), PROCPOOL_GENERATOR);
    CHECK_STATUS(procpool_next(iterator, PROCPOOL_FOREVER, &future), PROCPOOL_END); /* a loop until END ends */
    CHECK_EQ(procpool_iterator_remaining(iterator), 0);
    procpool_iterator_free(iterator);
    CHECK_WORKS(pool);
  }
  test_close(pool);
}

TEST_STARTS(r035_generator_that_fails_at_once, EVERY) {
  procpool *pool = test_open(start, 1);
  source from = source_of(-1);
  procpool_iterator *iterator = NULL;
  procpool_future *future = NULL;
  from.fail = 0;
  CHECK_OK(procpool_imap(pool, task_twice, generate, &from, sizeof(int), NULL, &iterator));
  CHECK_STATUS(procpool_next(iterator, PROCPOOL_FOREVER, &future), PROCPOOL_GENERATOR);
  procpool_iterator_free(iterator);
  test_close(pool);
}

TEST_STARTS(r037_endless_input_and_bounded_prefetch, EVERY) {
  static const size_t sizes[] = {1, 2, 3, 10, 100};
  procpool *pool = test_open(start, 2);
  for (size_t s = 0; s < sizeof(sizes) / sizeof(sizes[0]); s++)
    for (int unordered = 0; unordered < 2; unordered++) {
      source from = source_of(-1);
      procpool_iterator *iterator = NULL;
      procpool_imap_options options = {0};
      options.buffersize = sizes[s];
      options.unordered = unordered != 0;
      CHECK_OK(procpool_imap(pool, task_twice, generate, &from, sizeof(int), &options, &iterator));
      CHECK_EQ(from.next, 0); /* inputs are pulled in next */
      for (int i = 0; i < 300; i++) {
        (void)next_int(iterator, &from);
        CHECK_LE(procpool_iterator_remaining(iterator), sizes[s]);
      }
      CHECK_LE(from.furthest, (int)sizes[s]);
      CHECK_EQ(from.furthest, (int)sizes[s]); /* and it is made use of */
      procpool_iterator_free(iterator);
    }
  test_close(pool);
}

TEST_STARTS(r037_default_buffersize, CONCURRENT) {
  procpool *pool = test_open(start, 3);
  source from = source_of(-1);
  procpool_iterator *iterator = NULL;
  CHECK_OK(procpool_imap(pool, task_twice, generate, &from, sizeof(int), NULL, &iterator));
  for (int i = 0; i < 200; i++)
    CHECK_EQ(next_int(iterator, &from), 2 * i);
  CHECK_EQ(from.furthest, 64); /* twice the workers would be fewer */
  procpool_iterator_free(iterator);
  test_close(pool);
}

/* buffersize larger than the queue: the queue is the bound. */
TEST_STARTS(r037_buffer_larger_than_the_queue, EVERY) {
  procpool_options options = {0};
  procpool_imap_options imap = {0};
  procpool *pool;
  source from = source_of(200);
  procpool_iterator *iterator = NULL;
  procpool_future *future = NULL;
  options.max_queued = 4;
  pool = test_open_with(start, 1, &options);
  imap.buffersize = 64;
  CHECK_OK(procpool_imap(pool, task_twice, generate, &from, sizeof(int), &imap, &iterator));
  for (int i = 0; i < 200; i++)
    CHECK_EQ(next_int(iterator, &from), 2 * i);
  CHECK_STATUS(procpool_next(iterator, PROCPOOL_FOREVER, &future), PROCPOOL_END);
  procpool_iterator_free(iterator);
  test_close(pool);
}

TEST_STARTS(r038_imap_freed_early, CONCURRENT) {
  procpool *pool = test_open(start, 1);
  source from = source_of(100);
  procpool_imap_options options = {0};
  procpool_iterator *iterator = NULL;
  procpool_future *future = NULL;
  options.buffersize = 20;
  CHECK_OK(procpool_imap(pool, task_gate, generate_gated, &from, sizeof(test_job), &options, &iterator));
  gate_add(&page->word[0], 1);
  CHECK_EQ(next_int(iterator, &from), 0);
  CHECK_STATUS(procpool_next(iterator, 0, &future), PROCPOOL_PENDING);
  gate_wait(&page->started, 2); /* item 1 runs, the others wait */
  procpool_iterator_free(iterator);
  gate_add(&page->word[1], 1);
  CHECK_WORKS(pool);
  CHECK_EQ(page->started, 2); /* what had not begun was cancelled */
  CHECK_EQ(test_stats(pool).queued, 0);
  test_close(pool);
}

TEST_STARTS(r038_imap_freed_before_the_first_next, EVERY) {
  procpool *pool = test_open(start, 1);
  source from = source_of(100);
  procpool_iterator *iterator = NULL;
  CHECK_OK(procpool_imap(pool, task_twice, generate, &from, sizeof(int), NULL, &iterator));
  procpool_iterator_free(iterator);
  CHECK_WORKS(pool);
  test_close(pool);
}

TEST_STARTS(r038_shutdown_during_imap, CONCURRENT) {
  procpool *pool = test_open(start, 1);
  source from = source_of(-1);
  procpool_imap_options options = {0};
  procpool_iterator *iterator = NULL;
  procpool_future *future = NULL;
  int delivered = 0;
  procpool_status status;
  options.buffersize = 2;
  CHECK_OK(procpool_imap(pool, task_twice, generate, &from, sizeof(int), &options, &iterator));
  for (int i = 0; i < 5; i++)
    CHECK_EQ(next_int(iterator, &from), 2 * i);
  CHECK_OK(procpool_shutdown(pool, PROCPOOL_DRAIN, PROCPOOL_FOREVER));
  while ((status = procpool_next(iterator, PROCPOOL_FOREVER, &future)) == PROCPOOL_OK)
    delivered++;
  CHECK_STATUS(status, PROCPOOL_SHUTDOWN);
  CHECK_LE(delivered, 64);
  procpool_iterator_free(iterator);
  CHECK_OK(procpool_free(pool));
}

TEST_STARTS(r038_kill_during_imap, PROCESSES) {
  procpool *pool = test_open(start, 1);
  source from = source_of(50);
  procpool_imap_options options = {0};
  procpool_iterator *iterator = NULL;
  procpool_future *future = NULL;
  procpool_status status;
  int shut = 0;
  options.buffersize = 2;
  CHECK_OK(procpool_imap(pool, task_gate, generate_gated, &from, sizeof(test_job), &options, &iterator));
  CHECK_STATUS(procpool_next(iterator, 0, &future), PROCPOOL_PENDING);
  gate_wait(&page->started, 1);
  CHECK_OK(procpool_shutdown(pool, PROCPOOL_KILL, PROCPOOL_FOREVER));
  while ((status = procpool_next(iterator, PROCPOOL_FOREVER, &future)) == PROCPOOL_OK) {
    CHECK_STATUS(procpool_future_status(future), PROCPOOL_SHUTDOWN);
    shut++;
  }
  CHECK_STATUS(status, PROCPOOL_SHUTDOWN);
  CHECK_LE(shut, 64);
  procpool_iterator_free(iterator);
  CHECK_OK(procpool_free(pool));
}

TEST_STARTS(r038_iterator_freed_after_its_pool, EVERY) {
  procpool *pool = test_open(start, 1);
  source from = source_of(50);
  procpool_iterator *iterator = NULL;
  CHECK_OK(procpool_imap(pool, task_twice, generate, &from, sizeof(int), NULL, &iterator));
  CHECK_EQ(next_int(iterator, &from), 0);
  test_close(pool);
  procpool_iterator_free(iterator);
}

TEST_STARTS(r044_imap_times_out_and_goes_on, CONCURRENT) {
  procpool *pool = test_open(start, 1);
  source from = source_of(1);
  procpool_iterator *iterator = NULL;
  procpool_future *future = NULL;
  double begin;
  CHECK_OK(procpool_imap(pool, task_gate, generate_gated, &from, sizeof(test_job), NULL, &iterator));
  begin = test_now();
  CHECK_STATUS(procpool_next(iterator, 0.1, &future), PROCPOOL_PENDING);
  CHECK_SECONDS(test_now() - begin, >=, 0.1);
  CHECK_EQ(procpool_iterator_remaining(iterator), 1);
  gate_add(&page->word[0], 1);
  CHECK_EQ(next_int(iterator, &from), 0);
  CHECK_STATUS(procpool_next(iterator, 0, &future), PROCPOOL_END);
  procpool_iterator_free(iterator);
  test_close(pool);
}

TEST_STARTS(r040_two_imaps_at_once, EVERY) {
  procpool *pool = test_open(start, 2);
  source a = source_of(-1), b = source_of(-1);
  procpool_iterator *first = NULL, *second = NULL;
  CHECK_OK(procpool_imap(pool, task_twice, generate, &a, sizeof(int), NULL, &first));
  CHECK_OK(procpool_imap(pool, task_twice, generate, &b, sizeof(int), NULL, &second));
  for (int i = 0; i < 200; i++) {
    CHECK_EQ(next_int(first, &a), 2 * i);
    CHECK_EQ(next_int(second, &b), 2 * i);
  }
  procpool_iterator_free(second);
  procpool_iterator_free(first);
  test_close(pool);
}

/* ---- the typed layer ---- */

struct range {
  double from, to;
};

PROCPOOL_FUNCTION(double, square, double, x) {
  return x * x;
}

PROCPOOL_FUNCTION(double, width, struct range, r) {
  return r.to - r.from;
}

PROCPOOL_FUNCTION(double, power, double, base, int, exponent) {
  double y = 1;
  for (int i = 0; i < exponent; i++)
    y *= base;
  return y;
}

PROCPOOL_FUNCTION(long, volume, char, a, short, b, int, c) {
  return (long)a * b * c;
}

PROCPOOL_FUNCTION(struct range, span, double, a, double, b, float, c, unsigned char, d) {
  struct range r;
  r.from = a + b;
  r.to = c + d;
  return r;
}

PROCPOOL_TASK_FUNCTION(int, risky, int, x) {
  if (x % 3 == 0)
    procpool_task_fail(task, x, "three divides it");
  return 10 * x;
}

PROCPOOL_TASK_FUNCTION(int, risky_sum, int, x, int, y) {
  if (x == y)
    procpool_task_fail(task, 1, "equal");
  return x + y;
}

/* Names that the macros use themselves, or might. */
PROCPOOL_FUNCTION(int, awkward, int, pool, int, result, int, arguments, int, count) {
  return pool * 1000 + result * 100 + arguments * 10 + count;
}

PROCPOOL_FUNCTION(int, awkward_too, int, future, int, options) {
  return future - options;
}

PROCPOOL_FUNCTION(int, awkward_pool, int, pool) {
  return -pool;
}

TEST_STARTS(typed_arguments_may_have_any_name, EVERY) {
  procpool *pool = test_open(start, 1);
  const awkward_arguments in = {5, 6, 7, 8};
  int out = 0;
  CHECK_OK(awkward_result(awkward_submit(pool, 1, 2, 3, 4), &out));
  CHECK_EQ(out, 1234);
  CHECK_OK(awkward_map(pool, &in, &out, 1));
  CHECK_EQ(out, 5678);
  CHECK_OK(awkward_too_result(awkward_too_submit(pool, 9, 4), &out));
  CHECK_EQ(out, 5);
  CHECK_OK(awkward_pool_result(awkward_pool_submit(pool, 9), &out));
  CHECK_EQ(out, -9);
  test_close(pool);
}

TEST_STARTS(typed_submit_with_one_to_four_arguments, EVERY) {
  procpool *pool = test_open(start, 2);
  const struct range given = {2, 9};
  struct range r = {0, 0};
  double y = 0;
  long v = 0;
  CHECK_OK(square_result(square_submit(pool, 12), &y));
  CHECK(y == 144);
  CHECK_OK(width_result(width_submit(pool, given), &y));
  CHECK(y == 7);
  CHECK_OK(power_result(power_submit(pool, 2, 10), &y));
  CHECK(y == 1024);
  CHECK_OK(volume_result(volume_submit(pool, 2, 3, 7), &v));
  CHECK_EQ(v, 42);
  CHECK_OK(span_result(span_submit(pool, 1, 2, 3.5f, 4), &r));
  CHECK(r.from == 3 && r.to == 7.5);
  test_close(pool);
}

TEST(typed_function_is_an_ordinary_function) {
  CHECK(square(3) == 9);
  CHECK(power(2, 3) == 8);
  CHECK_EQ(volume(1, 2, 3), 6);
}

TEST_STARTS(typed_map_with_one_argument, EVERY) {
  procpool *pool = test_open(start, 2);
  static double in[MANY], out[MANY];
  for (int i = 0; i < MANY; i++)
    in[i] = i;
  CHECK_OK(square_map(pool, in, out, MANY));
  for (int i = 0; i < MANY; i++)
    CHECK(out[i] == in[i] * in[i]);
  test_close(pool);
}

TEST_STARTS(typed_map_with_several_arguments, EVERY) {
  procpool *pool = test_open(start, 2);
  power_arguments in[20];
  span_arguments spans[5];
  struct range ranges[5];
  double out[20];
  memset(in, 0, sizeof(in)); /* the padding, too: valgrind sees it copied, and not what a worker writes there later */
  for (int i = 0; i < 20; i++) {
    in[i].base = i;
    in[i].exponent = 2;
  }
  CHECK_OK(power_map(pool, in, out, 20));
  for (int i = 0; i < 20; i++)
    CHECK(out[i] == i * i);
  memset(spans, 0, sizeof(spans));
  for (int i = 0; i < 5; i++)
    spans[i].a = i;
  CHECK_OK(span_map(pool, spans, ranges, 5));
  for (int i = 0; i < 5; i++)
    CHECK(ranges[i].from == i && ranges[i].to == 0);
  test_close(pool);
}

TEST_STARTS(typed_map_reports_failures, EVERY) {
  enum { COUNT = 30 };
  procpool *pool = test_open(start, 2);
  static const size_t chunks[] = {0, 1, 4, 30};
  for (size_t c = 0; c < 4; c++) {
    int in[COUNT], out[COUNT];
    procpool_status statuses[COUNT];
    procpool_error error;
    procpool_map_options options = {0};
    for (int i = 0; i < COUNT; i++) {
      in[i] = i + 1;
      out[i] = -1;
    }
    options.chunksize = chunks[c];
    options.statuses = statuses;
    options.error = &error;
    CHECK_STATUS(risky_map_with(pool, in, out, COUNT, &options), PROCPOOL_FAILED);
    CHECK_EQ(options.failed_item, 2);
    CHECK_EQ(options.failed_count, 10);
    CHECK_EQ(error.code, 3);
    CHECK_TEXT(error.message, "three divides it");
    for (int i = 0; i < COUNT; i++) {
      CHECK_STATUS(statuses[i], in[i] % 3 == 0 ? PROCPOOL_FAILED : PROCPOOL_OK);
      CHECK_EQ(out[i], in[i] % 3 == 0 ? -1 : 10 * in[i]);
    }
  }
  test_close(pool);
}

TEST_STARTS(typed_task_function_fails, EVERY) {
  procpool *pool = test_open(start, 1);
  int out = 77;
  procpool_future *future = risky_submit(pool, 3);
  CHECK_SETTLES(future, PROCPOOL_FAILED);
  CHECK_TEXT(test_error(future).message, "three divides it");
  CHECK_STATUS(risky_result(future, &out), PROCPOOL_FAILED); /* releases it */
  CHECK_EQ(out, 77);
  CHECK_OK(risky_sum_result(risky_sum_submit(pool, 1, 2), &out));
  CHECK_EQ(out, 3);
  CHECK_STATUS(risky_sum_result(risky_sum_submit(pool, 2, 2), &out), PROCPOOL_FAILED);
  test_close(pool);
}

TEST_STARTS(typed_imap, EVERY) {
  procpool *pool = test_open(start, 2);
  source from = source_of(10);
  procpool_iterator *iterator = NULL;
  int out = 0;
  from.next = 1;
  CHECK_OK(risky_imap(pool, generate, &from, NULL, &iterator));
  for (int i = 1; i < 10; i++) {
    CHECK_STATUS(risky_next(iterator, &out), i % 3 == 0 ? PROCPOOL_FAILED : PROCPOOL_OK);
    if (i % 3 != 0)
      CHECK_EQ(out, 10 * i);
  }
  CHECK_STATUS(risky_next(iterator, &out), PROCPOOL_END);
  procpool_iterator_free(iterator);
  test_close(pool);
}

TEST_STARTS(typed_submit_refused_gives_null, EVERY) {
  procpool *pool = test_open(start, 1);
  procpool_error error;
  double y = 5;
  memset(&error, 0x5a, sizeof(error));
  (void)procpool_last_error(&error);
  CHECK_STATUS(error.status, PROCPOOL_OK); /* none was refused yet */
  CHECK_OK(procpool_shutdown(pool, PROCPOOL_DRAIN, PROCPOOL_FOREVER));
  CHECK(square_submit(pool, 3) == NULL);
  (void)procpool_last_error(&error);
  CHECK_STATUS(error.status, PROCPOOL_SHUTDOWN);
  CHECK_STATUS(square_result(square_submit(pool, 3), &y), PROCPOOL_SHUTDOWN); /* why there is no handle */
  CHECK_STATUS(square_result(NULL, &y), PROCPOOL_HANDLE);
  CHECK(y == 5);
  CHECK_OK(procpool_free(pool));
}

TEST(last_error_without_a_place) {
  CHECK_STATUS(procpool_last_error(NULL), PROCPOOL_OK); /* nothing was refused yet */
  CHECK_TEXT(procpool_last_message(), "");
  CHECK_STATUS(procpool_poll(NULL, 0), PROCPOOL_HANDLE);
  CHECK_STATUS(procpool_last_error(NULL), PROCPOOL_HANDLE);
  CHECK_TEXT(procpool_last_message(), procpool_strerror(PROCPOOL_HANDLE));
}

TEST_STARTS(typed_untyped_call_of_the_task_beneath, EVERY) {
  procpool *pool = test_open(start, 1);
  const double x = 5;
  double y = 0;
  procpool_future *future = test_submit(pool, square_task, &x, sizeof(x));
  CHECK_OK(procpool_future_result(future, PROCPOOL_FOREVER, &y, sizeof(y), NULL));
  CHECK(y == 25);
  CHECK_OK(procpool_future_release(future));
  test_close(pool);
}

PROCPOOL_FUNCTION(int, die_if_five, int, x) {
  if (x == 5)
    raise(SIGKILL);
  return x;
}

TEST_STARTS(r096_typed_map_with_a_crash, PROCESSES) {
  procpool *pool = test_open(start, 2);
  static const size_t chunks[] = {0, 1, 3, 12};
  for (size_t c = 0; c < 4; c++) {
    int in[12], out[12];
    procpool_map_options options = {0};
    procpool_status statuses[12];
    for (int i = 0; i < 12; i++) {
      in[i] = i;
      out[i] = -1;
    }
    options.chunksize = chunks[c];
    options.statuses = statuses;
    CHECK_STATUS(die_if_five_map_with(pool, in, out, 12, &options), PROCPOOL_CRASHED);
    CHECK_EQ(options.failed_item, 5);
    CHECK_EQ(options.failed_count, 1);
    for (int i = 0; i < 12; i++) {
      CHECK_STATUS(statuses[i], i == 5 ? PROCPOOL_CRASHED : PROCPOOL_OK);
      CHECK_EQ(out[i], i == 5 ? -1 : i);
    }
  }
  test_close(pool);
}

/* ---- the scope form ---- */

TEST(scope_shuts_down_at_its_end) {
  procpool_options options = {0};
  procpool *outside = NULL;
  int rounds = 0;
  double y = 0;
  options.start = PROCPOOL_START_FORK;
  options.max_workers = 2;
  PROCPOOL_WITH(pool, &options) {
    outside = pool;
    rounds++;
    for (int i = 0; i < 10; i++) {
      const test_job job = job_of(i);
      CHECK_OK(procpool_submit(pool, task_count, &job, sizeof(job), NULL, NULL));
    }
    CHECK_OK(square_result(square_submit(pool, 4), &y));
  }
  CHECK_EQ(rounds, 1);
  CHECK(y == 16);
  CHECK_EQ(page->count, 10); /* drained */
  CHECK(outside != NULL);
}

static int leave_by_return(void) {
  PROCPOOL_WITH(pool, PROCPOOL_NULL) {
    double y = 0;
    CHECK_OK(square_result(square_submit(pool, 5), &y));
    return (int)y;
  }
  return -1;
}

TEST(scope_left_by_return_and_break) {
  int rounds = 0;
  CHECK_EQ(leave_by_return(), 25);
  PROCPOOL_WITH(pool, PROCPOOL_NULL) {
    rounds++;
    CHECK(pool != NULL);
    break;
  }
  CHECK_EQ(rounds, 1);
}

TEST(scope_does_not_run_if_open_fails) {
  procpool_options options = {0};
  int rounds = 0;
  options.max_workers = -1;
  PROCPOOL_WITH(pool, &options)
  rounds++;
  CHECK_EQ(rounds, 0);
}

/* ---- the pool is shut down by another thread ---- */

typedef struct map_beside {
  procpool *pool;
  test_job jobs[40];
  int results[40];
  procpool_status statuses[40], status;
} map_beside;

static void *map_in_thread(void *context) {
  map_beside *m = (map_beside *)context;
  procpool_map_options options = {0};
  options.chunksize = 1;
  options.statuses = m->statuses;
  m->status = procpool_map(m->pool, task_gate, m->jobs, sizeof(test_job), m->results, sizeof(int), 40, &options);
  return NULL;
}

/* What had begun comes in, and all that was handed out; the rest never begins. */
TEST_STARTS(r038_what_was_handed_out_comes_in_when_the_pool_drains, CONCURRENT) {
  static map_beside m;
  pthread_t thread;
  int ended = 0;
  m.pool = test_open(start, 2);
  for (int i = 0; i < 40; i++)
    m.jobs[i] = job_with(i, 1);
  thread = test_thread(map_in_thread, &m);
  gate_wait(&page->started, 2);
  CHECK_STATUS(procpool_shutdown(m.pool, PROCPOOL_DRAIN, 0), PROCPOOL_PENDING);
  gate_add(&page->word[1], 1);
  test_join(thread);
  CHECK_STATUS(m.status, PROCPOOL_SHUTDOWN);
  for (int i = 0; i < 40; i++) {
    CHECK(m.statuses[i] == PROCPOOL_OK || m.statuses[i] == PROCPOOL_PENDING);
    if (m.statuses[i] == PROCPOOL_OK)
      CHECK_EQ(m.results[i], i);
    ended += m.statuses[i] == PROCPOOL_OK;
  }
  CHECK_GE(ended, 2);
  CHECK_LT(ended, 40);
  CHECK_OK(procpool_shutdown(m.pool, PROCPOOL_DRAIN, PROCPOOL_FOREVER));
  CHECK_EQ(gate_read(&page->finished), ended); /* nothing ran whose result was lost */
  CHECK_OK(procpool_free(m.pool));
}

/* ---- the lazy sleep: a map does not want each result at once, but others do ---- */

enum { LAZY_ITEMS = 400, LAZY_FREE = 200, LAZY_ROUNDS = 3 };

/* The first items take but a while, so that the map learns how long one takes and hands out many; the others wait for the
 * gate. The first of these may happen to be the last one before the map's sleep ends: so there are several rounds, each
 * with a few more. */
static void task_slow_then_gate(procpool_task *task) {
  const test_job *job = job_begin(task);
  usleep(100);
  if (job->index >= LAZY_FREE + job->number) {
    gate_add(&page->started, 1);
    gate_wait(&page->word[1], 1);
  }
  procpool_task_return(task, &job->index, sizeof(job->index));
}

typedef struct lazy_map {
  procpool *pool;
  int round;
  test_job jobs[LAZY_ITEMS];
  int out[LAZY_ITEMS];
  procpool_status status;
} lazy_map;

static void *lazy_map_in_a_thread(void *context) {
  lazy_map *self = (lazy_map *)context;
  procpool_map_options options = {0};
  options.chunksize = 1;
  for (int i = 0; i < LAZY_ITEMS; i++)
    self->jobs[i] = job_with(i, 3 * self->round);
  self->status = procpool_map(self->pool, task_slow_then_gate, self->jobs, sizeof(self->jobs[0]), self->out,
                              sizeof(int), LAZY_ITEMS, &options);
  return NULL;
}

/* Two workers: one runs the first task, which waits for word 0, the other one a map's item, which waits for word 1. The
 * map's thread sleeps, with items in the queue. */
static pthread_t begin_lazy_map(lazy_map *self, int round, procpool_start start, procpool_function function,
                                size_t size, procpool_future **first) {
  const test_job job = job_sized(0, size);
  pthread_t thread;
  page->started = page->word[0] = page->word[1] = 0;
  self->round = round;
  self->pool = test_open(start, 2);
  *first = test_submit(self->pool, function, &job, sizeof(job));
  gate_wait(&page->started, 1);
  thread = test_thread(lazy_map_in_a_thread, self);
  gate_wait(&page->started, 2);
  usleep(20000);
  return thread;
}

static void end_lazy_map(lazy_map *self, pthread_t thread, procpool_future *first) {
  gate_add(&page->word[1], 1);
  test_join(thread);
  CHECK_OK(self->status);
  for (int i = 0; i < LAZY_ITEMS; i++)
    CHECK_EQ(self->out[i], i);
  CHECK_OK(procpool_future_release(first));
  test_close(self->pool);
}

static void *open_the_first_gate_soon(void *unused) {
  (void)unused;
  usleep(30000);
  page->order[0] = (int)(uint32_t)(uint64_t)(test_now() * 1e6); /* when */
  gate_add(&page->word[0], 1);
  return NULL;
}

/* How long after the gate was opened, in seconds; the page keeps but the low bits. */
static double since_the_gate(void) {
  return (double)((uint32_t)(uint64_t)(test_now() * 1e6) - (uint32_t)page->order[0]) * 1e-6;
}

static void wait_beside(procpool_start start, int round) {
  static lazy_map self;
  procpool_future *first;
  pthread_t thread = begin_lazy_map(&self, round, start, task_gate, 0, &first);
  pthread_t opener = test_thread(open_the_first_gate_soon, NULL);
  CHECK_SETTLES(first, PROCPOOL_OK);
  CHECK_SECONDS(since_the_gate(), <, 0.15 * test_slow()); /* the slow tick would come after 0.2 s */
  test_join(opener);
  end_lazy_map(&self, thread, first);
}

TEST_STARTS(r045_wait_beside_a_map_that_sleeps, CONCURRENT) {
  for (int round = 0; round < LAZY_ROUNDS; round++)
    wait_beside(start, round);
}

static void note_callback(procpool_future *future, void *context) {
  (void)future;
  gate_add((int *)context, 1);
}

/* Added before the map begins, or while it sleeps. */
static void callback_beside(procpool_start start, int round) {
  static lazy_map self;
  procpool_future *first;
  int called = 0;
  pthread_t thread = begin_lazy_map(&self, round, start, task_gate, 0, &first);
  CHECK_OK(procpool_future_add_done_callback(first, note_callback, &called));
  usleep(20000);
  gate_add(&page->word[0], 1);
  CHECK(gate_wait_for(&called, 1, 0.15 * test_slow()));
  end_lazy_map(&self, thread, first);
}

TEST_STARTS(callback_beside_a_map_that_sleeps, CONCURRENT) {
  for (int round = 0; round < LAZY_ROUNDS; round++)
    callback_beside(start, round);
}

static void poll_beside(procpool_start start, int round) {
  static lazy_map self;
  procpool_future *first;
  pthread_t thread = begin_lazy_map(&self, round, start, task_gate, 0, &first);
  struct pollfd fd;
  memset(&fd, 0, sizeof(fd));
  fd.fd = procpool_fd(self.pool);
  fd.events = POLLIN;
  CHECK_POLL(procpool_poll(self.pool, 0)); /* it was readable without cause */
  gate_add(&page->word[0], 1);
  CHECK_EQ(poll(&fd, 1, 150 * test_slow()), 1);
  CHECK_SETTLES(first, PROCPOOL_OK);
  end_lazy_map(&self, thread, first);
}

TEST_STARTS(r047_descriptor_beside_a_map_that_sleeps, CONCURRENT) {
  for (int round = 0; round < LAZY_ROUNDS; round++)
    poll_beside(start, round);
}

static void task_large_after_the_gate(procpool_task *task) {
  const test_job *job = job_begin(task);
  void *result;
  gate_add(&page->started, 1);
  gate_wait(&page->word[0], 1);
  result = procpool_task_result(task, job->size);
  CHECK(result != NULL);
  pattern_fill(result, job->size, 1);
}

/* The result does not fit the ring: its worker needs a host that empties it, and then takes an item. */
static void large_beside(procpool_start start, int round) {
  static lazy_map self;
  procpool_future *first;
  pthread_t thread = begin_lazy_map(&self, round, start, task_large_after_the_gate, 3 << 20, &first);
  gate_add(&page->word[0], 1);
  CHECK(gate_wait_for(&page->started, 3, 0.15 * test_slow()));
  CHECK_SETTLES(first, PROCPOOL_OK);
  CHECK(pattern_holds(procpool_future_data(first, NULL), 3 << 20, 1));
  end_lazy_map(&self, thread, first);
}

TEST_STARTS(r020_large_result_beside_a_map_that_sleeps, CONCURRENT) {
  for (int round = 0; round < LAZY_ROUNDS; round++)
    large_beside(start, round);
}

static void task_short(procpool_task *task) {
  const int out = 2 * *(const int *)procpool_task_argument(task, NULL);
  usleep(100);
  procpool_task_return(task, &out, sizeof(out));
}

/* The map's own sleep ends in time: what it has handed out does not run dry. */
TEST_STARTS(r032_map_of_tiny_chunks_keeps_its_workers_busy, CONCURRENT) {
  enum { COUNT = 1000 };
  procpool *pool = test_open(start, 2);
  static int in[COUNT], out[COUNT];
  procpool_map_options options = {0};
  const double begin = test_now();
  options.chunksize = 1;
  for (int i = 0; i < COUNT; i++)
    in[i] = i;
  CHECK_OK(procpool_map(pool, task_short, in, sizeof(int), out, sizeof(int), COUNT, &options));
  for (int i = 0; i < COUNT; i++)
    CHECK_EQ(out[i], 2 * i);
  CHECK_SECONDS(test_now() - begin, <, 2.0 * test_slow()); /* a single sleep that is not ended takes a tenth of it */
  test_close(pool);
}

/* A map whose items end their workers, or stop them, while its thread sleeps. */
static void task_every_tenth_dies(procpool_task *task) {
  const int i = *(const int *)procpool_task_argument(task, NULL);
  if (i % 10 == 3)
    raise(SIGKILL);
  procpool_task_return(task, &i, sizeof(i));
}

TEST_STARTS(r034_map_of_tiny_chunks_with_crashes, PROCESSES) {
  enum { COUNT = 100 };
  procpool *pool = test_open(start, 2);
  int in[COUNT], out[COUNT];
  procpool_status statuses[COUNT];
  procpool_map_options options = {0};
  options.chunksize = 1;
  options.statuses = statuses;
  for (int i = 0; i < COUNT; i++)
    in[i] = i;
  CHECK_STATUS(procpool_map(pool, task_every_tenth_dies, in, sizeof(int), out, sizeof(int), COUNT, &options),
               PROCPOOL_CRASHED);
  CHECK_EQ(options.failed_count, COUNT / 10);
  CHECK_EQ(options.failed_item, 3);
  for (int i = 0; i < COUNT; i++) {
    CHECK_STATUS(statuses[i], i % 10 == 3 ? PROCPOOL_CRASHED : PROCPOOL_OK);
    if (i % 10 != 3)
      CHECK_EQ(out[i], i);
  }
  test_close(pool);
}

static void task_fail_then_too_large(procpool_task *task) {
  procpool_task_fail(task, 7, "its own words");
  (void)procpool_task_result(task, 100);
}

/* What a task says of its failure is not lost to what it does afterwards. */
TEST_STARTS(r026_words_of_a_failure_stay, EVERY) {
  procpool *pool = test_open(start, 1);
  procpool_map_options options = {0};
  procpool_submit_options places = {0};
  procpool_error error;
  procpool_future *future;
  int out;
  options.error = &error;
  CHECK_STATUS(procpool_map(pool, task_fail_then_too_large, NULL, 0, &out, sizeof(out), 1, &options), PROCPOOL_FAILED);
  CHECK_EQ(error.code, 7);
  CHECK_TEXT(error.message, "its own words");
  places.result = procpool_shared_alloc(pool, 8);
  places.result_size = 8;
  CHECK_OK(procpool_submit(pool, task_fail_then_too_large, NULL, 0, &places, &future));
  CHECK_SETTLES(future, PROCPOOL_FAILED);
  CHECK_OK(procpool_future_error(future, &error));
  CHECK_EQ(error.code, 7);
  CHECK_TEXT(error.message, "its own words");
  CHECK_OK(procpool_future_release(future));
  test_close(pool);
}

static int count_to_three(void *context, void *item) {
  int *n = (int *)context;
  if (*n == 3)
    return 0;
  *(double *)item = (*n)++;
  return 1;
}

/* A call that is refused takes no item. */
TEST_STARTS(r041_next_without_a_place_for_the_item, EVERY) {
  procpool *pool = test_open(start, 1);
  procpool_iterator *iterator;
  double y;
  int n = 0;
  CHECK_OK(square_imap(pool, count_to_three, &n, NULL, &iterator));
  CHECK_STATUS(square_next(iterator, NULL), PROCPOOL_ARGUMENT);
  for (int i = 0; i < 3; i++) {
    CHECK_OK(square_next(iterator, &y));
    CHECK(y == (double)i * i);
  }
  CHECK_STATUS(square_next(iterator, &y), PROCPOOL_END);
  procpool_iterator_free(iterator);
  test_close(pool);
}

static void task_large_when_told(procpool_task *task) {
  const size_t size = (size_t)64 << 20;
  void *result;
  (void)job_begin(task);
  gate_wait(&page->gate, 1);
  result = procpool_task_result(task, size);
  if (result != NULL)
    memset(result, 1, size);
}

/* A result for which there is no memory does not keep what was accepted from running. */
TEST_STARTS(r022_scope_runs_all_without_memory_for_a_result, PROCESSES) {
  enum { COUNT = 50 };
  procpool_options options = {0};
  const test_job job = job_of(0);
  procpool_future *future = NULL;
  struct rlimit before, limit;
  if (test_instrumented())
    SKIP("the instrument needs memory itself");
  CHECK_EQ(getrlimit(RLIMIT_AS, &before), 0);
  options.start = start;
  options.max_workers = 1;
  options.max_memory = (size_t)16 << 20;
  PROCPOOL_WITH(pool, &options) {
    CHECK_OK(procpool_submit(pool, task_large_when_told, &job, sizeof(job), NULL, &future));
    for (int i = 0; i < COUNT; i++)
      CHECK_OK(procpool_submit(pool, task_count, &job, sizeof(job), NULL, NULL));
    limit = before;
    limit.rlim_cur = 1;
    CHECK_EQ(setrlimit(RLIMIT_AS, &limit), 0);
    gate_add(&page->gate, 1);
  }
  CHECK_EQ(setrlimit(RLIMIT_AS, &before), 0);
  CHECK_EQ(page->count, COUNT); /* each has put itself down */
  CHECK_STATUS(procpool_future_status(future), PROCPOOL_TRANSFER);
  CHECK_OK(procpool_future_release(future));
}

/* ---- a result that replaces another ---- */

enum { REPLACED = 64 };

/* By its number: a fitting result, one that is too large, both, three, or a failure and both. */
static void task_replace(procpool_task *task) {
  const int number = *(const int *)procpool_task_argument(task, NULL);
  const char large[40] = {1};
  if (number % 6 == 5)
    procpool_task_fail(task, number, "on purpose");
  if (number % 6 != 0)
    procpool_task_return(task, large, sizeof(large));
  if (number % 6 != 1)
    procpool_task_return(task, &number, sizeof(number));
  if (number % 6 == 3) {
    procpool_task_return(task, large, sizeof(large));
    procpool_task_return(task, &number, sizeof(number));
  }
  if (number % 6 == 4)
    procpool_task_return(task, large, sizeof(large));
}

TEST_STARTS(r034_a_later_result_of_an_item_counts, EVERY) {
  static const procpool_status expected[6] = {PROCPOOL_OK, PROCPOOL_TRANSFER, PROCPOOL_OK,
                                              PROCPOOL_OK, PROCPOOL_TRANSFER, PROCPOOL_FAILED};
  procpool *pool = test_open(start, 2);
  procpool_status statuses[REPLACED];
  int in[REPLACED], out[REPLACED];
  for (size_t chunk = 1; chunk <= REPLACED; chunk *= 8) {
    procpool_map_options options;
    procpool_error error;
    size_t failed = 0;
    memset(&options, 0, sizeof(options));
    options.chunksize = chunk;
    options.statuses = statuses;
    options.error = &error;
    for (int i = 0; i < REPLACED; i++) {
      in[i] = i + 2; /* the first one replaces its result, and is OK */
      out[i] = -1;
    }
    CHECK_STATUS(procpool_map(pool, task_replace, in, sizeof(int), out, sizeof(int), REPLACED, &options),
                 PROCPOOL_TRANSFER);
    for (int i = 0; i < REPLACED; i++) {
      CHECK_STATUS(statuses[i], expected[in[i] % 6]);
      CHECK_EQ(out[i], statuses[i] == PROCPOOL_OK ? in[i] : -1);
      failed += statuses[i] != PROCPOOL_OK;
    }
    CHECK_EQ(options.failed_count, failed);
    CHECK_EQ(options.failed_item, 2);
    CHECK_TEXT(error.message, "the result is larger than the map's result_size");
  }
  test_close(pool);
}

/* ---- what a task of the typed layer sees as its argument ---- */

PROCPOOL_TASK_FUNCTION(int, sees_its_own, int, number, char, letter) {
  size_t size = 0;
  const sees_its_own_arguments *own = (const sees_its_own_arguments *)procpool_task_argument(task, &size);
  if (own == NULL || size != sizeof(*own) || own->number != number || own->letter != letter)
    procpool_task_fail(task, (int)size, "another argument");
  return number;
}

TEST_STARTS(typed_argument_of_an_item, EVERY) {
  enum { COUNT = 300 };
  procpool *pool = test_open(start, 2);
  sees_its_own_arguments *in = (sees_its_own_arguments *)procpool_shared_alloc(pool, COUNT * sizeof(*in));
  sees_its_own_arguments copied[COUNT];
  int out[COUNT];
  for (int i = 0; i < COUNT; i++) {
    in[i].number = copied[i].number = i;
    in[i].letter = copied[i].letter = (char)('a' + i % 26);
  }
  CHECK_OK(sees_its_own_map(pool, copied, out, COUNT));
  CHECK_OK(sees_its_own_map(pool, in, out, COUNT));
  CHECK_OK(sees_its_own_result(sees_its_own_submit(pool, 7, 'x'), &out[0]));
  CHECK_EQ(out[0], 7);
  test_close(pool);
}

/* ---- chunks that find no memory ---- */

/* Argument and result fit each, but not together: that is no matter of waiting, though others have memory. */
TEST_STARTS(r022_an_item_whose_sizes_are_too_much_together, CONCURRENT) {
  enum { SIZE = 5 << 20 };
  procpool_options options = {0};
  procpool_map_options o = {0};
  procpool_error error = {0};
  const test_job job = job_of(0);
  unsigned char *item = calloc(1, SIZE);
  procpool *pool;
  procpool_future *future;
  options.max_memory = (size_t)8 << 20;
  pool = test_open_with(start, 2, &options);
  CHECK(item != NULL);
  o.timeout = 1;
  o.error = &error;
  for (int beside = 0; beside < 2; beside++) {
    future = beside != 0 ? test_submit(pool, task_block, &job, sizeof(job)) : NULL;
    CHECK_STATUS(procpool_map(pool, task_nothing, item, SIZE, item, SIZE, 1, &o), PROCPOOL_MEMORY);
    CHECK_STATUS(error.status, PROCPOOL_MEMORY);
    CHECK_NE(error.message[0], '\0');
    CHECK_OK(procpool_map(pool, task_nothing, item, SIZE, item, SIZE, 0, &o));
    gate_add(&page->gate, beside);
    CHECK_OK(procpool_future_release(future));
  }
  test_close(pool);
  free(item);
}

/* Items of no bytes take room as well: a mark for each. */
TEST_STARTS(r032_very_many_items_in_little_memory, EVERY) {
  enum { COUNT = 5 << 20 };
  procpool_options options = {0};
  procpool_map_options o = {0};
  procpool *pool;
  options.max_memory = (size_t)1 << 20;
  pool = test_open_with(start, 2, &options);
  o.chunksize = COUNT;
  CHECK_OK(procpool_map(pool, task_nothing, NULL, 0, NULL, 0, COUNT, &o));
  test_close(pool);
}
