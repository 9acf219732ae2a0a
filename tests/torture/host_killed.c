/* host_killed.c - T03: the host is killed in every situation; supervisor, workers (stopped ones too) and nested pools are
 * gone within a second, and so is the shared memory.
 *
 * Options: --workers N (default 3), --copy MIB (size of the large argument and result, default 48), --only SITUATION. */
#define PROCPOOL_IMPLEMENTATION
#include "rig.h"

#include <sys/syscall.h>

enum { DEPTH = 3, MANY = 256 };

/* Words and counters of the page. */
enum { BEGUN, OPENER_GONE };

static procpool *pool;

static int workers(void) {
  return rig.workers > 0 ? rig.workers : 3;
}

/* ---- tasks ---- */

static void begun(void) {
  gate_add(&rig.page->word[BEGUN], 1);
}

static void rest(void) {
  for (;;)
    pause();
}

static void task_spin(procpool_task *task) {
  volatile uint64_t turns = 0;
  (void)rig_task_begin(task);
  begun();
  for (;;)
    turns++;
}

static void task_read(procpool_task *task) {
  int ends[2];
  char byte;
  (void)rig_task_begin(task);
  CHECK_EQ(pipe(ends), 0);
  begun();
  for (;;)
    (void)!read(ends[0], &byte, 1);
}

static void task_large(procpool_task *task) {
  const rig_job *job = rig_task_begin(task);
  memset(procpool_task_result(task, job->size), 7, job->size);
}

static rig_job job_numbered(uint32_t number) {
  rig_job job = rig_job_of(0);
  job.number = number;
  return job;
}

static void task_nest(procpool_task *task) {
  const rig_job *job = rig_task_begin(task);
  procpool_options options = {0};
  rig_job inner = *job;
  procpool_future *future;
  procpool *nested;
  begun();
  if (job->number == 0)
    rest();
  inner.number--;
  inner.id++; /* the host has set one aside for each level */
  options.start = (procpool_start)job->what;
  options.max_workers = 1;
  nested = procpool_open(&options);
  CHECK(nested != NULL);
  CHECK_OK(procpool_submit(nested, task_nest, &inner, sizeof(inner), NULL, &future));
  (void)procpool_future_wait(future, PROCPOOL_FOREVER);
}

/* ---- situations: each ends in rest(), or goes on for ever ---- */

static void submit_each(procpool_function function, int count) {
  for (int i = 0; i < count; i++) {
    const rig_job job = rig_job_of(0);
    CHECK_OK(procpool_submit(pool, function, &job, sizeof(job), NULL, NULL));
  }
  if (count > 0)
    rig_gate(&rig.page->word[BEGUN], count);
}

static void be_idle(void) {
  pool = test_open(rig.start, workers());
  CHECK_WORKS(pool);
  rig_ready();
  rest();
}

static void be_spinning(void) {
  pool = test_open(rig.start, workers());
  submit_each(task_spin, workers());
  rig_ready();
  rest();
}

static void be_reading(void) {
  pool = test_open(rig.start, workers());
  submit_each(task_read, workers());
  rig_ready();
  rest();
}

/* One in a task, the others idle: the observer stops some of them, or the supervisor, or all. */
static void be_mixed(void) {
  pool = test_open(rig.start, workers());
  submit_each(task_spin, 1);
  rig_ready();
  rest();
}

static void be_starting(void) {
  rig_ready();
  for (;;) {
    pool = test_open(rig.start, workers());
    rig_progress();
    CHECK_OK(procpool_free(pool));
  }
}

static void be_copying(void) {
  const size_t size = (size_t)rig_option("copy", 48) << 20;
  unsigned char *bytes = (unsigned char *)calloc(1, size);
  pool = test_open(rig.start, workers());
  CHECK(bytes != NULL);
  rig_ready();
  for (;;) {
    const rig_job job = rig_job_of((uint32_t)size);
    procpool_future *future;
    memcpy(bytes, &job, sizeof(job));
    CHECK_OK(procpool_submit(pool, task_large, bytes, size, NULL, &future));
    CHECK_EQ(procpool_future_wait(future, PROCPOOL_FOREVER), PROCPOOL_OK);
    CHECK_OK(procpool_future_release(future));
    rig_progress();
  }
}

static void be_nested(void) {
  rig_job job = job_numbered(DEPTH);
  for (int i = 0; i < DEPTH; i++)
    (void)rig_job_of(0);
  job.what = (uint32_t)rig.start;
  pool = test_open(rig.start, 1);
  CHECK_OK(procpool_submit(pool, task_nest, &job, sizeof(job), NULL, NULL));
  rig_gate(&rig.page->word[BEGUN], DEPTH + 1);
  rig_ready();
  rest();
}

static void *opener(void *context) {
  (void)context;
  pool = test_open(rig.start, workers());
  __atomic_store_n(&rig.page->count[OPENER_GONE], (uint64_t)syscall(SYS_gettid), __ATOMIC_SEQ_CST);
  return NULL;
}

