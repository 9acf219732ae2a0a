/* runner.c - runs test cases, each in a program of its own, several at a time, and reports them in a fixed order.
 *
 *   run [-j N] [-s SLOW] [-S START,...] [-w WRAPPER] [-c FILE] [-n REASON]... [-v] [PATTERN...]
 *   run --list [PATTERN...]
 *   run --match EXPECTED ACTUAL       each line of ACTUAL matches its anchored extended regular expression
 *   run --case NAME                   one case, in this process, without a minder (for a debugger)
 *
 * -s: times are multiplied by SLOW. -S: only cases of these start methods. -w: the case's command line is put behind
 * this one (valgrind). -c: further cases, one a line: NAME LIMIT COMMAND. -n: one more line for what was left out.
 *
 * Between runner and case stands a minder, one per case: a child subreaper, to which everything comes back that the case
 * leaves behind, so that an orphan is always charged to the case that made it. */
#include "runner.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <regex.h>
#include <stdarg.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>

static const char *const start_names[] = {"auto", "fork", "spawn", "thread", "inline"};

/* ---- cases ---- */

static harness_test *tests;
static harness_test **tests_end = &tests;

void harness_register(harness_test *test) {
  *tests_end = test;
  tests_end = &test->next;
}

typedef struct test_case {
  char name[200];
  const harness_test *test; /* or null: */
  char *command;
  procpool_start start;
  int limit;
  pid_t minder;
  int output; /* what the case wrote */
  double begin, seconds;
  int verdict; /* CASE_..., 0 while it has none */
} test_case;

static struct {
  test_case *cases;
  size_t count;
  int jobs, slow, starts;
  bool verbose;
  const char *wrapper;
  char program[PATH_MAX];
  char **patterns;
  int pattern_count;
  int passed, failed, skipped;
} run;

static void die(const char *what) {
  perror(what);
  exit(2);
}

static bool case_wanted(const char *name) {
  for (int i = 0; i < run.pattern_count; i++)
    if (strstr(name, run.patterns[i]) != NULL)
      return true;
  return run.pattern_count == 0;
}

static test_case *case_add(const char *name) {
  test_case *added;
  if ((run.count & (run.count - 1)) ==
      0) { /* 0, 1, 2, 4 ...: under an instrument each growth is a copy and fresh memory */
    run.cases = (test_case *)realloc(run.cases, (run.count == 0 ? 1 : 2 * run.count) * sizeof(test_case));
    if (run.cases == NULL)
      die("realloc");
  }
  added = &run.cases[run.count++];
  memset(added, 0, sizeof(*added));
  snprintf(added->name, sizeof(added->name), "%s", name);
  return added;
}

static void cases_of_test(const harness_test *test) {
  for (int start = 0; start <= PROCPOOL_START_INLINE; start++) {
    char name[200];
    test_case *added;
    if (test->starts == 0 ? start != 0 || run.starts != 0 : (test->starts >> start & 1) == 0)
      continue;
    if (run.starts != 0 && (run.starts >> start & 1) == 0)
      continue;
    snprintf(name, sizeof(name), "%s%s%s", test->name, start == 0 ? "" : "_", start == 0 ? "" : start_names[start]);
    if (!case_wanted(name))
      continue;
    added = case_add(name);
    added->test = test;
    added->start = (procpool_start)start;
    added->limit = test->limit * run.slow;
  }
}

static void cases_of_file(const char *path) {
  FILE *file = fopen(path, "r");
  char line[4000], name[200];
  if (file == NULL)
    die(path);
  while (fgets(line, sizeof(line), file) != NULL) {
    int limit = 0, at = 0;
    line[strcspn(line, "\n")] = '\0';
    if (sscanf(line, "%199s %d %n", name, &limit, &at) == 2 && at > 0 && case_wanted(name)) {
      test_case *added = case_add(name);
      added->command = strdup(line + at);
      added->limit = limit;
    }
  }
  fclose(file);
}

