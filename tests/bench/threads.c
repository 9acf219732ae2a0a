/* A pool of POSIX threads as such pools are written: a bounded queue under one mutex with two condition variables, and a
 * future per task, which its waiter looks at before it locks anything. Idle threads sleep. */
#include "bench.h"

#include <pthread.h>

enum { MOST = 16 };

typedef struct job {
  void (*function)(struct job *job);
  uint64_t argument, result;
  int done;
  pthread_mutex_t lock;
  pthread_cond_t settled;
} job;

typedef struct thread_pool {
  pthread_mutex_t lock;
  pthread_cond_t not_empty, not_full;
  job *queue[WINDOW];
  size_t head, count;
  bool stopping;
  pthread_t threads[MOST];
  int workers;
} thread_pool;

static job jobs[WINDOW];

static job *take(thread_pool *p) {
  job *taken = NULL;
  pthread_mutex_lock(&p->lock);
  while (p->count == 0 && !p->stopping)
    pthread_cond_wait(&p->not_empty, &p->lock);
  if (p->count > 0) {
    taken = p->queue[p->head++ % WINDOW];
    p->count--;
  }
  pthread_mutex_unlock(&p->lock);
  pthread_cond_signal(&p->not_full); /* costs nothing where no thread waits */
  return taken;
}

static void *serve(void *context) {
  job *j;
  while ((j = take(context)) != NULL) {
    j->function(j);
    pthread_mutex_lock(&j->lock);
    __atomic_store_n(&j->done, 1, __ATOMIC_RELEASE);
    pthread_cond_signal(&j->settled);
    pthread_mutex_unlock(&j->lock);
  }
  return NULL;
}

static void submit(thread_pool *p, job *j) {
  j->done = 0;
  pthread_mutex_lock(&p->lock);
  while (p->count == WINDOW)
    pthread_cond_wait(&p->not_full, &p->lock);
  p->queue[(p->head + p->count++) % WINDOW] = j;
  pthread_mutex_unlock(&p->lock);
  pthread_cond_signal(&p->not_empty);
}

static uint64_t result(job *j) {
  if (!__atomic_load_n(&j->done, __ATOMIC_ACQUIRE)) {
    pthread_mutex_lock(&j->lock);
    while (!j->done)
      pthread_cond_wait(&j->settled, &j->lock);
    pthread_mutex_unlock(&j->lock);
  }
  return j->result;
}

static void start(thread_pool *p, int workers) {
  pthread_mutex_init(&p->lock, NULL);
  pthread_cond_init(&p->not_empty, NULL);
  pthread_cond_init(&p->not_full, NULL);
  for (int i = 0; i < WINDOW; i++) {
    pthread_mutex_init(&jobs[i].lock, NULL);
    pthread_cond_init(&jobs[i].settled, NULL);
  }
  for (p->workers = 0; p->workers < workers; p->workers++)
    if (pthread_create(&p->threads[p->workers], NULL, serve, p) != 0)
      fail("pthread_create", "refused");
}

static void stop(thread_pool *p) {
  pthread_mutex_lock(&p->lock);
  p->stopping = true;
  pthread_mutex_unlock(&p->lock);
  pthread_cond_broadcast(&p->not_empty);
  for (int w = 0; w < p->workers; w++)
    pthread_join(p->threads[w], NULL);
}

static void identity(job *j) {
  j->result = j->argument;
}

static void empty_trip(void *context) {
  jobs[0].function = identity;
  submit(context, &jobs[0]);
  (void)result(&jobs[0]);
}

void threads_round_trip(int workers, double *out) {
  static thread_pool p;
  start(&p, workers);
  out[0] = batched_us(empty_trip, &p, few(10000));
  stop(&p);
}

static void pin_thread(job *j) {
  (void)j;
  pin(1);
}

/* Caller and thread on two processors. */
void threads_round_trip_pinned(int workers, double *out) {
  static thread_pool p;
  start(&p, workers);
  jobs[0].function = pin_thread;
  submit(&p, &jobs[0]);
  (void)result(&jobs[0]);
  pin(0);
  out[0] = batched_us(empty_trip, &p, few(10000));
  stop(&p);
}

static void stream(thread_pool *p, size_t count) {
  for (size_t i = 0; i < count + WINDOW; i++) {
    job *j = &jobs[i % WINDOW];
    if (i >= WINDOW && result(j) != i - WINDOW)
      fail("threads", "wrong result");
    if (i >= count)
      continue;
    j->function = identity;
    j->argument = i;
    submit(p, j);
  }
}

void threads_throughput(int workers, double *out) {
  static thread_pool p;
  const size_t count = few(1000000);
  start(&p, workers);
  stream(&p, WINDOW);
  const double begin = now();
  stream(&p, count);
  out[0] = (double)count / (now() - begin);
  stop(&p);
}

/* ---- threads that wait for 10 us each ---- */

static void ten_us(job *j) {
  j->result = work_10us((double)j->argument) > 0;
}

static void waiting_trip(void *context) {
  job mine = {ten_us, 1, 0, 0, PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER};
  submit(context, &mine);
  (void)result(&mine);
  pthread_mutex_lock(&mine.lock); /* the worker may still be in it */
  pthread_mutex_unlock(&mine.lock);
}

void threads_waiting(int workers, double *out) {
  static thread_pool p;
  start(&p, workers);
  waiting_threads(amount, waiting_trip, &p, out);
  stop(&p);
}
