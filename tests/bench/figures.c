/* What is measured: each group's figures, and the ratios of them. */
#include "runner.h"

peer limits = {"limits", NULL, 0, NULL, false}, two = {"two_processors", two_processors_absent, 0, NULL, false},
     pool = {"procpool", NULL, 0, NULL, false}, pipes = {"pipes", NULL, 0, NULL, false},
     threads = {"threads", NULL, 0, NULL, false}, uv = {"uv", uv_absent, 0, NULL, false},
     openmp = {"openmp", openmp_absent, 0, NULL, false}, tbb = {"tbb", tbb_absent, 0, NULL, false},
     taskflow = {"taskflow", taskflow_absent, 0, NULL, false}, asio = {"asio", asio_absent, 0, NULL, false},
     queue = {"queue", queue_absent, 0, NULL, false}, zmq = {"zmq", zmq_absent, 0, NULL, false},
     interprocess = {"interprocess", interprocess_absent, 0, NULL, false},
     ppe = {"ppe", ppe_absent, PYTHON_ROUNDS, NULL, false}, mp = {"mp_pool", mp_absent, PYTHON_ROUNDS, NULL, false},
     mpi = {"mpi", mpi_absent, PYTHON_ROUNDS, NULL, false};

#define ONE(name, unit)                                                                                                \
  {                                                                                                                    \
    { name, unit }                                                                                                     \
  }
#define TAILS(name)                                                                                                    \
  {                                                                                                                    \
    {name, "us"}, {name "_p50", "us"}, {name "_p99", "us"}, {                                                          \
      name "_p99.9", "us"                                                                                              \
    }                                                                                                                  \
  }

#define ECHO_LIMITS(size)                                                                                              \
  {                                                                                                                    \
    {"limit_echo_" size, "GB/s"}, {"limit_echo_" size "_memcpy", "GB/s"}, {"limit_echo_" size "_past_caches", "GB/s"}, \
    {                                                                                                                  \
      "limit_echo_" size "_by_turns", "GB/s"                                                                           \
    }                                                                                                                  \
  }
#define ECHO_PEERS(size)                                                                                               \
  "ring_echo_" size " sockets_echo_" size " zmq_echo_" size " interprocess_echo_" size " pipes_echo_" size
#define ECHO_GROUP(size, bytes)                                                                                        \
  {                                                                                                                    \
    "echo_" size, ROUNDS,                                                                                              \
        {{&two, limit_echo, 1, ECHO_LIMITS(size), bytes},                                                              \
         {&two, pool_echo_pinned, 1, ONE("procpool_echo_" size, "GB/s"), bytes},                                       \
         {&two, ring_echo, 1, ONE("ring_echo_" size, "GB/s"), bytes},                                                  \
         {&two, sockets_echo, 1, ONE("sockets_echo_" size, "GB/s"), bytes},                                            \
         {&zmq, zmq_echo, 1, ONE("zmq_echo_" size, "GB/s"), bytes},                                                    \
         {&interprocess, interprocess_echo, 1, ONE("interprocess_echo_" size, "GB/s"), bytes},                         \
         {&pipes, pipes_echo, 1, ONE("pipes_echo_" size, "GB/s"), bytes}},                                             \
    {                                                                                                                  \
      {"echo_" size "_vs_limit", "procpool_echo_" size, "limit_echo_" size}, {                                         \
        "echo_" size "_vs_peers", "procpool_echo_" size, ECHO_PEERS(size)                                              \
      }                                                                                                                \
    }                                                                                                                  \
  }

#define MAP_GROUP(size, items)                                                                                         \
  {                                                                                                                    \
    "map_" size, ROUNDS,                                                                                               \
        {{&pool, pool_map, 2, ONE("procpool_map_" size, "items/s"), items},                                            \
         {&pool, pool_map_shared, 2, ONE("procpool_map_shared_" size, "items/s"), items},                              \
         {&limits, limit_loop, 1, ONE("limit_loop_" size, "items/s"), items},                                          \
         {&openmp, openmp_map, 2, ONE("openmp_map_" size, "items/s"), items},                                          \
         {&tbb, tbb_map, 2, ONE("tbb_map_" size, "items/s"), items}},                                                  \
    {                                                                                                                  \
      {"map_" size "_vs_openmp", "procpool_map_" size, "openmp_map_" size},                                            \
          {"map_shared_" size "_vs_openmp", "procpool_map_shared_" size, "openmp_map_" size}, {                        \
        "map_shared_" size "_vs_tbb", "procpool_map_shared_" size, "tbb_map_" size                                     \
      }                                                                                                                \
    }                                                                                                                  \
  }

