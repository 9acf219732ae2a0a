/* buffers: two arrays of a million numbers in shared buffers. A map works on them where they are: nothing is copied. Then
 * one task gets a pointer to them, and builds its result in a buffer, too.
 *   cc -O2 -pthread -o buffers examples/buffers.c && ./buffers */
#define PROCPOOL_IMPLEMENTATION
#include "../procpool.h"
#include <stdio.h>

enum { COUNT = 1000000, BINS = 10 };

PROCPOOL_FUNCTION(double, collatz, double, x) {
  double steps = 0;
  for (; x > 1; steps++)
    x = x / 2 == (double)(long long)(x / 2) ? x / 2 : 3 * x + 1;
  return steps;
}

typedef struct histogram {
  long bins[BINS];
  double longest;
} histogram;

/* The address means the same in every process of the pool. */
static void count_steps(procpool_task *task) {
  const double *const *steps = (const double *const *)procpool_task_argument(task, NULL);
  histogram *h = (histogram *)procpool_task_result(task, sizeof(*h)); /* in the host's buffer */
  h->longest = 0;
  for (int i = 0; i < BINS; i++)
    h->bins[i] = 0;
  for (long i = 0; i < COUNT; i++) {
    const int bin = (int)((*steps)[i] / 50);
    h->bins[bin < BINS ? bin : BINS - 1]++;
    if ((*steps)[i] > h->longest)
      h->longest = (*steps)[i];
  }
}

static void print(const histogram *h) {
  for (int i = 0; i < BINS; i++)
    printf("%3d steps and more: %6ld numbers\n", 50 * i, h->bins[i]);
  printf("the most are %g steps\n", h->longest);
}

static int run(procpool *pool) {
  double *numbers = (double *)procpool_shared_alloc(pool, COUNT * sizeof(double));
  double *steps = (double *)procpool_shared_alloc(pool, COUNT * sizeof(double));
  histogram *h = (histogram *)procpool_shared_alloc(pool, sizeof(*h));
  procpool_submit_options options = {0};
  procpool_future *future;
  if (numbers == NULL || steps == NULL || h == NULL)
    return 1;
  for (int i = 0; i < COUNT; i++)
    numbers[i] = i + 1;
  if (collatz_map(pool, numbers, steps, COUNT) != PROCPOOL_OK)
    return 1;
  options.result = h;
  options.result_size = sizeof(*h);
  if (procpool_submit(pool, count_steps, &steps, sizeof(steps), &options, &future) != PROCPOOL_OK)
    return 1;
  if (procpool_future_wait(future, PROCPOOL_FOREVER) == PROCPOOL_OK)
    print(h);
  procpool_future_release(future);
  procpool_shared_free(pool, numbers); /* the others go with the pool */
  return 0;
}

int main(void) {
  PROCPOOL_WITH(pool, NULL) {
    return run(pool);
  }
  return 1;
}
