/* OpenMP. Tasks: one thread makes them while the others (as many as there are workers) run them; where too many wait, the
 * maker runs a task itself at once. Maps: parallel for schedule(dynamic), the caller being one of the threads. */
#include "bench.h"

#ifdef _OPENMP
static void tasks(int workers, uint64_t *results, size_t count) {
#pragma omp parallel num_threads(workers + 1)
#pragma omp single
  for (size_t i = 0; i < count; i++) {
#pragma omp task firstprivate(i)
    results[i] = i;
  }
}

void openmp_throughput(int workers, double *out) {
  const size_t count = few(1000000);
  uint64_t *results = malloc(count * sizeof(*results));
  if (results == NULL)
    fail("openmp", "out of memory");
  memset(results, 1, count * sizeof(*results));
  tasks(workers, results, WINDOW);
  const double begin = now();
  tasks(workers, results, count);
  out[0] = (double)count / (now() - begin);
  for (size_t i = 0; i < count; i++)
    if (results[i] != i)
      fail("openmp", "wrong result");
  free(results);
}

static void compute(void *context, map_data *map) {
  const int *workers = context;
#pragma omp parallel for schedule(dynamic, CHUNK) num_threads(*workers)
  for (size_t i = 0; i < map->count; i++)
    map->results[i] = work_1us(map->arguments[i]);
}

static void small(void *context, map_data *map) {
  const int *workers = context;
#pragma omp parallel for schedule(dynamic, CHUNK) num_threads(*workers)
  for (size_t i = 0; i < map->count; i++)
    map->results[i] = square_plus_one(map->arguments[i]);
}

static void memory(void *context, map_data *map) {
  const int *workers = context;
#pragma omp parallel for schedule(dynamic, MEMORY_CHUNK) num_threads(*workers)
  for (size_t i = 0; i < map->count; i++)
    map->results[i] = map->arguments[i] * SCALE + OFFSET;
}

void openmp_map_compute(int workers, double *out) {
  map_data map = map_open(few(100000));
  out[0] = map_rate(&map, compute, &workers, work_1us);
  map_close(&map);
}

void openmp_map_small(int workers, double *out) {
  map_data map = map_open(few(1000000));
  out[0] = map_rate(&map, small, &workers, square_plus_one);
  map_close(&map);
}

/* GB/s, read and written. */
void openmp_map_memory(int workers, double *out) {
  map_data map = map_open(few(64 * MIB / sizeof(double)) / MEMORY_CHUNK * MEMORY_CHUNK);
  out[0] = map_rate(&map, memory, &workers, scale_and_offset) * 2 * sizeof(double) * 1e-9;
  map_close(&map);
}

static void square(void *context, map_data *map) {
  const int *workers = context;
#pragma omp parallel for schedule(static) num_threads(*workers)
  for (size_t i = 0; i < map->count; i++)
    map->results[i] = map->arguments[i] * map->arguments[i] + 1.0;
}

/* us for amount items, shared out beforehand. */
void openmp_map_us(int workers, double *out) {
  map_data map = map_open(amount);
  out[0] = map_us(&map, square, &workers, square_plus_one);
  map_close(&map);
}

static void skewed(void *context, map_data *map) {
  const int *workers = context;
#pragma omp parallel for schedule(dynamic, 1) num_threads(*workers)
  for (size_t i = 0; i < map->count; i++)
    map->results[i] = skewed_work(map->arguments[i]);
}

void openmp_skewed(int workers, double *out) {
  map_data map = map_open(SKEWED);
  out[0] = skewed_share(SKEWED * 1e6 / map_rate(&map, skewed, &workers, skewed_work), workers);
  map_close(&map);
}

const char *openmp_absent(void) {
  return NULL;
}

#else

void openmp_throughput(int workers, double *out) {
  (void)workers;
  (void)out;
}

void openmp_map_compute(int workers, double *out) {
  openmp_throughput(workers, out);
}

void openmp_map_small(int workers, double *out) {
  openmp_throughput(workers, out);
}

void openmp_map_memory(int workers, double *out) {
  openmp_throughput(workers, out);
}

void openmp_map_us(int workers, double *out) {
  openmp_throughput(workers, out);
}

void openmp_skewed(int workers, double *out) {
  openmp_throughput(workers, out);
}

const char *openmp_absent(void) {
  return "built without OpenMP (gcc has it, clang needs libomp-dev)";
}
#endif

/* Items a second. */
void openmp_map(int workers, double *out) {
  openmp_map_us(workers, out);
  out[0] = (double)amount * 1e6 / out[0];
}
