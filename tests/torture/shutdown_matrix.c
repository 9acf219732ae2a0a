/* shutdown_matrix.c - T14: every mode, waiting, not waiting and with a deadline, in every state that a pool can be in, then
 * again and from four threads at once; and every way in which a host can end without it. Each cell has an expected
 * answer and expected outcomes (the table below), ends within its bound, and leaves nothing behind. */
#include "faults.h"

enum { WORKERS = 2, QUEUED = 20, THREADS = 4, MOST = WORKERS + QUEUED };

/* Words that all processes of the program share, spawned ones too. */
enum { GATE = 10, HELD, INITIALIZERS, POLITE };
#define WORD(which) (&fault->own[which])

typedef enum state {
  UNUSED,
  STARTING,
  IDLE,
  SATURATED,
  RING_FULL,
  ONLY_CANCELLED,
  CODEC_FAILING,
  CRASHING,
  RECYCLING,
  BROKEN,
  IN_CALLBACK,
  NESTED,
  STATES
} state;

typedef enum timing { WAIT, NO_WAIT, DEADLINE, TIMINGS } timing;

#define A(status) RIG_ALLOW(status)
#define ONE(status)                                                                                                    \
  { A(status), A(status), A(status) }

/* What is expected: of the tasks that workers hold and of those that are queued, by mode (drain, cancel, kill). held: the
 * workers hold on until a gate is opened, so that only KILL can end before that. */
static const struct expectation {
  const char *name;
  bool held;
  uint32_t running[3], queued[3];
} table[STATES] = {
    {"never used", false, ONE(OK), ONE(OK)},
    {"starting", true, {A(OK), A(CANCELLED), A(SHUTDOWN)}, {A(OK), A(CANCELLED), A(SHUTDOWN)}},
    {"idle", false, ONE(OK), ONE(OK)},
    {"saturated", true, {A(OK), A(OK), A(SHUTDOWN)}, {A(OK), A(CANCELLED), A(SHUTDOWN)}},
    {"rings full", false, {A(OK), A(OK), A(OK) | A(SHUTDOWN)}, {A(OK), A(OK) | A(CANCELLED), A(OK) | A(SHUTDOWN)}},
    {"only cancelled left", false, ONE(CANCELLED), ONE(CANCELLED)},
    {"codec failing",
     false,
     {A(TRANSFER), A(TRANSFER) | A(CANCELLED), A(TRANSFER) | A(SHUTDOWN)},
     {A(TRANSFER), A(TRANSFER) | A(CANCELLED), A(TRANSFER) | A(SHUTDOWN)}},
    {"crashing",
     false,
     {A(CRASHED), A(CRASHED) | A(CANCELLED), A(CRASHED) | A(SHUTDOWN)},
     {A(CRASHED), A(CRASHED) | A(CANCELLED), A(CRASHED) | A(SHUTDOWN)}},
    {"recycling",
     false,
     {A(OK), A(OK) | A(CANCELLED), A(OK) | A(SHUTDOWN)},
     {A(OK), A(OK) | A(CANCELLED), A(OK) | A(SHUTDOWN)}},
    {"broken", false, ONE(BROKEN), ONE(BROKEN)},
    {"in a callback",
     false,
     {A(OK), A(OK) | A(CANCELLED), A(OK) | A(SHUTDOWN)},
     {A(OK), A(OK) | A(CANCELLED), A(OK) | A(SHUTDOWN)}},
    {"nested", true, {A(OK), A(OK), A(SHUTDOWN)}, {A(OK), A(CANCELLED), A(SHUTDOWN)}},
};

static bool is_thread(void) {
  return rig.start == PROCPOOL_START_THREAD;
}

/* What has no meaning in threads. */
static bool state_exists(state s) {
  return !is_thread() || (s != CRASHING && s != RECYCLING && s != BROKEN && s != NESTED);
}

/* Whether that mode has to wait for the gate. A thread's initializer cannot be killed; its tasks ask whether to end. */
static bool is_stuck(state s, procpool_shutdown_mode mode) {
  return table[s].held && (mode != PROCPOOL_KILL || (is_thread() && s == STARTING));
}

