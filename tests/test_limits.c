/* Where resources run short, or a sandbox refuses: an error or a working pool, never a hang, a leak or a signal. */
#include "harness.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>

static void finish(procpool_future *future, procpool_status expected) {
  CHECK_SETTLES(future, expected);
  CHECK_OK(procpool_future_release(future));
}

static procpool *try_open(procpool_start start, int workers, procpool_error *error) {
  procpool_options options;
  memset(&options, 0, sizeof(options));
  memset(error, 0, sizeof(*error));
  options.error = error;
  options.start = start;
  options.max_workers = workers;
  return procpool_open(&options);
}

static bool is_shortage(const procpool_error *error) {
  return (error->status == PROCPOOL_SYSTEM || error->status == PROCPOOL_SPAWN_FAIL ||
          error->status == PROCPOOL_MEMORY) &&
         error->system_error != 0;
}

/* Becomes a user who has no other processes (one for each case: they are counted together), if this is root: a limit on
 * processes does not hold for root. */
static bool become_nobody(void) {
  const uid_t nobody = 100000 + (uid_t)getpid();
  if (getuid() == 0 && (setgid(nobody) != 0 || setuid(nobody) != 0))
    return false;
  return prctl(PR_SET_DUMPABLE, 1) == 0; /* spawned workers find the page through /proc */
}

/* ---- opening ---- */

/* No room for the pool's descriptors at the k-th of them: an error, and nothing is left behind. */
TEST_STARTS(r002_open_without_enough_descriptors, PROCESSES) {
  struct rlimit before, limit;
  int opened = 0, refused = 0;
  CHECK_EQ(getrlimit(RLIMIT_NOFILE, &before), 0);
  for (rlim_t extra = 0; extra < 24; extra++) {
    procpool_error error;
    procpool_options options = {0};
    procpool *pool;
    const size_t descriptors = test_descriptors();
    options.error = &error;
    options.start = start;
    options.max_workers = 1;
    limit = before;
    limit.rlim_cur = (rlim_t)descriptors + extra;
    CHECK_EQ(setrlimit(RLIMIT_NOFILE, &limit), 0);
    pool = procpool_open(&options);
    CHECK_EQ(setrlimit(RLIMIT_NOFILE, &before), 0);
    if (pool != NULL) {
      CHECK_WORKS(pool);
      test_close(pool);
      opened++;
    } else {
      CHECK(error.status == PROCPOOL_SYSTEM || error.status == PROCPOOL_SPAWN_FAIL || error.status == PROCPOOL_MEMORY);
      CHECK_NE(error.system_error, 0);
      refused++;
    }
    CHECK_EQ(test_descriptors(), descriptors);
  }
  CHECK_GT(refused, 0);
  CHECK_GT(opened, 0);
}

/* How many descriptors a process has of what tells of another one's end. */
static int guards_of(long pid) {
  int count = 0;
  for (int i = 0; i < 256; i++) {
    char path[48], name[64];
    ssize_t length;
    snprintf(path, sizeof(path), "/proc/%ld/fd/%d", pid, i);
    length = readlink(path, name, sizeof(name) - 1);
    name[length > 0 ? length : 0] = '\0';
    count += strstr(name, "pidfd") != NULL || strstr(name, "memfd:witness") != NULL;
  }
  return count;
}

/* A pool opens with all that watches over it, or not at all. */
TEST_STARTS(r122_no_pool_without_its_guards, PROCESSES) {
  const size_t descriptors = test_descriptors();
  struct rlimit before, limit;
  procpool *pool = test_open(start, 1);
  const int ours = guards_of((long)getpid()), its = guards_of(test_supervisor(pool));
  int opened = 0, refused = 0;
  test_close(pool);
  CHECK_EQ(getrlimit(RLIMIT_NOFILE, &before), 0);
  for (rlim_t extra = 6; extra < 16; extra++) {
    procpool_error error;
    pool = NULL;
    limit = before;
    limit.rlim_cur = (rlim_t)descriptors + extra;
    CHECK_EQ(setrlimit(RLIMIT_NOFILE, &limit), 0);
    pool = try_open(start, 1, &error);
    CHECK_EQ(setrlimit(RLIMIT_NOFILE, &before), 0);
    if (pool != NULL) {
      CHECK_EQ(guards_of((long)getpid()), ours);
      CHECK_EQ(guards_of(test_supervisor(pool)), its);
      test_close(pool);
      opened++;
    } else {
      CHECK(is_shortage(&error));
      refused++;
    }
    CHECK_EQ(test_descriptors(), descriptors);
  }
  CHECK_GT(refused, 0);
  CHECK_GT(opened, 0);
}

