/* Futures: states, getters, what stays when the pool is gone. */
#include "harness.h"

static procpool_future *block(procpool *pool, int index) {
  const test_job job = job_of(index);
  return test_submit(pool, task_block, &job, sizeof(job));
}

static void end(procpool_future *future) {
  CHECK_OK(procpool_future_release(future));
}

/* ---- waiting for one ---- */

TEST_STARTS(r048_get_that_times_out_disturbs_nothing, CONCURRENT) {
  procpool *pool = test_open(start, 1);
  procpool_future *future = block(pool, 5);
  int out = 0;
  gate_wait(&page->started, 1);
  for (int i = 0; i < 5; i++) {
    size_t size = 77;
    const double begin = test_now();
    CHECK_STATUS(procpool_future_result(future, 0.02, &out, sizeof(out), &size), PROCPOOL_PENDING);
    CHECK_SECONDS(test_now() - begin, >=, 0.02);
    CHECK_STATUS(procpool_future_wait(future, 0.01), PROCPOOL_PENDING);
  }
  CHECK_EQ(page->started, 1);
  CHECK_EQ(page->finished, 0);
  gate_add(&page->gate, 1);
  CHECK_OK(procpool_future_result(future, PROCPOOL_FOREVER, &out, sizeof(out), NULL));
  CHECK_EQ(out, 5);
  CHECK_EQ(page->started, 1);
  end(future);
  test_close(pool);
}

TEST_STARTS(r050_getters_with_timeout_zero, CONCURRENT) {
  procpool *pool = test_open(start, 1);
  const test_job failing = job_with(1, 9);
  procpool_future *running = block(pool, 3), *queued = test_submit(pool, task_nothing, NULL, 0);
  procpool_future *cancelled = test_submit(pool, task_nothing, NULL, 0);
  procpool_future *failed = test_submit(pool, task_fail, &failing, sizeof(failing));
  int out = 0;
  gate_wait(&page->started, 1);
  CHECK_STATUS(procpool_future_cancel(cancelled), PROCPOOL_CANCELLED);
  CHECK_STATUS(procpool_future_wait(running, 0), PROCPOOL_PENDING);
  CHECK_STATUS(procpool_future_wait(running, -1), PROCPOOL_PENDING);
  CHECK_STATUS(procpool_future_result(running, 0, &out, sizeof(out), NULL), PROCPOOL_PENDING);
  CHECK_STATUS(procpool_future_result(queued, 0, NULL, 0, NULL), PROCPOOL_PENDING);
  CHECK_STATUS(procpool_future_result(cancelled, 0, NULL, 0, NULL), PROCPOOL_CANCELLED);
  gate_add(&page->gate, 1);
  CHECK_SETTLES(failed, PROCPOOL_FAILED);
  CHECK_STATUS(procpool_future_result(failed, 0, &out, sizeof(out), NULL), PROCPOOL_FAILED);
  CHECK_OK(procpool_future_wait(queued, 0));
  CHECK_OK(procpool_future_result(running, 0, &out, sizeof(out), NULL));
  CHECK_EQ(out, 3);
  end(running);
  end(queued);
  end(cancelled);
  end(failed);
  test_close(pool);
}

TEST(r050_only_a_waiting_caller_runs_it_inline) {
  procpool *pool = test_open(PROCPOOL_START_INLINE, 1);
  const test_job job = job_of(0);
  procpool_future *future = test_submit(pool, task_count, &job, sizeof(job));
  CHECK_EQ(page->count, 0);
  CHECK_EQ(test_stats(pool).queued, 1);
  CHECK_POLL(procpool_poll(pool, 0));
  CHECK_EQ(page->count, 1);
  CHECK_STATUS(procpool_future_status(future), PROCPOOL_OK);
  end(future);
  test_close(pool);
}

typedef struct waiting {
  procpool_future *future;
  procpool_status status;
  int began;
} waiting;

static void *wait_in_a_thread(void *context) {
  waiting *self = (waiting *)context;
  gate_add(&self->began, 1);
  self->status = procpool_future_wait(self->future, PROCPOOL_FOREVER);
  return NULL;
}

