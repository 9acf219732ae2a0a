// expect: warn_unused_result
#include "../../procpool.h"

PROCPOOL_FUNCTION(int, square, int, x) {
  return x * x;
}

int main(void) {
  procpool_future *futures[2];
  int x[2] = {1, 2};
  PROCPOOL_WITH(pool, PROCPOOL_NULL) {
    square_submit_many(pool, x, 2, futures);
  }
  return 0;
}
