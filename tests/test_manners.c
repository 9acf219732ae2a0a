/* What a worker inherits from the host, what a task leaves behind, and what a limit counts. */
#include "harness.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>

static void finish(procpool_future *future, procpool_status expected) {
  CHECK_SETTLES(future, expected);
  CHECK_OK(procpool_future_release(future));
}

static procpool_future *submit_job(procpool *pool, procpool_function function, int number) {
  const test_job job = job_with(0, number);
  return test_submit(pool, function, &job, sizeof(job));
}

static long ask(procpool *pool, procpool_function function, int number) {
  procpool_future *future = submit_job(pool, function, number);
  long answer = -12345;
  CHECK_OK(procpool_future_result(future, PROCPOOL_FOREVER, &answer, sizeof(answer), NULL));
  CHECK_OK(procpool_future_release(future));
  return answer;
}

static void answer(procpool_task *task, long value) {
  procpool_task_return(task, &value, sizeof(value));
}

static procpool *open_limited(procpool_start start, double limit, double grace) {
  procpool_options options = {0};
  options.time_limit = limit;
  options.grace = grace;
  return test_open_with(start, 1, &options);
}

/* ---- what is inherited ---- */

static void task_is_ignored(procpool_task *task) {
  struct sigaction action;
  const int number = job_begin(task)->number;
  CHECK_EQ(sigaction(number, NULL, &action), 0);
  answer(task, action.sa_handler == SIG_IGN);
}

TEST_STARTS(r136_ignored_signals_stay_ignored, PROCESSES) {
  const int numbers[] = {SIGHUP, SIGPIPE, SIGINT, SIGQUIT, SIGTTOU};
  procpool *pool;
  for (size_t i = 0; i < sizeof(numbers) / sizeof(*numbers); i++)
    signal(numbers[i], SIG_IGN);
  signal(SIGCHLD, SIG_IGN);
  pool = test_open(start, 1);
  for (size_t i = 0; i < sizeof(numbers) / sizeof(*numbers); i++)
    CHECK_EQ(ask(pool, task_is_ignored, numbers[i]), 1);
  CHECK_EQ(ask(pool, task_is_ignored, SIGCHLD), 0); /* a task waits for its own children */
  CHECK_EQ(ask(pool, task_is_ignored, SIGUSR1), 0);
  test_close(pool);
  for (size_t i = 0; i < sizeof(numbers) / sizeof(*numbers); i++)
    signal(numbers[i], SIG_DFL);
  signal(SIGCHLD, SIG_DFL);
}

static long oom_score(void) {
  char text[16] = "";
  const int file = open("/proc/self/oom_score_adj", O_RDONLY);
  CHECK_GE(file, 0);
  CHECK_GT(read(file, text, sizeof(text) - 1), 0);
  close(file);
  return strtol(text, NULL, 10);
}

static void task_oom_score(procpool_task *task) {
  (void)job_begin(task);
  answer(task, oom_score());
}

TEST_STARTS(r136_oom_score_is_never_below_the_hosts, PROCESSES) {
  const int file = open("/proc/self/oom_score_adj", O_WRONLY);
  procpool *pool;
  CHECK_GE(file, 0);
  CHECK_EQ(write(file, "900", 3), 3); /* raising it needs no rights */
  close(file);
  pool = test_open(start, 1);
  CHECK_EQ(ask(pool, task_oom_score, 0), 901);
  CHECK_EQ(oom_score(), 900);
  test_close(pool);
}

static int nice_value(void) {
  int value;
  errno = 0;
  value = getpriority(PRIO_PROCESS, 0); /* of this thread */
  CHECK_EQ(errno, 0);
  return value;
}

static void task_nice(procpool_task *task) {
  (void)job_begin(task);
  answer(task, nice_value());
}

static void task_nice_and_die(procpool_task *task) {
  (void)job_begin(task);
  CHECK_EQ(setpriority(PRIO_PROCESS, 0, 19), 0);
  raise(SIGKILL);
}

static int initializer_expects_nice(const void *argument, size_t size) {
  int expected;
  CHECK_EQ(size, sizeof(expected));
  memcpy(&expected, argument, size);
  return nice_value() == expected ? 0 : 1;
}

/* Each worker and each replacement has it, its initializer too; the host has it not. */
TEST_STARTS(r136_nice_is_added_to_the_hosts, CONCURRENT) {
  const int added[] = {0, 1, 7, 19};
  const int before = nice_value();
  for (size_t i = 0; i < sizeof(added) / sizeof(*added); i++) {
    const int expected = before + added[i] < 19 ? before + added[i] : 19;
    procpool_options options = {0};
    procpool *pool;
    options.nice = added[i];
    options.initializer = initializer_expects_nice;
    options.initializer_argument = &expected;
    options.initializer_size = sizeof(expected);
    pool = test_open_with(start, 2, &options);
    CHECK_EQ(ask(pool, task_nice, 0), expected);
    for (int n = 0; start != PROCPOOL_START_THREAD && n < 2; n++) {
      finish(submit_job(pool, task_nice_and_die, 0), PROCPOOL_CRASHED);
      CHECK_EQ(ask(pool, task_nice, 0), expected);
    }
    CHECK_EQ(nice_value(), before);
    test_close(pool);
  }
}

/* The host's own counts as it was at open. */
TEST_STARTS(r136_nice_of_a_host_that_is_nice, CONCURRENT) {
  const int before = nice_value();
  const pid_t host = before < 10 ? fork() : -1;
  if (before >= 10)
    SKIP("too nice already");
  if (host == 0) {
    procpool_options options = {0};
    procpool *pool;
    options.nice = 4;
    CHECK_EQ(setpriority(PRIO_PROCESS, 0, before + 3), 0);
    pool = test_open_with(start, 1, &options);
    CHECK_EQ(setpriority(PRIO_PROCESS, 0, before + 5), 0);
    CHECK_EQ(ask(pool, task_nice, 0), before + 7);
    if (start != PROCPOOL_START_THREAD)
      finish(submit_job(pool, task_nice_and_die, 0), PROCPOOL_CRASHED);
    CHECK_EQ(ask(pool, task_nice, 0), before + 7);
    test_close(pool);
    _exit(0);
  }
  CHECK_EQ(test_wait_exit(host), 0);
}

