/* Memory: what a core dump of the host holds, limits of control groups, and costs that do not grow with the number. */
#include "harness.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>

/* ---- core dumps ---- */

/* Whether every mapping of the segment in process pid is left out of dumps ("dd" in its flags); false where it has
 * none. */
static bool left_out(long pid) {
  char path[64], line[4096];
  bool inside = false, found = false, all = true;
  FILE *maps;
  snprintf(path, sizeof(path), "/proc/%ld/smaps", pid);
  maps = fopen(path, "re");
  CHECK(maps != NULL);
  while (fgets(line, sizeof(line), maps) != NULL) {
    unsigned long from, to;
    if (sscanf(line, "%lx-%lx ", &from, &to) == 2)
      inside = strstr(line, "memfd:procpool") != NULL;
    if (inside && strncmp(line, "VmFlags:", 8) == 0) {
      found = true;
      all = all && strstr(line, " dd") != NULL;
    }
  }
  fclose(maps);
  return found && all;
}

TEST_STARTS(r138_a_core_dump_leaves_the_segment_out, EVERY) {
  procpool *pool = test_open(start, 1);
  long pid = 0;
  void *buffer = procpool_shared_alloc(pool, 3 << 20); /* opened to access later than the rest */
  procpool_future *future = test_submit(pool, task_pid, NULL, 0);
  CHECK(buffer != NULL);
  CHECK_OK(procpool_future_result(future, PROCPOOL_FOREVER, &pid, sizeof(pid), NULL));
  CHECK(left_out(getpid()));
  CHECK(left_out(pid));
  CHECK_OK(procpool_future_release(future));
  test_close(pool);
}

/* The same as a user sees it, where the kernel writes a file named core. */
TEST_STARTS(r138_a_core_file_is_small, EVERY) {
  const struct rlimit all = {RLIM_INFINITY, RLIM_INFINITY};
  char pattern[128] = "",
       folder[] = "/tmp/procpool-core.XX"
                  "XX"
                  "XX",
       path[64];
  FILE *file = fopen("/proc/sys/kernel/core_pattern", "re");
  struct stat core;
  pid_t host;
  int status;
  CHECK(file != NULL && fgets(pattern, sizeof(pattern), file) != NULL);
  fclose(file);
  if (strcmp(pattern, "core\n") != 0 || test_instrumented())
    SKIP("cores go elsewhere, or hold a sanitizer's memory");
  CHECK(mkdtemp(folder) != NULL);
  fflush(stdout);
  host = fork();
  CHECK_GE(host, 0);
  if (host == 0) {
    if (setrlimit(RLIMIT_CORE, &all) != 0 || chdir(folder) != 0)
      _exit(77);
    (void)test_open(start, 1);
    abort();
  }
  CHECK_EQ(waitpid(host, &status, 0), host);
  snprintf(path, sizeof(path), "%s/core", folder);
  if (stat(path, &core) != 0) /* some kernels add the process id */
    snprintf(path, sizeof(path), "%s/core.%d", folder, (int)host);
  if (stat(path, &core) == 0) {
    (void)unlink(path);
    CHECK(WIFSIGNALED(status));
    CHECK_LT((long long)core.st_size, 256ll << 20);
  }
  CHECK_EQ(rmdir(folder), 0);
}

/* ---- control groups ---- */

static char group[128]; /* the folder of this case's own group */

static bool put(const char *folder, const char *file, const char *text) {
  char path[256];
  int fd;
  bool written;
  snprintf(path, sizeof(path), "%s/%s", folder, file);
  fd = open(path, O_WRONLY | O_CLOEXEC);
  if (fd < 0)
    return false;
  written = write(fd, text, strlen(text)) == (ssize_t)strlen(text);
  close(fd);
  return written;
}

static bool make_group(const char *parent, const char *limit_file) {
  snprintf(group, sizeof(group), "%s/procpool-test-%d", parent, (int)getpid());
  return mkdir(group, 0755) == 0 && put(group, limit_file, "134217728");
}

/* Runs body in a child that has 128 MiB in all, and gives its exit status (or minus its signal). */
static int in_a_small_group(void (*body)(procpool_start start), procpool_start start) {
  char id[16];
  pid_t child;
  int status;
  if (!make_group("/sys/fs/cgroup/memory", "memory.limit_in_bytes") && rmdir(group) != 0 &&
      !make_group("/sys/fs/cgroup", "memory.max")) {
    (void)rmdir(group);
    SKIP("no memory group can be made here");
  }
  fflush(stdout);
  child = fork();
  CHECK_GE(child, 0);
  if (child == 0) {
    snprintf(id, sizeof(id), "%d", (int)getpid());
    if (!put(group, "cgroup.procs", id))
      _exit(77);
    body(start);
    fflush(stdout);
    _exit(0);
  }
  status = test_wait_exit(child);
  for (int i = 0; i < 2000 && rmdir(group) != 0 && errno == EBUSY; i++)
    usleep(1000); /* the last process leaves it a moment after it has been reaped */
  if (status == 77)
    SKIP("no process can be put into a memory group here");
  return status;
}

