/* Threads that wait beside each other, event loops that only poll the descriptor, calls that are left or overtaken by
 * procpool_free, and what all that costs. */
#include "hostile.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>

static procpool_future *gated(procpool *pool, int number) {
  const test_job job = job_with(0, number);
  return test_submit(pool, task_gate, &job, sizeof(job));
}

static double processor_time(void) {
  struct rusage u;
  CHECK_EQ(getrusage(RUSAGE_SELF, &u), 0);
  return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) + (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

static long switches_by(int who) {
  struct rusage u;
  CHECK_EQ(getrusage(who, &u), 0);
  return u.ru_nvcsw;
}
static long switches(void) {
  return switches_by(RUSAGE_SELF);
}

/* How often a process has gone to sleep. */
static long sleeps_of(long pid) {
  char path[64], line[256];
  long count = -1;
  FILE *file;
  snprintf(path, sizeof(path), "/proc/%ld/status", pid);
  file = fopen(path, "r");
  CHECK(file != NULL);
  while (fgets(line, sizeof(line), file) != NULL)
    (void)sscanf(line, "voluntary_ctxt_switches: %ld", &count);
  fclose(file);
  CHECK_GE(count, 0);
  return count;
}

static void nap(double seconds) {
  (void)poll(NULL, 0, (int)(seconds * 1e3));
}

static void task_spin(procpool_task *task) {
  const double end = test_now() + 100e-6;
  while (test_now() < end)
    ;
  (void)task;
}

/* Thirty seconds, but for a signal; its own pid is known first. */
static void task_sleep(procpool_task *task) {
  const test_job *job = job_begin(task);
  page->pid[job->index] = (int)getpid();
  gate_add(&page->started, 1);
  (void)poll(NULL, 0, 30000);
}

/* ---- R133: a thread that is cancelled ---- */

enum {
  CALL_WAIT,
  CALL_RESULT,
  CALL_POLL,
  CALL_SUBMIT,
  CALL_MANY,
  CALL_NEXT,
  CALL_SEVERAL,
  CALL_IMAP,
  CALL_MAP,
  CALL_SHUTDOWN,
  CALL_ALLOC,
  CALL_CANCEL,
  CALL_STATS,
  CALLS
};

typedef struct caller {
  procpool *pool, *second;
  procpool_future *future, *other;
  procpool_iterator *iterator; /* held while a call waits: what a cancelled thread held is given back by its joiner */
  int call;
  int rounds; /* atomic */
} caller;

static int one_more(void *context, void *item) {
  *(int *)item = ++*(int *)context;
  return 1;
}

static void make_call(caller *c) {
  procpool *p = c->pool;
  procpool_future *both[2], *f = NULL;
  int in[8] = {0}, out[8], n = 0;
  both[0] = c->future;
  both[1] = c->other;
  switch (c->call) {
  case CALL_WAIT:
    (void)procpool_future_wait(c->future, PROCPOOL_FOREVER);
    break;
  case CALL_RESULT:
    (void)procpool_future_result(c->future, PROCPOOL_FOREVER, &n, sizeof(n), NULL);
    break;
  case CALL_POLL:
    (void)procpool_poll(p, 0);
    break;
  case CALL_SUBMIT: /* waits for room now and then */
    IGNORE(procpool_submit(p, task_nothing, NULL, 0, NULL, NULL));
    break;
  case CALL_MANY:
    IGNORE(procpool_submit_many(p, task_nothing, NULL, 0, 16, NULL, NULL, NULL));
    break;
  case CALL_NEXT:
    if (procpool_as_completed(both, 1, &c->iterator) == PROCPOOL_OK)
      IGNORE(procpool_next(c->iterator, PROCPOOL_FOREVER, &f));
    procpool_iterator_free(c->iterator);
    c->iterator = NULL;
    break;
  case CALL_SEVERAL:
    (void)procpool_wait(both, 2, PROCPOOL_ALL_COMPLETED, PROCPOOL_FOREVER, NULL);
    break;
  case CALL_IMAP:
    if (procpool_imap(p, task_twice, one_more, &n, sizeof(int), NULL, &c->iterator) == PROCPOOL_OK)
      IGNORE(procpool_next(c->iterator, PROCPOOL_FOREVER, &f));
    procpool_iterator_free(c->iterator);
    c->iterator = NULL;
    break;
  case CALL_MAP:
    IGNORE(procpool_map(p, task_twice, in, sizeof(int), out, sizeof(int), 8, NULL));
    break;
  case CALL_SHUTDOWN:
    (void)procpool_shutdown(c->second, PROCPOOL_DRAIN, PROCPOOL_FOREVER);
    break;
  case CALL_ALLOC:
    (void)procpool_shared_free(p, procpool_shared_alloc(p, 1 << 20));
    break;
  case CALL_CANCEL:
    if (procpool_submit(p, task_nothing, NULL, 0, NULL, &f) == PROCPOOL_OK)
      (void)procpool_future_cancel(f);
    (void)procpool_future_release(f);
    break;
  default: {
    procpool_stats stats;
    (void)procpool_get_stats(p, &stats);
  }
  }
}

static void *call_for_ever(void *context) {
  caller *c = context;
  for (;;) {
    gate_add(&c->rounds, 1);
    make_call(c);
    pthread_testcancel();
  }
  return NULL;
}

TEST_STARTS_LIMIT(r133_a_thread_is_cancelled_in_any_call, CONCURRENT, 60) {
  for (int call = 0; call < CALLS; call++) {
    procpool_options options = {0};
    caller c = {0};
    pthread_t thread;
    options.max_queued = 64;
    c.pool = test_open_with(start, 2, &options);
    c.second = test_open(start, 1);
    c.future = gated(c.pool, call);
    c.other = gated(c.second, call);
    gate_wait(&page->started, 2 * call + 2);
    c.call = call;
    thread = test_thread(call_for_ever, &c);
    gate_wait(&c.rounds, call >= CALL_NEXT && call <= CALL_SHUTDOWN && call != CALL_IMAP && call != CALL_MAP
                             ? 1
                             : 3 * (call > CALL_RESULT) + 1);
    nap(0.01);
    CHECK_EQ(pthread_cancel(thread), 0);
    CHECK_WORKS(c.pool); /* others go on */
    gate_add(&page->word[call], 1);
    CHECK(test_join(thread) == PTHREAD_CANCELED);
    procpool_iterator_free(c.iterator);
    CHECK_WORKS(c.pool);
    CHECK_SETTLES(c.future, PROCPOOL_OK);
    CHECK_SETTLES(c.other, PROCPOOL_OK);
    CHECK_OK(procpool_future_release(c.future));
    CHECK_OK(procpool_future_release(c.other));
    test_close(c.pool);
    if (call != CALL_SHUTDOWN) /* that one is shut down: by the call that was to be cancelled */
      test_close(c.second);
    else
      CHECK_OK(procpool_free(c.second));
  }
}

/* ---- R134: procpool_free beside other calls ---- */

typedef struct beside {
  caller self;
  int *stop;
} beside;

static void *call_until_told(void *context) {
  beside *b = context;
  while (gate_read(b->stop) == 0) {
    gate_add(&b->self.rounds, 1);
    make_call(&b->self);
  }
  return NULL;
}

static void *interrupt_until_told(void *context) {
  beside *b = context;
  while (gate_read(b->stop) == 0) {
    gate_add(&b->self.rounds, 1);
    procpool_interrupt(b->self.pool);
    nap(0.001);
  }
  return NULL;
}

static int called_back;

static void on_done(procpool_future *future, void *context) {
  (void)future;
  (void)context;
  gate_add(&called_back, 1);
}

/* How many descriptors of a pool's memory this process has. */
static int memories(void) {
  int count = 0;
  for (int i = 0; i < 256; i++) {
    char path[32], name[64];
    ssize_t length;
    snprintf(path, sizeof(path), "/proc/self/fd/%d", i);
    length = readlink(path, name, sizeof(name) - 1);
    name[length > 0 ? length : 0] = '\0';
    count += strstr(name, "memfd:procpool") != NULL;
  }
  return count;
}

static void *take_memory(void *context) {
  beside *b = context;
  gate_add(&b->self.rounds, 1);
  return procpool_shared_alloc(b->self.pool, (size_t)256 << 20);
}

/* The kernel takes pages for a thread that does not hold the pool's lock meanwhile: by a descriptor whose number must
 * not become a file of the user's as another thread shuts the pool down. */
TEST_STARTS(r134_shutdown_beside_a_large_buffer, EVERY) {
  enum { FILES = 64 };
  beside b;
  pthread_t thread;
  int files[FILES], written = 0;
  if (memories() != 0)
    SKIP("there are other pools");
  memset(&b, 0, sizeof(b));
  b.self.pool = test_open(start, 1);
  if (memories() == 0)
    SKIP("no memfd here");
  thread = test_thread(take_memory, &b);
  gate_wait(&b.self.rounds, 1);
  nap(0.002);
  CHECK_OK(procpool_shutdown(b.self.pool, PROCPOOL_KILL, PROCPOOL_FOREVER));
  CHECK_EQ(memories(), 1);
  for (int i = 0; i < FILES; i++)
    files[i] = (int)syscall(SYS_memfd_create, "mine", 1 /* MFD_CLOEXEC */);
  (void)test_join(thread);
  CHECK(procpool_shared_alloc(b.self.pool, (size_t)4 << 20) == NULL);
  for (int i = 0; i < FILES; i++) {
    struct stat st;
    CHECK_EQ(fstat(files[i], &st), 0);
    written += st.st_size != 0;
    (void)close(files[i]);
  }
  CHECK_EQ(written, 0);
  CHECK_OK(procpool_free(b.self.pool));
  CHECK_EQ(memories(), 0);
}

/* One future is held throughout: so the handle stays one that can be recognised as freed. */
TEST_STARTS_LIMIT(r134_free_beside_every_call, EVERY, 60) {
  enum { KINDS = CALL_STATS + 2 };
  for (int round = 0; round < test_rounds(10); round++) {
    procpool_options options = {0};
    beside all[KINDS];
    pthread_t threads[KINDS];
    int stop = 0;
    procpool *pool, *second = test_open(PROCPOOL_START_INLINE, 1);
    procpool_future *held[KINDS], *other = test_submit(second, task_nothing, NULL, 0);
    options.max_queued = 64;
    pool = test_open_with(start, 2, &options);
    for (int i = 0; i < KINDS; i++) {
      memset(&all[i], 0, sizeof(all[i]));
      held[i] = start == PROCPOOL_START_INLINE || start == PROCPOOL_START_THREAD || i % 2 == 0
                    ? test_submit(pool, task_nothing, NULL, 0)
                    : gated(pool, 63);
      CHECK_OK(procpool_future_add_done_callback(held[i], on_done, NULL));
      all[i].self.pool = all[i].self.second = pool;
      all[i].self.future = held[i];
      all[i].self.other = other;
      all[i].self.call = i;
      all[i].stop = &stop;
    }
    for (int i = 0; i < KINDS; i++)
      if (i != CALL_SHUTDOWN)
        threads[i] = test_thread(i < CALLS ? call_until_told : interrupt_until_told, &all[i]);
    for (int i = 0; i < KINDS; i++)
      if (i != CALL_SHUTDOWN)
        gate_wait(&all[i].self.rounds, 1);
    nap(0.002 * round);
    CHECK_OK(procpool_free(pool));
    gate_add(&stop, 1);
    for (int i = 0; i < KINDS; i++)
      if (i != CALL_SHUTDOWN)
        test_join(threads[i]);
    for (int i = 0; i < KINDS; i++) {
      CHECK(procpool_future_done(held[i]));
      CHECK_OK(procpool_future_release(held[i]));
    }
    CHECK_SETTLES(other, PROCPOOL_OK);
    CHECK_OK(procpool_future_release(other));
    test_close(second);
  }
}

/* ---- R135: an event loop that only polls the descriptor ---- */

enum { ASK = -1 }; /* for the descriptor, in each turn, as one writes it first */

/* Turns until the future is done; each waits for the descriptor alone. */
static int loop_until_done(procpool *pool, int fd, procpool_future *future) {
  struct pollfd entry;
  int turns = 0;
  entry.events = POLLIN;
  for (; !procpool_future_done(future); turns++) {
    entry.fd = fd == ASK ? procpool_fd(pool) : fd;
    CHECK_EQ(poll(&entry, 1, 10000 * test_slow()), 1);
    CHECK_POLL(procpool_poll(pool, 0));
  }
  return turns;
}

/* The descriptor, once nothing is to be read from it: what it tells from then on, it tells because of what comes. */
static int quiet_fd(procpool *pool) {
  struct pollfd entry;
  entry.fd = procpool_fd(pool);
  entry.events = POLLIN;
  for (int i = 0; poll(&entry, 1, 20) != 0; i++) {
    CHECK_LE(i, 5);
    CHECK_POLL(procpool_poll(pool, 0));
  }
  return entry.fd;
}

static bool readable(procpool *pool, double seconds) {
  struct pollfd entry;
  entry.fd = procpool_fd(pool);
  entry.events = POLLIN;
  return poll(&entry, 1, (int)(seconds * 1e3)) != 0;
}

TEST_STARTS(r135_each_task_is_told_and_nothing_else, EVERY) {
  procpool *pool = test_open(start, 1);
  CHECK(!readable(pool, 0.05));
  for (int i = 0; i < 200; i++) {
    const int fd = i % 20 == 0 ? quiet_fd(pool) : ASK;
    procpool_future *future = test_submit(pool, task_nothing, NULL, 0);
    CHECK_LE(loop_until_done(pool, fd, future), 3);
    CHECK_OK(procpool_future_release(future));
  }
  for (int i = 0; i < 3 && readable(pool, 0); i++) /* the last one's bell may come after its result */
    CHECK_POLL(procpool_poll(pool, 0));
  CHECK(!readable(pool, 0.6)); /* nothing waits: no timer runs */
  test_close(pool);
}

TEST_STARTS(r135_a_long_task_costs_few_turns, CONCURRENT) {
  procpool *pool = test_open(start, 1);
  procpool_future *future = gated(pool, 0);
  const double begin = test_now();
  struct pollfd entry;
  int turns = 0;
  gate_wait(&page->started, 1);
  entry.events = POLLIN;
  for (; test_now() < begin + 2; CHECK_POLL(procpool_poll(pool, 0))) {
    entry.fd = procpool_fd(pool);
    turns += poll(&entry, 1, (int)((begin + 2 - test_now()) * 1e3) + 1) == 1;
  }
  CHECK_LE(turns, 8);
  gate_add(&page->word[0], 1);
  (void)loop_until_done(pool, ASK, future);
  CHECK_SETTLES(future, PROCPOOL_OK);
  CHECK_OK(procpool_future_release(future));
  test_close(pool);
}

TEST_STARTS(r135_the_supervisors_end, PROCESSES) {
  procpool *pool = test_open(start, 1);
  const long supervisor = test_supervisor(pool);
  const test_job job = job_of(0);
  procpool_future *future = test_submit(pool, task_sleep, &job, sizeof(job));
  int fd;
  gate_wait(&page->started, 1);
  fd = quiet_fd(pool);
  CHECK_EQ(kill((pid_t)supervisor, SIGKILL), 0);
  (void)loop_until_done(pool, fd, future);
  CHECK_SETTLES(future, PROCPOOL_BROKEN);
  CHECK_OK(procpool_future_release(future));
  for (int i = 0; i < 3 && readable(pool, 0); i++)
    CHECK_POLL(procpool_poll(pool, 0));
  CHECK(!readable(pool, 0.3));
  CHECK_OK(procpool_free(pool));
}

TEST_STARTS(r135_a_death_and_a_limit, PROCESSES) {
  procpool *pool = test_open(start, 1);
  const test_job dies = job_with(0, SIGKILL), sleeps = job_of(1);
  procpool_submit_options options = {0};
  const int fd = quiet_fd(pool);
  procpool_future *future = test_submit(pool, task_die, &dies, sizeof(dies));
  (void)loop_until_done(pool, fd, future);
  CHECK_SETTLES(future, PROCPOOL_CRASHED);
  CHECK_OK(procpool_future_release(future));
  options.time_limit = 0.2;
  options.grace = -1;
  CHECK_OK(procpool_submit(pool, task_sleep, &sleeps, sizeof(sleeps), &options, &future));
  (void)loop_until_done(pool, fd, future);
  CHECK_SETTLES(future, PROCPOOL_TIMEOUT);
  CHECK_OK(procpool_future_release(future));
  test_close(pool);
}

/* Words that waited are made nonsense of: only the audit finds that, and only the timer makes this loop look. */
TEST_STARTS(r135_what_only_the_audit_finds, PROCESSES) {
  procpool *pool = test_open(start, 1);
  const test_job job = job_with(0, HOSTILE_waiting_words_free);
  procpool_future *attack = test_submit(pool, hostile_task, &job, sizeof(job)), *future;
  double begin;
  int fd;
  gate_wait(&page->started, 1);
  fd = quiet_fd(pool);
  future = test_submit(pool, task_nothing, NULL, 0);
  begin = test_now();
  gate_add(&page->word[0], 1);
  (void)loop_until_done(pool, fd, future);
  CHECK_SECONDS(test_now() - begin, <, 5.0 * test_slow());
  CHECK_OK(procpool_future_release(future));
  CHECK_OK(procpool_future_release(attack));
  CHECK_OK(procpool_free(pool));
}

static void *wait_for_it(void *context) {
  return procpool_future_wait(context, PROCPOOL_FOREVER) == PROCPOOL_OK ? context : NULL;
}

/* What another thread has taken in is told all the same. */
TEST_STARTS(r135_another_thread_takes_it_in, CONCURRENT) {
  procpool *pool = test_open(start, 1);
  for (int i = 0; i < test_rounds(100); i++) {
    const int fd = i % 10 == 0 ? quiet_fd(pool) : ASK;
    procpool_future *future = test_submit(pool, task_nothing, NULL, 0);
    pthread_t thread = test_thread(wait_for_it, future);
    (void)loop_until_done(pool, fd, future);
    CHECK(test_join(thread) == future);
    CHECK_OK(procpool_future_release(future));
  }
  test_close(pool);
}

/* What another call has taken in before there was a descriptor is told by it. */
TEST_STARTS(r135_what_was_taken_in_before_it_was_asked_for, EVERY) {
  procpool *pool = test_open(start, 1);
  procpool_future *first = test_submit(pool, task_nothing, NULL, 0), *second;
  CHECK_SETTLES(first, PROCPOOL_OK);
  second = test_submit(pool, task_nothing, NULL, 0);
  CHECK_SETTLES(second, PROCPOOL_OK);
  CHECK(readable(pool, 2.0));
  CHECK_POLL(procpool_poll(pool, 0));
  CHECK(!readable(pool, 0.05));
  CHECK_OK(procpool_future_release(first));
  CHECK_OK(procpool_future_release(second));
  test_close(pool);
}

static procpool *polled;
static int loop_called;
static void note_call(procpool_future *future, void *context) {
  (void)future;
  (void)context;
  loop_called++;
}
static void task_polls(procpool_task *task) {
  (void)task;
  gate_add(&page->started, 1);
  gate_wait(&page->word[1], 1);
  (void)procpool_poll(polled, 0);
  gate_add(&page->word[2], 1);
  gate_wait(&page->word[3], 1);
}

/* A task that polls takes in, and runs no callbacks: they are left to the loop, which is told. */
TEST_STARTS(r135_a_task_that_polls_leaves_callbacks_to_the_loop, THREAD) {
  procpool_future *future, *poller;
  int fd;
  polled = test_open(start, 2);
  fd = quiet_fd(polled);
  poller = test_submit(polled, task_polls, NULL, 0);
  gate_wait(&page->started, 1);
  future = test_submit(polled, task_nothing, NULL, 0);
  CHECK_OK(procpool_future_add_done_callback(future, note_call, NULL));
  usleep(50000); /* it has ended by then */
  gate_add(&page->word[1], 1);
  gate_wait(&page->word[2], 1);
  for (int i = 0; loop_called == 0 && i < 5; i++) {
    struct pollfd entry;
    entry.fd = fd;
    entry.events = POLLIN;
    CHECK_EQ(poll(&entry, 1, 3000), 1);
    CHECK_POLL(procpool_poll(polled, 0));
  }
  CHECK_EQ(loop_called, 1);
  gate_add(&page->word[3], 1);
  CHECK_SETTLES(poller, PROCPOOL_OK);
  CHECK_OK(procpool_future_release(poller));
  CHECK_OK(procpool_future_release(future));
  test_close(polled);
}

static int nested_turns;
static void loop_within(procpool_future *future, void *context) {
  const double end = test_now() + 0.3;
  (void)future;
  (void)context;
  CHECK_OK(procpool_future_add_done_callback(test_submit(polled, task_nothing, NULL, 0), note_call, NULL));
  while (test_now() < end) {
    nested_turns += readable(polled, 0.1);
    CHECK_POLL(procpool_poll(polled, 0));
  }
}

/* A callback runs a loop of its own, as a dialog does: what it cannot run itself does not keep it awake. */
TEST_STARTS(r135_a_loop_within_a_callback_sleeps, CONCURRENT) {
  procpool_future *future;
  polled = test_open(start, 1);
  (void)quiet_fd(polled);
  future = test_submit(polled, task_nothing, NULL, 0);
  CHECK_OK(procpool_future_add_done_callback(future, loop_within, NULL));
  while (loop_called == 0) {
    CHECK(readable(polled, 3));
    CHECK_POLL(procpool_poll(polled, 0));
  }
  CHECK_GE(20, nested_turns);
  CHECK_OK(procpool_future_release(future));
  CHECK_OK(procpool_shutdown(polled, PROCPOOL_DRAIN, PROCPOOL_FOREVER));
  CHECK_OK(procpool_free(polled));
}

TEST_STARTS(r135_a_shutdown_ends, EVERY) {
  procpool *pool = test_open(start, 2);
  const int fd = quiet_fd(pool);
  procpool_future *future = test_submit(pool, task_nothing, NULL, 0);
  struct pollfd entry;
  entry.fd = fd;
  entry.events = POLLIN;
  while (procpool_shutdown(pool, PROCPOOL_DRAIN, 0) == PROCPOOL_PENDING) {
    CHECK_EQ(poll(&entry, 1, 10000 * test_slow()), 1);
    CHECK_POLL(procpool_poll(pool, 0));
  }
  CHECK_SETTLES(future, PROCPOOL_OK);
  CHECK_OK(procpool_future_release(future));
  CHECK_OK(procpool_free(pool));
}

/* ---- waits that cost no more than they must ---- */

typedef struct client {
  procpool *pool;
  int rounds;
} client;

static void *submit_and_wait(void *context) {
  const client *c = context;
  for (int i = 0; i < c->rounds; i++) {
    procpool_future *future = test_submit(c->pool, task_spin, NULL, 0);
    CHECK_SETTLES(future, PROCPOOL_OK);
    CHECK_OK(procpool_future_release(future));
  }
  return NULL;
}

/* Of many threads that wait, a result wakes the one that waits for it, and perhaps one that drains from then on. */
TEST_STARTS(r148_a_result_wakes_who_waits_for_it, PROCESSES) {
  enum { THREADS = 64 };
  procpool *pool = test_open(start, 2);
  client c = {pool, test_rounds(50)};
  pthread_t threads[THREADS];
  const long before = switches();
  for (int i = 0; i < THREADS; i++)
    threads[i] = test_thread(submit_and_wait, &c);
  for (int i = 0; i < THREADS; i++)
    test_join(threads[i]);
  CHECK_LE((switches() - before) / (THREADS * c.rounds), 8);
  test_close(pool);
}

/* A wait for many, beside a thread that drains. */
TEST_STARTS(r148_a_wait_for_many_is_woken_at_its_end, PROCESSES) {
  enum { COUNT = 2000 };
  static procpool_future *futures[COUNT];
  procpool *pool = test_open(start, 2);
  procpool_future *gate = gated(pool, 0);
  pthread_t drainer = test_thread(wait_for_it, gate);
  long before;
  gate_wait(&page->started, 1);
  nap(0.02);
  for (int i = 0; i < COUNT; i++)
    futures[i] = test_submit(pool, task_spin, NULL, 0);
  before = switches();
  CHECK_OK(procpool_wait(futures, COUNT, PROCPOOL_ALL_COMPLETED, PROCPOOL_FOREVER, NULL));
  CHECK_LE(switches() - before, COUNT + COUNT / 2); /* the other thread's; this one's would be as many again */
  for (int i = 0; i < COUNT; i++)
    CHECK_OK(procpool_future_release(futures[i]));
  gate_add(&page->word[0], 1);
  CHECK(test_join(drainer) == gate);
  CHECK_OK(procpool_future_release(gate));
  test_close(pool);
}

/* One of several threads, each of which waits for a task at a gate of its own. */
typedef struct follower {
  procpool_future *future;
  procpool_status status;
  double timeout;
  int thread, done; /* atomic */
} follower;

static void *wait_as_follower(void *context) {
  follower *self = context;
  gate_add(&self->thread, (int)syscall(SYS_gettid));
  self->status = procpool_future_wait(self->future, self->timeout);
  gate_add(&self->done, 1);
  return NULL;
}

static pthread_t begin_follower(follower *self, procpool *pool, int number, double timeout) {
  pthread_t thread;
  self->future = gated(pool, number);
  self->timeout = timeout;
  self->thread = self->done = 0;
  thread = test_thread(wait_as_follower, self);
  gate_wait(&self->thread, 1);
  nap(0.02 * test_slow()); /* it sleeps */
  return thread;
}

/* Each result wakes the thread that waits for it: of the others only the one that drains, and the one that does so from
 * then on. */
TEST_STARTS(r148_only_those_whose_futures_settle_are_woken, CONCURRENT) {
  enum { THREADS = 8 };
  procpool *pool = test_open(start, THREADS);
  follower all[THREADS];
  pthread_t threads[THREADS];
  long before[THREADS];
  for (int i = 0; i < THREADS; i++)
    threads[i] = begin_follower(&all[i], pool, i, PROCPOOL_FOREVER);
  for (int i = 0; i < THREADS; i++) {
    int woken = 0;
    for (int k = i; k < THREADS; k++)
      before[k] = sleeps_of(all[k].thread);
    gate_add(&page->word[i], 1);
    test_join(threads[i]);
    CHECK_OK(all[i].status);
    nap(0.02 * test_slow());
    for (int k = i + 1; k < THREADS; k++)
      woken += sleeps_of(all[k].thread) != before[k];
    CHECK_LE(woken, 2);
    CHECK_OK(procpool_future_release(all[i].future));
  }
  test_close(pool);
}

static void block_in_callback(procpool_future *future, void *context) {
  (void)future;
  gate_add(context, 1);
  gate_wait(&page->word[40], 1);
}

/* The first thread drains for the others, and stops to: its task ends, its time is over, it runs a callback, or the
 * callback of another future; or it is interrupted, with them. Who is left comes back nevertheless. */
TEST_STARTS_LIMIT(r134_who_stops_to_drain_hands_over, CONCURRENT, 60) {
  enum { THREADS = 4, END = 0, TIME, CALLBACK, INTERRUPT, WAYS };
  for (int how = 0; how < WAYS; how++) {
    procpool *pool = test_open(start, THREADS);
    follower all[THREADS];
    pthread_t threads[THREADS];
    int called = 0;
    memset(page->word, 0, sizeof(page->word));
    for (int i = 0; i < THREADS; i++)
      threads[i] = begin_follower(&all[i], pool, i, i == 0 && how == TIME ? 0.2 * test_slow() : PROCPOOL_FOREVER);
    if (how == CALLBACK)
      CHECK_OK(procpool_future_add_done_callback(all[0].future, block_in_callback, &called));
    if (how == END || how == CALLBACK)
      gate_add(&page->word[0], 1);
    if (how == CALLBACK)
      gate_wait(&called, 1);
    if (how == INTERRUPT)
      procpool_interrupt(pool);
    if (how == END || how == TIME || how == INTERRUPT)
      gate_wait(&all[0].done, 1);
    CHECK_STATUS(how == CALLBACK ? PROCPOOL_OK : all[0].status, how == TIME        ? PROCPOOL_PENDING
                                                                : how == INTERRUPT ? PROCPOOL_INTERRUPTED
                                                                                   : PROCPOOL_OK);
    for (int i = THREADS - 1; i > 0; i--) {
      if (how != INTERRUPT)
        gate_add(&page->word[i], 1);
      gate_wait(&all[i].done, 1);
      CHECK_STATUS(all[i].status, how == INTERRUPT ? PROCPOOL_INTERRUPTED : PROCPOOL_OK);
    }
    for (int i = 0; i < THREADS; i++)
      gate_add(&page->word[i], 1);
    gate_add(&page->word[40], 1);
    for (int i = 0; i < THREADS; i++) {
      test_join(threads[i]);
      CHECK_SETTLES(all[i].future, PROCPOOL_OK);
      CHECK_OK(procpool_future_release(all[i].future));
    }
    test_close(pool);
  }
}

/* All of it at once and at random: waits with and without an end, callbacks that submit to this pool and wait for another
 * one, interrupts. Each thread comes back from each wait, and each callback runs once. */
typedef struct mixer {
  procpool *pool, *second;
  int *called, *stop;
  unsigned random;
  int rounds, callbacks;
} mixer;

static void submit_and_wait_elsewhere(procpool_future *future, void *context) {
  const mixer *m = context;
  procpool_future *other = test_submit(m->second, task_nothing, NULL, 0);
  CHECK_SETTLES(other, PROCPOOL_OK);
  CHECK_OK(procpool_future_release(other));
  CHECK_OK(procpool_submit(procpool_future_pool(future), task_nothing, NULL, 0, NULL, NULL));
  gate_add(m->called, 1);
}

static void *wait_at_random(void *context) {
  mixer *m = context;
  for (int i = 0; i < m->rounds; i++) {
    procpool_future *future;
    procpool_status status;
    m->random = m->random * 1103515245u + 12345u;
    future = test_submit(m->pool, m->random & 0x10000 ? task_spin : task_nothing, NULL, 0);
    if ((m->random & 0xe0000) == 0) {
      CHECK_OK(procpool_future_add_done_callback(future, submit_and_wait_elsewhere, m));
      m->callbacks++;
    }
    do
      status = procpool_future_wait(future, m->random & 0x100000 ? (double)(m->random >> 24) * 1e-6 : PROCPOOL_FOREVER);
    while (status == PROCPOOL_PENDING || status == PROCPOOL_INTERRUPTED);
    CHECK_OK(status);
    CHECK_OK(procpool_future_release(future));
  }
  return NULL;
}

static void *interrupt_at_random(void *context) {
  const mixer *m = context;
  while (gate_read(m->stop) == 0) {
    procpool_interrupt(m->pool);
    nap(0.001);
  }
  return NULL;
}

TEST_STARTS_LIMIT(r134_threads_wait_at_random, CONCURRENT, 60) {
  enum { THREADS = 6 };
  mixer all[THREADS];
  pthread_t threads[THREADS], interrupts;
  procpool *pool = test_open(start, 2), *second = test_open(start, 1);
  int called = 0, stop = 0, callbacks = 0;
  for (int i = 0; i < THREADS; i++) {
    const mixer m = {pool, second, &called, &stop, (unsigned)i, test_rounds(1000), 0};
    all[i] = m;
    threads[i] = test_thread(wait_at_random, &all[i]);
  }
  interrupts = test_thread(interrupt_at_random, &all[0]);
  for (int i = 0; i < THREADS; i++) {
    test_join(threads[i]);
    callbacks += all[i].callbacks;
  }
  gate_add(&stop, 1);
  test_join(interrupts);
  if (procpool_shutdown(pool, PROCPOOL_DRAIN, PROCPOOL_FOREVER) ==
      PROCPOOL_INTERRUPTED) /* the last one was for nobody */
    CHECK_OK(procpool_shutdown(pool, PROCPOOL_DRAIN, PROCPOOL_FOREVER));
  CHECK_OK(procpool_free(pool));
  test_close(second);
  CHECK_EQ(called, callbacks);
}

TEST_STARTS(r135_a_wait_over_several_pools_sleeps, CONCURRENT) {
  for (int how = 0; how < 3; how++) {
    procpool *a = test_open(start, 1), *b = test_open(start, 1);
    procpool_future *futures[2];
    double before;
    futures[0] = test_submit(a, task_nothing, NULL, 0);
    futures[1] = gated(b, how);
    gate_wait(&page->started, how + 1);
    CHECK_SETTLES(futures[0], PROCPOOL_OK);
    if (how == 1)
      CHECK_OK(procpool_shutdown(a, PROCPOOL_DRAIN, PROCPOOL_FOREVER));
    else if (how == 2)
      CHECK_GE(procpool_fd(a) + procpool_fd(b), 0); /* a loop that does not come to look */
    before = processor_time();
    CHECK_STATUS(procpool_wait(futures, 2, PROCPOOL_ALL_COMPLETED, 0.5, NULL), PROCPOOL_PENDING);
    CHECK_SECONDS(processor_time() - before, <, 0.1);
    gate_add(&page->word[how], 1);
    CHECK_OK(procpool_wait(futures, 2, PROCPOOL_ALL_COMPLETED, PROCPOOL_FOREVER, NULL));
    CHECK_OK(procpool_future_release(futures[0]));
    CHECK_OK(procpool_future_release(futures[1]));
    if (how == 1)
      CHECK_OK(procpool_free(a));
    else
      test_close(a);
    test_close(b);
  }
}

/* A map that finds no place, since others have filled the queue, sleeps until there is one. */
TEST_STARTS(r135_a_map_sleeps_while_the_queue_is_full, CONCURRENT) {
  procpool_options options = {0};
  procpool_map_options map_options = {0};
  procpool_future *futures[64];
  const test_job job = job_of(0);
  int in[16] = {0}, out[16], count = 0;
  procpool *pool;
  double before;
  options.max_queued = 4;
  pool = test_open_with(start, 1, &options);
  while (try_submit(pool, task_gate, &job, sizeof(job), &futures[count]) == PROCPOOL_OK)
    count++;
  gate_wait(&page->started, 1);
  map_options.timeout = 0.5;
  before = processor_time();
  CHECK_STATUS(procpool_map(pool, task_twice, in, sizeof(int), out, sizeof(int), 16, &map_options), PROCPOOL_PENDING);
  CHECK_SECONDS(processor_time() - before, <, 0.1);
  gate_add(&page->word[0], 1);
  for (int i = 0; i < count; i++) {
    CHECK_SETTLES(futures[i], PROCPOOL_OK);
    CHECK_OK(procpool_future_release(futures[i]));
  }
  CHECK_OK(procpool_map(pool, task_twice, in, sizeof(int), out, sizeof(int), 16, NULL));
  test_close(pool);
}

static void *map_some(void *context) {
  procpool_map_options options = {0};
  int in[4] = {1, 2, 3, 4}, out[4];
  options.timeout = 10 * test_slow();
  CHECK_OK(procpool_map((procpool *)context, task_twice, in, sizeof(int), out, sizeof(int), 4, &options));
  return NULL;
}

/* A map that lacks a cell of the ring takes the one that comes free by a claim: no task need settle. */
TEST_STARTS(r135_a_map_takes_a_cell_that_comes_free, PROCESSES) {
  procpool_options options = {0};
  procpool_future *met[2], *first, *next;
  const test_job job = job_of(0);
  procpool *pool;
  pthread_t thread;
  options.max_queued = 4;
  pool = test_open_with(start, 2, &options);
  for (int i = 0; i < 2; i++) {
    const test_job pair = job_with(i, 2);
    met[i] = test_submit(pool, task_meet, &pair, sizeof(pair));
  }
  for (int i = 0; i < 2; i++) {
    CHECK_SETTLES(met[i], PROCPOOL_OK);
    CHECK_OK(procpool_future_release(met[i]));
  }
  for (int i = 0; i < 2; i++)
    CHECK_EQ(kill((pid_t)page->pid[i], SIGSTOP), 0);
  nap(0.1);
  first = test_submit(pool, task_gate, &job, sizeof(job)); /* its cell is the one that is lacking a lap later */
  while (try_submit(pool, task_spin, NULL, 0, &next) == PROCPOOL_OK) {
    CHECK_STATUS(procpool_future_cancel(next), PROCPOOL_CANCELLED);
    CHECK_OK(procpool_future_release(next));
  }
  thread = test_thread(map_some, pool);
  nap(0.1);
  for (int i = 0; i < 2; i++)
    CHECK_EQ(kill((pid_t)page->pid[i], SIGCONT), 0);
  test_join(thread);
  gate_add(&page->word[0], 1);
  CHECK_SETTLES(first, PROCPOOL_OK);
  CHECK_OK(procpool_future_release(first));
  test_close(pool);
}

/* Sleeps that wait long are few: of the supervisor that sees to an hour's limit, and of the host that waits. */
TEST_STARTS(r135_long_waits_sleep_long, PROCESSES) {
  procpool *pool = test_open(start, 1);
  const long supervisor = test_supervisor(pool);
  procpool_submit_options options = {0};
  const test_job job = job_with(0, 0);
  procpool_future *future;
  long before, own;
  options.time_limit = 3600;
  CHECK_OK(procpool_submit(pool, task_gate, &job, sizeof(job), &options, &future));
  gate_wait(&page->started, 1);
  nap(0.1);
  before = sleeps_of(supervisor);
  own = switches_by(RUSAGE_THREAD); /* a sanitizer has threads of its own */
  CHECK_STATUS(procpool_future_wait(future, 3), PROCPOOL_PENDING);
  CHECK_LE(switches_by(RUSAGE_THREAD) - own, 11);
  CHECK_LE(sleeps_of(supervisor) - before, 14);
  gate_add(&page->word[0], 1);
  CHECK_SETTLES(future, PROCPOOL_OK);
  CHECK_OK(procpool_future_release(future));
  test_close(pool);
}

/* The supervisor's end is told at once, however long the host has slept. */
TEST_STARTS(r135_long_waits_hear_of_the_supervisors_end, PROCESSES) {
  procpool *pool = test_open(start, 1);
  const long supervisor = test_supervisor(pool);
  const test_job job = job_of(0);
  procpool_future *future = test_submit(pool, task_sleep, &job, sizeof(job));
  pthread_t thread = test_thread(wait_for_it, future);
  double begin;
  gate_wait(&page->started, 1);
  nap(2.5);
  begin = test_now();
  CHECK_EQ(kill((pid_t)supervisor, SIGKILL), 0);
  CHECK(test_join(thread) == NULL);
  CHECK_SECONDS(test_now() - begin, <, 0.3 * test_slow());
  CHECK_SETTLES(future, PROCPOOL_BROKEN);
  CHECK_OK(procpool_future_release(future));
  CHECK_OK(procpool_free(pool));
}

/* ---- room in the queue ---- */

typedef struct submitter {
  procpool *pool;
  procpool_status status;
  double at;
} submitter;

static void *submit_one(void *context) {
  submitter *s = context;
  s->status = procpool_submit(s->pool, task_nothing, NULL, 0, NULL, NULL);
  s->at = test_now();
  return NULL;
}

TEST_STARTS(r134_a_blocked_submit_hears_of_a_shutdown, CONCURRENT) {
  for (int beside_a_wait = 0; beside_a_wait < 2; beside_a_wait++) {
    procpool_options options = {0};
    submitter s = {0};
    pthread_t waits = 0, thread;
    procpool_future *future;
    double begin;
    options.max_queued = 1;
    s.pool = test_open_with(start, 1, &options);
    future = gated(s.pool, beside_a_wait);
    gate_wait(&page->started, beside_a_wait + 1);
    if (beside_a_wait)
      waits = test_thread(wait_for_it, future);
    nap(0.05);
    thread = test_thread(submit_one, &s);
    nap(0.05);
    begin = test_now();
    CHECK_STATUS(procpool_shutdown(s.pool, PROCPOOL_DRAIN, 0), PROCPOOL_PENDING);
    test_join(thread);
    CHECK_STATUS(s.status, PROCPOOL_SHUTDOWN);
    CHECK_SECONDS(s.at - begin, <, 0.1 * test_slow());
    gate_add(&page->word[beside_a_wait], 1);
    if (beside_a_wait)
      CHECK(test_join(waits) == future);
    CHECK_OK(procpool_future_release(future));
    CHECK_OK(procpool_free(s.pool));
  }
}

/* Many who want room, each of whom gets it: none is forgotten. */
static void *submit_many_times(void *context) {
  client *c = context;
  for (int i = 0; i < c->rounds; i++)
    CHECK_OK(procpool_submit(c->pool, task_nothing, NULL, 0, NULL, NULL));
  return NULL;
}

TEST_STARTS(r134_room_goes_from_one_to_the_next, CONCURRENT) {
  enum { THREADS = 16 };
  procpool_options options = {0};
  pthread_t threads[THREADS];
  client c;
  options.max_queued = 3;
  c.pool = test_open_with(start, 2, &options);
  c.rounds = test_rounds(300);
  for (int i = 0; i < THREADS; i++)
    threads[i] = test_thread(submit_many_times, &c);
  for (int i = 0; i < THREADS; i++)
    test_join(threads[i]);
  CHECK_EQ(test_stats(c.pool).submitted, (uint64_t)THREADS * (unsigned)c.rounds);
  test_close(c.pool);
}

/* ---- callbacks, interrupts ---- */

static void read_result(procpool_future *future, void *context) {
  int value = 0;
  size_t size = 0;
  if (procpool_future_result(future, 0, &value, sizeof(value), &size) == PROCPOOL_OK && size == sizeof(value))
    *(int *)context = value;
}

TEST_STARTS(r053_a_released_future_keeps_its_result_for_its_callbacks, EVERY) {
  procpool *pool = test_open(start, 1);
  const int twenty_one = 21;
  int got = 0;
  procpool_future *future = test_submit(pool, task_twice, &twenty_one, sizeof(twenty_one));
  CHECK_OK(procpool_future_add_done_callback(future, read_result, &got));
  CHECK_OK(procpool_future_release(future));
  test_close(pool);
  CHECK_EQ(got, 42);
}

TEST_STARTS(r086_the_end_of_a_block_drains_through_an_interrupt, CONCURRENT) {
  procpool_options options = {0};
  const test_job job = job_of(0);
  options.start = start;
  options.max_workers = 1;
  PROCPOOL_WITH(pool, &options) {
    for (int i = 0; i < 20; i++)
      CHECK_OK(procpool_submit(pool, task_count, &job, sizeof(job), NULL, NULL));
    procpool_interrupt(pool);
  }
  CHECK_EQ(page->count, 20);
}

typedef struct interrupted {
  procpool_future *future;
  procpool_status status;
} interrupted;

static void *wait_until_interrupted(void *context) {
  interrupted *self = context;
  self->status = procpool_future_wait(self->future, PROCPOOL_FOREVER);
  return NULL;
}

/* One interrupt ends all waits that go on, whichever sees it first. */
TEST_STARTS(r133_an_interrupt_ends_every_wait, CONCURRENT) {
  enum { THREADS = 20 };
  procpool *pool = test_open(start, 1);
  procpool_future *future = gated(pool, 0);
  interrupted all[THREADS];
  pthread_t threads[THREADS];
  gate_wait(&page->started, 1);
  for (int i = 0; i < THREADS; i++) {
    all[i].future = future;
    threads[i] = test_thread(wait_until_interrupted, &all[i]);
  }
  nap(0.1 * test_slow());
  procpool_interrupt(pool);
  for (int i = 0; i < THREADS; i++)
    test_join(threads[i]);
  for (int i = 0; i < THREADS; i++)
    CHECK_STATUS(all[i].status, PROCPOOL_INTERRUPTED);
  gate_add(&page->word[0], 1);
  CHECK_SETTLES(future, PROCPOOL_OK);
  CHECK_OK(procpool_future_release(future));
  test_close(pool);
}

typedef struct over_several {
  procpool_future *futures[2];
  procpool_status status;
} over_several;

static void *wait_over_several(void *context) {
  over_several *self = context;
  self->status = procpool_wait(self->futures, 2, PROCPOOL_ALL_COMPLETED, 20 * test_slow(), NULL);
  return NULL;
}

/* Those that sleep on a descriptor of several pools hear of it too: the first one to come takes its readiness away. */
TEST_STARTS(r133_an_interrupt_ends_every_wait_over_several_pools, CONCURRENT) {
  for (int round = 0; round < 12; round++) {
    procpool *a = test_open(start, 1), *b = test_open(start, 1);
    over_several all[2];
    pthread_t threads[2];
    const double begun = test_now();
    page->word[3] = 0;
    for (int i = 0; i < 2; i++) {
      all[i].futures[0] = gated(a, 3);
      all[i].futures[1] = gated(b, 3);
      threads[i] = test_thread(wait_over_several, &all[i]);
    }
    nap(0.04 * test_slow()); /* they sleep */
    procpool_interrupt(a);
    for (int i = 0; i < 2; i++) {
      test_join(threads[i]);
      CHECK_STATUS(all[i].status, PROCPOOL_INTERRUPTED);
    }
    CHECK_SECONDS(test_now() - begun, <, 5 * test_slow());
    gate_add(&page->word[3], 1);
    for (int i = 0; i < 4; i++)
      CHECK_OK(procpool_future_release(all[i / 2].futures[i % 2]));
    test_close(a);
    test_close(b);
  }
}
