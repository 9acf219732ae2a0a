/* interleave.c - one process (or a thread of the host) is held at its k-th access to shared memory while everybody else goes
 * on, and then continues; for every k until it has no more. Most are held by a gate, not by a signal: the supervisor hears
 * nothing of it and helps neither, nor does the host's audit. What a sweep looks for is the one instant at which two sides
 * miss each other.
 *
 * Options: --only NUMBER (one of the sweeps, from 1). */
static void step_take(void);
#define PROCPOOL__STEP() step_take()
#undef PROCPOOL__TICK
#define PROCPOOL__TICK ((uint64_t)3600 * 1000000000u) /* no audit mends what went wrong */
#define PROCPOOL_IMPLEMENTATION
#include "rig.h"

#include <poll.h>
#include <sys/syscall.h>

/* words of the witness */
enum {
  WORD_STEP = 1, /* host: where to hold; 0 nowhere */
  WORD_SIGNAL,   /* host: stop by this signal instead of at the gate */
  WORD_FIRED,    /* the process that was to be held is now */
  WORD_GO,       /* host: it may go on */
  WORD_VICTIM,   /* a process that counts as soon as it is ARMED */
  WORD_ARMED,
  WORD_THREAD, /* the host's thread: its id */
  WORD_ENDED,  /* it has done its call */
  GATE_A,      /* of tasks */
  GATE_B,
  GATE_C
};

/* ---- the hook ---- */
static __thread pid_t step_owner; /* this thread counts, if it is in that process: a fork copies it */
static int step_count;

static int word(int number) {
  return gate_read(&rig.page->word[number]);
}

static void open_gate(int number) {
  (void)gate_add(&rig.page->word[number], 1);
}

static void step_begin(void) {
  step_count = 0;
  step_owner = getpid();
}

static void step_hold(void) {
  const int number = word(WORD_SIGNAL);
  open_gate(WORD_FIRED);
  if (number == SIGKILL) {
    __atomic_or_fetch(&rig.page->killed[getpid()], 1ull << (SIGKILL - 1), __ATOMIC_SEQ_CST);
    __atomic_add_fetch(&rig.page->kills, 1, __ATOMIC_SEQ_CST);
  }
  if (number != 0)
    kill(getpid(), number);
  else
    gate_wait(&rig.page->word[WORD_GO], 1);
}

static void step_take(void) {
  if (rig.page == NULL)
    return;
  if (step_owner == 0 && word(WORD_ARMED) != 0 && getpid() == word(WORD_VICTIM))
    step_begin();
  if (step_owner != 0 && step_owner == getpid() && ++step_count == word(WORD_STEP))
    step_hold();
}

/* ---- tasks ---- */

/* Waits at the gate that its job names. */
static void task_gated(procpool_task *task) {
  const rig_job *job = rig_task_begin(task);
  gate_wait(&rig.page->word[job->what], 1);
  rig_task_end(task, job, job->size);
}

/* The same; from its end on the worker counts: its commit, and how it goes to sleep. */
static void task_counted(procpool_task *task) {
  task_gated(task);
  step_begin();
}

static void task_note_parent(procpool_task *task) {
  const rig_job *job = rig_task_begin(task);
  rig.page->word[WORD_VICTIM] = (int)getppid();
  rig_task_end(task, job, job->size);
}

/* Returns when it is asked to, SIGTERM does not end it, and it counts from its return on. */
static void task_stubborn(procpool_task *task) {
  (void)rig_task_begin(task);
  signal(SIGTERM, SIG_IGN);
  while (!procpool_task_cancelled(task))
    sched_yield();
  step_begin();
}

/* Publishes a record in the name of the task in slot number 0, and waits for what comes of it. */
static void task_forges(procpool_task *task) {
  const procpool__worker *w = procpool__process_record.worker;
  const uint64_t other = procpool__load(&w->segment->slots[0].word);
  const uint64_t length = procpool__ring_length(w->segment, w->tail, 8, false);
  procpool__record head;
  (void)rig_task_begin(task);
  memset(&head, 0, sizeof(head));
  head.position = w->tail;
  head.word = procpool__word(procpool__word_ticket(other), w->index, PROCPOOL__DONE_OK);
  head.size = 8;
  head.pid = (uint32_t)getpid();
  procpool__ring_stamp(w->segment, w->index, w->tail, &head);
  (void)procpool__cas(&w->block->tail, w->tail, w->tail + length);
  procpool__shm_wake_host(w->segment, -1);
  for (;;)
    pause();
}

