/* unkillable.c - a worker that the kernel holds on to: SIGKILL was sent, and it does not end (in life: within a device or a
 * file system that does not answer; here: the supervisor's signals do not reach it). Its task settles 5 s later all the
 * same, and since it may still write to what it was given, no other task is given that memory. When it has ended at last, its
 * place is filled again; and the end of a pool is not held up by one that never does. */
static int unkillable_kill(int pid, int number);
#define _GNU_SOURCE
#include <signal.h>
#define kill(pid, number) unkillable_kill(pid, number)
#define PROCPOOL_IMPLEMENTATION
#include "rig.h"
#undef kill
#include <sys/syscall.h>

enum { WORD_HELD, WORD_WRITES }; /* process id of the worker that no signal of the supervisor's reaches; it writes */
enum { LARGE = 100000, MANY = 40 };

/* Runs in the supervisor, which is forked with the witness mapped: so under fork only. */
static int unkillable_kill(int pid, int number) {
  if (rig.page != NULL && pid == gate_read(&rig.page->word[WORD_HELD]))
    return 0;
  return kill(pid, number);
}

/* Shared buffers that the held worker writes to, too: one that is freed while it runs, one that is freed after that. */
enum { BUFFERS = 2 };

typedef struct large_job {
  rig_job job;
  unsigned char *buffers[BUFFERS];
  unsigned char bytes[LARGE];
} large_job;

/* Writes to its argument for ever, as a read() into it would that comes back late. */
static void task_held(procpool_task *task) {
  const rig_job *job = rig_task_begin(task);
  large_job *large;
  sigset_t all;
  sigfillset(&all);
  sigprocmask(SIG_SETMASK, &all, NULL);
  (void)test_close_lifeline();         /* nor does the kernel's own signal, when the host ends */
  memcpy(&large, &job, sizeof(large)); /* its argument is read-only by contract, not by the processor */
  for (unsigned char i = 0;; i++) {
    memset(large->bytes, i, sizeof(large->bytes));
    for (int b = 0; b < BUFFERS; b++)
      if (large->buffers[b] != NULL)
        memset(large->buffers[b] + LARGE / 2, i, LARGE / 2); /* not where another task's job would be */
    if (gate_read(&rig.page->word[WORD_HELD]) == 0)
      gate_add(&rig.page->word[WORD_HELD], (int)getpid());
    gate_add(&rig.page->word[WORD_WRITES], 1);
  }
}

/* Its argument must be what was given to it. */
static void task_intact(procpool_task *task) {
  const large_job *large = (const large_job *)procpool_task_argument(task, NULL);
  (void)rig_task_begin(task);
  CHECK(pattern_holds(large->bytes, sizeof(large->bytes), large->job.id));
  rig_task_end(task, &large->job, large->job.size);
}

static procpool *pool;
static unsigned char *held_buffers[BUFFERS];

static procpool_future *submit_large(procpool_function function, rig_job *job, uint32_t allowed) {
  static large_job large;
  procpool_future *future;
  *job = rig_job_of(16);
  rig_entry_of(job)->allowed = allowed;
  rig_entry_of(job)->flags = RIG_KILLED_TASK;
  large.job = *job;
  memcpy(large.buffers, held_buffers, sizeof(large.buffers));
  pattern_fill(large.bytes, sizeof(large.bytes), job->id);
  CHECK_OK(procpool_submit(pool, function, &large, sizeof(large), NULL, &future));
  rig_accepted(job, future);
  return future;
}

static procpool_future *hold(rig_job *job, uint32_t allowed) {
  procpool_future *future;
  for (int i = 0; i < 2; i++)
    __atomic_store_n(&rig.page->word[i], 0, __ATOMIC_SEQ_CST);
  future = submit_large(task_held, job, allowed);
  gate_wait(&rig.page->word[WORD_HELD], 1);
  return future;
}

static void run_intact(int count) {
  rig_job jobs[MANY];
  procpool_future *futures[MANY];
  for (int i = 0; i < count; i++)
    futures[i] = submit_large(task_intact, &jobs[i], RIG_ALLOW(OK));
  for (int i = 0; i < count; i++)
    CHECK_OK(rig_finish(&jobs[i], futures[i]));
}

