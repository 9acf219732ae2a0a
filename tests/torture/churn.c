/* churn.c - T13: workers that leave after one or two tasks, with results of a byte and of 10 MiB, and kills on top. No death
 * is reported that was not caused, and there is never a backlog without a worker that lives or starts.
 *
 * Resizing and idle time-outs are not in it: pools have a fixed size so far.
 * Options: --workers N (0: several), --largest BYTES (default 10 MiB), --kind K (see below). */
#define PROCPOOL_IMPLEMENTATION
#define RIG_LINGER
#include "rig.h"

#include <dirent.h>

enum { SUBMITTERS = 3, BATCH = 24, LARGE_BATCH = 3 };

/* Words and counters of the page. */
enum { OVER };
enum { TASKS };

static procpool *pool;

/* One bit each: two tasks per worker instead of one, large results, kills. */
static int kind(void) {
  return (int)rig_option("kind", (rig.round - 1) % 8);
}
static int tasks_per_worker(void) {
  return 1 + (kind() & 1);
}
static bool large(void) {
  return (kind() & 2) != 0;
}
static bool kills(void) {
  return (kind() & 4) != 0;
}

static double seconds(void) {
  const double share = rig.duration / 8;
  return share < 0.2 ? 0.2 : (share > 10 ? 10 : share);
}

static int workers(void) {
  static const int many[] = {2, 1, 3, 8, 5};
  if (rig.workers > 0)
    return rig.workers;
  return many[(rig.seed + (uint64_t)rig.round) % 5] + (kills() ? 1 : 0);
}

/* ---- the host ---- */

static void task_churn(procpool_task *task) {
  static uint32_t ran; /* by this process */
  const rig_job *job = rig_task_begin(task);
  CHECK_LE(++ran, job->number);
  rig_task_end(task, job, job->size);
}

static uint32_t size_of_result(rig_random *r) {
  const uint32_t largest = (uint32_t)rig_option("largest", 10 << 20);
  if (!large())
    return 1;
  return rig_chance(r, 70) ? largest : rig_size(r, largest);
}

static void *submitter(void *context) {
  rig_random r = rig_stream((uint64_t)(uintptr_t)context);
  const int count = large() ? LARGE_BATCH : BATCH;
  while (gate_read(&rig.page->word[OVER]) == 0) {
    rig_job jobs[BATCH];
    procpool_future *futures[BATCH];
    for (int i = 0; i < count; i++) {
      jobs[i] = rig_job_of(size_of_result(&r));
      jobs[i].number = (uint32_t)tasks_per_worker();
      if (!kills())
        rig_entry_of(&jobs[i])->allowed = RIG_ALLOW(OK);
      CHECK_OK(rig_submit(pool, task_churn, &jobs[i], &futures[i]));
    }
    for (int i = 0; i < count; i++)
      (void)rig_finish(&jobs[i], futures[i]);
    __atomic_add_fetch(&rig.page->count[TASKS], (uint64_t)count, __ATOMIC_SEQ_CST);
  }
  return NULL;
}

/* Looks until the round is over. A backlog without workers for 100 ms counts when it was seen often in that time: a look after
 * a long pause of this thread itself says nothing of the supervisor. */
static void watch_backlog(void) {
  enum { LOOKS = 20 };
  double since = test_now();
  int looks = 0;
  while (!gate_wait_for(&rig.page->word[OVER], 1, 0.001)) {
    const procpool_stats stats = test_stats(pool);
    CHECK_LE(stats.workers_alive, stats.workers);
    if (stats.queued == 0 || stats.workers_alive > 0) {
      since = test_now();
      looks = 0;
    } else if (++looks > LOOKS && test_now() > since + 0.1 * test_slow()) {
      rig_fail("%llu tasks wait, and there has been no worker for %.0f ms", (unsigned long long)stats.queued,
               (test_now() - since) * 1e3);
    }
  }
}

static void host(void) {
  pthread_t threads[SUBMITTERS];
  rig_random r = rig_stream(3000);
  procpool_options options = {0};
  procpool_stats stats;
  options.max_tasks_per_child = tasks_per_worker();
  pool = test_open_with(rig.start, workers(), &options);
  for (int i = 0; i < SUBMITTERS; i++)
    threads[i] = test_thread(submitter, (void *)(uintptr_t)i);
  rig.page->linger = rig_chance(&r, 50) ? 20 : 0;
  rig_ready();
  watch_backlog();
  for (int i = 0; i < SUBMITTERS; i++)
    test_join(threads[i]);
  rig_wait_over();
  CHECK_OK(procpool_shutdown(pool, PROCPOOL_DRAIN, PROCPOOL_FOREVER));
  rig_check_stats(pool);
  stats = test_stats(pool);
  CHECK_GE(stats.workers_started * (uint64_t)tasks_per_worker(), rig.page->count[TASKS]);
  if (!kills())
    CHECK_EQ(stats.crashed, 0);
  CHECK_OK(procpool_free(pool));
}

/* ---- the observer ---- */

static int descriptors_of(pid_t pid) {
  char path[64];
  DIR *directory;
  int count = 0;
  snprintf(path, sizeof(path), "/proc/%ld/fd", (long)pid);
  directory = opendir(path);
  CHECK(directory != NULL);
  while (readdir(directory) != NULL)
    count++;
  closedir(directory);
  return count;
}

static void strike(rig_random *r) {
  pid_t pids[64];
  const int count = rig_workers(pids, 64);
  if (count > 0)
    (void)rig_signal(pids[rig_below(r, (uint64_t)count)], rig_chance(r, 70) ? SIGKILL : SIGTERM);
}

/* So many tasks that one worker at least has been replaced: the supervisor has all that it holds by then, which it has not
 * yet when the pool opens. */
static void await_replacement(void) {
  const uint64_t enough = (uint64_t)(workers() * tasks_per_worker()) + 1;
  while (__atomic_load_n(&rig.page->count[TASKS], __ATOMIC_SEQ_CST) < enough && rig_pause(0.001))
    ;
}

static void observe(void) {
  rig_random r = rig_stream(2000);
  double end;
  pid_t supervisors[4];
  int before;
  rig_gate(&rig.page->ready, 1);
  CHECK_EQ(rig_supervisors(supervisors, 4), 1);
  await_replacement();
  before = descriptors_of(supervisors[0]);
  end = test_now() + seconds();
  while (test_now() < end && rig_pause(0.002 + (double)rig_below(&r, 15000) * 1e-6))
    if (kills())
      strike(&r);
  if (rig_host() != 0)
    CHECK_EQ(descriptors_of(supervisors[0]), before);
  gate_add(&rig.page->word[OVER], 1);
}

int main(int argc, char **argv) {
  procpool_worker_main();
  rig_begin(argc, argv, FORK | SPAWN, 4.0);
  while (rig_more())
    for (int i = 0; i < 8; i++)
      rig_round(host, observe, RIG_NORMAL);
  return rig_end();
}
