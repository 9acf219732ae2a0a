#!/usr/bin/env python3
"""orders.py - the shared accesses of procpool.h and their memory orders, beside the list in orders.txt.

  orders.py check HEADER LIST     fails where the list is not the header's
  orders.py write HEADER LIST     writes the list anew: lines that stay keep their notes, new ones get a "?" that check refuses

A line of the list: FIELD FUNCTION OPERATION ORDER NOTES. An access is a call of one of the header's wrappers around the __atomic
builtins, or of such a builtin, or a plain look at a field of a struct that lies in shared memory (PLAIN lists those that are
told apart by their name). The order is the wrapper's. NOTES: see the head of orders.txt."""
import re
import sys

# Pointers whose names do not say where they point.
SAME = {
    ("worker_sleep", "mask"): "mask.idle",
    ("worker_move_hint", "head"): "head",
    ("future_want_end", "flags"): "slot.flags",
    ("waiter_tell", "w->several_pools"): "host.several_pools",
    ("item_begin", "begun"): "chunk.begun",
    ("item_row", "word"): "slot.word",
    ("chunk_mark", "marks[item / 4]"): "chunk.marks",
    ("chunk_set_mark", "marks[item / 4]"): "chunk.marks",
    ("item_next", "procpool__begun"): "chunk.begun",
    ("item_next", "procpool__stop"): "chunk.stop",
    ("item_next", "procpool__word"): "slot.word",
    ("sleeper_wake", "s->word"): "sleeper.word",
    ("sleeper_wake_follower", "s->asleep"): "sleeper.asleep",
    ("host_follow_word", "w->asleep"): "sleeper.asleep",
    ("host_follow_word", "w->word"): "sleeper.word",
    ("supervisor_find_exit_list", "place"): "exit_list",
    ("process_begin", "watch"): "watch",
    ("copy_note", "way"): "copying.way",
}
# Fields whose name alone would not say whose they are: by what stands before them.
OWNERS = [(r"^r->", "record."), (r"^in->|inboxes\[", "inbox."), (r"chunk", "chunk."), (r"bundle->", "bundle."),
          (r"answer->", "answer."), (r"exit_record|^e->", "exit_record."), (r"resting", "resting."),
          (r"slot->|slots\[|^shared->", "slot."), (r"block->|blocks\[", "block."), (r"spin->", "spin."),
          (r"^f->|future->", "future."), (r"^c->", "copying."), (r"^p->|pool->|waiter", "host.")]
# Structs in shared memory, and the names that point to one. Plain accesses are looked for in these.
STRUCTS = {"procpool__header": r"(?:header|(?<![\w>.])h)", "procpool__block": r"(?:block|blocks\[[^\]]*\])",
           "procpool__slot": r"(?:slot|slots\[[^\]]*\]|shared)", "procpool__record": r"(?<![\w>.])r",
           "procpool__bundle": r"(?<![\w>.])bundle", "procpool__answer": r"(?<![\w>.])answer",
           "procpool__chunk": r"chunk", "procpool__exit_record": r"(?<![\w>.])e"}
KINDS = {"load": "load", "store": "store", "compare_exchange": "cas", "exchange": "exchange", "fetch_or": "or",
         "fetch_and": "and", "fetch_add": "add", "fetch_sub": "sub", "sub_fetch": "sub", "add_fetch": "add"}
BUILTIN = re.compile(r"__atomic_(load|store|compare_exchange|exchange|fetch_or|fetch_and|fetch_add|fetch_sub|sub_fetch|add_fetch)"
                     r"(?:_n)?\(")


def code_of(text):
    """The text without comments and directives, with as many lines and characters."""
    blank = lambda match: re.sub(r"[^\n]", " ", match.group())
    text = re.sub(r"/\*.*?\*/|//[^\n]*", blank, text, flags=re.S)
    text = re.sub(r'"(?:\\.|[^"\\\n])*"', blank, text)
    return re.sub(r"^[ \t]*#(?:\\\n|[^\n])*", blank, text, flags=re.M)


def functions(code):
    """Name and body of each function."""
    for match in re.finditer(r"^(?:[A-Za-z_][^;{}()]*?)\b(procpool_\w+)\((?:[^;{}])*?\)\s*\{\n(.*?)^\}", code, re.M | re.S):
        yield match.group(1), match.group(2)


def arguments(body, at):
    """The arguments of the call whose parenthesis opens just before at."""
    depth, begin, found = 0, at, []
    for i in range(at, len(body)):
        c = body[i]
        if c in "([{":
            depth += 1
        elif c in ")]}" and depth > 0:
            depth -= 1
        elif c == ")" or (c == "," and depth == 0):
            found.append(" ".join(body[begin:i].split()))
            begin = i + 1
            if c == ")":
                return found, i
    return found, len(body)


def short(name):
    return re.sub(r"^procpool_+", "", name)


