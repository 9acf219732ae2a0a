/* Bad input: every public call with null, released and foreign handles, bad sizes, bad options. Nothing is half done. */
#include "harness.h"

#include <errno.h>
#include <limits.h>
#include <math.h>

static int generator_none(void *context, void *item) {
  (void)context;
  (void)item;
  return 0;
}

static void callback_none(procpool_future *future, void *context) {
  (void)future;
  (void)context;
}

/* ---- null handles ---- */

TEST(r019_null_pool) {
  procpool_future *future = NULL;
  procpool_iterator *iterator = NULL;
  procpool_stats stats;
  int in = 0, out = 0;
  CHECK_STATUS(procpool_submit(NULL, task_nothing, NULL, 0, NULL, &future), PROCPOOL_HANDLE);
  CHECK_STATUS(try_submit(NULL, task_nothing, NULL, 0, &future), PROCPOOL_HANDLE);
  CHECK_STATUS(submit_timed(NULL, 1, task_nothing, NULL, 0, &future), PROCPOOL_HANDLE);
  CHECK(procpool__typed_submit(NULL, task_nothing, NULL, 0, NULL, NULL) == NULL);
  CHECK_STATUS(procpool_poll(NULL, 0), PROCPOOL_HANDLE);
  CHECK_EQ(procpool_fd(NULL), -1);
  procpool_interrupt(NULL);
  CHECK_STATUS(procpool_shutdown(NULL, PROCPOOL_DRAIN, PROCPOOL_FOREVER), PROCPOOL_HANDLE);
  CHECK_STATUS(procpool_shutdown(NULL, PROCPOOL_KILL, 0), PROCPOOL_HANDLE);
  CHECK_OK(procpool_free(NULL));
  CHECK_EQ(procpool_start_method(NULL), PROCPOOL_START_AUTO);
  CHECK_STATUS(procpool_get_stats(NULL, &stats), PROCPOOL_HANDLE);
  CHECK_STATUS(procpool_imap(NULL, task_nothing, generator_none, NULL, 4, NULL, &iterator), PROCPOOL_HANDLE);
  CHECK_STATUS(procpool_map(NULL, task_twice, &in, sizeof(in), &out, sizeof(out), 1, NULL), PROCPOOL_HANDLE);
  CHECK_STATUS(procpool__map_items(NULL, task_twice, &in, sizeof(in), &out, sizeof(out), 1, NULL, NULL),
               PROCPOOL_HANDLE);
  CHECK(future == NULL);
  CHECK(iterator == NULL);
}

TEST(r019_null_future) {
  procpool_error error;
  char buffer[8];
  size_t size = 0;
  CHECK_STATUS(procpool_future_status(NULL), PROCPOOL_HANDLE);
  CHECK(procpool_future_done(NULL)); /* there is nothing to come */
  CHECK(!procpool_future_running(NULL));
  CHECK(!procpool_future_cancelled(NULL));
  CHECK_STATUS(procpool_future_wait(NULL, 0), PROCPOOL_HANDLE);
  CHECK_STATUS(procpool_future_result(NULL, 0, buffer, sizeof(buffer), &size), PROCPOOL_HANDLE);
  CHECK_STATUS(procpool__typed_result(NULL, buffer, sizeof(buffer)), PROCPOOL_HANDLE);
  CHECK(procpool_future_data(NULL, &size) == NULL);
  CHECK_STATUS(procpool_future_error(NULL, &error), PROCPOOL_HANDLE);
  CHECK_EQ(pid_of(NULL), 0);
  CHECK_EQ(worker_of(NULL), -1);
  CHECK_STATUS(procpool_future_cancel(NULL), PROCPOOL_HANDLE);
  CHECK_STATUS(procpool_future_add_done_callback(NULL, callback_none, NULL), PROCPOOL_HANDLE);
  CHECK_OK(procpool_future_release(NULL));
}

TEST(r019_null_iterator) {
  procpool_future *future = NULL;
  int out = 0;
  CHECK_STATUS(procpool_next(NULL, 0, &future), PROCPOOL_HANDLE);
  CHECK_STATUS(procpool__typed_next(NULL, &out, sizeof(out)), PROCPOOL_HANDLE);
  CHECK_EQ(procpool_iterator_remaining(NULL), 0);
  procpool_iterator_free(NULL);
  CHECK(future == NULL);
}

