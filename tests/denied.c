/* denied.c - each kernel call that a sandbox or an old kernel may refuse is refused: by ENOSYS, then by EPERM, under each
 * start method. The pool opens and works (tasks, a map, a large argument, a crash, a limit, its end in time), or open
 * fails with a status and a text that names the call; and nothing is left: no descriptor, mapping, child or process.
 *   denied --cases          prints cases for the runner
 *   denied CALL [START]     runs those of one call; exit status 77: no filter can be had here */
#define _GNU_SOURCE
#define PROCPOOL_IMPLEMENTATION
#include "../procpool.h"

#include <dirent.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>

#define SOON 15.0 /* seconds: what a host waits for comes much sooner, or it never does */

/* ---- what is refused ---- */

typedef struct denial {
  const char *name;
  const char *texts; /* what open names it by; null: the pool must work without it */
  int calls[2];      /* numbers; -1: none */
  int argument;      /* of the first: refused only where this argument has one of these bits; -1: always */
  unsigned bits;
} denial;

#define CALL(name, texts)                                                                                              \
  { #name, texts, {SYS_##name, -1 }, -1, 0 }
static const denial denials[] = {
    /* what has a substitute, or is not needed */
    CALL(memfd_create, NULL),
    {"memfd_create_and_tmpfile", NULL, {SYS_openat, SYS_memfd_create}, 2, 020000000 /* O_TMPFILE */},
    CALL(ftruncate, NULL),
    CALL(fallocate, NULL),
#ifdef SYS_mmap
    {"mmap_fixed_noreplace", NULL, {SYS_mmap, -1}, 3, 0x100000},
#endif
    CALL(madvise, NULL),
    CALL(ppoll, NULL),
    CALL(pidfd_open, NULL),
    CALL(pidfd_send_signal, NULL),
    {"close_range", NULL, {436, -1}, -1, 0},
    {"close_range_and_getdents64", NULL, {436, SYS_getdents64}, -1, 0},
    CALL(prctl, NULL),
    CALL(sendto, NULL),
    CALL(recvfrom, NULL),
    CALL(sendmsg, NULL),
    CALL(recvmsg, NULL),
    CALL(wait4, NULL),
    CALL(waitid, NULL),
    CALL(kill, NULL),
    CALL(tgkill, NULL),
    CALL(getcpu, NULL),
    CALL(getppid, NULL),
    CALL(sched_yield, NULL),
    CALL(sched_getaffinity, NULL),
    CALL(sched_setaffinity, NULL),
    CALL(sysinfo, NULL),
    CALL(prlimit64, NULL),
    CALL(getpriority, NULL),
    CALL(setpriority, NULL),
    CALL(getrandom, NULL),
    CALL(getdents64, NULL),
    CALL(set_robust_list, NULL),
    CALL(rseq, NULL),
    CALL(setpgid, NULL),
    CALL(setsid, NULL),
    CALL(setitimer, NULL),
    CALL(timer_create, NULL),
    CALL(timerfd_create, NULL),
    CALL(timerfd_settime, NULL),
    CALL(epoll_pwait, NULL),
    CALL(membarrier, NULL),
    CALL(process_vm_readv, NULL),
    CALL(getxattr, NULL),
    CALL(pwrite64, NULL),
    CALL(mlock, NULL),
    CALL(mremap, NULL),
#ifdef SYS_poll
    CALL(poll, NULL),
#endif
#ifdef SYS_fork
    CALL(fork, NULL),
#endif
#ifdef SYS_vfork
    CALL(vfork, NULL),
#endif
#ifdef SYS_epoll_wait
    CALL(epoll_wait, NULL),
#endif
    /* what has none, for some start method */
    CALL(fcntl, "fcntl"),
    CALL(mprotect, "mprotect"),
    CALL(eventfd2, "eventfd"),
    CALL(epoll_create1, "epoll_create1"),
    CALL(epoll_ctl, "epoll_ctl"),
    CALL(pipe2, "pipe2"),
    CALL(socketpair, "socketpair"),
    CALL(getsockopt, "getsockopt"),
    CALL(futex, "futex"),
    CALL(clone, "clone"),
    {"clone3", "clone", {435, -1}, -1, 0},
    {"clone_and_clone3", "clone", {SYS_clone, 435}, -1, 0},
    CALL(execve, "execve"),
    CALL(rt_sigaction, "rt_sigaction"),
    CALL(rt_sigprocmask, "rt_sigprocmask"),
    CALL(openat, "openat"),
};

enum { DENIALS = (int)(sizeof(denials) / sizeof(denials[0])) };

/* From now on, here and in everything that is started here. */
static bool deny(const denial *d, int error) {
  const unsigned low = __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__ ? 4 : 0;
  const unsigned argument =
      (unsigned)offsetof(struct seccomp_data, args) + 8u * (unsigned)(d->argument < 0 ? 0 : d->argument);
  struct sock_filter filter[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned)d->calls[1], 5, 0),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned)d->calls[0], 0, 3),
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, argument + low),
      BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, d->bits, 2, 0),
      BPF_STMT(BPF_JMP | BPF_JA, d->argument < 0 ? 1 : 0),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (unsigned)error),
  };
  struct sock_fprog program;
  program.len = (unsigned short)(sizeof(filter) / sizeof(filter[0]));
  program.filter = filter;
  if (d->argument < 0) /* the bits are of no interest */
    filter[2].jf = 3, filter[3] = filter[5], filter[3].k = 3;
  return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 && prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

