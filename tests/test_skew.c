/* Maps whose items take very different times: a chunk that runs is shortened when a worker has nothing to do. */
#include "harness.h"

#include <time.h>

enum { MOST = 2000, WORKERS_MOST = 8 };

/* What the items of one map do, and what they leave behind: in a shared buffer. */
typedef struct trace {
  int begun[MOST];        /* how often each began, */
  int worker[MOST];       /* and where */
  int pids[WORKERS_MOST]; /* of the processes that run items */
} trace;

typedef struct work {
  int index;
  int us;    /* it sleeps so long; 0: not at all */
  int fails; /* it reports failure */
  trace *to;
} work;

static void sleep_us(int us) {
  struct timespec t;
  t.tv_sec = us / 1000000;
  t.tv_nsec = us % 1000000 * 1000L;
  while (us > 0 && nanosleep(&t, &t) != 0)
    ;
}

static int run_work(procpool_task *task, const work *w) {
  trace *to = (trace *)procpool_task_shared(task, w->to);
  char text[32];
  (void)__atomic_fetch_add(&to->begun[w->index], 1, __ATOMIC_SEQ_CST);
  to->worker[w->index] = procpool_task_worker(task);
  __atomic_store_n(&to->pids[procpool_task_worker(task)], (int)getpid(), __ATOMIC_SEQ_CST);
  sleep_us(w->us);
  if (w->fails) {
    (void)snprintf(text, sizeof(text), "item %d", w->index);
    procpool_task_fail(task, w->index, text);
  }
  return 3 * w->index + 1;
}

static void task_work(procpool_task *task) {
  const work *w = (const work *)procpool_task_argument(task, NULL);
  const int result = run_work(task, w);
  procpool_task_return(task, &result, sizeof(result));
}

PROCPOOL_TASK_FUNCTION(int, skewed, work, w) {
  return run_work(task, &w);
}

static trace *trace_new(procpool *pool) {
  trace *t = (trace *)procpool_shared_alloc(pool, sizeof(*t));
  CHECK(t != NULL);
  memset(t, 0, sizeof(*t));
  return t;
}

/* ---- each item once ---- */

typedef struct round {
  procpool *pool;
  size_t count;
  bool typed, shared;
  procpool_map_options options;
  procpool_error errors[MOST];
  procpool_status statuses[MOST];
  work work[MOST];
  int results[MOST];
} round;

/* A few items, or a row of them, take long; most take no time. */
static void round_fill(round *r, trace *to, unsigned *seed, bool fails) {
  const size_t first = (size_t)rand_r(seed) % r->count, row = (size_t)rand_r(seed) % 20;
  for (size_t i = 0; i < r->count; i++) {
    const bool is_long = (i >= first && i < first + row) || rand_r(seed) % 100 == 0;
    r->work[i].index = (int)i;
    r->work[i].us = is_long ? rand_r(seed) % 2000 : 0;
    r->work[i].fails = fails && rand_r(seed) % 10 == 0;
    r->work[i].to = to;
    r->results[i] = -1;
  }
}

static procpool_status round_run(round *r) {
  work *in = r->work;
  int *out = r->results;
  procpool_status status;
  if (r->shared) {
    in = (work *)procpool_shared_alloc(r->pool, r->count * sizeof(*in));
    out = (int *)procpool_shared_alloc(r->pool, r->count * sizeof(*out));
    CHECK(in != NULL && out != NULL);
    memcpy(in, r->work, r->count * sizeof(*in));
    memcpy(out, r->results, r->count * sizeof(*out));
  }
  status = r->typed ? skewed_map_with(r->pool, in, out, r->count, &r->options)
                    : procpool_map(r->pool, task_work, in, sizeof(*in), out, sizeof(*out), r->count, &r->options);
  if (r->shared) {
    memcpy(r->results, out, r->count * sizeof(*out));
    CHECK_OK(procpool_shared_free(r->pool, in));
    CHECK_OK(procpool_shared_free(r->pool, out));
  }
  return status;
}

