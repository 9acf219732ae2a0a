/* stopped_workers.c - T04: workers and the supervisor are stopped anywhere. The others go on, nothing settles twice when a
 * stopped one goes on late, a limit or a kill removes it, and each mode of shutdown does what it says.
 *
 * Options: --workers N (default 3), --only MODE. */
#define PROCPOOL_IMPLEMENTATION
#define RIG_LINGER
#include "rig.h"

enum { BATCH = 24, TURNS = 12, WAKES = 150 };

/* Words and counters of the page. The host asks, the observer does. */
enum { ASKED, DONE, BEGUN, GATE };
enum { WHAT, STOPPED, STATE };
enum what { STOP_ANY, STOP_THIS, STOP_SUPERVISOR, CONTINUE, LOOK };

static int workers(void) {
  return rig.workers > 1 ? rig.workers : 3;
}

/* ---- the host's side ---- */

static procpool *pool;
static rig_random dice;
static int asked;

static uint64_t counter(int which) {
  return __atomic_load_n(&rig.page->count[which], __ATOMIC_SEQ_CST);
}

static void set_counter(int which, uint64_t value) {
  __atomic_store_n(&rig.page->count[which], value, __ATOMIC_SEQ_CST);
}

static void ask(enum what what) {
  set_counter(WHAT, what);
  gate_add(&rig.page->word[ASKED], 1);
  asked++;
}

/* Without limit: if the observer cannot do it, it fails. */
static void answered(void) {
  gate_wait(&rig.page->word[DONE], asked);
}

static void do_now(enum what what) {
  ask(what);
  answered();
}

static void open_pool(size_t ring_size) {
  procpool_options options = {0};
  options.ring_size = ring_size;
  dice = rig_stream(1);
  asked = 0;
  pool = test_open_with(rig.start, workers(), &options);
  CHECK_WORKS(pool);
  rig_ready();
}

static void close_pool(void) {
  CHECK_OK(procpool_shutdown(pool, PROCPOOL_DRAIN, PROCPOOL_FOREVER));
  rig_check_stats(pool);
  CHECK_OK(procpool_free(pool));
}

static rig_job job_for(uint32_t size, uint32_t allowed) {
  const rig_job job = rig_job_of(size);
  rig_entry_of(&job)->allowed = allowed;
  if ((allowed & (RIG_ALLOW(TIMEOUT) | RIG_ALLOW(CANCELLED))) != 0)
    rig_entry_of(&job)->flags |= RIG_KILLED_TASK;
  return job;
}

static procpool_future *submit(procpool_function function, const rig_job *job, double limit, double grace) {
  procpool_submit_options options = {0};
  procpool_future *future;
  options.time_limit = limit;
  options.grace = grace;
  CHECK_OK(procpool_submit(pool, function, job, sizeof(*job), &options, &future));
  rig_accepted(job, future);
  return future;
}

/* Takes a while in its body, so that some stops come there. */
static void task_dawdle(procpool_task *task) {
  const rig_job *job = rig_task_begin(task);
  const double end = test_now() + 0.0005;
  while (test_now() < end)
    ;
  rig_task_end(task, job, job->size);
}

typedef struct batch {
  rig_job jobs[BATCH];
  procpool_future *futures[BATCH];
} batch;

static void batch_submit(batch *b, uint32_t most, uint32_t allowed, double limit, double grace) {
  for (int i = 0; i < BATCH; i++) {
    b->jobs[i] = job_for(rig_size(&dice, most), allowed);
    b->futures[i] = submit(rig_chance(&dice, 50) ? task_dawdle : rig_task, &b->jobs[i], limit, grace);
  }
}

/* Waits until all of them are settled but as many as may be in a stopped worker. */
static void batch_wait_but(batch *b, int stuck) {
  procpool_iterator *settled;
  procpool_future *future;
  CHECK_OK(procpool_as_completed(b->futures, BATCH, &settled));
  for (int i = 0; i < BATCH - stuck; i++)
    CHECK_OK(procpool_next(settled, PROCPOOL_FOREVER, &future));
  procpool_iterator_free(settled);
}

static void batch_finish(batch *b) {
  for (int i = 0; i < BATCH; i++)
    (void)rig_finish(&b->jobs[i], b->futures[i]);
}

/* ---- modes: stops anywhere ---- */

/* The stopped worker holds one task at most; it goes on only when all others have settled. */
static void stop_then_continue(void) {
  batch b;
  open_pool(0);
  for (int turn = 0; turn < TURNS; turn++) {
    rig.page->linger = 8;
    ask(STOP_ANY);
    batch_submit(&b, 1 << 20, RIG_ALLOW(OK), 0, 0);
    answered();
    batch_wait_but(&b, 1);
    do_now(CONTINUE);
    batch_finish(&b);
  }
  rig.page->linger = 0;
  close_pool();
}

