#!/bin/sh
# Mutants: procpool.h with one thing broken on purpose. A mutant that no check notices tells of a check that cannot fail.
#   mutants.sh list BUILD          prints cases for the runner: NAME LIMIT COMMAND
#   mutants.sh none BUILD          the header as it is: every check that is named by some mutant must pass
#   mutants.sh run BUILD NAME      builds that mutant and runs its checks until one notices
# Both need LINK, FLAGS and OBJECTS from the environment: see tests/Makefile.
#
# Each mutant is a file NNN_name.patch. Its first lines are a comment: what is broken, which law or row that violates, then
#   catches: CASE ...              cases of the runner, each of which notices
#   catches: torture/PROGRAM ...   a torture program with its options
#   shows: EXPRESSION              extended regular expression: a line of the failing check matches, else it failed for
#                                  another reason than it should
#   audit: off                     the host's slow tick, which mends much, is made slower than any check (PROCPOOL__TICK)
#   limit: SECONDS                 for each check, a hang ends there; 20 if not given
# Then a unified diff. What it takes out, with its context or else without, must be in the header exactly once; line numbers
# mean nothing.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
what=$1
build=$2
CC=${CC:-cc}

fail() {
  echo "$*"
  exit 1
}

field() { # FILE NAME: the values of that line, one a line
  sed -n "/^--- /q; s/^# $2: *//p" "$1"
}

names() {
  for file in "$here"/*.patch; do
    basename "$file" .patch
  done
}

list() {
  echo "mutant_none 280 sh '$here/mutants.sh' none '$build'"
  for name in $(names); do
    echo "mutant_${name} 120 sh '$here/mutants.sh' run '$build' $name"
  done
}

# ---- the header ----

apply() { # PATCH HEADER
  awk -v header="$2" '
    function count(text, part,    n, at) {
      while ((at = index(text, part)) > 0) {
        n++
        text = substr(text, at + length(part) - 1)
      }
      return n + 0
    }
    /^@@/ { hunks++; next }
    hunks == 0 { next }
    {
      line = substr($0, 2) "\n"
      if (/^[ -]/) { old[hunks] = old[hunks] line }
      if (/^[ +]/) { new[hunks] = new[hunks] line }
      if (/^ /) {
        if (changed[hunks])
          between[hunks] = between[hunks] line
      } else { # what is between two changes belongs to them
        bare_old[hunks] = bare_old[hunks] between[hunks] (/^-/ ? line : "")
        bare_new[hunks] = bare_new[hunks] between[hunks] (/^[+]/ ? line : "")
        between[hunks] = ""
        changed[hunks] = 1
      }
      next
    }
    END {
      RS = "\001" # all of it at once: line by line takes many seconds
      getline text < header
      text = "\n" text
      for (i = 1; i <= hunks; i++) {
        from = "\n" old[i]
        to = "\n" new[i]
        if (count(text, from) != 1 && bare_old[i] != "") {
          from = "\n" bare_old[i]
          to = "\n" bare_new[i]
        }
        n = count(text, from)
        if (n != 1) {
          printf "hunk %d fits in %d places\n", i, n > "/dev/stderr"
          exit 1
        }
        at = index(text, from)
        text = substr(text, 1, at - 1) to substr(text, at + length(from))
      }
      if (hunks == 0)
        exit 1
      printf "%s", substr(text, 2)
    }' "$1"
}

declarations() {
  sed '/^#ifdef PROCPOOL_IMPLEMENTATION$/q' "$1"
}

# Its own tests/, of links: a file finds the header beside the folder through which it was reached.
prepare() { # DIRECTORY PATCH (or none)
  rm -rf "$1"
  mkdir -p "$1/tests/torture"
  if [ -n "$2" ]; then
    apply "$2" "$root/procpool.h" >"$1/procpool.h" || fail "the patch does not apply: see the head of $here/mutants.sh"
    ! cmp -s "$root/procpool.h" "$1/procpool.h" || fail "the patch changes nothing"
    # the objects of the tests were compiled with the real header
    declarations "$root/procpool.h" >"$1/declarations"
    declarations "$1/procpool.h" | cmp -s - "$1/declarations" || fail "the patch changes declarations"
  else
    cp "$root/procpool.h" "$1/procpool.h"
  fi
  ln -s "$root"/tests/*.h "$root"/tests/impl.c "$1/tests"
  ln -s "$root"/tests/torture/*.[ch] "$1/tests/torture"
  for beside in nodoor plugin.so plugin2.so count leaks; do
    ln -s "$build/$beside" "$1/$beside"
  done
}

# Only what contains the implementation is compiled anew.
quiet() { # DIRECTORY
  [ ! -e "$1/quiet" ] || echo '-DPROCPOOL__TICK=3600000000000u'
}

# -O0: most of the time would go into compiling, and no mutant breaks what only an optimizer makes visible (see model.sh).
compile() { # DIRECTORY OPTIONS...
  at=$1
  shift
  # shellcheck disable=SC2086,SC2046
  "$CC" -std=gnu11 -w $FLAGS -O0 $(quiet "$at") -pthread "$@" || fail "it does not compile: $*"
}

build_run() { # DIRECTORY
  [ ! -e "$1/run" ] || return 0
  compile "$1" -c -o "$1/impl.o" "$1/tests/impl.c"
  linked=$(echo "${OBJECTS:?}" | sed "s|[^ ]*/impl\\.o|$1/impl.o|")
  # shellcheck disable=SC2086,SC2046
  $LINK $FLAGS -rdynamic -o "$1/run" $linked -pthread -ldl -lm || fail "it does not link"
}

