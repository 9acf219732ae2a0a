/* Threads of an inline pool that are about to sleep: one is held at its k-th access to shared memory, for every k, while
 * another does what it is to wake for. So the implementation is included, with a hook, and all calls are this copy's. */
static void step_take(void);
#define PROCPOOL__STEP() step_take()
#define PROCPOOL_STATIC
#define PROCPOOL_IMPLEMENTATION
#include "harness.h"

enum {
  HOLD_MS = 30,           /* a thread that is held may have the lock: it goes on after a while */
  ASLEEP_MS = 300,        /* it has come to no further access for so long */
  WAKE_MS = 3000,         /* it was not woken */
  SWEEP_MOST = 400,       /* accesses */
  LARGE = 3 * (1 << 20),  /* bytes: what two threads cannot have at once in */
  MEMORY = 8 * (1 << 20), /* such a pool */
  BUFFER = 5 * (1 << 19)
};

/* What one round of a sweep is about. */
typedef struct stage {
  procpool *pool;
  procpool_future *future; /* of a task, or of a callback, that is at the gate */
  pthread_t other;         /* the thread in which that is */
  uint64_t block;          /* memory that this round holds */
  unsigned char *large;
  int inside, open; /* the gate */
  int hold, fired, acted, done;
  procpool_status status;
  procpool_status (*call)(struct stage *s);
} stage;

static int look(const int *word) {
  return __atomic_load_n(word, __ATOMIC_SEQ_CST);
}
static void set(int *word) {
  __atomic_store_n(word, 1, __ATOMIC_SEQ_CST);
}
static bool comes(const int *word, int ms) {
  for (int i = 0; i < 10 * ms && look(word) == 0; i++)
    usleep(100);
  return look(word) != 0;
}

static __thread stage *step_of; /* of the thread that is to be held */

static void step_take(void) {
  if (step_of == NULL || --step_of->hold != 0)
    return;
  set(&step_of->fired);
  (void)comes(&step_of->acted, HOLD_MS);
}

static void at_gate(procpool_task *task) {
  stage *s = *(stage *const *)procpool_task_argument(task, NULL);
  set(&s->inside);
  CHECK(comes(&s->open, 100 * WAKE_MS));
}
static void callback_at_gate(procpool_future *future, void *context) {
  stage *s = (stage *)context;
  (void)future;
  set(&s->inside);
  CHECK(comes(&s->open, 100 * WAKE_MS));
}
static void nothing(procpool_task *task) {
  (void)task;
}

static void *other_thread(void *context) {
  stage *s = (stage *)context;
  CHECK_OK(procpool_future_wait(s->future, PROCPOOL_FOREVER));
  return NULL;
}
static void begin_other(stage *s) {
  CHECK_EQ(pthread_create(&s->other, NULL, other_thread, s), 0);
  CHECK(comes(&s->inside, 100 * WAKE_MS));
}
static void end_other(stage *s) {
  set(&s->open);
  CHECK_EQ(pthread_join(s->other, NULL), 0);
  CHECK_OK(procpool_future_release(s->future));
}

static void *held_thread(void *context) {
  stage *s = (stage *)context;
  step_of = s;
  s->status = s->call(s);
  step_of = NULL;
  set(&s->done);
  return NULL;
}

static void begin(stage *s, int k) {
  procpool_options options;
  memset(&options, 0, sizeof(options));
  options.start = PROCPOOL_START_INLINE;
  options.max_memory = MEMORY;
  memset(s, 0, sizeof(*s));
  s->hold = k;
  s->pool = procpool_open(&options);
  CHECK(s->pool != NULL);
}

/* One thread is held at its k-th access, and act done meanwhile. It has to come back with this status. False if it slept
 * before it came so far. */
static bool round_of(stage *s, void (*act)(stage *s), procpool_status expected) {
  pthread_t held;
  bool fired;
  CHECK_EQ(pthread_create(&held, NULL, held_thread, s), 0);
  fired = comes(&s->fired, ASLEEP_MS);
  act(s);
  set(&s->acted);
  CHECK(comes(&s->done, WAKE_MS));
  CHECK_EQ(pthread_join(held, NULL), 0);
  CHECK_STATUS(s->status, expected);
  return fired;
}

/* ---- interrupts ---- */

static void interrupt(stage *s) {
  procpool_interrupt(s->pool);
}
static procpool_status wait_for_it(stage *s) {
  return procpool_future_wait(s->future, PROCPOOL_FOREVER);
}

TEST_LIMIT(r133_interrupt_beside_a_task_that_another_thread_runs, 60) {
  bool more = true;
  for (int k = 1; more && k < SWEEP_MOST; k++) {
    stage s, *self = &s;
    begin(&s, k);
    s.call = wait_for_it;
    CHECK_OK(procpool_submit(s.pool, at_gate, &self, sizeof(self), NULL, &s.future));
    begin_other(&s);
    more = round_of(&s, interrupt, PROCPOOL_INTERRUPTED);
    end_other(&s);
    CHECK_OK(procpool_free(s.pool));
  }
  CHECK(!more);
}

