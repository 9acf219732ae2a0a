/* builder: jobs that need each other, as make has them. A job is handed out when all that it needs is built; one that
 * fails stops only what needs it.
 *   cc -O2 -pthread -o builder examples/builder.c && ./builder */
#define PROCPOOL_IMPLEMENTATION
#include "../procpool.h"
#include <stdio.h>
#include <stdlib.h>

static struct job {
  const char *name, *command;
  struct job *needs[4];
  procpool_future *future; /* null: not handed out yet */
} jobs[] =
    {
        {"config.h", "sleep 0.05", {NULL}, NULL},
        {"scanner.c", "true", {NULL}, NULL},
        {"grammar.c", "exit 3", {NULL}, NULL},
        {"main.o", "sleep 0.02", {&jobs[0]}, NULL},
        {"scanner.o", "true", {&jobs[0], &jobs[1]}, NULL},
        {"grammar.o", "true", {&jobs[0], &jobs[2]}, NULL},
        {"words.o", "sleep 0.03", {&jobs[0]}, NULL},
        {"compiler", "true", {&jobs[3], &jobs[4], &jobs[5]}, NULL},
        {"words", "true", {&jobs[4], &jobs[6]}, NULL},
        {"tests of compiler", "true", {&jobs[7]}, NULL},
        {"tests of words", "exit 1", {&jobs[8]}, NULL},
},
  *const end = jobs + sizeof(jobs) / sizeof(jobs[0]);

PROCPOOL_STRING_FUNCTION(run, command) { /* in a worker */
  if (system(command) != 0)
    procpool_task_fail(task, 1, command);
}

/* The first thing it needs that is not built, or null. */
static const struct job *missing(const struct job *job) {
  for (struct job *const *need = job->needs; *need != NULL; need++)
    if (procpool_future_status((*need)->future) != PROCPOOL_OK)
      return *need;
  return NULL;
}

int main(void) {
  PROCPOOL_WITH(pool, NULL) {
    do /* whenever some job has ended */
      for (struct job *job = jobs; job < end; job++)
        if (job->future == NULL && missing(job) == NULL && (job->future = run_submit(pool, job->command)) == NULL)
          return fprintf(stderr, "builder: %s\n", procpool_last_message()), 1;
    while (procpool_poll(pool, PROCPOOL_FOREVER) == PROCPOOL_OK);
    for (struct job *job = jobs; job < end; job++)
      if (job->future == NULL)
        printf("%-17s waits for %s\n", job->name, missing(job)->name);
      else
        printf("%-17s %s: %s\n", job->name, procpool_status_name(procpool_future_status(job->future)), job->command);
    for (struct job *job = jobs; job < end; job++)
      procpool_future_release(job->future);        /* not above: what a job has become is asked of its future */
    return procpool_poll(pool, 0) != PROCPOOL_END; /* END: all that was handed out is done */
  }
  fprintf(stderr, "builder: %s\n", procpool_last_message());
  return 1;
}
