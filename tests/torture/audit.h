/* audit.h - counts what one step of a host under test left behind, within a round: rig_round checks the round as a whole.
 * It is included behind rig.h. */
#ifndef AUDIT_H
#define AUDIT_H

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

typedef struct audit_counts {
  size_t descriptors, threads, segments;
} audit_counts;

static inline size_t audit_entries(const char *path) {
  DIR *directory = opendir(path);
  size_t count = 0;
  CHECK(directory != NULL);
  while (readdir(directory) != NULL)
    count++;
  closedir(directory);
  return count;
}

/* Shared memory of pools that this process has mapped. */
static inline size_t audit_segments(void) {
  FILE *file = fopen("/proc/self/maps", "r");
  char line[512];
  size_t count = 0;
  CHECK(file != NULL);
  while (fgets(line, sizeof(line), file) != NULL)
    count += strstr(line, "memfd:procpool") != NULL;
  fclose(file);
  return count;
}

static inline audit_counts audit_take(void) {
  audit_counts now;
  now.descriptors = test_descriptors();
  now.threads = audit_entries("/proc/self/task");
  now.segments = audit_segments();
  return now;
}

/* Whether those that are dead and not reaped count too: they do for limits on processes. See audit_reap. */
static bool audit_zombies __attribute__((unused));

/* The other processes of this process's session that live. The host has a session of its own. */
static inline int audit_others(pid_t *pids, int capacity) {
  DIR *directory = opendir("/proc");
  struct dirent *entry;
  int count = 0;
  CHECK(directory != NULL);
  while ((entry = readdir(directory)) != NULL) {
    const pid_t pid = (pid_t)atoi(entry->d_name);
    char path[64], text[512], *after;
    int parent, group, session = -1;
    char state = 0;
    FILE *file;
    if (pid <= 0 || pid == getpid())
      continue;
    snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
    file = fopen(path, "r");
    if (file == NULL)
      continue;
    after = fgets(text, sizeof(text), file) != NULL ? strrchr(text, ')') : NULL;
    fclose(file);
    if (after == NULL || sscanf(after + 1, " %c %d %d %d", &state, &parent, &group, &session) != 4)
      continue;
    if (session == (int)getsid(0) && (audit_zombies || (state != 'Z' && state != 'X'))) {
      if (count < capacity)
        pids[count] = pid;
      count++;
    }
  }
  closedir(directory);
  return count;
}

static inline void audit_nap(void) {
  const struct timespec nap = {0, 1000000};
  nanosleep(&nap, NULL);
}

/* No process besides is left, and nothing else has become more. Ends that are under way get time. */
static inline void audit_check(const audit_counts *before, const char *what, int step) {
  const double end = test_now() + 10 * test_slow();
  audit_counts now = audit_take();
  while ((audit_others(NULL, 0) > 0 || now.threads != before->threads) && test_now() < end) {
    audit_nap();
    now = audit_take();
  }
  rig_progress();
  if (audit_others(NULL, 0) > 0)
    rig_fail("%s, step %d: %d processes were left", what, step, audit_others(NULL, 0));
  if (now.descriptors != before->descriptors)
    rig_fail("%s, step %d: %zu descriptors, before %zu", what, step, now.descriptors, before->descriptors);
  if (now.threads != before->threads)
    rig_fail("%s, step %d: %zu threads, before %zu", what, step, now.threads, before->threads);
  if (now.segments != before->segments)
    rig_fail("%s, step %d: %zu segments, before %zu", what, step, now.segments, before->segments);
}

/* Waits until condition holds, at most so long; it is looked at again every millisecond. */
#define AUDIT_UNTIL(seconds, condition)                                                                                \
  do {                                                                                                                 \
    const double audit_end = test_now() + (seconds)*test_slow();                                                       \
    while (!(condition)) {                                                                                             \
      if (test_now() > audit_end)                                                                                      \
        rig_fail("%s:%d: not within %g s: %s", __FILE__, __LINE__, (double)(seconds), #condition);                     \
      audit_nap();                                                                                                     \
    }                                                                                                                  \
  } while (0)

/* In the observer, beside a host to which zombies matter: reaps all but the host. */
__attribute__((unused)) static void audit_reap(void) {
  while (rig_pause(0.002))
    for (;;) {
      siginfo_t info;
      memset(&info, 0, sizeof(info));
      if (waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) != 0 || info.si_pid == 0 || info.si_pid == rig_host())
        break;
      (void)waitpid(info.si_pid, NULL, 0);
    }
}

/* Outcomes of tasks that this host submitted, by status. */
static int audit_outcomes[PROCPOOL_STATUS_LIMIT] __attribute__((unused));

/* Submits one task with the witness; the future is null if that is refused. */
static inline procpool_status audit_submit(procpool *pool, procpool_function function, rig_job *job,
                                           procpool_future **future) {
  const procpool_status status = procpool_submit(pool, function, job, sizeof(*job), NULL, future);
  if (status == PROCPOOL_OK)
    rig_accepted(job, *future);
  return status;
}

static inline void audit_finish(const rig_job *job, procpool_future *future) {
  audit_outcomes[rig_finish(job, future)]++;
}

/* count tasks that all come to an end which allowed has. */
static inline void audit_batch(procpool *pool, int count, uint32_t size, uint32_t allowed) {
  rig_job jobs[64];
  procpool_future *futures[64];
  CHECK_LE(count, 64);
  memset(audit_outcomes, 0, sizeof(audit_outcomes));
  for (int i = 0; i < count; i++) {
    jobs[i] = rig_job_of(size);
    rig_entry_of(&jobs[i])->allowed = allowed;
    CHECK_OK(audit_submit(pool, rig_task, &jobs[i], &futures[i]));
  }
  for (int i = 0; i < count; i++)
    audit_finish(&jobs[i], futures[i]);
}

static inline int audit_alive(procpool *pool) {
  CHECK_POLL(procpool_poll(pool, 0));
  return test_stats(pool).workers_alive;
}

#endif /* AUDIT_H */
