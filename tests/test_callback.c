/* add_done_callback: when, where, how often, and what it may do. */
#include "harness.h"

#include <poll.h>

typedef struct record {
  int calls;
  int order[32];
  procpool_status status;
  pthread_t thread;
  procpool_future *future;
} record;

static void note(procpool_future *future, void *context) {
  record *self = (record *)context;
  self->calls++;
  self->future = future;
  self->thread = pthread_self();
  self->status = procpool_future_status(future);
}

static procpool_future *block(procpool *pool) {
  const test_job job = job_of(0);
  procpool_future *future = test_submit(pool, task_block, &job, sizeof(job));
  gate_wait(&page->started, 1);
  return future;
}

static void unblock(procpool_future *blocker) {
  gate_add(&page->gate, 1);
  CHECK_SETTLES(blocker, PROCPOOL_OK);
  CHECK_OK(procpool_future_release(blocker));
}

TEST_STARTS(r053_once_for_ok, EVERY) {
  procpool *pool = test_open(start, 1);
  record seen = {0};
  procpool_future *future = test_submit(pool, task_nothing, NULL, 0);
  CHECK_OK(procpool_future_add_done_callback(future, note, &seen));
  CHECK_SETTLES(future, PROCPOOL_OK);
  CHECK_EQ(seen.calls, 1);
  CHECK_OK(seen.status);
  CHECK(seen.future == future);
  CHECK_POLL(procpool_poll(pool, 0));
  CHECK_SETTLES(future, PROCPOOL_OK);
  CHECK_OK(procpool_future_release(future));
  test_close(pool);
  CHECK_EQ(seen.calls, 1);
}

TEST_STARTS(r053_once_for_failed, EVERY) {
  procpool *pool = test_open(start, 1);
  record seen = {0};
  const test_job job = job_with(0, 3);
  procpool_future *future = test_submit(pool, task_fail, &job, sizeof(job));
  CHECK_OK(procpool_future_add_done_callback(future, note, &seen));
  CHECK_SETTLES(future, PROCPOOL_FAILED);
  CHECK_OK(procpool_future_release(future));
  test_close(pool);
  CHECK_EQ(seen.calls, 1);
  CHECK_STATUS(seen.status, PROCPOOL_FAILED);
}

TEST_STARTS(r053_once_for_crashed, PROCESSES) {
  procpool *pool = test_open(start, 1);
  record seen = {0};
  const test_job job = job_with(0, SIGKILL);
  procpool_future *future = test_submit(pool, task_die, &job, sizeof(job));
  CHECK_OK(procpool_future_add_done_callback(future, note, &seen));
  CHECK_SETTLES(future, PROCPOOL_CRASHED);
  CHECK_OK(procpool_future_release(future));
  test_close(pool);
  CHECK_EQ(seen.calls, 1);
  CHECK_STATUS(seen.status, PROCPOOL_CRASHED);
}

TEST_STARTS(r053_once_for_cancelled, CONCURRENT) {
  procpool *pool = test_open(start, 1);
  record seen = {0};
  procpool_future *blocker = block(pool), *future = test_submit(pool, task_nothing, NULL, 0);
  CHECK_OK(procpool_future_add_done_callback(future, note, &seen));
  CHECK_STATUS(procpool_future_cancel(future), PROCPOOL_CANCELLED);
  CHECK_POLL(procpool_poll(pool, 0));
  CHECK_EQ(seen.calls, 1);
  CHECK_STATUS(seen.status, PROCPOOL_CANCELLED);
  unblock(blocker);
  CHECK_OK(procpool_future_release(future));
  test_close(pool);
  CHECK_EQ(seen.calls, 1);
}

TEST_STARTS(r053_once_for_shutdown, PROCESSES) {
  procpool *pool = test_open(start, 1);
  record running = {0}, queued = {0};
  procpool_future *blocker = block(pool), *future = test_submit(pool, task_nothing, NULL, 0);
  CHECK_OK(procpool_future_add_done_callback(blocker, note, &running));
  CHECK_OK(procpool_future_add_done_callback(future, note, &queued));
  CHECK_OK(procpool_shutdown(pool, PROCPOOL_KILL, PROCPOOL_FOREVER));
  CHECK_EQ(running.calls, 1); /* callbacks have run when shutdown returns */
  CHECK_EQ(queued.calls, 1);
  CHECK_STATUS(running.status, PROCPOOL_SHUTDOWN);
  CHECK_STATUS(queued.status, PROCPOOL_SHUTDOWN);
  CHECK_OK(procpool_future_release(blocker));
  CHECK_OK(procpool_future_release(future));
  CHECK_OK(procpool_free(pool));
  CHECK_EQ(running.calls, 1);
  CHECK_EQ(queued.calls, 1);
}

