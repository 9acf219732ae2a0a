/* rig.c - the observer, the witness and the check of law 1: see rig.h. */
#define PROCPOOL_IMPLEMENTATION
#define PROCPOOL_STATIC /* its own copy: what it reads of a pool's segment, it reads by the implementation's types */
#include "rig.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <limits.h>
#include <poll.h>
#include <stdarg.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>

rig_state rig;

static struct {
  int descriptor; /* of the witness */
  pid_t observer, host;
  int host_watch; /* pidfd */
  int host_status;
  double begin, moved; /* when the program began; when progress was last seen */
  uint64_t progress;
  int argc;
  char **argv;
  uint64_t outcomes[PROCPOOL_STATUS_LIMIT];
  uint64_t tasks, kills;
  struct {
    const char *name;
    uint64_t value;
  } totals[16];
} own;

static const char *const start_names[] = {"auto", "fork", "spawn", "thread", "inline"};

/* ---- options ---- */

/* The value behind --name, or null. */
static const char *option_text(const char *name) {
  for (int i = 1; i + 1 < own.argc; i++)
    if (strncmp(own.argv[i], "--", 2) == 0 && strcmp(own.argv[i] + 2, name) == 0)
      return own.argv[i + 1];
  return NULL;
}

long rig_option(const char *name, long otherwise) {
  const char *text = option_text(name);
  return text == NULL ? otherwise : strtol(text, NULL, 0);
}

static procpool_start option_start(int starts) {
  const char *text = option_text("start");
  for (int i = 1; i <= PROCPOOL_START_INLINE; i++)
    if (text == NULL ? (starts >> i & 1) != 0 : strcmp(text, start_names[i]) == 0) {
      if ((starts >> i & 1) == 0)
        SKIP("this program has no meaning with that start method");
      return (procpool_start)i;
    }
  fprintf(stderr, "--start %s: fork, spawn, thread or inline\n", text == NULL ? "" : text);
  exit(2);
}

/* For the runner: NAME LIMIT COMMAND, one line for each start method. */
static void print_cases(int starts, double duration) {
  char path[PATH_MAX];
  CHECK(realpath("/proc/self/exe", path) != NULL);
  for (int i = 1; i <= PROCPOOL_START_INLINE; i++)
    if ((starts >> i & 1) != 0)
      printf("torture_%s_%s %d '%s' --start %s\n", rig.program, start_names[i], 60 + (int)(4 * duration), path,
             start_names[i]);
  exit(0);
}

static void page_make(void) {
  own.descriptor = (int)syscall(SYS_memfd_create, "witness", 1u /* MFD_CLOEXEC */);
  CHECK_GE(own.descriptor, 0);
  CHECK_EQ(ftruncate(own.descriptor, (off_t)sizeof(rig_page)), 0);
  rig.page =
      (rig_page *)mmap(NULL, sizeof(rig_page), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, own.descriptor, 0);
  CHECK(rig.page != MAP_FAILED);
}

void rig_begin(int argc, char **argv, int starts, double duration) {
  const char *text, *slash = strrchr(argv[0], '/');
  struct timespec now;
  sigset_t child;
  own.argc = argc;
  own.argv = argv;
  own.observer = getpid();
  own.begin = test_now();
  own.host_watch = -1;
  setvbuf(stdout, NULL, _IOLBF, 0);
  clock_gettime(CLOCK_REALTIME, &now);
  text = option_text("seed");
  rig.seed = text != NULL ? strtoull(text, NULL, 0) : ((uint64_t)now.tv_sec * 1000000u + (uint64_t)now.tv_nsec / 1000u);
  text = option_text("duration");
  rig.duration = text != NULL ? strtod(text, NULL) : duration;
  rig.program = slash == NULL ? argv[0] : slash + 1;
  if (argc == 2 && strcmp(argv[1], "--cases") == 0)
    print_cases(starts, duration);
  rig.workers = (int)rig_option("workers", 0);
  rig.stall = (double)rig_option("stall", 20) * test_slow();
  rig.start = option_start(starts);
  CHECK_EQ(prctl(PR_SET_CHILD_SUBREAPER, 1), 0);
  sigemptyset(&child);
  sigaddset(&child, SIGCHLD); /* for sigtimedwait; a host does not inherit it */
  CHECK_EQ(sigprocmask(SIG_BLOCK, &child, NULL), 0);
  page_make();
  printf("%s --seed %llu --start %s --duration %g\n", rig.program, (unsigned long long)rig.seed, start_names[rig.start],
         rig.duration);
}

double rig_left(void) {
  return own.begin + rig.duration - test_now();
}

