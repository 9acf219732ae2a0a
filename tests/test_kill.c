/* Tasks that are ended while they run: by a limit of time, or by cancel_kill; and initializers by theirs. */
#include "harness.h"

#include <math.h>
#include <poll.h>
#include <sys/mman.h>

enum {
  NONE = PROCPOOL_STAGE_NONE,
  ASKED = PROCPOOL_STAGE_ASKED,
  TERM = PROCPOOL_STAGE_TERM,
  KILL = PROCPOOL_STAGE_KILL
};

static procpool_submit_options limits_of(double time_limit, double grace) {
  procpool_submit_options options = {0};
  options.time_limit = time_limit;
  options.grace = grace;
  return options;
}

/* With a limit and a grace of its own. */
static procpool_future *limited(procpool *pool, procpool_function function, test_job job, double limit, double grace) {
  const procpool_submit_options options = limits_of(limit, grace);
  procpool_future *future = NULL;
  CHECK_OK(procpool_submit(pool, function, &job, sizeof(job), &options, &future));
  CHECK(future != NULL);
  return future;
}

static procpool_future *submit_job(procpool *pool, procpool_function function, test_job job) {
  return test_submit(pool, function, &job, sizeof(job));
}

static void finish(procpool_future *future, procpool_status expected) {
  CHECK_SETTLES(future, expected);
  CHECK_OK(procpool_future_release(future));
}

/* It ended in this status at this stage, in the worker whose process is page->pid[index]. */
static void check_ended(procpool_future *future, procpool_status status, int stage, int index) {
  procpool_error error;
  CHECK_SETTLES(future, status);
  error = test_error(future);
  CHECK_STATUS(error.status, status);
  CHECK_EQ(error.stage, stage);
  CHECK_EQ(error.pid, page->pid[index]);
  CHECK_EQ(pid_of(future), page->pid[index]);
  CHECK_NE(error.message[0], '\0');
  CHECK(procpool_future_data(future, NULL) == NULL);
  CHECK_OK(procpool_future_release(future));
}

static long pid_of_next(procpool *pool) {
  procpool_future *future = test_submit(pool, task_pid, NULL, 0);
  long pid = 0;
  CHECK_OK(procpool_future_result(future, PROCPOOL_FOREVER, &pid, sizeof(pid), NULL));
  CHECK_OK(procpool_future_release(future));
  return pid;
}

/* Until its body has begun. */
static void wait_running(procpool_future *future) {
  while (!procpool_future_running(future))
    sched_yield();
}

static void let_pass(double seconds) {
  int never = 0;
  (void)gate_wait_for(&never, 1, seconds);
}

/* ---- tasks ---- */

static const test_job *begin_here(procpool_task *task) {
  const test_job *job = job_begin(task);
  page->pid[job->index] = (int)getpid();
  gate_add(&page->started, 1);
  return job;
}

static void task_obey(procpool_task *task) {
  (void)begin_here(task);
  while (!procpool_task_cancelled(task))
    sched_yield();
  gate_add(&page->finished, 1);
  procpool_task_return(task, "not wanted", 10);
}

/* Knows that it is to end, and takes its time: until word[number]. */
static void task_obey_slowly(procpool_task *task) {
  const test_job *job = begin_here(task);
  while (!procpool_task_cancelled(task))
    sched_yield();
  gate_add(&page->word[0], 1);
  gate_wait(&page->word[job->number], 1);
}

static void task_block_sigterm(procpool_task *task) {
  sigset_t all;
  sigfillset(&all);
  CHECK_EQ(sigprocmask(SIG_BLOCK, &all, NULL), 0);
  (void)begin_here(task);
  gate_wait(&page->gate, 1);
}

static void task_ignore_sigterm(procpool_task *task) {
  signal(SIGTERM, SIG_IGN);
  (void)begin_here(task);
  gate_wait(&page->gate, 1);
}

static void exit_with_three(int number) {
  (void)number;
  _exit(3);
}

static void task_exit_at_sigterm(procpool_task *task) {
  signal(SIGTERM, exit_with_three);
  (void)begin_here(task);
  gate_wait(&page->gate, 1);
}

static void task_spin(procpool_task *task) {
  (void)begin_here(task);
  while (gate_read(&page->gate) == 0)
    ;
}

/* Takes number milliseconds. */
static void task_last(procpool_task *task) {
  const test_job *job = job_begin(task);
  const double end = test_now() + job->number * 1e-3;
  while (test_now() < end)
    sched_yield();
  procpool_task_return(task, &job->index, sizeof(job->index));
}

/* ---- a limit per task ---- */

TEST_STARTS(r105_limit_ends_a_task, PROCESSES) {
  procpool *pool = test_open(start, 1);
  const long pid = pid_of_next(pool);
  const double begin = test_now();
  procpool_future *future = limited(pool, task_block, job_of(0), 0.1, -1);
  procpool_error error;
  CHECK_SETTLES(future, PROCPOOL_TIMEOUT);
  CHECK_SECONDS(test_now() - begin, >=, 0.1);
  error = test_error(future);
  CHECK_EQ(error.signal, SIGKILL);
  CHECK_EQ(error.worker, 0);
  page->pid[0] = (int)pid;
  check_ended(future, PROCPOOL_TIMEOUT, KILL, 0);
  CHECK_NE(pid_of_next(pool), pid);
  CHECK_EQ(test_stats(pool).workers_started, 2);
  CHECK_EQ(test_stats(pool).crashed, 0);
  CHECK_EQ(page->finished, 0);
  test_close(pool);
}

TEST_STARTS(r105_six_in_turn, PROCESSES) {
  procpool *pool = test_open(start, 1);
  procpool_future *futures[6];
  for (int i = 0; i < 6; i++)
    futures[i] =
        limited(pool, i % 2 == 0 ? task_block : task_last, job_of(i), i % 2 == 0 ? 0.05 : 1000, i % 4 == 0 ? -1 : 0.01);
  for (int i = 0; i < 6; i++)
    finish(futures[i], i % 2 == 0 ? PROCPOOL_TIMEOUT : PROCPOOL_OK);
  CHECK_EQ(test_stats(pool).settled, 6);
  CHECK_EQ(test_stats(pool).workers_started, 4);
  CHECK_EQ(test_stats(pool).workers_alive, 1);
  CHECK_EQ(test_stats(pool).running, 0);
  test_close(pool);
}

TEST_STARTS(r105_neighbours_are_untouched, PROCESSES) {
  procpool *pool = test_open(start, 2);
  procpool_future *neighbour = submit_job(pool, task_block, job_of(5));
  gate_wait(&page->started, 1);
  for (int i = 0; i < 10; i++) {
    finish(limited(pool, task_spin, job_of(0), 0.02, i % 2 == 0 ? -1 : 0.01), PROCPOOL_TIMEOUT);
    CHECK_STATUS(procpool_future_status(neighbour), PROCPOOL_PENDING);
    CHECK_WORKS(pool);
  }
  gate_add(&page->gate, 1);
  CHECK_SETTLES(neighbour, PROCPOOL_OK);
  CHECK_EQ(pid_of(neighbour), page->pid[5]);
  CHECK_OK(procpool_future_release(neighbour));
  test_close(pool);
}

TEST_STARTS(r105_within_the_limit_nothing_happens, PROCESSES) {
  procpool *pool = test_open(start, 1);
  const long pid = pid_of_next(pool);
  for (int i = 0; i < 200; i++)
    finish(limited(pool, task_last, job_with(i, 0), 1000, 0), PROCPOOL_OK);
  CHECK_EQ(pid_of_next(pool), pid);
  test_close(pool);
}

static procpool *open_limited(procpool_start start, int workers, double time_limit, double grace) {
  procpool_options options = {0};
  options.time_limit = time_limit;
  options.grace = grace;
  return test_open_with(start, workers, &options);
}

