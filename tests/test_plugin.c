/* A plugin whose main is not its own: options.worker_path. This program is the host, and has never heard of the plugin's
 * implementation. */
#include "harness.h"
#include "plugin.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

enum { WORKERS = 2, COUNT = 1000 };

static plugin_calls plugin;
static int stop;

/* As test_path, but it stays. */
static const char *worker(void) {
  static char path[4096];
  (void)snprintf(path, sizeof(path), "%s", test_path("plugin_worker"));
  return path;
}

static void *idle_thread(void *context) {
  gate_wait((int *)context, 1);
  return NULL;
}

/* Opens the plugin, as a host with a thread. */
static pthread_t begin(void **handle) {
  void *symbol;
  *handle = dlopen(test_path("plugin_pool.so"), RTLD_NOW | RTLD_LOCAL);
  if (*handle == NULL)
    SKIP(dlerror());
  symbol = dlsym(*handle, "plugin_pool_calls");
  CHECK(symbol != NULL);
  memcpy(&plugin, symbol, sizeof(plugin));
  return test_thread(idle_thread, &stop);
}

static void end(pthread_t thread, void *handle) {
  gate_add(&stop, 1);
  (void)test_join(thread);
  (void)handle; /* it stays: the handlers around forks lie in it */
}

static procpool *open_at(const char *path, procpool_start start, procpool_error *error) {
  procpool_options options = {0};
  memset(error, 0, sizeof(*error));
  options.error = error;
  options.start = start;
  options.max_workers = WORKERS;
  options.worker_path = path;
  return plugin.open(&options);
}

static void expect_squares(procpool *pool, int more) {
  static int in[COUNT], out[COUNT];
  for (int i = 0; i < COUNT; i++)
    in[i] = i;
  CHECK_OK(plugin.map(pool, in, out, COUNT));
  for (int i = 0; i < COUNT; i++)
    CHECK_EQ(out[i], i * i + more);
}

static void check_plugin(const char *path, procpool_start start) {
  procpool_error error;
  void *handle;
  const pthread_t thread = begin(&handle);
  procpool *pool = open_at(path, start, &error);
  int result = 0;
  if (pool == NULL)
    harness_fail(__FILE__, __LINE__, "open: %s", error.message);
  CHECK_EQ(plugin.start_method(pool), PROCPOOL_START_SPAWN);
  CHECK_OK(plugin.wait_ready(pool, PROCPOOL_FOREVER));
  expect_squares(pool, 0);
  CHECK_STATUS(plugin.run(pool, task_nothing, &result), PROCPOOL_NO_FUNCTION); /* of the host's own executable */
  expect_squares(pool, 0);
  CHECK_OK(plugin.close(pool));
  end(thread, handle);
}

TEST(worker_path_runs_the_functions_of_a_plugin) {
  check_plugin(worker(), PROCPOOL_START_SPAWN);
}

TEST(worker_path_is_taken_by_auto_in_a_process_with_threads) {
  check_plugin(worker(), PROCPOOL_START_AUTO);
}

/* From the directory where open is called; $PATH does not count. */
TEST(worker_path_may_be_relative) {
  char here[4096], *place = strdup(test_path("plugin_worker"));
  CHECK(place != NULL && getcwd(here, sizeof(here)) != NULL);
  *strrchr(place, '/') = 0;
  CHECK_EQ(chdir(place), 0);
  free(place);
  check_plugin("plugin_worker", PROCPOOL_START_SPAWN);
  CHECK_EQ(chdir(here), 0);
}

static procpool_function symbol_of(void *handle, const char *name) {
  void *symbol = dlsym(handle, name);
  procpool_function function;
  CHECK(symbol != NULL);
  memcpy(&function, &symbol, sizeof(function));
  return function;
}

/* Functions of other objects, which know nothing of the plugin's implementation: found by file and offset, where both
 * programs have them. */
