// expect: procpool_write_type_comma_name_for_each_argument_of_power
// expect c++: write type, name for each argument of power
#include "../../procpool.h"

PROCPOOL_FUNCTION(double, power, double, base, exponent) {
  return base;
}