#define SKEWED_GROUP(where, which)                                                                                     \
  {                                                                                                                    \
    "skewed_" where, ROUNDS,                                                                                           \
        {{&pool, pool_skewed, 2, ONE("procpool_skewed_" where, "share"), which},                                       \
         {&tbb, tbb_skewed, 2, ONE("tbb_skewed_" where, "share"), which},                                              \
         {&openmp, openmp_skewed, 2, ONE("openmp_skewed_" where, "share"), which}},                                    \
    {                                                                                                                  \
      { "skewed_" where "_vs_tbb", "procpool_skewed_" where, "tbb_skewed_" where }                                     \
    }                                                                                                                  \
  }

#define WAITING(name)                                                                                                  \
  {                                                                                                                    \
    {name, "tasks/s"}, {name "_p50", "us"}, {name "_p99", "us"}, {                                                     \
      name "_p99.9", "us"                                                                                              \
    }                                                                                                                  \
  }
#define WAITING_GROUP(n, count)                                                                                        \
  {                                                                                                                    \
    "waiting_" n, ROUNDS,                                                                                              \
        {{&pool, pool_waiting, 2, WAITING("procpool_waiting_" n), count},                                              \
         {&threads, threads_waiting, 2, WAITING("threads_waiting_" n), count},                                         \
         {&tbb, tbb_waiting, 2, WAITING("tbb_waiting_" n), count},                                                     \
         {&taskflow, taskflow_waiting, 2, WAITING("taskflow_waiting_" n), count},                                      \
         {&asio, asio_waiting, 2, WAITING("asio_waiting_" n), count}},                                                 \
    {                                                                                                                  \
      {"waiting_" n "_rate_vs_peers", "procpool_waiting_" n,                                                           \
       "tbb_waiting_" n " taskflow_waiting_" n " asio_waiting_" n},                                                    \
          {"waiting_" n "_p99_vs_peers", "procpool_waiting_" n "_p99",                                                 \
           "tbb_waiting_" n "_p99 taskflow_waiting_" n "_p99 asio_waiting_" n "_p99"},                                 \
      {                                                                                                                \
        "waiting_" n "_p99.9_vs_peers", "procpool_waiting_" n "_p99.9",                                                \
            "tbb_waiting_" n "_p99.9 taskflow_waiting_" n "_p99.9 asio_waiting_" n "_p99.9"                            \
      }                                                                                                                \
    }                                                                                                                  \
  }

/* OpenMP is not among the peers of the ratios: who makes its tasks runs some of them itself and hands over the rest. */
#define STREAM_GROUP(name, tail, workers)                                                                              \
  {                                                                                                                    \
    name, ROUNDS,                                                                                                      \
        {{&pool, pool_stream, workers, ONE("procpool_stream" tail, "tasks/s"), 0},                                     \
         {&pool, pool_stream_many, workers, ONE("procpool_stream_many" tail, "tasks/s"), 0},                           \
         {&queue, queue_throughput, workers, ONE("queue_throughput" tail, "tasks/s"), 0},                              \
         {&queue, queue_throughput_asleep, workers, ONE("queue_asleep_throughput" tail, "tasks/s"), 0},                \
         {&tbb, tbb_throughput, workers, ONE("tbb_throughput" tail, "tasks/s"), 0},                                    \
         {&taskflow, taskflow_throughput, workers, ONE("taskflow_throughput" tail, "tasks/s"), 0},                     \
         {&asio, asio_throughput, workers, ONE("asio_throughput" tail, "tasks/s"), 0},                                 \
         {&openmp, openmp_throughput, workers, ONE("openmp_stream" tail, "tasks/s"), 0}},                              \
    {                                                                                                                  \
      {"stream_vs_peers" tail, "procpool_stream" tail, STREAM_PEERS(tail)}, {                                          \
        "stream_many_vs_peers" tail, "procpool_stream_many" tail, STREAM_PEERS(tail)                                   \
      }                                                                                                                \
    }                                                                                                                  \
  }
#define STREAM_PEERS(tail)                                                                                             \
  "queue_throughput" tail " queue_asleep_throughput" tail " tbb_throughput" tail " taskflow_throughput" tail           \
  " asio_throughput" tail

