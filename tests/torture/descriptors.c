/* descriptors.c - T06: no descriptor to be had. Every call that makes one fails, one after the other, and so does every limit
 * on their number; the table is filled while a pool works; standard descriptors are closed. Errors are returned, nothing
 * leaks, workers go on, no process spins, and the pool never closes or writes what it did not make: canaries stand between
 * its descriptors, and each of its closes and writes in the host is checked. */
#include "faults.h"

#include <sys/ioctl.h>

enum { WORKERS = 2, MANY_J = 64, CANARIES = 6 };

static const uint32_t kinds =
    FAULT(PIPE) | FAULT(CHANNEL) | FAULT(EVENT) | FAULT(MEMFD) | FAULT(PIDFD) | FAULT(DUP) | FAULT(OPEN);

/* ---- canaries: descriptors of the host's own ---- */

typedef struct canary {
  int file, pipe[2];
  struct stat is[3];
} canary;

static void canary_make(canary *c) {
  c->file = memfd_create("canary", MFD_CLOEXEC);
  CHECK_GE(c->file, 0);
  CHECK_EQ(write(c->file, "0123456789", 10), 10);
  CHECK_EQ(lseek(c->file, 3, SEEK_SET), 3);
  CHECK_EQ(pipe2(c->pipe, O_CLOEXEC), 0);
  CHECK_EQ(write(c->pipe[1], "canary", 6), 6);
  CHECK_EQ(fstat(c->file, &c->is[0]), 0);
  CHECK_EQ(fstat(c->pipe[0], &c->is[1]), 0);
  CHECK_EQ(fstat(c->pipe[1], &c->is[2]), 0);
}

static void canary_same(int fd, const struct stat *before) {
  struct stat now;
  CHECK_EQ(fstat(fd, &now), 0);
  CHECK_EQ(now.st_ino, before->st_ino);
  CHECK_EQ(now.st_size, before->st_size);
  CHECK_EQ(fcntl(fd, F_GETFD), FD_CLOEXEC);
}

static void canary_check(const canary *c) {
  char text[16];
  int waiting = 0;
  canary_same(c->file, &c->is[0]);
  canary_same(c->pipe[0], &c->is[1]);
  canary_same(c->pipe[1], &c->is[2]);
  CHECK_EQ(lseek(c->file, 0, SEEK_CUR), 3);
  CHECK_EQ(pread(c->file, text, sizeof(text), 0), 10);
  CHECK_BYTES(text, "0123456789", 10);
  CHECK_EQ(ioctl(c->pipe[0], FIONREAD, &waiting), 0);
  CHECK_EQ(waiting, 6);
}

static void canary_end(canary *c) {
  char text[16];
  canary_check(c);
  CHECK_EQ(read(c->pipe[0], text, sizeof(text)), 6);
  CHECK_BYTES(text, "canary", 6);
  close(c->file);
  close(c->pipe[0]);
  close(c->pipe[1]);
}

static void watch_begin(void) {
  memset(fault->own, 0, sizeof(fault->own));
  fault->foreign = 0;
  fault->host = (int)getpid();
  fault->watch = 1;
}

static void watch_check(const canary *canaries) {
  for (int i = 0; i < CANARIES; i++)
    canary_check(&canaries[i]);
  if (fault->foreign != 0)
    rig_fail("the pool closed or wrote %d times a descriptor that is not its own", fault->foreign);
}

/* ---- opening ---- */

static procpool *try_open(procpool_error *error) {
  procpool_options options = {0};
  memset(error, 0, sizeof(*error));
  options.error = error;
  options.start = rig.start;
  options.max_workers = WORKERS;
  return procpool_open(&options);
}

static bool is_shortage(const procpool_error *error) {
  return (error->status == PROCPOOL_SYSTEM || error->status == PROCPOOL_SPAWN_FAIL) &&
         (error->system_error == EMFILE || error->system_error == ENFILE);
}

static void work(procpool *pool) {
  audit_batch(pool, 10, 0, RIG_ALLOW(OK));
  audit_batch(pool, 4, 100000, RIG_ALLOW(OK));
}

static void work_and_close(procpool *pool) {
  work(pool);
  CHECK_GE(procpool_fd(pool), 0);
  audit_batch(pool, 10, 10, RIG_ALLOW(OK));
  CHECK_OK(procpool_shutdown(pool, PROCPOOL_DRAIN, PROCPOOL_FOREVER));
  rig_check_stats(pool);
  CHECK_OK(procpool_free(pool));
}

