/* What newcomers get wrong and only a running program shows: each is refused, and the message names the mistake. (What
 * compilers say of others: mistakes/.) */
#include "harness.h"

#include <math.h>
#include <stdint.h>
#include <string.h>

PROCPOOL_FUNCTION(int, square_of, int, x) {
  return x * x;
}
PROCPOOL_FUNCTION(double, half_of, double, x) {
  return x / 2;
}
PROCPOOL_FUNCTION(int, is_there, const void *, place) {
  return place != NULL;
}
PROCPOOL_FUNCTION(int, length_of, const char *, text) {
  return (int)strlen(text);
}

static void task_no_string(procpool_task *task) {
  procpool_task_return(task, "ab", 2);
}

static int no_more(void *context, void *item) {
  (void)context;
  (void)item;
  return 0;
}

/* The call has this status, and the last error says this. */
static void says(const char *file, int line, const char *call, procpool_status got, procpool_status expected,
                 const char *text) {
  harness_check_status(file, line, call, got, expected);
  harness_check_status(file, line, call, procpool_last_error(NULL), expected);
  if (strstr(procpool_last_message(), text) == NULL)
    harness_fail(file, line, "%s: it says: %s", call, procpool_last_message());
}
#define SAYS(call, expected, text) says(__FILE__, __LINE__, #call, (call), (expected), (text))

/* The same of an open. */
#define OPEN_SAYS(options, expected, text)                                                                             \
  do {                                                                                                                 \
    CHECK(procpool_open(options) == NULL);                                                                             \
    SAYS(procpool_last_error(NULL), expected, text);                                                                   \
  } while (0)

/* ---- handles ---- */

TEST(mistake_pool_that_did_not_open) {
  procpool_future *future;
  int y = 0;
  SAYS(square_of_call(NULL, 5, &y), PROCPOOL_HANDLE, "was an open or a submit refused?");
  SAYS(square_of_map(NULL, &y, &y, 1), PROCPOOL_HANDLE, "null");
  SAYS(procpool_submit(NULL, task_nothing, NULL, 0, NULL, &future), PROCPOOL_HANDLE, "null");
  CHECK(future == NULL);
  SAYS(square_of_result(square_of_submit(NULL, 5), &y), PROCPOOL_HANDLE, "null");
}

TEST_STARTS(mistake_result_taken_twice, EVERY) {
  procpool *pool = test_open(start, 1);
  procpool_future *future = square_of_submit(pool, 5);
  int y = 0;
  CHECK_OK(square_of_result(future, &y));
  if (!test_instrumented()) /* the memory may be gone, and is so there */
    SAYS(square_of_result(future, &y), PROCPOOL_HANDLE, "released");
  CHECK_EQ(y, 25);
  test_close(pool);
}

TEST_STARTS(mistake_released_twice, EVERY) {
  procpool *pool = test_open(start, 1);
  procpool_future *future = square_of_submit(pool, 5);
  CHECK_OK(procpool_future_wait(future, PROCPOOL_FOREVER));
  CHECK_OK(procpool_future_release(future));
  if (!test_instrumented()) {
    SAYS(procpool_future_release(future), PROCPOOL_HANDLE, "released");
    SAYS(procpool_future_wait(future, 0), PROCPOOL_HANDLE, "released");
    CHECK_TEXT(procpool_future_message(future), procpool_strerror(PROCPOOL_HANDLE));
  }
  test_close(pool);
}

TEST_STARTS(mistake_handle_of_another_kind, EVERY) {
  procpool *pool = test_open(start, 1);
  procpool_future *future = square_of_submit(pool, 5);
  int y;
  if (!test_instrumented()) /* a future is larger than a pointer to it */
    SAYS(procpool_future_wait((procpool_future *)(void *)&future, 1), PROCPOOL_HANDLE, "not of this kind");
  SAYS(square_of_result((procpool_future *)(void *)pool, &y), PROCPOOL_HANDLE, "not of this kind");
  SAYS(procpool_poll((procpool *)(void *)future, 0), PROCPOOL_HANDLE, "not of this kind");
  CHECK_OK(square_of_result(future, &y));
  test_close(pool);
}

