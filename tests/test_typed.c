/* The typed layer: how many arguments, procedures, calls, options, several files, pointers, strings; and what
 * PROCPOOL_WITH does where no pool opens. */
#include "harness.h"
#include "typed.h"

/* ---- how many arguments ---- */

PROCPOOL_FUNCTION(int, of_none) {
  return 7;
}

PROCPOOL_FUNCTION(int, of_one, int, a) {
  return a * 3;
}

PROCPOOL_FUNCTION(int, of_five, int, a, short, b, long, c, char, d, double, e) {
  return a + b * 10 + (int)c * 100 + d * 1000 + (int)e * 10000;
}

PROCPOOL_FUNCTION(int, of_eight, int, a, short, b, long, c, char, d, double, e, float, f, unsigned, g, long long, h) {
  return of_five(a, b, c, d, e) + (int)f * 100000 + (int)g * 1000000 + (int)h * 10000000;
}

PROCPOOL_TASK_FUNCTION(int, of_task_alone) {
  return procpool_task_worker(task);
}

PROCPOOL_TASK_FUNCTION(int, of_six, int, a, int, b, int, c, int, d, int, e, int, f) {
  if (a < 0)
    procpool_task_fail(task, 11, "negative");
  return a + b + c + d + e + f;
}

static int counted_generator(void *context, void *item) {
  int *left = (int *)context;
  if (*left == 0)
    return 0;
  memcpy(item, left, sizeof(*left));
  --*left;
  return 1;
}

/* Writes nothing: for functions without an argument. */
static int empty_generator(void *context, void *item) {
  int *left = (int *)context;
  (void)item;
  return (*left)-- > 0;
}

TEST_STARTS(typed_no_argument, EVERY) {
  procpool *pool = test_open(start, 2);
  procpool_future *futures[20];
  procpool_iterator *iterator = NULL;
  int results[100], out = 0, left = 5;
  CHECK_EQ(of_none(), 7);
  CHECK_OK(of_none_call(pool, &out));
  CHECK_EQ(out, 7);
  out = 0;
  CHECK_OK(of_none_result(of_none_submit(pool), &out));
  CHECK_EQ(out, 7);
  CHECK_OK(of_none_submit_many(pool, 20, futures));
  for (int i = 0; i < 20; i++) {
    out = 0;
    CHECK_OK(of_none_result(futures[i], &out));
    CHECK_EQ(out, 7);
  }
  memset(results, 0, sizeof(results));
  CHECK_OK(of_none_map(pool, results, 100));
  for (int i = 0; i < 100; i++)
    CHECK_EQ(results[i], 7);
  CHECK_OK(of_none_imap(pool, empty_generator, &left, NULL, &iterator));
  for (int i = 0; i < 5; i++)
    CHECK_OK(of_none_next(iterator, &out));
  CHECK_STATUS(of_none_next(iterator, &out), PROCPOOL_END);
  procpool_iterator_free(iterator);
  out = -1;
  CHECK_OK(of_task_alone_call(pool, &out));
  CHECK(out >= 0 && out < 2);
  test_close(pool);
}

/* The task beneath takes no bytes, however it is told that there are none; and refuses others. */
TEST_STARTS(typed_no_argument_untyped, EVERY) {
  procpool *pool = test_open(start, 1);
  procpool_future *future = test_submit(pool, of_none_task, NULL, 0);
  int out = 0;
  CHECK_OK(of_none_result(future, &out));
  CHECK_EQ(out, 7);
  future = test_submit(pool, of_none_task, "", 0);
  CHECK_OK(of_none_result(future, &out));
  future = test_submit(pool, of_none_task, "12345678", 8);
  CHECK_STATUS(of_none_result(future, &out), PROCPOOL_FAILED);
  test_close(pool);
}

TEST_STARTS(typed_one_five_and_eight_arguments, EVERY) {
  procpool *pool = test_open(start, 2);
  of_eight_arguments many[30];
  int results[30], out = 0;
  CHECK_OK(of_one_call(pool, 5, &out));
  CHECK_EQ(out, 15);
  CHECK_OK(of_five_call(pool, 1, 2, 3, 4, 5, &out));
  CHECK_EQ(out, 54321);
  CHECK_OK(of_five_result(of_five_submit(pool, 5, 4, 3, 2, 1), &out));
  CHECK_EQ(out, 12345);
  CHECK_OK(of_eight_call(pool, 1, 2, 3, 4, 5, 6, 7, 8, &out));
  CHECK_EQ(out, 87654321);
  CHECK_OK(of_six_call(pool, 1, 2, 3, 4, 5, 6, &out));
  CHECK_EQ(out, 21);
  memset(many, 0, sizeof(many));
  for (int i = 0; i < 30; i++) {
    many[i].a = i % 10;
    many[i].h = 3;
  }
  CHECK_OK(of_eight_map(pool, many, results, 30));
  for (int i = 0; i < 30; i++)
    CHECK_EQ(results[i], 30000000 + i % 10);
  test_close(pool);
}

