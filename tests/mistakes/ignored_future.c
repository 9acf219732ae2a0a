// expect: warn_unused_result
#include "../../procpool.h"

PROCPOOL_FUNCTION(int, square, int, x) {
  return x * x;
}

int call(procpool *pool);

int call(procpool *pool) {
  square_submit(pool, 5);
  return 0;
}
