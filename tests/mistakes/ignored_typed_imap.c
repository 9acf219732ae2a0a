// expect: warn_unused_result
#include "../../procpool.h"

static int none(void *context, void *item) {
  return context == item;
}

PROCPOOL_FUNCTION(int, square, int, x) {
  return x * x;
}

int main(void) {
  procpool_iterator *items;
  PROCPOOL_WITH(pool, PROCPOOL_NULL) {
    square_imap(pool, none, PROCPOOL_NULL, PROCPOOL_NULL, &items);
  }
  return 0;
}
