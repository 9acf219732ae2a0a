/* wait, as_completed, the descriptor, interruption. */
#include "harness.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/time.h>
#include <time.h>

static procpool_future *gated(procpool *pool, int index) {
  const test_job job = job_with(index, index);
  return test_submit(pool, task_gate, &job, sizeof(job));
}

static procpool_future *quick(procpool *pool) {
  const int in = 1;
  return test_submit(pool, task_twice, &in, sizeof(in));
}

static procpool_future *failing(procpool *pool) {
  const test_job job = job_with(1, 1);
  return test_submit(pool, task_fail, &job, sizeof(job));
}

static void settle_and_release(procpool_future **futures, int count) {
  for (int i = 0; i < count; i++) {
    CHECK_NE(procpool_future_wait(futures[i], PROCPOOL_FOREVER), PROCPOOL_PENDING);
    CHECK_OK(procpool_future_release(futures[i]));
  }
}

/* ---- modes ---- */

TEST_STARTS(r041_all_completed, EVERY) {
  procpool *pool = test_open(start, 2);
  procpool_future *futures[50];
  size_t done = 77;
  for (int i = 0; i < 50; i++)
    futures[i] = i % 5 == 0 ? failing(pool) : quick(pool);
  CHECK_OK(procpool_wait(futures, 50, PROCPOOL_ALL_COMPLETED, PROCPOOL_FOREVER, &done));
  CHECK_EQ(done, 50);
  for (int i = 0; i < 50; i++)
    CHECK_STATUS(procpool_future_status(futures[i]), i % 5 == 0 ? PROCPOOL_FAILED : PROCPOOL_OK);
  settle_and_release(futures, 50);
  test_close(pool);
}

TEST_STARTS(r041_all_completed_waits_for_the_last, CONCURRENT) {
  procpool *pool = test_open(start, 3);
  procpool_future *futures[3] = {quick(pool), gated(pool, 1), quick(pool)};
  size_t done = 77;
  CHECK_SETTLES(futures[0], PROCPOOL_OK);
  CHECK_SETTLES(futures[2], PROCPOOL_OK);
  CHECK_STATUS(procpool_wait(futures, 3, PROCPOOL_ALL_COMPLETED, 0.05, &done), PROCPOOL_PENDING);
  CHECK_EQ(done, 2);
  CHECK(procpool_future_done(futures[0]) && !procpool_future_done(futures[1]) && procpool_future_done(futures[2]));
  gate_add(&page->word[1], 1);
  CHECK_OK(procpool_wait(futures, 3, PROCPOOL_ALL_COMPLETED, PROCPOOL_FOREVER, &done));
  CHECK_EQ(done, 3);
  settle_and_release(futures, 3);
  test_close(pool);
}

TEST_STARTS(r041_first_completed, CONCURRENT) {
  procpool *pool = test_open(start, 3);
  procpool_future *futures[3] = {gated(pool, 0), gated(pool, 1), gated(pool, 2)};
  size_t done = 77;
  gate_wait(&page->started, 3);
  CHECK_STATUS(procpool_wait(futures, 3, PROCPOOL_FIRST_COMPLETED, 0.02, &done), PROCPOOL_PENDING);
  CHECK_EQ(done, 0);
  gate_add(&page->word[1], 1);
  CHECK_OK(procpool_wait(futures, 3, PROCPOOL_FIRST_COMPLETED, PROCPOOL_FOREVER, &done));
  CHECK_EQ(done, 1);
  CHECK(!procpool_future_done(futures[0]) && procpool_future_done(futures[1]) && !procpool_future_done(futures[2]));
  gate_add(&page->word[0], 1);
  gate_add(&page->word[2], 1);
  settle_and_release(futures, 3);
  test_close(pool);
}

TEST_STARTS(r041_first_exception_stops_at_a_failure, CONCURRENT) {
  procpool *pool = test_open(start, 2);
  procpool_future *futures[3] = {gated(pool, 0), quick(pool), failing(pool)};
  size_t done = 77;
  CHECK_OK(procpool_wait(futures, 3, PROCPOOL_FIRST_EXCEPTION, PROCPOOL_FOREVER, &done));
  CHECK(procpool_future_done(futures[2]));
  CHECK(!procpool_future_done(futures[0]));
  CHECK_EQ(done, 1 + (procpool_future_done(futures[1]) ? 1 : 0));
  gate_add(&page->word[0], 1);
  settle_and_release(futures, 3);
  test_close(pool);
}

TEST_STARTS(r041_first_exception_without_one_waits_for_all, EVERY) {
  procpool *pool = test_open(start, 2);
  procpool_future *futures[20];
  size_t done = 77;
  for (int i = 0; i < 20; i++)
    futures[i] = quick(pool);
  CHECK_OK(procpool_wait(futures, 20, PROCPOOL_FIRST_EXCEPTION, PROCPOOL_FOREVER, &done));
  CHECK_EQ(done, 20);
  settle_and_release(futures, 20);
  test_close(pool);
}

TEST_STARTS(r041_cancelled_is_done_but_no_exception, CONCURRENT) {
  procpool *pool = test_open(start, 1);
  procpool_future *futures[3] = {gated(pool, 0), quick(pool), failing(pool)};
  size_t done = 77;
  gate_wait(&page->started, 1);
  CHECK_STATUS(procpool_future_cancel(futures[1]), PROCPOOL_CANCELLED);
  CHECK_OK(procpool_wait(futures, 3, PROCPOOL_FIRST_COMPLETED, 0, &done));
  CHECK_EQ(done, 1);
  CHECK_STATUS(procpool_wait(futures, 2, PROCPOOL_FIRST_EXCEPTION, 0.02, &done), PROCPOOL_PENDING);
  CHECK_EQ(done, 1);
  gate_add(&page->word[0], 1);
  CHECK_OK(procpool_wait(futures, 3, PROCPOOL_FIRST_EXCEPTION, PROCPOOL_FOREVER, &done));
  CHECK_EQ(done, 3);
  settle_and_release(futures, 3);
  test_close(pool);
}