/* What is wanted but not needed: a pidfd of the host, its witness (a memfd: the first one is the segment's, and then no
 * pool opens), and files under /proc and /sys that are only read. */
static bool may_fail(int kind) {
  return kind == FAULT_PIDFD || kind == FAULT_OPEN || kind == FAULT_MEMFD;
}

static void open_sweep(const canary *canaries, int error) {
  const audit_counts before = audit_take();
  int j = 1, refused = 0;
  for (bool reached = true; reached; j++) {
    procpool_error why;
    procpool *pool;
    fault_arm(kinds, FAULT_ANYWHERE, j, j, error);
    pool = try_open(&why);
    reached = fault_fired() > 0;
    fault_disarm();
    if (pool == NULL) {
      if (!reached || !is_shortage(&why))
        rig_fail("open, call %d of kind %d: %s, errno %d (%s)", j, fault->hit, procpool_status_name(why.status),
                 why.system_error, why.message);
      refused++;
    } else {
      if (reached && !may_fail(fault->hit))
        rig_fail("open, call %d of kind %d failed, and the pool opened", j, fault->hit);
      work_and_close(pool);
    }
    audit_check(&before, "open", j);
    watch_check(canaries);
    CHECK_LT(j, MANY_J);
  }
  CHECK_GE(refused, rig.start <= PROCPOOL_START_SPAWN ? 4 : 2);
}

static void set_descriptors(rlim_t most) {
  struct rlimit limit;
  CHECK_EQ(getrlimit(RLIMIT_NOFILE, &limit), 0);
  limit.rlim_cur = most;
  CHECK_EQ(setrlimit(RLIMIT_NOFILE, &limit), 0);
}

static rlim_t get_descriptors(void) {
  struct rlimit limit;
  CHECK_EQ(getrlimit(RLIMIT_NOFILE, &limit), 0);
  return limit.rlim_cur;
}

static void limit_sweep(const canary *canaries) {
  const audit_counts before = audit_take();
  const rlim_t usual = get_descriptors();
  int opened = 0, refused = 0;
  for (rlim_t most = 3; opened < 3; most++) {
    procpool_error why;
    procpool *pool;
    set_descriptors(most);
    pool = try_open(&why);
    if (pool == NULL && !is_shortage(&why))
      rig_fail("RLIMIT_NOFILE %d: %s, errno %d (%s)", (int)most, procpool_status_name(why.status), why.system_error,
               why.message);
    if (pool != NULL)
      audit_batch(pool, 10, 100, RIG_ALLOW(OK)); /* no more descriptors than it has */
    set_descriptors(usual);
    if (pool != NULL)
      work_and_close(pool);
    opened += pool != NULL;
    refused += pool == NULL;
    audit_check(&before, "RLIMIT_NOFILE", (int)most);
    watch_check(canaries);
    CHECK_LT(most, 200);
  }
  CHECK_GT(refused, 3);
}

/* ---- a full table while a pool works ---- */

static void task_end_worker(procpool_task *task) {
  (void)rig_task_begin(task);
  raise(SIGKILL);
}

/* Never submitted while there are descriptors: a spawn pool must find out where it lies. */
static void task_unseen(procpool_task *task) {
  rig_task(task);
}

static void crash_one(procpool *pool) {
  rig_job job = rig_job_of(0);
  procpool_future *future;
  rig_entry_of(&job)->flags = RIG_CRASHES;
  rig_entry_of(&job)->allowed = RIG_ALLOW(CRASHED);
  CHECK_OK(audit_submit(pool, task_end_worker, &job, &future));
  audit_finish(&job, future);
}

static void map_some(procpool *pool) {
  int in[100], out[100];
  for (int i = 0; i < 100; i++)
    in[i] = i;
  CHECK_OK(procpool_map(pool, task_twice, in, sizeof(int), out, sizeof(int), 100, NULL));
  for (int i = 0; i < 100; i++)
    CHECK_EQ(out[i], 2 * i);
}

/* A function that was not met before: it runs, or the refusal says that descriptors are short. */
static void submit_unseen(procpool *pool) {
  rig_job job = rig_job_of(0);
  procpool_future *future = NULL;
  const procpool_status status = audit_submit(pool, task_unseen, &job, &future);
  if (status == PROCPOOL_OK) {
    audit_finish(&job, future);
    return;
  }
  CHECK_STATUS(status, PROCPOOL_SYSTEM);
}

