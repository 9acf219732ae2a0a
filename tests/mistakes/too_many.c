// expect: procpool_at_most_8_arguments_put_more_into_a_struct_sum
// expect c++: sum has more than 8 arguments: put some into a struct
#include "../../procpool.h"

PROCPOOL_FUNCTION(int, sum, int, a, int, b, int, c, int, d, int, e, int, f, int, g, int, h, int, i) {
  return a + b + c + d + e + f + g + h + i;
}
