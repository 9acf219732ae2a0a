/* step_sweep.c - T16: a worker, then the supervisor, is killed at its k-th access to shared memory, for every k until it has
 * no more; and again stopped there, to be continued late or never. Along k a task goes from OK (another worker ran it) to
 * CRASHED to OK (committed), once each; no other task is delayed; the pool works on.
 *
 * Options: --after N (tasks that the pool must run after each step), --stride N (of k; 1 in a soak), --supervisor 0 (only
 * the sweeps of workers).
 *
 * The steps are counted within the process that is to die, from the moment when a task of it says so, by the hook that
 * stands at every access to shared memory. The host keeps out of the library until the step was taken, and idle workers do
 * not spin: so the steps of one run are those of the next. */
static void step_take(void);
#define PROCPOOL__STEP() step_take()
#define PROCPOOL_IMPLEMENTATION
#include "rig.h"

#include <sys/mman.h>
#include <sys/syscall.h>
#include <fcntl.h>

/* words of the witness */
enum {
  WORD_STEP = 1,   /* host: where to act */
  WORD_SIGNAL,     /* host: what to do there */
  WORD_FIRED,      /* the process that was to act does now */
  WORD_COUNT,      /* and its steps so far */
  WORD_VICTIM,     /* its process id */
  WORD_SUPERVISOR, /* process id; the host sets ARMED when it shall count */
  WORD_ARMED,
  WORD_PEER, /* host: the peer's blocking task may end */
  WORD_PEER_RUNS,
  WORD_MAPS,   /* host: 1 if a thread of it maps, */
  WORD_MAPPER, /* its id, */
  WORD_HOLD,   /* and it is held at its next step; */
  WORD_SLEEPS  /* it sleeps */
};

/* ---- the hook: runs in every process, at every step ---- */
static pid_t step_owner; /* this process counts, if it is still that one */
static bool step_paused; /* within a loop of the test's own */
static int step_count;
static __thread bool step_mapper; /* the host's thread that maps */

static void step_act(void) {
  const int number = rig.page->word[WORD_SIGNAL];
  if (number == SIGKILL) {
    __atomic_or_fetch(&rig.page->killed[step_owner], 1ull << (SIGKILL - 1), __ATOMIC_SEQ_CST);
    __atomic_add_fetch(&rig.page->kills, 1, __ATOMIC_SEQ_CST);
  }
  gate_add(&rig.page->word[WORD_FIRED], 1);
  kill(step_owner, number);
}

static void step_begin(void) {
  step_count = 0;
  step_owner = getpid();
  __atomic_store_n(&rig.page->word[WORD_VICTIM], (int)step_owner, __ATOMIC_SEQ_CST);
}

static void step_take(void) {
  if (rig.page == NULL)
    return;
  while (step_mapper && gate_read(&rig.page->word[WORD_HOLD]) != 0)
    sched_yield();
  if (step_owner == 0 && __atomic_load_n(&rig.page->word[WORD_ARMED], __ATOMIC_SEQ_CST) != 0 &&
      getpid() == rig.page->word[WORD_SUPERVISOR])
    step_begin();
  if (step_owner == 0 || step_paused || getpid() != step_owner)
    return;
  step_count++;
  __atomic_store_n(&rig.page->word[WORD_COUNT], step_count, __ATOMIC_SEQ_CST);
  if (step_count == rig.page->word[WORD_STEP])
    step_act();
}

/* A spawned supervisor counts too: it finds the witness by the environment, before it does anything. */
static void step_attach(void) {
  const char *where = getenv("STEP_WITNESS");
  int file;
  if (where == NULL)
    return;
  file = open(where, O_RDWR | O_CLOEXEC);
  if (file >= 0) {
    void *page = mmap(NULL, sizeof(rig_page), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, file, 0);
    rig.page = page != MAP_FAILED ? (rig_page *)page : NULL;
    close(file);
  }
  unsetenv("STEP_WITNESS");
}

/* ---- tasks ---- */

