/* processes: the plain sibling of the pool. Five named processes are started with two arguments each, and joined.
 * While they run, `ps -C runner-1,runner-2,runner-3,runner-4,runner-5 -o pid,comm` shows them.
 *   cc -O2 -pthread -o processes examples/processes.c && ./processes */
#define _DEFAULT_SOURCE
#define PROCPOOL_IMPLEMENTATION
#include "../procpool.h"
#include <stdio.h>
#include <string.h>
#include <time.h>

enum { RUNNERS = 5 };

/* The typed form makes run_task, which a process can be started with, and run_arguments, a struct of the two. */
PROCPOOL_FUNCTION(double, run, int, laps, double, metres) {
  const struct timespec lap = {0, 20 * 1000 * 1000};
  double way = 0;
  for (int i = 0; i < laps; i++) {
    nanosleep(&lap, NULL);
    way += metres;
  }
  return way;
}

static procpool_process *start_runner(int number) {
  char name[16];
  run_arguments arguments;
  procpool_error error = {0};
  procpool_process_options options = {0};
  procpool_process *process;
  memset(&arguments, 0, sizeof(arguments)); /* the bytes between the fields are carried too */
  arguments.laps = 2 * number;
  arguments.metres = 400;
  snprintf(name, sizeof(name), "runner-%d", number);
  options.name = name;
  options.error = &error;
  process = procpool_process_start(&options, run_task, &arguments, sizeof(arguments));
  if (process == NULL)
    fprintf(stderr, "processes: %s: %s %s\n", name, procpool_strerror(error.status), error.message);
  return process;
}

static int join_runner(procpool_process *process, int number) {
  double way = 0;
  int exit_code = -1;
  procpool_status status = procpool_process_join(process, PROCPOOL_FOREVER);
  if (status == PROCPOOL_OK)
    status = procpool_process_exit_code(process, &exit_code);
  if (status == PROCPOOL_OK)
    status = procpool_future_result(procpool_process_future(process), 0, &way, sizeof(way), NULL);
  if (status == PROCPOOL_OK)
    printf("runner-%d, pid %ld: %g m, exit code %d\n", number, procpool_process_pid(process), way, exit_code);
  else
    fprintf(stderr, "processes: runner-%d: %s\n", number, procpool_strerror(status));
  procpool_process_free(process);
  return status != PROCPOOL_OK;
}

int main(void) {
  procpool_process *runners[RUNNERS];
  int failed = 0;
  for (int i = 0; i < RUNNERS; i++)
    runners[i] = start_runner(i + 1);
  for (int i = 0; i < RUNNERS; i++)
    failed |= join_runner(runners[i], i + 1);
  return failed;
}
