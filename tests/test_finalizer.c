/* The finalizer: what runs in each worker that leaves in order, and what the host hears of it. */
#include "harness.h"

#include <dlfcn.h>
#include <math.h>
#include <sys/wait.h>

/* What the finalizer does: page->word[MODE]. */
enum { MODE, RAN, BUSY, SIZE, HOLD, RETURNED };
enum {
  RETURNS, /* its worker's index, an int */
  LARGE,   /* as many bytes as SIZE says */
  NOTHING, /* gives no result at all */
  FAILS,
  CRASHES,
  EXITS,
  LEAVES_THREAD,
  HANGS,     /* until HOLD is 1 */
  HANGS_ONCE /* the first of them; the others return */
};

static __thread int in_task;

static int attach(const void *argument, size_t size) {
  const test_job *job = (const test_job *)argument;
  CHECK_EQ(size, sizeof(*job));
  page_attach(job->host, job->descriptor);
  return 0;
}

static void task_busy(procpool_task *task) {
  const int index = procpool_task_worker(task);
  in_task = 1;
  (void)gate_add(&page->word[BUSY], 1);
  usleep(2000);
  (void)gate_add(&page->word[BUSY], -1);
  in_task = 0;
  procpool_task_return(task, &index, sizeof(index));
}

static void return_large(procpool_task *task) {
  const size_t size = (size_t)gate_read(&page->word[SIZE]);
  void *bytes = malloc(size);
  if (bytes == NULL)
    abort();
  pattern_fill(bytes, size, 7);
  procpool_task_return(task, bytes, size);
  free(bytes);
  (void)gate_add(&page->word[RETURNED], 1);
}

static void finalizer(procpool_task *task) {
  const int index = procpool_task_worker(task), before = gate_add(&page->word[RAN], 1);
  size_t size = 1;
  if (in_task != 0 || procpool_task_argument(task, &size) != NULL || size != 0 || procpool_task_cancelled(task))
    abort();
  page->pid[index] = (int)getpid();
  switch (gate_read(&page->word[MODE])) {
  case LARGE:
    return_large(task);
    return;
  case NOTHING:
    return;
  case FAILS:
    procpool_task_return(task, &index, sizeof(index));
    procpool_task_fail(task, 40 + index, "it would not");
    return;
  case CRASHES:
    raise(SIGKILL);
    return;
  case EXITS:
    exit(3);
  case LEAVES_THREAD:
    pthread_exit(NULL);
  case HANGS:
    gate_wait(&page->word[HOLD], 1);
    break;
  case HANGS_ONCE:
    if (before == 1)
      gate_wait(&page->word[HOLD], 1);
    break;
  default:
    break;
  }
  procpool_task_return(task, &index, sizeof(index));
}

/* What the callbacks have heard. */
typedef struct heard {
  int count, index[1024], statuses[64];
  size_t size;
  bool bytes_hold;
  procpool_error error; /* of the last one that was not OK */
  pthread_t thread;
  procpool_future *future;
} heard;

static void hear(procpool_future *future, void *context) {
  heard *h = (heard *)context;
  const procpool_status status = procpool_future_status(future);
  size_t size = 0;
  const int worker = worker_of(future);
  const void *data = procpool_future_data(future, &size);
  CHECK(procpool_future_done(future));
  CHECK_GE(worker, 0);
  CHECK_LT(worker, 1024);
  CHECK_NE(pid_of(future), 0);
  h->count++;
  h->index[worker]++;
  h->statuses[status]++;
  h->size = size;
  h->thread = pthread_self();
  h->future = future;
  if (status == PROCPOOL_OK && size == sizeof(worker))
    CHECK_EQ(memcmp(data, &worker, sizeof(worker)), 0);
  else if (status == PROCPOOL_OK)
    h->bytes_hold = pattern_holds(data, size, 7);
  else
    CHECK_OK(procpool_future_error(future, &h->error));
}

