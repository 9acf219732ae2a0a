/* The tables of what is measured (figures.c), and what measures by them (runner.c, sweeps.c). */
#ifndef BENCH_RUNNER_H
#define BENCH_RUNNER_H

#include "bench.h"

enum { ROUNDS = 7, PYTHON_ROUNDS = 3, MOST_FIGURES = 12, MOST_RATIOS = 8 };

typedef struct peer {
  const char *name;
  absence *absent; /* null: never */
  int rounds;      /* at most, of what takes long; 0: all */
  const char *reason;
  bool asked;
} peer;

typedef struct output {
  const char *name, *unit;
} output;

typedef struct figure {
  peer *by;
  measure *run;
  int workers;
  output outputs[OUTPUTS];
  size_t amount;
} figure;

/* over and under: names of outputs. Several, with blanks between: the best of those that are there (the least of us,
 * the most of all else). */
typedef struct ratio {
  const char *name, *over, *under;
} ratio;

typedef struct group {
  const char *name;
  int rounds;
  figure figures[MOST_FIGURES];
  ratio ratios[MOST_RATIOS];
} group;

/* figures.c */
extern peer limits, two, pool, pipes, threads, uv, openmp, tbb, taskflow, asio, queue, zmq, interprocess, ppe, mp, mpi;
extern group groups[];
extern const int groups_count;

/* runner.c */
/* Asks once, and says once what is not there. */
bool is_absent(peer *p);
/* One sample of each output; NAN where it failed, which is said and kept for the exit status. */
void measure_once(const figure *f, double *values);
/* Of what is not NAN. */
double median_of(const double *values, int count);

/* sweeps.c: measures curves; writes a file for each panel of the chart into the folder. */
void run_sweeps(const char *folder);

#endif
