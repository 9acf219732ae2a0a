/* What happens to everything that waits when the pool breaks, is shut down by another thread, or its host dies. */
#include "harness.h"

#include <errno.h>
#include <sys/wait.h>

static procpool_future *block(procpool *pool, int index) {
  const test_job job = job_of(index);
  return test_submit(pool, task_block, &job, sizeof(job));
}

static void finish(procpool_future *future, procpool_status expected) {
  CHECK_SETTLES(future, expected);
  CHECK_OK(procpool_future_release(future));
}

/* One that waits in a thread, and what it was told. */
typedef struct waiter {
  procpool *pool;
  procpool_future *future;
  int began;
  procpool_status status;
} waiter;

static int generate_jobs(void *context, void *item) {
  const test_job job = job_of(5);
  (void)context;
  memcpy(item, &job, sizeof(job));
  return 1;
}

static void *wait_in_result(void *context) {
  waiter *self = (waiter *)context;
  int out = 0;
  gate_add(&self->began, 1);
  self->status = procpool_future_result(self->future, PROCPOOL_FOREVER, &out, sizeof(out), NULL);
  return NULL;
}

static void *wait_in_submit(void *context) {
  waiter *self = (waiter *)context;
  gate_add(&self->began, 1);
  self->status = procpool_submit(self->pool, task_nothing, NULL, 0, NULL, NULL);
  return NULL;
}

static void *wait_in_map(void *context) {
  waiter *self = (waiter *)context;
  const test_job jobs[2] = {job_of(6), job_of(7)};
  int out[2];
  gate_add(&self->began, 1);
  self->status = procpool_map(self->pool, task_block, jobs, sizeof(jobs[0]), out, sizeof(int), 2, NULL);
  return NULL;
}

/* The status of the delivered future, or the iterator's. */
static void *wait_in_next(void *context) {
  waiter *self = (waiter *)context;
  procpool_iterator *iterator = NULL;
  procpool_future *future = NULL;
  self->status = procpool_imap(self->pool, task_block, generate_jobs, NULL, sizeof(test_job), NULL, &iterator);
  gate_add(&self->began, 1);
  if (self->status == PROCPOOL_OK)
    self->status = procpool_next(iterator, PROCPOOL_FOREVER, &future);
  if (self->status == PROCPOOL_OK)
    self->status = procpool_future_status(future);
  procpool_iterator_free(iterator);
  return NULL;
}

static void *(*const waits[])(void *) = {wait_in_result, wait_in_submit, wait_in_map, wait_in_next};
enum { WAITS = 4 };

/* One worker that is busy, a queue that is full, and a thread that waits in each of the calls. */
typedef struct scene {
  procpool *pool;
  procpool_future *running, *queued;
  waiter waiters[WAITS];
  pthread_t threads[WAITS];
} scene;

static void scene_begin(scene *self, procpool_start start, bool strict) {
  procpool_options options = {0};
  memset(self, 0, sizeof(*self));
  options.max_queued = 2;
  options.strict = strict;
  self->pool = test_open_with(start, 1, &options);
  self->running = block(self->pool, 0);
  gate_wait(&page->started, 1);
}

static void scene_wait(scene *self) {
  self->queued = block(self->pool, 1);
  for (int i = 0; i < WAITS; i++) {
    self->waiters[i].pool = self->pool;
    self->waiters[i].future = self->queued;
    self->waiters[i].status = PROCPOOL_END;
    self->threads[i] = test_thread(waits[i], &self->waiters[i]);
    gate_wait(&self->waiters[i].began, 1);
  }
  for (int i = 0; i < 200; i++)
    sched_yield();
}

static void scene_end(scene *self, procpool_status expected) {
  for (int i = 0; i < WAITS; i++) {
    test_join(self->threads[i]);
    CHECK_STATUS(self->waiters[i].status, expected);
  }
  finish(self->queued, expected);
}

TEST_STARTS(r128_everybody_learns_that_the_supervisor_is_gone, PROCESSES) {
  scene self;
  long supervisor;
  scene_begin(&self, start, false);
  gate_add(&page->gate, 1);
  finish(self.running, PROCPOOL_OK);
  supervisor = test_supervisor(self.pool);
  gate_add(&page->gate, -1);
  self.running = block(self.pool, 0);
  gate_wait(&page->started, 2);
  scene_wait(&self);
  CHECK_EQ(kill((pid_t)supervisor, SIGKILL), 0);
  scene_end(&self, PROCPOOL_BROKEN);
  finish(self.running, PROCPOOL_BROKEN);
  CHECK_OK(procpool_free(self.pool));
}