/* In a pool of a task it is added to the worker's. */
static void task_nice_pool(procpool_task *task) {
  const int number = job_begin(task)->number;
  procpool_options options = {0};
  procpool *pool;
  options.nice = number;
  pool = test_open_with(PROCPOOL_START_FORK, 1, &options);
  answer(task, ask(pool, task_nice, 0));
  test_close(pool);
}

TEST_STARTS(r136_nice_within_a_task, PROCESSES) {
  const int before = nice_value();
  procpool_options options = {0};
  procpool *pool;
  options.nice = 2;
  pool = test_open_with(start, 1, &options);
  CHECK_EQ(ask(pool, task_nice_pool, 3), before + 5 < 19 ? before + 5 : 19);
  test_close(pool);
}

static void task_processor(procpool_task *task) {
  const int number = job_begin(task)->number;
  cpu_set_t set;
  unsigned kernel = 0;
  CPU_ZERO(&set);
  CPU_SET(number, &set);
  CHECK_EQ(sched_setaffinity(0, sizeof(set), &set), 0);
  CHECK_EQ(syscall(SYS_getcpu, &kernel, NULL, NULL), 0);
  CHECK_EQ(kernel, number);
  answer(task, sched_getcpu());
}

/* glibc reads it from memory that the kernel keeps right for registered threads alone (rseq). */
TEST_STARTS(r136_sched_getcpu_is_right, CONCURRENT) {
  procpool *pool = test_open(start, 1);
  cpu_set_t set;
  CHECK_EQ(sched_getaffinity(0, sizeof(set), &set), 0);
  for (int i = 0; i < CPU_SETSIZE; i++)
    if (CPU_ISSET(i, &set))
      CHECK_EQ(ask(pool, task_processor, i), i);
  test_close(pool);
}

static void task_robust(procpool_task *task) {
  pthread_mutex_t *mutex;
  memcpy(&mutex, procpool_task_argument(task, NULL), sizeof(mutex));
  CHECK_EQ(pthread_mutex_lock(mutex), 0);
  raise(SIGKILL);
}

/* A worker's list of robust mutexes is its own, too. */
TEST(r136_robust_mutex_of_a_dead_worker) {
  pthread_mutexattr_t attributes;
  pthread_mutex_t *mutex = (pthread_mutex_t *)(void *)page->word;
  procpool *pool = test_open(PROCPOOL_START_FORK, 1);
  CHECK_EQ(pthread_mutexattr_init(&attributes), 0);
  CHECK_EQ(pthread_mutexattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED), 0);
  CHECK_EQ(pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST), 0);
  CHECK_EQ(pthread_mutex_init(mutex, &attributes), 0);
  finish(test_submit(pool, task_robust, &mutex, sizeof(mutex)), PROCPOOL_CRASHED);
  CHECK_EQ(pthread_mutex_lock(mutex), EOWNERDEAD);
  test_close(pool);
}

static void *pause_thread(void *context) {
  gate_wait((int *)context, 1);
  return NULL;
}

static void task_processors(procpool_task *task) {
  cpu_set_t set;
  (void)job_begin(task);
  CHECK_EQ(sched_getaffinity(0, sizeof(set), &set), 0);
  answer(task, CPU_COUNT(&set));
}

/* As OMP_PROC_BIND does: the opening thread is pinned, the process is not. */
TEST_STARTS(r136_pinned_opening_thread, CONCURRENT) {
  cpu_set_t before, one;
  pthread_t other;
  procpool_options options = {0};
  procpool *pool;
  int gate = 0, first = 0;
  CHECK_EQ(sched_getaffinity(0, sizeof(before), &before), 0);
  if (CPU_COUNT(&before) < 2)
    SKIP("one processor");
  other = test_thread(pause_thread, &gate);
  while (!CPU_ISSET(first, &before))
    first++;
  CPU_ZERO(&one);
  CPU_SET(first, &one);
  CHECK_EQ(sched_setaffinity(0, sizeof(one), &one), 0);
  options.start = start;
  pool = procpool_open(&options);
  CHECK(pool != NULL);
  CHECK_EQ(test_stats(pool).workers, procpool_cpu_count(PROCPOOL_CPU_USABLE));
  CHECK_EQ(ask(pool, task_processors, 0), CPU_COUNT(&before));
  test_close(pool);
  gate_add(&gate, 1);
  test_join(other);
  if (getenv("TSAN_OPTIONS") != NULL)
    SKIP("ThreadSanitizer has a thread of its own, which is not pinned");
  pool = procpool_open(&options); /* now all threads are */
  CHECK(pool != NULL);
  CHECK_EQ(test_stats(pool).workers, 1);
  CHECK_EQ(ask(pool, task_processors, 0), 1);
  test_close(pool);
  CHECK_EQ(sched_setaffinity(0, sizeof(before), &before), 0);
}

static int __attribute__((noinline)) use_stack(int kib) {
  volatile char bytes[1024];
  bytes[0] = (char)kib;
  return kib <= 1 ? bytes[0] : use_stack(kib - 1) + bytes[0] * 0;
}

static void task_deep(procpool_task *task) {
  (void)use_stack(job_begin(task)->number);
  answer(task, 1);
}

TEST(r136_stack_of_worker_threads) {
  procpool_options options = {0};
  procpool *pool;
  options.stack_size = (size_t)32 << 20;
  pool = test_open_with(PROCPOOL_START_THREAD, 1, &options);
  CHECK_EQ(ask(pool, task_deep, 24 << 10), 1);
  test_close(pool);
  pool = test_open(PROCPOOL_START_THREAD, 1);
  CHECK_EQ(ask(pool, task_deep, 4 << 10), 1);
  test_close(pool);
  options.start = PROCPOOL_START_FORK;
  test_open_fails(&options, PROCPOOL_UNSUPPORTED);
  options.start = PROCPOOL_START_THREAD;
  options.stack_size = 1;
  test_open_fails(&options, PROCPOOL_ARGUMENT);
}

