/* Pools inside of tasks, and what a task may do with processes of its own. */
#include "harness.h"

#include <errno.h>
#include <sys/wait.h>

/* A task that opens a pool, gives it one task, and returns what that one returned. */
static void task_nest(procpool_task *task) {
  const test_job *job = job_begin(task);
  procpool_error error;
  procpool_options options;
  procpool *pool;
  procpool_future *future = NULL;
  test_job inner = *job;
  int depth = 0;
  memset(&options, 0, sizeof(options));
  memset(&error, 0, sizeof(error));
  options.error = &error;
  options.start = (procpool_start)job->number;
  options.max_workers = 1;
  pool = procpool_open(&options);
  if (pool == NULL) {
    procpool_task_fail(task, error.status, error.message);
    return;
  }
  inner.index = job->index - 1;
  page->pid[job->index] = (int)getpid();
  CHECK_OK(procpool_submit(pool, inner.index > 0 ? task_nest : task_count, &inner, sizeof(inner), NULL, &future));
  if (procpool_future_result(future, PROCPOOL_FOREVER, &depth, sizeof(depth), NULL) != PROCPOOL_OK) {
    CHECK_OK(procpool_future_error(future, &error));
    procpool_task_fail(task, error.code, error.message);
  } else {
    depth++;
    procpool_task_return(task, &depth, sizeof(depth));
  }
  CHECK_OK(procpool_future_release(future));
  CHECK_OK(procpool_shutdown(pool, PROCPOOL_DRAIN, PROCPOOL_FOREVER));
  CHECK_OK(procpool_free(pool));
}

static procpool_future *nest(procpool *pool, int depth, procpool_start start) {
  const test_job job = job_with(depth, start);
  return test_submit(pool, task_nest, &job, sizeof(job));
}

TEST_STARTS(r112_a_task_opens_a_pool, EVERY) {
  procpool *pool = test_open(start, 1);
  for (int depth = 1; depth <= 3; depth++) {
    procpool_future *future = nest(pool, depth, start);
    int out = -1;
    CHECK_SETTLES(future, PROCPOOL_OK);
    CHECK_OK(procpool_future_result(future, 0, &out, sizeof(out), NULL));
    CHECK_EQ(out, depth); /* the innermost returns 0, each level adds one */
    CHECK_OK(procpool_future_release(future));
  }
  test_close(pool);
}

TEST_STARTS(r112_forked_workers_open_threads_and_the_other_way, FORK | THREAD) {
  procpool *pool;
  procpool_future *future;
  if (start == PROCPOOL_START_THREAD && getenv("TSAN_OPTIONS") != NULL)
    SKIP("ThreadSanitizer loses track of a thread that starts a process which shares its memory until it executes");
  pool = test_open(start, 1);
  future = nest(pool, 1, start == PROCPOOL_START_FORK ? PROCPOOL_START_THREAD : PROCPOOL_START_SPAWN);
  CHECK_SETTLES(future, PROCPOOL_OK);
  CHECK_OK(procpool_future_release(future));
  test_close(pool);
}

/* Deeper than the limit: a clear error at that level, which the outer ones pass on. */
TEST_STARTS(r112_too_deep, PROCESSES) {
  procpool *pool = test_open(start, 1);
  procpool_future *future = nest(pool, 20, start);
  CHECK_SETTLES(future, PROCPOOL_FAILED);
  CHECK_EQ(test_error(future).code, PROCPOOL_TOO_DEEP);
  CHECK_OK(procpool_future_release(future));
  CHECK_WORKS(pool);
  test_close(pool);
}

/* Opens a pool and blocks in it: page->pid[index] is each level's process. */
static void task_nest_and_block(procpool_task *task) {
  const test_job *job = job_begin(task);
  procpool *pool;
  test_job inner = *job;
  inner.index = job->index + 1;
  page->pid[job->index] = (int)getpid();
  if (job->index < 3) {
    pool = test_open((procpool_start)job->number, 1);
    CHECK_OK(procpool_submit(pool, task_nest_and_block, &inner, sizeof(inner), NULL, NULL));
  }
  gate_add(&page->started, 1);
  gate_wait(&page->gate, 1);
}