TEST(r019_null_process) {
  int code = 0;
  CHECK_STATUS(procpool_process_join(NULL, 0), PROCPOOL_HANDLE);
  CHECK(!procpool_process_is_alive(NULL));
  CHECK_STATUS(procpool_process_exit_code(NULL, &code), PROCPOOL_HANDLE);
  CHECK_EQ(procpool_process_pid(NULL), 0);
  CHECK_STATUS(procpool_process_terminate(NULL), PROCPOOL_HANDLE);
  CHECK_STATUS(procpool_process_kill(NULL), PROCPOOL_HANDLE);
  CHECK(procpool_process_future(NULL) == NULL);
  CHECK_OK(procpool_process_free(NULL));
}

TEST(r019_null_task) {
  size_t size = 0;
  CHECK(procpool_task_argument(NULL, &size) == NULL);
  CHECK(procpool_task_result(NULL, 4) == NULL);
  procpool_task_return(NULL, "x", 1);
  procpool_task_fail(NULL, 1, "x");
  CHECK(!procpool_task_cancelled(NULL));
  CHECK_EQ(procpool_task_worker(NULL), -1);
  CHECK(procpool__task_items(NULL).stop == NULL);
  procpool__task_item(NULL, 0);
}

/* ---- handles that were valid once, or are valid for something else ---- */

TEST_STARTS(r019_freed_pool, EVERY) {
  procpool *pool;
  procpool_future *future = NULL;
  procpool_stats stats;
  if (test_instrumented())
    SKIP("the instrument reports the look at what was freed");
  pool = test_open(start, 1);
  test_close(pool);
  CHECK_STATUS(procpool_submit(pool, task_nothing, NULL, 0, NULL, &future), PROCPOOL_HANDLE);
  CHECK(future == NULL);
  CHECK_STATUS(procpool_poll(pool, 0), PROCPOOL_HANDLE);
  CHECK_EQ(procpool_fd(pool), -1);
  CHECK_STATUS(procpool_get_stats(pool, &stats), PROCPOOL_HANDLE);
  CHECK_STATUS(procpool_shutdown(pool, PROCPOOL_DRAIN, PROCPOOL_FOREVER), PROCPOOL_HANDLE);
  CHECK_STATUS(procpool_free(pool), PROCPOOL_HANDLE);
}

TEST_STARTS(r019_released_future, EVERY) {
  const int in = 1;
  procpool *pool;
  procpool_future *future;
  if (test_instrumented())
    SKIP("the instrument reports the look at what was given back");
  pool = test_open(start, 1);
  future = test_submit(pool, task_twice, &in, sizeof(in));
  CHECK_SETTLES(future, PROCPOOL_OK);
  CHECK_OK(procpool_future_release(future));
  CHECK_STATUS(procpool_future_release(future), PROCPOOL_HANDLE);
  CHECK_STATUS(procpool_future_status(future), PROCPOOL_HANDLE);
  CHECK_STATUS(procpool_future_wait(future, 0), PROCPOOL_HANDLE);
  CHECK(procpool_future_done(future));
  CHECK_WORKS(pool);
  test_close(pool);
}

TEST(r019_handles_of_another_kind) {
  procpool *pool = test_open(PROCPOOL_START_INLINE, 1);
  procpool_future *future = test_submit(pool, task_nothing, NULL, 0), *other = NULL;
  procpool_iterator *iterator = NULL;
  CHECK_OK(procpool_as_completed(&future, 1, &iterator));
  CHECK_STATUS(procpool_future_wait((procpool_future *)pool, 0), PROCPOOL_HANDLE);
  CHECK_STATUS(procpool_future_release((procpool_future *)pool), PROCPOOL_HANDLE);
  CHECK_STATUS(procpool_submit((procpool *)future, task_nothing, NULL, 0, NULL, &other), PROCPOOL_HANDLE);
  CHECK_STATUS(procpool_free((procpool *)future), PROCPOOL_HANDLE);
  CHECK_STATUS(procpool_next((procpool_iterator *)pool, 0, &other), PROCPOOL_HANDLE);
  CHECK_STATUS(procpool_poll((procpool *)iterator, 0), PROCPOOL_HANDLE);
  CHECK_STATUS(procpool_process_join((procpool_process *)pool, 0), PROCPOOL_HANDLE);
  CHECK(other == NULL);
  procpool_iterator_free(iterator);
  CHECK_OK(procpool_future_release(future));
  test_close(pool);
}

