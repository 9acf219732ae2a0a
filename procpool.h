/* ==== >>declarations ================================================================================================
 * Everything public. Nothing but these three headers is included for those who only call. */
#ifndef PROCPOOL_H
#define PROCPOOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#ifdef __cplusplus
#include <exception>
#include <type_traits>
#endif

#define PROCPOOL_VERSION_MAJOR 0
#define PROCPOOL_VERSION_MINOR 1
#define PROCPOOL_VERSION_PATCH 0
#define PROCPOOL_VERSION (PROCPOOL_VERSION_MAJOR * 10000 + PROCPOOL_VERSION_MINOR * 100 + PROCPOOL_VERSION_PATCH)

#define PROCPOOL_UNUSED __attribute__((unused))
#ifdef PROCPOOL_STATIC
#define PROCPOOL_API static PROCPOOL_UNUSED
#else
#define PROCPOOL_API extern __attribute__((visibility("default")))
#endif
#ifdef __cplusplus
#define PROCPOOL_NULL nullptr
#else
#define PROCPOOL_NULL NULL
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* ---- statuses ----
 * One list for everything that a call returns and for every way in which a task ends: X(name, value, text). The value is
 * part of the interface. Statuses 0 to 9 are outcomes of tasks, 20 to 23 answers, 40 and above refusals: a refused call
 * changed nothing. */
#define PROCPOOL_STATUSES(X)                                                                                           \
  X(OK, 0, "the task returned and its result is complete")                                                             \
  X(FAILED, 1, "the task reported a failure (code and message in its error)")                                          \
  X(CODEC, 2, "the argument or the result could not be carried")                                                       \
  X(CRASHED, 3, "the worker died in the task (signal or exit status in its error)")                                    \
  X(TIMEOUT, 4, "the task ran longer than its limit and was ended")                                                    \
  X(CANCELLED, 5, "the task was cancelled")                                                                            \
  X(SHUTDOWN, 6, "the pool has been shut down")                                                                        \
  X(INIT_FAIL, 7, "the initializer failed or crashed in every worker")                                                 \
  X(SPAWN_FAIL, 8, "no worker process could be started")                                                               \
  X(BROKEN, 9, "the pool is broken: its supervisor is gone, or a worker of a strict pool died")                        \
  X(PENDING, 20, "not settled within the time given")                                                                  \
  X(FULL, 21, "the queue is full")                                                                                     \
  X(END, 22, "the iterator has delivered everything")                                                                  \
  X(INTERRUPTED, 23, "procpool_interrupt ended the wait")                                                              \
  X(ARGUMENT, 40, "an argument is invalid")                                                                            \
  X(HANDLE, 41, "the handle is null, released, or not of this kind")                                                   \
  X(MISMATCH, 42, "caller and implementation were compiled from different versions of procpool.h")                     \
  X(TOO_SMALL, 43, "the buffer is smaller than the result")                                                            \
  X(MEMORY, 44, "out of memory or of shared memory")                                                                   \
  X(SYSTEM, 45, "a system call failed (number in the error)")                                                          \
  X(FUNCTION, 46, "the function is not reachable in a worker process")                                                 \
  X(DOOR, 47, "spawn needs procpool_worker_main() as the first call in main")                                          \
  X(THREADS, 48, "the process has threads: use PROCPOOL_START_SPAWN, or open the pool before they start")              \
  X(FORKED, 49, "the pool belongs to another process: this one is a forked child of its owner")                        \
  X(DEADLOCK, 50, "refused: the call would wait for itself (inside a callback or a task of this pool)")                \
  X(UNSUPPORTED, 51, "not available with this start method or on this system")                                         \
  X(DEPTH, 52, "pools are nested too deeply")                                                                          \
  X(GENERATOR, 53, "the input generator reported an error")

typedef enum procpool_status {
#define PROCPOOL__STATUS_ENUM(name, value, text) PROCPOOL_##name = value,
  PROCPOOL_STATUSES(PROCPOOL__STATUS_ENUM)
#undef PROCPOOL__STATUS_ENUM
      PROCPOOL_STATUS_LIMIT = 64
} procpool_status;

/* The status in words (see the list above). Any thread, any process, a signal handler too; never blocks. */
PROCPOOL_API const char *procpool_strerror(procpool_status status);
/* The status as its name without prefix, as in "CRASHED". As procpool_strerror otherwise. */
PROCPOOL_API const char *procpool_status_name(procpool_status status);
/* PROCPOOL_VERSION of the implementation that is linked in. */
PROCPOOL_API int procpool_version(void);

