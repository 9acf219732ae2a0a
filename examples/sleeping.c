/* sleeping: waiting in parallel. 24 sleeps of 0.1 s by a plain loop, then by a map; the number of workers is the argument.
 *   cc -O2 -pthread -o sleeping examples/sleeping.c && ./sleeping 8 */
#define PROCPOOL_IMPLEMENTATION
#include "../procpool.h"
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

enum { SLEEPS = 24 };

PROCPOOL_PROCEDURE(take_nap) {
  usleep(100000);
}

static double now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

int main(int argc, char **argv) {
  const procpool_options options = {.max_workers = argc > 1 ? atoi(argv[1]) : 8};
  double start = now();
  printf("%d sleeps of 0.1 s\n", SLEEPS);
  for (int i = 0; i < SLEEPS; i++)
    take_nap();
  printf("plain loop:       %.2f s\n", now() - start);
  start = now(); /* before the workers are started */
  PROCPOOL_WITH(pool, &options) {
    if (take_nap_map(pool, SLEEPS) != PROCPOOL_OK)
      break;
    printf("map, %2d workers:  %.2f s\n", options.max_workers, now() - start);
    return 0;
  }
  return fprintf(stderr, "sleeping: %s\n", procpool_last_message()), 1;
}