bool rig_more(void) {
  return rig.round == 0 || rig_left() > 0;
}

/* ---- processes ---- */

typedef struct process {
  pid_t pid, parent;
  char state;
  char name[32];
} process;

/* False: there is none. */
static bool process_read(pid_t pid, process *p) {
  char path[64], text[512];
  ssize_t size;
  char *open_paren, *close_paren;
  int file, parent = 0;
  snprintf(path, sizeof(path), "/proc/%ld/stat", (long)pid);
  file = open(path, O_RDONLY | O_CLOEXEC);
  if (file < 0)
    return false;
  size = read(file, text, sizeof(text) - 1);
  close(file);
  if (size <= 0)
    return false;
  text[size] = '\0';
  open_paren = strchr(text, '(');
  close_paren = strrchr(text, ')');
  if (open_paren == NULL || close_paren == NULL || sscanf(close_paren + 1, " %c %d", &p->state, &parent) != 2)
    return false;
  *close_paren = '\0';
  snprintf(p->name, sizeof(p->name), "%s", open_paren + 1);
  p->pid = pid;
  p->parent = (pid_t)parent;
  return true;
}

char rig_process_state(pid_t pid) {
  process p;
  return process_read(pid, &p) ? p.state : 0;
}

static int children_by_scan(pid_t parent, pid_t *pids, int capacity) {
  DIR *directory = opendir("/proc");
  struct dirent *entry;
  process p;
  int count = 0;
  CHECK(directory != NULL);
  while (count < capacity && (entry = readdir(directory)) != NULL)
    if (isdigit((unsigned char)entry->d_name[0]) && process_read((pid_t)atoi(entry->d_name), &p) && p.parent == parent)
      pids[count++] = p.pid;
  closedir(directory);
  return count;
}

/* Children of the main thread; the kernel's list where it has one. */
int rig_children(pid_t parent, pid_t *pids, int capacity) {
  char path[64];
  FILE *file;
  int count = 0, pid;
  snprintf(path, sizeof(path), "/proc/%ld/task/%ld/children", (long)parent, (long)parent);
  file = fopen(path, "re");
  if (file == NULL)
    return rig_process_state(parent) == 0 ? 0 : children_by_scan(parent, pids, capacity);
  while (count < capacity && fscanf(file, "%d", &pid) == 1)
    pids[count++] = (pid_t)pid;
  fclose(file);
  return count;
}

enum { MANY = 4096 };

int rig_supervisors(pid_t *pids, int capacity) {
  static pid_t all[MANY];
  const int got = rig_children(own.observer, all, MANY);
  int count = 0;
  for (int i = 0; i < got && count < capacity; i++) {
    const char state = rig_process_state(all[i]);
    if (all[i] != own.host && state != 0 && state != 'Z' && state != 'X')
      pids[count++] = all[i];
  }
  return count;
}

int rig_workers(pid_t *pids, int capacity) {
  static pid_t supervisors[256], all[MANY];
  const int many = rig_supervisors(supervisors, 256);
  int count = 0;
  for (int i = 0; i < many; i++) {
    const int got = rig_children(supervisors[i], all, MANY);
    for (int k = 0; k < got && count < capacity; k++) {
      const char state = rig_process_state(all[k]);
      if (state != 0 && state != 'Z' && state != 'X')
        pids[count++] = all[k];
    }
  }
  return count;
}

static bool is_descendant(pid_t pid) {
  process p;
  for (int depth = 0; depth < 64 && pid > 1; depth++) {
    if (!process_read(pid, &p))
      return false;
    if (p.parent == own.observer)
      return true;
    pid = p.parent;
  }
  return false;
}

static bool is_deadly(int signal) {
  return signal != 0 && signal != SIGSTOP && signal != SIGCONT && signal != SIGTSTP && signal != SIGCHLD;
}

/* The descriptor is opened before the check: should the process end in between and its id be given to a stranger, the
 * signal goes nowhere. */
bool rig_signal(pid_t pid, int signal) {
  const int watch = pid > 1 && pid < RIG_PIDS ? (int)syscall(434 /* pidfd_open */, pid, 0u) : -1;
  const char state = rig_process_state(pid);
  bool sent = false;
  if (watch < 0)
    return false;
  if (is_descendant(pid) && state != 'Z' && state != 'X') {
    if (is_deadly(signal))
      __atomic_or_fetch(&rig.page->killed[pid], 1ull << (signal - 1), __ATOMIC_SEQ_CST);
    sent = syscall(424 /* pidfd_send_signal */, watch, signal, NULL, 0u) == 0;
    if (sent && is_deadly(signal))
      __atomic_add_fetch(&rig.page->kills, 1, __ATOMIC_SEQ_CST);
  }
  close(watch);
  return sent;
}