TEST_STARTS(r050_blocked_getter_wakes_on_cancel, CONCURRENT) {
  for (int i = 0; i < test_rounds(50); i++) {
    procpool *pool = test_open(start, 1);
    procpool_future *blocker = block(pool, 0), *queued;
    waiting self;
    pthread_t thread;
    gate_wait(&page->started, i + 1);
    queued = test_submit(pool, task_nothing, NULL, 0);
    self.future = queued;
    self.status = PROCPOOL_END;
    self.began = 0;
    thread = test_thread(wait_in_a_thread, &self);
    gate_wait(&self.began, 1);
    for (int yields = 0; yields < i; yields++)
      sched_yield();
    CHECK_STATUS(procpool_future_cancel(queued), PROCPOOL_CANCELLED);
    test_join(thread);
    CHECK_STATUS(self.status, PROCPOOL_CANCELLED);
    gate_add(&page->gate, 1);
    CHECK_SETTLES(blocker, PROCPOOL_OK);
    gate_add(&page->gate, -1);
    end(blocker);
    end(queued);
    test_close(pool);
  }
}

/* Two threads wait for different futures: the one that drains must hand over when its own has come. */
TEST_STARTS(r050_a_getter_that_leaves_hands_the_draining_over, CONCURRENT) {
  procpool *pool = test_open(start, 2);
  for (int i = 0; i < test_rounds(300); i++) {
    const test_job first = job_with(0, 0), second = job_with(1, 1);
    procpool_future *early = test_submit(pool, task_gate, &first, sizeof(first));
    procpool_future *late = test_submit(pool, task_gate, &second, sizeof(second));
    waiting a = {early, PROCPOOL_END, 0}, b = {late, PROCPOOL_END, 0};
    pthread_t one = test_thread(wait_in_a_thread, i % 2 == 0 ? &a : &b);
    pthread_t two = test_thread(wait_in_a_thread, i % 2 == 0 ? &b : &a);
    gate_wait(&a.began, 1);
    gate_wait(&b.began, 1);
    gate_add(&page->word[0], 1);
    test_join(i % 2 == 0 ? one : two); /* it has left; the other still waits */
    gate_add(&page->word[1], 1);
    test_join(i % 2 == 0 ? two : one);
    CHECK_OK(a.status);
    CHECK_OK(b.status);
    gate_add(&page->word[0], -1);
    gate_add(&page->word[1], -1);
    end(early);
    end(late);
  }
  test_close(pool);
}

/* ---- states ---- */

typedef struct state {
  procpool_status status;
  bool done, running, cancelled;
} state;

static void check_state(int line, procpool_future *future, state expected) {
  harness_check_status(__FILE__, line, "status", procpool_future_status(future), expected.status);
  harness_check_compare(__FILE__, line, "done", procpool_future_done(future), "==", expected.done,
                        procpool_future_done(future) == expected.done);
  harness_check_compare(__FILE__, line, "running", procpool_future_running(future), "==", expected.running,
                        procpool_future_running(future) == expected.running);
  harness_check_compare(__FILE__, line, "cancelled", procpool_future_cancelled(future), "==", expected.cancelled,
                        procpool_future_cancelled(future) == expected.cancelled);
}

static const state state_queued = {PROCPOOL_PENDING, false, false, false};
static const state state_running = {PROCPOOL_PENDING, false, true, false};
static const state state_ok = {PROCPOOL_OK, true, false, false};
static const state state_failed = {PROCPOOL_FAILED, true, false, false};
static const state state_cancelled = {PROCPOOL_CANCELLED, true, false, true};

