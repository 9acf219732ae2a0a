/* quickstart: the first program. A function is run in worker processes, first over an array, then once.
 *   cc -O2 -pthread -o quickstart examples/quickstart.c && ./quickstart */
#define PROCPOOL_IMPLEMENTATION
#include "../procpool.h"
#include <stdio.h>

PROCPOOL_FUNCTION(double, square, double, x) { /* runs in a worker process */
  return x * x;
}

int main(void) {
  const double in[4] = {1, 2, 3, 4};
  double out[4], one;
  PROCPOOL_WITH(pool, NULL) { /* as many workers as processors */
    if (square_map(pool, in, out, 4) != PROCPOOL_OK || square_call(pool, 5, &one) != PROCPOOL_OK)
      return 1;
    printf("%g %g %g %g and %g\n", out[0], out[1], out[2], out[3], one);
    return 0;
  }
  return 1; /* the pool did not open */
}