/* Processes and threads of this user. */
static int count_of_user(void) {
  DIR *directory = opendir("/proc");
  const uid_t user = getuid();
  struct dirent *entry;
  int count = 0;
  CHECK(directory != NULL);
  while ((entry = readdir(directory)) != NULL) {
    char path[300];
    struct stat about;
    struct dirent *task;
    DIR *tasks;
    snprintf(path, sizeof(path), "/proc/%s/task", entry->d_name);
    if (atoi(entry->d_name) <= 0 || stat(path, &about) != 0 || about.st_uid != user || (tasks = opendir(path)) == NULL)
      continue;
    while ((task = readdir(tasks)) != NULL)
      count += task->d_name[0] != '.';
    closedir(tasks);
  }
  closedir(directory);
  return count;
}

/* A limit on processes: it does not hold for root, so a child becomes a user who has none and tries. */
TEST_STARTS(r002_open_without_enough_processes, PROCESSES) {
  pid_t child;
  if (test_instrumented())
    SKIP("the instrument itself needs processes");
  if (getuid() != 0)
    SKIP("needs root, to become a user without processes");
  child = fork();
  CHECK_GE(child, 0);
  if (child == 0) {
    struct rlimit limit;
    int opened = 0;
    if (!become_nobody())
      _exit(CHAR_MAX);
    if (access("/proc/self/exe", X_OK) != 0)
      _exit(CHAR_MAX);
    for (rlim_t count = 1; count < 9; count++) {
      procpool_error error;
      procpool_options options;
      procpool *pool;
      memset(&options, 0, sizeof(options));
      memset(&error, 0, sizeof(error));
      CHECK_EQ(getrlimit(RLIMIT_NPROC, &limit), 0);
      limit.rlim_cur = count;
      CHECK_EQ(setrlimit(RLIMIT_NPROC, &limit), 0);
      options.error = &error;
      options.start = start;
      options.max_workers = 4;
      while (count_of_user() > 1) /* those of the attempt before count until they are reaped; the case's limit holds */
        sched_yield();
      pool = procpool_open(&options);
      if (pool == NULL) {
        CHECK(error.status == PROCPOOL_SPAWN_FAIL || error.status == PROCPOOL_SYSTEM);
        CHECK_NE(error.system_error, 0);
        continue;
      }
      opened++;
      {
        const int in = 1;
        procpool_future *future = NULL;
        procpool_status status = procpool_submit(pool, task_twice, &in, sizeof(in), NULL, &future);
        if (status == PROCPOOL_OK)
          status = procpool_future_wait(future, 10);
        CHECK(status == PROCPOOL_OK || status == PROCPOOL_SPAWN_FAIL); /* never a hang */
        CHECK_OK(procpool_future_release(future));
      }
      CHECK_OK(procpool_free(pool));
    }
    _exit(opened > 0 ? 0 : 1);
  }
  {
    const int code = test_wait_exit(child);
    if (code == CHAR_MAX)
      SKIP("cannot become another user");
    CHECK_EQ(code, 0);
  }
}

static void meet_of_four(procpool *pool, int round) {
  procpool_future *futures[4];
  for (int i = 0; i < 4; i++) {
    const test_job job = job_with(i, 4 * round);
    futures[i] = test_submit(pool, task_meet, &job, sizeof(job));
  }
  for (int i = 0; i < 4; i++)
    finish(futures[i], PROCPOOL_OK);
}

