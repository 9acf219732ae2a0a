#!/bin/sh
# The programs that users see, as test cases: examples, the first program, the programs and commands of README.md. Also one
# program (machine.c) for machines and instruments that the suite itself is not built for each time, and what of model.sh and
# lint.sh takes seconds and has a row in rows.txt.
#   programs.sh list BUILD          prints cases for the runner: NAME LIMIT COMMAND
#   programs.sh CASE BUILD [NAME]   runs one of them; exit status 77 means skipped
set -eu
tests=$(cd "$(dirname "$0")" && pwd)
root=$(dirname "$tests")
what=$1
build=$2
CC=${CC:-cc}
CXX=${CXX:-c++}
strict="-Wall -Wextra -Werror -std=c11"
strict_cxx="-Wall -Wextra -Werror -std=c++11"

skip() {
  echo "$1"
  exit 77
}

# A folder as a user has it: empty, and what is named copied into it.
fresh() {
  rm -rf "${build:?}/$1"
  mkdir -p "$build/$1"
  cd "$build/$1"
}

# The number-th block of README.md that is fenced with the language.
block() {
  awk -v fence='```'"$1" -v number="$2" '
    $0 == fence { seen++; if (seen == number) { inside = 1; next } }
    inside && /^```/ { exit }
    inside { print }' "$root/README.md"
}

blocks() {
  grep -cx '```'"$1" "$root/README.md" || true
}

