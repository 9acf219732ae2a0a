/* procpool_process: one function in a process of its own. */
#include "harness.h"

#include <errno.h>
#include <sys/resource.h>

static procpool_process *start_process(procpool_start start, procpool_function function, const void *argument,
                                       size_t size) {
  procpool_error error;
  procpool_process_options options;
  procpool_process *process;
  memset(&options, 0, sizeof(options));
  memset(&error, 0, sizeof(error));
  options.error = &error;
  options.start = start;
  process = procpool_process_start(&options, function, argument, size);
  if (process == NULL)
    harness_fail(__FILE__, __LINE__, "procpool_process_start: %s: %s: success", procpool_status_name(error.status),
                 error.message);
  return process;
}

static procpool_process *start_job(procpool_start start, procpool_function function, int number) {
  const test_job job = job_with(0, number);
  return start_process(start, function, &job, sizeof(job));
}

static void expect_exit_code(procpool_process *process, int expected) {
  int code = 12345;
  CHECK_OK(procpool_process_exit_code(process, &code));
  CHECK_EQ(code, expected);
}

static void end(procpool_process *process) {
  CHECK_OK(procpool_process_free(process));
}

TEST_STARTS(process_runs_and_is_joined, PROCESSES) {
  const int in = 21;
  int out = 0;
  procpool_process *process = start_process(start, task_twice, &in, sizeof(in));
  CHECK_OK(procpool_process_join(process, PROCPOOL_FOREVER));
  CHECK(!procpool_process_is_alive(process));
  expect_exit_code(process, 0);
  CHECK_OK(procpool_future_result(procpool_process_future(process), 0, &out, sizeof(out), NULL));
  CHECK_EQ(out, 42);
  CHECK_OK(procpool_process_join(process, PROCPOOL_FOREVER)); /* again */
  CHECK_OK(procpool_process_join(process, 0));
  end(process);
}

TEST(process_with_all_defaults) {
  procpool_process *process = procpool_process_start(NULL, task_nothing, NULL, 0);
  CHECK(process != NULL);
  CHECK_OK(procpool_process_join(process, PROCPOOL_FOREVER));
  expect_exit_code(process, 0);
  end(process);
}

TEST_STARTS(process_is_alive_until_it_ends, PROCESSES) {
  procpool_process *process = start_job(start, task_block, 0);
  int code = 12345;
  gate_wait(&page->started, 1);
  CHECK(procpool_process_is_alive(process));
  CHECK_STATUS(procpool_process_exit_code(process, &code), PROCPOOL_PENDING);
  CHECK_EQ(code, 12345);
  CHECK_STATUS(procpool_process_join(process, 0), PROCPOOL_PENDING);
  CHECK_STATUS(procpool_process_join(process, 0.05), PROCPOOL_PENDING);
  CHECK_STATUS(procpool_process_exit_code(process, NULL), PROCPOOL_ARGUMENT);
  gate_add(&page->gate, 1);
  CHECK_OK(procpool_process_join(process, PROCPOOL_FOREVER));
  CHECK(!procpool_process_is_alive(process));
  expect_exit_code(process, 0);
  end(process);
}

TEST_STARTS(process_pid_is_its_own, PROCESSES) {
  procpool_process *process = start_job(start, task_block, 0);
  long pid;
  gate_wait(&page->started, 1);
  pid = procpool_process_pid(process);
  CHECK_EQ(pid, page->pid[0]);
  CHECK_NE(pid, (long)getpid());
  gate_add(&page->gate, 1);
  CHECK_OK(procpool_process_join(process, PROCPOOL_FOREVER));
  CHECK_EQ(procpool_process_pid(process), pid); /* after its end too */
  CHECK_EQ(kill((pid_t)pid, 0), -1);
  CHECK_EQ(errno, ESRCH);
  end(process);
}

TEST_STARTS(process_that_fails_has_exit_code_1, PROCESSES) {
  procpool_process *process = start_job(start, task_fail, 33);
  CHECK_OK(procpool_process_join(process, PROCPOOL_FOREVER));
  expect_exit_code(process, 1);
  CHECK_STATUS(procpool_future_status(procpool_process_future(process)), PROCPOOL_FAILED);
  CHECK_EQ(test_error(procpool_process_future(process)).code, 33);
  end(process);
}

TEST_STARTS(process_exit_status_is_its_exit_code, PROCESSES) {
  static const int codes[] = {0, 3, 255};
  for (int i = 0; i < 3; i++) {
    procpool_process *process = start_job(start, task_exit, codes[i]);
    CHECK_OK(procpool_process_join(process, PROCPOOL_FOREVER));
#ifdef __GLIBC__
    expect_exit_code(process, codes[i]);
#else
    expect_exit_code(process, 255); /* musl does not tell the status of exit() */
#endif
    end(process);
  }
}

