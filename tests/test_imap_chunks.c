/* imap whose items are handed out together (procpool_imap_options.chunksize). */
#include "harness.h"

/* What an item of these tests is to do. */
enum { GIVE, FAIL, LONG_FAIL, DIE, EXIT, HANG, NOTHING, FAIL_AFTER_RESULT, THROW_AWAY, RETURN_ARGUMENT };

/* An item: its number says all that it is to come to. */
typedef struct item {
  test_job job; /* index: its number; number: the deed; size: of its result */
  int copy;     /* of the index */
  char more[9]; /* no multiple of 16 */
} item;

/* What makes the items. */
typedef struct plan {
  int next, end; /* end: -1, endless */
  int fail;      /* at which one the generator reports an error; -1: never */
  int pause_us;  /* before each item */
  int delivered, furthest;
  int (*deed)(int index);
  size_t (*size)(int index);
} plan;

static plan plan_of(int end, int (*deed)(int), size_t (*size)(int)) {
  plan self = {0, 0, -1, 0, 0, 0, NULL, NULL};
  self.end = end;
  self.deed = deed;
  self.size = size;
  return self;
}

static int produce(void *context, void *place) {
  plan *self = (plan *)context;
  item next;
  if (self->next == self->fail)
    return -1;
  if (self->next == self->end)
    return 0;
  if (self->pause_us > 0)
    usleep((useconds_t)self->pause_us);
  memset(&next, 0, sizeof(next));
  next.job = job_with(self->next, self->deed != NULL ? self->deed(self->next) : GIVE);
  next.job.size = self->size != NULL ? self->size(self->next) : sizeof(int);
  next.copy = self->next++;
  if (self->next - self->delivered > self->furthest)
    self->furthest = self->next - self->delivered;
  memcpy(place, &next, sizeof(next));
  return 1;
}

static void task_item(procpool_task *task) {
  size_t size;
  const item *self = (const item *)procpool_task_argument(task, &size);
  const test_job *job = &self->job;
  char text[512];
  void *result;
  if (size != sizeof(item) || self->copy != job->index || (uintptr_t)self % 16 != 0)
    procpool_task_fail(task, -1, "the argument is wrong");
  page_attach(job->host, job->descriptor);
  gate_add(&page->started, 1);
  switch (job->number) {
  case FAIL:
    (void)snprintf(text, sizeof(text), "failure %d", job->index);
    procpool_task_fail(task, job->index, text);
    return;
  case LONG_FAIL:
    memset(text, 'x', sizeof(text) - 1);
    text[sizeof(text) - 1] = 0;
    procpool_task_fail(task, job->index, text);
    return;
  case DIE:
    (void)raise(SIGKILL);
    return;
  case EXIT:
    exit(7);
  case HANG:
    for (;;)
      (void)pause();
  case NOTHING:
    return;
  case FAIL_AFTER_RESULT:
    procpool_task_fail(task, job->index, "besides");
    break;
  case THROW_AWAY: /* a large result, which a small one replaces, and the other way round */
    (void)procpool_task_result(task, 1 << 20);
    (void)procpool_task_result(task, 1);
    (void)procpool_task_result(task, 4000);
    break;
  case RETURN_ARGUMENT:
    procpool_task_return(task, self, sizeof(*self));
    return;
  default:
    break;
  }
  result = procpool_task_result(task, job->size);
  if (result == NULL)
    return;
  pattern_fill(result, job->size, (unsigned)job->index);
}

