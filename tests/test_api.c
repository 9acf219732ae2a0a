/* What the calls tell: errors that are not lost, which item a future is, one submit, one shutdown, poll, close. */
#include "harness.h"

#include <math.h>
#include <stdint.h>
#include <string.h>

static void task_long_failure(procpool_task *task) {
  size_t size;
  const size_t *length = (const size_t *)procpool_task_argument(task, &size);
  char *text = (char *)malloc(*length + 1);
  if (text == NULL)
    return;
  memset(text, 'x', *length);
  text[*length] = 0;
  if (*length > 0)
    text[*length - 1] = 'z';
  procpool_task_fail(task, 7, text);
  free(text);
}

static void check_long_text(const char *text, size_t length) {
  CHECK_EQ(strlen(text), length);
  for (size_t i = 0; i + 1 < length; i++)
    CHECK_EQ(text[i], 'x');
  CHECK(length == 0 || text[length - 1] == 'z');
}

/* By the ring's size: in the record, as one record, in pieces. */
TEST_STARTS(message_of_any_length, EVERY) {
  static const size_t lengths[] = {0, 1, 190, 191, 192, 193, 1000, 2047, 2048, 2049, 5000, 100000, 3000000};
  procpool_options options;
  procpool *pool;
  memset(&options, 0, sizeof(options));
  options.ring_size = 4096;
  pool = test_open_with(start, 1, &options);
  for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
    procpool_future *future;
    procpool_error error;
    CHECK_OK(procpool_submit(pool, task_long_failure, &lengths[i], sizeof(lengths[i]), NULL, &future));
    CHECK_STATUS(procpool_future_wait(future, PROCPOOL_FOREVER), PROCPOOL_FAILED);
    CHECK_OK(procpool_future_error(future, &error));
    CHECK_EQ(error.code, 7);
    CHECK_EQ(strlen(error.message), lengths[i] < 191 ? lengths[i] : 191);
    check_long_text(procpool_future_message(future), lengths[i]);
    CHECK(procpool_future_data(future, NULL) == NULL); /* the text is no result */
    CHECK_OK(procpool_future_release(future));
    CHECK_STATUS(procpool_call(pool, task_long_failure, &lengths[i], sizeof(lengths[i]), NULL, 0, NULL, NULL),
                 PROCPOOL_FAILED);
    check_long_text(procpool_last_message(), lengths[i]);
    CHECK_STATUS(procpool_last_error(&error), PROCPOOL_FAILED);
    CHECK_EQ(error.code, 7);
  }
  test_close(pool);
}

/* A task that has a place for its result has none for a long text: it is cut. */
TEST_STARTS(message_beside_a_place_is_cut, EVERY) {
  const size_t length = 5000;
  procpool *pool = test_open(start, 1);
  procpool_submit_options options;
  procpool_future *future;
  memset(&options, 0, sizeof(options));
  options.result_size = 64;
  options.result = procpool_shared_alloc(pool, options.result_size);
  CHECK(options.result != NULL);
  CHECK_OK(procpool_submit(pool, task_long_failure, &length, sizeof(length), &options, &future));
  CHECK_STATUS(procpool_future_wait(future, PROCPOOL_FOREVER), PROCPOOL_FAILED);
  CHECK_EQ(strlen(procpool_future_message(future)), 191);
  CHECK_OK(procpool_future_release(future));
  test_close(pool);
}

/* A later failure of the same task replaces the earlier one, and a short one a long one. */
static void task_fails_twice(procpool_task *task) {
  char text[1000];
  memset(text, 'x', sizeof(text));
  text[sizeof(text) - 1] = 0;
  procpool_task_fail(task, 1, text);
  procpool_task_fail(task, 2, "short");
}

TEST_STARTS(message_of_the_last_failure, EVERY) {
  procpool *pool = test_open(start, 1);
  procpool_error error;
  CHECK_STATUS(procpool_call(pool, task_fails_twice, NULL, 0, NULL, 0, NULL, NULL), PROCPOOL_FAILED);
  CHECK_STATUS(procpool_last_error(&error), PROCPOOL_FAILED);
  CHECK_EQ(error.code, 2);
  CHECK_TEXT(procpool_last_message(), "short");
  test_close(pool);
}

TEST_STARTS(message_of_what_went_well, EVERY) {
  procpool *pool = test_open(start, 1);
  procpool_future *future;
  CHECK_OK(procpool_submit(pool, task_nothing, NULL, 0, NULL, &future));
  CHECK_OK(procpool_future_wait(future, PROCPOOL_FOREVER));
  CHECK_TEXT(procpool_future_message(future), "");
  CHECK_OK(procpool_future_release(future));
  CHECK_TEXT(procpool_future_message(NULL), procpool_strerror(PROCPOOL_HANDLE));
  test_close(pool);
}

