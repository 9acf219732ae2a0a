/* segment.c - workers are not trusted: a fuzz target in which they write anything into shared memory.
 *
 * The input is a little program: workers that claim and commit as they should, words and records that are almost valid or
 * not at all, and calls of everything in the host and in the supervisor that reads shared memory. Afterwards the pool is
 * shut down, and every task that was accepted must have settled, every callback have run once, and all be freed.
 *
 *   clang -fsanitize=fuzzer,address,undefined segment.c     fuzzes
 *   cc -fsanitize=address -DREPLAY segment.c                runs the inputs that it is given as files */
#include "fake.h"

enum {
  WORKERS = 3,
  CAPACITY = 8,
  RING = 4096,
  ARENA = 4 << 20,
  FUTURES = 24,
  CALLS = 32,
  HISTORY = 16,
  BUFFERS = 8,
  OPERATIONS = 400,
  ITEMS = 40
};

/* ---- input ---- */

static struct {
  const unsigned char *bytes;
  size_t size, at;
} input;

static unsigned char take8(void) {
  return input.at < input.size ? input.bytes[input.at++] : 0;
}

static uint64_t take(int bytes) {
  uint64_t value = 0;
  for (int i = 0; i < bytes; i++)
    value |= (uint64_t)take8() << (8 * i);
  return value;
}

/* ---- the world ---- */

typedef struct sim { /* a worker that does as it should */
  pid_t pid;
  bool runs;
  uint32_t slot;
  uint64_t word, tail, sent, total;
} sim;

typedef struct call {
  int added, ran, what;
} call;

static struct {
  procpool *pool;
  procpool__supervisor super;
  sim sims[WORKERS];
  procpool_future *futures[FUTURES];
  unsigned char *buffers[BUFFERS];
  size_t buffer_sizes[BUFFERS];
  call calls[CALLS];
  int call_count;
  uint64_t finalized;
  uint64_t history[HISTORY];
  unsigned remembered;
  unsigned char *snapshot; /* of all but the arena */
  procpool__mapping *map;
  unsigned char *arguments, *results;
  procpool_status statuses[ITEMS];
  procpool_error map_error;
} world;

static void fake_check_range(const void *p, size_t size) {
  const unsigned char *at = (const unsigned char *)p, *from, *to;
  const procpool__segment *s = world.pool != NULL ? &world.pool->segment : NULL;
  if (s == NULL || s->base == NULL || at < fake.segment || at >= fake.segment + fake.segment_size || size == 0)
    return;
  if (at >= s->arena) {
    from = s->arena;
    to = s->base + s->total;
  } else if (at >= (const unsigned char *)s->slots) {
    from = (const unsigned char *)&s->slots[(size_t)(at - (const unsigned char *)s->slots) / sizeof(*s->slots)];
    to = from + sizeof(*s->slots);
  } else if (at >= (const unsigned char *)s->cells) {
    from = (const unsigned char *)s->cells;
    to = from + s->cell_count * sizeof(*s->cells);
  } else if (at >= s->rings) {
    from = s->rings + (size_t)(at - s->rings) / s->ring_size * s->ring_size;
    to = from + s->ring_size;
  } else {
    from = s->base;
    to = s->rings;
  }
  REQUIRE(at >= from && size <= (size_t)(to - at));
}

static void nothing(procpool_task *task) {
  (void)task;
}

/* Of a finalizer: it has settled, and is no more of them than tasks allow. */
static void finalized(procpool_future *future, void *context) {
  size_t size;
  (void)context;
  REQUIRE(procpool_future_done(future));
  (void)procpool_future_data(future, &size);
  REQUIRE(++world.finalized <= WORKERS * (world.pool->tasks.submitted + 1));
}

/* As procpool_open, but the machine is not asked, and nobody is started. */
static procpool *open_pool(void) {
  procpool__plan plan;
  procpool *p = (procpool *)fake_malloc(sizeof(*p));
  memset(&plan, 0, sizeof(plan));
  plan.start = plan.options.start = PROCPOOL_START_FORK;
  plan.workers = plan.options.max_workers = WORKERS;
  plan.options.max_queued = CAPACITY;
  plan.options.ring_size = RING;
  plan.options.max_memory = ARENA;
  plan.options.name = "fuzz";
  plan.options.finalizer = nothing;
  plan.options.finalizer_callback = finalized;
  plan.options.finalizer_limit = 3;
  REQUIRE(p != NULL);
  memset((void *)p, 0, sizeof(*p));
  (void)pthread_mutex_init(&p->lock, NULL);
  p->segment.fd = -1;
  procpool__process_no_pool(&p->fds);
  p->start = plan.start;
  p->waiting.processors = 2;
  p->callbacks.finalizer = plan.options.finalizer_callback;
  p->guard = procpool__platform_guard();
  REQUIRE(procpool__open_segment(p, &plan) && procpool__open_tables(p, &plan) && procpool__open_header(p, &plan));
  p->fds.lifeline = FAKE_LIFELINE;
  p->fds.control = FAKE_CONTROL;
  p->magic = PROCPOOL__POOL_LIVE;
  return p;
}

/* What lies between the parts belongs to none. */
static void poison_gaps(const procpool__segment *s) {
  unsigned char *const ends[4] = {(unsigned char *)(s->header + 1), (unsigned char *)(s->blocks + WORKERS),
                                  (unsigned char *)(s->cells + s->cell_count), (unsigned char *)(s->slots + CAPACITY)};
  unsigned char *const next[4] = {(unsigned char *)s->blocks, s->rings, (unsigned char *)s->slots, s->arena};
  for (int i = 0; i < 4; i++)
    ASAN_POISON_MEMORY_REGION(ends[i], (size_t)(next[i] - ends[i]));
}

