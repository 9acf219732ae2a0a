/* payloads.c - T11: bytes of every size at which something changes, in both directions, at every place in the ring, from
 * unaligned sources and to a slow reader: what arrives is bit for bit what was sent. Small tasks go on beside a huge one, and
 * memory comes back.
 *
 * Options: --large 1 (1 GiB, 2^31 - 1 to 2^31 + 1, 2^32 + 1; what memory does not allow is skipped). */
#define PROCPOOL_IMPLEMENTATION
#include "rig.h"
#include "audit.h"

#include <sys/mman.h>

enum { RING = 4096, UNIT = 32, INLINE_SLOT = 32, EXTENT = 1 << 20 };

/* How every argument begins that is long enough; shorter ones are echoed. */
typedef struct order {
  uint64_t size; /* of the result */
  uint64_t seed;
  uint32_t shift; /* the result comes from a source that is so many bytes off */
  uint32_t copy;  /* by procpool_task_return */
} order;

/* ---- patterns: any piece of one can be made alone, so that huge ones need no second copy ---- */

static uint64_t mix(uint64_t x) {
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
  return x ^ (x >> 31);
}

static void fill(void *to, uint64_t size, uint64_t seed) {
  unsigned char *at = (unsigned char *)to;
  uint64_t i = 0;
  for (; i + 8 <= size; i += 8) {
    const uint64_t word = mix(seed * 0x9e3779b97f4a7c15u + i);
    memcpy(at + i, &word, 8);
  }
  for (; i < size; i++)
    at[i] = (unsigned char)mix(seed + i);
}

static bool holds(const void *from, uint64_t size, uint64_t seed) {
  const unsigned char *at = (const unsigned char *)from;
  uint64_t i = 0;
  for (; i + 8 <= size; i += 8) {
    const uint64_t word = mix(seed * 0x9e3779b97f4a7c15u + i);
    if (memcmp(at + i, &word, 8) != 0)
      return false;
  }
  for (; i < size; i++)
    if (at[i] != (unsigned char)mix(seed + i))
      return false;
  return true;
}

/* ---- tasks ---- */

static void task_echo_short(procpool_task *task) {
  size_t size = 0;
  const void *argument = procpool_task_argument(task, &size);
  procpool_task_return(task, argument, size);
}

/* Answers with the pattern that was ordered; fails if the rest of the argument is not its own pattern. */
static void task_order(procpool_task *task) {
  size_t size = 0;
  order o;
  unsigned char *result;
  const unsigned char *argument = (const unsigned char *)procpool_task_argument(task, &size);
  memcpy(&o, argument, sizeof(o));
  if (((uintptr_t)argument & 15) != 0)
    procpool_task_fail(task, 2, "the argument is not aligned");
  else if (!holds(argument + sizeof(o), size - sizeof(o), o.seed))
    procpool_task_fail(task, 1, "the argument is not what was sent");
  else if (o.copy) {
    result = (unsigned char *)malloc(o.size + 64);
    CHECK(result != NULL);
    fill(result + o.shift, o.size, o.seed + 1);
    procpool_task_return(task, result + o.shift, o.size);
    free(result);
  } else {
    result = (unsigned char *)procpool_task_result(task, o.size);
    if (result != NULL)
      fill(result, o.size, o.seed + 1);
  }
}

/* ---- one payload ---- */

static unsigned char *source; /* and room to be unaligned */
static size_t source_size;

static procpool_future *dispatch(procpool *pool, uint64_t argument, uint64_t result, uint64_t seed, uint32_t shift,
                                 bool copy) {
  unsigned char *at = source + shift;
  procpool_future *future = NULL;
  order o;
  CHECK_LE(argument + shift, source_size);
  if (argument < sizeof(o)) {
    fill(at, argument, seed);
    CHECK_OK(procpool_submit(pool, task_echo_short, at, argument, NULL, &future));
    return future;
  }
  o.size = result;
  o.seed = seed;
  o.shift = shift;
  o.copy = copy;
  memcpy(at, &o, sizeof(o));
  fill(at + sizeof(o), argument - sizeof(o), seed);
  CHECK_OK(procpool_submit(pool, task_order, at, argument, NULL, &future));
  return future;
}

static void collect(procpool_future *future, uint64_t argument, uint64_t result, uint64_t seed) {
  const bool echo = argument < sizeof(order);
  const uint64_t expected = echo ? argument : result;
  const void *data;
  size_t size = 77;
  CHECK_SETTLES(future, PROCPOOL_OK);
  data = procpool_future_data(future, &size);
  CHECK_EQ(size, expected);
  CHECK(data != NULL);
  CHECK_EQ((uintptr_t)data & 15, 0);
  if (!holds(data, size, echo ? seed : seed + 1))
    rig_fail("a result of %llu bytes to an argument of %llu is not what was sent", (unsigned long long)expected,
             (unsigned long long)argument);
  CHECK_OK(procpool_future_release(future));
  rig_progress();
}

