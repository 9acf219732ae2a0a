/* limits: tasks that take too long are ended, by their time limit or by the program, and by stages: a task may look whether
 * it is to end; then its worker gets SIGTERM, then SIGKILL. The error tells which stage it took. The pool goes on.
 *   cc -O2 -pthread -o limits examples/limits.c && ./limits */
#define PROCPOOL_IMPLEMENTATION
#include "../procpool.h"
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

/* Looks now and then, and returns: its worker lives on. */
static void polite(procpool_task *task) {
  while (!procpool_task_cancelled(task))
    usleep(1000);
}

/* Never looks, as most code: SIGTERM ends its worker. */
static void deaf(procpool_task *task) {
  (void)task;
  for (;;)
    pause();
}

/* Does not even mind SIGTERM. */
static void stubborn(procpool_task *task) {
  signal(SIGTERM, SIG_IGN);
  deaf(task);
}

static void behave(procpool_task *task) {
  (void)task;
}

static const struct trial {
  const char *name;
  procpool_function function;
  procpool_submit_options options;
} trials[] = {
    {"deaf, cancelled", deaf, {.time_limit = 0}},
    {"polite, 0.1 s", polite, {.time_limit = 0.1, .grace = 0.05}},
    {"deaf, 0.1 s", deaf, {.time_limit = 0.1, .grace = 0.05}},
    {"stubborn, 0.1 s", stubborn, {.time_limit = 0.1, .grace = 0.05}},
    {"behave, 0.1 s", behave, {.time_limit = 0.1, .grace = 0.05}},
};
enum { TRIALS = sizeof(trials) / sizeof(trials[0]) };

static void print_outcome(const char *name, procpool_future *future) {
  static const char *const stages[] = {"", " when it was asked", " by SIGTERM", " by SIGKILL"};
  procpool_error error;
  procpool_future_wait(future, PROCPOOL_FOREVER);
  if (procpool_future_error(future, &error) == PROCPOOL_OK)
    printf("%-20s %s%s\n", name, procpool_status_name(error.status), stages[error.stage]);
}

int main(void) {
  const procpool_options options = {.max_workers = 2}; /* one is taken until the end */
  PROCPOOL_WITH(pool, &options) {
    procpool_future *futures[TRIALS];
    for (int i = 0; i < TRIALS; i++)
      if (procpool_submit(pool, trials[i].function, NULL, 0, &trials[i].options, &futures[i]) != PROCPOOL_OK)
        return fprintf(stderr, "limits: %s\n", procpool_last_message()), 1;
    for (int i = 1; i < TRIALS; i++)
      print_outcome(trials[i].name, futures[i]);
    procpool_future_cancel_kill(futures[0], -1); /* it has begun, as the first of all. -1: SIGKILL at once */
    print_outcome(trials[0].name, futures[0]);
    procpool_release_many(futures, TRIALS);
    return 0;
  }
  return fprintf(stderr, "limits: %s\n", procpool_last_message()), 1;
}