/* It never goes on: its limit ends it. Others may be over theirs on a busy machine, that is no fault. */
static void stop_with_limit(void) {
  batch b;
  open_pool(0);
  for (int turn = 0; turn < TURNS / 2; turn++) {
    const bool at_once = rig_chance(&dice, 50);
    pid_t stopped;
    rig.page->linger = 8;
    ask(STOP_ANY);
    batch_submit(&b, 1 << 16, RIG_ALLOW(OK) | RIG_ALLOW(TIMEOUT), 0.1 * test_slow(), at_once ? -1 : 0.02);
    answered();
    stopped = (pid_t)counter(STOPPED);
    for (int i = 0; i < BATCH; i++) {
      const procpool_status status =
          procpool_future_wait(b.futures[i], rig_entry_of(&b.jobs[i])->pid == stopped ? 2 : PROCPOOL_FOREVER);
      if (status == PROCPOOL_PENDING) /* its body had returned: the clock stood still, and it was stopped behind that */
        do_now(CONTINUE);
      if (rig_finish(&b.jobs[i], b.futures[i]) == PROCPOOL_TIMEOUT && rig_entry_of(&b.jobs[i])->pid == stopped) {
        do_now(LOOK); /* a time-out settles when the worker has been reaped */
        CHECK_EQ(counter(STATE), 0);
      }
    }
    do_now(CONTINUE);
  }
  rig.page->linger = 0;
  close_pool();
}

/* It goes on late, about when it is asked, terminated and killed: one outcome, whichever. */
static void stop_and_continue_late(void) {
  batch b;
  open_pool(0);
  for (int turn = 0; turn < TURNS; turn++) {
    rig.page->linger = 8;
    ask(STOP_ANY);
    batch_submit(&b, 1 << 18, RIG_ALLOW(OK) | RIG_ALLOW(TIMEOUT), 0.02, 0.005);
    answered();
    (void)gate_wait_for(&rig.page->word[GATE], 1, (double)rig_below(&dice, 60) * 1e-3); /* at any stage of its end */
    do_now(CONTINUE);
    batch_finish(&b);
  }
  rig.page->linger = 0;
  close_pool();
}

/* A stopped supervisor delays no process that runs. */
static void stop_supervisor(void) {
  batch b;
  open_pool(0);
  for (int turn = 0; turn < TURNS; turn++) {
    do_now(STOP_SUPERVISOR);
    batch_submit(&b, 1 << 18, RIG_ALLOW(OK), 0, 0);
    batch_finish(&b);
    do_now(CONTINUE);
  }
  close_pool();
}

/* One task for sleeping workers, one of which is stopped about when it is woken: a worker begins it all the same. */
static void stop_the_woken(void) {
  open_pool(0);
  for (int i = 0; i < WAKES; i++) {
    const rig_job job = job_for(8, RIG_ALLOW(OK));
    const uint64_t spins = rig_below(&dice, 40000);
    double end;
    procpool_future *future;
    ask(STOP_ANY);
    for (volatile uint64_t k = 0; k < spins; k++)
      ;
    future = submit(rig_task, &job, 0, 0);
    answered();
    end = test_now() + 3.0 * test_slow();
    while (!procpool_future_done(future) && !procpool_future_running(future)) {
      if (test_now() > end)
        rig_fail("a task waits while %d of %d workers sleep and none takes it", workers() - 1, workers());
      CHECK_POLL(procpool_poll(pool, 0));
    }
    do_now(CONTINUE);
    (void)rig_finish(&job, future);
  }
  close_pool();
}

/* ---- modes: in the middle of a result ---- */

/* The host does not look: workers wait for room in the midst of large results, and one of them is stopped there. The others'
 * results come; its own comes when it goes on, or never if it is killed. */
static void stop_mid_result(void) {
  batch b;
  open_pool(4096);
  for (int turn = 0; turn < TURNS; turn++) {
    const bool kill = rig_chance(&dice, 50);
    for (int i = 0; i < BATCH; i++) {
      b.jobs[i] = job_for(100000, RIG_ALLOW(OK) | (kill ? RIG_ALLOW(CANCELLED) : 0));
      b.futures[i] = submit(rig_task, &b.jobs[i], 0, 0);
    }
    for (int i = 0; i < workers(); i++) /* the first ones are begun, one by each worker */
      while (__atomic_load_n(&rig_entry_of(&b.jobs[i])->finished, __ATOMIC_SEQ_CST) == 0)
        sched_yield();
    do_now(STOP_ANY);
    batch_wait_but(&b, 1);
    for (int i = 0; kill && i < BATCH; i++)
      if (!procpool_future_done(b.futures[i]))
        CHECK_STATUS(procpool_future_cancel_kill(b.futures[i], -1), PROCPOOL_PENDING);
    if (kill)
      batch_wait_but(&b, 0); /* although it is stopped still */
    do_now(CONTINUE);
    batch_finish(&b);
  }
  close_pool();
}

/* ---- modes: shutdown ---- */

static void task_gate_word(procpool_task *task) {
  const rig_job *job = rig_task_begin(task);
  set_counter(STOPPED, (uint64_t)getpid());
  gate_add(&rig.page->word[BEGUN], 1);
  gate_wait(&rig.page->word[GATE], 1);
  rig_task_end(task, job, job->size);
}