pid_t rig_host(void) {
  return own.host;
}

/* ---- where everybody is ---- */

static void dump_file(pid_t pid, pid_t thread, const char *name) {
  char path[96], text[4000];
  ssize_t size;
  int file;
  snprintf(path, sizeof(path), "/proc/%ld/task/%ld/%s", (long)pid, (long)thread, name);
  file = open(path, O_RDONLY | O_CLOEXEC);
  if (file < 0)
    return;
  size = read(file, text, sizeof(text) - 1);
  close(file);
  if (size <= 0)
    return;
  text[size] = '\0';
  text[strcspn(text, "\n")] = '\0';
  fprintf(stderr, " %s %s", name, text);
}

static void dump_threads(pid_t pid) {
  char path[64];
  DIR *directory;
  struct dirent *entry;
  snprintf(path, sizeof(path), "/proc/%ld/task", (long)pid);
  directory = opendir(path);
  while (directory != NULL && (entry = readdir(directory)) != NULL) {
    const pid_t thread = (pid_t)atoi(entry->d_name);
    if (thread <= 0)
      continue;
    fprintf(stderr, "    thread %ld:", (long)thread);
    dump_file(pid, thread, "wchan");
    dump_file(pid, thread, "syscall");
    fprintf(stderr, "\n");
  }
  if (directory != NULL)
    closedir(directory);
}

/* ---- the words of a pool, read from outside through its descriptor ---- */

static void print_worker(const procpool__segment *s, int i) {
  const procpool__block *b = &s->blocks[i];
  const uint64_t word = b->intent_slot < s->capacity ? s->slots[b->intent_slot].word : 0;
  if (b->pid == 0 && b->tail == b->consumed)
    return;
  fprintf(
      stderr,
      "      worker %d: pid %llu life %llu tasks %llu intent slot %llu word %#llx (now %#llx) tail %llu consumed %llu "
      "room_flag %u room_seq %u wake_seq %u idle %d away %d\n",
      i, (unsigned long long)b->pid, (unsigned long long)b->life, (unsigned long long)b->tasks,
      (unsigned long long)b->intent_slot, (unsigned long long)b->intent_word, (unsigned long long)word,
      (unsigned long long)b->tail, (unsigned long long)b->consumed, b->room_flag, b->room_seq, b->wake_seq,
      (int)(s->header->masks[i / 64].idle >> (i % 64) & 1), (int)(s->header->masks[i / 64].away >> (i % 64) & 1));
}

static void print_slots(const procpool__segment *s) {
  int printed = 0;
  for (uint64_t i = 0; i < s->capacity && i < 65536 && printed < 40; i++)
    if (procpool__word_state(s->slots[i].word) != PROCPOOL__FREE) {
      fprintf(stderr, "      slot %llu: ticket %llu worker %d state %d\n", (unsigned long long)i,
              (unsigned long long)procpool__word_ticket(s->slots[i].word), procpool__word_worker(s->slots[i].word),
              (int)procpool__word_state(s->slots[i].word));
      printed++;
    }
}

static void print_pool(const procpool__segment *s) {
  const procpool__header *h = s->header;
  fprintf(
      stderr,
      "    pool: workers %d alive %llu started %llu head %llu phase %u health %u gone %u host_flag %#llx host_seq %u "
      "dead_list %llu dead_count %llu\n",
      s->workers, (unsigned long long)h->alive, (unsigned long long)h->started, (unsigned long long)h->head, h->phase,
      h->health, h->gone, (unsigned long long)h->host_flag, h->host_seq, (unsigned long long)h->dead_list,
      (unsigned long long)h->dead_count);
  for (int i = 0; i < s->workers; i++)
    print_worker(s, i);
  print_slots(s);
}

static void dump_pool_at(const char *path) {
  procpool__header h;
  procpool__segment s;
  uint64_t total;
  void *base;
  struct stat about;
  const int file = open(path, O_RDONLY | O_CLOEXEC);
  if (file < 0)
    return;
  memset(&s, 0, sizeof(s));
  if (pread(file, &h, sizeof(h), 0) == (ssize_t)sizeof(h) && h.magic == PROCPOOL__MAGIC && fstat(file, &about) == 0 &&
      h.workers <= PROCPOOL__MAX_WORKERS && h.capacity <= PROCPOOL__MAX_QUEUED) {
    s.workers = (int)h.workers;
    s.capacity = h.capacity;
    s.ring_size = h.ring_size;
    s.cell_count = procpool__shm_cell_count(h.capacity);
    total = procpool__shm_layout(&s, NULL);
    base = (uint64_t)about.st_size < total ? MAP_FAILED : mmap(NULL, (size_t)total, PROT_READ, MAP_SHARED, file, 0);
    if (base != MAP_FAILED) {
      (void)procpool__shm_layout(&s, (unsigned char *)base);
      print_pool(&s);
      munmap(base, (size_t)total);
    } else {
      fprintf(stderr, "    pool: cannot be mapped\n");
    }
  }
  close(file);
}

