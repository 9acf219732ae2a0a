/* spawn_limits.c - T05: processes and threads that cannot be had. Every call that makes one fails, one after the other, while
 * the pool opens and while it replaces its dead; a limit on the user's processes; initializers that crash. An open
 * fails clean or the pool runs; a pool that runs degrades, says SPAWN_FAIL when no worker is left, does not fork like
 * mad, and is whole again when the limit is lifted. */
#include "faults.h"

enum { WORKERS = 3, MANY_J = 64 };

static const int errors[] = {EAGAIN, ENOMEM};

static procpool *try_open(procpool_start start, int workers, procpool_options *options, procpool_error *error) {
  memset(error, 0, sizeof(*error));
  options->error = error;
  options->start = start;
  options->max_workers = workers;
  return procpool_open(options);
}

static void close_drained(procpool *pool) {
  CHECK_OK(procpool_shutdown(pool, PROCPOOL_DRAIN, PROCPOOL_FOREVER));
  rig_check_stats(pool);
  CHECK_OK(procpool_free(pool));
}

static void task_end_worker(procpool_task *task) {
  (void)rig_task_begin(task);
  raise(SIGKILL);
}

static void submit_deadly(procpool *pool, rig_job *job, procpool_future **future, uint32_t allowed) {
  *job = rig_job_of(0);
  rig_entry_of(job)->flags = RIG_CRASHES;
  rig_entry_of(job)->allowed = allowed | RIG_ALLOW(CRASHED);
  CHECK_OK(audit_submit(pool, task_end_worker, job, future));
}

static void kill_one(procpool *pool) {
  rig_job job;
  procpool_future *future;
  submit_deadly(pool, &job, &future, 0);
  audit_finish(&job, future);
}

/* ---- opening: the j-th call fails ---- */

/* Whether the call was reached. */
static bool open_once(int j, int error, uint32_t kinds) {
  procpool_options options = {0};
  procpool_error why;
  procpool *pool;
  options.max_memory =
      (size_t)64 << 20; /* in a program that is started anew there is room for so little, nearly always */
  fault_arm(kinds, FAULT_ANYWHERE, j, j, error);
  pool = try_open(rig.start, WORKERS, &options, &why);
  fault_disarm();
  if (fault_fired() == 0) {
    CHECK(pool != NULL);
    audit_batch(pool, 20, 100, RIG_ALLOW(OK));
    close_drained(pool);
    return false;
  }
  CHECK(pool == NULL); /* all of the workers or none */
  CHECK_STATUS(why.status, PROCPOOL_SPAWN_FAIL);
  CHECK_EQ(why.system_error, error);
  return true;
}

static void open_sweep(void) {
  const uint32_t kinds = FAULT(FORK) | FAULT(CLONE) | FAULT(POSIX_SPAWN) | FAULT(PTHREAD_CREATE);
  const int expected = rig.start == PROCPOOL_START_THREAD ? WORKERS : WORKERS + 2;
  for (int e = 0; e < 2; e++) {
    const audit_counts before = audit_take();
    int j = 1;
    while (open_once(j, errors[e], kinds)) {
      audit_check(&before, "open", j++);
      CHECK_LT(j, MANY_J);
    }
    audit_check(&before, "open", j);
    CHECK_EQ(j, expected + 1); /* supervisor (two steps) and workers, each once */
    open_once(MANY_J, errors[e], kinds);
  }
}

/* ---- running: replacements fail ---- */

static bool replace_once(procpool *pool, int j, int last) {
  fault_arm(FAULT(FORK), FAULT_ELSEWHERE, j, last, EAGAIN);
  for (int i = 0; i < WORKERS; i++)
    kill_one(pool);
  audit_batch(pool, 30, 64, RIG_ALLOW(OK) | RIG_ALLOW(SPAWN_FAIL));
  CHECK_EQ(audit_outcomes[PROCPOOL_OK] + audit_outcomes[PROCPOOL_SPAWN_FAIL], 30);
  AUDIT_UNTIL(15, audit_alive(pool) == WORKERS);
  fault_disarm();
  audit_batch(pool, 30, 64, RIG_ALLOW(OK));
  return fault_fired() > 0;
}