static void task_segv(procpool_task *task) {
  (void)task;
  (void)raise(SIGSEGV);
}

TEST_STARTS(message_names_the_signal, PROCESSES) {
  procpool *pool = test_open(start, 1);
  procpool_error error;
  CHECK_STATUS(procpool_call(pool, task_segv, NULL, 0, NULL, 0, NULL, NULL), PROCPOOL_CRASHED);
  CHECK_STATUS(procpool_last_error(&error), PROCPOOL_CRASHED);
  CHECK_EQ(error.signal, SIGSEGV);
  CHECK(strstr(error.message, "signal 11 (SIGSEGV)") != NULL);
  test_close(pool);
}

/* ---- the last error is a thread's own ---- */

static void *refused_elsewhere(void *pool) {
  procpool_error error;
  CHECK_STATUS(procpool_last_error(&error), PROCPOOL_OK);
  CHECK_EQ(error.worker, -1);
  CHECK_STATUS(procpool_poll((procpool *)pool, NAN), PROCPOOL_ARGUMENT);
  CHECK_STATUS(procpool_last_error(&error), PROCPOOL_ARGUMENT);
  CHECK_TEXT(error.message, "a time is not a number");
  return NULL;
}

TEST_STARTS(last_error_is_the_threads_own, EVERY) {
  procpool *pool = test_open(start, 1);
  procpool_error error;
  pthread_t thread;
  CHECK_STATUS(procpool_submit(pool, NULL, NULL, 0, NULL, NULL), PROCPOOL_ARGUMENT);
  CHECK_EQ(pthread_create(&thread, NULL, refused_elsewhere, pool), 0);
  CHECK_EQ(pthread_join(thread, NULL), 0);
  CHECK_STATUS(procpool_last_error(&error), PROCPOOL_ARGUMENT);
  CHECK_TEXT(error.message,
             "the function is null; or argument or result has a size but is null, or no memory is that large");
  CHECK_OK(procpool_call(pool, task_nothing, NULL, 0, NULL, 0, NULL, NULL));
  CHECK_STATUS(procpool_last_error(&error), PROCPOOL_ARGUMENT); /* success changes nothing */
  test_close(pool);
}

/* Every refusal is told, and by what it is about. */
TEST_STARTS(last_error_of_every_refusal, EVERY) {
  procpool *pool = test_open(start, 1);
  procpool_future *future = NULL;
  procpool_iterator *iterator;
  procpool_error error;
  int n = 0;
#define REFUSED(call, expected)                                                                                        \
  do {                                                                                                                 \
    CHECK_STATUS(call, expected);                                                                                      \
    CHECK_STATUS(procpool_last_error(&error), expected);                                                               \
    CHECK(error.message[0] != 0);                                                                                      \
  } while (0)
  REFUSED(procpool_wait(&future, 1, PROCPOOL_ALL_COMPLETED, 0, NULL), PROCPOOL_HANDLE);
  REFUSED(procpool_wait(NULL, 1, PROCPOOL_ALL_COMPLETED, 0, NULL), PROCPOOL_ARGUMENT);
  REFUSED(procpool_as_completed(NULL, 1, &iterator), PROCPOOL_ARGUMENT);
  REFUSED(procpool_future_wait(NULL, 0), PROCPOOL_HANDLE);
  REFUSED(procpool_shared_free(pool, &n), PROCPOOL_ARGUMENT);
  REFUSED(procpool_shutdown(pool, (procpool_shutdown_mode)7, 0), PROCPOOL_ARGUMENT);
  REFUSED(procpool_map(pool, NULL, &n, sizeof(n), &n, sizeof(n), 1, NULL), PROCPOOL_ARGUMENT);
  REFUSED(procpool_get_stats_sized(pool, NULL, 0), PROCPOOL_ARGUMENT);
  REFUSED(procpool_next(NULL, 0, &future), PROCPOOL_HANDLE);
  REFUSED(procpool_cancel_many(NULL, 1, NULL), PROCPOOL_ARGUMENT);
#undef REFUSED
  test_close(pool);
}

TEST_STARTS(last_error_says_why_the_pool_takes_no_more, EVERY) {
  procpool *pool = test_open(start, 1);
  procpool_error error;
  CHECK_OK(procpool_shutdown(pool, PROCPOOL_DRAIN, PROCPOOL_FOREVER));
  CHECK_STATUS(procpool_submit(pool, task_nothing, NULL, 0, NULL, NULL), PROCPOOL_SHUTDOWN);
  CHECK_STATUS(procpool_last_error(&error), PROCPOOL_SHUTDOWN);
  CHECK_STATUS(procpool_call(pool, task_nothing, NULL, 0, NULL, 0, NULL, NULL), PROCPOOL_SHUTDOWN);
  CHECK_OK(procpool_free(pool));
}