static double idle_seconds(const pid_t *pids, int count) {
  double sum = 0;
  for (int i = 0; i < count; i++) {
    char path[64];
    unsigned long user = 0, system = 0;
    FILE *file;
    snprintf(path, sizeof(path), "/proc/%d/stat", (int)pids[i]);
    file = fopen(path, "r");
    CHECK(file != NULL);
    CHECK_EQ(fscanf(file, "%*d (%*[^)]) %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user, &system), 2);
    fclose(file);
    sum += (double)(user + system) / (double)sysconf(_SC_CLK_TCK);
  }
  return sum;
}

/* A table that is full but for so many. */
typedef struct table {
  int fds[300], count;
} table;

static void table_fill(table *t, int free_ones) {
  while (t->count < 300 && (t->fds[t->count] = fcntl(0, F_DUPFD_CLOEXEC, 0)) >= 0)
    t->count++;
  CHECK_LT(t->count, 300);
  CHECK_EQ(errno, EMFILE);
  while (free_ones-- > 0)
    close(t->fds[--t->count]);
}

/* No loop that gets EBADF or EMFILE over and over: processor time of all while nothing is to be done. */
static void check_idle(table *t, int free_ones) {
  pid_t pids[16];
  double used, until;
  int others;
  table_fill(t, 2);                                                  /* to read /proc */
  AUDIT_UNTIL(10, (others = audit_others(pids, 16)) == WORKERS + 1); /* a worker is counted just before it is there */
  used = idle_seconds(pids, others);
  table_fill(t, 0);
  for (until = test_now() + 0.5; test_now() < until;) /* the time that is measured */
    audit_nap();
  table_fill(t, 2);
  used = idle_seconds(pids, others) - used;
  table_fill(t, free_ones);
  if (used > 0.15)
    rig_fail("supervisor and workers used %g s of 0.5 s while idle", used);
}

static void full_table(const canary *canaries) {
  const audit_counts before = audit_take();
  const rlim_t usual = get_descriptors();
  /* a spawn pool may have to look where a function lies, which takes one */
  const int free_ones = rig.start == PROCPOOL_START_SPAWN;
  procpool *pool = test_open(rig.start, WORKERS);
  table t;
  t.count = 0;
  work(pool);
  map_some(pool);
  CHECK_GE(procpool_fd(pool), 0); /* it takes two at its first call */
  set_descriptors(256);
  table_fill(&t, 0);
  submit_unseen(pool);
  table_fill(&t, free_ones);
  work(pool);
  map_some(pool);
  CHECK_GE(procpool_fd(pool), 0);
  CHECK_POLL(procpool_poll(pool, 0));
  if (rig.start <= PROCPOOL_START_SPAWN) {
    for (int i = 0; i < 2 * WORKERS; i++)
      crash_one(pool);
    AUDIT_UNTIL(10, audit_alive(pool) == WORKERS);
    check_idle(&t, free_ones);
  }
  work(pool);
  CHECK_OK(procpool_shutdown(pool, PROCPOOL_DRAIN, PROCPOOL_FOREVER));
  rig_check_stats(pool);
  CHECK_OK(procpool_free(pool));
  while (t.count > 0)
    close(t.fds[--t.count]);
  set_descriptors(usual);
  audit_check(&before, "full table", 0);
  watch_check(canaries);
}

/* A task fills its worker's table: the next ones run there as well. */
static void task_fill(procpool_task *task) {
  const rig_job *job = rig_task_begin(task);
  struct rlimit limit;
  if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur > 512) {
    limit.rlim_cur = 512;
    setrlimit(RLIMIT_NOFILE, &limit);
  }
  while (dup(0) >= 0)
    ;
  rig_task_end(task, job, job->size);
}

static void full_worker(const canary *canaries) {
  const audit_counts before = audit_take();
  procpool *pool = test_open(rig.start, 1);
  for (int i = 0; i < 3; i++) {
    rig_job job = rig_job_of(100000);
    procpool_future *future;
    rig_entry_of(&job)->allowed = RIG_ALLOW(OK);
    CHECK_OK(audit_submit(pool, task_fill, &job, &future));
    audit_finish(&job, future);
    work(pool);
    submit_unseen(pool);
    map_some(pool);
  }
  CHECK_OK(procpool_shutdown(pool, PROCPOOL_DRAIN, PROCPOOL_FOREVER));
  CHECK_OK(procpool_free(pool));
  audit_check(&before, "full worker", 0);
  watch_check(canaries);
}

/* ---- standard descriptors closed ---- */

/* Which of 0, 1, 2 are open here. */
static int standard(void) {
  int open_ones = 0;
  for (int fd = 0; fd < 3; fd++)
    open_ones |= (fcntl(fd, F_GETFD) >= 0) << fd;
  return open_ones;
}

static void task_standard(procpool_task *task) {
  const int open_ones = standard();
  procpool_task_return(task, &open_ones, sizeof(open_ones));
}

static void without_standard(const canary *canaries, int closed) {
  int saved[3], in_worker = -1, refused = 0;
  audit_counts before;
  procpool_future *future;
  procpool *pool;
  fflush(stdout);
  for (int fd = 0; fd < 3; fd++)
    saved[fd] = fcntl(fd, F_DUPFD_CLOEXEC, 100);
  before = audit_take();
  for (int fd = 0; fd < 3; fd++)
    if (closed >> fd & 1)
      close(fd);
  pool = test_open(rig.start, WORKERS);
  work(pool);
  CHECK_GE(procpool_fd(pool), 3);
  CHECK_EQ(standard(), 7 & ~closed);
  CHECK_OK(procpool_submit(pool, task_standard, NULL, 0, NULL, &future));
  CHECK_OK(procpool_future_result(future, PROCPOOL_FOREVER, &in_worker, sizeof(in_worker), NULL));
  CHECK_EQ(in_worker, 7 & ~closed);
  CHECK_OK(procpool_future_release(future));
  if (rig.start <= PROCPOOL_START_SPAWN)
    crash_one(pool);
  work(pool);
  CHECK_OK(procpool_shutdown(pool, PROCPOOL_DRAIN, PROCPOOL_FOREVER));
  CHECK_OK(procpool_free(pool));
  for (int j = 1;; j++) { /* and the calls that lift descriptors above them fail */
    procpool_error why;
    fault_arm(kinds & ~(FAULT(OPEN) | FAULT(PIDFD)), FAULT_IN_HOST, j, j, EMFILE);
    pool = try_open(&why);
    fault_disarm();
    if (pool == NULL)
      CHECK(fault_fired() > 0 && is_shortage(&why));
    else if (fault_fired() > 0) /* pidfd and witness, which are not needed: all else is */
      CHECK(fault->hit == FAULT_DUP || fault->hit == FAULT_MEMFD);
    if (pool != NULL)
      work(pool);
    refused += pool == NULL;
    CHECK_OK(procpool_free(pool));
    CHECK_EQ(standard(), 7 & ~closed);
    if (fault_fired() == 0)
      break;
  }
  CHECK_GE(refused, rig.start <= PROCPOOL_START_SPAWN ? 5 : 2);
  for (int fd = 0; fd < 3; fd++)
    CHECK_EQ(dup2(saved[fd], fd), fd);
  audit_check(&before, "standard descriptors closed", closed);
  for (int fd = 0; fd < 3; fd++)
    close(saved[fd]);
  watch_check(canaries);
}

static void host(void) {
  canary canaries[CANARIES];
  canary_make(&canaries[0]);
  canary_end(&canaries[0]);
  canary_make(&canaries[0]);
  for (int i = 1; i < CANARIES; i++) {
    const int gap = dup(canaries[0].file);
    canary_make(&canaries[i]);
    close(gap);
  }
  watch_begin();
  open_sweep(canaries, EMFILE);
  open_sweep(canaries, ENFILE);
  limit_sweep(canaries);
  full_table(canaries);
  if (rig.start <= PROCPOOL_START_SPAWN)
    full_worker(canaries);
  for (int closed = 1; closed < 8; closed++)
    without_standard(canaries, closed);
  fault->watch = 0;
  for (int i = 0; i < CANARIES; i++)
    canary_end(&canaries[i]);
}

int main(int argc, char **argv) {
  procpool_worker_main();
  rig_begin(argc, argv, EVERY, 3.0);
  while (rig_more())
    rig_round(host, NULL, RIG_NORMAL);
  return rig_end();
}