static void replace_sweep(void) {
  const audit_counts before = audit_take();
  procpool *pool = test_open(rig.start, WORKERS);
  for (int width = 0; width < 3; width++)
    for (int j = 1; replace_once(pool, j, j + width); j++)
      CHECK_LT(j, MANY_J);
  close_drained(pool);
  audit_check(&before, "replace", 0);
}

/* Attempts that one worker's back-off (1, 8, 64, 512 ms, then a second each) allows in so many seconds. */
static int attempts_allowed(double seconds) {
  return WORKERS * (6 + (int)seconds);
}

/* Until none is left; all queued then say SPAWN_FAIL. */
static void starve(procpool *pool, double begin, int forks) {
  rig_job jobs[40];
  procpool_future *futures[40];
  procpool_error error;
  const uint32_t allowed = RIG_ALLOW(OK) | RIG_ALLOW(SPAWN_FAIL);
  for (int i = 0; i < 40; i++)
    if (i % 4 == 0) {
      submit_deadly(pool, &jobs[i], &futures[i], allowed);
    } else {
      jobs[i] = rig_job_of(10);
      rig_entry_of(&jobs[i])->allowed = allowed;
      CHECK_OK(audit_submit(pool, rig_task, &jobs[i], &futures[i]));
    }
  memset(audit_outcomes, 0, sizeof(audit_outcomes));
  for (int i = 0; i < 40; i++) {
    if (procpool_future_wait(futures[i], 10 * test_slow()) == PROCPOOL_PENDING)
      rig_fail("a task without any worker did not settle");
    error = test_error(futures[i]);
    if (error.status == PROCPOOL_SPAWN_FAIL)
      CHECK_EQ(error.system_error, EAGAIN);
    audit_finish(&jobs[i], futures[i]);
  }
  CHECK_EQ(audit_outcomes[PROCPOOL_CRASHED], 1); /* of the one that was left */
  CHECK_GT(audit_outcomes[PROCPOOL_SPAWN_FAIL], 20);
  CHECK_EQ(audit_alive(pool), 0);
  CHECK_LE(fault_counted(FAULT_FORK) - forks, attempts_allowed(test_now() - begin));
}

static void degrade_and_recover(void) {
  const audit_counts before = audit_take();
  procpool *pool = test_open(rig.start, WORKERS);
  const double begin = test_now();
  int forks = fault_counted(FAULT_FORK);
  audit_batch(pool, 20, 64, RIG_ALLOW(OK));
  fault_arm(FAULT(FORK), FAULT_ELSEWHERE, 1, INT_MAX, EAGAIN);
  for (int i = 0; i < WORKERS - 1; i++) {
    kill_one(pool);
    audit_batch(pool, 40, 64, RIG_ALLOW(OK)); /* with those that are left */
  }
  CHECK_EQ(audit_alive(pool), 1);
  starve(pool, begin, forks);
  for (int i = 0; i < 3; i++) { /* it goes on accepting, and goes on saying so, at once */
    const double now = test_now();
    audit_batch(pool, 10, 8, RIG_ALLOW(SPAWN_FAIL));
    CHECK_SECONDS(test_now() - now, <=, 5.0 * test_slow());
  }
  forks = fault_counted(FAULT_FORK);
  AUDIT_UNTIL(10, fault_counted(FAULT_FORK) >= forks + WORKERS); /* it tries on */
  CHECK_LE(fault_counted(FAULT_FORK) - forks, 2 * WORKERS);
  fault_disarm();
  AUDIT_UNTIL(15, audit_alive(pool) == WORKERS);
  audit_batch(pool, 40, 64, RIG_ALLOW(OK));
  close_drained(pool);
  audit_check(&before, "recover", 0);
}

/* Shut down while no worker is left and none can be had. */
static void shutdown_starved(procpool_shutdown_mode mode) {
  const audit_counts before = audit_take();
  procpool *pool = test_open(rig.start, WORKERS);
  fault_arm(FAULT(FORK), FAULT_ELSEWHERE, 1, INT_MAX, ENOMEM);
  for (int i = 0; i < WORKERS; i++)
    kill_one(pool);
  CHECK_STATUS(procpool_shutdown(pool, mode, 10 * test_slow()), PROCPOOL_OK);
  fault_disarm();
  rig_check_stats(pool);
  CHECK_OK(procpool_free(pool));
  audit_check(&before, "shutdown without workers", (int)mode);
}

