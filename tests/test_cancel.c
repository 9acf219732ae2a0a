/* Cancelling what has not begun. */
#include "harness.h"

static procpool_future *block(procpool *pool, int index) {
  const test_job job = job_of(index);
  return test_submit(pool, task_block, &job, sizeof(job));
}

static procpool_future *count(procpool *pool, int index) {
  const test_job job = job_of(index);
  return test_submit(pool, task_count, &job, sizeof(job));
}

static void finish(procpool_future *future, procpool_status expected) {
  CHECK_SETTLES(future, expected);
  CHECK_OK(procpool_future_release(future));
}

TEST_STARTS(r057_cancelled_body_never_runs, CONCURRENT) {
  procpool *pool = test_open(start, 1);
  procpool_future *blocker = block(pool, 0), *victim, *next;
  gate_wait(&page->started, 1);
  victim = count(pool, 1);
  next = count(pool, 2);
  CHECK_STATUS(procpool_future_cancel(victim), PROCPOOL_CANCELLED);
  CHECK_STATUS(procpool_future_wait(victim, 0), PROCPOOL_CANCELLED);
  gate_add(&page->gate, 1);
  finish(blocker, PROCPOOL_OK);
  finish(next, PROCPOOL_OK);
  finish(victim, PROCPOOL_CANCELLED);
  test_close(pool);
  CHECK_EQ(page->count, 1);
  CHECK_EQ(page->order[0], 2);
}

TEST(r057_cancelled_body_never_runs_inline) {
  procpool *pool = test_open(PROCPOOL_START_INLINE, 1);
  procpool_future *victim = count(pool, 1), *next = count(pool, 2);
  CHECK_STATUS(procpool_future_cancel(victim), PROCPOOL_CANCELLED);
  finish(next, PROCPOOL_OK);
  finish(victim, PROCPOOL_CANCELLED);
  test_close(pool);
  CHECK_EQ(page->count, 1);
  CHECK_EQ(page->order[0], 2);
}

TEST_STARTS(r057_slots_of_cancelled_tasks_are_used_again, CONCURRENT) {
  procpool_options options = {0};
  procpool *pool;
  procpool_future *blocker;
  options.max_queued = 3;
  pool = test_open_with(start, 1, &options);
  blocker = block(pool, 0);
  gate_wait(&page->started, 1);
  for (int i = 0; i < 1000; i++) {
    procpool_future *a = count(pool, i), *b = count(pool, i);
    CHECK_STATUS(try_submit(pool, task_nothing, NULL, 0, NULL), PROCPOOL_FULL);
    CHECK_STATUS(procpool_future_cancel(i % 2 == 0 ? a : b), PROCPOOL_CANCELLED);
    CHECK_STATUS(procpool_future_cancel(i % 2 == 0 ? b : a), PROCPOOL_CANCELLED);
    CHECK_OK(procpool_future_release(a));
    CHECK_OK(procpool_future_release(b));
  }
  gate_add(&page->gate, 1);
  finish(blocker, PROCPOOL_OK);
  CHECK_WORKS(pool);
  CHECK_EQ(page->count, 0);
  CHECK_EQ(test_stats(pool).submitted, 2002);
  CHECK_EQ(test_stats(pool).settled, 2002);
  test_close(pool);
}

/* The places in the order of tasks are more than the tasks, but not without end: one that waits is never written over. */
TEST_STARTS(r057_a_waiting_task_survives_many_cancelled_behind_it, CONCURRENT) {
  procpool_options options = {0};
  procpool *pool;
  procpool_future *blocker, *waiting;
  options.max_queued = 4;
  pool = test_open_with(start, 1, &options);
  blocker = block(pool, 0);
  gate_wait(&page->started, 1);
  waiting = count(pool, 777);
  for (int i = 0; i < 1000; i++) {
    const test_job job = job_of(i);
    procpool_future *future = NULL;
    const procpool_status status = try_submit(pool, task_count, &job, sizeof(job), &future);
    if (status == PROCPOOL_OK)
      CHECK_STATUS(procpool_future_cancel(future), PROCPOOL_CANCELLED);
    else
      CHECK_STATUS(status, PROCPOOL_FULL);
    CHECK_OK(procpool_future_release(future));
  }
  gate_add(&page->gate, 1);
  finish(blocker, PROCPOOL_OK);
  finish(waiting, PROCPOOL_OK);
  CHECK_EQ(page->count, 1);
  CHECK_EQ(page->order[0], 777);
  CHECK_WORKS(pool);
  test_close(pool);
}