/* ---- procedures ---- */

PROCPOOL_PROCEDURE(do_nothing) {
}

PROCPOOL_PROCEDURE(put, int *, at, int, value) {
  *at = value;
}

PROCPOOL_PROCEDURE(die_by, int, number) {
  raise(number);
}

PROCPOOL_PROCEDURE(take, int, number) {
  (void)number;
}

PROCPOOL_TASK_PROCEDURE(complain) {
  procpool_task_fail(task, 5, "a complaint");
}

PROCPOOL_TASK_PROCEDURE(want_even, int, number) {
  if (number % 2 != 0)
    procpool_task_fail(task, number, "odd");
}

TEST_STARTS(typed_procedures, EVERY) {
  procpool *pool = test_open(start, 2);
  procpool_iterator *iterator = NULL;
  procpool_future *futures[10];
  put_arguments puts[50];
  procpool_status statuses[4];
  procpool_map_options options;
  const int numbers[4] = {2, 3, 4, 6};
  int *shared = (int *)procpool_shared_alloc(pool, 50 * sizeof(int));
  int left = 4;
  CHECK(shared != NULL);
  CHECK_OK(do_nothing_call(pool));
  CHECK_OK(do_nothing_map(pool, 100));
  CHECK_OK(do_nothing_result(do_nothing_submit(pool)));
  CHECK_OK(put_call(pool, shared + 3, 33));
  CHECK_EQ(shared[3], 33);
  memset(puts, 0, sizeof(puts));
  for (int i = 0; i < 50; i++) {
    puts[i].at = &shared[i];
    puts[i].value = 100 + i;
  }
  CHECK_OK(put_map(pool, puts, 50));
  for (int i = 0; i < 50; i++)
    CHECK_EQ(shared[i], 100 + i);
  CHECK_OK(put_submit_many(pool, puts, 10, futures));
  for (int i = 0; i < 10; i++)
    CHECK_OK(put_result(futures[i]));
  CHECK_STATUS(complain_call(pool), PROCPOOL_FAILED);
  memset(&options, 0, sizeof(options));
  options.statuses = statuses;
  CHECK_STATUS(want_even_map_with(pool, numbers, 4, &options), PROCPOOL_FAILED);
  CHECK_EQ(options.failed_item, 1);
  CHECK_EQ(options.failed_count, 1);
  CHECK_OK(want_even_imap(pool, counted_generator, &left, NULL, &iterator));
  for (int i = 4; i > 0; i--)
    CHECK_STATUS(want_even_next(iterator), i % 2 == 0 ? PROCPOOL_OK : PROCPOOL_FAILED);
  CHECK_STATUS(want_even_next(iterator), PROCPOOL_END);
  procpool_iterator_free(iterator);
  test_close(pool);
}

TEST_STARTS(typed_procedure_crashes_alone, PROCESSES) {
  procpool *pool = test_open(start, 2);
  procpool_status statuses[3];
  procpool_map_options options;
  const int signals[3] = {0, SIGKILL, 0};
  memset(&options, 0, sizeof(options));
  options.statuses = statuses;
  options.chunksize = 3;
  CHECK_STATUS(die_by_map_with(pool, signals, 3, &options), PROCPOOL_CRASHED);
  CHECK_OK(statuses[0]);
  CHECK_OK(statuses[2]);
  CHECK_OK(take_call(pool, 1));
  test_close(pool);
}

/* ---- calls ---- */

TEST_STARTS(typed_call_tells_why, EVERY) {
  procpool *pool = test_open(start, 1);
  int out = -1;
  CHECK_STATUS(of_six_call(pool, -1, 0, 0, 0, 0, 0, &out), PROCPOOL_FAILED);
  CHECK_EQ(out, -1);
  CHECK_STATUS(of_one_call(pool, 1, NULL), PROCPOOL_ARGUMENT);
  CHECK_STATUS(of_one_call(NULL, 1, &out), PROCPOOL_HANDLE);
  CHECK_EQ(test_stats(pool).submitted, test_stats(pool).settled);
  CHECK_OK(procpool_shutdown(pool, PROCPOOL_DRAIN, PROCPOOL_FOREVER));
  CHECK_STATUS(of_one_call(pool, 1, &out), PROCPOOL_SHUTDOWN);
  CHECK_EQ(out, -1);
  CHECK_OK(procpool_free(pool));
}

