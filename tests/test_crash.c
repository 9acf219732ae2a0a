/* Workers that die: in a task, between tasks, all at once, again and again; initializers; recycling; strict pools. */
#include "harness.h"

#include <errno.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>

static procpool_future *block(procpool *pool, int index) {
  const test_job job = job_of(index);
  return test_submit(pool, task_block, &job, sizeof(job));
}

static procpool_future *die(procpool *pool, int signal_number) {
  const test_job job = job_with(0, signal_number);
  return test_submit(pool, task_die, &job, sizeof(job));
}

static void finish(procpool_future *future, procpool_status expected) {
  CHECK_SETTLES(future, expected);
  CHECK_OK(procpool_future_release(future));
}

/* count tasks that all run at the same time: the pool has so many workers. Their pids are in page->pid from index 0. */
static void meet(procpool *pool, int count) {
  procpool_future *futures[64];
  const int base = gate_read(&page->started);
  for (int i = 0; i < count; i++) {
    const test_job job = job_with(i, base + count);
    futures[i] = test_submit(pool, task_meet, &job, sizeof(job));
  }
  for (int i = 0; i < count; i++)
    finish(futures[i], PROCPOOL_OK);
}

/* ---- idle workers ---- */

TEST_STARTS(r087_idle_worker_killed_is_replaced, PROCESSES) {
  static const int signals[] = {SIGKILL, SIGTERM, SIGSEGV, SIGABRT, SIGHUP};
  enum { WORKERS = 2 };
  procpool *pool = test_open(start, WORKERS);
  for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++) {
    int watch, victim;
    meet(pool, WORKERS);
    victim = page->pid[i % WORKERS];
    watch = test_watch(victim);
    CHECK_EQ(kill(victim, signals[i]), 0);
    CHECK(test_gone(watch, 5.0 * test_slow()));
    meet(pool, WORKERS); /* they can only meet if both are there */
    CHECK_NE(page->pid[0], victim);
    CHECK_NE(page->pid[1], victim);
  }
  CHECK_EQ(test_stats(pool).crashed, 0); /* no future was affected */
  CHECK_EQ(test_stats(pool).workers_started, WORKERS + 5);
  CHECK_EQ(test_stats(pool).workers_alive, WORKERS);
  test_close(pool);
}

TEST_STARTS(r087_queued_tasks_run_on_the_replacement, PROCESSES) {
  procpool *pool = test_open(start, 1);
  procpool_future *victim = block(pool, 0), *queued[20];
  gate_wait(&page->started, 1);
  for (int i = 0; i < 20; i++)
    queued[i] = test_submit(pool, task_pid, NULL, 0);
  CHECK_EQ(kill(page->pid[0], SIGKILL), 0);
  finish(victim, PROCPOOL_CRASHED);
  for (int i = 0; i < 20; i++) {
    CHECK_SETTLES(queued[i], PROCPOOL_OK);
    CHECK_NE(pid_of(queued[i]), page->pid[0]);
    CHECK_OK(procpool_future_release(queued[i]));
  }
  test_close(pool);
}

static void task_note_self(procpool_task *task) {
  const test_job *job = job_begin(task);
  page->pid[job->index] = (int)getpid();
  gate_add(&page->word[job->index], 1);
}

/* The supervisor replaces the worker while the host does not call the library: the queued task runs meanwhile. */
TEST_STARTS(r087_replaced_while_the_host_is_busy_elsewhere, PROCESSES) {
  procpool *pool = test_open(start, 1);
  const test_job job = job_of(5);
  procpool_future *victim = block(pool, 0), *queued;
  gate_wait(&page->started, 1);
  queued = test_submit(pool, task_note_self, &job, sizeof(job));
  CHECK_EQ(kill(page->pid[0], SIGKILL), 0);
  CHECK(gate_wait_for(&page->word[5], 1, 5.0 * test_slow())); /* no call of the pool here */
  CHECK_NE(page->pid[5], page->pid[0]);
  finish(victim, PROCPOOL_CRASHED);
  finish(queued, PROCPOOL_OK);
  test_close(pool);
}

/* ---- death in the body ---- */

static void check_signal(procpool_start start, int number) {
  procpool *pool = test_open(start, 1);
  procpool_future *future = die(pool, number);
  procpool_error error;
  CHECK_SETTLES(future, PROCPOOL_CRASHED);
  error = test_error(future);
  CHECK_STATUS(error.status, PROCPOOL_CRASHED);
  CHECK_EQ(error.signal, number);
  CHECK_EQ(error.exit_status, 0);
  CHECK_EQ(error.pid, page->pid[0]);
  CHECK_EQ(error.worker, 0);
  CHECK_EQ(pid_of(future), page->pid[0]);
  CHECK_NE(error.message[0], '\0');
  CHECK(procpool_future_data(future, NULL) == NULL);
  CHECK_OK(procpool_future_release(future));
  CHECK_WORKS(pool);
  CHECK_EQ(test_stats(pool).crashed, 1);
  test_close(pool);
}

TEST_STARTS(r089_sigkill, PROCESSES) {
  check_signal(start, SIGKILL);
}
TEST_STARTS(r089_sigsegv, PROCESSES) {
  check_signal(start, SIGSEGV);
}
TEST_STARTS(r089_sigabrt, PROCESSES) {
  check_signal(start, SIGABRT);
}
TEST_STARTS(r089_sigfpe, PROCESSES) {
  check_signal(start, SIGFPE);
}
TEST_STARTS(r089_sigbus, PROCESSES) {
  check_signal(start, SIGBUS);
}
TEST_STARTS(r089_sigterm, PROCESSES) {
  check_signal(start, SIGTERM);
}
TEST_STARTS(r089_sigpipe, PROCESSES) {
  check_signal(start, SIGPIPE);
}
TEST_STARTS(r089_sigusr1, PROCESSES) {
  check_signal(start, SIGUSR1);
}

static void task_null_pointer(procpool_task *task) {
  volatile int *volatile nowhere = NULL;
  (void)task;
  *nowhere = 1;
}

TEST_STARTS(r089_null_pointer, PROCESSES) {
  procpool *pool;
  procpool_future *future;
  if (getenv("UBSAN_OPTIONS") != NULL || getenv("HARNESS_VALGRIND") != NULL)
    SKIP("the instrument reports the access itself");
  pool = test_open(start, 1);
  future = test_submit(pool, task_null_pointer, NULL, 0);
  CHECK_SETTLES(future, PROCPOOL_CRASHED);
  CHECK_EQ(test_error(future).signal, SIGSEGV);
  CHECK_OK(procpool_future_release(future));
  test_close(pool);
}

TEST_STARTS(r089_error_has_resource_usage, PROCESSES) {
  procpool *pool = test_open(start, 1);
  procpool_future *future = die(pool, SIGKILL);
  procpool_error error;
  CHECK_SETTLES(future, PROCPOOL_CRASHED);
  error = test_error(future);
  CHECK_GT(error.max_rss_kib, 0);
  CHECK(error.user_seconds >= 0 && error.user_seconds < 60);
  CHECK(error.system_seconds >= 0 && error.system_seconds < 60);
  CHECK_OK(procpool_future_release(future));
  test_close(pool);
}

static void task_burn_and_die(procpool_task *task) {
  struct timespec used;
  (void)task;
  do
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used);
  while (used.tv_sec == 0 && used.tv_nsec < 200 * 1000 * 1000);
  raise(SIGKILL);
}

TEST_STARTS(r089_error_has_processor_time, PROCESSES) {
  procpool *pool = test_open(start, 1);
  procpool_future *future = test_submit(pool, task_burn_and_die, NULL, 0);
  procpool_error error;
  CHECK_SETTLES(future, PROCPOOL_CRASHED);
  error = test_error(future);
  CHECK_SECONDS(error.user_seconds + error.system_seconds, >=, 0.15);
  CHECK_SECONDS(error.user_seconds + error.system_seconds, <, 5.0 * test_slow());
  CHECK_OK(procpool_future_release(future));
  test_close(pool);
}