/* The future of item index is as it would be if that were a task of its own. */
static void check_item(procpool_future *future, const plan *from, int index) {
  const int deed = from->deed != NULL ? from->deed(index) : GIVE;
  const size_t expected = from->size != NULL ? from->size(index) : sizeof(int);
  const procpool_error error = test_error(future);
  const procpool_status status = procpool_future_status(future);
  size_t size = 99;
  const void *data = procpool_future_data(future, &size);
  char text[64];
  CHECK(procpool_future_done(future));
  CHECK_STATUS(error.status, status);
  CHECK_GE(error.worker, 0);
  CHECK_GT(error.pid, 0);
  (void)snprintf(text, sizeof(text), "failure %d", index);
  switch (deed) {
  case FAIL:
  case LONG_FAIL:
  case FAIL_AFTER_RESULT:
    CHECK_STATUS(status, PROCPOOL_FAILED);
    CHECK_EQ(error.code, index);
    if (deed == FAIL)
      CHECK_TEXT(error.message, text);
    if (deed == LONG_FAIL)
      CHECK_EQ(strlen(error.message), 191);
    CHECK(data == NULL);
    break;
  case DIE:
    CHECK_STATUS(status, PROCPOOL_CRASHED);
    CHECK_EQ(error.signal, SIGKILL);
    break;
  case EXIT:
    CHECK_STATUS(status, PROCPOOL_CRASHED);
    CHECK_EQ(error.exit_status, 7);
    break;
  case HANG:
    CHECK_STATUS(status, PROCPOOL_TIMEOUT);
    break;
  case NOTHING:
    CHECK_OK(status);
    CHECK(data == NULL && size == 0);
    break;
  case RETURN_ARGUMENT:
    CHECK_OK(status);
    CHECK_EQ(size, sizeof(item));
    CHECK_EQ(((const item *)data)->copy, index);
    break;
  default:
    CHECK_OK(status);
    CHECK(data != NULL && (uintptr_t)data % 16 == 0);
    CHECK_EQ(size, expected);
    CHECK(pattern_holds(data, size, (unsigned)index));
  }
}

/* Which item that is, for iterators that are not in order: tried one by one. */
static bool is_item(procpool_future *future, const plan *from, int index) {
  const procpool_error error = test_error(future);
  size_t size;
  const void *data = procpool_future_data(future, &size);
  if (error.status == PROCPOOL_FAILED)
    return error.code == index;
  if (data == NULL)
    return false;
  return from->deed != NULL && from->deed(index) == RETURN_ARGUMENT
             ? size == sizeof(item) && ((const item *)data)->copy == index
             : size == (from->size != NULL ? from->size(index) : sizeof(int)) &&
                   pattern_holds(data, size, (unsigned)index);
}

static procpool_iterator *begin(procpool *pool, plan *from, const procpool_imap_options *options) {
  procpool_iterator *iterator = NULL;
  CHECK_OK(procpool_imap(pool, task_item, produce, from, sizeof(item), options, &iterator));
  return iterator;
}

/* Goes through the whole plan in order, and checks each item. */
static void in_order(procpool *pool, plan from, const procpool_imap_options *options, procpool_status end) {
  procpool_iterator *iterator = begin(pool, &from, options);
  procpool_future *future = NULL;
  const int count = from.fail >= 0 ? from.fail : from.end;
  const int started = gate_read(&page->started);
  for (int i = 0; i < count; i++) {
    CHECK_OK(procpool_next(iterator, PROCPOOL_FOREVER, &future));
    check_item(future, &from, i);
    from.delivered++;
    CHECK_LE(procpool_iterator_remaining(iterator), options->buffersize > 0 ? options->buffersize : 100000);
  }
  CHECK_STATUS(procpool_next(iterator, PROCPOOL_FOREVER, &future), end);
  CHECK_STATUS(procpool_next(iterator, PROCPOOL_FOREVER, &future), PROCPOOL_END);
  CHECK_EQ(procpool_iterator_remaining(iterator), 0);
  CHECK_EQ(gate_read(&page->started) - started, count); /* each body began once */
  if (options->buffersize > 0)
    CHECK_LE(from.furthest, (int)options->buffersize);
  procpool_iterator_free(iterator);
}

