#!/bin/sh
# The fuzz target of shared memory.
#   run.sh corpus BUILD             every input of the corpus once (needs a C compiler only)
#   run.sh fuzz BUILD DURATION      libFuzzer, from the corpus on, for so many seconds; exit status 77 means skipped
set -eu
here=$(cd "$(dirname "$0")" && pwd)
what=$1
build=$2/fuzz
mkdir -p "$build"
warn="-std=gnu11 -Wall -Wextra -O1 -g"

can() {
  echo 'int main(void) { return 0; }' >"$build/can.c"
  "$@" -o "$build/can" "$build/can.c" 2>/dev/null
}

corpus() {
  sanitize=
  if can "${CC:-cc}" -fsanitize=address && "$build/can"; then
    sanitize=-fsanitize=address
  fi
  # shellcheck disable=SC2086
  "${CC:-cc}" $warn $sanitize -DREPLAY -o "$build/replay" "$here/segment.c" -pthread
  "$build/replay" "$here"/corpus/*
}

fuzz() {
  if ! command -v clang >/dev/null 2>&1; then
    echo "clang is not installed"
    exit 77
  fi
  echo 'int LLVMFuzzerTestOneInput(const char *p, unsigned long n); int LLVMFuzzerTestOneInput(const char *p, unsigned long n) { return p == 0 && n > 0; }' \
    >"$build/can_fuzz.c"
  if ! clang -fsanitize=fuzzer,address,undefined -o "$build/can_fuzz" "$build/can_fuzz.c" 2>/dev/null; then
    echo "clang has no libFuzzer (Debian: libclang-rt-14-dev)"
    exit 77
  fi
  # shellcheck disable=SC2086
  clang $warn -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=undefined -o "$build/segment" "$here/segment.c" -pthread
  mkdir -p "$build/found"
  "$build/segment" -max_total_time="$1" -timeout=10 -rss_limit_mb=2048 -max_len=1024 -verbosity=1 -print_final_stats=1 \
    -artifact_prefix="$build/found/" "$build/found" "$here/corpus"
}

shift 2
"$what" "$@"