/* Those pools whose host this process is. */
static void dump_pools(pid_t pid) {
  char path[64], target[64], file[400];
  DIR *directory;
  struct dirent *entry;
  snprintf(path, sizeof(path), "/proc/%ld/fd", (long)pid);
  directory = opendir(path);
  while (directory != NULL && (entry = readdir(directory)) != NULL) {
    ssize_t size;
    snprintf(file, sizeof(file), "%s/%s", path, entry->d_name);
    size = readlink(file, target, sizeof(target) - 1);
    target[size < 0 ? 0 : size] = '\0';
    if (strstr(target, "memfd:procpool") != NULL)
      dump_pool_at(file);
  }
  if (directory != NULL)
    closedir(directory);
}

static void dump_stacks(pid_t pid) {
  char command[160];
  snprintf(command, sizeof(command),
           "command -v gdb >/dev/null && timeout 20 gdb -p %ld -batch -ex 'thread apply all bt 12' 2>/dev/null | "
           "grep -E '^(#|Thread)' 1>&2",
           (long)pid);
  fflush(stderr);
  if (system(command) != 0)
    fprintf(stderr, "    (no stacks)\n");
}

static int dumped_stacks;

static void dump_tree(pid_t parent, int depth) {
  pid_t pids[MANY];
  const int count = depth > 16 ? 0 : rig_children(parent, pids, MANY);
  for (int i = 0; i < count; i++) {
    process p;
    if (!process_read(pids[i], &p))
      continue;
    fprintf(stderr, "  %*s%ld %s %c parent %ld%s\n", depth * 2, "", (long)p.pid, p.name, p.state, (long)p.parent,
            p.pid == own.host ? " (host)" : "");
    dump_threads(p.pid);
    if (p.state != 'Z') {
      dump_pools(p.pid);
      if (dumped_stacks++ < 16)
        dump_stacks(p.pid);
    }
    dump_tree(p.pid, depth + 1);
  }
}

void rig_dump(void) {
  fprintf(stderr, "where everybody is (seed %llu, round %d, host %ld):\n", (unsigned long long)rig.seed, rig.round,
          (long)own.host);
  dumped_stacks = 0;
  dump_tree(own.observer, 0);
}

/* ---- ends ---- */

/* Reaps until no child is left; false after limit seconds. */
static bool reap_all(double limit) {
  const double end = test_now() + limit;
  sigset_t child;
  sigemptyset(&child);
  sigaddset(&child, SIGCHLD);
  for (;;) {
    const double left = end - test_now();
    struct timespec wait;
    pid_t pid;
    int status;
    while ((pid = waitpid(-1, &status, WNOHANG | __WALL)) > 0)
      if (pid == own.host)
        own.host_status = WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status);
    if (pid < 0 && errno == ECHILD)
      return true;
    if (left <= 0)
      return false;
    wait.tv_sec = (time_t)left;
    wait.tv_nsec = (long)((left - (double)wait.tv_sec) * 1e9);
    (void)sigtimedwait(&child, NULL, &wait);
  }
}

static void kill_tree(pid_t parent, int depth) {
  pid_t pids[MANY];
  const int count = depth > 16 ? 0 : rig_children(parent, pids, MANY);
  for (int i = 0; i < count; i++) {
    kill_tree(pids[i], depth + 1);
    (void)rig_signal(pids[i], SIGKILL);
  }
}

static void end_everything(void) {
  for (int i = 0; i < 100; i++) {
    kill_tree(own.observer, 0);
    if (reap_all(0.1))
      return;
  }
}

void rig_fail(const char *format, ...) {
  va_list arguments;
  fflush(stdout);
  fprintf(stderr, "%s --seed %llu --start %s: ", rig.program, (unsigned long long)rig.seed, start_names[rig.start]);
  va_start(arguments, format);
  vfprintf(stderr, format, arguments);
  va_end(arguments);
  fprintf(stderr, "\n");
  rig_dump();
  fflush(stderr);
  if (getpid() == own.observer)
    end_everything();
  _exit(65);
}

