/* What maps and iterators do with odd input and at their ends: time-outs, interrupts, refusals, sizes, places. */
#include "harness.h"

#include <math.h>
#include <stddef.h>

/* ---- a map that ends before its time ---- */

static void task_nap(procpool_task *task) {
  const test_job *job = job_begin(task);
  gate_add(&page->started, 1);
  usleep((useconds_t)job->number);
}

PROCPOOL_TASK_FUNCTION(int, nap, test_job, job) {
  (void)task;
  page_attach(job.host, job.descriptor);
  gate_add(&page->started, 1);
  usleep((useconds_t)job.number);
  return job.index;
}

enum { NAPS = 3000 };

typedef struct ender {
  procpool *pool;
  int at; /* items that must have begun */
} ender;

static void *interrupt_when_begun(void *context) {
  const ender *self = (const ender *)context;
  gate_wait(&page->started, self->at);
  procpool_interrupt(self->pool);
  return NULL;
}

/* Ends the map in its midst; then lets the pool drain: nothing more may have begun by then. */
static void map_and_end_it(procpool_start start, bool typed, bool interrupted, size_t chunksize) {
  procpool *pool = test_open(start, 2);
  procpool_map_options options = {0};
  test_job *jobs = (test_job *)malloc(NAPS * sizeof(*jobs));
  int *out = (int *)malloc(NAPS * sizeof(*out)), begun;
  procpool_status *statuses = (procpool_status *)malloc(NAPS * sizeof(*statuses)), status;
  pthread_t thread = pthread_self();
  ender who;
  CHECK(jobs != NULL && out != NULL && statuses != NULL);
  for (int i = 0; i < NAPS; i++) {
    jobs[i] = job_with(i, 2000);
    out[i] = -1;
  }
  options.chunksize = chunksize;
  options.statuses = statuses;
  options.timeout = interrupted ? 0 : 0.05 * test_slow();
  who.pool = pool;
  who.at = gate_read(&page->started) + 4;
  if (interrupted)
    thread = test_thread(interrupt_when_begun, &who);
  status = typed ? nap_map_with(pool, jobs, out, NAPS, &options)
                 : procpool_map(pool, task_nap, jobs, sizeof(*jobs), out, sizeof(*out), NAPS, &options);
  begun = gate_read(&page->started);
  CHECK_STATUS(status, interrupted ? PROCPOOL_INTERRUPTED : PROCPOOL_PENDING);
  CHECK_LT(begun, NAPS);
  CHECK_EQ(procpool_shutdown(pool, PROCPOOL_DRAIN, PROCPOOL_FOREVER), PROCPOOL_OK); /* what runs ends */
  CHECK_EQ(gate_read(&page->started), begun);
  for (int i = 0; i < NAPS; i++) { /* what had ended counts */
    CHECK(statuses[i] == PROCPOOL_OK || statuses[i] == PROCPOOL_PENDING);
    if (statuses[i] == PROCPOOL_OK && typed)
      CHECK_EQ(out[i], i);
    if (statuses[i] == PROCPOOL_PENDING)
      CHECK_EQ(out[i], -1);
    options.failed_count -= statuses[i] == PROCPOOL_PENDING;
  }
  CHECK_EQ(options.failed_count, 0);
  if (interrupted)
    test_join(thread);
  CHECK_OK(procpool_free(pool));
  page->started = 0;
  free(jobs);
  free(out);
  free(statuses);
}

TEST_STARTS(r147_no_item_begins_after_pending, EVERY) {
  for (int typed = 0; typed < 2; typed++) {
    map_and_end_it(start, typed != 0, false, 0);
    map_and_end_it(start, typed != 0, false, 1);
    map_and_end_it(start, typed != 0, false, NAPS);
  }
}

TEST_STARTS(r147_no_item_begins_after_an_interrupt, EVERY) {
  for (int typed = 0; typed < 2; typed++) {
    map_and_end_it(start, typed != 0, true, 0);
    map_and_end_it(start, typed != 0, true, NAPS);
  }
}

