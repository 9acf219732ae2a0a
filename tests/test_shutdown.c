/* Shutdown in three modes, waiting or not; the end of the program without one. */
#include "harness.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/syscall.h>
#include <sys/wait.h>

static procpool_future *block(procpool *pool, int index) {
  const test_job job = job_of(index);
  return test_submit(pool, task_block, &job, sizeof(job));
}

static procpool_future *count(procpool *pool, int index) {
  const test_job job = job_of(index);
  return test_submit(pool, task_count, &job, sizeof(job));
}

static void release_as(procpool_future *future, procpool_status expected) {
  CHECK_STATUS(procpool_future_status(future), expected);
  CHECK_OK(procpool_future_release(future));
}

static void pool_is_shut(procpool *pool) {
  procpool_future *future = NULL;
  procpool_iterator *iterator = NULL;
  const int in = 1;
  int out = -1;
  CHECK_STATUS(procpool_submit(pool, task_nothing, NULL, 0, NULL, &future), PROCPOOL_SHUTDOWN);
  CHECK_STATUS(try_submit(pool, task_nothing, NULL, 0, &future), PROCPOOL_SHUTDOWN);
  CHECK_STATUS(submit_timed(pool, 1, task_nothing, NULL, 0, &future), PROCPOOL_SHUTDOWN);
  CHECK(procpool__typed_submit(pool, task_nothing, NULL, 0, NULL, NULL) == NULL);
  CHECK(future == NULL);
  CHECK_STATUS(procpool_map(pool, task_twice, &in, sizeof(in), &out, sizeof(out), 1, NULL), PROCPOOL_SHUTDOWN);
  CHECK_EQ(out, -1);
  (void)iterator;
}

TEST_STARTS(r069_submit_after_shutdown, EVERY) {
  static const procpool_shutdown_mode modes[] = {PROCPOOL_DRAIN, PROCPOOL_CANCEL, PROCPOOL_KILL};
  for (int m = 0; m < 3; m++) {
    procpool *pool = test_open(start, 1);
    CHECK_WORKS(pool);
    CHECK_OK(procpool_shutdown(pool, modes[m], PROCPOOL_FOREVER));
    pool_is_shut(pool);
    CHECK_OK(procpool_free(pool));
  }
}

/* Also while the shutdown still goes on. */
TEST_STARTS(r069_submit_during_shutdown, CONCURRENT) {
  procpool *pool = test_open(start, 1);
  procpool_future *blocker = block(pool, 0);
  gate_wait(&page->started, 1);
  CHECK_STATUS(procpool_shutdown(pool, PROCPOOL_DRAIN, 0), PROCPOOL_PENDING);
  pool_is_shut(pool);
  gate_add(&page->gate, 1);
  CHECK_OK(procpool_shutdown(pool, PROCPOOL_DRAIN, PROCPOOL_FOREVER));
  release_as(blocker, PROCPOOL_OK);
  CHECK_OK(procpool_free(pool));
}

TEST_STARTS(r070_drain_runs_everything, CONCURRENT) {
  enum { COUNT = 50, WORKERS = 2 };
  procpool *pool = test_open(start, WORKERS);
  procpool_future *futures[COUNT], *blockers[WORKERS];
  int watches[WORKERS];
  for (int i = 0; i < WORKERS; i++)
    blockers[i] = block(pool, i);
  gate_wait(&page->started, WORKERS);
  for (int i = 0; i < WORKERS; i++)
    watches[i] = page->pid[i] == (int)getpid() ? -1 : test_watch(page->pid[i]);
  for (int i = 0; i < COUNT; i++)
    futures[i] = count(pool, i);
  CHECK_STATUS(procpool_shutdown(pool, PROCPOOL_DRAIN, 0.01), PROCPOOL_PENDING);
  gate_add(&page->gate, 1);
  CHECK_OK(procpool_shutdown(pool, PROCPOOL_DRAIN, PROCPOOL_FOREVER));
  CHECK(test_all_gone(watches, WORKERS, 0)); /* no worker is left on return */
  CHECK_EQ(page->count, COUNT);
  for (int i = 0; i < COUNT; i++)
    release_as(futures[i], PROCPOOL_OK);
  for (int i = 0; i < WORKERS; i++)
    release_as(blockers[i], PROCPOOL_OK);
  CHECK_EQ(test_stats(pool).workers_alive, 0);
  CHECK_OK(procpool_free(pool));
}