/* What is known of a task that ran then is told, and nothing of one that did not. */
TEST_STARTS(r128_who_ran_a_task_that_broke_off, PROCESSES) {
  procpool *pool = test_open(start, 1);
  procpool_future *asked = test_submit(pool, task_pid, NULL, 0), *running, *queued;
  const long supervisor = test_supervisor(pool);
  long pid = 0;
  CHECK_OK(procpool_future_result(asked, PROCPOOL_FOREVER, &pid, sizeof(pid), NULL));
  CHECK_OK(procpool_future_release(asked));
  running = block(pool, 0);
  gate_wait(&page->started, 1);
  queued = block(pool, 1);
  CHECK_EQ(kill((pid_t)supervisor, SIGKILL), 0);
  CHECK_SETTLES(running, PROCPOOL_BROKEN);
  CHECK_SETTLES(queued, PROCPOOL_BROKEN);
  CHECK_EQ(worker_of(running), 0);
  CHECK_EQ(pid_of(running), pid);
  CHECK_EQ(test_error(running).worker, 0);
  CHECK_EQ(test_error(running).pid, pid);
  CHECK_EQ(worker_of(queued), -1);
  CHECK_EQ(test_error(queued).pid, 0);
  CHECK_OK(procpool_future_release(running));
  CHECK_OK(procpool_future_release(queued));
  CHECK_OK(procpool_free(pool));
}

TEST_STARTS(r097_everybody_learns_that_a_strict_pool_broke, PROCESSES) {
  scene self;
  scene_begin(&self, start, true);
  scene_wait(&self);
  CHECK_EQ(kill(page->pid[0], SIGKILL), 0);
  scene_end(&self, PROCPOOL_BROKEN);
  finish(self.running, PROCPOOL_CRASHED);
  CHECK_OK(procpool_free(self.pool));
}

TEST_STARTS(r071_everybody_learns_of_a_kill_by_another_thread, PROCESSES) {
  scene self;
  scene_begin(&self, start, false);
  scene_wait(&self);
  CHECK_OK(procpool_shutdown(self.pool, PROCPOOL_KILL, PROCPOOL_FOREVER));
  scene_end(&self, PROCPOOL_SHUTDOWN);
  finish(self.running, PROCPOOL_SHUTDOWN);
  CHECK_OK(procpool_free(self.pool));
}

TEST_STARTS(r071_blocked_submit_is_refused_by_a_drain, CONCURRENT) {
  scene self;
  waiter blocked;
  pthread_t thread;
  scene_begin(&self, start, false);
  self.queued = block(self.pool, 1);
  memset(&blocked, 0, sizeof(blocked));
  blocked.pool = self.pool;
  thread = test_thread(wait_in_submit, &blocked);
  gate_wait(&blocked.began, 1);
  CHECK_STATUS(procpool_shutdown(self.pool, PROCPOOL_DRAIN, 0.01), PROCPOOL_PENDING);
  test_join(thread); /* at once, though the queue is still full */
  CHECK_STATUS(blocked.status, PROCPOOL_SHUTDOWN);
  gate_add(&page->gate, 1);
  CHECK_OK(procpool_shutdown(self.pool, PROCPOOL_DRAIN, PROCPOOL_FOREVER));
  finish(self.queued, PROCPOOL_OK);
  finish(self.running, PROCPOOL_OK);
  CHECK_OK(procpool_free(self.pool));
}

static int generate_ints(void *context, void *item) {
  int *next = (int *)context;
  memcpy(item, next, sizeof(*next));
  ++*next;
  return 1;
}

