/* What it costs to open a pool from a host that has much memory, by fork and by spawn: metric lines, medians of five, with one
 * worker. Each size is measured in a process of its own, whose memory is anonymous and written all over, in pages of 4 KiB or
 * (huge) in those of 2 MiB that MADV_HUGEPAGE asks for.
 *   start_open_FORK_SIZE    procpool_open                      start_result_FORK_SIZE   open, submit, result
 *   start_close_FORK_SIZE   shutdown and free                  start_worker_FORK_SIZE   what one more worker adds to the open
 *   start_write_FORK_SIZE   the host's first write to each page of 4 KiB while the pool lives (none: without a pool)
 *
 *   start [MIB ...]         default 10 100 1024 4096; what the machine has no memory for is skipped */
#define PROCPOOL_IMPLEMENTATION
#include "bench.h"
#include "../../procpool.h"

#include <sys/mman.h>
#include <sys/wait.h>

enum { TIMES = 5, SMALL_PAGE = 4096 };
#define WRITTEN ((size_t)64 * MIB) /* at most: so much of the host's memory is written to */

static void empty(procpool_task *task) {
  (void)task;
}

static unsigned char *host_memory(size_t size, bool huge) {
  void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED)
    fail("mmap", "no memory");
  (void)madvise(memory, size, huge ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
  memset(memory, 1, size);
  return memory;
}

/* ns for each page of 4 KiB. */
static double write_ns(unsigned char *memory, size_t size) {
  const size_t part = size < WRITTEN ? size : WRITTEN;
  const double begin = now();
  for (size_t at = 0; at < part; at += SMALL_PAGE)
    ((volatile unsigned char *)memory)[at]++;
  return (now() - begin) * 1e9 / (double)(part / SMALL_PAGE);
}

typedef struct costs {
  double open[TIMES], result[TIMES], write[TIMES], close[TIMES], worker[TIMES];
} costs;

/* us */
static procpool *open_timed(procpool_start start, int workers, double *us) {
  procpool_options options = {0};
  procpool_error error = {0};
  options.error = &error;
  options.start = start;
  options.max_workers = workers;
  const double begin = now();
  procpool *pool = procpool_open(&options);
  *us = (now() - begin) * 1e6;
  if (pool == NULL)
    fail("start", error.message);
  return pool;
}

static void close_pool(procpool *pool) {
  if (procpool_shutdown(pool, PROCPOOL_DRAIN, PROCPOOL_FOREVER) != PROCPOOL_OK || procpool_free(pool) != PROCPOOL_OK)
    fail("start", "shutdown");
}

static void measure_once(procpool_start start, unsigned char *memory, size_t size, costs *c, int i) {
  size_t got;
  procpool_future *future = NULL;
  double two;
  const double begin = now();
  procpool *pool = open_timed(start, 1, &c->open[i]);
  if (procpool_submit(pool, empty, NULL, 0, NULL, &future) != PROCPOOL_OK ||
      procpool_future_result(future, PROCPOOL_FOREVER, NULL, 0, &got) != PROCPOOL_OK)
    fail("start", "no result");
  c->result[i] = (now() - begin) * 1e6;
  (void)procpool_future_release(future);
  c->write[i] = write_ns(memory, size);
  const double end = now();
  close_pool(pool);
  c->close[i] = (now() - end) * 1e6;
  close_pool(open_timed(start, 2, &two));
  c->worker[i] = two - c->open[i];
}

static void print(const char *what, const char *method, size_t mib, bool huge, double *values, const char *unit) {
  printf("metric start_%s_%s_%zu_mib%s %.4g %s\n", what, method, mib, huge ? "_huge" : "", median(values, TIMES), unit);
}

static void measure_size(size_t mib, bool huge) {
  const size_t size = mib * MIB;
  unsigned char *memory = host_memory(size, huge);
  static const char *const names[] = {"fork", "spawn"};
  static const procpool_start starts[] = {PROCPOOL_START_FORK, PROCPOOL_START_SPAWN};
  double alone[TIMES];
  costs c;
  for (int i = 0; i < TIMES; i++)
    alone[i] = write_ns(memory, size);
  for (int s = 0; s < 2; s++) {
    for (int i = 0; i < TIMES; i++)
      measure_once(starts[s], memory, size, &c, i);
    print("open", names[s], mib, huge, c.open, "us");
    print("result", names[s], mib, huge, c.result, "us");
    print("close", names[s], mib, huge, c.close, "us");
    print("worker", names[s], mib, huge, c.worker, "us");
    print("write", names[s], mib, huge, c.write, "ns/page");
  }
  print("write", "none", mib, huge, alone, "ns/page");
}

/* The host's own, and what copy-on-write may add. */
static bool fits(size_t mib) {
  char line[256];
  size_t kib = 0;
  FILE *in = fopen("/proc/meminfo", "r");
  while (in != NULL && fgets(line, sizeof(line), in) != NULL)
    if (sscanf(line, "MemAvailable: %zu", &kib) == 1)
      break;
  if (in != NULL)
    fclose(in);
  return kib / 1024 > mib + mib / 4 + 256;
}

static bool run(size_t mib, bool huge) {
  int status = -1;
  fflush(NULL);
  const pid_t pid = fork();
  if (pid == 0) {
    measure_size(mib, huge);
    fflush(NULL);
    _exit(0);
  }
  return pid > 0 && waitpid(pid, &status, 0) == pid && status == 0;
}

int main(int argc, char **argv) {
  static const char *const usual[] = {"10", "100", "1024", "4096"};
  const double begin = now();
  bool good = true;
  procpool_worker_main();
  for (int i = 0; i < (argc > 1 ? argc - 1 : 4); i++) {
    const size_t mib = strtoul(argc > 1 ? argv[i + 1] : usual[i], NULL, 10);
    for (int huge = 0; huge < 2; huge++) {
      if (mib == 0 || !fits(mib))
        printf("skip start_%zu_mib: not enough memory\n", mib);
      else
        good = run(mib, huge != 0) && good;
    }
  }
  fprintf(stderr, "bench: start took %.1f s\n", now() - begin);
  return good ? 0 : 1;
}