TEST_STARTS(r049_states_and_cancel, CONCURRENT) {
  procpool *pool = test_open(start, 1);
  const test_job failing = job_with(1, 9);
  procpool_future *running = block(pool, 0), *queued = test_submit(pool, task_nothing, NULL, 0);
  procpool_future *unlucky = test_submit(pool, task_fail, &failing, sizeof(failing));
  procpool_future *dropped = test_submit(pool, task_nothing, NULL, 0);
  gate_wait(&page->started, 1);
  check_state(__LINE__, running, state_running);
  check_state(__LINE__, queued, state_queued);
  CHECK_STATUS(procpool_future_cancel(running), PROCPOOL_PENDING); /* it runs: nothing was done */
  check_state(__LINE__, running, state_running);
  CHECK_STATUS(procpool_future_cancel(dropped), PROCPOOL_CANCELLED);
  check_state(__LINE__, dropped, state_cancelled);
  CHECK_STATUS(procpool_future_cancel(dropped), PROCPOOL_CANCELLED); /* again: it is */
  gate_add(&page->gate, 1);
  CHECK_SETTLES(running, PROCPOOL_OK);
  CHECK_SETTLES(queued, PROCPOOL_OK);
  CHECK_SETTLES(unlucky, PROCPOOL_FAILED);
  check_state(__LINE__, running, state_ok);
  check_state(__LINE__, unlucky, state_failed);
  CHECK_STATUS(procpool_future_cancel(running), PROCPOOL_OK); /* too late: its outcome */
  CHECK_STATUS(procpool_future_cancel(unlucky), PROCPOOL_FAILED);
  check_state(__LINE__, running, state_ok);
  check_state(__LINE__, dropped, state_cancelled);
  end(running);
  end(queued);
  end(unlucky);
  end(dropped);
  test_close(pool);
}

TEST(r049_states_inline) {
  procpool *pool = test_open(PROCPOOL_START_INLINE, 1);
  procpool_future *first = test_submit(pool, task_nothing, NULL, 0), *second = test_submit(pool, task_nothing, NULL, 0);
  CHECK_STATUS(procpool_future_cancel(first), PROCPOOL_CANCELLED); /* to ask for its state would run it */
  check_state(__LINE__, first, state_cancelled);
  CHECK_SETTLES(second, PROCPOOL_OK);
  check_state(__LINE__, second, state_ok);
  CHECK_STATUS(procpool_future_cancel(second), PROCPOOL_OK);
  end(first);
  end(second);
  test_close(pool);
}

TEST_STARTS(r051_a_settled_future_stays_as_it_is, CONCURRENT) {
  procpool *pool = test_open(start, 1);
  procpool_future *blocker = block(pool, 0), *future;
  gate_wait(&page->started, 1);
  future = test_submit(pool, task_nothing, NULL, 0);
  CHECK_STATUS(procpool_future_cancel(future), PROCPOOL_CANCELLED);
  gate_add(&page->gate, 1);
  CHECK_SETTLES(blocker, PROCPOOL_OK);
  for (int i = 0; i < 10; i++) {
    CHECK_WORKS(pool);
    check_state(__LINE__, future, state_cancelled);
  }
  test_close_by(pool, PROCPOOL_KILL);
  check_state(__LINE__, future, state_cancelled);
  check_state(__LINE__, blocker, state_ok);
  end(future);
  end(blocker);
}

typedef struct snapshots {
  procpool_future *future;
  int seen;
  int stop;
} snapshots;

/* State and value belong together: a thread that sees OK sees all bytes. */
static void *take_snapshots(void *context) {
  snapshots *self = (snapshots *)context;
  for (;;) {
    const int stop = gate_read(&self->stop);
    const bool done = procpool_future_done(self->future);
    const procpool_status status = procpool_future_status(self->future);
    size_t size = 0;
    if (done)
      CHECK_OK(status);
    if (status == PROCPOOL_OK) {
      CHECK(pattern_holds(procpool_future_data(self->future, &size), 5000, 4));
      CHECK_EQ(size, 5000);
      CHECK_NE(pid_of(self->future), 0);
      CHECK_STATUS(test_error(self->future).status, PROCPOOL_OK);
      gate_add(&self->seen, 1);
      return NULL;
    }
    CHECK_STATUS(status, PROCPOOL_PENDING);
    CHECK_EQ(stop, 0); /* it had settled before this round */
  }
}

TEST_STARTS(r052_state_and_value_in_one, CONCURRENT) {
  procpool *pool = test_open(start, 1);
  char bytes[5000];
  pattern_fill(bytes, sizeof(bytes), 4);
  for (int round = 0; round < test_rounds(250); round++) {
    snapshots self = {test_submit(pool, task_echo, bytes, sizeof(bytes)), 0, 0};
    pthread_t threads[4];
    for (int i = 0; i < 4; i++)
      threads[i] = test_thread(take_snapshots, &self);
    CHECK_SETTLES(self.future, PROCPOOL_OK);
    gate_add(&self.stop, 1);
    for (int i = 0; i < 4; i++)
      test_join(threads[i]);
    CHECK_EQ(self.seen, 4);
    end(self.future);
  }
  test_close(pool);
}

