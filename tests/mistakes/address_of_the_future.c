// expect: incompatible pointer type|incompatible pointer types passing
// expect c++: cannot convert .procpool_future\*\*|no matching function for call to .procpool_future_wait
#include "../../procpool.h"

int call(procpool_future *future);

int call(procpool_future *future) {
  return procpool_future_wait(&future, 1);
}