/* With room for one process more each time: at first the supervisor cannot be had, then the first worker, the second, ... */
static void open_four_with_more_and_more_room(procpool_start start) {
  const size_t descriptors = test_descriptors();
  int refused = 0, opened = 0;
  for (rlim_t room = 1; room < 12; room++) {
    struct rlimit limit;
    procpool_error error;
    procpool *pool;
    CHECK_EQ(getrlimit(RLIMIT_NPROC, &limit), 0);
    limit.rlim_cur = room;
    CHECK_EQ(setrlimit(RLIMIT_NPROC, &limit), 0);
    pool = try_open(start, 4, &error);
    if (pool == NULL) {
      CHECK(is_shortage(&error));
      CHECK_EQ(error.system_error, EAGAIN);
      CHECK_EQ(opened, 0);
      refused++;
    } else {
      meet_of_four(pool, ++opened); /* all four are there */
      test_close(pool);
    }
    CHECK_EQ(test_descriptors(), descriptors);
    while (count_of_user() > 1) /* those that were started are reaped; the case's limit holds */
      sched_yield();
  }
  CHECK_GE(refused, 4); /* the first worker, and the others after it */
  CHECK_GT(opened, 0);
}

/* ---- processes run short while the pool works ---- */

static void limit_processes_of(long pid, bool on) {
  struct rlimit limit;
  CHECK_EQ(prlimit((pid_t)pid, RLIMIT_NPROC, NULL, &limit), 0);
  limit.rlim_cur = on ? 1 : limit.rlim_max;
  CHECK_EQ(prlimit((pid_t)pid, RLIMIT_NPROC, &limit, NULL), 0);
}

static void run_as_nobody(procpool_start start, void (*body)(procpool_start start)) {
  pid_t child;
  int code;
  if (test_instrumented())
    SKIP("the instrument itself needs processes");
  child = fork();
  CHECK_GE(child, 0);
  if (child == 0) {
    if (!become_nobody())
      _exit(CHAR_MAX);
    if (start == PROCPOOL_START_SPAWN && access("/proc/self/exe", X_OK) != 0)
      _exit(CHAR_MAX);
    body(start);
    _exit(0);
  }
  code = test_wait_exit(child);
  if (code == CHAR_MAX)
    SKIP("cannot become another user");
  CHECK_EQ(code, 0);
}

static procpool_future *die(procpool *pool) {
  const test_job job = job_with(0, SIGKILL);
  return test_submit(pool, task_die, &job, sizeof(job));
}

static void lose_one_of_two_workers(procpool_start start) {
  procpool *pool = test_open(start, 2);
  const long supervisor = test_supervisor(pool);
  const test_job meeting[2] = {job_with(0, 2), job_with(1, 2)};
  limit_processes_of(supervisor, true);
  finish(die(pool), PROCPOOL_CRASHED);
  for (int i = 0; i < 200; i++)
    CHECK_WORKS(pool); /* on the one that is left */
  limit_processes_of(supervisor, false);
  {
    procpool_future *a = test_submit(pool, task_meet, &meeting[0], sizeof(test_job));
    procpool_future *b = test_submit(pool, task_meet, &meeting[1], sizeof(test_job));
    finish(a, PROCPOOL_OK); /* two again */
    finish(b, PROCPOOL_OK);
  }
  test_close(pool);
}

TEST_STARTS(r016_replacement_fails_but_a_worker_is_left, PROCESSES) {
  run_as_nobody(start, lose_one_of_two_workers);
}

static void lose_the_only_worker(procpool_start start) {
  procpool *pool = test_open(start, 1);
  const long supervisor = test_supervisor(pool);
  const double begin = test_now();
  procpool_future *victim, *queued[10], *refused = NULL;
  procpool_status status;
  limit_processes_of(supervisor, true);
  victim = die(pool);
  for (int i = 0; i < 10; i++)
    queued[i] = test_submit(pool, task_nothing, NULL, 0);
  finish(victim, PROCPOOL_CRASHED);
  for (int i = 0; i < 10; i++)
    finish(queued[i], PROCPOOL_SPAWN_FAIL);
  CHECK_SECONDS(test_now() - begin, <, 10.0 * test_slow()); /* in bounded time */
  status = procpool_submit(pool, task_nothing, NULL, 0, NULL, &refused);
  if (status == PROCPOOL_OK)
    finish(refused, PROCPOOL_SPAWN_FAIL);
  else
    CHECK_STATUS(status, PROCPOOL_SPAWN_FAIL);
  limit_processes_of(supervisor, false);
  while (procpool_submit(pool, task_nothing, NULL, 0, NULL, &refused) == PROCPOOL_SPAWN_FAIL)
    sched_yield(); /* it tries again by itself; the case's limit holds */
  {
    const procpool_status outcome = procpool_future_wait(refused, PROCPOOL_FOREVER);
    CHECK(outcome == PROCPOOL_OK || outcome == PROCPOOL_SPAWN_FAIL);
    CHECK_OK(procpool_future_release(refused));
  }
  CHECK_OK(procpool_shutdown(pool, PROCPOOL_DRAIN, PROCPOOL_FOREVER));
  CHECK_OK(procpool_free(pool));
}

