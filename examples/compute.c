/* compute: all processors busy. One sum is cut into as many segments as there are workers, and computed in a row, then in
 * threads, then in processes. With --repeat N each of the three is done N times: long enough to watch in htop.
 *   cc -O2 -o compute examples/compute.c -pthread && ./compute --repeat 5 */
#define _DEFAULT_SOURCE
#define PROCPOOL_IMPLEMENTATION
#include "../procpool.h"
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { MAX_SEGMENTS = 256 };
#define STEPS 400000000L

struct range {
  long begin, end;
};

/* Part of the integral of 4 / (1 + x * x) from 0 to 1, which is pi. An ordinary function, and the task of the workers. */
PROCPOOL_FUNCTION(double, do_math, struct range, range) {
  const double width = 1.0 / (double)STEPS;
  double sum = 0;
  for (long i = range.begin; i < range.end; i++) {
    const double x = ((double)i + 0.5) * width;
    sum += 4 / (1 + x * x) * width;
  }
  return sum;
}

/* The work: `count` segments, one for each worker, and what came of each. */
struct job {
  procpool *pool;
  int count;
  struct range ranges[MAX_SEGMENTS];
  double sums[MAX_SEGMENTS];
  long pids[MAX_SEGMENTS];
  int workers[MAX_SEGMENTS];
};

static double now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static int run_serial(struct job *job) {
  for (int i = 0; i < job->count; i++)
    job->sums[i] = do_math(job->ranges[i]);
  return 0;
}

struct segment {
  struct range range;
  double sum;
};

static void *thread_main(void *argument) {
  struct segment *segment = argument;
  segment->sum = do_math(segment->range);
  return NULL;
}

static int run_threads(struct job *job) {
  pthread_t threads[MAX_SEGMENTS];
  struct segment segments[MAX_SEGMENTS];
  int started = 0, failed = 0;
  for (; started < job->count && !failed; started += !failed) {
    segments[started].range = job->ranges[started];
    failed = pthread_create(&threads[started], NULL, thread_main, &segments[started]);
  }
  for (int i = 0; i < started; i++) {
    failed |= pthread_join(threads[i], NULL);
    job->sums[i] = segments[i].sum;
  }
  return failed;
}

/* Submits them all, waits for all, then asks who did which. A refused submit is a null future, which is an error below. */
static int run_processes(struct job *job) {
  procpool_future *futures[MAX_SEGMENTS];
  procpool_error error;
  int failed = 0;
  for (int i = 0; i < job->count; i++)
    futures[i] = do_math_submit(job->pool, job->ranges[i]);
  for (int i = 0; i < job->count; i++) {
    failed |= procpool_future_wait(futures[i], PROCPOOL_FOREVER) != PROCPOOL_OK;
    (void)procpool_future_error(futures[i], &error);
    job->pids[i] = error.pid;
    job->workers[i] = error.worker;
    failed |= do_math_result(futures[i], &job->sums[i]) != PROCPOOL_OK; /* releases the future */
  }
  return failed;
}

/* Does it `repeat` times and prints the time, and how often that goes into `serial_time`. Returns the time, or 0. */
static double measure(const char *name, int (*run)(struct job *), struct job *job, int repeat, double serial_time) {
  const double start = now();
  double pi = 0, seconds;
  for (int i = 0; i < repeat; i++)
    if (run(job) != 0) {
      fprintf(stderr, "compute: %s failed\n", name);
      return 0;
    }
  seconds = now() - start;
  for (int i = 0; i < job->count; i++)
    pi += job->sums[i];
  printf("%-10s %.8f  %7.3f s  speed-up %.2f\n", name, pi, seconds,
         (serial_time > 0 ? serial_time : seconds) / seconds);
  return seconds;
}

static void print_workers(const struct job *job) {
  for (int i = 0; i < job->count; i++)
    printf("  segment %d: %9ld to %9ld gives %.8f, worker %d, pid %ld\n", i, job->ranges[i].begin, job->ranges[i].end,
           job->sums[i], job->workers[i], job->pids[i]);
}

static void cut(struct job *job, int count) {
  job->count = count;
  for (int i = 0; i < count; i++) {
    job->ranges[i].begin = STEPS / count * i;
    job->ranges[i].end = i + 1 < count ? STEPS / count * (i + 1) : STEPS;
  }
}

static int compare(struct job *job, int repeat) {
  const double serial_time = measure("serial", run_serial, job, repeat, 0);
  if (measure("threads", run_threads, job, repeat, serial_time) <= 0 ||
      measure("processes", run_processes, job, repeat, serial_time) <= 0)
    return 1;
  print_workers(job);
  return 0;
}

static int workers_of(procpool *pool) {
  procpool_stats stats;
  if (procpool_get_stats(pool, &stats) != PROCPOOL_OK)
    return 1;
  return stats.workers < MAX_SEGMENTS ? stats.workers : MAX_SEGMENTS;
}

int main(int argc, char **argv) {
  const int repeat = argc == 3 && strcmp(argv[1], "--repeat") == 0 ? atoi(argv[2]) : argc == 1;
  procpool_error error = {0};
  procpool_options options = {0};
  struct job job = {0};
  options.error = &error;
  if (repeat < 1) {
    fprintf(stderr, "usage: compute [--repeat N]\n");
    return 2;
  }
  PROCPOOL_WITH(pool, &options) {
    job.pool = pool;
    cut(&job, workers_of(pool));
    return compare(&job, repeat);
  }
  fprintf(stderr, "compute: no pool: %s %s\n", procpool_strerror(error.status), error.message);
  return 1;
}
