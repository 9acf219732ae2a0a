#!/bin/sh
# Every dialect and compiler, strict warnings, no output at all. As test cases for the runner:
#   matrix.sh list BUILD       prints cases: NAME LIMIT COMMAND
#   matrix.sh notes BUILD      prints runner options that say what is absent
#   matrix.sh CASE BUILD ...   runs one of them
set -eu
tests=$(cd "$(dirname "$0")" && pwd)
root=$(dirname "$tests")
what=$1
work=$2/matrix
warn="-Wall -Wextra -Wpedantic -Wconversion -Wsign-conversion -Wshadow -Wcast-qual -Wundef -Werror"
warn_c="$warn -Wstrict-prototypes -Wmissing-prototypes"

# What a file of a user's program does: nothing but the declarations, and the typed layer.
user='
#include <stdio.h>
struct procpool_test_range { double from, to; };
PROCPOOL_FUNCTION(double, square, double, x) {
  return x * x;
}
PROCPOOL_FUNCTION(double, width, struct procpool_test_range, r) {
  return r.to - r.from;
}
PROCPOOL_FUNCTION(int, difference, int, a, short, b) {
  return a - b;
}
PROCPOOL_FUNCTION(long, product, char, a, short, b, long, c) {
  return (long)a * b * c;
}
PROCPOOL_TASK_FUNCTION(float, risky, float, a, float, b, float, c, float, d) {
  if (d < 0)
    procpool_task_fail(task, 1, "negative");
  return a + b + c + d;
}
int use_the_pool(void);
int use_the_pool(void) {
  double in[3], out[3] = {0, 0, 0}, one = 0;
  int difference = 0;
  procpool_options options;
  in[0] = 1, in[1] = 2, in[2] = 3;
  __builtin_memset(&options, 0, sizeof(options));
  options.max_workers = 2;
  PROCPOOL_WITH(pool, &options) {
    if (square_map(pool, in, out, 3) != PROCPOOL_OK)
      return 1;
    if (square_result(square_submit(pool, 4), &one) != PROCPOOL_OK)
      return 2;
    if (difference_result(difference_submit(pool, 50, 8), &difference) != PROCPOOL_OK)
      return 3;
  }
  printf("%g %g %g %g %d\n", out[0], out[1], out[2], one, difference);
  return out[2] == 9 && difference == 42 ? 0 : 4;
}
'

# Names that users like: of their globals, or of their functions and the arguments of these. None of it may shadow
# anything, nor be hidden by what the macros generate.
names="task count result results options future futures arguments argument iterator generator context pool size row word \
running begun stop limited items item out in end status error timeout value name call function first i j r a e n p x"

# Not task: that is what PROCPOOL_TASK_FUNCTION calls the first argument.
names_as_globals() {
  for name in $names; do
    [ "$name" = task ] || echo "extern int $name;"
  done
  echo "$1"
  for name in $names; do
    [ "$name" = task ] || echo "PROCPOOL_FUNCTION(int, g_$name, int, v) { return v + $name; }"
    [ "$name" = task ] || echo "PROCPOOL_TASK_FUNCTION(int, h_$name, int, v, int, w) { (void)task; return v + w + $name; }"
  done
}

names_as_functions() {
  echo "$1"
  for name in $names; do
    echo "PROCPOOL_FUNCTION(int, $name, int, v_$name) { return v_$name; }"
  done
  echo "PROCPOOL_FUNCTION(const char *, name_of, int, v) { return v > 0 ? \"more\" : \"none\"; }"
  echo "PROCPOOL_FUNCTION(int, length_of, const char *, v) { return v != PROCPOOL_NULL; }"
  echo "PROCPOOL_FUNCTION(int *, place_of, int *, v, const char *, w) { return w != PROCPOOL_NULL ? v : PROCPOOL_NULL; }"
}

names_as_arguments() {
  echo "$1"
  for name in $names; do
    echo "PROCPOOL_FUNCTION(int, one_$name, int, $name) { return $name; }"
    echo "PROCPOOL_FUNCTION(int, two_$name, int, $name, int, other_of_two) { return $name + other_of_two; }"
    [ "$name" = task ] || echo "PROCPOOL_TASK_FUNCTION(int, asks_$name, int, $name) { (void)task; return $name; }"
  done
  echo "int nested_scopes(void);"
  echo "int nested_scopes(void) {"
  echo "  PROCPOOL_WITH(outer, PROCPOOL_NULL) { PROCPOOL_WITH(inner, PROCPOOL_NULL) { return outer != inner; } }"
  echo "  return 0;"
  echo "}"
}

# source NAME TEXT: writes a file, unless it is there with this text (cases run at the same time).
source_file() {
  mkdir -p "$work"
  printf '%s\n' "$2" >"$work/$1.$$"
  mv "$work/$1.$$" "$work/$1"
}

