/* second.c - the implementation once more, as a plugin or another file of the same program has it. */
#define PROCPOOL_STATIC
#define PROCPOOL_IMPLEMENTATION
#include "../procpool.h"

#include "second.h"

PROCPOOL_FUNCTION(long, second_parent, int, none) {
  return (long)getppid() + 0 * none;
}

void *second_open(void) {
  procpool_options options;
  memset(&options, 0, sizeof(options));
  options.start = PROCPOOL_START_FORK;
  options.max_workers = 1;
  return procpool_open(&options);
}

long second_supervisor(void *pool) {
  long pid = 0;
  return second_parent_result(second_parent_submit((procpool *)pool, 0), &pid) == PROCPOOL_OK ? pid : 0;
}

bool second_works(void *pool) {
  return second_supervisor(pool) > 0;
}

bool second_free(void *pool) {
  return procpool_free((procpool *)pool) == PROCPOOL_OK;
}