static void exchange(procpool *pool, uint64_t argument, uint64_t result, uint64_t seed, uint32_t shift) {
  collect(dispatch(pool, argument, result, seed, shift, seed % 2 == 0), argument, result, seed);
}

static procpool *open_ring(int workers, size_t ring) {
  procpool_options options = {0};
  options.ring_size = ring;
  return test_open_with(rig.start, workers, &options);
}

static void close_pool(procpool *pool) {
  CHECK_OK(procpool_shutdown(pool, PROCPOOL_DRAIN, PROCPOOL_FOREVER));
  rig_check_stats(pool);
  CHECK_OK(procpool_free(pool));
}

/* ---- every size with every size ---- */

static const uint64_t sizes[] = {0,
                                 1,
                                 15,
                                 16,
                                 17,
                                 INLINE_SLOT - 1,
                                 INLINE_SLOT,
                                 INLINE_SLOT + 1,
                                 63,
                                 64,
                                 65,
                                 RING / 4 - 8,
                                 RING / 4,
                                 RING / 4 + 1,
                                 RING / 2 - 1,
                                 RING / 2,
                                 RING / 2 + 1,
                                 RING - UNIT - 1,
                                 RING - UNIT,
                                 RING - UNIT + 1,
                                 RING - 1,
                                 RING,
                                 RING + 1,
                                 2 * RING - 1,
                                 2 * RING,
                                 2 * RING + 1,
                                 65535,
                                 65536,
                                 65537,
                                 EXTENT - 1,
                                 EXTENT,
                                 EXTENT + 1};
enum { SIZES = sizeof(sizes) / sizeof(sizes[0]) };

static void every_pair(void) {
  procpool *pool = open_ring(1, RING);
  for (int a = 0; a < SIZES; a++)
    for (int r = 0; r < SIZES; r++)
      exchange(pool, sizes[a], sizes[r], (uint64_t)(a * SIZES + r), (uint32_t)(a + r) % 16);
  close_pool(pool);
}

static void task_empty(procpool_task *task) {
  procpool_task_return(task, "", 0);
}

/* Moves the ring on to that place: a result of 0 bytes takes exactly one unit. */
static void move_to(procpool *pool, uint64_t place) {
  const uint64_t units = (place + RING - pool->drain.inboxes[0].head % RING) % RING / UNIT;
  procpool_future *last = NULL;
  for (uint64_t i = 1; i <= units; i++)
    CHECK_OK(procpool_submit(pool, task_empty, NULL, 0, NULL, i == units ? &last : NULL));
  if (last != NULL)
    CHECK_SETTLES(last, PROCPOOL_OK);
  CHECK_OK(procpool_future_release(last));
  CHECK_EQ(pool->drain.inboxes[0].head % RING, place);
}

/* The record begins at every place where one can, and so at every one modulo a cache line, and wraps at every one. A short
 * run takes every fourth, from one that the seed says, and its odd neighbour. */
static void every_place(void) {
  procpool *pool = open_ring(1, RING);
  for (uint64_t place = 0; place < RING; place += UNIT)
    for (int r = 0; sizes[r] <= 2 * RING + 1; r++) {
      if (rig.duration < 60 && (place / UNIT + rig.seed) % 4 > 1)
        continue;
      move_to(pool, place);
      exchange(pool, 40, sizes[r], place + (uint64_t)r, 0);
    }
  close_pool(pool);
}

/* Byte by byte around the ring's end, its half, its quarter, and the slot. */
static void every_byte(void) {
  static const uint64_t around[] = {INLINE_SLOT, RING / 4, RING / 2, RING, 2 * RING, 65536};
  procpool *pool = open_ring(2, RING);
  for (size_t i = 0; i < sizeof(around) / sizeof(around[0]); i++)
    for (uint64_t size = around[i] > 70 ? around[i] - 70 : 0; size < around[i] + 70; size++) {
      exchange(pool, size, size, size, (uint32_t)size % 16);
      exchange(pool, 40, size, size, 0);
    }
  close_pool(pool);
}

/* ---- a reader that lets the workers wait ---- */

static void slow_reader(void) {
  enum { COUNT = 60 };
  procpool *pool = open_ring(2, RING);
  procpool_future *futures[COUNT];
  rig_random r = rig_stream(7);
  uint64_t argument[COUNT], result[COUNT];
  for (int i = 0; i < COUNT; i++) {
    argument[i] = sizeof(order) + rig_below(&r, 3000);
    result[i] = rig_below(&r, 4 * RING);
    futures[i] = dispatch(pool, argument[i], result[i], (uint64_t)i, (uint32_t)i % 16, i % 2 == 0);
  }
  if (rig.start != PROCPOOL_START_INLINE) /* nothing was taken out so far: both rings fill up and their workers wait */
    AUDIT_UNTIL(10, procpool__load32(&pool->segment.blocks[0].room_flag) != 0 ||
                        procpool__load32(&pool->segment.blocks[1].room_flag) != 0);
  for (int i = 0; i < COUNT; i++) {
    CHECK_POLL(procpool_poll(pool, 0)); /* a bit at a time */
    audit_nap();
    if (i % 3 == 0)
      collect(futures[i], argument[i], result[i], (uint64_t)i);
  }
  for (int i = 0; i < COUNT; i++)
    if (i % 3 != 0)
      collect(futures[i], argument[i], result[i], (uint64_t)i);
  close_pool(pool);
}