sources() {
  header="#include \"$root/procpool.h\""
  implementation="#define PROCPOOL_IMPLEMENTATION
$header"
  for kind in c cc; do
    source_file "$1_declarations.$kind" "$header
$user"
    source_file "$1_nothing.$kind" "$header
int procpool_test_nothing(void);
int procpool_test_nothing(void) {
  return 0;
}"
    source_file "$1_implementation.$kind" "$implementation"
    source_file "$1_globals.$kind" "$(names_as_globals "$header")"
    source_file "$1_functions.$kind" "$(names_as_functions "$header")"
    source_file "$1_arguments.$kind" "$(names_as_arguments "$header")"
    source_file "$1_static.$kind" "#define PROCPOOL_STATIC
$implementation"
    source_file "$1_static_user.$kind" "#define PROCPOOL_STATIC
$implementation
$user"
    source_file "$1_twice.$kind" "$implementation
$header
$user"
    source_file "$1_twice_undefined.$kind" "$implementation
#undef PROCPOOL_IMPLEMENTATION
$header"
    source_file "$1_own_memory.$kind" "#include <stddef.h>
#include <stdlib.h>
#define PROCPOOL_MALLOC(size) malloc(size)
#define PROCPOOL_REALLOC(p, size) realloc((p), (size))
#define PROCPOOL_FREE(p) free(p)
#include <assert.h>
#define PROCPOOL_ASSERT(condition) assert(condition)
$implementation"
    source_file "$1_main.$kind" "$header
#ifdef __cplusplus
extern \"C\"
#endif
int use_the_pool(void);
int main(void) {
  procpool_worker_main();
  return use_the_pool();
}"
  done
}

compile() {
  echo "$*"
  "$@" -o "$work/$object.o"
}
read_only() {
  echo "$*"
  "$@" -fsyntax-only
}

prepare() {
  compiler=$1
  standard=$2
  extension=$3
  object=$(echo "${what}_${compiler}_$standard" | tr -c 'a-zA-Z0-9+\n' _)
  sources "$object"
  flags=$warn
  [ "$extension" = cc ] || flags=$warn_c
  at="$work/$object"
}

# One dialect of one compiler (which may be a command with options): what the dialect decides, which names and includes
# there are and how they are read, and the two levels between which all warnings about the flow of values lie.
dialect() {
  prepare "$1" "$2" "$3"
  # shellcheck disable=SC2086
  {
    compile $compiler "-std=$standard" $flags -O1 -c "${at}_nothing.$extension"
    compile $compiler "-std=$standard" $flags -O2 -c "${at}_declarations.$extension"
    for names in globals functions arguments twice_undefined static_user; do
      read_only $compiler "-std=$standard" $flags "${at}_$names.$extension"
    done
    # The user's own includes come first here: in a strict dialect only what POSIX says is there then.
    read_only $compiler "-std=$standard" $flags -D_DEFAULT_SOURCE "${at}_own_memory.$extension"
    compile $compiler "-std=$standard" $flags -O0 -c "${at}_implementation.$extension"
    compile $compiler "-std=$standard" $flags -O2 -c "${at}_twice.$extension"
  }
}

# All ways to include it at all levels, in the one dialect of each compiler that is taken most.
levels() {
  prepare "$1" "$2" "$3"
  # shellcheck disable=SC2086
  {
    compile $compiler "-std=$standard" $flags -O1 -c "${at}_implementation.$extension"
    compile $compiler "-std=$standard" $flags -O2 -D_FORTIFY_SOURCE=2 -c "${at}_implementation.$extension"
    compile $compiler "-std=$standard" $flags -O3 -c "${at}_implementation.$extension"
    compile $compiler "-std=$standard" $flags -Os -c "${at}_implementation.$extension"
    compile $compiler "-std=$standard" $flags -O2 -c "${at}_static.$extension"
    compile $compiler "-std=$standard" $flags -O2 -c "${at}_static_user.$extension"
    compile $compiler "-std=$standard" $flags -O1 -c "${at}_twice_undefined.$extension"
    compile $compiler "-std=$standard" $flags -O1 -D_DEFAULT_SOURCE -c "${at}_own_memory.$extension"
    [ "$extension" = c ] || compile $compiler "-std=$standard" $flags -O1 -fno-exceptions -fno-rtti -c "${at}_twice.$extension"
  }
}

# The implementation and a user of it, once: for compilers of other machines.
once() {
  prepare "$1" "$2" "$3"
  # shellcheck disable=SC2086
  {
    compile $compiler "-std=$standard" $flags -O2 -c "${at}_twice.$extension"
    compile $compiler "-std=$standard" $flags -O0 -c "${at}_declarations.$extension"
  }
}

