/* processes: the plain sibling of the pool. Five named processes are started with two arguments each, and joined.
 * While they run, `ps -C runner-1,runner-2,runner-3,runner-4,runner-5 -o pid,comm` shows them.
 *   cc -O2 -pthread -o processes examples/processes.c && ./processes */
#define PROCPOOL_IMPLEMENTATION
#include "../procpool.h"
#include <stdio.h>
#include <unistd.h>

enum { RUNNERS = 5 };

/* The typed form makes run_task, which a process can be started with, and run_arguments, a struct of the two. */
PROCPOOL_FUNCTION(double, run, int, laps, double, metres) {
  double way = 0;
  for (int i = 0; i < laps; i++) {
    usleep(20000);
    way += metres;
  }
  return way;
}

static procpool_process *start_runner(int number) {
  char name[16];
  const run_arguments arguments = {2 * number, 400};
  procpool_error error;
  const procpool_process_options options = {.name = name, .error = &error};
  snprintf(name, sizeof(name), "runner-%d", number);
  procpool_process *process = procpool_process_start(&options, run_task, &arguments, sizeof(arguments));
  if (process == NULL)
    fprintf(stderr, "processes: %s: %s\n", name, error.message);
  return process;
}

static int join_runner(procpool_process *process, int number) {
  procpool_future *future = procpool_process_future(process);
  double way = 0;
  int exit_code = 1;
  if (procpool_process_join(process, PROCPOOL_FOREVER) == PROCPOOL_OK &&
      procpool_process_exit_code(process, &exit_code) == PROCPOOL_OK &&
      procpool_future_result(future, 0, &way, sizeof(way), NULL) == PROCPOOL_OK)
    printf("runner-%d, pid %ld: %g m, exit code %d\n", number, procpool_process_pid(process), way, exit_code);
  else
    fprintf(stderr, "processes: runner-%d: %s\n", number, procpool_future_message(future));
  procpool_process_free(process);
  return exit_code != 0;
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