/* From its end on the worker counts its steps: those of this task's commit, and all of the next one. */
static void task_arm(procpool_task *task) {
  const rig_job *job = rig_task_begin(task);
  const procpool__worker *w = procpool__process_record.worker;
  uint32_t slot;
  while (procpool__table_peek(w->segment, w->next, &slot) != PROCPOOL__PEEK_TASK)
    sched_yield();
  while (gate_read(&rig.page->word[WORD_MAPS]) != 0 && gate_read(&rig.page->word[WORD_SLEEPS]) == 0)
    sched_yield();
  rig_task_end(task, job, 8);
  step_begin();
}

/* Keeps a worker from taking what the victim is to take. */
static void task_occupy(procpool_task *task) {
  const rig_job *job = rig_task_begin(task);
  gate_add(&rig.page->word[WORD_PEER_RUNS], 1);
  gate_wait(&rig.page->word[WORD_PEER], 1);
  rig_task_end(task, job, job->size);
}

static void task_supervisor(procpool_task *task) {
  const rig_job *job = rig_task_begin(task);
  rig.page->word[WORD_SUPERVISOR] = (int)getppid();
  rig_task_end(task, job, job->size);
}

static void task_report(procpool_task *task) {
  (void)rig_task_begin(task);
  procpool_task_fail(task, 7, "on purpose");
}

/* Returns when it is asked to. How often it looks is no step of the protocol. */
static void task_polite(procpool_task *task) {
  (void)rig_task_begin(task);
  step_paused = true;
  while (!procpool_task_cancelled(task))
    sched_yield();
  step_paused = false;
}

static void task_kill_self(procpool_task *task) {
  (void)rig_task_begin(task);
  kill(getpid(), SIGKILL);
}

/* ---- scenarios ---- */

typedef struct scenario {
  const char *name;
  procpool_function function;
  procpool_status good; /* what becomes of it if no process dies */
  uint32_t size;        /* of the result */
  uint32_t argument;    /* bytes of it, beyond the job */
  size_t ring;
  int before, before_size; /* tasks that move the ring's end to where it shall be */
  bool asked;              /* cancel_kill while it runs */
  bool limited;            /* has a limit that it does not reach */
  int items;               /* a map of so many, in one chunk */
  bool in_place;           /* the result goes to a shared buffer; a map's arguments come from one, too */
} scenario;

static const scenario scenarios[] = {
    {"inline", rig_task, PROCPOOL_OK, 8, 0, 4096, 0, 0, false, false, 0, false},
    {"wraps", rig_task, PROCPOOL_OK, 1500, 0, 4096, 3, 1100, false, false, 0, false},
    {"pieces", rig_task, PROCPOOL_OK, 45000, 0, 65536, 2, 12000, false, false, 0, false},
    {"argument", rig_task, PROCPOOL_OK, 64, 300000, 4096, 0, 0, false, false, 0, false},
    {"failed", task_report, PROCPOOL_FAILED, 0, 0, 4096, 0, 0, false, false, 0, false},
    {"limited", rig_task, PROCPOOL_OK, 100, 0, 4096, 0, 0, false, true, 0, false},
    {"asked", task_polite, PROCPOOL_CANCELLED, 0, 0, 4096, 0, 0, true, false, 0, false},
    {"chunk", rig_task, PROCPOOL_OK, 8, 0, 4096, 0, 0, false, false, 4, false},
    {"placed", rig_task, PROCPOOL_OK, 9000, 0, 4096, 0, 0, false, false, 0, true},
    {"chunk in place", rig_task, PROCPOOL_OK, 8, 0, 4096, 0, 0, false, false, 4, true},
};
enum { SCENARIOS = (int)(sizeof(scenarios) / sizeof(scenarios[0])), ITEMS = 8, STEPS_MOST = 4000 };

static const scenario *now_running;
static procpool *pool;
static int sweep_signal;
static bool never_continued;
static int after;