/* ---- who ran it ---- */

TEST_STARTS(future_pid_is_the_workers, EVERY) {
  procpool *pool = test_open(start, 2);
  for (int i = 0; i < 20; i++) {
    procpool_future *future = test_submit(pool, task_pid, NULL, 0);
    long pid = 0;
    CHECK_OK(procpool_future_result(future, PROCPOOL_FOREVER, &pid, sizeof(pid), NULL));
    CHECK_EQ(pid_of(future), pid);
    if (start == PROCPOOL_START_FORK || start == PROCPOOL_START_SPAWN)
      CHECK_NE(pid, (long)getpid());
    else
      CHECK_EQ(pid, (long)getpid());
    end(future);
  }
  test_close(pool);
}

static void task_worker(procpool_task *task) {
  const int worker = procpool_task_worker(task);
  procpool_task_return(task, &worker, sizeof(worker));
}

static void task_meet_worker(procpool_task *task) {
  const test_job *job = job_begin(task);
  gate_add(&page->started, 1);
  gate_wait(&page->started, job->number);
  task_worker(task);
}

TEST_STARTS(future_worker_index, CONCURRENT) {
  enum { WORKERS = 4 };
  procpool *pool = test_open(start, WORKERS);
  const test_job job = job_with(0, WORKERS);
  procpool_future *futures[WORKERS];
  int seen[WORKERS] = {0};
  for (int i = 0; i < WORKERS; i++)
    futures[i] = test_submit(pool, task_meet_worker, &job, sizeof(job));
  for (int i = 0; i < WORKERS; i++) {
    int worker = -1;
    CHECK_OK(procpool_future_result(futures[i], PROCPOOL_FOREVER, &worker, sizeof(worker), NULL));
    CHECK(worker >= 0 && worker < WORKERS);
    CHECK_EQ(worker_of(futures[i]), worker);
    CHECK_EQ(test_error(futures[i]).worker, worker);
    seen[worker]++;
    end(futures[i]);
  }
  for (int i = 0; i < WORKERS; i++)
    CHECK_EQ(seen[i], 1);
  test_close(pool);
}

TEST_STARTS(future_without_a_worker, CONCURRENT) {
  procpool *pool = test_open(start, 1);
  procpool_future *blocker = block(pool, 0), *queued = test_submit(pool, task_nothing, NULL, 0);
  gate_wait(&page->started, 1);
  CHECK_EQ(pid_of(queued), 0);
  CHECK_EQ(worker_of(queued), -1);
  CHECK_EQ(pid_of(blocker), 0); /* not settled */
  CHECK_EQ(worker_of(blocker), -1);
  CHECK_STATUS(procpool_future_cancel(queued), PROCPOOL_CANCELLED);
  CHECK_EQ(pid_of(queued), 0);
  CHECK_EQ(worker_of(queued), -1);
  gate_add(&page->gate, 1);
  CHECK_SETTLES(blocker, PROCPOOL_OK);
  CHECK_EQ(worker_of(blocker), 0);
  end(blocker);
  end(queued);
  test_close(pool);
}

TEST_STARTS(future_error_record_of_every_kind, CONCURRENT) {
  procpool *pool = test_open(start, 1);
  procpool_future *blocker = block(pool, 0), *queued = test_submit(pool, task_nothing, NULL, 0);
  procpool_error error = test_error(queued);
  CHECK_STATUS(error.status, PROCPOOL_PENDING);
  CHECK_EQ(error.pid, 0);
  CHECK_EQ(error.worker, -1);
  CHECK_STATUS(procpool_future_cancel(queued), PROCPOOL_CANCELLED);
  error = test_error(queued);
  CHECK_STATUS(error.status, PROCPOOL_CANCELLED);
  CHECK_EQ(error.pid, 0);
  CHECK_EQ(error.worker, -1);
  CHECK_EQ(error.code, 0);
  CHECK_EQ(error.signal, 0);
  gate_add(&page->gate, 1);
  CHECK_SETTLES(blocker, PROCPOOL_OK);
  error = test_error(blocker);
  CHECK_STATUS(error.status, PROCPOOL_OK);
  CHECK_EQ(error.pid, pid_of(blocker));
  CHECK_EQ(error.code, 0);
  CHECK_EQ(error.signal, 0);
  CHECK_EQ(error.system_error, 0);
  end(blocker);
  end(queued);
  test_close(pool);
}