/* ---- arguments of submit ---- */

static void refuse_submit(procpool *pool, procpool_function function, const void *argument, size_t size,
                          procpool_status expected) {
  const procpool_stats before = test_stats(pool);
  procpool_future *future = NULL;
  CHECK_STATUS(procpool_submit(pool, function, argument, size, NULL, &future), expected);
  CHECK_STATUS(try_submit(pool, function, argument, size, &future), expected);
  CHECK_STATUS(submit_timed(pool, 1, function, argument, size, &future), expected);
  CHECK_STATUS(procpool_submit(pool, function, argument, size, NULL, NULL), expected);
  CHECK(procpool__typed_submit(pool, function, argument, size, NULL, NULL) == NULL);
  CHECK(future == NULL);
  CHECK_EQ(test_stats(pool).submitted, before.submitted);
  CHECK_EQ(test_stats(pool).queued, before.queued);
}

TEST_STARTS(r019_submit_null_function, EVERY) {
  procpool *pool = test_open(start, 1);
  refuse_submit(pool, NULL, NULL, 0, PROCPOOL_ARGUMENT);
  CHECK_WORKS(pool);
  test_close(pool);
}

TEST_STARTS(r019_submit_null_argument_with_size, EVERY) {
  procpool *pool = test_open(start, 1);
  refuse_submit(pool, task_echo, NULL, 1, PROCPOOL_ARGUMENT);
  refuse_submit(pool, task_echo, NULL, 1 << 20, PROCPOOL_ARGUMENT);
  CHECK_WORKS(pool);
  test_close(pool);
}

/* A size that cannot be: it is refused before a byte is read. */
TEST_STARTS(r019_submit_impossible_size, EVERY) {
  procpool *pool = test_open(start, 1);
  const procpool_stats before = test_stats(pool);
  static const size_t sizes[] = {SIZE_MAX, SIZE_MAX - 15, SIZE_MAX / 2 + 1, TEST_IMPOSSIBLE};
  for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
    procpool_future *future = NULL;
    const procpool_status status = procpool_submit(pool, task_echo, "x", sizes[i], NULL, &future);
    CHECK(status == PROCPOOL_ARGUMENT || status == PROCPOOL_MEMORY);
    CHECK(future == NULL);
  }
  CHECK_EQ(test_stats(pool).submitted, before.submitted);
  CHECK_WORKS(pool);
  test_close(pool);
}

TEST_STARTS(r019_submit_more_than_max_memory, PROCESSES) {
  procpool_options options = {0};
  procpool *pool;
  procpool_future *future = NULL;
  char *big = (char *)calloc(1, 8 << 20);
  CHECK(big != NULL);
  options.max_memory = 1 << 20;
  pool = test_open_with(start, 1, &options);
  CHECK_STATUS(try_submit(pool, task_sum, big, 8 << 20, &future), PROCPOOL_MEMORY);
  CHECK(future == NULL);
  CHECK_STATUS(procpool_submit(pool, task_sum, big, 8 << 20, NULL, &future), PROCPOOL_MEMORY);
  CHECK(future == NULL);
  CHECK_EQ(test_stats(pool).submitted, 0);
  CHECK_WORKS(pool);
  test_close(pool);
  free(big);
}