/* The least that the option takes is less than some systems give: arm64 asks for 128 KiB. */
TEST(r136_least_stack_of_worker_threads) {
  procpool_options options = {0};
  procpool *pool;
  options.stack_size = 65536;
  pool = test_open_with(PROCPOOL_START_THREAD, 2, &options);
  CHECK_WORKS(pool);
  test_close(pool);
}

/* ---- what a limit counts ---- */

/* A host in a group of its own runs a task that returns when the gate opens. The group is stopped for longer than the
 * task's limit, and goes on. */
static void check_stopped_job(procpool_start start, int number) {
  pid_t host = fork();
  if (host == 0) {
    procpool *pool;
    setpgid(0, 0);
    pool = open_limited(start, 3 * test_slow(), 0.1);
    finish(submit_job(pool, task_block, 0), PROCPOOL_OK);
    test_close(pool);
    _exit(0);
  }
  gate_wait(&page->started, 1);
  CHECK_EQ(kill(-host, number), 0);
  while (test_state(host) != 'T')
    usleep(1000);
  usleep(3500000u * (unsigned)test_slow()); /* longer than the limit */
  CHECK_EQ(kill(-host, SIGCONT), 0);
  gate_add(&page->gate, 1);
  CHECK_EQ(test_wait_exit(host), 0);
}

TEST_STARTS(r137_job_stopped_from_its_terminal, PROCESSES) {
  check_stopped_job(start, SIGTSTP);
}
/* As a container that is frozen: the supervisor stands, too. */
TEST_STARTS(r137_everything_stopped, PROCESSES) {
  check_stopped_job(start, SIGSTOP);
}

/* Two tasks that are there at once: the processes of the workers are in page->pid. */
static void meet(procpool *pool) {
  procpool_future *futures[2];
  for (int i = 0; i < 2; i++) {
    const test_job job = job_with(i, 2);
    futures[i] = test_submit(pool, task_meet, &job, sizeof(job));
  }
  finish(futures[0], PROCPOOL_OK);
  finish(futures[1], PROCPOOL_OK);
}

/* A host of two workers in a group of its own, which is stopped and goes on: two stops, or none of threads. */
static void check_counted_stop(procpool_start start, int number) {
  const pid_t host = fork();
  if (host == 0) {
    const uint64_t stops = start <= PROCPOOL_START_SPAWN ? 2 : 0;
    procpool *pool;
    setpgid(0, 0);
    pool = test_open(start, 2);
    page->pid[0] = page->pid[1] = (int)getpid();
    if (stops > 0)
      meet(pool);
    CHECK_EQ(test_stats(pool).workers_stopped, 0);
    gate_add(&page->word[0], 1);
    gate_wait(&page->gate, 1);
    while (test_stats(pool).workers_stopped < stops)
      usleep(1000);
    CHECK_WORKS(pool);
    CHECK_EQ(test_stats(pool).workers_stopped, stops);
    test_close(pool);
    _exit(0);
  }
  gate_wait(&page->word[0], 1);
  CHECK_EQ(kill(-host, number), 0);
  while (test_state(host) != 'T' || test_state(page->pid[0]) != 'T' || test_state(page->pid[1]) != 'T')
    usleep(1000);
  CHECK_EQ(kill(-host, SIGCONT), 0);
  gate_add(&page->gate, 1);
  CHECK_EQ(test_wait_exit(host), 0);
}

TEST_STARTS(r029_stops_of_a_job_from_its_terminal, EVERY) {
  check_counted_stop(start, SIGTSTP);
}
/* The supervisor stands as well: it hears that the workers go on. */
TEST_STARTS(r029_stops_of_everything, EVERY) {
  check_counted_stop(start, SIGSTOP);
}

/* Stops the group for a fifth of a second, again and again: shorter than the supervisor's tick. Returns for how long in
 * all. worker: it is stopped a little before the others; or 0. */
static double stop_often(pid_t host, pid_t worker, int times) {
  double stopped = 0;
  for (int i = 0; i < times; i++) {
    const double begin = test_now();
    if (worker != 0) {
      CHECK_EQ(kill(worker, SIGSTOP), 0);
      usleep(20000);
    }
    CHECK_EQ(kill(-host, SIGTSTP), 0);
    usleep(200000);
    stopped += test_now() - begin;
    CHECK_EQ(kill(-host, SIGCONT), 0);
    usleep(50000);
  }
  return stopped;
}

static void task_block_here(procpool_task *task) {
  (void)job_begin(task);
  page->pid[0] = (int)getpid();
  task_block(task);
}

static pid_t host_of_one_task(procpool_start start, double limit, procpool_status expected) {
  const pid_t host = fork();
  if (host == 0) {
    procpool *pool;
    setpgid(0, 0);
    pool = open_limited(start, limit, 0.1);
    finish(submit_job(pool, task_block_here, 0), expected);
    test_close(pool);
    _exit(0);
  }
  gate_wait(&page->started, 1);
  return host;
}

static void *host_without_main(void *context) {
  test_job job = job_of(0);
  procpool *pool;
  while (test_state(getpid()) != 'Z')
    usleep(1000);
  pool = open_limited(*(const procpool_start *)context, 0.8 * test_slow(), -1);
  job.host = (int)getppid(); /* /proc shows no descriptors of this one */
  finish(test_submit(pool, task_block_here, &job, sizeof(job)), PROCPOOL_OK);
  test_close(pool);
  _exit(0);
}

/* Its state, as /proc tells it, is that of a thread which is no more. */
TEST_STARTS(r137_stopped_job_whose_main_thread_has_ended, PROCESSES) {
  const pid_t host = fork();
  if (host == 0) {
    setpgid(0, 0);
    (void)test_thread(host_without_main, &start);
    pthread_exit(NULL);
  }
  gate_wait(&page->started, 1);
  CHECK_EQ(kill(-host, SIGTSTP), 0);
  usleep(1200000u * (unsigned)test_slow());
  CHECK_EQ(kill(-host, SIGCONT), 0);
  gate_add(&page->gate, 1);
  CHECK_EQ(test_wait_exit(host), 0);
}