TEST_STARTS(mistake_submit_after_shutdown, EVERY) {
  procpool *pool = test_open(start, 1);
  int y = 0;
  CHECK_OK(procpool_shutdown(pool, PROCPOOL_DRAIN, PROCPOOL_FOREVER));
  SAYS(square_of_result(square_of_submit(pool, 5), &y), PROCPOOL_SHUTDOWN, "has been shut down");
  SAYS(square_of_call(pool, 5, &y), PROCPOOL_SHUTDOWN, "has been shut down");
  SAYS(square_of_map(pool, &y, &y, 1), PROCPOOL_SHUTDOWN, "has been shut down");
  CHECK(procpool_shared_alloc(pool, 1) == NULL);
  SAYS(procpool_last_error(NULL), PROCPOOL_SHUTDOWN, "has been shut down");
  CHECK_OK(procpool_close(pool));
}

/* ---- where a wait cannot be ---- */

static void waits(procpool_future *future, void *context) {
  procpool *pool = procpool_future_pool(future);
  int y;
  (void)context;
  SAYS(square_of_call(pool, 5, &y), PROCPOOL_DEADLOCK, "inside a callback");
  SAYS(procpool_shutdown(pool, PROCPOOL_DRAIN, 1), PROCPOOL_DEADLOCK, "inside a callback");
  SAYS(procpool_close(pool), PROCPOOL_DEADLOCK, "inside a callback");
  SAYS(procpool_free(pool), PROCPOOL_DEADLOCK, "inside a callback");
}

TEST_STARTS(mistake_wait_in_a_callback, EVERY) {
  procpool *pool = test_open(start, 1);
  procpool_future *future = square_of_submit(pool, 5);
  CHECK_OK(procpool_future_add_done_callback(future, waits, NULL));
  CHECK_OK(procpool_future_wait(future, PROCPOOL_FOREVER));
  CHECK_OK(procpool_future_release(future));
  test_close(pool);
}

static procpool *opened_before;

static void task_uses_the_hosts_pool(procpool_task *task) {
  const procpool_status status = procpool_submit(opened_before, task_nothing, NULL, 0, NULL, NULL);
  procpool_task_fail(task, (int)status, procpool_last_message());
}

/* In a worker, that of the host's other pool too: its own handle it cannot even know. */
TEST_STARTS(mistake_pool_of_the_host_in_a_task, FORK) {
  procpool *pool;
  procpool_error error;
  opened_before = test_open(start, 1);
  pool = test_open(start, 1);
  CHECK_STATUS(procpool_call(pool, task_uses_the_hosts_pool, NULL, 0, NULL, 0, NULL, NULL), PROCPOOL_FAILED);
  CHECK_STATUS(procpool_last_error(&error), PROCPOOL_FAILED);
  CHECK_EQ(error.code, PROCPOOL_FORKED);
  CHECK(strstr(error.message, "belongs to another process") != NULL);
  test_close(pool);
  test_close(opened_before);
}

/* ---- times ---- */

static void no_number(procpool *pool, procpool_future *future) {
  SAYS(procpool_future_wait(future, NAN), PROCPOOL_ARGUMENT, "not a number");
  SAYS(procpool_poll(pool, NAN), PROCPOOL_ARGUMENT, "not a number");
  SAYS(procpool_wait_ready(pool, NAN), PROCPOOL_ARGUMENT, "not a number");
  SAYS(procpool_wait(&future, 1, PROCPOOL_ALL_COMPLETED, NAN, NULL), PROCPOOL_ARGUMENT, "not a number");
  SAYS(procpool_shutdown(pool, PROCPOOL_DRAIN, NAN), PROCPOOL_ARGUMENT, "not a number");
  SAYS(procpool_future_cancel_kill(future, NAN), PROCPOOL_ARGUMENT, "not a number");
}

TEST_STARTS(mistake_time_that_is_no_number, EVERY) {
  procpool *pool = test_open(start, 1);
  procpool_future *future = square_of_submit(pool, 5);
  procpool_submit_options submit;
  procpool_map_options map;
  procpool_imap_options imap;
  procpool_iterator *iterator;
  int y = 0;
  no_number(pool, future);
  memset(&submit, 0, sizeof(submit));
  memset(&map, 0, sizeof(map));
  memset(&imap, 0, sizeof(imap));
  submit.timeout = NAN;
  map.timeout = NAN;
  imap.time_limit = NAN;
  SAYS(square_of_result(square_of_submit_with(pool, &submit, 5), &y), PROCPOOL_ARGUMENT, "not a number");
  SAYS(square_of_map_with(pool, &y, &y, 1, &map), PROCPOOL_ARGUMENT, "not a number");
  SAYS(square_of_imap(pool, no_more, NULL, &imap, &iterator), PROCPOOL_ARGUMENT, "not a number");
  CHECK_OK(procpool_as_completed(&future, 1, &iterator));
  SAYS(procpool_next(iterator, NAN, &future), PROCPOOL_ARGUMENT, "not a number");
  procpool_iterator_free(iterator);
  test_close(pool);
}