/* Not even as zombies: the supervisor reaps them before it goes. */
TEST_STARTS(r070_no_process_is_left_on_return, PROCESSES) {
  enum { WORKERS = 4 };
  procpool *pool = test_open(start, WORKERS);
  procpool_future *futures[WORKERS];
  for (int i = 0; i < WORKERS; i++) {
    const test_job job = job_with(i, WORKERS);
    futures[i] = test_submit(pool, task_meet, &job, sizeof(job));
  }
  for (int i = 0; i < WORKERS; i++) {
    CHECK_SETTLES(futures[i], PROCPOOL_OK);
    CHECK_OK(procpool_future_release(futures[i]));
  }
  CHECK_OK(procpool_shutdown(pool, PROCPOOL_DRAIN, PROCPOOL_FOREVER));
  for (int i = 0; i < WORKERS; i++) {
    CHECK_EQ(kill(page->pid[i], 0), -1);
    CHECK_EQ(errno, ESRCH);
  }
  CHECK_OK(procpool_free(pool));
}

/* Any sequence of modes, waiting or not: none hangs, the last is OK. */
TEST_STARTS_LIMIT(r071_any_sequence, EVERY, 60) {
  static const procpool_shutdown_mode modes[] = {PROCPOOL_DRAIN, PROCPOOL_CANCEL, PROCPOOL_KILL};
  for (int first = 0; first < 6; first++)
    for (int second = 0; second < 6; second++)
      for (int third = 0; third < 6; third++) {
        procpool *pool = test_open(start, 1);
        const int steps[3] = {first, second, third};
        procpool_future *future = count(pool, 0);
        for (int i = 0; i < 3; i++) {
          const procpool_status status = steps[i] < 3 ? procpool_shutdown(pool, modes[steps[i]], PROCPOOL_FOREVER)
                                                      : procpool_shutdown(pool, modes[steps[i] - 3], 0);
          if (steps[i] < 3)
            CHECK_OK(status);
          else
            CHECK(status == PROCPOOL_OK || status == PROCPOOL_PENDING);
        }
        CHECK_OK(procpool_free(pool));
        CHECK(procpool_future_done(future));
        CHECK_OK(procpool_future_release(future));
      }
}

TEST_STARTS(r071_stronger_later_call_takes_effect, PROCESSES) {
  procpool *pool = test_open(start, 1);
  procpool_future *running = block(pool, 0), *queued = count(pool, 1), *second = count(pool, 2);
  gate_wait(&page->started, 1);
  CHECK_STATUS(procpool_shutdown(pool, PROCPOOL_DRAIN, 0.01), PROCPOOL_PENDING);
  CHECK_STATUS(procpool_future_status(queued), PROCPOOL_PENDING);
  CHECK_STATUS(procpool_shutdown(pool, PROCPOOL_CANCEL, 0.01), PROCPOOL_PENDING);
  CHECK_STATUS(procpool_future_status(queued), PROCPOOL_CANCELLED);
  CHECK_STATUS(procpool_future_status(running), PROCPOOL_PENDING);
  CHECK_OK(procpool_shutdown(pool, PROCPOOL_KILL, PROCPOOL_FOREVER));
  release_as(running, PROCPOOL_SHUTDOWN);
  release_as(queued, PROCPOOL_CANCELLED);
  release_as(second, PROCPOOL_CANCELLED);
  CHECK_OK(procpool_free(pool));
  CHECK_EQ(page->count, 0);
}

TEST_STARTS(r071_weaker_later_call_changes_nothing, PROCESSES) {
  procpool *pool = test_open(start, 1);
  procpool_future *running = block(pool, 0), *queued = count(pool, 1);
  gate_wait(&page->started, 1);
  CHECK_STATUS(procpool_shutdown(pool, PROCPOOL_CANCEL, 0), PROCPOOL_PENDING);
  CHECK_STATUS(procpool_shutdown(pool, PROCPOOL_DRAIN, 0), PROCPOOL_PENDING);
  gate_add(&page->gate, 1);
  CHECK_OK(procpool_shutdown(pool, PROCPOOL_DRAIN, PROCPOOL_FOREVER));
  release_as(running, PROCPOOL_OK);
  release_as(queued, PROCPOOL_CANCELLED);
  CHECK_OK(procpool_free(pool));
  CHECK_EQ(page->count, 0);
}

static void *shut_in_a_thread(void *context) {
  CHECK_OK(procpool_shutdown((procpool *)context, PROCPOOL_DRAIN, PROCPOOL_FOREVER));
  return NULL;
}

