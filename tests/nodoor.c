/* nodoor.c - a program that uses spawn and forgets procpool_worker_main: it prints what it was told about it. */
#define PROCPOOL_IMPLEMENTATION
#include "../procpool.h"

#include <stdio.h>
#include <string.h>

int main(int argc, char **argv) {
  procpool_error error;
  procpool_options options;
  procpool *pool;
  memset(&options, 0, sizeof(options));
  memset(&error, 0, sizeof(error));
  options.error = &error;
  options.start = PROCPOOL_START_SPAWN;
  options.max_workers = 1;
  printf("main begins\n"); /* were the program started a second time, this would be printed twice */
  fflush(stdout);
  pool = procpool_open(&options);
  if (pool != NULL) {
    printf("opened\n");
    (void)procpool_free(pool);
    return 1;
  }
  printf("%s\n%s\n", procpool_status_name(error.status), error.message);
  (void)argc;
  (void)argv;
  return 0;
}
