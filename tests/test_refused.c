/* What comes to the door uninvited, rights that must not come back, hosts whose threads cannot be counted, calls that
 * are refused, places in memory. */
#include "harness.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <sys/xattr.h>

enum { NOBODY = 65534 };

/* ---- the door ---- */

static const char *forge(const char *how) {
  static char output[1000];
  const int code = test_run(output, sizeof(output), test_path("door"), "forge", how, test_path("door"), (char *)NULL);
  if (code == 77)
    SKIP("needs root");
  CHECK_EQ(code, 0);
  return output;
}

#define ORDINARY "ordinary start, euid "

static void check_is_ordinary(const char *output) {
  CHECK(strstr(output, ORDINARY) == output);
  CHECK(strstr(output, "marker gone") != NULL);
  CHECK(strstr(output, "believed") == NULL);
}

/* The others say nothing if forging does not work at all. */
TEST(r130_a_whole_marker_is_believed) {
  CHECK_TEXT(forge("whole"), "believed\n");
}
TEST(r130_another_cookie) {
  check_is_ordinary(forge("cookie"));
}
TEST(r130_made_for_another_process) {
  check_is_ordinary(forge("pid"));
}
TEST(r130_channel_of_another_process) {
  check_is_ordinary(forge("peer"));
}
TEST(r130_memory_and_channel_of_another_user) {
  if (geteuid() != 0)
    SKIP("needs root");
  check_is_ordinary(forge("foreign"));
}

TEST(r130_nonsense_in_the_environment) {
  static const char *const texts[] = {"", "x", "1:2:3:0:4:5:6:7:8:9", "1:2:3:4294967295:0:0:0:0:0:0",
                                      "18446744073709551615:ffffffffffffffff:0:0:2147483647:4:5:6:7:-1"};
  for (int i = 0; i < 5; i++) {
    char output[1000];
    CHECK_EQ(setenv("PROCPOOL_SPAWNED", texts[i], 1), 0);
    CHECK_EQ(test_run(output, sizeof(output), test_path("door"), (char *)NULL), 0);
    check_is_ordinary(output);
  }
  CHECK_EQ(unsetenv("PROCPOOL_SPAWNED"), 0);
}

/* A constructor starts the program again, which finds marker and descriptors in what it inherits. */
static void open_with_a_child(const char *how, int ordinary) {
  char output[1000];
  const char *at = output;
  CHECK_EQ(setenv("DOOR_CHILD", how, 1), 0);
  CHECK_EQ(test_run(output, sizeof(output), test_path("door"), "open", "spawn", (char *)NULL), 0);
  CHECK_EQ(unsetenv("DOOR_CHILD"), 0);
  for (int i = 0; i < ordinary; i++) {
    at = strstr(at, ORDINARY);
    CHECK(at != NULL);
    at++;
  }
  CHECK(strstr(output, "opened as 2, task OK") != NULL);
  CHECK(strstr(output, "it does not end") == NULL);
}

TEST(r130_child_of_a_constructor) {
  open_with_a_child("wait", 1);
}
TEST(r130_child_of_a_constructor_that_lives_on) {
  open_with_a_child("leave", 1);
}

/* ---- programs with rights of their own ---- */

/* A copy of door that everybody may run, in a folder of its own. */
static void copy_door(char *path, size_t size) {
  char command[1000];
  char folder[] = "/tmp/procpool-door-......";
  memset(strchr(folder, '.'), 'X', 6);
  CHECK(mkdtemp(folder) != NULL);
  CHECK_EQ(chmod(folder, 0755), 0);
  snprintf(path, size, "%s/door", folder);
  snprintf(command, sizeof(command), "cp '%s' '%s'", test_path("door"), path);
  CHECK_EQ(system(command), 0);
  CHECK_EQ(chmod(path, 0755), 0);
}