TEST_STARTS(r071_from_four_threads_at_once, EVERY) {
  for (int round = 0; round < test_rounds(20); round++) {
    procpool *pool = test_open(start, 2);
    pthread_t threads[4];
    for (int i = 0; i < 10; i++)
      CHECK_OK(procpool_future_release(count(pool, i)));
    for (int i = 0; i < 4; i++)
      threads[i] = test_thread(shut_in_a_thread, pool);
    for (int i = 0; i < 4; i++)
      test_join(threads[i]);
    CHECK_EQ(page->count, 10 * (round + 1));
    CHECK_OK(procpool_free(pool));
  }
}

TEST_STARTS(r072_no_wait_returns_at_once_and_work_completes, CONCURRENT) {
  procpool *pool = test_open(start, 1);
  procpool_future *blocker = block(pool, 0), *queued = count(pool, 1);
  double begin;
  gate_wait(&page->started, 1);
  begin = test_now();
  CHECK_STATUS(procpool_shutdown(pool, PROCPOOL_DRAIN, 0), PROCPOOL_PENDING);
  CHECK_SECONDS(test_now() - begin, <, 1.0 * test_slow());
  gate_add(&page->gate, 1);
  CHECK_SETTLES(blocker, PROCPOOL_OK);
  CHECK_SETTLES(queued, PROCPOOL_OK);
  CHECK_EQ(page->count, 1);
  CHECK_OK(procpool_shutdown(pool, PROCPOOL_DRAIN, PROCPOOL_FOREVER));
  CHECK_OK(procpool_future_release(blocker));
  CHECK_OK(procpool_future_release(queued));
  CHECK_OK(procpool_free(pool));
}

/* Work of which the host keeps nothing goes on too, and the workers leave by themselves while the host does not call. */
TEST_STARTS(r072_workers_leave_by_themselves, PROCESSES) {
  procpool *pool = test_open(start, 1);
  procpool_future *blocker = block(pool, 0);
  int watch;
  gate_wait(&page->started, 1);
  watch = test_watch(page->pid[0]);
  for (int i = 0; i < 20; i++)
    CHECK_OK(procpool_future_release(count(pool, i)));
  CHECK_OK(procpool_future_release(blocker));
  CHECK_STATUS(procpool_shutdown(pool, PROCPOOL_DRAIN, 0), PROCPOOL_PENDING);
  gate_add(&page->gate, 1);
  CHECK(test_gone(watch, 5 * test_slow()));
  CHECK_EQ(page->count, 20);
  CHECK_OK(procpool_shutdown(pool, PROCPOOL_DRAIN, PROCPOOL_FOREVER));
  CHECK_OK(procpool_free(pool));
}

TEST_STARTS(r073_cancel_settles_all, CONCURRENT) {
  enum { COUNT = 20 };
  procpool *pool = test_open(start, 1);
  procpool_future *blocker = block(pool, 0), *futures[COUNT];
  gate_wait(&page->started, 1);
  for (int i = 0; i < COUNT; i++)
    futures[i] = count(pool, i);
  CHECK_STATUS(procpool_shutdown(pool, PROCPOOL_CANCEL, 0), PROCPOOL_PENDING);
  for (int i = 0; i < COUNT; i++)
    CHECK_STATUS(procpool_future_status(futures[i]), PROCPOOL_CANCELLED);
  gate_add(&page->gate, 1);
  CHECK_OK(procpool_shutdown(pool, PROCPOOL_CANCEL, PROCPOOL_FOREVER));
  release_as(blocker, PROCPOOL_OK); /* what runs may end */
  for (int i = 0; i < COUNT; i++)
    release_as(futures[i], PROCPOOL_CANCELLED);
  CHECK_EQ(page->count, 0);
  CHECK_OK(procpool_free(pool));
}

TEST(r073_cancel_settles_all_inline) {
  procpool *pool = test_open(PROCPOOL_START_INLINE, 1);
  procpool_future *futures[5];
  for (int i = 0; i < 5; i++)
    futures[i] = count(pool, i);
  CHECK_OK(procpool_shutdown(pool, PROCPOOL_CANCEL, PROCPOOL_FOREVER));
  for (int i = 0; i < 5; i++)
    release_as(futures[i], PROCPOOL_CANCELLED);
  CHECK_EQ(page->count, 0);
  CHECK_OK(procpool_free(pool));
}

