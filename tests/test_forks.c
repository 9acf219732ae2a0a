/* What children of the host's own and of its tasks, forks of other threads, and a second copy of the implementation
 * inherit: nothing that keeps a pool alive, hides an end, or works for it. */
#include "harness.h"

#include "second.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

/* The ways to make a child. The C library runs its handlers in the first alone. */
enum { BY_FORK, BY_CLONE, BY_WAYS };

static pid_t make_child(int way) {
  return way == BY_FORK ? fork() : (pid_t)syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);
}

/* From now on this process's call of that number is refused. */
static void deny(int call) {
  const struct sock_filter code[] = {BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
                                     BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned)call, 0, 1),
                                     BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
                                     BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)};
  struct sock_fprog program;
  program.len = 4;
  program.filter = (struct sock_filter *)(uintptr_t)code;
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0)
    _exit(77);
}

static procpool_future *block(procpool *pool, int index) {
  const test_job job = job_of(index);
  return test_submit(pool, task_block, &job, sizeof(job));
}

/* ---- what ends the host ends the pool, whatever children live on ---- */

typedef struct ending {
  int way; /* of making the child that lives on */
  bool by_exec, stopped;
  int denied; /* a system call, or 0 */
  procpool_start start;
  pthread_t main; /* where its thread has ended before the pool is opened: by another one */
  bool without_main;
} ending;

/* The host: opens a pool, makes a child that lives until word 5, and ends when told so by word 6. */
static void host_that_ends(procpool_start start, const ending *e) {
  procpool *pool;
  pid_t child;
  if (e->denied != 0)
    deny(e->denied);
  pool = test_open(start, 1);
  page->pid[6] = (int)test_supervisor(pool);
  (void)block(pool, 0);
  gate_wait(&page->started, 1);
  child = make_child(e->way);
  if (child == 0) {
    gate_wait(&page->word[5], 1);
    _exit(0);
  }
  page->pid[5] = (int)child;
  gate_add(&page->word[4], 1);
  gate_wait(&page->word[6], 1);
  if (e->by_exec)
    execl("/bin/sleep", "sleep", "30", (char *)NULL);
  raise(SIGKILL);
}

static void *host_without_main(void *context) {
  const ending *e = (const ending *)context;
  CHECK_EQ(pthread_join(e->main, NULL), 0);
  usleep(20000); /* it is a zombie by then */
  host_that_ends(e->start, e);
  return NULL;
}

static void check_ending(procpool_start start, ending e) {
  int watch[2], child_watch;
  const pid_t host = fork();
  bool gone;
  CHECK_GE(host, 0);
  if (host == 0 && e.without_main) {
    static ending kept; /* this thread's stack is another one's by and by */
    kept = e;
    kept.start = start;
    kept.main = pthread_self();
    (void)test_thread(host_without_main, &kept);
    pthread_exit(NULL);
  }
  if (host == 0)
    host_that_ends(start, &e);
  gate_wait(&page->word[4], 1);
  watch[0] = test_watch(page->pid[0]);
  watch[1] = test_watch(page->pid[6]);
  child_watch = test_watch(page->pid[5]);
  if (e.stopped)
    CHECK_EQ(kill(page->pid[6], SIGSTOP), 0);
  gate_add(&page->word[6], 1);
  gone = test_all_gone(watch, 2, 1.5 * test_slow());
  gate_add(&page->word[5], 1);
  CHECK(test_gone(child_watch, 5.0 * test_slow()));
  (void)kill(host, SIGKILL);
  CHECK_EQ(test_wait_exit(host), -SIGKILL);
  for (int i = 0; i < 2; i++)
    if (watch[i] >= 0)
      (void)close(watch[i]);
  (void)close(child_watch);
  CHECK(gone);
}

static ending ending_of(int way, bool by_exec, bool stopped, int denied) {
  ending e;
  e.way = way;
  e.by_exec = by_exec;
  e.stopped = stopped;
  e.denied = denied;
  e.start = PROCPOOL_START_AUTO;
  e.main = pthread_self();
  e.without_main = false;
  return e;
}

TEST_STARTS(r131_child_and_exec, PROCESSES) {
  check_ending(start, ending_of(BY_FORK, true, false, 0));
}
TEST_STARTS(r131_raw_child_and_exec, PROCESSES) {
  check_ending(start, ending_of(BY_CLONE, true, false, 0));
}
TEST_STARTS(r131_child_and_death_without_pidfd, PROCESSES) {
  check_ending(start, ending_of(BY_FORK, false, false, 434 /* pidfd_open */));
}
TEST_STARTS(r131_raw_child_and_death_without_pidfd, PROCESSES) {
  check_ending(start, ending_of(BY_CLONE, false, false, 434));
}
TEST_STARTS(r131_raw_child_and_exec_without_pidfd, PROCESSES) {
  check_ending(start, ending_of(BY_CLONE, true, false, 434));
}
TEST_STARTS(r131_raw_child_and_exec_without_inotify, PROCESSES) {
  check_ending(start, ending_of(BY_CLONE, true, false, SYS_inotify_init1));
}
TEST_STARTS(r131_child_and_death_beside_a_stopped_supervisor, PROCESSES) {
  check_ending(start, ending_of(BY_FORK, false, true, 0));
}
TEST_STARTS(r131_raw_child_and_death_beside_a_stopped_supervisor, PROCESSES) {
  check_ending(start, ending_of(BY_CLONE, false, true, 0));
}
TEST_STARTS(r131_raw_child_and_exec_beside_a_stopped_supervisor, PROCESSES) {
  check_ending(start, ending_of(BY_CLONE, true, true, 0));
}
/* (A spawned worker finds the page of the case by the name of main's thread.) */
TEST_STARTS(r131_raw_child_and_exec_of_a_host_whose_main_has_ended, FORK) {
  ending e = ending_of(BY_CLONE, true, false, 0);
  e.without_main = true;
  check_ending(start, e);
}

/* A child that lives until it is killed, whatever signals come. */
static pid_t child_that_stays(int way) {
  const pid_t child = make_child(way);
  if (child == 0)
    for (;;)
      pause();
  CHECK_GT(child, 0);
  return child;
}

static void end_child(pid_t child) {
  CHECK_EQ(kill(child, SIGKILL), 0);
  CHECK_EQ(test_wait_exit(child), -SIGKILL);
}

static void check_kill(procpool_start start, int way) {
  procpool *pool = test_open(start, 1);
  const long supervisor = test_supervisor(pool);
  procpool_future *future = block(pool, 0);
  pid_t child;
  double begun;
  gate_wait(&page->started, 1);
  child = child_that_stays(way);
  CHECK_EQ(kill((pid_t)supervisor, SIGSTOP), 0);
  begun = test_now();
  CHECK_OK(procpool_shutdown(pool, PROCPOOL_KILL, 10.0 * test_slow()));
  CHECK_SECONDS(test_now() - begun, <, 5.0 * test_slow());
  CHECK_SETTLES(future, PROCPOOL_SHUTDOWN);
  CHECK_OK(procpool_future_release(future));
  CHECK_OK(procpool_free(pool));
  end_child(child);
}

