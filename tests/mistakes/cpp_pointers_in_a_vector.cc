// expect: error: .*procpool: a pointer means nothing in another process
// standard: c++11
#include "../../procpool.h"

int main() {
  procpools::pool pool;
  int here = 5;
  return pool.map([](int *there) { return *there; }, std::vector<int *>(3, &here))[0];
}
