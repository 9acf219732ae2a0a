// expect: error: .*procpool: a view \(string_view, span, std::ref\) looks at memory of this process
// standard: c++11
#include "../../procpool.h"
#include <functional>

int main() {
  procpools::pool pool;
  int here = 5;
  pool.submit([](int &there) { there = 6; }, std::ref(here)).get();
  return here;
}