static uint32_t expected_answer(state s, procpool_shutdown_mode mode, timing t) {
  const uint32_t moments = A(OK) | 1u << PROCPOOL_PENDING;
  if (t == NO_WAIT)
    return is_stuck(s, mode) ? 1u << PROCPOOL_PENDING : moments;
  return t == DEADLINE && is_stuck(s, mode) ? 1u << PROCPOOL_PENDING : A(OK);
}

/* ---- tasks: with the witness, or without (observer is 0) ---- */

static const rig_job *begin(procpool_task *task) {
  const rig_job *job = (const rig_job *)procpool_task_argument(task, NULL);
  return job->observer != 0 ? rig_task_begin(task) : job;
}

static void end(procpool_task *task, const rig_job *job) {
  if (job->observer != 0)
    rig_task_end(task, job, job->size);
  else
    CHECK(procpool_task_result(task, job->size) != NULL);
}

static void task_quick(procpool_task *task) {
  end(task, begin(task));
}

static void task_hold(procpool_task *task) {
  const rig_job *job = begin(task);
  gate_add(WORD(HELD), 1);
  while (!gate_wait_for(WORD(GATE), 1, 0.01) && !(gate_read(WORD(POLITE)) && procpool_task_cancelled(task)))
    ;
  end(task, job);
}

static void task_codec(procpool_task *task) {
  (void)begin(task);
  CHECK(procpool_task_result(task, (size_t)1 << 60) == NULL);
}

static void task_crash(procpool_task *task) {
  (void)begin(task);
  raise(SIGKILL);
}

/* Its own pool holds on while the outer one is shut down. */
static void task_nested(procpool_task *task) {
  const rig_job *job = begin(task);
  const rig_job inner = {0};
  procpool_options options = {0};
  procpool *pool;
  options.start = PROCPOOL_START_FORK;
  options.max_workers = 2;
  pool = procpool_open(&options);
  CHECK(pool != NULL);
  CHECK_OK(procpool_submit(pool, task_hold, &inner, sizeof(inner), NULL, NULL));
  CHECK_OK(procpool_shutdown(pool, PROCPOOL_DRAIN, PROCPOOL_FOREVER));
  CHECK_OK(procpool_free(pool));
  end(task, job);
}

static int initializer_hold(const void *argument, size_t size) {
  (void)argument;
  (void)size;
  gate_add(WORD(INITIALIZERS), 1);
  gate_wait(WORD(GATE), 1);
  return 0;
}

/* ---- a cell: a pool, brought into its state ---- */

typedef struct cell {
  state s;
  procpool_shutdown_mode mode;
  timing t;
  bool witness;
  procpool *pool;
  int count;
  rig_job jobs[MOST];
  procpool_future *futures[MOST];
  procpool_status answer; /* of the first shutdown */
} cell;

static void cell_submit(cell *c, procpool_function function, uint32_t size, bool running) {
  const int i = c->count++;
  rig_job *job = &c->jobs[i];
  memset(job, 0, sizeof(*job));
  job->size = size;
  if (!c->witness) {
    CHECK_OK(procpool_submit(c->pool, function, job, sizeof(*job), NULL, &c->futures[i]));
    return;
  }
  *job = rig_job_of(size);
  rig_entry_of(job)->allowed = running ? table[c->s].running[c->mode] : table[c->s].queued[c->mode];
  if (is_thread() && running && c->mode == PROCPOOL_KILL) /* what cannot be killed ends by itself */
    rig_entry_of(job)->allowed |= A(OK);
  if (function == task_crash)
    rig_entry_of(job)->flags = RIG_CRASHES;
  CHECK_OK(audit_submit(c->pool, function, job, &c->futures[i]));
}

static void cell_submit_many(cell *c, procpool_function running, procpool_function queued, uint32_t size) {
  for (int i = 0; i < MOST; i++)
    cell_submit(c, i < WORKERS ? running : queued, size, i < WORKERS);
}