TEST_STARTS(r053_at_once_if_settled, EVERY) {
  procpool *pool = test_open(start, 1);
  record seen = {0};
  procpool_future *future = test_submit(pool, task_nothing, NULL, 0);
  CHECK_SETTLES(future, PROCPOOL_OK);
  CHECK_OK(procpool_future_add_done_callback(future, note, &seen));
  CHECK_EQ(seen.calls, 1);
  CHECK_OK(procpool_future_add_done_callback(future, note, &seen));
  CHECK_EQ(seen.calls, 2);
  test_close(pool);
  CHECK_OK(procpool_future_add_done_callback(future, note, &seen)); /* the pool is gone */
  CHECK_EQ(seen.calls, 3);
  CHECK_OK(procpool_future_release(future));
}

typedef struct numbered {
  record *all;
  int number;
} numbered;

static void note_number(procpool_future *future, void *context) {
  numbered *self = (numbered *)context;
  (void)future;
  self->all->order[self->all->calls++] = self->number;
}

TEST_STARTS(r053_several_in_the_order_added, EVERY) {
  procpool *pool = test_open(start, 1);
  record all = {0};
  numbered each[20];
  procpool_future *future = test_submit(pool, task_nothing, NULL, 0);
  for (int i = 0; i < 20; i++) {
    each[i].all = &all;
    each[i].number = i;
    CHECK_OK(procpool_future_add_done_callback(future, note_number, &each[i]));
  }
  CHECK_SETTLES(future, PROCPOOL_OK);
  CHECK_EQ(all.calls, 20);
  for (int i = 0; i < 20; i++)
    CHECK_EQ(all.order[i], i);
  CHECK_OK(procpool_future_release(future));
  test_close(pool);
}

/* A callback belongs to its task, not to the handle. */
TEST_STARTS(r053_runs_though_the_future_was_released, EVERY) {
  procpool *pool = test_open(start, 1);
  record seen = {0};
  procpool_future *future = test_submit(pool, task_nothing, NULL, 0);
  CHECK_OK(procpool_future_add_done_callback(future, note, &seen));
  CHECK_OK(procpool_future_release(future));
  test_close(pool);
  CHECK_EQ(seen.calls, 1);
}

TEST_STARTS(r053_runs_in_the_thread_that_polls, CONCURRENT) {
  procpool *pool = test_open(start, 1);
  record seen = {0};
  procpool_future *future = test_submit(pool, task_nothing, NULL, 0);
  struct pollfd entry;
  CHECK_OK(procpool_future_add_done_callback(future, note, &seen));
  entry.fd = procpool_fd(pool);
  entry.events = POLLIN;
  while (!known_done(future)) {
    CHECK_EQ(poll(&entry, 1, 10000), 1);
    CHECK_EQ(seen.calls, 0);
    CHECK_POLL(procpool_poll(pool, 0));
  }
  CHECK_EQ(seen.calls, 1);
  CHECK(pthread_equal(seen.thread, pthread_self()));
  CHECK_OK(procpool_future_release(future));
  test_close(pool);
}

/* submit drains while the queue is full, but runs no callback: the user's locks may be held around it. */
TEST_STARTS(r053_never_inside_submit, EVERY) {
  procpool_options options = {0};
  procpool *pool;
  procpool_future *futures[200];
  record seen = {0};
  options.max_queued = 4;
  pool = test_open_with(start, 1, &options);
  for (int i = 0; i < 200; i++) {
    const int before = seen.calls;
    futures[i] = test_submit(pool, task_nothing, NULL, 0);
    CHECK_EQ(seen.calls, before);
    CHECK_OK(procpool_future_add_done_callback(futures[i], note, &seen));
  }
  CHECK_OK(procpool_shutdown(pool, PROCPOOL_DRAIN, PROCPOOL_FOREVER));
  CHECK_EQ(seen.calls, 200);
  for (int i = 0; i < 200; i++)
    CHECK_OK(procpool_future_release(futures[i]));
  CHECK_OK(procpool_free(pool));
}

/* ---- what a callback may do ---- */

typedef struct chain {
  procpool *pool;
  int left;
  int done;
} chain;