TEST_STARTS(r074_only_cancelled_tasks_left, CONCURRENT) {
  procpool *pool = test_open(start, 1);
  procpool_future *blocker = block(pool, 0), *futures[50];
  gate_wait(&page->started, 1);
  for (int i = 0; i < 50; i++)
    futures[i] = count(pool, i);
  for (int i = 0; i < 50; i++)
    CHECK_STATUS(procpool_future_cancel(futures[i]), PROCPOOL_CANCELLED);
  gate_add(&page->gate, 1);
  CHECK_OK(procpool_shutdown(pool, PROCPOOL_DRAIN, 5.0 * test_slow()));
  for (int i = 0; i < 50; i++)
    release_as(futures[i], PROCPOOL_CANCELLED);
  release_as(blocker, PROCPOOL_OK);
  CHECK_OK(procpool_free(pool));
}

/* Rings and queue are full of unread results, and the workers recycle all the time. */
TEST_STARTS(r075_shutdown_with_everything_full, EVERY) {
  static const procpool_shutdown_mode modes[] = {PROCPOOL_DRAIN, PROCPOOL_CANCEL, PROCPOOL_KILL};
  for (int m = 0; m < 3; m++) {
    procpool_options options = {0};
    procpool *pool;
    procpool_future *futures[64];
    options.max_queued = 64;
    options.ring_size = 4096;
    if (start == PROCPOOL_START_FORK || start == PROCPOOL_START_SPAWN)
      options.max_tasks_per_child = 1;
    pool = test_open_with(start, 2, &options);
    for (int i = 0; i < 64; i++) {
      const test_job job = job_sized(i, 3000);
      futures[i] = test_submit(pool, task_make, &job, sizeof(job));
    }
    CHECK_OK(procpool_shutdown(pool, modes[m], 10.0 * test_slow()));
    for (int i = 0; i < 64; i++) {
      const procpool_status status = procpool_future_status(futures[i]);
      if (modes[m] == PROCPOOL_DRAIN)
        CHECK_OK(status);
      if (modes[m] == PROCPOOL_CANCEL)
        CHECK(status == PROCPOOL_OK || status == PROCPOOL_CANCELLED);
      if (modes[m] == PROCPOOL_KILL)
        CHECK(status == PROCPOOL_OK || status == PROCPOOL_SHUTDOWN);
      CHECK_OK(procpool_future_release(futures[i]));
    }
    CHECK_OK(procpool_free(pool));
  }
}

static void task_impossible(procpool_task *task) {
  (void)procpool_task_result(task, TEST_IMPOSSIBLE);
}

TEST_STARTS(r076_codec_failures_during_shutdown, EVERY) {
  for (int round = 0; round < 10; round++) {
    procpool *pool = test_open(start, 2);
    procpool_future *futures[20];
    for (int i = 0; i < 20; i++)
      futures[i] = test_submit(pool, task_impossible, NULL, 0);
    CHECK_OK(procpool_shutdown(pool, PROCPOOL_DRAIN, PROCPOOL_FOREVER));
    for (int i = 0; i < 20; i++)
      release_as(futures[i], PROCPOOL_TRANSFER);
    CHECK_OK(procpool_free(pool));
  }
}

TEST_STARTS(r077_crash_after_shutdown_began, PROCESSES) {
  procpool *pool = test_open(start, 1);
  procpool_future *running = block(pool, 0), *queued = count(pool, 1);
  gate_wait(&page->started, 1);
  CHECK_STATUS(procpool_shutdown(pool, PROCPOOL_DRAIN, 0), PROCPOOL_PENDING);
  CHECK_EQ(kill(page->pid[0], SIGKILL), 0);
  CHECK_OK(procpool_shutdown(pool, PROCPOOL_DRAIN, PROCPOOL_FOREVER));
  release_as(running, PROCPOOL_CRASHED);
  release_as(queued, PROCPOOL_OK); /* by the replacement: it was accepted */
  CHECK_OK(procpool_free(pool));
}

static int initializer_waits(const void *argument, size_t size) {
  const test_job *job = (const test_job *)argument;
  CHECK_EQ(size, sizeof(*job));
  page_attach(job->host, job->descriptor);
  gate_add(&page->started, 1);
  gate_wait(&page->gate, 1);
  return 0;
}