/* Buffers, arguments, and the arena's growth piece by piece: each is refused before the kernel kills. */
static void ask_for_too_much(procpool_start start) {
  procpool_options options = {.max_memory = (size_t)1 << 30};
  procpool *pool = test_open_with(start, 1, &options);
  const size_t size = (size_t)200 << 20;
  void *bytes = mmap(NULL, size, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0); /* the zero page */
  procpool_error error;
  int given = 0;
  CHECK(bytes != MAP_FAILED);
  CHECK(procpool_shared_alloc(pool, size) == NULL);
  (void)procpool_last_error(&error);
  CHECK_STATUS(error.status, PROCPOOL_MEMORY);
  CHECK_EQ(error.system_error, ENOMEM);
  CHECK_STATUS(procpool_submit(pool, task_nothing, bytes, size, NULL, NULL), PROCPOOL_MEMORY);
  while (given < 400) { /* of half a mebibyte */
    void *buffer = procpool_shared_alloc(pool, 500000);
    if (buffer == NULL)
      break;
    memset(buffer, 1, 500000);
    given++;
  }
  CHECK_GT(given, 100);
  CHECK_LT(given, 256);
  CHECK_WORKS(pool);
  test_close(pool);
  CHECK_EQ(munmap(bytes, size), 0);
}

TEST_STARTS(r139_a_memory_group_is_heeded, EVERY) {
  if (test_instrumented())
    SKIP("a sanitizer needs more memory than that");
  CHECK_EQ(in_a_small_group(ask_for_too_much, start), 0);
}

/* Pages of files count as used by a group, but make room: they are no reason to refuse. */
static void ask_beside_files(procpool_start start) {
  char path[] = "/var/tmp/procpool-test.XX"
                "XX"
                "XX",
       bytes[65536];
  const int file = mkstemp(path);
  procpool *pool;
  void *buffer;
  CHECK_GE(file, 0);
  CHECK_EQ(unlink(path), 0);
  memset(bytes, 1, sizeof(bytes));
  for (int i = 0; i < 1600; i++)
    CHECK_EQ(write(file, bytes, sizeof(bytes)), (ssize_t)sizeof(bytes));
  CHECK_EQ(fsync(file), 0);
  pool = test_open(start, 1);
  buffer = procpool_shared_alloc(pool, (size_t)60 << 20);
  CHECK(buffer != NULL);
  memset(buffer, 1, (size_t)60 << 20);
  CHECK_WORKS(pool);
  test_close(pool);
  close(file);
}

TEST_STARTS(r139_pages_of_files_make_room, EVERY) {
  if (test_instrumented())
    SKIP("a sanitizer needs more memory than that");
  CHECK_EQ(in_a_small_group(ask_beside_files, start), 0);
}

static void look_at_the_default(procpool_start start) {
  procpool *pool = test_open(start, 1);
  CHECK(procpool_shared_alloc(pool, (size_t)129 << 20) == NULL);
  CHECK_WORKS(pool);
  test_close(pool);
}

TEST_STARTS(r139_the_default_fits_the_group, EVERY) {
  if (test_instrumented())
    SKIP("a sanitizer needs more memory than that");
  CHECK_EQ(in_a_small_group(look_at_the_default, start), 0);
}

/* ---- many ---- */

static double processor_seconds(void) {
  struct timespec t;
  CHECK_EQ(clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t), 0);
  return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* Seconds of this thread for count small buffers, made and given back. */
static double time_of_buffers(procpool *pool, int count) {
  static void *buffers[80000];
  const double begin = processor_seconds();
  for (int i = 0; i < count; i++) {
    buffers[i] = procpool_shared_alloc(pool, 64);
    CHECK(buffers[i] != NULL);
  }
  for (int i = 0; i < count; i++)
    CHECK_OK(procpool_shared_free(pool, buffers[i]));
  return processor_seconds() - begin;
}

/* Eight times as many buffers take about eight times as long, not 64 times. */
TEST_STARTS(r148_buffers_are_linear, EVERY) {
  procpool *pool = test_open(start, 1);
  double few = 1e9, many = 1e9;
  for (int i = 0; i < 3; i++) {
    const double f = time_of_buffers(pool, 10000), m = time_of_buffers(pool, 80000);
    few = f < few ? f : few;
    many = m < many ? m : many;
  }
  CHECK_SECONDS(many, <, 24 * few);
  test_close(pool);
}