static void begin(void) {
  const size_t blocks = fake.blocks;
  memset(&world, 0, sizeof(world));
  fake.now = 1000000000u;
  fake.fail_after = fake.fail_count = 0;
  fake.processes = fake.to_super.count = fake.to_host.count = 0;
  fake.no_fork = fake.undead = fake.lifeline_closed = fake.super_gone = false;
  fake.stopped = 0;
  REQUIRE(blocks == 0);
  world.pool = open_pool();
  poison_gaps(&world.pool->segment);
  world.super.segment = world.pool->segment;
  procpool__process_no_pool(&world.super.fds);
  world.super.fds.far_control = FAKE_SUPER_END;
  world.super.children = (procpool__child *)fake_mmap(NULL, WORKERS * sizeof(procpool__child), 0, MAP_PRIVATE, -1, 0);
  REQUIRE(procpool__supervisor_start_all(&world.super) == 0);
  for (int i = 0; i < WORKERS; i++)
    procpool__store(&world.pool->segment.blocks[i].life, PROCPOOL__LIFE_TASKS);
}

/* ---- workers that do as they should ---- */

static sim *sim_of(int w) {
  sim *m = &world.sims[w];
  const pid_t pid = world.super.children[w].pid;
  const procpool__block *block = &world.pool->segment.blocks[w];
  if (pid == 0 || fake.super_gone || *fake_process(pid) != FAKE_LIVES)
    return NULL;
  if (m->pid == pid)
    return m;
  memset(m, 0, sizeof(*m));
  m->pid = pid;
  m->tail = block->tail / PROCPOOL__UNIT * PROCPOOL__UNIT;
  return m;
}

static void sim_claim(int w) {
  const procpool__segment *s = &world.pool->segment;
  sim *m = sim_of(w);
  for (int i = 0; m != NULL && !m->runs && i < 3 * CAPACITY; i++) {
    const uint64_t h = procpool__load(&s->header->head), word = procpool__word(h + 1, w, PROCPOOL__RUNNING);
    uint32_t slot;
    const procpool__peek peek = procpool__table_peek(s, h, &slot);
    if (peek == PROCPOOL__PEEK_EMPTY)
      return;
    if (peek == PROCPOOL__PEEK_TASK) {
      s->blocks[w].intent_slot = slot;
      s->blocks[w].intent_word = word;
      m->runs = procpool__cas(&s->slots[slot].word, procpool__word(h + 1, 0, PROCPOOL__READY), word);
      if (!m->runs)
        s->blocks[w].intent_word = 0;
      m->slot = slot;
      m->word = word;
      m->sent = m->total = 0;
      s->blocks[w].tasks++;
      if (m->runs && s->slots[slot].limit > 0) {
        s->blocks[w].started_ns = fake.now;
        s->blocks[w].limited_word = word;
      }
    }
    (void)procpool__cas(&s->header->head, h, h + 1);
  }
}

static bool sim_room(int w, const sim *m, uint64_t length) {
  const uint64_t used = m->tail - world.pool->drain.inboxes[w].head;
  return used <= RING && length <= RING - used;
}

/* The word of a task that was asked to end. */
static uint64_t sim_asked(const sim *m) {
  const uint64_t word = world.pool->segment.slots[m->slot].word;
  return word == procpool__word_in(m->word, PROCPOOL__ASKED_TIMEOUT) ||
                 word == procpool__word_in(m->word, PROCPOOL__ASKED_CANCELLED)
             ? word
             : m->word;
}

/* The steps of a commit, as far as upto says: 0 stamp, 1 and commit, 2 and publish. */
static void sim_record(int w, sim *m, procpool__state state, const void *data, uint64_t size, uint32_t flags,
                       int upto) {
  const procpool__segment *s = &world.pool->segment;
  const bool wrapped = (flags & PROCPOOL__RECORD_WRAPPED) != 0;
  const uint64_t length = procpool__ring_length(s, m->tail, size, wrapped);
  procpool__record head;
  if (!sim_room(w, m, length))
    return;
  head.position = m->tail;
  head.word = procpool__word(procpool__word_ticket(m->word), w, state);
  head.size = size;
  head.slot = m->slot | flags;
  head.pid = (int32_t)m->pid;
  procpool__ring_copy_in(s, NULL, w, wrapped ? 0 : m->tail + sizeof(head), data, size);
  procpool__ring_stamp(s, w, m->tail, &head);
  if (upto == 0)
    return;
  if (state != PROCPOOL__RUNNING && procpool__word_ticket(m->word) != PROCPOOL__TICKET_FINALIZER) {
    m->runs = false;
    if (!procpool__cas(&s->slots[m->slot].word, state >= PROCPOOL__DONE_TIMEOUT ? sim_asked(m) : m->word, head.word)) {
      fake_die(m->pid, 0); /* condemned: it leaves */
      return;
    }
  }
  if (upto > 1)
    (void)procpool__cas(&s->blocks[w].tail, m->tail, m->tail + length);
  m->tail += length;
}

/* The record of a task that gives size bytes: where the result has a place, it tells their number. */
static void sim_result(int w, sim *m, const void *bytes, uint64_t size, int upto) {
  const procpool_future *f = world.pool->tasks.owners[m->slot];
  if (f != NULL && f->ticket == procpool__word_ticket(m->word) && (f->flags & PROCPOOL__F_PLACE))
    sim_record(w, m, PROCPOOL__DONE_OK, &size, sizeof(size), PROCPOOL__RECORD_PLACE, upto);
  else
    sim_record(w, m, PROCPOOL__DONE_OK, bytes, size, 0, upto);
}

