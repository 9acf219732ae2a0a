// expect: error: .*procpool: a pointer means nothing in another process: pass the value, a std::string
// standard: c++11
#include "../../procpool.h"
#include <string>

int main() {
  procpools::pool pool;
  return int(pool.submit([](const std::string &text) { return text.size(); }, "abc").get());
}