/* ---- places and modes ---- */

TEST_STARTS(mistake_no_place_for_the_result, EVERY) {
  procpool *pool = test_open(start, 1);
  procpool_future *future = square_of_submit(pool, 5);
  procpool_iterator *iterator;
  int y = 0;
  SAYS(square_of_call(pool, 5, NULL), PROCPOOL_ARGUMENT, "no place for the result");
  SAYS(square_of_result(future, NULL), PROCPOOL_ARGUMENT, "no place for the result");
  SAYS(procpool_future_result(future, 1, NULL, 4, NULL), PROCPOOL_ARGUMENT, "no place for the result");
  SAYS(square_of_map(pool, &y, NULL, 1), PROCPOOL_ARGUMENT, "array of arguments or of results is null");
  SAYS(square_of_map(pool, NULL, &y, 1), PROCPOOL_ARGUMENT, "array of arguments or of results is null");
  SAYS(square_of_imap(pool, no_more, NULL, NULL, NULL), PROCPOOL_ARGUMENT, "no place for the iterator");
  CHECK_OK(square_of_imap(pool, no_more, NULL, NULL, &iterator));
  SAYS(square_of_next(iterator, NULL), PROCPOOL_ARGUMENT, "no place for the result");
  procpool_iterator_free(iterator);
  CHECK_OK(square_of_result(future, &y)); /* a refused call changes nothing */
  CHECK_EQ(y, 25);
  test_close(pool);
}

TEST_STARTS(mistake_no_place_for_other_things, EVERY) {
  procpool *pool = test_open(start, 1);
  procpool_future *future = square_of_submit(pool, 5);
  procpool_iterator *iterator;
  SAYS(procpool_future_error(future, NULL), PROCPOOL_ARGUMENT, "no place for the error");
  SAYS(procpool_future_add_done_callback(future, NULL, NULL), PROCPOOL_ARGUMENT, "the callback is null");
  SAYS(procpool_get_stats(pool, NULL), PROCPOOL_ARGUMENT, "no place for the figures");
  SAYS(procpool_as_completed(NULL, 3, &iterator), PROCPOOL_ARGUMENT, "list of futures is null");
  SAYS(procpool_as_completed(&future, 1, NULL), PROCPOOL_ARGUMENT, "no place for the iterator");
  SAYS(procpool_wait(NULL, 3, PROCPOOL_ALL_COMPLETED, 0, NULL), PROCPOOL_ARGUMENT, "list of futures is null");
  SAYS(procpool_cancel_many(NULL, 3, NULL), PROCPOOL_ARGUMENT, "list of futures is null");
  CHECK_OK(procpool_as_completed(&future, 1, &iterator));
  SAYS(procpool_next(iterator, 1, NULL), PROCPOOL_ARGUMENT, "no place for the future");
  procpool_iterator_free(iterator);
  CHECK_OK(procpool_future_release(future));
  test_close(pool);
}

TEST_STARTS(mistake_mode_that_is_none, EVERY) {
  procpool *pool = test_open(start, 1);
  SAYS(procpool_shutdown(pool, (procpool_shutdown_mode)9, 0), PROCPOOL_ARGUMENT, "none of DRAIN, CANCEL, KILL");
  SAYS(procpool_wait(NULL, 0, (procpool_wait_mode)9, 0, NULL), PROCPOOL_ARGUMENT, "none of PROCPOOL_ALL_COMPLETED");
  test_close(pool);
}

TEST_STARTS(mistake_null_function, EVERY) {
  procpool *pool = test_open(start, 1);
  procpool_iterator *iterator;
  SAYS(procpool_submit(pool, NULL, NULL, 0, NULL, NULL), PROCPOOL_ARGUMENT, "the function is null");
  SAYS(procpool_submit(pool, task_nothing, NULL, 4, NULL, NULL), PROCPOOL_ARGUMENT, "has a size but is null");
  SAYS(procpool_map(pool, NULL, NULL, 0, NULL, 0, 1, NULL), PROCPOOL_ARGUMENT, "the function is null");
  SAYS(procpool_imap(pool, task_nothing, NULL, NULL, 4, NULL, &iterator), PROCPOOL_ARGUMENT, "generator is null");
  test_close(pool);
}

/* ---- sizes and types ---- */