TEST_STARTS(r131_child_does_not_hinder_kill_of_a_stopped_supervisor, PROCESSES) {
  check_kill(start, BY_FORK);
}
TEST_STARTS(r131_raw_child_does_not_hinder_kill_of_a_stopped_supervisor, PROCESSES) {
  check_kill(start, BY_CLONE);
}

/* ---- a host that is killed as it opens a pool ---- */

static bool forks_are_slow;

static void before_slow_fork(void) {
  if (forks_are_slow)
    usleep(50000); /* as where many page tables are copied */
}

static void *fork_slowly(void *context) {
  (void)context;
  for (;;) {
    const pid_t child = fork();
    if (child == 0)
      _exit(0);
    (void)waitpid(child, NULL, 0);
    usleep(1000);
  }
  return NULL;
}

static void host_that_opens_beside_forks(void) {
  CHECK_EQ(pthread_atfork(before_slow_fork, NULL, NULL), 0); /* before the library's: it then runs after that one */
  test_close(test_open(PROCPOOL_START_THREAD, 1));
  forks_are_slow = true;
  (void)test_thread(fork_slowly, NULL);
  for (;;)
    test_close(test_open(PROCPOOL_START_SPAWN, 1));
}

/* A child of that process's first thread, if it sleeps and not only for a moment; else 0. */
static int child_that_waits(pid_t parent) {
  char path[64], state[6] = "";
  int child = 0;
  for (int i = 0; i < 5; i++) {
    int now = 0;
    FILE *file;
    snprintf(path, sizeof(path), "/proc/%d/task/%d/children", (int)parent, (int)parent);
    file = fopen(path, "r");
    if (file == NULL)
      SKIP("no list of children here");
    (void)fscanf(file, "%d", &now);
    fclose(file);
    child = i == 0 ? now : child;
    snprintf(path, sizeof(path), "/proc/%d/stat", now);
    file = now != 0 && now == child ? fopen(path, "r") : NULL;
    if (file == NULL)
      return 0;
    (void)fscanf(file, "%*d (%*[^)]) %c", &state[i]);
    fclose(file);
    usleep(500);
  }
  return strcmp(state, "SSSSS") == 0 ? child : 0;
}

/* The process that starts the new one waits for a lock then, which no thread will ever let go of. */
TEST(r122_host_is_killed_as_it_opens_a_pool_beside_a_fork) {
  int between = 0, watch;
  pid_t host;
  if (test_instrumented())
    SKIP("what starts a process has a copy of the locks then");
  host = fork();
  CHECK_GE(host, 0);
  if (host == 0)
    host_that_opens_beside_forks();
  while (between == 0)
    between = child_that_waits(host);
  watch = test_watch(between);
  CHECK_EQ(kill(host, SIGKILL), 0);
  CHECK_EQ(test_wait_exit(host), -SIGKILL);
  CHECK(test_gone(watch, 1.0 * test_slow()));
  (void)close(watch);
}

/* ---- the memory ---- */

static size_t resident(void *buffer, size_t size) {
  const size_t page_size = (size_t)sysconf(_SC_PAGESIZE), pages = size / page_size;
  unsigned char *map = (unsigned char *)malloc(pages);
  size_t count = 0;
  void *from = (void *)(((uintptr_t)buffer + page_size - 1) / page_size * page_size);
  if (map == NULL || mincore(from, (pages - 1) * page_size, map) != 0)
    _exit(70);
  for (size_t i = 0; i < pages - 1; i++)
    count += map[i] & 1;
  free(map);
  return count;
}

/* A child that holds the segment of a pool that was freed, or whose host is gone, holds no memory. */
static void check_memory(procpool_start start, bool freed) {
  const size_t size = (size_t)4 << 20;
  int watch;
  const pid_t host = fork();
  if (host == 0) {
    procpool *pool = test_open(start, 1);
    void *buffer = procpool_shared_alloc(pool, size);
    pid_t child;
    CHECK(buffer != NULL);
    memset(buffer, 1, size);
    page->pid[6] = (int)test_supervisor(pool);
    child = make_child(BY_CLONE);
    if (child == 0) {
      page->word[1] = (int)resident(buffer, size);
      gate_add(&page->word[4], 1);
      gate_wait(&page->word[5], 1);
      page->word[2] = (int)resident(buffer, size);
      gate_add(&page->word[7], 1);
      _exit(0);
    }
    gate_wait(&page->word[6], 1);
    if (freed) {
      CHECK_OK(procpool_free(pool));
      gate_add(&page->word[5], 1);
      _exit(test_wait_exit(child));
    }
    raise(SIGKILL);
  }
  gate_wait(&page->word[4], 1);
  watch = test_watch(page->pid[6]);
  gate_add(&page->word[6], 1);
  CHECK_EQ(test_wait_exit(host), freed ? 0 : -SIGKILL);
  CHECK(test_gone(watch, 2.0 * test_slow()));
  (void)close(watch);
  gate_add(&page->word[5], 1);
  gate_wait(&page->word[7], 1);
  CHECK_GT(page->word[1], 500);
  CHECK_EQ(page->word[2], 0);
}

TEST_STARTS(r131_child_keeps_no_memory_of_a_freed_pool, PROCESSES) {
  check_memory(start, true);
}
TEST_STARTS(r131_child_keeps_no_memory_of_a_dead_host, PROCESSES) {
  check_memory(start, false);
}

/* ---- a death is heard ---- */

typedef struct forker {
  int way;
  int go, quit, idle; /* atomic */
  int count;          /* atomic */
  pid_t children[256];
} forker;

static void *fork_all_the_time(void *context) {
  forker *f = (forker *)context;
  while (!__atomic_load_n(&f->quit, __ATOMIC_ACQUIRE)) {
    pid_t child;
    if (!__atomic_load_n(&f->go, __ATOMIC_ACQUIRE) || f->count >= 256) {
      __atomic_store_n(&f->idle, 1, __ATOMIC_RELEASE);
      usleep(100);
      continue;
    }
    child = make_child(f->way);
    if (child == 0)
      for (;;)
        pause();
    if (child > 0) {
      f->children[f->count] = child;
      __atomic_fetch_add(&f->count, 1, __ATOMIC_RELEASE);
    }
  }
  return NULL;
}