static void words_reset(int step) {
  for (int i = 0; i < 16; i++)
    __atomic_store_n(&rig.page->word[i], 0, __ATOMIC_SEQ_CST);
  rig.page->word[WORD_STEP] = step;
  rig.page->word[WORD_SIGNAL] = sweep_signal;
  rig.page->word[WORD_MAPS] = now_running != NULL && now_running->items > 0;
}

static void open_pool(int workers) {
  procpool_options o;
  memset(&o, 0, sizeof(o));
  o.ring_size = now_running != NULL ? now_running->ring : 4096;
  o.spin_us = -1;
  pool = test_open_with(rig.start, workers, &o);
}

/* The pool runs on, and no process dies of what comes after the step. */
static void run_after(int count) {
  for (int i = 0; i < count; i++) {
    rig_job job = rig_job_of(16);
    procpool_future *future;
    rig_entry_of(&job)->allowed = RIG_ALLOW(OK);
    CHECK_OK(rig_submit(pool, rig_task, &job, &future));
    CHECK_OK(rig_finish(&job, future));
  }
}

static void warm_up(void) {
  for (int i = 0; i < now_running->before; i++) {
    rig_job job = rig_job_of((uint32_t)now_running->before_size);
    procpool_future *future;
    CHECK_OK(rig_submit(pool, rig_task, &job, &future));
    CHECK_OK(rig_finish(&job, future));
  }
}

/* ---- the two tasks that are swept: the one that arms, and the scenario's ---- */

typedef struct pair {
  rig_job arm, jobs[ITEMS]; /* more than one: items of a map */
  procpool_future *arm_future, *future;
  pthread_t mapper; /* map waits, so it has a thread of its own */
  procpool_status statuses[ITEMS];
  unsigned char results[ITEMS * 8];
  void *in, *out; /* what it has in shared buffers */
} pair;

static void *alloc(size_t size) {
  void *buffer = now_running->in_place ? procpool_shared_alloc(pool, size) : NULL;
  CHECK(buffer != NULL || !now_running->in_place);
  return buffer;
}

static void *map_thread(void *context) {
  pair *p = (pair *)context;
  procpool_map_options o;
  step_mapper = true;
  __atomic_store_n(&rig.page->word[WORD_MAPPER], (int)syscall(SYS_gettid), __ATOMIC_SEQ_CST);
  memset(&o, 0, sizeof(o));
  o.chunksize = (size_t)now_running->items;
  o.statuses = p->statuses;
  IGNORE(procpool_map(pool, now_running->function, now_running->in_place ? p->in : p->jobs, sizeof(p->jobs[0]),
                      now_running->in_place ? p->out : p->results, 8, (size_t)now_running->items, &o));
  if (now_running->in_place)
    memcpy(p->results, p->out, (size_t)now_running->items * 8);
  return NULL;
}

static void pair_submit_one(pair *p) {
  static unsigned char argument[400000];
  procpool_submit_options o;
  memset(&o, 0, sizeof(o));
  o.time_limit = now_running->limited ? 1000 : 0;
  o.grace = -1;
  memcpy(argument, &p->jobs[0], sizeof(p->jobs[0]));
  o.result = alloc(now_running->size);
  o.result_size = o.result != NULL ? now_running->size : 0;
  CHECK_OK(procpool_submit(pool, now_running->function, argument, sizeof(p->jobs[0]) + now_running->argument, &o,
                           &p->future));
  rig_accepted(&p->jobs[0], p->future);
}

static uint32_t pair_allowed(procpool_status good) {
  uint32_t allowed = 1u << good;
  if (sweep_signal == SIGKILL)
    allowed |= RIG_ALLOW(CRASHED);
  else if (never_continued)
    allowed |= RIG_ALLOW(CANCELLED);
  return allowed;
}

/* Returns when the map sleeps. The arming task runs by then: its claim wakes no thread any more, its commit does. Woken, the
 * map is held: whether it sleeps again in time for the next wake would make a step more or less. */