/* ---- the observer's watch ---- */

static void watch_progress(void) {
  const uint64_t progress = __atomic_load_n(&rig.page->progress, __ATOMIC_SEQ_CST);
  if (progress != own.progress) {
    own.progress = progress;
    own.moved = test_now();
  } else if (test_now() > own.moved + rig.stall) {
    rig_fail("stall: no progress for %g s", rig.stall);
  }
}

bool rig_pause(double seconds) {
  const double end = test_now() + seconds;
  while (own.host != 0) {
    const double left = end - test_now(), most = left < 0.25 ? (left < 0 ? 0 : left) : 0.25;
    struct pollfd entry = {own.host_watch, POLLIN, 0};
    struct timespec wait = {0, (long)(most * 1e9)};
    if (ppoll(&entry, 1, &wait, NULL) == 1) {
      siginfo_t info; /* its end is noted here, so that it is no child any more: the rest is reaped by reap_all */
      CHECK_EQ(waitid(P_PID, (id_t)own.host, &info, WEXITED), 0);
      own.host_status = info.si_code == CLD_EXITED ? info.si_status : -info.si_status;
      own.host = 0;
      return false;
    }
    watch_progress();
    if (left <= 0)
      return true;
  }
  return false;
}

void rig_gate(int *word, int at_least) {
  const double end = test_now() + rig.stall;
  while (!gate_wait_for(word, at_least, 0.05)) {
    if (getpid() == own.observer && own.host != 0 && !rig_pause(0))
      rig_fail("the host ended (%d) before word %td was %d", own.host_status, word - rig.page->word, at_least);
    if (test_now() > end)
      rig_fail("word %td is %d, not %d, after %g s", word - rig.page->word, gate_read(word), at_least, rig.stall);
  }
}

/* ---- law 1 ---- */

static int bad_entries;

static void bad(uint64_t id, const rig_entry *e, const char *what) {
  if (bad_entries++ >= 10)
    return;
  fprintf(stderr,
          "law 1: task %llu: %s (accepted %u started %u finished %u settled %u callbacks %u flags %u, outcome %s, "
          "callback's %s, worker %d, error: worker %d signal %d exit %d, killed %#llx, hash %llx made %llx got)\n",
          (unsigned long long)id, what, e->accepted, e->started, e->finished, e->settled, e->callbacks, e->flags,
          procpool_status_name((procpool_status)e->status), procpool_status_name((procpool_status)e->callback_status),
          e->pid, e->error_pid, e->signal, e->exit_status,
          (unsigned long long)(e->error_pid > 0 && e->error_pid < RIG_PIDS ? rig.page->killed[e->error_pid] : 0),
          (unsigned long long)e->made, (unsigned long long)e->got);
}

static bool crash_explained(const rig_entry *e) {
  const int pid = e->error_pid != 0 ? e->error_pid : e->pid;
  uint64_t killed;
  if ((e->flags & RIG_CRASHES) != 0 && (e->pid == pid || e->error_pid == 0))
    return true;
  if (pid <= 0 || pid >= RIG_PIDS) /* an item of a map that an unknown process began */
    return rig.page->kills > 0 && e->error_pid == 0 && e->signal == 0;
  if (e->started != 0 && e->pid != pid)
    return false;
  killed = rig.page->killed[pid];
  return e->signal == 0 ? killed != 0 && e->error_pid == 0 : (killed >> (e->signal - 1) & 1) != 0;
}

static void check_outcome(uint64_t id, const rig_entry *e, procpool_status outcome) {
  if ((e->allowed >> (unsigned)outcome & 1) == 0)
    bad(id, e, "not an outcome that it may have");
  if (outcome == PROCPOOL_OK && (e->started != 1 || e->finished != 1))
    bad(id, e, "OK, but it did not run to its end");
  if (outcome == PROCPOOL_OK && e->settled == 1 && e->made != e->got)
    bad(id, e, "OK with another result than the task's");
  if (outcome == PROCPOOL_FAILED && e->started != 1)
    bad(id, e, "FAILED, but it never ran");
  if (outcome == PROCPOOL_CRASHED && !crash_explained(e))
    bad(id, e, "CRASHED, but that worker was not killed with that signal");
  if (e->started != 0 && (e->flags & RIG_KILLED_TASK) == 0 &&
      (outcome == PROCPOOL_CANCELLED || outcome == PROCPOOL_SPAWN_FAIL || outcome == PROCPOOL_INIT_FAIL))
    bad(id, e, "its outcome says that it never ran, but it did");
}

