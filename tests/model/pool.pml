/* pool.pml - the protocol of procpool.h, for spin. "make -C tests model" checks every variant and every mutation.
 *
 * What stands for what. A step (one statement, or one atomic block) is one access to a shared word, with what the process then
 * does by itself; accesses to words that nobody else can change at that moment are drawn together.
 *
 *   word[slot]                      procpool__slot.word: ticket, worker, state          (>>shm)
 *   wants[slot]                     procpool__slot.flags & KILL, or a limit
 *   arg[slot]                       the argument; the exit record (0) lies over it
 *   cells[], head                   submission ring and hint                            (>>table)
 *   intent_slot, intent_word        procpool__block, per worker
 *   next                            procpool__worker.next: where this worker looks; it moves head (the hint) for several at once
 *   idle, away                      procpool__mask: who sleeps, who cannot take a task
 *   wake_*                          procpool__block.wake_seq, per worker
 *   ready[w]                        procpool__block.life == LIFE_TASKS
 *   tail, consumed, rec_*           result ring per worker, and the record heads in it  (>>ring)
 *   room_flag, host_flag, dead_list, super_gone: as their namesakes
 *   *_fresh, *_parked               a futex. fresh: the sequence number is still what the sleeper loaded; parked: it sleeps
 *                                   in the kernel. Adding 1 clears fresh; waking clears parked. (As good as numbers
 *                                   that never repeat, and it keeps the state space finite.)
 *   answered[w]                     procpool__worker.answered == number of the host's present sleep
 *
 *   worker:      turn, claim, pass, follow, run, room, record, commit, publish, sleep   procpool__worker_step, _claim,
 *                                   _skip, _resync, _move_hint, _run, _wait_room, procpool__ring_stamp,
 *                                   procpool__worker_commit, _commit_stopped, _publish, _answer, _sleep
 *   host:        try, place, wake, drain, cancel, rest, finish    procpool__submit_place, _publish, _wake, procpool__host_drain,
 *                                   procpool__future_cancel, _cancel_kill, procpool__host_rest, _sleep, _finish, _last_words
 *   supervisor:  hear, publish_for, bury, enforce, wake, replace  procpool__supervisor_reap, procpool__ring_publish_for,
 *                                   procpool__supervisor_settle_dead, _enforce, procpool__shm_wake_*, procpool__supervisor_replace
 *   kernel:      kills, stops and continues at any step; the end of all workers when the supervisor is gone
 *
 * What must hold. Never more than one outcome for a task, OK exactly where OK was committed, a body begun at most once, no slot
 * or argument reused while a worker may still touch it, no kill of a worker that runs another task than the one that was
 * condemned, nothing lost, nobody asleep for good: when nothing can move any more (`timeout`), every task has settled, but
 * those that a stopped worker runs. With LONG also: no task waits for a busy worker while another one sleeps. No fairness is
 * assumed. There is no clock: what heals a lost wake-up after a tick (procpool__host_audit, the host's slow tick) is left out
 * on purpose, but for the tick that finds the supervisor gone.
 *
 * Who is woken. The host wakes workers while more tasks are unsettled than workers awake (neither idle nor away). An awake
 * worker has one unsettled task at most, or looks at the queue again before it sleeps. One wake for each task is not enough
 * (wake_one): a worker that has said that it will sleep, and then finds a task in its last look, is counted as awake for that
 * task and as asleep for the next one, and takes the wake that another worker needs. The host clears the idle bit before it
 * adds to wake_seq: after it, it might clear the bit of a worker's next sleep (cleared_after_wake). What away leaves out must
 * come before the wake of all (away_late_on_stop, _on_death), and what it takes back too (back_late). That a worker which
 * leaves sets its bit matters to no check: all are woken when it is reaped; it saves the time until then. So does the bit of
 * one that is about to be killed.
 *
 * The hint. A task's cell is the host's again when the task is claimed, not when the hint has passed it: a host that waits for
 * room is woken by the claim (room_at_hint). A worker moves the hint at the latest before it sleeps, since its last look is at
 * the hint: it would find what it has passed, again and again, and never sleep (hint_lazy).
 *
 * Not modelled: memory weaker than sequential consistency, but for the tail (TAIL_LATE): that is tried piece by piece in
 * litmus.py, under the language's own model, the lazy sleep too; results in pieces; chunks of a map (one task, here); several threads of the host, procpool_fd, interrupts; spinning; many tasks submitted at once, the host's
 * lazy sleep; shutdown, strict pools, initializers (a worker clears its away bit in the step after its birth); forks that fail
 * now and then (NO_FORK: all do); workers that write nonsense, and the audit that finds it and sets the hint back; a killed
 * worker that the kernel cannot end (quarantine); SIGTERM as a stage between ASKED and SIGKILL (to the protocol it is one more
 * kill). Who is woken among more than two workers: wake.pml.
 *
 * Two workers (ONE_WORKER: one). TASKS, SLOTS, CELLS, RING (units per result ring) and which faults there are: by -D, see
 * model.sh. NO_FORK: nobody dead is replaced. MUTANT_x: a step done wrongly, which must not go unnoticed. */