TEST_STARTS(mistake_size_that_is_another_types, EVERY) {
  procpool *pool = test_open(start, 1);
  procpool_future *future = square_of_submit(pool, 5);
  int y = 0;
  double z = 0;
  SAYS(procpool_future_result(future, 1, &y, 1, NULL), PROCPOOL_TOO_SMALL, "smaller than the result");
  SAYS(half_of_result(future, &z), PROCPOOL_TRANSFER, "does not have the size that this typed function gives");
  SAYS(procpool_call(pool, square_of_task, &z, sizeof(z), &y, sizeof(y), NULL, NULL), PROCPOOL_FAILED,
       "does not have the size that this typed function takes");
  SAYS(procpool_call(pool, task_echo, &z, sizeof(z), &y, sizeof(y), NULL, NULL), PROCPOOL_TOO_SMALL,
       "smaller than the result");
  test_close(pool);
}

TEST_STARTS(mistake_string_that_is_none, EVERY) {
  procpool *pool = test_open(start, 1);
  procpool_future *future = test_submit(pool, task_no_string, NULL, 0);
  CHECK(procpool_future_string(future) == NULL);
  SAYS(procpool_last_error(NULL), PROCPOOL_TRANSFER, "the result is no string");
  CHECK_OK(procpool_future_release(future));
  test_close(pool);
}

TEST_STARTS(mistake_pointer_of_the_host, PROCESSES) {
  procpool *pool = test_open(start, 1), *other = test_open(start, 1);
  void *shared = procpool_shared_alloc(pool, 100);
  int y = 0;
  CHECK(shared != NULL);
  SAYS(length_of_call(pool, "abc", &y), PROCPOOL_ARGUMENT, "length_of: argument text points to no shared buffer");
  SAYS(length_of_result(length_of_submit(pool, "abc"), &y), PROCPOOL_ARGUMENT, "use procpool_shared_alloc");
  SAYS(is_there_call(other, shared, &y), PROCPOOL_ARGUMENT, "argument place points to no shared buffer");
  SAYS(procpool_shared_free(other, shared), PROCPOOL_ARGUMENT, "no live shared buffer of this pool");
  CHECK_OK(procpool_shared_free(pool, shared));
  SAYS(procpool_shared_free(pool, shared), PROCPOOL_ARGUMENT, "no live shared buffer of this pool");
  SAYS(is_there_call(pool, shared, &y), PROCPOOL_ARGUMENT, "argument place points to no shared buffer");
  test_close(other);
  test_close(pool);
}

TEST_STARTS(mistake_place_that_is_not_shared, EVERY) {
  procpool *pool = test_open(start, 1);
  procpool_submit_options options;
  int y = 0;
  memset(&options, 0, sizeof(options));
  options.result = &y;
  options.result_size = sizeof(y);
  SAYS(procpool_submit(pool, task_nothing, NULL, 0, &options, NULL), PROCPOOL_ARGUMENT, "in no live shared buffer");
  memset(&options, 0, sizeof(options));
  options.shared_argument = true;
  SAYS(procpool_submit(pool, task_nothing, &y, sizeof(y), &options, NULL), PROCPOOL_ARGUMENT,
       "in no live shared buffer");
  SAYS(procpool_shared_free(pool, &y), PROCPOOL_ARGUMENT, "no live shared buffer of this pool begins there");
  test_close(pool);
}

/* ---- options ---- */

TEST_STARTS(mistake_options_not_zeroed, EVERY) {
  procpool *pool = test_open(start, 1);
  procpool_options options;
  procpool_submit_options submit;
  procpool_map_options map;
  procpool_imap_options imap;
  procpool_process_options process;
  procpool_iterator *iterator;
  int y = 0;
  memset(&options, 0x5a, sizeof(options));
  memset(&submit, 0x5a, sizeof(submit));
  memset(&map, 0x5a, sizeof(map));
  memset(&imap, 0x5a, sizeof(imap));
  memset(&process, 0x5a, sizeof(process));
  options.error = NULL;
  process.error = NULL;
  OPEN_SAYS(&options, PROCPOOL_ARGUMENT, "were the options zeroed first?");
  SAYS(square_of_result(square_of_submit_with(pool, &submit, 5), &y), PROCPOOL_MISMATCH, "zero them first");
  SAYS(square_of_map_with(pool, &y, &y, 1, &map), PROCPOOL_MISMATCH, "zero them first");
  SAYS(square_of_imap(pool, no_more, NULL, &imap, &iterator), PROCPOOL_MISMATCH, "zero them first");
  CHECK(procpool_process_start(&process, task_nothing, NULL, 0) == NULL);
  SAYS(procpool_last_error(NULL), PROCPOOL_MISMATCH, "zero them first");
  test_close(pool);
}