static procpool__job *sim_job(const sim *m) {
  for (size_t j = 0; world.map != NULL && j < world.map->job_count; j++)
    if (world.map->jobs[j].node.future != NULL && world.map->jobs[j].node.future->slot == m->slot &&
        world.map->jobs[j].node.future->ticket == procpool__word_ticket(m->word))
      return &world.map->jobs[j];
  return NULL;
}

/* Runs items of a chunk, of which one in so many fails. */
static void sim_items(const sim *m, unsigned count, unsigned fails) {
  const procpool__job *job = sim_job(m);
  procpool__chunk *chunk = job != NULL ? procpool__map_chunk(world.map, job) : NULL;
  unsigned char *marks;
  if (job == NULL)
    return;
  marks = (unsigned char *)chunk + job->at.failures;
  for (unsigned i = 0; i < count && chunk->begun < job->count; i++) {
    if (fails > 0 && chunk->begun % fails == 0) {
      if (chunk->failed++ == 0)
        memset(marks, 0, (size_t)procpool__chunk_marks_size(job->count));
      procpool__chunk_set_mark(marks, chunk->begun, PROCPOOL_FAILED);
    }
    chunk->begun++;
  }
  if (fails == 0)
    chunk->stop = procpool__bounds(chunk->begun, job->count);
}

static void sim_piece(int w, sim *m, uint64_t total, bool last) {
  unsigned char bytes[sizeof(total) + RING / 4];
  uint64_t size = RING / 4;
  memset(bytes, 0x33, sizeof(bytes));
  if (m->total == 0)
    m->total = total;
  if (last)
    size = m->total - m->sent < size ? m->total - m->sent : size;
  memcpy(bytes, &m->total, sizeof(m->total));
  m->sent += size;
  sim_record(w, m, last ? PROCPOOL__DONE_OK : PROCPOOL__RUNNING, bytes, sizeof(total) + size, PROCPOOL__RECORD_FRAGMENT,
             2);
}

static void sim_commit(int w) {
  sim *m = sim_of(w);
  const unsigned kind = take8();
  const int upto = kind >> 6 == 0 ? 2 : (kind >> 6) - 1;
  uint64_t size = take8();
  unsigned char bytes[2048];
  if (m == NULL || !m->runs)
    return;
  memset(bytes, 0x55, sizeof(bytes));
  size = size > 200 ? size * 8 : size;
  sim_items(m, 255, kind & 8 ? 3 : 0);
  world.pool->segment.blocks[w].ended_word = kind & 16 ? m->word : 0;
  if (procpool__word_state(sim_asked(m)) != PROCPOOL__RUNNING) {
    const bool timeout = procpool__word_state(sim_asked(m)) == PROCPOOL__ASKED_TIMEOUT;
    sim_record(w, m, timeout ? PROCPOOL__DONE_TIMEOUT : PROCPOOL__DONE_CANCELLED, bytes, 0, 0, upto);
    return;
  }
  switch (kind & 7) {
  case 0:
    sim_result(w, m, bytes, size, upto);
    break;
  case 1:
    sim_record(w, m, PROCPOOL__DONE_OK, bytes, 0, PROCPOOL__RECORD_NONE, upto);
    break;
  case 2:
    sim_record(w, m, PROCPOOL__DONE_FAILED, bytes, size, 0, upto);
    break;
  case 3:
    sim_record(w, m, PROCPOOL__DONE_TRANSFER, bytes, size, 0, upto);
    break;
  case 4:
    sim_record(w, m, PROCPOOL__DONE_OK, bytes, size, PROCPOOL__RECORD_WRAPPED, upto);
    break;
  case 5:
    sim_piece(w, m, 900 + size * 16, false);
    break;
  case 6:
    sim_piece(w, m, 900 + size * 16, true);
    break;
  default: /* what nobody wants, at the end of a pool */
    (void)procpool__cas(&world.pool->segment.slots[m->slot].word, m->word,
                        procpool__word(procpool__word_ticket(m->word), w, PROCPOOL__DONE_OK));
    m->runs = false;
  }
}

/* Leaves in order: what it gives by its finalizer is a record without a task; or ends in it. */
static void sim_leave(int w, unsigned what) {
  static const procpool__state states[] = {PROCPOOL__DONE_OK, PROCPOOL__DONE_FAILED, PROCPOOL__DONE_TRANSFER};
  sim *m = sim_of(w);
  unsigned char bytes[300];
  if (m == NULL || m->runs)
    return;
  memset(bytes, 0x66, sizeof(bytes));
  world.pool->segment.blocks[w].life = PROCPOOL__LIFE_FINALIZES;
  m->slot = 0;
  m->word = procpool__word(PROCPOOL__TICKET_FINALIZER, w, PROCPOOL__RUNNING);
  m->sent = m->total = 0;
  switch (what % 4) {
  case 0: /* it hangs */
    return;
  case 1:
    fake_die(m->pid, 11);
    return;
  case 2:
    sim_piece(w, m, 900 + what * 16, false);
    if (what & 4)
      sim_piece(w, m, 0, true);
    break;
  default:
    sim_record(w, m, states[what / 4 % 3], bytes, what % 256, 0, (int)(what / 16 % 3));
  }
  world.pool->segment.blocks[w].life = PROCPOOL__LIFE_LEAVES;
  if (*fake_process(m->pid) == FAKE_LIVES)
    fake_die(m->pid, what & 128 ? 9 : 0);
}

/* ---- workers that do not ---- */