build_torture() { # DIRECTORY PROGRAM
  [ ! -e "$1/$2" ] || return 0
  [ -e "$1/rig.o" ] || compile "$1" -c -o "$1/rig.o" "$1/tests/torture/rig.c"
  compile "$1" -rdynamic -o "$1/$2" "$1/tests/torture/$2.c" "$1/rig.o" "$build/torture/harness.o" -ldl -lm
}

# ---- checks ----

checks() { # PATCH ...: one a line, each with its limit before it
  for file in "$@"; do
    limit=$(field "$file" limit)
    field "$file" catches | while IFS= read -r line; do
      case $line in
      torture/*) echo "${limit:-20} $line" ;;
      *) for one in $line; do echo "${limit:-20} $one"; done ;;
      esac
    done
  done
}

build_for() { # DIRECTORY CHECK
  case $2 in
  torture/*)
    program=${2#torture/}
    build_torture "$1" "${program%% *}"
    ;;
  *) build_run "$1" ;;
  esac
}

# Under a minder of its own, which ends by process id all that the check leaves behind. Prints what the runner says.
check() { # DIRECTORY LIMIT CHECK
  case $3 in
  torture/*) echo "mutant.check $2 exec '$1'/${3#torture/}" ;;
  *) echo "mutant.check $2 '$1/run' --case $3; code=\$?; [ \$code = 64 ] || exit \$code" ;; # CASE_PASSED of runner.h
  esac >"$1/case"
  "$build/run" -c "$1/case" mutant.check 2>&1 || true
}

# Without what makes the runner take it for a failure of this case, and without the folder.
plain() { # DIRECTORY
  sed "s/^ *//; s/^\\[in process [0-9]*, not the test's own\\] //; s|$1/||g"
}

verdict() { # what the runner said: ok, skip, FAIL
  sed -n 's/^\(ok\|skip\|FAIL\)  *mutant\.check.*/\1/p' "$1" | head -n 1
}

# Each once, with the longest limit; three times of that, since these must not fail for want of time.
all_checks() { # on | off: the audit
  for file in "$here"/*.patch; do
    audit=$(field "$file" audit)
    [ "${audit:-on}" != "$1" ] || checks "$file"
  done | awk '{ limit = $1; sub(/^[0-9]+ /, ""); if (limit > most[$0]) most[$0] = limit }
    END { for (check in most) print 3 * most[check], check }' | sort -k 2
}

none_with() { # DIRECTORY on | off
  prepare "$1" ""
  [ "$2" = on ] || : >"$1/quiet"
  all_checks "$2" >"$1/checks"
  while read -r limit line; do
    build_for "$1" "$line"
    check "$1" "$limit" "$line" >"$1/log" </dev/null
    echo "$(verdict "$1/log") $line (audit $2)"
    case $(verdict "$1/log") in
    ok | skip) ;;
    *)
      head -n 60 "$1/log"
      bad=1
      ;;
    esac
  done <"$1/checks"
}

none() {
  bad=0
  none_with "$build/mutants/none" on
  none_with "$build/mutants/none_quiet" off
  exit $bad
}

run() {
  directory=$build/mutants/$1
  patch=$here/$1.patch
  shows=$(field "$patch" shows)
  [ -n "$shows" ] || fail "no line shows: in $patch"
  prepare "$directory" "$patch"
  [ "$(field "$patch" audit)" != off ] || : >"$directory/quiet"
  checks "$patch" >"$directory/checks"
  skipped=1
  while read -r limit line; do
    build_for "$directory" "$line"
    check "$directory" "$limit" "$line" >"$directory/log" </dev/null
    case $(verdict "$directory/log") in
    FAIL)
      if grep -qE -e "$shows" "$directory/log"; then
        echo "caught by $line: $(grep -E -e "$shows" "$directory/log" | head -n 1 | plain "$directory")"
        exit 0
      fi
      head -n 30 "$directory/log"
      fail "$line failed, but no line of it matches $shows"
      ;;
    ok) skipped=0 ;;
    skip) ;;
    *)
      cat "$directory/log"
      exit 1
      ;;
    esac
  done <"$directory/checks"
  [ $skipped = 0 ] || exit 77
  fail "survived"
}

shift 2
"$what" "$@"
