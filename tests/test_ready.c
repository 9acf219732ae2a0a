/* procpool_wait_ready: every worker is through its initializer. */
#include "harness.h"

#include <math.h>
#include <sys/wait.h>

/* An initializer that does as page->word says. COME counts those that begin, THROUGH those that succeed; from BLOCKS on
 * the next ones to come (counted down) wait for GATE; FAIL: so many of the next ones fail; DIE: so many die. */
enum { COME, THROUGH, GATE, BLOCKS, FAIL, DIE, TELL };

static bool counts_down(int *word) {
  if (gate_read(word) <= 0)
    return false;
  if (gate_add(word, -1) >= 0)
    return true;
  gate_add(word, 1);
  return false;
}

static int initializer(const void *argument, size_t size) {
  const test_job *job = (const test_job *)argument;
  CHECK_EQ(size, sizeof(*job));
  page_attach(job->host, job->descriptor);
  gate_add(&page->word[COME], 1);
  if (job->number > 0)
    usleep((unsigned)job->number * 1000);
  if (counts_down(&page->word[DIE]))
    raise(SIGKILL);
  if (counts_down(&page->word[FAIL]))
    return 5;
  if (counts_down(&page->word[BLOCKS]))
    gate_wait(&page->word[GATE], 1);
  gate_add(&page->word[THROUGH], 1);
  return 0;
}

/* Each initializer takes so many milliseconds. */
static procpool *open_with(procpool_start start, int workers, int ms, bool strict) {
  const test_job job = job_with(0, ms);
  procpool_options options = {0};
  options.initializer = initializer;
  options.initializer_argument = &job;
  options.initializer_size = sizeof(job);
  options.strict = strict;
  return test_open_with(start, workers, &options);
}

static procpool *open_blocked(procpool_start start, int workers, int blocked) {
  gate_add(&page->word[BLOCKS], blocked);
  return open_with(start, workers, 0, false);
}

static int workers_of(procpool_start start, int workers) {
  return start == PROCPOOL_START_INLINE ? 1 : workers;
}

TEST_STARTS(ready_after_slow_initializers, EVERY) {
  const int workers = workers_of(start, 3);
  procpool *pool = open_with(start, workers, 100, false);
  CHECK_OK(procpool_wait_ready(pool, PROCPOOL_FOREVER));
  CHECK_EQ(gate_read(&page->word[THROUGH]), workers);
  CHECK_OK(procpool_wait_ready(pool, 0));
  CHECK_OK(procpool_wait_ready(pool, -1));
  CHECK_WORKS(pool);
  CHECK_OK(procpool_wait_ready(pool, PROCPOOL_FOREVER));
  test_close(pool);
}

TEST_STARTS(ready_without_an_initializer, EVERY) {
  procpool *pool = test_open(start, workers_of(start, 70)); /* more than one word of a mask */
  CHECK_OK(procpool_wait_ready(pool, PROCPOOL_FOREVER));
  CHECK_EQ(test_stats(pool).workers_alive, workers_of(start, 70));
  test_close(pool);
}

/* ---- who is woken ---- A look at the whole pool comes 0.2 s after the sleep began: what ends the wait before that is
 * the worker. Tried several times, for a machine that is busy. */

static void *open_gate_soon(void *context) {
  (void)context;
  usleep(50000);
  gate_add(&page->word[GATE], 1);
  return NULL;
}

static double time_of_wait(procpool_start start) {
  procpool *pool = open_blocked(start, 2, 2);
  pthread_t opener;
  double begin;
  CHECK(gate_wait_for(&page->word[COME], 2, 10));
  opener = test_thread(open_gate_soon, NULL);
  begin = test_now();
  CHECK_OK(procpool_wait_ready(pool, PROCPOOL_FOREVER));
  begin = test_now() - begin;
  CHECK_EQ(gate_read(&page->word[THROUGH]), 2);
  (void)test_join(opener);
  test_close(pool);
  return begin;
}

static void *wait_for_task(void *context) {
  gate_add(&page->word[TELL], 1);
  CHECK_SETTLES((procpool_future *)context, PROCPOOL_OK);
  return NULL;
}