TEST_STARTS(r042_nan_timeouts, EVERY) {
  procpool *pool = test_open(start, 1);
  const int in = 3;
  int out = 0;
  procpool_future *future = test_submit(pool, task_twice, &in, sizeof(in)), *other = NULL;
  procpool_iterator *iterator = NULL;
  procpool_map_options map = {0};
  size_t done = 77;
  CHECK_STATUS(procpool_future_wait(future, NAN), PROCPOOL_ARGUMENT);
  CHECK_STATUS(procpool_future_result(future, NAN, &out, sizeof(out), NULL), PROCPOOL_ARGUMENT);
  CHECK_STATUS(submit_timed(pool, NAN, task_nothing, NULL, 0, &other), PROCPOOL_ARGUMENT);
  CHECK(other == NULL);
  CHECK_STATUS(procpool_wait(&future, 1, PROCPOOL_ALL_COMPLETED, NAN, &done), PROCPOOL_ARGUMENT);
  CHECK_OK(procpool_as_completed(&future, 1, &iterator));
  CHECK_STATUS(procpool_next(iterator, NAN, &other), PROCPOOL_ARGUMENT);
  CHECK_EQ(procpool_iterator_remaining(iterator), 1);
  procpool_iterator_free(iterator);
  map.timeout = NAN;
  CHECK_STATUS(procpool_map(pool, task_twice, &in, sizeof(in), &out, sizeof(out), 1, &map), PROCPOOL_ARGUMENT);
  CHECK_STATUS(procpool_shutdown(pool, PROCPOOL_KILL, NAN), PROCPOOL_ARGUMENT);
  CHECK_SETTLES(future, PROCPOOL_OK);
  CHECK_OK(procpool_future_release(future));
  CHECK_WORKS(pool);
  test_close(pool);
}

TEST_STARTS(r042_infinite_and_huge_timeouts, EVERY) {
  procpool *pool = test_open(start, 1);
  static const double timeouts[] = {INFINITY, 1e300, PROCPOOL_FOREVER, 1e10, 4e9};
  for (size_t i = 0; i < sizeof(timeouts) / sizeof(timeouts[0]); i++) {
    const int in = 3;
    int out = 0;
    procpool_future *future = NULL;
    CHECK_OK(submit_timed(pool, timeouts[i], task_twice, &in, sizeof(in), &future));
    CHECK_OK(procpool_future_result(future, timeouts[i], &out, sizeof(out), NULL));
    CHECK_EQ(out, 6);
    CHECK_OK(procpool_future_release(future));
  }
  CHECK_OK(procpool_shutdown(pool, PROCPOOL_DRAIN, INFINITY));
  CHECK_OK(procpool_free(pool));
}

/* ---- arguments of the other calls ---- */

TEST_STARTS(args_future_calls, EVERY) {
  procpool *pool = test_open(start, 1);
  const int in = 5;
  int out = 0;
  size_t size = 0;
  procpool_future *future = test_submit(pool, task_twice, &in, sizeof(in));
  CHECK_SETTLES(future, PROCPOOL_OK);
  CHECK_STATUS(procpool_future_error(future, NULL), PROCPOOL_ARGUMENT);
  CHECK_STATUS(procpool_future_add_done_callback(future, NULL, NULL), PROCPOOL_ARGUMENT);
  CHECK_STATUS(procpool_future_result(future, 0, NULL, sizeof(out), &size), PROCPOOL_ARGUMENT);
  CHECK_STATUS(procpool_future_result(future, 0, NULL, 0, &size), PROCPOOL_TOO_SMALL);
  CHECK_EQ(size, sizeof(out));
  CHECK_OK(procpool_future_result(future, 0, &out, sizeof(out), NULL));
  CHECK_EQ(out, 10);
  CHECK_OK(procpool_future_release(future));
  test_close(pool);
}

TEST_STARTS(args_wait, EVERY) {
  procpool *pool = test_open(start, 1);
  procpool_future *futures[2] = {test_submit(pool, task_nothing, NULL, 0), NULL};
  size_t done = 77;
  CHECK_STATUS(procpool_wait(NULL, 1, PROCPOOL_ALL_COMPLETED, 0, &done), PROCPOOL_ARGUMENT);
  CHECK_STATUS(procpool_wait(futures, 2, PROCPOOL_ALL_COMPLETED, 0, &done), PROCPOOL_HANDLE);
  CHECK_STATUS(procpool_wait(futures, 1, (procpool_wait_mode)9, 0, &done), PROCPOOL_ARGUMENT);
  CHECK_STATUS(procpool_wait(futures, 1, (procpool_wait_mode)-1, 0, &done), PROCPOOL_ARGUMENT);
  CHECK_OK(procpool_wait(NULL, 0, PROCPOOL_ALL_COMPLETED, 0, &done));
  CHECK_EQ(done, 0);
  CHECK_OK(procpool_wait(futures, 1, PROCPOOL_ALL_COMPLETED, PROCPOOL_FOREVER, NULL));
  CHECK_OK(procpool_future_release(futures[0]));
  test_close(pool);
}