TEST_STARTS(r016_no_worker_can_be_had, PROCESSES) {
  run_as_nobody(start, lose_the_only_worker);
}

TEST_STARTS(r002_each_worker_in_turn_cannot_be_started, CONCURRENT) {
  run_as_nobody(start, open_four_with_more_and_more_room);
}

/* ---- memory ---- */

TEST_STARTS(r017_open_with_little_address_space, EVERY) {
  struct rlimit before, limit;
  if (test_instrumented())
    SKIP("the instrument owns the address space");
  CHECK_EQ(getrlimit(RLIMIT_AS, &before), 0);
  for (rlim_t mib = 8; mib <= 4096; mib *= 4) {
    procpool_error error;
    procpool *pool;
    limit = before;
    limit.rlim_cur = mib << 20;
    CHECK_EQ(setrlimit(RLIMIT_AS, &limit), 0);
    pool = try_open(start, 1, &error);
    if (pool == NULL)
      CHECK(is_shortage(&error));
    else {
      CHECK_WORKS(pool);
      test_close(pool);
    }
    CHECK_EQ(setrlimit(RLIMIT_AS, &before), 0);
  }
}

/* ulimit -v as administrators set it: a few GiB. A pool is much smaller than that. */
TEST_STARTS(r017_four_gib_of_address_space_are_enough, EVERY) {
  struct rlimit before, limit;
  procpool *pool;
  if (test_instrumented())
    SKIP("the instrument owns the address space");
  CHECK_EQ(getrlimit(RLIMIT_AS, &before), 0);
  limit = before;
  limit.rlim_cur = (rlim_t)(sizeof(rlim_t) > 4 ? 4 : 3) << 30;
  CHECK_EQ(setrlimit(RLIMIT_AS, &limit), 0);
  pool = test_open(start, 2);
  CHECK_WORKS(pool);
  test_close(pool);
  CHECK_EQ(setrlimit(RLIMIT_AS, &before), 0);
}

/* A limit on file sizes: the segment is a file to the kernel, but no process gets a SIGXFSZ for it. */
static void open_with_small_files(procpool_start start) {
  struct rlimit limit;
  CHECK_EQ(getrlimit(RLIMIT_FSIZE, &limit), 0);
  for (rlim_t kib = 4; kib <= 65536; kib *= 4) {
    procpool_error error;
    procpool *pool;
    limit.rlim_cur = kib << 10;
    CHECK_EQ(setrlimit(RLIMIT_FSIZE, &limit), 0);
    pool = try_open(start, 1, &error);
    if (pool == NULL)
      CHECK(is_shortage(&error));
    else {
      procpool_future *future = NULL;
      void *big = calloc(1, 1 << 20);
      procpool_status status = procpool_submit(pool, task_sum, big, 1 << 20, NULL, &future);
      CHECK(status == PROCPOOL_OK || status == PROCPOOL_MEMORY || status == PROCPOOL_SYSTEM);
      if (status == PROCPOOL_OK) {
        status = procpool_future_wait(future, PROCPOOL_FOREVER);
        CHECK(status == PROCPOOL_OK || status == PROCPOOL_TRANSFER);
      }
      CHECK_OK(procpool_future_release(future));
      free(big);
      CHECK_OK(procpool_free(pool));
    }
  }
}

TEST_STARTS(r017_open_with_a_limit_on_file_sizes, EVERY) {
  const pid_t child = fork();
  CHECK_GE(child, 0);
  if (child == 0) {
    open_with_small_files(start);
    _exit(0);
  }
  CHECK_EQ(test_wait_exit(child), 0);
}