/* The task asks whether it is wanted: not when its map has ended. */
static void task_until_unwanted(procpool_task *task) {
  job_begin(task);
  gate_add(&page->started, 1);
  while (!procpool_task_cancelled(task))
    usleep(1000);
  gate_add(&page->finished, 1);
}

TEST_STARTS(r147_an_item_learns_that_its_map_has_ended, CONCURRENT) {
  procpool *pool = test_open(start, 1);
  procpool_map_options options = {0};
  test_job jobs[2];
  jobs[0] = job_of(0);
  jobs[1] = job_of(1);
  options.timeout = 0.05;
  options.chunksize = 2;
  CHECK_STATUS(procpool_map(pool, task_until_unwanted, jobs, sizeof(jobs[0]), NULL, 0, 2, &options), PROCPOOL_PENDING);
  CHECK_WORKS(pool);
  CHECK_EQ(page->started, page->finished);
  test_close(pool);
}

/* ---- the host is what the map waits for ---- */

static void task_first_byte(procpool_task *task) {
  const char *bytes = (const char *)procpool_task_argument(task, NULL);
  procpool_task_return(task, bytes, 1);
}

PROCPOOL_FUNCTION(int, twice, int, x) {
  return 2 * x;
}

enum { TINY = 3000000, LARGE = 8 << 20, LARGE_COUNT = 60 };

static procpool_status map_tiny(procpool *pool, procpool_map_options *options) {
  int *in = (int *)calloc(TINY, sizeof(int)), *out = (int *)calloc(TINY, sizeof(int));
  procpool_status status;
  CHECK(in != NULL && out != NULL);
  options->chunksize = 1;
  status = twice_map_with(pool, in, out, TINY, options);
  free(in);
  free(out);
  return status;
}

TEST_STARTS(r147_timeout_holds_while_chunks_always_come, CONCURRENT) {
  procpool *pool = test_open(start, 2);
  procpool_map_options options = {0};
  const double begin = test_now();
  options.timeout = 0.02;
  CHECK_STATUS(map_tiny(pool, &options), PROCPOOL_PENDING);
  CHECK_SECONDS(test_now() - begin, <, 1.0 * test_slow());
  CHECK_WORKS(pool);
  test_close(pool);
}

TEST_STARTS(r147_timeout_holds_while_arguments_are_copied, CONCURRENT) {
  procpool *pool = test_open(start, 2);
  procpool_map_options options = {0};
  char *in = (char *)calloc(LARGE_COUNT, LARGE), out[LARGE_COUNT];
  CHECK(in != NULL);
  options.timeout = 0.01;
  options.chunksize = LARGE_COUNT / 4;
  CHECK_STATUS(procpool_map(pool, task_first_byte, in, LARGE, out, 1, LARGE_COUNT, &options), PROCPOOL_PENDING);
  CHECK_WORKS(pool);
  test_close(pool);
  free(in);
}

static void *interrupt_soon(void *context) {
  usleep(20000); /* in the midst of the map, be it where it may */
  procpool_interrupt((procpool *)context);
  return NULL;
}

TEST_STARTS(r147_interrupt_holds_while_chunks_always_come, CONCURRENT) {
  procpool *pool = test_open(start, 2);
  procpool_map_options options = {0};
  pthread_t thread;
  int in[100] = {0}, out[100];
  thread = test_thread(interrupt_soon, pool);
  CHECK_STATUS(map_tiny(pool, &options), PROCPOOL_INTERRUPTED);
  test_join(thread);
  CHECK_OK(twice_map(pool, in, out, 100)); /* it was not left for the next one */
  test_close(pool);
}