/* ---- initializers that crash ---- */

static int init_die(const void *argument, size_t size) {
  (void)argument;
  (void)size;
  abort();
}

static int init_first_lives(const void *argument, size_t size) {
  int *lives = &fault->own[0]; /* shared by all */
  (void)argument;
  (void)size;
  if (__atomic_fetch_add(lives, 1, __ATOMIC_SEQ_CST) > 0)
    abort();
  return 0;
}

/* One after the other: up to the number of failures that is given. */
static int init_fail_some(const void *argument, size_t size) {
  const int failures = *(const int *)argument;
  (void)size;
  return __atomic_fetch_add(&fault->own[1], 1, __ATOMIC_SEQ_CST) < failures ? 7 : 0;
}

static void init_storm(void) {
  const audit_counts before = audit_take();
  procpool_options options = {0};
  procpool *pool;
  rig_job job = rig_job_of(0);
  procpool_future *future = NULL;
  procpool_error error;
  options.initializer = init_die;
  pool = test_open_with(rig.start, WORKERS, &options);
  rig_entry_of(&job)->allowed = RIG_ALLOW(INIT_FAIL);
  if (audit_submit(pool, rig_task, &job, &future) == PROCPOOL_OK) {
    if (procpool_future_wait(future, 15 * test_slow()) == PROCPOOL_PENDING)
      rig_fail("an initializer that always crashes: the task did not settle");
    error = test_error(future);
    CHECK_EQ(error.signal, SIGABRT);
    audit_finish(&job, future);
  }
  AUDIT_UNTIL(15, (CHECK_POLL(procpool_poll(pool, 0)),
                   procpool_submit(pool, rig_task, NULL, 0, NULL, NULL) == PROCPOOL_INIT_FAIL));
  CHECK_LE(test_stats(pool).workers_started, 6 * WORKERS); /* three of each, and what the slowest index allows */
  CHECK_STATUS(procpool_shutdown(pool, PROCPOOL_DRAIN, 10 * test_slow()), PROCPOOL_OK);
  CHECK_OK(procpool_free(pool));
  audit_check(&before, "crashing initializer", 0);
}

/* One worker has its initializer behind it: the pool works with that one, and does not fork like mad for the others. */
static void init_storm_beside_one(void) {
  const audit_counts before = audit_take();
  procpool_options options = {0};
  double begin = test_now();
  procpool *pool;
  options.initializer = init_first_lives;
  fault->own[0] = 0;
  pool = test_open_with(rig.start, WORKERS, &options);
  AUDIT_UNTIL(10, test_stats(pool).workers_started >= 2 * WORKERS);
  audit_batch(pool, 50, 64, RIG_ALLOW(OK));
  AUDIT_UNTIL(10, test_now() > begin + 1.5); /* long enough for a storm */
  CHECK_LE(test_stats(pool).workers_started, (uint64_t)attempts_allowed(test_now() - begin));
  audit_batch(pool, 50, 64, RIG_ALLOW(OK));
  close_drained(pool);
  fault->own[0] = 0;
  audit_check(&before, "all initializers but one crash", 0);
}

static void init_recovers(void) {
  const audit_counts before = audit_take();
  for (int failures = 1; failures <= 2 * WORKERS; failures++) { /* three of each are the end of a pool */
    procpool_options options = {0};
    procpool *pool;
    options.initializer = init_fail_some;
    options.initializer_argument = &failures;
    options.initializer_size = sizeof(failures);
    fault->own[1] = 0;
    pool = test_open_with(rig.start, WORKERS, &options);
    audit_batch(pool, 20, 64, RIG_ALLOW(OK));
    AUDIT_UNTIL(10, audit_alive(pool) == WORKERS && fault->own[1] >= failures + WORKERS);
    close_drained(pool);
    audit_check(&before, "initializer that fails at first", failures);
  }
  fault->own[1] = 0;
}