/* ---- what the sweeps share ---- */
static procpool *pool;

static void begin_with(int step, int workers, size_t max_queued) {
  procpool_options o;
  for (int i = 0; i < 16; i++)
    __atomic_store_n(&rig.page->word[i], 0, __ATOMIC_SEQ_CST);
  rig.page->word[WORD_STEP] = step;
  memset(&o, 0, sizeof(o));
  o.ring_size = 4096;
  o.max_queued = max_queued;
  o.spin_us = -1;
  pool = test_open_with(rig.start, workers, &o);
}

static void begin(int step, int workers) {
  begin_with(step, workers, 0);
}

static void end(void) {
  rig_check_stats(pool);
  test_close(pool);
  rig_progress();
}

typedef struct work {
  rig_job job;
  procpool_future *future;
} work;

static void give(work *w, procpool_function function, int gate, uint32_t size, uint32_t allowed, uint32_t flags) {
  w->job = rig_job_of(size);
  w->job.what = (uint32_t)gate;
  rig_entry_of(&w->job)->allowed = allowed;
  rig_entry_of(&w->job)->flags = flags;
  CHECK_OK(rig_submit(pool, function, &w->job, &w->future));
}

/* The rig has an implementation of its own, whose ticks are short: the wait is here. */
static procpool_status finish(work *w) {
  CHECK_LT(procpool_future_wait(w->future, PROCPOOL_FOREVER), PROCPOOL_PENDING);
  return rig_finish(&w->job, w->future);
}

static bool started(const work *w) {
  return gate_read((const int *)&rig_entry_of(&w->job)->started) > 0;
}

static void await_start(const work *w) {
  while (!started(w))
    sched_yield();
}

static uint64_t word_of(const work *w) {
  return procpool__load(&pool->segment.slots[w->future->slot].word);
}

static bool settled(const work *w) {
  return procpool_future_wait(w->future, 0.001) != PROCPOOL_PENDING;
}

/* Done or dead: it is not decided anew. */
static bool decided(const work *w) {
  const procpool__state state = procpool__word_state(word_of(w));
  return procpool__state_done(state) || procpool__state_dead(state);
}

static pid_t worker_pid(int index) {
  return (pid_t)procpool__load(&pool->segment.blocks[index].pid);
}

/* It has told that it sleeps, and does. */
static bool asleep(int index) {
  return (procpool__load(&pool->segment.header->masks[0].idle) >> index & 1) != 0 &&
         rig_process_state(worker_pid(index)) == 'S';
}

static bool fired(void) {
  return word(WORD_FIRED) > 0;
}

/* The process that was to be held has fewer steps than that, or shall go on now. */
static void release(void) {
  __atomic_store_n(&rig.page->word[WORD_STEP], 0, __ATOMIC_SEQ_CST);
  open_gate(WORD_GO);
}

/* ---- a worker that goes to sleep, and a submit ---- */

static bool worker_sleeps(int step) {
  work armed, next;
  bool held;
  begin(step, 1);
  give(&armed, task_counted, GATE_A, 8, RIG_ALLOW(OK), 0);
  open_gate(GATE_A);
  while (!fired() && !asleep(0))
    sched_yield();
  held = fired();
  if (!held)
    release();
  give(&next, rig_task, 0, 8, RIG_ALLOW(OK), 0);
  if (held)
    release();
  CHECK_OK(finish(&next));
  CHECK_OK(finish(&armed));
  end();
  return held;
}

/* ---- a worker that was woken and is stopped before it claims; another one sleeps ---- */