static void watch_levels(int *watches) {
  gate_wait(&page->started, 3);
  for (int i = 1; i <= 3; i++)
    watches[i - 1] = test_watch(page->pid[i]);
}

TEST_STARTS(r113_kill_takes_the_whole_tree, PROCESSES) {
  procpool *pool = test_open(start, 1);
  const test_job job = job_with(1, start);
  int watches[3];
  procpool_future *future = test_submit(pool, task_nest_and_block, &job, sizeof(job));
  watch_levels(watches);
  CHECK_OK(procpool_shutdown(pool, PROCPOOL_KILL, 5.0 * test_slow()));
  CHECK(test_all_gone(watches, 3, 1.0 * test_slow()));
  CHECK_STATUS(procpool_future_status(future), PROCPOOL_SHUTDOWN);
  CHECK_OK(procpool_future_release(future));
  CHECK_OK(procpool_free(pool));
}

TEST_STARTS(r113_killed_host_takes_the_whole_tree, PROCESSES) {
  int watches[3];
  const pid_t host = fork();
  CHECK_GE(host, 0);
  if (host == 0) {
    procpool *pool = test_open(start, 1);
    const test_job job = job_with(1, start);
    (void)test_submit(pool, task_nest_and_block, &job, sizeof(job));
    gate_wait(&page->word[0], 1);
    raise(SIGKILL);
  }
  watch_levels(watches);
  gate_add(&page->word[0], 1);
  CHECK_EQ(test_wait_exit(host), -SIGKILL);
  CHECK(test_all_gone(watches, 3, 1.0 * test_slow()));
}

/* The same when the host ends of its own accord, without a shutdown. */
TEST_STARTS(r113_exiting_host_takes_the_whole_tree, PROCESSES) {
  int watches[3];
  const pid_t host = fork();
  CHECK_GE(host, 0);
  if (host == 0) {
    procpool *pool = test_open(start, 1);
    const test_job job = job_with(1, start);
    (void)test_submit(pool, task_nest_and_block, &job, sizeof(job));
    gate_wait(&page->word[0], 1);
    exit(7);
  }
  watch_levels(watches);
  gate_add(&page->word[0], 1);
  CHECK_EQ(test_wait_exit(host), 7);
  CHECK(test_all_gone(watches, 3, 1.0 * test_slow()));
}

TEST_STARTS(r113_killed_worker_takes_its_pool_along, PROCESSES) {
  procpool *pool = test_open(start, 1);
  const test_job job = job_with(1, start);
  int watches[3];
  procpool_future *future = test_submit(pool, task_nest_and_block, &job, sizeof(job));
  watch_levels(watches);
  CHECK_EQ(kill(page->pid[1], SIGKILL), 0);
  CHECK_SETTLES(future, PROCPOOL_CRASHED);
  CHECK(test_all_gone(watches, 3, 1.0 * test_slow()));
  CHECK_OK(procpool_future_release(future));
  gate_add(&page->gate, 1);
  CHECK_WORKS(pool);
  test_close(pool);
}

/* ---- a task of a pool and that same pool ---- */

static procpool *own_pool;
static procpool_future *own_future;

