/* elsewhere.c - a program whose spawned processes have something else in the place of the pool's memory.
 *   elsewhere never|twice|always    how often they do; prints how often the program was started, and what became of it
 *   elsewhere often COUNT GIB       opens so many pools of so much memory (0: the default), and looks where workers have
 *                                   their buffers */
static int place_taken(void);
#define PROCPOOL__PLACE_TAKEN() place_taken()
#define PROCPOOL_IMPLEMENTATION
#include "../procpool.h"

/* Shared by host and supervisors: the first word is how many more of them find the place taken, the second how many came. */
static int *words;

static int place_taken(void) {
  words[1]++;
  return words[0] > 0 && words[0]-- > 0;
}

static void attach(void) {
  const char *path = getenv("ELSEWHERE");
  char text[64];
  int fd = path != NULL ? open(path, O_RDWR | O_CLOEXEC) : (int)syscall(SYS_memfd_create, "elsewhere", 1);
  if (fd < 0 || (path == NULL && ftruncate(fd, 4096) != 0))
    exit(2);
  words = (int *)mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (words == MAP_FAILED)
    exit(2);
  if (path != NULL) { /* where addresses have 32 bits, it might come to lie in the same place by chance */
    (void)close(fd);
    if (words[0] > 100) /* always */
      (void)mmap(NULL, (size_t)64 << 20, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    return;
  }
  (void)snprintf(text, sizeof(text), "/proc/%d/fd/%d", (int)getpid(), fd);
  (void)setenv("ELSEWHERE", text, 1);
}

#define REQUIRE(condition)                                                                                             \
  do {                                                                                                                 \
    if (!(condition)) {                                                                                                \
      printf("line %d: %s\n", __LINE__, #condition);                                                                   \
      exit(1);                                                                                                         \
    }                                                                                                                  \
  } while (0)

enum { COUNT = 300000 };

typedef struct sum_job {
  const int *numbers;
  long long *sum;
} sum_job;

/* By pointers that are the host's. Returns where it found the numbers. */
static void add_up(procpool_task *task) {
  const sum_job *job = (const sum_job *)procpool_task_argument(task, NULL);
  const int *numbers = (const int *)procpool_task_shared(task, job->numbers);
  long long *sum = (long long *)procpool_task_shared(task, job->sum);
  *sum = 0;
  for (int i = 0; i < COUNT; i++)
    *sum += numbers[i];
  procpool_task_return(task, (const void *)&numbers, sizeof(numbers));
}

/* In place, and its argument too. */
static void twice_each(procpool_task *task) {
  size_t size;
  const int *in = (const int *)procpool_task_argument(task, &size);
  int *out = (int *)procpool_task_result(task, size);
  for (size_t i = 0; out != NULL && i < size / sizeof(int); i++)
    out[i] = 2 * in[i];
}

PROCPOOL_FUNCTION(int, minus, int, x) {
  return -x;
}

static void nothing_there(procpool_task *task) {
  const char none = procpool_task_shared(task, &task) == NULL && procpool_task_shared(task, words) == NULL;
  procpool_task_return(task, &none, 1);
}

static bool use(procpool *pool) {
  int *in = (int *)procpool_shared_alloc(pool, COUNT * sizeof(int)), *where = NULL;
  int *out = (int *)procpool_shared_alloc(pool, COUNT * sizeof(int));
  procpool_submit_options options;
  procpool_future *future;
  sum_job job;
  char none = 0;
  REQUIRE(in != NULL && out != NULL);
  job.numbers = in;
  job.sum = (long long *)procpool_shared_alloc(pool, sizeof(long long));
  REQUIRE(job.sum != NULL);
  for (int i = 0; i < COUNT; i++)
    in[i] = i;
  REQUIRE(procpool_submit(pool, add_up, &job, sizeof(job), NULL, &future) == PROCPOOL_OK);
  REQUIRE(procpool_future_result(future, PROCPOOL_FOREVER, (void *)&where, sizeof(where), NULL) == PROCPOOL_OK);
  REQUIRE(procpool_future_release(future) == PROCPOOL_OK);
  REQUIRE(*job.sum == (long long)COUNT * (COUNT - 1) / 2);
  memset(&options, 0, sizeof(options));
  options.shared_argument = true;
  options.result = out;
  options.result_size = COUNT * sizeof(int);
  REQUIRE(procpool_submit(pool, twice_each, in, COUNT * sizeof(int), &options, &future) == PROCPOOL_OK);
  REQUIRE(procpool_future_wait(future, PROCPOOL_FOREVER) == PROCPOOL_OK);
  REQUIRE(procpool_future_data(future, NULL) == out);
  REQUIRE(procpool_future_release(future) == PROCPOOL_OK);
  for (int i = 0; i < COUNT; i++)
    REQUIRE(out[i] == 2 * i);
  REQUIRE(minus_map(pool, in, out, COUNT) == PROCPOOL_OK);
  for (int i = 0; i < COUNT; i++)
    REQUIRE(out[i] == -i);
  REQUIRE(procpool_submit(pool, nothing_there, NULL, 0, NULL, &future) == PROCPOOL_OK);
  REQUIRE(procpool_future_result(future, PROCPOOL_FOREVER, &none, 1, NULL) == PROCPOOL_OK && none);
  REQUIRE(procpool_future_release(future) == PROCPOOL_OK);
  return where == in;
}

/* Where a worker finds what the host gives it as a pointer: an argument that lies in a buffer is not copied. */
static void find(procpool_task *task) {
  const void *argument = procpool_task_argument(task, NULL);
  procpool_task_return(task, (const void *)&argument, sizeof(argument));
}

static int often(int count, size_t gib) {
  int same = 0;
  words[1] = 0;
  for (int i = 0; i < count; i++) {
    procpool_options options;
    procpool_submit_options submit;
    procpool_future *future = NULL;
    procpool *pool;
    void *buffer, *there = NULL;
    memset(&options, 0, sizeof(options));
    options.start = PROCPOOL_START_SPAWN;
    options.max_workers = 1;
    options.max_memory = gib << 30;
    pool = procpool_open(&options);
    REQUIRE(pool != NULL);
    buffer = procpool_shared_alloc(pool, 4096);
    memset(&submit, 0, sizeof(submit));
    submit.shared_argument = true;
    REQUIRE(buffer != NULL && procpool_submit(pool, find, buffer, 4096, &submit, &future) == PROCPOOL_OK);
    REQUIRE(procpool_future_result(future, PROCPOOL_FOREVER, (void *)&there, sizeof(there), NULL) == PROCPOOL_OK);
    same += there == buffer;
    REQUIRE(procpool_future_release(future) == PROCPOOL_OK && procpool_free(pool) == PROCPOOL_OK);
  }
  printf("%d starts, %d at the same place\n", words[1], same);
  return 0;
}

int main(int argc, char **argv) {
  procpool_options options;
  procpool *pool;
  bool same;
  attach();
  procpool_worker_main();
  if (argc > 3 && strcmp(argv[1], "often") == 0)
    return often(atoi(argv[2]), (size_t)strtoul(argv[3], NULL, 10));
  words[0] = argc > 1 && strcmp(argv[1], "always") == 0 ? 1000 : argc > 1 && strcmp(argv[1], "twice") == 0 ? 2 : 0;
  memset(&options, 0, sizeof(options));
  options.start = PROCPOOL_START_SPAWN;
  options.max_workers = 2;
  words[1] = 0;
  pool = procpool_open(&options);
  REQUIRE(pool != NULL);
  words[1] += words[0] > 6 ? 1 : 0; /* the last one does not ask for a place */
  same = use(pool);
  REQUIRE(procpool_shutdown(pool, PROCPOOL_DRAIN, PROCPOOL_FOREVER) == PROCPOOL_OK &&
          procpool_free(pool) == PROCPOOL_OK);
  printf("%d starts, %s\n", words[1], same ? "the same place" : "elsewhere");
  return 0;
}
