/* Deadlines: instants by which a task is to have ended, its time in the queue counted; and what a limit costs. */
#include "harness.h"

#include <math.h>
#include <poll.h>

static procpool_future *dated(procpool *pool, procpool_function function, test_job job, double deadline, double limit) {
  procpool_submit_options options = {0};
  procpool_future *future = NULL;
  options.deadline = deadline;
  options.time_limit = limit;
  options.grace = -1;
  CHECK_OK(procpool_submit(pool, function, &job, sizeof(job), &options, &future));
  return future;
}

static void check_timeout(procpool_future *future, const char *why, procpool_stage stage) {
  procpool_error error;
  CHECK_SETTLES(future, PROCPOOL_TIMEOUT);
  error = test_error(future);
  CHECK_EQ(error.stage, stage);
  if (strstr(error.message, why) == NULL)
    CHECK_TEXT(error.message, why);
  if (stage == PROCPOOL_STAGE_NONE && strstr(error.message, "had not begun") == NULL)
    CHECK_TEXT(error.message, "had not begun");
  CHECK_OK(procpool_future_release(future));
}

static procpool_future *submit_job(procpool *pool, procpool_function function, test_job job) {
  return test_submit(pool, function, &job, sizeof(job));
}

static void finish(procpool_future *future, procpool_status expected) {
  CHECK_SETTLES(future, expected);
  CHECK_OK(procpool_future_release(future));
}

static long pid_of_one(procpool *pool) {
  procpool_future *future = test_submit(pool, task_pid, NULL, 0);
  long pid = 0;
  CHECK_OK(procpool_future_result(future, PROCPOOL_FOREVER, &pid, sizeof(pid), NULL));
  CHECK_OK(procpool_future_release(future));
  return pid;
}

/* The one worker is busy: the task settles at its deadline, not when its turn comes, and so does one that comes later;
 * what waits between them runs. */
TEST_STARTS(deadline_in_the_queue, PROCESSES) {
  procpool *pool = test_open(start, 1);
  procpool_future *busy = submit_job(pool, task_block, job_of(0));
  procpool_future *late = dated(pool, task_count, job_of(1), 0.1, 0);
  procpool_future *behind = submit_job(pool, task_count, job_of(2));
  gate_wait(&page->started, 1);
  check_timeout(late, "deadline was over", PROCPOOL_STAGE_NONE);
  check_timeout(dated(pool, task_count, job_of(3), 0.1, 0), "deadline was over", PROCPOOL_STAGE_NONE);
  CHECK_STATUS(procpool_future_status(busy), PROCPOOL_PENDING);
  CHECK_EQ(test_stats(pool).queued, 1);
  gate_add(&page->gate, 1);
  finish(busy, PROCPOOL_OK);
  finish(behind, PROCPOOL_OK);
  CHECK_EQ(page->count, 1);
  CHECK_EQ(page->order[0], 2);
  CHECK_EQ(test_stats(pool).futures, 0);
  test_close(pool);
}

/* A thread that does not call the library, but waits for the pool's descriptor, hears of it. */
TEST_STARTS(deadline_rings_the_descriptor, PROCESSES) {
  procpool *pool = test_open(start, 1);
  procpool_future *busy = submit_job(pool, task_block, job_of(0));
  struct pollfd source = {procpool_fd(pool), POLLIN, 0};
  procpool_future *late;
  CHECK_GE(source.fd, 0);
  gate_wait(&page->started, 1);
  CHECK_POLL(procpool_poll(pool, 0));
  late = dated(pool, task_count, job_of(1), 0.1, 0);
  while (!known_done(late)) {
    CHECK_EQ(poll(&source, 1, 10000), 1);
    CHECK_POLL(procpool_poll(pool, 0));
  }
  check_timeout(late, "deadline was over", PROCPOOL_STAGE_NONE);
  gate_add(&page->gate, 1);
  finish(busy, PROCPOOL_OK);
  test_close(pool);
}

/* Where no supervisor looks at the queue, and where the host is faster than it: its turn comes, and it does not run. */
TEST_STARTS(deadline_is_over_when_the_turn_comes, CONCURRENT) {
  procpool *pool = test_open(start, 1);
  procpool_future *busy = submit_job(pool, task_block, job_of(0)), *late[64];
  gate_wait(&page->started, 1);
  for (int i = 0; i < 64; i++)
    late[i] = dated(pool, task_count, job_of(i), 0.02, 0);
  usleep(30000);
  gate_add(&page->gate, 1);
  finish(busy, PROCPOOL_OK);
  for (int i = 0; i < 64; i++)
    check_timeout(late[i], "deadline was over", PROCPOOL_STAGE_NONE);
  CHECK_EQ(page->count, 0);
  CHECK_WORKS(pool);
  test_close(pool);
}

