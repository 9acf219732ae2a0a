/* Python's pools, each run in a fresh interpreter (peers.py), whose last line of output is the figure. */
#include "bench.h"

static void python(const char *peer, const char *what, int workers, size_t count, double *out) {
  char command[4096];
  double value = 0;
  snprintf(command, sizeof(command), "exec sh '%s/peers.sh' %s %s %d %zu %d %d </dev/null 2>/dev/null", BENCH_FOLDER,
           peer, what, workers, count, WINDOW, CHUNK);
  FILE *in = popen(command, "r");
  if (in == NULL || fscanf(in, "%lf", &value) != 1 || pclose(in) != 0)
    fail(command, "failed");
  out[0] = value;
}

/* The reason is the first line that comes instead of "ok". */
static const char *python_absent(const char *peer, char *reason, size_t size) {
  char command[4096];
  snprintf(command, sizeof(command), "sh '%s/peers.sh' %s probe 1 1 1 1 </dev/null 2>/dev/null", BENCH_FOLDER, peer);
  FILE *in = popen(command, "r");
  if (in == NULL || fgets(reason, (int)size, in) == NULL)
    snprintf(reason, size, "it cannot be run");
  if (in != NULL)
    pclose(in);
  reason[strcspn(reason, "\n")] = 0;
  return strcmp(reason, "ok") == 0 ? NULL : reason;
}

/* The figures of one peer: NAME_round_trip and so on, by the name that peers.py knows. */
#define FIGURE(peer, name, what, count)                                                                                \
  void peer##_##name(int workers, double *out) {                                                                       \
    python(#peer, what, workers, few(count), out);                                                                     \
  }
#define ABSENT(peer)                                                                                                   \
  const char *peer##_absent(void) {                                                                                    \
    static char reason[256];                                                                                           \
    return python_absent(#peer, reason, sizeof(reason));                                                               \
  }

ABSENT(ppe)
FIGURE(ppe, round_trip, "round_trip", 1500)
FIGURE(ppe, throughput, "throughput", 6000)
FIGURE(ppe, map, "map", 500000)
FIGURE(ppe, echo, "echo", 100)
FIGURE(ppe, open, "open", 20)

ABSENT(mp)
FIGURE(mp, round_trip, "round_trip", 1500)
FIGURE(mp, throughput, "throughput", 20000)
FIGURE(mp, map, "map", 500000)
FIGURE(mp, echo, "echo", 100)
FIGURE(mp, open, "open", 20)

ABSENT(mpi)
FIGURE(mpi, round_trip, "round_trip", 500)
FIGURE(mpi, throughput, "throughput", 3000)
FIGURE(mpi, map, "map", 200000)
FIGURE(mpi, echo, "echo", 50)
