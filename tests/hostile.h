/* hostile.h - what the tasks of test_hostile.c write into shared memory; see test_hostile_tasks.c for each. */
#ifndef HOSTILE_H
#define HOSTILE_H

#include "harness.h"

/* X(name) */
#define HOSTILE_ATTACKS(X)                                                                                             \
  X(own_tail_beyond)                                                                                                   \
  X(own_tail_far)                                                                                                      \
  X(own_tail_odd)                                                                                                      \
  X(own_tail_back)                                                                                                     \
  X(other_tail_beyond)                                                                                                 \
  X(consumed_of_all)                                                                                                   \
  X(record_of_huge_size)                                                                                               \
  X(record_of_another_task)                                                                                            \
  X(piece_of_huge_total)                                                                                               \
  X(waiting_words_free)                                                                                                \
  X(waiting_words_running_elsewhere)                                                                                   \
  X(waiting_words_of_no_worker)                                                                                        \
  X(waiting_words_ready_for_nobody)                                                                                    \
  X(running_word_done)                                                                                                 \
  X(running_word_dead)                                                                                                 \
  X(words_with_old_tickets)                                                                                            \
  X(running_words_and_intents)                                                                                         \
  X(own_word_done_then_exit)                                                                                           \
  X(own_word_dead_then_exit)                                                                                           \
  X(own_intent_then_exit)                                                                                              \
  X(head_far_ahead)                                                                                                    \
  X(head_far_behind)                                                                                                   \
  X(cells_zero)                                                                                                        \
  X(cells_beyond_the_table)                                                                                            \
  X(idle_masks_clear)                                                                                                  \
  X(idle_masks_set)                                                                                                    \
  X(away_masks_set)                                                                                                    \
  X(coming_masks_set)                                                                                                  \
  X(host_flags)                                                                                                        \
  X(phase_kill)                                                                                                        \
  X(phase_drain)                                                                                                       \
  X(phase_nonsense)                                                                                                    \
  X(gone)                                                                                                              \
  X(dead_list_loop)                                                                                                    \
  X(dead_list_wiped)                                                                                                   \
  X(alive_and_started)                                                                                                 \
  X(health_strict)                                                                                                     \
  X(health_nonsense)                                                                                                   \
  X(room_words)                                                                                                        \
  X(blocks_of_all)                                                                                                     \
  X(limits)                                                                                                            \
  X(functions_and_arguments)                                                                                           \
  X(arena_top_far)                                                                                                     \
  X(arena_top_zero)                                                                                                    \
  X(places)                                                                                                            \
  X(placed_result_of_huge_size)                                                                                        \
  X(placed_result_of_odd_size)                                                                                         \
  X(placed_result_in_the_ring)                                                                                         \
  X(placed_result_in_pieces)                                                                                           \
  X(result_with_a_place_it_has_not)

enum {
#define HOSTILE_NUMBER(name) HOSTILE_##name,
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
/* Makes its neighbour's tail nonsense, twice, and returns after half a second. With an argument, any byte: it stops the
 * supervisor first, and says at last that the pool is in a phase that there is not. */
void hostile_tail_task(procpool_task *task);
/* Takes a test_job, number says what: writes nonsense there, and dies. */
void hostile_mislead_task(procpool_task *task);
enum {
  HOSTILE_MISLEAD_PHASE = 1,
  HOSTILE_MISLEAD_HEAD = 2,
  HOSTILE_MISLEAD_INITIALIZER = 4,
  HOSTILE_MISLEAD_SETTINGS = 8,
  HOSTILE_MISLEAD_COUNTS = 16,
  HOSTILE_MISLEAD_GONE = 32,
  HOSTILE_MISLEAD_FLAG = 64,
  HOSTILE_MISLEAD_TAIL = 128,
  HOSTILE_MISLEAD_ALL = 256
};
/* Item of a map, an int: some of them lie about the chunk that they are in. */
void hostile_item(procpool_task *task);
/* Item of an imap, an int: some of them lie about those that are handed out with them. */
void hostile_bundled_item(procpool_task *task);

#endif