static procpool *open_with(procpool_start start, int workers, int mode, heard *h, procpool_options *options) {
  const test_job job = job_of(0);
  procpool_options none = {0};
  procpool *pool;
  options = options != NULL ? options : &none;
  page->word[MODE] = mode;
  options->initializer = attach;
  options->initializer_argument = &job;
  options->initializer_size = sizeof(job);
  options->finalizer = finalizer;
  if (h != NULL) {
    memset(h, 0, sizeof(*h));
    options->finalizer_callback = hear;
    options->finalizer_context = h;
  }
  pool = test_open_with(start, workers, options);
  return pool;
}

static int workers_of(procpool_start start, int workers) {
  return start == PROCPOOL_START_INLINE ? 1 : workers;
}

static void run_tasks(procpool *pool, int count) {
  for (int i = 0; i < count; i++)
    CHECK_OK(procpool_submit(pool, task_busy, NULL, 0, NULL, NULL));
}

static void settle_tasks(procpool *pool, int count) {
  procpool_future *futures[64];
  CHECK_LE(count, 64);
  for (int i = 0; i < count; i++)
    CHECK_OK(procpool_submit(pool, task_busy, NULL, 0, NULL, &futures[i]));
  for (int i = 0; i < count; i++) {
    CHECK_SETTLES(futures[i], PROCPOOL_OK);
    CHECK_OK(procpool_future_release(futures[i]));
  }
}

/* ---- when it runs ---- */

static void once_each(procpool_start start, procpool_shutdown_mode mode, int tasks) {
  const int workers = workers_of(start, 3);
  heard h;
  procpool *pool = open_with(start, 3, RETURNS, &h, NULL);
  settle_tasks(pool, tasks);
  CHECK_EQ(gate_read(&page->word[RAN]), 0);
  run_tasks(pool, 9);
  CHECK_OK(procpool_shutdown(pool, mode, PROCPOOL_FOREVER));
  CHECK_EQ(page->word[RAN], workers);
  CHECK_EQ(page->word[BUSY], 0);
  CHECK_EQ(h.count, workers);
  CHECK_EQ(h.statuses[PROCPOOL_OK], workers);
  CHECK(pthread_equal(h.thread, pthread_self()));
  for (int i = 0; i < workers; i++) {
    CHECK_EQ(h.index[i], 1);
    if ((1 << start) & PROCESSES)
      CHECK_NE(page->pid[i], getpid());
  }
  CHECK_EQ(test_stats(pool).settled, (uint64_t)tasks + 9);
  CHECK_OK(procpool_free(pool));
  CHECK_EQ(page->word[RAN], workers);
  CHECK_EQ(h.count, workers);
}

TEST_STARTS(finalizer_runs_once_at_drain, EVERY) {
  once_each(start, PROCPOOL_DRAIN, 12);
}
TEST_STARTS(finalizer_runs_once_at_cancel, EVERY) {
  once_each(start, PROCPOOL_CANCEL, 12);
}
TEST_STARTS(finalizer_runs_where_no_task_ran, EVERY) {
  once_each(start, PROCPOOL_DRAIN, 0);
}

TEST_STARTS(finalizer_does_not_run_at_kill, EVERY) {
  heard h;
  procpool *pool = open_with(start, 3, RETURNS, &h, NULL);
  settle_tasks(pool, 6);
  CHECK_OK(procpool_shutdown(pool, PROCPOOL_KILL, PROCPOOL_FOREVER));
  CHECK_OK(procpool_free(pool));
  CHECK_EQ(page->word[RAN], 0);
  pool = open_with(start, 3, RETURNS, &h, NULL);
  settle_tasks(pool, 6);
  CHECK_OK(procpool_free(pool));
  CHECK_EQ(page->word[RAN], 0);
  CHECK_EQ(h.count, 0);
}