/* The pool's limit holds for submit, map and imap; a task may have its own, or none. */
TEST_STARTS(r105_limit_of_the_pool, PROCESSES) {
  procpool *pool = open_limited(start, 1, 0.1, -1);
  const test_job job = job_of(0);
  procpool_future *future;
  int out = -1;
  finish(submit_job(pool, task_block, job), PROCPOOL_TIMEOUT);
  CHECK_STATUS(procpool_map(pool, task_block, &job, sizeof(job), &out, sizeof(out), 1, NULL), PROCPOOL_TIMEOUT);
  CHECK_EQ(out, -1);
  finish(limited(pool, task_last, job_with(1, 300), 1000, 0), PROCPOOL_OK); /* its own */
  future = limited(pool, task_block, job_of(1), -1, 0);                     /* none */
  wait_running(future);
  let_pass(0.4);
  CHECK_STATUS(procpool_future_wait(future, 0), PROCPOOL_PENDING);
  gate_add(&page->gate, 1);
  finish(future, PROCPOOL_OK);
  CHECK_EQ(test_stats(pool).workers_started, 3);
  test_close(pool);
}

static int generate_blocks(void *context, void *item) {
  int *next = (int *)context;
  const test_job job = job_with(*next, *next == 1 ? 1 : 2); /* the one with index 1 waits for ever */
  if (*next == 3)
    return 0;
  memcpy(item, &job, sizeof(job));
  ++*next;
  return 1;
}

TEST_STARTS(r105_limit_per_item_of_an_imap, PROCESSES) {
  procpool *pool = test_open(start, 1);
  procpool_imap_options options = {0};
  procpool_iterator *iterator = NULL;
  procpool_future *future = NULL;
  int next = 0;
  options.time_limit = 0.3 * test_slow();
  options.grace = -1;
  gate_add(&page->word[2], 1);
  CHECK_OK(procpool_imap(pool, task_gate, generate_blocks, &next, sizeof(test_job), &options, &iterator));
  for (int i = 0; i < 3; i++) {
    CHECK_OK(procpool_next(iterator, PROCPOOL_FOREVER, &future));
    CHECK_STATUS(procpool_future_status(future), i == 1 ? PROCPOOL_TIMEOUT : PROCPOOL_OK);
    CHECK_EQ(test_error(future).stage, i == 1 ? KILL : NONE);
  }
  CHECK_STATUS(procpool_next(iterator, PROCPOOL_FOREVER, &future), PROCPOOL_END);
  procpool_iterator_free(iterator);
  test_close(pool);
}

/* The supervisor sees to the limit while the host does not call the library. */
TEST_STARTS(r105_limits_hold_while_the_host_is_busy_elsewhere, PROCESSES) {
  procpool *pool = test_open(start, 1);
  const int watch = test_watch(page->pid[0] = (int)pid_of_next(pool));
  procpool_future *future = limited(pool, task_block, job_of(0), 0.2, -1), *next;
  next = submit_job(pool, task_count, job_of(1));
  CHECK(test_gone(watch, 10.0 * test_slow()));
  while (gate_read(&page->count) == 0) /* the queued one runs too; the case's limit holds */
    sched_yield();
  check_ended(future, PROCPOOL_TIMEOUT, KILL, 0);
  finish(next, PROCPOOL_OK);
  test_close(pool);
}

/* A stopped supervisor delays the end of a task, and nothing else. */
TEST_STARTS(r105_a_stopped_supervisor_only_delays, PROCESSES) {
  procpool *pool = test_open(start, 2);
  procpool_future *future = test_submit(pool, task_parent, NULL, 0);
  long supervisor = 0;
  CHECK_OK(procpool_future_result(future, PROCPOOL_FOREVER, &supervisor, sizeof(supervisor), NULL));
  CHECK_OK(procpool_future_release(future));
  CHECK_EQ(kill((pid_t)supervisor, SIGSTOP), 0);
  future = limited(pool, task_block, job_of(0), 0.02, -1);
  gate_wait(&page->started, 1);
  for (int i = 0; i < 200; i++)
    finish(limited(pool, task_last, job_of(i), 1000, 0), PROCPOOL_OK);
  CHECK_STATUS(procpool_future_status(future), PROCPOOL_PENDING);
  CHECK_EQ(kill((pid_t)supervisor, SIGCONT), 0);
  check_ended(future, PROCPOOL_TIMEOUT, KILL, 0);
  test_close(pool);
}

TEST_STARTS(r105_strict_pools_survive_limits_and_kills, PROCESSES) {
  procpool_options options = {0};
  procpool *pool;
  procpool_future *future;
  options.strict = true;
  pool = test_open_with(start, 1, &options);
  finish(limited(pool, task_block, job_of(0), 0.02, -1), PROCPOOL_TIMEOUT);
  future = submit_job(pool, task_block, job_of(0));
  wait_running(future);
  (void)procpool_future_cancel_kill(future, 0.01);
  finish(future, PROCPOOL_CANCELLED);
  CHECK_WORKS(pool);
  test_close(pool);
}

TEST_STARTS(r105_limits_are_refused_where_nothing_can_be_killed, THREAD | INLINE) {
  const procpool_submit_options options = limits_of(1, 0), none = limits_of(-1, 5);
  procpool_map_options map = {0};
  procpool_imap_options imap = {0};
  procpool_options of_pool = {0};
  procpool_future *future = NULL;
  procpool_iterator *iterator = NULL;
  procpool *pool = test_open(start, 1);
  int next = 0, out = 0;
  const int in = 4;
  CHECK_STATUS(procpool_submit(pool, task_nothing, NULL, 0, &options, &future), PROCPOOL_UNSUPPORTED);
  CHECK(future == NULL);
  map.time_limit = 1;
  CHECK_STATUS(procpool_map(pool, task_twice, &in, sizeof(in), &out, sizeof(out), 1, &map), PROCPOOL_UNSUPPORTED);
  imap.time_limit = 1;
  CHECK_STATUS(procpool_imap(pool, task_gate, generate_blocks, &next, sizeof(test_job), &imap, &iterator),
               PROCPOOL_UNSUPPORTED);
  CHECK(iterator == NULL);
  CHECK_EQ(test_stats(pool).submitted, 0);
  CHECK_OK(procpool_submit(pool, task_nothing, NULL, 0, &none, &future));
  finish(future, PROCPOOL_OK);
  CHECK_OK(procpool_submit(pool, task_nothing, NULL, 0, NULL, &future));
  finish(future, PROCPOOL_OK);
  test_close(pool);
  of_pool.start = start;
  of_pool.time_limit = 1;
  test_open_fails(&of_pool, PROCPOOL_UNSUPPORTED);
  of_pool.time_limit = 0;
  of_pool.initializer_limit = 1;
  test_open_fails(&of_pool, PROCPOOL_UNSUPPORTED);
}

/* ---- what counts ---- */

/* The first of a pair: waiting in the queue for longer than the limit is no harm. */
TEST_STARTS(r107_time_in_the_queue_does_not_count, PROCESSES) {
  procpool *pool = test_open(start, 1);
  procpool_future *blocker = submit_job(pool, task_block, job_of(0)), *future;
  gate_wait(&page->started, 1);
  future = limited(pool, task_count, job_of(1), 0.3 * test_slow(), -1);
  let_pass(0.6 * test_slow());
  CHECK_STATUS(procpool_future_wait(future, 0), PROCPOOL_PENDING);
  gate_add(&page->gate, 1);
  finish(blocker, PROCPOOL_OK);
  finish(future, PROCPOOL_OK);
  CHECK_EQ(test_stats(pool).workers_started, 1);
  test_close(pool);
}

/* The second: the whole limit is there once the body begins. */
TEST_STARTS(r107_the_limit_begins_with_the_body, PROCESSES) {
  procpool *pool = test_open(start, 1);
  procpool_future *blocker = submit_job(pool, task_gate, job_with(0, 1)), *future;
  double begin;
  gate_wait(&page->started, 1);
  future = limited(pool, task_block, job_of(1), 0.3, -1);
  let_pass(0.5);
  begin = test_now();
  gate_add(&page->word[1], 1);
  finish(blocker, PROCPOOL_OK);
  check_ended(future, PROCPOOL_TIMEOUT, KILL, 1);
  CHECK_SECONDS(test_now() - begin, >=, 0.3);
  test_close(pool);
}