TEST_STARTS(args_as_completed, EVERY) {
  procpool *pool = test_open(start, 1);
  procpool_future *futures[2] = {test_submit(pool, task_nothing, NULL, 0), NULL}, *future = NULL;
  procpool_iterator *iterator = NULL;
  CHECK_STATUS(procpool_as_completed(futures, 1, NULL), PROCPOOL_ARGUMENT);
  CHECK_STATUS(procpool_as_completed(NULL, 1, &iterator), PROCPOOL_ARGUMENT);
  CHECK_STATUS(procpool_as_completed(futures, 2, &iterator), PROCPOOL_HANDLE);
  CHECK(iterator == NULL);
  CHECK_OK(procpool_as_completed(NULL, 0, &iterator));
  CHECK_EQ(procpool_iterator_remaining(iterator), 0);
  CHECK_STATUS(procpool_next(iterator, 0, &future), PROCPOOL_END);
  procpool_iterator_free(iterator);
  CHECK_OK(procpool_as_completed(futures, 1, &iterator));
  CHECK_STATUS(procpool_next(iterator, PROCPOOL_FOREVER, NULL), PROCPOOL_ARGUMENT);
  CHECK_EQ(procpool_iterator_remaining(iterator), 1);
  procpool_iterator_free(iterator);
  CHECK_OK(procpool_future_release(futures[0]));
  test_close(pool);
}

TEST_STARTS(args_imap, EVERY) {
  procpool *pool = test_open(start, 1);
  procpool_iterator *iterator = NULL;
  CHECK_STATUS(procpool_imap(pool, NULL, generator_none, NULL, 4, NULL, &iterator), PROCPOOL_ARGUMENT);
  CHECK_STATUS(procpool_imap(pool, task_twice, NULL, NULL, 4, NULL, &iterator), PROCPOOL_ARGUMENT);
  CHECK_STATUS(procpool_imap(pool, task_twice, generator_none, NULL, 4, NULL, NULL), PROCPOOL_ARGUMENT);
  CHECK(iterator == NULL);
  CHECK_EQ(test_stats(pool).submitted, 0);
  test_close(pool);
}

TEST_STARTS(args_map, EVERY) {
  procpool *pool = test_open(start, 1);
  const int in[2] = {1, 2};
  int out[2] = {-1, -1};
  CHECK_STATUS(procpool_map(pool, NULL, in, 4, out, 4, 2, NULL), PROCPOOL_ARGUMENT);
  CHECK_STATUS(procpool_map(pool, task_twice, NULL, 4, out, 4, 2, NULL), PROCPOOL_ARGUMENT);
  CHECK_STATUS(procpool_map(pool, task_twice, in, 4, NULL, 4, 2, NULL), PROCPOOL_ARGUMENT);
  CHECK_STATUS(procpool_map(pool, task_twice, in, SIZE_MAX / 2, out, 4, 3, NULL), PROCPOOL_ARGUMENT);
  CHECK_STATUS(procpool_map(pool, task_twice, in, 4, out, SIZE_MAX / 2, 3, NULL), PROCPOOL_ARGUMENT);
  CHECK_EQ(test_stats(pool).submitted, 0);
  CHECK_EQ(out[0], -1);
  CHECK_OK(procpool_map(pool, task_twice, NULL, 4, NULL, 4, 0, NULL));
  test_close(pool);
}

TEST_STARTS(args_stats, EVERY) {
  procpool *pool = test_open(start, 1);
  CHECK_STATUS(procpool_get_stats(pool, NULL), PROCPOOL_ARGUMENT);
  test_close(pool);
}