TEST_STARTS(r041_crash_is_an_exception, PROCESSES) {
  procpool *pool = test_open(start, 2);
  const test_job dying = job_with(5, SIGKILL);
  procpool_future *futures[2] = {gated(pool, 0), NULL};
  gate_wait(&page->started, 1);
  futures[1] = test_submit(pool, task_die, &dying, sizeof(dying));
  CHECK_OK(procpool_wait(futures, 2, PROCPOOL_FIRST_EXCEPTION, PROCPOOL_FOREVER, NULL));
  CHECK_STATUS(procpool_future_status(futures[1]), PROCPOOL_CRASHED);
  CHECK(!procpool_future_done(futures[0]));
  gate_add(&page->word[0], 1);
  settle_and_release(futures, 2);
  test_close(pool);
}

TEST_STARTS(r041_settled_ones_return_at_once, CONCURRENT) {
  procpool *pool = test_open(start, 2);
  procpool_future *futures[2] = {quick(pool), gated(pool, 0)};
  size_t done = 77;
  double begin;
  CHECK_SETTLES(futures[0], PROCPOOL_OK);
  begin = test_now();
  CHECK_OK(procpool_wait(futures, 2, PROCPOOL_FIRST_COMPLETED, PROCPOOL_FOREVER, &done));
  CHECK_OK(procpool_wait(futures, 1, PROCPOOL_ALL_COMPLETED, PROCPOOL_FOREVER, NULL));
  CHECK_SECONDS(test_now() - begin, <, 1.0 * test_slow());
  CHECK_EQ(done, 1);
  gate_add(&page->word[0], 1);
  settle_and_release(futures, 2);
  test_close(pool);
}

TEST_STARTS(r041_several_pools_at_once, EVERY) {
  enum { POOLS = 3, COUNT = 60 };
  procpool *pools[POOLS];
  procpool_future *futures[COUNT];
  size_t done = 77;
  for (int i = 0; i < POOLS; i++)
    pools[i] = test_open(start, 1);
  for (int round = 0; round < 10; round++) {
    for (int i = 0; i < COUNT; i++)
      futures[i] = quick(pools[i % POOLS]);
    CHECK_OK(procpool_wait(futures, COUNT, PROCPOOL_ALL_COMPLETED, PROCPOOL_FOREVER, &done));
    CHECK_EQ(done, COUNT);
    settle_and_release(futures, COUNT);
  }
  for (int i = 0; i < POOLS; i++)
    test_close(pools[i]);
}

/* The one that settles last is in whichever pool: no pool may be waited for alone. */
TEST_STARTS(r041_first_completed_in_any_pool, CONCURRENT) {
  enum { POOLS = 3 };
  for (int first = 0; first < POOLS; first++) {
    procpool *pools[POOLS];
    procpool_future *futures[POOLS];
    size_t done = 77;
    for (int i = 0; i < POOLS; i++)
      pools[i] = test_open(start, 1);
    for (int i = 0; i < POOLS; i++)
      futures[i] = gated(pools[i], 10 * first + i);
    gate_wait(&page->started, POOLS * (first + 1));
    CHECK_STATUS(procpool_wait(futures, POOLS, PROCPOOL_FIRST_COMPLETED, 0.01, &done), PROCPOOL_PENDING);
    gate_add(&page->word[10 * first + first], 1);
    CHECK_OK(procpool_wait(futures, POOLS, PROCPOOL_FIRST_COMPLETED, PROCPOOL_FOREVER, &done));
    CHECK_EQ(done, 1);
    CHECK(procpool_future_done(futures[first]));
    for (int i = 0; i < POOLS; i++)
      gate_add(&page->word[10 * first + i], 1);
    settle_and_release(futures, POOLS);
    for (int i = 0; i < POOLS; i++)
      test_close(pools[i]);
  }
}

typedef struct opener {
  int began;
  int index;
} opener;

static void *open_a_gate_later(void *context) {
  opener *self = (opener *)context;
  gate_wait(&self->began, 1);
  for (int i = 0; i < 100; i++)
    sched_yield();
  gate_add(&page->word[self->index], 1);
  return NULL;
}

/* Asleep in a wait over two pools, woken by the second. */
TEST_STARTS(r041_sleeping_wait_is_woken_by_every_pool, CONCURRENT) {
  for (int i = 0; i < test_rounds(40); i++) {
    procpool *pools[2] = {test_open(start, 1), test_open(start, 1)};
    procpool_future *futures[2] = {gated(pools[0], 0), gated(pools[1], 1)};
    opener self = {0, i % 2};
    pthread_t thread = test_thread(open_a_gate_later, &self);
    gate_add(&self.began, 1);
    CHECK_OK(procpool_wait(futures, 2, PROCPOOL_FIRST_COMPLETED, PROCPOOL_FOREVER, NULL));
    CHECK(procpool_future_done(futures[i % 2]));
    test_join(thread);
    gate_add(&page->word[1 - i % 2], 1);
    settle_and_release(futures, 2);
    gate_add(&page->word[0], -1);
    gate_add(&page->word[1], -1);
    test_close(pools[0]);
    test_close(pools[1]);
  }
}

/* ---- time ---- */

TEST_STARTS(r042_zero_and_negative_timeouts_poll, CONCURRENT) {
  procpool *pool = test_open(start, 1);
  procpool_future *future = gated(pool, 0);
  const double begin = test_now();
  size_t done = 77;
  for (int i = 0; i < 100; i++) {
    CHECK_STATUS(procpool_wait(&future, 1, PROCPOOL_ALL_COMPLETED, 0, &done), PROCPOOL_PENDING);
    CHECK_STATUS(procpool_wait(&future, 1, PROCPOOL_ALL_COMPLETED, -1e9, &done), PROCPOOL_PENDING);
    CHECK_EQ(done, 0);
  }
  CHECK_SECONDS(test_now() - begin, <, 1.0 * test_slow());
  gate_add(&page->word[0], 1);
  settle_and_release(&future, 1);
  test_close(pool);
}