TEST_STARTS(r038_calls_on_a_broken_pool, PROCESSES) {
  procpool *pool = test_open(start, 1);
  const long supervisor = test_supervisor(pool);
  procpool_future *running = block(pool, 0), *future = NULL;
  procpool_iterator *before = NULL, *after = NULL;
  procpool_imap_options options = {0};
  procpool_error error;
  int next = 0, out = -1, delivered = 0;
  procpool_status status;
  const int in = 1;
  options.buffersize = 2;
  CHECK_OK(procpool_imap(pool, task_twice, generate_ints, &next, sizeof(int), &options, &before));
  CHECK_STATUS(procpool_next(before, 0, &future), PROCPOOL_PENDING);
  gate_wait(&page->started, 1);
  CHECK_EQ(kill((pid_t)supervisor, SIGKILL), 0);
  finish(running, PROCPOOL_BROKEN);
  while ((status = procpool_next(before, PROCPOOL_FOREVER, &future)) == PROCPOOL_OK) {
    CHECK_STATUS(procpool_future_status(future), PROCPOOL_BROKEN);
    delivered++;
  }
  CHECK_STATUS(status, PROCPOOL_BROKEN);
  CHECK_LE(delivered, 64);
  procpool_iterator_free(before);
  CHECK_STATUS(procpool_submit(pool, task_nothing, NULL, 0, NULL, NULL), PROCPOOL_BROKEN);
  CHECK_STATUS(try_submit(pool, task_nothing, NULL, 0, NULL), PROCPOOL_BROKEN);
  CHECK_STATUS(submit_timed(pool, 1, task_nothing, NULL, 0, NULL), PROCPOOL_BROKEN);
  CHECK_STATUS(procpool_map(pool, task_twice, &in, sizeof(in), &out, sizeof(out), 1, NULL), PROCPOOL_BROKEN);
  CHECK_EQ(out, -1);
  status = procpool_imap(pool, task_twice, generate_ints, &next, sizeof(int), NULL, &after);
  if (status == PROCPOOL_OK)
    status = procpool_next(after, PROCPOOL_FOREVER, &future);
  CHECK_STATUS(status, PROCPOOL_BROKEN);
  procpool_iterator_free(after);
  (void)procpool_last_error(&error);
  CHECK_STATUS(error.status, PROCPOOL_BROKEN);
  CHECK_NE(error.message[0], '\0');
  CHECK_POLL(procpool_poll(pool, 0));
  CHECK_EQ(test_stats(pool).workers_alive, 0);
  CHECK_OK(procpool_shutdown(pool, PROCPOOL_DRAIN, PROCPOOL_FOREVER));
  CHECK_OK(procpool_shutdown(pool, PROCPOOL_KILL, PROCPOOL_FOREVER));
  CHECK_OK(procpool_free(pool));
}

static void note_status(procpool_future *future, void *context) {
  *(procpool_status *)context = procpool_future_status(future);
}

TEST_STARTS(r053_callbacks_of_a_broken_pool, PROCESSES) {
  procpool *pool = test_open(start, 1);
  const long supervisor = test_supervisor(pool);
  procpool_status running = PROCPOOL_END, queued = PROCPOOL_END;
  procpool_future *first = block(pool, 0), *second = test_submit(pool, task_nothing, NULL, 0);
  CHECK_OK(procpool_future_add_done_callback(first, note_status, &running));
  CHECK_OK(procpool_future_add_done_callback(second, note_status, &queued));
  gate_wait(&page->started, 1);
  CHECK_EQ(kill((pid_t)supervisor, SIGKILL), 0);
  finish(first, PROCPOOL_BROKEN);
  finish(second, PROCPOOL_BROKEN);
  CHECK_OK(procpool_free(pool));
  CHECK_STATUS(running, PROCPOOL_BROKEN);
  CHECK_STATUS(queued, PROCPOOL_BROKEN);
}

/* Ten threads use a pool; it breaks under them; they go on with another. */
typedef struct restart {
  procpool *pools[2];
  int index;
  int broken;
} restart;

static void *use_until_broken(void *context) {
  const restart *self = (const restart *)context;
  static const size_t sizes[] = {0, 1, 48, 5000, 300000};
  char *bytes = (char *)malloc(300000);
  CHECK(bytes != NULL);
  for (int p = 0; p < 2; p++)
    for (int i = 0; i < 60; i++) {
      const size_t size = sizes[(i + self->index) % 5];
      procpool_future *future = NULL;
      procpool_status status;
      pattern_fill(bytes, size, (unsigned)i);
      status = procpool_submit(self->pools[p], task_echo, bytes, size, NULL, &future);
      if (status == PROCPOOL_OK) {
        status = procpool_future_wait(future, PROCPOOL_FOREVER);
        if (status == PROCPOOL_OK)
          CHECK(pattern_holds(procpool_future_data(future, NULL), size, (unsigned)i));
        CHECK_OK(procpool_future_release(future));
      }
      if (status != PROCPOOL_OK) {
        CHECK_EQ(p, 0); /* the other pool is whole */
        CHECK_STATUS(status, PROCPOOL_BROKEN);
        gate_add(&page->word[1], 1);
        break;
      }
    }
  free(bytes);
  return NULL;
}