/* What is known of a failure. Fields that do not apply are zero. */
typedef struct procpool_error {
  procpool_status status;
  int code;            /* FAILED: the task's own code; INIT_FAIL: what the initializer returned */
  int signal;          /* CRASHED: the signal that ended the worker, or 0 */
  int exit_status;     /* CRASHED with signal 0: the worker's exit status */
  int system_error;    /* SYSTEM, MEMORY, SPAWN_FAIL: errno */
  int worker;          /* index of the worker, or -1 */
  long pid;            /* process id of the worker, or 0 */
  double user_seconds; /* CRASHED: processor time of the dead worker over its whole life */
  double system_seconds;
  long max_rss_kib; /* CRASHED: its largest resident size */
  char message[192];
} procpool_error;

/* ---- handles ---- */
typedef struct procpool procpool;               /* a pool, as its host sees it */
typedef struct procpool_future procpool_future; /* one submitted task, as its host sees it */
typedef struct procpool_task procpool_task;     /* one running task, as its function sees it */
typedef struct procpool_iterator procpool_iterator;
typedef struct procpool_process procpool_process; /* one function in a process of its own */

/* A task. Runs in a worker. It reads its argument, gives at most one result or one failure, and returns. */
typedef void (*procpool_function)(procpool_task *task);
/* Runs once in every worker before its first task. Returns 0, or a code that makes the start count as failed. */
typedef int (*procpool_initializer)(const void *argument, size_t size);
/* Runs in the host when a future has settled (see procpool_future_add_done_callback). */
typedef void (*procpool_callback)(procpool_future *future, void *context);
/* Writes the next item and returns 1; returns 0 at the end, a negative number on an error. Runs in the host. */
typedef int (*procpool_generator)(void *context, void *item);

/* Time-outs are seconds: 0 or less looks once and does not wait. */
#define PROCPOOL_FOREVER 1e18

/* ---- opening ---- */
typedef enum procpool_start {
  PROCPOOL_START_AUTO = 0, /* fork if the process has one thread, else spawn if the door is there, else an error */
  PROCPOOL_START_FORK,     /* workers are copies of the host as it is at open */
  PROCPOOL_START_SPAWN,    /* workers are copies of a fresh start of the same program: procpool_worker_main() */
  PROCPOOL_START_THREAD,   /* workers are threads of the host: no isolation */
  PROCPOOL_START_INLINE    /* tasks run in the caller while it waits, polls or finds the queue full */
} procpool_start;

/* Every field may be zero. */
typedef struct procpool_options {
  procpool_error *error;   /* filled with the reason when open fails; may be null */
  const char *name;        /* shown by top, htop and ps -o comm; default "procpool" */
  procpool_start start;    /* default AUTO */
  int max_workers;         /* 0: $PROCPOOL_WORKERS, else procpool_cpu_count(PROCPOOL_CPU_USABLE) */
  int max_tasks_per_child; /* replace a worker after so many tasks; 0: never; fork and spawn only */
  bool strict;             /* one death breaks the pool, as in Python; fork and spawn only */
  bool close_fds;          /* fork: workers keep descriptors 0, 1, 2 and keep_fds only */
  bool core_dumps;         /* leave core dumps of workers on */
  const int *keep_fds;     /* with close_fds; copied */
  size_t keep_fds_count;
  procpool_initializer initializer; /* runs in every worker before its first task */
  const void *initializer_argument; /* initializer_size bytes, copied; with size 0 the pointer itself (not spawn) */
  size_t initializer_size;
  size_t max_queued; /* tasks accepted and not yet settled; default 65536, at most 8388608 */
  size_t ring_size;  /* bytes of each worker's result ring, a power of two; default 262144 */
  size_t max_memory; /* bytes for large arguments in flight; default: the machine's memory */
  int spin_us;       /* busy-wait before sleeping, us; 0: chosen by the pool; -1: never */
} procpool_options;

/* Opens a pool. options: null or zeroed for all defaults. Returns when every worker process has been started (their
 * initializers may still run), or null: nothing is left behind, and options->error says why:
 *   ARGUMENT, MISMATCH; THREADS (auto in a threaded process without the door); DOOR (spawn without the door);
 *   SPAWN_FAIL, SYSTEM, MEMORY (system_error is errno); DEPTH (a pool within a pool within ...).
 * Any thread, inside a task too (a pool of its own). Blocks for the time of a few forks. */
PROCPOOL_API procpool *procpool_open_checked(const procpool_options *options, int version, size_t options_size);

static PROCPOOL_UNUSED inline procpool *procpool_open(const procpool_options *options) {
  return procpool_open_checked(options, PROCPOOL_VERSION, sizeof(procpool_options));
}

/* The door for PROCPOOL_START_SPAWN: call it first thing in main. In the program that the user starts it returns at
 * once; in a process that a pool started it becomes that pool's supervisor and never returns. */
