/* kill_storm.c - T01: workers are killed at random, one by one and all at once, while threads submit; every task settles
 * once, every CRASHED names a process that was killed and the signal, the pool ends at its size, and goes on at once. Then
 * one by one in a quiet pool, where nothing but the report of the death would wake the host.
 *
 * Options: --workers N (0: 1, 2, 5, 13 and 64 in turn), --submitters N, --most BYTES (largest result), --gap US (most
 * microseconds between kills; 0: 20000 in a calm round, 2000 in a wild one). */
#define PROCPOOL_IMPLEMENTATION
#define RIG_LINGER
#include "rig.h"

enum { BATCH = 16, SUBMITTERS = 64, BURST = 32, QUIET = 11 };

/* Words and counters of the page. */
enum { MET, BEGUN, STORM_OVER, NEVER };
enum { LAST_KILL, KILL_ME };

static const int turns[] = {2, 13, 1, 5, 64};

static int workers(void) {
  return rig.workers > 0 ? rig.workers : turns[(rig.round - 1) % 5];
}

static double storm_seconds(void) {
  const double share = rig.duration / 7;
  return share < 0.3 ? 0.3 : (share > 10 ? 10 : share);
}

static int submitters(void) {
  const long asked = rig_option("submitters", 8);
  return asked < 1 ? 1 : (asked > SUBMITTERS ? SUBMITTERS : (int)asked);
}

/* ---- the host ---- */

static procpool *pool;

static void batch(rig_random *r) {
  rig_job jobs[BATCH];
  procpool_future *futures[BATCH];
  const uint32_t most = (uint32_t)rig_option("most", 1 << 20);
  for (int i = 0; i < BATCH; i++) {
    jobs[i] = rig_job_of(rig_size(r, most));
    CHECK_OK(rig_submit(pool, rig_task, &jobs[i], &futures[i]));
  }
  for (int i = 0; i < BATCH; i++)
    (void)rig_finish(&jobs[i], futures[i]);
}

static void *submitter(void *context) {
  rig_random r = rig_stream((uint64_t)(uintptr_t)context);
  while (gate_read(&rig.page->word[STORM_OVER]) == 0)
    batch(&r);
  return NULL;
}

/* Seconds since the observer killed for the last time. */
static double since_kill(void) {
  const uint64_t bits = __atomic_load_n(&rig.page->count[LAST_KILL], __ATOMIC_SEQ_CST);
  double at;
  memcpy(&at, &bits, sizeof(at));
  return test_now() - at;
}

/* Throughput returns within a second of the last kill. */
static void check_recovery(void) {
  rig_random r = rig_stream(1000);
  for (int i = 0; i < BURST; i++) {
    rig_job job = rig_job_of((uint32_t)rig_below(&r, 1000));
    procpool_future *future;
    CHECK_OK(rig_submit(pool, rig_task, &job, &future));
    (void)rig_finish(&job, future);
  }
  CHECK_SECONDS(since_kill(), <=, 1.0 * test_slow());
}

/* Waits until as many of these run at once as there are workers. */
static void task_meet_all(procpool_task *task) {
  const rig_job *job = rig_task_begin(task);
  gate_add(&rig.page->word[MET], 1);
  gate_wait(&rig.page->word[MET], (int)job->number);
  rig_task_end(task, job, job->size);
}

/* Every worker lives and takes tasks, and there are no more and no fewer of them than were asked for. */
static void check_size(void) {
  rig_job jobs[128];
  procpool_future *futures[128];
  const int count = workers();
  CHECK_LE(count, 128);
  for (int i = 0; i < count; i++) {
    jobs[i] = rig_job_of(8);
    jobs[i].number = (uint32_t)count;
    rig_entry_of(&jobs[i])->allowed = RIG_ALLOW(OK);
    CHECK_OK(rig_submit(pool, task_meet_all, &jobs[i], &futures[i]));
  }
  for (int i = 0; i < count; i++)
    (void)rig_finish(&jobs[i], futures[i]);
  CHECK_EQ(test_stats(pool).workers_alive, count);
  CHECK_SECONDS(since_kill(), <=, 2.0 * test_slow());
}

static void task_hang(procpool_task *task) {
  (void)rig_task_begin(task);
  __atomic_store_n(&rig.page->count[KILL_ME], (uint64_t)getpid(), __ATOMIC_SEQ_CST);
  gate_add(&rig.page->word[BEGUN], 1);
  for (;;)
    pause();
}

/* A death is told at once, also to a host that sleeps and that nothing else would wake. One alone may be late on a busy
 * machine; most of them may not. */
