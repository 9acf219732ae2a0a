/* nodoor.c - a program that forgets procpool_worker_main: it prints what it was told when it opened a pool.
 *   nodoor            asks for spawn
 *   nodoor threads    leaves the start method open, and has a second thread */
#define PROCPOOL_IMPLEMENTATION
#include "../procpool.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static void *wait_for_the_end(void *context) {
  pause();
  return context;
}

int main(int argc, char **argv) {
  procpool_error error;
  procpool_options options;
  procpool *pool;
  memset(&options, 0, sizeof(options));
  memset(&error, 0, sizeof(error));
  options.error = &error;
  options.start = PROCPOOL_START_SPAWN;
  if (argc > 1 && strcmp(argv[1], "threads") == 0) {
    pthread_t thread;
    if (pthread_create(&thread, NULL, wait_for_the_end, NULL) != 0)
      return 2;
    options.start = PROCPOOL_START_AUTO;
  }
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
  return 0;
}
