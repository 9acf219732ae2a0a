// expect: warn_unused_result
#include "../../procpool.h"

int main(void) {
  procpool_iterator *ended;
  procpool_as_completed(PROCPOOL_NULL, 0, &ended);
  return 0;
}