TEST_STARTS(r078_shutdown_while_workers_start, CONCURRENT) {
  static const procpool_shutdown_mode modes[] = {PROCPOOL_DRAIN, PROCPOOL_CANCEL, PROCPOOL_KILL};
  for (int m = 0; m < 3; m++) {
    procpool_options options = {0};
    const test_job job = job_of(0);
    procpool *pool;
    options.initializer = initializer_waits;
    options.initializer_argument = &job;
    options.initializer_size = sizeof(job);
    pool = test_open_with(start, 2, &options);
    gate_wait(&page->started, 2 * (m + 1));
    if (modes[m] == PROCPOOL_KILL && start != PROCPOOL_START_THREAD) {
      CHECK_OK(procpool_shutdown(pool, PROCPOOL_KILL, 5.0 * test_slow()));
    } else {
      CHECK_STATUS(procpool_shutdown(pool, modes[m], 0), PROCPOOL_PENDING);
      gate_add(&page->gate, 1);
      CHECK_OK(procpool_shutdown(pool, modes[m], PROCPOOL_FOREVER));
      gate_add(&page->gate, -1);
    }
    CHECK_OK(procpool_free(pool));
  }
}

/* At once after open, again and again. */
TEST_STARTS(r078_shutdown_right_after_open, EVERY) {
  static const procpool_shutdown_mode modes[] = {PROCPOOL_DRAIN, PROCPOOL_CANCEL, PROCPOOL_KILL};
  for (int i = 0; i < test_rounds(60); i++)
    test_close_by(test_open(start, 2), modes[i % 3]);
}

TEST_STARTS(r079_kill_with_ten_thousand_queued, PROCESSES) {
  enum { COUNT = 10000, WORKERS = 2 };
  procpool *pool = test_open(start, WORKERS);
  static procpool_future *futures[COUNT];
  procpool_future *running[WORKERS];
  int watches[WORKERS];
  double begin;
  for (int i = 0; i < WORKERS; i++)
    running[i] = block(pool, i);
  gate_wait(&page->started, WORKERS);
  for (int i = 0; i < WORKERS; i++)
    watches[i] = test_watch(page->pid[i]);
  for (int i = 0; i < COUNT; i++)
    futures[i] = count(pool, i);
  begin = test_now();
  CHECK_OK(procpool_shutdown(pool, PROCPOOL_KILL, PROCPOOL_FOREVER));
  CHECK_SECONDS(test_now() - begin, <, 5.0 * test_slow());
  CHECK(test_all_gone(watches, WORKERS, 0));
  for (int i = 0; i < COUNT; i++)
    release_as(futures[i], PROCPOOL_SHUTDOWN);
  for (int i = 0; i < WORKERS; i++)
    release_as(running[i], PROCPOOL_SHUTDOWN);
  CHECK_EQ(page->count, 0);
  CHECK_OK(procpool_free(pool));
}

static void task_ignore_signals(procpool_task *task) {
  signal(SIGTERM, SIG_IGN);
  signal(SIGINT, SIG_IGN);
  task_block(task);
}

TEST_STARTS(r079_kill_reaches_tasks_that_ignore_signals, PROCESSES) {
  procpool *pool = test_open(start, 1);
  const test_job job = job_of(0);
  procpool_future *future = test_submit(pool, task_ignore_signals, &job, sizeof(job));
  gate_wait(&page->started, 1);
  CHECK_OK(procpool_shutdown(pool, PROCPOOL_KILL, 5.0 * test_slow()));
  release_as(future, PROCPOOL_SHUTDOWN);
  CHECK_OK(procpool_free(pool));
}

TEST_STARTS(r079_kill_reaches_stopped_workers, PROCESSES) {
  procpool *pool = test_open(start, 2);
  procpool_future *futures[2] = {block(pool, 0), block(pool, 1)};
  gate_wait(&page->started, 2);
  CHECK_EQ(kill(page->pid[0], SIGSTOP), 0);
  CHECK_EQ(kill(page->pid[1], SIGSTOP), 0);
  CHECK_OK(procpool_shutdown(pool, PROCPOOL_KILL, 5.0 * test_slow()));
  release_as(futures[0], PROCPOOL_SHUTDOWN);
  release_as(futures[1], PROCPOOL_SHUTDOWN);
  CHECK_OK(procpool_free(pool));
}

TEST_STARTS(r080_kill_at_any_time_is_no_error, EVERY) {
  procpool *pool = test_open(start, 1);
  CHECK_OK(procpool_shutdown(pool, PROCPOOL_KILL, PROCPOOL_FOREVER)); /* nothing ever ran */
  CHECK_OK(procpool_shutdown(pool, PROCPOOL_KILL, PROCPOOL_FOREVER));
  CHECK_OK(procpool_shutdown(pool, PROCPOOL_DRAIN, PROCPOOL_FOREVER));
  pool_is_shut(pool);
  CHECK_OK(procpool_free(pool));
}