#ifndef TASKS
#define TASKS 3
#endif
#ifndef SLOTS
#define SLOTS 2
#endif
#ifndef CELLS
#define CELLS 2 /* fewer than the header has: they wrap with three tasks */
#endif
#ifndef RING
#define RING 1
#endif
#ifndef KILLS
#define KILLS 0 /* workers killed */
#endif
#ifndef STOPS
#define STOPS 0 /* workers stopped */
#endif
#ifndef CONTINUES
#define CONTINUES 0 /* of these, continued */
#endif
#ifndef SUPER_KILLS
#define SUPER_KILLS 0
#endif
#ifndef SUPER_STOPS
#define SUPER_STOPS 0
#endif
#ifndef SUPER_CONTINUES
#define SUPER_CONTINUES 0
#endif
#ifndef CANCELS
#define CANCELS 0 /* calls of procpool_future_cancel */
#endif
#ifndef CANCEL_KILLS
#define CANCEL_KILLS 0 /* calls of procpool_future_cancel_kill */
#endif
#ifndef LIMITED
#define LIMITED 0 /* ticket of a task with a limit, whose body may never return */
#endif
#ifndef EXPIRES
#define EXPIRES 0 /* ticket of a task whose deadline is over: the supervisor takes it out of the queue, or a worker has it */
#endif
#ifndef HOLD
#define HOLD 0 /* 1: no body returns before all tasks are accepted */
#endif
#ifndef FINE
#define FINE 0 /* 1: run, and record, in as many steps as they have */
#endif
#ifndef LONG
#define LONG 0 /* ticket of a task that takes longer than a free worker needs to begin the tasks that wait */
#endif
#ifndef LEAVES
#define LEAVES 0 /* workers that leave after a task of theirs */
#endif
#define ENDS (CANCEL_KILLS + LIMITED > 0)

#define FREE 0
#define READY 1
#define RUNNING 2
#define ASKED 3
#define DONE_OK 4
#define DONE_X 5 /* TIMEOUT or CANCELLED, as asked */
#define DEAD_CRASHED 6
#define DEAD_X 7
#define BROKEN 8    /* outcomes that are no state of the word */
#define CANCELLED 9 /* before it began */
#define WORD(ticket, w, state) ((ticket) * 16 + (w) * 8 + (state))
#define TICKET(x) ((x) / 16)
#define OWNER(x) (((x) / 8) % 2)
#define STATE(x) ((x) % 8)
#define IS_DONE(x) (STATE(x) == DONE_OK || STATE(x) == DONE_X)
#define IS_DEAD(x) (STATE(x) == DEAD_CRASHED || STATE(x) == DEAD_X)
#define CELL(ticket, slot) ((ticket) * 4 + (slot))
#define PARKED 1
#define CLAIM 2
#define AT(w, position) ((w) * RING + (position) % RING)
#ifdef FIELDS /* records of several lengths, read and written field by field */
#define LENGTH(ticket) ((ticket) == 1 -> 2 : 1)
#else
#define LENGTH(ticket) 1
#endif

/* shared words */
byte word[SLOTS], arg[SLOTS], cells[CELLS], head;
bool wants[SLOTS];
byte intent_slot[2], intent_word[2];
byte tail[2], consumed[2];
byte rec_position[2 * RING], rec_word[2 * RING], rec_length[2 * RING], rec_slot[2 * RING];
bool room_flag[2], room_fresh[2], room_parked[2];
byte idle, away = 3; /* a bit per worker */
bool wake_fresh[2], wake_parked[2];
#if CONTINUES
bool ready[2];
#endif
#if LEAVES
byte leaves = LEAVES;
#endif
byte host_flag, claim_at; /* claim_at: host_flag's CLAIM is for positions from this one on, plus CELLS */
bool host_fresh, host_parked;
bool answered[2];
byte dead_list; /* a bit per slot */

/* processes, as the kernel knows them */
#define NONE 0
#define ALIVE 1
#define DYING 2
#define ZOMBIE 3
#define ABSENT 4 /* ONE_WORKER: there never was a second */
byte life[2];
bool halted[2], redo[2], event[2];
bool super_gone, super_halted;

/* what only the checks look at */
byte began, settled[TASKS + 1], committed[TASKS + 1];
byte cur[2], slot_of[TASKS + 1];
bool wanted[TASKS + 1];
bool all_settled;
#if HOLD
byte accepted;
#endif

#define BIT(n) (1 << (n))
/* A step of its own, but in coarse variants. */
#ifdef COARSE
#define ASIDE
#else
#define ASIDE }; atomic {
#endif
#define END_OF(w) /* the kernel ends process w */ \
  halted[w] = 0; redo[w] = 0; event[w] = 0; cur[w] = 0; \
  wake_parked[w] = 0; wake_fresh[w] = 0; room_parked[w] = 0; room_fresh[w] = 0; answered[w] = 0; \
  life[w] = DYING

/* ---- what all use ---- */


/* Sleeps in the kernel unless the number has changed. A stop takes the sleeper off the queue; when it is continued, the kernel
 * compares anew. */
#define FUTEX_WAIT(fresh, parked, redo) \
  atomic { if :: fresh -> parked = 1 :: else fi }; \
  do :: atomic { !parked -> if :: redo -> redo = 0; if :: fresh -> parked = 1 :: else fi :: else -> fresh = 0; break fi } od

/* ---- >>worker ---- */

inline wake_host() {
#ifdef COARSE
  atomic { host_fresh = 0; host_parked = 0 }
#else
  host_fresh = 0;  /* host_seq + 1 */
  host_parked = 0  /* FUTEX_WAKE */
#endif
}

#ifdef MUTANT_FLAG_CLEARED_BY_WAKER
#define REMEMBER host_flag = 0
#else
#define REMEMBER answered[w] = 1
#endif
inline answer(why) {
  if
  :: atomic { (host_flag & why) && !answered[w] -> REMEMBER }; wake_host()
  :: !((host_flag & why) && !answered[w])
  fi
}

/* After a claim: next is behind it. */
inline answer_claim() {
  if
  :: next + CELLS > claim_at -> answer(CLAIM)
  :: else
  fi
}

