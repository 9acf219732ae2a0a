// expect: error: .*procpool: a view \(string_view, span, std::ref\) looks at memory of this process
// standard: c++17
#include "../../procpool.h"
#include <string_view>

int main() {
  procpools::pool pool;
  return int(pool.submit([](std::string_view text) { return text.size(); }, std::string_view("abc")).get());
}