static const uint16_t header_words[] = {
    offsetof(procpool__header, head),         offsetof(procpool__header, masks) + offsetof(procpool__mask, away),
    offsetof(procpool__header, masks),        offsetof(procpool__header, host_flag),
    offsetof(procpool__header, host_seq),     offsetof(procpool__header, phase),
    offsetof(procpool__header, dead_list),    offsetof(procpool__header, dead_count),
    offsetof(procpool__header, health),       offsetof(procpool__header, alive),
    offsetof(procpool__header, started),      offsetof(procpool__header, cause_signal),
    offsetof(procpool__header, cause_worker), offsetof(procpool__header, workers),
    offsetof(procpool__header, capacity),     offsetof(procpool__header, ring_size),
    offsetof(procpool__header, limited),      offsetof(procpool__header, ticking),
    offsetof(procpool__header, tick),         offsetof(procpool__header, cause_stage),
    offsetof(procpool__header, gone),         offsetof(procpool__header, settings.initializer),
    offsetof(procpool__header, arena_top),    offsetof(procpool__header, settings.max_tasks)};
static const uint16_t block_words[] = {offsetof(procpool__block, intent_slot), offsetof(procpool__block, intent_word),
                                       offsetof(procpool__block, tasks),       offsetof(procpool__block, life),
                                       offsetof(procpool__block, init_code),   offsetof(procpool__block, tail),
                                       offsetof(procpool__block, consumed),    offsetof(procpool__block, room_seq),
                                       offsetof(procpool__block, wake_seq),    offsetof(procpool__block, room_flag),
                                       offsetof(procpool__block, pid),         offsetof(procpool__block, dropped),
                                       offsetof(procpool__block, started_ns),  offsetof(procpool__block, limited_word),
                                       offsetof(procpool__block, ended_word)};

static uint64_t ring_place(int w, unsigned what) {
  const procpool *p = world.pool;
  switch (what % 4) {
  case 0:
    return p->drain.inboxes[w].head;
  case 1:
    return p->segment.blocks[w].tail / PROCPOOL__UNIT * PROCPOOL__UNIT;
  case 2:
    return world.sims[w].tail;
  default:
    return (uint64_t)take8() * PROCPOOL__UNIT;
  }
}

/* A word somewhere in the segment. */
static uint64_t *target(void) {
  const procpool__segment *s = &world.pool->segment;
  const unsigned what = take8();
  const int w = (int)((what >> 4) % WORKERS);
  const unsigned which = take8();
  uint64_t at = 0;
  switch (what % 8) {
  case 0:
    at = header_words[which % (sizeof(header_words) / sizeof(header_words[0]))];
    break;
  case 1:
    at = procpool__shm_offset(s, &s->blocks[w]) + block_words[which % (sizeof(block_words) / sizeof(block_words[0]))];
    break;
  case 2:
    at = procpool__shm_offset(s, &s->slots[which % CAPACITY]);
    break;
  case 3:
    at = procpool__shm_offset(s, &s->slots[which % CAPACITY]) + (which >> 3) % 8 * 8;
    break;
  case 4:
    at = procpool__shm_offset(s, &s->cells[(world.pool->tasks.position + which) & (s->cell_count - 1)]);
    break;
  case 5:
  case 6:
    at = procpool__shm_offset(s, procpool__ring_bytes(s, w)) +
         (ring_place(w, which) + (which >> 2) % 6 * sizeof(uint64_t)) % RING;
    break;
  default:
    if (world.map != NULL && world.map->jobs[which % world.map->job_count].node.future != NULL) {
      const procpool__job *job = &world.map->jobs[which % world.map->job_count];
      at = procpool__shm_offset(s, procpool__map_chunk(world.map, job));
      at += (what & 8) != 0 ? job->at.failures / 8 * 8 + (which >> 4) * 8
                            : offsetof(procpool__chunk, arguments) + (which >> 4) % 8 * 8;
    }
  }
  return (uint64_t *)(void *)(s->base + (at & ~(uint64_t)7)); /* a half is written as part of its whole */
}

static uint64_t some_ticket(void) {
  const unsigned which = take8();
  const procpool_future *f = world.futures[which % FUTURES];
  if (f != NULL && f->magic == PROCPOOL__FUTURE_LIVE)
    return f->ticket + (which >= 240 ? 1 : 0);
  return world.pool->tasks.position + 1 - which % 20;
}

static uint64_t some_value(uint64_t now) {
  static const uint64_t constants[] = {
      0,        1,        RING,       RING - 32,  RING + 32,  CAPACITY,   CAPACITY + 1,        (1u << 24) - 1,
      1u << 24, 1u << 25, 1u << 26,   1ull << 40, 1ull << 47, UINT64_MAX, (uint64_t)INT64_MAX, 1ull << 63,
      WORKERS,  ARENA,    UINT32_MAX, 0x80000000u};
  const unsigned what = take8();
  const unsigned a = take8();
  switch (what % 12) {
  case 0:
    return a;
  case 1:
    return take(8);
  case 2:
    return now + (uint64_t)(int64_t)(int8_t)a;
  case 3:
    return now + (uint64_t)((int64_t)(int8_t)a * PROCPOOL__UNIT);
  case 4:
    return now ^ (uint64_t)1 << (a % 64);
  case 5:
    return world.history[a % HISTORY];
  case 6:
    return procpool__word(some_ticket(), (int)(a >> 4) % (WORKERS + 1), (procpool__state)(a % 16));
  case 7:
    return (now & ~(uint64_t)0xf) | (a % 16);
  case 8:
    return constants[a % (sizeof(constants) / sizeof(constants[0]))];
  case 9:
    return procpool__cell(some_ticket(), a % (CAPACITY + 1));
  case 10:
    return ring_place((int)(a % WORKERS), a >> 2) + (uint64_t)((int64_t)(int8_t)take8() * PROCPOOL__UNIT);
  default:
    return (uint64_t)(a % CAPACITY) | (uint64_t)take8() << 24 | (uint64_t)take8() << 32;
  }
}

