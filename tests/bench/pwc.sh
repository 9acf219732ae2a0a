#!/bin/sh
# pwc.sh BUILD [--quick]: examples/pwc beside plain C with two threads (words.c) over 200,000 small files, which are made
# once and stay in BUILD: metric lines in seconds, and the ratio, medians of seven rounds in turn.
set -u
build=$1
files=200000 rounds=7
[ "${2:-}" != --quick ] || {
  files=2000
  rounds=1
}
tree=$build/tree_$files
[ -f "$tree.made" ] || {
  rm -rf "$tree"
  "$build/words" make "$tree" "$files" && : >"$tree.made"
} || exit 1

# Seconds that it took; what it printed is in BUILD/NAME.out.
timed() {
  name=$1
  shift
  begin=$(date +%s%N)
  "$@" >"$build/$name.out" || exit 1
  end=$(date +%s%N)
  awk -v ns=$((end - begin)) 'BEGIN { printf "%.4f", ns / 1e9 }'
}

median() {
  printf '%s\n' "$@" | sort -g | awk '{ value[NR] = $1 } END { print value[int((NR + 1) / 2)] }'
}

ours='' theirs='' ratios='' round=0
while [ $round -le $rounds ]; do # round 0 fills the kernel's cache
  a=$(timed pwc "$build/pwc" "$tree") || exit 1
  b=$(timed words "$build/words" count "$tree" 2) || exit 1
  round=$((round + 1))
  [ $round -gt 1 ] || continue
  ours="$ours $a" theirs="$theirs $b"
  ratios="$ratios $(awk -v a="$a" -v b="$b" 'BEGIN { print a / b }')"
done
total() {
  tail -n 1 "$build/$1.out" | awk '{ print $1, $2, $3 }'
}
[ "$(total pwc)" = "$(total words)" ] || {
  echo 'pwc.sh: the two totals differ' >&2
  exit 1
}
# shellcheck disable=SC2086
{
  echo "metric pwc_200000_files $(median $ours) s"
  echo "samples pwc_200000_files$ours"
  echo "metric two_threads_200000_files $(median $theirs) s"
  echo "samples two_threads_200000_files$theirs"
  echo "metric pwc_vs_two_threads $(median $ratios) ratio"
  echo "samples pwc_vs_two_threads$ratios"
} | tee "$build/pwc.results"
awk -f table.awk goals.txt "$build/pwc.results"