/* The task runs for less than half of its limit, but four seconds pass. */
TEST_STARTS(r137_job_stopped_again_and_again, PROCESSES) {
  const pid_t host = host_of_one_task(start, 2 * test_slow(), PROCPOOL_OK);
  (void)stop_often(host, 0, 16 * test_slow());
  gate_add(&page->gate, 1);
  CHECK_EQ(test_wait_exit(host), 0);
}

/* The supervisor hears of the worker's stop while the host still runs. */
TEST_STARTS(r137_host_is_stopped_after_its_worker, PROCESSES) {
  const pid_t host = host_of_one_task(start, 2 * test_slow(), PROCPOOL_OK);
  (void)stop_often(host, page->pid[0], 16 * test_slow());
  gate_add(&page->gate, 1);
  CHECK_EQ(test_wait_exit(host), 0);
}

/* The clock only stands while the job does: a task that hangs is ended by its limit, neither earlier nor later. */
TEST_STARTS(r137_task_hangs_in_a_job_that_is_stopped_often, PROCESSES) {
  const double limit = 2 * test_slow();
  const pid_t host = host_of_one_task(start, limit, PROCPOOL_TIMEOUT);
  const double begin = test_now(), stopped = stop_often(host, 0, 12);
  double ran;
  CHECK_EQ(test_wait_exit(host), 0);
  ran = test_now() - begin - stopped;
  CHECK_SECONDS(ran, >, limit * 0.8);
  CHECK_SECONDS(ran, <, limit * 1.4);
}

static void task_make_here(procpool_task *task) {
  (void)job_begin(task);
  page->pid[0] = (int)getpid();
  gate_add(&page->started, 1);
  usleep((useconds_t)job_begin(task)->number); /* long enough for the supervisor to look at it */
  task_make(task);
}

/* The body ends in time, but there is no room for its result. Later the job is stopped for longer than the limit. */
TEST_STARTS(r137_job_stopped_while_a_result_waits_for_room, PROCESSES) {
  const double limit = 0.5 * test_slow();
  const pid_t host = fork();
  if (host == 0) {
    test_job job = job_sized(0, 4 << 20);
    procpool_options options = {0};
    procpool *pool;
    procpool_future *future;
    setpgid(0, 0);
    job.number = (int)(limit * 0.4e6);
    options.ring_size = 65536;
    options.time_limit = limit;
    options.grace = -1;
    pool = test_open_with(start, 1, &options);
    future = test_submit(pool, task_make_here, &job, sizeof(job));
    gate_wait(&page->gate, 1); /* nothing is taken meanwhile */
    finish(future, PROCPOOL_OK);
    test_close(pool);
    _exit(0);
  }
  gate_wait(&page->started, 1);
  usleep((useconds_t)(limit * 1.2e6));
  CHECK_EQ(kill(-host, SIGTSTP), 0);
  usleep((useconds_t)(limit * 1.4e6));
  CHECK_EQ(kill(-host, SIGCONT), 0);
  gate_add(&page->gate, 1);
  CHECK_EQ(test_wait_exit(host), 0);
}

static void task_stop_itself(procpool_task *task) {
  raise(job_begin(task)->number);
  answer(task, 1);
}

TEST_STARTS(r137_worker_that_stands_alone_has_its_limit, PROCESSES) {
  procpool *pool = open_limited(start, 0.2, -1);
  finish(submit_job(pool, task_stop_itself, SIGSTOP), PROCPOOL_TIMEOUT);
  test_close(pool);
}

static void task_stop_the_host(procpool_task *task) {
  const test_job *job = job_begin(task);
  page->pid[0] = (int)getpid();
  gate_wait(&page->word[0], 1); /* the host has told of the limit */
  CHECK_EQ(kill(job->host, SIGSTOP), 0);
  gate_add(&page->started, 1);
  if (job->number != 0)
    raise(SIGSTOP);
  gate_wait(&page->gate, 1);
}

static pid_t host_that_is_stopped(procpool_start start, bool both) {
  const pid_t host = fork();
  if (host == 0) {
    procpool *pool = open_limited(start, 0.5 * test_slow(), 0);
    procpool_future *future = submit_job(pool, task_stop_the_host, both);
    gate_add(&page->word[0], 1);
    finish(future, PROCPOOL_TIMEOUT);
    test_close(pool);
    _exit(0);
  }
  gate_wait(&page->started, 1);
  return host;
}

/* A task that runs on has its limit although its host stands. */
TEST_STARTS(r137_task_that_stops_its_host_has_its_limit, PROCESSES) {
  const pid_t host = host_that_is_stopped(start, false);
  CHECK(test_gone(test_watch(page->pid[0]), 3 * test_slow()));
  CHECK_EQ(test_state(host), 'T');
  CHECK_EQ(kill(host, SIGCONT), 0);
  CHECK_EQ(test_wait_exit(host), 0);
}

/* And one that stops itself as well has it when its host goes on. */
TEST_STARTS(r137_task_that_stops_itself_and_its_host_has_its_limit, PROCESSES) {
  const pid_t host = host_that_is_stopped(start, true);
  usleep(800000u * (unsigned)test_slow());
  CHECK_EQ(test_state(page->pid[0]), 'T');
  CHECK_EQ(kill(host, SIGCONT), 0);
  CHECK_EQ(test_wait_exit(host), 0);
}

static void task_print(procpool_task *task) {
  (void)job_begin(task);
  (void)setvbuf(stdout, NULL, _IOFBF, 4096); /* so that it is the flush that blocks */
  printf("a line\n");
  answer(task, 1);
}

/* Its output goes to a pipe that is full and is not read. */
TEST_STARTS(r143_limit_covers_the_flush, PROCESSES) {
  int ends[2], saved;
  procpool *pool;
  fflush(stdout);
  saved = dup(1);
  CHECK_EQ(pipe(ends), 0);
  CHECK_EQ(fcntl(ends[1], F_SETFL, O_NONBLOCK), 0);
  while (write(ends[1], "x", 1) == 1) {
  }
  CHECK_EQ(fcntl(ends[1], F_SETFL, 0), 0);
  CHECK_EQ(dup2(ends[1], 1), 1);
  pool = open_limited(start, 0.2, 0.1);
  finish(submit_job(pool, task_print, 0), PROCPOOL_TIMEOUT);
  test_close(pool);
  CHECK_EQ(dup2(saved, 1), 1);
  close(saved);
  close(ends[0]);
  close(ends[1]);
}