TEST_STARTS(r042_timeouts_are_kept, CONCURRENT) {
  static const double timeouts[] = {0.001, 0.01, 0.1, 0.3};
  procpool *pool = test_open(start, 1);
  procpool_future *future = gated(pool, 0);
  for (size_t i = 0; i < sizeof(timeouts) / sizeof(timeouts[0]); i++) {
    const double begin = test_now();
    CHECK_STATUS(procpool_wait(&future, 1, PROCPOOL_ALL_COMPLETED, timeouts[i], NULL), PROCPOOL_PENDING);
    CHECK_SECONDS(test_now() - begin, >=, timeouts[i]);
    CHECK_SECONDS(test_now() - begin, <, timeouts[i] + 0.25 * test_slow());
  }
  gate_add(&page->word[0], 1);
  settle_and_release(&future, 1);
  test_close(pool);
}

/* ---- the same future several times ---- */

TEST_STARTS(r043_listed_three_times_counted_once, CONCURRENT) {
  procpool *pool = test_open(start, 2);
  procpool_future *a = quick(pool), *b = gated(pool, 0), *futures[5];
  size_t done = 77;
  futures[0] = a, futures[1] = b, futures[2] = a, futures[3] = b, futures[4] = a;
  CHECK_SETTLES(a, PROCPOOL_OK);
  CHECK_STATUS(procpool_wait(futures, 5, PROCPOOL_ALL_COMPLETED, 0, &done), PROCPOOL_PENDING);
  CHECK_EQ(done, 1);
  gate_add(&page->word[0], 1);
  CHECK_OK(procpool_wait(futures, 5, PROCPOOL_ALL_COMPLETED, PROCPOOL_FOREVER, &done));
  CHECK_EQ(done, 2);
  settle_and_release(&a, 1);
  settle_and_release(&b, 1);
  test_close(pool);
}

TEST_STARTS(r043_listed_three_times_yielded_once, EVERY) {
  procpool *pool = test_open(start, 2);
  procpool_future *a = quick(pool), *b = quick(pool), *futures[5], *got[2] = {NULL, NULL}, *rest = NULL;
  procpool_iterator *iterator = NULL;
  futures[0] = a, futures[1] = b, futures[2] = a, futures[3] = b, futures[4] = a;
  CHECK_OK(procpool_as_completed(futures, 5, &iterator));
  CHECK_EQ(procpool_iterator_remaining(iterator), 2);
  CHECK_OK(procpool_next(iterator, PROCPOOL_FOREVER, &got[0]));
  CHECK_OK(procpool_next(iterator, PROCPOOL_FOREVER, &got[1]));
  CHECK((got[0] == a && got[1] == b) || (got[0] == b && got[1] == a));
  CHECK_STATUS(procpool_next(iterator, PROCPOOL_FOREVER, &rest), PROCPOOL_END);
  CHECK_EQ(procpool_iterator_remaining(iterator), 0);
  procpool_iterator_free(iterator);
  settle_and_release(&a, 1);
  settle_and_release(&b, 1);
  test_close(pool);
}

/* ---- as_completed ---- */

TEST_STARTS(r044_each_exactly_once, EVERY) {
  enum { COUNT = 300 };
  procpool *pool = test_open(start, 2);
  procpool_future *futures[COUNT], *future = NULL;
  procpool_iterator *iterator = NULL;
  int seen[COUNT] = {0};
  for (int i = 0; i < COUNT; i++)
    futures[i] = i % 7 == 0 ? failing(pool) : quick(pool);
  CHECK_OK(procpool_as_completed(futures, COUNT, &iterator));
  for (int n = 0; n < COUNT; n++) {
    int at = 0;
    CHECK_EQ(procpool_iterator_remaining(iterator), COUNT - n);
    CHECK_OK(procpool_next(iterator, PROCPOOL_FOREVER, &future));
    CHECK(procpool_future_done(future));
    while (futures[at] != future)
      at++;
    CHECK_EQ(++seen[at], 1);
  }
  CHECK_STATUS(procpool_next(iterator, PROCPOOL_FOREVER, &future), PROCPOOL_END);
  CHECK_STATUS(procpool_next(iterator, 0, &future), PROCPOOL_END);
  procpool_iterator_free(iterator);
  settle_and_release(futures, COUNT);
  test_close(pool);
}

TEST_STARTS(r044_in_the_order_in_which_they_settle, CONCURRENT) {
  enum { COUNT = 4 };
  static const int order[COUNT] = {2, 0, 3, 1};
  procpool *pool = test_open(start, COUNT);
  procpool_future *futures[COUNT], *future = NULL;
  procpool_iterator *iterator = NULL;
  for (int i = 0; i < COUNT; i++)
    futures[i] = gated(pool, i);
  CHECK_OK(procpool_as_completed(futures, COUNT, &iterator));
  for (int i = 0; i < COUNT; i++) {
    CHECK_STATUS(procpool_next(iterator, 0.01, &future), PROCPOOL_PENDING);
    CHECK_EQ(procpool_iterator_remaining(iterator), COUNT - i); /* how many of how many remain */
    gate_add(&page->word[order[i]], 1);
    CHECK_OK(procpool_next(iterator, PROCPOOL_FOREVER, &future));
    CHECK(future == futures[order[i]]);
  }
  procpool_iterator_free(iterator);
  settle_and_release(futures, COUNT);
  test_close(pool);
}

TEST_STARTS(r044_settled_first, CONCURRENT) {
  procpool *pool = test_open(start, 2);
  procpool_future *futures[4] = {gated(pool, 0), quick(pool), quick(pool), quick(pool)}, *future = NULL;
  procpool_iterator *iterator = NULL;
  for (int i = 1; i < 4; i++)
    CHECK_SETTLES(futures[i], PROCPOOL_OK);
  CHECK_OK(procpool_as_completed(futures, 4, &iterator));
  for (int i = 1; i < 4; i++) {
    CHECK_OK(procpool_next(iterator, 0, &future));
    CHECK(future != futures[0]);
  }
  CHECK_STATUS(procpool_next(iterator, 0, &future), PROCPOOL_PENDING);
  CHECK_EQ(procpool_iterator_remaining(iterator), 1);
  gate_add(&page->word[0], 1);
  CHECK_OK(procpool_next(iterator, PROCPOOL_FOREVER, &future));
  CHECK(future == futures[0]);
  procpool_iterator_free(iterator);
  settle_and_release(futures, 4);
  test_close(pool);
}