/* Another thread drains meanwhile, for a task that goes on. */
static double time_of_following(procpool_start start) {
  const test_job job = job_of(0);
  procpool *pool = open_blocked(start, 2, 1);
  procpool_future *future = test_submit(pool, task_block, &job, sizeof(job));
  pthread_t opener, drainer;
  double begin;
  gate_wait(&page->started, 1);
  drainer = test_thread(wait_for_task, future);
  gate_wait(&page->word[TELL], 1);
  usleep(10000);
  opener = test_thread(open_gate_soon, NULL);
  begin = test_now();
  CHECK_OK(procpool_wait_ready(pool, PROCPOOL_FOREVER));
  begin = test_now() - begin;
  CHECK_EQ(gate_read(&page->word[THROUGH]), 2);
  CHECK_EQ(gate_read(&page->finished), 0);
  gate_add(&page->gate, 1);
  (void)test_join(opener);
  (void)test_join(drainer);
  CHECK_OK(procpool_future_release(future));
  test_close(pool);
  return begin;
}

static void expect_soon(procpool_start start, bool follows) {
  double least = 1;
  for (int i = 0; i < 5 && least >= 0.15; i++) {
    const double took = follows ? time_of_following(start) : time_of_wait(start);
    least = took < least ? took : least;
    memset(page, 0, sizeof(*page));
  }
  CHECK_SECONDS(least, >=, 0.04);
  CHECK_SECONDS(least, <, 0.15 * test_slow());
}

TEST_STARTS(ready_wakes_who_sleeps, CONCURRENT) {
  expect_soon(start, false);
}

TEST_STARTS(ready_wakes_who_follows, CONCURRENT) {
  expect_soon(start, true);
}

/* ---- what ends it otherwise ---- */

TEST_STARTS(ready_takes_its_time, CONCURRENT) {
  procpool *pool = open_blocked(start, 2, 1);
  double begin;
  CHECK_STATUS(procpool_wait_ready(pool, 0), PROCPOOL_PENDING);
  CHECK_STATUS(procpool_wait_ready(pool, -1), PROCPOOL_PENDING);
  begin = test_now();
  CHECK_STATUS(procpool_wait_ready(pool, 0.1), PROCPOOL_PENDING);
  CHECK_SECONDS(test_now() - begin, >=, 0.1);
  CHECK_WORKS(pool); /* by the other one */
  CHECK_STATUS(procpool_wait_ready(pool, 0), PROCPOOL_PENDING);
  gate_add(&page->word[GATE], 1);
  CHECK_OK(procpool_wait_ready(pool, PROCPOOL_FOREVER));
  test_close(pool);
}

TEST_STARTS(ready_of_what_is_no_pool, EVERY) {
  procpool *pool = test_open(start, 1);
  pid_t child;
  CHECK_STATUS(procpool_wait_ready(NULL, 0), PROCPOOL_HANDLE);
  CHECK_STATUS(procpool_wait_ready(pool, (double)NAN), PROCPOOL_ARGUMENT);
  child = fork();
  CHECK_GE(child, 0);
  if (child == 0)
    _exit(procpool_wait_ready(pool, PROCPOOL_FOREVER) == PROCPOOL_FORKED ? 0 : 1);
  CHECK_EQ(test_wait_exit(child), 0);
  CHECK_OK(procpool_wait_ready(pool, PROCPOOL_FOREVER));
  test_close(pool);
}

static void *interrupt_soon(void *pool) {
  usleep(50000);
  procpool_interrupt((procpool *)pool);
  return NULL;
}

TEST_STARTS(ready_is_interrupted, CONCURRENT) {
  procpool *pool = open_blocked(start, 2, 1);
  pthread_t thread = test_thread(interrupt_soon, pool);
  CHECK_STATUS(procpool_wait_ready(pool, PROCPOOL_FOREVER), PROCPOOL_INTERRUPTED);
  (void)test_join(thread);
  procpool_interrupt(pool);
  CHECK_STATUS(procpool_wait_ready(pool, PROCPOOL_FOREVER), PROCPOOL_INTERRUPTED);
  CHECK_STATUS(procpool_wait_ready(pool, 0.01), PROCPOOL_PENDING);
  gate_add(&page->word[GATE], 1);
  CHECK_OK(procpool_wait_ready(pool, PROCPOOL_FOREVER));
  test_close(pool);
}

static void *shut_down_soon(void *pool) {
  usleep(50000);
  CHECK_STATUS(procpool_shutdown((procpool *)pool, PROCPOOL_DRAIN, 0), PROCPOOL_PENDING);
  return NULL;
}

