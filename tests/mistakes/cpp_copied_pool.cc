// expect: error: .*(use of deleted function.*pool::pool|implicitly-deleted copy constructor of 'procpools::pool')
// standard: c++11
#include "../../procpool.h"

int main() {
  procpools::pool pool;
  procpools::pool other = pool;
  return other ? 0 : 1;
}
