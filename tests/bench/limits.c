/* The limits of this machine: what two processes do with a cache line, a futex, warm shared memory or a fork, and nothing
 * around it. Where processes have to be on two processors they are pinned, and so is the pool that is compared. */
#include "bench.h"

#ifdef __SSE2__
#include <emmintrin.h>
#endif
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

/* A short look at how far apart the two processors are just now. */
void limit_state(int workers, double *out) {
  (void)workers;
  int *ball = shared_pages(sizeof(*ball));
  const pid_t pid = child(bounce_child, ball);
  pin(0);
  out[0] = batched_us(bounce, ball, 5000);
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

static void measure_futex(size_t count, long pause, double *out) {
  doorbells *bells = shared_pages(sizeof(*bells));
  const pid_t pid = child(futex_child, bells);
  pin(0);
  each_us(futex_trip, bells, count, pause, out);
  bells->stop = 1;
  ring(&bells->there);
  reap(pid);
}

void limit_futex(int workers, double *out) {
  (void)workers;
  measure_futex(few(2000), 200, out);
}

/* Pauses of `amount` us. */
void limit_futex_paused(int workers, double *out) {
  (void)workers;
  measure_futex(few(500), (long)amount, out);
}

/* ---- bytes: into shared memory, within it by the other process, and out of it ----
 * In three ways, since none is the fastest everywhere: by memcpy through the same two buffers each time; by stores that
 * go past the caches, so that no line has to be taken back from the processor that read it last (x86 only); by memcpy
 * through buffers used in turn. */

enum { ROTATED_BYTES = 4 * MIB, ROTATED_MOST = 64, ROTATED_LEAST = 4, STREAMED_LEAST = 4096 };

typedef void copier(void *to, const void *from, size_t size);

typedef struct exchange {
  int turn __attribute__((aligned(64)));
  size_t slot, slots;
  copier *copy;
} exchange;

typedef struct echo_side {
  exchange *shared;
  char *arguments, *results; /* of as many slots */
  char *sent, *got;
} echo_side;

static void copy_plainly(void *to, const void *from, size_t size) {
  memcpy(to, from, size);
}

/* Of whole cache lines. */
static void copy_past_caches(void *to, const void *from, size_t size) {
#ifdef __SSE2__
  __m128i *out = to;
  const __m128i *in = from;
  for (size_t i = 0; i < size / sizeof(*out); i++)
    _mm_stream_si128(&out[i], _mm_loadu_si128(&in[i]));
  _mm_sfence();
#else
  memcpy(to, from, size);
#endif
}

static bool can_copy_past_caches(void) {
#ifdef __SSE2__
  return amount >= STREAMED_LEAST && amount % 64 == 0;
#else
  return false;
#endif
}

static size_t rotated_slots(void) {
  const size_t slots = ROTATED_BYTES / (amount + 1);
  return slots > ROTATED_MOST ? ROTATED_MOST : slots < ROTATED_LEAST ? ROTATED_LEAST : slots;
}

static size_t slot_bytes(void) {
  return (amount + 63) / 64 * 64 + 64;
}

static void echo_child(void *context) {
  const echo_side *side = context;
  exchange *shared = side->shared;
  pin(1);
  while (await(&shared->turn, OURS) != STOP) {
    const size_t at = shared->slot * slot_bytes();
    shared->copy(side->results + at, side->arguments + at, amount);
    hand_over(&shared->turn, OURS);
  }
}

static void echo_trip(void *context) {
  const echo_side *side = context;
  exchange *shared = side->shared;
  const size_t slot = (shared->slot + 1) % shared->slots, at = slot * slot_bytes();
  shared->copy(side->arguments + at, side->sent, amount);
  shared->slot = slot;
  hand_over(&shared->turn, THEIRS);
  (void)await(&shared->turn, THEIRS);
  memcpy(side->got, side->results + at, amount);
}

static double echo_by(echo_side *side, copier *copy, size_t slots) {
  side->shared->copy = copy;
  side->shared->slots = slots;
  const double us = echo_us(echo_trip, side);
  echo_check(side->sent, side->got);
  return us;
}

/* us of the best, of memcpy, past the caches, by turns. */
static void measure_echo(double *us) {
  const size_t bytes = rotated_slots() * slot_bytes();
  echo_side side = {shared_pages(sizeof(exchange)), shared_pages(bytes), shared_pages(bytes), echo_bytes(),
                    echo_bytes()};
  const pid_t pid = child(echo_child, &side);
  pin(0);
  us[1] = echo_by(&side, copy_plainly, 1);
  us[2] = can_copy_past_caches() ? echo_by(&side, copy_past_caches, 1) : us[1];
  us[3] = echo_by(&side, copy_plainly, rotated_slots());
  us[0] = us[1];
  for (int i = 2; i < 4; i++)
    us[0] = us[i] < us[0] ? us[i] : us[0];
  hand_over(&side.shared->turn, STOP);
  reap(pid);
}

void limit_echo(int workers, double *out) {
  (void)workers;
  measure_echo(out);
  for (int i = 0; i < OUTPUTS; i++)
    out[i] = 2e-3 * (double)amount / out[i];
}

void limit_echo_us(int workers, double *out) {
  (void)workers;
  measure_echo(out);
}

/* ---- one process by itself ---- */

static void copy_once(void *context) {
  char *const *both = context;
  memcpy(both[1], both[0], amount);
}

/* GB/s of a memcpy, its buffers warm. */
void limit_copy(int workers, double *out) {
  (void)workers;
  char *both[2] = {echo_bytes(), echo_bytes()};
  out[0] = 1e-3 * (double)amount / median_us(copy_once, both, amount);
}

static void loop_once(void *context, map_data *map) {
  (void)context;
  const double *arguments = map->arguments;
  double *results = map->results;
  for (size_t i = 0; i < map->count; i++)
    results[i] = arguments[i] * arguments[i] + 1.0;
}

/* us for amount items of x*x+1 in a plain loop. */
void limit_loop_us(int workers, double *out) {
  (void)workers;
  map_data map = map_open(amount);
  out[0] = map_us(&map, loop_once, NULL, square_plus_one);
  map_close(&map);
}

/* Items a second. */
void limit_loop(int workers, double *out) {
  limit_loop_us(workers, out);
  out[0] = (double)amount * 1e6 / out[0];
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