TEST_STARTS(r057_large_arguments_of_cancelled_tasks_are_freed, PROCESSES) {
  procpool_options options = {0};
  procpool *pool;
  procpool_future *blocker;
  void *big = calloc(1, 4 << 20);
  CHECK(big != NULL);
  options.max_memory = 16 << 20;
  pool = test_open_with(start, 1, &options);
  blocker = block(pool, 0);
  gate_wait(&page->started, 1);
  for (int i = 0; i < 50; i++) {
    procpool_future *future = NULL;
    CHECK_OK(try_submit(pool, task_sum, big, 4 << 20, &future));
    CHECK_STATUS(procpool_future_cancel(future), PROCPOOL_CANCELLED);
    CHECK_OK(procpool_future_release(future));
  }
  gate_add(&page->gate, 1);
  finish(blocker, PROCPOOL_OK);
  test_close(pool);
  free(big);
}

/* Freed apart from each other, large blocks cannot be merged: the arena's list of free ones must have room for all. */
TEST_STARTS(r057_large_arguments_freed_apart, PROCESSES) {
  enum { COUNT = 200, SIZE = 1500000 };
  procpool_options options = {0};
  procpool *pool;
  procpool_future *blocker, *futures[COUNT];
  unsigned char *big = calloc(1, SIZE);
  CHECK(big != NULL);
  options.max_memory = (size_t)1 << 30;
  pool = test_open_with(start, 1, &options);
  blocker = block(pool, 0);
  gate_wait(&page->started, 1);
  for (int i = 0; i < COUNT; i++)
    CHECK_OK(try_submit(pool, task_sum, big, SIZE, &futures[i]));
  for (int i = 0; i < COUNT; i += 2)
    CHECK_STATUS(procpool_future_cancel(futures[i]), PROCPOOL_CANCELLED);
  gate_add(&page->gate, 1);
  finish(blocker, PROCPOOL_OK);
  for (int i = 0; i < COUNT; i++) {
    CHECK_SETTLES(futures[i], i % 2 == 0 ? PROCPOOL_CANCELLED : PROCPOOL_OK);
    CHECK_OK(procpool_future_release(futures[i]));
  }
  test_close(pool);
  free(big);
}

/* A future that is held may be cancelled after the pool was freed: it has settled, and nothing else happens. */
TEST_STARTS(r049_cancel_after_the_pool_is_freed, PROCESSES) {
  procpool *pool = test_open(start, 1);
  procpool_future *future = count(pool, 1);
  CHECK(procpool_fd(pool) >= 0);
  CHECK_SETTLES(future, PROCPOOL_OK);
  CHECK_OK(procpool_free(pool));
  CHECK_STATUS(procpool_future_cancel(future), PROCPOOL_OK);
  CHECK_OK(procpool_future_release(future));
}

TEST_STARTS(r058_cancel_queued_then_kill_running, PROCESSES) {
  procpool *pool = test_open(start, 1);
  procpool_future *a = block(pool, 0), *b, *c;
  gate_wait(&page->started, 1);
  b = count(pool, 1);
  c = count(pool, 2);
  CHECK_STATUS(procpool_future_cancel(b), PROCPOOL_CANCELLED);
  CHECK_EQ(kill(page->pid[0], SIGKILL), 0);
  finish(a, PROCPOOL_CRASHED);
  finish(c, PROCPOOL_OK);
  finish(b, PROCPOOL_CANCELLED);
  CHECK_EQ(page->count, 1);
  test_close(pool);
}

TEST_STARTS(r058_cancel_everything_that_waits, CONCURRENT) {
  enum { COUNT = 500 };
  procpool *pool = test_open(start, 1);
  procpool_future *blocker = block(pool, 0), *futures[COUNT], *next;
  gate_wait(&page->started, 1);
  for (int i = 0; i < COUNT; i++)
    futures[i] = count(pool, i);
  for (int i = COUNT - 1; i >= 0; i--)
    CHECK_STATUS(procpool_future_cancel(futures[i]), PROCPOOL_CANCELLED);
  CHECK_EQ(test_stats(pool).queued, 0);
  next = count(pool, 777);
  gate_add(&page->gate, 1);
  finish(next, PROCPOOL_OK);
  finish(blocker, PROCPOOL_OK);
  CHECK_EQ(page->count, 1);
  CHECK_EQ(page->order[0], 777);
  for (int i = 0; i < COUNT; i++)
    finish(futures[i], PROCPOOL_CANCELLED);
  test_close(pool);
}