/* ---- the minder ---- */

static void say(int output, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void say(int output, const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  vdprintf(output, format, arguments);
  va_end(arguments);
}

static void case_exec(const test_case *c, int output) {
  const int input = open("/dev/null", O_RDONLY);
  const pid_t minder = getppid();
  sigset_t none;
  char command[PATH_MAX * 2];
  struct rlimit cores;
  setsid();
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (getrlimit(RLIMIT_CORE, &cores) == 0) {
    cores.rlim_cur = 0; /* many cases crash on purpose */
    setrlimit(RLIMIT_CORE, &cores);
  }
  if (getppid() != minder)
    _exit(2);
  dup2(input, 0);
  dup2(output, 1);
  dup2(output, 2);
  if (input > 2)
    close(input);
  for (int number = 1; number < NSIG; number++) /* whatever the process that started this one ignores */
    signal(number, SIG_DFL);
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, NULL);
  if (c->command != NULL)
    execl("/bin/sh", "sh", "-c", c->command, (char *)NULL);
  else if (run.wrapper != NULL) {
    snprintf(command, sizeof(command), "exec %s '%s' --case %s", run.wrapper, run.program, c->name);
    execl("/bin/sh", "sh", "-c", command, (char *)NULL);
  } else
    execl(run.program, run.program, "--case", c->name, (char *)NULL);
  _exit(127);
}

/* Reaps whatever ended; false when no child is left. *status receives the case's. */
static bool minder_reap(pid_t child, int *status) {
  for (;;) {
    int one = 0;
    const pid_t pid = waitpid(-1, &one, WNOHANG | __WALL);
    if (pid == child)
      *status = one;
    if (pid == 0)
      return true;
    if (pid < 0 && errno != EINTR)
      return false;
  }
}

static void minder_sleep(double until) {
  sigset_t child;
  struct timespec wait = {0, 0};
  double left = until - test_now();
  if (left <= 0)
    return;
  sigemptyset(&child);
  sigaddset(&child, SIGCHLD);
  wait.tv_sec = (time_t)left;
  wait.tv_nsec = (long)((left - (double)wait.tv_sec) * 1e9);
  sigtimedwait(&child, NULL, &wait);
}

/* The parent of a process, its name and state; 0 if there is none. */
static pid_t process_parent(pid_t pid, char *name, char *state) {
  char path[64], text[512];
  char *open_at, *close_at;
  int parent = 0;
  FILE *file;
  snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
  file = fopen(path, "r");
  if (file == NULL)
    return 0;
  if (fgets(text, sizeof(text), file) == NULL)
    text[0] = '\0';
  fclose(file);
  open_at = strchr(text, '(');
  close_at = strrchr(text, ')');
  if (open_at == NULL || close_at == NULL || sscanf(close_at + 1, " %c %d", state, &parent) != 2)
    return 0;
  *close_at = '\0';
  snprintf(name, 32, "%s", open_at + 1);
  return (pid_t)parent;
}

static bool process_below(pid_t pid, pid_t ancestor) {
  char name[32], state;
  for (int depth = 0; depth < 64 && pid > 1; depth++) {
    pid = process_parent(pid, name, &state);
    if (pid == ancestor)
      return true;
  }
  return false;
}

static void process_describe(pid_t pid, int output) {
  char name[32] = "", state = '?', path[64], where[64] = "";
  const pid_t parent = process_parent(pid, name, &state);
  FILE *file;
  snprintf(path, sizeof(path), "/proc/%d/wchan", (int)pid);
  file = fopen(path, "r");
  if (file != NULL) {
    if (fgets(where, sizeof(where), file) == NULL)
      where[0] = '\0';
    fclose(file);
  }
  say(output, "  process %d (%s), state %c, parent %d, waiting in %s\n", (int)pid, name, state, (int)parent, where);
}

