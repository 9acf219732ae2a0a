/* procpool.h - v0.2.0 - run C functions in a pool of worker processes - MIT licence, at the end of this file

   One core runs your function now; this file lets all of them run it, each call in a process of its own pool: a crash
   in one call harms that call alone, and nothing is asked of the rest of your program.

   DO THIS in one C or C++ file, before anything else is included:

       #define PROCPOOL_IMPLEMENTATION
       #include "procpool.h"

   and in every other file just the #include. Save this as quickstart.c beside procpool.h:

       #define PROCPOOL_IMPLEMENTATION
       #include "procpool.h"
       #include <stdio.h>

       PROCPOOL_FUNCTION(double, square, double, x) { // runs in a worker process
         return x * x;
       }

       int main(void) {
         const double in[4] = {1, 2, 3, 4};
         double out[4], one;
         PROCPOOL_WITH(pool, NULL) { // as many workers as processors
           if (square_map(pool, in, out, 4) != PROCPOOL_OK || square_call(pool, 5, &one) != PROCPOOL_OK)
             return 1;
           printf("%g %g %g %g and %g\n", out[0], out[1], out[2], out[3], one);
           return 0;
         }
         return 1; // the pool did not open
       }

   Then:   cc -O2 -pthread -o quickstart quickstart.c && ./quickstart
   prints: 1 4 9 16 and 25

   ==== CONTENTS: the tags to search for, in file order. Each part calls only parts that stand above it ===============

     >>manual        this text                       >>declarations   an index, and every call with its contract
     >>typed         calls with types, by macros     >>cplusplus      for C++: pools, futures, lambdas, containers
     >>manners       for users too: start methods, and what a pool does to its surroundings
     >>architecture  for who changes it: how it works and why, the shared memory drawn, what each memory order is for
     any process:    >>platform >>memory >>descriptors >>processes >>habits >>machine >>shm >>ring >>table
     worker:         >>worker >>working
     supervisor:     >>supervisor >>deaths >>door
     host:           >>host >>arena >>futures >>drain >>health >>waiting
     the calls:      >>open >>launch >>enter >>submit >>pool >>results >>several >>iterators >>map (host),
                     >>task (worker), >>process (host)
     >>changes       change log, version and API conventions, licence

   ==== >>manual ======================================================================================================

   ---- WHEN NOT TO USE IT ----
   - The function must change the caller's memory: a worker is another process, with copies of arguments and results
     (but see shared buffers). A pointer to the host's memory means nothing in it.
   - A call costs less than about a microsecond: hand out many at once with map, or call it directly.
   - You want threads: PROCPOOL_START_THREAD gives a thread pool with the same calls, but no isolation.
   - Untrusted code: a worker cannot make the host crash, but it has the rights of your program. Use a sandbox besides.

   ---- CONCEPTS ----
   pool     a supervisor process and its workers, seen from the host: the process that opened it.
   worker   a process that runs one task after the other. Index 0 to n - 1; a dead one is replaced under the same index.
   task     one call: a function, bytes in, bytes out. Its function gets a procpool_task to read and answer with.
   future   the host's handle of a submitted task. It settles exactly once. Who owns a task on its way:

       submit ──▶ queued ──────────▶ running ──────────▶ settled
                  the host's          worker w's          OK FAILED TRANSFER      committed by the worker
                     │                   ├─ w dies ─────▶ CRASHED                 decided by the supervisor
                     │                   └─ is ended ───▶ TIMEOUT CANCELLED       decided by the supervisor
                     └───────────────────────────────────▶ CANCELLED SHUTDOWN ... decided by the host

   A task's body starts at most once: one that was begun when its worker died is CRASHED, never run again. Those still
   queued go on; the supervisor replaces the worker at once, whatever the host is doing meanwhile.
   shared buffer   memory that the host and all workers see at the same address (procpool_shared_alloc): it saves the
            copies, for what is large or worked on many times. The library does not keep two tasks from writing to the
            same place, and what a task that crashed left there is anything.

   ---- START METHODS ----
   fork     needs nothing, and opens fastest from a small host with one thread: open early.
   spawn    starts the program anew: it costs the same however large the host is and whatever threads it has. It needs
            procpool_worker_main() as the first call in main; a plugin has a program of its own (options.worker_path).
   auto     fork in a process with one thread, else spawn if main has that call, else open refuses and says so.
   thread, inline   no processes: a thread pool with the same calls; or each task runs where it is waited for (gdb).
   Figures, and what each one does to the host: >>manners.

   ---- ERRORS ----
   Most calls return a procpool_status, or a handle that is null where they failed; procpool_strerror gives its text.
   Why a call was refused, or a typed call's task failed, procpool_last_error tells in the thread that made the call
   (so after open, too); procpool_future_error tells it of a future. A refused call changes nothing, unless it
   says otherwise. Any call may change errno; what it was is in error.system_error. The common ones:
     CRASHED     the error names signal or exit status, pid and resource usage; submit again if that is safe
     TRANSFER    the result was too large for its place or found no memory, or the worker has no such function
     TIMEOUT     its limit or deadline was over; error->stage says what ended it. (A wait whose time is over is PENDING.)
     FULL        no room within options.timeout; in a task of the same pool (thread, inline) at once
     MEMORY      wait or poll: the result stays where it is, free some memory and ask again. procpool_shared_alloc:
                 procpool_last_error has ENOMEM (max_memory, the machine), or ENOSPC, EFBIG (a limit on file sizes)
     INIT_FAIL   the initializer failed in every worker, three times in a row (threads: once), or all die between it and
                 their first task
     BROKEN      a strict pool lost a worker, or its supervisor was killed: open a new pool
     FORKED      a forked child of the host used the pool, or came back into a call: it may open one of its own
     MISMATCH    options that were not zeroed, or files of the program that were compiled with different procpool.h
     DEADLOCK    a wait inside a callback or a task of the same pool: it would wait for itself

   ---- CALLABLE FROM ----
                                        any thread   callback   task of the same pool      signal     forked child
                                        of the host             (thread and inline start)  handler    of the host
     procpool_open, _process_start         yes         yes         yes                        no         yes
     submit, cancel, release, read         yes         yes         yes                        no         FORKED
     procpool_shared_alloc, _shared_free   yes         yes         yes                        no         null, FORKED
     waits: see *                          yes         DEADLOCK*   DEADLOCK*                  no         FORKED
     procpool_call, procpool_map           yes         DEADLOCK    DEADLOCK                   no         FORKED
     shutdown, join, with timeout 0        yes         yes         yes                        no         FORKED
     with a longer one; close, free        yes         DEADLOCK    DEADLOCK                   no         FORKED
     procpool_last_error, _last_message    yes         yes         yes                        no         yes
     procpool_strerror, _status_name       yes         yes         yes                        yes        yes
     procpool_interrupt                    yes         yes         yes                        yes        no effect
     procpool_fd, _get_stats               yes         yes         yes                        no         -1, FORKED
     procpool_task_*                       no          no          yes, of its own task       no         no
     * procpool_future_wait, _result, _string, procpool_wait, _next, _poll, _wait_ready: not where there is nothing to
     wait for; with timeout 0 or less PENDING instead. A forked worker is such a child, and a spawned one has none of
     the host's handles; the tasks of both may open pools of their own, 8 levels deep.

   ---- MANNERS ---- in short: the host gets no signal handler, no thread (but with START_THREAD), no child that its
   wait() sees (but as process 1 or subreaper), and at most nine descriptors per pool, close-on-exec. Ctrl-C is the
   host's to decide, Ctrl-Z stops workers too. However the host ends, supervisor and workers are gone within a second,
   and nothing stays in /dev/shm or on disk. The rest: >>manners.

   ---- COMPILE-TIME OPTIONS ---- None of them changes a public struct.
   Where the implementation is:  PROCPOOL_MALLOC(size), PROCPOOL_REALLOC(p, size), PROCPOOL_FREE(p)   all three or none
                                 PROCPOOL_ASSERT(condition)   checks of this file's own logic; default: nothing
   In every file alike:          PROCPOOL_STATIC              all functions are static: an implementation per file
*/

/* ==== >>declarations ================================================================================================
 * Everything public. Nothing but these three headers is included for those who only call. All of it, to search for:
 *
 *   typed functions       PROCPOOL_FUNCTION            defines f, f_call, f_submit, f_result, f_map, f_each ...: >>typed
 *                         PROCPOOL_PROCEDURE           the same without a result
 *                         PROCPOOL_TASK_FUNCTION, PROCPOOL_TASK_PROCEDURE    the body gets its procpool_task too
 *                         PROCPOOL_STRING_FUNCTION     from a string to a string
 *                         PROCPOOL_DECLARE, PROCPOOL_DEFINE    divide one between a header and a file
 *   opening and ending    PROCPOOL_WITH                opens a pool for a block
 *                         procpool_open                opens a pool
 *                         procpool_worker_main         first call in main, where pools start the program anew (spawn)
 *                         procpool_cpu_count           how many processors there are
 *                         procpool_wait_ready          waits until all workers are through their initializers
 *                         procpool_shutdown            refuses new tasks, and drains, cancels or kills the others
 *                         procpool_close               runs what was accepted, and gives the pool back
 *                         procpool_free                kills what is not settled, and gives the pool back
 *   handing out           procpool_submit              one task
 *                         procpool_submit_many         many tasks, each with a future
 *                         procpool_call                one task, and waits for its result
 *                         procpool_map                 an array of items, and waits for all results
 *                         procpool_imap                a stream of items, results by procpool_next
 *   results               procpool_poll                takes in what has come (reads it, so that futures settle), and
 *                                                      runs callbacks; may wait for something
 *                         procpool_fd                  a descriptor for event loops
 *                         procpool_interrupt           ends waits; for signal handlers
 *                         procpool_wait                waits for some or all of many futures
 *                         procpool_as_completed        an iterator over futures in the order in which they settle
 *                         procpool_next                the next future of an iterator
 *                         procpool_iterator_index      which one that was
 *                         procpool_iterator_remaining  how many are to come
 *                         procpool_iterator_free       gives the iterator back
 *   of one future         procpool_future_status       the outcome, or PENDING
 *                         procpool_future_done         whether it has settled
 *                         procpool_future_running      whether it has begun and not settled
 *                         procpool_future_cancelled    whether it is CANCELLED
 *                         procpool_future_wait         waits for the outcome
 *                         procpool_future_result       waits, and copies the result
 *                         procpool_future_string       waits; the result as a string, in place
 *                         procpool_future_data         the result in place
 *                         procpool_future_error        what went wrong, and which worker had it
 *                         procpool_future_message      all of the error's message
 *                         procpool_future_index        its position in submit_many, its number in an imap
 *                         procpool_future_user         the user pointer of its options
 *                         procpool_future_pool         its pool, for callbacks that hand out more
 *                         procpool_future_cancel       takes it back if it has not begun
 *                         procpool_future_cancel_kill  ends it if it runs, too
 *                         procpool_future_add_done_callback    a function that runs in the host when it has settled
 *                         procpool_future_release      gives the future back
 *   of many futures       procpool_cancel_many, procpool_release_many
 *   in a task             procpool_task_argument       its argument
 *                         procpool_task_string         its argument as a string
 *                         procpool_task_result         memory for the result
 *                         procpool_task_return         copies the result
 *                         procpool_task_return_string  copies a string as the result
 *                         procpool_task_fail           reports a failure, also of an initializer
 *                         procpool_task_cancelled      whether the task is to end
 *                         procpool_task_index          which task or item it is
 *                         procpool_task_worker         index of its worker
 *                         procpool_task_shared         where a byte of a shared buffer lies here
 *   shared buffers        procpool_shared_alloc, procpool_shared_free    memory that host and workers see
 *   errors                procpool_last_error          of this thread's last call that was refused
 *                         procpool_last_message        all of its message
 *                         procpool_strerror, procpool_status_name      a status in words, its name
 *   what there is         procpool_start_method        which start method was taken
 *                         procpool_get_stats           workers, tasks and futures in figures
 *                         procpool_version             of the implementation
 *   one process           procpool_process_start       runs one function in a process of its own
 *                         procpool_process_join        waits for its end
 *                         procpool_process_is_alive, _exit_code, _pid, _future, _terminate, _kill, _free
 *   C++                   procpools::pool, procpools::future, procpools::codec, procpools::error: >>cplusplus */
#ifndef PROCPOOL_H
#define PROCPOOL_H

/* The implementation needs POSIX names that a strict -std hides. This must come before the first system include. */
#if defined(PROCPOOL_IMPLEMENTATION) && !defined(_DEFAULT_SOURCE) && !defined(_GNU_SOURCE)
#define _DEFAULT_SOURCE 1
#endif

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#ifdef __cplusplus
#include <exception>
#include <new>
#include <type_traits>
#endif

#define PROCPOOL_VERSION_MAJOR 0
#define PROCPOOL_VERSION_MINOR 2
#define PROCPOOL_VERSION_PATCH 0
#define PROCPOOL_VERSION (PROCPOOL_VERSION_MAJOR * 10000 + PROCPOOL_VERSION_MINOR * 100 + PROCPOOL_VERSION_PATCH)

#define PROCPOOL_UNUSED __attribute__((unused))
#define PROCPOOL_NODISCARD __attribute__((warn_unused_result))
#ifdef PROCPOOL_STATIC
#define PROCPOOL_API static PROCPOOL_UNUSED
#else
#define PROCPOOL_API extern __attribute__((visibility("default")))
#endif
#ifdef __cplusplus
#define PROCPOOL_NULL nullptr
#define PROCPOOL__CAST(T, value) static_cast<T>(value)
#else
#define PROCPOOL_NULL NULL
#define PROCPOOL__CAST(T, value) ((T)(value))
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* ---- statuses ----
 * One list for everything that a call returns and for every way in which a task ends: X(name, value, text). The value
 * is part of the interface. 0 to 9: outcomes of tasks; 6 to 9 are also what submit says of a pool that takes no more.
 * 20 to 23: answers. 40 and above: refusals, which have changed nothing unless the call's comment says otherwise. */
#define PROCPOOL_STATUSES(X)                                                                                           \
  X(OK, 0, "the task returned and its result is complete")                                                             \
  X(FAILED, 1, "the task reported a failure (code and message in its error)")                                          \
  X(TRANSFER, 2, "the argument or the result could not be transferred")                                                \
  X(CRASHED, 3, "the worker died in the task (signal or exit status in its error)")                                    \
  X(TIMEOUT, 4, "the task's time limit or deadline was over")                                                          \
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
  X(HANDLE, 41, "the handle is null (was an open or a submit refused?), released, or not of this kind")                \
  X(MISMATCH, 42, "caller and implementation were compiled from different versions of procpool.h")                     \
  X(TOO_SMALL, 43, "the buffer is smaller than the result")                                                            \
  X(MEMORY, 44, "out of memory, or of shared memory (options.max_memory, or what the machine has)")                    \
  X(SYSTEM, 45, "a system call failed (number in the error)")                                                          \
  X(NO_FUNCTION, 46, "the function is not in the program that workers run")                                            \
  X(NO_WORKER_MAIN, 47, "spawn starts this program anew: call procpool_worker_main() first thing in main")             \
  X(THREADS, 48,                                                                                                       \
    "the process has threads: call procpool_worker_main() first thing in main, or open before they start")             \
  X(FORKED, 49, "the pool belongs to another process: this one is a forked child of its owner")                        \
  X(DEADLOCK, 50, "refused: the call would wait for itself (inside a callback or a task of this pool)")                \
  X(UNSUPPORTED, 51, "not available with this start method or on this system")                                         \
  X(TOO_DEEP, 52, "pools are nested too deeply")                                                                       \
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

/* How a running task was brought to its end, for a limit or by cancel_kill: see THE END OF A TASK THAT RUNS in
 * >>manners. */
typedef enum procpool_stage {
  PROCPOOL_STAGE_NONE = 0,
  PROCPOOL_STAGE_ASKED, /* it returned (or ended its worker) after procpool_task_cancelled() had become true */
  PROCPOOL_STAGE_TERM,  /* its worker was sent SIGTERM */
  PROCPOOL_STAGE_KILL   /* its worker was sent SIGKILL */
} procpool_stage;

/* What is known of a failure. Fields that do not apply are zero. */
typedef struct procpool_error {
  procpool_status status;
  int code;             /* FAILED: the task's own code; INIT_FAIL: what the initializer returned, or its own code */
  int signal;           /* CRASHED, TIMEOUT, CANCELLED while it ran: the signal that ended the worker, or 0 */
  int exit_status;      /* CRASHED with signal 0: the worker's exit status */
  procpool_stage stage; /* TIMEOUT, CANCELLED while it ran: the last stage that it took; NONE: it had not begun */
  size_t index;         /* of a map: which item; else procpool_future_index */
  int system_error;     /* SYSTEM, MEMORY, SPAWN_FAIL, and TRANSFER of a result that found no memory: errno */
  int worker;           /* index of the worker that had the task, or -1 */
  long pid;             /* process id of that worker (a thread's: of the host), or 0 */
  double user_seconds;  /* where the worker died: its processor time over its whole life */
  double system_seconds;
  long max_rss_kib;  /* and its largest resident size */
  char message[192]; /* cut where it is longer: procpool_future_message, procpool_last_message have all of it */
} procpool_error;

/* Why this thread's last refused call was refused (status 40 and above, or why a pool takes no more; an open too), or
 * the error of the last task whose outcome a typed call, a map or procpool_call gave back to this thread as other than
 * OK; and why such a call has none (INTERRUPTED, FULL). Untyped calls do not tell of FULL, PENDING, END, INTERRUPTED:
 * these are answers. As with errno, success changes nothing. (Not told: bad handles of calls that return no status, and
 * that of a procpool_process.) error may be null. Returns error->status: OK where there was none yet. Any thread, a
 * callback too. */
PROCPOOL_API procpool_status procpool_last_error(procpool_error *error);
/* All of that error's message, of any length; valid until this thread's next one. Never null. */
PROCPOOL_API const char *procpool_last_message(void);

/* ---- handles ---- */
typedef struct procpool procpool;               /* a pool, as its host sees it */
typedef struct procpool_future procpool_future; /* one submitted task, as its host sees it */
typedef struct procpool_task procpool_task;     /* one running task, as its function sees it */
typedef struct procpool_iterator procpool_iterator;
typedef struct procpool_process procpool_process; /* one function in a process of its own */

/* A task. Runs in a worker. It reads its argument, gives at most one result or one failure, and returns; it must not be
 * left by longjmp. (exit, pthread_exit: see Exit in >>manners. An exception of C++ makes it FAILED, in an
 * implementation that is compiled as C++.) */
typedef void (*procpool_function)(procpool_task *task);
/* Runs once in every worker before its first task. Returns 0, or a code that makes the start count as failed; it may
 * say why before, by procpool_task_fail(NULL, code, message). */
typedef int (*procpool_initializer)(const void *argument, size_t size);
/* Runs in the host when a future has settled (see procpool_future_add_done_callback). */
typedef void (*procpool_callback)(procpool_future *future, void *context);
/* Writes the next item and returns 1; returns 0 at the end, a negative number on an error. Runs in the host. */
typedef int (*procpool_generator)(void *context, void *item);

/* Time-outs are seconds: 0 or less looks once and does not wait. (In the options of a submit and of a map 0 is without
 * limit, and less than 0 does not wait.) */
#define PROCPOOL_FOREVER 1e18

/* ---- opening ---- */
typedef enum procpool_start {
  PROCPOOL_START_AUTO = 0, /* fork if the process has one thread, else spawn if it can, else open refuses */
  PROCPOOL_START_FORK,     /* workers are copies of the host as it is at open; beside threads a risk: >>manners */
  PROCPOOL_START_SPAWN,    /* workers are copies of a fresh start of the same program: procpool_worker_main() */
  PROCPOOL_START_THREAD,   /* workers are threads of the host: no isolation */
  PROCPOOL_START_INLINE    /* tasks run in the caller while it waits, polls or finds the queue full */
} procpool_start;

/* To be zeroed first (= {0}): a field that is zero has its default. What pointers lead to may go when open has
 * returned, but for an initializer_argument without its size and what finalizer_context is. */
typedef struct procpool_options {
  procpool_error *error; /* filled with the reason when open fails; may be null */
  const char *name;      /* shown by top, htop and ps -o comm: 10 bytes of it, then -INDEX; default "procpool" */

  /* which workers, and how many */
  procpool_start start;    /* default AUTO */
  int max_workers;         /* at most 1024; 0: $PROCPOOL_WORKERS, else procpool_cpu_count(PROCPOOL_CPU_USABLE); inline:
                              always one */
  int max_tasks_per_child; /* replace a worker after so many tasks; 0: never; fork and spawn only */
  bool strict;             /* one death breaks the pool, as in Python; fork and spawn only */

  /* what they have of the host */
  bool close_fds;      /* fork: workers keep descriptors 0, 1, 2 and keep_fds only */
  bool core_dumps;     /* leave core dumps of workers on */
  const int *keep_fds; /* with close_fds. Fork only: a spawned worker has 0, 1 and 2 */
  size_t keep_fds_count;

  /* what each runs before its first task */
  procpool_initializer initializer;
  const void *initializer_argument; /* initializer_size bytes, copied; with size 0 the pointer itself (not spawn) */
  size_t initializer_size;

  /* sizes */
  size_t max_queued; /* tasks accepted and not yet settled; default 65536, at most 8388608 */
  size_t ring_size;  /* bytes of each worker's result ring, a power of two from 4096 to 2^30; default 262144 */
  size_t max_memory; /* bytes for large arguments and shared buffers together; default: the machine's memory, or what a
                        control group allows of it; where address space is bounded (32 bits, RLIMIT_AS) an eighth of
                        what is left of it at most */

  /* times */
  int spin_us;              /* busy-wait before sleeping, us; 0: chosen by the pool; -1: never */
  double time_limit;        /* seconds of wall time that a task's body may run, then it is TIMEOUT: THE END OF A TASK
                               THAT RUNS in >>manners; 0: none; fork and spawn only */
  double grace;             /* seconds from each stage (procpool_stage) to the next; 0: 0.1; negative: none, SIGKILL at
                               once */
  double initializer_limit; /* seconds that an initializer may run; 0: no limit; fork and spawn only */

  /* thread: bytes of each worker's stack, at least 65536, and raised to what the system asks for (128 KiB on arm64); 0:
   * as the main thread's (RLIMIT_STACK, or 8 MiB). Of processes: Stack in >>manners */
  size_t stack_size;

  /* 1 to 19: added to the nice value that the host has at open, in each worker before its initializer, so that it gives
   * way to other programs; 0: as the host; not inline */
  int nice;

  /* spawn: the program that is started instead of the host's own; null: that one. For a plugin, whose main is not its
   * own, in a host with threads: a small program that opens the shared objects whose functions shall run (dlopen), and
   * then calls procpool_worker_main(), of the plugin's implementation or of another one of the same version.
   *   functions  that lie in shared objects which both programs have open can run in workers; those of the host's own
   *              executable cannot (NO_FUNCTION)
   *   path       from the root, or from the directory that open is called in: $PATH is not searched
   *   start      with the host's environment, and with this path as argv[0]. Where AUTO forks it is not used */
  const char *worker_path;

  /* Runs once in each worker that leaves in order (the pool is shut down by DRAIN or CANCEL, or the worker is replaced:
   * max_tasks_per_child), after its last task; inline in the call that ends the pool. Not in a worker that is killed or
   * has crashed, nor where the pool is killed, or freed without a shutdown before. It answers like a task, has no
   * argument, and is in no count. One that crashes, or calls exit, loses its own result alone: no strict pool breaks */
  procpool_function finalizer;

  /* Runs in the host for each finalizer that has ended, as a future's callback does; a shutdown is OK when all have
   * run. Its future is given back after it: OK with the result, FAILED, TRANSFER; where the worker ended in it CRASHED,
   * or TIMEOUT (finalizer_limit); the error names the worker. None comes for a worker that is killed while that result
   * is on its way, nor for one that ends in its finalizer while its ring is full. Null: the results are dropped */
  procpool_callback finalizer_callback;
  void *finalizer_context;
  double finalizer_limit; /* seconds that a finalizer may run, then its worker is killed; 0: no limit, and a shutdown
                             waits for it (KILL does not); fork and spawn only */
} procpool_options;

/* Opens a pool. options: null or zeroed for all defaults. Returns when every worker process has been started (their
 * initializers may still run), or null: nothing is left behind, and options->error says why:
 *   ARGUMENT, MISMATCH
 *   UNSUPPORTED  an option that this start method does not have; spawn in a program with rights of its own, or with an
 *                initializer_argument without its size; this thread's children would be in another PID namespace
 *   THREADS      auto in a process that has threads, or may have some, and cannot spawn; spawn of a program whose
 *                libraries start threads before main
 *   NO_WORKER_MAIN   spawn, and main has not called procpool_worker_main(); or the program at worker_path ended before
 *                it did, or did not do it within 30 seconds
 *   NO_FUNCTION  spawn: the initializer or the finalizer is not in the program that workers run
 *   SPAWN_FAIL, SYSTEM, MEMORY   system_error is errno, and the message begins with the call that failed, if one did
 *   TOO_DEEP     a pool within a pool within ...
 *   INIT_FAIL    inline: the initializer failed, its code is in the error
 * Any thread, inside a task too (a pool of its own); fork and spawn need 96 KiB of its stack. Blocks for the time of
 * a few forks. */
PROCPOOL_API PROCPOOL_NODISCARD procpool *procpool_open_checked(const procpool_options *options, int version,
                                                                size_t options_size);

static PROCPOOL_UNUSED inline PROCPOOL_NODISCARD procpool *procpool_open(const procpool_options *procpool__options) {
  return procpool_open_checked(procpool__options, PROCPOOL_VERSION, sizeof(procpool_options));
}

/* For PROCPOOL_START_SPAWN: call it first thing in main (in a program for options.worker_path: when it has opened the
 * shared objects, while it has one thread). In the program that the user starts it returns at once. In a process that
 * a pool has started it does not return: that process becomes the pool's supervisor. It believes only what it can
 * prove: in a set-user-ID program, or in a process that merely inherited the environment of a pool's process, it
 * returns. (Within the implementation its name is the door.) */
PROCPOOL_API void procpool_worker_main(void);

typedef enum procpool_cpu {
  PROCPOOL_CPU_USABLE = 0, /* the smaller of the affinity masks of all threads together and of the cgroup quota
                              (ancestors too), at least 1 */
  PROCPOOL_CPU_LOGICAL,    /* processors that are online */
  PROCPOOL_CPU_PHYSICAL    /* cores, counting the threads of one core once */
} procpool_cpu;

/* How many processors there are, of the kind asked for; at least 1, or 0 for an unknown kind. Any thread; reads
 * files. */
PROCPOOL_API int procpool_cpu_count(procpool_cpu kind);

/* ---- a pool's calls ----
 * All of them may be made from any thread of the process that opened the pool, and from a callback where not said
 * otherwise. A null pool is HANDLE (a freed one cannot be told from garbage), a forked child of the host gets FORKED. A
 * pool that was shut down refuses tasks, maps and new buffers with SHUTDOWN. */

typedef struct procpool_submit_options {
  size_t struct_size;   /* sizeof(procpool_submit_options), or 0: not checked. MISMATCH where the implementation has
                           another size. So in the other option structs */
  double timeout;       /* seconds to wait for room in the queue; 0: as long as it takes; negative: FULL at once */
  double time_limit;    /* as in procpool_options; 0: the pool's; negative: none */
  double grace;         /* as in procpool_options; 0: the pool's */
  double deadline;      /* seconds from this call until the task is to have ended, its time in the queue counted; 0: no
                           deadline; negative: it is over already. See THE END OF A TASK THAT RUNS in >>manners */
  bool shared_argument; /* the argument lies in a shared buffer of the pool: it is not copied, but used where it lies
                           (aligned as it is there). Leave it alone until the task has settled */
  void *result;         /* in a shared buffer of the pool: the result is built there, nothing is copied; null: not so */
  size_t result_size;   /* bytes at result: the task may give as many or fewer; one that gives more ends as TRANSFER */
  procpool_callback callback; /* runs as one of procpool_future_add_done_callback, with user as its context; also where
                                 no future is asked for */
  void *user;                 /* what procpool_future_user returns */
} procpool_submit_options;

/* Hands a task to the pool. size bytes at argument are copied (0 bytes are carried too; argument may then be null).
 * *future receives the handle, to be given back with procpool_future_release; with future null the result is
 * dropped. options may be null. Blocks while the queue is full (see options->timeout), and takes in results meanwhile
 * (reads them from the workers' rings, so that their futures settle); never runs a callback. Inside a task of this very
 * pool (thread, inline) it returns FULL instead of blocking.
 * With a result's place procpool_future_data returns it and procpool_future_result copies from it, as long as the
 * buffer is not freed; unless the task ends as OK, what lies there afterwards is anything. Returns
 *   OK           it will settle exactly once
 *   FULL         there was no room within options->timeout
 *   ARGUMENT     also where shared_argument or result lie in no live buffer of the pool, or run over its end
 *   NO_FUNCTION  spawn: the function is not in the program that workers run
 *   UNSUPPORTED  a time limit in a thread or inline pool
 *   MEMORY       in a callback also where all the memory is held by maps that run callbacks: it would wait for itself
 *   SYSTEM       spawn: no descriptor to look where a function lies that was not met before
 *   SHUTDOWN, BROKEN, INIT_FAIL, SPAWN_FAIL, INTERRUPTED, MISMATCH, HANDLE, FORKED */
PROCPOOL_API PROCPOOL_NODISCARD procpool_status procpool_submit(procpool *pool, procpool_function function,
                                                                const void *argument, size_t size,
                                                                const procpool_submit_options *options,
                                                                procpool_future **future);

/* Submits, waits without limit, copies the result and gives the future back: a call in another process. result:
 * capacity bytes; *result_size, which may be null, receives how many there are. options may be null. Returns
 *   the outcome  of the task
 *   TOO_SMALL    capacity is less than its result
 *   INTERRUPTED, MEMORY   it did not wait to the end: the task is cancelled if it has not begun, else its result is
 *                dropped
 *   DEADLOCK     in a callback or a task of this pool: nothing was submitted
 *   else         as procpool_submit. procpool_last_error has the rest */
PROCPOOL_API PROCPOOL_NODISCARD procpool_status procpool_call(procpool *pool, procpool_function function,
                                                              const void *argument, size_t size, void *result,
                                                              size_t capacity, size_t *result_size,
                                                              const procpool_submit_options *options);

/* Hands count tasks to the pool in one call, for far less than as many submits cost: task i gets size bytes at
 * arguments + i * size (arguments null: none), and they start in this order. futures: count places for the handles,
 * or null (the results are dropped). options as above, for each of them; its timeout is for the whole call, and task
 * i has its place for the result at result + i * result_size.
 * *submitted, which may be null, receives how many were accepted, from the first on: they will settle exactly once;
 * the places of the others become null. Waits, and takes results in, as submit does; workers start on the first tasks
 * while the rest is still being written. procpool_future_index of each future is i. Returns
 *   OK           all of them
 *   FULL, INTERRUPTED, MEMORY, SYSTEM, SHUTDOWN, BROKEN, INIT_FAIL, SPAWN_FAIL   those before *submitted; so ARGUMENT
 *                and FORKED, if a buffer was freed or a child came back while the call waited
 *   HANDLE, NO_FUNCTION, UNSUPPORTED, MISMATCH, and else ARGUMENT and FORKED     none */
PROCPOOL_API PROCPOOL_NODISCARD procpool_status procpool_submit_many(procpool *pool, procpool_function function,
                                                                     const void *arguments, size_t size, size_t count,
                                                                     const procpool_submit_options *options,
                                                                     procpool_future **futures, size_t *submitted);

/* ---- shared buffers ----
 * Memory that the host and every worker see, for arguments and results that are not to be copied. */

/* A buffer of size bytes, aligned to 64, what lies in it is anything (it may have been used before). It lives until
 * procpool_shared_free or procpool_free(pool); shutdown, and a pool that breaks, leave it readable. Tasks see the
 * buffers that were there when they were submitted, at the same address as the host (but see procpool_task_shared), so
 * pointers into buffers may stand in arguments and within buffers. The pages are taken here, so no later access runs
 * out of memory. Null when there is none to be had, and procpool_last_error says why: MEMORY with errno as system_error
 * (ENOMEM: more than max_memory or the machine has left; ENOSPC, EFBIG), SHUTDOWN, BROKEN, INIT_FAIL, HANDLE, FORKED.
 * May be called in callbacks, and in tasks of thread and inline pools; waits for nothing but the kernel. */
PROCPOOL_API PROCPOOL_NODISCARD void *procpool_shared_alloc(procpool *pool, size_t size);
/* Gives a buffer back; null is fine. Its memory is used again when every task that was submitted before has settled:
 * one that still uses it does no harm. (If a task's worker could not be ended, no buffer of that time is used again.)
 * OK; ARGUMENT for anything but the start of a live buffer; HANDLE, FORKED. From where procpool_shared_alloc may be
 * called, and after a shutdown. */
PROCPOOL_API procpool_status procpool_shared_free(procpool *pool, void *buffer);

/* Takes in what has come and runs due callbacks (in an inline pool it runs one task); where that was nothing, waits for
 * something up to timeout seconds. For programs of callbacks: `while (procpool_poll(pool, PROCPOOL_FOREVER) ==
 * PROCPOOL_OK) ;` ends when all is done. For event loops: with timeout 0 when procpool_fd() is readable, always in the
 * same thread. A result larger than the pool's ring_size comes in pieces, some at each call: one that is to be there at
 * once wants a place in a shared buffer. Returns
 *   OK        a task has settled in this call, in whatever way
 *   PENDING   none has within that time
 *   END       none is left that could: all tasks have settled before
 *   MEMORY    out of memory while taking a result in: it stays where it is, free some and poll again
 *   INTERRUPTED; DEADLOCK in a callback or a task of this pool, where it would have to wait; ARGUMENT (a time-out
 *   that is no number, here and at every wait), HANDLE, FORKED */
PROCPOOL_API procpool_status procpool_poll(procpool *pool, double timeout);

/* A descriptor for poll, select, epoll, the same at each call: readable when something may have settled, a task waits
 * in an inline pool, or the supervisor has ended; procpool_poll makes it unreadable. A loop that polls it without a
 * time-out, and calls procpool_poll when it is readable, learns of everything. One thread shall do that: what one
 * thread has polled, the loop of another is not told. While tasks are not settled a timer makes it readable too, after
 * 0.2 s and then ever more rarely (5 s at most): the poll then checks what workers have written to shared memory. It
 * may be readable without a cause, but is never unreadable with one. -1 on a bad handle, or where there is none to be
 * had (procpool_last_error). Belongs to the pool. */
PROCPOOL_API int procpool_fd(procpool *pool);

/* Waits until every worker is through its initializer and takes tasks, all at the same moment: one that dies in its
 * initializer, or has been replaced since it was ready, is waited for again. (A worker that is stopped takes no tasks.)
 * An inline pool is always ready. Runs callbacks, as every wait. Returns
 *   OK        they are
 *   PENDING   not within timeout seconds (where only some workers fail, again and again, it never comes about)
 *   INIT_FAIL (threads: where one of them has failed), SPAWN_FAIL, BROKEN, SHUTDOWN   it will not come about
 *   INTERRUPTED; MEMORY (a result found none); DEADLOCK in a callback or a task of this pool, unless it is so already;
 *   ARGUMENT, HANDLE, FORKED */
PROCPOOL_API procpool_status procpool_wait_ready(procpool *pool, double timeout);

/* Ends every wait that goes on in this pool, or if there is none the next one: they return INTERRUPTED, and nothing
 * else happens. Safe in a signal handler, from any thread; never blocks. */
PROCPOOL_API void procpool_interrupt(procpool *pool);

typedef enum procpool_shutdown_mode {
  PROCPOOL_DRAIN = 0, /* what was accepted runs */
  PROCPOOL_CANCEL,    /* what has not begun is CANCELLED, what runs may end */
  /* nothing runs on: workers are killed, everything unsettled is SHUTDOWN. A thread cannot be killed: what it runs ends
   * by itself, and that outcome counts (see procpool_task_cancelled) */
  PROCPOOL_KILL
} procpool_shutdown_mode;

/* Refuses new tasks and ends the pool as mode says; a later call may be stronger. Waits up to timeout seconds: 0 does
 * not wait, and is allowed in callbacks; PROCPOOL_FOREVER as long as it takes (KILL: moments; some seconds where a task
 * holds the supervisor, by stopping or tracing it, or the kernel a worker). Futures stay readable. Returns
 *   OK        every task has settled, callbacks have run, and no worker is left
 *   PENDING   not within that time: the shutdown goes on
 *   MEMORY    a result finds none: the shutdown goes on
 *   DEADLOCK inside a callback or a task of this pool; INTERRUPTED; ARGUMENT, HANDLE, FORKED */
PROCPOOL_API procpool_status procpool_shutdown(procpool *pool, procpool_shutdown_mode mode, double timeout);

/* Lets all that was accepted run, and gives the handle back: as the end of PROCPOOL_WITH does. Blocks as long as that
 * takes; not ended by procpool_interrupt. A callback can hand out nothing more meanwhile (SHUTDOWN): where some do,
 * poll to the END first. A result for which there is no memory is given up (TRANSFER). Otherwise as procpool_free: OK;
 * DEADLOCK inside a callback or a task of this pool; HANDLE, FORKED. Null is fine. */
PROCPOOL_API procpool_status procpool_close(procpool *pool);

/* Kills what is not settled (PROCPOOL_KILL), and gives the handle back. Beside it, and after it:
 *   calls that have begun    in other threads: this waits for them, and their waits end
 *   calls that begin later   none with this pool, procpool_interrupt included: HANDLE only while the memory is not used
 *                            again
 *   futures, iterators       are still to be given back; what was settled can be read
 *   shared buffers, procpool_fd   are gone
 * OK; DEADLOCK inside a callback or a task of this pool; HANDLE, FORKED. Null is fine. */
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
  uint64_t workers_stopped; /* how often a worker process was stopped by a signal (SIGSTOP, Ctrl-Z) since open; stops
                               that follow each other at once may count as one. What a debugger does by ptrace is
                               told to the debugger alone, and not counted. 0 for threads and inline */
  uint64_t futures;         /* held: handed out and not given back yet, those that iterators hold too */
} procpool_stats;

/* A snapshot; exact when nothing moves. OK, ARGUMENT, MISMATCH, HANDLE, FORKED. */
PROCPOOL_API procpool_status procpool_get_stats_sized(procpool *pool, procpool_stats *stats, size_t stats_size);
static PROCPOOL_UNUSED inline procpool_status procpool_get_stats(procpool *procpool__pool,
                                                                 procpool_stats *procpool__stats) {
  return procpool_get_stats_sized(procpool__pool, procpool__stats, sizeof(procpool_stats));
}

/* ---- futures ----
 * A future is its submitter's until release; any thread of the host may use it. It stays valid after the pool was shut
 * down and freed. A null one is HANDLE; so is a released one until at least 64 others of its pool have been given back
 * (and the pool is not freed): later it may be another task's. A program built with -fsanitize=address is told of every
 * use of a released one. */

/* The outcome if settled, else PENDING. Takes in what has come (in an inline pool it runs one task), but runs no
 * callback; never waits. HANDLE, FORKED. */
PROCPOOL_API procpool_status procpool_future_status(procpool_future *future);
/* settled, in whatever way / begun and not settled / CANCELLED. As procpool_future_status: `while
 * (!procpool_future_done(f)) work();` ends. On a bad handle done is true, and the others are false. */
PROCPOOL_API bool procpool_future_done(procpool_future *future);
PROCPOOL_API bool procpool_future_running(procpool_future *future);
PROCPOOL_API bool procpool_future_cancelled(procpool_future *future);

/* Waits until it is settled and returns the outcome; PENDING after timeout seconds (the task goes on); INTERRUPTED;
 * DEADLOCK inside a callback or a task of this pool unless it is settled; MEMORY (the result found none: free some and
 * ask again); ARGUMENT, HANDLE, FORKED. */
PROCPOOL_API procpool_status procpool_future_wait(procpool_future *future, double timeout);
/* Waits (timeout as above) and copies the result, as often as asked. *size receives its size in bytes; may be null.
 * Returns the outcome; TOO_SMALL if capacity is less than the size (nothing copied, *size says how much is needed); or
 * as procpool_future_wait. */
PROCPOOL_API procpool_status procpool_future_result(procpool_future *future, double timeout, void *buffer,
                                                    size_t capacity, size_t *size);
/* The result in place, aligned to 16 bytes: valid until release; null unless OK. *size as above. Never waits. Where the
 * task had a place for it in a shared buffer, that place: valid until the buffer is freed. */
PROCPOOL_API const void *procpool_future_data(procpool_future *future, size_t *size);
/* The result of a string function, or any other that ends with a zero byte: waits without limit, then returns it in
 * place, valid until release. Null unless the outcome is OK and the result such a string; procpool_last_error says why:
 * the outcome, TRANSFER (it is no string), or as procpool_future_wait; of a null one why the last submit was refused.
 * (Null too where the result went to a place in a shared buffer, whose end a worker might still change.) */
PROCPOOL_API const char *procpool_future_string(procpool_future *future);
/* What went wrong: error->status is the outcome (OK and PENDING included), error->worker and error->pid tell who ran
 * it. Returns OK, ARGUMENT, HANDLE or FORKED. */
PROCPOOL_API procpool_status procpool_future_error(procpool_future *future, procpool_error *error);
/* All of that error's message, of any length (of a task that had a place for its result: cut after 191 bytes); valid
 * until release. Empty where nothing went wrong, or it is not settled; of a bad handle that it is one. Never waits. */
PROCPOOL_API const char *procpool_future_message(procpool_future *future);
/* Which one it is: its position in procpool_submit_many, its number in procpool_imap; else 0. 0 on a bad handle. */
PROCPOOL_API size_t procpool_future_index(procpool_future *future);
/* Its pool, for callbacks that hand out more; null once that is freed, and on a bad handle. */
PROCPOOL_API procpool *procpool_future_pool(procpool_future *future);
/* The user pointer of the options that it was submitted with; else null. */
PROCPOOL_API void *procpool_future_user(procpool_future *future);

/* Cancels it if its body has not begun. CANCELLED (it is, now or before); PENDING (it runs: nothing was done); its
 * outcome (too late); HANDLE, FORKED. Does not wait. */
PROCPOOL_API procpool_status procpool_future_cancel(procpool_future *future);
/* The same, and a task that runs is ended: see THE END OF A TASK THAT RUNS in >>manners. grace as in procpool_options,
 * 0: the pool's; a later call may shorten it. Does not wait. CANCELLED (it is, now or before); PENDING (it runs and
 * will settle: as CANCELLED when its worker has ended or it returned, or as what it committed before); its outcome
 * (too late); UNSUPPORTED (it runs, in a thread or inline: nothing was done); ARGUMENT, HANDLE, FORKED. */
PROCPOOL_API procpool_status procpool_future_cancel_kill(procpool_future *future, double grace);

/* Runs callback(future, context) once, when the future has settled: at once if it has, else in the thread that then
 * polls, waits or shuts down (never inside submit). Without any lock held: it may submit, cancel, read, release this
 * future and add callbacks; a wait in it is refused with DEADLOCK. Several run in the order added. A future
 * that was released keeps its result for its callbacks. OK, ARGUMENT, HANDLE, FORKED, MEMORY.
 * A callback ends by returning. What it throws in C++ is kept until the call that ran it has let go of all it holds,
 * ends that call's wait, and leaves it then (the first exception, if there are several); this needs an implementation
 * that is compiled as C++ with exceptions. It must not be left by longjmp or pthread_exit, nor by an exception through
 * an implementation compiled as C: the pool is unusable then. */
PROCPOOL_API procpool_status procpool_future_add_done_callback(procpool_future *future, procpool_callback callback,
                                                               void *context);
/* Gives the future back, settled or not: a task that has not settled goes on, its result is dropped. OK, HANDLE,
 * FORKED. Null is fine. */
PROCPOOL_API procpool_status procpool_future_release(procpool_future *future);

/* procpool_future_cancel for each of count futures. Null ones are passed over. *cancelled, which may be null, receives
 * how many are CANCELLED now. OK; ARGUMENT; HANDLE, FORKED of the first bad one, the others being cancelled. */
PROCPOOL_API procpool_status procpool_cancel_many(procpool_future *const *futures, size_t count, size_t *cancelled);
/* procpool_future_release for each of count futures, whose places become null. Null ones are passed over. OK; ARGUMENT;
 * HANDLE, FORKED of the first bad one, the others being given back. */
PROCPOOL_API procpool_status procpool_release_many(procpool_future **futures, size_t count);

typedef enum procpool_wait_mode {
  PROCPOOL_ALL_COMPLETED = 0,
  PROCPOOL_FIRST_COMPLETED,
  PROCPOOL_FIRST_EXCEPTION /* the first that ends in anything but OK or CANCELLED; else as ALL_COMPLETED */
} procpool_wait_mode;

/* Waits for count futures, of several pools too; the same one may stand in it several times. *done receives how many
 * different ones are settled on return (may be null); procpool_future_done tells which. OK when the mode is satisfied,
 * PENDING after timeout seconds, INTERRUPTED, DEADLOCK, ARGUMENT, HANDLE, FORKED, MEMORY. */
PROCPOOL_API procpool_status procpool_wait(procpool_future *const *futures, size_t count, procpool_wait_mode mode,
                                           double timeout, size_t *done);

/* ---- iterators ----
 * An iterator is used by one thread at a time. */

/* Delivers each of count futures once, in the order in which they settle; the futures stay the caller's, and must be
 * held until the iterator is freed. *iterator receives the handle. OK, ARGUMENT, HANDLE, FORKED, MEMORY. */
PROCPOOL_API PROCPOOL_NODISCARD procpool_status procpool_as_completed(procpool_future *const *futures, size_t count,
                                                                      procpool_iterator **iterator);

typedef struct procpool_imap_options {
  size_t struct_size; /* as in procpool_submit_options */
  size_t buffersize;  /* inputs taken and not yet delivered, at most; 0: 64, or twice the workers (times chunksize) if
                         that is more */
  size_t chunksize;   /* items per task, at most (buffersize is the bound of that, too); 0 and 1: each item is a task of
                         its own. Some dozens make short items cheaper. Fewer go together where inputs come slowly, or
                         items or results are large (256 KiB per task) */
  bool unordered;     /* deliver in the order in which they settle */
  double time_limit;  /* of each item, as in procpool_submit_options; with a chunksize as in procpool_map_options */
  double grace;
  void *user; /* what procpool_future_user returns, of each item's future */
} procpool_imap_options;

/* Calls function for every item (item_size bytes) that generator produces, endless ones included. Inputs are pulled in
 * procpool_next, never more than buffersize ahead. With a chunksize an item that fails or crashes its worker fails
 * alone all the same: results of those before it are kept, those behind it are handed out again (where the pool takes
 * no more tasks by then, they get its status). options may be null. OK, ARGUMENT, HANDLE, FORKED, MEMORY, MISMATCH,
 * UNSUPPORTED (a time limit in a thread or inline pool). What a submit refuses, procpool_next tells. */
PROCPOOL_API PROCPOOL_NODISCARD procpool_status procpool_imap(procpool *pool, procpool_function function,
                                                              procpool_generator generator, void *context,
                                                              size_t item_size, const procpool_imap_options *options,
                                                              procpool_iterator **iterator);

/* The next future, settled; waits up to timeout seconds. A task's own failure is in its future and does not end the
 * iteration. A future of an imap belongs to the iterator, and is valid until the next call. Returns
 *   OK        there it is
 *   END       there is none any more
 *   PENDING   not within that time
 *   GENERATOR, or why a submit was refused (NO_FUNCTION, ARGUMENT ...; SHUTDOWN where the pool was freed, too)   of an
 *             imap: once, after everything before it was delivered; from then on END
 *   INTERRUPTED; MEMORY; DEADLOCK in a callback or a task of the pool, unless it has settled; HANDLE, FORKED, ARGUMENT
 *   */
PROCPOOL_API PROCPOOL_NODISCARD procpool_status procpool_next(procpool_iterator *iterator, double timeout,
                                                              procpool_future **future);
/* Which one was delivered last: its position in the list that procpool_as_completed got, or the number of imap's item,
 * from 0. SIZE_MAX before the first, and on a bad handle. */
PROCPOOL_API size_t procpool_iterator_index(procpool_iterator *iterator);
/* How many futures are known to it and not yet delivered. 0 on a bad handle. */
PROCPOOL_API size_t procpool_iterator_remaining(procpool_iterator *iterator);
/* Ends the iteration at any point: what an imap submitted and did not deliver is cancelled or dropped. Null is fine. */
PROCPOOL_API void procpool_iterator_free(procpool_iterator *iterator);

/* ---- map ---- */
typedef struct procpool_map_options {
  size_t struct_size; /* as in procpool_submit_options */
  size_t chunksize;   /* items per task, at most: a worker that has nothing to do gets some of a task that takes long;
                                0: chosen by the pool */
  double timeout;     /* seconds for the whole map; 0: no limit; negative: over already, no item begins */
  procpool_status *statuses; /* one per item, or null */
  procpool_error *errors;    /* one per item, or null: each has its status, an item that failed its own message too */
  procpool_error *error; /* the error of the first (lowest) item that is not OK; where that one did not end, or the map
                                was refused: why. Or null */
  size_t failed_item;    /* out: its position */
  size_t failed_count;   /* out: how many items are not OK */
  double time_limit;     /* seconds per item, as in procpool_submit_options: n items of a task may take n times as
                                long; when they do, the item that runs is TIMEOUT and the rest is handed out again */
  double grace;
} procpool_map_options;

/* Calls function for each of count items, in chunks of several to a task, and waits for all of them.
 *   arguments   item i is argument_size bytes at arguments + i * argument_size
 *   results     item i gives at most result_size bytes at results + i * result_size: a shorter result, or none, is
 *               filled up with zeros, a larger one makes the item TRANSFER. Those of items that are not OK are left as
 *               they were
 *   failures    an item that fails, crashes its worker or runs too long does so alone
 *   in place    results may be the array arguments itself, where both sizes are equal. Arrays that overlap in another
 *               way give wrong results
 *   shared      arrays in shared buffers of the pool are known by their address, and not copied: the items read their
 *               arguments, or write their results, where they are. Then what is left at an item that is not OK is
 *               anything, and after PENDING or INTERRUPTED tasks that were begun may go on writing until they settle.
 *               ARGUMENT for an array that lies in a buffer in part, or in one that was freed
 *   options     may be null
 * Blocks, and runs callbacks, as every wait. Returns
 *   OK          all items are OK; or else the status of the first that is not
 *   PENDING, INTERRUPTED   no further item begins. Up to one per worker runs still, and procpool_task_cancelled()
 *               becomes true for it; what had ended counts, the others have status PENDING
 *   SHUTDOWN, BROKEN, INIT_FAIL, SPAWN_FAIL, MEMORY, NO_FUNCTION, SYSTEM   as of procpool_submit. What was handed out
 *               has come in by then; the rest stays PENDING and never begins
 *   ARGUMENT, HANDLE, FORKED, MISMATCH, DEADLOCK (in a callback or a task of this pool), UNSUPPORTED (a time limit in a
 *               thread or inline pool)   nothing begins (or no more does, where a buffer is freed meanwhile, or a child
 *               comes back into the call) */
PROCPOOL_API procpool_status procpool_map(procpool *pool, procpool_function function, const void *arguments,
                                          size_t argument_size, void *results, size_t result_size, size_t count,
                                          procpool_map_options *options);

/* ---- inside a task ----
 * These may be called by the task's function alone, in the worker. */

/* The argument's bytes, aligned to 16; *size in bytes, may be null. Read-only; valid until the function returns. What
 * lies in a shared buffer is aligned as it is there. In a map they are those of the item; in one of the typed layer
 * aligned as its type is. */
PROCPOOL_API const void *procpool_task_argument(procpool_task *task, size_t *size);
/* The argument as a string. Null if its last byte is not zero: the task then ends as FAILED, return. */
PROCPOOL_API const char *procpool_task_string(procpool_task *task);
/* Memory for a result of size bytes, aligned to 16 (or as its place in a shared buffer is), to be filled before the
 * function returns. Where there is room it is where the host reads the result, else it is copied from there. A later
 * call replaces it. Null when there is no memory: the task then ends as TRANSFER. */
PROCPOOL_API void *procpool_task_result(procpool_task *task, size_t size);
/* Copies size bytes as the result; data may be anywhere, the argument included, and the memory that
 * procpool_task_result gave (so a result may turn out smaller than what was asked for). */
PROCPOOL_API void procpool_task_return(procpool_task *task, const void *data, size_t size);
/* Copies the string as the result, with its final zero. A null one makes the task FAILED. */
PROCPOOL_API void procpool_task_return_string(procpool_task *task, const char *string);
/* Reports failure: the task will be FAILED with this code and message (of any length, but cut after 191 bytes for an
 * item of a map and for a task that has a place for its result; may be null), whatever result it gives. It does not
 * leave the function: return after it. task may be null: then it is the one that runs in this thread, for functions
 * that are not given theirs; or the initializer, which has failed then, whatever it returns, and code and message (cut
 * after 191 bytes) are those of the INIT_FAIL that the host sees. */
PROCPOOL_API void procpool_task_fail(procpool_task *task, int code, const char *message);
/* Whether the result is no longer wanted (its limit is over, cancel_kill, its map has ended without it, the pool is
 * being killed): a long task may ask now and then, and return within its grace (THE END OF A TASK THAT RUNS). */
PROCPOOL_API bool procpool_task_cancelled(procpool_task *task);
/* Which task or item runs in this thread: its position in the arrays of procpool_submit_many, procpool_map and those of
 * the typed layer, its number in an imap; 0 for a task submitted alone. For seeds, or rows of a table in a shared
 * buffer: it is the same on every machine, with however many workers. Takes no task, so that functions that are not
 * given theirs can ask too. SIZE_MAX where no task runs. */
PROCPOOL_API size_t procpool_task_index(void);
/* Index of the worker that runs it, from 0. */
PROCPOOL_API int procpool_task_worker(procpool_task *task);
/* Where in this worker that byte of a shared buffer lies which the host has at address: nearly always there too. Only
 * where a spawned process has something else in that place, at every one of several starts, do addresses differ; a
 * program that puts pointers into arguments and must run even then leads them through here. Null for what is in no
 * shared memory. */
PROCPOOL_API void *procpool_task_shared(procpool_task *task, const void *address);

/* 64 bits where all of them are read and written at once. Within structs i386 aligns uint64_t to 4, and what lies
 * across two cache lines is slow there, or no longer atomic. */
typedef uint64_t procpool__u64 __attribute__((aligned(8)));
typedef int64_t procpool__i64 __attribute__((aligned(8)));

/* What the typed layer below needs in order to run the items of a map in a tight loop. */
typedef struct procpool__items {
  const void *arguments;
  void *results;
  const procpool__u64 *stop; /* shared: where the row ends, in its lower half; 0 as soon as no more items shall begin */
  procpool__u64 *begun;      /* shared: how many items were begun; one more than there are: all have ended */
  const procpool__u64 *word; /* the task's, shared: it says running until the supervisor asks the task to end */
  uint64_t running;
  size_t first;          /* the row's first item */
  bool limited;          /* only then it may be asked */
  const uint32_t *guard; /* not shared: zero in a child that an item has made and that comes back from it */
} procpool__items;
/* Of a typed function with pointers among its arguments: writes them to their places in to, of 8 (null for what is no
 * pointer), and returns the names of the function and of its arguments, each with a final zero. */
typedef const char *(*procpool__pointers)(const void *item, const void **to);
PROCPOOL_API const void *procpool__task_argument_exact(procpool_task *task, size_t size);
PROCPOOL_API procpool__items procpool__task_items(procpool_task *task);
PROCPOOL_API bool procpool__task_item(procpool_task *task, size_t index);
PROCPOOL_API procpool_status procpool__map_items(procpool *pool, procpool_function items_function,
                                                 const void *arguments, size_t argument_size, void *results,
                                                 size_t result_size, size_t count, procpool_map_options *options,
                                                 procpool__pointers pointers);
PROCPOOL_API procpool_status procpool__submit_item(procpool *pool, procpool_function function, const void *argument,
                                                   size_t size, size_t index, procpool_future **future);
PROCPOOL_API procpool_future *procpool__typed_submit(procpool *pool, procpool_function function, const void *argument,
                                                     size_t size, const procpool_submit_options *options,
                                                     procpool__pointers pointers);
PROCPOOL_API procpool_status procpool__typed_submit_many(procpool *pool, procpool_function function,
                                                         const void *arguments, size_t size, size_t count,
                                                         procpool_future **futures,
                                                         const procpool_submit_options *options,
                                                         procpool__pointers pointers);
PROCPOOL_API procpool_future *procpool__typed_submit_string(procpool *pool, procpool_function function,
                                                            const char *string, const procpool_submit_options *options);
PROCPOOL_API procpool_status procpool__typed_submit_strings(procpool *pool, procpool_function function,
                                                            const char *const *strings, size_t count,
                                                            procpool_future **futures,
                                                            const procpool_submit_options *options);
PROCPOOL_API procpool_status procpool__typed_call(procpool *pool, procpool_function function, const void *argument,
                                                  size_t size, void *buffer, size_t result_size,
                                                  const procpool_submit_options *options, procpool__pointers pointers);
PROCPOOL_API procpool_status procpool__typed_call_string(procpool *pool, procpool_function function, const char *string,
                                                         char *buffer, size_t capacity,
                                                         const procpool_submit_options *options);
PROCPOOL_API procpool_status procpool__typed_result(procpool_future *future, void *buffer, size_t size);
PROCPOOL_API procpool_status procpool__typed_imap(procpool *pool, procpool_function function,
                                                  procpool_generator generator, void *context, size_t item_size,
                                                  const procpool_imap_options *options, procpool_iterator **iterator,
                                                  procpool__pointers pointers);
PROCPOOL_API bool procpool__typed_each(procpool_iterator *iterator, void *buffer, size_t size, procpool_status *status);
PROCPOOL_API procpool_status procpool__typed_next(procpool_iterator *iterator, void *buffer, size_t size);

/* A loop of a dozen instructions is a fifth slower where it straddles a line of code: its function begins at one. */
#define PROCPOOL__LOOP __attribute__((aligned(64)))

#ifdef PROCPOOL__STEP /* test builds see each access to shared memory, those of the loop over items too */
#define PROCPOOL__ITEM_STEP() PROCPOOL__STEP()
#else
#define PROCPOOL__ITEM_STEP() ((void)0)
#endif
/* Whether item index may begin; here, and not a call, for items that take a nanosecond. First the word, where the task
 * has a time limit: an item that never began must not be the one that ran too long. Then it is written down that the
 * item begins (the one before has its result by then): should the worker die in it, it is the one that crashed. Only
 * then comes the look whether it shall: so the host, which takes stop away and then reads begun, knows what can have
 * begun (not at once, since a processor may look before others see what it wrote: the host waits a moment). Behind the
 * last item this writes one more than there are. False also at the end of a row: see procpool__worker_row. */
static PROCPOOL_UNUSED inline bool procpool__item_next(const procpool__u64 *procpool__stop,
                                                       procpool__u64 *procpool__begun,
                                                       const procpool__u64 *procpool__word, uint64_t procpool__running,
                                                       bool procpool__limited, size_t procpool__i) {
  PROCPOOL__ITEM_STEP();
  if (__builtin_expect(procpool__limited, 0) && __atomic_load_n(procpool__word, __ATOMIC_RELAXED) != procpool__running)
    return false; /* relaxed: the next look finds it, if not this one */
  PROCPOOL__ITEM_STEP();
  __atomic_store_n(procpool__begun, procpool__i + 1, __ATOMIC_RELEASE);
  __atomic_signal_fence(__ATOMIC_SEQ_CST); /* not begun yet: the compiler may not store its result earlier */
  PROCPOOL__ITEM_STEP();
  return __builtin_expect(procpool__i < (__atomic_load_n(procpool__stop, __ATOMIC_RELAXED) & UINT32_MAX), 1);
}

/* Whether this is not the worker, but a child of its own: that one has no results. */
static PROCPOOL_UNUSED inline bool procpool__item_of_copy(const uint32_t *procpool__guard) {
  return __builtin_expect(__atomic_load_n(procpool__guard, __ATOMIC_RELAXED) == 0, 0);
}

/* ---- Process: one function in a process of its own (multiprocessing.Process) ---- */
typedef struct procpool_process_options {
  procpool_error *error; /* as in procpool_options */
  const char *name;      /* shown by top, htop and ps -o comm: its first 15 bytes; default "process" */
  procpool_start start;  /* FORK, SPAWN or AUTO */
  size_t struct_size;    /* as in procpool_submit_options; not the first, so that error is where it always was */
} procpool_process_options;

/* Starts function with size bytes at argument in a process of its own: a pool of one worker and one task. options may
 * be null. Returns null on an error, of those of procpool_open and procpool_submit. Any thread. */
PROCPOOL_API PROCPOOL_NODISCARD procpool_process *
procpool_process_start_checked(const procpool_process_options *options, procpool_function function,
                               const void *argument, size_t size, int version, size_t options_size);
static PROCPOOL_UNUSED inline PROCPOOL_NODISCARD procpool_process *
procpool_process_start(const procpool_process_options *procpool__options, procpool_function procpool__function,
                       const void *procpool__argument, size_t procpool__size) {
  return procpool_process_start_checked(procpool__options, procpool__function, procpool__argument, procpool__size,
                                        PROCPOOL_VERSION, sizeof(procpool_process_options));
}
/* Waits until it has ended: OK; PENDING after timeout seconds; INTERRUPTED; DEADLOCK, MEMORY, ARGUMENT, HANDLE,
 * FORKED. */
PROCPOOL_API procpool_status procpool_process_join(procpool_process *process, double timeout);
/* Whether it has not ended. Never waits. False on a bad handle. */
PROCPOOL_API bool procpool_process_is_alive(procpool_process *process);
/* As in Python: 0 when the function returned, 1 when it reported failure, the status given to exit, or minus the signal
 * that ended it. A signal that comes before the function has begun counts too: the function then never runs. (1 where
 * its future was cancelled before.) OK, PENDING (it lives), HANDLE, FORKED, ARGUMENT. */
PROCPOOL_API procpool_status procpool_process_exit_code(procpool_process *process, int *exit_code);
/* Its process id, after its end too; 0 on a bad handle. */
PROCPOOL_API long procpool_process_pid(procpool_process *process);
/* SIGTERM / SIGKILL, sent by its supervisor: never to a stranger with the same id. Does not wait. OK also when it has
 * ended; HANDLE, FORKED; SYSTEM (the supervisor could not be told). */
PROCPOOL_API procpool_status procpool_process_terminate(procpool_process *process);
PROCPOOL_API procpool_status procpool_process_kill(procpool_process *process);
/* The future beneath it: result, status, error. Belongs to the process. Null on a bad handle. */
PROCPOOL_API procpool_future *procpool_process_future(procpool_process *process);
/* Gives the handle back, and kills the process if it lives: join it first. OK; DEADLOCK in a callback of its future;
 * HANDLE, FORKED. Null is fine. */
PROCPOOL_API procpool_status procpool_process_free(procpool_process *process);

/* For PROCPOOL_WITH below. */
PROCPOOL_API void procpool__close_scope(procpool *pool);

#ifdef __cplusplus
} /* extern "C" */
#endif

/* ---- the scope form ----
 *   PROCPOOL_WITH(pool, &options) { ... } else { ... }
 * opens a pool for the block; shutdown(DRAIN) and free follow however the block is left (break, continue and return
 * included, not longjmp or exit). If open fails, the block behind else runs instead, with a null pool; without an else
 * nothing does. (Where this is itself the body of an if, or of another PROCPOOL_WITH, put braces around it: the else
 * behind it is its own.) If pthread_exit or cancellation ends the thread within it, they follow with glibc in C++, and
 * in C with -fexceptions; else the pool stays. No callback may throw meanwhile: that would be a second unwinding, and
 * ends the program (std::terminate). The end of the block is procpool_close: procpool_interrupt ends waits within the
 * block, but not that. To drop what was accepted, shut down by KILL or CANCEL before the block is left. */
static PROCPOOL_UNUSED inline void procpool__scope_end(procpool **procpool__pool) {
  if (*procpool__pool != PROCPOOL_NULL)
    procpool__close_scope(*procpool__pool);
}
#define PROCPOOL_WITH(pool, options)                                                                                   \
  for (procpool * pool __attribute__((cleanup(procpool__scope_end))) = procpool_open(options),                         \
                       **procpool__once_##pool = &pool;                                                                \
       procpool__once_##pool != PROCPOOL_NULL; procpool__once_##pool = PROCPOOL_NULL)                                  \
    if (pool != PROCPOOL_NULL)

/* ==== >>typed =======================================================================================================
 * Calls with types: what a program in C uses most.
 *
 *   PROCPOOL_FUNCTION(double, power, double, base, int, exponent) { ... return y; }
 * at file scope defines the ordinary function  static double power(double base, int exponent)  and beside it
 *   status   power_call(pool, base, exponent, &y)        submits, waits, and gives the result
 *   status   power_call_with(pool, &submit_options, base, exponent, &y)   options may be null, here and below
 *   future   power_submit(pool, base, exponent)          null on an error
 *   future   power_submit_with(pool, &submit_options, base, exponent)
 *   status   power_submit_many(pool, arguments, count, futures)
 *   status   power_submit_many_with(pool, arguments, count, futures, &submit_options)
 *   status   power_result(future, &y)                    waits; releases the future, unless INTERRUPTED or refused;
 *                                                        of null: why this thread's last submit was refused, once
 *   status   power_map(pool, arguments, results, count)
 *   status   power_map_with(pool, arguments, results, count, &map_options)
 *   status   power_imap(pool, generator, context, &imap_options, &iterator)
 *   bool     power_each(iterator, &y, &status)           for loops over an imap: waits, and is true for each item, with
 *                                                        its outcome as status (y as it was, unless that is OK); false
 *                                                        where there is none: status is END, or what was refused, as
 *                                                        of procpool_next (after INTERRUPTED it may be asked again)
 *   status   power_next(iterator, &y)                    the same for a single step. Not for loops while it is OK: the
 *                                                        status of an item that failed is returned too
 *   power_task        the procpool_function beneath, for untyped calls
 *   power_arguments   the type of an element of the array arguments: with one argument its type, with several a struct
 *                     of them by name
 *   power_items, power_pointers, power_has_pointers      private
 *   while (power_each(iterator, &y, &status))            goes over all of them, whichever fail
 *     if (status == PROCPOOL_OK) ... else printf("%s\n", procpool_last_message());
 * A status is a procpool_status, a future a procpool_future *. power_call returns the task's outcome, or why it was not
 * submitted or not waited for; when its wait is INTERRUPTED, the task is cancelled if it has not begun, and its result
 * is dropped. The other calls are procpool_submit, procpool_map ... with these types.
 *
 *   PROCPOOL_PROCEDURE(save, int, number, ...) { ... }      without a result: a function of void. Its calls have no &y
 *                                                           and no results: save_call(pool, number), save_result(f)
 *   PROCPOOL_TASK_FUNCTION, PROCPOOL_TASK_PROCEDURE         with a `procpool_task *task` before the arguments, for
 *                                                           bodies that report failure (procpool_task_fail) or ask
 *                                                           whether they are cancelled
 *   PROCPOOL_DECLARE(double, power, double, base, int, exponent);          for several files: this in a header,
 *   PROCPOOL_DEFINE(double, power, double, base, int, exponent) { ... }    and this in one file, which includes it
 *                 PROCPOOL_DECLARE_PROCEDURE, PROCPOOL_DECLARE_TASK_FUNCTION, PROCPOOL_DECLARE_TASK_PROCEDURE and
 *                 PROCPOOL_DEFINE_... are the same for the others. power, power_task and power_items have external
 *                 linkage then, in C++ that of C: some files may be C and some C++.
 *
 * At file scope only. Arguments: none to eight, of types that can be assigned (not const; a char[10] goes into a
 * struct; a type with a comma in it needs a typedef), 64 KiB together at most. With none, arguments is left out:
 * power_submit_many(pool, count, futures), power_map(pool, results, count). Types are copied byte by byte (C++:
 * trivially copyable is asserted; an exception ends the task as FAILED with its what()). A pointer means nothing in
 * another process, so with fork and spawn an argument that is one is checked: it must be null or lead into a live
 * shared buffer of the pool (or to its end); else the call, or the imap's procpool_next, is refused with ARGUMENT, and
 * procpool_last_error names it. What is the same in every process (a function's address in a forked pool) goes as
 * uintptr_t. Pointers within a struct are not seen, nor is a result that is one: both are the caller's affair.
 *
 *   PROCPOOL_STRING_FUNCTION(shout, text) { ...; procpool_task_return_string(task, answer); }
 * is a function of a `procpool_task *task` and a `const char *text`, whose result is a string: procpool_future_string.
 * Beside it: shout_submit(pool, text), shout_submit_with(pool, &submit_options, text), shout_submit_many(pool, texts,
 * count, futures) with const char *const *texts, shout_submit_many_with(pool, texts, count, futures, &submit_options),
 * and shout_task. Further
 *   status   shout_call(pool, text, answer, capacity)    submits, waits, and copies the string: capacity bytes with its
 *                                                        final zero, TOO_SMALL where it is longer (it is lost then)
 *   status   shout_call_with(pool, &submit_options, text, answer, capacity)
 * There is no map: nothing could hold strings of all lengths. submit_many does what one would. */
#define PROCPOOL_FUNCTION(R, ...) PROCPOOL__TYPED(PROCPOOL__LOCAL, PROCPOOL__PLAIN, PROCPOOL__VALUE, R, __VA_ARGS__)
#define PROCPOOL_PROCEDURE(...) PROCPOOL__TYPED(PROCPOOL__LOCAL, PROCPOOL__PLAIN, PROCPOOL__VOID, void, __VA_ARGS__)
#define PROCPOOL_TASK_FUNCTION(R, ...) PROCPOOL__TYPED(PROCPOOL__LOCAL, PROCPOOL__TASK, PROCPOOL__VALUE, R, __VA_ARGS__)
#define PROCPOOL_TASK_PROCEDURE(...) PROCPOOL__TYPED(PROCPOOL__LOCAL, PROCPOOL__TASK, PROCPOOL__VOID, void, __VA_ARGS__)
#define PROCPOOL_DECLARE(R, ...) PROCPOOL__TYPED(PROCPOOL__HEADER, PROCPOOL__PLAIN, PROCPOOL__VALUE, R, __VA_ARGS__)
#define PROCPOOL_DECLARE_PROCEDURE(...)                                                                                \
  PROCPOOL__TYPED(PROCPOOL__HEADER, PROCPOOL__PLAIN, PROCPOOL__VOID, void, __VA_ARGS__)
#define PROCPOOL_DECLARE_TASK_FUNCTION(R, ...)                                                                         \
  PROCPOOL__TYPED(PROCPOOL__HEADER, PROCPOOL__TASK, PROCPOOL__VALUE, R, __VA_ARGS__)
#define PROCPOOL_DECLARE_TASK_PROCEDURE(...)                                                                           \
  PROCPOOL__TYPED(PROCPOOL__HEADER, PROCPOOL__TASK, PROCPOOL__VOID, void, __VA_ARGS__)
#define PROCPOOL_DEFINE(R, ...) PROCPOOL__TYPED(PROCPOOL__FILE, PROCPOOL__PLAIN, PROCPOOL__VALUE, R, __VA_ARGS__)
#define PROCPOOL_DEFINE_PROCEDURE(...)                                                                                 \
  PROCPOOL__TYPED(PROCPOOL__FILE, PROCPOOL__PLAIN, PROCPOOL__VOID, void, __VA_ARGS__)
#define PROCPOOL_DEFINE_TASK_FUNCTION(R, ...)                                                                          \
  PROCPOOL__TYPED(PROCPOOL__FILE, PROCPOOL__TASK, PROCPOOL__VALUE, R, __VA_ARGS__)
#define PROCPOOL_DEFINE_TASK_PROCEDURE(...)                                                                            \
  PROCPOOL__TYPED(PROCPOOL__FILE, PROCPOOL__TASK, PROCPOOL__VOID, void, __VA_ARGS__)

#ifdef __cplusplus
#define PROCPOOL__EXTERN extern "C"
#define PROCPOOL__MUST(condition, name, text) static_assert(condition, "procpool: " text)
#define PROCPOOL__IS_POINTER(T) std::is_pointer<T>::value
#define PROCPOOL__IS_VOID(T) std::is_void<T>::value
#define PROCPOOL__TRIVIAL(T)                                                                                           \
  static_assert(std::is_trivially_copyable<T>::value,                                                                  \
                "procpool: " #T                                                                                        \
                " crosses processes byte by byte, and is not trivially copyable: see procpools::pool");
#ifdef __cpp_exceptions
#define PROCPOOL__TRY try
#define PROCPOOL__CATCH(task)                                                                                          \
  catch (const std::exception &procpool__e) {                                                                          \
    procpool_task_fail(task, 1, procpool__e.what());                                                                   \
  }                                                                                                                    \
  catch (...) {                                                                                                        \
    procpool_task_fail(task, 1, "an exception that is not a std::exception");                                          \
  }
#define PROCPOOL__CATCH_ANY(statement)                                                                                 \
  catch (...) {                                                                                                        \
    statement;                                                                                                         \
  }
#else
#define PROCPOOL__TRY
#define PROCPOOL__CATCH(task)
#define PROCPOOL__CATCH_ANY(statement)
#endif
#else
#define PROCPOOL__EXTERN extern
#define PROCPOOL__MUST(condition, name, text) typedef char name[(condition) ? 1 : -1] PROCPOOL_UNUSED
#define PROCPOOL__IS_POINTER(T) (__builtin_classify_type(*(T *)0) == 5)
#define PROCPOOL__IS_VOID(T) __builtin_types_compatible_p(T, void)
#define PROCPOOL__TRIVIAL(T)
#define PROCPOOL__TRY
#define PROCPOOL__CATCH(task)
#define PROCPOOL__CATCH_ANY(statement)
#endif

/* ---- counting ---- A list is name, type, name, type, name ...: never empty, as C99 wants it. */
#define PROCPOOL__CAT_(a, b) a##b
#define PROCPOOL__CAT(a, b) PROCPOOL__CAT_(a, b)
#define PROCPOOL__FIRST(first, ...) first
#define PROCPOOL__PICK(a1, a2, a3, a4, a5, a6, a7, a8, a9, a10, a11, a12, a13, a14, a15, a16, a17, a18, a19, a20, a21, \
                       a22, a23, a24, a25, a26, a27, a28, a29, a30, a31, a32, a33, picked, ...)                        \
  picked
#define PROCPOOL__COUNT(...)                                                                                           \
  PROCPOOL__PICK(__VA_ARGS__, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 8, 0, 7, 0, 6, 0, 5, 0, 4, 0, 3, 0, 2,   \
                 0, 1, 0, 0, 0)
#define PROCPOOL__JUDGE(...)                                                                                           \
  PROCPOOL__PICK(                                                                                                      \
      __VA_ARGS__, PROCPOOL__TYPED_MANY, PROCPOOL__TYPED_MANY, PROCPOOL__TYPED_MANY, PROCPOOL__TYPED_MANY,             \
      PROCPOOL__TYPED_MANY, PROCPOOL__TYPED_MANY, PROCPOOL__TYPED_MANY, PROCPOOL__TYPED_MANY, PROCPOOL__TYPED_MANY,    \
      PROCPOOL__TYPED_MANY, PROCPOOL__TYPED_MANY, PROCPOOL__TYPED_MANY, PROCPOOL__TYPED_MANY, PROCPOOL__TYPED_MANY,    \
      PROCPOOL__TYPED_MANY, PROCPOOL__TYPED_MANY, PROCPOOL__TYPED_GOOD, PROCPOOL__TYPED_ODD, PROCPOOL__TYPED_GOOD,     \
      PROCPOOL__TYPED_ODD, PROCPOOL__TYPED_GOOD, PROCPOOL__TYPED_ODD, PROCPOOL__TYPED_GOOD, PROCPOOL__TYPED_ODD,       \
      PROCPOOL__TYPED_GOOD, PROCPOOL__TYPED_ODD, PROCPOOL__TYPED_GOOD, PROCPOOL__TYPED_ODD, PROCPOOL__TYPED_GOOD,      \
      PROCPOOL__TYPED_ODD, PROCPOOL__TYPED_GOOD, PROCPOOL__TYPED_ODD, PROCPOOL__TYPED_GOOD, 0)

/* n arguments: first(1, type, name) next(2, type, name) ...; or none. */
#define PROCPOOL__EACH(n, none, first, next, ...) PROCPOOL__CAT(PROCPOOL__EACH_, n)(none, first, next, __VA_ARGS__)
#define PROCPOOL__EACH_0(none, first, next, name) none
#define PROCPOOL__EACH_1(none, first, next, name, T1, a1) first(1, T1, a1)
#define PROCPOOL__EACH_2(none, first, next, name, T1, a1, T2, a2) first(1, T1, a1) next(2, T2, a2)
#define PROCPOOL__EACH_3(none, first, next, name, T1, a1, T2, a2, T3, a3)                                              \
  PROCPOOL__EACH_2(none, first, next, name, T1, a1, T2, a2) next(3, T3, a3)
#define PROCPOOL__EACH_4(none, first, next, name, T1, a1, T2, a2, T3, a3, T4, a4)                                      \
  PROCPOOL__EACH_3(none, first, next, name, T1, a1, T2, a2, T3, a3) next(4, T4, a4)
#define PROCPOOL__EACH_5(none, first, next, name, T1, a1, T2, a2, T3, a3, T4, a4, T5, a5)                              \
  PROCPOOL__EACH_4(none, first, next, name, T1, a1, T2, a2, T3, a3, T4, a4) next(5, T5, a5)
#define PROCPOOL__EACH_6(none, first, next, name, T1, a1, T2, a2, T3, a3, T4, a4, T5, a5, T6, a6)                      \
  PROCPOOL__EACH_5(none, first, next, name, T1, a1, T2, a2, T3, a3, T4, a4, T5, a5) next(6, T6, a6)
#define PROCPOOL__EACH_7(none, first, next, name, T1, a1, T2, a2, T3, a3, T4, a4, T5, a5, T6, a6, T7, a7)              \
  PROCPOOL__EACH_6(none, first, next, name, T1, a1, T2, a2, T3, a3, T4, a4, T5, a5, T6, a6) next(7, T7, a7)
#define PROCPOOL__EACH_8(none, first, next, name, T1, a1, T2, a2, T3, a3, T4, a4, T5, a5, T6, a6, T7, a7, T8, a8)      \
  PROCPOOL__EACH_7(none, first, next, name, T1, a1, T2, a2, T3, a3, T4, a4, T5, a5, T6, a6, T7, a7) next(8, T8, a8)
#define PROCPOOL__OF_TYPE(i, T, a) T
#define PROCPOOL__OF_FIELD(i, T, a) T a;
#define PROCPOOL__OF_PARAMETER(i, T, a) T a
#define PROCPOOL__OF_NEXT_PARAMETER(i, T, a) , T a
#define PROCPOOL__OF_OWN(i, T, a) , T procpool__##i
#define PROCPOOL__OF_SET(i, T, a) procpool__a.a = procpool__##i;
#define PROCPOOL__OF_GET(i, T, a) procpool__a->a
#define PROCPOOL__OF_NEXT_GET(i, T, a) , procpool__a->a
#define PROCPOOL__OF_TEXT(i, T, a) "\0" #a
#define PROCPOOL__OF_OR_POINTER(i, T, a) || PROCPOOL__IS_POINTER(T)
#define PROCPOOL__OF_POINTER(i, T, a) PROCPOOL__POINTER(i, T, procpool__a->a)
#define PROCPOOL__OF_ONE_POINTER(i, T, a) PROCPOOL__POINTER(i, T, *procpool__a)
#define PROCPOOL__POINTER(i, T, value)                                                                                 \
  __builtin_memcpy(procpool__to + (i - 1), &(value), PROCPOOL__IS_POINTER(T) ? sizeof(const void *) : 0);

/* ---- the parts that differ ---- How a call is made, plain or with the task; ... */
#define PROCPOOL__PLAIN_PROTO(R, n, name, ...)                                                                         \
  R name(PROCPOOL__EACH(n, void, PROCPOOL__OF_PARAMETER, PROCPOOL__OF_NEXT_PARAMETER, __VA_ARGS__))
#define PROCPOOL__PLAIN_CALL_0(n, name, ...) name()
#define PROCPOOL__PLAIN_CALL_1(n, name, ...) name(*procpool__a)
#define PROCPOOL__PLAIN_CALL_2(n, name, ...)                                                                           \
  name(PROCPOOL__EACH(n, , PROCPOOL__OF_GET, PROCPOOL__OF_NEXT_GET, __VA_ARGS__))
#define PROCPOOL__TASK_PROTO(R, n, name, ...)                                                                          \
  R name(procpool_task *task PROCPOOL__EACH(n, , PROCPOOL__OF_NEXT_PARAMETER, PROCPOOL__OF_NEXT_PARAMETER, __VA_ARGS__))
#define PROCPOOL__TASK_CALL_0(n, name, ...) name(procpool__task)
#define PROCPOOL__TASK_CALL_1(n, name, ...) name(procpool__task, *procpool__a)
#define PROCPOOL__TASK_CALL_2(n, name, ...)                                                                            \
  name(procpool__task PROCPOOL__EACH(n, , PROCPOOL__OF_NEXT_GET, PROCPOOL__OF_NEXT_GET, __VA_ARGS__))

/* ... with a result R or none; ... */
#define PROCPOOL__VALUE_CHECK(R, name)                                                                                 \
  PROCPOOL__MUST(!PROCPOOL__IS_VOID(R), procpool_write_PROCPOOL_PROCEDURE_if_there_is_no_result_##name,                \
                 #name " has no result: write PROCPOOL_PROCEDURE(" #name ", ...)");                                    \
  PROCPOOL__MUST(sizeof(R) <= 1048576, procpool_result_over_1_MiB_use_a_shared_buffer_or_procpool_task_result_##name,  \
                 "the result of " #name " is over 1 MiB: use a shared buffer or procpool_task_result");                \
  PROCPOOL__TRIVIAL(R)
#define PROCPOOL__VALUE_PLACE(R) , R *procpool__result
#define PROCPOOL__VALUE_OUT procpool__result, sizeof(*procpool__result)
#define PROCPOOL__VALUE_PASS , procpool__result
#define PROCPOOL__VALUE_RUN(R, call)                                                                                   \
  R procpool__r = call;                                                                                                \
  procpool_task_return(procpool__task, &procpool__r, sizeof(procpool__r))
#define PROCPOOL__VALUE_ITEMS_OUT(R) R *const procpool__out = PROCPOOL__CAST(R *, procpool__loop.results)
#define PROCPOOL__VALUE_ITEM(R, call)                                                                                  \
  R procpool__r = call;                                                                                                \
  if (procpool__item_of_copy(procpool__guard))                                                                         \
    return;                                                                                                            \
  procpool__out[procpool__i] = procpool__r
#define PROCPOOL__VOID_CHECK(R, name)
#define PROCPOOL__VOID_PLACE(R)
#define PROCPOOL__VOID_OUT PROCPOOL_NULL, 0
#define PROCPOOL__VOID_PASS
#define PROCPOOL__VOID_RUN(R, call) call
#define PROCPOOL__VOID_ITEMS_OUT(R)
#define PROCPOOL__VOID_ITEM(R, call)                                                                                   \
  call;                                                                                                                \
  if (procpool__item_of_copy(procpool__guard))                                                                         \
  return

/* ... and with no argument, one, or several. */
#define PROCPOOL__FORM_0 0
#define PROCPOOL__FORM_1 1
#define PROCPOOL__FORM_2 2
#define PROCPOOL__FORM_3 2
#define PROCPOOL__FORM_4 2
#define PROCPOOL__FORM_5 2
#define PROCPOOL__FORM_6 2
#define PROCPOOL__FORM_7 2
#define PROCPOOL__FORM_8 2
#define PROCPOOL__TYPE_0(n, name, ...) typedef char name##_arguments /* none is ever read */
#define PROCPOOL__TYPE_1(n, name, ...)                                                                                 \
  typedef PROCPOOL__EACH_1(, PROCPOOL__OF_TYPE, , __VA_ARGS__) name##_arguments;                                       \
  PROCPOOL__TYPE_CHECK(name)
#define PROCPOOL__TYPE_2(n, name, ...)                                                                                 \
  typedef struct name##_arguments {                                                                                    \
    PROCPOOL__EACH(n, , PROCPOOL__OF_FIELD, PROCPOOL__OF_FIELD, __VA_ARGS__)                                           \
  } name##_arguments;                                                                                                  \
  PROCPOOL__TYPE_CHECK(name)
#define PROCPOOL__TYPE_CHECK(name)                                                                                     \
  PROCPOOL__TRIVIAL(name##_arguments)                                                                                  \
  PROCPOOL__MUST(sizeof(name##_arguments) <= 65536,                                                                    \
                 procpool_argument_too_large_use_a_shared_buffer_or_procpool_submit_##name,                            \
                 "the arguments of " #name " are over 64 KiB: use a shared buffer or procpool_submit")
#define PROCPOOL__SIZE_0(name) 0
#define PROCPOOL__SIZE_1(name) sizeof(name##_arguments)
#define PROCPOOL__SIZE_2(name) sizeof(name##_arguments)
#define PROCPOOL__PACK_0(n, name, ...)
#define PROCPOOL__PACK_1(n, name, ...)
#define PROCPOOL__PACK_2(n, name, ...)                                                                                 \
  name##_arguments procpool__a;                                                                                        \
  __builtin_memset(PROCPOOL__CAST(void *, &procpool__a), 0, sizeof(procpool__a));                                      \
  PROCPOOL__EACH(n, , PROCPOOL__OF_SET, PROCPOOL__OF_SET, __VA_ARGS__)
#define PROCPOOL__PACKED_0 PROCPOOL_NULL
#define PROCPOOL__PACKED_1 &procpool__1
#define PROCPOOL__PACKED_2 &procpool__a
#define PROCPOOL__ARRAY_0(name)
#define PROCPOOL__ARRAY_1(name) , const name##_arguments *procpool__arguments
#define PROCPOOL__ARRAY_2(name) , const name##_arguments *procpool__arguments
#define PROCPOOL__FROM_0 PROCPOOL_NULL
#define PROCPOOL__FROM_1 procpool__arguments
#define PROCPOOL__FROM_2 procpool__arguments
#define PROCPOOL__PASS_0
#define PROCPOOL__PASS_1 , procpool__arguments
#define PROCPOOL__PASS_2 , procpool__arguments
#define PROCPOOL__POINTERS_0(n, name, ...)
#define PROCPOOL__POINTERS_1(n, name, ...)                                                                             \
  const name##_arguments *procpool__a = PROCPOOL__CAST(const name##_arguments *, procpool__item);                      \
  PROCPOOL__EACH_1(, PROCPOOL__OF_ONE_POINTER, , __VA_ARGS__)
#define PROCPOOL__POINTERS_2(n, name, ...)                                                                             \
  const name##_arguments *procpool__a = PROCPOOL__CAST(const name##_arguments *, procpool__item);                      \
  PROCPOOL__EACH(n, , PROCPOOL__OF_POINTER, PROCPOOL__OF_POINTER, __VA_ARGS__)

/* ---- the whole ---- In a wrong list, the compiler's message says what to write. */
#define PROCPOOL__TYPED(L, K, V, R, ...) PROCPOOL__JUDGE(__VA_ARGS__)(L, K, V, R, __VA_ARGS__)
#define PROCPOOL__TYPED_ODD(L, K, V, R, name, ...)                                                                     \
  PROCPOOL__MUST(sizeof(int) == 0, procpool_write_type_comma_name_for_each_argument_of_##name,                         \
                 "write type, name for each argument of " #name " (a type with a comma in it needs a typedef)");       \
  static PROCPOOL_UNUSED R name(void)
#define PROCPOOL__TYPED_MANY(L, K, V, R, name, ...)                                                                    \
  PROCPOOL__MUST(sizeof(int) == 0, procpool_at_most_8_arguments_put_more_into_a_struct_##name,                         \
                 #name " has more than 8 arguments: put some into a struct");                                          \
  static PROCPOOL_UNUSED R name(void)
#define PROCPOOL__TYPED_GOOD(L, K, V, R, ...)                                                                          \
  PROCPOOL__TYPED_OF(L, K, V, R, PROCPOOL__COUNT(__VA_ARGS__), PROCPOOL__FIRST(__VA_ARGS__, 0), __VA_ARGS__)
#define PROCPOOL__TYPED_OF(L, K, V, R, n, name, ...) L(K, V, R, n, PROCPOOL__CAT(PROCPOOL__FORM_, n), name, __VA_ARGS__)

/* All in one file; or the head for every file, and the rest in one. */
#define PROCPOOL__LOCAL(K, V, R, n, F, name, ...)                                                                      \
  static K##_PROTO(R, n, name, __VA_ARGS__);                                                                           \
  PROCPOOL__TYPED_CALLS(static PROCPOOL_UNUSED, V, R, n, F, name, __VA_ARGS__)                                         \
  PROCPOOL__TYPED_TASKS(static PROCPOOL_UNUSED, K, V, R, n, F, name, __VA_ARGS__)                                      \
  static K##_PROTO(R, n, name, __VA_ARGS__)
#define PROCPOOL__HEADER(K, V, R, n, F, name, ...)                                                                     \
  PROCPOOL__TYPED_CALLS(PROCPOOL__EXTERN, V, R, n, F, name, __VA_ARGS__)                                               \
  PROCPOOL__EXTERN K##_PROTO(R, n, name, __VA_ARGS__)
#define PROCPOOL__FILE(K, V, R, n, F, name, ...)                                                                       \
  PROCPOOL__TYPED_TASKS(PROCPOOL__EXTERN, K, V, R, n, F, name, __VA_ARGS__)                                            \
  PROCPOOL__EXTERN K##_PROTO(R, n, name, __VA_ARGS__)

#define PROCPOOL__INLINE static PROCPOOL_UNUSED inline
#define PROCPOOL__INLINE_NODISCARD static PROCPOOL_UNUSED PROCPOOL_NODISCARD inline

/* What the host calls. */
#define PROCPOOL__TYPED_CALLS(linkage, V, R, n, F, name, ...)                                                          \
  V##_CHECK(R, name) PROCPOOL__TYPE_##F(n, name, __VA_ARGS__);                                                         \
  enum { name##_has_pointers = 0 PROCPOOL__EACH(n, , PROCPOOL__OF_OR_POINTER, PROCPOOL__OF_OR_POINTER, __VA_ARGS__) }; \
  linkage void name##_task(procpool_task *procpool__task);                                                             \
  linkage void name##_items(procpool_task *procpool__task);                                                            \
  static PROCPOOL_UNUSED const char *name##_pointers(PROCPOOL_UNUSED const void *procpool__item,                       \
                                                     PROCPOOL_UNUSED const void **procpool__to) {                      \
    PROCPOOL__POINTERS_##F(n, name, __VA_ARGS__);                                                                      \
    return #name PROCPOOL__EACH(n, , PROCPOOL__OF_TEXT, PROCPOOL__OF_TEXT, __VA_ARGS__);                               \
  }                                                                                                                    \
  PROCPOOL__INLINE_NODISCARD procpool_future *name##_submit_with(                                                      \
      procpool *procpool__pool, const procpool_submit_options *procpool__options PROCPOOL__EACH(                       \
                                    n, , PROCPOOL__OF_OWN, PROCPOOL__OF_OWN, __VA_ARGS__)) {                           \
    PROCPOOL__PACK_##F(n, name, __VA_ARGS__);                                                                          \
    return procpool__typed_submit(procpool__pool, name##_task, PROCPOOL__PACKED_##F, PROCPOOL__SIZE_##F(name),         \
                                  procpool__options, PROCPOOL__CHECKS(name));                                          \
  }                                                                                                                    \
  PROCPOOL__INLINE_NODISCARD procpool_future *name##_submit(                                                           \
      procpool *procpool__pool PROCPOOL__EACH(n, , PROCPOOL__OF_OWN, PROCPOOL__OF_OWN, __VA_ARGS__)) {                 \
    PROCPOOL__PACK_##F(n, name, __VA_ARGS__);                                                                          \
    return procpool__typed_submit(procpool__pool, name##_task, PROCPOOL__PACKED_##F, PROCPOOL__SIZE_##F(name),         \
                                  PROCPOOL_NULL, PROCPOOL__CHECKS(name));                                              \
  }                                                                                                                    \
  PROCPOOL__INLINE_NODISCARD procpool_status name##_call_with(                                                         \
      procpool *procpool__pool, const procpool_submit_options *procpool__options PROCPOOL__EACH(                       \
                                    n, , PROCPOOL__OF_OWN, PROCPOOL__OF_OWN, __VA_ARGS__) V##_PLACE(R)) {              \
    PROCPOOL__PACK_##F(n, name, __VA_ARGS__);                                                                          \
    return procpool__typed_call(procpool__pool, name##_task, PROCPOOL__PACKED_##F, PROCPOOL__SIZE_##F(name), V##_OUT,  \
                                procpool__options, PROCPOOL__CHECKS(name));                                            \
  }                                                                                                                    \
  PROCPOOL__INLINE_NODISCARD procpool_status name##_call(                                                              \
      procpool *procpool__pool PROCPOOL__EACH(n, , PROCPOOL__OF_OWN, PROCPOOL__OF_OWN, __VA_ARGS__) V##_PLACE(R)) {    \
    PROCPOOL__PACK_##F(n, name, __VA_ARGS__);                                                                          \
    return procpool__typed_call(procpool__pool, name##_task, PROCPOOL__PACKED_##F, PROCPOOL__SIZE_##F(name), V##_OUT,  \
                                PROCPOOL_NULL, PROCPOOL__CHECKS(name));                                                \
  }                                                                                                                    \
  PROCPOOL__INLINE_NODISCARD procpool_status name##_submit_many_with(                                                  \
      procpool *procpool__pool PROCPOOL__ARRAY_##F(name), size_t procpool__count, procpool_future **procpool__futures, \
      const procpool_submit_options *procpool__options) {                                                              \
    return procpool__typed_submit_many(procpool__pool, name##_task, PROCPOOL__FROM_##F, PROCPOOL__SIZE_##F(name),      \
                                       procpool__count, procpool__futures, procpool__options, PROCPOOL__CHECKS(name)); \
  }                                                                                                                    \
  PROCPOOL__INLINE_NODISCARD procpool_status name##_submit_many(procpool *procpool__pool PROCPOOL__ARRAY_##F(name),    \
                                                                size_t procpool__count,                                \
                                                                procpool_future **procpool__futures) {                 \
    return name##_submit_many_with(procpool__pool PROCPOOL__PASS_##F, procpool__count, procpool__futures,              \
                                   PROCPOOL_NULL);                                                                     \
  }                                                                                                                    \
  PROCPOOL__INLINE_NODISCARD procpool_status name##_result(procpool_future *procpool__future V##_PLACE(R)) {           \
    return procpool__typed_result(procpool__future, V##_OUT);                                                          \
  }                                                                                                                    \
  PROCPOOL__INLINE procpool_status name##_map_with(procpool *procpool__pool PROCPOOL__ARRAY_##F(name) V##_PLACE(R),    \
                                                   size_t procpool__count, procpool_map_options *procpool__options) {  \
    return procpool__map_items(procpool__pool, name##_items, PROCPOOL__FROM_##F, PROCPOOL__SIZE_##F(name), V##_OUT,    \
                               procpool__count, procpool__options, PROCPOOL__CHECKS(name));                            \
  }                                                                                                                    \
  PROCPOOL__INLINE_NODISCARD procpool_status name##_map(                                                               \
      procpool *procpool__pool PROCPOOL__ARRAY_##F(name) V##_PLACE(R), size_t procpool__count) {                       \
    return name##_map_with(procpool__pool PROCPOOL__PASS_##F V##_PASS, procpool__count, PROCPOOL_NULL);                \
  }                                                                                                                    \
  PROCPOOL__INLINE_NODISCARD procpool_status name##_imap(                                                              \
      procpool *procpool__pool, procpool_generator procpool__generator, void *procpool__context,                       \
      const procpool_imap_options *procpool__options, procpool_iterator **procpool__iterator) {                        \
    return procpool__typed_imap(procpool__pool, name##_task, procpool__generator, procpool__context,                   \
                                PROCPOOL__SIZE_##F(name), procpool__options, procpool__iterator,                       \
                                PROCPOOL__CHECKS(name));                                                               \
  }                                                                                                                    \
  PROCPOOL__INLINE_NODISCARD bool name##_each(procpool_iterator *procpool__iterator V##_PLACE(R),                      \
                                              procpool_status *procpool__status) {                                     \
    return procpool__typed_each(procpool__iterator, V##_OUT, procpool__status);                                        \
  }                                                                                                                    \
  PROCPOOL__INLINE_NODISCARD procpool_status name##_next(procpool_iterator *procpool__iterator V##_PLACE(R)) {         \
    return procpool__typed_next(procpool__iterator, V##_OUT);                                                          \
  }

/* Null, so that nothing is done, if no argument is a pointer. */
#define PROCPOOL__CHECKS(name) (name##_has_pointers ? name##_pointers : PROCPOOL_NULL)

/* What a worker calls. */
#define PROCPOOL__TYPED_TASKS(linkage, K, V, R, n, F, name, ...)                                                       \
  linkage void name##_task(procpool_task *procpool__task) {                                                            \
    const name##_arguments *procpool__a = PROCPOOL__CAST(                                                              \
        const name##_arguments *, procpool__task_argument_exact(procpool__task, PROCPOOL__SIZE_##F(name)));            \
    if (procpool__a == PROCPOOL_NULL)                                                                                  \
      return;                                                                                                          \
    PROCPOOL__TRY {                                                                                                    \
      V##_RUN(R, K##_CALL_##F(n, name, __VA_ARGS__));                                                                  \
    }                                                                                                                  \
    PROCPOOL__CATCH(procpool__task)                                                                                    \
  }                                                                                                                    \
  linkage PROCPOOL__LOOP void name##_items(procpool_task *procpool__task) {                                            \
    const procpool__items procpool__loop = procpool__task_items(procpool__task);                                       \
    const name##_arguments *const procpool__in = PROCPOOL__CAST(const name##_arguments *, procpool__loop.arguments);   \
    const procpool__u64 *const procpool__stop =                                                                        \
        procpool__loop.stop; /* in registers: a call could change the struct */                                        \
    procpool__u64 *const procpool__begun = procpool__loop.begun;                                                       \
    const procpool__u64 *const procpool__word = procpool__loop.word;                                                   \
    const uint64_t procpool__running = procpool__loop.running;                                                         \
    const bool procpool__limited = procpool__loop.limited;                                                             \
    const uint32_t *const procpool__guard = procpool__loop.guard;                                                      \
    size_t procpool__i = procpool__loop.first;                                                                         \
    V##_ITEMS_OUT(R);                                                                                                  \
    if (procpool__stop == PROCPOOL_NULL)                                                                               \
      return;                                                                                                          \
    for (; procpool__item_next(procpool__stop, procpool__begun, procpool__word, procpool__running, procpool__limited,  \
                               procpool__i);                                                                           \
         procpool__i++) {                                                                                              \
      PROCPOOL_UNUSED const name##_arguments *procpool__a = procpool__in + procpool__i;                                \
      PROCPOOL__TRY {                                                                                                  \
        V##_ITEM(R, K##_CALL_##F(n, name, __VA_ARGS__));                                                               \
      }                                                                                                                \
      PROCPOOL__CATCH(procpool__task)                                                                                  \
    }                                                                                                                  \
  }

#define PROCPOOL_STRING_FUNCTION(name, text)                                                                           \
  static void name(procpool_task *task, const char *text);                                                             \
  static PROCPOOL_UNUSED void name##_task(procpool_task *procpool__task) {                                             \
    const char *procpool__string = procpool_task_string(procpool__task);                                               \
    if (procpool__string == PROCPOOL_NULL)                                                                             \
      return;                                                                                                          \
    PROCPOOL__TRY {                                                                                                    \
      name(procpool__task, procpool__string);                                                                          \
    }                                                                                                                  \
    PROCPOOL__CATCH(procpool__task)                                                                                    \
  }                                                                                                                    \
  PROCPOOL__INLINE_NODISCARD procpool_future *name##_submit(procpool *procpool__pool, const char *procpool__string) {  \
    return procpool__typed_submit_string(procpool__pool, name##_task, procpool__string, PROCPOOL_NULL);                \
  }                                                                                                                    \
  PROCPOOL__INLINE_NODISCARD procpool_future *name##_submit_with(                                                      \
      procpool *procpool__pool, const procpool_submit_options *procpool__options, const char *procpool__string) {      \
    return procpool__typed_submit_string(procpool__pool, name##_task, procpool__string, procpool__options);            \
  }                                                                                                                    \
  PROCPOOL__INLINE_NODISCARD procpool_status name##_call_with(                                                         \
      procpool *procpool__pool, const procpool_submit_options *procpool__options, const char *procpool__string,        \
      char *procpool__result, size_t procpool__capacity) {                                                             \
    return procpool__typed_call_string(procpool__pool, name##_task, procpool__string, procpool__result,                \
                                       procpool__capacity, procpool__options);                                         \
  }                                                                                                                    \
  PROCPOOL__INLINE_NODISCARD procpool_status name##_call(procpool *procpool__pool, const char *procpool__string,       \
                                                         char *procpool__result, size_t procpool__capacity) {          \
    return procpool__typed_call_string(procpool__pool, name##_task, procpool__string, procpool__result,                \
                                       procpool__capacity, PROCPOOL_NULL);                                             \
  }                                                                                                                    \
  PROCPOOL__INLINE_NODISCARD procpool_status name##_submit_many_with(                                                  \
      procpool *procpool__pool, const char *const *procpool__strings, size_t procpool__count,                          \
      procpool_future **procpool__futures, const procpool_submit_options *procpool__options) {                         \
    return procpool__typed_submit_strings(procpool__pool, name##_task, procpool__strings, procpool__count,             \
                                          procpool__futures, procpool__options);                                       \
  }                                                                                                                    \
  PROCPOOL__INLINE_NODISCARD procpool_status name##_submit_many(                                                       \
      procpool *procpool__pool, const char *const *procpool__strings, size_t procpool__count,                          \
      procpool_future **procpool__futures) {                                                                           \
    return procpool__typed_submit_strings(procpool__pool, name##_task, procpool__strings, procpool__count,             \
                                          procpool__futures, PROCPOOL_NULL);                                           \
  }                                                                                                                    \
  static void name(procpool_task *task, const char *text)

/* ==== >>cplusplus ===================================================================================================
 * For C++ alone: pools and futures that give themselves back, lambdas as tasks, strings and vectors as arguments and
 * results. All of it stands on the calls above. The namespace is procpools, since procpool is a type of the C part.
 *
 *   procpools::pool pool;                                       as procpool_open(NULL); throws procpools::error
 *   procpools::future<double> f = pool.submit([](double x) { return x * x; }, 5.0);
 *   double y = f.get();                                         waits; throws procpools::error
 *   std::vector<double> all = pool.map([](double x) { return x * x; }, std::vector<double>{1, 2, 3});
 *
 * A callable is copied byte by byte: a lambda without captures, or anything trivially copyable. (What it captures by
 * reference, or as a pointer, means nothing in another process, and the compiler does not see it.) A function's address
 * differs from process to process: write a lambda that calls it. What it throws makes the task FAILED with its what();
 * procpool_task_fail(nullptr, code, message) does so with a code, and procpool_task_index() says which item it is.
 * Arguments and results are decayed, and carried by procpools::codec:
 *   trivially copyable types   byte by byte, but no pointers, and no views as std::string_view, std::span and std::ref,
 *                              which the compiler refuses; within a struct it does not see pointers
 *   containers                 that have insert: std::string, std::vector, std::map and so on, also of each other
 *   what std::tuple_size knows std::pair, std::tuple, std::array
 *   your own types             template <> struct procpools::codec<shape> {
 *                                static void write(procpools::writer &to, const shape &s) { to.put(s.name); }
 *                                static shape read(procpools::reader &from) { return shape(from.get<std::string>()); }
 *                              };
 * Without exceptions (-fno-exceptions) get and map are absent, and nothing throws: a pool and a future are false where
 * they were refused; future::result and pool::map_into return a status. */
#ifdef __cplusplus
#include <stdexcept>
#include <utility>
#include <vector>

/* Files with and without exceptions differ in what these classes do, and with PROCPOOL_STATIC each file has functions
 * of its own: the linker must not take one for the other. */
#if defined(PROCPOOL_STATIC)
#define PROCPOOL__CPP_KIND
#elif defined(__cpp_exceptions)
#define PROCPOOL__CPP_KIND throwing
#else
#define PROCPOOL__CPP_KIND silent
#endif
#ifdef __cpp_exceptions
#define PROCPOOL__CPP_THROW(error) throw(error)
#else
#define PROCPOOL__CPP_THROW(error) ((void)(error))
#endif
#define PROCPOOL__CPP_UNREADABLE PROCPOOL_TRANSFER
#define PROCPOOL__CPP_NOT_ITS_BYTES(item)                                                                              \
  procpools::error(PROCPOOL__CPP_UNREADABLE, "the result does not have the bytes of its type", item)

namespace procpools {
inline namespace PROCPOOL__CPP_KIND {

/* What went wrong. what() is all of the message, of whatever length, or the status in words where there is none. */
class error : public std::runtime_error {
public:
  /* message: all of it, where details may have it cut; null or empty: what details have. */
  explicit error(const procpool_error &details, const char *message = nullptr)
      : std::runtime_error(text_of(message, text_of(details.message, procpool_strerror(details.status)))),
        details_(details) {
  }
  /* Nothing is known but the status, and which item of a map it was. message may be null. */
  explicit error(procpool_status status = PROCPOOL_OK, const char *message = nullptr, size_t item = 0)
      : std::runtime_error(text_of(message, procpool_strerror(status))), details_() {
    details_.status = status;
    details_.worker = -1;
    details_.index = item;
    for (size_t i = 0; message != nullptr && message[i] != '\0' && i + 1 < sizeof(details_.message); i++)
      details_.message[i] = message[i];
  }
  procpool_status status() const noexcept {
    return details_.status;
  }
  /* details().index is the position of the item that failed, in a map. */
  const procpool_error &details() const noexcept {
    return details_;
  }
  size_t item() const noexcept {
    return details_.index;
  }

private:
  static const char *text_of(const char *text, const char *otherwise) {
    return text != nullptr && text[0] != '\0' ? text : otherwise;
  }
  procpool_error details_;
};

class pool;
template <class T, class = void> struct codec; /* for your own types: write and read, see above */

/* Collects the bytes of a value. */
class writer {
public:
  void put_bytes(const void *from, size_t size) {
    const unsigned char *const bytes = static_cast<const unsigned char *>(from);
    bytes_.insert(bytes_.end(), bytes, bytes + size);
  }
  template <class T> void put(const T &value) {
    codec<T>::write(*this, value);
  }
  void reserve(size_t size) {
    bytes_.reserve(size);
  }
  size_t size() const {
    return bytes_.size();
  }
  const void *data() const {
    return bytes_.data();
  }

private:
  std::vector<unsigned char> bytes_;
};

/* Reads what a writer wrote, but trusts nothing: a worker that crashes or is hostile may have written anything. Where
 * there are not enough bytes it has failed, and gives zeros and empty containers from then on. */
class reader {
public:
  reader(const void *from, size_t left) : at_(static_cast<const unsigned char *>(from)), left_(left), failed_(false) {
  }
  bool get_bytes(void *to, size_t size) {
    if (size > left_)
      fail();
    if (size == 0)
      return !failed_;
    if (failed_) {
      __builtin_memset(to, 0, size);
      return false;
    }
    __builtin_memcpy(to, at_, size);
    at_ += size;
    left_ -= size;
    return true;
  }
  template <class T> T get() {
    return codec<T>::read(*this);
  }
  /* For codecs that find a value impossible: the task, or get, fails when they return. */
  void fail() {
    failed_ = true;
    left_ = 0;
  }
  bool failed() const {
    return failed_;
  }
  size_t left() const { /* bytes */
    return left_;
  }

private:
  const unsigned char *at_;
  size_t left_;
  bool failed_;
};

namespace detail {
template <class...> struct is_valid { typedef void type; };
template <class T> using decay = typename std::decay<T>::type;

/* What data() and get() return, void where there are none. (By a function: with a specialisation clang 14 does not let
 * a protected one, as that of std::vector<bool>, pass for none.) */
struct finds {
  template <class T> static auto data(int) -> decltype(std::declval<T &>().data());
  template <class T> static void data(long);
  template <class T> static auto get(int) -> decltype(std::declval<const T &>().get());
  template <class T> static void get(long);
};
template <class T> using data_of = decltype(finds::data<T>(0));
template <class T> using get_of = decltype(finds::get<T>(0));

/* data() gives the same pointer whether the object is const or not: it lies elsewhere. So does what a
 * std::reference_wrapper turns into. */
template <class T>
struct looks_elsewhere
    : std::integral_constant<
          bool, (std::is_pointer<data_of<T>>::value && std::is_same<data_of<T>, data_of<const T>>::value) ||
                    (std::is_reference<get_of<T>>::value && std::is_convertible<const T &, get_of<T>>::value)> {};
} // namespace detail

/* Whether T is a view: trivially copyable, but what it stands for lies elsewhere. Specialise it for views that are not
 * recognised, or types that are taken for one. */
template <class T>
struct is_view
    : std::conditional<std::is_trivially_copyable<T>::value, detail::looks_elsewhere<T>, std::false_type>::type {};

namespace detail {
struct view {};
struct pointer {};
struct bytes {};
struct sequence {};
struct fields {};
struct unknown {};

template <class T, class = void> struct is_sequence : std::false_type {};
template <class T>
struct is_sequence<T, typename is_valid<decltype(std::declval<T &>().insert(std::declval<T &>().end(),
                                                                            std::declval<typename T::value_type>())),
                                        decltype(std::declval<const T &>().size())>::type> : std::true_type {};
template <class T, class = void> struct has_fields : std::false_type {};
template <class T>
struct has_fields<T, typename is_valid<decltype(std::tuple_size<T>::value)>::type> : std::true_type {};
template <class T, class Size, class = void> struct has_block : std::false_type {};
template <class T, class Size>
struct has_block<T, Size, typename is_valid<decltype(std::declval<T &>().resize(std::declval<Size>()))>::type>
    : std::is_same<data_of<const T>, const typename T::value_type *> {};

template <bool condition, class A, class B> using either = typename std::conditional<condition, A, B>::type;
template <class T>
using kind_of =
    either<is_view<T>::value, view,
           either<std::is_pointer<T>::value || std::is_member_function_pointer<T>::value, pointer,
                  either<std::is_trivially_copyable<T>::value, bytes,
                         either<is_sequence<T>::value, sequence, either<has_fields<T>::value, fields, unknown>>>>>;

/* Whether a codec carries its type as its bytes are; one that a user has written need not. */
template <class C, class = void> struct is_bytes : std::false_type {};
template <class C> struct is_bytes<C, typename is_valid<typename C::as_bytes>::type> : std::true_type {};

template <class T, class Kind> struct codec_of;

template <class T> struct codec_of<T, bytes> {
  typedef void as_bytes;
  static void write(writer &to, const T &value) {
    to.put_bytes(&value, sizeof(value));
  }
  static T read(reader &from) {
    union place { /* T may have no default constructor */
      T value;
      place() {
      }
      ~place() {
      }
    } at;
    from.get_bytes(static_cast<void *>(&at.value), sizeof(T));
    return static_cast<T &&>(at.value);
  }
};

/* Any byte but 0 is true: else one that is neither could come from a hostile worker. */
template <> struct codec_of<bool, bytes> {
  typedef void as_bytes;
  static void write(writer &to, bool value) {
    to.put_bytes(&value, sizeof(value));
  }
  static bool read(reader &from) {
    return from.get<unsigned char>() != 0;
  }
};

template <class T> struct codec_of<T, sequence> {
  typedef typename T::value_type element;
  typedef std::integral_constant<bool, is_bytes<codec<element>>::value && has_block<T, size_t>::value &&
                                           std::is_default_constructible<element>::value>
      one_block;
  static void write(writer &to, const T &value) {
    to.put(size_t(value.size()));
    write_elements(to, value, one_block());
  }
  static T read(reader &from) {
    T value;
    const size_t count = from.get<size_t>();
    read_elements(from, value, count, one_block());
    return value;
  }

private:
  static void write_elements(writer &to, const T &value, std::true_type) {
    to.put_bytes(value.data(), value.size() * sizeof(element));
  }
  /* Each element has a byte at least, so that the bytes that are there bound how many are read. */
  static void write_elements(writer &to, const T &value, std::false_type) {
    for (auto at = value.begin(); at != value.end(); ++at) {
      const size_t before = to.size();
      codec<element>::write(to, *at);
      if (to.size() == before)
        to.put_bytes("", 1);
    }
  }
  static void read_elements(reader &from, T &value, size_t count, std::true_type) {
    if (count > from.left() / sizeof(element))
      from.fail();
    if (count == 0 || from.failed())
      return;
    value.resize(count);
    from.get_bytes(&value[0], count * sizeof(element));
  }
  static void read_elements(reader &from, T &value, size_t count, std::false_type) {
    for (; count > 0 && !from.failed(); count--) {
      const size_t before = from.left();
      unsigned char nothing;
      value.insert(value.end(), codec<element>::read(from));
      if (from.left() == before)
        from.get_bytes(&nothing, 1);
    }
  }
};

template <class T, size_t index, size_t count> struct fields_from {
  typedef typename std::remove_cv<typename std::tuple_element<index, T>::type>::type field;
  typedef fields_from<T, index + 1, count> rest;
  static void write(writer &to, const T &value) {
    using std::get;
    codec<field>::write(to, get<index>(value));
    rest::write(to, value);
  }
  template <class... Read> static T read(reader &from, Read &&...before) {
    field next = codec<field>::read(from);
    return rest::read(from, std::forward<Read>(before)..., std::move(next));
  }
};
template <class T, size_t count> struct fields_from<T, count, count> {
  static void write(writer &, const T &) {
  }
  template <class... Read> static T read(reader &, Read &&...all) {
    return T{std::forward<Read>(all)...};
  }
};
template <class T> struct codec_of<T, fields> : fields_from<T, 0, std::tuple_size<T>::value> {};

/* What must not be carried: the compiler says why, and little besides. */
template <class T> struct refused {
  static void write(writer &, const T &);
  static T read(reader &);
};
template <class T> struct codec_of<T, view> : refused<T> {
  static_assert(
      !std::is_same<T, T>::value,
      "procpool: a view (string_view, span, std::ref) looks at memory of this process: pass a std::string or a "
      "std::vector (if the type holds its own bytes: specialise procpools::is_view)");
};
template <class T> struct codec_of<T, pointer> : refused<T> {
  static_assert(!std::is_same<T, T>::value,
                "procpool: a pointer means nothing in another process: pass the value, a std::string or a std::vector "
                "(one into a shared buffer: put it into a struct)");
};
template <class T> struct codec_of<T, unknown> : refused<T> {
  static_assert(!std::is_same<T, T>::value,
                "procpool: this type is not trivially copyable: specialise procpools::codec for it");
};

} // namespace detail

template <class T, class> struct codec : detail::codec_of<T, detail::kind_of<T>> {};

namespace detail {
template <class F> struct checked_callable : std::true_type {
  static_assert(!std::is_pointer<F>::value,
                "procpool: a function's address differs from process to process: pass a lambda that calls it");
  static_assert(std::is_pointer<F>::value || std::is_trivially_copyable<F>::value,
                "procpool: the callable is copied byte by byte, so what it captures must be trivially copyable: pass "
                "std::string, std::vector and the like as arguments");
};

template <class F, class... A>
using result_of = decay<decltype(std::declval<decay<F> &>()(std::declval<decay<A>>()...))>;
template <class C> using item_of = decay<decltype(*std::declval<const C &>().begin())>;

/* What runs in the worker: reads the callable and the arguments one after the other, calls, and answers. */
template <class R, class Bytes = void> struct answer {
  template <class F, class... A> static void give(procpool_task *task, F &call, A &&...arguments) {
    const R result = call(std::forward<A>(arguments)...);
    writer to;
    to.put(result);
    procpool_task_return(task, to.data(), to.size());
  }
};
template <class R> struct answer<R, typename is_valid<typename codec<R>::as_bytes>::type> {
  template <class F, class... A> static void give(procpool_task *task, F &call, A &&...arguments) {
    const R result = call(std::forward<A>(arguments)...);
    procpool_task_return(task, &result, sizeof(result));
  }
};
template <> struct answer<void, void> {
  template <class F, class... A> static void give(procpool_task *, F &call, A &&...arguments) {
    call(std::forward<A>(arguments)...);
  }
};

template <class... A> struct reads;
template <class Next, class... A> struct reads<Next, A...> {
  template <class R, class F, class... Read>
  static void then_call(procpool_task *task, reader &from, F &call, Read &&...before) {
    Next next = codec<Next>::read(from);
    reads<A...>::template then_call<R>(task, from, call, std::forward<Read>(before)..., std::move(next));
  }
};
template <> struct reads<> {
  template <class R, class F, class... Read>
  static void then_call(procpool_task *task, reader &from, F &call, Read &&...all) {
    if (from.failed() || from.left() > 0)
      procpool_task_fail(task, 0, "the argument does not have the bytes that this callable takes");
    else
      answer<R>::give(task, call, std::forward<Read>(all)...);
  }
};

template <class F, class... A> struct job {
  typedef result_of<F, A...> result;
  static constexpr size_t head = std::is_empty<F>::value ? 0 : sizeof(F); /* bytes of the callable */
  static void write(writer &to, const F &call, const A &...arguments) {
    to.put_bytes(&call, head);
    const int in_order[] = {0, (codec<A>::write(to, arguments), 0)...};
    (void)in_order;
  }
  static void run(procpool_task *task) {
    size_t size = 0;
    const void *const bytes = procpool_task_argument(task, &size);
    reader from(bytes, size);
    union place {
      F call;
      place() {
      }
      ~place() {
      }
    } at;
    PROCPOOL__TRY {
      from.get_bytes(static_cast<void *>(&at.call), head);
      reads<A...>::template then_call<result>(task, from, at.call);
    }
    PROCPOOL__CATCH(task)
  }
};

/* The calls of the C part that hand out a task, and that say why not. */
inline procpool_status start(procpool *on, procpool_function function, const writer &argument,
                             const procpool_submit_options *options, procpool_future **future) {
  *future = nullptr;
  return procpool_submit(on, function, argument.data(), argument.size(), options, future);
}
inline error refusal(procpool_status status) {
  procpool_error last = procpool_error();
  return procpool_last_error(&last) == status ? error(last, procpool_last_message()) : error(status);
}
inline error failure(procpool_future *future, procpool_status status, size_t item = 0) {
  procpool_error last = procpool_error();
  if (procpool_future_error(future, &last) != PROCPOOL_OK || last.status != status)
    return error(status, nullptr, item); /* it is the wait that was refused */
  return error(last, procpool_future_message(future));
}

/* What futures of all types have in common. */
class future_base {
public:
  future_base(future_base &&other) noexcept : future_(other.future_), refused_(other.refused_) {
    other.future_ = nullptr;
    other.refused_ = PROCPOOL_HANDLE;
  }
  future_base &operator=(future_base &&other) noexcept {
    std::swap(future_, other.future_);
    std::swap(refused_, other.refused_);
    return *this;
  }
  ~future_base() {
    (void)procpool_future_release(future_);
  }
  explicit operator bool() const noexcept {
    return future_ != nullptr;
  }
  /* For every other call of the C part; it stays this object's. Null where there is none. */
  procpool_future *handle() const noexcept {
    return future_;
  }
  /* As procpool_future_wait; where there is no task, why it was refused. */
  procpool_status wait(double timeout_seconds = PROCPOOL_FOREVER) {
    return future_ != nullptr ? procpool_future_wait(future_, timeout_seconds) : refused_;
  }
  /* As procpool_future_status, otherwise as wait. */
  procpool_status status() const {
    return future_ != nullptr ? procpool_future_status(future_) : refused_;
  }
  /* As procpool_future_done. */
  bool done() const {
    return procpool_future_done(future_);
  }
  /* As procpool_future_cancel. */
  procpool_status cancel() {
    return future_ != nullptr ? procpool_future_cancel(future_) : refused_;
  }

protected:
  explicit future_base(procpool_future *handle, procpool_status refused) noexcept : future_(handle), refused_(refused) {
  }
  void wait_or_throw() {
    const procpool_status status = wait();
    if (status != PROCPOOL_OK)
      PROCPOOL__CPP_THROW(future_ != nullptr ? failure(future_, status) : error(status));
  }
  reader bytes() const {
    size_t size = 0;
    const void *const data = procpool_future_data(future_, &size);
    return reader(data, data != nullptr ? size : 0);
  }

private:
  friend class procpools::pool;
  procpool_future *future_;
  procpool_status refused_; /* why there is none */
};
} // namespace detail

/* One task's result to come. It gives itself back: a task that has not settled goes on, and its result is dropped. */
template <class R> class future : public detail::future_base {
public:
  future() noexcept : future(nullptr) {
  }
  /* Takes over a handle of the C part, or says why there is none. */
  explicit future(procpool_future *handle, procpool_status refused = PROCPOOL_HANDLE) noexcept
      : future_base(handle, refused) {
  }
#ifdef __cpp_exceptions
  /* Waits and returns the result, as often as asked. Throws error: the task's failure, or why the wait was refused
   * (INTERRUPTED, DEADLOCK, MEMORY: it may be asked again). */
  R get() {
    wait_or_throw();
    reader from = bytes();
    R value = codec<R>::read(from);
    if (from.failed() || from.left() > 0)
      throw PROCPOOL__CPP_NOT_ITS_BYTES(0);
    return value;
  }
#endif
  /* The same by status; unless it is OK, value is left as it was. */
  procpool_status result(R &value) {
    const procpool_status status = wait();
    if (status != PROCPOOL_OK)
      return status;
    reader from = bytes();
    R got = codec<R>::read(from);
    if (from.failed() || from.left() > 0)
      return PROCPOOL__CPP_UNREADABLE;
    value = std::move(got);
    return PROCPOOL_OK;
  }
};

template <> class future<void> : public detail::future_base {
public:
  future() noexcept : future(nullptr) {
  }
  /* Takes over a handle of the C part, or says why there is none. */
  explicit future(procpool_future *handle, procpool_status refused = PROCPOOL_HANDLE) noexcept
      : future_base(handle, refused) {
  }
#ifdef __cpp_exceptions
  void get() {
    wait_or_throw();
  }
#endif
  procpool_status result() {
    return wait();
  }
};

/* A pool that ends with its scope, as by PROCPOOL_WITH: what was accepted runs. (A callback that throws meanwhile ends
 * the program, by std::terminate; out of close it may throw.) Its calls may be made wherever those of the C part
 * may. */
class pool {
public:
  /* Throws error if it does not open. */
  pool() : pool(procpool_options()) {
  }
  explicit pool(const procpool_options &given) : pool_(nullptr), error_() {
    procpool_options own = given;
    own.error = &error_;
    pool_ = procpool_open(&own);
    if (given.error != nullptr && pool_ == nullptr)
      *given.error = error_;
    if (pool_ == nullptr)
      PROCPOOL__CPP_THROW(procpools::error(error_));
  }
  pool(pool &&other) noexcept : pool_(other.pool_), error_(other.error_) {
    other.pool_ = nullptr;
  }
  pool &operator=(pool &&other) noexcept {
    std::swap(pool_, other.pool_);
    std::swap(error_, other.error_);
    return *this;
  }
  ~pool() {
    if (pool_ != nullptr)
      procpool__close_scope(pool_);
  }
  explicit operator bool() const noexcept {
    return pool_ != nullptr;
  }
  /* For every other call of the C part; it stays this object's. Null where there is none. */
  procpool *handle() const noexcept {
    return pool_;
  }
  /* Why it did not open (without exceptions). */
  const procpool_error &error() const noexcept {
    return error_;
  }
  /* As procpool_close. If it is not OK, the pool is still there. */
  procpool_status close() {
    const procpool_status status = procpool_close(pool_);
    if (status == PROCPOOL_OK)
      pool_ = nullptr;
    return status;
  }

  /* call(arguments...) runs in a worker. Throws error where procpool_submit is refused. */
  template <class F, class... A> future<detail::result_of<F, A...>> submit(F call, A &&...arguments) {
    return submit_by(nullptr, call, std::forward<A>(arguments)...);
  }
  /* The same with a time limit, or other options, of its own (but shared_argument). */
  template <class F, class... A>
  future<detail::result_of<F, A...>> submit_with(const procpool_submit_options &options, F call, A &&...arguments) {
    return submit_by(&options, call, std::forward<A>(arguments)...);
  }

#ifdef __cpp_exceptions
  /* call(item) for each of a container's items (anything with begin, end and size), in order. Throws error of the
   * first item that failed; its item() says which. Blocks. Trivially copyable items and results are handed out many at
   * once, as by procpool_map; others one by one, and when one fails those that have not begun are cancelled. Each item
   * takes a copy of what the callable captures along. */
  template <class F, class C> std::vector<detail::result_of<F, detail::item_of<C>>> map(F call, const C &items) {
    std::vector<detail::result_of<F, detail::item_of<C>>> results;
    procpools::error why;
    if (map_into(results, call, items, &why) != PROCPOOL_OK)
      throw why;
    return results;
  }
#endif
  /* The same by status; unless it is OK, results is left as it was, and *why (may be null) says more. */
  template <class R, class F, class C>
  procpool_status map_into(std::vector<R> &results, F call, const C &items, procpools::error *why = nullptr) {
    typedef detail::item_of<C> item;
    typedef std::integral_constant<bool, detail::is_bytes<codec<item>>::value && detail::is_bytes<codec<R>>::value &&
                                             std::is_default_constructible<R>::value>
        at_once;
    static_assert(detail::checked_callable<F>::value, "the texts are in it");
    static_assert(std::is_same<R, detail::result_of<F, item>>::value,
                  "procpool: results must have the type that the callable returns");
    procpools::error reason;
    const procpool_status status = map_by<item>(results, call, items, reason, at_once());
    if (why != nullptr)
      *why = reason;
    return status;
  }

private:
  template <class F, class... A>
  future<detail::result_of<F, A...>> submit_by(const procpool_submit_options *options, const F &call,
                                               A &&...arguments) {
    typedef detail::job<F, detail::decay<A>...> job;
    static_assert(detail::checked_callable<F>::value, "the texts are in it");
    writer to;
    procpool_future *handle = nullptr;
    job::write(to, call, arguments...);
    const procpool_status status = detail::start(pool_, job::run, to, options, &handle);
    if (status != PROCPOOL_OK)
      PROCPOOL__CPP_THROW(detail::refusal(status));
    return future<detail::result_of<F, A...>>(handle, status);
  }

  /* Items as an array: where it lies, or copied, each behind the callable. */
  template <class Item, class F, class C>
  static auto array(writer &, const F &, const C &items, int) ->
      typename std::enable_if<std::is_empty<F>::value && std::is_same<decltype(items.data()), const Item *>::value,
                              const void *>::type {
    return items.data();
  }
  template <class Item, class F, class C> static const void *array(writer &to, const F &call, const C &items, long) {
    to.reserve(items.size() * (detail::job<F, Item>::head + sizeof(Item)));
    for (auto at = items.begin(); at != items.end(); ++at)
      detail::job<F, Item>::write(to, call, *at);
    return to.data();
  }
  /* A std::vector<bool> is no array. */
  template <class R> static void take(std::vector<R> &results, std::vector<R> &from) {
    results.swap(from);
  }
  static void take(std::vector<bool> &results, std::vector<unsigned char> &from) {
    results.assign(from.begin(), from.end());
  }

  template <class Item, class R, class F, class C>
  procpool_status map_by(std::vector<R> &results, const F &call, const C &items, procpools::error &why,
                         std::true_type) {
    typedef detail::job<F, Item> job;
    std::vector<detail::either<std::is_same<R, bool>::value, unsigned char, R>> cells(items.size());
    writer to;
    const void *const from = array<Item>(to, call, items, 0);
    procpool_error details = procpool_error();
    procpool_map_options options = procpool_map_options();
    options.error = &details;
    const procpool_status status =
        procpool_map(pool_, job::run, from, job::head + sizeof(Item), cells.data(), sizeof(R), cells.size(), &options);
    if (status == PROCPOOL_OK)
      take(results, cells);
    else
      why = details.status == status ? procpools::error(details) : procpools::error(status);
    return status;
  }

  template <class Item, class R, class F, class C>
  procpool_status map_by(std::vector<R> &results, const F &call, const C &items, procpools::error &why,
                         std::false_type) {
    std::vector<future<R>> futures;
    std::vector<R> all;
    procpool_status status = PROCPOOL_OK;
    futures.reserve(items.size());
    for (auto at = items.begin(); at != items.end() && status == PROCPOOL_OK; ++at) {
      procpool_future *handle = nullptr;
      writer to;
      detail::job<F, Item>::write(to, call, *at);
      status = procpool__submit_item(pool_, detail::job<F, Item>::run, to.data(), to.size(), futures.size(), &handle);
      if (status == PROCPOOL_OK)
        futures.push_back(future<R>(handle, status));
      else
        why = detail::refusal(status);
    }
    if (status == PROCPOOL_OK)
      status = collect(all, futures, why);
    for (size_t i = all.size(); i < futures.size(); i++)
      (void)futures[i].cancel();
    if (status == PROCPOOL_OK)
      results.swap(all);
    return status;
  }
  /* Results up to the first that is not there. */
  template <class R>
  static procpool_status collect(std::vector<R> &all, std::vector<future<R>> &futures, procpools::error &why) {
    all.reserve(futures.size());
    for (size_t i = 0; i < futures.size(); i++) {
      const procpool_status status = futures[i].wait();
      reader from = futures[i].bytes();
      if (status != PROCPOOL_OK)
        why = detail::failure(futures[i].handle(), status, i);
      else
        all.push_back(codec<R>::read(from));
      if (status == PROCPOOL_OK && (from.failed() || from.left() > 0))
        why = PROCPOOL__CPP_NOT_ITS_BYTES(i);
      if (why.status() != PROCPOOL_OK)
        return why.status();
    }
    return PROCPOOL_OK;
  }

  procpool *pool_;
  procpool_error error_;
};

} // namespace PROCPOOL__CPP_KIND
} // namespace procpools
#endif /* __cplusplus */

#endif /* PROCPOOL_H */

/* ==== >>manners =====================================================================================================
   For users: what the manual says in a line, in full.

   ---- PLATFORMS ----
   Linux with GCC or Clang, 32 or 64 bits with lock-free 64-bit atomics; C99 and later, C++11 and later; glibc or musl.
   It needs libc alone (-pthread, which glibc before 2.34 cannot do without), and /proc for spawn. What newer kernels
   have (memfd_create, pidfd, close_range) is used where it is there. On 32 bits off_t and time_t may have 32 or 64.
   Tested on x86-64 and i386 with Linux 6.18, glibc 2.36 and musl 1.2; built for arm, arm64, riscv64, s390x and ppc64le.
   Programs may be built with the thread, address and undefined-behaviour sanitizers. (Under the thread sanitizer a pool
   opens by one fork more, which copies the page tables once more.)

   ---- START METHODS ---- What the manual does not say of them:
   fork     each fork copies the host's page tables, for the supervisor, for every worker and for every replacement, and
            while the pool lives the host's first write to a page copies that page. In a host with threads an explicit
            fork is not refused, but a lock that another thread holds at that moment (of stdio, of a library) is held in
            the workers for ever, and in every replacement: a task that wants it hangs.
   spawn    a program whose libraries start threads before main cannot be spawned, since its workers are forks of that
            start: open says THREADS.
   auto     does not fork where it cannot be known whether there are threads (no /proc, and no glibc from 2.32 on that
            has started none).

   All that forked workers have of the host is as of open, for replacements too: memory, directory, environment, umask,
   open descriptors, nice value and scheduling class, rights (processors: see below). What the host changes or opens
   later no worker sees, and no descriptor can be handed to one: open it before, or pass its path. Of a spawned worker
   the same holds, but that it has neither the memory nor the descriptors.

       memory that the host has written to, at open       1 MiB   10 MiB   100 MiB   1 GiB   4 GiB
       fork: ms to open, with one worker                  0.5     0.8      3.8       37      132
             for each further worker or replacement       0.2     0.5      2.5       18      67
             to open, if these are pages of 2 MiB         0.5     0.8      2.6       3.1     4.7
       spawn: ms to open, with one worker                 1.0     0.9      0.9       1.2     1.1
       first write to a page of 4 KiB while a forked pool lives: 2 us; otherwise 0.01 us

   So take spawn from about 10 MiB on if the pool shall open fast, from 100 MiB on in any case, and wherever the host
   goes on changing much of what it has. (Two processors of an AMD EPYC, virtual, Linux 6.18; make -C tests/bench start
   measures yours. A program that does much before procpool_worker_main() pays for that at each spawn.)

   ---- THE END OF A TASK THAT RUNS ----
   A task that runs can be ended: by its time limit (TIMEOUT), or by procpool_future_cancel_kill (CANCELLED). It goes by
   the stages of procpool_stage, a grace apart. If the task returns when it is asked, its worker lives on; a worker that
   was ended is replaced. What the task was about to return is dropped. No signal ever hits the worker's next task:
   before one is sent, the task is taken from the worker, which then can never take another. The clock of a limit starts
   with the body, so that waiting in the queue does not count, and stops when the body has returned and what it printed
   is out. It is wall time; time in which the worker could not run because its whole job was stopped or frozen does not
   count (see Stops). One of ten seconds or more may be kept up to a thirtieth longer. The supervisor sees to all this,
   whatever the host does meanwhile.

   A deadline (procpool_submit_options) is an instant, and all time counts. A task that has not begun by then never
   does: it is TIMEOUT, with the stage NONE. One that runs is ended then, as by a limit; that needs fork
   or spawn. Of a limit and a deadline the earlier one counts, and the error's message says which it was. In the queue
   the supervisor looks for such tasks at each deadline; in a pool of threads, and inline, they settle as their turn
   comes.

   ---- PROCESS MANNERS ----
   Descriptors  the host gets seven per pool (procpool_fd: nine), close-on-exec and above 2. A worker has two of the
                pool's, and none of other pools'. Under fork it has the host's own besides (as any fork does; see
                close_fds), under spawn only 0, 1, 2. A task may close all that its worker has, and open others under
                the same numbers: the pool does not write to those, and the worker is replaced after it.
   Signals      nothing changes in the host: no handler, no mask, no SIGCHLD. Workers ignore what the host ignored when
                it opened the pool (under nohup, SIGHUP), but SIGCHLD; else they start with default dispositions and an
                empty mask; SIGINT does nothing in them: Ctrl-C is for the host to decide, see procpool_interrupt.
   Stops        workers are in the host's process group: Ctrl-Z stops them with it. Time in which host and worker are
                stopped does not count against a limit, nor time in which the supervisor itself could not run (the
                whole group stopped by SIGSTOP, a container frozen). It knows of the latter by oversleeping, so of
                each such stop as much as an eighth of the shortest limit (5 s at most) and 0.1 s may count, and all of
                it where it comes in the midst of a fork for a replacement.
                A worker that is stopped alone has its limit all the same; one that is stopped while it has no task
                keeps a shutdown waiting, except KILL, until it goes on. (How often workers were stopped stands in
                procpool_stats.) While a process stops or traces the supervisor no limit is kept, no death told and no
                worker replaced, except by KILL; a worker whose task has left it traced is replaced when that task
                returns.
   Processors   workers may use what all threads of the host together may use: OMP_PROC_BIND and the like, which pin
                the thread that opens the pool, do not pin its workers.
   Waiting      wait() and waitpid(-1) in the host never see the pool: the supervisor is detached. A host that is
                process 1 or a child subreaper adopts the supervisor as it does every orphan: while the pool lives, such
                a host's wait() waits for that too. It leaves no zombie: its end is taken note of with the pool's (Linux
                5.4; but workers whose supervisor was killed are left for the host's own wait()). In a
                container an init before the host (docker run --init) spares it all that. RUSAGE_CHILDREN and `time`
                of the host do not count workers; a crashed one's use is in its procpool_error.
   Forks        a child that the host forks has nothing of its pools, at whatever moment of another thread's open or
                free that is: its calls are FORKED, it may open a pool of its own, and close what it likes before. (The
                first open registers handlers around forks, pthread_atfork.) It keeps a copy of the segment: it can read
                shared buffers, which are emptied when the pool is freed and when the host ends; what it writes to them
                is its own, and of a page that it has written to it sees nothing new. So it is with a forked worker and
                the buffers of the host's other pools. (That costs a fork of the host some 6 us for each pool.) A child
                that is made within a call, by a callback, a generator or a signal handler, and comes back into it gets
                FORKED from that call. (Not where a signal handler forks while its thread waits for the pool's lock,
                which another thread has: that child waits on.) A child that bypasses the C library's fork (_Fork,
                clone) keeps copies of the descriptors as well, and shares the segment; they neither keep the pool alive
                nor hide the supervisor's death. (Without pidfd_open such a death may be hidden by one that was made in
                the very instant of the open; without inotify and /proc the supervisor looks after the host 2.5 times a
                second.) A child that a task makes by any means, in threads and inline too, and that comes back from the
                task's function or gives a result, ends there, silently. Where the host's children go to another PID
                namespace (unshare, setns), open refuses fork and spawn: open pools before.
   Threads      none is started in the host, except by PROCPOOL_START_THREAD. Those block every signal: a process of
                which no other thread is left is ended by SIGKILL or exit() only, not by SIGTERM. A thread of the host
                that is cancelled (pthread_cancel, deferred) ends as one of these calls begins, never within one: poll,
                shutdown, wait, wait_ready, next, map, the waits for a result that is not there (call's too, when its
                task is submitted already), shared_alloc, the start of a process. One that waits in it ends at the next
                of them (see procpool_interrupt). submit and its like are none of them, though they may wait for room: a
                thread that does nothing but submit asks pthread_testcancel itself. procpool_free may be called while
                others wait: their waits end first.
   Output       what the host had in stdout's buffer is not printed again by workers; what a task prints is flushed
                before its result is taken. Nothing is printed by this file. Other buffers are not known to it (a FILE
                of your own; std::cout after sync_with_stdio(false)): flush them before the pool is opened, else a
                forked worker may print the host's again, and in the task that wrote, else a worker's end drops them.
   Exit         exit() in a task ends its worker and makes the task CRASHED with that status; no handler of the host's
                (atexit, at_quick_exit) and no destructor of its thread_local objects runs there; pthread_exit() counts
                as exit(0). (musl does not tell the status of exit(): it is 255 there, and quick_exit() runs the
                host's handlers. In a C++ task, or with an implementation compiled as C++, pthread_exit() ends as
                SIGABRT.) In thread and inline pools exit() is
                the host's own end; pthread_exit() in a task makes that one CRASHED, with status 0, and the thread goes
                on (a thread of the pool's takes the next task; inline, the call that waits does): its cleanup handlers
                have run by then, the destructors of its keys not; such a thread cannot be cancelled any more, and
                setuid and its like, which another thread calls, leave it as it is. However the host ends, supervisor
                and workers are gone within a second, stopped ones too: ending without shutdown is a kill. Nothing stays
                in /dev/shm or on disk. Only a program that a task has started can keep the supervisor longer, while it
                traces it as a debugger does, or stops it again and again.
   Libraries    a worker has the code that the program had when the pool was opened (spawn: has when it starts). A
                function that dlopen brings later cannot run there: under spawn submit refuses it with NO_FUNCTION (also
                where it lies in the place of what was closed), under fork its task ends as TRANSFER. Under fork do not
                dlclose a library while a pool lives that was opened with it: another one that comes to lie in its
                place is taken for it, and a worker runs the old one's code.
   Programs     what a task has started (fork, system, popen) ends with it where its worker is ended: for a limit, a
                cancel or the end of the pool or of the host, by SIGKILL; what earlier tasks of that worker left running
                ends too. Orphans are no exception: the supervisor adopts them, so it is the parent that they see. Else
                what a task leaves running lives on when it returns or crashes, also after the pool's end if its worker
                then runs no task. What has begun a session of its own (setsid, as daemons do) lives on in any case, and
                so does all of it where the supervisor is killed. This needs /proc with lists of children
                (CONFIG_PROC_CHILDREN) and uses RLIMIT_LOCKS, which means nothing else, as a mark.
   Leftovers    a worker runs many tasks, and what one changes in its process the next one finds. Between tasks these
                are put back: interval timers (alarm) that the initializer had not set, the signal mask, a SIGINT set
                to its default, RLIMIT_CPU and RLIMIT_FSIZE (where a limit cannot be raised again, the worker is
                replaced). Not put back: timers of timer_create, other limits and dispositions, the directory, the
                environment, threads. This costs about a microsecond. So in a long row of tasks it is done only every
                few milliseconds (1 to 10, the kernel's clock), where the worker finds no task for some microseconds, or
                where it wakes the host; so also after each task that is longer. A row is long from the seventeenth task
                after the worker slept (the third after a shorter rest). A task of which nothing may stay is for
                max_tasks_per_child = 1.
   Priority     a worker's nice value is that of the thread that opened the pool, as of then, plus options.nice (19 at
                most in all). What a task starts has it, too, and a pool that a task opens adds to it. On Linux each
                thread has a value of its own: in a thread pool those of the workers change, and no other. The
                supervisor's stays as the host's: limits are kept in time beside workers that wait for a processor.
   Memory       a worker's oom_score_adj is raised to 500, or one above the host's own: the out-of-memory killer takes
                it first.
   Stack        a forked worker goes on with the stack of the thread that opened the pool, as deep as that is then; a
                spawned one has that of its program (RLIMIT_STACK), a thread has stack_size.
   Rights       A program that has more rights than the user who starts it (set-user-ID, set-group-ID, file
                capabilities, or real and effective ids that differ) can fork but not spawn: another start would have
                rights again that it gave up. There procpool_worker_main() returns, and $PROCPOOL_WORKERS is not looked
                at. Give up rights before you open a pool: workers that are there keep what the host had, and so do
                their replacements.
   Sandboxes    A kernel call that is refused has a substitute, or open fails with an error whose message begins with
                the call's name. Without memfd_create the memory is a file that never has a name (O_TMPFILE), or loses
                it at once, in /dev/shm, $TMPDIR or /tmp: it cannot be sealed, so a task that shortens it makes the host
                die by SIGBUS. Without close_range and /proc, descriptors above a million are not found and stay open.
                Without prctl a worker may outlive a supervisor that is killed. Without getpriority or setpriority
                options.nice does nothing. Without futex there is no pool.
   Names        ps -o comm, top: NAME-INDEX for workers (10 bytes of NAME), NAME for the supervisor and for a
                procpool_process (15 bytes).
*/

#ifdef PROCPOOL_IMPLEMENTATION
#ifndef PROCPOOL_IMPLEMENTATION_ONCE
#define PROCPOOL_IMPLEMENTATION_ONCE

/* ==== >>architecture ================================================================================================
   For who changes this file: how it works, and why it is so. Where a change begins:

      an option      procpool_options, at its end, and >>manners; procpool__open_check; from there to what goes by it:
                     host          a field of struct procpool, set in procpool__open_make (tests/fuzz/segment.c has a
                                   copy of that)
                     workers       procpool__settings, set in procpool__open_header; processes and threads alike come
                                   through procpool__worker_initialize before their first task
                     processes     procpool__platform_worker_manners, and what it is given
                     What means nothing to a start method is refused (UNSUPPORTED), not ignored.
      a statistic    procpool_stats, at its end; procpool_get_stats; what another process counts: procpool__header
      a status       PROCPOOL_STATUSES, and the lists of returns of the calls that give it
      a task's size  single ones: procpool__submit_checked; items: procpool__map_check, procpool__imap_check. The chunks
                     of a map go by procpool__submit_now, below these checks
      a field that processes share   the drawing below, its PROCPOOL__AT; then make -C tests orders
      a call of the system           the seam, at the head of >>platform

      host program ──detached fork / posix_spawn──▶ supervisor ──fork──▶ worker 0
        │  submit, map, wait, callbacks                │                  worker 1
        │  (any thread)                                │ reaps, replaces     ...
        └──────────────── shared segment ──────────────┴─────────────────────┘

   Why a supervisor process: forking from a process that has threads is unsafe, the host must not have to poll in order
   that a dead worker is replaced, and PR_SET_PDEATHSIG (the only thing that removes a stopped worker) is tied to the
   thread that forked: it is safe only under a parent with one thread. The go-between is the short-lived process between
   the two: it forks or spawns the supervisor and ends at once, so that the supervisor is no child of the host.

   The shared segment, a sealed memfd without a name, is mapped once at its greatest size and reserved as it is used.
   Its parts begin at pages: with W workers, rings of R bytes, N cells (a power of two, at least 2 C), C slots, A
   bytes:

      | header | W blocks of 512 | W rings of R | N cells of 8 | C slots of 64 | C deadlines of 8 | arena of A |
        below    worker, host,     worker its     host           host, by CAS    host, before the   host: arguments.
                 supervisor        own; host      fills          worker and      word; all others   Worker: a map's
                                   reads                         supervisor      read               results. Both:
                                                                                                    shared buffers

   Who writes what, by byte (>>shm asserts these offsets; words of one kind of writer share a cache line, as a rule):

      header     0  magic version total header_size workers capacity ring_size arena_size   } host, before there
                64  settings: max_tasks strict core_dumps depth once, of spinning, nice,    } is another process
                    of the initializer and finalizer  192 base  200 cookie  208 host_pid        }
               216  pinned  224  cpu_set (1024 bytes)  1248 name (16)                           }
              1264  addressee                                              host before each start, then go-between
              1280  head                                                   any process, forward, by CAS; host and
                                                                           supervisor mend it
              1344  masks: 16 of idle, away, coming, wakes                 worker, supervisor, host, bit by bit
              1856  host_flag  1880 wake_at                                host
              1864  host_seq  1872 host_woken_ns                           the process that wakes the host
              1920  phase   1928 arena_top                                 host
              1984  limited  1992 tick  2000 dated                         host
              2008  ticking  2012 lost_bell  2016 expiring                 supervisor (lost_bell: set by a worker)
              2048  dead_list dead_count health gone alive started         supervisor (dead_list: host takes all)
                    stopped cause_*                                        supervisor
      block      0  intent_slot intent_word started_ns limited_word ended_word tasks life init_code    its worker
                64  tail   72 dropped                                      its worker (tail: also who publishes for it)
               128  consumed   136 room_seq   140 wake_seq   144 woken_ns  host (wake_seq, woken_ns: who wakes it)
               192  room_flag   196 cpu                                    its worker
               256  pid                                                    supervisor
               320  init_message (192)                                     its worker, supervisor
      slot       0  word     ticket 48 bits, worker 12, state 4            host, worker, supervisor by CAS
                 8  flags   12 limit                                       host
                16  function  24 size  32 argument: bytes, or where they lie, or that and the result's place   host
                    (size: the task's index too, or it stands behind where they lie)
                16  in their place, once the task is dead: an exit record of 40 bytes                  supervisor
      record     0  position  8 word  16 size  24 slot  28 pid  32 bytes; at multiples of 32       its worker (of a
                                                                           finalizer's end: the supervisor)

   A task is a 64-byte slot whose first word decides its fate: (ticket, worker, state), changed by compare-and-swap
   alone.

      FREE ──host──▶ READY ──worker w──▶ RUNNING(w) ──worker w──▶ DONE(w): OK | FAILED | TRANSFER ──host──▶ FREE
                       │                    │  │
                       │                    │  └─supervisor──▶ ASKED(w): TIMEOUT | CANCELLED
                       │                    │                    ├──worker w──▶ DONE(w): the same ──host──▶ FREE
                       │                    │                    └──supervisor──▶ DEAD: the same ──host──▶ FREE
                       │                    └──supervisor──▶ DEAD: CRASHED | SHUTDOWN | BROKEN, or without a grace
                       │                                     TIMEOUT | CANCELLED ──host──▶ FREE
                       ├──supervisor──▶ DEAD(of no worker): TIMEOUT, its deadline is over ──host──▶ FREE
                       └──host: taken back──▶ FREE (cancelled, pool shut down, no worker to be had)

   The ticket is the task's position in the submission ring plus one; it never repeats, so a process that was stopped
   for however long finds that its compare-and-swap fails. The ring's cells give the order; `head` is a hint that any
   process may move past a cell whose task is not READY. A worker first notes its intent (slot and RUNNING word), then
   claims by one compare-and-swap that names it as the owner; runs the body; writes the record into its own ring,
   stamped last with its absolute position; commits by a second compare-and-swap; and then publishes its ring's tail.

   Why a kill at any instruction is harmless. Before the claim: the task is READY, another worker takes it. Between
   claim and commit: the supervisor, having reaped the worker, finds by the intent the one word that can be RUNNING(w),
   makes it CRASHED and tells the host; the unfinished record lies behind the tail and is written over. Between commit
   and publication: the word is DONE and the record stamped, so the supervisor (or the host, when there is none)
   publishes the tail instead: the result is delivered. After it: nothing of the task is the worker's any more. No lock
   or count is ever held by a worker, and no duty to wake that its end does not pass on: the host arms each of its sleeps
   with a new number and every worker that sees it armed wakes it, once; after each death or stop the supervisor wakes
   all. It learns of deaths and stops from the kernel, never from a time-out. A SIGKILL of the supervisor takes its
   workers along; the host notices, delivers what was committed, and only then says BROKEN; a word that was ASKED or DEAD
   keeps what it says.

   How host and supervisor hear of each other's end, whichever processes have copies of their descriptors. Each child of
   the C library's fork closes what the pools of its parent have: the descriptors are made, noted and closed in sections
   that exclude forks of other threads, so a child's note of them is always true. A supervisor is such a child: it holds
   nothing of the host's other pools, nor of a second copy of this file. Beside the lifeline, a pipe, the supervisor has
   a pidfd of the host, and watches the host's witness: a page that the host maps and keeps from its children
   (MADV_DONTFORK), so that it goes when the host's memory does, by exit, exec or SIGKILL, and with nothing else. The
   kernel tells of that through inotify, and continues a supervisor that is stopped. The host has a pidfd of the
   supervisor. KILL waits a second for the supervisor, then lets go of the lifeline and the witness and continues it;
   after another second (five, if it has said that it is ending the workers) it kills it: the workers go with it.

   Why a task that is ended harms no other. The fate is decided by the compare-and-swap that takes RUNNING(w) away,
   and no signal is sent before the word is DEAD: then w, whatever it does, can neither commit nor claim. A task that
   was ASKED and returned is committed as DONE by its worker, with an empty record, by a compare-and-swap that races
   the supervisor's to DEAD: one of the two wins, the other lets go. The request itself is a flag in the slot, set by
   the host while the task is unsettled; the message to the supervisor is but a bell. Limits are counted by the
   supervisor from what it sees and, where that is earlier, from what the worker wrote down at the start of the body;
   since a worker may be stopped before it writes anything, the host tells of tasks with limits, and while one of
   them waits or runs the supervisor looks now and then (after an eighth of the shortest limit, from 1 ms to 5 s, and
   when one is over), else never. Each time that it oversleeps by 100 ms, it could not run itself: that time is added to
   the limits (its own work is not: the forks of a large host take as long), as is the time from the stop of a worker
   until it goes on, or until a look finds that the host does not stand with it. The host may stop a little after its
   worker: for 100 ms after that one's stop the supervisor looks every 5 ms whether it has. A body that has returned is
   no more the limit's affair, unless its worker is stopped before there is room for the result: it then has the whole
   limit again, from the stop on. A dead task settles when its worker is reaped, since until then it may write to what
   it was given. A worker that the kernel itself holds on to (a file system that does not answer) is not waited for
   longer than 5 s: its task settles, and its slot and memory are not used again.

   A finalizer is no task: it has no slot, no cell and no word, so nothing of the above knows it. What a worker says of
   itself, its life, goes on in one direction, by itself alone:

      TASKS ──leaves in order──▶ FINALIZES ──it has returned──▶ LEAVES ──result is in the ring──▶ reaped

   In order is: the pool drains and nothing waits, its share is run, or a task has spoiled its process; not: its task
   was revoked, or the pool is killed. A kill in TASKS: no finalizer runs. In FINALIZES: the supervisor, having reaped
   the worker, writes CRASHED into that one's ring, which is its own until it forks the next, or TIMEOUT if it was
   itself that killed, for the limit; its clock runs in this state alone, from when it sees it, and the worker wakes it
   for that. In LEAVES: the result goes into the ring as a task's, under a ticket that no task has (0), and its stamp,
   the last word written, commits it: before that nothing is told, and pieces that the host has are dropped at the next
   record of another; after it any process may publish it. So the successor begins behind it, and the host takes it in
   where it lies, before all that is the successor's; at the end before it believes that no worker is left. Only then
   is there a future, settled and with its callback due, and that alone holds it. A worker can write as many such
   records as it likes; the host takes one more than tasks were ever accepted, and ends a worker that goes on.

   A worker commits in two steps and may lose the first: it then writes its record anew in place, so the process that
   publishes for it reads the record once more after it has found the word DONE: from then on it does not change.

   Two choices that differ from the obvious: what the supervisor decided reaches the host through a list linked
   through the slots themselves rather than an array of ids, since a slot is on it at most once and so it can never
   be full; and it is a hint: a counter beside it tells the host when to look at every slot, should a worker have
   scribbled on the links. A map's chunk keeps arguments, results and the number of the item that was begun in one
   block of the arena: results are written straight to it (or to the shared buffer that they lie in), and after a
   crash the items that had ended are kept, the one that was begun is CRASHED, and the others are handed out again.
   Its progress word, begun, costs one plain store per item. A second word beside it, stop, says where the loop ends: a
   map that ends before its time takes it away, and no further item begins. The worker writes its progress first and
   looks then: what the host finds there a moment later is all that ever began.

   A chunk that runs can be shortened, since no one knows which items take long. stop is (row, end), changed by
   compare-and-swap alone:

      (0, n) ──worker: a row begins──▶ (r, n) ──worker: the next one──▶ (r', n) ... (n, n): all begun
                                         └──host: end is lowered, r <= e──▶ (r, e), e to n are handed out as a new task
      any ──host: the map ends──▶ 0

   What lies before row is the worker's, what lies from end on is not: since row is never above end, no item is run by
   two, and since the host's own count of the chunk is lowered with end, none is left out. A kill of the worker before
   or after either step changes nothing in that: the host goes by begun and by its own count, as after any crash. The
   new task is ready before end is lowered, and is submitted right after; what cannot be is handed out when it can. A
   worker that writes nonsense there is believed as far as the host's count agrees, and spoils but the map that it is
   of. A row takes about 4 us, or one item, or some 30 times what its compare-and-swap takes, as far as that is known
   from the rows before; and it is never more than half of a worker's share of the map. The host shortens only where a
   worker has nothing to do and nothing is left to hand out, and the chunk goes on for a while at its pace between two
   looks, 50 us apart.

   How many items are worth a chunk is measured with each, and the pool remembers it of the last map's function. If by
   that a map takes no longer than some wakes do, none is woken: a worker that is awake and has no task does it all,
   while the host copies. Should nothing come for 50 us, or all of it take longer than it should, others are woken: for
   the chunks that wait, and for parts of the one that runs.

   Where an imap hands out several items together, they are a task like any other, but that it runs one after the other:
   a bundle. Its outcome, by record or exit record, is that of the item that was begun last. All before that one have
   left their answers in the bundle's block, one behind the other, each before the next item is begun; those behind it
   never began, and are handed out again. So an item may end the bundle at any point: by the worker's death, by a
   result for which the block has no room (the ring carries that, whatever its size), or since no more are wanted. How
   much room there is goes by how large results were. The host makes a future for each item as it is delivered, and
   reads the block no earlier. The block counts as nothing that comes back to those who wait for memory: the user may
   leave an iterator alone for as long as he likes.

   Sleeping and waking. A worker that finds no task looks for one a while, says that it sleeps (its bit in the idle
   mask), looks once more, and sleeps on a futex of its own. A submit wakes workers only while there are more tasks
   than workers that are awake: each of those has one task at most, so where they are as many, one is free for every
   task that waits, and will look again before it sleeps. The host counts tasks in private and clears the bit of the
   one it wakes, so a stream of tasks costs one call for each sleep of a worker at most, not one for each task. What
   would make the count wrong is a worker that is counted and cannot come: so the supervisor first marks it away, and
   then wakes all. The host sleeps armed, as said above.

   With more workers than processors that is too many calls: most of the tasks have ended by then, or will before one
   that sleeps is there, and it takes a processor from those that work. So where as many are awake as there are
   processors, one is called at a time: its bit in coming is set, and no other is called until it has come and has
   cleared it. Then it takes a task, and should one more wait, it calls the next before it runs its own: tasks that
   block get all the workers in the end. The duty to call lies with a worker for that time, and may be lost with it at
   any step: then the supervisor clears all of coming before it wakes all. (64 workers on two processors took 13,000 to
   70,000 empty tasks a second with a call for each task, and 2 to 4 million so.) And a host with many workers looks but
   at the rings of those that were awake since its last look; at all of them now and then, and before it sleeps. A
   worker counts in wakes that it goes on, before it claims.

   A worker or thread that waits first spins, for as long as a sleep and a wake cost here (measured at each wake, at
   most 100 us); for 2 us only where its last waits were longer than that. When more of them are awake than there are
   processors, each calls sched_yield between its looks, and does not spin at all where its last waits were long: so as
   many workers as processors, or more, cost the pool nothing. spin_us settles it by hand.

   A host on whose own processor a worker wakes has to wait for that worker. So it wakes those first that ran elsewhere
   last, and a call with many tasks wakes the others when all are handed out.

   Who hands out many tasks and wants no single result at once (a map; submit_many while the queue is full) sleeps
   lazily: the host names a position, and the worker that claims the task there or a later one wakes it, instead of
   every worker that commits. Tasks are claimed in order, so that is when the queue has become short; each of the
   workers still has something to do then. It costs a map whose chunks take 0.25 ms two wakes in a hundred chunks
   instead of a wake for each, which took a processor from a worker each time. No other thread waits for what lies there
   meanwhile: one that begins to wait, adds a callback or asks for the descriptor ends that sleep first. A thread that
   wants room in the queue, and lacks a cell, sleeps by the same word: until the task that has that cell is claimed.

   A worker that has run a task looks at the next cell first, fetches the line of the task behind it, and moves the hint
   only every sixteenth task and when it finds nothing: one step past all positions that it has seen taken. A word is
   claimed only when its body starts, so nothing waits behind a busy worker. Its tail is stored, not swapped: the commit
   before it is the barrier between the record and the look at the host's flag, and a host that arms its sleep publishes
   for all workers what they have committed, as the supervisor does for a dead one. Sleeping, waking, the hint and the
   tail are in the model (tests/model/pool.pml), which knows no weak memory but for the tail; the lazy sleep is not.

   Memory orders. Shared words are sequentially consistent but where that would cost something or nothing is learnt from
   them. tests/orders.txt lists every access, and tests/model/litmus.py tries each piece of the protocol under the
   language's own model, and again with each order that it needs weakened. What differs from the obvious, and what
   would happen without it:

    process: what it does                      order            whom it faces                    without it
    worker: stamps, (commits), looks at flag   seq_cst (1)      host: sets flag, looks at stamp  sleeps on a result
    worker: tail of a committed record         release          host: tail                       tail without record
    worker: tail of a piece, looks at flag     seq_cst          host: sets flag, looks at tail   sleeps on a piece
    worker: claims, looks at flag              seq_cst          host: sets flag, looks at word   (lazy) sleep for ever
    worker: is ready (away), looks at flag     seq_cst          host: sets flag, looks at away   sleeps, all are ready
    worker: intent's slot, word; its end       release          audit: intent, then the word     a sound worker is ended
    worker: sets room_flag, looks at consumed  seq_cst          host: the other way round        worker waits for ever
    worker: sets room_flag, looks at DISCARD   seq_cst          host: the other way round        worker waits for ever
    worker: started_ns, then limited_word      release          supervisor: the other way round  another task's time
    worker: unwanted task counted, flag        seq_cst          host: sets flag, looks at count  sleeps on room
    worker: a result, the next item is begun   release, fence   host: begun, then results (2)    half a result
    host: word READY, then the cell            release          worker: cell, then claims        a task is passed by
    host: cells of many, then touches idle     release, or      worker: sets idle, looks at cell worker sleeps at a task
    host: publishes, looks at ticking          seq_cst          supervisor: ticking 0, queue     a limit is not kept
    host: sets wake_at, then flag              relaxed, seq_cst worker: the other way round      (lazy) sleep for ever
    host: cells of many, then touches coming   release          worker: clears coming, cell      a task waits
    host: a task, looks at coming              seq_cst          worker: the other way round      a task waits
    supervisor: sets away, then wakes all      release          worker: wake_seq, then cell      a task waits
    worker: goes on (wakes), its tail          release          host: wakes, then tail           a result lies there
    supervisor: exit record, then dead_list    release          host: dead_list, then record     half of an exit record
    supervisor: cause (relaxed), then health   release          host: health, then cause         another cause
    last thread: alive 0, looks at phase       seq_cst          shutdown: the other way round    no end of a shutdown
    interrupt: counts itself, looks at magic   seq_cst          free: the other way round        use after free

      (1) x86: release, since the commit's compare-and-swap is locked: see procpool__store_before_cas.
      (2) For a process that is killed what counts is the order of its instructions: the fence binds the compiler alone.

   Shared buffers are blocks of the arena. A worker has the arena open as far as it had come when the worker last
   looked, and looks at each claim, at a word on the line of the phase that it reads anyway: so a task reaches each
   buffer that was there when it was submitted. Whatever the library itself carries (places of arguments and results,
   the arrays of a map) goes by offset; only the user's own pointers need the segment at the same address. A host that
   spawns has it at three quarters of a power of two, far from where the kernel puts programs, libraries, stacks and
   other mappings at random. A spawned supervisor maps it there too, or says that it cannot and is started anew (after
   six times it maps it anywhere); workers are forked from it. The
   host cannot know what pointers a task has, so what is freed waits until every task that was accepted before has
   settled: two epochs and two counts, nothing per task but a bit. Blocks from 2 MiB on are made of large pages where
   the kernel has some: that makes them four times as fast to reserve, and a first pass over them seven times.

   A process at the door is a spawned supervisor only if it can prove it, for its environment and descriptors pass to
   whatever is started before main, and any process can make such ones. The marker in the environment names descriptors
   and a cookie. The memory's owner must be this user, its header must hold the cookie and name the process that made
   the channel, the kernel must confirm both that and its user (SO_PEERCRED), and the header must name the process at
   the door: the go-between writes that there when it has started it. A process that was not meant closes what it
   inherited, and goes on as if there had been no marker. Under AT_SECURE nothing of this is looked at.

   What one empty task costs (x86-64: a plain store or load is no more than that, release and acquire included):

                           host                                  worker
      lines that move      cell, slot (to the worker)            ring's tail, record (to the host), slot (back)
      locked operations    1: the cell (many: 1 per 64 tasks)    2: claim, commit; the hint's every 16th task
                           1 per drain: room given back
      fences               none beside these                     none beside these
      system calls, hot    none                                  none
      asleep               wake and wait, on futexes             wait and wake, on futexes; a prctl before the sleep
                                                                 and a dozen that put back what tasks have left

   Workers are not trusted. Whatever a worker process writes into shared memory, the host and the supervisor do not
   crash, block, read or write outside of it, spin or free twice, and signal no process that is not the pool's own.
   Every accepted task settles once. A worker whose words or records make no sense is ended and replaced; what it ran,
   and what it had committed and cannot be told from nonsense, ends as CRASHED or BROKEN, within about a second of the
   last such write, or a quarter of the time for which nothing had come about by then, 5 s at most (a large queue takes
   longer), while some thread waits for or polls the pool. Not promised: a worker
   can spoil the arguments, functions, results and outcomes of any task of its pool, end its neighbours' tasks, use up
   slots and memory, break the whole pool, and keep its own task running past its limit; PROCPOOL_KILL ends that. It is
   no sandbox either: workers run with the host's rights, and can do to files and processes what the host can. Threads
   and inline workers share the host's memory, and are trusted.

   What is private. Host and supervisor tell each other by a channel that no worker has what must not be forged: the
   phase (the segment's word is for workers; the supervisor mends it), that all is being ended, that the supervisor
   leaves. Workers go by their own copy of the initializer and of their settings, which they have by the fork. No
   descriptor that a worker has shares its status flags with one that the host or the supervisor reads or writes:
   those two share an eventfd; workers write to the pipe whose end of file says that they are gone; and procpool_fd()
   is an epoll descriptor, the host's own, over both. A task that stops or traces the supervisor, be it again and
   again, delays limits, deaths and replacements: PROCPOOL_KILL and procpool_free wait a second, let go of the
   lifeline (the kernel then continues a stopped supervisor), wait another, and end it by the pidfd that the
   go-between gave the host: its workers go with it. Where there is no pidfd (Linux before 5.3, or a filter), they
   return after five seconds, and what is held stays until it is let go. When the host itself dies, no process is
   left to do that but the kernel: it continues a stopped supervisor, and it ends the workers, each of which has opened
   the lifeline for itself (what the kernel does at its end belongs to the open file description). So a task that traces
   the supervisor, or goes on stopping it, ends, and the supervisor goes on; it takes those deaths for what they are
   (procpool__supervisor_heed_lifeline), and ends what the tasks had started. Where a worker cannot open it (no /proc),
   or a task has closed it, such a supervisor is gone when the task ends; where a program that a task has started does
   it, when that program ends. A worker whose task has returned and left the supervisor traced makes room for another:
   that ends the tracing.

   How the host learns of nonsense: it reads each shared value once, checks it against its private table, and then
   uses it; and after 200 ms, then ever more rarely while nothing comes about (5 s), as it waits or polls, it looks
   at every task that is not settled (the audit). By the protocol a claimed word is named by its worker's intent
   until it is committed or revoked, and a committed one by a record in its worker's ring: a word of which neither is
   true has no owner, and its worker is ended. What the host alone writes is written again where it was changed.
*/

/* ==== >>platform ====================================================================================================
 * Runs in:   any process, any thread.
 * Writes:    what its caller names; nothing of its own.
 * Calls:     libc and the kernel.
 * Always:    from here to >>machine nothing knows of pools, and only these parts know which kernel it is: who ports
 *            this file replaces them.
 * Constants that _DEFAULT_SOURCE hides are stated here with the kernel's values. */

/* ---- the seam ---- All that >>shm and the parts behind it call of the parts from here to >>machine. (procpool__, and
 * mostly platform_, comes before each.) Behind the seam there is no other name of a system's: make -C tests lint
 * compiles those parts with this table alone, and compares it with what they use.
 * Of the compiler and the C library, the same on every system:
 *   order: load load_acquire load_relaxed load32 load32_relaxed load_signed_relaxed store store_release store_relaxed
 *     store_before_cas store32 store32_relaxed store_signed_relaxed cas exchange or and add or32 or32_relaxed add32
 *   number: round_up number_of address_of
 *   processor: relax prefetch prefetch_write copy_past
 *   heap: aligned_new aligned_grow aligned_free
 *   exception: throw throw_alone keep_exception drop_exception
 * Of the system: who ports this file writes these, and the types that they name.
 *   time: now tick yield cpu random
 *   sleep: park wake no_futex poll await gone await_end source end_of came supervisor_sleep
 *   lock: lock_init lock_end lock try_lock unlock block_signals restore_signals no_cancel cancel_as cancel_here
 *   thread: thread_start thread_join run_to_end is_self self threads stack_size own_set own
 *   pages: pages unmap page enlarge
 *   segment: shm_create shm_look shm_map shm_map_far shm_open shm_protect shm_reserve shm_discard shm_empty
 *     shm_separate memory space memory_refuses memory_forget
 *   bell: event event_set event_clear bell bell_clear timer timer_set watch watch_add watch_clear watch_remove
 *   link: pipe pipe_number channel channel_of send receive close close_on_exec close_others
 *   process: detach fork run reap reap_adopted kill pid pidfd pidfd_signal leave flush_and_leave from_outside
 *     each_child is_stopped nudge_parent environment forget_environment signal_name
 *   death: die_with die_when_told continue_when_told witness witness_drop witness_gone witness_watch guard guard_ok
 *     around_forks children_elsewhere
 *   manners: worker_manners supervisor_manners supervisor_signals nice note_habits tidy flush catch_exit begin_exit
 *     exit_mark release_exit find_exit_list
 *   code: each_code is_program unloads privileged gives_rights
 *   error: error set_error scarce disproved
 *   machine: cpu_count cpu_usable cpu_allowed cpu_use */

#ifndef __linux__
#error "procpool.h: this version runs on Linux only; the platform layer is the one to port"
#endif
#if !defined(__GNUC__)
#error "procpool.h needs the __atomic builtins and attributes of GCC or Clang"
#endif
/* Clang for i386 says "sometimes", since a long long may lie across two lines there: ours never do. */
#if (!defined(__GCC_ATOMIC_LLONG_LOCK_FREE) || __GCC_ATOMIC_LLONG_LOCK_FREE != 2) &&                                   \
    !defined(__GCC_HAVE_SYNC_COMPARE_AND_SWAP_8)
#error "procpool.h needs lock-free 64-bit atomics: the word that decides a task's fate is one of them"
#endif

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdio_ext.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/epoll.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/timerfd.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <time.h>
#include <unistd.h>
#if defined(__SSE2__) && defined(__OPTIMIZE__)
#include <emmintrin.h>
#endif
#ifdef __GLIBC_PREREQ
#include <gnu/libc-version.h>
#if __GLIBC_PREREQ(2, 32)
#include <sys/single_threaded.h>
#define PROCPOOL__SINGLE_THREADED (__libc_single_threaded != 0)
#endif
#endif
#ifndef PROCPOOL__SINGLE_THREADED /* the C library does not say whether it has started threads */
#define PROCPOOL__SINGLE_THREADED false
#endif

#if !defined(MAP_ANONYMOUS) || !defined(CLOCK_MONOTONIC)
#error                                                                                                                 \
    "procpool.h: define _DEFAULT_SOURCE (or _GNU_SOURCE) before the first #include of the file that defines PROCPOOL_IMPLEMENTATION"
#endif

#if defined(PROCPOOL_MALLOC) != defined(PROCPOOL_FREE) || defined(PROCPOOL_MALLOC) != defined(PROCPOOL_REALLOC)
#error "procpool.h: define all of PROCPOOL_MALLOC, PROCPOOL_REALLOC and PROCPOOL_FREE, or none"
#endif
#ifndef PROCPOOL_MALLOC
#define PROCPOOL_MALLOC(size) malloc(size)
#define PROCPOOL_REALLOC(pointer, size) realloc(pointer, size)
#define PROCPOOL_FREE(pointer) free(pointer)
#endif
#ifndef PROCPOOL_ASSERT
#define PROCPOOL_ASSERT(condition) ((void)0)
#endif

#define PROCPOOL__LINE 64                  /* bytes that move between processors at once */
#define PROCPOOL__PAGE 4096u               /* the smallest page that any machine has */
#define PROCPOOL__HUGE ((uint64_t)2 << 20) /* a large page, where pages have 4 KiB; elsewhere but an alignment */
#define PROCPOOL__ALIGNED __attribute__((aligned(PROCPOOL__LINE)))
#define PROCPOOL__ALIGNMENT 16 /* of results and arguments */
#define PROCPOOL__NORETURN __attribute__((noreturn))
#define PROCPOOL__NEVER UINT64_MAX
#define PROCPOOL__NO_ASAN __attribute__((no_sanitize_address)) /* for a function whose frame a child goes on below */

/* linux/sched.h, linux/memfd.h, linux/futex.h, linux/falloc.h, linux/wait.h, asm-generic/fcntl.h, linux/prctl.h,
 * asm-generic/resource.h, linux/time.h */
enum {
  PROCPOOL__CLOCK_COARSE = 6,
  PROCPOOL__CLONE_VM = 0x100,
  PROCPOOL__CLONE_FILES = 0x400,
  PROCPOOL__CLONE_SIGHAND = 0x800,
  PROCPOOL__CLONE_THREAD = 0x10000,
  PROCPOOL__CLONE_VFORK = 0x4000,
  PROCPOOL__WCLONE = (int)0x80000000u,
  PROCPOOL__MFD_CLOEXEC = 1,
  PROCPOOL__MFD_ALLOW_SEALING = 2,
  PROCPOOL__ADD_SEALS = 1033,
  PROCPOOL__GET_SEALS = 1034,
  PROCPOOL__SEAL_SEAL = 1,
  PROCPOOL__SEAL_SHRINK = 2,
  PROCPOOL__SEAL_WRITE = 8,
  PROCPOOL__FUTEX_WAIT = 0,
  PROCPOOL__FUTEX_WAKE = 1,
  PROCPOOL__SETSIG = 10,
  PROCPOOL__SET_CHILD_SUBREAPER = 36,
  PROCPOOL__LIMIT_LOCKS = 10,
  PROCPOOL__P_PIDFD = 3,
  PROCPOOL__MADV_HUGEPAGE = 14,
  PROCPOOL__MADV_DONTDUMP = 16,
  PROCPOOL__MADV_WIPEONFORK = 18,
  PROCPOOL__MADV_COLLAPSE = 25,
  PROCPOOL__MAP_FIXED_NOREPLACE = 0x100000,
  PROCPOOL__O_TMPFILE = 020000000 | O_DIRECTORY, /* elsewhere on a few old machines, where it is not taken then */
  PROCPOOL__P_ALL = 0,
  PROCPOOL__P_PID = 1,
  PROCPOOL__FDS_MOST = 1 << 20 /* descriptors are looked for up to here where they cannot be listed */
};
#ifndef SYS_close_range
#define SYS_close_range 436
#endif
#ifndef SYS_pidfd_open
#define SYS_pidfd_open 434
#endif
#ifndef SYS_pidfd_send_signal
#define SYS_pidfd_send_signal 424
#endif
#ifndef SYS_rseq /* and libc then uses none */
#define SYS_rseq (-1)
#endif
/* Where only one of two kinds is known, the other number is one that no kernel has, or the one that all machines share.
 * */
#ifndef SYS_futex
#define SYS_futex (-1L)
#endif
#ifndef SYS_ppoll
#define SYS_ppoll (-1L)
#endif
#ifndef SYS_poll /* newer machines have ppoll alone */
#define SYS_poll (-1L)
#endif
#ifndef SYS_futex_time64
#define SYS_futex_time64 422
#endif
#ifndef SYS_ppoll_time64
#define SYS_ppoll_time64 414
#endif
#ifndef SYS_clone3
#define SYS_clone3 435
#endif
#define PROCPOOL__CLONE_INTO_CGROUP ((uint64_t)0x200000000)
#ifndef __cplusplus /* g++ always defines _GNU_SOURCE, with which sched.h declares it */
extern int clone(int (*function)(void *), void *stack, int flags, void *argument, ...);
#endif

/* Stands at every access to shared memory. Tests define it, before this file, as a call that may kill or stop the
 * process there. */
#ifndef PROCPOOL__STEP
#define PROCPOOL__STEP() ((void)0)
#endif

/* Sequentially consistent unless the name says otherwise: the publish-then-check pairs of the protocol need that one
 * total order, and ThreadSanitizer understands it where it does not understand fences. acquire and release serve where
 * a single flag publishes data; relaxed where a value is a hint or has one thread. tests/orders.txt lists every access:
 * who changes one changes it there, and runs what stands beside it. */
static inline uint64_t procpool__load(const procpool__u64 *p) {
  PROCPOOL__STEP();
  return __atomic_load_n(p, __ATOMIC_SEQ_CST);
}
static inline uint64_t procpool__load_acquire(const procpool__u64 *p) {
  PROCPOOL__STEP();
  return __atomic_load_n(p, __ATOMIC_ACQUIRE);
}
static inline uint64_t procpool__load_relaxed(const procpool__u64 *p) {
  PROCPOOL__STEP();
  return __atomic_load_n(p, __ATOMIC_RELAXED);
}
static inline void procpool__store(procpool__u64 *p, uint64_t value) {
  PROCPOOL__STEP();
  __atomic_store_n(p, value, __ATOMIC_SEQ_CST);
}
static inline void procpool__store_release(procpool__u64 *p, uint64_t value) {
  PROCPOOL__STEP();
  __atomic_store_n(p, value, __ATOMIC_RELEASE);
}
static inline void procpool__store_relaxed(procpool__u64 *p, uint64_t value) {
  PROCPOOL__STEP();
  __atomic_store_n(p, value, __ATOMIC_RELAXED);
}
/* The order of a store that a compare-and-swap of the same process follows, and then a look at what others wrote: by
 * the language it takes part in the one total order only if it is sequentially consistent itself. x86 has an
 * instruction of some 20 cycles for that, and needs none: no look overtakes the locked compare-and-swap, and no store
 * is overtaken by it. Elsewhere it costs no more than release (AArch64: stlr is both). */
#if defined(__x86_64__) || defined(__i386__)
#define PROCPOOL__ORDER_BEFORE_CAS __ATOMIC_RELEASE
#else
#define PROCPOOL__ORDER_BEFORE_CAS __ATOMIC_SEQ_CST
#endif
static inline void procpool__store_before_cas(procpool__u64 *p, uint64_t value) {
  PROCPOOL__STEP();
  __atomic_store_n(p, value, PROCPOOL__ORDER_BEFORE_CAS);
}
static inline bool procpool__cas(procpool__u64 *p, uint64_t expected, uint64_t desired) {
  PROCPOOL__STEP();
  return __atomic_compare_exchange_n(p, &expected, desired, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
}
static inline uint64_t procpool__exchange(procpool__u64 *p, uint64_t value) {
  PROCPOOL__STEP();
  return __atomic_exchange_n(p, value, __ATOMIC_SEQ_CST);
}
static inline void procpool__add(procpool__u64 *p, uint64_t value) {
  PROCPOOL__STEP();
  (void)__atomic_fetch_add(p, value, __ATOMIC_SEQ_CST);
}
static inline uint64_t procpool__or(procpool__u64 *p, uint64_t bits) {
  PROCPOOL__STEP();
  return __atomic_fetch_or(p, bits, __ATOMIC_SEQ_CST);
}
static inline uint64_t procpool__and(procpool__u64 *p, uint64_t bits) {
  PROCPOOL__STEP();
  return __atomic_fetch_and(p, bits, __ATOMIC_SEQ_CST);
}
static inline uint32_t procpool__load32(const uint32_t *p) {
  PROCPOOL__STEP();
  return __atomic_load_n(p, __ATOMIC_SEQ_CST);
}
static inline void procpool__store32(uint32_t *p, uint32_t value) {
  PROCPOOL__STEP();
  __atomic_store_n(p, value, __ATOMIC_SEQ_CST);
}
static inline void procpool__add32(uint32_t *p, uint32_t value) {
  PROCPOOL__STEP();
  (void)__atomic_fetch_add(p, value, __ATOMIC_SEQ_CST);
}
static inline uint32_t procpool__load32_relaxed(const uint32_t *p) {
  PROCPOOL__STEP();
  return __atomic_load_n(p, __ATOMIC_RELAXED);
}
static inline void procpool__store32_relaxed(uint32_t *p, uint32_t value) {
  PROCPOOL__STEP();
  __atomic_store_n(p, value, __ATOMIC_RELAXED);
}
static inline int64_t procpool__load_signed_relaxed(const procpool__i64 *p) {
  PROCPOOL__STEP();
  return __atomic_load_n(p, __ATOMIC_RELAXED);
}
static inline void procpool__store_signed_relaxed(procpool__i64 *p, int64_t value) {
  PROCPOOL__STEP();
  __atomic_store_n(p, value, __ATOMIC_RELAXED);
}
static inline void procpool__or32(uint32_t *p, uint32_t bits) {
  PROCPOOL__STEP();
  (void)__atomic_fetch_or(p, bits, __ATOMIC_SEQ_CST);
}
static inline void procpool__or32_relaxed(uint32_t *p, uint32_t bits) {
  PROCPOOL__STEP();
  (void)__atomic_fetch_or(p, bits, __ATOMIC_RELAXED);
}

/* A hint to the processor that this is a spin loop. Most ARM cores take `yield` for no operation at all; `isb` empties
 * the pipeline, which is about as long as x86's pause. */
static inline void procpool__platform_relax(void) {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#elif defined(__aarch64__) || (defined(__arm__) && defined(__ARM_ARCH) && __ARM_ARCH >= 7)
  __asm__ __volatile__("isb" ::: "memory");
#elif defined(__arm__)
  __asm__ __volatile__("" ::: "memory"); /* the older ones have neither */
#endif
}

/* Fetches a line that is about to be read, or (prefetch_write) written: at most once too often, never wrong. */
static inline void procpool__platform_prefetch(const void *p) {
  __builtin_prefetch(p, 0);
}
static inline void procpool__platform_prefetch_write(const void *p) {
  __builtin_prefetch(p, 1);
}

/* Copies past the caches: these stores keep no order, so a fence comes before whatever publishes them. Without
 * optimization the compiler's loop is slower than the C library's. False where there are none such. */
static bool procpool__platform_copy_past(void *to, const void *from, size_t size) {
#if defined(__SSE2__) && defined(__OPTIMIZE__)
  const size_t odd = (64 - (uintptr_t)to % 64) % 64, ahead = odd < size ? odd : size;
  unsigned char *at = (unsigned char *)to + ahead;
  const unsigned char *next = (const unsigned char *)from + ahead;
  const size_t lines = (size - ahead) / 64;
  memcpy(to, from, ahead);
  for (size_t i = 0; i < lines; i++, at += 64, next += 64)
    for (size_t j = 0; j < 64; j += 16)
      _mm_stream_si128((__m128i *)(void *)(at + j), _mm_loadu_si128((const __m128i *)(const void *)(next + j)));
  memcpy(at, next, (size - ahead) % 64);
  _mm_sfence();
  return true;
#else
  (void)to;
  (void)from;
  (void)size;
  return false;
#endif
}

/* ---- calls that POSIX makes cancellation points ----
 * Made by number: syscall() itself is none, in glibc and musl. A thread of the host that is cancelled while it is
 * inside the library would else end here, with the pool's lock held; so it goes on until the public call returns. */

static int procpool__platform_open(const char *path, int flags) {
  return (int)syscall(SYS_openat, AT_FDCWD, path, flags | O_CLOEXEC);
}
static ssize_t procpool__platform_read(int fd, void *bytes, size_t size) {
  return (ssize_t)syscall(SYS_read, fd, bytes, size);
}
static ssize_t procpool__platform_write(int fd, const void *bytes, size_t size) {
  return (ssize_t)syscall(SYS_write, fd, bytes, size);
}
/* The error that a caller is about to tell of stays. */
static void procpool__platform_close_fd(int fd) {
  const int saved = errno;
  if (syscall(SYS_close, fd) != 0)
    errno = saved;
}

static void procpool__platform_close(int *fd) {
  if (*fd >= 0)
    procpool__platform_close_fd(*fd);
  *fd = -1;
}

/* A file's beginning as a string; "" and false if there is none. One read suffices: these files are shorter than a
 * page, and sysfs, procfs and cgroupfs give such a file whole. */
static bool procpool__platform_read_text(const char *path, char *text, size_t capacity) {
  int fd = procpool__platform_open(path, O_RDONLY);
  const ssize_t length = fd >= 0 ? procpool__platform_read(fd, text, capacity - 1) : -1;
  procpool__platform_close(&fd);
  text[length > 0 ? length : 0] = 0;
  return length > 0;
}

/* A file read line by line through a fixed buffer. */
typedef struct procpool__platform_lines {
  int fd;
  size_t start, end; /* text[start..end) is read and not yet delivered */
  bool skip;         /* within a line longer than text */
  bool failed;       /* the last read */
  char text[8192];   /* longer than a path and what stands before it in /proc/self/maps */
} procpool__platform_lines;

static bool procpool__platform_lines_open(procpool__platform_lines *lines, const char *path) {
  lines->fd = procpool__platform_open(path, O_RDONLY);
  lines->start = lines->end = 0;
  lines->skip = lines->failed = false;
  return lines->fd >= 0;
}

/* Makes room and reads on; a line that fills the buffer (overlay mounts have such) cannot be one of ours: drop it. */
static bool procpool__platform_lines_fill(procpool__platform_lines *lines) {
  ssize_t length;
  lines->end -= lines->start;
  memmove(lines->text, lines->text + lines->start, lines->end);
  lines->start = 0;
  if (lines->end == sizeof(lines->text)) {
    lines->end = 0;
    lines->skip = true;
  }
  length = procpool__platform_read(lines->fd, lines->text + lines->end, sizeof(lines->text) - lines->end);
  lines->failed = length < 0;
  if (length > 0)
    lines->end += (size_t)length;
  return length > 0;
}

/* The next whole line without its newline, valid until the next call; null at the end. */
static char *procpool__platform_lines_next(procpool__platform_lines *lines) {
  for (;;) {
    char *line = lines->text + lines->start;
    char *newline = (char *)memchr(line, '\n', lines->end - lines->start);
    if (newline == NULL) {
      if (!procpool__platform_lines_fill(lines))
        return NULL;
      continue;
    }
    *newline = 0;
    lines->start = (size_t)(newline + 1 - lines->text);
    if (!lines->skip)
      return line;
    lines->skip = false;
  }
}

/* The name of one of the kernel's files about this process, as this thread sees it (Linux 3.17): those in /proc/self
 * are main's thread's, and empty or gone once that has ended. */
#define PROCPOOL__OWN_PATH 64
static const char *procpool__platform_own_path(char path[PROCPOOL__OWN_PATH], const char *name) {
  struct stat st;
  (void)snprintf(path, PROCPOOL__OWN_PATH, "/proc/thread-self/%s", name);
  if (lstat(path, &st) != 0)
    (void)snprintf(path, PROCPOOL__OWN_PATH, "/proc/self/%s", name);
  return path;
}

/* Turns cancellation of this thread off around code of the user's that runs inside the library. Returns what to put
 * back. (It costs some 10 ns: calls without such code rely on the functions above instead.) */
static int procpool__platform_no_cancel(void) {
  int before = PTHREAD_CANCEL_ENABLE;
  (void)pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &before);
  return before;
}
static void procpool__platform_cancel_as(int before) {
  (void)pthread_setcancelstate(before, NULL);
}
/* Where a thread that was cancelled ends: as a call that may wait begins, before it has touched anything. */
static void procpool__platform_cancel_here(void) {
  pthread_testcancel();
}

/* Keeps all signals from this thread, so that no handler runs in between. Zero, or an error. */
typedef sigset_t procpool__signals;

static int procpool__platform_block_signals(procpool__signals *old) {
  sigset_t all;
  (void)sigfillset(&all);
  return pthread_sigmask(SIG_BLOCK, &all, old);
}
static void procpool__platform_restore_signals(const procpool__signals *old) {
  (void)pthread_sigmask(SIG_SETMASK, old, NULL);
}

/* The processor that this runs on: by the time that it is read, it may be another one. */
static uint32_t procpool__platform_cpu(void) {
  unsigned cpu = 0;
  (void)syscall(SYS_getcpu, &cpu, NULL, NULL); /* sched_getcpu needs _GNU_SOURCE */
  return (uint32_t)cpu;
}

/* Lets other threads that wait for this processor go first; returns at once where there are none. */
static void procpool__platform_yield(void) {
  (void)sched_yield();
}

/* Nanoseconds of the monotonic clock (no system call on most machines). */
static uint64_t procpool__platform_now(void) {
  struct timespec t;
  (void)clock_gettime(CLOCK_MONOTONIC, &t);
  return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* The same clock as it was some milliseconds ago at most, at the kernel's last tick: that takes but some nanoseconds to
 * read. */
static uint64_t procpool__platform_tick(void) {
  struct timespec t;
  if (clock_gettime(PROCPOOL__CLOCK_COARSE, &t) != 0)
    return procpool__platform_now() >> 22 << 22;
  return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* ---- addresses: they travel as numbers of 64 bits ---- By way of a number as large as a pointer: memcpy from and to
 * 64 bits would leave half of them unwritten where a pointer has 32. */

static inline uint64_t procpool__number_of(const void *address) {
  return (uint64_t)(uintptr_t)address;
}
static inline void *procpool__address_of(uint64_t number) {
  const uintptr_t address = (uintptr_t)number;
  void *there;
  memcpy((void *)&there, &address, sizeof(there));
  return there;
}

/* The kernel does not have the call, or a sandbox refuses it: then another one may do. */
static bool procpool__platform_refused(int error) {
  return error == ENOSYS || error == EPERM;
}

/* There is none to be had now: unlike a call that is refused, that is no reason to do without. */
static bool procpool__platform_scarce(int error) {
  return error == EMFILE || error == ENFILE || error == ENOMEM;
}

/* What the parts above >>shm tell apart; all other errors they pass on to the host program as they are. */
enum {
  PROCPOOL__NO_MEMORY = ENOMEM,
  PROCPOOL__TOO_LARGE = EFBIG, /* a file for the process's limit */
  PROCPOOL__SHUT_DOWN = ESHUTDOWN,
  PROCPOOL__TIMED_OUT = ETIMEDOUT,
  PROCPOOL__NO_READ = EIO,
  PROCPOOL__NOT_OURS = EINVAL,
  PROCPOOL__GONE = EPIPE,       /* the other side of a channel, */
  PROCPOOL__RESET = ECONNRESET, /* before it read all that it was sent */
  PROCPOOL__FULL = EAGAIN       /* a channel; or it is empty */
};

/* Of the last call of this thread's that failed. */
static int procpool__platform_error(void) {
  return errno;
}
static void procpool__platform_set_error(int error) {
  errno = error;
}

/* Whether an error says that a descriptor is not what it is taken for. Any other one says nothing: there is no memory,
 * or a sandbox refuses the call. */
static bool procpool__platform_disproved(int error) {
  return error == EBADF || error == ENOTSOCK || error == EACCES || error == ENODEV || error == EINVAL || error == EPERM;
}

typedef pid_t procpool__pid;

/* The signals that the pool sends. */
enum { PROCPOOL__SIGNAL_TERM = SIGTERM, PROCPOOL__SIGNAL_KILL = SIGKILL, PROCPOOL__SIGNAL_CONTINUE = SIGCONT };

#define PROCPOOL__SIGNALS(X)                                                                                           \
  X(SIGHUP)                                                                                                            \
  X(SIGINT)                                                                                                            \
  X(SIGQUIT)                                                                                                           \
  X(SIGILL)                                                                                                            \
  X(SIGTRAP)                                                                                                           \
  X(SIGABRT)                                                                                                           \
  X(SIGBUS)                                                                                                            \
  X(SIGFPE)                                                                                                            \
  X(SIGKILL)                                                                                                           \
  X(SIGUSR1)                                                                                                           \
  X(SIGSEGV)                                                                                                           \
  X(SIGUSR2)                                                                                                           \
  X(SIGPIPE)                                                                                                           \
  X(SIGALRM)                                                                                                           \
  X(SIGTERM)                                                                                                           \
  X(SIGXCPU)                                                                                                           \
  X(SIGXFSZ)                                                                                                           \
  X(SIGVTALRM)                                                                                                         \
  X(SIGPROF)                                                                                                           \
  X(SIGSYS)

/* The name of a signal that ends processes, as " (SIGSEGV)"; empty where it has none. */
static const char *procpool__platform_signal_name(int number) {
  switch (number) {
#define PROCPOOL__SIGNAL_NAME(name)                                                                                    \
  case name:                                                                                                           \
    return " (" #name ")";
    PROCPOOL__SIGNALS(PROCPOOL__SIGNAL_NAME)
#undef PROCPOOL__SIGNAL_NAME
  default:
    return "";
  }
}

/* Bits that no other process has, and that none can guess. */
static uint64_t procpool__platform_random(void) {
  uint64_t bits = 0;
  const void *seed = procpool__address_of(getauxval(AT_RANDOM)); /* 16 bytes, the same since the program's start */
#ifdef SYS_getrandom
  if (syscall(SYS_getrandom, &bits, sizeof(bits), 1 /* GRND_NONBLOCK */) == (long)sizeof(bits))
    return bits;
#endif
  if (seed != NULL)
    memcpy(&bits, seed, sizeof(bits));
  return (bits ^ (uint64_t)getpid() << 32) + procpool__platform_now() * 0x9e3779b97f4a7c15u;
}

/* ---- parking: sleep while *word == value, across processes ---- */

/* How long to wait, as futex(2) and ppoll(2) take it by their old numbers: in longs of the kernel's, whatever size the
 * C library's time_t has. A struct timespec in the wrong layout would be read as no time at all: waits would be busy
 * loops. Kernels for 32 bits may lack the old calls (CONFIG_COMPAT_32BIT_TIME), and then have those for 64-bit times
 * (Linux 5.1). The old ones come first, since filters that are older than the new ones refuse these with EPERM. */
#ifdef __x86_64__
typedef int64_t procpool__kernel_long; /* x32, too */
#else
typedef long procpool__kernel_long;
#endif
typedef struct procpool__span {
  procpool__kernel_long seconds, nanoseconds;
} procpool__span;
typedef struct procpool__span64 {
  int64_t seconds, nanoseconds;
} procpool__span64;
#define PROCPOOL__SPAN_MOST 2147483647u /* seconds: a thread that waits so long looks again */

static void procpool__span_set(procpool__span *span, procpool__span64 *span64, uint64_t ns) {
  const uint64_t seconds = ns / 1000000000u;
  span64->seconds = (int64_t)(seconds < PROCPOOL__SPAN_MOST ? seconds : PROCPOOL__SPAN_MOST);
  span64->nanoseconds = (int64_t)(ns % 1000000000u);
  span->seconds = (procpool__kernel_long)span64->seconds;
  span->nanoseconds = (procpool__kernel_long)span64->nanoseconds;
}

/* How long it is until then; NEVER: as long as it takes. */
static uint64_t procpool__span_until(uint64_t deadline) {
  const uint64_t now = deadline == PROCPOOL__NEVER ? 0 : procpool__platform_now();
  return deadline == PROCPOOL__NEVER ? deadline : deadline > now ? deadline - now : 0;
}

/* Whether the kernel has none of the old call: there are new ones on 32-bit machines only. */
static bool procpool__span_unknown(long result) {
  return sizeof(procpool__kernel_long) == 4 && result < 0 && errno == ENOSYS;
}

/* ns: how long at most, NEVER: as long as it takes. For a wake it means nothing. */
static long procpool__platform_futex(uint32_t *word, int operation, uint32_t value, uint64_t ns) {
  const bool timed = ns != PROCPOOL__NEVER;
  procpool__span span;
  procpool__span64 span64;
  long result;
  procpool__span_set(&span, &span64, ns);
  result = syscall(SYS_futex, word, operation, value, timed ? &span : NULL, NULL, 0);
  if (procpool__span_unknown(result))
    result = syscall(SYS_futex_time64, word, operation, value, timed ? &span64 : NULL, NULL, 0);
  return result;
}

/* Sleeps until woken, *word != value, a signal, or until the deadline. May return early: the caller looks again. */
static void procpool__platform_park(uint32_t *word, uint32_t value, uint64_t deadline) {
  const uint64_t ns = procpool__span_until(deadline);
  if (ns > 0)
    (void)procpool__platform_futex(word, PROCPOOL__FUTEX_WAIT, value, ns);
}

/* Nothing works where the kernel or a sandbox refuses futexes, the C library's locks included. Zero or errno. */
static int procpool__platform_no_futex(void) {
  uint32_t word = 0;
  return procpool__platform_futex(&word, PROCPOOL__FUTEX_WAKE, 0, PROCPOOL__NEVER) < 0 ? errno : 0;
}

static void procpool__platform_wake(uint32_t *word, int count) {
  (void)procpool__platform_futex(word, PROCPOOL__FUTEX_WAKE, (uint32_t)count, PROCPOOL__NEVER);
}

/* ---- locks between threads ---- */

typedef pthread_mutex_t procpool__lock;
#define PROCPOOL__LOCK_INITIALIZER PTHREAD_MUTEX_INITIALIZER

static void procpool__platform_lock_init(procpool__lock *lock) {
  (void)pthread_mutex_init(lock, NULL);
}
static void procpool__platform_lock_end(procpool__lock *lock) {
  (void)pthread_mutex_destroy(lock);
}
static void procpool__platform_lock(procpool__lock *lock) {
  (void)pthread_mutex_lock(lock);
}
static bool procpool__platform_try_lock(procpool__lock *lock) {
  return pthread_mutex_trylock(lock) == 0;
}
static void procpool__platform_unlock(procpool__lock *lock) {
  (void)pthread_mutex_unlock(lock);
}

/* ---- a number that each thread has of its own ---- */

/* key: 0 at first; it holds what they share. False when there is none to be had. */
static bool procpool__platform_own_key(procpool__u64 *key, pthread_key_t *own) {
  const uint64_t there = procpool__load(key);
  if (there == 0) {
    if (pthread_key_create(own, free) != 0) /* the C library's: it is there when this code is not any more */
      return false;
    if (procpool__cas(key, 0, (uint64_t)*own + 1))
      return true;
    (void)pthread_key_delete(*own); /* another thread was faster */
  }
  *own = (pthread_key_t)(procpool__load(key) - 1);
  return true;
}

/* Keeps a copy of text for this thread, in the place of the last one; null: none. Without memory there is none. */
static void procpool__platform_own_set(procpool__u64 *key, const char *text) {
  const size_t size = text != NULL ? strlen(text) + 1 : 0;
  pthread_key_t own;
  char *copy = NULL;
  if ((text == NULL && procpool__load(key) == 0) || !procpool__platform_own_key(key, &own))
    return;
  if (text != NULL)
    copy = (char *)malloc(size);
  if (copy != NULL)
    memcpy(copy, text, size);
  free(pthread_getspecific(own));
  (void)pthread_setspecific(own, copy);
}

static const char *procpool__platform_own(procpool__u64 *key) {
  pthread_key_t own;
  if (procpool__load(key) == 0 || !procpool__platform_own_key(key, &own))
    return NULL;
  return (const char *)pthread_getspecific(own);
}

/* ==== >>memory ======================================================================================================
 * Runs in:   any process, any thread.
 * Writes:    the memory that its caller names.
 * Calls:     >>platform and the kernel.
 * Always:    pages of the segment are reserved before they are touched: a full machine is an error of a call, and no
 *            SIGBUS. */

static uint64_t procpool__round_up(uint64_t value, uint64_t unit) {
  return (value + unit - 1) / unit * unit;
}

/* Bytes of a page: up to 64 KiB on arm64, ppc64 and others. Tests define it, before this file. */
#ifndef PROCPOOL__PAGE_SIZE
#define PROCPOOL__PAGE_SIZE() sysconf(_SC_PAGESIZE)
#endif
static uint64_t procpool__platform_page(void) {
  return (uint64_t)PROCPOOL__PAGE_SIZE();
}

/* Private zeroed memory that costs nothing until it is touched. Null when there is no room. */
static void *procpool__platform_pages(size_t size) {
  void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  return p == MAP_FAILED ? NULL : p;
}

/* Memory for results, aligned to 16 whatever malloc gives (8 on several machines of 32 bits, and with allocators of the
 * user's): the byte before the first says how far behind the block's start that lies. */
static void procpool__aligned_free(void *p) {
  if (p != NULL)
    PROCPOOL_FREE((unsigned char *)p - ((unsigned char *)p)[-1]);
}

/* Larger, with its first used bytes; p may be null. Null, and all is as before, when there is no memory, or for more
 * than a process of this machine can have. */
static void *procpool__aligned_grow(void *p, uint64_t used, uint64_t size) {
  const size_t was = p != NULL ? ((unsigned char *)p)[-1] : 0;
  unsigned char *block;
  size_t by;
  if (size > (uint64_t)PTRDIFF_MAX)
    return NULL;
  size += PROCPOOL__ALIGNMENT;
  block = (unsigned char *)(p != NULL ? PROCPOOL_REALLOC((unsigned char *)p - was, (size_t)size)
                                      : PROCPOOL_MALLOC((size_t)size));
  if (block == NULL)
    return NULL;
  by = PROCPOOL__ALIGNMENT - (size_t)((uintptr_t)block % PROCPOOL__ALIGNMENT);
  if (by != was && used > 0)
    memmove(block + by, block + was, (size_t)used);
  block[by - 1] = (unsigned char)by;
  return block + by;
}

static void *procpool__aligned_new(uint64_t size) {
  return procpool__aligned_grow(NULL, 0, size);
}

static void procpool__platform_unmap(void *p, size_t size) {
  if (p != NULL)
    (void)munmap(p, size);
}

/* A word that tells a process from its forked children without a system call: MADV_WIPEONFORK (Linux 4.14) zeroes its
 * page in each of them. Where the kernel does not know that, it holds the process's id. */
#define PROCPOOL__GUARD_WIPED UINT32_MAX /* no process has this id */

static uint32_t *procpool__platform_guard(void) {
  uint32_t *guard = (uint32_t *)procpool__platform_pages(PROCPOOL__PAGE);
  if (guard != NULL)
    *guard =
        madvise(guard, PROCPOOL__PAGE, PROCPOOL__MADV_WIPEONFORK) == 0 ? PROCPOOL__GUARD_WIPED : (uint32_t)getpid();
  return guard;
}

static bool procpool__platform_guard_ok(const uint32_t *guard) {
  return *guard == PROCPOOL__GUARD_WIPED || *guard == (uint32_t)getpid();
}

/* Standard descriptors may be closed in the host: nothing of ours may land on 0, 1 or 2. */
static int procpool__platform_above_std(int fd) {
  int high;
  if (fd < 0 || fd > 2)
    return fd;
  high = fcntl(fd, F_DUPFD_CLOEXEC, 3);
  procpool__platform_close_fd(fd);
  return high;
}

static void procpool__platform_close_on_exec(int fd) {
  (void)fcntl(fd, F_SETFD, FD_CLOEXEC);
}

/* RLIMIT_FSIZE covers memfds too, and exceeding it raises SIGXFSZ in the caller: look before. */
static uint64_t procpool__platform_size_limit(void) {
  struct rlimit limit;
  if (getrlimit(RLIMIT_FSIZE, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY)
    return UINT64_MAX;
  return (uint64_t)limit.rlim_cur;
}

/* A file without a name, in memory if directory is: from the start (O_TMPFILE, Linux 3.11), or from the next call on.
 * */
static int procpool__platform_shm_file(const char *directory) {
  char path[256];
  const int flags = O_RDWR | O_CLOEXEC;
  int fd = (int)syscall(SYS_openat, AT_FDCWD, directory, flags | (int)PROCPOOL__O_TMPFILE, 0600);
  for (int i = 0; fd < 0 && i < 100; i++) { /* a name that is taken is not the last one */
    const int length =
        snprintf(path, sizeof(path), "%s/procpool-%016llx", directory, (unsigned long long)procpool__platform_random());
    if (length < 0 || length >= (int)sizeof(path))
      return -1;
    fd = (int)syscall(SYS_openat, AT_FDCWD, path, flags | O_CREAT | O_EXCL | O_NOFOLLOW, 0600);
    if (fd >= 0)
      (void)unlink(path);
    else if (errno != EEXIST)
      return -1;
  }
  return fd;
}

static bool procpool__platform_privileged(void);

/* Where there is no memfd_create (Linux before 3.17, sandboxes): a file, which cannot be sealed. */
static int procpool__platform_shm_substitute(void) {
  const char *directory = procpool__platform_privileged() ? NULL : getenv("TMPDIR");
  const int error = errno;
  int fd = procpool__platform_shm_file("/dev/shm");
  if (fd < 0 && directory != NULL && *directory != 0)
    fd = procpool__platform_shm_file(directory);
  if (fd < 0)
    fd = procpool__platform_shm_file("/tmp");
  errno = error;
  return fd;
}

/* By write: the byte is zero already, or there is none yet. */
static ssize_t procpool__platform_shm_zero(int fd, uint64_t at) {
  const int cancel = procpool__platform_no_cancel();
  const ssize_t written = pwrite(fd, "", 1, (off_t)at);
  procpool__platform_cancel_as(cancel);
  return written;
}

static bool procpool__platform_shm_stretch(int fd, uint64_t size) {
  if (ftruncate(fd, (off_t)size) == 0)
    return true;
  return procpool__platform_refused(errno) && procpool__platform_shm_zero(fd, size - 1) == 1;
}

/* Shared memory without a name, size bytes long at first; reserving makes it longer. Null pages until they are
 * touched. -1 (errno, and *call: what failed). */
static int procpool__platform_shm_create(uint64_t size, const char *name, const char **call) {
  int fd = (int)syscall(SYS_memfd_create, name, PROCPOOL__MFD_CLOEXEC | PROCPOOL__MFD_ALLOW_SEALING);
  *call = "memfd_create";
  if (fd < 0 && procpool__platform_refused(errno))
    fd = procpool__platform_shm_substitute();
  fd = procpool__platform_above_std(fd);
  if (fd < 0)
    return -1;
  *call = size <= procpool__platform_size_limit() ? "ftruncate" : "RLIMIT_FSIZE";
  errno = EFBIG;
  if (size <= procpool__platform_size_limit() && procpool__platform_shm_stretch(fd, size)) {
    /* a worker that shrank the file would make the host die by SIGBUS */
    (void)fcntl(fd, PROCPOOL__ADD_SEALS, PROCPOOL__SEAL_SHRINK);
    return fd;
  }
  procpool__platform_close(&fd);
  return -1;
}

/* The first page of a file that is this process's user's, and sealed if it can be (files in tmpfs bear the seal that
 * forbids sealing): to be read only, and to be unmapped then. Null (errno) where that cannot be; NOT_OURS. */
static void *procpool__platform_shm_look(int fd) {
  struct stat st;
  const int seals = fcntl(fd, PROCPOOL__GET_SEALS);
  void *p = MAP_FAILED;
  if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_uid == geteuid() && st.st_size >= (off_t)PROCPOOL__PAGE &&
      (seals < 0 || (seals & (PROCPOOL__SEAL_SHRINK | PROCPOOL__SEAL_SEAL)) != 0))
    p = mmap(NULL, PROCPOOL__PAGE, PROT_READ, MAP_SHARED, fd, 0);
  else
    errno = PROCPOOL__NOT_OURS;
  return p == MAP_FAILED ? NULL : p;
}

/* Maps size bytes of address space, most of them beyond the end of the file and closed to access: a leak checker that
 * reads all of a process's memory, as valgrind's does, would otherwise take hours, and reserve every page. place:
 * where, or null for anywhere. Null when there is no room there. */
static void *procpool__platform_shm_map_at(int fd, uint64_t size, void *place) {
  const int flags = MAP_SHARED | MAP_NORESERVE | (place != NULL ? (int)PROCPOOL__MAP_FIXED_NOREPLACE : 0);
  void *p;
  p = mmap(place, (size_t)size, PROT_NONE, flags, fd, 0);
  if (p == MAP_FAILED)
    return NULL;
  if (place == NULL || p == place) {
    (void)madvise(p, (size_t)size,
                  PROCPOOL__MADV_DONTDUMP); /* a core dump of the host would hold all of it: gigabytes */
    return p;
  }
  (void)munmap(p, (size_t)size); /* Linux before 4.17 takes the place for a wish */
  return NULL;
}

/* Says that the place where the host has the segment is taken in this process: tests define it, before this file. */
#ifndef PROCPOOL__PLACE_TAKEN
#define PROCPOOL__PLACE_TAKEN() false
#endif

/* The same at the address where another process has it; 0: anywhere, but at a multiple of a large page if that can be
 * had. */
static void *procpool__platform_shm_map(int fd, uint64_t size, uint64_t place) {
  unsigned char *p = (unsigned char *)procpool__platform_shm_map_at(fd, size, procpool__address_of(place));
  const size_t odd = (size_t)((uintptr_t)p % PROCPOOL__HUGE);
  void *even;
  if (place != 0 || odd == 0)
    return p;
  (void)munmap(p, (size_t)size);
  even = procpool__platform_shm_map_at(fd, size, p - odd); /* places are given out downwards: this one is free */
  return even != NULL ? even : procpool__platform_shm_map_at(fd, size, NULL);
}

/* Whether the instrument that this is built with wants all memory in places of its own. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define PROCPOOL__PLACES 0
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) || __has_feature(memory_sanitizer)
#define PROCPOOL__PLACES 0
#endif
#endif
#ifndef PROCPOOL__PLACES
#define PROCPOOL__PLACES 16 /* places tried for each power of two */
#endif

/* Whether it reports the use of memory that was given back to the heap: then each future is a block of its own. */
#if defined(__SANITIZE_ADDRESS__)
#define PROCPOOL__APART true
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define PROCPOOL__APART true
#endif
#endif
#ifndef PROCPOOL__APART
#define PROCPOOL__APART false
#endif

/* The same in a place where other starts of this program have room too. The kernel lays out programs, libraries, stacks
 * and mappings at random near the top and at one and two thirds of the address space, and two starts differ: what lies
 * at three quarters of a power of two is far from all that, however large the address space is (2^47 on x86-64, 2^38 to
 * 2^48 elsewhere, 3 or 4 GiB). */
static void *procpool__platform_shm_map_far(int fd, uint64_t size) {
  const int most = sizeof(void *) > 4 ? 46 : 31, least = sizeof(void *) > 4 ? 36 : 31;
  const uint64_t step = procpool__round_up(size, PROCPOOL__HUGE);
  void *p = procpool__platform_shm_map_at(fd, size, NULL);
  if (p == NULL) /* no room for it at all */
    return NULL;
  (void)munmap(p, (size_t)size);
  for (int i = 0; i < PROCPOOL__PLACES; i++)
    for (int bits = most; bits >= least; bits--) {
      const uint64_t place = ((uint64_t)3 << (bits - 2)) + (uint64_t)i * step;
      if (place > (uint64_t)UINTPTR_MAX - size || place >> bits != 0)
        continue;
      p = procpool__platform_shm_map(fd, size, place);
      if (p != NULL)
        return p;
    }
  return procpool__platform_shm_map(fd, size, 0);
}

/* Opens the mapping up to end, in this process. */
static bool procpool__platform_shm_open(void *base, uint64_t end) {
  return mprotect(base, (size_t)end, PROT_READ | PROT_WRITE) == 0;
}

/* Makes the opened part this process's own, in a child: it sees what the others write there until it writes to a page
 * itself, and nothing that it writes reaches them. First for reading: what is to be written counts against limits on
 * private memory, and where those refuse it the part stays as it is now. */
static void procpool__platform_shm_separate(int fd, void *base, size_t end) {
  if (mmap(base, end, PROT_READ, MAP_PRIVATE | MAP_FIXED | MAP_NORESERVE, fd, 0) == MAP_FAILED)
    return;
  (void)mprotect(base, end, PROT_READ | PROT_WRITE);
  (void)madvise(base, end, PROCPOOL__MADV_DONTDUMP);
}

/* Gives pages back. They read as zeros until they are reserved again. */
static void procpool__platform_shm_discard(void *start, uint64_t size) {
  (void)madvise(start, (size_t)size, MADV_REMOVE);
}

/* Gives the pages of a segment back, whichever process else has it mapped: a child of the host's that lives on, or
 * another pool's processes. None uses it any more. */
static void procpool__platform_shm_empty(void *base, uint64_t size) {
  if (base != NULL && procpool__platform_shm_open(base, size))
    procpool__platform_shm_discard(base, size);
}

/* What the kernel thinks that it can still give without swapping, in bytes; UINT64_MAX where it does not say. */
static uint64_t procpool__platform_available(void) {
  char text[1024];
  const char *line;
  unsigned long long kib;
  (void)procpool__platform_read_text("/proc/meminfo", text, sizeof(text));
  line = strstr(text, "MemAvailable:");
  return line != NULL && sscanf(line, "MemAvailable: %llu", &kib) == 1 ? (uint64_t)kib * 1024u : UINT64_MAX;
}

/* Takes large pages for what lies in whole ones, as far as the kernel has some: it makes one of a page here and there
 * when it is told to (MADV_COLLAPSE, Linux 6.1), whatever its settings for shared memory. On the development machine
 * 128 MiB were reserved so in 7 ms instead of 30, and the first pass over them took 3 ms instead of 24 in each process
 * (later ones 3 either way). What it cannot do is done by those who reserve the rest. */
static void procpool__platform_shm_enlarge(int fd, unsigned char *base, uint64_t offset, uint64_t size) {
  const uint64_t from = procpool__round_up(offset, PROCPOOL__HUGE);
  const uint64_t end = (offset + size) / PROCPOOL__HUGE * PROCPOOL__HUGE;
  if ((uintptr_t)base % PROCPOOL__HUGE != 0 || from >= end)
    return;
  for (uint64_t at = from; at < end; at += PROCPOOL__HUGE) /* the last page of each: the file must reach as far */
    if (posix_fallocate(fd, (off_t)(at + PROCPOOL__HUGE - PROCPOOL__PAGE), PROCPOOL__PAGE) != 0)
      return;
  (void)madvise(base + from, (size_t)(end - from), PROCPOOL__MADV_COLLAPSE);
}

/* The same for private memory, of which the kernel then gives large pages as it is first touched: one fault in place of
 * 512. */
static void procpool__platform_enlarge(void *p, size_t size) {
  const size_t ahead = (size_t)(-(uintptr_t)p % PROCPOOL__HUGE);
  if (size >= ahead + PROCPOOL__HUGE)
    (void)madvise((unsigned char *)p + ahead, (size - ahead) & ~(size_t)(PROCPOOL__HUGE - 1), PROCPOOL__MADV_HUGEPAGE);
}

/* Where fallocate is refused: a write takes a page too, and is refused where there is none. They are zeros. */
static int procpool__platform_shm_write(int fd, uint64_t offset, uint64_t size) {
  for (uint64_t at = offset; at < offset + size;) {
    const ssize_t written = procpool__platform_shm_zero(fd, at);
    if (written < 0 && errno != EINTR)
      return errno;
    if (written == 1)
      at = at + PROCPOOL__PAGE < offset + size || at == offset + size - 1 ? at + PROCPOOL__PAGE : offset + size - 1;
  }
  return 0;
}

/* A signal makes the kernel give up all of one call, and a timer of the host's could do so for ever: then in slices. */
static int procpool__platform_shm_allocate(int fd, uint64_t offset, uint64_t size) {
  const uint64_t end = offset + size;
  uint64_t slice = size;
  while (offset < end) {
    const uint64_t part = end - offset < slice ? end - offset : slice;
    const int error = posix_fallocate(fd, (off_t)offset, (off_t)part);
    if (procpool__platform_refused(error) || error == EOPNOTSUPP)
      return procpool__platform_shm_write(fd, offset, end - offset);
    if (error == EINTR)
      slice = (uint64_t)1 << 20;
    else if (error != 0)
      return error;
    else
      offset += part;
  }
  return 0;
}

/* Takes the pages now, so that a full machine is an error here and not SIGBUS at the first touch. Zero or errno: none
 * of them is taken then. They are open to access in this process, and none of them is reserved before. */
static int procpool__platform_shm_reserve(int fd, unsigned char *base, uint64_t offset, uint64_t size) {
  const uint64_t limit = procpool__platform_size_limit();
  int error;
  if (size > limit || offset > limit - size)
    return EFBIG;
  procpool__platform_shm_enlarge(fd, base, offset, size);
  error = procpool__platform_shm_allocate(fd, offset, size);
  if (error != 0)
    procpool__platform_shm_discard(base + offset, size);
  return error;
}

/* Takes the right to write away, in this process. */
static void procpool__platform_shm_protect(void *base, uint64_t end) {
  (void)mprotect(base, (size_t)end, PROT_READ);
}

static uint64_t procpool__platform_memory(void) {
  const long pages = sysconf(_SC_PHYS_PAGES);
  return pages > 0 ? (uint64_t)pages * (uint64_t)sysconf(_SC_PAGESIZE) : (uint64_t)1 << 30;
}

/* Bytes of address space that this process may yet take, where that is bounded: by RLIMIT_AS, or by pointers of 32 bits
 * (most kernels leave 3 GiB or more of these); UINT64_MAX elsewhere. */
static uint64_t procpool__platform_space(void) {
  uint64_t most = sizeof(void *) > 4 ? UINT64_MAX : (uint64_t)3 << 30, used;
  unsigned long long pages = 0;
  struct rlimit limit;
  char text[64] = "", path[PROCPOOL__OWN_PATH];
  if (getrlimit(RLIMIT_AS, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY && limit.rlim_cur < most)
    most = limit.rlim_cur;
  if (most != UINT64_MAX)
    (void)procpool__platform_read_text(procpool__platform_own_path(path, "statm"), text, sizeof(text));
  used = sscanf(text, "%llu", &pages) == 1 ? pages * procpool__platform_page() : 0;
  return most == UINT64_MAX || used < most ? most - used : 0;
}

/* ==== >>descriptors =================================================================================================
 * Runs in:   any process; the witness's page in the host, its watch in the supervisor.
 * Writes:    nothing shared; descriptors are close-on-exec and above 2.
 * Calls:     >>platform, >>memory and the kernel.
 * Always:    the callers make, note and close a pool's descriptors in sections that exclude forks: see >>supervisor. */

static bool procpool__platform_pair(bool made, int fds[2]) {
  for (int i = 0; i < 2; i++)
    fds[i] = made ? procpool__platform_above_std(fds[i]) : -1;
  return fds[0] >= 0 && fds[1] >= 0;
}

/* pipe2 by number: its declaration needs _GNU_SOURCE. */
static bool procpool__platform_pipe(int fds[2]) {
  return procpool__platform_pair(syscall(SYS_pipe2, fds, O_CLOEXEC) == 0, fds);
}

/* Whole messages in both directions; end of file when the other side is gone. */
static bool procpool__platform_channel(int fds[2]) {
  return procpool__platform_pair(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds) == 0, fds);
}

/* ---- an event that a host waits for, among other descriptors ----
 * Whether a descriptor waits is a flag of its open file description (O_NONBLOCK), which all processes that have it
 * share: a worker that clears it makes every other one block. So host and supervisor share an eventfd that no worker
 * has; workers write to a pipe (a bell) whose reading end, a description of its own, the host alone has; and what the
 * host waits for is an epoll descriptor over both. */

static bool procpool__platform_bell(int fds[2]) {
  return procpool__platform_pair(syscall(SYS_pipe2, fds, O_CLOEXEC | O_NONBLOCK) == 0, fds);
}

static int procpool__platform_event(void) {
  int fd = (int)syscall(SYS_eventfd2, 0, O_CLOEXEC | O_NONBLOCK);
  return procpool__platform_above_std(fd);
}

/* The number of a pipe among all pipes that there are; 0 where fd is no pipe. */
static uint64_t procpool__platform_pipe_number(int fd) {
  struct stat st;
  const int saved = errno;
  const bool is = fstat(fd, &st) == 0 && S_ISFIFO(st.st_mode);
  errno = saved;
  return is ? (uint64_t)st.st_ino : 0;
}

/* Async-signal-safe. Of an eventfd or of a bell. EAGAIN means that it is readable already. */
static void procpool__platform_event_set(int fd) {
  const uint64_t one = 1;
  const int saved = errno;
  if (procpool__platform_write(fd, &one, sizeof(one)) < 0)
    errno = saved;
}

static void procpool__platform_event_clear(int fd) {
  uint64_t count;
  const int saved = errno;
  if (procpool__platform_read(fd, &count, sizeof(count)) < 0)
    errno = saved;
}

/* By the kernel's own call: the C library's leaves its own signals out. old: or null. */
static void procpool__platform_swap_mask(const sigset_t *mask, sigset_t *old) {
  (void)syscall(SYS_rt_sigprocmask, SIG_SETMASK, mask, old, (size_t)(_NSIG / 8));
}

/* Where ppoll is refused. A signal may come between the change of the mask and the sleep: that is short then. */
static int procpool__platform_poll_plainly(struct pollfd *fds, int count, uint64_t ns, const sigset_t *mask) {
  const int most = mask != NULL ? 10 : INT_MAX;
  sigset_t old;
  int got, error, ms = -1;
  if (ns != PROCPOOL__NEVER)
    ms = ns / 1000000u < (uint64_t)most ? (int)((ns + 999999u) / 1000000u) : most;
  if (mask != NULL) {
    ms = ms < 0 || ms > most ? most : ms;
    procpool__platform_swap_mask(mask, &old);
  }
  got = (int)syscall(SYS_poll, fds, count, ms);
  error = errno;
  if (mask != NULL)
    procpool__platform_swap_mask(&old, NULL);
  errno = error;
  return got;
}

#define PROCPOOL__BELL_MOST ((size_t)64 * 4096)

/* Empties a bell, whatever was written to it. Returns how many bytes that were; BELL_MOST: there may be more. */
static size_t procpool__platform_bell_clear(int fd) {
  unsigned char bytes[4096];
  const int saved = errno;
  size_t total = 0;
  ssize_t got = 0;
  for (size_t i = 0; i < PROCPOOL__BELL_MOST / sizeof(bytes); i++) {
    got = procpool__platform_read(fd, bytes, sizeof(bytes));
    if (got <= 0)
      break;
    total += (size_t)got;
  }
  errno = saved;
  return got > 0 ? PROCPOOL__BELL_MOST : total;
}

/* A descriptor that is readable while one of those added to it is. */
static int procpool__platform_watch(void) {
  return procpool__platform_above_std(epoll_create1(EPOLL_CLOEXEC));
}

/* edge: it counts when something comes, and not because something is there. False (errno) when it cannot be added. */
static bool procpool__platform_watch_add(int watch, int fd, bool edge) {
  struct epoll_event event;
  memset(&event, 0, sizeof(event));
  event.events = (uint32_t)EPOLLIN | (edge ? (uint32_t)EPOLLET : 0u);
  return epoll_ctl(watch, EPOLL_CTL_ADD, fd, &event) == 0;
}

/* A description that another process has too would stay in there when fd is closed. */
static void procpool__platform_watch_remove(int watch, int fd) {
  struct epoll_event event; /* Linux before 2.6.9 wants one */
  memset(&event, 0, sizeof(event));
  if (watch >= 0 && fd >= 0)
    (void)epoll_ctl(watch, EPOLL_CTL_DEL, fd, &event);
}

/* What came by an edge counts no more. */
static void procpool__platform_watch_clear(int watch) {
  struct epoll_event events[8];
  const int saved = errno;
  if (syscall(SYS_epoll_pwait, watch, events, 8, 0, NULL, (size_t)(_NSIG / 8)) < 0)
    errno = saved;
}

/* A descriptor that becomes readable when the process ends; -1 where there is none (Linux before 5.3). A process that
 * is neither this one nor a child of it that is not yet reaped may be a stranger by then. */
static int procpool__platform_pidfd(pid_t pid) {
  return procpool__platform_above_std((int)syscall(SYS_pidfd_open, pid, 0));
}

/* A signal for the process that pidfd stands for, and never for another one, whatever its state: SIGKILL goes through a
 * stop and through a tracer. Nothing where there is no such descriptor. */
static void procpool__platform_pidfd_signal(int pidfd, int signal_number) {
  if (pidfd >= 0)
    (void)syscall(SYS_pidfd_send_signal, pidfd, signal_number, NULL, 0);
}

/* ---- exceptions ---- Compiled as C++, what a callback throws is kept, and thrown again when the call that ran it has
 * let go of all that it holds. Compiled as C there is nothing to catch it with: see the manual. */

#ifdef __cpp_exceptions
static void *procpool__platform_keep_exception(void) {
  std::exception_ptr *kept = new (std::nothrow) std::exception_ptr(std::current_exception());
  if (kept == NULL)
    std::terminate();
  return kept;
}
static void procpool__platform_drop_exception(void *kept) {
  delete static_cast<std::exception_ptr *>(kept);
}
static void procpool__platform_throw(void *kept) {
  std::exception_ptr exception;
  if (kept == NULL)
    return;
  exception = *static_cast<std::exception_ptr *>(kept);
  procpool__platform_drop_exception(kept);
  std::rethrow_exception(exception);
}
/* Where another exception is under way, this one is dropped: two would end the program. */
static void procpool__platform_throw_alone(void *kept) {
#ifdef __cpp_lib_uncaught_exceptions
  const bool alone = std::uncaught_exceptions() == 0;
#else
  const bool alone = !std::uncaught_exception();
#endif
  if (alone)
    procpool__platform_throw(kept);
  else
    procpool__platform_drop_exception(kept);
}
#else
static void procpool__platform_drop_exception(void *kept) {
  (void)kept;
}
static void procpool__platform_throw(void *kept) {
  (void)kept;
}
static void procpool__platform_throw_alone(void *kept) {
  (void)kept;
}
#endif

/* ---- a timer that is a descriptor ---- */

static int procpool__platform_timer(void) {
  return procpool__platform_above_std(timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK));
}

/* Makes the timer readable at that time (procpool__platform_now), and unreadable until then; NEVER: not at all. */
static void procpool__platform_timer_set(int timer, uint64_t due) {
  struct itimerspec t;
  memset(&t, 0, sizeof(t));
  if (due != PROCPOOL__NEVER) {
    t.it_value.tv_sec = (time_t)(due / 1000000000u);
    t.it_value.tv_nsec = (long)(due % 1000000000u);
  }
  (void)timerfd_settime(timer, TFD_TIMER_ABSTIME, &t, NULL);
}

typedef struct pollfd procpool__source;

/* Waits until one of the descriptors has something or the deadline passes. mask: signals blocked meanwhile, or null.
 * Returns early at a signal: the caller looks again. */
static int procpool__platform_poll(procpool__source *fds, int count, uint64_t deadline, const sigset_t *mask) {
  const bool timed = deadline != PROCPOOL__NEVER;
  const uint64_t ns = procpool__span_until(deadline);
  const size_t mask_size = _NSIG / 8; /* the kernel's signal set has one bit per signal */
  procpool__span span;
  procpool__span64 span64;
  long result;
  procpool__span_set(&span, &span64, ns);
  /* ppoll by number: its declaration needs _GNU_SOURCE */
  result = syscall(SYS_ppoll, fds, count, timed ? &span : NULL, mask, mask_size);
  if (procpool__span_unknown(result))
    result = syscall(SYS_ppoll_time64, fds, count, timed ? &span64 : NULL, mask, mask_size);
  if (result < 0 && procpool__platform_refused(errno)) {
    errno = 0; /* a wait that merely ends tells of no error */
    return procpool__platform_poll_plainly(fds, count, ns, mask);
  }
  return (int)result;
}

/* What is there to wait for: that something can be read from a descriptor; none where it is negative. */
static procpool__source procpool__platform_source(int fd) {
  procpool__source source;
  source.fd = fd;
  source.events = POLLIN;
  source.revents = 0;
  return source;
}

/* The end of file of a pipe or channel, or an error: the other side is gone. */
static procpool__source procpool__platform_end_of(int fd) {
  procpool__source source = procpool__platform_source(fd);
  source.events = 0;
  return source;
}

static bool procpool__platform_came(const procpool__source *source) {
  return source->revents != 0;
}

/* Waits until one of them has come, or until the deadline: a signal of the host's ends a poll, and says nothing. False
 * where nothing came: by then (error 0), or because they cannot be waited for. */
static bool procpool__platform_await(procpool__source *sources, int count, uint64_t deadline) {
  int got;
  do {
    errno = 0;
    got = procpool__platform_poll(sources, count, deadline, NULL);
  } while (got < 0 && errno == EINTR && procpool__platform_now() < deadline);
  if (got < 0 && errno == EINTR)
    errno = 0;
  return got > 0;
}

static bool procpool__platform_gone(int fd, uint64_t deadline) {
  procpool__source source = procpool__platform_end_of(fd);
  return procpool__platform_await(&source, 1, deadline);
}

/* Waits until a process has ended, by its id: if that is a stranger's by now, this waits in vain. */
static void procpool__platform_await_end(pid_t pid, uint64_t deadline) {
  int fd = pid > 0 ? procpool__platform_pidfd(pid) : -1;
  procpool__source source = procpool__platform_source(fd);
  if (fd >= 0)
    (void)procpool__platform_await(&source, 1, deadline);
  procpool__platform_close(&fd);
}

/* ---- a witness: what ends with a process, and with nothing else ----
 * A pipe's end of file, which tells of a process's death and of its exec, comes late where a child of that process
 * holds a copy; and no handler runs in a child that bypasses the C library's fork. So there is a page besides that the
 * process maps and keeps from all of its children (MADV_DONTFORK): the mapping goes when its memory does, by exit, exec
 * or SIGKILL. The kernel then lets go of the file that was opened for it, and inotify tells the process that watches.
 * That costs nothing until then. The page's file knows as well: it takes the seal against writers only when no process
 * maps it for writing (fcntl(2), F_SEAL_WRITE). */

/* Opens anew what fd stands for. -1 (errno) without /proc. */
static int procpool__platform_reopen(int fd, int flags) {
  char name[32], path[PROCPOOL__OWN_PATH];
  (void)snprintf(name, sizeof(name), "fd/%d", fd);
  return procpool__platform_above_std(procpool__platform_open(procpool__platform_own_path(path, name), flags));
}

/* Maps the witness's page. Its file is opened anew for that: the kernel lets go of what fd stands for when the process
 * that watches does so, too. Where it cannot be, the seal alone tells, and fd says so by a flag that means nothing else
 * in a file, to each process that has it. Null (errno, *call) where it cannot be had. */
static void *procpool__platform_witness_map(int fd, const char **call) {
  int again = procpool__platform_reopen(fd, O_RDWR);
  void *page;
  *call = "openat of /proc/self/fd";
  if (again < 0 && procpool__platform_scarce(errno))
    return NULL;
  if (again < 0)
    (void)fcntl(fd, F_SETFL, O_NONBLOCK);
  *call = "mmap";
  page = mmap(NULL, PROCPOOL__PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, again >= 0 ? again : fd, 0);
  procpool__platform_close(&again);
  return page == MAP_FAILED ? NULL : page;
}

static void procpool__platform_witness_drop(void **page) {
  procpool__platform_unmap(*page, PROCPOOL__PAGE);
  *page = NULL;
}

/* Maps a witness of this process: *page, until that is unmapped. A descriptor for the process that watches, or -1:
 * there is none (errno, *call: why). */
static int procpool__platform_witness(void **page, const char **call) {
  int fd = procpool__platform_shm_create(PROCPOOL__PAGE, "witness", call);
  if (fd < 0)
    return -1;
  *page = procpool__platform_witness_map(fd, call);
  if (*page != NULL) {
    *call = "madvise";
    (void)madvise(*page, PROCPOOL__PAGE, PROCPOOL__MADV_DONTDUMP);
    if (madvise(*page, PROCPOOL__PAGE, MADV_DONTFORK) == 0) {
      if (fcntl(fd, PROCPOOL__ADD_SEALS, PROCPOOL__SEAL_WRITE) != 0 && errno == EBUSY)
        return fd;
      errno = ENOSYS; /* a file without seals tells nothing */
    }
  }
  procpool__platform_witness_drop(page);
  procpool__platform_close(&fd);
  return -1;
}

/* A descriptor that becomes readable when the witness may be gone; -1 where there is none. */
static int procpool__platform_witness_watch(int witness) {
  char path[32];
  const bool tells = witness >= 0 && (fcntl(witness, F_GETFL) & O_NONBLOCK) == 0; /* see witness_map */
  int fd = tells ? procpool__platform_above_std(inotify_init1(IN_CLOEXEC | IN_NONBLOCK)) : -1;
  (void)snprintf(path, sizeof(path), "/proc/self/fd/%d", witness);
  if (fd >= 0 && inotify_add_watch(fd, path, IN_CLOSE) < 0)
    procpool__platform_close(&fd);
  return fd;
}

/* Whether the process whose witness it is has ended, or executed another program. watch: or -1. */
static bool procpool__platform_witness_gone(int witness, int watch) {
  union {
    struct inotify_event event;
    char bytes[256];
  } events;
  ssize_t got;
  do /* another process has opened and closed the file, if it is not that */
    got = watch >= 0 ? procpool__platform_read(watch, &events, sizeof(events)) : -1;
  while (got > 0);
  return witness >= 0 && fcntl(witness, PROCPOOL__ADD_SEALS, PROCPOOL__SEAL_WRITE) == 0;
}

/* What the kernel writes for each entry of a directory (getdents64(2)). */
typedef struct procpool__platform_entry {
  uint64_t inode;
  int64_t next;
  uint16_t length;
  uint8_t type;
  char name[1];
} procpool__platform_entry;

typedef bool procpool__platform_number_visitor(int number, void *context);

/* Visits the numbers that are names in a directory of the kernel's, until visit returns true, and closes it. No
 * readdir: it allocates, and the host may have threads. 1: visit did; 0: never; -1: there is no such list. */
static int procpool__platform_each_number(int directory, procpool__platform_number_visitor *visit, void *context) {
  uint64_t list[512]; /* aligned for an entry */
  long got = -1;
  bool found = false;
  while (directory >= 0 && !found && (got = syscall(SYS_getdents64, directory, list, sizeof(list))) > 0)
    for (long at = 0; at < got && !found;) {
      const char *entry = (const char *)list + at;
      const int number = atoi(entry + offsetof(procpool__platform_entry, name));
      uint16_t length;
      memcpy(&length, entry + offsetof(procpool__platform_entry, length), sizeof(length));
      found = number > 0 && visit(number, context);
      at += length;
    }
  procpool__platform_close(&directory);
  return found ? 1 : got < 0 ? -1 : 0;
}

/* The descriptors that stay open. */
typedef struct procpool__platform_keep {
  const int *fds;
  size_t count;
  int list; /* of the open ones, while it is read */
} procpool__platform_keep;

static bool procpool__platform_close_unless_kept(int fd, void *context) {
  const procpool__platform_keep *keep = (const procpool__platform_keep *)context;
  bool kept = fd <= 2 || fd == keep->list;
  for (size_t i = 0; i < keep->count && !kept; i++)
    kept = keep->fds[i] == fd;
  if (!kept)
    procpool__platform_close_fd(fd);
  return false;
}

/* Asks for many at once which of them are open: a million take some ten milliseconds so. */
static void procpool__platform_close_by_number(procpool__platform_keep *keep, int limit) {
  procpool__source fds[64];
  for (int first = 3; first < limit; first += 64) {
    bool told;
    for (int i = 0; i < 64; i++)
      fds[i] = procpool__platform_end_of(first + i);
    told = procpool__platform_poll(fds, 64, 0, NULL) >= 0;
    for (int i = 0; i < 64; i++)
      if (!told || (fds[i].revents & POLLNVAL) == 0)
        (void)procpool__platform_close_unless_kept(first + i, keep);
  }
}

/* Closes every descriptor above 2 but these (sorted upwards). Linux before 5.9 has no close_range, and a limit of a
 * billion descriptors is common: they are not tried one by one. */
static void procpool__platform_close_others(const int *fds, size_t count) {
  const long limit = sysconf(_SC_OPEN_MAX);
  procpool__platform_keep keep;
  unsigned from = 3;
  bool refused = false;
  for (size_t i = 0; i <= count && !refused; i++) {
    const unsigned to = i < count ? (unsigned)fds[i] : UINT_MAX;
    refused = from < to && syscall(SYS_close_range, from, to - 1, 0) != 0;
    if (from <= to)
      from = to + 1;
  }
  if (!refused)
    return;
  keep.fds = fds;
  keep.count = count;
  keep.list = procpool__platform_above_std(procpool__platform_open("/proc/self/fd", O_RDONLY | O_DIRECTORY));
  if (procpool__platform_each_number(keep.list, procpool__platform_close_unless_kept, &keep) != 0)
    procpool__platform_close_by_number(&keep,
                                       limit > 0 && limit < PROCPOOL__FDS_MOST ? (int)limit : (int)PROCPOOL__FDS_MOST);
}

/* ==== >>processes ===================================================================================================
 * Runs in:   the host (detach), its go-between, the supervisor (wait, fork); the channel in host and supervisor.
 * Writes:    launch, which host and go-between share as a rule.
 * Calls:     the parts above and the kernel.
 * Always:    the host never has a child that its own wait() sees, and no signal of theirs. */

#ifndef __cplusplus
extern char **environ; /* g++ declares it, since it always defines _GNU_SOURCE */
#endif

/* This process's environment and one more entry, for a program that it starts; the caller's to free. Null without
 * memory. */
static char **procpool__platform_environment(char *entry) {
  char **environment;
  size_t count = 0;
  while (environ != NULL && environ[count] != NULL)
    count++;
  environment = (char **)PROCPOOL_MALLOC((count + 2) * sizeof(char *));
  if (environment == NULL)
    return NULL;
  if (count > 0)
    memcpy(environment, environ, count * sizeof(char *));
  environment[count] = entry;
  environment[count + 1] = NULL;
  return environment;
}

/* Keeps what this process starts from having it. */
static void procpool__platform_forget_environment(const char *name) {
  (void)unsetenv(name);
}

typedef void procpool__platform_main(void *argument);

typedef struct procpool__platform_launch {
  procpool__platform_main *function; /* fork: runs in the new process and does not return */
  void *argument;
  const char *path;  /* spawn: this program; null: the same one again; */
  char *const *argv; /* with these and these descriptors */
  char **environment;
  const int *fds;
  size_t fd_count;
  int (*born)(void *context, pid_t pid,
              const char **call); /* runs in the go-between when there is a process, its child. Returns errno or 0 */
  void *born_context;
  pid_t host;          /* whom the go-between belongs to */
  uint32_t *addressee; /* spawn, out: the new process's id, where it looks whether it is meant */
  const char *call;    /* out: what failed */
} procpool__platform_launch;

/* ThreadSanitizer keeps a record of each thread in its memory: a go-between that shared it would write into the record
 * of the caller, and every lock of the host's would be reported as a race later (gcc 12), or it is refused (gcc 14).
 * valgrind knows no clone that shares both memory and descriptors and is no thread, and ends the program at it; it is
 * known by what it makes each program load. Under both the go-between has copies: so all that it tells is its status.
 * */
#if defined(__SANITIZE_THREAD__)
#define PROCPOOL__TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define PROCPOOL__TSAN 1
#endif
#endif
#ifndef PROCPOOL__TSAN
#define PROCPOOL__TSAN 0
#endif

static int procpool__platform_go_between_flags(const procpool__platform_launch *launch) {
  const char *loaded = getenv("LD_PRELOAD");
  if (PROCPOOL__TSAN || (loaded != NULL && strstr(loaded, "/vgpreload_") != NULL))
    return 0;
  return PROCPOOL__CLONE_VM | PROCPOOL__CLONE_VFORK | (launch->argv == NULL ? PROCPOOL__CLONE_FILES : 0);
}

/* The new process is named in shared memory last: until it is, it says nothing. Were it named first, it would fill its
 * channel to the host, which hears it only when the go-between has ended, while born waits for a section (a fork of
 * another thread's may last), and then for room in that channel. */
static int procpool__platform_spawn(procpool__platform_launch *launch) {
  pid_t pid = 0;
  int error;
  for (size_t i = 0; i < launch->fd_count; i++) /* not close-on-exec, in the go-between's own table and its child's */
    if (fcntl(launch->fds[i], F_SETFD, 0) != 0)
      return errno;
  error = posix_spawn(&pid, launch->path != NULL ? launch->path : "/proc/self/exe", NULL, NULL, launch->argv,
                      launch->environment);
  if (error == 0)
    error = launch->born(launch->born_context, pid, &launch->call);
  if (error == 0)
    procpool__store32(launch->addressee, (uint32_t)pid);
  return error;
}

/* ---- restartable sequences ---- glibc (2.35 and later) keeps the number of the processor in an area of each thread,
 * for sched_getcpu and for allocators, and the kernel keeps it right once the area is registered (rseq(2)). A child
 * made with CLONE_VM starts without that registration (kernel/rseq.c, rseq_fork), and what it forks inherits none: the
 * area would show one processor for ever, and a sequence that is preempted would not be restarted. glibc exports where
 * the area lies (__rseq_offset from the thread pointer; size 0: it uses none). The signature stands before each abort
 * handler of this architecture's sequences, so all must use the same one (sys/rseq.h). */
#if defined(__GLIBC__) && (defined(__x86_64__) || defined(__i386__) || defined(__aarch64__) || defined(__s390x__) ||   \
                           (defined(__arm__) && !defined(__ARMEB__)) || defined(__powerpc64__))
#define PROCPOOL__RSEQ 1
#ifdef __cplusplus
extern "C" {
#endif
extern const ptrdiff_t __rseq_offset __attribute__((weak));
extern const unsigned int __rseq_size __attribute__((weak));
#ifdef __cplusplus
}
#endif
#endif
#if defined(__aarch64__)
#define PROCPOOL__RSEQ_SIGNATURE 0xd428bc00u
#elif defined(__arm__)
#define PROCPOOL__RSEQ_SIGNATURE 0xe7f5def3u
#elif defined(__s390x__)
#define PROCPOOL__RSEQ_SIGNATURE 0xb2ff0fffu
#elif defined(__powerpc64__)
#define PROCPOOL__RSEQ_SIGNATURE 0x0fe5000bu
#else
#define PROCPOOL__RSEQ_SIGNATURE 0x53053053u
#endif

typedef struct procpool__platform_rseq_area {
  uint32_t cpu_id_start, cpu_id;
} procpool__platform_rseq_area;

#ifdef PROCPOOL__RSEQ
static char *procpool__platform_thread_pointer(void) {
  char *pointer;
#if defined(__x86_64__) && defined(__ILP32__)
  __asm__("movl %%fs:0, %0" : "=r"(pointer));
#elif defined(__x86_64__)
  __asm__("movq %%fs:0, %0" : "=r"(pointer));
#elif defined(__i386__)
  __asm__("movl %%gs:0, %0" : "=r"(pointer));
#elif defined(__powerpc64__)
  __asm__("mr %0, 13" : "=r"(pointer));
#else
  pointer = (char *)__builtin_thread_pointer();
#endif
  return pointer;
}

/* The calling thread's area; null where libc uses none. */
static procpool__platform_rseq_area *procpool__platform_rseq(uint32_t *size) {
  if (&__rseq_offset == NULL || &__rseq_size == NULL || __rseq_size == 0)
    return NULL;
  *size = __rseq_size < 32 ? 32 : __rseq_size; /* what is registered is never less, however little of it is in use */
  return (procpool__platform_rseq_area *)(void *)(procpool__platform_thread_pointer() + __rseq_offset);
}
#else
static procpool__platform_rseq_area *procpool__platform_rseq(uint32_t *size) {
  *size = 0;
  return NULL;
}
#endif

/* False where libc has an area and the kernel does not keep it. EBUSY: it was registered all the time. */
static bool procpool__platform_rseq_register(void) {
  uint32_t size;
  procpool__platform_rseq_area *area = procpool__platform_rseq(&size);
  return area == NULL || syscall(SYS_rseq, area, size, 0, PROCPOOL__RSEQ_SIGNATURE) == 0 || errno == EBUSY;
}

/* The kernel does not keep the area: tells libc so (RSEQ_CPU_ID_REGISTRATION_FAILED), which then asks the kernel each
 * time. */
static void procpool__platform_rseq_give_up(void) {
  uint32_t size;
  procpool__platform_rseq_area *area = procpool__platform_rseq(&size);
  if (area == NULL)
    return;
  __atomic_store_n(&area->cpu_id_start, 0, __ATOMIC_RELAXED);
  __atomic_store_n(&area->cpu_id, (uint32_t)-2, __ATOMIC_RELAXED);
}

/* Runs in the go-between, which shares the host's memory, and may wait for a lock that a thread of the
 * host's holds: killed as the host is, it must not stay. The kernel kills it when the thread that made it ends, which
 * waits for it and so ends before it only with the host. False where the host has ended before that. */
static bool procpool__platform_end_with(pid_t host) {
  pid_t parent;
  (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
  parent = getppid();
  return parent == host || parent <= 0; /* neither says anything: refused, or the host has another PID namespace */
}

/* Runs in the go-between of detach, which shares the host's memory. It registers the area of the thread that waits for
 * it: to the end of the go-between, the two of them are one to it. The robust list and the word that is cleared at the
 * end of a thread are set anew by libc's fork, for the child. Returns errno or 0, which becomes its status. */
static int procpool__platform_go_between(void *argument) {
  procpool__platform_launch *launch = (procpool__platform_launch *)argument;
  bool registered;
  pid_t pid;
  if (!procpool__platform_end_with(launch->host))
    return ESRCH;
  registered = procpool__platform_rseq_register();
  if (launch->argv != NULL) {
    launch->call = launch->path != NULL ? "posix_spawn of options.worker_path (clone, execve, fcntl)"
                                        : "posix_spawn of /proc/self/exe (clone, execve, fcntl)";
    return procpool__platform_spawn(launch);
  }
  launch->call = "fork (clone)";
  pid = fork();
  if (pid == 0) {
    if (!registered)
      procpool__platform_rseq_give_up();
    launch->function(launch->argument);
    _exit(127);
  }
  return pid < 0 ? errno : launch->born(launch->born_context, pid, &launch->call);
}

/* As wait4, by waitid, which the kernel gives the resource usage too. */
static pid_t procpool__platform_waitid(pid_t pid, int *status, int flags, struct rusage *usage) {
  siginfo_t info;
  int how;
  memset(&info, 0, sizeof(info));
  memset(usage, 0, sizeof(*usage));
  if (sizeof(usage->ru_utime.tv_sec) != sizeof(long)) /* the kernel's has times of the size of a long */
    usage = NULL;
  if (syscall(SYS_waitid, pid > 0 ? PROCPOOL__P_PID : PROCPOOL__P_ALL, pid > 0 ? pid : 0, &info, flags | WEXITED,
              usage) != 0)
    return -1;
  if (info.si_pid == 0)
    return 0;
  how = info.si_status;
  if (info.si_code == CLD_EXITED)
    how = (how & 0xff) << 8;
  else if (info.si_code == CLD_DUMPED)
    how |= 0x80;
  else if (info.si_code == CLD_STOPPED || info.si_code == CLD_TRAPPED) /* trapped: only if this process traces it */
    how = how << 8 | 0x7f;
  else if (info.si_code == CLD_CONTINUED)
    how = 0xffff;
  *status = how;
  return info.si_pid;
}

/* One child whose state has changed, or 0 or negative, as wait4 says it; where that is refused, as waitid does. (wait4
 * is a cancellation point: a host that opens a pool is not to be cancelled meanwhile, and supervisors never are.) */
static pid_t procpool__platform_wait(pid_t pid, int *status, int flags, struct rusage *usage) {
  pid_t got;
  do {
    got = wait4(pid, status, flags, usage);
    if (got < 0 && procpool__platform_refused(errno))
      got = procpool__platform_waitid(pid, status, flags, usage);
  } while (got < 0 && errno == EINTR);
  return got;
}

/* Starts a process that the host's wait calls never see. A go-between is cloned with exit signal 0: that raises no
 * SIGCHLD, and wait() and waitpid(-1) skip it (wait(2), __WCLONE). It shares the host's memory and runs while the
 * caller is suspended (as vfork does), so that the C library's fork in it finds and takes the real locks of malloc and
 * stdio even if the host has threads, and so that the page tables are copied once. Before a fork it shares the host's
 * table of descriptors too: what is copied is the table as it is then, which the handlers around forks know, and not as
 * it was some time before. Before a spawn it has a table of its own, where it says what passes on. It ends at once; its
 * child is adopted by init. The go-between's stack is a part of the caller's, so that the new process goes on with all
 * of the caller's stack. Returns 0 or errno; all signals stay blocked in the new process. */
PROCPOOL__NO_ASAN static int procpool__platform_detach(procpool__platform_launch *launch) {
  PROCPOOL__ALIGNED char stack[65536];
  procpool__signals old;
  struct rusage usage;
  pid_t between;
  int error, status = 0;
  launch->call = "rt_sigprocmask";
  error = procpool__platform_block_signals(&old);
  if (error != 0)
    return error;
  launch->call = "clone";
  launch->host = getpid();
  between =
      clone(procpool__platform_go_between, stack + sizeof(stack), procpool__platform_go_between_flags(launch), launch);
  if (between < 0)
    error = errno;
  else
    (void)procpool__platform_wait(between, &status, PROCPOOL__WCLONE, &usage);
  procpool__platform_restore_signals(&old);
  if (error == 0)
    error = WIFEXITED(status) ? WEXITSTATUS(status) : ECHILD;
  return error;
}

#define PROCPOOL__ANY (-1) /* of this process's children */

/* What has become of a child: it has ended (and is reaped), or was stopped, or goes on. */
typedef enum procpool__fate { PROCPOOL__ENDED = 1, PROCPOOL__STOPPED, PROCPOOL__CONTINUED } procpool__fate;

typedef struct procpool__ending {
  procpool__fate fate;
  int signal_number;           /* that ended it, or 0 */
  int exit_status;             /* where it ended otherwise */
  uint64_t user_us, system_us; /* processor time, and the most memory, of it and of what it waited for */
  uint64_t rss_kib;
} procpool__ending;

static uint64_t procpool__platform_us(const struct timeval *t) {
  return (uint64_t)t->tv_sec * 1000000u + (uint64_t)t->tv_usec;
}

/* One child that has ended, of all where child is ANY, without waiting; stops: or was stopped, or goes on. Returns
 * which; 0 where there is none now, negative where there is no child at all. */
static pid_t procpool__platform_reap(pid_t child, bool stops, procpool__ending *ending) {
  struct rusage usage;
  int status = 0;
  const pid_t got = procpool__platform_wait(child, &status, WNOHANG | (stops ? WUNTRACED | WCONTINUED : 0), &usage);
  memset(ending, 0, sizeof(*ending));
  ending->fate = WIFSTOPPED(status) ? PROCPOOL__STOPPED : WIFCONTINUED(status) ? PROCPOOL__CONTINUED : PROCPOOL__ENDED;
  if (got <= 0 || ending->fate != PROCPOOL__ENDED)
    return got;
  ending->signal_number = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
  ending->exit_status = WIFEXITED(status) ? WEXITSTATUS(status) : 0;
  ending->user_us = procpool__platform_us(&usage.ru_utime);
  ending->system_us = procpool__platform_us(&usage.ru_stime);
  ending->rss_kib = (uint64_t)usage.ru_maxrss;
  return got;
}

static pid_t procpool__platform_pid(void) {
  return getpid();
}

/* Whether a signal that ended a process is one that others send. */
static bool procpool__platform_from_outside(int signal_number) {
  return signal_number == SIGKILL || signal_number == SIGTERM || signal_number == SIGINT || signal_number == SIGHUP ||
         signal_number == SIGQUIT;
}

PROCPOOL__NORETURN static void procpool__platform_leave(int status) {
  _exit(status);
}

/* Interrupts a wait of the supervisor. If it is gone, so is this process, presently. */
static void procpool__platform_nudge_parent(pid_t parent) {
  if (getppid() == parent)
    (void)kill(parent, SIGCHLD);
}

/* If the process that pidfd names has become a child of this one (which then is process 1, or a child subreaper: it
 * adopts every orphan), takes it off the list of its children. It has ended, or is about to. */
static void procpool__platform_reap_adopted(int pidfd) {
  procpool__source end = procpool__platform_source(pidfd);
  siginfo_t info;
  for (int i = 0; i < 2 && pidfd >= 0; i++) {
    memset(&info, 0, sizeof(info));
    if (syscall(SYS_waitid, PROCPOOL__P_PIDFD, pidfd, &info, WEXITED | WNOHANG, NULL) != 0 || info.si_pid != 0)
      return;
    (void)procpool__platform_poll(&end, 1, procpool__platform_now() + 1000000000u, NULL);
  }
}

/* Whether the children of this thread go to another PID namespace than its own (it has called unshare or setns): the
 * first of them would be process 1 there, and with its end no fork there would succeed any more. Nothing says so until
 * it is too late, so this looks before: at the names of both namespaces; the second one has no target while it has no
 * process. Without /proc: a thread in another namespace is refused first (EINVAL), a thread in a control group that
 * does not exist then (EBADF, Linux 5.7); neither ever starts. Where nothing tells, false. */
static bool procpool__platform_children_elsewhere(void) {
  struct stat own, of_children;
  uint64_t thread[11]; /* struct clone_args, clone(2): flags first, the control group's descriptor last */
  if (stat("/proc/thread-self/ns/pid", &own) == 0) {
    if (lstat("/proc/thread-self/ns/pid_for_children", &of_children) != 0) /* Linux 4.12 */
      return false;
    return stat("/proc/thread-self/ns/pid_for_children", &of_children) != 0 ? errno == ENOENT
                                                                            : own.st_ino != of_children.st_ino;
  }
  memset(thread, 0, sizeof(thread));
  thread[0] =
      (uint64_t)(PROCPOOL__CLONE_VM | PROCPOOL__CLONE_SIGHAND | PROCPOOL__CLONE_THREAD) | PROCPOOL__CLONE_INTO_CGROUP;
  thread[10] = INT_MAX;
  return syscall(SYS_clone3, thread, sizeof(thread)) < 0 && errno == EINVAL;
}

/* pid is this process's own child, not yet reaped: never a stranger. */
static void procpool__platform_kill(pid_t pid, int signal_number) {
  if (kill(pid, signal_number) != 0 && procpool__platform_refused(errno))
    (void)syscall(SYS_tgkill, pid, pid, signal_number); /* a worker's first thread, whose id is the process's */
}

static pid_t procpool__platform_fork(void) {
  return fork();
}

/* The state of a process's thread, its first one where thread is the process; 0 where /proc does not tell. It stands
 * behind the name, which is in brackets and may hold any (proc(5)). */
static char procpool__platform_state(pid_t pid, pid_t thread) {
  char path[64], text[512], *end;
  (void)snprintf(path, sizeof(path), "/proc/%d/task/%d/stat", (int)pid, (int)thread);
  (void)procpool__platform_read_text(path, text, sizeof(text));
  end = strrchr(text, ')');
  return end != NULL && end[1] == ' ' ? end[2] : (char)0;
}

static bool procpool__platform_thread_stopped(int thread, void *pid) {
  return procpool__platform_state(*(const pid_t *)pid, (pid_t)thread) == 'T';
}

/* Whether a process is stopped, as by Ctrl-Z; false where /proc does not tell. A stop is of all its threads, so the
 * first one tells, unless it has ended (pthread_exit in main). */
static bool procpool__platform_is_stopped(pid_t pid) {
  const char first = procpool__platform_state(pid, pid);
  char path[32];
  int threads;
  if (first != 'Z')
    return first == 'T';
  (void)snprintf(path, sizeof(path), "/proc/%d/task", (int)pid);
  threads = procpool__platform_open(path, O_RDONLY | O_DIRECTORY);
  return procpool__platform_each_number(threads, procpool__platform_thread_stopped, &pid) > 0;
}

/* ---- messages over a channel: whole ones of one size ---- */

/* Whether the channel is one, and was made by that process of this one's user (unix(7): both ends of a pair have the
 * credentials of the process that called socketpair). Zero, or errno: EPERM where it is a stranger's. */
static int procpool__platform_channel_of(int channel, pid_t pid) {
  struct {
    pid_t pid;
    uid_t uid;
    gid_t gid;
  } peer; /* struct ucred, which needs _GNU_SOURCE */
  int type = 0, domain = 0;
  socklen_t size = sizeof(type), domain_size = sizeof(domain), peer_size = sizeof(peer);
  if (getsockopt(channel, SOL_SOCKET, SO_TYPE, &type, &size) != 0 ||
      getsockopt(channel, SOL_SOCKET, SO_DOMAIN, &domain, &domain_size) != 0 ||
      getsockopt(channel, SOL_SOCKET, SO_PEERCRED, &peer, &peer_size) != 0)
    return errno;
  return type == SOCK_SEQPACKET && domain == AF_UNIX && peer.pid == pid && peer.uid == geteuid() ? 0 : EPERM;
}

typedef struct procpool__platform_letter {
  struct msghdr header;
  struct iovec part;
  PROCPOOL__ALIGNED unsigned char cargo[CMSG_SPACE(sizeof(int))]; /* what may come along: one descriptor */
} procpool__platform_letter;

static void procpool__platform_letter_begin(procpool__platform_letter *letter, const void *message, size_t size) {
  memset(letter, 0, sizeof(*letter));
  memcpy((void *)&letter->part.iov_base, (const void *)&message, sizeof(message)); /* what is sent is not written to */
  letter->part.iov_len = size;
  letter->header.msg_iov = &letter->part;
  letter->header.msg_iovlen = 1;
}

static void procpool__platform_letter_room(procpool__platform_letter *letter) {
  letter->header.msg_control = letter->cargo;
  letter->header.msg_controllen = sizeof(letter->cargo);
}

/* fd: a descriptor of which the other side gets a copy, or -1. wait: until there is room; else FULL is an error. Where
 * sendmsg is refused a message goes by a call of another number, and a descriptor does not. */
static bool procpool__platform_send(int channel, const void *message, size_t size, int fd, bool wait) {
  const int flags = MSG_NOSIGNAL | (wait ? 0 : MSG_DONTWAIT);
  procpool__platform_letter letter;
  ssize_t sent;
  procpool__platform_letter_begin(&letter, message, size);
  if (fd >= 0) {
    struct cmsghdr *head;
    procpool__platform_letter_room(&letter);
    head = CMSG_FIRSTHDR(&letter.header);
    head->cmsg_level = SOL_SOCKET;
    head->cmsg_type = SCM_RIGHTS;
    head->cmsg_len = CMSG_LEN(sizeof(fd));
    memcpy(CMSG_DATA(head), &fd, sizeof(fd));
  }
  do {
    sent = (ssize_t)syscall(SYS_sendmsg, channel, &letter.header, flags);
    if (sent < 0 && fd < 0 && procpool__platform_refused(errno))
      sent = (ssize_t)syscall(SYS_sendto, channel, message, size, flags, NULL, 0);
  } while (sent < 0 && errno == EINTR);
  return sent == (ssize_t)size;
}

/* Takes the descriptor that came along with a message, if one did. False where there was no number for it. */
static bool procpool__platform_unload(const procpool__platform_letter *letter, int *fd) {
  struct cmsghdr *head = CMSG_FIRSTHDR(&letter->header);
  if (letter->header.msg_flags & MSG_CTRUNC) {
    errno = EMFILE;
    return false;
  }
  if (head == NULL || head->cmsg_len < CMSG_LEN(sizeof(*fd)) || head->cmsg_level != SOL_SOCKET ||
      head->cmsg_type != SCM_RIGHTS)
    return true;
  memcpy(fd, CMSG_DATA(head), sizeof(*fd));
  *fd = procpool__platform_above_std(*fd);
  return *fd >= 0;
}

/* 1: a message; 0: none yet; -1: the other side is gone, or (errno not 0) the message cannot be heard, or a descriptor
 * that came along was lost. *fd: the one that came along, or -1; null: none is taken. */
static int procpool__platform_receive(int channel, void *message, size_t size, int *fd, bool wait) {
  const int flags = wait ? 0 : MSG_DONTWAIT;
  procpool__platform_letter letter;
  ssize_t got;
  procpool__platform_letter_begin(&letter, message, size);
  if (fd != NULL) {
    procpool__platform_letter_room(&letter);
    *fd = -1;
  }
  do {
    errno = 0;
    got = (ssize_t)syscall(SYS_recvmsg, channel, &letter.header, flags | MSG_CMSG_CLOEXEC);
    if (got < 0 && procpool__platform_refused(errno)) /* without descriptors it goes, too */
      got = (ssize_t)syscall(SYS_recvfrom, channel, message, size, flags, NULL, NULL);
  } while (got < 0 && errno == EINTR);
  if (got > 0 && fd != NULL && !procpool__platform_unload(&letter, fd))
    return -1;
  if (got == (ssize_t)size)
    return 1;
  return got < 0 && errno == EAGAIN ? 0 : -1;
}

/* The kernel ends this process when its parent (single-threaded) has ended; parent guards against the race before. */
static void procpool__platform_die_with(pid_t parent) {
  const pid_t now = getppid();
  (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (now >= 0 && getppid() != parent) /* negative: a sandbox does not even tell that */
    _exit(0);
}

/* At end of file on fd, or when there is something to read, the kernel itself sends SIGCONT to this process: if it was
 * stopped it goes on, and finds it. (SIGKILL would be surer, and would leave its children as zombies to an init that
 * may never reap them.) */
static void procpool__platform_continue_when_told(int fd) {
  (void)fcntl(fd, F_SETOWN, getpid());
  (void)fcntl(fd, PROCPOOL__SETSIG, SIGCONT);
  (void)fcntl(fd, F_SETFL, O_ASYNC | O_NONBLOCK);
}

/* At end of file on the pipe fd, or when there is something to read, the kernel ends this process. Whom it tells, and
 * by what signal, belongs to the open file description, which others have inherited as well: so this opens the pipe
 * anew. Returns that descriptor; -1 where it cannot be had (no /proc). */
static int procpool__platform_die_when_told(int fd) {
  const int own = procpool__platform_reopen(fd, O_RDONLY | O_NONBLOCK);
  if (own >= 0 && fcntl(own, F_SETOWN, getpid()) == 0 && fcntl(own, PROCPOOL__SETSIG, SIGKILL) == 0)
    (void)fcntl(own, F_SETFL, O_ASYNC | O_NONBLOCK); /* by another signal it would look like a crash */
  return own;
}

/* ==== >>habits ======================================================================================================
 * Runs in:   workers and supervisor; in the host only what catches exit() and finds code; nice in worker threads, too.
 * Writes:    what belongs to its own process: limits, timers, masks, lists of handlers.
 * Calls:     the parts above and the kernel.
 * Always:    what is found here is what the process inherits or leaves behind, never what a pool does. */

/* ---- descendants: what a task's programs are known by ---- */

/* RLIMIT_LOCKS has meant nothing since Linux 2.4.25 (getrlimit(2)), is inherited by fork and exec, and can be read of
 * another process: a mark that stays with a worker's descendants. Of a child of this process; 0: it has none, or it
 * has begun a session of its own, as daemons do. */
static uint64_t procpool__platform_mark_of(pid_t child) {
  uint64_t limit[2]; /* struct rlimit64: soft, hard */
  if (getsid(child) != getsid(0) || syscall(SYS_prlimit64, child, PROCPOOL__LIMIT_LOCKS, NULL, limit) != 0)
    return 0;
  return limit[0] != limit[1] ? limit[0] : 0;
}
static void procpool__platform_mark(uint64_t mark) {
  uint64_t limit[2];
  if (syscall(SYS_prlimit64, 0, PROCPOOL__LIMIT_LOCKS, NULL, limit) != 0 || mark >= limit[1])
    return;
  limit[0] = mark != 0 ? mark : limit[1];
  (void)syscall(SYS_prlimit64, 0, PROCPOOL__LIMIT_LOCKS, limit, NULL);
}

typedef void procpool__platform_child_visitor(pid_t child, uint64_t mark, void *context);

/* Visits every child of this process, which has one thread, that bears a mark. There is nothing to visit where the
 * kernel does not list them (CONFIG_PROC_CHILDREN, proc(5)). */
static void procpool__platform_each_child(procpool__platform_child_visitor *visit, void *context) {
  char buffer[512];
  ssize_t got;
  pid_t pid = 0;
  int fd;
  (void)snprintf(buffer, sizeof(buffer), "/proc/self/task/%d/children", (int)getpid());
  fd = procpool__platform_open(buffer, O_RDONLY);
  while (fd >= 0 && (got = procpool__platform_read(fd, buffer, sizeof(buffer))) > 0)
    for (ssize_t i = 0; i < got; i++) {
      if (buffer[i] >= '0' && buffer[i] <= '9') {
        pid = pid * 10 + (buffer[i] - '0');
      } else if (pid > 0) {
        const uint64_t mark = procpool__platform_mark_of(pid);
        if (mark != 0)
          visit(pid, mark, context);
        pid = 0;
      }
    }
  procpool__platform_close(&fd);
}

static void procpool__platform_set_name(const char *name, int index) {
  char comm[32]; /* the kernel takes the first 15 bytes, prctl(2) */
  if (index < 0)
    (void)snprintf(comm, sizeof(comm), "%.15s", name);
  else
    (void)snprintf(comm, sizeof(comm), "%.10s-%d", name, index);
  (void)prctl(PR_SET_NAME, comm);
}

/* Adds to the nice value of the calling thread (0; each thread has one: getpriority(2)). The kernel takes 19 for what
 * is above, and asks for no rights to give way. Where a filter refuses the calls the value stays as it is. */
static void procpool__platform_nice(int more) {
  int now;
  errno = 0; /* -1 is a nice value, too */
  now = getpriority(PRIO_PROCESS, 0);
  if (now != -1 || errno == 0)
    (void)setpriority(PRIO_PROCESS, 0, now + more);
}

/* The out-of-memory killer shall take a worker before the host: its score goes up to 500, or to one above what this
 * process inherited (1000 is the kernel's most), and never down. */
static void procpool__platform_volunteer(void) {
  char text[16] = "";
  int fd = open("/proc/self/oom_score_adj", O_RDWR | O_CLOEXEC);
  if (fd >= 0 && read(fd, text, sizeof(text) - 1) > 0) {
    const long inherited = strtol(text, NULL, 10);
    const long wanted = inherited < 500 ? 500 : inherited + (inherited < 1000);
    const int length = snprintf(text, sizeof(text), "%ld", wanted);
    if (pwrite(fd, text, (size_t)length, 0) < 0)
      errno = 0;
  }
  procpool__platform_close(&fd);
}

/* Where core_pattern names a program, the kernel pipes a dump to it whatever RLIMIT_CORE says, 0 too; but it writes
 * none at all where the limit is 1, which it takes as the sign of a handler that has crashed itself (core(5);
 * fs/coredump.c). A dump to a file needs a page, so 1 holds there, too. Where the hard limit is 0 already, 1 may be out
 * of reach: the dump then leaves out all memory (coredump_filter 0, core(5)). */
static void procpool__platform_no_core(void) {
  struct rlimit limit;
  int fd;
  if (getrlimit(RLIMIT_CORE, &limit) != 0)
    return;
  limit.rlim_cur = 1;
  if (limit.rlim_max < 1)
    limit.rlim_max = 1;
  if (setrlimit(RLIMIT_CORE, &limit) == 0)
    return;
  fd = open("/proc/self/coredump_filter", O_WRONLY | O_CLOEXEC);
  if (fd >= 0 && write(fd, "0", 1) < 0)
    errno = 0;
  procpool__platform_close(&fd);
}

static void procpool__platform_noop(int signal_number) {
  (void)signal_number;
}

static int procpool__platform_handle(int signal_number, void (*handler)(int), int flags) {
  struct sigaction action;
  memset(&action, 0, sizeof(action));
  action.sa_handler = handler;
  action.sa_flags = flags;
  return sigaction(signal_number, &action, NULL);
}

/* What the host ignored stays ignored, as it does across fork and exec: under nohup a host survives its terminal, and
 * so shall its tasks. But a program that waits for its children needs a SIGCHLD that is not ignored: the kernel would
 * reap them (wait(2)). What the host handled gets its default. SIGINT must not end a worker (Ctrl-C goes to the whole
 * group and is the host's to decide), and must not be ignored either, unless the host did: programs that a task
 * executes would inherit that. */
static void procpool__platform_worker_signals(void) {
  struct sigaction action;
  sigset_t none;
  for (int s = 1; s < _NSIG; s++) {
    if (sigaction(s, NULL, &action) != 0 || (action.sa_handler == SIG_IGN && s != SIGCHLD) ||
        (action.sa_handler == SIG_DFL && s != SIGCHLD && s != SIGINT)) /* of SIGCHLD the flags matter, too */
      continue;
    (void)procpool__platform_handle(s, s == SIGINT ? procpool__platform_noop : SIG_DFL, s == SIGINT ? SA_RESTART : 0);
  }
  (void)sigemptyset(&none);
  procpool__platform_swap_mask(&none, NULL); /* the C library's own, too: pthread_cancel and setuid need them */
}

/* What becomes of a worker before it runs anything. index: in its name, or -1. */
static void procpool__platform_worker_manners(const char *name, int index, uint64_t mark, bool core_dumps) {
  procpool__platform_worker_signals();
  (void)__fpurge(stdout); /* what the host had buffered is the host's to print */
  (void)__fpurge(stderr);
  procpool__platform_set_name(name, index);
  procpool__platform_volunteer();
  procpool__platform_mark(mark);
  if (!core_dumps)
    procpool__platform_no_core();
}

/* And of a supervisor: orphans among its descendants become its children (prctl(2)). */
static void procpool__platform_supervisor_manners(const char *name) {
  (void)prctl(PROCPOOL__SET_CHILD_SUBREAPER, 1);
  procpool__platform_mark(0);
  procpool__platform_set_name(name, -1);
}

/* All signals, also those that the C library keeps for its threads, which sigfillset leaves out: a supervisor has but
 * one thread, which one of them would end. */
static void procpool__platform_every_signal(sigset_t *mask) {
  memset(mask, 0xff, sizeof(*mask));
}

/* A supervisor blocks all signals. SIGCHLD, which it lets in while it waits, must interrupt that, also where the host
 * ignored it: else (errno) it would not hear of its workers' deaths. */
static int procpool__platform_supervisor_signals(void) {
  sigset_t all;
  procpool__platform_every_signal(&all);
  procpool__platform_swap_mask(&all, NULL);
  return procpool__platform_handle(SIGCHLD, procpool__platform_noop, 0) != 0 ? errno : 0;
}

/* The supervisor's sleep, which the end of a child interrupts, and no other signal. */
static void procpool__platform_supervisor_sleep(procpool__source *sources, int count, uint64_t deadline) {
  sigset_t mask;
  procpool__platform_every_signal(&mask);
  (void)sigdelset(&mask, SIGCHLD);
  (void)procpool__platform_poll(sources, count, deadline, &mask);
}

/* ---- what a task leaves behind in its worker ---- */

typedef struct procpool__platform_habits {
  sigset_t mask;
  bool timers[3], other_sigint; /* the initializer left it so */
  struct rlimit cpu, file_size;
} procpool__platform_habits;

/* Puts a limit back that was lowered. False where the kernel does not allow it. */
static bool procpool__platform_tidy_limit(int which, const struct rlimit *was) {
  struct rlimit now;
  if (getrlimit(which, &now) != 0 || (now.rlim_cur >= was->rlim_cur && now.rlim_max >= was->rlim_max))
    return true;
  return setrlimit(which, was) == 0;
}

static bool procpool__platform_sigint_is_default(void) {
  struct sigaction action;
  return sigaction(SIGINT, NULL, &action) == 0 && !(action.sa_flags & SA_SIGINFO) && action.sa_handler == SIG_DFL;
}

/* A mask of the same bytes wherever it is the same: the C library may write fewer than the set has. */
static void procpool__platform_get_mask(sigset_t *mask) {
  memset(mask, 0, sizeof(*mask));
  (void)sigprocmask(SIG_BLOCK, NULL, mask);
}

/* Takes the signals of timers that have come while they were blocked. */
static void procpool__platform_drop_timer_signals(void) {
  const struct timespec none = {0, 0};
  sigset_t timers;
  (void)sigemptyset(&timers);
  (void)sigaddset(&timers, SIGALRM);
  (void)sigaddset(&timers, SIGVTALRM);
  (void)sigaddset(&timers, SIGPROF);
  (void)sigprocmask(SIG_BLOCK, &timers, NULL);
  while (sigtimedwait(&timers, NULL, &none) > 0)
    ;
}

/* How it is when no task has run yet. */
static void procpool__platform_note_habits(procpool__platform_habits *habits) {
  struct itimerval timer;
  memset(habits, 0, sizeof(*habits));
  procpool__platform_get_mask(&habits->mask);
  for (int i = 0; i < 3; i++)
    habits->timers[i] = getitimer(i, &timer) == 0 && (timer.it_value.tv_sec != 0 || timer.it_value.tv_usec != 0);
  habits->other_sigint = procpool__platform_sigint_is_default();
  (void)getrlimit(RLIMIT_CPU, &habits->cpu);
  (void)getrlimit(RLIMIT_FSIZE, &habits->file_size);
}

/* Whether a thread of this process traces its parent: a tracer waits for those that it traces as for its children
 * (ptrace(2)). What it traces stops at each signal, and goes on when the tracer says so, or ends. */
static bool procpool__platform_traces_parent(void) {
  siginfo_t info;
  return syscall(SYS_waitid, PROCPOOL__P_PID, getppid(), &info, WSTOPPED | WNOHANG | WNOWAIT, NULL) == 0;
}

/* Puts back what would end a later task: the interval timers (alarm is one of them), the signal mask, a SIGINT that has
 * become deadly, limits on processor time and file sizes. False where that cannot be done, or the supervisor is held by
 * this process: then a fresh one has to take its place. */
static bool procpool__platform_tidy(const procpool__platform_habits *habits) {
  struct itimerval off;
  sigset_t mask;
  memset(&off, 0, sizeof(off));
  for (int i = 0; i < 3; i++)
    if (!habits->timers[i])
      (void)setitimer(i, &off, NULL);
  procpool__platform_get_mask(&mask);
  if (memcmp(&mask, &habits->mask, sizeof(mask)) != 0) {
    procpool__platform_drop_timer_signals();
    (void)sigprocmask(SIG_SETMASK, &habits->mask, NULL);
  }
  if (!habits->other_sigint && procpool__platform_sigint_is_default())
    (void)procpool__platform_handle(SIGINT, procpool__platform_noop, SA_RESTART);
  return !procpool__platform_traces_parent() && procpool__platform_tidy_limit(RLIMIT_CPU, &habits->cpu) &&
         procpool__platform_tidy_limit(RLIMIT_FSIZE, &habits->file_size);
}

static void procpool__platform_flush(void) {
  if (__fpending(stdout) > 0)
    (void)fflush(stdout);
  if (__fpending(stderr) > 0)
    (void)fflush(stderr);
}

/* Runs these around every fork of the C library's in this process from now on: before it and after it in the thread
 * that forks, and in the child. False when it cannot be arranged. (Handlers of a shared object go with that one.) */
static bool procpool__platform_around_forks(void (*before)(void), void (*after)(void), void (*in_child)(void)) {
  return pthread_atfork(before, after, in_child) == 0;
}

/* This thread, and no other of this process; never 0. It is the same in the go-between of detach, and in the thread
 * that a forked child begins with. */
static uint64_t procpool__platform_self(void) {
  return (uint64_t)(uintptr_t)&errno;
}

/* How many threads this process has; 0 where it cannot be told (there is no /proc, and the C library has started some
 * or does not say). */
static int procpool__platform_threads(void) {
  struct stat st;
  if (stat("/proc/self/task", &st) == 0 && st.st_nlink > 2)
    return (int)st.st_nlink - 2;
  return PROCPOOL__SINGLE_THREADED ? 1 : 0;
}

/* ---- exit() in a worker: no handler of the host's runs there ---- glibc calls handlers last in, first out, under a
 * lock that its fork does not take (__exit_funcs_lock: dlclose holds it): a worker that registered one could wait for
 * ever. So the host registers, just before it forks, and takes it back; what it forked keeps it. Handlers that came by
 * __cxa_atexit or at_quick_exit are called with the status as their second argument (stdlib/exit.c), and __cxa_finalize
 * takes back those of one mark: it calls the former, and drops the latter. A thread that calls it must keep forks of
 * other threads away, or their children have that lock locked for ever: it holds what the handlers around forks want.
 * But glibc 2.28 to 2.35 holds a lock while such handlers run, and wants it in __cxa_finalize too: each would wait for
 * the other. There, in a program with several threads, nothing is taken back. Such handlers bear the mark of the
 * library that they lie in, so that they go when it is unloaded, and do nothing in the host: some bytes each time. */
typedef void procpool__platform_exit_handler(void *context, int status);

/* The status where the C library does not tell it: a failure rather than a success. */
enum { PROCPOOL__STATUS_UNTOLD = 255 };

static void procpool__platform_flush_and_leave(int status) {
  procpool__platform_flush();
  _exit(status);
}

#if defined(__GLIBC__) && !PROCPOOL__TSAN
#ifdef __cplusplus
extern "C" {
#endif
extern int procpool__libc_atexit(procpool__platform_exit_handler *handler, void *context,
                                 void *mark) __asm__("__cxa_atexit");
extern int procpool__libc_at_quick_exit(procpool__platform_exit_handler *handler,
                                        void *mark) __asm__("__cxa_at_quick_exit");
extern void procpool__libc_finalize(void *mark) __asm__("__cxa_finalize");
extern int procpool__libc_thread_atexit(void (*handler)(void *), void *object,
                                        void *library) __asm__("__cxa_thread_atexit_impl") __attribute__((weak));
extern void *__dso_handle __attribute__((visibility("hidden"))); /* each program and library has its own */
#ifdef __cplusplus
}
#endif

/* From here on exit and quick_exit call these first, in this process and in those that it forks. */
static bool procpool__platform_catch_exit(procpool__platform_exit_handler *at_exit,
                                          procpool__platform_exit_handler *at_quick_exit, void *context, void *mark) {
  return procpool__libc_atexit(at_exit, context, mark) == 0 && procpool__libc_at_quick_exit(at_quick_exit, mark) == 0;
}
static void procpool__platform_release_exit(void *mark) {
  if (mark != (void *)&__dso_handle)
    procpool__libc_finalize(mark);
}
/* The mark of handlers that are to be taken back: the caller's own, if they can be. */
static void *procpool__platform_exit_mark(void *own) {
  int major = 0, minor = 0;
  const bool known = sscanf(gnu_get_libc_version(), "%d.%d", &major, &minor) == 2;
  const bool waits = !known || (major == 2 && minor >= 28 && minor <= 35);
  return waits && procpool__platform_threads() != 1 ? (void *)&__dso_handle : own;
}

/* exit() calls the destructors of thread_local objects before any handler, and without the status. glibc links them in
 * a list whose head is a variable of the thread's, in the same block as errno. It has no name: it is found by what a
 * new entry (function, object, map, next: stdlib/cxa_thread_atexit_impl.c) does to it. That entry frees a byte at the
 * end of this thread, no more. Returns where the head is, from errno on; 0 where it was not found: they then run, as
 * the manual says. */
enum { PROCPOOL__EXIT_LIST_NEAR = 256 };
static ptrdiff_t procpool__platform_find_exit_list(void) {
  enum { WORDS = 2 * PROCPOOL__EXIT_LIST_NEAR / (int)sizeof(uintptr_t) };
  uintptr_t before[WORDS];
  const uintptr_t word = (uintptr_t)&errno / sizeof(uintptr_t) * sizeof(uintptr_t), page = word / 4096 * 4096;
  const uintptr_t from = word - page < PROCPOOL__EXIT_LIST_NEAR ? page : word - PROCPOOL__EXIT_LIST_NEAR;
  const uintptr_t end = page + 4096 - word < PROCPOOL__EXIT_LIST_NEAR ? page + 4096 : word + PROCPOOL__EXIT_LIST_NEAR;
  const int count =
      (int)((end - from) / sizeof(uintptr_t)); /* in errno's own page: what lies beyond may not be there */
  const volatile uintptr_t *words = (const volatile uintptr_t *)from; // NOLINT(performance-no-int-to-ptr)
  void *byte = &procpool__libc_thread_atexit != NULL ? malloc(1) : NULL;
  if (byte == NULL)
    return 0;
  for (int i = 0; i < count; i++)
    before[i] = words[i];
  if (procpool__libc_thread_atexit(free, byte, (void *)stdout) != 0) { /* libc's own, so that no library is held */
    free(byte);
    return 0;
  }
  for (int i = 0; i < count; i++) {
    const uintptr_t *entry = (const uintptr_t *)words[i]; // NOLINT(performance-no-int-to-ptr)
    if (words[i] != before[i] && words[i] > 65536 && words[i] % sizeof(uintptr_t) == 0 && entry[1] == (uintptr_t)byte &&
        entry[3] == before[i])
      return (ptrdiff_t)(from + (uintptr_t)i * sizeof(uintptr_t)) - (ptrdiff_t)(uintptr_t)&errno;
  }
  return 0;
}
/* In a worker: what was in the list is the host's. *first: its first entry; kept by the caller, it is no leak to
 * instruments. False where exit() would go unseen. */
static bool procpool__platform_begin_exit(ptrdiff_t place, void **first) {
  if (place != 0) {
    memcpy(first, (char *)&errno + place, sizeof(*first));
    memset((char *)&errno + place, 0, sizeof(*first));
  }
  return true;
}
#else
static bool procpool__platform_catch_exit(procpool__platform_exit_handler *at_exit,
                                          procpool__platform_exit_handler *at_quick_exit, void *context, void *mark) {
  (void)at_exit;
  (void)at_quick_exit;
  (void)context;
  (void)mark;
  return true;
}
static void procpool__platform_release_exit(void *mark) {
  (void)mark;
}
static void *procpool__platform_exit_mark(void *own) {
  return own;
}
static ptrdiff_t procpool__platform_find_exit_list(void) {
  return 0;
}
#ifdef __GLIBC__ /* ThreadSanitizer's handlers get no second argument, but by on_exit they get the status */
static void procpool__platform_on_exit(int status, void *unused) {
  (void)unused;
  procpool__platform_flush_and_leave(status);
}
static bool procpool__platform_begin_exit(ptrdiff_t place, void **first) {
  (void)place;
  (void)first;
  return on_exit(procpool__platform_on_exit, NULL) == 0;
}
#else /* musl takes the lock of its handlers when it forks, so a worker may register one; it is not told the status */
static void procpool__platform_at_exit(void) {
  procpool__platform_flush_and_leave(PROCPOOL__STATUS_UNTOLD);
}
static bool procpool__platform_begin_exit(ptrdiff_t place, void **first) {
  (void)place;
  (void)first;
  return atexit(procpool__platform_at_exit) == 0;
}
#endif
#endif

/* pthread_exit in a worker ends it as exit(0) would, before anything of the host's is called. */
static void procpool__platform_on_thread_exit(void *unused) {
  (void)unused;
  procpool__platform_flush_and_leave(0);
}
static void procpool__platform_run(void (*function)(void *context), void *context) {
  pthread_cleanup_push(procpool__platform_on_thread_exit, NULL);
  function(context);
  pthread_cleanup_pop(0);
}

typedef pthread_t procpool__platform_thread;

/* The same in a thread of the host's, which goes on: calls function, and returns whether that came back. POSIX does not
 * say what a jump out of a cleanup handler does; in glibc and musl it is one frame's jump to a caller's, as any other,
 * and the thread may call pthread_exit again. (Compiled with exceptions, the handler runs while the stack is unwound,
 * and the jump ends that.) */
static void procpool__platform_jump_back(void *mark) {
  longjmp(*(jmp_buf *)mark, 1);
}
static bool procpool__platform_run_to_end(void (*function)(void *context), void *context) {
  volatile bool left = true;
  jmp_buf mark;
  pthread_cleanup_push(procpool__platform_jump_back, &mark);
  if (setjmp(mark) == 0) {
    function(context);
    left = false;
  }
  pthread_cleanup_pop(0);
  return !left;
}

/* Starts a thread with every signal blocked: the host's signals are its own threads' to handle. Zero or errno. */
static int procpool__platform_thread_start(procpool__platform_thread *thread, void *(*function)(void *), void *argument,
                                           size_t stack_size) {
  procpool__signals old;
  pthread_attr_t attributes;
  int error = pthread_attr_init(&attributes);
  if (error != 0)
    return error;
  error = pthread_attr_setstacksize(&attributes, stack_size);
  (void)procpool__platform_block_signals(&old);
  if (error == 0)
    error = pthread_create(thread, &attributes, function, argument);
  procpool__platform_restore_signals(&old);
  (void)pthread_attr_destroy(&attributes);
  return error;
}

/* What a thread's stack takes. wanted: 0 for as much as the main thread's may, or 8 MiB where that has no bound (musl
 * gives a thread 128 KiB). The least is more than PTHREAD_STACK_MIN where a signal's frame is large. */
static size_t procpool__platform_stack_size(size_t wanted) {
  const size_t most = (size_t)8 << 20, least = (size_t)256 << 10;
  const long possible = sysconf(_SC_THREAD_STACK_MIN);
  struct rlimit limit;
  if (wanted == 0 && (getrlimit(RLIMIT_STACK, &limit) != 0 || limit.rlim_cur > (rlim_t)SIZE_MAX / 16))
    wanted = most;
  else if (wanted == 0)
    wanted = (size_t)limit.rlim_cur < least ? least : (size_t)limit.rlim_cur / 4096 * 4096;
  return possible > 0 && wanted < (size_t)possible ? (size_t)possible : wanted;
}

static bool procpool__platform_is_self(procpool__platform_thread thread) {
  return pthread_equal(thread, pthread_self()) != 0;
}

static void procpool__platform_thread_join(procpool__platform_thread thread) {
  const int cancel = procpool__platform_no_cancel();
  (void)pthread_join(thread, NULL);
  procpool__platform_cancel_as(cancel);
}

/* ---- rights ---- */

/* Whether this program got rights from its file that the user who started it does not have (set-user-ID, set-group-ID,
 * file capabilities: the kernel says so from exec to the end, whatever is given up meanwhile), or goes about under two
 * names. Then what comes in by environment or descriptor is a stranger's, and another start of the same program would
 * have rights that this process may have given up. */
static bool procpool__platform_privileged(void) {
  return getauxval(AT_SECURE) != 0 || getuid() != geteuid() || getgid() != getegid();
}

/* Whether another start of this program would get rights from its file: AT_SECURE is not set where root starts it, and
 * then becomes somebody else. */
static bool procpool__platform_gives_rights(void) {
  char path[PROCPOOL__OWN_PATH];
  struct stat st;
  if (stat(procpool__platform_own_path(path, "exe"), &st) != 0)
    return stat("/proc/self", &st) == 0; /* without /proc it cannot be started; else it can, and may give any */
  return (st.st_mode & S_ISUID) != 0 || (st.st_mode & (S_ISGID | S_IXGRP)) == (S_ISGID | S_IXGRP) ||
         getxattr(path, "security.capability", NULL, 0) > 0;
}

/* ---- where code lies: executable mappings of files ---- */

typedef struct procpool__platform_code {
  uint64_t start, end, offset; /* addresses, and the offset of start in the file */
  uint64_t device, inode;
} procpool__platform_code;

/* *path: the file's name, within line. */
static bool procpool__platform_parse_code(const char *line, procpool__platform_code *code, const char **path) {
  unsigned long long start, end, offset, inode;
  unsigned major, minor;
  int path_at = 0;
  char protection[8];
  if (sscanf(line, "%llx-%llx %7s %llx %x:%x %llu %n", &start, &end, protection, &offset, &major, &minor, &inode,
             &path_at) != 7)
    return false;
  code->start = start;
  code->end = end;
  code->offset = offset;
  code->device = ((uint64_t)major << 32) | minor;
  code->inode = inode;
  *path = line + path_at;
  return protection[2] == 'x';
}

/* Whether the mapping is the program's own: that one stays as long as the process does. */
static bool procpool__platform_is_program(const procpool__platform_code *code) {
  const uint64_t entry = getauxval(AT_ENTRY);
  return entry >= code->start && entry < code->end;
}

/* The head of link.h's struct dl_phdr_info, which glibc shows to _GNU_SOURCE alone. */
typedef struct procpool__platform_object {
  uintptr_t address;
  const char *name;
  const void *headers;
  uint16_t header_count;
  unsigned long long loads, unloads; /* of objects, so far */
} procpool__platform_object;

#ifdef __cplusplus
extern "C" {
#endif
extern int procpool__libc_each_object(int (*visit)(const procpool__platform_object *, size_t, void *),
                                      void *context) __asm__("dl_iterate_phdr");
#ifdef __cplusplus
}
#endif

static int procpool__platform_take_unloads(const procpool__platform_object *object, size_t size, void *context) {
  if (size >= sizeof(*object))
    *(uint64_t *)context = object->unloads;
  return 1;
}

/* How many libraries this process has closed: when it has changed, another may lie where one was. (In musl it stays 0,
 * and dlclose leaves them where they are.) */
static uint64_t procpool__platform_unloads(void) {
  uint64_t unloads = 0;
  (void)procpool__libc_each_object(procpool__platform_take_unloads, &unloads);
  return unloads;
}

typedef bool procpool__platform_code_visitor(const procpool__platform_code *code, const char *path, void *context);

/* Calls visit for every executable mapping until it returns true. 1: it did; 0: never; -1 (errno): they cannot be read.
 * Without visit: whether they can. */
static int procpool__platform_each_code(procpool__platform_code_visitor *visit, void *context) {
  char path[PROCPOOL__OWN_PATH], *line;
  procpool__platform_lines lines;
  bool found = false;
  if (!procpool__platform_lines_open(&lines, procpool__platform_own_path(path, "maps")))
    return -1;
  while (!found && (line = procpool__platform_lines_next(&lines)) != NULL) {
    procpool__platform_code code;
    const char *name;
    found = procpool__platform_parse_code(line, &code, &name) && (visit == NULL || visit(&code, name, context));
  }
  procpool__platform_close_fd(lines.fd);
  return lines.failed ? -1 : found;
}

/* ==== >>machine =====================================================================================================
 * Runs in:   any process; it reads files only.
 * Writes:    nothing but what its caller names.
 * Calls:     >>platform, >>memory, >>descriptors.
 * Always:    what is missing or malformed sets no limit. */

/* ---- files of numbers ---- */

#define PROCPOOL__CPU_PATH 4096
#define PROCPOOL__CPU_NO_LIMIT INT_MAX

static bool procpool__cpu_join(char *path, const char *first, const char *second) {
  const int length = snprintf(path, PROCPOOL__CPU_PATH, "%s%s", first, second);
  return length >= 0 && length < PROCPOOL__CPU_PATH;
}

static bool procpool__cpu_read(const char *directory, const char *name, char *text, size_t capacity) {
  char path[PROCPOOL__CPU_PATH];
  *text = 0;
  return procpool__cpu_join(path, directory, name) && procpool__platform_read_text(path, text, capacity);
}

/* Passes a decimal number; false if there is none or it has more than 18 digits. */
static bool procpool__cpu_digits(const char **text, uint64_t *value) {
  const char *start = *text;
  *value = 0;
  for (; **text >= '0' && **text <= '9' && *text - start < 19; (*text)++)
    *value = *value * 10 + (uint64_t)(**text - '0');
  return *text > start && *text - start < 19;
}

/* A number that ends where a word ends. Passes what follows it. */
static bool procpool__cpu_number(const char **text, uint64_t *value) {
  if (!procpool__cpu_digits(text, value))
    return false;
  if (**text == ' ' || **text == '\n')
    (*text)++;
  else if (**text != 0)
    return false;
  return true;
}

/* The number in a group's file; UINT64_MAX for none ("max", "-1"). */
static uint64_t procpool__cpu_read_number(const char *directory, const char *name) {
  char text[64];
  const char *cursor = text;
  uint64_t value;
  return procpool__cpu_read(directory, name, text, sizeof(text)) && procpool__cpu_number(&cursor, &value) ? value
                                                                                                          : UINT64_MAX;
}

/* The same for one that is called so in version 2, or so in version 1. */
static uint64_t procpool__cpu_read_either(const char *directory, const char *v2, const char *v1) {
  const uint64_t value = procpool__cpu_read_number(directory, v2);
  return value != UINT64_MAX ? value : procpool__cpu_read_number(directory, v1);
}

/* ---- what a control group allows ---- */

/* quota of processor time per period, both in us, as a number of processors: one and a half are two. Version 2 says
 * both in one file, "QUOTA PERIOD" or "max PERIOD", absent in the root and where the controller is not enabled. */
static int procpool__cpu_quota(const char *directory) {
  char text[128];
  const char *cursor = text;
  uint64_t quota, period, count;
  if (!procpool__cpu_read(directory, "/cpu.max", text, sizeof(text))) {
    quota = procpool__cpu_read_number(directory, "/cpu.cfs_quota_us");
    period = procpool__cpu_read_number(directory, "/cpu.cfs_period_us");
  } else if (!procpool__cpu_number(&cursor, &quota) || !procpool__cpu_number(&cursor, &period)) {
    return PROCPOOL__CPU_NO_LIMIT;
  }
  if (quota == 0 || quota == UINT64_MAX || period == 0 || period == UINT64_MAX)
    return PROCPOOL__CPU_NO_LIMIT;
  count = quota / period + (quota % period != 0);
  return count < INT_MAX ? (int)count : PROCPOOL__CPU_NO_LIMIT;
}

/* The kernel promises shared memory that the machine, or a control group, does not have, and kills a process when it is
 * touched: so this looks before. */

/* The directories of our memory groups that have a limit, found once: paths, each ended by a zero byte. Null where
 * there are none. */
typedef struct procpool__memory_groups {
  char *paths;
  size_t size;
  uint64_t least; /* the smallest limit, in bytes; UINT64_MAX where there is none */
} procpool__memory_groups;

static uint64_t procpool__memory_limit(const char *directory) {
  return procpool__cpu_read_either(directory, "/memory.max", "/memory.limit_in_bytes");
}

/* The number behind name, which begins a line of memory.stat; 0 if there is none. */
static uint64_t procpool__memory_stat(const char *text, const char *name) {
  const char *at = strstr(text, name);
  uint64_t value;
  if (at == PROCPOOL_NULL)
    return 0;
  at += strlen(name);
  return procpool__cpu_number(&at, &value) ? value : 0;
}

/* What a group may still take. Pages of files count as in use, but the kernel drops them first. Version 1 has lines
 * without total_, too: without the groups below. */
static uint64_t procpool__memory_room(const char *directory) {
  const uint64_t limit = procpool__memory_limit(directory);
  const uint64_t used = procpool__cpu_read_either(directory, "/memory.current", "/memory.usage_in_bytes");
  char text[PROCPOOL__CPU_PATH];
  uint64_t files;
  if (limit == UINT64_MAX || used == UINT64_MAX)
    return UINT64_MAX;
  (void)procpool__cpu_read(directory, "/memory.stat", text, sizeof(text));
  files = procpool__memory_stat(text, "\ntotal_inactive_file ") + procpool__memory_stat(text, "\ntotal_active_file ");
  if (files == 0)
    files = procpool__memory_stat(text, "\ninactive_file ") + procpool__memory_stat(text, "\nactive_file ");
  files = files < used ? files : used;
  return limit > used - files ? limit - (used - files) : 0;
}

static void procpool__memory_note(procpool__memory_groups *found, const char *directory) {
  const uint64_t limit = procpool__memory_limit(directory);
  const size_t length = strlen(directory) + 1;
  char *paths;
  if (limit == UINT64_MAX)
    return;
  found->least = limit < found->least ? limit : found->least;
  paths = (char *)PROCPOOL_REALLOC(found->paths, found->size + length);
  if (paths == PROCPOOL_NULL)
    return; /* without memory there are other limits */
  memcpy(paths + found->size, directory, length);
  found->paths = paths;
  found->size += length;
}

static void procpool__memory_forget(procpool__memory_groups *found) {
  PROCPOOL_FREE(found->paths);
  found->paths = PROCPOOL_NULL;
  found->size = 0;
}

/* Whether so many bytes are not to be had. A sixteenth of what there is shall be left. Where no group limits us a small
 * request is not looked into: to read what the machine has takes as long as to take the pages. */
static bool procpool__memory_refuses(const procpool__memory_groups *groups, uint64_t size) {
  uint64_t room = UINT64_MAX;
  if (groups->size == 0 && size < (uint64_t)16 << 20)
    return false;
  for (size_t at = 0; at < groups->size; at += strlen(groups->paths + at) + 1) {
    const uint64_t here = procpool__memory_room(groups->paths + at);
    room = here < room ? here : room;
  }
  if (size >= (uint64_t)16 << 20) {
    const uint64_t machine = procpool__platform_available();
    room = machine < room ? machine : room;
  }
  return size > room - room / 16;
}

/* ---- which control groups are ours ---- */

/* Hierarchies: those of version 1 have one controller or several, and that of version 2 has all. */
enum { PROCPOOL__GROUP_CPU, PROCPOOL__GROUP_MEMORY, PROCPOOL__GROUP_V2, PROCPOOL__HIERARCHIES };

/* All that is looked for, in one pass: the kernel writes these files anew for each reader. */
typedef struct procpool__groups {
  int processors;                                        /* the fewest that a group allows */
  procpool__memory_groups *memory;                       /* null: nothing is asked about memory */
  char paths[PROCPOOL__HIERARCHIES][PROCPOOL__CPU_PATH]; /* our group in each hierarchy; "": there is none */
} procpool__groups;

/* Cuts the text up to the separator off *cursor; the rest, and then "", at the end. */
static char *procpool__cpu_field(char **cursor, char separator) {
  char *field = *cursor;
  char *end = strchr(field, separator);
  if (end == PROCPOOL_NULL) {
    *cursor = field + strlen(field);
    return field;
  }
  *end = 0;
  *cursor = end + 1;
  return field;
}

/* Is the controller of that hierarchy an element of the comma-separated list? The empty list is version 2's. */
static bool procpool__groups_listed(const char *list, int which) {
  const char *name = which == PROCPOOL__GROUP_CPU ? "cpu" : which == PROCPOOL__GROUP_MEMORY ? "memory" : "";
  const size_t length = strlen(name);
  for (;;) {
    const size_t element = strcspn(list, ",");
    if (element == length && memcmp(list, name, length) == 0)
      return true;
    if (list[element] == 0)
      return false;
    list += element + 1;
  }
}

/* mountinfo writes space, tab, newline and backslash as \ooo. In place. */
static void procpool__cpu_unescape(char *text) {
  char *out = text;
  for (; *text != 0; out++) {
    if (text[0] == '\\' && text[1] >= '0' && text[1] <= '3' && text[2] >= '0' && text[2] <= '7' && text[3] >= '0' &&
        text[3] <= '7') {
      *out = (char)((text[1] - '0') * 64 + (text[2] - '0') * 8 + (text[3] - '0'));
      text += 4;
    } else {
      *out = *text++;
    }
  }
  *out = 0;
}

/* One of the kernel's files about this process: main's thread's, as containers' tools put theirs in its place; this
 * thread's own where that one has ended, which is seen by its mounts: it has none any more. */
static bool procpool__cpu_own_open(procpool__platform_lines *lines, const char *name) {
  char path[PROCPOOL__OWN_PATH];
  int mounts = procpool__platform_open("/proc/self/mountinfo", O_RDONLY);
  if (mounts >= 0)
    (void)snprintf(path, sizeof(path), "/proc/self/%s", name);
  else
    (void)procpool__platform_own_path(path, name);
  procpool__platform_close(&mounts);
  return procpool__platform_lines_open(lines, path);
}

/* Notes what the directory and those above it up to its first top bytes (the mount point) allow: each ancestor limits
 * all below it. */
static void procpool__groups_upwards(procpool__groups *groups, char *directory, size_t top) {
  for (size_t length = strlen(directory);; directory[length] = 0) {
    const int quota = procpool__cpu_quota(directory);
    groups->processors = quota < groups->processors ? quota : groups->processors;
    if (groups->memory != PROCPOOL_NULL)
      procpool__memory_note(groups->memory, directory);
    if (length <= top)
      return;
    do
      length--;
    while (length > top && directory[length] != '/');
  }
}

/* Our groups' paths, from lines "ID:CONTROLLER,...:PATH", where version 2 has no controller. */
static void procpool__groups_paths(procpool__groups *groups) {
  procpool__platform_lines lines;
  char *cursor;
  if (!procpool__cpu_own_open(&lines, "cgroup"))
    return;
  while ((cursor = procpool__platform_lines_next(&lines)) != PROCPOOL_NULL) {
    (void)procpool__cpu_field(&cursor, ':');
    const char *controllers = procpool__cpu_field(&cursor, ':');
    for (int i = 0; i < PROCPOOL__HIERARCHIES && cursor[0] == '/'; i++)
      if (procpool__groups_listed(controllers, i))
        (void)procpool__cpu_join(groups->paths[i], cursor, "");
  }
  procpool__platform_close_fd(lines.fd);
}

/* The part of group below the directory that a mount shows (mountinfo's root field: not "/" in a container that has no
 * cgroup namespace of its own), or null if the mount does not show the group. A root of nothing but "/.." is an
 * ancestor of our namespace: what lies between cannot be named, the mount point itself still limits us. */
static const char *procpool__cpu_below(const char *group, const char *shown) {
  const size_t length = strlen(shown);
  if (strstr(group, "/..") != PROCPOOL_NULL)
    return PROCPOOL_NULL;
  if (strcmp(shown, "/") == 0)
    return strcmp(group, "/") == 0 ? "" : group;
  if (strncmp(group, shown, length) == 0 && (group[length] == '/' || group[length] == 0))
    return group + length;
  while (strncmp(shown, "/..", 3) == 0)
    shown += 3;
  return *shown == 0 ? "" : PROCPOOL_NULL;
}

/* The groups that one line of mountinfo leads to:
 * ID PARENT MAJOR:MINOR ROOT MOUNT-POINT OPTIONS [TAG...] - TYPE SOURCE SUPER-OPTIONS */
static void procpool__groups_mount(procpool__groups *groups, char *line) {
  char directory[PROCPOOL__CPU_PATH];
  for (int i = 0; i < 3; i++)
    (void)procpool__cpu_field(&line, ' ');
  char *shown = procpool__cpu_field(&line, ' ');
  char *point = procpool__cpu_field(&line, ' ');
  while (*line != 0 && strcmp(procpool__cpu_field(&line, ' '), "-") != 0)
    continue;
  const char *type = procpool__cpu_field(&line, ' ');
  (void)procpool__cpu_field(&line, ' ');
  const bool v2 = strcmp(type, "cgroup2") == 0;
  if (!v2 && strcmp(type, "cgroup") != 0)
    return;
  procpool__cpu_unescape(shown);
  procpool__cpu_unescape(point);
  for (int i = 0; i < PROCPOOL__HIERARCHIES; i++) {
    if (groups->paths[i][0] == 0 || v2 != (i == PROCPOOL__GROUP_V2) || (!v2 && !procpool__groups_listed(line, i)))
      continue;
    const char *below = procpool__cpu_below(groups->paths[i], shown);
    if (below != PROCPOOL_NULL && procpool__cpu_join(directory, point, below))
      procpool__groups_upwards(groups, directory, strlen(point));
  }
}

/* Looks at our groups in all hierarchies: v1, v2, or both at once (hybrid), however often mounted. */
static void procpool__groups_each(procpool__groups *groups) {
  procpool__platform_lines lines;
  char *line;
  procpool__groups_paths(groups);
  if (!procpool__cpu_own_open(&lines, "mountinfo"))
    return;
  while ((line = procpool__platform_lines_next(&lines)) != PROCPOOL_NULL)
    procpool__groups_mount(groups, line);
  procpool__platform_close_fd(lines.fd);
}

/* ---- processors ---- */

enum { PROCPOOL__CPU_SET = 1024 }; /* bytes of a set of processors */

static int procpool__cpu_logical(void) {
  const long count = sysconf(_SC_NPROCESSORS_ONLN);
  return count > 0 && count < INT_MAX ? (int)count : 1;
}

/* Adds a thread's affinity mask (0: the caller's) to set. The kernel refuses one that is smaller than its own: this one
 * holds 8192 processors, the most that Linux can be built for. */
static bool procpool__cpu_add(int thread, void *set) {
  unsigned long mask[PROCPOOL__CPU_SET / sizeof(unsigned long)];
  const long size = syscall(SYS_sched_getaffinity, (pid_t)thread, sizeof(mask), mask);
  for (size_t i = 0; size > 0 && i < (size_t)size / sizeof(mask[0]); i++)
    ((unsigned long *)set)[i] |= mask[i];
  return false;
}

static int procpool__cpu_members(const unsigned long *set) {
  int count = 0;
  for (size_t i = 0; i < PROCPOOL__CPU_SET / sizeof(*set); i++)
    count += __builtin_popcountl(set[i]);
  return count;
}

/* The processors that this process may use: those of all its threads together, since a library may have pinned the
 * caller alone (OMP_PROC_BIND does). A process that was started on few of them, or has pinned every thread, keeps to
 * those. Returns how many there are; 0 where the kernel does not say. *pinned: the caller has fewer. */
static int procpool__cpu_allowed(unsigned long *set, bool *pinned) {
  int own;
  memset(set, 0, PROCPOOL__CPU_SET);
  (void)procpool__cpu_add(0, set);
  own = procpool__cpu_members(set);
  if (own > 0 && own < procpool__cpu_logical())
    (void)procpool__platform_each_number(procpool__platform_open("/proc/self/task", O_RDONLY | O_DIRECTORY),
                                         procpool__cpu_add, set);
  *pinned = procpool__cpu_members(set) != own;
  return procpool__cpu_members(set);
}

/* Makes the calling thread, and what it starts from now on, use these. */
static void procpool__cpu_use(const void *set) {
  (void)syscall(SYS_sched_setaffinity, 0, (size_t)PROCPOOL__CPU_SET, set);
}

/* How many processors this process may use by its mask and by the quotas of all groups that hold it. *memory, unless
 * null: what limits its memory, found in the same pass. */
static int procpool__cpu_usable(procpool__memory_groups *memory) {
  unsigned long set[PROCPOOL__CPU_SET / sizeof(unsigned long)];
  procpool__groups groups;
  bool pinned;
  memset(&groups, 0, sizeof(groups));
  groups.processors = procpool__cpu_allowed(set, &pinned);
  if (groups.processors == 0)
    groups.processors = procpool__cpu_logical();
  groups.memory = memory;
  if (memory != PROCPOOL_NULL) {
    memset(memory, 0, sizeof(*memory));
    memory->least = UINT64_MAX;
  }
  procpool__groups_each(&groups);
  return groups.processors;
}

/* Is this processor the first thread of its core? thread_siblings_list ("0,64" or "0-1") begins with the lowest. */
static bool procpool__cpu_is_head(uint64_t cpu) {
  char path[96], text[64];
  const char *cursor = text;
  uint64_t first;
  (void)snprintf(path, sizeof(path), "/sys/devices/system/cpu/cpu%u/topology/thread_siblings_list", (unsigned)cpu);
  return procpool__platform_read_text(path, text, sizeof(text)) && procpool__cpu_digits(&cursor, &first) &&
         first == cpu;
}

/* Passes one range ("4" or "4-7") of a list of processors; false at its end, or where it is not a list. */
static bool procpool__cpu_range(const char **list, uint64_t *first, uint64_t *last) {
  if (!procpool__cpu_digits(list, first))
    return false;
  *last = *first;
  if (**list == '-') {
    (*list)++;
    if (!procpool__cpu_digits(list, last))
      return false;
  }
  if (**list == ',')
    (*list)++;
  return *last < 32768;
}

static int procpool__cpu_physical(int logical) {
  char online[PROCPOOL__CPU_PATH];
  const char *cursor = online;
  uint64_t first, last;
  int count = 0;
  if (!procpool__platform_read_text("/sys/devices/system/cpu/online", online, sizeof(online)))
    return logical;
  while (procpool__cpu_range(&cursor, &first, &last))
    for (; first <= last; first++)
      count += procpool__cpu_is_head(first);
  return count > 0 && count < logical ? count : logical;
}

static int procpool__cpu_count(procpool_cpu kind) {
  switch (kind) {
  case PROCPOOL_CPU_USABLE:
    return procpool__cpu_usable(PROCPOOL_NULL);
  case PROCPOOL_CPU_LOGICAL:
    return procpool__cpu_logical();
  case PROCPOOL_CPU_PHYSICAL:
    return procpool__cpu_physical(procpool__cpu_logical());
  }
  return 0;
}

/* ==== >>shm =========================================================================================================
 * Runs in:   any process.
 * Writes:    the shared segment, by the rules that stand at each field: who writes it, who reads it, and why its
 *            memory order is enough.
 * Calls:     >>platform, >>memory.
 * Always:    nothing private is touched; what another process wrote is a number to be checked, and no address. */

#define PROCPOOL__MAGIC 0x31766c6f6f706370ull /* "pcpoolv1" */

enum {
  PROCPOOL__MAX_WORKERS = 1024,
  PROCPOOL__MAX_QUEUED = 1 << 23,
  PROCPOOL__MAX_DEPTH = 8,
  PROCPOOL__INLINE_BYTES = 32,  /* arguments up to this size lie in the slot itself */
  PROCPOOL__INLINE_BESIDE = 16, /* the same where the slot says where the result goes, too */
  PROCPOOL__MESSAGE = 192
};

/* Functions travel as numbers, too. */
static inline uint64_t procpool__number_of_function(procpool_function function) {
  return (uint64_t)(uintptr_t)function;
}
static inline procpool_function procpool__function_of(uint64_t number) {
  const uintptr_t address = (uintptr_t)number;
  procpool_function function;
  memcpy((void *)&function, &address, sizeof(function));
  return function;
}

static inline uint64_t procpool__number_of_initializer(procpool_initializer initializer) {
  return (uint64_t)(uintptr_t)initializer;
}

/* The state of a task, in the low bits of its word. Order matters: ASKED_* is decided by the supervisor while the
 * worker lives and may yet return; DONE_* is committed by a worker; DEAD_* is decided by the supervisor, and the task
 * settles when its worker is reaped. In each of them CANCELLED stands behind TIMEOUT: see procpool__state_after. What
 * the host decides (CANCELLED before the start, SHUTDOWN, ...) needs no further state: the host takes the word from
 * READY to FREE and keeps the outcome in private memory. */
typedef enum procpool__state {
  PROCPOOL__FREE = 0,
  PROCPOOL__READY,
  PROCPOOL__RUNNING,
  PROCPOOL__ASKED_TIMEOUT,
  PROCPOOL__ASKED_CANCELLED,
  PROCPOOL__DONE_OK,
  PROCPOOL__DONE_FAILED,
  PROCPOOL__DONE_TRANSFER,
  PROCPOOL__DONE_TIMEOUT, /* it returned after it was asked */
  PROCPOOL__DONE_CANCELLED,
  PROCPOOL__DEAD_CRASHED,
  PROCPOOL__DEAD_TIMEOUT,
  PROCPOOL__DEAD_CANCELLED,
  PROCPOOL__DEAD_SHUTDOWN,
  PROCPOOL__DEAD_BROKEN
} procpool__state;

/* word: ticket (48 bits, the task's position in the submission ring plus one, never repeated), worker (12), state
 * (4) */
static inline uint64_t procpool__word(uint64_t ticket, int worker, procpool__state state) {
  return (ticket << 16) | ((uint64_t)(unsigned)worker << 4) | (uint64_t)state;
}
enum { PROCPOOL__NO_WORKER = 0xfff };    /* in the word of a task that dies in the queue */
enum { PROCPOOL__TICKET_FINALIZER = 0 }; /* in the word of a finalizer's records: no task has it */
static inline uint64_t procpool__word_ticket(uint64_t word) {
  return word >> 16;
}
static inline int procpool__word_worker(uint64_t word) {
  return (int)((word >> 4) & 0xfff);
}
static inline procpool__state procpool__word_state(uint64_t word) {
  return (procpool__state)(word & 0xf);
}
/* The same task and worker, in another state. */
static inline uint64_t procpool__word_in(uint64_t word, procpool__state state) {
  return (word & ~(uint64_t)0xf) | (uint64_t)state;
}
/* What a task that was asked to end becomes: the same outcome; timeout is DONE_TIMEOUT or DEAD_TIMEOUT. */
static inline procpool__state procpool__state_after(procpool__state asked, procpool__state timeout) {
  return (procpool__state)(asked - PROCPOOL__ASKED_TIMEOUT + timeout);
}
static inline bool procpool__state_asked(procpool__state state) {
  return state == PROCPOOL__ASKED_TIMEOUT || state == PROCPOOL__ASKED_CANCELLED;
}
static inline bool procpool__state_done(procpool__state state) {
  return state >= PROCPOOL__DONE_OK && state <= PROCPOOL__DONE_CANCELLED;
}
static inline bool procpool__state_dead(procpool__state state) {
  return state >= PROCPOOL__DEAD_CRASHED && state <= PROCPOOL__DEAD_BROKEN;
}

/* cell: low 40 bits of the ticket, then the slot (24): one word, so that a reader never sees half of it. A reader that
 * was paused while 2^40 tasks went by may take an old cell for a new one; the word's 48 bits then refuse its claim. */
#define PROCPOOL__CELL_TICKET_BITS 40
#define PROCPOOL__CELL_TICKET_MASK (((uint64_t)1 << PROCPOOL__CELL_TICKET_BITS) - 1)
static inline uint64_t procpool__cell(uint64_t ticket, uint32_t slot) {
  return (ticket << 24) | slot;
}

enum {
  PROCPOOL__SLOT_CHUNK = 1,
  PROCPOOL__SLOT_NO_ARGUMENT = 2,
  PROCPOOL__SLOT_DISCARD = 4, /* the result is not wanted */
  PROCPOOL__SLOT_KILL = 8,    /* the host wants it ended */
  PROCPOOL__SLOT_SHARED = 16, /* the argument lies in the arena, be it as small as it may */
  PROCPOOL__SLOT_PLACE = 32,  /* the result has a place in the arena */
  PROCPOOL__SLOT_BUNDLE = 64, /* several items of an imap: see procpool__bundle */
  PROCPOOL__SLOT_DATED = 128, /* it has a deadline */
  PROCPOOL__SLOT_GRACE = 8 /* the bits from this one on: ms from one stage of its end to the next; 0: SIGKILL at once */
};

enum { PROCPOOL__EXIT_QUARANTINE = 0x100 };

/* What the supervisor writes over the argument of a task whose worker it has reaped (or cannot reap: QUARANTINE). */
typedef struct procpool__exit_record {
  int32_t signal, exit_status, pid;
  int32_t stage; /* procpool_stage, and QUARANTINE: its worker may still write to what the task was given */
  procpool__u64 user_us, system_us;
  procpool__u64 rss_kib_next; /* largest resident size in KiB (40 bits), the next slot of the dead list plus 1 (24) */
} procpool__exit_record;

/* Where the result of a task goes that has a place for it: behind the argument. Offsets are the arena's. */
typedef struct procpool__place {
  procpool__u64 argument[PROCPOOL__INLINE_BESIDE / sizeof(uint64_t)]; /* or its offset and the index */
  procpool__u64 offset, capacity;
} procpool__place;

/* What slot.size says. Of an argument that lies in the slot: its bytes, in the lowest 8 bits, and above them the task's
 * index (procpool_task_index). Of one that lies elsewhere SIZE_FAR and its bytes; then its offset and the index are the
 * first two words of the argument. So a task of its own, whose index is 0, costs nothing more. */
#define PROCPOOL__SIZE_FAR ((uint64_t)1 << 63)
enum { PROCPOOL__SIZE_BITS = 8 };

/* One task. All but word and flags: written by the host before word becomes READY (release), read by the worker whose
 * CAS made it RUNNING (acquire), and never again; or the exit record, by the supervisor while it alone owns the slot,
 * read by the host after it took the slot from the dead list (acquire). */
typedef struct procpool__slot {
  procpool__u64 word;     /* host, worker, supervisor: by CAS; all read */
  uint32_t flags;         /* host; atomic, since DISCARD and KILL may come later. Worker and supervisor read */
  uint32_t limit;         /* milliseconds that the body may run, 0: no limit. Worker and supervisor read */
  procpool__u64 function; /* from here on the exit record may lie */
  procpool__u64 size;     /* and index: see PROCPOOL__SIZE_FAR */
  union {
    unsigned char bytes[PROCPOOL__INLINE_BYTES];
    procpool__u64 offset; /* in the arena, for SIZE_FAR: SHARED and what does not fit; behind it the index */
    procpool__place place;
  } argument;
} PROCPOOL__ALIGNED procpool__slot;

static inline procpool__exit_record *procpool__slot_exit_record(procpool__slot *slot) {
  return (procpool__exit_record *)(void *)&slot->function;
}

/* How far a worker has come. */
typedef enum procpool__life {
  PROCPOOL__LIFE_FORKED,
  PROCPOOL__LIFE_BEGINS,  /* in its initializer */
  PROCPOOL__LIFE_REFUSED, /* by its initializer */
  PROCPOOL__LIFE_TASKS,
  PROCPOOL__LIFE_FINALIZES, /* in its finalizer: it takes no task any more */
  PROCPOOL__LIFE_LEAVES     /* by itself */
} procpool__life;

/* What a worker and the supervisor say of themselves. Lines by writer. */
typedef struct procpool__block {
  /* Written by the worker. Before each claim: the slot, and the RUNNING word that it is about to write. The supervisor
   * reads them after the reap */
  procpool__u64 intent_slot, intent_word;
  procpool__u64 started_ns;   /* when the body of limited_word began */
  procpool__u64 limited_word; /* after started_ns: the RUNNING word of a task with a limit */
  procpool__u64 ended_word;   /* the one whose body has returned, and what it printed is out */
  procpool__u64 tasks;        /* bodies begun */
  procpool__u64 life;         /* procpool__life */
  procpool__i64 init_code;
  /* End of the last published record: by the worker, or by a helper by CAS to the same value. The host reads both */
  PROCPOOL__ALIGNED procpool__u64 tail;
  procpool__u64 dropped; /* the worker adds 1 for a task that it committed without a record */
  /* Written by the host. End of the last record taken: the worker reads it (acquire), and has room behind it */
  PROCPOOL__ALIGNED procpool__u64 consumed;
  uint32_t room_seq;                    /* plus 1 for a worker that waits for room */
  uint32_t wake_seq;                    /* plus 1 by any process that wakes this worker, which sleeps on it */
  procpool__u64 woken_ns;               /* when it was last called. For the worker's own spinning */
  PROCPOOL__ALIGNED uint32_t room_flag; /* worker: waits for room. Supervisor clears a dead one's. Host reads */
  uint32_t cpu;                         /* worker, before it sleeps: the processor that it last ran on. Host reads */
  PROCPOOL__ALIGNED procpool__u64 pid;  /* supervisor (threads: host): 0 when there is none */
  /* What the initializer said of its failure: the worker, before life tells of it. Supervisor, when it has reaped one
   * that ended in another way: nothing. Host reads, when health names this worker */
  PROCPOOL__ALIGNED char init_message[PROCPOOL__MESSAGE];
} procpool__block;

typedef enum procpool__phase {
  PROCPOOL__PHASE_RUN = 0,
  PROCPOOL__PHASE_DRAIN, /* a worker that finds no task leaves */
  PROCPOOL__PHASE_KILL   /* no worker claims any more */
} procpool__phase;

typedef enum procpool__health {
  PROCPOOL__HEALTH_OK = 0,
  PROCPOOL__HEALTH_INIT_FAIL,  /* no worker gets through the initializer: given up */
  PROCPOOL__HEALTH_SPAWN_FAIL, /* no worker lives and none can be forked: tried again now and then */
  PROCPOOL__HEALTH_STRICT      /* a worker of a strict pool died */
} procpool__health;

enum {
  PROCPOOL__FLAG_CLAIM = 1,  /* it is to be woken when the task at wake_at, or one behind it, is claimed */
  PROCPOOL__FLAG_FD = 2,     /* threads poll the pool's descriptor */
  PROCPOOL__FLAG_PARKED = 4, /* it is to be woken for results */
  PROCPOOL__FLAG_BITS = 3    /* they take this many bits */
};

#define PROCPOOL__GROUPS (PROCPOOL__MAX_WORKERS / 64)

/* 64 workers, a bit each; all on one line, which the host reads at every submit.
 *   idle   it sleeps, or is about to. Set by the worker; cleared by it, by the process that wakes just this one (the
 *          host, or a worker that came), or by the supervisor for a dead one.
 *   away   it cannot take a task, and waking it is no use: not started, in its initializer, stopped, revoked, on its
 *          way out, dead. Set by the host at open, by the supervisor, by a worker that leaves; cleared by the worker
 *          before it looks for its first task, by the supervisor when one is continued.
 *   coming it was called to call the next one (procpool__shm_call), and has not come yet. Set by the caller; cleared by
 *          the worker as it comes or leaves, by a caller that was late, all of them by the supervisor when a worker has
 *          died or was stopped, and by the host's audit.
 *   wakes  how often one of them has begun, or gone on after such a sleep: not before its idle bit is clear, and before
 *          it claims a task. Workers add. */
typedef struct procpool__mask {
  procpool__u64 idle, away, coming, wakes;
} procpool__mask;

/* What supervisor and workers go by. Each process takes its own copy from the header before there is a worker that
 * could write there (a forked one has it by the fork). */
typedef struct procpool__settings {
  procpool__u64 max_tasks, strict, core_dumps, depth;
  procpool__u64 once;                /* one worker, one task: a dead one is not replaced */
  procpool__u64 spin_ns, spin_fixed; /* how long to look for work before sleeping; whether the user said so */
  procpool__u64 processors;
  procpool__u64 nice;                                              /* added to each worker's nice value */
  procpool__u64 initializer, initializer_offset, initializer_size; /* size 0: offset is the pointer itself */
  procpool__u64 initializer_limit;                                 /* ns; 0: none */
  procpool__u64 finalizer, finalizer_limit;                        /* the same */
  procpool__u64 finalizer_wanted; /* the host takes what it gives; 0: it leaves no record */
} procpool__settings;

typedef struct procpool__header {
  /* host, before there is another process; a spawned supervisor checks them against its own */
  procpool__u64 magic, version, total, header_size, workers, capacity, ring_size, arena_size;
  procpool__settings settings;
  procpool__u64 base;             /* where the host has the segment */
  procpool__u64 cookie, host_pid; /* spawn: the marker names them too */
  procpool__u64 pinned; /* 1: the host's opening thread was pinned, workers may use the processors of cpu_set */
  procpool__u64 cpu_set[PROCPOOL__CPU_SET / sizeof(uint64_t)];
  char name[16];
  uint32_t addressee; /* spawn: id of the process that shall become the supervisor, 0 until it is known. Written by the
                         host before each start (0), and then by the go-between; read by who comes to the door */
  PROCPOOL__ALIGNED procpool__u64 head; /* hint: no position before it is READY. Any process, by CAS from h to h + 1 */
  PROCPOOL__ALIGNED procpool__mask masks[PROCPOOL__GROUPS]; /* who sleeps, and who cannot take a task at all */
  PROCPOOL__ALIGNED procpool__u64 host_flag; /* host: number of its sleep << 3 | who and why; 0 awake. Workers read */
  uint32_t host_seq;                         /* the process that wakes the host adds 1; the host sleeps on this */
  uint32_t pad1;
  procpool__u64 host_woken_ns; /* worker: when it last woke the host. For the host's own spinning */
  procpool__u64 wake_at; /* host, before host_flag, which publishes it: see FLAG_CLAIM. Workers read it after that */
  PROCPOOL__ALIGNED uint32_t phase; /* host; all read */
  uint32_t pad2;
  procpool__u64
      arena_top; /* host, before the word of any task that may use it: what lies below was reserved at some time.
                         Workers read it (relaxed: their claim acquired it) to reach what tasks have pointers to */
  PROCPOOL__ALIGNED procpool__u64 limited; /* host, before the task's word: tasks with a limit that are not settled */
  procpool__u64 tick;                      /* host: ns between looks, short enough for the shortest of these limits */
  procpool__u64 dated; /* host, after the task's cell: how many tasks with a deadline there ever were */
  uint32_t ticking;    /* supervisor: 1 while it looks for limits that are over. Host reads */
  /* Worker, before it signals the supervisor: the host's descriptor is to be set. Supervisor clears */
  uint32_t lost_bell;
  /* supervisor: the slot (plus 1) that it takes out of the queue, from before its word says so until it is on the list of
   * the dead; else 0. The host reads, as it reads a worker's intent */
  uint32_t expiring;
  /* Slots (plus 1) that the supervisor decided: it pushes, the host takes all */
  PROCPOOL__ALIGNED procpool__u64 dead_list;
  procpool__u64 dead_count;     /* supervisor: how many it ever pushed */
  uint32_t health;              /* supervisor: procpool__health; the host reads, cause before it */
  uint32_t gone;                /* supervisor: every worker is reaped, and it is leaving */
  procpool__u64 alive, started; /* supervisor: workers that live, workers ever started, */
  procpool__u64 stopped;        /* and how often one of them was stopped */
  /* supervisor (threads: the last of them), before health, which publishes them; relaxed: it may write the next cause
   * while the host reads this one */
  procpool__i64 cause_signal, cause_exit, cause_code, cause_errno, cause_pid, cause_worker, cause_stage;
} procpool__header;

/* One process's view. Sizes and addresses are its own copies: shared ones may be scribbled upon. */
typedef struct procpool__segment {
  int fd;
  unsigned char *base;
  uint64_t host_base; /* where the host has it: workers of a spawned supervisor may have it elsewhere */
  uint64_t total, capacity, cell_count, ring_size, arena_size;
  int workers;
  procpool__header *header;
  procpool__block *blocks;
  procpool__u64 *cells;
  procpool__slot *slots;
  procpool__u64 *deadlines; /* one for each slot, of a task with SLOT_DATED. Host, before the word; the others read */
  unsigned char *rings;
  unsigned char *arena;
  uint64_t arena_at; /* its offset: all before it is open to access from the start */
  uint64_t large;    /* what large blocks of the arena begin at a multiple of */
  procpool__settings settings;
} procpool__segment;

/* The drawing in >>architecture, line by line. */
#define PROCPOOL__AT(type, field, byte)                                                                                \
  typedef char procpool__assert_##type##_##field[offsetof(procpool__##type, field) == (byte) ? 1 : -1]
PROCPOOL__AT(header, magic, 0);
PROCPOOL__AT(header, settings, 64);
PROCPOOL__AT(header, base, 192);
PROCPOOL__AT(header, cookie, 200);
PROCPOOL__AT(header, host_pid, 208);
PROCPOOL__AT(header, pinned, 216);
PROCPOOL__AT(header, cpu_set, 224);
PROCPOOL__AT(header, name, 1248);
PROCPOOL__AT(header, addressee, 1264);
PROCPOOL__AT(header, head, 1280);
PROCPOOL__AT(header, masks, 1344);
PROCPOOL__AT(header, host_flag, 1856);
PROCPOOL__AT(header, host_seq, 1864);
PROCPOOL__AT(header, host_woken_ns, 1872);
PROCPOOL__AT(header, wake_at, 1880);
PROCPOOL__AT(header, phase, 1920);
PROCPOOL__AT(header, arena_top, 1928);
PROCPOOL__AT(header, limited, 1984);
PROCPOOL__AT(header, tick, 1992);
PROCPOOL__AT(header, dated, 2000);
PROCPOOL__AT(header, ticking, 2008);
PROCPOOL__AT(header, lost_bell, 2012);
PROCPOOL__AT(header, expiring, 2016);
PROCPOOL__AT(header, dead_list, 2048);
PROCPOOL__AT(block, intent_slot, 0);
PROCPOOL__AT(block, init_code, 56);
PROCPOOL__AT(block, tail, 64);
PROCPOOL__AT(block, dropped, 72);
PROCPOOL__AT(block, consumed, 128);
PROCPOOL__AT(block, room_seq, 136);
PROCPOOL__AT(block, wake_seq, 140);
PROCPOOL__AT(block, woken_ns, 144);
PROCPOOL__AT(block, room_flag, 192);
PROCPOOL__AT(block, cpu, 196);
PROCPOOL__AT(block, pid, 256);
PROCPOOL__AT(block, init_message, 320);
PROCPOOL__AT(slot, word, 0);
PROCPOOL__AT(slot, flags, 8);
PROCPOOL__AT(slot, limit, 12);
PROCPOOL__AT(slot, function, 16);
PROCPOOL__AT(slot, size, 24);
PROCPOOL__AT(slot, argument, 32);
#undef PROCPOOL__AT
typedef char procpool__assert_whole_header[sizeof(procpool__header) == 2176 ? 1 : -1];
typedef char procpool__assert_whole_block[sizeof(procpool__block) == 512 ? 1 : -1];
typedef char procpool__assert_whole_slot[sizeof(procpool__slot) == 64 ? 1 : -1];
typedef char procpool__assert_place[sizeof(procpool__place) == PROCPOOL__INLINE_BYTES ? 1 : -1];
typedef char procpool__assert_exit_record[sizeof(procpool__exit_record) == 40 ? 1 : -1];

#define PROCPOOL__ARENA_MOST ((uint64_t)1 << 46)   /* address space of a process, about */
#define PROCPOOL__EXTENT ((uint64_t)1 << 20)       /* the arena grows by multiples of this */
#define PROCPOOL__ARENA_LARGE (8 * PROCPOOL__HUGE) /* an arena from this size on begins at a large page */

/* A ring of a power of two of cells, at least twice as many as there can be tasks. */
static uint64_t procpool__shm_cell_count(uint64_t capacity) {
  uint64_t cells = 2;
  while (cells < 2 * capacity)
    cells *= 2;
  return cells;
}

/* Where each part lies, relative to base (null for a first look at the size). Returns the size of it all. */
static uint64_t procpool__shm_layout(procpool__segment *s, unsigned char *base) {
  const uint64_t page = procpool__platform_page(); /* what is given back to the kernel begins at one */
  uint64_t offset[6];
  offset[0] = procpool__round_up(sizeof(procpool__header), page);
  offset[1] = procpool__round_up(offset[0] + (uint64_t)s->workers * sizeof(procpool__block), page);
  offset[2] = procpool__round_up(offset[1] + (uint64_t)s->workers * s->ring_size, page);
  offset[3] = procpool__round_up(offset[2] + s->cell_count * sizeof(uint64_t), page);
  s->large = s->arena_size >= PROCPOOL__ARENA_LARGE ? PROCPOOL__HUGE : PROCPOOL__EXTENT;
  offset[4] = procpool__round_up(offset[3] + s->capacity * sizeof(procpool__slot), page);
  offset[5] = procpool__round_up(offset[4] + s->capacity * sizeof(uint64_t),
                                 s->large == PROCPOOL__HUGE ? PROCPOOL__HUGE : page);
  s->arena_at = offset[5];
  s->total = offset[5] + s->arena_size;
  s->base = base;
  if (base != NULL) {
    s->header = (procpool__header *)(void *)base;
    s->blocks = (procpool__block *)(void *)(base + offset[0]);
    s->rings = base + offset[1];
    s->cells = (procpool__u64 *)(void *)(base + offset[2]);
    s->slots = (procpool__slot *)(void *)(base + offset[3]);
    s->deadlines = (procpool__u64 *)(void *)(base + offset[4]);
    s->arena = base + offset[5];
  }
  return s->total;
}

static uint64_t procpool__shm_offset(const procpool__segment *s, const void *p) {
  return (uint64_t)((const unsigned char *)p - s->base);
}

/* Until when the task in that slot is to have ended. Relaxed: flags and deadline were published by its word. */
static uint64_t procpool__shm_deadline(const procpool__segment *s, uint32_t slot) {
  return (procpool__load32_relaxed(&s->slots[slot].flags) & PROCPOOL__SLOT_DATED) != 0
             ? procpool__load_relaxed(&s->deadlines[slot])
             : PROCPOOL__NEVER;
}

/* How much of the arena was ever in use, as far as the shared word can be true. */
static uint64_t procpool__shm_arena_top(const procpool__segment *s) {
  const uint64_t top = procpool__load_relaxed(&s->header->arena_top);
  return top < s->arena_size ? top : s->arena_size;
}

static uint64_t procpool__shm_bit(int worker) {
  return (uint64_t)1 << (worker % 64);
}
static procpool__u64 *procpool__shm_idle(const procpool__segment *s, int worker) {
  return &s->header->masks[worker / 64].idle;
}
static procpool__u64 *procpool__shm_away(const procpool__segment *s, int worker) {
  return &s->header->masks[worker / 64].away;
}

static procpool__u64 *procpool__shm_wakes(const procpool__segment *s, int worker) {
  return &s->header->masks[worker / 64].wakes;
}

/* The bits of those workers of a group of 64 that there are; group: the first of them. */
static uint64_t procpool__shm_group(const procpool__segment *s, int group) {
  return s->workers - group >= 64 ? UINT64_MAX : procpool__shm_bit(s->workers - group) - 1;
}
static procpool__u64 *procpool__shm_coming(const procpool__segment *s, int worker) {
  return &s->header->masks[worker / 64].coming;
}

/* Wakes a worker, if it sleeps for lack of tasks; if it is about to, it will not. */
static void procpool__shm_wake_worker(const procpool__segment *s, int worker) {
  procpool__add32(&s->blocks[worker].wake_seq, 1);
  procpool__platform_wake(&s->blocks[worker].wake_seq, 1);
}

/* Wakes them all, whatever the masks say. */
static void procpool__shm_wake_workers(const procpool__segment *s) {
  for (int i = 0; i < s->workers; i++)
    procpool__shm_wake_worker(s, i);
}

/* The workers of one group of 64 that sleep and could be woken. */
static uint64_t procpool__shm_able(const procpool__segment *s, int group) {
  const uint64_t idle = procpool__load(procpool__shm_idle(s, group));
  return idle != 0 ? idle & procpool__shm_group(s, group) & ~procpool__load(procpool__shm_away(s, group)) : 0;
}

/* The lowest worker that sleeps and could be woken; -1 if there is none. Rather one that did not run on the processor
 * cpu last, which is the waker's: the kernel puts who is woken where he ran before, and lets him go first there. here:
 * whether one that did is wanted, too; a waker that has more to hand out leaves him for last. */
static int procpool__shm_sleeper(const procpool__segment *s, uint32_t cpu, bool here) {
  int sleeper = -1;
  for (int i = 0; i < s->workers; i += 64)
    for (uint64_t able = procpool__shm_able(s, i); able != 0; able &= able - 1) {
      const int worker = i + __builtin_ctzll(able);
      if (procpool__load32_relaxed(&s->blocks[worker].cpu) != cpu)
        return worker;
      sleeper = sleeper < 0 && here ? worker : sleeper;
    }
  return sleeper;
}

/* Whether some worker cannot take a task. */
static bool procpool__shm_any_away(const procpool__segment *s) {
  uint64_t away = 0;
  for (int i = 0; i < s->workers; i += 64) {
    away |= procpool__shm_group(s, i) & procpool__load(procpool__shm_away(s, i));
  }
  return away != 0;
}

/* Whether a worker was called, and has not come yet. */
static bool procpool__shm_any_coming(const procpool__segment *s) {
  uint64_t coming = 0;
  for (int i = 0; i < s->workers; i += 64)
    coming |= procpool__shm_group(s, i) & procpool__load(procpool__shm_coming(s, i)) &
              ~procpool__load(procpool__shm_away(s, i));
  return coming != 0;
}

/* How many workers are neither asleep nor away: each has a task, or looks for one. */
static uint64_t procpool__shm_awake(const procpool__segment *s) {
  uint64_t awake = 0;
  for (int i = 0; i < s->workers; i += 64) {
    const uint64_t not_awake = procpool__load(procpool__shm_idle(s, i)) | procpool__load(procpool__shm_away(s, i));
    awake += (uint64_t)__builtin_popcountll(procpool__shm_group(s, i) & ~not_awake);
  }
  return awake;
}

/* What became of a call: there is no sleeper, another process was faster, or one is woken. */
typedef enum procpool__called { PROCPOOL__CALLED_NONE, PROCPOOL__CALLED_LATE, PROCPOOL__CALLED_ONE } procpool__called;

/* Wakes one sleeper, if there is one: it counts as awake from now on, so there are never two calls for one sleep. chain:
 * it is coming until it has come, and calls the next one. That is said before its idle bit is cleared: later the worker
 * might have come already, and would stay coming for ever. And it is unsaid where another process was faster: until then others have
 * gone by it, so a worker that was late looks again. */
static procpool__called procpool__shm_call(const procpool__segment *s, bool here, bool chain) {
  const int sleeper = procpool__shm_sleeper(s, procpool__platform_cpu(), here);
  const uint64_t bit = sleeper >= 0 ? procpool__shm_bit(sleeper) : 0;
  if (sleeper < 0)
    return PROCPOOL__CALLED_NONE;
  if (chain)
    (void)procpool__or(procpool__shm_coming(s, sleeper), bit);
  if ((procpool__and(procpool__shm_idle(s, sleeper), ~bit) & bit) == 0) {
    if (chain)
      (void)procpool__and(procpool__shm_coming(s, sleeper), ~bit);
    return PROCPOOL__CALLED_LATE;
  }
  procpool__store_relaxed(&s->blocks[sleeper].woken_ns, procpool__platform_now());
  procpool__shm_wake_worker(s, sleeper);
  return PROCPOOL__CALLED_ONE;
}

/* Whether more are awake, the host too, than there are processors. */
static bool procpool__shm_crowded(const procpool__segment *s) {
  return procpool__shm_awake(s) >= s->settings.processors;
}

static void procpool__shm_wake_host(const procpool__segment *s, int event_fd) {
  const uint64_t flag = procpool__load(&s->header->host_flag);
  procpool__add32(&s->header->host_seq, 1);
  procpool__platform_wake(&s->header->host_seq, INT_MAX);
  if (flag & PROCPOOL__FLAG_FD)
    procpool__platform_event_set(event_fd);
}

/* ---- spinning ---- To look for a while before sleeping, for as long as a sleep and a wake cost, is at most twice as
 * dear as the best that one could have done had one known how long the wait would be (ski rental). What they cost
 * here is measured at each wake. And one can guess: where the last waits were longer than that, all but a short look
 * is given up at once. Private to the process that waits. */

#define PROCPOOL__SPIN_LEAST ((uint64_t)2000u) /* ns */
#define PROCPOOL__SPIN_MOST ((uint64_t)100000u)
#define PROCPOOL__SPIN_LOOKS 64                /* in a row, without a look at the clock: about a microsecond */
#define PROCPOOL__SPIN_BRISK ((uint64_t)5000u) /* ns: a host that submits again within it is busy with this pool */
#define PROCPOOL__SPIN_LOOK 70u /* ns: the host's look at one worker's line, which is in that one's cache */
#define PROCPOOL__SPIN_YIELD 8u /* rows: see procpool__spin_yields */

typedef struct procpool__spin {
  procpool__u64 most; /* ns; 0: never */
  procpool__u64 wait; /* ns that the last waits took, averaged */
  procpool__u64 wake; /* ns from a wake to the sleeper's first step, averaged */
  bool fixed;         /* the user has said how long */
} procpool__spin;

static void procpool__spin_setup(procpool__spin *spin, uint64_t ns, bool fixed) {
  spin->most = ns;
  spin->wait = 0;
  spin->wake = ns / 4;
  spin->fixed = fixed || ns == 0;
}

/* One wait, as long as it spins. */
typedef struct procpool__spinning {
  uint64_t start; /* when a row of looks had found nothing; 0: none yet, and a wait that is over by then took no time */
  uint64_t budget, deadline;
  unsigned weight, looks, rows; /* what a look counts as; looks in this row; rows */
  bool crowded;                 /* let the others go first after each row */
} procpool__spinning;

/* How long to look; not at all where a single look at that many workers takes longer. Relaxed atomics here and below:
 * in the host several threads may be at it, and any result will do. */
static void procpool__spin_begin(procpool__spinning *n, const procpool__spin *spin, int workers, bool crowded,
                                 uint64_t deadline) {
  n->crowded = crowded && !spin->fixed;
  n->deadline = deadline;
  n->weight = (unsigned)workers;
  n->start = n->rows = 0;
  n->budget = __atomic_load_n(&spin->most, __ATOMIC_RELAXED);
  if (!spin->fixed && __atomic_load_n(&spin->wait, __ATOMIC_RELAXED) > n->budget)
    n->budget = crowded ? 0 : PROCPOOL__SPIN_LEAST;
  if (n->budget <= (uint64_t)workers * PROCPOOL__SPIN_LOOK)
    n->budget = 0;
  n->looks = n->budget > 0 ? 0 : PROCPOOL__SPIN_LOOKS;
}

/* Whether to let others run after so many rows: the process that is waited for may need this very processor. If it does,
 * the first yield is what the wait takes, so it comes soon; if it does not, yields cost looks, so they get rare. */
static inline bool procpool__spin_yields(const procpool__spinning *n) {
  return n->crowded || (n->rows & (n->rows - 1)) == 0 || n->rows % PROCPOOL__SPIN_YIELD == 0;
}

/* Whether to look (again), for so long at most. The clock is read between rows of looks alone: that takes about as long
 * as one of them. */
static inline bool procpool__spin_on(procpool__spinning *n, uint64_t budget) {
  if (n->looks >= PROCPOOL__SPIN_LOOKS) {
    const uint64_t now = procpool__platform_now();
    n->start = n->start != 0 ? n->start : now;
    if (now - n->start >= budget || now >= n->deadline)
      return false;
    n->rows++;
    if (procpool__spin_yields(n))
      procpool__platform_yield();
    n->looks = 0;
  }
  if (n->looks > 0)
    procpool__platform_relax();
  n->looks += n->weight;
  return true;
}

/* How long a wait was. One that was very long shall be forgotten after two that were short. */
static void procpool__spin_end(procpool__spin *spin, const procpool__spinning *n) {
  const uint64_t ns = n->start != 0 ? procpool__platform_now() - n->start : 0;
  const uint64_t most = 4 * __atomic_load_n(&spin->most, __ATOMIC_RELAXED);
  const uint64_t wait = __atomic_load_n(&spin->wait, __ATOMIC_RELAXED);
  __atomic_store_n(&spin->wait, (wait + (ns < most ? ns : most)) / 2, __ATOMIC_RELAXED);
}

/* How long a wake took, if there was one: then the instant that the waker wrote down is not the one before the sleep.
 * What is longer than a millisecond was no wake, but a busy machine. */
static void procpool__spin_measure(procpool__spin *spin, const procpool__u64 *woken_ns, uint64_t before) {
  const uint64_t woken = procpool__load_relaxed(woken_ns);
  const uint64_t took = procpool__platform_now() - woken;
  const uint64_t wake = (7 * spin->wake + took) / 8;
  const uint64_t most = 4 * wake; /* there and back, and the calls */
  if (woken == before || spin->fixed || took > 1000000u)
    return;
  spin->wake = wake;
  __atomic_store_n(&spin->most, most < PROCPOOL__SPIN_MOST ? most : PROCPOOL__SPIN_MOST, __ATOMIC_RELAXED);
}

/* ---- copies into shared memory ---- The lines there are those that another processor read the last time. Where the two
 * share no cache, to take each back costs several times what the copy does, and stores past the caches are that much
 * faster; where they do, the reader loses a little by them. Which it is, changes as the kernel moves processes about. So
 * each process that copies measures both ways, and takes the second where it is clearly faster. (Two processors of an AMD
 * EPYC, 64 KiB there and back: 2 and 6 GB/s where they share none, 8 and 6 where they do.) Private to the process. */

#define PROCPOOL__COPY_LONG ((size_t)16384) /* bytes: for less the choice is not worth two looks at the clock */
#define PROCPOOL__COPY_TRIAL 32u            /* one in so many copies goes the other way, to see */

/* ns for a mebibyte by each way, averaged; 0: not tried. Relaxed atomics: threads may copy at the same time, and any
 * result will do. */
typedef struct procpool__copying {
  uint32_t plain, past;
  uint32_t count;
} procpool__copying;

static bool procpool__copy_way(procpool__copying *c) {
  const uint32_t plain = __atomic_load_n(&c->plain, __ATOMIC_RELAXED),
                 past = __atomic_load_n(&c->past, __ATOMIC_RELAXED);
  const uint32_t count = __atomic_load_n(&c->count, __ATOMIC_RELAXED);
  const bool better = plain / 2 > past;
  __atomic_store_n(&c->count, count + 1, __ATOMIC_RELAXED);
  return count % PROCPOOL__COPY_TRIAL == 1 ? !better : better;
}

/* Notes what a copy took by one of the ways. */
static void procpool__copy_note(uint32_t *way, uint64_t ns, size_t size) {
  const uint64_t took = (ns << 20) / size;
  const uint32_t now = took < UINT32_MAX / 4 ? (uint32_t)took : UINT32_MAX / 4;
  const uint32_t before = __atomic_load_n(way, __ATOMIC_RELAXED);
  __atomic_store_n(way, before == 0 ? now : (3 * before + now) / 4, __ATOMIC_RELAXED);
}

/* c may be null: what is copied is short. */
static void procpool__copy_over(procpool__copying *c, void *to, const void *from, size_t size) {
  uint64_t begin;
  bool past;
  if (size < PROCPOOL__COPY_LONG || c == NULL) {
    memcpy(to, from, size);
    return;
  }
  past = procpool__copy_way(c);
  begin = procpool__platform_now();
  if (!past || !procpool__platform_copy_past(to, from, size))
    memcpy(to, from, size);
  procpool__copy_note(past ? &c->past : &c->plain, procpool__platform_now() - begin, size);
}

/* ==== >>ring ========================================================================================================
 * Runs in:   the worker (write), the host (read); the supervisor, or the host without one, publishes for a worker that
 *            is gone, and the supervisor writes of one that ended in its finalizer.
 * Writes:    its worker's ring and tail.
 * Calls:     >>shm.
 * Always:    positions are absolute and never wrap: a record lies at position % size, begins at a multiple of 32,
 *            and counts only when its stamp is its position. */

enum { PROCPOOL__UNIT = 32 }; /* records begin and end at multiples of this: a head never wraps */

enum {
  PROCPOOL__RECORD_FRAGMENT = 1 << 24, /* a piece: 8 bytes of total size, then bytes that follow the earlier pieces' */
  PROCPOOL__RECORD_WRAPPED = 1 << 25, /* the bytes begin at the ring's start: built in place, they must be in one run */
  PROCPOOL__RECORD_NONE = 1 << 26,    /* the task gave no result at all (which is not a result of 0 bytes) */
  PROCPOOL__RECORD_PLACE = 1 << 27, /* the result lies in its place in the arena; the record's bytes are its size (8) */
  PROCPOOL__RECORD_SLOT = (1 << 24) - 1
};

typedef struct procpool__record {
  /* Written last: a record without it was never finished. Release for what it vouches for, and in the total order: a
   * host that goes to sleep looks for it, and a worker then at the host's flag */
  procpool__u64 position;
  procpool__u64 word; /* what the task's word is when this record counts */
  procpool__u64 size; /* bytes that follow */
  uint32_t slot;      /* and the flags above */
  uint32_t pid;
} procpool__record;
typedef char procpool__assert_record[sizeof(procpool__record) == PROCPOOL__UNIT ? 1 : -1];

/* What precedes the text of a FAILED or TRANSFER record's bytes. */
typedef struct procpool__failure {
  int32_t code;
  char message[PROCPOOL__MESSAGE];
} procpool__failure;

static unsigned char *procpool__ring_bytes(const procpool__segment *s, int worker) {
  return s->rings + (uint64_t)worker * s->ring_size;
}

/* Where in its ring a position lies: rings are powers of two. */
static uint64_t procpool__ring_place(const procpool__segment *s, uint64_t position) {
  return position & (s->ring_size - 1);
}

/* Bytes of ring that a record with size bytes at position takes. */
static uint64_t procpool__ring_length(const procpool__segment *s, uint64_t position, uint64_t size, uint32_t flags) {
  uint64_t length = sizeof(procpool__record) + procpool__round_up(size, PROCPOOL__UNIT);
  if (flags & PROCPOOL__RECORD_WRAPPED)
    length += s->ring_size - procpool__ring_place(s, position + sizeof(procpool__record));
  return length;
}

static void procpool__ring_copy_some(const procpool__segment *s, procpool__copying *copying, int worker,
                                     uint64_t position, const void *data, uint64_t size) {
  unsigned char *ring = procpool__ring_bytes(s, worker);
  const uint64_t at = procpool__ring_place(s, position);
  const uint64_t first = size < s->ring_size - at ? size : s->ring_size - at;
  PROCPOOL__STEP();
  procpool__copy_over(copying, ring + at, data, (size_t)first);
  PROCPOOL__STEP();
  procpool__copy_over(copying, ring, (const unsigned char *)data + first, (size_t)(size - first));
}

/* copying may be null, as in procpool__copy_over. Most records have no bytes, and their way is a fifteenth of the round
 * trip of an empty task longer where that is not seen here. */
static void procpool__ring_copy_in(const procpool__segment *s, procpool__copying *copying, int worker,
                                   uint64_t position, const void *data, uint64_t size) {
  if (size > 0)
    procpool__ring_copy_some(s, copying, worker, position, data, size);
}

static void procpool__ring_copy_out(const procpool__segment *s, int worker, uint64_t position, void *data,
                                    uint64_t size) {
  const unsigned char *ring = procpool__ring_bytes(s, worker);
  const uint64_t at = procpool__ring_place(s, position);
  const uint64_t first = size < s->ring_size - at ? size : s->ring_size - at;
  if (size == 0)
    return;
  memcpy(data, ring + at, (size_t)first);
  memcpy((unsigned char *)data + first, ring, (size_t)(size - first));
}

static procpool__record *procpool__ring_at(const procpool__segment *s, int worker, uint64_t position) {
  return (procpool__record *)(void *)(procpool__ring_bytes(s, worker) + procpool__ring_place(s, position));
}

/* Writes the head of a record whose bytes are in place; the stamp comes last, so that it vouches for all of them. */
static void procpool__ring_stamp(const procpool__segment *s, int worker, uint64_t position,
                                 const procpool__record *head) {
  procpool__record *r = procpool__ring_at(s, worker, position);
  procpool__store_relaxed(&r->word, head->word);
  procpool__store_relaxed(&r->size, head->size);
  procpool__store32_relaxed(&r->slot, head->slot);
  procpool__store32_relaxed(&r->pid, head->pid);
  procpool__store_before_cas(&r->position, position);
}

/* Reads a record's head once into *head: the stamp vouches for what is read behind it. Sequentially consistent, not
 * acquire, for a host that goes to sleep: either it sees the stamp, or the worker that wrote it sees the host's flag.
 * False when there is none at this position, or none that can be. */
static bool procpool__ring_read(const procpool__segment *s, int worker, uint64_t position, procpool__record *head) {
  const procpool__record *r = procpool__ring_at(s, worker, position);
  head->position = procpool__load(&r->position);
  head->word = procpool__load_relaxed(&r->word);
  head->size = procpool__load_relaxed(&r->size);
  head->slot = procpool__load32_relaxed(&r->slot);
  head->pid = procpool__load32_relaxed(&r->pid);
  return head->position == position && head->size <= s->ring_size - sizeof(*r) &&
         (head->slot & PROCPOOL__RECORD_SLOT) < s->capacity && procpool__word_worker(head->word) == worker;
}

/* Whether a record with this word is no mere piece. What is left of a finalizer that did not return is one, too. */
static bool procpool__ring_commits(uint64_t word) {
  const procpool__state state = procpool__word_state(word);
  return procpool__state_done(state) ||
         (procpool__word_ticket(word) == PROCPOOL__TICKET_FINALIZER && procpool__state_dead(state));
}

/* Publishes the record of a worker that committed and then died, was stopped, or is slow. Supervisor, or host when
 * there is none. Whichever is first, the value is the same. Returns whether there was one. A finalizer's has no task
 * whose word would say so: its stamp commits it. */
static bool procpool__ring_publish_for(const procpool__segment *s, int worker) {
  procpool__block *block = &s->blocks[worker];
  const uint64_t tail = procpool__load(&block->tail);
  procpool__record head;
  uint64_t word, length;
  if (tail % PROCPOOL__UNIT != 0 || !procpool__ring_read(s, worker, tail, &head) || !procpool__ring_commits(head.word))
    return false;
  word = head.word;
  if (procpool__word_ticket(word) != PROCPOOL__TICKET_FINALIZER)
    word = procpool__load(&s->slots[head.slot & PROCPOOL__RECORD_SLOT].word);
  /* a worker that lost its first commit writes the record anew: only now, with its word DONE, is it final */
  if (word != head.word || !procpool__ring_read(s, worker, tail, &head) || word != head.word)
    return false;
  length = procpool__ring_length(s, tail, head.size, head.slot);
  if (length > s->ring_size)
    return false;
  (void)procpool__cas(&block->tail, tail, tail + length);
  return true;
}

/* The same for a worker that is reaped: its successor begins behind all that it committed, be it more than one
 * record, which is more than there should be. */
static void procpool__ring_publish_rest(const procpool__segment *s, int worker) {
  uint64_t most = s->ring_size / PROCPOOL__UNIT;
  while (most > 0 && procpool__ring_publish_for(s, worker))
    most--;
}

/* ==== >>table =======================================================================================================
 * Runs in:   workers; the host where it passes dead cells; the process that reports a death.
 * Writes:    the hint (head), the list of the dead.
 * Calls:     >>shm.
 * Always:    tasks are claimed in the order of their cells; no position before the hint is READY. */

typedef enum procpool__peek { PROCPOOL__PEEK_EMPTY, PROCPOOL__PEEK_TASK, PROCPOOL__PEEK_BEHIND } procpool__peek;

/* What lies at position h: nothing yet, a task in *slot, or a later lap's cell (the hint is behind). */
static procpool__peek procpool__table_peek(const procpool__segment *s, uint64_t h, uint32_t *slot) {
  const uint64_t cell = procpool__load(&s->cells[h & (s->cell_count - 1)]);
  const uint64_t ahead = ((cell >> 24) - (h + 1)) & PROCPOOL__CELL_TICKET_MASK;
  *slot = (uint32_t)(cell & 0xffffff);
  if (ahead == 0 && *slot < s->capacity)
    return PROCPOOL__PEEK_TASK;
  return ahead != 0 && ahead < ((uint64_t)1 << (PROCPOOL__CELL_TICKET_BITS - 1)) ? PROCPOOL__PEEK_BEHIND
                                                                                 : PROCPOOL__PEEK_EMPTY;
}

/* Whether a task may be waiting: a worker looks once more after it said that it will sleep. */
static bool procpool__table_any(const procpool__segment *s) {
  uint32_t slot;
  return procpool__table_peek(s, procpool__load(&s->header->head), &slot) != PROCPOOL__PEEK_EMPTY;
}

/* Moves the hint past tasks that were cancelled or settled before a worker claimed them. Returns whether one waits
 * behind. */
static bool procpool__table_waiting(const procpool__segment *s) {
  for (uint64_t steps = 0; steps <= s->cell_count; steps++) { /* the hint may have been scribbled upon */
    const uint64_t h = procpool__load(&s->header->head);
    uint32_t slot;
    const procpool__peek peek = procpool__table_peek(s, h, &slot);
    if (peek == PROCPOOL__PEEK_EMPTY)
      return false;
    if (peek == PROCPOOL__PEEK_TASK &&
        procpool__load(&s->slots[slot].word) == procpool__word(h + 1, 0, PROCPOOL__READY))
      return true;
    (void)procpool__cas(&s->header->head, h, h + 1);
  }
  return false;
}

/* Puts a task whose exit record is written on the list that the host takes. */
static void procpool__table_push_dead(const procpool__segment *s, uint32_t slot, uint64_t rss_kib) {
  procpool__header *h = s->header;
  procpool__exit_record *e = procpool__slot_exit_record(&s->slots[slot]);
  uint64_t first;
  do { /* relaxed: the list's compare-and-swap publishes all of the exit record */
    first = procpool__load(&h->dead_list);
    procpool__store_relaxed(&e->rss_kib_next, (rss_kib << 24) | (first & 0xffffff));
  } while (!procpool__cas(&h->dead_list, first, (uint64_t)slot + 1));
}

/* ==== >>worker ======================================================================================================
 * Runs in:   a worker process, a worker thread of the host, or (inline) the host's calling thread.
 * Writes:    its own block, its own ring, words that it claimed, and the hint.
 * Calls:     >>shm, >>ring, >>table, >>habits.
 * Always:    it holds nothing that another process waits for, so it may be killed at any instruction. */

#define PROCPOOL__LENGTHY ((uint64_t)100000u) /* ns */
#define PROCPOOL__SECOND ((uint64_t)1000000000u)
/* Tasks in a row that are tidied after: when the worker has slept, and when it has but looked for a while. */
enum { PROCPOOL__ROW_TIDY = 16, PROCPOOL__ROW_AGAIN = 2 };
enum { PROCPOOL__CODE_CACHE = 64, PROCPOOL__SCRATCH_KEPT = 4 << 20 };

typedef struct procpool__worker procpool__worker;

struct procpool_task {
  procpool__worker *worker;
  procpool__slot *slot;
  uint64_t word; /* RUNNING, as it was claimed */
  uint32_t slot_index;
  bool given, in_ring, wrapped, failed, uncarried, unreachable;
  bool limited; /* it has a limit */
  bool late;    /* its deadline was over before it could begin */
  const unsigned char *argument;
  uint64_t argument_size;
  const unsigned char *result;
  uint64_t result_size;
  unsigned char *place; /* in the arena, where the result goes; null: into the ring */
  uint64_t capacity;
  struct procpool__chunk *chunk; /* a map's task: many items */
  uint64_t failures;             /* of its items; the last of them: */
  uint64_t noted;                /* its number plus 1 */
  procpool_status noted_as;
  uint64_t first;                  /* item of the row that runs; of the others see procpool__worker_row: */
  uint64_t look;                   /* rows until the next look at the clock */
  uint64_t looked_item, looked_ns; /* the last one */
  struct procpool__bundle *bundle; /* an imap's task: several items, and the item that runs: */
  unsigned char *answer;           /* where in the arena its answer goes, */
  uint64_t answer_room;            /* and how many bytes are left there; 0: it has a record, as a task of its own */
  bool in_bundle;                  /* its result was built there */
};

struct procpool__worker {
  const procpool__segment *segment;
  procpool__block *block;
  int index;
  int event_fd;
  procpool__pid pid;
  bool process;    /* a process of its own, not a thread of the host */
  uint32_t *guard; /* tells this process from a child of its own; null: there is none */
  uint64_t tail;   /* end of its last record: its own truth */
  uint64_t consumed;
  uint64_t dropped;      /* what its block says */
  uint64_t next;         /* the position where it looks for a task */
  uint64_t seen, hinted; /* no task from seen to next is READY; where it last set or met the hint */
  uint64_t notified;     /* number of the host's sleep that it has ended already */
  uint64_t tasks;
  void (*make_room)(void *context); /* inline only: no other thread would empty the ring */
  void *make_room_context;
  unsigned char *scratch;              /* results that do not fit the ring at once */
  uint64_t scratch_size, scratch_used; /* used: by the last task */
  procpool__spin spin;
  procpool__copying copying;
  bool came;                /* it was called, and calls the next one when it has a task */
  procpool__pid parent;     /* its supervisor; a process only */
  int lifeline;             /* a process only: its own descriptor of the lifeline, or -1, */
  uint64_t lifeline_number; /* and which pipe that is */
  uint64_t event_number;    /* a process only: which pipe event_fd is. Its end also tells of the end of this process */
  procpool__platform_habits habits;
  uint64_t tidied;            /* the tasks that it had run when it last put back what they had left behind */
  void *exit_list;            /* the host's, see procpool__platform_begin_exit */
  bool given_up;              /* its task's result will not be taken */
  bool revoked;               /* its last task was taken from it: it is to end, and not in order */
  bool leaves;                /* it has begun to leave */
  bool lengthy;               /* its task took so long that a few system calls after it do not matter */
  uint64_t row;               /* tasks since it last had nothing to do */
  uint64_t tick;              /* procpool__platform_tick after the last of them that it looked at */
  uint64_t opened;            /* how far into the segment this process may reach */
  uint64_t row_function;      /* of the map that it ran items of last, */
  uint64_t row_items, row_ns; /* how many a row had there, and what it cost to begin one, averaged */
  uint64_t known_code[PROCPOOL__CODE_CACHE];
  procpool_task task;
  procpool__failure failure;       /* of its task; before the first one, of its initializer */
  procpool__failure *long_failure; /* the same with a message that is longer than that; or null */
  uint64_t long_size;              /* its bytes */
};

/* A map's task, in the arena. The host writes it all before READY; the worker writes begun, failed and what they speak
 * of; the host reads that after the word says DONE, after the worker was reaped, or, of items that ended before the one
 * that begun names, while the worker goes on. Items that ended before a crash keep their results, the one that was
 * begun crashed, and the rest are handed out again: no body starts twice. Arguments and results lie behind the chunk,
 * or in shared buffers. */
typedef struct procpool__chunk {
  procpool__u64 count, argument_size, result_size;
  procpool__u64 argument_step, result_step; /* from one item to the next: the size, or more, so that each is aligned */
  procpool__u64 one_by_one;                 /* 1: the function takes an item; 0: the typed layer loops itself */
  procpool__u64 index;                      /* of the first item, in its map */
  procpool__u64 row_most;                   /* items of a row, at most, but one: see >>worker, rows */
  procpool__u64 arguments, results, failures; /* offsets in the arena; failures: the marks, */
  procpool__u64 records;   /* and a procpool__failure for each item; 0: only the first failure is told */
  procpool__u64 stop;      /* host and worker, by CAS: a procpool__bounds; host: 0 when no further item shall begin */
  procpool__u64 begun;     /* worker, with release: items whose body began; count + 1: all have ended */
  procpool__u64 failed;    /* worker, with release: how many items have a mark */
  procpool__u64 took;      /* worker: ns that all items took together */
  procpool__failure first; /* worker: of the first failure, where there are no records */
} procpool__chunk;

/* Of the chunk's items, those before row may begin (the worker raises it, item by item or more at once), those from end
 * on are not the task's any more (the host lowers it). One word, changed by compare-and-swap: row is never above end,
 * so an item that was given to another worker cannot begin here. The loop over the items reads it relaxed, and compares
 * with the lower half. */
static inline uint64_t procpool__bounds(uint64_t row, uint64_t end) {
  return end << 32 | row;
}
static inline uint64_t procpool__bounds_row(uint64_t span) {
  return span & UINT32_MAX;
}
static inline uint64_t procpool__bounds_end(uint64_t span) {
  return span >> 32;
}

/* Several items of an imap that are one task, in the arena. The host writes it all before READY, but for begun, which
 * is the worker's. The task's outcome, with its record or its exit record, is that of the item that was begun last:
 * each one before it has left its answer here, and those behind it were not begun and are handed out again. So the last
 * item needs no answer here, nor does one whose result finds no room: the task ends with it. */
typedef struct procpool__bundle {
  procpool__u64 count, argument_size, argument_step;
  procpool__u64 arguments, answers, answers_size; /* offsets in the arena; bytes */
  procpool__u64 index;                            /* of the first item, in its imap */
  procpool__u64 begun; /* worker, with release: items whose body began. The answers of all before that one are there */
} procpool__bundle;

/* What an item came to, before its bytes. One lies behind the other, each aligned as a result is. */
typedef struct procpool__answer {
  procpool__u64 size;
  procpool__u64 kind;
} procpool__answer;
enum {
  PROCPOOL__ANSWER_RESULT,
  PROCPOOL__ANSWER_NONE,   /* it gave no result at all */
  PROCPOOL__ANSWER_FAILURE /* a procpool__failure */
};

/* Whose tasks this thread runs, if it is a worker's; null: none. For the calls that take no task. Inline: only while
 * the caller is the worker. */
static __thread procpool__worker *procpool__thread_worker;

static uint64_t procpool__answer_length(uint64_t size) {
  return procpool__round_up(sizeof(procpool__answer) + size, PROCPOOL__ALIGNMENT);
}

/* What became of each item, by two bits: 0 OK, 1 FAILED, 2 TRANSFER. They are not cleared before the first failure. */
static uint64_t procpool__chunk_marks_size(uint64_t count) {
  return (count + 3) / 4;
}
static unsigned procpool__chunk_mark(const unsigned char *marks, uint64_t item) {
  return (unsigned)__atomic_load_n(&marks[item / 4], __ATOMIC_RELAXED) >> (item % 4 * 2) & 3u;
}
static void procpool__chunk_set_mark(unsigned char *marks, uint64_t item, procpool_status status) {
  const unsigned shift = (unsigned)(item % 4 * 2);
  const unsigned mark = status == PROCPOOL_OK ? 0 : status == PROCPOOL_FAILED ? 1 : 2;
  __atomic_store_n(&marks[item / 4], (unsigned char)((marks[item / 4] & ~(3u << shift)) | mark << shift),
                   __ATOMIC_RELAXED);
}

/* Makes the host's descriptor readable. A task may have closed it, and opened a file under its number: then the
 * supervisor does it, whose SIGCHLD is what it wakes for. */
static void procpool__worker_set_event(const procpool__worker *w) {
  if (!w->process || procpool__platform_pipe_number(w->event_fd) == w->event_number) {
    procpool__platform_event_set(w->event_fd);
    return;
  }
  procpool__store32(&w->segment->header->lost_bell, 1);
  procpool__platform_nudge_parent(w->parent);
}

/* Ends a sleep of the host, if it sleeps and this worker has not yet ended that one. The flag stays for the others: a
 * wake token held by a process that is then stopped would be lost. */
static void procpool__worker_notify_host(procpool__worker *w, uint64_t why) {
  const procpool__segment *s = w->segment;
  const uint64_t flag = procpool__load(&s->header->host_flag);
  if ((flag & why) == 0 || flag >> PROCPOOL__FLAG_BITS == w->notified)
    return;
  w->notified = flag >> PROCPOOL__FLAG_BITS;
  procpool__add32(&s->header->host_seq, 1);
  if (flag & (PROCPOOL__FLAG_PARKED | PROCPOOL__FLAG_CLAIM)) {
    procpool__store_relaxed(&s->header->host_woken_ns, procpool__platform_now());
    procpool__platform_wake(&s->header->host_seq, INT_MAX);
  }
  if (flag & PROCPOOL__FLAG_FD)
    procpool__worker_set_event(w);
}

/* After a claim: the host may sleep until this task, or one before it, is claimed. The flag is read first: it vouches
 * for wake_at. */
static void procpool__worker_notify_claim(procpool__worker *w) {
  const procpool__header *h = w->segment->header;
  const uint64_t flag = procpool__load(&h->host_flag);
  if ((flag & PROCPOOL__FLAG_CLAIM) && w->next > procpool__load_relaxed(&h->wake_at))
    procpool__worker_notify_host(w, PROCPOOL__FLAG_CLAIM);
}

static uint32_t procpool__worker_phase(const procpool__worker *w) {
  return procpool__load32(&w->segment->header->phase);
}

/* ---- room in the ring ---- */

/* Whether a worker that only looks keeps others from work. */
static bool procpool__worker_crowded(const procpool__worker *w) {
  return procpool__shm_crowded(w->segment);
}

static bool procpool__worker_fits(procpool__worker *w, uint64_t length) {
  if (w->tail + length - w->consumed <= w->segment->ring_size)
    return true;
  w->consumed = procpool__load(&w->block->consumed);
  return w->tail + length - w->consumed <= w->segment->ring_size;
}

/* Whether length bytes get free within the time that a look for work may take: the host may be emptying the ring. */
static bool procpool__worker_spin_for_room(procpool__worker *w, uint64_t length) {
  procpool__spinning n;
  procpool__spin_begin(&n, &w->spin, 1, procpool__worker_crowded(w), PROCPOOL__NEVER);
  while (procpool__spin_on(&n, n.budget))
    if (procpool__worker_fits(w, length))
      return true;
  return false;
}

/* Waits until length bytes are free. False when the pool is being killed (a thread must find its way out by itself), or
 * when the result is given up meanwhile (w->given_up): the host may then do something else, and never make room. What
 * has gone in pieces by then is of no use, and does no harm: the host takes pieces of settled tasks, and drops them. */
static bool procpool__worker_wait_room(procpool__worker *w, uint64_t length) {
  while (!procpool__worker_fits(w, length)) {
    uint32_t seq;
    if (w->given_up || (!w->process && procpool__worker_phase(w) == PROCPOOL__PHASE_KILL))
      return false; /* a process waits to be killed: did it leave by itself, its task would seem to have crashed */
    if (w->make_room != NULL) {
      w->make_room(w->make_room_context);
      continue;
    }
    if (procpool__worker_spin_for_room(w, length))
      break;
    seq = procpool__load32(&w->block->room_seq);
    procpool__store32(&w->block->room_flag, 1);
    procpool__worker_notify_host(w, PROCPOOL__FLAG_CLAIM); /* in a lazy sleep: this is more than may wait */
    w->given_up = (procpool__load32(&w->task.slot->flags) & PROCPOOL__SLOT_DISCARD) != 0;
    if (!w->given_up && !procpool__worker_fits(w, length) &&
        (w->process || procpool__worker_phase(w) != PROCPOOL__PHASE_KILL))
      procpool__platform_park(&w->block->room_seq, seq, PROCPOOL__NEVER);
    procpool__store32(&w->block->room_flag, 0);
  }
  return true;
}

/* Zero in a child of this worker. Where the kernel cannot wipe it, it never is. */
static const uint32_t *procpool__worker_guard(const procpool__worker *w) {
  static const uint32_t never = 1;
  return w->guard != NULL ? w->guard : &never;
}

/* A child that a task made, by whatever means, has come back from the task's function (or its item) as its parent does,
 * and is no worker: it ends, silently, before it touches anything that is shared. */
static void procpool__worker_end_copy(const procpool__worker *w) {
  if (w->guard != NULL && !procpool__platform_guard_ok(w->guard))
    procpool__platform_leave(0);
}

/* ---- records ---- */

static procpool__record procpool__worker_record(const procpool__worker *w, procpool__state state, uint64_t size,
                                                uint32_t flags) {
  procpool__record head;
  head.position = w->tail;
  head.word = procpool__word_in(w->task.word, state);
  head.size = size;
  head.slot = w->task.slot_index | flags;
  head.pid = (uint32_t)w->pid;
  return head;
}

/* Makes the record at the tail count, and passes it. Another process may have been faster, with the same value; no
 * other one can be there, since the next record is this worker's own. Release is enough for a committed record: its
 * stamp and the commit come before the look at the host's flag in the total order, and a host that sets its flag then
 * looks for committed records, not at tails alone. A piece has no commit, hence the exchange. */
static void procpool__worker_publish(procpool__worker *w, const procpool__record *head, bool committed) {
  const uint64_t length = procpool__ring_length(w->segment, w->tail, head->size, head->slot);
  if (committed)
    procpool__store_release(&w->block->tail, w->tail + length);
  else
    (void)procpool__exchange(&w->block->tail, w->tail + length);
  w->tail += length;
  procpool__worker_notify_host(w, PROCPOOL__FLAG_PARKED | PROCPOOL__FLAG_FD);
  procpool__platform_prefetch_write(procpool__ring_at(w->segment, w->index, w->tail)); /* the host read it a lap ago */
}

/* What the task's word becomes, *word, where the supervisor has asked the task to end, and no more: it has returned.
 * Else 0: it was revoked. */
static uint64_t procpool__worker_stopped(const procpool__worker *w, uint64_t *word) {
  procpool__state state;
  *word = procpool__load(&w->task.slot->word);
  state = procpool__word_state(*word);
  if (procpool__word_in(*word, PROCPOOL__RUNNING) != w->task.word || !procpool__state_asked(state))
    return 0;
  return procpool__word_in(*word, procpool__state_after(state, PROCPOOL__DONE_TIMEOUT));
}

/* The first commit has failed. If the task was only asked to end, it has: that is committed, without a result, and this
 * worker goes on. False if the task was revoked. A larger record had room here, so this one has. */
static bool procpool__worker_commit_stopped(procpool__worker *w) {
  uint64_t word;
  const uint64_t done = procpool__worker_stopped(w, &word);
  const procpool__record head = procpool__worker_record(w, procpool__word_state(done), 0, PROCPOOL__RECORD_NONE);
  if (done == 0)
    return false;
  procpool__ring_stamp(w->segment, w->index, w->tail, &head);
  if (!procpool__cas(&w->task.slot->word, word, head.word))
    return false;
  procpool__worker_publish(w, &head, true);
  return true;
}

/* The commit. From here on the task is done whatever becomes of this worker, and its slot and argument are the host's.
 * False if the task was revoked: this worker is to end. */
static bool procpool__worker_commit(procpool__worker *w, const procpool__record *head) {
  procpool__ring_stamp(w->segment, w->index, w->tail, head);
  if (!procpool__cas(&w->task.slot->word, w->task.word, head->word))
    return procpool__worker_commit_stopped(w);
  procpool__worker_publish(w, head, true);
  return true;
}

/* The same without a record, where the result was given up. The host learns of it by the count; should this worker die
 * before that, by its audit. The exchange comes before the look at the host's flag, which a host that sets it follows
 * with a look at the count. */
static bool procpool__worker_drop(procpool__worker *w) {
  const procpool__state state = w->task.late ? PROCPOOL__DONE_TIMEOUT : PROCPOOL__DONE_OK;
  if (!procpool__cas(&w->task.slot->word, w->task.word, procpool__word_in(w->task.word, state))) {
    uint64_t word;
    const uint64_t done = procpool__worker_stopped(w, &word);
    if (done == 0 || !procpool__cas(&w->task.slot->word, word, done))
      return false;
  }
  (void)procpool__exchange(&w->block->dropped, ++w->dropped);
  procpool__worker_notify_host(w, PROCPOOL__FLAG_PARKED | PROCPOOL__FLAG_FD);
  return true;
}

/* Waits for room for the record, and puts its bytes behind where its head will be: before those of a piece the size of
 * the whole. */
static bool procpool__worker_put(procpool__worker *w, const procpool__record *head, const unsigned char *data,
                                 uint64_t whole) {
  const uint64_t prefix = (head->slot & PROCPOOL__RECORD_FRAGMENT) ? sizeof(whole) : 0;
  const uint64_t at = w->tail + sizeof(*head);
  if (!procpool__worker_wait_room(w, procpool__ring_length(w->segment, w->tail, head->size, 0)))
    return false;
  procpool__ring_copy_in(w->segment, &w->copying, w->index, at, &whole, prefix);
  procpool__ring_copy_in(w->segment, &w->copying, w->index, at + prefix, data, head->size - prefix);
  return true;
}

/* Commits a result that is not in the ring yet. A large one goes in pieces, each as soon as there is room: the last of
 * them commits. */
static bool procpool__worker_send(procpool__worker *w, procpool__state state, const void *data, uint64_t size,
                                  uint32_t flags) {
  const unsigned char *rest = (const unsigned char *)data;
  uint64_t left = size, prefix = 0;
  procpool__record head;
  if (size > w->segment->ring_size / 2) {
    const uint64_t piece = w->segment->ring_size / 4;
    flags |= PROCPOOL__RECORD_FRAGMENT;
    prefix = sizeof(size);
    for (; left > piece; left -= piece, rest += piece) {
      head = procpool__worker_record(w, PROCPOOL__RUNNING, prefix + piece, PROCPOOL__RECORD_FRAGMENT);
      if (!procpool__worker_put(w, &head, rest, size))
        return false;
      procpool__ring_stamp(w->segment, w->index, w->tail, &head);
      procpool__worker_publish(w, &head, false);
    }
  }
  head = procpool__worker_record(w, state, prefix + left, flags);
  return procpool__worker_put(w, &head, rest, size) && procpool__worker_commit(w, &head);
}

/* A result that is not wanted needs no record when the pool drains, since the host may never look into the ring again;
 * nor where there is no room for one: a host that has handed out tasks, and then does something else, would stop its
 * workers so. Where there is room a record costs the host less than to look for what was dropped. The flag is a hint: a
 * record is always right. */
static bool procpool__worker_unwanted(procpool__worker *w) {
  const procpool_task *t = &w->task;
  const bool fails = t->failed || t->uncarried;
  const uint64_t size = !fails ? t->result_size : w->long_failure != NULL ? w->long_size : sizeof(w->failure);
  if ((procpool__load32_relaxed(&t->slot->flags) & PROCPOOL__SLOT_DISCARD) == 0 || w->make_room != NULL)
    return false; /* inline: the host takes each record at once, and need not look for what was dropped */
  if (procpool__worker_phase(w) == PROCPOOL__PHASE_DRAIN)
    return true;
  return !t->in_ring && (size > w->segment->ring_size / 2 ||
                         !procpool__worker_fits(w, procpool__ring_length(w->segment, w->tail, size, 0)));
}

/* ---- running a task ---- */

static bool procpool__worker_is_known(const procpool__platform_code *code, const char *path, void *context) {
  (void)path;
  const uint64_t function = *(const uint64_t *)context;
  return function >= code->start && function < code->end;
}

/* Whether the function lies in code that this process has: one that the host loaded after it opened the pool does not,
 * and calling it would be a fault where an error is due. */
static bool procpool__worker_has_code(procpool__worker *w, uint64_t function) {
  uint64_t *known = &w->known_code[(function >> 4) % PROCPOOL__CODE_CACHE];
  if (!w->process || *known == function)
    return true;
  if (procpool__platform_each_code(procpool__worker_is_known, &function) == 0)
    return false;
  *known = function;
  return true;
}

static void procpool__worker_forget_failure(procpool__worker *w) {
  procpool__aligned_free(w->long_failure);
  w->long_failure = NULL;
}

/* A message of any length is kept whole where its record can have it: not in a chunk, nor beside the place of a result.
 * Without memory for that it is cut. */
static void procpool__worker_describe(procpool__worker *w, int code, const char *message) {
  const uint64_t length = strlen(message);
  procpool__worker_forget_failure(w);
  w->failure.code = code;
  (void)snprintf(w->failure.message, sizeof(w->failure.message), "%s", message);
  if (length < sizeof(w->failure.message) || w->task.chunk != NULL || w->task.place != NULL)
    return;
  w->long_size = offsetof(procpool__failure, message) + length + 1;
  w->long_failure = (procpool__failure *)procpool__aligned_new(w->long_size);
  if (w->long_failure == NULL)
    return;
  w->long_failure->code = code;
  memcpy((unsigned char *)w->long_failure + offsetof(procpool__failure, message), message, (size_t)length + 1);
}

/* The arena grows while this process lives: it opens what lies before end. False when it cannot. */
static bool procpool__worker_open(procpool__worker *w, uint64_t end) {
  const procpool__segment *s = w->segment;
  if (end > w->opened && end <= s->total && procpool__platform_shm_open(s->base, end))
    w->opened = end;
  return end <= w->opened;
}

/* A block of the arena, opened up to the end of its extent. Null when that cannot be. */
static unsigned char *procpool__worker_reach(procpool__worker *w, uint64_t offset, uint64_t size) {
  const procpool__segment *s = w->segment;
  const uint64_t end = s->arena_at + procpool__round_up(offset + size, PROCPOOL__EXTENT);
  return procpool__worker_open(w, end) ? s->arena + offset : NULL;
}

/* Where the task's argument lies, and the place for its result, if it has one. Whatever else the task has pointers to
 * is opened too. */
static void procpool__worker_locate(procpool__worker *w, uint32_t flags) {
  procpool_task *t = &w->task;
  const procpool__segment *s = w->segment;
  const procpool__place *place = &t->slot->argument.place;
  const bool placed = (flags & PROCPOOL__SLOT_PLACE) != 0;
  const uint64_t size = t->slot->size;
  const bool far = (size & PROCPOOL__SIZE_FAR) != 0;
  t->argument_size = far ? size & ~PROCPOOL__SIZE_FAR : size & ((1u << PROCPOOL__SIZE_BITS) - 1);
  t->argument = t->slot->argument.bytes;
  t->place = NULL;
  t->unreachable = !procpool__worker_open(w, s->arena_at + procpool__shm_arena_top(s));
  if (far)
    t->argument = procpool__worker_reach(w, t->slot->argument.offset, t->argument_size);
  if (placed) {
    t->capacity = place->capacity;
    t->place = procpool__worker_reach(w, place->offset, t->capacity);
  }
  t->unreachable = t->unreachable || t->argument == NULL || (placed && t->place == NULL);
  if (flags & PROCPOOL__SLOT_NO_ARGUMENT)
    t->argument = NULL;
}

/* Nothing is answered yet. */
static void procpool__worker_begin_answer(procpool_task *t) {
  t->given = t->in_ring = t->in_bundle = t->wrapped = t->failed = t->uncarried = false;
  t->result_size = 0;
}

/* Reads what the host wrote before the word was READY: the claim's compare-and-swap has acquired it all, so relaxed
 * loads do. */
static void procpool__worker_prepare(procpool__worker *w, uint32_t slot_index, uint64_t word) {
  procpool_task *t = &w->task;
  const uint32_t flags = procpool__load32_relaxed(&w->segment->slots[slot_index].flags);
  t->worker = w;
  t->slot = &w->segment->slots[slot_index];
  t->word = word;
  t->slot_index = slot_index;
  procpool__worker_begin_answer(t);
  t->answer_room = 0;
  t->failures = t->noted = 0;
  PROCPOOL__STEP();
  procpool__worker_locate(w, flags);
  t->chunk = NULL;
  t->bundle = NULL;
  if ((flags & PROCPOOL__SLOT_CHUNK) && !t->unreachable)
    t->chunk = (procpool__chunk *)(void *)(w->segment->arena + t->slot->argument.offset);
  if ((flags & PROCPOOL__SLOT_BUNDLE) && !t->unreachable)
    t->bundle = (procpool__bundle *)(void *)(w->segment->arena + t->slot->argument.offset);
  t->limited = procpool__load32_relaxed(&t->slot->limit) != 0;
  t->late = (flags & PROCPOOL__SLOT_DATED) != 0 &&
            procpool__platform_now() >= procpool__load_relaxed(&w->segment->deadlines[slot_index]);
}

static unsigned char *procpool__worker_arena(const procpool_task *t, uint64_t offset) {
  return t->worker->segment->arena + offset;
}

/* The item of a chunk that was begun last. */
static uint64_t procpool__worker_item(const procpool_task *t) {
  return procpool__load_relaxed(&t->chunk->begun) - 1;
}

/* Writes down that the item that runs has failed. At once: there is nothing to look for when it returns. Should it die
 * yet, it is the one that crashed, whatever stands there. */
static void procpool__worker_note(procpool_task *t, procpool_status status) {
  procpool__chunk *chunk = t->chunk;
  unsigned char *marks = procpool__worker_arena(t, chunk->failures);
  const uint64_t item = procpool__worker_item(t);
  procpool__worker_end_copy(t->worker);
  if (t->failures == 0)
    memset(marks, 0, (size_t)procpool__chunk_marks_size(chunk->count));
  if (t->noted != item + 1)
    t->failures++;
  else if (t->noted_as == PROCPOOL_FAILED)
    status = PROCPOOL_FAILED;
  t->noted = item + 1;
  t->noted_as = status;
  procpool__chunk_set_mark(marks, item, status);
  if (chunk->records != 0)
    memcpy(procpool__worker_arena(t, chunk->records + item * sizeof(procpool__failure)), &t->worker->failure,
           sizeof(procpool__failure));
  else if (t->failures == 1)
    chunk->first = t->worker->failure;
  procpool__store_release(&chunk->failed, t->failures); /* the host may look while this goes on */
}

/* Its result was too large, and another one replaces it: nothing was. (What it reported itself stays.) */
static void procpool__worker_note_replaced(procpool_task *t) {
  procpool__chunk *chunk = t->chunk;
  if (t->noted != procpool__worker_item(t) + 1 || t->noted_as != PROCPOOL_TRANSFER)
    return;
  procpool__chunk_set_mark(procpool__worker_arena(t, chunk->failures), procpool__worker_item(t), PROCPOOL_OK);
  t->noted = 0;
  procpool__store_release(&chunk->failed, --t->failures);
}

/* Calls the user. Compiled as C++, what the task throws makes it FAILED, as in the typed layer. */
static void procpool__worker_enter(procpool_function function, procpool_task *t) {
  PROCPOOL__TRY {
    function(t);
  }
  PROCPOOL__CATCH(t)
}

/* The items of a row of a map whose function takes one item at a time. */
static void procpool__worker_run_items(procpool_task *t, procpool_function function) {
  procpool__chunk *chunk = t->chunk;
  for (size_t i = (size_t)t->first; procpool__task_item(t, i); i++) {
    t->given = false;
    t->argument = procpool__worker_arena(t, chunk->arguments + i * chunk->argument_step);
    t->argument_size = chunk->argument_size;
    procpool__worker_enter(function, t);
    procpool__worker_end_copy(t->worker);
    if (!t->given) /* the block was used before: what is not written would be another task's bytes */
      memset(procpool__worker_arena(t, chunk->results + i * chunk->result_step), 0, (size_t)chunk->result_size);
  }
}

/* ---- rows ---- The items of a chunk are run in rows. To begin one costs a compare-and-swap and a call; within it the
 * loop goes on without. What lies behind the row the host may give to another worker at any time; what is in it is this
 * worker's. So a row is short: about as long as ROW_NS if its items take as long as those before, and one item where
 * these take as long as that. But the compare-and-swap waits until the results before it are stored, and where they are
 * many and small that takes a microsecond: so a row is also long enough that this does not count. A map of the same
 * function begins with rows such as the last one's. These may have been much quicker items: so the host bounds them by a
 * worker's share of the map. */
#define PROCPOOL__ROW_NS ((uint64_t)4000)
enum {
  PROCPOOL__ROW_COSTS = 32, /* times what it costs to begin a row */
  PROCPOOL__ROW_LOOK = 4,   /* so many rows from one look at the clock to the next */
  PROCPOOL__ROW_GROWS = 8   /* so many times as long as the last one, at most */
};

/* How many items a row may have, where so many took so long. */
static uint64_t procpool__worker_row_of(const procpool__worker *w, uint64_t items, uint64_t took) {
  const uint64_t costs = w->row_ns * PROCPOOL__ROW_COSTS, ns = costs > PROCPOOL__ROW_NS ? costs : PROCPOOL__ROW_NS;
  return took > 0 ? items * ns / took : UINT64_MAX;
}

/* How many items a row shall have that begins with this one, now. */
static void procpool__worker_row_size(procpool_task *t, uint64_t item, uint64_t now) {
  procpool__worker *w = t->worker;
  const uint64_t most = w->row_items * PROCPOOL__ROW_GROWS;
  uint64_t row = procpool__worker_row_of(w, item - t->looked_item, now - t->looked_ns);
  row = row < most ? row : most;
  t->look = row > w->row_items ? 1 : PROCPOOL__ROW_LOOK;
  t->looked_item = item;
  t->looked_ns = now;
  w->row_items = row > 0 ? row : 1;
}

/* Takes the next row, with this item, from what the host may take back. False if the task is to end. The row before it
 * has left in begun that this item begins, which it does not yet: should the task's time be over now, the one that ran
 * too long is the one before. (Not where that row broke off: then begun says so already.) */
static bool procpool__worker_take_row(procpool_task *t, uint64_t item) {
  const uint64_t items = t->worker->row_items, most = procpool__load_relaxed(&t->chunk->row_most);
  const uint64_t row = items < most ? items : most > 0 ? most : 1;
  uint64_t span, end;
  do {
    span = procpool__load(&t->chunk->stop);
    end = procpool__bounds_end(span);
    if (item >= end)
      return false;
    if (t->limited && procpool__load_relaxed(&t->slot->word) != t->word) {
      if (item == procpool__bounds_row(span))
        procpool__store_release(&t->chunk->begun, item);
      return false;
    }
  } while (!procpool__cas(&t->chunk->stop, span, procpool__bounds(end - item < row ? end : item + row, end)));
  if (t->limited)
    procpool__store_release(&t->chunk->begun, item);
  t->first = item;
  return true;
}

/* The same, and looks at the clock now and then: how long the rows are, and what it costs to begin one. */
static bool procpool__worker_row(procpool_task *t, uint64_t item) {
  procpool__worker *w = t->worker;
  uint64_t now, took;
  bool any;
  if (--t->look > 0)
    return procpool__worker_take_row(t, item);
  now = procpool__platform_now();
  procpool__worker_row_size(t, item, now);
  any = procpool__worker_take_row(t, item);
  took = procpool__platform_now() - now;
  w->row_ns = (3 * w->row_ns + (took < PROCPOOL__ROW_NS ? took : PROCPOOL__ROW_NS)) / 4; /* else it did not run */
  return any;
}

/* All rows of a chunk. */
static void procpool__worker_run_rows(procpool_task *t, procpool_function function, uint64_t now) {
  procpool__worker *w = t->worker;
  if (w->row_function != t->slot->function)
    w->row_items = 1;
  w->row_function = t->slot->function;
  t->looked_item = 0;
  t->looked_ns = now;
  t->look = w->row_items > 1 ? PROCPOOL__ROW_LOOK + 1 : 2;
  for (uint64_t item = 0; procpool__worker_row(t, item); item = procpool__worker_item(t)) {
    if (t->chunk->one_by_one)
      procpool__worker_run_items(t, function);
    else
      procpool__worker_enter(function, t);
    procpool__worker_end_copy(w);
  }
}

/* A chunk, whose results lie in the arena: its record is empty. */
static void procpool__worker_run_chunk(procpool_task *t, procpool_function function) {
  const uint64_t start = procpool__platform_now();
  uint64_t took, row;
  procpool__worker_run_rows(t, function, start);
  took = procpool__platform_now() - start;
  row = procpool__worker_row_of(t->worker, procpool__worker_item(t) + 1, took);
  if (row < t->worker->row_items) /* a chunk of few rows has not looked at the clock */
    t->worker->row_items = row > 0 ? row : 1;
  procpool__store_relaxed(&t->chunk->took, took);
  t->worker->lengthy = took > PROCPOOL__LENGTHY;
  t->given = t->in_ring = false;
  t->result_size = 0;
}

/* ---- items of an imap that are handed out together ---- */

/* Leaves the item's answer in the bundle. False where it has no room there, or is none that goes there. */
static bool procpool__worker_leave_answer(procpool_task *t) {
  procpool__answer *answer = (procpool__answer *)(void *)t->answer;
  uint64_t size = t->result_size, length;
  if (t->failed && t->worker->long_failure != NULL)
    return false; /* the task ends with it: its record has room for all of the message */
  if (t->failed)
    size = offsetof(procpool__failure, message) + strlen(t->worker->failure.message) + 1;
  else if (t->uncarried || (t->given && !t->in_bundle))
    return false;
  length = procpool__answer_length(size);
  if (length > t->answer_room)
    return false;
  if (t->failed)
    memcpy(t->answer + sizeof(*answer), &t->worker->failure, (size_t)size);
  answer->size = size;
  answer->kind = t->failed ? PROCPOOL__ANSWER_FAILURE : t->given ? PROCPOOL__ANSWER_RESULT : PROCPOOL__ANSWER_NONE;
  t->answer += length;
  t->answer_room -= length;
  return true;
}

/* Whether the items behind this one are still wanted, and this one was not asked to end. */
static bool procpool__worker_goes_on(const procpool_task *t) {
  return procpool__load_relaxed(&t->slot->word) == t->word &&
         (procpool__load32_relaxed(&t->slot->flags) & PROCPOOL__SLOT_DISCARD) == 0 &&
         procpool__worker_phase(t->worker) != PROCPOOL__PHASE_KILL;
}

/* One item after the other, until one of them ends the task. */
static void procpool__worker_run_bundle(procpool_task *t, procpool_function function) {
  procpool__bundle *bundle = t->bundle;
  const uint64_t count = bundle->count, step = bundle->argument_step;
  uint64_t item = 0;
  t->argument = procpool__worker_arena(t, bundle->arguments);
  t->argument_size = bundle->argument_size;
  t->answer = procpool__worker_arena(t, bundle->answers);
  t->answer_room = bundle->answers_size;
  for (;;) {
    t->answer_room = item + 1 < count ? t->answer_room : 0;
    procpool__store_release(&bundle->begun, ++item);
    procpool__worker_enter(function, t);
    procpool__worker_end_copy(t->worker);
    if (item >= count || !procpool__worker_goes_on(t) || !procpool__worker_leave_answer(t))
      return;
    procpool__worker_begin_answer(t);
    t->argument += step;
  }
}

/* Calls the task's function; or says why it cannot be called here. */
static void procpool__worker_call(procpool__worker *w) {
  procpool_task *t = &w->task;
  const uint64_t address = t->slot->function;
  PROCPOOL__STEP();
  if (!t->unreachable && procpool__worker_has_code(w, address)) {
    if (t->chunk != NULL)
      procpool__worker_run_chunk(t, procpool__function_of(address));
    else if (t->bundle != NULL)
      procpool__worker_run_bundle(t, procpool__function_of(address));
    else
      procpool__worker_enter(procpool__function_of(address), t);
    return;
  }
  procpool__worker_describe(w, 0, "the worker has no memory to reach the argument");
  if (!t->unreachable)
    (void)snprintf(w->failure.message, sizeof(w->failure.message),
                   "function %#llx is not in this worker: was it loaded after the pool was opened?",
                   (unsigned long long)address);
  t->uncarried = true;
  t->chunk = NULL;
}

static bool procpool__worker_deliver_failure(procpool__worker *w) {
  const bool whole = w->long_failure != NULL;
  const uint64_t size = whole ? w->long_size : offsetof(procpool__failure, message) + strlen(w->failure.message) + 1;
  const bool sent = procpool__worker_send(w, w->task.failed ? PROCPOOL__DONE_FAILED : PROCPOOL__DONE_TRANSFER,
                                          whole ? (const void *)w->long_failure : (const void *)&w->failure, size, 0);
  procpool__worker_forget_failure(w);
  return sent;
}

/* Commits what the task gave, by a record. False if that was not to be. */
static bool procpool__worker_deliver(procpool__worker *w) {
  procpool_task *t = &w->task;
  uint32_t flags = t->given ? 0 : (uint32_t)PROCPOOL__RECORD_NONE;
  procpool__record head;
  if (t->late) /* without RECORD_NONE, which tells that a task was asked to end */
    return procpool__worker_send(w, PROCPOOL__DONE_TIMEOUT, NULL, 0, 0);
  if (t->failed || t->uncarried)
    return procpool__worker_deliver_failure(w);
  if (t->place != NULL && t->given)
    return procpool__worker_send(w, PROCPOOL__DONE_OK, &t->result_size, sizeof(t->result_size), PROCPOOL__RECORD_PLACE);
  if (!t->in_ring)
    return procpool__worker_send(w, PROCPOOL__DONE_OK, t->result, t->result_size, flags);
  if (t->wrapped)
    flags |= PROCPOOL__RECORD_WRAPPED;
  head = procpool__worker_record(w, PROCPOOL__DONE_OK, t->result_size, flags);
  return procpool__worker_commit(w, &head);
}

/* Whether this worker is not in the midst of many short tasks, or has not tidied for some milliseconds. */
static bool procpool__worker_has_time(procpool__worker *w) {
  const uint64_t before = w->tick;
  if (!w->process)
    return false;
  if (++w->row <= PROCPOOL__ROW_TIDY)
    return true;
  w->tick = procpool__platform_tick();
  return w->tick != before;
}

/* Puts back what the last tasks have left behind. It takes about a dozen system calls, so it is done where they do not
 * matter: when there is nothing to do, and after the first tasks that come then; after a commit that took a call to
 * wake the host; after chunks that are long; else every few milliseconds. False if this process had better make room
 * for a fresh one: a limit cannot be raised again, or a task has closed the pool's descriptors, or traces the
 * supervisor. */
static bool procpool__worker_tidy(procpool__worker *w) {
  if (!w->process || w->tidied == w->tasks)
    return true;
  w->tidied = w->tasks;
  w->lengthy = false;
  return procpool__platform_tidy(&w->habits) && procpool__platform_pipe_number(w->event_fd) == w->event_number &&
         (w->lifeline < 0 || procpool__platform_pipe_number(w->lifeline) == w->lifeline_number);
}

/* Commits the task. False if it was revoked. */
static bool procpool__worker_finish(procpool__worker *w) {
  w->given_up = procpool__worker_unwanted(w);
  w->revoked = !((!w->given_up && procpool__worker_deliver(w)) || (w->given_up && procpool__worker_drop(w)));
  return !w->revoked;
}

/* Gives back its private memory for results, if it is more than that: after each task what is much more than that one
 * needed, since the next may be as large and its pages would have to be got again; and after a second without one all
 * that is large. */
static void procpool__worker_trim(procpool__worker *w, uint64_t most) {
  if (w->scratch_size <= most)
    return;
  procpool__aligned_free(w->scratch);
  w->scratch = NULL;
  w->scratch_size = 0;
}

static void procpool__worker_trim_after_task(procpool__worker *w) {
  const uint64_t most = 2 * w->scratch_used, least = PROCPOOL__SCRATCH_KEPT;
  procpool__worker_trim(w, most > least ? most : least);
  w->scratch_used = 0;
}

/* From when a task counts that begins now and has a limit, of so many milliseconds. To read the clock takes a tenth of
 * the round trip of an empty task. So where the limit is ten seconds or more the last tick will do, with a third of a
 * second for how long ago that may be: a virtual machine may lose its ticks for a while. The supervisor takes an
 * earlier instant, if that is when it first sees that the task has begun. */
static uint64_t procpool__worker_begin_time(uint32_t limit) {
  const uint64_t ns = (uint64_t)limit * 1000000u;
  return ns < 10 * PROCPOOL__SECOND ? procpool__platform_now() : procpool__platform_tick() + ns / 32;
}

/* Calls the function, by the clock if the task has a time limit. What it printed shall be out before its result is, and
 * within the limit: the flush may block for ever, on a pipe that no process reads. */
static void procpool__worker_call_timed(procpool__worker *w) {
  if (w->task.limited) {
    procpool__store_relaxed(&w->block->started_ns,
                            procpool__worker_begin_time(procpool__load32_relaxed(&w->task.slot->limit)));
    procpool__store_release(&w->block->limited_word, w->task.word); /* vouches for started_ns */
  }
  procpool__worker_call(w);
  procpool__worker_end_copy(w);
  if (w->process)
    procpool__platform_flush();
}

/* The task's part of it all. For one that is late that is nothing: from now on it is ended as little as one whose body
 * has returned in time, be there room for its record or not. */
static void procpool__worker_do(procpool__worker *w) {
  if (!w->task.late)
    procpool__worker_call_timed(w);
  if (w->task.limited)
    procpool__store_relaxed(&w->block->ended_word, w->task.word); /* late sight of it costs a task at its very limit */
}

/* Runs the claimed task. Returns false when this worker must not claim again. */
static bool procpool__worker_run(procpool__worker *w, uint32_t slot_index, uint64_t word) {
  const uint64_t notified = w->notified;
  procpool__worker_prepare(w, slot_index, word);
  procpool__store_relaxed(&w->block->tasks, ++w->tasks); /* read when this worker is reaped */
  procpool__worker_do(w);
  if (!procpool__worker_finish(w))
    return false;
  procpool__store_release(&w->block->intent_word, 0); /* release: a process that sees it sees the commit */
  procpool__worker_trim_after_task(w);
  if (procpool__worker_has_time(w) || w->notified != notified || w->lengthy) {
    if (w->row == 1 && w->process) /* woken by a host that may wait for this very processor: it has its result first */
      procpool__platform_yield();
    if (!procpool__worker_tidy(w))
      return false;
  }
  return w->segment->settings.max_tasks == 0 || w->tasks < w->segment->settings.max_tasks;
}

/* A thread's task was left by pthread_exit. It ends as it does in a process, which that ends as exit(0) would; with no
 * supervisor there, its own worker takes the word and writes the exit record. */
static void procpool__worker_report_death(procpool__worker *w) {
  const procpool__segment *s = w->segment;
  procpool_task *t = &w->task;
  procpool__worker_end_copy(w);
  if (t->slot == NULL || procpool__word_ticket(t->word) == PROCPOOL__TICKET_FINALIZER ||
      !procpool__cas(&t->slot->word, t->word, procpool__word_in(t->word, PROCPOOL__DEAD_CRASHED)))
    return; /* the thread was cancelled, by a task that knew its name, where no task ran */
  memset((void *)procpool__slot_exit_record(t->slot), 0, sizeof(procpool__exit_record));
  procpool__slot_exit_record(t->slot)->pid = (int32_t)w->pid;
  procpool__table_push_dead(s, t->slot_index, 0);
  procpool__add(&s->header->dead_count, 1);
  procpool__store_release(&w->block->intent_word, 0);
  procpool__shm_wake_host(s, w->event_fd);
}

/* ==== >>working =====================================================================================================
 * Runs in:   a worker process, a worker thread of the host, or (inline) the host's calling thread.
 * Writes:    as >>worker; its bits of the masks, and wakes; idle, coming, wake_seq and woken_ns of whom it calls.
 * Calls:     >>worker, and all that it calls.
 * Always:    what it claims it runs at once; it says that it sleeps before its last look for a task. */

/* ---- claiming and sleeping ---- */

typedef enum procpool__step { PROCPOOL__STEP_RAN, PROCPOOL__STEP_EMPTY, PROCPOOL__STEP_LEAVE } procpool__step;

/* A worker that finds task after task goes on from where it was, and moves the hint now and then for all of them: in
 * one step past what it has seen not READY, from seen to next. A worker that follows a hint that lags finds tasks that
 * are taken, and passes them one by one. */
enum { PROCPOOL__AHEAD = 16 }; /* the most that the hint lags behind one worker */

static void procpool__worker_move_hint(procpool__worker *w) {
  procpool__u64 *head = &w->segment->header->head;
  uint64_t h = procpool__load(head);
  while (h >= w->seen && h < w->next && !procpool__cas(head, h, w->next))
    h = procpool__load(head);
  w->hinted = w->next;
}

static void procpool__worker_seek(procpool__worker *w, uint64_t position) {
  w->seen = w->next = w->hinted = position;
}

/* Nothing lies where it looks. Goes to where the hint is, if that is elsewhere (another worker was faster, or the host
 * has put right what was scribbled upon); false if it is not: there is no task. */
static bool procpool__worker_resync(procpool__worker *w) {
  const uint64_t h = procpool__load(&w->segment->header->head);
  if (h < w->seen || h > w->next) {
    procpool__worker_seek(w, h);
    return true;
  }
  if (h != w->next)
    procpool__worker_move_hint(w);
  return false;
}

/* It was called, and has a task; or it leaves. Should others wait, it calls the next one before all else: whoever hands
 * out tasks has relied on it. Another one that is coming does so in its place. */
static void procpool__worker_call_next(procpool__worker *w) {
  const procpool__segment *s = w->segment;
  w->came = false;
  while (procpool__table_waiting(s) && !procpool__shm_any_coming(s) &&
         procpool__shm_call(s, true, true) == PROCPOOL__CALLED_LATE)
    ;
}

/* The position where it looks has no task that waits. */
static void procpool__worker_skip(procpool__worker *w) {
  const uint64_t h = procpool__load(&w->segment->header->head);
  w->next++;
  if (h > w->next)
    procpool__worker_seek(w, h);
}

/* Claims the task in slot, at the position where it looks. The intent comes before the claim, whose compare-and-swap
 * releases it. It is stored with release itself: the host's audit that sees the intent of this task must see the commit
 * of the one before it, else it would take that one for lost. It is withdrawn when another worker was faster: beside a
 * forged word it would say that this worker runs it. */
static bool procpool__worker_claim(procpool__worker *w, uint32_t slot, uint64_t word) {
  const uint64_t ready = procpool__word(w->next + 1, 0, PROCPOOL__READY);
  uint32_t likely;
  if (procpool__table_peek(w->segment, w->next + 1, &likely) == PROCPOOL__PEEK_TASK)
    procpool__platform_prefetch_write(&w->segment->slots[likely]); /* the one that it may claim next */
  procpool__store_release(&w->block->intent_slot, slot);
  procpool__store_release(&w->block->intent_word, word);
  if (!procpool__cas(&w->segment->slots[slot].word, ready, word)) {
    procpool__store_release(&w->block->intent_word, 0);
    return false;
  }
  w->next++;
  if (w->next - w->hinted >= PROCPOOL__AHEAD)
    procpool__worker_move_hint(w);
  if (w->came)
    procpool__worker_call_next(w);
  procpool__worker_notify_claim(w);
  return true;
}

/* Takes the next task in the queue, if there is one, and runs it. */
static procpool__step procpool__worker_step(procpool__worker *w) {
  for (;;) {
    uint32_t slot;
    const procpool__peek peek = procpool__table_peek(w->segment, w->next, &slot);
    const uint64_t word = procpool__word(w->next + 1, w->index, PROCPOOL__RUNNING);
    if (peek == PROCPOOL__PEEK_EMPTY && !procpool__worker_resync(w))
      return PROCPOOL__STEP_EMPTY;
    if (procpool__worker_phase(w) == PROCPOOL__PHASE_KILL)
      return PROCPOOL__STEP_LEAVE;
    if (peek == PROCPOOL__PEEK_TASK && procpool__worker_claim(w, slot, word))
      return procpool__worker_run(w, slot, word) ? PROCPOOL__STEP_RAN : PROCPOOL__STEP_LEAVE;
    if (peek != PROCPOOL__PEEK_EMPTY)
      procpool__worker_skip(w);
  }
}

/* Looks for a task for a while. */
static bool procpool__worker_spin(const procpool__worker *w, procpool__spinning *n, uint64_t budget) {
  while (procpool__spin_on(n, budget))
    if (procpool__table_any(w->segment))
      return true;
  return false;
}

static void procpool__worker_sleep(procpool__worker *w) {
  const procpool__segment *s = w->segment;
  const bool large = w->scratch_size > PROCPOOL__SCRATCH_KEPT;
  const uint64_t deadline = large ? procpool__platform_now() + PROCPOOL__SECOND : PROCPOOL__NEVER;
  procpool__u64 *mask = procpool__shm_idle(s, w->index);
  const uint64_t bit = procpool__shm_bit(w->index);
  const uint32_t seq = procpool__load32(&w->block->wake_seq);
  const uint64_t woken = procpool__load_relaxed(&w->block->woken_ns);
  if (w->process) /* a task that changed its credentials has disarmed it */
    procpool__platform_die_with(w->parent);
  procpool__store32_relaxed(&w->block->cpu, procpool__platform_cpu());
  (void)procpool__or(mask, bit);
  if (!procpool__table_any(s) && procpool__worker_phase(w) == PROCPOOL__PHASE_RUN)
    procpool__platform_park(&w->block->wake_seq, seq, deadline);
  (void)procpool__and(mask, ~bit);
  w->came = (procpool__and(procpool__shm_coming(s, w->index), ~bit) & bit) != 0;
  (void)procpool__add(procpool__shm_wakes(s, w->index), 1);
  if (large && procpool__platform_now() >= deadline)
    procpool__worker_trim(w, PROCPOOL__SCRATCH_KEPT);
  procpool__spin_measure(&w->spin, &w->block->woken_ns, woken);
}

/* There is no task: looks for one, and then sleeps. False if this worker shall leave. */
static bool procpool__worker_rest(procpool__worker *w) {
  procpool__spinning n;
  bool found;
  procpool__spin_begin(&n, &w->spin, 1, procpool__worker_crowded(w), PROCPOOL__NEVER);
  found = procpool__worker_spin(w, &n, n.budget < PROCPOOL__SPIN_BRISK ? n.budget : PROCPOOL__SPIN_BRISK);
  if (!found) { /* the host has other things to do: so this may cost some microseconds */
    if (w->row > PROCPOOL__ROW_TIDY - PROCPOOL__ROW_AGAIN)
      w->row = PROCPOOL__ROW_TIDY - PROCPOOL__ROW_AGAIN;
    if (!procpool__worker_tidy(w))
      return false;
    found = procpool__worker_spin(w, &n, n.budget);
  }
  if (!found) {
    w->row = 0;
    procpool__worker_sleep(w);
  }
  procpool__spin_end(&w->spin, &n);
  return true;
}

/* ---- leaving ---- */

/* What the finalizer is to the calls of a task: one that no table has. slot: the worker's own, on its stack. */
static void procpool__worker_prepare_finalizer(procpool__worker *w, procpool__slot *slot) {
  procpool_task *t = &w->task;
  memset((void *)slot, 0, sizeof(*slot));
  memset((void *)t, 0, sizeof(*t));
  t->word = procpool__word(PROCPOOL__TICKET_FINALIZER, w->index, PROCPOOL__RUNNING);
  procpool__store_relaxed(&slot->word, t->word);
  slot->function = w->segment->settings.finalizer;
  t->worker = w;
  t->slot = slot;
  t->unreachable = !procpool__worker_open(w, w->segment->arena_at + procpool__shm_arena_top(w->segment));
  w->given_up = false;
}

/* A thread that leaves is here again. If it has left its finalizer by pthread_exit, that is told. */
static void procpool__worker_report_finalizer(procpool__worker *w) {
  procpool__exit_record e;
  procpool__slot slot;
  procpool__worker_end_copy(w);
  if (w->task.slot == NULL || procpool__word_ticket(w->task.word) != PROCPOOL__TICKET_FINALIZER)
    return;
  memset((void *)&e, 0, sizeof(e));
  e.pid = (int32_t)w->pid;
  procpool__worker_prepare_finalizer(w, &slot);
  procpool__store(&w->block->life, PROCPOOL__LIFE_LEAVES);
  if (w->segment->settings.finalizer_wanted != 0)
    (void)procpool__worker_send(w, PROCPOOL__DEAD_CRASHED, &e, sizeof(e), 0);
  w->task.slot = NULL;
  procpool__worker_trim(w, 0);
  procpool__worker_forget_failure(w);
}

/* Runs the finalizer and leaves its result in the ring, as a task's is: but it is committed by its stamp, for its word
 * is no other process's. The supervisor's clock runs while life says FINALIZES, and is told of that: what the finalizer
 * printed is out by its end, while a wait for room in the ring is the host's affair. */
static void procpool__worker_finalize(procpool__worker *w) {
  const procpool__settings *h = &w->segment->settings;
  procpool__slot slot;
  procpool__worker_prepare_finalizer(w, &slot);
  if (w->process && h->finalizer_limit != 0)
    procpool__platform_nudge_parent(w->parent);
  procpool__worker_call(w);
  procpool__worker_end_copy(w);
  if (w->process)
    procpool__platform_flush();
  procpool__store(&w->block->life, PROCPOOL__LIFE_LEAVES);
  if (h->finalizer_wanted != 0)
    (void)procpool__worker_deliver(w);
  w->task.slot = NULL;
}

/* A worker that will not claim again. Life comes first: one that is continued then stays away. Its finalizer runs where
 * it leaves in order. */
static void procpool__worker_leave(procpool__worker *w) {
  const bool finalizes =
      w->segment->settings.finalizer != 0 && !w->revoked && procpool__worker_phase(w) != PROCPOOL__PHASE_KILL;
  w->leaves = true;
  procpool__store(&w->block->life, finalizes ? PROCPOOL__LIFE_FINALIZES : PROCPOOL__LIFE_LEAVES);
  (void)procpool__or(procpool__shm_away(w->segment, w->index), procpool__shm_bit(w->index));
  /* The host may have counted on this one, whose end may take a while. The word is one that it changes before it looks
   * who is away where it has stored many cells: so they are seen. */
  (void)procpool__and(procpool__shm_coming(w->segment, w->index), ~procpool__shm_bit(w->index));
  procpool__worker_call_next(w);
  if (finalizes) {
    if (w->process) /* a task that changed its credentials has disarmed it */
      procpool__platform_die_with(w->parent);
    (void)procpool__worker_tidy(w);
    procpool__worker_finalize(w);
  }
  procpool__worker_trim(w, 0);
  procpool__worker_forget_failure(w);
}

/* Runs tasks until it is told to leave, has run its share, or its task was revoked. */
static void procpool__worker_loop(procpool__worker *w) {
  procpool__step step;
  bool draining;
  if (w->leaves) {
    procpool__worker_report_finalizer(w);
    return;
  }
  do { /* the phase is read before the step: the host published its last task before it said that the pool drains */
    draining = procpool__worker_phase(w) != PROCPOOL__PHASE_RUN;
    step = procpool__worker_step(w);
  } while (step == PROCPOOL__STEP_RAN || (step == PROCPOOL__STEP_EMPTY && !draining && procpool__worker_rest(w)));
  procpool__worker_leave(w);
}

static void procpool__worker_setup(procpool__worker *w, const procpool__segment *s, int index, int event_fd,
                                   bool process) {
  memset(w, 0, sizeof(*w));
  w->segment = s;
  w->block = &s->blocks[index];
  w->index = index;
  w->event_fd = event_fd;
  w->pid = procpool__platform_pid();
  w->process = process;
  w->tail =
      procpool__load(&w->block->tail) / PROCPOOL__UNIT * PROCPOOL__UNIT; /* a neighbour may have scribbled there */
  w->consumed = procpool__load(&w->block->consumed);
  w->dropped = procpool__load(&w->block->dropped);
  procpool__spin_setup(&w->spin, s->settings.spin_ns, s->settings.spin_fixed != 0);
  procpool__worker_seek(w, procpool__load(&s->header->head));
  w->opened = process ? s->arena_at : s->total; /* a thread shares the host's mapping, which the host opens */
}

/* Calls the user's initializer; its code goes to w->failure, where procpool_task_fail has put code and message if it
 * was called. What it throws is a failure like another one, with its what(), and so is pthread_exit. */
static void procpool__worker_enter_initializer(void *context) {
  procpool__worker *w = (procpool__worker *)context;
  const procpool__settings *h = &w->segment->settings;
  const uintptr_t address = (uintptr_t)h->initializer;
  const void *argument = procpool__address_of(h->initializer_offset);
  procpool_initializer initializer;
  bool returned = false;
  int code = 0;
  memcpy((void *)&initializer, &address, sizeof(initializer));
  w->task.worker = w;
  if (h->initializer_size > 0)
    argument = procpool__worker_reach(w, h->initializer_offset, h->initializer_size);
  w->failure.code = PROCPOOL__NO_MEMORY;
  if (h->initializer_size > 0 && argument == NULL)
    return;
  w->failure.code = -1; /* until it returns */
  PROCPOOL__TRY {
    code = initializer(argument, (size_t)h->initializer_size);
    returned = true;
  }
  PROCPOOL__CATCH(&w->task)
  if (!returned || !w->task.failed)
    w->failure.code = returned ? code : -1;
}

/* It failed: says so, and why. */
static void procpool__worker_refuse(procpool__worker *w) {
  procpool__worker_forget_failure(w); /* the block has no room for more */
  PROCPOOL__STEP();
  memcpy(w->block->init_message, w->failure.message, sizeof(w->failure.message));
  w->block->init_code = w->failure.code;
  PROCPOOL__STEP();
  procpool__store(&w->block->life, PROCPOOL__LIFE_REFUSED);
  if (!w->process)
    procpool__worker_notify_host(w, PROCPOOL__FLAG_PARKED);
}

/* Before the first task of a process or thread: it becomes as nice as it shall be, and runs the user's initializer, if
 * there is one. A host that sleeps may wait for just that (procpool_wait_ready), so it is woken, as by a result. Where
 * the initializer of a process failed, the supervisor wakes the host when it has reaped that one. */
static bool procpool__worker_initialize(procpool__worker *w) {
  const procpool__settings *h = &w->segment->settings;
  procpool__thread_worker = w;
  if (h->nice != 0)
    procpool__platform_nice((int)h->nice);
  if (h->initializer != 0) {
    procpool__store(&w->block->life, PROCPOOL__LIFE_BEGINS);
    if (w->process) /* which pthread_exit ends: see procpool__platform_run */
      procpool__worker_enter_initializer(w);
    else
      (void)procpool__platform_run_to_end(procpool__worker_enter_initializer, w);
    procpool__worker_end_copy(w);
    if (w->failure.code != 0 || w->task.failed) {
      procpool__worker_refuse(w);
      return false;
    }
  }
  procpool__store(&w->block->life, PROCPOOL__LIFE_TASKS);
  (void)procpool__add(procpool__shm_wakes(w->segment, w->index), 1);
  (void)procpool__and(procpool__shm_coming(w->segment, w->index), ~procpool__shm_bit(w->index)); /* its predecessor's */
  (void)procpool__and(procpool__shm_away(w->segment, w->index), ~procpool__shm_bit(w->index));
  procpool__worker_notify_host(w, PROCPOOL__FLAG_PARKED);
  return true;
}

/* ==== >>supervisor ==================================================================================================
 * Runs in:   the supervisor, one process with one thread for each pool; the record of what forked children inherit
 *            in any process.
 * Writes:    health, causes and counts in the header, away, its own children, words of dead workers, the record of its
 *            process. It notes stops and continues, too; deaths are the next part's.
 * Calls:     >>working, and all above it.
 * Always:    no user code runs in it, it holds no lock and allocates nothing; what it reads from shared memory it
 *            checks, since a worker may have written anything. */

/* The descriptors that a process has of a pool: -1 where there is none. The host makes and closes them, and writes them
 * down here, in one section (procpool__process_enter): a fork of another thread's comes before it or after it. So each
 * child knows exactly what it has of the pool, and closes that, at once and only once. They stand in the order in which
 * they are closed, with nothing between them: see procpool__process_fd. */
typedef struct procpool__process_pool {
  struct procpool__process_pool *next;
  uint64_t launcher; /* the thread that is about to fork this pool's supervisor: that child keeps them; else 0 */
  void *base;        /* where the segment is mapped, */
  size_t opened;     /* and how much of it is open to access: 0 where a child has nothing to part with; atomic */
  /* the host's ends; supervisor: a pidfd */
  int lifeline, control, all_gone, supervisor;
  /* the supervisor's, in the host until that has them; and what both have */
  int far_lifeline, far_control, far_all_gone, host_pidfd, witness;
  int memory, event_fd;
  int watch;             /* the host's: of event_fd and all_gone, the workers' bell; a supervisor's: of the witness */
  int loop_fd, timer_fd; /* for an event loop, if there is one: see procpool__loop_open */
} procpool__process_pool;

/* The descriptor at that byte of the record. */
#define PROCPOOL__FD(field) offsetof(procpool__process_pool, field)
static inline int *procpool__process_fd(procpool__process_pool *pool, size_t at) {
  return (int *)(void *)((unsigned char *)pool + at);
}

/* Mutable file-scope state is this, and of each thread what it was told last (procpool__thread_last) and whose tasks it
 * runs (procpool__thread_worker). Whether this process
 * came through the door, how deeply its pools are nested, which pools it hosts, and which worker it is. All of it
 * concerns the process as a whole, so there is no pool for it to hang off. */
static struct {
  procpool__lock lock;
  procpool__process_pool *pools;
  const procpool__worker *worker; /* null: this process is no worker */
  uint64_t depth;
  procpool__u64 forker; /* atomic: the thread that holds the lock over a fork, 0: none */
  unsigned forks;       /* how deep it is in forks: a signal handler may fork in a fork */
  procpool__u64 watch;  /* atomic: PROCPOOL__WATCHED, 0, or who is at it (by process) */
  procpool__pid pid;    /* whose record this is: a child that bypassed the C library's fork has a copy */
  bool door;
  procpool__u64 texts; /* atomic: key of each thread's last long message: procpool__platform_own_set */
  ptrdiff_t exit_list; /* see procpool__platform_find_exit_list; 0: not found, or not looked for */
} procpool__process_record = {PROCPOOL__LOCK_INITIALIZER, NULL, NULL, 0, 0, 0, 0, 0, false, 0, 0};

/* exit() in a worker, or in what its task forked. level: the depth of the process that registered this, which
 * it does not concern. */
static void procpool__supervisor_on_exit(void *level, int status) {
  if (procpool__process_record.depth > (uint64_t)(uintptr_t)level)
    procpool__platform_flush_and_leave(status);
}
static void procpool__supervisor_on_quick_exit(void *unused, int status) {
  (void)unused;
  if (procpool__process_record.depth > 0)
    procpool__platform_leave(status);
}

/* Looks for it once in a process. Without any lock of ours: this takes libc's own for its list of libraries, which a
 * thread may hold that opens a pool while a library of it is loaded. Two threads find the same. */
static void procpool__supervisor_find_exit_list(void) {
  ptrdiff_t *place = &procpool__process_record.exit_list;
  if (__atomic_load_n(place, __ATOMIC_RELAXED) == 0)
    __atomic_store_n(place, procpool__platform_find_exit_list(), __ATOMIC_RELAXED);
}

/* Before workers are forked. mark: an address of the caller's own, for release_exit. */
static bool procpool__supervisor_catch_exit(uint64_t level, void *mark) {
  return procpool__platform_catch_exit(procpool__supervisor_on_exit, procpool__supervisor_on_quick_exit,
                                       procpool__address_of(level), mark);
}

/* What host and supervisor say to each other over the control channel: whole messages of one size. */
typedef enum procpool__message_kind {
  PROCPOOL__MESSAGE_SELF = 1, /* go-between, last of all: with a descriptor for the supervisor (Linux 5.3) */
  PROCPOOL__MESSAGE_CODE,     /* supervisor: an executable mapping that its workers have (spawn) */
  PROCPOOL__MESSAGE_ATTACHED, /* supervisor: that was all of them; waits for BEGIN */
  PROCPOOL__MESSAGE_BEGIN,    /* host: the initializer is in the header, start the workers */
  PROCPOOL__MESSAGE_STARTED,  /* supervisor: all workers are forked, or a = the error of b, a procpool__call */
  PROCPOOL__MESSAGE_THREADS,  /* supervisor: the program has threads when it comes to the door (spawn); it leaves */
  PROCPOOL__MESSAGE_ENDING,   /* supervisor: it has heard of the KILL, and is at it */
  PROCPOOL__MESSAGE_TAKEN,  /* supervisor: something else lies where the segment should be mapped (spawn); it leaves */
  PROCPOOL__MESSAGE_GONE,   /* supervisor: no worker is left, and it leaves */
  PROCPOOL__MESSAGE_PHASE,  /* host: the phase is a now, and b tasks were ever accepted */
  PROCPOOL__MESSAGE_SIGNAL, /* host: send signal b to worker a */
  PROCPOOL__MESSAGE_RESET,  /* host: worker a's ring is corrupt: end it, its ring begins anew at b */
  PROCPOOL__MESSAGE_LOOK    /* host: a task is to be ended, or has a limit: look at what the workers run */
} procpool__message_kind;

/* What can fail in a supervisor before its workers are there. */
typedef enum procpool__call { PROCPOOL__CALL_FORK, PROCPOOL__CALL_SIGACTION, PROCPOOL__CALL_MAPS } procpool__call;

typedef struct procpool__message {
  uint64_t kind, a, b;
  procpool__platform_code code;
} procpool__message;

typedef struct procpool__child {
  procpool__pid pid;  /* 0: there is none */
  uint64_t born, due; /* when it was started; when to start the next one, if it is replaced at all */
  uint64_t reset;     /* where its ring begins anew when it is reaped; 0: where it ended */
  unsigned failures;  /* starts in a row that came to nothing */
  /* its task that is being ended, by stages or with it */
  uint64_t word; /* ASKED_*; or DEAD_*: it settles when the worker is reaped; 0: there is none */
  uint32_t slot;
  procpool_stage stage;      /* NONE: it is not being ended */
  uint64_t stage_due, grace; /* when the next stage comes; ns between them */
  /* its times: what of them does not count, it could not run; began and stopped_ns are without that */
  uint64_t excused;    /* ns */
  uint64_t seen;       /* a task with a limit that this process saw, */
  uint64_t began;      /* and when it began, */
  bool told;           /* by its worker, or as it was seen first */
  uint64_t finalizes;  /* since when it was seen in its finalizer, without what is excused; 0: it was not */
  bool overdue;        /* its initializer or its finalizer took too long: it was killed for that */
  bool stopped;        /* by a signal: the kernel said so */
  bool host_stood;     /* and at the last look the host stood as well */
  uint64_t stopped_ns; /* when it was stopped */
  uint64_t stood_ns;   /* what of that stop was before this is given back, or counts */
  /* the programs that it has started */
  uint64_t mark;  /* of its descendants; 0 before the first one */
  uint64_t sweep; /* the mark of descendants that are to end with a worker that was ended; 0: none */
} procpool__child;

typedef struct procpool__supervisor {
  procpool__segment segment;
  procpool__process_pool fds; /* its own, by fork or by name */
  procpool__pid pid, host;
  bool ended;
  uint32_t phase;    /* procpool__phase, as the host said it by a message: the segment's is for workers */
  uint64_t accepted; /* with it: how many tasks ever were */
  uint64_t alive, started, stopped, dead; /* what it writes into the header */
  procpool__pid ended_pid;                /* the worker that ended last, */
  procpool__ending ending;                /* and how it did */
  bool swept;                             /* the last sweep has ended a program */
  bool lingers;           /* it ticks once more, though at this look no task with a limit runs or waits */
  uint64_t dated, expiry; /* the header's dated at its last look at the queue; the earliest deadline there, */
  uint64_t rested;        /* and when it may look again */
  unsigned fork_failures;
  int turn;       /* the index from which it looks for workers to replace */
  uint64_t marks; /* given to workers so far */
  char name[16];
  procpool__child *children; /* one per worker */
} procpool__supervisor;

#define PROCPOOL__LATE ((uint64_t)100000000u) /* ns: no machine is so busy, or it is no time that counts */
#define PROCPOOL__FORKS ((uint64_t)5000000u)  /* ns for replacements before it looks at all else */
#define PROCPOOL__FOLLOW ((uint64_t)5000000u) /* ns between looks whether the host is stopped as its workers were */
#define PROCPOOL__MARK ((uint64_t)1 << 62)    /* and below it: supervisor 22 bits, number 28, worker 12 */
#define PROCPOOL__PATIENCE ((uint64_t)5000000000u) /* ns that a killed worker may take to end */
#define PROCPOOL__TICK_LEAST ((uint64_t)1000000u)  /* ns between looks at tasks with limits */
#define PROCPOOL__TICK_MOST ((uint64_t)5000000000u)
#define PROCPOOL__EXPIRE_REST 16u /* times as long as a look for deadlines in the queue took, until the next */
#define PROCPOOL__WITNESS_TICK ((uint64_t)400000000u) /* ns between looks at the host where nothing tells of its end */

static procpool__message procpool__message_of(procpool__message_kind kind, uint64_t a, uint64_t b) {
  procpool__message m;
  memset(&m, 0, sizeof(m));
  m.kind = kind;
  m.a = a;
  m.b = b;
  return m;
}

/* wait: for room in the channel. Else it is lost where there is none. */
static bool procpool__message_send(int channel, procpool__message_kind kind, uint64_t a, uint64_t b, bool wait) {
  const procpool__message m = procpool__message_of(kind, a, b);
  return procpool__platform_send(channel, &m, sizeof(m), -1, wait);
}

enum { PROCPOOL__SUPERVISOR_FDS = 7 };

/* Lists what the supervisor has, at most PROCPOOL__SUPERVISOR_FDS. Returns how many. */
static size_t procpool__supervisor_list_fds(procpool__process_pool *pool, int *list) {
  size_t count = 0;
  for (size_t at = PROCPOOL__FD(far_lifeline); at <= PROCPOOL__FD(event_fd); at += sizeof(int))
    if (*procpool__process_fd(pool, at) >= 0)
      list[count++] = *procpool__process_fd(pool, at);
  return count;
}

/* ---- what forked children inherit ----
 * Handlers around each fork of this process: a child holds nothing of its parent's pools. It closes what they have
 * noted, and forgets them, before the fork returns there; also where it is the supervisor of another pool, of another
 * copy of this file too (each has its own record and handlers). A thread is never in a section while it forks: the
 * C library may hold its lock of handlers then, and would wait for the record's while another thread holds that one and
 * waits for it. */

#define PROCPOOL__WATCHED UINT64_MAX

static void procpool__process_no_pool(procpool__process_pool *pool) {
  memset(pool, 0, sizeof(*pool));
  for (size_t at = PROCPOOL__FD(lifeline); at <= PROCPOOL__FD(timer_fd); at += sizeof(int))
    *procpool__process_fd(pool, at) = -1;
}

static void procpool__process_close_some(procpool__process_pool *pool, size_t first, size_t last) {
  for (size_t at = first; at <= last; at += sizeof(int))
    procpool__platform_close(procpool__process_fd(pool, at));
}

static void procpool__process_close_far(procpool__process_pool *pool) {
  procpool__process_close_some(pool, PROCPOOL__FD(far_lifeline), PROCPOOL__FD(witness));
}

/* All that keeps supervisor and host together; what threads of the host may still be using without the pool's lock
 * stays until it is freed: the memory, event_fd, watch and the event loop's. */
static void procpool__process_close_near(procpool__process_pool *pool) {
  procpool__process_close_some(pool, PROCPOOL__FD(lifeline), PROCPOOL__FD(supervisor));
}

static void procpool__process_close(procpool__process_pool *pool) {
  procpool__process_close_some(pool, PROCPOOL__FD(lifeline), PROCPOOL__FD(timer_fd));
}

/* Whether this thread is in a fork, between the handlers. */
static bool procpool__process_forks(void) {
  return __atomic_load_n(&procpool__process_record.forker, __ATOMIC_RELAXED) == procpool__platform_self();
}

/* A section: no fork of another thread's falls into it, and no signal handler of this one's. */
static void procpool__process_enter(procpool__signals *old) {
  (void)procpool__platform_block_signals(old);
  if (!procpool__process_forks()) /* else another handler around forks frees or opens a pool, and the lock is held */
    procpool__platform_lock(&procpool__process_record.lock);
}
static void procpool__process_leave(const procpool__signals *old) {
  const int error = procpool__platform_error(); /* of what was done in the section: a handler may run now */
  if (!procpool__process_forks())
    procpool__platform_unlock(&procpool__process_record.lock);
  procpool__platform_restore_signals(old);
  procpool__platform_set_error(error);
}

static void procpool__process_add(procpool__process_pool *pool) {
  procpool__signals old;
  procpool__process_enter(&old);
  pool->next = procpool__process_record.pools;
  procpool__process_record.pools = pool;
  procpool__process_leave(&old);
}

/* Closes all that is left of a pool, and forgets it. */
static void procpool__process_remove(procpool__process_pool *pool) {
  procpool__process_pool **at = &procpool__process_record.pools;
  procpool__signals old;
  procpool__process_enter(&old);
  while (*at != NULL && *at != pool)
    at = &(*at)->next;
  if (*at != NULL)
    *at = pool->next;
  procpool__process_close(pool);
  procpool__process_leave(&old);
}

/* The record of a process that is new, and has one thread. */
static void procpool__process_renew(void) {
  procpool__platform_lock_init(&procpool__process_record.lock); /* it may have been held across the fork */
  __atomic_store_n(&procpool__process_record.forker, 0, __ATOMIC_RELAXED);
  procpool__process_record.forks = 0;
  procpool__process_record.pid = procpool__platform_pid();
}

static void procpool__process_before_fork(void) {
  if (!procpool__process_forks()) {
    procpool__platform_lock(&procpool__process_record.lock);
    __atomic_store_n(&procpool__process_record.forker, procpool__platform_self(), __ATOMIC_RELAXED);
  }
  procpool__process_record.forks++;
}

static void procpool__process_after_fork(void) {
  if (!procpool__process_forks() || --procpool__process_record.forks > 0)
    return;
  __atomic_store_n(&procpool__process_record.forker, 0, __ATOMIC_RELAXED);
  procpool__platform_unlock(&procpool__process_record.lock);
}

/* A child of a pool's host may go on in the midst of a call, as code of the user's or a signal handler forks there and
 * comes back. So it has the segment as its own copy: whatever it makes of it, the pool does not notice. */
static void procpool__process_separate(const procpool__process_pool *pool) {
  const size_t opened = __atomic_load_n(&pool->opened, __ATOMIC_RELAXED);
  if (opened > 0 && pool->memory >= 0)
    procpool__platform_shm_separate(pool->memory, pool->base, opened);
}

/* A task may have closed what its worker has of the pool, and opened files of its own under the same numbers. */
static void procpool__process_disown(procpool__process_pool *own, const procpool__worker *w) {
  if (procpool__platform_pipe_number(own->far_all_gone) != w->event_number)
    own->far_all_gone = -1;
  if (procpool__platform_pipe_number(own->far_lifeline) != w->lifeline_number)
    own->far_lifeline = -1;
}

/* Where a task has forked, its child may read its argument; what it wrote into the segment might by then be another
 * task's memory, so it cannot. */
static void procpool__process_in_child(void) {
  const procpool__worker *w = procpool__process_record.worker;
  procpool__process_pool *own = NULL, *next;
  if (!procpool__process_forks())
    return;
  for (procpool__process_pool *p = procpool__process_record.pools; p != NULL; p = next) {
    next = p->next;
    if (p->launcher == procpool__platform_self()) {
      own = p;
      continue;
    }
    if (w != NULL && next == NULL) /* a worker's own is the first one that it had */
      procpool__process_disown(p, w);
    procpool__process_separate(p);
    procpool__process_close(p);
  }
  if (own != NULL)
    own->next = NULL;
  procpool__process_record.pools = own;
  procpool__platform_unlock(&procpool__process_record.lock); /* this thread took it before the fork */
  procpool__process_renew();
  if (w != NULL)
    procpool__platform_shm_protect(w->segment->base, w->opened);
  procpool__process_record.worker = NULL;
}

/* Comes before the first section of a process. False when there is no memory. A child forked while its parent was at it
 * begins anew: should the handlers stand there twice, the second call finds nothing to do. */
static bool procpool__process_begin(void) {
  procpool__u64 *watch = &procpool__process_record.watch;
  const uint64_t mine = (uint64_t)procpool__platform_pid();
  uint64_t seen = __atomic_load_n(watch, __ATOMIC_ACQUIRE);
  while (seen != PROCPOOL__WATCHED) {
    if (seen == mine) { /* another thread */
      procpool__platform_yield();
      seen = __atomic_load_n(watch, __ATOMIC_ACQUIRE);
    } else if (__atomic_compare_exchange_n(watch, &seen, mine, false, __ATOMIC_ACQUIRE, __ATOMIC_ACQUIRE)) {
      const bool done = procpool__platform_around_forks(procpool__process_before_fork, procpool__process_after_fork,
                                                        procpool__process_in_child);
      procpool__process_record.pid = procpool__platform_pid();
      __atomic_store_n(watch, done ? PROCPOOL__WATCHED : 0, __ATOMIC_RELEASE);
      return done;
    }
  }
  if (procpool__process_record.pid != procpool__platform_pid())
    procpool__process_in_child(); /* called by a handler around forks that comes before this one */
  if (procpool__process_record.pid !=
      procpool__platform_pid()) { /* no handler runs here: what it has is its parent's */
    procpool__process_record.pools = NULL;
    procpool__process_record.worker = NULL;
    procpool__process_renew();
  }
  return true;
}

/* ---- a worker's life ---- */

/* The life of a worker. Does not return. */
static void procpool__supervisor_work(void *context) {
  procpool__worker *w = (procpool__worker *)context;
  if (!procpool__worker_initialize(w))
    procpool__platform_leave(1);
  procpool__platform_die_with(w->parent); /* a change of credentials in the initializer has cleared it */
  procpool__platform_note_habits(&w->habits);
  procpool__worker_loop(w);
  procpool__platform_flush();
  procpool__platform_leave(0);
}

/* What a worker keeps of the supervisor's descriptors: the others go, event_fd too, since a task could make it one on
 * which the host blocks. With the lifeline the kernel itself ends the worker when the host ends, also where the
 * supervisor is held: one that traces it lets it go by that. */
static void procpool__supervisor_keep_few(procpool__supervisor *u) {
  const int all_gone = u->fds.far_all_gone;
  int lifeline = u->fds.far_lifeline;
  u->fds.far_all_gone = u->fds.far_lifeline = u->segment.fd = -1;
  procpool__process_close(&u->fds);
  u->fds.far_all_gone = all_gone;
  u->fds.far_lifeline = procpool__platform_die_when_told(lifeline);
  if (procpool__platform_gone(lifeline, 0)) /* before that */
    procpool__platform_leave(0);
  procpool__platform_close(&lifeline);
}

static void procpool__supervisor_be_worker(procpool__supervisor *u, int index) {
  procpool__worker worker;
  procpool__platform_die_with(u->pid);
  procpool__supervisor_keep_few(u);
  procpool__platform_worker_manners(u->name, u->segment.settings.once ? -1 : index, u->children[index].mark,
                                    u->segment.settings.core_dumps);
  procpool__worker_setup(&worker, &u->segment, index, u->fds.far_all_gone, true);
  worker.parent = u->pid;
  worker.event_number = procpool__platform_pipe_number(u->fds.far_all_gone);
  worker.lifeline = u->fds.far_lifeline;
  worker.lifeline_number = procpool__platform_pipe_number(u->fds.far_lifeline);
  worker.guard = procpool__platform_guard();
  procpool__process_record.pools = &u->fds; /* the supervisor of a pool that a task opens must not keep these */
  procpool__process_record.worker = &worker;
  if (!procpool__platform_begin_exit(procpool__process_record.exit_list, &worker.exit_list))
    procpool__platform_leave(1);
  procpool__platform_run(procpool__supervisor_work, &worker);
}

/* Differs from all that are about: this supervisor may adopt what a nested pool has left behind, which bears a mark of
 * that one's supervisor. */
static uint64_t procpool__supervisor_new_mark(procpool__supervisor *u, int index) {
  const uint64_t whose = (uint64_t)u->pid & 0x3fffff; /* no pid is larger, proc(5) */
  return PROCPOOL__MARK | whose << 40 | (++u->marks & 0xfffffff) << 12 | (uint64_t)index;
}

/* Forks worker index, which no process has. False (procpool__platform_error) if that fails. */
static bool procpool__supervisor_start(procpool__supervisor *u, int index) {
  procpool__header *h = u->segment.header;
  procpool__child *child = &u->children[index];
  procpool__block *block = &u->segment.blocks[index];
  procpool__store(&block->life, PROCPOOL__LIFE_FORKED);
  procpool__store(&block->tasks, 0);
  procpool__store(&block->intent_word, 0);
  child->mark = procpool__supervisor_new_mark(u, index);
  procpool__store(&h->alive, ++u->alive); /* before the fork: who sees what it did finds it counted */
  procpool__store(&h->started, ++u->started);
  child->pid = procpool__platform_fork();
  if (child->pid == 0)
    procpool__supervisor_be_worker(u, index);
  if (child->pid < 0) {
    child->pid = 0;
    procpool__store(&h->started, --u->started);
    procpool__store(&h->alive, --u->alive);
    return false;
  }
  child->born = procpool__platform_now();
  child->excused = child->finalizes = 0;
  child->stage = PROCPOOL_STAGE_NONE;
  child->word = 0;
  child->stopped = child->overdue = false;
  procpool__store(&block->pid, (uint64_t)child->pid);
  return true;
}

/* index: of the worker that ended last, whose end is the cause; -1: none is. */
static void procpool__supervisor_cause(procpool__supervisor *u, procpool__health health, int index, int error) {
  procpool__header *h = u->segment.header;
  const bool ended = index >= 0;
  const bool refused = ended && procpool__load(&u->segment.blocks[index].life) == PROCPOOL__LIFE_REFUSED;
  const bool overdue = ended && u->children[index].overdue;
  if (ended && !refused)
    u->segment.blocks[index].init_message[0] = '\0';
  procpool__store_signed_relaxed(&h->cause_worker, index);
  procpool__store_signed_relaxed(&h->cause_pid, ended ? u->ended_pid : 0);
  procpool__store_signed_relaxed(&h->cause_signal, ended ? u->ending.signal_number : 0);
  procpool__store_signed_relaxed(&h->cause_exit, ended ? u->ending.exit_status : 0);
  procpool__store_signed_relaxed(&h->cause_code, refused ? u->segment.blocks[index].init_code : 0);
  procpool__store_signed_relaxed(&h->cause_errno, error);
  procpool__store_signed_relaxed(&h->cause_stage, overdue ? PROCPOOL_STAGE_KILL : PROCPOOL_STAGE_NONE);
  procpool__store32(&h->health, (uint32_t)health);
}

/* The task that worker index has claimed and not committed; false if there is none. */
static bool procpool__supervisor_task_of(procpool__supervisor *u, int index, uint32_t *slot, uint64_t *word) {
  const procpool__block *block = &u->segment.blocks[index];
  const uint64_t at = procpool__load(&block->intent_slot);
  *word = procpool__load(&block->intent_word);
  *slot = (uint32_t)at;
  return at < u->segment.capacity && procpool__word_worker(*word) == index &&
         procpool__word_state(*word) == PROCPOOL__RUNNING && procpool__load(&u->segment.slots[at].word) == *word;
}

/* Decides what becomes of a task of worker index: it is asked to end; or it is revoked, and settles when the worker is
 * reaped, for until then that one may write. False where the worker was faster, and committed. */
static bool procpool__supervisor_decide(procpool__supervisor *u, int index, uint32_t slot, uint64_t word,
                                        procpool__state state) {
  if (!procpool__cas(&u->segment.slots[slot].word, word, procpool__word_in(word, state)))
    return false;
  u->children[index].word = procpool__word_in(word, state);
  u->children[index].slot = slot;
  return true;
}

/* Revokes a task that was asked to end and did not return. */
static bool procpool__supervisor_revoke_asked(procpool__supervisor *u, int index) {
  const procpool__child *child = &u->children[index];
  return procpool__supervisor_decide(u, index, child->slot, child->word,
                                     procpool__state_after(procpool__word_state(child->word), PROCPOOL__DEAD_TIMEOUT));
}

/* Settles the task of worker index that was revoked, if there is one: its argument makes room for how the worker ended,
 * which is reaped, so no other process touches the slot. ending: null where it could not be reaped. */
static bool procpool__supervisor_report_death(procpool__supervisor *u, int index, const procpool__ending *ending) {
  const procpool__ending none = {PROCPOOL__ENDED, 0, 0, 0, 0, 0};
  const procpool__ending *end = ending != NULL ? ending : &none;
  procpool__child *child = &u->children[index];
  procpool__exit_record *e = procpool__slot_exit_record(&u->segment.slots[child->slot]);
  if (!procpool__state_dead(procpool__word_state(child->word)))
    return false;
  PROCPOOL__STEP();
  e->signal = end->signal_number;
  e->exit_status = end->exit_status;
  e->pid = (int32_t)child->pid;
  e->user_us = end->user_us;
  e->system_us = end->system_us;
  e->stage = (int32_t)child->stage | (ending == NULL ? PROCPOOL__EXIT_QUARANTINE : 0);
  procpool__table_push_dead(&u->segment, child->slot, end->rss_kib);
  procpool__store(&u->segment.header->dead_count, ++u->dead);
  child->word = 0;
  return true;
}

/* Revokes what worker index runs, if it runs anything: it becomes state, unless its fate was decided before. */
static void procpool__supervisor_revoke(procpool__supervisor *u, int index, procpool__state state) {
  uint32_t slot;
  uint64_t word;
  if (procpool__state_asked(procpool__word_state(u->children[index].word)) &&
      procpool__supervisor_revoke_asked(u, index))
    return;
  if (procpool__supervisor_task_of(u, index, &slot, &word))
    (void)procpool__supervisor_decide(u, index, slot, word, state);
}

/* A task that was asked to end may have done so: then its worker is not being ended any more. */
static void procpool__supervisor_note_return(procpool__supervisor *u, int index) {
  procpool__child *child = &u->children[index];
  if (child->stage != PROCPOOL_STAGE_ASKED || procpool__load(&u->segment.slots[child->slot].word) == child->word)
    return;
  child->stage = PROCPOOL_STAGE_NONE;
  child->word = 0;
}

/* The task, if any, that dies with worker index, which is reaped. Returns whether there was one. */
static bool procpool__supervisor_settle_dead(procpool__supervisor *u, int index, const procpool__ending *ending) {
  procpool__ring_publish_rest(&u->segment, index);
  procpool__supervisor_revoke(u, index, PROCPOOL__DEAD_CRASHED);
  return procpool__supervisor_report_death(u, index, ending);
}

/* Worker index takes no task from now on. Those that the host submitted before it could see this may rely on it: after
 * this, all are woken. */
static void procpool__supervisor_note_away(const procpool__supervisor *u, int index) {
  (void)procpool__or(procpool__shm_away(&u->segment, index), procpool__shm_bit(index));
}

/* Time in which a worker could not run: its limit and the next stage of its end come so much later. */
static void procpool__supervisor_give_back(procpool__child *child, uint64_t from, uint64_t to) {
  if (from >= to)
    return;
  child->excused += to - from;
  if (child->stage != PROCPOOL_STAGE_NONE && child->stage_due != PROCPOOL__NEVER)
    child->stage_due += to - from;
}

/* A stop counts from here, and not from the next look: that may be seconds away. Its end is heard after a look. */
static void procpool__supervisor_note_stop(procpool__supervisor *u, int index, bool stopped) {
  procpool__child *child = &u->children[index];
  if (stopped || !child->stopped) /* a stop that was over before this process looked is told by its end alone */
    procpool__store(&u->segment.header->stopped, ++u->stopped);
  if (stopped && !child->stopped) {
    child->stood_ns = procpool__platform_now();
    child->stopped_ns = child->stood_ns - child->excused;
    child->host_stood = false;
  }
  child->stopped = stopped;
  if (stopped)
    procpool__supervisor_note_away(u, index);
  else if (child->stage < PROCPOOL_STAGE_TERM && procpool__load(&u->segment.blocks[index].life) == PROCPOOL__LIFE_TASKS)
    (void)procpool__and(procpool__shm_away(&u->segment, index), ~procpool__shm_bit(index));
}

static void procpool__supervisor_clear_traces(procpool__supervisor *u, int index) {
  procpool__block *block = &u->segment.blocks[index];
  procpool__supervisor_note_away(u, index);
  (void)procpool__and(procpool__shm_idle(&u->segment, index), ~procpool__shm_bit(index));
  procpool__store32(&block->room_flag, 0);
  if (!u->segment.settings.once)
    procpool__store(&block->pid, 0);
  if (u->children[index].reset != 0)
    procpool__store(&block->tail, u->children[index].reset);
  u->children[index].reset = 0;
  u->alive -= u->children[index].pid != 0;
  u->children[index].pid = 0;
  procpool__store(&u->segment.header->alive, u->alive);
}

/* Waits for the end of worker index, which was killed. False when it has not come by the deadline: the kernel itself
 * holds it, in a device or a file system that does not answer. */
static bool procpool__supervisor_await(procpool__supervisor *u, int index, uint64_t deadline,
                                       procpool__ending *ending) {
  while (procpool__platform_reap(u->children[index].pid, false, ending) == 0) {
    if (procpool__platform_now() >= deadline)
      return false;
    procpool__platform_supervisor_sleep(NULL, 0, deadline);
  }
  return true;
}

/* ==== >>deaths ======================================================================================================
 * Runs in:   the supervisor.
 * Writes:    exit records and the dead list, words that it takes from RUNNING, blocks and rings of workers that are
 *            reaped.
 * Calls:     >>supervisor, and all above it.
 * Always:    a word is decided before a signal is sent, and a task settles only when its worker is reaped. */

/* ---- programs that a task has started ---- They end with it where its worker is ended: for a limit, a cancel, or with
 * the pool. The supervisor adopts orphans, so once a worker is gone, its children are the supervisor's, and when those
 * are gone theirs; each is found in the list of its children, and is known by the mark of the worker that it comes
 * from. A program that has begun a session of its own has left on purpose, and is left alone. A nested pool's
 * supervisor bears no mark: it ends by itself, and ends what is its own. */

static int procpool__supervisor_find(const procpool__supervisor *u, procpool__pid pid) {
  for (int i = 0; i < u->segment.workers; i++)
    if (u->children[i].pid == pid)
      return i;
  return -1;
}

/* child is this process's own, not yet reaped. */
static void procpool__supervisor_sweep_child(procpool__pid child, uint64_t mark, void *context) {
  procpool__supervisor *u = (procpool__supervisor *)context;
  const uint64_t index = mark & 0xfff;
  if (procpool__supervisor_find(u, child) >= 0 || index >= (uint64_t)u->segment.workers ||
      u->children[index].sweep != mark)
    return;
  procpool__platform_kill(child, PROCPOOL__SIGNAL_KILL);
  u->swept = true;
}

/* Ends the orphans that bear the mark of a worker that was ended; again after each death, for theirs come next, until
 * there is nothing left. Returns whether there was one. */
static bool procpool__supervisor_sweep(procpool__supervisor *u) {
  bool due = false;
  for (int i = 0; i < u->segment.workers; i++)
    due = due || u->children[i].sweep != 0;
  u->swept = false;
  if (due)
    procpool__platform_each_child(procpool__supervisor_sweep_child, u);
  for (int i = 0; due && !u->swept && i < u->segment.workers; i++)
    u->children[i].sweep = 0;
  return u->swept;
}

/* The same at the end of the pool, whose workers are gone: waits for it. */
static void procpool__supervisor_sweep_all(procpool__supervisor *u, uint64_t deadline) {
  procpool__ending ending;
  while (procpool__supervisor_sweep(u) && procpool__platform_now() < deadline) {
    const uint64_t soon = procpool__platform_now() + 10000000u;
    procpool__platform_supervisor_sleep(NULL, 0, soon < deadline ? soon : deadline);
    while (procpool__platform_reap(PROCPOOL__ANY, false, &ending) > 0)
      ;
  }
}

/* What worker index runs ends with the pool, and so do the programs that it has started. */
static void procpool__supervisor_note_programs(procpool__supervisor *u, int index) {
  procpool__child *child = &u->children[index];
  uint64_t word;
  uint32_t slot;
  if (procpool__state_dead(procpool__word_state(child->word)) || child->stage != PROCPOOL_STAGE_NONE ||
      procpool__load(&u->segment.blocks[index].life) == PROCPOOL__LIFE_FINALIZES ||
      procpool__supervisor_task_of(u, index, &slot, &word))
    child->sweep = child->mark;
}

/* Ends all workers and waits until each is reaped; what they ran becomes state. */
static void procpool__supervisor_end_workers(procpool__supervisor *u, procpool__state state) {
  const uint64_t deadline = procpool__platform_now() + PROCPOOL__PATIENCE;
  for (int i = 0; i < u->segment.workers; i++)
    if (u->children[i].pid != 0) {
      procpool__supervisor_note_return(u, i);
      procpool__supervisor_revoke(u, i, state);
      procpool__supervisor_note_programs(u, i);
      procpool__platform_kill(u->children[i].pid, PROCPOOL__SIGNAL_KILL);
    }
  for (int i = 0; i < u->segment.workers; i++) {
    procpool__ending ending;
    if (u->children[i].pid == 0)
      continue;
    memset(&ending, 0, sizeof(ending)); /* as it stays where it is reaped already */
    if (procpool__supervisor_await(u, i, deadline, &ending))
      (void)procpool__supervisor_settle_dead(u, i, &ending);
    else
      (void)procpool__supervisor_report_death(u, i, NULL);
    procpool__supervisor_clear_traces(u, i);
  }
  procpool__supervisor_sweep_all(u, procpool__platform_now() + PROCPOOL__PATIENCE / 10);
}

/* The host has ended, or wants everything gone without further ado. The segment is not read any more. A worker that
 * the kernel holds on to does not keep this process: it has its SIGKILL, and gets another one when this ends. */
static void procpool__supervisor_host_gone(procpool__supervisor *u) {
  const uint64_t deadline = procpool__platform_now() + PROCPOOL__PATIENCE / 10;
  procpool__ending ending;
  for (int i = 0; i < u->segment.workers; i++)
    if (u->children[i].pid != 0) {
      procpool__supervisor_note_programs(u, i);
      procpool__platform_kill(u->children[i].pid, PROCPOOL__SIGNAL_KILL);
    }
  for (int i = 0; i < u->segment.workers; i++) {
    if (u->children[i].pid != 0)
      (void)procpool__supervisor_await(u, i, deadline, &ending);
    u->children[i].pid = 0;
  }
  procpool__supervisor_sweep_all(u, deadline);
  /* a child of the host's may live on, and has the segment mapped: it keeps an empty one. A host that kills its pool,
   * or waits for this process to leave as it said, may yet read what was committed, and shared buffers. */
  if (u->phase != PROCPOOL__PHASE_KILL && procpool__load32(&u->segment.header->phase) != PROCPOOL__PHASE_KILL &&
      procpool__load32(&u->segment.header->gone) == 0)
    procpool__platform_shm_empty(u->segment.base, u->segment.arena_at + procpool__shm_arena_top(&u->segment));
  procpool__platform_leave(0);
}

/* Called for a worker that is reaped. With the host all workers are ended by the kernel, and that is no crash, and no
 * reason for replacements: the lifeline is at its end before the first of them gets its signal. */
static void procpool__supervisor_heed_lifeline(procpool__supervisor *u, int index, const procpool__ending *ending) {
  if (ending->signal_number != PROCPOOL__SIGNAL_KILL || !procpool__platform_gone(u->fds.far_lifeline, 0))
    return;
  procpool__supervisor_note_programs(u, index);
  u->children[index].pid = 0; /* no longer this process's child */
  procpool__supervisor_host_gone(u);
}

/* ---- deaths and replacements ---- */

/* 1 ms, 8 ms, 64 ms, at most half a second: no crash loop and no full machine makes this process busy, and within a
 * second of the last mishap there are workers again. */
static uint64_t procpool__supervisor_backoff(unsigned failures) {
  const unsigned shift = failures > 0 ? (failures - 1) * 3 : 0;
  return procpool__platform_now() + ((uint64_t)1000000 << (shift > 9 ? 9 : shift));
}

/* Whether a task waits. The hint that this goes by may have been scribbled upon: while a pool runs the host mends it;
 * but when it drains no task comes any more, so behind all that wait the hint is at the last one that was accepted, and
 * a hint that is elsewhere goes back as far as there are cells. */
static bool procpool__supervisor_waiting(const procpool__supervisor *u) {
  const procpool__segment *s = &u->segment;
  if (procpool__table_waiting(s))
    return true;
  if (u->phase != PROCPOOL__PHASE_DRAIN || procpool__load(&s->header->head) == u->accepted)
    return false;
  procpool__store(&s->header->head, u->accepted > s->cell_count ? u->accepted - s->cell_count : 0);
  return procpool__table_waiting(s);
}

/* Whether a worker that has ended is replaced. */
static bool procpool__supervisor_replaces(const procpool__supervisor *u) {
  return !u->ended && !u->segment.settings.once &&
         (u->phase != PROCPOOL__PHASE_DRAIN || procpool__supervisor_waiting(u));
}

/* A worker's start is useful if it got through its initializer and then either ran tasks or lived a while: one
 * that dies or leaves at once, again and again, is slowed down. */
static bool procpool__supervisor_was_useful(const procpool__supervisor *u, int index, bool had_task) {
  const procpool__block *block = &u->segment.blocks[index];
  const uint64_t life = procpool__load(&block->life);
  const uint64_t age = procpool__platform_now() - u->children[index].born;
  return ((life == PROCPOOL__LIFE_LEAVES || life == PROCPOOL__LIFE_FINALIZES) && procpool__load(&block->tasks) > 0) ||
         (life == PROCPOOL__LIFE_TASKS && (had_task || procpool__load(&block->tasks) > 0 || age > 100000000u));
}

/* Whether all indexes have failed so often in a row, of those that a worker has or will have, and none is at work. */
static bool procpool__supervisor_all_failed(const procpool__supervisor *u, unsigned times) {
  const bool replaced = procpool__supervisor_replaces(u);
  for (int i = 0; i < u->segment.workers; i++) {
    const bool lives = u->children[i].pid != 0;
    if (lives && procpool__supervisor_was_useful(u, i, false))
      return false;
    if (u->children[i].failures < times && (lives || replaced))
      return false;
  }
  return true;
}

/* Starts in a row, of every index, that came to nothing and after which the pool gives up. FAILED: in the initializer.
 * DIED: after it, by itself (a filter of system calls that lacks one, a thread of the initializer's that crashed):
 * about 3 s with the back-off. TAKEN: after it, by a signal that others send, while tasks wait (5 s): with none
 * waiting, a user may be playing with them. KILLED: before it came to its initializer: that says nothing of the next
 * one, and only a long run does (8 s). */
enum {
  PROCPOOL__STARTS_FAILED = 3,
  PROCPOOL__STARTS_DIED = 8,
  PROCPOOL__STARTS_TAKEN = 12,
  PROCPOOL__STARTS_KILLED = 20
};

/* Whether a useless start, the last to end, was one too many. */
static bool procpool__supervisor_hopeless(const procpool__supervisor *u, uint64_t life) {
  const int signal_number = u->ending.signal_number;
  unsigned times = PROCPOOL__STARTS_DIED;
  if (u->ended || u->segment.settings.once || life == PROCPOOL__LIFE_FINALIZES ||
      (life == PROCPOOL__LIFE_LEAVES && (signal_number == 0 || u->segment.settings.finalizer != 0)))
    return false;
  if (life == PROCPOOL__LIFE_FORKED)
    times = PROCPOOL__STARTS_KILLED;
  else if (life == PROCPOOL__LIFE_REFUSED || life == PROCPOOL__LIFE_BEGINS)
    times = PROCPOOL__STARTS_FAILED;
  else if (procpool__platform_from_outside(signal_number))
    times = PROCPOOL__STARTS_TAKEN;
  return procpool__supervisor_all_failed(u, times) &&
         (times != PROCPOOL__STARTS_TAKEN || procpool__supervisor_waiting(u));
}

/* A pool that gives up, for the end of worker index, the last: all workers go, and the host hears why. */
static void procpool__supervisor_give_up(procpool__supervisor *u, procpool__health health, int index) {
  u->ended = true;
  procpool__supervisor_end_workers(u, PROCPOOL__DEAD_BROKEN);
  procpool__supervisor_cause(u, health, index, 0);
}

/* Worker index, which is reaped, has ended in its finalizer: the host hears of it by a record in that one's ring, which
 * is this process's until there is another worker; if there is room for it. Where the ring makes no sense neither will
 * this. */
static void procpool__supervisor_report_finalizer(procpool__supervisor *u, int index, const procpool__ending *ending) {
  const procpool__segment *s = &u->segment;
  const uint64_t tail = procpool__load(&s->blocks[index].tail);
  procpool__exit_record e;
  procpool__record head;
  memset((void *)&e, 0, sizeof(e));
  e.signal = ending->signal_number;
  e.exit_status = ending->exit_status;
  e.pid = (int32_t)u->children[index].pid;
  e.user_us = ending->user_us;
  e.system_us = ending->system_us;
  e.rss_kib_next = ending->rss_kib << 24;
  e.stage = u->children[index].overdue ? PROCPOOL_STAGE_KILL : PROCPOOL_STAGE_NONE;
  head.position = tail;
  head.word = procpool__word(PROCPOOL__TICKET_FINALIZER, index,
                             u->children[index].overdue ? PROCPOOL__DEAD_TIMEOUT : PROCPOOL__DEAD_CRASHED);
  head.size = sizeof(e);
  head.slot = 0;
  head.pid = (uint32_t)e.pid;
  if (tail % PROCPOOL__UNIT != 0 ||
      tail + procpool__ring_length(s, tail, sizeof(e), 0) - procpool__load(&s->blocks[index].consumed) > s->ring_size)
    return;
  procpool__ring_copy_in(s, NULL, index, tail + sizeof(head), &e, sizeof(e));
  procpool__ring_stamp(s, index, tail, &head);
  (void)procpool__ring_publish_for(s, index);
}

static void procpool__supervisor_on_death(procpool__supervisor *u, int index, const procpool__ending *ending) {
  procpool__child *child = &u->children[index];
  const uint64_t life = procpool__load(&u->segment.blocks[index].life);
  const bool left = life == PROCPOOL__LIFE_LEAVES || life == PROCPOOL__LIFE_FINALIZES;
  bool wanted, had_task, useful;
  procpool__supervisor_note_return(u, index);
  wanted = child->stage != PROCPOOL_STAGE_NONE;
  if (wanted || child->overdue || child->reset != 0)
    child->sweep = child->mark;
  had_task = procpool__supervisor_settle_dead(u, index, ending);
  if (life == PROCPOOL__LIFE_FINALIZES && !had_task && u->segment.settings.finalizer_wanted != 0)
    procpool__supervisor_report_finalizer(u, index, ending);
  useful = procpool__supervisor_was_useful(u, index, had_task);
  u->ended_pid = child->pid;
  u->ending = *ending;
  procpool__supervisor_clear_traces(u, index);
  child->failures = useful ? 0 : child->failures + 1;
  child->due = useful ? 0 : procpool__supervisor_backoff(child->failures);
  if (u->segment.settings.strict && (!left || had_task) && !wanted && !u->ended)
    procpool__supervisor_give_up(u, PROCPOOL__HEALTH_STRICT, index);
  else if (!useful && procpool__supervisor_hopeless(u, life))
    procpool__supervisor_give_up(u, PROCPOOL__HEALTH_INIT_FAIL, index);
}

/* Signals coalesce: asks until no other has died or stopped. The one that did may have been woken on behalf of others,
 * so all who sleep are woken to look again. */
static void procpool__supervisor_reap(procpool__supervisor *u) {
  procpool__ending ending;
  procpool__pid pid;
  bool any = false;
  while ((pid = procpool__platform_reap(PROCPOOL__ANY, true, &ending)) > 0) {
    const int index = procpool__supervisor_find(u, pid);
    if (index < 0)
      continue;
    any = true;
    if (ending.fate == PROCPOOL__ENDED) {
      procpool__supervisor_heed_lifeline(u, index, &ending);
      procpool__supervisor_on_death(u, index, &ending);
    } else {
      procpool__supervisor_note_stop(u, index, ending.fate == PROCPOOL__STOPPED);
      procpool__ring_publish_for(&u->segment, index);
    }
  }
  if (!any)
    return;
  for (int i = 0; i < u->segment.workers; i += 64) /* one that died or stopped may have been called, or about to call */
    procpool__store(procpool__shm_coming(&u->segment, i), 0);
  procpool__shm_wake_workers(&u->segment);
  procpool__shm_wake_host(&u->segment, u->fds.event_fd);
}

/* A fork that fails is tried again later; with no worker left, those who wait for one are told. */
static void procpool__supervisor_start_again(procpool__supervisor *u, int index) {
  procpool__child *child = &u->children[index];
  const bool started = procpool__supervisor_start(u, index);
  const int error = procpool__platform_error();
  u->fork_failures = started ? 0 : u->fork_failures + 1;
  if (started) {
    if (procpool__load32(&u->segment.header->health) == PROCPOOL__HEALTH_SPAWN_FAIL)
      procpool__store32(&u->segment.header->health, PROCPOOL__HEALTH_OK);
    return;
  }
  child->failures++;
  child->due = procpool__supervisor_backoff(child->failures);
  if (u->alive == 0 && u->fork_failures >= 4)
    procpool__supervisor_cause(u, PROCPOOL__HEALTH_SPAWN_FAIL, -1, error);
  procpool__shm_wake_workers(&u->segment);
  procpool__shm_wake_host(&u->segment, u->fds.event_fd);
}

/* Starts the workers that are due, in turn. Returns when the next one will be: at once where there are more than a few
 * milliseconds allow, for the copy of a large host takes long to fork, and limits and the host's wishes shall not wait
 * until all are there. */
static uint64_t procpool__supervisor_replace(procpool__supervisor *u) {
  const uint64_t end = procpool__platform_now() + PROCPOOL__FORKS;
  const int first = u->turn;
  uint64_t next = PROCPOOL__NEVER;
  for (int n = 0; n < u->segment.workers; n++) {
    const int i = (first + n) % u->segment.workers;
    procpool__child *child = &u->children[i];
    uint64_t now;
    if (child->pid != 0)
      continue;
    if (!procpool__supervisor_replaces(u))
      break;
    now = procpool__platform_now();
    if (child->due <= now && now < end) {
      u->turn = i + 1;
      procpool__supervisor_start_again(u, i);
    }
    if (child->pid == 0 && child->due < next)
      next = child->due;
  }
  return next;
}

/* ---- the end of a running task, by stages ---- First the word decides: RUNNING to ASKED_* (or, without a grace, to
 * DEAD_*). A task that returns now commits DONE_*, and its worker lives on. When the grace is over, ASKED_* becomes
 * DEAD_*, unless the worker was faster; only then is a signal sent, to a worker that can never claim again: no signal
 * hits the next task. It settles when the worker is reaped. */

/* The next stage of what worker index runs, whose word was taken away. */
static void procpool__supervisor_signal(procpool__supervisor *u, int index, procpool_stage stage, uint64_t now) {
  procpool__child *child = &u->children[index];
  child->stage = stage;
  procpool__supervisor_note_away(u, index);
  child->stage_due = now + (stage == PROCPOOL_STAGE_KILL ? PROCPOOL__PATIENCE : child->grace);
  procpool__platform_kill(child->pid, stage == PROCPOOL_STAGE_KILL ? PROCPOOL__SIGNAL_KILL : PROCPOOL__SIGNAL_TERM);
}

/* Begins the end of what worker index runs. */
static void procpool__supervisor_begin_end(procpool__supervisor *u, int index, uint32_t slot, uint64_t word,
                                           bool timeout, uint64_t now) {
  procpool__child *child = &u->children[index];
  const procpool__state asked = timeout ? PROCPOOL__ASKED_TIMEOUT : PROCPOOL__ASKED_CANCELLED;
  const bool ask = child->grace > 0;
  if (!procpool__supervisor_decide(u, index, slot, word,
                                   ask ? asked : procpool__state_after(asked, PROCPOOL__DEAD_TIMEOUT)))
    return;
  if (ask) {
    child->stage = PROCPOOL_STAGE_ASKED;
    child->stage_due = now + child->grace;
  } else
    procpool__supervisor_signal(u, index, PROCPOOL_STAGE_KILL, now);
}

/* The time of a stage is over. */
static void procpool__supervisor_next_stage(procpool__supervisor *u, int index, uint64_t now) {
  procpool__child *child = &u->children[index];
  if (child->stage == PROCPOOL_STAGE_KILL) { /* and it is still there: the kernel holds it. The task settles without */
    (void)procpool__supervisor_report_death(u, index, NULL);
    child->stage_due = PROCPOOL__NEVER;
    procpool__shm_wake_host(&u->segment, u->fds.event_fd);
  } else if (child->stage == PROCPOOL_STAGE_TERM)
    procpool__supervisor_signal(u, index, PROCPOOL_STAGE_KILL, now);
  else if (procpool__supervisor_revoke_asked(u, index))
    procpool__supervisor_signal(u, index, child->grace > 0 ? PROCPOOL_STAGE_TERM : PROCPOOL_STAGE_KILL, now);
  else
    procpool__supervisor_note_return(u, index);
}

/* Flags and limit are read relaxed: those that came with the task were published by its word, which was read before;
 * a wish that comes later is seen now or after the bell that follows it. Whose they are is settled by the
 * compare-and-swap on the word. */
static uint64_t procpool__supervisor_grace(const procpool__supervisor *u, uint32_t slot) {
  return (uint64_t)(procpool__load32_relaxed(&u->segment.slots[slot].flags) >> PROCPOOL__SLOT_GRACE) * 1000000u;
}

/* When the body of a task began that this process sees for the first time: the worker's own word is taken where it can
 * be true, and never for later than now. Longer ago than this process looks, it was seen late because this process
 * could not run: that time does not count. */
static uint64_t procpool__supervisor_began(const procpool__supervisor *u, int index, uint64_t word, uint64_t limit,
                                           uint64_t now) {
  const procpool__block *block = &u->segment.blocks[index];
  uint64_t started;
  if (procpool__load_acquire(&block->limited_word) != word)
    return now;
  started = procpool__load_relaxed(&block->started_ns);
  if (started < u->children[index].born || started > now || now - started > limit / 8 + PROCPOOL__LATE)
    return now;
  return started;
}

/* When the limit or the deadline of the task that worker index runs is over; NEVER where it has none, or its body has
 * returned. The body was in time then; but if the worker is stopped while there is no room for the result, nothing else
 * would end it, so from the stop on it has the whole limit again, and what is given back since then. A body that has not
 * begun by its deadline never will: its worker commits that, and is not to be ended in the midst of it. */
static uint64_t procpool__supervisor_limit_due(procpool__supervisor *u, int index, uint32_t slot, uint64_t word,
                                               uint64_t now) {
  procpool__child *child = &u->children[index];
  const uint64_t limit = (uint64_t)procpool__load32_relaxed(&u->segment.slots[slot].limit) * 1000000u;
  const bool began = procpool__load_acquire(&u->segment.blocks[index].limited_word) == word;
  const uint64_t deadline = began ? procpool__shm_deadline(&u->segment, slot) : PROCPOOL__NEVER;
  const bool ended = procpool__load_relaxed(&u->segment.blocks[index].ended_word) == word;
  uint64_t from;
  if (limit == 0 || (ended && !child->stopped))
    return PROCPOOL__NEVER;
  if (child->seen != word || (began && !child->told)) { /* between claim and body it may lose its processor */
    child->seen = word;
    child->told = began;
    child->began = procpool__supervisor_began(u, index, word, limit, now) - child->excused;
  }
  from = ended && child->stopped_ns > child->began ? child->stopped_ns : child->began;
  from += child->excused + limit;
  return ended || from < deadline ? from : deadline;
}

/* Looks at what worker index runs: whether it is to be ended now. Returns when to look again. */
static uint64_t procpool__supervisor_enforce_task(procpool__supervisor *u, int index, uint64_t now) {
  procpool__child *child = &u->children[index];
  uint32_t slot;
  uint64_t word, due;
  bool wanted;
  if (!procpool__supervisor_task_of(u, index, &slot, &word))
    return PROCPOOL__NEVER;
  wanted = (procpool__load32_relaxed(&u->segment.slots[slot].flags) & PROCPOOL__SLOT_KILL) != 0;
  due = procpool__supervisor_limit_due(u, index, slot, word, now);
  if (!wanted && due > now)
    return due;
  child->grace = procpool__supervisor_grace(u, slot);
  procpool__supervisor_begin_end(u, index, slot, word, !wanted, now);
  return child->stage != PROCPOOL_STAGE_NONE ? child->stage_due : PROCPOOL__NEVER;
}

/* A second call of cancel_kill may shorten the grace of a task whose end has begun. */
static void procpool__supervisor_shorten_grace(procpool__supervisor *u, int index, uint64_t now) {
  procpool__child *child = &u->children[index];
  const uint64_t grace = procpool__supervisor_grace(u, child->slot);
  if (child->stage == PROCPOOL_STAGE_KILL || grace >= child->grace)
    return;
  child->grace = grace;
  if (now + grace < child->stage_due)
    child->stage_due = now + grace;
}

/* ns between looks, where so many are wished for. */
static uint64_t procpool__supervisor_tick(uint64_t ns) {
  ns = ns < PROCPOOL__TICK_LEAST ? PROCPOOL__TICK_LEAST : ns;
  return ns > PROCPOOL__TICK_MOST ? PROCPOOL__TICK_MOST : ns;
}

/* When the limit of what worker index runs beside its tasks is over: its initializer, which counts from its start; or
 * its finalizer, from when it was seen, of which the worker tells. One that cannot (its tasks have given up the right
 * to signal this process) is looked at now and then while the pool drains, lest a shutdown wait for ever: *tick. */
static uint64_t procpool__supervisor_beside_due(procpool__supervisor *u, int index, uint64_t now, uint64_t *tick) {
  const procpool__settings *h = &u->segment.settings;
  procpool__child *child = &u->children[index];
  const uint64_t life = procpool__load(&u->segment.blocks[index].life);
  if (h->initializer_limit > 0 && (life == PROCPOOL__LIFE_FORKED || life == PROCPOOL__LIFE_BEGINS))
    return child->born + h->initializer_limit + child->excused;
  if (h->finalizer_limit == 0)
    return PROCPOOL__NEVER;
  if (life == PROCPOOL__LIFE_TASKS && u->phase == PROCPOOL__PHASE_DRAIN)
    *tick = now + procpool__supervisor_tick(h->finalizer_limit / 8);
  if (life != PROCPOOL__LIFE_FINALIZES)
    return PROCPOOL__NEVER;
  if (child->finalizes == 0)
    child->finalizes = now - child->excused;
  return child->finalizes + h->finalizer_limit + child->excused;
}

/* Looks at worker index. Returns when to look again. */
static uint64_t procpool__supervisor_enforce_worker(procpool__supervisor *u, int index, uint64_t now) {
  procpool__child *child = &u->children[index];
  uint64_t next = PROCPOOL__NEVER;
  const uint64_t due = child->overdue ? PROCPOOL__NEVER : procpool__supervisor_beside_due(u, index, now, &next);
  if (due != PROCPOOL__NEVER && now < due)
    return due;
  if (due != PROCPOOL__NEVER) {
    child->overdue = true;
    procpool__platform_kill(child->pid, PROCPOOL__SIGNAL_KILL);
  }
  procpool__supervisor_note_return(u, index);
  if (child->stage == PROCPOOL_STAGE_NONE) {
    const uint64_t task_due = procpool__supervisor_enforce_task(u, index, now);
    return task_due < next ? task_due : next;
  }
  procpool__supervisor_shorten_grace(u, index, now);
  if (child->stage_due <= now)
    procpool__supervisor_next_stage(u, index, now);
  return child->stage != PROCPOOL_STAGE_NONE ? child->stage_due : PROCPOOL__NEVER;
}

/* A signal to the group reaches its processes one after the other: the host of a worker that was stopped just now may
 * be about to stop. */
static bool procpool__supervisor_host_may_follow(const procpool__child *child, uint64_t now) {
  return child->stopped && !child->host_stood && now - child->excused - child->stopped_ns < PROCPOOL__LATE;
}

/* held: since when this process could not run. That time is given back to all tasks, and to none twice. Whether the
 * host went on when the worker did cannot be seen any more: it stood at the last look. */
static void procpool__supervisor_excuse_worker(procpool__child *child, bool host_stands, uint64_t held, uint64_t now) {
  const bool together = child->host_stood || host_stands;
  procpool__supervisor_give_back(child, held, now);
  if (!child->stopped)
    return;
  child->host_stood = host_stands;
  if (together)
    procpool__supervisor_give_back(child, child->stood_ns, held);
  else if (held == now && procpool__supervisor_host_may_follow(child, now))
    return; /* a later look decides about this stop from its begin */
  child->stood_ns = now;
}

/* Time in which a worker could not run does not count: what this process overslept (from held on), and the stop of a
 * job from its terminal: the host and the workers stand then, while this process, which blocks the signals for that,
 * runs on. A worker that stands alone is not excused: its limit ends it. */
static void procpool__supervisor_excuse(procpool__supervisor *u, uint64_t held, uint64_t now) {
  bool host_stands = false, asked = false;
  for (int i = 0; i < u->segment.workers; i++) {
    procpool__child *child = &u->children[i];
    if (child->pid == 0)
      continue;
    if (child->stopped && !asked) {
      host_stands = procpool__platform_is_stopped(u->host);
      asked = true;
    }
    procpool__supervisor_excuse_worker(child, host_stands, held, now);
  }
}

/* Sleeps until something comes, or until then. If it oversleeps by far, it was stopped or frozen, as the whole job is
 * by a container's pause, a signal to the group, a debugger. Its own work is no such time, however long that takes: a
 * large host's copies are slow to fork, and while workers are replaced one after the other no limit would end. */
static void procpool__supervisor_rest(procpool__supervisor *u, procpool__source *sources, int count, uint64_t until) {
  const uint64_t begin = procpool__platform_now(), due = until > begin ? until : begin;
  uint64_t now;
  procpool__platform_supervisor_sleep(sources, count, until);
  now = procpool__platform_now();
  procpool__supervisor_excuse(u, now > due && now - due > PROCPOOL__LATE ? due : now, now);
}

/* When to look again at the latest, if anything is to be ended at all: soon where the host may follow a worker, for a
 * stop may be over before the next tick. */
static uint64_t procpool__supervisor_soon(const procpool__supervisor *u, uint64_t next, uint64_t now) {
  if (next == PROCPOOL__NEVER || next <= now + PROCPOOL__FOLLOW)
    return next;
  for (int i = 0; i < u->segment.workers; i++)
    if (u->children[i].pid != 0 && procpool__supervisor_host_may_follow(&u->children[i], now))
      return now + PROCPOOL__FOLLOW;
  return next;
}

/* Whether a task with a limit may be running or about to. Those whose results lie there until the host takes them in
 * need no looking after. The queue is looked at first: a task that has left it by then is found with its worker. */
static bool procpool__supervisor_limits_matter(procpool__supervisor *u) {
  if (procpool__load(&u->segment.header->limited) == 0)
    return false;
  if (procpool__supervisor_waiting(u))
    return true;
  for (int i = 0; i < u->segment.workers; i++) {
    uint32_t slot;
    uint64_t word;
    if (u->children[i].pid != 0 && procpool__supervisor_task_of(u, i, &slot, &word) &&
        procpool__load32_relaxed(&u->segment.slots[slot].limit) != 0)
      return true;
  }
  return false;
}

/* ---- deadlines in the queue ---- */

/* A task whose deadline has passed while it waited, word being READY of its ticket: it becomes DEAD of no worker, unless
 * one has it now. Its slot is this process's until it is on the list: the header says so, lest the host's audit takes it
 * for lost. A kill of this process before that ends the pool, and the host reads the word. */
static bool procpool__supervisor_expire(procpool__supervisor *u, uint32_t slot, uint64_t ready) {
  const uint64_t dead = procpool__word(procpool__word_ticket(ready), PROCPOOL__NO_WORKER, PROCPOOL__DEAD_TIMEOUT);
  bool expired;
  procpool__store32(&u->segment.header->expiring, slot + 1);
  expired = procpool__cas(&u->segment.slots[slot].word, ready, dead);
  if (expired) {
    PROCPOOL__STEP();
    memset((void *)procpool__slot_exit_record(&u->segment.slots[slot]), 0, sizeof(procpool__exit_record));
    procpool__table_push_dead(&u->segment, slot, 0);
    procpool__store(&u->segment.header->dead_count, ++u->dead);
  }
  procpool__store32(&u->segment.header->expiring, 0);
  return expired;
}

/* Looks at all that waits. What it reads of a slot is that task's if the word says so in the end, as in each claim. */
static void procpool__supervisor_expire_queue(procpool__supervisor *u, uint64_t now) {
  const procpool__segment *s = &u->segment;
  const uint64_t head = procpool__load(&s->header->head);
  bool any = false;
  u->expiry = PROCPOOL__NEVER;
  for (uint64_t steps = 0; steps < s->cell_count; steps++) {
    const uint64_t ready = procpool__word(head + steps + 1, 0, PROCPOOL__READY);
    uint32_t slot;
    uint64_t deadline;
    const procpool__peek peek = procpool__table_peek(s, head + steps, &slot);
    if (peek == PROCPOOL__PEEK_EMPTY)
      break;
    if (peek == PROCPOOL__PEEK_BEHIND || procpool__load(&s->slots[slot].word) != ready)
      continue;
    deadline = procpool__shm_deadline(s, slot);
    if (deadline <= now)
      any = procpool__supervisor_expire(u, slot, ready) || any;
    else
      u->expiry = deadline < u->expiry ? deadline : u->expiry;
  }
  if (any)
    procpool__shm_wake_host(s, u->fds.event_fd);
}

/* The same, if there is reason to: more tasks with a deadline came since the last look, or the earliest deadline has
 * passed; but for a long queue not so soon that this process does nothing else. Returns when to look again. The count is
 * read before the queue, into which a task comes before it is counted. */
static uint64_t procpool__supervisor_expire_due(procpool__supervisor *u, uint64_t now) {
  const uint64_t dated = procpool__load(&u->segment.header->dated);
  if (now >= u->rested && (dated != u->dated || now >= u->expiry)) {
    uint64_t end;
    u->dated = dated;
    procpool__supervisor_expire_queue(u, now);
    end = procpool__platform_now();
    u->rested = end + PROCPOOL__EXPIRE_REST * (end - now);
  }
  return dated == u->dated && u->expiry > u->rested ? u->expiry : u->rested;
}

/* Ends what is to be ended. Returns when to look again: workers do not tell when they begin a task with a limit, so
 * while there are such tasks this looks now and then; and once more after it, for where they come one at a time it may
 * be between two of them that this looks, again and again. */
static uint64_t procpool__supervisor_enforce(procpool__supervisor *u) {
  procpool__header *h = u->segment.header;
  const uint64_t now = procpool__platform_now();
  uint64_t next = PROCPOOL__NEVER, tick, due;
  bool matter;
  procpool__supervisor_excuse(u, now, now); /* what stood while this process forked */
  for (int i = 0; i < u->segment.workers; i++) {
    due = u->children[i].pid != 0 ? procpool__supervisor_enforce_worker(u, i, now) : PROCPOOL__NEVER;
    next = due < next ? due : next;
  }
  due = procpool__supervisor_expire_due(u, now);
  next = due < next ? due : next;
  /* said before the look: a host that finds it rings when it has published its task, or this finds that task */
  procpool__store32(&h->ticking, 0);
  matter = procpool__supervisor_limits_matter(u);
  if (!matter && !u->lingers)
    return procpool__supervisor_soon(u, next, now);
  u->lingers = matter;
  procpool__store32(&h->ticking, 1);
  tick = procpool__supervisor_tick(procpool__load(&h->tick));
  return procpool__supervisor_soon(u, now + tick < next ? now + tick : next, now);
}

/* ==== >>door ========================================================================================================
 * Runs in:   the supervisor; the door in a program that was started anew.
 * Writes:    as >>deaths; and the phase, which it mends.
 * Calls:     >>deaths, and all above it.
 * Always:    with the end of the host, or of its wish for workers, all goes: nothing outlives a pool. */

/* ---- the host's wishes ---- */

/* Says that no worker is left, and goes. The message is what counts; the word tells the host when to look for it. */
static void procpool__supervisor_leave(procpool__supervisor *u) {
  (void)procpool__message_send(u->fds.far_control, PROCPOOL__MESSAGE_GONE, 0, 0, false);
  procpool__store32(&u->segment.header->gone, 1);
  procpool__shm_wake_host(&u->segment, u->fds.event_fd);
  procpool__platform_leave(0);
}

/* A pool of one task whose worker died before it claimed it: the task is that worker's all the same. The claim is made
 * for it, by its intent and the word, and then it is as if it had died later. The host has submitted it before it said
 * that the pool drains. */
static void procpool__supervisor_settle_unclaimed(procpool__supervisor *u) {
  procpool__block *block = &u->segment.blocks[0];
  const uint64_t word = procpool__load(&u->segment.slots[0].word);
  const uint64_t running = procpool__word(procpool__word_ticket(word), 0, PROCPOOL__RUNNING);
  if (u->ended_pid == 0 || u->children[0].pid != 0 || procpool__word_state(word) != PROCPOOL__READY)
    return;
  procpool__store(&block->intent_slot, 0);
  procpool__store(&block->intent_word, running);
  if (!procpool__supervisor_decide(u, 0, 0, word, PROCPOOL__DEAD_CRASHED))
    return;
  u->children[0].pid = u->ended_pid;
  (void)procpool__supervisor_report_death(u, 0, &u->ending);
  u->children[0].pid = 0;
}

/* First it puts the segment's phase right, by which workers go: else they would leave, and so would those that follow.
 * The host tells this process before it writes the word, so what is heard is never behind it; and should this be
 * between the two, the message makes it look again. Workers that sleep have seen another phase. */
static void procpool__supervisor_on_phase(procpool__supervisor *u) {
  if (procpool__load32(&u->segment.header->phase) != u->phase) {
    procpool__store32(&u->segment.header->phase, u->phase);
    procpool__shm_wake_workers(&u->segment);
  }
  if (u->phase == PROCPOOL__PHASE_KILL) {
    (void)procpool__message_send(u->fds.far_control, PROCPOOL__MESSAGE_ENDING, 0, 0, false);
    procpool__supervisor_end_workers(u, PROCPOOL__DEAD_SHUTDOWN);
    procpool__supervisor_leave(u);
  }
  if (u->phase != PROCPOOL__PHASE_DRAIN)
    return;
  if (u->segment.settings.once)
    procpool__supervisor_settle_unclaimed(u);
  if (u->alive > 0 || procpool__supervisor_replaces(u))
    return;
  procpool__supervisor_sweep_all(u, procpool__platform_now() + PROCPOOL__PATIENCE / 10); /* nothing would do it later */
  procpool__supervisor_leave(u);
}

static void procpool__supervisor_on_message(procpool__supervisor *u, const procpool__message *m) {
  procpool__child *child;
  if (m->kind == PROCPOOL__MESSAGE_PHASE && m->a > u->phase && m->a <= PROCPOOL__PHASE_KILL) {
    u->phase = (uint32_t)m->a; /* it only ever goes on */
    u->accepted = m->b;
  }
  u->lingers = u->lingers || m->kind == PROCPOOL__MESSAGE_LOOK;
  if (m->a >= (uint64_t)u->segment.workers ||
      (m->kind != PROCPOOL__MESSAGE_SIGNAL && m->kind != PROCPOOL__MESSAGE_RESET))
    return;
  child = &u->children[m->a];
  if (m->kind == PROCPOOL__MESSAGE_RESET)
    child->reset = m->b;
  if (child->pid != 0)
    procpool__platform_kill(child->pid, m->kind == PROCPOOL__MESSAGE_RESET ? PROCPOOL__SIGNAL_KILL : (int)m->b);
  else if (m->kind == PROCPOOL__MESSAGE_RESET)
    procpool__supervisor_clear_traces(u, (int)m->a);
}

static void procpool__supervisor_hear(procpool__supervisor *u) {
  procpool__message m;
  int got;
  while ((got = procpool__platform_receive(u->fds.far_control, &m, sizeof(m), NULL, false)) > 0)
    procpool__supervisor_on_message(u, &m);
  if (got < 0)
    procpool__supervisor_host_gone(u);
}

/* A worker that has lost the host's descriptor has something for the host. */
static void procpool__supervisor_notify_host(procpool__supervisor *u) {
  procpool__header *h = u->segment.header;
  if (procpool__load32(&h->lost_bell) == 0)
    return;
  procpool__store32(&h->lost_bell, 0); /* before the wake: a bell that comes now has its own signal */
  procpool__shm_wake_host(&u->segment, u->fds.event_fd);
}

/* Where nothing tells of the witness's end (inotify is refused, or all of the user's are taken), the supervisor has to
 * look; else this costs nothing. Returns when to look again. */
static uint64_t procpool__supervisor_look_at_witness(procpool__supervisor *u) {
  if (u->fds.witness < 0 || u->fds.watch >= 0)
    return PROCPOOL__NEVER;
  if (procpool__platform_witness_gone(u->fds.witness, -1))
    procpool__supervisor_host_gone(u);
  return procpool__platform_now() + PROCPOOL__WITNESS_TICK;
}

static void procpool__supervisor_loop(procpool__supervisor *u) {
  procpool__source sources[4];
  for (;;) {
    uint64_t next, due;
    procpool__supervisor_reap(u);
    (void)procpool__supervisor_sweep(u);
    procpool__supervisor_notify_host(u);
    procpool__supervisor_hear(u); /* after the deaths: a worker that left because the pool drains is not replaced */
    procpool__supervisor_on_phase(u);
    next = procpool__supervisor_replace(u);
    due = procpool__supervisor_enforce(u);
    next = due < next ? due : next;
    due = procpool__supervisor_look_at_witness(u);
    next = due < next ? due : next;
    sources[0] = procpool__platform_end_of(u->fds.far_lifeline);
    sources[1] = procpool__platform_source(u->fds.host_pidfd);
    sources[2] = procpool__platform_source(u->fds.far_control);
    sources[3] = procpool__platform_source(u->fds.watch);
    procpool__supervisor_rest(u, sources, 4, next); /* first of all it excuses: by that, limits and stops are judged */
    if (procpool__platform_came(&sources[0]) || procpool__platform_came(&sources[1]) ||
        (procpool__platform_came(&sources[3]) && procpool__platform_witness_gone(u->fds.witness, u->fds.watch)))
      procpool__supervisor_host_gone(u);
  }
}

/* ---- its start ---- */

/* Forks the first workers: all of them, or none is left. */
static int procpool__supervisor_start_all(procpool__supervisor *u) {
  for (int i = 0; i < u->segment.workers; i++)
    if (!procpool__supervisor_start(u, i)) {
      const int error = procpool__platform_error();
      procpool__supervisor_end_workers(u, PROCPOOL__DEAD_BROKEN);
      return error;
    }
  return 0;
}

/* Runs in the go-between, whose child the supervisor still is, so that its pid cannot be another process's. Gives the
 * host a descriptor that stands for the supervisor: a task may stop or trace it again and again, and then the host must
 * be able to end it, and no other process. Without such descriptors (Linux 5.3) the host hears that there is none.
 * Returns the error (*call: what failed). */
static int procpool__supervisor_introduce(int control, procpool__pid supervisor, const char **call) {
  procpool__message m = procpool__message_of(PROCPOOL__MESSAGE_SELF, 0, 0);
  int fd = procpool__platform_pidfd(supervisor);
  int error = 0;
  *call = "pidfd_open";
  if (fd < 0 && procpool__platform_scarce(procpool__platform_error()))
    return procpool__platform_error();
  *call = "sendmsg";
  if (!procpool__platform_send(control, &m, sizeof(m), fd, true) &&
      (fd < 0 || !procpool__platform_send(control, &m, sizeof(m), -1, true)))
    error = procpool__platform_error();
  procpool__platform_close(&fd);
  return error;
}

/* Tells the host why this process cannot be its supervisor, and leaves. */
PROCPOOL__NORETURN static void procpool__supervisor_decline(const procpool__supervisor *u, procpool__message_kind why,
                                                            int error, uint64_t call) {
  (void)procpool__message_send(u->fds.far_control, why, (uint64_t)error, call, true);
  procpool__platform_leave(1);
}

static void procpool__supervisor_settle_in(procpool__supervisor *u) {
  const int error = procpool__platform_supervisor_signals();
  u->pid = procpool__platform_pid();
  procpool__platform_continue_when_told(u->fds.far_lifeline);
  if (error != 0)
    procpool__supervisor_decline(u, PROCPOOL__MESSAGE_STARTED, error, PROCPOOL__CALL_SIGACTION);
  if (procpool__platform_gone(u->fds.far_lifeline, 0) || procpool__platform_witness_gone(u->fds.witness, -1))
    procpool__platform_leave(0);
}

/* Its own copies of what the header says: before there is a worker that could write there. */
static void procpool__supervisor_note_settings(procpool__supervisor *u) {
  const procpool__header *h = u->segment.header;
  procpool__process_record.depth = u->segment.settings.depth + 1;
  u->host = (procpool__pid)h->host_pid;
  memcpy(u->name, h->name, sizeof(u->name));
}

static void procpool__supervisor_run(procpool__supervisor *u) {
  int error;
  procpool__supervisor_note_settings(u);
  procpool__platform_supervisor_manners(u->name);
  if (u->segment.header->pinned)
    procpool__cpu_use(u->segment.header->cpu_set);
  error =
      procpool__process_begin() ? procpool__supervisor_start_all(u) : PROCPOOL__NO_MEMORY; /* workers inherit that */
  if (error != 0)
    procpool__supervisor_decline(u, PROCPOOL__MESSAGE_STARTED, error, PROCPOOL__CALL_FORK);
  if (!procpool__message_send(u->fds.far_control, PROCPOOL__MESSAGE_STARTED, 0, 0, true))
    procpool__platform_leave(1);
  u->fds.watch = procpool__platform_witness_watch(u->fds.witness); /* the host did not have to wait for that */
  if (u->fds.watch >= 0)
    procpool__platform_continue_when_told(u->fds.watch);
  if (procpool__platform_witness_gone(u->fds.witness, -1)) /* before there was a watch */
    procpool__supervisor_host_gone(u);
  procpool__supervisor_loop(u);
}

static int procpool__supervisor_compare(const void *a, const void *b) {
  const int x = *(const int *)a, y = *(const int *)b;
  return x < y ? -1 : x > y;
}

/* What a forked supervisor gets from its host: its state, and descriptors to keep. */
typedef struct procpool__fork_args {
  procpool__supervisor super;
  bool close_fds;
  int *keep; /* room for PROCPOOL__SUPERVISOR_FDS more */
  size_t keep_count;
} procpool__fork_args;

/* Closes all but what the supervisor has of its pool, and keep, where there is room for that. */
static void procpool__supervisor_close_others(procpool__supervisor *u, int *keep, size_t count) {
  count += procpool__supervisor_list_fds(&u->fds, keep + count);
  qsort(keep, count, sizeof(int), procpool__supervisor_compare);
  procpool__platform_close_others(keep, count);
}

/* Entry of a forked supervisor. */
static void procpool__supervisor_main(void *argument) {
  procpool__fork_args *args = (procpool__fork_args *)argument;
  procpool__supervisor *u = &args->super;
  procpool__process_record.pools = NULL; /* the handler has closed the others' */
  procpool__process_close_near(&u->fds); /* the host's ends */
  procpool__platform_close(&u->fds.watch);
  procpool__supervisor_settle_in(u);
  if (args->close_fds)
    procpool__supervisor_close_others(u, args->keep, args->keep_count);
  procpool__supervisor_run(u);
}

/* ---- the door: a supervisor that is a fresh start of the program ---- */

#define PROCPOOL__MARKER "PROCPOOL_SPAWNED"

/* What the environment of a spawned process says. Its other descriptors and its environment pass to whatever the
 * program's own start runs before main (a constructor that calls system, say), and any program may write such a text:
 * so nothing is believed until it is proven. */
typedef struct procpool__marker {
  unsigned long long total, place, cookie;
  unsigned depth; /* of the pool: believed in any case, see procpool_worker_main */
  procpool__process_pool fds;
} procpool__marker;

typedef enum procpool__proof {
  PROCPOOL__PROOF_NONE,  /* it is not of a pool of this user's: no affair of ours */
  PROCPOOL__PROOF_OTHER, /* it was made for another process, which has passed it on */
  PROCPOOL__PROOF_MINE
} procpool__proof;

static bool procpool__marker_read(procpool__marker *m, const char *text) {
  char end;
  procpool__process_no_pool(&m->fds);
  return sscanf(text, "%llu:%llx:%llx:%u:%d:%d:%d:%d:%d:%d:%d%c", &m->total, &m->place, &m->cookie, &m->depth,
                &m->fds.memory, &m->fds.far_lifeline, &m->fds.far_control, &m->fds.far_all_gone, &m->fds.event_fd,
                &m->fds.host_pidfd, &m->fds.witness, &end) == 11 &&
         m->fds.memory > 2 && m->fds.far_lifeline > 2 && m->fds.far_control > 2 && m->fds.far_all_gone > 2 &&
         m->fds.event_fd > 2;
}

static void procpool__marker_write(const procpool__marker *m, char *text, size_t size) {
  (void)snprintf(text, size, "%s=%llu:%llx:%llx:%u:%d:%d:%d:%d:%d:%d:%d", PROCPOOL__MARKER, m->total, m->place,
                 m->cookie, m->depth, m->fds.memory, m->fds.far_lifeline, m->fds.far_control, m->fds.far_all_gone,
                 m->fds.event_fd, m->fds.host_pidfd, m->fds.witness);
}

/* Whether a pool of this version of the file has made the segment. */
static bool procpool__marker_fits(const procpool__header *h, uint64_t total) {
  return h->magic == PROCPOOL__MAGIC && h->version == PROCPOOL_VERSION && h->total == total &&
         h->header_size == sizeof(*h);
}

/* Whom the header names. The go-between writes it when the start has succeeded, which may be a moment after that; it
 * ends before it does so only if it is killed. */
static uint32_t procpool__marker_addressee(const procpool__marker *m, const procpool__header *h) {
  uint32_t pid;
  for (int i = 0; (pid = procpool__load32(&h->addressee)) == 0 && i < 10000; i++)
    if (procpool__platform_gone(m->fds.far_lifeline, procpool__platform_now() + 1000000u))
      return procpool__load32(&h->addressee);
  return pid;
}

/* The segment is this user's, holds the marker's cookie and names the process that made the channel, which was this
 * user's too; and it names whom it started. A process that cannot find out ends: should it be a pool's own, it must not
 * run the program's main a second time. */
static procpool__proof procpool__marker_prove(const procpool__marker *m) {
  procpool__header *h;
  uint32_t addressee;
  int error;
  h = (procpool__header *)procpool__platform_shm_look(m->fds.memory);
  error = h == NULL ? procpool__platform_error() : 0;
  if (h != NULL && (!procpool__marker_fits(h, m->total) || h->cookie != m->cookie))
    error = PROCPOOL__NOT_OURS;
  if (error == 0)
    error = procpool__platform_channel_of(m->fds.far_control, (procpool__pid)h->host_pid);
  if (procpool__platform_disproved(error))
    return PROCPOOL__PROOF_NONE;
  addressee = error == 0 ? procpool__marker_addressee(m, h) : 0;
  if (addressee == 0) /* or a start that came to nothing */
    procpool__platform_leave(1);
  procpool__platform_unmap(h, PROCPOOL__PAGE);
  return addressee == (uint32_t)procpool__platform_pid() ? PROCPOOL__PROOF_MINE : PROCPOOL__PROOF_OTHER;
}

/* The supervisor has these descriptors and no others, and passes none of them on. */
static void procpool__marker_take(const procpool__marker *m, procpool__supervisor *u) {
  int fds[PROCPOOL__SUPERVISOR_FDS];
  size_t count;
  memset(u, 0, sizeof(*u));
  u->fds = m->fds;
  u->segment.fd = m->fds.memory;
  count = procpool__supervisor_list_fds(&u->fds, fds);
  for (size_t i = 0; i < count; i++)
    procpool__platform_close_on_exec(fds[i]);
  procpool__supervisor_close_others(u, fds, 0);
}

static bool procpool__supervisor_tell_code(const procpool__platform_code *code, const char *path, void *context) {
  procpool__message m = procpool__message_of(PROCPOOL__MESSAGE_CODE, 0, 0);
  (void)path;
  m.code = *code;
  return !procpool__platform_send(*(const int *)context, &m, sizeof(m), -1, true);
}

/* Maps the segment, and checks that it was made by the same version of this file. place: where the host has it, so that
 * pointers into it mean the same here; 0: anywhere. Does not return if the place is taken: the host starts another
 * process, whose addresses are others. */
static bool procpool__supervisor_attach(procpool__supervisor *u, uint64_t total, uint64_t place) {
  procpool__segment *s = &u->segment;
  unsigned char *base = NULL;
  const procpool__header *h;
  if (place == 0 || !PROCPOOL__PLACE_TAKEN())
    base = (unsigned char *)procpool__platform_shm_map(s->fd, total, place);
  if (base == NULL && place != 0)
    procpool__supervisor_decline(u, PROCPOOL__MESSAGE_TAKEN, 0, 0);
  h = (const procpool__header *)(void *)base;
  if (base == NULL || !procpool__platform_shm_open(base, PROCPOOL__PAGE) || !procpool__marker_fits(h, total))
    return false;
  s->workers = (int)h->workers;
  s->capacity = h->capacity;
  s->cell_count = procpool__shm_cell_count(h->capacity);
  s->ring_size = h->ring_size;
  s->arena_size = h->arena_size;
  s->host_base = h->base;
  if (procpool__shm_layout(s, base) != total || !procpool__platform_shm_open(base, s->arena_at))
    return false;
  u->children = (procpool__child *)procpool__platform_pages((size_t)s->workers * sizeof(procpool__child));
  return u->children != NULL;
}

static void procpool__supervisor_spawned(procpool__supervisor *u, uint64_t total, uint64_t place) {
  procpool__message m;
  procpool__supervisor_settle_in(u);
  if (procpool__platform_threads() > 1) /* a library's constructor has started some: one of them may hold any lock */
    procpool__supervisor_decline(u, PROCPOOL__MESSAGE_THREADS, 0, 0);
  if (!procpool__supervisor_attach(u, total, place))
    procpool__platform_leave(1);
  procpool__supervisor_find_exit_list();
  if (!procpool__supervisor_catch_exit(u->segment.header->settings.depth, u))
    procpool__platform_leave(1);
  if (procpool__platform_each_code(procpool__supervisor_tell_code, &u->fds.far_control) != 0) { /* not all is told */
    const int error = procpool__platform_error();
    procpool__supervisor_decline(u, PROCPOOL__MESSAGE_STARTED, error != 0 ? error : PROCPOOL__NO_READ,
                                 PROCPOOL__CALL_MAPS);
  }
  if (!procpool__message_send(u->fds.far_control, PROCPOOL__MESSAGE_ATTACHED, 0, 0, true) ||
      procpool__platform_receive(u->fds.far_control, &m, sizeof(m), NULL, true) <= 0 ||
      m.kind != PROCPOOL__MESSAGE_BEGIN)
    procpool__platform_leave(1);
  u->segment.settings = u->segment.header->settings; /* now the initializer is there, too */
  procpool__supervisor_run(u);
}

/* ==== >>host ========================================================================================================
 * Runs in:   the host, in whichever thread calls, under the pool's mutex unless a function says otherwise: so to the
 *            end of the file, but for >>task.
 * Writes:    the pool, which is private; of the segment: flags for workers, and what it mends.
 * Calls:     >>shm, >>table, >>platform.
 * Always:    the truth about tasks is private; what is read from the segment is read once, checked against it, and
 *            then used. */

enum {
  PROCPOOL__POOL_LIVE = 0x70706f6c,
  PROCPOOL__POOL_CHILD = 0x70706368, /* the copy that a child of the host's came back with */
  PROCPOOL__FUTURE_LIVE = 0x70706675,
  PROCPOOL__FUTURE_FREE = 0x70706672,
  PROCPOOL__ITERATOR_LIVE = 0x70706974,
  PROCPOOL__PROCESS_LIVE = 0x70707072,
  PROCPOOL__CLASSES = 15, /* arena blocks of 64 bytes, 128, ... 1 MiB; larger ones are whole extents */
  PROCPOOL__SLAB = 64,    /* futures allocated at once */
  PROCPOOL__RESTING = 64, /* others that are given back before one is used again */
  PROCPOOL__SMALL = 16,   /* results up to this size lie in the future itself */
  PROCPOOL__CODE_SEEN = 16,
  PROCPOOL__FEW = 8,           /* workers: see procpool__host_restless */
  PROCPOOL__LOOKS_AT_ALL = 64, /* see procpool__host_drain_rings */
  PROCPOOL__SHARE = 8,         /* of a ring: a record that takes such a part of it is large */
  PROCPOOL__PATIENT = 1024,    /* see procpool__host_count_limit */
  PROCPOOL__SWEEP = 16384      /* slots that one call looks at for dropped tasks, at most */
};
#define PROCPOOL__EXTENT_WARM ((uint64_t)64 << 20) /* free extents beyond this go back to the system */
#define PROCPOOL__EXTENT_SLICE ((uint64_t)4 << 20) /* so much of them in one call that shall not take long */
#ifndef PROCPOOL__TICK /* tests make it long, so that these looks mend nothing that should not have happened */
#define PROCPOOL__TICK ((uint64_t)200000000) /* ns to the first look at supervisor and workers while the host waits */
#endif
#define PROCPOOL__LOOK_MOST ((uint64_t)5000000000) /* the longer it waits in vain, the rarer they are, down to this */
#define PROCPOOL__NO_BLOCK UINT64_MAX
#define PROCPOOL__STRETCH 1024u             /* tasks looked at under the lock before others get a turn: some 20 us */
#define PROCPOOL__BREATH ((uint64_t)200000) /* ns that they get, at most */
#define PROCPOOL__AUDIT_STEP ((uint64_t)500000)    /* ns that one call spends on looking at tasks, at most */
#define PROCPOOL__FIRST_ROOM ((uint64_t)256 << 20) /* for a result that comes in pieces, at first, if it is as large */
#define PROCPOOL__OWN_MAPPING ((uint64_t)32 << 20) /* from here on glibc's malloc takes a mapping for each block */

/* future flags */
enum {
  PROCPOOL__F_RELEASED = 1,
  PROCPOOL__F_KEEP_BLOCK = 2,
  PROCPOOL__F_NONE = 4,
  PROCPOOL__F_QUARANTINE = 8, /* its worker could not be reaped: slot and block are never used again */

  PROCPOOL__F_PIECES = 32, /* an inbox may hold pieces of its result */
  PROCPOOL__F_EPOCH = 64,  /* which of the two epochs it was accepted in: see procpool__buffer_advance */
  PROCPOOL__F_PLACE = 128  /* its result goes to result.data, in a shared buffer; until then size is its room */
};

typedef struct procpool__callback_node {
  struct procpool__callback_node *next;
  procpool_callback function;
  void *context;
  uint64_t thread; /* in the list of what was thrown: by whose callback, and in which of that thread's frames, from 1 */
  unsigned depth;  /* on; context is the exception */
} procpool__callback_node;

struct procpool__waiter;

/* One future as seen by one waiter. */
typedef struct procpool__wait_node {
  struct procpool__wait_node *next, **from; /* of this future; what points to this one */
  struct procpool__wait_node *next_done;    /* in the waiter's queue of settled ones */
  struct procpool__waiter *waiter;          /* null: the node of a thread that sleeps for this future alone */
  procpool_future *future;
} procpool__wait_node;

typedef bool procpool__condition(procpool *p, void *context);

enum { PROCPOOL__WOKEN = 16 }; /* threads that are woken when the lock is let go; more than that at once, before */

enum {
  PROCPOOL__WAIT_CALLBACKS = 1,
  PROCPOOL__WAIT_ROOM = 2,
  PROCPOOL__WAIT_IMMUNE = 4,
  PROCPOOL__WAIT_FUTURE = 8, /* context is the one future that it waits for */
  PROCPOOL__WAIT_GROUP = 16, /* context begins with the procpool__waiter that it waits for */
  PROCPOOL__WAIT_READY = 32  /* for the workers' initializers */
};

/* What a public call waits for, and how long; on its stack, see "waiting" below. Made once, as the call begins, for all
 * the waits within it: an interrupt that comes between two of them ends the next one, whichever thread has taken it
 * meanwhile. Under the pool's lock, but for the word. */
typedef struct procpool__wait {
  procpool__wait_node node;            /* first: while it sleeps for one future */
  struct procpool__wait *next, **from; /* of those that follow: the last to come is the first; what points to this */
  procpool__condition *condition;
  void *context;
  uint64_t deadline;
  unsigned how;          /* PROCPOOL__WAIT_* */
  uint32_t interrupts;   /* those that were taken when the call began: any other number ends it */
  const uint64_t *spare; /* while so many tasks wait it need not be woken for results; or null: for each */
  const size_t *holds;   /* blocks that the call holds meanwhile; or null */
  uint32_t word;         /* it sleeps on this. 1: it was woken */
  uint32_t asleep;       /* it follows. 0: it looks at word; 1: it sleeps, or is about to. Its own, without the lock */
  /* what was so before its condition looked last: if any of it has changed since, it looks again and does not sleep */
  uint64_t room, calls; /* procpool__host_room, procpool.waiting.calls */
  bool lacks_cell;      /* it wants room, and the next task's cell is taken */
} procpool__wait;

/* A call (or an iterator) that waits for several futures, of several pools: its own lock, since each pool has its
 * own. */
typedef struct procpool__waiter {
  procpool__lock lock;
  procpool__wait_node *first_done, *last_done;
  size_t pending, settled, errors;
  procpool__wait *sleeper; /* the thread that sleeps for it, if one pool is concerned; under that pool's lock */
  int bell;                /* several pools: it sleeps in poll(), on this event among others; else -1 */
  bool rung;               /* bell was set since it last looked */
} procpool__waiter;

/* One pool of a wait over several: in that pool's list while the wait goes on. */
typedef struct procpool__poller {
  struct procpool__poller *next, **from; /* what points to this one */
  procpool__waiter *waiter;
  uint32_t interrupts; /* those that were taken when the call began */
} procpool__poller;

struct procpool_future {
  uint32_t magic;
  uint8_t status; /* procpool_status; PENDING until settled. Atomic: read without the lock as a hint */
  uint8_t flags;
  int16_t worker;
  procpool *pool;
  uint64_t ticket;
  uint32_t slot;
  uint32_t refs; /* the user's handle, the table, each call that waits */
  int32_t pid;
  uint32_t limit; /* milliseconds; 0: none */
  uint64_t size;
  union {
    void *data;
    unsigned char small[PROCPOOL__SMALL];
  } __attribute__((aligned(PROCPOOL__ALIGNMENT))) result;
  uint64_t block, block_size; /* its argument in the arena */
  size_t index;               /* see procpool_future_index */
  void *user;
  procpool_error *error;
  procpool__callback_node *callbacks;
  procpool__wait_node *nodes;
  procpool_future *next; /* free list, or list of futures with callbacks due */
};

typedef struct procpool__slab {
  struct procpool__slab *next;
  procpool_future futures[PROCPOOL__SLAB];
} procpool__slab;

/* Where each is a block of its own: see PROCPOOL__APART. */
typedef struct procpool__apart {
  struct procpool__apart *next, **from; /* what points to this one */
  procpool_future future;
} procpool__apart;

/* The host's end of one worker's ring. */
typedef struct procpool__inbox {
  procpool__u64 head;       /* end of what was taken; relaxed atomic, the drainer looks at it without the lock */
  procpool_future *partial; /* whose large result is arriving in pieces */
  unsigned char *data;
  uint64_t filled, total, room; /* room: how many bytes data has */
  procpool__u64 dropped;        /* the worker's count, when it was last looked at; relaxed atomic, as head */
  procpool_future *finalizer;   /* of a finalizer whose result is arriving in pieces */
  uint64_t finalized;           /* finalizers whose end was taken */
  bool resetting;               /* found corrupt: waits for the supervisor to end the worker */
  bool no_memory;               /* for what lies first in the ring, */
  bool impatient;               /* and there is no waiting for some: TRANSFER */
} procpool__inbox;

typedef struct procpool__list {
  uint64_t *items;
  size_t count, room;
} procpool__list;

typedef struct procpool__extent {
  uint64_t offset, size;
  bool reserved;
} procpool__extent;

/* A buffer of the user's: a node of the tree of live ones, or of a list of freed ones. */
typedef struct procpool__buffer {
  struct procpool__buffer *left, *right; /* lower and higher offsets; in a list: right is the next one */
  uint64_t offset, size;                 /* in the arena; as it was asked for */
  uint64_t stuck;                        /* procpool.buffers.stuck_workers as it was made: see procpool__buffer_drop */
} procpool__buffer;

typedef struct procpool__arena {
  procpool__list classes[PROCPOOL__CLASSES];
  size_t given[PROCPOOL__CLASSES];                 /* blocks handed out: their lists always have room for them */
  uint64_t carve[PROCPOOL__CLASSES];               /* where the next block begins; a multiple of EXTENT: nowhere */
  procpool__extent *extents;                       /* free ones, by offset */
  size_t extent_count, extent_room, extents_given; /* the list has room for those that are handed out, too */
  uint64_t top;                                    /* everything above is not in use */
  uint64_t highest;                                /* and this is how far it ever came: the header's arena_top */
  int error;                                       /* of the last request that failed */
  uint64_t warm;                                   /* bytes of free extents that are still reserved */
  uint64_t held;                                   /* blocks that calls hold beside what unsettled tasks have */
  uint64_t stuck;                                  /* of these: of calls that run callbacks, and so until they return */
  uint64_t returned;                               /* blocks that ever came back */
  int leaving;                                     /* threads that give pages back to the system just now */
} procpool__arena;

/* A thread that runs callbacks now. */
typedef struct procpool__frame {
  struct procpool__frame *next;
  uint64_t thread; /* procpool__platform_self */
} procpool__frame;

typedef struct procpool__thread {
  procpool__platform_thread thread;
  bool started;
  procpool *pool;
  procpool__worker worker;
} procpool__thread;

/* Where a function of ours lies in spawned workers. */
typedef struct procpool__code_seen {
  uint64_t ours, theirs;
  uint64_t unloads; /* when that was found; it holds until a library is closed, */
  bool lasts;       /* or for ever, in the program itself */
} procpool__code_seen;

/* Which workers of a group of 64 slept when their rings were last found empty, and how often one had gone on by then.
 * Relaxed atomics: a thread that spins reads them without the lock. */
typedef struct procpool__resting {
  procpool__u64 quiet, wakes;
} procpool__resting;

/* A pool, as its host sees it: private to the host's process. Each part names the sections (>>) that write it: under
 * the pool's lock, where it does not say otherwise. What is called atomic is written under the lock too, and read
 * without it: tests/orders.txt says why that does no harm. Beside these sections, >>open and >>launch write before any
 * other thread knows of the pool, and procpool__host_be_child writes a child's own copy. */
struct procpool {
  /* What the pool is made of: >>open and >>launch. Later >>drain and >>pool close what is not needed any more. magic,
   * atomic, says without the lock what the handle is worth. */
  uint32_t magic;
  procpool_start start;
  uint32_t *guard;
  void *witness; /* mapped as long as the supervisor shall live */
  procpool__lock lock;
  uint32_t wanted; /* threads that wait for the lock; atomic, and changed without it */
  procpool__segment segment;
  procpool__process_pool fds;
  procpool__memory_groups memory; /* limits on what may be reserved */

  /* The tasks that were accepted, and the slots and cells that they have: >>submit gives these, >>futures takes them
   * back as a task settles. The tick of those with a limit: >>drain. */
  struct {
    uint64_t position;        /* the next task's position in the submission ring */
    procpool_future **owners; /* by slot */
    uint32_t *free_slots;
    uint32_t *cell_slots; /* by position % cells: the slot, plus 1, of the unsettled task whose cell it is; else 0 */
    uint64_t free_count, slots_used;
    procpool__u64 submitted, settled; /* atomic */
    procpool__u64 crashed;
    uint64_t limited, tick;     /* tasks with a limit that are not settled; what the header's tick is; */
    unsigned patient;           /* and for how many tasks in a row it was shorter than need be */
    uint64_t dated;             /* tasks with a deadline that ever were */
    uint32_t time_limit, grace; /* of tasks that have none of their own: milliseconds */
    uint32_t last_slot; /* of the task that was submitted last: likely the one that a thread waits for; atomic */
  } tasks;

  /* How much of the segment has its pages: >>host and >>arena, which let go of the lock while they take many. */
  struct {
    uint64_t cells, slots, deadlines; /* bytes from the start of these parts */
    uint64_t bytes;                   /* of all parts together */
  } reserved;

  /* What has been taken in from the workers: >>drain. Results that nobody wants any more, or for which there is no
   * memory, go out of the inboxes by >>futures and >>waiting. */
  struct {
    procpool__inbox *inboxes;
    procpool__u64 dead_seen;
    uint64_t taken;           /* how often something was taken from a ring, or slots were swept */
    uint64_t sweep_at;        /* the slot where the look for dropped tasks goes on */
    procpool__u64 sweep_left; /* how many slots it has yet to see; relaxed atomic */
    uint32_t health;          /* the header's, as it was heeded last; relaxed atomic */
    unsigned count;           /* of looks at the rings */
    procpool__resting resting[PROCPOOL__GROUPS];
  } drain;

  procpool__arena arena; /* where arguments, large results and buffers lie: >>arena */

  /* Buffers of the user's, and when their memory may be used again: >>arena alone. */
  struct {
    procpool__buffer *live;             /* a tree by offset */
    procpool__buffer *freed_pending[2]; /* freed, by the epoch in which that was, waiting for tasks to settle: lists */
    uint64_t unsettled[2];              /* tasks, by the epoch in which they were accepted */
    uint64_t stuck_workers;             /* how many could not be ended, and go on */
    unsigned epoch;                     /* the one that goes on: 0 or 1 */
  } buffers;

  procpool__copying copying; /* of arguments and items: relaxed atomics, in part without the lock */

  /* The last map's function, and how many of its items are worth handing out: a hint, which a map of another size of
   * item may find as wrong as one of slower items. Under the lock: >>map. */
  struct {
    procpool_function function;
    size_t least;
  } pace;

  /* Where futures lie, and what their results leave behind: >>futures. >>iterators and >>enter count as live what else
   * holds the pool; >>enter frees what was thrown away, as a call ends. */
  struct {
    procpool__slab *slabs;
    procpool_future *free_list;                  /* those that have rested, and new ones */
    procpool_future *resting[PROCPOOL__RESTING]; /* see procpool__future_rest */
    size_t rested;                               /* how many ever came to rest */
    procpool__apart *apart;                      /* instead of all these */
    size_t live;                                 /* and iterators and processes that hold the pool */
    size_t held;                                 /* of these, those whose handle was not given back */
    void *thrown_away;                           /* large results that were given up: a list */
  } futures;

  /* Callbacks that are to run, and threads that run some: >>futures makes them due, >>waiting runs them; >>results adds
   * them. */
  struct {
    procpool_future *first_due; /* settled, with callbacks to run; atomic */
    procpool_future *last_due;
    size_t expected; /* unsettled futures with callbacks */
    procpool__frame *frames;
    procpool__callback_node *thrown; /* exceptions that are to leave a call when it ends; one per frame at most */
    procpool_callback finalizer;     /* of the options: >>drain makes it due; null: there is none */
    void *finalizer_context;
  } callbacks;

  /* What procpool_interrupt asks for: count is >>pool's, for that call takes no lock; the rest is written by >>waiting,
   * with the lock. */
  struct {
    uint32_t count;  /* procpool_interrupt adds 1: atomic, without the lock */
    uint32_t taken;  /* how many of them some wait ended by; atomic */
    uint32_t passed; /* those of which all that sleep were told */
  } interrupts;

  /* The host's threads that wait, and which of them drains: >>waiting, which lists their states. >>host gives the turn,
   * >>futures calls all of them. */
  struct {
    uint32_t turn; /* who waits for another thread of the host's, not for workers, sleeps on this; atomic; >>pool adds
                    * to it without the lock */
    int sleepers;  /* on turn */
    bool turned;   /* they were all told to look again, and none has come since */
    procpool__poller *pollers; /* waits over this pool and others, asleep or not: >>several */
    uint64_t sleep_number;
    procpool__spin spin;       /* the draining thread's own: without the lock */
    uint64_t processors;       /* written once */
    int fd_users;              /* who poll the pool's watch; atomic */
    procpool__wait *followers; /* threads that wait while another one drains */
    procpool__wait *drainer;   /* the one that drains, while it sleeps */
    size_t coming;             /* of the followers: were woken, and have not come yet. The first of them drains */
    size_t room_wanted;        /* how many of these want room in the queue, */
    size_t ready_wanted;       /* and how many wait for the workers' initializers */
    uint64_t calls;            /* how often all that wait were called to look again */
    bool draining, wants_room;
    bool watching;     /* the thread that drains sleeps in poll(), on the pool's event and the supervisor's end */
    bool lazy;         /* the thread that drains sleeps, or is about to, until few tasks wait: results may lie there */
    uint64_t wake_at;  /* the first of these few */
    uint64_t progress; /* of tasks.settled and drain.taken together, at the last rest */
    unsigned idle_looks; /* since then: how often there seemed to be something to take */
    unsigned rests;      /* of threads that waited, ever */
    /* the words of followers that sleep and are to be called when the lock is let go */
    unsigned woken_count;
    uint32_t *woken[PROCPOOL__WOKEN];
  } waiting;

  /* When and where to look whether a worker has scribbled over shared memory: >>waiting; and >>enter, for a loop that
   * only polls. */
  struct {
    uint64_t due;      /* when; NEVER: a thread is at it */
    uint64_t gap;      /* ns from the last such look to that one */
    uint64_t since;    /* when something had last come about by such a look */
    uint64_t progress; /* of tasks.submitted and tasks.settled together, at that look */
    uint64_t at;       /* the slot where it goes on; 0: at the beginning */
    uint64_t first;    /* the lowest ticket so far of a task that waits */
  } audit;

  /* What an event loop that watches the pool's descriptor knows: >>futures tells it, >>enter sets its timer, >>pool
   * lets it take in. */
  struct {
    bool told, polling; /* it is told already; it is taking in just now */
    bool looked_after;  /* there are tasks that are not settled */
    uint64_t timer_due; /* NEVER: it does not run; 0: it is readable, the loop is told */
  } loop;

  /* How far the pool's life has come, and why: >>health, which hears the supervisor, and >>pool, which shuts it down.
   * Who is within a call: >>enter. */
  struct {
    uint32_t phase;          /* procpool__phase; only goes on. The header's may have been written over by a worker */
    bool finished;           /* no process or thread of the pool's is left */
    bool ends, left;         /* the supervisor has said that it ends all; that it leaves */
    bool notify_pending;     /* the supervisor could not be told to look */
    unsigned inside;         /* threads within a public call: they may look at the segment without the lock */
    unsigned interrupting;   /* the same of procpool_interrupt, which takes no lock: atomic, without it */
    procpool_status refusal; /* why nothing is accepted any more, OK while it is */
    procpool_error cause;    /* of that */
  } life;

  /* What only some start methods have: >>launch. Which thread runs an inline task: >>waiting. Threads are joined by
   * >>health. */
  struct {
    procpool__thread *threads;
    procpool__worker *inline_worker; /* the first of these, whose place each thread that calls takes; or null */
    uint64_t inline_thread;          /* the one that runs a task (procpool__platform_self), or 0 */
    procpool__platform_code *codes;  /* spawn: code that workers have */
    size_t code_count;
    procpool__code_seen code_seen[PROCPOOL__CODE_SEEN];
  } methods;
};

/* ---- entering ---- */

static void procpool__host_lock(procpool *p) {
  if (procpool__platform_try_lock(&p->lock))
    return;
  (void)__atomic_fetch_add(&p->wanted, 1, __ATOMIC_RELAXED);
  procpool__platform_lock(&p->lock);
  (void)__atomic_fetch_sub(&p->wanted, 1, __ATOMIC_RELAXED);
}

/* Wakes the threads for which the lock's owner has changed something, now that they can have the lock: woken before,
 * they would mostly go to sleep again at once, for the lock. One of them may have come by itself meanwhile, and gone:
 * then the call wakes nobody, or who sleeps on that address by now looks once more. */
static void procpool__host_unlock_waking(procpool *p) {
  uint32_t *woken[PROCPOOL__WOKEN];
  const unsigned count = p->waiting.woken_count;
  for (unsigned i = 0; i < count; i++)
    woken[i] = p->waiting.woken[i];
  p->waiting.woken_count = 0;
  procpool__platform_unlock(&p->lock);
  for (unsigned i = 0; i < count; i++)
    procpool__platform_wake(woken[i], 1);
}

static inline void procpool__host_unlock(procpool *p) {
  if (p->waiting.woken_count > 0)
    procpool__host_unlock_waking(p);
  else
    procpool__platform_unlock(&p->lock);
}

/* ---- a child of the host's that comes back into a call ---- Code of the user's that runs within a call (a callback, a
 * generator, a signal handler) may fork, and the child return from it. Another thread may have had the lock at the
 * fork, and been at the tables; and the segment is the pool's. So who has let go of the lock takes it by host_relock,
 * and each turn of a wait asks host_is_child: from then on the child has a lock of its own and a pool that has ended,
 * of which nothing is left to do, and its call ends as FORKED (procpool__public_leave). */

static bool procpool__host_here(const procpool *p) {
  return procpool__platform_guard_ok(p->guard);
}

static void procpool__host_be_child(procpool *p) {
  procpool__platform_lock_init(&p->lock);
  procpool__platform_lock(&p->lock);
  __atomic_store_n(&p->magic, PROCPOOL__POOL_CHILD, __ATOMIC_RELAXED);
  p->life.finished = true;
  p->life.phase = PROCPOOL__PHASE_RUN;
  p->waiting.lazy = p->waiting.watching = false;
  p->life.refusal = PROCPOOL_FORKED;
  p->waiting.followers = p->waiting.drainer = NULL;
  p->waiting.coming = p->waiting.woken_count = 0;
  p->waiting.room_wanted = p->waiting.ready_wanted = 0;
  p->callbacks.frames = NULL;
  p->waiting.sleepers = 0;
  p->life.inside = 1;
  p->arena.warm = 0;
  p->arena.leaving = 0;
  __atomic_store_n(&p->life.interrupting, 0, __ATOMIC_RELAXED);
  p->callbacks.last_due = NULL;
  __atomic_store_n(&p->callbacks.first_due, NULL, __ATOMIC_RELAXED);
}

/* With the lock; in a child that finds it so, whichever thread had it. */
static bool procpool__host_is_child(procpool *p) {
  if (procpool__host_here(p))
    return false;
  if (__atomic_load_n(&p->magic, __ATOMIC_RELAXED) != PROCPOOL__POOL_CHILD)
    procpool__host_be_child(p);
  return true;
}

/* Takes the lock again, within a call. False in a child, which has it too. */
static bool procpool__host_relock(procpool *p) {
  const bool here = procpool__host_here(p);
  if (here || __atomic_load_n(&p->magic, __ATOMIC_RELAXED) == PROCPOOL__POOL_CHILD)
    procpool__host_lock(p);
  else
    procpool__host_be_child(p);
  return here;
}

/* Work under the lock that takes longer calls this after every PROCPOOL__STRETCH things that it has looked at: threads
 * that wait for the lock get it first. (A mutex is not fair: who unlocks and locks again at once mostly wins.) What was
 * looked at may have changed afterwards. */
static void procpool__host_breathe(procpool *p) {
  uint64_t deadline;
  if (__atomic_load_n(&p->wanted, __ATOMIC_RELAXED) == 0)
    return;
  procpool__host_unlock(p);
  deadline = procpool__platform_now() + PROCPOOL__BREATH;
  while (__atomic_load_n(&p->wanted, __ATOMIC_RELAXED) != 0 && procpool__platform_now() < deadline)
    procpool__platform_yield();
  (void)procpool__host_relock(p);
}

/* Whether all but futures and iterators has been given back, and the segment before them. */
static bool procpool__host_freed(const procpool *p) {
  return p->segment.base == NULL;
}

/* Asks the threads that sleep in await_turn to look again: those of an inline pool do so for whatever they lack. */
static void procpool__host_next_turn(procpool *p) {
  if (p->waiting.sleepers == 0 || p->waiting.turned)
    return;
  p->waiting.turned = true;
  (void)__atomic_fetch_add(&p->waiting.turn, 1, __ATOMIC_SEQ_CST);
  procpool__platform_wake(&p->waiting.turn, INT_MAX);
}

/* Checks a handle without the lock: a forked child may have copied the mutex while it was held. In the total order:
 * procpool_interrupt says that it is inside, and then looks here; procpool_free does it the other way round. */
static procpool_status procpool__host_check(const procpool *p) {
  const uint32_t magic = p != NULL ? __atomic_load_n(&p->magic, __ATOMIC_SEQ_CST) : 0;
  if (magic != PROCPOOL__POOL_LIVE)
    return magic == PROCPOOL__POOL_CHILD ? PROCPOOL_FORKED : PROCPOOL_HANDLE;
  return procpool__host_here(p) ? PROCPOOL_OK : PROCPOOL_FORKED;
}

/* What is said of a status where no worker had part in it. message: null for the status in words. */
static void procpool__error_fill(procpool_error *e, procpool_status status, int error, const char *message) {
  memset(e, 0, sizeof(*e));
  e->status = status;
  e->system_error = error;
  e->worker = -1;
  (void)snprintf(e->message, sizeof(e->message), "%s", message != NULL ? message : procpool_strerror(status));
}

/* ---- what a thread was told last ---- Not in a pool: a refusal may come without one. A message that is longer than an
 * error has room for is kept beside it, by procpool__platform_own_set. */

typedef struct procpool__last {
  procpool_error error;
  bool told;               /* by the call that goes on: public_told need not */
  procpool_status refused; /* this thread's last typed submit, until the result of that null handle is asked for */
} procpool__last;
static __thread procpool__last procpool__thread_last;

/* text: all of the error's message where that is longer; or null. */
static void procpool__last_set(const procpool_error *error, const char *text) {
  procpool__thread_last.error = *error;
  procpool__thread_last.told = true;
  procpool__platform_own_set(&procpool__process_record.texts, text);
}

/* For what returns no status, so that host_told does not come after it. */
static void procpool__last_refusal(const procpool_error *error) {
  procpool__last_set(error, NULL);
  procpool__thread_last.told = false;
}

/* message: null for the status in words, or why the pool takes no more, if that is it. p may be null. */
static procpool_status procpool__host_refuse(const procpool *p, procpool_status status, int error,
                                             const char *message) {
  procpool_error e;
  procpool__error_fill(&e, status, error, message);
  procpool__last_set(message == NULL && p != NULL && p->life.cause.status == status ? &p->life.cause : &e, NULL);
  return status;
}

/* Each public call ends with it, if it returns a status: a refusal is remembered, unless that was done where more was
 * known of it. */
static procpool_status procpool__host_tell_refusal(procpool_status status) {
  if (!procpool__thread_last.told || procpool__thread_last.error.status != status)
    (void)procpool__host_refuse(NULL, status, 0, NULL);
  procpool__thread_last.told = false;
  return status;
}
static inline procpool_status procpool__host_told(procpool_status status) {
  return status < PROCPOOL_ARGUMENT ? status : procpool__host_tell_refusal(status);
}

/* Refuses what a caller gave, before a pool is entered. */
static procpool_status procpool__host_wrong(const char *message) {
  return procpool__host_told(procpool__host_refuse(NULL, PROCPOOL_ARGUMENT, 0, message));
}

/* Whether a struct of options comes from another version of this file: before anything else of it is read. */
static bool procpool__host_mismatch(size_t given, size_t ours) {
  return given != 0 && given != ours;
}

static procpool_status procpool__host_check_future(const procpool_future *f) {
  if (f == NULL || f->magic != PROCPOOL__FUTURE_LIVE)
    return procpool__host_told(PROCPOOL_HANDLE);
  return procpool__host_here(f->pool) ? PROCPOOL_OK : procpool__host_told(PROCPOOL_FORKED);
}

/* Whether a wait by this thread would wait for itself. */
static bool procpool__host_in_task(const procpool *p) {
  if (p->methods.inline_thread != 0 && p->methods.inline_thread == procpool__platform_self())
    return true;
  for (int i = 0; p->methods.threads != NULL && i < p->segment.workers; i++)
    if (p->methods.threads[i].started && procpool__platform_is_self(p->methods.threads[i].thread))
      return true;
  return false;
}

/* In how many frames this thread is, one within the other. */
static unsigned procpool__host_depth(const procpool *p) {
  const uint64_t self = procpool__platform_self();
  unsigned depth = 0;
  for (const procpool__frame *f = p->callbacks.frames; f != NULL; f = f->next)
    depth += f->thread == self;
  return depth;
}

static bool procpool__host_self(const procpool *p) {
  return procpool__host_depth(p) > 0 || procpool__host_in_task(p);
}

/* ---- sizes ---- */

/* Each size that a caller gives comes by here before anything is multiplied with it or added to it: the bytes of count
 * things of that size. False where no array can have as many. */
static bool procpool__size_product(size_t count, size_t size, size_t *product) {
  const bool possible = size == 0 || count <= (size_t)PTRDIFF_MAX / size;
  *product = possible ? count * size : 0;
  return possible;
}

static bool procpool__size_possible(size_t count, size_t size) {
  size_t product;
  return procpool__size_product(count, size, &product);
}

/* ---- shared memory: reserved before use ---- */

/* Takes pages for a part of the segment. The kernel needs a moment for many of them: then without the lock, and the
 * pool may be finished meanwhile: it keeps its memory's descriptor until it is freed, or that number would be a file of
 * the user's by now. A finished pool takes no more pages. */
static int procpool__host_reserve(procpool *p, uint64_t offset, uint64_t size) {
  const bool long_one = size > PROCPOOL__EXTENT;
  int error = PROCPOOL__NO_MEMORY;
  if (p->life.finished)
    return PROCPOOL__SHUT_DOWN;
  if (long_one)
    procpool__host_unlock(p);
  if (!procpool__memory_refuses(&p->memory, size))
    error = procpool__platform_shm_reserve(p->segment.fd, p->segment.base, offset, size);
  if (long_one && !procpool__host_relock(p))
    return PROCPOOL__SHUT_DOWN;
  if (error == 0 && p->life.finished) {
    procpool__platform_shm_discard(p->segment.base + offset, size);
    error = PROCPOOL__SHUT_DOWN;
  }
  if (error == 0)
    p->reserved.bytes += procpool__round_up(size, procpool__platform_page());
  return error;
}

/* Grows a part that is used from its start on, so that the first need bytes are there. */
static bool procpool__host_grow(procpool *p, const void *part, uint64_t limit, uint64_t *reserved, uint64_t need) {
  uint64_t more;
  if (need <= *reserved)
    return true;
  more = procpool__round_up(need - *reserved, 65536);
  if (*reserved + more > limit)
    more = limit - *reserved;
  procpool__platform_set_error(procpool__host_reserve(p, procpool__shm_offset(&p->segment, part) + *reserved, more));
  if (procpool__platform_error() != 0)
    return false;
  *reserved += more;
  return true;
}

/* Reserves the cell and the one after it: that is where workers look next. */
static bool procpool__host_grow_cells(procpool *p, uint64_t cell) {
  const uint64_t all = p->segment.cell_count;
  const uint64_t need = cell + 2 < all ? cell + 2 : all;
  return procpool__host_grow(p, p->segment.cells, all * sizeof(uint64_t), &p->reserved.cells, need * sizeof(uint64_t));
}

/* ==== >>arena =======================================================================================================
 * Runs in:   the host, with the lock; copies and reservations without it.
 * Writes:    the list of extents and blocks, private; pages of the arena.
 * Calls:     >>host, >>memory.
 * Always:    who hands out a block has reserved it; what is freed is kept warm up to a bound, and given back beyond
 *            it. */

static bool procpool__list_reserve(procpool__list *list, size_t room) {
  uint64_t *items;
  size_t wanted = list->room > 0 ? list->room : 16;
  if (room <= list->room)
    return true;
  while (wanted < room)
    wanted *= 2;
  items = (uint64_t *)PROCPOOL_REALLOC(list->items, wanted * sizeof(*items));
  if (items == NULL)
    return false;
  list->items = items;
  list->room = wanted;
  return true;
}

static int procpool__arena_class(uint64_t size) {
  int c = 0;
  while (((uint64_t)PROCPOOL__LINE << c) < size)
    c++;
  return c;
}

static void procpool__arena_drop_extent(procpool__arena *a, size_t i) {
  memmove(&a->extents[i], &a->extents[i + 1], (a->extent_count - i - 1) * sizeof(*a->extents));
  a->extent_count--;
}

static void procpool__arena_insert_extent(procpool__arena *a, size_t i, uint64_t offset, uint64_t size, bool reserved) {
  PROCPOOL_ASSERT(a->extent_count < a->extent_room);
  memmove(&a->extents[i + 1], &a->extents[i], (a->extent_count - i) * sizeof(*a->extents));
  a->extents[i].offset = offset;
  a->extents[i].size = size;
  a->extents[i].reserved = reserved;
  a->extent_count++;
}

static void procpool__arena_merge(procpool__arena *a, size_t i) {
  procpool__extent *e = &a->extents[i];
  if (i + 1 >= a->extent_count || e->offset + e->size != e[1].offset || e->reserved != e[1].reserved)
    return;
  e->size += e[1].size;
  procpool__arena_drop_extent(a, i + 1);
}

/* Takes pages for a part of the arena that has none and that is the caller's. False (arena.error) where there are none
 * to be had. */
static bool procpool__arena_reserve(procpool *p, uint64_t offset, uint64_t size) {
  const uint64_t at = p->segment.arena_at + offset;
  int error = 0;
  if (!procpool__host_here(p)) /* what is not open yet a child does not have for itself */
    error = PROCPOOL__SHUT_DOWN;
  else if (!procpool__platform_shm_open(p->segment.base, at + size))
    error = procpool__platform_error();
  else if (at + size > p->fds.opened)
    __atomic_store_n(&p->fds.opened, (size_t)(at + size), __ATOMIC_RELAXED);
  if (error == 0)
    error = procpool__host_reserve(p, at, size);
  p->arena.error = error;
  return error == 0;
}

/* Where size bytes begin in free memory from offset on, of which there are room bytes: large blocks at a large page, if
 * that leaves enough. NO_BLOCK if there is too little. */
static uint64_t procpool__arena_fit(const procpool *p, uint64_t offset, uint64_t room, uint64_t size) {
  const uint64_t at = size >= p->segment.large ? procpool__round_up(offset, p->segment.large) : offset;
  if (at - offset <= room && size <= room - (at - offset))
    return at;
  return size <= room ? offset : PROCPOOL__NO_BLOCK;
}

/* Takes size bytes at offset out of free extent i; what is left before and behind stays free. */
static void procpool__arena_cut(procpool__arena *a, size_t i, uint64_t offset, uint64_t size) {
  procpool__extent *e = &a->extents[i];
  const uint64_t before = offset - e->offset, behind = e->size - before - size;
  if (e->reserved)
    a->warm -= size;
  if (behind > 0)
    procpool__arena_insert_extent(a, i + 1, offset + size, behind, e->reserved);
  e->size = before;
  if (before == 0)
    procpool__arena_drop_extent(a, i);
}

/* Takes size bytes (whole megabytes) from the first free extent that is large enough. *reserved: whether they have
 * their pages. */
static uint64_t procpool__arena_reuse(procpool *p, uint64_t size, bool *reserved) {
  procpool__arena *a = &p->arena;
  for (size_t i = 0; i < a->extent_count; i++) {
    const procpool__extent *e = &a->extents[i];
    const uint64_t offset = procpool__arena_fit(p, e->offset, e->size, size);
    if (offset == PROCPOOL__NO_BLOCK)
      continue;
    *reserved = e->reserved;
    procpool__arena_cut(a, i, offset, size);
    return offset;
  }
  *reserved = false;
  return PROCPOOL__NO_BLOCK;
}

/* Takes size bytes that were never used, or are not in use any more. What is passed over so that they begin at a large
 * page is free. */
static uint64_t procpool__arena_extend(procpool *p, uint64_t size) {
  procpool__arena *a = &p->arena;
  const uint64_t offset = procpool__arena_fit(p, a->top, p->segment.arena_size - a->top, size);
  if (offset == PROCPOOL__NO_BLOCK) {
    a->error = PROCPOOL__NO_MEMORY;
    return PROCPOOL__NO_BLOCK;
  }
  if (offset > a->top) {
    procpool__arena_insert_extent(a, a->extent_count, a->top, offset - a->top, false);
    if (a->extent_count > 1)
      procpool__arena_merge(a, a->extent_count - 2);
  }
  a->top = offset + size;
  if (a->top > a->highest) {
    a->highest = a->top;
    procpool__store_relaxed(&p->segment.header->arena_top, a->highest); /* published by the next task's word */
  }
  return offset;
}

/* Room in the list for two more extents, should all that are handed out come back apart: freeing must not fail, and
 * what is taken may leave one free extent more before and behind. */
static bool procpool__arena_make_room(procpool__arena *a) {
  procpool__extent *extents;
  const size_t room = 2 * (a->extent_count + a->extents_given) + 64;
  if (a->extent_count + a->extents_given + 3 <= a->extent_room)
    return true;
  extents = (procpool__extent *)PROCPOOL_REALLOC(a->extents, room * sizeof(*extents));
  if (extents == NULL)
    return false;
  a->extents = extents;
  a->extent_room = room;
  return true;
}

static void procpool__arena_give_extent(procpool *p, uint64_t offset, uint64_t size, bool reserved) {
  procpool__arena *a = &p->arena;
  size_t i = 0;
  a->extents_given--;
  if (reserved)
    a->warm += size;
  while (i < a->extent_count && a->extents[i].offset < offset)
    i++;
  procpool__arena_insert_extent(a, i, offset, size, reserved);
  procpool__arena_merge(a, i);
  if (i > 0)
    procpool__arena_merge(a, i - 1);
}

/* Gives the last pages of free extent i back to the system, at most so many bytes. That takes a moment: it is done
 * without the lock, and they are this thread's alone meanwhile. */
static void procpool__arena_discard(procpool *p, size_t i, uint64_t most) {
  procpool__arena *a = &p->arena;
  const procpool__extent e = a->extents[i];
  const bool whole = e.size <= most || !procpool__arena_make_room(a); /* a part comes back as one extent more */
  const uint64_t size = whole ? e.size : most, offset = e.offset + e.size - size;
  procpool__arena_cut(a, i, offset, size);
  a->extents_given++;
  a->held++;
  a->leaving++;
  procpool__host_unlock(p);
  procpool__platform_shm_discard(p->segment.arena + offset, size);
  (void)procpool__host_relock(p);
  a->held--;
  a->leaving--;
  a->returned++;
  p->reserved.bytes -= size;
  procpool__arena_give_extent(p, offset, size, false);
  procpool__host_next_turn(p); /* see procpool__shared_retry */
}

/* Gives free extents back, the largest ones first, where more is reserved than shall be kept, as a call ends: whole
 * ones, or (a host that polls has a frame to draw) so much as takes less than a millisecond. The caller then tells the
 * threads that wait for room: these extents were out of their reach meanwhile. */
static void procpool__arena_trim(procpool *p, bool whole) {
  procpool__arena *a = &p->arena;
  while (a->warm > PROCPOOL__EXTENT_WARM && !p->life.finished) {
    size_t largest = a->extent_count;
    for (size_t i = 0; i < a->extent_count; i++)
      if (a->extents[i].reserved && (largest == a->extent_count || a->extents[i].size > a->extents[largest].size))
        largest = i;
    if (largest == a->extent_count)
      return;
    procpool__arena_discard(p, largest, whole ? UINT64_MAX : PROCPOOL__EXTENT_SLICE);
    if (!whole)
      return;
  }
}

/* Blocks of a class of which none is handed out become free extents again. */
static void procpool__arena_reclaim(procpool *p, int c) {
  procpool__arena *a = &p->arena;
  procpool__list *list = &a->classes[c];
  if (a->given[c] != 0)
    return;
  for (size_t i = 0; i < list->count; i++) /* the first block of each extent that was carved */
    if (list->items[i] % PROCPOOL__EXTENT == 0)
      procpool__arena_give_extent(p, list->items[i], PROCPOOL__EXTENT, true);
  list->count = 0;
  a->carve[c] = 0;
}

/* What is free is made one where it adjoins: small blocks that came back, and extents that were kept reserved. */
static void procpool__arena_compact(procpool *p) {
  procpool__arena *a = &p->arena;
  for (int c = 0; c < PROCPOOL__CLASSES; c++)
    procpool__arena_reclaim(p, c);
  for (size_t i = a->extent_count; i-- > 0;) {
    procpool__extent *e = &a->extents[i];
    if (e->reserved) {
      procpool__platform_shm_discard(p->segment.arena + e->offset, e->size);
      p->reserved.bytes -= e->size;
      a->warm -= e->size;
      e->reserved = false;
    }
    procpool__arena_merge(a, i);
  }
  if (a->extent_count > 0 && a->extents[a->extent_count - 1].offset + a->extents[a->extent_count - 1].size == a->top)
    a->top = a->extents[--a->extent_count].offset;
}

/* An extent with its pages. Where it has to be reserved, and is large, the lock is let go meanwhile. */
static uint64_t procpool__arena_try_extent(procpool *p, uint64_t size) {
  procpool__arena *a = &p->arena;
  bool reserved;
  uint64_t offset;
  if (!procpool__arena_make_room(a)) {
    a->error = PROCPOOL__NO_MEMORY;
    return PROCPOOL__NO_BLOCK;
  }
  offset = procpool__arena_reuse(p, size, &reserved);
  if (offset == PROCPOOL__NO_BLOCK)
    offset = procpool__arena_extend(p, size);
  if (offset == PROCPOOL__NO_BLOCK)
    return offset;
  a->extents_given++;
  if (reserved || procpool__arena_reserve(p, offset, size))
    return offset;
  procpool__arena_give_extent(p, offset, size, false);
  return PROCPOOL__NO_BLOCK;
}

static uint64_t procpool__arena_take_extent(procpool *p, uint64_t size) {
  uint64_t offset = procpool__arena_try_extent(p, size);
  if (offset == PROCPOOL__NO_BLOCK) {
    procpool__arena_compact(p);
    offset = procpool__arena_try_extent(p, size);
  }
  return offset;
}

static uint64_t procpool__arena_carve(procpool *p, int c) {
  procpool__arena *a = &p->arena;
  const uint64_t size = (uint64_t)PROCPOOL__LINE << c;
  if (a->carve[c] % PROCPOOL__EXTENT == 0) {
    const uint64_t extent = procpool__arena_take_extent(p, PROCPOOL__EXTENT);
    if (extent == PROCPOOL__NO_BLOCK)
      return PROCPOOL__NO_BLOCK;
    a->carve[c] = extent;
  }
  a->carve[c] += size;
  return a->carve[c] - size;
}

/* Whether the arena could hold a block of that size if nothing else were in it. */
static bool procpool__arena_could_hold(const procpool *p, uint64_t size) {
  return size <= p->segment.arena_size; /* a multiple of EXTENT */
}

/* A block of at least size bytes, aligned to a cache line: its offset in the arena, or NO_BLOCK. For more than an
 * extent the lock may be let go meanwhile. */
static uint64_t procpool__arena_alloc(procpool *p, uint64_t size) {
  procpool__arena *a = &p->arena;
  const int c = procpool__arena_class(size < p->segment.arena_size ? size : p->segment.arena_size);
  procpool__list *list;
  uint64_t offset;
  a->error = PROCPOOL__NO_MEMORY;
  if (!procpool__arena_could_hold(p, size))
    return PROCPOOL__NO_BLOCK;
  if (c >= PROCPOOL__CLASSES)
    return procpool__arena_take_extent(p, procpool__round_up(size, PROCPOOL__EXTENT));
  list = &a->classes[c];
  if (!procpool__list_reserve(list, list->count + a->given[c] + 1))
    return PROCPOOL__NO_BLOCK;
  offset = list->count > 0 ? list->items[--list->count] : procpool__arena_carve(p, c);
  a->given[c] += offset != PROCPOOL__NO_BLOCK;
  return offset;
}

static void procpool__arena_free(procpool *p, uint64_t offset, uint64_t size) {
  procpool__arena *a = &p->arena;
  int c;
  if (offset == PROCPOOL__NO_BLOCK)
    return; /* then size may be anything */
  a->returned++;
  c = procpool__arena_class(size);
  if (c >= PROCPOOL__CLASSES) {
    procpool__arena_give_extent(p, offset, procpool__round_up(size, PROCPOOL__EXTENT), true);
    return;
  }
  a->classes[c].items[a->classes[c].count++] = offset;
  a->given[c]--;
}

/* A block that a call holds beside the tasks: for one that is not submitted yet, or has settled. A thread that finds no
 * memory meanwhile has only to wait; also while pages are taken for it, without the lock. */
static uint64_t procpool__arena_hold(procpool *p, uint64_t size) {
  uint64_t offset;
  p->arena.held++;
  offset = procpool__arena_alloc(p, size);
  p->arena.held -= offset == PROCPOOL__NO_BLOCK;
  return offset;
}

/* offset: NO_BLOCK where none was had. */
static void procpool__arena_unhold(procpool *p, uint64_t offset, uint64_t size) {
  p->arena.held -= offset != PROCPOOL__NO_BLOCK;
  procpool__arena_free(p, offset, size);
}

static void procpool__arena_end(procpool__arena *a) {
  for (int c = 0; c < PROCPOOL__CLASSES; c++)
    PROCPOOL_FREE(a->classes[c].items);
  PROCPOOL_FREE(a->extents);
}

/* ---- shared buffers ----
 * A buffer that is freed may still be used by tasks that were accepted before: the host cannot see what pointers they
 * have. So there are two epochs. Every task counts in the one in which it was accepted, and what is freed waits in the
 * list of the one that goes on. When no task of the other epoch is left, the next one may begin; then the list of this
 * one is emptied when its own tasks have settled, which are all that were accepted before. */

/* The tree is a treap: a search tree by offset, and a heap by a number that is as good as random, so that it is about
 * as deep as the logarithm of how many there are. Nothing is allocated when a buffer is freed: that cannot fail. */
static uint64_t procpool__buffer_rank(const procpool__buffer *b) {
  return b->offset * 0x9e3779b97f4a7c15ull;
}

/* Takes the tree apart: what begins before offset, and the rest. */
static void procpool__buffer_split(procpool__buffer *tree, uint64_t offset, procpool__buffer **before,
                                   procpool__buffer **behind) {
  while (tree != NULL)
    if (tree->offset < offset) {
      *before = tree;
      before = &tree->right;
      tree = *before;
    } else {
      *behind = tree;
      behind = &tree->left;
      tree = *behind;
    }
  *before = *behind = NULL;
}

static void procpool__buffer_insert(procpool__buffer **at, procpool__buffer *b) {
  while (*at != NULL && procpool__buffer_rank(*at) >= procpool__buffer_rank(b))
    at = b->offset < (*at)->offset ? &(*at)->left : &(*at)->right;
  procpool__buffer_split(*at, b->offset, &b->left, &b->right);
  *at = b;
}

/* Takes the root of the tree at *at out: the trees below it become one. */
static void procpool__buffer_remove(procpool__buffer **at) {
  procpool__buffer *left = (*at)->left, *right = (*at)->right;
  while (left != NULL && right != NULL)
    if (procpool__buffer_rank(left) >= procpool__buffer_rank(right)) {
      *at = left;
      at = &left->right;
      left = *at;
    } else {
      *at = right;
      at = &right->left;
      right = *at;
    }
  *at = left != NULL ? left : right;
}

/* Where in the tree the buffer hangs that begins at offset; what is found there is null if none does. */
static procpool__buffer **procpool__buffer_at(procpool *p, uint64_t offset) {
  procpool__buffer **at = &p->buffers.live;
  while (*at != NULL && (*at)->offset != offset)
    at = offset < (*at)->offset ? &(*at)->left : &(*at)->right;
  return at;
}

/* The last buffer that begins at offset or before; null if none does. */
static const procpool__buffer *procpool__buffer_before(const procpool *p, uint64_t offset) {
  const procpool__buffer *found = NULL;
  for (const procpool__buffer *b = p->buffers.live; b != NULL; b = b->offset > offset ? b->left : b->right)
    found = b->offset <= offset ? b : found;
  return found;
}

typedef enum procpool__where {
  PROCPOOL__WHERE_OUTSIDE, /* of the segment */
  PROCPOOL__WHERE_BUFFER,  /* in a live buffer, whole */
  PROCPOOL__WHERE_WRONG    /* in the segment, but not so */
} procpool__where;

/* Where size bytes at address lie. *offset: in the arena, if it is in a buffer. */
static procpool__where procpool__buffer_find(const procpool *p, const void *address, uint64_t size, uint64_t *offset) {
  const procpool__segment *s = &p->segment;
  const uint64_t at = (uint64_t)(uintptr_t)address, base = (uint64_t)(uintptr_t)s->base;
  const procpool__buffer *b;
  if (at >= base + s->total || (at < base && size <= base - at))
    return PROCPOOL__WHERE_OUTSIDE;
  if (at < base + s->arena_at)
    return PROCPOOL__WHERE_WRONG;
  *offset = at - base - s->arena_at;
  b = procpool__buffer_before(p, *offset);
  if (b == NULL || *offset - b->offset > b->size || size > b->size - (*offset - b->offset))
    return PROCPOOL__WHERE_WRONG;
  return PROCPOOL__WHERE_BUFFER;
}

/* Null (arena.error) where there is no memory. */
static void *procpool__buffer_new(procpool *p, uint64_t size) {
  procpool__buffer *b = (procpool__buffer *)PROCPOOL_MALLOC(sizeof(*b));
  p->arena.error = PROCPOOL__NO_MEMORY;
  if (b == NULL)
    return NULL;
  b->offset = procpool__arena_alloc(p, size > 0 ? size : 1);
  if (b->offset == PROCPOOL__NO_BLOCK) {
    PROCPOOL_FREE(b);
    return NULL;
  }
  b->size = size;
  b->stuck = p->buffers.stuck_workers;
  procpool__buffer_insert(&p->buffers.live, b);
  return p->segment.arena + b->offset;
}

/* Gives back a list of freed buffers, with their memory or without. */
static void procpool__buffer_end_pending(procpool *p, unsigned epoch, bool usable) {
  while (p->buffers.freed_pending[epoch] != NULL) {
    procpool__buffer *b = p->buffers.freed_pending[epoch];
    p->buffers.freed_pending[epoch] = b->right;
    if (usable)
      procpool__arena_free(p, b->offset, b->size > 0 ? b->size : 1);
    PROCPOOL_FREE(b);
  }
}

/* Empties the lists of pending ones as far as tasks have settled, and begins the next epoch if that helps. */
static void procpool__buffer_advance(procpool *p) {
  for (;;) {
    const unsigned other = 1 - p->buffers.epoch;
    if (p->buffers.unsettled[other] > 0)
      return;
    procpool__buffer_end_pending(p, other, true);
    if (p->buffers.freed_pending[p->buffers.epoch] == NULL)
      return;
    p->buffers.epoch = other;
  }
}

/* The buffer that hangs there is free: when all tasks of now have settled, its memory is. But what was there before a
 * worker got stuck, which may know of it and write to it, is never used again. */
static void procpool__buffer_drop(procpool *p, procpool__buffer **at) {
  procpool__buffer *b = *at;
  procpool__buffer_remove(at);
  if (b->stuck != p->buffers.stuck_workers) {
    PROCPOOL_FREE(b);
    return;
  }
  b->right = p->buffers.freed_pending[p->buffers.epoch];
  p->buffers.freed_pending[p->buffers.epoch] = b;
  procpool__buffer_advance(p);
}

/* A worker goes on that cannot be ended, and may know what buffers there are by now. */
static void procpool__buffer_quarantine(procpool *p) {
  p->buffers.stuck_workers++;
  procpool__buffer_end_pending(p, 0, false);
  procpool__buffer_end_pending(p, 1, false);
}

/* A task is accepted. */
static void procpool__buffer_enter(procpool *p, procpool_future *f) {
  if (p->buffers.epoch != 0)
    f->flags |= PROCPOOL__F_EPOCH;
  p->buffers.unsettled[p->buffers.epoch]++;
}

/* And has settled. */
static void procpool__buffer_leave(procpool *p, const procpool_future *f) {
  const unsigned epoch = (f->flags & PROCPOOL__F_EPOCH) != 0;
  p->buffers.unsettled[epoch]--;
  if (f->flags & PROCPOOL__F_QUARANTINE)
    procpool__buffer_quarantine(p);
  if (p->buffers.unsettled[epoch] == 0 && (p->buffers.freed_pending[0] != NULL || p->buffers.freed_pending[1] != NULL))
    procpool__buffer_advance(p);
}

static void procpool__buffer_end(procpool *p) {
  while (p->buffers.live != NULL) {
    procpool__buffer *b = p->buffers.live;
    procpool__buffer_remove(&p->buffers.live);
    PROCPOOL_FREE(b);
  }
  procpool__buffer_end_pending(p, 0, false);
  procpool__buffer_end_pending(p, 1, false);
}

/* ==== >>futures =====================================================================================================
 * Runs in:   the host, with the lock.
 * Writes:    futures, their callbacks, and the lists that they are in; words of tasks that have settled.
 * Calls:     >>arena, >>host.
 * Always:    a future settles once, and ends when neither its user, nor its task, nor a callback has it. */

static bool procpool__future_more(procpool *p) {
  procpool__slab *slab = (procpool__slab *)procpool__aligned_new(sizeof(*slab));
  if (slab == NULL)
    return false;
  slab->next = p->futures.slabs;
  p->futures.slabs = slab;
  memset((void *)slab->futures, 0, sizeof(slab->futures));
  for (int i = PROCPOOL__SLAB - 1; i >= 0; i--) {
    slab->futures[i].magic = PROCPOOL__FUTURE_FREE;
    slab->futures[i].pool = p;
    slab->futures[i].next = p->futures.free_list;
    p->futures.free_list = &slab->futures[i];
  }
  return true;
}

/* Blocks of one future each. They are in a list, so that a host that exits with a pool does not seem to leak them. */
static procpool_future *procpool__future_apart(procpool *p) {
  procpool__apart *apart = (procpool__apart *)procpool__aligned_new(sizeof(*apart));
  if (apart == NULL)
    return NULL;
  memset((void *)apart, 0, sizeof(*apart));
  apart->future.pool = p;
  apart->next = p->futures.apart;
  apart->from = &p->futures.apart;
  if (apart->next != NULL)
    apart->next->from = &apart->next;
  p->futures.apart = apart;
  return &apart->future;
}

static void procpool__future_apart_free(procpool_future *f) {
  procpool__apart *apart = (procpool__apart *)(void *)((unsigned char *)f - offsetof(procpool__apart, future));
  *apart->from = apart->next;
  if (apart->next != NULL)
    apart->next->from = apart->from;
  procpool__aligned_free(apart);
}

/* A free one; null where there is no memory. */
static procpool_future *procpool__future_find(procpool *p) {
  procpool_future *f;
  if (PROCPOOL__APART)
    return procpool__future_apart(p);
  if (p->futures.free_list == NULL && !procpool__future_more(p))
    return NULL;
  f = p->futures.free_list;
  p->futures.free_list = f->next;
  return f;
}

/* A handle that is used after it was given back shall be HANDLE, and not another task's: so what is free rests until
 * PROCPOOL__RESTING others have come after it, first in, first out. Not all that are free stand in that row: after a
 * burst of a million tasks each next one would lie in cold memory. These are 8 KiB, which stay in the nearest cache,
 * and those that have rested are used again last in, first out. With AddressSanitizer a future is a block of its own
 * instead, and truly freed: its report of a later use then says who gave it back, which poisoned memory cannot. */
static void procpool__future_rest(procpool *p, procpool_future *f) {
  procpool_future **place, *rested;
  if (PROCPOOL__APART) {
    procpool__future_apart_free(f);
    return;
  }
  place = &p->futures.resting[p->futures.rested++ % PROCPOOL__RESTING];
  rested = *place;
  *place = f;
  if (rested == NULL)
    return;
  rested->next = p->futures.free_list;
  p->futures.free_list = rested;
}

/* A free future has neither error nor callbacks nor waiters, so that there is little to write here: all that submit
 * does not set itself. */
static procpool_future *procpool__future_new(procpool *p) {
  procpool_future *f = procpool__future_find(p);
  if (f == NULL)
    return NULL;
  f->magic = PROCPOOL__FUTURE_LIVE;
  f->status = PROCPOOL_PENDING;
  f->flags = 0;
  f->worker = -1;
  f->refs = 2;
  f->pid = 0;
  f->size = 0;
  f->block = PROCPOOL__NO_BLOCK;
  p->futures.live++;
  return f;
}

/* The C library takes a moment to give much memory back: that is done as the call ends, without the lock. The first
 * word of what waits for that leads to the next one. */
static void procpool__future_throw_away(procpool *p, void *data, uint64_t size) {
  if (data != NULL && size > PROCPOOL__EXTENT) {
    memcpy(data, &p->futures.thrown_away, sizeof(p->futures.thrown_away));
    p->futures.thrown_away = data;
  } else {
    procpool__aligned_free(data);
  }
}

static void procpool__future_free_thrown_away(void *data) {
  while (data != NULL) {
    void *next;
    memcpy(&next, data, sizeof(next));
    procpool__aligned_free(data);
    data = next;
  }
}

/* The last reference is gone. */
static void procpool__future_end(procpool *p, procpool_future *f) {
  if (f->size > PROCPOOL__SMALL && !(f->flags & PROCPOOL__F_PLACE))
    procpool__future_throw_away(p, f->result.data, f->size);
  if (f->error != NULL)
    PROCPOOL_FREE(f->error);
  f->error = NULL;
  while (f->callbacks != NULL) {
    procpool__callback_node *next = f->callbacks->next;
    PROCPOOL_FREE(f->callbacks);
    f->callbacks = next;
  }
  f->magic = PROCPOOL__FUTURE_FREE;
  procpool__future_rest(p, f);
  p->futures.live--;
}

static void procpool__future_unref(procpool *p, procpool_future *f) {
  if (--f->refs == 0)
    procpool__future_end(p, f);
}

static void procpool__node_push(procpool_future *f, procpool__wait_node *node) {
  node->future = f;
  node->next = f->nodes;
  node->from = &f->nodes;
  if (f->nodes != NULL)
    f->nodes->from = &node->next;
  f->nodes = node;
}

static void procpool__node_drop(procpool__wait_node *node) {
  *node->from = node->next;
  if (node->next != NULL)
    node->next->from = node->from;
}

static procpool_status procpool__future_status(const procpool_future *f) {
  return (procpool_status)__atomic_load_n(&f->status, __ATOMIC_ACQUIRE);
}

/* Whether its result is still wanted: a handle is held, or callbacks are due. */
static bool procpool__future_wanted(const procpool_future *f) {
  return !(f->flags & PROCPOOL__F_RELEASED) || f->callbacks != NULL;
}

static bool procpool__future_bad(procpool_status status) {
  return status != PROCPOOL_OK && status != PROCPOOL_CANCELLED;
}

/* Wakes a thread that follows; one that still looks at its word needs no call. Either this sees that it is asleep, or
 * the kernel, as it goes to sleep, that it was woken. */
static void procpool__sleeper_wake_follower(procpool *p, procpool__wait *s) {
  p->waiting.coming++;
  if (procpool__load32(&s->asleep) == 0)
    return;
  if (p->waiting.woken_count < PROCPOOL__WOKEN)
    p->waiting.woken[p->waiting.woken_count++] = &s->word;
  else
    procpool__platform_wake(&s->word, 1);
}

/* Wakes a thread that sleeps until its condition holds. */
static void procpool__sleeper_wake(procpool *p, procpool__wait *s) {
  if (s->word != 0)
    return;
  procpool__store32(&s->word, 1);
  if (s != p->waiting.drainer) {
    procpool__sleeper_wake_follower(p, s);
    return;
  }
  procpool__shm_wake_host(&p->segment, p->fds.event_fd);
  if (p->waiting.watching) /* whatever a worker has made of the host's flag */
    procpool__platform_event_set(p->fds.event_fd);
}

/* Something has changed that its condition looks at. A lazy sleep goes on: what ends that is told otherwise. */
static void procpool__sleeper_tell(procpool *p, procpool__wait *s) {
  if (s->word == 0 && !(s == p->waiting.drainer && p->waiting.lazy) && s->condition(p, s->context))
    procpool__sleeper_wake(p, s);
}

/* What all conditions look at has changed: who is about to sleep looks again, too. */
static void procpool__sleeper_wake_all(procpool *p) {
  p->waiting.calls++;
  procpool__host_next_turn(p);
  if (p->waiting.drainer != NULL)
    procpool__sleeper_wake(p, p->waiting.drainer);
  for (procpool__wait *s = p->waiting.followers; s != NULL; s = s->next)
    procpool__sleeper_wake(p, s);
}

/* Under the waiter's lock. */
static void procpool__waiter_ring_locked(procpool__waiter *w) {
  if (w->bell < 0 || w->rung)
    return;
  w->rung = true;
  procpool__platform_event_set(w->bell);
}

static void procpool__waiter_ring(procpool__waiter *w) {
  procpool__platform_lock(&w->lock);
  procpool__waiter_ring_locked(w);
  procpool__platform_unlock(&w->lock);
}

/* Tells one waiter that the future behind node has settled. */
static void procpool__waiter_tell(procpool *p, procpool__wait_node *node) {
  procpool__waiter *w = node->waiter;
  if (w == NULL) {
    procpool__sleeper_tell(p, (procpool__wait *)(void *)node);
    return;
  }
  procpool__platform_lock(&w->lock);
  w->pending--;
  w->settled++;
  w->errors += procpool__future_bad(procpool__future_status(node->future));
  node->next_done = NULL;
  *(w->last_done != NULL ? &w->last_done->next_done : &w->first_done) = node;
  w->last_done = node;
  procpool__waiter_ring_locked(w);
  procpool__platform_unlock(&w->lock);
  if (w->sleeper != NULL)
    procpool__sleeper_tell(p, w->sleeper);
}

/* Something has come about that the program's event loop is to look at. */
static void procpool__loop_tell(procpool *p) {
  if (p->fds.loop_fd < 0 || p->loop.told || p->loop.polling)
    return;
  p->loop.told = true;
  p->loop.timer_due = 0;
  procpool__platform_timer_set(p->fds.timer_fd, 1); /* long ago */
}

static void procpool__host_make_due(procpool *p, procpool_future *f) {
  f->refs++;
  f->next = NULL;
  if (p->callbacks.last_due != NULL)
    p->callbacks.last_due->next = f;
  else
    __atomic_store_n(&p->callbacks.first_due, f, __ATOMIC_RELAXED);
  p->callbacks.last_due = f;
}

/* Pieces of its result that are of no use any more. */
static void procpool__host_drop_pieces(procpool *p, const procpool_future *f) {
  for (int i = 0; i < p->segment.workers; i++)
    if (p->drain.inboxes[i].partial == f) {
      procpool__aligned_free(p->drain.inboxes[i].data);
      p->drain.inboxes[i].data = NULL;
      p->drain.inboxes[i].partial = NULL;
      p->drain.inboxes[i].impatient = false;
    }
}

/* The one place where a task settles. No other thread looks at its slot; workers see its word again only after a READY
 * that follows. */
static void procpool__host_settle(procpool *p, procpool_future *f, procpool_status status) {
  uint32_t *cell = &p->tasks.cell_slots[(f->ticket - 1) & (p->segment.cell_count - 1)];
  p->tasks.owners[f->slot] = NULL;
  if (*cell == f->slot + 1) /* else a later task has it: this one has run for a lap */
    *cell = 0;
  if (!(f->flags & PROCPOOL__F_QUARANTINE)) {
    procpool__store_release(&p->segment.slots[f->slot].word, 0);
    p->tasks.free_slots[p->tasks.free_count++] = f->slot;
  }
  if (f->block != PROCPOOL__NO_BLOCK && !(f->flags & (PROCPOOL__F_KEEP_BLOCK | PROCPOOL__F_QUARANTINE)))
    procpool__arena_free(p, f->block, f->block_size);
  procpool__buffer_leave(p, f);
  if (f->limit > 0)
    procpool__store(&p->segment.header->limited, --p->tasks.limited);
  if (f->flags & PROCPOOL__F_PIECES)
    procpool__host_drop_pieces(p, f);
  __atomic_store_n(&p->tasks.settled, p->tasks.settled + 1, __ATOMIC_RELAXED);
  p->tasks.crashed += status == PROCPOOL_CRASHED;
  procpool__host_next_turn(p);
  __atomic_store_n(&f->status, (uint8_t)status, __ATOMIC_RELEASE);
  for (procpool__wait_node *n = f->nodes; n != NULL; n = n->next)
    procpool__waiter_tell(p, n);
  if (p->fds.loop_fd >= 0)
    procpool__loop_tell(p);
  if (f->callbacks != NULL) {
    p->callbacks.expected--;
    procpool__host_make_due(p, f);
  }
  procpool__future_unref(p, f);
}

/* An error record for the future; without memory for one the status alone must do. */
static procpool_error *procpool__host_error(procpool_future *f, procpool_status status) {
  procpool_error *e = f->error;
  if (e == NULL)
    e = (procpool_error *)PROCPOOL_MALLOC(sizeof(*e));
  if (e == NULL)
    return NULL;
  memset(e, 0, sizeof(*e));
  e->status = status;
  e->index = f->index;
  e->worker = f->worker;
  e->pid = (long)f->pid;
  f->error = e;
  return e;
}

/* The same with a text; error: the system's, or 0. */
static void procpool__host_explain(procpool_future *f, procpool_status status, int error, const char *text) {
  procpool_error *e = procpool__host_error(f, status);
  if (e == NULL)
    return;
  e->system_error = error;
  (void)snprintf(e->message, sizeof(e->message), "%s", text);
}

/* ==== >>drain =======================================================================================================
 * Runs in:   the host, with the lock.
 * Writes:    the pool; rings' consumed and room_seq.
 * Calls:     >>futures, >>arena, >>host.
 * Always:    who takes in a record has checked all of it; each task settles once, whatever a worker has written. */

/* ---- taking results in ---- */

typedef enum procpool__taken { PROCPOOL__TAKEN, PROCPOOL__TAKEN_NOT, PROCPOOL__TAKEN_CORRUPT } procpool__taken;

/* Whether there is no waiting for memory for its result: the end must not depend on that. */
static bool procpool__host_no_patience(const procpool *p, const procpool__inbox *in) {
  return p->life.finished || p->life.phase == PROCPOOL__PHASE_KILL || in->impatient;
}

/* How much room to take for a large result, of which more bytes have come than it has room for. The total is but the
 * worker's word: up to so much it is taken at once, what is larger grows with what has come. */
static uint64_t procpool__host_partial_room(const procpool__inbox *in, uint64_t needed) {
  const uint64_t room = 2 * in->room > PROCPOOL__FIRST_ROOM ? 2 * in->room : PROCPOOL__FIRST_ROOM;
  return in->total < room ? in->total : room < needed ? needed : room;
}

static bool procpool__host_grow_partial(procpool *p, procpool__inbox *in, uint64_t more) {
  const uint64_t needed = in->filled + more;
  uint64_t room = procpool__host_partial_room(in, needed);
  unsigned char *data;
  if (needed <= in->room || (in->data == NULL && in->filled > 0))
    return true; /* there is room, or it was given up */
  data = (unsigned char *)procpool__aligned_grow(in->data, in->filled, room);
  if (data == NULL && room > needed) { /* twice what has come may find room all the same */
    room = room / 2 > needed ? 2 * needed : needed;
    data = (unsigned char *)procpool__aligned_grow(in->data, in->filled, room);
  }
  if (data != NULL) {
    if (room >= PROCPOOL__OWN_MAPPING)
      procpool__platform_enlarge(data, (size_t)room);
    in->data = data;
    in->room = room;
  } else if (procpool__host_no_patience(p, in)) {
    procpool__aligned_free(in->data);
    in->data = NULL;
  } else {
    return false;
  }
  return true;
}

/* One piece of a large result. */
static procpool__taken procpool__host_take_piece(procpool *p, int worker, procpool_future *f,
                                                 const procpool__record *head) {
  procpool__inbox *in = &p->drain.inboxes[worker];
  const uint64_t at = head->position + sizeof(*head);
  const uint64_t size = head->size - sizeof(in->total);
  uint64_t total;
  if (head->size <= sizeof(total) || (f->flags & PROCPOOL__F_PLACE))
    return PROCPOOL__TAKEN_CORRUPT;
  procpool__ring_copy_out(&p->segment, worker, at, &total, sizeof(total));
  if (total > (uint64_t)1 << 47)
    return PROCPOOL__TAKEN_CORRUPT;
  if (in->partial != f) {
    procpool__aligned_free(in->data);
    in->partial = f;
    f->flags |= PROCPOOL__F_PIECES;
    in->data = NULL;
    in->filled = in->room = 0;
    in->total = total;
  }
  if (total != in->total || size > total - in->filled)
    return PROCPOOL__TAKEN_CORRUPT;
  if (procpool__future_wanted(f) && !procpool__host_grow_partial(p, in, size))
    return PROCPOOL__TAKEN_NOT;
  if (in->data != NULL && in->filled + size <= in->room)
    procpool__ring_copy_out(&p->segment, worker, at + sizeof(total), in->data + in->filled, size);
  in->filled += size;
  return PROCPOOL__TAKEN;
}

/* The pieces are all there: they become the result. */
static procpool__taken procpool__host_join_pieces(procpool *p, int worker, procpool_future *f) {
  procpool__inbox *in = &p->drain.inboxes[worker];
  if (in->partial != f || in->filled != in->total || in->total <= PROCPOOL__SMALL)
    return PROCPOOL__TAKEN_CORRUPT;
  if (in->data == NULL || in->room < in->total) /* not wanted; or no memory, at the end */
    return procpool__future_wanted(f) ? PROCPOOL__TAKEN_NOT : PROCPOOL__TAKEN;
  in->partial = NULL;
  f->result.data = in->data;
  f->size = in->total;
  in->data = NULL;
  return PROCPOOL__TAKEN;
}

/* The result lies in its place already: the record tells its size. */
static procpool__taken procpool__host_take_place(procpool *p, int worker, procpool_future *f,
                                                 const procpool__record *head) {
  const bool none = (head->slot & PROCPOOL__RECORD_NONE) != 0;
  uint64_t size = 0;
  if (none ? head->size != 0 : head->size != sizeof(size) || !(head->slot & PROCPOOL__RECORD_PLACE))
    return PROCPOOL__TAKEN_CORRUPT;
  if (!none)
    procpool__ring_copy_out(&p->segment, worker, head->position + sizeof(*head), &size, sizeof(size));
  if (size > f->size)
    return PROCPOOL__TAKEN_CORRUPT;
  f->size = size;
  f->flags |= (uint8_t)(none ? PROCPOOL__F_NONE : 0);
  return PROCPOOL__TAKEN;
}

static procpool__taken procpool__host_take_bytes(procpool *p, int worker, procpool_future *f,
                                                 const procpool__record *head) {
  const bool wrapped = (head->slot & PROCPOOL__RECORD_WRAPPED) != 0;
  const uint64_t at = wrapped ? 0 : head->position + sizeof(*head);
  void *data = f->result.small;
  if (f->flags & PROCPOOL__F_PLACE)
    return procpool__host_take_place(p, worker, f, head);
  if (procpool__future_wanted(f)) {
    if (head->size > PROCPOOL__SMALL)
      data = f->result.data = procpool__aligned_new(head->size);
    if (data == NULL)
      return PROCPOOL__TAKEN_NOT;
    procpool__ring_copy_out(&p->segment, worker, at, data, head->size);
    f->size = head->size;
  }
  if (head->slot & PROCPOOL__RECORD_NONE)
    f->flags |= PROCPOOL__F_NONE;
  return PROCPOOL__TAKEN;
}

/* Why a task was brought to its end. A deadline that has passed by now was the earlier one, as far as the host knows. */
static const char *procpool__host_why_ended(const procpool *p, const procpool_future *f, procpool_status status) {
  if (status != PROCPOOL_TIMEOUT)
    return procpool_strerror(status);
  return procpool__shm_deadline(&p->segment, f->slot) <= procpool__platform_now()
             ? "the task's deadline was over"
             : "the task ran longer than its limit and was ended";
}

/* What is told of it. */
static void procpool__host_tell_stage(procpool_error *e, const char *why, procpool_stage stage) {
  static const char how[][64] = {"it had not begun", "it returned, or ended its worker, when it was asked to",
                                 "its worker got SIGTERM", "its worker got SIGKILL"};
  e->stage = stage;
  (void)snprintf(e->message, sizeof(e->message), "%.90s: %.90s", why, how[stage]);
}

/* A message that is longer than an error has room for comes as a result does, and is kept as one: it begins with the
 * code. What is told of it in the error is its beginning. */
static procpool__taken procpool__host_take_long_failure(procpool *p, int worker, procpool_future *f,
                                                        const procpool__record *head) {
  const procpool__taken taken = head->slot & PROCPOOL__RECORD_FRAGMENT ? procpool__host_join_pieces(p, worker, f)
                                                                       : procpool__host_take_bytes(p, worker, f, head);
  if (taken == PROCPOOL__TAKEN && f->size > 0)
    ((unsigned char *)f->result.data)[f->size - 1] = 0; /* whatever the worker wrote there */
  return taken;
}

/* How a task failed that its worker committed as such. What it tells is the worker's word. */
static procpool__taken procpool__host_take_failure(procpool *p, int worker, procpool_future *f,
                                                   const procpool__record *head, procpool_status status) {
  procpool__taken taken = PROCPOOL__TAKEN;
  procpool__failure failure;
  procpool_error *e;
  memset(&failure, 0, sizeof(failure));
  if (status == PROCPOOL_TIMEOUT || status == PROCPOOL_CANCELLED) {
    e = procpool__host_error(f, status);
    if (e != NULL)
      procpool__host_tell_stage(e, procpool__host_why_ended(p, f, status),
                                (head->slot & PROCPOOL__RECORD_NONE) ? PROCPOOL_STAGE_ASKED : PROCPOOL_STAGE_NONE);
    return PROCPOOL__TAKEN;
  }
  if (!(head->slot & PROCPOOL__RECORD_FRAGMENT) && head->size <= sizeof(failure)) {
    procpool__ring_copy_out(&p->segment, worker, head->position + sizeof(*head), &failure, head->size);
  } else {
    if (f->flags & PROCPOOL__F_PLACE)
      return PROCPOOL__TAKEN_CORRUPT;
    taken = procpool__host_take_long_failure(p, worker, f, head);
    if (taken != PROCPOOL__TAKEN && (taken != PROCPOOL__TAKEN_NOT || (head->slot & PROCPOOL__RECORD_FRAGMENT)))
      return taken;
    if (taken == PROCPOOL__TAKEN_NOT) /* no memory for all of it: then cut */
      procpool__ring_copy_out(&p->segment, worker, head->position + sizeof(*head), &failure, sizeof(failure));
    else if (f->size > 0) /* else it is not wanted */
      memcpy((void *)&failure, f->result.data, f->size < sizeof(failure) ? (size_t)f->size : sizeof(failure));
  }
  e = procpool__host_error(f, status);
  if (e == NULL)
    return PROCPOOL__TAKEN;
  failure.message[sizeof(failure.message) - 1] = 0;
  e->code = failure.code;
  memcpy(e->message, failure.message, sizeof(e->message));
  return PROCPOOL__TAKEN;
}

static procpool_status procpool__host_status_of(procpool__state state) {
  static const procpool_status statuses[] = {
      PROCPOOL_PENDING, PROCPOOL_PENDING, PROCPOOL_PENDING,   PROCPOOL_TIMEOUT,  PROCPOOL_CANCELLED,
      PROCPOOL_OK,      PROCPOOL_FAILED,  PROCPOOL_TRANSFER,  PROCPOOL_TIMEOUT,  PROCPOOL_CANCELLED,
      PROCPOOL_CRASHED, PROCPOOL_TIMEOUT, PROCPOOL_CANCELLED, PROCPOOL_SHUTDOWN, PROCPOOL_BROKEN};
  return state <= PROCPOOL__DEAD_BROKEN ? statuses[state] : PROCPOOL_BROKEN;
}

/* What becomes of tasks whose results are not to be had when the pool ends. */
static procpool_status procpool__host_rest_status(const procpool *p) {
  return p->life.phase == PROCPOOL__PHASE_KILL ? PROCPOOL_SHUTDOWN : PROCPOOL_BROKEN;
}

/* There is no memory for its result: where there is no waiting for some, the task settles without. */
static procpool__taken procpool__host_give_up(procpool *p, const procpool__inbox *in, procpool_future *f) {
  if (!procpool__host_no_patience(p, in))
    return PROCPOOL__TAKEN_NOT;
  if (in->impatient)
    procpool__host_explain(f, PROCPOOL_TRANSFER, PROCPOOL__NO_MEMORY, "the host has no memory for the result");
  procpool__host_settle(p, f, in->impatient ? PROCPOOL_TRANSFER : procpool__host_rest_status(p));
  return PROCPOOL__TAKEN;
}

/* How a worker ended, in words; before: what is said before that. */
static void procpool__host_tell_end(procpool_error *e, const char *before) {
  const bool killed = e->signal != 0;
  (void)snprintf(e->message, sizeof(e->message), "%sworker %ld %s %d%s", before, e->pid,
                 killed ? "was ended by signal" : "exited with status", killed ? e->signal : e->exit_status,
                 killed ? procpool__platform_signal_name(e->signal) : "");
}

static void procpool__host_read_exit_record(procpool_error *error, const procpool__exit_record *e, const char *why,
                                            int stage) {
  error->signal = e->signal;
  error->exit_status = e->exit_status;
  error->user_seconds = (double)e->user_us / 1e6;
  error->system_seconds = (double)e->system_us / 1e6;
  error->max_rss_kib = (long)(e->rss_kib_next >> 24);
  stage &= ~(int)PROCPOOL__EXIT_QUARANTINE;
  if (error->status == PROCPOOL_TIMEOUT || error->status == PROCPOOL_CANCELLED)
    procpool__host_tell_stage(error, why,
                              stage >= 0 && stage <= PROCPOOL_STAGE_KILL ? (procpool_stage)stage : PROCPOOL_STAGE_NONE);
  else
    procpool__host_tell_end(error, "");
}

/* ---- what finalizers give ---- A finalizer has no slot, and its future none until its record comes: then it is made
 * settled, with its callback due, and only that holds it. In between only where the result comes in pieces. */

/* Pieces of a finalizer's result of which there will be no more: whatever else its worker's ring brings is a
 * successor's, or nonsense. */
static void procpool__host_drop_finalizer(procpool *p, procpool__inbox *in) {
  procpool_future *f = in->finalizer;
  if (f == NULL)
    return;
  if (in->partial == f) {
    procpool__aligned_free(in->data);
    in->data = NULL;
    in->partial = NULL;
  }
  in->finalizer = NULL;
  procpool__future_unref(p, f);
}

/* The future for the finalizer of that record. Null: there is no memory. */
static procpool_future *procpool__host_finalizer_future(procpool *p, int worker, const procpool__record *head) {
  procpool__inbox *in = &p->drain.inboxes[worker];
  procpool__callback_node *node;
  procpool_future *f;
  if (in->finalizer != NULL && in->finalizer->pid != (int32_t)head->pid)
    procpool__host_drop_finalizer(p, in);
  if (in->finalizer != NULL)
    return in->finalizer;
  node = (procpool__callback_node *)PROCPOOL_MALLOC(sizeof(*node));
  f = node != NULL ? procpool__future_new(p) : NULL;
  if (f == NULL) {
    PROCPOOL_FREE(node);
    return NULL;
  }
  memset(node, 0, sizeof(*node));
  node->function = p->callbacks.finalizer;
  node->context = p->callbacks.finalizer_context;
  f->callbacks = node;
  f->flags = PROCPOOL__F_RELEASED;
  f->refs = 1;
  f->ticket = f->slot = f->limit = 0;
  f->index = 0;
  f->user = p->callbacks.finalizer_context;
  f->worker = (int16_t)worker;
  f->pid = (int32_t)head->pid;
  in->finalizer = f;
  return f;
}

static void procpool__host_settle_finalizer(procpool *p, procpool__inbox *in, procpool_status status) {
  procpool_future *f = in->finalizer;
  in->finalizer = NULL;
  in->finalized++;
  if (f->flags & PROCPOOL__F_PIECES)
    procpool__host_drop_pieces(p, f);
  __atomic_store_n(&f->status, (uint8_t)status, __ATOMIC_RELEASE);
  procpool__host_make_due(p, f);
  procpool__future_unref(p, f);
  procpool__loop_tell(p);
}

/* Whether a finalizer of one that keeps to the protocol leaves such a record. No worker leaves in order more than once
 * without a task that was accepted, for itself or for another one: so a worker cannot fill the host's memory with
 * futures. */
static bool procpool__host_finalizer_fits(const procpool *p, const procpool__inbox *in, const procpool__record *head) {
  const procpool__state state = procpool__word_state(head->word);
  const bool piece = (head->slot & PROCPOOL__RECORD_FRAGMENT) != 0;
  if (p->callbacks.finalizer == NULL || (head->slot & (PROCPOOL__RECORD_SLOT | PROCPOOL__RECORD_PLACE)) != 0 ||
      in->finalized > p->tasks.submitted)
    return false;
  if (state == PROCPOOL__DEAD_CRASHED || state == PROCPOOL__DEAD_TIMEOUT)
    return head->size == sizeof(procpool__exit_record) && head->slot == 0;
  return state == PROCPOOL__RUNNING ? piece : state >= PROCPOOL__DONE_OK && state <= PROCPOOL__DONE_TRANSFER;
}

/* How a worker ended in its finalizer: by the supervisor's word, or its own. */
static void procpool__host_take_finalizer_death(procpool *p, int worker, procpool_future *f,
                                                const procpool__record *head) {
  procpool_error *error = procpool__host_error(f, procpool__host_status_of(procpool__word_state(head->word)));
  procpool__exit_record e;
  if (error == NULL)
    return;
  procpool__ring_copy_out(&p->segment, worker, head->position + sizeof(*head), (void *)&e, sizeof(e));
  procpool__host_read_exit_record(error, &e, "the finalizer ran longer than its limit", e.stage);
  if (p->fds.control < 0)
    (void)snprintf(error->message, sizeof(error->message), "the finalizer called pthread_exit");
}

static procpool__taken procpool__host_take_finalizer(procpool *p, int worker, const procpool__record *head) {
  procpool__inbox *in = &p->drain.inboxes[worker];
  const procpool__state state = procpool__word_state(head->word);
  const bool piece = (head->slot & PROCPOOL__RECORD_FRAGMENT) != 0;
  procpool_status status = procpool__host_status_of(state);
  procpool__taken taken = PROCPOOL__TAKEN;
  procpool_future *f;
  if (!procpool__host_finalizer_fits(p, in, head))
    return PROCPOOL__TAKEN_CORRUPT;
  f = procpool__host_finalizer_future(p, worker, head);
  if (f == NULL && !procpool__host_no_patience(p, in))
    return PROCPOOL__TAKEN_NOT;
  if (f == NULL) { /* there is nothing to tell it by */
    in->impatient = false;
    return PROCPOOL__TAKEN;
  }
  if (piece)
    taken = procpool__host_take_piece(p, worker, f, head);
  if (taken != PROCPOOL__TAKEN || state == PROCPOOL__RUNNING)
    return taken;
  if (procpool__state_dead(state))
    procpool__host_take_finalizer_death(p, worker, f, head);
  else if (state != PROCPOOL__DONE_OK)
    taken = procpool__host_take_failure(p, worker, f, head, status);
  else
    taken = piece ? procpool__host_join_pieces(p, worker, f) : procpool__host_take_bytes(p, worker, f, head);
  if (taken == PROCPOOL__TAKEN_NOT && procpool__host_no_patience(p, in)) {
    procpool__host_explain(f, PROCPOOL_TRANSFER, PROCPOOL__NO_MEMORY, "the host has no memory for the result");
    status = PROCPOOL_TRANSFER;
    taken = PROCPOOL__TAKEN;
  }
  in->impatient = in->impatient && taken == PROCPOOL__TAKEN_NOT;
  if (taken == PROCPOOL__TAKEN)
    procpool__host_settle_finalizer(p, in, status);
  return taken;
}

/* Takes the record whose head was read: settles its task, or adds a piece to it. */
static procpool__taken procpool__host_take(procpool *p, int worker, const procpool__record *head) {
  const uint32_t slot = head->slot & PROCPOOL__RECORD_SLOT;
  const procpool__state state = procpool__word_state(head->word);
  procpool__inbox *in = &p->drain.inboxes[worker];
  procpool_future *f = p->tasks.owners[slot];
  procpool__taken taken = PROCPOOL__TAKEN;
  if (procpool__word_ticket(head->word) == PROCPOOL__TICKET_FINALIZER)
    return procpool__host_take_finalizer(p, worker, head);
  procpool__host_drop_finalizer(p, in);
  if (f == NULL || f->ticket != procpool__word_ticket(head->word)) /* a piece may come after its task was found dead */
    return state == PROCPOOL__RUNNING ? PROCPOOL__TAKEN : PROCPOOL__TAKEN_CORRUPT;
  if (head->slot & PROCPOOL__RECORD_FRAGMENT) {
    taken = procpool__host_take_piece(p, worker, f, head);
    if (taken != PROCPOOL__TAKEN || state == PROCPOOL__RUNNING)
      return taken;
  }
  if (!procpool__state_done(state) || procpool__load(&p->segment.slots[slot].word) != head->word)
    return PROCPOOL__TAKEN_CORRUPT;
  f->worker = (int16_t)worker;
  f->pid = (int32_t)head->pid;
  if (state != PROCPOOL__DONE_OK)
    taken = procpool__host_take_failure(p, worker, f, head, procpool__host_status_of(state));
  else if (head->slot & PROCPOOL__RECORD_FRAGMENT)
    taken = procpool__host_join_pieces(p, worker, f);
  else
    taken = procpool__host_take_bytes(p, worker, f, head);
  if (taken == PROCPOOL__TAKEN)
    procpool__host_settle(p, f, procpool__host_status_of(state));
  if (taken == PROCPOOL__TAKEN_NOT)
    taken = procpool__host_give_up(p, in, f);
  in->impatient = in->impatient && taken == PROCPOOL__TAKEN_NOT; /* for this one */
  return taken;
}

/* False when the supervisor could not be told. Where its channel is full there are messages for it to read, and it
 * looks for whatever a LOOK would make it see after each; else a LOOK or a PHASE is told again later. */
static bool procpool__host_tell(procpool *p, procpool__message_kind kind, uint64_t a, uint64_t b) {
  int error;
  if (p->fds.control < 0)
    return false;
  if (procpool__message_send(p->fds.control, kind, a, b, false))
    return true;
  error = procpool__platform_error();
  p->life.notify_pending = p->life.notify_pending ||
                           (error != PROCPOOL__GONE && (kind == PROCPOOL__MESSAGE_PHASE ||
                                                        (error != PROCPOOL__FULL && kind == PROCPOOL__MESSAGE_LOOK)));
  return false;
}

/* Makes the supervisor look at what the workers run. */
static void procpool__host_ring(procpool *p) {
  (void)procpool__host_tell(p, PROCPOOL__MESSAGE_LOOK, 0, 0);
}

static void procpool__host_tell_phase(procpool *p) {
  p->life.notify_pending = false;
  (void)procpool__host_tell(p, PROCPOOL__MESSAGE_PHASE, p->life.phase, p->tasks.position);
}

/* Before a task with a limit is published, which comes to its end in so many milliseconds at the earliest: its worker
 * may be stopped at any step, so it is not the one to tell. The supervisor is rung where it ticks and the tick gets
 * shorter alone: at each look it reads the tick; whether it ticks is looked at once more when the task is published. So
 * that tasks with limits of all kinds do not ring it each time, the tick gets longer only where it does not tick, or
 * after many tasks in a row for which it was shorter than need be. */
static void procpool__host_count_limit(procpool *p, uint32_t ms) {
  const uint64_t tick = (uint64_t)ms * (1000000u / 8), before = p->tasks.tick;
  const bool alone = p->tasks.limited == 0;
  const bool idle = alone && procpool__load32(&p->segment.header->ticking) == 0;
  p->tasks.patient = tick > before ? p->tasks.patient + 1 : 0;
  if (idle || tick < before || (alone && p->tasks.patient >= PROCPOOL__PATIENT)) {
    p->tasks.tick = tick;
    p->tasks.patient = 0;
    procpool__store(&p->segment.header->tick, tick);
  }
  p->tasks.limited++;
  procpool__store(&p->segment.header->limited, p->tasks.limited);
  if (tick < before && procpool__load32(&p->segment.header->ticking) != 0) /* after the store: else it reads that */
    procpool__host_ring(p);
}

/* And after that: the supervisor may have found nothing to look after just before. A deadline is counted now, when a
 * look at the queue finds the task. */
static void procpool__host_check_ticking(procpool *p, const procpool_future *f, bool dated) {
  if (f->limit == 0)
    return;
  if (dated)
    procpool__store(&p->segment.header->dated, ++p->tasks.dated);
  if (procpool__load32(&p->segment.header->ticking) == 0)
    procpool__host_ring(p);
}

/* ---- what the supervisor decided ---- */

static void procpool__host_settle_dead(procpool *p, uint32_t slot) {
  procpool_future *f = p->tasks.owners[slot];
  const uint64_t word = f != NULL ? procpool__load(&p->segment.slots[slot].word) : 0;
  const procpool__exit_record *e = procpool__slot_exit_record(&p->segment.slots[slot]);
  procpool_error *error;
  procpool_status status;
  int stage;
  if (f == NULL || procpool__word_ticket(word) != f->ticket || !procpool__state_dead(procpool__word_state(word)))
    return;
  status = procpool__host_status_of(procpool__word_state(word));
  stage = e->stage;
  f->worker = (int16_t)(procpool__word_worker(word) < p->segment.workers ? procpool__word_worker(word) : -1);
  f->pid = e->pid;
  error = procpool__host_error(f, status);
  if (error != NULL)
    procpool__host_read_exit_record(error, e, procpool__host_why_ended(p, f, status), stage);
  if (error != NULL && p->fds.control < 0) /* a thread, and it goes on */
    (void)snprintf(error->message, sizeof(error->message), "the task called pthread_exit");
  if (stage & PROCPOOL__EXIT_QUARANTINE)
    f->flags |= PROCPOOL__F_QUARANTINE;
  procpool__host_settle(p, f, status);
}

/* Takes the list of the dead. It lies in shared memory, so it is a hint: at most as many steps as there are slots, and
 * when the count says that some were missed, every slot is looked at. */
static void procpool__host_drain_dead(procpool *p) {
  procpool__header *h = p->segment.header;
  uint64_t next, steps = 0, count;
  if (procpool__load(&h->dead_list) == 0 && procpool__load(&h->dead_count) == p->drain.dead_seen)
    return;
  count = procpool__load(&h->dead_count);
  next = procpool__exchange(&h->dead_list, 0);
  while (next != 0 && next <= p->segment.capacity && steps++ < p->segment.capacity) {
    const uint32_t slot = (uint32_t)(next - 1);
    next = procpool__load(&procpool__slot_exit_record(&p->segment.slots[slot])->rss_kib_next) & 0xffffff;
    procpool__host_settle_dead(p, slot);
  }
  if (p->drain.dead_seen + steps < count)
    for (uint64_t i = 0; i < p->tasks.slots_used; i++)
      procpool__host_settle_dead(p, (uint32_t)i);
  p->drain.dead_seen = count > p->drain.dead_seen + steps ? count : p->drain.dead_seen + steps;
}

/* ---- what a worker has written ---- */

/* A worker wrote nonsense into its ring. It is ended, and its ring begins anew at a position that it never had. */
static void procpool__host_on_corrupt(procpool *p, int worker) {
  procpool__inbox *in = &p->drain.inboxes[worker];
  const uint64_t fresh = procpool__round_up(in->head + ((uint64_t)1 << 40), p->segment.ring_size);
  procpool__host_drop_finalizer(p, in);
  procpool__aligned_free(in->data);
  in->data = NULL;
  in->partial = NULL;
  in->no_memory = in->impatient = false;
  __atomic_store_n(&in->resetting, true, __ATOMIC_RELAXED);
  procpool__store_relaxed(&in->head, fresh);
  procpool__store(&p->segment.blocks[worker].consumed, fresh);
  (void)procpool__host_tell(p, PROCPOOL__MESSAGE_RESET, (uint64_t)worker, fresh);
}

/* Whether a record for a word that this worker committed waits in its ring. It is stamped before the word says so, at
 * the tail that the worker, or else this call, then moves past it. */
static bool procpool__host_has_record(procpool *p, int worker, uint64_t word) {
  uint64_t at = p->drain.inboxes[worker].head, tail;
  procpool__record head;
  procpool__ring_publish_for(&p->segment, worker);
  tail = procpool__load(&p->segment.blocks[worker].tail);
  if (tail - at > p->segment.ring_size)
    return false;
  while (at < tail && procpool__ring_read(&p->segment, worker, at, &head)) {
    if (head.word == word)
      return true;
    at += procpool__ring_length(&p->segment, at, head.size, head.slot);
  }
  return false;
}

/* Whether no call can ask any more how this task ends, which has not settled: only the table has its future. A call
 * that waits for it has it too, whether it sleeps just now, looks, or is in a callback. */
static bool procpool__host_unwanted(const procpool_future *f) {
  return (f->flags & PROCPOOL__F_RELEASED) != 0 && f->callbacks == NULL && f->refs == 1;
}

typedef enum procpool__verdict {
  PROCPOOL__VERDICT_WAITS,   /* in the queue */
  PROCPOOL__VERDICT_COMES,   /* a worker or the supervisor is at it, or its record waits in a ring */
  PROCPOOL__VERDICT_DROPPED, /* its worker has committed it without a record, for its result is not wanted */
  PROCPOOL__VERDICT_DEAD,    /* its worker's death is reported, but it was not on the list of the dead */
  PROCPOOL__VERDICT_LOST,    /* no worker and no supervisor that keep to the protocol leave that behind */
  PROCPOOL__VERDICT_NONSENSE /* the word is none of this task's */
} procpool__verdict;

/* What is to be thought of a task that has not settled, by its word. Settles what is on the list of the dead. */
static procpool__verdict procpool__slot_verdict(procpool *p, const procpool_future *f, uint64_t word) {
  const uint32_t slot = f->slot;
  const procpool__state state = procpool__word_state(word);
  const int worker = procpool__word_worker(word);
  const procpool__block *block = &p->segment.blocks[worker < p->segment.workers ? worker : 0];
  if (word == procpool__word(f->ticket, 0, PROCPOOL__READY))
    return PROCPOOL__VERDICT_WAITS;
  if (procpool__word_ticket(word) != f->ticket || state <= PROCPOOL__READY || state > PROCPOOL__DEAD_BROKEN)
    return PROCPOOL__VERDICT_NONSENSE;
  if (worker >= p->segment.workers && word != procpool__word(f->ticket, PROCPOOL__NO_WORKER, PROCPOOL__DEAD_TIMEOUT))
    return PROCPOOL__VERDICT_LOST;
  if (worker >= p->segment.workers && procpool__load32(&p->segment.header->expiring) == slot + 1)
    return PROCPOOL__VERDICT_COMES;
  if (procpool__state_done(state) && procpool__host_has_record(p, worker, word))
    return PROCPOOL__VERDICT_COMES;
  if (procpool__state_done(state))
    return procpool__future_wanted(f) ? PROCPOOL__VERDICT_LOST : PROCPOOL__VERDICT_DROPPED;
  /* the intent names it from before the claim until either the worker has committed it or the supervisor, which has
   * reported its death by then, starts the next worker */
  if (procpool__load(&block->intent_word) == procpool__word_in(word, PROCPOOL__RUNNING) &&
      procpool__load(&block->intent_slot) == slot)
    return PROCPOOL__VERDICT_COMES;
  procpool__host_drain_dead(p);
  if (p->tasks.owners[slot] != f || procpool__load(&p->segment.slots[slot].word) != word)
    return PROCPOOL__VERDICT_COMES;
  return procpool__state_dead(state) ? PROCPOOL__VERDICT_DEAD : PROCPOOL__VERDICT_LOST;
}

/* Looks for dropped tasks, in some slots at each call until all were seen. The rings are empty by then: it is quickly
 * seen that a task has no record there. */
static void procpool__host_sweep(procpool *p) {
  uint64_t left = p->drain.sweep_left;
  p->drain.taken += left > 0;
  for (uint64_t steps = 0; left > 0 && steps < PROCPOOL__SWEEP; steps++, left--) {
    procpool_future *f;
    uint64_t word;
    p->drain.sweep_at = p->drain.sweep_at + 1 < p->tasks.slots_used ? p->drain.sweep_at + 1 : 0;
    f = p->tasks.owners[p->drain.sweep_at];
    if (f == NULL || procpool__future_wanted(f))
      continue;
    word = procpool__load(&p->segment.slots[f->slot].word);
    if (procpool__slot_verdict(p, f, word) == PROCPOOL__VERDICT_DROPPED)
      procpool__host_settle(p, f, procpool__host_status_of(procpool__word_state(word)));
  }
  __atomic_store_n(&p->drain.sweep_left, left, __ATOMIC_RELAXED);
}

/* A worker may have dropped tasks: every slot is to be looked at. */
static void procpool__host_note_dropped(procpool *p, int worker) {
  procpool__inbox *in = &p->drain.inboxes[worker];
  const uint64_t dropped = procpool__load(&p->segment.blocks[worker].dropped);
  if (dropped == in->dropped)
    return;
  procpool__store_relaxed(&in->dropped, dropped);
  __atomic_store_n(&p->drain.sweep_left, p->tasks.slots_used, __ATOMIC_RELAXED);
}

static void procpool__host_settle_lost(procpool *p, procpool_future *f, uint64_t word) {
  f->worker = (int16_t)procpool__word_worker(word);
  procpool__host_explain(f, PROCPOOL_CRASHED, 0, "a worker wrote nonsense into shared memory");
  procpool__host_settle(p, f, PROCPOOL_CRASHED);
}

/* The corrupt worker is gone. What was its and the ring no longer tells is lost: CRASHED. Its successor may have
 * begun. */
static void procpool__host_after_reset(procpool *p, int worker) {
  __atomic_store_n(&p->drain.inboxes[worker].resetting, false, __ATOMIC_RELAXED);
  for (uint32_t i = 0; i < p->tasks.slots_used; i++) {
    procpool_future *f = p->tasks.owners[i];
    const uint64_t word = f != NULL ? procpool__load(&p->segment.slots[i].word) : 0;
    if (f != NULL && procpool__word_worker(word) == worker &&
        procpool__slot_verdict(p, f, word) == PROCPOOL__VERDICT_LOST)
      procpool__host_settle_lost(p, f, word);
  }
}

/* Wakes a worker that waits for room in its ring. */
static void procpool__host_wake_for_room(procpool *p, int worker) {
  procpool__block *block = &p->segment.blocks[worker];
  if (procpool__load32(&block->room_flag) == 0)
    return;
  procpool__add32(&block->room_seq, 1);
  procpool__platform_wake(&block->room_seq, 1);
}

/* Gives the worker the room that was taken, and wakes it if it waits for that. */
static void procpool__host_give_room(procpool *p, int worker) {
  procpool__store(&p->segment.blocks[worker].consumed, p->drain.inboxes[worker].head);
  procpool__host_wake_for_room(p, worker);
}

/* Whether a tail asks for something to be done. While the supervisor ends a worker whose ring made no sense, only one
 * that does make sense again asks for anything. */
static bool procpool__host_tail_matters(const procpool *p, int worker, uint64_t tail, uint64_t head) {
  return (tail - head <= p->segment.ring_size && tail % PROCPOOL__UNIT == 0) ||
         !__atomic_load_n(&p->drain.inboxes[worker].resetting, __ATOMIC_RELAXED);
}

/* Which workers of a group of 64 may have something in their rings: all but those that sleep, and have slept since their
 * rings were found empty. now: who sleeps now, and how often one had gone on before that was read. In a pool of few none
 * of this is asked: to look at all of their rings takes no longer. */
static uint64_t procpool__host_restless(const procpool *p, int group, procpool__resting *now) {
  const procpool__resting *resting = &p->drain.resting[group / 64];
  const uint64_t all = procpool__shm_group(&p->segment, group);
  now->wakes = procpool__load(procpool__shm_wakes(&p->segment, group));
  now->quiet = procpool__load(procpool__shm_idle(&p->segment, group));
  if (procpool__load_relaxed(&resting->wakes) != now->wakes)
    return all;
  return all & ~(procpool__load_relaxed(&resting->quiet) & now->quiet);
}

static bool procpool__host_has_few(const procpool *p) {
  return p->segment.workers <= PROCPOOL__FEW;
}

/* Takes everything in from one ring. False if memory ran out: the rest stays where it is. */
static bool procpool__host_drain_ring(procpool *p, int worker) {
  procpool__inbox *in = &p->drain.inboxes[worker];
  const uint64_t tail = procpool__load(&p->segment.blocks[worker].tail);
  const uint64_t begin = in->head;
  procpool__taken taken = PROCPOOL__TAKEN;
  procpool__host_note_dropped(p, worker);
  if ((tail == begin && !in->resetting) || !procpool__host_tail_matters(p, worker, tail, begin))
    return true;
  if (tail - begin > p->segment.ring_size || tail % PROCPOOL__UNIT != 0) {
    procpool__host_on_corrupt(p, worker);
    return true;
  }
  if (in->resetting)
    procpool__host_after_reset(p, worker);
  while (in->head != tail) {
    procpool__record head;
    uint64_t length = 0;
    taken = PROCPOOL__TAKEN_CORRUPT;
    if (procpool__ring_read(&p->segment, worker, in->head, &head)) {
      length = procpool__ring_length(&p->segment, in->head, head.size, head.slot);
      if (length <= tail - in->head)
        taken = procpool__host_take(p, worker, &head);
    }
    if (taken != PROCPOOL__TAKEN)
      break;
    procpool__store_relaxed(&in->head, in->head + length);
    if (length >= p->segment.ring_size / PROCPOOL__SHARE && in->head != tail)
      procpool__host_give_room(p, worker); /* its worker may wait for that, and goes on while the rest is taken */
  }
  if (in->head != begin)
    procpool__host_give_room(p, worker);
  p->drain.taken += in->head != begin;
  in->no_memory = taken == PROCPOOL__TAKEN_NOT;
  if (taken == PROCPOOL__TAKEN_CORRUPT)
    procpool__host_on_corrupt(p, worker);
  return taken != PROCPOOL__TAKEN_NOT;
}

/* ==== >>health ======================================================================================================
 * Runs in:   the host, with the lock.
 * Writes:    the pool; words of tasks that are taken back.
 * Calls:     >>drain, and all above it.
 * Always:    what was committed is taken in before the rest is given up; the end comes once. */

/* ---- the pool is no good any more ---- */

/* Takes back every task that has not begun, with this outcome. */
static void procpool__host_take_back(procpool *p, procpool_status status) {
  for (uint64_t i = 0; i < p->tasks.slots_used; i++) {
    procpool_future *f = p->tasks.owners[i];
    procpool_error *e;
    if (f == NULL || !procpool__cas(&p->segment.slots[i].word, procpool__word(f->ticket, 0, PROCPOOL__READY), 0))
      continue;
    e = procpool__future_bad(status) && p->life.cause.status == status ? procpool__host_error(f, status) : NULL;
    if (e != NULL) {
      *e = p->life.cause;
      e->index = f->index;
    }
    procpool__host_settle(p, f, status);
  }
  (void)procpool__table_waiting(&p->segment); /* passes the dead cells at the head */
}

/* Why a pool is no good any more, in words: how the worker ended that was one too many. */
static void procpool__host_tell_cause(procpool_error *e) {
  char before[96];
  (void)snprintf(before, sizeof(before), "%.90s: ", procpool_strerror(e->status));
  if (e->signal == 0 && e->code != 0)
    (void)snprintf(e->message, sizeof(e->message), "%sit returned %d", before, e->code);
  else if (e->signal != 0 || e->pid != 0)
    procpool__host_tell_end(e, before);
  else
    (void)snprintf(e->message, sizeof(e->message), "%.90s", procpool_strerror(e->status));
}

/* What the initializer of a worker said of its failure, which may be nothing. message: as large as an error's. Whatever
 * stands there, it is a string afterwards. */
static void procpool__host_take_init_message(const procpool *p, int64_t worker, char *message) {
  message[0] = '\0';
  if (worker >= 0 && worker < p->segment.workers)
    memcpy(message, p->segment.blocks[worker].init_message, PROCPOOL__MESSAGE);
  message[PROCPOOL__MESSAGE - 1] = '\0';
}

static void procpool__host_note_cause(procpool *p, procpool_status status) {
  const procpool__header *h = p->segment.header;
  memset(&p->life.cause, 0, sizeof(p->life.cause));
  p->life.cause.status = status;
  p->life.cause.worker = (int)procpool__load_signed_relaxed(&h->cause_worker);
  p->life.cause.pid = (long)procpool__load_signed_relaxed(&h->cause_pid);
  p->life.cause.signal = (int)procpool__load_signed_relaxed(&h->cause_signal);
  p->life.cause.exit_status = (int)procpool__load_signed_relaxed(&h->cause_exit);
  p->life.cause.code = (int)procpool__load_signed_relaxed(&h->cause_code);
  p->life.cause.system_error = (int)procpool__load_signed_relaxed(&h->cause_errno);
  if (procpool__load_signed_relaxed(&h->cause_stage) == PROCPOOL_STAGE_KILL)
    p->life.cause.stage = PROCPOOL_STAGE_KILL;
  if (status == PROCPOOL_INIT_FAIL)
    procpool__host_take_init_message(p, p->life.cause.worker, p->life.cause.message);
  if (p->life.cause.message[0] == '\0')
    procpool__host_tell_cause(&p->life.cause);
}

static void procpool__host_heed_health(procpool *p) {
  static const procpool_status statuses[] = {PROCPOOL_OK, PROCPOOL_INIT_FAIL, PROCPOOL_SPAWN_FAIL, PROCPOOL_BROKEN};
  const uint32_t health = procpool__load32(&p->segment.header->health);
  procpool_status status;
  __atomic_store_n(&p->drain.health, health, __ATOMIC_RELAXED);
  if (health == PROCPOOL__HEALTH_OK || health > PROCPOOL__HEALTH_STRICT)
    return;
  status = statuses[health];
  if (p->life.cause.status != status) {
    procpool__host_note_cause(p, status);
    if (health != PROCPOOL__HEALTH_SPAWN_FAIL) { /* a fork may work again */
      p->life.refusal = p->life.refusal != PROCPOOL_SHUTDOWN ? status : PROCPOOL_SHUTDOWN;
      procpool__sleeper_wake_all(p);
    }
  }
  if (p->tasks.submitted != p->tasks.settled)
    procpool__host_take_back(p, status);
}

/* ---- the end ---- */

/* Whether the supervisor has ended, or does so before the deadline. Its pidfd knows even where a child that was
 * forked beside the library keeps its end of the channel open. */
static bool procpool__host_supervisor_gone(const procpool *p, uint64_t deadline) {
  procpool__source sources[2];
  sources[0] = procpool__platform_end_of(p->fds.control);
  sources[1] = procpool__platform_source(p->fds.supervisor);
  return procpool__platform_await(sources, 2, deadline);
}

/* Ends the supervisor, and with it its workers, if it hears: a stopped one is continued by the kernel. */
static void procpool__host_let_go(procpool *p) {
  procpool__signals old;
  procpool__process_enter(&old);
  procpool__platform_close(&p->fds.lifeline);
  procpool__process_leave(&old);
  procpool__platform_witness_drop(&p->witness);
  procpool__platform_pidfd_signal(p->fds.supervisor, PROCPOOL__SIGNAL_CONTINUE);
}

/* What becomes of a task of which no record and no exit record is left: its word names its worker, and keeps its
 * outcome where that was decided. But OK, FAILED and TRANSFER without a record mean something only where the result was
 * given up. */
static procpool_status procpool__host_last_word(const procpool *p, procpool_future *f, procpool_status rest) {
  const uint64_t word = procpool__load(&p->segment.slots[f->slot].word);
  const procpool__state state = procpool__word_state(word);
  const procpool_status status = procpool__host_status_of(state);
  const int worker = procpool__word_worker(word);
  if (procpool__word_ticket(word) != f->ticket || state <= PROCPOOL__READY)
    return rest;
  if (worker < p->segment.workers) {
    f->worker = (int16_t)worker;
    f->pid = (int32_t)procpool__load(&p->segment.blocks[worker].pid);
  }
  if (status == PROCPOOL_PENDING || status == PROCPOOL_SHUTDOWN || status == PROCPOOL_BROKEN ||
      (procpool__state_done(state) && state <= PROCPOOL__DONE_TRANSFER && procpool__future_wanted(f)))
    return rest;
  return status;
}

/* Everything that can still be learnt from the segment, now that no worker lives: then the rest is BROKEN or
 * SHUTDOWN. */
static void procpool__host_last_words(procpool *p) {
  const procpool_status rest = procpool__host_rest_status(p);
  for (int i = 0; i < p->segment.workers; i++) {
    procpool__ring_publish_rest(&p->segment, i);
    (void)procpool__host_drain_ring(p, i);
    procpool__host_drop_finalizer(p, &p->drain.inboxes[i]);
  }
  procpool__host_drain_dead(p);
  for (uint64_t i = 0; i < p->tasks.slots_used; i++) {
    procpool_future *f = p->tasks.owners[i];
    if (f != NULL)
      procpool__host_settle(p, f, procpool__host_last_word(p, f, rest));
  }
}

static void procpool__host_join_threads(procpool *p) {
  for (int i = 0; p->methods.threads != NULL && i < p->segment.workers; i++)
    if (p->methods.threads[i].started) {
      procpool__platform_thread_join(p->methods.threads[i].thread);
      p->methods.threads[i].started = false;
    }
}

/* Waits until all workers have ended; a task's own child may hold the pipe open: bounded. At its end of file none of
 * them has memory any more, and they are about to become zombies. */
static bool procpool__host_await_workers(procpool *p) {
  const uint64_t deadline = procpool__platform_now() + PROCPOOL__SECOND;
  if (!procpool__platform_gone(p->fds.all_gone, deadline))
    return false;
  for (int i = 0; i < p->segment.workers; i++)
    procpool__platform_await_end((procpool__pid)procpool__load(&p->segment.blocks[i].pid), deadline);
  return true;
}

/* Waits until the supervisor and all workers have ended. A task that holds the supervisor (by stopping or tracing it)
 * does not keep it from being killed, and it takes its workers along. */
static void procpool__host_await_end(procpool *p) {
  procpool__host_let_go(p); /* now it must end, whatever it was about */
  if (p->fds.all_gone < 0 || procpool__host_await_workers(p) || procpool__host_supervisor_gone(p, 0))
    return;
  procpool__platform_pidfd_signal(p->fds.supervisor, PROCPOOL__SIGNAL_KILL);
  (void)procpool__host_await_workers(p);
}

/* No worker is left. clean: the supervisor said so itself; else it died, and its workers die with it. */
static void procpool__host_finish(procpool *p, bool clean) {
  procpool__signals old;
  if (p->life.finished)
    return;
  if (!clean || p->fds.control < 0 || !procpool__host_supervisor_gone(p, procpool__platform_now() + PROCPOOL__SECOND))
    procpool__host_await_end(p);
  procpool__host_let_go(p);
  procpool__platform_reap_adopted(p->fds.supervisor);
  procpool__host_join_threads(p);
  if (p->life.phase == PROCPOOL__PHASE_RUN) {
    procpool__error_fill(&p->life.cause, PROCPOOL_BROKEN, 0, "the pool's supervisor is gone");
    p->life.refusal = PROCPOOL_BROKEN;
  }
  p->life.finished = true; /* first: no result waits for memory any more */
  procpool__host_last_words(p);
  procpool__sleeper_wake_all(p);
  procpool__loop_tell(p);
  if (p->fds.loop_fd >= 0 && p->fds.control >= 0)
    procpool__platform_watch_remove(p->fds.loop_fd, p->fds.control);
  procpool__process_enter(&old);
  procpool__platform_watch_remove(p->fds.watch, p->fds.all_gone);
  procpool__process_close_near(&p->fds);
  procpool__process_leave(&old);
}

/* Hears the supervisor out. False when it is gone. It says little: at most a few messages, were they ever so many. */
static bool procpool__host_hear(procpool *p) {
  procpool__message m;
  int got = 1;
  for (int i = 0; i < 16 && got > 0; i++) {
    got = procpool__platform_receive(p->fds.control, &m, sizeof(m), NULL, false);
    p->life.ends = p->life.ends || (got > 0 && m.kind == PROCPOOL__MESSAGE_ENDING);
    p->life.left = p->life.left || (got > 0 && m.kind == PROCPOOL__MESSAGE_GONE);
  }
  return got >= 0;
}

/* Looks whether the supervisor lives. If it said that it leaves, draining comes to it when all results are taken: they
 * do not go away for want of memory. closely: also where a child of the host has its end of the channel, which costs a
 * system call more; a thread that a result has woken need not. */
static void procpool__host_look_after(procpool *p, bool closely) {
  bool gone;
  if (p->life.finished || p->fds.control < 0)
    return;
  gone = closely && procpool__host_supervisor_gone(p, 0); /* first: what it said before that can be heard now */
  if ((!procpool__host_hear(p) || gone) && !p->life.left)
    procpool__host_finish(p, false);
}

/* Whether no process of the pool's is left. The word in the segment says when to ask; what the supervisor said before
 * it wrote the word is what counts. */
static bool procpool__host_is_gone(procpool *p) {
  const bool hint = procpool__load32(&p->segment.header->gone) != 0;
  if (p->fds.control < 0)
    return hint;
  if (hint && !p->life.left) {
    procpool__host_look_after(p, true);
    if (!p->life.left && !p->life.finished)
      procpool__store32(&p->segment.header->gone, 0); /* a worker wrote it */
  }
  return p->life.left;
}

/* Grows with all that may make room for a task: a task has settled, memory has come back. */
static uint64_t procpool__host_room(const procpool *p) {
  return p->tasks.settled + p->arena.returned;
}

/* Whether the task at that position waits. */
static bool procpool__host_waits(const procpool *p, uint64_t position) {
  const uint32_t slot = p->tasks.cell_slots[position & (p->segment.cell_count - 1)] - 1;
  return slot != UINT32_MAX &&
         procpool__load(&p->segment.slots[slot].word) == procpool__word(position + 1, 0, PROCPOOL__READY);
}

/* Whether the next task's cell may be written: its last occupant, a lap ago, is not waiting any more. */
static bool procpool__host_cell_free(const procpool *p) {
  return !procpool__host_waits(p, p->tasks.position - p->segment.cell_count);
}

/* Whether it wants room in the queue, and there may be more than when it looked. */
static bool procpool__sleeper_may_fit(const procpool *p, const procpool__wait *s) {
  return s->lacks_cell || ((s->how & PROCPOOL__WAIT_ROOM) && s->room != procpool__host_room(p));
}

/* Wakes the first that came to follow of those who want room in the queue and have not looked since there is some, or
 * else the thread that drains. A thread that was woken so, or leaves, calls this again: all are asked in turn, one at a
 * time, until the room is used up. */
static void procpool__host_pass_room(procpool *p) {
  const bool cell_free = p->waiting.room_wanted > 0 && procpool__host_cell_free(p);
  procpool__wait *first = NULL;
  if (p->methods.inline_worker != NULL)
    procpool__host_next_turn(p);
  if (!cell_free || (p->tasks.free_count == 0 && p->tasks.slots_used == p->segment.capacity))
    return;
  if (p->waiting.drainer != NULL && !p->waiting.lazy && procpool__sleeper_may_fit(p, p->waiting.drainer))
    first = p->waiting.drainer;
  for (procpool__wait *s = p->waiting.followers; s != NULL; s = s->next)
    first = procpool__sleeper_may_fit(p, s) ? s : first;
  if (first != NULL)
    procpool__sleeper_wake(p, first);
}

/* Wakes those that follow and wait for the workers' initializers, where these are through or will not be. */
static void procpool__host_pass_ready(procpool *p) {
  for (procpool__wait *s = p->waiting.followers; s != NULL; s = s->next)
    if (s->how & PROCPOOL__WAIT_READY)
      procpool__sleeper_tell(p, s);
}

/* Takes everything in from the rings of a group of 64. False if memory ran out. all: whatever the masks say. */
static bool procpool__host_drain_group(procpool *p, int group, bool all) {
  procpool__resting now;
  uint64_t left = procpool__host_restless(p, group, &now);
  bool taken = true;
  if (all)
    left = procpool__shm_group(&p->segment, group);
  for (; left != 0; left &= left - 1) {
    const int worker = group + __builtin_ctzll(left);
    if (!procpool__host_drain_ring(p, worker))
      taken = false;
    if (p->drain.inboxes[worker].no_memory || p->drain.inboxes[worker].resetting)
      now.quiet &= ~procpool__shm_bit(worker);
  }
  procpool__store_relaxed(&p->drain.resting[group / 64].quiet, now.quiet);
  procpool__store_relaxed(&p->drain.resting[group / 64].wakes, now.wakes);
  return taken;
}

/* Takes everything in from all rings. OK, or MEMORY. One in so many looks is at all of them, so that what was scribbled
 * on the masks does no harm for long. */
static procpool_status procpool__host_drain_rings(procpool *p) {
  const int step = procpool__host_has_few(p) ? 1 : 64;
  const bool all = ++p->drain.count % PROCPOOL__LOOKS_AT_ALL == 0;
  procpool_status status = PROCPOOL_OK;
  for (int i = 0; i < p->segment.workers; i += step)
    if (!(step == 1 ? procpool__host_drain_ring(p, i) : procpool__host_drain_group(p, i, all)))
      status = PROCPOOL_MEMORY;
  return status;
}

/* Takes in all that has come. OK, or MEMORY. */
static procpool_status procpool__host_drain(procpool *p) {
  procpool_status status;
  if (p->life.finished)
    return PROCPOOL_OK;
  status = procpool__host_drain_rings(p);
  if (p->drain.sweep_left > 0 && status == PROCPOOL_OK)
    procpool__host_sweep(p);
  procpool__host_drain_dead(p);
  procpool__host_heed_health(p);
  if (p->life.notify_pending)
    procpool__host_tell_phase(p);
  if (procpool__host_is_gone(p) && status == PROCPOOL_OK)
    procpool__host_finish(p, true);
  if (p->waiting.room_wanted > 0)
    procpool__host_pass_room(p);
  if (p->waiting.ready_wanted > 0)
    procpool__host_pass_ready(p);
  return status;
}

/* ==== >>waiting =====================================================================================================
 * Runs in:   the host; with the lock, but while a thread spins, sleeps, or runs callbacks.
 * Writes:    the pool; of the segment: host_flag, host_seq, wake_at, and what the audit mends.
 * Calls:     >>health, and all above it.
 * Always:    a wait ends by its condition, its deadline, an interrupt or the end of the pool, and looks after the
 *            supervisor and at what workers may have scribbled. */

/* ---- waiting ----
 * A thread that waits is in one of these states. All of them change under the lock; p->waiting holds what is named.
 *
 *   awake       it takes in what has come, runs callbacks, and looks at its condition (host_wait).
 *   drains      at most one: draining. It looks for news without the lock, then sleeps: drainer is then its
 *               procpool__wait. It sleeps on the shared word host_seq; or, when nothing has come about for a while,
 *               in poll() on the pool's event and on the supervisor's end (watching).
 *   follows     all others, in the list of followers: each looks for a while at the word of its own procpool__wait,
 *               and then sleeps on it.
 *   on turn     it waits for a thread of the host, not for workers: one that runs an inline task, is in a callback of a
 *               finished pool, gives memory back to the system, or is inside a call while procpool_free waits.
 *
 *   Who wakes                       whom                              when
 *   a worker                        who drains                        it has committed, claimed what ends a lazy sleep,
 *                                                                     or a claim has freed a cell; or its initializer
 *                                                                     is through: by host_flag
 *   the supervisor                  who drains                        after each death, stop, failed fork; at the end
 *   the kernel                      who drains, in poll               the supervisor is gone
 *   who settles a task              who sleeps for it, if its         in host_settle: one future, or a group whose goal
 *                                   condition holds now; all on turn  is reached
 *   who takes in, leaves, begins    the first that follows, wants     a task has settled or a cell is free, and there
 *   to sleep, or found no room      room and has not looked since;    is room still
 *                                   else who drains
 *   who takes in, begins to sleep   who follows and waits for the     all are through, or one never will be
 *                                   workers' initializers
 *   who stops to drain: its wait    the last who came to follow       no other drains, nor was any that follows woken
 *   ends, or a callback runs                                          who has not come yet (coming)
 *   who sees an interrupt, a        all                               each has its own condition to look at
 *   shutdown, the pool's end, or
 *   a new reason to refuse tasks
 *   procpool_interrupt              who drains, and all on turn       at once
 *   who leaves a callback, an       all on turn                       at once
 *   inline task or a public call,
 *   or has given memory back
 *
 * No wake is lost: a thread that changes what a condition looks at does so under the lock, and a sleeper is in its
 * lists from before the lock was let go until it has it again. What workers change is looked at by the one that drains:
 * after it has armed host_flag it looks once more.
 *
 * One that follows has two words. word: 0, and 1 from when it is woken; written under the lock by who wakes it. asleep:
 * 0 while it looks at word, and 1 from just before it sleeps; it writes that itself, without the lock. Who wakes it
 * writes word and then reads asleep; it writes asleep, and then the kernel reads word: so one of the two sees what the
 * other has written, and it is called, or does not go to sleep. Its deadline or a signal may end the sleep besides, at
 * any moment: all that happens to its procpool__wait from then on happens before it has the lock, with which it leaves.
 * The call is made after the lock was let go (host_unlock): no thread sleeps, leaves or runs code of the user's without
 * that. It may come when the sleep is over by itself, and then wakes nobody, or another sleep at that address, which
 * is over early: then that thread looks again.
 *
 * As long as a thread follows, one drains, is awake within its wait, or is coming: it follows, and its word is 1. Who
 * comes counts itself out under the lock, and is awake then. Who is awake drains, or leaves, or runs a callback, and
 * hands over before the latter two: to the first of the followers, unless another drains or is coming. One that comes
 * and whose wait is over does not drain: with several that were woken at once, each leaves it to the next, and only
 * the last one wakes another. */

/* Whether there is something in one ring. */
static bool procpool__host_has_come(const procpool *p, int worker) {
  const procpool__inbox *in = &p->drain.inboxes[worker];
  const uint64_t tail = procpool__load(&p->segment.blocks[worker].tail);
  const uint64_t head = procpool__load_relaxed(&in->head);
  if (tail == head || !procpool__host_tail_matters(p, worker, tail, head))
    return procpool__load(&p->segment.blocks[worker].dropped) != procpool__load_relaxed(&in->dropped);
  procpool__platform_prefetch(procpool__ring_at(&p->segment, worker, head));
  procpool__platform_prefetch_write(&p->segment.slots[__atomic_load_n(&p->tasks.last_slot, __ATOMIC_RELAXED)]);
  return true;
}

/* The same in the rings of those that may have something, see procpool__host_restless. */
static bool procpool__host_any_has_come(const procpool *p) {
  for (int i = 0; i < p->segment.workers; i += 64) {
    procpool__resting now;
    for (uint64_t left = procpool__host_restless(p, i, &now); left != 0; left &= left - 1)
      if (procpool__host_has_come(p, i + __builtin_ctzll(left)))
        return true;
  }
  return false;
}

/* Whether there is anything to take in. Runs without the lock: every word it reads is atomic and it changes nothing.
 * all: in any ring, whatever the masks say. */
static bool procpool__host_news(const procpool *p, bool all) {
  const procpool__header *h = p->segment.header;
  if (all || procpool__host_has_few(p)) {
    for (int i = 0; i < p->segment.workers; i++)
      if (procpool__host_has_come(p, i))
        return true;
  } else if (procpool__host_any_has_come(p)) {
    return true;
  }
  return procpool__load(&h->dead_list) != 0 || __atomic_load_n(&p->drain.sweep_left, __ATOMIC_RELAXED) != 0 ||
         procpool__load32(&h->gone) != 0 ||
         procpool__load32(&h->health) != __atomic_load_n(&p->drain.health, __ATOMIC_RELAXED) ||
         procpool__load32(&p->interrupts.count) != __atomic_load_n(&p->interrupts.taken, __ATOMIC_RELAXED);
}

/* At how many rings it looks, at least one. */
static int procpool__host_count_restless(const procpool *p) {
  int count = 0;
  procpool__resting now;
  if (procpool__host_has_few(p))
    return p->segment.workers;
  for (int i = 0; i < p->segment.workers; i += 64)
    count += __builtin_popcountll(procpool__host_restless(p, i, &now));
  return count > 0 ? count : 1;
}

/* Whether the tasks that are not settled are enough to keep all processors busy: then a thread that waits for them does
 * not keep one to itself. The counts are hints here, so relaxed loads do. */
static bool procpool__host_crowded(const procpool *p) {
  return p->waiting.processors <=
         __atomic_load_n(&p->tasks.submitted, __ATOMIC_RELAXED) - __atomic_load_n(&p->tasks.settled, __ATOMIC_RELAXED);
}

/* Under the lock; procpool_interrupt looks at it without. */
static void procpool__host_count_fd_user(procpool *p, int by) {
  (void)__atomic_fetch_add(&p->waiting.fd_users, by, __ATOMIC_RELAXED);
}

/* Says with a new number who sleeps; each worker wakes the host once for each number. */
static void procpool__host_arm(procpool *p) {
  uint64_t flag = p->waiting.fd_users > 0 ? PROCPOOL__FLAG_FD : 0;
  p->waiting.lazy = p->waiting.lazy && p->waiting.drainer != NULL && p->waiting.fd_users == 0;
  if (p->waiting.drainer != NULL && !p->waiting.lazy)
    flag |= PROCPOOL__FLAG_PARKED;
  if (p->waiting.drainer != NULL && (p->waiting.lazy || p->waiting.wants_room))
    flag |= PROCPOOL__FLAG_CLAIM;
  procpool__store_relaxed(&p->segment.header->wake_at,
                          p->waiting.lazy ? p->waiting.wake_at : p->tasks.position - p->segment.cell_count);
  if (flag != 0)
    flag |= ++p->waiting.sleep_number << PROCPOOL__FLAG_BITS;
  procpool__store(&p->segment.header->host_flag, flag);
  for (int i = 0; i < p->segment.workers && flag != 0; i++)
    procpool__ring_publish_for(&p->segment, i); /* committed, and its worker may not have seen the flag */
}

/* An interrupt is for all that wait, and the descriptor tells of it only until the first of them takes its readiness
 * away: from then on each is told by what only it sleeps on. */
static void procpool__host_pass_interrupt(procpool *p) {
  const uint32_t interrupts = procpool__load32(&p->interrupts.count);
  if (p->interrupts.passed == interrupts)
    return;
  p->interrupts.passed = interrupts;
  procpool__sleeper_wake_all(p);
  for (procpool__poller *n = p->waiting.pollers; n != NULL; n = n->next)
    procpool__waiter_ring(n->waiter);
}

/* Takes its readiness from the pool's descriptor: what comes from now on makes it readable again. Workers may write to
 * their bell as much and as long as they like. */
static void procpool__host_silence(procpool *p) {
  procpool__platform_watch_clear(p->fds.watch);
  procpool__platform_event_clear(p->fds.event_fd);
  if (p->fds.all_gone >= 0 && procpool__platform_bell_clear(p->fds.all_gone) == PROCPOOL__BELL_MOST)
    procpool__platform_event_set(p->fds.event_fd);
  procpool__host_pass_interrupt(p);
}

/* ---- should a worker have scribbled over what the others go by ---- */

/* One task. False if it is one that waits, as it should. */
static bool procpool__host_audit_task(procpool *p, procpool_future *f) {
  procpool__slot *slot = &p->segment.slots[f->slot];
  const uint64_t word = procpool__load(&slot->word);
  const int worker = procpool__word_worker(word);
  procpool__verdict verdict;
  procpool__u64 *cell = &p->segment.cells[(f->ticket - 1) & (p->segment.cell_count - 1)];
  if (procpool__load32_relaxed(&slot->limit) != f->limit)
    procpool__store32_relaxed(&slot->limit, f->limit);
  verdict = procpool__slot_verdict(p, f, word);
  if (verdict == PROCPOOL__VERDICT_WAITS && procpool__load(cell) != procpool__cell(f->ticket, f->slot))
    procpool__store(cell, procpool__cell(f->ticket, f->slot));
  else if (verdict == PROCPOOL__VERDICT_NONSENSE)
    procpool__host_settle(p, f, PROCPOOL_BROKEN);
  else if (verdict == PROCPOOL__VERDICT_DROPPED) /* its worker died before it could say so */
    procpool__host_settle(p, f, procpool__host_status_of(procpool__word_state(word)));
  else if (verdict == PROCPOOL__VERDICT_DEAD && p->fds.control >= 0)
    procpool__host_settle_dead(p, f->slot);
  else if (verdict == PROCPOOL__VERDICT_LOST && worker >= p->segment.workers)
    procpool__host_settle_lost(p, f, word);
  else if (verdict == PROCPOOL__VERDICT_LOST && p->fds.control >= 0 && !p->drain.inboxes[worker].resetting)
    procpool__host_on_corrupt(p, worker);
  return verdict != PROCPOOL__VERDICT_WAITS;
}

/* The hint, which must not be behind by more than a lap nor ahead of a task that waits (first: its ticket, NEVER if
 * none does). */
static void procpool__host_audit_head(procpool *p, uint64_t first) {
  const uint64_t head = procpool__load(&p->segment.header->head);
  if (first != PROCPOOL__NEVER) {
    if (head != first - 1)
      procpool__store(&p->segment.header->head, first - 1);
    for (int i = 0; i < p->segment.workers; i += 64)
      procpool__store(procpool__shm_coming(&p->segment, i), 0);
    procpool__shm_wake_workers(&p->segment);
  } else if (p->tasks.position - head > p->segment.cell_count) {
    procpool__store(&p->segment.header->head, p->tasks.position);
  }
}

static void procpool__host_audit_worker(procpool *p, int worker) {
  procpool__block *block = &p->segment.blocks[worker];
  if (p->drain.inboxes[worker].resetting)
    (void)procpool__host_tell(p, PROCPOOL__MESSAGE_RESET, (uint64_t)worker, p->drain.inboxes[worker].head);
  procpool__store(&block->consumed, p->drain.inboxes[worker].head);
  procpool__add32(&block->room_seq, 1);
  procpool__platform_wake(&block->room_seq, 1);
}

/* Looks at tasks that are not settled, from where it was left; at all of them where they are not very many. Returns
 * whether it came to the last one. */
static bool procpool__host_audit_tasks(procpool *p) {
  const uint64_t end = procpool__platform_now() + PROCPOOL__AUDIT_STEP;
  if (p->audit.at == 0)
    p->audit.first = PROCPOOL__NEVER;
  while (p->audit.at < p->tasks.slots_used && !p->life.finished) {
    procpool_future *f = p->tasks.owners[p->audit.at++];
    const uint64_t ticket = f != NULL ? f->ticket : 0; /* f may be gone afterwards */
    if (f != NULL && !procpool__host_audit_task(p, f) && ticket < p->audit.first)
      p->audit.first = ticket;
    if (p->audit.at % PROCPOOL__STRETCH != 0)
      continue;
    if (procpool__platform_now() >= end)
      break;
    procpool__host_breathe(p);
  }
  return p->audit.at >= p->tasks.slots_used;
}

/* Looks at every task that is not settled, and writes again what the host alone writes. Changes nothing where all keep
 * to the protocol: a task that was seen to wait and is claimed by now leaves the hint behind, where it does no harm.
 * With very many tasks it takes several calls. */
static void procpool__host_audit(procpool *p) {
  if (!procpool__host_audit_tasks(p) || p->life.finished)
    return;
  p->audit.at = 0;
  procpool__host_audit_head(p, p->audit.first);
  for (int i = 0; i < p->segment.workers; i++)
    procpool__host_audit_worker(p, i);
  /* A worker wrote there, or a supervisor that was not told. One that sleeps has seen another phase. */
  if (procpool__load32(&p->segment.header->phase) != p->life.phase) {
    procpool__host_tell_phase(p);
    procpool__store32(&p->segment.header->phase, p->life.phase);
    procpool__shm_wake_workers(&p->segment);
  }
  /* other workers wait for room in the bell, should one have filled it and made it a descriptor that waits */
  if (p->fds.all_gone >= 0 && procpool__platform_bell_clear(p->fds.all_gone) > 0 && p->waiting.fd_users > 0)
    procpool__platform_event_set(p->fds.event_fd);
  if (procpool__load_relaxed(&p->segment.header->arena_top) != p->arena.highest)
    procpool__store_relaxed(&p->segment.header->arena_top, p->arena.highest);
  if (p->tasks.limited == 0)
    return;
  procpool__store(&p->segment.header->tick, p->tasks.tick);
  procpool__store(&p->segment.header->limited, p->tasks.limited);
  procpool__host_ring(p);
}

/* How long to wait for the next look: the longer, the longer nothing has come about. */
static uint64_t procpool__host_audit_gap(procpool *p, uint64_t now) {
  uint64_t gap;
  if (p->tasks.submitted + p->tasks.settled != p->audit.progress)
    p->audit.since = now;
  p->audit.progress = p->tasks.submitted + p->tasks.settled;
  gap = (now - p->audit.since) / 4;
  gap = gap < PROCPOOL__LOOK_MOST ? gap : PROCPOOL__LOOK_MOST;
  return gap > PROCPOOL__TICK ? gap : PROCPOOL__TICK;
}

/* Whether nothing has come about since the last audit, and not for some time before: then this thread sleeps for long,
 * in poll(), which tells of the supervisor's end too. */
static bool procpool__host_quiet(procpool *p, uint64_t now) {
  if (p->fds.control < 0 || p->audit.gap <= PROCPOOL__TICK)
    return false;
  if (p->tasks.submitted + p->tasks.settled == p->audit.progress)
    return true;
  if (p->audit.due == PROCPOOL__NEVER) /* another thread is at it */
    return false;
  p->audit.gap = PROCPOOL__TICK;
  p->audit.due = p->audit.due < now + PROCPOOL__TICK ? p->audit.due : now + PROCPOOL__TICK;
  return false;
}

/* Now and then, while there is something to wait for; for a sixty-fourth of the time at most. */
static void procpool__host_audit_if_due(procpool *p) {
  const uint64_t now = procpool__platform_now();
  uint64_t pause = PROCPOOL__TICK;
  (void)procpool__host_quiet(p, now);
  if (p->life.finished || p->methods.inline_worker != NULL || now < p->audit.due)
    return;
  p->audit.due = PROCPOOL__NEVER; /* not by another thread at the same time */
  if (p->tasks.submitted != p->tasks.settled || p->life.phase != PROCPOOL__PHASE_RUN) {
    (void)procpool__host_drain(p); /* what has come needs no looking for */
    if (p->life.finished)
      return;
    procpool__host_audit(p);
    if (p->audit.at != 0) /* there is more to look at */
      pause = 64 * (procpool__platform_now() - now);
  }
  if (p->audit.at == 0)
    p->audit.gap = pause = procpool__host_audit_gap(p, now);
  p->audit.due = now + pause;
}

/* ---- the lazy sleep ---- Who hands out many tasks, and wants their results only when all is done, is not to be
 * woken for each: every time that would take a processor from a worker. It sleeps until the queue has become short:
 * until the task at wake_at is claimed, and since tasks are claimed in order that is when few are left behind it.
 * The worker that claims it, or a later one, wakes the host. Only while no other thread could want a result at once:
 * none waits, polls the descriptor or has added a callback. Who begins to do so wakes the sleeper first, and it sleeps
 * as usual then. So does a worker that waits for room in its ring; deaths, stops and cancels wake the host anyway. */

static bool procpool__host_may_be_lazy(procpool *p, const procpool__wait *w) {
  const uint64_t spare = w->spare != NULL ? *w->spare : 0;
  if (spare == 0 || spare > p->tasks.position || p->waiting.sleepers > 0 || p->waiting.followers != NULL ||
      p->waiting.fd_users > 0 || p->callbacks.expected > 0)
    return false;
  p->waiting.wake_at = p->tasks.position - spare;
  return procpool__host_waits(p, p->waiting.wake_at);
}

/* A thread wants results at once from now on. */
static void procpool__host_rouse(procpool *p) {
  if (p->waiting.lazy)
    procpool__shm_wake_host(&p->segment, p->fds.event_fd);
}

static bool procpool__host_changed(const procpool *p, const procpool__wait *w) {
  return procpool__host_room(p) != w->room || p->waiting.calls != w->calls ||
         (procpool__load32(&p->interrupts.count) != w->interrupts && !(w->how & PROCPOOL__WAIT_IMMUNE)) ||
         (w->lacks_cell && procpool__host_cell_free(p));
}

/* The same for the thread that drains: its lazy sleep may be over, or the workers be ready. (That is no news for those
 * who follow it: they wait for it to wake, and for that they must let go of the lock.) */
static bool procpool__host_changed_for_drainer(procpool *p, const procpool__wait *w) {
  return procpool__host_changed(p, w) || (p->waiting.lazy && !procpool__host_waits(p, p->waiting.wake_at)) ||
         ((w->how & PROCPOOL__WAIT_READY) && w->condition(p, w->context));
}

/* Puts this thread where those who can wake it look. */
static void procpool__sleeper_begin(procpool *p, procpool__wait *w) {
  w->word = w->asleep = 0;
  if (w->how & PROCPOOL__WAIT_FUTURE) {
    w->node.waiter = NULL;
    procpool__node_push((procpool_future *)w->context, &w->node);
  }
  if (w->how & PROCPOOL__WAIT_GROUP)
    ((procpool__waiter *)w->context)->sleeper = w;
  p->waiting.room_wanted += (w->how & PROCPOOL__WAIT_ROOM) != 0;
  p->waiting.ready_wanted += (w->how & PROCPOOL__WAIT_READY) != 0;
}

static void procpool__sleeper_end(procpool *p, procpool__wait *w) {
  if (w->how & PROCPOOL__WAIT_FUTURE)
    procpool__node_drop(&w->node);
  if (w->how & PROCPOOL__WAIT_GROUP)
    ((procpool__waiter *)w->context)->sleeper = NULL;
  p->waiting.room_wanted -= (w->how & PROCPOOL__WAIT_ROOM) != 0;
  p->waiting.ready_wanted -= (w->how & PROCPOOL__WAIT_READY) != 0;
}

/* When the thread that drains looks after supervisor and workers at the latest. Threads need no looking after. */
static uint64_t procpool__host_next_look(const procpool *p, uint64_t now) {
  if (p->fds.control < 0)
    return PROCPOOL__NEVER;
  if (!p->waiting.watching || p->audit.due <= now)
    return now + PROCPOOL__TICK;
  return p->audit.due < now + PROCPOOL__LOOK_MOST ? p->audit.due : now + PROCPOOL__LOOK_MOST;
}

/* So often there seemed to be something to take, and there was not: then the thread that waits sleeps all the same, and
 * looks for what is wrong when the tick is over. Nothing that keeps to the protocol comes to it. */
enum { PROCPOOL__IDLE_LOOKS = 64, PROCPOOL__RESTS_AUDIT = 1024 };

/* Sleeps in poll(). What rings the event is meant for this thread; those who poll it besides are told when something
 * has settled, by the thread that settles it. */
static bool procpool__host_watch(int watch, int control, uint64_t deadline) {
  procpool__source sources[2];
  sources[0] = procpool__platform_source(watch);
  sources[1] = procpool__platform_source(control);
  return procpool__platform_poll(sources, 2, deadline, NULL) > 0 && procpool__platform_came(&sources[0]);
}

/* Sleeps on a word. A signal handler always ends it: the kernel begins a sleep anew (SA_RESTART) that has no end of its
 * own, and a child that the handler has forked would sleep for ever. */
static void procpool__host_park(uint32_t *word, uint32_t value, uint64_t deadline) {
  procpool__platform_park(word, value, deadline < PROCPOOL__NEVER ? deadline : PROCPOOL__NEVER - 1);
}

/* False in a child that comes back. */
static bool procpool__host_sleep_armed(procpool *p, uint64_t deadline, uint32_t seq) {
  const int watch = p->fds.watch, control = p->fds.control;
  const bool watching = p->waiting.watching, believe = p->waiting.idle_looks < PROCPOOL__IDLE_LOOKS;
  bool news, rung = false;
  procpool__host_unlock(p);
  news = believe && procpool__host_news(p, true);
  if (!news && watching)
    rung = procpool__host_watch(watch, control, deadline);
  else if (!news)
    procpool__host_park(&p->segment.header->host_seq, seq, deadline);
  if (!procpool__host_relock(p))
    return false;
  p->waiting.idle_looks += news;
  if (rung)
    procpool__host_silence(p);
  return true;
}

static void procpool__host_sleep(procpool *p, procpool__wait *w) {
  const uint64_t now = procpool__platform_now();
  const uint64_t woken = procpool__load_relaxed(&p->segment.header->host_woken_ns);
  const uint32_t seq = procpool__load32(&p->segment.header->host_seq);
  uint64_t look;
  if (procpool__host_changed_for_drainer(p, w))
    return;
  p->waiting.watching = procpool__host_quiet(p, now);
  look = procpool__host_next_look(p, now);
  procpool__host_count_fd_user(p, p->waiting.watching);
  p->waiting.wants_room =
      (w->how & PROCPOOL__WAIT_ROOM) || (p->waiting.room_wanted > 0 && !procpool__host_cell_free(p));
  procpool__sleeper_begin(p, w);
  p->waiting.drainer = w;
  procpool__host_arm(p);
  if (p->waiting.room_wanted > 0) /* after arming, for those that follow: a cell may have come free just before */
    procpool__host_pass_room(p);
  if (p->waiting.ready_wanted > 0) /* and the last initializer may have been through */
    procpool__host_pass_ready(p);
  if (!procpool__host_changed_for_drainer(p, w) && /* and so may what this thread waits for */
      !procpool__host_sleep_armed(p, w->deadline < look ? w->deadline : look, seq))
    return;
  p->waiting.drainer = NULL;
  procpool__sleeper_end(p, w);
  procpool__host_count_fd_user(p, -(int)p->waiting.watching);
  p->waiting.lazy = p->waiting.watching = false;
  if (p->life.finished)
    return;
  procpool__spin_measure(&p->waiting.spin, &p->segment.header->host_woken_ns, woken);
  procpool__host_arm(p);
  procpool__host_look_after(p, procpool__load32(&p->segment.header->host_seq) == seq);
  procpool__host_audit_if_due(p);
}

/* If callbacks are due, which this thread does not run: a call that waits does, if there is one. */
static void procpool__host_pass_callbacks(procpool *p) {
  procpool__wait *s = p->callbacks.first_due != NULL ? p->waiting.followers : NULL;
  while (s != NULL && !(s->how & PROCPOOL__WAIT_CALLBACKS))
    s = s->next;
  if (s == NULL && p->callbacks.first_due != NULL && p->waiting.drainer != NULL &&
      (p->waiting.drainer->how & PROCPOOL__WAIT_CALLBACKS))
    s = p->waiting.drainer;
  if (s != NULL)
    procpool__sleeper_wake(p, s);
}

/* Lets another thread take over the draining, and asks the threads that wait for this one to look again. */
static void procpool__host_hand_over(procpool *p) {
  procpool__host_next_turn(p);
  if (p->waiting.followers != NULL && !p->waiting.draining && p->waiting.coming == 0)
    procpool__sleeper_wake(p, p->waiting.followers);
  if (p->waiting.room_wanted > 0)
    procpool__host_pass_room(p);
}

/* Whether an inline pool waits for a call that does something. */
static bool procpool__host_idles(const procpool *p) {
  return p->methods.inline_worker != NULL && p->methods.inline_thread == 0 && !p->life.finished &&
         (p->life.phase != PROCPOOL__PHASE_RUN || procpool__table_waiting(&p->segment));
}

/* Sleeps on turn, unless there is something to do by now. An interrupt takes no lock: it counts itself and then turn,
 * so turn is read first. All else changes under the lock, and the thread that changed it while this one was without the
 * lock saw no sleeper. w: null for one that has held the lock since it looked, and ends by no interrupt and no
 * deadline. */
static void procpool__host_await_turn(procpool *p, const procpool__wait *w) {
  const uint32_t turn = procpool__load32(&p->waiting.turn);
  if (w != NULL && (procpool__host_changed(p, w) || procpool__host_idles(p)))
    return;
  p->waiting.sleepers++;
  p->waiting.turned = false;
  procpool__host_unlock(p);
  procpool__host_park(&p->waiting.turn, turn, w != NULL ? w->deadline : PROCPOOL__NEVER);
  if (procpool__host_relock(p))
    p->waiting.sleepers--;
}

/* Whether one that follows is to look for a while before it sleeps. Not where more tasks wait or run than there are
 * processors: these are busy then, and who is woken gets one sooner than who yields his. */
static bool procpool__host_follower_looks(const procpool *p) {
  return p->tasks.submitted - p->tasks.settled <= p->waiting.processors;
}

/* Looks at its own word for a while, and then sleeps on it. Without the lock. */
static void procpool__host_follow_word(const procpool *p, procpool__wait *w, bool looks) {
  procpool__spinning n;
  procpool__spin_begin(&n, &p->waiting.spin, 1, procpool__host_crowded(p), w->deadline);
  while (looks && procpool__spin_on(&n, n.budget))
    if (procpool__load32(&w->word) != 0)
      return;
  procpool__store32(&w->asleep, 1);
  if (!looks || procpool__host_here(p)) /* a child that a signal handler has forked meanwhile would not be woken */
    procpool__host_park(&w->word, 0, w->deadline);
}

/* Sleeps while another thread drains. */
static void procpool__host_follow(procpool *p, procpool__wait *w) {
  bool looks;
  if (procpool__host_changed(p, w)) /* while this one took a turn at the audit */
    return;
  procpool__sleeper_begin(p, w);
  w->next = p->waiting.followers;
  w->from = &p->waiting.followers;
  if (w->next != NULL)
    w->next->from = &w->next;
  p->waiting.followers = w;
  if (p->waiting.lazy ||
      (w->lacks_cell && p->waiting.drainer != NULL && !p->waiting.wants_room)) /* it is to sleep as this one needs */
    procpool__shm_wake_host(&p->segment, p->fds.event_fd);
  if (w->how & PROCPOOL__WAIT_ROOM)
    procpool__host_pass_room(p); /* this one found none: a thread behind it may need less */
  looks = procpool__host_follower_looks(p);
  procpool__host_unlock(p);
  procpool__host_follow_word(p, w, looks);
  if (!procpool__host_relock(p))
    return;
  *w->from = w->next;
  if (w->next != NULL)
    w->next->from = w->from;
  p->waiting.coming -= w->word != 0;
  procpool__sleeper_end(p, w);
}

typedef struct procpool__inline_turn {
  procpool__worker *worker;
  procpool__step turn;
} procpool__inline_turn;

static void procpool__host_take_turn(void *context) {
  procpool__inline_turn *t = (procpool__inline_turn *)context;
  t->turn = procpool__worker_step(t->worker);
}
static void procpool__host_leave_inline(void *context) {
  procpool__worker_leave(((procpool__inline_turn *)context)->worker);
}

/* Is the inline worker for a while, without the lock. This thread goes on after a pthread_exit in what it runs, which
 * report then tells: the call that it is in, and those that have called, hold what other threads look at. */
static void procpool__host_be_worker(procpool *p, void (*function)(void *context), procpool__inline_turn *t,
                                     void (*report)(procpool__worker *w)) {
  procpool__worker *const outer = procpool__thread_worker; /* in a task: of another pool */
  int cancel;
  p->methods.inline_thread = procpool__platform_self();
  procpool__host_unlock(p);
  cancel = procpool__platform_no_cancel();
  procpool__thread_worker = t->worker;
  if (!procpool__platform_run_to_end(function, t))
    report(t->worker);
  procpool__thread_worker = outer;
  procpool__platform_cancel_as(cancel);
  procpool__host_lock(p);
  p->methods.inline_thread = 0;
  procpool__host_hand_over(p);
  if (p->waiting.fd_users > 0)
    procpool__platform_event_set(p->fds.event_fd); /* who waits for several pools may run the next one */
}

/* An inline pool: runs one task in this thread. False if there was none. Then the pool ends, if it is to, with its
 * finalizer; but not before a task that was accepted while this thread looked, and just before a shutdown. */
static bool procpool__host_run_inline(procpool *p) {
  procpool__worker *w = p->methods.inline_worker;
  procpool__inline_turn t;
  t.worker = w;
  t.turn = PROCPOOL__STEP_RAN;
  procpool__host_be_worker(p, procpool__host_take_turn, &t, procpool__worker_report_death);
  if (t.turn == PROCPOOL__STEP_RAN)
    return true;
  if (p->life.phase == PROCPOOL__PHASE_RUN || (t.turn != PROCPOOL__STEP_LEAVE && procpool__table_waiting(&p->segment)))
    return false;
  if (p->life.phase == PROCPOOL__PHASE_DRAIN && !w->leaves && p->segment.settings.finalizer != 0) {
    procpool__host_be_worker(p, procpool__host_leave_inline, &t, procpool__worker_report_finalizer);
    return true; /* and looks again: a map may have handed out more meanwhile */
  }
  procpool__store32(&p->segment.header->gone, 1);
  return false;
}

/* There is no waiting for memory: the result that lies first in this worker's ring is given up, if it is that for which
 * there was none. */
static void procpool__host_give_up_first(procpool *p, int worker) {
  procpool__inbox *in = &p->drain.inboxes[worker];
  in->impatient = in->impatient || in->no_memory;
}

/* The inline worker's result does not fit its ring, which only this thread empties: without memory this would wait for
 * itself. */
static void procpool__host_make_room(void *context) {
  procpool *p = (procpool *)context;
  procpool__host_lock(p);
  if (procpool__host_drain(p) == PROCPOOL_MEMORY)
    procpool__host_give_up_first(p, 0);
  procpool__host_unlock(p);
}

/* Counts the rests since the last one that brought something; and looks now and then at what is looked at after a
 * sleep, for a host that is kept busy never sleeps. */
static void procpool__host_note_rest(procpool *p) {
  if (p->tasks.settled + p->drain.taken != p->waiting.progress)
    p->waiting.idle_looks = 0;
  p->waiting.progress = p->tasks.settled + p->drain.taken;
  if (++p->waiting.rests % PROCPOOL__RESTS_AUDIT == 0) {
    procpool__host_look_after(p, true);
    procpool__host_audit_if_due(p);
  }
}

/* Rests until something may have changed. */
static void procpool__host_rest(procpool *p, procpool__wait *w) {
  procpool__spinning n;
  bool come = false;
  procpool__host_note_rest(p);
  if (p->life.finished) {
    if (p->callbacks.frames != NULL) /* another thread is still in a callback */
      procpool__host_await_turn(p, w);
    return;
  }
  if (p->methods.inline_worker != NULL) {
    if (p->methods.inline_thread != 0 || !procpool__host_run_inline(p))
      procpool__host_await_turn(p, w);
    return;
  }
  if (p->waiting.draining) {
    procpool__host_follow(p, w);
    return;
  }
  p->waiting.draining = true;
  p->waiting.lazy = procpool__host_may_be_lazy(p, w);
  if (p->waiting.lazy) {
    procpool__host_sleep(p, w);
    p->waiting.lazy = p->waiting.draining = false;
    return;
  }
  procpool__host_unlock(p);
  procpool__spin_begin(&n, &p->waiting.spin, procpool__host_count_restless(p), procpool__host_crowded(p), w->deadline);
  while (!come && procpool__spin_on(&n, n.budget))
    come = procpool__host_news(p, false);
  if (!procpool__host_relock(p))
    return;
  p->waiting.idle_looks += come;
  if (!come || p->waiting.idle_looks >= PROCPOOL__IDLE_LOOKS)
    procpool__host_sleep(p, w);
  procpool__spin_end(&p->waiting.spin, &n);
  p->waiting.draining = false;
}

/* ---- what callbacks throw ---- It leaves the call that ran the callback, and no call within a later callback, nor one
 * that the callback was called from: a call takes what was thrown in the one frame that it had itself. Frames alone
 * count, for a task makes none: what a callback throws that a task's call has run leaves that call in the task. */

/* Where in the list is what was thrown in this thread's frame of that depth; null there if nothing was. */
static procpool__callback_node **procpool__host_thrown(procpool *p, unsigned depth) {
  const uint64_t self = procpool__platform_self();
  procpool__callback_node **at = &p->callbacks.thrown;
  while (*at != NULL && ((*at)->thread != self || (*at)->depth != depth))
    at = &(*at)->next;
  return at;
}

/* The first exception in a frame is kept until its call ends. The node is the callback's own. */
static void *procpool__host_keep_thrown(procpool *p, procpool__callback_node *node, void *exception) {
  const unsigned depth = procpool__host_depth(p);
  if (*procpool__host_thrown(p, depth) != NULL) {
    PROCPOOL_FREE(node);
    return exception;
  }
  node->context = exception;
  node->thread = procpool__platform_self();
  node->depth = depth;
  node->next = p->callbacks.thrown;
  p->callbacks.thrown = node;
  return NULL;
}

/* What this thread's call, which has left its frame, is to end with: an exception, or null. */
static void *procpool__host_take_thrown(procpool *p) {
  procpool__callback_node **at, *node;
  void *exception;
  if (p->callbacks.thrown == NULL)
    return NULL;
  at = procpool__host_thrown(p, procpool__host_depth(p) + 1);
  node = *at;
  if (node == NULL)
    return NULL;
  *at = node->next;
  exception = node->context;
  PROCPOOL_FREE(node);
  return exception;
}

/* Calls the user. Returns what was thrown. Not to be cancelled: a thread that ended here would seem to be in the
 * callback for ever. */
static void *procpool__host_enter_callback(procpool_future *f, const procpool__callback_node *node) {
  const int cancel = procpool__platform_no_cancel();
  void *exception = NULL;
  PROCPOOL__TRY {
    node->function(f, node->context);
  }
  PROCPOOL__CATCH_ANY(exception = procpool__platform_keep_exception())
  procpool__platform_cancel_as(cancel);
  return exception;
}

/* Runs the callbacks of one settled future in the order in which they were added, without the lock. False in a child
 * that has come back from one. */
static bool procpool__host_call_back(procpool *p, procpool_future *f) {
  while (f->callbacks != NULL) {
    procpool__callback_node *node = f->callbacks;
    void *exception;
    bool here;
    f->callbacks = node->next;
    procpool__host_unlock(p);
    exception = procpool__host_enter_callback(f, node);
    if (exception == NULL && procpool__host_here(p))
      PROCPOOL_FREE(node);
    here = procpool__host_relock(p);
    if (exception != NULL)
      exception = procpool__host_keep_thrown(p, node, exception);
    if (exception != NULL) { /* dropping it runs code of the user's */
      procpool__host_unlock(p);
      procpool__platform_drop_exception(exception);
      here = procpool__host_relock(p) && here;
    }
    if (!here)
      return false;
  }
  return true;
}

static void procpool__host_leave_frame(procpool *p, procpool__frame *frame) {
  procpool__frame **at = &p->callbacks.frames;
  while (*at != frame)
    at = &(*at)->next;
  *at = frame->next;
  procpool__host_hand_over(p); /* a shutdown may wait for just this */
}

/* Runs all callbacks that are due. Not from within a callback: they would nest without bound. */
static void procpool__host_run_callbacks(procpool *p) {
  procpool__frame frame;
  if (p->callbacks.first_due == NULL || procpool__host_self(p))
    return;
  procpool__host_hand_over(p);
  frame.thread = procpool__platform_self();
  frame.next = p->callbacks.frames;
  p->callbacks.frames = &frame;
  while (p->callbacks.first_due != NULL) {
    procpool_future *f = p->callbacks.first_due;
    __atomic_store_n(&p->callbacks.first_due, f->next, __ATOMIC_RELAXED);
    if (p->callbacks.first_due == NULL)
      p->callbacks.last_due = NULL;
    if (!procpool__host_call_back(p, f))
      return;
    procpool__future_unref(p, f);
  }
  procpool__host_leave_frame(p, &frame);
}

/* The thread that sees an interrupt first tells all that wait: each then finds that it came after its call began. */
static void procpool__host_take_interrupts(procpool *p) {
  __atomic_store_n(&p->interrupts.taken, procpool__load32(&p->interrupts.count), __ATOMIC_RELAXED);
  procpool__sleeper_wake_all(p);
}

static procpool__wait procpool__host_wait_for(const procpool *p, procpool__condition *condition, void *context,
                                              uint64_t deadline, unsigned how) {
  procpool__wait w;
  memset(&w, 0, sizeof(w));
  w.condition = condition;
  w.context = context;
  w.deadline = deadline;
  w.how = how;
  w.interrupts = __atomic_load_n(&p->interrupts.taken, __ATOMIC_RELAXED);
  return w;
}

/* Whether the call is to end without what it waits for: OK (no), PENDING, INTERRUPTED, FORKED. Needs no lock. */
static procpool_status procpool__host_wait_look(const procpool *p, const procpool__wait *w) {
  if (!procpool__host_here(p))
    return PROCPOOL_FORKED;
  if (!(w->how & PROCPOOL__WAIT_IMMUNE) && procpool__load32(&p->interrupts.count) != w->interrupts)
    return PROCPOOL_INTERRUPTED;
  return w->deadline != PROCPOOL__NEVER && procpool__platform_now() >= w->deadline ? PROCPOOL_PENDING : PROCPOOL_OK;
}

/* The same, by which the call ends: it takes the interrupt. One that is immune takes them all. */
static procpool_status procpool__host_wait_over(procpool *p, const procpool__wait *w) {
  const procpool_status status = procpool__host_wait_look(p, w);
  if (procpool__load32(&p->interrupts.count) != p->interrupts.taken &&
      (status == PROCPOOL_INTERRUPTED || (w->how & PROCPOOL__WAIT_IMMUNE)))
    procpool__host_take_interrupts(p);
  return status;
}

/* Runs the callbacks that are due within a call that waits. What it holds comes back only after them: who waits for
 * that within a callback looks again, or the two would wait for each other. */
static void procpool__host_wait_callbacks(procpool *p, const procpool__wait *w) {
  const size_t holds = w->holds != NULL ? *w->holds : 0;
  if (p->callbacks.first_due == NULL)
    return;
  p->arena.stuck += holds;
  p->arena.returned += holds > 0;
  procpool__host_run_callbacks(p);
  p->arena.stuck -= holds;
}

/* Waits, draining, until the condition holds. OK, PENDING, INTERRUPTED, MEMORY; FORKED in a child that comes back. */
static procpool_status procpool__host_wait(procpool *p, procpool__wait *w) {
  procpool_status status = PROCPOOL_OK;
  for (;;) {
    const procpool_status drained = procpool__host_is_child(p) ? PROCPOOL_FORKED : procpool__host_drain(p);
    if (w->how & PROCPOOL__WAIT_CALLBACKS)
      procpool__host_wait_callbacks(p, w);
    if (procpool__host_is_child(p)) {
      status = PROCPOOL_FORKED;
      break;
    }
    procpool__host_pass_callbacks(p);
    if (p->callbacks.thrown != NULL && *procpool__host_thrown(p, procpool__host_depth(p) + 1) != NULL &&
        !(w->how & PROCPOOL__WAIT_IMMUNE)) {
      status = PROCPOOL_INTERRUPTED; /* by what a callback threw */
      break;
    }
    /* before the condition looks: a cell that comes free after it was found taken must not go unnoticed */
    w->lacks_cell = (w->how & PROCPOOL__WAIT_ROOM) && !procpool__host_cell_free(p);
    w->room = procpool__host_room(p);
    w->calls = p->waiting.calls;
    if (w->condition(p, w->context))
      break;
    status = w->how & PROCPOOL__WAIT_IMMUNE ? PROCPOOL_OK : drained;
    if (status == PROCPOOL_OK)
      status = procpool__host_wait_over(p, w);
    if (status != PROCPOOL_OK)
      break;
    procpool__host_rest(p, w);
  }
  procpool__host_hand_over(p);
  return status;
}

/* ==== >>open ========================================================================================================
 * Runs in:   the host's thread that opens; the go-between.
 * Writes:    the pool, and the segment before there is another process.
 * Calls:     >>waiting, >>door, and all above it.
 * Always:    what fails leaves nothing behind, and says which call failed.
 * From here on stand the calls of the declarations, in their order: each checks what it is given, takes the lock, and
 * calls downwards. */

static bool procpool__public_bad_timeout(double timeout) {
  return timeout != timeout; /* not a number */
}

/* The instant that lies timeout seconds ahead; NEVER from about 31 years on; 0, which is always over, for none. */
static uint64_t procpool__public_deadline(double timeout) {
  if (timeout >= 1e9)
    return PROCPOOL__NEVER;
  return timeout > 0 ? procpool__platform_now() + (uint64_t)(timeout * 1e9) : 0;
}

/* The same of a timeout in options, where 0 is for ever and negative is none. */
static uint64_t procpool__public_patience(double timeout) {
  return timeout == 0 ? PROCPOOL__NEVER : procpool__public_deadline(timeout);
}

static const char *procpool__status_words(procpool_status status, bool name) {
  switch (status) {
#define PROCPOOL__STATUS_WORDS(id, value, text)                                                                        \
  case PROCPOOL_##id:                                                                                                  \
    return name ? #id : text;
    PROCPOOL_STATUSES(PROCPOOL__STATUS_WORDS)
#undef PROCPOOL__STATUS_WORDS
  case PROCPOOL_STATUS_LIMIT:
  default:
    return name ? "UNKNOWN" : "unknown status";
  }
}

PROCPOOL_API const char *procpool_strerror(procpool_status status) {
  return procpool__status_words(status, false);
}

PROCPOOL_API const char *procpool_status_name(procpool_status status) {
  return procpool__status_words(status, true);
}

PROCPOOL_API int procpool_version(void) {
  return PROCPOOL_VERSION;
}

PROCPOOL_API int procpool_cpu_count(procpool_cpu kind) {
  return procpool__cpu_count(kind);
}

/* ---- open ---- */

/* The options with every default filled in, and what is decided from them. */
typedef struct procpool__plan {
  procpool_options options;
  procpool_error error;
  procpool_start start;
  int workers;
  uint64_t spin_ns;
  uint64_t place;   /* spawn: where the segment is to be mapped; 0: anywhere */
  bool place_taken; /* the supervisor says that it cannot */
  bool heard;       /* spawn: the new process has come to the door, and said something */
  const char *call; /* what has failed */
  bool once;        /* for one task, of which the first worker's death is the end */
} procpool__plan;

/* Seconds as whole milliseconds, rounded up; what is longer than most counts as most. */
static uint32_t procpool__public_ms(double seconds, uint32_t most) {
  const double ms = seconds * 1e3;
  uint32_t whole;
  if (!(ms > 0))
    return 0;
  if (ms >= (double)most)
    return most;
  whole = (uint32_t)ms;
  return whole + ((double)whole < ms);
}

/* A grace as it stands in options: 0 for the pool's, negative for none. At most 4 hours. */
static uint32_t procpool__public_grace(double seconds, uint32_t pools) {
  return seconds == 0 ? pools : procpool__public_ms(seconds, (1u << 24) - 1);
}

/* A limit for n items together as it stands in options: 0 for the pool's, negative for none. 0 where there is none, or
 * one that is longer than 49 days. */
static uint32_t procpool__public_time_limit(double seconds, double n, uint32_t pools) {
  const uint32_t ms = procpool__public_ms((seconds == 0 ? (double)pools / 1e3 : seconds) * n, UINT32_MAX);
  return ms == UINT32_MAX ? 0 : ms;
}

static bool procpool__open_fail(procpool__plan *plan, procpool_status status, int error, const char *message) {
  procpool__error_fill(&plan->error, status, error, message);
  return false;
}

static bool procpool__open_no_memory(procpool__plan *plan, const char *message) {
  return procpool__open_fail(plan, PROCPOOL_MEMORY, PROCPOOL__NO_MEMORY, message);
}

/* The same, of a call that the kernel refused: the text begins with its name. */
static bool procpool__open_fail_call(procpool__plan *plan, procpool_status status, int error, const char *call,
                                     const char *message) {
  char text[PROCPOOL__MESSAGE];
  (void)snprintf(text, sizeof(text), "%s: %s", call, message);
  return procpool__open_fail(plan, status, error, text);
}

static int procpool__open_default_workers(int processors) {
  const char *text = procpool__platform_privileged() ? NULL : getenv("PROCPOOL_WORKERS");
  char *end;
  const long n = text != NULL ? strtol(text, &end, 10) : 0;
  if (text != NULL && *text != 0 && *end == 0 && n > 0 && n <= PROCPOOL__MAX_WORKERS)
    return (int)n;
  return processors;
}

static bool procpool__open_check(procpool__plan *plan) {
  const procpool_options *o = &plan->options;
  const bool processes = o->start <= PROCPOOL_START_SPAWN;
  if ((unsigned)o->start > PROCPOOL_START_INLINE)
    return procpool__open_fail(plan, PROCPOOL_ARGUMENT, 0,
                               "options.start is none of PROCPOOL_START_*: were the options zeroed first?");
  if (o->max_workers < 0 || o->max_workers > PROCPOOL__MAX_WORKERS)
    return procpool__open_fail(plan, PROCPOOL_ARGUMENT, 0, "options.max_workers must be 0 to 1024");
  if (o->max_tasks_per_child < 0 || o->spin_us < -1)
    return procpool__open_fail(plan, PROCPOOL_ARGUMENT, 0,
                               "options.max_tasks_per_child is negative, or spin_us below -1");
  if ((o->strict || o->close_fds || o->max_tasks_per_child > 0 || o->time_limit > 0 || o->initializer_limit > 0 ||
       o->finalizer_limit > 0) &&
      !processes)
    return procpool__open_fail(plan, PROCPOOL_UNSUPPORTED, 0,
                               "strict, close_fds, max_tasks_per_child and limits of time need fork or spawn");
  if (o->worker_path != NULL && o->start != PROCPOOL_START_AUTO && o->start != PROCPOOL_START_SPAWN)
    return procpool__open_fail(plan, PROCPOOL_UNSUPPORTED, 0, "options.worker_path needs PROCPOOL_START_SPAWN");
  if (o->stack_size != 0 && o->start != PROCPOOL_START_THREAD)
    return procpool__open_fail(plan, PROCPOOL_UNSUPPORTED, 0, "options.stack_size needs PROCPOOL_START_THREAD");
  if (o->stack_size != 0 && (o->stack_size < 65536 || o->stack_size > SIZE_MAX / 4))
    return procpool__open_fail(plan, PROCPOOL_ARGUMENT, 0, "options.stack_size must be 65536 or more");
  if (o->nice < 0 || o->nice > 19)
    return procpool__open_fail(plan, PROCPOOL_ARGUMENT, 0, "options.nice must be 0 to 19");
  if (o->nice != 0 && o->start == PROCPOOL_START_INLINE)
    return procpool__open_fail(plan, PROCPOOL_UNSUPPORTED, 0, "options.nice is not for PROCPOOL_START_INLINE");
  if (o->max_queued > PROCPOOL__MAX_QUEUED)
    return procpool__open_fail(plan, PROCPOOL_ARGUMENT, 0, "options.max_queued is above 8388608");
  if (o->ring_size != 0 &&
      (o->ring_size < 4096 || o->ring_size > (size_t)1 << 30 || (o->ring_size & (o->ring_size - 1)) != 0))
    return procpool__open_fail(plan, PROCPOOL_ARGUMENT, 0,
                               "options.ring_size must be a power of two from 4096 to 2^30");
  if ((o->keep_fds == NULL && o->keep_fds_count > 0) || o->keep_fds_count > 4096)
    return procpool__open_fail(plan, PROCPOOL_ARGUMENT, 0, "options.keep_fds is null or longer than 4096");
  if (!(o->time_limit >= 0) || !(o->initializer_limit >= 0) || !(o->finalizer_limit >= 0) || o->grace != o->grace)
    return procpool__open_fail(
        plan, PROCPOOL_ARGUMENT, 0,
        "options.time_limit, initializer_limit or finalizer_limit is negative, or not a number, or grace is not");
  if (o->initializer_argument == NULL && o->initializer_size > 0)
    return procpool__open_fail(plan, PROCPOOL_ARGUMENT, 0, "options.initializer_argument is null but has a size");
  if (o->finalizer_callback != NULL && o->finalizer == NULL)
    return procpool__open_fail(plan, PROCPOOL_ARGUMENT, 0, "options.finalizer_callback without a finalizer");
  return true;
}

/* Which start method is taken: see PROCPOOL_START_AUTO. */
static bool procpool__open_auto(procpool__plan *plan) {
  const int threads = procpool__platform_threads();
  plan->start = PROCPOOL_START_FORK;
  if (threads == 1)
    return true;
  plan->start = PROCPOOL_START_SPAWN;
  if ((procpool__process_record.door || plan->options.worker_path != NULL) && !procpool__platform_privileged() &&
      !procpool__platform_gives_rights() && (threads > 1 || procpool__platform_each_code(NULL, NULL) >= 0))
    return true;
  return procpool__open_fail(plan, PROCPOOL_THREADS, 0,
                             threads > 1 ? NULL
                                         : "it cannot be known whether this process has threads (no /proc): ask for "
                                           "PROCPOOL_START_FORK if it has none");
}

/* What spawn needs. A program that its file gives rights to is not started again: it would have them back. A process
 * that still has the marker was started by a pool and has not come to the door: what it starts would not, either. */
static bool procpool__open_check_spawn(procpool__plan *plan) {
  if (procpool__platform_privileged() || procpool__platform_gives_rights())
    return procpool__open_fail(
        plan, PROCPOOL_UNSUPPORTED, 0,
        "spawn is refused to a set-uid, set-gid or file-capability program (or one whose real and "
        "effective ids differ): its workers could have rights that it gave up");
  if ((!procpool__process_record.door && plan->options.worker_path == NULL) || getenv(PROCPOOL__MARKER) != NULL)
    return procpool__open_fail(plan, PROCPOOL_NO_WORKER_MAIN, 0, NULL);
  if (plan->options.initializer_argument != NULL && plan->options.initializer_size == 0)
    return procpool__open_fail(plan, PROCPOOL_UNSUPPORTED, 0,
                               "spawn: an initializer_argument needs its size, a pointer means nothing there");
  if (procpool__platform_each_code(NULL, NULL) < 0)
    return procpool__open_fail_call(plan, PROCPOOL_SYSTEM, procpool__platform_error(), "openat of /proc/self/maps",
                                    "spawn needs /proc, to find the workers' code");
  return true;
}

static bool procpool__open_method(procpool__plan *plan) {
  plan->start = plan->options.start;
  if (plan->start == PROCPOOL_START_AUTO && !procpool__open_auto(plan))
    return false;
  if (plan->start <= PROCPOOL_START_SPAWN && procpool__platform_children_elsewhere())
    return procpool__open_fail(
        plan, PROCPOOL_UNSUPPORTED, 0,
        "children of this thread go to another PID namespace (unshare, setns): open pools before");
  if (plan->start == PROCPOOL_START_SPAWN && !procpool__open_check_spawn(plan))
    return false;
  if (plan->start <= PROCPOOL_START_SPAWN && procpool__process_record.depth >= PROCPOOL__MAX_DEPTH)
    return procpool__open_fail(plan, PROCPOOL_TOO_DEEP, 0, NULL);
  return true;
}

/* What the user says, or the default where that is 0. */
static size_t procpool__open_default(size_t said, size_t otherwise) {
  return said != 0 ? said : otherwise;
}

static bool procpool__open_plan(procpool__plan *plan, const procpool_options *options) {
  procpool_options *o = &plan->options;
  if (options != NULL)
    *o = *options;
  if (!procpool__open_check(plan) || !procpool__open_method(plan))
    return false;
  o->max_queued = procpool__open_default(o->max_queued, 65536);
  o->ring_size = procpool__open_default(o->ring_size, 262144);
  o->name = o->name != NULL ? o->name : "procpool";
  o->stack_size = procpool__platform_stack_size(o->stack_size);
  if (o->spin_us >= 0) /* by default about what a sleep and a wake cost */
    plan->spin_ns = o->spin_us > 0 ? (uint64_t)o->spin_us * 1000u : PROCPOOL__SPIN_MOST / 2;
  return true;
}

/* Looks at the machine for how many workers there shall be. */
static void procpool__open_count(procpool *p, procpool__plan *plan) {
  const int processors = procpool__cpu_usable(&p->memory), said = plan->options.max_workers;
  p->waiting.processors = (uint64_t)processors;
  plan->workers = said > 0 ? said : procpool__open_default_workers(processors);
  if (plan->workers > PROCPOOL__MAX_WORKERS)
    plan->workers = PROCPOOL__MAX_WORKERS;
  if (plan->start == PROCPOOL_START_INLINE)
    plan->workers = 1;
}

/* How large the arena shall be: as the user says, else as the machine's memory, or what a control group allows of it;
 * but where address space is bounded, so that a pool takes no more than an eighth of what is left of it: the program's
 * other pools, and the stacks of its threads, need some. */
static uint64_t procpool__open_arena_size(procpool *p, const procpool_options *o) {
  procpool__segment *s = &p->segment;
  const uint64_t most = procpool__platform_space() / 8, machine = procpool__platform_memory();
  uint64_t size = machine < p->memory.least ? machine : p->memory.least, before;
  size = o->max_memory > 0 ? o->max_memory : size;
  s->arena_size = size;
  before = procpool__shm_layout(s, NULL) - size; /* what lies before the arena */
  if (o->max_memory == 0 && (before > most || size > most - before))
    size = most > before + PROCPOOL__EXTENT ? (most - before) / PROCPOOL__EXTENT * PROCPOOL__EXTENT : 1;
  if (size > PROCPOOL__ARENA_MOST)
    size = PROCPOOL__ARENA_MOST;
  return procpool__round_up(size, PROCPOOL__EXTENT);
}

/* Creates and maps the segment, with as large an arena as there is address space for, and reserves the parts that are
 * used at once. */
static bool procpool__open_segment(procpool *p, procpool__plan *plan) {
  procpool__segment *s = &p->segment;
  unsigned char *base = NULL;
  procpool__signals old;
  s->workers = plan->workers;
  s->capacity = plan->options.max_queued;
  s->cell_count = procpool__shm_cell_count(s->capacity);
  s->ring_size = plan->options.ring_size;
  s->arena_size = procpool__open_arena_size(p, &plan->options);
  (void)procpool__shm_layout(s, NULL);
  if (s->arena_at > (uint64_t)PTRDIFF_MAX) /* an off_t may have 32 bits, too */
    return procpool__open_no_memory(plan, "no address space for the shared memory");
  procpool__process_enter(&old);
  s->fd = p->fds.memory = procpool__platform_shm_create(s->arena_at, "procpool", &plan->call);
  procpool__process_leave(&old);
  if (s->fd < 0)
    return procpool__open_fail_call(plan, PROCPOOL_SYSTEM, procpool__platform_error(), plan->call,
                                    "no shared memory to be had");
  while (base == NULL && s->arena_size >= PROCPOOL__EXTENT) {
    const uint64_t total = procpool__shm_layout(s, NULL);
    if (total < (uint64_t)PTRDIFF_MAX)
      base = (unsigned char *)(plan->start == PROCPOOL_START_SPAWN ? procpool__platform_shm_map_far(s->fd, total)
                                                                   : procpool__platform_shm_map(s->fd, total, 0));
    if (base == NULL)
      s->arena_size = s->arena_size / 2 / PROCPOOL__EXTENT * PROCPOOL__EXTENT;
  }
  if (base == NULL)
    return procpool__open_fail_call(plan, PROCPOOL_MEMORY, procpool__platform_error(), "mmap",
                                    "no address space for the shared memory");
  (void)procpool__shm_layout(s, base);
  s->host_base = (uint64_t)(uintptr_t)base;
  if (!procpool__platform_shm_open(base, s->arena_at))
    return procpool__open_fail_call(plan, PROCPOOL_MEMORY, procpool__platform_error(), "mprotect",
                                    "the shared memory cannot be opened");
  procpool__process_enter(&old);
  p->fds.base = base;
  p->fds.opened = (size_t)s->arena_at;
  procpool__process_leave(&old);
  procpool__platform_set_error(procpool__host_reserve(p, 0, procpool__shm_offset(s, s->cells)));
  if (procpool__platform_error() != 0 || !procpool__host_grow_cells(p, 0)) /* an idle worker looks at the first cell */
    return procpool__open_fail_call(plan, PROCPOOL_MEMORY, procpool__platform_error(),
                                    procpool__platform_error() == PROCPOOL__TOO_LARGE ? "RLIMIT_FSIZE" : "fallocate",
                                    "no shared memory for the workers' rings");
  return true;
}

static bool procpool__open_tables(procpool *p, procpool__plan *plan) {
  const procpool__segment *s = &p->segment;
  p->tasks.owners = (procpool_future **)procpool__platform_pages((size_t)s->capacity * sizeof(*p->tasks.owners));
  p->tasks.free_slots = (uint32_t *)procpool__platform_pages((size_t)s->capacity * sizeof(*p->tasks.free_slots));
  p->tasks.cell_slots = (uint32_t *)procpool__platform_pages((size_t)s->cell_count * sizeof(*p->tasks.cell_slots));
  p->drain.inboxes = (procpool__inbox *)procpool__platform_pages((size_t)s->workers * sizeof(*p->drain.inboxes));
  if (p->tasks.owners == NULL || p->tasks.free_slots == NULL || p->tasks.cell_slots == NULL || p->drain.inboxes == NULL)
    return procpool__open_no_memory(plan, "no memory for the tables");
  return true;
}

static bool procpool__open_header(procpool *p, procpool__plan *plan) {
  procpool__segment *s = &p->segment;
  procpool__header *h = s->header;
  const procpool_options *o = &plan->options;
  unsigned long cpus[PROCPOOL__CPU_SET / sizeof(unsigned long)];
  bool pinned;
  h->magic = PROCPOOL__MAGIC;
  h->version = PROCPOOL_VERSION;
  h->total = s->total;
  h->header_size = sizeof(*h);
  h->workers = (uint64_t)s->workers;
  h->capacity = s->capacity;
  h->ring_size = s->ring_size;
  h->arena_size = s->arena_size;
  h->base = s->host_base;
  h->host_pid = (uint64_t)procpool__platform_pid();
  h->settings.max_tasks = (uint64_t)o->max_tasks_per_child;
  h->settings.strict = o->strict;
  h->settings.core_dumps = o->core_dumps;
  h->settings.once = plan->once;
  h->settings.initializer_limit = (uint64_t)procpool__public_time_limit(o->initializer_limit, 1, 0) * 1000000u;
  h->settings.finalizer_limit = (uint64_t)procpool__public_time_limit(o->finalizer_limit, 1, 0) * 1000000u;
  h->settings.finalizer_wanted = o->finalizer_callback != NULL;
  h->settings.finalizer = procpool__number_of_function(o->finalizer);
  h->settings.depth = procpool__process_record.depth;
  (void)procpool__cpu_allowed(cpus, &pinned);
  h->pinned = pinned;
  memcpy(h->cpu_set, cpus, sizeof(h->cpu_set));
  h->settings.spin_ns = plan->spin_ns;
  h->settings.spin_fixed = o->spin_us > 0;
  h->settings.processors = p->waiting.processors;
  h->settings.nice = (uint64_t)o->nice;
  (void)snprintf(h->name, sizeof(h->name), "%s", o->name);
  h->settings.initializer = procpool__number_of_initializer(o->initializer);
  h->settings.initializer_offset = procpool__number_of(o->initializer_argument);
  if (o->initializer_size > 0) {
    const uint64_t block = procpool__arena_alloc(p, o->initializer_size);
    if (block == PROCPOOL__NO_BLOCK)
      return procpool__open_no_memory(plan, "no shared memory for the initializer's argument");
    memcpy(s->arena + block, o->initializer_argument, o->initializer_size);
    h->settings.initializer_offset = block;
    h->settings.initializer_size = o->initializer_size;
  }
  for (int i = 0; i < s->workers; i++) { /* positions begin at one lap: fresh memory, all zeros, is no record at 0 */
    s->blocks[i].tail = s->blocks[i].consumed = p->drain.inboxes[i].head = s->ring_size;
    *procpool__shm_away(s, i) |= procpool__shm_bit(i);
  }
  s->settings = h->settings;
  return true;
}

/* Frees all that a pool holds; it may be half made. */
static void procpool__open_undo(procpool *p) {
  const procpool__segment *s = &p->segment;
  procpool__process_remove(&p->fds);
  procpool__platform_witness_drop(&p->witness);
  procpool__platform_unmap(s->base, (size_t)s->total);
  procpool__platform_unmap(p->tasks.owners, (size_t)s->capacity * sizeof(*p->tasks.owners));
  procpool__platform_unmap(p->tasks.free_slots, (size_t)s->capacity * sizeof(*p->tasks.free_slots));
  procpool__platform_unmap(p->tasks.cell_slots, (size_t)s->cell_count * sizeof(*p->tasks.cell_slots));
  procpool__platform_unmap(p->drain.inboxes, (size_t)s->workers * sizeof(*p->drain.inboxes));
  procpool__platform_unmap(p->guard, PROCPOOL__PAGE);
  procpool__arena_end(&p->arena);
  procpool__buffer_end(p);
  procpool__memory_forget(&p->memory);
  PROCPOOL_FREE(p->methods.codes);
  if (p->methods.inline_worker != NULL) {
    procpool__aligned_free(p->methods.inline_worker->scratch);
    procpool__worker_forget_failure(p->methods.inline_worker);
  }
  PROCPOOL_FREE(p->methods.threads);
  while (p->callbacks.thrown != NULL) {
    procpool__callback_node *next = p->callbacks.thrown->next;
    procpool__platform_drop_exception(p->callbacks.thrown->context);
    PROCPOOL_FREE(p->callbacks.thrown);
    p->callbacks.thrown = next;
  }
  while (p->futures.slabs != NULL) {
    procpool__slab *next = p->futures.slabs->next;
    procpool__aligned_free(p->futures.slabs);
    p->futures.slabs = next;
  }
  procpool__platform_lock_end(&p->lock);
  p->magic = 0;
  PROCPOOL_FREE(p);
}

/* ==== >>launch ======================================================================================================
 * Runs in:   the host's thread that opens; the go-between; worker threads.
 * Writes:    as >>open.
 * Calls:     >>open, and all above it.
 * Always:    open returns when every worker is started, or when none is left. */

/* ---- starting workers ---- */

/* Makes what goes between host and supervisor. False (error, *call) where there are no descriptors to be had. */
static bool procpool__open_pairs(procpool__process_pool *f, const char **call) {
  const struct {
    const char *call;
    bool (*make)(int *fds);
    int *ends[2]; /* of a pipe: to read from, to write to */
  } pairs[] = {{"pipe2", procpool__platform_pipe, {&f->far_lifeline, &f->lifeline}},
               {"socketpair", procpool__platform_channel, {&f->control, &f->far_control}},
               {"pipe2", procpool__platform_bell, {&f->all_gone, &f->far_all_gone}}};
  for (size_t i = 0; i < sizeof(pairs) / sizeof(*pairs); i++) {
    int fds[2];
    const bool made = pairs[i].make(fds);
    *pairs[i].ends[0] = fds[0];
    *pairs[i].ends[1] = fds[1];
    *call = pairs[i].call;
    if (!made)
      return false;
  }
  return true;
}

/* The same of what the host waits for among other descriptors. */
static bool procpool__open_watch(procpool *p, const char **call) {
  *call = "eventfd2";
  p->fds.event_fd = procpool__platform_event();
  if (p->fds.event_fd < 0)
    return false;
  *call = "epoll_create1";
  p->fds.watch = procpool__platform_watch();
  if (p->fds.watch < 0)
    return false;
  *call = "epoll_ctl";
  if (!procpool__platform_watch_add(p->fds.watch, p->fds.event_fd, false))
    return false;
  return p->fds.all_gone < 0 || procpool__platform_watch_add(p->fds.watch, p->fds.all_gone, true);
}

/* Makes what tells the supervisor that the host has ended, whatever children it leaves: as far as this kernel has such.
 * False (error, *call) where only the room for it is missing: a pool without its guards would be no pool. */
static bool procpool__open_guards(procpool *p, const char **call) {
  *call = "pidfd_open";
  p->fds.host_pidfd = procpool__platform_pidfd(procpool__platform_pid());
  if (p->fds.host_pidfd < 0 && procpool__platform_scarce(procpool__platform_error()))
    return false;
  p->fds.witness = procpool__platform_witness(&p->witness, call);
  return p->fds.witness >= 0 || !procpool__platform_scarce(procpool__platform_error());
}

/* Makes the descriptors that a pool of this start method needs. */
static bool procpool__open_descriptors(procpool *p, procpool__plan *plan) {
  const bool processes = plan->start <= PROCPOOL_START_SPAWN;
  procpool__signals old;
  bool made;
  procpool__process_enter(&old);
  made = (!processes || procpool__open_pairs(&p->fds, &plan->call)) && procpool__open_watch(p, &plan->call) &&
         (!processes || procpool__open_guards(p, &plan->call));
  procpool__process_leave(&old);
  return made || procpool__open_fail_call(plan, PROCPOOL_SYSTEM, procpool__platform_error(), plan->call,
                                          "no descriptors to be had");
}

/* What a supervisor gets of it. */
static void procpool__open_fork_args(const procpool *p, procpool__fork_args *args) {
  procpool__supervisor *u = &args->super;
  memset(args, 0, sizeof(*args));
  u->segment = p->segment;
  u->fds = p->fds;
  u->fds.next = NULL;
  u->fds.opened = 0;
}

/* Runs in the go-between, as if it were the host's thread, whose memory it shares as a rule. */
static int procpool__open_born(void *context, procpool__pid pid, const char **call) {
  const procpool__supervisor *u = (const procpool__supervisor *)context;
  procpool__signals old;
  int error;
  procpool__process_enter(&old);
  error = procpool__supervisor_introduce(u->fds.far_control, pid, call);
  procpool__process_leave(&old);
  return error;
}

/* The C library has a lock for its exit handlers, which its fork does not take: a child forked while this thread holds
 * it could never register one, nor exit. So both calls are sections, where that does not keep a fork waiting for ever:
 * see procpool__platform_catch_exit. */
static bool procpool__open_catch_exit(void *mark) {
  procpool__signals old;
  bool caught;
  procpool__process_enter(&old);
  caught = procpool__supervisor_catch_exit(procpool__process_record.depth, mark);
  procpool__process_leave(&old);
  return caught;
}
static void procpool__open_release_exit(void *mark) {
  procpool__signals old;
  procpool__process_enter(&old);
  procpool__platform_release_exit(mark);
  procpool__process_leave(&old);
}

/* Forks the supervisor. */
static int procpool__open_fork(procpool *p, procpool__plan *plan, procpool__fork_args *args) {
  procpool__platform_launch launch;
  procpool__supervisor *u = &args->super;
  const size_t size = (size_t)plan->workers * sizeof(procpool__child);
  const procpool_options *o = &plan->options;
  void *mark = procpool__platform_exit_mark(&launch);
  procpool__signals old;
  int error = PROCPOOL__NO_MEMORY;
  plan->call = "malloc";
  memset(&launch, 0, sizeof(launch));
  args->close_fds = o->close_fds;
  args->keep = (int *)PROCPOOL_MALLOC((o->keep_fds_count + PROCPOOL__SUPERVISOR_FDS) * sizeof(int));
  u->children = (procpool__child *)procpool__platform_pages(size);
  if (args->keep != NULL && u->children != NULL) {
    for (size_t i = 0; i < o->keep_fds_count; i++)
      if (o->keep_fds[i] > 2)
        args->keep[args->keep_count++] = o->keep_fds[i];
    launch.function = procpool__supervisor_main;
    launch.argument = args;
    launch.born = procpool__open_born;
    launch.born_context = u;
    procpool__platform_block_signals(&old); /* no handler of this thread's forks while it is the launcher */
    p->fds.launcher = procpool__platform_self();
    if (procpool__open_catch_exit(mark))
      error = procpool__platform_detach(&launch);
    procpool__open_release_exit(mark);
    p->fds.launcher = 0;
    procpool__platform_restore_signals(&old);
    plan->call = launch.call;
  }
  procpool__platform_unmap(u->children, size);
  PROCPOOL_FREE(args->keep);
  return error;
}

/* What the program is started with as argv[0]: exec writes to no argument, though it does not promise so. */
static char *procpool__open_argument(const procpool__plan *plan, char *name) {
  char *argument = name;
  if (plan->options.worker_path != NULL)
    memcpy((void *)&argument, (const void *)&plan->options.worker_path, sizeof(argument));
  return argument;
}

/* Starts the program again, or the one at worker_path, with a marker in its environment that says what it is and which
 * descriptors it has. It proves the marker whichever program it is: what counts is whom the go-between started. */
static int procpool__open_spawn(procpool__plan *plan, procpool__supervisor *u) {
  procpool__platform_launch launch;
  procpool__header *h = u->segment.header;
  procpool__marker marker;
  char text[192], name[16];
  char *argv[2] = {NULL, NULL};
  int fds[PROCPOOL__SUPERVISOR_FDS], error;
  memset(&launch, 0, sizeof(launch));
  plan->call = "getsockopt"; /* as the new process will ask; who refuses it here refuses it there */
  error = procpool__platform_channel_of(u->fds.far_control, procpool__platform_pid());
  if (error != 0)
    return error;
  h->host_pid = (uint64_t)procpool__platform_pid();
  h->cookie = procpool__platform_random();
  procpool__store32(&h->addressee, 0);
  marker.total = u->segment.total;
  marker.place = plan->place;
  marker.cookie = h->cookie;
  marker.depth = (unsigned)h->settings.depth + 1;
  marker.fds = u->fds;
  procpool__marker_write(&marker, text, sizeof(text));
  memcpy(name, h->name, sizeof(name));
  argv[0] = procpool__open_argument(plan, name);
  launch.path = plan->options.worker_path;
  launch.argv = argv;
  launch.environment = procpool__platform_environment(text);
  launch.fds = fds;
  launch.fd_count = procpool__supervisor_list_fds(&u->fds, fds);
  launch.born = procpool__open_born;
  launch.born_context = u;
  launch.addressee = &h->addressee;
  plan->call = "malloc";
  if (launch.environment == NULL)
    return PROCPOOL__NO_MEMORY;
  error = procpool__platform_detach(&launch);
  plan->call = launch.call;
  PROCPOOL_FREE((void *)launch.environment);
  return error;
}

static bool procpool__code_add(procpool *p, const procpool__platform_code *code) {
  procpool__platform_code *codes;
  codes = (procpool__platform_code *)PROCPOOL_REALLOC(p->methods.codes, (p->methods.code_count + 1) * sizeof(*codes));
  if (codes == NULL)
    return false;
  p->methods.codes = codes;
  codes[p->methods.code_count++] = *code;
  return true;
}

/* A function of ours and where it lies in a file; then, where the workers have that file's code. */
typedef struct procpool__code_search {
  uint64_t function;
  procpool__platform_code code;
  char file[96]; /* the end of its name */
} procpool__code_search;

static bool procpool__code_here(const procpool__platform_code *code, const char *path, void *context) {
  procpool__code_search *search = (procpool__code_search *)context;
  const size_t length = strlen(path), most = sizeof(search->file) - 1;
  if (search->function < code->start || search->function >= code->end)
    return false;
  search->code = *code;
  (void)snprintf(search->file, sizeof(search->file), "%s", path + (length > most ? length - most : 0));
  return true;
}

#define PROCPOOL__CODE_UNKNOWN UINT64_MAX

/* The address that function has in the workers: the same under fork; 0 if a spawned worker has no such code; UNKNOWN
 * (error) if this process's own cannot be looked through, for want of a descriptor. */
static uint64_t procpool__code_translate(procpool *p, procpool_function function) {
  procpool__code_search search;
  procpool__code_seen *seen;
  uint64_t offset, unloads;
  int found;
  search.function = procpool__number_of_function(function);
  if (p->start != PROCPOOL_START_SPAWN)
    return search.function;
  seen = &p->methods.code_seen[(search.function >> 4) % PROCPOOL__CODE_SEEN];
  if (seen->ours == search.function && (seen->lasts || seen->unloads == procpool__platform_unloads()))
    return seen->theirs;
  unloads = procpool__platform_unloads(); /* before the look at what is there */
  found = procpool__platform_each_code(procpool__code_here, &search);
  if (found <= 0)
    return found < 0 ? PROCPOOL__CODE_UNKNOWN : 0;
  offset = search.function - search.code.start + search.code.offset;
  for (size_t i = 0; i < p->methods.code_count; i++) {
    const procpool__platform_code *c = &p->methods.codes[i];
    if (c->device != search.code.device || c->inode != search.code.inode || c->inode == 0 || offset < c->offset ||
        offset - c->offset >= c->end - c->start)
      continue;
    seen->ours = search.function;
    seen->theirs = c->start + (offset - c->offset);
    seen->unloads = unloads;
    seen->lasts = procpool__platform_is_program(&search.code);
    return seen->theirs;
  }
  return 0;
}

/* Where the workers have a function of the options; 0: there is none. what: the error if they have no such code. */
static bool procpool__open_translate(procpool *p, procpool__plan *plan, uint64_t function, const char *what,
                                     procpool__u64 *address) {
  *address = function != 0 ? procpool__code_translate(p, procpool__function_of(function)) : 0;
  if (*address == PROCPOOL__CODE_UNKNOWN)
    return procpool__open_fail(plan, PROCPOOL_SYSTEM, procpool__platform_error(), "/proc/self/maps cannot be read");
  return *address != 0 || function == 0 || procpool__open_fail(plan, PROCPOOL_NO_FUNCTION, 0, what);
}

/* Answers a spawned supervisor that has told all of its code. */
static bool procpool__open_begin(procpool *p, procpool__plan *plan) {
  procpool__settings *h = &p->segment.header->settings;
  if (!procpool__open_translate(p, plan, procpool__number_of_initializer(plan->options.initializer),
                                "the initializer is not in the program that workers run", &h->initializer) ||
      !procpool__open_translate(p, plan, procpool__number_of_function(plan->options.finalizer),
                                "the finalizer is not in the program that workers run", &h->finalizer))
    return false;
  return procpool__host_tell(p, PROCPOOL__MESSAGE_BEGIN, 0, 0) ||
         procpool__open_fail(plan, PROCPOOL_SYSTEM, procpool__platform_error(),
                             "the supervisor could not be told to begin");
}

/* The program at worker_path ended, or did not come up in time, before it came to the door. */
static bool procpool__open_no_door(procpool__plan *plan, bool ended) {
  const char *path = plan->options.worker_path;
  const size_t length = strlen(path), most = 60;
  char text[PROCPOOL__MESSAGE];
  (void)snprintf(text, sizeof(text), "the program at options.worker_path (%s) %s procpool_worker_main() %s",
                 path + (length > most ? length - most : 0), ended ? "ended, and never called" : "did not come to call",
                 ended ? "of this version of procpool.h" : "in time (30 s)");
  return procpool__open_fail(plan, PROCPOOL_NO_WORKER_MAIN, ended ? 0 : PROCPOOL__TIMED_OUT, text);
}

/* Why nothing more comes from a supervisor: main is to blame only where nothing else is known to be. */
static bool procpool__open_silence(procpool__plan *plan, int polled, int error) {
  if (polled < 0)
    return procpool__open_fail_call(plan, PROCPOOL_SYSTEM, error, "ppoll", "the supervisor cannot be waited for");
  if (polled == 0 && plan->options.worker_path != NULL && !plan->heard)
    return procpool__open_no_door(plan, false);
  if (polled == 0)
    return procpool__open_fail(plan, PROCPOOL_SPAWN_FAIL, PROCPOOL__TIMED_OUT,
                               "the supervisor did not come up within 30 s");
  if (error != 0 && error != PROCPOOL__FULL && error != PROCPOOL__RESET)
    return procpool__open_fail_call(plan, PROCPOOL_SYSTEM, error,
                                    procpool__platform_scarce(error) ? "recvmsg" : "recvfrom",
                                    "the supervisor cannot be heard");
  if (plan->start == PROCPOOL_START_FORK)
    return procpool__open_fail(plan, PROCPOOL_SPAWN_FAIL, 0, "the supervisor ended before its workers were there");
  if (plan->options.worker_path != NULL && !plan->heard)
    return procpool__open_no_door(plan, true);
  return procpool__open_fail(plan, PROCPOOL_SPAWN_FAIL, 0,
                             "the supervisor did not come up: does main call procpool_worker_main() first? May the "
                             "program's file be executed, and its libraries be read?");
}

static bool procpool__open_refused(procpool__plan *plan, const procpool__message *m) {
  const char *const calls[] = {"fork (clone)", "rt_sigaction", "openat of /proc/self/maps"};
  const char *const texts[] = {"a worker process could not be started", "the supervisor could not hear of deaths",
                               "the workers' code cannot be found"};
  const uint64_t call = m->b <= PROCPOOL__CALL_MAPS ? m->b : (uint64_t)PROCPOOL__CALL_FORK;
  return procpool__open_fail_call(plan, PROCPOOL_SPAWN_FAIL, (int)m->a, calls[call], texts[call]);
}

/* What the supervisor says before all is well. False where it will not be. */
static bool procpool__open_hear(procpool *p, procpool__plan *plan, const procpool__message *m) {
  plan->place_taken = m->kind == PROCPOOL__MESSAGE_TAKEN;
  if (plan->place_taken)
    return procpool__open_fail(plan, PROCPOOL_SPAWN_FAIL, 0, "the segment's place is taken there");
  if (m->kind == PROCPOOL__MESSAGE_THREADS)
    return procpool__open_fail(plan, PROCPOOL_THREADS, 0,
                               "the program has threads before main (a library's constructor starts them): workers "
                               "cannot be copies of it");
  if (m->kind == PROCPOOL__MESSAGE_CODE && !procpool__code_add(p, &m->code))
    return procpool__open_no_memory(plan, "no memory");
  if (m->kind == PROCPOOL__MESSAGE_ATTACHED)
    return procpool__open_begin(p, plan);
  return m->kind != PROCPOOL__MESSAGE_STARTED || m->a == 0 || procpool__open_refused(plan, m);
}

/* Takes in what the supervisor, or the go-between, says next, and notes the descriptor that comes along with it. */
static int procpool__open_receive(procpool *p, procpool__message *m) {
  procpool__signals old;
  int with, got;
  procpool__process_enter(&old);
  got = procpool__platform_receive(p->fds.control, m, sizeof(*m), &with, false);
  if (got > 0 && m->kind == PROCPOOL__MESSAGE_SELF && p->fds.supervisor < 0)
    p->fds.supervisor = with;
  else
    procpool__platform_close(&with);
  procpool__process_leave(&old);
  return got;
}

#ifndef PROCPOOL__COME_UP /* tests make it short */
#define PROCPOOL__COME_UP ((uint64_t)30000000000u)
#endif

/* Hears the supervisor out until its workers are started or it has failed, and the go-between, which may be the later
 * of the two although it has ended. */
static bool procpool__open_handshake(procpool *p, procpool__plan *plan) {
  const uint64_t deadline = procpool__platform_now() + PROCPOOL__COME_UP; /* long: main may do much before the door */
  bool good = true, introduced = false, started = false;
  while (!introduced || (good && !started)) {
    procpool__source sources[2]; /* what it said before its end is heard first */
    procpool__message m;
    int got;
    sources[0] = procpool__platform_source(p->fds.control);
    sources[1] = procpool__platform_source(p->fds.supervisor);
    procpool__platform_set_error(0);
    if (!procpool__platform_await(sources, 2, deadline))
      return good && procpool__open_silence(plan, procpool__platform_error() == 0 ? 0 : -1, procpool__platform_error());
    got = procpool__open_receive(p, &m);
    if (got <= 0)
      return good && procpool__open_silence(plan, 1, procpool__platform_error());
    introduced = introduced || m.kind == PROCPOOL__MESSAGE_SELF;
    plan->heard = plan->heard || m.kind != PROCPOOL__MESSAGE_SELF;
    started = started || m.kind == PROCPOOL__MESSAGE_STARTED;
    good = good && procpool__open_hear(p, plan, &m);
  }
  return good;
}

/* Starts the supervisor and hears that its workers are there. Else it is gone. */
static bool procpool__open_supervisor(procpool *p, procpool__plan *plan) {
  procpool__fork_args args;
  procpool__signals old;
  int error;
  if (!procpool__open_descriptors(p, plan))
    return false;
  procpool__open_fork_args(p, &args);
  error = plan->start == PROCPOOL_START_FORK ? procpool__open_fork(p, plan, &args)
                                             : procpool__open_spawn(plan, &args.super);
  procpool__process_enter(&old);
  procpool__process_close_far(&p->fds);
  procpool__process_leave(&old);
  if (error != 0)
    (void)procpool__open_fail_call(plan, PROCPOOL_SPAWN_FAIL, error, plan->call,
                                   "the supervisor could not be started (why: system_error)");
  else if (procpool__open_handshake(p, plan))
    return true;
  procpool__host_await_end(p); /* it may have been started before the go-between failed */
  procpool__platform_reap_adopted(p->fds.supervisor);
  return false;
}

/* How often a program is started to find one that has room where the host has the segment: what lies where is chosen at
 * random by the kernel each time. */
enum { PROCPOOL__PLACE_TRIES = 6 };

static bool procpool__open_processes(procpool *p, procpool__plan *plan) {
  procpool__signals old;
  procpool__supervisor_find_exit_list();
  for (int i = 0;; i++) {
    plan->place = i < PROCPOOL__PLACE_TRIES ? p->segment.host_base : 0;
    plan->place_taken = plan->heard = false; /* of this start: one that fails for another reason is not tried again */
    if (procpool__open_supervisor(p, plan))
      return true;
    if (!plan->place_taken)
      return false;
    procpool__process_enter(&old); /* the far ends are closed already, and the memory stays */
    procpool__process_close_near(&p->fds);
    procpool__platform_close(&p->fds.event_fd);
    procpool__platform_close(&p->fds.watch);
    procpool__process_leave(&old);
    memset(&plan->error, 0, sizeof(plan->error));
  }
}

/* ---- threads and the inline worker ---- */

static void procpool__thread_loop(void *worker) {
  procpool__worker_loop((procpool__worker *)worker);
}

/* Runs in a worker thread: the last one to go, or to fail its initializer, says so. */
static void *procpool__thread_main(void *argument) {
  procpool__thread *t = (procpool__thread *)argument;
  procpool__header *h = t->pool->segment.header;
  bool ready;
  if (h->pinned)
    procpool__cpu_use(h->cpu_set);
  ready = procpool__worker_initialize(&t->worker);
  while (ready && !procpool__platform_run_to_end(procpool__thread_loop, &t->worker))
    procpool__worker_report_death(&t->worker);
  if (__atomic_sub_fetch(&h->alive, 1, __ATOMIC_SEQ_CST) == 0) {
    if (!ready) {
      procpool__store_signed_relaxed(&h->cause_code, t->worker.block->init_code);
      procpool__store_signed_relaxed(&h->cause_worker, t->worker.index);
      procpool__store32(&h->health, PROCPOOL__HEALTH_INIT_FAIL);
    }
    if (ready ||
        procpool__load32(&h->phase) != PROCPOOL__PHASE_RUN) /* else a shutdown says it, if it has not already */
      procpool__store32(&h->gone, 1);
    procpool__shm_wake_host(&t->pool->segment, t->worker.event_fd);
  }
  return NULL;
}

/* Sets up the workers that are threads of the host: new ones, or each that calls. */
static bool procpool__open_inside(procpool *p, procpool__plan *plan) {
  const size_t size = (size_t)plan->workers * sizeof(*p->methods.threads);
  if (!procpool__open_descriptors(p, plan))
    return false;
  p->methods.threads = (procpool__thread *)PROCPOOL_MALLOC(size);
  if (p->methods.threads == NULL)
    return procpool__open_no_memory(plan, "no memory for the workers");
  memset((void *)p->methods.threads, 0, size);
  for (int i = 0; i < plan->workers; i++) {
    procpool__worker *w = &p->methods.threads[i].worker;
    p->methods.threads[i].pool = p;
    procpool__worker_setup(w, &p->segment, i, p->fds.event_fd, false);
    w->guard = p->guard;
  }
  p->segment.header->alive = (uint64_t)plan->workers;
  return true;
}

static bool procpool__open_threads(procpool *p, procpool__plan *plan) {
  int error = 0;
  if (!procpool__open_inside(p, plan))
    return false;
  for (int i = 0; i < plan->workers && error == 0; i++) {
    procpool__thread *t = &p->methods.threads[i];
    p->segment.blocks[i].pid = (uint64_t)procpool__platform_pid();
    error = procpool__platform_thread_start(&t->thread, procpool__thread_main, t, plan->options.stack_size);
    t->started = error == 0;
  }
  if (error == 0)
    return true;
  procpool__store32(&p->segment.header->phase, PROCPOOL__PHASE_KILL);
  procpool__shm_wake_workers(&p->segment);
  procpool__host_join_threads(p);
  return procpool__open_fail_call(plan, PROCPOOL_SPAWN_FAIL, error, "pthread_create (clone, mprotect)",
                                  "a worker thread could not be started");
}

static bool procpool__open_inline(procpool *p, procpool__plan *plan) {
  procpool__worker *const outer = procpool__thread_worker; /* in a task: of another pool */
  const char *text;
  bool ready;
  if (!procpool__open_inside(p, plan))
    return false;
  p->methods.inline_worker = &p->methods.threads[0].worker;
  p->methods.inline_worker->make_room = procpool__host_make_room;
  p->methods.inline_worker->make_room_context = p;
  ready = procpool__worker_initialize(p->methods.inline_worker);
  procpool__thread_worker = outer;
  if (ready)
    return true;
  text = p->methods.inline_worker->failure.message;
  (void)procpool__open_fail(plan, PROCPOOL_INIT_FAIL, 0, text[0] != '\0' ? text : "the initializer failed");
  plan->error.code = (int)p->segment.blocks[0].init_code;
  return false;
}

static bool procpool__open_workers(procpool *p, procpool__plan *plan) {
  if (plan->start == PROCPOOL_START_THREAD)
    return procpool__open_threads(p, plan);
  if (plan->start == PROCPOOL_START_INLINE)
    return procpool__open_inline(p, plan);
  return procpool__open_processes(p, plan);
}

/* What nothing can stand in for. */
static bool procpool__open_probe(procpool__plan *plan) {
  const int error = procpool__platform_no_futex();
  return error == 0 ||
         procpool__open_fail_call(plan, PROCPOOL_SYSTEM, error, "futex", "no thread could sleep or be woken");
}

static procpool *procpool__open_make(procpool__plan *plan) {
  procpool *p = procpool__process_begin() ? (procpool *)PROCPOOL_MALLOC(sizeof(*p)) : NULL;
  bool made;
  if (p == NULL) {
    (void)procpool__open_no_memory(plan, "no memory");
    return NULL;
  }
  memset((void *)p, 0, sizeof(*p));
  procpool__platform_lock_init(&p->lock);
  procpool__host_lock(p); /* what reserves memory may let go of it */
  p->segment.fd = -1;
  procpool__process_no_pool(&p->fds);
  procpool__process_add(&p->fds);
  p->start = plan->start;
  procpool__spin_setup(&p->waiting.spin, plan->spin_ns, plan->options.spin_us > 0);
  p->tasks.time_limit = procpool__public_time_limit(plan->options.time_limit, 1, 0);
  p->tasks.grace = procpool__public_grace(plan->options.grace, 100);
  p->callbacks.finalizer = plan->options.finalizer_callback;
  p->callbacks.finalizer_context = plan->options.finalizer_context;
  procpool__open_count(p, plan);
  p->audit.since = procpool__platform_now();
  p->audit.gap = PROCPOOL__TICK;
  p->loop.timer_due = PROCPOOL__NEVER;
  p->audit.due = p->audit.since + PROCPOOL__TICK;
  p->guard = procpool__platform_guard();
  made = (p->guard != NULL || procpool__open_no_memory(plan, "no memory")) && procpool__open_probe(plan) &&
         procpool__open_segment(p, plan) && procpool__open_tables(p, plan) && procpool__open_header(p, plan) &&
         procpool__open_workers(p, plan);
  procpool__host_unlock(p);
  if (!made) {
    procpool__open_undo(p);
    return NULL;
  }
  p->magic = PROCPOOL__POOL_LIVE;
  return p;
}

/* once: see procpool__plan. */
static procpool *procpool__open(const procpool_options *options, int version, size_t options_size, bool once) {
  procpool__plan plan;
  procpool *p = NULL;
  const int cancel = procpool__platform_no_cancel(); /* the supervisor and its workers inherit that: none ends by it */
  memset(&plan, 0, sizeof(plan));
  plan.once = once;
  if (version / 100 != PROCPOOL_VERSION / 100 || options_size != sizeof(*options))
    (void)procpool__open_fail(&plan, PROCPOOL_MISMATCH, 0, NULL);
  else if (procpool__open_plan(&plan, options))
    p = procpool__open_make(&plan);
  /* error is the first field in every version, so it may be used even in a mismatch: its status at least */
  if (options != NULL && options->error != NULL) {
    if (plan.error.status == PROCPOOL_MISMATCH)
      options->error->status = PROCPOOL_MISMATCH;
    else
      *options->error = plan.error;
  }
  if (p == NULL)
    procpool__last_refusal(&plan.error);
  procpool__platform_cancel_as(cancel);
  return p;
}

PROCPOOL_API procpool *procpool_open_checked(const procpool_options *options, int version, size_t options_size) {
  return procpool__open(options, version, options_size, false);
}

PROCPOOL_API void procpool_worker_main(void) {
  const char *text = getenv(PROCPOOL__MARKER);
  procpool__supervisor super;
  procpool__marker marker;
  procpool__proof proof;
  bool whole;
  procpool__process_record.door = true;
  if (text == NULL)
    return;
  whole = procpool__marker_read(&marker, text);
  procpool__platform_forget_environment(PROCPOOL__MARKER);
  if (!whole || procpool__platform_privileged())
    return;
  proof = procpool__marker_prove(&marker);
  /* where a pool's own process cannot prove that it is one (a kernel that tells no credentials, say), it goes on as the
   * program, and opens a pool in its turn: that comes to an end as nested pools do */
  if (proof == PROCPOOL__PROOF_NONE && marker.depth <= PROCPOOL__MAX_DEPTH)
    procpool__process_record.depth = marker.depth;
  if (proof == PROCPOOL__PROOF_OTHER)
    procpool__process_close(&marker.fds); /* they are the pool's, and would keep it from its end */
  if (proof != PROCPOOL__PROOF_MINE)
    return;
  procpool__marker_take(&marker, &super);
  procpool__supervisor_spawned(&super, marker.total, marker.place);
}

/* ==== >>enter =======================================================================================================
 * Runs in:   the host, in each call.
 * Writes:    the lock, the count of who is inside, and the descriptor for event loops.
 * Calls:     >>waiting, >>launch.
 * Always:    one way in and one way out: no thread frees a pool while another is inside, and none leaves with
 *            the lock. */

/* ---- entering and leaving ----
 * Every call of a pool or of a future begins and ends here. A thread that is inside may look at the segment without the
 * lock, while it spins, sleeps or copies: procpool_free waits until it is the only one. */

/* Takes the lock, of a pool that a future or an iterator keeps: it may have been freed by now. */
static void procpool__public_lock(procpool *p) {
  procpool__host_lock(p);
  p->life.inside++;
}

/* The same within a call that was outside. A child has nothing to take in. */
static bool procpool__public_relock(procpool *p) {
  const bool here = procpool__host_relock(p);
  p->life.inside++;
  return here;
}

static procpool_status procpool__public_enter_future(procpool_future *f) {
  const procpool_status status = procpool__host_check_future(f);
  if (status == PROCPOOL_OK)
    procpool__public_lock(f->pool);
  return status;
}

/* ---- the descriptor for event loops ---- It watches the pool's event, which workers and supervisor ring; the
 * supervisor's end; and a timer. The loop may be all that ever looks after the pool, so the timer makes it look for
 * nonsense that workers have written: only while tasks are not settled, and the more rarely the longer nothing comes
 * about. What another call of the host has taken in, or leaves to do, makes the timer readable at once. */

/* After each public call. */
static void procpool__loop_settle_in(procpool *p) {
  uint64_t due;
  const bool busy =
      p->fds.control >= 0 && (p->tasks.submitted != p->tasks.settled || p->life.phase != PROCPOOL__PHASE_RUN);
  /* a call in a task has left callbacks; one in a callback need not tell: who runs that goes on with them */
  if (procpool__host_idles(p) || (p->callbacks.first_due != NULL && procpool__host_depth(p) == 0))
    procpool__loop_tell(p);
  if (busy && p->audit.due == PROCPOOL__NEVER) /* another thread is at it, and comes here too */
    return;
  if (busy && !p->loop.looked_after)
    p->audit.due = procpool__platform_now() + PROCPOOL__TICK;
  else if (busy && p->audit.gap > PROCPOOL__TICK)
    (void)procpool__host_quiet(p, procpool__platform_now());
  p->loop.looked_after = busy;
  due = busy ? p->audit.due : PROCPOOL__NEVER;
  if (p->loop.told || p->loop.timer_due == due)
    return;
  procpool__platform_timer_set(p->fds.timer_fd, due);
  p->loop.timer_due = due;
}

/* The loop looks: what comes from now on makes the descriptor readable again. */
static void procpool__loop_begin_poll(procpool *p) {
  if (p->fds.loop_fd < 0)
    return;
  procpool__host_silence(p);
  p->loop.told = false;
  p->loop.polling = true;
  if (!p->life.finished)
    procpool__host_arm(p);
}

/* Lets go of the lock; and of everything, if the pool was freed and this was the last future that was held. Returns
 * status, so that a call can end with it; in a child that came back into the call, FORKED. */
static procpool_status procpool__public_leave_slowly(procpool *p, procpool_status status) {
  void *thrown_away;
  bool last;
  if (__atomic_load_n(&p->magic, __ATOMIC_RELAXED) == PROCPOOL__POOL_CHILD) {
    procpool__host_unlock(p);
    return procpool__host_told(PROCPOOL_FORKED);
  }
  if (p->arena.warm > PROCPOOL__EXTENT_WARM) {
    procpool__arena_trim(p, false);
    procpool__host_pass_room(p);
  }
  thrown_away = p->futures.thrown_away;
  p->futures.thrown_away = NULL;
  last = --p->life.inside == 0 && procpool__host_freed(p) && p->futures.live == 0;
  procpool__host_pass_callbacks(p);
  if (p->fds.loop_fd >= 0)
    procpool__loop_settle_in(p);
  if (__atomic_load_n(&p->magic, __ATOMIC_RELAXED) != PROCPOOL__POOL_LIVE)
    procpool__host_hand_over(p); /* procpool_free waits for those who are inside */
  procpool__host_unlock(p);
  procpool__future_free_thrown_away(thrown_away);
  if (last)
    procpool__open_undo(p);
  return procpool__host_told(status);
}

/* The same; mostly there is nothing to do but to let go of the lock. */
static inline procpool_status procpool__public_leave(procpool *p, procpool_status status) {
  if (p->arena.warm > PROCPOOL__EXTENT_WARM || p->futures.thrown_away != NULL || p->callbacks.first_due != NULL ||
      p->fds.loop_fd >= 0 || __atomic_load_n(&p->magic, __ATOMIC_RELAXED) != PROCPOOL__POOL_LIVE)
    return procpool__public_leave_slowly(p, status);
  p->life.inside--;
  procpool__host_unlock(p);
  return procpool__host_told(status);
}

/* Holds a pool beyond procpool_free, as a future does; until let_go. */
static void procpool__public_hold(procpool *p) {
  procpool__public_lock(p);
  p->futures.live++;
  (void)procpool__public_leave(p, PROCPOOL_OK);
}
static void procpool__public_let_go(procpool *p) {
  (void)procpool__public_relock(p);
  p->futures.live--;
  (void)procpool__public_leave(p, PROCPOOL_OK);
}

/* A thread that found the handle good may have waited for the lock until all was freed but a future. */
static procpool_status procpool__public_enter(procpool *p) {
  const procpool_status status = procpool__host_told(procpool__host_check(p));
  if (status != PROCPOOL_OK)
    return status;
  procpool__public_lock(p);
  return procpool__host_freed(p) ? procpool__public_leave(p, PROCPOOL_HANDLE) : PROCPOOL_OK;
}

/* The same for what consists of several calls, until procpool__public_let_go. */
static procpool_status procpool__public_enter_held(procpool *p) {
  const procpool_status status = procpool__public_enter(p);
  if (status != PROCPOOL_OK)
    return status;
  p->futures.live++;
  return procpool__public_leave(p, PROCPOOL_OK);
}

/* The same for a call that may have run callbacks: what they threw leaves it now. */
static procpool_status procpool__public_leave_throwing(procpool *p, procpool_status status) {
  void *thrown = p->callbacks.thrown != NULL ? procpool__host_take_thrown(p) : NULL;
  status = procpool__public_leave(p, status);
  if (thrown == NULL)
    return status;
  procpool__platform_throw(thrown);
  return status;
}

/* Waits; but in a callback or a task of the pool it only looks, for that may be what all others wait for. */
static procpool_status procpool__public_wait(procpool *p, procpool__wait *w) {
  if (!procpool__host_self(p))
    return procpool__host_wait(p, w);
  (void)procpool__host_drain(p);
  if (w->condition(p, w->context))
    return procpool__host_wait(p, w);
  return w->deadline > 0 ? PROCPOOL_DEADLOCK : PROCPOOL_PENDING;
}

/* ==== >>submit ======================================================================================================
 * Runs in:   the host, with the lock; large arguments are copied without it.
 * Writes:    slots, cells and arguments of tasks that no worker can have yet; the pool.
 * Calls:     >>enter, >>arena, and all above it.
 * Always:    a task is accepted when its cell is written, and not before; what is refused has changed nothing. */

/* One task to be submitted, or several that differ in their arguments alone. */
typedef struct procpool__order {
  procpool_function function;
  uint64_t address; /* of the function in the workers; 0 until it was looked for */
  const void *argument;
  size_t size;
  uint32_t flags;        /* PROCPOOL__SLOT_*, but for the grace */
  uint32_t limit, grace; /* milliseconds */
  uint64_t deadline;     /* with SLOT_DATED: the instant, */
  uint32_t nearest;      /* and ms until that or the limit can be over at the earliest */
  uint64_t block;        /* the argument's block, already filled; NO_BLOCK: there is none */
  bool copied;           /* it is this order's own, and goes to the task; else it is a map's */
  void *result;          /* with SLOT_PLACE: where the result goes */
  size_t capacity;
  size_t index;               /* the future's; of several, of the next one */
  void *user;                 /* theirs */
  procpool_callback callback; /* or null */
  uint64_t shared, place;     /* SLOT_SHARED, SLOT_PLACE: where argument and result lie in the arena */
  procpool_future *future;    /* out: of the last task accepted */
  procpool_status status;     /* out */
  int error;                  /* out: the system's error, where the status is SYSTEM */
  /* several: each one's bytes lie behind those of the one before */
  bool quiet;   /* an imap's: it may wait for memory instead of telling that there is none */
  bool several; /* the caller looks for sleepers, by procpool__submit_look */
  size_t count, accepted;
  procpool_future **futures; /* out; or null: the results are given up */
  uint64_t spare;            /* see procpool__wait */
} procpool__order;

#define PROCPOOL__NOT_A_NUMBER "a time is not a number"
#define PROCPOOL__NO_PLACE "there is no place for the result: the pointer to it is null"
#define PROCPOOL__NO_ITERATOR "there is no place for the iterator: the pointer to it is null"
#define PROCPOOL__OTHER_OPTIONS                                                                                        \
  "struct_size is neither 0 nor the size of these options: zero them first, or compile all files with one procpool.h"

/* There is no memory to be had. A pool that has ended meanwhile takes none: then that is why. */
static procpool_status procpool__submit_no_pages(const procpool *p) {
  return p->life.refusal != PROCPOOL_OK ? p->life.refusal : PROCPOOL_MEMORY;
}

/* Whether there is a free slot, the last of free_slots, and a writable cell, their memory reserved. FULL when there is
 * none now. */
static procpool_status procpool__submit_place(procpool *p) {
  const procpool__segment *s = &p->segment;
  const uint64_t cell = p->tasks.position & (s->cell_count - 1);
  if (p->tasks.free_count == 0 && p->tasks.slots_used == s->capacity)
    return PROCPOOL_FULL;
  if (!procpool__host_cell_free(p))
    return PROCPOOL_FULL;
  if (p->tasks.free_count == 0) {
    if (!procpool__host_grow(p, s->slots, s->capacity * sizeof(procpool__slot), &p->reserved.slots,
                             (p->tasks.slots_used + 1) * sizeof(procpool__slot)))
      return procpool__submit_no_pages(p);
    p->tasks.free_slots[p->tasks.free_count++] = (uint32_t)p->tasks.slots_used++;
  }
  if (p->tasks.position < s->cell_count && !procpool__host_grow_cells(p, cell))
    return procpool__submit_no_pages(p);
  return PROCPOOL_OK;
}

/* Reserves the deadlines of all slots that there are, and of one more: in steps so short that the lock is not let go. */
static bool procpool__submit_grow_deadlines(procpool *p) {
  const procpool__segment *s = &p->segment;
  const uint64_t slots = p->tasks.slots_used < s->capacity ? p->tasks.slots_used + 1 : s->capacity;
  while (p->reserved.deadlines < slots * sizeof(uint64_t))
    if (!procpool__host_grow(p, s->deadlines, s->capacity * sizeof(uint64_t), &p->reserved.deadlines,
                             p->reserved.deadlines + 1))
      return false;
  return true;
}

/* Where in the arena the array of this task's and the next ones' arguments or results begins, if the order has that
 * flag. False if it does not lie in a live shared buffer. */
static bool procpool__submit_find(const procpool *p, const procpool__order *o, unsigned flag, const void *array,
                                  size_t size, uint64_t *offset) {
  size_t bytes;
  return !(o->flags & flag) || (procpool__size_product(o->count - o->accepted, size, &bytes) &&
                                procpool__buffer_find(p, array, bytes, offset) == PROCPOOL__WHERE_BUFFER);
}

/* There is no memory for so many bytes. While some is to come back, since tasks have it, or calls for them, that is
 * only FULL; not for more than half of all. To a callback nothing comes back that the call holds which runs it, nor
 * what others hold that may wait in their callbacks alike. It may also be that the pool has ended meanwhile. */
static procpool_status procpool__submit_no_memory(const procpool *p, uint64_t size) {
  const uint64_t held = p->arena.held - (procpool__host_self(p) ? p->arena.stuck : 0);
  const procpool_status status = procpool__submit_no_pages(p);
  const bool some = p->tasks.submitted != p->tasks.settled || held > 0;
  return status == PROCPOOL_MEMORY && some && size <= p->segment.arena_size / 2 ? PROCPOOL_FULL : status;
}

/* This call ends, or waits: what it held is there for another thread. One that was told to wait for the memory that
 * this call was about to take looks again, too. */
static void procpool__submit_give_up(procpool *p, procpool_status status) {
  p->arena.returned += status == PROCPOOL_MEMORY;
  procpool__host_pass_room(p);
}

/* Copies the argument to where the worker reads it. */
static procpool_status procpool__submit_argument(procpool *p, const procpool__order *o, procpool__slot *slot,
                                                 procpool_future *f) {
  const bool placed = (o->flags & PROCPOOL__SLOT_PLACE) != 0;
  uint64_t offset = o->shared;
  f->block_size = o->size;
  if (placed) {
    slot->argument.place.offset = o->place;
    slot->argument.place.capacity = o->capacity;
    f->result.data = o->result;
    f->size = o->capacity;
    f->flags |= PROCPOOL__F_PLACE;
  }
  if (!(o->flags & PROCPOOL__SLOT_SHARED)) {
    if (o->block != PROCPOOL__NO_BLOCK) {
      f->block = o->block;
      f->flags |= (uint8_t)(o->copied ? 0 : PROCPOOL__F_KEEP_BLOCK);
    } else if (o->size <= (placed ? (size_t)PROCPOOL__INLINE_BESIDE : (size_t)PROCPOOL__INLINE_BYTES)) {
      slot->size = o->size | (uint64_t)o->index << PROCPOOL__SIZE_BITS;
      if (o->size > 0)
        memcpy(slot->argument.bytes, o->argument, o->size);
      return PROCPOOL_OK;
    } else {
      f->block = procpool__arena_alloc(p, o->size);
      if (f->block == PROCPOOL__NO_BLOCK)
        return procpool__submit_no_memory(p, o->size);
      procpool__copy_over(&p->copying, p->segment.arena + f->block, o->argument, o->size);
    }
    offset = f->block;
  }
  slot->size = o->size | PROCPOOL__SIZE_FAR;
  slot->argument.place.argument[0] = offset;
  slot->argument.place.argument[1] = o->index;
  return PROCPOOL_OK;
}

/* Calls one worker. Where more are awake than there are processors, another one would mostly find no task left, and
 * keep those from work: so none is called while one is coming, who then calls the next one (>>working). */
static bool procpool__submit_call(const procpool *p, bool here) {
  const procpool__segment *s = &p->segment;
  const bool crowded = procpool__shm_crowded(s);
  return !(crowded && procpool__shm_any_coming(s)) && procpool__shm_call(s, here, crowded) != PROCPOOL__CALLED_NONE;
}

/* Wakes workers while there are more tasks than workers that need no waking. Each of those has one task at most, so
 * if they are as many, one of them is free for every task that waits, and looks at the queue before it sleeps.
 * (Should it be killed or stopped instead, the supervisor wakes all.) Mostly one at a time, but not always: a
 * worker that is about to sleep, and finds a task instead, was counted as awake for that one and as asleep for the
 * next. */
static void procpool__submit_wake(const procpool *p, bool here) {
  int woken = 0; /* the masks may be scribbled upon: this comes to an end */
  if (procpool__shm_sleeper(&p->segment, UINT32_MAX, true) < 0) /* wherever it ran last */
    return;
  while (woken < p->segment.workers && p->tasks.submitted - p->tasks.settled > procpool__shm_awake(&p->segment) &&
         procpool__submit_call(p, here))
    woken++;
}

/* Enters the task into the private tables; then it becomes visible: first its word, then its cell. A worker that is
 * about to sleep sees the cell, or is seen idle: here, or by procpool__submit_look where this is one of several. The
 * supervisor that shall see to a limit is looked for at once. */
static void procpool__submit_publish(procpool *p, const procpool__order *o) {
  const procpool__segment *s = &p->segment;
  procpool_future *f = o->future;
  const uint64_t at = p->tasks.position & (s->cell_count - 1);
  const uint64_t ticket = ++p->tasks.position;
  const uint32_t slot = p->tasks.free_slots[--p->tasks.free_count];
  f->ticket = ticket;
  f->slot = slot;
  __atomic_store_n(&p->tasks.last_slot, slot, __ATOMIC_RELAXED);
  p->tasks.owners[slot] = f;
  p->futures.held++;
  if (f->callbacks != NULL) {
    p->callbacks.expected++;
    procpool__host_rouse(p);
  }
  p->tasks.cell_slots[at] = slot + 1;
  __atomic_store_n(&p->tasks.submitted, p->tasks.submitted + 1, __ATOMIC_RELAXED);
  procpool__store_release(&s->slots[slot].word, procpool__word(ticket, 0, PROCPOOL__READY));
  if (p->methods.inline_worker != NULL)
    procpool__host_next_turn(p); /* a thread that found nothing to run may run this */
  if (o->several && f->limit == 0)
    procpool__store_release(&s->cells[at], procpool__cell(ticket, slot));
  else
    (void)procpool__exchange(&s->cells[at], procpool__cell(ticket, slot));
  if (!o->several)
    procpool__submit_wake(p, true);
  procpool__host_check_ticking(p, f, (o->flags & PROCPOOL__SLOT_DATED) != 0);
}

/* Whether anything is accepted, and where the function lies in the workers: that is found once per order. */
static procpool_status procpool__submit_locate(procpool *p, procpool__order *o) {
  uint64_t address;
  if (p->life.refusal != PROCPOOL_OK)
    return p->life.refusal;
  address = o->address != 0 ? o->address : procpool__code_translate(p, o->function);
  if (address == 0)
    return PROCPOOL_NO_FUNCTION;
  if (address == PROCPOOL__CODE_UNKNOWN) {
    o->error = procpool__platform_error();
    return PROCPOOL_SYSTEM;
  }
  o->address = address;
  return PROCPOOL_OK;
}

/* A large argument is copied before it is given a place, and the lock is let go meanwhile. Nothing is copied while
 * there is no place; one that is copied stays, should the place be gone by then. */
static procpool_status procpool__submit_copy(procpool *p, procpool__order *o) {
  procpool_status status;
  if (o->size <= PROCPOOL__EXTENT || o->block != PROCPOOL__NO_BLOCK || (o->flags & PROCPOOL__SLOT_SHARED))
    return PROCPOOL_OK;
  status = procpool__submit_place(p);
  if (status != PROCPOOL_OK)
    return status;
  o->block = procpool__arena_hold(p, o->size);
  if (o->block == PROCPOOL__NO_BLOCK)
    return procpool__submit_no_memory(p, o->size);
  o->copied = true;
  procpool__host_unlock(p);
  procpool__copy_over(&p->copying, p->segment.arena + o->block, o->argument, o->size);
  (void)procpool__host_relock(p);
  return p->life.refusal;
}

/* The callback of the options. False where there is no memory for it. */
static bool procpool__submit_callback(const procpool__order *o, procpool_future *f) {
  procpool__callback_node *node = (procpool__callback_node *)PROCPOOL_MALLOC(sizeof(*node));
  if (node == NULL)
    return false;
  node->function = o->callback;
  node->context = o->user;
  node->next = NULL;
  f->callbacks = node;
  return true;
}

/* Fills a slot and makes a future: all of a task but that it can be seen. */
static procpool_status procpool__submit_fill(procpool *p, procpool__order *o) {
  procpool__slot *shared;
  procpool_future *f;
  procpool_status status = procpool__submit_copy(p, o);
  if (status == PROCPOOL_OK && !(procpool__submit_find(p, o, PROCPOOL__SLOT_SHARED, o->argument, o->size, &o->shared) &&
                                 procpool__submit_find(p, o, PROCPOOL__SLOT_PLACE, o->result, o->capacity, &o->place)))
    status = PROCPOOL_ARGUMENT;
  if (status == PROCPOOL_OK && (o->flags & PROCPOOL__SLOT_DATED) && !procpool__submit_grow_deadlines(p))
    status = procpool__submit_no_pages(p);
  if (status == PROCPOOL_OK)
    status = procpool__submit_place(p);
  if (status != PROCPOOL_OK)
    return status;
  f = procpool__future_new(p);
  if (f == NULL)
    return PROCPOOL_MEMORY;
  f->index = o->index;
  f->user = o->user;
  shared = &p->segment.slots[p->tasks.free_slots[p->tasks.free_count - 1]];
  status = o->callback == NULL || procpool__submit_callback(o, f) ? procpool__submit_argument(p, o, shared, f)
                                                                  : PROCPOOL_MEMORY;
  if (status != PROCPOOL_OK) {
    f->refs = 1;
    procpool__future_unref(p, f);
    return status;
  }
  shared->function = o->address;
  f->limit = o->limit;
  if (o->flags & PROCPOOL__SLOT_DATED)
    procpool__store_relaxed(&p->segment.deadlines[shared - p->segment.slots], o->deadline);
  procpool__store32_relaxed(&shared->limit, o->limit); /* published, as all here, by the word's release */
  procpool__store32_relaxed(&shared->flags, o->flags | (o->grace << PROCPOOL__SLOT_GRACE));
  if (f->limit > 0)
    procpool__host_count_limit(p, (o->flags & PROCPOOL__SLOT_DATED) ? o->nearest : o->limit);
  procpool__buffer_enter(p, f);
  o->future = f;
  if (o->copied) {
    o->block = PROCPOOL__NO_BLOCK;
    o->copied = false;
    p->arena.held--; /* it is the task's now */
  }
  return PROCPOOL_OK;
}

static procpool_status procpool__submit_now(procpool *p, procpool__order *o) {
  procpool_status status = procpool__submit_locate(p, o);
  if (status == PROCPOOL_OK)
    status = procpool__submit_fill(p, o);
  if (status == PROCPOOL_OK)
    procpool__submit_publish(p, o);
  return status;
}

/* ---- several at once ---- */

enum {
  PROCPOOL__BATCH_TASKS = 64,   /* after so many tasks at most, */
  PROCPOOL__BATCH_BYTES = 65536 /* or so many bytes of arguments, those who sleep are woken for them */
};

/* The result is given up: the handle is given back before it is handed out. */
static void procpool__submit_unwanted(procpool *p, procpool_future *f) {
  f->flags |= PROCPOOL__F_RELEASED;
  p->futures.held--;
  procpool__future_unref(p, f);
}

/* Hands the task's future out, and goes on to the next one. */
static void procpool__submit_next(procpool *p, procpool__order *o) {
  if (o->futures != NULL)
    o->futures[o->accepted] = o->future;
  else
    procpool__submit_unwanted(p, o->future);
  o->accepted++;
  o->index++;
  if (o->argument != NULL)
    o->argument = (const unsigned char *)o->argument + o->size;
  if (o->result != NULL)
    o->result = (unsigned char *)o->result + o->capacity;
}

/* Before a look for sleepers. The cells were stored with release; a worker that sets its bit after this
 * read-modify-write of the same word has acquired them by it and sees them, one that set it before is seen by the look;
 * one that is coming and clears its bit afterwards sees them too, one that cleared it before is not relied on. */
static void procpool__submit_touch(const procpool *p) {
  for (int i = 0; i < p->segment.workers; i += 64) {
    (void)procpool__or(procpool__shm_idle(&p->segment, i), 0);
    (void)procpool__or(procpool__shm_coming(&p->segment, i), 0);
  }
}

/* Wakes who is to run what was handed out. more: there is more to hand out, and a last look comes after it; until then
 * no worker is woken that would take this very processor. */
static void procpool__submit_look(const procpool *p, bool more) {
  procpool__submit_touch(p);
  procpool__submit_wake(p, !more);
}

/* What is left waits for room. It need not come one by one: the queue is refilled when there is room for all of it, or
 * half of the queue is empty. */
static void procpool__submit_be_patient(const procpool *p, procpool__order *o) {
  const uint64_t unsettled = p->tasks.submitted - p->tasks.settled, left = (uint64_t)(o->count - o->accepted);
  o->spare = left < unsettled / 2 ? unsettled - left : unsettled / 2;
}

/* As many as there is room for now. The first one wakes a sleeper at once, so that it begins while the rest is being
 * written; the next ones after ever more tasks. */
static procpool_status procpool__submit_several(procpool *p, procpool__order *o) {
  procpool_status status = procpool__submit_locate(p, o);
  const size_t before = o->accepted;
  size_t group = 1, tasks = 0, bytes = 0;
  while (status == PROCPOOL_OK && o->accepted < o->count) {
    status = procpool__submit_now(p, o);
    if (status != PROCPOOL_OK)
      break;
    procpool__submit_next(p, o);
    tasks++;
    bytes += o->size;
    if (tasks < group && bytes < PROCPOOL__BATCH_BYTES)
      continue;
    procpool__submit_look(p, true);
    group = group < PROCPOOL__BATCH_TASKS ? 2 * group : group;
    tasks = bytes = 0;
    if (o->accepted % PROCPOOL__STRETCH < PROCPOOL__BATCH_TASKS)
      procpool__host_breathe(p);
  }
  if (o->accepted > before)
    procpool__submit_look(p, false);
  if (status == PROCPOOL_FULL)
    procpool__submit_be_patient(p, o);
  return status;
}

static bool procpool__submit_condition(procpool *p, void *context) {
  procpool__order *o = (procpool__order *)context;
  o->status = o->several ? procpool__submit_several(p, o) : procpool__submit_now(p, o);
  return o->status != PROCPOOL_FULL;
}

static procpool_status procpool__submit_refused(procpool *p, const procpool__order *o) {
  char text[PROCPOOL__MESSAGE];
  procpool__code_search search;
  if (o->status == PROCPOOL_FULL || o->status == PROCPOOL_INTERRUPTED || (o->quiet && o->status == PROCPOOL_MEMORY))
    return o->status; /* answers, and what the caller may get over */
  search.function = procpool__number_of_function(o->function);
  if (o->status == PROCPOOL_ARGUMENT)
    return procpool__host_refuse(p, o->status, 0, "argument or result lie in no live shared buffer of this pool");
  if (o->status != PROCPOOL_NO_FUNCTION)
    return procpool__host_refuse(p, o->status, o->error, NULL);
  memset(&search.code, 0, sizeof(search.code));
  search.file[0] = 0;
  (void)procpool__platform_each_code(procpool__code_here, &search);
  (void)snprintf(text, sizeof(text), "%s+%#llx: no such code in the program that workers run (loaded by dlopen?)",
                 search.file, (unsigned long long)(search.function - search.code.start + search.code.offset));
  return procpool__host_refuse(p, PROCPOOL_NO_FUNCTION, 0, text);
}

/* Submits under the lock; waits for room until deadline. */
static procpool_status procpool__submit_order(procpool *p, procpool__order *o, uint64_t deadline) {
  procpool_status waited = PROCPOOL_OK;
  if (!procpool__submit_condition(p, o)) {
    procpool__wait wait;
    if (procpool__host_in_task(p))
      deadline = 0; /* those who could make room are this very task, and others that may wait alike */
    wait = procpool__host_wait_for(p, procpool__submit_condition, o, deadline, PROCPOOL__WAIT_ROOM);
    wait.spare = &o->spare;
    waited = procpool__host_wait(p, &wait);
  }
  if (waited == PROCPOOL_INTERRUPTED || waited == PROCPOOL_MEMORY || waited == PROCPOOL_FORKED)
    o->status = waited;
  if (o->copied)
    procpool__arena_unhold(p, o->block, o->size);
  if (o->status != PROCPOOL_OK)
    procpool__submit_give_up(p, o->status);
  return o->status == PROCPOOL_OK ? PROCPOOL_OK : procpool__submit_refused(p, o);
}

/* A task with a deadline in so many seconds always has a limit, so that what looks after limits looks after deadlines:
 * where it has none of its own, one that is not over before the deadline is, since no body begins before this. It
 * counts for a worker that is stopped between claim and body. Where no task can be ended there is none. */
static void procpool__submit_date(const procpool *p, procpool__order *o, double seconds) {
  const uint32_t ms = seconds > 0 ? procpool__public_time_limit(seconds, 1, 0) : 1;
  const uint32_t limit = ms > PROCPOOL__LATE / 1000000u ? ms : (uint32_t)(PROCPOOL__LATE / 1000000u);
  if (ms == 0) /* longer than a limit can be */
    return;
  o->deadline = procpool__public_deadline(seconds);
  o->flags |= PROCPOOL__SLOT_DATED;
  if (p->start > PROCPOOL_START_SPAWN)
    return;
  o->nearest = o->limit == 0 || ms < o->limit ? ms : o->limit;
  o->limit = o->limit == 0 || limit < o->limit ? limit : o->limit;
}

/* options: null for the pool's limit and grace; the timeout is the caller's affair. */
static void procpool__submit_make_order(const procpool *p, procpool__order *o, procpool_function function,
                                        const void *argument, size_t size, const procpool_submit_options *options) {
  o->function = function; /* one by one: a memset of it all costs as much as the rest of this */
  o->address = 0;
  o->argument = argument;
  o->size = size;
  o->future = NULL;
  o->error = 0;
  o->quiet = false;
  o->several = false;
  o->count = 1;
  o->accepted = 0;
  o->spare = 0;
  o->futures = NULL;
  o->block = PROCPOOL__NO_BLOCK;
  o->copied = false;
  o->result = NULL;
  o->capacity = 0;
  o->index = 0;
  o->user = NULL;
  o->callback = NULL;
  o->flags = argument == NULL ? (uint32_t)PROCPOOL__SLOT_NO_ARGUMENT : 0;
  o->limit = p->tasks.time_limit;
  o->deadline = PROCPOOL__NEVER;
  o->grace = p->tasks.grace;
  if (options == NULL)
    return;
  o->limit = procpool__public_time_limit(options->time_limit, 1, p->tasks.time_limit);
  o->grace = procpool__public_grace(options->grace, p->tasks.grace);
  if (options->deadline != 0)
    procpool__submit_date(p, o, options->deadline);
  o->result = options->result;
  o->capacity = options->result_size;
  o->user = options->user;
  o->callback = options->callback;
  o->flags |= options->shared_argument ? (uint32_t)PROCPOOL__SLOT_SHARED : 0;
  o->flags |= options->result != NULL ? (uint32_t)PROCPOOL__SLOT_PLACE : 0;
}

/* Checks what the caller gave, and submits under the lock. */
static procpool_status procpool__submit_checked(procpool *p, procpool__order *o, uint64_t deadline) {
  if (o->function == NULL || (o->argument == NULL && o->size > 0) || !procpool__size_possible(1, o->size) ||
      (o->result == NULL && o->capacity > 0))
    return procpool__host_refuse(
        p, PROCPOOL_ARGUMENT, 0,
        "the function is null; or argument or result has a size but is null, or no memory is that large");
  if (o->limit > 0 && p->start > PROCPOOL_START_SPAWN)
    return procpool__host_refuse(p, PROCPOOL_UNSUPPORTED, 0,
                                 "a time limit needs fork or spawn: no thread can be ended");
  return procpool__submit_order(p, o, deadline);
}

static procpool_status procpool__submit_check_options(const procpool_submit_options *options) {
  if (options == NULL)
    return PROCPOOL_OK;
  if (procpool__host_mismatch(options->struct_size, sizeof(*options)))
    return procpool__host_told(procpool__host_refuse(NULL, PROCPOOL_MISMATCH, 0, PROCPOOL__OTHER_OPTIONS));
  if (options->timeout != options->timeout || options->time_limit != options->time_limit ||
      options->grace != options->grace || options->deadline != options->deadline)
    return procpool__host_wrong(PROCPOOL__NOT_A_NUMBER);
  return PROCPOOL_OK;
}

/* A result that can be asked for by no handle and no callback is dropped. */
static void procpool__submit_discard(procpool__order *o, const void *handles) {
  if (handles == NULL && o->callback == NULL)
    o->flags |= PROCPOOL__SLOT_DISCARD;
}

/* ---- pointers among the arguments of typed functions ---- In a worker process they mean nothing, but those into
 * shared buffers. */

enum { PROCPOOL__POINTERS = 8 }; /* arguments that a typed function has at most */

/* Whether all pointers of an item are null or lead into live buffers; else text (as large as an error's message) says
 * which does not. number: of the item; SIZE_MAX: there is but this one. Under the lock. */
static bool procpool__pointers_hold(const procpool *p, procpool__pointers pointers, const void *item, size_t number,
                                    char *text) {
  const void *to[PROCPOOL__POINTERS];
  const char *name, *function;
  char of_item[40] = "";
  uint64_t offset;
  int i = 0;
  memset((void *)to, 0, sizeof(to));
  name = function = pointers(item, to);
  while (i < PROCPOOL__POINTERS &&
         (to[i] == NULL || procpool__buffer_find(p, to[i], 0, &offset) == PROCPOOL__WHERE_BUFFER))
    i++;
  if (i == PROCPOOL__POINTERS)
    return true;
  for (int skipped = 0; skipped <= i; skipped++)
    name += strlen(name) + 1;
  if (number != SIZE_MAX)
    (void)snprintf(of_item, sizeof(of_item), " of item %llu", (unsigned long long)number);
  (void)snprintf(text, PROCPOOL__MESSAGE,
                 "%s: argument %s%s points to no shared buffer: use procpool_shared_alloc, or uintptr_t for an address "
                 "that means the same in every process",
                 function, name, of_item);
  return false;
}

static bool procpool__pointers_matter(const procpool *p, procpool__pointers pointers) {
  return pointers != NULL && p->start <= PROCPOOL_START_SPAWN;
}

/* ---- one task ---- */

/* What a submit is for, besides what its caller says of the task. */
typedef struct procpool__purpose {
  size_t index;                /* what procpool_future_index is to return */
  procpool__pointers pointers; /* among the arguments; null: none is one, or that does not matter */
  bool waits;                  /* a call: it holds the future from the start, for a callback may release it */
} procpool__purpose;

/* Under the lock. In a callback or a task of the pool a call could not wait. */
static procpool_status procpool__submit_admit(procpool *p, const procpool__purpose *purpose, const void *argument) {
  char text[PROCPOOL__MESSAGE];
  if (purpose->waits && procpool__host_self(p))
    return procpool__host_refuse(p, PROCPOOL_DEADLOCK, 0, NULL);
  if (procpool__pointers_matter(p, purpose->pointers) &&
      !procpool__pointers_hold(p, purpose->pointers, argument, SIZE_MAX, text))
    return procpool__host_refuse(p, PROCPOOL_ARGUMENT, 0, text);
  return PROCPOOL_OK;
}

static procpool_status procpool__submit_for(procpool *pool, const procpool__purpose *purpose,
                                            procpool_function function, const void *argument, size_t size,
                                            const procpool_submit_options *options, procpool_future **future) {
  procpool__order o;
  procpool_status status = procpool__submit_check_options(options);
  if (future != NULL)
    *future = NULL;
  if (status == PROCPOOL_OK)
    status = procpool__public_enter(pool);
  if (status != PROCPOOL_OK)
    return status;
  status = procpool__submit_admit(pool, purpose, argument);
  if (status != PROCPOOL_OK)
    return procpool__public_leave(pool, status);
  procpool__submit_make_order(pool, &o, function, argument, size, options);
  o.index = purpose->index;
  procpool__submit_discard(&o, future);
  status = procpool__submit_checked(pool, &o, procpool__public_patience(options != NULL ? options->timeout : 0));
  if (status == PROCPOOL_OK && future != NULL)
    *future = o.future;
  else if (status == PROCPOOL_OK)
    procpool__submit_unwanted(pool, o.future);
  if (status == PROCPOOL_OK && purpose->waits)
    o.future->refs++;
  return procpool__public_leave(pool, status);
}

PROCPOOL_API procpool_status procpool_submit(procpool *pool, procpool_function function, const void *argument,
                                             size_t size, const procpool_submit_options *options,
                                             procpool_future **future) {
  const procpool__purpose purpose = {0, NULL, false};
  return procpool__submit_for(pool, &purpose, function, argument, size, options, future);
}

/* For maps of C++ whose items are tasks of their own. */
PROCPOOL_API procpool_status procpool__submit_item(procpool *pool, procpool_function function, const void *argument,
                                                   size_t size, size_t index, procpool_future **future) {
  const procpool__purpose purpose = {index, NULL, false};
  return procpool__submit_for(pool, &purpose, function, argument, size, NULL, future);
}

PROCPOOL_API procpool_status procpool_submit_many(procpool *pool, procpool_function function, const void *arguments,
                                                  size_t size, size_t count, const procpool_submit_options *options,
                                                  procpool_future **futures, size_t *submitted) {
  procpool__order o;
  procpool_status status = procpool__submit_check_options(options);
  const bool possible = arguments == NULL || procpool__size_possible(count, size);
  if (submitted != NULL)
    *submitted = 0;
  if (futures != NULL && !procpool__size_possible(count, sizeof(procpool_future *)))
    return procpool__host_wrong("no array is that large");
  if (futures != NULL && count > 0)
    memset((void *)futures, 0, count * sizeof(procpool_future *));
  if (status == PROCPOOL_OK)
    status = procpool__public_enter(pool);
  if (status != PROCPOOL_OK)
    return status;
  if (!possible)
    return procpool__public_leave(pool, procpool__host_refuse(pool, PROCPOOL_ARGUMENT, 0, "no array is that large"));
  procpool__submit_make_order(pool, &o, function, arguments, size, options);
  o.several = true;
  o.count = count;
  o.futures = futures;
  procpool__submit_discard(&o, futures);
  status = procpool__submit_checked(pool, &o, procpool__public_patience(options != NULL ? options->timeout : 0));
  if (submitted != NULL)
    *submitted = o.accepted;
  return procpool__public_leave(pool, status);
}

/* Looks at count items, size bytes apart, under the lock, which others may have now and then. False, and text, where one
 * is wrong; true also where the call itself will be refused. */
static bool procpool__pointers_check(procpool *p, procpool__pointers pointers, const void *items, size_t size,
                                     size_t count, char *text) {
  if (!procpool__pointers_matter(p, pointers) || items == NULL || !procpool__size_possible(count, size))
    return true;
  for (size_t i = 0; i < count && p->life.refusal == PROCPOOL_OK; i++) {
    if (i % PROCPOOL__STRETCH == 0)
      procpool__host_breathe(p);
    if (!procpool__pointers_hold(p, pointers, (const unsigned char *)items + i * size, i, text))
      return false;
  }
  return true;
}

/* ---- why a typed submit was refused ---- It returns a handle, and there is none to tell by: so each thread remembers
 * its last refused one, until it asks for the result of that null handle. */

static procpool_status procpool__typed_refused(procpool_status status) {
  if (status == PROCPOOL_FULL || status == PROCPOOL_INTERRUPTED) /* no other call tells these */
    (void)procpool__host_refuse(NULL, status, 0, NULL);
  if (status != PROCPOOL_OK)
    procpool__thread_last.refused = status;
  return status;
}

PROCPOOL_API procpool_future *procpool__typed_submit(procpool *pool, procpool_function function, const void *argument,
                                                     size_t size, const procpool_submit_options *options,
                                                     procpool__pointers pointers) {
  const procpool__purpose purpose = {0, pointers, false};
  procpool_future *future;
  (void)procpool__typed_refused(procpool__submit_for(pool, &purpose, function, argument, size, options, &future));
  return future;
}

/* What consists of several calls holds the pool meanwhile: another thread may free it. No callback runs in these. */
PROCPOOL_API procpool_status procpool__typed_submit_many(procpool *pool, procpool_function function,
                                                         const void *arguments, size_t size, size_t count,
                                                         procpool_future **futures,
                                                         const procpool_submit_options *options,
                                                         procpool__pointers pointers) {
  char text[PROCPOOL__MESSAGE];
  procpool_status status = procpool__public_enter(pool);
  for (size_t i = 0; i < count && futures != NULL; i++)
    futures[i] = NULL;
  if (status != PROCPOOL_OK)
    return procpool__typed_refused(status);
  pool->futures.live++;
  if (!procpool__pointers_check(pool, pointers, arguments, size, count, text))
    status = procpool__host_refuse(pool, PROCPOOL_ARGUMENT, 0, text);
  status = procpool__public_leave(pool, status);
  if (status == PROCPOOL_OK)
    status = procpool_submit_many(pool, function, arguments, size, count, options, futures, NULL);
  procpool__public_let_go(pool);
  return procpool__typed_refused(status);
}

/* One string to a function of strings. */
static procpool_status procpool__string_submit(procpool *pool, size_t index, procpool_function function,
                                               const char *string, const procpool_submit_options *options,
                                               procpool_future **future) {
  const procpool__purpose purpose = {index, NULL, false};
  if (future != NULL)
    *future = NULL;
  if (string == NULL)
    return procpool__host_wrong("the string is null");
  return procpool__submit_for(pool, &purpose, function, string, strlen(string) + 1, options, future);
}

PROCPOOL_API procpool_future *procpool__typed_submit_string(procpool *pool, procpool_function function,
                                                            const char *string,
                                                            const procpool_submit_options *options) {
  procpool_future *future;
  (void)procpool__typed_refused(procpool__string_submit(pool, 0, function, string, options, &future));
  return future;
}

/* What is left of a time in options: none that is over is 0. */
static double procpool__string_left(double seconds, double passed) {
  return seconds <= 0 ? seconds : seconds > passed ? seconds - passed : -1;
}

/* The options of the string with that index, as procpool_submit_many gives them to a task: each has its own place for
 * the result, and the time-out is for all of them. begin: when the call began. */
static procpool_submit_options procpool__string_options(const procpool_submit_options *options, size_t index,
                                                        uint64_t begin) {
  procpool_submit_options own = *options;
  if (own.result != NULL)
    own.result = (unsigned char *)own.result + index * own.result_size;
  if (begin != 0) {
    const double passed = (double)(procpool__platform_now() - begin) * 1e-9;
    own.timeout = procpool__string_left(own.timeout, passed);
    own.deadline = procpool__string_left(own.deadline, passed);
  }
  return own;
}

PROCPOOL_API procpool_status procpool__typed_submit_strings(procpool *pool, procpool_function function,
                                                            const char *const *strings, size_t count,
                                                            procpool_future **futures,
                                                            const procpool_submit_options *options) {
  const bool timed = options != NULL && (options->timeout > 0 || options->deadline > 0);
  const uint64_t begin = timed ? procpool__platform_now() : 0;
  procpool_submit_options own;
  procpool_status status = procpool__submit_check_options(options);
  for (size_t i = 0; i < count && futures != NULL && procpool__size_possible(count, sizeof(*strings)); i++)
    futures[i] = NULL;
  if (status == PROCPOOL_OK)
    status = procpool__public_enter_held(pool);
  if (status != PROCPOOL_OK)
    return procpool__typed_refused(status);
  if ((strings == NULL && count > 0) || !procpool__size_possible(count, sizeof(*strings)))
    status = procpool__host_wrong("the list of strings is null");
  for (size_t i = 0; i < count && status == PROCPOOL_OK; i++) {
    if (options != NULL)
      own = procpool__string_options(options, i, begin);
    status = procpool__string_submit(pool, i, function, strings[i], options != NULL ? &own : NULL,
                                     futures != NULL ? &futures[i] : NULL);
  }
  procpool__public_let_go(pool);
  return procpool__typed_refused(status);
}

/* ==== >>pool ========================================================================================================
 * Runs in:   the host.
 * Writes:    as >>host.
 * Calls:     >>submit, and all above it.
 * Always:    no call of a pool that was freed looks at it. */

/* ---- shared buffers ---- */

/* There was no memory. What has come may free some; and while another thread gives pages back to the system, neither
 * these nor their place can be had: that takes the kernel a moment, and no longer. */
static void *procpool__shared_retry(procpool *p, size_t size) {
  (void)procpool__host_drain(p);
  for (;;) {
    const uint64_t returned = p->arena.returned; /* some may come back while this one lets go of the lock to try */
    void *buffer = procpool__buffer_new(p, size);
    if (buffer != NULL || (p->arena.leaving == 0 && p->arena.returned == returned))
      return buffer;
    if (p->arena.leaving > 0)
      procpool__host_await_turn(p, NULL);
  }
}

PROCPOOL_API void *procpool_shared_alloc(procpool *pool, size_t size) {
  procpool_status status;
  void *buffer = NULL;
  procpool__platform_cancel_here();
  if (procpool__public_enter(pool) != PROCPOOL_OK)
    return NULL;
  if (pool->life.refusal == PROCPOOL_OK) {
    buffer = procpool__buffer_new(pool, size);
    if (buffer == NULL)
      buffer = procpool__shared_retry(pool, size);
  }
  status = buffer != NULL ? PROCPOOL_OK : procpool__submit_no_pages(pool);
  if (buffer == NULL)
    (void)procpool__host_refuse(pool, status, status == PROCPOOL_MEMORY ? pool->arena.error : 0, NULL);
  return procpool__public_leave(pool, status) == PROCPOOL_FORKED ? NULL : buffer;
}

PROCPOOL_API procpool_status procpool_shared_free(procpool *pool, void *buffer) {
  procpool_status status = procpool__public_enter(pool);
  procpool__buffer **at;
  if (status != PROCPOOL_OK)
    return status;
  if (buffer == NULL)
    return procpool__public_leave(pool, PROCPOOL_OK);
  at = procpool__buffer_at(pool, (uint64_t)(uintptr_t)buffer - (uint64_t)(uintptr_t)pool->segment.arena);
  if (*at != NULL)
    procpool__buffer_drop(pool, at);
  else
    status = procpool__host_refuse(pool, PROCPOOL_ARGUMENT, 0, "no live shared buffer of this pool begins there");
  procpool__arena_trim(pool, true);
  procpool__host_pass_room(pool);
  return procpool__public_leave(pool, status);
}

/* ---- the pool's other calls ---- */

static bool procpool__condition_finished(procpool *p, void *context) {
  (void)context;
  return p->life.finished && p->callbacks.first_due == NULL && p->callbacks.frames == NULL;
}

/* Runs one inline task, if there is one and this thread is not within one. */
static void procpool__poll_inline(procpool *p) {
  if (procpool__host_idles(p))
    (void)procpool__host_run_inline(p);
}

/* Takes in what has come, and looks after the pool as a wait does. Runs no callback. */
static procpool_status procpool__poll_look(procpool *p) {
  procpool__poll_inline(p);
  procpool__host_look_after(p, true);
  procpool__host_audit_if_due(p);
  return procpool__host_drain(p);
}

/* context: how many had settled before. */
static bool procpool__condition_polled(procpool *p, void *context) {
  return p->tasks.settled != *(const uint64_t *)context || p->tasks.submitted == p->tasks.settled;
}

/* There was nothing to take in. */
static procpool_status procpool__poll_wait(procpool *p, uint64_t *settled, double timeout) {
  procpool__wait wait;
  if (timeout <= 0)
    return PROCPOOL_PENDING;
  if (procpool__host_self(p))
    return PROCPOOL_DEADLOCK;
  wait = procpool__host_wait_for(p, procpool__condition_polled, settled, procpool__public_deadline(timeout),
                                 PROCPOOL__WAIT_CALLBACKS);
  return procpool__host_wait(p, &wait);
}

PROCPOOL_API procpool_status procpool_poll(procpool *pool, double timeout) {
  procpool_status status;
  uint64_t settled;
  bool idle;
  procpool__platform_cancel_here();
  status = procpool__public_enter(pool);
  if (status != PROCPOOL_OK)
    return status;
  if (procpool__public_bad_timeout(timeout))
    return procpool__public_leave(pool, procpool__host_refuse(pool, PROCPOOL_ARGUMENT, 0, PROCPOOL__NOT_A_NUMBER));
  settled = pool->tasks.settled;
  idle = pool->tasks.submitted == settled && pool->callbacks.first_due == NULL;
  procpool__loop_begin_poll(pool);
  status = procpool__poll_look(pool);
  pool->loop.polling = false;
  procpool__host_run_callbacks(pool);
  procpool__host_hand_over(pool);
  if (status == PROCPOOL_OK && idle)
    status = PROCPOOL_END;
  else if (status == PROCPOOL_OK && !procpool__condition_polled(pool, &settled))
    status = procpool__poll_wait(pool, &settled, timeout);
  return procpool__public_leave_throwing(pool, status);
}

/* A thread whose initializer failed, and which is not replaced; -1: there is none. */
static int procpool__ready_refused(const procpool *p) {
  for (int i = 0; p->methods.threads != NULL && i < p->segment.workers; i++)
    if (procpool__load(&p->segment.blocks[i].life) == PROCPOOL__LIFE_REFUSED)
      return i;
  return -1;
}

/* How far the workers are: OK, PENDING, or why they will not all take tasks. */
static procpool_status procpool__ready_look(const procpool *p) {
  if (p->life.refusal != PROCPOOL_OK)
    return p->life.refusal;
  if (p->drain.health == PROCPOOL__HEALTH_SPAWN_FAIL)
    return PROCPOOL_SPAWN_FAIL;
  if (procpool__ready_refused(p) >= 0)
    return PROCPOOL_INIT_FAIL;
  return procpool__shm_any_away(&p->segment) ? PROCPOOL_PENDING : PROCPOOL_OK;
}

/* Says why they will not. Where the pool is no good any more, or has no worker, that is noted. */
static procpool_status procpool__ready_refuse(procpool *p, procpool_status status) {
  const int worker = p->life.refusal == PROCPOOL_OK ? procpool__ready_refused(p) : -1;
  char text[PROCPOOL__MESSAGE];
  procpool_error error;
  if (worker < 0)
    return procpool__host_refuse(p, status, 0, NULL);
  procpool__host_take_init_message(p, worker, text);
  if (text[0] == '\0')
    (void)snprintf(text, sizeof(text), "the initializer of worker %d returned %d", worker,
                   (int)p->segment.blocks[worker].init_code);
  procpool__error_fill(&error, status, 0, text);
  error.code = (int)p->segment.blocks[worker].init_code;
  error.worker = worker;
  procpool__last_set(&error, NULL);
  return status;
}

static bool procpool__condition_ready(procpool *p, void *context) {
  procpool_status *status = (procpool_status *)context;
  *status = procpool__ready_look(p);
  return *status != PROCPOOL_PENDING;
}

PROCPOOL_API procpool_status procpool_wait_ready(procpool *pool, double timeout) {
  procpool_status status, ready = PROCPOOL_PENDING;
  procpool__wait wait;
  procpool__platform_cancel_here();
  status = procpool__public_enter(pool);
  if (status != PROCPOOL_OK)
    return status;
  if (procpool__public_bad_timeout(timeout))
    return procpool__public_leave(pool, procpool__host_refuse(pool, PROCPOOL_ARGUMENT, 0, PROCPOOL__NOT_A_NUMBER));
  wait = procpool__host_wait_for(pool, procpool__condition_ready, &ready, procpool__public_deadline(timeout),
                                 PROCPOOL__WAIT_CALLBACKS | PROCPOOL__WAIT_READY);
  status = procpool__public_wait(pool, &wait);
  if (status == PROCPOOL_OK && ready != PROCPOOL_OK)
    status = procpool__ready_refuse(pool, ready);
  return procpool__public_leave_throwing(pool, status);
}

/* Makes the descriptor for event loops. False (error) where there is none to be had. */
static bool procpool__loop_open(procpool *p) {
  procpool__process_pool *fds = &p->fds;
  procpool__signals old;
  bool opened;
  procpool__process_enter(&old);
  fds->timer_fd = procpool__platform_timer();
  fds->loop_fd = procpool__platform_watch();
  opened = fds->timer_fd >= 0 && fds->loop_fd >= 0 &&
           procpool__platform_watch_add(fds->loop_fd, fds->timer_fd, false) &&
           procpool__platform_watch_add(fds->loop_fd, fds->watch, false) &&
           (fds->control < 0 || procpool__platform_watch_add(fds->loop_fd, fds->control, false));
  if (!opened) {
    procpool__platform_close(&fds->loop_fd);
    procpool__platform_close(&fds->timer_fd);
  }
  procpool__process_leave(&old);
  return opened;
}

static void procpool__loop_start(procpool *p) {
  if (!procpool__loop_open(p)) {
    (void)procpool__host_refuse(p, PROCPOOL_SYSTEM, procpool__platform_error(),
                                "epoll_create1, epoll_ctl or timerfd_create was refused");
    return;
  }
  procpool__host_count_fd_user(p, 1);
  if (!p->life.finished)
    procpool__host_arm(p);
  if (p->callbacks.first_due != NULL || p->tasks.settled > 0 || (!p->life.finished && procpool__host_news(p, true)))
    procpool__loop_tell(p); /* other calls have taken in what the loop was not told of */
}

PROCPOOL_API int procpool_fd(procpool *pool) {
  int fd;
  if (procpool__public_enter(pool) != PROCPOOL_OK)
    return -1;
  if (pool->fds.loop_fd < 0)
    procpool__loop_start(pool);
  fd = pool->fds.loop_fd;
  (void)procpool__public_leave(pool, PROCPOOL_OK);
  return fd;
}

/* Takes no lock: a signal handler may have interrupted the thread that holds it. procpool_free waits for it all the
 * same. */
PROCPOOL_API void procpool_interrupt(procpool *pool) {
  if (pool == NULL)
    return;
  (void)__atomic_fetch_add(&pool->life.interrupting, 1,
                           __ATOMIC_SEQ_CST); /* before the look whether the pool is freed */
  if (procpool__host_check(pool) == PROCPOOL_OK) {
    procpool__add32(&pool->interrupts.count, 1);
    procpool__shm_wake_host(&pool->segment, pool->fds.event_fd);
    if (__atomic_load_n(&pool->waiting.fd_users, __ATOMIC_RELAXED) >
        0) /* whatever a worker has made of the host's flag */
      procpool__platform_event_set(pool->fds.event_fd);
    (void)__atomic_fetch_add(&pool->waiting.turn, 1, __ATOMIC_SEQ_CST);
    procpool__platform_wake(&pool->waiting.turn, INT_MAX);
  }
  (void)__atomic_fetch_sub(&pool->life.interrupting, 1, __ATOMIC_SEQ_CST);
}

/* ---- shutdown ---- */

static void procpool__shutdown_discard(procpool *p) {
  for (uint64_t i = 0; i < p->tasks.slots_used; i++)
    if (p->tasks.owners[i] != NULL && procpool__host_unwanted(p->tasks.owners[i]))
      procpool__or32_relaxed(&p->segment.slots[i].flags, PROCPOOL__SLOT_DISCARD);
}

/* Says to supervisor, workers and waiting threads what is to happen. */
static void procpool__shutdown_announce(procpool *p, procpool_shutdown_mode mode) {
  const uint32_t phase = mode == PROCPOOL_KILL ? PROCPOOL__PHASE_KILL : PROCPOOL__PHASE_DRAIN;
  p->life.phase = phase > p->life.phase ? phase : p->life.phase;
  p->life.refusal = PROCPOOL_SHUTDOWN;
  if (mode != PROCPOOL_DRAIN)
    procpool__host_take_back(p, mode == PROCPOOL_KILL ? PROCPOOL_SHUTDOWN : PROCPOOL_CANCELLED);
  procpool__shutdown_discard(p);
  procpool__sleeper_wake_all(p); /* who wants room shall hear that there will be none */
  procpool__host_tell_phase(p);  /* the supervisor first: who leaves because of the word is not to be replaced */
  procpool__store32(&p->segment.header->phase, p->life.phase);
  procpool__shm_wake_workers(&p->segment);
  for (int i = 0; i < p->segment.workers; i++) {
    procpool__add32(&p->segment.blocks[i].room_seq, 1);
    procpool__platform_wake(&p->segment.blocks[i].room_seq, 1);
  }
  if (p->methods.threads != NULL && procpool__load(&p->segment.header->alive) == 0)
    procpool__store32(&p->segment.header->gone, 1);
}

/* Waits for the end of all for so long, and not beyond the call's own deadline. Whether that is still to come, and
 * there is time left. */
static bool procpool__shutdown_lingers(procpool *p, const procpool__wait *call, uint64_t ns) {
  const uint64_t patience = procpool__platform_now() + ns;
  procpool__wait wait = *call;
  wait.deadline = call->deadline < patience ? call->deadline : patience;
  return procpool__host_wait(p, &wait) == PROCPOOL_PENDING && procpool__platform_now() < call->deadline;
}

/* By stages, each of which a supervisor that is not held makes unnecessary. One that is stopped is continued by the
 * kernel when the lifeline ends, and ends all. One that a task stops again and again, or traces, is killed, and its
 * workers with it. Where there is no descriptor for that, and where the kernel holds a process, this does not wait any
 * longer. */
static void procpool__shutdown_kill(procpool *p, const procpool__wait *call) {
  if (!procpool__shutdown_lingers(p, call, PROCPOOL__SECOND))
    return;
  procpool__host_let_go(p);
  if (!procpool__shutdown_lingers(p, call, p->life.ends ? PROCPOOL__PATIENCE : PROCPOOL__SECOND))
    return;
  procpool__platform_pidfd_signal(p->fds.supervisor, PROCPOOL__SIGNAL_KILL);
  if (procpool__shutdown_lingers(p, call, PROCPOOL__SECOND) && !p->life.finished)
    procpool__host_finish(p, false);
}

static procpool_status procpool__shutdown_locked(procpool *p, procpool_shutdown_mode mode, uint64_t deadline) {
  const unsigned how = PROCPOOL__WAIT_CALLBACKS | (mode == PROCPOOL_KILL ? (unsigned)PROCPOOL__WAIT_IMMUNE : 0u);
  procpool__wait wait = procpool__host_wait_for(p, procpool__condition_finished, NULL, deadline, how);
  if (!p->life.finished)
    procpool__shutdown_announce(p, mode);
  if (mode == PROCPOOL_KILL && p->fds.control >= 0)
    procpool__shutdown_kill(p, &wait);
  return procpool__host_wait(p, &wait);
}

PROCPOOL_API procpool_status procpool_shutdown(procpool *pool, procpool_shutdown_mode mode, double timeout) {
  procpool_status status;
  procpool__platform_cancel_here();
  status = procpool__public_enter(pool);
  if (status != PROCPOOL_OK)
    return status;
  if ((unsigned)mode > PROCPOOL_KILL || procpool__public_bad_timeout(timeout))
    status = procpool__host_refuse(pool, PROCPOOL_ARGUMENT, 0,
                                   "the mode is none of DRAIN, CANCEL, KILL, or the time is not a number");
  else if (timeout > 0 && procpool__host_self(pool))
    status = PROCPOOL_DEADLOCK;
  else
    status = procpool__shutdown_locked(pool, mode, procpool__public_deadline(timeout));
  return procpool__public_leave_throwing(pool, status);
}

/* Waits until no other thread is inside: all has settled, so that each comes out by itself. Those that are about to
 * take the lock get a turn. */
static void procpool__free_wait_alone(procpool *p) {
  __atomic_store_n(&p->magic, 0, __ATOMIC_SEQ_CST); /* from now on the handle is no good */
  do {
    procpool__host_unlock(p);
    procpool__platform_yield();
    (void)procpool__host_relock(p);
    if (p->life.inside > 1)
      procpool__host_await_turn(p, NULL);
  } while (p->life.inside > 1);
  while (__atomic_load_n(&p->life.interrupting, __ATOMIC_SEQ_CST) != 0 && procpool__host_here(p))
    procpool__platform_yield(); /* a few instructions of another thread */
}

/* Frees all of a pool that its futures and iterators do not hold. *thrown: what a callback has thrown meanwhile; where
 * this fails, nothing has changed. */
static procpool_status procpool__free(procpool *pool, void **thrown) {
  const procpool_status status = procpool__public_enter(pool);
  procpool__signals old;
  if (status != PROCPOOL_OK)
    return status;
  if (procpool__host_self(pool))
    return procpool__public_leave(pool, PROCPOOL_DEADLOCK);
  if (!pool->life.finished)
    (void)procpool__shutdown_locked(pool, PROCPOOL_KILL, PROCPOOL__NEVER);
  procpool__host_run_callbacks(pool);
  if (!procpool__host_is_child(pool))
    procpool__free_wait_alone(pool);
  if (procpool__host_is_child(pool))
    return procpool__public_leave(pool, PROCPOOL_FORKED);
  procpool__process_enter(&old);
  pool->fds.base = NULL;
  pool->fds.opened = 0; /* a child forked from now on has other things there, by and by */
  procpool__process_close(&pool->fds);
  procpool__process_leave(&old);
  procpool__platform_shm_empty(pool->segment.base, pool->segment.arena_at + pool->arena.highest);
  procpool__platform_unmap(pool->segment.base, (size_t)pool->segment.total);
  pool->segment.base = NULL;
  pool->segment.fd = -1;
  *thrown = pool->callbacks.thrown != NULL ? procpool__host_take_thrown(pool) : NULL;
  return procpool__public_leave(pool, PROCPOOL_OK);
}

PROCPOOL_API procpool_status procpool_free(procpool *pool) {
  void *thrown = NULL;
  const procpool_status status = pool != NULL ? procpool__free(pool, &thrown) : PROCPOOL_OK;
  if (thrown != NULL)
    procpool__platform_throw(thrown);
  return procpool__host_told(status);
}

static void procpool__scope_keep(void **first, void *exception) {
  if (*first == NULL)
    *first = exception;
  else
    procpool__platform_drop_exception(exception);
}

/* Drains and frees. The first exception is kept meanwhile. Not to be cancelled: a thread that ended within would leave
 * a pool without an owner. In a callback or a task of the pool nothing is done. */
static procpool_status procpool__close(procpool *pool, void **thrown) {
  procpool_status status;
  void *next;
  do {
    status = procpool__public_enter(pool);
    if (status != PROCPOOL_OK)
      return status;
    status = procpool__host_self(pool) ? PROCPOOL_DEADLOCK
                                       : procpool__shutdown_locked(pool, PROCPOOL_DRAIN, PROCPOOL__NEVER);
    for (int i = 0; i < pool->segment.workers && status == PROCPOOL_MEMORY; i++)
      procpool__host_give_up_first(pool, i); /* what comes behind a result that does not fit shall run */
    next = procpool__host_take_thrown(pool);
    (void)procpool__public_leave(pool, status);
    procpool__scope_keep(thrown, next);
  } while (status == PROCPOOL_INTERRUPTED || status == PROCPOOL_MEMORY); /* all that was accepted runs */
  next = NULL;
  status = procpool__free(pool, &next);
  procpool__scope_keep(thrown, next);
  return status;
}

PROCPOOL_API procpool_status procpool_close(procpool *pool) {
  const int cancel = procpool__platform_no_cancel();
  void *thrown = NULL;
  const procpool_status status = pool != NULL ? procpool__close(pool, &thrown) : PROCPOOL_OK;
  procpool__platform_cancel_as(cancel);
  if (thrown != NULL)
    procpool__platform_throw(thrown);
  return procpool__host_told(status);
}

/* The end of PROCPOOL_WITH: what is thrown leaves a cleanup. */
PROCPOOL_API void procpool__close_scope(procpool *pool) {
  const int cancel = procpool__platform_no_cancel();
  void *thrown = NULL;
  (void)procpool__close(pool, &thrown);
  procpool__platform_cancel_as(cancel);
  procpool__platform_throw_alone(thrown);
}

PROCPOOL_API procpool_start procpool_start_method(procpool *pool) {
  return procpool__host_check(pool) == PROCPOOL_OK ? pool->start : PROCPOOL_START_AUTO;
}

PROCPOOL_API procpool_status procpool_last_error(procpool_error *error) {
  const procpool_error *last = &procpool__thread_last.error;
  if (error != NULL)
    *error = *last;
  if (error != NULL && last->status == PROCPOOL_OK)
    error->worker = -1;
  return last->status;
}

PROCPOOL_API const char *procpool_last_message(void) {
  const char *text = procpool__platform_own(&procpool__process_record.texts);
  return text != NULL ? text : procpool__thread_last.error.message;
}

static void procpool__stats_count(procpool *p, procpool_stats *stats) {
  for (uint64_t i = 0; i < p->tasks.slots_used; i++) {
    procpool__state state;
    if (i % PROCPOOL__STRETCH == 0)
      procpool__host_breathe(p);
    if (p->tasks.owners[i] == NULL)
      continue;
    state = procpool__word_state(procpool__load(&p->segment.slots[i].word));
    stats->queued += state == PROCPOOL__READY;
    stats->running += state != PROCPOOL__READY;
    stats->workers_busy += state == PROCPOOL__RUNNING || procpool__state_asked(state);
  }
}

PROCPOOL_API procpool_status procpool_get_stats_sized(procpool *pool, procpool_stats *stats, size_t stats_size) {
  const procpool_status status = procpool__public_enter(pool);
  if (status != PROCPOOL_OK)
    return status;
  if (stats == NULL)
    return procpool__public_leave(
        pool, procpool__host_refuse(pool, PROCPOOL_ARGUMENT, 0,
                                    "there is no place for the figures: the pointer to it is null"));
  if (stats_size != sizeof(*stats))
    return procpool__public_leave(pool, PROCPOOL_MISMATCH);
  (void)procpool__host_drain(pool);
  for (uint64_t parts = pool->tasks.slots_used / PROCPOOL__SWEEP; pool->drain.sweep_left > 0 && parts > 0; parts--) {
    procpool__host_breathe(pool); /* tasks that left no record are looked for, some at a time */
    (void)procpool__host_drain(pool);
  }
  memset(stats, 0, sizeof(*stats));
  stats->workers = pool->segment.workers;
  stats->workers_alive = pool->life.finished ? 0 : (int)procpool__load(&pool->segment.header->alive);
  stats->workers_started =
      pool->methods.threads != NULL ? (uint64_t)pool->segment.workers : procpool__load(&pool->segment.header->started);
  stats->workers_stopped = procpool__load(&pool->segment.header->stopped);
  procpool__stats_count(pool, stats);
  stats->submitted = pool->tasks.submitted;
  stats->settled = pool->tasks.settled;
  stats->crashed = pool->tasks.crashed;
  stats->shared_bytes = pool->reserved.bytes;
  stats->futures = pool->futures.held;
  return procpool__public_leave(pool, PROCPOOL_OK);
}

/* ==== >>results =====================================================================================================
 * Runs in:   the host; a settled future is read without the lock.
 * Writes:    futures.
 * Calls:     >>submit, and all above it.
 * Always:    a call that is refused leaves the future as it was. */

/* The outcome, after a look at what has come where it is not there yet. Not told: it is asked in loops. */
static procpool_status procpool__future_look(procpool_future *f) {
  procpool_status status = procpool__host_check_future(f);
  procpool *p;
  if (status != PROCPOOL_OK)
    return status;
  status = procpool__future_status(f);
  if (status != PROCPOOL_PENDING)
    return status;
  p = f->pool;
  procpool__public_lock(p);
  if (!procpool__host_freed(p))
    (void)procpool__poll_look(p);
  status = procpool__future_status(f);
  procpool__host_hand_over(p);
  return procpool__public_leave(p, status);
}

PROCPOOL_API procpool_status procpool_future_status(procpool_future *future) {
  return procpool__future_look(future);
}

PROCPOOL_API bool procpool_future_done(procpool_future *future) {
  return procpool__future_look(future) != PROCPOOL_PENDING; /* of a bad handle there will be no more, either */
}

PROCPOOL_API bool procpool_future_cancelled(procpool_future *future) {
  return procpool__future_look(future) == PROCPOOL_CANCELLED;
}

PROCPOOL_API bool procpool_future_running(procpool_future *future) {
  bool running = false;
  if (procpool__future_look(future) != PROCPOOL_PENDING)
    return false;
  procpool__public_lock(future->pool);
  if (procpool__future_status(future) == PROCPOOL_PENDING)
    running = procpool__word_state(procpool__load(&future->pool->segment.slots[future->slot].word)) != PROCPOOL__READY;
  (void)procpool__public_leave(future->pool, PROCPOOL_OK);
  return running;
}

static bool procpool__condition_settled(procpool *p, void *context) {
  (void)p;
  return procpool__future_status((const procpool_future *)context) != PROCPOOL_PENDING;
}

/* Tells the worker that the result is given up, once it is unwanted: it may wait for room for it. Sequentially
 * consistent, as what the worker does: either it sees the flag, or this sees that it waits. */
static void procpool__future_discard(procpool *p, const procpool_future *f) {
  procpool__slot *slot = &p->segment.slots[f->slot];
  procpool__state state;
  uint64_t word;
  if (procpool__future_status(f) != PROCPOOL_PENDING || p->life.finished || !procpool__host_unwanted(f))
    return;
  procpool__or32(&slot->flags, PROCPOOL__SLOT_DISCARD);
  word = procpool__load(&slot->word);
  state = procpool__word_state(word);
  if ((state == PROCPOOL__RUNNING || procpool__state_asked(state)) && procpool__word_worker(word) < p->segment.workers)
    procpool__host_wake_for_room(p, procpool__word_worker(word));
}

/* Its user, or a call, is done with it: it was perhaps the last one that wanted to know. */
static void procpool__future_give_back(procpool *p, procpool_future *f) {
  if (--f->refs == 0)
    procpool__future_end(p, f);
  else
    procpool__future_discard(p, f);
}

/* Its user gives it back. False where that was done before. */
static bool procpool__future_release(procpool *p, procpool_future *f) {
  if (f->flags & PROCPOOL__F_RELEASED)
    return false;
  f->flags |= PROCPOOL__F_RELEASED;
  p->futures.held--;
  procpool__future_give_back(p, f);
  return true;
}

/* Waits for one future, under the lock, and returns its outcome or why it did not wait. */
static procpool_status procpool__future_await(procpool *p, procpool_future *f, double timeout) {
  procpool_status status;
  procpool__wait wait;
  if (p->methods.inline_worker == NULL && procpool__future_status(f) == PROCPOOL_PENDING)
    (void)procpool__host_drain(p);
  if (procpool__future_status(f) != PROCPOOL_PENDING) {
    status = procpool__future_status(f); /* one of the callbacks may release it */
    if (p->callbacks.first_due != NULL)
      procpool__host_run_callbacks(p);
    return status;
  }
  f->refs++;
  wait = procpool__host_wait_for(p, procpool__condition_settled, f, procpool__public_deadline(timeout),
                                 PROCPOOL__WAIT_CALLBACKS | PROCPOOL__WAIT_FUTURE);
  status = procpool__public_wait(p, &wait);
  if (status == PROCPOOL_OK)
    status = procpool__future_status(f);
  procpool__future_give_back(p, f); /* it may have been released meanwhile, and was wanted for this wait alone */
  return status;
}

PROCPOOL_API procpool_status procpool_future_wait(procpool_future *future, double timeout) {
  procpool_status status = procpool__host_check_future(future);
  procpool *p;
  if (status != PROCPOOL_OK)
    return status;
  if (procpool__public_bad_timeout(timeout))
    return procpool__host_wrong(PROCPOOL__NOT_A_NUMBER);
  p = future->pool;
  status = procpool__future_status(future);
  if (status != PROCPOOL_PENDING && __atomic_load_n(&p->callbacks.first_due, __ATOMIC_RELAXED) == NULL)
    return status; /* nothing to wait for, nor to do: no lock */
  procpool__platform_cancel_here();
  procpool__public_lock(p);
  return procpool__public_leave_throwing(p, procpool__future_await(p, future, timeout));
}

/* Null if they were in a shared buffer of a pool that is freed by now. */
static const void *procpool__future_bytes(const procpool_future *f) {
  if (f->flags & PROCPOOL__F_PLACE)
    return procpool__host_freed(f->pool) ? NULL : f->result.data;
  return f->size > PROCPOOL__SMALL ? f->result.data : (const void *)f->result.small;
}

/* Copies the result of a task that ended as OK. It is settled: its fields do not change any more. */
static procpool_status procpool__future_copy(const procpool_future *f, void *buffer, size_t capacity, size_t *size) {
  const void *bytes = procpool__future_bytes(f);
  if (bytes == NULL)
    return PROCPOOL_HANDLE;
  if (size != NULL)
    *size = (size_t)f->size;
  if (f->size > capacity)
    return PROCPOOL_TOO_SMALL;
  if (f->size > 0)
    memmove(buffer, bytes, (size_t)f->size); /* buffer may be the very place where it is */
  return PROCPOOL_OK;
}

/* The same under the lock. While it copies from a shared buffer this stays inside, but others go on. */
static procpool_status procpool__future_copy_locked(const procpool_future *f, void *buffer, size_t capacity,
                                                    size_t *size) {
  procpool_status status;
  if (!(f->flags & PROCPOOL__F_PLACE))
    return procpool__future_copy(f, buffer, capacity, size);
  procpool__host_unlock(f->pool);
  status = procpool__future_copy(f, buffer, capacity, size);
  (void)procpool__host_relock(f->pool);
  return status;
}

PROCPOOL_API procpool_status procpool_future_result(procpool_future *future, double timeout, void *buffer,
                                                    size_t capacity, size_t *size) {
  procpool_status status = procpool__host_check_future(future);
  procpool *p;
  if (size != NULL)
    *size = 0;
  if (status == PROCPOOL_OK)
    status = buffer == NULL && capacity > 0 ? procpool__host_wrong(PROCPOOL__NO_PLACE)
                                            : procpool_future_wait(future, timeout);
  if (status != PROCPOOL_OK)
    return status;
  if (!(future->flags & PROCPOOL__F_PLACE))
    return procpool__host_told(procpool__future_copy(future, buffer, capacity, size));
  p = future->pool;
  procpool__public_lock(p);
  return procpool__public_leave(p, procpool__future_copy_locked(future, buffer, capacity, size));
}

/* What there is to say of it, under the lock. */
static void procpool__future_describe(const procpool_future *f, procpool_error *error) {
  const procpool_status status = procpool__future_status(f);
  if (f->error != NULL && status != PROCPOOL_PENDING) {
    *error = *f->error;
    return;
  }
  procpool__error_fill(error, status, 0, status == PROCPOOL_OK || status == PROCPOOL_PENDING ? "" : NULL);
  error->index = f->index;
  if (status != PROCPOOL_PENDING) {
    error->worker = f->worker;
    error->pid = (long)f->pid;
  }
}

/* All of its message, where that is longer than an error has room for; else null. It has settled. */
static const char *procpool__future_text(const procpool_future *f) {
  const procpool_status status = procpool__future_status(f);
  if ((status != PROCPOOL_FAILED && status != PROCPOOL_TRANSFER) || (f->flags & PROCPOOL__F_PLACE) ||
      f->size <= sizeof(procpool__failure))
    return NULL;
  return (const char *)f->result.data + offsetof(procpool__failure, message);
}

/* Under the lock: why it did not end as OK is this thread's last error from now on. */
static void procpool__future_tell(const procpool_future *f) {
  procpool_error error;
  procpool__future_describe(f, &error);
  procpool__last_set(&error, procpool__future_text(f));
  procpool__thread_last.told = false; /* an outcome, and no refusal */
}

/* For the typed layer, under the lock: copies the result of a settled future if it has this very size. Else why not is
 * the thread's last error from then on. */
static procpool_status procpool__future_take(procpool_future *f, void *buffer, size_t size) {
  procpool_status status = f->magic == PROCPOOL__FUTURE_LIVE ? procpool__future_status(f) : PROCPOOL_HANDLE;
  if (status == PROCPOOL_OK && f->size == size)
    return procpool__future_copy_locked(f, buffer, size, NULL);
  if (status == PROCPOOL_OK)
    return procpool__host_refuse(f->pool, PROCPOOL_TRANSFER, 0,
                                 "the result does not have the size that this typed function gives");
  if (status < PROCPOOL_PENDING)
    procpool__future_tell(f);
  return status;
}

/* For the typed layer: a result of this very size; gives the future back. Where there is none because the submit was
 * refused: why. */
PROCPOOL_API procpool_status procpool__typed_result(procpool_future *future, void *buffer, size_t size) {
  procpool *p;
  procpool_status status = PROCPOOL_OK;
  if (future == NULL) { /* OK where nothing was refused */
    status = procpool__thread_last.refused;
    procpool__thread_last.refused = PROCPOOL_OK;
    if (status != PROCPOOL_OK)
      return status; /* told when it was refused */
  }
  if (status == PROCPOOL_OK)
    status = procpool__host_check_future(future);
  if (status == PROCPOOL_OK && buffer == NULL && size > 0)
    status = procpool__host_refuse(NULL, PROCPOOL_ARGUMENT, 0, PROCPOOL__NO_PLACE);
  if (status != PROCPOOL_OK)
    return procpool__host_told(status);
  p = future->pool;
  procpool__platform_cancel_here();
  procpool__public_lock(p);
  future->refs++; /* a callback may release it */
  status = procpool__future_await(p, future, PROCPOOL_FOREVER);
  if (status == PROCPOOL_INTERRUPTED)
    (void)procpool__host_refuse(p, status, 0, NULL);
  if (status < PROCPOOL_PENDING &&
      (p->callbacks.thrown == NULL || *procpool__host_thrown(p, procpool__host_depth(p) + 1) == NULL)) {
    status = procpool__future_take(future, buffer, size);
    if (status < PROCPOOL_PENDING) /* a refusal changes nothing: it may be asked again */
      (void)procpool__future_release(p, future);
  }
  procpool__future_give_back(p, future);
  return procpool__public_leave_throwing(p, status);
}

PROCPOOL_API const void *procpool_future_data(procpool_future *future, size_t *size) {
  const void *bytes = NULL;
  if (size != NULL)
    *size = 0;
  if (procpool__host_check_future(future) != PROCPOOL_OK || procpool__future_status(future) != PROCPOOL_OK)
    return NULL;
  if (future->flags & PROCPOOL__F_PLACE)
    procpool__public_lock(future->pool); /* the pool may be freed just now */
  if (!(future->flags & PROCPOOL__F_NONE))
    bytes = procpool__future_bytes(future);
  if (future->flags & PROCPOOL__F_PLACE)
    (void)procpool__public_leave(future->pool, PROCPOOL_OK);
  if (size != NULL && bytes != NULL)
    *size = (size_t)future->size;
  return bytes;
}

/* Why there is no string: the outcome, or what it is instead. */
static const char *procpool__future_no_string(procpool_future *f, procpool_status status) {
  procpool *p;
  if (procpool__public_enter_future(f) != PROCPOOL_OK)
    return NULL;
  p = f->pool;
  if (status == PROCPOOL_OK)
    (void)procpool__host_refuse(p, PROCPOOL_TRANSFER, 0, "the result is no string, or lies in a shared buffer");
  else if (status < PROCPOOL_PENDING)
    procpool__future_tell(f);
  else
    (void)procpool__host_refuse(p, status, 0, NULL);
  (void)procpool__public_leave(p, status);
  return NULL;
}

PROCPOOL_API const char *procpool_future_string(procpool_future *future) {
  size_t size;
  if (future == NULL && procpool__thread_last.refused != PROCPOOL_OK) {
    procpool__thread_last.refused = PROCPOOL_OK; /* the last error says why */
    return NULL;
  }
  const procpool_status status = procpool_future_wait(future, PROCPOOL_FOREVER);
  const char *string = status == PROCPOOL_OK ? (const char *)procpool_future_data(future, &size) : NULL;
  if (string != NULL && !(future->flags & PROCPOOL__F_PLACE) && size > 0 && string[size - 1] == '\0')
    return string;
  return procpool__future_no_string(future, status);
}

PROCPOOL_API procpool_status procpool_future_error(procpool_future *future, procpool_error *error) {
  const procpool_status status = procpool__public_enter_future(future);
  if (status != PROCPOOL_OK)
    return status;
  if (error == NULL)
    return procpool__public_leave(future->pool,
                                  procpool__host_refuse(future->pool, PROCPOOL_ARGUMENT, 0,
                                                        "there is no place for the error: the pointer to it is null"));
  procpool__future_describe(future, error);
  return procpool__public_leave(future->pool, PROCPOOL_OK);
}

PROCPOOL_API const char *procpool_future_message(procpool_future *future) {
  const char *text;
  const procpool_status status = procpool__host_check_future(future);
  if (status != PROCPOOL_OK)
    return procpool_strerror(status);
  if (procpool__future_status(future) == PROCPOOL_PENDING)
    return "";
  text = procpool__future_text(future);
  if (text != NULL)
    return text;
  if (future->error != NULL)
    return future->error->message;
  return procpool__future_status(future) == PROCPOOL_OK ? "" : procpool_strerror(procpool__future_status(future));
}

PROCPOOL_API size_t procpool_future_index(procpool_future *future) {
  return procpool__host_check_future(future) == PROCPOOL_OK ? future->index : 0;
}

PROCPOOL_API procpool *procpool_future_pool(procpool_future *future) {
  if (procpool__host_check_future(future) != PROCPOOL_OK)
    return NULL;
  return procpool__host_check(future->pool) == PROCPOOL_OK ? future->pool : NULL;
}

PROCPOOL_API void *procpool_future_user(procpool_future *future) {
  return procpool__host_check_future(future) == PROCPOOL_OK ? future->user : NULL;
}

static procpool_status procpool__future_cancel(procpool *p, procpool_future *f) {
  (void)procpool__host_drain(p);
  if (procpool__future_status(f) != PROCPOOL_PENDING)
    return procpool__future_status(f);
  if (!procpool__cas(&p->segment.slots[f->slot].word, procpool__word(f->ticket, 0, PROCPOOL__READY), 0))
    return PROCPOOL_PENDING;
  procpool__host_settle(p, f, PROCPOOL_CANCELLED);
  (void)procpool__host_drain(p); /* there may be room in the queue now */
  return PROCPOOL_CANCELLED;
}

/* Says in the task's slot that it is to be ended, and how patiently: once said, only less so. */
static void procpool__future_want_end(procpool *p, const procpool_future *f, uint32_t grace) {
  uint32_t *flags = &p->segment.slots[f->slot].flags;
  const uint32_t old = procpool__load32_relaxed(flags);
  if ((old & PROCPOOL__SLOT_KILL) && old >> PROCPOOL__SLOT_GRACE < grace)
    grace = old >> PROCPOOL__SLOT_GRACE;
  procpool__store32(flags,
                    (old & ((1u << PROCPOOL__SLOT_GRACE) - 1)) | PROCPOOL__SLOT_KILL | (grace << PROCPOOL__SLOT_GRACE));
  procpool__host_ring(p);
}

/* A task was taken back, or is to end: threads that may wait for just that look. */
static void procpool__future_stopped(procpool *p) {
  if (p->life.phase != PROCPOOL__PHASE_RUN &&
      !p->life.finished) /* it may have been the last one that the shutdown waits for */
    procpool__host_tell_phase(p);
  if (!p->life.finished &&
      (p->waiting.drainer != NULL || p->waiting.fd_users > 0)) /* the thread that drains may wait for this one */
    procpool__shm_wake_host(&p->segment, p->fds.event_fd);
}

static procpool_status procpool__future_stop(procpool_future *future, bool by_force, double grace) {
  procpool_status status = procpool__public_enter_future(future);
  procpool *p;
  if (status != PROCPOOL_OK)
    return status;
  p = future->pool;
  if (procpool__public_bad_timeout(grace))
    return procpool__public_leave(p, procpool__host_refuse(p, PROCPOOL_ARGUMENT, 0, PROCPOOL__NOT_A_NUMBER));
  future->refs++;
  status = procpool__future_cancel(p, future);
  if (status == PROCPOOL_PENDING && by_force && p->start > PROCPOOL_START_SPAWN)
    status = procpool__host_refuse(p, PROCPOOL_UNSUPPORTED, 0, "it runs, and no thread can be ended");
  else if (status == PROCPOOL_PENDING && by_force)
    procpool__future_want_end(p, future, procpool__public_grace(grace, p->tasks.grace));
  procpool__future_stopped(p);
  procpool__future_give_back(p, future);
  return procpool__public_leave(p, status);
}

/* ---- a call in another process: submit, wait, copy and release in one ---- */

typedef struct procpool__answered {
  void *result;
  size_t capacity;
  size_t *size; /* or null */
  bool exact;   /* the typed layer: a result of another size is none, */
  bool string;  /* nor is one that does not end with a zero byte */
} procpool__answered;

/* Under the lock, of a settled future: its result, or why there is none. */
static procpool_status procpool__call_take_string(procpool_future *f, const procpool__answered *to) {
  size_t size = 0;
  const procpool_status status = procpool__future_copy_locked(f, to->result, to->capacity, &size);
  if (status == PROCPOOL_OK && (size == 0 || ((const char *)to->result)[size - 1] != '\0'))
    return procpool__host_refuse(f->pool, PROCPOOL_TRANSFER, 0, "the result is no string");
  return status;
}

static procpool_status procpool__call_take(procpool_future *f, const procpool__answered *to) {
  const procpool_status status = procpool__future_status(f);
  if (status == PROCPOOL_OK && to->string)
    return procpool__call_take_string(f, to);
  if (to->exact)
    return procpool__future_take(f, to->result, to->capacity);
  if (status == PROCPOOL_OK)
    return procpool__future_copy_locked(f, to->result, to->capacity, to->size);
  procpool__future_tell(f);
  return status;
}

/* Waits for what was submitted. Where the wait ends before the task, that is cancelled if it has not begun. A callback
 * of the options may have released the future meanwhile. */
static procpool_status procpool__call_await(procpool_future *f, const procpool__answered *to) {
  procpool *p = f->pool;
  procpool_status status;
  procpool__public_lock(p);
  status = procpool__future_await(p, f, PROCPOOL_FOREVER);
  if (status == PROCPOOL_FORKED)
    return procpool__public_leave_throwing(p, status);
  if (status < PROCPOOL_PENDING) {
    status = procpool__call_take(f, to);
  } else {
    if (procpool__future_cancel(p, f) == PROCPOOL_CANCELLED)
      procpool__future_stopped(p);
    (void)procpool__host_refuse(p, status, 0, NULL);
  }
  (void)procpool__future_release(p, f);
  procpool__future_give_back(p, f);
  return procpool__public_leave_throwing(p, status);
}

/* A thread that was cancelled ends here, before it has a future that no other thread would give back. */
static procpool_status procpool__call_run(procpool *pool, procpool__pointers pointers, procpool_function function,
                                          const void *argument, size_t size, const procpool_submit_options *options,
                                          const procpool__answered *to) {
  const procpool__purpose purpose = {0, pointers, true};
  procpool_future *future;
  procpool_status status;
  procpool__platform_cancel_here();
  if (to->result == NULL && to->capacity > 0)
    return procpool__host_wrong(PROCPOOL__NO_PLACE);
  status = procpool__submit_for(pool, &purpose, function, argument, size, options, &future);
  if (status == PROCPOOL_FULL || status == PROCPOOL_INTERRUPTED)
    (void)procpool__host_refuse(NULL, status, 0, NULL);
  return status == PROCPOOL_OK ? procpool__call_await(future, to) : status;
}

PROCPOOL_API procpool_status procpool_call(procpool *pool, procpool_function function, const void *argument,
                                           size_t size, void *result, size_t capacity, size_t *result_size,
                                           const procpool_submit_options *options) {
  const procpool__answered to = {result, capacity, result_size, false, false};
  if (result_size != NULL)
    *result_size = 0;
  return procpool__call_run(pool, NULL, function, argument, size, options, &to);
}

PROCPOOL_API procpool_status procpool__typed_call(procpool *pool, procpool_function function, const void *argument,
                                                  size_t size, void *buffer, size_t result_size,
                                                  const procpool_submit_options *options, procpool__pointers pointers) {
  const procpool__answered to = {buffer, result_size, NULL, true, false};
  return procpool__call_run(pool, pointers, function, argument, size, options, &to);
}

PROCPOOL_API procpool_status procpool__typed_call_string(procpool *pool, procpool_function function, const char *string,
                                                         char *buffer, size_t capacity,
                                                         const procpool_submit_options *options) {
  const procpool__answered to = {buffer, capacity, NULL, false, true};
  if (string == NULL)
    return procpool__host_told(procpool__host_refuse(NULL, PROCPOOL_ARGUMENT, 0, "the string is null"));
  return procpool__call_run(pool, NULL, function, string, strlen(string) + 1, options, &to);
}

PROCPOOL_API procpool_status procpool_future_cancel(procpool_future *future) {
  return procpool__future_stop(future, false, 0);
}

PROCPOOL_API procpool_status procpool_future_cancel_kill(procpool_future *future, double grace) {
  return procpool__future_stop(future, true, grace);
}

PROCPOOL_API procpool_status procpool_future_add_done_callback(procpool_future *future, procpool_callback callback,
                                                               void *context) {
  const procpool_status status = procpool__host_check_future(future);
  procpool__callback_node *node;
  procpool__callback_node **at;
  procpool *p;
  if (status != PROCPOOL_OK)
    return status;
  if (callback == NULL)
    return procpool__host_wrong("the callback is null");
  node = (procpool__callback_node *)PROCPOOL_MALLOC(sizeof(*node));
  if (node == NULL)
    return procpool__host_told(PROCPOOL_MEMORY);
  node->function = callback;
  node->context = context;
  node->next = NULL;
  p = future->pool;
  procpool__public_lock(p);
  for (at = &future->callbacks; *at != NULL; at = &(*at)->next)
    ;
  if (procpool__future_status(future) == PROCPOOL_PENDING && future->callbacks == NULL) {
    p->callbacks.expected++;
    procpool__host_rouse(p);
  }
  *at = node;
  if (procpool__future_status(future) != PROCPOOL_PENDING && future->callbacks == node) {
    procpool__frame frame; /* settled, and none is due before it: at once */
    frame.thread = procpool__platform_self();
    frame.next = p->callbacks.frames;
    p->callbacks.frames = &frame;
    future->refs++;
    if (procpool__host_call_back(p, future)) {
      procpool__future_unref(p, future);
      procpool__host_leave_frame(p, &frame);
    }
  }
  return procpool__public_leave_throwing(p, PROCPOOL_OK);
}

PROCPOOL_API procpool_status procpool_future_release(procpool_future *future) {
  procpool_status status;
  procpool *p;
  if (future == NULL)
    return PROCPOOL_OK;
  status = procpool__public_enter_future(future);
  if (status != PROCPOOL_OK)
    return status;
  p = future->pool;
  if (!procpool__future_release(p, future))
    return procpool__public_leave(p, PROCPOOL_HANDLE);
  if (p->arena.warm > PROCPOOL__EXTENT_WARM) {
    procpool__arena_trim(p, true);
    procpool__host_pass_room(p);
  }
  return procpool__public_leave(p, PROCPOOL_OK);
}

/* ---- many futures ---- */

static procpool_status procpool__many_check(const void *futures, size_t count) {
  return (futures == NULL && count > 0) || !procpool__size_possible(count, sizeof(procpool_future *))
             ? procpool__host_refuse(NULL, PROCPOOL_ARGUMENT, 0, "the list of futures is null, or none is that long")
             : PROCPOOL_OK;
}

PROCPOOL_API procpool_status procpool_cancel_many(procpool_future *const *futures, size_t count, size_t *cancelled) {
  procpool_status status = procpool__many_check(futures, count);
  if (cancelled != NULL)
    *cancelled = 0;
  for (size_t i = 0; i < count && status != PROCPOOL_ARGUMENT; i++) {
    const procpool_status one = futures[i] != NULL ? procpool_future_cancel(futures[i]) : PROCPOOL_PENDING;
    if (cancelled != NULL)
      *cancelled += one == PROCPOOL_CANCELLED;
    if (status == PROCPOOL_OK && one >= PROCPOOL_ARGUMENT)
      status = one;
  }
  return procpool__host_told(status);
}

PROCPOOL_API procpool_status procpool_release_many(procpool_future **futures, size_t count) {
  procpool_status status = procpool__many_check(futures, count);
  for (size_t i = 0; i < count && status != PROCPOOL_ARGUMENT; i++) {
    const procpool_status one = procpool_future_release(futures[i]);
    futures[i] = NULL;
    if (status == PROCPOOL_OK)
      status = one;
  }
  return procpool__host_told(status);
}

/* ==== >>several =====================================================================================================
 * Runs in:   the host.
 * Writes:    as >>waiting.
 * Calls:     >>results, and all above it.
 * Always:    groups of futures, of one pool or of several; each member is told of at most once. */

/* What an iterator waits for, besides the modes of procpool_wait. */
enum {
  PROCPOOL__UNTIL_QUEUED = PROCPOOL_FIRST_EXCEPTION + 1, /* a future that was not taken out of the waiter's queue */
  PROCPOOL__UNTIL_DUE                                    /* the one at due */
};

/* The futures of one wait or of an iterator, and the pools that they belong to. */
typedef struct procpool__group {
  procpool__waiter waiter; /* first: see WAIT_GROUP */
  unsigned until; /* procpool_wait_mode or PROCPOOL__UNTIL_*: the wait is over then, or when all have settled */
  procpool__wait_node *due;
  procpool__wait_node *nodes; /* those without a future are free */
  size_t places, count;       /* nodes; futures that an iterator has not delivered */
  procpool **pools;           /* different ones */
  size_t pool_count;
  void *thrown; /* by a callback: the call ends with it */
} procpool__group;

static void procpool__waiter_init(procpool__waiter *w) {
  memset((void *)w, 0, sizeof(*w));
  procpool__platform_lock_init(&w->lock);
  w->bell = -1;
}

/* OK, MEMORY; ARGUMENT where no array has as many. The group is to be ended in any case. */
static procpool_status procpool__group_make(procpool__group *g, size_t places) {
  memset((void *)g, 0, sizeof(*g));
  procpool__waiter_init(&g->waiter);
  if (!procpool__size_possible(places, sizeof(*g->nodes)))
    return procpool__host_refuse(NULL, PROCPOOL_ARGUMENT, 0, "no list of futures is that long");
  g->nodes = (procpool__wait_node *)PROCPOOL_MALLOC((places + 1) * sizeof(*g->nodes));
  g->pools = (procpool **)PROCPOOL_MALLOC((places + 1) * sizeof(*g->pools));
  if (g->nodes == NULL || g->pools == NULL)
    return PROCPOOL_MEMORY;
  memset((void *)g->nodes, 0, places * sizeof(*g->nodes));
  g->places = places;
  return PROCPOOL_OK;
}

static bool procpool__node_known(const procpool_future *f, const procpool__waiter *w) {
  for (const procpool__wait_node *n = f->nodes; n != NULL; n = n->next)
    if (n->waiter == w)
      return true;
  return false;
}

/* Under the lock of the future's pool. */
static void procpool__node_link(procpool__waiter *w, procpool__wait_node *node, procpool_future *f) {
  node->waiter = w;
  node->next_done = NULL;
  procpool__node_push(f, node);
  f->refs++;
  procpool__platform_lock(&w->lock);
  w->pending++;
  procpool__platform_unlock(&w->lock);
  if (procpool__future_status(f) != PROCPOOL_PENDING)
    procpool__waiter_tell(f->pool, node);
}

static void procpool__node_unlink(procpool__wait_node *node) {
  procpool_future *f = node->future;
  procpool__node_drop(node);
  node->future = NULL;
  procpool__future_give_back(f->pool, f);
}

/* Adds a future: the same one only once. */
static void procpool__group_add(procpool__group *g, procpool__wait_node *node, procpool_future *f) {
  procpool *p = f->pool;
  size_t i = 0;
  (void)procpool__public_relock(p);
  while (i < g->pool_count && g->pools[i] != p)
    i++;
  if (i == g->pool_count)
    g->pools[g->pool_count++] = p;
  if (!procpool__node_known(f, &g->waiter)) {
    procpool__node_link(&g->waiter, node, f);
    g->count++;
  }
  (void)procpool__public_leave(p, PROCPOOL_OK);
}

/* forget: in a forked child, whose futures they are not. */
static void procpool__group_end(procpool__group *g, bool forget) {
  for (size_t i = 0; i < g->places && !forget; i++)
    if (g->nodes[i].future != NULL) {
      procpool *p = g->nodes[i].future->pool;
      (void)procpool__public_relock(p);
      procpool__node_unlink(&g->nodes[i]);
      (void)procpool__public_leave(p, PROCPOOL_OK);
    }
  procpool__platform_lock_end(&g->waiter.lock);
  PROCPOOL_FREE(g->nodes);
  PROCPOOL_FREE(g->pools);
}

static procpool__wait_node *procpool__waiter_pop(procpool__waiter *w) {
  procpool__wait_node *node;
  procpool__platform_lock(&w->lock);
  node = w->first_done;
  if (node != NULL) {
    w->first_done = node->next_done;
    if (w->first_done == NULL)
      w->last_done = NULL;
  }
  procpool__platform_unlock(&w->lock);
  return node;
}

/* There may be none to come: a callback has asked the same iterator. */
static bool procpool__condition_group(procpool *p, void *context) {
  procpool__group *g = (procpool__group *)context;
  procpool__waiter *w = &g->waiter;
  bool met;
  (void)p;
  procpool__platform_lock(&w->lock);
  met = w->pending == 0 || (g->until == PROCPOOL_FIRST_COMPLETED && w->settled > 0) ||
        (g->until == PROCPOOL_FIRST_EXCEPTION && w->errors > 0) ||
        (g->until == PROCPOOL__UNTIL_QUEUED && w->first_done != NULL) ||
        (g->until == PROCPOOL__UNTIL_DUE && procpool__future_status(g->due->future) != PROCPOOL_PENDING);
  procpool__platform_unlock(&w->lock);
  return met;
}

/* ---- of several pools ---- The thread takes in from all of them, and sleeps in poll(): on the event of each, on the
 * end of each one's supervisor, and on a bell of its own, which the thread that settles one of its futures rings.
 * While it sleeps, nothing of it is in a pool but the count of threads that poll its event: a pool may be freed
 * meanwhile. */

/* What is polled for pool i, from 1 on: two places for each. The first one is the bell. */
typedef struct procpool__several {
  procpool__group *group;
  procpool__source *sources;
  procpool__poller *pollers; /* one for each pool: an iterator may be asked within a callback that a call on it runs */
  uint64_t look;             /* when to look after one of the pools */
  bool news;                 /* there is something to look at already */
} procpool__several;

/* Begins (true) or ends to wait for each of the pools. */
static void procpool__several_attend(procpool__several *v, bool begins) {
  for (size_t i = 0; i < v->group->pool_count; i++) {
    procpool *p = v->group->pools[i];
    procpool__poller *n = &v->pollers[i];
    (void)procpool__public_relock(p);
    if (begins) {
      n->waiter = &v->group->waiter;
      n->interrupts = p->interrupts.taken; /* of this call: an iterator has had many */
      n->next = p->waiting.pollers;
      n->from = &p->waiting.pollers;
      p->waiting.pollers = n;
    } else {
      *n->from = n->next;
    }
    if (n->next != NULL)
      n->next->from = begins ? &n->next : n->from;
    procpool__host_count_fd_user(p, begins ? 1 : -1);
    procpool__host_rouse(p);
    if (!p->life.finished)
      procpool__host_arm(p);
    (void)procpool__public_leave(p, PROCPOOL_OK);
  }
}

/* Takes in what has come to pool i, and says what to poll for it. INTERRUPTED, DEADLOCK and FORKED where due: the call
 * may still end otherwise, and takes the interrupt only where it ends by it. */
static procpool_status procpool__several_look(procpool__several *v, size_t i) {
  procpool *p = v->group->pools[i];
  procpool__source *sources = &v->sources[1 + 2 * i];
  procpool_status status = PROCPOOL_DEADLOCK;
  void *thrown = NULL;
  if (!procpool__public_relock(p))
    return procpool__public_leave(p, PROCPOOL_FORKED);
  if (procpool__host_self(p)) { /* in its own callback or task this is but a look */
    (void)procpool__host_drain(p);
  } else {
    if (procpool__platform_came(&sources[0]) && !procpool__host_freed(p))
      procpool__host_silence(p);
    if (!p->life.finished)
      procpool__host_arm(p); /* a new number: what comes from now on rings again */
    procpool__poll_inline(p);
    procpool__host_look_after(p, true);
    procpool__host_audit_if_due(p);
    status = procpool__host_drain(p);
    procpool__host_run_callbacks(p);
    thrown = procpool__host_take_thrown(p);
    if (procpool__load32(&p->interrupts.count) != v->pollers[i].interrupts || thrown != NULL ||
        v->group->thrown != NULL)
      status = PROCPOOL_INTERRUPTED;
    v->news = v->news || procpool__host_idles(p);
  }
  sources[0] = procpool__platform_source(procpool__host_freed(p) ? -1 : p->fds.watch);
  sources[1] = procpool__platform_source(p->fds.control);
  if (p->fds.control >= 0 && p->audit.due < v->look)
    v->look = p->audit.due;
  status = procpool__public_leave(p, status);
  if (thrown != NULL) /* what does not leave this call is dropped, which runs code of the user's */
    procpool__scope_keep(&v->group->thrown, thrown);
  return status;
}

static void procpool__several_sleep(procpool__several *v, uint64_t deadline) {
  const int count = 1 + 2 * (int)v->group->pool_count;
  const uint64_t least = procpool__platform_now() + PROCPOOL__TICK / 8;
  v->look = v->look > least ? v->look : least;
  v->sources[0] = procpool__platform_source(v->group->waiter.bell);
  if (v->group->waiter.bell < 0 && v->look > least)
    v->look = least; /* no descriptor to be had for a bell */
  if (!v->news)
    (void)procpool__platform_poll(v->sources, count, deadline < v->look ? deadline : v->look, NULL);
}

static procpool_status procpool__several_turn(procpool__several *v) {
  procpool__waiter *w = &v->group->waiter;
  procpool_status status = PROCPOOL_OK;
  if (!procpool__host_here(v->group->pools[0])) /* another thread may have had the waiter's lock */
    return PROCPOOL_FORKED;
  procpool__platform_lock(&w->lock);
  if (w->rung)
    procpool__platform_event_clear(w->bell);
  w->rung = false;
  procpool__platform_unlock(&w->lock);
  v->look = PROCPOOL__NEVER;
  v->news = false;
  for (size_t i = 0; i < v->group->pool_count; i++) { /* all of them, also where one ends the call */
    const procpool_status one = procpool__several_look(v, i);
    if (one == PROCPOOL_FORKED)
      return one;
    status = one == PROCPOOL_OK || status == PROCPOOL_INTERRUPTED ? status : one;
  }
  return status;
}

/* The call ends by the interrupts that it has seen; by what a callback threw it would end without them. */
static void procpool__several_take_interrupts(procpool__several *v) {
  for (size_t i = 0; i < v->group->pool_count && v->group->thrown == NULL; i++) {
    procpool *p = v->group->pools[i];
    (void)procpool__public_relock(p);
    if (!procpool__host_self(p) && procpool__load32(&p->interrupts.count) != v->pollers[i].interrupts)
      procpool__host_take_interrupts(p);
    (void)procpool__public_leave(p, PROCPOOL_OK);
  }
}

static procpool_status procpool__several_run(procpool__several *v, uint64_t deadline) {
  for (;;) {
    procpool_status status = procpool__several_turn(v);
    if (status != PROCPOOL_FORKED && procpool__condition_group(NULL, v->group))
      return PROCPOOL_OK;
    if ((status == PROCPOOL_OK || status == PROCPOOL_DEADLOCK) && deadline != PROCPOOL__NEVER &&
        procpool__platform_now() >= deadline)
      status = PROCPOOL_PENDING; /* in a callback of one of them too: that does not wait */
    if (status == PROCPOOL_INTERRUPTED)
      procpool__several_take_interrupts(v);
    if (status != PROCPOOL_OK)
      return status;
    procpool__several_sleep(v, deadline);
  }
}

/* Returns the bell that this takes the place of: one of a call that runs the callback from which this one comes. */
static int procpool__several_set_bell(procpool__waiter *w, int bell) {
  int former;
  procpool__platform_lock(&w->lock);
  former = w->bell;
  w->bell = bell;
  w->rung = false;
  procpool__platform_unlock(&w->lock);
  return former;
}

/* Waits on several pools. */
static procpool_status procpool__several_wait(procpool__group *g, uint64_t deadline) {
  procpool__several v;
  procpool_status status = PROCPOOL_MEMORY;
  int bell = procpool__platform_event(); /* or -1 */
  memset((void *)&v, 0, sizeof(v));
  v.group = g;
  v.sources = (procpool__source *)PROCPOOL_MALLOC((1 + 2 * g->pool_count) * sizeof(*v.sources));
  v.pollers = (procpool__poller *)PROCPOOL_MALLOC((1 + g->pool_count) * sizeof(*v.pollers));
  if (v.sources != NULL && v.pollers != NULL) {
    const int former = procpool__several_set_bell(&g->waiter, bell);
    for (size_t i = 1; i <= 2 * g->pool_count; i++)
      v.sources[i] = procpool__platform_source(-1);
    procpool__several_attend(&v, true);
    status = procpool__several_run(&v, deadline);
    procpool__several_attend(&v, false);
    if (status != PROCPOOL_FORKED) {
      (void)procpool__several_set_bell(&g->waiter, former);
      procpool__waiter_ring(&g->waiter); /* it may have missed something */
    }
  }
  PROCPOOL_FREE(v.sources);
  PROCPOOL_FREE(v.pollers);
  procpool__platform_close(&bell);
  return status;
}

/* What a call waits for, and since when: also if it does something else first. */
static procpool__wait procpool__group_begin(procpool__group *g, double timeout) {
  return procpool__host_wait_for(g->pools[0], procpool__condition_group, g, procpool__public_deadline(timeout),
                                 PROCPOOL__WAIT_CALLBACKS | PROCPOOL__WAIT_GROUP);
}

static procpool_status procpool__group_wait(procpool__group *g, procpool__wait *wait) {
  procpool *p = g->pools[0];
  procpool_status status;
  if (g->pool_count > 1)
    return procpool__several_wait(g, wait->deadline);
  if (!procpool__public_relock(p))
    return procpool__public_leave(p, PROCPOOL_FORKED);
  status = procpool__public_wait(p, wait);
  g->thrown = procpool__host_take_thrown(p);
  return procpool__public_leave(p, status);
}

/* Memory comes first: a count that no array has is refused before any is read. */
static procpool_status procpool__group_fill(procpool__group *g, procpool_future *const *futures, size_t count) {
  procpool_status status = procpool__group_make(g, futures != NULL ? count : 0);
  if (futures == NULL && count > 0)
    return procpool__host_refuse(NULL, PROCPOOL_ARGUMENT, 0, "the list of futures is null");
  for (size_t i = 0; i < count && status == PROCPOOL_OK; i++)
    status = procpool__host_check_future(futures[i]);
  for (size_t i = 0; i < count && status == PROCPOOL_OK; i++)
    procpool__group_add(g, &g->nodes[i], futures[i]);
  return status;
}

PROCPOOL_API procpool_status procpool_wait(procpool_future *const *futures, size_t count, procpool_wait_mode mode,
                                           double timeout, size_t *done) {
  procpool__group group;
  procpool_status status;
  procpool__platform_cancel_here();
  if (done != NULL)
    *done = 0;
  if ((unsigned)mode > PROCPOOL_FIRST_EXCEPTION || procpool__public_bad_timeout(timeout))
    return procpool__host_wrong("the mode is none of PROCPOOL_ALL_COMPLETED ..., or the time is not a number");
  status = procpool__group_fill(&group, futures, count);
  group.until = (unsigned)mode;
  if (status == PROCPOOL_OK && group.pool_count > 0) {
    procpool__wait wait = procpool__group_begin(&group, timeout);
    status = procpool__group_wait(&group, &wait);
  }
  procpool__group_end(&group, false);
  if (done != NULL)
    *done = group.waiter.settled; /* now no other thread counts */
  procpool__platform_throw(group.thrown);
  return procpool__host_told(status);
}

/* ==== >>iterators ===================================================================================================
 * Runs in:   the host.
 * Writes:    iterators, which are private.
 * Calls:     >>several, and all above it.
 * Always:    each item comes out once, then END; a pool that is freed ends them. */

/* Items of an imap that are handed out together, as one task: a bundle. */
#define PROCPOOL__BUNDLE_BYTES ((size_t)262144) /* arguments and answers of one: they shall stay in the cache */
#define PROCPOOL__BUNDLE_ROOM ((uint64_t)64)    /* bytes of a result, until there were some */
#define PROCPOOL__BUNDLE_NONE SIZE_MAX
#define PROCPOOL__WINDOW_LEAST ((size_t)64)

/* What is known of a task that is handed out, besides its future: that has the block. */
typedef struct procpool__bundle_sent {
  size_t count;                /* its items */
  uint64_t arguments, answers; /* where in the block they begin */
} procpool__bundle_sent;

/* The bundles of an imap. What has settled is opened, and delivered item by item: a future is made for each, but for
 * the item that the task's own future speaks of. */
typedef struct procpool__bundles {
  size_t chunksize, window;    /* options.chunksize, but no more than fit; options.buffersize */
  size_t taken, waiting;       /* inputs not yet delivered; of these, in items: not handed out */
  unsigned char *items;        /* chunksize places */
  size_t step;                 /* from one to the next, here and in a bundle */
  procpool__bundle_sent *sent; /* by the places of the group */
  uint64_t room, largest;      /* bytes that a result may need; that one has had in the bundle that is open */
  procpool_future *held;       /* that the caller has; or null */
  /* the bundle that is open */
  procpool_future *open; /* its own; null: none is */
  size_t first;          /* its first item's number */
  size_t count, next;    /* its items; the one to be delivered next */
  size_t own;            /* the item that was begun last; NONE: it is not known, since the pool is freed */
  uint64_t arguments, answers, answer; /* as sent; where in the block the next answer lies */
  procpool_status beyond;              /* of the items behind own; OK: they are to be handed out again */
} procpool__bundles;

struct procpool_iterator {
  uint32_t magic;
  procpool__group group;
  procpool_status end; /* OK while more futures may come; then why none does, which is told once; then END */
  procpool_error why;  /* an imap: its refusal, where a submit was refused */
  /* imap */
  procpool *pool; /* null: as_completed. It holds the pool as a future does */
  procpool_function function;
  procpool_generator generator;
  void *context;
  unsigned char *item;
  size_t item_size;
  bool has_item;
  procpool__pointers pointers;    /* null: no argument is one */
  procpool_submit_options limits; /* of each item; and its user pointer */
  size_t taken;                   /* items submitted so far */
  size_t last;                    /* which was delivered last */
  procpool__wait_node *free;      /* unless in order: the free places, by next_done */
  procpool__wait_node *current;   /* whose future the caller holds; or null */
  procpool__bundles *bundles;     /* null: each item is a task of its own */
};

/* Null where there is no memory. Its group is still to be made. */
static procpool_iterator *procpool__iterator_new(size_t item_size) {
  const size_t own = (size_t)procpool__round_up(sizeof(procpool_iterator), PROCPOOL__ALIGNMENT);
  procpool_iterator *it = (procpool_iterator *)PROCPOOL_MALLOC(own + item_size);
  if (it == NULL)
    return NULL;
  memset((void *)it, 0, sizeof(*it));
  it->magic = PROCPOOL__ITERATOR_LIVE;
  it->last = SIZE_MAX;
  it->item = (unsigned char *)it + own;
  it->item_size = item_size;
  return it;
}

static void procpool__iterator_end(procpool_iterator *it, bool forget) {
  procpool__group_end(&it->group, forget);
  it->magic = 0;
  PROCPOOL_FREE(it->bundles);
  PROCPOOL_FREE(it);
}

/* Whether the process is the one that made it: in a forked child another thread's lock may be held for ever. */
static bool procpool__iterator_here(const procpool_iterator *it) {
  return it->group.pool_count == 0 || procpool__host_here(it->group.pools[0]);
}

PROCPOOL_API procpool_status procpool_as_completed(procpool_future *const *futures, size_t count,
                                                   procpool_iterator **iterator) {
  procpool_iterator *it;
  procpool_status status;
  if (iterator == NULL)
    return procpool__host_wrong(PROCPOOL__NO_ITERATOR);
  *iterator = NULL;
  it = procpool__iterator_new(0);
  if (it == NULL)
    return procpool__host_told(PROCPOOL_MEMORY);
  status = procpool__group_fill(&it->group, futures, count);
  if (status != PROCPOOL_OK) {
    procpool__iterator_end(it, false);
    return procpool__host_told(status);
  }
  it->group.until = PROCPOOL__UNTIL_QUEUED;
  it->end = PROCPOOL_END;
  *iterator = it;
  return PROCPOOL_OK;
}

/* Under the lock: OK, or the refusal. */
static procpool_status procpool__imap_check(procpool *p, procpool_function function, procpool_generator generator,
                                            size_t item_size, const procpool_imap_options *o) {
  if (function == NULL || generator == NULL)
    return procpool__host_refuse(p, PROCPOOL_ARGUMENT, 0, "the function or the generator is null");
  if (!procpool__size_possible(1, item_size) || o->buffersize > PROCPOOL__MAX_QUEUED ||
      o->chunksize > PROCPOOL__MAX_QUEUED)
    return procpool__host_refuse(p, PROCPOOL_ARGUMENT, 0,
                                 "the items, options.buffersize or options.chunksize are too large");
  if (procpool__public_bad_timeout(o->time_limit) || procpool__public_bad_timeout(o->grace))
    return procpool__host_refuse(p, PROCPOOL_ARGUMENT, 0, PROCPOOL__NOT_A_NUMBER);
  if (o->time_limit > 0 && p->start > PROCPOOL_START_SPAWN)
    return procpool__host_refuse(p, PROCPOOL_UNSUPPORTED, 0,
                                 "a time limit needs fork or spawn: no thread can be ended");
  return PROCPOOL_OK;
}

/* So many inputs are taken and not delivered, at most. */
static size_t procpool__imap_window(const procpool *p, const procpool_imap_options *o) {
  const size_t chunksize = o->chunksize > 0 ? o->chunksize : 1;
  size_t window = 2 * (size_t)p->segment.workers;
  window = chunksize < (size_t)PROCPOOL__MAX_QUEUED / window ? chunksize * window : (size_t)PROCPOOL__MAX_QUEUED;
  window = window > PROCPOOL__WINDOW_LEAST ? window : PROCPOOL__WINDOW_LEAST;
  return o->buffersize > 0 ? o->buffersize : window;
}

/* Null where there is no memory. One block: what an iterator needs for bundles of so many items, places of them. */
static procpool__bundles *procpool__bundles_new(size_t item_size, size_t chunksize, size_t window, size_t places) {
  const size_t own = (size_t)procpool__round_up(sizeof(procpool__bundles), PROCPOOL__ALIGNMENT);
  const size_t sent = (size_t)procpool__round_up(places * sizeof(procpool__bundle_sent), PROCPOOL__ALIGNMENT);
  const uint64_t step = procpool__round_up(item_size, PROCPOOL__ALIGNMENT);
  procpool__bundles *b = (procpool__bundles *)PROCPOOL_MALLOC(own + sent + chunksize * (size_t)step);
  if (b == NULL)
    return NULL;
  memset((void *)b, 0, own);
  b->chunksize = chunksize;
  b->window = window;
  b->step = (size_t)step;
  b->sent = (procpool__bundle_sent *)(void *)((unsigned char *)b + own);
  b->items = (unsigned char *)b + own + sent;
  b->room = PROCPOOL__BUNDLE_ROOM;
  return b;
}

/* Makes the places for what is handed out. One place more than bundles: see procpool__bundle_again. Some bundles are
 * small, so there are more of them than a window of full ones has. */
static procpool_status procpool__imap_make_places(procpool_iterator *it, const procpool *p,
                                                  const procpool_imap_options *o) {
  const uint64_t each = procpool__round_up(it->item_size, PROCPOOL__ALIGNMENT) + PROCPOOL__BUNDLE_ROOM;
  const size_t window = procpool__imap_window(p, o);
  size_t most = each < PROCPOOL__BUNDLE_BYTES ? (size_t)(PROCPOOL__BUNDLE_BYTES / each) : 1;
  size_t places = window;
  procpool_status status;
  most = o->chunksize < most ? o->chunksize : most;
  if (most > 1)
    places = 4 * (window / most) + 4 < window ? 4 * (window / most) + 5 : window + 1;
  status = procpool__group_make(&it->group, places);
  if (most > 1 && status == PROCPOOL_OK)
    it->bundles = procpool__bundles_new(it->item_size, most, window, places);
  return most > 1 && it->bundles == NULL ? PROCPOOL_MEMORY : status;
}

/* The iterator without what is called for its items; null where there is no memory. */
static procpool_iterator *procpool__imap_make(procpool *p, size_t item_size, const procpool_imap_options *o) {
  procpool_iterator *it = procpool__iterator_new(item_size);
  if (it == NULL)
    return NULL;
  if (procpool__imap_make_places(it, p, o) != PROCPOOL_OK) {
    procpool__iterator_end(it, false);
    return NULL;
  }
  it->group.pools[0] = it->pool = p;
  it->group.pool_count = 1;
  it->group.until = o->unordered ? (unsigned)PROCPOOL__UNTIL_QUEUED : (unsigned)PROCPOOL__UNTIL_DUE;
  it->group.due = it->free = it->group.nodes;
  for (size_t i = 1; i < it->group.places; i++)
    it->group.nodes[i - 1].next_done = &it->group.nodes[i];
  it->limits.time_limit = o->time_limit;
  it->limits.grace = o->grace;
  it->limits.user = o->user;
  return it;
}

PROCPOOL_API procpool_status procpool_imap(procpool *pool, procpool_function function, procpool_generator generator,
                                           void *context, size_t item_size, const procpool_imap_options *options,
                                           procpool_iterator **iterator) {
  procpool_iterator *it;
  procpool_imap_options o;
  procpool_status status;
  if (iterator != NULL)
    *iterator = NULL;
  if (options != NULL && procpool__host_mismatch(options->struct_size, sizeof(*options)))
    return procpool__host_told(procpool__host_refuse(NULL, PROCPOOL_MISMATCH, 0, PROCPOOL__OTHER_OPTIONS));
  memset(&o, 0, sizeof(o));
  if (options != NULL)
    o = *options;
  status = procpool__public_enter(pool);
  if (status != PROCPOOL_OK)
    return status;
  if (iterator == NULL)
    status = procpool__host_refuse(pool, PROCPOOL_ARGUMENT, 0, PROCPOOL__NO_ITERATOR);
  else
    status = procpool__imap_check(pool, function, generator, item_size, &o);
  pool->futures.live += status == PROCPOOL_OK;
  (void)procpool__public_leave(pool, status);
  if (status != PROCPOOL_OK)
    return status;
  it = procpool__imap_make(pool, item_size, &o);
  if (it == NULL) {
    procpool__public_let_go(pool);
    return procpool__host_told(PROCPOOL_MEMORY);
  }
  it->function = function;
  it->generator = generator;
  it->context = context;
  *iterator = it;
  return PROCPOOL_OK;
}

/* The place is free again. */
static void procpool__imap_vacate(procpool_iterator *it, procpool__wait_node *node) {
  procpool__node_unlink(node);
  if (it->group.until == PROCPOOL__UNTIL_DUE)
    return;
  node->next_done = it->free;
  it->free = node;
}

/* Under the lock. The block of a bundle, if this future has one: the iterator gives it back where the task has settled,
 * else the task will. */
static void procpool__bundle_free(procpool *p, procpool_future *f) {
  if (!(f->flags & PROCPOOL__F_KEEP_BLOCK))
    return;
  f->flags &= (uint8_t)~PROCPOOL__F_KEEP_BLOCK;
  if (procpool__future_status(f) == PROCPOOL_PENDING || (f->flags & PROCPOOL__F_QUARANTINE) || procpool__host_freed(p))
    return;
  procpool__arena_free(p, f->block, f->block_size);
  procpool__host_pass_room(p);
}

/* Gives back a future of an imap. */
static void procpool__imap_drop(procpool_iterator *it, procpool__wait_node *node) {
  (void)procpool__public_relock(it->pool);
  procpool__bundle_free(it->pool, node->future);
  (void)procpool__future_release(it->pool, node->future);
  procpool__imap_vacate(it, node);
  (void)procpool__public_leave(it->pool, PROCPOOL_OK);
}

/* Under the lock: gives back a future that is in no place; null is fine. */
static void procpool__bundle_drop(procpool *p, procpool_future *f) {
  if (f == NULL)
    return;
  (void)procpool__future_release(p, f); /* the caller may have done so */
  procpool__future_unref(p, f);
}

/* Under the lock. */
static void procpool__bundle_close(procpool_iterator *it) {
  procpool__bundles *b = it->bundles;
  if (b->open == NULL)
    return;
  b->room = b->largest > b->room ? b->largest : b->room - (b->room - b->largest) / 16;
  procpool__bundle_free(it->pool, b->open);
  if (b->next <= b->own) /* it was not delivered */
    procpool__bundle_drop(it->pool, b->open);
  else
    procpool__future_unref(it->pool, b->open);
  b->open = NULL;
}

static void procpool__imap_drop_current(procpool_iterator *it) {
  if (it->pool != NULL && it->current != NULL)
    procpool__imap_drop(it, it->current);
  it->current = NULL;
  if (it->bundles == NULL || it->bundles->held == NULL)
    return;
  (void)procpool__public_relock(it->pool);
  procpool__bundle_drop(it->pool, it->bundles->held);
  it->bundles->held = NULL;
  (void)procpool__public_leave(it->pool, PROCPOOL_OK);
}

/* The node n places behind another one. In order, the nodes are a ring. */
static procpool__wait_node *procpool__imap_behind(const procpool__group *g, const procpool__wait_node *node, size_t n) {
  return &g->nodes[((size_t)(node - g->nodes) + n) % g->places];
}

/* Where the next future goes: there is room. In order behind those in flight, else wherever one was taken out. */
static procpool__wait_node *procpool__imap_place(procpool_iterator *it) {
  procpool__wait_node *node = it->free;
  if (it->group.until == PROCPOOL__UNTIL_DUE)
    return procpool__imap_behind(&it->group, it->group.due, it->group.count);
  it->free = node->next_done;
  return node;
}

/* Pulls the next input. False at the end, and on an error of the generator. */
static bool procpool__imap_pull_to(procpool_iterator *it, unsigned char *item) {
  const int more = it->generator(it->context, item);
  if (more <= 0)
    it->end = more == 0 ? PROCPOOL_END : PROCPOOL_GENERATOR;
  return more > 0;
}

/* Pulls one into it->item. */
static bool procpool__imap_pull(procpool_iterator *it) {
  it->has_item = it->has_item || procpool__imap_pull_to(it, it->item);
  return it->has_item;
}

/* Whether the pointers of the first of *count items hold; *count becomes how many from it on: the next one is refused
 * when its turn comes. A pool that takes nothing more says so itself. */
static bool procpool__imap_pointers_hold(const procpool_iterator *it, const unsigned char *items, size_t step,
                                         size_t *count, char *text) {
  size_t good = 0;
  if (!procpool__pointers_matter(it->pool, it->pointers) || it->pool->life.refusal != PROCPOOL_OK)
    return true;
  while (good < *count && procpool__pointers_hold(it->pool, it->pointers, items + good * step, SIZE_MAX, text))
    good++;
  *count = good > 0 ? good : 1;
  return good > 0;
}

/* Submits the item. While something is in flight a full queue is no reason to wait. */
static procpool_status procpool__imap_submit(procpool_iterator *it, uint64_t deadline) {
  procpool *p = it->pool;
  procpool__order o;
  procpool_status status;
  char text[PROCPOOL__MESSAGE];
  size_t one = 1;
  if (!procpool__public_relock(p)) /* the generator has forked: this is the child */
    return procpool__public_leave(p, PROCPOOL_FORKED);
  if (!procpool__imap_pointers_hold(it, it->item, 0, &one, text))
    return procpool__public_leave(p, procpool__host_refuse(p, PROCPOOL_ARGUMENT, 0, text));
  procpool__submit_make_order(p, &o, it->function, it->item, it->item_size, &it->limits);
  o.index = it->taken;
  o.quiet = true;
  status = procpool__submit_checked(p, &o, it->group.count > 0 ? 0 : deadline);
  if (status == PROCPOOL_OK) {
    procpool__node_link(&it->group.waiter, procpool__imap_place(it), o.future);
    it->group.count++;
    it->taken++;
  }
  return procpool__public_leave(p, status);
}

/* ---- items that are handed out together ---- */

/* Items of the next bundle: fewer where the answers were large. */
static size_t procpool__bundle_size(const procpool__bundles *b) {
  const uint64_t each = (uint64_t)b->step + procpool__answer_length(b->room);
  const size_t most = each < PROCPOOL__BUNDLE_BYTES ? (size_t)(PROCPOOL__BUNDLE_BYTES / each) : 1;
  return b->chunksize < most ? b->chunksize : most;
}

/* Whether there is a place for one more bundle. The last place is that of a bundle which is handed out again. */
static bool procpool__bundle_fits(const procpool_iterator *it) {
  return it->group.count + 1 < it->group.places;
}

/* Whether something is to be delivered without waiting. */
static bool procpool__bundle_ready(const procpool__bundles *b) {
  return b->open != NULL && (b->next <= b->own || b->beyond != PROCPOOL_OK);
}

/* Makes count items from arguments on, which lie in the block, a task. */
static void procpool__bundle_order(const procpool_iterator *it, procpool__order *o, uint64_t block, size_t count,
                                   uint64_t arguments, uint64_t answers, uint64_t size) {
  const procpool *p = it->pool;
  procpool__bundle *bundle = (procpool__bundle *)(void *)(p->segment.arena + block);
  bundle->count = count;
  bundle->argument_size = it->item_size;
  bundle->argument_step = it->bundles->step;
  bundle->arguments = block + arguments;
  bundle->answers = block + answers;
  bundle->answers_size = size - answers;
  bundle->index = o->index;
  procpool__store_relaxed(&bundle->begun, 0);
  o->block = block;
  o->size = (size_t)size;
  o->flags |= PROCPOOL__SLOT_BUNDLE;
  o->limit = procpool__public_time_limit(it->limits.time_limit, (double)count, p->tasks.time_limit);
}

/* Notes the task in its place. */
static void procpool__bundle_sent_as(procpool_iterator *it, procpool__wait_node *place, procpool_future *f,
                                     size_t count, uint64_t arguments, uint64_t answers) {
  procpool__bundle_sent *sent = &it->bundles->sent[place - it->group.nodes];
  sent->count = count;
  sent->arguments = arguments;
  sent->answers = answers;
  procpool__node_link(&it->group.waiter, place, f);
  it->group.count++;
}

/* Hands out inputs that wait. Without memory for several one goes alone, which waits for some if it must. */
static procpool_status procpool__bundle_send(procpool_iterator *it, uint64_t deadline) {
  const uint64_t arguments = procpool__round_up(sizeof(procpool__bundle), PROCPOOL__LINE);
  procpool__bundles *b = it->bundles;
  procpool *p = it->pool;
  size_t n = procpool__bundle_size(b);
  uint64_t answers, size, block = PROCPOOL__NO_BLOCK;
  char text[PROCPOOL__MESSAGE];
  procpool__order o;
  procpool_status status;
  if (!procpool__public_relock(p)) /* the generator has forked: this is the child */
    return procpool__public_leave(p, PROCPOOL_FORKED);
  n = n < b->waiting ? n : b->waiting;
  if (!procpool__imap_pointers_hold(it, b->items, b->step, &n, text))
    return procpool__public_leave(p, procpool__host_refuse(p, PROCPOOL_ARGUMENT, 0, text));
  answers = arguments + n * (uint64_t)b->step;
  size = answers + (n - 1) * procpool__answer_length(b->room);
  procpool__submit_make_order(p, &o, it->function, b->items, it->item_size, &it->limits);
  o.index = it->taken;
  o.quiet = true;
  if (n > 1 && p->life.refusal == PROCPOOL_OK)
    block = procpool__arena_hold(p, size);
  if (block == PROCPOOL__NO_BLOCK) {
    n = 1;
  } else {
    procpool__bundle_order(it, &o, block, n, arguments, answers, size);
    memcpy(p->segment.arena + block + arguments, b->items, n * b->step);
  }
  status = procpool__submit_checked(p, &o, b->taken > b->waiting ? 0 : deadline);
  if (status == PROCPOOL_OK) {
    p->arena.held -= block != PROCPOOL__NO_BLOCK; /* it is the task's now */
    procpool__bundle_sent_as(it, procpool__imap_place(it), o.future, n, arguments, answers);
    it->taken += n;
    b->waiting -= n;
    memmove(b->items, b->items + n * b->step, b->waiting * b->step);
  } else {
    procpool__arena_unhold(p, block, size);
  }
  return procpool__public_leave(p, status);
}

/* The bundle that is open broke off, and what it came to is delivered: the rest is handed out again, in its block, and
 * in order before all others. Where that is refused, those items come to that. */
static procpool_status procpool__bundle_again(procpool_iterator *it, uint64_t deadline) {
  procpool__bundles *b = it->bundles;
  procpool__group *g = &it->group;
  procpool *p = it->pool;
  const size_t count = b->count - b->next;
  const uint64_t arguments = b->arguments + b->next * (uint64_t)b->step;
  procpool_status status = PROCPOOL_SHUTDOWN;
  char text[PROCPOOL__MESSAGE];
  size_t good = count;
  procpool__order o;
  if (!procpool__public_relock(p)) /* the generator has forked: this is the child */
    return procpool__public_leave(p, PROCPOOL_FORKED);
  if (!procpool__host_freed(p) && /* a buffer that they point to may have been freed since they were handed out */
      (!procpool__imap_pointers_hold(it, p->segment.arena + b->open->block + arguments, b->step, &good, text) ||
       good < count)) {
    status = PROCPOOL_ARGUMENT;
  } else if (!procpool__host_freed(p)) {
    procpool__submit_make_order(p, &o, it->function, it->item, it->item_size, &it->limits);
    o.index = b->first + b->next;
    o.quiet = true;
    procpool__bundle_order(it, &o, b->open->block, count, arguments, b->answers, b->open->block_size);
    status = procpool__submit_checked(p, &o, deadline);
  }
  if (status == PROCPOOL_OK) {
    b->open->flags &= (uint8_t)~PROCPOOL__F_KEEP_BLOCK; /* it is the other task's */
    procpool__bundle_close(it);
    if (g->until == PROCPOOL__UNTIL_DUE)
      g->due = procpool__imap_behind(g, g->due, g->places - 1);
    procpool__bundle_sent_as(it, g->until == PROCPOOL__UNTIL_DUE ? g->due : procpool__imap_place(it), o.future, count,
                             arguments, b->answers);
  } else if (status == PROCPOOL_FULL) {
    status = PROCPOOL_PENDING;
  } else if (status != PROCPOOL_INTERRUPTED && status != PROCPOOL_MEMORY && status != PROCPOOL_FORKED) {
    b->beyond = status < PROCPOOL_PENDING ? status : PROCPOOL_TRANSFER;
    status = PROCPOOL_OK;
  }
  return procpool__public_leave(p, status);
}

/* Opens a bundle that has settled. What a worker has written of it is but a number to be checked: one that lies makes
 * its own items fail. Of tasks that did not begin, or that ended with the pool, all items from own on come to that. */
static void procpool__bundle_open(procpool_iterator *it, procpool__wait_node *node) {
  const procpool__bundle_sent *sent = &it->bundles->sent[node - it->group.nodes];
  procpool__bundles *b = it->bundles;
  procpool_future *f = node->future;
  const procpool_status status = procpool__future_status(f);
  const bool over = status == PROCPOOL_CANCELLED || (status >= PROCPOOL_SHUTDOWN && status <= PROCPOOL_BROKEN);
  f->refs++;
  procpool__imap_vacate(it, node);
  b->open = f;
  b->first = f->index;
  b->count = sent->count;
  b->arguments = sent->arguments;
  b->answers = b->answer = sent->answers;
  b->next = b->own = 0;
  b->largest = 0;
  b->beyond = over || (f->flags & PROCPOOL__F_QUARANTINE) ? status : PROCPOOL_OK;
  if (f->flags & PROCPOOL__F_KEEP_BLOCK) {
    const procpool__bundle *bundle = (const procpool__bundle *)(const void *)(it->pool->segment.arena + f->block);
    const uint64_t begun = procpool__host_freed(it->pool) ? 0 : procpool__load_acquire(&bundle->begun);
    b->own = begun == 0 ? 0 : begun < b->count ? (size_t)begun - 1 : b->count - 1;
    if (procpool__host_freed(it->pool))
      b->own = PROCPOOL__BUNDLE_NONE;
  }
}

/* What an item reported itself. */
static void procpool__bundle_failure(procpool_future *f, const unsigned char *bytes, uint64_t size) {
  procpool_error *e = procpool__host_error(f, PROCPOOL_FAILED);
  procpool__failure failure;
  memset(&failure, 0, sizeof(failure));
  memcpy(&failure, bytes, size < sizeof(failure) ? (size_t)size : sizeof(failure));
  failure.message[sizeof(failure.message) - 1] = 0;
  if (e == NULL)
    return;
  e->code = failure.code;
  memcpy(e->message, failure.message, sizeof(e->message));
}

/* Reads the next answer in the bundle that is open. What is there was acquired with begun, and is read once. PENDING
 * where there is no memory for it: it stays there. */
static procpool_status procpool__bundle_answer(procpool__bundles *b, procpool_future *f) {
  const unsigned char *at = f->pool->segment.arena + b->open->block + b->answer;
  const procpool__answer *answer = (const procpool__answer *)(const void *)at;
  const uint64_t left = b->open->block_size - b->answer;
  const uint64_t size = left < sizeof(*answer) ? UINT64_MAX : procpool__load_relaxed(&answer->size);
  const uint64_t kind = left < sizeof(*answer) ? 0 : procpool__load_relaxed(&answer->kind);
  if (size > left - sizeof(*answer) || left < sizeof(*answer) || kind > PROCPOOL__ANSWER_FAILURE) {
    b->answer = b->open->block_size; /* nor is there one behind it */
    procpool__host_explain(f, PROCPOOL_CRASHED, 0, "a worker wrote nonsense into shared memory");
    return PROCPOOL_CRASHED;
  }
  at += sizeof(*answer);
  if (kind == PROCPOOL__ANSWER_FAILURE) {
    procpool__bundle_failure(f, at, size);
  } else if (kind == PROCPOOL__ANSWER_NONE) {
    f->flags |= PROCPOOL__F_NONE;
  } else {
    void *data = f->result.small;
    if (size > PROCPOOL__SMALL)
      data = f->result.data = procpool__aligned_new(size);
    if (data == NULL)
      return PROCPOOL_PENDING;
    memcpy(data, at, (size_t)size);
    f->size = size;
  }
  b->answer += procpool__answer_length(size);
  b->answer = b->answer < b->open->block_size ? b->answer : b->open->block_size;
  b->largest = size > b->largest ? size : b->largest;
  return kind == PROCPOOL__ANSWER_FAILURE ? PROCPOOL_FAILED : PROCPOOL_OK;
}

/* Makes a settled future for the next item, which is not the task's own. Null where there is no memory. */
static procpool_future *procpool__bundle_future(procpool_iterator *it) {
  procpool__bundles *b = it->bundles;
  procpool_future *f = procpool__future_new(it->pool);
  procpool_status status = b->beyond;
  if (f == NULL)
    return NULL;
  f->index = b->first + b->next;
  f->user = it->limits.user;
  if (procpool__host_freed(it->pool)) {
    status = PROCPOOL_SHUTDOWN;
  } else if (b->next < b->own) {
    f->worker = b->open->worker;
    f->pid = b->open->pid;
    status = procpool__bundle_answer(b, f);
  }
  if (status != PROCPOOL_PENDING) {
    it->pool->futures.held++;
    __atomic_store_n(&f->status, (uint8_t)status, __ATOMIC_RELEASE);
    return f;
  }
  f->refs = 1;
  procpool__future_unref(it->pool, f);
  return NULL;
}

/* The next item of the bundle that is open, which is ready. Null where there is no memory. */
static procpool_future *procpool__bundle_next(procpool_iterator *it) {
  procpool__bundles *b = it->bundles;
  procpool_future *f = b->open;
  if (b->next != b->own) {
    f = procpool__bundle_future(it);
  } else {
    const uint64_t size = f->error != NULL ? (uint64_t)sizeof(procpool__failure) : f->size;
    b->largest = size > b->largest ? size : b->largest;
    f->refs++;
    f->index = b->first + b->next; /* until now it was the bundle's */
    if (f->error != NULL)
      f->error->index = f->index;
  }
  if (f == NULL)
    return NULL;
  b->held = f;
  b->next++;
  b->taken--;
  if (b->next == b->count)
    procpool__bundle_close(it);
  return f;
}

/* ---- filling the window ---- */

/* Whether one more input may be taken. */
static bool procpool__imap_wants(const procpool_iterator *it) {
  const procpool__bundles *b = it->bundles;
  if (it->end != PROCPOOL_OK)
    return false;
  if (b == NULL)
    return it->group.count < it->group.places;
  return b->taken < b->window && (b->waiting < procpool__bundle_size(b) || procpool__bundle_fits(it));
}

/* Whether something is to come before what waits here. */
static bool procpool__imap_busy(const procpool_iterator *it) {
  return it->bundles != NULL ? it->bundles->taken > it->bundles->waiting : it->group.count > 0;
}

/* Pulls the next input. False where there is none. */
static bool procpool__imap_take_in(procpool_iterator *it) {
  procpool__bundles *b = it->bundles;
  if (b == NULL)
    return procpool__imap_pull(it);
  if (b->waiting >= procpool__bundle_size(b))
    return true; /* there was no room for these */
  if (!procpool__imap_pull_to(it, b->items + b->waiting * b->step))
    return false;
  b->waiting++;
  b->taken++;
  return true;
}

/* Hands out what was pulled. In bundles: a full one; what there is, where all says so. OK, or why this call ends; what
 * ends the iteration is noted. */
static procpool_status procpool__imap_hand_out(procpool_iterator *it, const procpool__wait *wait, bool all) {
  procpool__bundles *b = it->bundles;
  procpool_status status = PROCPOOL_OK;
  if (b == NULL)
    status = procpool__imap_submit(it, wait->deadline);
  else if (b->waiting > 0 && (all || b->waiting >= procpool__bundle_size(b)) && procpool__bundle_fits(it))
    status = procpool__bundle_send(it, wait->deadline);
  if (status == PROCPOOL_MEMORY && b != NULL && procpool__imap_busy(it))
    status = PROCPOOL_FULL; /* what is to be delivered gives some back */
  if (status == PROCPOOL_FULL || status == PROCPOOL_INTERRUPTED || status == PROCPOOL_FORKED)
    return status;
  it->has_item = false;
  if (status == PROCPOOL_OK)
    return PROCPOOL_OK;
  it->end = status;
  if (status == PROCPOOL_MEMORY)
    procpool__error_fill(&it->why, status, PROCPOOL__NO_MEMORY, NULL);
  else
    it->why = procpool__thread_last.error; /* told just now, but it is returned after what was handed out before */
  if (b != NULL) {
    b->taken -= b->waiting;
    b->waiting = 0;
  }
  return PROCPOOL_OK;
}

/* Whether there is something to be delivered, so that a slow generator need not be asked further. */
static bool procpool__imap_ready(procpool_iterator *it) {
  procpool *p = it->pool;
  bool ready = it->bundles != NULL && procpool__bundle_ready(it->bundles);
  if (!procpool__public_relock(p))
    return procpool__public_leave(p, PROCPOOL_FORKED) == PROCPOOL_OK;
  if (!ready && it->group.count > 0 && !procpool__host_freed(p)) {
    (void)procpool__host_drain(p);
    ready = procpool__condition_group(p, &it->group);
  }
  (void)procpool__public_leave(p, PROCPOOL_OK);
  return ready;
}

/* Submits inputs until the window is full, or the generator takes its time and there is something to be delivered.
 * However long the generator takes, an interrupt ends that; a time-out too, once something is in flight (but a call
 * that does not wait at all still pulls: it may be the only kind that is made). */
static procpool_status procpool__imap_fill(procpool_iterator *it, const procpool__wait *wait) {
  uint64_t tick = procpool__platform_tick();
  procpool_status status = PROCPOOL_OK;
  bool slow = false;
  while (status == PROCPOOL_OK && !(slow && procpool__imap_ready(it)) && procpool__imap_wants(it)) {
    status = procpool__host_wait_look(it->pool, wait);
    if (status == PROCPOOL_INTERRUPTED) {
      (void)procpool__public_relock(it->pool);
      return procpool__public_leave(it->pool, procpool__host_wait_over(it->pool, wait));
    }
    if (status == PROCPOOL_FORKED)
      return status;
    if ((status == PROCPOOL_PENDING && wait->deadline > 0 &&
         (procpool__imap_busy(it) || (it->bundles != NULL && it->bundles->waiting > 0))) ||
        !procpool__imap_take_in(it)) {
      status = PROCPOOL_OK;
      break;
    }
    slow = tick != procpool__platform_tick();
    tick = slow ? procpool__platform_tick() : tick;
    status = procpool__imap_hand_out(it, wait, slow);
  }
  while (status == PROCPOOL_OK && it->bundles != NULL && it->bundles->waiting > 0 && procpool__bundle_fits(it) &&
         (it->end != PROCPOOL_OK || !procpool__imap_busy(it)))
    status = procpool__imap_hand_out(it, wait, true);
  if (status == PROCPOOL_FULL)
    return procpool__imap_busy(it) ? PROCPOOL_OK : PROCPOOL_PENDING;
  return status;
}

/* The place of the future that is to be delivered next: there is one. */
static procpool__wait_node *procpool__iterator_pop(procpool_iterator *it) {
  procpool__group *g = &it->group;
  procpool__wait_node *node = g->due;
  if (g->until == PROCPOOL__UNTIL_DUE)
    g->due = procpool__imap_behind(g, g->due, 1);
  else
    node = procpool__waiter_pop(&g->waiter);
  g->count--;
  return node;
}

/* Takes out the item that is to be delivered; null where a callback has taken all that were there. */
static procpool_status procpool__bundle_take(procpool_iterator *it, procpool_future **future) {
  procpool__bundles *b = it->bundles;
  procpool *p = it->pool;
  procpool_status status = PROCPOOL_OK;
  if (!procpool__public_relock(p))
    return procpool__public_leave(p, PROCPOOL_FORKED);
  if (b->open == NULL && it->group.count > 0 && procpool__condition_group(p, &it->group))
    procpool__bundle_open(it, procpool__iterator_pop(it));
  if (procpool__bundle_ready(b)) {
    *future = procpool__bundle_next(it);
    status = *future != NULL ? PROCPOOL_OK : PROCPOOL_MEMORY;
    it->last = *future != NULL ? (*future)->index : it->last;
  }
  return procpool__public_leave(p, status);
}

/* The same for an iterator of any kind. */
static procpool_status procpool__iterator_take(procpool_iterator *it, procpool_future **future) {
  procpool__imap_drop_current(it); /* a callback's */
  if (it->bundles != NULL)
    return procpool__bundle_take(it, future);
  if (it->group.count == 0)
    return PROCPOOL_OK;
  it->current = procpool__iterator_pop(it);
  *future = it->current->future;
  it->last = it->pool != NULL ? (*future)->index : (size_t)(it->current - it->group.nodes);
  return PROCPOOL_OK;
}

/* Waits for the next one; END, once why there is none, where all have been delivered. */
static procpool_status procpool__iterator_await(procpool_iterator *it, procpool__wait *wait) {
  const procpool__bundles *b = it->bundles;
  procpool_status status = PROCPOOL_OK;
  if (b != NULL && b->open != NULL && !procpool__bundle_ready(b))
    status = procpool__bundle_again(it, wait->deadline);
  if (status == PROCPOOL_OK && it->pool != NULL)
    status = procpool__imap_fill(it, wait);
  if (status != PROCPOOL_OK || (b != NULL && procpool__bundle_ready(b)))
    return status;
  if (it->group.count > 0)
    return procpool__group_wait(&it->group, wait);
  if (!procpool__iterator_here(it)) /* the generator has forked, and this is the child */
    return PROCPOOL_FORKED;
  status = it->end;
  it->end = PROCPOOL_END;
  if (status == it->why.status)
    procpool__last_set(&it->why, NULL);
  return status;
}

PROCPOOL_API procpool_status procpool_next(procpool_iterator *iterator, double timeout, procpool_future **future) {
  procpool__group *g;
  procpool__wait wait;
  procpool_status status = PROCPOOL_OK;
  void *thrown;
  procpool__platform_cancel_here();
  if (future != NULL)
    *future = NULL;
  if (iterator == NULL || iterator->magic != PROCPOOL__ITERATOR_LIVE)
    return procpool__host_told(PROCPOOL_HANDLE);
  if (!procpool__iterator_here(iterator))
    return procpool__host_told(PROCPOOL_FORKED);
  if (future == NULL || procpool__public_bad_timeout(timeout))
    return procpool__host_wrong("there is no place for the future, or the time is not a number");
  g = &iterator->group;
  if (g->pool_count == 0)
    return PROCPOOL_END;
  procpool__imap_drop_current(iterator);
  wait = procpool__group_begin(g, timeout);
  while (status == PROCPOOL_OK && *future == NULL) { /* again where a callback has taken what there was */
    status = procpool__iterator_await(iterator, &wait);
    thrown = g->thrown;
    g->thrown = NULL;
    procpool__platform_throw(thrown);
    if (status == PROCPOOL_OK)
      status = procpool__iterator_take(iterator, future);
  }
  return procpool__host_told(status);
}

PROCPOOL_API procpool_status procpool__typed_imap(procpool *pool, procpool_function function,
                                                  procpool_generator generator, void *context, size_t item_size,
                                                  const procpool_imap_options *options, procpool_iterator **iterator,
                                                  procpool__pointers pointers) {
  const procpool_status status = procpool_imap(pool, function, generator, context, item_size, options, iterator);
  if (status == PROCPOOL_OK)
    (*iterator)->pointers = pointers;
  return status;
}

/* For the typed layer: the next result itself. A failed item is told by its status; the iteration goes on. */
PROCPOOL_API bool procpool__typed_each(procpool_iterator *iterator, void *buffer, size_t size,
                                       procpool_status *status) {
  procpool_future *future;
  if (status == NULL) {
    (void)procpool__host_wrong(PROCPOOL__NO_PLACE);
    return false;
  }
  *status = buffer != NULL || size == 0 ? procpool_next(iterator, PROCPOOL_FOREVER, &future)
                                        : procpool__host_wrong(PROCPOOL__NO_PLACE);
  if (*status == PROCPOOL_INTERRUPTED)
    (void)procpool__host_refuse(NULL, *status, 0, NULL);
  if (*status != PROCPOOL_OK) /* before an item is taken */
    return false;
  procpool__public_lock(future->pool);
  *status = procpool__public_leave(future->pool, procpool__future_take(future, buffer, size));
  return true;
}

PROCPOOL_API procpool_status procpool__typed_next(procpool_iterator *iterator, void *buffer, size_t size) {
  procpool_status status;
  (void)procpool__typed_each(iterator, buffer, size, &status);
  return status;
}

PROCPOOL_API size_t procpool_iterator_index(procpool_iterator *iterator) {
  return iterator != NULL && iterator->magic == PROCPOOL__ITERATOR_LIVE ? iterator->last : SIZE_MAX;
}

PROCPOOL_API size_t procpool_iterator_remaining(procpool_iterator *iterator) {
  if (iterator == NULL || iterator->magic != PROCPOOL__ITERATOR_LIVE)
    return 0;
  return iterator->bundles != NULL ? iterator->bundles->taken : iterator->group.count;
}

PROCPOOL_API void procpool_iterator_free(procpool_iterator *iterator) {
  bool here;
  procpool *p;
  if (iterator == NULL || iterator->magic != PROCPOOL__ITERATOR_LIVE)
    return;
  p = iterator->pool;
  here = procpool__iterator_here(iterator);
  if (p != NULL && here)
    procpool__imap_drop_current(iterator);
  if (iterator->bundles != NULL && here) {
    (void)procpool__public_relock(p);
    procpool__bundle_close(iterator);
    (void)procpool__public_leave(p, PROCPOOL_OK);
  }
  for (size_t i = 0; i < iterator->group.places && p != NULL && here; i++)
    if (iterator->group.nodes[i].future != NULL) {
      (void)procpool_future_cancel(iterator->group.nodes[i].future);
      procpool__imap_drop(iterator, &iterator->group.nodes[i]);
    }
  procpool__iterator_end(iterator, !here);
  if (p != NULL && here)
    procpool__public_let_go(p);
}

/* ==== >>map =========================================================================================================
 * Runs in:   the host. (Workers run the chunks: see procpool__worker_run_chunk, and the loop of the typed layer.)
 * Writes:    arguments, results and progress words of its chunks, in the arena.
 * Calls:     >>results, and all above it.
 * Always:    an item begins at most once; after a crash the items that had ended are kept, and the others are handed
 *            out again. */

/* The block of a chunk: its head, arguments and results (unless they lie in shared buffers), the marks of items that
 * failed, and what they told, where that is asked for. Each begins at such an offset. */
typedef struct procpool__layout {
  uint64_t arguments, results, failures, records, size;
} procpool__layout;

/* One chunk: items first to first + count. While it is not handed out, the items of one that broke off. */
typedef struct procpool__job {
  procpool__wait_node node; /* first; its future is null while the chunk is not handed out */
  struct procpool__job *next;
  uint64_t block;
  procpool__layout at;
  size_t first, count;
  uint64_t seen; /* what begun said at the last look, see map_share; 0: it had not begun, or there was none */
} procpool__job;

/* The caller's arguments or results: how they lie in a chunk. */
typedef struct procpool__array {
  size_t size;     /* of an item */
  uint64_t step;   /* from one item to the next */
  bool shared;     /* they are used where they are: in a shared buffer, */
  uint64_t offset; /* there in the arena */
} procpool__array;

/* One call of map. Lives on the caller's stack; the lock is held except while it copies or fills large arrays. */
typedef struct procpool__mapping {
  procpool__waiter waiter; /* first: see WAIT_GROUP */
  procpool *pool;
  procpool_function function;
  bool by_items;               /* function runs a whole chunk (the typed layer) */
  procpool__pointers pointers; /* among its arguments; null: none is one */
  const unsigned char *from;   /* the caller's arrays */
  unsigned char *to;
  procpool__array arguments, results;
  size_t count;
  procpool_map_options o;        /* zeros where there are none */
  procpool_map_options *options; /* where the caller is told of failures; or null */
  procpool__wait wait;
  uint64_t deadline;             /* the call's; the wait's may be earlier */
  uint64_t looked, gap;          /* ns: when map_share looked last, 0: there is more to hand out; to the next look */
  bool halted;                   /* it ends before its time: no further item begins */
  size_t next;                   /* first item never handed out */
  procpool__job *jobs;           /* null before the map begins */
  procpool__job *idle, *again;   /* not handed out; with items of a chunk that broke off */
  size_t job_count, busy, depth; /* chunks: most ever handed out at once, handed out now, most to be handed out now */
  size_t items;                  /* of the chunks that are handed out */
  uint64_t bytes;                /* of their blocks */
  uint64_t since;                /* ns: when results were taken last; 0: never */
  double item_ns;                /* how long an item took by then, in the pool as a whole */
  uint64_t spare;                /* see procpool__wait */
  uint64_t room_before;          /* procpool__host_room when room was last looked for, */
  bool cell_before;              /* and whether there was a cell */
  size_t least;       /* items that are worth handing out, by what the last chunk took; 0: one, or not known */
  bool brief;         /* none but one that is awake is to run it, see map_is_brief; */
  uint64_t brief_end; /* ns: until then, at most */
  size_t failed_item, failed_count;
  procpool_status status; /* of the first item that is not OK, */
  procpool_error error;   /* and its error */
} procpool__mapping;

/* To hand out a chunk and to take it in costs some 20 us of a processor's time, on a machine that has no processor to
 * spare: a chunk shall take a few times as long, where items are so quick that it matters. */
#define PROCPOOL__CHUNK_NS ((uint64_t)60000)
#define PROCPOOL__CHUNK_MOST ((size_t)0xffffff) /* items */
#define PROCPOOL__CHUNK_CACHED ((size_t)262144) /* bytes: what is copied shall stay in the cache until it is used */
#define PROCPOOL__MAP_PIECE ((size_t)1 << 20)   /* bytes that are copied between two looks at the clock */
#define PROCPOOL__MAP_BYTES ((uint64_t)1 << 20) /* of all that is handed out at once, where chunks are small */
enum { PROCPOOL__ITEM_ALIGN = 16 };

/* Bytes of an item in the block of its chunk. */
static uint64_t procpool__map_copied(const procpool__array *a) {
  return a->shared ? 0 : a->step;
}

/* Bytes of an item's record in the block of its chunk. */
static uint64_t procpool__map_record(const procpool__mapping *m) {
  return m->o.errors != NULL ? sizeof(procpool__failure) : 0;
}

/* Items of the next chunk: many first, few towards the end, so that no worker waits long for the last one. At most what
 * a quarter of the arena holds; in an inline pool no thread looks at the clock while a chunk runs: only what takes a
 * moment. */
static size_t procpool__map_chunksize(const procpool__mapping *m) {
  const bool copied = !m->arguments.shared || !m->results.shared;
  const size_t sizes = (m->arguments.shared ? 0 : m->arguments.size) + (m->results.shared ? 0 : m->results.size);
  const uint64_t bytes =
      procpool__map_copied(&m->arguments) + procpool__map_copied(&m->results) + procpool__map_record(m);
  const uint64_t arena = m->pool->segment.arena_size; /* an item has a quarter of a byte for its mark, too */
  uint64_t most = bytes > 0 ? arena / 4 / bytes : arena;
  const size_t least =
      bytes > 0 && m->least > PROCPOOL__MAP_BYTES / bytes ? (size_t)(PROCPOOL__MAP_BYTES / bytes) : m->least;
  const size_t rest = m->count - m->next;
  size_t n = rest / ((size_t)m->pool->segment.workers * (copied ? 4 : 2));
  n = n > least ? n : least;
  if (rest > n && rest - n < least / 2) /* it is not worth a chunk of its own */
    n = rest;
  if (m->o.chunksize > 0)
    n = m->o.chunksize;
  else if (copied && n > PROCPOOL__CHUNK_CACHED / (sizes + 1))
    n = PROCPOOL__CHUNK_CACHED / (sizes + 1);
  if (m->pool->methods.inline_worker != NULL && n > m->least)
    n = m->least;
  most = most < PROCPOOL__CHUNK_MOST ? most : PROCPOOL__CHUNK_MOST;
  n = n < most ? n : (size_t)most;
  return n > 0 ? n : 1;
}

static procpool__chunk *procpool__map_chunk(const procpool__mapping *m, const procpool__job *job) {
  return (procpool__chunk *)(void *)(m->pool->segment.arena + job->block);
}

/* Where everything lies in the block of so many items. Nothing overflows: see map_fits and map_chunksize. */
static procpool__layout procpool__map_layout(const procpool__mapping *m, size_t count) {
  procpool__layout at;
  at.arguments = procpool__round_up(sizeof(procpool__chunk), PROCPOOL__LINE);
  at.results = procpool__round_up(at.arguments + count * procpool__map_copied(&m->arguments), PROCPOOL__LINE);
  at.failures = procpool__round_up(at.results + count * procpool__map_copied(&m->results), PROCPOOL__LINE);
  at.records = procpool__round_up(at.failures + procpool__chunk_marks_size(count), PROCPOOL__LINE);
  at.size = at.records + count * procpool__map_record(m);
  return at;
}

#define PROCPOOL__MAP_WRONG_PLACE "an array lies in a shared buffer in part, or in one that was freed"

/* Whether an array lies in a shared buffer is found out once, since the layout of all chunks goes by it, and seen to be
 * so still before more are handed out. False if it is not, or the array lies there in part, or in a buffer that is
 * freed. In a chunk each item begins at a multiple of 16, as a task's argument and result do; in an array that is used
 * where it is, or that the typed layer reads as an array, at that of its type. */
static bool procpool__map_locate(const procpool__mapping *m, procpool__array *a, const void *data) {
  const uint64_t size = (uint64_t)m->count * a->size; /* such arrays are possible: see procpool__map_check */
  const procpool__where where =
      size > 0 ? procpool__buffer_find(m->pool, data, size, &a->offset) : PROCPOOL__WHERE_OUTSIDE;
  const bool shared = where == PROCPOOL__WHERE_BUFFER;
  if (where == PROCPOOL__WHERE_WRONG || (m->jobs != NULL && shared != a->shared))
    return false;
  a->shared = shared;
  a->step = m->by_items || shared ? a->size : procpool__round_up(a->size, PROCPOOL__ITEM_ALIGN);
  return true;
}

static bool procpool__map_locate_both(procpool__mapping *m) {
  return procpool__map_locate(m, &m->arguments, m->from) && procpool__map_locate(m, &m->results, m->to);
}

/* Copies the arguments of a chunk. The lock is let go: the block is this call's alone. Now and then it looks whether
 * the map's time is over. */
static procpool_status procpool__map_copy_in(const procpool__mapping *m, unsigned char *to, const unsigned char *from,
                                             size_t count) {
  const procpool__array *a = &m->arguments;
  const bool dense = a->step == a->size;
  const size_t size = dense ? a->size * count : a->size;
  procpool_status status = PROCPOOL_OK;
  size_t since = 0;
  procpool__host_unlock(m->pool);
  for (size_t i = 0; i < (dense ? 1 : count) && status == PROCPOOL_OK; i++)
    for (size_t done = 0; done < size && status == PROCPOOL_OK;) {
      const size_t n = size - done < PROCPOOL__MAP_PIECE ? size - done : PROCPOOL__MAP_PIECE;
      procpool__copy_over(&m->pool->copying, to + i * a->step + done, from + i * a->size + done, n);
      done += n;
      since += n;
      if (since >= PROCPOOL__MAP_PIECE) {
        status = procpool__host_wait_look(m->pool, &m->wait);
        since = 0;
      }
    }
  (void)procpool__host_relock(m->pool);
  return status;
}

/* Where in the arena a chunk has its arguments or results. */
static uint64_t procpool__map_place(const procpool__array *a, const procpool__job *job, uint64_t at) {
  return a->shared ? a->offset + (uint64_t)job->first * a->size : job->block + at;
}

/* Fills the job's block. OK, or why the map is to end. */
static procpool_status procpool__map_load(procpool__mapping *m, procpool__job *job) {
  procpool__chunk *chunk = procpool__map_chunk(m, job);
  const uint64_t address = procpool__code_translate(m->pool, m->function);
  if (address == 0)
    return procpool__host_refuse(m->pool, PROCPOOL_NO_FUNCTION, 0, NULL);
  if (address == PROCPOOL__CODE_UNKNOWN)
    return PROCPOOL_SYSTEM;
  memset(chunk, 0, offsetof(procpool__chunk, first));
  chunk->count = job->count;
  chunk->stop = procpool__bounds(0, job->count);
  chunk->argument_size = m->arguments.size;
  chunk->result_size = m->results.size;
  chunk->argument_step = m->arguments.step;
  chunk->result_step = m->results.step;
  chunk->row_most = m->count / (2 * (uint64_t)m->pool->segment.workers);
  chunk->one_by_one = !m->by_items;
  chunk->index = job->first;
  chunk->arguments = procpool__map_place(&m->arguments, job, job->at.arguments);
  chunk->results = procpool__map_place(&m->results, job, job->at.results);
  chunk->failures = job->block + job->at.failures;
  chunk->records = m->o.errors != NULL ? job->block + job->at.records : 0;
  if (procpool__map_copied(&m->arguments) == 0)
    return PROCPOOL_OK;
  return procpool__map_copy_in(m, (unsigned char *)chunk + job->at.arguments, m->from + job->first * m->arguments.size,
                               job->count);
}

/* Submits the chunk, whose block is filled. */
static procpool_status procpool__map_submit(procpool__mapping *m, procpool__job *job) {
  const procpool *p = m->pool;
  procpool__order o;
  procpool_status status;
  memset(&o, 0, sizeof(o));
  o.function = m->function;
  o.size = (size_t)job->at.size;
  o.block = job->block;
  o.flags = PROCPOOL__SLOT_CHUNK;
  o.several = true;
  o.limit = procpool__public_time_limit(m->o.time_limit, (double)job->count, p->tasks.time_limit);
  o.grace = procpool__public_grace(m->o.grace, p->tasks.grace);
  status = procpool__submit_now(m->pool, &o);
  if (status == PROCPOOL_OK)
    procpool__node_link(&m->waiter, &job->node, o.future);
  return status;
}

/* Takes a block for the job's items, and fills it. */
static procpool_status procpool__map_prepare(procpool__mapping *m, procpool__job *job) {
  procpool *p = m->pool;
  job->at = procpool__map_layout(m, job->count);
  job->block = procpool__arena_hold(p, job->at.size);
  if (job->block == PROCPOOL__NO_BLOCK)
    return procpool__submit_no_memory(p, procpool__arena_could_hold(p, job->at.size) ? 0 : UINT64_MAX);
  return procpool__map_load(m, job);
}

/* The job, the first of this list, is handed out. */
static void procpool__map_sent(procpool__mapping *m, procpool__job **list) {
  procpool__job *job = *list;
  *list = job->next;
  job->seen = 0;
  m->busy++;
  m->items += job->count;
  m->bytes += job->at.size;
}

/* Hands out one chunk: there is a job for it. FULL where there is no room now. Memory that the arena could hold is
 * waited for as long as others have some. */
static procpool_status procpool__map_send(procpool__mapping *m) {
  procpool *p = m->pool;
  procpool__job **list = m->again != NULL ? &m->again : &m->idle, *job = *list;
  size_t fresh = 0;
  procpool_status status = procpool__submit_place(p); /* else all that follows would be in vain */
  if (status != PROCPOOL_OK)
    return status;
  if (m->again == NULL) {
    fresh = procpool__map_chunksize(m);
    fresh = fresh < m->count - m->next ? fresh : m->count - m->next;
    job->first = m->next;
    job->count = fresh;
  }
  status = procpool__map_prepare(m, job);
  if (status == PROCPOOL_OK)
    status = procpool__map_submit(m, job);
  if (status != PROCPOOL_OK) {
    procpool__arena_unhold(p, job->block, job->at.size);
    procpool__submit_give_up(p, status);
    return status;
  }
  procpool__map_sent(m, list);
  m->next += fresh;
  return PROCPOOL_OK;
}

/* ---- how many chunks are handed out at once ---- Two per worker and one more keep the workers busy where chunks
 * take long, and tasks that others submit meanwhile wait for no more than these. Where chunks are tiny the host would
 * then have to come every few microseconds: more of them, up to about 4 ms of work (and 1 MiB: they shall stay in the
 * cache). How long an item takes is measured. */
enum { PROCPOOL__MAP_DEPTH = 16 };            /* chunks per worker, at most */
#define PROCPOOL__MAP_AHEAD 4e6               /* ns */
#define PROCPOOL__MAP_NAP 3e5                 /* ns: a sleep that is shorter than this costs more than it saves */
#define PROCPOOL__SHARE_NS ((uint64_t)50000)  /* from one look at chunks that run to the next, at first */
#define PROCPOOL__BRIEF_NS ((uint64_t)500000) /* see map_is_brief: a little more than the longest */

static size_t procpool__map_least_depth(const procpool__mapping *m) {
  return 2 * (size_t)m->pool->segment.workers + 1;
}

/* So many items have come in since the last time. */
static void procpool__map_pace(procpool__mapping *m, size_t items) {
  const uint64_t now = procpool__platform_now();
  const size_t least = procpool__map_least_depth(m);
  if (m->since != 0 && items > 0) {
    const double ns = (double)(now - m->since) / (double)items;
    const double ahead = ns * (double)(m->items + items);
    if (ahead < PROCPOOL__MAP_AHEAD / 2)
      m->depth = 2 * m->depth < m->job_count ? 2 * m->depth : m->job_count;
    else if (ahead > PROCPOOL__MAP_AHEAD * 2)
      m->depth = m->depth / 2 > least ? m->depth / 2 : least;
    m->item_ns = ns;
  }
  m->since = now;
}

static bool procpool__map_more(const procpool__mapping *m) {
  return m->again != NULL || m->next < m->count;
}

/* Where nothing is to be copied, all of it is handed out at once: the host is not called before the end. */
static bool procpool__map_enough(const procpool__mapping *m) {
  if (m->arguments.shared && m->results.shared)
    return m->busy == m->job_count;
  return m->busy >= m->depth || (m->bytes >= PROCPOOL__MAP_BYTES && m->busy >= procpool__map_least_depth(m));
}

/* How many chunks may wait while this sleeps on: half of them, or the last one where nothing is left to hand out; none
 * where that takes so little time that it is better not to sleep. How long it takes is not known at first: then this
 * sleeps where all is handed out, and else looks soon in order to know. */
static uint64_t procpool__map_spare(const procpool__mapping *m) {
  const bool more = procpool__map_more(m);
  const bool soon = m->item_ns > 0 ? m->item_ns * (double)m->items / 2 < PROCPOOL__MAP_NAP : more;
  if (soon || m->brief)
    return 0;
  return more ? m->busy / 2 : 1;
}

/* Whether a worker is awake and has no task, as far as is known. */
static bool procpool__map_has_one(const procpool__mapping *m) {
  const procpool *p = m->pool;
  return procpool__shm_awake(&p->segment) + m->busy > p->tasks.submitted - p->tasks.settled;
}

/* Whether all of it takes so little time, by what is known of its items, that the wakes of more workers would take
 * longer: then one that is awake and has no task does it all. Where items are copied the host has as much to do as the
 * workers, and a second one gains less. Not where callbacks may keep this thread from looking how far it has come. */
static bool procpool__map_is_brief(const procpool__mapping *m) {
  const uint64_t measured = __atomic_load_n(&m->pool->waiting.spin.most, __ATOMIC_RELAXED);
  const double wakes = (double)(measured < PROCPOOL__SPIN_MOST ? measured : PROCPOOL__SPIN_MOST); /* four of them */
  const double worth = (m->arguments.shared && m->results.shared ? 2 : 4) * wakes;
  return m->least > 0 && m->o.chunksize == 0 && m->pool->callbacks.expected == 0 &&
         (double)m->count * (double)PROCPOOL__CHUNK_NS / (double)m->least <= worth && procpool__map_has_one(m);
}

/* Sees to it that the chunks are run. */
static void procpool__map_look(procpool__mapping *m, bool more) {
  if (m->brief)
    procpool__submit_touch(m->pool);
  if (!m->brief || !procpool__map_has_one(m)) /* it has gone to sleep meanwhile */
    procpool__submit_look(m->pool, more);
}

/* A brief map whose chunks do not come within moments is none: others are woken for what waits. Until then a look is
 * due soon, whatever workers there are. */
static void procpool__map_hurry(procpool__mapping *m, uint64_t now) {
  if (m->brief && now >= m->brief_end) {
    m->brief = false;
    procpool__submit_look(m->pool, false);
  }
  if (m->brief && now + PROCPOOL__SHARE_NS < m->deadline)
    m->wait.deadline = now + PROCPOOL__SHARE_NS;
}

static procpool_status procpool__map_fill(procpool__mapping *m) {
  procpool_status status = procpool__map_more(m) ? m->pool->life.refusal : PROCPOOL_OK;
  if (status == PROCPOOL_OK && procpool__map_more(m) &&
      !procpool__map_locate_both(m)) /* a buffer was freed meanwhile */
    status = procpool__host_refuse(m->pool, PROCPOOL_ARGUMENT, 0, PROCPOOL__MAP_WRONG_PLACE);
  while (status == PROCPOOL_OK && procpool__map_more(m) && !procpool__map_enough(m)) {
    status = procpool__host_wait_look(m->pool, &m->wait);
    if (status == PROCPOOL_OK)
      status = procpool__map_send(m);
    procpool__map_look(m, true);
    procpool__host_breathe(m->pool);
  }
  procpool__map_look(m, false);
  m->spare = procpool__map_spare(m);
  return status;
}

static void procpool__map_write_error(procpool_error *to, size_t item, procpool_status status,
                                      const procpool_error *error) {
  if (error != NULL)
    *to = *error;
  else
    procpool__error_fill(to, status, 0, status == PROCPOOL_OK ? "" : NULL);
  to->index = item;
}

/* Notes that items first to first + count ended in status; PENDING is what all of them had from the start. error: null
 * where there is no record of it. */
static void procpool__map_note(procpool__mapping *m, size_t first, size_t count, procpool_status status,
                               const procpool_error *error) {
  for (size_t i = 0; i < count && m->o.statuses != NULL && status != PROCPOOL_PENDING; i++)
    m->o.statuses[first + i] = status;
  for (size_t i = 0; i < count && m->o.errors != NULL && status != PROCPOOL_PENDING; i++)
    procpool__map_write_error(&m->o.errors[first + i], first + i, status, error);
  if (status == PROCPOOL_OK || count == 0)
    return;
  m->failed_count += count;
  if (first >= m->failed_item)
    return;
  m->failed_item = first;
  m->status = status;
  procpool__map_write_error(&m->error, first, status, error);
}

/* What the worker told of an item that failed, by its own words; false where it told nothing of that one. */
static bool procpool__map_read_failure(const procpool__mapping *m, const procpool__job *job, size_t item, bool first,
                                       procpool__failure *failure) {
  const procpool__chunk *chunk = procpool__map_chunk(m, job);
  const unsigned char *records = (const unsigned char *)chunk + job->at.records;
  if (m->o.errors != NULL)
    memcpy(failure, records + item * sizeof(*failure), sizeof(*failure));
  else if (first)
    *failure = chunk->first;
  return m->o.errors != NULL || first;
}

/* What is known of an item that reported failure itself. Where no errors are asked for, that is the message of the
 * chunk's first one, and the status of all. */
static void procpool__map_note_failure(procpool__mapping *m, const procpool__job *job, size_t item, unsigned mark,
                                       bool first) {
  procpool__failure failure;
  procpool_error error;
  procpool__error_fill(&error, mark == 1 ? PROCPOOL_FAILED : PROCPOOL_TRANSFER, 0, "");
  error.worker = job->node.future->worker;
  error.pid = (long)job->node.future->pid;
  if (procpool__map_read_failure(m, job, item, first, &failure)) {
    error.code = failure.code;
    memcpy(error.message, failure.message, sizeof(error.message));
    error.message[sizeof(error.message) - 1] = 0;
  }
  procpool__map_note(m, job->first + item, 1, error.status, &error);
}

static void procpool__map_copy(const procpool__mapping *m, const procpool__job *job, size_t first, size_t count) {
  const procpool__array *a = &m->results;
  const unsigned char *from = (const unsigned char *)procpool__map_chunk(m, job) + job->at.results;
  unsigned char *to = m->to;
  if (procpool__map_copied(a) == 0 || count == 0)
    return;
  to += job->first * a->size;
  if (a->step == a->size)
    memcpy(to + first * a->size, from + first * a->size, count * a->size);
  for (size_t i = first; i < first + count && a->step != a->size; i++)
    memcpy(to + i * a->size, from + i * a->step, a->size);
}

/* Copies out the results of the chunk's first ended items, around those that failed. Its worker has committed it
 * (that was acquired with its word), is reaped, or goes on with later items: what it wrote of these ones was acquired
 * with begun, and of which of them have failed with failed. */
static void procpool__map_collect(procpool__mapping *m, const procpool__job *job, size_t ended) {
  procpool__chunk *chunk = procpool__map_chunk(m, job);
  const uint64_t failed = procpool__load_acquire(&chunk->failed), took = procpool__load_relaxed(&chunk->took);
  const unsigned char *marks = (const unsigned char *)chunk + job->at.failures;
  size_t from = 0;
  bool told = false;
  if (ended == job->count && took > 0) /* be it true or not: it is but a hint how many to hand out at once */
    m->least = (size_t)(ended * PROCPOOL__CHUNK_NS / took);
  procpool__host_unlock(m->pool);
  procpool__map_note(m, job->first, ended, PROCPOOL_OK, NULL);
  for (size_t item = 0; failed > 0 && item < ended; item++) {
    const unsigned mark = procpool__chunk_mark(marks, item);
    if (mark == 0)
      continue;
    procpool__map_copy(m, job, from, item - from);
    procpool__map_note_failure(m, job, item, mark, !told);
    from = item + 1;
    told = true;
  }
  procpool__map_copy(m, job, from, ended - from);
  (void)procpool__host_relock(m->pool);
}

/* How many items of a chunk have ended that did not go through all of them: all before the one that was begun last. */
static size_t procpool__map_ended(const procpool__mapping *m, const procpool__job *job) {
  const uint64_t begun = procpool__load_acquire(&procpool__map_chunk(m, job)->begun);
  return begun == 0 || begun > (uint64_t)job->count + 1 ? 0 : (size_t)begun - 1;
}

/* The job is over: its future is given back, and its block if the chunk has settled, else the block is the task's. Its
 * items from done on are to be handed out again. */
static void procpool__map_free(procpool__mapping *m, procpool__job *job, size_t done) {
  procpool *p = m->pool;
  procpool_future *f = job->node.future;
  procpool__job **list;
  p->arena.held--;
  if (procpool__future_status(f) == PROCPOOL_PENDING) {
    f->flags &= (uint8_t)~PROCPOOL__F_KEEP_BLOCK;
  } else {
    p->arena.returned++;
    if (!(f->flags & PROCPOOL__F_QUARANTINE))
      procpool__arena_free(p, job->block, job->at.size);
    procpool__host_pass_room(p);
  }
  (void)procpool__future_release(p, f);
  procpool__node_unlink(&job->node);
  m->busy--;
  m->items -= job->count;
  m->bytes -= job->at.size;
  job->first += done;
  job->count -= done;
  list = job->count > 0 ? &m->again : &m->idle;
  job->next = *list;
  *list = job;
}

/* A chunk has settled, or is left behind in a map that ends: its results are taken. Of one that came to an end in the
 * midst, since it crashed its worker, ran too long, or was to stop, what had ended is kept; the item that had begun
 * ends as the chunk did, unless that was to stop, and the rest goes back. */
static void procpool__map_finish(procpool__mapping *m, procpool__job *job) {
  const procpool_future *f = job->node.future;
  const procpool_status status = procpool__future_status(f);
  const bool broke_off = status == PROCPOOL_CRASHED || status == PROCPOOL_TIMEOUT;
  size_t done = job->count;
  if (status == PROCPOOL_OK || status == PROCPOOL_PENDING || broke_off) {
    if (status != PROCPOOL_OK || m->halted)
      done = procpool__map_ended(m, job);
    procpool__map_collect(m, job, done);
    if (broke_off && done < job->count)
      procpool__map_note(m, job->first + done++, 1, status, f->error);
  } else {
    procpool__host_unlock(m->pool); /* there may be many */
    procpool__map_note(m, job->first, job->count, status, f->error);
    (void)procpool__host_relock(m->pool);
  }
  procpool__map_free(m, job, done);
}

/* ---- a map that ends before its time ---- Each chunk is told to begin no further item. A worker that runs quick items
 * sees it at once, and what has ended is still taken in; for one that is in the midst of a slow item this does not
 * wait: its block is freed when it settles. */
#define PROCPOOL__MAP_LINGER ((uint64_t)1000000) /* ns */

static bool procpool__condition_halted(procpool *p, void *context) {
  (void)p;
  return ((const procpool__mapping *)context)->waiter.pending == 0;
}

/* One that no worker has claimed is taken back. */
static void procpool__map_halt(procpool__mapping *m, procpool__job *job) {
  procpool *p = m->pool;
  procpool_future *f = job->node.future;
  if (f == NULL || procpool__future_status(f) != PROCPOOL_PENDING)
    return;
  procpool__store(&procpool__map_chunk(m, job)->stop, 0);
  if (!procpool__cas(&p->segment.slots[f->slot].word, procpool__word(f->ticket, 0, PROCPOOL__READY), 0))
    return;
  procpool__host_settle(p, f, PROCPOOL_CANCELLED);
  procpool__map_free(m, job, 0);
}

static void procpool__map_leave(procpool__mapping *m) {
  procpool *p = m->pool;
  procpool__wait wait = procpool__host_wait_for(p, procpool__condition_halted, m,
                                                procpool__platform_now() + PROCPOOL__MAP_LINGER, PROCPOOL__WAIT_IMMUNE);
  const bool halts = m->busy > 0;
  m->halted = true;
  for (size_t j = 0; j < m->job_count && m->busy > 0; j++) {
    procpool__map_halt(m, &m->jobs[j]);
    if (j % PROCPOOL__STRETCH == 0)
      procpool__host_breathe(p);
  }
  if (halts)
    procpool__future_stopped(p);
  if (m->busy > 0)
    (void)procpool__host_wait(p, &wait);
  for (size_t j = 0; j < m->job_count && m->busy > 0; j++)
    if (m->jobs[j].node.future != NULL)
      procpool__map_finish(m, &m->jobs[j]);
  for (const procpool__job *job = m->again; job != NULL; job = job->next)
    procpool__map_note(m, job->first, job->count, PROCPOOL_PENDING, NULL);
  procpool__map_note(m, m->next, m->count - m->next, PROCPOOL_PENDING, NULL);
}

static bool procpool__map_make(procpool__mapping *m) {
  const size_t count = PROCPOOL__MAP_DEPTH * (size_t)m->pool->segment.workers;
  m->depth = procpool__map_least_depth(m);
  m->jobs = (procpool__job *)PROCPOOL_MALLOC(count * sizeof(*m->jobs));
  if (m->jobs == NULL)
    return false;
  memset((void *)m->jobs, 0, count * sizeof(*m->jobs));
  for (size_t j = 1; j < count; j++)
    m->jobs[j - 1].next = &m->jobs[j];
  m->idle = m->jobs;
  m->job_count = count;
  procpool__waiter_init(&m->waiter);
  return true;
}

/* No item has begun: what is told of them where the map is refused, too. Not for what is wrong in its arguments, for
 * then count may be. */
static void procpool__map_clear(const procpool__mapping *m) {
  procpool__host_unlock(m->pool);
  for (size_t i = 0; i < m->count && m->o.statuses != NULL; i++)
    m->o.statuses[i] = PROCPOOL_PENDING;
  for (size_t i = 0; i < m->count && m->o.errors != NULL; i++)
    procpool__error_fill(&m->o.errors[i], PROCPOOL_PENDING, 0, "");
  (void)procpool__host_relock(m->pool);
}

/* ---- a chunk that runs is shortened ---- Items may take much longer than those before them, and nobody knows which.
 * So when all is handed out, and a worker of the pool has nothing to do, the host looks how far the chunks that run
 * have come, and looks again a moment later. Of the one with the most items left, if at this pace they will take a
 * while, that worker gets its share. First all that the new task needs is made ready, then the old one's end is
 * lowered, and then the new one is submitted. Should its worker be killed, or end, at any point between, the old one
 * has come to an end by what its end says now, as always. */
#define PROCPOOL__SHARE_MOST ((uint64_t)5000000) /* ns from one look to the next, at most; SHARE_NS at first */
#define PROCPOOL__SHARE_LEAST 200e3 /* ns: a share of less than half of this is not worth a worker's wake */

/* Items that its worker can do without: those behind the row that it is in. None before it begins, nor where the word
 * is not what the job says. */
static size_t procpool__map_left(const procpool__mapping *m, const procpool__job *job) {
  const uint64_t span = procpool__load(&procpool__map_chunk(m, job)->stop), row = procpool__bounds_row(span);
  return procpool__bounds_end(span) == job->count && row > 0 && row < job->count ? job->count - (size_t)row : 0;
}

static uint64_t procpool__map_begun(const procpool__mapping *m, const procpool__job *job) {
  return procpool__load_relaxed(&procpool__map_chunk(m, job)->begun); /* a hint how long it will take */
}

/* Whether the chunk runs, and goes on for a while: so many items are left, and it began so few since the last look. */
static bool procpool__map_is_long(const procpool__mapping *m, const procpool__job *job, size_t left, uint64_t ns) {
  const uint64_t begun = procpool__map_begun(m, job);
  if (left == 0 || job->seen == 0 || begun < job->seen)
    return false;
  return begun == job->seen || (double)left * (double)ns / (double)(begun - job->seen) >= PROCPOOL__SHARE_LEAST;
}

/* The chunk with the most items left, among those that are worth it; or null. */
static procpool__job *procpool__map_longest(procpool__mapping *m, uint64_t ns, size_t *most) {
  procpool__job *longest = NULL;
  *most = 0;
  for (size_t j = 0; j < m->job_count; j++) {
    procpool__job *job = &m->jobs[j];
    const size_t left = job->node.future != NULL && job->seen != 0 ? procpool__map_left(m, job) : 0;
    if (left <= *most || !procpool__map_is_long(m, job, left, ns))
      continue;
    longest = job;
    *most = left;
  }
  return longest;
}

/* Takes all items from the chunk but the first so many. False if its worker has come too far by now. */
static bool procpool__map_shorten(procpool__mapping *m, procpool__job *job, size_t count) {
  procpool__chunk *chunk = procpool__map_chunk(m, job);
  uint64_t span;
  do {
    span = procpool__load(&chunk->stop);
    if (procpool__bounds_end(span) != job->count || procpool__bounds_row(span) > count)
      return false;
  } while (!procpool__cas(&chunk->stop, span, procpool__bounds(procpool__bounds_row(span), count)));
  m->items -= job->count - count;
  job->count = count;
  return true;
}

/* Gives the block back, if there is one: who waits for memory may look again. */
static void procpool__map_unprepare(procpool *p, const procpool__job *part) {
  const bool held = part->block != PROCPOOL__NO_BLOCK;
  procpool__arena_unhold(p, part->block, part->at.size);
  procpool__submit_give_up(p, held ? PROCPOOL_MEMORY : PROCPOOL_FULL);
}

/* Hands out the last items of a chunk that runs as one of its own, if there is room for it now. What then cannot be
 * handed out all the same is so as soon as it can. */
static bool procpool__map_split(procpool__mapping *m, procpool__job *job, size_t count) {
  procpool *p = m->pool;
  procpool__job *part = m->idle;
  if (part == NULL || procpool__submit_place(p) != PROCPOOL_OK || !procpool__map_locate_both(m))
    return false;
  part->first = job->first + (job->count - count);
  part->count = count;
  if (procpool__map_prepare(m, part) != PROCPOOL_OK || p->life.refusal != PROCPOOL_OK ||
      !procpool__map_locate_both(m) || procpool__submit_place(p) != PROCPOOL_OK ||
      !procpool__map_shorten(m, job, job->count - count)) {
    procpool__map_unprepare(p, part);
    return false;
  }
  if (procpool__map_submit(m, part) == PROCPOOL_OK) {
    procpool__map_sent(m, &m->idle);
    return true;
  }
  procpool__map_unprepare(p, part);
  m->idle = part->next;
  part->next = m->again;
  m->again = part;
  return false;
}

/* How many workers have no task of this pool. */
static size_t procpool__map_free_workers(const procpool__mapping *m) {
  const procpool *p = m->pool;
  const uint64_t unsettled = p->tasks.submitted - p->tasks.settled, workers = (uint64_t)p->segment.workers;
  return unsettled < workers ? (size_t)(workers - unsettled) : 0;
}

/* Sees how far each chunk is. Returns whether one could be shortened later. */
static bool procpool__map_see(procpool__mapping *m) {
  bool any = false;
  for (size_t j = 0; j < m->job_count; j++) {
    procpool__job *job = &m->jobs[j];
    if (job->node.future == NULL)
      continue;
    job->seen = procpool__map_begun(m, job);
    any = any || (job->seen == 0 && job->count > 1) || procpool__map_left(m, job) > 0;
  }
  return any;
}

/* Hands out parts of what runs, one for each worker that has nothing to do. False if none. */
static bool procpool__map_split_some(procpool__mapping *m, size_t unoccupied, uint64_t ns) {
  size_t splits = 0, left;
  for (; splits < unoccupied; splits++) {
    const size_t shares = unoccupied - splits + 1;
    procpool__job *job = procpool__map_longest(m, ns, &left);
    if (job == NULL || !procpool__map_split(m, job, left / shares + (left % shares > 0)))
      break;
  }
  if (splits > 0)
    procpool__submit_look(m->pool, false);
  return splits > 0;
}

/* Sees to it that workers that have nothing to do get something; or that the wait that follows ends in time for that:
 * soon, and ever later while it comes to nothing. */
static void procpool__map_share(procpool__mapping *m) {
  const uint64_t now = procpool__platform_now();
  uint64_t look;
  const size_t unoccupied = procpool__map_free_workers(m);
  const bool others = m->pool->tasks.submitted - m->pool->tasks.settled > m->busy; /* whose workers get free unheard */
  bool any = true;
  if (procpool__map_more(m) || m->pool->methods.inline_worker != NULL || m->pool->life.refusal != PROCPOOL_OK) {
    m->looked = 0;
    return;
  }
  if (m->looked == 0 || now - m->looked >= m->gap) {
    const bool split = m->looked != 0 && procpool__map_split_some(m, unoccupied, now - m->looked);
    m->gap = split || m->looked == 0 ? PROCPOOL__SHARE_NS : m->gap < PROCPOOL__SHARE_MOST ? 2 * m->gap : m->gap;
    any = procpool__map_see(m);
    m->looked = now;
  }
  look = now + (unoccupied > 0 ? m->gap : PROCPOOL__SHARE_MOST);
  if (any && (unoccupied > 0 || others) && look < m->deadline)
    m->wait.deadline = look;
}

static bool procpool__condition_map(procpool *p, void *context) {
  procpool__mapping *m = (procpool__mapping *)context;
  if (m->busy == 0)
    return procpool__host_room(p) != m->room_before || /* others hold what this map needs */
           (!m->cell_before && procpool__host_cell_free(p)) || p->life.refusal != PROCPOOL_OK;
  return m->waiter.first_done != NULL;
}

/* Hands out and takes in until all is done. Returns OK, or why it stopped. When nothing more is accepted (another
 * thread shuts the pool down), what was handed out still comes in. */
static procpool_status procpool__map_run(procpool__mapping *m) {
  m->brief = procpool__map_is_brief(m);
  m->brief_end = m->brief ? procpool__platform_now() + PROCPOOL__BRIEF_NS : 0;
  for (;;) {
    procpool__wait_node *node;
    procpool_status status;
    size_t items;
    if (m->busy == 0 && !procpool__map_more(m))
      return PROCPOOL_OK;
    status = procpool__host_wait_over(m->pool, &m->wait); /* a chunk may always have come already */
    if (status != PROCPOOL_OK)
      return status;
    m->room_before = procpool__host_room(m->pool);
    m->cell_before = procpool__host_cell_free(m->pool);
    status = procpool__map_fill(m);
    if (status == PROCPOOL_PENDING || status == PROCPOOL_INTERRUPTED)
      continue;
    if (status != PROCPOOL_OK && status != PROCPOOL_FULL && m->busy == 0)
      return status;
    m->wait.how = PROCPOOL__WAIT_CALLBACKS | PROCPOOL__WAIT_GROUP;
    m->wait.how |= status == PROCPOOL_FULL ? (unsigned)PROCPOOL__WAIT_ROOM : 0u;
    procpool__map_share(m);
    procpool__map_hurry(m, procpool__platform_now());
    status = procpool__host_wait(m->pool, &m->wait);
    if (status == PROCPOOL_PENDING && m->wait.deadline != m->deadline) { /* only to look again */
      m->wait.deadline = m->deadline;
      m->brief_end = 0;
      continue;
    }
    m->wait.deadline = m->deadline;
    if (status != PROCPOOL_OK)
      return status;
    items = m->items;
    while ((node = procpool__waiter_pop(&m->waiter)) != NULL)
      procpool__map_finish(m, (procpool__job *)(void *)node);
    procpool__map_pace(m, items - m->items);
    m->gap = PROCPOOL__SHARE_NS;
  }
}

/* Tells why the map was not begun, or has not ended. p, error: null where there is none. */
static procpool_status procpool__map_refuse(const procpool *p, procpool_error *error, procpool_status status,
                                            const char *message) {
  if (message != NULL || !procpool__thread_last.told || procpool__thread_last.error.status != status) /* else it is */
    (void)procpool__host_refuse(p, status, status == PROCPOOL_MEMORY ? PROCPOOL__NO_MEMORY : 0, message);
  if (error != NULL)
    *error = procpool__thread_last.error;
  return status;
}

/* The map is over: what the caller is told. */
static procpool_status procpool__map_tell(const procpool__mapping *m, procpool_status status) {
  if (m->options != NULL) {
    m->options->failed_count = m->failed_count;
    m->options->failed_item = m->failed_count > 0 ? m->failed_item : 0;
  }
  if (status != PROCPOOL_OK && (m->failed_count == 0 || m->status == PROCPOOL_PENDING))
    return procpool__map_refuse(m->pool, m->o.error, status, NULL);
  if (m->o.error != NULL)
    *m->o.error = m->error; /* zero where all items are OK */
  if (m->failed_count > 0)
    procpool__last_set(&m->error, NULL);
  return status == PROCPOOL_OK ? m->status : status;
}

static procpool_status procpool__map_whole(procpool__mapping *m) {
  procpool *p = m->pool;
  procpool_status status;
  bool made;
  procpool__host_unlock(p);
  made = procpool__map_make(m);
  (void)procpool__host_relock(p);
  if (!made)
    return procpool__map_refuse(p, m->o.error, PROCPOOL_MEMORY, NULL);
  /* A chunk with a limit has as many times that as it has items: no more of these than this map makes known. */
  if (p->pace.function == m->function && p->methods.inline_worker == NULL &&
      procpool__public_time_limit(m->o.time_limit, 1, p->tasks.time_limit) == 0)
    m->least = p->pace.least;
  status = procpool__map_run(m);
  if (m->next > 0) {
    p->pace.function = m->function;
    p->pace.least = m->least;
  }
  if (status != PROCPOOL_FORKED) /* the chunks are not a child's */
    procpool__map_leave(m);
  procpool__platform_lock_end(&m->waiter.lock);
  PROCPOOL_FREE(m->jobs);
  return procpool__map_tell(m, status);
}

/* Whether an item that is copied finds room at all: each of its sizes, so that neither its chunk's size nor any sum of
 * such overflows, and then the chunk. */
static bool procpool__map_fits(const procpool__mapping *m) {
  const procpool *p = m->pool;
  return (m->arguments.shared || procpool__arena_could_hold(p, m->arguments.size)) &&
         (m->results.shared || procpool__arena_could_hold(p, m->results.size)) &&
         (m->count == 0 || procpool__arena_could_hold(p, procpool__map_layout(m, 1).size));
}

/* What the caller gave, but for where its arrays lie. Null, or what is wrong. */
static const char *procpool__map_check(const procpool__mapping *m) {
  if (m->function == NULL)
    return "the function is null";
  if (m->count > 0 && ((m->from == NULL && m->arguments.size > 0) || (m->to == NULL && m->results.size > 0)))
    return "the array of arguments or of results is null";
  if (!procpool__size_possible(m->count, m->arguments.size) || !procpool__size_possible(m->count, m->results.size) ||
      (m->o.statuses != NULL && !procpool__size_possible(m->count, sizeof(*m->o.statuses))) ||
      (m->o.errors != NULL && !procpool__size_possible(m->count, sizeof(*m->o.errors))))
    return "no array is that large";
  if (procpool__public_bad_timeout(m->o.timeout) || procpool__public_bad_timeout(m->o.time_limit) ||
      procpool__public_bad_timeout(m->o.grace))
    return PROCPOOL__NOT_A_NUMBER;
  return NULL;
}

/* Under the lock. */
static procpool_status procpool__map_checked(procpool__mapping *m) {
  procpool *p = m->pool;
  const char *wrong = procpool__map_check(m);
  char text[PROCPOOL__MESSAGE];
  if (wrong != NULL)
    return procpool__map_refuse(p, m->o.error, PROCPOOL_ARGUMENT, wrong);
  if (m->o.time_limit > 0 && p->start > PROCPOOL_START_SPAWN)
    return procpool__map_refuse(p, m->o.error, PROCPOOL_UNSUPPORTED,
                                "a time limit needs fork or spawn: no thread can be ended");
  if (!procpool__map_locate_both(m))
    return procpool__map_refuse(p, m->o.error, PROCPOOL_ARGUMENT, PROCPOOL__MAP_WRONG_PLACE);
  if (!procpool__pointers_check(p, m->pointers, m->from, m->arguments.size, m->count, text))
    return procpool__map_refuse(p, m->o.error, PROCPOOL_ARGUMENT, text);
  if (m->o.statuses != NULL || m->o.errors != NULL)
    procpool__map_clear(m);
  if (!procpool__map_fits(m))
    return procpool__map_refuse(p, m->o.error, PROCPOOL_MEMORY,
                                "an item, argument and result together, is larger than options.max_memory");
  if (procpool__host_self(p))
    return procpool__map_refuse(p, m->o.error, PROCPOOL_DEADLOCK, NULL);
  return procpool__map_whole(m);
}

/* A timeout of 0 is without limit here, so that zeroed options are valid. */
static procpool_status procpool__map(procpool *p, procpool_function function, bool by_items,
                                     procpool__pointers pointers, const void *arguments, size_t argument_size,
                                     void *results, size_t result_size, size_t count, procpool_map_options *options) {
  procpool__mapping m;
  procpool_status status;
  procpool__platform_cancel_here();
  memset((void *)&m, 0, sizeof(m));
  if (options != NULL && procpool__host_mismatch(options->struct_size, sizeof(*options)))
    return procpool__host_told(procpool__host_refuse(NULL, PROCPOOL_MISMATCH, 0, PROCPOOL__OTHER_OPTIONS));
  if (options != NULL)
    m.o = *options;
  m.options = options;
  status = procpool__public_enter(p);
  if (status != PROCPOOL_OK)
    return procpool__map_refuse(NULL, m.o.error, status, NULL);
  m.pool = p;
  m.function = function;
  m.by_items = by_items;
  m.pointers = pointers;
  m.from = (const unsigned char *)arguments;
  m.to = (unsigned char *)results;
  m.arguments.size = argument_size;
  m.results.size = result_size;
  m.count = count;
  m.failed_item = SIZE_MAX;
  m.wait = procpool__host_wait_for(p, procpool__condition_map, &m, procpool__public_patience(m.o.timeout),
                                   PROCPOOL__WAIT_CALLBACKS | PROCPOOL__WAIT_GROUP);
  m.deadline = m.wait.deadline;
  m.wait.spare = &m.spare;
  m.wait.holds = &m.busy;
  return procpool__public_leave_throwing(p, procpool__map_checked(&m));
}

PROCPOOL_API procpool_status procpool_map(procpool *pool, procpool_function function, const void *arguments,
                                          size_t argument_size, void *results, size_t result_size, size_t count,
                                          procpool_map_options *options) {
  return procpool__map(pool, function, false, NULL, arguments, argument_size, results, result_size, count, options);
}

PROCPOOL_API procpool_status procpool__map_items(procpool *pool, procpool_function items_function,
                                                 const void *arguments, size_t argument_size, void *results,
                                                 size_t result_size, size_t count, procpool_map_options *options,
                                                 procpool__pointers pointers) {
  return procpool__map(pool, items_function, true, pointers, arguments, argument_size, results, result_size, count,
                       options);
}

/* ==== >>task ========================================================================================================
 * Runs in:   a worker, inside a task.
 * Writes:    the task's record and arguments.
 * Calls:     >>worker.
 * Always:    a task that has ended, or was forked away, can answer no more. */

/* Within the typed layer's loop over a chunk, the item is the one that was begun last. */
static void procpool__task_find_item(procpool_task *task) {
  const procpool__chunk *chunk = task->chunk;
  const uint64_t item = procpool__worker_item(task);
  const bool within = item < chunk->count; /* else it is before the first one, or behind the last */
  task->argument = within ? procpool__worker_arena(task, chunk->arguments + item * chunk->argument_step) : NULL;
  task->argument_size = within ? chunk->argument_size : 0;
}

PROCPOOL_API const void *procpool_task_argument(procpool_task *task, size_t *size) {
  if (task != NULL && task->chunk != NULL && !task->chunk->one_by_one)
    procpool__task_find_item(task);
  if (size != NULL)
    *size = task != NULL ? (size_t)task->argument_size : 0;
  return task != NULL ? task->argument : NULL;
}

PROCPOOL_API const char *procpool_task_string(procpool_task *task) {
  size_t size;
  const char *string = (const char *)procpool_task_argument(task, &size);
  if (string != NULL && size > 0 && string[size - 1] == '\0')
    return string;
  procpool_task_fail(task, 0, "the argument is no string: its last byte is not zero");
  return NULL;
}

/* For the typed layer: the argument if it has this very size; else the task fails. Not null, if there is none to be. */
PROCPOOL_API const void *procpool__task_argument_exact(procpool_task *task, size_t size) {
  size_t got;
  const void *argument = procpool_task_argument(task, &got);
  if (got == size && (argument != NULL || (task != NULL && size == 0)))
    return argument != NULL ? argument : "";
  procpool_task_fail(task, 0, "the argument does not have the size that this typed function takes");
  return NULL;
}

/* Private memory for a result that the ring has no room for in one run. */
static unsigned char *procpool__task_scratch(procpool__worker *w, uint64_t size) {
  unsigned char *scratch;
  w->scratch_used = size > w->scratch_used ? size : w->scratch_used;
  if (size <= w->scratch_size)
    return w->scratch;
  scratch = (unsigned char *)procpool__aligned_new(size);
  if (scratch == NULL)
    return NULL;
  if (w->process)
    procpool__platform_enlarge(scratch, (size_t)size);
  procpool__aligned_free(w->scratch);
  w->scratch = scratch;
  w->scratch_size = size;
  return scratch;
}

/* A place in the ring for the whole result, if it is free now: the body shall not wait for the host. */
static unsigned char *procpool__task_in_ring(procpool_task *task, uint64_t size) {
  procpool__worker *w = task->worker;
  const uint64_t ring_size = w->segment->ring_size;
  const uint64_t at = procpool__ring_place(w->segment, w->tail + sizeof(procpool__record));
  task->wrapped = at + size > ring_size;
  if (size > ring_size / 2 ||
      !procpool__worker_fits(
          w, procpool__ring_length(w->segment, w->tail, size, task->wrapped ? PROCPOOL__RECORD_WRAPPED : 0)))
    return NULL;
  return procpool__ring_bytes(w->segment, w->index) + (task->wrapped ? 0 : at);
}

static void *procpool__task_item_result(procpool_task *task, size_t size) {
  procpool__chunk *chunk = task->chunk;
  if (size <= chunk->result_size) {
    unsigned char *result =
        procpool__worker_arena(task, chunk->results + procpool__worker_item(task) * chunk->result_step);
    procpool__worker_note_replaced(task);
    memset(result + size, 0, (size_t)(chunk->result_size - size));
    return result;
  }
  if (task->noted != procpool__worker_item(task) + 1 || task->noted_as != PROCPOOL_FAILED) /* its own words stay */
    procpool__worker_describe(task->worker, 0, "the result is larger than the map's result_size");
  procpool__worker_note(task, PROCPOOL_TRANSFER);
  return procpool__task_scratch(task->worker, size);
}

/* In the place that the task has for its result; one that is too large goes nowhere. */
static void *procpool__task_placed_result(procpool_task *task, size_t size) {
  task->uncarried = size > task->capacity;
  if (!task->uncarried)
    return task->place;
  if (!task->failed)
    procpool__worker_describe(task->worker, 0, "the result is larger than its place");
  return procpool__task_scratch(task->worker, size);
}

/* Where the host reads it if the item that runs is one of several, and there is room. */
static unsigned char *procpool__task_in_bundle(const procpool_task *task, uint64_t size) {
  if (task->answer_room < sizeof(procpool__answer) || size > task->answer_room - sizeof(procpool__answer))
    return NULL;
  return task->answer + sizeof(procpool__answer);
}

PROCPOOL_API void *procpool_task_result(procpool_task *task, size_t size) {
  unsigned char *result;
  if (task == NULL)
    return NULL;
  procpool__worker_end_copy(task->worker);
  task->given = true;
  task->result_size = size;
  if (task->chunk != NULL)
    return procpool__task_item_result(task, size);
  if (task->place != NULL)
    return procpool__task_placed_result(task, size);
  result = procpool__task_in_bundle(task, size);
  task->in_bundle = result != NULL;
  if (result == NULL)
    result = procpool__task_in_ring(task, size);
  task->in_ring = result != NULL && !task->in_bundle;
  if (result == NULL)
    result = procpool__task_scratch(task->worker, size > 0 ? size : 1);
  task->uncarried = result == NULL;
  task->result = result;
  if (task->uncarried && !task->failed)
    procpool__worker_describe(task->worker, 0, "no memory for the result in the worker");
  return result;
}

/* A part of the argument that is too large for one record needs no copy before it is sent: it stays where it is until
 * the task has settled. */
static bool procpool__task_returns_argument(procpool_task *task, const void *data, size_t size) {
  const unsigned char *bytes = (const unsigned char *)data;
  if (task == NULL || task->chunk != NULL || task->place != NULL || task->argument == NULL ||
      size <= task->worker->segment->ring_size / 2 || bytes < task->argument || size > task->argument_size ||
      (uint64_t)(bytes - task->argument) > task->argument_size - size)
    return false;
  task->given = true;
  task->in_ring = task->in_bundle = task->uncarried = false;
  task->result = bytes;
  task->result_size = size;
  return true;
}

PROCPOOL_API void procpool_task_return(procpool_task *task, const void *data, size_t size) {
  void *result;
  if (procpool__task_returns_argument(task, data, size))
    return;
  result = procpool_task_result(task, size);
  if (result != NULL && size > 0 && data != NULL)
    memmove(result, data, size);
}

PROCPOOL_API void procpool_task_fail(procpool_task *task, int code, const char *message) {
  if (task == NULL && procpool__thread_worker != NULL)
    task = &procpool__thread_worker->task;
  if (task == NULL)
    return;
  procpool__worker_describe(task->worker, code, message != NULL ? message : "");
  task->failed = task->chunk == NULL;
  if (task->chunk != NULL)
    procpool__worker_note(task, PROCPOOL_FAILED);
}

PROCPOOL_API void procpool_task_return_string(procpool_task *task, const char *string) {
  if (string != NULL)
    procpool_task_return(task, string, strlen(string) + 1);
  else
    procpool_task_fail(task, 0, "the string to return is null");
}

PROCPOOL_API bool procpool_task_cancelled(procpool_task *task) {
  if (task == NULL)
    return false;
  return procpool__load(&task->slot->word) != task->word ||
         procpool__worker_phase(task->worker) == PROCPOOL__PHASE_KILL ||
         (task->chunk != NULL && procpool__load_relaxed(&task->chunk->stop) == 0);
}

PROCPOOL_API size_t procpool_task_index(void) {
  const procpool_task *t = procpool__thread_worker != NULL ? &procpool__thread_worker->task : NULL;
  if (t == NULL || t->slot == NULL)
    return SIZE_MAX;
  if (t->chunk != NULL)
    return (size_t)(t->chunk->index + procpool__worker_item(t));
  if (t->bundle != NULL)
    return (size_t)(t->bundle->index + procpool__load_relaxed(&t->bundle->begun) - 1);
  if (t->slot->size & PROCPOOL__SIZE_FAR)
    return (size_t)t->slot->argument.place.argument[1];
  return (size_t)(t->slot->size >> PROCPOOL__SIZE_BITS);
}

PROCPOOL_API int procpool_task_worker(procpool_task *task) {
  return task != NULL ? task->worker->index : -1;
}

PROCPOOL_API void *procpool_task_shared(procpool_task *task, const void *address) {
  const procpool__worker *w = task != NULL ? task->worker : NULL;
  uint64_t offset, end;
  if (w == NULL)
    return NULL;
  offset = (uint64_t)(uintptr_t)address - w->segment->host_base;
  end = w->segment->arena_at + procpool__shm_arena_top(w->segment);
  if (offset < w->segment->arena_at || offset >= end || offset >= w->opened)
    return NULL;
  return w->segment->base + offset;
}

PROCPOOL_API procpool__items procpool__task_items(procpool_task *task) {
  procpool__items items;
  memset(&items, 0, sizeof(items));
  if (task == NULL || task->chunk == NULL)
    return items;
  items.arguments = procpool__worker_arena(task, task->chunk->arguments);
  items.results = procpool__worker_arena(task, task->chunk->results);
  items.stop = &task->chunk->stop;
  items.begun = &task->chunk->begun;
  items.word = &task->slot->word;
  items.running = task->word;
  items.first = (size_t)task->first;
  items.limited = task->limited;
  items.guard = procpool__worker_guard(task->worker);
  return items;
}

PROCPOOL_API bool procpool__task_item(procpool_task *task, size_t index) {
  if (task == NULL || task->chunk == NULL)
    return false;
  procpool__worker_end_copy(task->worker);
  return procpool__item_next(&task->chunk->stop, &task->chunk->begun, &task->slot->word, task->word, task->limited,
                             index);
}

/* ==== >>process =====================================================================================================
 * Runs in:   the host.
 * Writes:    a pool of one worker.
 * Calls:     >>launch, >>results, and all above it.
 * Always:    its function runs at most once, in one process, whose end is its end. */

struct procpool_process {
  uint32_t magic;
  procpool *pool;
  procpool_future *future;
  long pid;
  int signal; /* the one that took the task back before it began */
};

static procpool_status procpool__process_check(const procpool_process *process) {
  if (process == NULL || process->magic != PROCPOOL__PROCESS_LIVE)
    return PROCPOOL_HANDLE;
  return procpool__host_check(process->pool);
}

/* Opens the pool and submits its one task. False where either fails: error tells why. */
static bool procpool__process_open(procpool_process *process, const procpool_process_options *options,
                                   procpool_error *error, procpool_function function, const void *argument,
                                   size_t size) {
  procpool_options o;
  procpool_status status;
  memset(&o, 0, sizeof(o));
  o.error = error;
  o.name = options != NULL && options->name != NULL ? options->name : "process";
  o.start = options != NULL ? options->start : PROCPOOL_START_AUTO;
  o.max_workers = 1;
  o.max_queued = 1;
  o.spin_us = -1;
  process->pool = procpool__open(&o, PROCPOOL_VERSION, sizeof(o), true);
  if (process->pool == NULL)
    return false;
  process->pid = (long)procpool__load(&process->pool->segment.blocks[0].pid); /* of one that is dead by now, too */
  status = procpool_submit(process->pool, function, argument, size, NULL, &process->future);
  if (status == PROCPOOL_OK)
    return true;
  (void)procpool_last_error(error);
  (void)procpool_free(process->pool);
  return false;
}

static procpool_process *procpool__process_start(const procpool_process_options *options, procpool_error *error,
                                                 procpool_function function, const void *argument, size_t size) {
  procpool_process *process;
  if (function == NULL || (options != NULL && ((unsigned)options->start > PROCPOOL_START_SPAWN))) {
    procpool__error_fill(
        error, PROCPOOL_ARGUMENT, 0,
        "the function is null, or options.start is none of AUTO, FORK, SPAWN: were the options zeroed first?");
    return NULL;
  }
  process = (procpool_process *)PROCPOOL_MALLOC(sizeof(*process));
  if (process == NULL) {
    procpool__error_fill(error, PROCPOOL_MEMORY, PROCPOOL__NO_MEMORY, NULL);
    return NULL;
  }
  memset(process, 0, sizeof(*process));
  if (!procpool__process_open(process, options, error, function, argument, size)) {
    PROCPOOL_FREE(process);
    return NULL;
  }
  process->magic = PROCPOOL__PROCESS_LIVE;
  procpool__public_hold(process->pool); /* until its future is released, or has been by the user */
  /* when the function has returned, the process ends */
  (void)procpool_shutdown(process->pool, PROCPOOL_DRAIN, 0);
  return process;
}

/* Not to be cancelled but as it begins: a thread that ended within would leave a pool without an owner. */
PROCPOOL_API procpool_process *procpool_process_start_checked(const procpool_process_options *options,
                                                              procpool_function function, const void *argument,
                                                              size_t size, int version, size_t options_size) {
  procpool_error unheard, *error = &unheard;
  procpool_process *process;
  bool other;
  int cancel;
  memset(&unheard, 0, sizeof(unheard));
  if (options != NULL && options->error != NULL)
    error = options->error;
  procpool__platform_cancel_here();
  other = version / 100 != PROCPOOL_VERSION / 100 || options_size != sizeof(*options);
  if (other || (options != NULL && procpool__host_mismatch(options->struct_size, sizeof(*options)))) {
    error->status = PROCPOOL_MISMATCH; /* as in procpool__open: nothing else of it is known */
    (void)procpool__host_told(other ? PROCPOOL_MISMATCH
                                    : procpool__host_refuse(NULL, PROCPOOL_MISMATCH, 0, PROCPOOL__OTHER_OPTIONS));
    return NULL;
  }
  cancel = procpool__platform_no_cancel();
  process = procpool__process_start(options, error, function, argument, size);
  if (process == NULL)
    procpool__last_refusal(error);
  procpool__platform_cancel_as(cancel);
  return process;
}

PROCPOOL_API procpool_status procpool_process_join(procpool_process *process, double timeout) {
  const procpool_status status = procpool__process_check(process);
  if (status != PROCPOOL_OK)
    return status;
  return procpool_shutdown(process->pool, PROCPOOL_DRAIN, timeout);
}

/* The look at what has come may fail, for want of memory for a result or by an interrupt: that is not the process's
 * end. */
PROCPOOL_API bool procpool_process_is_alive(procpool_process *process) {
  bool alive;
  if (procpool__process_check(process) != PROCPOOL_OK)
    return false;
  (void)procpool_process_join(process, 0);
  procpool__public_lock(process->pool);
  alive = !process->pool->life.finished;
  (void)procpool__public_leave(process->pool, PROCPOOL_OK);
  return alive;
}

/* The exit code of a process that has ended: by the record of its task. Whatever took the task from it, a signal that
 * ended the process is told; one that returned when it was asked to has returned. */
static int procpool__process_code(const procpool_process *process, const procpool_error *error) {
  if (error->status == PROCPOOL_OK)
    return 0;
  if (error->signal != 0)
    return -error->signal;
  if (error->status == PROCPOOL_CRASHED || error->exit_status != 0)
    return error->exit_status;
  if (error->status == PROCPOOL_CANCELLED && process->signal != 0)
    return -process->signal;
  if (error->status == PROCPOOL_BROKEN) /* it went with its supervisor */
    return -PROCPOOL__SIGNAL_KILL;
  return error->status == PROCPOOL_CANCELLED && error->stage == PROCPOOL_STAGE_ASKED ? 0 : 1;
}

PROCPOOL_API procpool_status procpool_process_exit_code(procpool_process *process, int *exit_code) {
  procpool_status status = procpool__process_check(process);
  procpool_error error;
  if (status != PROCPOOL_OK)
    return status;
  if (exit_code == NULL)
    return procpool__host_wrong("there is no place for the exit code: the pointer to it is null");
  if (procpool_process_is_alive(process))
    return PROCPOOL_PENDING;
  status = procpool_future_error(process->future, &error);
  if (status == PROCPOOL_OK)
    *exit_code = procpool__process_code(process, &error);
  return status;
}

PROCPOOL_API long procpool_process_pid(procpool_process *process) {
  return procpool__process_check(process) == PROCPOOL_OK ? process->pid : 0;
}

/* If the function has not begun, it never will; else the supervisor sends the signal. */
static procpool_status procpool__process_signal(procpool_process *process, int signal_number) {
  const procpool_status status = procpool__process_check(process);
  bool told;
  if (status != PROCPOOL_OK)
    return status;
  if (!procpool_process_is_alive(process))
    return PROCPOOL_OK;
  if (procpool_future_cancel(process->future) == PROCPOOL_CANCELLED && process->signal == 0)
    process->signal = signal_number;
  procpool__public_lock(process->pool);
  told = procpool__host_tell(process->pool, PROCPOOL__MESSAGE_SIGNAL, 0, (uint64_t)signal_number);
  (void)procpool__public_leave(process->pool, PROCPOOL_OK);
  return told || !procpool_process_is_alive(process) ? PROCPOOL_OK : PROCPOOL_SYSTEM;
}

PROCPOOL_API procpool_status procpool_process_terminate(procpool_process *process) {
  return procpool__process_signal(process, PROCPOOL__SIGNAL_TERM);
}

PROCPOOL_API procpool_status procpool_process_kill(procpool_process *process) {
  return procpool__process_signal(process, PROCPOOL__SIGNAL_KILL);
}

PROCPOOL_API procpool_future *procpool_process_future(procpool_process *process) {
  return procpool__process_check(process) == PROCPOOL_OK ? process->future : NULL;
}

PROCPOOL_API procpool_status procpool_process_free(procpool_process *process) {
  procpool_status status;
  void *thrown = NULL;
  if (process == NULL)
    return PROCPOOL_OK;
  status = procpool__process_check(process);
  if (status == PROCPOOL_OK)
    status = procpool__free(process->pool, &thrown);
  if (status != PROCPOOL_OK)
    return status;
  process->magic = 0;
  (void)procpool_future_release(process->future);
  procpool__public_let_go(process->pool);
  PROCPOOL_FREE(process);
  if (thrown != NULL)
    procpool__platform_throw(thrown);
  return PROCPOOL_OK;
}

#endif /* PROCPOOL_IMPLEMENTATION_ONCE */
#endif /* PROCPOOL_IMPLEMENTATION */

/* ==== >>changes =====================================================================================================
   0.2.0  2026-11  The API without traps. What is new:
            ends of a pool     procpool_close, procpool_wait_ready
            a call             procpool_call, f_call, f_call_with: submits, waits and gives the result
            submit options     struct_size, deadline, callback, user; f_submit_with, f_submit_many_with
            callbacks          procpool_poll waits, until END
            errors             procpool_last_error of each thread, also of a failed typed call; procpool_last_message
                               and procpool_future_message of any length; procpool_map_options.errors
            which task it was  procpool_future_index, procpool_future_user, _future_pool, procpool_iterator_index,
                               procpool_error.index, procpool_imap_options.user; in the task procpool_task_index
            many futures       procpool_cancel_many, procpool_release_many; procpool_stats.futures
            given back         a future is HANDLE until 64 others of its pool have been, and not the next task's
            imap               procpool_imap_options.chunksize; f_each, for loops
            map                chunksize is a maximum: a chunk that takes long is shared with a worker that has no task
            initializers       say why they failed: procpool_task_fail(NULL, code, message)
            finalizer          procpool_options.finalizer, _callback, _context, _limit
            plugins            procpool_options.worker_path
            typed functions    none to eight arguments; PROCPOOL_PROCEDURE, PROCPOOL_TASK_PROCEDURE;
                               PROCPOOL_DECLARE..., PROCPOOL_DEFINE...; pointers among the arguments are checked
            strings            PROCPOOL_STRING_FUNCTION, procpool_future_string, procpool_task_string, _return_string;
                               their f_call, f_call_with, f_submit_many_with
            PROCPOOL_WITH      may have an else
            C++                procpools::pool, future, codec, error
            PROCPOOL_NODISCARD   warns where a handle or a result that matters is dropped
          What went, and what to write instead:
            procpool_items, _task_items, _task_item, _map_items, _submit_or_null, _scope_end, _..._exact     are private
            procpool_try_submit, _submit_timed, _submit_with     procpool_submit(..., &options, &future), its timeout
            procpool_submit(pool, f, argument, size, &future)    procpool_submit(pool, f, argument, size, NULL, &future)
            procpool_shutdown(pool, mode), _shutdown_timed       procpool_shutdown(pool, mode, timeout)
            procpool_shutdown(pool, PROCPOOL_DRAIN) and free     procpool_close(pool)
            procpool_poll(pool)                                  procpool_poll(pool, 0): OK, PENDING or END
            procpool_last_error(pool, &error)                    procpool_last_error(&error): this thread's
            procpool_future_pid, _worker                         procpool_future_error: error.pid, error.worker
            CODEC, FUNCTION, DOOR, DEPTH                         TRANSFER, NO_FUNCTION, NO_WORKER_MAIN, TOO_DEEP
            procpool_future_status, _done, _running, _cancelled  take in what has come; they did not
            imap's buffersize of 0                               at least 64
            options of submit, imap and map                      begin with struct_size, which may be 0; those of
                                                                 procpool_process_start end with it
   0.1.0  2026-11  The first version.

   Versions: MAJOR.MINOR.PATCH. Patches fix; while MAJOR is 0, a new MINOR may change the interface. procpool_open
   passes version and size of its options, so that files compiled from different ones fail loudly with MISMATCH; so do
   procpool_process_start and procpool_get_stats. The other option structs begin with a size of their own, which may be
   left 0. A struct that gains a field, at its end, raises MINOR. Names:
   procpool_ and PROCPOOL_ are public, procpool__ and PROCPOOL__ are private and may change at any time.

   MIT License

   Copyright (c) 2026 The procpool.h authors

   Permission is hereby granted, free of charge, to any person obtaining a copy of this software and associated
   documentation files (the "Software"), to deal in the Software without restriction, including without limitation the
   rights to use, copy, modify, merge, publish, distribute, sublicense, and/or sell copies of the Software, and to
   permit persons to whom the Software is furnished to do so, subject to the following conditions:

   The above copyright notice and this permission notice shall be included in all copies or substantial portions of the
   Software.

   THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR IMPLIED, INCLUDING BUT NOT LIMITED TO THE
   WARRANTIES OF MERCHANTABILITY, FITNESS FOR A PARTICULAR PURPOSE AND NONINFRINGEMENT. IN NO EVENT SHALL THE AUTHORS OR
   COPYRIGHT HOLDERS BE LIABLE FOR ANY CLAIM, DAMAGES OR OTHER LIABILITY, WHETHER IN AN ACTION OF CONTRACT, TORT OR
   OTHERWISE, ARISING FROM, OUT OF OR IN CONNECTION WITH THE SOFTWARE OR THE USE OR OTHER DEALINGS IN THE SOFTWARE. */