TEST_STARTS(r123_threads_on_a_pool_that_breaks_and_on_its_successor, PROCESSES) {
  enum { THREADS = 10 };
  restart self[THREADS];
  pthread_t threads[THREADS];
  procpool *first = test_open(start, 2), *second = test_open(start, 2);
  const long supervisor = test_supervisor(first);
  CHECK_EQ(kill((pid_t)supervisor, SIGKILL), 0);
  for (int i = 0; i < THREADS; i++) {
    self[i].pools[0] = first;
    self[i].pools[1] = second;
    self[i].index = i;
    threads[i] = test_thread(use_until_broken, &self[i]);
  }
  for (int i = 0; i < THREADS; i++)
    test_join(threads[i]);
  CHECK_EQ(page->word[1], THREADS);
  CHECK_OK(procpool_free(first));
  test_close(second);
}

/* ---- futures whose pool is gone, in the calls that take many ---- */

TEST_STARTS(r041_wait_for_futures_of_freed_pools, EVERY) {
  procpool *pools[2] = {test_open(start, 1), test_open(start, 1)};
  procpool_future *futures[6], *future = NULL;
  procpool_iterator *iterator = NULL;
  size_t done = 0;
  for (int i = 0; i < 6; i++)
    futures[i] = test_submit(pools[i % 2], task_twice, &i, sizeof(i));
  test_close(pools[0]);
  for (int mode = 0; mode < 3; mode++)
    CHECK_OK(procpool_wait(futures, 6, (procpool_wait_mode)mode, PROCPOOL_FOREVER, &done));
  CHECK_OK(procpool_wait(futures, 6, PROCPOOL_ALL_COMPLETED, PROCPOOL_FOREVER, &done));
  CHECK_EQ(done, 6);
  test_close(pools[1]);
  CHECK_OK(procpool_wait(futures, 6, PROCPOOL_ALL_COMPLETED, 0, &done));
  CHECK_EQ(done, 6);
  CHECK_OK(procpool_as_completed(futures, 6, &iterator));
  for (int i = 0; i < 6; i++)
    CHECK_OK(procpool_next(iterator, 0, &future));
  CHECK_STATUS(procpool_next(iterator, 0, &future), PROCPOOL_END);
  procpool_iterator_free(iterator);
  for (int i = 0; i < 6; i++)
    CHECK_OK(procpool_future_release(futures[i]));
}

/* ---- the host is killed in difficult moments ---- */

/* In a host of its own: body makes the scene, tells the pids it wants watched by page->pid[0 .. count), and returns. */
static void kill_a_host(procpool_start start, int count, void (*body)(procpool_start start)) {
  int watches[8];
  const pid_t host = fork();
  CHECK_GE(host, 0);
  if (host == 0) {
    body(start);
    gate_add(&page->word[30], 1);
    gate_wait(&page->word[31], 1);
    raise(SIGKILL);
  }
  gate_wait(&page->word[30], 1);
  for (int i = 0; i < count; i++)
    watches[i] = test_watch(page->pid[i]);
  gate_add(&page->word[31], 1);
  CHECK_EQ(test_wait_exit(host), -SIGKILL);
  CHECK(test_all_gone(watches, count, 1.0 * test_slow()));
}

static void host_with_stopped_workers(procpool_start start) {
  procpool *pool = test_open(start, 2);
  for (int i = 0; i < 2; i++)
    (void)block(pool, i);
  gate_wait(&page->started, 2);
  for (int i = 0; i < 2; i++)
    CHECK_EQ(kill(page->pid[i], SIGSTOP), 0);
}

TEST_STARTS(r122_host_killed_with_stopped_workers, PROCESSES) {
  kill_a_host(start, 2, host_with_stopped_workers);
}

