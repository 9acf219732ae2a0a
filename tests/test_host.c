/* The host program is left alone: signals, descriptors, children, output, forks of its own, threads. */
#include "harness.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

static procpool_future *block(procpool *pool, int index) {
  const test_job job = job_of(index);
  return test_submit(pool, task_block, &job, sizeof(job));
}

static void finish(procpool_future *future, procpool_status expected) {
  CHECK_SETTLES(future, expected);
  CHECK_OK(procpool_future_release(future));
}

/* ---- a forked child of the host ---- */

static int generator_none(void *context, void *item) {
  (void)context;
  (void)item;
  return 0;
}

static void use_of_a_forked_child(procpool *pool, procpool_future *pending) {
  procpool_future *future = NULL;
  procpool_iterator *iterator = NULL;
  procpool_stats stats;
  const int in = 1;
  int out = 0;
  CHECK_STATUS(procpool_submit(pool, task_nothing, NULL, 0, NULL, &future), PROCPOOL_FORKED);
  CHECK_STATUS(try_submit(pool, task_nothing, NULL, 0, &future), PROCPOOL_FORKED);
  CHECK(future == NULL);
  CHECK_STATUS(procpool_submit_many(pool, task_nothing, NULL, 0, 1, NULL, &future, NULL), PROCPOOL_FORKED);
  CHECK_STATUS(procpool_poll(pool, 0), PROCPOOL_FORKED);
  CHECK_STATUS(procpool_get_stats(pool, &stats), PROCPOOL_FORKED);
  CHECK_STATUS(procpool_map(pool, task_twice, &in, sizeof(in), &out, sizeof(out), 1, NULL), PROCPOOL_FORKED);
  CHECK_STATUS(procpool_imap(pool, task_twice, generator_none, NULL, sizeof(int), NULL, &iterator), PROCPOOL_FORKED);
  CHECK_STATUS(procpool_future_wait(pending, PROCPOOL_FOREVER), PROCPOOL_FORKED);
  CHECK_STATUS(procpool_future_cancel(pending), PROCPOOL_FORKED);
  CHECK_STATUS(procpool_wait(&pending, 1, PROCPOOL_ALL_COMPLETED, PROCPOOL_FOREVER, NULL), PROCPOOL_FORKED);
  CHECK_STATUS(procpool_shutdown(pool, PROCPOOL_KILL, PROCPOOL_FOREVER), PROCPOOL_FORKED);
  CHECK_STATUS(procpool_free(pool), PROCPOOL_FORKED);
  procpool_interrupt(pool);
}

static void check_forked_child(procpool_start start, bool by_exit) {
  procpool *pool = test_open(start, 1);
  procpool_future *settled = test_submit(pool, task_nothing, NULL, 0), *pending;
  pid_t child;
  CHECK_SETTLES(settled, PROCPOOL_OK);
  pending = block(pool, 0);
  gate_wait(&page->started, 1);
  fflush(stdout);
  child = fork();
  CHECK_GE(child, 0);
  if (child == 0) {
    use_of_a_forked_child(pool, pending);
    if (by_exit)
      exit(0); /* runs no teardown of the pool */
    _exit(0);
  }
  CHECK_EQ(test_wait_exit(child), 0);
  CHECK_STATUS(procpool_future_status(pending), PROCPOOL_PENDING); /* untouched */
  gate_add(&page->gate, 1);
  finish(pending, PROCPOOL_OK);
  finish(settled, PROCPOOL_OK);
  CHECK_WORKS(pool);
  test_close(pool);
}

TEST_STARTS(r115_forked_child_is_refused, CONCURRENT) {
  check_forked_child(start, false);
}

TEST_STARTS(r115_forked_child_that_exits_takes_nothing_along, CONCURRENT) {
  check_forked_child(start, true);
}

/* The child of a host whose pool runs in the caller. */
TEST(r115_forked_child_is_refused_inline) {
  procpool *pool = test_open(PROCPOOL_START_INLINE, 1);
  procpool_future *pending = test_submit(pool, task_nothing, NULL, 0);
  const pid_t child = fork();
  CHECK_GE(child, 0);
  if (child == 0) {
    use_of_a_forked_child(pool, pending);
    exit(0);
  }
  CHECK_EQ(test_wait_exit(child), 0);
  CHECK_EQ(test_stats(pool).queued, 1);
  finish(pending, PROCPOOL_OK);
  test_close(pool);
}

/* What a child opens for itself is its own. */
TEST_STARTS(r115_forked_child_opens_a_pool_of_its_own, PROCESSES) {
  procpool *pool = test_open(start, 1);
  pid_t child = fork();
  CHECK_GE(child, 0);
  if (child == 0) {
    procpool *own = test_open(start, 1);
    CHECK_WORKS(own);
    test_close(own);
    _exit(0);
  }
  CHECK_EQ(test_wait_exit(child), 0);
  CHECK_WORKS(pool);
  test_close(pool);
}

/* The lifeline is the host's alone: a child that lives longer does not keep the pool alive. */
TEST_STARTS(r122_forked_child_does_not_keep_workers_alive, PROCESSES) {
  int watch, child_watch;
  const pid_t host = fork();
  CHECK_GE(host, 0);
  if (host == 0) {
    procpool *pool = test_open(start, 1);
    pid_t child;
    (void)block(pool, 0);
    gate_wait(&page->started, 1);
    child = fork();
    if (child == 0) {
      gate_wait(&page->word[5], 1);
      _exit(0);
    }
    page->pid[5] = (int)child;
    gate_add(&page->word[4], 1);
    gate_wait(&page->word[6], 1);
    raise(SIGKILL);
  }
  gate_wait(&page->word[4], 1);
  watch = test_watch(page->pid[0]);
  child_watch = test_watch(page->pid[5]);
  gate_add(&page->word[6], 1);
  CHECK_EQ(test_wait_exit(host), -SIGKILL);
  CHECK(test_gone(watch, 1.0 * test_slow()));
  gate_add(&page->word[5], 1);
  CHECK(test_gone(child_watch, 5.0 * test_slow()));
}

/* ---- signals ---- */

typedef struct signal_state {
  char blocked[40], ignored[40], caught[40];
} signal_state;

static signal_state signals_now(void) {
  signal_state state;
  FILE *file = fopen("/proc/self/status", "r");
  char line[200];
  memset(&state, 0, sizeof(state));
  CHECK(file != NULL);
  while (fgets(line, sizeof(line), file) != NULL) {
    (void)sscanf(line, "SigBlk: %39s", state.blocked);
    (void)sscanf(line, "SigIgn: %39s", state.ignored);
    (void)sscanf(line, "SigCgt: %39s", state.caught);
  }
  fclose(file);
  return state;
}

static void handler_none(int number) {
  (void)number;
}