static procpool_status wait_for_the_end(stage *s) {
  return procpool_shutdown(s->pool, PROCPOOL_DRAIN, PROCPOOL_FOREVER);
}

TEST_LIMIT(r133_interrupt_beside_a_callback_of_a_finished_pool, 60) {
  bool more = true;
  for (int k = 1; more && k < SWEEP_MOST; k++) {
    stage s;
    begin(&s, k);
    s.call = wait_for_the_end;
    CHECK_OK(procpool_submit(s.pool, nothing, NULL, 0, NULL, &s.future));
    CHECK_OK(procpool_future_add_done_callback(s.future, callback_at_gate, &s));
    begin_other(&s);
    CHECK_STATUS(procpool_shutdown(s.pool, PROCPOOL_DRAIN, 0.001), PROCPOOL_PENDING);
    CHECK(s.pool->life.finished);
    more = round_of(&s, interrupt, PROCPOOL_INTERRUPTED);
    end_other(&s);
    CHECK_OK(procpool_free(s.pool));
  }
  CHECK(!more);
}

/* ---- what a submit waits for ---- It finds no memory, since another call has some that it has not submitted yet. */

static procpool_status submit_large(stage *s) {
  return procpool_submit(s->pool, nothing, s->large, LARGE, NULL, NULL);
}

static void memory_comes_back(stage *s) {
  procpool__host_lock(s->pool);
  procpool__arena_unhold(s->pool, s->block, LARGE);
  procpool__host_pass_room(s->pool);
  procpool__host_unlock(s->pool);
}

/* The second half of a submit of so much. */
static void task_comes(stage *s) {
  procpool__order o;
  procpool__host_lock(s->pool);
  procpool__submit_make_order(s->pool, &o, nothing, s->large, LARGE, NULL);
  o.block = s->block;
  o.copied = true;
  CHECK_OK(procpool__submit_order(s->pool, &o, PROCPOOL__NEVER));
  procpool__submit_unwanted(s->pool, o.future);
  procpool__host_unlock(s->pool);
}

static void pool_is_shut_down(stage *s) {
  (void)procpool_shutdown(s->pool, PROCPOOL_DRAIN, 0);
}

static void last_task_comes(stage *s) {
  CHECK_OK(procpool_submit(s->pool, nothing, NULL, 0, NULL, &s->future));
  pool_is_shut_down(s);
}

static void nothing_is_accepted(stage *s) {
  procpool__host_lock(s->pool);
  s->pool->life.refusal = PROCPOOL_BROKEN;
  procpool__sleeper_wake_all(s->pool);
  procpool__host_unlock(s->pool);
}

/* held: what act leaves to this is given back afterwards. */
static void sweep_submit(void (*act)(stage *s), procpool_status expected, bool held) {
  unsigned char *large = (unsigned char *)calloc(1, LARGE);
  bool more = true;
  CHECK(large != NULL);
  for (int k = 1; more && k < SWEEP_MOST; k++) {
    stage s;
    begin(&s, k);
    s.call = submit_large;
    s.large = large;
    CHECK(procpool_shared_alloc(s.pool, BUFFER) != NULL);
    procpool__host_lock(s.pool);
    s.block = procpool__arena_hold(s.pool, LARGE);
    procpool__host_unlock(s.pool);
    CHECK(s.block != PROCPOOL__NO_BLOCK);
    more = round_of(&s, act, expected);
    if (held)
      memory_comes_back(&s);
    if (s.future != NULL) { /* what was accepted runs */
      CHECK_OK(procpool_shutdown(s.pool, PROCPOOL_DRAIN, PROCPOOL_FOREVER));
      CHECK_OK(procpool_future_status(s.future));
      CHECK_OK(procpool_future_release(s.future));
    }
    CHECK_OK(procpool_free(s.pool));
  }
  CHECK(!more);
  free(large);
}

TEST_LIMIT(r134_memory_comes_back_beside_a_submit, 60) {
  sweep_submit(memory_comes_back, PROCPOOL_OK, false);
}
TEST_LIMIT(r134_a_task_comes_beside_a_submit, 60) {
  sweep_submit(task_comes, PROCPOOL_OK, false);
}
TEST_LIMIT(r134_a_shutdown_beside_a_submit, 60) {
  sweep_submit(pool_is_shut_down, PROCPOOL_SHUTDOWN, true);
}
TEST_LIMIT(r086_a_task_and_a_shutdown_beside_a_submit, 60) {
  sweep_submit(last_task_comes, PROCPOOL_SHUTDOWN, true);
}
TEST_LIMIT(r134_a_refusal_beside_a_submit, 60) {
  sweep_submit(nothing_is_accepted, PROCPOOL_BROKEN, true);
}
