/* wake.pml - who is woken, among three workers: the part of pool.pml that has more to show with more of them.
 *
 * What pool.pml has in its parts is one step here: the claim (a worker finds the first task that waits, or none), the commit
 * with its record, the death of a task with its worker. Names and steps are else those of pool.pml, which says what they
 * stand for; so is what befalls the workers: kills, stops, continues, leaving.
 *
 * No body ends while a task waits beside a worker that could begin it. So what must hold is more than that nothing is lost: no
 * task waits for a busy worker while another one sleeps. When nothing can move any more, every task is settled, but
 * those that stopped workers run, and those that wait while every worker is stopped.
 *
 * Where more workers are awake than there are processors the host calls none while one is coming: that one calls the next, as
 * it takes a task and sees another that waits. A worker's calls may end in their midst, with it; then the supervisor
 * clears all of coming before it wakes all. Here the host goes by that always, or, with MIXED, at any call.
 *
 * WORKERS (up to 3), TASKS, SLOTS (tasks unsettled at a time), faults, NO_FORK: by -D, see model.sh. MUTANT_x as in pool.pml. */

#ifndef WORKERS
#define WORKERS 3
#endif
#ifndef TASKS
#define TASKS 4
#endif
#ifndef SLOTS
#define SLOTS 4
#endif
#ifndef KILLS
#define KILLS 0
#endif
#ifndef STOPS
#define STOPS 0
#endif
#ifndef CONTINUES
#define CONTINUES 0
#endif
#ifndef LEAVES
#define LEAVES 0
#endif

/* A step of its own, but in coarse variants. */
#ifdef COARSE
#define ASIDE
#else
#define ASIDE }; atomic {
#endif

#define BIT(n) (1 << (n))
#define ALL (BIT(WORKERS) - 1)
#define BITS(m) (((m) & 1) + (((m) / 2) & 1) + (((m) / 4) & 1))
#define LOWEST(m) ((m) & 1 -> 0 : ((m) & 2 -> 1 : 2))

#define NONE 0
#define ALIVE 1
#define DYING 2
#define ZOMBIE 3
#define ABSENT 4

byte ready, done;               /* tasks that wait; that ended, unknown to the host: it knows them when it drains */
byte idle, away = ALL, coming;  /* the masks */
byte fresh, parked;             /* a bit per worker, its futex: see pool.pml */
byte life[WORKERS];
byte busy, redo, event, came; /* a bit per worker; came: it was called, and is to call the next one */
bool halted[WORKERS];
byte unsettled, accepted;       /* the host's own */
byte leaves = LEAVES;

#define DYING_ANY (life[0] == DYING || life[1] == DYING || life[WORKERS - 1] == DYING)
#define OVER (accepted == TASKS && unsettled == 0)
#define SET(m, b) m = m | (b)
#define CLEAR(m, b) m = m & (ALL - (b))
#define FREE(w) (life[w] == ALIVE && !halted[w] && !(busy & BIT(w)))
#define NEGLECTED (ready > 0 && (FREE(0) || FREE(1) || FREE(WORKERS - 1)))
#define END_OF(w) halted[w] = 0; CLEAR(redo, BIT(w)); CLEAR(event, BIT(w)); CLEAR(came, BIT(w)); CLEAR(parked, BIT(w)); CLEAR(fresh, BIT(w)); \
  life[w] = DYING

/* The steps of procpool__shm_call for the sleeper x; where another process is faster they go on at lost. calls: it is to call
 * the next one. */
#define SAY(calls) if :: calls -> SET(coming, x) :: else fi;
#ifdef MUTANT_COMING_LATE /* its worker may have come by then */
#define SAY_FIRST(calls)
#define SAY_LAST(calls) ASIDE SAY(calls)
#else
#define SAY_FIRST(calls) ASIDE SAY(calls)
#define SAY_LAST(calls)
#endif
#ifdef MUTANT_COMING_KEPT
#define UNSAY(calls) skip
#else
#define UNSAY(calls) if :: calls -> CLEAR(coming, x) :: else fi
#endif
#ifdef MUTANT_NOT_CLEARED
#define CLEAR_FIRST(calls)
#define CLEAR_LAST
#elif defined(MUTANT_CLEARED_AFTER_WAKE)
#define CLEAR_FIRST(calls)
#define CLEAR_LAST ASIDE CLEAR(idle, x);
#else
#define CLEAR_FIRST(calls) \
  ASIDE won = (idle & x) != 0; CLEAR(idle, x); \
  ASIDE if :: won -> skip :: else -> UNSAY(calls); goto lost fi;
