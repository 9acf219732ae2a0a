/* Workers are not trusted: tasks that write nonsense into shared memory. The host survives, every task settles, the process
 * ends with nothing left (as in every case), and a fresh pool works. What the tasks write is in test_hostile_tasks.c. */
#include "hostile.h"

enum { TASKS = 24, WORKERS = 2 };

static procpool *open_hostile(procpool_start start) {
  procpool_options options;
  memset(&options, 0, sizeof(options));
  options.max_queued = 64;
  options.ring_size = 16384;
  return test_open_with(start, WORKERS, &options);
}

static int count_settled(procpool_future **futures, int count) {
  int settled = 0;
  for (int i = 0; i < count; i++)
    settled += procpool_future_done(futures[i]);
  return settled;
}

/* Waits until all are settled. Whatever a wait says: it does not end before they are, or the time is over. */
static bool all_settle(procpool_future **futures, int count, double seconds) {
  const double end = test_now() + seconds * test_slow();
  while (count_settled(futures, count) < count && test_now() < end) {
    size_t done;
    const procpool_status status =
        procpool_wait(futures, (size_t)count, PROCPOOL_ALL_COMPLETED, end - test_now(), &done);
    if (status != PROCPOOL_OK && status != PROCPOOL_PENDING)
      harness_fail(__FILE__, __LINE__, "a wait said %s", procpool_status_name(status));
  }
  return count_settled(futures, count) == count;
}

/* Ends the pool, however it is by now; all is settled then at the latest. */
static void end_hostile(procpool *pool, procpool_future **futures, int count) {
  procpool_stats stats;
  procpool *fresh;
  const procpool_start start = procpool_start_method(pool);
  CHECK_OK(procpool_get_stats(pool, &stats));
  CHECK_OK(procpool_shutdown(pool, PROCPOOL_KILL, 15.0 * test_slow()));
  for (int i = 0; i < count; i++) {
    procpool_error error;
    CHECK_NE(procpool_future_status(futures[i]), PROCPOOL_PENDING);
    (void)procpool_future_error(futures[i], &error);
    CHECK_OK(procpool_future_release(futures[i]));
  }
  stats = test_stats(pool);
  CHECK_EQ(stats.submitted, stats.settled);
  CHECK_OK(procpool_free(pool));
  fresh = test_open(start, 1);
  CHECK_WORKS(fresh);
  test_close(fresh);
}

static void task_die_at_gate(procpool_task *task) {
  (void)job_begin(task);
  gate_add(&page->started, 1);
  gate_wait(&page->word[1], 1);
  (void)raise(SIGKILL);
}

/* Its result goes to a shared buffer, which the host does not free. */
static procpool_future *submit_with_place(procpool *pool, procpool_function function, const void *argument,
                                          size_t size) {
  procpool_submit_options options;
  procpool_future *future = NULL;
  memset(&options, 0, sizeof(options));
  options.result_size = 100;
  options.result = procpool_shared_alloc(pool, options.result_size);
  CHECK(options.result != NULL);
  CHECK_OK(procpool_submit(pool, function, argument, size, &options, &future));
  return future;
}

/* What a future says of its result is within what it has. */
static void check_result(procpool_future *future) {
  size_t size;
  const unsigned char *data = (const unsigned char *)procpool_future_data(future, &size);
  volatile unsigned sum = 0;
  CHECK(size <= 16384);
  for (size_t i = 0; data != NULL && i < size; i++)
    sum = sum + data[i];
}

/* One worker runs a task that waits, the other one the attack; others wait in the queue. All settle without a shutdown:
 * the worker that attacks goes on working, or ends, but does not go on attacking. */
static void attack(procpool_start start, int number) {
  procpool *pool = open_hostile(start);
  procpool_future *futures[TASKS];
  const test_job attacker = job_with(1, number), victim = job_of(0);
  procpool_function waits = number == HOSTILE_dead_list_wiped ? task_die_at_gate : task_block;
  int count = 0;
  for (int i = 0; i < WORKERS; i++)
    CHECK_WORKS(pool);
  futures[count++] = test_submit(pool, waits, &victim, sizeof(victim));
  gate_wait(&page->started, 1);
  futures[count++] = submit_with_place(pool, hostile_task, &attacker, sizeof(attacker));
  gate_wait(&page->started, 2);
  for (; count < TASKS; count++)
    futures[count] = count % 3 == 0 ? submit_with_place(pool, task_twice, &count, sizeof(count))
                                    : test_submit(pool, task_twice, &count, sizeof(count));
  gate_add(&page->word[0], 1);
  while (gate_read(&page->finished) == 0 && !known_done(futures[1]))
    (void)procpool_future_wait(futures[1], 0.01);
  gate_add(&page->gate, 1);
  CHECK(all_settle(futures, TASKS, 10));
  for (int i = 0; i < TASKS; i++)
    check_result(futures[i]);
  end_hostile(pool, futures, TASKS);
}