static void next_link(procpool_future *future, void *context) {
  chain *self = (chain *)context;
  self->done++;
  CHECK_OK(procpool_future_release(future));
  if (self->left-- > 0) {
    procpool_future *next = test_submit(self->pool, task_nothing, NULL, 0);
    CHECK_OK(procpool_future_add_done_callback(next, next_link, self));
  }
}

TEST_STARTS(r054_chain_of_one_hundred, EVERY) {
  procpool *pool = test_open(start, 1);
  chain self = {pool, 100, 0};
  struct pollfd entry;
  CHECK_OK(procpool_future_add_done_callback(test_submit(pool, task_nothing, NULL, 0), next_link, &self));
  entry.fd = procpool_fd(pool);
  entry.events = POLLIN;
  while (self.done < 101) {
    CHECK_EQ(poll(&entry, 1, 10000), 1);
    CHECK_POLL(procpool_poll(pool, 0));
  }
  CHECK_EQ(test_stats(pool).settled, 101);
  test_close(pool);
}

static void submit_one_more(procpool_future *future, void *context) {
  chain *self = (chain *)context;
  (void)future;
  CHECK_OK(procpool_submit(self->pool, task_nothing, NULL, 0, NULL, NULL));
  self->done++;
}

TEST_STARTS(r054_submit_from_callbacks_of_every_kind, PROCESSES) {
  procpool *pool = test_open(start, 1);
  chain self = {pool, 0, 0};
  const test_job dying = job_with(1, SIGKILL), failing = job_with(2, 1);
  procpool_future *blocker = block(pool);
  procpool_future *crashed = test_submit(pool, task_die, &dying, sizeof(dying));
  procpool_future *failed = test_submit(pool, task_fail, &failing, sizeof(failing));
  procpool_future *cancelled = test_submit(pool, task_nothing, NULL, 0);
  CHECK_OK(procpool_future_add_done_callback(crashed, submit_one_more, &self));
  CHECK_OK(procpool_future_add_done_callback(failed, submit_one_more, &self));
  CHECK_OK(procpool_future_add_done_callback(cancelled, submit_one_more, &self));
  CHECK_STATUS(procpool_future_cancel(cancelled), PROCPOOL_CANCELLED);
  unblock(blocker);
  CHECK_SETTLES(crashed, PROCPOOL_CRASHED);
  CHECK_SETTLES(failed, PROCPOOL_FAILED);
  CHECK_POLL(procpool_poll(pool, 0));
  CHECK_EQ(self.done, 3);
  CHECK_OK(procpool_future_release(crashed));
  CHECK_OK(procpool_future_release(failed));
  CHECK_OK(procpool_future_release(cancelled));
  CHECK_OK(procpool_shutdown(pool, PROCPOOL_DRAIN, PROCPOOL_FOREVER));
  CHECK_EQ(test_stats(pool).settled, 7);
  CHECK_OK(procpool_free(pool));
}

/* ---- memory that maps hold while their callbacks run ---- */

enum { HELD_ITEM = 1 << 20, HELD_MORE = 3 << 20, HELD_ENTERED = 10, HELD_GATE = 11 };

typedef struct holder {
  procpool *pool;
  int items;       /* of its map */
  int together;    /* callbacks that run at the same time */
  bool many, imap; /* by which call it asks for more */
  unsigned char *arguments;
  int ended; /* callbacks */
} holder;

/* Its argument begins with a test_job, whose gate it waits for. */
static void task_held(procpool_task *task) {
  const test_job *job = (const test_job *)procpool_task_argument(task, NULL);
  page_attach(job->host, job->descriptor);
  gate_wait(&page->word[job->number], 1);
  (void)procpool_task_return(task, "", 1);
}

static int more_items(void *context, void *item) {
  memset(item, 0, HELD_MORE);
  return (*(int *)context)++ == 0;
}

static procpool_status ask_for_more(holder *self) {
  unsigned char *more = (unsigned char *)calloc(1, HELD_MORE);
  procpool_status status;
  int pulled = 0;
  CHECK(more != NULL);
  if (self->imap) {
    procpool_iterator *it;
    procpool_future *future;
    CHECK_OK(procpool_imap(self->pool, task_held, more_items, &pulled, HELD_MORE, NULL, &it));
    status = procpool_next(it, PROCPOOL_FOREVER, &future);
    procpool_iterator_free(it);
  } else if (self->many) {
    status = procpool_submit_many(self->pool, task_held, more, HELD_MORE, 1, NULL, NULL, NULL);
  } else {
    status = procpool_submit(self->pool, task_held, more, HELD_MORE, NULL, NULL);
  }
  free(more);
  return status;
}