TEST_STARTS(typed_call_of_a_crash, PROCESSES) {
  procpool *pool = test_open(start, 1);
  CHECK_STATUS(die_by_call(pool, SIGKILL), PROCPOOL_CRASHED);
  CHECK_OK(take_call(pool, 1));
  test_close(pool);
}

static procpool *calling_pool;
static procpool_status called;

static void calls_within(procpool_future *future, void *context) {
  int out = 0;
  (void)future;
  (void)context;
  called = of_one_call(calling_pool, 1, &out);
}

/* In a callback it would wait for itself: nothing is submitted. */
TEST_STARTS(typed_call_in_a_callback, EVERY) {
  procpool_future *future;
  calling_pool = test_open(start, 1);
  future = take_submit(calling_pool, 1);
  CHECK_OK(procpool_future_add_done_callback(future, calls_within, NULL));
  CHECK_OK(take_result(future));
  CHECK_STATUS(called, PROCPOOL_DEADLOCK);
  CHECK_EQ(test_stats(calling_pool).submitted, 1);
  test_close(calling_pool);
}

/* What an interrupted call leaves never begins, and no handle is lost. */
TEST_STARTS(typed_call_interrupted, CONCURRENT) {
  procpool *pool = test_open(start, 1);
  const test_job job = job_of(0);
  int *shared = (int *)procpool_shared_alloc(pool, sizeof(int));
  procpool_future *blocking = test_submit(pool, task_block, &job, sizeof(job));
  CHECK(shared != NULL);
  *shared = 0;
  gate_wait(&page->started, 1);
  procpool_interrupt(pool); /* the next wait */
  CHECK_STATUS(put_call(pool, shared, 1), PROCPOOL_INTERRUPTED);
  gate_add(&page->gate, 1);
  CHECK_SETTLES(blocking, PROCPOOL_OK);
  CHECK_OK(procpool_future_release(blocking));
  CHECK_OK(take_call(pool, 2));
  CHECK_EQ(*shared, 0);
  CHECK_EQ(test_stats(pool).submitted, 3);
  CHECK_EQ(test_stats(pool).settled, 3);
  test_close(pool);
}

/* Each call gives its future back, whatever came of it. */
TEST(typed_calls_keep_nothing) {
  procpool *pool = test_open(PROCPOOL_START_INLINE, 1);
  const int rounds = test_rounds(300000);
  long before = 0;
  int out = 0;
  for (int i = 0; i < rounds; i++) {
    CHECK_OK(of_one_call(pool, i % 100, &out));
    CHECK_STATUS(complain_call(pool), PROCPOOL_FAILED);
    if (i == rounds / 10)
      before = test_resident_kib();
  }
  if (!test_instrumented())
    CHECK_LT(test_resident_kib() - before, 8192);
  test_close(pool);
}

/* ---- options ---- */

PROCPOOL_PROCEDURE(sleep_for, int, seconds) {
  for (int i = 0; i < seconds * 100; i++)
    usleep(10000);
}

TEST_STARTS(typed_submit_with_a_limit, PROCESSES) {
  procpool *pool = test_open(start, 1);
  procpool_submit_options options;
  memset(&options, 0, sizeof(options));
  options.time_limit = 0.05;
  options.grace = -1;
  CHECK_STATUS(sleep_for_result(sleep_for_submit_with(pool, &options, 60)), PROCPOOL_TIMEOUT);
  test_close(pool);
}

TEST_STARTS(typed_submit_with, EVERY) {
  procpool *pool = test_open(start, 1);
  procpool_submit_options options;
  procpool_future *future;
  int *place = (int *)procpool_shared_alloc(pool, sizeof(int));
  int out = 0;
  CHECK(place != NULL);
  memset(&options, 0, sizeof(options));
  CHECK_OK(of_one_result(of_one_submit_with(pool, NULL, 2), &out));
  CHECK_EQ(out, 6);
  options.result = place;
  options.result_size = sizeof(int);
  future = of_five_submit_with(pool, &options, 1, 2, 3, 4, 5);
  CHECK_OK(of_five_result(future, &out));
  CHECK_EQ(out, 54321);
  CHECK_EQ(*place, 54321);
  CHECK_OK(of_none_result(of_none_submit_with(pool, &options), &out));
  CHECK_EQ(*place, 7);
  options.result_size = 1;
  CHECK_STATUS(of_none_result(of_none_submit_with(pool, &options), &out), PROCPOOL_TRANSFER);
  options.result = NULL;
  CHECK(of_none_submit_with(pool, &options) == NULL);
  CHECK_STATUS(of_none_result(NULL, &out), PROCPOOL_ARGUMENT); /* a size without a place */
  test_close(pool);
}

/* ---- several files ---- */

