/* procpool.h where it fell behind once: time limits, one processor for all, pauses, many workers, many waiting threads,
 * tasks with an argument and a result, maps with the default chunk, skewed maps, unordered imaps, large results. */
#include "pool.h"

/* ---- what runs in the workers ---- */

static void identity(procpool_task *task) {
  const uint64_t *argument = procpool_task_argument(task, NULL);
  procpool_task_return(task, argument, sizeof(*argument));
}

static void pin_worker_to_first(procpool_task *task) {
  (void)task;
  pin(0);
}

static void ten_us(procpool_task *task) {
  const double *argument = procpool_task_argument(task, NULL);
  const double result = work_10us(*argument);
  procpool_task_return(task, &result, sizeof(result));
}

/* Bytes that lie in the worker from its first call on. */
static void give_bytes(procpool_task *task) {
  static char *bytes;
  if (bytes == NULL)
    bytes = echo_bytes();
  procpool_task_return(task, bytes, amount);
}

PROCPOOL_FUNCTION(double, square, double, x) {
  return x * x + 1.0;
}

PROCPOOL_FUNCTION(double, skewed, double, x) {
  return skewed_work(x);
}

/* ---- round trips ---- */

static void limited_trip(void *context) {
  procpool_submit_options options = {0};
  procpool_future *future = NULL;
  options.time_limit = 10;
  check(procpool_submit(context, empty, NULL, 0, &options, &future), "submit");
  collect(future, NULL, 0);
}

/* us with a time limit, and without one in the same pool. */
void pool_limited(int workers, double *out) {
  procpool *pool = open_pinned(workers_only(workers));
  out[1] = batched_us(empty_trip, pool, few(50000));
  out[0] = batched_us(limited_trip, pool, few(50000));
  close_pool(pool);
}

/* Host and worker share a processor. */
void pool_one_processor(int workers, double *out) {
  procpool *pool = open_pool(workers_only(workers));
  collect(submit(pool, pin_worker_to_first, NULL, 0), NULL, 0);
  pin(0);
  out[0] = batched_us(empty_trip, pool, few(10000));
  close_pool(pool);
}

static void measure_paused(procpool_options options, double *out) {
  procpool *pool = open_pool(options);
  each_us(empty_trip, pool, few(500), (long)amount, out);
  close_pool(pool);
}

/* Pauses of `amount` us before each. */
void pool_paused(int workers, double *out) {
  measure_paused(workers_only(workers), out);
}

void pool_paused_no_spin(int workers, double *out) {
  measure_paused(never_spins(workers), out);
}

static void waiting_trip(void *context) {
  const double argument = 1;
  double result;
  collect(submit(context, ten_us, &argument, sizeof(argument)), &result, sizeof(result));
}

/* amount threads, each of which waits for a task of 10 us. */
void pool_waiting(int workers, double *out) {
  procpool *pool = open_pool(workers_only(workers));
  waiting_threads(amount, waiting_trip, pool, out);
  close_pool(pool);
}

/* ---- tasks a second, each with an argument and a result of 8 bytes ---- */

static void collect_number(procpool_future *future, uint64_t number) {
  uint64_t result;
  collect(future, &result, sizeof(result));
  if (result != number)
    fail("procpool", "wrong result");
}

static void stream(procpool *pool, size_t count) {
  static procpool_future *futures[WINDOW];
  for (uint64_t i = 0; i < count + WINDOW; i++) {
    if (i >= WINDOW)
      collect_number(futures[i % WINDOW], i - WINDOW);
    if (i < count)
      futures[i % WINDOW] = submit(pool, identity, &i, sizeof(i));
  }
}

enum { BATCH = 256 };

static void submit_batch(procpool *pool, uint64_t first, procpool_future **futures) {
  uint64_t numbers[BATCH];
  for (uint64_t k = 0; k < BATCH; k++)
    numbers[k] = first + k;
  check(procpool_submit_many(pool, identity, numbers, sizeof(numbers[0]), BATCH, NULL, futures, NULL), "submit_many");
}

static void stream_many(procpool *pool, size_t count) {
  static procpool_future *futures[WINDOW];
  for (uint64_t i = 0; i < count + WINDOW; i += BATCH) {
    procpool_future **batch = &futures[i % WINDOW];
    for (uint64_t k = 0; i >= WINDOW && k < BATCH; k++)
      collect_number(batch[k], i - WINDOW + k);
    if (i < count)
      submit_batch(pool, i, batch);
  }
}

static double tasks_a_second(procpool *pool, void (*run)(procpool *pool, size_t count), size_t count) {
  run(pool, 4 * WINDOW);
  const double start = now();
  run(pool, count);
  return (double)count / (now() - start);
}

static void measure_stream(int workers, void (*run)(procpool *pool, size_t count), double *out) {
  procpool_options options = workers_only(workers);
  options.max_queued = WINDOW; /* as the peers' queues */
  procpool *pool = open_pool(options);
  out[0] = tasks_a_second(pool, run, few(500000) / BATCH * BATCH);
  close_pool(pool);
}

void pool_stream(int workers, double *out) {
  measure_stream(workers, stream, out);
}

void pool_stream_many(int workers, double *out) {
  measure_stream(workers, stream_many, out);
}