TEST_STARTS(r081_nothing_is_respawned_after_kill, PROCESSES) {
  procpool *pool = test_open(start, 3);
  uint64_t started;
  procpool_future *futures[3];
  for (int i = 0; i < 3; i++)
    futures[i] = block(pool, i);
  gate_wait(&page->started, 3);
  started = test_stats(pool).workers_started;
  CHECK_EQ(started, 3);
  CHECK_OK(procpool_shutdown(pool, PROCPOOL_KILL, PROCPOOL_FOREVER));
  CHECK_EQ(test_stats(pool).workers_started, 3);
  CHECK_EQ(test_stats(pool).workers_alive, 0);
  CHECK_EQ(test_stats(pool).queued, 0);
  for (int i = 0; i < 3; i++)
    release_as(futures[i], PROCPOOL_SHUTDOWN);
  CHECK_OK(procpool_free(pool));
}

TEST_STARTS(r082_deadline_leaves_the_shutdown_going_on, CONCURRENT) {
  procpool *pool = test_open(start, 1);
  procpool_future *running = block(pool, 0), *queued = count(pool, 1);
  double begin;
  gate_wait(&page->started, 1);
  begin = test_now();
  CHECK_STATUS(procpool_shutdown(pool, PROCPOOL_DRAIN, 0.1), PROCPOOL_PENDING);
  CHECK_SECONDS(test_now() - begin, >=, 0.1);
  CHECK_SECONDS(test_now() - begin, <, 0.1 + 0.5 * test_slow());
  CHECK_STATUS(procpool_future_status(running), PROCPOOL_PENDING); /* intact */
  gate_add(&page->gate, 1);
  CHECK_OK(procpool_shutdown(pool, PROCPOOL_DRAIN, 10.0 * test_slow()));
  release_as(running, PROCPOOL_OK);
  release_as(queued, PROCPOOL_OK);
  CHECK_OK(procpool_free(pool));
}

TEST_STARTS(r083_pools_that_never_ran_a_task, EVERY) {
  test_close_by(test_open(start, 3), PROCPOOL_DRAIN);
  test_close_by(test_open(start, 3), PROCPOOL_CANCEL);
  test_close_by(test_open(start, 3), PROCPOOL_KILL);
  CHECK_OK(procpool_free(test_open(start, 3)));
}

TEST_STARTS(r086_free_with_work_pending, PROCESSES) {
  enum { COUNT = 20 };
  procpool *pool = test_open(start, 1);
  procpool_future *running = block(pool, 0), *futures[COUNT];
  int watch;
  gate_wait(&page->started, 1);
  watch = test_watch(page->pid[0]);
  for (int i = 0; i < COUNT; i++)
    futures[i] = count(pool, i);
  CHECK_OK(procpool_free(pool)); /* a kill */
  CHECK(test_gone(watch, 0));
  CHECK_STATUS(procpool_future_wait(running, PROCPOOL_FOREVER), PROCPOOL_SHUTDOWN);
  release_as(running, PROCPOOL_SHUTDOWN);
  for (int i = 0; i < COUNT; i++)
    release_as(futures[i], PROCPOOL_SHUTDOWN);
  CHECK_EQ(page->count, 0);
}

TEST(r086_free_with_work_pending_inline) {
  procpool *pool = test_open(PROCPOOL_START_INLINE, 1);
  procpool_future *future = count(pool, 0);
  CHECK_OK(procpool_free(pool));
  release_as(future, PROCPOOL_SHUTDOWN);
  CHECK_EQ(page->count, 0);
}

TEST(r086_free_with_work_queued_thread) {
  procpool *pool = test_open(PROCPOOL_START_THREAD, 1);
  for (int i = 0; i < 100; i++)
    CHECK_OK(procpool_future_release(count(pool, i)));
  CHECK_OK(procpool_free(pool));
  CHECK_LE(page->count, 100);
}

/* ---- submits race with a shutdown ---- */

typedef struct racer {
  procpool *pool;
  int began;
  int accepted;
} racer;