TEST_STARTS(r147_negative_timeout_begins_nothing, EVERY) {
  procpool *pool = test_open(start, 1);
  procpool_map_options options = {0};
  test_job jobs[3];
  procpool_status statuses[3];
  for (int i = 0; i < 3; i++)
    jobs[i] = job_with(i, 0);
  options.timeout = -0.05;
  options.statuses = statuses;
  CHECK_STATUS(procpool_map(pool, task_nap, jobs, sizeof(jobs[0]), NULL, 0, 3, &options), PROCPOOL_PENDING);
  CHECK_EQ(options.failed_count, 3);
  CHECK_STATUS(statuses[2], PROCPOOL_PENDING);
  CHECK_OK(
      procpool_map(pool, task_nap, NULL, sizeof(jobs[0]), NULL, 0, 0, &options)); /* there is nothing to wait for */
  CHECK_WORKS(pool);
  CHECK_EQ(page->started, 0);
  test_close(pool);
}

/* ---- an error record says what the call says ---- */

static void *kill_when_begun(void *context) {
  const ender *self = (const ender *)context;
  gate_wait(&page->started, self->at);
  CHECK_OK(procpool_shutdown(self->pool, PROCPOOL_KILL, PROCPOOL_FOREVER));
  return NULL;
}

TEST_STARTS(r147_error_of_a_map_that_did_not_end, CONCURRENT) {
  procpool *pool = test_open(start, 1);
  procpool_map_options options = {0};
  procpool_error error;
  test_job jobs[4];
  pthread_t thread;
  ender who;
  for (int i = 0; i < 4; i++)
    jobs[i] = job_with(i, 200000);
  memset(&error, 0x55, sizeof(error));
  options.error = &error;
  options.timeout = 0.05;
  CHECK_STATUS(procpool_map(pool, task_nap, jobs, sizeof(jobs[0]), NULL, 0, 4, &options), PROCPOOL_PENDING);
  CHECK_STATUS(error.status, PROCPOOL_PENDING);
  CHECK(error.message[0] != 0);
  memset(&error, 0x55, sizeof(error));
  options.timeout = 0;
  who.pool = pool;
  who.at = gate_read(&page->started) + 1;
  thread = test_thread(kill_when_begun, &who);
  CHECK_STATUS(procpool_map(pool, task_nap, jobs, sizeof(jobs[0]), NULL, 0, 4, &options), PROCPOOL_SHUTDOWN);
  test_join(thread);
  CHECK_STATUS(error.status, PROCPOOL_SHUTDOWN);
  CHECK_OK(procpool_free(pool));
}

static void check_map_refused(procpool *pool, procpool_function function, const void *in, size_t size, double timeout,
                              procpool_status expected) {
  procpool_map_options options = {0};
  procpool_error error;
  char out[8];
  memset(&error, 0x55, sizeof(error));
  options.error = &error;
  options.timeout = timeout;
  options.time_limit = expected == PROCPOOL_UNSUPPORTED ? 1 : 0;
  CHECK_STATUS(procpool_map(pool, function, in, size, out, 1, 2, &options), expected);
  CHECK_STATUS(error.status, expected);
  CHECK(error.message[0] != 0);
  if (pool == NULL)
    return;
  (void)procpool_last_error(&error);
  CHECK_STATUS(error.status, expected);
}

static void map_in_a_callback(procpool_future *future, void *context) {
  (void)future;
  check_map_refused((procpool *)context, task_first_byte, "ab", 1, 0, PROCPOOL_DEADLOCK);
}

