/* submit_many: a row of tasks in one call. */
#include "harness.h"

#include <dlfcn.h>
#include <math.h>

/* What a failed call may not leave behind. */
static procpool_future *const garbage = (procpool_future *)(uintptr_t)16;

static void soil(procpool_future **futures, size_t count) {
  for (size_t i = 0; i < count; i++)
    futures[i] = garbage;
}

static void check_null(procpool_future *const *futures, size_t from, size_t to) {
  for (size_t i = from; i < to; i++)
    CHECK(futures[i] == NULL);
}

static void finish_all(procpool_future **futures, size_t count, procpool_status expected) {
  for (size_t i = 0; i < count; i++) {
    CHECK_SETTLES(futures[i], expected);
    CHECK_OK(procpool_future_release(futures[i]));
  }
}

/* ---- arguments in, results out ---- */

TEST_STARTS(r025_many_start_in_the_order_of_their_arguments, EVERY) {
  enum { COUNT = 1000 };
  procpool *pool = test_open(start, 1);
  static test_job jobs[COUNT];
  static procpool_future *futures[COUNT];
  size_t submitted = 0;
  for (int i = 0; i < COUNT; i++)
    jobs[i] = job_of(i);
  CHECK_OK(procpool_submit_many(pool, task_count, jobs, sizeof(jobs[0]), COUNT, NULL, futures, &submitted));
  CHECK_EQ(submitted, COUNT);
  memset(jobs, 'x', sizeof(jobs)); /* they were copied */
  for (int i = 0; i < COUNT; i++) {
    int out = -1;
    CHECK_OK(procpool_future_result(futures[i], PROCPOOL_FOREVER, &out, sizeof(out), NULL));
    CHECK_EQ(out, i);
    CHECK_EQ(page->order[i], i);
    CHECK_OK(procpool_future_release(futures[i]));
  }
  CHECK_EQ(test_stats(pool).submitted, COUNT);
  test_close(pool);
}

/* Sizes around what lies in the slot, around a block of the arena, and large ones. */
TEST_STARTS(r020_many_of_every_size, EVERY) {
  enum { COUNT = 70, LARGEST = 70000 };
  static const size_t sizes[] = {0, 1, 31, 32, 33, 64, 65, 1000, 4096, LARGEST};
  procpool *pool = test_open(start, 2);
  unsigned char *bytes = (unsigned char *)malloc(COUNT * LARGEST);
  procpool_future *futures[COUNT];
  CHECK(bytes != NULL);
  for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
    const size_t size = sizes[i];
    for (unsigned k = 0; k < COUNT; k++)
      pattern_fill(bytes + k * size, size, k);
    CHECK_OK(procpool_submit_many(pool, task_echo, bytes, size, COUNT, NULL, futures, NULL));
    memset(bytes, 0, COUNT * LARGEST);
    for (unsigned k = 0; k < COUNT; k++) {
      size_t got = 77;
      CHECK_SETTLES(futures[k], PROCPOOL_OK);
      CHECK(pattern_holds(procpool_future_data(futures[k], &got), size, k));
      CHECK_EQ(got, size);
      CHECK_OK(procpool_future_release(futures[k]));
    }
  }
  free(bytes);
  test_close(pool);
}

static void task_argument_is_null(procpool_task *task) {
  size_t size = 77;
  const bool is = procpool_task_argument(task, &size) == NULL && size == 0;
  procpool_task_return(task, &is, sizeof(is));
}

TEST_STARTS(r020_many_without_arguments, EVERY) {
  procpool *pool = test_open(start, 2);
  procpool_future *futures[20];
  CHECK_OK(procpool_submit_many(pool, task_argument_is_null, NULL, 0, 20, NULL, futures, NULL));
  for (int i = 0; i < 20; i++) {
    bool is = false;
    CHECK_OK(procpool_future_result(futures[i], PROCPOOL_FOREVER, &is, sizeof(is), NULL));
    CHECK(is);
    CHECK_OK(procpool_future_release(futures[i]));
  }
  test_close(pool);
}

PROCPOOL_FUNCTION(double, half, double, x) {
  return x / 2;
}

PROCPOOL_FUNCTION(long, difference, long, a, char, b) {
  return a - b;
}

TEST_STARTS(typed_submit_many, EVERY) {
  procpool *pool = test_open(start, 2);
  double in[100], out = 0;
  difference_arguments pairs[3];
  procpool_future *futures[100];
  for (int i = 0; i < 100; i++)
    in[i] = i;
  CHECK_OK(half_submit_many(pool, in, 100, futures));
  for (int i = 0; i < 100; i++) {
    CHECK_OK(half_result(futures[i], &out));
    CHECK(out == i / 2.0);
  }
  memset(pairs, 0, sizeof(pairs));
  for (int i = 0; i < 3; i++) {
    pairs[i].a = 10 * i;
    pairs[i].b = (char)i;
  }
  CHECK_OK(difference_submit_many(pool, pairs, 3, futures));
  for (int i = 0; i < 3; i++) {
    long y = 0;
    CHECK_OK(difference_result(futures[i], &y));
    CHECK_EQ(y, 9 * i);
  }
  CHECK_OK(difference_submit_many(pool, pairs, 3, NULL));
  test_close(pool);
}

/* Failures and crashes are each task's own. */
static void task_odd_ones_fail(procpool_task *task) {
  const test_job *job = job_begin(task);
  if (job->index % 2 == 1)
    procpool_task_fail(task, job->index, "odd");
}

