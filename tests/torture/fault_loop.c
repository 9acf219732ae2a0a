/* fault_loop.c - every system call and every allocation of the library may fail: the k-th one does, for each k until none is
 * left, in the host, then in its other processes (go-between, supervisor, workers), over open, submit, results small and large,
 * map, deaths and replacements, limits, cancel_kill and shutdown. Each call returns an error or works; called again it
 * works; what was accepted settles; nothing is left behind.
 *
 * What cannot fail when it is called as it is here is let alone: closing, unmapping, waking, reaping and ending a child of
 * one's own, clocks, signal masks. Waiting and receiving can be interrupted, no more.
 *
 * Options: --stride N (of k). */
#include "faults.h"

enum { WORKERS = 2, ITEMS = 12, TRIES = 100, MOST = 5000 };

/* A fault in a worker's start may cost it its start, and one in the supervisor's fork that worker; both are tried again. */
static const uint32_t tolerated =
    RIG_ALLOW(OK) | RIG_ALLOW(TRANSFER) | RIG_ALLOW(SPAWN_FAIL) | RIG_ALLOW(INIT_FAIL) | RIG_ALLOW(CRASHED);

static bool is_shortage(procpool_status status) {
  return status == PROCPOOL_MEMORY || status == PROCPOOL_SYSTEM || status == PROCPOOL_SPAWN_FAIL;
}

static const char *where_name;
static int where_k;

static void unexpected(const char *what, procpool_status status) {
  rig_fail("%s, call %d (kind %d): %s: %s", where_name, where_k, fault->hit, what, procpool_status_name(status));
}