TEST_STARTS(r147_error_of_a_refused_map, EVERY) {
  procpool *pool = test_open(start, 1);
  procpool_future *future = test_submit(pool, task_nothing, NULL, 0);
  procpool_map_options options = {0};
  procpool_error error;
  const int in[2] = {1, 2};
  int out[2];
  CHECK_SETTLES(future, PROCPOOL_OK);
  check_map_refused(NULL, task_first_byte, "ab", 1, 0, PROCPOOL_HANDLE);
  check_map_refused(pool, NULL, "ab", 1, 0, PROCPOOL_ARGUMENT);
  check_map_refused(pool, task_first_byte, NULL, 1, 0, PROCPOOL_ARGUMENT);
  check_map_refused(pool, task_first_byte, "ab", SIZE_MAX / 2 + 1, 0, PROCPOOL_ARGUMENT);
  check_map_refused(pool, task_first_byte, "ab", 1, (double)NAN, PROCPOOL_ARGUMENT);
  if (start > PROCPOOL_START_SPAWN)
    check_map_refused(pool, task_first_byte, "ab", 1, 0, PROCPOOL_UNSUPPORTED);
  CHECK_OK(procpool_future_add_done_callback(future, map_in_a_callback, pool));
  CHECK_OK(procpool_future_release(future));
  memset(&error, 0x55, sizeof(error));
  options.error = &error;
  CHECK_OK(twice_map_with(pool, in, out, 2, &options));
  CHECK_STATUS(error.status, PROCPOOL_OK);
  CHECK_OK(procpool_shutdown(pool, PROCPOOL_DRAIN, PROCPOOL_FOREVER));
  memset(&error, 0x55, sizeof(error));
  CHECK_STATUS(twice_map_with(pool, in, out, 2, &options), PROCPOOL_SHUTDOWN);
  CHECK_STATUS(error.status, PROCPOOL_SHUTDOWN);
  CHECK_OK(procpool_free(pool));
}

/* ---- items in a chunk ---- */

static void task_alignment(procpool_task *task) {
  const uintptr_t in = (uintptr_t)procpool_task_argument(task, NULL);
  unsigned char *out = (unsigned char *)procpool_task_result(task, 3);
  out[0] = (unsigned char)(in % 16);
  out[1] = (unsigned char)((uintptr_t)out % 16);
  out[2] = *(const unsigned char *)in;
}

TEST_STARTS(r032_items_begin_at_multiples_of_16, EVERY) {
  procpool *pool = test_open(start, 2);
  unsigned char in[24 * 50], out[3 * 50];
  procpool_map_options options = {0};
  for (size_t size = 1; size <= 24; size++) {
    options.chunksize = size % 3 == 0 ? 0 : 7;
    for (size_t i = 0; i < sizeof(in); i++)
      in[i] = (unsigned char)i;
    CHECK_OK(procpool_map(pool, task_alignment, in, size, out, 3, 50, &options));
    for (size_t i = 0; i < 50; i++) {
      CHECK_EQ(out[3 * i], 0);
      CHECK_EQ(out[3 * i + 1], 0);
      CHECK_EQ(out[3 * i + 2], (unsigned char)(i * size));
    }
  }
  test_close(pool);
}

/* ---- the largest sizes ---- */

static int generate_none(void *context, void *item) {
  (void)context;
  (void)item;
  return 0;
}

static const size_t huge[] = {SIZE_MAX,          SIZE_MAX - 1,     SIZE_MAX - 15,    SIZE_MAX / 2 + 2,
                              SIZE_MAX / 2 + 1,  PTRDIFF_MAX,      PTRDIFF_MAX - 15, PTRDIFF_MAX / 2 + 1,
                              SIZE_MAX / 8,      SIZE_MAX / 8 + 1, SIZE_MAX / 16,    SIZE_MAX / 32,
                              SIZE_MAX / 32 - 1, SIZE_MAX / 40,    SIZE_MAX / 40 - 1};
enum { HUGE_COUNT = sizeof(huge) / sizeof(huge[0]) };

static bool too_much(procpool_status status) {
  return status == PROCPOOL_ARGUMENT || status == PROCPOOL_MEMORY;
}

TEST_STARTS(r019_largest_sizes_of_map, EVERY) {
  procpool *pool = test_open(start, 1);
  char in[64], out[64];
  memset(in, 0, sizeof(in));
  for (int i = 0; i < HUGE_COUNT; i++) {
    procpool_map_options options = {0};
    CHECK(too_much(procpool_map(pool, task_first_byte, in, huge[i], out, huge[i], 1, NULL)));
    CHECK(too_much(procpool_map(pool, task_first_byte, in, huge[i], out, 8, 1, NULL)));
    CHECK(too_much(procpool_map(pool, task_first_byte, in, 8, out, huge[i], 1, NULL)));
    CHECK(too_much(procpool_map(pool, task_first_byte, in, huge[i], out, 8, huge[i], NULL)));
    CHECK(too_much(procpool_map(pool, task_first_byte, in, 64, out, 64, huge[i], NULL)));
    options.chunksize = huge[i];
    CHECK_OK(procpool_map(pool, task_first_byte, in, 1, out, 1, 64, &options));
  }
  CHECK_WORKS(pool);
  test_close(pool);
}