/* Until a worker sleeps in the midst of this task, its ring full. */
static void wait_asleep(procpool_future *future, long pid) {
  while (!procpool_future_running(future) && test_state(pid) != 0)
    sched_yield();
  while (test_state(pid) != 'S' && test_state(pid) != 0)
    sched_yield();
  CHECK_EQ(test_state(pid), 'S');
}

/* The body has returned; that there is no room for its result is not its fault. */
TEST_STARTS(r107_waiting_for_room_does_not_count, PROCESSES) {
  procpool_options options = {0};
  procpool *pool;
  procpool_future *future;
  long pid;
  options.ring_size = 65536;
  pool = test_open_with(start, 1, &options);
  pid = pid_of_next(pool);
  future = limited(pool, task_make, job_sized(3, 4 << 20), 1.0 * test_slow(), -1);
  wait_asleep(future, pid);
  let_pass(1.2 * test_slow());
  CHECK_SETTLES(future, PROCPOOL_OK);
  CHECK(pattern_holds(procpool_future_data(future, NULL), 4 << 20, 3));
  CHECK_OK(procpool_future_release(future));
  CHECK_EQ(pid_of_next(pool), pid);
  test_close(pool);
}

/* Long enough for the supervisor to look at it. */
static void task_make_later(procpool_task *task) {
  usleep((useconds_t)job_begin(task)->number);
  task_make(task);
}

/* Nor is a stop that comes to it while it waits: the body was in time. */
TEST_STARTS(r107_stop_while_it_waits_for_room, PROCESSES) {
  procpool_options options = {0};
  procpool *pool;
  procpool_future *future;
  test_job job = job_sized(3, 4 << 20);
  long pid;
  job.number = 250000 * test_slow();
  options.ring_size = 65536;
  pool = test_open_with(start, 1, &options);
  pid = pid_of_next(pool);
  future = limited(pool, task_make_later, job, 0.6 * test_slow(), -1);
  wait_asleep(future, pid);
  let_pass(0.8 * test_slow());
  CHECK_EQ(kill((pid_t)pid, SIGSTOP), 0);
  let_pass(0.1);
  CHECK_EQ(kill((pid_t)pid, SIGCONT), 0);
  finish(future, PROCPOOL_OK);
  CHECK_EQ(pid_of_next(pool), pid);
  test_close(pool);
}

static void task_gate_here(procpool_task *task) {
  const test_job *job = begin_here(task);
  gate_wait(&page->word[job->number], 1);
}

static pid_t slow_from;
static useconds_t slow_us = 60000;

/* A fork in the supervisor or in a worker. */
static void fork_slowly(void) {
  if (getpid() != slow_from)
    usleep(slow_us);
}

/* All workers but one die, and a fork takes long, as that of a large host does: limits are not heeded only when all are
 * there again. */
TEST_STARTS(r105_limit_while_workers_are_replaced, FORK) {
  enum { WORKERS = 12 };
  procpool *pool;
  procpool_future *future, *others[WORKERS - 1];
  procpool_status status;
  slow_from = getpid();
  CHECK_EQ(pthread_atfork(fork_slowly, NULL, NULL), 0);
  pool = test_open(start, WORKERS);
  for (int i = 0; i < WORKERS - 1; i++)
    others[i] = submit_job(pool, task_gate_here, job_with(i, 1));
  gate_wait(&page->started, WORKERS - 1);
  future = limited(pool, task_gate_here, job_with(WORKERS - 1, 1), 0.2, -1);
  gate_wait(&page->started, WORKERS);
  for (int i = 0; i < WORKERS - 1; i++)
    CHECK_EQ(kill(page->pid[i], SIGKILL), 0);
  status = procpool_future_wait(future, PROCPOOL_FOREVER);
  CHECK_LT(test_stats(pool).workers_started, 2 * WORKERS - 1);
  CHECK_STATUS(status, PROCPOOL_TIMEOUT);
  CHECK_OK(procpool_future_release(future));
  for (int i = 0; i < WORKERS - 1; i++)
    finish(others[i], PROCPOOL_CRASHED);
  CHECK_OK(procpool_shutdown(pool, PROCPOOL_KILL, PROCPOOL_FOREVER));
  CHECK_OK(procpool_free(pool));
}

/* Three of four workers are replaced after each task, and each fork takes longer than the supervisor ever oversleeps.
 * initializer: null, or the workers' own. */
static procpool *open_that_forks_slowly(procpool_start start, procpool_initializer initializer) {
  procpool_options options = {0};
  slow_from = getpid();
  slow_us = 150000;
  CHECK_EQ(pthread_atfork(fork_slowly, NULL, NULL), 0);
  options.max_tasks_per_child = 1;
  options.initializer = initializer;
  options.initializer_limit = initializer != NULL ? 0.3 * test_slow() : 0;
  return test_open_with(start, 4, &options);
}

/* Keeps the others busy until that worker has ended. */
static void churn_until_gone(procpool *pool, long pid, double seconds) {
  const double begin = test_now();
  while (test_state(pid) != 0 && test_now() - begin < seconds) {
    for (int i = 0; i < 3; i++)
      CHECK_OK(procpool_submit(pool, task_nothing, NULL, 0, NULL, NULL));
    let_pass(0.02);
  }
  CHECK_EQ(test_state(pid), 0);
}

static void limit_while_forks_take_long(procpool_start start, procpool_function function, double grace) {
  procpool *pool = open_that_forks_slowly(start, NULL);
  procpool_future *future = limited(pool, function, job_with(0, 1), 0.5 * test_slow(), grace);
  gate_wait(&page->started, 1);
  churn_until_gone(pool, page->pid[0], 3 * test_slow());
  check_ended(future, PROCPOOL_TIMEOUT, KILL, 0);
  CHECK_OK(procpool_shutdown(pool, PROCPOOL_KILL, PROCPOOL_FOREVER));
  CHECK_OK(procpool_free(pool));
}

/* What the supervisor's own work takes is no time that it could not run, and so given back to all, for ever. */
TEST_STARTS(r107_limit_while_forks_take_long, FORK) {
  limit_while_forks_take_long(start, task_gate_here, -1);
}

TEST_STARTS(r106_stages_while_forks_take_long, FORK) {
  limit_while_forks_take_long(start, task_block_sigterm, 0.2);
}

/* Of all workers the sixth one hangs, which takes the place of another. */
static int initializer_of_which_one_hangs(const void *argument, size_t size) {
  (void)argument;
  (void)size;
  if (gate_add(&page->word[5], 1) != 6)
    return 0;
  page->pid[0] = (int)getpid();
  gate_add(&page->started, 1);
  gate_wait(&page->gate, 1);
  return 0;
}

TEST_STARTS(r106_initializer_while_forks_take_long, FORK) {
  procpool *pool = open_that_forks_slowly(start, initializer_of_which_one_hangs);
  for (int i = 0; i < 8; i++)
    CHECK_OK(procpool_submit(pool, task_nothing, NULL, 0, NULL, NULL));
  gate_wait(&page->started, 1);
  churn_until_gone(pool, page->pid[0], 3 * test_slow());
  CHECK_OK(procpool_shutdown(pool, PROCPOOL_KILL, PROCPOOL_FOREVER));
  CHECK_OK(procpool_free(pool));
}

/* ---- the stages ---- */

static void check_stage(procpool_start start, procpool_function function, double grace, int stage, int signal_number,
                        int exit_status) {
  for (int by_limit = 0; by_limit < 2; by_limit++) {
    procpool *pool = test_open(start, 1);
    procpool_future *future =
        by_limit ? limited(pool, function, job_of(0), 0.3 * test_slow(), grace) : submit_job(pool, function, job_of(0));
    int watch;
    gate_wait(&page->started, by_limit + 1);
    watch = test_watch(page->pid[0]);
    if (!by_limit)
      CHECK_STATUS(procpool_future_cancel_kill(future, grace), PROCPOOL_PENDING);
    CHECK_SETTLES(future, by_limit ? PROCPOOL_TIMEOUT : PROCPOOL_CANCELLED);
    CHECK_EQ(test_error(future).signal, signal_number);
    CHECK_EQ(test_error(future).exit_status, exit_status);
    check_ended(future, by_limit ? PROCPOOL_TIMEOUT : PROCPOOL_CANCELLED, stage, 0);
    CHECK(test_gone(watch, 0)); /* it settled when its worker was reaped */
    CHECK_NE(pid_of_next(pool), page->pid[0]);
    CHECK_EQ(test_stats(pool).crashed, 0);
    test_close(pool);
  }
}

