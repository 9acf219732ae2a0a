#!/usr/bin/env python3
"""litmus.py - the pieces of procpool.h's protocol that rely on memory orders, each tried under the language's own model.

  litmus.py list ORDERS               prints what there is to run: "holds NAME", "needs NAME FUNCTION FIELD OPERATION"
  litmus.py holds ORDERS NAME...      every execution of these tests, with the header's orders: nothing goes wrong
  litmus.py needs ORDERS NAME FUNCTION FIELD OPERATION     the same with this one access weaker than it must be: something does
  litmus.py needed ORDERS             all of these
  litmus.py all ORDERS                both, for all of them
  litmus.py engine ORDERS             tests of the checker, whose outcome is known
  litmus.py least ORDERS              for each access the least order with which each test holds: what the notes should say

ORDERS is ../orders.txt, the list of the header's shared accesses: an access below takes its order from there, and a note
NAME:ORDER there says that test NAME fails where the access is weaker than ORDER. rc11.py says what is tried, and how.

Each test is what stands in the header, with one task, one record, one sleep, and what does not touch shared words left out; values
are small numbers for what they stand for. A thread that waits in the kernel goes on when it may; one that never does is an
error, as are races of plain accesses and assertions. The kernel's own promises are drawn as a release store and an acquire
load of a word of the kernel's ("kernel"): a message that is sent and received, a process that ends and is reaped."""
import sys
import time

from rc11 import ACQ, ACQ_REL, PLAIN, REL, RLX, SC, Search, cas, futex, load, rmw, store

TESTS = {}
ORDERS = {}  # (function, field, operation) to order
NOTES = {}  # the same to {test: order}
USED = set()
CHANGED = {}
X86 = [False]


def order_of(access, operation):
    key = tuple(access.split()) + (operation,)
    USED.add(key)
    if key in CHANGED:
        return CHANGED[key]
    if key not in ORDERS:
        raise SystemExit("litmus.py: orders.txt has no access %s %s %s" % key)
    order = ORDERS[key]
    if order == "before_cas":  # see the header: what it is on x86 is tried under x86's model
        return REL if X86[0] else SC
    return order


def R(access, location):
    return load(location, order_of(access, "load"))


def W(access, location, value):
    return store(location, order_of(access, "store"), value)


def C(access, location, expected, desired):
    return cas(location, order_of(access, "cas"), expected, desired)


def X(access, operation, location, function):
    return rmw(location, order_of(access, operation), function)


def look(location):
    return load(location, PLAIN)


def put(location, value):
    return store(location, PLAIN, value)


def plus(value):
    return value + 1


def to(value):
    return lambda _: value


def test(start, x86=False):
    def enter(function):
        TESTS[function.__name__] = (function, dict((part.split("=")[0], int(part.split("=")[1])) for part in start.split()), x86)
        return function
    return enter


# States of a word.
FREE, READY, RUNNING, DONE, ASKED, YIELDED, DEAD, NEXT = range(8)


# ---- pieces that several tests share ----
def stamp():
    """procpool__ring_stamp"""
    yield W("ring_stamp record.word", "record.word", DONE)
    yield W("ring_stamp record.position", "position", 1)


def read_record():
    """procpool__ring_read: its word, if the stamp is there."""
    at = yield R("ring_read record.position", "position")
    word = yield R("ring_read record.word", "record.word")
    return word if at == 1 else None


def publish_for():
    """procpool__ring_publish_for"""
    tail = yield R("ring_publish_for block.tail", "tail")
    if tail != 0:
        return
    record = yield from read_record()
    if record != DONE:
        return
    word = yield R("ring_publish_for slot.word", "word")
    record = yield from read_record()
    if word == DONE and record == DONE:
        yield C("ring_publish_for block.tail", "tail", 0, 1)


def wake_for_room():
    """procpool__host_wake_for_room"""
    flag = yield R("host_wake_for_room block.room_flag", "room_flag")
    if flag != 0:
        yield X("host_wake_for_room block.room_seq", "add", "room_seq", plus)


def answer(function="worker_notify_host"):
    """procpool__worker_notify_host, procpool__worker_notify_claim"""
    flag = yield R(function + " host_flag", "flag")
    if flag != 0 and function != "worker_notify_host":
        flag = yield R("worker_notify_host host_flag", "flag")
    if flag != 0:
        yield X("worker_notify_host host_seq", "add", "host_seq", plus)


def take():
    """procpool__host_drain_ring, procpool__host_take: a record that the tail covers is whole."""
    record = yield from read_record()
    assert record == DONE, "a tail without its record"
    word = yield R("host_take slot.word", "word")
    assert word == DONE, "a record without its commit"


def wake_one():
    """procpool__submit_wake, one task and one worker."""
    idle = yield R("shm_able mask.idle", "idle")
    if idle == 0:
        return
    idle = yield R("shm_awake mask.idle", "idle")
    if idle == 0:
        return
    idle = yield R("shm_able mask.idle", "idle")
    if idle == 0:
        return
    yield X("shm_call mask.idle", "and", "idle", to(0))
    yield X("shm_wake_worker block.wake_seq", "add", "wake_seq", plus)


def rest():
    """procpool__worker_step, procpool__worker_sleep: until it has found the task's cell."""
    while True:
        cell = yield R("table_peek cell", "cell")
        if cell != 0:
            return
        seq = yield R("worker_sleep block.wake_seq", "wake_seq")
        yield X("worker_sleep mask.idle", "or", "idle", to(1))
        cell = yield R("table_peek cell", "cell")
        if cell == 0:
            yield futex("wake_seq", seq)
        yield X("worker_sleep mask.idle", "and", "idle", to(0))


def push_dead():
    """procpool__supervisor_report_death, procpool__table_push_dead"""
    yield put("exit_record", 1)
    first = yield R("table_push_dead dead_list", "dead_list")
    yield C("table_push_dead dead_list", "dead_list", first, 1)
    yield W("supervisor_report_death dead_count", "dead_count", 1)


def drain_dead():
    """procpool__host_drain_dead: whether it settled the task."""
    first = yield R("host_drain_dead dead_list", "dead_list")
    if first == 0:
        count = yield R("host_drain_dead dead_count", "dead_count")
        if count == 0:
            return False
    count = yield R("host_drain_dead dead_count", "dead_count")
    first = yield X("host_drain_dead dead_list", "exchange", "dead_list", to(0))
    assert first != 0 or count == 0, "it would settle whoever is condemned, and not yet reaped"
    if first == 0:
        return False
    word = yield R("host_settle_dead slot.word", "word")
    assert word == DEAD
    yield look("exit_record")
    return True