TEST_STARTS(r019_largest_counts_of_waits, EVERY) {
  procpool *pool = test_open(start, 1);
  procpool_future *future = test_submit(pool, task_nothing, NULL, 0);
  procpool_iterator *iterator;
  CHECK_SETTLES(future, PROCPOOL_OK);
  for (int i = 0; i < HUGE_COUNT; i++) {
    size_t done = 99;
    CHECK(too_much(procpool_wait(&future, huge[i], PROCPOOL_ALL_COMPLETED, 0, &done)));
    CHECK_EQ(done, 0);
    CHECK(too_much(procpool_as_completed(&future, huge[i], &iterator)));
    CHECK(iterator == NULL);
  }
  CHECK_OK(procpool_future_release(future));
  test_close(pool);
}

TEST_STARTS(r019_largest_sizes_of_imap, EVERY) {
  procpool *pool = test_open(start, 1);
  procpool_iterator *iterator;
  for (int i = 0; i < HUGE_COUNT; i++) {
    procpool_imap_options options = {0};
    procpool_status status;
    options.buffersize = huge[i];
    CHECK_STATUS(procpool_imap(pool, task_nothing, generate_none, NULL, 4, &options, &iterator), PROCPOOL_ARGUMENT);
    CHECK(iterator == NULL);
    status = procpool_imap(pool, task_nothing, generate_none, NULL, huge[i], NULL, &iterator);
    CHECK(too_much(status));
    CHECK(iterator == NULL);
  }
  test_close(pool);
}

TEST_STARTS(r019_largest_sizes_of_submits_and_buffers, EVERY) {
  procpool *pool = test_open(start, 1);
  char *buffer = (char *)procpool_shared_alloc(pool, 64);
  procpool_future *future, *futures[2];
  const procpool_stats before = test_stats(pool);
  CHECK(buffer != NULL);
  for (int i = 0; i < HUGE_COUNT; i++) {
    procpool_submit_options options = {0};
    size_t submitted = 99;
    CHECK(too_much(procpool_submit(pool, task_echo, "x", huge[i], NULL, &future)));
    CHECK(too_much(try_submit(pool, task_echo, "x", huge[i], &future)));
    CHECK(too_much(submit_timed(pool, 1, task_echo, "x", huge[i], &future)));
    options.result = buffer;
    options.result_size = huge[i];
    CHECK_STATUS(procpool_submit(pool, task_echo, "x", 1, &options, &future), PROCPOOL_ARGUMENT);
    CHECK_STATUS(procpool_submit_many(pool, task_echo, "x", 1, 2, &options, futures, &submitted), PROCPOOL_ARGUMENT);
    options.shared_argument = true;
    options.result_size = 1;
    CHECK(too_much(procpool_submit(pool, task_echo, buffer, huge[i], &options, &future)));
    CHECK(too_much(procpool_submit_many(pool, task_echo, "x", huge[i], 2, NULL, futures, &submitted)));
    CHECK_EQ(submitted, 0);
    CHECK(too_much(procpool_submit_many(pool, task_echo, "x", 64, huge[i], NULL, NULL, &submitted)));
    CHECK(procpool_shared_alloc(pool, huge[i]) == NULL);
  }
  CHECK_EQ(test_stats(pool).submitted, before.submitted);
  CHECK_OK(procpool_shared_free(pool, buffer));
  CHECK_WORKS(pool);
  test_close(pool);
}

/* In a task: no memory for the result is the task's error. */
static void task_huge_result(procpool_task *task) {
  size_t size;
  const size_t *wanted = (const size_t *)procpool_task_argument(task, &size);
  if (procpool_task_result(task, *wanted) == NULL)
    procpool_task_return(task, NULL, *wanted);
}