static void task_quick_exit(procpool_task *task) {
  quick_exit(job_begin(task)->number);
}

static void task_underscore_exit(procpool_task *task) {
  _exit(job_begin(task)->number);
}

static void check_exit(procpool_start start, procpool_function function) {
  static const int codes[] = {0, 1, 7, 64, 77, 255};
  procpool *pool = test_open(start, 1);
  for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++) {
    const test_job job = job_with(0, codes[i]);
    procpool_future *future = test_submit(pool, function, &job, sizeof(job));
    procpool_error error;
    CHECK_SETTLES(future, PROCPOOL_CRASHED); /* exit(0) too: no result */
    error = test_error(future);
    CHECK_EQ(error.signal, 0);
    CHECK_EQ(error.exit_status, codes[i]);
    CHECK_NE(error.pid, 0);
    CHECK_OK(procpool_future_release(future));
    CHECK_WORKS(pool);
  }
  test_close(pool);
}

TEST_STARTS(r090_exit, PROCESSES) {
  check_exit(start, task_exit);
}
TEST_STARTS(r090_underscore_exit, PROCESSES) {
  check_exit(start, task_underscore_exit);
}
TEST_STARTS(r090_quick_exit, PROCESSES) {
  check_exit(start, task_quick_exit);
}

static void host_handler(void) {
  gate_add(&page->word[9], 1);
}

static void task_exit_after_handler_check(procpool_task *task) {
  (void)job_begin(task);
  exit(3);
}

/* The handlers are the host's: a worker that is a copy of it must not run them. */
TEST(r090_atexit_handlers_of_the_host_do_not_run) {
  procpool *pool;
  const test_job job = job_of(0);
  CHECK_EQ(atexit(host_handler), 0);
  CHECK_EQ(at_quick_exit(host_handler), 0);
  pool = test_open(PROCPOOL_START_FORK, 1);
  finish(test_submit(pool, task_exit_after_handler_check, &job, sizeof(job)), PROCPOOL_CRASHED);
  CHECK_EQ(page->word[9], 0);
  test_close(pool);
  CHECK_EQ(page->word[9], 0);
}

static void task_exec(procpool_task *task) {
  (void)task;
  execl("/bin/sh", "sh", "-c", "exit 5", (char *)NULL);
}

TEST_STARTS(r090_exec_in_a_task, PROCESSES) {
  procpool *pool = test_open(start, 1);
  procpool_future *future = test_submit(pool, task_exec, NULL, 0);
  CHECK_SETTLES(future, PROCPOOL_CRASHED);
  CHECK_EQ(test_error(future).exit_status, 5);
  CHECK_OK(procpool_future_release(future));
  CHECK_WORKS(pool);
  test_close(pool);
}

/* ---- death while a result is being written ---- */

static void task_half_a_result(procpool_task *task) {
  const test_job *job = job_begin(task);
  unsigned char *result = (unsigned char *)procpool_task_result(task, job->size);
  CHECK(result != NULL);
  memset(result, 'h', job->size / 2);
  raise(SIGKILL);
}

TEST_STARTS(r091_killed_while_it_builds_its_result, PROCESSES) {
  static const size_t sizes[] = {100, 5000, 60000, 66000, 500000};
  procpool_options options = {0};
  procpool *pool;
  options.ring_size = 65536;
  pool = test_open_with(start, 2, &options);
  for (int round = 0; round < 4; round++)
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
      const test_job bad = job_sized((int)i, sizes[i]);
      procpool_future *dying = test_submit(pool, task_half_a_result, &bad, sizeof(bad));
      procpool_future *good = test_submit(pool, task_make, &bad, sizeof(bad));
      CHECK_SETTLES(good, PROCPOOL_OK);
      CHECK(pattern_holds(procpool_future_data(good, NULL), sizes[i], (unsigned)i));
      CHECK_OK(procpool_future_release(good));
      finish(dying, PROCPOOL_CRASHED);
    }
  test_close(pool);
}

/* The worker is blocked in the middle of a result that is far larger than its ring, since the host takes nothing. */
TEST_STARTS(r091_killed_with_its_ring_full, PROCESSES) {
  procpool_options options = {0};
  procpool *pool;
  procpool_future *future, *next;
  const test_job big = job_sized(1, 8 << 20), small = job_sized(2, 100000);
  long pid = 0;
  options.ring_size = 65536;
  pool = test_open_with(start, 1, &options);
  future = test_submit(pool, task_pid, NULL, 0);
  CHECK_OK(procpool_future_result(future, PROCPOOL_FOREVER, &pid, sizeof(pid), NULL));
  CHECK_OK(procpool_future_release(future));
  future = test_submit(pool, task_make, &big, sizeof(big));
  while (!procpool_future_running(future))
    sched_yield();
  while (test_state(pid) != 'S') /* until it sleeps: it waits for room */
    sched_yield();
  CHECK_EQ(kill((pid_t)pid, SIGKILL), 0);
  next = test_submit(pool, task_make, &small, sizeof(small));
  CHECK_SETTLES(next, PROCPOOL_OK);
  CHECK(pattern_holds(procpool_future_data(next, NULL), 100000, 2));
  finish(future, PROCPOOL_CRASHED);
  CHECK_OK(procpool_future_release(next));
  test_close(pool);
}

/* Large results flow, and a worker is killed in the midst of sending one: the death is charged to its own task, and to none
 * that the replacement runs. */
TEST_STARTS(r091_death_amid_large_results_is_charged_once, PROCESSES) {
  enum { COUNT = 12 };
  procpool_options options = {0};
  procpool *pool;
  uint64_t crashed = 0;
  options.ring_size = 65536;
  pool = test_open_with(start, 2, &options);
  for (int round = 0; round < test_rounds(40); round++) {
    procpool_future *futures[COUNT];
    int victim;
    meet(pool, 2); /* both are there: the one that was killed before has been replaced */
    CHECK_EQ(test_stats(pool).workers_started, 2 + round);
    victim = page->pid[round % 2];
    for (int i = 0; i < COUNT; i++) {
      const test_job job = job_sized(i, 200000 + 50000 * (size_t)(round % 7));
      futures[i] = test_submit(pool, task_make, &job, sizeof(job));
      if (i % 3 == 0)
        CHECK_POLL(procpool_poll(pool, 0));
      if (i == round % COUNT)
        CHECK_EQ(kill(victim, SIGKILL), 0);
    }
    for (int i = 0; i < COUNT; i++) {
      const procpool_status status = procpool_future_wait(futures[i], PROCPOOL_FOREVER);
      if (status == PROCPOOL_OK)
        CHECK(pattern_holds(procpool_future_data(futures[i], NULL), 200000 + 50000 * (size_t)(round % 7), (unsigned)i));
      else {
        CHECK_STATUS(status, PROCPOOL_CRASHED);
        CHECK_EQ(test_error(futures[i]).pid, victim);
        crashed++;
      }
      CHECK_OK(procpool_future_release(futures[i]));
    }
    CHECK_LE(crashed, round + 1);
  }
  test_close(pool);
}

TEST_STARTS(r092_killed_after_its_commit, PROCESSES) {
  procpool *pool = test_open(start, 1);
  for (int i = 0; i < test_rounds(30); i++) {
    const test_job job = job_sized(i, 20000);
    procpool_future *future = test_submit(pool, task_make, &job, sizeof(job));
    long pid;
    int watch;
    CHECK_SETTLES(future, PROCPOOL_OK);
    pid = pid_of(future);
    watch = test_watch(pid);
    CHECK_EQ(kill((pid_t)pid, SIGKILL), 0);
    CHECK(test_gone(watch, 5.0 * test_slow()));
    CHECK_STATUS(procpool_future_status(future), PROCPOOL_OK);
    CHECK(pattern_holds(procpool_future_data(future, NULL), 20000, (unsigned)i));
    CHECK_OK(procpool_future_release(future));
    CHECK_WORKS(pool); /* the death is charged to no task */
  }
  CHECK_EQ(test_stats(pool).crashed, 0);
  test_close(pool);
}