# ---- results ----
@test("tail=0 position=0 record.word=0 word=2 bytes=0")
def commit():
    """A worker's result reaches the host by the tail."""
    def worker():
        yield put("bytes", 1)
        yield from stamp()
        yield C("worker_commit slot.word", "word", RUNNING, DONE)
        yield W("worker_publish block.tail", "tail", 1)

    def host():
        tail = yield R("host_drain_ring block.tail", "tail")
        if tail != 0:
            yield from take()
            yield look("bytes")
    return worker, host


@test("tail=0 position=0 record.word=0 word=2 bytes=0 argument=0")
def publish():
    """A worker that committed and was stopped there: another one publishes for it, and its slot is used again."""
    def worker():
        yield look("argument")
        yield put("bytes", 1)
        yield from stamp()
        yield C("worker_commit slot.word", "word", RUNNING, DONE)

    def supervisor():
        yield from publish_for()

    def host():
        tail = yield R("host_drain_ring block.tail", "tail")
        if tail != 0:
            yield from take()
            yield look("bytes")
            yield put("argument", 1)
    return worker, supervisor, host


@test("tail=0 position=0 record.word=0 size=0 word=2")
def rewritten():
    """A worker that loses its first commit writes its record anew: whoever publishes for it takes none that is half of each."""
    def worker():
        yield W("ring_stamp record.word", "record.word", DONE)
        yield W("ring_stamp record.size", "size", 1)
        yield W("ring_stamp record.position", "position", 1)
        word = yield C("worker_commit slot.word", "word", RUNNING, DONE)
        if word == RUNNING:
            return
        word = yield R("worker_stopped slot.word", "word")
        assert word == ASKED
        yield W("ring_stamp record.word", "record.word", YIELDED)
        yield W("ring_stamp record.size", "size", 2)
        yield W("ring_stamp record.position", "position", 1)
        yield C("worker_commit_stopped slot.word", "word", ASKED, YIELDED)

    def supervisor():
        yield C("supervisor_decide slot.word", "word", RUNNING, ASKED)

    def host():
        at = yield R("ring_read record.position", "position")
        record = yield R("ring_read record.word", "record.word")
        yield R("ring_read record.size", "size")
        if at == 0 or record == 0:
            return
        word = yield R("ring_publish_for slot.word", "word")
        if word != record:
            return
        yield R("ring_read record.position", "position")
        record = yield R("ring_read record.word", "record.word")
        size = yield R("ring_read record.size", "size")
        if word == record:
            assert size == (1 if word == DONE else 2), "the length of another record"
    return worker, supervisor, host


@test("tail=0 consumed=0 room_flag=0 room_seq=0 bytes=0", x86=True)
def room():
    """A worker waits for room in its ring, and writes there what the host has read."""
    def worker():
        while True:
            consumed = yield R("worker_fits block.consumed", "consumed")
            if consumed != 0:
                break
            seq = yield R("worker_wait_room block.room_seq", "room_seq")
            yield W("worker_wait_room block.room_flag", "room_flag", 1)
            consumed = yield R("worker_fits block.consumed", "consumed")
            if consumed == 0:
                yield futex("room_seq", seq)
            yield W("worker_wait_room block.room_flag", "room_flag", 0)
        yield put("bytes", 2)

    def host():
        yield look("bytes")
        yield W("host_give_room block.consumed", "consumed", 1)
        yield from wake_for_room()
    return worker, host


@test("word=1 flags=0 room_flag=0 room_seq=0")
def discard():
    """The result of a worker that waits for room is given up, and no room will come."""
    def worker():
        yield C("worker_claim slot.word", "word", READY, RUNNING)
        given_up = 0
        while given_up == 0:
            seq = yield R("worker_wait_room block.room_seq", "room_seq")
            yield W("worker_wait_room block.room_flag", "room_flag", 1)
            given_up = yield R("worker_wait_room slot.flags", "flags")
            if given_up == 0:
                yield futex("room_seq", seq)
            yield W("worker_wait_room block.room_flag", "room_flag", 0)

    def host():
        yield X("future_discard slot.flags", "or", "flags", to(1))
        word = yield R("future_discard slot.word", "word")
        if word == RUNNING:
            yield from wake_for_room()
    return worker, host


# ---- the host's sleep ----
@test("tail=0 position=0 record.word=0 word=2 flag=0 host_seq=0", x86=True)
def wake():
    """The host's sleep against a commit. The tail is stored, not swapped: the host, armed, looks for the record itself."""
    return asleep("worker_commit slot.word")


@test("tail=0 position=0 record.word=0 word=2 flag=0 host_seq=0", x86=True)
def wake_yielded():
    """The same where the task was asked to end, and has."""
    return asleep("worker_commit_stopped slot.word")


def asleep(commit_word):
    def worker():
        yield from stamp()
        yield C(commit_word, "word", RUNNING, DONE)
        yield W("worker_publish block.tail", "tail", 1)
        yield from answer()

    def host():
        while True:
            seq = yield R("host_sleep host_seq", "host_seq")
            yield W("host_arm host_flag", "flag", 1)
            yield from publish_for()
            tail = yield R("host_has_come block.tail", "tail")
            if tail == 0:
                yield futex("host_seq", seq)
            yield W("host_arm host_flag", "flag", 0)
            tail = yield R("host_drain_ring block.tail", "tail")
            if tail != 0:
                return
    return worker, host


@test("tail=0 flag=0 host_seq=0", x86=True)
def piece():
    """The same for a piece of a large result, which has no commit."""
    def worker():
        yield X("worker_publish block.tail", "exchange", "tail", to(1))
        yield from answer()

    def host():
        while True:
            seq = yield R("host_sleep host_seq", "host_seq")
            yield W("host_arm host_flag", "flag", 1)
            tail = yield R("host_has_come block.tail", "tail")
            if tail == 0:
                yield futex("host_seq", seq)
            yield W("host_arm host_flag", "flag", 0)
            tail = yield R("host_drain_ring block.tail", "tail")
            if tail != 0:
                return
    return worker, host


@test("word=2 dropped=0 flag=0 host_seq=0 argument=0", x86=True)
def dropped():
    """A result that nobody wants has no record: the host's sleep against the count, and the slot is used again."""
    def worker():
        yield look("argument")
        yield C("worker_drop slot.word", "word", RUNNING, DONE)
        yield X("worker_drop block.dropped", "exchange", "dropped", to(1))
        yield from answer()

    def host():
        while True:
            seq = yield R("host_sleep host_seq", "host_seq")
            yield W("host_arm host_flag", "flag", 1)
            count = yield R("host_has_come block.dropped", "dropped")
            if count == 0:
                yield futex("host_seq", seq)
            yield W("host_arm host_flag", "flag", 0)
            count = yield R("host_note_dropped block.dropped", "dropped")
            if count != 0:
                break
        word = yield R("host_sweep slot.word", "word")
        assert word == DONE, "a dropped task is not found"
        yield put("argument", 1)
    return worker, host