/* ---- the host under test ---- */

typedef struct record {
  int ready, go, done; /* the host is about to be refused; it may go on; it has finished */
  int opened;
  procpool_error error; /* of open */
  char wrong[160];      /* what did not hold; empty if all did */
} record;

static record *page;

static void pass(int *word) {
  const struct timespec moment = {0, 1000000};
  while (__atomic_load_n(word, __ATOMIC_SEQ_CST) == 0)
    (void)nanosleep(&moment, NULL);
}

static void set(int *word) {
  __atomic_store_n(word, 1, __ATOMIC_SEQ_CST);
}

PROCPOOL_FUNCTION(int, square, int, x) {
  return x * x;
}

static void task_size(procpool_task *task) {
  size_t size;
  (void)procpool_task_argument(task, &size);
  procpool_task_return(task, &size, sizeof(size));
}

static void task_crash(procpool_task *task) {
  (void)task;
  __builtin_trap();
}

static void task_endless(procpool_task *task) {
  volatile int on = 1;
  (void)task;
  while (on)
    ;
}

static bool expect(const char *what, procpool_status got, procpool_status expected) {
  if (got == expected)
    return true;
  (void)snprintf(page->wrong, sizeof(page->wrong), "%s: %s, not %s", what, procpool_status_name(got),
                 procpool_status_name(expected));
  return false;
}

/* One task; its outcome. */
static bool run(procpool *pool, const char *what, procpool_function function, const void *argument, size_t size,
                double limit, procpool_status expected) {
  procpool_submit_options options;
  procpool_future *future = NULL;
  bool good;
  memset(&options, 0, sizeof(options));
  options.time_limit = limit;
  good = expect(what, procpool_submit(pool, function, argument, size, &options, &future), PROCPOOL_OK) &&
         expect(what, procpool_future_wait(future, SOON), expected);
  (void)procpool_future_release(future);
  return good;
}