TEST_STARTS(r028_many_fail_each_for_itself, EVERY) {
  enum { COUNT = 30 };
  procpool *pool = test_open(start, 2);
  test_job jobs[COUNT];
  procpool_future *futures[COUNT];
  for (int i = 0; i < COUNT; i++)
    jobs[i] = job_of(i);
  CHECK_OK(procpool_submit_many(pool, task_odd_ones_fail, jobs, sizeof(jobs[0]), COUNT, NULL, futures, NULL));
  for (int i = 0; i < COUNT; i++) {
    CHECK_SETTLES(futures[i], i % 2 == 1 ? PROCPOOL_FAILED : PROCPOOL_OK);
    CHECK_EQ(test_error(futures[i]).code, i % 2 == 1 ? i : 0);
    CHECK_OK(procpool_future_release(futures[i]));
  }
  test_close(pool);
}

TEST_STARTS(submit_many_of_which_each_kills_its_worker, PROCESSES) {
  enum { COUNT = 12 };
  procpool *pool = test_open(start, 2);
  test_job jobs[COUNT];
  procpool_future *futures[COUNT];
  for (int i = 0; i < COUNT; i++)
    jobs[i] = job_with(i, SIGKILL);
  CHECK_OK(procpool_submit_many(pool, task_die, jobs, sizeof(jobs[0]), COUNT, NULL, futures, NULL));
  finish_all(futures, COUNT, PROCPOOL_CRASHED);
  CHECK_EQ(test_stats(pool).crashed, COUNT);
  CHECK_WORKS(pool);
  test_close(pool);
}

/* ---- what is refused ---- */

static void check_refused(procpool *pool, procpool_function function, const void *arguments, size_t size, size_t count,
                          const procpool_submit_options *options, procpool_status expected) {
  procpool_future *futures[3];
  size_t submitted = 77;
  soil(futures, 3);
  CHECK_STATUS(
      procpool_submit_many(pool, function, arguments, size, count, options, count <= 3 ? futures : NULL, &submitted),
      expected);
  CHECK_EQ(submitted, 0);
  if (count <= 3)
    check_null(futures, 0, count);
}

TEST_STARTS(r019_many_with_bad_arguments, EVERY) {
  procpool *pool = test_open(start, 1);
  procpool_submit_options options = {0};
  procpool_future *future = garbage;
  char byte = 0;
  check_refused(NULL, task_nothing, NULL, 0, 3, NULL, PROCPOOL_HANDLE);
  check_refused(pool, NULL, NULL, 0, 3, NULL, PROCPOOL_ARGUMENT);
  check_refused(pool, NULL, NULL, 0, 0, NULL, PROCPOOL_ARGUMENT);
  check_refused(pool, task_echo, NULL, 1, 3, NULL, PROCPOOL_ARGUMENT);
  check_refused(pool, task_echo, &byte, SIZE_MAX, 1, NULL, PROCPOOL_ARGUMENT);
  check_refused(pool, task_echo, &byte, SIZE_MAX / 4, 3, NULL, PROCPOOL_ARGUMENT);
  check_refused(pool, task_echo, &byte, 16, SIZE_MAX / 16, NULL, PROCPOOL_ARGUMENT);
  CHECK_STATUS(procpool_submit_many(pool, task_nothing, NULL, 0, SIZE_MAX / sizeof(future), NULL, &future, NULL),
               PROCPOOL_ARGUMENT);
  CHECK(future == garbage); /* no array is that long: nothing was written */
  for (int i = 0; i < 3; i++) {
    options.timeout = i == 0 ? (double)NAN : 0;
    options.time_limit = i == 1 ? (double)NAN : 0;
    options.grace = i == 2 ? (double)NAN : 0;
    check_refused(pool, task_echo, &byte, 1, 1, &options, PROCPOOL_ARGUMENT);
  }
  options.grace = 0;
  options.time_limit = 1;
  if (start > PROCPOOL_START_SPAWN)
    check_refused(pool, task_echo, &byte, 1, 1, &options, PROCPOOL_UNSUPPORTED);
  CHECK_EQ(test_stats(pool).submitted, 0);
  CHECK_WORKS(pool);
  test_close(pool);
}

TEST_STARTS(submit_many_of_none, EVERY) {
  procpool *pool = test_open(start, 1);
  procpool_future *future = garbage;
  size_t submitted = 77;
  CHECK_OK(procpool_submit_many(pool, task_echo, NULL, 0, 0, NULL, &future, &submitted));
  CHECK_EQ(submitted, 0);
  CHECK(future == garbage);
  CHECK_OK(procpool_submit_many(pool, task_echo, &submitted, 8, 0, NULL, NULL, NULL));
  CHECK_EQ(test_stats(pool).submitted, 0);
  CHECK_OK(procpool_shutdown(pool, PROCPOOL_DRAIN, PROCPOOL_FOREVER));
  CHECK_STATUS(procpool_submit_many(pool, task_echo, NULL, 0, 0, NULL, NULL, NULL), PROCPOOL_SHUTDOWN);
  check_refused(pool, task_echo, NULL, 0, 3, NULL, PROCPOOL_SHUTDOWN);
  CHECK_OK(procpool_free(pool));
}

TEST_STARTS(submit_many_of_code_that_workers_do_not_have, SPAWN) {
  procpool *pool = test_open(start, 1);
  void *handle = dlopen(test_path("plugin.so"), RTLD_NOW);
  procpool_function function;
  void *symbol;
  CHECK(handle != NULL);
  symbol = dlsym(handle, "plugin_task");
  CHECK(symbol != NULL);
  memcpy(&function, &symbol, sizeof(function));
  check_refused(pool, function, NULL, 0, 3, NULL, PROCPOOL_NO_FUNCTION);
  CHECK_EQ(test_stats(pool).submitted, 0);
  CHECK_WORKS(pool);
  test_close(pool);
  dlclose(handle);
}