PROCPOOL_API void procpool_worker_main(void);

typedef enum procpool_cpu {
  PROCPOOL_CPU_USABLE = 0, /* the smaller of affinity mask and cgroup quota (ancestors too), at least 1 */
  PROCPOOL_CPU_LOGICAL,    /* processors that are online */
  PROCPOOL_CPU_PHYSICAL    /* cores, counting the threads of one core once */
} procpool_cpu;

/* How many processors there are, of the kind asked for; at least 1, or 0 for an unknown kind. Any thread; reads files. */
PROCPOOL_API int procpool_cpu_count(procpool_cpu kind);

/* ---- a pool's calls ----
 * All of them may be made from any thread of the process that opened the pool, and from a callback where not said
 * otherwise. A null or freed pool is HANDLE, a forked child of the host gets FORKED, a pool shut down SHUTDOWN. */

/* Hands a task to the pool. size bytes at argument are copied (0 bytes are carried too; argument may then be null).
 * *future receives the handle, to be given back with procpool_future_release; with future null nobody wants the result.
 * Blocks while the queue is full, and takes results out of the workers' rings meanwhile; never runs a callback.
 * Returns OK (it will settle exactly once); ARGUMENT; FUNCTION (spawn: not in the program that workers run); MEMORY;
 * SHUTDOWN, BROKEN, INIT_FAIL, SPAWN_FAIL; INTERRUPTED. */
PROCPOOL_API procpool_status procpool_submit(procpool *pool, procpool_function function, const void *argument,
                                             size_t size, procpool_future **future);
/* The same; FULL at once instead of blocking. */
PROCPOOL_API procpool_status procpool_try_submit(procpool *pool, procpool_function function, const void *argument,
                                                 size_t size, procpool_future **future);
/* The same; FULL after timeout seconds. */
PROCPOOL_API procpool_status procpool_submit_timed(procpool *pool, double timeout, procpool_function function,
                                                   const void *argument, size_t size, procpool_future **future);

/* Takes in what has come, runs due callbacks (and, in an inline pool, one task), and returns without waiting.
 * For event loops: call it when procpool_fd() is readable. OK, or HANDLE, FORKED, MEMORY (out of memory while taking a
 * result in: it stays where it is, free some and poll again). */
PROCPOOL_API procpool_status procpool_poll(procpool *pool);

/* A descriptor for poll, select, epoll: readable when something may have settled; procpool_poll makes it unreadable.
 * It may be readable without cause, never unreadable with one. -1 on a bad handle. Belongs to the pool. */
PROCPOOL_API int procpool_fd(procpool *pool);

/* Ends every wait that goes on in this pool, or if there is none the next one: they return INTERRUPTED, and nothing else
 * happens. Safe in a signal handler, from any thread; never blocks. */
PROCPOOL_API void procpool_interrupt(procpool *pool);

typedef enum procpool_shutdown_mode {
  PROCPOOL_DRAIN = 0, /* what was accepted runs */
  PROCPOOL_CANCEL,    /* what has not begun is CANCELLED, what runs may end */
  PROCPOOL_KILL /* nothing runs on: workers are killed, everything unsettled is SHUTDOWN. Threads cannot be killed */
} procpool_shutdown_mode;

/* Refuses new tasks and ends the pool as mode says; a later call may be stronger. Returns OK when every task has
 * settled, callbacks have run, and no worker is left. DEADLOCK inside a callback or a task of this pool; INTERRUPTED.
 * Futures stay readable. Waits as long as it takes (KILL: moments). */
PROCPOOL_API procpool_status procpool_shutdown(procpool *pool, procpool_shutdown_mode mode);
/* The same, but PENDING after timeout seconds, the shutdown going on: 0 does not wait and is allowed in callbacks. */
PROCPOOL_API procpool_status procpool_shutdown_timed(procpool *pool, procpool_shutdown_mode mode, double timeout);

/* Gives the handle back. What is not settled by then is shut down by KILL first. Futures that are still held stay
 * readable. DEADLOCK inside a callback or a task of this pool. Null is fine. */
PROCPOOL_API procpool_status procpool_free(procpool *pool);

/* The start method that was taken (never AUTO); AUTO on a bad handle. */
PROCPOOL_API procpool_start procpool_start_method(procpool *pool);

typedef struct procpool_stats {
  int workers;              /* configured */
  int workers_alive;        /* processes (threads) that live now */
  int workers_busy;         /* of these, in a task */
  uint64_t queued;          /* tasks accepted, not begun */
  uint64_t running;         /* tasks begun, not settled */
  uint64_t submitted;       /* tasks accepted since open */
  uint64_t settled;         /* tasks settled since open */
  uint64_t crashed;         /* of these, CRASHED */
  uint64_t workers_started; /* worker processes ever started */
  uint64_t shared_bytes;    /* shared memory reserved */
} procpool_stats;

