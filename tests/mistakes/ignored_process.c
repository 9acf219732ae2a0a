// expect: warn_unused_result
#include "../../procpool.h"

PROCPOOL_FUNCTION(int, square, int, x) {
  return x * x;
}

int main(void) {
  procpool_process_start(PROCPOOL_NULL, square_task, PROCPOOL_NULL, 0);
  return 0;
}
