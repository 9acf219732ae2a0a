/* crash: a task that dies harms nobody else. Five kinds of death, what became of each, and the pool goes on.
 *   cc -O2 -pthread -o crash examples/crash.c && ./crash */
#define _DEFAULT_SOURCE
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

struct block {
  struct block *next;
  char bytes[1 << 20];
};

/* Takes memory for ever and never looks whether it got any. The limit, of this worker alone, protects the machine. */
static void exhaust_memory(procpool_task *task) {
  const struct rlimit limit = {64 << 20, 64 << 20};
  struct block *volatile blocks = NULL;
  if (setrlimit(RLIMIT_DATA, &limit) != 0) {
    procpool_task_fail(task, errno, "setrlimit");
    return;
  }
  for (int i = 0; i < 1024; i++) { /* where the system has no such limit, it ends at 1 GiB */
    struct block *block = malloc(sizeof(*block));
    memset(block->bytes, 1, sizeof(block->bytes));
    block->next = blocks;
    blocks = block;
  }
  procpool_task_fail(task, ENOMEM, "there was memory enough");
}

static void behave(procpool_task *task) {
  const int answer = 42;
  procpool_task_return(task, &answer, sizeof(answer));
}

static const struct trial {
  const char *name;
  procpool_function function;
} trials[] = {
    {"divide by zero", divide_by_zero}, {"dereference null", dereference_null}, {"call abort()", call_abort},
    {"call exit(0)", call_exit},        {"exhaust memory", exhaust_memory},     {"behave", behave},
};
enum { TRIALS = sizeof(trials) / sizeof(trials[0]) };

static const char *signal_name(int signal) {
  switch (signal) {
  case SIGFPE:
    return "SIGFPE";
  case SIGSEGV:
    return "SIGSEGV";
  case SIGBUS:
    return "SIGBUS";
  case SIGABRT:
    return "SIGABRT";
  case SIGKILL:
    return "SIGKILL";
  default:
    return "another signal";
  }
}

static void print_outcome(const char *name, procpool_future *future) {
  procpool_error error;
  int answer = 0;
  const procpool_status status = procpool_future_result(future, PROCPOOL_FOREVER, &answer, sizeof(answer), NULL);
  printf("%-17s %s", name, procpool_status_name(status));
  if (status == PROCPOOL_OK)
    printf(": %d\n", answer);
  else if (procpool_future_error(future, &error) != PROCPOOL_OK)
    printf(": no future\n");
  else if (status == PROCPOOL_CRASHED && error.signal != 0)
    printf(": %s in process %ld\n", signal_name(error.signal), error.pid);
  else if (status == PROCPOOL_CRASHED)
    printf(": exit status %d in process %ld\n", error.exit_status, error.pid);
  else
    printf(": code %d, %s\n", error.code, error.message);
}

int main(void) {
  procpool_error error = {0};
  procpool_options options = {0};
  options.error = &error;
  PROCPOOL_WITH(pool, &options) {
    procpool_future *futures[TRIALS];
    for (int i = 0; i < TRIALS; i++)
      if (procpool_submit(pool, trials[i].function, NULL, 0, NULL, &futures[i]) != PROCPOOL_OK)
        return 1;
    for (int i = 0; i < TRIALS; i++) {
      print_outcome(trials[i].name, futures[i]);
      procpool_future_release(futures[i]);
    }
    printf("and the pool goes on\n");
    return 0;
  }
  fprintf(stderr, "crash: no pool: %s %s\n", procpool_strerror(error.status), error.message);
  return 1;
}