TEST_STARTS(r118_host_keeps_its_signals, PROCESSES) {
  sigset_t some;
  struct sigaction action, now;
  signal_state before, after;
  procpool *pool;
  memset(&action, 0, sizeof(action));
  action.sa_handler = handler_none;
  CHECK_EQ(sigaction(SIGUSR1, &action, NULL), 0);
  CHECK_EQ(sigaction(SIGCHLD, &action, NULL), 0);
  signal(SIGPIPE, SIG_IGN);
  sigemptyset(&some);
  sigaddset(&some, SIGUSR2);
  sigaddset(&some, SIGTERM);
  CHECK_EQ(pthread_sigmask(SIG_BLOCK, &some, NULL), 0);
  before = signals_now();
  pool = test_open(start, 2);
  after = signals_now();
  CHECK_TEXT(after.blocked, before.blocked);
  CHECK_TEXT(after.ignored, before.ignored);
  CHECK_TEXT(after.caught, before.caught);
  CHECK_WORKS(pool);
  test_close(pool);
  after = signals_now();
  CHECK_TEXT(after.blocked, before.blocked);
  CHECK_TEXT(after.ignored, before.ignored);
  CHECK_TEXT(after.caught, before.caught);
  CHECK_EQ(sigaction(SIGCHLD, NULL, &now), 0);
  CHECK(now.sa_handler == handler_none);
  signal(SIGUSR1, SIG_DFL);
  signal(SIGCHLD, SIG_DFL);
  signal(SIGPIPE, SIG_DFL);
  CHECK_EQ(pthread_sigmask(SIG_UNBLOCK, &some, NULL), 0);
}

static void task_signals(procpool_task *task) {
  const signal_state state = signals_now();
  procpool_task_return(task, &state, sizeof(state));
}

TEST_STARTS(r118_workers_start_with_defaults, PROCESSES) {
  procpool *pool;
  procpool_future *future;
  signal_state state;
  sigset_t all, none;
  unsigned long long ignored, caught;
  sigfillset(&all);
  signal(SIGCHLD, SIG_IGN);
  signal(SIGHUP, SIG_IGN);
  signal(SIGUSR1, handler_none);
  CHECK_EQ(pthread_sigmask(SIG_SETMASK, &all, NULL), 0);
  pool = test_open(start, 1);
  future = test_submit(pool, task_signals, NULL, 0);
  CHECK_OK(procpool_future_result(future, PROCPOOL_FOREVER, &state, sizeof(state), NULL));
  CHECK_EQ(strtoull(state.blocked, NULL, 16), 0);
  ignored = strtoull(state.ignored, NULL, 16) & ~(7ull << 31); /* without those of the C library itself */
  CHECK_EQ(ignored, 1ull << (SIGHUP - 1));                     /* what the host ignores, but SIGCHLD */
  caught = strtoull(state.caught, NULL, 16) & ~(7ull << 31);
  CHECK_EQ(caught, 1ull << (SIGINT - 1)); /* SIGINT does nothing, and is not inherited as ignored */
  CHECK_OK(procpool_future_release(future));
  test_close(pool);
  sigemptyset(&none);
  CHECK_EQ(pthread_sigmask(SIG_SETMASK, &none, NULL), 0);
  signal(SIGCHLD, SIG_DFL);
  signal(SIGHUP, SIG_DFL);
  signal(SIGUSR1, SIG_DFL);
}

/* A host that ignores SIGCHLD, or has all its children reaped by a handler, loses no report of a death. */
TEST_STARTS(r118_host_that_ignores_sigchld, PROCESSES) {
  const test_job job = job_with(0, SIGKILL);
  procpool *pool;
  procpool_future *future;
  signal(SIGCHLD, SIG_IGN);
  pool = test_open(start, 1);
  future = test_submit(pool, task_die, &job, sizeof(job));
  CHECK_SETTLES(future, PROCPOOL_CRASHED);
  CHECK_EQ(test_error(future).signal, SIGKILL);
  CHECK_OK(procpool_future_release(future));
  CHECK_WORKS(pool);
  test_close(pool);
  signal(SIGCHLD, SIG_DFL);
}

/* ---- Ctrl-C ---- */

TEST_STARTS(r120_sigint_does_nothing_in_workers, PROCESSES) {
  procpool *pool = test_open(start, 1);
  procpool_future *future = block(pool, 0);
  gate_wait(&page->started, 1);
  CHECK_EQ(kill(page->pid[0], SIGINT), 0);
  gate_add(&page->gate, 1);
  finish(future, PROCPOOL_OK);
  CHECK_WORKS(pool);
  CHECK_EQ(test_stats(pool).crashed, 0);
  test_close(pool);
}

static void on_interrupt(int number) {
  (void)number;
  gate_add(&page->word[7], 1);
}

TEST_STARTS(r120_sigint_to_the_whole_group, PROCESSES) {
  struct sigaction action;
  procpool *pool = test_open(start, 2);
  procpool_future *futures[100];
  memset(&action, 0, sizeof(action));
  action.sa_handler = on_interrupt;
  action.sa_flags = SA_RESTART;
  CHECK_EQ(sigaction(SIGINT, &action, NULL), 0);
  for (int round = 0; round < 20; round++) {
    for (int i = 0; i < 100; i++)
      futures[i] = test_submit(pool, task_twice, &i, sizeof(i));
    CHECK_EQ(kill(0, SIGINT), 0); /* as the terminal does */
    for (int i = 0; i < 100; i++)
      finish(futures[i], PROCPOOL_OK);
  }
  CHECK_EQ(page->word[7], 20);
  CHECK_EQ(test_stats(pool).crashed, 0);
  signal(SIGINT, SIG_DFL);
  test_close(pool);
}

/* ---- descriptors ---- */

static void task_descriptors(procpool_task *task) {
  int list[256], count = 0;
  DIR *directory = opendir("/proc/self/fd");
  struct dirent *entry;
  CHECK(directory != NULL);
  while ((entry = readdir(directory)) != NULL)
    if (entry->d_name[0] != '.' && atoi(entry->d_name) != dirfd(directory) && count < 256)
      list[count++] = atoi(entry->d_name);
  closedir(directory);
  procpool_task_return(task, list, (size_t)count * sizeof(int));
}

static int descriptors_of_a_worker(procpool *pool, int *list) {
  procpool_future *future = test_submit(pool, task_descriptors, NULL, 0);
  size_t size = 0;
  CHECK_OK(procpool_future_result(future, PROCPOOL_FOREVER, list, 256 * sizeof(int), &size));
  CHECK_OK(procpool_future_release(future));
  return (int)(size / sizeof(int));
}