/* ---- a call ---- */

static int count_up(void *context, void *item);

TEST_STARTS(call_gives_the_result, EVERY) {
  procpool *pool = test_open(start, 2);
  procpool_stats stats;
  size_t size = 1;
  int in = 21, out = 0;
  CHECK_OK(procpool_call(pool, task_twice, &in, sizeof(in), &out, sizeof(out), &size, NULL));
  CHECK_EQ(out, 42);
  CHECK_EQ(size, sizeof(out));
  CHECK_STATUS(procpool_call(pool, task_twice, &in, sizeof(in), &out, 1, &size, NULL), PROCPOOL_TOO_SMALL);
  CHECK_EQ(size, sizeof(out));
  CHECK_STATUS(procpool_call(pool, task_twice, &in, sizeof(in), NULL, 1, &size, NULL), PROCPOOL_ARGUMENT);
  CHECK_STATUS(procpool_call(NULL, task_twice, &in, sizeof(in), &out, sizeof(out), NULL, NULL), PROCPOOL_HANDLE);
  CHECK_OK(procpool_get_stats(pool, &stats));
  CHECK_EQ(stats.futures, 0);
  CHECK_EQ(stats.submitted, 2);
  test_close(pool);
}

static void release_it(procpool_future *future, void *context) {
  CHECK_OK(procpool_future_release(future));
  ++*(int *)context;
}

TEST_STARTS(call_whose_callback_releases_the_future, EVERY) {
  procpool *pool = test_open(start, 1);
  procpool_submit_options options;
  procpool_stats stats;
  int in = 21, out = 0, called = 0;
  memset(&options, 0, sizeof(options));
  options.callback = release_it;
  options.user = &called;
  CHECK_OK(procpool_call(pool, task_twice, &in, sizeof(in), &out, sizeof(out), NULL, &options));
  CHECK_EQ(out, 42);
  CHECK_EQ(called, 1);
  CHECK_OK(procpool_get_stats(pool, &stats));
  CHECK_EQ(stats.futures, 0);
  test_close(pool);
}

/* The same while another thread runs the callbacks: it may release the future before the call waits. */
static void release_if_it_can(procpool_future *future, void *context) {
  (void)procpool_future_release(future);
  __atomic_fetch_add((int *)context, 1, __ATOMIC_RELAXED);
}

typedef struct polling {
  procpool *pool;
  int over;
} polling;

static void *keep_polling(void *context) {
  polling *p = (polling *)context;
  while (__atomic_load_n(&p->over, __ATOMIC_ACQUIRE) == 0)
    (void)procpool_poll(p->pool, 0.001);
  return NULL;
}

TEST_STARTS(call_whose_callback_runs_elsewhere, FORK | THREAD) {
  procpool *pool = test_open(start, 1);
  polling beside = {pool, 0};
  const pthread_t thread = test_thread(keep_polling, &beside);
  procpool_submit_options options;
  unsigned char in[64], out[64];
  int called = 0;
  memset(&options, 0, sizeof(options));
  options.callback = release_if_it_can;
  options.user = &called;
  for (int i = 0; i < test_rounds(2000); i++) {
    memset(in, i, sizeof(in));
    CHECK_OK(procpool_call(pool, task_echo, in, sizeof(in), out, sizeof(out), NULL, &options));
    CHECK_BYTES(out, in, sizeof(in));
  }
  __atomic_store_n(&beside.over, 1, __ATOMIC_RELEASE);
  (void)test_join(thread);
  test_close(pool);
  CHECK_EQ(called, test_rounds(2000));
}

/* What a wait returns is the outcome of the future that it got, though a callback gave that back, and another task has
 * its place by then. */
static void replace_it(procpool_future *future, void *context) {
  procpool_future **next = (procpool_future **)context;
  procpool *pool = procpool_future_pool(future);
  const test_job job = job_of(0);
  CHECK_OK(procpool_submit(pool, task_gate, &job, sizeof(job), NULL, next));
}

TEST_STARTS(wait_whose_callback_replaces_the_future, CONCURRENT) {
  procpool *pool = test_open(start, 1);
  procpool_submit_options options;
  procpool_future *future, *next = NULL;
  int released = 0;
  memset(&options, 0, sizeof(options));
  options.callback = release_if_it_can;
  options.user = &released;
  CHECK_OK(procpool_submit(pool, task_nothing, NULL, 0, &options, &future));
  options.callback = replace_it; /* runs behind that one, in the same wait */
  options.user = &next;
  CHECK_OK(procpool_submit(pool, task_nothing, NULL, 0, &options, NULL));
  (void)usleep(100000); /* its result is there as the wait begins */
  CHECK_OK(procpool_future_wait(future, PROCPOOL_FOREVER));
  CHECK(released == 1 && next != NULL);
  (void)gate_add(&page->word[0], 1);
  CHECK_SETTLES(next, PROCPOOL_OK);
  CHECK_OK(procpool_future_release(next));
  test_close(pool);
}

