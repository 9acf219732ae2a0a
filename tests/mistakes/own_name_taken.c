// expect: (conflicting types for|redefinition of) .parse_result
// expect c++: ambiguating new declaration of .*parse_result|functions that differ only in their return type|redefinition of .*parse_result
#include "../../procpool.h"

PROCPOOL_FUNCTION(int, parse, int, x) {
  return x;
}

int parse_result(procpool_future *future, int *number); /* a name that the macro has made */