/* Results that lie in a dead worker's ring, not yet taken, are delivered. */
TEST_STARTS(r092_committed_results_of_a_dead_worker_are_delivered, PROCESSES) {
  enum { COUNT = 20 };
  procpool *pool = test_open(start, 1);
  procpool_future *futures[COUNT], *last;
  const test_job job = job_of(0);
  for (int i = 0; i < COUNT; i++) {
    const test_job make = job_sized(i, 2000);
    futures[i] = test_submit(pool, task_make, &make, sizeof(make));
  }
  last = test_submit(pool, task_block, &job, sizeof(job));
  gate_wait(&page->started, 1); /* all before it are committed; the host has taken none */
  CHECK_EQ(kill(page->pid[0], SIGKILL), 0);
  finish(last, PROCPOOL_CRASHED);
  for (int i = 0; i < COUNT; i++) {
    CHECK_SETTLES(futures[i], PROCPOOL_OK);
    CHECK(pattern_holds(procpool_future_data(futures[i], NULL), 2000, (unsigned)i));
    CHECK_OK(procpool_future_release(futures[i]));
  }
  CHECK_WORKS(pool);
  test_close(pool);
}

static void task_sum_or_die(procpool_task *task) {
  size_t size = 0;
  const unsigned char *bytes = (const unsigned char *)procpool_task_argument(task, &size);
  unsigned char *result = (unsigned char *)procpool_task_result(task, size);
  CHECK(result != NULL);
  memcpy(result, bytes, size / 2);
  if (bytes[0] == 'k')
    raise(SIGKILL);
  memcpy(result + size / 2, bytes + size / 2, size - size / 2);
}

TEST_STARTS(r093_killed_while_large_payloads_flow_both_ways, PROCESSES) {
  enum { COUNT = 30, SIZE = 300000 };
  procpool_options options = {0};
  procpool *pool;
  procpool_future *futures[COUNT];
  unsigned char *bytes = (unsigned char *)malloc(SIZE);
  CHECK(bytes != NULL);
  options.ring_size = 65536;
  pool = test_open_with(start, 2, &options);
  for (int i = 0; i < COUNT; i++) {
    memset(bytes, 'a' + i % 10, SIZE); /* every tenth is a 'k' */
    if (i % 10 == 4)
      bytes[0] = 'k';
    futures[i] = test_submit(pool, task_sum_or_die, bytes, SIZE);
  }
  for (int i = 0; i < COUNT; i++) {
    if (i % 10 != 4) {
      CHECK_SETTLES(futures[i], PROCPOOL_OK);
      memset(bytes, 'a' + i % 10, SIZE);
      CHECK_BYTES(procpool_future_data(futures[i], NULL), bytes, SIZE);
    }
    finish(futures[i], i % 10 == 4 ? PROCPOOL_CRASHED : PROCPOOL_OK);
  }
  free(bytes);
  test_close(pool);
}

/* ---- many at once ---- */

static void all_die_at_once(procpool_start start, int workers) {
  procpool *pool = test_open(start, workers);
  for (int round = 0; round < 3; round++) {
    procpool_future *futures[16];
    const int base = gate_read(&page->started);
    for (int i = 0; i < workers; i++)
      futures[i] = block(pool, i);
    gate_wait(&page->started, base + workers);
    for (int i = 0; i < workers; i++)
      CHECK_EQ(kill(page->pid[i], SIGKILL), 0);
    for (int i = 0; i < workers; i++) {
      CHECK_SETTLES(futures[i], PROCPOOL_CRASHED);
      CHECK_EQ(test_error(futures[i]).signal, SIGKILL);
      CHECK_EQ(test_error(futures[i]).pid, page->pid[i]);
      CHECK_OK(procpool_future_release(futures[i]));
    }
    meet(pool, workers); /* as many as before */
  }
  CHECK_EQ(test_stats(pool).crashed, 3 * workers);
  CHECK_EQ(test_stats(pool).workers_started, 4 * workers);
  test_close(pool);
}

TEST_STARTS(r094_one_worker_dies, PROCESSES) {
  all_die_at_once(start, 1);
}
TEST_STARTS(r094_two_workers_die_at_once, PROCESSES) {
  all_die_at_once(start, 2);
}
TEST_STARTS(r094_five_workers_die_at_once, PROCESSES) {
  all_die_at_once(start, 5);
}
TEST_STARTS(r094_thirteen_workers_die_at_once, PROCESSES) {
  all_die_at_once(start, 13);
}

static void task_kill_the_others(procpool_task *task) {
  const test_job *job = job_begin(task);
  page->pid[job->index] = (int)getpid();
  gate_add(&page->started, 1);
  gate_wait(&page->started, job->number);
  for (int i = 0; i < job->number; i++)
    if (i != job->index)
      (void)kill(page->pid[i], SIGKILL);
  raise(SIGKILL);
}

static void kill_each_other(procpool_start start, int workers) {
  procpool *pool = test_open(start, workers);
  procpool_future *futures[16];
  for (int i = 0; i < workers; i++) {
    const test_job job = job_with(i, workers);
    futures[i] = test_submit(pool, task_kill_the_others, &job, sizeof(job));
  }
  for (int i = 0; i < workers; i++)
    finish(futures[i], PROCPOOL_CRASHED);
  meet(pool, workers);
  CHECK_EQ(test_stats(pool).crashed, workers);
  test_close(pool);
}

TEST_STARTS(r094_one_worker_kills_itself, PROCESSES) {
  kill_each_other(start, 1);
}
TEST_STARTS(r094_two_workers_kill_each_other, PROCESSES) {
  kill_each_other(start, 2);
}
TEST_STARTS(r094_five_workers_kill_each_other, PROCESSES) {
  kill_each_other(start, 5);
}
TEST_STARTS(r094_thirteen_workers_kill_each_other, PROCESSES) {
  kill_each_other(start, 13);
}

/* By its pid each of the killed can be told to be reaped, not only dead. */
static int initializer_notes_pid(const void *argument, size_t size) {
  const test_job *job = (const test_job *)argument;
  CHECK_EQ(size, sizeof(*job));
  page_attach(job->host, job->descriptor);
  page->pid[gate_add(&page->word[2], 1) - 1] = (int)getpid();
  gate_add(&page->word[3], 1);
  return 0;
}

TEST_STARTS_LIMIT(r011_hundred_workers_killed_in_their_first_moment_are_reaped, PROCESSES, 60) {
  enum { WORKERS = 100 };
  procpool_options options = {0};
  const test_job job = job_of(0);
  procpool *pool;
  if (test_slow() > 1)
    SKIP("too many processes under instrumentation");
  options.initializer = initializer_notes_pid;
  options.initializer_argument = &job;
  options.initializer_size = sizeof(job);
  pool = test_open_with(start, WORKERS, &options);
  gate_wait(&page->word[3], WORKERS);
  for (int i = 0; i < WORKERS; i++)
    CHECK_EQ(kill(page->pid[i], SIGKILL), 0);
  gate_wait(&page->word[3], 2 * WORKERS); /* a replacement comes after its predecessor was reaped */
  for (int i = 0; i < WORKERS; i++) {
    CHECK_EQ(kill(page->pid[i], 0), -1);
    CHECK_EQ(errno, ESRCH);
  }
  CHECK_WORKS(pool);
  CHECK_EQ(test_stats(pool).workers_started, 2 * WORKERS);
  CHECK_EQ(test_stats(pool).crashed, 0);
  test_close(pool);
}

