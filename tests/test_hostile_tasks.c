/* Tasks that write into shared memory what no worker should: the segment as it is inside, so the implementation is
 * included, but no call of this copy of it is made that concerns a pool. */
#define PROCPOOL_STATIC
#define PROCPOOL_IMPLEMENTATION
#include "hostile.h"

typedef struct hostile {
  const procpool__segment *s;
  procpool__header *header;
  procpool__block *own;
  procpool_task *task;
  int self, other;
} hostile;

/* Runs body for each slot whose word is in this state; word and slot are its own. */
#define EACH_SLOT(h, wanted)                                                                                           \
  for (uint64_t i = 0, word = 0; i < (h)->s->capacity; i++)                                                            \
    if ((word = procpool__load(&(h)->s->slots[i].word)), procpool__word_state(word) == (wanted))

static void set_words(hostile *h, procpool__state wanted, int worker, procpool__state state, uint64_t older) {
  EACH_SLOT(h, wanted)
  if (i != h->task->slot_index)
    procpool__store(&h->s->slots[i].word, procpool__word(procpool__word_ticket(word) - older, worker, state));
}

static void forge(hostile *h, uint64_t position, uint64_t word, uint64_t size, uint32_t slot) {
  procpool__record head;
  memset(&head, 0, sizeof(head));
  head.position = position;
  head.word = word;
  head.size = size;
  head.slot = slot;
  procpool__ring_stamp(h->s, h->self, position, &head);
}

/* The end of the process that attacks. */
static void leave(int status) {
  gate_add(&page->finished, 1);
  _exit(status);
}

static void own_tail_beyond(hostile *h) {
  h->own->tail += h->s->ring_size / 2;
}
static void own_tail_far(hostile *h) {
  h->own->tail = UINT64_MAX - 31;
}
static void own_tail_odd(hostile *h) {
  h->own->tail += 1;
}
static void own_tail_back(hostile *h) {
  h->own->tail -= 4 * PROCPOOL__UNIT;
}
static void other_tail_beyond(hostile *h) {
  h->s->blocks[h->other].tail += h->s->ring_size / 2;
}
static void consumed_of_all(hostile *h) {
  h->s->blocks[h->self].consumed = h->s->blocks[h->other].consumed = UINT64_MAX / 2;
}
static void record_of_huge_size(hostile *h) {
  forge(h, h->own->tail, procpool__word_in(h->task->word, PROCPOOL__DONE_OK), UINT64_MAX - 40, h->task->slot_index);
  procpool__store(&h->task->slot->word, procpool__word_in(h->task->word, PROCPOOL__DONE_OK));
  h->own->tail += h->s->ring_size;
}
static void record_of_another_task(hostile *h) {
  EACH_SLOT(h, PROCPOOL__RUNNING)
  if (procpool__word_worker(word) == h->other) {
    const uint64_t done = procpool__word(procpool__word_ticket(word), h->self, PROCPOOL__DONE_OK);
    procpool__store(&h->s->slots[i].word, done);
    forge(h, h->own->tail, done, 4000, (uint32_t)i);
    h->own->tail += procpool__ring_length(h->s, h->own->tail, 4000, false);
  }
}
static void piece_of_huge_total(hostile *h) {
  const uint64_t total = (uint64_t)1 << 46;
  procpool__ring_copy_in(h->s, NULL, h->self, h->own->tail + sizeof(procpool__record), &total, sizeof(total));
  forge(h, h->own->tail, h->task->word, 1000, h->task->slot_index | PROCPOOL__RECORD_FRAGMENT);
  h->own->tail += procpool__ring_length(h->s, h->own->tail, 1000, false);
}
static void waiting_words_free(hostile *h) {
  set_words(h, PROCPOOL__READY, 0, PROCPOOL__FREE, 0);
}
static void waiting_words_running_elsewhere(hostile *h) {
  set_words(h, PROCPOOL__READY, h->other, PROCPOOL__RUNNING, 0);
}
static void waiting_words_of_no_worker(hostile *h) {
  set_words(h, PROCPOOL__READY, 4000, PROCPOOL__DONE_OK, 0);
}
static void waiting_words_ready_for_nobody(hostile *h) {
  set_words(h, PROCPOOL__READY, 7, PROCPOOL__READY, 0);
}
static void running_word_done(hostile *h) {
  set_words(h, PROCPOOL__RUNNING, h->other, PROCPOOL__DONE_OK, 0);
}
static void running_word_dead(hostile *h) {
  set_words(h, PROCPOOL__RUNNING, h->self, PROCPOOL__DEAD_CRASHED, 0);
}
static void words_with_old_tickets(hostile *h) {
  set_words(h, PROCPOOL__READY, 0, PROCPOOL__READY, 3);
  set_words(h, PROCPOOL__RUNNING, h->other, PROCPOOL__RUNNING, 3);
}
/* Another task is said to run here, by everything that is known of this worker, which never ends: but then its own task is
 * not what its intent says. */