TEST_STARTS(typed_of_another_file, EVERY) {
  procpool *pool = test_open(start, 2);
  const far_power_arguments powers[2] = {{2, 3}, {3, 2}};
  double y[2] = {0, 0};
  int out = 0;
  CHECK(far_power(2, 4) == 16);
  CHECK_OK(far_power_call(pool, 2, 5, &y[0]));
  CHECK(y[0] == 32);
  CHECK_OK(far_power_map(pool, powers, y, 2));
  CHECK(y[0] == 8 && y[1] == 9);
  CHECK_OK(far_answer_call(pool, &out));
  CHECK_EQ(out, 42);
  CHECK_OK(far_nothing_call(pool, 1));
  CHECK_OK(far_half_call(pool, 8, &out));
  CHECK_EQ(out, 4);
  CHECK_STATUS(far_half_call(pool, 9, &out), PROCPOOL_FAILED);
  CHECK_STATUS(far_refusal_result(far_refusal_submit(pool, 4)), PROCPOOL_FAILED);
  test_close(pool);
}

/* ---- pointers ---- */

PROCPOOL_FUNCTION(int, first_of, const int *, numbers) {
  return numbers != NULL ? numbers[0] : -1;
}

PROCPOOL_FUNCTION(int, sum_of, int, scale, const int *, from, const int *, until) {
  int sum = 0;
  while (from != until)
    sum += *from++;
  return sum * scale;
}

/* One per item: a counter's pointer, which leads to nowhere for one of them. */
typedef struct pointers_to {
  const int *good, *bad;
  int item, bad_item, count;
} pointers_to;

static int pointer_generator(void *context, void *item) {
  pointers_to *p = (pointers_to *)context;
  const int *pointer = p->item == p->bad_item ? p->bad : p->good;
  if (p->item++ == p->count)
    return 0;
  memcpy(item, (const void *)&pointer, sizeof(pointer));
  return 1;
}

static void says(const char *a, const char *b) {
  procpool_error error;
  CHECK_STATUS(procpool_last_error(&error), PROCPOOL_ARGUMENT);
  if (strstr(error.message, a) == NULL || strstr(error.message, b) == NULL ||
      strstr(error.message, "procpool_shared_alloc") == NULL)
    harness_fail(__FILE__, __LINE__, "it says: %s", error.message);
}

TEST_STARTS(typed_pointer_to_nowhere_is_refused, PROCESSES) {
  procpool *pool = test_open(start, 2);
  const int here[4] = {1, 2, 3, 4};
  int *shared = (int *)procpool_shared_alloc(pool, 4 * sizeof(int));
  procpool_future *futures[3] = {NULL, NULL, NULL};
  const int *pointers[3];
  int out = -5, results[3] = {-5, -5, -5};
  procpool_error error;
  procpool_map_options options;
  CHECK(shared != NULL);
  memcpy(shared, here, sizeof(here));
  CHECK(first_of_submit(pool, here) == NULL);
  says("first_of: argument numbers points", "uintptr_t");
  CHECK_STATUS(first_of_result(NULL, &out), PROCPOOL_ARGUMENT);
  CHECK_STATUS(first_of_call(pool, here, &out), PROCPOOL_ARGUMENT);
  CHECK_STATUS(sum_of_call(pool, 2, shared, here, &out), PROCPOOL_ARGUMENT);
  says("sum_of", "argument until points");
  CHECK_STATUS(sum_of_call(pool, 2, here, shared, &out), PROCPOOL_ARGUMENT);
  says("sum_of", "argument from points");
  pointers[0] = shared, pointers[1] = NULL, pointers[2] = here;
  CHECK_STATUS(first_of_submit_many(pool, pointers, 3, futures), PROCPOOL_ARGUMENT);
  CHECK(futures[0] == NULL);
  says("first_of: argument numbers of item 2 points", "");
  CHECK_STATUS(first_of_map(pool, pointers, results, 3), PROCPOOL_ARGUMENT);
  says("of item 2", "");
  memset(&options, 0, sizeof(options));
  options.error = &error;
  CHECK_STATUS(first_of_map_with(pool, pointers, results, 3, &options), PROCPOOL_ARGUMENT);
  CHECK_STATUS(error.status, PROCPOOL_ARGUMENT);
  CHECK(strstr(error.message, "of item 2") != NULL);
  CHECK_EQ(results[0], -5);
  CHECK_EQ(out, -5);
  CHECK_EQ(test_stats(pool).submitted, 0);
  CHECK_OK(procpool_shared_free(pool, shared));
  CHECK_STATUS(first_of_call(pool, shared, &out), PROCPOOL_ARGUMENT); /* no live one any more */
  test_close(pool);
}