/* R108: an argument that cannot be carried leaves nothing behind, a hundred times. */
TEST_STARTS(r108_hundred_too_large_then_hundred_good, EVERY) {
  procpool_options options = {0};
  procpool *pool;
  const size_t size = 3 << 20;
  char *big = (char *)calloc(1, size);
  CHECK(big != NULL);
  options.max_memory = 2 << 20;
  pool = test_open_with(start, 1, &options);
  for (int i = 0; i < 100; i++) {
    procpool_future *future = NULL;
    CHECK_STATUS(procpool_submit(pool, task_sum, big, size, NULL, &future), PROCPOOL_MEMORY);
    CHECK(future == NULL);
  }
  for (int i = 0; i < 100; i++)
    finish(test_submit(pool, task_sum, big, 1 << 20), PROCPOOL_OK);
  CHECK_EQ(test_stats(pool).submitted, 100);
  test_close(pool);
  free(big);
}

/* Arguments in flight that fill max_memory: submit waits until there is room, or says so. */
TEST_STARTS(r108_arguments_fill_the_memory, CONCURRENT) {
  procpool_options options = {0};
  procpool *pool;
  const test_job job = job_of(0);
  const size_t size = 1 << 20;
  char *big = (char *)calloc(1, size);
  procpool_future *blocker, *held[64];
  int count = 0;
  procpool_status status = PROCPOOL_OK;
  CHECK(big != NULL);
  options.max_memory = 8 << 20;
  pool = test_open_with(start, 1, &options);
  blocker = test_submit(pool, task_block, &job, sizeof(job));
  gate_wait(&page->started, 1);
  while (count < 64 && (status = try_submit(pool, task_sum, big, size, &held[count])) == PROCPOOL_OK)
    count++;
  CHECK(status == PROCPOOL_MEMORY || status == PROCPOOL_FULL);
  CHECK_GE(count, 3);
  CHECK_LE(count, 8);
  gate_add(&page->gate, 1);
  finish(blocker, PROCPOOL_OK);
  for (int i = 0; i < count; i++)
    finish(held[i], PROCPOOL_OK);
  finish(test_submit(pool, task_sum, big, size), PROCPOOL_OK); /* there is room again */
  test_close(pool);
  free(big);
}

/* ---- sandboxes and old kernels ---- */

/* From now on these system calls fail with this error, here and in everything that is started here. */
static bool refuse(const int *calls, int count, int error) {
  struct sock_filter filter[64];
  struct sock_fprog program;
  unsigned short n = 0;
  const struct sock_filter load = BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr));
  const struct sock_filter pass = BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
  const struct sock_filter fail = BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (unsigned)error);
  filter[n++] = load;
  for (int i = 0; i < count; i++) {
    const struct sock_filter compare = BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned)calls[i], 0, 1);
    filter[n++] = compare;
    filter[n++] = fail;
  }
  filter[n++] = pass;
  program.len = n;
  program.filter = filter;
  return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 && prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

/* All that a pool does, in a process that is refused these calls. It must work: they have substitutes. */
static void use_without(procpool_start start, const int *calls, int count, int error) {
  pid_t host;
  int watch, code;
  if (test_instrumented())
    SKIP("the instrument needs the calls itself");
  host = fork();
  CHECK_GE(host, 0);
  if (host == 0) {
    const test_job job = job_of(1);
    procpool *pool;
    if (!refuse(calls, count, error))
      _exit(CHAR_MAX);
    pool = test_open(start, 2);
    for (int i = 0; i < 20; i++)
      CHECK_WORKS(pool);
    finish(die(pool), PROCPOOL_CRASHED);
    for (int i = 0; i < 20; i++)
      CHECK_WORKS(pool);
    test_close(pool);
    pool = test_open(start, 1);
    {
      const long supervisor = test_supervisor(pool);
      procpool_future *running = test_submit(pool, task_block, &job, sizeof(job));
      gate_wait(&page->started, 1);
      CHECK_EQ(kill((pid_t)supervisor, SIGKILL), 0);
      finish(running, PROCPOOL_BROKEN);
    }
    CHECK_OK(procpool_free(pool));
    pool = test_open(start, 1);
    CHECK_OK(procpool_submit(pool, task_block, &job, sizeof(job), NULL, NULL));
    gate_wait(&page->started, 2);
    gate_add(&page->word[0], 1);
    gate_wait(&page->word[1], 1);
    raise(SIGKILL); /* and the workers go with it */
  }
  while (!gate_wait_for(&page->word[0], 1, 0.1)) {
    int status = 0;
    if (waitpid(host, &status, WNOHANG) == host) {
      if (WIFEXITED(status) && WEXITSTATUS(status) == CHAR_MAX)
        SKIP("seccomp is not allowed here");
      harness_fail(__FILE__, __LINE__, "the host ended too early (status %x): success", (unsigned)status);
    }
  }
  watch = test_watch(page->pid[1]);
  gate_add(&page->word[1], 1);
  code = test_wait_exit(host);
  CHECK_EQ(code, -SIGKILL);
  CHECK(test_gone(watch, 1.0 * test_slow()));
}

