# gnuplot -e "folder='FOLDER'; out='FILE.svg'" sweeps.gp
set terminal svg size 1200,1000 noenhanced font "sans-serif,13" background "white"
set output out
set multiplot layout 3,2 margins 0.07,0.98,0.04,0.96 spacing 0.08,0.08
set logscale xy
set grid linecolor rgb "#dddddd"
set border 3 linecolor rgb "#888888"
set tics nomirror font ",11" textcolor rgb "#333333"
set format x "%.0s%c"
set format y "%.0s%c"
set key font ",11" reverse Left samplen 1.5 spacing 0.9
# procpool.h is blue, what is no pool grey
colour(name) = strstrt(name, "shared") ? 0x6fb1e4 : strstrt(name, "procpool.h") ? 0x1f6fb2 : strstrt(name, "limit") || \
  strstrt(name, "loop") ? 0x777777 : strstrt(name, "ring") || strstrt(name, "pthread") ? 0xb58900 : \
  strstrt(name, "UNIX") || strstrt(name, "OpenMP") ? 0xc0392b : strstrt(name, "Zero") || strstrt(name, "TBB") ? 0x27834a : \
  strstrt(name, "Boost") || strstrt(name, "Taskflow") ? 0x8e44ad : 0xd2691e

panels = "payload workers items workers_stream threads threads_tail"
titles = "'N bytes there and back, us' 'Round trip with N workers, us' 'Map of x*x+1 over N doubles, us' \
  'Tasks a second with N workers' 'N threads that each wait for a task of 10 us, tasks a second' \
  'The same: 99.9 % of the waits, us'"
do for [p = 1:6] {
  file = folder . "/sweep_" . word(panels, p) . ".data"
  set title word(titles, p) font ",14"
  if (word(panels, p) eq "payload" || word(panels, p) eq "items") {
    set key top left
    set xtics autofreq
    set xrange [*:*]
  } else {
    set key bottom right
    set xtics (1, 2, 4, 8, 16, 32, 48, 64)
    set xrange [0.9:(p == 2 || p == 4 ? 70 : 18)]
  }
  stats file using 1:2 nooutput
  plot for [i = 0:STATS_blocks - 2] file index i using 1:2 with linespoints linewidth 2 pointtype 7 pointsize 0.4 \
    linecolor rgb colour(system("grep '^\"' '" . file . "' | sed -n " . (i + 1) . "p")) title columnheader(1)
}
unset multiplot