group groups[] = {
    {"hot",
     ROUNDS,
     {{&two, limit_bounce, 1, TAILS("limit_hot_round_trip"), 0},
      {&two, pool_hot, 1, TAILS("procpool_hot_round_trip"), 0}},
     {{"roundtrip_hot_vs_limit", "procpool_hot_round_trip", "limit_hot_round_trip"}}},

    {"asleep",
     ROUNDS,
     {{&two, limit_futex, 1, TAILS("limit_asleep_round_trip"), 0},
      {&two, pool_asleep, 1, TAILS("procpool_asleep_round_trip"), 0}},
     {{"roundtrip_asleep_vs_limit", "procpool_asleep_round_trip", "limit_asleep_round_trip"}}},

    {"round_trip",
     ROUNDS,
     {{&pool, pool_default, 1, TAILS("procpool_round_trip"), 0},
      {&pool, pool_no_spin, 1, ONE("procpool_no_spin_round_trip", "us"), 0},
      {&threads, threads_round_trip, 1, ONE("threads_round_trip", "us"), 0},
      {&two, pool_no_spin_pinned, 1, ONE("procpool_no_spin_pinned_round_trip", "us"), 0},
      {&two, threads_round_trip_pinned, 1, ONE("threads_pinned_round_trip", "us"), 0},
      {&uv, uv_round_trip, 1, ONE("uv_round_trip", "us"), 0},
      {&pipes, pipes_round_trip, 1, ONE("pipes_round_trip", "us"), 0},
      {&ppe, ppe_round_trip, 1, ONE("ppe_round_trip", "us"), 0},
      {&mp, mp_round_trip, 1, ONE("mp_pool_round_trip", "us"), 0},
      {&mpi, mpi_round_trip, 1, ONE("mpi_round_trip", "us"), 0}},
     {{"roundtrip_vs_threadpool", "threads_round_trip", "procpool_round_trip"},
      {"roundtrip_asleep_vs_threadpool", "threads_round_trip", "procpool_no_spin_round_trip"},
      {"roundtrip_asleep_pinned_vs_threadpool", "threads_pinned_round_trip", "procpool_no_spin_pinned_round_trip"}}},

    /* the number of workers is set in main */
    {"oversubscribed",
     ROUNDS,
     {{&pool, pool_default, 0, TAILS("procpool_oversubscribed_round_trip"), 0}},
     {{NULL, NULL, NULL}}},

    {"throughput_1",
     ROUNDS,
     {{&pool, pool_throughput, 1, ONE("procpool_throughput", "tasks/s"), 0},
      {&pool, pool_throughput_many, 1, ONE("procpool_throughput_many", "tasks/s"), 0},
      {&threads, threads_throughput, 1, ONE("threads_throughput", "tasks/s"), 0},
      {&pipes, pipes_throughput, 1, ONE("pipes_throughput", "tasks/s"), 0},
      {&uv, uv_throughput, 1, ONE("uv_throughput", "tasks/s"), 0},
      {&openmp, openmp_throughput, 1, ONE("openmp_throughput", "tasks/s"), 0},
      {&ppe, ppe_throughput, 1, ONE("ppe_throughput", "tasks/s"), 0},
      {&mp, mp_throughput, 1, ONE("mp_pool_throughput", "tasks/s"), 0},
      {&mpi, mpi_throughput, 1, ONE("mpi_throughput", "tasks/s"), 0}},
     {{"throughput_vs_pipes", "procpool_throughput", "pipes_throughput"},
      {"throughput_vs_threadpool", "procpool_throughput", "threads_throughput"},
      {"throughput_many_vs_threadpool", "procpool_throughput_many", "threads_throughput"},
      {"throughput_vs_mp_pool", "procpool_throughput", "mp_pool_throughput"}}},

    {"throughput_2",
     ROUNDS,
     {{&pool, pool_throughput, 2, ONE("procpool_throughput_2", "tasks/s"), 0},
      {&pool, pool_throughput_many, 2, ONE("procpool_throughput_many_2", "tasks/s"), 0},
      {&threads, threads_throughput, 2, ONE("threads_throughput_2", "tasks/s"), 0},
      {&pipes, pipes_throughput, 2, ONE("pipes_throughput_2", "tasks/s"), 0},
      {&uv, uv_throughput, 2, ONE("uv_throughput_2", "tasks/s"), 0},
      {&openmp, openmp_throughput, 2, ONE("openmp_throughput_2", "tasks/s"), 0},
      {&ppe, ppe_throughput, 2, ONE("ppe_throughput_2", "tasks/s"), 0},
      {&mp, mp_throughput, 2, ONE("mp_pool_throughput_2", "tasks/s"), 0},
      {&mpi, mpi_throughput, 2, ONE("mpi_throughput_2", "tasks/s"), 0}},
     {{"throughput_vs_pipes_2", "procpool_throughput_2", "pipes_throughput_2"},
      {"throughput_vs_threadpool_2", "procpool_throughput_2", "threads_throughput_2"},
      {"throughput_many_vs_threadpool_2", "procpool_throughput_many_2", "threads_throughput_2"},
      {"throughput_vs_mp_pool_2", "procpool_throughput_2", "mp_pool_throughput_2"}}},

    {"map_compute",
     ROUNDS,
     {{&pool, pool_map_compute, 2, ONE("procpool_map_compute", "items/s"), 0},
      {&openmp, openmp_map_compute, 2, ONE("openmp_map_compute", "items/s"), 0},
      {&pool, pool_map_compute, 1, ONE("procpool_map_compute_1", "items/s"), 0},
      {&openmp, openmp_map_compute, 1, ONE("openmp_map_compute_1", "items/s"), 0}},
     {{"map_vs_openmp_compute", "procpool_map_compute", "openmp_map_compute"},
      {"map_vs_openmp_compute_1", "procpool_map_compute_1", "openmp_map_compute_1"}}},

    {"map_small",
     ROUNDS,
     {{&pool, pool_map_small, 2, ONE("procpool_map_small", "items/s"), 0},
      {&openmp, openmp_map_small, 2, ONE("openmp_map_small", "items/s"), 0},
      {&ppe, ppe_map, 2, ONE("ppe_map_small", "items/s"), 0},
      {&mp, mp_map, 2, ONE("mp_pool_map_small", "items/s"), 0},
      {&mpi, mpi_map, 2, ONE("mpi_map_small", "items/s"), 0}},
     {{NULL, NULL, NULL}}},

    {"map_memory",
     ROUNDS,
     {{&pool, pool_map_memory, 2, ONE("procpool_map_memory", "GB/s"), 0},
      {&openmp, openmp_map_memory, 2, ONE("openmp_map_memory", "GB/s"), 0},
      {&pool, pool_map_memory, 1, ONE("procpool_map_memory_1", "GB/s"), 0},
      {&openmp, openmp_map_memory, 1, ONE("openmp_map_memory_1", "GB/s"), 0},
      {&pool, pool_map_memory_by_doubles, 2, ONE("procpool_map_memory_by_doubles", "GB/s"), 0}},
     {{"map_vs_openmp_memory", "procpool_map_memory", "openmp_map_memory"},
      {"map_vs_openmp_memory_by_doubles", "procpool_map_memory_by_doubles", "openmp_map_memory"},
      {"map_vs_openmp_memory_1", "procpool_map_memory_1", "openmp_map_memory_1"}}},

    {"open",
     ROUNDS,
     {{&limits, limit_fork_3, 1, ONE("limit_three_forks", "us"), 0},
      {&pool, pool_open, 1, ONE("procpool_open", "us"), 0},
      {&pool, pool_open_spawn, 1, ONE("procpool_open_spawn", "us"), 0},
      {&ppe, ppe_open, 1, ONE("ppe_open", "us"), 0},
      {&mp, mp_open, 1, ONE("mp_pool_open", "us"), 0}},
     {{"open_to_first_result_vs_fork", "procpool_open", "limit_three_forks"}}},

    {"recovery",
     ROUNDS,
     {{&limits, limit_fork_1, 1, ONE("limit_fork", "us"), 0},
      {&pool, pool_recovery, 1, ONE("procpool_recovery", "us"), 0}},
     {{"recovery_vs_fork", "procpool_recovery", "limit_fork"}}},

    {"idle", 1, {{&pool, pool_idle, 2, {{"idle_cpu_ms", "ms"}, {"idle_wakeups", "wakeups"}}, 0}}, {{NULL, NULL, NULL}}},

    {"queued_memory",
     ROUNDS,
     {{&pool, pool_bytes_per_queued, 1, ONE("bytes_per_queued_task", "bytes"), 0}},
     {{NULL, NULL, NULL}}},

    {"efficiency",
     ROUNDS,
     {{&two, limit_two_processes, 2, ONE("limit_two_processes_1ms", "tasks/s"), 0},
      {&two, pool_two_workers, 2, ONE("procpool_two_workers_1ms", "tasks/s"), 0}},
     {{"efficiency_2", "procpool_two_workers_1ms", "limit_two_processes_1ms"}}},

    {"cost",
     ROUNDS,
     {{&pool, pool_cost_1e3, 1, {{"procpool_cost_1e3", "us"}, {"procpool_cost_1e3_first", "us"}}, 0},
      {&pool, pool_cost_1e6, 1, {{"procpool_cost_1e6", "us"}, {"procpool_cost_1e6_first", "us"}}, 0}},
     {{"cost_per_task_1e6_vs_1e3", "procpool_cost_1e6", "procpool_cost_1e3"},
      {"cost_per_task_1e6_vs_1e3_first", "procpool_cost_1e6_first", "procpool_cost_1e3_first"}}},

    {"echo",
     ROUNDS,
     {{&two, limit_echo, 1, ECHO_LIMITS("1mib"), MIB},
      {&two, pool_echo_pinned, 1, ONE("procpool_echo_1mib_pinned", "GB/s"), MIB},
      {&pool, pool_echo, 1, ONE("procpool_echo_1mib", "GB/s"), MIB},
      {&two, ring_echo, 1, ONE("ring_echo_1mib", "GB/s"), MIB},
      {&two, sockets_echo, 1, ONE("sockets_echo_1mib", "GB/s"), MIB},
      {&zmq, zmq_echo, 1, ONE("zmq_echo_1mib", "GB/s"), MIB},
      {&interprocess, interprocess_echo, 1, ONE("interprocess_echo_1mib", "GB/s"), MIB},
      {&pipes, pipes_echo, 1, ONE("pipes_echo_1mib", "GB/s"), MIB},
      {&ppe, ppe_echo, 1, ONE("ppe_echo_1mib", "GB/s"), 0},
      {&mp, mp_echo, 1, ONE("mp_pool_echo_1mib", "GB/s"), 0},
      {&mpi, mpi_echo, 1, ONE("mpi_echo_1mib", "GB/s"), 0}},
     {{"echo_1mib_vs_limit", "procpool_echo_1mib_pinned", "limit_echo_1mib"},
      {"echo_1mib_vs_peers", "procpool_echo_1mib_pinned", ECHO_PEERS("1mib")},
      {"echo_1mib_vs_ppe", "procpool_echo_1mib", "ppe_echo_1mib"}}},

    ECHO_GROUP("16kib", 16 * 1024),
    ECHO_GROUP("64kib", 64 * 1024),
    ECHO_GROUP("256kib", 256 * 1024),
    ECHO_GROUP("16mib", 16 * MIB),

    {"result_16mib",
     ROUNDS,
     {{&limits, limit_copy, 1, ONE("limit_copy_16mib", "GB/s"), 16 * MIB},
      {&two, pool_result, 1, ONE("procpool_result_16mib", "GB/s"), 16 * MIB}},
     {{"result_16mib_vs_copy", "procpool_result_16mib", "limit_copy_16mib"}}},

    {"result_256mib",
     ROUNDS,
     {{&limits, limit_copy, 1, ONE("limit_copy_256mib", "GB/s"), 256 * MIB},
      {&two, pool_result, 1, ONE("procpool_result_256mib", "GB/s"), 256 * MIB}},
     {{"result_256mib_vs_copy", "procpool_result_256mib", "limit_copy_256mib"}}},

    MAP_GROUP("1e5", 100000),
    MAP_GROUP("1e6", 1000000),
    MAP_GROUP("1e7", 10000000),

    {"map_behind_loop",
     ROUNDS,
     {{&pool,
       pool_map_behind_loop,
       2,
       {{"map_behind_loop", "us"},
        {"map_behind_loop_300", "us"},
        {"map_behind_loop_3000", "us"},
        {"map_behind_loop_1e5", "us"}},
       0}},
     {{NULL, NULL, NULL}}},

    SKEWED_GROUP("first", 0),
    SKEWED_GROUP("middle", 1),
    SKEWED_GROUP("last", 2),

    {"limited",
     ROUNDS,
     {{&two, pool_limited, 1, {{"procpool_limited_round_trip", "us"}, {"procpool_unlimited_round_trip", "us"}}, 0}},
     {{"roundtrip_limited_vs_unlimited", "procpool_limited_round_trip", "procpool_unlimited_round_trip"}}},

    {"imap",
     ROUNDS,
     {{&pool, pool_imap, 2, ONE("procpool_imap_64", "us"), 64},
      {&pool, pool_imap_unordered, 2, ONE("procpool_imap_unordered_64", "us"), 64},
      {&pool, pool_imap, 2, ONE("procpool_imap_65536", "us"), 65536},
      {&pool, pool_imap_unordered, 2, ONE("procpool_imap_unordered_65536", "us"), 65536}},
     {{"imap_unordered_64_vs_ordered", "procpool_imap_unordered_64", "procpool_imap_64"},
      {"imap_unordered_65536_vs_ordered", "procpool_imap_unordered_65536", "procpool_imap_65536"}}},

    {"one_processor",
     ROUNDS,
     {{&pool, pool_one_processor, 1, ONE("procpool_one_processor_round_trip", "us"), 0},
      {&pipes, pipes_one_processor, 1, ONE("pipes_one_processor_round_trip", "us"), 0}},
     {{"one_processor_vs_pipes", "procpool_one_processor_round_trip", "pipes_one_processor_round_trip"}}},

    {"paused",
     ROUNDS,
     {{&pool, pool_paused, 1, TAILS("procpool_paused_round_trip"), 200},
      {&pool, pool_paused_no_spin, 1, TAILS("procpool_paused_no_spin_round_trip"), 200},
      {&two, limit_futex_paused, 1, TAILS("limit_paused_round_trip"), 200},
      {&pipes, pipes_paused, 1, TAILS("pipes_paused_round_trip"), 200},
      {&tbb, tbb_paused, 1, TAILS("tbb_paused_round_trip"), 200},
      {&taskflow, taskflow_paused, 1, TAILS("taskflow_paused_round_trip"), 200},
      {&asio, asio_paused, 1, TAILS("asio_paused_round_trip"), 200}},
     {{"paused_vs_peers", "procpool_paused_round_trip",
       "tbb_paused_round_trip taskflow_paused_round_trip asio_paused_round_trip"}}},

    {"1khz",
     ROUNDS,
     {{&pool, pool_paused, 1, TAILS("procpool_1khz_round_trip"), 1000},
      {&pool, pool_paused_no_spin, 1, TAILS("procpool_1khz_no_spin_round_trip"), 1000},
      {&two, limit_futex_paused, 1, TAILS("limit_1khz_round_trip"), 1000},
      {&pipes, pipes_paused, 1, TAILS("pipes_1khz_round_trip"), 1000}},
     {{NULL, NULL, NULL}}},

    WAITING_GROUP("2", 2),
    WAITING_GROUP("16", 16),

    {"many_workers",
     ROUNDS,
     {{&pool,
       pool_many_workers,
       16,
       {{"procpool_16_workers_round_trip", "us"}, {"procpool_16_workers_stream", "tasks/s"}},
       0},
      {&pool,
       pool_many_workers,
       64,
       {{"procpool_64_workers_round_trip", "us"}, {"procpool_64_workers_stream", "tasks/s"}},
       0}},
     {{"roundtrip_64_workers_vs_16", "procpool_64_workers_round_trip", "procpool_16_workers_round_trip"},
      {"stream_16_vs_64_workers", "procpool_16_workers_stream", "procpool_64_workers_stream"}}},

    {"round_trip_peers",
     ROUNDS,
     {{&pool, pool_default, 1, TAILS("procpool_round_trip_again"), 0},
      {&queue, queue_round_trip, 1, ONE("queue_round_trip", "us"), 0},
      {&queue, queue_round_trip_asleep, 1, ONE("queue_asleep_round_trip", "us"), 0},
      {&tbb, tbb_round_trip, 1, ONE("tbb_round_trip", "us"), 0},
      {&taskflow, taskflow_round_trip, 1, ONE("taskflow_round_trip", "us"), 0},
      {&asio, asio_round_trip, 1, ONE("asio_round_trip", "us"), 0}},
     {{"roundtrip_vs_peers", "procpool_round_trip_again",
       "queue_round_trip queue_asleep_round_trip tbb_round_trip taskflow_round_trip asio_round_trip"}}},

    STREAM_GROUP("stream_1", "", 1),
    STREAM_GROUP("stream_2", "_2", 2),
};

const int groups_count = sizeof(groups) / sizeof(groups[0]);
