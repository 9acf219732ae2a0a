/* The limits of this machine: what two processes do with a cache line, a futex, warm shared memory or a fork, and nothing
 * around it. Where processes have to be on two processors they are pinned, and so is the pool that is compared. */
#include "bench.h"

#include <linux/futex.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>

/* ---- a cache line that goes there and back ---- */

enum { OURS = 0, THEIRS = 1, STOP = 2 };

static void hand_over(int *ball, int to) {
  __atomic_store_n(ball, to, __ATOMIC_RELEASE);
}

static int await(const int *ball, int not_this) {
  int value;
  while ((value = __atomic_load_n(ball, __ATOMIC_ACQUIRE)) == not_this)
    continue;
  return value;
}

static void bounce_child(void *ball) {
  pin(1);
  while (await((int *)ball, OURS) != STOP)
    hand_over((int *)ball, OURS);
}

static void bounce(void *ball) {
  hand_over((int *)ball, THEIRS);
  (void)await((int *)ball, THEIRS);
}

void limit_bounce(int workers, double *out) {
  (void)workers;
  int *ball = shared_pages(sizeof(*ball));
  const pid_t pid = child(bounce_child, ball);
  pin(0);
  const double us = batched_us(bounce, ball, few(200000));
  each_us(bounce, ball, few(100000), 0, out);
  out[0] = us;
  hand_over(ball, STOP);
  reap(pid);
}

/* ---- two futexes, both sides asleep ---- */

typedef struct doorbells {
  uint32_t there __attribute__((aligned(64)));
  uint32_t back __attribute__((aligned(64)));
  uint32_t stop;
} doorbells;

static void ring(uint32_t *bell) {
  __atomic_fetch_add(bell, 1, __ATOMIC_SEQ_CST);
  syscall(SYS_futex, bell, FUTEX_WAKE, 1, NULL, NULL, 0);
}

static void listen_to(const uint32_t *bell, uint32_t heard) {
  while (__atomic_load_n(bell, __ATOMIC_SEQ_CST) == heard)
    syscall(SYS_futex, bell, FUTEX_WAIT, heard, NULL, NULL, 0);
}

static void futex_child(void *context) {
  doorbells *bells = context;
  pin(1);
  for (uint32_t heard = 0;; heard++) {
    listen_to(&bells->there, heard);
    if (bells->stop)
      return;
    ring(&bells->back);
  }
}

static void futex_trip(void *context) {
  doorbells *bells = context;
  const uint32_t heard = bells->back;
  ring(&bells->there);
  listen_to(&bells->back, heard);
}

void limit_futex(int workers, double *out) {
  (void)workers;
  doorbells *bells = shared_pages(sizeof(*bells));
  const pid_t pid = child(futex_child, bells);
  pin(0);
  each_us(futex_trip, bells, few(2000), 200, out);
  bells->stop = 1;
  ring(&bells->there);
  reap(pid);
}

/* ---- 1 MiB: into shared memory, within it by the other process, and out of it ---- */

typedef struct exchange {
  int turn __attribute__((aligned(64)));
  char argument[MIB] __attribute__((aligned(64)));
  char result[MIB] __attribute__((aligned(64)));
} exchange;

typedef struct echo_side {
  exchange *shared;
  char *sent, *got;
} echo_side;

static void echo_child(void *context) {
  exchange *shared = context;
  pin(1);
  while (await(&shared->turn, OURS) != STOP) {
    memcpy(shared->result, shared->argument, MIB);
    hand_over(&shared->turn, OURS);
  }
}

static void echo_trip(void *context) {
  const echo_side *side = context;
  memcpy(side->shared->argument, side->sent, MIB);
  hand_over(&side->shared->turn, THEIRS);
  (void)await(&side->shared->turn, THEIRS);
  memcpy(side->got, side->shared->result, MIB);
}

void limit_echo(int workers, double *out) {
  static char sent[MIB], got[MIB];
  (void)workers;
  echo_side side = {shared_pages(sizeof(exchange)), sent, got};
  const pid_t pid = child(echo_child, side.shared);
  pin(0);
  echo_fill(sent);
  out[0] = echo_gbs(echo_trip, &side);
  echo_check(sent, got);
  hand_over(&side.shared->turn, STOP);
  reap(pid);
}

/* ---- fork, exit, wait ---- */

static double forks_us(int forks) {
  enum { TIMES = 41 };
  double us[TIMES];
  for (int i = 0; i < TIMES; i++) {
    const double start = now();
    for (int k = 0; k < forks; k++) {
      const pid_t pid = fork();
      if (pid == 0)
        _exit(0);
      reap(pid);
    }
    us[i] = (now() - start) * 1e6;
  }
  return median(us, TIMES);
}

void limit_fork_1(int workers, double *out) {
  (void)workers;
  out[0] = forks_us(1);
}

void limit_fork_3(int workers, double *out) {
  (void)workers;
  out[0] = forks_us(3);
}

/* ---- two plain processes that share out the work beforehand ---- */

typedef struct race {
  int ready, go;
  double sum[2], end[2];
} race;

static void runner(race *r, int lane) {
  __atomic_fetch_add(&r->ready, 1, __ATOMIC_SEQ_CST);
  (void)await(&r->go, 0);
  for (size_t i = 0; i < few(LONG_TASKS) / 2; i++)
    r->sum[lane] += work((double)i, work_per_us * LONG_US);
  r->end[lane] = now();
}

static void lane_0(void *context) {
  runner(context, 0);
}

static void lane_1(void *context) {
  runner(context, 1);
}

/* Tasks a second. */
void limit_two_processes(int workers, double *out) {
  (void)workers;
  race *r = shared_pages(sizeof(*r));
  const pid_t first = child(lane_0, r), second = child(lane_1, r);
  while (__atomic_load_n(&r->ready, __ATOMIC_SEQ_CST) < 2)
    pause_us(100);
  const double start = now();
  hand_over(&r->go, 1);
  reap(first);
  reap(second);
  const double end = r->end[0] > r->end[1] ? r->end[0] : r->end[1];
  out[0] = (double)(few(LONG_TASKS) / 2 * 2) / (end - start);
}