TEST_STARTS(args_shutdown_mode, EVERY) {
  procpool *pool = test_open(start, 1);
  CHECK_STATUS(procpool_shutdown(pool, (procpool_shutdown_mode)3, PROCPOOL_FOREVER), PROCPOOL_ARGUMENT);
  CHECK_STATUS(procpool_shutdown(pool, (procpool_shutdown_mode)-1, PROCPOOL_FOREVER), PROCPOOL_ARGUMENT);
  CHECK_STATUS(procpool_shutdown(pool, (procpool_shutdown_mode)77, 0), PROCPOOL_ARGUMENT);
  CHECK_WORKS(pool);
  test_close(pool);
}

TEST(args_process_start) {
  procpool_error error = {PROCPOOL_OK, 0, 0, 0, PROCPOOL_STAGE_NONE, 0, 0, 0, 0, 0, 0, 0, ""};
  procpool_process_options options = {0};
  options.error = &error;
  CHECK(procpool_process_start(&options, NULL, NULL, 0) == NULL);
  CHECK_STATUS(error.status, PROCPOOL_ARGUMENT);
  CHECK(procpool_process_start(&options, task_nothing, NULL, 4) == NULL);
  CHECK_STATUS(error.status, PROCPOOL_ARGUMENT);
  options.start = (procpool_start)17;
  CHECK(procpool_process_start(&options, task_nothing, NULL, 0) == NULL);
  CHECK_STATUS(error.status, PROCPOOL_ARGUMENT);
  options.start = PROCPOOL_START_THREAD; /* a process is none */
  CHECK(procpool_process_start(&options, task_nothing, NULL, 0) == NULL);
  CHECK(error.status == PROCPOOL_ARGUMENT || error.status == PROCPOOL_UNSUPPORTED);
  options.start = PROCPOOL_START_INLINE;
  CHECK(procpool_process_start(&options, task_nothing, NULL, 0) == NULL);
  CHECK(error.status == PROCPOOL_ARGUMENT || error.status == PROCPOOL_UNSUPPORTED);
  CHECK(procpool_process_start(NULL, NULL, NULL, 0) == NULL);
}

/* ---- versions ---- */

TEST(args_other_version_is_refused) {
  procpool_error error = {PROCPOOL_OK, 0, 0, 0, PROCPOOL_STAGE_NONE, 0, 0, 0, 0, 0, 0, 0, ""};
  procpool_options options = {0};
  options.error = &error;
  CHECK(procpool_open_checked(&options, PROCPOOL_VERSION + 100, sizeof(options)) == NULL);
  CHECK_STATUS(error.status, PROCPOOL_MISMATCH);
  error.status = PROCPOOL_OK;
  CHECK(procpool_open_checked(&options, PROCPOOL_VERSION + 10000, sizeof(options)) == NULL);
  CHECK_STATUS(error.status, PROCPOOL_MISMATCH);
  error.status = PROCPOOL_OK;
  CHECK(procpool_open_checked(&options, PROCPOOL_VERSION, sizeof(options) + 8) == NULL);
  CHECK_STATUS(error.status, PROCPOOL_MISMATCH);
  error.status = PROCPOOL_OK;
  CHECK(procpool_open_checked(&options, PROCPOOL_VERSION, sizeof(options) - 8) == NULL);
  CHECK_STATUS(error.status, PROCPOOL_MISMATCH);
  CHECK(procpool_open_checked(NULL, PROCPOOL_VERSION + 100, sizeof(options)) == NULL);
  CHECK(procpool_open_checked(NULL, PROCPOOL_VERSION, 0) == NULL);
}

TEST(args_other_version_is_refused_by_process_start) {
  procpool_error error = {PROCPOOL_OK, 0, 0, 0, PROCPOOL_STAGE_NONE, 0, 0, 0, 0, 0, 0, 0, ""};
  procpool_process_options options = {0};
  options.error = &error;
  CHECK(procpool_process_start_checked(&options, task_nothing, NULL, 0, PROCPOOL_VERSION + 100, sizeof(options)) ==
        NULL);
  CHECK_STATUS(error.status, PROCPOOL_MISMATCH);
  error.status = PROCPOOL_OK;
  CHECK(procpool_process_start_checked(&options, task_nothing, NULL, 0, PROCPOOL_VERSION, sizeof(options) + 8) == NULL);
  CHECK_STATUS(error.status, PROCPOOL_MISMATCH);
  error.status = PROCPOOL_OK;
  options.struct_size = sizeof(options) + 8;
  CHECK(procpool_process_start(&options, task_nothing, NULL, 0) == NULL);
  CHECK_STATUS(error.status, PROCPOOL_MISMATCH);
  CHECK_STATUS(procpool_last_error(NULL), PROCPOOL_MISMATCH);
  options.struct_size = sizeof(options);
  options.start = PROCPOOL_START_THREAD; /* it goes on to the next check */
  CHECK(procpool_process_start(&options, task_nothing, NULL, 0) == NULL);
  CHECK_NE(error.status, PROCPOOL_MISMATCH);
}

