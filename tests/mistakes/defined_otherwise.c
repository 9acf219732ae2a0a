// expect: conflicting (types for|declaration of).*power
#include "../../procpool.h"

PROCPOOL_DECLARE(double, power, double, base, int, exponent);
PROCPOOL_DEFINE(double, power, double, base, long, exponent) {
  return exponent > 0 ? base : 1;
}