#define CLEAR_LAST
#endif
#define CALL(calls) \
  SAY_FIRST(calls) \
  CLEAR_FIRST(calls) \
  SAY_LAST(calls) \
  ASIDE CLEAR(fresh, x); \
  ASIDE CLEAR(parked, x); \
  CLEAR_LAST

proctype worker(byte w) provided (!halted[w] && !OVER && (!DYING_ANY || life[w] == DYING)) {
  byte x;
  bool won;
born:
  {
    atomic {
      life[w] == ALIVE -> skip
#ifndef MUTANT_AWAY_KEPT
      ;
    ASIDE
      CLEAR(away, BIT(w))
#endif
    };
turn:
    atomic { if :: ready > 0 -> ready--; SET(busy, BIT(w)) :: else -> goto sleep fi };
#ifndef MUTANT_CALLS_NONE
    atomic {
      if :: came & BIT(w) -> CLEAR(came, BIT(w)) :: else -> goto body fi
    };
next:
    atomic {
      if :: ready == 0 -> goto body :: else fi;
    ASIDE
      if :: coming & (ALL - away) -> goto body :: else -> x = idle fi;
    ASIDE
      x = x & (ALL - away);
      if :: x == 0 -> goto body :: else -> x = BIT(LOWEST(x)) fi;
      CALL(true)
      goto body
    };
lost: /* until it was unsaid, the host may have relied on this call */
#ifdef MUTANT_LOST_NO_LOOK
    skip;
#else
    x = 0; goto next;
#endif
body:
#endif
    atomic { x = 0; won = 0; !NEGLECTED -> done++; CLEAR(busy, BIT(w)) };
#if LEAVES
    if
    :: atomic { leaves > 0 -> leaves--; SET(away, BIT(w)) };
       atomic { END_OF(w) };
       false
    :: skip
    fi;
#endif
    goto turn;
sleep:
    atomic {
      SET(fresh, BIT(w)); /* loads wake_seq */
    ASIDE
      SET(idle, BIT(w))
    };
#ifndef MUTANT_IDLE_NO_LOOK
    atomic { if :: ready > 0 -> CLEAR(fresh, BIT(w)); goto awake :: else fi };
#endif
    atomic { if :: fresh & BIT(w) -> SET(parked, BIT(w)) :: else fi };
    do
    :: atomic { !(parked & BIT(w)) ->
                if
                :: redo & BIT(w) -> CLEAR(redo, BIT(w)); if :: fresh & BIT(w) -> SET(parked, BIT(w)) :: else fi
                :: else -> CLEAR(fresh, BIT(w)); break
                fi }
    od;
awake:
    atomic {
      CLEAR(idle, BIT(w));
    ASIDE
#ifndef MUTANT_STAYS_COMING
      if :: coming & BIT(w) -> CLEAR(coming, BIT(w)); SET(came, BIT(w)) :: else fi
#else
      if :: coming & BIT(w) -> SET(came, BIT(w)) :: else fi
#endif
    };
    goto turn
  } unless {
    atomic { life[w] == DYING -> life[w] = ZOMBIE; x = 0; won = 0 }
  };
  goto born
}

#define DIED(w) :: life[w] == ZOMBIE -> life[w] = NONE; u = w
#define HEARD ((event & ALL) || life[0] == ZOMBIE || life[1] == ZOMBIE || life[WORKERS - 1] == ZOMBIE)

