/* hostile.h - what the tasks of test_hostile.c write into shared memory; see test_hostile_tasks.c for each. */
#ifndef HOSTILE_H
#define HOSTILE_H

#include "harness.h"

/* X(name, whether all settles without a shutdown) */
#define HOSTILE_ATTACKS(X)                                                                                             \
  X(own_tail_beyond, true)                                                                                             \
  X(own_tail_far, true)                                                                                                \
  X(own_tail_odd, true)                                                                                                \
  X(own_tail_back, true)                                                                                               \
  X(other_tail_beyond, true)                                                                                           \
  X(consumed_of_all, true)                                                                                             \
  X(record_of_huge_size, true)                                                                                         \
  X(record_of_another_task, true)                                                                                      \
  X(piece_of_huge_total, true)                                                                                         \
  X(waiting_words_free, true)                                                                                          \
  X(waiting_words_running_elsewhere, true)                                                                             \
  X(waiting_words_of_no_worker, true)                                                                                  \
  X(waiting_words_ready_for_nobody, true)                                                                              \
  X(running_word_done, true)                                                                                           \
  X(running_word_dead, true)                                                                                           \
  X(words_with_old_tickets, true)                                                                                      \
  X(running_words_and_intents, false)                                                                                  \
  X(own_word_done_then_exit, true)                                                                                     \
  X(own_word_dead_then_exit, true)                                                                                     \
  X(own_intent_then_exit, true)                                                                                        \
  X(head_far_ahead, true)                                                                                              \
  X(head_far_behind, true)                                                                                             \
  X(cells_zero, true)                                                                                                  \
  X(cells_beyond_the_table, true)                                                                                      \
  X(idle_masks_clear, true)                                                                                            \
  X(idle_masks_set, true)                                                                                              \
  X(host_flags, true)                                                                                                  \
  X(phase_kill, true)                                                                                                  \
  X(phase_drain, true)                                                                                                 \
  X(phase_nonsense, true)                                                                                              \
  X(gone, true)                                                                                                        \
  X(dead_list_loop, true)                                                                                              \
  X(dead_list_wiped, true)                                                                                             \
  X(alive_and_started, true)                                                                                           \
  X(health_strict, true)                                                                                               \
  X(health_nonsense, true)                                                                                             \
  X(room_words, true)                                                                                                  \
  X(blocks_of_all, true)                                                                                               \
  X(limits, true)                                                                                                      \
  X(functions_and_arguments, true)

enum {
#define HOSTILE_NUMBER(name, settles) HOSTILE_##name,
  HOSTILE_ATTACKS(HOSTILE_NUMBER)
#undef HOSTILE_NUMBER
      HOSTILE_COUNT
};

/* Tasks. They take a test_job, number is the attack. Attack: word[0] says when, started that it is there. */
void hostile_task(procpool_task *task);
/* Takes an int, the seed of what it writes here and there. */
void hostile_random_task(procpool_task *task);
/* No argument; a result larger than its ring. */
void hostile_large_task(procpool_task *task);
/* Item of a map, an int: some of them lie about the chunk that they are in. */
void hostile_item(procpool_task *task);

#endif
