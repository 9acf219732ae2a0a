/* crash: a task that dies harms nobody else. Five kinds of death, what became of each, and the pool goes on.
 *   cc -O2 -pthread -o crash examples/crash.c && ./crash */
#define PROCPOOL_IMPLEMENTATION
#include "../procpool.h"
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

static void divide_by_zero(procpool_task *task) {
  volatile int zero = 0, quotient = 1;
  quotient = quotient / zero;
  raise(SIGFPE); /* some processors, as ARM's, go on after the division */
  (void)task;
}

static void dereference_null(procpool_task *task) {
  volatile int *volatile nowhere = NULL;
  *nowhere = 1;
  (void)task;
}

static void call_abort(procpool_task *task) {
  (void)task;
  abort();
}

static void call_exit(procpool_task *task) {
  (void)task;
  exit(0);
}

/* Never looks whether it got any. The limit, of this worker alone, protects the machine. */
static void exhaust_memory(procpool_task *task) {
  const struct rlimit limit = {64 << 20, 64 << 20};
  if (setrlimit(RLIMIT_DATA, &limit) != 0)
    procpool_task_fail(task, errno, "setrlimit");
  else
    for (int i = 0; i < 1024; i++) { /* where the system has no such limit, it ends at 1 GiB */
      char *volatile block = malloc(1 << 20);
      memset(block, 1, 1 << 20);
    }
}

static void behave(procpool_task *task) {
  procpool_task_return_string(task, "42");
}

static const struct trial {
  const char *name;
  procpool_function function;
} trials[] = {
    {"divide by zero", divide_by_zero}, {"dereference null", dereference_null}, {"call abort()", call_abort},
    {"call exit(0)", call_exit},        {"exhaust memory", exhaust_memory},     {"behave", behave},
};
enum { TRIALS = sizeof(trials) / sizeof(trials[0]) };

int main(void) {
  PROCPOOL_WITH(pool, NULL) {
    procpool_future *futures[TRIALS];
    for (int i = 0; i < TRIALS; i++)
      if (procpool_submit(pool, trials[i].function, NULL, 0, NULL, &futures[i]) != PROCPOOL_OK)
        return fprintf(stderr, "crash: %s\n", procpool_last_message()), 1;
    for (int i = 0; i < TRIALS; i++) {
      const char *answer = procpool_future_string(futures[i]);
      printf("%-17s %s: %s\n", trials[i].name, procpool_status_name(procpool_future_status(futures[i])),
             answer != NULL ? answer : procpool_future_message(futures[i]));
    }
    procpool_release_many(futures, TRIALS);
    printf("and the pool goes on\n");
    return 0;
  }
  return fprintf(stderr, "crash: %s\n", procpool_last_message()), 1;
}