TEST_STARTS(r044_cancelled_ones_are_delivered, CONCURRENT) {
  procpool *pool = test_open(start, 1);
  procpool_future *futures[2] = {gated(pool, 0), quick(pool)}, *future = NULL;
  procpool_iterator *iterator = NULL;
  gate_wait(&page->started, 1);
  CHECK_OK(procpool_as_completed(futures, 2, &iterator));
  CHECK_STATUS(procpool_future_cancel(futures[1]), PROCPOOL_CANCELLED);
  CHECK_OK(procpool_next(iterator, PROCPOOL_FOREVER, &future));
  CHECK(future == futures[1]);
  gate_add(&page->word[0], 1);
  CHECK_OK(procpool_next(iterator, PROCPOOL_FOREVER, &future));
  CHECK(future == futures[0]);
  procpool_iterator_free(iterator);
  settle_and_release(futures, 2);
  test_close(pool);
}

TEST_STARTS(r044_freed_early, CONCURRENT) {
  procpool *pool = test_open(start, 2);
  procpool_future *futures[3] = {gated(pool, 0), quick(pool), quick(pool)}, *future = NULL;
  procpool_iterator *iterator = NULL;
  CHECK_OK(procpool_as_completed(futures, 3, &iterator));
  CHECK_OK(procpool_next(iterator, PROCPOOL_FOREVER, &future));
  procpool_iterator_free(iterator); /* the futures stay the caller's */
  gate_add(&page->word[0], 1);
  for (int i = 0; i < 3; i++)
    CHECK_SETTLES(futures[i], PROCPOOL_OK);
  settle_and_release(futures, 3);
  test_close(pool);
}

TEST_STARTS(r044_futures_of_several_pools, EVERY) {
  procpool *pools[2] = {test_open(start, 1), test_open(start, 1)};
  procpool_future *futures[40], *future = NULL;
  procpool_iterator *iterator = NULL;
  for (int i = 0; i < 40; i++)
    futures[i] = quick(pools[i % 2]);
  CHECK_OK(procpool_as_completed(futures, 40, &iterator));
  for (int i = 0; i < 40; i++)
    CHECK_OK(procpool_next(iterator, PROCPOOL_FOREVER, &future));
  CHECK_STATUS(procpool_next(iterator, PROCPOOL_FOREVER, &future), PROCPOOL_END);
  procpool_iterator_free(iterator);
  settle_and_release(futures, 40);
  test_close(pools[0]);
  test_close(pools[1]);
}

/* ---- no lost wake-up ---- */

TEST_STARTS_LIMIT(r045_settling_while_a_waiter_registers, EVERY, 60) {
  enum { COUNT = 100 };
  procpool *pool = test_open(start, 2);
  const int rounds = test_rounds(1000);
  for (int round = 0; round < rounds; round++) {
    procpool_future *futures[COUNT];
    size_t done = 0;
    for (int i = 0; i < COUNT; i++)
      futures[i] = quick(pool);
    for (int from = 0; from < COUNT; from += round % 40 + 1)
      CHECK_OK(procpool_wait(futures + from, 1, PROCPOOL_FIRST_COMPLETED, PROCPOOL_FOREVER, NULL));
    CHECK_OK(procpool_wait(futures, COUNT, PROCPOOL_ALL_COMPLETED, PROCPOOL_FOREVER, &done));
    CHECK_EQ(done, COUNT);
    for (int i = 0; i < COUNT; i++)
      CHECK_OK(procpool_future_release(futures[i]));
  }
  test_close(pool);
}

/* One at a time with spinning off: every round both sides fall asleep and are woken. */
TEST_STARTS_LIMIT(r045_ping_pong_without_spinning, CONCURRENT, 60) {
  procpool_options options = {0};
  procpool *pool;
  options.spin_us = -1;
  pool = test_open_with(start, 1, &options);
  for (int i = 0; i < test_rounds(5000); i++)
    CHECK_WORKS(pool);
  test_close(pool);
}

typedef struct canceller {
  procpool_future *future;
  int go, rounds;
} canceller;

/* Without sleeping: both come back from it at nearly the same time. */
static void wait_awake(int *word, int at_least) {
  for (int i = 0; __atomic_load_n(word, __ATOMIC_ACQUIRE) < at_least; i++)
    if (i % 4096 == 4095)
      sched_yield();
}

static void pass_steps(int steps) {
  for (int i = 0; i < steps; i++)
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
}

static void *cancel_each_round(void *context) {
  canceller *self = (canceller *)context;
  for (int round = 1; round <= self->rounds; round++) {
    wait_awake(&self->go, 2 * round - 1);
    pass_steps(round * 7 % 61);
    (void)procpool_future_cancel(self->future);
    __atomic_add_fetch(&self->go, 1, __ATOMIC_RELEASE);
  }
  return NULL;
}

/* The thread that waits runs the task itself, or another thread has taken it away at that very moment: the wait ends. */
TEST_STARTS(r045_cancelled_at_the_moment_of_waiting, EVERY) {
  procpool *pool = test_open(start, 1);
  canceller self = {NULL, 0, test_rounds(start == PROCPOOL_START_INLINE ? 60000 : 3000)};
  pthread_t thread = test_thread(cancel_each_round, &self);
  for (int round = 0; round < self.rounds; round++) {
    procpool_status status;
    self.future = quick(pool);
    __atomic_add_fetch(&self.go, 1, __ATOMIC_RELEASE);
    pass_steps(round % 53);
    status = procpool_future_wait(self.future, PROCPOOL_FOREVER);
    CHECK(status == PROCPOOL_OK || status == PROCPOOL_CANCELLED);
    wait_awake(&self.go, 2 * (round + 1));
    CHECK_OK(procpool_future_release(self.future));
  }
  test_join(thread);
  test_close(pool);
}

/* ---- many threads on one future ---- */