TEST_STARTS(r117_the_pools_descriptors_in_the_host, EVERY) {
  const size_t before = test_descriptors();
  bool known[1024] = {false};
  procpool *pool;
  for (int i = 0; i < 1024; i++)
    known[i] = fcntl(i, F_GETFD) >= 0;
  pool = test_open(start, 3);
  CHECK_WORKS(pool);
  (void)procpool_fd(pool);
  for (int i = 0; i < 1024; i++)
    if (!known[i] && fcntl(i, F_GETFD) >= 0) {
      CHECK_GT(i, 2);
      CHECK_EQ(fcntl(i, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
    }
  CHECK_LE(test_descriptors() - before, 9);
  test_close(pool);
  CHECK_EQ(test_descriptors(), before);
}

TEST_STARTS(r117_a_worker_has_few_descriptors_however_many_there_are, PROCESSES) {
  int alone[256], among[256], beside[256], first, second, third;
  procpool *small = test_open(start, 1), *large, *more;
  first = descriptors_of_a_worker(small, alone);
  test_close(small);
  large = test_open(start, 20);
  second = descriptors_of_a_worker(large, among);
  more = test_open(start, 1); /* opened while another pool is open */
  third = descriptors_of_a_worker(more, beside);
  CHECK_EQ(second, first);
  CHECK_EQ(third, first);
  test_close(more);
  test_close(large);
}

TEST(r117_spawned_workers_have_none_of_the_hosts) {
  const int extra = open("/dev/null", O_RDONLY); /* not close-on-exec */
  int list[256], count;
  procpool *pool;
  CHECK_GE(extra, 0);
  CHECK_EQ(dup2(extra, 200), 200);
  pool = test_open(PROCPOOL_START_SPAWN, 1);
  count = descriptors_of_a_worker(pool, list);
  for (int i = 0; i < count; i++) {
    CHECK_NE(list[i], 200);
    CHECK_NE(list[i], extra == 3 ? -1 : extra);
  }
  CHECK_LE(count, 3 + 2); /* 0, 1, 2 and the pool's own */
  test_close(pool);
  close(extra);
  close(200);
}

TEST(r117_forked_workers_have_the_hosts) {
  const int extra = open("/dev/null", O_RDONLY);
  int list[256], count;
  bool found = false;
  procpool *pool;
  CHECK_EQ(dup2(extra, 200), 200);
  pool = test_open(PROCPOOL_START_FORK, 1);
  count = descriptors_of_a_worker(pool, list);
  for (int i = 0; i < count; i++)
    found = list[i] == 200 || found;
  CHECK(found);
  test_close(pool);
  close(extra);
  close(200);
}

TEST(r117_close_fds_leaves_the_listed_ones) {
  const int extra = open("/dev/null", O_RDONLY);
  int list[256], count, foreign = 0;
  int keep[2] = {201, 150};
  bool kept = false, other = false;
  procpool_options options = {0};
  procpool *pool;
  CHECK_EQ(dup2(extra, 150), 150);
  CHECK_EQ(dup2(extra, 200), 200);
  CHECK_EQ(dup2(extra, 201), 201);
  options.close_fds = true;
  options.keep_fds = keep;
  options.keep_fds_count = 2;
  pool = test_open_with(PROCPOOL_START_FORK, 1, &options);
  keep[0] = keep[1] = 200; /* it was copied */
  for (int round = 0; round < 2; round++) {
    const test_job job = job_with(0, SIGKILL);
    count = descriptors_of_a_worker(pool, list);
    foreign = 0;
    kept = other = false;
    for (int i = 0; i < count; i++) {
      CHECK_NE(list[i], 200);
      CHECK_NE(list[i], extra);
      kept = list[i] == 201 || kept;
      other = list[i] == 150 || other;
      foreign += list[i] > 2;
    }
    CHECK(kept);
    CHECK(other);
    CHECK_LE(foreign, 2 + 2);                                                 /* and the pool's own */
    finish(test_submit(pool, task_die, &job, sizeof(job)), PROCPOOL_CRASHED); /* in the replacement too */
  }
  test_close(pool);
  close(extra);
  close(150);
  close(200);
  close(201);
}

static void task_popen(procpool_task *task) {
  char text[1000] = "";
  size_t size;
  FILE *pipe = popen("ls -l /proc/self/fd", "r"); /* what a program sees that a task executes */
  CHECK(pipe != NULL);
  size = fread(text, 1, sizeof(text) - 1, pipe);
  CHECK_EQ(pclose(pipe), 0);
  procpool_task_return(task, text, size + 1);
}

TEST_STARTS(r117_the_pools_descriptors_do_not_reach_programs, PROCESSES) {
  procpool *pool = test_open(start, 2);
  procpool_future *future = test_submit(pool, task_popen, NULL, 0);
  const char *text;
  CHECK_SETTLES(future, PROCPOOL_OK);
  text = (const char *)procpool_future_data(future, NULL);
  CHECK(strstr(text, "procpool") == NULL); /* the memfd's name */
  CHECK(strstr(text, "eventfd") == NULL);
  CHECK(strstr(text, "pidfd") == NULL);
  CHECK_OK(procpool_future_release(future));
  test_close(pool);
}

/* ---- standard descriptors and output ---- */

static void run_with_closed(procpool_start start, int first, int last) {
  const pid_t host = fork();
  CHECK_GE(host, 0);
  if (host == 0) {
    procpool *pool;
    procpool_options options;
    bool right;
    for (int i = first; i <= last; i++)
      close(i);
    memset(&options, 0, sizeof(options));
    options.start = start;
    options.max_workers = 2;
    pool = procpool_open(&options);
    if (pool == NULL)
      _exit(90);
    for (int i = 0; i < 20; i++) {
      const int in = 21;
      int out = 0;
      procpool_future *future = NULL;
      right = procpool_submit(pool, task_twice, &in, sizeof(in), NULL, &future) == PROCPOOL_OK &&
              procpool_future_result(future, PROCPOOL_FOREVER, &out, sizeof(out), NULL) == PROCPOOL_OK && out == 42;
      if (!right)
        _exit(91);
      (void)procpool_future_release(future);
    }
    for (int i = first; i <= last; i++)
      if (fcntl(i, F_GETFD) >= 0)
        _exit(92); /* the pool took the place of a standard descriptor */
    if (procpool_shutdown(pool, PROCPOOL_DRAIN, PROCPOOL_FOREVER) != PROCPOOL_OK || procpool_free(pool) != PROCPOOL_OK)
      _exit(93);
    _exit(0);
  }
  CHECK_EQ(test_wait_exit(host), 0);
}

TEST_STARTS(r121_host_without_stdin, EVERY) {
  run_with_closed(start, 0, 0);
}
TEST_STARTS(r121_host_without_stdout, EVERY) {
  run_with_closed(start, 1, 1);
}
TEST_STARTS(r121_host_without_any_standard_descriptor, EVERY) {
  run_with_closed(start, 0, 2);
}

static void task_print(procpool_task *task) {
  const test_job *job = job_begin(task);
  printf("task %d\n", job->index);
}

/* The text of a program whose output goes to a file: all of it is there once. */
TEST_STARTS(r121_output_appears_once, PROCESSES) {
  const int file = (int)syscall(SYS_memfd_create, "out", 0u);
  char text[4000] = "", expected[64];
  pid_t host;
  ssize_t size;
  CHECK_GE(file, 0);
  CHECK_EQ(fcntl(file, F_SETFL, O_APPEND), 0); /* workers write at the same time */
  host = fork();
  CHECK_GE(host, 0);
  if (host == 0) {
    procpool *pool;
    dup2(file, 1);
    setvbuf(stdout, NULL, _IOFBF, 65536);
    printf("before\n"); /* stays in the buffer while workers are made */
    pool = test_open(start, 3);
    for (int i = 0; i < 10; i++) {
      const test_job job = job_of(i);
      CHECK_OK(procpool_submit(pool, task_print, &job, sizeof(job), NULL, NULL));
    }
    test_close(pool);
    printf("after\n");
    fflush(stdout);
    _exit(0);
  }
  CHECK_EQ(test_wait_exit(host), 0);
  size = pread(file, text, sizeof(text) - 1, 0);
  CHECK_GT(size, 0);
  text[size] = '\0';
  for (int i = 0; i < 12; i++) {
    const char *first;
    if (i < 10)
      snprintf(expected, sizeof(expected), "task %d\n", i);
    else
      snprintf(expected, sizeof(expected), i == 10 ? "before\n" : "after\n");
    first = strstr(text, expected);
    CHECK(first != NULL);
    CHECK(strstr(first + 1, expected) == NULL);
  }
  CHECK_EQ(size, 10 * 7 + 7 + 6);
  close(file);
}

/* What a task printed is out before its result is there, though the worker lives on. */
TEST_STARTS(r121_output_is_out_before_the_result, PROCESSES) {
  int ends[2], saved = dup(1);
  char text[100] = "";
  procpool *pool;
  const test_job job = job_of(5);
  CHECK_EQ(pipe(ends), 0);
  CHECK_EQ(fcntl(ends[0], F_SETFL, O_NONBLOCK), 0);
  fflush(stdout);
  dup2(ends[1], 1);
  setvbuf(stdout, NULL, _IOFBF, 4096); /* the end of a line does not flush */
  pool = test_open(start, 1);
  finish(test_submit(pool, task_print, &job, sizeof(job)), PROCPOOL_OK);
  CHECK_EQ(read(ends[0], text, sizeof(text) - 1), 7);
  CHECK_TEXT(text, "task 5\n");
  test_close(pool);
  setvbuf(stdout, NULL, _IOLBF, 0);
  dup2(saved, 1);
  close(saved);
  close(ends[0]);
  close(ends[1]);
}

/* ---- leaks ---- */

static int count_mappings(void) {
  FILE *file = fopen("/proc/self/maps", "r");
  int count = 0, c;
  CHECK(file != NULL);
  while ((c = getc(file)) != EOF)
    count += c == '\n';
  fclose(file);
  return count;
}

TEST_STARTS_LIMIT(r125_hundred_pools_one_after_the_other, EVERY, 60) {
  size_t descriptors = 0;
  int mappings = 0;
  long resident = 0;
  const int rounds = test_slow() > 1 ? 30 : 100;
  for (int i = 0; i < rounds; i++) {
    procpool *pool = test_open(start, 2);
    CHECK_WORKS(pool);
    test_close(pool);
    if (i == 10) {
      descriptors = test_descriptors();
      mappings = count_mappings();
      resident = test_resident_kib();
    }
  }
  CHECK_EQ(test_descriptors(), descriptors);
  CHECK_LE(count_mappings(), mappings + 3);
  if (!test_instrumented())
    CHECK_LT(test_resident_kib() - resident, 4096);
}

TEST_STARTS(r125_many_pools_at_once, EVERY) {
  enum { POOLS = 20 };
  procpool *pools[POOLS];
  for (int i = 0; i < POOLS; i++)
    pools[i] = test_open(start, 1);
  for (int i = 0; i < POOLS; i++)
    CHECK_WORKS(pools[i]);
  for (int i = 0; i < POOLS; i++)
    test_close(pools[(i * 7) % POOLS]);
}

static int entries_of(const char *path) {
  DIR *directory = opendir(path);
  int count = 0;
  struct dirent *entry;
  if (directory == NULL)
    return 0;
  while ((entry = readdir(directory)) != NULL)
    count += strstr(entry->d_name, "procpool") != NULL;
  closedir(directory);
  return count;
}

TEST_STARTS(r126_nothing_has_a_name, EVERY) {
  const int shm = entries_of("/dev/shm"), tmp = entries_of("/tmp");
  procpool *pool = test_open(start, 2);
  CHECK_WORKS(pool);
  CHECK_EQ(entries_of("/dev/shm"), shm);
  CHECK_EQ(entries_of("/tmp"), tmp);
  test_close(pool);
}

/* ---- the host's own children ---- */

TEST_STARTS(r127_wait_never_sees_the_pool, PROCESSES) {
  procpool *pool = test_open(start, 3);
  const test_job dying = job_with(0, SIGKILL);
  pid_t children[3];
  int seen = 0, status = 0;
  CHECK_WORKS(pool);
  CHECK_EQ(waitpid(-1, &status, WNOHANG), -1); /* no child at all */
  CHECK_EQ(errno, ECHILD);
  for (int i = 0; i < 3; i++) {
    children[i] = fork();
    if (children[i] == 0)
      _exit(40 + i);
  }
  finish(test_submit(pool, task_die, &dying, sizeof(dying)), PROCPOOL_CRASHED);
  for (pid_t pid = wait(&status); pid > 0; pid = wait(&status)) { /* ends: it does not wait for the pool */
    for (int i = 0; i < 3; i++)
      if (pid == children[i]) {
        CHECK_EQ(WEXITSTATUS(status), 40 + i);
        seen++;
      }
  }
  CHECK_EQ(errno, ECHILD);
  CHECK_EQ(seen, 3);
  CHECK_WORKS(pool);
  test_close(pool);
  CHECK_EQ(waitpid(-1, &status, WNOHANG), -1);
}

static int reaped;

static void reap_everything(int number) {
  const int saved = errno;
  (void)number;
  while (waitpid(-1, NULL, WNOHANG) > 0)
    reaped++;
  errno = saved;
}

/* A handler that reaps whatever it can does not disturb the pool, nor the pool it. */
TEST_STARTS(r127_handler_that_reaps_everything, PROCESSES) {
  struct sigaction action;
  memset(&action, 0, sizeof(action));
  action.sa_handler = reap_everything;
  action.sa_flags = SA_RESTART;
  CHECK_EQ(sigaction(SIGCHLD, &action, NULL), 0);
  for (int i = 0; i < 20; i++) {
    const test_job job = job_with(0, SIGKILL);
    procpool *pool = test_open(start, 2);
    procpool_future *future = test_submit(pool, task_die, &job, sizeof(job));
    CHECK_SETTLES(future, PROCPOOL_CRASHED);
    CHECK_EQ(test_error(future).signal, SIGKILL);
    CHECK_OK(procpool_future_release(future));
    CHECK_WORKS(pool);
    test_close(pool);
  }
  signal(SIGCHLD, SIG_DFL);
  while (waitpid(-1, NULL, WNOHANG) > 0)
    ;
}

/* ---- threads, and locks that they hold while a pool is opened ---- */

typedef struct noise {
  int stop;
  int began;
} noise;

static void *allocate_and_print(void *context) {
  noise *self = (noise *)context;
  FILE *nowhere = fopen("/dev/null", "w");
  gate_add(&self->began, 1);
  while (gate_read(&self->stop) == 0) {
    free(malloc(100000));
    fprintf(nowhere, "x");
    fflush(NULL);
  }
  fclose(nowhere);
  return NULL;
}

static void task_allocate(procpool_task *task) {
  void *memory = malloc(300000);
  (void)task;
  CHECK(memory != NULL);
  free(memory);
}

TEST_STARTS(r116_threads_hold_locks_while_a_pool_is_opened, CONCURRENT) {
  noise self = {0, 0};
  pthread_t threads[2];
  for (int i = 0; i < 2; i++)
    threads[i] = test_thread(allocate_and_print, &self);
  gate_wait(&self.began, 2);
  for (int i = 0; i < test_rounds(20); i++) {
    procpool *pool = test_open(start, 2);
    if (start == PROCPOOL_START_SPAWN)
      finish(test_submit(pool, task_allocate, NULL, 0), PROCPOOL_OK);
    CHECK_WORKS(pool);
    test_close(pool);
  }
  gate_add(&self.stop, 1);
  for (int i = 0; i < 2; i++)
    test_join(threads[i]);
}

/* Workers, replacements too, come from one process that has one thread, whatever the host has. */
TEST_STARTS(r116_who_forks_workers_has_one_thread, PROCESSES) {
  noise self = {0, 0};
  pthread_t thread = test_thread(allocate_and_print, &self);
  procpool *pool;
  long first = 0;
  gate_wait(&self.began, 1);
  pool = test_open(start, 2);
  for (int i = 0; i < 4; i++) {
    const test_job job = job_with(0, SIGKILL);
    procpool_future *future = test_submit(pool, task_parent, NULL, 0);
    char path[64], line[200];
    long parent = 0;
    int threads = 0;
    FILE *file;
    CHECK_OK(procpool_future_result(future, PROCPOOL_FOREVER, &parent, sizeof(parent), NULL));
    CHECK_OK(procpool_future_release(future));
    CHECK_NE(parent, (long)getpid());
    first = i == 0 ? parent : first;
    CHECK_EQ(parent, first);
    snprintf(path, sizeof(path), "/proc/%ld/status", parent);
    file = fopen(path, "r");
    CHECK(file != NULL);
    while (fgets(line, sizeof(line), file) != NULL)
      (void)sscanf(line, "Threads: %d", &threads);
    fclose(file);
    if (!test_instrumented())
      CHECK_EQ(threads, 1);
    finish(test_submit(pool, task_die, &job, sizeof(job)), PROCPOOL_CRASHED);
  }
  test_close(pool);
  gate_add(&self.stop, 1);
  test_join(thread);
}

TEST(r116_auto_is_fork_in_a_host_without_threads) {
  procpool_options options = {0};
  procpool *pool;
  options.max_workers = 1;
  pool = procpool_open(&options);
  CHECK(pool != NULL);
  CHECK_EQ(procpool_start_method(pool), PROCPOOL_START_FORK);
  CHECK_WORKS(pool);
  test_close(pool);
}

static void *wait_for_stop(void *context) {
  gate_wait((int *)context, 1);
  return NULL;
}

TEST(r116_auto_is_spawn_with_threads_and_the_door) {
  int stop = 0;
  pthread_t thread = test_thread(wait_for_stop, &stop);
  procpool_options options = {0};
  procpool *pool;
  options.max_workers = 1;
  pool = procpool_open(&options);
  CHECK(pool != NULL);
  CHECK_EQ(procpool_start_method(pool), PROCPOOL_START_SPAWN);
  CHECK_WORKS(pool);
  test_close(pool);
  gate_add(&stop, 1);
  test_join(thread);
}

static void *open_fork_and_leave(void *context) {
  *(procpool **)context = test_open(PROCPOOL_START_FORK, 2);
  return NULL;
}

/* The thread that opened the pool ends: the workers live on. */
TEST(r122_workers_survive_the_thread_that_opened) {
  procpool *pool = NULL;
  procpool_future *future;
  test_join(test_thread(open_fork_and_leave, &pool));
  for (int i = 0; i < 100; i++)
    CHECK_WORKS(pool);
  future = block(pool, 0);
  gate_wait(&page->started, 1);
  gate_add(&page->gate, 1);
  finish(future, PROCPOOL_OK);
  CHECK_EQ(test_stats(pool).workers_started, 2);
  test_close(pool);
}

/* ---- surroundings ---- */

static void task_directory(procpool_task *task) {
  char path[PATH_MAX];
  CHECK(getcwd(path, sizeof(path)) != NULL);
  procpool_task_return(task, path, strlen(path) + 1);
}

TEST_STARTS(host_directory_is_the_workers, PROCESSES) {
  char before[PATH_MAX];
  procpool *pool;
  procpool_future *future;
  CHECK(getcwd(before, sizeof(before)) != NULL);
  CHECK_EQ(chdir("/"), 0);
  pool = test_open(start, 1);
  future = test_submit(pool, task_directory, NULL, 0);
  CHECK_SETTLES(future, PROCPOOL_OK);
  CHECK_TEXT((const char *)procpool_future_data(future, NULL), "/");
  CHECK_OK(procpool_future_release(future));
  test_close(pool);
  CHECK_EQ(chdir(before), 0);
}

static void task_environment(procpool_task *task) {
  extern char **environ;
  char all[20000] = "";
  size_t size = 0;
  for (char **entry = environ; *entry != NULL; entry++) {
    const size_t length = strlen(*entry);
    if (size + length + 2 < sizeof(all)) {
      memcpy(all + size, *entry, length);
      all[size + length] = '\n';
      size += length + 1;
    }
  }
  procpool_task_return(task, all, size + 1);
}

/* The workers' environment is the host's: what told the new program that it is a worker is gone. */
TEST_STARTS(host_environment_is_the_workers, PROCESSES) {
  extern char **environ;
  procpool *pool;
  procpool_future *future;
  const char *text;
  int lines = 0, own = 0;
  setenv("TEST_OF_THE_ENVIRONMENT", "a value", 1);
  pool = test_open(start, 1);
  future = test_submit(pool, task_environment, NULL, 0);
  CHECK_SETTLES(future, PROCPOOL_OK);
  text = (const char *)procpool_future_data(future, NULL);
  CHECK(strstr(text, "TEST_OF_THE_ENVIRONMENT=a value\n") != NULL);
  for (const char *at = text; *at != '\0'; at++)
    lines += *at == '\n';
  for (char **entry = environ; *entry != NULL; entry++)
    own++;
  CHECK_EQ(lines, own);
  unsetenv("TEST_OF_THE_ENVIRONMENT");
  CHECK_OK(procpool_future_release(future));
  test_close(pool);
}

static void comm_of(long pid, char *name, size_t size) {
  char path[64];
  FILE *file;
  snprintf(path, sizeof(path), "/proc/%ld/comm", pid);
  file = fopen(path, "r");
  CHECK(file != NULL);
  CHECK(fgets(name, (int)size, file) != NULL);
  name[strcspn(name, "\n")] = '\0';
  fclose(file);
}

static void check_names(procpool_start start, const char *name, int queued, const char *worker,
                        const char *supervisor) {
  procpool_options options = {0};
  char text[64];
  procpool *pool;
  procpool_future *future;
  long parent = 0;
  options.name = name;
  options.max_queued = queued;
  pool = test_open_with(start, 1, &options);
  future = test_submit(pool, task_parent, NULL, 0);
  CHECK_OK(procpool_future_result(future, PROCPOOL_FOREVER, &parent, sizeof(parent), NULL));
  comm_of(pid_of(future), text, sizeof(text));
  CHECK_TEXT(text, worker);
  comm_of(parent, text, sizeof(text));
  CHECK_TEXT(text, supervisor);
  CHECK_OK(procpool_future_release(future));
  test_close(pool);
}

TEST_STARTS(host_names_are_shown, PROCESSES) {
  check_names(start, NULL, 0, "procpool-0", "procpool");
  check_names(start, "bake", 0, "bake-0", "bake");
  check_names(start, "wake", 1, "wake-0", "wake"); /* with room for one task only, too */
}

/* Longer than the kernel shows: the index stays to be seen. */
TEST_STARTS(host_long_names_are_cut, PROCESSES) {
  procpool_options options = {0};
  procpool *pool;
  procpool_future *future;
  char text[64];
  options.name = "a-name-that-is-longer-than-fifteen";
  pool = test_open_with(start, 1, &options);
  future = test_submit(pool, task_nothing, NULL, 0);
  CHECK_SETTLES(future, PROCPOOL_OK);
  comm_of(pid_of(future), text, sizeof(text));
  CHECK_GE(strlen(text), 12);
  CHECK_EQ(strncmp(text, "a-name-tha", 10), 0);
  CHECK_TEXT(text + strlen(text) - 2, "-0");
  CHECK_OK(procpool_future_release(future));
  test_close(pool);
}

/* An idle pool uses no processor time: the worker's clock stands still between two looks at it. */
static void processor_time_of(long pid, unsigned long *user, unsigned long *system_time) {
  char path[64], text[1000], *rest;
  FILE *file;
  snprintf(path, sizeof(path), "/proc/%ld/stat", pid);
  file = fopen(path, "r");
  CHECK(file != NULL);
  CHECK(fgets(text, sizeof(text), file) != NULL);
  fclose(file);
  rest = strrchr(text, ')');
  CHECK(rest != NULL);
  CHECK_EQ(sscanf(rest + 2, "%*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", user, system_time), 2);
}

static long switches_of(long pid) {
  char path[64], line[200];
  long count = 0, total = 0;
  FILE *file;
  snprintf(path, sizeof(path), "/proc/%ld/status", pid);
  file = fopen(path, "r");
  CHECK(file != NULL);
  while (fgets(line, sizeof(line), file) != NULL)
    if (sscanf(line, "voluntary_ctxt_switches: %ld", &count) == 1 ||
        sscanf(line, "nonvoluntary_ctxt_switches: %ld", &count) == 1)
      total += count;
  fclose(file);
  return total;
}

/* The processes of an idle pool, its supervisor's and its worker's: for a second nothing may happen in them. */
static void check_still(const long pids[2]) {
  long before[2];
  unsigned long user[2], kernel[2];
  int never = 0;
  (void)gate_wait_for(&never, 1, 0.3); /* spinning is over by then */
  for (int i = 0; i < 2; i++) {
    before[i] = switches_of(pids[i]);
    processor_time_of(pids[i], &user[i], &kernel[i]);
  }
  (void)gate_wait_for(&never, 1, 1.0); /* this is what is measured */
  for (int i = 0; i < 2; i++) {
    unsigned long user_now, kernel_now;
    CHECK_EQ(switches_of(pids[i]), before[i]);
    processor_time_of(pids[i], &user_now, &kernel_now);
    CHECK_EQ(user_now, user[i]);
    CHECK_EQ(kernel_now, kernel[i]);
  }
}

static void find_processes(procpool *pool, long pids[2]) {
  procpool_future *future = test_submit(pool, task_parent, NULL, 0);
  CHECK_OK(procpool_future_result(future, PROCPOOL_FOREVER, &pids[0], sizeof(pids[0]), NULL));
  pids[1] = pid_of(future);
  CHECK_OK(procpool_future_release(future));
}

static void check_idle(procpool *pool) {
  long pids[2];
  find_processes(pool, pids);
  check_still(pids);
}

TEST_STARTS(host_idle_pool_wakes_nobody, PROCESSES) {
  procpool *pool = test_open(start, 1);
  check_idle(pool);
  test_close(pool);
}

/* Results of tasks with limits lie there, and the host does not take them in: the supervisor need not look after those. */
TEST_STARTS(host_idle_pool_with_results_of_limited_tasks_wakes_nobody, PROCESSES) {
  procpool_submit_options limits = {0};
  procpool_future *futures[5];
  procpool *pool = test_open(start, 1);
  long pids[2];
  limits.time_limit = 0.2;
  gate_add(&page->word[1], 1);
  find_processes(pool, pids);
  for (int round = 0; round < 2; round++) { /* and it begins again when there are such tasks again */
    for (int i = 0; i < 5; i++) {
      const test_job job = job_with(i, 1);
      CHECK_OK(procpool_submit(pool, task_gate, &job, sizeof(job), &limits, &futures[i]));
    }
    gate_wait(&page->finished, 5 * (round + 1));
    check_still(pids);
    {
      const test_job job = job_with(0, 2); /* it waits for what does not come */
      procpool_future *late;
      CHECK_OK(procpool_submit(pool, task_gate, &job, sizeof(job), &limits, &late));
      CHECK_SETTLES(late, PROCPOOL_TIMEOUT);
      CHECK_OK(procpool_future_release(late));
      find_processes(pool, pids);
    }
    for (int i = 0; i < 5; i++) {
      CHECK_SETTLES(futures[i], PROCPOOL_OK);
      CHECK_OK(procpool_future_release(futures[i]));
    }
  }
  test_close(pool);
}

/* The supervisor looks at limits only while there is a task that has one. */
TEST_STARTS(host_idle_pool_with_limits_wakes_nobody, PROCESSES) {
  procpool_options options = {0};
  const test_job job = job_of(0);
  procpool *pool;
  options.time_limit = 0.05;
  options.grace = -1;
  pool = test_open_with(start, 1, &options);
  finish(test_submit(pool, task_block, &job, sizeof(job)), PROCPOOL_TIMEOUT);
  CHECK_WORKS(pool);
  check_idle(pool);
  test_close(pool);
}

static int oom_score(void) {
  int score = -12345;
  FILE *file = fopen("/proc/self/oom_score_adj", "r");
  CHECK(file != NULL);
  CHECK_EQ(fscanf(file, "%d", &score), 1);
  fclose(file);
  return score;
}

static void task_oom_score(procpool_task *task) {
  const int score = oom_score();
  procpool_task_return(task, &score, sizeof(score));
}

/* When memory runs out a worker goes before the host. */
TEST_STARTS(r095_workers_are_taken_before_the_host, PROCESSES) {
  const int before = oom_score();
  procpool *pool = test_open(start, 1);
  procpool_future *future = test_submit(pool, task_oom_score, NULL, 0);
  int score = 0;
  CHECK_OK(procpool_future_result(future, PROCPOOL_FOREVER, &score, sizeof(score), NULL));
  CHECK_EQ(score, before < 500 ? 500 : before < 1000 ? before + 1 : 1000);
  CHECK_EQ(oom_score(), before);
  CHECK_OK(procpool_future_release(future));
  test_close(pool);
}

/* ---- what belongs to the host, before and after each step of a pool's life ---- */

typedef void (*look)(void *context, procpool *pool);

static void live_through_deaths(procpool *pool, look at, void *context) {
  const test_job job = job_with(0, SIGKILL);
  finish(test_submit(pool, task_die, &job, sizeof(job)), PROCPOOL_CRASHED);
  CHECK_WORKS(pool);
  at(context, pool);
  for (int i = 0; i < 3; i++) { /* by SIGKILL, by SIGTERM, by its limit */
    procpool_submit_options options = {0};
    const test_job blocking = job_of(0);
    procpool_future *future = NULL;
    options.time_limit = i == 2 ? 0.05 : 0;
    CHECK_OK(procpool_submit(pool, task_block, &blocking, sizeof(blocking), &options, &future));
    while (i < 2 && !procpool_future_running(future))
      sched_yield();
    if (i < 2)
      CHECK_STATUS(procpool_future_cancel_kill(future, i == 0 ? -1 : 0.02), PROCPOOL_PENDING);
    finish(future, i == 2 ? PROCPOOL_TIMEOUT : PROCPOOL_CANCELLED);
    at(context, pool);
  }
}

/* Everything that a pool does; at looks after each step, with a null pool before the first and after the last. */
static void live(procpool_start start, look at, void *context) {
  const test_job failing = job_with(1, 1);
  static int in[300], out[300];
  procpool *pool;
  procpool_future *queued;
  at(context, NULL);
  pool = test_open(start, 2);
  at(context, pool);
  CHECK_WORKS(pool);
  finish(test_submit(pool, task_fail, &failing, sizeof(failing)), PROCPOOL_FAILED);
  at(context, pool);
  CHECK_OK(procpool_map(pool, task_twice, in, sizeof(int), out, sizeof(int), 300, NULL));
  at(context, pool);
  queued = test_submit(pool, task_nothing, NULL, 0);
  (void)procpool_future_cancel(queued);
  CHECK_OK(procpool_future_release(queued));
  at(context, pool);
  if (start == PROCPOOL_START_FORK || start == PROCPOOL_START_SPAWN)
    live_through_deaths(pool, at, context);
  CHECK_OK(procpool_shutdown(pool, PROCPOOL_DRAIN, PROCPOOL_FOREVER));
  at(context, NULL);
  CHECK_OK(procpool_free(pool));
  at(context, NULL);
  test_close_by(test_open(start, 2), PROCPOOL_KILL);
  at(context, NULL);
}

typedef struct dispositions {
  bool taken;
  struct sigaction actions[32];
  sigset_t mask;
} dispositions;

static dispositions dispositions_now(void) {
  dispositions now;
  memset(&now, 0, sizeof(now));
  for (int i = 1; i < 32; i++)
    (void)sigaction(i, NULL, &now.actions[i]);
  CHECK_EQ(pthread_sigmask(SIG_SETMASK, NULL, &now.mask), 0);
  now.taken = true;
  return now;
}

static void look_at_signals(void *context, procpool *pool) {
  dispositions *before = (dispositions *)context;
  const dispositions now = dispositions_now();
  (void)pool;
  if (!before->taken)
    *before = now;
  for (int i = 1; i < 32; i++) {
    CHECK(now.actions[i].sa_handler == before->actions[i].sa_handler);
    CHECK_EQ(now.actions[i].sa_flags, before->actions[i].sa_flags);
    for (int other = 1; other < 32; other++)
      CHECK_EQ(sigismember(&now.actions[i].sa_mask, other), sigismember(&before->actions[i].sa_mask, other));
    CHECK_EQ(sigismember(&now.mask, i), sigismember(&before->mask, i));
  }
}

TEST_STARTS(r118_signals_stay_as_they_are_at_every_step, EVERY) {
  dispositions before;
  struct sigaction action;
  sigset_t some;
  memset(&before, 0, sizeof(before));
  memset(&action, 0, sizeof(action));
  action.sa_handler = handler_none;
  sigaddset(&action.sa_mask, SIGHUP);
  CHECK_EQ(sigaction(SIGUSR1, &action, NULL), 0);
  CHECK_EQ(sigaction(SIGCHLD, &action, NULL), 0);
  signal(SIGPIPE, SIG_IGN);
  sigemptyset(&some);
  sigaddset(&some, SIGUSR2);
  sigaddset(&some, SIGTERM);
  CHECK_EQ(pthread_sigmask(SIG_BLOCK, &some, NULL), 0);
  live(start, look_at_signals, &before);
  CHECK(before.actions[SIGUSR1].sa_handler == handler_none);
  CHECK(sigismember(&before.mask, SIGUSR2));
  signal(SIGUSR1, SIG_DFL);
  signal(SIGCHLD, SIG_DFL);
  signal(SIGPIPE, SIG_DFL);
  CHECK_EQ(pthread_sigmask(SIG_UNBLOCK, &some, NULL), 0);
}

typedef struct descriptors {
  bool known[256];
  bool taken;
  size_t with_pool;
} descriptors;

static void look_at_descriptors(void *context, procpool *pool) {
  descriptors *before = (descriptors *)context;
  const size_t now = test_descriptors();
  for (int i = 0; i < 256; i++) {
    const int flags = fcntl(i, F_GETFD);
    if (!before->taken)
      before->known[i] = flags >= 0;
    else if (before->known[i])
      CHECK_GE(flags, 0); /* none of the host's was closed */
    else if (flags >= 0) {
      CHECK(pool != NULL || before->with_pool != 0);
      CHECK_GT(i, 2);
      CHECK_EQ(flags & FD_CLOEXEC, FD_CLOEXEC);
    }
  }
  if (pool != NULL && before->with_pool == 0)
    before->with_pool = now;
  if (pool != NULL)
    CHECK_EQ(now, before->with_pool); /* neither tasks nor deaths take any */
  before->taken = true;
}

TEST_STARTS(r117_descriptors_stay_as_they_are_at_every_step, EVERY) {
  descriptors before;
  const size_t count = test_descriptors();
  memset(&before, 0, sizeof(before));
  live(start, look_at_descriptors, &before);
  CHECK_LE(before.with_pool - count, 8);
  CHECK_EQ(test_descriptors(), count);
}

static void look_at_children(void *context, procpool *pool) {
  int status = 0;
  (void)context;
  (void)pool;
  CHECK_EQ(waitpid(-1, &status, WNOHANG | 0x40000000 /* __WALL */), -1);
  CHECK_EQ(errno, ECHILD);
}

TEST_STARTS(r127_no_child_at_any_step, EVERY) {
  live(start, look_at_children, NULL);
}

static int count_threads(void) {
  DIR *directory = opendir("/proc/self/task");
  int count = -2;
  CHECK(directory != NULL);
  while (readdir(directory) != NULL)
    count++;
  closedir(directory);
  return count;
}

static void look_at_threads(void *context, procpool *pool) {
  const int expected = pool != NULL ? *(int *)context : 1;
  while (count_threads() > expected) /* a joined thread stays listed for a moment; the case's limit holds */
    sched_yield();
  CHECK_EQ(count_threads(), expected);
}

TEST_STARTS(r125_no_thread_but_the_workers_at_any_step, EVERY) {
  int expected = start == PROCPOOL_START_THREAD ? 3 : 1;
  if (count_threads() != 1)
    SKIP("the instrument has threads of its own");
  live(start, look_at_threads, &expected);
}

static void look_at_names(void *context, procpool *pool) {
  const int *before = (const int *)context;
  (void)pool;
  CHECK_EQ(entries_of("/dev/shm"), before[0]);
  CHECK_EQ(entries_of("/tmp"), before[1]);
  CHECK_EQ(entries_of("."), before[2]);
}

TEST_STARTS(r126_nothing_has_a_name_at_any_step, EVERY) {
  int before[3] = {entries_of("/dev/shm"), entries_of("/tmp"), entries_of(".")};
  live(start, look_at_names, before);
}

typedef struct surroundings {
  bool taken;
  char directory[PATH_MAX];
  char environment[20000];
  mode_t mask;
} surroundings;

static void look_at_surroundings(void *context, procpool *pool) {
  extern char **environ;
  surroundings *before = (surroundings *)context;
  static surroundings now;
  size_t size = 0;
  (void)pool;
  memset(&now, 0, sizeof(now));
  now.taken = true;
  CHECK(getcwd(now.directory, sizeof(now.directory)) != NULL);
  now.mask = umask(0);
  umask(now.mask);
  for (char **entry = environ; *entry != NULL; entry++) {
    CHECK_LT(size + strlen(*entry) + 2, sizeof(now.environment));
    size += (size_t)sprintf(now.environment + size, "%s\n", *entry);
  }
  if (!before->taken)
    *before = now;
  CHECK_TEXT(now.directory, before->directory);
  CHECK_TEXT(now.environment, before->environment);
  CHECK_EQ(now.mask, before->mask);
}

TEST_STARTS(host_surroundings_stay_as_they_are_at_every_step, EVERY) {
  static surroundings before;
  char directory[PATH_MAX];
  const mode_t mask = umask(027);
  CHECK(getcwd(directory, sizeof(directory)) != NULL);
  CHECK_EQ(chdir("/"), 0);
  setenv("TEST_OF_THE_ENVIRONMENT", "a value", 1);
  live(start, look_at_surroundings, &before);
  CHECK_TEXT(before.directory, "/");
  CHECK(strstr(before.environment, "TEST_OF_THE_ENVIRONMENT=a value\n") != NULL);
  unsetenv("TEST_OF_THE_ENVIRONMENT");
  CHECK_EQ(chdir(directory), 0);
  umask(mask);
}

static void look_at_output(void *context, procpool *pool) {
  const int *files = (const int *)context;
  (void)pool;
  for (int i = 0; i < 2; i++)
    CHECK_EQ(lseek(files[i], 0, SEEK_END), 0);
}

/* Nothing is printed, and what the host has in its buffers stays there: neither flushed nor printed by others. */
TEST_STARTS(r121_nothing_is_printed_at_any_step, EVERY) {
  int files[2];
  char text[100] = "";
  pid_t host;
  for (int i = 0; i < 2; i++)
    files[i] = (int)syscall(SYS_memfd_create, "out", 0u);
  fflush(stdout);
  host = fork();
  CHECK_GE(host, 0);
  if (host == 0) {
    dup2(files[0], 1);
    dup2(files[1], 2);
    setvbuf(stdout, NULL, _IOFBF, 4096);
    printf("in the buffer");
    live(start, look_at_output, files);
    fflush(stdout);
    _exit(0);
  }
  CHECK_EQ(test_wait_exit(host), 0);
  CHECK_EQ(lseek(files[1], 0, SEEK_END), 0);
  CHECK_EQ(pread(files[0], text, sizeof(text) - 1, 0), 13);
  CHECK_TEXT(text, "in the buffer");
  close(files[0]);
  close(files[1]);
}

/* An iterator that goes last takes the pool's memory along: it stays flat. */
TEST_STARTS(r125_iterators_freed_after_their_pool, EVERY) {
  int mappings = 0;
  long resident = 0;
  for (int i = 0; i < 60; i++) {
    procpool *pool = test_open(start, 1);
    procpool_future *future = test_submit(pool, task_nothing, NULL, 0), *got = NULL;
    procpool_iterator *iterator = NULL;
    CHECK_OK(procpool_as_completed(&future, 1, &iterator));
    CHECK_OK(procpool_next(iterator, PROCPOOL_FOREVER, &got));
    CHECK_OK(procpool_future_release(future));
    test_close(pool);
    procpool_iterator_free(iterator);
    if (i == 10) {
      mappings = count_mappings();
      resident = test_resident_kib();
    }
  }
  if (test_instrumented())
    return;
  CHECK_LE(count_mappings(), mappings + 3);
  CHECK_LT(test_resident_kib() - resident, 2048);
}
