"""rc11.py - every execution of a small program under the memory model of C11 and C++20 (RC11, without load buffering).

An execution is a graph: for each thread what it did, for each read the write that it read (rf), for each location the order of
its writes (mo). All graphs are built, each one once, by adding event after event; one that the model forbids is not followed:

  coherence   what happens before (hb: program order, and release/acquire) is not contradicted by what is read
  atomicity   a read-modify-write stands right behind the write that it read
  SC          the order of the sequentially consistent accesses (psc of RC11) has no cycle
  no cycle of program order and rf: by construction

Release sequences are those of C++20: read-modify-writes only. There are no fences, as in procpool.h. With tso=True the model is
x86's instead: stores are delayed, but in order; locked operations (read-modify-writes, seq_cst stores) wait for them.

A thread is a generator that yields operations and is sent what they read. It may claim what must hold by assert. Plain accesses
(PLAIN) that race are errors, and so is a thread that can never go on (a futex whose value nobody changes any more)."""

RLX, ACQ, REL, ACQ_REL, SC, PLAIN = "relaxed", "acquire", "release", "acq_rel", "seq_cst", "plain"
ACQUIRES = (ACQ, ACQ_REL, SC)
RELEASES = (REL, ACQ_REL, SC)


class Wrong(Exception):
    pass


def load(location, order):
    return ("load", location, order, None, None)


def store(location, order, value):
    return ("store", location, order, value, None)


def rmw(location, order, function):
    """Reads, writes function(what was read)."""
    return ("rmw", location, order, function, None)


def cas(location, order, expected, desired):
    """What was read is sent back: it has written if that is expected."""
    return ("cas", location, order, expected, desired)


def futex(location, value, order=RLX):
    """FUTEX_WAIT: goes on when the location no longer holds value. The kernel compares under the lock that the waker takes after
    its write, so it is enough that such a write exists; it orders nothing. Other waits of the kernel: with acquire."""
    return ("futex", location, order, value, None)


class Event:
    """hb, po: what happens before it, and what of its own thread does (bit per event). given: what an acquire load that reads it
    learns. away: the seq_cst events before it in its thread, on other locations. way: those that lead to it by way of hb."""
    __slots__ = ("number", "thread", "location", "order", "writes", "reads", "value", "read", "rf", "hb", "po", "given", "before",
                 "atomic", "away", "way")