static void scribble_word(void) {
  uint64_t *word = target();
  const uint64_t now = *word;
  world.history[world.remembered++ % HISTORY] = now;
  *word = some_value(now);
}

static void scribble_half(void) {
  uint32_t *word = (uint32_t *)(void *)target();
  word[1] = (uint32_t)some_value(word[1]);
}

static void scribble_bytes(void) {
  const procpool__segment *s = &world.pool->segment;
  const uint64_t at = (uint64_t)((unsigned char *)target() - s->base);
  const size_t n = take8() % 64;
  for (size_t i = 0; i < n && at + i < s->total; i++)
    if (at % 4096 + i < 64 || at >= procpool__shm_offset(s, s->rings)) {
      const unsigned char byte = take8();
      if (at + i < procpool__shm_offset(s, s->cells) && at + i >= procpool__shm_offset(s, s->rings))
        s->base[at + i] = byte;
    }
}

/* A whole record that looks right. */
static void forge_record(void) {
  const procpool__segment *s = &world.pool->segment;
  const unsigned what = take8();
  const int w = (int)(what % WORKERS);
  const uint64_t position = ring_place(w, what >> 2) / PROCPOOL__UNIT * PROCPOOL__UNIT;
  procpool__record head;
  head.position = position;
  head.slot = take8() % CAPACITY | (uint32_t)(take8() & 7) << 24;
  head.word = what & 64 ? s->slots[head.slot % CAPACITY].word
                        : procpool__word(some_ticket(), w, (procpool__state)(PROCPOOL__RUNNING + take8() % 4));
  if ((what & 48) == 48) /* of a finalizer, by its ticket */
    head.word = procpool__word(PROCPOOL__TICKET_FINALIZER, w, (procpool__state)(PROCPOOL__READY + take8() % 15));
  head.size = what & 128 ? some_value(64) : take8();
  head.pid = 1;
  procpool__ring_stamp(s, w, position, &head);
  if (take8() % 2)
    s->blocks[w].tail = position + procpool__ring_length(s, position, head.size % RING, take8() % 2);
}

/* Bytes of an earlier moment come again. */
static void replay(void) {
  const procpool__segment *s = &world.pool->segment;
  const unsigned what = take8();
  const int w = (int)((what >> 2) % WORKERS);
  const uint64_t starts[4] = {offsetof(procpool__header, head), procpool__shm_offset(s, &s->blocks[w]),
                              procpool__shm_offset(s, procpool__ring_bytes(s, w)), procpool__shm_offset(s, s->slots)};
  const uint64_t sizes[4] = {sizeof(procpool__header) - offsetof(procpool__header, head), sizeof(procpool__block), RING,
                             CAPACITY * sizeof(procpool__slot)};
  if (world.snapshot == NULL) {
    world.snapshot = (unsigned char *)malloc((size_t)s->arena_at);
    REQUIRE(world.snapshot != NULL);
    memset(world.snapshot, 0, (size_t)s->arena_at);
    for (int i = 0; i < 4; i++)
      memcpy(world.snapshot + starts[i], s->base + starts[i], i == 3 ? 0 : sizes[i]);
    for (size_t i = 0; i < sizes[3]; i++)
      world.snapshot[starts[3] + i] = s->base[starts[3] + i];
    return;
  }
  for (size_t i = 0; i < sizes[what % 4]; i++)
    s->base[starts[what % 4] + i] = world.snapshot[starts[what % 4] + i];
}

/* ---- the host ---- */

static procpool_future **future_slot(void) {
  return &world.futures[take8() % FUTURES];
}

static procpool_status submit_now(const void *argument, size_t size, procpool_future **future) {
  procpool_submit_options options;
  memset(&options, 0, sizeof(options));
  options.timeout = -1;
  return procpool_submit(world.pool, nothing, argument, size, &options, future);
}

static void called(procpool_future *future, void *context) {
  call *c = (call *)context;
  REQUIRE(procpool_future_status(future) != PROCPOOL_PENDING);
  REQUIRE(c->ran++ == 0);
  switch (c->what % 4) {
  case 1:
    (void)submit_now("x", 1, NULL);
    break;
  case 2:
    if (world.futures[c->what / 4 % FUTURES] != NULL)
      (void)procpool_future_cancel(world.futures[c->what / 4 % FUTURES]);
    break;
  case 3:
    (void)procpool_poll(world.pool, 0);
    break;
  default:
    break;
  }
}

/* Allocates or frees; or changes the word by which workers know how far the arena goes. */
static void do_buffers(void) {
  static const size_t sizes[] = {0, 1, 64, 100, 5000, 70000, (1 << 20) + 1, 3 << 20};
  const unsigned what = take8(), i = what % BUFFERS;
  if (what >= 240) {
    world.pool->segment.header->arena_top = what & 1 ? UINT64_MAX : take8();
  } else if (world.buffers[i] == NULL) {
    world.buffer_sizes[i] = sizes[what / BUFFERS % 8];
    world.buffers[i] = (unsigned char *)procpool_shared_alloc(world.pool, world.buffer_sizes[i]);
    if (world.buffers[i] != NULL && world.buffer_sizes[i] > 0)
      world.buffers[i][world.buffer_sizes[i] - 1] = 1;
  } else {
    REQUIRE(procpool_shared_free(world.pool, world.buffers[i]) == PROCPOOL_OK);
    REQUIRE(procpool_shared_free(world.pool, world.buffers[i]) == PROCPOOL_ARGUMENT);
    world.buffers[i] = NULL;
  }
}