TEST_STARTS(r019_largest_sizes_of_results, EVERY) {
  procpool *pool = test_open(start, 1);
  char out[8];
  for (int i = 0; i < HUGE_COUNT; i++) {
    procpool_future *future = NULL;
    if (huge[i] < SIZE_MAX / 4)
      continue; /* malloc may give so much address space as is never touched */
    future = test_submit(pool, task_huge_result, &huge[i], sizeof(huge[i]));
    CHECK_SETTLES(future, PROCPOOL_TRANSFER);
    CHECK_OK(procpool_future_release(future));
    CHECK_STATUS(procpool_map(pool, task_huge_result, &huge[i], sizeof(huge[i]), out, sizeof(out), 1, NULL),
                 PROCPOOL_TRANSFER);
  }
  CHECK_WORKS(pool);
  test_close(pool);
}

/* ---- iterators at their ends ---- */

typedef struct counter {
  int next, end;
} counter;

static int count_up(void *context, void *item) {
  counter *c = (counter *)context;
  *(int *)item = c->next;
  return c->next++ < c->end;
}

TEST_STARTS(r038_imap_tells_once_that_the_pool_was_shut_down, EVERY) {
  for (int unordered = 0; unordered < 2; unordered++) {
    procpool *pool = test_open(start, 1);
    procpool_imap_options options = {0};
    procpool_iterator *iterator;
    counter from = {0, 1000};
    int y, ok = 0, shut = 0;
    procpool_status status;
    options.unordered = unordered != 0;
    CHECK_OK(twice_imap(pool, count_up, &from, &options, &iterator));
    while ((status = twice_next(iterator, &y)) != PROCPOOL_END) {
      if (++ok == 10)
        (void)procpool_shutdown(pool, PROCPOOL_DRAIN, 0);
      if (status != PROCPOOL_OK) {
        CHECK_STATUS(status, PROCPOOL_SHUTDOWN);
        CHECK_EQ(shut++, 0);
      }
    }
    CHECK_EQ(shut, 1);
    CHECK_STATUS(twice_next(iterator, &y), PROCPOOL_END);
    CHECK_OK(procpool_free(pool));
    procpool_iterator_free(iterator);
  }
}

TEST_STARTS(r038_imap_used_after_its_pool_was_freed, EVERY) {
  procpool_iterator *iterator, *idle;
  procpool *pool = test_open(start, 1);
  counter from = {0, 10}, other = {0, 10};
  int y;
  CHECK_OK(twice_imap(pool, count_up, &from, NULL, &iterator));
  CHECK_OK(twice_imap(pool, count_up, &other, NULL, &idle));
  for (int i = 0; i < 10; i++) {
    CHECK_OK(twice_next(iterator, &y));
    CHECK_EQ(y, 2 * i);
  }
  CHECK_OK(procpool_free(pool));
  CHECK_STATUS(twice_next(iterator, &y), PROCPOOL_END);
  CHECK_STATUS(twice_next(idle, &y), PROCPOOL_SHUTDOWN);
  CHECK_STATUS(twice_next(idle, &y), PROCPOOL_END);
  CHECK_EQ(procpool_iterator_remaining(idle), 0);
  procpool_iterator_free(iterator);
  procpool_iterator_free(idle);
}

static void next_in_a_callback(procpool_future *future, void *context) {
  procpool_iterator *iterator = (procpool_iterator *)context;
  procpool_future *next;
  (void)future;
  CHECK_OK(procpool_next(iterator, 0, &next)); /* it has settled */
  CHECK_STATUS(procpool_future_status(next), PROCPOOL_OK);
  gate_add(&page->finished, 1);
}

