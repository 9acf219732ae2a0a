/* procpool.h itself. */
#define PROCPOOL_IMPLEMENTATION
#include "bench.h"
#include "pool.h"

#include <dirent.h>
#include <signal.h>

/* ---- what runs in the workers ---- */

static void echo(procpool_task *task) {
  size_t size;
  const void *argument = procpool_task_argument(task, &size);
  procpool_task_return(task, argument, size);
}

static void pids_of_worker(procpool_task *task) {
  const long pids[2] = {(long)getpid(), (long)getppid()};
  procpool_task_return(task, pids, sizeof(pids));
}

static void for_ever(procpool_task *task) {
  (void)task;
  for (;;)
    pause();
}

/* Spins until the word is set that its argument, an address in shared pages, points to. */
static void wait_at_gate(procpool_task *task) {
  int *const *gate = procpool_task_argument(task, NULL);
  while (__atomic_load_n(*gate, __ATOMIC_ACQUIRE) == 0)
    procpool__platform_relax();
}

static void long_task(procpool_task *task) {
  const size_t *i = procpool_task_argument(task, NULL);
  const double sum = work((double)*i, work_per_us * LONG_US);
  procpool_task_return(task, &sum, sizeof(sum));
}

PROCPOOL_FUNCTION(double, compute, double, x) {
  return work_1us(x);
}

PROCPOOL_FUNCTION(double, small, double, x) {
  return square_plus_one(x);
}

/* ---- round trips ---- */

void pool_hot(int workers, double *out) {
  procpool *pool = open_pinned(workers_only(workers));
  const double us = batched_us(empty_trip, pool, few(200000));
  each_us(empty_trip, pool, few(100000), 0, out);
  out[0] = us;
  close_pool(pool);
}

void pool_asleep(int workers, double *out) {
  procpool *pool = open_pinned(never_spins(workers));
  each_us(empty_trip, pool, few(2000), 200, out);
  close_pool(pool);
}

void pool_default(int workers, double *out) {
  procpool *pool = open_pool(workers_only(workers));
  const double us = batched_us(empty_trip, pool, few(50000));
  each_us(empty_trip, pool, few(20000), 0, out);
  out[0] = us;
  close_pool(pool);
}

void pool_no_spin(int workers, double *out) {
  procpool *pool = open_pool(never_spins(workers));
  out[0] = batched_us(empty_trip, pool, few(10000));
  close_pool(pool);
}

void pool_no_spin_pinned(int workers, double *out) {
  procpool *pool = open_pinned(never_spins(workers));
  out[0] = batched_us(empty_trip, pool, few(10000));
  close_pool(pool);
}

/* ---- empty tasks a second, each with its own future and result, taken in order ---- */

static void stream(procpool *pool, size_t count) {
  static procpool_future *futures[WINDOW];
  for (size_t i = 0; i < count + WINDOW; i++) {
    if (i >= WINDOW)
      collect(futures[i % WINDOW], NULL, 0);
    if (i < count)
      futures[i % WINDOW] = submit(pool, empty, NULL, 0);
  }
}

void pool_throughput(int workers, double *out) {
  const size_t count = few(1000000);
  procpool_options options = workers_only(workers);
  options.max_queued = WINDOW; /* as the peers' queues */
  procpool *pool = open_pool(options);
  stream(pool, 4 * WINDOW);
  const double start = now();
  stream(pool, count);
  out[0] = (double)count / (now() - start);
  close_pool(pool);
}

/* The same, handed over in batches; the results still come one by one. */
enum { BATCH = 256 };

static void stream_many(procpool *pool, size_t count) {
  static procpool_future *futures[WINDOW];
  for (size_t i = 0; i < count + WINDOW; i += BATCH) {
    procpool_future **batch = &futures[i % WINDOW];
    for (size_t k = 0; i >= WINDOW && k < BATCH; k++)
      collect(batch[k], NULL, 0);
    if (i < count)
      check(procpool_submit_many(pool, empty, NULL, 0, BATCH, NULL, batch, NULL), "submit_many");
  }
}

void pool_throughput_many(int workers, double *out) {
  const size_t count = few(1000000) / BATCH * BATCH;
  procpool_options options = workers_only(workers);
  options.max_queued = WINDOW;
  procpool *pool = open_pool(options);
  stream_many(pool, 4 * WINDOW);
  const double start = now();
  stream_many(pool, count);
  out[0] = (double)count / (now() - start);
  close_pool(pool);
}