/* The tail's store may be seen only after what follows it has looked at the host's flag; not after a swap of that. */
#define STORE_TAIL assert(tail[w] == at || tail[w] == at + l); tail[w] = at + l; at = at + l; l = 0
inline publish() {
#ifdef TAIL_LATE
  if
  :: atomic { (host_flag & PARKED) && !answered[w] -> REMEMBER }; atomic { STORE_TAIL }; wake_host()
  :: !((host_flag & PARKED) && !answered[w]); atomic { STORE_TAIL }
  fi
#else
  atomic { STORE_TAIL };
  answer(PARKED)
#endif
}

/* A task that takes long: it ends when no task waits beside a worker that could begin it. */
#define OTHER (1 - w)
#define WAITING (STATE(word[0]) == READY || STATE(word[SLOTS - 1]) == READY)
#define NEGLECTED (WAITING && life[OTHER] == ALIVE && !halted[OTHER] && cur[OTHER] == 0)

/* A step of its own where somebody may look. */
#if LIMITED + LONG + HOLD + FINE
#define SEEN }; atomic {
#else
#define SEEN
#endif
/* Past what this worker has seen not READY: all between its own place and that of the hint, which goes only forward here. The
 * loads and failed swaps before the one that counts change nothing. */
#define MOVE_HINT if :: head < next -> head = next :: else fi

/* No word will ever be what this intent names: forgetting it changes nothing, and saves states. */
#define FORGET_INTENT intent_slot[w] = 0; intent_word[w] = 0

proctype worker(byte w) provided (!halted[w] && !all_settled && life[1 - w] != DYING) {
  byte h, c, t, s, l, at, room;
  byte next;
born:
  {
    atomic {
      life[w] == ALIVE -> at = tail[w]; room = consumed[w];
#if CONTINUES
    ASIDE
      ready[w] = 1;
#endif
#ifndef MUTANT_AWAY_KEPT
    ASIDE
      away = away & (3 - BIT(w));
#endif
    ASIDE
      next = head
    };
turn:
    atomic {
      c = cells[next % CELLS];
      t = c / 4; s = c % 4; c = 0;
      if
      :: t < next + 1 -> t = 0; s = 0; goto follow
      :: t > next + 1 -> t = 0; s = 0; goto pass
      :: else -> skip
      fi;
#ifdef MUTANT_HINT_BLIND
    ASIDE
      if :: head <= next -> head = next + 1 :: else fi;
#endif
    ASIDE
#ifndef MUTANT_CLAIM_WITHOUT_OWNER
      intent_slot[w] = s;
#if ENDS
    }; /* apart, where the supervisor looks at them while w lives */
    atomic {
#endif
      intent_word[w] = WORD(t, w, RUNNING)
#else
      skip
#endif
    };
    atomic { /* claim */
      if
      :: word[s] == WORD(t, 0, READY) -> word[s] = WORD(t, w, RUNNING); cur[w] = t
      :: else -> t = 0; s = 0; FORGET_INTENT; goto pass
      fi;
      next++
    };
#ifdef MUTANT_CLAIM_WITHOUT_OWNER
    if :: t > 0 -> intent_slot[w] = s; intent_word[w] = WORD(t, w, RUNNING) :: else fi;
#endif
#ifdef HINT_EACH /* else only before it sleeps: the header's 16 tasks are more than there are here */
    atomic { MOVE_HINT };
#endif
#ifndef MUTANT_ROOM_AT_HINT
    answer_claim();
#endif

    atomic { /* run */
      assert(arg[s] == t);
      assert(!(began & BIT(t)));
      began = began | BIT(t);
    SEEN
#if LIMITED
    if :: skip :: t == LIMITED -> false fi;
#endif
#if LONG
    (t != LONG || !NEGLECTED);
#endif
#if HOLD
    (accepted == TASKS);
#endif
#if FINE
    skip; /* the body */
#endif
    SEEN
      assert(arg[s] == t); /* its last write to slot and argument */
      l = LENGTH(t);
      c = DONE_OK;
      if :: at + l - room <= RING -> goto record :: else fi
    };
look:
    atomic { room = consumed[w]; if :: at + l - room <= RING -> goto record :: else fi };
    room_fresh[w] = 1; /* loads room_seq */
    room_flag[w] = 1;
#ifndef MUTANT_ROOM_NO_LOOK
    atomic { room = consumed[w]; if :: at + l - room <= RING -> room_fresh[w] = 0; goto roomy :: else fi };
#endif
    FUTEX_WAIT(room_fresh[w], room_parked[w], redo[w]);
roomy:
    atomic { room_flag[w] = 0; if :: at + l - room <= RING -> skip :: else -> goto look fi };

record:
#ifdef FIELDS
    rec_word[AT(w, at)] = WORD(t, w, c);
    atomic { rec_length[AT(w, at)] = l; rec_slot[AT(w, at)] = s };
    rec_position[AT(w, at)] = at;
#else
    atomic { rec_word[AT(w, at)] = WORD(t, w, c); rec_length[AT(w, at)] = l; rec_slot[AT(w, at)] = s; rec_position[AT(w, at)] = at };
#endif
#ifdef MUTANT_PUBLISH_BEFORE_COMMIT
    atomic { if :: tail[w] == at -> tail[w] = at + l :: else fi };
#endif
    atomic { /* commit */
      if
      :: c == DONE_OK && word[s] == WORD(t, w, RUNNING) ->
         word[s] = WORD(t, w, DONE_OK); committed[t] = DONE_OK; cur[w] = 0
      :: c == DONE_X && word[s] == WORD(t, w, ASKED) ->
         word[s] = WORD(t, w, DONE_X); committed[t] = DONE_X; cur[w] = 0
      :: else -> goto lost
      fi;
      t = 0; s = 0; c = 0; FORGET_INTENT
    };
    publish();
#if LEAVES
    if
    :: atomic { leaves > 0 -> leaves--;
                away = away | BIT(w);
#if CONTINUES
              ASIDE
                ready[w] = 0;
#endif
              ASIDE
                END_OF(w) };
       false
    :: goto turn
    fi;
#else
    goto turn;
#endif

lost: /* the word was taken away */
#ifdef MUTANT_LOST_GOES_ON
    atomic { cur[w] = 0; t = 0; s = 0; c = 0; l = 0; goto turn };
#endif
    atomic { /* yield: asked to end, and it has */
      if
      :: c == DONE_OK && word[s] == WORD(t, w, ASKED) -> c = DONE_X; l = 1; goto record
      :: else -> END_OF(w)
      fi
    };
    false;

pass:
    atomic { next++; if :: head > next -> next = head :: else fi; goto turn };
follow:
    atomic { if :: head > next -> next = head; goto turn :: else fi;
    ASIDE
#ifdef MUTANT_HINT_LAZY
      skip
#else
      MOVE_HINT
#endif
    };
#ifdef MUTANT_ROOM_AT_HINT
    answer_claim();
#endif

sleep:
    atomic {
      wake_fresh[w] = 1; /* loads wake_seq */
    ASIDE
      idle = idle | BIT(w)
    };
#ifndef MUTANT_IDLE_NO_LOOK
    atomic {
      h = head;
    ASIDE
      assert(h >= next);
      if :: cells[h % CELLS] / 4 >= h + 1 -> h = 0; wake_fresh[w] = 0; goto awake :: else -> h = 0 fi
    };
#endif
    FUTEX_WAIT(wake_fresh[w], wake_parked[w], redo[w]);
awake:
    idle = idle & (3 - BIT(w));
    goto turn
  } unless {
    atomic { life[w] == DYING -> life[w] = ZOMBIE; next = 0; h = 0; c = 0; t = 0; s = 0; l = 0; at = 0; room = 0 }
  };
  goto born
}