static void host_with_a_stopped_supervisor(procpool_start start) {
  procpool *pool = test_open(start, 1);
  page->pid[1] = (int)test_supervisor(pool);
  (void)block(pool, 0);
  gate_wait(&page->started, 1);
  CHECK_EQ(kill(page->pid[1], SIGSTOP), 0);
}

TEST_STARTS(r122_host_killed_with_a_stopped_supervisor, PROCESSES) {
  kill_a_host(start, 2, host_with_a_stopped_supervisor);
}

static void host_with_everything_stopped(procpool_start start) {
  host_with_a_stopped_supervisor(start);
  CHECK_EQ(kill(page->pid[0], SIGSTOP), 0);
}

TEST_STARTS(r122_host_killed_with_everything_stopped, PROCESSES) {
  kill_a_host(start, 2, host_with_everything_stopped);
}

static void task_spin(procpool_task *task) {
  const test_job *job = job_begin(task);
  signal(SIGTERM, SIG_IGN);
  page->pid[job->index] = (int)getpid();
  gate_add(&page->started, 1);
  while (gate_read(&page->gate) == 0)
    ;
}

static void host_with_spinning_workers(procpool_start start) {
  procpool *pool = test_open(start, 2);
  for (int i = 0; i < 2; i++) {
    const test_job job = job_of(i);
    CHECK_OK(procpool_submit(pool, task_spin, &job, sizeof(job), NULL, NULL));
  }
  gate_wait(&page->started, 2);
}

TEST_STARTS(r122_host_killed_with_spinning_workers, PROCESSES) {
  kill_a_host(start, 2, host_with_spinning_workers);
}

/* A worker that waits for room in its ring, in the middle of a result. */
static void host_with_a_full_ring(procpool_start start) {
  procpool *pool = test_open(start, 1);
  const test_job large = job_sized(1, 64 << 20);
  procpool_future *future = test_submit(pool, task_pid, NULL, 0);
  long pid = 0;
  CHECK_OK(procpool_future_result(future, PROCPOOL_FOREVER, &pid, sizeof(pid), NULL));
  page->pid[0] = (int)pid;
  future = test_submit(pool, task_make, &large, sizeof(large));
  while (!procpool_future_running(future))
    sched_yield();
}

TEST_STARTS(r122_host_killed_with_a_full_ring, PROCESSES) {
  kill_a_host(start, 1, host_with_a_full_ring);
}

static int initializer_blocks(const void *argument, size_t size) {
  const test_job *job = (const test_job *)argument;
  CHECK_EQ(size, sizeof(*job));
  page_attach(job->host, job->descriptor);
  page->pid[gate_add(&page->started, 1) - 1] = (int)getpid();
  gate_add(&page->finished, 1);
  gate_wait(&page->gate, 1);
  return 0;
}

static void host_with_workers_in_their_initializer(procpool_start start) {
  const test_job job = job_of(0);
  procpool_options options = {0};
  options.initializer = initializer_blocks;
  options.initializer_argument = &job;
  options.initializer_size = sizeof(job);
  (void)test_open_with(start, 2, &options);
  gate_wait(&page->finished, 2);
}

TEST_STARTS(r122_host_killed_with_workers_in_their_initializer, PROCESSES) {
  kill_a_host(start, 2, host_with_workers_in_their_initializer);
}

static void host_with_a_shutdown_going_on(procpool_start start) {
  procpool *pool = test_open(start, 2);
  for (int i = 0; i < 2; i++)
    (void)block(pool, i);
  gate_wait(&page->started, 2);
  CHECK_STATUS(procpool_shutdown(pool, PROCPOOL_DRAIN, 0), PROCPOOL_PENDING);
}

TEST_STARTS(r122_host_killed_during_a_shutdown, PROCESSES) {
  kill_a_host(start, 2, host_with_a_shutdown_going_on);
}

/* Killed at some moment while it opens pools and uses them: whatever exists then must go. The minder of this case finds
 * what is left behind. */
static void *announce_and_kill(void *context) {
  const int rounds = *(const int *)context;
  gate_wait(&page->word[0], 1);
  for (int i = 0; i < rounds; i++)
    sched_yield();
  raise(SIGKILL);
  return NULL;
}