static void task_uses_its_own_pool(procpool_task *task) {
  const int in = 1;
  int out = 0;
  gate_wait(&page->word[0], 1); /* the variables above are set */
  CHECK_STATUS(procpool_future_wait(own_future, PROCPOOL_FOREVER), PROCPOOL_DEADLOCK);
  CHECK_STATUS(procpool_future_result(own_future, PROCPOOL_FOREVER, &out, sizeof(out), NULL), PROCPOOL_DEADLOCK);
  CHECK_STATUS(procpool_wait(&own_future, 1, PROCPOOL_ALL_COMPLETED, PROCPOOL_FOREVER, NULL), PROCPOOL_DEADLOCK);
  CHECK_STATUS(procpool_map(own_pool, task_twice, &in, sizeof(in), &out, sizeof(out), 1, NULL), PROCPOOL_DEADLOCK);
  CHECK_STATUS(procpool_shutdown(own_pool, PROCPOOL_DRAIN, PROCPOOL_FOREVER), PROCPOOL_DEADLOCK);
  CHECK_STATUS(procpool_free(own_pool), PROCPOOL_DEADLOCK);
  CHECK_OK(procpool_submit(own_pool, task_nothing, NULL, 0, NULL, NULL)); /* this one does not wait */
  gate_add(&page->finished, 1);
  (void)task;
}

TEST_STARTS(r055_waiting_in_a_task_of_the_same_pool_is_refused, THREAD | INLINE) {
  procpool_future *future;
  own_pool = test_open(start, 1);
  future = test_submit(own_pool, task_uses_its_own_pool, NULL, 0);
  own_future = test_submit(own_pool, task_nothing, NULL, 0); /* behind it: not settled while it runs */
  gate_add(&page->word[0], 1);
  CHECK_SETTLES(future, PROCPOOL_OK);
  CHECK_SETTLES(own_future, PROCPOOL_OK);
  CHECK_EQ(page->finished, 1);
  CHECK_OK(procpool_future_release(future));
  CHECK_OK(procpool_future_release(own_future));
  test_close(own_pool);
}

/* In a worker process the handle is the host's: it is refused there too, in whatever words. */
static void task_uses_the_hosts_pool(procpool_task *task) {
  int refused = 0;
  (void)job_begin(task);
  gate_wait(&page->word[0], 1);
  refused += procpool_submit(own_pool, task_nothing, NULL, 0, NULL, NULL) == PROCPOOL_FORKED;
  refused += procpool_poll(own_pool, 0) == PROCPOOL_FORKED;
  refused += procpool_shutdown(own_pool, PROCPOOL_KILL, PROCPOOL_FOREVER) == PROCPOOL_FORKED;
  refused += procpool_free(own_pool) == PROCPOOL_FORKED;
  procpool_task_return(task, &refused, sizeof(refused));
}

TEST(r115_a_forked_worker_is_refused_the_hosts_pool) {
  const test_job job = job_of(0);
  procpool *outer = test_open(PROCPOOL_START_FORK, 1);
  procpool *inner;
  procpool_future *future;
  int refused = 0;
  own_pool = outer;
  inner = test_open(PROCPOOL_START_FORK, 1); /* its workers are copies that know the outer pool */
  gate_add(&page->word[0], 1);
  future = test_submit(inner, task_uses_the_hosts_pool, &job, sizeof(job));
  CHECK_OK(procpool_future_result(future, PROCPOOL_FOREVER, &refused, sizeof(refused), NULL));
  CHECK_EQ(refused, 4);
  CHECK_OK(procpool_future_release(future));
  CHECK_WORKS(outer);
  test_close(inner);
  test_close(outer);
}

/* ---- children of a task ---- */

static void task_runs_programs(procpool_task *task) {
  int status = -1;
  pid_t child = fork();
  if (child == 0)
    _exit(31);
  CHECK_EQ(waitpid(child, &status, 0), child);
  CHECK_EQ(WEXITSTATUS(status), 31);
  CHECK_EQ(waitpid(-1, &status, WNOHANG), -1); /* no child but its own */
  CHECK_EQ(errno, ECHILD);
  CHECK_EQ(system("exit 7") >> 8, 7);
  status = (int)getpgrp();
  procpool_task_return(task, &status, sizeof(status));
}

TEST_STARTS(r114_a_task_forks_and_runs_programs, PROCESSES) {
  procpool *pool = test_open(start, 2);
  for (int i = 0; i < 5; i++) {
    procpool_future *future = test_submit(pool, task_runs_programs, NULL, 0);
    CHECK_SETTLES(future, PROCPOOL_OK);
    CHECK_OK(procpool_future_release(future));
  }
  test_close(pool);
}