static void drop_door(const char *path) {
  char folder[300];
  snprintf(folder, sizeof(folder), "%s", path);
  CHECK_EQ(unlink(path), 0);
  *strrchr(folder, '/') = 0;
  CHECK_EQ(rmdir(folder), 0);
}

/* As that user: what path prints. */
static int run_as(uid_t user, char *output, size_t size, const char *path, const char *a, const char *b,
                  const char *c) {
  int ends[2], status;
  size_t have = 0;
  ssize_t got;
  pid_t pid;
  CHECK_EQ(pipe(ends), 0);
  pid = fork();
  CHECK_GE(pid, 0);
  if (pid == 0) {
    if (dup2(ends[1], 1) != 1 || (user != 0 && (setresgid(user, user, user) != 0 || setresuid(user, user, user) != 0)))
      _exit(2);
    (void)close(ends[0]);
    (void)close(ends[1]);
    (void)execl(path, "door", a, b, c, (char *)NULL);
    _exit(2);
  }
  (void)close(ends[1]);
  while (have < size - 1 && (got = read(ends[0], output + have, size - 1 - have)) > 0)
    have += (size_t)got;
  output[have] = 0;
  (void)close(ends[0]);
  status = test_wait_exit(pid);
  return status;
}

/* Makes path set-user-ID root. Skips where that has no effect. */
static void make_set_uid(const char *path) {
  char output[1000];
  CHECK_EQ(chmod(path, 04755), 0);
  CHECK_EQ(run_as(NOBODY, output, sizeof(output), path, NULL, NULL, NULL), 0);
  if (strstr(output, ORDINARY "0,") == NULL) {
    drop_door(path);
    SKIP("set-user-ID bits have no effect here");
  }
}

static void need_root(void) {
  if (geteuid() != 0)
    SKIP("needs root");
}

/* Everything about the marker is right, but for whose the program is. */
TEST(r130_set_uid_program_believes_nobody) {
  char path[300], attacker[300], output[1000];
  need_root();
  copy_door(path, sizeof(path));
  copy_door(attacker, sizeof(attacker));
  make_set_uid(path);
  CHECK_EQ(run_as(NOBODY, output, sizeof(output), attacker, "forge", "whole", path), 0);
  drop_door(path);
  drop_door(attacker);
  check_is_ordinary(output);
  CHECK(strstr(output, ORDINARY "0,") == output);
}

TEST_STARTS(r130_dropped_rights_do_not_come_back, PROCESSES) {
  char path[300], output[1000];
  need_root();
  copy_door(path, sizeof(path));
  make_set_uid(path);
  CHECK_EQ(run_as(NOBODY, output, sizeof(output), path, "drop", start == PROCPOOL_START_FORK ? "fork" : "spawn", NULL),
           0);
  drop_door(path);
  if (start == PROCPOOL_START_FORK)
    CHECK(strstr(output, "opened as 1, task OK, uids 65534 65534 65534") == output);
  else
    CHECK(strstr(output, "UNSUPPORTED: spawn is refused to a set-uid") == output);
}

/* The kernel does not say that it is one, since root started it. */
TEST(r130_set_uid_program_that_root_started) {
  char path[300], output[1000];
  need_root();
  copy_door(path, sizeof(path));
  make_set_uid(path);
  CHECK_EQ(run_as(0, output, sizeof(output), path, "drop", "spawn", NULL), 0);
  drop_door(path);
  CHECK(strstr(output, "UNSUPPORTED: spawn is refused to a set-uid") == output);
}

TEST(r130_file_capabilities) {
  /* linux/capability.h: revision 2, effective; CAP_NET_RAW permitted */
  static const uint32_t capability[5] = {0x02000001, 1u << 13, 0, 0, 0};
  char path[300], output[1000];
  bool set;
  need_root();
  copy_door(path, sizeof(path));
  set = setxattr(path, "security.capability", capability, sizeof(capability), 0) == 0;
  if (set) {
    CHECK_EQ(run_as(NOBODY, output, sizeof(output), path, "open", "spawn", NULL), 0);
    drop_door(path);
    CHECK(strstr(output, "UNSUPPORTED: spawn is refused to a set-uid") == output);
    return;
  }
  drop_door(path);
  SKIP("no file capabilities here");
}