proctype supervisor() provided (!OVER && !DYING_ANY) {
  byte u;
hear:
  atomic {
    if
    DIED(0)
    DIED(1)
#if WORKERS == 3
    DIED(2)
#endif
    :: event -> u = LOWEST(event); CLEAR(event, BIT(u)); goto stopped
    fi;
    if :: busy & BIT(u) -> CLEAR(busy, BIT(u)); done++ :: else fi /* its task crashed */
  };
#ifdef MUTANT_CALLS_CLEARED_EARLY /* the dead one may yet be called: its successor stays coming */
  coming = 0;
#endif
  atomic {
#ifndef MUTANT_AWAY_NOT_ON_DEATH
    SET(away, BIT(u));
#endif
    CLEAR(idle, BIT(u)); goto heard
  };
stopped: /* or continued: as it is now */
  atomic {
    if
#ifdef MUTANT_AWAY_NOT_ON_STOP
    :: halted[u] -> skip
#else
    :: halted[u] -> SET(away, BIT(u))
#endif
    :: else -> CLEAR(away, BIT(u))
    fi
  };
heard:
  atomic { if :: HEARD -> goto hear :: else -> u = 0 fi };
#if !defined(MUTANT_CALLS_KEPT) && !defined(MUTANT_CALLS_CLEARED_EARLY)
  coming = 0;
#endif
  atomic {
    CLEAR(fresh, 1); CLEAR(parked, 1);
  ASIDE
    CLEAR(fresh, 2); CLEAR(parked, 2);
  ASIDE
    CLEAR(fresh, 4); CLEAR(parked, 4)
  };
#ifndef NO_FORK
  atomic {
    do
    :: u < WORKERS -> if :: life[u] == NONE -> life[u] = ALIVE :: else fi; u++
    :: else -> u = 0; break
    od
  };
#endif
  goto hear
}

#ifdef MUTANT_WAKE_OFF_BY_ONE
#define UNSETTLED (unsettled - 1)
#else
#define UNSETTLED unsettled
#endif

proctype host() provided (!DYING_ANY) {
  byte woken, x;
  bool won, calls;
try:
  atomic {
    if
    :: accepted == TASKS -> goto drain
    :: accepted < TASKS && unsettled == SLOTS -> goto drain
    :: accepted < TASKS && unsettled < SLOTS -> accepted++; unsettled++; ready++
    :: accepted < TASKS && done > 0 -> goto drain /* or whenever it likes */
    fi
  };
wake:
  atomic {
    x = idle;
  ASIDE
    if
    :: woken == WORKERS || UNSETTLED <= WORKERS - BITS(x | away) -> x = 0; woken = 0; goto try
    :: else -> x = idle
    fi;
  ASIDE
    if
#ifdef MIXED
    :: true -> calls = false
#endif
    :: coming & (ALL - away) -> x = 0; woken = 0; goto try
    :: !(coming & (ALL - away)) -> calls = true
    fi;
  ASIDE
    x = x & (ALL - away);
    if :: x == 0 -> woken = 0; goto try :: else -> x = BIT(LOWEST(x)) fi;
    CALL(calls)
    skip
  };
lost:
  atomic {
    x = 0; won = 0; calls = 0;
#ifdef MUTANT_WAKE_ONE
    woken = 0; goto try
#else
    woken++; goto wake
#endif
  };
drain:
  atomic { done > 0 -> unsettled = unsettled - done; done = 0; if :: OVER -> goto finished :: else -> goto try fi };
finished:
  skip
}

#define MAY_KILL(w) :: atomic { !OVER && kills > 0 && life[w] == ALIVE -> kills--; END_OF(w) }
#define MAY_STOP(w) \
  :: atomic { !OVER && stops > 0 && FREE_OR_BUSY(w) -> stops--; halted[w] = 1; SET(event, BIT(w)); \
              if :: parked & BIT(w) -> CLEAR(parked, BIT(w)); SET(redo, BIT(w)) :: else fi } \
  :: atomic { continues > 0 && halted[w] -> continues--; halted[w] = 0; SET(event, BIT(w)) }
#define FREE_OR_BUSY(w) (life[w] == ALIVE && !halted[w])

proctype kernel() provided (!DYING_ANY) {
  byte kills = KILLS, stops = STOPS, continues = CONTINUES;
  do
  MAY_KILL(0)
  MAY_KILL(1)
  MAY_STOP(0)
  MAY_STOP(1)
#if WORKERS == 3
  MAY_KILL(2)
  MAY_STOP(2)
#endif
  od
}

#define CAN_RUN(w) (life[w] == ALIVE && !halted[w])
#define HELD ((halted[0] && (busy & 1)) + (halted[1] && (busy & 2)) + (WORKERS == 3 && halted[WORKERS - 1] && (busy & 4)))
proctype watch() {
  timeout -> assert(OVER || (unsettled == HELD && (accepted == TASKS || unsettled == SLOTS)) ||
                    !(CAN_RUN(0) || CAN_RUN(1) || CAN_RUN(WORKERS - 1)))
}

init {
  atomic {
    life[0] = ALIVE; life[1] = ALIVE; life[WORKERS - 1] = ALIVE;
    run host(); run worker(0); run worker(1);
#if WORKERS == 3
    run worker(2);
#endif
    run supervisor(); run kernel(); run watch()
  }
}