TEST(worker_path_and_other_objects) {
  procpool_error error;
  void *handle, *other, *libc;
  const pthread_t thread = begin(&handle);
  procpool *pool = open_at(worker(), PROCPOOL_START_SPAWN, &error);
  int result = 0;
  CHECK(pool != NULL);
  other = dlopen(test_path("plugin.so"), RTLD_LAZY);
  CHECK(other != NULL);
  CHECK_STATUS(plugin.run(pool, symbol_of(other, "plugin_task"), &result), PROCPOOL_NO_FUNCTION);
  CHECK_EQ(dlclose(other), 0);
  libc = dlopen("libc.so.6", RTLD_LAZY | RTLD_NOLOAD);
  if (libc != NULL) {                                                /* glibc */
    CHECK_OK(plugin.run(pool, symbol_of(libc, "getppid"), &result)); /* as a task it gives no result */
    CHECK_EQ(dlclose(libc), 0);
  }
  CHECK_OK(plugin.close(pool));
  end(thread, handle);
}

static int initializer_of_the_host(const void *argument, size_t size) {
  (void)argument;
  (void)size;
  return 0;
}

TEST(worker_path_and_an_initializer) {
  procpool_error error = {0};
  procpool_options options = {0};
  void *handle;
  const pthread_t thread = begin(&handle);
  const int added = 7;
  procpool *pool;
  char path[4096];
  (void)snprintf(path, sizeof(path), "%s", test_path("plugin_worker"));
  options.error = &error;
  options.start = PROCPOOL_START_SPAWN;
  options.max_workers = WORKERS;
  options.worker_path = path;
  options.initializer = plugin.initializer;
  options.initializer_argument = &added;
  options.initializer_size = sizeof(added);
  pool = plugin.open(&options);
  CHECK(pool != NULL);
  memset(path, 'x', sizeof(path) - 1); /* nothing looks at it any more */
  expect_squares(pool, 7);
  CHECK_OK(plugin.close(pool));
  options.worker_path = test_path("plugin_worker");
  options.initializer = initializer_of_the_host;
  CHECK(plugin.open(&options) == NULL);
  CHECK_STATUS(error.status, PROCPOOL_NO_FUNCTION);
  end(thread, handle);
}

/* A worker that dies is replaced by a fork of the supervisor: the program is not looked at any more. */
TEST(worker_path_is_looked_at_once) {
  procpool_error error;
  char copy[4200];
  void *handle;
  const pthread_t thread = begin(&handle);
  procpool *pool;
  int result;
  (void)snprintf(copy, sizeof(copy), "%s_%d", worker(), (int)getpid()); /* in the same place: the plugin lies there */
  CHECK_EQ(link(worker(), copy), 0);
  pool = open_at(copy, PROCPOOL_START_SPAWN, &error);
  CHECK_EQ(unlink(copy), 0);
  CHECK(pool != NULL);
  for (int i = 0; i < 2 * WORKERS; i++)
    CHECK_STATUS(plugin.run(pool, plugin.die, &result), PROCPOOL_CRASHED);
  CHECK_OK(plugin.wait_ready(pool, PROCPOOL_FOREVER));
  expect_squares(pool, 0);
  CHECK_OK(plugin.close(pool));
  end(thread, handle);
}

/* ---- programs that are none ---- */

static void expect_refused(const char *path, procpool_status expected, int system_error, const char *says) {
  procpool_error error;
  const double before = test_now();
  CHECK(open_at(path, PROCPOOL_START_SPAWN, &error) == NULL);
  CHECK_STATUS(error.status, expected);
  CHECK_EQ(error.system_error, system_error);
  if (strstr(error.message, says) == NULL)
    harness_fail(__FILE__, __LINE__, "the message is: %s", error.message);
  CHECK_SECONDS(test_now() - before, <, 10.0 * test_slow()); /* plugin_pool.c waits for 4 s where others do for 30 */
}

static void make_file(char *path, size_t room, const char *text, mode_t mode) {
  int file;
  (void)snprintf(path, room, "/tmp/procpool_%d_%o", (int)getpid(), (unsigned)mode);
  file = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
  CHECK_GE(file, 0);
  CHECK_EQ(write(file, text, strlen(text)), (ssize_t)strlen(text));
  CHECK_EQ(fchmod(file, mode), 0);
  CHECK_EQ(close(file), 0);
}

static const char *first_of(const char *a, const char *b) {
  return access(a, X_OK) == 0 ? a : b;
}