TEST(r130_two_identities_at_once) {
  const pid_t child = fork();
  CHECK_GE(child, 0);
  if (child == 0) {
    procpool_options options = {0};
    if (geteuid() != 0 || seteuid(NOBODY) != 0)
      _exit(77);
    options.start = PROCPOOL_START_SPAWN;
    test_open_fails(&options, PROCPOOL_UNSUPPORTED);
    _exit(0);
  }
  {
    const int code = test_wait_exit(child);
    if (code == 77)
      SKIP("needs root");
    CHECK_EQ(code, 0);
  }
}

/* ---- threads that cannot be counted ---- */

static void door_says(const char *text, const char *how, const char *more) {
  char output[1000];
  CHECK_EQ(test_run(output, sizeof(output), test_path("door"), "open", how, more, (char *)NULL), 0);
  if (strstr(output, text) != output)
    printf("%s", output);
  CHECK(strstr(output, text) == output);
}

TEST(r142_constructor_that_starts_a_thread) {
  CHECK_EQ(setenv("DOOR_THREAD", "1", 1), 0);
  door_says("THREADS: the program has threads before main", "spawn", NULL);
  CHECK_EQ(unsetenv("DOOR_THREAD"), 0);
}

TEST_STARTS(r142_opened_after_mains_thread_has_ended, PROCESSES) {
  door_says(start == PROCPOOL_START_FORK ? "opened as 1, task OK" : "opened as 2, task OK",
            start == PROCPOOL_START_FORK ? "fork" : "spawn", "alone");
}

static void without_proc(const char *text, const char *how, const char *more) {
  const pid_t child = fork();
  int code;
  CHECK_GE(child, 0);
  if (child == 0) {
    if (geteuid() != 0 || unshare(CLONE_NEWNS) != 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 ||
        umount2("/proc", MNT_DETACH) != 0)
      _exit(77);
    door_says(text, how, more);
    _exit(0);
  }
  code = test_wait_exit(child);
  if (code == 77)
    SKIP("no mount namespace to be had");
  CHECK_EQ(code, 0);
}

TEST(r142_auto_without_proc_and_with_threads) {
  without_proc("THREADS: it cannot be known", "auto", "threads");
}
TEST(r142_fork_without_proc) {
  without_proc("opened as 1, task OK", "fork", NULL);
}
TEST(r142_spawn_without_proc) {
  without_proc("SYSTEM: openat of /proc/self/maps", "spawn", NULL);
}
/* glibc from 2.32 on knows that it has started none. */
#ifdef __GLIBC_PREREQ
#if __GLIBC_PREREQ(2, 32)
#define THREADS_ARE_KNOWN 1
#endif
#endif
TEST(r142_auto_without_proc_and_threads) {
#ifdef THREADS_ARE_KNOWN
  without_proc("opened as 1, task OK", "auto", NULL);
#else
  without_proc("THREADS: it cannot be known", "auto", NULL);
#endif
}

/* ---- descriptors ---- */

static void check_descriptors(const char *how, char *output, size_t size) {
  const int code = test_run(output, size, test_path("door"), "descriptors", how, (char *)NULL);
  if (code == 77)
    _exit(77);
  CHECK_EQ(code, 0);
  CHECK(strstr(output, "task OK") != NULL);
  CHECK(strstr(output, "descriptor 200 closed, soon") != NULL);
}

