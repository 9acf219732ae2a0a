// expect: error: .*procpool: this type is not trivially copyable: specialise procpools::codec for it
// standard: c++11
#include "../../procpool.h"
#include <memory>

int main() {
  procpools::pool pool;
  return *pool.submit([](std::unique_ptr<int> number) { return number; }, std::unique_ptr<int>(new int(5))).get();
}
