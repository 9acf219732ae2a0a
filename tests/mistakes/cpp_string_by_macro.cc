// expect: error: .*procpool: .* crosses processes byte by byte, and is not trivially copyable: see procpools::pool
// standard: c++11
#include "../../procpool.h"
#include <string>

PROCPOOL_FUNCTION(int, length, std::string, text) {
  return int(text.size());
}