TEST_STARTS(typed_pointer_into_a_shared_buffer, PROCESSES) {
  procpool *pool = test_open(start, 2);
  const int here[4] = {1, 2, 3, 4};
  int *shared = (int *)procpool_shared_alloc(pool, sizeof(here));
  procpool_future *futures[2];
  const int *pointers[2];
  int out = 0, results[2] = {0, 0};
  CHECK(shared != NULL);
  memcpy(shared, here, sizeof(here));
  CHECK_OK(first_of_call(pool, shared + 1, &out));
  CHECK_EQ(out, 2);
  CHECK_OK(first_of_call(pool, NULL, &out));
  CHECK_EQ(out, -1);
  CHECK_OK(sum_of_call(pool, 2, shared, shared + 4, &out)); /* to its end */
  CHECK_EQ(out, 20);
  pointers[0] = shared + 3;
  pointers[1] = NULL;
  CHECK_OK(first_of_map(pool, pointers, results, 2));
  CHECK(results[0] == 4 && results[1] == -1);
  CHECK_OK(first_of_submit_many(pool, pointers, 2, futures));
  CHECK_OK(first_of_result(futures[0], &out));
  CHECK_EQ(out, 4);
  CHECK_OK(first_of_result(futures[1], &out));
  test_close(pool);
}

static void check_pointers_of_an_imap(procpool_start start, size_t chunksize) {
  procpool *pool = test_open(start, 2);
  procpool_imap_options options;
  int *shared = (int *)procpool_shared_alloc(pool, sizeof(int));
  const int here = 1;
  procpool_iterator *iterator = NULL;
  pointers_to to;
  int out = 0;
  CHECK(shared != NULL);
  *shared = 9;
  to.good = shared, to.bad = &here, to.item = 0, to.bad_item = 3, to.count = 6;
  memset(&options, 0, sizeof(options));
  options.chunksize = chunksize;
  CHECK_OK(first_of_imap(pool, pointer_generator, &to, &options, &iterator));
  for (int i = 0; i < 3; i++) {
    CHECK_OK(first_of_next(iterator, &out));
    CHECK_EQ(out, 9);
  }
  CHECK_STATUS(first_of_next(iterator, &out), PROCPOOL_ARGUMENT);
  says("first_of: argument numbers points", "");
  CHECK_STATUS(first_of_next(iterator, &out), PROCPOOL_END);
  procpool_iterator_free(iterator);
  test_close(pool);
}

/* What comes before the wrong one is delivered first. */
TEST_STARTS(typed_pointers_of_an_imap, PROCESSES) {
  check_pointers_of_an_imap(start, 0);
}
TEST_STARTS(typed_pointers_of_an_imap_with_chunks, PROCESSES) {
  check_pointers_of_an_imap(start, 8);
}

/* A map of many items: one that is wrong near its end, beyond what is looked at under the lock at once. */
TEST_STARTS(typed_pointers_of_a_long_map, PROCESSES) {
  enum { COUNT = 5000 };
  procpool *pool = test_open(start, 2);
  const int here = 1;
  const int **pointers = (const int **)calloc(COUNT, sizeof(*pointers));
  int *results = (int *)calloc(COUNT, sizeof(*results));
  CHECK(pointers != NULL && results != NULL);
  CHECK_OK(first_of_map(pool, pointers, results, COUNT));
  CHECK_EQ(results[COUNT - 1], -1);
  pointers[4321] = &here;
  CHECK_STATUS(first_of_map(pool, pointers, results, COUNT), PROCPOOL_ARGUMENT);
  says("of item 4321 ", "");
  free((void *)pointers);
  free(results);
  test_close(pool);
}

/* Threads share the host's memory. */
TEST_STARTS(typed_pointers_of_threads, THREAD | INLINE) {
  procpool *pool = test_open(start, 1);
  const int here = 8;
  const int *pointer = &here;
  procpool_iterator *iterator = NULL;
  pointers_to to;
  int out = 0;
  CHECK_OK(first_of_call(pool, &here, &out));
  CHECK_EQ(out, 8);
  out = 0;
  CHECK_OK(first_of_map(pool, &pointer, &out, 1));
  CHECK_EQ(out, 8);
  to.good = to.bad = &here, to.item = 0, to.bad_item = 0, to.count = 1;
  CHECK_OK(first_of_imap(pool, pointer_generator, &to, NULL, &iterator));
  CHECK_OK(first_of_next(iterator, &out));
  procpool_iterator_free(iterator);
  test_close(pool);
}

/* ---- calls and rows with options ---- */

static void count_settled(procpool_future *future, void *context) {
  CHECK(procpool_future_done(future));
  ++*(int *)context;
}