static void map_begin(pair *p) {
  while (gate_read((const int *)&rig_entry_of(&p->arm)->started) == 0)
    sched_yield();
  p->mapper = test_thread(map_thread, p);
  for (;;) { /* it wakes now and then by itself */
    const int thread = gate_read(&rig.page->word[WORD_MAPPER]);
    __atomic_store_n(&rig.page->word[WORD_HOLD], 1, __ATOMIC_SEQ_CST);
    if (thread != 0 && rig_process_state(thread) == 'S' && procpool__load(&pool->segment.header->host_flag) != 0)
      break;
    __atomic_store_n(&rig.page->word[WORD_HOLD], 0, __ATOMIC_SEQ_CST);
    sched_yield();
  }
  gate_add(&rig.page->word[WORD_SLEEPS], 1);
}

static void pair_submit(pair *p) {
  memset(p, 0, sizeof(*p));
  p->arm = rig_job_of(8);
  rig_entry_of(&p->arm)->allowed = pair_allowed(PROCPOOL_OK);
  rig_entry_of(&p->arm)->flags |= RIG_KILLED_TASK;
  CHECK_OK(procpool_submit(pool, task_arm, &p->arm, sizeof(p->arm), NULL, &p->arm_future));
  rig_accepted(&p->arm, p->arm_future);
  for (int i = 0; i < (now_running->items > 0 ? now_running->items : 1); i++) {
    p->jobs[i] = rig_job_of(now_running->size);
    rig_entry_of(&p->jobs[i])->allowed = pair_allowed(now_running->good);
    rig_entry_of(&p->jobs[i])->flags |= RIG_KILLED_TASK;
    if (now_running->items > 0) {
      rig_entry_of(&p->jobs[i])->flags |= RIG_NO_CALLBACK;
      rig_entry_of(&p->jobs[i])->accepted = 1;
    }
  }
  if (now_running->items > 0 && now_running->in_place) {
    p->in = alloc(sizeof(p->jobs));
    p->out = alloc(sizeof(p->results));
    memcpy(p->in, p->jobs, sizeof(p->jobs));
  }
  if (now_running->items > 0)
    map_begin(p);
  else
    pair_submit_one(p);
}

/* The victim is at rest, and had fewer steps than that: what it does from now on does not count. */
static void step_forget(void) {
  __atomic_store_n(&rig.page->word[WORD_STEP], 0, __ATOMIC_SEQ_CST);
}

static bool victim_sleeps(void) {
  const pid_t victim = (pid_t)__atomic_load_n(&rig.page->word[WORD_VICTIM], __ATOMIC_SEQ_CST);
  return victim != 0 && (procpool__load(&pool->segment.header->masks[0].idle) & 1) != 0 &&
         rig_process_state(victim) == 'S';
}

static bool step_taken(const pair *p) {
  const double end = test_now() + 20 * test_slow();
  bool told = false;
  while (!victim_sleeps() || gate_read(&rig.page->word[WORD_FIRED]) > 0) {
    if (gate_read(&rig.page->word[WORD_FIRED]) > 0)
      return true;
    if (now_running->asked && !told && gate_read((const int *)&rig_entry_of(&p->jobs[0])->started) > 0) {
      const procpool_status status = procpool_future_cancel_kill(p->future, 1000);
      CHECK(status == PROCPOOL_PENDING);
      told = true;
    }
    CHECK(test_now() < end);
    sched_yield();
  }
  return false;
}

/* Waits until the step was taken, without touching the pool: false if the victim came to rest before it. */
static bool step_awaited(const pair *p) {
  const bool taken = step_taken(p);
  __atomic_store_n(&rig.page->word[WORD_HOLD], 0, __ATOMIC_SEQ_CST);
  return taken;
}

/* What became of one task: o OK by another worker, v OK by the victim, C ended with it. */
static char letter(const rig_job *job, procpool_status status, procpool_status good) {
  const rig_entry *e = rig_entry_of(job);
  if (status != good)
    return 'C';
  return e->pid == rig.page->word[WORD_VICTIM] ? 'v' : 'o';
}

typedef struct track {
  char text[STEPS_MOST + 1];
  int length;
} track;

static track arm_track, tracks[ITEMS];