static void submit_what_maps_hold(procpool_future *future, void *context) {
  holder *self = (holder *)context;
  (void)future;
  gate_add(&page->word[HELD_ENTERED], 1);
  gate_wait(&page->word[HELD_ENTERED], self->together); /* the other one too holds its chunks, and is in a callback */
  CHECK_STATUS(ask_for_more(self), PROCPOOL_MEMORY);
  gate_add(&self->ended, 1);
  gate_wait(&self->ended, self->together); /* what this one's map holds does not come back before */
}

/* May run in two threads at the same time: each has its own results. */
static void *hold_by_a_map(void *context) {
  holder *self = (holder *)context;
  procpool_map_options options = {.chunksize = 1};
  unsigned char *results = (unsigned char *)calloc((size_t)self->items, 1);
  CHECK(results != NULL);
  CHECK_OK(procpool_map(self->pool, task_held, self->arguments, HELD_ITEM, results, 1, (size_t)self->items, &options));
  free(results);
  return NULL;
}

static holder holder_open(procpool_start start, int workers, int items) {
  procpool_options options = {.max_memory = 8 << 20};
  holder self = {0};
  self.pool = test_open_with(start, workers, &options);
  self.items = items;
  self.together = 1;
  self.arguments = (unsigned char *)calloc((size_t)items, HELD_ITEM);
  CHECK(self.arguments != NULL);
  for (int i = 0; i < items; i++) {
    const test_job job = job_with(i, HELD_GATE);
    memcpy(self.arguments + (size_t)i * HELD_ITEM, &job, sizeof(job));
  }
  return self;
}

static void holder_close(holder *self) {
  CHECK_WORKS(self->pool);
  test_close(self->pool);
  free(self->arguments);
}

/* A callback that a map runs asks for the memory that this very map holds. */
TEST_STARTS(r054_submit_of_what_the_map_itself_holds, EVERY) {
  for (int way = 0; way < 3; way++) {
    holder self = holder_open(start, 1, 6);
    procpool_future *future = test_submit(self.pool, task_nothing, NULL, 0);
    self.many = way == 1;
    self.imap = way == 2;
    page->word[HELD_ENTERED] = 0;
    page->word[HELD_GATE] = 1;
    CHECK_OK(procpool_future_add_done_callback(future, submit_what_maps_hold, &self));
    (void)hold_by_a_map(&self);
    CHECK_EQ(self.ended, 1);
    CHECK_OK(procpool_future_release(future));
    holder_close(&self);
  }
}

/* Two maps, each in a callback that asks for what the other one holds. */
TEST_STARTS(r054_submit_of_what_another_map_holds, CONCURRENT) {
  holder self = holder_open(start, 2, 2);
  const test_job jobs[2] = {job_with(0, 0), job_with(1, 1)};
  procpool_future *futures[2];
  pthread_t threads[2];
  self.together = 2;
  for (int i = 0; i < 2; i++) {
    futures[i] = test_submit(self.pool, task_gate, &jobs[i], sizeof(jobs[i]));
    CHECK_OK(procpool_future_add_done_callback(futures[i], submit_what_maps_hold, &self));
  }
  gate_wait(&page->started, 2);
  for (int i = 0; i < 2; i++)
    threads[i] = test_thread(hold_by_a_map, &self);
  while (test_stats(self.pool).submitted < 6) /* all chunks are handed out, and all memory is */
    (void)poll(NULL, 0, 1);
  gate_add(&page->word[0], 1);
  gate_wait(&page->word[HELD_ENTERED], 1); /* in one thread; the next callback is the other one's */
  gate_add(&page->word[1], 1);
  gate_wait(&page->word[HELD_ENTERED], 2);
  gate_add(&page->word[HELD_GATE], 1);
  for (int i = 0; i < 2; i++)
    test_join(threads[i]);
  CHECK_EQ(self.ended, 2);
  for (int i = 0; i < 2; i++)
    CHECK_OK(procpool_future_release(futures[i]));
  holder_close(&self);
}

static void cancel_other(procpool_future *future, void *context) {
  (void)future;
  CHECK_STATUS(procpool_future_cancel((procpool_future *)context), PROCPOOL_CANCELLED);
}

