// expect: declared .static. but never defined|has internal linkage but is not defined
#include "../../procpool.h"

PROCPOOL_FUNCTION(int, square, int, x);

int call(procpool *pool);

int call(procpool *pool) {
  int y;
  return square_call(pool, 2, &y) == PROCPOOL_OK ? y : 0;
}