/* A worker that crashes has none; its successor, and the others, have. */
TEST_STARTS(finalizer_does_not_run_in_a_worker_that_crashed, PROCESSES) {
  const test_job job = job_with(0, SIGKILL);
  heard h;
  procpool *pool = open_with(start, 2, RETURNS, &h, NULL);
  for (int i = 0; i < 6; i++) {
    procpool_future *future = test_submit(pool, task_die, &job, sizeof(job));
    CHECK_SETTLES(future, PROCPOOL_CRASHED);
    CHECK_OK(procpool_future_release(future));
  }
  CHECK_EQ(gate_read(&page->word[RAN]), 0);
  CHECK_OK(procpool_shutdown(pool, PROCPOOL_DRAIN, PROCPOOL_FOREVER));
  CHECK_LE(page->word[RAN], 2); /* one that died last is not replaced when nothing waits */
  CHECK_EQ(h.count, page->word[RAN]);
  CHECK_EQ(h.statuses[PROCPOOL_OK], h.count);
  CHECK_OK(procpool_free(pool));
}

TEST_STARTS(finalizer_of_replaced_workers, PROCESSES) {
  enum { TASKS = 40 };
  procpool_options options = {0};
  heard h;
  procpool *pool;
  procpool_stats stats;
  options.max_tasks_per_child = 1;
  pool = open_with(start, 2, RETURNS, &h, &options);
  settle_tasks(pool, TASKS);
  while (h.count < TASKS)
    CHECK_POLL(procpool_poll(pool, 0));
  CHECK_EQ(h.count, TASKS);
  settle_tasks(pool, TASKS);
  CHECK_OK(procpool_shutdown(pool, PROCPOOL_DRAIN, PROCPOOL_FOREVER));
  stats = test_stats(pool);
  CHECK_EQ(page->word[RAN], h.count);
  CHECK_EQ(h.statuses[PROCPOOL_OK], h.count);
  CHECK_GE(h.count, 2 * TASKS);
  CHECK_EQ((uint64_t)h.count, stats.workers_started);
  CHECK_OK(procpool_free(pool));
}

/* Nobody asks for the results: it runs all the same, and no ring is filled by it. */
TEST_STARTS(finalizer_without_callback, EVERY) {
  const int workers = workers_of(start, 3);
  procpool *pool;
  page->word[SIZE] = 1 << 20;
  pool = open_with(start, 3, LARGE, NULL, NULL);
  settle_tasks(pool, 6);
  (void)procpool_shutdown(pool, PROCPOOL_DRAIN, 0);
  if (start != PROCPOOL_START_INLINE) /* with a host that takes in nothing */
    gate_wait(&page->word[RAN], workers);
  CHECK_OK(procpool_shutdown(pool, PROCPOOL_DRAIN, PROCPOOL_FOREVER));
  CHECK_EQ(page->word[RAN], workers);
  CHECK_OK(procpool_free(pool));
}

/* By an event loop's calls alone. */
TEST_STARTS(finalizer_heard_by_polls, EVERY) {
  const int workers = workers_of(start, 3);
  heard h;
  procpool *pool = open_with(start, 3, RETURNS, &h, NULL);
  settle_tasks(pool, 6);
  (void)procpool_shutdown(pool, PROCPOOL_DRAIN, 0);
  while (h.count < workers) {
    CHECK_POLL(procpool_poll(pool, 0));
    usleep(1000);
  }
  CHECK_OK(procpool_shutdown(pool, PROCPOOL_DRAIN, 10));
  CHECK_EQ(h.count, workers);
  CHECK_OK(procpool_free(pool));
}

/* ---- what it gives ---- */