TEST_STARTS(r055_cancel_in_a_callback, CONCURRENT) {
  procpool *pool = test_open(start, 1);
  const test_job job = job_with(1, 1);
  procpool_future *blocker = block(pool), *second = test_submit(pool, task_gate, &job, sizeof(job));
  procpool_future *third = test_submit(pool, task_nothing, NULL, 0);
  record seen = {0};
  CHECK_OK(procpool_future_add_done_callback(third, note, &seen));
  CHECK_OK(procpool_future_add_done_callback(blocker, cancel_other, third));
  gate_add(&page->gate, 1);
  CHECK_SETTLES(blocker, PROCPOOL_OK);
  CHECK_STATUS(procpool_future_status(third), PROCPOOL_CANCELLED);
  gate_add(&page->word[1], 1);
  CHECK_SETTLES(second, PROCPOOL_OK);
  CHECK_POLL(procpool_poll(pool, 0));
  CHECK_EQ(seen.calls, 1);
  CHECK_OK(procpool_future_release(blocker));
  CHECK_OK(procpool_future_release(second));
  CHECK_OK(procpool_future_release(third));
  test_close(pool);
}

static void release_itself(procpool_future *future, void *context) {
  ++*(int *)context;
  CHECK_OK(procpool_future_release(future));
}

TEST_STARTS(r055_release_in_a_callback, EVERY) {
  procpool *pool = test_open(start, 2);
  int released = 0;
  for (int i = 0; i < 100; i++)
    CHECK_OK(
        procpool_future_add_done_callback(test_submit(pool, task_twice, &i, sizeof(i)), release_itself, &released));
  test_close(pool);
  CHECK_EQ(released, 100);
}

typedef struct refused {
  procpool *pool;
  procpool_future *other;
  int calls;
} refused;

static void wait_inside(procpool_future *future, void *context) {
  refused *self = (refused *)context;
  int out = 0;
  procpool_future *got = NULL;
  procpool_iterator *iterator = NULL;
  const int in = 1;
  self->calls++;
  CHECK_STATUS(procpool_future_wait(self->other, PROCPOOL_FOREVER), PROCPOOL_DEADLOCK);
  CHECK_STATUS(procpool_future_result(self->other, PROCPOOL_FOREVER, &out, sizeof(out), NULL), PROCPOOL_DEADLOCK);
  CHECK_STATUS(procpool_wait(&self->other, 1, PROCPOOL_ALL_COMPLETED, PROCPOOL_FOREVER, NULL), PROCPOOL_DEADLOCK);
  CHECK_STATUS(procpool_map(self->pool, task_twice, &in, sizeof(in), &out, sizeof(out), 1, NULL), PROCPOOL_DEADLOCK);
  CHECK_OK(procpool_as_completed(&self->other, 1, &iterator));
  CHECK_STATUS(procpool_next(iterator, PROCPOOL_FOREVER, &got), PROCPOOL_DEADLOCK);
  procpool_iterator_free(iterator);
  CHECK_STATUS(procpool_shutdown(self->pool, PROCPOOL_DRAIN, PROCPOOL_FOREVER), PROCPOOL_DEADLOCK);
  CHECK_STATUS(procpool_shutdown(self->pool, PROCPOOL_KILL, 5), PROCPOOL_DEADLOCK);
  CHECK_STATUS(procpool_free(self->pool), PROCPOOL_DEADLOCK);
  /* What is settled can be read. */
  CHECK_OK(procpool_future_wait(future, PROCPOOL_FOREVER));
  CHECK_OK(procpool_wait(&future, 1, PROCPOOL_ALL_COMPLETED, PROCPOOL_FOREVER, NULL));
}

TEST_STARTS(r055_waiting_in_a_callback_is_refused, CONCURRENT) {
  procpool *pool = test_open(start, 2);
  const test_job job = job_of(0);
  procpool_future *other = test_submit(pool, task_block, &job, sizeof(job));
  procpool_future *future = test_submit(pool, task_nothing, NULL, 0);
  refused self = {pool, other, 0};
  CHECK_OK(procpool_future_add_done_callback(future, wait_inside, &self));
  CHECK_SETTLES(future, PROCPOOL_OK);
  CHECK_EQ(self.calls, 1);
  gate_add(&page->gate, 1);
  CHECK_SETTLES(other, PROCPOOL_OK);
  CHECK_OK(procpool_future_release(other));
  CHECK_OK(procpool_future_release(future));
  CHECK_WORKS(pool); /* nothing was shut down */
  test_close(pool);
}