TEST_STARTS(r011_hundred_workers_killed_right_after_their_start, PROCESSES) {
  enum { WORKERS = 50 };
  procpool *pool;
  if (test_slow() > 1)
    SKIP("too many processes under instrumentation");
  pool = test_open(start, WORKERS);
  for (int round = 0; round < 2; round++) {
    meet(pool, WORKERS);
    for (int i = 0; i < WORKERS; i++)
      CHECK_EQ(kill(page->pid[i], SIGKILL), 0);
  }
  meet(pool, WORKERS);
  CHECK_EQ(test_stats(pool).workers_started, 3 * WORKERS);
  CHECK_EQ(test_stats(pool).crashed, 0);
  test_close(pool);
}

TEST_STARTS(r095_ten_fatal_among_many, PROCESSES) {
  enum { COUNT = 110 };
  procpool *pool = test_open(start, 2);
  procpool_future *futures[COUNT];
  for (int i = 0; i < COUNT; i++)
    futures[i] = i % 11 == 5 ? die(pool, SIGKILL) : test_submit(pool, task_twice, &i, sizeof(i));
  for (int i = 0; i < COUNT; i++) {
    int out = 0;
    CHECK_SETTLES(futures[i], i % 11 == 5 ? PROCPOOL_CRASHED : PROCPOOL_OK);
    if (i % 11 != 5) {
      CHECK_OK(procpool_future_result(futures[i], 0, &out, sizeof(out), NULL));
      CHECK_EQ(out, 2 * i);
    }
    CHECK_OK(procpool_future_release(futures[i]));
  }
  CHECK_EQ(test_stats(pool).crashed, 10);
  test_close(pool);
}

TEST_STARTS(r096_only_the_claimed_task_fails, PROCESSES) {
  procpool *pool = test_open(start, 2);
  procpool_future *futures[100], *parallel = block(pool, 0);
  gate_wait(&page->started, 1);
  for (int i = 0; i < 100; i++)
    futures[i] = i == 50 ? die(pool, SIGSEGV) : test_submit(pool, task_nothing, NULL, 0);
  for (int i = 0; i < 100; i++)
    finish(futures[i], i == 50 ? PROCPOOL_CRASHED : PROCPOOL_OK);
  CHECK_STATUS(procpool_future_status(parallel), PROCPOOL_PENDING);
  gate_add(&page->gate, 1);
  finish(parallel, PROCPOOL_OK); /* a long task beside it completes */
  test_close(pool);
}

/* Kill a worker at some instant while tasks fly: each future settles, OK with the right bytes, or CRASHED by that kill. */
TEST_STARTS(r088_killed_at_any_instant, PROCESSES) {
  procpool *pool = test_open(start, 2);
  const int rounds = test_rounds(60);
  uint64_t crashed = 0;
  for (int round = 0; round < rounds; round++) {
    enum { COUNT = 200 };
    procpool_future *futures[COUNT];
    int victim;
    meet(pool, 2);
    victim = page->pid[round % 2];
    for (int i = 0; i < COUNT; i++) {
      futures[i] = test_submit(pool, task_twice, &i, sizeof(i));
      if (i == round * 3 % COUNT)
        CHECK_EQ(kill(victim, SIGKILL), 0);
    }
    for (int i = 0; i < COUNT; i++) {
      const procpool_status status = procpool_future_wait(futures[i], PROCPOOL_FOREVER);
      if (status == PROCPOOL_OK) {
        int out = 0;
        CHECK_OK(procpool_future_result(futures[i], 0, &out, sizeof(out), NULL));
        CHECK_EQ(out, 2 * i);
      } else {
        CHECK_STATUS(status, PROCPOOL_CRASHED);
        CHECK_EQ(test_error(futures[i]).pid, victim);
        CHECK_EQ(test_error(futures[i]).signal, SIGKILL);
        crashed++;
      }
      CHECK_OK(procpool_future_release(futures[i]));
    }
  }
  meet(pool, 2);
  CHECK_LE(crashed, rounds); /* one kill harms one task at most */
  CHECK_EQ(test_stats(pool).crashed, crashed);
  CHECK_EQ(test_stats(pool).workers_started, 2 + rounds);
  test_close(pool);
}

/* A stopped worker delays no other; continued, it goes on. */
TEST_STARTS(r088_stopped_worker_delays_nobody, PROCESSES) {
  procpool *pool = test_open(start, 2);
  procpool_future *stopped = block(pool, 0);
  gate_wait(&page->started, 1);
  CHECK_EQ(kill(page->pid[0], SIGSTOP), 0);
  for (int i = 0; i < 500; i++)
    CHECK_WORKS(pool);
  CHECK_EQ(kill(page->pid[0], SIGCONT), 0);
  gate_add(&page->gate, 1);
  finish(stopped, PROCPOOL_OK);
  test_close(pool);
}

TEST_STARTS(r088_idle_worker_stopped_delays_nobody, PROCESSES) {
  procpool *pool = test_open(start, 2);
  meet(pool, 2);
  for (int i = 0; i < 2; i++) {
    CHECK_EQ(kill(page->pid[i], SIGSTOP), 0);
    for (int n = 0; n < 300; n++)
      CHECK_WORKS(pool);
    CHECK_EQ(kill(page->pid[i], SIGCONT), 0);
  }
  meet(pool, 2);
  test_close(pool);
}

/* The same where both sleep between tasks: the stopped one is not the one to be woken. */
TEST_STARTS(r088_sleeping_worker_stopped_delays_nobody, PROCESSES) {
  procpool_options options = {0};
  procpool *pool;
  options.spin_us = -1;
  pool = test_open_with(start, 2, &options);
  meet(pool, 2);
  for (int i = 0; i < 2; i++) {
    usleep(20000);
    CHECK_EQ(kill(page->pid[i], SIGSTOP), 0);
    for (int n = 0; n < 300; n++)
      CHECK_WORKS(pool);
    CHECK_EQ(kill(page->pid[i], SIGCONT), 0);
  }
  meet(pool, 2);
  test_close(pool);
}

static void stop(long pid) {
  CHECK_EQ(kill((pid_t)pid, SIGSTOP), 0);
  while (test_state(pid) != 'T')
    usleep(1000);
}

static void go_on(long pid) {
  CHECK_EQ(kill((pid_t)pid, SIGCONT), 0);
  while (test_state(pid) == 'T')
    usleep(1000);
}

/* The supervisor hears of a stop a little later. */
static void await_stops(procpool *pool, uint64_t count) {
  while (test_stats(pool).workers_stopped < count)
    usleep(1000);
  CHECK_EQ(test_stats(pool).workers_stopped, count);
}

/* Each stop counts once, whichever worker it is of; neither the SIGCONT that ends it does, nor one for who runs. */
TEST_STARTS(r029_stops_of_workers, PROCESSES) {
  enum { STOPS = 10 };
  procpool *pool = test_open(start, 2);
  meet(pool, 2);
  for (uint64_t i = 0; i < STOPS; i++) {
    const int victim = page->pid[i % 2];
    stop(victim);
    await_stops(pool, i + 1);
    go_on(victim);
    go_on(victim);
    meet(pool, 2);
  }
  await_stops(pool, STOPS);
  test_close(pool);
}

/* A worker that is killed while it is stopped was stopped once. Its replacement's stops are counted on. */
TEST_STARTS(r029_stops_of_workers_that_die, PROCESSES) {
  procpool *pool = test_open(start, 2);
  for (uint64_t i = 0; i < 5; i++) {
    meet(pool, 2);
    stop(page->pid[0]);
    await_stops(pool, i + 1);
    CHECK_EQ(kill(page->pid[0], SIGKILL), 0);
  }
  meet(pool, 2);
  await_stops(pool, 5);
  CHECK_EQ(test_stats(pool).workers_started, 2 + 5);
  test_close(pool);
}

