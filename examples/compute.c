/* compute: all processors busy. One sum is cut into as many segments as there are workers, and computed in a row, then in
 * threads, then in processes. With --repeat N each of the three is done N times: long enough to watch in htop.
 *   cc -O2 -o compute examples/compute.c -pthread && ./compute --repeat 5 */
#define PROCPOOL_IMPLEMENTATION
#include "../procpool.h"
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { MAX_SEGMENTS = 256 };
#define STEPS 400000000L

/* Part of the integral of 4 / (1 + x * x) from 0 to 1, which is pi. An ordinary function, and the task of the workers. */
PROCPOOL_FUNCTION(double, do_math, long, begin, long, end) {
  const double width = 1.0 / (double)STEPS;
  double sum = 0;
  for (long i = begin; i < end; i++) {
    const double x = ((double)i + 0.5) * width;
    sum += 4 / (1 + x * x) * width;
  }
  return sum;
}

/* One for each worker. */
static struct segment {
  do_math_arguments range;
  double sum;
  pthread_t thread;
  int worker; /* who had it */
  long pid;
} segments[MAX_SEGMENTS];
static int count;
static procpool *pool;

static double now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static bool run_serial(void) {
  for (int i = 0; i < count; i++)
    segments[i].sum = do_math(segments[i].range.begin, segments[i].range.end);
  return true;
}

static void *thread_main(void *argument) {
  struct segment *segment = argument;
  segment->sum = do_math(segment->range.begin, segment->range.end);
  return NULL;
}

static bool run_threads(void) {
  int started = 0;
  while (started < count && pthread_create(&segments[started].thread, NULL, thread_main, &segments[started]) == 0)
    started++;
  for (int i = 0; i < started; i++)
    pthread_join(segments[i].thread, NULL);
  return started == count;
}

/* Submits them all, waits for each, and asks who had it. A refused submit is a null future, which is an error below. */
static bool run_processes(void) {
  procpool_future *futures[MAX_SEGMENTS];
  bool well = true;
  for (int i = 0; i < count; i++)
    futures[i] = do_math_submit(pool, segments[i].range.begin, segments[i].range.end);
  for (int i = 0; i < count; i++) {
    procpool_error error = {0};
    procpool_future_wait(futures[i], PROCPOOL_FOREVER);
    procpool_future_error(futures[i], &error);
    segments[i].worker = error.worker;
    segments[i].pid = error.pid;
    if (do_math_result(futures[i], &segments[i].sum) != PROCPOOL_OK) { /* gives the future back */
      fprintf(stderr, "compute: segment %d: %s\n", i, procpool_last_message());
      well = false;
    }
  }
  return well;
}

/* Does it `repeat` times and prints the time, and how often that goes into `serial_time`. Returns the time. */
static double measure(const char *name, bool (*run)(void), int repeat, double serial_time) {
  const double start = now();
  double pi = 0, seconds;
  for (int i = 0; i < repeat; i++)
    if (!run()) {
      fprintf(stderr, "compute: %s failed\n", name);
      exit(1);
    }
  seconds = now() - start;
  for (int i = 0; i < count; i++)
    pi += segments[i].sum;
  printf("%-10s %.8f  %7.3f s  speed-up %.2f\n", name, pi, seconds,
         (serial_time > 0 ? serial_time : seconds) / seconds);
  return seconds;
}

int main(int argc, char **argv) {
  const int repeat = argc == 3 && strcmp(argv[1], "--repeat") == 0 ? atoi(argv[2]) : argc == 1;
  procpool_stats stats;
  if (repeat < 1)
    return fprintf(stderr, "usage: compute [--repeat N]\n"), 2;
  if ((pool = procpool_open(NULL)) == NULL || procpool_get_stats(pool, &stats) != PROCPOOL_OK)
    return fprintf(stderr, "compute: %s\n", procpool_last_message()), 1;
  count = stats.workers < MAX_SEGMENTS ? stats.workers : MAX_SEGMENTS;
  for (int i = 0; i < count; i++) {
    segments[i].range.begin = STEPS / count * i;
    segments[i].range.end = i + 1 < count ? STEPS / count * (i + 1) : STEPS;
  }
  const double serial_time = measure("serial", run_serial, repeat, 0);
  measure("threads", run_threads, repeat, serial_time);
  measure("processes", run_processes, repeat, serial_time);
  for (int i = 0; i < count; i++)
    printf("  segment %d: %9ld to %9ld gives %.8f, worker %d, pid %ld\n", i, segments[i].range.begin,
           segments[i].range.end, segments[i].sum, segments[i].worker, segments[i].pid);
  return procpool_close(pool) != PROCPOOL_OK;
}
