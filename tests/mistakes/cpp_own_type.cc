// expect: error: .*procpool: this type is not trivially copyable: specialise procpools::codec for it
// standard: c++11
#include "../../procpool.h"
#include <string>

struct person {
  std::string name;
  int age;
};

int main() {
  procpools::pool pool;
  return pool.submit([](const person &who) { return who.age; }, person()).get();
}