/* ---- a full queue ---- */

static procpool *open_with_places(procpool_start start, size_t places) {
  procpool_options options = {0};
  options.max_queued = places;
  options.ring_size = 4096;
  return test_open_with(start, 1, &options);
}

static void block(procpool *pool, procpool_future **futures, int count) {
  for (int i = 0; i < count; i++) {
    const test_job job = job_of(i);
    futures[i] = test_submit(pool, task_block, &job, sizeof(job));
  }
}

static procpool *open_blocked(procpool_start start, size_t places, procpool_future **futures, int count) {
  procpool *pool = open_with_places(start, places);
  block(pool, futures, count);
  return pool;
}

TEST_STARTS(r023_many_into_a_queue_with_few_places, CONCURRENT) {
  enum { PLACES = 8, BLOCKED = 3, COUNT = 20 };
  procpool_future *blocked[BLOCKED], *futures[COUNT], *more[COUNT];
  procpool *pool = open_blocked(start, PLACES, blocked, BLOCKED);
  procpool_submit_options options = {0};
  int in[COUNT];
  size_t submitted = 0;
  double begin = test_now();
  for (int i = 0; i < COUNT; i++)
    in[i] = i;
  soil(futures, COUNT);
  options.timeout = -1;
  CHECK_STATUS(procpool_submit_many(pool, task_twice, in, sizeof(in[0]), COUNT, &options, futures, &submitted),
               PROCPOOL_FULL);
  CHECK_EQ(submitted, PLACES - BLOCKED);
  check_null(futures, submitted, COUNT);
  CHECK_EQ(test_stats(pool).submitted, PLACES);
  options.timeout = 0.1;
  soil(more, COUNT);
  submitted = 77;
  CHECK_STATUS(procpool_submit_many(pool, task_twice, in, sizeof(in[0]), COUNT, &options, more, &submitted),
               PROCPOOL_FULL);
  CHECK_SECONDS(test_now() - begin, >=, 0.1);
  CHECK_SECONDS(test_now() - begin, <, 0.1 + 1.0 * test_slow());
  CHECK_EQ(submitted, 0);
  check_null(more, 0, COUNT);
  CHECK_STATUS(procpool_submit_many(pool, task_twice, in, sizeof(in[0]), COUNT, &options, NULL, NULL), PROCPOOL_FULL);
  CHECK_EQ(test_stats(pool).submitted, PLACES);
  gate_add(&page->gate, 1);
  finish_all(blocked, BLOCKED, PROCPOOL_OK);
  for (int i = 0; i < PLACES - BLOCKED; i++) {
    int out = 0;
    CHECK_OK(procpool_future_result(futures[i], PROCPOOL_FOREVER, &out, sizeof(out), NULL));
    CHECK_EQ(out, 2 * i);
    CHECK_OK(procpool_future_release(futures[i]));
  }
  CHECK_WORKS(pool);
  test_close(pool);
}

/* Far more than the queue and the rings hold: the call itself takes results in. */
TEST_STARTS(r023_many_through_a_small_queue, EVERY) {
  enum { COUNT = 2000 };
  procpool_options options = {0};
  procpool *pool;
  static procpool_future *futures[COUNT];
  static int in[COUNT];
  size_t submitted = 0;
  options.max_queued = 7;
  options.ring_size = 4096;
  pool = test_open_with(start, 2, &options);
  for (int i = 0; i < COUNT; i++)
    in[i] = i;
  CHECK_OK(procpool_submit_many(pool, task_twice, in, sizeof(in[0]), COUNT, NULL, futures, &submitted));
  CHECK_EQ(submitted, COUNT);
  for (int i = 0; i < COUNT; i++) {
    int out = 0;
    CHECK_OK(procpool_future_result(futures[i], PROCPOOL_FOREVER, &out, sizeof(out), NULL));
    CHECK_EQ(out, 2 * i);
    CHECK_OK(procpool_future_release(futures[i]));
  }
  test_close(pool);
}

TEST_STARTS(r023_many_unwanted_through_a_small_queue, EVERY) {
  enum { COUNT = 200 };
  procpool_options options = {0};
  procpool *pool;
  static test_job jobs[COUNT];
  size_t submitted = 0;
  options.max_queued = 4;
  options.ring_size = 4096;
  pool = test_open_with(start, 2, &options);
  for (int i = 0; i < COUNT; i++)
    jobs[i] = job_sized(i, 10000);
  CHECK_OK(procpool_submit_many(pool, task_make, jobs, sizeof(jobs[0]), COUNT, NULL, NULL, &submitted));
  CHECK_EQ(submitted, COUNT);
  CHECK_OK(procpool_shutdown(pool, PROCPOOL_DRAIN, PROCPOOL_FOREVER));
  CHECK_EQ(test_stats(pool).settled, COUNT);
  CHECK_OK(procpool_free(pool));
}

