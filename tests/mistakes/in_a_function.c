// expect: invalid storage class for function .square|function definition is not allowed here
// expect c++: function.definition is not allowed here
#include "../../procpool.h"

int main(void) {
  PROCPOOL_FUNCTION(int, square, int, x) {
    return x * x;
  }
  return 0;
}
