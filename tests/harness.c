/* harness.c - what the tests share, and the leak audit around each of them. The runner is runner.c. */
#include "harness.h"
#include "runner.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/futex.h>
#include <poll.h>
#include <stdarg.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>

extern char **environ;

static pid_t case_process; /* the process that runs the case */

/* ---- checks ---- */

void harness_fail(const char *file, int line, const char *format, ...) {
  va_list arguments;
  fflush(stdout);
  if (case_process != getpid())
    fprintf(stderr, "[in process %ld, not the test's own] ", (long)getpid());
  fprintf(stderr, "%s:%d: ", file, line);
  va_start(arguments, format);
  vfprintf(stderr, format, arguments);
  va_end(arguments);
  fprintf(stderr, " does not hold\n");
  fflush(stderr);
  _exit(CASE_FAILED);
}

void harness_skip(const char *reason) {
  fflush(stdout);
  fprintf(stderr, "%s\n", reason);
  _exit(CASE_SKIPPED);
}

void harness_check_compare(const char *file, int line, const char *text, long long a, const char *op, long long b,
                           bool holds) {
  if (!holds)
    harness_fail(file, line, "%s: %lld %s %lld", text, a, op, b);
}

void harness_check_status(const char *file, int line, const char *text, procpool_status got, procpool_status expected) {
  if (got != expected)
    harness_fail(file, line, "%s: %s (%d) == %s", text, procpool_status_name(got), (int)got,
                 procpool_status_name(expected));
}

void harness_check_poll(const char *file, int line, const char *text, procpool_status got) {
  if (got != PROCPOOL_PENDING && got != PROCPOOL_END)
    harness_check_status(file, line, text, got, PROCPOOL_OK);
}

void harness_check_text(const char *file, int line, const char *text, const char *got, const char *expected) {
  if (got == NULL || strcmp(got, expected) != 0)
    harness_fail(file, line, "%s: \"%s\" == \"%s\"", text, got == NULL ? "(null)" : got, expected);
}

void harness_check_bytes(const char *file, int line, const char *text, const void *got, const void *expected,
                         size_t size) {
  const unsigned char *a = (const unsigned char *)got, *b = (const unsigned char *)expected;
  if (got == NULL)
    harness_fail(file, line, "%s: null, %zu bytes expected:", text, size);
  for (size_t i = 0; i < size; i++)
    if (a[i] != b[i])
      harness_fail(file, line, "%s: byte %zu of %zu: %d == %d", text, i, size, a[i], b[i]);
}

void harness_check_settles(const char *file, int line, const char *text, procpool_future *future,
                           procpool_status expected) {
  const procpool_status got = procpool_future_wait(future, PROCPOOL_FOREVER);
  procpool_error error;
  if (got == expected)
    return;
  memset(&error, 0, sizeof(error));
  (void)procpool_future_error(future, &error);
  harness_fail(file, line, "%s: outcome %s (code %d, signal %d, exit %d, errno %d, pid %ld: %s) == %s", text,
               procpool_status_name(got), error.code, error.signal, error.exit_status, error.system_error, error.pid,
               error.message, procpool_status_name(expected));
}

void harness_check_works(const char *file, int line, procpool *pool) {
  const int in = 21;
  int out = 0;
  procpool_future *future = NULL;
  harness_check_status(file, line, "submit of a trivial task",
                       procpool_submit(pool, task_twice, &in, sizeof(in), NULL, &future), PROCPOOL_OK);
  harness_check_settles(file, line, "a trivial task", future, PROCPOOL_OK);
  harness_check_status(file, line, "result of a trivial task",
                       procpool_future_result(future, 0, &out, sizeof(out), NULL), PROCPOOL_OK);
  harness_check_compare(file, line, "result of a trivial task", out, "==", 42, out == 42);
  harness_check_status(file, line, "release", procpool_future_release(future), PROCPOOL_OK);
}

/* ---- small things ---- */

int test_slow(void) {
  const char *text = getenv("HARNESS_SLOW");
  const int slow = text == NULL ? 1 : atoi(text);
  return slow < 1 ? 1 : slow;
}

int test_rounds(int rounds) {
  const int fewer = rounds / test_slow();
  return fewer < 1 ? 1 : fewer;
}

bool test_instrumented(void) {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  return true;
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
  return true;
#endif
#endif
  return getenv("HARNESS_VALGRIND") != NULL;
}