/* The same in any order; no deeds that leave no trace. */
static void unordered(procpool *pool, plan from, const procpool_imap_options *options) {
  procpool_imap_options o = *options;
  procpool_iterator *iterator;
  procpool_future *future = NULL;
  bool seen[1000] = {false};
  o.unordered = true;
  iterator = begin(pool, &from, &o);
  for (int i = 0; i < from.end; i++) {
    int found = -1;
    CHECK_OK(procpool_next(iterator, PROCPOOL_FOREVER, &future));
    for (int k = 0; k < from.end && found < 0; k++)
      found = !seen[k] && is_item(future, &from, k) ? k : -1;
    CHECK_GE(found, 0);
    check_item(future, &from, found);
    seen[found] = true;
  }
  CHECK_STATUS(procpool_next(iterator, PROCPOOL_FOREVER, &future), PROCPOOL_END);
  procpool_iterator_free(iterator);
}

static void all_ways(procpool *pool, plan from) {
  static const size_t sizes[] = {1, 2, 7, 64, 1000}, windows[] = {0, 1, 5, 64, 300};
  procpool_imap_options options = {0};
  for (size_t s = 0; s < 5; s++)
    for (size_t w = 0; w < 5; w++) {
      options.chunksize = sizes[s];
      options.buffersize = windows[w];
      in_order(pool, from, &options, PROCPOOL_END);
      if (w % 2 == 0)
        unordered(pool, from, &options);
    }
}

TEST_STARTS(imap_chunks_of_any_size, EVERY) {
  procpool *pool = test_open(start, 2);
  all_ways(pool, plan_of(200, NULL, NULL));
  all_ways(pool, plan_of(1, NULL, NULL));
  all_ways(pool, plan_of(0, NULL, NULL));
  CHECK_EQ(test_stats(pool).queued, 0);
  test_close(pool);
}

static int deed_of_failures(int index) {
  return index % 10 == 3 ? FAIL : index % 10 == 4 ? LONG_FAIL : index % 10 == 9 ? FAIL_AFTER_RESULT : GIVE;
}
static int deed_failed(int index) {
  (void)index;
  return LONG_FAIL;
}

TEST_STARTS(imap_chunks_with_failures, EVERY) {
  procpool *pool = test_open(start, 2);
  all_ways(pool, plan_of(120, deed_of_failures, NULL));
  all_ways(pool, plan_of(70, deed_failed, NULL));
  test_close(pool);
}

static int deed_of_results(int index) {
  return index % 5 == 1 ? NOTHING : index % 5 == 2 ? THROW_AWAY : index % 5 == 4 ? RETURN_ARGUMENT : GIVE;
}
static size_t size_mixed(int index) {
  return index % 7 == 0 ? 0 : index % 7 == 3 ? 5000 : index % 7 == 5 ? 17 : (size_t)index;
}
static size_t size_large(int index) {
  return index % 20 == 7 ? 1 << 20 : index % 20 == 12 ? 100000 : 8;
}
static size_t size_all_large(int index) {
  return 40000 + (size_t)index;
}

TEST_STARTS(imap_chunks_of_results_of_any_size, EVERY) {
  procpool *pool = test_open(start, 2);
  procpool_imap_options options = {0};
  static const size_t sizes[] = {2, 7, 64};
  for (int i = 0; i < 3; i++) {
    options.chunksize = sizes[i];
    in_order(pool, plan_of(150, deed_of_results, size_mixed), &options, PROCPOOL_END);
    in_order(pool, plan_of(100, NULL, size_large), &options, PROCPOOL_END);
    in_order(pool, plan_of(100, NULL, size_all_large), &options, PROCPOOL_END);
    unordered(pool, plan_of(60, NULL, size_large), &options);
  }
  test_close(pool);
}

static size_t size_of_some_hundred(int index) {
  return 300 + (size_t)index % 50;
}

/* Once it is known how large results are, they have room: one of many items does not break off each time. */
TEST_STARTS(imap_chunks_learn_how_large_results_are, FORK | INLINE) {
  procpool *pool = test_open(start, 1);
  procpool_imap_options options = {0};
  const int slow = test_slow();
  uint64_t submitted;
  options.chunksize = 20;
  in_order(pool, plan_of(2000, NULL, size_of_some_hundred), &options, PROCPOOL_END);
  submitted = test_stats(pool).submitted;
  CHECK_GE(submitted, 100);
  CHECK_LE(submitted, 100 + 300 * (uint64_t)slow); /* a clock tick hands out what there is */
  test_close(pool);
}

