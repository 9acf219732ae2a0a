/* Peers that are programs of their own, since they are not plain C or bring threads with them: PROGRAMS/NAME, if it
 * could be built. */
#include "bench.h"

static void run_program(const char *program, const char *what, int workers, double *out) {
  char command[4096];
  snprintf(command, sizeof(command), "exec '%s/%s' %s %d %zu %zu %d </dev/null", BENCH_PROGRAMS, program, what, workers,
           amount, work_per_us, quick);
  FILE *in = popen(command, "r");
  bool good = in != NULL;
  for (int i = 0; i < OUTPUTS; i++)
    good = good && fscanf(in, "%lf", &out[i]) == 1;
  if (!good || pclose(in) != 0)
    fail(command, "failed");
}

static const char *absent_unless(const char *program, const char *reason) {
  char path[4096];
  snprintf(path, sizeof(path), "%s/%s", BENCH_PROGRAMS, program);
  return access(path, X_OK) == 0 ? NULL : reason;
}

#define ABSENT(peer, reason)                                                                                           \
  const char *peer##_absent(void) {                                                                                    \
    return absent_unless(#peer, reason);                                                                               \
  }
#define FIGURE(peer, name)                                                                                             \
  void peer##_##name(int workers, double *out) {                                                                       \
    run_program(#peer, #name, workers, out);                                                                           \
  }
/* GB/s, there and back, from us. */
#define ECHO(peer)                                                                                                     \
  FIGURE(peer, echo_us)                                                                                                \
  void peer##_echo(int workers, double *out) {                                                                         \
    peer##_echo_us(workers, out);                                                                                      \
    out[0] = 2e-3 * (double)amount / out[0];                                                                           \
  }

ABSENT(tbb, "oneTBB is not installed (libtbb-dev), or there is no C++ compiler")
FIGURE(tbb, round_trip)
FIGURE(tbb, paused)
FIGURE(tbb, throughput)
FIGURE(tbb, skewed)
FIGURE(tbb, waiting)
FIGURE(tbb, map_us)

/* Items a second. */
void tbb_map(int workers, double *out) {
  tbb_map_us(workers, out);
  out[0] = (double)amount * 1e6 / out[0];
}

ABSENT(taskflow,
       "Taskflow is not installed (make TASKFLOW=FOLDER: where taskflow/taskflow.hpp is), or there is no C++ compiler")
FIGURE(taskflow, round_trip)
FIGURE(taskflow, paused)
FIGURE(taskflow, throughput)
FIGURE(taskflow, waiting)

ABSENT(asio, "Asio is not installed (libasio-dev), or there is no C++ compiler")
FIGURE(asio, round_trip)
FIGURE(asio, paused)
FIGURE(asio, throughput)
FIGURE(asio, waiting)

ABSENT(queue, "ConcurrentQueue is not installed (libconcurrentqueue-dev), or there is no C++ compiler")
FIGURE(queue, round_trip)
FIGURE(queue, round_trip_asleep)
FIGURE(queue, throughput)
FIGURE(queue, throughput_asleep)

ABSENT(zmq, "ZeroMQ is not installed (libzmq3-dev)")
ECHO(zmq)

ABSENT(interprocess, "Boost.Interprocess is not installed (libboost-dev), or there is no C++ compiler")
ECHO(interprocess)