static void check_death(procpool_start start, int way) {
  forker f;
  pthread_t thread;
  int unheard = 0;
  memset(&f, 0, sizeof(f));
  f.way = way;
  thread = test_thread(fork_all_the_time, &f);
  for (int round = 0; round < test_rounds(12); round++) {
    procpool *pool;
    procpool_future *future;
    long supervisor;
    __atomic_store_n(&f.go, 1, __ATOMIC_RELEASE);
    while (__atomic_load_n(&f.count, __ATOMIC_ACQUIRE) < 1)
      usleep(50);
    pool = test_open(start, 1);
    __atomic_store_n(&f.go, 0, __ATOMIC_RELEASE);
    __atomic_store_n(&f.idle, 0, __ATOMIC_RELEASE);
    while (!__atomic_load_n(&f.idle, __ATOMIC_ACQUIRE))
      usleep(50);
    supervisor = test_supervisor(pool);
    future = block(pool, 0);
    CHECK_EQ(kill((pid_t)supervisor, SIGKILL), 0);
    unheard += procpool_future_wait(future, 3.0 * test_slow()) != PROCPOOL_BROKEN;
    CHECK_OK(procpool_future_release(future));
    for (int i = 0; i < f.count; i++)
      end_child(f.children[i]);
    __atomic_store_n(&f.count, 0, __ATOMIC_RELEASE);
    CHECK_OK(procpool_free(pool));
  }
  __atomic_store_n(&f.quit, 1, __ATOMIC_RELEASE);
  test_join(thread);
  CHECK_EQ(unheard, 0);
}

TEST_STARTS_LIMIT(r131_death_is_heard_beside_children, PROCESSES, 60) {
  check_death(start, BY_FORK);
}
TEST_STARTS_LIMIT(r131_death_is_heard_beside_raw_children, PROCESSES, 60) {
  check_death(start, BY_CLONE);
}

/* ---- a child that comes back from a task ---- */

enum { COMES_FIRST, COMES_LAST };
enum { GIVES_RESULT = 0, GIVES_FAILURE, GIVES_LARGE, GIVES_NOTHING, GIVES_KINDS };

/* Makes a child, which comes back from here too: before its parent, or long after it. True in the child. */
static bool come_back_twice(int way, int when) {
  const pid_t child = make_child(way);
  int status = -1;
  if (child == 0) {
    if (when == COMES_LAST)
      gate_wait(&page->word[1], 1);
    return true;
  }
  page->pid[1] = (int)child;
  gate_add(&page->word[2], 1);
  if (when == COMES_FIRST && waitpid(child, &status, 0) == child)
    page->word[3] = status;
  return false;
}

static void task_comes_back(procpool_task *task) {
  const test_job *job = job_begin(task);
  const int kind = job->number / 4, right = job->index;
  const bool copy = come_back_twice(job->number & 1, job->number >> 1 & 1);
  const int answer = copy ? -1 : right;
  if (kind == GIVES_FAILURE)
    procpool_task_fail(task, answer, "failed");
  else if (kind == GIVES_LARGE) {
    int *large = (int *)procpool_task_result(task, 1 << 20);
    large[0] = answer;
  } else if (kind == GIVES_RESULT || !copy)
    procpool_task_return(task, &answer, sizeof(answer));
}

static void check_comes_back(procpool_start start, int way, int when, int kind) {
  procpool *pool = test_open(start, 1);
  const test_job job = job_with(1234, way + 2 * when + 4 * kind);
  procpool_future *future = test_submit(pool, task_comes_back, &job, sizeof(job));
  static int large[1 << 18];
  long worker = 0;
  int watch;
  gate_wait(&page->word[2], 1);
  watch = test_watch(page->pid[1]);
  CHECK_SETTLES(future, kind == GIVES_FAILURE ? PROCPOOL_FAILED : PROCPOOL_OK);
  if (kind == GIVES_FAILURE)
    CHECK_EQ(test_error(future).code, 1234);
  else {
    CHECK_OK(procpool_future_result(future, PROCPOOL_FOREVER, large, sizeof(large), NULL));
    CHECK_EQ(large[0], 1234);
  }
  CHECK_OK(procpool_future_release(future));
  for (int i = 0; i < 100; i++) {
    procpool_future *next = test_submit(pool, task_pid, NULL, 0);
    long pid = 0;
    if (i == 50)
      gate_add(&page->word[1], 1);
    CHECK_OK(procpool_future_result(next, PROCPOOL_FOREVER, &pid, sizeof(pid), NULL));
    CHECK_OK(procpool_future_release(next));
    if (i == 0)
      worker = pid;
    CHECK_EQ(pid, worker);
    if (i == 50)
      CHECK(test_gone(watch, 5.0 * test_slow()));
  }
  if (start == PROCPOOL_START_THREAD && when == COMES_LAST) /* the host's own */
    page->word[3] = test_wait_exit((pid_t)page->pid[1]);
  CHECK_EQ(page->word[3], 0); /* it ended by itself, without a signal */
  if (watch >= 0)
    (void)close(watch);
  test_close(pool);
  memset(page->word, 0, sizeof(page->word));
}

static void check_comes_back_in_all_ways(procpool_start start, int when) {
  for (int way = 0; way < BY_WAYS; way++)
    for (int kind = 0; kind < GIVES_KINDS; kind++)
      check_comes_back(start, way, when, kind);
}

TEST_STARTS(r131_task_child_that_comes_back_first, CONCURRENT) {
  check_comes_back_in_all_ways(start, COMES_FIRST);
}
TEST_STARTS(r131_task_child_that_comes_back_last, CONCURRENT) {
  check_comes_back_in_all_ways(start, COMES_LAST);
}

/* The same in one item of a map: items have one result each, and begin once. */
PROCPOOL_FUNCTION(int, item_comes_back, test_job, job) {
  bool copy = false;
  page_attach(job.host, job.descriptor);
  gate_add(&page->order[job.index], 1);
  if (job.index == 3)
    copy = come_back_twice(job.number & 1, COMES_FIRST);
  return copy ? -1 : 100 + job.index;
}
static void task_item_comes_back(procpool_task *task) {
  const test_job *job = (const test_job *)procpool_task_argument(task, NULL);
  const int answer = item_comes_back(*job);
  procpool_task_return(task, &answer, sizeof(answer));
}

static void check_item_comes_back(procpool_start start, int way, bool typed) {
  enum { COUNT = 40 };
  procpool *pool = test_open(start, 1);
  test_job jobs[COUNT];
  int results[COUNT];
  for (int i = 0; i < COUNT; i++)
    jobs[i] = job_with(i, way);
  memset(page->order, 0, sizeof(page->order));
  if (typed)
    CHECK_OK(item_comes_back_map(pool, jobs, results, COUNT));
  else
    CHECK_OK(procpool_map(pool, task_item_comes_back, jobs, sizeof(jobs[0]), results, sizeof(results[0]), COUNT, NULL));
  for (int i = 0; i < COUNT; i++) {
    CHECK_EQ(results[i], 100 + i);
    CHECK_EQ(page->order[i], 1);
  }
  test_close(pool);
}