static void running_words_and_intents(hostile *h) {
  EACH_SLOT(h, PROCPOOL__READY) {
    const uint64_t running = procpool__word(procpool__word_ticket(word), h->self, PROCPOOL__RUNNING);
    procpool__store(&h->own->intent_slot, i);
    procpool__store(&h->own->intent_word, running);
    procpool__store(&h->s->slots[i].word, running);
    gate_add(&page->finished, 1);
    gate_wait(&page->word[2], 1);
  }
}
static void own_word_done_then_exit(hostile *h) {
  procpool__store(&h->task->slot->word, procpool__word_in(h->task->word, PROCPOOL__DONE_OK));
  leave(0);
}
static void own_word_dead_then_exit(hostile *h) {
  procpool__store(&h->task->slot->word, procpool__word_in(h->task->word, PROCPOOL__DEAD_TIMEOUT));
  leave(0);
}
static void own_intent_then_exit(hostile *h) {
  procpool__store(&h->own->intent_slot, UINT64_MAX);
  procpool__store(&h->own->intent_word, UINT64_MAX);
  leave(3);
}
static void head_far_ahead(hostile *h) {
  procpool__store(&h->header->head, h->header->head + ((uint64_t)1 << 38));
}
static void head_far_behind(hostile *h) {
  procpool__store(&h->header->head, h->header->head - ((uint64_t)1 << 38));
}
static void cells_zero(hostile *h) {
  for (uint64_t i = 0; i < h->s->cell_count; i++)
    procpool__store(&h->s->cells[i], 0);
}
static void cells_beyond_the_table(hostile *h) {
  for (uint64_t i = 0; i < h->s->cell_count; i++)
    procpool__store(&h->s->cells[i], h->s->cells[i] | 0xffffff);
}
static void idle_masks_clear(hostile *h) {
  for (int i = 0; i < PROCPOOL__GROUPS; i++) {
    procpool__store(&h->header->masks[i].idle, 0);
    procpool__store(&h->header->masks[i].away, 0);
  }
}
static void idle_masks_set(hostile *h) {
  for (int i = 0; i < PROCPOOL__GROUPS; i++)
    procpool__store(&h->header->masks[i].idle, UINT64_MAX);
}
static void away_masks_set(hostile *h) {
  for (int i = 0; i < PROCPOOL__GROUPS; i++)
    procpool__store(&h->header->masks[i].away, UINT64_MAX);
}
static void coming_masks_set(hostile *h) {
  for (int i = 0; i < PROCPOOL__GROUPS; i++) {
    procpool__store(&h->header->masks[i].coming, UINT64_MAX);
    procpool__add(&h->header->masks[i].wakes, 1);
  }
}
static void host_flags(hostile *h) {
  procpool__store(&h->header->host_flag, 0);
  h->header->host_seq -= 7;
}
static void phase_kill(hostile *h) {
  procpool__store32(&h->header->phase, PROCPOOL__PHASE_KILL);
}
static void phase_drain(hostile *h) {
  procpool__store32(&h->header->phase, PROCPOOL__PHASE_DRAIN);
}
static void phase_nonsense(hostile *h) {
  procpool__store32(&h->header->phase, 0xffffffff);
}
static void gone(hostile *h) {
  procpool__store32(&h->header->gone, 1);
}
static void dead_list_loop(hostile *h) {
  for (uint64_t i = 0; i < h->s->capacity; i++)
    procpool__slot_exit_record(&h->s->slots[i])->rss_kib_next = (i + 1) % h->s->capacity + 1;
  procpool__store(&h->header->dead_count, UINT64_MAX / 2);
  procpool__store(&h->header->dead_list, 1);
}
/* While another worker dies: its end is written in its task's slot, too. */
static void dead_list_wiped(hostile *h) {
  const uint64_t end = procpool__platform_now() + 300000000u, count = h->header->dead_count;
  gate_add(&page->word[1], 1);
  while (procpool__platform_now() < end) {
    procpool__store(&h->header->dead_list, 0);
    procpool__store(&h->header->dead_count, count);
  }
}
static void alive_and_started(hostile *h) {
  procpool__store(&h->header->alive, 0);
  procpool__store(&h->header->started, UINT64_MAX);
  procpool__store(&h->header->stopped, UINT64_MAX);
}
static void health_strict(hostile *h) {
  procpool__store32(&h->header->health, PROCPOOL__HEALTH_STRICT);
}
static void health_nonsense(hostile *h) {
  h->header->cause_signal = h->header->cause_worker = INT64_MIN;
  procpool__store32(&h->header->health, 0xffffffff);
}
static void room_words(hostile *h) {
  for (int i = 0; i < h->s->workers; i++) {
    h->s->blocks[i].room_flag = UINT32_MAX;
    h->s->blocks[i].room_seq -= 3;
  }
}
static void blocks_of_all(hostile *h) {
  for (int i = 0; i < h->s->workers; i++) {
    procpool__block *b = &h->s->blocks[i];
    b->pid = b->life = b->tasks = b->started_ns = b->limited_word = b->ended_word = UINT64_MAX / 3;
    b->init_code = INT64_MIN;
  }
}
static void limits(hostile *h) {
  h->header->limited = h->header->tick = UINT64_MAX;
  h->header->ticking = 0;
  for (uint64_t i = 0; i < h->s->capacity; i++)
    h->s->slots[i].limit = UINT32_MAX;
}
static void functions_and_arguments(hostile *h) {
  EACH_SLOT(h, PROCPOOL__READY) {
    h->s->slots[i].function = i % 2 ? h->s->slots[i].function : 0x10; /* not some code that may do anything */
    h->s->slots[i].size = i % 2 ? UINT64_MAX - i : 8;
    h->s->slots[i].argument.offset = UINT64_MAX / 4;
  }
}