/* One that was over before the call never begins, though the worker is idle; one that is far away changes nothing; and
 * what is no number is refused. */
TEST_STARTS(deadline_over_far_and_none, EVERY) {
  procpool *pool = test_open(start, 1);
  procpool_submit_options options = {0};
  const test_job job = job_of(1);
  procpool_future *future = NULL;
  for (int i = 0; i < 20; i++) {
    check_timeout(dated(pool, task_count, job_of(1), i % 2 ? -1 : -1e300, 0), "deadline was over", PROCPOOL_STAGE_NONE);
    finish(dated(pool, task_count, job_of(2), i % 2 ? 3600 : 1e300, 0), PROCPOOL_OK);
  }
  CHECK_EQ(page->count, 20);
  options.deadline = (double)NAN;
  CHECK_STATUS(procpool_submit(pool, task_count, &job, sizeof(job), &options, &future), PROCPOOL_ARGUMENT);
  test_close(pool);
}

/* One that runs is ended; of limit and deadline the earlier one counts, and the message says which. */
TEST_STARTS(deadline_of_one_that_runs, PROCESSES) {
  procpool *pool = test_open(start, 1);
  const double begin = test_now();
  check_timeout(dated(pool, task_block, job_of(0), 0.2, 0), "deadline was over", PROCPOOL_STAGE_KILL);
  CHECK_SECONDS(test_now() - begin, >=, 0.2);
  check_timeout(dated(pool, task_block, job_of(1), 0.2, 1000), "deadline was over", PROCPOOL_STAGE_KILL);
  check_timeout(dated(pool, task_block, job_of(2), 1000, 0.1), "longer than its limit", PROCPOOL_STAGE_KILL);
  CHECK_EQ(test_stats(pool).workers_started, 3 + (uint64_t)(test_stats(pool).workers_alive > 0));
  CHECK_WORKS(pool);
  test_close(pool);
}

/* Many at different instants in a long queue, between others: each goes at its time, none of the others does. */
TEST_STARTS(deadlines_of_many, PROCESSES) {
  enum { MANY = 3000 };
  procpool *pool = test_open(start, 2);
  procpool_future *busy[2], **futures = (procpool_future **)calloc(MANY, sizeof(*futures));
  const double begin = test_now();
  CHECK(futures != NULL);
  for (int i = 0; i < 2; i++)
    busy[i] = submit_job(pool, task_block, job_of(i));
  for (int i = 0; i < MANY; i++)
    futures[i] = dated(pool, task_nothing, job_of(i), i % 3 == 0 ? 3600 : i % 3 == 1 ? 0.3 + (MANY - i) * 1e-4 : 0, 0);
  for (int i = 0; i < MANY; i++)
    if (i % 3 == 1) {
      CHECK_SETTLES(futures[i], PROCPOOL_TIMEOUT);
      CHECK_SECONDS(test_now() - begin, >=, 0.3 + (MANY - i) * 1e-4);
    }
  CHECK_EQ(test_stats(pool).queued, MANY - MANY / 3);
  gate_add(&page->gate, 1);
  for (int i = 0; i < MANY; i++) {
    CHECK_SETTLES(futures[i], i % 3 == 1 ? PROCPOOL_TIMEOUT : PROCPOOL_OK);
    CHECK_OK(procpool_future_release(futures[i]));
  }
  for (int i = 0; i < 2; i++)
    finish(busy[i], PROCPOOL_OK);
  free(futures);
  test_close(pool);
}