TEST_STARTS(r106_spinning_task_ends_by_sigterm, PROCESSES) {
  check_stage(start, task_spin, 0.5 * test_slow(), TERM, SIGTERM, 0);
}
TEST_STARTS(r106_sigterm_that_is_handled, PROCESSES) {
  check_stage(start, task_exit_at_sigterm, 0.5 * test_slow(), TERM, 0, 3);
}
TEST_STARTS(r106_sigterm_blocked, PROCESSES) {
  check_stage(start, task_block_sigterm, 0.02, KILL, SIGKILL, 0);
}
TEST_STARTS(r106_sigterm_ignored, PROCESSES) {
  check_stage(start, task_ignore_sigterm, 0.02, KILL, SIGKILL, 0);
}
TEST_STARTS(r106_no_grace_no_sigterm, PROCESSES) {
  check_stage(start, task_exit_at_sigterm, -1, KILL, SIGKILL, 0);
}

TEST_STARTS(r106_stopped_worker, PROCESSES) {
  for (int i = 0; i < 2; i++) {
    procpool *pool = test_open(start, 2);
    procpool_future *future = limited(pool, task_block, job_of(0), 0.5 * test_slow(), i == 0 ? -1 : 0.02);
    gate_wait(&page->started, i + 1);
    CHECK_EQ(kill(page->pid[0], SIGSTOP), 0);
    CHECK_WORKS(pool); /* on the other */
    check_ended(future, PROCPOOL_TIMEOUT, KILL, 0);
    test_close(pool);
  }
}

/* Stopped while it waits for room: nothing else would end it. */
TEST_STARTS(r106_stopped_worker_whose_body_has_returned, PROCESSES) {
  procpool_options options = {0};
  procpool *pool;
  procpool_future *future;
  long pid;
  procpool_status status;
  options.ring_size = 65536;
  pool = test_open_with(start, 1, &options);
  pid = pid_of_next(pool);
  future = limited(pool, task_make, job_sized(3, 4 << 20), 1.0 * test_slow(), -1);
  wait_asleep(future, pid);
  CHECK_EQ(kill((pid_t)pid, SIGSTOP), 0);
  status = procpool_future_wait(future, PROCPOOL_FOREVER);
  CHECK_STATUS(status, PROCPOOL_TIMEOUT);
  CHECK_OK(procpool_future_release(future));
  CHECK_NE(pid_of_next(pool), pid);
  test_close(pool);
}

TEST_STARTS(r062_who_returns_when_asked_keeps_its_worker, PROCESSES) {
  procpool *pool = test_open(start, 1);
  for (int i = 0; i < 10; i++) {
    procpool_future *future =
        i % 2 == 0 ? submit_job(pool, task_obey, job_of(0)) : limited(pool, task_obey, job_of(0), 0.02, 1000);
    gate_wait(&page->started, i + 1);
    if (i % 2 == 0)
      CHECK_STATUS(procpool_future_cancel_kill(future, 1000), PROCPOOL_PENDING);
    check_ended(future, i % 2 == 0 ? PROCPOOL_CANCELLED : PROCPOOL_TIMEOUT, ASKED, 0);
    CHECK_EQ(page->finished, i + 1);
    CHECK_EQ(pid_of_next(pool), page->pid[0]);
  }
  CHECK_EQ(test_stats(pool).workers_started, 1);
  CHECK_EQ(test_stats(pool).settled, 20);
  test_close(pool);
}

/* It was asked and has not returned yet: its worker is busy, and no other. */
TEST_STARTS(r062_busy_while_it_is_being_ended, PROCESSES) {
  procpool *pool = test_open(start, 1);
  procpool_future *future = submit_job(pool, task_obey_slowly, job_with(0, 1)), *next;
  gate_wait(&page->started, 1);
  next = submit_job(pool, task_count, job_of(1));
  CHECK_STATUS(procpool_future_cancel_kill(future, 1000), PROCPOOL_PENDING);
  gate_wait(&page->word[0], 1); /* it knows */
  CHECK_STATUS(procpool_future_wait(future, 0.05), PROCPOOL_PENDING);
  CHECK(procpool_future_running(future));
  CHECK_EQ(test_stats(pool).workers_busy, 1);
  CHECK_EQ(test_stats(pool).running, 1);
  CHECK_EQ(test_stats(pool).queued, 1);
  CHECK_EQ(page->count, 0);
  CHECK_STATUS(procpool_future_cancel_kill(future, 1000), PROCPOOL_PENDING); /* again: it still ends */
  gate_add(&page->word[1], 1);
  check_ended(future, PROCPOOL_CANCELLED, ASKED, 0);
  CHECK_SETTLES(next, PROCPOOL_OK);
  CHECK_EQ(pid_of(next), page->pid[0]);
  CHECK_OK(procpool_future_release(next));
  test_close(pool);
}

/* It was asked, and its time is over: killed. */
TEST_STARTS(r062_who_does_not_return_in_time_is_killed, PROCESSES) {
  procpool *pool = test_open(start, 1);
  procpool_future *future = submit_job(pool, task_obey_slowly, job_with(0, 1));
  gate_wait(&page->started, 1);
  CHECK_STATUS(procpool_future_cancel_kill(future, 0.5 * test_slow()), PROCPOOL_PENDING);
  gate_wait(&page->word[0], 1);
  check_ended(future, PROCPOOL_CANCELLED, TERM, 0);
  CHECK_NE(pid_of_next(pool), page->pid[0]);
  test_close(pool);
}

/* A second, less patient call. */
TEST_STARTS(r062_a_later_call_may_be_less_patient, PROCESSES) {
  procpool *pool = test_open(start, 1);
  procpool_future *future = submit_job(pool, task_obey_slowly, job_with(0, 1));
  gate_wait(&page->started, 1);
  CHECK_STATUS(procpool_future_cancel_kill(future, 1000), PROCPOOL_PENDING);
  gate_wait(&page->word[0], 1);
  CHECK_STATUS(procpool_future_cancel_kill(future, -1), PROCPOOL_PENDING);
  check_ended(future, PROCPOOL_CANCELLED, KILL, 0);
  test_close(pool);
}

/* ---- cancel_kill ---- */

TEST_STARTS(r059_running_task_is_cancelled, PROCESSES) {
  procpool *pool = test_open(start, 1);
  double least = 1000;
  for (int i = 0; i < 20; i++) {
    procpool_future *future = submit_job(pool, task_block, job_of(0));
    double begin;
    int watch;
    gate_wait(&page->started, i + 1);
    watch = test_watch(page->pid[0]);
    begin = test_now();
    CHECK_STATUS(procpool_future_cancel_kill(future, -1), PROCPOOL_PENDING);
    CHECK_SETTLES(future, PROCPOOL_CANCELLED);
    if (test_now() - begin < least)
      least = test_now() - begin;
    CHECK(test_gone(watch, 0));
    CHECK(procpool_future_cancelled(future));
    CHECK_STATUS(procpool_future_cancel_kill(future, -1), PROCPOOL_CANCELLED);
    CHECK_STATUS(procpool_future_cancel(future), PROCPOOL_CANCELLED);
    check_ended(future, PROCPOOL_CANCELLED, KILL, 0);
    CHECK_NE(pid_of_next(pool), page->pid[0]);
  }
  CHECK_SECONDS(least, <, 0.05 * test_slow()); /* at least once it was quick */
  CHECK_EQ(page->finished, 0);
  CHECK_EQ(test_stats(pool).workers_started, 21);
  test_close(pool);
}