/* ---- >>supervisor ---- */

/* A step of its own where the supervisor may be killed after the one before. Else nobody looks at what lies between. */
#if SUPER_KILLS
#define THEN }; atomic {
#define THEN_ASIDE }; atomic {
#else
#define THEN
#define THEN_ASIDE ASIDE
#endif
#define DEATH 1
#define STOP 2
#define CONT 3
/* What becomes of a worker's bit among those who are away: first, and then all are woken. */
#define AWAY(when) if :: what == when -> away = away | BIT(w) :: else fi
#if defined(MUTANT_BACK_NEVER) || !CONTINUES
#define BACK skip
#else
#define BACK if :: what == CONT && ready[w] && stage[w] != DEAD_X -> away = away & (3 - BIT(w)) :: else fi
#endif
#if defined(MUTANT_AWAY_NOT_ON_STOP) || defined(MUTANT_AWAY_LATE_ON_STOP)
#define AWAY_ON_STOP skip
#else
#define AWAY_ON_STOP AWAY(STOP)
#endif
#if defined(MUTANT_AWAY_NOT_ON_DEATH) || defined(MUTANT_AWAY_LATE_ON_DEATH)
#define AWAY_ON_DEATH skip
#else
#define AWAY_ON_DEATH AWAY(DEATH)
#endif
#ifdef MUTANT_BACK_LATE
#define BACK_ON_CONTINUE skip
#else
#define BACK_ON_CONTINUE BACK
#endif
#if defined(MUTANT_AWAY_LATE_ON_STOP)
#define LATE AWAY(STOP)
#elif defined(MUTANT_AWAY_LATE_ON_DEATH)
#define LATE AWAY(DEATH)
#elif defined(MUTANT_BACK_LATE)
#define LATE BACK
#endif
#ifdef NO_FORK
#define START(w) life[w] = ABSENT
#elif CONTINUES
#define START(w) life[w] = ALIVE; intent_word[w] = 0; ready[w] = 0
#else
#define START(w) life[w] = ALIVE; intent_word[w] = 0
#endif
#define HEARD (life[0] == ZOMBIE || life[1] == ZOMBIE || event[0] || event[1])

/* Publishes the record at the tail of w: by the supervisor, or by the host in its place. */
#define PUBLISHABLE(w) (rec_position[AT(w, tail[w])] == tail[w] && OWNER(rec_word[AT(w, tail[w])]) == w && \
  IS_DONE(rec_word[AT(w, tail[w])]) && word[rec_slot[AT(w, tail[w])]] == rec_word[AT(w, tail[w])])
inline publish_for_frozen(w) { /* nobody else writes here */
#ifdef MUTANT_PUBLISH_UNSTAMPED
  if
  :: OWNER(rec_word[AT(w, tail[w])]) == w && IS_DONE(rec_word[AT(w, tail[w])]) &&
     word[rec_slot[AT(w, tail[w])]] == rec_word[AT(w, tail[w])] -> tail[w] = tail[w] + rec_length[AT(w, tail[w])]
  :: else
  fi
#else
  if :: PUBLISHABLE(w) -> tail[w] = tail[w] + rec_length[AT(w, tail[w])] :: else fi
#endif
}
/* The same while w may run on. */
inline publish_for_live(w) {
  at = tail[w];
  atomic { if :: rec_position[AT(w, at)] != at -> goto published :: else fi };
  atomic { x = rec_word[AT(w, at)]; if :: !IS_DONE(x) || OWNER(x) != w -> goto published :: else fi };
  atomic { l = rec_length[AT(w, at)]; s = rec_slot[AT(w, at)] };
  atomic { if :: word[s] != x -> goto published :: else fi };
#ifndef MUTANT_RECORD_READ_ONCE
  atomic { if :: rec_position[AT(w, at)] != at || rec_word[AT(w, at)] != x -> goto published :: else -> l = rec_length[AT(w, at)] fi };
#endif
  atomic { if :: tail[w] == at -> tail[w] = at + l :: else fi };
published:
  atomic { at = 0; x = 0; l = 0; s = 0 }
}