TEST_STARTS(r003_without_pidfd, PROCESSES) {
  static const int calls[] = {434 /* pidfd_open */, 424 /* pidfd_send_signal */};
  use_without(start, calls, 2, ENOSYS);
}

TEST_STARTS(r003_pidfd_refused, PROCESSES) {
  static const int calls[] = {434, 424};
  use_without(start, calls, 2, EPERM);
}

TEST_STARTS(r003_without_close_range, PROCESSES) {
  static const int calls[] = {436 /* close_range */};
  use_without(start, calls, 1, ENOSYS);
}

TEST_STARTS(r003_affinity_and_limits_refused, PROCESSES) {
  static const int calls[] = {SYS_sched_getaffinity, SYS_prlimit64,
#ifdef SYS_getrlimit
                              SYS_getrlimit,
#endif
                              SYS_sysinfo};
  use_without(start, calls, (int)(sizeof(calls) / sizeof(calls[0])), EPERM);
}

TEST_STARTS(r003_all_of_these_refused, PROCESSES) {
  static const int calls[] = {434, 424, 436, SYS_sched_getaffinity, SYS_prlimit64, SYS_sysinfo};
  use_without(start, calls, (int)(sizeof(calls) / sizeof(calls[0])), EPERM);
}

/* What has no substitute is an error at open. */
static void open_without(procpool_start start, int call, int error) {
  pid_t host;
  int code;
  if (test_instrumented())
    SKIP("the instrument needs the calls itself");
  host = fork();
  CHECK_GE(host, 0);
  if (host == 0) {
    procpool_error reason;
    procpool *pool;
    if (!refuse(&call, 1, error))
      _exit(CHAR_MAX);
    pool = try_open(start, 1, &reason);
    if (pool == NULL)
      CHECK(is_shortage(&reason));
    else {
      CHECK_WORKS(pool);
      test_close(pool);
    }
    _exit(0);
  }
  code = test_wait_exit(host);
  if (code == CHAR_MAX)
    SKIP("seccomp is not allowed here");
  CHECK_EQ(code, 0);
}

TEST_STARTS(r003_without_memfd, EVERY) {
  open_without(start, SYS_memfd_create, ENOSYS);
}
TEST_STARTS(r003_without_eventfd, EVERY) {
  open_without(start, SYS_eventfd2, EMFILE);
}
TEST_STARTS(r003_without_fallocate, EVERY) {
  open_without(start, SYS_fallocate, EOPNOTSUPP);
}
TEST_STARTS(r003_without_memory_behind_the_segment, EVERY) {
  open_without(start, SYS_fallocate, ENOSPC);
}
TEST_STARTS(r003_without_pipe2, EVERY) {
  open_without(start, SYS_pipe2, EMFILE);
}
TEST_STARTS(r003_without_prctl, PROCESSES) {
  open_without(start, SYS_prctl, EPERM);
}
TEST_STARTS(r003_without_madvise, EVERY) {
  open_without(start, SYS_madvise, EINVAL);
}
/* Neither a process nor a thread can be had: an error, and no hang. */
TEST_STARTS(r017_supervisor_or_thread_cannot_be_started, CONCURRENT) {
  static const int calls[] = {SYS_clone, 435 /* clone3 */};
  pid_t host;
  int code;
  if (test_instrumented())
    SKIP("the instrument needs the calls itself");
  host = fork();
  CHECK_GE(host, 0);
  if (host == 0) {
    procpool_error reason;
    if (!refuse(calls, 2, EAGAIN))
      _exit(CHAR_MAX);
    CHECK(try_open(start, 2, &reason) == NULL);
    CHECK(is_shortage(&reason));
    _exit(0);
  }
  code = test_wait_exit(host);
  if (code == CHAR_MAX)
    SKIP("seccomp is not allowed here");
  CHECK_EQ(code, 0);
}

