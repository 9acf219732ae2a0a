# Tables for people, from the metric and skip lines: awk -v chart=FILE -f table.awk goals.txt results
# chart receives what chart.gp draws: blocks of LABEL VALUE, a block per panel.

function figure(name) {
  return name in value ? human(value[name]) : "-"
}

# Three digits, and a unit of a thousand where there are more.
function human(v) {
  if (v >= 1e6)
    return three(v / 1e6) " M"
  if (v >= 1e4)
    return three(v / 1e3) " k"
  return three(v)
}

function three(v) {
  return sprintf(v >= 100 || v == int(v) ? "%.0f" : v >= 10 ? "%.1f" : "%.2f", v)
}

function verdict(name) {
  if (name in failed)
    return "FAILED"
  if (!(name in value))
    return "skipped"
  if (must[name] == "-")
    return "-"
  return (sense[name] == "at-most" ? value[name] <= must[name] : value[name] >= must[name]) ? "yes" : "NO"
}

# As spread lines say; nothing where it is small.
function wide(name) {
  return name in spread ? "~" spread[name] "%" : ""
}

function print_goals(i, name) {
  printf "\n%-37s %8s %5s %7s %7s  %-8s %5s %4s  %-7s  %s\n", "metric", "value", "", "near", "far", "must", "reach", "aim", "reached", "what"
  for (i = 1; i <= goals; i++) {
    name = goal[i]
    if (!(name in value) && !(name in reason) && !(name in failed))
      continue
    printf "%-37s %8s %5s %7s %7s  %-8s %5s %4s  %-7s  %s\n", name, figure(name), wide(name),
      name in near ? human(near[name]) : "", name in far ? human(far[name]) : "", sense[name], must[name], aim[name],
      verdict(name), name in reason ? reason[name] : what[name]
    count[verdict(name)]++
  }
  printf "%d reached, %d not, %d skipped, %d failed\n", count["yes"], count["NO"], count["skipped"], count["FAILED"]
  print "~N%: the middle half of the samples spans so much of their median. near, far: medians of the rounds in which a"
  print "cache line needed less than 0.2 us there and back between two processors, and of the others, where there were both."
}