/* ---- options ---- */

#define REFUSED_OPTION(field, value, expected)                                                                         \
  do {                                                                                                                 \
    procpool_options options;                                                                                          \
    memset(&options, 0, sizeof(options));                                                                              \
    options.start = start;                                                                                             \
    options.max_workers = 1;                                                                                           \
    options.field = value;                                                                                             \
    test_open_fails(&options, expected);                                                                               \
  } while (0)

TEST_STARTS(r001_worker_count_out_of_range, EVERY) {
  REFUSED_OPTION(max_workers, -1, PROCPOOL_ARGUMENT);
  REFUSED_OPTION(max_workers, INT_MIN, PROCPOOL_ARGUMENT);
  REFUSED_OPTION(max_workers, INT_MAX, PROCPOOL_ARGUMENT);
  REFUSED_OPTION(max_workers, 1000000, PROCPOOL_ARGUMENT);
}

TEST(r001_unknown_start_method) {
  REFUSED_OPTION(start, (procpool_start)5, PROCPOOL_ARGUMENT);
  REFUSED_OPTION(start, (procpool_start)-1, PROCPOOL_ARGUMENT);
}

TEST_STARTS(r100_max_tasks_per_child_negative, PROCESSES) {
  REFUSED_OPTION(max_tasks_per_child, -1, PROCPOOL_ARGUMENT);
}

TEST_STARTS(args_options_out_of_range, EVERY) {
  REFUSED_OPTION(max_queued, 8388609, PROCPOOL_ARGUMENT);
  REFUSED_OPTION(max_queued, SIZE_MAX, PROCPOOL_ARGUMENT);
  REFUSED_OPTION(ring_size, 100000, PROCPOOL_ARGUMENT); /* no power of two */
  REFUSED_OPTION(ring_size, 262145, PROCPOOL_ARGUMENT);
  REFUSED_OPTION(ring_size, 1, PROCPOOL_ARGUMENT); /* no room for a record */
  REFUSED_OPTION(ring_size, SIZE_MAX / 2 + 1, PROCPOOL_ARGUMENT);
  REFUSED_OPTION(spin_us, -2, PROCPOOL_ARGUMENT);
  REFUSED_OPTION(initializer_size, 4, PROCPOOL_ARGUMENT); /* bytes at null */
  REFUSED_OPTION(nice, -1, PROCPOOL_ARGUMENT);            /* before others needs rights */
  REFUSED_OPTION(nice, 20, PROCPOOL_ARGUMENT);
  REFUSED_OPTION(nice, INT_MIN, PROCPOOL_ARGUMENT);
  REFUSED_OPTION(nice, INT_MAX, PROCPOOL_ARGUMENT);
}

TEST_STARTS(args_keep_fds_without_a_list, FORK) {
  procpool_options options = {0};
  options.start = start;
  options.close_fds = true;
  options.keep_fds_count = 2;
  test_open_fails(&options, PROCPOOL_ARGUMENT);
}

/* What has no meaning for threads is refused, not ignored. */
TEST_STARTS(args_options_for_processes_only, THREAD | INLINE) {
  REFUSED_OPTION(max_tasks_per_child, 3, PROCPOOL_UNSUPPORTED);
  REFUSED_OPTION(strict, true, PROCPOOL_UNSUPPORTED);
  REFUSED_OPTION(close_fds, true, PROCPOOL_UNSUPPORTED);
}

/* The caller would not become as it was before. */
TEST_STARTS(args_options_for_workers_beside_the_host, INLINE) {
  REFUSED_OPTION(nice, 1, PROCPOOL_UNSUPPORTED);
}