static procpool_start start_at_exit;

static void open_at_exit(void) {
  procpool_error error;
  procpool *pool = try_open(start_at_exit, 2, &error);
  if (pool != NULL) {
    CHECK_WORKS(pool);
    test_close(pool);
  } else
    CHECK(is_shortage(&error));
  gate_add(&page->word[0], 1);
}

/* A process that is ending may still open a pool, or is refused: it does not hang. */
TEST_STARTS(r017_open_in_an_atexit_handler, EVERY) {
  const pid_t host = fork();
  CHECK_GE(host, 0);
  if (host == 0) {
    start_at_exit = start;
    CHECK_EQ(atexit(open_at_exit), 0);
    exit(7);
  }
  CHECK_EQ(test_wait_exit(host), 7);
  CHECK_EQ(page->word[0], 1);
}

/* ---- no memory for a result, no room for an argument ---- */

static double processor_seconds(void) {
  struct timespec used;
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used);
  return (double)used.tv_sec + (double)used.tv_nsec * 1e-9;
}

/* From now on this process, not its workers, gets no large piece of memory. */
static void limit_memory(bool on) {
  struct rlimit limit;
  long pages = 0;
  FILE *file = fopen("/proc/self/statm", "r");
  CHECK(file != NULL);
  CHECK_EQ(fscanf(file, "%ld", &pages), 1);
  fclose(file);
  CHECK_EQ(getrlimit(RLIMIT_AS, &limit), 0);
  limit.rlim_cur = on ? (rlim_t)pages * (rlim_t)sysconf(_SC_PAGESIZE) + (4u << 20) : limit.rlim_max;
  CHECK_EQ(setrlimit(RLIMIT_AS, &limit), 0);
}

/* MEMORY says that the result stays where it is; that must not keep a shutdown by KILL, or free, from their end. */
static void check_result_without_memory(procpool_start start, bool shutdown_first) {
  const test_job large = job_sized(0, 64 << 20), blocking = job_of(1);
  procpool *pool;
  procpool_future *result, *running;
  int watch;
  if (test_instrumented())
    SKIP("the instrument owns the address space");
  pool = test_open(start, 2);
  running = test_submit(pool, task_block, &blocking, sizeof(blocking));
  gate_wait(&page->started, 1);
  watch = test_watch(page->pid[1]);
  limit_memory(true);
  result = test_submit(pool, task_make, &large, sizeof(large));
  CHECK_STATUS(procpool_future_wait(result, PROCPOOL_FOREVER), PROCPOOL_MEMORY);
  if (shutdown_first)
    CHECK_OK(procpool_shutdown(pool, PROCPOOL_KILL, 10.0 * test_slow()));
  CHECK_OK(procpool_free(pool));
  CHECK(test_gone(watch, 5.0 * test_slow()));
  CHECK(procpool_future_done(result));
  CHECK_STATUS(procpool_future_status(running), PROCPOOL_SHUTDOWN);
  CHECK_OK(procpool_future_release(result));
  CHECK_OK(procpool_future_release(running));
  limit_memory(false);
}

TEST_STARTS(r086_free_though_there_is_no_memory_for_a_result, PROCESSES) {
  check_result_without_memory(start, false);
}
TEST_STARTS(r079_kill_though_there_is_no_memory_for_a_result, PROCESSES) {
  check_result_without_memory(start, true);
}

/* And once there is memory again the result is still to be had. */
TEST_STARTS(r022_result_stays_while_there_is_no_memory_for_it, PROCESSES) {
  const test_job large = job_sized(3, 64 << 20);
  procpool *pool;
  procpool_future *result;
  if (test_instrumented())
    SKIP("the instrument owns the address space");
  pool = test_open(start, 1);
  CHECK_WORKS(pool);
  limit_memory(true);
  result = test_submit(pool, task_make, &large, sizeof(large));
  CHECK_STATUS(procpool_future_wait(result, PROCPOOL_FOREVER), PROCPOOL_MEMORY);
  limit_memory(false);
  CHECK_SETTLES(result, PROCPOOL_OK);
  CHECK(pattern_holds(procpool_future_data(result, NULL), 64 << 20, 3));
  CHECK_OK(procpool_future_release(result));
  test_close(pool);
}

enum { LARGE = 400000 };