/* The arena holds but a few of the arguments at a time: that too is only a full queue. */
TEST_STARTS(r023_many_large_arguments_through_a_small_arena, EVERY) {
  enum { COUNT = 20, SIZE = 400000 };
  procpool_options options = {0};
  procpool_submit_options at_once = {0};
  procpool *pool;
  procpool_future *futures[COUNT];
  unsigned char *bytes = (unsigned char *)malloc((size_t)COUNT * SIZE);
  size_t submitted = 0;
  CHECK(bytes != NULL);
  options.max_memory = 2 << 20;
  pool = test_open_with(start, 1, &options);
  for (unsigned i = 0; i < COUNT; i++)
    pattern_fill(bytes + i * SIZE, SIZE, i);
  CHECK_OK(procpool_submit_many(pool, task_sum, bytes, SIZE, COUNT, NULL, futures, &submitted));
  CHECK_EQ(submitted, COUNT);
  for (unsigned i = 0; i < COUNT; i++) {
    uint64_t sum = 0;
    CHECK_OK(procpool_future_result(futures[i], PROCPOOL_FOREVER, &sum, sizeof(sum), NULL));
    CHECK(sum == pattern_sum(bytes + i * SIZE, SIZE));
    CHECK_OK(procpool_future_release(futures[i]));
  }
  soil(futures, 3);
  at_once.timeout = -1;
  CHECK_STATUS(procpool_submit_many(pool, task_sum, bytes, 3 << 20, 2, &at_once, futures, &submitted), PROCPOOL_MEMORY);
  CHECK_EQ(submitted, 0);
  check_null(futures, 0, 2);
  CHECK_EQ(test_stats(pool).submitted, COUNT);
  free(bytes);
  test_close(pool);
}

static procpool *full_pool;

typedef struct seen_in_task {
  procpool_status status;
  size_t submitted;
} seen_in_task;

/* The task holds one of three places itself, and nothing could make room while it waits. */
static void task_submits_many_into_a_full_queue(procpool_task *task) {
  seen_in_task seen;
  gate_wait(&page->gate, 1); /* full_pool is set */
  seen.status = procpool_submit_many(full_pool, task_nothing, NULL, 0, 5, NULL, NULL, &seen.submitted);
  procpool_task_return(task, &seen, sizeof(seen));
}

TEST_STARTS(r023_many_in_a_task_of_a_full_pool, THREAD | INLINE) {
  procpool_options options = {0};
  procpool_future *future;
  seen_in_task seen;
  memset(&seen, 0, sizeof(seen));
  options.max_queued = 3;
  full_pool = test_open_with(start, 1, &options);
  future = test_submit(full_pool, task_submits_many_into_a_full_queue, NULL, 0);
  gate_add(&page->gate, 1);
  CHECK_OK(procpool_future_result(future, PROCPOOL_FOREVER, &seen, sizeof(seen), NULL));
  CHECK_STATUS(seen.status, PROCPOOL_FULL);
  CHECK_EQ(seen.submitted, 2);
  CHECK_OK(procpool_future_release(future));
  CHECK_WORKS(full_pool);
  test_close(full_pool);
}

/* ---- what ends the call midway ---- */

typedef struct row {
  procpool *pool;
  procpool_future *futures[40];
  size_t submitted;
  procpool_status status;
  int began;
} row;

static void *submit_row(void *context) {
  row *self = (row *)context;
  int in[40];
  for (int i = 0; i < 40; i++)
    in[i] = i;
  soil(self->futures, 40);
  gate_add(&self->began, 1);
  self->status =
      procpool_submit_many(self->pool, task_twice, in, sizeof(in[0]), 40, NULL, self->futures, &self->submitted);
  return NULL;
}

/* Begins a row in a thread, and waits until it has filled the queue. */
static pthread_t begin_row(row *self, uint64_t places) {
  const pthread_t thread = test_thread(submit_row, self);
  gate_wait(&self->began, 1);
  while (test_stats(self->pool).submitted < places)
    usleep(1000);
  return thread;
}

static void check_row(row *self, size_t submitted, procpool_status outcome) {
  CHECK_EQ(self->submitted, submitted);
  check_null(self->futures, submitted, 40);
  for (size_t i = 0; i < submitted; i++) {
    int out = 0;
    CHECK_SETTLES(self->futures[i], outcome);
    if (outcome == PROCPOOL_OK) {
      CHECK_OK(procpool_future_result(self->futures[i], 0, &out, sizeof(out), NULL));
      CHECK_EQ(out, 2 * (int)i);
    }
    CHECK_OK(procpool_future_release(self->futures[i]));
  }
}

static void *open_gate_0_soon(void *unused) {
  (void)unused;
  usleep(30000);
  gate_add(&page->word[0], 1);
  return NULL;
}

TEST_STARTS(r023_many_go_on_when_there_is_room, CONCURRENT) {
  procpool_future *blocked[2];
  static row self;
  pthread_t thread;
  self.pool = open_blocked(start, 6, blocked, 2);
  thread = begin_row(&self, 6);
  gate_add(&page->gate, 1);
  test_join(thread);
  CHECK_OK(self.status);
  check_row(&self, 40, PROCPOOL_OK);
  finish_all(blocked, 2, PROCPOOL_OK);
  test_close(self.pool);
}

/* All that it needs is one place: it does not wait for more. */
TEST_STARTS(r023_many_want_no_more_room_than_they_need, CONCURRENT) {
  enum { PLACES = 6, COUNT = 4 };
  procpool_future *blocked[3], *futures[COUNT];
  procpool *pool = open_with_places(start, PLACES);
  test_job jobs[COUNT];
  pthread_t opener;
  double begin;
  for (int i = 0; i < 3; i++) {
    const test_job job = job_with(i, i == 0 ? 0 : 1);
    blocked[i] = test_submit(pool, task_gate, &job, sizeof(job));
  }
  for (int i = 0; i < COUNT; i++)
    jobs[i] = job_with(3 + i, 1);
  gate_wait(&page->started, 1);
  begin = test_now();
  opener = test_thread(open_gate_0_soon, NULL);
  CHECK_OK(procpool_submit_many(pool, task_gate, jobs, sizeof(jobs[0]), COUNT, NULL, futures, NULL));
  CHECK_SECONDS(test_now() - begin, <, 0.15 * test_slow()); /* the slow tick would come after 0.2 s */
  test_join(opener);
  gate_add(&page->word[1], 1);
  finish_all(blocked, 3, PROCPOOL_OK);
  finish_all(futures, COUNT, PROCPOOL_OK);
  test_close(pool);
}

