// expect: dangling-else
#include "../../procpool.h"

int main(int argc, char **argv) {
  (void)argv;
  if (argc > 1)
    PROCPOOL_WITH(pool, PROCPOOL_NULL) {
      return pool == PROCPOOL_NULL;
    }
  else {
    return 2;
  }
  return 0;
}