static void note(track *t, char c) {
  CHECK_LT(t->length, STEPS_MOST);
  t->text[t->length++] = c;
  t->text[t->length] = '\0';
}

static void pair_finish(pair *p) {
  note(&arm_track, letter(&p->arm, rig_finish(&p->arm, p->arm_future), PROCPOOL_OK));
  if (now_running->items == 0) {
    if (now_running->asked && procpool_future_status(p->future) == PROCPOOL_PENDING) {
      rig_entry *e = rig_entry_of(&p->jobs[0]); /* another worker has it, or will */
      while (gate_read((const int *)&e->started) == 0 && procpool_future_wait(p->future, 0.001) == PROCPOOL_PENDING)
        ;
      if (procpool_future_status(p->future) == PROCPOOL_PENDING)
        (void)procpool_future_cancel_kill(p->future, 1000);
    }
    note(&tracks[0], letter(&p->jobs[0], rig_finish(&p->jobs[0], p->future), now_running->good));
    return;
  }
  test_join(p->mapper);
  for (int i = 0; i < now_running->items; i++) {
    rig_settle_as(&p->jobs[i], p->statuses[i], p->results + i * 8, 8);
    note(&tracks[i], letter(&p->jobs[i], p->statuses[i], PROCPOOL_OK));
  }
}

/* o* C* v*, and all three there: the two flips. For the arming task there is no o. */
static void check_track(const track *t, const char *what, const char *letters) {
  size_t at = 0;
  for (const char *l = letters; *l != '\0'; l++) {
    const size_t begin = at;
    while (t->text[at] == *l)
      at++;
    if (at == begin)
      rig_fail("%s: %s: no step with outcome %c: %s", now_running->name, what, *l, t->text);
  }
  if (t->text[at] != '\0')
    rig_fail("%s: %s: an outcome flips back at step %zu: %s", now_running->name, what, at + 1, t->text);
}

static void check_tracks(const char *arm, const char *task) {
  check_track(&arm_track, "the arming task", arm);
  for (int i = 0; i < (now_running->items > 0 ? now_running->items : 1); i++)
    check_track(&tracks[i], "the task", task);
  rig_progress();
}

static void tracks_reset(void) {
  memset(&arm_track, 0, sizeof(arm_track));
  memset(tracks, 0, sizeof(tracks));
}

/* ---- a worker is killed at step k ---- */

static bool kill_worker_at(int step) {
  pair p;
  bool fired;
  words_reset(step);
  open_pool(1);
  warm_up();
  pair_submit(&p);
  fired = step_awaited(&p);
  if (!fired)
    step_forget();
  pair_finish(&p);
  run_after(after);
  rig_check_stats(pool);
  test_close(pool);
  return fired;
}

static void host_kill_worker(void) {
  tracks_reset();
  for (int step = 1; kill_worker_at(step); step++)
    rig_progress();
  check_tracks("Cv", "oCv");
}

/* ---- a worker is stopped at step k ---- */

/* The victim has committed: then its next step is not needed for the task to settle. */
static void check_committed(const pair *p) {
  const procpool_future *f = p->future;
  if (now_running->items > 0 || procpool_future_status(p->future) != PROCPOOL_PENDING)
    return;
  if (procpool__state_done(procpool__word_state(procpool__load(&pool->segment.slots[f->slot].word))))
    CHECK_NE(procpool_future_wait(p->future, 5 * test_slow()), PROCPOOL_PENDING);
}

/* Nothing else would end what a worker runs that is stopped for ever. (A limit would, but its clock also runs on a machine
 * that is busy with other things before the step comes: see stopped_workers.c.) */
static void pair_end(const pair *p) {
  const procpool_status arm = procpool_future_cancel_kill(p->arm_future, -1);
  const procpool_status status = procpool_future_cancel_kill(p->future, -1);
  CHECK(arm == PROCPOOL_PENDING || arm == PROCPOOL_OK);
  CHECK(status == PROCPOOL_PENDING || status == now_running->good);
}

/* Its signal may come a moment after it said that it would. */
static void await_stop(pid_t pid) {
  while (rig_process_state(pid) != 'T')
    sched_yield();
}