#define HOSTILE_TEST(name)                                                                                             \
  TEST_STARTS_LIMIT(hostile_##name, PROCESSES, 40) {                                                                   \
    attack(start, HOSTILE_##name);                                                                                     \
  }
HOSTILE_ATTACKS(HOSTILE_TEST)
#undef HOSTILE_TEST

/* Anything, anywhere, by several tasks at once. What they leave may look like a task that runs for ever, so not all need
 * settle before the end. */
static void random_attack(procpool_start start, int seed) {
  procpool *pool = open_hostile(start);
  procpool_future *futures[TASKS];
  int count = 0;
  for (int i = 0; i < TASKS; i++) {
    const int argument = seed * TASKS + i;
    const procpool_status status =
        i % 3 == 2 ? submit_timed(pool, 1, hostile_large_task, NULL, 0, &futures[count])
                   : submit_timed(pool, 1, hostile_random_task, &argument, sizeof(argument), &futures[count]);
    count += status == PROCPOOL_OK;
  }
  (void)all_settle(futures, count, 0.3);
  end_hostile(pool, futures, count);
}

TEST_STARTS_LIMIT(hostile_random_words, PROCESSES, 120) {
  for (int seed = 1; seed <= test_rounds(20); seed++)
    random_attack(start, seed);
}

static int count_items(void *context, void *item) {
  int *next = (int *)context;
  if (*next == 512)
    return 0;
  memcpy(item, next, sizeof(*next));
  (*next)++;
  return 1;
}

/* The same of items that an imap hands out together: each is delivered once, and has settled. */
TEST_STARTS_LIMIT(hostile_imap, PROCESSES, 60) {
  procpool *pool = open_hostile(start);
  procpool_imap_options options;
  memset(&options, 0, sizeof(options));
  options.chunksize = 12;
  for (int round = 0; round < 2; round++) {
    procpool_iterator *iterator = NULL;
    procpool_future *future = NULL;
    procpool_status status;
    int next = 0, delivered = 0;
    options.unordered = round == 1;
    CHECK_OK(procpool_imap(pool, hostile_bundled_item, count_items, &next, sizeof(int), &options, &iterator));
    while ((status = procpool_next(iterator, 20.0 * test_slow(), &future)) == PROCPOOL_OK) {
      size_t size = 0;
      CHECK(procpool_future_done(future));
      if (procpool_future_data(future, &size) != NULL)
        CHECK_LE(size, 1 << 20);
      delivered++;
    }
    CHECK_STATUS(status, PROCPOOL_END);
    CHECK_EQ(delivered, next);
    procpool_iterator_free(iterator);
  }
  end_hostile(pool, NULL, 0);
}

/* A chunk that lies about its items: the map ends, and what it says was OK is what the items gave. */
TEST_STARTS_LIMIT(hostile_map, PROCESSES, 60) {
  enum { ITEMS = 64 };
  procpool *pool = open_hostile(start);
  int arguments[ITEMS], results[ITEMS];
  procpool_status statuses[ITEMS];
  procpool_map_options options;
  memset(&options, 0, sizeof(options));
  options.statuses = statuses;
  options.chunksize = 4;
  options.timeout = 20.0 * test_slow();
  for (int i = 0; i < ITEMS; i++) {
    arguments[i] = i;
    results[i] = -1;
  }
  CHECK_NE(procpool_map(pool, hostile_item, arguments, sizeof(int), results, sizeof(int), ITEMS, &options),
           PROCPOOL_PENDING);
  for (int i = 0; i < ITEMS; i++)
    CHECK_NE(statuses[i], PROCPOOL_PENDING);
  end_hostile(pool, NULL, 0);
}
