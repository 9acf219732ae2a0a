/* The spawn start method: the door, functions that a spawned worker cannot reach, a clean start. */
#include "harness.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/mman.h>
#include <sys/wait.h>

static int global = 1; /* in a spawned worker it is what the program file says */

static void task_global(procpool_task *task) {
  procpool_task_return(task, &global, sizeof(global));
}

static int global_of(procpool *pool) {
  procpool_future *future = test_submit(pool, task_global, NULL, 0);
  int seen = -1;
  CHECK_OK(procpool_future_result(future, PROCPOOL_FOREVER, &seen, sizeof(seen), NULL));
  CHECK_OK(procpool_future_release(future));
  return seen;
}

TEST(spawned_workers_are_fresh_starts) {
  procpool *pool;
  global = 2;
  pool = test_open(PROCPOOL_START_SPAWN, 1);
  CHECK_EQ(global_of(pool), 1);
  test_close(pool);
}

TEST(forked_workers_are_copies_of_the_host_as_of_open) {
  procpool *pool;
  global = 2;
  pool = test_open(PROCPOOL_START_FORK, 1);
  global = 3;
  CHECK_EQ(global_of(pool), 2);
  test_close(pool);
}

TEST_STARTS(threads_and_inline_share_the_hosts_memory, THREAD | INLINE) {
  procpool *pool;
  global = 2;
  pool = test_open(start, 1);
  global = 3;
  CHECK_EQ(global_of(pool), 3);
  test_close(pool);
}

/* A program that forgot procpool_worker_main is told so, and is not started a second time. */
TEST(r006_forgotten_door) {
  char output[2000];
  char *line;
  CHECK_EQ(test_run(output, sizeof(output), test_path("nodoor"), (char *)NULL), 0);
  line = strtok(output, "\n");
  CHECK_TEXT(line, "main begins");
  line = strtok(NULL, "\n");
  CHECK_TEXT(line, "NO_WORKER_MAIN");
  line = strtok(NULL, "\n");
  CHECK(line != NULL);
  CHECK(strstr(line, "procpool_worker_main") != NULL); /* the error names it */
  CHECK(strtok(NULL, "\n") == NULL);
}

/* In the environment of this program: as if it had so many libraries more. */
#define EXECUTABLES "TEST_EXECUTABLES"