TEST_STARTS(r023_many_go_on_when_a_place_is_given_back, CONCURRENT) {
  procpool_future *blocked[6];
  static row self;
  pthread_t thread;
  self.pool = open_blocked(start, 6, blocked, 6);
  thread = begin_row(&self, 6);
  for (int i = 1; i < 6; i++) /* the first one runs */
    CHECK_STATUS(procpool_future_cancel(blocked[i]), PROCPOOL_CANCELLED);
  while (test_stats(self.pool).submitted < 11)
    usleep(1000);
  gate_add(&page->gate, 1);
  test_join(thread);
  CHECK_OK(self.status);
  check_row(&self, 40, PROCPOOL_OK);
  finish_all(blocked, 1, PROCPOOL_OK);
  finish_all(blocked + 1, 5, PROCPOOL_CANCELLED);
  test_close(self.pool);
}

TEST_STARTS(interrupt_ends_submit_many_midway, CONCURRENT) {
  procpool_future *blocked[2];
  static row self;
  pthread_t thread;
  self.pool = open_blocked(start, 6, blocked, 2);
  thread = begin_row(&self, 6);
  procpool_interrupt(self.pool);
  test_join(thread);
  CHECK_STATUS(self.status, PROCPOOL_INTERRUPTED);
  gate_add(&page->gate, 1);
  check_row(&self, 4, PROCPOOL_OK);
  finish_all(blocked, 2, PROCPOOL_OK);
  CHECK_WORKS(self.pool);
  test_close(self.pool);
}

TEST_STARTS(r069_shutdown_ends_submit_many_midway, CONCURRENT) {
  for (int mode = PROCPOOL_DRAIN; mode <= PROCPOOL_KILL; mode++) {
    static const procpool_status outcomes[] = {PROCPOOL_OK, PROCPOOL_CANCELLED, PROCPOOL_SHUTDOWN};
    procpool_future *blocked[2];
    static row self;
    pthread_t thread;
    memset(&self, 0, sizeof(self));
    page->gate = 0;
    self.pool = open_blocked(start, 6, blocked, 2);
    thread = begin_row(&self, 6);
    (void)procpool_shutdown(self.pool, (procpool_shutdown_mode)mode, 0);
    gate_add(&page->gate, 1);
    test_join(thread);
    CHECK_STATUS(self.status, PROCPOOL_SHUTDOWN);
    check_row(&self, 4, outcomes[mode]);
    for (int i = 0; i < 2; i++) {
      CHECK_OK(procpool_shutdown(self.pool, PROCPOOL_DRAIN, PROCPOOL_FOREVER));
      CHECK(procpool_future_done(blocked[i]));
      CHECK_OK(procpool_future_release(blocked[i]));
    }
    CHECK_OK(procpool_free(self.pool));
  }
}

/* What was handed over by then is BROKEN, and the call says so of the rest. */
TEST_STARTS(r128_many_in_a_pool_that_breaks_midway, PROCESSES) {
  procpool_future *blocked[2];
  static row self;
  pthread_t thread;
  long supervisor;
  self.pool = open_with_places(start, 6);
  supervisor = test_supervisor(self.pool);
  block(self.pool, blocked, 2);
  thread = begin_row(&self, 7);
  CHECK_EQ(kill((pid_t)supervisor, SIGKILL), 0);
  test_join(thread);
  CHECK_STATUS(self.status, PROCPOOL_BROKEN);
  check_row(&self, 4, PROCPOOL_BROKEN);
  finish_all(blocked, 2, PROCPOOL_BROKEN);
  CHECK_OK(procpool_free(self.pool));
}

TEST_STARTS(submit_many_cancelled_one_by_one, CONCURRENT) {
  enum { COUNT = 20 };
  procpool_future *blocked, *futures[COUNT];
  procpool *pool = open_blocked(start, 100, &blocked, 1);
  int in[COUNT];
  gate_wait(&page->started, 1);
  for (int i = 0; i < COUNT; i++)
    in[i] = i;
  CHECK_OK(procpool_submit_many(pool, task_twice, in, sizeof(in[0]), COUNT, NULL, futures, NULL));
  for (int i = 0; i < COUNT; i += 2)
    CHECK_STATUS(procpool_future_cancel(futures[i]), PROCPOOL_CANCELLED);
  gate_add(&page->gate, 1);
  for (int i = 0; i < COUNT; i++) {
    CHECK_SETTLES(futures[i], i % 2 == 0 ? PROCPOOL_CANCELLED : PROCPOOL_OK);
    CHECK_OK(procpool_future_release(futures[i]));
  }
  finish_all(&blocked, 1, PROCPOOL_OK);
  test_close(pool);
}

/* ---- who wakes up ---- */

/* task_meet, but there may be more bytes behind its job. */
static void task_meet_with_more(procpool_task *task) {
  const test_job *job = (const test_job *)procpool_task_argument(task, NULL);
  page_attach(job->host, job->descriptor);
  gate_add(&page->started, 1);
  gate_wait(&page->started, job->number);
}

