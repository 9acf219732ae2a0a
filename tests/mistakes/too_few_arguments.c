// expect: too few arguments to function
// expect c++: too few arguments to function|no matching function for call to .add_call
#include "../../procpool.h"

PROCPOOL_FUNCTION(int, add, int, a, int, b) {
  return a + b;
}

int call(procpool *pool);

int call(procpool *pool) {
  int y = 0;
  return add_call(pool, 1, &y) == PROCPOOL_OK ? y : 0;
}