/* Kills, or describes, all that descends from this process. */
static void minder_each(int output, bool describe) {
  DIR *directory = opendir("/proc");
  struct dirent *entry;
  if (directory == NULL)
    return;
  while ((entry = readdir(directory)) != NULL) {
    const pid_t pid = (pid_t)atoi(entry->d_name);
    if (pid <= 1 || !process_below(pid, getpid()))
      continue;
    if (describe)
      process_describe(pid, output);
    else
      kill(pid, SIGKILL);
  }
  closedir(directory);
}

static void minder_clear(pid_t child, int *status) {
  const double end = test_now() + 5;
  while (minder_reap(child, status) && test_now() < end) {
    minder_each(-1, false);
    minder_sleep(test_now() + 0.02);
  }
}

/* What a sanitizer, or a check that failed in another process than the case's, left in the output. */
static bool output_is_bad(int output) {
  static const char *const bad[] = {"ERROR: AddressSanitizer", "ERROR: LeakSanitizer", "WARNING: ThreadSanitizer",
                                    ": runtime error: ",       "[in process ",         "== Invalid ",
                                    "definitely lost: "};
  struct stat about;
  char *text;
  bool found = false;
  if (fstat(output, &about) != 0 || about.st_size == 0)
    return false;
  text = (char *)calloc(1, (size_t)about.st_size + 1);
  if (text == NULL || pread(output, text, (size_t)about.st_size, 0) < 0)
    return true;
  for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
    found = strstr(text, bad[i]) != NULL || found;
  free(text);
  return found;
}

static int case_verdict(const test_case *c, int status, int output) {
  const int code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  const bool passed = code == (c->command != NULL ? 0 : CASE_PASSED);
  if (WIFSIGNALED(status))
    say(output, "ended by signal %d\n", WTERMSIG(status));
  else if (!passed && code != CASE_FAILED && code != CASE_SKIPPED)
    say(output, "ended with status %d\n", code);
  if (code == CASE_SKIPPED)
    return CASE_SKIPPED;
  return passed && !output_is_bad(output) ? CASE_PASSED : CASE_FAILED;
}

static int minder_main(const test_case *c, int output) {
  const double end = test_now() + c->limit;
  int status = -1, verdict;
  bool left;
  pid_t child;
  prctl(PR_SET_CHILD_SUBREAPER, 1);
  child = fork();
  if (child == 0)
    case_exec(c, output);
  if (child < 0) {
    say(output, "fork: %s\n", strerror(errno));
    return CASE_FAILED;
  }
  left = minder_reap(child, &status);
  while (status == -1 && test_now() < end) {
    minder_sleep(end);
    left = minder_reap(child, &status);
  }
  if (status == -1) {
    say(output, "timeout after %d s\n", c->limit);
    minder_each(output, true);
    minder_clear(child, &status);
    return CASE_FAILED;
  }
  verdict = case_verdict(c, status, output);
  for (const double grace = test_now() + run.slow; left && test_now() < grace; left = minder_reap(child, &status))
    minder_sleep(grace);
  if (left) {
    say(output, "left running %d s after the end of the case:\n", run.slow);
    minder_each(output, true);
    minder_clear(child, &status);
    verdict = CASE_FAILED;
  }
  return verdict;
}

/* ---- the runner ---- */

static void case_start(test_case *c) {
  const pid_t runner = getpid();
  c->output = (int)syscall(SYS_memfd_create, "output", 1u /* MFD_CLOEXEC */);
  if (c->output < 0)
    die("memfd_create");
  fcntl(c->output, F_SETFL, O_APPEND);
  c->begin = test_now();
  fflush(stdout);
  c->minder = fork();
  if (c->minder < 0)
    die("fork");
  if (c->minder == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != runner)
      _exit(2);
    _exit(minder_main(c, c->output));
  }
}

