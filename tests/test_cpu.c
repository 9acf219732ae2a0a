/* How many processors there are. */
#include "harness.h"

#include <sys/mount.h>
#include <sys/stat.h>

TEST(r005_cpu_counts_make_sense) {
  const int usable = procpool_cpu_count(PROCPOOL_CPU_USABLE), logical = procpool_cpu_count(PROCPOOL_CPU_LOGICAL);
  const int physical = procpool_cpu_count(PROCPOOL_CPU_PHYSICAL);
  CHECK_GE(usable, 1);
  CHECK_GE(physical, 1);
  CHECK_LE(physical, logical);
  CHECK_LE(usable, logical);
  CHECK_EQ(logical, sysconf(_SC_NPROCESSORS_ONLN));
}

TEST(r005_cpu_count_of_an_unknown_kind) {
  CHECK_EQ(procpool_cpu_count((procpool_cpu)3), 0);
  CHECK_EQ(procpool_cpu_count((procpool_cpu)-1), 0);
  CHECK_EQ(procpool_cpu_count((procpool_cpu)1000), 0);
}

TEST(r005_cpu_count_keeps_to_the_affinity_mask) {
  cpu_set_t before, one;
  int first = 0;
  procpool *pool;
  CHECK_EQ(sched_getaffinity(0, sizeof(before), &before), 0);
  while (!CPU_ISSET(first, &before))
    first++;
  CPU_ZERO(&one);
  CPU_SET(first, &one);
  CHECK_EQ(sched_setaffinity(0, sizeof(one), &one), 0);
  CHECK_EQ(procpool_cpu_count(PROCPOOL_CPU_USABLE), 1);
  CHECK_EQ(procpool_cpu_count(PROCPOOL_CPU_LOGICAL), sysconf(_SC_NPROCESSORS_ONLN));
  pool = procpool_open(NULL);
  CHECK(pool != NULL);
  CHECK_EQ(test_stats(pool).workers, 1);
  CHECK_WORKS(pool); /* host and worker share one processor */
  test_close(pool);
  CHECK_EQ(sched_setaffinity(0, sizeof(before), &before), 0);
}

/* Host and workers on one processor: neither may spin while the other has the work. */
TEST_STARTS(r005_everything_on_one_processor, CONCURRENT) {
  cpu_set_t before, one;
  int first = 0;
  procpool *pool;
  CHECK_EQ(sched_getaffinity(0, sizeof(before), &before), 0);
  while (!CPU_ISSET(first, &before))
    first++;
  CPU_ZERO(&one);
  CPU_SET(first, &one);
  CHECK_EQ(sched_setaffinity(0, sizeof(one), &one), 0);
  pool = test_open(start, 3);
  for (int i = 0; i < test_rounds(300); i++)
    CHECK_WORKS(pool);
  test_close(pool);
  CHECK_EQ(sched_setaffinity(0, sizeof(before), &before), 0);
}

TEST(r005_cpu_count_takes_no_notice_of_the_variable) {
  const int usable = procpool_cpu_count(PROCPOOL_CPU_USABLE);
  setenv("PROCPOOL_WORKERS", "77", 1);
  CHECK_EQ(procpool_cpu_count(PROCPOOL_CPU_USABLE), usable);
  unsetenv("PROCPOOL_WORKERS");
}

/* A quota of the control group, of an ancestor too. Version 1 or 2, where this process may make groups of its own. */
static bool write_file(const char *directory, const char *name, const char *text) {
  char path[400];
  FILE *file;
  bool good;
  snprintf(path, sizeof(path), "%s/%s", directory, name);
  file = fopen(path, "w");
  if (file == NULL)
    return false;
  good = fputs(text, file) >= 0;
  return fclose(file) == 0 && good;
}

typedef struct group {
  char outer[200], inner[300];
  bool second; /* version 2 */
} group;