TEST_STARTS(ready_ends_with_a_shutdown, CONCURRENT) {
  procpool *pool = open_blocked(start, 2, 1);
  pthread_t thread = test_thread(shut_down_soon, pool);
  CHECK_STATUS(procpool_wait_ready(pool, PROCPOOL_FOREVER), PROCPOOL_SHUTDOWN);
  (void)test_join(thread);
  gate_add(&page->word[GATE], 1);
  CHECK_OK(procpool_shutdown(pool, PROCPOOL_DRAIN, PROCPOOL_FOREVER));
  CHECK_STATUS(procpool_wait_ready(pool, PROCPOOL_FOREVER), PROCPOOL_SHUTDOWN);
  CHECK_OK(procpool_free(pool));
}

TEST_STARTS(ready_no_more_where_the_supervisor_is_killed, PROCESSES) {
  procpool *pool = open_blocked(start, 2, 1);
  const long supervisor = test_supervisor(pool);
  CHECK_EQ(kill((pid_t)supervisor, SIGKILL), 0);
  CHECK_STATUS(procpool_wait_ready(pool, PROCPOOL_FOREVER), PROCPOOL_BROKEN);
  CHECK_OK(procpool_free(pool));
}

/* ---- initializers that fail ---- */

static void expect_no_start(procpool_start start, procpool *pool, procpool_status expected, int code,
                            int signal_number) {
  procpool_error error;
  CHECK_STATUS(procpool_wait_ready(pool, PROCPOOL_FOREVER), expected);
  (void)procpool_last_error(&error);
  CHECK_STATUS(error.status, expected);
  if (start == PROCPOOL_START_THREAD) /* the first one that failed is enough */
    CHECK(strstr(error.message, "returned 5") != NULL);
  else
    CHECK_EQ(error.code, code);
  CHECK_EQ(error.signal, signal_number);
  CHECK_STATUS(procpool_wait_ready(pool, 0), expected);
  CHECK_OK(procpool_free(pool));
}

TEST_STARTS(ready_never_where_all_initializers_fail, CONCURRENT) {
  gate_add(&page->word[FAIL], 1000);
  expect_no_start(start, open_with(start, 2, 10, false), PROCPOOL_INIT_FAIL, 5, 0);
}

TEST_STARTS(ready_never_in_a_strict_pool_that_lost_one, PROCESSES) {
  gate_add(&page->word[DIE], 1);
  expect_no_start(start, open_with(start, 2, 10, true), PROCPOOL_BROKEN, 0, SIGKILL);
}

/* It is not replaced, and the others go on. */
TEST(ready_never_where_the_initializer_of_one_thread_fails) {
  procpool_error error;
  procpool *pool;
  gate_add(&page->word[FAIL], 1);
  pool = open_with(PROCPOOL_START_THREAD, 3, 50, false);
  CHECK_STATUS(procpool_wait_ready(pool, PROCPOOL_FOREVER), PROCPOOL_INIT_FAIL);
  (void)procpool_last_error(&error);
  CHECK(strstr(error.message, "returned 5") != NULL);
  CHECK_WORKS(pool);
  test_close(pool);
}

/* ---- initializers that say why ---- */

#define WHY "no licence for this machine"

PROCPOOL_FUNCTION(int, negative, int, x) {
  if (x < 0)
    procpool_task_fail(NULL, x, "no number below 0");
  return -x;
}

/* The first number says what it does with how many. */
enum { SAYS = 1, SAYS_AND_RETURNS_0, SAYS_MUCH, SAYS_FIRST_AND_DIES, SAYS_AND_DIES };

static int initializer_that_says(const void *argument, size_t size) {
  const test_job *job = (const test_job *)argument;
  char much[1000];
  CHECK_EQ(size, sizeof(*job));
  page_attach(job->host, job->descriptor);
  gate_add(&page->word[COME], 1);
  memset(much, 'x', sizeof(much) - 1);
  much[sizeof(much) - 1] = '\0';
  if (job->number == SAYS_FIRST_AND_DIES && gate_read(&page->word[COME]) > 1)
    raise(SIGKILL);
  procpool_task_fail(NULL, 77, job->number == SAYS_MUCH ? much : WHY);
  if (job->number == SAYS_AND_DIES)
    raise(SIGKILL);
  return job->number == SAYS_AND_RETURNS_0 ? 0 : 3;
}

static procpool_options options_that_say(const test_job *job) {
  procpool_options options = {0};
  options.initializer = initializer_that_says;
  options.initializer_argument = job;
  options.initializer_size = sizeof(*job);
  return options;
}

static procpool *open_that_says(procpool_start start, int workers, int what) {
  const test_job job = job_with(0, what);
  procpool_options options = options_that_say(&job);
  return test_open_with(start, workers, &options);
}