/* ---- the end of a task by exit ---- */

static void host_handler(void) {
  gate_add(&page->word[9], 1);
}
static void host_key_ends(void *value) {
  (void)value;
  gate_add(&page->word[9], 1);
}

static void task_leave(procpool_task *task) {
  const int number = job_begin(task)->number;
  if (number == 0)
    exit(3);
  if (number == 1)
    quick_exit(4);
  pthread_exit(NULL);
}

TEST(r143_exit_runs_nothing_of_the_hosts) {
  const int expected[3] = {3, 4, 0};
  pthread_key_t key;
  procpool *pool;
  CHECK_EQ(atexit(host_handler), 0);
  CHECK_EQ(at_quick_exit(host_handler), 0);
  CHECK_EQ(pthread_key_create(&key, host_key_ends), 0);
  CHECK_EQ(pthread_setspecific(key, page), 0);
  pool = test_open(PROCPOOL_START_FORK, 1);
  for (int how = 0; how < 3; how++) {
    procpool_future *future = submit_job(pool, task_leave, how);
    CHECK_SETTLES(future, PROCPOOL_CRASHED);
    CHECK_EQ(test_error(future).signal, 0);
    CHECK_EQ(test_error(future).exit_status, expected[how]);
    CHECK_OK(procpool_future_release(future));
    CHECK_EQ(page->word[9], 0);
  }
  test_close(pool);
  CHECK_EQ(pthread_setspecific(key, NULL), 0);
  CHECK_EQ(pthread_key_delete(key), 0);
}

/* ---- and by pthread_exit ---- */

static void cleanup_of_a_task(void *unused) {
  (void)unused;
  gate_add(&page->word[8], 1);
}

static void task_leave_thread(procpool_task *task) {
  (void)job_begin(task);
  pthread_cleanup_push(cleanup_of_a_task, NULL);
  procpool_task_return(task, "half", 4);
  pthread_exit(page);
  pthread_cleanup_pop(0);
}

/* Each of them ends alone, and there are as many workers as before. */
TEST_STARTS(r143_pthread_exit_ends_the_task_alone, EVERY) {
  procpool *pool = test_open(start, 2);
  for (int round = 0; round < 8; round++) {
    const test_job job = job_of(0);
    procpool_future *future = test_submit(pool, task_leave_thread, &job, sizeof(job));
    procpool_error error;
    CHECK_SETTLES(future, PROCPOOL_CRASHED);
    error = test_error(future);
    CHECK_EQ(error.signal, 0);
    CHECK_EQ(error.exit_status, 0);
    CHECK_NE(error.pid, 0);
    CHECK_GE(error.worker, 0);
    CHECK_EQ(page->word[8], round + 1);
    CHECK_OK(procpool_future_release(future));
    CHECK_WORKS(pool);
  }
  CHECK_EQ(test_stats(pool).crashed, 8);
  if (start != PROCPOOL_START_INLINE) {
    procpool_future *meet[2];
    for (int i = 0; i < 2; i++) {
      const test_job job = job_with(i, 2);
      meet[i] = test_submit(pool, task_meet, &job, sizeof(job));
    }
    for (int i = 0; i < 2; i++) {
      CHECK_SETTLES(meet[i], PROCPOOL_OK);
      CHECK_OK(procpool_future_release(meet[i]));
    }
  }
  test_close(pool);
}

PROCPOOL_FUNCTION(int, leave_at_seven, int, number) {
  if (number == 7)
    pthread_exit(NULL);
  return 2 * number;
}

static void task_leave_at_seven(procpool_task *task) {
  const int number = *(const int *)procpool_task_argument(task, NULL);
  if (number == 7)
    pthread_exit(NULL);
  procpool_task_return(task, &number, sizeof(number));
}

TEST_STARTS(r143_pthread_exit_in_an_item, EVERY) {
  procpool *pool = test_open(start, 2);
  int in[20], out[20];
  procpool_status statuses[20];
  procpool_map_options options;
  for (int typed = 0; typed < 2; typed++) {
    memset(&options, 0, sizeof(options));
    options.statuses = statuses;
    options.chunksize = 20;
    for (int i = 0; i < 20; i++)
      in[i] = i;
    CHECK_STATUS(typed ? leave_at_seven_map_with(pool, in, out, 20, &options)
                       : procpool_map(pool, task_leave_at_seven, in, sizeof(int), out, sizeof(int), 20, &options),
                 PROCPOOL_CRASHED);
    CHECK_EQ(options.failed_count, 1);
    CHECK_EQ(options.failed_item, 7);
    for (int i = 0; i < 20; i++) {
      CHECK_EQ(statuses[i], i == 7 ? PROCPOOL_CRASHED : PROCPOOL_OK);
      if (i != 7)
        CHECK_EQ(out[i], typed ? 2 * i : i);
    }
  }
  CHECK_WORKS(pool);
  test_close(pool);
}

static int initializer_leaves(const void *argument, size_t size) {
  (void)argument;
  (void)size;
  pthread_exit(NULL);
}

/* It has failed, and the pool knows. */
TEST(r143_pthread_exit_in_an_initializer) {
  procpool_options options;
  procpool_future *future;
  procpool *pool;
  memset(&options, 0, sizeof(options));
  options.initializer = initializer_leaves;
  options.start = PROCPOOL_START_INLINE;
  test_open_fails(&options, PROCPOOL_INIT_FAIL);
  CHECK_EQ(options.error->code, -1);
  pool = test_open_with(PROCPOOL_START_THREAD, 2, &options);
  if (procpool_submit(pool, task_nothing, NULL, 0, NULL, &future) == PROCPOOL_OK) {
    CHECK_SETTLES(future, PROCPOOL_INIT_FAIL);
    CHECK_EQ(test_error(future).code, -1);
    CHECK_OK(procpool_future_release(future));
  }
  CHECK_STATUS(procpool_submit(pool, task_nothing, NULL, 0, NULL, &future), PROCPOOL_INIT_FAIL);
  CHECK_STATUS(procpool_shutdown(pool, PROCPOOL_DRAIN, PROCPOOL_FOREVER), PROCPOOL_OK);
  CHECK_OK(procpool_free(pool));
}