/* ---- small ones beside a huge one ---- */

static void beside_huge(uint64_t huge) {
  procpool *pool = open_ring(2, 65536);
  procpool_future *large = dispatch(pool, huge / 2, huge, 5, 3, false);
  int before = 0;
  for (int i = 0; i < 300; i++) {
    exchange(pool, (uint64_t)i, 100, (uint64_t)i, 1);
    before += !procpool_future_done(large);
  }
  collect(large, huge / 2, huge, 5);
  if (rig.start != PROCPOOL_START_INLINE && before == 0)
    rig_fail("no small task ended before one of %llu bytes", (unsigned long long)huge);
  close_pool(pool);
}

/* ---- memory comes back ---- */

static void memory_returns(void) {
  procpool *pool = open_ring(2, RING);
  long resident;
  uint64_t shared;
  for (int i = 0; i < 3; i++)
    exchange(pool, 100, 100, 1, 0);
  shared = test_stats(pool).shared_bytes;
  resident = test_resident_kib();
  for (int round = 0; round < 3; round++) {
    procpool_future *futures[12];
    const uint64_t size = (uint64_t)16 << 20;
    for (int i = 0; i < 12; i++)
      futures[i] = dispatch(pool, size, size / 2, (uint64_t)i, (uint32_t)i, false);
    for (int i = 0; i < 12; i++)
      collect(futures[i], size, size / 2, (uint64_t)i);
    CHECK_LE(test_stats(pool).shared_bytes, shared + ((uint64_t)65 << 20)); /* 64 MiB are kept for what comes next */
    if (!test_instrumented())
      CHECK_LE(test_resident_kib(), resident + (112 << 10)); /* these, and what malloc keeps; not 192 MiB */
  }
  close_pool(pool);
  if (!test_instrumented())
    CHECK_LE(test_resident_kib(), resident + (48 << 10));
}

/* ---- beyond 32 bits ---- */

static uint64_t available(void) {
  FILE *file = fopen("/proc/meminfo", "re");
  char line[128];
  unsigned long long kib = 0;
  while (file != NULL && kib == 0 && fgets(line, sizeof(line), file) != NULL)
    if (sscanf(line, "MemAvailable: %llu", &kib) != 1)
      kib = 0;
  if (file != NULL)
    fclose(file);
  return (uint64_t)kib << 10;
}

static void large_one(uint64_t argument, uint64_t result) {
  const uint64_t needed = 2 * argument + 2 * result + ((uint64_t)1 << 30);
  procpool_options options = {0};
  procpool *pool;
  if (available() < needed || (uint64_t)(size_t)needed != needed) {
    printf("skip an argument of %llu and a result of %llu bytes: too little memory\n", (unsigned long long)argument,
           (unsigned long long)result);
    return;
  }
  options.max_memory = argument + ((size_t)4 << 20);
  pool = test_open_with(rig.start, 1, &options);
  exchange(pool, argument, result, 9, 1);
  close_pool(pool);
}

static void source_make(size_t size) {
  source_size = size;
  source =
      (unsigned char *)mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  CHECK(source != MAP_FAILED);
}

static void host_large(void) {
  const uint64_t g = (uint64_t)1 << 30;
  const uint64_t large[] = {g, 2 * g - 1, 2 * g, 2 * g + 1, 4 * g + 1};
  source_make(4 * g + 4096);
  for (size_t i = 0; i < sizeof(large) / sizeof(large[0]); i++) {
    large_one(large[i], 8);
    CHECK_EQ(madvise(source, source_size, MADV_DONTNEED), 0);
    large_one(sizeof(order), large[i]);
  }
  munmap(source, source_size);
}

/* ---- rounds ---- */

static void host(void) {
  source_make((size_t)64 << 20);
  every_pair();
  every_place();
  every_byte();
  slow_reader();
  beside_huge(rig.duration >= 60 ? (uint64_t)120 << 20 : (uint64_t)40 << 20);
  memory_returns();
  munmap(source, source_size);
}

int main(int argc, char **argv) {
  procpool_worker_main();
  rig_begin(argc, argv, EVERY, 3.0);
  while (rig_more())
    rig_round(host, NULL, RIG_NORMAL);
  if (rig_option("large", 0) != 0)
    rig_round(host_large, NULL, RIG_NORMAL);
  return rig_end();
}
