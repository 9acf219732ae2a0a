/* harness.h - what every test file of procpool.h includes.
 *
 * A test is a function registered by TEST or TEST_STARTS. The runner executes each case by starting its own program
 * again (--case NAME), under a minder process that is a child subreaper, enforces the time limit, and sees to it that no
 * process outlives the case. The case itself is surrounded by a leak audit (descriptors, threads, children, shared
 * mappings, names in /dev/shm, signal mask and dispositions, environment, working directory).
 *
 *   TEST(r022_too_small) { CHECK_EQ(1 + 1, 2); }
 *   TEST_STARTS(r018_result_identical, FORK | SPAWN | THREAD | INLINE) { procpool *pool = test_open(start, 2); ... }
 *
 * A check that does not hold prints file, line and values, and ends the case. */
#ifndef HARNESS_H
#define HARNESS_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "../procpool.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- registration ---- */
enum {
  FORK = 1 << PROCPOOL_START_FORK,
  SPAWN = 1 << PROCPOOL_START_SPAWN,
  THREAD = 1 << PROCPOOL_START_THREAD,
  INLINE = 1 << PROCPOOL_START_INLINE,
  PROCESSES = FORK | SPAWN,
  CONCURRENT = FORK | SPAWN | THREAD, /* where a task can block while the host goes on */
  EVERY = FORK | SPAWN | THREAD | INLINE
};

enum { HARNESS_LIMIT = 20 }; /* seconds */

typedef struct harness_test {
  const char *name;
  const char *file;
  int line;
  int starts; /* 0: one case; else one for each start method in the mask */
  int limit;  /* seconds */
  void (*body)(procpool_start start);
  struct harness_test *next;
} harness_test;

void harness_register(harness_test *test);

#define HARNESS_TEST(name, starts, limit)                                                                              \
  static void name(procpool_start start);                                                                              \
  __attribute__((constructor)) static void name##_register(void) {                                                     \
    static harness_test test = {#name, __FILE__, __LINE__, starts, limit, name, PROCPOOL_NULL};                        \
    harness_register(&test);                                                                                           \
  }                                                                                                                    \
  static void name(PROCPOOL_UNUSED procpool_start start)
#define TEST(name) HARNESS_TEST(name, 0, HARNESS_LIMIT)
#define TEST_LIMIT(name, seconds) HARNESS_TEST(name, 0, seconds)
#define TEST_STARTS(name, starts) HARNESS_TEST(name, starts, HARNESS_LIMIT)
#define TEST_STARTS_LIMIT(name, starts, seconds) HARNESS_TEST(name, starts, seconds)

/* ---- checks ---- */
void harness_fail(const char *file, int line, const char *format, ...) __attribute__((format(printf, 3, 4), noreturn));
void harness_skip(const char *reason) __attribute__((noreturn));
void harness_check_compare(const char *file, int line, const char *text, long long a, const char *op, long long b,
                           bool holds);
void harness_check_status(const char *file, int line, const char *text, procpool_status got, procpool_status expected);
void harness_check_poll(const char *file, int line, const char *text, procpool_status got);
void harness_check_text(const char *file, int line, const char *text, const char *got, const char *expected);
void harness_check_bytes(const char *file, int line, const char *text, const void *got, const void *expected,
                         size_t size);