static void task_child_exits(procpool_task *task) {
  pid_t child;
  (void)job_begin(task);
  child = fork();
  if (child == 0)
    exit(5);
  answer(task, test_wait_exit(child));
}

TEST_STARTS(r143_exit_of_a_tasks_child, PROCESSES) {
  procpool *pool;
  CHECK_EQ(atexit(host_handler), 0);
  pool = test_open(start, 1);
  CHECK_EQ(ask(pool, task_child_exits, 0), 5);
  CHECK_EQ(page->word[9], 0);
  test_close(pool);
}

/* The host's own exit, and that of its forked children, is as it was: with many pools opened, each handler runs once. */
TEST_STARTS(r143_exit_of_the_host_is_as_it_was, PROCESSES) {
  for (int how = 0; how < 2; how++) {
    const pid_t host = fork();
    if (host == 0) {
      CHECK_EQ(atexit(host_handler), 0);
      CHECK_EQ(at_quick_exit(host_handler), 0);
      for (int i = 0; i < 3; i++) {
        procpool *pool = test_open(start, 1);
        CHECK_WORKS(pool);
        test_close(pool);
      }
      if (how == 0)
        exit(6);
      quick_exit(6);
    }
    CHECK_EQ(test_wait_exit(host), 6);
    CHECK_EQ(page->word[9], how + 1);
  }
}

#ifdef __GLIBC__
extern int __cxa_atexit(void (*function)(void *), void *argument, void *mark);
extern void __cxa_finalize(void *mark);

static void no_handler(void *argument) {
  (void)argument;
}

/* What dlclose does with a library full of C++ statics: it is in libc's lock of handlers most of the time. */
static void *load_and_unload(void *context) {
  int mark;
  while (gate_read((int *)context) == 0) {
    for (int i = 0; i < 64; i++)
      (void)__cxa_atexit(no_handler, NULL, &mark);
    __cxa_finalize(&mark);
  }
  return NULL;
}

TEST(r143_fork_beside_dlclose) {
  int gate = 0;
  const pthread_t other = test_thread(load_and_unload, &gate);
  for (int i = 0; i < test_rounds(200); i++) {
    procpool *pool = test_open(PROCPOOL_START_FORK, 1);
    CHECK_WORKS(pool);
    test_close(pool);
  }
  gate_add(&gate, 1);
  test_join(other);
}
#endif

/* ---- descriptors ---- */

/* A child whose exit status is the number of files below last that it lacks. */
static pid_t child_counts_files(int last) {
  const pid_t child = fork();
  int lacking = 0;
  CHECK_GE(child, 0);
  if (child > 0)
    return child;
  for (int fd = 3; fd <= last; fd++)
    lacking += fcntl(fd, F_GETFD) < 0;
  _exit(lacking);
}

/* Closes all that it has, opens a file under as many numbers, and returns what needs the host's help to be sent. */
static void task_close_all(procpool_task *task) {
  static char large[600000];
  char name[64];
  int last;
  const test_job *job = job_begin(task);
  (void)snprintf(name, sizeof(name), "/tmp/procpool-closed-%d", job->number);
  for (int fd = 3; fd < 256; fd++)
    close(fd);
  do
    last = open(name, O_RDWR | O_CREAT, 0600);
  while (last >= 0 && last < 40);
  CHECK_GE(last, 40);
  CHECK_EQ(test_wait_exit(child_counts_files(last)), 0);
  gate_add(&page->started, 1);
  gate_wait(&page->gate, 1);
  procpool_task_return(task, large, sizeof(large));
}

static void task_close_lifeline(procpool_task *task) {
  (void)job_begin(task);
  gate_add(&page->started, test_close_lifeline());
}

/* A fresh worker takes its place, which has all of them again. */
TEST_STARTS(r140_task_that_closes_one_descriptor, PROCESSES) {
  procpool *pool = test_open(start, 1);
  long pids[2];
  for (int i = 0; i < 2; i++) {
    procpool_future *future = submit_job(pool, task_close_lifeline, i);
    CHECK_SETTLES(future, PROCPOOL_OK);
    pids[i] = pid_of(future);
    CHECK_OK(procpool_future_release(future));
    usleep(50000); /* the worker looks after itself when it has nothing to do */
  }
  CHECK_EQ(page->started, 2);
  CHECK(pids[0] != pids[1]);
  test_close(pool);
}

TEST_STARTS(r140_task_that_closes_all_descriptors, PROCESSES) {
  procpool *pool = test_open(start, 1);
  procpool_future *future = submit_job(pool, task_close_all, (int)getpid());
  struct pollfd descriptor;
  struct stat state;
  char name[64];
  (void)snprintf(name, sizeof(name), "/tmp/procpool-closed-%d", (int)getpid());
  gate_wait(&page->started, 1);
  descriptor.fd = procpool_fd(pool);
  descriptor.events = POLLIN;
  CHECK_GE(descriptor.fd, 0);
  CHECK_POLL(procpool_poll(pool, 0)); /* now its workers are to set the descriptor */
  gate_add(&page->gate, 1);
  while (!known_done(future)) {
    CHECK_EQ(poll(&descriptor, 1, 10000), 1); /* told by the supervisor */
    CHECK_POLL(procpool_poll(pool, 0));
  }
  finish(future, PROCPOOL_OK);
  CHECK_WORKS(pool);
  CHECK_EQ(stat(name, &state), 0);
  CHECK_EQ(state.st_size, 0);
  CHECK_EQ(unlink(name), 0);
  CHECK_EQ(test_stats(pool).crashed, 0);
  test_close(pool);
}

/* ---- descendants ---- */

enum { CHILD = 20, GRANDCHILD, ORPHAN, DAEMON, KINDS = 4 };

static void become_program(int kind) {
  gate_add(&page->word[kind], (int)getpid());
  gate_add(&page->finished, 1);
  execl("/bin/sleep", "sleep", "1000", (char *)NULL);
  _exit(1);
}