/* A full queue is an answer, and tells nothing; nor does what an imap gets over. */
TEST_STARTS(last_error_is_not_that_the_queue_is_full, CONCURRENT) {
  procpool_options pool_options;
  procpool *pool;
  const size_t length = 1000;
  const char *text;
  procpool_imap_options options;
  procpool_iterator *iterator;
  procpool_future *future;
  int next = 0, n = 0;
  memset(&pool_options, 0, sizeof(pool_options));
  pool_options.max_queued = 4;
  pool = test_open_with(start, 1, &pool_options);
  CHECK_STATUS(procpool_call(pool, task_long_failure, &length, sizeof(length), NULL, 0, NULL, NULL), PROCPOOL_FAILED);
  text = procpool_last_message();
  check_long_text(text, length);
  memset(&options, 0, sizeof(options));
  options.buffersize = 64;
  CHECK_OK(procpool_imap(pool, task_twice, count_up, &next, sizeof(int), &options, &iterator));
  while (procpool_next(iterator, PROCPOOL_FOREVER, &future) == PROCPOOL_OK)
    n++;
  CHECK_EQ(n, 500);
  procpool_iterator_free(iterator);
  while (try_submit(pool, task_nothing, NULL, 0, NULL) == PROCPOOL_OK)
    ;
  CHECK_STATUS(procpool_last_error(NULL), PROCPOOL_FAILED);
  CHECK(procpool_last_message() == text);
  check_long_text(text, length);
  test_close(pool);
}

/* A refusal without a text of its own, behind one of the same status with such a text. */
TEST_STARTS(last_error_is_not_the_one_before, EVERY) {
  procpool *pool = test_open(start, 1);
  procpool_submit_options options;
  procpool_stats stats;
  memset(&options, 0, sizeof(options));
  options.struct_size = 1;
  CHECK_STATUS(procpool_submit(pool, task_nothing, NULL, 0, &options, NULL), PROCPOOL_MISMATCH);
  CHECK(strstr(procpool_last_message(), "struct_size") != NULL);
  CHECK_STATUS(procpool_get_stats_sized(pool, &stats, 8), PROCPOOL_MISMATCH);
  CHECK_TEXT(procpool_last_message(), procpool_strerror(PROCPOOL_MISMATCH));
  test_close(pool);
}

/* A callback has one pointer of the user's, and the pool by its future. */
static void hand_out_more(procpool_future *future, void *context) {
  int *left = (int *)context;
  procpool_submit_options options;
  memset(&options, 0, sizeof(options));
  options.callback = hand_out_more;
  options.user = left;
  if (--*left > 0)
    CHECK_OK(procpool_submit(procpool_future_pool(future), task_nothing, NULL, 0, &options, NULL));
}

TEST_STARTS(callback_hands_out_more, EVERY) {
  procpool *pool = test_open(start, 1);
  procpool_future *future;
  int left = 20;
  procpool_submit_options options;
  memset(&options, 0, sizeof(options));
  options.callback = hand_out_more;
  options.user = &left;
  CHECK_OK(procpool_submit(pool, task_nothing, NULL, 0, &options, NULL));
  while (procpool_poll(pool, PROCPOOL_FOREVER) == PROCPOOL_OK)
    ;
  CHECK_EQ(left, 0);
  CHECK_OK(procpool_submit(pool, task_nothing, NULL, 0, NULL, &future));
  CHECK(procpool_future_pool(future) == pool);
  test_close(pool);
  CHECK(procpool_future_pool(future) == NULL);
  CHECK(procpool_future_pool(NULL) == NULL);
  CHECK_OK(procpool_future_release(future));
}

/* Why there is no pool, where no error was asked for. */
TEST(last_error_of_an_open_that_failed) {
  procpool_options options;
  procpool_error error;
  memset(&options, 0, sizeof(options));
  options.max_workers = -1;
  CHECK(procpool_open(&options) == NULL);
  CHECK_STATUS(procpool_last_error(&error), PROCPOOL_ARGUMENT);
  CHECK(strstr(procpool_last_message(), "max_workers") != NULL);
  CHECK(procpool_process_start(NULL, NULL, NULL, 0) == NULL);
  CHECK_STATUS(procpool_last_error(&error), PROCPOOL_ARGUMENT);
  CHECK(strstr(error.message, "max_workers") == NULL);
}