/* The end of what w runs, which has stage (0; ASKED; DEAD_X: killed) */
#define TO_ASK(w) (life[w] != NONE && stage[w] == 0 && intent_word[w] != 0 && \
  word[intent_slot[w]] == intent_word[w] && wants[intent_slot[w]])
#define TO_END(w) (life[w] != NONE && stage[w] == ASKED)

proctype supervisor() provided (!super_halted && !all_settled && life[0] != DYING && life[1] != DYING) {
  byte w, what, at, x, l, s;
  byte stage[2], lost[2]; /* lost: the ticket that the worker lost, plus its slot */
  {
    skip;
hear:
    atomic {
      if
      :: life[0] == ZOMBIE -> w = 0; what = DEATH; life[0] = NONE
      :: life[1] == ZOMBIE -> w = 1; what = DEATH; life[1] = NONE
#ifndef MUTANT_STOP_IGNORED
      :: event[0] -> w = 0; what = (halted[0] -> STOP : CONT); event[0] = 0
      :: event[1] -> w = 1; what = (halted[1] -> STOP : CONT); event[1] = 0
#endif
#if EXPIRES
      :: word[0] == WORD(EXPIRES, 0, READY) -> s = 0; goto expire
      :: word[SLOTS - 1] == WORD(EXPIRES, 0, READY) -> s = SLOTS - 1; goto expire
#endif
#if ENDS
      :: TO_ASK(0) || TO_END(0) -> w = 0; goto enforce
      :: TO_ASK(1) || TO_END(1) -> w = 1; goto enforce
#endif
      fi
    };
    atomic {
      if :: what != DEATH -> AWAY_ON_STOP; BACK_ON_CONTINUE; goto stopped :: else fi
#ifndef MUTANT_NO_PUBLISH_AFTER_DEATH
      ; publish_for_frozen(w)
#endif
    };
    atomic {
#if ENDS
    if :: stage[w] == ASKED && word[lost[w] % 4] != WORD(lost[w] / 4, w, ASKED) -> stage[w] = 0; lost[w] = 0 :: else fi;
    THEN
      if
      :: stage[w] == ASKED && word[lost[w] % 4] == WORD(lost[w] / 4, w, ASKED) ->
         word[lost[w] % 4] = WORD(lost[w] / 4, w, DEAD_X); stage[w] = DEAD_X
      :: else
      fi;
    THEN
#endif
      /* RUNNING becomes CRASHED */
      s = intent_slot[w]; x = intent_word[w];
      if
      :: x != 0 && word[s] == x -> word[s] = WORD(TICKET(x), w, DEAD_CRASHED); lost[w] = TICKET(x) * 4 + s; stage[w] = DEAD_X
      :: else
      fi;
      s = 0; x = 0;
    THEN
      /* bury */
      if :: stage[w] == DEAD_X -> s = lost[w] % 4; assert(TICKET(word[s]) == lost[w] / 4); arg[s] = 0 :: else fi;
    THEN
      if :: stage[w] == DEAD_X -> dead_list = dead_list | BIT(s); stage[w] = 0; lost[w] = 0; s = 0 :: else fi;
    THEN_ASIDE
      AWAY_ON_DEATH;
    THEN_ASIDE
      idle = idle & (3 - BIT(w)); room_flag[w] = 0
    };
    goto heard;
stopped:
#if CONTINUES
    publish_for_live(w);
#else
    atomic { publish_for_frozen(w) };
#endif
heard:
#ifndef LATE
    atomic { what = 0; w = 0; if :: HEARD -> goto hear :: else fi };
#endif
#ifndef MUTANT_NO_WAKE_AFTER_REAP
#if defined(COARSE) && !SUPER_KILLS
    atomic { wake_fresh[0] = 0; wake_fresh[1] = 0; wake_parked[0] = 0; wake_parked[1] = 0 };
#else
    atomic { wake_fresh[0] = 0; wake_parked[0] = 0 };
    atomic { wake_fresh[1] = 0; wake_parked[1] = 0 };
#endif
#endif
#ifdef LATE
    atomic { LATE; what = 0; w = 0 };
#endif
#ifndef MUTANT_NO_HOST_WAKE_AFTER_REAP
    atomic { host_fresh = 0; host_parked = 0 };
#endif
    atomic { /* replace */
      if :: life[0] == NONE -> START(0) :: else fi;
    THEN
      if :: life[1] == NONE -> START(1) :: else fi
    };
    goto hear;

#if EXPIRES
expire: /* READY becomes DEAD, of no worker: none has touched it, so the slot is this process's */
    atomic {
#ifndef MUTANT_EXPIRE_WITHOUT_CAS
      if :: word[s] != WORD(EXPIRES, 0, READY) -> s = 0; goto hear :: else fi;
#endif
      word[s] = WORD(EXPIRES, 0, DEAD_X); wanted[EXPIRES] = 1;
    THEN
      arg[s] = 0;
    THEN
      dead_list = dead_list | BIT(s); s = 0
    };
#ifndef MUTANT_EXPIRE_WAKES_NO_HOST
    atomic { host_fresh = 0; host_parked = 0 };
#endif
    goto hear;
#endif
#if ENDS
enforce:
    atomic { if :: stage[w] == ASKED -> s = lost[w] % 4; x = WORD(lost[w] / 4, w, ASKED); goto next_stage :: else fi };
#ifdef MUTANT_WANTS_READ_EARLY
    atomic { if :: !wants[intent_slot[w]] -> w = 0; goto hear :: else fi };
#endif
    s = intent_slot[w];
    atomic { x = intent_word[w]; if :: x == 0 -> goto enforced :: else fi };
    atomic { if :: word[s] != x -> goto enforced :: else fi };
#ifndef MUTANT_WANTS_READ_EARLY
    atomic { if :: !wants[s] -> goto enforced :: else fi };
#endif
#ifdef MUTANT_KILL_BEFORE_CAS
    atomic { assert(cur[w] == 0 || cur[w] == TICKET(x)); if :: life[w] == ALIVE -> END_OF(w) :: else fi };
#endif
#ifdef GRACE
    atomic {
      if
      :: word[s] == x ->
         assert(wanted[TICKET(x)]);
         word[s] = WORD(TICKET(x), w, ASKED); stage[w] = ASKED; lost[w] = TICKET(x) * 4 + s
      :: else
      fi
    };
    goto enforced;
#endif
next_stage: /* ASKED, or with no grace RUNNING, becomes DEAD */
    atomic {
      if
      :: word[s] == x ->
         assert(wanted[TICKET(x)]);
         word[s] = WORD(TICKET(x), w, DEAD_X); stage[w] = DEAD_X; lost[w] = TICKET(x) * 4 + s
      :: else ->
         if :: stage[w] == ASKED -> stage[w] = 0; lost[w] = 0 :: else fi; /* note_return */
         goto enforced
      fi
    };
#ifdef MUTANT_BURY_BEFORE_REAP
    atomic { arg[s] = 0; dead_list = dead_list | BIT(s) };
    stage[w] = 0;
    host_fresh = 0;
    host_parked = 0;
#endif
    atomic { /* kill */
      assert(cur[w] == 0 || cur[w] == TICKET(x));
      away = away | BIT(w);
      if :: life[w] == ALIVE -> END_OF(w) :: else fi
    };
enforced:
    atomic { s = 0; x = 0; w = 0; goto hear }
#else
    skip
#endif
  } unless {
    atomic { super_gone -> w = 0; what = 0; at = 0; x = 0; l = 0; s = 0; stage[0] = 0; stage[1] = 0; lost[0] = 0; lost[1] = 0 }
  }
}