static bool use(procpool *pool, bool processes) {
  int in[200], out[200];
  const size_t size = (size_t)1 << 20;
  char *large = (char *)calloc(1, size);
  bool good = large != NULL;
  for (int i = 0; i < 200; i++)
    in[i] = i;
  for (int i = 0; i < 20 && good; i++)
    good = run(pool, "a task", task_size, in, sizeof(int), 0, PROCPOOL_OK);
  good = good && expect("a map", square_map(pool, in, out, 200), PROCPOOL_OK);
  for (int i = 0; i < 200 && good; i++)
    good = out[i] == i * i || expect("a map's result", PROCPOOL_TRANSFER, PROCPOOL_OK);
  good = good && run(pool, "a large argument", task_size, large, size, 0, PROCPOOL_OK);
  if (processes)
    good = good && run(pool, "a crash", task_crash, NULL, 0, 0, PROCPOOL_CRASHED) &&
           run(pool, "a limit", task_endless, NULL, 0, 0.05, PROCPOOL_TIMEOUT) &&
           run(pool, "a task after that", task_size, in, sizeof(int), 0, PROCPOOL_OK);
  free(large);
  return good;
}

static void be_host(const denial *d, int error, procpool_start start) {
  procpool_options options;
  procpool *pool;
  memset(&options, 0, sizeof(options));
  options.start = start;
  options.max_workers = start == PROCPOOL_START_INLINE ? 1 : 2;
  options.close_fds = start == PROCPOOL_START_FORK;
  options.nice = start != PROCPOOL_START_INLINE;
  options.error = &page->error;
  set(&page->ready);
  pass(&page->go);
  page->go = 0;
  if (!deny(d, error))
    _exit(77);
  pool = procpool_open(&options);
  page->opened = pool != NULL;
  if (pool != NULL && use(pool, start <= PROCPOOL_START_SPAWN))
    (void)expect("shutdown", procpool_shutdown(pool, PROCPOOL_DRAIN, SOON), PROCPOOL_OK);
  if (pool != NULL && page->wrong[0] == 0)
    (void)expect("free", procpool_free(pool), PROCPOOL_OK);
  set(&page->done);
  pass(&page->go);
  _exit(0);
}

/* ---- who looks at it, and is refused nothing ---- */

static int descriptors_of(pid_t pid) {
  char path[64];
  DIR *directory;
  int count = 0;
  (void)snprintf(path, sizeof(path), "/proc/%d/fd", (int)pid);
  directory = opendir(path);
  while (directory != NULL && readdir(directory) != NULL)
    count++;
  if (directory != NULL)
    (void)closedir(directory);
  return count;
}

/* Whether a line of that file of the process's contains the text; with text null, whether it has any. */
static bool says(pid_t pid, const char *name, const char *text) {
  char path[64], line[1000];
  FILE *file;
  bool found = false;
  (void)snprintf(path, sizeof(path), name, (int)pid, (int)pid);
  file = fopen(path, "r");
  while (file != NULL && !found && fgets(line, sizeof(line), file) != NULL)
    found = text == NULL || strstr(line, text) != NULL;
  if (file != NULL)
    (void)fclose(file);
  return found;
}