static void cell_open(cell *c) {
  procpool_options options = {0};
  gate_add(WORD(GATE), -gate_read(WORD(GATE)));
  gate_add(WORD(HELD), -gate_read(WORD(HELD)));
  gate_add(WORD(INITIALIZERS), -gate_read(WORD(INITIALIZERS)));
  gate_add(WORD(POLITE), is_thread() - gate_read(WORD(POLITE))); /* a process does not end when it is asked */
  options.ring_size = 4096;
  options.initializer = c->s == STARTING ? initializer_hold : NULL;
  options.max_tasks_per_child = c->s == RECYCLING ? 1 : 0;
  options.strict = c->s == BROKEN;
  c->pool = test_open_with(rig.start, WORKERS, &options);
}

static void callback_shutdown(procpool_future *future, void *context) {
  cell *c = (cell *)context;
  const double timeouts[TIMINGS] = {PROCPOOL_FOREVER, 0, 10};
  (void)future;
  c->answer = procpool_shutdown(c->pool, c->mode, timeouts[c->t]);
}

/* A strict pool one of whose workers has died: what the other one runs is BROKEN. */
static void cell_break(cell *c) {
  rig_job job;
  procpool_future *first;
  memset(&job, 0, sizeof(job));
  cell_submit(c, task_hold, 10, true);
  gate_wait(WORD(HELD), 1);
  CHECK_OK(procpool_submit(c->pool, task_crash, &job, sizeof(job), NULL, &first));
  CHECK_SETTLES(first, PROCPOOL_CRASHED);
  CHECK_OK(procpool_future_release(first));
  AUDIT_UNTIL(10, (CHECK_POLL(procpool_poll(c->pool, 0)),
                   procpool_submit(c->pool, task_quick, &job, sizeof(job), NULL, NULL) == PROCPOOL_BROKEN));
}

static void cell_prepare(cell *c) {
  cell_open(c);
  switch (c->s) {
  case STARTING:
    cell_submit_many(c, task_quick, task_quick, 10);
    gate_wait(WORD(INITIALIZERS), WORKERS);
    break;
  case IDLE:
    cell_submit_many(c, task_quick, task_quick, 10);
    for (int i = 0; i < c->count; i++)
      CHECK_SETTLES(c->futures[i], PROCPOOL_OK);
    break;
  case SATURATED:
    cell_submit_many(c, task_hold, task_quick, 10);
    gate_wait(WORD(HELD), WORKERS);
    break;
  case RING_FULL: /* the host takes none out */
    cell_submit_many(c, task_quick, task_quick, 20000);
    AUDIT_UNTIL(10, procpool__load32(&c->pool->segment.blocks[0].room_flag) != 0 &&
                        procpool__load32(&c->pool->segment.blocks[1].room_flag) != 0);
    break;
  case ONLY_CANCELLED: { /* behind others, which end */
    rig_job job;
    memset(&job, 0, sizeof(job));
    for (int i = 0; i < WORKERS; i++)
      CHECK_OK(procpool_submit(c->pool, task_hold, &job, sizeof(job), NULL, NULL));
    gate_wait(WORD(HELD), WORKERS);
    cell_submit_many(c, task_quick, task_quick, 10);
    for (int i = 0; i < c->count; i++)
      CHECK_STATUS(procpool_future_cancel(c->futures[i]), PROCPOOL_CANCELLED);
    gate_add(WORD(GATE), 1);
    break;
  }
  case CODEC_FAILING:
    cell_submit_many(c, task_codec, task_codec, 10);
    break;
  case CRASHING:
    cell_submit_many(c, task_crash, task_crash, 10);
    break;
  case RECYCLING:
    cell_submit_many(c, task_quick, task_quick, 10);
    break;
  case BROKEN:
    cell_break(c);
    break;
  case NESTED:
    cell_submit_many(c, task_nested, task_quick, 10);
    gate_wait(WORD(HELD), WORKERS);
    break;
  default: /* UNUSED; IN_CALLBACK: by its callback */
    break;
  }
}

/* Opens the gate as soon as the shutdown has begun. */
static void *opener(void *context) {
  procpool *pool = (procpool *)context;
  bool closing = false;
  while (!closing) {
    procpool__host_lock(pool);
    closing = pool->life.phase != PROCPOOL__PHASE_RUN;
    procpool__host_unlock(pool);
    audit_nap();
  }
  gate_add(WORD(GATE), 1);
  return NULL;
}