/* ---- >>host ---- */

#define CELL_WAITS(k) (word[cell_slot[(k) % CELLS]] == WORD((k) + 1 - CELLS, 0, READY))
#define CELL_MINE(k) ((k) >= CELLS && owner[cell_slot[(k) % CELLS]] == (k) + 1 - CELLS)
#define CELL_TAKEN(k) (CELL_MINE(k) && CELL_WAITS(k))

inline settle(t, slot, how) {
  assert(settled[t] == 0);
  assert((how == DONE_OK) == (committed[t] == DONE_OK));
  assert(committed[t] != DONE_X || how == DONE_X);
  assert(how != DEAD_X || wanted[t]);
  assert(cur[0] != t && cur[1] != t);
  settled[t] = 1; committed[t] = 0; wanted[t] = 0; owner[slot] = 0; arg[slot] = 0; count++
}

#define NEXT_RING i++; if :: i < 2 -> goto drain_ring :: else -> i = 0; goto drain_list fi

/* One record; the words that this reads are nobody else's by now. */
inline take(i) {
  atomic {
    inbox[i] != last;
    assert(rec_position[AT(i, inbox[i])] == inbox[i]);
    x = rec_word[AT(i, inbox[i])]; s = rec_slot[AT(i, inbox[i])];
    assert(owner[s] == TICKET(x) && TICKET(x) > 0 && OWNER(x) == i);
    assert(IS_DONE(x) && word[s] == x);
    word[s] = 0;
    settle(TICKET(x), s, STATE(x));
    l = rec_length[AT(i, inbox[i])];
#ifndef MUTANT_PUBLISH_UNSTAMPED
    rec_word[AT(i, inbox[i])] = 0; rec_length[AT(i, inbox[i])] = 0; rec_slot[AT(i, inbox[i])] = 0; /* saves states: its stamp is old */
#endif
    inbox[i] = inbox[i] + l;
    assert(inbox[i] <= last);
    s = 0; x = 0; l = 0
  }
}

#ifdef MUTANT_WAKE_OFF_BY_ONE
#define UNSETTLED (k - 1 - count)
#else
#define UNSETTLED (k - count)
#endif
#define AWAKE(idle, away) (2 - ((idle | away) & 1) - (idle | away) / 2)