/* Workers that claim now reach less, or are told to reach more than there is. */
static void arena_top_far(hostile *h) {
  procpool__store(&h->header->arena_top, UINT64_MAX - 5);
}
static void arena_top_zero(hostile *h) {
  procpool__store(&h->header->arena_top, 0);
}
static void places(hostile *h) {
  EACH_SLOT(h, PROCPOOL__READY) {
    h->s->slots[i].flags |= i % 2 ? PROCPOOL__SLOT_PLACE : PROCPOOL__SLOT_SHARED;
    h->s->slots[i].argument.place.offset = i % 3 ? UINT64_MAX / 4 : h->s->arena_size - 1;
    h->s->slots[i].argument.place.capacity = UINT64_MAX - i;
  }
}
/* The result of this task, as its worker says; size bytes of record, which begin with told. */
static void forge_result(hostile *h, uint64_t told, uint64_t size, uint32_t flags) {
  const uint64_t done = procpool__word_in(h->task->word, PROCPOOL__DONE_OK);
  procpool__ring_copy_in(h->s, NULL, h->self, h->own->tail + sizeof(procpool__record), &told, sizeof(told));
  forge(h, h->own->tail, done, size, h->task->slot_index | flags);
  procpool__store(&h->task->slot->word, done);
  h->own->tail += procpool__ring_length(h->s, h->own->tail, size, false);
  leave(0); /* it would write its own record over this one */
}
static void placed_result_of_huge_size(hostile *h) {
  forge_result(h, UINT64_MAX - 3, sizeof(uint64_t), PROCPOOL__RECORD_PLACE);
}
static void placed_result_of_odd_size(hostile *h) {
  forge_result(h, 3, 5, PROCPOOL__RECORD_PLACE);
}
static void placed_result_in_the_ring(hostile *h) {
  forge_result(h, 3, 2000, 0);
}
static void placed_result_in_pieces(hostile *h) {
  forge_result(h, 2000, 2008, PROCPOOL__RECORD_FRAGMENT);
}
/* Of a task that waits and has none, which this worker has taken. */
static void result_with_a_place_it_has_not(hostile *h) {
  EACH_SLOT(h, PROCPOOL__READY) {
    const uint64_t done = procpool__word(procpool__word_ticket(word), h->self, PROCPOOL__DONE_OK), size = 8;
    procpool__store(&h->s->slots[i].word, done);
    procpool__ring_copy_in(h->s, NULL, h->self, h->own->tail + sizeof(procpool__record), &size, sizeof(size));
    forge(h, h->own->tail, done, sizeof(size), (uint32_t)i | PROCPOOL__RECORD_PLACE);
    h->own->tail += procpool__ring_length(h->s, h->own->tail, sizeof(size), false);
    leave(0);
  }
}