static bool woken_is_stopped(int step) {
  work first, second, next;
  const int victim = 0;
  bool held;
  begin(step, 2);
  give(&first, task_gated, GATE_A, 8, RIG_ALLOW(OK), 0);
  give(&second, task_gated, GATE_B, 8, RIG_ALLOW(OK), 0);
  await_start(&first);
  await_start(&second);
  open_gate(GATE_A);
  CHECK_OK(finish(&first));
  open_gate(GATE_B);
  CHECK_OK(finish(&second));
  while (!asleep(0) || !asleep(1))
    sched_yield();
  for (int i = 0; i < 2; i++) /* neither ran where the host runs: the lowest is woken */
    procpool__store32(&pool->segment.blocks[i].cpu, UINT32_MAX);
  rig.page->word[WORD_SIGNAL] = SIGSTOP;
  rig.page->word[WORD_VICTIM] = (int)worker_pid(victim);
  open_gate(WORD_ARMED);
  give(&next, rig_task, 0, 8, RIG_ALLOW(OK), 0);
  while (!fired() && !settled(&next))
    ;
  held = fired();
  while (held && rig_process_state(worker_pid(victim)) != 'T')
    sched_yield();
  while (held && !settled(&next) &&
         (procpool__word_state(word_of(&next)) == PROCPOOL__READY || procpool__word_worker(word_of(&next)) != victim))
    ;
  release();
  if (held)
    CHECK(rig_signal(worker_pid(victim), SIGCONT));
  CHECK_OK(finish(&next));
  end();
  return held;
}

/* ---- a worker that tells of its result by descriptor, and another one that has one too ---- */

static bool descriptor_told(int step) {
  work victim, other;
  struct pollfd p;
  int index;
  bool held;
  begin(step, 2);
  p.fd = procpool_fd(pool);
  p.events = POLLIN;
  give(&victim, task_counted, GATE_A, 8, RIG_ALLOW(OK), 0);
  give(&other, task_gated, GATE_B, 8, RIG_ALLOW(OK), 0);
  await_start(&victim);
  await_start(&other);
  index = procpool__word_worker(word_of(&victim));
  CHECK_POLL(procpool_poll(pool, 0)); /* what comes from now on signals */
  open_gate(GATE_A);
  while (!fired() && !asleep(index))
    sched_yield();
  held = fired();
  open_gate(GATE_B);
  while (!asleep(1 - index))
    sched_yield();
  CHECK_EQ(poll(&p, 1, 0), 1);
  release();
  CHECK_OK(finish(&victim));
  CHECK_OK(finish(&other));
  end();
  return held;
}

/* ---- the supervisor ends a task that returns meanwhile: the next one is not hit ---- */

static bool supervisor_rests(void) {
  return procpool__load(&pool->segment.header->alive) == 1 && rig_process_state(word(WORD_VICTIM)) == 'S';
}

static bool end_comes_late(int step, double grace) {
  work first, ended, next;
  bool held, survived = false;
  begin(step, 1);
  give(&first, task_note_parent, 0, 8, RIG_ALLOW(OK), 0);
  CHECK_OK(finish(&first));
  give(&ended, task_gated, GATE_A, 8, RIG_ALLOW(OK) | RIG_ALLOW(CANCELLED), RIG_KILLED_TASK);
  await_start(&ended);
  open_gate(WORD_ARMED);
  (void)procpool_future_cancel_kill(ended.future, grace);
  while (!fired() && !(settled(&ended) && supervisor_rests()))
    sched_yield();
  held = fired();
  open_gate(GATE_A);
  while (!settled(&ended) && !decided(&ended))
    sched_yield();
  if (settled(&ended))
    survived = procpool_future_status(ended.future) == PROCPOOL_OK;
  give(&next, task_gated, GATE_B, 8, RIG_ALLOW(OK), 0);
  if (held && (survived || procpool__state_done(procpool__word_state(word_of(&ended)))))
    await_start(&next);
  release();
  while (!supervisor_rests())
    sched_yield();
  open_gate(GATE_B);
  (void)finish(&ended);
  CHECK_OK(finish(&next));
  end();
  return held;
}

static bool kill_comes_late(int step) {
  return end_comes_late(step, -1);
}

