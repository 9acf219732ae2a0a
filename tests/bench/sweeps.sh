#!/bin/sh
# sweeps.sh BUILD [--quick]: measures the curves of sweeps.c and draws them as BUILD/sweeps.svg.
set -u
build=$1
shift
"$build/bench" "$@" --sweeps "$build" || exit 1
if ! command -v gnuplot >/dev/null 2>&1; then
  echo 'skip sweeps.svg: gnuplot is not installed (gnuplot-nox)'
  exit 0
fi
gnuplot -e "folder='$build'; out='$build/sweeps.svg'" sweeps.gp && echo "the curves are $build/sweeps.svg"