/* us of a round trip, tasks a second. */
void pool_many_workers(int workers, double *out) {
  procpool *pool = open_pool(workers_only(workers));
  stream(pool, WINDOW);
  out[0] = batched_us(empty_trip, pool, few(20000));
  out[1] = tasks_a_second(pool, stream, few(200000));
  close_pool(pool);
}

/* ---- maps of x*x+1, with the chunk that the pool chooses ---- */

static void call_map(void *context, map_data *map) {
  check(square_map(context, map->arguments, map->results, map->count), "map");
}

/* us for amount items. */
void pool_map_us(int workers, double *out) {
  map_data map = map_open(amount);
  procpool *pool = open_pool(workers_only(workers));
  out[0] = map_us(&map, call_map, pool, square_plus_one);
  close_pool(pool);
  map_close(&map);
}

/* The same, the arrays in shared buffers. */
void pool_map_shared_us(int workers, double *out) {
  procpool *pool = open_pool(workers_only(workers));
  double *arguments = procpool_shared_alloc(pool, amount * sizeof(double));
  double *results = procpool_shared_alloc(pool, amount * sizeof(double));
  map_data map = map_open_in(arguments, results, amount);
  out[0] = map_us(&map, call_map, pool, square_plus_one);
  check(procpool_shared_free(pool, arguments), "shared_free");
  check(procpool_shared_free(pool, results), "shared_free");
  close_pool(pool);
}

/* Items a second. */
void pool_map(int workers, double *out) {
  pool_map_us(workers, out);
  out[0] = (double)amount * 1e6 / out[0];
}

void pool_map_shared(int workers, double *out) {
  pool_map_shared_us(workers, out);
  out[0] = (double)amount * 1e6 / out[0];
}

static void call_loop(void *context, map_data *map) {
  (void)context;
  const double *arguments = map->arguments;
  double *results = map->results;
  for (size_t i = 0; i < map->count; i++)
    results[i] = arguments[i] * arguments[i] + 1.0;
}

static double us_behind_loop(procpool *pool, size_t count) {
  map_data map = map_open(count);
  const double us = map_us(&map, call_map, pool, square_plus_one) - map_us(&map, call_loop, NULL, square_plus_one);
  map_close(&map);
  return us;
}

/* us that a copying map takes more than the plain loop: the worst from 100 to 100,000 items, 300, 3,000, 100,000. */
void pool_map_behind_loop(int workers, double *out) {
  static const size_t counts[] = {300, 3000, 100000, 100, 1000, 10000, 30000};
  procpool *pool = open_pool(workers_only(workers));
  for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
    const double us = us_behind_loop(pool, counts[i]);
    if (i < 3)
      out[1 + i] = us;
    out[0] = i == 0 || us > out[0] ? us : out[0];
  }
  close_pool(pool);
}

/* ---- skewed maps ---- */

static void call_skewed(void *context, map_data *map) {
  check(skewed_map(context, map->arguments, map->results, map->count), "map");
}

void pool_skewed(int workers, double *out) {
  map_data map = map_open(SKEWED);
  procpool *pool = open_pool(workers_only(workers));
  out[0] = skewed_share(SKEWED * 1e6 / map_rate(&map, call_skewed, pool, skewed_work), workers);
  close_pool(pool);
  map_close(&map);
}

/* ---- imap ---- */

typedef struct numbers {
  size_t next, count;
} numbers;

static int next_number(void *context, void *item) {
  numbers *n = context;
  double *x = item;
  *x = (double)n->next;
  return n->next++ < n->count;
}

static void run_imap(procpool *pool, bool unordered, size_t count) {
  procpool_imap_options options = {0};
  procpool_iterator *iterator = NULL;
  numbers n = {0, count};
  double y, sum = 0;
  procpool_status status;
  options.buffersize = amount;
  options.unordered = unordered;
  check(square_imap(pool, next_number, &n, &options, &iterator), "imap");
  while ((status = square_next(iterator, &y)) == PROCPOOL_OK)
    sum += y;
  if (status != PROCPOOL_END || sum < (double)count)
    fail("imap", procpool_strerror(status));
  procpool_iterator_free(iterator);
}

/* us an item, amount being the buffersize. */
static void measure_imap(int workers, bool unordered, double *out) {
  const size_t count = few(200000);
  procpool_options options = workers_only(workers);
  options.max_queued = 131072;
  procpool *pool = open_pool(options);
  run_imap(pool, unordered, count / 4);
  const double start = now();
  run_imap(pool, unordered, count);
  out[0] = (now() - start) * 1e6 / (double)count;
  close_pool(pool);
}

void pool_imap(int workers, double *out) {
  measure_imap(workers, false, out);
}

void pool_imap_unordered(int workers, double *out) {
  measure_imap(workers, true, out);
}

/* ---- results one way ---- */

typedef struct result_side {
  procpool *pool;
  char *got;
} result_side;

static void result_trip(void *context) {
  const result_side *side = context;
  collect(submit(side->pool, give_bytes, NULL, 0), side->got, amount);
}

/* GB/s. */
void pool_result(int workers, double *out) {
  char *expected = echo_bytes();
  result_side side = {open_pinned(workers_only(workers)), echo_bytes()};
  memset(side.got, 0, amount);
  out[0] = 1e-3 * (double)amount / median_us(result_trip, &side, amount);
  echo_check(expected, side.got);
  close_pool(side.pool);
}