static bool term_comes_late(int step) {
  return end_comes_late(step, 0.001);
}

/* ---- a task that was asked to end returns when its word is gone: its worker takes no other ---- */

static bool return_comes_late(int step) {
  work ended, next;
  bool held, dead = false;
  begin(step, 1);
  give(&ended, task_stubborn, 0, 0, RIG_ALLOW(CANCELLED), RIG_KILLED_TASK);
  await_start(&ended);
  give(&next, task_gated, GATE_B, 8, RIG_ALLOW(OK), 0);
  (void)procpool_future_cancel_kill(ended.future, 0.1);
  while (!fired() && !started(&next))
    sched_yield();
  held = fired();
  while (held && !dead && !procpool__state_done(procpool__word_state(word_of(&ended))) && !settled(&ended))
    dead = procpool__state_dead(procpool__word_state(word_of(&ended)));
  release();
  while (dead && procpool__load(&pool->segment.header->started) < 2)
    sched_yield();
  open_gate(GATE_B);
  CHECK_STATUS(finish(&ended), PROCPOOL_CANCELLED);
  CHECK_OK(finish(&next));
  end();
  return held;
}

/* ---- a thread of the host, which is held in a call ---- */

static void *thread_waits(void *context) {
  rig.page->word[WORD_THREAD] = (int)syscall(SYS_gettid);
  step_begin();
  (void)procpool_future_wait(((work *)context)->future, PROCPOOL_FOREVER);
  step_owner = 0;
  open_gate(WORD_ENDED);
  return NULL;
}

static void *thread_cancels(void *context) {
  step_begin();
  (void)procpool_future_cancel(((work *)context)->future);
  step_owner = 0;
  open_gate(WORD_ENDED);
  return NULL;
}

static bool thread_sleeps(void) {
  return word(WORD_THREAD) != 0 && rig_process_state(word(WORD_THREAD)) == 'S';
}

/* Something has come, and the thread sleeps all the same, not just for an instant. Its slow tick would help it: too late. */
static void check_wakes(void) {
  double since = test_now();
  while (word(WORD_ENDED) == 0) {
    const bool news = procpool__load(&pool->segment.blocks[0].tail) != procpool__load(&pool->drain.inboxes[0].head);
    if (!news || !thread_sleeps())
      since = test_now();
    else if (test_now() - since > 0.05)
      rig_fail("the host sleeps although a result has come");
    sched_yield();
  }
}

static bool host_sleeps(int step) {
  work w;
  pthread_t thread;
  bool held;
  begin(step, 1);
  give(&w, task_gated, GATE_A, 8, RIG_ALLOW(OK), 0);
  await_start(&w);
  thread = test_thread(thread_waits, &w);
  while (!fired() && !thread_sleeps())
    sched_yield();
  held = fired();
  if (!held)
    release();
  open_gate(GATE_A);
  while (!asleep(0))
    sched_yield();
  release();
  check_wakes();
  test_join(thread);
  CHECK_OK(finish(&w));
  end();
  return held;
}

/* A cancel, and the claim of the same task. */
static bool host_cancels(int step) {
  work before, w;
  pthread_t thread;
  bool held;
  begin(step, 1);
  give(&before, task_gated, GATE_A, 8, RIG_ALLOW(OK), 0);
  await_start(&before);
  give(&w, rig_task, 0, 8, RIG_ALLOW(OK) | RIG_ALLOW(CANCELLED), 0);
  thread = test_thread(thread_cancels, &w);
  while (!fired() && word(WORD_ENDED) == 0)
    sched_yield();
  held = fired();
  open_gate(GATE_A);
  while (!asleep(0))
    sched_yield();
  release();
  test_join(thread);
  (void)finish(&w);
  CHECK_OK(finish(&before));
  end();
  return held;
}

/* The worker of a large result dies after some pieces of it, while the host is taking others in: what is left of them is no
 * part of the next task's. */