static void large(procpool_start start, int size) {
  const int workers = workers_of(start, 2);
  procpool_options options = {0};
  heard h;
  procpool *pool;
  options.ring_size = 4096;
  page->word[SIZE] = size;
  pool = open_with(start, 2, LARGE, &h, &options);
  settle_tasks(pool, 7);
  CHECK_OK(procpool_shutdown(pool, PROCPOOL_DRAIN, PROCPOOL_FOREVER));
  CHECK_EQ(h.count, workers);
  CHECK_EQ(h.statuses[PROCPOOL_OK], workers);
  CHECK_EQ(h.size, (size_t)size);
  CHECK(h.bytes_hold);
  CHECK_OK(procpool_free(pool));
}

TEST_STARTS(finalizer_result_larger_than_the_ring, EVERY) {
  large(start, 1 << 20);
}
TEST_STARTS(finalizer_result_of_some_size, EVERY) {
  large(start, 17);
}
TEST_STARTS(finalizer_result_of_half_a_ring, EVERY) {
  large(start, 2047);
}

TEST_STARTS(finalizer_without_result, EVERY) {
  heard h;
  procpool *pool = open_with(start, 2, NOTHING, &h, NULL);
  settle_tasks(pool, 3);
  CHECK_OK(procpool_shutdown(pool, PROCPOOL_DRAIN, PROCPOOL_FOREVER));
  CHECK_EQ(h.statuses[PROCPOOL_OK], workers_of(start, 2));
  CHECK_EQ(h.size, 0);
  CHECK_OK(procpool_free(pool));
}

TEST_STARTS(finalizer_that_fails, EVERY) {
  heard h;
  procpool *pool = open_with(start, 2, FAILS, &h, NULL);
  settle_tasks(pool, 3);
  CHECK_OK(procpool_shutdown(pool, PROCPOOL_DRAIN, PROCPOOL_FOREVER));
  CHECK_EQ(h.statuses[PROCPOOL_FAILED], workers_of(start, 2));
  CHECK_EQ(h.error.code, 40 + h.error.worker);
  CHECK_EQ(h.error.pid, page->pid[h.error.worker]);
  CHECK_TEXT(h.error.message, "it would not");
  CHECK_OK(procpool_free(pool));
}

static void release_within(procpool_future *future, void *context) {
  hear(future, context);
  CHECK_STATUS(procpool_future_release(future), PROCPOOL_HANDLE); /* it is not the program's */
  CHECK_STATUS(procpool_future_wait(future, 0), PROCPOOL_OK);
}

/* Its future is gone after the callback, and with it the last of the pool. */
TEST_STARTS(finalizer_future_is_given_back, EVERY) {
  procpool_options options = {0};
  heard h = {0};
  procpool *pool;
  options.finalizer_callback = release_within;
  options.finalizer_context = &h;
  pool = open_with(start, 2, RETURNS, NULL, &options);
  CHECK_OK(procpool_shutdown(pool, PROCPOOL_DRAIN, PROCPOOL_FOREVER));
  CHECK_EQ(h.count, workers_of(start, 2));
  if (!test_instrumented()) /* which reports the look at what was given back */
    CHECK_STATUS(procpool_future_status(h.future), PROCPOOL_HANDLE);
  CHECK_OK(procpool_free(pool));
}

/* ---- one that does not return ---- */

/* It harms nothing but its own result: not even a strict pool, and no task is said to have crashed. */
static void ends(procpool_start start, int mode, bool recycled, int signal_number, int exit_status) {
  enum { TASKS = 8 };
  procpool_options options = {0};
  procpool_error error;
  heard h;
  procpool *pool;
  options.strict = true;
  options.max_tasks_per_child = recycled ? 1 : 0;
  pool = open_with(start, 2, mode, &h, &options);
  settle_tasks(pool, TASKS);
  run_tasks(pool, TASKS);
  CHECK_OK(procpool_shutdown(pool, PROCPOOL_DRAIN, PROCPOOL_FOREVER));
  CHECK_GE(h.count, recycled ? 2 * TASKS : 2);
  CHECK_EQ(h.count, page->word[RAN]);
  CHECK_EQ(h.statuses[PROCPOOL_CRASHED], h.count);
  CHECK_EQ(h.error.signal, signal_number);
  CHECK_EQ(h.error.exit_status, exit_status);
  CHECK_NE(h.error.pid, 0);
  CHECK_EQ(test_stats(pool).crashed, 0);
  CHECK_EQ(test_stats(pool).settled, 2 * TASKS);
  (void)procpool_last_error(&error);
  CHECK_OK(error.status);
  CHECK_OK(procpool_free(pool));
}