static void *submit_until_refused(void *context) {
  racer *self = (racer *)context;
  procpool_future *futures[64];
  int held = 0;
  gate_add(&self->began, 1);
  for (;;) {
    procpool_future *future = NULL;
    const int in = 1;
    const procpool_status status = procpool_submit(self->pool, task_twice, &in, sizeof(in), NULL, &future);
    if (status != PROCPOOL_OK) {
      CHECK_STATUS(status, PROCPOOL_SHUTDOWN); /* accepted, or this: nothing between */
      CHECK(future == NULL);
      break;
    }
    self->accepted++;
    if (held < 64)
      futures[held++] = future;
    else
      CHECK_OK(procpool_future_release(future));
  }
  for (int i = 0; i < held; i++) {
    const procpool_status status = procpool_future_wait(futures[i], PROCPOOL_FOREVER);
    CHECK(status == PROCPOOL_OK || status == PROCPOOL_CANCELLED || status == PROCPOOL_SHUTDOWN);
    CHECK_OK(procpool_future_release(futures[i]));
  }
  return NULL;
}

TEST_STARTS(r124_submit_races_with_shutdown, EVERY) {
  static const procpool_shutdown_mode modes[] = {PROCPOOL_DRAIN, PROCPOOL_CANCEL, PROCPOOL_KILL};
  for (int round = 0; round < test_rounds(15); round++) {
    enum { THREADS = 4 };
    racer self[THREADS];
    pthread_t threads[THREADS];
    procpool *pool = test_open(start, 2);
    uint64_t accepted = 0;
    memset(self, 0, sizeof(self));
    for (int i = 0; i < THREADS; i++) {
      self[i].pool = pool;
      threads[i] = test_thread(submit_until_refused, &self[i]);
      gate_wait(&self[i].began, 1);
    }
    CHECK_OK(procpool_shutdown(pool, modes[round % 3], PROCPOOL_FOREVER));
    for (int i = 0; i < THREADS; i++) {
      test_join(threads[i]);
      accepted += (uint64_t)self[i].accepted;
    }
    CHECK_EQ(test_stats(pool).submitted, accepted);
    CHECK_EQ(test_stats(pool).settled, accepted);
    CHECK_OK(procpool_free(pool));
  }
}

/* ---- the end of the program without a shutdown ---- */

typedef enum ending { BY_RETURN, BY_EXIT, BY_UNDERSCORE_EXIT, BY_KILL, BY_ABORT, BY_EXEC } ending;

static void end_the_host(ending how) {
  switch (how) {
  case BY_RETURN:
  case BY_EXIT:
    exit(7);
  case BY_UNDERSCORE_EXIT:
    _exit(7);
  case BY_KILL:
    raise(SIGKILL);
    break;
  case BY_ABORT:
    signal(SIGABRT, SIG_DFL);
    abort();
  case BY_EXEC:
    execl("/bin/sh", "sh", "-c", "exit 7", (char *)NULL);
  }
  _exit(99);
}

/* A host in a process of its own: it opens a pool, keeps both workers as busy as told, and ends. */
static void host_that_ends(procpool_start start, bool busy, bool shutdown_first, ending how) {
  procpool *pool = test_open(start, 2);
  for (int i = 0; i < 2; i++) {
    const test_job job = job_with(i, 2);
    CHECK_OK(procpool_submit(pool, busy ? task_block : task_meet, &job, sizeof(job), NULL, NULL));
  }
  gate_wait(&page->started, 2);
  if (shutdown_first)
    CHECK_STATUS(procpool_shutdown(pool, PROCPOOL_DRAIN, 0), PROCPOOL_PENDING);
  gate_add(&page->word[0], 1);
  gate_wait(&page->word[1], 1); /* the test watches the workers now */
  end_the_host(how);
}

static void check_end(procpool_start start, bool busy, bool shutdown_first, ending how, int expected) {
  int watches[2];
  const pid_t host = fork();
  CHECK_GE(host, 0);
  if (host == 0)
    host_that_ends(start, busy, shutdown_first, how);
  gate_wait(&page->word[0], 1);
  for (int i = 0; i < 2; i++)
    watches[i] = test_watch(page->pid[i]);
  gate_add(&page->word[1], 1);
  CHECK_EQ(test_wait_exit(host), expected);
  CHECK(test_all_gone(watches, 2, 1.0 * test_slow()));
}

TEST_STARTS(r084_exit_without_shutdown_busy, PROCESSES) {
  check_end(start, true, false, BY_EXIT, 7);
}

TEST_STARTS(r084_exit_without_shutdown_idle, PROCESSES) {
  check_end(start, false, false, BY_EXIT, 7);
}

