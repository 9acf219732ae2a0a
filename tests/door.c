/* door.c - a program with the door in its main, and what comes to that door: forged markers, set-user-ID bits, constructors.
 *   door                  prints who it is
 *   door forge HOW PATH   starts PATH with a marker of its own making; prints "believed" if that becomes a supervisor
 *                         HOW: whole; cookie, pid, peer: with a wrong one; foreign: files of another user's (as root)
 *   door drop fork|spawn  gives up a set-user-ID's rights for good, opens a pool, prints its worker's ids
 *   door open fork|spawn|auto [threads] [alone]
 *                         opens a pool and prints its start method, or why not; with a second thread; after main's has ended
 *   door descriptors fork|spawn
 *                         without close_range and with a limit of a billion descriptors: how long open takes, in ms
 * In the environment of a spawned process: DOOR_THREAD (a constructor starts a thread), DOOR_CHILD=wait|leave (it starts
 * this program once more, and waits for it or leaves it). */
#define _GNU_SOURCE
#include <unistd.h>

static int unlimited;
static long limit_of(int name) { /* as it is where the limit is a billion, which not every root may set */
  return unlimited && name == _SC_OPEN_MAX ? 1073741816L : sysconf(name);
}
#define sysconf limit_of
#define PROCPOOL_IMPLEMENTATION
#include "../procpool.h"

#include <linux/filter.h>
#include <linux/seccomp.h>

static void *idle(void *context) {
  for (;;)
    pause();
  return context;
}

__attribute__((constructor)) static void begin(void) {
  const char *child = getenv("DOOR_CHILD");
  pthread_t thread;
  pid_t pid;
  if (getenv(PROCPOOL__MARKER) == NULL)
    return;
  if (getenv("DOOR_THREAD") != NULL && pthread_create(&thread, NULL, idle, NULL) != 0)
    exit(2);
  if (child == NULL)
    return;
  (void)setenv("DOOR_CHILD_RUNS", child, 1);
  (void)unsetenv("DOOR_CHILD");
  pid = fork();
  if (pid == 0) {
    (void)execl("/proc/self/exe", "door", (char *)NULL);
    _exit(2);
  }
  (void)unsetenv("DOOR_CHILD_RUNS");
  if (strcmp(child, "wait") == 0)
    (void)waitpid(pid, NULL, 0);
}

static int who_am_i(void) {
  printf("ordinary start, euid %d, marker %s\n", (int)geteuid(), getenv(PROCPOOL__MARKER) == NULL ? "gone" : "there");
  (void)fflush(stdout);
  if (getenv("DOOR_CHILD_RUNS") != NULL && strcmp(getenv("DOOR_CHILD_RUNS"), "leave") == 0) {
    const struct timespec rest = {3, 0};
    (void)nanosleep(&rest, NULL);
  }
  return 0;
}

/* ---- forging ---- */

static void make_header(int fd, procpool__header *h, unsigned long long cookie) {
  memset((void *)h, 0, sizeof(*h));
  h->magic = PROCPOOL__MAGIC;
  h->version = PROCPOOL_VERSION;
  h->header_size = sizeof(*h);
  h->total = (uint64_t)1 << 20;
  h->cookie = cookie;
  h->host_pid = (uint64_t)getpid();
  h->addressee = 0;
  if (pwrite(fd, h, sizeof(*h), 0) != (ssize_t)sizeof(*h))
    exit(2);
}

static int forge(const char *how, const char *path) {
  const bool foreign = strcmp(how, "foreign") == 0;
  int control[2], other[2];
  procpool__header header;
  procpool__marker marker;
  procpool__message message;
  char text[256], thread[] = "DOOR_THREAD=1", *arguments[2], *environment[3];
  const char *call;
  uint32_t addressee;
  int go[2];
  pid_t pid;
  struct pollfd p;
  if (foreign && seteuid(65534) != 0)
    return 77;
  memset(&marker, 0, sizeof(marker));
  marker.total = (uint64_t)1 << 20;
  marker.cookie = 12345;
  marker.fds.memory = procpool__platform_shm_create(1 << 20, "procpool", &call);
  if (marker.fds.memory < 0 || socketpair(AF_UNIX, SOCK_SEQPACKET, 0, control) != 0 || pipe(other) != 0 ||
      pipe(go) != 0)
    return 2;
  if (foreign && seteuid(0) != 0)
    return 2;
  make_header(marker.fds.memory, &header, strcmp(how, "cookie") == 0 ? 54321 : 12345);
  if (strcmp(how, "peer") == 0) {
    header.host_pid = 1;
    (void)pwrite(marker.fds.memory, &header, sizeof(header), 0);
  }
  marker.fds.far_lifeline = other[0];
  marker.fds.far_all_gone = other[1];
  marker.fds.far_control = control[1];
  marker.fds.event_fd = go[1];
  marker.fds.host_pidfd = -1;
  procpool__marker_write(&marker, text, sizeof(text));
  pid = fork();
  if (pid == 0) {
    char c;
    (void)close(control[0]);
    (void)fcntl(marker.fds.memory, F_SETFD, 0);
    (void)dup2(other[1], 60); /* so that the lifeline has no end of file */
    if (read(go[0], &c, 1) != 1)
      _exit(2);
    arguments[0] = (char *)(uintptr_t)path;
    environment[0] = text;
    environment[1] = thread; /* a process that believes it says that it has threads */
    arguments[1] = environment[2] = NULL;
    (void)execve(path, arguments, environment);
    _exit(2);
  }
  (void)close(control[1]);
  addressee = strcmp(how, "pid") == 0 ? 1 : (uint32_t)pid;
  if (pwrite(marker.fds.memory, &addressee, sizeof(addressee), (off_t)offsetof(procpool__header, addressee)) < 0 ||
      write(go[1], "", 1) != 1)
    return 2;
  p.fd = control[0];
  p.events = POLLIN;
  if (poll(&p, 1, 10000) == 1 && recv(control[0], &message, sizeof(message), 0) > 0)
    printf("believed\n");
  (void)fflush(stdout);
  (void)close(control[0]);
  (void)waitpid(pid, NULL, 0);
  return 0;
}

