/* memory.c - T08: no memory to be had. The k-th allocation fails, for each k until none is left, alone, with those that
 * follow it, and from there on for ever, in the host and in the workers, over a script of everything that allocates; limits on
 * address space; workers that the out-of-memory killer takes. Each failure is an error code or settles one task;
 * nothing is lost, left behind or hung. */
#include "faults.h"

enum { WORKERS = 2, TASKS = 80, ITEMS = 40, RETRIES = 1000, MANY_K = 2000 };

/* Which outcomes an armed fault may bring about besides OK. */
static uint32_t besides;
static int shortages;

/* Calls again what was refused for want of memory. */
#define PERSIST(call, expected)                                                                                        \
  do {                                                                                                                 \
    procpool_status persist_status;                                                                                    \
    for (int persist_tries = 0; (persist_status = (call)) == PROCPOOL_MEMORY; persist_tries++) {                       \
      shortages++;                                                                                                     \
      CHECK_LT(persist_tries, RETRIES);                                                                                \
    }                                                                                                                  \
    harness_check_status(__FILE__, __LINE__, #call, persist_status, (expected));                                       \
  } while (0)

static procpool *open_once(procpool_error *error) {
  static const char greeting[100] = "hello";
  procpool_options options = {0};
  memset(error, 0, sizeof(*error));
  options.error = error;
  options.start = rig.start;
  options.max_workers = WORKERS;
  options.ring_size = 4096;
  options.initializer_argument = greeting;
  options.initializer_size = sizeof(greeting);
  return procpool_open(&options);
}

static bool is_shortage(const procpool_error *error) {
  return (error->status == PROCPOOL_MEMORY || error->status == PROCPOOL_SPAWN_FAIL) && error->system_error == ENOMEM;
}

static procpool *open_again(void) {
  procpool_error error;
  procpool *pool;
  for (int tries = 0; (pool = open_once(&error)) == NULL; tries++) {
    if (!is_shortage(&error))
      rig_fail("open: %s, errno %d (%s)", procpool_status_name(error.status), error.system_error, error.message);
    shortages++;
    CHECK_LT(tries, RETRIES);
  }
  return pool;
}

/* ---- the script ---- */

typedef struct large_job {
  rig_job job;
  unsigned char bytes[1200000];
} large_job;

static large_job *large; /* one buffer is enough: arguments are copied */

typedef struct script {
  rig_job jobs[TASKS];
  procpool_future *futures[TASKS];
} script;

static const size_t argument_sizes[] = {0, 100, 0, 5000, 0, 1200000, 40, 70000};
static const uint32_t result_sizes[] = {0, 8, 17, 1000, 3000, 40000, 2000, 100000};

static void task_fail_text(procpool_task *task) {
  (void)rig_task_begin(task);
  procpool_task_fail(task, 9, "on purpose");
}

static procpool_status submit_one(procpool *pool, script *s, int i) {
  procpool_status status;
  rig_entry *e;
  s->jobs[i] = rig_job_of(result_sizes[i % 8]);
  s->futures[i] = NULL;
  e = rig_entry_of(&s->jobs[i]);
  e->allowed = RIG_ALLOW(OK) | besides | (i % 9 == 8 ? RIG_ALLOW(FAILED) : 0);
  large->job = s->jobs[i];
  status = procpool_submit(pool, i % 9 == 8 ? task_fail_text : fault_task, large,
                           sizeof(rig_job) + argument_sizes[i % 8], NULL, &s->futures[i]);
  if (status != PROCPOOL_OK)
    return status;
  e->flags |= RIG_NO_CALLBACK; /* below, by calls that may fail */
  rig_accepted(&s->jobs[i], s->futures[i]);
  return status;
}

static void settle_one(script *s, int i) {
  const procpool_status status = rig_settle(&s->jobs[i], s->futures[i]);
  if (i % 9 == 8 && status == PROCPOOL_FAILED && besides == 0 && fault->kinds == 0)
    CHECK_EQ(test_error(s->futures[i]).code, 9);
  CHECK_OK(procpool_future_release(s->futures[i]));
  s->futures[i] = NULL;
}

static void script_submit(procpool *pool, script *s) {
  for (int i = 0; i < TASKS; i++) {
    PERSIST(submit_one(pool, s, i), PROCPOOL_OK);
    rig_entry_of(&s->jobs[i])->flags &= ~(uint32_t)RIG_NO_CALLBACK;
    PERSIST(procpool_future_add_done_callback(s->futures[i], rig_callback, rig_entry_of(&s->jobs[i])), PROCPOOL_OK);
  }
}

static void script_wait(script *s) {
  procpool_iterator *iterator;
  procpool_future *next;
  int seen = 0;
  PERSIST(procpool_wait(s->futures, 10, PROCPOOL_FIRST_COMPLETED, PROCPOOL_FOREVER, NULL), PROCPOOL_OK);
  PERSIST(procpool_wait(s->futures, 20, PROCPOOL_ALL_COMPLETED, PROCPOOL_FOREVER, NULL), PROCPOOL_OK);
  PERSIST(procpool_as_completed(s->futures, 40, &iterator), PROCPOOL_OK);
  for (; seen < 40; seen++)
    PERSIST(procpool_next(iterator, PROCPOOL_FOREVER, &next), PROCPOOL_OK);
  CHECK_STATUS(procpool_next(iterator, 0, &next), PROCPOOL_END);
  procpool_iterator_free(iterator);
  for (int i = 0; i < TASKS; i++) {
    procpool_status status;
    for (int tries = 0; (status = procpool_future_wait(s->futures[i], PROCPOOL_FOREVER)) == PROCPOOL_MEMORY; tries++)
      CHECK_LT(tries, RETRIES);
    CHECK_LT(status, PROCPOOL_PENDING);
    settle_one(s, i);
  }
}

static int generate(void *context, void *item) {
  int *next = (int *)context;
  if (*next == ITEMS)
    return 0;
  *(int *)item = (*next)++;
  return 1;
}

/* Without an outcome of its own: those items that the workers' want of memory may have spoilt are let pass. */
static void script_imap(procpool *pool) {
  procpool_iterator *iterator;
  int next = 0;
  PERSIST(procpool_imap(pool, task_twice, generate, &next, sizeof(int), NULL, &iterator), PROCPOOL_OK);
  for (int i = 0; i < ITEMS; i++) {
    procpool_future *future;
    int out = -1;
    PERSIST(procpool_next(iterator, PROCPOOL_FOREVER, &future), PROCPOOL_OK);
    if (procpool_future_status(future) == PROCPOOL_TRANSFER && besides != 0)
      continue;
    CHECK_OK(procpool_future_result(future, 0, &out, sizeof(out), NULL));
    CHECK_EQ(out, 2 * i);
  }
  procpool_iterator_free(iterator);
  rig_progress();
}

static void script_map(procpool *pool) {
  int in[ITEMS], out[ITEMS];
  procpool_status status = PROCPOOL_MEMORY;
  for (int i = 0; i < ITEMS; i++)
    in[i] = i;
  for (int tries = 0; status == PROCPOOL_MEMORY; tries++) {
    procpool_status statuses[ITEMS];
    procpool_map_options options = {0};
    for (int i = 0; i < ITEMS; i++) /* a map that is refused as a whole leaves them alone */
      statuses[i] = PROCPOOL_PENDING;
    options.statuses = statuses;
    options.chunksize = 3;
    status = procpool_map(pool, task_twice, in, sizeof(int), out, sizeof(int), ITEMS, &options);
    CHECK_LT(tries, RETRIES);
    for (int i = 0; i < ITEMS; i++)
      if (statuses[i] == PROCPOOL_OK)
        CHECK_EQ(out[i], 2 * i);
      else if (statuses[i] != PROCPOOL_PENDING && !(statuses[i] == PROCPOOL_TRANSFER && besides != 0))
        rig_fail("item %d of a map: %s", i, procpool_status_name(statuses[i]));
  }
  if (!(status == PROCPOOL_TRANSFER && besides != 0))
    CHECK_OK(status);
  rig_progress();
}

static void script_close(procpool *pool) {
  PERSIST(procpool_shutdown(pool, PROCPOOL_DRAIN, PROCPOOL_FOREVER), PROCPOOL_OK);
  rig_check_stats(pool);
  CHECK_OK(procpool_free(pool));
}

static void script_all(void) {
  static script s;
  procpool *pool = open_again();
  script_submit(pool, &s);
  script_wait(&s);
  script_map(pool);
  script_imap(pool);
  script_close(pool);
}

/* ---- sweeps ---- */

/* Calls k to k + width fail, wherever where says. Every call succeeds when it is made often enough. A short run takes every
 * step-th k, from one that the seed says. */
static void sweep(const char *what, int where, int width, int step) {
  const audit_counts before = audit_take();
  const int live = fault->live;
  int k = 1 + (int)(rig.seed % (uint64_t)step), reached = 1;
  besides = where == FAULT_IN_HOST && rig.start <= PROCPOOL_START_SPAWN ? 0 : RIG_ALLOW(TRANSFER);
  for (; reached > 0; k += step) {
    shortages = 0;
    fault_arm(FAULT(MALLOC), where, k, k + width, ENOMEM);
    script_all();
    reached = fault_fired();
    fault_disarm();
    audit_check(&before, what, k);
    if (fault->live != live)
      rig_fail("%s, allocation %d: %d are live, before %d", what, k, fault->live, live);
    CHECK_LT(k, MANY_K);
  }
  CHECK_GT(k, 3);
}

/* From the k-th on all fail: what was accepted comes to an end nevertheless, by a shutdown that kills. */
static bool starve_once(int k, procpool_shutdown_mode mode) {
  static script s;
  procpool_error error;
  procpool *pool = open_once(&error);
  procpool_status status;
  int count = 0;
  besides = RIG_ALLOW(TRANSFER) | RIG_ALLOW(SHUTDOWN) | RIG_ALLOW(CANCELLED);
  fault_arm(FAULT(MALLOC), FAULT_ANYWHERE, k, INT_MAX, ENOMEM);
  while (count < TASKS && (status = submit_one(pool, &s, count)) == PROCPOOL_OK) {
    (void)procpool_poll(pool, 0);
    count++;
  }
  if (count < TASKS)
    CHECK_STATUS(status, PROCPOOL_MEMORY);
  for (int i = 0; i < count; i++) {
    const procpool_status one = procpool_future_wait(s.futures[i], 0);
    CHECK(one < PROCPOOL_PENDING || one == PROCPOOL_PENDING || one == PROCPOOL_MEMORY);
  }
  status = procpool_shutdown(pool, mode, 5 * test_slow());
  CHECK(status == PROCPOOL_OK || (mode != PROCPOOL_KILL && status == PROCPOOL_MEMORY));
  CHECK_OK(procpool_free(pool));
  for (int i = 0; i < count; i++)
    settle_one(&s, i);
  fault_disarm();
  return fault_fired() > 0;
}

static void starve(void) {
  const audit_counts before = audit_take();
  const int live = fault->live;
  for (int mode = PROCPOOL_DRAIN; mode <= PROCPOOL_KILL; mode++)
    for (int k = 1; starve_once(k, (procpool_shutdown_mode)mode); k += 1 + k / 8) {
      audit_check(&before, "for ever from", k);
      if (fault->live != live)
        rig_fail("for ever from %d: %d are live, before %d", k, fault->live, live);
    }
  audit_check(&before, "for ever", 0);
}

/* ---- limits on address space ---- */

static long address_space_kib(void) {
  FILE *file = fopen("/proc/self/statm", "r");
  long pages = 0;
  CHECK(file != NULL);
  CHECK_EQ(fscanf(file, "%ld", &pages), 1);
  fclose(file);
  return pages * (sysconf(_SC_PAGESIZE) / 1024);
}

static void set_address_space(rlim_t bytes) {
  struct rlimit limit;
  CHECK_EQ(getrlimit(RLIMIT_AS, &limit), 0);
  limit.rlim_cur = bytes < limit.rlim_max ? bytes : limit.rlim_max;
  CHECK_EQ(setrlimit(RLIMIT_AS, &limit), 0);
}

static void limited_host(void) {
  const audit_counts before = audit_take();
  int opened = 0, refused = 0;
  besides = RIG_ALLOW(TRANSFER);
  for (long extra_kib = 64; extra_kib <= 64 << 10; extra_kib *= 2) {
    procpool_error error;
    procpool *pool;
    set_address_space(((rlim_t)address_space_kib() + (rlim_t)extra_kib) * 1024);
    pool = open_once(&error);
    if (pool == NULL && !is_shortage(&error))
      rig_fail("RLIMIT_AS: %s, errno %d (%s)", procpool_status_name(error.status), error.system_error, error.message);
    opened += pool != NULL;
    refused += pool == NULL;
    if (pool != NULL) {
      static script s;
      int count = 0;
      procpool_status status = PROCPOOL_OK;
      while (count < TASKS && status == PROCPOOL_OK) {
        status = submit_one(pool, &s, count);
        count += status == PROCPOOL_OK;
      }
      CHECK(status == PROCPOOL_OK || status == PROCPOOL_MEMORY);
      set_address_space(RLIM_INFINITY); /* the limit is lifted: all that was accepted comes */
      for (int i = 0; i < count; i++) {
        CHECK_LT(procpool_future_wait(s.futures[i], PROCPOOL_FOREVER), PROCPOOL_PENDING);
        settle_one(&s, i);
      }
      script_close(pool);
    }
    set_address_space(RLIM_INFINITY);
    audit_check(&before, "RLIMIT_AS", (int)extra_kib);
  }
  CHECK_GT(opened, 0);
  CHECK_GT(refused, 0);
}

static void task_limit(procpool_task *task) {
  const rig_job *job = rig_task_begin(task);
  set_address_space((rlim_t)address_space_kib() * 1024 + (rlim_t)job->number);
  rig_task_end(task, job, job->size);
}

/* The worker may not have more: results that need memory are CODEC, the others are OK, and it lives. */
static void limited_worker(void) {
  const audit_counts before = audit_take();
  procpool_options options = {0};
  procpool *pool;
  rig_job job = rig_job_of(0);
  procpool_future *future;
  options.ring_size = 4096;
  pool = test_open_with(rig.start, 1, &options);
  job.number = 1 << 20;
  rig_entry_of(&job)->allowed = RIG_ALLOW(OK);
  CHECK_OK(audit_submit(pool, task_limit, &job, &future));
  audit_finish(&job, future);
  for (int i = 0; i < 5; i++) {
    audit_batch(pool, 1, 32 << 20, RIG_ALLOW(TRANSFER));
    audit_batch(pool, 20, 1000, RIG_ALLOW(OK));
  }
  CHECK_EQ(test_stats(pool).workers_started, 1);
  CHECK_OK(procpool_shutdown(pool, PROCPOOL_DRAIN, PROCPOOL_FOREVER));
  CHECK_OK(procpool_free(pool));
  audit_check(&before, "RLIMIT_AS of a worker", 0);
}

/* ---- the out-of-memory killer ---- */

static int oom_score_adj(void) {
  FILE *file = fopen("/proc/self/oom_score_adj", "r");
  int value = -1;
  CHECK(file != NULL);
  CHECK_EQ(fscanf(file, "%d", &value), 1);
  fclose(file);
  return value;
}

static void task_score(procpool_task *task) {
  const int value = oom_score_adj();
  procpool_task_return(task, &value, sizeof(value));
}

/* As the killer finds it: fat, and then gone. */
static void task_fat(procpool_task *task) {
  const size_t size = (size_t)48 << 20;
  unsigned char *fat = (unsigned char *)malloc(size);
  (void)rig_task_begin(task);
  if (fat != NULL)
    memset(fat, 1, size);
  __asm__ __volatile__("" : : "r"(fat) : "memory"); /* it is not to be optimized away */
  raise(SIGKILL);
}

static void oom_kills(void) {
  const audit_counts before = audit_take();
  const int score = oom_score_adj();
  procpool *pool = test_open(rig.start, WORKERS);
  rig_job jobs[110];
  procpool_future *futures[110], *future;
  int of_worker = -1;
  CHECK_EQ(oom_score_adj(), score);
  CHECK_OK(procpool_submit(pool, task_score, NULL, 0, NULL, &future));
  CHECK_OK(procpool_future_result(future, PROCPOOL_FOREVER, &of_worker, sizeof(of_worker), NULL));
  CHECK_OK(procpool_future_release(future));
  CHECK_EQ(of_worker, 500);
  for (int i = 0; i < 110; i++) {
    const bool fatal = i % 11 == 5;
    jobs[i] = rig_job_of(fatal ? 0 : 100 * (uint32_t)i);
    rig_entry_of(&jobs[i])->flags = fatal ? RIG_CRASHES : 0;
    rig_entry_of(&jobs[i])->allowed = fatal ? RIG_ALLOW(CRASHED) : RIG_ALLOW(OK);
    CHECK_OK(audit_submit(pool, fatal ? task_fat : rig_task, &jobs[i], &futures[i]));
  }
  memset(audit_outcomes, 0, sizeof(audit_outcomes));
  for (int i = 0; i < 110; i++) {
    if (i % 11 == 5) {
      (void)procpool_future_wait(futures[i], PROCPOOL_FOREVER);
      CHECK_EQ(test_error(futures[i]).signal, SIGKILL);
      CHECK_GE(test_error(futures[i]).max_rss_kib, 48 << 10);
    }
    audit_finish(&jobs[i], futures[i]);
  }
  CHECK_EQ(audit_outcomes[PROCPOOL_OK], 100);
  CHECK_EQ(audit_outcomes[PROCPOOL_CRASHED], 10);
  AUDIT_UNTIL(10, audit_alive(pool) == WORKERS);
  CHECK_EQ(oom_score_adj(), score);
  CHECK_OK(procpool_shutdown(pool, PROCPOOL_DRAIN, PROCPOOL_FOREVER));
  CHECK_OK(procpool_free(pool));
  audit_check(&before, "killed for memory", 0);
}

/* ---- rounds ---- */

static void host(void) {
  const bool processes = rig.start <= PROCPOOL_START_SPAWN;
  const int step = rig.duration >= 60 ? 1 : (rig.start == PROCPOOL_START_SPAWN ? 16 : 4); /* an open takes long there */
  large = (large_job *)malloc(sizeof(*large));
  CHECK(large != NULL);
  pattern_fill(large, sizeof(*large), 1);
  fault->host = (int)getpid();
  fault->live = 0;
  sweep("host_alone", FAULT_IN_HOST, 0, step);
  sweep("host_four", FAULT_IN_HOST, 3, 3 * step);
  if (processes)
    sweep("worker", FAULT_ELSEWHERE, 0, step);
  starve();
  if (processes) {
    if (test_instrumented())
      fprintf(stderr, "skip RLIMIT_AS: a sanitizer needs all of the address space\n");
    else {
      limited_host();
      limited_worker();
    }
    oom_kills();
  }
  free(large);
}

int main(int argc, char **argv) {
  procpool_worker_main();
  rig_begin(argc, argv, EVERY, 3.0);
  printf("skip a memory cgroup: none is ours to change; the fatal tasks are killed by SIGKILL after they grew\n");
  while (rig_more())
    rig_round(host, NULL, RIG_NORMAL);
  return rig_end();
}
