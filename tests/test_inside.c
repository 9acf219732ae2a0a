/* What is to be seen from within alone: so the implementation is included, and all calls are this copy's. */
#include <stdlib.h>
static int failing; /* then there is no memory for results of about 2000 bytes */
static void *some_memory(size_t size) {
  return __atomic_load_n(&failing, __ATOMIC_RELAXED) != 0 && size >= 2000 && size <= 2200 ? NULL : malloc(size);
}
#define PROCPOOL_MALLOC(size) some_memory(size)
#define PROCPOOL_REALLOC(p, size) realloc(p, size)
#define PROCPOOL_FREE(p) free(p)
#define PROCPOOL_STATIC
#define PROCPOOL_IMPLEMENTATION
#include "harness.h"

#include <sys/resource.h>

static void result_of(procpool_task *task, size_t size) {
  unsigned char *result = (unsigned char *)procpool_task_result(task, size);
  if (result != NULL)
    memset(result, 1, size);
}
static void small_result(procpool_task *task) {
  result_of(task, 2000);
}
static void large_result(procpool_task *task) {
  result_of(task, (size_t)16 << 20);
}

/* (In a thread the task itself would find no memory.) The end of a scope gives up what there is no memory for, and not what comes from another worker meanwhile. */
TEST_STARTS(r022_scope_gives_up_what_finds_no_memory_and_nothing_else, FORK) {
  enum { COUNT = 50 };
  procpool_options options = {0};
  procpool_future *large = NULL, *small[COUNT] = {NULL};
  procpool_error error;
  options.start = start;
  options.max_workers = 2;
  options.ring_size = 4096;
  PROCPOOL_WITH(pool, &options) {
    CHECK_OK(procpool_submit(pool, large_result, NULL, 0, NULL, &large));
    usleep(50000);
    __atomic_store_n(&failing, 1, __ATOMIC_RELAXED);
    for (int i = 0; i < COUNT; i++)
      CHECK_OK(procpool_submit(pool, small_result, NULL, 0, NULL, &small[i]));
  }
  __atomic_store_n(&failing, 0, __ATOMIC_RELAXED);
  CHECK_OK(procpool_future_status(large));
  CHECK_OK(procpool_future_release(large));
  for (int i = 0; i < COUNT; i++) {
    CHECK_OK(procpool_future_error(small[i], &error));
    CHECK_STATUS(error.status, PROCPOOL_TRANSFER);
    CHECK_EQ(error.system_error, ENOMEM);
    CHECK_TEXT(error.message, "the host has no memory for the result");
    CHECK_OK(procpool_future_release(small[i]));
  }
}

/* ---- a descriptor that is lost on its way ---- */

/* The last number goes to another thread just before: that is an error, and no message without a descriptor. */
TEST(r022_a_descriptor_for_which_there_is_no_number) {
  enum { MOST = 64 };
  struct rlimit before, limit;
  int channel[2], fd = -1, sent = 42, got = 0, taken[MOST], count = 0;
  CHECK(procpool__platform_channel(channel));
  CHECK(procpool__platform_send(channel[0], &sent, sizeof(sent), STDIN_FILENO, true));
  CHECK(procpool__platform_send(channel[0], &sent, sizeof(sent), STDIN_FILENO, true));
  CHECK_EQ(getrlimit(RLIMIT_NOFILE, &before), 0);
  limit = before;
  limit.rlim_cur = MOST;
  CHECK_EQ(setrlimit(RLIMIT_NOFILE, &limit), 0);
  while ((fd = dup(STDIN_FILENO)) >= 0)
    taken[count++] = fd;
  CHECK_GT(count, 0);
  CHECK_EQ(procpool__platform_receive(channel[1], &got, sizeof(got), &fd, false), -1);
  CHECK_EQ(errno, EMFILE);
  CHECK_EQ(fd, -1);
  CHECK_EQ(close(taken[--count]), 0);
  CHECK_EQ(procpool__platform_receive(channel[1], &got, sizeof(got), &fd, false), 1);
  CHECK_EQ(got, sent);
  CHECK_EQ(fd, taken[count++]);
  while (count > 0)
    CHECK_EQ(close(taken[--count]), 0);
  CHECK_EQ(close(channel[0]) + close(channel[1]), 0);
  CHECK_EQ(setrlimit(RLIMIT_NOFILE, &before), 0);
}

static procpool *open_one(procpool_start start) {
  procpool_options options = {0};
  procpool *pool;
  options.start = start;
  options.max_workers = 1;
  pool = procpool_open(&options);
  CHECK(pool != NULL);
  return pool;
}

/* ---- a pool that ends in the midst of a call ---- */

/* There are no pages for one more task, since the pool has ended: it is that which is told. */
TEST(r038_no_place_in_a_pool_that_has_ended) {
  procpool *pool = open_one(PROCPOOL_START_FORK);
  CHECK_OK(procpool_shutdown(pool, PROCPOOL_DRAIN, PROCPOOL_FOREVER));
  procpool__host_lock(pool);
  CHECK_STATUS(procpool__submit_place(pool), PROCPOOL_SHUTDOWN);
  procpool__host_unlock(pool);
  CHECK_OK(procpool_free(pool));
}