static bool group_make(group *self, const char *root, bool second) {
  self->second = second;
  snprintf(self->outer, sizeof(self->outer), "%s/procpool-test-%ld", root, (long)getpid());
  snprintf(self->inner, sizeof(self->inner), "%s/inner", self->outer);
  if (mkdir(self->outer, 0755) != 0)
    return false;
  if (mkdir(self->inner, 0755) != 0)
    return false;
  return second ? write_file(self->outer, "cpu.max", "100000 100000\n")
                : write_file(self->outer, "cpu.cfs_period_us", "100000\n") &&
                      write_file(self->outer, "cpu.cfs_quota_us", "100000\n");
}

static void group_remove(const group *self) {
  rmdir(self->inner);
  rmdir(self->outer);
}

TEST(r005_cpu_count_keeps_to_the_quota_of_an_outer_group) {
  group self;
  pid_t child;
  int seen;
  bool made = group_make(&self, "/sys/fs/cgroup/cpu", false);
  if (!made) {
    group_remove(&self);
    made = access("/sys/fs/cgroup/cgroup.controllers", R_OK) == 0 && group_make(&self, "/sys/fs/cgroup", true);
  }
  if (!made) {
    group_remove(&self);
    SKIP("no control group can be made here");
  }
  child = fork();
  CHECK_GE(child, 0);
  if (child == 0) {
    procpool *pool;
    if (!write_file(self.inner, "cgroup.procs", "0\n"))
      _exit(77);
    pool = procpool_open(NULL);
    if (pool == NULL || test_stats(pool).workers != 1)
      _exit(78);
    CHECK_WORKS(pool);
    test_close(pool);
    _exit(procpool_cpu_count(PROCPOOL_CPU_USABLE));
  }
  seen = test_wait_exit(child);
  group_remove(&self);
  if (seen == 77)
    SKIP("no process can be moved into a control group here");
  CHECK_EQ(seen, 1);
}

/* ---- files that are not as they should be ---- */

static const char v2_mount[] = "21 1 0:1 / /tmp/group rw - cgroup2 cgroup rw\n";
static const char v1_mount[] = "21 1 0:1 / /tmp/group rw - cgroup cgroup rw,cpu,cpuacct\n";

typedef struct odd_files {
  const char *mounts, *group, *name, *text;
  int expected; /* processors, 0: as many as without a quota */
} odd_files;

static const odd_files all_odd_files[] = {
    /* these are as they should be */
    {v2_mount, "0::/\n", "cpu.max", "100000 100000\n", 1},
    {v2_mount, "0::/\n", "cpu.max", "50000 100000\n", 1},
    {v2_mount, "0::/\n", "cpu.max", "max 100000\n", 0},
    {v1_mount, "3:cpu,cpuacct:/\n", "cpu.cfs_quota_us", "100000\n", 1},
    {v1_mount, "3:cpu,cpuacct:/\n", "cpu.cfs_quota_us", "-1\n", 0},
    /* and these are not */
    {v2_mount, "0::/\n", "cpu.max", "", 0},
    {v2_mount, "0::/\n", "cpu.max", "\n", 0},
    {v2_mount, "0::/\n", "cpu.max", "a lot\n", 0},
    {v2_mount, "0::/\n", "cpu.max", "100000\n", -1},
    {v2_mount, "0::/\n", "cpu.max", "100000 0\n", -1},
    {v2_mount, "0::/\n", "cpu.max", "0 0\n", -1},
    {v2_mount, "0::/\n", "cpu.max", "-100000 100000\n", 0},
    {v2_mount, "0::/\n", "cpu.max", "99999999999999999999999999999999 1\n", -1},
    {v2_mount, "0::/\n", "cpu.max", "1 99999999999999999999999999999999\n", -1},
    {v1_mount, "3:cpu,cpuacct:/\n", "cpu.cfs_quota_us", "", 0},
    {v1_mount, "3:cpu,cpuacct:/\n", "cpu.cfs_quota_us", "many\n", 0},
    {v1_mount, "3:cpu,cpuacct:/\n", "cpu.cfs_quota_us", "0\n", -1},
    {v2_mount, "", "cpu.max", "100000 100000\n", -1},
    {v2_mount, "no colon here\n", "cpu.max", "100000 100000\n", -1},
    {v2_mount, "0::relative\n", "cpu.max", "100000 100000\n", -1},
    {v2_mount, "0::/../..\n", "cpu.max", "100000 100000\n", -1},
    {v2_mount, ":::::\n\n\n", "cpu.max", "100000 100000\n", -1},
    {"", "0::/\n", "cpu.max", "100000 100000\n", 0},
    {"short\n", "0::/\n", "cpu.max", "100000 100000\n", 0},
    {"1 2 3 4 5 6 7 8 9\n", "0::/\n", "cpu.max", "100000 100000\n", 0},
    {"- - - - - - cgroup2\n", "0::/\n", "cpu.max", "100000 100000\n", 0},
    {"21 1 0:1 \\ \\04 rw - cgroup2\n", "0::/\n", "cpu.max", "100000 100000\n", 0},
};