static void check_entry(uint64_t id, const rig_entry *e, rig_kind kind) {
  procpool_status outcome;
  if (e->started > 1)
    bad(id, e, "started more than once");
  if (kind == RIG_HOST_KILLED)
    return;
  if (!e->accepted) {
    if (e->started + e->settled + e->callbacks != 0 && (e->flags & RIG_UNKNOWN) == 0)
      bad(id, e, "refused, but something came of it");
    return;
  }
  own.tasks++;
  if (e->settled != ((e->flags & RIG_DROPPED) != 0 ? 0 : 1))
    bad(id, e, "did not settle exactly once");
  if (e->callbacks != ((e->flags & RIG_NO_CALLBACK) != 0 ? 0 : 1))
    bad(id, e, "callbacks do not equal settlements");
  if (e->settled != 0 && e->callbacks != 0 && e->status != e->callback_status)
    bad(id, e, "the callback saw another outcome");
  if (e->settled == 0 && e->callbacks == 0)
    return;
  outcome = (procpool_status)(e->settled != 0 ? e->status : e->callback_status);
  if (outcome >= PROCPOOL_PENDING) {
    bad(id, e, "no outcome");
    return;
  }
  own.outcomes[outcome]++;
  check_outcome(id, e, outcome);
}

static void check_witness(rig_kind kind) {
  const uint64_t ids = rig.page->ids < RIG_IDS ? rig.page->ids : RIG_IDS;
  bad_entries = 0;
  for (uint64_t id = 0; id < ids; id++)
    check_entry(id, &rig.page->entries[id], kind);
  own.kills += rig.page->kills;
  if (bad_entries > 0)
    rig_fail("law 1 does not hold for %d of %llu tasks", bad_entries, (unsigned long long)ids);
}

/* ---- a round ---- */

static void host_main(void (*host)(void)) {
  void *before;
  sigset_t none;
  sigemptyset(&none);
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (getppid() != own.observer)
    _exit(1);
  (void)setsid();
  sigprocmask(SIG_SETMASK, &none, NULL);
  close(own.host_watch);
  rig.page->host = (int)getpid();
  before = harness_audit_begin();
  host();
  if (!harness_audit_end(before))
    _exit(66);
  exit(0);
}

double rig_round(void (*host)(void), void (*observe)(void), rig_kind kind) {
  double ended;
  rig.round++;
  CHECK_EQ(ftruncate(own.descriptor, 0), 0); /* all zero again */
  CHECK_EQ(ftruncate(own.descriptor, (off_t)sizeof(rig_page)), 0);
  own.progress = 0;
  own.moved = test_now();
  fflush(stdout);
  own.host_watch = -1;
  own.host = fork();
  CHECK_GE(own.host, 0);
  if (own.host == 0)
    host_main(host);
  own.host_watch = (int)syscall(434 /* pidfd_open */, own.host, 0u);
  CHECK_GE(own.host_watch, 0);
  if (observe != NULL)
    observe();
  gate_add(&rig.page->over, 1);
  while (rig_pause(1))
    ;
  close(own.host_watch);
  own.host_watch = -1;
  ended = test_now();
  if (own.host_status == 77) {
    end_everything();
    _exit(77);
  }
  if (own.host_status != (kind == RIG_HOST_KILLED ? -SIGKILL : 0))
    rig_fail("the host ended with %d", own.host_status);
  if (!reap_all(5.0 * test_slow()))
    rig_fail("a process outlived the host");
  ended = test_now() - ended;
  check_witness(kind);
  return ended;
}

static uint64_t *total_of(const char *name) {
  for (int i = 0; i < 16; i++)
    if (own.totals[i].name == NULL || strcmp(own.totals[i].name, name) == 0) {
      own.totals[i].name = name;
      return &own.totals[i].value;
    }
  rig_fail("more totals than there is room for");
}

void rig_total(const char *name, uint64_t add) {
  *total_of(name) += add;
}

void rig_most(const char *name, uint64_t value) {
  uint64_t *most = total_of(name);
  if (value > *most)
    *most = value;
}

