#!/bin/sh
# run.sh BUILD [--quick] [--rounds N] [--only PREFIX] [GROUP ...]: measures, then prints tables and draws the chart, all of
# which stay in BUILD.
set -u
build=$1
shift
{
  "$build/bench" "$@"
  echo $? >"$build/status"
} | tee "$build/results"
status=$(cat "$build/status")

rm -f "$build/chart.data"
awk -v chart="$build/chart.data" -f table.awk goals.txt "$build/results" >"$build/table"
cat "$build/table"

if [ ! -s "$build/chart.data" ]; then
  echo 'skip chart: not everything that it shows was measured'
elif ! command -v gnuplot >/dev/null 2>&1; then
  echo 'skip chart: gnuplot is not installed (gnuplot-nox)'
elif gnuplot -e "data='$build/chart.data'; out='$build/chart.svg'" chart.gp; then
  echo "the chart is $build/chart.svg"
else
  status=1
fi
exit "$status"
