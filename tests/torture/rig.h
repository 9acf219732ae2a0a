/* rig.h - what every torture program of procpool.h stands on.
 *
 *   PROGRAM --cases     what the runner runs of it: once per start method, for the program's own short duration
 *   PROGRAM [--seed N] [--duration SECONDS] [--start fork|spawn|thread|inline] [--workers N] [--NAME VALUE] ...
 *
 *   observer (this program: child subreaper, never in the pool's process group)
 *      └─ host under test, one per round, in a session of its own ── supervisor ── workers
 *
 * The observer forks a host for each round, disturbs what the host's pool consists of (it records a kill before it
 * kills), waits for the host's end, sees to it that nothing outlived the host, and then checks law 1 on the witness: one
 * entry per task id in memory outside the pool, into which tasks and host write what they saw.
 *
 *   #define PROCPOOL_IMPLEMENTATION
 *   #include "rig.h"
 *   static void host(void) { procpool *pool = test_open(rig.start, rig.workers); ...rig_submit, rig_settle...; }
 *   static void observe(void) { while (rig_pause(0.001)) ...rig_workers, rig_signal...; }
 *   int main(int argc, char **argv) {
 *     procpool_worker_main();
 *     rig_begin(argc, argv, FORK | SPAWN, 3.0);
 *     while (rig_more())
 *       rig_round(host, observe, RIG_NORMAL);
 *     return rig_end();
 *   }
 *
 * The checks of harness.h hold here too: one that fails ends the process that made it, and with it the program. */
#ifndef RIG_H
#define RIG_H

/* A program that defines RIG_LINGER before it includes this file: its workers linger at random at their accesses to shared
 * memory (one in page->linger of them, 0: never), so that kills and stops come between any two of these. */
#ifdef RIG_LINGER
void rig_linger(void);
#define PROCPOOL__STEP() rig_linger()
#endif

#include "../harness.h"

#include <sys/types.h>

/* ---- the witness ---- */
enum { RIG_IDS = 1 << 22, RIG_PIDS = 1 << 22, RIG_WORDS = 256 };

/* What the host plans for a task: flags of an entry. */
enum {
  RIG_CRASHES = 1, /* it may crash on purpose: CRASHED needs no kill */
  RIG_DROPPED = 2, /* its future was released before it settled: the host cannot see it settle */
  RIG_NO_CALLBACK = 4,
  RIG_UNKNOWN = 16,   /* not accepted as far as the host was told, yet it may have run: a map that broke off */
  RIG_KILLED_TASK = 8 /* the pool itself may end it (time limit, cancel_kill): TIMEOUT and CANCELLED may have started */
};

#define RIG_ALLOW(status) (1u << PROCPOOL_##status)

typedef struct rig_entry {
  uint32_t accepted; /* host: submit returned OK */
  uint32_t started;  /* task */
  uint32_t finished; /* task: about to return */
  uint32_t settled;  /* host: saw the outcome */
  uint32_t callbacks;
  uint32_t flags;
  uint32_t allowed; /* which outcomes may be: RIG_ALLOW(...) | ...; CRASHED besides must be explained */
  int32_t status;   /* the outcome */
  int32_t callback_status;
  int32_t pid;       /* of the worker, written by the task */
  int32_t error_pid; /* as the error says */
  int32_t signal, exit_status;
  uint64_t made, got; /* hash of the result: by the task, by the host */
} rig_entry;

/* Shared by observer, host and workers; zero at the start of each round. */
typedef struct rig_page {
  uint64_t ids;      /* given out */
  uint64_t progress; /* whoever does something useful adds 1: no change for long is a stall */
  uint64_t kills;
  int ready;                  /* host: the pool is open and works; set by rig_ready */
  int over;                   /* observer: it will disturb no more; set when observe() returns */
  int host;                   /* its process id */
  unsigned linger;            /* host: see RIG_LINGER */
  int word[RIG_WORDS];        /* gates of the programs (gate_add, rig_gate) */
  uint64_t count[RIG_WORDS];  /* counters of the programs */
  uint64_t killed[RIG_PIDS];  /* bit signal - 1, by process id; set by the observer before it kills */
  rig_entry entries[RIG_IDS]; /* by task id */
} rig_page;

/* How every argument of a task begins. */
typedef struct rig_job {
  int observer, descriptor; /* where a spawned worker finds the witness */
  uint32_t id;
  uint32_t size; /* of the result */
  uint32_t what; /* for the program */
  uint32_t number;
} rig_job;

typedef struct rig_state {
  const char *program;
  uint64_t seed;
  double duration, stall;
  procpool_start start;
  int workers; /* 0: not given */
  rig_page *page;
  int round;
} rig_state;
extern rig_state rig; /* in a spawned worker only page is set, after rig_task_begin */