__attribute__((constructor)) static void have_libraries(void) {
  const char *text = getenv(EXECUTABLES);
  const int count = text != NULL ? atoi(text) : 0;
  const size_t size = (size_t)sysconf(_SC_PAGESIZE);
  const int file = count > 0 ? open("/proc/self/exe", O_RDONLY | O_CLOEXEC) : -1;
  for (int i = 0; i < count && file >= 0; i++) {
    char *place = (char *)mmap(NULL, 2 * size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    (void)mmap(place, size, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_FIXED, file, 0); /* apart from the next one */
  }
  if (file >= 0)
    (void)close(file);
}

static bool forks_are_slow;

static void before_slow_fork(void) {
  if (forks_are_slow)
    usleep(10000); /* as where many page tables are copied */
}

static void *fork_slowly(void *context) {
  while (gate_read((int *)context) == 0) {
    const pid_t child = fork();
    if (child == 0)
      _exit(0);
    CHECK_EQ(waitpid(child, NULL, 0), child);
  }
  return NULL;
}

/* The new process has more to tell than its channel takes, and the process that started it waits for another thread's fork. */
TEST(r116_spawn_of_a_large_program_beside_forks) {
  int stop = 0;
  pthread_t thread;
  if (test_instrumented())
    SKIP("what starts a process has a copy of the locks then");
  CHECK_EQ(pthread_atfork(before_slow_fork, NULL, NULL), 0); /* before the library's: it then runs after that one */
  test_close(test_open(PROCPOOL_START_THREAD, 1));
  forks_are_slow = true;
  CHECK_EQ(setenv(EXECUTABLES, "400", 1), 0);
  thread = test_thread(fork_slowly, &stop);
  for (int i = 0; i < test_rounds(10); i++) {
    procpool *pool = test_open(PROCPOOL_START_SPAWN, 1);
    CHECK_WORKS(pool);
    test_close(pool);
  }
  gate_add(&stop, 1);
  (void)test_join(thread);
  CHECK_EQ(unsetenv(EXECUTABLES), 0);
}

/* With threads fork would be unsafe, and without the door there is no spawn. */
TEST(r116_auto_with_threads_and_without_the_door) {
  char output[2000];
  char *line;
  CHECK_EQ(test_run(output, sizeof(output), test_path("nodoor"), "threads", (char *)NULL), 0);
  line = strtok(output, "\n");
  CHECK_TEXT(line, "main begins");
  line = strtok(NULL, "\n");
  CHECK_TEXT(line, "THREADS");
  line = strtok(NULL, "\n");
  CHECK(line != NULL);
  CHECK(strtok(NULL, "\n") == NULL);
}

typedef procpool_function plugin_function;

static plugin_function load_plugin(void **handle, const char *name) {
  plugin_function function;
  void *symbol;
  *handle = dlopen(test_path(name), RTLD_LAZY);
  if (*handle == NULL)
    SKIP(dlerror());
  symbol = dlsym(*handle, "plugin_task");
  CHECK(symbol != NULL);
  memcpy(&function, &symbol, sizeof(function));
  return function;
}

/* Loaded before or after the pool was opened: a fresh start of the program does not have it. */
TEST(spawn_function_of_a_plugin_is_refused) {
  void *handle;
  const procpool_function function = load_plugin(&handle, "plugin.so");
  procpool *pool = test_open(PROCPOOL_START_SPAWN, 1);
  procpool_future *future = NULL;
  procpool_error error;
  CHECK_STATUS(procpool_submit(pool, function, NULL, 0, NULL, &future), PROCPOOL_NO_FUNCTION);
  CHECK(future == NULL);
  (void)procpool_last_error(&error);
  CHECK_STATUS(error.status, PROCPOOL_NO_FUNCTION);
  CHECK(strstr(error.message, "plugin") != NULL); /* it names the function, or at least where it lies */
  CHECK_EQ(test_stats(pool).submitted, 0);
  CHECK_WORKS(pool);
  test_close(pool);
  dlclose(handle);
}

TEST(fork_function_of_a_plugin_loaded_before_open) {
  void *handle;
  const procpool_function function = load_plugin(&handle, "plugin.so");
  procpool *pool = test_open(PROCPOOL_START_FORK, 1);
  procpool_future *future = test_submit(pool, function, NULL, 0);
  int out = 0;
  CHECK_OK(procpool_future_result(future, PROCPOOL_FOREVER, &out, sizeof(out), NULL));
  CHECK_EQ(out, 42);
  CHECK_OK(procpool_future_release(future));
  test_close(pool);
  dlclose(handle);
}

/* Loaded later, it is not in the workers: an error, not a fault. */
TEST(fork_function_of_a_plugin_loaded_after_open) {
  procpool *pool = test_open(PROCPOOL_START_FORK, 1);
  void *handle;
  const procpool_function function = load_plugin(&handle, "plugin.so");
  procpool_future *future = NULL;
  const procpool_status status = procpool_submit(pool, function, NULL, 0, NULL, &future);
  if (status == PROCPOOL_OK) {
    const procpool_status outcome = procpool_future_wait(future, PROCPOOL_FOREVER);
    CHECK(outcome == PROCPOOL_NO_FUNCTION || outcome == PROCPOOL_TRANSFER || outcome == PROCPOOL_FAILED);
    CHECK(strstr(test_error(future).message, "function") != NULL);
    CHECK_OK(procpool_future_release(future));
  } else
    CHECK_STATUS(status, PROCPOOL_NO_FUNCTION);
  CHECK_WORKS(pool);
  CHECK_EQ(test_stats(pool).crashed, 0);
  test_close(pool);
  dlclose(handle);
}

/* Its workers have a library that the host closes; another one comes to lie in its place. */
TEST(spawn_function_in_the_place_of_another) {
  void *handle;
  procpool_function function, other;
  procpool *pool;
  procpool_future *future = NULL;
  int out = 0;
  if (test_instrumented())
    SKIP("what is loaded first is the instrument's affair");
  CHECK_EQ(setenv("LD_PRELOAD", test_path("plugin.so"), 1), 0); /* for the workers */
  pool = test_open(PROCPOOL_START_SPAWN, 1);
  CHECK_EQ(unsetenv("LD_PRELOAD"), 0);
  function = load_plugin(&handle, "plugin.so");
  for (int i = 0; i < 2; i++) {
    future = test_submit(pool, function, NULL, 0);
    CHECK_OK(procpool_future_result(future, PROCPOOL_FOREVER, &out, sizeof(out), NULL));
    CHECK_EQ(out, 42);
    CHECK_OK(procpool_future_release(future));
  }
  CHECK_EQ(dlclose(handle), 0);
  other = load_plugin(&handle, "plugin2.so");
  if (other != function)
    SKIP("it came to lie elsewhere");
  CHECK_STATUS(procpool_submit(pool, other, NULL, 0, NULL, &future), PROCPOOL_NO_FUNCTION);
  CHECK_EQ(dlclose(handle), 0);
  function = load_plugin(&handle, "plugin.so");
  future = test_submit(pool, function, NULL, 0);
  CHECK_SETTLES(future, PROCPOOL_OK);
  CHECK_OK(procpool_future_release(future));
  CHECK_WORKS(pool);
  test_close(pool);
  dlclose(handle);
}

TEST_STARTS(thread_function_of_a_plugin_loaded_after_open, THREAD | INLINE) {
  procpool *pool = test_open(start, 1);
  void *handle;
  const procpool_function function = load_plugin(&handle, "plugin.so");
  procpool_future *future = test_submit(pool, function, NULL, 0);
  int out = 0;
  CHECK_OK(procpool_future_result(future, PROCPOOL_FOREVER, &out, sizeof(out), NULL));
  CHECK_EQ(out, 42);
  CHECK_OK(procpool_future_release(future));
  test_close(pool);
  dlclose(handle);
}

/* Functions of libraries that the program was linked with are reachable; that they are tasks is the caller's affair. */
static void task_of_this_file(procpool_task *task) {
  task_nothing(task);
}

TEST(spawn_static_functions_of_any_file) {
  procpool *pool = test_open(PROCPOOL_START_SPAWN, 1);
  procpool_future *future = test_submit(pool, task_of_this_file, NULL, 0);
  CHECK_SETTLES(future, PROCPOOL_OK);
  CHECK_OK(procpool_future_release(future));
  test_close(pool);
}

/* A nonsense address is no function. */
TEST_STARTS(spawn_function_pointer_to_data_is_refused, SPAWN) {
  procpool *pool = test_open(start, 1);
  procpool_function function;
  void *nonsense = malloc(64);
  procpool_future *future = NULL;
  memcpy(&function, &nonsense, sizeof(function));
  CHECK_STATUS(procpool_submit(pool, function, NULL, 0, NULL, &future), PROCPOOL_NO_FUNCTION);
  CHECK(future == NULL);
  free(nonsense);
  CHECK_WORKS(pool);
  test_close(pool);
}

static int initializer_none(const void *argument, size_t size) {
  (void)argument;
  (void)size;
  return 0;
}

TEST(spawn_initializer_with_bytes) {
  procpool_options options = {0};
  procpool *pool;
  static const char text[] = "bytes";
  options.initializer = initializer_none;
  options.initializer_argument = text;
  options.initializer_size = sizeof(text);
  pool = test_open_with(PROCPOOL_START_SPAWN, 1, &options);
  CHECK_WORKS(pool);
  test_close(pool);
}

/* In the program that the user starts, the door returns at once, however often it is called. */
TEST(spawn_door_returns_in_the_users_program) {
  procpool_worker_main();
  procpool_worker_main();
}

/* The program was moved, or its folder is gone from the path: it still is what runs. */
TEST(spawn_from_another_directory) {
  char before[PATH_MAX];
  procpool *pool;
  CHECK(getcwd(before, sizeof(before)) != NULL);
  CHECK_EQ(chdir("/"), 0);
  pool = test_open(PROCPOOL_START_SPAWN, 1);
  CHECK_WORKS(pool);
  test_close(pool);
  CHECK_EQ(chdir(before), 0);
}

TEST(spawn_without_a_path_in_the_environment) {
  procpool *pool;
  const char *path = getenv("PATH");
  char saved[4000];
  snprintf(saved, sizeof(saved), "%s", path == NULL ? "" : path);
  unsetenv("PATH");
  pool = test_open(PROCPOOL_START_SPAWN, 1);
  CHECK_WORKS(pool);
  test_close(pool);
  setenv("PATH", saved, 1);
}