TEST_STARTS(r131_item_child_that_comes_back, EVERY) {
  for (int way = 0; way < BY_WAYS; way++) {
    check_item_comes_back(start, way, true);
    check_item_comes_back(start, way, false);
  }
}

/* ---- a child of the host's that comes back into a call ---- Code of the user's makes it in the midst of the call, and
 * the host goes on when it has ended. It gets FORKED, and the host all of its results. */

enum { COMING = 12, SHARED = 4096 };

/* What the case that runs is about. */
static struct {
  int way;
  pid_t child; /* 0: none was made yet; -1: this is it */
  int given;   /* by the generator */
} coming;

/* A signal handler of another thread's may have written it. */
static pid_t coming_child(void) {
  return __atomic_load_n(&coming.child, __ATOMIC_ACQUIRE);
}

static void make_one_that_comes_back(void) {
  pid_t child;
  if (coming_child() != 0)
    return;
  child = make_child(coming.way);
  if (child == 0)
    __atomic_store_n(&coming.child, -1, __ATOMIC_RELEASE);
  else
    __atomic_store_n(&coming.child, test_wait_exit(child) == 0 ? child : -2, __ATOMIC_RELEASE);
}
static void callback_comes_back(procpool_future *future, void *context) {
  (void)future;
  (void)context;
  make_one_that_comes_back();
}
static void handler_comes_back(int number) {
  const int error = errno;
  (void)number;
  make_one_that_comes_back();
  errno = error;
}
/* context: before which item. */
static int generator_comes_back(void *context, void *item) {
  if (coming.given == *(const int *)context)
    make_one_that_comes_back();
  if (coming.given == COMING)
    return 0;
  *(int *)item = coming.given++;
  return 1;
}

/* Behind the call from which it comes back. */
static void end_of_the_child(procpool *pool, procpool_status status) {
  procpool_future *future = NULL;
  if (coming_child() != -1)
    return;
  if (status != PROCPOOL_FORKED) {
    fprintf(stderr, "child: %s\n", procpool_status_name(status));
    _exit(1);
  }
  if (procpool_submit(pool, task_nothing, NULL, 0, NULL, &future) != PROCPOOL_FORKED ||
      procpool_free(pool) != PROCPOOL_FORKED || procpool_poll(pool, 0) != PROCPOOL_FORKED)
    _exit(2);
  _exit(0);
}

static void task_twice_slowly(procpool_task *task) {
  usleep(20000);
  task_twice(task);
}

static procpool *coming_pool(procpool_start start, int way) {
  memset(&coming, 0, sizeof(coming));
  coming.way = way;
  fflush(stdout);
  return test_open(start, 2);
}

static void coming_submit(procpool *pool, procpool_future **futures) {
  for (int i = 0; i < COMING; i++)
    futures[i] = test_submit(pool, task_twice_slowly, &i, sizeof(i));
}

/* The host has all of its own. */
static void coming_end(procpool *pool, procpool_future **futures) {
  CHECK_GT(coming_child(), 0);
  for (int i = 0; i < COMING; i++) {
    int twice = -1;
    CHECK_OK(procpool_future_result(futures[i], 10.0 * test_slow(), &twice, sizeof(twice), NULL));
    CHECK_EQ(twice, 2 * i);
    CHECK_OK(procpool_future_release(futures[i]));
  }
  CHECK_WORKS(pool);
  test_close(pool);
}

typedef procpool_status coming_call(procpool *pool, procpool_future **futures);

static procpool_status coming_wait(procpool *pool, procpool_future **futures) {
  (void)pool;
  return procpool_future_wait(futures[COMING - 1], PROCPOOL_FOREVER);
}
static procpool_status coming_wait_for_all(procpool *pool, procpool_future **futures) {
  (void)pool;
  return procpool_wait(futures, COMING, PROCPOOL_ALL_COMPLETED, PROCPOOL_FOREVER, NULL);
}
static procpool_status coming_poll(procpool *pool, procpool_future **futures) {
  (void)futures;
  while (coming_child() == 0) {
    const procpool_status status = procpool_poll(pool, 0);
    if (status != PROCPOOL_OK && status != PROCPOOL_PENDING && status != PROCPOOL_END)
      return status;
    usleep(1000);
  }
  return PROCPOOL_OK;
}
static procpool_status coming_as_completed(procpool *pool, procpool_future **futures) {
  procpool_iterator *iterator;
  procpool_future *future;
  procpool_status status = procpool_as_completed(futures, COMING, &iterator);
  (void)pool;
  while (status == PROCPOOL_OK)
    status = procpool_next(iterator, PROCPOOL_FOREVER, &future);
  procpool_iterator_free(iterator);
  return status == PROCPOOL_END ? PROCPOOL_OK : status;
}
static procpool_status coming_map(procpool *pool, procpool_future **futures) {
  static int in[2000], out[2000];
  (void)futures;
  return procpool_map(pool, task_twice, in, sizeof(in[0]), out, sizeof(out[0]), 2000, NULL);
}
static procpool_status coming_shutdown(procpool *pool, procpool_future **futures) {
  (void)futures;
  (void)procpool_shutdown(pool, PROCPOOL_DRAIN, 0);
  return coming_child() == -1 ? PROCPOOL_FORKED : procpool_shutdown(pool, PROCPOOL_DRAIN, PROCPOOL_FOREVER);
}

/* Submits them, and makes the call, within which the first one's callback makes the child: the host alone comes out. */
static void come_back_into(procpool *pool, procpool_future **futures, coming_call *call) {
  procpool_status status;
  coming_submit(pool, futures);
  CHECK_OK(procpool_future_add_done_callback(futures[0], callback_comes_back, NULL));
  status = call(pool, futures);
  end_of_the_child(pool, status);
  CHECK_OK(status);
}

static void check_callback_comes_back(procpool_start start, coming_call *call) {
  for (int way = 0; way < BY_WAYS; way++) {
    procpool *pool = coming_pool(start, way);
    procpool_future *futures[COMING];
    come_back_into(pool, futures, call);
    coming_end(pool, futures);
  }
}

TEST_STARTS(r115_callback_child_comes_back_into_a_wait, EVERY) {
  check_callback_comes_back(start, coming_wait);
}
TEST_STARTS(r115_callback_child_comes_back_into_a_wait_for_all, EVERY) {
  check_callback_comes_back(start, coming_wait_for_all);
}
TEST_STARTS(r115_callback_child_comes_back_into_a_poll, EVERY) {
  check_callback_comes_back(start, coming_poll);
}
TEST_STARTS(r115_callback_child_comes_back_into_as_completed, EVERY) {
  check_callback_comes_back(start, coming_as_completed);
}
TEST_STARTS(r115_callback_child_comes_back_into_a_map, EVERY) {
  check_callback_comes_back(start, coming_map);
}