TEST_STARTS(r059_task_that_waits_is_just_cancelled, EVERY) {
  procpool *pool = test_open(start, 1);
  procpool_future *blocker = NULL, *future, *settled;
  settled = test_submit(pool, task_nothing, NULL, 0);
  CHECK_SETTLES(settled, PROCPOOL_OK);
  if (start != PROCPOOL_START_INLINE) {
    blocker = submit_job(pool, task_block, job_of(0));
    gate_wait(&page->started, 1);
  }
  future = submit_job(pool, task_count, job_of(1));
  CHECK_STATUS(procpool_future_cancel_kill(future, 0), PROCPOOL_CANCELLED);
  CHECK_STATUS(procpool_future_status(future), PROCPOOL_CANCELLED);
  CHECK_EQ(test_error(future).stage, NONE);
  CHECK_EQ(test_error(future).pid, 0);
  CHECK_STATUS(procpool_future_cancel_kill(settled, 0), PROCPOOL_OK);
  CHECK_STATUS(procpool_future_cancel_kill(settled, NAN), PROCPOOL_ARGUMENT);
  CHECK_STATUS(procpool_future_cancel_kill(NULL, 0), PROCPOOL_HANDLE);
  gate_add(&page->gate, 1);
  if (blocker != NULL)
    finish(blocker, PROCPOOL_OK);
  CHECK_WORKS(pool);
  CHECK_EQ(page->count, 0);
  CHECK_OK(procpool_future_release(future));
  CHECK_OK(procpool_future_release(settled));
  test_close(pool);
}

TEST_STARTS(r059_thread_cannot_be_killed, THREAD) {
  procpool *pool = test_open(start, 1);
  procpool_future *future = submit_job(pool, task_block, job_of(0));
  gate_wait(&page->started, 1);
  CHECK_STATUS(procpool_future_cancel_kill(future, 0), PROCPOOL_UNSUPPORTED);
  gate_add(&page->gate, 1);
  finish(future, PROCPOOL_OK);
  test_close(pool);
}

TEST_STARTS(r059_after_the_pool_is_freed, EVERY) {
  procpool *pool = test_open(start, 1);
  procpool_future *future = test_submit(pool, task_nothing, NULL, 0);
  CHECK_SETTLES(future, PROCPOOL_OK);
  test_close(pool);
  CHECK_STATUS(procpool_future_cancel_kill(future, 0), PROCPOOL_OK);
  CHECK_OK(procpool_future_release(future));
}

/* Released right after: the task ends all the same, and its argument is freed. */
TEST_STARTS(r059_released_after_the_call, PROCESSES) {
  procpool *pool = test_open(start, 1);
  for (int i = 0; i < 10; i++) {
    procpool_future *future = submit_job(pool, task_block, job_of(0));
    gate_wait(&page->started, i + 1);
    CHECK_STATUS(procpool_future_cancel_kill(future, i % 2 == 0 ? -1 : 0.01), PROCPOOL_PENDING);
    CHECK_OK(procpool_future_release(future));
    CHECK_WORKS(pool);
  }
  CHECK_EQ(test_stats(pool).settled, 20);
  test_close(pool);
}

TEST_STARTS(r058_cancel_queued_then_cancel_kill_running, PROCESSES) {
  procpool *pool = test_open(start, 1);
  for (int i = 0; i < 10; i++) {
    procpool_future *a = submit_job(pool, task_block, job_of(0)), *b, *c;
    gate_wait(&page->started, i + 1);
    b = submit_job(pool, task_count, job_of(1));
    c = submit_job(pool, task_count, job_of(2));
    CHECK_STATUS(procpool_future_cancel(b), PROCPOOL_CANCELLED);
    CHECK_STATUS(procpool_future_cancel_kill(a, i % 2 == 0 ? -1 : 0.01), PROCPOOL_PENDING);
    finish(c, PROCPOOL_OK);
    finish(a, PROCPOOL_CANCELLED);
    finish(b, PROCPOOL_CANCELLED);
    CHECK_EQ(page->count, i + 1);
  }
  test_close(pool);
}

/* ---- kills and what comes after ---- */

/* A task that lasts about as long as its limit, or as it takes until it is cancelled, and innocent ones behind it: whatever
 * happens to it, they are well. */
static void check_successors(procpool_start start, bool by_limit) {
  enum { BEHIND = 4 };
  procpool *pool = test_open(start, 2);
  int ended = 0, completed = 0;
  const int rounds = test_rounds(150);
  for (int round = 0; round < rounds; round++) {
    static const double graces[] = {-1, 0.001, 0.1};
    const double grace = graces[round % 3];
    const test_job job = job_with(round, round % 5);
    procpool_future *victim = by_limit ? limited(pool, task_last, job, 0.002, grace) : submit_job(pool, task_last, job);
    procpool_future *behind[BEHIND];
    procpool_status status;
    for (int i = 0; i < BEHIND; i++)
      behind[i] = submit_job(pool, task_last, job_with(i, i % 2));
    if (!by_limit) {
      const double until = test_now() + (round % 7) * 0.0007;
      while (test_now() < until)
        sched_yield();
      (void)procpool_future_cancel_kill(victim, grace);
    }
    for (int i = 0; i < BEHIND; i++)
      finish(behind[i], PROCPOOL_OK);
    status = procpool_future_wait(victim, PROCPOOL_FOREVER);
    CHECK(status == PROCPOOL_OK || status == (by_limit ? PROCPOOL_TIMEOUT : PROCPOOL_CANCELLED));
    ended += status != PROCPOOL_OK;
    completed += status == PROCPOOL_OK;
    CHECK_OK(procpool_future_release(victim));
  }
  CHECK_GT(ended, 0); /* otherwise nothing was shown */
  CHECK_GT(completed, 0);
  CHECK_EQ(test_stats(pool).crashed, 0);
  CHECK_EQ(test_stats(pool).settled, (BEHIND + 1) * rounds);
  test_close(pool);
}

TEST_STARTS(r060_cancel_kill_never_hits_the_next_task, PROCESSES) {
  check_successors(start, false);
}
TEST_STARTS(r060_limit_never_hits_the_next_task, PROCESSES) {
  check_successors(start, true);
}

static void note_sigterm(int number) {
  (void)number;
  gate_add(&page->word[2], 1);
}

/* Tells when SIGTERM has come, and returns when it is told to. */
static void task_outlive_sigterm(procpool_task *task) {
  signal(SIGTERM, note_sigterm);
  (void)begin_here(task);
  gate_wait(&page->word[1], 1);
  procpool_task_return(task, "late", 5);
}

/* Between SIGTERM and SIGKILL the worker still lives and its task returns: it counts for nothing, and it gets no other. */
TEST_STARTS(r060_dying_worker_gets_no_task, PROCESSES) {
  procpool *pool = test_open(start, 1);
  procpool_future *future = submit_job(pool, task_outlive_sigterm, job_of(0)), *next[20];
  gate_wait(&page->started, 1);
  CHECK_STATUS(procpool_future_cancel_kill(future, 0.3), PROCPOOL_PENDING);
  for (int i = 0; i < 20; i++)
    next[i] = test_submit(pool, task_pid, NULL, 0);
  gate_wait(&page->word[2], 1);
  gate_add(&page->word[1], 1);
  for (int i = 0; i < 20; i++) {
    CHECK_SETTLES(next[i], PROCPOOL_OK);
    CHECK_NE(pid_of(next[i]), page->pid[0]);
    CHECK_OK(procpool_future_release(next[i]));
  }
  CHECK_SETTLES(future, PROCPOOL_CANCELLED);
  CHECK_GE(test_error(future).stage, TERM);
  CHECK_OK(procpool_future_release(future));
  test_close(pool);
}

typedef struct witness {
  int calls;
  procpool_status status;
} witness;

static void note(procpool_future *future, void *context) {
  witness *self = (witness *)context;
  self->status = procpool_future_status(future);
  gate_add(&self->calls, 1);
}

/* Lasts a while, then returns, fails or dies. */
static void task_end_somehow(procpool_task *task) {
  const test_job *job = job_begin(task);
  const double end = test_now() + job->number * 1e-4;
  while (test_now() < end && !(job->index % 5 == 4 && procpool_task_cancelled(task)))
    sched_yield();
  if (job->index % 3 == 1)
    procpool_task_fail(task, 1, "it failed");
  if (job->index % 3 == 2)
    raise(SIGKILL);
}

