/* Tasks that hold or mislead the supervisor, and workers that come to nothing: KILL and free return in bounded time, the
 * host neither blocks nor spins, and every task settles. What is written into shared memory is in test_hostile_tasks.c. */
#include "hostile.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>

/* In a task: the word of the page that says that it is there. */
static void here(void) {
  gate_add(&page->started, 1);
}

static procpool *open_closed(procpool_start start, int workers) {
  procpool_options options;
  memset(&options, 0, sizeof(options));
  options.close_fds = true; /* what a worker then has is the pool's own */
  return test_open_with(start, workers, &options);
}

static double processor_time(void) {
  struct timespec t;
  (void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
  return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* ---- status flags of descriptors ---- */

/* Makes each descriptor that it has one that waits, and fills it before, if that is asked for. */
static void task_flags(procpool_task *task) {
  const int fill = *(const int *)procpool_task_argument(task, PROCPOOL_NULL);
  int found = 0;
  for (int fd = 3; fd < 256; fd++) {
    uint64_t one = 1, most = UINT64_MAX - 1;
    if (fcntl(fd, F_GETFL) < 0)
      continue;
    (void)fcntl(fd, F_SETFL, O_NONBLOCK);
    (void)!read(fd, &one, sizeof(one));
    if (fill && write(fd, &most, sizeof(most)) == (ssize_t)sizeof(most))
      while (write(fd, &one, sizeof(one)) > 0)
        continue;
    (void)fcntl(fd, F_SETFL, 0);
    found++;
  }
  procpool_task_return(task, &found, sizeof(found));
}

static procpool *open_with_flags(procpool_start start, int fill) {
  procpool *pool = open_closed(start, 2);
  procpool_future *future = test_submit(pool, task_flags, &fill, sizeof(fill));
  int found = 0;
  CHECK_OK(procpool_future_result(future, PROCPOOL_FOREVER, &found, sizeof(found), PROCPOOL_NULL));
  CHECK_GE(found, 1);
  CHECK_OK(procpool_future_release(future));
  return pool;
}

/* As an event loop does it: nothing but poll on the descriptor, and procpool_poll. */
static void loop_until_done(procpool *pool, procpool_future *future) {
  struct pollfd fd = {procpool_fd(pool), POLLIN, 0};
  while (!known_done(future)) {
    (void)poll(&fd, 1, 300); /* a worker may have emptied the descriptor: then the loop's own time-out must do */
    CHECK_POLL(procpool_poll(pool, 0));
  }
  for (int i = 0; i < 3; i++)
    CHECK_POLL(procpool_poll(pool, 0)); /* returns without waiting */
}

static void use_with_flags(procpool_start start, int fill) {
  enum { COUNT = 20 };
  procpool *pool = open_with_flags(start, fill), *other = test_open(start, 1);
  procpool_future *both[2];
  for (int i = 0; i < COUNT; i++) {
    procpool_future *future = test_submit(pool, task_twice, &i, sizeof(i));
    loop_until_done(pool, future);
    CHECK_SETTLES(future, PROCPOOL_OK);
    CHECK_OK(procpool_future_release(future));
  }
  for (int i = 0; i < COUNT; i++) {
    both[0] = test_submit(pool, task_twice, &i, sizeof(i));
    both[1] = test_submit(other, task_twice, &i, sizeof(i));
    CHECK_OK(procpool_wait(both, 2, PROCPOOL_ALL_COMPLETED, PROCPOOL_FOREVER, PROCPOOL_NULL));
    CHECK_OK(procpool_future_release(both[0]));
    CHECK_OK(procpool_future_release(both[1]));
  }
  for (int i = 0; i < 3; i++)
    procpool_interrupt(pool);
  test_close_by(other, PROCPOOL_KILL);
  CHECK_OK(procpool_free(pool));
}

TEST_STARTS(r155_flags_of_descriptors, PROCESSES) {
  use_with_flags(start, 0);
}

TEST_STARTS(r155_flags_of_full_descriptors, PROCESSES) {
  use_with_flags(start, 1);
}

/* ---- words of the segment ---- */

static void task_nap(procpool_task *task) {
  const int ms = *(const int *)procpool_task_argument(task, PROCPOOL_NULL);
  usleep((useconds_t)ms * 1000);
  procpool_task_return(task, &ms, sizeof(ms));
}

/* A ring that is being reset and whose tail is nonsense again: draining takes nothing, and it is no news. */
TEST_STARTS(r155_tail_of_a_ring_that_is_reset, PROCESSES) {
  procpool *pool = open_closed(start, 2);
  const int ms = 1500;
  procpool_future *attack = test_submit(pool, hostile_tail_task, PROCPOOL_NULL, 0), *future;
  while (!known_done(attack))
    (void)procpool_future_wait(attack, 0.05);
  CHECK_OK(procpool_future_release(attack));
  for (bool slept = false; !slept;) { /* the worker whose ring it is may be ended once more, with what it runs */
    const double before = processor_time();
    future = test_submit(pool, task_nap, &ms, sizeof(ms));
    slept = procpool_future_wait(future, PROCPOOL_FOREVER) == PROCPOOL_OK;
    CHECK(slept || procpool_future_status(future) == PROCPOOL_CRASHED);
    CHECK_SECONDS(processor_time() - before, <, 0.4 * test_slow());
    CHECK_OK(procpool_future_release(future));
  }
  CHECK_OK(procpool_shutdown(pool, PROCPOOL_KILL, 10.0 * test_slow()));
  CHECK_OK(procpool_free(pool));
}

static void settle_all(procpool_future **futures, int count, procpool_status expected) {
  for (int i = 0; i < count; i++) {
    CHECK_SETTLES(futures[i], expected);
    CHECK_OK(procpool_future_release(futures[i]));
  }
}

static void wait_for_workers(procpool *pool, int count) {
  while (test_stats(pool).workers_alive != count) {
    CHECK_POLL(procpool_poll(pool, 0));
    usleep(1000);
  }
}

/* A tail that stays nonsense, since the supervisor stands and does not end that worker: a host that waits sleeps, and KILL
 * ends, which was said before for all that the phase tells. */
static void tail_that_stays(procpool_start start, bool wait) {
  procpool *pool = open_closed(start, 2);
  const char hold = 1;
  const int ms = 30000;
  const long supervisor = test_supervisor(pool);
  procpool_future *attack, *future;
  int watch;
  wait_for_workers(pool, 2);
  watch = test_watch(supervisor);
  attack = test_submit(pool, hostile_tail_task, &hold, sizeof(hold));
  (void)procpool_future_wait(attack, 5.0 * test_slow());
  CHECK_EQ(test_state(supervisor), 'T');
  future = test_submit(pool, task_nap, &ms, sizeof(ms));
  if (wait) {
    const double before = processor_time();
    (void)procpool_future_wait(future, 1.5);
    CHECK_SECONDS(processor_time() - before, <, 0.3 * test_slow());
  }
  CHECK_OK(procpool_shutdown(pool, PROCPOOL_KILL, 10.0 * test_slow()));
  CHECK(test_gone(watch, 1.0 * test_slow()));
  (void)close(watch);
  CHECK_OK(procpool_future_release(attack));
  CHECK_OK(procpool_future_release(future));
  CHECK_OK(procpool_free(pool));
}

TEST_STARTS(r155_wait_beside_a_tail_that_stays_nonsense, PROCESSES) {
  tail_that_stays(start, true);
}

TEST_STARTS(r155_kill_beside_a_tail_that_stays_nonsense, PROCESSES) {
  tail_that_stays(start, false);
}

/* The worker that is asked may be ended yet for what its predecessor left in its ring: then the next one is. */
static long supervisor_in_the_end(procpool *pool) {
  long pid = 0;
  for (int i = 0; i < 20 && pid == 0; i++) {
    procpool_future *future = test_submit(pool, task_parent, PROCPOOL_NULL, 0);
    if (procpool_future_result(future, PROCPOOL_FOREVER, &pid, sizeof(pid), PROCPOOL_NULL) != PROCPOOL_OK)
      pid = 0;
    CHECK_OK(procpool_future_release(future));
  }
  return pid;
}

static int initializer_that_counts(const void *argument, size_t size) {
  const test_job *job = (const test_job *)argument;
  (void)size;
  page_attach(job->host, job->descriptor);
  gate_add(&page->word[5], 1);
  return 0;
}

/* A worker says that the pool drains, that nothing waits, and where the initializer lies, and dies; then the next. All
 * are replaced, and what they go by is what it was. */
static void mislead_and_die(procpool_start start, int what) {
  enum { COUNT = 20, WORKERS = 2 };
  procpool_options options;
  procpool_future *futures[COUNT], *attacks[WORKERS];
  const test_job first = job_of(0), job = job_with(0, what);
  procpool *pool;
  long supervisor;
  memset(&options, 0, sizeof(options));
  options.initializer = initializer_that_counts;
  options.initializer_argument = &first;
  options.initializer_size = sizeof(first);
  pool = test_open_with(start, WORKERS, &options);
  supervisor = test_supervisor(pool);
  for (int i = 0; i < WORKERS; i++)
    attacks[i] = test_submit(pool, hostile_mislead_task, &job, sizeof(job));
  for (int i = 0; i < COUNT; i++)
    futures[i] = test_submit(pool, task_twice, &i, sizeof(i));
  settle_all(attacks, WORKERS, PROCPOOL_CRASHED);
  if (what & HOSTILE_MISLEAD_TAIL) { /* what lay in that ring is lost; it is told */
    for (int i = 0; i < COUNT; i++)
      (void)procpool_future_wait(futures[i], PROCPOOL_FOREVER);
    for (int i = 0; i < COUNT; i++)
      CHECK_OK(procpool_future_release(futures[i]));
  } else {
    settle_all(futures, COUNT, PROCPOOL_OK);
  }
  wait_for_workers(pool, WORKERS);
  gate_wait(&page->word[5], 2 * WORKERS);
  CHECK_EQ(supervisor_in_the_end(pool), supervisor);
  test_close(pool);
}

TEST_STARTS(r155_phase_and_hint, PROCESSES) {
  mislead_and_die(start, HOSTILE_MISLEAD_PHASE | HOSTILE_MISLEAD_HEAD);
}

TEST_STARTS(r155_phase_hint_and_initializer, PROCESSES) {
  mislead_and_die(start, HOSTILE_MISLEAD_PHASE | HOSTILE_MISLEAD_HEAD | HOSTILE_MISLEAD_INITIALIZER);
}

TEST_STARTS(r155_settings_and_counts, PROCESSES) {
  mislead_and_die(start, HOSTILE_MISLEAD_INITIALIZER | HOSTILE_MISLEAD_SETTINGS | HOSTILE_MISLEAD_COUNTS);
}

TEST_STARTS(r155_farewell_that_nobody_said, PROCESSES) {
  mislead_and_die(start, HOSTILE_MISLEAD_GONE);
}

TEST_STARTS_LIMIT(r155_any_combination, PROCESSES, 60) {
  for (int what = 1; what < HOSTILE_MISLEAD_ALL; what += 1 + HOSTILE_MISLEAD_ALL / test_rounds(12))
    mislead_and_die(start, what);
}

/* The same while the pool drains: what waits is run or told, and the shutdown returns. */
TEST_STARTS(r155_while_the_pool_drains, PROCESSES) {
  enum { COUNT = 20 };
  procpool *pool = test_open(start, 2);
  procpool_future *futures[COUNT];
  for (int i = 0; i < COUNT; i++) {
    const test_job job = job_with(i, HOSTILE_MISLEAD_HEAD | HOSTILE_MISLEAD_PHASE);
    futures[i] = i < 4 ? test_submit(pool, hostile_mislead_task, &job, sizeof(job))
                       : test_submit(pool, task_twice, &i, sizeof(i));
  }
  CHECK_OK(procpool_shutdown(pool, PROCPOOL_DRAIN, 15.0 * test_slow()));
  for (int i = 0; i < COUNT; i++) {
    CHECK_STATUS(procpool_future_status(futures[i]), i < 4 ? PROCPOOL_CRASHED : PROCPOOL_OK);
    CHECK_OK(procpool_future_release(futures[i]));
  }
  CHECK_OK(procpool_free(pool));
}

/* ---- a supervisor that is held ---- */

enum { HOLD_STOP, HOLD_STOP_AGAIN, HOLD_TRACE };

static void task_hold(procpool_task *task) {
  const test_job *job = job_begin(task);
  const pid_t supervisor = getppid();
  if (job->number == HOLD_TRACE && (ptrace(PTRACE_SEIZE, supervisor, PROCPOOL_NULL, PROCPOOL_NULL) != 0 ||
                                    ptrace(PTRACE_INTERRUPT, supervisor, PROCPOOL_NULL, PROCPOOL_NULL) != 0)) {
    procpool_task_fail(task, errno, "it cannot be traced here");
    return;
  }
  if (job->number == HOLD_STOP)
    (void)kill(supervisor, SIGSTOP);
  here();
  for (;;)
    if (job->number == HOLD_STOP_AGAIN)
      (void)kill(supervisor, SIGSTOP);
    else
      (void)pause();
}

/* Several that stop it again and again leave it little time between a SIGCONT and the next stop. */
static void kill_while_held(procpool_start start, int how) {
  const int workers = how == HOLD_STOP_AGAIN ? 5 : 2;
  procpool *pool = test_open(start, workers);
  const test_job job = job_with(0, how);
  const long supervisor = test_supervisor(pool);
  procpool_future *future, *queued[4];
  double begin;
  int watch;
  wait_for_workers(pool, workers);
  future = test_submit(pool, task_hold, &job, sizeof(job));
  while (gate_read(&page->started) == 0)
    if (procpool_future_wait(future, 0.01) == PROCPOOL_FAILED)
      SKIP("no process may trace its parent here");
  watch = test_watch(supervisor);
  for (int i = 0; i < 4; i++)
    queued[i] = test_submit(pool, task_hold, &job, sizeof(job));
  if (how == HOLD_STOP_AGAIN)
    gate_wait(&page->started, workers);
  begin = test_now();
  CHECK_OK(procpool_shutdown(pool, PROCPOOL_KILL, PROCPOOL_FOREVER));
  CHECK_SECONDS(test_now() - begin, <, 5.0 * test_slow());
  CHECK(test_gone(watch, 1.0 * test_slow()));
  (void)close(watch);
  CHECK_SETTLES(future, PROCPOOL_SHUTDOWN);
  CHECK_OK(procpool_future_release(future));
  for (int i = 0; i < 4; i++) { /* one may have tried to trace it, too */
    CHECK_NE(procpool_future_status(queued[i]), PROCPOOL_PENDING);
    CHECK_OK(procpool_future_release(queued[i]));
  }
  CHECK_OK(procpool_free(pool));
}

TEST_STARTS(r146_kill_with_a_stopped_supervisor, PROCESSES) {
  kill_while_held(start, HOLD_STOP);
}

TEST_STARTS(r146_kill_with_a_supervisor_stopped_again_and_again, PROCESSES) {
  kill_while_held(start, HOLD_STOP_AGAIN);
}

TEST_STARTS(r146_kill_with_a_traced_supervisor, PROCESSES) {
  kill_while_held(start, HOLD_TRACE);
}

/* Leaves a program that only its pool's supervisor can end. */
static void task_hold_with_program(procpool_task *task) {
  const test_job *job = job_begin(task);
  const pid_t program = fork();
  if (program == 0)
    for (;;)
      (void)pause();
  page->pid[2 * job->index] = (int)getpid();
  page->pid[2 * job->index + 1] = (int)program;
  task_hold(task);
}

enum { HELD_WORKERS = 3 };

/* Its first worker holds the supervisor, all have a program, and it dies with its pool. */
static pid_t host_that_dies(procpool_start start, int how) {
  const pid_t host = fork();
  procpool_future *future;
  procpool *pool;
  if (host != 0)
    return host;
  pool = test_open(start, HELD_WORKERS);
  page->word[1] = (int)test_supervisor(pool);
  for (int i = HELD_WORKERS - 1; i >= 0; i--) { /* who holds it comes last */
    const test_job job = job_with(i, i == 0 ? how : -1);
    future = test_submit(pool, task_hold_with_program, &job, sizeof(job));
    while (gate_read(&page->started) < HELD_WORKERS - i)
      if (procpool_future_wait(future, 0.01) == PROCPOOL_FAILED) {
        CHECK_OK(procpool_shutdown(pool, PROCPOOL_KILL, PROCPOOL_FOREVER));
        _exit(3);
      }
  }
  (void)raise(SIGKILL);
  return 0;
}

static void die_while_held(procpool_start start, int how) {
  const pid_t host = host_that_dies(start, how);
  int watches[2 * HELD_WORKERS + 1], status = 0;
  const bool all = gate_wait_for(&page->started, HELD_WORKERS, 5.0 * test_slow());
  for (int i = 0; i < 2 * HELD_WORKERS; i++)
    watches[i] = all ? test_watch(page->pid[i]) : -1;
  watches[2 * HELD_WORKERS] = all ? test_watch(page->word[1]) : -1;
  CHECK_EQ(waitpid(host, &status, 0), host);
  if (WIFEXITED(status) && WEXITSTATUS(status) == 3)
    SKIP("no process may trace its parent here");
  CHECK(WIFSIGNALED(status) && all);
  CHECK(test_all_gone(watches, 2 * HELD_WORKERS + 1, 2.0 * test_slow()));
}

TEST_STARTS(r146_host_dies_with_a_traced_supervisor, PROCESSES) {
  die_while_held(start, HOLD_TRACE);
}

TEST_STARTS(r146_host_dies_with_a_stopped_supervisor, PROCESSES) {
  die_while_held(start, HOLD_STOP);
}

static void task_trace_and_return(procpool_task *task) {
  const test_job *job = job_begin(task);
  const pid_t supervisor = getppid();
  if (ptrace(PTRACE_SEIZE, supervisor, PROCPOOL_NULL, PROCPOOL_NULL) != 0 ||
      (job->number && ptrace(PTRACE_INTERRUPT, supervisor, PROCPOOL_NULL, PROCPOOL_NULL) != 0))
    procpool_task_fail(task, errno, "it cannot be traced here");
}

/* interrupt: and stands from then on; else it would at the next signal. */
static void trace_and_return(procpool_start start, int interrupt) {
  procpool *pool = test_open(start, 2);
  const long supervisor = test_supervisor(pool);
  const test_job job = job_with(0, interrupt);
  procpool_submit_options limit;
  procpool_future *future = test_submit(pool, task_trace_and_return, &job, sizeof(job));
  if (procpool_future_wait(future, PROCPOOL_FOREVER) == PROCPOOL_FAILED)
    SKIP("no process may trace its parent here");
  CHECK_OK(procpool_future_release(future));
  memset(&limit, 0, sizeof(limit));
  limit.time_limit = 0.2;
  limit.grace = -1;
  CHECK_OK(procpool_submit(pool, task_block, &job, sizeof(job), &limit, &future));
  CHECK_STATUS(procpool_future_wait(future, 5.0 * test_slow()), PROCPOOL_TIMEOUT);
  CHECK_OK(procpool_future_release(future));
  CHECK_EQ(test_supervisor(pool), supervisor);
  CHECK_EQ(test_stats(pool).crashed, 0);
  test_close(pool);
}

TEST_STARTS(r146_task_that_leaves_the_supervisor_traced, PROCESSES) {
  trace_and_return(start, 0);
}

TEST_STARTS(r146_task_that_leaves_the_supervisor_interrupted, PROCESSES) {
  trace_and_return(start, 1);
}

static void task_signal_the_supervisor(procpool_task *task) {
  const pid_t supervisor = getppid();
  for (int s = 1; s <= 64; s++)
    if (s != SIGKILL && s != SIGSTOP)
      (void)syscall(SYS_kill, supervisor, s); /* the C library's own, too */
  usleep(10000);
  procpool_task_return(task, &supervisor, sizeof(supervisor));
}

/* In its sleep and at work: each signal but two leaves it alone. */
TEST_STARTS(r146_every_signal_to_the_supervisor, PROCESSES) {
  procpool *pool = test_open(start, 2);
  const long supervisor = test_supervisor(pool);
  const test_job die = job_with(0, SIGKILL);
  for (int i = 0; i < 20; i++) {
    procpool_future *future = test_submit(pool, task_die, &die, sizeof(die));
    procpool_future *other = test_submit(pool, task_signal_the_supervisor, PROCPOOL_NULL, 0);
    CHECK_SETTLES(future, PROCPOOL_CRASHED);
    CHECK_SETTLES(other, PROCPOOL_OK);
    CHECK_OK(procpool_future_release(future));
    CHECK_OK(procpool_future_release(other));
  }
  CHECK_EQ(test_supervisor(pool), supervisor);
  test_close(pool);
}

static void *thread_that_waits(void *unused) {
  for (;;)
    (void)pause();
  return unused;
}

/* Both need signals that the supervisor has blocked. */
static void task_cancel_a_thread(procpool_task *task) {
  pthread_t thread;
  void *result = PROCPOOL_NULL;
  int right = pthread_create(&thread, PROCPOOL_NULL, thread_that_waits, PROCPOOL_NULL) == 0;
  right = right && setuid(getuid()) == 0; /* in all threads */
  right = right && pthread_cancel(thread) == 0 && pthread_join(thread, &result) == 0 && result == PTHREAD_CANCELED;
  procpool_task_return(task, &right, sizeof(right));
}

TEST_STARTS(r136_threads_of_a_task_are_cancelled, PROCESSES) {
  procpool *pool = test_open(start, 1);
  for (int i = 0; i < 3; i++) {
    procpool_future *future = test_submit(pool, task_cancel_a_thread, PROCPOOL_NULL, 0);
    int right = 0;
    CHECK_OK(procpool_future_result(future, 5.0 * test_slow(), &right, sizeof(right), PROCPOOL_NULL));
    CHECK(right);
    CHECK_OK(procpool_future_release(future));
  }
  test_close(pool);
}

/* ---- a supervisor that is killed under a host with a timer ---- */

static void tick(int signal_number) {
  (void)signal_number;
}

static void task_quick(procpool_task *task) {
  const test_job *job = job_begin(task);
  gate_add(&page->word[8], 1);
  page->pid[procpool_task_worker(task)] = (int)getpid();
  if (page->word[16 + procpool_task_worker(task)] != (int)getpid()) { /* its end takes a while then */
    const size_t size = (size_t)32 << 20;
    char *ballast = (char *)malloc(size);
    page->word[16 + procpool_task_worker(task)] = (int)getpid();
    if (ballast != PROCPOOL_NULL)
      memset(ballast, 1, size);
  }
  procpool_task_return(task, &job->index, sizeof(job->index));
}

static void break_under_a_timer(procpool_start start) {
  enum { COUNT = 400, WORKERS = 3 };
  procpool *pool = test_open(start, WORKERS);
  procpool_future *futures[COUNT];
  const long supervisor = test_supervisor(pool);
  const test_job last = job_of(0);
  procpool_future *blocked;
  int ran, begun;
  memset(page->pid, 0, sizeof(page->pid));
  ran = gate_read(&page->word[8]);
  for (int i = 0; i < COUNT; i++) {
    const test_job job = job_of(i);
    futures[i] = test_submit(pool, task_quick, &job, sizeof(job));
  }
  blocked = test_submit(pool, task_block, &last, sizeof(last));
  gate_wait(&page->word[8], ran + 10);
  CHECK_EQ(kill((pid_t)supervisor, SIGKILL), 0);
  CHECK_SETTLES(blocked, PROCPOOL_BROKEN);
  for (int i = 0; i < WORKERS; i++)
    if (page->pid[i] != 0) {
      const char state = test_state(page->pid[i]);
      if (state != 0 && state != 'Z' && state != 'X')
        harness_fail(__FILE__, __LINE__, "worker %d is in state %c", page->pid[i], state);
    }
  begun = gate_read(&page->word[8]);
  for (int i = 0; i < COUNT; i++) {
    const procpool_status status = procpool_future_status(futures[i]);
    CHECK(status == PROCPOOL_OK || status == PROCPOOL_BROKEN);
    CHECK_OK(procpool_future_release(futures[i]));
  }
  CHECK_EQ(gate_read(&page->word[8]), begun);
  CHECK_OK(procpool_future_release(blocked));
  CHECK_OK(procpool_free(pool));
}

static void under_a_timer(procpool_start start, int us) {
  const struct itimerval on = {{0, us}, {0, us}}, off = {{0, 0}, {0, 0}};
  struct sigaction action, before;
  memset(&action, 0, sizeof(action));
  action.sa_handler = tick;
  CHECK_EQ(sigaction(SIGALRM, &action, &before), 0);
  CHECK_EQ(setitimer(ITIMER_REAL, &on, PROCPOOL_NULL), 0);
  for (int i = 0; i < test_rounds(12); i++)
    break_under_a_timer(start);
  CHECK_EQ(setitimer(ITIMER_REAL, &off, PROCPOOL_NULL), 0);
  CHECK_EQ(sigaction(SIGALRM, &before, PROCPOOL_NULL), 0);
}

TEST_STARTS_LIMIT(r146_broken_only_when_all_are_gone, PROCESSES, 60) {
  under_a_timer(start, 1000);
}

TEST_STARTS_LIMIT(r128_broken_under_a_fast_timer, PROCESSES, 60) {
  under_a_timer(start, 200);
}

/* A timer beside the whole life of a pool, its failing and its opening. */
TEST_STARTS_LIMIT(r119_a_timer_beside_open_and_close, PROCESSES, 60) {
  const struct itimerval on = {{0, 300}, {0, 300}}, off = {{0, 0}, {0, 0}};
  struct sigaction action, before;
  memset(&action, 0, sizeof(action));
  action.sa_handler = tick;
  CHECK_EQ(sigaction(SIGALRM, &action, &before), 0);
  CHECK_EQ(setitimer(ITIMER_REAL, &on, PROCPOOL_NULL), 0);
  for (int i = 0; i < test_rounds(20); i++) {
    procpool *pool = test_open(start, 2);
    CHECK_WORKS(pool);
    test_close_by(pool, i % 2 ? PROCPOOL_DRAIN : PROCPOOL_KILL);
  }
  CHECK_EQ(setitimer(ITIMER_REAL, &off, PROCPOOL_NULL), 0);
  CHECK_EQ(sigaction(SIGALRM, &before, PROCPOOL_NULL), 0);
}

/* ---- workers that die between their initializer and their first task ---- */

#include <linux/filter.h>
#include <linux/seccomp.h>

enum { LACK_KILLS, LACK_EXITS, LACK_IS_KILLED };

static void on_lack_exit(int signal_number) {
  (void)signal_number;
  _exit(7);
}
static void on_lack_kill(int signal_number) {
  (void)signal_number;
  (void)kill(getpid(), SIGKILL);
}

/* A filter of system calls that lacks prctl, which a worker calls after its initializer. */
static int initializer_that_lacks(const void *argument, size_t size) {
  const int how = *(const int *)argument;
  struct sock_filter code[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (uint32_t)offsetof(struct seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_prctl, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, how == LACK_KILLS ? 0x80000000u /* SECCOMP_RET_KILL_PROCESS */ : SECCOMP_RET_TRAP),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)};
  struct sock_fprog program;
  program.len = sizeof(code) / sizeof(code[0]);
  program.filter = code;
  (void)size;
  if (how != LACK_KILLS)
    (void)signal(SIGSYS, how == LACK_EXITS ? on_lack_exit : on_lack_kill);
  return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0;
}

static void die_before_the_first(procpool_start start, int how, int signal_number, int status) {
  enum { COUNT = 10, WORKERS = 2 };
  procpool_options options;
  procpool_future *futures[COUNT], *refused = PROCPOOL_NULL;
  procpool *pool;
  procpool_error error;
  const double begin = test_now();
  memset(&options, 0, sizeof(options));
  options.initializer = initializer_that_lacks;
  options.initializer_argument = &how;
  options.initializer_size = sizeof(how);
  pool = test_open_with(start, WORKERS, &options);
  for (int i = 0; i < COUNT; i++)
    futures[i] = test_submit(pool, task_nothing, PROCPOOL_NULL, 0);
  for (int i = 0; i < COUNT; i++)
    CHECK_SETTLES(futures[i], PROCPOOL_INIT_FAIL);
  CHECK_SECONDS(test_now() - begin, <, 10.0 * test_slow());
  error = test_error(futures[0]);
  CHECK_EQ(error.signal, signal_number);
  CHECK_EQ(error.exit_status, status);
  CHECK_GT(error.pid, 0);
  CHECK(strstr(error.message, signal_number != 0 ? "signal" : "status") != PROCPOOL_NULL);
  CHECK_STATUS(procpool_submit(pool, task_nothing, PROCPOOL_NULL, 0, NULL, &refused), PROCPOOL_INIT_FAIL);
  CHECK_STATUS(procpool_last_error(&error), PROCPOOL_INIT_FAIL);
  CHECK_EQ(error.signal, signal_number);
  for (int i = 0; i < COUNT; i++)
    CHECK_OK(procpool_future_release(futures[i]));
  CHECK_OK(procpool_shutdown(pool, PROCPOOL_DRAIN, PROCPOOL_FOREVER));
  CHECK_OK(procpool_free(pool));
}

TEST_STARTS(r149_killed_by_a_filter, PROCESSES) {
  die_before_the_first(start, LACK_KILLS, SIGSYS, 0);
}

TEST_STARTS(r149_exits, PROCESSES) {
  die_before_the_first(start, LACK_EXITS, 0, 7);
}

TEST_STARTS(r149_killed, PROCESSES) {
  die_before_the_first(start, LACK_IS_KILLED, SIGKILL, 0);
}

/* It drains while its workers die: that ends, too. */
TEST_STARTS(r149_while_the_pool_drains, PROCESSES) {
  procpool_options options;
  procpool_future *future;
  procpool *pool;
  const int how = LACK_KILLS;
  memset(&options, 0, sizeof(options));
  options.initializer = initializer_that_lacks;
  options.initializer_argument = &how;
  options.initializer_size = sizeof(how);
  pool = test_open_with(start, 1, &options);
  future = test_submit(pool, task_nothing, PROCPOOL_NULL, 0);
  CHECK_OK(procpool_shutdown(pool, PROCPOOL_DRAIN, 10.0 * test_slow()));
  CHECK_SETTLES(future, PROCPOOL_INIT_FAIL);
  CHECK_OK(procpool_future_release(future));
  CHECK_OK(procpool_free(pool));
}

/* ---- a process that is killed before it began ---- */

static void task_marks(procpool_task *task) {
  const test_job *job = job_begin(task);
  gate_add(&page->word[9], 1);
  usleep(30000);
  gate_add(&page->word[10], 1);
  procpool_task_return(task, &job->index, sizeof(job->index));
}

static void kill_early(procpool_start start, int signal_number) {
  procpool_process_options options;
  procpool_process *process;
  const test_job job = job_of(0);
  int code = 99;
  long pid;
  memset(&options, 0, sizeof(options));
  options.start = start;
  process = procpool_process_start(&options, task_marks, &job, sizeof(job));
  CHECK(process != PROCPOOL_NULL);
  pid = procpool_process_pid(process);
  CHECK_GT(pid, 0);
  CHECK_EQ(kill((pid_t)pid, signal_number), 0);
  CHECK_OK(procpool_process_join(process, 10.0 * test_slow()));
  CHECK_OK(procpool_process_exit_code(process, &code));
  CHECK_EQ(code, -signal_number);
  CHECK_EQ(procpool_process_pid(process), pid);
  CHECK_STATUS(procpool_future_status(procpool_process_future(process)), PROCPOOL_CRASHED);
  CHECK_EQ(pid_of(procpool_process_future(process)), pid);
  CHECK_EQ(test_error(procpool_process_future(process)).signal, signal_number);
  CHECK_OK(procpool_process_free(process));
}

/* Some of these have begun, and none ends: the function is never run again. */
TEST_STARTS_LIMIT(r150_killed_early, PROCESSES, 60) {
  for (int i = 0; i < test_rounds(30); i++)
    kill_early(start, i % 3 == 2 ? SIGTERM : SIGKILL);
  CHECK_LE(gate_read(&page->word[9]), test_rounds(30));
  CHECK_EQ(gate_read(&page->word[10]), 0);
}