static double now(void) {
  struct timespec t;
  (void)clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static void wrong(const char *text) {
  if (page->wrong[0] == 0)
    (void)snprintf(page->wrong, sizeof(page->wrong), "%s", text);
}

/* Waits for the host's word. False, and the host is dead, where it did not come. */
static bool await(pid_t host, const int *word, int *status) {
  const double end = now() + 4 * SOON;
  const struct timespec moment = {0, 1000000};
  while (__atomic_load_n(word, __ATOMIC_SEQ_CST) == 0) {
    if (waitpid(host, status, WNOHANG) == host)
      return false;
    if (now() > end) {
      wrong("it hangs");
      (void)kill(host, SIGKILL);
      (void)waitpid(host, status, 0);
      return false;
    }
    (void)nanosleep(&moment, NULL);
  }
  return true;
}

/* This is the reaper of whatever the host leaves. */
static void all_gone(void) {
  const double end = now() + 5;
  const struct timespec moment = {0, 1000000};
  for (;;) {
    const pid_t got = waitpid(-1, NULL, WNOHANG | __WALL);
    if (got < 0 && errno == ECHILD)
      return;
    if (got == 0 && now() > end)
      break;
    if (got == 0)
      (void)nanosleep(&moment, NULL);
  }
  wrong("a process is left");
}

static bool named(const denial *d, const char *message) {
  return d->texts != NULL && strstr(message, d->texts) != NULL;
}

static void judge(const denial *d, int error) {
  const procpool_error *e = &page->error;
  if (page->opened)
    return;
  if (e->status != PROCPOOL_SYSTEM && e->status != PROCPOOL_SPAWN_FAIL && e->status != PROCPOOL_MEMORY &&
      e->status != PROCPOOL_THREADS)
    wrong("open failed with another status");
  else if (!named(d, e->message))
    wrong("open failed, and does not say by which call");
  else if (e->system_error != error)
    wrong("open failed with another errno");
}

static const char *const starts[] = {"auto", "fork", "spawn", "thread", "inline"};

/* 0, 1 or 77. */
static int trial(const denial *d, int error, procpool_start start) {
  int before, status = 0;
  pid_t host;
  bool done;
  memset((void *)page, 0, sizeof(*page));
  host = fork();
  if (host == 0)
    be_host(d, error, start);
  if (host < 0 || !await(host, &page->ready, &status))
    return 1;
  before = descriptors_of(host);
  set(&page->go);
  done = await(host, &page->done, &status);
  if (!done && WIFEXITED(status) && WEXITSTATUS(status) == 77)
    return 77;
  if (!done)
    wrong("the host ended");
  else if (page->wrong[0] == 0) {
    judge(d, error);
    if (descriptors_of(host) != before)
      wrong("a descriptor is left");
    if (says(host, "/proc/%d/maps", "procpool (deleted)") || says(host, "/proc/%d/maps", "/dev/shm/"))
      wrong("a mapping is left");
    if (says(host, "/proc/%d/task/%d/children", NULL))
      wrong("a child is left");
  }
  if (done) {
    set(&page->go);
    if (page->wrong[0] != 0)
      (void)kill(host, SIGKILL);
    (void)waitpid(host, &status, 0);
  }
  all_gone();
  printf("%-26s %-6s %-6s %s%s%s%s\n", d->name, error == EPERM ? "EPERM" : "ENOSYS", starts[start],
         page->wrong[0] != 0 ? "WRONG: " : "", page->wrong, page->wrong[0] != 0 ? "; " : "",
         page->opened ? "works" : page->error.message);
  return page->wrong[0] != 0;
}

/* glibc itself ends a process whose first thread has rseq and whose next one is refused it. */
static bool meant(const denial *d, int start, const char *only) {
  return (only == NULL || strcmp(only, starts[start]) == 0) &&
         (start != PROCPOOL_START_THREAD || strcmp(d->name, "rseq") != 0);
}

int main(int argc, char **argv) {
  int failed = 0;
  procpool_worker_main();
  if (argc > 1 && strcmp(argv[1], "--cases") == 0) {
    for (int i = 0; i < DENIALS; i++)
      printf("denied_%s 120 '%s' %s\n", denials[i].name, argv[0], denials[i].name);
    return 0;
  }
  page = (record *)mmap(NULL, sizeof(*page), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (page == MAP_FAILED || prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0)
    return 2;
  (void)setvbuf(stdout, NULL, _IOLBF, 0);
  for (int i = 0; i < DENIALS; i++) {
    if (argc > 1 && strcmp(argv[1], denials[i].name) != 0)
      continue;
    for (int start = PROCPOOL_START_FORK; start <= PROCPOOL_START_INLINE; start++)
      for (int k = 0; k < 2 && meant(&denials[i], start, argc > 2 ? argv[2] : NULL); k++) {
        const int result = trial(&denials[i], k == 0 ? ENOSYS : EPERM, (procpool_start)start);
        if (result == 77)
          return 77;
        failed += result;
      }
  }
  return failed != 0;
}