/* A task that is cancelled, or its pool shut down, at the very deadline: one of the two, and the pool goes on. */
TEST_STARTS(deadline_beside_cancel_and_shutdown, PROCESSES) {
  for (int round = 0; round < test_rounds(20); round++) {
    procpool *pool = test_open(start, 1);
    procpool_future *busy = submit_job(pool, task_block, job_of(0)), *futures[50];
    int cancelled = 0;
    for (int i = 0; i < 50; i++)
      futures[i] = dated(pool, task_count, job_of(i), 0.01 + i * 1e-4, 0);
    usleep(11000);
    for (int i = 0; i < 50; i += 2)
      cancelled += procpool_future_cancel(futures[i]) == PROCPOOL_CANCELLED;
    for (int i = 0; i < 50; i += 2) {
      IGNORE(procpool_future_wait(futures[i], PROCPOOL_FOREVER));
      cancelled -= procpool_future_status(futures[i]) == PROCPOOL_CANCELLED;
    }
    CHECK_EQ(cancelled, 0);
    gate_add(&page->gate, 1);
    CHECK_OK(procpool_shutdown(pool, PROCPOOL_DRAIN, PROCPOOL_FOREVER));
    for (int i = 0; i < 50; i++)
      CHECK_OK(procpool_future_release(futures[i]));
    finish(busy, PROCPOOL_OK);
    gate_add(&page->gate, -1);
    procpool_free(pool);
  }
}

/* A worker that has no room to say that a task is late is not ended for that task. */
TEST_STARTS(deadline_over_while_the_ring_is_full, PROCESSES) {
  enum { MANY = 300 }; /* records, of which the ring holds 128 */
  procpool_options options = {0};
  procpool_future *late[MANY];
  procpool *pool;
  long pid;
  options.ring_size = 4096;
  pool = test_open_with(start, 1, &options);
  pid = pid_of_one(pool);
  for (int i = 0; i < MANY; i++)
    late[i] = dated(pool, task_count, job_of(i), -1, 0);
  usleep(1000000); /* ten times the limit that it has */
  for (int i = 0; i < MANY; i++)
    check_timeout(late[i], "deadline was over", PROCPOOL_STAGE_NONE);
  CHECK_EQ(page->count, 0);
  CHECK_EQ(pid_of_one(pool), pid);
  CHECK_EQ(test_stats(pool).workers_started, 1);
  test_close(pool);
}

/* Nor is one that says so of tasks whose results no call wants: in a strict pool that would be its end, and a thread would
 * be gone. */
TEST_STARTS(deadline_over_of_tasks_that_nobody_wants, CONCURRENT) {
  procpool_options options = {0};
  procpool_submit_options dates = {0};
  const test_job job = job_of(1);
  procpool *pool;
  options.ring_size = 4096;
  options.strict = start <= PROCPOOL_START_SPAWN;
  pool = test_open_with(start, 1, &options);
  dates.deadline = -1;
  for (int round = 0; round < 4; round++) {
    procpool_future *late;
    for (int i = 0; i < 200; i++)
      CHECK_OK(procpool_submit(pool, task_nothing, NULL, 0, NULL, NULL));
    for (int i = 0; i < 200; i++)
      CHECK_OK(procpool_submit(pool, task_count, &job, sizeof(job), &dates, NULL));
    late = dated(pool, task_count, job, -1, 0);
    usleep(20000);
    if (round % 2 == 1) { /* released while its worker may wait for room */
      CHECK_OK(procpool_future_release(late));
      continue;
    }
    check_timeout(late, "deadline was over", PROCPOOL_STAGE_NONE);
  }
  CHECK_EQ(page->count, 0);
  CHECK_WORKS(pool);
  CHECK_EQ(test_stats(pool).workers_started, 1);
  test_close(pool);
}

static long switches_of(long pid) {
  char line[256];
  long count = 0, sum = 0;
  FILE *file;
  (void)snprintf(line, sizeof(line), "/proc/%ld/status", pid);
  file = fopen(line, "r");
  CHECK(file != NULL);
  while (fgets(line, sizeof(line), file) != NULL)
    if (sscanf(line, "voluntary_ctxt_switches: %ld", &count) == 1)
      sum = count;
  CHECK_EQ(fclose(file), 0);
  return sum;
}

/* Tasks with limits, one at a time: the supervisor looks now and then, and is not told of each. */
TEST_STARTS(limit_costs_no_message_per_task, PROCESSES) {
  enum { TASKS = 4000 };
  procpool *pool = test_open(start, 1);
  const long supervisor = test_supervisor(pool);
  const double begin = test_now();
  long before, looks;
  finish(dated(pool, task_count, job_of(0), 0, 10), PROCPOOL_OK);
  before = switches_of(supervisor);
  for (int i = 0; i < TASKS; i++)
    finish(dated(pool, task_nothing, job_of(i), i % 2 ? 20 : 0, 10 + i % 7), PROCPOOL_OK);
  looks = switches_of(supervisor) - before;
  CHECK_LE(looks, TASKS / 100 + (long)((test_now() - begin) * 10));
  test_close(pool);
}
