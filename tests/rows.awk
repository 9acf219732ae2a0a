# Prints which tests cover which row of the requirements, and fails if a row is neither shown nor excused.
#   awk -f rows.awk rows.txt LOG      LOG: what the runner printed
# A line of the log: "ok    NAME (12 ms)", "FAIL  NAME (12 ms)", "skip  NAME: reason".

BEGIN {
  split("fork spawn thread inline", methods, " ")
  last = 155
}

function problem(text) {
  problems[++problem_count] = text
}

# NAME without its start method, which is left in the global start ("once" where it has none).
function split_name(name) {
  start = "once"
  if (match(name, /_(fork|spawn|thread|inline)$/)) {
    start = substr(name, RSTART + 1)
    name = substr(name, 1, RSTART - 1)
  }
  return name
}

function rest_after_colon(text) {
  sub(/^[^:]*: */, "", text)
  return text
}

# ---- the rows ----
FNR == NR && (/^#/ || /^ *$/) { next }
FNR == NR && /^R[0-9][0-9][0-9] / {
  row = substr($1, 2)
  if (row in text)
    problem("R" row " stands twice in the list")
  area[row] = $2
  text[row] = $0
  sub(/^R[0-9]+ [^ ]+ /, "", text[row])
  next
}
FNR == NR {
  if ($1 == "also")
    for (i = 2; i <= NF; i++)
      also[row, ++also_count[row]] = $i
  else if ($1 == "not") {
    excused_starts = $2
    sub(/:$/, "", excused_starts)
    count = split(excused_starts, list, ",")
    for (i = 1; i <= count; i++)
      excuse[row, list[i]] = 1
    why[row] = why[row] "\n         not " $2 " " rest_after_colon($0)
  } else if ($1 == "once:") {
    for (i in methods)
      excuse[row, methods[i]] = 1
    why[row] = why[row] "\n         once: " rest_after_colon($0)
  } else if ($1 == "later:")
    why[row] = why[row] "\n         later: " rest_after_colon($0)
  else if ($1 == "waiting:")
    waiting[row] = rest_after_colon($0)
  else if ($1 == "all")
    all = row
  else
    problem("not understood: " $0)
  next
}

# ---- the log ----
$1 == "ok" || $1 == "FAIL" || $1 == "skip" {
  name = $2
  sub(/:$/, "", name)
  name = split_name(name)
  outcome[name, start] = $1
  if (!(name in starts))
    names[++name_count] = name
  starts[name] = starts[name] " " start
}

# ---- the table ----
function add_test(row, name,    list, count, i) {
  count = split(starts[name], list, " ")
  tests[row] = tests[row] "\n         " name " (" substr(starts[name], 2) ")"
  for (i = 1; i <= count; i++) {
    cases[row]++
    if (outcome[name, list[i]] == "ok") {
      passed[row]++
      covered[row, list[i]] = 1
    } else if (outcome[name, list[i]] == "FAIL") {
      failed[row]++
      tests[row] = tests[row] " FAILED: " list[i]
    } else {
      skipped[row, list[i]] = 1
      tests[row] = tests[row] " skipped: " list[i]
    }
  }
}

# Which start methods of the row are neither covered nor excused.
function open_starts(row,    i, result) {
  result = ""
  for (i = 1; i <= 4; i++)
    if (!((row, methods[i]) in covered) && !((row, methods[i]) in excuse) && !((row, methods[i]) in skipped))
      result = result " " methods[i]
  return result
}

function judge(row) {
  if (row in waiting) {
    if (cases[row] > 0)
      problem("R" row " is said to wait, but has tests")
    return "waiting"
  }
  if (row == all)
    return incomplete == "" ? "passed" : "failed"
  if (failed[row] > 0)
    return "failed"
  if (cases[row] == 0) {
    problem("R" row " has neither a test nor an entry that it waits")
    return "failed"
  }
  if (passed[row] == 0)
    return "skipped"
  if (open_starts(row) != "") {
    problem("R" row " is not covered by" open_starts(row) ", and nothing says why")
    incomplete = incomplete " R" row
    return "failed"
  }
  return "passed"
}

END {
  for (i = 1; i <= name_count; i++) {
    name = names[i]
    if (name !~ /^r[0-9][0-9][0-9]_/)
      continue
    row = substr(name, 2, 3)
    if (!(row in text))
      problem(name " is a test of a row that does not exist")
    add_test(row, name)
  }
  for (r = 1; r <= last; r++) {
    row = sprintf("%03d", r)
    if (!(row in text))
      problem("R" row " is not in the list")
    for (i = 1; i <= also_count[row]; i++)
      if (also[row, i] in starts)
        add_test(row, also[row, i])
      else
        problem("R" row " names " also[row, i] ", which did not run")
  }
  for (row in text)
    if (row + 0 < 1 || row + 0 > last)
      problem("R" row " is no row")
  for (r = 1; r <= last; r++) {
    row = sprintf("%03d", r)
    if (row != all)
      result[row] = judge(row)
  }
  if (all != "")
    result[all] = judge(all)
  for (r = 1; r <= last; r++) {
    row = sprintf("%03d", r)
    methods_covered = ""
    for (i = 1; i <= 4; i++)
      if ((row, methods[i]) in covered)
        methods_covered = methods_covered " " methods[i]
    total[result[row]]++
    printf "R%s  %-8s %-10s %s  [%s]\n", row, result[row], area[row], text[row],
      row in waiting ? "waiting: " waiting[row] : substr(methods_covered == "" ? " once" : methods_covered, 2)
    printf "%s%s%s", substr(tests[row], 2), tests[row] == "" ? "" : "\n", why[row] == "" ? "" : substr(why[row], 2) "\n"
  }
  for (i = 1; i <= problem_count; i++)
    print "FAIL  " problems[i]
  printf "%d rows wait\n", total["waiting"]
  printf "%d passed, %d failed, %d skipped\n", total["passed"], total["failed"], total["skipped"] + total["waiting"]
  exit problem_count > 0 || total["failed"] > 0 || name_count == 0
}
