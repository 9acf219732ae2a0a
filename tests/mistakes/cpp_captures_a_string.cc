// expect: error: .*procpool: the callable is copied byte by byte
// standard: c++11
#include "../../procpool.h"
#include <string>

int main() {
  procpools::pool pool;
  const std::string text = "abc";
  return int(pool.submit([text](size_t more) { return text.size() + more; }, 2u).get());
}