/* ---- map ---- */

static void call_compute(void *context, map_data *map) {
  procpool_map_options options = {0};
  options.chunksize = CHUNK;
  check(compute_map_with(context, map->arguments, map->results, map->count, &options), "map");
}

static void call_small(void *context, map_data *map) {
  procpool_map_options options = {0};
  options.chunksize = CHUNK;
  check(small_map_with(context, map->arguments, map->results, map->count, &options), "map");
}

void pool_map_compute(int workers, double *out) {
  map_data map = map_open(few(100000));
  procpool *pool = open_pool(workers_only(workers));
  out[0] = map_rate(&map, call_compute, pool, work_1us);
  close_pool(pool);
  map_close(&map);
}

void pool_map_small(int workers, double *out) {
  map_data map = map_open(few(1000000));
  procpool *pool = open_pool(workers_only(workers));
  out[0] = map_rate(&map, call_small, pool, square_plus_one);
  close_pool(pool);
  map_close(&map);
}

PROCPOOL_FUNCTION(double, memory, double, x) {
  return x * SCALE + OFFSET;
}

static void call_memory_by_doubles(void *context, map_data *map) {
  check(memory_map(context, map->arguments, map->results, map->count), "map"); /* chunks as the pool chooses them */
}

/* An item is as many doubles as OpenMP hands out at once: a loop that the compiler makes vectors of, here as there. */
static void memory_block(procpool_task *task) {
  size_t size;
  const double *in = procpool_task_argument(task, &size);
  double *out = procpool_task_result(task, size);
  for (size_t i = 0; i < size / sizeof(double); i++)
    out[i] = in[i] * SCALE + OFFSET;
}

static void call_memory(void *context, map_data *map) {
  const size_t block = map->count < MEMORY_CHUNK ? map->count : MEMORY_CHUNK, bytes = block * sizeof(double);
  if (map->count % block != 0)
    fail("map", "blocks are left over");
  check(procpool_map(context, memory_block, map->arguments, bytes, map->results, bytes, map->count / block, NULL),
        "map");
}

static void measure_map_memory(int workers, void (*call)(void *context, map_data *map), double *out) {
  const size_t count = few(64 * MIB / sizeof(double)) / MEMORY_CHUNK * MEMORY_CHUNK;
  procpool *pool = open_pool(workers_only(workers));
  double *arguments = procpool_shared_alloc(pool, count * sizeof(double));
  double *results = procpool_shared_alloc(pool, count * sizeof(double));
  map_data map = map_open_in(arguments, results, count);
  out[0] = map_rate(&map, call, pool, scale_and_offset) * 2 * sizeof(double) * 1e-9;
  check(procpool_shared_free(pool, arguments), "shared_free");
  check(procpool_shared_free(pool, results), "shared_free");
  close_pool(pool);
}

/* GB/s, read and written, in shared buffers. */
void pool_map_memory(int workers, double *out) {
  measure_map_memory(workers, call_memory, out);
}

void pool_map_memory_by_doubles(int workers, double *out) {
  measure_map_memory(workers, call_memory_by_doubles, out);
}

/* ---- bytes there and back ---- */

typedef struct echo_side {
  procpool *pool;
  char *sent, *got;
} echo_side;

static void echo_trip(void *context) {
  const echo_side *side = context;
  collect(submit(side->pool, echo, side->sent, amount), side->got, amount);
}

static void measure_echo(procpool *pool, double *out) {
  echo_side side = {pool, echo_bytes(), echo_bytes()};
  out[0] = echo_gbs(echo_trip, &side);
  echo_check(side.sent, side.got);
  close_pool(pool);
}

void pool_echo_pinned(int workers, double *out) {
  measure_echo(open_pinned(workers_only(workers)), out);
}

void pool_echo(int workers, double *out) {
  measure_echo(open_pool(workers_only(workers)), out);
}

void pool_echo_us(int workers, double *out) {
  procpool *pool = open_pinned(workers_only(workers));
  echo_side side = {pool, echo_bytes(), echo_bytes()};
  out[0] = echo_us(echo_trip, &side);
  close_pool(pool);
}

/* ---- opening, and a worker that is killed ---- */

