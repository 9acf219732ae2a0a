/* leaks.c - cases that leak on purpose, for test_harness.c: with the runner and the harness it makes a program of its
 * own, every case of which but the first must be reported. */
#include "harness.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

TEST(leak_nothing) {
  procpool *pool = test_open(PROCPOOL_START_FORK, 1);
  CHECK_WORKS(pool);
  test_close(pool);
}

TEST(leak_descriptor) {
  CHECK_GE(open("/dev/null", O_RDONLY), 0);
}

TEST(leak_closed_descriptor) {
  close(0);
}

static void *wait_for_ever(void *context) {
  gate_wait(&page->gate, 1);
  return context;
}

TEST(leak_thread) {
  (void)test_thread(wait_for_ever, NULL);
}

static pid_t child_that_waits(void) {
  const pid_t child = fork();
  CHECK_GE(child, 0);
  if (child == 0) {
    gate_wait(&page->gate, 1);
    _exit(0);
  }
  return child;
}

TEST(leak_child) {
  (void)child_that_waits();
}

TEST(leak_zombie) {
  siginfo_t info;
  const pid_t child = fork();
  if (child == 0)
    _exit(0);
  CHECK_EQ(waitid(P_PID, (id_t)child, &info, WEXITED | WNOWAIT), 0);
}

TEST(leak_orphan) {
  const pid_t child = fork();
  if (child == 0) {
    fprintf(stderr, "orphan is %ld\n", (long)child_that_waits());
    _exit(0);
  }
  CHECK_EQ(test_wait_exit(child), 0);
}

TEST(leak_mapping) {
  CHECK(mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0) != MAP_FAILED);
}

/* In a /dev/shm of its own: other cases that run now must not see it. */
TEST(leak_name) {
  int file;
  if (unshare(CLONE_NEWNS) != 0 || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 ||
      mount("none", "/dev/shm", "tmpfs", 0, NULL) != 0)
    SKIP("no /dev/shm of its own can be had here");
  file = open("/dev/shm/procpool-leak", O_CREAT | O_RDWR, 0600);
  CHECK_GE(file, 0);
  close(file);
}

TEST(leak_mask) {
  sigset_t some;
  sigemptyset(&some);
  sigaddset(&some, SIGUSR1);
  CHECK_EQ(pthread_sigmask(SIG_BLOCK, &some, NULL), 0);
}

static void handler_none(int number) {
  (void)number;
}

TEST(leak_handler) {
  signal(SIGUSR1, handler_none);
}

TEST(leak_variable) {
  setenv("LEAKED", "1", 1);
}

TEST(leak_directory) {
  CHECK_EQ(chdir("/"), 0);
}

TEST(leak_umask) {
  (void)umask(0123);
}

TEST(leak_pool) {
  CHECK_WORKS(test_open(PROCPOOL_START_FORK, 1));
}

/* test_close is for pools that end well. */
TEST(leak_broken_pool) {
  procpool *pool = test_open(PROCPOOL_START_FORK, 1);
  procpool_future *future = test_submit(pool, task_parent, NULL, 0);
  const test_job job = job_of(0);
  long supervisor = 0;
  CHECK_OK(procpool_future_result(future, PROCPOOL_FOREVER, &supervisor, sizeof(supervisor), NULL));
  CHECK_OK(procpool_future_release(future));
  future = test_submit(pool, task_block, &job, sizeof(job));
  gate_wait(&page->started, 1);
  CHECK_EQ(kill((pid_t)supervisor, SIGKILL), 0);
  CHECK_SETTLES(future, PROCPOOL_BROKEN);
  CHECK_OK(procpool_future_release(future));
  test_close(pool);
}

static void task_check(procpool_task *task) {
  (void)task;
  CHECK_EQ(1, 2);
}

/* The test does not look at the outcome of this task, but the runner sees what its worker printed. */
TEST(leak_check_in_a_worker) {
  procpool *pool = test_open(PROCPOOL_START_FORK, 1);
  CHECK_OK(procpool_submit(pool, task_check, NULL, 0, NULL, NULL));
  test_close(pool);
}

TEST_LIMIT(leak_hang, 1) {
  gate_wait(&page->gate, 1);
}

TEST(leak_exit) {
  exit(0);
}

TEST(leak_death) {
  raise(SIGSEGV);
}
