// expect: error: .*procpool: write type, name for each argument of sum \(a type with a comma in it needs a typedef\)
// standard: c++11
#include "../../procpool.h"
#include <utility>

PROCPOOL_FUNCTION(int, sum, std::pair<int, int>, both) {
  return both.first + both.second;
}
