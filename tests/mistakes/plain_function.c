// expect: incompatible pointer type|incompatible function pointer types
// expect c++: invalid conversion from .int \(\*\)\(int\)|no matching function for call to .procpool_call
#include "../../procpool.h"

static int square(int x) {
  return x * x;
}

int call(procpool *pool);

int call(procpool *pool) {
  int x = 5, y = 0;
  return procpool_call(pool, square, &x, sizeof(x), &y, sizeof(y), PROCPOOL_NULL, PROCPOOL_NULL) == PROCPOOL_OK ? y : 0;
}