static void each_item_once(procpool *pool, size_t count, size_t chunksize, unsigned *seed, unsigned how) {
  static round r;
  trace *to = trace_new(pool);
  size_t failed = 0;
  memset(&r, 0, sizeof(r));
  r.pool = pool;
  r.count = count;
  r.typed = how & 1;
  r.shared = (how & 2) != 0;
  r.options.chunksize = chunksize;
  r.options.statuses = r.statuses;
  r.options.errors = how & 4 ? r.errors : NULL;
  round_fill(&r, to, seed, (how & 8) != 0);
  IGNORE(round_run(&r));
  for (size_t i = 0; i < count; i++) {
    CHECK_EQ(to->begun[i], 1);
    CHECK_STATUS(r.statuses[i], r.work[i].fails ? PROCPOOL_FAILED : PROCPOOL_OK);
    if (!r.work[i].fails)
      CHECK_EQ(r.results[i], 3 * (int)i + 1);
    if (how & 4)
      CHECK_EQ(r.errors[i].code, r.work[i].fails ? (int)i : 0);
    failed += r.work[i].fails != 0;
  }
  CHECK_EQ(r.options.failed_count, failed);
  CHECK_OK(procpool_shared_free(pool, to));
}

TEST_STARTS(r032_skewed_map_runs_each_item_once, EVERY) {
  static const int workers[] = {1, 2, 3, 8};
  unsigned seed = 11;
  for (size_t w = 0; w < sizeof(workers) / sizeof(workers[0]); w++) {
    procpool *pool = test_open(start, workers[w]);
    for (unsigned how = 0; how < 16; how++) {
      each_item_once(pool, 300, how % 3 == 0 ? 300 : how % 3 == 1 ? 0 : 7, &seed, how);
      each_item_once(pool, 1 + (size_t)rand_r(&seed) % 20, 50, &seed, how);
    }
    test_close(pool);
  }
}

/* ---- a chunk is divided ---- */

static void is_divided(procpool *pool, bool typed, bool shared) {
  enum { COUNT = 40, US = 5000 };
  static round r;
  trace *to = trace_new(pool);
  double took;
  size_t second = 0;
  memset(&r, 0, sizeof(r));
  r.pool = pool;
  r.count = COUNT;
  r.typed = typed;
  r.shared = shared;
  r.options.chunksize = COUNT;
  for (int i = 0; i < COUNT; i++) {
    r.work[i].index = i;
    r.work[i].us = US;
    r.work[i].to = to;
  }
  took = test_now();
  CHECK_OK(round_run(&r));
  took = test_now() - took;
  for (int i = 0; i < COUNT; i++) {
    CHECK_EQ(to->begun[i], 1);
    CHECK_EQ(r.results[i], 3 * i + 1);
    second += to->worker[i] != to->worker[0];
  }
  CHECK_GE(second, COUNT / 4);
  CHECK_LE(second, COUNT - COUNT / 4);
  CHECK_SECONDS(took, <, 0.85 * COUNT * US * 1e-6 * test_slow());
  CHECK_OK(procpool_shared_free(pool, to));
}

TEST_STARTS(r032_chunk_that_runs_is_divided, CONCURRENT) {
  procpool *pool = test_open(start, 2);
  for (int how = 0; how < 4; how++)
    is_divided(pool, how & 1, (how & 2) != 0);
  test_close(pool);
}

/* Items that take so many turns of a loop; those that fail are two, and meet: two workers must run them at the same time. */
PROCPOOL_TASK_FUNCTION(int, meeting, work, w) {
  volatile int turns = 0;
  while (turns < w.us)
    turns = turns + 1;
  if (w.fails != 0) {
    trace *to = (trace *)procpool_task_shared(task, w.to);
    (void)__atomic_fetch_add(&to->begun[0], 1, __ATOMIC_SEQ_CST);
    while (__atomic_load_n(&to->begun[0], __ATOMIC_SEQ_CST) < w.fails)
      sleep_us(100);
  }
  return w.index;
}