/* Calls until it is not refused for want of something. */
#define PERSIST(call, expected)                                                                                        \
  do {                                                                                                                 \
    procpool_status persist_status;                                                                                    \
    for (int persist_tries = 0; is_shortage(persist_status = (call)); persist_tries++)                                 \
      CHECK_LT(persist_tries, TRIES);                                                                                  \
    if (persist_status != (expected))                                                                                  \
      unexpected(#call, persist_status);                                                                               \
  } while (0)

static int initialize(const void *argument, size_t size) {
  return size == 100 && memcmp(argument, "hello", 6) == 0 ? 0 : 1;
}

static procpool *open_pool(void) {
  static const char greeting[100] = "hello";
  procpool_error error;
  procpool_options o;
  memset(&o, 0, sizeof(o));
  o.error = &error;
  o.start = rig.start;
  o.max_workers = WORKERS;
  o.ring_size = 4096;
  o.spin_us = -1;
  o.initializer = initialize;
  o.initializer_argument = greeting;
  o.initializer_size = sizeof(greeting);
  for (int tries = 0; tries < TRIES; tries++) {
    procpool *pool = procpool_open(&o);
    if (pool != NULL)
      return pool;
    if (!is_shortage(error.status) && error.status != PROCPOOL_INIT_FAIL)
      unexpected(error.message, error.status);
  }
  unexpected("open, again and again", error.status);
  return NULL;
}

/* ---- tasks ---- */

static void task_spin(procpool_task *task) {
  (void)rig_task_begin(task);
  for (;;)
    sched_yield();
}

static void task_end_worker(procpool_task *task) {
  (void)rig_task_begin(task);
  raise(SIGKILL);
}

typedef struct large_job {
  rig_job job;
  unsigned char bytes[300000];
} large_job;

static void run(procpool *pool, procpool_function function, size_t argument, uint32_t result, uint32_t allowed,
                const procpool_submit_options *options) {
  static large_job large;
  const rig_job job = rig_job_of(result);
  procpool_future *future;
  procpool_status status;
  rig_entry_of(&job)->allowed = tolerated | allowed;
  rig_entry_of(&job)->flags = RIG_CRASHES | RIG_KILLED_TASK | RIG_NO_CALLBACK;
  large.job = job;
  PERSIST(procpool_submit(pool, function, &large, sizeof(job) + argument, options, &future), PROCPOOL_OK);
  rig_accepted(&job, future);
  while (is_shortage(status = procpool_future_wait(future, PROCPOOL_FOREVER)) && !known_done(future))
    rig_progress();
  if (status >= PROCPOOL_PENDING)
    unexpected("wait", status);
  (void)rig_settle(&job, future);
  CHECK_OK(procpool_future_release(future));
}

static void run_cancel_kill(procpool *pool) {
  const rig_job job = rig_job_of(0);
  procpool_future *future;
  procpool_status status;
  rig_entry_of(&job)->allowed = tolerated | RIG_ALLOW(CANCELLED);
  rig_entry_of(&job)->flags = RIG_CRASHES | RIG_KILLED_TASK | RIG_NO_CALLBACK;
  PERSIST(procpool_submit(pool, task_spin, &job, sizeof(job), NULL, &future), PROCPOOL_OK);
  rig_accepted(&job, future);
  while (rig_entry_of(&job)->started == 0 && procpool_future_wait(future, 0.001) >= PROCPOOL_PENDING)
    ;
  status = procpool_future_cancel_kill(future, 0.001);
  if (status >= PROCPOOL_INTERRUPTED && !is_shortage(status))
    unexpected("cancel_kill", status);
  while (procpool_future_wait(future, PROCPOOL_FOREVER) >= PROCPOOL_PENDING)
    ;
  (void)rig_settle(&job, future);
  CHECK_OK(procpool_future_release(future));
}

/* A row of tasks: what was not accepted is handed over again. */
static void run_many(procpool *pool, size_t argument) {
  enum { ROW = 5, MOST_BYTES = 3000 };
  static unsigned char rows[ROW][sizeof(rig_job) + MOST_BYTES];
  rig_job jobs[ROW];
  procpool_future *futures[ROW];
  const size_t size = sizeof(rig_job) + argument;
  size_t accepted = 0;
  CHECK_LE(argument, MOST_BYTES);
  for (int i = 0; i < ROW; i++) {
    jobs[i] = rig_job_of(8);
    rig_entry_of(&jobs[i])->allowed = tolerated;
    rig_entry_of(&jobs[i])->flags = RIG_CRASHES | RIG_KILLED_TASK | RIG_NO_CALLBACK;
    memcpy((unsigned char *)rows + (size_t)i * size, &jobs[i], sizeof(jobs[i]));
  }
  for (int tries = 0; accepted < ROW; tries++) {
    size_t more = 77;
    const procpool_status status = procpool_submit_many(pool, fault_task, (unsigned char *)rows + accepted * size, size,
                                                        ROW - accepted, NULL, futures + accepted, &more);
    if (status != PROCPOOL_OK && !is_shortage(status))
      unexpected("submit_many", status);
    CHECK_LE(more, ROW - accepted);
    CHECK_EQ(status == PROCPOOL_OK, more == ROW - accepted);
    for (size_t i = accepted; i < ROW; i++)
      CHECK_EQ(futures[i] != NULL, i < accepted + more);
    for (; more > 0; more--, accepted++)
      rig_accepted(&jobs[accepted], futures[accepted]);
    CHECK_LT(tries, TRIES);
  }
  for (int i = 0; i < ROW; i++) {
    while (procpool_future_wait(futures[i], PROCPOOL_FOREVER) >= PROCPOOL_PENDING)
      rig_progress();
    (void)rig_settle(&jobs[i], futures[i]);
    CHECK_OK(procpool_future_release(futures[i]));
  }
}

static void run_map(procpool *pool) {
  int in[ITEMS], out[ITEMS];
  procpool_status statuses[ITEMS], status;
  procpool_map_options o;
  for (int tries = 0; tries < TRIES; tries++) {
    memset(&o, 0, sizeof(o));
    o.chunksize = 3;
    o.statuses = statuses;
    for (int i = 0; i < ITEMS; i++) {
      in[i] = i;
      statuses[i] = PROCPOOL_PENDING;
    }
    status = procpool_map(pool, task_twice, in, sizeof(int), out, sizeof(int), ITEMS, &o);
    for (int i = 0; i < ITEMS; i++)
      if (statuses[i] == PROCPOOL_OK)
        CHECK_EQ(out[i], 2 * i);
    if (status == PROCPOOL_OK)
      return;
    if (!is_shortage(status) && ((tolerated >> (unsigned)status) & 1) == 0)
      unexpected("map", status);
  }
  unexpected("map, again and again", status);
}

static void *alloc(procpool *pool, size_t size) {
  procpool_error error;
  void *buffer;
  for (int tries = 0; (buffer = procpool_shared_alloc(pool, size)) == NULL; tries++) {
    (void)procpool_last_error(&error);
    if (error.status != PROCPOOL_MEMORY || error.system_error == 0)
      unexpected("shared_alloc", error.status);
    CHECK_LT(tries, TRIES);
  }
  return buffer;
}

/* A result in place, and a map that copies nothing; sizes that need pages of their own, and large ones. */
static void run_buffers(procpool *pool) {
  enum { SIZE = 3 << 20 };
  procpool_submit_options o;
  int *in = (int *)alloc(pool, SIZE), *out = (int *)alloc(pool, SIZE), *small = (int *)alloc(pool, 100);
  procpool_status status;
  memset(&o, 0, sizeof(o));
  o.result = out;
  o.result_size = SIZE;
  run(pool, fault_task, 20, 100000, 0, &o);
  o.result = small;
  o.result_size = 100;
  run(pool, fault_task, 100000, 8, 0, &o);
  memset(in, 1, ITEMS * sizeof(int));
  for (int tries = 0;
       (status = procpool_map(pool, task_twice, in, sizeof(int), out, sizeof(int), ITEMS, NULL)) != PROCPOOL_OK;
       tries++) {
    if (tries == TRIES || (!is_shortage(status) && ((tolerated >> (unsigned)status) & 1) == 0))
      unexpected("map over buffers", status);
  }
  for (int i = 0; i < ITEMS; i++)
    CHECK_EQ(out[i], 0x02020202);
  CHECK_OK(procpool_shared_free(pool, in));
  CHECK_OK(procpool_shared_free(pool, small));
  CHECK_OK(procpool_shared_free(pool, alloc(pool, SIZE)));
  CHECK_OK(procpool_shared_free(pool, out));
}

static void close_pool(procpool *pool) {
  PERSIST(procpool_shutdown(pool, PROCPOOL_DRAIN, PROCPOOL_FOREVER), PROCPOOL_OK);
  rig_check_stats(pool);
  CHECK_OK(procpool_free(pool));
}

static void script(void) {
  const bool processes = rig.start <= PROCPOOL_START_SPAWN;
  procpool_submit_options limited;
  procpool *pool = open_pool();
  memset(&limited, 0, sizeof(limited));
  limited.time_limit = 0.005;
  limited.grace = 0.001;
  run(pool, fault_task, 0, 8, 0, NULL);
  run(pool, fault_task, 300000, 1000, 0, NULL);
  run(pool, fault_task, 100, 30000, 0, NULL);
  run_many(pool, 0);
  run_many(pool, 3000);
  run_map(pool);
  run_buffers(pool);
  if (processes) {
    run(pool, task_end_worker, 0, 0, 0, NULL);
    run(pool, task_end_worker, 0, 0, 0, NULL);
    run(pool, fault_task, 200000, 8, 0, NULL);
    run(pool, task_spin, 0, 0, RIG_ALLOW(TIMEOUT), &limited);
    run_cancel_kill(pool);
    run(pool, fault_task, 0, 8, 0, NULL);
  }
  close_pool(pool);
  rig_progress();
}

/* ---- loops ---- */

static void loop(const char *name, int where, int width, int stride) {
  const audit_counts before = audit_take();
  const int live = fault->live;
  int k = 1 + (int)(rig.seed % (uint64_t)stride), fired = 1;
  where_name = name;
  for (; fired > 0; k += stride) {
    where_k = k;
    fault_arm(FAULT_ALL, where, k, k + width, FAULT_ITS_OWN);
    script();
    fired = fault_fired();
    fault_disarm();
    audit_check(&before, name, k);
    if (fault->live != live)
      rig_fail("%s, call %d: %d allocations are live, before %d", name, k, fault->live, live);
    CHECK_LT(k, MOST);
  }
  CHECK_GT(k, 10); /* there are that many calls at least */
  rig.page->count[where] = (uint64_t)k;
}

static int stride;

static void in_host(void) {
  loop("in the host", FAULT_IN_HOST, 0, stride);
}

static void elsewhere(void) {
  loop("in another process", FAULT_ELSEWHERE, 0, stride);
}

static void in_a_row(void) {
  loop("anywhere, four in a row", FAULT_ANYWHERE, 3, 3 * stride);
}

int main(int argc, char **argv) {
  procpool_worker_main();
  rig_begin(argc, argv, FORK | SPAWN | THREAD | INLINE, 4.0);
  stride = (int)rig_option("stride", 1);
  do {
    (void)rig_round(in_host, NULL, RIG_NORMAL);
    rig_total("calls_in_host", rig.page->count[FAULT_IN_HOST]);
    if (rig.start <= PROCPOOL_START_SPAWN) {
      (void)rig_round(elsewhere, NULL, RIG_NORMAL);
      rig_total("calls_elsewhere", rig.page->count[FAULT_ELSEWHERE]);
    }
    (void)rig_round(in_a_row, NULL, RIG_NORMAL);
  } while (rig_more());
  return rig_end();
}