static int deed_of_deaths(int index) {
  return index % 25 == 3 ? DIE : index % 25 == 15 ? EXIT : GIVE;
}
static int deed_first_dies(int index) {
  return index == 0 || index == 39 ? DIE : GIVE;
}

TEST_STARTS(imap_chunks_with_crashes, PROCESSES) {
  procpool *pool = test_open(start, 2);
  procpool_imap_options options = {0};
  static const size_t sizes[] = {2, 7, 64};
  for (int i = 0; i < 3; i++) {
    options.chunksize = sizes[i];
    in_order(pool, plan_of(60, deed_of_deaths, NULL), &options, PROCPOOL_END);
    in_order(pool, plan_of(40, deed_first_dies, size_mixed), &options, PROCPOOL_END);
  }
  CHECK_WORKS(pool);
  test_close(pool);
}

/* The neighbours of an item that crashes have results, be they delivered in whatever order. */
TEST_STARTS(imap_chunks_with_crashes_unordered, PROCESSES) {
  procpool *pool = test_open(start, 2);
  procpool_imap_options options = {0};
  procpool_iterator *iterator;
  procpool_future *future = NULL;
  plan from = plan_of(100, deed_of_deaths, NULL);
  int good = 0, crashed = 0;
  options.chunksize = 30;
  options.unordered = true;
  iterator = begin(pool, &from, &options);
  while (procpool_next(iterator, PROCPOOL_FOREVER, &future) == PROCPOOL_OK) {
    good += procpool_future_status(future) == PROCPOOL_OK;
    crashed += procpool_future_status(future) == PROCPOOL_CRASHED;
  }
  CHECK_EQ(good, 92);
  CHECK_EQ(crashed, 8);
  CHECK_EQ(page->started, 100);
  procpool_iterator_free(iterator);
  test_close(pool);
}

static int deed_hangs(int index) {
  return index == 11 || index == 12 ? HANG : index % 5 == 0 ? FAIL : GIVE;
}

TEST_STARTS(imap_chunks_with_a_time_limit, PROCESSES) {
  procpool *pool = test_open(start, 2);
  procpool_imap_options options = {0};
  options.chunksize = 7;
  options.time_limit = 0.1 * test_slow();
  options.grace = 0.05;
  in_order(pool, plan_of(30, deed_hangs, NULL), &options, PROCPOOL_END);
  test_close(pool);
}

TEST_STARTS(imap_chunks_in_a_strict_pool, PROCESSES) {
  procpool_options strict = {0};
  procpool_imap_options options = {0};
  procpool_iterator *iterator;
  procpool_future *future = NULL;
  procpool_status status;
  plan from = plan_of(100, deed_first_dies, NULL);
  procpool *pool;
  int crashed = 0, broken = 0;
  strict.strict = true;
  pool = test_open_with(start, 1, &strict);
  options.chunksize = 10;
  options.buffersize = 40;
  iterator = begin(pool, &from, &options);
  for (int i = 0; (status = procpool_next(iterator, PROCPOOL_FOREVER, &future)) == PROCPOOL_OK; i++) {
    CHECK(i > 0 || procpool_future_status(future) == PROCPOOL_CRASHED ||
          procpool_future_status(future) == PROCPOOL_BROKEN);
    crashed += procpool_future_status(future) == PROCPOOL_CRASHED;
    broken += procpool_future_status(future) == PROCPOOL_BROKEN;
  }
  CHECK(status == PROCPOOL_BROKEN);
  CHECK_GE(crashed + broken, 1);
  CHECK_LE(crashed + broken, 40); /* fewer where the first came before all were taken */
  CHECK_LE(crashed, 1);
  procpool_iterator_free(iterator);
  CHECK_OK(procpool_free(pool));
}