TEST_STARTS(r122_host_killed_while_it_opens, PROCESSES) {
  for (int i = 0; i < test_rounds(40); i++) {
    pid_t host;
    page->word[0] = 0;
    host = fork();
    CHECK_GE(host, 0);
    if (host == 0) {
      int rounds = i * i;
      (void)test_thread(announce_and_kill, &rounds);
      for (;;) {
        procpool *pool = test_open(start, 3);
        gate_add(&page->word[0], 1);
        CHECK_WORKS(pool);
        test_close(pool);
      }
    }
    CHECK_EQ(test_wait_exit(host), -SIGKILL);
  }
}

/* ---- many threads ---- */

typedef struct mixer {
  procpool *pool;
  int index, accepted;
} mixer;

static void mix_submits(mixer *self) {
  procpool_future *futures[10];
  for (int i = 0; i < 10; i++) {
    futures[i] = test_submit(self->pool, task_twice, &i, sizeof(i));
    self->accepted++;
  }
  for (int i = 1; i < 10; i += 2)
    (void)procpool_future_cancel(futures[i]);
  for (int i = 0; i < 10; i++) {
    const procpool_status status = procpool_future_wait(futures[i], PROCPOOL_FOREVER);
    int out = -1;
    CHECK(status == PROCPOOL_OK || (status == PROCPOOL_CANCELLED && i % 2 == 1));
    if (status == PROCPOOL_OK) {
      CHECK_OK(procpool_future_result(futures[i], 0, &out, sizeof(out), NULL));
      CHECK_EQ(out, 2 * i);
    }
    CHECK_OK(procpool_future_release(futures[i]));
  }
}

static void *mix(void *context) {
  mixer *self = (mixer *)context;
  int in[40], out[40];
  for (int round = 0; round < test_rounds(40); round++) {
    mix_submits(self);
    for (int i = 0; i < 40; i++)
      in[i] = self->index * 1000 + i;
    CHECK_OK(procpool_map(self->pool, task_twice, in, sizeof(int), out, sizeof(int), 40, NULL));
    for (int i = 0; i < 40; i++)
      CHECK_EQ(out[i], 2 * in[i]);
  }
  return NULL;
}

TEST_STARTS(r123_ten_threads_submit_map_and_cancel, EVERY) {
  enum { THREADS = 10 };
  mixer self[THREADS];
  pthread_t threads[THREADS];
  procpool *pool = test_open(start, 2);
  procpool_stats stats;
  for (int i = 0; i < THREADS; i++) {
    self[i].pool = pool;
    self[i].index = i;
    self[i].accepted = 0;
    threads[i] = test_thread(mix, &self[i]);
  }
  for (int i = 0; i < THREADS; i++)
    test_join(threads[i]);
  stats = test_stats(pool);
  CHECK_EQ(stats.submitted, stats.settled);
  CHECK_GE(stats.submitted, THREADS * test_rounds(40) * 10);
  CHECK_EQ(stats.queued, 0);
  CHECK_EQ(stats.running, 0);
  test_close(pool);
}

static void *submit_while_workers_die(void *context) {
  mixer *self = (mixer *)context;
  for (int i = 0; i < test_rounds(200); i++) {
    const test_job dying = job_with(self->index, i % 10 == self->index ? SIGKILL : 0);
    procpool_future *future = test_submit(self->pool, task_die, &dying, sizeof(dying));
    CHECK_SETTLES(future, dying.number != 0 ? PROCPOOL_CRASHED : PROCPOOL_OK);
    CHECK_OK(procpool_future_release(future));
    self->accepted++;
  }
  return NULL;
}

/* Workers die and leave all the time: a submit is accepted all the same, and settles. */
TEST_STARTS(r124_submit_beside_replacements, PROCESSES) {
  enum { THREADS = 4 };
  procpool_options options = {0};
  mixer self[THREADS];
  pthread_t threads[THREADS];
  procpool *pool;
  options.max_tasks_per_child = 3;
  pool = test_open_with(start, 2, &options);
  for (int i = 0; i < THREADS; i++) {
    self[i].pool = pool;
    self[i].index = i;
    self[i].accepted = 0;
    threads[i] = test_thread(submit_while_workers_die, &self[i]);
  }
  for (int i = 0; i < THREADS; i++)
    test_join(threads[i]);
  CHECK_EQ(test_stats(pool).submitted, THREADS * test_rounds(200));
  CHECK_EQ(test_stats(pool).settled, THREADS * test_rounds(200));
  test_close(pool);
}