static bool host_takes_pieces(int step) {
  work w, next;
  pthread_t thread;
  bool held;
  begin(step, 1);
  give(&w, task_gated, GATE_A, 45000, RIG_ALLOW(CRASHED), 0);
  await_start(&w);
  thread = test_thread(thread_waits, &w);
  while (!fired() && !thread_sleeps())
    sched_yield();
  held = fired();
  if (held) {
    open_gate(GATE_A);
    while (procpool__load32(&pool->segment.blocks[0].room_flag) == 0 || rig_process_state(worker_pid(0)) != 'S')
      sched_yield();
  }
  CHECK(rig_signal(worker_pid(0), SIGKILL));
  while (procpool__load(&pool->segment.header->started) < 2)
    sched_yield();
  release();
  test_join(thread);
  CHECK_STATUS(finish(&w), PROCPOOL_CRASHED);
  give(&next, rig_task, 0, 45000, RIG_ALLOW(OK), 0);
  CHECK_OK(finish(&next));
  end();
  return held;
}

/* A submit waits for the cell of a task that waits, too: the claim makes room, and nothing else wakes the host. */
static void *thread_submits(void *context) {
  work *w = (work *)context;
  rig.page->word[WORD_THREAD] = (int)syscall(SYS_gettid);
  w->job = rig_job_of(8);
  CHECK_OK(procpool_submit(pool, rig_task, &w->job, sizeof(w->job), NULL, &w->future));
  rig_accepted(&w->job, w->future);
  open_gate(WORD_ENDED);
  return NULL;
}

static void fill_cells(void) {
  procpool_future *future;
  while (try_submit(pool, task_nothing, NULL, 0, &future) == PROCPOOL_OK) {
    CHECK_STATUS(procpool_future_cancel(future), PROCPOOL_CANCELLED);
    CHECK_OK(procpool_future_release(future));
  }
}

static bool host_waits_for_room(int step) {
  work before, head, w;
  pthread_t thread;
  bool held;
  begin_with(step, 1, 4);
  give(&before, task_counted, GATE_A, 8, RIG_ALLOW(OK), 0);
  await_start(&before);
  give(&head, task_gated, GATE_B, 8, RIG_ALLOW(OK), 0);
  fill_cells();
  thread = test_thread(thread_submits, &w);
  while (!thread_sleeps())
    sched_yield();
  open_gate(GATE_A);
  while (!fired() && !started(&head))
    sched_yield();
  held = fired();
  while (!thread_sleeps() && word(WORD_ENDED) == 0)
    sched_yield();
  release();
  rig_gate(&rig.page->word[WORD_ENDED], 1);
  open_gate(GATE_B);
  test_join(thread);
  CHECK_OK(finish(&w));
  CHECK_OK(finish(&head));
  CHECK_OK(finish(&before));
  end();
  return held;
}

/* ---- the supervisor dies, and its worker with it: what was committed by then is delivered ---- */

static bool supervisor_dies(int step) {
  work first, w;
  bool held, committed;
  begin(step, 1);
  give(&first, task_note_parent, 0, 8, RIG_ALLOW(OK), 0);
  CHECK_OK(finish(&first));
  give(&w, task_counted, GATE_A, 8, RIG_ALLOW(OK) | RIG_ALLOW(BROKEN), RIG_KILLED_TASK);
  open_gate(GATE_A);
  while (!fired() && !asleep(0))
    sched_yield();
  held = fired();
  committed = decided(&w);
  CHECK(rig_signal(word(WORD_VICTIM), SIGKILL));
  while (!pool->life.finished)
    CHECK_POLL(procpool_poll(pool, 0));
  CHECK_STATUS(finish(&w), committed ? PROCPOOL_OK : PROCPOOL_BROKEN);
  CHECK_OK(procpool_shutdown(pool, PROCPOOL_DRAIN, PROCPOOL_FOREVER));
  CHECK_OK(procpool_free(pool));
  rig_progress();
  return held;
}

/* ---- not a sweep: a worker speaks for another one ---- */

