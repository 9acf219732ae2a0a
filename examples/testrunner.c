/* testrunner: a table of tests, of which one fails, one crashes and one hangs. Each runs in a worker with a time limit, so
 * that none harms the others; the report has them in the table's order.
 *   cc -O2 -pthread -o testrunner examples/testrunner.c && ./testrunner */
#define PROCPOOL_IMPLEMENTATION
#include "../procpool.h"
#include <stdio.h>
#include <string.h>

typedef struct test {
  const char *name;
  procpool_function function;
} test;

static void test_length(procpool_task *task) {
  if (strlen("four") != 4)
    procpool_task_fail(task, 1, "strlen counts wrongly");
}

static void test_order(procpool_task *task) {
  if (strcmp("Zebra", "ant") < 0)
    procpool_task_fail(task, 1, "Zebra comes before ant");
}

static void test_null(procpool_task *task) {
  volatile int *volatile nowhere = NULL;
  *nowhere = 1;
  (void)task;
}

static void test_end(procpool_task *task) {
  for (volatile bool ended = false; !ended;)
    (void)task;
}

static const test tests[] = {{"length", test_length}, {"order", test_order}, {"null", test_null}, {"end", test_end}};
enum { TESTS = sizeof(tests) / sizeof(tests[0]) };

/* The table's rows are the items. Their pointers mean the same in forked workers: these are copies of this process. */
PROCPOOL_TASK_PROCEDURE(run, test, row) {
  row.function(task);
}

int main(void) {
  procpool_error errors[TESTS];
  const procpool_options options = {.start = PROCPOOL_START_FORK};
  procpool_map_options each = {.errors = errors, .chunksize = 1, .time_limit = 1};
  PROCPOOL_WITH(pool, &options) {
    if (run_map_with(pool, tests, TESTS, &each) >= PROCPOOL_PENDING)
      break; /* it is not the tests that went wrong */
    for (int i = 0; i < TESTS; i++)
      printf("%-8s %-8s %s\n", tests[i].name, procpool_status_name(errors[i].status), errors[i].message);
    printf("%d tests, %zu not passed\n", TESTS, each.failed_count);
    return 0;
  }
  fprintf(stderr, "testrunner: %s\n", procpool_last_message());
  return 1;
}