/* ---- main ---- */
/* Reads the options. starts: the start methods that have a meaning, the lowest is the default; another one that is asked for
 * is skipped. duration: the default, in seconds. */
void rig_begin(int argc, char **argv, int starts, double duration);
/* Further options of the program: --NAME VALUE. */
long rig_option(const char *name, long otherwise);
/* Whether there is time for another round; always once. */
bool rig_more(void);
double rig_left(void); /* seconds of the duration that are left */

typedef enum rig_kind {
  RIG_NORMAL = 0,  /* the host returns, leaks nothing, and law 1 holds */
  RIG_HOST_KILLED, /* the host is killed: everything else must go too within rig_end_limit; nothing is settled */
} rig_kind;
/* Runs host() in a process of its own, and beside it observe() (may be null) in the observer. Returns the seconds that it
 * took from the host's end until nothing of it was left. */
double rig_round(void (*host)(void), void (*observe)(void), rig_kind kind);
/* Prints the totals; returns main's exit status. */
int rig_end(void);
/* One more number for the summary line. */
void rig_total(const char *name, uint64_t add);
/* The same, but the largest counts. */
void rig_most(const char *name, uint64_t value);

/* Prints why, and where everybody is, ends all that the program started, and fails. Host and observer. */
void rig_fail(const char *format, ...) __attribute__((format(printf, 1, 2), noreturn));

/* ---- in the host ---- */
rig_job rig_job_of(uint32_t size); /* a new id; OK and CRASHED allowed */
rig_entry *rig_entry_of(const rig_job *job);
/* Submits function with the job, and bytes extra behind it (may be null), adds the counting callback unless the entry says no,
 * and notes the acceptance. *future may not be null. */
procpool_status rig_submit(procpool *pool, procpool_function function, const rig_job *job, procpool_future **future);
/* The same for any other call: note what it returned, then add the callback. */
void rig_accepted(const rig_job *job, procpool_future *future);
/* Counts a callback; context is the entry. For rig_submit's own; a program's own callback may call it. */
void rig_callback(procpool_future *future, void *entry);
/* Notes the outcome of a future that is settled. Returns it. */
procpool_status rig_settle(const rig_job *job, procpool_future *future);
/* Waits (the stall watch holds), settles, releases. */
procpool_status rig_finish(const rig_job *job, procpool_future *future);
/* Notes an outcome by hand (an item of a map). */
void rig_settle_as(const rig_job *job, procpool_status status, const void *result, size_t size);
/* Checks that the pool's own counts agree: everything submitted is settled. */
void rig_check_stats(procpool *pool);
void rig_ready(void); /* the observer may begin */
/* Waits until the observer has ended its disturbing. */
void rig_wait_over(void);

/* ---- in a task ---- */
const rig_job *rig_task_begin(procpool_task *task); /* started + 1, pid */
/* Returns size bytes of the job's pattern (job->size in a usual one) and notes them; finished + 1. */
void rig_task_end(procpool_task *task, const rig_job *job, size_t size);
void rig_task(procpool_task *task); /* both */
uint64_t rig_hash(const void *bytes, size_t size);

/* ---- anywhere ---- */
typedef struct rig_random {
  uint64_t state;
} rig_random;
rig_random rig_stream(uint64_t number); /* of this seed, round and number */
uint64_t rig_next(rig_random *r);
uint64_t rig_below(rig_random *r, uint64_t limit); /* 0 ... limit - 1 */
bool rig_chance(rig_random *r, unsigned percent);
/* Sizes from 0 to most, skewed to small ones. */
uint32_t rig_size(rig_random *r, uint32_t most);
void rig_progress(void);
/* Waits until *word >= at_least; fails with a dump after the stall time. Observer and host. */
void rig_gate(int *word, int at_least);

/* ---- in the observer ---- */
pid_t rig_host(void); /* 0: it has ended */
/* Waits, and watches: false once the host has ended. Fails if nothing makes progress for the stall time. */
bool rig_pause(double seconds);
/* Processes, as of now; each returns how many. */
int rig_children(pid_t parent, pid_t *pids, int capacity);
int rig_supervisors(pid_t *pids, int capacity); /* those of nested pools are their children */
int rig_workers(pid_t *pids, int capacity);     /* children of supervisors that are no zombies */
char rig_process_state(pid_t pid);              /* R S D T Z ..., 0: gone */
/* Sends the signal if pid is a descendant of the observer, and never to anybody else; a deadly one is noted first.
 * Whether it was sent. */
bool rig_signal(pid_t pid, int signal);
/* Prints every descendant of the observer: state, wchan, stack, and the words of its pool. */
void rig_dump(void);
/* Shared memory of pools that a process has mapped, by inode; and whether any process on this machine still has one. */
int rig_segments(pid_t pid, unsigned long *inodes, int capacity);
bool rig_segment_lives(unsigned long inode);

#endif /* RIG_H */