int rig_end(void) {
  static const struct {
    const char *name;
    procpool_status status;
  } columns[] = {{"ok", PROCPOOL_OK},
                 {"failed", PROCPOOL_FAILED},
                 {"codec", PROCPOOL_TRANSFER},
                 {"crashed", PROCPOOL_CRASHED},
                 {"timeout", PROCPOOL_TIMEOUT},
                 {"cancelled", PROCPOOL_CANCELLED},
                 {"shutdown", PROCPOOL_SHUTDOWN},
                 {"init_fail", PROCPOOL_INIT_FAIL},
                 {"spawn_fail", PROCPOOL_SPAWN_FAIL},
                 {"broken", PROCPOOL_BROKEN}};
  printf("tasks %llu kills %llu", (unsigned long long)own.tasks, (unsigned long long)own.kills);
  for (size_t i = 0; i < sizeof(columns) / sizeof(columns[0]); i++)
    printf(" %s %llu", columns[i].name, (unsigned long long)own.outcomes[columns[i].status]);
  for (int i = 0; i < 16 && own.totals[i].name != NULL; i++)
    printf(" %s %llu", own.totals[i].name, (unsigned long long)own.totals[i].value);
  printf(" rounds %d\n", rig.round);
  munmap(rig.page, sizeof(rig_page));
  close(own.descriptor);
  return 0;
}

/* ---- in the host ---- */

rig_job rig_job_of(uint32_t size) {
  rig_job job;
  const uint64_t id = __atomic_fetch_add(&rig.page->ids, 1, __ATOMIC_SEQ_CST);
  if (id >= RIG_IDS)
    rig_fail("more than %d tasks in a round", RIG_IDS);
  memset(&job, 0, sizeof(job));
  job.observer = (int)own.observer;
  job.descriptor = own.descriptor;
  job.id = (uint32_t)id;
  job.size = size;
  rig.page->entries[id].allowed = RIG_ALLOW(OK) | RIG_ALLOW(CRASHED);
  return job;
}

rig_entry *rig_entry_of(const rig_job *job) {
  return &rig.page->entries[job->id];
}

void rig_callback(procpool_future *future, void *entry) {
  rig_entry *e = (rig_entry *)entry;
  e->callback_status = (int32_t)procpool_future_status(future);
  __atomic_add_fetch(&e->callbacks, 1, __ATOMIC_SEQ_CST);
  rig_progress();
}

void rig_accepted(const rig_job *job, procpool_future *future) {
  rig_entry *e = rig_entry_of(job);
  __atomic_add_fetch(&e->accepted, 1, __ATOMIC_SEQ_CST);
  if ((e->flags & RIG_NO_CALLBACK) == 0)
    CHECK_OK(procpool_future_add_done_callback(future, rig_callback, e));
}

procpool_status rig_submit(procpool *pool, procpool_function function, const rig_job *job, procpool_future **future) {
  const procpool_status status = procpool_submit(pool, function, job, sizeof(*job), NULL, future);
  if (status == PROCPOOL_OK)
    rig_accepted(job, *future);
  return status;
}

void rig_settle_as(const rig_job *job, procpool_status status, const void *result, size_t size) {
  rig_entry *e = rig_entry_of(job);
  e->status = (int32_t)status;
  e->got = status == PROCPOOL_OK ? rig_hash(result, size) : 0;
  __atomic_add_fetch(&e->settled, 1, __ATOMIC_SEQ_CST);
  rig_progress();
}

procpool_status rig_settle(const rig_job *job, procpool_future *future) {
  rig_entry *e = rig_entry_of(job);
  const procpool_status status = procpool_future_status(future);
  const procpool_error error = test_error(future);
  size_t size = 0;
  const void *data = procpool_future_data(future, &size);
  CHECK_EQ(error.status, status);
  e->error_pid = (int32_t)error.pid;
  e->signal = error.signal;
  e->exit_status = error.exit_status;
  rig_settle_as(job, status, data, size);
  return status;
}

procpool_status rig_finish(const rig_job *job, procpool_future *future) {
  procpool_status status = procpool_future_wait(future, PROCPOOL_FOREVER);
  CHECK_LT(status, PROCPOOL_PENDING);
  status = rig_settle(job, future);
  CHECK_OK(procpool_future_release(future));
  return status;
}

void rig_check_stats(procpool *pool) {
  const procpool_stats stats = test_stats(pool);
  CHECK_EQ(stats.settled, stats.submitted);
  CHECK_EQ(stats.queued, 0);
  CHECK_EQ(stats.running, 0);
}

void rig_ready(void) {
  rig_progress();
  gate_add(&rig.page->ready, 1);
}

void rig_wait_over(void) {
  gate_wait(&rig.page->over, 1);
}

/* ---- in a task ---- */

static uint64_t linger_state; /* not 0 in a worker that has run a task */

void rig_linger(void) {
  const unsigned one_in = linger_state == 0 ? 0 : __atomic_load_n(&rig.page->linger, __ATOMIC_RELAXED);
  struct timespec wait = {0, 0};
  uint64_t x;
  if (one_in == 0)
    return;
  linger_state = linger_state * 6364136223846793005u + 1442695040888963407u;
  x = linger_state >> 33;
  if (x % one_in != 0)
    return;
  wait.tv_nsec = (long)(x / one_in % 300000);
  nanosleep(&wait, NULL);
}