TEST_STARTS(process_that_crashes_has_minus_the_signal, PROCESSES) {
  static const int signals[] = {SIGSEGV, SIGABRT, SIGKILL, SIGTERM};
  for (int i = 0; i < 4; i++) {
    procpool_process *process = start_job(start, task_die, signals[i]);
    CHECK_OK(procpool_process_join(process, PROCPOOL_FOREVER));
    expect_exit_code(process, -signals[i]);
    CHECK_STATUS(procpool_future_status(procpool_process_future(process)), PROCPOOL_CRASHED);
    end(process);
  }
}

/* However it is ended: here by the future beneath it. */
TEST_STARTS(process_ended_by_its_future_has_minus_the_signal, PROCESSES) {
  const test_job job = job_of(0);
  procpool_process *process = start_process(start, task_block, &job, sizeof(job));
  gate_wait(&page->started, 1);
  (void)procpool_future_cancel_kill(procpool_process_future(process), -1);
  CHECK_OK(procpool_process_join(process, PROCPOOL_FOREVER));
  CHECK_STATUS(procpool_future_status(procpool_process_future(process)), PROCPOOL_CANCELLED);
  expect_exit_code(process, -SIGKILL);
  end(process);
}

/* And one that never ran, since its future was cancelled before, has not returned. */
TEST_STARTS(process_cancelled_before_it_began, PROCESSES) {
  const test_job job = job_of(0);
  for (int i = 0; i < test_rounds(10); i++) {
    procpool_process *process = start_process(start, task_count, &job, sizeof(job));
    const bool cancelled = procpool_future_cancel(procpool_process_future(process)) == PROCPOOL_CANCELLED;
    CHECK_OK(procpool_process_join(process, PROCPOOL_FOREVER));
    expect_exit_code(process, cancelled ? 1 : 0);
    end(process);
  }
}

/* It is one process for one function: a crash is its end, nothing is started again. */
TEST_STARTS(process_is_not_replaced, PROCESSES) {
  procpool_process *process = start_job(start, task_die, SIGKILL);
  int first;
  CHECK_OK(procpool_process_join(process, PROCPOOL_FOREVER));
  first = page->pid[0];
  CHECK_EQ(procpool_process_pid(process), first);
  CHECK(!procpool_process_is_alive(process));
  end(process);
  CHECK_EQ(page->pid[0], first);
}

TEST_STARTS(process_terminate, PROCESSES) {
  procpool_process *process = start_job(start, task_block, 0);
  gate_wait(&page->started, 1);
  CHECK_OK(procpool_process_terminate(process));
  CHECK_OK(procpool_process_join(process, PROCPOOL_FOREVER));
  expect_exit_code(process, -SIGTERM);
  CHECK_EQ(page->finished, 0);
  CHECK_OK(procpool_process_terminate(process)); /* it has ended: no error, and no process is hit */
  end(process);
}

TEST_STARTS(process_kill, PROCESSES) {
  procpool_process *process = start_job(start, task_block, 0);
  gate_wait(&page->started, 1);
  CHECK_OK(procpool_process_kill(process));
  CHECK_OK(procpool_process_join(process, PROCPOOL_FOREVER));
  expect_exit_code(process, -SIGKILL);
  CHECK_OK(procpool_process_kill(process));
  end(process);
}

static void on_term(int number) {
  (void)number;
  gate_add(&page->word[0], 1);
}

static void task_handles_term(procpool_task *task) {
  struct sigaction action;
  (void)job_begin(task);
  memset(&action, 0, sizeof(action));
  action.sa_handler = on_term;
  action.sa_flags = SA_RESTART;
  CHECK_EQ(sigaction(SIGTERM, &action, NULL), 0);
  task_block(task);
}

TEST_STARTS(process_that_handles_sigterm, PROCESSES) {
  procpool_process *process = start_job(start, task_handles_term, 0);
  gate_wait(&page->started, 1);
  CHECK_OK(procpool_process_terminate(process));
  gate_wait(&page->word[0], 1); /* it was asked */
  CHECK(procpool_process_is_alive(process));
  CHECK_OK(procpool_process_kill(process));
  CHECK_OK(procpool_process_join(process, PROCPOOL_FOREVER));
  expect_exit_code(process, -SIGKILL);
  end(process);
}