/* A child with a child of its own; one whose parent has ended; and one that has, and has begun a session. */
static void task_start_programs(procpool_task *task) {
  (void)job_begin(task);
  if (fork() == 0) {
    if (fork() == 0)
      become_program(GRANDCHILD);
    become_program(CHILD);
  }
  for (int kind = ORPHAN; kind <= DAEMON; kind++) {
    const pid_t between = fork();
    if (between == 0) {
      if (kind == DAEMON)
        setsid();
      if (fork() == 0)
        become_program(kind);
      _exit(0);
    }
    CHECK_EQ(waitpid(between, NULL, 0), between);
  }
  gate_wait(&page->finished, KINDS);
  gate_add(&page->started, 1);
  gate_wait(&page->gate, 1);
}

/* All but the daemon end. */
static void check_programs_gone(void) {
  int watches[3];
  for (int i = 0; i < 3; i++)
    watches[i] = test_watch(page->word[CHILD + i]);
  CHECK(test_all_gone(watches, 3, 5 * test_slow()));
  for (int i = 0; i < 3; i++)
    close(watches[i]);
  CHECK_EQ(test_state(page->word[DAEMON]) != 0, 1);
  CHECK_EQ(kill(page->word[DAEMON], SIGKILL), 0);
}

TEST_STARTS(r144_limit_ends_programs_of_the_task, PROCESSES) {
  procpool *pool = open_limited(start, 1.5 * test_slow(), 0.1);
  finish(submit_job(pool, task_start_programs, 0), PROCPOOL_TIMEOUT);
  check_programs_gone();
  CHECK_WORKS(pool);
  test_close(pool);
}

/* The supervisor is about to leave then, but the grandchild is its own only when the child has gone. */
TEST_STARTS(r144_limit_ends_programs_while_the_pool_drains, PROCESSES) {
  procpool *pool = open_limited(start, 1.5 * test_slow(), -1);
  procpool_future *future = submit_job(pool, task_start_programs, 0);
  gate_wait(&page->started, 1);
  CHECK_OK(procpool_shutdown(pool, PROCPOOL_DRAIN, PROCPOOL_FOREVER));
  finish(future, PROCPOOL_TIMEOUT);
  check_programs_gone();
  CHECK_OK(procpool_free(pool));
}

TEST_STARTS(r144_cancel_ends_programs_of_the_task, PROCESSES) {
  procpool *pool = test_open(start, 2);
  procpool_future *future = submit_job(pool, task_start_programs, 0);
  gate_wait(&page->started, 1);
  CHECK_STATUS(procpool_future_cancel_kill(future, 0), PROCPOOL_PENDING);
  finish(future, PROCPOOL_CANCELLED);
  check_programs_gone();
  CHECK_WORKS(pool);
  test_close(pool);
}

TEST_STARTS(r144_end_of_the_host_ends_programs, PROCESSES) {
  const pid_t host = fork();
  if (host == 0) {
    procpool *pool = test_open(start, 2);
    (void)submit_job(pool, task_start_programs, 0);
    gate_wait(&page->started, 1);
    raise(SIGKILL);
  }
  CHECK_EQ(test_wait_exit(host), -SIGKILL);
  gate_wait(&page->started, 1);
  check_programs_gone();
}

TEST_STARTS(r144_kill_ends_programs, PROCESSES) {
  procpool *pool = test_open(start, 2);
  procpool_future *future = submit_job(pool, task_start_programs, 0);
  gate_wait(&page->started, 1);
  CHECK_OK(procpool_shutdown(pool, PROCPOOL_KILL, PROCPOOL_FOREVER));
  finish(future, PROCPOOL_SHUTDOWN);
  check_programs_gone();
  CHECK_OK(procpool_free(pool));
}

/* A task that ended by itself leaves its programs alone. */
static void task_start_one(procpool_task *task) {
  pid_t child;
  (void)job_begin(task);
  child = fork();
  if (child == 0)
    become_program(CHILD);
  gate_wait(&page->finished, 1);
  answer(task, child);
}

TEST_STARTS(r144_programs_of_tasks_that_ended_live_on, PROCESSES) {
  procpool *pool = test_open(start, 1);
  const long child = ask(pool, task_start_one, 0);
  test_close(pool);
  CHECK_EQ(test_state(child) != 0, 1);
  CHECK_EQ(kill((pid_t)child, SIGKILL), 0);
}

/* Worker 1 opens a pool of its own, in which a task starts a program. When that pool is gone, the outer supervisor has
 * the program. Worker 0 waits meanwhile. */
static void task_start_one_in_a_pool(procpool_task *task) {
  const test_job *job = job_begin(task);
  procpool *pool;
  gate_add(&page->started, 1);
  gate_wait(&page->started, 2);
  if (procpool_task_worker(task) == 0)
    return;
  pool = test_open((procpool_start)job->number, 1);
  finish(test_submit(pool, task_start_one, job, sizeof(*job)), PROCPOOL_OK);
  test_close(pool);
}

/* Worker 0 starts a program, and hangs. */
static void task_hang_in_worker_0(procpool_task *task) {
  (void)job_begin(task);
  gate_add(&page->started, 1);
  gate_wait(&page->started, 4);
  if (procpool_task_worker(task) != 0)
    return;
  if (fork() == 0)
    become_program(GRANDCHILD);
  gate_wait(&page->finished, 2);
  gate_add(&page->word[0], 1);
  gate_wait(&page->gate, 1);
}

TEST_STARTS(r144_cancel_spares_programs_of_a_nested_pool, PROCESSES) {
  procpool *pool = test_open(start, 2);
  procpool_future *futures[2];
  int watch;
  for (int i = 0; i < 2; i++)
    futures[i] = submit_job(pool, task_start_one_in_a_pool, start);
  for (int i = 0; i < 2; i++)
    finish(futures[i], PROCPOOL_OK);
  for (int i = 0; i < 2; i++)
    futures[i] = submit_job(pool, task_hang_in_worker_0, 0);
  gate_wait(&page->word[0], 1);
  watch = test_watch(page->word[GRANDCHILD]);
  for (int i = 0; i < 2; i++) {
    (void)procpool_future_cancel_kill(futures[i], 0); /* the other one may have ended */
    (void)procpool_future_wait(futures[i], PROCPOOL_FOREVER);
    CHECK_OK(procpool_future_release(futures[i]));
  }
  CHECK(test_gone(watch, 5 * test_slow())); /* so the others have been looked at */
  close(watch);
  watch = test_watch(page->word[CHILD]);
  CHECK(!test_gone(watch, 0.05));
  close(watch);
  CHECK_EQ(kill(page->word[CHILD], SIGKILL), 0);
  test_close(pool);
}