/* A place for the result, or the argument, in a buffer: one that is too small or absent is refused. */
static const void *use_buffers(const void *argument, procpool_submit_options *options) {
  const unsigned what = take8(), i = what % BUFFERS;
  options->shared_argument = (what & 64) != 0;
  options->result = what & 128 ? world.buffers[i] : NULL;
  options->result_size = options->result != NULL ? what / BUFFERS % 8 * 16 : 0;
  return options->shared_argument ? world.buffers[(i + 1) % BUFFERS] : argument;
}

static void do_submit(void) {
  static const size_t sizes[] = {0, 8, 32, 33, 64, 200, 5000, 70000, (1 << 20) + 1, 2 << 20, ARENA, (size_t)1 << 40};
  static const unsigned char bytes[(2 << 20)];
  const unsigned what = take8();
  procpool_future **f = future_slot();
  size_t size = sizes[what % (sizeof(sizes) / sizeof(sizes[0]))];
  if (*f != NULL)
    (void)procpool_future_release(*f);
  *f = NULL;
  if (size > sizeof(bytes)) { /* refused before it is read */
    REQUIRE(submit_now(bytes, ARENA + 1, f) != PROCPOOL_OK || true);
    return;
  }
  if (what & 64) {
    procpool_submit_options options = {0};
    options.timeout = -1;
    options.time_limit = take8() / 64.0;
    options.grace = take8() / 64.0 - 0.1;
    (void)(procpool_submit(world.pool, nothing, what & 128 ? use_buffers(bytes, &options) : bytes, size, &options, f) ==
           PROCPOOL_OK);
  } else {
    (void)submit_now(what & 128 ? NULL : bytes, what & 128 ? 0 : size, f);
  }
}

static void do_future(void) {
  const unsigned what = take8();
  procpool_future **f = future_slot();
  unsigned char *buffer;
  procpool_error error;
  size_t size = take8();
  if (*f == NULL)
    return;
  switch (what % 8) {
  case 0:
    if (what & 8)
      (void)procpool_future_cancel_kill(*f, (double)size / 64.0 - 0.1);
    else
      (void)procpool_future_cancel(*f);
    break;
  case 1:
    REQUIRE(procpool_future_release(*f) == PROCPOOL_OK);
    *f = NULL;
    break;
  case 2:
    if (world.call_count < CALLS) {
      call *c = &world.calls[world.call_count++];
      c->what = (int)(what >> 3);
      c->added = procpool_future_add_done_callback(*f, called, c) == PROCPOOL_OK;
    }
    break;
  case 3:
    buffer = (unsigned char *)malloc(size + 1);
    REQUIRE(buffer != NULL);
    (void)procpool_future_result(*f, 0, buffer, size, &size);
    free(buffer);
    break;
  case 4:
    (void)procpool_future_wait(*f, 0);
    break;
  case 5:
    (void)procpool_future_running(*f);
    break;
  case 6:
    if (procpool_future_error(*f, &error) == PROCPOOL_OK)
      REQUIRE(memchr(error.message, 0, sizeof(error.message)) != NULL);
    break;
  default: {
    const unsigned char *data = (const unsigned char *)procpool_future_data(*f, &size);
    unsigned sum = 0;
    for (size_t i = 0; data != NULL && i < size; i++)
      sum += data[i];
    fake.now += sum & 1;
  }
  }
}

static void map_free(void) {
  procpool__mapping *m = world.map;
  fake_free(m->jobs);
  free(world.arguments);
  free(world.results);
  free(m);
  world.map = NULL;
}

static void map_end(void) {
  procpool__mapping *m = world.map;
  if (m == NULL)
    return;
  procpool__host_lock(m->pool);
  for (size_t j = 0; j < m->job_count; j++)
    if (m->jobs[j].node.future != NULL)
      procpool__map_finish(m, &m->jobs[j]);
  procpool__host_unlock(m->pool);
  map_free();
}

static void map_begin(void) {
  const unsigned what = take8();
  procpool__mapping *m;
  map_end();
  m = (procpool__mapping *)calloc(1, sizeof(*m));
  REQUIRE(m != NULL);
  m->pool = world.pool;
  m->function = nothing;
  m->by_items = what & 1;
  m->arguments.size = what >> 1 & 7;
  m->results.size = what >> 4 & 7;
  m->count = 1 + take8() % ITEMS;
  m->failed_item = SIZE_MAX;
  world.arguments = (unsigned char *)calloc(m->count, m->arguments.size + (m->arguments.size == 0));
  world.results = (unsigned char *)calloc(m->count, m->results.size + (m->results.size == 0));
  REQUIRE(world.arguments != NULL && world.results != NULL);
  m->from = world.arguments;
  m->to = world.results;
  m->o.chunksize = 1 + take8() % 16;
  m->o.statuses = world.statuses;
  m->o.error = &world.map_error;
  m->o.time_limit = what & 128 ? 0.5 : 0;
  m->deadline = UINT64_MAX;
  world.map = m;
  if (!procpool__map_make(m))
    map_free();
}

static size_t map_jobs(const procpool__job *list) {
  size_t n = 0;
  for (; list != NULL && n <= world.map->job_count; list = list->next)
    n++;
  return n;
}

static void map_step(void) {
  procpool__mapping *m = world.map;
  procpool__wait_node *node;
  if (m == NULL)
    return;
  procpool__host_lock(m->pool);
  while ((node = procpool__waiter_pop(&m->waiter)) != NULL)
    procpool__map_finish(m, (procpool__job *)(void *)node);
  REQUIRE(m->busy + map_jobs(m->idle) + map_jobs(m->again) == m->job_count);
  (void)procpool__map_fill(m);
  procpool__map_share(m);
  REQUIRE(m->busy + map_jobs(m->idle) + map_jobs(m->again) == m->job_count);
  procpool__host_unlock(m->pool);
}