TEST_STARTS(imap_chunks_after_a_generator_error, EVERY) {
  procpool *pool = test_open(start, 2);
  procpool_imap_options options = {0};
  static const int places[] = {0, 1, 6, 7, 8, 33};
  for (int i = 0; i < 6; i++) {
    plan from = plan_of(-1, NULL, NULL);
    from.fail = places[i];
    options.chunksize = 7;
    in_order(pool, from, &options, PROCPOOL_GENERATOR);
    options.buffersize = 3;
    in_order(pool, from, &options, PROCPOOL_GENERATOR);
    options.buffersize = 0;
  }
  test_close(pool);
}

/* What is ready is delivered, and what was pulled is handed out, while a slow generator goes on and on. */
TEST_STARTS(imap_chunks_of_a_slow_generator, CONCURRENT) {
  procpool *pool = test_open(start, 2);
  for (size_t chunksize = 0; chunksize <= 64; chunksize += 64) {
    procpool_imap_options options = {0};
    procpool_iterator *iterator;
    procpool_future *future = NULL;
    plan from = plan_of(-1, NULL, NULL);
    from.pause_us = 20000;
    options.chunksize = chunksize;
    options.buffersize = 100000;
    iterator = begin(pool, &from, &options);
    for (int i = 0; i < 20; i++) {
      CHECK_OK(procpool_next(iterator, PROCPOOL_FOREVER, &future));
      check_item(future, &from, i);
    }
    CHECK_LE(from.next, 200); /* each takes 20 ms to come */
    procpool_iterator_free(iterator);
  }
  test_close(pool);
}

TEST_STARTS(imap_chunks_freed_early, EVERY) {
  procpool *pool = test_open(start, 2);
  for (int i = 0; i < 100; i++) {
    procpool_imap_options options = {0};
    procpool_iterator *iterator;
    procpool_future *future = NULL;
    plan from = plan_of(-1, i % 4 == 3 ? deed_of_failures : NULL, i % 4 == 2 ? size_large : NULL);
    options.chunksize = 16;
    options.unordered = i % 2 == 1;
    iterator = begin(pool, &from, &options);
    for (int k = 0; k < i; k++) {
      CHECK_OK(procpool_next(iterator, PROCPOOL_FOREVER, &future));
      if (i % 2 == 0)
        check_item(future, &from, k);
      if (k % 3 == 0)
        CHECK_OK(procpool_future_release(future)); /* it is the iterator's: harmless */
    }
    procpool_iterator_free(iterator);
  }
  CHECK_WORKS(pool);
  test_close(pool);
}

static void task_at_gate(procpool_task *task) {
  const test_job *job = &((const item *)procpool_task_argument(task, NULL))->job;
  page_attach(job->host, job->descriptor);
  gate_add(&page->started, 1);
  gate_wait(&page->gate, 1);
  procpool_task_return(task, &job->index, sizeof(job->index));
}

/* A bundle that runs begins no further item when its iterator is freed, and those behind it begin none at all. */
TEST_STARTS(imap_chunks_freed_while_they_run, CONCURRENT) {
  procpool *pool = test_open(start, 1);
  procpool_imap_options options = {0};
  procpool_iterator *iterator = NULL;
  procpool_future *future = NULL;
  plan from = plan_of(-1, NULL, NULL);
  options.chunksize = 10;
  CHECK_OK(procpool_imap(pool, task_at_gate, produce, &from, sizeof(item), &options, &iterator));
  CHECK_STATUS(procpool_next(iterator, 0, &future), PROCPOOL_PENDING);
  gate_wait(&page->started, 1);
  procpool_iterator_free(iterator);
  gate_add(&page->gate, 1);
  CHECK_WORKS(pool);
  CHECK_EQ(page->started, 1);
  test_close(pool);
}