double test_now(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

const char *test_path(const char *name) {
  static char path[PATH_MAX];
  const char *directory = getenv("HARNESS_DIRECTORY");
  snprintf(path, sizeof(path), "%s/%s", directory == NULL ? "." : directory, name);
  return path;
}

procpool *test_open_with(procpool_start start, int workers, procpool_options *options) {
  procpool_error error;
  procpool *pool;
  memset(&error, 0, sizeof(error));
  options->start = start;
  options->max_workers = start == PROCPOOL_START_INLINE ? 1 : workers; /* the caller is the one worker */
  if (options->error == NULL)
    options->error = &error;
  pool = procpool_open(options);
  if (pool == NULL)
    harness_fail(__FILE__, __LINE__, "procpool_open: %s (errno %d): %s: success",
                 procpool_status_name(options->error->status), options->error->system_error, options->error->message);
  CHECK_EQ(procpool_start_method(pool), start);
  return pool;
}

procpool *test_open(procpool_start start, int workers) {
  procpool_options options;
  memset(&options, 0, sizeof(options));
  return test_open_with(start, workers, &options);
}

void harness_check_open_fails(const char *file, int line, procpool_options *options, procpool_status expected) {
  static procpool_error error;
  memset(&error, 0, sizeof(error));
  options->error = &error;
  if (procpool_open(options) != NULL)
    harness_fail(file, line, "open with these options: success == %s", procpool_status_name(expected));
  harness_check_status(file, line, "open with these options", error.status, expected);
}

/* For pools that end well: in ten seconds, and not broken, or else it would say BROKEN here. */
void test_close_by(procpool *pool, procpool_shutdown_mode mode) {
  const double begin = test_now();
  CHECK_OK(procpool_shutdown(pool, mode, PROCPOOL_FOREVER));
  CHECK_SECONDS(test_now() - begin, <, 10.0 * test_slow());
  CHECK_STATUS(try_submit(pool, task_nothing, NULL, 0, NULL), PROCPOOL_SHUTDOWN);
  CHECK_OK(procpool_free(pool));
}

void test_close(procpool *pool) {
  test_close_by(pool, PROCPOOL_DRAIN);
}

procpool_stats test_stats(procpool *pool) {
  procpool_stats stats;
  CHECK_OK(procpool_get_stats(pool, &stats));
  return stats;
}

procpool_error test_error(procpool_future *future) {
  procpool_error error;
  memset(&error, 0x5a, sizeof(error));
  CHECK_OK(procpool_future_error(future, &error));
  CHECK(memchr(error.message, 0, sizeof(error.message)) != NULL);
  return error;
}

procpool_future *test_submit(procpool *pool, procpool_function function, const void *argument, size_t size) {
  procpool_future *future = NULL;
  CHECK_OK(procpool_submit(pool, function, argument, size, NULL, &future));
  CHECK(future != NULL);
  return future;
}

pthread_t test_thread(void *(*function)(void *), void *context) {
  pthread_t thread;
  CHECK_EQ(pthread_create(&thread, NULL, function, context), 0);
  return thread;
}

void *test_join(pthread_t thread) {
  void *result = NULL;
  CHECK_EQ(pthread_join(thread, &result), 0);
  return result;
}

/* ---- the shared page ---- */

test_page *page;
static int page_descriptor = -1;

static void page_open(void) {
  page_descriptor = (int)syscall(SYS_memfd_create, "test_page", 1u /* MFD_CLOEXEC */);
  CHECK_GE(page_descriptor, 0);
  CHECK_EQ(ftruncate(page_descriptor, (off_t)sizeof(test_page)), 0);
  page = (test_page *)mmap(NULL, sizeof(test_page), PROT_READ | PROT_WRITE, MAP_SHARED, page_descriptor, 0);
  CHECK(page != MAP_FAILED);
}

void page_attach(int host, int descriptor) {
  char path[64];
  int file;
  if (page != NULL)
    return;
  snprintf(path, sizeof(path), "/proc/%d/fd/%d", host, descriptor);
  file = open(path, O_RDWR | O_CLOEXEC);
  CHECK_GE(file, 0);
  page = (test_page *)mmap(NULL, sizeof(test_page), PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
  CHECK(page != MAP_FAILED);
  close(file);
}

test_job job_with(int index, int number) {
  test_job job;
  memset(&job, 0, sizeof(job));
  job.host = (int)getpid();
  job.descriptor = page_descriptor;
  job.index = index;
  job.number = number;
  return job;
}

test_job job_of(int index) {
  return job_with(index, 0);
}

test_job job_sized(int index, size_t size) {
  test_job job = job_of(index);
  job.size = size;
  return job;
}

const test_job *job_begin(procpool_task *task) {
  size_t size = 0;
  const test_job *job = (const test_job *)procpool_task_argument(task, &size);
  CHECK(job != NULL);
  CHECK_EQ(size, sizeof(*job));
  page_attach(job->host, job->descriptor);
  return job;
}

int gate_read(const int *word) {
  return __atomic_load_n(word, __ATOMIC_SEQ_CST);
}

int gate_add(int *word, int amount) {
  const int value = __atomic_add_fetch(word, amount, __ATOMIC_SEQ_CST);
  syscall(SYS_futex, word, FUTEX_WAKE, INT_MAX, NULL, NULL, 0);
  return value;
}

bool gate_wait_for(int *word, int at_least, double seconds) {
  const double end = test_now() + seconds;
  for (;;) {
    const int value = gate_read(word);
    const double left = end - test_now();
    struct timespec wait;
    if (value >= at_least)
      return true;
    if (left <= 0)
      return false;
    wait.tv_sec = left > 3600 ? 3600 : (time_t)left;
    wait.tv_nsec = left > 3600 ? 0 : (long)((left - (double)wait.tv_sec) * 1e9);
    syscall(SYS_futex, word, FUTEX_WAIT, value, &wait, NULL, 0);
  }
}

void gate_wait(int *word, int at_least) {
  while (!gate_wait_for(word, at_least, 3600))
    ;
}

/* ---- tasks ---- */

static void return_int(procpool_task *task, int value) {
  procpool_task_return(task, &value, sizeof(value));
}

void task_nothing(procpool_task *task) {
  (void)task;
}

void task_echo(procpool_task *task) {
  size_t size = 0;
  const void *argument = procpool_task_argument(task, &size);
  procpool_task_return(task, argument, size);
}

void task_pid(procpool_task *task) {
  const long pid = (long)getpid();
  procpool_task_return(task, &pid, sizeof(pid));
}

void task_twice(procpool_task *task) {
  int x;
  memcpy(&x, procpool_task_argument(task, NULL), sizeof(x)); /* a hostile worker may have moved it to an odd place */
  return_int(task, 2 * x);
}

void task_sum(procpool_task *task) {
  size_t size = 0;
  const void *argument = procpool_task_argument(task, &size);
  const uint64_t sum = pattern_sum(argument, size);
  procpool_task_return(task, &sum, sizeof(sum));
}

void task_count(procpool_task *task) {
  const test_job *job = job_begin(task);
  const int at = __atomic_fetch_add(&page->count, 1, __ATOMIC_SEQ_CST);
  if (at < (int)(sizeof(page->order) / sizeof(page->order[0])))
    page->order[at] = job->index;
  return_int(task, job->index);
}

static void block_on(procpool_task *task, int *word) {
  const test_job *job = job_begin(task);
  __atomic_store_n(&page->pid[job->index], (int)getpid(), __ATOMIC_SEQ_CST);
  gate_add(&page->started, 1);
  gate_wait(word, 1);
  gate_add(&page->finished, 1);
  return_int(task, job->index);
}

void task_block(procpool_task *task) {
  (void)job_begin(task);
  block_on(task, &page->gate);
}

void task_gate(procpool_task *task) {
  const test_job *job = job_begin(task);
  block_on(task, &page->word[job->number]);
}

void task_meet(procpool_task *task) {
  const test_job *job = job_begin(task);
  page->pid[job->index] = (int)getpid();
  gate_add(&page->started, 1);
  gate_wait(&page->started, job->number);
  return_int(task, job->index);
}

void task_fail(procpool_task *task) {
  const test_job *job = job_begin(task);
  char message[64];
  snprintf(message, sizeof(message), "failure %d", job->index);
  procpool_task_fail(task, job->number, message);
}

void task_die(procpool_task *task) {
  const test_job *job = job_begin(task);
  page->pid[job->index] = (int)getpid();
  raise(job->number);
  return_int(task, job->index);
}

void task_exit(procpool_task *task) {
  exit(job_begin(task)->number);
}

void task_make(procpool_task *task) {
  const test_job *job = job_begin(task);
  void *result = procpool_task_result(task, job->size);
  if (result != NULL)
    pattern_fill(result, job->size, (unsigned)job->index);
}

/* ---- patterns: every byte depends on its position and on the seed ---- */

static uint64_t pattern_word(uint64_t i, unsigned seed) {
  uint64_t x = (i + 1) * 0x9e3779b97f4a7c15u + (uint64_t)seed * 0xd1b54a32d192ed03u;
  x ^= x >> 29;
  return x * 0xbf58476d1ce4e5b9u;
}

void pattern_fill(void *bytes, size_t size, unsigned seed) {
  unsigned char *at = (unsigned char *)bytes;
  for (size_t i = 0; i < size; i += 8) {
    const uint64_t word = pattern_word(i, seed);
    memcpy(at + i, &word, size - i < 8 ? size - i : 8);
  }
}

bool pattern_holds(const void *bytes, size_t size, unsigned seed) {
  const unsigned char *at = (const unsigned char *)bytes;
  for (size_t i = 0; i < size; i += 8) {
    const uint64_t word = pattern_word(i, seed);
    if (memcmp(at + i, &word, size - i < 8 ? size - i : 8) != 0)
      return false;
  }
  return true;
}

uint64_t pattern_sum(const void *bytes, size_t size) {
  const unsigned char *at = (const unsigned char *)bytes;
  uint64_t sum = size;
  for (size_t i = 0; i < size; i += 8) {
    uint64_t word = 0;
    memcpy(&word, at + i, size - i < 8 ? size - i : 8);
    sum = (sum ^ word) * 0x100000001b3u + i;
  }
  return sum;
}

/* ---- processes ---- */

int test_watch(long pid) {
  const int watch = (int)syscall(434 /* pidfd_open */, (pid_t)pid, 0u);
  if (watch < 0 && errno == ENOSYS)
    SKIP("no pidfd on this kernel");
  return watch; /* -1: already gone and reaped */
}

bool test_gone(int watch, double seconds) {
  return test_all_gone(&watch, 1, seconds);
}

/* A pidfd is readable once its process has ended, reaped or not. */
bool test_all_gone(const int *watches, int count, double seconds) {
  const double end = test_now() + seconds;
  bool all = true;
  for (int i = 0; i < count; i++) {
    struct pollfd entry;
    double left = end - test_now();
    int got;
    if (watches[i] < 0)
      continue;
    entry.fd = watches[i];
    entry.events = POLLIN;
    if (left < 0)
      left = 0;
    got = poll(&entry, 1, (int)(left * 1e3));
    all = got == 1 && all;
    close(watches[i]);
  }
  return all;
}

int test_close_lifeline(void) {
  int closed = 0;
  for (int fd = 3; fd < 256; fd++)
    if (fcntl(fd, F_GETFL) >= 0 && (fcntl(fd, F_GETFL) & O_ASYNC) != 0)
      closed += close(fd) == 0;
  return closed;
}

int test_wait_exit(pid_t child) {
  int status = 0;
  while (waitpid(child, &status, 0) < 0)
    CHECK_EQ(errno, EINTR);
  return WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status);
}

int test_run(char *output, size_t capacity, const char *path, ...) {
  char *arguments[16];
  int count = 0, ends[2];
  size_t size = 0;
  pid_t child;
  va_list list;
  arguments[count++] = (char *)(uintptr_t)path;
  va_start(list, path);
  while (count < 15 && (arguments[count] = va_arg(list, char *)) != NULL)
    count++;
  va_end(list);
  arguments[count] = NULL;
  CHECK_EQ(pipe(ends), 0);
  child = fork();
  CHECK_GE(child, 0);
  if (child == 0) {
    dup2(ends[1], 1);
    close(ends[0]);
    close(ends[1]);
    execv(path, arguments);
    _exit(127);
  }
  close(ends[1]);
  for (;;) {
    char rest[256];
    const bool room = size + 1 < capacity;
    const ssize_t got = read(ends[0], room ? output + size : rest, room ? capacity - 1 - size : sizeof(rest));
    if (got <= 0)
      break;
    if (room)
      size += (size_t)got;
  }
  close(ends[0]);
  output[size] = '\0';
  return test_wait_exit(child);
}

size_t test_descriptors(void) {
  DIR *directory = opendir("/proc/self/fd");
  size_t count = 0;
  CHECK(directory != NULL);
  while (readdir(directory) != NULL)
    count++;
  closedir(directory);
  return count - 3; /* ".", ".." and the directory itself */
}

long test_resident_kib(void) {
  long pages = 0, resident = 0;
  FILE *file = fopen("/proc/self/statm", "r");
  CHECK(file != NULL);
  CHECK_EQ(fscanf(file, "%ld %ld", &pages, &resident), 2);
  fclose(file);
  return resident * (sysconf(_SC_PAGESIZE) / 1024);
}

/* ---- the leak audit ---- */

typedef struct lines {
  char *text; /* lines, each ended by \n */
  size_t size;
} lines;

static void lines_add(lines *to, const char *line) {
  const size_t length = strlen(line);
  to->text = (char *)realloc(to->text, to->size + length + 2);
  CHECK(to->text != NULL);
  memcpy(to->text + to->size, line, length);
  to->text[to->size + length] = '\n';
  to->text[to->size + length + 1] = '\0';
  to->size += length + 1;
}

/* Descriptors, as "fd N -> what". */
static void audit_descriptors(lines *to) {
  DIR *directory = opendir("/proc/self/fd");
  struct dirent *entry;
  CHECK(directory != NULL);
  while ((entry = readdir(directory)) != NULL) {
    char path[300], target[200], line[600];
    ssize_t size;
    if (entry->d_name[0] == '.' || atoi(entry->d_name) == dirfd(directory))
      continue;
    snprintf(path, sizeof(path), "/proc/self/fd/%s", entry->d_name);
    size = readlink(path, target, sizeof(target) - 1);
    target[size < 0 ? 0 : size] = '\0';
    snprintf(line, sizeof(line), "descriptor %s -> %s", entry->d_name, target);
    lines_add(to, line);
  }
  closedir(directory);
}

/* Shared mappings: private ones come and go with malloc. */
static void audit_mappings(lines *to) {
  FILE *file = fopen("/proc/self/maps", "r");
  char text[600];
  CHECK(file != NULL);
  while (fgets(text, sizeof(text), file) != NULL) {
    char range[64], permissions[8], line[700];
    text[strcspn(text, "\n")] = '\0';
    if (sscanf(text, "%63s %7s", range, permissions) == 2 && strchr(permissions, 's') != NULL) {
      snprintf(line, sizeof(line), "shared mapping %s", text);
      lines_add(to, line);
    }
  }
  fclose(file);
}

/* Names with procpool in them: other programs may use /dev/shm at the same time. */
static void audit_names(lines *to) {
  DIR *directory = opendir("/dev/shm");
  struct dirent *entry;
  if (directory == NULL)
    return;
  while ((entry = readdir(directory)) != NULL)
    if (strstr(entry->d_name, "procpool") != NULL)
      lines_add(to, entry->d_name);
  closedir(directory);
}

/* Without 32 to 34: the C library catches these for itself when the first thread is started. */
static void audit_signals(lines *to) {
  FILE *file = fopen("/proc/self/status", "r");
  char text[300];
  CHECK(file != NULL);
  while (fgets(text, sizeof(text), file) != NULL)
    if (strncmp(text, "SigBlk", 6) == 0 || strncmp(text, "SigIgn", 6) == 0 || strncmp(text, "SigCgt", 6) == 0) {
      const unsigned long long signals = strtoull(text + 7, NULL, 16) & ~(7ull << 31);
      snprintf(text + 7, sizeof(text) - 7, " %016llx", signals);
      lines_add(to, text);
    }
  fclose(file);
}

static void audit_surroundings(lines *to) {
  char text[PATH_MAX + 32], directory[PATH_MAX];
  mode_t mask = umask(0);
  umask(mask);
  snprintf(text, sizeof(text), "umask %o", (unsigned)mask);
  lines_add(to, text);
  snprintf(text, sizeof(text), "directory %s", getcwd(directory, sizeof(directory)));
  lines_add(to, text);
  for (char **entry = environ; *entry != NULL; entry++)
    lines_add(to, *entry);
}

static int audit_threads(void) {
  DIR *directory = opendir("/proc/self/task");
  int count = 0;
  CHECK(directory != NULL);
  while (readdir(directory) != NULL)
    count++;
  closedir(directory);
  return count - 2;
}

/* A joined thread stays listed for a moment: the kernel reports its end before it takes it out of the list. */
static bool audit_threads_end(int before) {
  const double end = test_now() + 1;
  while (audit_threads() > before && test_now() < end)
    sched_yield();
  return audit_threads() == before;
}

static bool audit_has_children(void) {
  siginfo_t info;
  return waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT | __WALL) == 0;
}

