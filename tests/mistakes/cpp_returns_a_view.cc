// expect: error: .*procpool: a view \(string_view, span, std::ref\) looks at memory of this process
// standard: c++17
#include "../../procpool.h"
#include <string_view>

int main() {
  procpools::pool pool;
  return int(pool.submit([](int) { return std::string_view("of the worker"); }, 1).get().size());
}
