/* threads.c - T10: many threads of the host do everything at once with one pool, which one of them shuts down late, in any
 * mode. Law 1 holds, the counts balance, and a submit is accepted, or refused because the queue is full or the pool shut.
 *
 * Resizing is not in it: pools have a fixed size so far.
 * Options: --workers N (default 3), --threads N (default 16), --only MODE (of shutdown). */
#define PROCPOOL_IMPLEMENTATION
#define RIG_LINGER
#include "rig.h"

enum { HELD = 12, ITEMS = 40, THREADS = 64 };

/* Words and counters of the page. */
enum { CLOSING, CLOSED, NEVER };
enum { MEDDLES_ADDED, MEDDLES_RUN, ACCEPTED, CRASHED, MAPS };

/* What a task does: rig_job.what. */
enum { PLAIN, DAWDLES, FAILS, CRASHES, KINDS };

static procpool *pool;
static bool processes, maps;

static void count(int which) {
  __atomic_add_fetch(&rig.page->count[which], 1, __ATOMIC_SEQ_CST);
}

/* ---- tasks ---- */

static void task_any(procpool_task *task) {
  const rig_job *job = rig_task_begin(task);
  const double end = test_now() + (job->what == DAWDLES ? job->number * 1e-6 : 0);
  while (test_now() < end && !procpool_task_cancelled(task))
    sched_yield();
  if (job->what == CRASHES)
    raise(job->number % 2 == 0 ? SIGKILL : SIGSEGV);
  if (job->what == FAILS)
    procpool_task_fail(task, (int)job->number, "on purpose");
  else
    rig_task_end(task, job, job->size);
}

static rig_job random_job(rig_random *r, uint32_t most) {
  rig_job job = rig_job_of(rig_size(r, most));
  rig_entry *e = rig_entry_of(&job);
  const unsigned dice = (unsigned)rig_below(r, 100);
  job.what = dice < 70 ? PLAIN : dice < 88 ? DAWDLES : dice < 98 || !processes ? FAILS : CRASHES;
  job.number = 1 + (uint32_t)rig_below(r, 1000);
  e->allowed = RIG_ALLOW(CANCELLED) | RIG_ALLOW(SHUTDOWN);
  e->allowed |= job.what == FAILS ? RIG_ALLOW(FAILED) : job.what == CRASHES ? RIG_ALLOW(CRASHED) : RIG_ALLOW(OK);
  e->flags = job.what == CRASHES ? RIG_CRASHES : 0;
  return job;
}

/* ---- what a thread does ---- */

typedef struct worker_thread {
  rig_random dice;
  struct {
    rig_job job;
    procpool_future *future;
  } held[HELD];
  int count;
  bool refused;
} actor;

/* A refusal has its reason. */
static void check_refusal(actor *a, procpool_status status, bool may_be_full) {
  if (status == PROCPOOL_FULL && may_be_full)
    return;
  CHECK_STATUS(status, PROCPOOL_SHUTDOWN);
  CHECK_EQ(gate_read(&rig.page->word[CLOSING]), 1);
  a->refused = true;
}

/* Submits one more, cancels it or not, and lets it go: all that a callback may do. */
static void meddle(procpool_future *future, void *context) {
  rig_random r = rig_stream(100000 + (uint64_t)(uintptr_t)context);
  const rig_job job = random_job(&r, 1000);
  procpool_future *other = NULL;
  procpool_status status;
  count(MEDDLES_RUN);
  CHECK_LT(procpool_future_status(future), PROCPOOL_PENDING);
  status = try_submit(pool, task_any, &job, sizeof(job), &other);
  if (status != PROCPOOL_OK) {
    CHECK(status == PROCPOOL_FULL || (status == PROCPOOL_SHUTDOWN && gate_read(&rig.page->word[CLOSING]) == 1));
    return;
  }
  count(ACCEPTED);
  rig_entry_of(&job)->flags |= RIG_DROPPED;
  rig_accepted(&job, other);
  if (rig_chance(&r, 50))
    (void)procpool_future_cancel(other);
  status = procpool_future_wait(other, PROCPOOL_FOREVER);
  CHECK(status == PROCPOOL_DEADLOCK || status < PROCPOOL_PENDING);
  CHECK_OK(procpool_future_release(other));
}

static void settle_at(actor *a, int i) {
  if (rig_finish(&a->held[i].job, a->held[i].future) == PROCPOOL_CRASHED)
    count(CRASHED);
  a->held[i] = a->held[--a->count];
}

