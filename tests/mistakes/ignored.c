// expect: warn_unused_result
#include "../../procpool.h"

PROCPOOL_FUNCTION(int, square, int, x) {
  return x * x;
}

int main(void) {
  int y = 0;
  PROCPOOL_WITH(pool, PROCPOOL_NULL) {
    square_call(pool, 2, &y);
  }
  return y;
}
