#!/bin/sh
# What is read rather than run, as test cases for the runner:
#   lint.sh list_format BUILD | list_lint BUILD    prints cases: NAME LIMIT COMMAND
#   lint.sh CASE BUILD ...                         runs one of them; exit status 77 means skipped
set -eu
tests=$(cd "$(dirname "$0")" && pwd)
root=$(dirname "$tests")
what=$1
build=$2
CC=${CC:-cc}

need() {
  command -v "$1" >/dev/null 2>&1 || {
    echo "$1 is not installed"
    exit 77
  }
}

sources() {
  (cd "$root" && find . -path ./tests/build -prune -o \( -name '*.h' -o -name '*.c' -o -name '*.cc' \) -print | sed 's/^\.\///' |
    LC_ALL=C sort)
}

list_format() {
  sources | while IFS= read -r file; do
    echo "format_$file 60 sh '$tests/lint.sh' formatted '$build' '$root/$file'"
  done
}

formatted() {
  need clang-format
  clang-format --dry-run -Werror "$1"
}

list_lint() {
  for name in run_cppcheck clang_tidy state symbols function_length left_open top_level shell orders seam; do
    echo "lint_${name#run_} 300 sh '$tests/lint.sh' $name '$build'"
  done
}

one_file() {
  mkdir -p "$build/lint"
  printf '#define PROCPOOL_IMPLEMENTATION\n#include "%s/procpool.h"\n' "$root" >"$build/lint/$1"
}

# One configuration, as GCC on Linux has it: system headers are not read. The frames of waiting threads lie on their stacks
# and are taken off the list before these return (autoVariables; clang-tidy looks at this with more insight).
run_cppcheck() {
  need cppcheck
  cppcheck --quiet --language=c --std=c11 --enable=warning,performance,portability --inline-suppr \
    --error-exitcode=1 --suppress=missingIncludeSystem --suppress=autoVariables -U__cplusplus -DPROCPOOL_IMPLEMENTATION \
    -D__linux__=1 -D__GNUC__=12 -D__x86_64__=1 -D__GLIBC__=2 -D__GCC_ATOMIC_LLONG_LOCK_FREE=2 -D_DEFAULT_SOURCE=1 \
    -DMAP_ANONYMOUS=32 -DCLOCK_MONOTONIC=1 -DSYS_close_range=436 -DSYS_pidfd_open=434 "$root/procpool.h"
}

# Without what a pool in C cannot do without, or what is a matter of taste: sizes and signs have warnings of their own.
clang_tidy() {
  need clang-tidy
  one_file tidy.c
  checks='-*,bugprone-*,clang-analyzer-*,cert-*,misc-*,performance-*,portability-*'
  checks="$checks,-bugprone-easily-swappable-parameters,-bugprone-reserved-identifier,-cert-dcl37-c,-cert-dcl51-cpp"
  checks="$checks,-clang-analyzer-security.insecureAPI.DeprecatedOrUnsafeBufferHandling,-bugprone-narrowing-conversions"
  checks="$checks,-cert-err33-c,-cert-dcl03-c,-misc-static-assert,-bugprone-assignment-in-if-condition,-misc-no-recursion"
  checks="$checks,-bugprone-macro-parentheses,-misc-unused-parameters,-cert-env33-c,-cert-msc30-c,-cert-msc50-cpp"
  checks="$checks,-clang-analyzer-optin.performance.Padding,-bugprone-sizeof-expression,-cert-err34-c"
  checks="$checks,-bugprone-misplaced-widening-cast"
  clang-tidy --quiet --checks="$checks" --warnings-as-errors='*' --header-filter='procpool\.h' "$build/lint/tidy.c" -- \
    -std=c11 -D_DEFAULT_SOURCE 2>&1
}

object() {
  one_file "$1.c"
  "$CC" -std=c11 -O2 -c -o "$build/lint/$1.o" "$build/lint/$1.c"
}

# No mutable file-scope state but what the header documents: what concerns the process, and what a thread was told last.
state() {
  need nm
  object state
  nm "$build/lint/state.o" | awk '$2 ~ /^[bBdDcC]$/ && $3 !~ /^procpool__(process_record|thread_last|thread_worker)$/ { print; found = 1 } END { exit found }'
}

symbols() {
  need nm
  object symbols
  nm -g --defined-only "$build/lint/symbols.o" | awk '$3 !~ /^procpool_/ { print; found = 1 } END { exit found }'
}

# From the first line of a function to its closing brace: median at most 10, nine of ten at most 35, none over 80.
function_length() {
  awk '
    /^#/ || /^\/\*/ || /^ \*/ { directive = /\\$/; next }
    directive { directive = /\\$/; next }
    !inside && /^[A-Za-z_][^;=]*\(/ && !/^(typedef|struct|enum|union|extern)/ { begin = NR; name = $0 }
    !inside && begin && /;$/ { begin = 0 }
    !inside && begin && /\{$/ { inside = 1 }
    inside && /^}/ { print NR - begin + 1, name; inside = 0; begin = 0 }
    !inside && begin && /\}$/ && NR == begin { print 1, name; begin = 0 }
  ' "$root/procpool.h" | sort -n >"$build/lint.lengths"
  awk '
    { length_of[NR] = $1; name[NR] = $0 }
    END {
      median = length_of[int((NR + 1) / 2)]
      most = length_of[int(NR * 0.9)]
      printf "%d functions: median %d lines, nine of ten at most %d, longest %d\n", NR, median, most, length_of[NR]
      for (i = NR; i > NR - 5 && i > 0; i--)
        print "  " name[i]
      exit !(NR > 50 && median <= 10 && most <= 35 && length_of[NR] <= 80)
    }' "$build/lint.lengths"
}

left_open() {
  words='TO''DO|FIX''ME|\bXX''X\b|HA''CK' # a template of mkstemp has more of the third
  found=0
  for path in procpool.h README.md examples tests; do
    [ -e "$root/$path" ] || continue
    if grep -rnE --exclude-dir=build "$words" "$root/$path"; then
      found=1
    fi
  done
  return $found
}

top_level() {
  (cd "$root" && ls -A) | grep -vxE 'procpool\.h|tests|examples|LICENSE|README\.md|pwc|\..*' && exit 1
  exit 0
}

# The list of shared accesses and their orders is the header's.
orders() {
  need python3
  PYTHONDONTWRITEBYTECODE=1 python3 "$tests/orders.py" check "$root/procpool.h" "$tests/orders.txt"
}

# The parts above the platform name nothing of the system's but what the header's table of the seam lists.
seam() {
  need python3
  folder=$build/lint/seam
  rm -rf "$folder"
  mkdir -p "$folder"
  PYTHONDONTWRITEBYTECODE=1 python3 "$tests/seam.py" check "$root/procpool.h"
  PYTHONDONTWRITEBYTECODE=1 python3 "$tests/seam.py" write "$root/procpool.h" "$folder"
  "$CC" -std=c99 -ffreestanding -nostdinc -isystem "$("$CC" -print-file-name=include)" -I "$folder/include" -fsyntax-only \
    -Werror=implicit-function-declaration -Werror=int-conversion "$folder/seam.c" 2>"$folder/log" || {
    grep error "$folder/log"
    exit 1
  }
}

shell() {
  for script in "$tests"/*.sh; do
    sh -n "$script"
  done
  bash -n "$root/.ci/run" 2>/dev/null || ! command -v bash >/dev/null
  if command -v shellcheck >/dev/null 2>&1; then
    shellcheck "$tests"/*.sh "$root/.ci/run"
  fi
}

shift 2
"$what" "$@"