/* A snapshot; exact when nothing moves. OK, ARGUMENT, HANDLE, FORKED. */
PROCPOOL_API procpool_status procpool_get_stats(procpool *pool, procpool_stats *stats);

/* ---- futures ----
 * A future belongs to whoever got it from submit, until release. Any thread of the host. It stays valid after the pool
 * was shut down and freed. A null or released one is HANDLE where it can be recognised. */

/* The outcome if settled, else PENDING. Takes nothing in and never waits: see procpool_poll, procpool_future_wait. */
PROCPOOL_API procpool_status procpool_future_status(procpool_future *future);
/* settled, in whatever way / begun and not settled / CANCELLED. False on a bad handle. */
PROCPOOL_API bool procpool_future_done(procpool_future *future);
PROCPOOL_API bool procpool_future_running(procpool_future *future);
PROCPOOL_API bool procpool_future_cancelled(procpool_future *future);

/* Waits until it is settled and returns the outcome; PENDING after timeout seconds (the task goes on); INTERRUPTED;
 * DEADLOCK inside a callback or a task of this pool unless it is settled. */
PROCPOOL_API procpool_status procpool_future_wait(procpool_future *future, double timeout);
/* Waits (timeout as above) and copies the result, as often as asked. *size receives its size in bytes; may be null.
 * Returns the outcome; TOO_SMALL if capacity is less than the size (nothing copied, *size says how much is needed). */
PROCPOOL_API procpool_status procpool_future_result(procpool_future *future, double timeout, void *buffer,
                                                    size_t capacity, size_t *size);
/* The result in place, aligned to 16 bytes: valid until release; null unless OK. *size as above. Never waits. */
PROCPOOL_API const void *procpool_future_data(procpool_future *future, size_t *size);
/* What went wrong: error->status is the outcome (OK and PENDING included). Returns OK, ARGUMENT or HANDLE. */
PROCPOOL_API procpool_status procpool_future_error(procpool_future *future, procpool_error *error);
/* Process id of the worker that ran it (a thread's: of the host); 0 where none did or it is not settled. */
PROCPOOL_API long procpool_future_pid(procpool_future *future);
/* Index of that worker, from 0; -1 where none ran it or it is not settled. */
PROCPOOL_API int procpool_future_worker(procpool_future *future);

/* Cancels it if its body has not begun. CANCELLED (it is, now or before), or PENDING (it runs: nothing was done), or its
 * outcome (too late). */
PROCPOOL_API procpool_status procpool_future_cancel(procpool_future *future);

/* Runs callback(future, context) once, when the future has settled: at once if it has, else in the thread that then
 * polls, waits or shuts down (never inside submit). Without any lock held: it may submit, cancel, read, release this
 * future and add callbacks; a wait in it is refused with DEADLOCK. Several run in the order added. OK or MEMORY. */
PROCPOOL_API procpool_status procpool_future_add_done_callback(procpool_future *future, procpool_callback callback,
                                                               void *context);
/* Gives the future back, settled or not: a task that has not settled goes on, its result is dropped. Null is fine. */
PROCPOOL_API procpool_status procpool_future_release(procpool_future *future);

typedef enum procpool_wait_mode {
  PROCPOOL_ALL_COMPLETED = 0,
  PROCPOOL_FIRST_COMPLETED,
  PROCPOOL_FIRST_EXCEPTION /* the first that ends in anything but OK or CANCELLED; else as ALL_COMPLETED */
} procpool_wait_mode;

/* Waits for count futures, of several pools too; the same one may stand in it several times. *done receives how many
 * different ones are settled on return (may be null); procpool_future_done tells which. OK when the mode is satisfied,
 * PENDING after timeout seconds, INTERRUPTED, DEADLOCK, ARGUMENT, HANDLE, MEMORY. */
PROCPOOL_API procpool_status procpool_wait(procpool_future *const *futures, size_t count, procpool_wait_mode mode,
                                           double timeout, size_t *done);

/* ---- iterators ----
 * An iterator is used by one thread at a time. */

/* Delivers each of count futures once, in the order in which they settle; the futures stay the caller's, and must be
 * held until the iterator is freed. *iterator receives the handle. OK, ARGUMENT, HANDLE, MEMORY. */
PROCPOOL_API procpool_status procpool_as_completed(procpool_future *const *futures, size_t count,
                                                   procpool_iterator **iterator);

typedef struct procpool_imap_options {
  size_t buffersize; /* inputs taken and not yet delivered, at most; 0: twice the workers */
  bool unordered;    /* deliver in the order in which they settle */
} procpool_imap_options;

