#!/usr/bin/env python3
"""seam.py - the parts of procpool.h above the platform, compiled without a system.

  seam.py write HEADER FOLDER    writes FOLDER/seam.c and FOLDER/include: compile with -nostdinc -I FOLDER/include
  seam.py check HEADER           the table in the header names what is used of the parts below >>shm: all of it, nothing else

seam.c holds the declarations, what the parts below >>shm offer (prototypes and types without content; an object of a type
that has content of the system's is opaque), and all that stands from >>shm on, as it is. The headers of POSIX are empty there,
those of the C library have what C99 says. So a name of the system's above the seam does not compile."""
import os
import re
import sys

# What C99 itself offers, as far as the upper parts may use it.
STANDARD = {
    "limits.h": "#define INT_MAX __INT_MAX__\n#define UINT_MAX (2u * INT_MAX + 1)\n#define LONG_MAX __LONG_MAX__\n"
                "#define CHAR_BIT 8\n",
    "string.h": "#include <stddef.h>\nvoid *memcpy(void *, const void *, size_t);\nvoid *memmove(void *, const void *, size_t);\n"
                "void *memset(void *, int, size_t);\nint memcmp(const void *, const void *, size_t);\n"
                "size_t strlen(const char *);\nint strcmp(const char *, const char *);\n",
    "stdlib.h": "#include <stddef.h>\nvoid *malloc(size_t);\nvoid *realloc(void *, size_t);\nvoid free(void *);\n"
                "void abort(void);\nvoid qsort(void *, size_t, size_t, int (*)(const void *, const void *));\n"
                "char *getenv(const char *);\nlong strtol(const char *, char **, int);\n",
    "stdio.h": "#include <stddef.h>\nint snprintf(char *, size_t, const char *, ...);\n"
               "int sscanf(const char *, const char *, ...);\n",
}
OWN = {"stdarg.h", "stddef.h", "stdint.h", "stdbool.h"}  # the compiler's
# What types of the seam hold that is the system's: the parts above see none of it.
SYSTEMS = re.compile(r"\b(?:pthread_\w+|sigset_t|struct (?:pollfd|rlimit|itimerval|sigaction|msghdr))\b")
PARTS = re.compile(r"^/\* ==== >>(\w+) =+$", re.M)


def without(text, pattern, flags=re.S):
    return re.sub(pattern, lambda match: re.sub(r"[^\n]", " ", match.group()), text, flags=flags)


def split(text):
    """The declarations, the parts below the seam, those above it."""
    at = {match.group(1): match.start() for match in PARTS.finditer(text)}
    implementation = text.index("#ifdef PROCPOOL_IMPLEMENTATION\n")
    public = text.rindex("#endif /* PROCPOOL_IMPLEMENTATION_ONCE", 0, at["changes"])
    return text[:implementation], text[at["platform"]:at["shm"]], text[at["shm"]:public]


def types(lower):
    """Each type, enumeration and macro, in order: those that may be read without the system's headers."""
    code = without(lower, r"/\*.*?\*/")
    found = []
    for match in re.finditer(r"^(?:typedef [^;{}]*(?:\{[^{}]*(?:\{[^{}]*\}[^{}]*)*\} \w+)?;|enum \{[^}]*\};) *$", code, re.M):
        found.append((match.start(), match.group().rstrip()))
    for match in re.finditer(r"^#define (PROCPOOL_\w+)(\([^)]*\))?(?:[^\n\\]|\\\n|\\.)*$", code, re.M):
        found.append((match.start(), match.group()))
    defined = {}  # of a macro that a condition decides, one way
    for _, text in sorted(found):
        defined.setdefault(text.split("(")[0].split()[1] if text.startswith("#") else text, text)
    return list(defined.values())