static bool put(const char *path, const char *text) {
  FILE *file = fopen(path, "w");
  return file != NULL && fputs(text, file) >= 0 && fclose(file) == 0;
}

/* In a child with mounts of its own: what the kernel says about groups is replaced by these files. Exits with the count. */
static void count_with(const odd_files *files, int long_line) {
  char path[100];
  if (unshare(CLONE_NEWNS) != 0 || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 ||
      mount("none", "/tmp", "tmpfs", 0, NULL) != 0 || mkdir("/tmp/group", 0755) != 0)
    _exit(77);
  snprintf(path, sizeof(path), "/tmp/group/%s", files->name);
  if (!put(path, files->text) || !put("/tmp/group/cpu.cfs_period_us", "100000\n") ||
      !put("/tmp/mounts", files->mounts) || !put("/tmp/groups", files->group))
    _exit(77);
  if (long_line) { /* longer than any buffer */
    FILE *file = fopen("/tmp/groups", "a");
    for (int i = 0; file != NULL && i < 100000; i++)
      fputc(i == 0 ? '/' : 'x', file);
    if (file == NULL || fclose(file) != 0 || truncate("/tmp/mounts", 0) != 0 || !put("/tmp/mounts", files->mounts))
      _exit(77);
  }
  if (mount("/tmp/groups", "/proc/self/cgroup", NULL, MS_BIND, NULL) != 0 ||
      mount("/tmp/mounts", "/proc/self/mountinfo", NULL, MS_BIND, NULL) != 0)
    _exit(77);
  {
    const int count = procpool_cpu_count(PROCPOOL_CPU_USABLE);
    procpool *pool = procpool_open(NULL);
    CHECK(pool != NULL);
    CHECK_EQ(test_stats(pool).workers, count);
    test_close(pool);
    _exit(count > 70 ? 70 : count);
  }
}

TEST(r005_odd_files_of_control_groups) {
  const int rows = (int)(sizeof(all_odd_files) / sizeof(all_odd_files[0]));
  cpu_set_t mask;
  int without;
  CHECK_EQ(sched_getaffinity(0, sizeof(mask), &mask), 0);
  without = CPU_COUNT(&mask) > 70 ? 70 : CPU_COUNT(&mask);
  for (int i = 0; i < 2 * rows; i++) {
    const odd_files *files = &all_odd_files[i / 2];
    const pid_t child = fork();
    int seen;
    CHECK_GE(child, 0);
    if (child == 0)
      count_with(files, i % 2);
    seen = test_wait_exit(child);
    if (seen == 77)
      SKIP("no mounts of its own can be had here");
    if (seen < 1 || seen > without || (i % 2 == 0 && files->expected > 0 && seen != files->expected) ||
        (files->expected == 0 && seen != without))
      harness_fail(__FILE__, __LINE__, "files %d (%s: %s): %d processors == %d", i / 2, files->name, files->text, seen,
                   files->expected > 0 ? files->expected : without);
  }
}