enum { WAITERS = 64 };

typedef struct crowd {
  procpool_future *future;
  int began;
  int woken[32];
} crowd;

static void *wait_in_the_crowd(void *context) {
  crowd *self = (crowd *)context;
  gate_add(&self->began, 1);
  gate_add(&self->woken[procpool_future_wait(self->future, PROCPOOL_FOREVER)], 1);
  return NULL;
}

static void crowd_begin(crowd *self, pthread_t *threads, procpool_future *future) {
  memset(self, 0, sizeof(*self));
  self->future = future;
  for (int i = 0; i < WAITERS; i++)
    threads[i] = test_thread(wait_in_the_crowd, self);
  gate_wait(&self->began, WAITERS);
}

static void crowd_end(crowd *self, pthread_t *threads, procpool_status expected) {
  for (int i = 0; i < WAITERS; i++)
    test_join(threads[i]);
  CHECK_EQ(self->woken[expected], WAITERS);
  CHECK_OK(procpool_future_release(self->future));
}

TEST_STARTS(r046_all_wake_for_a_result, CONCURRENT) {
  procpool *pool = test_open(start, 1);
  pthread_t threads[WAITERS];
  crowd self;
  crowd_begin(&self, threads, gated(pool, 0));
  gate_add(&page->word[0], 1);
  crowd_end(&self, threads, PROCPOOL_OK);
  test_close(pool);
}

/* One of them runs it. */
TEST(r046_all_wake_for_a_result_inline) {
  procpool *pool = test_open(PROCPOOL_START_INLINE, 1);
  pthread_t threads[WAITERS];
  crowd self;
  crowd_begin(&self, threads, quick(pool));
  crowd_end(&self, threads, PROCPOOL_OK);
  test_close(pool);
}

TEST_STARTS(r046_all_wake_for_a_cancel, CONCURRENT) {
  procpool *pool = test_open(start, 1);
  pthread_t threads[WAITERS];
  procpool_future *blocker = gated(pool, 0);
  crowd self;
  gate_wait(&page->started, 1);
  crowd_begin(&self, threads, quick(pool));
  CHECK_STATUS(procpool_future_cancel(self.future), PROCPOOL_CANCELLED);
  crowd_end(&self, threads, PROCPOOL_CANCELLED);
  gate_add(&page->word[0], 1);
  settle_and_release(&blocker, 1);
  test_close(pool);
}

TEST_STARTS(r046_all_wake_for_a_crash, PROCESSES) {
  procpool *pool = test_open(start, 1);
  pthread_t threads[WAITERS];
  procpool_future *blocker = gated(pool, 0);
  crowd self;
  gate_wait(&page->started, 1);
  crowd_begin(&self, threads, blocker);
  CHECK_EQ(kill(page->pid[0], SIGKILL), 0);
  crowd_end(&self, threads, PROCPOOL_CRASHED);
  test_close(pool);
}

TEST_STARTS(r046_all_wake_for_a_shutdown, PROCESSES) {
  procpool *pool = test_open(start, 1);
  pthread_t threads[WAITERS];
  crowd self;
  crowd_begin(&self, threads, gated(pool, 0));
  CHECK_OK(procpool_shutdown(pool, PROCPOOL_KILL, PROCPOOL_FOREVER));
  crowd_end(&self, threads, PROCPOOL_SHUTDOWN);
  CHECK_OK(procpool_free(pool));
}

/* ---- the descriptor ---- */