def field_of(function, text):
    """What an expression points to, by the field's name."""
    text = text.lstrip("&").strip()
    if (function, text) in SAME:
        return SAME[(function, text)]
    match = re.match(r"procpool__shm_(idle|away|coming|wakes)\(", text)
    if match:
        return "mask." + match.group(1)
    bare = text
    while bare.endswith("]"):
        depth = 0
        for i in range(len(bare) - 1, -1, -1):
            depth += (bare[i] == "]") - (bare[i] == "[")
            if depth == 0:
                bare = bare[:i]
                break
    name = re.split(r"->|\.", bare)[-1]
    if not re.fullmatch(r"\w+", name):
        return re.sub(r"\W+", "_", text)  # SAME may give it a name
    if name == "cells":
        return "cell"
    for pattern, owner in OWNERS:
        if re.search(pattern, text) and not re.search(r"header", text):
            part = re.fullmatch(r"p(?:ool)?->((?:\w+\.)*\w+)", bare) if owner == "host." else None
            return owner + (part.group(1) if part else name)
    return name


def wrappers(code):
    """The functions that hide a builtin behind one line: name to (operation, order)."""
    found = {}
    for name, body in functions(code):
        calls = list(BUILTIN.finditer(body))
        if len(calls) == 1 and "PROCPOOL__STEP();" in body and body.count("\n") <= 4 and "(p, " in body[calls[0].end() - 1:] + "(p, ":
            given, _ = arguments(body, calls[0].end())
            order = [a for a in given if "__ATOMIC_" in a or a.startswith("PROCPOOL__ORDER")]
            if given[0] == "p" and order:
                found[name] = (KINDS[calls[0].group(1)], order_of(order[0]))
    return found


def order_of(text):
    return re.sub(r"__ATOMIC_|PROCPOOL__ORDER_", "", text).lower()


def fields_of(code, struct):
    match = re.search(r"typedef struct %s \{(.*?)\n\}" % struct, code, re.S)
    names = set()
    for line in match.group(1).replace("\n", " ").split(";"):
        line = re.sub(r"\[[^\]]*\]|\b(?:PROCPOOL__ALIGNED|union|unsigned|char|int|u?int\d+_t|procpool__\w+|\{|\})", " ", line)
        names |= set(re.findall(r"\b[a-z]\w*", line))
    return names


def accesses(text):
    code = code_of(text)
    known = wrappers(code)
    plain = {s: (p, fields_of(code, s)) for s, p in STRUCTS.items() if "struct %s {" % s in code}
    call = re.compile(r"\b(%s)\(" % "|".join(sorted(known, key=len, reverse=True)))
    for name, body in functions(code):
        if name in known:
            continue
        spans, function = [], short(name)
        for pattern in (call, BUILTIN):
            for match in pattern.finditer(body):
                given, end = arguments(body, match.end())
                spans.append((match.end(), match.end() + len(given[0]) + 40 if pattern is BUILTIN else match.end() + len(given[0])))
                if pattern is call:
                    operation, order = known[match.group(1)]
                else:
                    operation = KINDS[match.group(1)]
                    order = order_of([a for a in given if "__ATOMIC_" in a][0])
                yield field_of(function, given[0]), function, operation, order
        taken = set()
        for begin, end in spans:
            taken |= set(range(begin, end))
        for struct, (pointer, names) in plain.items():
            for match in re.finditer(pointer + r"(?:->|\.)(\w+)", body):
                before = re.sub(r"(?:[\w.]|->|\[[^\]]*\]|\([^()]*\))*$", "", body[:match.start()]).rstrip()
                if match.group(1) not in names or match.start(1) in taken or re.search(r"(?<!&)&$|sizeof\($|offsetof\($", before):
                    continue
                yield (struct[10:] + "." + match.group(1)).replace("header.", ""), "-", "plain", "plain"


def read_list(path):
    notes, head = {}, []
    for line in open(path, encoding="utf-8"):
        if line.startswith("#") or not line.strip():
            head.append(line)
            continue
        field, function, operation, order, rest = (line.split(None, 4) + [""])[:5]
        notes[(field, function, operation, order)] = rest.strip()
    return notes, head


def main():
    if len(sys.argv) != 4 or sys.argv[1] not in ("check", "write"):
        raise SystemExit(__doc__)
    found = sorted(set(accesses(open(sys.argv[2], encoding="utf-8").read())))
    notes, head = read_list(sys.argv[3])
    if sys.argv[1] == "write":
        spare = {key[:3]: note for key, note in notes.items()}
        with open(sys.argv[3], "w", encoding="utf-8") as out:
            out.writelines(head)
            for key in found:
                out.write("%-24s %-26s %-8s %-10s %s\n" % (key + (notes.get(key) or "? " + spare.get(key[:3], ""),)))
        return 0
    wrong = 0
    for key in found:
        if key not in notes:
            print("not in the list: %s %s %s %s" % key)
            wrong += 1
        elif notes[key].startswith("?") or not notes[key]:
            print("the list does not say why: %s %s %s %s" % key)
            wrong += 1
    for key in sorted(set(notes) - set(found)):
        print("not in the header: %s %s %s %s" % key)
        wrong += 1
    print("%d accesses, %d of them plain" % (len(found), sum(key[3] == "plain" for key in found)))
    if wrong:
        print("Who changes an order touches the list and so the litmus tests: see the head of orders.txt")
    return wrong > 0


if __name__ == "__main__":
    sys.exit(main())
