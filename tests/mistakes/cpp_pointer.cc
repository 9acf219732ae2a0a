// expect: error: .*procpool: a pointer means nothing in another process
// standard: c++11
#include "../../procpool.h"

int main() {
  procpools::pool pool;
  int here = 5;
  return pool.submit([](int *there) { return *there; }, &here).get();
}