TEST_STARTS(process_freed_while_it_lives_is_killed, PROCESSES) {
  procpool_process *process = start_job(start, task_block, 0);
  int watch;
  gate_wait(&page->started, 1);
  watch = test_watch(page->pid[0]);
  end(process);
  CHECK(test_gone(watch, 0));
  CHECK_EQ(page->finished, 0);
}

TEST_STARTS(process_five_at_once, PROCESSES) {
  procpool_process *processes[5];
  for (int i = 0; i < 5; i++) {
    const test_job job = job_with(i, 5);
    processes[i] = start_process(start, task_meet, &job, sizeof(job));
  }
  for (int i = 0; i < 5; i++) {
    int index = -1;
    CHECK_OK(procpool_process_join(processes[i], PROCPOOL_FOREVER));
    CHECK_OK(procpool_future_result(procpool_process_future(processes[i]), 0, &index, sizeof(index), NULL));
    CHECK_EQ(index, i);
    CHECK_EQ(procpool_process_pid(processes[i]), page->pid[i]);
  }
  for (int i = 0; i < 5; i++)
    end(processes[i]);
}

TEST_STARTS(process_carries_its_name, PROCESSES) {
  procpool_process_options options = {0};
  procpool_process *process;
  const test_job job = job_of(0);
  char path[64], text[64] = "";
  FILE *file;
  options.start = start;
  options.name = "runner-7";
  process = procpool_process_start(&options, task_block, &job, sizeof(job));
  CHECK(process != NULL);
  gate_wait(&page->started, 1);
  snprintf(path, sizeof(path), "/proc/%d/comm", page->pid[0]);
  file = fopen(path, "r");
  CHECK(file != NULL);
  CHECK(fgets(text, sizeof(text), file) != NULL);
  fclose(file);
  text[strcspn(text, "\n")] = '\0';
  CHECK_TEXT(text, "runner-7");
  gate_add(&page->gate, 1);
  CHECK_OK(procpool_process_join(process, PROCPOOL_FOREVER));
  end(process);
}

TEST_STARTS(process_result_of_any_size, PROCESSES) {
  const test_job job = job_sized(3, 5 << 20);
  procpool_process *process = start_process(start, task_make, &job, sizeof(job));
  size_t size = 0;
  CHECK_OK(procpool_process_join(process, PROCPOOL_FOREVER));
  CHECK(pattern_holds(procpool_future_data(procpool_process_future(process), &size), 5 << 20, 3));
  CHECK_EQ(size, 5 << 20);
  end(process);
}

/* A process ends when its function has returned: it does not linger until it is joined. */
TEST_STARTS(process_ends_by_itself, PROCESSES) {
  procpool_process *process = start_job(start, task_block, 0);
  int watch;
  gate_wait(&page->started, 1);
  watch = test_watch(page->pid[0]);
  gate_add(&page->gate, 1);
  CHECK(test_gone(watch, 5.0 * test_slow())); /* no call of the library meanwhile */
  CHECK_OK(procpool_process_join(process, 5));
  expect_exit_code(process, 0);
  end(process);
}

TEST_STARTS(process_of_a_killed_host_is_gone, PROCESSES) {
  const pid_t host = fork();
  int watch;
  CHECK_GE(host, 0);
  if (host == 0) {
    (void)start_job(start, task_block, 0);
    gate_wait(&page->word[1], 1);
    raise(SIGKILL);
  }
  gate_wait(&page->started, 1);
  watch = test_watch(page->pid[0]);
  gate_add(&page->word[1], 1);
  CHECK_EQ(test_wait_exit(host), -SIGKILL);
  CHECK(test_gone(watch, 1.0 * test_slow()));
}

PROCPOOL_FUNCTION(int, multiply, int, a, int, b) {
  return a * b;
}

TEST_STARTS(process_of_a_typed_function, PROCESSES) {
  const multiply_arguments arguments = {6, 7};
  procpool_process *process = start_process(start, multiply_task, &arguments, sizeof(arguments));
  int out = 0;
  CHECK_OK(procpool_process_join(process, PROCPOOL_FOREVER));
  CHECK_OK(procpool_future_result(procpool_process_future(process), 0, &out, sizeof(out), NULL));
  CHECK_EQ(out, 42);
  end(process);
}