/* Calls function for every item (item_size bytes) that generator produces, endless ones included. Inputs are pulled in
 * procpool_next, never more than buffersize ahead. options may be null. OK, ARGUMENT, HANDLE, MEMORY. */
PROCPOOL_API procpool_status procpool_imap(procpool *pool, procpool_function function, procpool_generator generator,
                                           void *context, size_t item_size, const procpool_imap_options *options,
                                           procpool_iterator **iterator);

/* The next future, settled; waits up to timeout seconds. OK; END; PENDING; INTERRUPTED; DEADLOCK; and for an imap
 * GENERATOR (after everything before it was delivered) or why a submit was refused. A task's own failure is in its
 * future and does not end the iteration. A future of an imap belongs to the iterator: valid until the next call. */
PROCPOOL_API procpool_status procpool_next(procpool_iterator *iterator, double timeout, procpool_future **future);
/* How many futures are known to it and not yet delivered. 0 on a bad handle. */
PROCPOOL_API size_t procpool_iterator_remaining(procpool_iterator *iterator);
/* Ends the iteration at any point: what an imap submitted and did not deliver is cancelled or dropped. Null is fine. */
PROCPOOL_API void procpool_iterator_free(procpool_iterator *iterator);

/* ---- map ---- */
typedef struct procpool_map_options {
  size_t chunksize;          /* items per task; 0: chosen by the pool */
  double timeout;            /* seconds for the whole map; 0: no limit */
  procpool_status *statuses; /* one per item, or null */
  procpool_error *error;     /* the error of the first (lowest) item that is not OK, or null */
  size_t failed_item;        /* out: its position */
  size_t failed_count;       /* out: how many items are not OK */
} procpool_map_options;

/* Calls function for each of count items: item i is argument_size bytes at arguments + i * argument_size, its result at
 * most result_size bytes to results + i * result_size, in order. options may be null. Results of items that are not OK
 * are left as they were; an item that fails or crashes its worker fails alone. Blocks. OK if all items are, else the
 * status of the first that is not; PENDING when the time is over (items that did not end have status PENDING; those not
 * begun never will); INTERRUPTED alike; ARGUMENT, HANDLE, MEMORY, DEADLOCK, SHUTDOWN. */
PROCPOOL_API procpool_status procpool_map(procpool *pool, procpool_function function, const void *arguments,
                                          size_t argument_size, void *results, size_t result_size, size_t count,
                                          procpool_map_options *options);

/* ---- inside a task ----
 * These may be called by the task's function alone, in the worker. */

/* The argument's bytes, aligned to 16; *size in bytes, may be null. Read-only; valid until the function returns. */
PROCPOOL_API const void *procpool_task_argument(procpool_task *task, size_t *size);
/* Memory for a result of size bytes, aligned to 16, to be filled before the function returns: in the worker's ring, from
 * where the host takes it. A later call replaces it. Null when there is no memory: the task then ends as CODEC. */
PROCPOOL_API void *procpool_task_result(procpool_task *task, size_t size);
/* Copies size bytes as the result; data may be anywhere, the argument included. */
PROCPOOL_API void procpool_task_return(procpool_task *task, const void *data, size_t size);
/* Reports failure: the task will be FAILED with this code and message (cut after 191 bytes; may be null). */
PROCPOOL_API void procpool_task_fail(procpool_task *task, int code, const char *message);
/* Whether the result is no longer wanted (the pool is being killed): a long task may ask now and then, and return. */
PROCPOOL_API bool procpool_task_cancelled(procpool_task *task);
/* Index of the worker that runs it, from 0. */
PROCPOOL_API int procpool_task_worker(procpool_task *task);

/* What the typed layer below needs in order to run the items of a map in a tight loop. */
typedef struct procpool_items {
  const void *arguments;
  void *results;
  size_t count;
} procpool_items;
PROCPOOL_API procpool_items procpool_task_items(procpool_task *task);
PROCPOOL_API void procpool_task_item(procpool_task *task, size_t index);
PROCPOOL_API procpool_status procpool_map_items(procpool *pool, procpool_function items_function, const void *arguments,
                                                size_t argument_size, void *results, size_t result_size, size_t count,
                                                procpool_map_options *options);
PROCPOOL_API procpool_future *procpool_submit_or_null(procpool *pool, procpool_function function, const void *argument,
                                                      size_t size);
PROCPOOL_API procpool_status procpool_future_result_exact(procpool_future *future, void *buffer, size_t size);
PROCPOOL_API procpool_status procpool_next_exact(procpool_iterator *iterator, void *buffer, size_t size);

