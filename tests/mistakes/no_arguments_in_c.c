// expect: procpool_write_type_comma_name_for_each_argument_of_one
// expect c++: write type, name for each argument of one
#include "../../procpool.h"

PROCPOOL_FUNCTION(int, one, void) {
  return 1;
}