function peer(key, label) {
  keys[++peers] = key
  labels[key] = label
  sub(/ \(.*/, "", labels[key])
  if (!((key "_round_trip") in value) && !((key "_throughput") in value) && !((key "_map_small") in value) &&
      !((key "_map_compute") in value) && !((key "_echo_1mib") in value) && !((key "_open") in value))
    return
  if (!titled++) {
    printf "\n%-44s %10s %11s %11s %11s %11s %10s %10s\n", "", "round trip", "tasks/s", "tasks/s", "map of x*x+1", "map of 1 us", "1 MiB echo",
      "open"
    printf "%-44s %10s %11s %11s %11s %11s %10s %10s\n", "as each is by default", "us", "1 worker", "2 workers", "items/s, 2", "items/s, 2", "GB/s",
      "us"
  }
  printf "%-44s %10s %11s %11s %11s %11s %10s %10s\n", label, figure(key "_round_trip"), figure(key "_throughput"),
    figure(key "_throughput_2"), figure(key "_map_small"), figure(key "_map_compute"), figure(key "_echo_1mib"), figure(key "_open")
}

function print_peers() {
  peer("procpool", "procpool.h")
  peer("threads", "pthread pool (no isolation)")
  peer("uv", "libuv uv_queue_work (threads)")
  peer("openmp", "OpenMP (threads)")
  peer("tbb", "oneTBB (threads, the waiter spins)")
  peer("taskflow", "Taskflow (threads)")
  peer("asio", "Asio (threads)")
  peer("queue", "ConcurrentQueue, spinning (threads)")
  peer("queue_asleep", "ConcurrentQueue, asleep (threads)")
  peer("pipes", "prefork on pipes (plain C)")
  peer("ring", "raw rings (two processes that spin)")
  peer("sockets", "UNIX socket (two processes)")
  peer("zmq", "ZeroMQ (two processes)")
  peer("interprocess", "Boost.Interprocess (two processes)")
  peer("ppe", "ProcessPoolExecutor (Python)")
  peer("mp_pool", "multiprocessing.Pool (Python)")
  peer("mpi", "mpi4py.futures (Open MPI)")
}

function tail(key, label) {
  if (!((key "_p50") in value))
    return
  if (!tails++)
    printf "\n%-44s %10s %11s %11s\n", "round trip, us", "p50", "p99", "p99.9"
  printf "%-44s %10s %11s %11s\n", label, figure(key "_p50"), figure(key "_p99"), figure(key "_p99.9")
}

function print_tails() {
  tail("procpool_hot_round_trip", "procpool.h, hot")
  tail("limit_hot_round_trip", "  limit: a cache line that bounces")
  tail("procpool_asleep_round_trip", "procpool.h, asleep, two processors")
  tail("limit_asleep_round_trip", "  limit: two futexes")
  tail("procpool_round_trip", "procpool.h, by default, pinned nowhere")
  tail("procpool_oversubscribed_round_trip", "procpool.h, two workers per processor")
  print_paused("paused", "after a pause of 200 us")
  print_paused("1khz", "once a millisecond")
}

function print_paused(key, when) {
  tail("procpool_" key "_round_trip", "procpool.h, " when)
  tail("procpool_" key "_no_spin_round_trip", "  never spins")
  tail("limit_" key "_round_trip", "  limit: two futexes")
  tail("pipes_" key "_round_trip", "  pipes")
  tail("tbb_" key "_round_trip", "  oneTBB")
  tail("taskflow_" key "_round_trip", "  Taskflow")
  tail("asio_" key "_round_trip", "  Asio")
}

function waiting(key, label) {
  if (!(key in value))
    return
  if (!waits++)
    printf "\n%-44s %10s %11s %11s %11s\n", "threads that each wait for a task of 10 us", "tasks/s", "p50, us", "p99", "p99.9"
  printf "%-44s %10s %11s %11s %11s\n", label, figure(key), figure(key "_p50"), figure(key "_p99"), figure(key "_p99.9")
}

function print_waiting(i, n, many) {
  n = split("2 16", many, " ")
  for (i = 1; i <= n; i++) {
    waiting("procpool_waiting_" many[i], "procpool.h, " many[i] " threads")
    waiting("threads_waiting_" many[i], "  pthread pool")
    waiting("tbb_waiting_" many[i], "  oneTBB")
    waiting("taskflow_waiting_" many[i], "  Taskflow")
    waiting("asio_waiting_" many[i], "  Asio")
  }
}

# A block for the chart; empty if nobody has such a figure.
function panel(suffix, i, lines) {
  for (i = 1; i <= peers; i++)
    if (keys[i] suffix in value)
      lines = lines sprintf("\"%s\" %s\n", labels[keys[i]], value[keys[i] suffix])
  return lines
}

function draw(i, n, lines, blocks) {
  n = split("_round_trip _throughput _map_small _echo_1mib", suffixes, " ")
  for (i = 1; i <= n; i++) {
    lines = panel(suffixes[i])
    if (lines == "")
      return
    blocks = blocks lines "\n\n"
  }
  printf "%s", blocks > chart
}

FILENAME ~ /goals/ && /^[a-z]/ {
  goal[++goals] = $1
  sense[$1] = $2
  must[$1] = $3
  aim[$1] = $4
  what[$1] = $5
  for (i = 6; i <= NF; i++)
    what[$1] = what[$1] " " $i
}
$1 == "metric" {
  value[$2] = $3
}
$1 == "spread" {
  spread[$2] = $3
}
$1 == "near" {
  near[$2] = $3
}
$1 == "far" {
  far[$2] = $3
}
$1 == "failed" {
  failed[$2] = 1
}
$1 == "skip" {
  name = $2
  sub(/:$/, "", name)
  $1 = $2 = ""
  reason[name] = substr($0, 3)
}
END {
  print_peers()
  print_tails()
  print_waiting()
  print_goals()
  draw()
}
