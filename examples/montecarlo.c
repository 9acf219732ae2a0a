/* montecarlo: pi by random points. Each task has a seed of its own, so the result is the same with any number of workers.
 *   cc -O2 -pthread -o montecarlo examples/montecarlo.c && ./montecarlo */
#define PROCPOOL_IMPLEMENTATION
#include "../procpool.h"
#include <stdio.h>

enum { TASKS = 100, POINTS = 100000 };

/* The next random number from 0 to 1 (splitmix64). */
static double uniform(uint64_t *state) {
  uint64_t z = *state += 0x9E3779B97F4A7C15u;
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
  return (double)((z ^ (z >> 31)) >> 11) / 9007199254740992.0;
}

/* How many of POINTS random points of the unit square lie in the circle. */
PROCPOOL_FUNCTION(long, count_hits, uint64_t, seed) {
  long hits = 0;
  for (int i = 0; i < POINTS; i++) {
    const double x = uniform(&seed), y = uniform(&seed);
    hits += x * x + y * y < 1;
  }
  return hits;
}

int main(void) {
  uint64_t seeds[TASKS];
  long hits[TASKS];
  for (uint64_t i = 0; i < TASKS; i++)
    seeds[i] = i << 32; /* far apart: no task comes to the numbers of another one */
  for (int workers = 1; workers <= 3; workers++) {
    const procpool_options options = {.max_workers = workers};
    PROCPOOL_WITH(pool, &options) {
      long sum = 0;
      if (count_hits_map(pool, seeds, hits, TASKS) != PROCPOOL_OK)
        return fprintf(stderr, "montecarlo: %s\n", procpool_last_message()), 1;
      for (int i = 0; i < TASKS; i++)
        sum += hits[i];
      printf("%d workers: pi is about %.6f\n", workers, 4.0 * (double)sum / TASKS / POINTS);
    }
    else return fprintf(stderr, "montecarlo: %s\n", procpool_last_message()), 1;
  }
  return 0;
}
