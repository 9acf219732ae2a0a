/* sleeping: waiting in parallel. 24 sleeps of 0.1 s by a plain loop, then by a map; the number of workers is the argument.
 *   cc -O2 -pthread -o sleeping examples/sleeping.c && ./sleeping 8 */
#define _DEFAULT_SOURCE
#define PROCPOOL_IMPLEMENTATION
#include "../procpool.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { SLEEPS = 24 };

/* Returns 0, or -1 if the sleep was cut short. */
PROCPOOL_FUNCTION(int, take_nap, double, seconds) {
  struct timespec left;
  left.tv_sec = (time_t)seconds;
  left.tv_nsec = (long)((seconds - (double)left.tv_sec) * 1e9);
  while (nanosleep(&left, &left) != 0)
    if (errno != EINTR)
      return -1;
  return 0;
}

static double now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static int sleep_in_a_loop(const double *naps) {
  const double start = now();
  for (int i = 0; i < SLEEPS; i++)
    if (take_nap(naps[i]) != 0)
      return 1;
  printf("plain loop:       %.2f s\n", now() - start);
  return 0;
}

/* The time includes the start of the workers. */
static int sleep_in_a_pool(const double *naps, int workers) {
  const double start = now();
  procpool_error error = {0};
  procpool_options options = {0};
  options.error = &error;
  options.max_workers = workers;
  PROCPOOL_WITH(pool, &options) {
    int results[SLEEPS];
    const procpool_status status = take_nap_map(pool, naps, results, SLEEPS);
    if (status != PROCPOOL_OK) {
      fprintf(stderr, "sleeping: %s\n", procpool_strerror(status));
      return 1;
    }
    printf("map, %2d workers:  %.2f s\n", workers, now() - start);
    return 0;
  }
  fprintf(stderr, "sleeping: no pool: %s %s\n", procpool_strerror(error.status), error.message);
  return 1;
}

int main(int argc, char **argv) {
  const int workers = argc > 1 ? atoi(argv[1]) : 8;
  double naps[SLEEPS];
  if (workers < 1) {
    fprintf(stderr, "usage: sleeping [WORKERS]\n");
    return 2;
  }
  for (int i = 0; i < SLEEPS; i++)
    naps[i] = 0.1;
  printf("%d sleeps of 0.1 s\n", SLEEPS);
  if (sleep_in_a_loop(naps) != 0)
    return 1;
  return sleep_in_a_pool(naps, workers);
}