/* ---- Process: one function in a process of its own (multiprocessing.Process) ---- */
typedef struct procpool_process_options {
  procpool_error *error; /* as in procpool_options */
  const char *name;      /* shown by top, htop and ps -o comm; default "process" */
  procpool_start start;  /* FORK, SPAWN or AUTO */
} procpool_process_options;

/* Starts function with size bytes at argument in a process of its own: a pool of one worker and one task. options may be
 * null. Returns null on an error, as procpool_open. Any thread. */
PROCPOOL_API procpool_process *procpool_process_start_checked(const procpool_process_options *options,
                                                              procpool_function function, const void *argument,
                                                              size_t size, int version, size_t options_size);
static PROCPOOL_UNUSED inline procpool_process *procpool_process_start(const procpool_process_options *options,
                                                                       procpool_function function, const void *argument,
                                                                       size_t size) {
  return procpool_process_start_checked(options, function, argument, size, PROCPOOL_VERSION,
                                        sizeof(procpool_process_options));
}
/* Waits until it has ended: OK; PENDING after timeout seconds; INTERRUPTED; HANDLE, FORKED. */
PROCPOOL_API procpool_status procpool_process_join(procpool_process *process, double timeout);
PROCPOOL_API bool procpool_process_is_alive(procpool_process *process);
/* As in Python: 0 when the function returned, 1 when it reported failure, the status given to exit, or minus the signal
 * that ended it. OK, PENDING (it lives), HANDLE, ARGUMENT. */
PROCPOOL_API procpool_status procpool_process_exit_code(procpool_process *process, int *exit_code);
/* Its process id, after its end too; 0 on a bad handle. */
PROCPOOL_API long procpool_process_pid(procpool_process *process);
/* SIGTERM / SIGKILL, sent by its supervisor: never to a stranger with the same id. Does not wait. OK also when it has
 * ended; HANDLE, FORKED. */
PROCPOOL_API procpool_status procpool_process_terminate(procpool_process *process);
PROCPOOL_API procpool_status procpool_process_kill(procpool_process *process);
/* The future beneath it: result, status, error. Belongs to the process. Null on a bad handle. */
PROCPOOL_API procpool_future *procpool_process_future(procpool_process *process);
/* Gives the handle back, and kills the process if it lives: join it first. Null is fine. */
PROCPOOL_API procpool_status procpool_process_free(procpool_process *process);

#ifdef __cplusplus
} /* extern "C" */
#endif

/* ---- the scope form ----
 *   PROCPOOL_WITH(pool, &options) { ... }
 * opens a pool for the block; shutdown(DRAIN) and free follow however the block is left (break and return included, not
 * longjmp or exit). The block does not run if open fails. */
static PROCPOOL_UNUSED inline void procpool__scope_end(procpool **pool) {
  if (*pool != PROCPOOL_NULL) {
    (void)procpool_shutdown(*pool, PROCPOOL_DRAIN);
    (void)procpool_free(*pool);
  }
}
#define PROCPOOL_WITH(pool, options)                                                                                   \
  for (procpool * pool __attribute__((cleanup(procpool__scope_end))) = procpool_open(options), *procpool__once = pool; \
       procpool__once != PROCPOOL_NULL; procpool__once = PROCPOOL_NULL)

/* ---- the typed layer ----
 *   PROCPOOL_FUNCTION(double, power, double, base, int, exponent) { ... return y; }
 * defines the ordinary function  static double power(double base, int exponent)  and beside it
 *   procpool_future *power_submit(pool, base, exponent)      null on an error
 *   procpool_status  power_result(future, &y)                waits; releases the future
 *   procpool_status  power_map(pool, arguments, results, count)
 *   procpool_status  power_map_with(pool, arguments, results, count, &map_options)
 *   procpool_status  power_imap(pool, generator, context, &imap_options, &iterator)
 *   procpool_status  power_next(iterator, &y)                waits; for loops over an imap
 *   power_task                                               the procpool_function beneath, for untyped calls
 * for one to four arguments. With one, arguments is an array of its type; with several, an array of power_arguments, a
 * struct of them by name. PROCPOOL_TASK_FUNCTION is the same with a  procpool_task *task  before the arguments, for bodies
 * that report failure (procpool_task_fail) or ask whether they are cancelled. Types are copied byte by byte: no pointers
 * to the host's memory (C++: trivially copyable is asserted; an exception ends the task as FAILED with its what()). */
#define PROCPOOL_FUNCTION(R, name, ...) PROCPOOL__TYPED(PROCPOOL__PLAIN, R, name, __VA_ARGS__)
#define PROCPOOL_TASK_FUNCTION(R, name, ...) PROCPOOL__TYPED(PROCPOOL__TASK, R, name, __VA_ARGS__)