@test("away=1 flag=0 host_seq=0 woken=0", x86=True)
def ready():
    """A worker is through its initializer. A thread of the host that drains sleeps, while another one follows and waits
    for that: after it has armed it looks on that one's behalf, and wakes it."""
    def worker():
        yield X("worker_initialize mask.away", "and", "away", to(0))
        yield from answer()

    def drainer():
        while True:
            seq = yield R("host_sleep host_seq", "host_seq")
            yield W("host_arm host_flag", "flag", 1)
            away = yield R("shm_any_away mask.away", "away")
            if away == 0:
                yield W("sleeper_wake sleeper.word", "woken", 1)
                return
            yield futex("host_seq", seq)
            yield W("host_arm host_flag", "flag", 0)

    def follower():
        yield futex("woken", 0)
    return worker, drainer, follower


@test("word=1 flag=0 host_seq=0 wake_at=9 woken=0", x86=True)
def cell_free():
    """A thread of the host that drains sleeps, while another one follows and wants the cell that the task has: after it
    has armed it looks on that one's behalf, and wakes it."""
    def worker():
        yield C("worker_claim slot.word", "word", READY, RUNNING)
        flag = yield R("worker_notify_claim host_flag", "flag")
        if flag != 0:
            wake_at = yield R("worker_notify_claim wake_at", "wake_at")
            if 1 > wake_at:
                yield from answer()

    def drainer():
        while True:
            seq = yield R("host_sleep host_seq", "host_seq")
            yield W("host_arm wake_at", "wake_at", 0)
            yield W("host_arm host_flag", "flag", 1)
            word = yield R("host_waits slot.word", "word")
            if word != READY:
                yield W("sleeper_wake sleeper.word", "woken", 1)
                return
            yield futex("host_seq", seq)
            yield W("host_arm host_flag", "flag", 0)

    def follower():
        yield futex("woken", 0)
    return worker, drainer, follower


@test("word=1 flag=0 host_seq=0 wake_at=9", x86=True)
def lazy():
    """The host sleeps until the task at wake_at is claimed, or a later one: a lazy sleep, or one for want of a cell."""
    def worker():
        yield C("worker_claim slot.word", "word", READY, RUNNING)
        flag = yield R("worker_notify_claim host_flag", "flag")
        if flag != 0:
            wake_at = yield R("worker_notify_claim wake_at", "wake_at")
            if 1 > wake_at:
                yield from answer()

    def host():
        while True:
            seq = yield R("host_sleep host_seq", "host_seq")
            yield W("host_arm wake_at", "wake_at", 0)
            yield W("host_arm host_flag", "flag", 1)
            word = yield R("host_waits slot.word", "word")
            if word == READY:
                yield futex("host_seq", seq)
            yield W("host_arm host_flag", "flag", 0)
            if word != READY:
                return
    return worker, host


@test("flag=0 host_seq=0 dead_list=0 dead_count=0 exit_record=0 word=2")
def dead():
    """What the supervisor decided reaches a host that sleeps, exit_record and all."""
    def supervisor():
        yield C("supervisor_decide slot.word", "word", RUNNING, DEAD)
        yield from push_dead()
        yield R("shm_wake_host host_flag", "flag")
        yield X("shm_wake_host host_seq", "add", "host_seq", plus)

    def host():
        while True:
            seq = yield R("host_sleep host_seq", "host_seq")
            first = yield R("host_news dead_list", "dead_list")
            if first == 0:
                yield futex("host_seq", seq)
            settled = yield from drain_dead()
            if settled:
                return
    return supervisor, host


@test("expiring=0 word=1 dead_list=0")
def expiring():
    """A task that dies in the queue is the supervisor's until it is on the list: the audit does not settle it before."""
    def supervisor():
        yield W("supervisor_expire expiring", "expiring", 1)
        yield C("supervisor_expire slot.word", "word", 1, DEAD)
        yield C("table_push_dead dead_list", "dead_list", 0, 1)
        yield W("supervisor_expire expiring", "expiring", 0)

    def host():
        word = yield R("host_audit_task slot.word", "word")
        if word == DEAD:
            busy = yield R("slot_verdict expiring", "expiring")
            if busy == 0:
                first = yield R("host_drain_dead dead_list", "dead_list")
                assert first == 1, "it is settled while the supervisor writes to its slot"
    return supervisor, host


@test("host_seq=0 flag=0 gone=0 tail=0 message=0")
def gone():
    """The supervisor leaves: the host hears of it, and finds what it published."""
    def supervisor():
        yield C("ring_publish_for block.tail", "tail", 0, 1)
        yield store("message", REL, 1)
        yield W("supervisor_leave gone", "gone", 1)
        yield X("shm_wake_host host_seq", "add", "host_seq", plus)

    def host():
        while True:
            seq = yield R("host_sleep host_seq", "host_seq")
            gone = yield R("host_news gone", "gone")
            if gone == 0:
                yield futex("host_seq", seq)
            gone = yield R("host_is_gone gone", "gone")
            if gone != 0:
                break
        message = yield load("message", ACQ)
        assert message == 1, "the host takes it for scribble"
        tail = yield R("host_drain_ring block.tail", "tail")
        assert tail != 0, "last words are lost"
    return supervisor, host


@test("host_seq=0 flag=0 interrupts=0")
def interrupt():
    """procpool_interrupt, of another thread or a signal handler, ends a sleep."""
    def caller():
        yield X("interrupt host.interrupts.count", "add", "interrupts", plus)
        yield X("shm_wake_host host_seq", "add", "host_seq", plus)

    def host():
        while True:
            seq = yield R("host_sleep host_seq", "host_seq")
            interrupts = yield R("host_news host.interrupts.count", "interrupts")
            if interrupts != 0:
                return
            yield futex("host_seq", seq)
    return caller, host