/* ---- the kernel's own limits ---- */

static void set_processes(pid_t pid, rlim_t most) {
  struct rlimit limit;
  CHECK_EQ(prlimit(pid, RLIMIT_NPROC, NULL, &limit), 0);
  limit.rlim_cur = most < limit.rlim_max ? most : limit.rlim_max;
  CHECK_EQ(prlimit(pid, RLIMIT_NPROC, &limit, NULL), 0);
}

static pid_t parent_of(pid_t pid) {
  char path[64];
  FILE *file;
  int parent = 0;
  snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
  file = fopen(path, "r");
  CHECK(file != NULL);
  CHECK_EQ(fscanf(file, "%*d %*s %*c %d", &parent), 1);
  fclose(file);
  return (pid_t)parent;
}

static pid_t some_worker(procpool *pool) {
  rig_job job = rig_job_of(0);
  procpool_future *future;
  CHECK_OK(audit_submit(pool, rig_task, &job, &future));
  audit_finish(&job, future);
  return (pid_t)rig_entry_of(&job)->pid;
}

/* A user who has no other process; the limit does not hold for root. */
static void become_lonely(void) {
  const uid_t lonely = 200000 + (uid_t)getpid();
  if (getuid() == 0) {
    CHECK_EQ(setresgid(lonely, lonely, lonely), 0);
    CHECK_EQ(setresuid(lonely, lonely, lonely), 0);
    CHECK_EQ(prctl(PR_SET_DUMPABLE, 1), 0); /* /proc/self stays ours */
    CHECK_EQ(prctl(PR_SET_PDEATHSIG, SIGKILL), 0);
  }
}

static void kernel_limit_open(void) {
  const audit_counts before = audit_take();
  int refused = 0, opened = 0;
  for (rlim_t most = 1; most <= WORKERS + 4; most++) {
    procpool_options options = {0};
    procpool_error error;
    procpool *pool;
    set_processes(0, most);
    pool = try_open(rig.start, WORKERS, &options, &error);
    if (pool == NULL) {
      CHECK_STATUS(error.status, PROCPOOL_SPAWN_FAIL);
      CHECK_EQ(error.system_error, EAGAIN);
      refused++;
    } else {
      audit_batch(pool, 20, 64, RIG_ALLOW(OK));
      close_drained(pool);
      opened++;
    }
    set_processes(0, RLIM_INFINITY);
    audit_check(&before, "RLIMIT_NPROC at open", (int)most);
  }
  CHECK_GT(refused, 0);
  CHECK_GT(opened, 0);
}

static void kernel_limit_running(void) {
  const audit_counts before = audit_take();
  procpool *pool = test_open(rig.start, WORKERS);
  const pid_t supervisor = parent_of(some_worker(pool));
  rig_job job;
  procpool_future *future;
  set_processes(supervisor, 1);
  for (int i = 0; i < WORKERS - 1; i++)
    kill_one(pool);
  audit_batch(pool, 40, 64, RIG_ALLOW(OK));
  submit_deadly(pool, &job, &future, 0);
  audit_batch(pool, 40, 64, RIG_ALLOW(OK) | RIG_ALLOW(SPAWN_FAIL));
  CHECK_GT(audit_outcomes[PROCPOOL_SPAWN_FAIL], 0);
  audit_finish(&job, future);
  set_processes(supervisor, RLIM_INFINITY);
  AUDIT_UNTIL(15, audit_alive(pool) == WORKERS);
  audit_batch(pool, 40, 64, RIG_ALLOW(OK));
  close_drained(pool);
  audit_check(&before, "RLIMIT_NPROC of a running pool", 0);
}

static void host_lonely(void) {
  audit_zombies = true;
  become_lonely();
  kernel_limit_open();
  kernel_limit_running();
}

/* ---- a cgroup's limit on processes ---- */

static char cgroup[256];
static const char *const cgroup_parent = "/sys/fs/cgroup/pids";

