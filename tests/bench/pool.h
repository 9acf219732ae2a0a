/* What pool.c and cliffs.c share: calls of procpool.h that end the figure where they fail. */
#ifndef BENCH_POOL_H
#define BENCH_POOL_H

#include "bench.h"
#include "../../procpool.h"

static inline void check(procpool_status status, const char *what) {
  if (status != PROCPOOL_OK)
    fail(what, procpool_strerror(status));
}

static inline procpool_options workers_only(int count) {
  procpool_options options = {0};
  options.max_workers = count;
  return options;
}

static inline procpool *open_pool(procpool_options options) {
  procpool_error error = {0};
  options.error = &error;
  procpool *pool = procpool_open(&options);
  if (pool == NULL)
    fail("open", error.message[0] ? error.message : procpool_strerror(error.status));
  return pool;
}

static inline void close_pool(procpool *pool) {
  check(procpool_shutdown(pool, PROCPOOL_DRAIN, PROCPOOL_FOREVER), "shutdown");
  check(procpool_free(pool), "free");
}

static inline procpool_future *submit(procpool *pool, procpool_function function, const void *argument, size_t size) {
  procpool_future *future = NULL;
  check(procpool_submit(pool, function, argument, size, NULL, &future), "submit");
  return future;
}

/* Waits for the result, which has exactly size bytes, and gives the future back. */
static inline void collect(procpool_future *future, void *result, size_t size) {
  size_t got = 0;
  check(procpool_future_result(future, PROCPOOL_FOREVER, result, size, &got), "result");
  if (got != size)
    fail("result", "wrong size");
  check(procpool_future_release(future), "release");
}

static inline void empty(procpool_task *task) {
  (void)task;
}

static inline void pin_worker(procpool_task *task) {
  (void)task;
  pin(1);
}

static inline void empty_trip(void *context) {
  collect(submit(context, empty, NULL, 0), NULL, 0);
}

/* Host and worker on two processors, as the two processes of the limits are. */
static inline procpool *open_pinned(procpool_options options) {
  procpool *pool = open_pool(options);
  collect(submit(pool, pin_worker, NULL, 0), NULL, 0);
  pin(0);
  return pool;
}

static inline procpool_options never_spins(int workers) {
  procpool_options options = workers_only(workers);
  options.spin_us = -1;
  return options;
}

#endif