# Implementation in one language, its user in the other; linked and run.
mixed() {
  cc=$1
  cxx=$2
  object=${cc}_mixed
  sources "$object"
  at="$work/$object"
  for level in -O0 -O2; do
    # shellcheck disable=SC2086
    {
      "$cc" -std=c11 $warn_c $level -c "${at}_implementation.c" -o "${at}_implementation_c.o"
      "$cc" -std=c11 $warn_c $level -c "${at}_declarations.c" -o "${at}_user_c.o"
      "$cc" -std=c11 $level -c "${at}_main.c" -o "${at}_main.o"
      "$cxx" -std=c++17 $warn $level -c "${at}_implementation.cc" -o "${at}_implementation_cc.o"
    }
    sed 's/^int use_the_pool(void);/extern "C" int use_the_pool(void);/' "${at}_declarations.cc" >"${at}_user.cc"
    # shellcheck disable=SC2086
    "$cxx" -std=c++17 $warn $level -c "${at}_user.cc" -o "${at}_user_cc.o"
    for pair in "implementation_c user_cc" "implementation_cc user_c" "implementation_cc user_cc" "implementation_c user_c"; do
      # shellcheck disable=SC2086
      set -- $pair
      "$cxx" $level -pthread -o "${at}_run" "${at}_main.o" "${at}_$1.o" "${at}_$2.o"
      echo "$level $1 with $2:"
      [ "$("${at}_run")" = "1 4 9 16 42" ]
    done
  done
}

# What must not compile says why.
refused() {
  compiler=$1
  extension=$2
  object=${compiler}_refused
  source_file "$object.cc" "#include <string>
#include \"$root/procpool.h\"
PROCPOOL_FUNCTION(int, length, std::string, text) {
  return int(text.size());
}"
  source_file "$object.c" "#define PROCPOOL_MALLOC(size) malloc(size)
#define PROCPOOL_IMPLEMENTATION
#include \"$root/procpool.h\""
  source_file "${object}_late.c" "#include <stdio.h>
#define PROCPOOL_IMPLEMENTATION
#include \"$root/procpool.h\""
  if [ "$extension" = cc ]; then
    if "$compiler" -std=c++17 -fsyntax-only "$work/$object.cc" 2>"$work/$object.err"; then
      echo "a std::string as an argument compiles"
      exit 1
    fi
    grep -q 'crosses processes byte by byte' "$work/$object.err"
    return
  fi
  if "$compiler" -std=c11 -fsyntax-only "$work/$object.c" 2>"$work/$object.err"; then
    echo "one of the three memory macros alone compiles"
    exit 1
  fi
  grep -q 'error.*PROCPOOL_' "$work/$object.err"
  # Included after a system header in a strict dialect: it works, or one error names the fix.
  if ! "$compiler" -std=c11 -fsyntax-only "$work/${object}_late.c" 2>"$work/$object.err"; then
    grep 'error' "$work/$object.err" | head -n 1 | grep -Eq '_(DEFAULT|GNU)_SOURCE'
  fi
}

have() {
  command -v "$1" >/dev/null 2>&1
}

list() {
  for compiler in gcc clang; do
    have $compiler || continue
    for standard in c99 c11 c17 gnu11 c2x; do
      echo "matrix_${compiler}_$standard 240 sh '$tests/matrix.sh' dialect '$1' $compiler $standard c"
    done
    echo "matrix_${compiler}_short_enums 240 sh '$tests/matrix.sh' dialect '$1' '$compiler -fshort-enums' c11 c"
    echo "matrix_${compiler}_levels 240 sh '$tests/matrix.sh' levels '$1' $compiler c11 c"
    echo "matrix_${compiler}_refused 60 sh '$tests/matrix.sh' refused '$1' $compiler c"
  done
  for compiler in g++ clang++; do
    have $compiler || continue
    for standard in c++11 c++17 c++20; do
      echo "matrix_${compiler}_$standard 240 sh '$tests/matrix.sh' dialect '$1' $compiler $standard cc"
    done
    echo "matrix_${compiler}_levels 240 sh '$tests/matrix.sh' levels '$1' $compiler c++17 cc"
    echo "matrix_${compiler}_refused 60 sh '$tests/matrix.sh' refused '$1' $compiler cc"
  done
  if have gcc && have g++; then
    echo "matrix_gcc_mixed 120 sh '$tests/matrix.sh' mixed '$1' gcc g++"
  fi
  if have clang && have clang++; then
    echo "matrix_clang_mixed 120 sh '$tests/matrix.sh' mixed '$1' clang clang++"
  fi
}

notes() {
  for compiler in gcc g++ clang clang++; do
    have $compiler || printf ' -n matrix_%s:not_installed' "$compiler"
  done
}

build=$2
shift 2
case $what in
list | notes) "$what" "$build" ;;
*) "$what" "$@" ;;
esac