TEST_STARTS(process_kill_races_with_its_end, PROCESSES) {
  for (int i = 0; i < test_rounds(40); i++) {
    procpool_process *process = start_process(start, task_nothing, NULL, 0);
    int code = 12345;
    for (int yields = 0; yields < i; yields++)
      sched_yield();
    CHECK_OK(i % 2 == 0 ? procpool_process_kill(process) : procpool_process_terminate(process));
    CHECK_OK(procpool_process_join(process, PROCPOOL_FOREVER));
    CHECK_OK(procpool_process_exit_code(process, &code));
    CHECK(code == 0 || code == -SIGKILL || code == -SIGTERM);
    end(process);
  }
}

/* ---- R150 ---- */

static procpool_status refused;

static void free_in_callback(procpool_future *future, void *context) {
  (void)future;
  refused = procpool_process_free((procpool_process *)context);
}

/* What is refused has changed nothing: the future is there, and its outcome. */
TEST_STARTS(r150_free_in_a_callback_is_refused, PROCESSES) {
  procpool_process *process = start_job(start, task_die, SIGKILL);
  CHECK_OK(procpool_future_add_done_callback(procpool_process_future(process), free_in_callback, process));
  CHECK_OK(procpool_process_join(process, PROCPOOL_FOREVER));
  CHECK_STATUS(refused, PROCPOOL_DEADLOCK);
  CHECK_STATUS(procpool_future_status(procpool_process_future(process)), PROCPOOL_CRASHED);
  expect_exit_code(process, -SIGKILL);
  end(process);
}

/* Its future is not the user's to release, but then there is a status for that, and no memory that is gone. */
TEST_STARTS(r150_future_released_before_the_process, PROCESSES) {
  procpool_process *process;
  int code = 0;
  if (test_instrumented())
    SKIP("the instrument reports the look at what was given back");
  process = start_job(start, task_die, SIGKILL);
  CHECK_OK(procpool_process_join(process, PROCPOOL_FOREVER));
  CHECK_OK(procpool_future_release(procpool_process_future(process)));
  CHECK_STATUS(procpool_process_exit_code(process, &code), PROCPOOL_HANDLE);
  CHECK_OK(procpool_process_free(process));
}

static void task_make_when_told(procpool_task *task) {
  (void)job_begin(task);
  gate_wait(&page->gate, 1);
  task_make(task);
}

/* No memory for a result is not the end of the process that has it: it can be killed still. */
TEST_STARTS(r150_alive_while_there_is_no_room_for_its_result, PROCESSES) {
  const test_job job = job_sized(0, 16 << 20);
  struct rlimit before, limit;
  procpool_process *process;
  procpool_status status;
  int code = 12345, watch;
  if (test_instrumented())
    SKIP("the instrument needs memory itself");
  process = start_process(start, task_make_when_told, &job, sizeof(job));
  watch = test_watch(procpool_process_pid(process));
  CHECK_EQ(getrlimit(RLIMIT_AS, &before), 0);
  limit = before;
  limit.rlim_cur = 1;
  CHECK_EQ(setrlimit(RLIMIT_AS, &limit), 0);
  gate_add(&page->gate, 1);
  do
    status = procpool_process_join(process, 0);
  while (status == PROCPOOL_PENDING && usleep(1000) == 0);
  CHECK_STATUS(status, PROCPOOL_MEMORY);
  CHECK(procpool_process_is_alive(process));
  CHECK_STATUS(procpool_process_exit_code(process, &code), PROCPOOL_PENDING);
  CHECK_OK(procpool_process_kill(process));
  CHECK(test_gone(watch, 5.0 * test_slow()));
  CHECK_EQ(setrlimit(RLIMIT_AS, &before), 0);
  (void)close(watch);
  CHECK_OK(procpool_process_join(process, PROCPOOL_FOREVER));
  expect_exit_code(process, -SIGKILL);
  end(process);
}

static void *start_cancelled(void *context) {
  procpool_process_options options;
  memset(&options, 0, sizeof(options));
  options.start = *(procpool_start *)context;
  CHECK_EQ(pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, NULL), 0);
  CHECK_EQ(pthread_cancel(pthread_self()), 0);
  CHECK_EQ(pthread_setcancelstate(PTHREAD_CANCEL_ENABLE, NULL), 0);
  return procpool_process_start(&options, task_nothing, NULL, 0);
}

/* The thread ends as the call begins: there is no process left without a handle. The leak audit finds it. */
TEST_STARTS(r133_start_of_a_process_by_a_cancelled_thread, PROCESSES) {
  const size_t descriptors = test_descriptors();
  if (test_instrumented())
    SKIP("AddressSanitizer does not hear that a cancelled thread leaves its frames");
  CHECK(test_join(test_thread(start_cancelled, &start)) == PTHREAD_CANCELED);
  CHECK_EQ(test_descriptors(), descriptors);
}