@test("word=0 asleep=0 called=0")
def follow():
    """A thread that waits while another one drains looks, and goes to sleep: who wakes it sees that, or it sees that it was woken."""
    def waker():
        yield W("sleeper_wake sleeper.word", "word", 1)
        asleep = yield R("sleeper_wake_follower sleeper.asleep", "asleep")
        if asleep != 0:
            yield store("called", RLX, 1)

    def follower():
        word = yield R("host_follow_word sleeper.word", "word")
        if word != 0:
            return
        yield W("host_follow_word sleeper.asleep", "asleep", 1)
        word = yield load("word", SC)  # the kernel's, behind a full barrier: it compares as the thread goes to sleep
        if word == 0:
            yield futex("called", 0)
    return waker, follower


@test("alive=1 phase=0 gone=0", x86=True)
def threads_gone():
    """The last thread of a pool leaves beside a shutdown: one of the two says that nobody is left."""
    def thread():
        yield X("thread_main alive", "sub", "alive", to(0))
        phase = yield R("thread_main phase", "phase")
        if phase != 0:
            yield W("thread_main gone", "gone", 1)

    def host():
        yield W("shutdown_announce phase", "phase", 1)
        alive = yield R("shutdown_announce alive", "alive")
        if alive == 0:
            yield W("shutdown_announce gone", "gone", 1)

    def watcher():
        yield futex("gone", 0)
    return thread, host, watcher


# ---- tasks ----
def claimed():
    word = yield C("worker_claim slot.word", "word", READY, RUNNING)
    assert word == READY, "a task is passed by"
    yield look("argument")
    limit = yield R("worker_prepare slot.limit", "limit")
    flags = yield R("worker_prepare slot.flags", "flags")
    top = yield R("shm_arena_top arena_top", "arena_top")
    assert limit == 1 and flags == 1 and top == 1, "what came with the task"


def filled():
    yield W("arena_extend arena_top", "arena_top", 1)
    yield put("argument", 1)
    yield W("submit_fill slot.limit", "limit", 1)
    yield W("submit_fill slot.flags", "flags", 1)
    yield W("submit_publish slot.word", "word", READY)


@test("cell=0 word=0 argument=0 limit=0 flags=0 arena_top=0")
def claim():
    """A task that is handed out among many: by a release of its cell."""
    def host():
        yield from filled()
        yield W("submit_publish cell", "cell", 1)

    def worker():
        cell = yield R("table_peek cell", "cell")
        if cell != 0:
            yield from claimed()
    return host, worker


@test("cell=0 word=0 argument=0 limit=0 flags=0 arena_top=0 phase=0")
def quiet():
    """The same for one task that wakes nobody; and a worker that reads that the pool drains finds all that came before."""
    def host():
        yield from filled()
        yield W("submit_publish cell", "cell", 1)
        yield W("shutdown_announce phase", "phase", 1)

    def worker():
        phase = yield R("worker_phase phase", "phase")
        cell = yield R("table_peek cell", "cell")
        assert phase == 0 or cell != 0, "it leaves a task behind"
        if cell != 0:
            yield from claimed()
    return host, worker


@test("cell=0 word=0 idle=0 wake_seq=0", x86=True)
def sleep():
    """A worker's sleep against the submit of one task."""
    def host():
        yield W("submit_publish slot.word", "word", READY)
        yield X("submit_publish cell", "exchange", "cell", to(1))
        yield from wake_one()

    def worker():
        yield from rest()
        word = yield C("worker_claim slot.word", "word", READY, RUNNING)
        assert word == READY, "a task is passed by"
    return host, worker


@test("cell=0 word=0 idle=0 wake_seq=0", x86=True)
def batch():
    """The same for many tasks: their cells are released, and one read-modify-write of the mask looks for sleepers."""
    def host():
        yield W("submit_publish slot.word", "word", READY)
        yield W("submit_publish cell", "cell", 1)
        yield X("submit_touch mask.idle", "or", "idle", lambda idle: idle)
        yield from wake_one()

    def worker():
        yield from rest()
        word = yield C("worker_claim slot.word", "word", READY, RUNNING)
        assert word == READY, "a task is passed by"
    return host, worker


@test("cell=0 coming=1 wake_seq=0", x86=True)
def coming():
    """A task comes while a worker is called: either that one sees it, or the host sees that it has come, and calls."""
    def host():
        yield X("submit_publish cell", "exchange", "cell", to(1))
        yield from call_unless_coming()
    return host, come


@test("cell=0 coming=1 wake_seq=0", x86=True)
def coming_many():
    """The same for many tasks: their cells are released, and one read-modify-write looks for who is coming."""
    def host():
        yield W("submit_publish cell", "cell", 1)
        yield X("submit_touch mask.coming", "or", "coming", lambda coming: coming)
        yield from call_unless_coming()
    return host, come


def call_unless_coming():
    coming = yield R("shm_any_coming mask.coming", "coming")
    if coming == 0:
        yield X("shm_wake_worker block.wake_seq", "add", "wake_seq", plus)


def come():
    yield X("worker_sleep mask.coming", "and", "coming", to(0))
    seq = yield R("worker_sleep block.wake_seq", "wake_seq")
    cell = yield R("table_peek cell", "cell")
    if cell == 0:
        yield futex("wake_seq", seq)


@test("idle=1 coming=0 wake_seq=0 over=0")
def called():
    """Two call the same sleeper, which comes: it does not stay coming."""
    def caller(turn):
        def call():
            yield X("shm_call mask.coming", "or", "coming", to(1))
            idle = yield X("shm_call mask.idle", "and", "idle", to(0))
            if idle == 0:
                yield X("shm_call mask.coming", "and", "coming", to(0))
            else:
                yield X("shm_wake_worker block.wake_seq", "add", "wake_seq", plus)
            yield rmw("over", ACQ_REL, plus)
        return call

    def worker():
        yield futex("wake_seq", 0)
        yield X("worker_sleep mask.idle", "and", "idle", to(0))
        yield X("worker_sleep mask.coming", "and", "coming", to(0))
        for seen in (0, 1):
            yield futex("over", seen)
        yield load("over", ACQ)
        coming = yield load("coming", RLX)
        assert coming == 0, "it stays coming, and none is called"
    return caller(1), caller(2), worker


@test("idle=1 wakes=0 tail=0 over=0")
def restless():
    """A sleeper goes on, leaves a result, and sleeps again, while the host passes by the rings of those that sleep."""
    def host():
        known = (0, 1)
        for turn in (0, 1):
            wakes = yield R("host_restless mask.wakes", "wakes")
            idle = yield R("host_restless mask.idle", "idle")
            if (wakes, 1) != known or idle == 0:
                tail = yield R("host_drain_ring block.tail", "tail")
                if tail != 0:
                    return
            known = (wakes, idle)
            if turn == 0:
                yield futex("over", 0)
                yield load("over", ACQ)
        assert False, "a result is passed by for good"

    def worker():
        yield X("worker_sleep mask.idle", "and", "idle", to(0))
        yield X("worker_sleep mask.wakes", "add", "wakes", plus)
        yield W("worker_publish block.tail", "tail", 1)
        yield X("worker_sleep mask.idle", "or", "idle", to(1))
        yield store("over", REL, 1)
    return host, worker


