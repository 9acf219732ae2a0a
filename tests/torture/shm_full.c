/* shm_full.c - T07: no shared memory to be had. Small pools, limits on file size, every call that makes or reserves shared
 * memory fails, one after the other; workers that try to shrink the segment. An open or the submit that needs the
 * memory fails with an error code; no process gets SIGBUS or SIGXFSZ; submits work again once there is room. */
#include "faults.h"

#include <linux/falloc.h>

enum { WORKERS = 2, MANY_J = 400, EXTENT = 1 << 20 };

static unsigned char *bytes; /* a job, and much behind it */
enum { MOST = 8 << 20 };

static procpool_status submit_sized(procpool *pool, size_t size, rig_job *job, procpool_future **future,
                                    double timeout) {
  procpool_status status;
  *job = rig_job_of(50);
  rig_entry_of(job)->allowed = RIG_ALLOW(OK);
  memcpy(bytes, job, sizeof(*job));
  status = submit_timed(pool, timeout, fault_task, bytes, size, future);
  if (status == PROCPOOL_OK)
    rig_accepted(job, *future);
  return status;
}

static void run_sized(procpool *pool, size_t size) {
  rig_job job;
  procpool_future *future;
  CHECK_OK(submit_sized(pool, size, &job, &future, PROCPOOL_FOREVER));
  audit_finish(&job, future);
}

static procpool *try_open(procpool_options *options, procpool_error *error) {
  memset(error, 0, sizeof(*error));
  options->error = error;
  options->start = rig.start;
  options->max_workers = WORKERS;
  return procpool_open(options);
}

static bool is_shortage(const procpool_error *error) {
  return (error->status == PROCPOOL_MEMORY || error->status == PROCPOOL_SYSTEM ||
          error->status == PROCPOOL_SPAWN_FAIL) &&
         error->system_error != 0;
}

static void close_pool(procpool *pool) {
  CHECK_OK(procpool_shutdown(pool, PROCPOOL_DRAIN, PROCPOOL_FOREVER));
  rig_check_stats(pool);
  CHECK_OK(procpool_free(pool));
}

/* ---- a pool whose arena is small ---- */

static void task_wait_for_word(procpool_task *task) {
  const rig_job *job = rig_task_begin(task);
  gate_wait(&rig.page->word[job->number], 1);
  rig_task_end(task, job, job->size);
}

static void small_pool(void) {
  const audit_counts before = audit_take();
  procpool_options options = {0};
  procpool *pool;
  rig_job jobs[3], refused;
  procpool_future *futures[3], *none;
  options.max_memory = 2 * EXTENT;
  pool = test_open_with(rig.start, 1, &options);
  rig.page->word[1] = 0;
  CHECK_STATUS(submit_sized(pool, 3 * EXTENT, &refused, &none, PROCPOOL_FOREVER), PROCPOOL_MEMORY);
  CHECK(none == NULL);
  if (rig.start != PROCPOOL_START_INLINE) {
    jobs[0] = rig_job_of(10); /* the only worker is held */
    jobs[0].number = 1;
    CHECK_OK(audit_submit(pool, task_wait_for_word, &jobs[0], &futures[0]));
    for (int i = 1; i < 3; i++) /* more than half of it each, or all */
      CHECK_OK(submit_sized(pool, EXTENT, &jobs[i], &futures[i], PROCPOOL_FOREVER));
    CHECK_STATUS(submit_sized(pool, EXTENT, &refused, &none, 0), PROCPOOL_FULL);
    CHECK_STATUS(submit_sized(pool, EXTENT, &refused, &none, 0.01), PROCPOOL_FULL);
    audit_batch(pool, 0, 10, RIG_ALLOW(OK));
    gate_add(&rig.page->word[1], 1);
    for (int i = 0; i < 3; i++)
      audit_finish(&jobs[i], futures[i]);
  }
  for (int i = 0; i < 10; i++) { /* each waits for the room of the one before */
    run_sized(pool, EXTENT);
    run_sized(pool, 100);
    run_sized(pool, 2 * EXTENT); /* all of it in one piece, after it was in many */
  }
  for (int i = 0; i < 2; i++) {
    CHECK_STATUS(submit_sized(pool, 2 * EXTENT + 1, &refused, &none, PROCPOOL_FOREVER), PROCPOOL_MEMORY);
    audit_batch(pool, 30, 100, RIG_ALLOW(OK));
  }
  close_pool(pool);
  audit_check(&before, "small arena", 0);
}

/* ---- RLIMIT_FSIZE: exceeding it raises SIGXFSZ, which ends a process ---- */

