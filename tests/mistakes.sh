#!/bin/sh
# What the compiler must say of the C++ part, as test cases for the runner: programs with one mistake each (mistakes/*.cc),
# and the part in every dialect without a word. (mistakes/*.c are looked at by programs.sh.)
#   mistakes.sh list BUILD       prints cases: NAME LIMIT COMMAND
#   mistakes.sh CASE BUILD ...   runs one of them; exit status 77 means skipped
#
# The first lines of a file with a mistake, as comments:
#   expect: REGEX        what a line of the compiler's output matches (grep -E)
#   standard: STANDARD   the dialect; else c++17
set -eu
tests=$(cd "$(dirname "$0")" && pwd)
root=$(dirname "$tests")
what=$1
build=$2
strict="-Wall -Wextra -Wpedantic -Wconversion -Wsign-conversion -Wshadow -Wold-style-cast -Wcast-qual -Wundef \
-Wnon-virtual-dtor -Wzero-as-null-pointer-constant"
dialects="c++11 c++14 c++17 c++20 c++2b"

# said KEY FILE: what the file's comment says.
said() {
  sed -n '1,5s,^\(//\|/\*\) *'"$1"': *\(.*[^ */]\)[ */]*$,\2,p' "$2" | head -n 1
}

mistake() {
  compiler=$1
  file=$2
  expected=$(said expect "$file")
  standard=$(said standard "$file")
  standard=${standard:-c++17}
  [ -n "$expected" ] || { echo "$file: no comment 'expect: REGEX'"; exit 1; }
  if ! echo 'int a;' | "$compiler" "-std=$standard" -fsyntax-only -x c++ - 2>/dev/null; then
    echo "$compiler does not know $standard"
    exit 77
  fi
  mkdir -p "$build/mistakes"
  output="$build/mistakes/$(basename "$file").$compiler"
  if "$compiler" "-std=$standard" -Wall -Wextra -fsyntax-only "$file" 2>"$output" && ! grep -q warning "$output"; then
    echo "it compiles without a word"
    exit 1
  fi
  grep -Eq -e "$expected" "$output" || { echo "expected: $expected"; cat "$output"; exit 1; }
}

# Nothing at all is said of programs of the C++ part.
dialect() {
  compiler=$1
  standard=$2
  options=$strict
  [ "$compiler" != g++ ] || options="$strict -Wuseless-cast"
  for file in "$tests/test_cplusplus.cc" "$root/examples/application.cc"; do
    # shellcheck disable=SC2086
    grep -v '^#define PROCPOOL_IMPLEMENTATION' "$file" |
      "$compiler" "-std=$standard" $options -Werror -I "$(dirname "$file")" -fsyntax-only -x c++ -
  done
  # shellcheck disable=SC2086
  "$compiler" "-std=$standard" $options -Werror -fno-exceptions -fno-rtti -fsyntax-only "$tests/test_silent.cc"
}

list() {
  for compiler in g++ clang++; do
    command -v "$compiler" >/dev/null 2>&1 || continue
    for file in "$tests"/mistakes/*.cc; do
      name=$(basename "$file" .cc)
      echo "mistake_${name}_$compiler 60 sh '$tests/mistakes.sh' mistake '$build' $compiler '$file'"
    done
    for standard in $dialects; do
      echo "cplusplus_${compiler}_$standard 120 sh '$tests/mistakes.sh' dialect '$build' $compiler $standard"
    done
  done
}

shift 2
"$what" "$@"
