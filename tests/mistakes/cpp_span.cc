// expect: error: .*procpool: a view \(string_view, span, std::ref\) looks at memory of this process
// standard: c++20
#include "../../procpool.h"
#include <span>

int main() {
  procpools::pool pool;
  std::vector<float> row(100);
  return int(pool.submit([](std::span<const float> part) { return part[0]; }, std::span<const float>(row)).get());
}