/* Where the pool has ended when the host looks. */
TEST_STARTS(r115_callback_child_comes_back_into_a_shutdown, EVERY) {
  for (int way = 0; way < BY_WAYS; way++) {
    procpool *pool = coming_pool(start, way);
    procpool_future *futures[COMING];
    come_back_into(pool, futures, coming_shutdown);
    CHECK_GT(coming_child(), 0);
    for (int i = 0; i < COMING; i++) {
      CHECK_SETTLES(futures[i], PROCPOOL_OK);
      CHECK_OK(procpool_future_release(futures[i]));
    }
    CHECK_OK(procpool_free(pool));
  }
}

/* A callback that is added late runs within that call. */
TEST_STARTS(r115_callback_child_comes_back_as_it_is_added, EVERY) {
  for (int way = 0; way < BY_WAYS; way++) {
    procpool *pool = coming_pool(start, way);
    procpool_future *futures[COMING];
    procpool_status status;
    coming_submit(pool, futures);
    CHECK_SETTLES(futures[0], PROCPOOL_OK);
    status = procpool_future_add_done_callback(futures[0], callback_comes_back, NULL);
    end_of_the_child(pool, status);
    CHECK_OK(status);
    coming_end(pool, futures);
  }
}

/* Of two pools, the child gives neither anything. */
TEST_STARTS(r115_callback_child_comes_back_into_a_wait_for_two_pools, EVERY) {
  for (int way = 0; way < BY_WAYS; way++) {
    procpool *pools[2];
    procpool_future *futures[2 * COMING];
    procpool_status status;
    pools[0] = coming_pool(start, way);
    pools[1] = test_open(start, 2);
    coming_submit(pools[0], futures);
    coming_submit(pools[1], futures + COMING);
    CHECK_OK(procpool_future_add_done_callback(futures[0], callback_comes_back, NULL));
    status = procpool_wait(futures, (size_t)(2 * COMING), PROCPOOL_ALL_COMPLETED, PROCPOOL_FOREVER, NULL);
    end_of_the_child(pools[1], status);
    CHECK_OK(status);
    coming_end(pools[0], futures);
    coming_end(pools[1], futures + COMING);
  }
}

static void check_generator_comes_back(procpool_start start, bool unordered, int at) {
  for (int way = 0; way < BY_WAYS; way++) {
    procpool *pool = coming_pool(start, way);
    procpool_imap_options options;
    procpool_iterator *iterator;
    procpool_future *future;
    procpool_status status;
    int count = 0;
    memset(&options, 0, sizeof(options));
    options.unordered = unordered;
    options.buffersize = at < COMING ? 0 : 1; /* nothing is on its way then, and nothing comes */
    CHECK_OK(procpool_imap(pool, task_twice_slowly, generator_comes_back, &at, sizeof(int), &options, &iterator));
    while ((status = procpool_next(iterator, PROCPOOL_FOREVER, &future)) == PROCPOOL_OK) {
      CHECK_OK(procpool_future_status(future));
      count++;
    }
    end_of_the_child(pool, status);
    CHECK_STATUS(status, PROCPOOL_END);
    CHECK_GT(coming_child(), 0);
    CHECK_EQ(count, COMING);
    procpool_iterator_free(iterator);
    CHECK_WORKS(pool);
    test_close(pool);
  }
}

TEST_STARTS(r115_generator_child_comes_back, EVERY) {
  check_generator_comes_back(start, false, COMING / 2);
}
TEST_STARTS(r115_generator_child_comes_back_unordered, EVERY) {
  check_generator_comes_back(start, true, COMING / 2);
}
TEST_STARTS(r115_generator_child_comes_back_at_its_end, EVERY) {
  check_generator_comes_back(start, false, COMING);
  check_generator_comes_back(start, true, COMING);
}

static void *call_all_the_time(void *context) {
  procpool *pool = (procpool *)context;
  while (!__atomic_load_n(&page->word[1], __ATOMIC_ACQUIRE))
    (void)test_stats(pool);
  return NULL;
}

/* Another thread may have the lock as the child is made. */
TEST_STARTS(r115_callback_child_comes_back_beside_a_busy_thread, CONCURRENT) {
  procpool *pool = coming_pool(start, BY_FORK);
  pthread_t thread;
  page->word[1] = 0;
  thread = test_thread(call_all_the_time, pool);
  for (int i = 0; i < test_rounds(40); i++) {
    procpool_future *future = test_submit(pool, task_nothing, NULL, 0);
    procpool_status status;
    __atomic_store_n(&coming.child, 0, __ATOMIC_RELEASE);
    status = procpool_future_add_done_callback(future, callback_comes_back, NULL);
    end_of_the_child(pool, status);
    CHECK_OK(status);
    status = procpool_future_wait(future, PROCPOOL_FOREVER);
    end_of_the_child(pool, status);
    CHECK_OK(status);
    while (coming_child() == 0) { /* the other thread may have taken it in */
      status = procpool_poll(pool, 0);
      end_of_the_child(pool, status);
      CHECK_POLL(status);
    }
    CHECK_GT(coming_child(), 0);
    CHECK_OK(procpool_future_release(future));
  }
  gate_add(&page->word[1], 1);
  test_join(thread);
  test_close(pool);
}

/* A signal handler makes it while the call sleeps, and the sleep goes on by itself (SA_RESTART). */
static void *signal_and_open_the_gate(void *context) {
  const pthread_t *thread = (const pthread_t *)context;
  usleep(50000);
  (void)pthread_kill(*thread, SIGUSR1);
  while (coming_child() == 0)
    usleep(1000);
  gate_add(&page->gate, 1);
  return NULL;
}
static void *wait_for_it(void *context) {
  (void)procpool_future_wait((procpool_future *)context, PROCPOOL_FOREVER);
  return NULL;
}

/* follows: another thread drains meanwhile. */
static void check_handler_comes_back(procpool_start start, bool follows) {
  struct sigaction action, before;
  memset(&action, 0, sizeof(action));
  action.sa_handler = handler_comes_back;
  action.sa_flags = SA_RESTART;
  CHECK_EQ(sigaction(SIGUSR1, &action, &before), 0);
  for (int way = 0; way < BY_WAYS; way++) {
    procpool *pool = coming_pool(start, way);
    procpool_future *blocked = block(pool, 0), *futures[COMING];
    pthread_t self = pthread_self(), first = self, thread;
    procpool_status status;
    if (follows) {
      first = test_thread(wait_for_it, blocked);
      usleep(20000);
    }
    thread = test_thread(signal_and_open_the_gate, &self);
    status = procpool_future_wait(blocked, PROCPOOL_FOREVER);
    end_of_the_child(pool, status);
    CHECK_OK(status);
    test_join(thread);
    if (follows)
      test_join(first);
    CHECK_OK(procpool_future_release(blocked));
    coming_submit(pool, futures);
    coming_end(pool, futures);
    page->gate = 0;
  }
  CHECK_EQ(sigaction(SIGUSR1, &before, NULL), 0);
}