@test("phase=0 idle=0 wake_seq=0")
def shutdown():
    """A worker's sleep against a change of phase: all are woken, whatever the masks say."""
    def host():
        yield W("shutdown_announce phase", "phase", 1)
        yield X("shm_wake_worker block.wake_seq", "add", "wake_seq", plus)

    def worker():
        while True:
            seq = yield R("worker_sleep block.wake_seq", "wake_seq")
            yield X("worker_sleep mask.idle", "or", "idle", to(1))
            phase = yield R("worker_phase phase", "phase")
            if phase != 0:
                return
            yield futex("wake_seq", seq)
            yield X("worker_sleep mask.idle", "and", "idle", to(0))
    return host, worker


@test("phase=0 room_flag=0 room_seq=0")
def shutdown_room():
    """The same for a thread that waits for room."""
    def host():
        yield W("shutdown_announce phase", "phase", 1)
        yield X("shutdown_announce block.room_seq", "add", "room_seq", plus)

    def thread():
        while True:
            seq = yield R("worker_wait_room block.room_seq", "room_seq")
            phase = yield R("worker_phase phase", "phase")
            if phase != 0:
                return
            yield futex("room_seq", seq)
    return host, thread


@test("cell=0 word=1 idle=1 away=0 wake_seq=0", x86=True)
def away():
    """One worker is stopped while the other one sleeps, and a task comes: the host counts on the first one only where the
    supervisor's wake of all is still to come."""
    def host():
        yield X("submit_publish cell", "exchange", "cell", to(1))
        yield R("shm_awake mask.idle", "idle")
        gone = yield R("shm_awake mask.away", "away")
        if gone == 0:
            return  # it counts the stopped one as awake
        yield from wake_one()

    def supervisor():
        yield X("supervisor_note_away mask.away", "or", "away", to(1))
        yield X("shm_wake_worker block.wake_seq", "add", "wake_seq", plus)

    def worker():
        yield futex("wake_seq", 0)
        yield X("worker_sleep mask.idle", "and", "idle", to(0))
        yield from rest()
    return host, supervisor, worker


