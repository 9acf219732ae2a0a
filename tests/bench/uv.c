/* libuv's uv_queue_work: its thread pool, and a loop that runs the callback of each request when it is done. */
#include "bench.h"

#ifdef HAVE_UV
#include <uv.h>

typedef struct queue {
  uv_loop_t loop;
  size_t started, ended, count;
} queue;

typedef struct request {
  uv_work_t work;
  queue *owner;
  uint64_t argument, result;
} request;

static request requests[WINDOW];

static void identity(uv_work_t *w) {
  request *r = (request *)w->data;
  r->result = r->argument;
}

static void next(request *r);

/* The request is used again for the next task, so that as many as there were at first are in flight. */
static void ended(uv_work_t *w, int status) {
  request *r = (request *)w->data;
  if (status != 0 || r->result != r->argument)
    fail("uv", "wrong result");
  r->owner->ended++;
  if (r->owner->started < r->owner->count)
    next(r);
}

static void next(request *r) {
  r->argument = r->owner->started++;
  r->work.data = r;
  if (uv_queue_work(&r->owner->loop, &r->work, identity, ended) != 0)
    fail("uv_queue_work", "refused");
}

static void queue_open(queue *q, int workers) {
  char number[16];
  snprintf(number, sizeof(number), "%d", workers);
  setenv("UV_THREADPOOL_SIZE", number, 1); /* read at the first request */
  if (uv_loop_init(&q->loop) != 0)
    fail("uv_loop_init", "refused");
}

static void stream(queue *q, size_t count) {
  q->started = q->ended = 0;
  q->count = count;
  for (size_t i = 0; i < WINDOW && i < count; i++) {
    requests[i].owner = q;
    next(&requests[i]);
  }
  uv_run(&q->loop, UV_RUN_DEFAULT);
  if (q->ended != count)
    fail("uv", "tasks are missing");
}

static void empty_trip(void *context) {
  stream(context, 1);
}

void uv_round_trip(int workers, double *out) {
  static queue q;
  queue_open(&q, workers);
  out[0] = batched_us(empty_trip, &q, few(10000));
  uv_loop_close(&q.loop);
}

void uv_throughput(int workers, double *out) {
  static queue q;
  const size_t count = few(1000000);
  queue_open(&q, workers);
  stream(&q, WINDOW);
  const double begin = now();
  stream(&q, count);
  out[0] = (double)count / (now() - begin);
  uv_loop_close(&q.loop);
}

const char *uv_absent(void) {
  return NULL;
}

#else

void uv_round_trip(int workers, double *out) {
  (void)workers;
  (void)out;
}

void uv_throughput(int workers, double *out) {
  (void)workers;
  (void)out;
}

const char *uv_absent(void) {
  return "built without libuv (libuv1-dev)";
}
#endif