/* Cancel races with the claim: what it answers is what happens. */
TEST_STARTS(r061_cancel_races_with_the_claim, CONCURRENT) {
  procpool *pool = test_open(start, 2);
  const int rounds = test_rounds(10000);
  int ran = 0;
  for (int i = 0; i < rounds; i++) {
    procpool_future *future = count(pool, i);
    procpool_status answer;
    for (int wait = i % 64; wait > 0; wait--)
      __atomic_thread_fence(__ATOMIC_SEQ_CST);
    answer = procpool_future_cancel(future);
    if (answer == PROCPOOL_PENDING)
      finish(future, PROCPOOL_OK);
    else
      finish(future, answer);
    CHECK(answer == PROCPOOL_PENDING || answer == PROCPOOL_OK || answer == PROCPOOL_CANCELLED);
    ran += answer != PROCPOOL_CANCELLED;
  }
  CHECK_EQ(test_stats(pool).settled, rounds);
  test_close(pool);
  CHECK_EQ(page->count, ran); /* no body of a cancelled one, every body of another */
}

typedef struct rivals {
  procpool_future *future;
  int go;
  int cancelled;
  int refused;
} rivals;

static void *cancel_in_a_thread(void *context) {
  rivals *self = (rivals *)context;
  procpool_status status;
  gate_wait(&self->go, 1);
  status = procpool_future_cancel(self->future);
  gate_add(status == PROCPOOL_CANCELLED ? &self->cancelled : &self->refused, 1);
  return NULL;
}

TEST_STARTS(r061_several_threads_cancel_one, CONCURRENT) {
  procpool *pool = test_open(start, 1);
  for (int round = 0; round < test_rounds(100); round++) {
    rivals self = {count(pool, round), 0, 0, 0};
    pthread_t threads[4];
    procpool_status outcome;
    for (int i = 0; i < 4; i++)
      threads[i] = test_thread(cancel_in_a_thread, &self);
    gate_add(&self.go, 1);
    for (int i = 0; i < 4; i++)
      test_join(threads[i]);
    outcome = procpool_future_wait(self.future, PROCPOOL_FOREVER);
    CHECK(outcome == PROCPOOL_OK || outcome == PROCPOOL_CANCELLED);
    CHECK_EQ(self.cancelled, outcome == PROCPOOL_CANCELLED ? 4 : 0);
    CHECK_EQ(self.refused, outcome == PROCPOOL_CANCELLED ? 0 : 4);
    CHECK_OK(procpool_future_release(self.future));
  }
  test_close(pool);
}

static void task_poll_cancelled(procpool_task *task) {
  const test_job *job = job_begin(task);
  gate_add(&page->started, 1);
  while (!procpool_task_cancelled(task))
    sched_yield();
  gate_add(&page->finished, 1);
  procpool_task_return(task, &job->index, sizeof(job->index));
}

/* Threads cannot be killed: the task asks, and returns; that outcome counts. */
TEST(r062_task_of_a_thread_asks_whether_it_is_wanted) {
  procpool *pool = test_open(PROCPOOL_START_THREAD, 1);
  const test_job job = job_of(0);
  procpool_future *future = test_submit(pool, task_poll_cancelled, &job, sizeof(job));
  procpool_future *queued = test_submit(pool, task_nothing, NULL, 0);
  gate_wait(&page->started, 1);
  CHECK_OK(procpool_shutdown(pool, PROCPOOL_KILL, PROCPOOL_FOREVER));
  CHECK_EQ(page->finished, 1);
  finish(queued, PROCPOOL_SHUTDOWN);
  finish(future, PROCPOOL_OK);
  CHECK_OK(procpool_free(pool));
}

static void task_ask(procpool_task *task) {
  const int cancelled = procpool_task_cancelled(task);
  procpool_task_return(task, &cancelled, sizeof(cancelled));
}

TEST_STARTS(r062_a_wanted_task_is_not_cancelled, EVERY) {
  procpool *pool = test_open(start, 1);
  procpool_future *future = test_submit(pool, task_ask, NULL, 0);
  int cancelled = -1;
  CHECK_OK(procpool_future_result(future, PROCPOOL_FOREVER, &cancelled, sizeof(cancelled), NULL));
  CHECK_EQ(cancelled, 0);
  CHECK_OK(procpool_future_release(future));
  test_close(pool);
}