static hostile hostile_of(procpool_task *task) {
  hostile h;
  h.s = task->worker->segment;
  h.header = h.s->header;
  h.task = task;
  h.self = task->worker->index;
  h.other = (h.self + 1) % h.s->workers;
  h.own = &h.s->blocks[h.self];
  return h;
}

void hostile_task(procpool_task *task) {
  static void (*const attacks[])(hostile *) = {
#define HOSTILE_FUNCTION(name) name,
      HOSTILE_ATTACKS(HOSTILE_FUNCTION)
#undef HOSTILE_FUNCTION
  };
  const test_job *job = job_begin(task);
  const int number = job->number;
  hostile h = hostile_of(task);
  gate_add(&page->started, 1);
  gate_wait(&page->word[0], 1);
  attacks[number](&h);
  gate_add(&page->finished, 1);
  procpool_task_return(task, &number, sizeof(number));
}

/* ---- what misleads the supervisor, or keeps the host busy ---- */

void hostile_tail_task(procpool_task *task) {
  size_t hold = 0;
  hostile h = hostile_of(task);
  procpool__block *b = &h.s->blocks[h.other];
  const uint64_t old = procpool__load(&b->consumed);
  const uint64_t fresh =
      procpool__round_up(old + ((uint64_t)1 << 40), h.s->ring_size); /* where the host resets it to */
  const uint64_t patience = procpool__platform_now() + 3000000000u;
  uint64_t end;
  if (procpool_task_argument(task, &hold) != NULL && hold != 0)
    (void)kill(getppid(), SIGSTOP);
  procpool__store(&b->tail, old + 3);
  while (procpool__load(&b->consumed) != fresh && procpool__platform_now() < patience)
    continue;
  end = procpool__platform_now() + 500000000u;
  while (procpool__platform_now() < end)
    if (procpool__load(&b->tail) != fresh + 3)
      procpool__store(&b->tail, fresh + 3);
  if (hold != 0)
    procpool__store32(&h.header->phase, PROCPOOL__PHASE_KILL + 3);
}

static void mislead(hostile *h, int what) {
  procpool__header *header = h->header;
  if (what & HOSTILE_MISLEAD_HEAD)
    procpool__store(&header->head, (uint64_t)1 << 30);
  if (what & HOSTILE_MISLEAD_PHASE)
    procpool__store32(&header->phase, PROCPOOL__PHASE_DRAIN);
  if (what & HOSTILE_MISLEAD_INITIALIZER)
    header->settings.initializer = header->settings.initializer_offset = 0x1234;
  if (what & HOSTILE_MISLEAD_SETTINGS)
    header->settings.max_tasks = header->settings.spin_ns = header->settings.processors = header->capacity =
        header->workers = 1;
  if (what & HOSTILE_MISLEAD_COUNTS)
    header->alive = header->started = header->dead_count = header->limited = 77;
  if (what & HOSTILE_MISLEAD_GONE)
    procpool__store32(&header->gone, 1);
  if (what & HOSTILE_MISLEAD_FLAG)
    procpool__store(&header->host_flag, UINT64_MAX);
  if (what & HOSTILE_MISLEAD_TAIL)
    procpool__store(&h->own->tail, h->own->tail + 5);
}

void hostile_mislead_task(procpool_task *task) {
  const test_job *job = job_begin(task);
  hostile h = hostile_of(task);
  mislead(&h, job->number);
  (void)raise(SIGKILL);
}

/* ---- anything, anywhere before the arena ---- */

static uint64_t random_next(uint64_t *state) {
  *state ^= *state << 13;
  *state ^= *state >> 7;
  *state ^= *state << 17;
  return *state;
}

static uint64_t random_place(const procpool__segment *s, uint64_t *r) {
  const uint64_t header = sizeof(procpool__header) - offsetof(procpool__header, head);
  switch (random_next(r) % 5) {
  case 0:
    return offsetof(procpool__header, head) + random_next(r) % header;
  case 1:
    return procpool__shm_offset(s, s->blocks) + random_next(r) % ((uint64_t)s->workers * sizeof(procpool__block));
  case 2:
    return procpool__shm_offset(s, s->rings) + random_next(r) % ((uint64_t)s->workers * s->ring_size);
  case 3:
    return procpool__shm_offset(s, s->cells) + random_next(r) % (s->cell_count * sizeof(uint64_t));
  default:
    return procpool__shm_offset(s, s->slots) + random_next(r) % (s->capacity * sizeof(procpool__slot));
  }
}