/* In whichever way the host asks. */
static void expect_why(procpool *pool, const char *why) {
  procpool_future *future = NULL;
  procpool_error error;
  int y = 0;
  CHECK_STATUS(procpool_wait_ready(pool, PROCPOOL_FOREVER), PROCPOOL_INIT_FAIL);
  CHECK_TEXT(procpool_last_message(), why);
  CHECK_STATUS(procpool_last_error(&error), PROCPOOL_INIT_FAIL);
  CHECK_EQ(error.code, 77);
  CHECK_GE(error.worker, 0);
  if (procpool_submit(pool, task_nothing, NULL, 0, NULL, &future) == PROCPOOL_OK) { /* threads: none has noticed yet */
    CHECK_SETTLES(future, PROCPOOL_INIT_FAIL);
    CHECK_TEXT(procpool_future_message(future), why);
    CHECK_OK(procpool_future_release(future));
  }
  CHECK_STATUS(procpool_submit(pool, task_nothing, NULL, 0, NULL, &future), PROCPOOL_INIT_FAIL);
  CHECK_TEXT(procpool_last_message(), why);
  CHECK_STATUS(negative_call(pool, 1, &y), PROCPOOL_INIT_FAIL);
  CHECK_TEXT(procpool_last_message(), why);
  CHECK_STATUS(procpool_last_error(&error), PROCPOOL_INIT_FAIL);
  CHECK_EQ(error.code, 77);
  CHECK_OK(procpool_free(pool));
}

TEST_STARTS(r065_initializer_says_why, CONCURRENT) {
  expect_why(open_that_says(start, 2, SAYS), WHY);
}
TEST_STARTS(r065_initializer_that_says_why_has_failed, CONCURRENT) {
  expect_why(open_that_says(start, 1, SAYS_AND_RETURNS_0), WHY);
}
TEST_STARTS(r065_initializer_says_much, CONCURRENT) {
  char why[192];
  memset(why, 'x', 191);
  why[191] = '\0';
  expect_why(open_that_says(start, 1, SAYS_MUCH), why);
}

TEST(r065_initializer_says_why_inline) {
  const test_job job = job_with(0, SAYS);
  procpool_options options = options_that_say(&job);
  options.start = PROCPOOL_START_INLINE;
  test_open_fails(&options, PROCPOOL_INIT_FAIL);
  CHECK_EQ(options.error->code, 77);
  CHECK_TEXT(options.error->message, WHY);
  CHECK_TEXT(procpool_last_message(), WHY);
}

static void expect_death(procpool *pool) {
  procpool_error error;
  CHECK_STATUS(procpool_wait_ready(pool, PROCPOOL_FOREVER), PROCPOOL_INIT_FAIL);
  (void)procpool_last_error(&error);
  CHECK_EQ(error.signal, SIGKILL);
  CHECK_EQ(error.code, 0);
  CHECK(strstr(error.message, WHY) == NULL);
  CHECK(strstr(error.message, "SIGKILL") != NULL);
  CHECK_OK(procpool_free(pool));
}

/* What one said is not the reason why the next one died. */
TEST_STARTS(r065_initializer_said_why_before_another_died, PROCESSES) {
  expect_death(open_that_says(start, 1, SAYS_FIRST_AND_DIES));
}
TEST_STARTS(r065_initializer_dies_after_it_said_why, PROCESSES) {
  expect_death(open_that_says(start, 1, SAYS_AND_DIES));
}

/* Functions that are not given their task fail in the same way; also within a map, and within a task of another pool. */
TEST_STARTS(typed_function_without_its_task_fails, EVERY) {
  const int in[3] = {1, -2, 3};
  int out[3] = {0, 0, 0}, y = 0;
  procpool_map_options options = {0};
  procpool_error error;
  procpool *pool = test_open(start, 1);
  options.error = &error;
  CHECK_STATUS(negative_call(pool, -4, &y), PROCPOOL_FAILED);
  CHECK_TEXT(procpool_last_message(), "no number below 0");
  CHECK_STATUS(procpool_last_error(&error), PROCPOOL_FAILED);
  CHECK_EQ(error.code, -4);
  CHECK_OK(negative_call(pool, 4, &y));
  CHECK_EQ(y, -4);
  CHECK_STATUS(negative_map_with(pool, in, out, 3, &options), PROCPOOL_FAILED);
  CHECK_EQ(options.failed_item, 1);
  CHECK_EQ(options.failed_count, 1);
  CHECK_EQ(error.code, -2);
  CHECK_EQ(out[2], -3);
  procpool_task_fail(NULL, 1, "no task runs here");
  CHECK_WORKS(pool);
  test_close(pool);
}