TEST_STARTS(r048_next_of_a_settled_item_in_a_callback, CONCURRENT) {
  for (int unordered = 0; unordered < 2; unordered++) {
    procpool *pool = test_open(start, 1);
    procpool_imap_options options = {0};
    procpool_future *next, *future = test_submit(pool, task_nothing, NULL, 0);
    procpool_iterator *iterator;
    counter from = {0, 2};
    options.unordered = unordered != 0;
    CHECK_OK(twice_imap(pool, count_up, &from, &options, &iterator));
    CHECK_OK(procpool_next(iterator, PROCPOOL_FOREVER, &next));
    CHECK_SETTLES(future, PROCPOOL_OK);
    while (test_stats(pool).settled < 3) /* one worker: the second item too */
      CHECK_POLL(procpool_poll(pool, 0));
    CHECK_OK(procpool_future_add_done_callback(future, next_in_a_callback, iterator));
    CHECK_EQ(page->finished, unordered + 1);
    procpool_iterator_free(iterator);
    CHECK_OK(procpool_future_release(future));
    test_close(pool);
  }
}

static int slow_generator(void *context, void *item) {
  usleep(2000);
  return count_up(context, item);
}

TEST_STARTS(r044_imap_times_out_while_the_generator_is_slow, CONCURRENT) {
  procpool *pool = test_open(start, 1);
  procpool_imap_options options = {0};
  procpool_iterator *iterator;
  procpool_future *future;
  counter from = {0, 100000};
  const double begin = test_now();
  options.buffersize = 100000; /* all of it would take minutes */
  CHECK_OK(twice_imap(pool, slow_generator, &from, &options, &iterator));
  CHECK_OK(procpool_next(iterator, 0.05, &future));
  CHECK_SECONDS(test_now() - begin, <, 5.0 * test_slow());
  procpool_iterator_free(iterator);
  test_close(pool);
}

/* ---- what a window costs ---- */

static double seconds_per_item(procpool *pool, bool unordered, size_t window) {
  procpool_imap_options options = {0};
  procpool_iterator *iterator;
  counter from = {0, 60000};
  const double begin = test_now();
  int y, got = 0;
  options.buffersize = window;
  options.unordered = unordered;
  CHECK_OK(twice_imap(pool, count_up, &from, &options, &iterator));
  while (twice_next(iterator, &y) == PROCPOOL_OK)
    got++;
  CHECK_EQ(got, from.end);
  procpool_iterator_free(iterator);
  return (test_now() - begin) / got;
}

TEST_STARTS(r148_imap_is_linear_in_its_window, FORK | THREAD) {
  procpool_options options = {0};
  procpool *pool;
  options.max_queued = 1 << 17;
  pool = test_open_with(start, 2, &options);
  for (int unordered = 0; unordered < 2; unordered++) {
    const double small = seconds_per_item(pool, unordered != 0, 100);
    double large = seconds_per_item(pool, unordered != 0, 10000);
    for (int again = 0; again < 2 && large > 8 * small; again++)
      large = seconds_per_item(pool, unordered != 0, 10000);
    CHECK(large < 8 * small + 5e-6); /* it was 40 times as much */
  }
  test_close(pool);
}

/* ---- typed calls tell why ---- */

PROCPOOL_TASK_FUNCTION(int, picky, int, x) {
  if (x == 42)
    procpool_task_fail(task, 42, "the reason");
  return x;
}

TEST_STARTS(typed_result_tells_why, EVERY) {
  procpool *pool = test_open(start, 1);
  procpool_error error;
  int y = 0;
  CHECK_STATUS(picky_result(picky_submit(pool, 42), &y), PROCPOOL_FAILED);
  (void)procpool_last_error(&error);
  CHECK_STATUS(error.status, PROCPOOL_FAILED);
  CHECK_EQ(error.code, 42);
  CHECK_TEXT(error.message, "the reason");
  CHECK_STATUS(picky_result(picky_submit(NULL, 1), &y), PROCPOOL_HANDLE);
  CHECK_OK(procpool_shutdown(pool, PROCPOOL_DRAIN, PROCPOOL_FOREVER));
  CHECK_STATUS(picky_result(picky_submit(pool, 1), &y), PROCPOOL_SHUTDOWN);
  CHECK_STATUS(picky_result(NULL, &y), PROCPOOL_HANDLE); /* told once */
  CHECK_OK(procpool_free(pool));
}