/* A map that is refused has told of its items: none has begun. */
TEST_STARTS(map_that_is_refused_tells_of_its_items, EVERY) {
  procpool *pool = test_open(start, 1);
  procpool_map_options options;
  procpool_status statuses[2] = {PROCPOOL_OK, PROCPOOL_OK};
  procpool_error errors[2];
  int in[2] = {1, 2}, out[2];
  memset(&options, 0, sizeof(options));
  memset(errors, 0x5a, sizeof(errors));
  options.statuses = statuses;
  options.errors = errors;
  CHECK_OK(procpool_shutdown(pool, PROCPOOL_DRAIN, PROCPOOL_FOREVER));
  CHECK_STATUS(procpool_map(pool, task_twice, in, sizeof(in[0]), out, sizeof(out[0]), 2, &options), PROCPOOL_SHUTDOWN);
  for (int i = 0; i < 2; i++) {
    CHECK_STATUS(statuses[i], PROCPOOL_PENDING);
    CHECK_STATUS(errors[i].status, PROCPOOL_PENDING);
  }
  CHECK_OK(procpool_free(pool));
}

static void call_within(procpool_future *future, void *context) {
  procpool_stats stats;
  (void)future;
  CHECK_STATUS(procpool_call((procpool *)context, task_nothing, NULL, 0, NULL, 0, NULL, NULL), PROCPOOL_DEADLOCK);
  CHECK_OK(procpool_get_stats((procpool *)context, &stats));
  CHECK_EQ(stats.submitted, 1); /* nothing was submitted */
}

TEST_STARTS(call_in_a_callback_is_refused, EVERY) {
  procpool *pool = test_open(start, 1);
  procpool_submit_options options;
  memset(&options, 0, sizeof(options));
  options.callback = call_within;
  options.user = pool;
  CHECK_OK(procpool_submit(pool, task_nothing, NULL, 0, &options, NULL));
  test_close(pool);
}

/* ---- which item ---- */

typedef struct seen {
  int called[64];
  size_t calls;
} seen;

static void note_index(procpool_future *future, void *context) {
  seen *s = (seen *)context;
  int out;
  CHECK(procpool_future_user(future) == context);
  CHECK_OK(procpool_future_result(future, 0, &out, sizeof(out), NULL));
  CHECK_EQ(out, 2 * (int)procpool_future_index(future));
  s->called[procpool_future_index(future)]++;
  s->calls++;
}

TEST_STARTS(index_of_many_in_callbacks, EVERY) {
  procpool *pool = test_open(start, 2);
  procpool_submit_options options;
  procpool_stats stats;
  seen s;
  int in[64];
  memset(&s, 0, sizeof(s));
  memset(&options, 0, sizeof(options));
  options.callback = note_index;
  options.user = &s;
  options.struct_size = sizeof(options);
  for (int i = 0; i < 64; i++)
    in[i] = i;
  CHECK_OK(procpool_submit_many(pool, task_twice, in, sizeof(in[0]), 64, &options, NULL, NULL));
  while (procpool_poll(pool, PROCPOOL_FOREVER) == PROCPOOL_OK)
    ;
  CHECK_STATUS(procpool_poll(pool, PROCPOOL_FOREVER), PROCPOOL_END);
  CHECK_EQ(s.calls, 64);
  for (int i = 0; i < 64; i++)
    CHECK_EQ(s.called[i], 1);
  CHECK_OK(procpool_get_stats(pool, &stats));
  CHECK_EQ(stats.futures, 0);
  test_close(pool);
}

TEST_STARTS(index_of_what_as_completed_delivers, EVERY) {
  procpool *pool = test_open(start, 2);
  procpool_future *futures[32], *future;
  procpool_iterator *iterator;
  int in[32], seen_at[32], n = 0;
  memset(seen_at, 0, sizeof(seen_at));
  for (int i = 0; i < 32; i++)
    in[i] = i;
  CHECK_OK(procpool_submit_many(pool, task_twice, in, sizeof(in[0]), 32, NULL, futures, NULL));
  for (int i = 0; i < 16; i++) { /* the list need not be in the order of the submit */
    future = futures[i];
    futures[i] = futures[31 - i];
    futures[31 - i] = future;
  }
  CHECK_OK(procpool_as_completed(futures, 32, &iterator));
  CHECK_EQ(procpool_iterator_index(iterator), SIZE_MAX);
  while (procpool_next(iterator, PROCPOOL_FOREVER, &future) == PROCPOOL_OK) {
    const size_t at = procpool_iterator_index(iterator);
    CHECK(at < 32 && futures[at] == future);
    CHECK_EQ(procpool_future_index(future), 31 - at);
    seen_at[at]++;
    n++;
  }
  CHECK_EQ(n, 32);
  for (int i = 0; i < 32; i++)
    CHECK_EQ(seen_at[i], 1);
  procpool_iterator_free(iterator);
  CHECK_EQ(procpool_iterator_index(NULL), SIZE_MAX);
  CHECK_OK(procpool_release_many(futures, 32));
  CHECK(futures[0] == NULL && futures[31] == NULL);
  test_close(pool);
}