static void set_file_size(rlim_t most) {
  struct rlimit limit;
  CHECK_EQ(getrlimit(RLIMIT_FSIZE, &limit), 0);
  limit.rlim_cur = most;
  CHECK_EQ(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

static uint64_t segment_size(void) {
  procpool_options options = {0};
  procpool *pool;
  uint64_t size;
  options.max_memory = 4 * EXTENT;
  options.ring_size = 4096;
  pool = test_open_with(rig.start, WORKERS, &options);
  size = pool->segment.arena_at;
  close_pool(pool);
  return size;
}

static void file_size_at(rlim_t most, int *opened, int *refused) {
  const audit_counts before = audit_take();
  procpool_options options = {0};
  procpool_error error;
  procpool *pool;
  rig_job job;
  procpool_future *future;
  options.max_memory = 4 * EXTENT;
  options.ring_size = 4096;
  set_file_size(most);
  pool = try_open(&options, &error);
  if (pool == NULL) {
    CHECK(is_shortage(&error));
    ++*refused;
  } else {
    procpool_status status;
    ++*opened;
    audit_batch(pool, 20, 20, RIG_ALLOW(OK));
    audit_batch(pool, 2, 20000, RIG_ALLOW(OK)); /* results need no file */
    status = submit_sized(pool, 3 * EXTENT, &job, &future, PROCPOOL_FOREVER);
    if (status == PROCPOOL_OK)
      audit_finish(&job, future);
    else
      CHECK_STATUS(status, PROCPOOL_MEMORY);
    set_file_size(RLIM_INFINITY);
    run_sized(pool, 3 * EXTENT);
    set_file_size(most);
    run_sized(pool, 3 * EXTENT); /* it has that memory now */
    audit_batch(pool, 20, 20, RIG_ALLOW(OK));
    close_pool(pool);
  }
  set_file_size(RLIM_INFINITY);
  audit_check(&before, "RLIMIT_FSIZE", (int)(most >> 10));
}

static void file_size(void) {
  struct sigaction action;
  const rlim_t needed = (rlim_t)segment_size();
  int opened = 0, refused = 0;
  CHECK_EQ(sigaction(SIGXFSZ, NULL, &action), 0);
  CHECK(action.sa_handler == SIG_DFL);
  file_size_at(0, &opened, &refused);
  file_size_at(1, &opened, &refused);
  file_size_at(65536, &opened, &refused);
  file_size_at(needed - 1, &opened, &refused);
  CHECK_EQ(opened, 0);
  for (rlim_t more = 0; more <= 8 * EXTENT; more = more == 0 ? 4096 : 2 * more)
    file_size_at(needed + more, &opened, &refused);
  CHECK_GT(opened, 3);
}

/* ---- every call fails once ---- */

/* Refused for want of memory at most as often as calls fail; then it works. */
static void persist_sized(procpool *pool, size_t size, rig_job *job, procpool_future **future) {
  procpool_status status;
  for (int tries = 0; (status = submit_sized(pool, size, job, future, PROCPOOL_FOREVER)) == PROCPOOL_MEMORY; tries++)
    CHECK_LT(tries, 8);
  CHECK_OK(status);
}

static void some_map(procpool *pool) {
  static int in[60000], out[60000];
  procpool_status status = PROCPOOL_MEMORY;
  for (int i = 0; i < 60000; i++)
    in[i] = i;
  for (int tries = 0; status == PROCPOOL_MEMORY; tries++) {
    CHECK_LT(tries, 8);
    status = procpool_map(pool, task_twice, in, sizeof(int), out, sizeof(int), 60000, NULL);
  }
  CHECK_OK(status);
  for (int i = 0; i < 60000; i++)
    CHECK_EQ(out[i], 2 * i);
  rig_progress();
}

/* Arguments of all sizes, and more tasks at once than the table's first piece has slots for. */
static void script(procpool *pool) {
  enum { LARGE = 12, MANY = 1500 };
  static const size_t sizes[LARGE] = {64,         5000,  100000,     2 * EXTENT, 200,  EXTENT,
                                      3 * EXTENT, 70000, EXTENT + 1, 33,         4096, MOST};
  static rig_job jobs[LARGE];
  procpool_future *futures[LARGE];
  static procpool_future *many[MANY];
  const int count = rig.start == PROCPOOL_START_SPAWN ? MANY / 4 : MANY;
  for (int i = 0; i < LARGE; i++)
    persist_sized(pool, sizes[i], &jobs[i], &futures[i]);
  for (int i = 0; i < count; i++) {
    procpool_status status = PROCPOOL_MEMORY;
    for (int tries = 0; status == PROCPOOL_MEMORY; tries++) {
      CHECK_LT(tries, 8);
      status = procpool_submit(pool, task_nothing, NULL, 0, NULL, &many[i]);
    }
    CHECK_OK(status);
  }
  for (int i = 0; i < count; i++) {
    CHECK_SETTLES(many[i], PROCPOOL_OK);
    CHECK_OK(procpool_future_release(many[i]));
  }
  for (int i = 0; i < LARGE; i++)
    audit_finish(&jobs[i], futures[i]);
  some_map(pool);
}

static bool sweep_once(uint32_t kinds, int where, int j, int last, int error) {
  procpool_options options = {0};
  procpool_error why;
  procpool *pool;
  bool fired;
  fault_arm(kinds, where, j, last, error);
  pool = try_open(&options, &why);
  if (pool == NULL) {
    CHECK_GT(fault_fired(), 0);
    if (!is_shortage(&why))
      rig_fail("open, call %d: %s, errno %d (%s)", j, procpool_status_name(why.status), why.system_error, why.message);
    if (last == INT_MAX) {
      fault_disarm();
      return true;
    }
    while (pool == NULL)
      pool = try_open(&options, &why); /* the next ones work */
  }
  if (last != INT_MAX) {
    script(pool);
  } else {
    rig_job job;
    procpool_future *future;
    procpool_status status = submit_sized(pool, 2 * EXTENT, &job, &future, PROCPOOL_FOREVER);
    if (status == PROCPOOL_OK)
      audit_finish(&job, future);
    else
      CHECK_STATUS(status, PROCPOOL_MEMORY);
  }
  fired = fault_fired() > 0;
  fault_disarm();
  script(pool); /* there is room again */
  close_pool(pool);
  return fired;
}

static void sweep(uint32_t kinds, int width, int error) {
  const audit_counts before = audit_take();
  const int step = rig.duration >= 60 ? 1 : (rig.start == PROCPOOL_START_SPAWN ? 6 : 2);
  int j = 1;
  while (sweep_once(kinds, FAULT_IN_HOST, j, width == INT_MAX ? INT_MAX : j + width, error)) {
    audit_check(&before, "no shared memory", j);
    j += step;
    CHECK_LT(j, MANY_J);
  }
  audit_check(&before, "no shared memory", j);
  CHECK_GT(j, 4);
}

/* ---- a worker that takes the memory away ---- */

static void task_shrink(procpool_task *task) {
  const rig_job *job = rig_task_begin(task);
  const int from[3] = {(int)getpid(), (int)getppid(), (int)job->number};
  int tried = 0;
  for (int i = 0; i < 3; i++)
    for (int fd = 0; fd < 64; fd++) {
      char path[64], target[128] = "";
      int file;
      snprintf(path, sizeof(path), "/proc/%d/fd/%d", from[i], fd);
      if (readlink(path, target, sizeof(target) - 1) < 0 || strstr(target, "memfd:procpool") == NULL)
        continue;
      file = open(path, O_RDWR | O_CLOEXEC);
      if (file < 0)
        continue;
      tried++;
      if (ftruncate(file, 0) == 0 || ftruncate(file, 4096) == 0 ||
          fallocate(file, FALLOC_FL_COLLAPSE_RANGE, 0, 1 << 20) == 0)
        procpool_task_fail(task, 1, "the segment could be made smaller");
      close(file);
    }
  gate_add(&rig.page->word[2], tried);
  rig_task_end(task, job, job->size);
}

static void shrink(void) {
  const audit_counts before = audit_take();
  procpool *pool = test_open(rig.start, WORKERS);
  rig_job job = rig_job_of(100);
  procpool_future *future;
  run_sized(pool, 3 * EXTENT);
  job.number = (uint32_t)getpid();
  rig_entry_of(&job)->allowed = RIG_ALLOW(OK);
  rig.page->word[2] = 0;
  CHECK_OK(audit_submit(pool, task_shrink, &job, &future));
  audit_finish(&job, future);
  CHECK_GT(rig.page->word[2], 0); /* it found one to try */
  run_sized(pool, 3 * EXTENT);
  audit_batch(pool, 40, 1000, RIG_ALLOW(OK));
  close_pool(pool);
  audit_check(&before, "shrinking worker", 0);
}

/* ---- rounds ---- */

static void host(void) {
  const bool processes = rig.start <= PROCPOOL_START_SPAWN;
  bytes = (unsigned char *)calloc(1, MOST);
  CHECK(bytes != NULL);
  small_pool();
  file_size();
  sweep(FAULT(MEMFD) | FAULT(FTRUNCATE) | FAULT(FALLOCATE), 0, ENOSPC);
  sweep(FAULT(MEMFD) | FAULT(FTRUNCATE) | FAULT(FALLOCATE), 2, ENOSPC);
  sweep(FAULT(FALLOCATE), INT_MAX, ENOSPC);
  sweep(FAULT(MMAP) | FAULT(MPROTECT), 0, ENOMEM);
  if (processes)
    shrink();
  free(bytes);
}

int main(int argc, char **argv) {
  procpool_worker_main();
  rig_begin(argc, argv, EVERY, 3.0);
  printf("skip a tmpfs of 64 KiB: a memfd lies in none that can be mounted; ENOSPC comes from the calls instead\n");
  printf("skip a memory cgroup: none is ours to change\n");
  printf("skip huge pages: none are asked for\n");
  while (rig_more())
    rig_round(host, NULL, RIG_NORMAL);
  return rig_end();
}