TEST_STARTS(finalizer_that_crashes, PROCESSES) {
  ends(start, CRASHES, false, SIGKILL, 0);
}
TEST_STARTS(finalizer_that_crashes_in_replaced_workers, PROCESSES) {
  ends(start, CRASHES, true, SIGKILL, 0);
}
TEST_STARTS(finalizer_that_exits, PROCESSES) {
  ends(start, EXITS, false, 0, 3);
}

/* The last worker to go has run no task: that is no pool of which no worker comes up. */
TEST_STARTS(finalizer_that_crashes_where_no_task_ran, PROCESSES) {
  procpool_error error;
  heard h;
  procpool *pool = open_with(start, 2, CRASHES, &h, NULL);
  CHECK_OK(procpool_shutdown(pool, PROCPOOL_DRAIN, PROCPOOL_FOREVER));
  CHECK_EQ(h.statuses[PROCPOOL_CRASHED], 2);
  (void)procpool_last_error(&error);
  CHECK_OK(error.status);
  CHECK_STATUS(procpool_submit(pool, task_nothing, NULL, 0, NULL, NULL), PROCPOOL_SHUTDOWN);
  CHECK_OK(procpool_free(pool));
}

TEST_STARTS(finalizer_that_leaves_its_thread, THREAD | INLINE) {
  heard h;
  procpool *pool = open_with(start, 2, LEAVES_THREAD, &h, NULL);
  settle_tasks(pool, 4);
  CHECK_OK(procpool_shutdown(pool, PROCPOOL_DRAIN, PROCPOOL_FOREVER));
  CHECK_EQ(page->word[RAN], workers_of(start, 2));
  CHECK_EQ(h.statuses[PROCPOOL_CRASHED], workers_of(start, 2));
  CHECK_EQ(h.error.signal, 0);
  CHECK_TEXT(h.error.message, "the finalizer called pthread_exit");
  CHECK_OK(procpool_free(pool));
}

TEST_STARTS(finalizer_that_hangs, PROCESSES) {
  procpool_options options = {0};
  heard h;
  procpool *pool;
  double begin;
  options.finalizer_limit = 0.3 * test_slow();
  options.strict = true;
  pool = open_with(start, 2, HANGS, &h, &options);
  settle_tasks(pool, 4);
  begin = test_now();
  CHECK_OK(procpool_shutdown(pool, PROCPOOL_DRAIN, PROCPOOL_FOREVER));
  CHECK_SECONDS(test_now() - begin, >=, 0.3 * test_slow() - 0.01);
  CHECK_SECONDS(test_now() - begin, <, 2 * test_slow());
  CHECK_EQ(h.statuses[PROCPOOL_TIMEOUT], 2);
  CHECK_EQ(h.error.stage, PROCPOOL_STAGE_KILL);
  CHECK_EQ(h.error.pid, page->pid[h.error.worker]);
  CHECK_OK(procpool_free(pool));
}