/* Not the address of a function: another worker would run code that may do anything. */
static bool random_is_function(const procpool__segment *s, uint64_t at) {
  const uint64_t slots = procpool__shm_offset(s, s->slots);
  return at >= slots && (at - slots) % sizeof(procpool__slot) == offsetof(procpool__slot, function);
}

void hostile_random_task(procpool_task *task) {
  size_t size;
  const int *argument = (const int *)procpool_task_argument(task, &size);
  const procpool__segment *s = task->worker->segment;
  const int seed = argument != NULL && size == sizeof(seed) ? *argument : 0; /* another one may have changed it */
  uint64_t r = (uint64_t)(unsigned)seed * 2654435761u + 88172645463325252ull;
  for (int n = 1 + (int)(random_next(&r) % 30); n > 0; n--) {
    const uint64_t at = random_place(s, &r) & ~(uint64_t)7;
    procpool__u64 *word = (procpool__u64 *)(void *)(s->base + at);
    const uint64_t now = procpool__load(word),
                   values[5] = {random_next(&r), UINT64_MAX, random_next(&r) % 100,
                                now + random_next(&r) % 5 * PROCPOOL__UNIT, now ^ (uint64_t)1 << random_next(&r) % 64};
    if (!random_is_function(s, at))
      procpool__store(word, values[random_next(&r) % 5]);
  }
  procpool_task_return(task, &seed, sizeof(seed));
}

void hostile_large_task(procpool_task *task) {
  const size_t size = 50000;
  void *bytes = procpool_task_result(task, size);
  if (bytes != NULL)
    memset(bytes, 1, size);
}

/* ---- a map's chunk ---- */

void hostile_item(procpool_task *task) {
  static const uint64_t stops[] = {UINT64_MAX, 1, (uint64_t)1 << 32, (uint64_t)7 << 32 | 5, (uint64_t)5 << 32 | 7};
  procpool__chunk *chunk = task->chunk;
  int item; /* where other chunks were scribbled upon, it may lie anywhere */
  memcpy(&item, procpool_task_argument(task, NULL), sizeof(item));
  procpool_task_return(task, &item, sizeof(item));
  if (item % 8 == 5 && !test_instrumented()) /* its own writes may go anywhere then, which an instrument reports */
    procpool__store(&chunk->stop, stops[item / 8 % 5]);
  if (item % 8 != 3)
    return;
  chunk->begun = item & 8 ? UINT64_MAX : 1000;
  chunk->first.code = 5;
  memset(chunk->first.message, 'x', sizeof(chunk->first.message));
  for (uint64_t i = 0; i < procpool__chunk_marks_size(chunk->count); i++)
    (task->worker->segment->arena + chunk->failures)[i] = (unsigned char)(0xff - i);
  chunk->failed = UINT64_MAX;
  chunk->results = chunk->failures = UINT64_MAX / 2;
  if (item & 16)
    _exit(1);
  procpool__store(&task->slot->word, procpool__word_in(task->word, PROCPOOL__DONE_OK));
}

void hostile_bundled_item(procpool_task *task) {
  procpool__bundle *bundle = task->bundle;
  const int item = *(const int *)procpool_task_argument(task, NULL);
  procpool__answer *first;
  procpool_task_return(task, &item, sizeof(item));
  if (bundle == NULL || item % 8 != 3)
    return;
  first = (procpool__answer *)(void *)(task->worker->segment->arena + bundle->answers);
  if (item & 8)
    first->size = item & 64 ? UINT64_MAX - 15 : bundle->answers_size - 15;
  else
    first->kind = item & 64 ? UINT64_MAX : PROCPOOL__ANSWER_FAILURE;
  bundle->begun = item & 16 ? UINT64_MAX : item & 128 ? 0 : bundle->count;
  bundle->arguments = bundle->answers = bundle->argument_size = UINT64_MAX / 2;
  if (item & 32)
    _exit(1);
  procpool__store(&task->slot->word, procpool__word_in(task->word, PROCPOOL__DONE_OK));
}