static void case_ended(pid_t minder, int status) {
  for (size_t i = 0; i < run.count; i++) {
    test_case *c = &run.cases[i];
    if (c->minder == minder && c->verdict == 0) {
      c->verdict = WIFEXITED(status) ? WEXITSTATUS(status) : CASE_FAILED;
      c->seconds = test_now() - c->begin;
    }
  }
}

static char *case_output(const test_case *c) {
  struct stat about;
  char *text;
  if (fstat(c->output, &about) != 0)
    die("fstat");
  text = (char *)calloc(1, (size_t)about.st_size + 1);
  if (text == NULL || pread(c->output, text, (size_t)about.st_size, 0) < 0)
    die("output");
  close(c->output);
  return text;
}

static char *last_line(char *text) {
  size_t size = strlen(text);
  char *newline;
  while (size > 0 && text[size - 1] == '\n')
    text[--size] = '\0';
  newline = strrchr(text, '\n');
  return newline == NULL ? text : newline + 1;
}

static void case_report(const test_case *c) {
  char *text = case_output(c), *line;
  if (c->verdict == CASE_PASSED) {
    run.passed++;
    printf("ok    %s (%.0f ms)\n", c->name, c->seconds * 1e3);
  } else if (c->verdict == CASE_SKIPPED) {
    run.skipped++;
    printf("skip  %s: %s\n", c->name, last_line(text));
  } else {
    run.failed++;
    printf("FAIL  %s (%.0f ms)\n", c->name, c->seconds * 1e3);
  }
  if (c->verdict != CASE_SKIPPED && (c->verdict != CASE_PASSED || run.verbose))
    for (line = strtok(text, "\n"); line != NULL; line = strtok(NULL, "\n"))
      printf("      %s\n", line);
  fflush(stdout);
  free(text);
}

static void run_all(void) {
  size_t next = 0, reported = 0, running = 0;
  while (reported < run.count) {
    int status = 0;
    pid_t minder;
    while (next < run.count && running < (size_t)run.jobs) {
      case_start(&run.cases[next++]);
      running++;
    }
    minder = waitpid(-1, &status, 0);
    if (minder > 0) {
      case_ended(minder, status);
      running--;
    }
    while (reported < next && run.cases[reported].verdict != 0)
      case_report(&run.cases[reported++]);
  }
}

static int run_case(const char *name) {
  char directory[PATH_MAX];
  snprintf(directory, sizeof(directory), "%s", run.program);
  setenv("HARNESS_DIRECTORY", dirname(directory), 1);
  for (size_t i = 0; i < run.count; i++)
    if (strcmp(run.cases[i].name, name) == 0)
      return case_run(run.cases[i].test, run.cases[i].start);
  fprintf(stderr, "no such case: %s\n", name);
  return 2;
}

/* ---- expected output ---- */

static bool match_line(const char *expression, const char *line, int number) {
  char anchored[4000], text[256];
  regex_t compiled;
  int error;
  bool matches;
  snprintf(anchored, sizeof(anchored), "^(%s)$", expression);
  error = regcomp(&compiled, anchored, REG_EXTENDED | REG_NOSUB);
  if (error != 0) {
    regerror(error, &compiled, text, sizeof(text));
    fprintf(stderr, "line %d: bad expression %s: %s\n", number, expression, text);
    return false;
  }
  matches = regexec(&compiled, line, 0, NULL, 0) == 0;
  if (!matches)
    fprintf(stderr, "line %d: got      %s\nline %d: expected %s\n", number, line, number, expression);
  regfree(&compiled);
  return matches;
}

static int match_files(const char *expected_path, const char *actual_path) {
  FILE *expected = fopen(expected_path, "r"), *actual = fopen(actual_path, "r");
  char want[3000], got[3000];
  bool holds = true;
  if (expected == NULL || actual == NULL)
    die(expected == NULL ? expected_path : actual_path);
  for (int number = 1;; number++) {
    const bool more = fgets(want, sizeof(want), expected) != NULL, line = fgets(got, sizeof(got), actual) != NULL;
    if (!more && !line)
      break;
    want[more ? strcspn(want, "\n") : 0] = '\0';
    got[line ? strcspn(got, "\n") : 0] = '\0';
    if (more != line) {
      fprintf(stderr, "line %d: %s: %s\n", number, more ? "missing" : "not expected", more ? want : got);
      holds = false;
    } else if (!match_line(want, got, number))
      holds = false;
  }
  fclose(expected);
  fclose(actual);
  return holds ? 0 : 1;
}