/* Every worker sleeps, and each is needed: the tasks wait for each other. Arguments of every size, since the time that
 * they take to copy is time in which a worker may fall asleep again. */
TEST_STARTS(r010_many_wake_as_many_workers, CONCURRENT) {
  enum { WORKERS = 5, ROUNDS = 40 };
  static const size_t sizes[] = {sizeof(test_job), sizeof(test_job), 100000};
  procpool_options options = {0};
  procpool *pool;
  procpool_future *futures[WORKERS];
  unsigned char *bytes = (unsigned char *)calloc(WORKERS, 100000);
  CHECK(bytes != NULL);
  options.spin_us = -1;
  pool = test_open_with(start, WORKERS, &options);
  for (int round = 0; round < ROUNDS; round++) {
    for (int i = 0; i < WORKERS; i++) {
      const test_job job = job_with(i, (round + 1) * WORKERS);
      memcpy(bytes + (size_t)i * sizes[round % 3], &job, sizeof(job));
    }
    CHECK_OK(procpool_submit_many(pool, task_meet_with_more, bytes, sizes[round % 3], WORKERS, NULL, futures, NULL));
    finish_all(futures, WORKERS, PROCPOOL_OK);
    CHECK_EQ(page->started, (round + 1) * WORKERS);
    if (round % 4 == 0)
      usleep(2000); /* all asleep */
  }
  free(bytes);
  test_close(pool);
}

/* The first ones run while the rest is still being handed over: the queue takes but a few at a time. */
TEST_STARTS(submit_many_starts_on_the_first, CONCURRENT) {
  procpool_future *futures[2];
  procpool_options options = {0};
  procpool *pool;
  size_t submitted = 0;
  test_job jobs[2];
  options.max_queued = 1;
  options.spin_us = -1;
  pool = test_open_with(start, 1, &options);
  CHECK_WORKS(pool);
  usleep(5000);
  for (int i = 0; i < 2; i++)
    jobs[i] = job_of(i);
  CHECK_OK(procpool_submit_many(pool, task_count, jobs, sizeof(jobs[0]), 2, NULL, futures, &submitted));
  CHECK_EQ(submitted, 2);
  finish_all(futures, 2, PROCPOOL_OK);
  test_close(pool);
}

/* ---- limits ---- */

static void task_spin_if_odd(procpool_task *task) {
  const test_job *job = job_begin(task);
  while (job->index % 2 == 1)
    usleep(1000);
  procpool_task_return(task, &job->index, sizeof(job->index));
}

TEST_STARTS(r105_many_with_a_limit_each, PROCESSES) {
  enum { COUNT = 8 };
  procpool *pool = test_open(start, 2);
  procpool_submit_options options = {0};
  test_job jobs[COUNT];
  procpool_future *futures[COUNT];
  for (int i = 0; i < COUNT; i++)
    jobs[i] = job_of(i);
  options.time_limit = 0.1;
  options.grace = -1;
  CHECK_OK(procpool_submit_many(pool, task_spin_if_odd, jobs, sizeof(jobs[0]), COUNT, &options, futures, NULL));
  for (int i = 0; i < COUNT; i++) {
    CHECK_SETTLES(futures[i], i % 2 == 1 ? PROCPOOL_TIMEOUT : PROCPOOL_OK);
    CHECK_OK(procpool_future_release(futures[i]));
  }
  CHECK_WORKS(pool);
  test_close(pool);
}

/* The limit of the pool holds for them too; and a later row finds a supervisor that looks after nothing. */
TEST_STARTS(r105_many_with_the_limit_of_the_pool, PROCESSES) {
  procpool_options options = {0};
  procpool *pool;
  options.time_limit = 0.05;
  options.grace = -1;
  pool = test_open_with(start, 2, &options);
  for (int round = 0; round < 3; round++) {
    test_job jobs[2];
    procpool_future *futures[2];
    for (int i = 0; i < 2; i++)
      jobs[i] = job_of(1);
    usleep(100000);
    CHECK_OK(procpool_submit_many(pool, task_spin_if_odd, jobs, sizeof(jobs[0]), 2, NULL, futures, NULL));
    finish_all(futures, 2, PROCPOOL_TIMEOUT);
  }
  test_close(pool);
}

/* ---- leaks, threads ---- */

TEST_STARTS(r030_many_unwanted_leave_memory_flat, EVERY) {
  procpool_options options = {0};
  procpool *pool;
  static int in[1000];
  long before = 0;
  options.max_queued = 2000;
  pool = test_open_with(start, 1, &options);
  for (int round = 0; round < test_rounds(300); round++) {
    CHECK_OK(procpool_submit_many(pool, task_twice, in, sizeof(in[0]), 1000, NULL, NULL, NULL));
    if (round == test_rounds(300) / 3)
      before = test_resident_kib();
  }
  if (!test_instrumented())
    CHECK_LT(test_resident_kib(), before + 512);
  test_close(pool);
}

typedef struct rows_job {
  procpool *pool;
  int rounds, index;
} rows_job;

static void *rows_in_a_thread(void *context) {
  const rows_job *job = (const rows_job *)context;
  int in[37];
  procpool_future *futures[37];
  for (int round = 0; round < job->rounds; round++) {
    for (int i = 0; i < 37; i++)
      in[i] = job->index * 1000 + i;
    CHECK_OK(procpool_submit_many(job->pool, task_twice, in, sizeof(in[0]), 37, NULL, futures, NULL));
    for (int i = 0; i < 37; i++) {
      int out = 0;
      CHECK_OK(procpool_future_result(futures[i], PROCPOOL_FOREVER, &out, sizeof(out), NULL));
      CHECK_EQ(out, 2 * in[i]);
      CHECK_OK(procpool_future_release(futures[i]));
    }
  }
  return NULL;
}