typedef struct rival {
  procpool_future *future;
  int go, rounds;
  double grace;
} rival;

static void *cancel_kill_in_a_thread(void *context) {
  rival *self = (rival *)context;
  for (int round = 1; round <= self->rounds; round++) {
    gate_wait(&self->go, 2 * round - 1);
    for (int wait = round * 37 % 400; wait > 0; wait--)
      __atomic_thread_fence(__ATOMIC_SEQ_CST);
    (void)procpool_future_cancel_kill(self->future, self->grace);
    gate_add(&self->go, 1);
  }
  return NULL;
}

/* Cancel, limit, end and death at about the same time: one outcome, told once, and it stays. */
TEST_STARTS_LIMIT(r061_everything_races, PROCESSES, 60) {
  static const double graces[] = {-1, 0.0005, 0.05};
  procpool *pool = test_open(start, 2);
  const int rounds = test_rounds(400);
  rival self = {NULL, 0, rounds, 0};
  pthread_t thread = test_thread(cancel_kill_in_a_thread, &self);
  int seen[16] = {0};
  for (int round = 0; round < rounds; round++) {
    witness told = {0, PROCPOOL_PENDING};
    procpool_status status;
    self.grace = graces[round % 3];
    self.future = limited(pool, task_end_somehow, job_with(round, round % 13), 0.001, self.grace);
    CHECK_OK(procpool_future_add_done_callback(self.future, note, &told));
    if (round % 4 != 0) {
      const double until = test_now() + (round % 9) * 0.0002;
      while (test_now() < until)
        sched_yield();
    }
    gate_add(&self.go, 1);
    status = procpool_future_wait(self.future, PROCPOOL_FOREVER);
    gate_wait(&self.go, 2 * (round + 1));
    CHECK_LT(status, 16);
    seen[status]++;
    CHECK(status == PROCPOOL_OK || status == PROCPOOL_FAILED || status == PROCPOOL_CRASHED ||
          status == PROCPOOL_TIMEOUT || status == PROCPOOL_CANCELLED);
    gate_wait(&told.calls, 1);
    CHECK_POLL(procpool_poll(pool, 0));
    CHECK_EQ(told.calls, 1);
    CHECK_STATUS(told.status, status);
    CHECK_STATUS(procpool_future_status(self.future), status);
    CHECK_STATUS(procpool_future_cancel_kill(self.future, -1), status);
    CHECK_OK(procpool_future_release(self.future));
  }
  test_join(thread);
  CHECK_EQ(test_stats(pool).settled, rounds);
  CHECK_EQ(test_stats(pool).running, 0);
  CHECK_EQ(test_stats(pool).crashed, seen[PROCPOOL_CRASHED]);
  CHECK_WORKS(pool);
  test_close(pool);
}

/* What the worker might still have to say comes to nothing. */
TEST_STARTS(r051_no_late_result_after_a_limit, PROCESSES) {
  procpool *pool = test_open(start, 1);
  for (int round = 0; round < test_rounds(100); round++) {
    procpool_future *future = limited(pool, task_last, job_with(round, 2), 0.002, round % 2 == 0 ? -1 : 0.001);
    const procpool_status status = procpool_future_wait(future, PROCPOOL_FOREVER);
    CHECK(status == PROCPOOL_OK || status == PROCPOOL_TIMEOUT);
    CHECK_WORKS(pool);
    CHECK_STATUS(procpool_future_status(future), status);
    CHECK_EQ(procpool_future_data(future, NULL) == NULL, status != PROCPOOL_OK);
    CHECK_OK(procpool_future_release(future));
  }
  CHECK_EQ(test_stats(pool).crashed, 0);
  test_close(pool);
}

/* ---- who is told ---- */

TEST_STARTS(r053_once_for_a_limit_and_for_cancel_kill, PROCESSES) {
  procpool *pool = test_open(start, 1);
  witness first = {0, PROCPOOL_PENDING}, second = {0, PROCPOOL_PENDING};
  procpool_future *future = limited(pool, task_block, job_of(0), 0.05, -1);
  CHECK_OK(procpool_future_add_done_callback(future, note, &first));
  finish(future, PROCPOOL_TIMEOUT);
  future = submit_job(pool, task_block, job_of(0));
  CHECK_OK(procpool_future_add_done_callback(future, note, &second));
  wait_running(future);
  CHECK_STATUS(procpool_future_cancel_kill(future, 0.01), PROCPOOL_PENDING);
  finish(future, PROCPOOL_CANCELLED);
  test_close(pool);
  CHECK_EQ(first.calls, 1);
  CHECK_STATUS(first.status, PROCPOOL_TIMEOUT);
  CHECK_EQ(second.calls, 1);
  CHECK_STATUS(second.status, PROCPOOL_CANCELLED);
}

typedef struct again {
  procpool *pool;
  int left;
} again;

/* Each callback of a timed-out task submits the next one that will time out. */
static void submit_again(procpool_future *future, void *context) {
  again *self = (again *)context;
  procpool_future *next;
  CHECK_STATUS(procpool_future_status(future), self->left % 2 == 0 ? PROCPOOL_TIMEOUT : PROCPOOL_CANCELLED);
  CHECK_OK(procpool_future_release(future));
  if (self->left-- == 0)
    return;
  next = limited(self->pool, task_block, job_of(0), self->left % 2 == 0 ? 0.005 : 1000, -1);
  CHECK_OK(procpool_future_add_done_callback(next, submit_again, self));
  if (self->left % 2 != 0) {
    wait_running(next);
    (void)procpool_future_cancel_kill(next, -1);
  }
}

TEST_STARTS(r054_chain_of_tasks_that_are_ended, PROCESSES) {
  procpool *pool = test_open(start, 1);
  again self = {pool, 20};
  procpool_future *first = limited(pool, task_block, job_of(0), 0.005, -1);
  struct pollfd entry;
  CHECK_OK(procpool_future_add_done_callback(first, submit_again, &self));
  entry.fd = procpool_fd(pool);
  entry.events = POLLIN;
  while (self.left >= 0) {
    CHECK_EQ(poll(&entry, 1, 10000), 1);
    CHECK_POLL(procpool_poll(pool, 0));
  }
  CHECK_EQ(test_stats(pool).settled, 21);
  test_close(pool);
}

static void *wait_in_a_thread(void *context) {
  procpool_future *future = (procpool_future *)context;
  CHECK_STATUS(procpool_future_wait(future, PROCPOOL_FOREVER), PROCPOOL_TIMEOUT);
  return NULL;
}

TEST_STARTS(r046_all_wake_for_a_limit, PROCESSES) {
  enum { WAITERS = 64 };
  procpool *pool = test_open(start, 1);
  procpool_future *future = limited(pool, task_block, job_of(0), 0.2, 0.01);
  pthread_t threads[WAITERS];
  for (int i = 0; i < WAITERS; i++)
    threads[i] = test_thread(wait_in_a_thread, future);
  for (int i = 0; i < WAITERS; i++)
    test_join(threads[i]);
  CHECK_OK(procpool_future_release(future));
  test_close(pool);
}

TEST_STARTS(r047_descriptor_signals_a_limit, PROCESSES) {
  procpool *pool = test_open(start, 1);
  procpool_future *future = limited(pool, task_block, job_of(0), 0.1, 0.01);
  struct pollfd entry;
  entry.fd = procpool_fd(pool);
  entry.events = POLLIN;
  while (!known_done(future)) {
    CHECK_EQ(poll(&entry, 1, 10000), 1);
    CHECK_POLL(procpool_poll(pool, 0));
  }
  finish(future, PROCPOOL_TIMEOUT);
  test_close(pool);
}