static int initializer_ok(const void *argument, size_t size) {
  (void)argument;
  (void)size;
  return 0;
}

/* A pointer of the host says nothing in a process that has another memory. */
TEST(args_initializer_pointer_under_spawn) {
  static int here;
  procpool_options options = {0};
  options.start = PROCPOOL_START_SPAWN;
  options.initializer = initializer_ok;
  options.initializer_argument = &here;
  test_open_fails(&options, PROCPOOL_UNSUPPORTED);
}

TEST(args_open_without_a_place_for_the_error) {
  procpool_options options = {0};
  options.max_workers = -1;
  CHECK(procpool_open(&options) == NULL);
}

/* An open that succeeds says so in the error record as well. */
TEST_STARTS(args_error_after_success, EVERY) {
  procpool_error error;
  procpool_options options = {0};
  memset(&error, 0x5a, sizeof(error));
  options.error = &error;
  options.start = start;
  options.max_workers = 1;
  {
    procpool *pool = procpool_open(&options);
    CHECK(pool != NULL);
    CHECK_STATUS(error.status, PROCPOOL_OK);
    test_close(pool);
  }
}

TEST(args_refused_open_says_why) {
  procpool_error error;
  procpool_options options = {0};
  memset(&error, 0x5a, sizeof(error));
  options.error = &error;
  options.max_workers = -3;
  CHECK(procpool_open(&options) == NULL);
  CHECK_STATUS(error.status, PROCPOOL_ARGUMENT);
  CHECK(memchr(error.message, 0, sizeof(error.message)) != NULL);
  CHECK(strstr(error.message, "max_workers") != NULL);
}

/* ---- defaults ---- */

TEST(r001_null_options) {
  procpool *pool = procpool_open(NULL);
  CHECK(pool != NULL);
  if (!test_instrumented()) /* else it may have a thread of the instrument's */
    CHECK_EQ(procpool_start_method(pool), PROCPOOL_START_FORK);
  CHECK_EQ(test_stats(pool).workers, procpool_cpu_count(PROCPOOL_CPU_USABLE));
  CHECK_WORKS(pool);
  test_close(pool);
}

TEST(r001_zeroed_options) {
  procpool_options options = {0};
  procpool *pool = procpool_open(&options);
  CHECK(pool != NULL);
  CHECK_EQ(test_stats(pool).workers, procpool_cpu_count(PROCPOOL_CPU_USABLE));
  CHECK_WORKS(pool);
  test_close(pool);
}

TEST(r005_workers_from_the_environment) {
  procpool *pool;
  setenv("PROCPOOL_WORKERS", "3", 1);
  pool = procpool_open(NULL);
  CHECK(pool != NULL);
  CHECK_EQ(test_stats(pool).workers, 3);
  test_close(pool);
  pool = test_open(PROCPOOL_START_FORK, 2); /* a number given wins */
  CHECK_EQ(test_stats(pool).workers, 2);
  test_close(pool);
  unsetenv("PROCPOOL_WORKERS");
}

/* A variable that makes no sense is no number of workers. */
TEST(r005_workers_from_a_bad_environment) {
  static const char *const bad[] = {"", "0", "-2", "many", "3x", "99999999999999999999"};
  for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
    procpool *pool;
    setenv("PROCPOOL_WORKERS", bad[i], 1);
    pool = procpool_open(NULL);
    CHECK(pool != NULL);
    CHECK_EQ(test_stats(pool).workers, procpool_cpu_count(PROCPOOL_CPU_USABLE));
    test_close(pool);
  }
  unsetenv("PROCPOOL_WORKERS");
}

TEST_STARTS(args_smallest_sizes_work, EVERY) {
  procpool_options options = {0};
  procpool *pool;
  options.max_queued = 1;
  pool = test_open_with(start, 1, &options);
  for (int i = 0; i < 100; i++)
    CHECK_WORKS(pool);
  test_close(pool);
}

TEST_STARTS(args_largest_queue_works, EVERY) {
  procpool_options options = {0};
  procpool *pool;
  options.max_queued = 8388608;
  pool = test_open_with(start, 2, &options);
  for (int i = 0; i < 100; i++)
    CHECK_WORKS(pool);
  test_close(pool);
}