/* ---- residue ---- */

static void task_leave_behind(procpool_task *task) {
  struct itimerval timer;
  struct rlimit limit = {1, 1};
  sigset_t set;
  const int what = job_begin(task)->number;
  memset(&timer, 0, sizeof(timer));
  timer.it_value.tv_usec = 50000;
  sigemptyset(&set);
  sigaddset(&set, SIGTERM);
  if (what == 0)
    CHECK_EQ(setitimer(ITIMER_REAL, &timer, NULL), 0);
  if (what == 1)
    CHECK_EQ(setrlimit(RLIMIT_CPU, &limit), 0);
  if (what == 2)
    CHECK_EQ(sigprocmask(SIG_BLOCK, &set, NULL), 0);
  if (what == 3)
    CHECK_EQ(setrlimit(RLIMIT_FSIZE, &limit), 0);
  if (what == 4)
    signal(SIGINT, SIG_DFL);
  if (what == 5) { /* it comes while it is blocked */
    sigaddset(&set, SIGALRM);
    CHECK_EQ(sigprocmask(SIG_BLOCK, &set, NULL), 0);
    timer.it_value.tv_usec = 1;
    CHECK_EQ(setitimer(ITIMER_REAL, &timer, NULL), 0);
  }
  answer(task, what);
}

/* It would be ended, or see it. */
static void task_suffer(procpool_task *task) {
  struct rlimit limit;
  sigset_t set;
  struct timespec nap = {0, 150000000};
  (void)job_begin(task);
  CHECK_EQ(sigprocmask(SIG_BLOCK, NULL, &set), 0);
  CHECK_EQ(sigismember(&set, SIGTERM), 0);
  CHECK_EQ(getrlimit(RLIMIT_CPU, &limit), 0);
  CHECK_GT((long long)(limit.rlim_cur / 2), 1);
  CHECK_EQ(getrlimit(RLIMIT_FSIZE, &limit), 0);
  CHECK_GT((long long)(limit.rlim_cur / 2), 1);
  raise(SIGINT);
  while (nanosleep(&nap, &nap) != 0) {
  }
  answer(task, 7);
}

TEST_STARTS(r145_what_one_task_leaves_does_not_end_the_next, PROCESSES) {
  procpool *pool = test_open(start, 1);
  for (int what = 0; what < 6; what++) {
    procpool_future *next;
    const test_job job = job_with(0, what);
    procpool_future *first = test_submit(pool, task_leave_behind, &job, sizeof(job));
    if (what % 2 == 0) /* asleep between them, or queued one behind the other */
      CHECK_SETTLES(first, PROCPOOL_OK);
    next = submit_job(pool, task_suffer, 0);
    finish(first, PROCPOOL_OK);
    finish(next, PROCPOOL_OK);
  }
  CHECK_EQ(test_stats(pool).crashed, 0);
  test_close(pool);
}

/* Longer than the kernel's clock takes to tick. */
static void task_leave_a_mask_behind(procpool_task *task) {
  sigset_t set;
  (void)job_begin(task);
  sigemptyset(&set);
  sigaddset(&set, SIGTERM);
  CHECK_EQ(sigprocmask(SIG_BLOCK, &set, NULL), 0);
  usleep(30000);
}

static void task_find_the_mask(procpool_task *task) {
  sigset_t set;
  (void)job_begin(task);
  CHECK_EQ(sigprocmask(SIG_BLOCK, NULL, &set), 0);
  answer(task, sigismember(&set, SIGTERM));
  gate_add(&page->finished, 1);
}

/* Amid a long row of tasks the worker never has nothing to do, and the host does not wait for any. */
TEST_STARTS(r145_what_a_long_task_leaves_in_a_row, PROCESSES) {
  enum { ROWS = 3 };
  procpool *pool = test_open(start, 1);
  procpool_future *blocker = submit_job(pool, task_gate, 1), *found[ROWS];
  for (int row = 0; row < ROWS; row++) {
    for (int i = 0; i < 20 + row; i++)
      CHECK_OK(procpool_future_release(submit_job(pool, task_nothing, 0)));
    CHECK_OK(procpool_future_release(submit_job(pool, task_leave_a_mask_behind, 0)));
    found[row] = submit_job(pool, task_find_the_mask, 0);
  }
  gate_add(&page->word[1], 1);
  gate_wait(&page->finished, ROWS + 1); /* and the blocker */
  for (int row = 0; row < ROWS; row++) {
    long was = -1;
    CHECK_OK(procpool_future_result(found[row], PROCPOOL_FOREVER, &was, sizeof(was), NULL));
    CHECK_EQ(was, 0);
    CHECK_OK(procpool_future_release(found[row]));
  }
  finish(blocker, PROCPOOL_OK);
  test_close(pool);
}

/* A limit that cannot be raised again takes a fresh process. */
static void task_give_up_rights(procpool_task *task) {
  (void)job_begin(task);
  CHECK_EQ(syscall(SYS_setresuid, 65534, 65534, 65534), 0);
  answer(task, (long)getpid());
}

TEST_STARTS(r145_limit_that_cannot_be_raised_again, PROCESSES) {
  procpool *pool;
  if (getuid() != 0)
    SKIP("needs root, to give up");
  pool = test_open(start, 1);
  (void)ask(pool, task_give_up_rights, 0);
  (void)ask(pool, task_leave_behind, 1);
  CHECK_EQ(ask(pool, task_suffer, 0), 7);
  CHECK_EQ(test_stats(pool).crashed, 0);
  test_close(pool);
}