/* One worker is stopped in a body, one idle, tasks are queued behind a gate. */
static void shut_down_stopped(procpool_shutdown_mode mode) {
  enum { QUEUED = 10 };
  rig_job jobs[1 + QUEUED];
  procpool_future *futures[1 + QUEUED];
  const uint32_t allowed = RIG_ALLOW(OK) | RIG_ALLOW(CANCELLED) | RIG_ALLOW(SHUTDOWN);
  open_pool(0);
  for (int i = 0; i <= QUEUED; i++) {
    jobs[i] = rig_job_of(100);
    rig_entry_of(&jobs[i])->allowed = allowed;
  }
  CHECK_OK(rig_submit(pool, task_gate_word, &jobs[0], &futures[0]));
  gate_wait(&rig.page->word[BEGUN], 1);
  do_now(STOP_THIS);
  gate_add(&rig.page->word[GATE], 1);
  for (int i = 1; i <= QUEUED; i++)
    CHECK_OK(rig_submit(pool, rig_task, &jobs[i], &futures[i]));
  if (mode != PROCPOOL_KILL) {
    CHECK_EQ(procpool_shutdown(pool, mode, 0.1), PROCPOOL_PENDING); /* it says that it waits */
    for (int i = 1; i <= QUEUED; i++)
      CHECK_LT(procpool_future_wait(futures[i], PROCPOOL_FOREVER), PROCPOOL_PENDING); /* for that one alone */
    CHECK_EQ(procpool_future_status(futures[0]), PROCPOOL_PENDING);
    do_now(CONTINUE);
  }
  CHECK_OK(procpool_shutdown(pool, mode, PROCPOOL_FOREVER));
  rig_check_stats(pool);
  CHECK_EQ(procpool_future_status(futures[0]), mode == PROCPOOL_KILL ? PROCPOOL_SHUTDOWN : PROCPOOL_OK);
  for (int i = 0; i <= QUEUED; i++) {
    const procpool_status status = rig_finish(&jobs[i], futures[i]);
    CHECK(status != PROCPOOL_SHUTDOWN || mode == PROCPOOL_KILL);
    CHECK(status != PROCPOOL_CANCELLED || mode == PROCPOOL_CANCEL);
  }
  CHECK_OK(procpool_free(pool));
}

static void drain_stopped(void) {
  shut_down_stopped(PROCPOOL_DRAIN);
}
static void cancel_stopped(void) {
  shut_down_stopped(PROCPOOL_CANCEL);
}
static void kill_stopped(void) {
  shut_down_stopped(PROCPOOL_KILL);
}

/* ---- the observer's side ---- */

static pid_t choose(enum what what) {
  pid_t pids[256];
  rig_random r = rig_stream(1000 + (uint64_t)gate_read(&rig.page->word[DONE]));
  const int count = what == STOP_SUPERVISOR ? rig_supervisors(pids, 256) : rig_workers(pids, 256);
  CHECK_GT(count, 0);
  return what == STOP_THIS ? (pid_t)counter(STOPPED) : pids[rig_below(&r, (uint64_t)count)];
}

/* Until the kernel says that it has stopped, unless it ended before that. */
static void stop(enum what what) {
  const double end = test_now() + rig.stall;
  const pid_t pid = choose(what);
  char state = 0;
  if (rig_signal(pid, SIGSTOP))
    do
      state = rig_process_state(pid);
    while (state != 'T' && state != 0 && state != 'Z' && test_now() < end);
  if (state != 'T' && state != 0 && state != 'Z')
    rig_fail("%ld does not stop", (long)pid);
  set_counter(STOPPED, (uint64_t)pid);
}

static void serve(enum what what) {
  const pid_t stopped = (pid_t)counter(STOPPED);
  if (what == CONTINUE)
    (void)rig_signal(stopped, SIGCONT);
  else if (what == LOOK)
    set_counter(STATE, (uint64_t)rig_process_state(stopped));
  else
    stop(what);
}

static void observe(void) {
  rig_gate(&rig.page->ready, 1);
  for (int served = 0;; served++) {
    while (!gate_wait_for(&rig.page->word[ASKED], served + 1, 0.01))
      if (!rig_pause(0))
        return;
    serve((enum what)counter(WHAT));
    gate_add(&rig.page->word[DONE], 1);
  }
}

int main(int argc, char **argv) {
  static void (*const modes[])(void) = {stop_then_continue, stop_with_limit, stop_and_continue_late,
                                        stop_supervisor,    stop_the_woken,  stop_mid_result,
                                        drain_stopped,      cancel_stopped,  kill_stopped};
  long only;
  procpool_worker_main();
  rig_begin(argc, argv, FORK | SPAWN, 3.0);
  only = rig_option("only", -1);
  while (rig_more())
    for (int i = 0; i < (int)(sizeof(modes) / sizeof(modes[0])); i++)
      if (only < 0 || only == i)
        rig_round(modes[i], observe, RIG_NORMAL);
  return rig_end();
}