/* ---- opening ---- */

typedef struct ids {
  int real, effective, saved, high; /* high: whether it has descriptor 200 */
} ids;

PROCPOOL_FUNCTION(ids, about, int, x) {
  uid_t real, effective, saved;
  ids i;
  (void)getresuid(&real, &effective, &saved);
  i.real = (int)real + 0 * x;
  i.effective = (int)effective;
  i.saved = (int)saved;
  i.high = fcntl(200, F_GETFD) >= 0;
  return i;
}

static procpool_start start_of(const char *text) {
  return strcmp(text, "fork") == 0    ? PROCPOOL_START_FORK
         : strcmp(text, "spawn") == 0 ? PROCPOOL_START_SPAWN
                                      : PROCPOOL_START_AUTO;
}

static int open_one(procpool_start start, bool close_fds) {
  procpool_options options;
  procpool_error error;
  procpool *pool;
  procpool_status status;
  ids i = {-1, -1, -1, -1};
  const uint64_t begin_ns = procpool__platform_now();
  uint64_t took;
  memset(&options, 0, sizeof(options));
  options.start = start;
  options.max_workers = 2;
  options.close_fds = close_fds;
  options.error = &error;
  pool = procpool_open(&options);
  took = procpool__platform_now() - begin_ns;
  if (pool == NULL) {
    printf("%s: %s\n", procpool_status_name(error.status), error.message);
    return 0;
  }
  status = about_result(about_submit(pool, 1), &i);
  printf("opened as %d, task %s, uids %d %d %d, descriptor 200 %s, %s\n", (int)procpool_start_method(pool),
         procpool_status_name(status), i.real, i.effective, i.saved, i.high ? "there" : "closed",
         took < (uint64_t)3000000000u ? "soon" : "late");
  (void)fflush(stdout);
  if (procpool_shutdown(pool, PROCPOOL_KILL, 10) != PROCPOOL_OK)
    printf("it does not end\n");
  (void)procpool_free(pool);
  return 0;
}

static int drop(procpool_start start) {
  const uid_t me = getuid();
  if (setresuid(me, me, me) != 0)
    return 2;
  return open_one(start, false);
}

static bool no_close_range(void) {
  struct sock_filter filter[] = {BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
                                 BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_close_range, 0, 1),
                                 BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
                                 BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)};
  struct sock_fprog program;
  program.len = 4;
  program.filter = filter;
  return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 && prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

static int descriptors(procpool_start start) {
  if (dup2(1, 200) != 200 || !no_close_range())
    return 77;
  unlimited = 1;
  (void)setenv("DOOR_UNLIMITED", "1", 1);
  return open_one(start, start == PROCPOOL_START_FORK);
}

static procpool_start start_alone;

/* Once main's thread has ended, /proc/self/maps is empty. */
static void *go_on(void *main_thread) {
  char state[300] = "";
  pthread_t thread;
  memcpy(&thread, main_thread, sizeof(thread));
  (void)pthread_join(thread, NULL);
  while (strstr(state, ") Z ") == NULL) { /* joined is not yet ended, to the kernel */
    const int fd = open("/proc/self/stat", O_RDONLY);
    const ssize_t got = read(fd, state, sizeof(state) - 1);
    state[got > 0 ? got : 0] = 0;
    (void)close(fd);
  }
  (void)open_one(start_alone, false);
  (void)fflush(stdout);
  _exit(0);
}

int main(int argc, char **argv) {
  static pthread_t self;
  pthread_t thread;
  unlimited = getenv("DOOR_UNLIMITED") != NULL;
  procpool_worker_main();
  if (argc < 3)
    return who_am_i();
  if (strcmp(argv[1], "forge") == 0 && argc > 3)
    return forge(argv[2], argv[3]);
  if (strcmp(argv[1], "drop") == 0)
    return drop(start_of(argv[2]));
  if (strcmp(argv[1], "descriptors") == 0)
    return descriptors(start_of(argv[2]));
  for (int i = 3; i < argc; i++) {
    if (strcmp(argv[i], "threads") == 0 && pthread_create(&thread, NULL, idle, NULL) != 0)
      return 2;
    self = pthread_self();
    start_alone = start_of(argv[2]);
    if (strcmp(argv[i], "alone") == 0 && pthread_create(&thread, NULL, go_on, &self) == 0)
      pthread_exit(NULL);
  }
  return open_one(start_of(argv[2]), false);
}