TEST(mistake_options_that_make_no_sense) {
  procpool_options options;
#define WRONG(set, expected, text)                                                                                     \
  do {                                                                                                                 \
    memset(&options, 0, sizeof(options));                                                                              \
    set;                                                                                                               \
    OPEN_SAYS(&options, expected, text);                                                                               \
  } while (0)
  WRONG(options.max_workers = -1, PROCPOOL_ARGUMENT, "options.max_workers");
  WRONG(options.max_tasks_per_child = -1, PROCPOOL_ARGUMENT, "options.max_tasks_per_child");
  WRONG(options.time_limit = -1, PROCPOOL_ARGUMENT, "options.time_limit");
  WRONG(options.grace = NAN, PROCPOOL_ARGUMENT, "grace");
  WRONG(options.ring_size = 5000, PROCPOOL_ARGUMENT, "options.ring_size must be a power of two");
  WRONG(options.nice = -5, PROCPOOL_ARGUMENT, "options.nice");
  WRONG(options.keep_fds_count = 2, PROCPOOL_ARGUMENT, "options.keep_fds");
  WRONG(options.initializer_size = 4, PROCPOOL_ARGUMENT, "options.initializer_argument");
  WRONG((options.start = PROCPOOL_START_THREAD, options.time_limit = 1), PROCPOOL_UNSUPPORTED, "need fork or spawn");
  WRONG((options.start = PROCPOOL_START_FORK, options.worker_path = "x"), PROCPOOL_UNSUPPORTED, "options.worker_path");
  WRONG((options.start = PROCPOOL_START_SPAWN, options.worker_path = "/bin/true"), PROCPOOL_NO_WORKER_MAIN,
        "(/bin/true) ended, and never called procpool_worker_main()");
#undef WRONG
  CHECK(procpool_process_start(NULL, NULL, NULL, 0) == NULL);
  SAYS(procpool_last_error(NULL), PROCPOOL_ARGUMENT, "the function is null");
}

/* ---- in a task ---- */

TEST_STARTS(mistake_exit_in_a_task, PROCESSES) {
  procpool *pool = test_open(start, 1);
  const test_job job = job_with(0, 3);
  int y;
  procpool_error error;
  SAYS(procpool_call(pool, task_exit, &job, sizeof(job), &y, sizeof(y), NULL, NULL), PROCPOOL_CRASHED,
       "exited with status");
  CHECK_STATUS(procpool_last_error(&error), PROCPOOL_CRASHED);
  CHECK(error.exit_status == 3 || error.exit_status == 255); /* musl */
  test_close(pool);
}

static int init_fails(const void *argument, size_t size) {
  (void)argument;
  (void)size;
  return 3;
}

TEST_STARTS(mistake_initializer_that_fails, CONCURRENT) {
  procpool_options options;
  procpool *pool;
  int y;
  memset(&options, 0, sizeof(options));
  options.initializer = init_fails;
  pool = test_open_with(start, 1, &options);
  SAYS(square_of_call(pool, 5, &y), PROCPOOL_INIT_FAIL, "it returned 3");
  CHECK_OK(procpool_close(pool));
}

__attribute__((no_sanitize("undefined"))) static int followed(const int *place) {
  return *place;
}

PROCPOOL_FUNCTION(int, at, const int *, place) {
  return followed(place);
}

/* The message has the signal's name: as where a pointer within a struct is followed. */
TEST_STARTS(mistake_pointer_that_leads_nowhere, PROCESSES) {
  procpool *pool;
  int y;
  if (test_instrumented())
    SKIP("a sanitizer tells of it itself");
  pool = test_open(start, 1);
  SAYS(at_call(pool, NULL, &y), PROCPOOL_CRASHED, "was ended by signal 11 (SIGSEGV)");
  test_close(pool);
}

PROCPOOL_FUNCTION(int, for_ever, int, x) {
  while (x >= 0)
    (void)usleep(1000);
  return x;
}

TEST_STARTS(mistake_task_without_an_end, PROCESSES) {
  procpool *pool = test_open(start, 1);
  procpool_submit_options options;
  int y;
  memset(&options, 0, sizeof(options));
  options.time_limit = 0.05;
  options.grace = 0.05;
  SAYS(for_ever_result(for_ever_submit_with(pool, &options, 1), &y), PROCPOOL_TIMEOUT, "its worker got SIGTERM");
  test_close(pool);
}