class Search:
    """threads: functions that return generators. start: location to value (0 where it is not named)."""

    def __init__(self, threads, start, tso=False, final=None, limit=3000000):
        self.threads, self.start, self.tso, self.final = threads, start, tso, final
        self.events, self.mo, self.there, self.edges = [], {}, {}, []
        self.done = [() for _ in threads]  # what each thread has read so far; None for stores
        self.own = [0 for _ in threads]  # its events
        self.last = [0 for _ in threads]  # what happens before its next event
        self.since = [-1 for _ in threads]  # it waits for a write that is not older than this; -1: it does not wait
        self.known = {}
        self.executions = self.steps = 0
        self.limit = limit
        self.first = 0

    # ---- the program ----
    def next_of(self, t):
        """The next operation of thread t, or None at its end. A failed assertion is Wrong."""
        key = (t, self.done[t])
        if key not in self.known:
            generator = self.threads[t]()
            try:
                operation = next(generator)
                for value in self.done[t]:
                    operation = generator.send(value)
                self.known[key] = operation
            except StopIteration:
                self.known[key] = None
            except AssertionError as error:
                self.known[key] = Wrong("assertion: %s" % (error,))
        operation = self.known[key]
        if isinstance(operation, Wrong):
            raise operation
        return operation

    # ---- the graph ----
    def add(self, t, location, order, reads, writes, value, read, rf, place):
        """Adds an event of thread t. False where the model forbids it; it is then not added."""
        e = Event()
        e.number = len(self.events)
        e.thread, e.location, e.order, e.reads, e.writes = t, location, order, reads, writes
        e.value, e.read, e.rf, e.atomic = value, read, rf, reads and writes
        e.hb, e.po = self.last[t], self.own[t]
        if reads and order in ACQUIRES:
            e.hb |= self.events[rf].given
        bit = 1 << e.number
        e.given = 0
        if writes:
            e.given = e.hb | bit if order in RELEASES else 0
            if reads:
                e.given |= self.events[rf].given
        mo = self.mo[location]
        if not self.coherent(e, mo, place):
            return False
        self.race(e)
        self.events.append(e)
        self.there[location].append(e)
        if writes:
            mo.insert(place, e.number)
        saved = (self.last[t], self.own[t])
        self.last[t], self.own[t] = e.hb | bit, e.po | bit
        e.before = self.order_edges(e)
        if e.before is None:
            if writes:
                mo.remove(e.number)
            self.events.pop()
            self.there[location].pop()
            self.last[t], self.own[t] = saved
            return False
        return True

    def remove(self, t, saved):
        e = self.events.pop()
        self.there[e.location].pop()
        if e.writes:
            self.mo[e.location].remove(e.number)
        for a in e.before:
            self.edges[a] = e.before[a]
        self.edges.pop()
        self.last[t], self.own[t] = saved

    def coherent(self, e, mo, place):
        """What happens before e on its location is not newer than what it reads, and older than what it writes."""
        if e.writes and place < len(mo) and self.events[mo[place]].atomic:
            return False  # between a read-modify-write and what it read
        newer = mo[mo.index(e.rf) + 1 if e.reads else place:]
        if newer:
            seen = e.hb | (e.po if self.tso else 0)
            for x in self.there[e.location]:
                if seen >> x.number & 1 and (x.number if x.writes else x.rf) in newer:
                    return False
        return True

    def race(self, e):
        for x in self.there[e.location]:
            if (x.order == PLAIN or e.order == PLAIN) and (x.writes or e.writes) and not e.hb >> x.number & 1 \
                    and x.thread != e.thread and x.thread >= 0:
                raise Wrong("race on %s between thread %d and %d" % (e.location, x.thread, e.thread))

    def order_edges(self, e):
        """Adds e to the graph that must have no cycle: psc of RC11, or x86's order of memory. None if it has one; else what to
        put back."""
        into, out = (self.edges_tso if self.tso else self.edges_psc)(e)
        saved = {}
        self.edges.append(out)
        bit = 1 << e.number
        for x in self.events[:-1]:
            if into >> x.number & 1:
                saved[x.number] = self.edges[x.number]
                self.edges[x.number] |= bit
        seen, front = 0, out
        while front:
            if front & into:
                for a in saved:
                    self.edges[a] = saved[a]
                self.edges.pop()
                return None
            seen |= front
            further, k = 0, front
            while k:
                low = k & -k
                further |= self.edges[low.bit_length() - 1]
                k ^= low
            front = further & ~seen
        return saved

    def same_location(self, e, ordered):
        """mo and rb from and to e, among events that ordered() names."""
        into = out = 0
        mo = self.mo[e.location]
        place = {w: i for i, w in enumerate(mo)}
        for x in self.there[e.location]:
            if x is e or x.thread < 0 or not ordered(x):
                continue
            bit = 1 << x.number
            if e.writes and x.writes:
                if place[x.number] < place[e.number]:
                    into |= bit
                else:
                    out |= bit
            if e.writes and x.reads and place[x.rf] < place[e.number]:
                into |= bit
            if e.reads and x.writes and place[e.rf] < place[x.number]:
                out |= bit
        return into, out

    def edges_psc(self, e):
        others = self.events[self.first:-1]
        e.away = e.way = 0
        for x in others:
            bit = 1 << x.number
            if e.po & bit and x.order == SC and x.location != e.location:
                e.away |= bit
            if e.hb & bit:
                e.way |= x.away
        if e.order != SC:
            return 0, 0
        into, out = self.same_location(e, lambda x: x.order == SC)
        for x in others:
            bit = 1 << x.number
            if x.order == SC and (e.po & bit or (e.hb & bit and x.location == e.location)):
                into |= bit
            if e.po & bit and x.location != e.location:
                into |= x.way
        return into, out

    def edges_tso(self, e):
        into, out = self.same_location(e, lambda x: True)
        if e.reads and self.events[e.rf].thread != e.thread:
            into |= 1 << e.rf
        locked = False  # a locked operation between x and e
        for x in reversed(self.events[self.first:-1]):
            if x.thread != e.thread:
                continue
            fence = x.atomic or (x.writes and x.order == SC)
            locked = locked or fence
            if locked or e.atomic or x.reads or not e.reads:
                into |= 1 << x.number
        return into, out

    # ---- all executions ----
    def run(self):
        """Returns None if all is well, else what is wrong and where."""
        for location, value in sorted(self.start.items(), key=str):
            e = Event()
            e.number, e.thread, e.location, e.order = len(self.events), -1, location, RLX
            e.reads, e.writes, e.value, e.read, e.rf, e.atomic = False, True, value, None, None, False
            e.hb = e.po = e.given = 0
            e.before = {}
            e.away = e.way = 0
            self.events.append(e)
            self.edges.append(0)
            self.mo[location] = [e.number]
            self.there[location] = [e]
        self.first = len(self.events)
        everything = (1 << self.first) - 1
        self.last = [everything for _ in self.threads]
        try:
            self.explore()
        except Wrong as wrong:
            return "%s\n%s" % (wrong, self.picture())
        return None

    def explore(self):
        self.steps += 1
        if self.steps > self.limit:
            raise Wrong("too many steps")
        for t in range(len(self.threads)):
            operation = self.next_of(t)
            if operation is None:
                continue
            if operation[1] not in self.mo:
                raise Wrong("location %s has no value at the start" % (operation[1],))
            if operation[0] == "store":
                self.explore_store(t, operation)
                return
            fresh = self.since[t]
            if fresh >= 0 and not any(w >= fresh for w in self.mo[operation[1]]):
                continue
            self.explore_read(t, operation, fresh)
            return
        self.end()

    def end(self):
        """Nobody moves. A thread that would rather have read a write that never came makes this no execution; one that sleeps
        and has nothing to read makes it a wrong one."""
        for t in range(len(self.threads)):
            operation = self.next_of(t)
            if operation is not None and self.could_go_on(t, operation):
                return
        self.executions += 1
        for t in range(len(self.threads)):
            if self.next_of(t) is not None:
                raise Wrong("thread %d sleeps for good: %s" % (t, self.next_of(t)[:2]))
        if self.final is not None:
            values = {location: self.events[mo[-1]].value for location, mo in self.mo.items()}
            if not self.final(values):
                raise Wrong("at the end: %s" % (values,))

    def could_go_on(self, t, operation):
        kind, location, _, expected, _ = operation
        return kind != "futex" or any(self.events[w].value != expected for w in self.visible(t, location))

    def visible(self, t, location):
        mo = self.mo[location]
        at = 0
        for x in self.there[location]:
            if self.last[t] >> x.number & 1:
                at = max(at, mo.index(x.number if x.writes else x.rf))
        return mo[at:]

    def step(self, t, value, *event):
        saved = (self.last[t], self.own[t])
        if not self.add(t, *event):
            return
        done, since = self.done[t], self.since[t]
        self.done[t], self.since[t] = done + (value,), -1
        self.explore()
        self.done[t], self.since[t] = done, since
        self.remove(t, saved)

    def explore_store(self, t, operation):
        _, location, order, value, _ = operation
        for place in range(1, len(self.mo[location]) + 1):
            self.step(t, None, location, order, False, True, value, None, None, place)

    def explore_read(self, t, operation, fresh):
        kind, location, order, first, second = operation
        for w in list(self.mo[location]):
            if w < fresh:
                continue
            value = self.events[w].value
            if kind == "rmw" or (kind == "cas" and value == first):
                new = first(value) if kind == "rmw" else second
                place = self.mo[location].index(w) + 1
                self.step(t, value, location, order, True, True, new, value, w, place)
            elif kind != "futex" or value != first:
                if kind == "cas":  # it fails, with the order that a load may have
                    order_here = SC if order == SC else ACQ if order in ACQUIRES else RLX
                else:
                    order_here = order
                self.step(t, value, location, order_here, True, False, None, value, w, 0)
        since = self.since[t]
        self.since[t] = len(self.events)
        self.explore()
        self.since[t] = since

    def picture(self):
        lines = []
        for t in range(len(self.threads)):
            for e in self.events:
                if e.thread == t:
                    what = "read %s (of %s)" % (e.read, self.of(e.rf)) if e.reads else ""
                    if e.writes:
                        what += " wrote %s" % (e.value,)
                    lines.append("  thread %d: [%d] %s %s %s" % (t, e.number, e.location, e.order, what.strip()))
        return "\n".join(lines)

    def of(self, number):
        return "the start" if number < self.first else "[%d]" % number