/* The pool goes on meanwhile, and after it; the supervisor, which has nothing else to wake for, ends it in time. */
TEST_STARTS(finalizer_that_hangs_in_a_replaced_worker, PROCESSES) {
  procpool_options options = {0};
  heard h;
  procpool *pool;
  double begin;
  options.finalizer_limit = 0.3 * test_slow();
  options.max_tasks_per_child = 1;
  pool = open_with(start, 1, HANGS_ONCE, &h, &options);
  begin = test_now();
  settle_tasks(pool, 3);
  CHECK_SECONDS(test_now() - begin, >=, 0.3 * test_slow() - 0.01);
  CHECK_SECONDS(test_now() - begin, <, 2 * test_slow());
  CHECK_OK(procpool_shutdown(pool, PROCPOOL_DRAIN, PROCPOOL_FOREVER));
  CHECK_EQ(h.statuses[PROCPOOL_TIMEOUT], 1);
  CHECK_EQ(h.statuses[PROCPOOL_OK], h.count - 1);
  CHECK_OK(procpool_free(pool));
}

/* One that is stopped alone has its limit all the same. */
TEST_STARTS(finalizer_that_is_stopped, PROCESSES) {
  procpool_options options = {0};
  heard h;
  procpool *pool;
  options.finalizer_limit = 0.3 * test_slow();
  pool = open_with(start, 1, HANGS, &h, &options);
  (void)procpool_shutdown(pool, PROCPOOL_DRAIN, 0);
  gate_wait(&page->word[RAN], 1);
  while (gate_read(&page->pid[0]) == 0)
    usleep(1000);
  CHECK_EQ(kill(page->pid[0], SIGSTOP), 0);
  CHECK_OK(procpool_shutdown(pool, PROCPOOL_DRAIN, PROCPOOL_FOREVER));
  CHECK_EQ(h.statuses[PROCPOOL_TIMEOUT], 1);
  CHECK_OK(procpool_free(pool));
}

/* Without a limit a shutdown waits for it, as long as it takes; KILL does not. */
TEST_STARTS(finalizer_that_hangs_without_limit, PROCESSES) {
  heard h;
  procpool *pool = open_with(start, 2, HANGS_ONCE, &h, NULL);
  CHECK_STATUS(procpool_shutdown(pool, PROCPOOL_DRAIN, 0.3), PROCPOOL_PENDING);
  CHECK_EQ(h.count, 1);
  CHECK_OK(procpool_shutdown(pool, PROCPOOL_KILL, PROCPOOL_FOREVER));
  CHECK_EQ(h.count, 1);
  CHECK_EQ(h.statuses[PROCPOOL_OK], 1);
  CHECK_OK(procpool_free(pool));
}

/* The limit is for the finalizer, and not for a host that takes nothing in. */
TEST_STARTS(finalizer_limit_is_not_for_the_host, PROCESSES) {
  procpool_options options = {0};
  heard h;
  procpool *pool;
  options.finalizer_limit = 1.0 * test_slow();
  options.ring_size = 4096;
  page->word[SIZE] = 1 << 16;
  pool = open_with(start, 2, LARGE, &h, &options);
  (void)procpool_shutdown(pool, PROCPOOL_DRAIN, 0);
  gate_wait(&page->word[RETURNED], 2);
  usleep(1300000 * (useconds_t)test_slow());
  CHECK_OK(procpool_shutdown(pool, PROCPOOL_DRAIN, PROCPOOL_FOREVER));
  CHECK_EQ(h.statuses[PROCPOOL_OK], 2);
  CHECK(h.bytes_hold);
  CHECK_OK(procpool_free(pool));
}

/* Half a result lies in the ring when its worker is killed: nothing is told of it, its successors' are whole, and no
 * worker is taken for one that writes nonsense. */