static void meet_after_quick_ones(procpool *pool, int count, int turns) {
  static work items[MOST];
  static int results[MOST];
  trace *to = trace_new(pool);
  for (int i = 0; i < count; i++) {
    memset(&items[i], 0, sizeof(items[i]));
    items[i].index = i;
    items[i].us = turns;
    items[i].to = to;
  }
  for (int round = 1; round <= 3; round++) {
    for (int k = 0; k < 4; k++) {
      CHECK_OK(meeting_map(pool, items, results, (size_t)count));
      CHECK_EQ(results[count - 1], count - 1);
    }
    usleep(round == 2 ? 3000 : 0); /* all sleep */
    items[0].fails = items[count - 1].fails = 2 * round;
    CHECK_OK(meeting_map(pool, items, results, (size_t)count));
    CHECK_EQ(to->begun[0], 2 * round);
    items[0].fails = items[count - 1].fails = 0;
  }
  CHECK_OK(procpool_shared_free(pool, to));
}

/* Quick items teach the pool to give a map as short to one worker, in one chunk or a few. What then takes long all the
 * same gets another worker: parts of the chunk that runs, or the chunks behind it. */
TEST_STARTS(r032_what_was_brief_takes_long, CONCURRENT) {
  procpool *pool = test_open(start, 2);
  for (int turns = 1; turns <= 100000; turns *= 10)
    for (int count = 2; count <= 1500; count = count < 10 ? count + 1 : 5 * count)
      if (turns * count <= 2000000)
        meet_after_quick_ones(pool, count, turns);
  test_close(pool);
}

/* A worker that has something else to do gets none of it. */
TEST_STARTS(r032_chunk_is_not_divided_for_a_busy_worker, CONCURRENT) {
  enum { COUNT = 20 };
  procpool *pool = test_open(start, 2);
  static round r;
  trace *to = trace_new(pool);
  procpool_future *other;
  work w = {COUNT, 300000, 0, to};
  CHECK_OK(procpool_submit(pool, task_work, &w, sizeof(w), NULL, &other));
  while (__atomic_load_n(&to->begun[COUNT], __ATOMIC_SEQ_CST) == 0)
    sleep_us(100);
  memset(&r, 0, sizeof(r));
  r.pool = pool;
  r.count = COUNT;
  r.options.chunksize = COUNT;
  for (int i = 0; i < COUNT; i++) {
    r.work[i].index = i;
    r.work[i].us = 1000;
    r.work[i].to = to;
  }
  CHECK_OK(round_run(&r));
  CHECK_EQ(test_stats(pool).submitted, 2);
  CHECK_OK(procpool_future_wait(other, PROCPOOL_FOREVER));
  procpool_future_release(other);
  test_close(pool);
}

/* ---- and its workers die ---- */

typedef struct killer {
  trace *to;
  int over, kills;
} killer;

static void *kill_now_and_then(void *context) {
  killer *k = (killer *)context;
  unsigned seed = 5;
  while (!__atomic_load_n(&k->over, __ATOMIC_SEQ_CST)) {
    const int pid = __atomic_exchange_n(&k->to->pids[rand_r(&seed) % 3], 0, __ATOMIC_SEQ_CST);
    if (pid > 0)
      k->kills += kill(pid, SIGKILL) == 0;
    sleep_us(1000 + rand_r(&seed) % 6000);
  }
  return NULL;
}