@test("cell0=0 cell1=0 idle=0 wake0=0 wake1=0 word0=1 word1=1")
def count():
    """Two tasks and two workers, woken by the count of those who are awake."""
    def worker(bit, wake):
        def turn():
            position = 0
            while True:
                cell = yield R("table_peek cell", "cell%d" % position)
                if cell != 0:
                    word = yield C("worker_claim slot.word", "word%d" % position, READY, RUNNING)
                    if word == READY:
                        return
                    position += 1
                    if position == 2:
                        return
                    continue
                seq = yield R("worker_sleep block.wake_seq", wake)
                yield X("worker_sleep mask.idle", "or", "idle", lambda idle: idle | bit)
                cell = yield R("table_peek cell", "cell%d" % position)
                if cell == 0:
                    yield futex(wake, seq)
                yield X("worker_sleep mask.idle", "and", "idle", lambda idle: idle & ~bit)
        return turn

    def host():
        for task in (0, 1):
            yield X("submit_publish cell", "exchange", "cell%d" % task, to(1))
            for _ in (0, 1):
                idle = yield R("shm_awake mask.idle", "idle")
                if task + 1 <= 2 - bin(idle).count("1"):
                    break
                idle = yield R("shm_able mask.idle", "idle")
                if idle == 0:
                    break
                bit = idle & -idle
                yield X("shm_call mask.idle", "and", "idle", lambda idle, bit=bit: idle & ~bit)
                yield X("shm_wake_worker block.wake_seq", "add", "wake%d" % (bit // 2), plus)
    return worker(1, "wake0"), worker(2, "wake1"), host


# ---- the supervisor ----
@test("intent_slot=9 intent_word=0 word=1 kernel=0 flags=0")
def kill():
    """The host wants a task ended that it cannot take back: the supervisor, rung, finds it by the intent."""
    def worker():
        yield W("worker_claim block.intent_slot", "intent_slot", 1)
        yield W("worker_claim block.intent_word", "intent_word", RUNNING)
        yield C("worker_claim slot.word", "word", READY, RUNNING)

    def host():
        word = yield C("future_cancel slot.word", "word", READY, FREE)
        if word != READY:
            yield W("future_want_end slot.flags", "flags", 1)
        yield store("kernel", REL, 1 if word != READY else 2)

    def supervisor():
        message = yield futex("kernel", 0, ACQ)
        if message == 2:
            return
        slot = yield R("supervisor_task_of block.intent_slot", "intent_slot")
        intent = yield R("supervisor_task_of block.intent_word", "intent_word")
        assert slot == 1 and intent == RUNNING, "it does not find the task"
        word = yield R("supervisor_task_of slot.word", "word")
        assert word == RUNNING
        flags = yield R("supervisor_enforce_task slot.flags", "flags")
        assert flags == 1, "it does not see the wish"
    return worker, host, supervisor


@test("intent_slot=9 intent_word=0 word=1 kernel=0")
def death():
    """A worker that is reaped: the intent names what it claimed."""
    def worker():
        yield W("worker_claim block.intent_slot", "intent_slot", 1)
        yield W("worker_claim block.intent_word", "intent_word", RUNNING)
        yield C("worker_claim slot.word", "word", READY, RUNNING)
        yield store("kernel", REL, 1)

    def supervisor():
        yield futex("kernel", 0, ACQ)
        slot = yield R("supervisor_task_of block.intent_slot", "intent_slot")
        intent = yield R("supervisor_task_of block.intent_word", "intent_word")
        word = yield R("supervisor_task_of slot.word", "word")
        assert (slot, intent, word) == (1, RUNNING, RUNNING), "a task is lost"
    return worker, supervisor


@test("ticking=1 limited=0 word=0 cell=0 limit=0 kernel=0 intent_slot=9 intent_word=0", x86=True)
def ticking():
    """A task with a limit comes while the supervisor finds that it has nothing to look after: it finds it, or the host rings."""
    return limits("submit_publish cell")


@test("ticking=1 limited=0 word=0 cell=0 limit=0 kernel=0 intent_slot=9 intent_word=0", x86=True)
def ticking_many():
    """The same for one of many."""
    return limits("submit_publish cell")


def limits(publish):
    def host():
        yield W("submit_fill slot.limit", "limit", 1)
        yield W("host_count_limit limited", "limited", 1)
        yield W("submit_publish slot.word", "word", READY)
        yield X(publish, "exchange", "cell", to(1))
        ticking = yield R("host_check_ticking ticking", "ticking")
        if ticking == 0:
            yield store("kernel", REL, 1)

    def worker():
        cell = yield R("table_peek cell", "cell")
        if cell != 0:
            yield W("worker_claim block.intent_slot", "intent_slot", 1)
            yield W("worker_claim block.intent_word", "intent_word", RUNNING)
            yield C("worker_claim slot.word", "word", READY, RUNNING)

    def supervisor():
        yield W("supervisor_enforce ticking", "ticking", 0)
        limited = yield R("supervisor_limits_matter limited", "limited")
        if limited != 0:
            cell = yield R("table_peek cell", "cell")
            if cell != 0:
                word = yield R("table_waiting slot.word", "word")
                if word == READY:
                    yield W("supervisor_enforce ticking", "ticking", 1)
                    return
                assert word == RUNNING, "a cell without its task"
            slot = yield R("supervisor_task_of block.intent_slot", "intent_slot")
            intent = yield R("supervisor_task_of block.intent_word", "intent_word")
            if slot == 1 and intent == RUNNING:
                word = yield R("supervisor_task_of slot.word", "word")
                if word == RUNNING:
                    limit = yield R("supervisor_limits_matter slot.limit", "limit")
                    assert limit == 1
                    return
            assert cell == 0, "it looks after nothing, and a task has a limit"
        yield futex("kernel", 0, ACQ)
    return host, worker, supervisor


@test("dated=0 word=0 cell=0 deadline=9 died=0")
def dated():
    """A task with a deadline that is counted is in the queue, with its deadline: none is counted and not looked at."""
    def host():
        yield W("submit_fill host.segment.deadlines", "deadline", 1)
        yield W("submit_publish slot.word", "word", READY)
        yield X("submit_publish cell", "exchange", "cell", to(1))
        yield W("host_check_ticking dated", "dated", 1)

    def supervisor():
        count = yield R("supervisor_expire_due dated", "dated")
        cell = yield R("table_peek cell", "cell")
        if cell == 1:
            word = yield R("supervisor_expire_queue slot.word", "word")
            assert word == READY, "a cell without its task"
            deadline = yield R("shm_deadline deadlines", "deadline")
            assert deadline == 1, "an older task's deadline"
        assert cell == 1 or count == 0, "a task that is counted is not in the queue"
    return host, supervisor


@test("limited_word=0 started=0")
def clock():
    """When a body began: the word vouches for the time."""
    def worker():
        yield W("worker_call_timed block.started_ns", "started", 1)
        yield W("worker_call_timed block.limited_word", "limited_word", RUNNING)

    def supervisor():
        word = yield R("supervisor_began block.limited_word", "limited_word")
        if word == RUNNING:
            started = yield R("supervisor_began block.started_ns", "started")
            assert started == 1, "an older task's time"
    return worker, supervisor


@test("health=0 cause=0 ready=0 init_code=0")
def cause():
    """Why the pool failed: the worker's code, then the supervisor's cause, then what the pool's state is."""
    def worker():
        yield put("init_code", 1)
        yield W("worker_refuse block.life", "ready", 2)

    def supervisor():
        ready = yield R("supervisor_cause block.life", "ready")
        if ready == 2:
            yield look("init_code")
            yield W("supervisor_cause cause_code", "cause", 1)
            yield W("supervisor_cause health", "health", 1)
        yield W("supervisor_cause cause_code", "cause", 2)  # another one's, later
        yield W("supervisor_cause health", "health", 2)

    def host():
        health = yield R("host_heed_health health", "health")
        if health != 0:
            code = yield R("host_note_cause cause_code", "cause")
            assert code != 0, "no cause"
    return worker, supervisor, host


# ---- the audit ----
@test("word=2 intent_slot=1 intent_word=2 word_of_next=1")
def lost():
    """The host's audit against a worker that goes on to another task: it must not be called lost."""
    def worker():
        yield C("worker_commit slot.word", "word", RUNNING, DONE)
        yield W("worker_run block.intent_word", "intent_word", 0)
        yield W("worker_claim block.intent_slot", "intent_slot", 2)
        yield W("worker_claim block.intent_word", "intent_word", NEXT)
        yield C("worker_claim slot.word", "word_of_next", READY, NEXT)

    def host():
        word = yield R("host_audit_task slot.word", "word")
        if word != RUNNING:
            return
        intent = yield R("slot_verdict block.intent_word", "intent_word")
        if intent == RUNNING:
            slot = yield R("slot_verdict block.intent_slot", "intent_slot")
            if slot == 1:
                return
        word = yield R("slot_verdict slot.word", "word")
        assert word != RUNNING, "a healthy worker is called lost"
    return worker, host


@test("word=1 intent_slot=9 intent_word=0")
def found():
    """The audit against a claim: whoever sees the word finds the intent."""
    def worker():
        yield W("worker_claim block.intent_slot", "intent_slot", 1)
        yield W("worker_claim block.intent_word", "intent_word", RUNNING)
        yield C("worker_claim slot.word", "word", READY, RUNNING)

    def host():
        word = yield R("host_audit_task slot.word", "word")
        if word == RUNNING:
            intent = yield R("slot_verdict block.intent_word", "intent_word")
            slot = yield R("slot_verdict block.intent_slot", "intent_slot")
            assert intent == RUNNING and slot == 1, "a healthy worker is called lost"
    return worker, host


@test("word=1 intent_slot=9 intent_word=0")
def withdrawn():
    """A claim that fails, since somebody was faster: the intent is withdrawn, and was never the word's."""
    def worker():
        yield W("worker_claim block.intent_slot", "intent_slot", 1)
        yield W("worker_claim block.intent_word", "intent_word", RUNNING)
        word = yield C("worker_claim slot.word", "word", READY, RUNNING)
        if word != READY:
            yield W("worker_claim block.intent_word", "intent_word", 0)

    def faster():
        yield C("worker_claim slot.word", "word", READY, NEXT)

    def host():
        intent = yield R("supervisor_task_of block.intent_word", "intent_word")
        word = yield R("supervisor_task_of slot.word", "word")
        if intent == 0 and word == RUNNING:
            intent = yield R("supervisor_task_of block.intent_word", "intent_word")
            assert intent == RUNNING, "the worker is not found by its intent"
    return worker, faster, host


@test("word=2 intent_slot=1 intent_word=2 dead_list=0 dead_count=0 exit_record=0")
def buried():
    """The audit against a worker that died and was replaced: its task is settled by the list, not called lost."""
    def supervisor():
        yield C("supervisor_decide slot.word", "word", RUNNING, DEAD)
        yield from push_dead()
        yield W("supervisor_start block.intent_word", "intent_word", 0)

    def host():
        word = yield R("host_audit_task slot.word", "word")
        if word != DEAD:
            return
        intent = yield R("slot_verdict block.intent_word", "intent_word")
        if intent == RUNNING:
            return
        settled = yield from drain_dead()
        assert settled, "what was buried is called lost"
    return supervisor, host


@test("word=2 position=0 record.word=0 tail=0")
def has_record():
    """The audit against a commit: a word that says DONE has its record."""
    def worker():
        yield from stamp()
        yield C("worker_commit slot.word", "word", RUNNING, DONE)

    def host():
        word = yield R("host_audit_task slot.word", "word")
        if word == DONE:
            yield from publish_for()
            tail = yield R("host_has_record block.tail", "tail")
            assert tail != 0, "a healthy worker is called lost"
            record = yield from read_record()
            assert record == DONE, "a healthy worker is called lost"
    return worker, host


@test("begun=0 result=0")
def items():
    """A map that is given up while a worker goes on with it: what ended before the item that was begun last counts."""
    def worker():
        yield W("item_next chunk.begun", "begun", 1)
        yield put("result", 1)
        yield W("item_next chunk.begun", "begun", 2)

    def host():
        begun = yield R("map_ended chunk.begun", "begun")
        if begun == 2:
            yield look("result")
    return worker, host


@test("stop=21 item=0")
def divided():
    """A chunk that runs is shortened while its worker begins a row: each item is one worker's. (stop: end and row.)"""
    def worker():
        stop = yield R("worker_take_row chunk.stop", "stop")
        if stop == 21:
            found = yield C("worker_take_row chunk.stop", "stop", 21, 22)
            if found == 21:
                yield put("item", 1)

    def host():
        stop = yield R("map_shorten chunk.stop", "stop")
        if stop == 21:
            found = yield C("map_shorten chunk.stop", "stop", 21, 11)
            if found == 21:
                yield put("item", 2)  # by another worker
    return worker, host


# ---- threads of the host ----
@test("status=0 result=0")
def status():
    """A future's status is looked at without the lock."""
    def settler():
        yield put("result", 1)
        yield W("host_settle future.status", "status", 1)

    def other():
        status = yield R("future_status future.status", "status")
        if status != 0:
            yield look("result")
    return settler, other


@test("inside=0 magic=1 pool=1", x86=True)
def freed():
    """procpool_interrupt takes no lock: procpool_free waits for it, or it finds that the pool is freed."""
    def caller():
        yield X("interrupt host.life.interrupting", "add", "inside", plus)
        magic = yield R("host_check host.magic", "magic")
        if magic != 0:
            yield look("pool")
        yield X("interrupt host.life.interrupting", "sub", "inside", lambda inside: inside - 1)

    def other():
        yield W("free_wait_alone host.magic", "magic", 0)
        inside = yield R("free_wait_alone host.life.interrupting", "inside")
        if inside == 0:
            yield put("pool", 0)
    return caller, other


# ---- the checker itself: tests whose outcome is known ----
def known():
    """Pairs of (what it is, whether it may happen, threads, start)."""
    def buffering(order):
        def one():
            yield store("x", order, 1)
            y = yield load("y", order)
            yield store("a", RLX, 1 + y)

        def other():
            yield store("y", order, 1)
            x = yield load("x", order)
            yield store("b", RLX, 1 + x)
        return (one, other), lambda v: (v["a"], v["b"]) == (1, 1)

    def message(writes, reads):
        def one():
            yield store("x", RLX, 1)
            yield store("y", writes, 1)

        def other():
            y = yield load("y", reads)
            x = yield load("x", RLX)
            yield store("a", RLX, 1 + y)
            yield store("b", RLX, 1 + x)
        return (one, other), lambda v: (v["a"], v["b"]) == (2, 1)

    def loads_first():
        def one():
            x = yield load("x", RLX)
            yield store("y", RLX, 1)
            yield store("a", RLX, 1 + x)

        def other():
            y = yield load("y", RLX)
            yield store("x", RLX, 1)
            yield store("b", RLX, 1 + y)
        return (one, other), lambda v: (v["a"], v["b"]) == (2, 2)

    def independent(reads):
        def writer(location):
            def thread():
                yield store(location, SC, 1)
            return thread

        def reader(first, second, result):
            def thread():
                one = yield load(first, reads)
                other = yield load(second, reads)
                yield store(result, RLX, 1 + one - other)
            return thread
        return (writer("x"), writer("y"), reader("x", "y", "a"), reader("y", "x", "b")), lambda v: (v["a"], v["b"]) == (2, 2)

    def twice(order):
        def thread(first, second):
            def run():
                yield store(first, order, 1)
                yield store(second, order, 2)
            return run
        return (thread("x", "y"), thread("y", "x")), lambda v: (v["x"], v["y"]) == (1, 1)

    def coherence():
        def writer():
            yield store("x", RLX, 1)
            yield store("x", RLX, 2)

        def reader():
            one = yield load("x", RLX)
            other = yield load("x", RLX)
            yield store("a", RLX, 1 + one - other)
        return (writer, reader), lambda v: v["a"] > 1

    def counter():
        def thread():
            yield rmw("x", RLX, plus)
        return (thread, thread), lambda v: v["x"] != 2

    def mixed(last):
        """Z6.U of the paper on RC11: a release store between two seq_cst accesses breaks their order."""
        def one():
            yield store("x", SC, 1)
            yield store("y", REL, 1)

        def two():
            y = yield rmw("y", last, plus)
            z = yield load("z", RLX)
            yield store("a", RLX, 1 + y)
            yield store("b", RLX, 1 + z)

        def three():
            yield store("z", SC, 1)
            x = yield load("x", SC)
            yield store("c", RLX, 1 + x)
        return (one, two, three), lambda v: (v["a"], v["b"], v["c"]) == (2, 1, 1)

    def sequence(link):
        """A release sequence: a read-modify-write carries on what was released, a store does not."""
        def one():
            yield store("x", RLX, 1)
            yield store("y", REL, 1)
            if link == "store":
                yield store("y", RLX, 2)

        def two():
            if link == "rmw":
                y = yield rmw("y", RLX, lambda y: y * 2)
                assert y is not None

        def three():
            y = yield load("y", ACQ)
            x = yield load("x", RLX)
            yield store("a", RLX, 1 + y)
            yield store("b", RLX, 1 + x)
        return (one, two, three), lambda v: (v["a"], v["b"]) == (3, 1)

    yield "store buffering, seq_cst", False, False, buffering(SC)
    yield "store buffering, relaxed", True, False, buffering(RLX)
    yield "store buffering, x86, plain stores", True, True, buffering(REL)
    yield "store buffering, x86, locked stores", False, True, buffering(SC)
    yield "message, release and acquire", False, False, message(REL, ACQ)
    yield "message, release alone", True, False, message(REL, RLX)
    yield "message, acquire alone", True, False, message(RLX, ACQ)
    yield "message, x86", False, True, message(RLX, RLX)
    yield "load buffering", False, False, loads_first()
    yield "independent reads, seq_cst", False, False, independent(SC)
    yield "independent reads, acquire", True, False, independent(ACQ)
    yield "independent reads, x86", False, True, independent(RLX)
    yield "two writes twice, seq_cst", False, False, twice(SC)
    yield "two writes twice, release", True, False, twice(REL)
    yield "two writes twice, x86", False, True, twice(REL)
    yield "coherence of reads", False, False, coherence()
    yield "two that count", False, False, counter()
    yield "seq_cst by way of release", True, False, mixed(ACQ_REL)
    yield "release sequence of a read-modify-write", False, False, sequence("rmw")
    yield "release sequence of a store", True, False, sequence("store")


def engine():
    fine = True
    for name, may, tso, (threads, sight) in known():
        start = {"x": 0, "y": 0, "z": 0, "a": 0, "b": 0, "c": 0}
        search = Search(threads, start, tso=tso, final=lambda values, sight=sight: not sight(values))
        seen = search.run() is not None
        print("%s: %s, %s" % (name, "may happen" if may else "may not", "right" if seen == may else "WRONG"))
        fine = fine and seen == may
    return fine


# ---- the command ----
# The strongest orders that are not as strong.
WEAKER = {SC: [ACQ_REL], ACQ_REL: [ACQ, REL], ACQ: [REL], REL: [ACQ], RLX: [PLAIN]}


def allowed(operation, order):
    """What is left of an order where an access of this kind cannot have it all."""
    if operation == "load":
        return {ACQ_REL: ACQ, REL: RLX}.get(order, order)
    if operation == "store":
        return {ACQ_REL: REL, ACQ: RLX}.get(order, order)
    return order


def read_orders(path):
    for line in open(path, encoding="utf-8"):
        if line.startswith("#") or not line.strip():
            continue
        field, function, operation, order, notes = (line.split(None, 4) + [""])[:5]
        key = (function, field, operation)
        ORDERS[key] = order if key not in ORDERS else max(order, ORDERS[key], key=strength)
        NOTES.setdefault(key, {})
        for note in notes.split():
            name, _, least_order = note.partition(":")
            if least_order not in (RLX, ACQ, REL, ACQ_REL, SC):
                continue
            if name not in TESTS:
                raise SystemExit("orders.txt: there is no test %s" % name)
            NOTES[key][name] = least_order


def strength(order):
    return ["plain", RLX, ACQ, REL, ACQ_REL, "before_cas", SC].index(order)


def outcome(name, tso=False):
    threads, start, _ = TESTS[name]
    X86[0] = tso
    search = Search(threads(), start, tso=tso)
    wrong = search.run()
    X86[0] = False
    return wrong, search


def holds(name):
    for tso in (False, True) if TESTS[name][2] else (False,):
        begin = time.time()
        wrong, search = outcome(name, tso)
        print("%s%s: %s, %d executions, %d steps, %.2f s" % (name, " (x86)" if tso else "", "WRONG" if wrong else "holds",
                                                           search.executions, search.steps, time.time() - begin))
        if wrong or search.executions == 0:
            print(wrong)
            return False
    return True


def needs(name, key):
    """With any order that is not as strong as the note says, the test fails."""
    fine = True
    for weaker in sorted(set(allowed(key[2], w) for w in WEAKER[NOTES[key][name]])):
        CHANGED[key] = weaker
        wrong, search = outcome(name)
        print("%s with %s %s %s %s: %s, %d steps" % ((name,) + key + (weaker, "found" if wrong else "NOT FOUND", search.steps)))
        if wrong:
            print(wrong)
        fine = fine and wrong is not None
        CHANGED.clear()
    return fine


def least(name):
    """For each access of a test the weakest orders with which it holds."""
    USED.clear()
    wrong, _ = outcome(name)
    if wrong:
        print("%s does not hold" % name)
        return
    for key in sorted(USED):
        given = order_of("%s %s" % key[:2], key[2])
        found = given
        for weaker in (PLAIN, RLX, ACQ, REL, ACQ_REL):
            if weaker == PLAIN and key[2] not in ("load", "store"):
                continue
            if allowed(key[2], weaker) != weaker or strength(weaker) >= strength(given):
                continue
            CHANGED[key] = weaker
            wrong, _ = outcome(name)
            CHANGED.clear()
            if not wrong:
                found = weaker
                break
        print("%s %s %s %s %s:%s" % (key[1], key[0], key[2], given, name, found))


def jobs():
    for name in TESTS:
        yield "holds", name, None
    for key in sorted(NOTES):
        for name in sorted(NOTES[key]):
            if NOTES[key][name] != RLX or key[2] in ("load", "store"):
                yield "needs", name, key


def main():
    if len(sys.argv) < 3:
        raise SystemExit(__doc__)
    what, rest_of = sys.argv[1], sys.argv[3:]
    read_orders(sys.argv[2])
    fine = True
    if what == "engine":
        fine = engine()
    elif what == "list":
        for kind, name, key in jobs():
            print(kind, name, *(key or ()))
    elif what == "holds":
        for name in rest_of or TESTS:
            fine = holds(name) and fine
    elif what == "needs":
        fine = needs(rest_of[0], tuple(rest_of[1:4]))
    elif what == "least":
        for name in rest_of or TESTS:
            least(name)
    elif what in ("all", "needed"):
        for kind, name, key in jobs():
            if what == "needed" and kind == "holds":
                continue
            if not (holds(name) if kind == "holds" else needs(name, key)):
                print("FAILED: %s %s %s" % (kind, name, key or ""))
                fine = False
    else:
        raise SystemExit(__doc__)
    return not fine


if __name__ == "__main__":
    sys.exit(main())