/* One that was over before the supervisor could look. */
TEST_STARTS(r029_stop_that_nobody_saw, PROCESSES) {
  procpool *pool = test_open(start, 2);
  const long supervisor = test_supervisor(pool);
  meet(pool, 2);
  stop(supervisor);
  for (int i = 0; i < 2; i++) {
    stop(page->pid[i]);
    go_on(page->pid[i]);
  }
  CHECK_EQ(test_stats(pool).workers_stopped, 0);
  go_on(supervisor);
  await_stops(pool, 2);
  meet(pool, 2);
  test_close(pool);
}

/* ---- the supervisor ---- */

/* Its worker ends with the supervisor by nothing but the kernel's signal for that. */
static void task_block_without_lifeline(procpool_task *task) {
  (void)test_close_lifeline();
  task_block(task);
}

TEST_STARTS(r128_supervisor_killed, PROCESSES) {
  enum { COUNT = 10 };
  const test_job blocked = job_of(0);
  procpool *pool = test_open(start, 1);
  const long supervisor = test_supervisor(pool);
  procpool_future *committed[COUNT], *running, *queued, *refused = NULL;
  int watch;
  for (int i = 0; i < COUNT; i++) {
    const test_job job = job_sized(i, 1000);
    committed[i] = test_submit(pool, task_make, &job, sizeof(job));
  }
  running = test_submit(pool, task_block_without_lifeline, &blocked, sizeof(blocked));
  queued = test_submit(pool, task_nothing, NULL, 0);
  gate_wait(&page->started, 1);
  watch = test_watch(page->pid[0]);
  CHECK_EQ(kill((pid_t)supervisor, SIGKILL), 0);
  CHECK_SETTLES(running, PROCPOOL_BROKEN);
  CHECK(test_gone(watch, 0)); /* BROKEN only after every worker is gone */
  CHECK_SETTLES(queued, PROCPOOL_BROKEN);
  for (int i = 0; i < COUNT; i++) {
    CHECK_SETTLES(committed[i], PROCPOOL_OK); /* committed results are delivered */
    CHECK(pattern_holds(procpool_future_data(committed[i], NULL), 1000, (unsigned)i));
    CHECK_OK(procpool_future_release(committed[i]));
  }
  CHECK_STATUS(procpool_submit(pool, task_nothing, NULL, 0, NULL, &refused), PROCPOOL_BROKEN);
  CHECK(refused == NULL);
  CHECK_OK(procpool_future_release(running));
  CHECK_OK(procpool_future_release(queued));
  CHECK_OK(procpool_shutdown(pool, PROCPOOL_DRAIN, PROCPOOL_FOREVER));
  CHECK_OK(procpool_free(pool));
}

TEST_STARTS(r128_supervisor_killed_while_all_is_idle, PROCESSES) {
  procpool *pool = test_open(start, 2);
  const long supervisor = test_supervisor(pool);
  int watch = test_watch(supervisor);
  procpool_future *future = NULL;
  procpool_status status;
  CHECK_EQ(kill((pid_t)supervisor, SIGKILL), 0);
  CHECK(test_gone(watch, 5.0 * test_slow()));
  status = procpool_submit(pool, task_nothing, NULL, 0, NULL, &future);
  if (status == PROCPOOL_OK) { /* not yet noticed: then it settles */
    CHECK_SETTLES(future, PROCPOOL_BROKEN);
    CHECK_OK(procpool_future_release(future));
  } else
    CHECK_STATUS(status, PROCPOOL_BROKEN);
  CHECK_OK(procpool_free(pool));
}

TEST_STARTS(r128_supervisor_ignores_what_can_be_ignored, PROCESSES) {
  static const int signals[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGUSR1, SIGPIPE, SIGALRM, SIGCHLD};
  procpool *pool = test_open(start, 1);
  const long supervisor = test_supervisor(pool);
  for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++) {
    CHECK_EQ(kill((pid_t)supervisor, signals[i]), 0);
    CHECK_WORKS(pool);
  }
  CHECK_EQ(test_supervisor(pool), supervisor);
  finish(die(pool, SIGKILL), PROCPOOL_CRASHED); /* it still does its work */
  CHECK_WORKS(pool);
  test_close(pool);
}

/* A stopped supervisor loses nothing: tasks go on, and a death is reported once it is continued. */
TEST_STARTS(r128_supervisor_stopped, PROCESSES) {
  procpool *pool = test_open(start, 2);
  const long supervisor = test_supervisor(pool);
  procpool_future *victim;
  CHECK_EQ(kill((pid_t)supervisor, SIGSTOP), 0);
  for (int i = 0; i < 200; i++)
    CHECK_WORKS(pool);
  victim = block(pool, 0);
  gate_wait(&page->started, 1);
  CHECK_EQ(kill(page->pid[0], SIGKILL), 0);
  for (int i = 0; i < 200; i++)
    CHECK_WORKS(pool); /* on the other worker */
  CHECK_STATUS(procpool_future_status(victim), PROCPOOL_PENDING);
  CHECK_EQ(kill((pid_t)supervisor, SIGCONT), 0);
  finish(victim, PROCPOOL_CRASHED);
  meet(pool, 2);
  test_close(pool);
}

/* ---- strict ---- */

TEST_STARTS(r097_strict_pool_breaks, PROCESSES) {
  enum { COUNT = 20 };
  procpool_options options = {0};
  procpool *pool, *fresh;
  procpool_future *victim, *beside, *queued[COUNT], *refused = NULL;
  procpool_error error;
  int watch;
  options.strict = true;
  pool = test_open_with(start, 2, &options);
  victim = block(pool, 0);
  gate_wait(&page->started, 1);
  beside = block(pool, 1);
  gate_wait(&page->started, 2);
  watch = test_watch(page->pid[1]);
  for (int i = 0; i < COUNT; i++)
    queued[i] = test_submit(pool, task_nothing, NULL, 0);
  CHECK_EQ(kill(page->pid[0], SIGKILL), 0);
  CHECK_SETTLES(victim, PROCPOOL_CRASHED);
  CHECK_EQ(test_error(victim).signal, SIGKILL);
  CHECK_SETTLES(beside, PROCPOOL_BROKEN);
  CHECK(test_gone(watch, 0)); /* the workers were killed */
  for (int i = 0; i < COUNT; i++) {
    CHECK_SETTLES(queued[i], PROCPOOL_BROKEN);
    error = test_error(queued[i]);
    CHECK_STATUS(error.status, PROCPOOL_BROKEN);
    CHECK_NE(error.message[0], '\0'); /* the cause */
    CHECK_OK(procpool_future_release(queued[i]));
  }
  CHECK_STATUS(procpool_submit(pool, task_nothing, NULL, 0, NULL, &refused), PROCPOOL_BROKEN);
  CHECK(refused == NULL);
  CHECK_OK(procpool_future_release(victim));
  CHECK_OK(procpool_future_release(beside));
  fresh = test_open(start, 2);
  CHECK_WORKS(fresh);
  test_close(fresh);
  CHECK_OK(procpool_shutdown(pool, PROCPOOL_KILL, PROCPOOL_FOREVER));
  CHECK_OK(procpool_free(pool));
}

TEST_STARTS(r097_strict_pool_breaks_by_an_idle_death, PROCESSES) {
  procpool_options options = {0};
  procpool *pool;
  procpool_future *beside;
  options.strict = true;
  pool = test_open_with(start, 2, &options);
  meet(pool, 2);
  beside = block(pool, 5);
  gate_wait(&page->started, 3);
  CHECK_EQ(kill(page->pid[page->pid[5] == page->pid[0] ? 1 : 0], SIGKILL), 0);
  CHECK_SETTLES(beside, PROCPOOL_BROKEN);
  CHECK_STATUS(procpool_submit(pool, task_nothing, NULL, 0, NULL, NULL), PROCPOOL_BROKEN);
  CHECK_OK(procpool_future_release(beside));
  CHECK_OK(procpool_free(pool));
}

