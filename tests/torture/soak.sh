#!/bin/sh
# Runs every torture program with each of its start methods, one after the other, for DURATION seconds in all, of which
# the kill storm gets half; prints what each did, and the sum.
#   soak.sh BUILD DURATION [SEED]
set -eu
build=$1
duration=$2
seed=${3:-}
lines=$(mktemp)
runs=$(mktemp)
trap 'rm -f "$lines" "$runs"' EXIT

for source in "$(dirname "$0")"/*.c; do
  name=$(basename "$source" .c)
  [ "$name" = rig ] || "$build/$name" --cases
done >"$runs"
storms=$(grep -c '^torture_kill_storm_' "$runs" || true)
others=$(($(wc -l <"$runs") - storms))

failed=0
while read -r name _ command; do
  case $name in
  torture_kill_storm_*) share=$((duration / 2 / storms)) ;;
  *) share=$((duration / 2 / (others > 0 ? others : 1))) ;;
  esac
  status=0
  output=$(eval "$command --duration $((share > 0 ? share : 1)) ${seed:+--seed $seed}" 2>&1) || status=$?
  printf '%s\n' "$output" | sed "s/^/$name: /"
  if [ "$status" = 0 ]; then
    printf '%s\n' "$output" | grep '^tasks ' >>"$lines"
  elif [ "$status" != 77 ]; then
    echo "$name: FAILED with status $status"
    failed=$((failed + 1))
  fi
done <"$runs"

awk '{ for (i = 1; i < NF; i += 2) { if (!($i in sum)) order[++n] = $i; sum[$i] += $(i + 1) } }
  END { printf "soak:"; for (i = 1; i <= n; i++) printf " %s %.0f", order[i], sum[order[i]]; printf "\n" }' "$lines"
echo "soak: $failed programs failed"
[ "$failed" = 0 ]