static bool cgroup_write(const char *directory, const char *name, long value) {
  char path[256];
  FILE *file;
  bool written;
  snprintf(path, sizeof(path), "%s/%s", directory, name);
  file = fopen(path, "we");
  if (file == NULL)
    return false;
  written = fprintf(file, "%ld", value) > 0;
  return fclose(file) == 0 && written;
}

/* Groups that a failed run has left; those in use stay. */
static void cgroup_sweep(void) {
  DIR *directory = opendir(cgroup_parent);
  struct dirent *entry;
  char path[512];
  while (directory != NULL && (entry = readdir(directory)) != NULL) {
    snprintf(path, sizeof(path), "%s/%s", cgroup_parent, entry->d_name);
    if (strncmp(entry->d_name, "procpool-torture-", 17) == 0)
      (void)rmdir(path);
  }
  if (directory != NULL)
    closedir(directory);
}

/* A group of one's own at the top of the pids controller: only where this process is in no other group of it. */
static const char *cgroup_make(void) {
  char line[512];
  FILE *file = fopen("/proc/self/cgroup", "re");
  bool at_top = false;
  while (file != NULL && fgets(line, sizeof(line), file) != NULL)
    at_top = at_top || strstr(line, ":pids:/\n") != NULL;
  if (file != NULL)
    fclose(file);
  if (!at_top)
    return "this process is not at the top of a pids controller";
  cgroup_sweep();
  snprintf(cgroup, sizeof(cgroup), "%s/procpool-torture-%d", cgroup_parent, (int)getpid());
  return mkdir(cgroup, 0700) == 0 ? NULL : "no cgroup can be made";
}

static void host_cgroup(void) {
  audit_zombies = true;
  CHECK(cgroup_write(cgroup, "cgroup.procs", (long)getpid()));
  for (long most = 1; most <= WORKERS + 3; most++) {
    const audit_counts before = audit_take();
    procpool_options options = {0};
    procpool_error error;
    procpool *pool;
    CHECK(cgroup_write(cgroup, "pids.max", most));
    pool = try_open(rig.start, WORKERS, &options, &error);
    if (most != WORKERS + 2) /* just enough, once the go-between is reaped */
      CHECK_EQ(pool != NULL, most > WORKERS + 2);
    if (pool == NULL) {
      CHECK_STATUS(error.status, PROCPOOL_SPAWN_FAIL);
      CHECK_EQ(error.system_error, EAGAIN);
    } else {
      CHECK(cgroup_write(cgroup, "pids.max", 1));
      kill_one(pool);
      audit_batch(pool, 20, 64, RIG_ALLOW(OK));
      CHECK(cgroup_write(cgroup, "pids.max", 1000));
      AUDIT_UNTIL(15, audit_alive(pool) == WORKERS);
      close_drained(pool);
    }
    audit_check(&before, "pids.max", (int)most);
  }
  CHECK(cgroup_write(cgroup_parent, "cgroup.procs", (long)getpid()));
}

/* ---- rounds ---- */

static void host(void) {
  open_sweep();
  if (rig.start > PROCPOOL_START_SPAWN)
    return;
  replace_sweep();
  degrade_and_recover();
  for (int mode = PROCPOOL_DRAIN; mode <= PROCPOOL_KILL; mode++)
    shutdown_starved((procpool_shutdown_mode)mode);
  init_storm();
  init_storm_beside_one();
  init_recovers();
}

int main(int argc, char **argv) {
  const char *why;
  procpool_worker_main();
  rig_begin(argc, argv, FORK | SPAWN | THREAD, 3.0);
  while (rig_more()) {
    rig_round(host, NULL, RIG_NORMAL);
    if (rig.round > 1 || rig.start == PROCPOOL_START_THREAD)
      continue;
    if (rig.start == PROCPOOL_START_FORK || getuid() != 0)
      rig_round(host_lonely, audit_reap, RIG_NORMAL);
    else
      printf("skip RLIMIT_NPROC with spawn: another user cannot execute this program\n");
    why = cgroup_make();
    if (why == NULL) {
      rig_round(host_cgroup, audit_reap, RIG_NORMAL);
      CHECK_EQ(rmdir(cgroup), 0);
    } else {
      printf("skip pids.max: %s\n", why);
    }
  }
  return rig_end();
}