static void do_host(void) {
  procpool *p = world.pool;
  const unsigned what = take8();
  procpool_stats stats;
  procpool_error error;
  switch (what % 8) {
  case 0:
    (void)procpool_get_stats(p, &stats);
    break;
  case 1:
    (void)procpool_last_error(&error);
    break;
  case 2:
    (void)procpool_shutdown(p, (procpool_shutdown_mode)(what / 8 % 3), 0);
    break;
  default:
    procpool__host_lock(p);
    if (what % 8 == 5 && what >= 192) {
      procpool__host_unlock(p);
      do_buffers();
      return;
    }
    if (!p->life.finished && what % 8 < 6) {
      procpool__host_audit(p);
      (void)procpool__host_news(p, false);
    } else if (!p->life.finished) {
      (void)procpool__host_cell_free(p);
      (void)procpool__table_waiting(&p->segment);
      procpool__host_arm(p);
    }
    procpool__host_unlock(p);
  }
}

/* ---- the supervisor ---- */

static void super_hears(procpool__supervisor *u) {
  procpool__supervisor_hear(u);
}

static void super_looks(procpool__supervisor *u) {
  procpool__supervisor_reap(u);
  procpool__supervisor_on_phase(u);
  (void)procpool__supervisor_replace(u);
  (void)procpool__supervisor_enforce(u);
}

static void do_super(unsigned what) {
  procpool__supervisor *u = &world.super;
  const int w = (int)(what / 8 % WORKERS);
  switch (what % 8) {
  case 0:
    super_looks(u);
    break;
  case 1:
    super_hears(u);
    break;
  case 2: /* a stop */
    if (u->children[w].pid != 0 && *fake_process(u->children[w].pid) == FAKE_LIVES)
      fake.stopped = u->children[w].pid;
    break;
  case 3: /* a death */
    if (u->children[w].pid != 0)
      fake_die(u->children[w].pid, what & 64 ? 11 : (int)(what & 128) << 1);
    break;
  case 4:
    fake.no_fork = what & 64;
    fake.undead = what & 128;
    break;
  case 5:
    (void)procpool__table_waiting(&u->segment);
    if (what >= 64)
      sim_leave(w, take8());
    break;
  case 6:
    super_hears(u);
    super_looks(u);
    break;
  default:
    fake.now += (uint64_t)(what / 8) << 26;
  }
}

/* Ends as a real one does, by _exit, wherever that is. */
static void run_super(void (*what_it_does)(unsigned), unsigned what) {
  if (fake.super_gone)
    return;
  fake.exits = true;
  if (setjmp(fake.exit) == 0) {
    if (fake.lifeline_closed)
      procpool__supervisor_host_gone(&world.super);
    what_it_does(what);
  } else {
    fake.super_gone = true;
    for (int i = 0; i < fake.processes; i++) /* PDEATHSIG */
      if (fake.lives[i] == FAKE_LIVES)
        fake.lives[i] = FAKE_REAPED;
  }
  fake.exits = false;
}

static void dies_itself(unsigned what) {
  (void)what;
  fake_exit(0);
}

/* ---- the program and its end ---- */

static void operation(void) {
  const unsigned what = take8();
  switch (what % 16) {
  case 0:
  case 1:
    do_submit();
    break;
  case 2:
    sim_claim((int)(what / 16 % WORKERS));
    break;
  case 3:
    sim_commit((int)(what / 16 % WORKERS));
    break;
  case 4:
  case 5:
    scribble_word();
    break;
  case 6:
    forge_record();
    break;
  case 7:
    run_super(do_super, take8());
    break;
  case 8:
    (void)procpool_poll(world.pool, 0);
    break;
  case 9:
    do_host();
    break;
  case 10:
    do_future();
    break;
  case 11:
    map_step();
    break;
  case 12:
    if (what >= 128)
      map_begin();
    else
      replay();
    break;
  case 13:
    scribble_half();
    break;
  case 14:
    scribble_bytes();
    break;
  default:
    if (what == 255) {
      run_super(dies_itself, 0);
    } else if (what >= 240) {
      world.pool->segment.header->gone = 1;
    } else {
      fake.fail_after = take8() % 16;
      fake.fail_count = what / 64;
    }
  }
}

/* What an input that fails has come to. */
static void show(void) {
  const procpool *p = world.pool;
  const procpool__header *h = p->segment.header;
  fprintf(stderr, "phase %u, health %u, gone %u, head %#llx of %#llx, supervisor %s\n", h->phase, h->health, h->gone,
          (unsigned long long)h->head, (unsigned long long)p->tasks.position, fake.super_gone ? "gone" : "there");
  for (uint64_t i = 0; i < p->tasks.slots_used; i++)
    if (p->tasks.owners[i] != NULL)
      fprintf(stderr, "slot %d: ticket %#llx, flags %#x, word %#llx\n", (int)i,
              (unsigned long long)p->tasks.owners[i]->ticket, p->tasks.owners[i]->flags,
              (unsigned long long)p->segment.slots[i].word);
  for (int w = 0; w < WORKERS; w++)
    fprintf(stderr,
            "worker %d: pid %d, due %#llx, intent %#llx, tail %#llx, ring taken to %#llx%s, its own %#llx, life %d, "
            "runs %d, asked %#llx, stage %d\n",
            w, (int)world.super.children[w].pid, (unsigned long long)world.super.children[w].due,
            (unsigned long long)p->segment.blocks[w].intent_word, (unsigned long long)p->segment.blocks[w].tail,
            (unsigned long long)p->drain.inboxes[w].head, p->drain.inboxes[w].resetting ? ", resetting" : "",
            (unsigned long long)world.sims[w].tail,
            world.super.children[w].pid != 0 ? (int)*fake_process(world.super.children[w].pid) : 0, world.sims[w].runs,
            (unsigned long long)world.super.children[w].word, (int)world.super.children[w].stage);
}