TEST(worker_path_that_cannot_be_started) {
  char plain[64], text[64];
  void *handle;
  const pthread_t thread = begin(&handle);
  make_file(plain, sizeof(plain), "#!/bin/sh\n", 0600);
  make_file(text, sizeof(text), "no program\n", 0700);
  expect_refused("/nowhere/at/all", PROCPOOL_SPAWN_FAIL, ENOENT, "posix_spawn of options.worker_path");
  expect_refused("", PROCPOOL_SPAWN_FAIL, ENOENT, "posix_spawn of options.worker_path");
  expect_refused("true", PROCPOOL_SPAWN_FAIL, ENOENT, "posix_spawn of options.worker_path"); /* it is in $PATH */
  expect_refused("/tmp", PROCPOOL_SPAWN_FAIL, EACCES, "posix_spawn of options.worker_path");
  expect_refused(plain, PROCPOOL_SPAWN_FAIL, EACCES, "posix_spawn of options.worker_path");
  expect_refused(text, PROCPOOL_SPAWN_FAIL, ENOEXEC, "posix_spawn of options.worker_path");
  CHECK_EQ(unlink(plain), 0);
  CHECK_EQ(unlink(text), 0);
  end(thread, handle);
}

TEST(worker_path_that_ends_before_the_door) {
  char script[64];
  void *handle;
  const pthread_t thread = begin(&handle);
  make_file(script, sizeof(script), "#!/bin/sh\nsleep 1 >/dev/null 2>&1 &\nexit 7\n",
            0700); /* and leaves one with its descriptors */
  expect_refused(first_of("/bin/true", "/usr/bin/true"), PROCPOOL_NO_WORKER_MAIN, 0,
                 "never called procpool_worker_main()");
  expect_refused(script, PROCPOOL_NO_WORKER_MAIN, 0, script);
  CHECK_EQ(unlink(script), 0);
  end(thread, handle);
}

/* Its standard input does not end. */
TEST(worker_path_that_hangs) {
  int ends[2];
  void *handle;
  const pthread_t thread = begin(&handle);
  const int in = dup(0);
  CHECK_EQ(pipe(ends), 0);
  CHECK_EQ(dup2(ends[0], 0), 0);
  expect_refused(first_of("/bin/cat", "/usr/bin/cat"), PROCPOOL_NO_WORKER_MAIN, ETIMEDOUT, "did not come to call");
  if (in >= 0)
    CHECK_EQ(dup2(in, 0), 0);
  else
    (void)close(0);
  (void)close(in);
  (void)close(ends[0]);
  (void)close(ends[1]);
  end(thread, handle);
}

/* This one opens no plugin, and nothing that the plugin would run is in it; but it is a good supervisor. */
TEST(worker_path_of_a_program_without_the_plugin) {
  procpool_error error;
  void *handle;
  const pthread_t thread = begin(&handle);
  static const int in = 3;
  int out = 0;
  procpool *pool = open_at(test_path("elsewhere"), PROCPOOL_START_SPAWN, &error);
  CHECK(pool != NULL);
  CHECK_STATUS(plugin.map(pool, &in, &out, 1), PROCPOOL_NO_FUNCTION);
  CHECK_OK(plugin.close(pool));
  end(thread, handle);
}

/* What it gets from nobody it does not believe. */
TEST(worker_path_started_by_hand) {
  char output[1000];
  CHECK_EQ(test_run(output, sizeof(output), test_path("plugin_worker"), (char *)NULL), 4);
  CHECK_TEXT(output, "no pool has started this\n");
}

/* A program that has rights of its own starts no other one for that, either. */
TEST(worker_path_with_two_identities) {
  enum { NOBODY = 65534 };
  const pid_t child = fork();
  CHECK_GE(child, 0);
  if (child == 0) {
    procpool_options options = {0};
    if (geteuid() != 0 || seteuid(NOBODY) != 0)
      _exit(77);
    options.start = PROCPOOL_START_SPAWN;
    options.worker_path = worker();
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

TEST_STARTS(worker_path_is_for_spawn, FORK | THREAD | INLINE) {
  procpool_options options = {0};
  options.start = start;
  options.worker_path = test_path("plugin_worker");
  test_open_fails(&options, PROCPOOL_UNSUPPORTED);
}

/* Where AUTO forks it is not used. */
TEST(worker_path_and_one_thread) {
  procpool_options options = {0};
  procpool *pool;
  options.max_workers = 1;
  options.worker_path = "/nowhere/at/all";
  pool = procpool_open(&options);
  CHECK(pool != NULL);
  CHECK_EQ(procpool_start_method(pool), PROCPOOL_START_FORK);
  CHECK_WORKS(pool);
  test_close(pool);
}