static void shutdown_inside(procpool_future *future, void *context) {
  (void)future;
  CHECK_STATUS(procpool_shutdown((procpool *)context, PROCPOOL_CANCEL, 0), PROCPOOL_PENDING);
}

TEST_STARTS(r055_shutdown_without_waiting_in_a_callback, CONCURRENT) {
  procpool *pool = test_open(start, 1);
  const test_job job = job_with(1, 1);
  procpool_future *blocker = block(pool), *running = test_submit(pool, task_gate, &job, sizeof(job));
  procpool_future *queued = test_submit(pool, task_nothing, NULL, 0);
  CHECK_OK(procpool_future_add_done_callback(blocker, shutdown_inside, pool));
  gate_add(&page->gate, 1);
  gate_wait(&page->started, 2); /* the second has begun */
  CHECK_SETTLES(blocker, PROCPOOL_OK);
  CHECK_STATUS(procpool_submit(pool, task_nothing, NULL, 0, NULL, NULL), PROCPOOL_SHUTDOWN);
  gate_add(&page->word[1], 1);
  CHECK_OK(procpool_shutdown(pool, PROCPOOL_CANCEL, PROCPOOL_FOREVER));
  CHECK_STATUS(procpool_future_status(running), PROCPOOL_OK);
  CHECK_STATUS(procpool_future_status(queued), PROCPOOL_CANCELLED);
  CHECK_OK(procpool_future_release(blocker));
  CHECK_OK(procpool_future_release(running));
  CHECK_OK(procpool_future_release(queued));
  CHECK_OK(procpool_free(pool));
}

static void add_another(procpool_future *future, void *context) {
  CHECK_OK(procpool_future_add_done_callback(future, note, context));
  CHECK_EQ(((record *)context)->calls, 1); /* settled: at once */
}

TEST_STARTS(r055_add_a_callback_in_a_callback, EVERY) {
  procpool *pool = test_open(start, 1);
  record seen = {0};
  procpool_future *future = test_submit(pool, task_nothing, NULL, 0);
  CHECK_OK(procpool_future_add_done_callback(future, add_another, &seen));
  CHECK_SETTLES(future, PROCPOOL_OK);
  CHECK_EQ(seen.calls, 1);
  CHECK_OK(procpool_future_release(future));
  test_close(pool);
}

static void poll_inside(procpool_future *future, void *context) {
  (void)future;
  CHECK_POLL(procpool_poll((procpool *)context, 0));
}

TEST_STARTS(r055_poll_in_a_callback, EVERY) {
  procpool *pool = test_open(start, 1);
  record seen = {0};
  procpool_future *first = test_submit(pool, task_nothing, NULL, 0), *second = test_submit(pool, task_nothing, NULL, 0);
  CHECK_OK(procpool_future_add_done_callback(first, poll_inside, pool));
  CHECK_OK(procpool_future_add_done_callback(second, note, &seen));
  CHECK_SETTLES(first, PROCPOOL_OK);
  CHECK_SETTLES(second, PROCPOOL_OK);
  CHECK_EQ(seen.calls, 1);
  CHECK_OK(procpool_future_release(first));
  CHECK_OK(procpool_future_release(second));
  test_close(pool);
}

/* ---- no lock is held ---- */

typedef struct outside {
  procpool *pool;
  procpool_future *future;
  int calls;
} outside;

static void *use_the_pool(void *context) {
  outside *self = (outside *)context;
  procpool_future *future = NULL;
  procpool_error error;
  (void)test_stats(self->pool);
  CHECK_OK(procpool_future_status(self->future));
  CHECK_OK(procpool_future_error(self->future, &error));
  CHECK_OK(procpool_submit(self->pool, task_nothing, NULL, 0, NULL, &future));
  CHECK_OK(procpool_future_wait(future, PROCPOOL_FOREVER)); /* this thread is not in a callback */
  CHECK_OK(procpool_future_release(future));
  return NULL;
}

static void join_another_thread(procpool_future *future, void *context) {
  outside *self = (outside *)context;
  self->calls++;
  self->future = future;
  test_join(test_thread(use_the_pool, self));
}

