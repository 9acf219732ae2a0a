// expect: procpool_write_type_comma_name_for_each_argument_of_square
// expect c++: write type, name for each argument of square
#include "../../procpool.h"

PROCPOOL_FUNCTION(int, square, int x) {
  return x * x;
}
