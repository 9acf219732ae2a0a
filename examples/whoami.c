/* whoami: tasks really run in other processes. Each task reports the process that ran it; three workers show three.
 *   cc -O2 -pthread -o whoami examples/whoami.c && ./whoami */
#define PROCPOOL_IMPLEMENTATION
#include "../procpool.h"
#include <stdio.h>
#include <unistd.h>

enum { TASKS = 12, WORKERS = 3 };

PROCPOOL_FUNCTION(long, who_am_i) {
  usleep(50000); /* so that no worker can take all the tasks before the others have woken up */
  return (long)getpid();
}

static int count_of(const long *pids, int count, long pid) {
  int found = 0;
  for (int i = 0; i < count; i++)
    found += pids[i] == pid;
  return found;
}

int main(void) {
  long pids[TASKS];
  int distinct = 0;
  const procpool_options options = {.max_workers = WORKERS};
  procpool_map_options one_by_one = {.chunksize = 1};
  PROCPOOL_WITH(pool, &options) {
    if (who_am_i_map_with(pool, pids, TASKS, &one_by_one) != PROCPOOL_OK)
      break;
    printf("host: pid %ld\n", (long)getpid());
    for (int i = 0; i < TASKS; i++) {
      printf("task %2d: pid %ld\n", i, pids[i]);
      distinct += count_of(pids, i, pids[i]) == 0;
    }
    printf("%d tasks, %d pids, %d in the host\n", TASKS, distinct, count_of(pids, TASKS, (long)getpid()));
    return 0;
  }
  return fprintf(stderr, "whoami: %s\n", procpool_last_message()), 1;
}