/* ---- a phase that is put right ---- */

static void nothing(procpool_task *task) {
  (void)task;
}

/* The supervisor could not be told that the pool drains (its channel was full), and has put the old phase back, with
 * which a worker sleeps: the audit tells both. */
TEST_STARTS(r024_a_worker_that_sleeps_hears_of_a_phase_that_is_put_right, FORK) {
  procpool *pool = open_one(start);
  CHECK_OK(procpool_submit(pool, nothing, NULL, 0, NULL, NULL));
  procpool__host_lock(pool);
  while (pool->tasks.submitted != pool->tasks.settled)
    (void)procpool__host_drain(pool);
  while (procpool__load(procpool__shm_idle(&pool->segment, 0)) == 0)
    usleep(1000);
  pool->life.phase = PROCPOOL__PHASE_DRAIN;
  pool->life.refusal = PROCPOOL_SHUTDOWN;
  procpool__host_audit(pool);
  procpool__host_unlock(pool);
  while (procpool__load(&pool->segment.header->alive) > 0)
    usleep(1000);
  CHECK_OK(procpool_shutdown(pool, PROCPOOL_DRAIN, PROCPOOL_FOREVER));
  CHECK_OK(procpool_free(pool));
}

/* ---- records of finalizers that there were not ---- */

/* Writes a record as a finalizer's into its worker's ring, if there is room. */
static void forge_finalizer(procpool_task *task, procpool__state state, uint64_t size, uint32_t flags) {
  procpool__worker *w = task->worker;
  const procpool__record head = {w->tail, procpool__word(PROCPOOL__TICKET_FINALIZER, w->index, state), size, flags,
                                 (uint32_t)w->pid};
  const uint64_t total = 100000;
  if (!procpool__worker_fits(w, procpool__ring_length(w->segment, w->tail, size, 0)))
    return;
  procpool__ring_copy_in(w->segment, NULL, w->index, w->tail + sizeof(head), &total, size < sizeof(total) ? size : 8);
  procpool__ring_stamp(w->segment, w->index, w->tail, &head);
  procpool__worker_publish(w, &head, false);
}

static void forge(procpool_task *task) {
  static const struct {
    procpool__state state;
    uint64_t size;
    uint32_t flags;
  } records[] = {{PROCPOOL__DONE_OK, 4, 1},
                 {PROCPOOL__DONE_OK, 8, PROCPOOL__RECORD_PLACE},
                 {PROCPOOL__RUNNING, 8, 0},
                 {PROCPOOL__READY, 8, 0},
                 {PROCPOOL__DONE_TIMEOUT, 0, 0},
                 {PROCPOOL__DEAD_CRASHED, 8, 0},
                 {PROCPOOL__DEAD_BROKEN, 40, 0},
                 {PROCPOOL__DEAD_CRASHED, 40, PROCPOOL__RECORD_FRAGMENT},
                 {PROCPOOL__DONE_OK, 64, PROCPOOL__RECORD_FRAGMENT}, /* the last piece of many */
                 {PROCPOOL__RUNNING, 4, PROCPOOL__RECORD_FRAGMENT}};
  const int which = *(const int *)procpool_task_argument(task, NULL);
  if (which < (int)(sizeof(records) / sizeof(*records)))
    forge_finalizer(task, records[which].state, records[which].size, records[which].flags);
  else
    for (int i = 0; i < 1000; i++)
      forge_finalizer(task, PROCPOOL__DONE_OK, 0, 0);
}

static void count_finalizers(procpool_future *future, void *context) {
  CHECK(procpool_future_done(future));
  ++*(int *)context;
}

/* Each ends its worker, and no more of them come than tasks allow. Then the pool is as it was. */
TEST_STARTS(r154_forged_records_of_finalizers, FORK) {
  enum { FORGED = 10 };
  for (int which = 0; which <= FORGED; which++) {
    procpool_options options = {0};
    procpool_future *future = NULL;
    procpool *pool;
    int heard = 0;
    options.start = start;
    options.max_workers = 1;
    options.finalizer = nothing;
    options.finalizer_callback = count_finalizers;
    options.finalizer_context = &heard;
    pool = procpool_open(&options);
    CHECK(pool != NULL);
    CHECK_OK(procpool_submit(pool, forge, &which, sizeof(which), NULL, &future));
    CHECK_STATUS(procpool_future_wait(future, PROCPOOL_FOREVER), PROCPOOL_CRASHED);
    CHECK_EQ(heard, which < FORGED ? 0 : 2);
    CHECK_OK(procpool_future_release(future));
    CHECK_OK(procpool_submit(pool, nothing, NULL, 0, NULL, &future));
    CHECK_STATUS(procpool_future_wait(future, PROCPOOL_FOREVER), PROCPOOL_OK);
    CHECK_OK(procpool_future_release(future));
    CHECK_EQ(pool->drain.inboxes[0].finalizer == NULL, true);
    CHECK_OK(procpool_shutdown(pool, PROCPOOL_DRAIN, PROCPOOL_FOREVER));
    CHECK_EQ(heard, which < FORGED ? 1 : 3);
    CHECK_EQ(pool->futures.live, 0);
    CHECK_OK(procpool_free(pool));
  }
}