/* Rows of several threads, all larger than the queue: all wait at the same time. */
TEST_STARTS(r123_six_threads_submit_rows, EVERY) {
  enum { THREADS = 6 };
  procpool_options options = {0};
  procpool *pool;
  rows_job jobs[THREADS];
  pthread_t threads[THREADS];
  options.max_queued = 10;
  pool = test_open_with(start, 2, &options);
  for (int i = 0; i < THREADS; i++) {
    jobs[i].pool = pool;
    jobs[i].index = i;
    jobs[i].rounds = test_rounds(60);
    threads[i] = test_thread(rows_in_a_thread, &jobs[i]);
  }
  for (int i = 0; i < THREADS; i++)
    test_join(threads[i]);
  CHECK_EQ(test_stats(pool).settled, THREADS * test_rounds(60) * 37);
  test_close(pool);
}

/* ---- other threads go on meanwhile ---- */

typedef struct frames {
  procpool *pool;
  int polls, stop;
} frames;

static void *draw_frames(void *context) {
  frames *f = (frames *)context;
  while (!gate_read(&f->stop)) {
    CHECK_POLL(procpool_poll(f->pool, 0));
    gate_add(&f->polls, 1);
  }
  return NULL;
}

/* What takes long, in one thread. */
static void submit_large(procpool *pool, void *bytes, size_t size) {
  CHECK_OK(procpool_submit(pool, task_nothing, bytes, size, NULL, NULL));
}
static void allocate_large(procpool *pool, void *bytes, size_t size) {
  (void)bytes;
  void *buffer = procpool_shared_alloc(pool, size);
  CHECK(buffer != NULL);
  CHECK_OK(procpool_shared_free(pool, buffer));
}
static void submit_many_tasks(procpool *pool, void *bytes, size_t size) {
  (void)size;
  CHECK_OK(procpool_submit_many(pool, task_nothing, bytes, 1, 200000, NULL, NULL, NULL));
}
static void count_tasks(procpool *pool, void *bytes, size_t size) {
  (void)bytes, (void)size;
  for (int i = 0; i < 20; i++)
    test_stats(pool);
}

/* ---- which one it is, in the task ---- */

static void task_index(procpool_task *task) {
  const size_t index = procpool_task_index();
  procpool_task_return(task, &index, sizeof(index));
}

/* Every third item crashes: those behind it in its chunk or bundle are handed out again. */
static void task_index_or_death(procpool_task *task) {
  if (procpool_task_index() % 3 == 1)
    raise(SIGKILL);
  task_index(task);
}

PROCPOOL_FUNCTION(uint64_t, index_beside, int, x, char, c) {
  (void)x, (void)c;
  return procpool_task_index();
}

PROCPOOL_STRING_FUNCTION(index_of_string, text) {
  (void)text;
  task_index(task);
}

static size_t settled_index(procpool_future *future) {
  size_t index = 12345;
  CHECK_OK(procpool_future_result(future, PROCPOOL_FOREVER, &index, sizeof(index), NULL));
  CHECK_OK(procpool_future_release(future));
  return index;
}

/* Arguments in the slot, beside a place for the result, in the arena, and in a shared buffer. */
TEST_STARTS(task_index_of_many, EVERY) {
  enum { COUNT = 300 };
  static const size_t sizes[] = {0, 1, 8, 16, 17, 24, 25, 32, 33, 100, 1000};
  static procpool_future *futures[COUNT];
  procpool *pool = test_open(start, 2);
  unsigned char *const arguments = (unsigned char *)procpool_shared_alloc(pool, COUNT * 1000);
  size_t *const results = (size_t *)procpool_shared_alloc(pool, COUNT * sizeof(size_t));
  CHECK(arguments != NULL && results != NULL);
  memset(arguments, 0xff, COUNT * 1000);
  for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++)
    for (int how = 0; how < 4; how++) {
      procpool_submit_options options = {.shared_argument = how & 1 && sizes[i] > 0};
      procpool_future *alone;
      options.result = how & 2 ? results : NULL;
      options.result_size = how & 2 ? sizeof(size_t) : 0;
      CHECK_OK(procpool_submit_many(pool, task_index, arguments, sizes[i], COUNT, &options, futures, NULL));
      for (size_t at = 0; at < COUNT; at++) {
        CHECK_EQ(procpool_future_index(futures[at]), at);
        CHECK_EQ(settled_index(futures[at]), at);
      }
      CHECK_OK(procpool_submit(pool, task_index, arguments, sizes[i], &options, &alone));
      CHECK_EQ(settled_index(alone), 0);
    }
  CHECK_EQ(procpool_task_index(), SIZE_MAX);
  test_close(pool);
}

TEST_STARTS(task_index_of_typed_tasks, EVERY) {
  enum { COUNT = 100 };
  static index_beside_arguments in[COUNT];
  static uint64_t out[COUNT];
  static const char *texts[COUNT];
  static procpool_future *futures[COUNT];
  procpool *pool = test_open(start, 2);
  for (int i = 0; i < COUNT; i++)
    texts[i] = i % 2 ? "some text that is too long for the place beside the task" : "short";
  CHECK_OK(index_beside_map(pool, in, out, COUNT));
  for (size_t i = 0; i < COUNT; i++)
    CHECK_EQ(out[i], i);
  CHECK_OK(index_beside_submit_many(pool, in, COUNT, futures));
  for (size_t i = 0; i < COUNT; i++) {
    uint64_t y = 0;
    CHECK_OK(index_beside_result(futures[i], &y));
    CHECK_EQ(y, i);
  }
  CHECK_OK(index_of_string_submit_many(pool, texts, COUNT, futures));
  for (size_t i = 0; i < COUNT; i++)
    CHECK_EQ(settled_index(futures[i]), i);
  CHECK_OK(index_beside_call(pool, 1, 'c', out));
  CHECK_EQ(out[0], 0);
  test_close(pool);
}