static procpool_status submit_somehow(actor *a, const rig_job *job, procpool_future **future) {
  procpool_submit_options options = {0};
  switch (rig_below(&a->dice, 4)) {
  case 0:
    return try_submit(pool, task_any, job, sizeof(*job), future);
  case 1:
    return submit_timed(pool, 0.002, task_any, job, sizeof(*job), future);
  case 2:
    options.timeout = 0.002;
    return procpool_submit(pool, task_any, job, sizeof(*job), &options, future);
  default:
    return procpool_submit(pool, task_any, job, sizeof(*job), NULL, future);
  }
}

static void act_submit(actor *a) {
  procpool_status status;
  if (a->count == HELD)
    settle_at(a, (int)rig_below(&a->dice, HELD));
  a->held[a->count].job = random_job(&a->dice, 1 << 16);
  status = submit_somehow(a, &a->held[a->count].job, &a->held[a->count].future);
  if (status != PROCPOOL_OK) {
    check_refusal(a, status, true);
    return;
  }
  count(ACCEPTED);
  rig_accepted(&a->held[a->count].job, a->held[a->count].future);
  if (rig_chance(&a->dice, 10)) {
    count(MEDDLES_ADDED);
    CHECK_OK(procpool_future_add_done_callback(a->held[a->count].future, meddle,
                                               (void *)(uintptr_t)a->held[a->count].job.id));
  }
  a->count++;
}

static void act_cancel(actor *a, int i) {
  const procpool_status status = procpool_future_cancel(a->held[i].future);
  CHECK_LE(status, PROCPOOL_PENDING);
  if (status == PROCPOOL_CANCELLED)
    CHECK(procpool_future_cancelled(a->held[i].future));
}

static void act_cancel_kill(actor *a, int i) {
  static const double graces[] = {-1, 0, 0.001, 0.0001};
  procpool_status status;
  rig_entry_of(&a->held[i].job)->flags |= RIG_KILLED_TASK;
  status = procpool_future_cancel_kill(a->held[i].future, graces[rig_below(&a->dice, 4)]);
  CHECK(status <= PROCPOOL_PENDING || (status == PROCPOOL_UNSUPPORTED && !processes));
}

static void act_release(actor *a, int i) {
  rig_entry_of(&a->held[i].job)->flags |= RIG_DROPPED;
  CHECK_OK(procpool_future_release(a->held[i].future));
  a->held[i] = a->held[--a->count];
}

static void act_wait_any(actor *a) {
  static const procpool_wait_mode modes[] = {PROCPOOL_FIRST_COMPLETED, PROCPOOL_FIRST_EXCEPTION,
                                             PROCPOOL_ALL_COMPLETED};
  procpool_future *futures[HELD];
  size_t done = 0, found = 0;
  procpool_status status;
  for (int i = 0; i < a->count; i++)
    futures[i] = a->held[i].future;
  status = procpool_wait(futures, (size_t)a->count, modes[rig_below(&a->dice, 3)],
                         rig_chance(&a->dice, 50) ? PROCPOOL_FOREVER : 0.001, &done);
  CHECK(status == PROCPOOL_OK || status == PROCPOOL_PENDING);
  for (int i = 0; i < a->count; i++)
    found += procpool_future_done(futures[i]);
  CHECK_GE(found, done);
  CHECK(status != PROCPOOL_OK || done > 0 || a->count == 0);
}

static void act_as_completed(actor *a) {
  procpool_future *futures[HELD], *next;
  procpool_iterator *iterator;
  int delivered = 0;
  for (int i = 0; i < a->count; i++)
    futures[i] = a->held[i].future;
  CHECK_OK(procpool_as_completed(futures, (size_t)a->count, &iterator));
  while (procpool_next(iterator, PROCPOOL_FOREVER, &next) == PROCPOOL_OK)
    delivered++;
  CHECK_EQ(delivered, a->count);
  procpool_iterator_free(iterator);
}

/* Each item is a task of the witness; one that a shutdown left behind has no outcome. */
static void act_map(actor *a) {
  typedef struct cell {
    unsigned char bytes[64];
  } cell;
  rig_job jobs[ITEMS];
  cell results[ITEMS];
  procpool_status statuses[ITEMS], status;
  procpool_map_options options = {0};
  const size_t n = 1 + rig_below(&a->dice, ITEMS);
  options.chunksize = rig_below(&a->dice, 5);
  options.statuses = statuses;
  for (size_t i = 0; i < n; i++) {
    do
      jobs[i] = random_job(&a->dice, sizeof(cell));
    while (jobs[i].what == CRASHES);
    rig_entry_of(&jobs[i])->flags |= RIG_NO_CALLBACK;
    statuses[i] = PROCPOOL_STATUS_LIMIT;
  }
  status = procpool_map(pool, task_any, jobs, sizeof(rig_job), results, sizeof(cell), n, &options);
  count(MAPS);
  if (status >= PROCPOOL_PENDING || status == PROCPOOL_SHUTDOWN)
    check_refusal(a, status, false);
  for (size_t i = 0; i < n; i++)
    if (statuses[i] < PROCPOOL_PENDING) {
      rig_entry_of(&jobs[i])->accepted++;
      rig_settle_as(&jobs[i], statuses[i], results[i].bytes, jobs[i].size);
    } else {
      CHECK(a->refused); /* it broke off, and left what ran to itself */
      rig_entry_of(&jobs[i])->flags |= RIG_UNKNOWN;
    }
}