TEST_STARTS(r140_a_billion_descriptors_without_close_range, PROCESSES) {
  char output[1000];
  const pid_t child = fork();
  CHECK_GE(child, 0);
  if (child == 0) {
    check_descriptors(start == PROCPOOL_START_FORK ? "fork" : "spawn", output, sizeof(output));
    _exit(0);
  }
  {
    const int code = test_wait_exit(child);
    if (code == 77)
      SKIP("seccomp is not allowed here");
    CHECK_EQ(code, 0);
  }
}

/* And without the list of the open ones: they are asked for by number, up to a million. */
TEST(r140_a_billion_descriptors_without_close_range_and_proc) {
  const pid_t child = fork();
  int code;
  CHECK_GE(child, 0);
  if (child == 0) {
    char output[1000];
    if (geteuid() != 0 || unshare(CLONE_NEWNS) != 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 ||
        umount2("/proc", MNT_DETACH) != 0)
      _exit(77);
    check_descriptors("fork", output, sizeof(output));
    _exit(0);
  }
  code = test_wait_exit(child);
  if (code == 77)
    SKIP("no mount namespace, or no seccomp, to be had");
  CHECK_EQ(code, 0);
}

/* ---- refused calls: all of them are in make -C tests denied ---- */

static void denied(procpool_start start, const char *call) {
  static const char *const starts[] = {"auto", "fork", "spawn", "thread", "inline"};
  char output[4000];
  int code;
  if (test_instrumented())
    SKIP("the instrument needs the calls itself");
  code = test_run(output, sizeof(output), test_path("denied"), call, starts[start], (char *)NULL);
  if (code == 77)
    SKIP("seccomp is not allowed here");
  if (code != 0)
    printf("%s", output);
  CHECK_EQ(code, 0);
}

TEST_STARTS(r141_without_memfd, EVERY) {
  denied(start, "memfd_create");
}
TEST_STARTS(r141_without_fallocate, EVERY) {
  denied(start, "fallocate");
}
TEST_STARTS(r141_without_ppoll, PROCESSES) {
  denied(start, "ppoll");
}
TEST_STARTS(r141_without_recvfrom, PROCESSES) {
  denied(start, "recvfrom");
}
TEST_STARTS(r141_without_wait4, PROCESSES) {
  denied(start, "wait4");
}
TEST_STARTS(r141_without_futex, EVERY) {
  denied(start, "futex");
}

/* The error is that of the call that failed, whatever errno was before. */
TEST_STARTS(r141_limit_on_file_sizes_is_named, EVERY) {
  const pid_t child = fork();
  CHECK_GE(child, 0);
  if (child == 0) {
    for (int before = 0; before < 2; before++)
      for (rlim_t kib = 4; kib <= 256; kib *= 8) {
        struct rlimit limit = {kib << 10, kib << 10};
        procpool_options options = {0};
        procpool_error error;
        CHECK_EQ(getrlimit(RLIMIT_FSIZE, &limit), 0);
        limit.rlim_cur = kib << 10;
        CHECK_EQ(setrlimit(RLIMIT_FSIZE, &limit), 0);
        options.error = &error;
        options.start = start;
        errno = before == 0 ? 0 : EXDEV;
        CHECK(procpool_open(&options) == NULL);
        CHECK(error.status == PROCPOOL_SYSTEM || error.status == PROCPOOL_MEMORY);
        CHECK_EQ(error.system_error, EFBIG);
        CHECK(strstr(error.message, "RLIMIT_FSIZE") != NULL);
      }
    _exit(0);
  }
  CHECK_EQ(test_wait_exit(child), 0);
}

/* ---- places ---- */

/* Each program has another layout, and each of its pools' supervisors too. */
TEST_LIMIT(r152_a_thousand_opens_at_the_same_place, 60) {
  for (int i = 0; i < 20; i++) {
    char output[200];
    CHECK_EQ(test_run(output, sizeof(output), test_path("elsewhere"), "often", "50", i % 2 == 0 ? "0" : "4096",
                      (char *)NULL),
             0);
    CHECK_TEXT(output, "50 starts, 50 at the same place\n");
  }
}