static int count_up(void *context, void *item) {
  int *next = (int *)context;
  if (*next == 500)
    return 0;
  memcpy(item, next, sizeof(*next));
  ++*next;
  return 1;
}

static void check_imap_indices(procpool_start start, bool unordered) {
  procpool *pool = test_open(start, 2);
  procpool_imap_options options;
  procpool_iterator *iterator;
  procpool_future *future;
  int next = 0, n = 0, out;
  memset(&options, 0, sizeof(options));
  options.unordered = unordered;
  options.user = &n;
  CHECK_OK(procpool_imap(pool, task_twice, count_up, &next, sizeof(int), &options, &iterator));
  for (; procpool_next(iterator, PROCPOOL_FOREVER, &future) == PROCPOOL_OK; n++) {
    CHECK_OK(procpool_future_result(future, 0, &out, sizeof(out), NULL));
    CHECK_EQ(out, 2 * (int)procpool_future_index(future));
    CHECK_EQ(procpool_iterator_index(iterator), procpool_future_index(future));
    CHECK(unordered || procpool_future_index(future) == (size_t)n);
    CHECK(procpool_future_user(future) == &n);
  }
  CHECK_EQ(n, 500);
  procpool_iterator_free(iterator);
  test_close(pool);
}
TEST_STARTS(index_of_imap_in_order, EVERY) {
  check_imap_indices(start, false);
}
TEST_STARTS(index_of_imap_unordered, EVERY) {
  check_imap_indices(start, true);
}

/* ---- a map tells of each item ---- */

static void task_picky(procpool_task *task) {
  const int in = *(const int *)procpool_task_argument(task, NULL);
  char text[64];
  (void)snprintf(text, sizeof(text), "item %d is no good", in);
  if (in % 3 == 1)
    procpool_task_fail(task, in, text);
  else if (in % 30 == 2)
    (void)raise(SIGKILL);
  else
    procpool_task_return(task, &in, sizeof(in));
}

static void check_map_errors(procpool *pool, int count, size_t chunksize) {
  int in[300], out[300];
  procpool_error errors[300], first;
  procpool_status statuses[300];
  procpool_map_options options;
  const bool dies = procpool_start_method(pool) <= PROCPOOL_START_SPAWN;
  memset(&options, 0, sizeof(options));
  options.errors = errors;
  options.error = &first;
  options.statuses = statuses;
  options.chunksize = chunksize;
  for (int i = 0; i < count; i++)
    in[i] = !dies && i % 30 == 2 ? 0 : i;
  CHECK_STATUS(procpool_map(pool, task_picky, in, sizeof(in[0]), out, sizeof(out[0]), (size_t)count, &options),
               PROCPOOL_FAILED);
  CHECK_EQ(first.index, 1);
  for (int i = 0; i < count; i++) {
    char text[64];
    const procpool_status expected = in[i] % 3 == 1            ? PROCPOOL_FAILED
                                     : dies && in[i] % 30 == 2 ? PROCPOOL_CRASHED
                                                               : PROCPOOL_OK;
    CHECK_STATUS(errors[i].status, expected);
    CHECK_STATUS(statuses[i], expected);
    CHECK_EQ(errors[i].index, i);
    (void)snprintf(text, sizeof(text), "item %d is no good", in[i]);
    if (expected == PROCPOOL_FAILED)
      CHECK_TEXT(errors[i].message, text);
    if (expected == PROCPOOL_FAILED)
      CHECK_EQ(errors[i].code, in[i]);
    if (expected == PROCPOOL_CRASHED)
      CHECK_EQ(errors[i].signal, SIGKILL);
    if (expected == PROCPOOL_OK)
      CHECK_TEXT(errors[i].message, "");
  }
  CHECK_STATUS(procpool_last_error(&first), PROCPOOL_FAILED);
  CHECK_EQ(first.index, 1);
  CHECK_TEXT(first.message, "item 1 is no good");
}

TEST_STARTS(map_tells_of_each_item, EVERY) {
  procpool *pool = test_open(start, 2);
  check_map_errors(pool, 300, 0);
  check_map_errors(pool, 300, 1);
  check_map_errors(pool, 300, 100);
  check_map_errors(pool, 2, 7);
  test_close(pool);
}