#define CHECK(condition)                                                                                               \
  do {                                                                                                                 \
    if (!(condition))                                                                                                  \
      harness_fail(__FILE__, __LINE__, "CHECK(%s)", #condition);                                                       \
  } while (0)
#define HARNESS_COMPARE(a, op, b)                                                                                      \
  do {                                                                                                                 \
    const long long harness_a = (long long)(a), harness_b = (long long)(b);                                            \
    harness_check_compare(__FILE__, __LINE__, #a " " #op " " #b, harness_a, #op, harness_b, harness_a op harness_b);   \
  } while (0)
#define CHECK_EQ(a, b) HARNESS_COMPARE(a, ==, b)
#define CHECK_NE(a, b) HARNESS_COMPARE(a, !=, b)
#define CHECK_LT(a, b) HARNESS_COMPARE(a, <, b)
#define CHECK_LE(a, b) HARNESS_COMPARE(a, <=, b)
#define CHECK_GT(a, b) HARNESS_COMPARE(a, >, b)
#define CHECK_GE(a, b) HARNESS_COMPARE(a, >=, b)
#define CHECK_STATUS(call, expected) harness_check_status(__FILE__, __LINE__, #call, (call), (expected))
#define CHECK_OK(call) CHECK_STATUS(call, PROCPOOL_OK)
/* Whatever it returns: a cast to void does not tell that to gcc. */
#define IGNORE(call) ((void)((call) == PROCPOOL_OK))
/* procpool_poll went well, whether there was something to take in or not. */
#define CHECK_POLL(call) harness_check_poll(__FILE__, __LINE__, #call, (call))
#define CHECK_TEXT(got, expected) harness_check_text(__FILE__, __LINE__, #got, (got), (expected))
#define CHECK_BYTES(got, expected, size) harness_check_bytes(__FILE__, __LINE__, #got, (got), (expected), (size))
/* Seconds, as milliseconds in the message. */
#define CHECK_SECONDS(a, op, b) HARNESS_COMPARE((a)*1e3, op, (b)*1e3)
#define SKIP(reason) harness_skip(reason)

/* ---- what tests share ---- */
/* Built under a sanitizer, or slowed down by valgrind: how many times slower things may be. 1 in a plain run. */
int test_slow(void);
/* rounds, or fewer in a slow build; at least 1. */
int test_rounds(int rounds);
/* Whether the build has a sanitizer that owns the address space, or valgrind does: limits on memory make no sense. */
bool test_instrumented(void);
double test_now(void); /* monotonic seconds */
/* A file beside the test program, by name. */
const char *test_path(const char *name);

/* A size that no process can have, though it is no more than a ptrdiff_t can say where that has 64 bits. */
#define TEST_IMPOSSIBLE (SIZE_MAX > 0xffffffffu ? SIZE_MAX / 4 + 1 : SIZE_MAX / 2 + 1)

procpool *test_open(procpool_start start, int workers);
/* The same with other options; start and workers are filled in. */
procpool *test_open_with(procpool_start start, int workers, procpool_options *options);
/* Open must fail with this status; options->error then is the reason. */
void harness_check_open_fails(const char *file, int line, procpool_options *options, procpool_status expected);
#define test_open_fails(options, expected) harness_check_open_fails(__FILE__, __LINE__, (options), (expected))
/* Submits where there is room now, or within so many seconds; else FULL. */
static PROCPOOL_UNUSED inline procpool_status submit_timed(procpool *pool, double timeout, procpool_function function,
                                                           const void *argument, size_t size,
                                                           procpool_future **future) {
  procpool_submit_options options;
  memset(&options, 0, sizeof(options));
  options.timeout = timeout > 0 || timeout != timeout ? timeout : -1;
  return procpool_submit(pool, function, argument, size, &options, future);
}
static PROCPOOL_UNUSED inline procpool_status try_submit(procpool *pool, procpool_function function,
                                                         const void *argument, size_t size, procpool_future **future) {
  return submit_timed(pool, -1, function, argument, size, future);
}
/* Whether it is known to have settled: takes nothing in, where a test is about what another call takes in. */
static PROCPOOL_UNUSED inline bool known_done(procpool_future *future) {
  procpool_error error;
  return procpool_future_error(future, &error) != PROCPOOL_OK || error.status != PROCPOOL_PENDING;
}
/* Who ran a task that has settled: 0 and -1 where none did, or it has not. */
static PROCPOOL_UNUSED inline long pid_of(procpool_future *future) {
  procpool_error error;
  return procpool_future_error(future, &error) == PROCPOOL_OK ? error.pid : 0;
}
static PROCPOOL_UNUSED inline int worker_of(procpool_future *future) {
  procpool_error error;
  return procpool_future_error(future, &error) == PROCPOOL_OK ? error.worker : -1;
}
/* shutdown(DRAIN) and free, both OK. */
void test_close(procpool *pool);
void test_close_by(procpool *pool, procpool_shutdown_mode mode);
procpool_stats test_stats(procpool *pool);
procpool_error test_error(procpool_future *future);
procpool_future *test_submit(procpool *pool, procpool_function function, const void *argument, size_t size);
/* Waits for it without limit (the case's limit holds), and compares the outcome. */
void harness_check_settles(const char *file, int line, const char *text, procpool_future *future,
                           procpool_status expected);
#define CHECK_SETTLES(future, expected) harness_check_settles(__FILE__, __LINE__, #future, (future), (expected))

/* One page that host and workers share, whatever the start method. Words are changed by the gate calls. */
typedef struct test_page {
  int started;
  int finished;
  int gate;
  int count; /* of entries in order */
  int order[4096];
  int word[64];
  int pid[1024];
} test_page;

/* Every job begins with it: a spawned worker finds the page by it. */
typedef struct test_job {
  int host, descriptor;
  int index;
  int number; /* what the task makes of it: a code, a signal, how many to meet */
  size_t size;
} test_job;

extern test_page *page;     /* in the host; in a worker after job_begin */
test_job job_of(int index); /* in the host */
test_job job_with(int index, int number);
test_job job_sized(int index, size_t size);
const test_job *job_begin(procpool_task *task); /* in a task: its job, with page set */
void page_attach(int host, int descriptor);

int gate_read(const int *word);
int gate_add(int *word, int amount); /* returns the new value */
void gate_wait(int *word, int at_least);
/* The same, but gives up: false after so many seconds. */
bool gate_wait_for(int *word, int at_least, double seconds);

/* Tasks. */
void task_nothing(procpool_task *task);
void task_echo(procpool_task *task);  /* any bytes */
void task_pid(procpool_task *task);   /* no argument; returns a long */
void task_twice(procpool_task *task); /* an int; returns an int */
void task_sum(procpool_task *task);   /* any bytes; returns their pattern sum, a uint64_t */
/* These take a test_job, and return its index, an int. */
void task_count(procpool_task *task); /* appends index to page->order */
void task_block(procpool_task *task); /* started + 1, waits for page->gate >= 1, finished + 1 */
void task_gate(procpool_task *task);  /* started + 1, waits for page->word[number] >= 1, finished + 1 */
void task_meet(procpool_task *task);  /* waits until number tasks have come; page->pid[index] */
void task_fail(procpool_task *task);  /* fails with code number and message "failure INDEX" */
void task_die(procpool_task *task);   /* ends its worker by signal number */
void task_exit(procpool_task *task);  /* exit(number) */
void task_make(procpool_task *task);  /* returns size bytes of pattern index instead */

void pattern_fill(void *bytes, size_t size, unsigned seed);
bool pattern_holds(const void *bytes, size_t size, unsigned seed);
uint64_t pattern_sum(const void *bytes, size_t size);

/* Runs one trivial task through the pool: it works. */
void harness_check_works(const char *file, int line, procpool *pool);
#define CHECK_WORKS(pool) harness_check_works(__FILE__, __LINE__, (pool))

pthread_t test_thread(void *(*function)(void *), void *context);
void *test_join(pthread_t thread);

void task_parent(procpool_task *task); /* no argument; returns a long: in a process, its supervisor's id */
long test_supervisor(procpool *pool);  /* process id */
char test_state(long pid);             /* of a process, as the kernel tells it: R S D T Z, 0 if it is gone */
/* A process that may end meanwhile: watch it first, then wait for its end. */
int test_watch(long pid);                  /* descriptor */
bool test_gone(int watch, double seconds); /* ended (dead, if perhaps not reaped) within seconds */
bool test_all_gone(const int *watches, int count, double seconds);
int test_wait_exit(pid_t child); /* waits for an own child: exit status, or minus the signal */
/* In a worker: closes the descriptor by which the kernel ends it with its host. Returns how many there were. */
int test_close_lifeline(void);
/* Starts a program (path, then arguments up to null), collects its standard output; returns as test_wait_exit. */
int test_run(char *output, size_t capacity, const char *path, ...) __attribute__((sentinel));
size_t test_descriptors(void); /* open in this process */
long test_resident_kib(void);
/* The leak audit for programs that are no cases: what there is now; and whether the same is there later (prints what is
 * not, and gives the memory back). */
void *harness_audit_begin(void);
bool harness_audit_end(void *before);

#ifdef __cplusplus
} /* extern "C" */
#endif
#endif /* HARNESS_H */