TEST_STARTS(typed_call_with, EVERY) {
  procpool *pool = test_open(start, 1);
  int *place = (int *)procpool_shared_alloc(pool, 2 * sizeof(int));
  procpool_submit_options options = {.struct_size = sizeof(options)};
  int out = 0, settled = 0;
  options.callback = count_settled;
  options.user = &settled;
  CHECK_OK(of_one_call_with(pool, &options, 2, &out));
  CHECK_EQ(out, 6);
  CHECK_OK(of_none_call_with(pool, NULL, &out));
  CHECK_EQ(out, 7);
  options.result = place;
  options.result_size = sizeof(int);
  CHECK_OK(of_five_call_with(pool, &options, 1, 2, 3, 4, 5, &out));
  CHECK_EQ(out, 54321);
  CHECK_EQ(*place, 54321);
  while (procpool_poll(pool, PROCPOOL_FOREVER) == PROCPOOL_OK)
    ;
  CHECK_EQ(settled, 2);
  options.struct_size = 1;
  CHECK_STATUS(of_one_call_with(pool, &options, 2, &out), PROCPOOL_MISMATCH);
  test_close(pool);
}

TEST_STARTS(typed_call_with_a_limit, PROCESSES) {
  procpool *pool = test_open(start, 1);
  procpool_submit_options options = {.time_limit = 0.05};
  CHECK_STATUS(sleep_for_call_with(pool, &options, 60), PROCPOOL_TIMEOUT);
  CHECK_WORKS(pool);
  test_close(pool);
}

TEST_STARTS(typed_submit_many_with, EVERY) {
  enum { COUNT = 20 };
  procpool *pool = test_open(start, 2);
  int *places = (int *)procpool_shared_alloc(pool, COUNT * sizeof(int));
  procpool_submit_options options = {.result = places, .result_size = sizeof(int)};
  procpool_future *futures[COUNT];
  int in[COUNT], settled = 0, out;
  for (int i = 0; i < COUNT; i++)
    in[i] = i;
  options.callback = count_settled;
  options.user = &settled;
  CHECK_OK(of_one_submit_many_with(pool, in, COUNT, futures, &options));
  for (int i = 0; i < COUNT; i++) {
    CHECK(procpool_future_user(futures[i]) == &settled);
    CHECK_OK(of_one_result(futures[i], &out));
    CHECK_EQ(out, 3 * i);
    CHECK_EQ(places[i], 3 * i);
  }
  CHECK_OK(of_none_submit_many_with(pool, COUNT, NULL, &options));
  while (procpool_poll(pool, PROCPOOL_FOREVER) == PROCPOOL_OK)
    ;
  CHECK_EQ(settled, 2 * COUNT);
  CHECK_EQ(places[COUNT - 1], 7);
  CHECK_OK(of_one_submit_many_with(pool, in, 1, futures, NULL));
  CHECK_OK(of_one_result(futures[0], &out));
  options.struct_size = 1;
  CHECK_STATUS(of_one_submit_many_with(pool, in, COUNT, futures, &options), PROCPOOL_MISMATCH);
  CHECK(futures[0] == NULL && futures[COUNT - 1] == NULL);
  test_close(pool);
}

/* ---- strings ---- */

PROCPOOL_STRING_FUNCTION(shout, text) {
  char loud[64];
  size_t i = 0;
  if (text[0] == '!') {
    procpool_task_fail(task, 2, "loud enough");
    return;
  }
  for (; text[i] != '\0' && i + 1 < sizeof(loud); i++)
    loud[i] = (char)(text[i] >= 'a' && text[i] <= 'z' ? text[i] - 32 : text[i]);
  loud[i] = '\0';
  procpool_task_return_string(task, loud);
}

PROCPOOL_STRING_FUNCTION(say_null, text) {
  (void)text;
  procpool_task_return_string(task, NULL);
}

PROCPOOL_STRING_FUNCTION(same, text) {
  procpool_task_return_string(task, text);
}

static void bytes_of(procpool_task *task) {
  procpool_task_return(task, "abc", 3);
}