TEST_STARTS(finalizer_killed_while_it_sends, PROCESSES) {
  procpool_options options = {0};
  heard h;
  procpool *pool;
  const int rounds = 3;
  options.max_tasks_per_child = 1;
  options.ring_size = 4096;
  page->word[SIZE] = 1 << 20;
  pool = open_with(start, 1, LARGE, &h, &options);
  for (int i = 0; i < rounds; i++) {
    CHECK_OK(procpool_submit(pool, task_busy, NULL, 0, NULL, NULL));
    gate_wait(&page->word[RETURNED], i + 1);
    usleep(10000);
    while (test_state(page->pid[0]) != 'S') /* its ring is full */
      usleep(1000);
    CHECK_EQ(kill(page->pid[0], SIGKILL), 0);
    while (test_stats(pool).workers_started < (uint64_t)i + 2)
      usleep(1000);
  }
  CHECK_OK(procpool_shutdown(pool, PROCPOOL_DRAIN, PROCPOOL_FOREVER));
  CHECK_EQ(page->word[RAN], rounds + 1);
  CHECK_EQ(h.count, 1);
  CHECK_EQ(h.statuses[PROCPOOL_OK], 1);
  CHECK(h.bytes_hold);
  CHECK_EQ(test_stats(pool).workers_started, (uint64_t)rounds + 1);
  CHECK_OK(procpool_free(pool));
}

/* ---- the host's end ---- */

/* The host is killed while finalizers run: nothing is left. */
TEST_STARTS(finalizer_and_a_host_that_is_killed, PROCESSES) {
  int watches[2];
  const pid_t host = fork();
  if (host == 0) {
    heard h;
    procpool *pool = open_with(start, 2, HANGS, &h, NULL);
    (void)procpool_shutdown(pool, PROCPOOL_DRAIN, PROCPOOL_FOREVER);
    _exit(0);
  }
  gate_wait(&page->word[RAN], 2);
  for (int i = 0; i < 2; i++) {
    while (gate_read(&page->pid[i]) == 0)
      usleep(1000);
    watches[i] = test_watch(page->pid[i]);
  }
  CHECK_EQ(kill(host, SIGKILL), 0);
  CHECK_EQ(test_wait_exit(host), -SIGKILL);
  CHECK(test_all_gone(watches, 2, 1.0 * test_slow()));
}

/* The supervisor is killed while one finalizer runs and another has answered: that answer is delivered. */
TEST_STARTS(finalizer_and_a_supervisor_that_is_killed, PROCESSES) {
  heard h;
  procpool *pool = open_with(start, 2, HANGS_ONCE, &h, NULL);
  const long supervisor = test_supervisor(pool);
  (void)procpool_shutdown(pool, PROCPOOL_DRAIN, 0);
  gate_wait(&page->word[RAN], 2);
  usleep(50000 * (useconds_t)test_slow());
  CHECK_EQ(kill((pid_t)supervisor, SIGKILL), 0);
  (void)procpool_shutdown(pool, PROCPOOL_DRAIN, PROCPOOL_FOREVER);
  CHECK_EQ(h.count, 1);
  CHECK_EQ(h.statuses[PROCPOOL_OK], 1);
  CHECK_OK(procpool_free(pool));
}

/* ---- refused ---- */

TEST(finalizer_that_spawned_workers_do_not_have) {
  procpool_options options = {0};
  void *handle = dlopen(test_path("plugin.so"), RTLD_LAZY), *symbol;
  if (handle == NULL)
    SKIP(dlerror());
  symbol = dlsym(handle, "plugin_task");
  CHECK(symbol != NULL);
  memcpy(&options.finalizer, &symbol, sizeof(symbol));
  options.start = PROCPOOL_START_SPAWN;
  test_open_fails(&options, PROCPOOL_NO_FUNCTION);
  dlclose(handle);
}

TEST_STARTS(finalizer_options_that_are_refused, EVERY) {
  procpool_options options = {0};
  options.start = start;
  options.finalizer_callback = hear;
  test_open_fails(&options, PROCPOOL_ARGUMENT);
  options.finalizer = finalizer;
  options.finalizer_limit = NAN;
  test_open_fails(&options, PROCPOOL_ARGUMENT);
  options.finalizer_limit = -1;
  test_open_fails(&options, PROCPOOL_ARGUMENT);
  if ((1 << start) & PROCESSES)
    return;
  options.finalizer_limit = 1;
  test_open_fails(&options, PROCPOOL_UNSUPPORTED);
}