TEST_STARTS(r041_a_limit_is_an_exception_a_cancel_is_none, PROCESSES) {
  procpool *pool = test_open(start, 3);
  procpool_future *futures[3];
  futures[0] = submit_job(pool, task_gate, job_with(0, 1));
  futures[1] = submit_job(pool, task_block, job_of(1));
  gate_wait(&page->started, 2);
  CHECK_STATUS(procpool_future_cancel_kill(futures[1], -1), PROCPOOL_PENDING);
  CHECK_SETTLES(futures[1], PROCPOOL_CANCELLED);
  CHECK_STATUS(procpool_wait(futures, 2, PROCPOOL_FIRST_EXCEPTION, 0.02, NULL), PROCPOOL_PENDING);
  futures[2] = limited(pool, task_block, job_of(2), 0.02, -1);
  CHECK_OK(procpool_wait(futures, 3, PROCPOOL_FIRST_EXCEPTION, PROCPOOL_FOREVER, NULL));
  CHECK(!procpool_future_done(futures[0]));
  finish(futures[2], PROCPOOL_TIMEOUT);
  gate_add(&page->word[1], 1);
  finish(futures[0], PROCPOOL_OK);
  CHECK_OK(procpool_future_release(futures[1]));
  test_close(pool);
}

TEST_STARTS(r029_stats_after_limits_and_kills, PROCESSES) {
  procpool *pool = test_open(start, 2);
  procpool_future *both[2];
  procpool_stats stats;
  int number;
  for (int i = 0; i < 5; i++)
    finish(limited(pool, task_block, job_of(0), 0.01, -1), PROCPOOL_TIMEOUT);
  for (int i = 0; i < 5; i++) {
    procpool_future *future = submit_job(pool, task_block, job_of(0));
    wait_running(future);
    CHECK_STATUS(procpool_future_cancel_kill(future, -1), PROCPOOL_PENDING);
    finish(future, PROCPOOL_CANCELLED);
  }
  number = gate_read(&page->started) + 2;
  for (int i = 0; i < 2; i++)
    both[i] = submit_job(pool, task_meet, job_with(i, number)); /* the last replacement is there too */
  for (int i = 0; i < 2; i++)
    finish(both[i], PROCPOOL_OK);
  stats = test_stats(pool);
  CHECK_EQ(stats.submitted, 12);
  CHECK_EQ(stats.settled, 12);
  CHECK_EQ(stats.crashed, 0);
  CHECK_EQ(stats.queued, 0);
  CHECK_EQ(stats.running, 0);
  CHECK_EQ(stats.workers_busy, 0);
  CHECK_EQ(stats.workers_started, 12);
  CHECK_EQ(stats.workers_alive, 2);
  test_close(pool);
}

/* ---- maps ---- */

enum { ITEMS = 10 };

static void map_of_times(procpool *pool, int slow_item, int ms, procpool_map_options *options,
                         procpool_status *statuses, procpool_status expected) {
  test_job jobs[ITEMS];
  int out[ITEMS];
  for (int i = 0; i < ITEMS; i++) {
    jobs[i] = job_with(i, i == slow_item ? ms : 0);
    out[i] = -1;
    statuses[i] = PROCPOOL_END;
  }
  options->statuses = statuses;
  CHECK_STATUS(procpool_map(pool, task_last, jobs, sizeof(jobs[0]), out, sizeof(int), ITEMS, options), expected);
  for (int i = 0; i < ITEMS; i++)
    CHECK_EQ(out[i], statuses[i] == PROCPOOL_OK ? i : -1);
}

/* One item may take the time that others of its chunk leave it; alone in a chunk it may not. */
TEST_STARTS(r039_limit_grows_with_the_chunk, PROCESSES) {
  procpool *pool = test_open(start, 1);
  procpool_status statuses[ITEMS];
  const double limit = 0.3 * test_slow();
  const int ms = (int)(limit * 1e3 * 3 / 2);
  for (int chunk = 1; chunk <= ITEMS; chunk += ITEMS - 1) {
    procpool_map_options options = {0};
    options.chunksize = (size_t)chunk;
    options.time_limit = limit;
    options.grace = -1;
    map_of_times(pool, 4, ms, &options, statuses, chunk == 1 ? PROCPOOL_TIMEOUT : PROCPOOL_OK);
    for (int i = 0; i < ITEMS; i++)
      CHECK_STATUS(statuses[i], chunk == 1 && i == 4 ? PROCPOOL_TIMEOUT : PROCPOOL_OK);
  }
  CHECK_EQ(test_stats(pool).workers_started, 2);
  test_close(pool);
}

/* The chunk's time is over: the item that runs is the one to blame, what had ended is kept, the rest is handed out again. */
TEST_STARTS(r039_rest_of_the_chunk_is_handed_out_again, PROCESSES) {
  static const double graces[] = {-1, 0.02};
  for (int g = 0; g < 2; g++) {
    procpool *pool = test_open(start, 1);
    procpool_status statuses[ITEMS];
    procpool_map_options options = {0};
    procpool_error error;
    double begin = test_now();
    options.chunksize = ITEMS;
    options.time_limit = 0.05;
    options.grace = graces[g];
    options.error = &error;
    map_of_times(pool, 4, 1000000, &options, statuses, PROCPOOL_TIMEOUT);
    CHECK_SECONDS(test_now() - begin, >=, 0.05 * ITEMS); /* n items may take n times as long */
    for (int i = 0; i < ITEMS; i++)
      CHECK_STATUS(statuses[i], i == 4 ? PROCPOOL_TIMEOUT : PROCPOOL_OK);
    CHECK_EQ(options.failed_item, 4);
    CHECK_EQ(options.failed_count, 1);
    CHECK_STATUS(error.status, PROCPOOL_TIMEOUT);
    CHECK_NE(error.stage, NONE);
    CHECK_WORKS(pool);
    test_close(pool);
  }
}

/* The map's own time-out says PENDING, an item's limit TIMEOUT: they are not taken for one another. */
TEST_STARTS(r036_time_out_of_the_map_and_of_an_item, PROCESSES) {
  procpool *pool = test_open(start, 2);
  procpool_status statuses[ITEMS];
  procpool_map_options options = {0};
  options.chunksize = 1;
  options.timeout = 1000;
  options.time_limit = 0.3 * test_slow();
  options.grace = -1;
  map_of_times(pool, 4, 1000000, &options, statuses, PROCPOOL_TIMEOUT); /* the item's */
  for (int i = 0; i < ITEMS; i++)
    CHECK_STATUS(statuses[i], i == 4 ? PROCPOOL_TIMEOUT : PROCPOOL_OK);
  options.timeout = 0.4 * test_slow();
  options.time_limit = 0.8 * test_slow();
  map_of_times(pool, 4, 1000000, &options, statuses, PROCPOOL_PENDING); /* the map's, though its item has one too */
  for (int i = 0; i < ITEMS; i++)
    CHECK_STATUS(statuses[i], i == 4 ? PROCPOOL_PENDING : PROCPOOL_OK);
  test_close(pool); /* the item that still runs is ended by its own limit */
}

/* ---- initializers ---- */

static int initializer_by_page(const void *argument, size_t size) {
  const test_job *job = (const test_job *)argument;
  CHECK_EQ(size, sizeof(*job));
  page_attach(job->host, job->descriptor);
  if (gate_add(&page->word[20], 1) <= job->index) /* so many times it takes for ever */
    gate_wait(&page->word[21], 1);
  (void)gate_wait_for(&page->word[21], 1, job->number * 1e-3); /* else so long */
  return 0;
}

static procpool *open_with_initializer(procpool_start start, int hangs, int ms, double initializer_limit,
                                       double time_limit) {
  procpool_options options = {0};
  const test_job job = job_with(hangs, ms);
  options.initializer = initializer_by_page;
  options.initializer_argument = &job;
  options.initializer_size = sizeof(job);
  options.initializer_limit = initializer_limit;
  options.time_limit = time_limit;
  options.grace = -1;
  return test_open_with(start, 1, &options);
}