/* ---- poll, done, close ---- */

static void task_sleep(procpool_task *task) {
  const double seconds = *(const double *)procpool_task_argument(task, NULL);
  const double end = test_now() + seconds;
  while (test_now() < end)
    (void)usleep(1000);
}

TEST_STARTS(done_takes_in_what_has_come, EVERY) {
  procpool *pool = test_open(start, 1);
  procpool_future *future;
  CHECK_OK(procpool_submit(pool, task_nothing, NULL, 0, NULL, &future));
  while (!procpool_future_done(future))
    ;
  CHECK_STATUS(procpool_future_status(future), PROCPOOL_OK);
  CHECK_OK(procpool_future_release(future));
  CHECK_OK(procpool_submit(pool, task_nothing, NULL, 0, NULL, &future));
  while (procpool_future_status(future) == PROCPOOL_PENDING)
    ;
  CHECK_OK(procpool_future_release(future));
  test_close(pool);
}

/* It ends too where the worker's supervisor is gone and no other call is made. */
TEST_STARTS(done_ends_where_the_pool_breaks, PROCESSES) {
  procpool *pool = test_open(start, 1);
  procpool_future *future;
  const double seconds = 3600;
  const long supervisor = test_supervisor(pool);
  CHECK_OK(procpool_submit(pool, task_sleep, &seconds, sizeof(seconds), NULL, &future));
  while (!procpool_future_running(future))
    ;
  CHECK_EQ(kill((pid_t)supervisor, SIGKILL), 0);
  while (!procpool_future_done(future))
    ;
  CHECK_STATUS(procpool_future_status(future), PROCPOOL_BROKEN);
  CHECK_OK(procpool_future_release(future));
  CHECK_OK(procpool_free(pool));
}

TEST_STARTS(done_runs_no_callback, EVERY) {
  procpool *pool = test_open(start, 1);
  procpool_submit_options options;
  procpool_future *future;
  seen s;
  int in = 0;
  memset(&s, 0, sizeof(s));
  memset(&options, 0, sizeof(options));
  options.callback = note_index;
  options.user = &s;
  CHECK_OK(procpool_submit(pool, task_twice, &in, sizeof(in), &options, &future));
  while (!procpool_future_done(future))
    ;
  CHECK_EQ(s.calls, 0);
  CHECK_OK(procpool_future_release(future));
  CHECK_POLL(procpool_poll(pool, 0));
  CHECK_EQ(s.calls, 1);
  test_close(pool);
}

TEST_STARTS(poll_says_what_there_is, CONCURRENT) {
  procpool *pool = test_open(start, 1);
  procpool_future *future;
  double seconds = 0.2, begin;
  CHECK_STATUS(procpool_poll(pool, 0), PROCPOOL_END);
  CHECK_OK(procpool_submit(pool, task_sleep, &seconds, sizeof(seconds), NULL, &future));
  CHECK_STATUS(procpool_poll(pool, 0), PROCPOOL_PENDING);
  begin = test_now();
  CHECK_STATUS(procpool_poll(pool, 0.05), PROCPOOL_PENDING);
  CHECK_SECONDS(test_now() - begin, >=, 0.05);
  CHECK_STATUS(procpool_poll(pool, PROCPOOL_FOREVER), PROCPOOL_OK);
  CHECK_STATUS(procpool_future_status(future), PROCPOOL_OK);
  CHECK_STATUS(procpool_poll(pool, PROCPOOL_FOREVER), PROCPOOL_END);
  CHECK_OK(procpool_submit(pool, task_sleep, &seconds, sizeof(seconds), NULL, NULL));
  procpool_interrupt(pool);
  CHECK_STATUS(procpool_poll(pool, PROCPOOL_FOREVER), PROCPOOL_INTERRUPTED);
  CHECK_OK(procpool_future_release(future));
  test_close(pool);
}

static void poll_within(procpool_future *future, void *context) {
  (void)future;
  CHECK_STATUS(procpool_poll((procpool *)context, 0), PROCPOOL_PENDING);
  CHECK_STATUS(procpool_poll((procpool *)context, 1), PROCPOOL_DEADLOCK);
  (void)gate_add(&page->word[0], 1);
}

TEST_STARTS(poll_that_waits_in_a_callback_is_refused, CONCURRENT) {
  procpool *pool = test_open(start, 1);
  const test_job job = job_of(0);
  procpool_submit_options options;
  memset(&options, 0, sizeof(options));
  options.callback = poll_within;
  options.user = pool;
  CHECK_OK(procpool_submit(pool, task_nothing, NULL, 0, &options, NULL));
  CHECK_OK(procpool_submit(pool, task_gate, &job, sizeof(job), NULL, NULL));
  while (procpool_poll(pool, PROCPOOL_FOREVER) == PROCPOOL_OK)
    ;
  test_close(pool);
}