static void measure_open(procpool_options options, double *out) {
  enum { OPENINGS = 21 };
  double us[OPENINGS];
  for (int i = 0; i < OPENINGS; i++) {
    const double start = now();
    procpool *pool = open_pool(options);
    collect(submit(pool, empty, NULL, 0), NULL, 0);
    us[i] = (now() - start) * 1e6;
    close_pool(pool);
  }
  out[0] = median(us, OPENINGS);
}

void pool_open(int workers, double *out) {
  procpool_options options = workers_only(workers);
  options.start = PROCPOOL_START_FORK;
  measure_open(options, out);
}

void pool_open_spawn(int workers, double *out) {
  procpool_options options = workers_only(workers);
  options.start = PROCPOOL_START_SPAWN;
  measure_open(options, out);
}

void pool_door(void) {
  procpool_worker_main();
}

/* The only worker runs a task and another is queued: from its SIGKILL to the result of that other one. */
static double recovery_us(procpool *pool) {
  long pids[2];
  collect(submit(pool, pids_of_worker, NULL, 0), pids, sizeof(pids));
  procpool_future *busy = submit(pool, for_ever, NULL, 0), *next = submit(pool, empty, NULL, 0);
  while (!procpool_future_running(busy))
    pause_us(100);
  const double start = now();
  kill((pid_t)pids[0], SIGKILL);
  collect(next, NULL, 0);
  const double us = (now() - start) * 1e6;
  if (procpool_future_wait(busy, PROCPOOL_FOREVER) != PROCPOOL_CRASHED)
    fail("a killed worker's task", "not CRASHED");
  check(procpool_future_release(busy), "release");
  return us;
}

void pool_recovery(int workers, double *out) {
  enum { KILLS = 21 };
  double us[KILLS];
  procpool *pool = open_pool(workers_only(workers));
  for (int i = 0; i < KILLS; i++)
    us[i] = recovery_us(pool);
  out[0] = median(us, KILLS);
  close_pool(pool);
}

/* ---- idle ---- */

/* The number after "KEY:" in /proc/PID/FILE; -1 if it is not there. */
static long proc_number(long pid, const char *file, const char *key) {
  char path[64], line[512];
  long value = -1;
  const size_t length = strlen(key);
  snprintf(path, sizeof(path), "/proc/%ld/%s", pid, file);
  FILE *in = fopen(path, "r");
  while (in != NULL && value < 0 && fgets(line, sizeof(line), in) != NULL)
    if (strncmp(line, key, length) == 0 && line[length] == ':')
      value = strtol(line + length + 1, NULL, 10);
  if (in != NULL)
    fclose(in);
  return value;
}

/* Time on a processor in ns: the first number of /proc/PID/schedstat. */
static long proc_ns(long pid) {
  char path[64];
  long ns = 0;
  snprintf(path, sizeof(path), "/proc/%ld/schedstat", pid);
  FILE *in = fopen(path, "r");
  if (in == NULL || fscanf(in, "%ld", &ns) != 1)
    fail(path, "cannot be read");
  fclose(in);
  return ns;
}

/* The supervisor and all its children. Returns how many. */
static size_t pool_processes(procpool *pool, long *pids, size_t capacity) {
  size_t count = 1;
  long both[2];
  collect(submit(pool, pids_of_worker, NULL, 0), both, sizeof(both));
  pids[0] = both[1];
  DIR *proc = opendir("/proc");
  struct dirent *entry;
  while (proc != NULL && count < capacity && (entry = readdir(proc)) != NULL) {
    const long pid = strtol(entry->d_name, NULL, 10);
    if (pid > 0 && proc_number(pid, "status", "PPid") == pids[0])
      pids[count++] = pid;
  }
  if (proc != NULL)
    closedir(proc);
  return count;
}

/* Totals of supervisor and workers over 5 s, after all have worked and gone to sleep. */
void pool_idle(int workers, double *out) {
  long pids[64];
  long ns = 0, switches = 0;
  procpool *pool = open_pool(workers_only(workers));
  stream(pool, 10000);
  const size_t count = pool_processes(pool, pids, 64);
  if (count != (size_t)workers + 1)
    fail("idle", "not all processes of the pool were found");
  pause_us(500000);
  for (int sign = -1; sign <= 1; sign += 2) {
    for (size_t i = 0; i < count; i++) {
      ns += sign * proc_ns(pids[i]);
      switches += sign * (proc_number(pids[i], "status", "voluntary_ctxt_switches") +
                          proc_number(pids[i], "status", "nonvoluntary_ctxt_switches"));
    }
    if (sign < 0)
      pause_us(quick ? 500000 : 5000000);
  }
  close_pool(pool);
  out[0] = (double)ns * 1e-6;
  out[1] = (double)switches;
}