TEST_STARTS(r097_strict_pool_survives_failures, PROCESSES) {
  procpool_options options = {0};
  procpool *pool;
  const test_job failing = job_with(1, 1);
  options.strict = true;
  options.max_tasks_per_child = 2; /* leaving after its share is no death either */
  pool = test_open_with(start, 2, &options);
  for (int i = 0; i < 10; i++)
    finish(test_submit(pool, task_fail, &failing, sizeof(failing)), PROCPOOL_FAILED);
  CHECK_WORKS(pool);
  test_close(pool);
}

/* ---- initializers ---- */

static int initialized; /* in each worker */

static int initializer_counts(const void *argument, size_t size) {
  const test_job *job = (const test_job *)argument;
  CHECK_EQ(size, sizeof(*job));
  page_attach(job->host, job->descriptor);
  __atomic_store_n(&initialized, job->index, __ATOMIC_SEQ_CST); /* by several threads */
  gate_add(&page->word[0], 1);
  return 0;
}

static void task_initialized(procpool_task *task) {
  const int seen = gate_read(&initialized);
  procpool_task_return(task, &seen, sizeof(seen));
}

static procpool *open_initialized(procpool_start start, int workers, procpool_initializer initializer, int index) {
  static test_job job; /* the pool copies it */
  procpool_options options = {0};
  procpool *pool;
  job = job_with(index, index);
  options.initializer = initializer;
  options.initializer_argument = &job;
  options.initializer_size = sizeof(job);
  pool = test_open_with(start, workers, &options);
  memset(&job, 0, sizeof(job));
  return pool;
}

static void expect_initialized(procpool *pool, int index) {
  procpool_future *future = test_submit(pool, task_initialized, NULL, 0);
  int seen = -1;
  CHECK_OK(procpool_future_result(future, PROCPOOL_FOREVER, &seen, sizeof(seen), NULL));
  CHECK_EQ(seen, index);
  CHECK_OK(procpool_future_release(future));
}

TEST_STARTS(r064_initializer_runs_before_the_first_task, PROCESSES) {
  procpool *pool = open_initialized(start, 2, initializer_counts, 77);
  for (int i = 0; i < 20; i++)
    expect_initialized(pool, 77);
  meet(pool, 2);
  CHECK_EQ(page->word[0], 2); /* once in each worker */
  test_close(pool);
  CHECK_EQ(page->word[0], 2);
}

TEST_STARTS(r064_initializer_of_threads_and_inline, THREAD | INLINE) {
  const int workers = start == PROCPOOL_START_INLINE ? 1 : 3;
  procpool *pool = open_initialized(start, workers, initializer_counts, 55);
  expect_initialized(pool, 55);
  if (workers > 1)
    meet(pool, workers);
  test_close(pool);
  CHECK_EQ(page->word[0], workers);
}

TEST_STARTS(r064_initializer_runs_in_replacements, PROCESSES) {
  procpool *pool = open_initialized(start, 1, initializer_counts, 5);
  for (int i = 0; i < 5; i++) {
    finish(die(pool, SIGKILL), PROCPOOL_CRASHED);
    expect_initialized(pool, 5);
    CHECK_EQ(page->word[0], i + 2);
  }
  test_close(pool);
}

TEST_STARTS(r064_initializer_runs_after_recycling, PROCESSES) {
  static test_job job;
  procpool_options options = {0};
  procpool *pool;
  job = job_of(6);
  options.initializer = initializer_counts;
  options.initializer_argument = &job;
  options.initializer_size = sizeof(job);
  options.max_tasks_per_child = 1;
  pool = test_open_with(start, 1, &options);
  for (int i = 0; i < 10; i++)
    expect_initialized(pool, 6);
  test_close(pool);
  CHECK_GE(page->word[0], 10);
  CHECK_LE(page->word[0], 11);
}

static int initializer_pointer(const void *argument, size_t size) {
  CHECK_EQ(size, 0);
  gate_add((int *)(uintptr_t)argument, 1);
  return 0;
}

TEST_STARTS(r064_initializer_argument_as_a_pointer, FORK | THREAD | INLINE) {
  procpool_options options = {0};
  procpool *pool;
  options.initializer = initializer_pointer;
  options.initializer_argument = &page->word[3];
  pool = test_open_with(start, 1, &options);
  CHECK_WORKS(pool);
  CHECK_EQ(page->word[3], 1);
  test_close(pool);
}

static int initializer_fails(const void *argument, size_t size) {
  const test_job *job = (const test_job *)argument;
  (void)size;
  page_attach(job->host, job->descriptor);
  gate_add(&page->word[1], 1);
  return 123;
}

static int initializer_dies(const void *argument, size_t size) {
  (void)initializer_fails(argument, size);
  raise(SIGKILL);
  return 0;
}

static int initializer_exits(const void *argument, size_t size) {
  (void)initializer_fails(argument, size);
  exit(0);
}

/* Ends in a clear error within seconds, not in a loop: R065, and the crash loop of R098. */
static void check_bad_initializer(procpool_start start, procpool_initializer initializer, int code) {
  enum { COUNT = 20, WORKERS = 2 };
  const double begin = test_now();
  procpool *pool = open_initialized(start, WORKERS, initializer, 1);
  procpool_future *futures[COUNT], *refused = NULL;
  int accepted = 0, attempts;
  for (int i = 0; i < COUNT; i++) {
    const procpool_status status = procpool_submit(pool, task_nothing, NULL, 0, NULL, &futures[accepted]);
    if (status == PROCPOOL_OK)
      accepted++;
    else
      CHECK_STATUS(status, PROCPOOL_INIT_FAIL);
  }
  for (int i = 0; i < accepted; i++) {
    CHECK_SETTLES(futures[i], PROCPOOL_INIT_FAIL);
    CHECK_STATUS(test_error(futures[i]).status, PROCPOOL_INIT_FAIL);
    CHECK_EQ(test_error(futures[i]).code, code);
    CHECK_NE(test_error(futures[i]).message[0], '\0');
    CHECK_OK(procpool_future_release(futures[i]));
  }
  CHECK_SECONDS(test_now() - begin, <, 5.0 * test_slow());
  while (procpool_submit(pool, task_nothing, NULL, 0, NULL, &refused) == PROCPOOL_OK) { /* none was accepted so far */
    CHECK_SETTLES(refused, PROCPOOL_INIT_FAIL);
    CHECK_OK(procpool_future_release(refused));
    refused = NULL;
  }
  CHECK_STATUS(procpool_submit(pool, task_nothing, NULL, 0, NULL, &refused), PROCPOOL_INIT_FAIL);
  CHECK(refused == NULL);
  attempts = gate_read(&page->word[1]);
  CHECK_GE(attempts, 1);
  CHECK_LE(attempts, 10 * WORKERS);                         /* bounded retries */
  CHECK(!gate_wait_for(&page->word[1], attempts + 1, 0.3)); /* and then none */
  CHECK_OK(procpool_shutdown(pool, PROCPOOL_DRAIN, PROCPOOL_FOREVER));
  CHECK_OK(procpool_free(pool));
}

TEST_STARTS(r065_failing_initializer, PROCESSES) {
  check_bad_initializer(start, initializer_fails, 123);
}
TEST_STARTS(r065_failing_initializer_of_threads, THREAD) {
  check_bad_initializer(start, initializer_fails, 123);
}

/* In a worker that was just forked, before it comes to anything: another process kills it. */
static void die_at_birth(void) {
  if (page != NULL && gate_read(&page->word[2]) > 0) {
    gate_add(&page->word[2], -1);
    raise(SIGKILL);
  }
}

/* That some workers were killed while they started says nothing of the initializer, which there may be none of. */
TEST_STARTS(r065_killed_at_birth_is_no_failed_initializer, FORK) {
  enum { DEATHS = 4 };
  const test_job job = job_with(1, SIGKILL);
  procpool_future *future;
  procpool *pool;
  CHECK_EQ(pthread_atfork(NULL, NULL, die_at_birth), 0);
  pool = test_open(start, 1);
  gate_add(&page->word[2], DEATHS);
  future = test_submit(pool, task_die, &job, sizeof(job));
  CHECK_SETTLES(future, PROCPOOL_CRASHED);
  CHECK_OK(procpool_future_release(future));
  CHECK_WORKS(pool);
  CHECK_EQ(gate_read(&page->word[2]), 0); /* they did die */
  test_close(pool);
}