def plain(declaration):
    if declaration.startswith("typedef") and SYSTEMS.search(declaration):
        name = re.search(r"(\w+);$", declaration).group(1)
        return "typedef struct %s { void *opaque; } %s;" % (name, name)
    declaration = re.sub(r"\bPTHREAD_\w+", "{0}", declaration)
    declaration = re.sub(r"\bsigset_t\b", "void", declaration)
    declaration = re.sub(r"\b(?:pid_t|uid_t)\b", "int", declaration)
    declaration = re.sub(r"\bssize_t\b", "ptrdiff_t", declaration)
    if "enum" in declaration:  # the system's numbers are of no interest
        declaration = re.sub(r"= [A-Z]{3,}\b", "", declaration)
    return declaration


def prototypes(lower):
    code = without(lower, r"/\*.*?\*/")
    code = without(code, r"^[ \t]*#(?:[^\n\\]|\\\n|\\.)*", re.M)
    seen = {}
    for match in re.finditer(r"^((?:[A-Za-z_][^;{}()=]*?)\b(procpool__\w+)\((?:[^;{}])*?\))(?=\s*\{\n|;)", code, re.M):
        seen.setdefault(match.group(2), " ".join(plain(match.group(1)).replace("inline ", "").split()) + ";")
    return seen


def used(upper):
    code = without(without(upper, r"/\*.*?\*/"), r'"(?:\\.|[^"\\\n])*"')
    return set(re.findall(r"\bprocpool__\w+\b", code))


def write(header, folder):
    text = open(header).read()
    declarations, lower, upper = split(text)
    include = os.path.join(folder, "include")
    os.makedirs(include, exist_ok=True)
    wanted = used(upper)
    offered = [line for name, line in prototypes(lower).items() if name in wanted]
    types_below = types(lower)
    words = set(re.findall(r"\w+", " ".join([upper] + offered + [t for t in types_below if t.startswith("typedef")])))
    for name in re.findall(r"^[ \t]*#[ \t]*include <([^>]+)>", declarations + lower, re.M):
        if name in OWN:
            continue
        os.makedirs(os.path.dirname(os.path.join(include, name)), exist_ok=True)
        with open(os.path.join(include, name), "w") as out:
            out.write(STANDARD.get(name, "/* nothing of the system's */\n"))
    with open(os.path.join(folder, "seam.c"), "w") as out:
        out.write("#include <limits.h>\n#include <stdlib.h>\n#include <string.h>\n#include <stdio.h>\n" + declarations)
        for declaration in types_below:
            if declaration.startswith("typedef") or words.intersection(re.findall(r"\bprocpool__\w+|\bPROCPOOL_\w+", declaration)):
                out.write(plain(declaration) + "\n")
        out.write("\n".join(offered) + "\n")
        out.write('#line %d "procpool.h"\n' % (text[:text.index(upper)].count("\n") + 1))
        out.write(upper)


def check(header):
    _, lower, upper = split(open(header).read())
    table = re.search(r"/\* ---- the seam ----.*?\*/", lower, re.S)
    if not table:
        sys.exit("there is no table: /* ---- the seam ---- */")
    of_system = table.group().index("\n * Of the system:")
    offered = prototypes(lower)
    names = {}
    for row in re.finditer(r"^ \*   \w+: *(.*(?:\n \*     .*)*)", table.group(), re.M):
        for word in re.findall(r"\b[a-z]\w*\b", row.group(1)):
            long = "procpool__platform_" + word
            names[long if long in offered else "procpool__" + word] = row.start() > of_system
    wanted = {name for name in used(upper) if name in offered}
    for name in sorted(wanted - set(names)):
        print("used above the seam, not in the table: " + name)
    for name in sorted(set(names) - wanted):
        print("in the table, not used above the seam: " + name)
    print("%d calls of the system, %d of the language's" % (sum(names.values()), len(names) - sum(names.values())))
    sys.exit(wanted != set(names))


if len(sys.argv) == 4 and sys.argv[1] == "write":
    write(sys.argv[2], sys.argv[3])
elif len(sys.argv) == 3 and sys.argv[1] == "check":
    check(sys.argv[2])
else:
    sys.exit(__doc__)
