// expect: error: .*procpool: the callable is copied byte by byte, so what it captures must be trivially copyable
// standard: c++11
#include "../../procpool.h"
#include <functional>

int main() {
  procpools::pool pool;
  const std::function<int(int)> square = [](int x) { return x * x; };
  return pool.submit(square, 5).get();
}