typedef struct audit {
  lines now;
  int threads;
} audit;

static audit audit_take(void) {
  audit result;
  memset(&result, 0, sizeof(result));
  audit_descriptors(&result.now);
  audit_mappings(&result.now);
  audit_names(&result.now);
  audit_signals(&result.now);
  audit_surroundings(&result.now);
  result.threads = audit_threads();
  return result;
}

static bool lines_have(const lines *all, const char *line, size_t length) {
  for (const char *at = all->text; at != NULL && *at != '\0'; at = strchr(at, '\n') + 1)
    if (strncmp(at, line, length) == 0 && at[length] == '\n')
      return true;
  return false;
}

/* Prints the lines of a that b lacks; returns how many. */
static int lines_missing(const char *label, const lines *a, const lines *b) {
  int count = 0;
  for (const char *at = a->text; at != NULL && *at != '\0'; at = strchr(at, '\n') + 1) {
    const size_t length = strcspn(at, "\n");
    if (!lines_have(b, at, length)) {
      fprintf(stderr, "audit: %s: %.*s\n", label, (int)length, at);
      count++;
    }
  }
  return count;
}

static bool audit_compare(audit *before) {
  const bool threads = audit_threads_end(before->threads), children = audit_has_children();
  audit after = audit_take();
  int found = lines_missing("left behind", &after.now, &before->now);
  found += lines_missing("gone", &before->now, &after.now);
  if (!threads)
    fprintf(stderr, "audit: %d threads before, %d after\n", before->threads, audit_threads());
  if (children)
    fprintf(stderr, "audit: a child process is left\n");
  free(before->now.text);
  free(after.now.text);
  return found == 0 && threads && !children;
}