TEST_STARTS(r115_handler_child_comes_back_into_a_sleep, CONCURRENT) {
  check_handler_comes_back(start, false);
}
TEST_STARTS(r115_handler_child_comes_back_beside_the_thread_that_drains, CONCURRENT) {
  check_handler_comes_back(start, true);
}

/* What a child of the host's writes into a shared buffer is its own; it reads what the host has written. */
TEST_STARTS(r115_child_writes_to_a_copy_of_a_buffer, EVERY) {
  procpool *pool = test_open(start, 1);
  unsigned char *buffer = (unsigned char *)procpool_shared_alloc(pool, (size_t)16 * SHARED);
  pid_t child;
  CHECK(buffer != NULL);
  pattern_fill(buffer, (size_t)16 * SHARED, 5);
  fflush(stdout);
  child = fork();
  if (child == 0) {
    const bool holds = pattern_holds(buffer, (size_t)16 * SHARED, 5);
    memset(buffer, 0, (size_t)16 * SHARED);
    _exit(holds && buffer[SHARED] == 0 ? 0 : 1);
  }
  CHECK_EQ(test_wait_exit(child), 0);
  CHECK(pattern_holds(buffer, (size_t)16 * SHARED, 5));
  CHECK_OK(procpool_shared_free(pool, buffer));
  CHECK_WORKS(pool);
  test_close(pool);
}

/* ---- children that open a pool of their own ---- */

static void *open_all_the_time(void *context) {
  forker *f = (forker *)context;
  while (!__atomic_load_n(&f->quit, __ATOMIC_ACQUIRE)) {
    procpool *pool = test_open((procpool_start)f->way, 1);
    CHECK_OK(procpool_free(pool));
    __atomic_fetch_add(&f->count, 1, __ATOMIC_RELEASE);
  }
  return NULL;
}

/* A child: opens a pool, after it has closed all that it has, as daemons do. */
static void child_opens(procpool_start start, bool closes) {
  procpool_options options;
  procpool_error error;
  procpool *pool;
  int number = 0;
  memset(&options, 0, sizeof(options));
  options.start = start;
  options.max_workers = 1;
  options.error = &error;
  if (closes)
    for (int fd = 3; fd < 256; fd++)
      (void)close(fd);
  pool = procpool_open(&options);
  if (pool != NULL) {
    const int in = 21;
    procpool_future *future = NULL;
    if (procpool_submit(pool, task_twice, &in, sizeof(in), NULL, &future) == PROCPOOL_OK)
      (void)procpool_future_result(future, 10.0 * test_slow(), &number, sizeof(number), NULL);
    (void)procpool_future_release(future);
    (void)procpool_free(pool);
  } else
    fprintf(stderr, "child: %s, %s\n", procpool_status_name(error.status), error.message);
  _exit(number == 42 ? 0 : 1);
}

static void check_opens_beside(procpool_start start, procpool_start child_start) {
  forker f;
  pthread_t thread;
  int bad = 0;
  memset(&f, 0, sizeof(f));
  f.way = (int)start;
  thread = test_thread(open_all_the_time, &f);
  for (int i = 0; i < test_rounds(60); i++) {
    pid_t child;
    usleep((useconds_t)(137 * (i % 17)));
    fflush(stdout);
    child = fork();
    if (child == 0)
      child_opens(child_start, i % 2 == 1);
    bad += test_wait_exit(child) != 0;
  }
  __atomic_store_n(&f.quit, 1, __ATOMIC_RELEASE);
  test_join(thread);
  CHECK_EQ(bad, 0);
}

TEST_STARTS_LIMIT(r132_child_opens_a_pool_beside_opens_and_frees, EVERY, 60) {
  check_opens_beside(start, PROCPOOL_START_FORK);
}
TEST_STARTS_LIMIT(r132_child_spawns_a_pool_beside_opens_and_frees, EVERY, 60) {
  check_opens_beside(start, PROCPOOL_START_SPAWN);
}

static void *fork_until_told(void *context) {
  while (gate_read((int *)context) == 0) {
    const pid_t child = fork();
    if (child == 0)
      _exit(0);
    CHECK_EQ(waitpid(child, NULL, 0), child);
  }
  return NULL;
}

/* glibc 2.28 to 2.35 holds a lock while handlers around forks run, and wants it for taking exit handlers back. */
TEST_STARTS(r132_opens_beside_forks, EVERY) {
  int stop = 0;
  pthread_t thread;
  if (test_instrumented())
    SKIP("what starts a process has a copy of the locks then");
  test_close(test_open(start, 1));
  thread = test_thread(fork_until_told, &stop);
  for (int i = 0; i < test_rounds(60); i++)
    test_close(test_open(start, 1));
  gate_add(&stop, 1);
  (void)test_join(thread);
}

/* What a child has under the numbers of its parent's descriptors is its own, in the workers of its pool too. */
static void task_files_are_open(procpool_task *task) {
  const ino_t *file = (const ino_t *)procpool_task_argument(task, NULL);
  int open_files = 0;
  for (int fd = 3; fd < 64; fd++) {
    struct stat st;
    open_files += fstat(fd, &st) == 0 && st.st_ino == *file;
  }
  procpool_task_return(task, &open_files, sizeof(open_files));
}

TEST_STARTS(r132_child_has_other_files_under_the_same_numbers, EVERY) {
  procpool *pool = test_open(start, 1);
  pid_t child;
  fflush(stdout);
  child = fork();
  if (child == 0) {
    struct stat st;
    int open_files = 0, files = 0;
    procpool *own;
    procpool_future *future;
    for (int fd = 3; fd < 64; fd++)
      (void)close(fd);
    for (; files < 20; files++)
      CHECK_GE(open("/proc/version", O_RDONLY), 3);
    CHECK_EQ(fstat(3, &st), 0);
    own = test_open(PROCPOOL_START_FORK, 1);
    future = test_submit(own, task_files_are_open, &st.st_ino, sizeof(st.st_ino));
    CHECK_OK(procpool_future_result(future, PROCPOOL_FOREVER, &open_files, sizeof(open_files), NULL));
    CHECK_OK(procpool_future_release(future));
    CHECK_OK(procpool_free(own));
    CHECK_EQ(open_files, files);
    _exit(0);
  }
  CHECK_EQ(test_wait_exit(child), 0);
  CHECK_WORKS(pool);
  test_close(pool);
}