/* Every worker dies, and those that follow do as they should: then all settles, without a shutdown. */
static void recover(void) {
  procpool *p = world.pool;
  fake.no_fork = fake.undead = false;
  fake.fail_after = 0;
  for (int w = 0; w < WORKERS; w++)
    if (world.super.children[w].pid != 0 && !fake.super_gone)
      fake_die(world.super.children[w].pid, SIGKILL);
  for (int round = 0; round < 60 && !p->life.finished && p->tasks.submitted != p->tasks.settled; round++) {
    fake.now += 2000000000u;
    run_super(do_super, 6);
    for (int w = 0; w < WORKERS && !p->life.finished; w++) {
      sim *m = sim_of(w);
      if (m != NULL)
        p->segment.blocks[w].life = PROCPOOL__LIFE_TASKS;
      sim_claim(w);
      if (m != NULL && m->runs)
        sim_result(w, m, "result", 6, 2);
      else if (m != NULL && p->segment.header->phase != PROCPOOL__PHASE_RUN)
        fake_die(m->pid, 0);
    }
    (void)procpool_poll(p, 0);
  }
  if (p->tasks.submitted != p->tasks.settled)
    show();
  REQUIRE(p->tasks.submitted == p->tasks.settled);
}

static void close_pool(void) {
  procpool *p = world.pool;
  (void)procpool_shutdown(p, PROCPOOL_KILL, 0);
  run_super(do_super, 6);
  (void)procpool_poll(p, 0);
  if (!p->life.finished) { /* what the shutdown does after a second */
    procpool__platform_close(&p->fds.lifeline);
    run_super(do_super, 7);
    REQUIRE(fake.super_gone);
    (void)procpool_poll(p, 0);
  }
  REQUIRE(p->life.finished);
  REQUIRE(p->tasks.submitted == p->tasks.settled);
  (void)procpool_poll(p, 0);
}

/* Slots come back, each once, but those that are said to be written to by somebody whom nobody can end. */
static void check_slots(const procpool *p) {
  bool seen[CAPACITY] = {false};
  const size_t quarantined = p->tasks.slots_used - p->tasks.free_count;
  REQUIRE(p->tasks.free_count <= p->tasks.slots_used && p->tasks.slots_used <= CAPACITY);
  for (uint64_t i = 0; i < p->tasks.slots_used; i++)
    REQUIRE(p->tasks.owners[i] == NULL);
  for (uint64_t i = 0; i < p->tasks.free_count; i++) {
    REQUIRE(p->tasks.free_slots[i] < CAPACITY && !seen[p->tasks.free_slots[i]]);
    seen[p->tasks.free_slots[i]] = true;
  }
  REQUIRE(p->buffers.unsettled[0] + p->buffers.unsettled[1] == 0 && p->buffers.freed_pending[0] == NULL &&
          p->buffers.freed_pending[1] == NULL);
  for (int i = 0; i < BUFFERS; i++)
    if (world.buffers[i] != NULL)
      REQUIRE(procpool_shared_free(world.pool, world.buffers[i]) == PROCPOOL_OK);
  REQUIRE(p->buffers.live == NULL);
  for (int c = 0; c < PROCPOOL__CLASSES; c++) /* a quarantine takes all buffers of its time along */
    REQUIRE(p->arena.given[c] == 0 || quarantined > 0);
  REQUIRE(p->tasks.limited == 0);
}

static void end(void) {
  procpool *p = world.pool;
  recover();
  close_pool();
  map_step();
  map_end();
  check_slots(p);
  for (int i = 0; i < FUTURES; i++)
    if (world.futures[i] != NULL)
      REQUIRE(procpool_future_status(world.futures[i]) != PROCPOOL_PENDING);
  for (int i = 0; i < world.call_count; i++)
    REQUIRE(world.calls[i].ran == world.calls[i].added);
  for (int i = 0; i < FUTURES; i++)
    REQUIRE(procpool_future_release(world.futures[i]) == PROCPOOL_OK);
  REQUIRE(p->futures.live == 0);
  REQUIRE(procpool_free(p) == PROCPOOL_OK);
  world.pool = NULL;
  fake_free(world.super.children);
  free(world.snapshot);
  REQUIRE(fake.blocks == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  input.bytes = data;
  input.size = size;
  input.at = 0;
  begin();
  for (int i = 0; i < OPERATIONS && input.at < input.size; i++)
    operation();
  end();
  return 0;
}

#ifdef REPLAY
static void replay_file(const char *path) {
  static unsigned char bytes[1 << 16];
  FILE *file = fopen(path, "rb");
  size_t size;
  if (file == NULL) {
    perror(path);
    exit(1);
  }
  size = fread(bytes, 1, sizeof(bytes), file);
  (void)fclose(file);
  (void)alarm(20); /* none takes a millisecond: one that spins ends here, and its name was printed */
  printf("%s\n", path);
  (void)fflush(stdout);
  (void)LLVMFuzzerTestOneInput(bytes, size);
}

int main(int argc, char **argv) {
  for (int i = 1; i < argc; i++)
    replay_file(argv[i]);
  printf("%d inputs\n", argc - 1);
  return argc > 1 ? 0 : 1;
}
#endif