/* Present under AddressSanitizer and LeakSanitizer only. */
extern int __lsan_do_recoverable_leak_check(void) __attribute__((weak));

static PROCPOOL_UNUSED void *thread_nothing(void *context) {
  return context;
}

/* ThreadSanitizer starts a thread of its own beside the first one of the program: that is not what the audit looks for. */
static void settle_instrument(void) {
#if defined(__SANITIZE_THREAD__)
  test_join(test_thread(thread_nothing, NULL));
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
  test_join(test_thread(thread_nothing, NULL));
#endif
#endif
}

void *harness_audit_begin(void) {
  audit *before = (audit *)malloc(sizeof(audit));
  CHECK(before != NULL);
  settle_instrument();
  *before = audit_take();
  return before;
}

bool harness_audit_end(void *before) {
  const bool same = audit_compare((audit *)before);
  free(before);
  return same;
}

int case_run(const harness_test *test, procpool_start start) {
  audit before;
  bool clean;
  case_process = getpid();
  settle_instrument();
  setvbuf(stdout, NULL, _IOLBF, 0);
  page_open();
  before = audit_take();
  test->body(start);
  fflush(stdout);
  if (getpid() != case_process)
    return CASE_FAILED; /* a worker came back from open */
  clean = audit_compare(&before);
  if (__lsan_do_recoverable_leak_check != NULL && __lsan_do_recoverable_leak_check() != 0)
    clean = false;
  fflush(stderr);
  return clean ? CASE_PASSED : CASE_FAILED;
}

/* ---- processes of a pool ---- */

void task_parent(procpool_task *task) {
  const long parent = (long)getppid();
  procpool_task_return(task, &parent, sizeof(parent));
}

long test_supervisor(procpool *pool) {
  long pid = 0;
  procpool_future *future = test_submit(pool, task_parent, NULL, 0);
  CHECK_OK(procpool_future_result(future, PROCPOOL_FOREVER, &pid, sizeof(pid), NULL));
  CHECK_OK(procpool_future_release(future));
  CHECK_NE(pid, (long)getpid());
  return pid;
}

char test_state(long pid) {
  char path[64], text[300] = "";
  const char *at;
  FILE *file;
  snprintf(path, sizeof(path), "/proc/%ld/stat", pid);
  file = fopen(path, "r");
  if (file == NULL)
    return 0;
  (void)!fgets(text, sizeof(text), file);
  fclose(file);
  at = strrchr(text, ')');
  return at != NULL && at[1] == ' ' ? at[2] : 0;
}
