// expect: warn_unused_result
#include "../../procpool.h"

PROCPOOL_FUNCTION(int, square, int, x) {
  return x * x;
}

int main(void) {
  int x[2] = {1, 2};
  PROCPOOL_WITH(pool, PROCPOOL_NULL) {
    square_map(pool, x, x, 2);
  }
  return 0;
}
