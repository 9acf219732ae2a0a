// expect: error: .*procpool: a function's address differs from process to process: pass a lambda
// standard: c++11
#include "../../procpool.h"

static int square(int x) {
  return x * x;
}

int main() {
  procpools::pool pool;
  return pool.submit(square, 5).get();
}
