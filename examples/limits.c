/* limits: tasks that take too long are ended, by their time limit or by the program, and by stages: a task may look whether
 * it is to end; then its worker gets SIGTERM, then SIGKILL. The error tells which stage it took. The pool goes on.
 *   cc -O2 -pthread -o limits examples/limits.c && ./limits */
#define _DEFAULT_SOURCE
#define PROCPOOL_IMPLEMENTATION
#include "../procpool.h"
#include <signal.h>
#include <stdio.h>

/* Looks now and then, and returns: its worker lives on. */
static void polite(procpool_task *task) {
  while (!procpool_task_cancelled(task))
    usleep(1000);
}

/* Never looks, as most code: SIGTERM ends its worker. */
static void deaf(procpool_task *task) {
  (void)task;
  for (;;)
    usleep(1000);
}

/* Does not even mind SIGTERM. */
static void stubborn(procpool_task *task) {
  signal(SIGTERM, SIG_IGN);
  deaf(task);
}

static void behave(procpool_task *task) {
  const int answer = 42;
  procpool_task_return(task, &answer, sizeof(answer));
}

static void print_outcome(const char *name, procpool_future *future) {
  static const char *const stages[] = {"", " when it was asked", " by SIGTERM", " by SIGKILL"};
  procpool_error error;
  (void)procpool_future_wait(future, PROCPOOL_FOREVER);
  if (procpool_future_error(future, &error) == PROCPOOL_OK)
    printf("%-20s %s%s\n", name, procpool_status_name(error.status), stages[error.stage]);
  (void)procpool_future_release(future);
}

static procpool_future *with_limit(procpool *pool, procpool_function function, double seconds) {
  procpool_submit_options options = {0};
  procpool_future *future = NULL;
  options.time_limit = seconds;
  options.grace = 0.05;
  return procpool_submit(pool, function, NULL, 0, &options, &future) == PROCPOOL_OK ? future : NULL;
}

int main(void) {
  procpool_error error = {0};
  procpool_options options = {0};
  options.error = &error;
  PROCPOOL_WITH(pool, &options) {
    procpool_future *cancelled, *futures[4];
    if (procpool_submit(pool, deaf, NULL, 0, NULL, &cancelled) != PROCPOOL_OK)
      return 1;
    futures[0] = with_limit(pool, polite, 0.1);
    futures[1] = with_limit(pool, deaf, 0.1);
    futures[2] = with_limit(pool, stubborn, 0.1);
    futures[3] = with_limit(pool, behave, 0.1);
    while (!procpool_future_running(cancelled))
      usleep(1000);
    (void)procpool_future_cancel_kill(cancelled, -1); /* at once */
    print_outcome("deaf, cancelled", cancelled);
    print_outcome("polite, 0.1 s", futures[0]);
    print_outcome("deaf, 0.1 s", futures[1]);
    print_outcome("stubborn, 0.1 s", futures[2]);
    print_outcome("behave, 0.1 s", futures[3]);
    return 0;
  }
  fprintf(stderr, "limits: no pool: %s %s\n", procpool_strerror(error.status), error.message);
  return 1;
}
