/* Curves: what a figure is over payloads, workers, items of a map, threads that wait. A file for each panel of the
 * chart; in it a block for each curve, which begins with its name and has a line X Y for each point, the median of a
 * few. */
#include "runner.h"

#include <math.h>

enum { MOST_POINTS = 12, MOST_CURVES = 8, MOST_PANELS = 2, SWEEP_ROUNDS = 3 };

typedef struct curve {
  const char *name;
  peer *by;
  measure *run;
  int workers; /* 0: the points are */
} curve;

typedef struct panel {
  const char *name;
  int output;
} panel;

typedef struct sweep {
  panel panels[MOST_PANELS];
  size_t points[MOST_POINTS]; /* amounts, or workers */
  curve curves[MOST_CURVES];
} sweep;

static const sweep sweeps[] = {
    {{{"payload", 0}, {NULL, 0}},
     {1, 64, 1024, 4096, 16384, 65536, 262144, MIB, 4 * MIB, 16 * MIB},
     {{"limit (best of three copies)", &two, limit_echo_us, 1},
      {"procpool.h", &two, pool_echo_us, 1},
      {"raw rings", &two, ring_echo_us, 1},
      {"UNIX stream socket", &two, sockets_echo_us, 1},
      {"ZeroMQ", &zmq, zmq_echo_us, 1},
      {"Boost.Interprocess", &interprocess, interprocess_echo_us, 1}}},

    {{{"workers", 0}, {"workers_stream", 1}},
     {1, 2, 4, 8, 16, 32, 48, 64},
     {{"procpool.h", &pool, pool_many_workers, 0}}},

    {{{"items", 0}, {NULL, 0}},
     {100, 300, 1000, 3000, 10000, 30000, 100000, 300000, 1000000, 3000000, 10000000},
     {{"plain loop", &limits, limit_loop_us, 1},
      {"procpool.h", &pool, pool_map_us, 2},
      {"procpool.h, shared buffers", &pool, pool_map_shared_us, 2},
      {"OpenMP static", &openmp, openmp_map_us, 2},
      {"oneTBB parallel_for", &tbb, tbb_map_us, 2}}},

    {{{"threads", 0}, {"threads_tail", 3}},
     {1, 2, 4, 8, 16},
     {{"procpool.h", &pool, pool_waiting, 2},
      {"pthread pool", &threads, threads_waiting, 2},
      {"oneTBB", &tbb, tbb_waiting, 2},
      {"Taskflow", &taskflow, taskflow_waiting, 2},
      {"Asio", &asio, asio_waiting, 2}}},
};

static FILE *open_panel(const char *folder, const char *name) {
  char path[4096];
  snprintf(path, sizeof(path), "%s/sweep_%s.data", folder, name);
  FILE *out = fopen(path, "w");
  if (out == NULL)
    fail(path, "cannot be written");
  return out;
}

/* Medians of the rounds. */
static void measure_point(const curve *c, size_t point, double *values) {
  const figure f = {c->by, c->run, c->workers > 0 ? c->workers : (int)point, {{c->name, ""}}, point};
  const int rounds = quick ? 1 : SWEEP_ROUNDS;
  double all[OUTPUTS][SWEEP_ROUNDS];
  for (int round = 0; round < rounds; round++) {
    measure_once(&f, values);
    for (int o = 0; o < OUTPUTS; o++)
      all[o][round] = values[o];
  }
  for (int o = 0; o < OUTPUTS; o++)
    values[o] = median_of(all[o], rounds);
}

static void run_curve(const sweep *s, const curve *c, FILE **out) {
  double values[OUTPUTS];
  for (int p = 0; p < MOST_PANELS && s->panels[p].name != NULL; p++)
    fprintf(out[p], "\"%s\"\n", c->name);
  for (int i = 0; i < MOST_POINTS && s->points[i] > 0; i++) {
    measure_point(c, s->points[i], values);
    for (int p = 0; p < MOST_PANELS && s->panels[p].name != NULL; p++) {
      const double value = values[s->panels[p].output];
      if (isnan(value))
        continue;
      fprintf(out[p], "%zu %.6g\n", s->points[i], value);
      printf("sweep %s \"%s\" %zu %.6g\n", s->panels[p].name, c->name, s->points[i], value);
    }
  }
  for (int p = 0; p < MOST_PANELS && s->panels[p].name != NULL; p++)
    fprintf(out[p], "\n\n");
}

void run_sweeps(const char *folder) {
  for (size_t i = 0; i < sizeof(sweeps) / sizeof(sweeps[0]); i++) {
    const sweep *s = &sweeps[i];
    FILE *out[MOST_PANELS];
    for (int p = 0; p < MOST_PANELS && s->panels[p].name != NULL; p++)
      out[p] = open_panel(folder, s->panels[p].name);
    for (int c = 0; c < MOST_CURVES && s->curves[c].run != NULL; c++)
      if (!is_absent(s->curves[c].by))
        run_curve(s, &s->curves[c], out);
    for (int p = 0; p < MOST_PANELS && s->panels[p].name != NULL; p++)
      fclose(out[p]);
  }
}