static void act_look(actor *a) {
  const procpool_stats stats = test_stats(pool);
  CHECK_GE(stats.submitted, stats.settled);
  CHECK_GE(stats.settled, stats.crashed);
  CHECK_POLL(procpool_poll(pool, 0));
  CHECK_GE(procpool_fd(pool), 0);
  for (int i = 0; i < a->count; i++)
    CHECK(!(procpool_future_done(a->held[i].future) && procpool_future_running(a->held[i].future)));
}

static void act(actor *a) {
  const unsigned dice = (unsigned)rig_below(&a->dice, 100);
  const int i = a->count > 0 ? (int)rig_below(&a->dice, (uint64_t)a->count) : -1;
  if (dice < 40 || i < 0)
    act_submit(a);
  else if (dice < 55)
    settle_at(a, i);
  else if (dice < 65)
    act_cancel(a, i);
  else if (dice < 69)
    act_cancel_kill(a, i);
  else if (dice < 77)
    act_release(a, i);
  else if (dice < 85)
    act_wait_any(a);
  else if (dice < 89)
    act_as_completed(a);
  else if (dice < 92 && maps)
    act_map(a);
  else
    act_look(a);
}

static void *run(void *context) {
  actor a;
  memset(&a, 0, sizeof(a));
  a.dice = rig_stream((uint64_t)(uintptr_t)context);
  while (!a.refused)
    act(&a);
  while (a.count > 0)
    settle_at(&a, a.count - 1);
  return NULL;
}

/* ---- the host ---- */

static double seconds(void) {
  const double share = rig.duration / 6;
  return share > 5 ? 5 : share;
}

/* A callback may submit until the shutdown is called, and then nothing more is accepted: each accepted one was counted. */
static void check_balance(void) {
  const procpool_stats stats = test_stats(pool);
  rig_check_stats(pool);
  CHECK_EQ(rig.page->count[MEDDLES_ADDED], rig.page->count[MEDDLES_RUN]);
  if (!maps)
    CHECK_EQ(stats.submitted, rig.page->count[ACCEPTED]);
  CHECK_GE(stats.crashed, rig.page->count[CRASHED]);
}

static void host(void) {
  pthread_t threads[THREADS];
  rig_random r = rig_stream(1000);
  procpool_options options = {0};
  const long asked = rig_option("threads", 16), only = rig_option("only", -1);
  const int many = asked < 1 || asked > THREADS ? 16 : (int)asked;
  const procpool_shutdown_mode mode = (procpool_shutdown_mode)(only >= 0 ? (uint64_t)only : rig_below(&r, 3));
  processes = rig.start == PROCPOOL_START_FORK || rig.start == PROCPOOL_START_SPAWN;
  maps = rig_chance(&r, 50);
  rig.page->linger = processes && rig_chance(&r, 30) ? 30 : 0;
  options.max_queued = (size_t)(16 << rig_below(&r, 6));
  pool = test_open_with(rig.start, rig.workers > 0 ? rig.workers : 3, &options);
  for (int i = 0; i < many; i++)
    threads[i] = test_thread(run, (void *)(uintptr_t)i);
  (void)gate_wait_for(&rig.page->word[NEVER], 1, seconds() * (0.3 + 0.7 * (double)rig_below(&r, 100) / 100));
  gate_add(&rig.page->word[CLOSING], 1);
  CHECK_OK(procpool_shutdown(pool, mode, PROCPOOL_FOREVER));
  for (int i = 0; i < many; i++)
    test_join(threads[i]);
  CHECK_OK(procpool_shutdown(pool, mode, PROCPOOL_FOREVER)); /* callbacks that another thread was in have run */
  check_balance();
  CHECK_OK(procpool_free(pool));
}

int main(int argc, char **argv) {
  procpool_worker_main();
  rig_begin(argc, argv, EVERY, 3.0);
  while (rig_more())
    rig_round(host, NULL, RIG_NORMAL);
  return rig_end();
}