/* New buffers overlap no other. */
static void buffers_intact(void) {
  unsigned char *buffers[MANY];
  for (int i = 0; i < MANY; i++) {
    buffers[i] = (unsigned char *)procpool_shared_alloc(pool, LARGE);
    CHECK(buffers[i] != NULL);
    pattern_fill(buffers[i], LARGE, (unsigned)i);
  }
  run_intact(MANY);
  for (int i = 0; i < MANY; i++) {
    CHECK(pattern_holds(buffers[i], LARGE, (unsigned)i));
    CHECK_OK(procpool_shared_free(pool, buffers[i]));
  }
}

/* The task settles; its memory is let alone; the others go on; and its place is filled when it has ended. */
static void host_task(void) {
  rig_job job;
  procpool_future *future;
  double begin;
  int held, writes;
  pool = test_open(rig.start, 2);
  run_intact(MANY);
  for (int i = 0; i < BUFFERS; i++)
    CHECK((held_buffers[i] = (unsigned char *)procpool_shared_alloc(pool, LARGE)) != NULL);
  future = hold(&job, RIG_ALLOW(CANCELLED));
  CHECK_OK(procpool_shared_free(pool, held_buffers[0]));
  buffers_intact();
  held = gate_read(&rig.page->word[WORD_HELD]);
  begin = test_now();
  CHECK_STATUS(procpool_future_cancel_kill(future, -1), PROCPOOL_PENDING);
  CHECK_STATUS(procpool_future_wait(future, 4), PROCPOOL_PENDING);
  CHECK_STATUS(procpool_future_wait(future, PROCPOOL_FOREVER), PROCPOOL_CANCELLED);
  CHECK_SECONDS(test_now() - begin, >=, 4.9);
  CHECK_SECONDS(test_now() - begin, <=, 5.0 + 3 * test_slow());
  CHECK_EQ(test_error(future).stage, PROCPOOL_STAGE_KILL);
  (void)rig_finish(&job, future);
  CHECK_EQ(rig_process_state(held) == 0, false);
  writes = gate_read(&rig.page->word[WORD_WRITES]);
  CHECK_OK(procpool_shared_free(pool, held_buffers[1]));
  memset(held_buffers, 0, sizeof(held_buffers));
  for (int i = 0; i < 5; i++) {
    run_intact(MANY);
    buffers_intact();
  }
  CHECK_GT(gate_read(&rig.page->word[WORD_WRITES]), writes); /* it wrote all the while */
  CHECK_EQ(test_stats(pool).workers_started, 2);
  CHECK_EQ(syscall(SYS_kill, held, SIGKILL), 0);
  while (test_stats(pool).workers_started < 3 || test_stats(pool).workers_alive < 2)
    CHECK_POLL(procpool_poll(pool, 0));
  run_intact(MANY);
  rig_check_stats(pool);
  test_close(pool);
}

/* A pool ends though one of its workers does not. */
static void host_shutdown(void) {
  rig_job job;
  procpool_future *future;
  double begin;
  pool = test_open(rig.start, 2);
  future = hold(&job, RIG_ALLOW(SHUTDOWN));
  begin = test_now();
  CHECK_OK(procpool_shutdown(pool, PROCPOOL_KILL, PROCPOOL_FOREVER));
  CHECK_SECONDS(test_now() - begin, <=, 5.0 + 3 * test_slow());
  (void)rig_finish(&job, future);
  CHECK_OK(procpool_free(pool));
}

/* Nor is the end of everything when the host is killed. */
static void host_killed(void) {
  rig_job job;
  pool = test_open(rig.start, 2);
  (void)hold(&job, RIG_ALLOW(OK));
  rig_ready();
  for (;;)
    pause();
}

static void kill_host(void) {
  rig_gate(&rig.page->ready, 1);
  CHECK(rig_signal(rig_host(), SIGKILL));
}

int main(int argc, char **argv) {
  procpool_worker_main();
  rig_begin(argc, argv, FORK, 1.0);
  do {
    (void)rig_round(host_task, NULL, RIG_NORMAL);
    (void)rig_round(host_shutdown, NULL, RIG_NORMAL);
    CHECK_SECONDS(rig_round(host_killed, kill_host, RIG_HOST_KILLED), <=, 1.0 * test_slow());
  } while (rig_more());
  return rig_end();
}