/* A child that no handler knows of, of a host with one thread. */
TEST_STARTS(r132_raw_child_opens_a_pool, PROCESSES) {
  procpool *pool = test_open(start, 1);
  pid_t child;
  fflush(stdout);
  child = make_child(BY_CLONE);
  if (child == 0)
    child_opens(start, true);
  CHECK_EQ(test_wait_exit(child), 0);
  CHECK_WORKS(pool);
  test_close(pool);
}

/* Handlers of the host's own, older than those of the library, that close a pool and open another around each fork. */
static procpool *around;
static procpool_start around_start;
static bool around_on;

static void around_before(void) {
  if (around_on)
    (void)procpool_free(around);
}
static void around_after(void) {
  procpool_options options;
  if (!around_on)
    return;
  memset(&options, 0, sizeof(options));
  options.start = around_start;
  options.max_workers = 1;
  around_on = false; /* a forked supervisor passes here too */
  around = procpool_open(&options);
  around_on = true;
}

TEST_STARTS(r132_handlers_around_forks_open_pools, EVERY) {
  procpool *pool;
  pid_t child;
  if (start == PROCPOOL_START_THREAD && getenv("TSAN_OPTIONS") != NULL)
    SKIP("ThreadSanitizer starts no threads in a child that was forked from several");
  CHECK_EQ(pthread_atfork(around_before, around_after, around_after), 0);
  pool = test_open(start, 1);
  around = test_open(start, 1);
  around_start = start;
  around_on = true;
  fflush(stdout);
  child = fork();
  around_on = false;
  if (child == 0) {
    CHECK_WORKS(around);
    CHECK_OK(procpool_free(around));
    _exit(0);
  }
  CHECK_WORKS(around);
  CHECK_EQ(test_wait_exit(child), 0);
  CHECK_WORKS(pool);
  test_close(around);
  test_close(pool);
}

/* ---- pools hold nothing of each other's ---- */

enum { POOLS = 6, LINKS = 64 };

typedef struct links {
  int count, memfds, events;
  char name[LINKS][48]; /* of pipes and sockets */
} links;

static bool links_have(const links *l, const char *name) {
  for (int i = 0; i < l->count; i++)
    if (strcmp(l->name[i], name) == 0)
      return true;
  return false;
}

/* What a process has open: pipes and sockets by name, but those of base; memfds and eventfds by number. */
static void links_of(long pid, const links *base, links *l) {
  char path[64], to[48];
  DIR *directory;
  struct dirent *entry;
  memset(l, 0, sizeof(*l));
  (void)snprintf(path, sizeof(path), "/proc/%ld/fd", pid);
  directory = opendir(path);
  CHECK(directory != NULL);
  while ((entry = readdir(directory)) != NULL) {
    const ssize_t size = readlinkat(dirfd(directory), entry->d_name, to, sizeof(to) - 1);
    if (size <= 0)
      continue;
    to[size] = 0;
    l->memfds += strstr(to, "memfd:procpool") != NULL || strstr(to, "memfd:witness") != NULL;
    l->events += strstr(to, "[eventfd]") != NULL;
    if ((strncmp(to, "pipe:", 5) == 0 || strncmp(to, "socket:", 7) == 0) && l->count < LINKS &&
        (base == NULL || !links_have(base, to)))
      memcpy(l->name[l->count++], to, sizeof(to));
  }
  (void)closedir(directory);
}

typedef struct opener {
  procpool_start start;
  pthread_barrier_t *barrier;
  procpool *pool;
} opener;

static void *open_at_once(void *context) {
  opener *o = (opener *)context;
  (void)pthread_barrier_wait(o->barrier);
  CHECK_OK(procpool_free(test_open(o->start, 1)));
  o->pool = test_open(o->start, 1);
  return NULL;
}

static void check_apart(const links *base, procpool **pools) {
  links all[POOLS];
  for (int i = 0; i < POOLS; i++) {
    links_of(test_supervisor(pools[i]), base, &all[i]);
    CHECK_EQ(all[i].memfds, 2);
    CHECK_EQ(all[i].events, base->events + 1);
    CHECK_EQ(all[i].count, 3);
  }
  for (int i = 0; i < POOLS; i++)
    for (int k = 0; k < i; k++)
      for (int n = 0; n < all[i].count; n++)
        CHECK(!links_have(&all[k], all[i].name[n]));
}

TEST_STARTS(r140_pools_opened_at_once_hold_nothing_of_each_other, PROCESSES) {
  links base, none;
  links_of(getpid(), NULL, &base);
  memset(&none, 0, sizeof(none));
  for (int round = 0; round < test_rounds(8); round++) {
    opener openers[POOLS];
    procpool *pools[POOLS];
    pthread_t threads[POOLS];
    pthread_barrier_t barrier;
    CHECK_EQ(pthread_barrier_init(&barrier, NULL, POOLS), 0);
    for (int i = 0; i < POOLS; i++) {
      openers[i].start = start;
      openers[i].barrier = &barrier;
      threads[i] = test_thread(open_at_once, &openers[i]);
    }
    for (int i = 0; i < POOLS; i++) {
      test_join(threads[i]);
      pools[i] = openers[i].pool;
    }
    check_apart(start == PROCPOOL_START_FORK ? &base : &none, pools);
    for (int i = 0; i < POOLS; i++)
      CHECK_OK(procpool_free(pools[i]));
    CHECK_EQ(pthread_barrier_destroy(&barrier), 0);
  }
}

/* Nor of one that was shut down and is not freed yet. */
TEST_STARTS(r140_finished_pools_leave_nothing_to_others, PROCESSES) {
  procpool *old[3], *pool;
  links base, now;
  links_of(getpid(), NULL, &base);
  for (int i = 0; i < 3; i++) {
    old[i] = test_open(start, 1);
    CHECK_OK(procpool_shutdown(old[i], PROCPOOL_DRAIN, PROCPOOL_FOREVER));
  }
  pool = test_open(start, 1);
  links_of(test_supervisor(pool), &base, &now);
  CHECK_EQ(now.events, (start == PROCPOOL_START_FORK ? base.events : 0) + 1);
  CHECK_EQ(now.memfds, 2);
  CHECK_EQ(now.count, 3);
  test_close(pool);
  for (int i = 0; i < 3; i++)
    CHECK_OK(procpool_free(old[i]));
}

/* Two copies of the implementation in one process. */
TEST_STARTS(r140_copies_of_the_implementation_hold_nothing_of_each_other, PROCESSES) {
  procpool *first = test_open(start, 1);
  const long supervisor = test_supervisor(first);
  links base, one, other;
  void *second = second_open();
  double begun;
  CHECK(second != NULL);
  memset(&base, 0, sizeof(base));
  links_of(supervisor, NULL, &one);
  links_of(second_supervisor(second), NULL, &other);
  CHECK_EQ(other.memfds, 2);
  CHECK_EQ(kill((pid_t)supervisor, SIGSTOP), 0);
  begun = test_now();
  CHECK_OK(procpool_shutdown(first, PROCPOOL_KILL, 10.0 * test_slow()));
  CHECK_SECONDS(test_now() - begun, <, 5.0 * test_slow());
  CHECK_OK(procpool_free(first));
  CHECK(second_works(second));
  CHECK(second_free(second));
}