/* The caller is the worker: it is initialized when the pool is opened. */
TEST(r065_failing_initializer_inline) {
  const test_job job = job_of(1);
  procpool_options options = {0};
  options.start = PROCPOOL_START_INLINE;
  options.initializer = initializer_fails;
  options.initializer_argument = &job;
  options.initializer_size = sizeof(job);
  test_open_fails(&options, PROCPOOL_INIT_FAIL);
  CHECK_EQ(options.error->code, 123);
  CHECK_EQ(page->word[1], 1);
}

TEST_STARTS(r065_dying_initializer, PROCESSES) {
  check_bad_initializer(start, initializer_dies, 0);
}
TEST_STARTS(r065_exiting_initializer, PROCESSES) {
  check_bad_initializer(start, initializer_exits, 0);
}

static int initializer_fails_once(const void *argument, size_t size) {
  const test_job *job = (const test_job *)argument;
  (void)size;
  page_attach(job->host, job->descriptor);
  return gate_add(&page->word[1], 1) == 1 ? 9 : 0;
}

TEST_STARTS(r065_initializer_that_fails_once_is_tried_again, PROCESSES) {
  procpool *pool = open_initialized(start, 1, initializer_fails_once, 1);
  CHECK_WORKS(pool);
  CHECK_EQ(page->word[1], 2);
  test_close(pool);
}

TEST_STARTS(r066_failing_initializer_with_everything_else, CONCURRENT) {
  for (int round = 0; round < 10; round++) {
    procpool *pool = open_initialized(
        start, 2, round % 2 == 0 || start == PROCPOOL_START_THREAD ? initializer_fails : initializer_dies, 1);
    procpool_future *futures[8];
    int held = 0;
    for (int i = 0; i < 8; i++)
      if (procpool_submit(pool, task_nothing, NULL, 0, NULL, &futures[held]) == PROCPOOL_OK)
        held++;
    for (int i = 0; i < held; i++) {
      if (i % 3 == 0)
        (void)procpool_future_cancel(futures[i]);
      if (i % 3 == 1)
        CHECK_OK(procpool_future_release(futures[i]));
    }
    if (round % 3 == 0)
      (void)procpool_shutdown(pool, PROCPOOL_DRAIN, 0);
    if (round % 3 == 1)
      CHECK_OK(procpool_shutdown(pool, PROCPOOL_DRAIN, PROCPOOL_FOREVER));
    CHECK_OK(procpool_free(pool));
    for (int i = 0; i < held; i++)
      if (i % 3 != 1) {
        CHECK(procpool_future_done(futures[i]));
        CHECK_NE(procpool_future_status(futures[i]), PROCPOOL_OK);
        CHECK_OK(procpool_future_release(futures[i]));
      }
  }
}

/* ---- tasks that always crash ---- */

TEST_STARTS(r098_a_row_of_crashes_harms_nobody_else, PROCESSES) {
  enum { COUNT = 60 };
  procpool *pool = test_open(start, 2);
  procpool_future *futures[COUNT];
  for (int i = 0; i < COUNT; i++)
    futures[i] = die(pool, SIGKILL);
  for (int i = 0; i < COUNT; i++)
    finish(futures[i], PROCPOOL_CRASHED);
  CHECK_WORKS(pool);
  CHECK_EQ(test_stats(pool).crashed, COUNT);
  CHECK_LE(test_stats(pool).workers_started, COUNT + 2);
  test_close(pool);
}

static int initializer_notes_parent_and_dies(const void *argument, size_t size) {
  const test_job *job = (const test_job *)argument;
  CHECK_EQ(size, sizeof(*job));
  page_attach(job->host, job->descriptor);
  page->pid[0] = (int)getppid();
  gate_add(&page->word[1], 1);
  raise(SIGKILL);
  return 0;
}