/* At the end of the inputs what is left is handed out at once, be there fewer than chunksize. */
TEST_STARTS(imap_chunks_at_the_end_begin_beside_others, CONCURRENT) {
  procpool *pool = test_open(start, 2);
  procpool_imap_options options = {0};
  procpool_iterator *iterator = NULL;
  procpool_future *future = NULL;
  plan from = plan_of(4, NULL, NULL);
  int count = 0;
  options.chunksize = 3;
  CHECK_OK(procpool_imap(pool, task_at_gate, produce, &from, sizeof(item), &options, &iterator));
  CHECK_STATUS(procpool_next(iterator, 0, &future), PROCPOOL_PENDING);
  gate_wait(&page->started, 2); /* items 0 and 3 */
  CHECK_EQ(procpool_iterator_remaining(iterator), 4);
  gate_add(&page->gate, 1);
  while (procpool_next(iterator, PROCPOOL_FOREVER, &future) == PROCPOOL_OK)
    count++;
  CHECK_EQ(count, 4);
  procpool_iterator_free(iterator);
  test_close(pool);
}

/* Delivers what there is until the end: OK or SHUTDOWN items. Returns how many. */
static int deliver_rest(procpool_iterator *iterator, procpool_status *end, int *good) {
  procpool_future *future = NULL;
  int count = 0;
  *good = 0;
  while ((*end = procpool_next(iterator, PROCPOOL_FOREVER, &future)) == PROCPOOL_OK) {
    const procpool_status status = procpool_future_status(future);
    CHECK(status == PROCPOOL_OK || status == PROCPOOL_SHUTDOWN || status == PROCPOOL_CANCELLED);
    if (status == PROCPOOL_OK)
      CHECK(procpool_future_data(future, NULL) != NULL);
    *good += status == PROCPOOL_OK;
    count++;
  }
  return count;
}

TEST_STARTS(imap_chunks_and_a_shutdown, EVERY) {
  for (int mode = 0; mode < 3; mode++)
    for (int before = 1; before < 60; before += 13) {
      procpool *pool = test_open(start, 2);
      procpool_imap_options options = {0};
      procpool_iterator *iterator;
      procpool_future *future = NULL;
      procpool_status end;
      plan from = plan_of(-1, NULL, NULL);
      int good, rest;
      options.chunksize = 8;
      options.buffersize = 50;
      iterator = begin(pool, &from, &options);
      for (int i = 0; i < before; i++)
        CHECK_OK(procpool_next(iterator, PROCPOOL_FOREVER, &future));
      CHECK_OK(procpool_shutdown(pool, (procpool_shutdown_mode)mode, PROCPOOL_FOREVER));
      rest = deliver_rest(iterator, &end, &good);
      CHECK_STATUS(end, PROCPOOL_SHUTDOWN);
      CHECK_LE(rest, 50);
      if (mode == PROCPOOL_DRAIN)
        CHECK_EQ(good, rest);
      procpool_iterator_free(iterator);
      CHECK_OK(procpool_free(pool));
    }
}

TEST_STARTS(imap_chunks_whose_pool_is_freed, EVERY) {
  for (int unordered_too = 0; unordered_too < 2; unordered_too++)
    for (int before = 0; before < 40; before += 9) {
      procpool *pool = test_open(start, 2);
      procpool_imap_options options = {0};
      procpool_iterator *iterator;
      procpool_future *future = NULL;
      procpool_status end;
      plan from = plan_of(-1, NULL, NULL);
      int good;
      options.chunksize = 8;
      options.unordered = unordered_too == 1;
      iterator = begin(pool, &from, &options);
      for (int i = 0; i < before; i++)
        CHECK_OK(procpool_next(iterator, PROCPOOL_FOREVER, &future));
      CHECK_OK(procpool_free(pool));
      if (before > 0)
        CHECK_OK(procpool_future_status(future)); /* it is still held */
      CHECK_LE(deliver_rest(iterator, &end, &good), 64);
      CHECK_STATUS(end, PROCPOOL_SHUTDOWN);
      procpool_iterator_free(iterator);
    }
}