# The text block that follows the number-th C block directly (only blank lines and a sh block between), if there is one.
output_of_block() {
  awk -v number="$1" '
    $0 == "```c" { seen++; next }
    seen == number && $0 == "```text" { inside = 1; next }
    inside && /^```/ { exit }
    inside { print }' "$root/README.md"
}

arguments_of() {
  case $1 in
  pwc) echo LICENSE examples/quickstart.expected ;;
  sleeping) echo 8 ;;
  mandelbrot) echo mandelbrot.ppm 640 480 ;;
  converter) echo '*.png' ;;
  esac
}

# What an example's arguments name. Of 1000 pictures one is too wide for a JPEG, one is cut, one is a pipe that nobody
# writes into.
input_of() {
  [ "$1" = converter ] || return 0
  echo iVBORw0KGgoAAAANSUhEUgAAACAAAAAgAQAAAABbAUdZAAAADElEQVR42mNgGNwAAACgAAGO+7G0AAAAAElFTkSuQmCC |
    base64 -d >picture
  # shellcheck disable=SC2016
  seq -f %04g.png 0 1999 | xargs -n 500 sh -c 'tee "$@" <picture >/dev/null' sh
  echo iVBORw0KGgoAAAANSUhEUgAA/90AAAABAQAAAABoeAVJAAAAH0lEQVR42u3BAQ0AAADCoPdPbQ43oAAAAAAAAACAawMf/QABuNkriQAAAABJRU5ErkJggg== |
    base64 -d | tee 0100.png >1100.png
  head -c 50 picture | tee 0200.png >1200.png
  rm 0300.png 1300.png
  mkfifo 0300.png 1300.png
}

# The commands that the first comment of an example gives, as far as they compile. (cc, or c++ for C++.)
build_lines_of() {
  sed -n '1,/\*\//s/^ \* *\(c[c+][c+]* .*\)$/\1/p' "$root/examples/$1".c* | sed 's/ *&&.*//; s/ *\*\/$//'
}

# An example is a program of its own, or a module for the Lua script beside it. It is skipped where a library is absent.
example() {
  lines=$(build_lines_of "$1")
  [ -n "$lines" ] || { echo "example $1: no line ' *   cc ...' in its first comment"; exit 1; }
  fresh "example_$1"
  cp -R "$root/procpool.h" "$root/LICENSE" "$root/examples" .
  echo "$lines" | tee build_lines
  echo 'int main(void) { return 0; }' >nothing.c
  libraries=$(grep -o -e ' -l[^ ]*' build_lines || true)
  for library in $libraries; do
    $CC -o nothing nothing.c "$library" 2>/dev/null || skip "$library is not installed"
  done
  while IFS= read -r line; do
    line=$(echo "$line" | sed 's/ -O2 / -O1 /') # it takes two thirds of the time
    case $line in
    c++*)
      command -v "$CXX" >/dev/null 2>&1 || skip "no C++ compiler ($CXX)"
      eval "$CXX $strict_cxx ${line#c++ }"
      ;;
    *) eval "$CC $strict ${line#cc }" ;;
    esac
  done <build_lines
  if [ -f "$root/examples/$1.lua" ]; then
    command -v lua5.4 >/dev/null 2>&1 || skip "lua5.4 is not installed"
    PROCPOOL_WORKERS=2 lua5.4 "examples/$1.lua" >output
  else
    input_of "$1"
    # shellcheck disable=SC2046
    SDL_VIDEODRIVER=dummy PROCPOOL_WORKERS=2 "./$1" $(arguments_of "$1") >output
  fi
  "$build/run" --match "$root/examples/$1.expected" output
}

# Lines, words and bytes of real files, beside a serial count.
pwc_agrees() {
  fresh pwc_agrees
  cp "$root/procpool.h" .
  cp -R "$root/examples" .
  $CC -O1 -pthread -o pwc examples/pwc.c
  for directory in /usr/include "$root/examples"; do
    [ -d "$directory" ] || continue
    find "$directory" -type f | LC_ALL=C sort | "$build/count" >serial
    ./pwc "$directory" | sed 's/^ *//; s/  */ /g' >parallel
    cmp serial parallel
    find "$directory" -type f -print0 | xargs -0 cat | wc -lc | awk '{ print $1, $2 }' >lines_and_bytes
    tail -n 1 parallel | awk '{ print $1, $3 }' | cmp - lines_and_bytes
    tail -n 1 parallel
  done
}

# The program at the head of the header, in an empty folder with nothing but procpool.h.
first_program() {
  fresh first_program
  cp "$root/procpool.h" .
  awk '/Save this as quickstart.c/ { found = 1; next }
       found && /^   Then:/ { exit }
       found && /^       / { sub(/^       /, ""); print; next }
       found { print "" }' procpool.h >quickstart.c
  command=$(sed -n 's/^   Then: *\(cc .*\)$/\1/p' procpool.h | head -n 1)
  sed -n 's/^   prints: *//p' procpool.h | head -n 1 >expected
  [ -n "$command" ] && [ -s expected ] && [ -s quickstart.c ]
  eval "$CC $strict ${command#cc }" >output
  cmp expected output
  lines=$(grep -c . quickstart.c)
  [ "$lines" -le 20 ] || { echo "$lines lines: the first program has at most 20"; exit 1; }
}

readme_program() {
  fresh "readme_program_$1"
  cp "$root/procpool.h" .
  block c "$1" >program.c
  output_of_block "$1" >expected
  if ! grep -q 'int main' program.c; then
    skip "block $1 of README.md is no whole program"
  fi
  # shellcheck disable=SC2086
  $CC $strict -O1 -pthread -o program program.c
  PROCPOOL_WORKERS=2 ./program >output
  if [ -s expected ]; then
    cmp expected output || { cat output; exit 1; }
  fi
}

# C libraries before glibc 2.34 have their threads in a library of their own: who copies a command must not meet that.
commands_say_pthread() {
  # shellcheck disable=SC2016
  commands=$(grep -nE '(^|[ *`])c(c|[+][+]) -[^`]*\.c' "$root/README.md" "$root/procpool.h" "$root"/examples/*.c*)
  ! echo "$commands" | grep -v -e '-pthread'
}

# Every line of the sh blocks. What make -C tests itself would start again is only looked at.
readme_command() {
  fresh "readme_command_$1"
  cp -R "$root/procpool.h" "$root/LICENSE" "$root/README.md" "$root/examples" .
  block c 1 >quickstart.c
  number=0
  block_number=1
  while [ "$block_number" -le "$(blocks sh)" ]; do
    block sh "$block_number" >commands
    while IFS= read -r line; do
      number=$((number + 1))
      [ "$number" = "$1" ] || continue
      echo "$line"
      case $line in
      "make -C tests"*) # without its comment, which would hide what is added
        (cd "$root" && eval "${line%% #*} --dry-run") >/dev/null
        ;;
      "cc "*) eval "$CC ${line#cc }" >output ;;
      *) eval "$line" >output ;;
      esac
    done <commands
    block_number=$((block_number + 1))
  done
}

# machine NAME COMPILER OPTION...: builds machine.c so and runs it; skipped where the compiler cannot build even nothing so.
machine() {
  fresh "machine_$1"
  shift
  echo 'int main(void) { return 0; }' >nothing.c
  command -v "$1" >/dev/null 2>&1 || skip "$1 is not installed"
  { "$@" -o nothing nothing.c -pthread 2>/dev/null && ./nothing; } || skip "$* builds no program that runs here"
  "$@" -std=gnu11 -Wall -Wextra -Werror -o machine "$tests/machine.c" -pthread
  ./machine
}

# released COMPILER: AddressSanitizer reports a future that is used after f_result, and says which call gave it back.
released() {
  fresh "released_$1"
  echo 'int main(void) { return 0; }' >nothing.c
  command -v "$1" >/dev/null 2>&1 || skip "$1 is not installed"
  { "$1" -fsanitize=address -o nothing nothing.c 2>/dev/null && ./nothing; } || skip "$1 has no AddressSanitizer"
  cat >program.c <<'END'
#define PROCPOOL_IMPLEMENTATION
#include "procpool.h"
PROCPOOL_FUNCTION(int, twice, int, x) {
  return 2 * x;
}
int main(void) {
  PROCPOOL_WITH(pool, NULL) {
    int y = 0;
    procpool_future *f = twice_submit(pool, 1);
    if (twice_result(f, &y) != PROCPOOL_OK || y != 2)
      return 2;
    return procpool_future_done(f);
  }
  return 3;
}
END
  "$1" -O1 -g -fno-omit-frame-pointer -fsanitize=address -I "$root" -o program program.c -pthread
  ! ./program 2>message || { echo "nothing was reported"; exit 1; }
  if ! grep -q 'heap-use-after-free' message || ! grep -q 'in twice_result' message; then
    cat message
    exit 1
  fi
}

# mistakes COMPILER [OPTION...]: what users get wrong must not compile, and the message says what was meant: a file's
# first comments give it, for C and, where it is another one, for C++.
mistakes() {
  command -v "$1" >/dev/null 2>&1 || skip "$1 is not installed"
  fresh "mistakes_$1"
  case $1 in
  *++) marks="expect c++:|expect:" dialect="-x c++ -std=c++11" ;;
  *) marks="expect:" dialect="-std=c99" ;;
  esac
  for file in "$tests"/mistakes/*.c; do
    expected=$(grep -E "^// ($(echo "$marks" | sed 's/+/[+]/g'))" "$file" | tail -n 1 | sed 's/^[^:]*: //')
    [ -n "$expected" ] || { echo "$file: no comment '// expect: ...'"; exit 1; }
    # shellcheck disable=SC2086
    if "$@" $dialect -Wall -Wextra -Werror -c -o object.o "$file" 2>message; then
      echo "$file: it compiles"
      exit 1
    fi
    grep -Eq "error: .*$expected|$expected.*error" message || { echo "$file: no '$expected' in"; cat message; exit 1; }
  done
}

# What the linker says where no file of a program has the implementation, or two have: README.md explains both.
mistakes_linked() {
  fresh mistakes_linked
  cp "$root/procpool.h" .
  block c 1 >two.c
  sed 1d two.c >user.c
  printf '#define PROCPOOL_IMPLEMENTATION\n#include "procpool.h"\n' >impl.c
  $CC -O0 -w -pthread -o user user.c impl.c
  ! $CC -O0 -w -pthread -o user user.c 2>message || exit 1
  grep -q 'undefined \(reference to\|symbol:\) .*procpool_open_checked' message || { cat message; exit 1; }
  ! $CC -O0 -w -pthread -o user two.c impl.c 2>message || exit 1
  grep -q '\(multiple definition of\|duplicate symbol:\) .*procpool_' message || { cat message; exit 1; }
  for words in 'undefined reference to .procpool_' 'multiple definition of .procpool_'; do
    grep -q "$words" "$root/README.md" || { echo "README.md does not explain: $words"; exit 1; }
  done
}

# macros COMPILER: macros.c in each dialect, with the warnings that users of headers turn on.
macros() {
  command -v "$1" >/dev/null 2>&1 || skip "$1 is not installed"
  fresh "macros_$1"
  warn="-Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wsign-conversion -Wcast-qual -Wundef -Werror"
  case $1 in
  *++) dialects="c++11 c++17 c++20" warn="$warn -x c++ -Wold-style-cast -Wzero-as-null-pointer-constant" ;;
  *) dialects="c99 c11 c2x" warn="$warn -Wmissing-prototypes -Wstrict-prototypes" ;;
  esac
  [ "$1" != g++ ] || warn="$warn -Wuseless-cast"
  for dialect in $dialects; do
    for level in -O0 -O2; do
      # shellcheck disable=SC2086
      "$1" $warn "-std=$dialect" $level -c -o macros.o "$tests/macros.c"
    done
  done
}

# The options where the headers of i386 are those of x86-64: gcc-multilib's link to them excludes cross compilers.
bits32="-m32 -isystem /usr/include/x86_64-linux-gnu"
time64="-D_TIME_BITS=64 -D_FILE_OFFSET_BITS=64"

machines() {
  echo "r151_machine_as_it_is 180 sh '$tests/programs.sh' machine '$1' own $CC -O1"
  echo "r151_pages_of_64_kib_odd_malloc 180 sh '$tests/programs.sh' machine '$1' other $CC -O1 -DMACHINE_OTHER"
  echo "r151_i386_gcc 180 sh '$tests/programs.sh' machine '$1' i386_gcc gcc $bits32 -O0"
  echo "r151_i386_gcc_time64 180 sh '$tests/programs.sh' machine '$1' i386_gcc_time64 gcc $bits32 $time64 -O1"
  echo "r151_i386_clang 180 sh '$tests/programs.sh' machine '$1' i386_clang clang $bits32 -O1"
  echo "r151_i386_clang_time64 180 sh '$tests/programs.sh' machine '$1' i386_clang_time64 clang $bits32 $time64 -O1"
  for compiler in gcc clang; do
    echo "released_$compiler 120 sh '$tests/programs.sh' released '$1' $compiler"
    echo "r153_thread_$compiler 240 sh '$tests/programs.sh' machine '$1' tsan_$compiler $compiler -O0 -g -fsanitize=thread"
    echo "r153_address_undefined_$compiler 240 sh '$tests/programs.sh' machine '$1' asan_$compiler $compiler -O0 -g -fsanitize=address,undefined"
  done
}

list() {
  machines "$build"
  for file in "$root"/examples/*.c "$root"/examples/*.cc; do
    name=$(basename "${file%.c*}")
    echo "example_$name 60 sh '$tests/programs.sh' example '$build' $name"
  done
  echo "example_pwc_agrees_with_a_serial_count 120 sh '$tests/programs.sh' pwc_agrees '$build'"
  echo "commands_say_pthread 20 sh '$tests/programs.sh' commands_say_pthread '$build'"
  echo "r154_the_list_of_orders_is_the_headers 60 sh '$tests/lint.sh' orders '$build'"
  echo "r154_the_protocol_holds_under_the_languages_model 120 sh '$tests/model.sh' litmus '$build' holds"
  echo "r154_each_order_that_is_needed_is_missed 120 sh '$tests/model.sh' litmus '$build' needed"
  echo "r154_the_checker_agrees_with_known_tests 60 sh '$tests/model.sh' litmus '$build' engine"
  echo "header_first_program 60 sh '$tests/programs.sh' first_program '$build'"
  [ ! -f "$root/README.md" ] || echo "mistakes_linked 120 sh '$tests/programs.sh' mistakes_linked '$build'"
  for compiler in gcc clang g++ clang++; do
    echo "mistakes_$compiler 120 sh '$tests/programs.sh' mistakes '$build' $compiler"
    echo "macros_$compiler 120 sh '$tests/programs.sh' macros '$build' $compiler"
  done
  [ -f "$root/README.md" ] || return 0
  number=1
  while [ "$number" -le "$(blocks c)" ]; do
    echo "readme_program_$number 60 sh '$tests/programs.sh' readme_program '$build' $number"
    number=$((number + 1))
  done
  commands=0
  number=1
  while [ "$number" -le "$(blocks sh)" ]; do
    commands=$((commands + $(block sh "$number" | wc -l)))
    number=$((number + 1))
  done
  number=1
  while [ "$number" -le "$commands" ]; do
    echo "readme_command_$number 120 sh '$tests/programs.sh' readme_command '$build' $number"
    number=$((number + 1))
  done
}

shift 2
"$what" "$@"
