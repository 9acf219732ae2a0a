/* whoami: tasks really run in other processes. Each task reports the process that ran it; three workers show three.
 *   cc -O2 -pthread -o whoami examples/whoami.c && ./whoami */
#define _DEFAULT_SOURCE
#define PROCPOOL_IMPLEMENTATION
#include "../procpool.h"
#include <stdio.h>
#include <time.h>
#include <unistd.h>

enum { TASKS = 12, WORKERS = 3 };

/* It sleeps a little, so that no worker can take all the tasks before the others have woken up. */
PROCPOOL_FUNCTION(long, who_am_i, int, number) {
  const struct timespec moment = {0, 50 * 1000 * 1000};
  (void)number;
  nanosleep(&moment, NULL);
  return (long)getpid();
}

static int count_of(const long *pids, int count, long pid) {
  int found = 0;
  for (int i = 0; i < count; i++)
    found += pids[i] == pid;
  return found;
}

static void print_report(const long *pids) {
  int distinct = 0;
  printf("host: pid %ld\n", (long)getpid());
  for (int i = 0; i < TASKS; i++) {
    printf("task %2d: pid %ld\n", i, pids[i]);
    distinct += count_of(pids, i, pids[i]) == 0;
  }
  printf("%d tasks, %d pids, %d in the host\n", TASKS, distinct, count_of(pids, TASKS, (long)getpid()));
}

int main(void) {
  int numbers[TASKS];
  long pids[TASKS];
  procpool_status status;
  procpool_error error = {0};
  procpool_options options = {0};
  procpool_map_options one_by_one = {0};
  one_by_one.chunksize = 1;
  options.error = &error;
  options.max_workers = WORKERS;
  for (int i = 0; i < TASKS; i++)
    numbers[i] = i;
  PROCPOOL_WITH(pool, &options) {
    status = who_am_i_map_with(pool, numbers, pids, TASKS, &one_by_one);
    if (status != PROCPOOL_OK) {
      fprintf(stderr, "whoami: %s\n", procpool_strerror(status));
      return 1;
    }
    print_report(pids);
    return 0;
  }
  fprintf(stderr, "whoami: no pool: %s %s\n", procpool_strerror(error.status), error.message);
  return 1;
}