/* Descriptors are closed once: what other threads open meanwhile stays open. */
typedef struct looker {
  int *quit;
  int wrong, looked;
} looker;

static void task_file_is_open(procpool_task *task) {
  const struct stat *files = (const struct stat *)procpool_task_argument(task, NULL);
  int wrong = 0;
  for (int i = 0; i < 4; i++) {
    struct stat st;
    wrong += fstat((int)files[i].st_size, &st) != 0 || st.st_ino != files[i].st_ino;
  }
  procpool_task_return(task, &wrong, sizeof(wrong));
}

static void *look_at_files(void *context) {
  looker *l = (looker *)context;
  while (!__atomic_load_n(l->quit, __ATOMIC_ACQUIRE)) {
    struct stat files[4];
    procpool *pool;
    procpool_future *future;
    int fds[4], wrong = 0;
    memset(files, 0, sizeof(files));
    for (int i = 0; i < 4; i++) {
      fds[i] = open("/proc/version", O_RDONLY | O_CLOEXEC);
      CHECK_EQ(fstat(fds[i], &files[i]), 0);
      files[i].st_size = fds[i];
    }
    pool = test_open(PROCPOOL_START_FORK, 1);
    future = test_submit(pool, task_file_is_open, files, sizeof(files));
    CHECK_OK(procpool_future_result(future, PROCPOOL_FOREVER, &wrong, sizeof(wrong), NULL));
    CHECK_OK(procpool_future_release(future));
    CHECK_OK(procpool_free(pool));
    l->wrong += wrong;
    l->looked++;
    for (int i = 0; i < 4; i++)
      (void)close(fds[i]);
  }
  return NULL;
}

TEST_LIMIT(r140_each_descriptor_is_closed_once, 60) {
  forker f;
  looker lookers[2];
  pthread_t churn[4], look[2];
  int quit = 0;
  memset(&f, 0, sizeof(f));
  memset(lookers, 0, sizeof(lookers));
  f.way = (int)PROCPOOL_START_FORK;
  for (int i = 0; i < 2; i++) {
    lookers[i].quit = &quit;
    look[i] = test_thread(look_at_files, &lookers[i]);
  }
  for (int i = 0; i < 4; i++)
    churn[i] = test_thread(open_all_the_time, &f);
  while (__atomic_load_n(&f.count, __ATOMIC_ACQUIRE) < test_rounds(300))
    usleep(1000);
  __atomic_store_n(&quit, 1, __ATOMIC_RELEASE);
  __atomic_store_n(&f.quit, 1, __ATOMIC_RELEASE);
  for (int i = 0; i < 4; i++)
    test_join(churn[i]);
  for (int i = 0; i < 2; i++) {
    test_join(look[i]);
    CHECK_EQ(lookers[i].wrong, 0);
    CHECK_GT(lookers[i].looked, 0);
  }
}

/* ---- a host that adopts orphans ---- */

static void check_adopts(procpool_start start) {
  procpool *pool = NULL;
  long supervisor;
  for (int i = 0; i < 5; i++) {
    pool = test_open(start, 2);
    CHECK_WORKS(pool);
    test_close_by(pool, i % 2 == 0 ? PROCPOOL_DRAIN : PROCPOOL_KILL);
    CHECK_EQ(waitpid(-1, NULL, WNOHANG), -1);
    CHECK_EQ(errno, ECHILD);
  }
  pool = test_open(start, 1);
  supervisor = test_supervisor(pool);
  CHECK_EQ(kill((pid_t)supervisor, SIGKILL), 0);
  while (procpool_poll(pool, 0) < PROCPOOL_ARGUMENT && test_state(supervisor) != 0)
    usleep(1000);
  CHECK_OK(procpool_free(pool));
  CHECK_EQ(test_state(supervisor), 0); /* reaped */
}

TEST_STARTS(r127_subreaper_keeps_no_zombie, PROCESSES) {
  const pid_t host = fork();
  if (host == 0) {
    CHECK_EQ(prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0), 0);
    check_adopts(start);
    _exit(0);
  }
  CHECK_EQ(test_wait_exit(host), 0);
}

TEST_STARTS(r127_process_1_keeps_no_zombie, PROCESSES) {
  const pid_t outer = fork();
  int seen;
  if (outer == 0) {
    pid_t host;
    if (syscall(SYS_unshare, 0x20000000 | 0x20000 /* CLONE_NEWPID, CLONE_NEWNS */) != 0)
      _exit(77);
    host = fork();
    if (host == 0) {
      if (mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 || mount("proc", "/proc", "proc", 0, NULL) != 0)
        _exit(77);
      check_adopts(start);
      _exit(0);
    }
    _exit(test_wait_exit(host));
  }
  seen = test_wait_exit(outer);
  if (seen == 77)
    SKIP("no namespaces of its own can be had here");
  CHECK_EQ(seen, 0);
}

/* ---- a host whose children go elsewhere ---- */

static void check_elsewhere(procpool_start start, bool without_proc) {
  const pid_t host = fork();
  int seen;
  if (host == 0) {
    procpool_options options;
    procpool_error error;
    memset(&options, 0, sizeof(options));
    options.start = start;
    options.max_workers = 1;
    options.error = &error;
    if (syscall(SYS_unshare, 0x20000000 | 0x20000 | 0) != 0)
      _exit(77);
    if (without_proc &&
        (mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 || mount("none", "/proc", "tmpfs", 0, NULL) != 0))
      _exit(77);
    CHECK(procpool_open(&options) == NULL);
    CHECK_STATUS(error.status, PROCPOOL_UNSUPPORTED);
    for (int i = 0; i < 2; i++) { /* the first one is process 1 there, and with its end the namespace ends */
      const pid_t child = fork();
      if (child == 0)
        _exit(getpid() == 1 ? 0 : 1);
      if (i == 0)
        CHECK_EQ(test_wait_exit(child), 0);
      else
        CHECK_EQ(child, -1);
    }
    _exit(0);
  }
  seen = test_wait_exit(host);
  if (seen == 77)
    SKIP("no namespaces of its own can be had here");
  CHECK_EQ(seen, 0);
}

TEST_STARTS(r141_children_in_another_namespace, PROCESSES) {
  check_elsewhere(start, false);
}
TEST_STARTS(r141_children_in_another_namespace_without_proc, PROCESSES) {
  check_elsewhere(start, true);
}