static procpool *open_with_its_memory_full(procpool_start start, const char *large, procpool_future **blocker) {
  procpool_options options = {0};
  procpool *pool;
  procpool_status status;
  const test_job job = job_of(0);
  CHECK(large != NULL);
  options.max_memory = 1 << 20;
  pool = test_open_with(start, 1, &options);
  *blocker = test_submit(pool, task_block, &job, sizeof(job));
  gate_wait(&page->started, 1);
  while ((status = try_submit(pool, task_nothing, large, LARGE, NULL)) == PROCPOOL_OK)
    ; /* they stay there behind the blocker */
  CHECK_STATUS(status, PROCPOOL_FULL);
  CHECK_GE(test_stats(pool).queued, 1);
  return pool;
}

/* Who waits for memory sleeps, keeps to the time given, and does not keep others out. */
TEST_STARTS(r023_waiting_for_memory_keeps_its_time_and_sleeps, CONCURRENT) {
  procpool_future *blocker, *refused = NULL;
  char *large = (char *)calloc(1, LARGE);
  procpool *pool = open_with_its_memory_full(start, large, &blocker);
  const double begin = test_now(), used = processor_seconds();
  CHECK_STATUS(submit_timed(pool, 0.6, task_nothing, large, LARGE, &refused), PROCPOOL_FULL);
  CHECK_SECONDS(test_now() - begin, >=, 0.6);
  CHECK_SECONDS(test_now() - begin, <, 0.6 + 1.0 * test_slow());
  if (!test_instrumented())
    CHECK_SECONDS(processor_seconds() - used, <, 0.05 * test_slow());
  CHECK(refused == NULL);
  gate_add(&page->gate, 1);
  finish(blocker, PROCPOOL_OK);
  finish(test_submit(pool, task_nothing, large, LARGE), PROCPOOL_OK);
  test_close(pool);
  free(large);
}

TEST_STARTS(r036_map_times_out_while_it_waits_for_memory, CONCURRENT) {
  procpool_future *blocker;
  char *large = (char *)calloc(4, LARGE);
  procpool *pool = open_with_its_memory_full(start, large, &blocker);
  procpool_map_options options = {0};
  const double begin = test_now(), used = processor_seconds();
  options.timeout = 0.6;
  options.chunksize = 1;
  CHECK_STATUS(procpool_map(pool, task_nothing, large, LARGE, NULL, 0, 4, &options), PROCPOOL_PENDING);
  CHECK_SECONDS(test_now() - begin, >=, 0.6);
  CHECK_SECONDS(test_now() - begin, <, 0.6 + 1.0 * test_slow());
  if (!test_instrumented())
    CHECK_SECONDS(processor_seconds() - used, <, 0.05 * test_slow());
  gate_add(&page->gate, 1);
  finish(blocker, PROCPOOL_OK);
  CHECK_WORKS(pool);
  test_close(pool);
  free(large);
}

/* More than there can be: opened with what there is, or refused. */
TEST_STARTS(r019_max_memory_of_nearly_everything, EVERY) {
  for (size_t less = 0; less < 9; less++) {
    procpool_options options = {0};
    procpool_error error;
    procpool *pool;
    memset(&error, 0, sizeof(error));
    options.error = &error;
    options.start = start;
    options.max_workers = start == PROCPOOL_START_INLINE ? 1 : 2;
    options.max_memory = (size_t)-1 - (less << 20);
    pool = procpool_open(&options);
    if (pool == NULL) {
      CHECK(error.status == PROCPOOL_MEMORY || error.status == PROCPOOL_ARGUMENT || error.status == PROCPOOL_SYSTEM);
      continue;
    }
    CHECK_WORKS(pool);
    test_close(pool);
  }
}

static int initializer_takes_all_descriptors(const void *argument, size_t size) {
  struct rlimit limit = {3, 3};
  (void)argument;
  (void)size;
  return setrlimit(RLIMIT_NOFILE, &limit);
}

/* A worker that may open nothing, as in a sandbox, still runs what the host asks for. */
TEST_STARTS(r003_worker_that_can_open_nothing, FORK) {
  procpool_options options = {0};
  procpool *pool;
  options.initializer = initializer_takes_all_descriptors;
  pool = test_open_with(start, 1, &options);
  for (int i = 0; i < 20; i++)
    CHECK_WORKS(pool);
  test_close(pool);
}