static void cell_shutdown(cell *c) {
  const bool stuck = is_stuck(c->s, c->mode);
  const double timeouts[TIMINGS] = {PROCPOOL_FOREVER, 0, stuck ? 0.05 : 10.0 * test_slow()};
  const double begin_at = test_now();
  pthread_t thread = pthread_self();
  if (c->s == IN_CALLBACK) {
    cell_submit(c, task_quick, 10, true);
    CHECK_OK(procpool_future_add_done_callback(c->futures[0], callback_shutdown, c));
    for (int i = 0; i < QUEUED; i++)
      cell_submit(c, task_quick, 10, false);
    (void)procpool_future_wait(c->futures[0], PROCPOOL_FOREVER);
    if (c->t == NO_WAIT) {
      CHECK(c->answer == PROCPOOL_OK || c->answer == PROCPOOL_PENDING);
    } else {
      CHECK_STATUS(c->answer, PROCPOOL_DEADLOCK);
    }
    return;
  }
  if (stuck && c->t == WAIT)
    thread = test_thread(opener, c->pool);
  c->answer = procpool_shutdown(c->pool, c->mode, timeouts[c->t]);
  if (stuck && c->t == WAIT)
    test_join(thread);
  if ((expected_answer(c->s, c->mode, c->t) >> (unsigned)c->answer & 1) == 0)
    rig_fail("%s, mode %d, timing %d: %s", table[c->s].name, (int)c->mode, (int)c->t, procpool_status_name(c->answer));
  CHECK_SECONDS(test_now() - begin_at, <=, (c->t == NO_WAIT ? 2.0 : 8.0) * test_slow());
}

static void *shutdown_again(void *context) {
  cell *c = (cell *)context;
  CHECK_OK(procpool_shutdown(c->pool, c->mode, PROCPOOL_FOREVER));
  return NULL;
}

/* Again, from several threads at once, and stronger: all of them find it ended. */
static void cell_repeat(cell *c) {
  const double begin_at = test_now();
  pthread_t threads[THREADS];
  rig_job job;
  memset(&job, 0, sizeof(job));
  if (c->answer != PROCPOOL_DEADLOCK)
    CHECK_STATUS(procpool_submit(c->pool, task_quick, &job, sizeof(job), NULL, NULL), PROCPOOL_SHUTDOWN);
  if (gate_read(WORD(GATE)) == 0 && (c->mode != PROCPOOL_KILL || is_stuck(c->s, c->mode)))
    gate_add(WORD(GATE), 1); /* those that are to be killed must not end by themselves just before */
  for (int i = 0; i < THREADS; i++)
    threads[i] = test_thread(shutdown_again, c);
  for (int i = 0; i < THREADS; i++)
    test_join(threads[i]);
  for (int mode = PROCPOOL_DRAIN; mode <= PROCPOOL_KILL; mode++)
    CHECK_OK(procpool_shutdown(c->pool, (procpool_shutdown_mode)mode, mode == PROCPOOL_CANCEL ? 0 : 1));
  CHECK_STATUS(procpool_submit(c->pool, task_quick, &job, sizeof(job), NULL, NULL), PROCPOOL_SHUTDOWN);
  CHECK_SECONDS(test_now() - begin_at, <=, 8.0 * test_slow());
}

static void cell_run(state s, procpool_shutdown_mode mode, timing t) {
  const audit_counts before = audit_take();
  cell c;
  memset(&c, 0, sizeof(c));
  c.s = s;
  c.mode = mode;
  c.t = t;
  c.witness = true;
  cell_prepare(&c);
  cell_shutdown(&c);
  cell_repeat(&c);
  for (int i = 0; i < c.count; i++) {
    CHECK(procpool_future_done(c.futures[i])); /* none is pending */
    audit_finish(&c.jobs[i], c.futures[i]);
  }
  rig_check_stats(c.pool);
  CHECK_EQ(test_stats(c.pool).workers_alive, 0);
  CHECK_OK(procpool_free(c.pool));
  audit_check(&before, table[s].name, (int)mode * 10 + (int)t);
}