TEST_STARTS(typed_strings, EVERY) {
  procpool *pool = test_open(start, 2);
  const char *const texts[3] = {"one", "", "three"};
  const char *const expected[3] = {"ONE", "", "THREE"};
  const char *const hole[3] = {"one", NULL, "three"};
  procpool_future *futures[3];
  procpool_submit_options options;
  procpool_future *future = shout_submit(pool, "hello");
  char *large;
  CHECK_TEXT(procpool_future_string(future), "HELLO");
  CHECK_TEXT(procpool_future_string(future), "HELLO"); /* as often as asked */
  CHECK_OK(procpool_future_release(future));
  CHECK_OK(shout_submit_many(pool, texts, 3, futures));
  for (int i = 0; i < 3; i++) {
    CHECK_TEXT(procpool_future_string(futures[i]), expected[i]);
    CHECK_OK(procpool_future_release(futures[i]));
  }
  memset(&options, 0, sizeof(options));
  future = shout_submit_with(pool, &options, "quiet");
  CHECK_TEXT(procpool_future_string(future), "QUIET");
  CHECK_OK(procpool_future_release(future));
  CHECK(shout_submit(pool, NULL) == NULL);
  CHECK_STATUS(shout_submit_many(pool, hole, 3, futures), PROCPOOL_ARGUMENT);
  CHECK_TEXT(procpool_future_string(futures[0]), "ONE");
  CHECK(futures[1] == NULL && futures[2] == NULL);
  CHECK_OK(procpool_future_release(futures[0]));
  CHECK_STATUS(shout_submit_many(pool, NULL, 3, futures), PROCPOOL_ARGUMENT);
  CHECK_OK(shout_submit_many(pool, texts, 3, NULL));
  large = (char *)malloc(1000000);
  CHECK(large != NULL);
  memset(large, 'x', 1000000);
  large[999999] = '\0';
  future = same_submit(pool, large);
  CHECK_TEXT(procpool_future_string(future), large);
  CHECK_OK(procpool_future_release(future));
  free(large);
  test_close(pool);
}

TEST_STARTS(typed_string_calls, EVERY) {
  enum { COUNT = 3, ROOM = 16 };
  const char *const texts[COUNT] = {"one", "", "three"};
  const char *const expected[COUNT] = {"ONE", "", "THREE"};
  procpool *pool = test_open(start, 2);
  char *places = (char *)procpool_shared_alloc(pool, COUNT * ROOM);
  procpool_submit_options options = {.struct_size = sizeof(options)};
  procpool_future *futures[COUNT];
  char answer[ROOM] = "before";
  CHECK_OK(shout_call(pool, "hello", answer, sizeof(answer)));
  CHECK_TEXT(answer, "HELLO");
  CHECK_OK(shout_call_with(pool, &options, "quiet", answer, 6));
  CHECK_TEXT(answer, "QUIET");
  CHECK_STATUS(shout_call(pool, "longer", answer, 6), PROCPOOL_TOO_SMALL);
  CHECK_TEXT(answer, "QUIET");
  CHECK_STATUS(shout_call(pool, "!", answer, sizeof(answer)), PROCPOOL_FAILED);
  CHECK_TEXT(procpool_last_message(), "loud enough");
  CHECK_STATUS(shout_call(pool, NULL, answer, sizeof(answer)), PROCPOOL_ARGUMENT);
  CHECK_STATUS(shout_call(pool, "hello", NULL, 6), PROCPOOL_ARGUMENT);
  CHECK_STATUS(say_null_call(pool, "", answer, sizeof(answer)), PROCPOOL_FAILED);
  CHECK_STATUS(procpool__typed_call_string(pool, bytes_of, "", answer, sizeof(answer), NULL), PROCPOOL_TRANSFER);
  CHECK(strstr(procpool_last_message(), "no string") != NULL);
  options.result = places;
  options.result_size = ROOM;
  CHECK_OK(shout_call_with(pool, &options, "placed", answer, sizeof(answer)));
  CHECK_TEXT(answer, "PLACED");
  options.timeout = 60;
  CHECK_OK(shout_submit_many_with(pool, texts, COUNT, futures, &options));
  for (int i = 0; i < COUNT; i++) {
    CHECK_EQ(procpool_future_index(futures[i]), (size_t)i);
    CHECK_SETTLES(futures[i], PROCPOOL_OK);
    CHECK_TEXT(places + i * ROOM, expected[i]);
    CHECK_OK(procpool_future_release(futures[i]));
  }
  options.struct_size = 1;
  CHECK_STATUS(shout_submit_many_with(pool, texts, COUNT, futures, &options), PROCPOOL_MISMATCH);
  CHECK_STATUS(shout_call_with(pool, &options, "", answer, sizeof(answer)), PROCPOOL_MISMATCH);
  test_close(pool);
}

/* The time-out is for all of them. */
TEST_STARTS(typed_strings_with_a_timeout, CONCURRENT) {
  procpool_options of_pool = {.max_queued = 2};
  const test_job job = job_of(0);
  const char *const texts[4] = {"a", "b", "c", "d"};
  procpool *pool = test_open_with(start, 1, &of_pool);
  procpool_future *blocker = test_submit(pool, task_block, &job, sizeof(job)), *futures[4];
  procpool_submit_options options = {.timeout = 0.2};
  const double begin = test_now();
  CHECK_STATUS(shout_submit_many_with(pool, texts, 4, futures, &options), PROCPOOL_FULL);
  CHECK_SECONDS(test_now() - begin, >=, 0.2);
  CHECK(futures[0] != NULL && futures[1] == NULL && futures[3] == NULL);
  gate_add(&page->gate, 1);
  CHECK_SETTLES(blocker, PROCPOOL_OK);
  CHECK_TEXT(procpool_future_string(futures[0]), "A");
  CHECK_OK(procpool_release_many(futures, 4));
  CHECK_OK(procpool_future_release(blocker));
  test_close(pool);
}