static void page_attach_to(const rig_job *job) {
  char path[64];
  int file;
  if (rig.page != NULL)
    return;
  snprintf(path, sizeof(path), "/proc/%d/fd/%d", job->observer, job->descriptor);
  file = open(path, O_RDWR | O_CLOEXEC);
  CHECK_GE(file, 0);
  rig.page = (rig_page *)mmap(NULL, sizeof(rig_page), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, file, 0);
  CHECK(rig.page != MAP_FAILED);
  close(file);
}

const rig_job *rig_task_begin(procpool_task *task) {
  size_t size = 0;
  const rig_job *job = (const rig_job *)procpool_task_argument(task, &size);
  rig_entry *e;
  CHECK(job != NULL);
  CHECK_GE(size, sizeof(*job));
  page_attach_to(job);
  e = rig_entry_of(job);
  e->pid = (int32_t)getpid();
  if (linger_state == 0 && e->pid != rig.page->host)
    linger_state = (uint64_t)e->pid;
  __atomic_add_fetch(&e->started, 1, __ATOMIC_SEQ_CST);
  return job;
}

void rig_task_end(procpool_task *task, const rig_job *job, size_t size) {
  rig_entry *e = rig_entry_of(job);
  void *result = procpool_task_result(task, size);
  if (result == NULL)
    return;
  pattern_fill(result, size, job->id);
  e->made = rig_hash(result, size);
  __atomic_add_fetch(&e->finished, 1, __ATOMIC_SEQ_CST);
}

void rig_task(procpool_task *task) {
  const rig_job *job = rig_task_begin(task);
  rig_task_end(task, job, job->size);
}

uint64_t rig_hash(const void *bytes, size_t size) {
  return pattern_sum(bytes, size);
}

/* ---- anywhere ---- */

rig_random rig_stream(uint64_t number) {
  rig_random r;
  r.state = rig.seed + (uint64_t)rig.round * 0x9e3779b97f4a7c15u;
  r.state = rig_next(&r) + number;
  return r;
}

uint64_t rig_next(rig_random *r) { /* splitmix64 */
  uint64_t x = r->state += 0x9e3779b97f4a7c15u;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
  return x ^ (x >> 31);
}

uint64_t rig_below(rig_random *r, uint64_t limit) {
  return limit == 0 ? 0 : rig_next(r) % limit;
}

bool rig_chance(rig_random *r, unsigned percent) {
  return rig_below(r, 100) < percent;
}

uint32_t rig_size(rig_random *r, uint32_t most) {
  unsigned bits = 0;
  while (bits < 31 && (1u << bits) <= most)
    bits++;
  bits = (unsigned)rig_below(r, bits + 1); /* every power of two as often as every other */
  bits = (uint32_t)rig_below(r, (uint64_t)1 << bits);
  return bits < most ? bits : most;
}

void rig_progress(void) {
  __atomic_add_fetch(&rig.page->progress, 1, __ATOMIC_RELAXED);
}

/* ---- shared memory of pools ---- */

/* Inodes of the pools' segments among a process's mappings. */
int rig_segments(pid_t pid, unsigned long *inodes, int capacity) {
  char path[64], line[512];
  FILE *file;
  int count = 0;
  snprintf(path, sizeof(path), "/proc/%ld/maps", (long)pid);
  file = fopen(path, "re");
  while (file != NULL && fgets(line, sizeof(line), file) != NULL) {
    unsigned long inode = 0;
    bool known = false;
    if (strstr(line, "/memfd:procpool") == NULL || sscanf(line, "%*s %*s %*s %*s %lu", &inode) != 1)
      continue;
    for (int i = 0; i < count; i++)
      known = known || inodes[i] == inode;
    if (!known && count < capacity)
      inodes[count++] = inode;
  }
  if (file != NULL)
    fclose(file);
  return count;
}

bool rig_segment_lives(unsigned long inode) {
  DIR *directory = opendir("/proc");
  struct dirent *entry;
  bool lives = false;
  CHECK(directory != NULL);
  while (!lives && (entry = readdir(directory)) != NULL) {
    unsigned long inodes[64];
    const int count =
        isdigit((unsigned char)entry->d_name[0]) ? rig_segments((pid_t)atoi(entry->d_name), inodes, 64) : 0;
    for (int i = 0; i < count; i++)
      lives = lives || inodes[i] == inode;
  }
  closedir(directory);
  return lives;
}