static double processor_seconds_of(long pid) {
  char path[64], text[1000] = "", *rest;
  unsigned long user = 0, kernel = 0;
  FILE *file;
  snprintf(path, sizeof(path), "/proc/%ld/stat", pid);
  file = fopen(path, "r");
  if (file == NULL)
    return 0; /* it is gone: it costs nothing */
  (void)!fgets(text, sizeof(text), file);
  fclose(file);
  rest = strrchr(text, ')');
  if (rest != NULL)
    (void)sscanf(rest + 2, "%*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user, &kernel);
  return (double)(user + kernel) / (double)sysconf(_SC_CLK_TCK);
}

/* A pool whose workers die at once, for ever: it gives up, says so, and neither host nor supervisor has anything to do. */
TEST_STARTS(r098_crash_loop_comes_to_rest, PROCESSES) {
  procpool *pool = open_initialized(start, 2, initializer_notes_parent_and_dies, 1);
  procpool_future *future = NULL;
  procpool_error error;
  double supervisor, host;
  int attempts, never = 0;
  while (procpool_submit(pool, task_nothing, NULL, 0, NULL, &future) == PROCPOOL_OK)
    finish(future, PROCPOOL_INIT_FAIL);
  (void)procpool_last_error(&error);
  CHECK_STATUS(error.status, PROCPOOL_INIT_FAIL);
  CHECK_EQ(error.signal, SIGKILL); /* the cause */
  attempts = gate_read(&page->word[1]);
  supervisor = processor_seconds_of(page->pid[0]);
  host = processor_seconds_of((long)getpid());
  (void)gate_wait_for(&never, 1, 0.5); /* this is what is measured */
  CHECK_SECONDS(processor_seconds_of((long)getpid()) - host, <, 0.1);
  CHECK_SECONDS(processor_seconds_of(page->pid[0]) - supervisor, <, 0.1);
  CHECK_EQ(gate_read(&page->word[1]), attempts);
  CHECK_LE(attempts, 20);
  CHECK_OK(procpool_shutdown(pool, PROCPOOL_DRAIN, PROCPOOL_FOREVER));
  CHECK_OK(procpool_free(pool));
}

/* ---- a dead worker's children ---- */

static void task_leave_a_child(procpool_task *task) {
  const test_job *job = job_begin(task);
  const pid_t child = fork();
  if (child == 0) { /* holds all that the worker had, for as long as the test says */
    gate_wait(&page->gate, 1);
    gate_add(&page->finished, 1);
    _exit(0);
  }
  page->pid[job->index] = (int)getpid();
  page->pid[job->index + 1] = (int)child;
  gate_add(&page->started, 1);
  if (job->number != 0)
    raise(job->number);
}

TEST_STARTS(r099_grandchildren_do_not_hide_a_death, PROCESSES) {
  procpool *pool = test_open(start, 1);
  const test_job job = job_with(0, SIGKILL);
  procpool_future *future = test_submit(pool, task_leave_a_child, &job, sizeof(job));
  int watch;
  gate_wait(&page->started, 1);
  watch = test_watch(page->pid[1]);
  finish(future, PROCPOOL_CRASHED);
  CHECK_WORKS(pool);
  CHECK_OK(procpool_shutdown(pool, PROCPOOL_DRAIN, 5.0 * test_slow()));
  CHECK_OK(procpool_free(pool));
  gate_add(&page->gate, 1);
  CHECK(test_gone(watch, 5.0 * test_slow()));
}

TEST_STARTS(r099_grandchildren_do_not_hinder_kill, PROCESSES) {
  procpool *pool = test_open(start, 1);
  const test_job job = job_of(0);
  procpool_future *future = test_submit(pool, task_leave_a_child, &job, sizeof(job));
  int watch;
  CHECK_SETTLES(future, PROCPOOL_OK);
  watch = test_watch(page->pid[1]);
  CHECK_OK(procpool_shutdown(pool, PROCPOOL_KILL, 5.0 * test_slow()));
  CHECK_OK(procpool_free(pool));
  CHECK_OK(procpool_future_release(future));
  gate_add(&page->gate, 1);
  CHECK(test_gone(watch, 5.0 * test_slow()));
}

/* ---- recycling ---- */

static procpool *open_recycling(procpool_start start, int workers, int tasks) {
  procpool_options options = {0};
  options.max_tasks_per_child = tasks;
  return test_open_with(start, workers, &options);
}

TEST_STARTS(r100_exactly_so_many_tasks_each, PROCESSES) {
  static const int shares[] = {1, 2, 3, 7};
  for (size_t s = 0; s < sizeof(shares) / sizeof(shares[0]); s++) {
    procpool *pool = open_recycling(start, 1, shares[s]);
    long pid = 0;
    for (int i = 0; i < 21; i++) {
      procpool_future *future = test_submit(pool, task_pid, NULL, 0);
      long now = 0;
      CHECK_OK(procpool_future_result(future, PROCPOOL_FOREVER, &now, sizeof(now), NULL));
      CHECK_OK(procpool_future_release(future));
      if (i > 0 && i % shares[s] != 0)
        CHECK_EQ(now, pid);
      if (i > 0 && i % shares[s] == 0)
        CHECK_NE(now, pid);
      pid = now;
    }
    CHECK_EQ(test_stats(pool).crashed, 0);
    test_close(pool);
  }
}

TEST_STARTS(r100_pool_size_stays, PROCESSES) {
  procpool *pool = open_recycling(start, 3, 2);
  for (int round = 0; round < 10; round++)
    meet(pool, 3);
  test_close(pool);
}

TEST_STARTS(r101_backlog_with_small_shares, PROCESSES) {
  enum { COUNT = 300 };
  for (int share = 1; share <= 2; share++)
    for (int workers = 1; workers <= 3; workers += 2) {
      procpool *pool = open_recycling(start, workers, share);
      procpool_future *futures[COUNT];
      for (int i = 0; i < COUNT; i++)
        futures[i] = test_submit(pool, task_twice, &i, sizeof(i));
      for (int i = 0; i < COUNT; i++) {
        int out = 0;
        CHECK_OK(procpool_future_result(futures[i], PROCPOOL_FOREVER, &out, sizeof(out), NULL));
        CHECK_EQ(out, 2 * i);
        CHECK_OK(procpool_future_release(futures[i]));
      }
      CHECK_EQ(test_stats(pool).crashed, 0); /* recycled is not crashed */
      CHECK_GE(test_stats(pool).workers_started, COUNT / share);
      test_close(pool);
    }
}

TEST_STARTS(r102_shutdown_while_workers_are_at_their_limit, PROCESSES) {
  static const procpool_shutdown_mode modes[] = {PROCPOOL_DRAIN, PROCPOOL_CANCEL, PROCPOOL_KILL};
  for (int round = 0; round < 12; round++) { /* the last three: freed without a shutdown */
    procpool *pool = open_recycling(start, 2, 1);
    procpool_future *futures[40];
    for (int i = 0; i < 40; i++)
      futures[i] = test_submit(pool, task_nothing, NULL, 0);
    if (round < 9)
      CHECK_OK(procpool_shutdown(pool, modes[round % 3], 10.0 * test_slow()));
    else
      CHECK_OK(procpool_free(pool));
    for (int i = 0; i < 40; i++) {
      CHECK(procpool_future_done(futures[i]));
      if (round < 9 && round % 3 == 0)
        CHECK_OK(procpool_future_status(futures[i]));
      CHECK_OK(procpool_future_release(futures[i]));
    }
    if (round < 9)
      CHECK_OK(procpool_free(pool));
  }
}

TEST_STARTS(r103_recycling_with_results_larger_than_the_ring, PROCESSES) {
  procpool_options options = {0};
  procpool *pool;
  procpool_future *futures[10];
  options.max_tasks_per_child = 1;
  options.ring_size = 65536;
  pool = test_open_with(start, 2, &options);
  for (int i = 0; i < 10; i++) {
    const test_job job = job_sized(i, 1000000);
    futures[i] = test_submit(pool, task_make, &job, sizeof(job));
  }
  for (int i = 0; i < 10; i++) {
    CHECK_SETTLES(futures[i], PROCPOOL_OK);
    CHECK(pattern_holds(procpool_future_data(futures[i], NULL), 1000000, (unsigned)i));
    CHECK_OK(procpool_future_release(futures[i]));
  }
  test_close(pool);
}

TEST_STARTS(r101_map_with_recycling_workers, PROCESSES) {
  procpool *pool = open_recycling(start, 2, 1);
  static int in[2000], out[2000];
  procpool_map_options options = {0};
  for (int i = 0; i < 2000; i++)
    in[i] = i;
  options.chunksize = 10;
  CHECK_OK(procpool_map(pool, task_twice, in, sizeof(int), out, sizeof(int), 2000, &options));
  for (int i = 0; i < 2000; i++)
    CHECK_EQ(out[i], 2 * i);
  test_close(pool);
}

/* ---- core dumps ---- */

static void task_core_limit(procpool_task *task) {
  struct rlimit limit;
  long answer;
  CHECK_EQ(getrlimit(RLIMIT_CORE, &limit), 0);
  answer = limit.rlim_cur == RLIM_INFINITY ? -1 : (long)limit.rlim_cur;
  procpool_task_return(task, &answer, sizeof(answer));
}

static long core_limit(procpool_start start, bool core_dumps) {
  procpool_options options = {0};
  procpool *pool;
  procpool_future *future;
  long answer = -2;
  options.core_dumps = core_dumps;
  pool = test_open_with(start, 1, &options);
  future = test_submit(pool, task_core_limit, NULL, 0);
  CHECK_OK(procpool_future_result(future, PROCPOOL_FOREVER, &answer, sizeof(answer), NULL));
  CHECK_OK(procpool_future_release(future));
  test_close(pool);
  return answer;
}

/* 1 keeps the kernel from piping a dump to a program, too, as 0 does not (core(5)). */
TEST_STARTS(r138_core_dumps_are_off_unless_asked_for, PROCESSES) {
  struct rlimit before, wanted;
  CHECK_EQ(getrlimit(RLIMIT_CORE, &before), 0);
  wanted = before;
  wanted.rlim_cur = before.rlim_max;
  if (before.rlim_max == 0)
    SKIP("core dumps are off here by a hard limit");
  CHECK_EQ(setrlimit(RLIMIT_CORE, &wanted), 0);
  CHECK_EQ(core_limit(start, false), 1);
  CHECK_EQ(core_limit(start, true), before.rlim_max == RLIM_INFINITY ? -1 : (long)before.rlim_max);
  CHECK_EQ(setrlimit(RLIMIT_CORE, &before), 0);
}

/* A worker that is ready rings a host that sleeps: so the death must be heard where the next one takes long. */
static int slow_from_the_second_on(const void *argument, size_t size) {
  (void)argument;
  (void)size;
  if (gate_add(&page->word[0], 1) > 1)
    (void)usleep(4000000);
  return 0;
}

TEST_STARTS(r094_a_death_is_heard_before_the_next_worker_is_ready, FORK) {
  procpool_options options;
  procpool_future *future;
  procpool *pool;
  test_job job = job_of(0);
  double begin;
  memset(&options, 0, sizeof(options));
  options.initializer = slow_from_the_second_on;
  pool = test_open_with(start, 1, &options);
  CHECK_WORKS(pool);
  job.number = SIGKILL;
  future = test_submit(pool, task_die, &job, sizeof(job));
  begin = test_now();
  CHECK_SETTLES(future, PROCPOOL_CRASHED);
  CHECK_SECONDS(test_now() - begin, <, 2.0);
  CHECK_OK(procpool_future_release(future));
  CHECK_OK(procpool_free(pool));
}