TEST_STARTS(r056_no_lock_is_held_while_it_runs, EVERY) {
  procpool *pool = test_open(start, 1);
  for (int i = 0; i < 20; i++) {
    outside self = {pool, NULL, 0};
    procpool_future *future = test_submit(pool, task_nothing, NULL, 0);
    CHECK_OK(procpool_future_add_done_callback(future, join_another_thread, &self));
    CHECK_SETTLES(future, PROCPOOL_OK);
    CHECK_EQ(self.calls, 1);
    CHECK_OK(procpool_future_release(future));
  }
  test_close(pool);
}

static void block_in_callback(procpool_future *future, void *context) {
  int *words = (int *)context;
  (void)future;
  gate_add(&words[0], 1);
  gate_wait(&words[1], 1);
}

static void *settle_in_a_thread(void *context) {
  CHECK_SETTLES((procpool_future *)context, PROCPOOL_OK);
  return NULL;
}

/* While a callback takes its time in one thread, others wait and get what they wait for. */
TEST_STARTS(r056_other_threads_go_on_during_a_callback, CONCURRENT) {
  procpool *pool = test_open(start, 2);
  int words[2] = {0, 0};
  procpool_future *slow = test_submit(pool, task_nothing, NULL, 0);
  pthread_t thread;
  CHECK_OK(procpool_future_add_done_callback(slow, block_in_callback, words));
  thread = test_thread(settle_in_a_thread, slow);
  gate_wait(&words[0], 1);
  for (int i = 0; i < 100; i++)
    CHECK_WORKS(pool);
  gate_add(&words[1], 1);
  test_join(thread);
  CHECK_OK(procpool_future_release(slow));
  test_close(pool);
}

static void count_call(procpool_future *future, void *context) {
  (void)future;
  gate_add((int *)context, 1);
}

typedef struct several {
  procpool *pool;
  int *calls;
} several;

static void *submit_with_callbacks(void *context) {
  several *self = (several *)context;
  for (int i = 0; i < test_rounds(300); i++) {
    procpool_future *future = test_submit(self->pool, task_twice, &i, sizeof(i));
    CHECK_OK(procpool_future_add_done_callback(future, count_call, self->calls));
    if (i % 3 == 0)
      CHECK_SETTLES(future, PROCPOOL_OK);
    CHECK_OK(procpool_future_release(future));
  }
  return NULL;
}

TEST_STARTS(r053_once_each_with_many_threads, EVERY) {
  enum { THREADS = 6 };
  procpool *pool = test_open(start, 2);
  pthread_t threads[THREADS];
  int calls = 0;
  several self = {pool, &calls};
  for (int i = 0; i < THREADS; i++)
    threads[i] = test_thread(submit_with_callbacks, &self);
  for (int i = 0; i < THREADS; i++)
    test_join(threads[i]);
  test_close(pool);
  CHECK_EQ(calls, THREADS * test_rounds(300));
}

/* ---- further kinds of end ---- */

static void task_impossible_result(procpool_task *task) {
  (void)procpool_task_result(task, TEST_IMPOSSIBLE);
}

TEST_STARTS(r053_once_for_codec, EVERY) {
  procpool *pool = test_open(start, 1);
  record seen = {0};
  procpool_future *future = test_submit(pool, task_impossible_result, NULL, 0);
  CHECK_OK(procpool_future_add_done_callback(future, note, &seen));
  CHECK_SETTLES(future, PROCPOOL_TRANSFER);
  CHECK_OK(procpool_future_release(future));
  test_close(pool);
  CHECK_EQ(seen.calls, 1);
  CHECK_STATUS(seen.status, PROCPOOL_TRANSFER);
}

static int initializer_fails_when_told(const void *argument, size_t size) {
  const test_job *job = (const test_job *)argument;
  CHECK_EQ(size, sizeof(*job));
  page_attach(job->host, job->descriptor);
  gate_wait(&page->gate, 1);
  return 5;
}

TEST_STARTS(r053_once_for_init_fail, CONCURRENT) {
  procpool_options options = {0};
  const test_job job = job_of(0);
  record seen = {0};
  procpool *pool;
  procpool_future *future;
  options.initializer = initializer_fails_when_told;
  options.initializer_argument = &job;
  options.initializer_size = sizeof(job);
  pool = test_open_with(start, 1, &options);
  future = test_submit(pool, task_nothing, NULL, 0);
  CHECK_OK(procpool_future_add_done_callback(future, note, &seen));
  gate_add(&page->gate, 1);
  CHECK_SETTLES(future, PROCPOOL_INIT_FAIL);
  CHECK_OK(procpool_future_release(future));
  CHECK_OK(procpool_shutdown(pool, PROCPOOL_DRAIN, PROCPOOL_FOREVER));
  CHECK_OK(procpool_free(pool));
  CHECK_EQ(seen.calls, 1);
  CHECK_STATUS(seen.status, PROCPOOL_INIT_FAIL);
}