/* ---- main ---- */

static void parse_starts(const char *text) {
  for (int i = 1; i <= PROCPOOL_START_INLINE; i++)
    if (strstr(text, start_names[i]) != NULL)
      run.starts |= 1 << i;
}

static void usage(void) {
  fprintf(stderr,
          "usage: run [-j JOBS] [-s SLOW] [-S START,...] [-w WRAPPER] [-c FILE] [-n REASON] [-v] [PATTERN...]\n");
  exit(2);
}

static void parse(int argc, char **argv, const char **commands) {
  int option;
  while ((option = getopt(argc, argv, "+j:s:S:w:c:n:v")) != -1)
    switch (option) {
    case 'j':
      run.jobs = atoi(optarg);
      break;
    case 's':
      run.slow = atoi(optarg);
      break;
    case 'S':
      parse_starts(optarg);
      break;
    case 'w':
      run.wrapper = optarg;
      break;
    case 'c':
      *commands = optarg;
      break;
    case 'n':
      printf("skip  %s\n", optarg);
      run.skipped++;
      break;
    case 'v':
      run.verbose = true;
      break;
    default:
      usage();
    }
  if (run.jobs < 1 || run.slow < 1)
    usage();
  run.patterns = argv + optind;
  run.pattern_count = argc - optind;
}

int main(int argc, char **argv) {
  const char *commands = NULL;
  char text[16];
  procpool_worker_main();
  run.jobs = 1;
  run.slow = 1;
  if (realpath("/proc/self/exe", run.program) == NULL)
    snprintf(run.program, sizeof(run.program), "%s", argv[0]);
  if (argc == 4 && strcmp(argv[1], "--match") == 0)
    return match_files(argv[2], argv[3]);
  if (argc >= 2 && (strcmp(argv[1], "--case") == 0 || strcmp(argv[1], "--list") == 0)) {
    const bool list = argv[1][2] == 'l';
    run.patterns = argv + 2;
    run.pattern_count = list || argc == 2 ? argc - 2 : 1;
    for (const harness_test *test = tests; test != NULL; test = test->next)
      cases_of_test(test);
    for (size_t i = 0; list && i < run.count; i++)
      printf("%s\n", run.cases[i].name);
    return list ? 0 : run_case(argc > 2 ? argv[2] : "");
  }
  parse(argc, argv, &commands);
  snprintf(text, sizeof(text), "%d", run.slow);
  setenv("HARNESS_SLOW", text, 1);
  setenv("MALLOC_PERTURB_", "165", 0); /* glibc: fresh and freed memory is garbage */
  /* A descriptor below 3 that is closed would be taken by the first file opened here. */
  while (fcntl(0, F_GETFD) < 0 || fcntl(1, F_GETFD) < 0 || fcntl(2, F_GETFD) < 0)
    if (open("/dev/null", O_RDWR) < 0)
      die("/dev/null");
  {
    sigset_t child;
    sigemptyset(&child);
    sigaddset(&child, SIGCHLD); /* minders wait for it */
    signal(SIGCHLD, SIG_DFL);
    sigprocmask(SIG_BLOCK, &child, NULL);
  }
  for (const harness_test *test = tests; test != NULL; test = test->next)
    cases_of_test(test);
  if (commands != NULL)
    cases_of_file(commands);
  run_all();
  printf("%d passed, %d failed, %d skipped\n", run.passed, run.failed, run.skipped);
  return run.failed == 0 && run.passed + run.skipped > 0 ? 0 : 1;
}