/* More bundles than the queue takes, and more bytes than there is memory for all of them. */
TEST_STARTS(imap_chunks_without_room, EVERY) {
  procpool_options few = {0};
  procpool_imap_options options = {0};
  procpool *pool;
  few.max_queued = 2;
  few.max_memory = 1 << 20;
  pool = test_open_with(start, 2, &few);
  options.chunksize = 100;
  options.buffersize = 5000;
  in_order(pool, plan_of(6000, NULL, NULL), &options, PROCPOOL_END);
  options.buffersize = 300;
  unordered(pool, plan_of(900, NULL, NULL), &options);
  test_close(pool);
}

/* A bundle that was delivered in part holds memory: a submit in the same thread does not wait for that. */
TEST_STARTS(imap_chunks_hold_memory_that_none_waits_for, EVERY) {
  procpool_options few = {0};
  procpool_imap_options options = {0};
  procpool_iterator *iterator;
  procpool_future *future = NULL;
  plan from = plan_of(-1, NULL, NULL);
  static char large[700000];
  procpool_status status;
  procpool *pool;
  few.max_memory = 1 << 20;
  pool = test_open_with(start, 1, &few);
  options.chunksize = 50;
  options.buffersize = 50;
  iterator = begin(pool, &from, &options);
  CHECK_OK(procpool_next(iterator, PROCPOOL_FOREVER, &future));
  status = procpool_submit(pool, task_sum, large, sizeof(large), NULL, &future);
  CHECK(status == PROCPOOL_OK || status == PROCPOOL_MEMORY);
  if (status == PROCPOOL_OK)
    CHECK_OK(procpool_future_release(future));
  procpool_iterator_free(iterator);
  test_close(pool);
}

TEST_STARTS(imap_chunks_refuse_what_is_too_large, EVERY) {
  procpool *pool = test_open(start, 1);
  procpool_imap_options options = {0};
  procpool_iterator *iterator = NULL;
  plan from = plan_of(1, NULL, NULL);
  options.chunksize = SIZE_MAX;
  CHECK_STATUS(procpool_imap(pool, task_item, produce, &from, sizeof(item), &options, &iterator), PROCPOOL_ARGUMENT);
  CHECK(iterator == NULL);
  test_close(pool);
}

/* ---- by type ---- */

PROCPOOL_FUNCTION(double, half, int, x) {
  return x / 2.0;
}
PROCPOOL_TASK_FUNCTION(int, choosy, int, x) {
  if (x % 3 == 1)
    procpool_task_fail(task, x, "one of three");
  return x;
}

static int count_up(void *context, void *place) {
  int *next = (int *)context;
  if (*next == 500)
    return 0;
  memcpy(place, next, sizeof(*next));
  (*next)++;
  return 1;
}

/* A loop over all items: those that fail do not end it, and what does is told. */
TEST_STARTS(imap_each_goes_on_behind_failures, EVERY) {
  for (size_t chunksize = 1; chunksize <= 64; chunksize *= 8) {
    procpool *pool = test_open(start, 2);
    procpool_imap_options options = {0};
    procpool_iterator *iterator = NULL;
    procpool_status status = PROCPOOL_OK;
    int next = 0, y = 0, seen = 0, failed = 0;
    options.chunksize = chunksize;
    CHECK_OK(choosy_imap(pool, count_up, &next, &options, &iterator));
    while (choosy_each(iterator, &y, &status)) {
      CHECK_EQ(procpool_iterator_index(iterator), (size_t)seen);
      if (status == PROCPOOL_OK) {
        CHECK_EQ(y, seen);
      } else {
        CHECK_STATUS(status, PROCPOOL_FAILED);
        CHECK_TEXT(procpool_last_message(), "one of three");
        failed++;
      }
      seen++;
    }
    CHECK_STATUS(status, PROCPOOL_END);
    CHECK_EQ(seen, 500);
    CHECK_EQ(failed, 167);
    CHECK(!choosy_each(iterator, &y, &status) && status == PROCPOOL_END);
    procpool_iterator_free(iterator);
    test_close(pool);
  }
}