/* ---- ends of the host ---- */

enum { LEAVE_EXIT = 3, LEAVE_UNDERSCORE = 4, LEAVE_RETURN = 5, LEAVE_EXEC = 7 };

/* What becomes of the pool first: nothing, or a shutdown that is not waited for. */
static void leave(state s, int how, int first) {
  cell c;
  memset(&c, 0, sizeof(c));
  c.s = s;
  cell_prepare(&c);
  if (first >= 0)
    (void)procpool_shutdown(c.pool, (procpool_shutdown_mode)first, 0);
  if (how == LEAVE_EXIT)
    exit(LEAVE_EXIT);
  if (how == LEAVE_UNDERSCORE)
    _exit(LEAVE_UNDERSCORE);
  if (how == LEAVE_EXEC)
    execl("/proc/self/exe", "shutdown_matrix", "--after-exec", (char *)NULL);
  if (how == SIGKILL)
    raise(SIGKILL);
}

static void leave_check(state s, int how, int first) {
  const audit_counts before = audit_take();
  double ended;
  int status = 0;
  pid_t child;
  fflush(NULL);
  child = fork();
  CHECK_GE(child, 0);
  if (child == 0) {
    char text[3][16];
    snprintf(text[0], sizeof(text[0]), "%d", (int)s);
    snprintf(text[1], sizeof(text[1]), "%d", first);
    snprintf(text[2], sizeof(text[2]), "%d", (int)rig.start);
    if (how == LEAVE_RETURN)
      execl("/proc/self/exe", "shutdown_matrix", "--return", text[0], text[1], text[2], (char *)NULL);
    leave(s, how, first);
    _exit(99);
  }
  CHECK_EQ(waitpid(child, &status, 0), child);
  ended = test_now();
  if (how == SIGKILL ? !WIFSIGNALED(status) || WTERMSIG(status) != SIGKILL
                     : !WIFEXITED(status) || WEXITSTATUS(status) != how)
    rig_fail("%s, left by %d after %d: status %#x", table[s].name, how, first, (unsigned)status);
  audit_check(&before, table[s].name, how);
  CHECK_SECONDS(test_now() - ended, <=, 2.0 * test_slow());
}

static void leave_all(void) {
  static const int ways[] = {LEAVE_EXIT, LEAVE_UNDERSCORE, LEAVE_EXEC, LEAVE_RETURN, SIGKILL};
  static const int firsts[] = {-1, PROCPOOL_DRAIN, PROCPOOL_CANCEL, PROCPOOL_KILL};
  rig_random r = rig_stream(1);
  for (int s = 0; s < STATES; s++)
    for (size_t w = 0; w < sizeof(ways) / sizeof(ways[0]); w++)
      for (size_t f = 0; f < sizeof(firsts) / sizeof(firsts[0]); f++)
        if (state_exists((state)s) && s != IN_CALLBACK && (rig.duration >= 60 || rig_chance(&r, 40)))
          leave_check((state)s, ways[w], firsts[f]);
}

/* ---- rounds ---- */

static void host(void) {
  for (int s = 0; s < STATES; s++)
    for (int mode = PROCPOOL_DRAIN; mode <= PROCPOOL_KILL; mode++)
      for (int t = 0; t < TIMINGS; t++)
        if (state_exists((state)s))
          cell_run((state)s, (procpool_shutdown_mode)mode, (timing)t);
}

int main(int argc, char **argv) {
  procpool_worker_main();
  if (argc == 2 && strcmp(argv[1], "--after-exec") == 0)
    return LEAVE_EXEC;
  if (argc == 5 && strcmp(argv[1], "--return") == 0) {
    rig.start = (procpool_start)atoi(argv[4]);
    leave((state)atoi(argv[2]), LEAVE_RETURN, atoi(argv[3]));
    return LEAVE_RETURN;
  }
  rig_begin(argc, argv, FORK | SPAWN | THREAD, 3.0);
  printf("skip dlclose: the pool's code is in the program itself\n");
  while (rig_more()) {
    rig_round(host, NULL, RIG_NORMAL);
    rig_round(leave_all, NULL, RIG_NORMAL);
  }
  return rig_end();
}