TEST_STARTS(ready_when_those_that_died_are_replaced, PROCESSES) {
  procpool *pool;
  gate_add(&page->word[DIE], 2);
  gate_add(&page->word[FAIL], 1);
  pool = open_with(start, 3, 10, false);
  CHECK_OK(procpool_wait_ready(pool, PROCPOOL_FOREVER));
  CHECK_EQ(gate_read(&page->word[COME]), 6);
  CHECK_EQ(gate_read(&page->word[THROUGH]), 3);
  test_close(pool);
}

/* ---- later ---- */

TEST_STARTS(ready_again_when_a_worker_is_replaced, PROCESSES) {
  const test_job job = job_with(0, SIGKILL);
  procpool *pool = open_with(start, 2, 0, false);
  procpool_future *future;
  CHECK_OK(procpool_wait_ready(pool, PROCPOOL_FOREVER));
  gate_add(&page->word[BLOCKS], 1);
  future = test_submit(pool, task_die, &job, sizeof(job));
  CHECK_SETTLES(future, PROCPOOL_CRASHED);
  CHECK_OK(procpool_future_release(future));
  CHECK_STATUS(procpool_wait_ready(pool, 0.05), PROCPOOL_PENDING);
  gate_add(&page->word[GATE], 1);
  CHECK_OK(procpool_wait_ready(pool, PROCPOOL_FOREVER));
  CHECK_EQ(gate_read(&page->word[THROUGH]), 3);
  test_close(pool);
}

/* ---- inside ---- */

static procpool *inside;
static procpool_status seen[3];

static void look_inside(void) {
  seen[0] = procpool_wait_ready(inside, 0);
  seen[1] = procpool_wait_ready(inside, PROCPOOL_FOREVER);
}

static void callback_looks(procpool_future *future, void *context) {
  (void)future;
  (void)context;
  look_inside();
}

static void run_callback(procpool *pool) {
  procpool_future *future = test_submit(pool, task_nothing, NULL, 0);
  CHECK_OK(procpool_future_add_done_callback(future, callback_looks, NULL));
  CHECK_SETTLES(future, PROCPOOL_OK);
  CHECK_OK(procpool_future_release(future));
}

TEST_STARTS(ready_in_a_callback, CONCURRENT) {
  procpool *pool = inside = open_blocked(start, 2, 1);
  run_callback(pool);
  CHECK_STATUS(seen[0], PROCPOOL_PENDING);
  CHECK_STATUS(seen[1], PROCPOOL_DEADLOCK);
  gate_add(&page->word[GATE], 1);
  CHECK_OK(procpool_wait_ready(pool, PROCPOOL_FOREVER));
  run_callback(pool);
  CHECK_STATUS(seen[0], PROCPOOL_OK);
  CHECK_STATUS(seen[1], PROCPOOL_OK);
  test_close(pool);
}

static void task_looks(procpool_task *task) {
  (void)task;
  look_inside();
}

TEST_STARTS(ready_in_a_task, THREAD | INLINE) {
  const bool threads = start == PROCPOOL_START_THREAD;
  procpool *pool = inside = open_blocked(start, threads ? 2 : 1, threads ? 1 : 0);
  procpool_future *future = test_submit(pool, task_looks, NULL, 0);
  CHECK_SETTLES(future, PROCPOOL_OK);
  CHECK_OK(procpool_future_release(future));
  CHECK_STATUS(seen[0], threads ? PROCPOOL_PENDING : PROCPOOL_OK);
  CHECK_STATUS(seen[1], threads ? PROCPOOL_DEADLOCK : PROCPOOL_OK);
  gate_add(&page->word[GATE], 1);
  test_close(pool);
}

/* It runs callbacks, as every wait does. */
static void callback_counts(procpool_future *future, void *context) {
  (void)future;
  gate_add((int *)context, 1);
}

TEST_STARTS(ready_runs_callbacks, CONCURRENT) {
  procpool *pool = open_blocked(start, 2, 1);
  procpool_future *future = test_submit(pool, task_nothing, NULL, 0);
  int called = 0;
  CHECK_OK(procpool_future_add_done_callback(future, callback_counts, &called));
  while (called == 0)
    CHECK_STATUS(procpool_wait_ready(pool, 0.05), PROCPOOL_PENDING);
  CHECK_OK(procpool_future_release(future));
  gate_add(&page->word[GATE], 1);
  CHECK_OK(procpool_wait_ready(pool, PROCPOOL_FOREVER));
  test_close(pool);
}