TEST_STARTS(r067_initializer_that_hangs, PROCESSES) {
  procpool *pool = open_with_initializer(start, 1000, 0, 0.1, 0);
  procpool_future *future = NULL;
  procpool_error error;
  if (procpool_submit(pool, task_nothing, NULL, 0, NULL, &future) == PROCPOOL_OK) {
    CHECK_SETTLES(future, PROCPOOL_INIT_FAIL);
    CHECK_EQ(test_error(future).stage, KILL);
    CHECK_OK(procpool_future_release(future));
  }
  CHECK_STATUS(procpool_submit(pool, task_nothing, NULL, 0, NULL, NULL), PROCPOOL_INIT_FAIL);
  (void)procpool_last_error(&error);
  CHECK_STATUS(error.status, PROCPOOL_INIT_FAIL);
  CHECK_LE(page->word[20], 10);
  CHECK_OK(procpool_shutdown(pool, PROCPOOL_DRAIN, PROCPOOL_FOREVER));
  CHECK_OK(procpool_free(pool));
}

TEST_STARTS(r067_initializer_that_hangs_once_is_tried_again, PROCESSES) {
  procpool *pool = open_with_initializer(start, 1, 0, 0.4 * test_slow(), 0);
  CHECK_WORKS(pool);
  CHECK_EQ(page->word[20], 2);
  test_close(pool);
}

/* Each limit is for its own: a long initializer is no long task, and the other way round. */
TEST_STARTS(r067_limits_of_initializer_and_task_are_separate, PROCESSES) {
  const double shorter = 0.3 * test_slow();
  const int longer = 600 * test_slow();
  procpool *pool = open_with_initializer(start, 0, longer, 1000, shorter);
  CHECK_WORKS(pool);
  finish(submit_job(pool, task_block, job_of(0)), PROCPOOL_TIMEOUT);
  CHECK_WORKS(pool);
  test_close(pool);
  pool = open_with_initializer(start, 0, 0, shorter, 0);
  finish(submit_job(pool, task_last, job_with(0, longer)), PROCPOOL_OK);
  test_close(pool);
}

/* ---- refused ---- */

/* Memory that no process can read: a worker that touches the payload dies of it. */
static void *payload_of(size_t size) {
  void *memory = mmap(NULL, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  CHECK(memory != MAP_FAILED);
  return memory;
}

TEST_STARTS(r063_refused_submit_does_not_touch_the_payload, EVERY) {
  const size_t size = 16 << 20;
  void *payload = payload_of(size);
  procpool_options small = {0};
  procpool_submit_options options[3] = {limits_of(NAN, 0), limits_of(0, NAN), limits_of(0, 0)};
  procpool_future *future = NULL, *blocker;
  procpool_stats before, after;
  procpool *pool;
  options[2].timeout = NAN;
  small.max_queued = 1;
  pool = test_open_with(start, 1, &small);
  CHECK_WORKS(pool);
  before = test_stats(pool);
  for (int i = 0; i < 3; i++)
    CHECK_STATUS(procpool_submit(pool, task_sum, payload, size, &options[i], &future), PROCPOOL_ARGUMENT);
  CHECK_STATUS(procpool_submit(pool, NULL, payload, size, NULL, &future), PROCPOOL_ARGUMENT);
  if (start != PROCPOOL_START_INLINE) { /* there submit runs a task itself when the queue is full */
    blocker = submit_job(pool, task_block, job_of(0));
    gate_wait(&page->started, 1);
    for (int i = 0; i < 100; i++)
      CHECK_STATUS(try_submit(pool, task_sum, payload, size, &future), PROCPOOL_FULL);
    CHECK_STATUS(submit_timed(pool, 0.01, task_sum, payload, size, &future), PROCPOOL_FULL);
    gate_add(&page->gate, 1);
    finish(blocker, PROCPOOL_OK);
    before.submitted++;
    before.settled++;
  }
  CHECK_OK(procpool_shutdown(pool, PROCPOOL_DRAIN, PROCPOOL_FOREVER));
  CHECK_STATUS(procpool_submit(pool, task_sum, payload, size, NULL, &future), PROCPOOL_SHUTDOWN);
  CHECK_STATUS(try_submit(pool, task_sum, payload, size, &future), PROCPOOL_SHUTDOWN);
  CHECK_STATUS(submit_timed(pool, 1, task_sum, payload, size, &future), PROCPOOL_SHUTDOWN);
  CHECK_STATUS(procpool_submit(pool, task_sum, payload, size, NULL, &future), PROCPOOL_SHUTDOWN);
  CHECK(future == NULL);
  after = test_stats(pool);
  CHECK_EQ(after.submitted, before.submitted);
  CHECK_EQ(after.settled, before.settled);
  CHECK_EQ(after.queued, 0);
  CHECK_EQ(after.shared_bytes, before.shared_bytes);
  CHECK_OK(procpool_free(pool));
  CHECK_EQ(munmap(payload, size), 0);
}

TEST_STARTS(r023_submit_with_a_time_to_wait, CONCURRENT) {
  procpool_options small = {0};
  procpool_submit_options options = {0};
  procpool_future *blocker, *future = NULL;
  procpool *pool;
  double begin;
  small.max_queued = 1;
  pool = test_open_with(start, 1, &small);
  blocker = submit_job(pool, task_block, job_of(0));
  options.timeout = -1;
  begin = test_now();
  CHECK_STATUS(procpool_submit(pool, task_nothing, NULL, 0, &options, &future), PROCPOOL_FULL);
  CHECK_SECONDS(test_now() - begin, <, 1.0 * test_slow());
  options.timeout = 0.1;
  begin = test_now();
  CHECK_STATUS(procpool_submit(pool, task_nothing, NULL, 0, &options, &future), PROCPOOL_FULL);
  CHECK_SECONDS(test_now() - begin, >=, 0.1);
  CHECK_SECONDS(test_now() - begin, <, 0.1 + 1.0 * test_slow());
  CHECK(future == NULL);
  gate_add(&page->gate, 1);
  options.timeout = 0; /* as long as it takes */
  CHECK_OK(procpool_submit(pool, task_nothing, NULL, 0, &options, &future));
  finish(future, PROCPOOL_OK);
  finish(blocker, PROCPOOL_OK);
  CHECK_EQ(test_stats(pool).submitted, 2);
  test_close(pool);
}

/* ---- nested pools ---- */

static void task_open_and_block(procpool_task *task) {
  const test_job *job = begin_here(task);
  procpool *pool;
  test_job inner = *job;
  inner.index = 7;
  pool = test_open((procpool_start)job->number, 1);
  CHECK_OK(procpool_submit(pool, task_ignore_sigterm, &inner, sizeof(inner), NULL, NULL));
  gate_wait(&page->gate, 1);
}

TEST_STARTS(r113_ended_task_takes_its_pool_along, PROCESSES) {
  for (int i = 0; i < 2; i++) {
    procpool *pool = test_open(start, 1);
    procpool_future *future = submit_job(pool, task_open_and_block, job_with(0, start));
    int watch;
    gate_wait(&page->started, 2 * (i + 1));
    watch = test_watch(page->pid[7]);
    CHECK_STATUS(procpool_future_cancel_kill(future, i == 0 ? -1 : 0.02), PROCPOOL_PENDING);
    finish(future, PROCPOOL_CANCELLED);
    CHECK(test_gone(watch, 1.0 * test_slow()));
    CHECK_WORKS(pool);
    test_close(pool);
  }
}

/* Shutdown comes in the midst of the stages. */
TEST_STARTS(r077_shutdown_while_a_task_is_being_ended, PROCESSES) {
  static const procpool_shutdown_mode modes[] = {PROCPOOL_DRAIN, PROCPOOL_CANCEL, PROCPOOL_KILL};
  for (int m = 0; m < 3; m++) {
    procpool *pool = test_open(start, 1);
    procpool_future *future = submit_job(pool, task_ignore_sigterm, job_of(0));
    procpool_status status;
    gate_wait(&page->started, m + 1);
    CHECK_STATUS(procpool_future_cancel_kill(future, 0.05), PROCPOOL_PENDING);
    CHECK_OK(procpool_shutdown(pool, modes[m], 10.0 * test_slow()));
    status = procpool_future_status(future);
    CHECK(status == PROCPOOL_CANCELLED || (modes[m] == PROCPOOL_KILL && status == PROCPOOL_SHUTDOWN));
    CHECK_OK(procpool_future_release(future));
    CHECK_OK(procpool_free(pool));
  }
}