proctype host() provided (life[0] != DYING && life[1] != DYING) {
  byte k, count, i, s, x, l, last;  /* k: tasks submitted */
  byte owner[SLOTS], cell_slot[CELLS], inbox[2];
  byte cancels = CANCELS, cancel_kills = CANCEL_KILLS;
  bool waited, free;
  byte woken;
#ifdef TAIL_LATE
  byte at;
#endif
try:
  atomic {
    if
    :: k == TASKS -> goto drain
    :: k < TASKS && (owner[0] != 0 && owner[SLOTS - 1] != 0
#if SLOTS == 3
                     && owner[1] != 0
#endif
                    ) -> goto no_room
#ifndef MUTANT_CELL_OVERWRITTEN
    :: k < TASKS && CELL_TAKEN(k) -> goto no_room
#endif
    :: else -> skip
    fi;
    /* place: nobody looks at the word before the cell leads there */
    s = 0; do :: owner[s] != 0 -> s++ :: else -> break od;
    k++; owner[s] = k; cell_slot[(k - 1) % CELLS] = s; slot_of[k] = s;
    assert((cur[0] == 0 || slot_of[cur[0]] != s) && (cur[1] == 0 || slot_of[cur[1]] != s));
    arg[s] = k; wants[s] = (k == LIMITED); wanted[k] = (k == LIMITED);
    waited = 0;
#if HOLD
    accepted = k;
#endif
#ifdef MUTANT_CELL_BEFORE_WORD
    cells[(k - 1) % CELLS] = CELL(k, s)
  };
  atomic { word[s] = WORD(k, 0, READY); s = 0 };
#else
    word[s] = WORD(k, 0, READY);
    cells[(k - 1) % CELLS] = CELL(k, s); s = 0
  };
#endif
#ifndef MUTANT_SUBMIT_NO_WAKE
  atomic { if :: (idle & (3 - away)) == 0 -> goto try :: else fi };
wake:
  atomic {
    x = idle;
  ASIDE
    if :: woken == 2 || UNSETTLED <= AWAKE(x, away) -> x = 0; woken = 0; goto try :: else -> x = 0 fi;
  ASIDE
    x = idle;
  ASIDE
    x = x & (3 - away);
    if :: x & 1 -> x = 1 :: x == 2 -> skip :: x == 0 -> woken = 0; goto try fi; /* the lowest */
#ifndef MUTANT_NOT_CLEARED
#ifndef MUTANT_CLEARED_AFTER_WAKE
  ASIDE
    idle = idle & (3 - x);
#endif
#endif
  ASIDE
    wake_fresh[x / 2] = 0; /* wake_seq + 1 */
  ASIDE
    wake_parked[x / 2] = 0; /* FUTEX_WAKE */
#ifdef MUTANT_CLEARED_AFTER_WAKE
  ASIDE
    idle = idle & (3 - x);
#endif
    x = 0;
#ifdef MUTANT_WAKE_ONE
    woken = 0; goto try
#else
    woken++; goto wake
#endif
  };
#endif
  goto try;

no_room:
  atomic { if :: waited -> goto rest :: else -> waited = 1 fi };

drain:
drain_ring:
  atomic { last = tail[i]; if :: last == inbox[i] -> last = 0; NEXT_RING :: else -> assert(last - inbox[i] <= RING) fi };
#ifdef MUTANT_ROOM_BEFORE_TAKEN
  consumed[i] = last;
#endif
  do
  :: take(i)
  :: atomic { inbox[i] == last -> last = 0; consumed[i] = inbox[i]; break }
  od;
  atomic { if :: room_flag[i] -> skip :: else -> NEXT_RING fi };
  room_fresh[i] = 0; /* room_seq + 1 */
  atomic { room_parked[i] = 0; NEXT_RING };
drain_list:
  atomic {
    last = dead_list; dead_list = 0;
    do
    :: i < SLOTS ->
       if
       :: (last & BIT(i)) && owner[i] != 0 && TICKET(word[i]) == owner[i] && IS_DEAD(word[i]) ->
          x = word[i]; word[i] = 0; settle(TICKET(x), i, STATE(x)); x = 0
       :: else
       fi;
       i++
    :: else -> break
    od;
    i = 0; last = 0
#if CANCELS + CANCEL_KILLS == 0
    ; if :: k == TASKS && count < TASKS -> goto rest :: else fi
#endif
  };
#if CANCELS
  if
  :: atomic { cancels > 0 ->
              cancels--;
              if :: owner[0] != 0 -> s = 0 :: owner[1] != 0 -> s = 1 :: else -> s = 0 fi };
     atomic { if
              :: owner[s] != 0 && word[s] == WORD(owner[s], 0, READY) -> word[s] = 0; settle(owner[s], s, CANCELLED)
              :: else
              fi;
              s = 0; goto drain }
  :: skip
  fi;
#endif
#if CANCEL_KILLS
  if
  :: atomic { cancel_kills > 0 ->
              cancel_kills--;
              if :: owner[0] != 0 -> s = 0 :: owner[1] != 0 -> s = 1 :: else -> s = 0 fi };
     atomic { if
              :: owner[s] != 0 && word[s] == WORD(owner[s], 0, READY) -> word[s] = 0; settle(owner[s], s, CANCELLED); goto cancelled
              :: owner[s] == 0 -> goto cancelled
              :: else
              fi };
     atomic { wants[s] = 1; wanted[owner[s]] = 1; s = 0; goto drain };
cancelled:
     atomic { s = 0; goto drain }
  :: skip
  fi;
#endif
  atomic {
    if
    :: k < TASKS && waited -> free = !CELL_TAKEN(k); goto try
    :: k == TASKS && count == TASKS -> all_settled = 1; goto finished
    :: else
    fi
  };

rest:
#ifdef MUTANT_ROOM_KNOWN_LATE
  free = !(k < TASKS && CELL_TAKEN(k));
#endif
  host_fresh = 1; /* loads host_seq */
  atomic { /* arm, with a new number */
    claim_at = k;
    host_flag = (k < TASKS -> PARKED + CLAIM : PARKED);
#ifndef MUTANT_ANSWERED_FOR_GOOD
    answered[0] = 0; answered[1] = 0
#endif
  };