#define PROCPOOL__CAT_(a, b) a##b
#define PROCPOOL__CAT(a, b) PROCPOOL__CAT_(a, b)
#define PROCPOOL__COUNT_(a, b, c, d, e, f, g, h, n, ...) n
#define PROCPOOL__COUNT(...) PROCPOOL__COUNT_(__VA_ARGS__, 4, odd, 3, odd, 2, odd, 1, odd, 0)
#define PROCPOOL__TYPED(K, R, name, ...)                                                                               \
  PROCPOOL__CAT(PROCPOOL__TYPED_, PROCPOOL__COUNT(__VA_ARGS__))(K, R, name, __VA_ARGS__)

/* K(what)(...) picks the plain or the task form: PROTO of the function, and how it is called. */
#define PROCPOOL__PLAIN_PROTO(R, name, ...) static R name(__VA_ARGS__)
#define PROCPOOL__PLAIN_CALL(name, ...) name(__VA_ARGS__)
#define PROCPOOL__TASK_PROTO(R, name, ...) static R name(procpool_task *task, __VA_ARGS__)
#define PROCPOOL__TASK_CALL(name, ...) name(task, __VA_ARGS__)

#define PROCPOOL__TYPED_1(K, R, name, T1, a1)                                                                          \
  PROCPOOL__CAT(K, _PROTO)(R, name, T1 a1);                                                                            \
  typedef T1 name##_arguments;                                                                                         \
  static PROCPOOL_UNUSED void name##_task(procpool_task *task);                                                        \
  static PROCPOOL_UNUSED inline procpool_future *name##_submit(procpool *pool, T1 a1) {                                \
    return procpool_submit_or_null(pool, name##_task, &a1, sizeof(a1));                                                \
  }                                                                                                                    \
  PROCPOOL__TYPED_REST(R, name, PROCPOOL__CAT(K, _CALL)(name, *procpool__a))                                           \
  PROCPOOL__CAT(K, _PROTO)(R, name, T1 a1)
#define PROCPOOL__TYPED_2(K, R, name, T1, a1, T2, a2)                                                                  \
  PROCPOOL__CAT(K, _PROTO)(R, name, T1 a1, T2 a2);                                                                     \
  typedef struct name##_arguments {                                                                                    \
    T1 a1;                                                                                                             \
    T2 a2;                                                                                                             \
  } name##_arguments;                                                                                                  \
  PROCPOOL__TYPED_SUBMIT(name, (procpool * pool, T1 a1, T2 a2), procpool__a.a1 = a1; procpool__a.a2 = a2;)             \
  PROCPOOL__TYPED_REST(R, name, PROCPOOL__CAT(K, _CALL)(name, procpool__a->a1, procpool__a->a2))                       \
  PROCPOOL__CAT(K, _PROTO)(R, name, T1 a1, T2 a2)
#define PROCPOOL__TYPED_3(K, R, name, T1, a1, T2, a2, T3, a3)                                                          \
  PROCPOOL__CAT(K, _PROTO)(R, name, T1 a1, T2 a2, T3 a3);                                                              \
  typedef struct name##_arguments {                                                                                    \
    T1 a1;                                                                                                             \
    T2 a2;                                                                                                             \
    T3 a3;                                                                                                             \
  } name##_arguments;                                                                                                  \
  PROCPOOL__TYPED_SUBMIT(name, (procpool * pool, T1 a1, T2 a2, T3 a3), procpool__a.a1 = a1; procpool__a.a2 = a2;       \
                         procpool__a.a3 = a3;)                                                                         \
  PROCPOOL__TYPED_REST(R, name, PROCPOOL__CAT(K, _CALL)(name, procpool__a->a1, procpool__a->a2, procpool__a->a3))      \
  PROCPOOL__CAT(K, _PROTO)(R, name, T1 a1, T2 a2, T3 a3)
#define PROCPOOL__TYPED_4(K, R, name, T1, a1, T2, a2, T3, a3, T4, a4)                                                  \
  PROCPOOL__CAT(K, _PROTO)(R, name, T1 a1, T2 a2, T3 a3, T4 a4);                                                       \
  typedef struct name##_arguments {                                                                                    \
    T1 a1;                                                                                                             \
    T2 a2;                                                                                                             \
    T3 a3;                                                                                                             \
    T4 a4;                                                                                                             \
  } name##_arguments;                                                                                                  \
  PROCPOOL__TYPED_SUBMIT(name, (procpool * pool, T1 a1, T2 a2, T3 a3, T4 a4), procpool__a.a1 = a1;                     \
                         procpool__a.a2 = a2; procpool__a.a3 = a3; procpool__a.a4 = a4;)                               \
  PROCPOOL__TYPED_REST(                                                                                                \
      R, name, PROCPOOL__CAT(K, _CALL)(name, procpool__a->a1, procpool__a->a2, procpool__a->a3, procpool__a->a4))      \
  PROCPOOL__CAT(K, _PROTO)(R, name, T1 a1, T2 a2, T3 a3, T4 a4)