/* ---- many queued ---- */

enum { QUEUED = 1000000, QUEUED_FEW = 1000 };

static procpool_future *queued[QUEUED];

/* Proportional set size of the host and the pool: shared pages count once in the sum over those who map them. */
static double pss_bytes(const long *pids, size_t count) {
  double kib = (double)proc_number((long)getpid(), "smaps_rollup", "Pss");
  for (size_t i = 0; i < count; i++)
    kib += (double)proc_number(pids[i], "smaps_rollup", "Pss");
  return kib * 1024;
}

static procpool_future *close_gate(procpool *pool, int *gate) {
  __atomic_store_n(gate, 0, __ATOMIC_SEQ_CST);
  procpool_future *first = submit(pool, wait_at_gate, &gate, sizeof(gate));
  while (!procpool_future_running(first))
    pause_us(100);
  return first;
}

static void fill(procpool *pool, size_t count) {
  for (size_t i = 0; i < count; i++)
    queued[i] = submit(pool, empty, NULL, 0);
}

static void empty_out(procpool_future *first, int *gate, size_t count) {
  __atomic_store_n(gate, 1, __ATOMIC_SEQ_CST);
  collect(first, NULL, 0);
  for (size_t i = 0; i < count; i++)
    collect(queued[i], NULL, 0);
}

static procpool *open_roomy(int workers) {
  procpool_options options = workers_only(workers);
  options.max_queued = QUEUED + 16;
  memset(queued, 1, sizeof(queued)); /* the caller's own array is not to be counted, nor its page faults */
  return open_pool(options);
}

void pool_bytes_per_queued(int workers, double *out) {
  long pids[64];
  const size_t count = few(QUEUED);
  int *gate = shared_pages(sizeof(*gate));
  memset(queued, 1, sizeof(queued));
  const double before = pss_bytes(NULL, 0);
  procpool *pool = open_roomy(workers);
  const size_t processes = pool_processes(pool, pids, 64);
  procpool_future *first = close_gate(pool, gate);
  fill(pool, count);
  out[0] = (pss_bytes(pids, processes) - before) / (double)count;
  empty_out(first, gate, count);
  close_pool(pool);
}

/* us per task, from its submit to its result taken, where all are queued before the first one runs. */
static double filling_us(procpool *pool, int *gate, size_t count) {
  procpool_future *first = close_gate(pool, gate);
  const double start = now();
  fill(pool, count);
  empty_out(first, gate, count);
  return (now() - start) * 1e6 / (double)count;
}

/* The median of the later fillings of the same pool, and the first. */
static void measure_cost(int workers, size_t count, size_t later, double *out) {
  double us[256];
  int *gate = shared_pages(sizeof(*gate));
  procpool *pool = open_roomy(workers);
  out[1] = filling_us(pool, gate, count);
  for (size_t i = 0; i < later; i++)
    us[i] = filling_us(pool, gate, count);
  out[0] = median(us, later);
  close_pool(pool);
}

void pool_cost_1e3(int workers, double *out) {
  measure_cost(workers, QUEUED_FEW, few(200), out);
}

void pool_cost_1e6(int workers, double *out) {
  measure_cost(workers, few(QUEUED), 1, out);
}

/* ---- tasks of 1 ms on two workers ---- */

/* Tasks a second. */
void pool_two_workers(int workers, double *out) {
  static procpool_future *futures[LONG_TASKS];
  const size_t count = few(LONG_TASKS) / 2 * 2;
  double sum;
  procpool *pool = open_pool(workers_only(workers));
  stream(pool, 10000);
  const double start = now();
  for (size_t i = 0; i < count; i++)
    futures[i] = submit(pool, long_task, &i, sizeof(i));
  for (size_t i = 0; i < count; i++)
    collect(futures[i], &sum, sizeof(sum));
  out[0] = (double)count / (now() - start);
  close_pool(pool);
}
