# gnuplot -e "data='FILE'; out='FILE.svg'" chart.gp
set terminal svg size 1000,760 noenhanced font "sans-serif,13" background "white"
set output out
set multiplot layout 2,2 margins 0.09,0.98,0.15,0.94 spacing 0.09,0.25
set style fill solid 1.0 noborder
set boxwidth 0.7
set logscale y
set grid y linecolor rgb "#dddddd"
set border 3 linecolor rgb "#888888"
set xtics rotate by 30 right nomirror font ",11" textcolor rgb "#333333"
set ytics nomirror font ",11" textcolor rgb "#333333"
unset key
# The first bar of each panel is procpool.h. A bar begins at the bottom of its panel: only its end means anything.
colour(row) = row == 0 ? 0x1f6fb2 : 0xb8bec6
number(v) = v >= 1e6 ? sprintf("%.3gM", v / 1e6) : v >= 1e3 ? sprintf("%.3gk", v / 1e3) : sprintf("%.3g", v)

titles = "'Round trip of an empty task, us (less is better)' 'Empty tasks a second, one worker' \
  'Map of x*x+1, items a second, two workers' '1 MiB there and back, GB/s'"
do for [i = 0:3] {
  set autoscale
  stats data index i using 2 nooutput
  set format y STATS_max < 1e4 ? "%g" : "%.0s%c"
  set title word(titles, i + 1) font ",14"
  set xrange [-0.6:STATS_records - 0.4]
  set yrange [STATS_min / 4:STATS_max * 4]
  plot data index i using 0:2:(colour(column(0))):xtic(1) with boxes linecolor rgb variable, \
    data index i using 0:2:(number(column(2))) with labels offset 0,0.7 font ",10"
}
unset multiplot