/* What ends it is no item's outcome, though a task may have the same status. */
TEST_STARTS(imap_each_says_why_it_ends, EVERY) {
  procpool *pool = test_open(start, 1);
  procpool_iterator *iterator = NULL;
  procpool_status status = PROCPOOL_OK;
  int next = 0, y = 0, seen = 0;
  CHECK(!choosy_each(NULL, &y, &status) && status == PROCPOOL_HANDLE);
  CHECK_OK(choosy_imap(pool, count_up, &next, NULL, &iterator));
  CHECK(!choosy_each(iterator, &y, NULL));
  CHECK_STATUS(procpool_last_error(NULL), PROCPOOL_ARGUMENT);
  CHECK(!choosy_each(iterator, NULL, &status) && status == PROCPOOL_ARGUMENT);
  procpool_interrupt(pool);
  while (choosy_each(iterator, &y, &status))
    if (++seen == 10)
      (void)procpool_shutdown(pool, PROCPOOL_DRAIN, 0);
  if (status == PROCPOOL_INTERRUPTED)
    while (choosy_each(iterator, &y, &status))
      if (++seen == 10)
        (void)procpool_shutdown(pool, PROCPOOL_DRAIN, 0);
  CHECK_STATUS(status, PROCPOOL_SHUTDOWN);
  CHECK_STATUS(procpool_last_error(NULL), PROCPOOL_SHUTDOWN);
  CHECK_GE(seen, 10);
  CHECK(!choosy_each(iterator, &y, &status) && status == PROCPOOL_END);
  procpool_iterator_free(iterator);
  CHECK_OK(procpool_free(pool));
}

TEST_STARTS(imap_chunks_by_type, EVERY) {
  procpool *pool = test_open(start, 2);
  procpool_imap_options options = {0};
  procpool_iterator *iterator = NULL;
  double y = 0;
  int next = 0, z = 0;
  options.chunksize = 64;
  CHECK_OK(half_imap(pool, count_up, &next, &options, &iterator));
  for (int i = 0; i < 500; i++) {
    CHECK_OK(half_next(iterator, &y));
    CHECK(y == i / 2.0);
  }
  CHECK_STATUS(half_next(iterator, &y), PROCPOOL_END);
  procpool_iterator_free(iterator);
  next = 0;
  CHECK_OK(choosy_imap(pool, count_up, &next, &options, &iterator));
  for (int i = 0; i < 500; i++)
    CHECK_STATUS(choosy_next(iterator, &z), i % 3 == 1 ? PROCPOOL_FAILED : PROCPOOL_OK);
  CHECK_STATUS(choosy_next(iterator, &z), PROCPOOL_END);
  procpool_iterator_free(iterator);
  test_close(pool);
}

/* ---- within a callback that a call on the iterator runs ---- */

typedef struct taker {
  procpool_iterator *iterator;
  int taken;
} taker;

static void take_some(procpool_future *settled, void *context) {
  taker *self = (taker *)context;
  procpool_future *future = NULL;
  (void)settled;
  for (int i = 0; i < 5; i++)
    self->taken += procpool_next(self->iterator, 0, &future) == PROCPOOL_OK;
}

TEST_STARTS(imap_chunks_in_a_callback_of_their_own_call, CONCURRENT) {
  procpool *pool = test_open(start, 2);
  for (int round = 0; round < 20; round++) {
    procpool_future *gated = test_submit(pool, task_nothing, NULL, 0), *future = NULL;
    procpool_imap_options options = {0};
    plan from = plan_of(100, NULL, NULL);
    taker self = {NULL, 0};
    int count = 0;
    options.chunksize = 3;
    options.buffersize = 12;
    options.unordered = round % 2 == 1;
    self.iterator = begin(pool, &from, &options);
    CHECK_OK(procpool_future_add_done_callback(gated, take_some, &self));
    while (procpool_next(self.iterator, PROCPOOL_FOREVER, &future) == PROCPOOL_OK)
      count++;
    CHECK_SETTLES(gated, PROCPOOL_OK);
    CHECK_EQ(count + self.taken, 100);
    procpool_iterator_free(self.iterator);
    CHECK_OK(procpool_future_release(gated));
  }
  test_close(pool);
}