TEST_STARTS(close_lets_all_run, EVERY) {
  procpool *pool = test_open(start, 2);
  procpool_submit_options options;
  seen s;
  int in[64];
  memset(&s, 0, sizeof(s));
  memset(&options, 0, sizeof(options));
  options.callback = note_index;
  options.user = &s;
  for (int i = 0; i < 64; i++)
    in[i] = i;
  CHECK_OK(procpool_submit_many(pool, task_twice, in, sizeof(in[0]), 64, &options, NULL, NULL));
  procpool_interrupt(pool); /* does not end it */
  CHECK_OK(procpool_close(pool));
  CHECK_EQ(s.calls, 64);
  CHECK_OK(procpool_close(NULL));
}

static void close_within(procpool_future *future, void *context) {
  (void)future;
  CHECK_STATUS(procpool_close((procpool *)context), PROCPOOL_DEADLOCK);
}

TEST_STARTS(close_in_a_callback_is_refused, EVERY) {
  procpool *pool = test_open(start, 1);
  procpool_submit_options options;
  memset(&options, 0, sizeof(options));
  options.callback = close_within;
  options.user = pool;
  CHECK_OK(procpool_submit(pool, task_nothing, NULL, 0, &options, NULL));
  CHECK_OK(procpool_close(pool));
}

/* ---- many at once, sizes, counts ---- */

TEST_STARTS(cancel_and_release_many, CONCURRENT) {
  procpool *pool = test_open(start, 1);
  procpool_future *futures[10];
  procpool_stats stats;
  size_t cancelled = 77;
  double seconds = 0.2;
  memset(futures, 0, sizeof(futures));
  for (int i = 0; i < 8; i++) /* two places stay null */
    CHECK_OK(procpool_submit(pool, task_sleep, &seconds, sizeof(seconds), NULL, &futures[i]));
  while (!procpool_future_running(futures[0]))
    ;
  CHECK_OK(procpool_get_stats(pool, &stats));
  CHECK_EQ(stats.futures, 8);
  CHECK_OK(procpool_cancel_many(futures, 10, &cancelled));
  CHECK_EQ(cancelled, 7);
  CHECK_STATUS(procpool_future_wait(futures[0], PROCPOOL_FOREVER), PROCPOOL_OK);
  CHECK_OK(procpool_release_many(futures, 10));
  CHECK_OK(procpool_release_many(futures, 10)); /* all null now */
  CHECK_OK(procpool_get_stats(pool, &stats));
  CHECK_EQ(stats.futures, 0);
  CHECK_OK(procpool_cancel_many(NULL, 0, NULL));
  CHECK_OK(procpool_release_many(NULL, 0));
  test_close(pool);
}

TEST_STARTS(struct_sizes_are_looked_at, EVERY) {
  procpool *pool = test_open(start, 1);
  procpool_submit_options options;
  procpool_map_options map_options;
  procpool_imap_options imap_options;
  procpool_iterator *iterator;
  procpool_stats stats;
  int in = 1, out = 0, next = 0;
  memset(&options, 0, sizeof(options));
  memset(&map_options, 0, sizeof(map_options));
  memset(&imap_options, 0, sizeof(imap_options));
  options.struct_size = sizeof(options) - 8;
  map_options.struct_size = sizeof(map_options) + 8;
  imap_options.struct_size = 1;
  CHECK_STATUS(procpool_submit(pool, task_nothing, NULL, 0, &options, NULL), PROCPOOL_MISMATCH);
  CHECK_STATUS(procpool_submit_many(pool, task_nothing, NULL, 0, 1, &options, NULL, NULL), PROCPOOL_MISMATCH);
  CHECK_STATUS(procpool_map(pool, task_twice, &in, sizeof(in), &out, sizeof(out), 1, &map_options), PROCPOOL_MISMATCH);
  CHECK_STATUS(procpool_imap(pool, task_twice, count_up, &next, sizeof(int), &imap_options, &iterator),
               PROCPOOL_MISMATCH);
  CHECK_STATUS(procpool_get_stats_sized(pool, &stats, 8), PROCPOOL_MISMATCH);
  CHECK_STATUS(procpool_last_error(NULL), PROCPOOL_MISMATCH);
  map_options.struct_size = sizeof(map_options);
  CHECK_OK(procpool_map(pool, task_twice, &in, sizeof(in), &out, sizeof(out), 1, &map_options));
  CHECK_EQ(out, 2);
  test_close(pool);
}