static bool stop_worker_at(int step) {
  pair p;
  rig_job job;
  procpool_future *peer;
  bool fired;
  words_reset(step);
  open_pool(2);
  job = rig_job_of(8);
  rig_entry_of(&job)->allowed = RIG_ALLOW(OK);
  CHECK_OK(rig_submit(pool, task_occupy, &job, &peer));
  rig_gate(&rig.page->word[WORD_PEER_RUNS], 1);
  pair_submit(&p);
  while (gate_read(&rig.page->word[WORD_VICTIM]) == 0 && gate_read(&rig.page->word[WORD_FIRED]) == 0)
    sched_yield();
  while (gate_read(&rig.page->word[WORD_FIRED]) == 0 && rig_process_state(rig.page->word[WORD_VICTIM]) != 'S') {
    CHECK(rig_process_state(rig.page->word[WORD_VICTIM]) != 0);
    sched_yield();
  }
  fired = gate_read(&rig.page->word[WORD_FIRED]) > 0;
  if (fired)
    await_stop(rig.page->word[WORD_VICTIM]);
  else
    step_forget();
  gate_add(&rig.page->word[WORD_PEER], 1);
  CHECK_OK(rig_finish(&job, peer));
  run_after(after); /* while the victim is stopped */
  check_committed(&p);
  if (fired && !never_continued)
    CHECK(rig_signal(rig.page->word[WORD_VICTIM], SIGCONT));
  if (fired && never_continued)
    pair_end(&p);
  pair_finish(&p);
  run_after(after);
  rig_check_stats(pool);
  if (never_continued) {
    (void)procpool_shutdown(pool, PROCPOOL_DRAIN, 0);
    CHECK_OK(procpool_shutdown(pool, PROCPOOL_KILL, PROCPOOL_FOREVER));
    CHECK_OK(procpool_free(pool));
  } else {
    test_close(pool);
  }
  return fired;
}

static void host_stop_worker(void) {
  tracks_reset();
  for (int step = 1; stop_worker_at(step); step++)
    rig_progress();
  if (never_continued)
    check_tracks("Cv", "oCv");
  else
    check_tracks("v", "ov");
}

/* ---- the supervisor, while a worker dies and another one's task is ended ---- */

enum { BESIDE = 6 };

static void supervisor_gone_or(bool killed, rig_job *job, procpool_status status) {
  if (killed)
    rig_entry_of(job)->allowed = RIG_ALLOW(OK) | RIG_ALLOW(CRASHED) | RIG_ALLOW(CANCELLED) | RIG_ALLOW(BROKEN);
  else
    rig_entry_of(job)->allowed = 1u << status;
  rig_entry_of(job)->flags |= RIG_KILLED_TASK | RIG_CRASHES;
}

/* Its work is done, and it sleeps: three workers were started in place of two, and one more for the task that was ended. */
static bool supervisor_rests(void) {
  return procpool__load(&pool->segment.header->alive) == 2 && procpool__load(&pool->segment.header->started) == 4 &&
         rig_process_state(rig.page->word[WORD_SUPERVISOR]) == 'S';
}

static void check_supervisor_stopped(bool fired) {
  if (!fired)
    step_forget();
  if (!fired || sweep_signal == SIGKILL)
    return;
  await_stop(rig.page->word[WORD_SUPERVISOR]);
  CHECK(rig_signal(rig.page->word[WORD_SUPERVISOR], SIGCONT));
}

/* The host learns of it at the latest when it waits for something. */
static void check_broken(void) {
  rig_job job = rig_job_of(8);
  procpool_future *future;
  const procpool_status status = rig_submit(pool, rig_task, &job, &future);
  rig_entry_of(&job)->allowed = RIG_ALLOW(OK) | RIG_ALLOW(BROKEN); /* a worker may have been faster than its own end */
  if (status == PROCPOOL_OK)
    (void)rig_finish(&job, future);
  else
    CHECK_STATUS(status, PROCPOOL_BROKEN);
}

