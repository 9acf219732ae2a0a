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
    procpool_imap(pool, square_task, none, PROCPOOL_NULL, sizeof(int), PROCPOOL_NULL, &items);
  }
  return 0;
}
