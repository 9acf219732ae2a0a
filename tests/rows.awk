# Which test covers which row of the requirements, in which start methods: reads the runner's list of cases.
# Rows without a test are named at the end.
/^r[0-9][0-9][0-9]_/ {
  row = substr($0, 2, 3)
  name = $0
  start = "once"
  if (match(name, /_(fork|spawn|thread|inline)$/)) {
    start = substr(name, RSTART + 1)
    name = substr(name, 1, RSTART - 1)
  }
  if (!((row, name) in starts)) {
    order[row, ++count[row]] = name
    starts[row, name] = start
  } else
    starts[row, name] = starts[row, name] " " start
}
END {
  missing = ""
  for (i = 1; i <= 129; i++) {
    row = sprintf("%03d", i)
    if (!(row in count)) {
      missing = missing " R" row
      continue
    }
    for (j = 1; j <= count[row]; j++)
      printf "R%s  %-66s %s\n", row, substr(order[row, j], 6), starts[row, order[row, j]]
  }
  print "no test yet:" missing
}