static void cancel_and_release(procpool_future *future, void *context) {
  ++*(int *)context;
  CHECK_OK(procpool_future_cancel(future)); /* too late: its outcome */
  CHECK_OK(procpool_future_release(future));
}

/* A callback that gives the future back does not keep the others from running. */
TEST_STARTS(r053_all_run_though_the_first_releases_the_future, EVERY) {
  procpool *pool = test_open(start, 1);
  record seen = {0};
  int released = 0;
  procpool_future *future = test_submit(pool, task_nothing, NULL, 0);
  CHECK_OK(procpool_future_add_done_callback(future, cancel_and_release, &released));
  CHECK_OK(procpool_future_add_done_callback(future, note, &seen));
  CHECK_OK(procpool_future_add_done_callback(future, note, &seen));
  test_close(pool);
  CHECK_EQ(released, 1);
  CHECK_EQ(seen.calls, 2);
}

/* ---- shutdown and callbacks ---- */

static void block_and_note(procpool_future *future, void *context) {
  int *words = (int *)context;
  (void)future;
  gate_add(&words[0], 1);
  gate_wait(&words[1], 1);
  gate_add(&words[2], 1);
}

static void *poll_until_called(void *context) {
  outside *self = (outside *)context;
  while (gate_read(&self->calls) == 0) {
    CHECK_POLL(procpool_poll(self->pool, 0));
    sched_yield();
  }
  return NULL;
}

static void *open_later(void *context) {
  int *words = (int *)context;
  for (int i = 0; i < 2000; i++)
    sched_yield();
  gate_add(&words[1], 1);
  return NULL;
}

/* "Callbacks have run" when shutdown returns: that of another thread too, which has begun and not ended. */
TEST_STARTS(r053_shutdown_waits_for_a_callback_in_another_thread, CONCURRENT) {
  for (int round = 0; round < 20; round++) {
    procpool *pool = test_open(start, 1);
    outside self = {pool, NULL, 0};
    int words[3] = {0, 0, 0};
    procpool_future *future = test_submit(pool, task_nothing, NULL, 0);
    pthread_t caller, opener;
    CHECK_OK(procpool_future_add_done_callback(future, block_and_note, words));
    CHECK_OK(procpool_future_add_done_callback(future, count_call, &self.calls));
    caller = test_thread(poll_until_called, &self);
    gate_wait(&words[0], 1);
    opener = test_thread(open_later, words);
    CHECK_OK(procpool_shutdown(pool, PROCPOOL_DRAIN, PROCPOOL_FOREVER));
    CHECK_EQ(gate_read(&words[2]), 1);
    CHECK_EQ(gate_read(&self.calls), 1);
    test_join(opener);
    test_join(caller);
    CHECK_OK(procpool_future_release(future));
    CHECK_OK(procpool_free(pool));
  }
}

static void open_gate_one(procpool_future *future, void *context) {
  (void)future;
  (void)context;
  gate_add(&page->word[1], 1);
}

/* The task's end is told when it ends, not when the whole shutdown does: here the one waits for the other's callback. */
TEST_STARTS(r053_runs_during_a_drain_though_released, CONCURRENT) {
  procpool *pool = test_open(start, 2);
  const test_job waiting = job_with(0, 1), quick = job_with(1, 2);
  procpool_future *first = test_submit(pool, task_gate, &waiting, sizeof(waiting));
  procpool_future *second = test_submit(pool, task_gate, &quick, sizeof(quick));
  CHECK_OK(procpool_future_add_done_callback(second, open_gate_one, NULL));
  gate_wait(&page->started, 2);
  CHECK_OK(procpool_future_release(second));
  CHECK_STATUS(procpool_shutdown(pool, PROCPOOL_DRAIN, 0), PROCPOOL_PENDING);
  gate_add(&page->word[2], 1);
  CHECK_OK(procpool_shutdown(pool, PROCPOOL_DRAIN, PROCPOOL_FOREVER));
  CHECK_STATUS(procpool_future_status(first), PROCPOOL_OK);
  CHECK_OK(procpool_future_release(first));
  CHECK_OK(procpool_free(pool));
}