static int count_up(void *context, void *item) {
  int *next = (int *)context;
  *(int *)item = *next;
  return ++*next <= 50;
}

static void check_imap_index(procpool *pool, procpool_function function, size_t chunksize, bool unordered) {
  procpool_imap_options options = {.chunksize = chunksize, .unordered = unordered};
  procpool_iterator *iterator;
  procpool_future *future;
  int next = 0, seen = 0;
  CHECK_OK(procpool_imap(pool, function, count_up, &next, sizeof(int), &options, &iterator));
  while (procpool_next(iterator, PROCPOOL_FOREVER, &future) == PROCPOOL_OK) {
    size_t index = 12345;
    seen++;
    if (function == task_index_or_death && procpool_future_index(future) % 3 == 1) {
      CHECK_STATUS(procpool_future_status(future), PROCPOOL_CRASHED);
      continue;
    }
    CHECK_OK(procpool_future_result(future, 0, &index, sizeof(index), NULL));
    CHECK_EQ(index, procpool_future_index(future));
    CHECK_EQ(index, procpool_iterator_index(iterator));
  }
  CHECK_EQ(seen, 50);
  procpool_iterator_free(iterator);
}

TEST_STARTS(task_index_of_an_imap, EVERY) {
  procpool *pool = test_open(start, 2);
  for (size_t chunksize = 1; chunksize <= 16; chunksize *= 4)
    for (int unordered = 0; unordered < 2; unordered++)
      check_imap_index(pool, task_index, chunksize, unordered != 0);
  test_close(pool);
}

TEST_STARTS(task_index_of_what_is_handed_out_again, PROCESSES) {
  enum { COUNT = 30 };
  static int in[COUNT];
  static size_t out[COUNT];
  procpool *pool = test_open(start, 2);
  procpool_map_options options = {.chunksize = 10};
  CHECK_STATUS(procpool_map(pool, task_index_or_death, in, sizeof(int), out, sizeof(size_t), COUNT, &options),
               PROCPOOL_CRASHED);
  CHECK_EQ(options.failed_count, COUNT / 3);
  for (size_t i = 0; i < COUNT; i++)
    if (i % 3 != 1)
      CHECK_EQ(out[i], i);
  check_imap_index(pool, task_index_or_death, 10, false);
  test_close(pool);
}

/* A task that opens a pool, whose tasks run in the same thread: each has its own index. */
static void task_with_a_pool(procpool_task *task) {
  procpool *inner = test_open(PROCPOOL_START_INLINE, 1);
  size_t seen[2] = {12345, 0};
  procpool_future *futures[3];
  CHECK_OK(procpool_submit_many(inner, task_index, NULL, 0, 3, NULL, futures, NULL));
  for (size_t i = 0; i < 3; i++)
    CHECK_EQ(settled_index(futures[i]), i);
  test_close(inner);
  seen[0] = procpool_task_index();
  procpool_task_return(task, seen, sizeof(seen[0]));
}

TEST_STARTS(task_index_of_a_pool_in_a_task, EVERY) {
  procpool *pool = test_open(start, 1);
  procpool_future *futures[6];
  CHECK_OK(procpool_submit_many(pool, task_with_a_pool, NULL, 0, 6, NULL, futures, NULL));
  for (size_t i = 0; i < 6; i++)
    CHECK_EQ(settled_index(futures[i]), i);
  test_close(pool);
}

/* A thread that polls is not held up by another one that copies, reserves, or looks at many tasks: it polls again and
 * again while that takes place. */
TEST_STARTS_LIMIT(r148_poll_beside_large_calls, CONCURRENT, 120) {
  static void (*const calls[])(procpool *, void *, size_t) = {submit_large, allocate_large, submit_many_tasks,
                                                              count_tasks};
  const size_t size = (size_t)(test_instrumented() ? 64 : 128) << 20;
  unsigned char *bytes = (unsigned char *)malloc(size);
  CHECK(bytes != NULL);
  memset(bytes, 1, size);
  for (int i = 0; i < 4; i++) {
    procpool_options options = {.max_queued = 300000};
    procpool *pool = test_open_with(start, 1, &options);
    frames f = {pool, 0, 0};
    const test_job job = job_of(0);
    procpool_future *blocker;
    pthread_t thread;
    int before, after;
    page->started = page->gate = 0;
    blocker = test_submit(pool, task_block, &job, sizeof(job)); /* so that all others wait */
    if (i == 3)
      submit_many_tasks(pool, bytes, size);
    thread = test_thread(draw_frames, &f);
    gate_wait(&f.polls, 10);
    before = gate_read(&f.polls);
    calls[i](pool, bytes, size);
    after = gate_read(&f.polls);
    gate_add(&page->gate, 1);
    gate_add(&f.stop, 1);
    test_join(thread);
    CHECK_GE(after - before, 20);
    CHECK_OK(procpool_future_release(blocker));
    test_close_by(pool, PROCPOOL_KILL);
  }
  free(bytes);
}
