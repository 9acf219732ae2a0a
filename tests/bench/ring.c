/* Two processes and two plain rings in shared memory, each with one writer and one reader, which spin for ever. */
#include "bench.h"

enum { RING = 256 * 1024 }; /* bytes, as the result ring of procpool.h */

typedef struct ring {
  size_t written __attribute__((aligned(64)));
  size_t taken __attribute__((aligned(64)));
  int stop;
  char bytes[RING] __attribute__((aligned(64)));
} ring;

static size_t least(size_t a, size_t b, size_t c) {
  const size_t d = a < b ? a : b;
  return d < c ? d : c;
}

static void put(ring *r, const char *from, size_t size) {
  for (size_t at = r->written; size > 0;) {
    size_t room;
    while ((room = RING - (at - __atomic_load_n(&r->taken, __ATOMIC_ACQUIRE))) == 0)
      continue;
    const size_t part = least(size, room, RING - at % RING);
    memcpy(r->bytes + at % RING, from, part);
    from += part;
    size -= part;
    at += part;
    __atomic_store_n(&r->written, at, __ATOMIC_RELEASE);
  }
}

/* False where it is stopped instead. */
static bool take(ring *r, char *to, size_t size) {
  for (size_t at = r->taken; size > 0;) {
    size_t there;
    while ((there = __atomic_load_n(&r->written, __ATOMIC_ACQUIRE) - at) == 0)
      if (__atomic_load_n(&r->stop, __ATOMIC_RELAXED))
        return false;
    const size_t part = least(size, there, RING - at % RING);
    memcpy(to, r->bytes + at % RING, part);
    to += part;
    size -= part;
    at += part;
    __atomic_store_n(&r->taken, at, __ATOMIC_RELEASE);
  }
  return true;
}

typedef struct ring_side {
  ring *there, *back;
  char *sent, *got;
} ring_side;

static void serve(void *context) {
  const ring_side *side = context;
  char *bytes = echo_bytes();
  pin(1);
  while (take(side->there, bytes, amount))
    put(side->back, bytes, amount);
}

static void echo_trip(void *context) {
  const ring_side *side = context;
  put(side->there, side->sent, amount);
  (void)take(side->back, side->got, amount);
}

void ring_echo_us(int workers, double *out) {
  (void)workers;
  ring_side side = {shared_pages(sizeof(ring)), shared_pages(sizeof(ring)), echo_bytes(), echo_bytes()};
  const pid_t pid = child(serve, &side);
  pin(0);
  out[0] = echo_us(echo_trip, &side);
  echo_check(side.sent, side.got);
  __atomic_store_n(&side.there->stop, 1, __ATOMIC_SEQ_CST);
  reap(pid);
}

/* GB/s, there and back. */
void ring_echo(int workers, double *out) {
  ring_echo_us(workers, out);
  out[0] = 2e-3 * (double)amount / out[0];
}