TEST_STARTS(r084_underscore_exit_without_shutdown, PROCESSES) {
  check_end(start, true, false, BY_UNDERSCORE_EXIT, 7);
}

TEST_STARTS(r084_abort_without_shutdown, PROCESSES) {
  check_end(start, true, false, BY_ABORT, -SIGABRT);
}

TEST_STARTS(r084_exec_without_shutdown, PROCESSES) {
  check_end(start, true, false, BY_EXEC, 7);
}

TEST_STARTS(r085_exit_right_after_shutdown_without_waiting, PROCESSES) {
  check_end(start, true, true, BY_EXIT, 7);
}

TEST_STARTS(r122_host_killed_while_busy, PROCESSES) {
  check_end(start, true, false, BY_KILL, -SIGKILL);
}

TEST_STARTS(r122_host_killed_while_idle, PROCESSES) {
  check_end(start, false, false, BY_KILL, -SIGKILL);
}

/* In a child whose standard error is a file: what ends there prints nothing. */
static void check_exit_beside_threads(procpool_start start, bool shutdown_first) {
  const int file = (int)syscall(SYS_memfd_create, "err", 0u);
  pid_t host;
  CHECK_GE(file, 0);
  host = fork();
  CHECK_GE(host, 0);
  if (host == 0) {
    procpool *pool = test_open(start, 2);
    const test_job job = job_of(0);
    CHECK_OK(procpool_submit(pool, task_block, &job, sizeof(job), NULL, NULL));
    if (start == PROCPOOL_START_THREAD)
      gate_wait(&page->started, 1);
    dup2(file, 2);
    if (shutdown_first)
      CHECK_NE(procpool_shutdown(pool, PROCPOOL_CANCEL, 0), PROCPOOL_SHUTDOWN);
    exit(7);
  }
  CHECK_EQ(test_wait_exit(host), 7);
  if (!test_instrumented())
    CHECK_EQ(lseek(file, 0, SEEK_END), 0);
  close(file);
}

TEST_STARTS(r084_pools_in_the_host_do_not_hinder_exit, THREAD | INLINE) {
  check_exit_beside_threads(start, false);
}

TEST_STARTS(r085_exit_beside_threads_that_are_being_shut_down, THREAD | INLINE) {
  if (getenv("TSAN_OPTIONS") != NULL)
    SKIP("ThreadSanitizer reports threads that have ended and are not joined, which is what an exit is here");
  check_exit_beside_threads(start, true);
}

/* Standard error stays empty too, whichever process might have something to say about an end like this. */
TEST_STARTS(r084_nothing_is_printed_at_the_end, PROCESSES) {
  const int file = (int)syscall(SYS_memfd_create, "err", 0u), saved = dup(2);
  CHECK_GE(file, 0);
  dup2(file, 2);
  check_end(start, true, false, BY_EXIT, 7);
  dup2(saved, 2);
  close(saved);
  CHECK_EQ(lseek(file, 0, SEEK_END), 0);
  close(file);
}

TEST(r070_drain_runs_everything_inline) {
  enum { COUNT = 50 };
  procpool *pool = test_open(PROCPOOL_START_INLINE, 1);
  procpool_future *futures[COUNT];
  for (int i = 0; i < COUNT; i++)
    futures[i] = count(pool, i);
  CHECK_EQ(page->count, 0);
  CHECK_OK(procpool_shutdown(pool, PROCPOOL_DRAIN, PROCPOOL_FOREVER));
  CHECK_EQ(page->count, COUNT);
  for (int i = 0; i < COUNT; i++)
    release_as(futures[i], PROCPOOL_OK);
  CHECK_OK(procpool_free(pool));
}

TEST(r074_only_cancelled_tasks_left_inline) {
  procpool *pool = test_open(PROCPOOL_START_INLINE, 1);
  procpool_future *futures[50];
  for (int i = 0; i < 50; i++)
    futures[i] = count(pool, i);
  for (int i = 0; i < 50; i++)
    CHECK_STATUS(procpool_future_cancel(futures[i]), PROCPOOL_CANCELLED);
  CHECK_OK(procpool_shutdown(pool, PROCPOOL_DRAIN, 5.0 * test_slow()));
  for (int i = 0; i < 50; i++)
    release_as(futures[i], PROCPOOL_CANCELLED);
  CHECK_EQ(page->count, 0);
  CHECK_OK(procpool_free(pool));
}