#if defined(TAIL_LATE) && !defined(MUTANT_HOST_NO_PUBLISH)
  do
  :: i < 2 -> publish_for_live(i); i++
  :: atomic { i == 2 -> i = 0; break }
  od;
#endif
#ifndef MUTANT_HOST_NO_LOOK
  atomic { if :: k < TASKS && !free && !CELL_TAKEN(k) -> goto awake :: else fi
#ifndef COARSE
  };
#else
  ;
#endif
#ifdef COARSE
    if :: tail[0] != inbox[0] || tail[1] != inbox[1] || dead_list != 0 -> goto awake :: else fi };
#else
  atomic { if :: tail[0] != inbox[0] -> goto awake :: else fi };
  atomic { if :: tail[1] != inbox[1] -> goto awake :: else fi };
  atomic { if :: dead_list != 0 -> goto awake :: else fi };
#endif
#endif
  atomic { if :: host_fresh -> host_parked = 1 :: else fi };
  atomic { !host_parked || super_gone -> host_parked = 0 }; /* the tick, too, finds the supervisor gone */
awake:
  atomic {
    host_fresh = 0; free = 0; host_flag = 0;
#ifndef MUTANT_ANSWERED_FOR_GOOD
    answered[0] = 0; answered[1] = 0;
#endif
    if :: super_gone -> goto finish :: else -> goto drain fi
  };

finish: /* every worker is gone with the supervisor; its part is the host's now */
  skip;
#if SUPER_KILLS
#ifndef MUTANT_FINISH_WHILE_THEY_LIVE
  atomic { life[0] != ALIVE && life[1] != ALIVE };
#endif
  do
  :: atomic { i < 2 ->
#ifndef MUTANT_FINISH_NO_PUBLISH
              publish_for_frozen(i);
#endif
              last = tail[i] };
     do
     :: take(i)
     :: atomic { inbox[i] == last -> last = 0; break }
     od;
     i++
  :: atomic { i == 2 -> i = 0; break }
  od;
  atomic {
    do
    :: i < SLOTS ->
       x = word[i];
       if
       :: owner[i] != 0 && IS_DEAD(x) -> word[i] = 0; settle(TICKET(x), i, STATE(x)) /* decided words keep their outcome */
       :: owner[i] != 0 && !IS_DEAD(x) -> word[i] = 0; settle(owner[i], i, BROKEN)
       :: else
       fi;
       x = 0; i++
    :: else -> break
    od;
    all_settled = 1
  }
#endif
finished:
  skip
}

/* ---- what befalls them ---- */

inline stop(w) {
  halted[w] = 1; event[w] = 1;
  if :: wake_parked[w] -> wake_parked[w] = 0; redo[w] = 1 :: else fi;
  if :: room_parked[w] -> room_parked[w] = 0; redo[w] = 1 :: else fi
}

proctype kernel() provided (life[0] != DYING && life[1] != DYING) {
  byte kills = KILLS, stops = STOPS, continues = CONTINUES;
  byte super_kills = SUPER_KILLS, super_stops = SUPER_STOPS, super_continues = SUPER_CONTINUES;
  do
  :: atomic { !all_settled && kills > 0 && life[0] == ALIVE -> kills--; END_OF(0) }
  :: atomic { !all_settled && kills > 0 && life[1] == ALIVE -> kills--; END_OF(1) }
  :: atomic { !all_settled && stops > 0 && life[0] == ALIVE && !halted[0] -> stops--; stop(0) }
  :: atomic { !all_settled && stops > 0 && life[1] == ALIVE && !halted[1] -> stops--; stop(1) }
  :: atomic { continues > 0 && halted[0] -> continues--; halted[0] = 0; event[0] = 1 }
  :: atomic { continues > 0 && halted[1] -> continues--; halted[1] = 0; event[1] = 1 }
  :: atomic { !all_settled && super_kills > 0 -> super_kills--; super_gone = 1; super_halted = 0 }
  :: atomic { !all_settled && super_stops > 0 && !super_gone -> super_stops--; super_halted = 1 }
  :: atomic { super_continues > 0 && super_halted -> super_continues--; super_halted = 0 }
  :: atomic { super_gone && life[0] == ALIVE -> END_OF(0) }
  :: atomic { super_gone && life[1] == ALIVE -> END_OF(1) }
  od
}

/* A stopped worker keeps what it runs, and nothing else. */
#define HELD(t) (settled[t] == 0 && ((halted[0] && cur[0] == t) || (halted[1] && cur[1] == t)))
#if SLOTS == 1 && STOPS
#define OVER(t) (settled[t] != 0 || HELD(t) || (host:k < t && HELD(host:k))) /* and who has the only slot keeps all others out */
#else
#define OVER(t) (settled[t] != 0 || HELD(t))
#endif

/* With the supervisor stopped as well, what a stopped worker committed or was woken for waits; what others committed does not. */
#define UNHEARD(x) (IS_DONE(x) && !halted[OWNER(x)])

proctype watch() {
#if SUPER_STOPS > SUPER_CONTINUES && STOPS > CONTINUES
  timeout -> assert(all_settled || !(UNHEARD(word[0]) || UNHEARD(word[SLOTS - 1])))
#else
  timeout ->
  assert(all_settled || (STOPS > CONTINUES && OVER(1) && OVER(TASKS)
#if TASKS == 3
                         && OVER(2)
#endif
                         ))
#endif
}

init {
  atomic {
    life[0] = ALIVE;
#ifdef ONE_WORKER
    life[1] = ABSENT;
#else
    life[1] = ALIVE;
#endif
    run host(); run worker(0); run worker(1); run supervisor(); run kernel(); run watch()
  }
}