static void with_deaths(procpool *pool, size_t chunksize, unsigned *seed, unsigned how) {
  static round r;
  killer k = {trace_new(pool), 0, 0};
  pthread_t thread;
  size_t crashed = 0;
  memset(&r, 0, sizeof(r));
  r.pool = pool;
  r.count = 600;
  r.typed = how & 1;
  r.shared = (how & 2) != 0;
  r.options.chunksize = chunksize;
  r.options.statuses = r.statuses;
  round_fill(&r, k.to, seed, false);
  CHECK_EQ(pthread_create(&thread, NULL, kill_now_and_then, &k), 0);
  IGNORE(round_run(&r));
  __atomic_store_n(&k.over, 1, __ATOMIC_SEQ_CST);
  CHECK_EQ(pthread_join(thread, NULL), 0);
  for (size_t i = 0; i < r.count; i++) {
    CHECK_LE(k.to->begun[i], 1);
    if (r.statuses[i] == PROCPOOL_CRASHED) {
      crashed++;
      continue;
    }
    CHECK_OK(r.statuses[i]);
    CHECK_EQ(k.to->begun[i], 1);
    CHECK_EQ(r.results[i], 3 * (int)i + 1);
  }
  CHECK_LE(crashed, k.kills);
  CHECK_OK(procpool_shared_free(pool, k.to));
}

TEST_STARTS(r096_workers_of_a_skewed_map_are_killed, PROCESSES) {
  procpool *pool = test_open(start, 3);
  unsigned seed = 23;
  for (unsigned how = 0; how < (unsigned)test_rounds(12); how++)
    with_deaths(pool, how % 3 == 0 ? 600 : how % 3 == 1 ? 0 : 50, &seed, how);
  CHECK_WORKS(pool);
  test_close(pool);
}

/* ---- limits ---- */

/* The limit counts for the items that the task was handed out with; all but the endless one end well. */
TEST_STARTS(r034_endless_item_in_a_chunk_that_is_divided, PROCESSES) {
  enum { COUNT = 20, ENDLESS = 3 };
  procpool *pool = test_open(start, 2);
  static round r;
  trace *to = trace_new(pool);
  memset(&r, 0, sizeof(r));
  r.pool = pool;
  r.count = COUNT;
  r.options.chunksize = COUNT;
  r.options.statuses = r.statuses;
  r.options.time_limit = 0.05 * test_slow();
  for (int i = 0; i < COUNT; i++) {
    r.work[i].index = i;
    r.work[i].us = i == ENDLESS ? 100000000 : 2000;
    r.work[i].to = to;
  }
  CHECK_STATUS(round_run(&r), PROCPOOL_TIMEOUT);
  for (int i = 0; i < COUNT; i++) {
    CHECK_STATUS(r.statuses[i], i == ENDLESS ? PROCPOOL_TIMEOUT : PROCPOOL_OK);
    CHECK_EQ(to->begun[i], 1);
  }
  test_close(pool);
}

/* A map that ends before its time while its chunks are divided: what did not begin never does. */
TEST_STARTS(r036_skewed_map_times_out, CONCURRENT) {
  enum { COUNT = 200 };
  procpool *pool = test_open(start, 3);
  static round r;
  for (int n = 0; n < 6; n++) {
    trace *to = trace_new(pool); /* another one: some items may still run */
    size_t ok = 0, begun = 0;
    memset(&r, 0, sizeof(r));
    r.pool = pool;
    r.count = COUNT;
    r.typed = n & 1;
    r.options.chunksize = COUNT;
    r.options.statuses = r.statuses;
    r.options.timeout = 0.002 + 0.01 * n;
    for (int i = 0; i < COUNT; i++) {
      r.work[i].index = i;
      r.work[i].us = 1500;
      r.work[i].to = to;
    }
    CHECK_STATUS(round_run(&r), PROCPOOL_PENDING);
    sleep_us(20000 * test_slow());
    for (int i = 0; i < COUNT; i++) {
      const int times = __atomic_load_n(&to->begun[i], __ATOMIC_SEQ_CST);
      CHECK_LE(times, 1);
      begun += (size_t)times;
      if (r.statuses[i] == PROCPOOL_OK) {
        CHECK_EQ(r.results[i], 3 * i + 1);
        CHECK_EQ(times, 1);
        ok++;
      } else {
        CHECK_STATUS(r.statuses[i], PROCPOOL_PENDING);
      }
    }
    CHECK_LE(begun, ok + 3);
  }
  test_close(pool);
}