TEST_STARTS(r047_descriptor_signals_every_completion, EVERY) {
  procpool *pool = test_open(start, 1);
  struct pollfd entry;
  entry.fd = procpool_fd(pool);
  entry.events = POLLIN;
  CHECK_GT(entry.fd, 2);
  CHECK_EQ(fcntl(entry.fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
  CHECK_EQ(procpool_fd(pool), entry.fd);
  for (int i = 0; i < test_rounds(500); i++) {
    procpool_future *future = quick(pool);
    while (!known_done(future)) {
      CHECK_EQ(poll(&entry, 1, 10000), 1); /* a missed completion would end here */
      CHECK_POLL(procpool_poll(pool, 0));
    }
    CHECK_OK(procpool_future_release(future));
  }
  test_close(pool);
}

TEST_STARTS(r047_descriptor_comes_to_rest, EVERY) {
  procpool *pool = test_open(start, 1);
  struct pollfd entry;
  procpool_future *future;
  entry.fd = procpool_fd(pool);
  entry.events = POLLIN;
  future = quick(pool);
  while (!known_done(future)) {
    CHECK_EQ(poll(&entry, 1, 10000), 1);
    CHECK_POLL(procpool_poll(pool, 0));
  }
  CHECK_OK(procpool_future_release(future));
  for (int i = 0; i < 10 && poll(&entry, 1, 0) != 0; i++)
    CHECK_POLL(procpool_poll(pool, 0));
  CHECK_EQ(poll(&entry, 1, 50), 0); /* nothing is going on: a loop would not spin */
  test_close(pool);
}

TEST_STARTS(r047_descriptor_among_foreign_ones, CONCURRENT) {
  procpool *pool = test_open(start, 1);
  procpool_future *future = gated(pool, 0);
  struct pollfd entries[2];
  int ends[2], foreign = 0;
  char byte = 'x';
  CHECK_EQ(pipe(ends), 0);
  entries[0].fd = ends[0];
  entries[1].fd = procpool_fd(pool);
  entries[0].events = entries[1].events = POLLIN;
  CHECK_EQ(write(ends[1], &byte, 1), 1);
  while (!known_done(future)) {
    CHECK_GE(poll(entries, 2, 10000), 1);
    if ((entries[0].revents & POLLIN) != 0) {
      CHECK_EQ(read(ends[0], &byte, 1), 1);
      foreign++;
      gate_add(&page->word[0], 1); /* only now can the task end */
    }
    if ((entries[1].revents & POLLIN) != 0)
      CHECK_POLL(procpool_poll(pool, 0));
  }
  CHECK_EQ(foreign, 1);
  close(ends[0]);
  close(ends[1]);
  settle_and_release(&future, 1);
  test_close(pool);
}

TEST_STARTS(r047_descriptor_signals_a_crash, PROCESSES) {
  procpool *pool = test_open(start, 1);
  const test_job job = job_with(0, SIGKILL);
  procpool_future *future = test_submit(pool, task_die, &job, sizeof(job));
  struct pollfd entry;
  entry.fd = procpool_fd(pool);
  entry.events = POLLIN;
  while (!known_done(future)) {
    CHECK_EQ(poll(&entry, 1, 10000), 1);
    CHECK_POLL(procpool_poll(pool, 0));
  }
  settle_and_release(&future, 1);
  test_close(pool);
}

/* Results that came before the program asked for the descriptor, or before the poll, are not missed. */
TEST_STARTS(r047_descriptor_after_the_fact, CONCURRENT) {
  procpool *pool = test_open(start, 1);
  const test_job job = job_of(0);
  procpool_future *future = test_submit(pool, task_count, &job, sizeof(job));
  struct pollfd entry;
  while (gate_read(&page->count) == 0)
    sched_yield();
  entry.fd = procpool_fd(pool);
  entry.events = POLLIN;
  while (!known_done(future)) {
    CHECK_EQ(poll(&entry, 1, 10000), 1);
    CHECK_POLL(procpool_poll(pool, 0));
  }
  settle_and_release(&future, 1);
  test_close(pool);
}

/* ---- interruption ---- */

TEST_STARTS(interrupt_ends_the_next_wait, CONCURRENT) {
  procpool *pool = test_open(start, 1);
  procpool_future *future = gated(pool, 0);
  gate_wait(&page->started, 1);
  procpool_interrupt(pool);
  CHECK_STATUS(procpool_future_wait(future, PROCPOOL_FOREVER), PROCPOOL_INTERRUPTED);
  CHECK_STATUS(procpool_future_wait(future, 0.01), PROCPOOL_PENDING); /* that one only */
  gate_add(&page->word[0], 1);
  settle_and_release(&future, 1);
  test_close(pool);
}

/* An iterator over two pools: an interrupt ends one call, and the next one sees both pools. */
TEST_STARTS(interrupt_ends_one_call_of_an_iterator, CONCURRENT) {
  procpool *a = test_open(start, 1), *b = test_open(start, 1);
  procpool_future *futures[2], *next;
  procpool_iterator *iterator;
  futures[0] = gated(a, 0);
  futures[1] = gated(b, 1);
  CHECK_OK(procpool_as_completed(futures, 2, &iterator));
  procpool_interrupt(a);
  CHECK_STATUS(procpool_next(iterator, PROCPOOL_FOREVER, &next), PROCPOOL_INTERRUPTED);
  CHECK_STATUS(procpool_next(iterator, 0.01, &next), PROCPOOL_PENDING);
  gate_add(&page->word[1], 1);
  CHECK_OK(procpool_next(iterator, PROCPOOL_FOREVER, &next));
  CHECK(next == futures[1]);
  gate_add(&page->word[0], 1);
  CHECK_OK(procpool_next(iterator, PROCPOOL_FOREVER, &next));
  procpool_iterator_free(iterator);
  settle_and_release(futures, 2);
  test_close(a);
  test_close(b);
}

static procpool_future *asked_within;
static void ask_within(procpool_future *future, void *context) {
  (void)future;
  CHECK_OK(procpool_next((procpool_iterator *)context, 0, &asked_within));
}

/* A callback that a call on an iterator runs asks the same one: each delivers something else, and nothing is left in the
 * pools' lists, through which an interrupt goes. */
TEST_STARTS(r041_an_iterator_is_asked_within_a_callback, CONCURRENT) {
  for (int together = 0; together < 2; together++) {
    procpool *a = test_open(start, 1), *b = test_open(start, 1);
    procpool_future *futures[3], *next, *last;
    procpool_iterator *iterator;
    procpool_status ended;
    page->word[0] = page->word[1] = 0;
    CHECK_GE(procpool_fd(a), 0);
    futures[0] = quick(b);
    CHECK_SETTLES(futures[0], PROCPOOL_OK);
    futures[1] = gated(a, 0);
    futures[2] = gated(b, 1);
    CHECK_OK(procpool_as_completed(futures, 3, &iterator));
    CHECK_OK(procpool_next(iterator, PROCPOOL_FOREVER, &next));
    CHECK(next == futures[0]);
    CHECK_OK(procpool_future_add_done_callback(futures[1], ask_within, iterator));
    gate_add(&page->word[0], 1);
    if (together)
      gate_add(&page->word[1], 1);
    usleep(50000);
    if (!together)
      CHECK_STATUS(procpool_next(iterator, 0.05, &next), PROCPOOL_PENDING); /* the callback has had it */
    else
      CHECK_OK(procpool_next(iterator, PROCPOOL_FOREVER, &next));
    CHECK(asked_within != NULL && asked_within != futures[0]);
    gate_add(&page->word[1], 1);
    CHECK_STATUS(procpool_next(iterator, PROCPOOL_FOREVER, &last), together ? PROCPOOL_END : PROCPOOL_OK);
    CHECK((together ? next : last) != asked_within);
    CHECK_STATUS(procpool_next(iterator, PROCPOOL_FOREVER, &last), PROCPOOL_END);
    procpool_interrupt(a);
    CHECK_POLL(procpool_poll(a, 0)); /* takes the descriptor's readiness away, and tells all in the list */
    procpool_iterator_free(iterator);
    ended = procpool_shutdown(a, PROCPOOL_DRAIN, PROCPOOL_FOREVER);
    CHECK(ended == PROCPOOL_OK || ended == PROCPOOL_INTERRUPTED);
    settle_and_release(futures, 3);
    CHECK_OK(procpool_free(a));
    test_close(b);
  }
}

/* A wait that ends by what has settled takes no interrupt, on several pools as on one: the next wait ends by it. */
TEST_STARTS(interrupt_is_left_by_a_wait_that_is_over, CONCURRENT) {
  for (int two = 0; two < 2; two++) {
    procpool *a = test_open(start, 2), *b = two ? test_open(start, 2) : a;
    procpool_future *settled[2] = {quick(a), quick(b)}, *waiting[2] = {gated(a, 0), gated(b, 1)};
    procpool_future *next, *all[3] = {settled[0], waiting[0], waiting[1]};
    procpool_iterator *iterator;
    CHECK_OK(procpool_wait(settled, 2, PROCPOOL_ALL_COMPLETED, PROCPOOL_FOREVER, NULL));
    CHECK_OK(procpool_as_completed(all, 3, &iterator));
    procpool_interrupt(a);
    CHECK_OK(procpool_wait(settled, 2, PROCPOOL_ALL_COMPLETED, PROCPOOL_FOREVER, NULL));
    CHECK_STATUS(procpool_wait(waiting, 2, PROCPOOL_ALL_COMPLETED, 1, NULL), PROCPOOL_INTERRUPTED);
    CHECK_STATUS(procpool_wait(waiting, 2, PROCPOOL_ALL_COMPLETED, 0.01, NULL), PROCPOOL_PENDING); /* that one only */
    procpool_interrupt(b);
    CHECK_OK(procpool_next(iterator, PROCPOOL_FOREVER, &next));
    CHECK(next == settled[0]);
    CHECK_STATUS(procpool_next(iterator, 1, &next), PROCPOOL_INTERRUPTED);
    CHECK_STATUS(procpool_next(iterator, 0.01, &next), PROCPOOL_PENDING);
    procpool_iterator_free(iterator);
    gate_add(&page->word[0], 1);
    gate_add(&page->word[1], 1);
    settle_and_release(settled, 2);
    settle_and_release(waiting, 2);
    page->word[0] = page->word[1] = 0;
    test_close(a);
    if (two)
      test_close(b);
  }
}

static void look_at_both(procpool_future *future, void *context) {
  procpool_future **futures = (procpool_future **)context;
  (void)future;
  CHECK_STATUS(procpool_wait(futures, 1, PROCPOOL_ALL_COMPLETED, 0, NULL), PROCPOOL_PENDING);
  CHECK_STATUS(procpool_wait(futures, 2, PROCPOOL_ALL_COMPLETED, 0, NULL), PROCPOOL_PENDING);
  CHECK_STATUS(procpool_wait(futures, 2, PROCPOOL_ALL_COMPLETED, 1, NULL), PROCPOOL_DEADLOCK);
}

/* In a callback a look is allowed, over two pools too; a wait is not. */
TEST_STARTS(r044_a_look_in_a_callback, CONCURRENT) {
  procpool *a = test_open(start, 2), *b = test_open(start, 1);
  procpool_future *futures[2] = {gated(a, 0), gated(b, 1)}, *first = quick(a);
  CHECK_OK(procpool_future_add_done_callback(first, look_at_both, futures));
  CHECK_OK(procpool_future_wait(first, PROCPOOL_FOREVER));
  CHECK_OK(procpool_future_release(first));
  gate_add(&page->word[0], 1);
  gate_add(&page->word[1], 1);
  settle_and_release(futures, 2);
  test_close(a);
  test_close(b);
}

static void look_until_settled(procpool_future *future, void *context) {
  procpool_future **futures = (procpool_future **)context, *next;
  procpool_iterator *iterator;
  procpool_status status = PROCPOOL_PENDING;
  size_t done = 0;
  (void)future;
  gate_add(&page->word[0], 1);
  gate_add(&page->word[1], 1);
  for (int i = 0; i < 1000 && status == PROCPOOL_PENDING; i++) {
    (void)poll(NULL, 0, 10);
    status = procpool_wait(futures, 2, PROCPOOL_ALL_COMPLETED, 0, &done);
  }
  CHECK_STATUS(status, PROCPOOL_OK);
  CHECK_EQ(done, 2);
  gate_add(&page->word[2], 1);
  CHECK_OK(procpool_as_completed(&futures[2], 2, &iterator)); /* the other one goes on, in the other pool */
  status = PROCPOOL_PENDING;
  for (int i = 0; i < 1000 && status == PROCPOOL_PENDING; i++) {
    (void)poll(NULL, 0, 10);
    status = procpool_next(iterator, 0, &next);
  }
  CHECK_STATUS(status, PROCPOOL_OK);
  CHECK(next == futures[2]);
  procpool_iterator_free(iterator);
}

/* And it takes in what has come since, to the callback's own pool too. */
TEST_STARTS(r041_a_look_in_a_callback_takes_in, CONCURRENT) {
  procpool *a = test_open(start, 3), *b = test_open(start, 2);
  procpool_future *futures[4] = {gated(a, 0), gated(b, 1), gated(a, 2), gated(b, 3)}, *first = quick(a);
  CHECK_OK(procpool_future_add_done_callback(first, look_until_settled, futures));
  CHECK_OK(procpool_future_wait(first, PROCPOOL_FOREVER));
  CHECK_OK(procpool_future_release(first));
  gate_add(&page->word[3], 1);
  settle_and_release(futures, 4);
  test_close(a);
  test_close(b);
}

static procpool *interrupted_pool;

static void on_signal(int number) {
  (void)number;
  procpool_interrupt(interrupted_pool);
}

static void interrupt_by_timer(procpool *pool, int after_us) {
  struct itimerval timer = {{0, 0}, {0, 0}};
  struct sigaction action;
  interrupted_pool = pool;
  memset(&action, 0, sizeof(action));
  action.sa_handler = on_signal;
  CHECK_EQ(sigaction(SIGALRM, &action, NULL), 0);
  timer.it_value.tv_usec = after_us;
  CHECK_EQ(setitimer(ITIMER_REAL, &timer, NULL), 0);
}

TEST_STARTS(interrupt_in_a_signal_handler_ends_a_wait, CONCURRENT) {
  procpool *pool = test_open(start, 1);
  procpool_future *future = gated(pool, 0);
  gate_wait(&page->started, 1);
  interrupt_by_timer(pool, 50000);
  CHECK_STATUS(procpool_future_wait(future, PROCPOOL_FOREVER), PROCPOOL_INTERRUPTED);
  interrupt_by_timer(pool, 50000);
  CHECK_STATUS(procpool_wait(&future, 1, PROCPOOL_ALL_COMPLETED, PROCPOOL_FOREVER, NULL), PROCPOOL_INTERRUPTED);
  signal(SIGALRM, SIG_DFL);
  gate_add(&page->word[0], 1);
  settle_and_release(&future, 1);
  CHECK_WORKS(pool); /* nothing else happened */
  test_close(pool);
}

TEST_STARTS(interrupt_ends_a_shutdown_that_waits, CONCURRENT) {
  procpool *pool = test_open(start, 1);
  procpool_future *future = gated(pool, 0);
  gate_wait(&page->started, 1);
  interrupt_by_timer(pool, 50000);
  CHECK_STATUS(procpool_shutdown(pool, PROCPOOL_DRAIN, PROCPOOL_FOREVER), PROCPOOL_INTERRUPTED);
  signal(SIGALRM, SIG_DFL);
  gate_add(&page->word[0], 1);
  CHECK_OK(procpool_shutdown(pool, PROCPOOL_DRAIN, PROCPOOL_FOREVER));
  CHECK_OK(procpool_free(pool));
  settle_and_release(&future, 1);
}

TEST_STARTS(interrupt_ends_a_blocked_submit, CONCURRENT) {
  procpool_options options = {0};
  procpool *pool;
  procpool_future *future, *refused = NULL;
  options.max_queued = 1;
  pool = test_open_with(start, 1, &options);
  future = gated(pool, 0);
  gate_wait(&page->started, 1);
  interrupt_by_timer(pool, 50000);
  CHECK_STATUS(procpool_submit(pool, task_nothing, NULL, 0, NULL, &refused), PROCPOOL_INTERRUPTED);
  signal(SIGALRM, SIG_DFL);
  CHECK(refused == NULL);
  CHECK_EQ(test_stats(pool).submitted, 1);
  gate_add(&page->word[0], 1);
  settle_and_release(&future, 1);
  test_close(pool);
}

TEST_STARTS(interrupt_from_another_thread_ends_all_waits, CONCURRENT) {
  procpool *pool = test_open(start, 1);
  pthread_t threads[WAITERS];
  procpool_future *future = gated(pool, 0);
  crowd self;
  crowd_begin(&self, threads, future);
  /* Those that had not begun to wait are reached by a later call: the first may have found only some of them. */
  while (gate_read(&self.woken[PROCPOOL_INTERRUPTED]) < WAITERS) {
    procpool_interrupt(pool);
    (void)gate_wait_for(&self.woken[PROCPOOL_INTERRUPTED], WAITERS, 0.05);
  }
  for (int i = 0; i < WAITERS; i++)
    test_join(threads[i]);
  CHECK_EQ(self.woken[PROCPOOL_INTERRUPTED], WAITERS);
  gate_add(&page->word[0], 1);
  /* The last call may have come after the last wait: then it is this one's. */
  (void)procpool_future_wait(future, PROCPOOL_FOREVER);
  settle_and_release(&future, 1);
  test_close(pool);
}

/* ---- EINTR ---- */

static int signals_seen;

static void count_signal(int number) {
  (void)number;
  __atomic_add_fetch(&signals_seen, 1, __ATOMIC_RELAXED);
}

TEST_STARTS(r119_signals_without_restart_are_invisible, EVERY) {
  struct sigaction action;
  struct itimerval every = {{0, 700}, {0, 700}}, never = {{0, 0}, {0, 0}};
  static int in[2000], out[2000];
  const double end = test_now() + 1.0;
  memset(&action, 0, sizeof(action));
  action.sa_handler = count_signal; /* no SA_RESTART */
  CHECK_EQ(sigaction(SIGALRM, &action, NULL), 0);
  CHECK_EQ(setitimer(ITIMER_REAL, &every, NULL), 0);
  for (int i = 0; i < 2000; i++)
    in[i] = i;
  do {
    procpool_options options = {0};
    procpool *pool;
    procpool_future *futures[40];
    options.max_queued = 8;
    options.spin_us = -1;
    pool = test_open_with(start, 2, &options);
    for (int i = 0; i < 40; i++)
      futures[i] = quick(pool);
    CHECK_OK(procpool_wait(futures, 40, PROCPOOL_ALL_COMPLETED, PROCPOOL_FOREVER, NULL));
    for (int i = 0; i < 40; i++)
      CHECK_OK(procpool_future_release(futures[i]));
    CHECK_OK(procpool_map(pool, task_twice, in, sizeof(int), out, sizeof(int), 2000, NULL));
    CHECK_EQ(out[1999], 3998);
    test_close(pool);
  } while (test_now() < end);
  CHECK_EQ(setitimer(ITIMER_REAL, &never, NULL), 0);
  signal(SIGALRM, SIG_DFL);
  CHECK_GT(signals_seen, 10);
}

/* ---- what an interruption that met no wait leaves behind ---- */

static double processor_seconds(void) {
  struct timespec used;
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used);
  return (double)used.tv_sec + (double)used.tv_nsec * 1e-9;
}

static void *open_the_gate_later(void *context) {
  int never = 0;
  (void)gate_wait_for(&never, 1, 1.0);
  gate_add(&page->word[0], 1);
  return context;
}

/* A thread cannot be killed, so this shutdown takes a second: asleep, though an interruption is still on record. */
TEST(r071_kill_after_an_interruption_sleeps_thread) {
  procpool *pool = test_open(PROCPOOL_START_THREAD, 1);
  procpool_future *future = gated(pool, 0);
  pthread_t thread;
  double used;
  gate_wait(&page->started, 1);
  procpool_interrupt(pool);
  thread = test_thread(open_the_gate_later, NULL);
  used = processor_seconds();
  CHECK_OK(procpool_shutdown(pool, PROCPOOL_KILL, PROCPOOL_FOREVER));
  CHECK_SECONDS(processor_seconds() - used, <, 0.05 * test_slow());
  test_join(thread);
  CHECK_OK(procpool_future_release(future));
  CHECK_OK(procpool_free(pool));
}
