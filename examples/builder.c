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
} jobs[] = {
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
    {"manual", "true", {&jobs[8]}, NULL},
};
enum { JOBS = sizeof(jobs) / sizeof(jobs[0]) };
static procpool *pool;

PROCPOOL_STRING_FUNCTION(run, command) { /* in a worker */
  const int status = system(command);
  if (status != 0)
    procpool_task_fail(task, status, command);
}

/* The first thing it needs that is not built, or null. */
static const struct job *missing(const struct job *job) {
  for (struct job *const *need = job->needs; *need != NULL; need++)
    if (procpool_future_status((*need)->future) != PROCPOOL_OK)
      return *need;
  return NULL;
}

static void fail(const char *why) {
  fprintf(stderr, "builder: %s\n", why);
  exit(1);
}

/* Runs at the start, and whenever a job has ended. */
static void start_ready(procpool_future *ended, void *user) {
  const procpool_submit_options options = {.callback = start_ready};
  for (struct job *job = jobs; job < jobs + JOBS; job++)
    if (job->future == NULL && missing(job) == NULL)
      if ((job->future = run_submit_with(pool, &options, job->command)) == NULL)
        fail(procpool_last_message());
  (void)ended, (void)user;
}

int main(void) {
  procpool_error error = {0};
  const procpool_options options = {.error = &error};
  if ((pool = procpool_open(&options)) == NULL)
    fail(error.message);
  start_ready(NULL, NULL);
  while (procpool_poll(pool, PROCPOOL_FOREVER) == PROCPOOL_OK)
    ; /* it is END when all is done, also what the callbacks have handed out */
  for (struct job *job = jobs; job < jobs + JOBS; job++)
    if (job->future == NULL)
      printf("%-17s waits for %s\n", job->name, missing(job)->name);
    else
      printf("%-17s %s: %s\n", job->name, procpool_status_name(procpool_future_status(job->future)), job->command);
  for (struct job *job = jobs; job < jobs + JOBS; job++)
    procpool_future_release(job->future); /* not above: what a job has become is asked of its future */
  return procpool_close(pool) != PROCPOOL_OK;
}