/* ---- after the pool ---- */

TEST_STARTS(future_outlives_its_pool, EVERY) {
  procpool *pool = test_open(start, 1);
  char bytes[10000], copy[10000];
  const test_job failing = job_with(3, 8);
  procpool_future *good, *bad;
  procpool_error error;
  pattern_fill(bytes, sizeof(bytes), 6);
  good = test_submit(pool, task_echo, bytes, sizeof(bytes));
  bad = test_submit(pool, task_fail, &failing, sizeof(failing));
  test_close(pool);
  check_state(__LINE__, good, state_ok);
  CHECK_OK(procpool_future_wait(good, 0));
  CHECK_OK(procpool_future_result(good, PROCPOOL_FOREVER, copy, sizeof(copy), NULL));
  CHECK(pattern_holds(copy, sizeof(copy), 6));
  CHECK_STATUS(procpool_future_cancel(good), PROCPOOL_OK);
  check_state(__LINE__, bad, state_failed);
  error = test_error(bad);
  CHECK_EQ(error.code, 8);
  CHECK_TEXT(error.message, "failure 3");
  end(good);
  end(bad);
}

TEST_STARTS(future_released_after_the_pool_was_freed, EVERY) {
  enum { COUNT = 100 };
  procpool_future *futures[COUNT];
  procpool *pool = test_open(start, 2);
  for (int i = 0; i < COUNT; i++)
    futures[i] = test_submit(pool, task_twice, &i, sizeof(i));
  test_close(pool);
  for (int i = COUNT - 1; i >= 0; i--) {
    int out = 0;
    CHECK_OK(procpool_future_result(futures[i], 0, &out, sizeof(out), NULL));
    CHECK_EQ(out, 2 * i);
    end(futures[i]);
  }
}

/* ---- handles that were given back ---- */

static procpool_future *one(procpool *pool, int in) {
  procpool_future *future = test_submit(pool, task_twice, &in, sizeof(in));
  int out = 0;
  CHECK_OK(procpool_future_result(future, PROCPOOL_FOREVER, &out, sizeof(out), NULL));
  CHECK_EQ(out, 2 * in);
  return future;
}

/* Not another task's, for as long as 64 others: what is used too late gives no wrong result. */
TEST_STARTS(r019_given_back_is_no_other_task, EVERY) {
  procpool *pool;
  procpool_future *old;
  if (test_instrumented())
    SKIP("the instrument reports the look at what was given back");
  pool = test_open(start, 1);
  old = one(pool, 1);
  end(old);
  for (int i = 0; i < 64; i++) {
    procpool_future *future = one(pool, i);
    int out = 0;
    CHECK(future != old);
    CHECK_STATUS(procpool_future_result(old, PROCPOOL_FOREVER, &out, sizeof(out), NULL), PROCPOOL_HANDLE);
    CHECK_STATUS(procpool_future_release(old), PROCPOOL_HANDLE);
    end(future);
    CHECK_STATUS(procpool_future_status(old), PROCPOOL_HANDLE);
  }
  test_close(pool);
}

/* However many there were at once: tasks one by one use the same few again. */
TEST_STARTS(future_memory_stays_warm, INLINE | THREAD) {
  enum { BURST = 2000, MOST = 65 };
  procpool_future *futures[BURST], *different[MOST];
  procpool *pool;
  int count = 0;
  if (test_instrumented())
    SKIP("the heap of the instrument gives nothing out again");
  pool = test_open(start, 1);
  for (int i = 0; i < BURST; i++)
    futures[i] = test_submit(pool, task_twice, &i, sizeof(i));
  for (int i = 0; i < BURST; i++) {
    CHECK_OK(procpool_future_wait(futures[i], PROCPOOL_FOREVER));
    end(futures[i]);
  }
  for (int i = 0; i < BURST; i++) {
    procpool_future *future = one(pool, i);
    int at = 0;
    while (at < count && different[at] != future)
      at++;
    CHECK(at < MOST);
    different[at] = future;
    count += at == count;
    end(future);
  }
  CHECK_EQ(count, MOST);
  test_close(pool);
}