#ifdef __cplusplus
#define PROCPOOL__TRIVIAL(T)                                                                                           \
  static_assert(std::is_trivially_copyable<T>::value, "procpool: " #T " crosses processes byte by byte");
#ifdef __cpp_exceptions
#define PROCPOOL__TRY try
#define PROCPOOL__CATCH(task)                                                                                          \
  catch (const std::exception &procpool__e) {                                                                          \
    procpool_task_fail(task, 1, procpool__e.what());                                                                   \
  }                                                                                                                    \
  catch (...) {                                                                                                        \
    procpool_task_fail(task, 1, "an exception that is not a std::exception");                                          \
  }
#else
#define PROCPOOL__TRY
#define PROCPOOL__CATCH(task)
#endif
#else
#define PROCPOOL__TRIVIAL(T)
#define PROCPOOL__TRY
#define PROCPOOL__CATCH(task)
#endif

#define PROCPOOL__TYPED_SUBMIT(name, parameters, assignments)                                                          \
  static PROCPOOL_UNUSED void name##_task(procpool_task *task);                                                        \
  static PROCPOOL_UNUSED inline procpool_future *name##_submit parameters {                                            \
    name##_arguments procpool__a;                                                                                      \
    __builtin_memset((void *)&procpool__a, 0, sizeof(procpool__a));                                                    \
    assignments return procpool_submit_or_null(pool, name##_task, &procpool__a, sizeof(procpool__a));                  \
  }

#define PROCPOOL__TYPED_REST(R, name, call)                                                                            \
  PROCPOOL__TRIVIAL(R)                                                                                                 \
  PROCPOOL__TRIVIAL(name##_arguments)                                                                                  \
  static PROCPOOL_UNUSED void name##_task(procpool_task *task) {                                                       \
    const name##_arguments *procpool__a = (const name##_arguments *)procpool_task_argument(task, PROCPOOL_NULL);       \
    PROCPOOL__TRY {                                                                                                    \
      const R procpool__r = call;                                                                                      \
      procpool_task_return(task, &procpool__r, sizeof(procpool__r));                                                   \
    }                                                                                                                  \
    PROCPOOL__CATCH(task)                                                                                              \
  }                                                                                                                    \
  static PROCPOOL_UNUSED void name##_items(procpool_task *task) {                                                      \
    const procpool_items procpool__items = procpool_task_items(task);                                                  \
    R *procpool__results = (R *)procpool__items.results;                                                               \
    for (size_t procpool__i = 0; procpool__i < procpool__items.count; procpool__i++) {                                 \
      const name##_arguments *procpool__a = (const name##_arguments *)procpool__items.arguments + procpool__i;         \
      procpool_task_item(task, procpool__i);                                                                           \
      PROCPOOL__TRY {                                                                                                  \
        procpool__results[procpool__i] = call;                                                                         \
      }                                                                                                                \
      PROCPOOL__CATCH(task)                                                                                            \
    }                                                                                                                  \
  }                                                                                                                    \
  static PROCPOOL_UNUSED inline procpool_status name##_result(procpool_future *future, R *result) {                    \
    return procpool_future_result_exact(future, result, sizeof(*result));                                              \
  }                                                                                                                    \
  static PROCPOOL_UNUSED inline procpool_status name##_map_with(                                                       \
      procpool *pool, const name##_arguments *arguments, R *results, size_t count, procpool_map_options *options) {    \
    return procpool_map_items(pool, name##_items, arguments, sizeof(*arguments), results, sizeof(*results), count,     \
                              options);                                                                                \
  }                                                                                                                    \
  static PROCPOOL_UNUSED inline procpool_status name##_map(procpool *pool, const name##_arguments *arguments,          \
                                                           R *results, size_t count) {                                 \
    return name##_map_with(pool, arguments, results, count, PROCPOOL_NULL);                                            \
  }                                                                                                                    \
  static PROCPOOL_UNUSED inline procpool_status name##_imap(procpool *pool, procpool_generator generator,              \
                                                            void *context, const procpool_imap_options *options,       \
                                                            procpool_iterator **iterator) {                            \
    return procpool_imap(pool, name##_task, generator, context, sizeof(name##_arguments), options, iterator);          \
  }                                                                                                                    \
  static PROCPOOL_UNUSED inline procpool_status name##_next(procpool_iterator *iterator, R *result) {                  \
    return procpool_next_exact(iterator, result, sizeof(*result));                                                     \
  }

#endif /* PROCPOOL_H */