static bool record_is_forged(int step) {
  work w, forger;
  begin(0, 2);
  give(&w, task_gated, GATE_A, 8, RIG_ALLOW(OK), 0); /* in slot 0 */
  await_start(&w);
  give(&forger, task_forges, 0, 0, RIG_ALLOW(CRASHED), RIG_CRASHES);
  CHECK_STATUS(finish(&forger), PROCPOOL_CRASHED);
  CHECK_STATUS(procpool_future_wait(w.future, 0), PROCPOOL_PENDING);
  open_gate(GATE_A);
  CHECK_OK(finish(&w));
  end();
  return step < 3;
}

/* ---- sweeps ---- */

/* ---- a worker is stopped on the way from its commit to its sleep: what it has committed reaches a host that polls ---- */

static bool committed_is_stopped(int step) {
  work w;
  bool held;
  begin(step, 1);
  rig.page->word[WORD_SIGNAL] = SIGSTOP;
  give(&w, task_counted, GATE_A, 8, RIG_ALLOW(OK), 0);
  await_start(&w);
  open_gate(GATE_A);
  while (!fired() && !asleep(0))
    sched_yield();
  held = fired();
  while (held && rig_process_state(worker_pid(0)) != 'T')
    sched_yield();
  while (held && !known_done(w.future) && decided(&w))
    CHECK_POLL(procpool_poll(pool, 0));
  release();
  if (held)
    CHECK(rig_signal(worker_pid(0), SIGCONT));
  CHECK_OK(finish(&w));
  end();
  return held;
}

/* ---- a worker dies on the way from its commit to its sleep, and the one that replaces it commits before the host looks ----
 * What the first has committed must be published by then: the second one's record would lie over it. */

static bool committed_is_replaced(int step) {
  work victim, next;
  bool held;
  begin(step, 1);
  rig.page->word[WORD_SIGNAL] = SIGKILL;
  give(&victim, task_counted, GATE_A, 8, RIG_ALLOW(OK) | RIG_ALLOW(CRASHED), RIG_CRASHES);
  await_start(&victim);
  give(&next, task_gated, GATE_A, 8, RIG_ALLOW(OK) | RIG_ALLOW(CRASHED), RIG_CRASHES);
  open_gate(GATE_A);
  while (!decided(&next) || !asleep(0)) /* it may be the next one that dies */
    sched_yield();
  held = fired();
  (void)finish(&victim);
  (void)finish(&next);
  end();
  return held;
}

typedef struct sweep {
  const char *name;
  bool (*at)(int step);
} sweep;

static const sweep sweeps[] = {
    {"a worker goes to sleep, a task comes", worker_sleeps},
    {"a worker is woken and stopped, another one sleeps", woken_is_stopped},
    {"a worker tells of its result, so does another one", descriptor_told},
    {"the supervisor kills, the task returns", kill_comes_late},
    {"the supervisor ends by stages, the task returns", term_comes_late},
    {"a task returns late, the supervisor ends it", return_comes_late},
    {"the host goes to sleep, a result comes", host_sleeps},
    {"the host cancels, a worker claims", host_cancels},
    {"the host takes pieces, their worker dies", host_takes_pieces},
    {"the supervisor dies, a worker has committed", supervisor_dies},
    {"a worker speaks for another one", record_is_forged},
    {"the host waits for room, a worker claims", host_waits_for_room},
    {"a worker is stopped after its commit, the host polls", committed_is_stopped},
    {"a worker dies after its commit, its successor commits", committed_is_replaced},
};
enum { SWEEPS = (int)(sizeof(sweeps) / sizeof(sweeps[0])) };

static const sweep *now_running;

static void host(void) {
  int step = 1;
  while (now_running->at(step))
    step++;
  if (step < 3)
    rig_fail("%s: only %d steps were found", now_running->name, step - 1);
  rig.page->count[0] = (uint64_t)step;
}

int main(int argc, char **argv) {
  long only;
  procpool_worker_main();
  rig_begin(argc, argv, FORK, 5.0);
  only = rig_option("only", 0);
  do {
    for (int i = 0; i < SWEEPS; i++) {
      now_running = &sweeps[i];
      if (only != 0 && only != i + 1)
        continue;
      (void)rig_round(host, NULL, RIG_NORMAL);
      printf("  %s\n", now_running->name);
    }
  } while (rig_more());
  return rig_end();
}