static bool supervisor_at(int step) {
  const bool killed = sweep_signal == SIGKILL;
  rig_job jobs[BESIDE + 2];
  procpool_future *futures[BESIDE + 2];
  rig_job first = rig_job_of(8);
  procpool_future *future;
  bool fired, rests = false;
  words_reset(step);
  open_pool(2);
  CHECK_OK(rig_submit(pool, task_supervisor, &first, &future));
  CHECK_OK(rig_finish(&first, future));
  for (int i = 0; i < BESIDE + 2; i++) {
    jobs[i] = rig_job_of(8);
    supervisor_gone_or(killed, &jobs[i], i == 0 ? PROCPOOL_CANCELLED : (i == 1 ? PROCPOOL_CRASHED : PROCPOOL_OK));
  }
  CHECK_OK(rig_submit(pool, task_polite, &jobs[0], &futures[0]));
  while (!procpool_future_running(futures[0]) || rig_entry_of(&jobs[0])->started == 0)
    sched_yield();
  gate_add(&rig.page->word[WORD_ARMED], 1);
  for (int i = 1; i < BESIDE + 2; i++) {
    const procpool_status status = rig_submit(pool, i == 1 ? task_kill_self : rig_task, &jobs[i], &futures[i]);
    if (status != PROCPOOL_OK)
      CHECK(killed && status == PROCPOOL_BROKEN);
    futures[i] = status == PROCPOOL_OK ? futures[i] : NULL;
  }
  (void)procpool_future_cancel_kill(futures[0], -1);
  while (gate_read(&rig.page->word[WORD_FIRED]) == 0 && !(rests = supervisor_rests()))
    sched_yield();
  fired = gate_read(&rig.page->word[WORD_FIRED]) > 0;
  check_supervisor_stopped(fired);
  for (int i = 0; i < BESIDE + 2; i++)
    if (futures[i] != NULL)
      (void)rig_finish(&jobs[i], futures[i]);
  if (fired && killed)
    check_broken();
  else
    run_after(after);
  CHECK_OK(procpool_shutdown(pool, PROCPOOL_DRAIN, PROCPOOL_FOREVER));
  CHECK_OK(procpool_free(pool));
  return fired;
}

static void host_supervisor(void) {
  int step = 1;
  char where[64];
  snprintf(where, sizeof(where), "/proc/%d/fd/%d", (int)rig_job_of(0).observer, rig_job_of(0).descriptor);
  setenv("STEP_WITNESS", where, 1);
  while (supervisor_at(step)) {
    step++;
    rig_progress();
  }
  unsetenv("STEP_WITNESS");
  rig.page->count[0] = (uint64_t)step;
}

/* ---- rounds ---- */

static void sweep(void (*host)(void), int number, bool never, const char *how) {
  sweep_signal = number;
  never_continued = never;
  (void)rig_round(host, NULL, RIG_NORMAL);
  printf("  %s: %s, %s\n", now_running != NULL ? now_running->name : "death and cancel_kill", how,
         number == SIGKILL ? "killed" : (never ? "stopped for ever" : "stopped and continued"));
}

int main(int argc, char **argv) {
  step_attach();
  procpool_worker_main();
  rig_begin(argc, argv, FORK | SPAWN, 5.0);
  after = (int)rig_option("after", 5);
  do {
    for (int i = 0; i < SCENARIOS; i++) {
      now_running = &scenarios[i];
      sweep(host_kill_worker, SIGKILL, false, "a worker");
      if (scenarios[i].items == 0 && !scenarios[i].asked && scenarios[i].before == 0) {
        sweep(host_stop_worker, SIGSTOP, false, "a worker");
        if (!scenarios[i].limited)
          sweep(host_stop_worker, SIGSTOP, true, "a worker");
      }
    }
    if (rig_option("supervisor", 1) == 0)
      continue;
    now_running = NULL;
    sweep(host_supervisor, SIGKILL, false, "the supervisor");
    sweep(host_supervisor, SIGSTOP, false, "the supervisor");
  } while (rig_more());
  return rig_end();
}