static void task_reads_stdin(procpool_task *task) {
  char byte;
  const int got = (int)read(0, &byte, 1);
  procpool_task_return(task, &got, sizeof(got));
}

/* Standard input is /dev/null here: its end, not an error. */
TEST_STARTS(r114_stdin_can_be_read, PROCESSES) {
  procpool *pool = test_open(start, 1);
  procpool_future *future = test_submit(pool, task_reads_stdin, NULL, 0);
  int got = -1;
  CHECK_OK(procpool_future_result(future, PROCPOOL_FOREVER, &got, sizeof(got), NULL));
  CHECK_EQ(got, 0);
  CHECK_OK(procpool_future_release(future));
  test_close(pool);
}

/* A child that a task left behind must not disturb the tasks that come after it. */
static void task_child_comes_back(procpool_task *task) {
  const test_job *job = job_begin(task);
  const pid_t child = fork();
  CHECK_GE(child, 0);
  if (child == 0) {
    gate_wait(&page->gate, 1);
    procpool_task_return(task, "from the child", 15); /* its own copy, or nothing at all */
    gate_add(&page->finished, 1);
    _exit(0);
  }
  page->pid[0] = (int)child;
  procpool_task_return(task, &job->index, sizeof(job->index));
}

TEST_STARTS(r114_a_child_left_behind_writes_nowhere, FORK) {
  procpool *pool = test_open(start, 1);
  const test_job job = job_of(9);
  procpool_future *future = test_submit(pool, task_child_comes_back, &job, sizeof(job)), *futures[200];
  int watch, out = 0;
  CHECK_SETTLES(future, PROCPOOL_OK);
  watch = test_watch(page->pid[0]);
  for (int i = 0; i < 200; i++) {
    if (i == 100)
      gate_add(&page->gate, 1);
    futures[i] = test_submit(pool, task_twice, &i, sizeof(i));
  }
  CHECK(test_gone(watch, 5.0 * test_slow()));
  for (int i = 0; i < 200; i++) {
    CHECK_OK(procpool_future_result(futures[i], PROCPOOL_FOREVER, &out, sizeof(out), NULL));
    CHECK_EQ(out, 2 * i);
    CHECK_OK(procpool_future_release(futures[i]));
  }
  CHECK_OK(procpool_future_result(future, 0, &out, sizeof(out), NULL));
  CHECK_EQ(out, 9);
  CHECK_OK(procpool_future_release(future));
  test_close(pool);
}

/* What it would write over is the place of its parent's result, where one lap later another one lies. */
TEST_STARTS(r114_a_child_left_behind_spoils_no_result, FORK) {
  enum { LAP = 64, COUNT = LAP + 8 }; /* records of 64 bytes in a ring of 4096 */
  procpool_options options = {0};
  procpool *pool;
  const test_job job = job_of(9);
  procpool_future *future, *futures[COUNT];
  int watch, out = 0;
  options.ring_size = 4096;
  pool = test_open_with(start, 1, &options);
  future = test_submit(pool, task_child_comes_back, &job, sizeof(job));
  CHECK_SETTLES(future, PROCPOOL_OK);
  watch = test_watch(page->pid[0]);
  for (int i = 0; i < COUNT; i++) {
    const test_job one = job_of(i);
    futures[i] = test_submit(pool, task_count, &one, sizeof(one));
  }
  while (gate_read(&page->count) <= LAP) /* then the ring is full: the host takes nothing in now */
    sched_yield();
  gate_add(&page->gate, 1);
  CHECK(test_gone(watch, 5.0 * test_slow()));
  for (int i = 0; i < COUNT; i++) {
    CHECK_OK(procpool_future_result(futures[i], PROCPOOL_FOREVER, &out, sizeof(out), NULL));
    CHECK_EQ(out, i);
    CHECK_OK(procpool_future_release(futures[i]));
  }
  CHECK_OK(procpool_future_release(future));
  test_close(pool);
}
