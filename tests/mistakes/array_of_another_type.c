// expect: incompatible pointer type
// expect c++: cannot convert .float\*|no matching function for call to .half_map
#include "../../procpool.h"

PROCPOOL_FUNCTION(double, half, double, x) {
  return x / 2;
}

int call(procpool *pool);

int call(procpool *pool) {
  float in[2] = {1, 2};
  double out[2] = {0, 0};
  return half_map(pool, in, out, 2) == PROCPOOL_OK && out[0] < 1;
}