static void check_death_report(void) {
  int prompt = 0;
  for (int i = 0; i < QUIET; i++) {
    rig_job job = rig_job_of(0);
    procpool_future *future;
    rig_entry_of(&job)->allowed = RIG_ALLOW(CRASHED);
    CHECK_OK(rig_submit(pool, task_hang, &job, &future));
    (void)procpool_future_wait(future, PROCPOOL_FOREVER);
    prompt += since_kill() < 0.1 * test_slow();
    (void)rig_finish(&job, future);
  }
  CHECK_GT(prompt, QUIET / 2);
}

/* One task after the other, each handed out about when a worker that lingers goes to sleep: no wake is lost. A lost one shows
 * as a stall where no process looks again, and else as a task that took a time-out's time: a few may, on a busy machine. */
static void check_hand_over(rig_random *r) {
  enum { TASKS = 150 };
  int late = 0;
  rig.page->linger = 6;
  for (int i = 0; i < TASKS; i++) {
    const rig_job job = rig_job_of(8);
    procpool_future *future;
    double begin;
    (void)gate_wait_for(&rig.page->word[NEVER], 1, (double)rig_below(r, 600) * 1e-6);
    begin = test_now();
    CHECK_OK(rig_submit(pool, rig_task, &job, &future));
    (void)rig_finish(&job, future);
    late += test_now() - begin > 0.15 * test_slow();
  }
  rig.page->linger = 0;
  CHECK_LE(late, TASKS / 10);
}

static void host(void) {
  pthread_t threads[SUBMITTERS];
  const int count = submitters();
  rig_random r = rig_stream(3000);
  rig.page->linger = rig_chance(&r, 50) ? 20 : 0;
  pool = test_open(rig.start, workers());
  for (int i = 0; i < count; i++)
    threads[i] = test_thread(submitter, (void *)(uintptr_t)i);
  rig_ready();
  gate_wait(&rig.page->word[STORM_OVER], 1);
  rig.page->linger = 0;
  check_recovery();
  for (int i = 0; i < count; i++)
    test_join(threads[i]);
  check_size();
  check_death_report();
  check_hand_over(&r);
  check_recovery();
  CHECK_OK(procpool_shutdown(pool, PROCPOOL_DRAIN, PROCPOOL_FOREVER));
  rig_check_stats(pool);
  CHECK_OK(procpool_free(pool));
}

/* ---- the observer ---- */

static int pick_signal(rig_random *r) {
  static const int signals[] = {SIGKILL, SIGKILL, SIGKILL, SIGSEGV, SIGABRT, SIGTERM};
  return signals[rig_below(r, sizeof(signals) / sizeof(signals[0]))];
}

static void strike(rig_random *r) {
  pid_t pids[256];
  const int count = rig_workers(pids, 256);
  const bool all = rig_chance(r, 3);
  const int chosen = count > 0 ? (int)rig_below(r, (uint64_t)count) : 0;
  for (int i = 0; i < count; i++)
    if (all || i == chosen)
      (void)rig_signal(pids[i], pick_signal(r));
}

static void note_kill(double at) {
  uint64_t bits;
  memcpy(&bits, &at, sizeof(bits));
  __atomic_store_n(&rig.page->count[LAST_KILL], bits, __ATOMIC_SEQ_CST);
}

/* One at a time, while the host waits for nothing else. */
static void kill_quietly(void) {
  for (int i = 0; i < QUIET; i++) {
    rig_gate(&rig.page->word[BEGUN], i + 1);
    if (!rig_pause(0.002)) /* the host shall be asleep: it settles all the same if it is not */
      return;
    note_kill(test_now());
    (void)rig_signal((pid_t)__atomic_load_n(&rig.page->count[KILL_ME], __ATOMIC_SEQ_CST), SIGKILL);
  }
}

static void observe(void) {
  rig_random r = rig_stream(2000);
  const double end = test_now() + storm_seconds();
  const bool wild = rig_chance(&r, 40);
  const uint64_t most = (uint64_t)rig_option("gap", wild ? 2000 : 20000);
  rig_gate(&rig.page->ready, 1);
  while (test_now() < end && rig_pause((100 + (double)rig_below(&r, most)) * 1e-6))
    strike(&r);
  note_kill(test_now());
  gate_add(&rig.page->word[STORM_OVER], 1);
  kill_quietly();
}

int main(int argc, char **argv) {
  procpool_worker_main();
  rig_begin(argc, argv, FORK | SPAWN, 3.0);
  while (rig_more())
    for (size_t i = 0; i < sizeof(turns) / sizeof(turns[0]); i++)
      rig_round(host, observe, RIG_NORMAL);
  return rig_end();
}