/* The parent's death is told by the kernel per thread of the parent: the one that opened the pool may end. */
static void be_orphaned_by_thread(void) {
  test_join(test_thread(opener, NULL));
  while (rig_process_state((pid_t)rig.page->count[OPENER_GONE]) != 0) /* joined, but perhaps still on its way out */
    sched_yield();
  for (int i = 0; i < 50; i++)
    CHECK_WORKS(pool);
  CHECK_EQ(test_stats(pool).workers_started, (uint64_t)workers());
  CHECK_EQ(test_stats(pool).workers_alive, workers());
  rig_ready();
  rest();
}

/* ---- what the observer does before it kills ---- */

static pid_t seen[MANY];
static int seen_count;

static void stop(pid_t pid) {
  const double end = test_now() + rig.stall;
  CHECK(rig_signal(pid, SIGSTOP));
  while (rig_process_state(pid) != 'T' && test_now() < end)
    sched_yield();
  CHECK_EQ(rig_process_state(pid), 'T');
}

static void look_whole(void) {
  pid_t supervisors[8];
  CHECK_EQ(rig_supervisors(supervisors, 8), 1);
  seen_count = rig_workers(seen, MANY);
  CHECK_EQ(seen_count, workers());
}

/* A supervisor of a nested pool is adopted by the supervisor of the worker whose task opened it. */
static int descendants(pid_t pid) {
  pid_t children[MANY];
  const int count = rig_children(pid, children, MANY);
  int all = count;
  for (int i = 0; i < count; i++)
    all += descendants(children[i]);
  return all;
}

static void look_nested(void) {
  pid_t supervisors[8];
  CHECK_EQ(rig_supervisors(supervisors, 8), 1);
  CHECK_EQ(descendants(supervisors[0]), 2 * DEPTH + 1); /* a worker each, and the nested supervisors */
}

static void stop_workers(void) {
  look_whole();
  for (int i = 0; i < seen_count; i++)
    stop(seen[i]);
}

static void stop_supervisor(void) {
  pid_t supervisors[8];
  look_whole();
  CHECK_EQ(rig_supervisors(supervisors, 8), 1);
  stop(supervisors[0]);
}

static void stop_all(void) {
  pid_t supervisors[8];
  stop_workers();
  CHECK_EQ(rig_supervisors(supervisors, 8), 1);
  stop(supervisors[0]);
}

static void stop_below(pid_t pid) {
  pid_t children[MANY];
  const int count = rig_children(pid, children, MANY);
  for (int i = 0; i < count; i++)
    stop_below(children[i]);
  stop(pid);
}

static void stop_nested(void) {
  pid_t supervisors[8];
  look_nested();
  CHECK_EQ(rig_supervisors(supervisors, 8), 1);
  stop_below(supervisors[0]);
}

/* Kills it at any point of what it does over and over. */
static void wait_a_moment(void) {
  rig_random r = rig_stream(1);
  (void)rig_pause((double)rig_below(&r, 8000) * 1e-6);
}

static const struct situation {
  const char *name;
  void (*host)(void);
  void (*look)(void);
  int times;   /* rounds of it for every other's one */
  bool moving; /* the pool may not be there at the moment of the kill */
} situations[] = {
    {"idle", be_idle, look_whole, 1, false},
    {"spinning", be_spinning, look_whole, 1, false},
    {"reading", be_reading, look_whole, 1, false},
    {"starting", be_starting, wait_a_moment, 12, true},
    {"copying", be_copying, wait_a_moment, 4, true},
    {"stopped workers", be_mixed, stop_workers, 1, false},
    {"stopped supervisor", be_mixed, stop_supervisor, 1, false},
    {"all stopped", be_mixed, stop_all, 1, false},
    {"nested", be_nested, look_nested, 1, false},
    {"nested, supervisors stopped", be_nested, stop_nested, 1, false},
    {"opened by a thread that ended", be_orphaned_by_thread, look_whole, 1, false},
};
enum { SITUATIONS = sizeof(situations) / sizeof(situations[0]) };

static const struct situation *now;
static unsigned long segments[64];
static int segment_count;

static void observe(void) {
  rig_gate(&rig.page->ready, 1);
  now->look();
  segment_count = rig_segments(rig_host(), segments, 64);
  if (!now->moving)
    CHECK_EQ(segment_count, 1);
  CHECK(rig_signal(rig_host(), SIGKILL));
}

static void run(const struct situation *s) {
  double seconds;
  now = s;
  seconds = rig_round(s->host, observe, RIG_HOST_KILLED);
  if (seconds > 1.0 * test_slow())
    rig_fail("%s: the last one was gone only %.0f ms after the host", s->name, seconds * 1e3);
  for (int i = 0; i < segment_count; i++)
    if (rig_segment_lives(segments[i]))
      rig_fail("%s: the pool's memory is still mapped by a process", s->name);
  rig_most("slowest_us", (uint64_t)(seconds * 1e6));
}

int main(int argc, char **argv) {
  long only;
  procpool_worker_main();
  rig_begin(argc, argv, FORK | SPAWN, 2.0);
  only = rig_option("only", -1);
  while (rig_more())
    for (int i = 0; i < SITUATIONS; i++)
      for (int k = 0; k < situations[i].times && (only < 0 || only == i); k++)
        run(&situations[i]);
  return rig_end();
}