/* status takes nothing in: it is for those who poll or wait elsewhere. */
TEST_STARTS(future_status_never_blocks, CONCURRENT) {
  procpool *pool = test_open(start, 1);
  procpool_future *future = block(pool, 0);
  const double begin = test_now();
  for (int i = 0; i < 1000; i++)
    CHECK_STATUS(procpool_future_status(future), PROCPOOL_PENDING);
  CHECK_SECONDS(test_now() - begin, <, 2.0 * test_slow());
  gate_add(&page->gate, 1);
  CHECK_SETTLES(future, PROCPOOL_OK);
  end(future);
  test_close(pool);
}

/* ---- the calls that the typed layer is made of ---- */

TEST_STARTS(typed_result_exact_wants_the_exact_size, EVERY) {
  procpool *pool = test_open(start, 1);
  const int in = 4;
  int out = 0;
  char small[2];
  CHECK_OK(procpool__typed_result(test_submit(pool, task_twice, &in, sizeof(in)), &out, sizeof(out)));
  CHECK_EQ(out, 8);
  CHECK_NE(procpool__typed_result(test_submit(pool, task_twice, &in, sizeof(in)), small, sizeof(small)), PROCPOOL_OK);
  test_close(pool);
}

PROCPOOL_FUNCTION(int, typed_increment, int, x) {
  return x + 1;
}

/* An argument that the typed function cannot take: that task fails, and no other. */
TEST_STARTS(r109_argument_of_another_size, EVERY) {
  procpool *pool = test_open(start, 1);
  long pid = 0;
  for (int i = 0; i < 20; i++) {
    const char odd[7] = "odd";
    procpool_future *bad = test_submit(pool, typed_increment_task, odd, i % 2 == 0 ? sizeof(odd) : 0);
    procpool_future *good = test_submit(pool, typed_increment_task, &i, sizeof(i));
    int out = 0;
    CHECK_OK(procpool_future_result(good, PROCPOOL_FOREVER, &out, sizeof(out), NULL));
    CHECK_EQ(out, i + 1);
    CHECK_SETTLES(bad, PROCPOOL_FAILED);
    CHECK_NE(test_error(bad).message[0], '\0');
    CHECK(procpool_future_data(bad, NULL) == NULL);
    if (i > 0)
      CHECK_EQ(pid_of(bad), pid); /* the worker goes on */
    pid = pid_of(good);
    CHECK_EQ(pid_of(bad), pid);
    end(bad);
    end(good);
  }
  test_close(pool);
}

static int generate_numbers(void *context, void *item) {
  int *next = (int *)context;
  memcpy(item, next, sizeof(*next));
  return (*next)++ < 20;
}

static void task_odd_results(procpool_task *task) {
  const int x = *(const int *)procpool_task_argument(task, NULL);
  procpool_task_return(task, &x, x % 2 == 0 ? sizeof(x) : 3);
}

/* A result that the host cannot take for what it asked: that future, and no other. */
TEST_STARTS(r111_result_of_another_size, EVERY) {
  procpool *pool = test_open(start, 2);
  procpool_iterator *iterator = NULL;
  int next = 0, out = 0;
  for (int i = 0; i < 20; i++) {
    procpool_future *good = test_submit(pool, task_twice, &i, sizeof(i));
    procpool_future *bad = i % 2 == 0 ? test_submit(pool, task_nothing, NULL, 0) : test_submit(pool, task_echo, "x", 1);
    CHECK_STATUS(procpool__typed_result(bad, &out, sizeof(out)), PROCPOOL_TRANSFER);
    CHECK_OK(procpool__typed_result(good, &out, sizeof(out)));
    CHECK_EQ(out, 2 * i);
  }
  CHECK_OK(procpool_imap(pool, task_odd_results, generate_numbers, &next, sizeof(int), NULL, &iterator));
  for (int i = 0; i < 20; i++) {
    CHECK_STATUS(procpool__typed_next(iterator, &out, sizeof(out)), i % 2 == 0 ? PROCPOOL_OK : PROCPOOL_TRANSFER);
    if (i % 2 == 0)
      CHECK_EQ(out, i);
  }
  CHECK_STATUS(procpool__typed_next(iterator, &out, sizeof(out)), PROCPOOL_END);
  procpool_iterator_free(iterator);
  CHECK_EQ(test_stats(pool).settled, 60);
  test_close(pool);
}