TEST_STARTS(typed_strings_that_are_none, EVERY) {
  procpool *pool = test_open(start, 1);
  procpool_error error;
  procpool_future *future = shout_submit(pool, "!");
  procpool_submit_options options;
  CHECK(procpool_future_string(NULL) == NULL);
  CHECK(procpool_future_string(future) == NULL);
  (void)procpool_last_error(&error);
  CHECK_STATUS(error.status, PROCPOOL_FAILED);
  CHECK_TEXT(error.message, "loud enough");
  CHECK_OK(procpool_future_release(future));
  future = say_null_submit(pool, "");
  CHECK_SETTLES(future, PROCPOOL_FAILED);
  CHECK_OK(procpool_future_release(future));
  for (size_t size = 0; size < 4; size += 3) { /* no bytes, and bytes without an end */
    future = test_submit(pool, shout_task, "abc", size);
    CHECK_SETTLES(future, PROCPOOL_FAILED);
    CHECK(strstr(test_error(future).message, "no string") != NULL);
    CHECK_OK(procpool_future_release(future));
  }
  future = test_submit(pool, bytes_of, NULL, 0);
  CHECK(procpool_future_string(future) == NULL);
  (void)procpool_last_error(&error);
  CHECK_STATUS(error.status, PROCPOOL_TRANSFER);
  CHECK_OK(procpool_future_release(future));
  future = do_nothing_submit(pool);
  CHECK(procpool_future_string(future) == NULL);
  CHECK_OK(procpool_future_release(future));
  /* in a place that workers can still write to, its end is not certain */
  memset(&options, 0, sizeof(options));
  options.result_size = 16;
  options.result = procpool_shared_alloc(pool, options.result_size);
  future = shout_submit_with(pool, &options, "abc");
  CHECK_SETTLES(future, PROCPOOL_OK);
  CHECK(procpool_future_string(future) == NULL);
  CHECK_TEXT((const char *)options.result, "ABC");
  CHECK_OK(procpool_future_release(future));
  test_close(pool);
}

/* ---- PROCPOOL_WITH ---- */

static int opened_or_not(const procpool_options *options) {
  PROCPOOL_WITH(pool, options) {
    return pool != NULL ? 1 : -1;
  }
  else {
    return pool == NULL ? 2 : -2;
  }
  return 3;
}

TEST(typed_scope_with_else) {
  procpool_error error;
  procpool_options good, bad;
  int rounds = 0;
  memset(&good, 0, sizeof(good));
  memset(&bad, 0, sizeof(bad));
  good.max_workers = 1;
  bad.max_workers = -1;
  bad.error = &error;
  CHECK_EQ(opened_or_not(&good), 1);
  CHECK_EQ(opened_or_not(&bad), 2);
  CHECK_STATUS(error.status, PROCPOOL_ARGUMENT);
  PROCPOOL_WITH(outer, &good) {
    PROCPOOL_WITH(inner, &bad) {
      rounds += 100;
    }
    else {
      rounds += outer != NULL && inner == NULL;
    }
    PROCPOOL_WITH(inner, &good) {
      rounds += outer != inner;
    }
  }
  else {
    rounds += 1000;
  }
  CHECK_EQ(rounds, 2);
  PROCPOOL_WITH(pool, &bad) {
    rounds = 7;
  }
  CHECK_EQ(rounds, 2);
}

/* Each way to leave the block ends its pool, once; and the loop around it goes on. */
TEST(typed_scope_is_left) {
  procpool_options options;
  int rounds = 0, behind = 0;
  memset(&options, 0, sizeof(options));
  options.start = PROCPOOL_START_FORK;
  options.max_workers = 1;
  for (int i = 0; i < 6; i++) {
    PROCPOOL_WITH(pool, &options) {
      CHECK_OK(take_call(pool, i));
      rounds++;
      if (i % 3 == 0)
        break;
      if (i % 3 == 1)
        continue;
      rounds += 10;
    }
    behind++;
    options.max_workers = i >= 3 ? -1 : 1;
    PROCPOOL_WITH(pool, &options) {
      rounds += 100;
    }
    else {
      if (i == 4)
        break;
      if (i == 5)
        continue;
      rounds += 1000;
    }
    options.max_workers = 1;
  }
  CHECK_EQ(behind, 6);
  CHECK_EQ(rounds, 6 + 2 * 10 + 3 * 100 + 1000);
}
