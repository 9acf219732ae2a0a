// What leaves a callback, a generator, a task or an initializer by an exception, where the implementation is C++ too: so
// it is included here, and all calls are this copy's.
#define PROCPOOL_STATIC
#define PROCPOOL_IMPLEMENTATION
#include "harness.h"

#include <stdexcept>

static void thrower(procpool_future *, void *context) {
  ++*static_cast<int *>(context);
  throw std::runtime_error("from a callback");
}

static void throwing_task(procpool_task *) {
  throw std::runtime_error("from a task");
}

static int throwing_initializer(const void *, size_t) {
  throw 1;
}

static int throwing_generator(void *context, void *item) {
  int &n = *static_cast<int *>(context);
  if (n == 3)
    throw std::runtime_error("from a generator");
  *static_cast<int *>(item) = n++;
  return 1;
}

PROCPOOL_FUNCTION(int, same, int, x) {
  return x;
}

static procpool *open_here(procpool_start start) {
  procpool_options options = {};
  procpool *pool;
  options.start = start;
  options.max_workers = 1;
  pool = procpool_open(&options);
  CHECK(pool != nullptr);
  return pool;
}

static procpool_future *with_thrower(procpool *pool, int *called) {
  procpool_future *future = same_submit(pool, 1);
  CHECK(future != nullptr);
  CHECK_OK(procpool_future_add_done_callback(future, thrower, called));
  return future;
}

// Calls that run callbacks, by number.
static void call(int number, procpool *pool, procpool_future *future) {
  procpool_iterator *it = nullptr;
  procpool_future *next;
  int in[3] = {1, 2, 3}, out[3];
  switch (number) {
  case 0:
    (void)procpool_future_wait(future, PROCPOOL_FOREVER);
    return;
  case 1:
    (void)procpool_wait(&future, 1, PROCPOOL_ALL_COMPLETED, PROCPOOL_FOREVER, nullptr);
    return;
  case 2:
    for (;;)
      (void)procpool_poll(pool, 0);
  case 3:
    CHECK_OK(procpool_as_completed(&future, 1, &it));
    try {
      IGNORE(procpool_next(it, PROCPOOL_FOREVER, &next));
    } catch (...) {
      procpool_iterator_free(it);
      throw;
    }
    return;
  case 4:
    CHECK_OK(same_map(pool, in, out, 3));
    return;
  case 5:
    (void)procpool_shutdown(pool, PROCPOOL_DRAIN, PROCPOOL_FOREVER);
    return;
  default:
    return;
  }
}

TEST_STARTS(r133_an_exception_leaves_the_call_that_ran_the_callback, FORK | THREAD | INLINE) {
  for (int number = 0; number < 6; number++) {
    procpool *pool = open_here(start);
    int called = 0, y = 0;
    procpool_future *future = with_thrower(pool, &called);
    bool caught = false;
    try {
      call(number, pool, future);
    } catch (const std::runtime_error &e) {
      caught = std::string(e.what()) == "from a callback";
    }
    CHECK(caught);
    CHECK_EQ(called, 1);
    CHECK_OK(same_result(future, &y)); // a thread that is in no callback: it may wait
    if (number != 5) {
      CHECK_OK(same_result(same_submit(pool, 2), &y));
      CHECK_EQ(y, 2);
      CHECK_OK(procpool_shutdown(pool, PROCPOOL_DRAIN, PROCPOOL_FOREVER));
    }
    CHECK_OK(procpool_free(pool));
  }
}

TEST_STARTS(r133_an_exception_of_a_callback_that_runs_at_once, FORK | THREAD | INLINE) {
  procpool *pool = open_here(start);
  procpool_future *future = same_submit(pool, 1);
  int called = 0, y = 0;
  bool caught = false;
  CHECK_OK(procpool_future_wait(future, PROCPOOL_FOREVER));
  try {
    (void)procpool_future_add_done_callback(future, thrower, &called);
  } catch (const std::runtime_error &) {
    caught = true;
  }
  CHECK(caught);
  CHECK_OK(same_result(future, &y));
  CHECK_OK(procpool_shutdown(pool, PROCPOOL_DRAIN, PROCPOOL_FOREVER));
  CHECK_OK(procpool_free(pool));
}

// What it throws leaves procpool_process_free, which has freed all of it.
TEST_STARTS(r150_an_exception_leaves_free, FORK) {
  procpool_process_options options = {};
  const int in = 1;
  int called = 0;
  bool caught = false;
  procpool_process *process;
  const size_t descriptors = test_descriptors();
  options.start = start;
  process = procpool_process_start(&options, same_task, &in, sizeof(in));
  CHECK(process != nullptr);
  CHECK_OK(procpool_future_add_done_callback(procpool_process_future(process), thrower, &called));
  try {
    (void)procpool_process_free(process);
  } catch (const std::runtime_error &) {
    caught = true;
  }
  CHECK(caught);
  CHECK_EQ(called, 1);
  CHECK_EQ(test_descriptors(), descriptors);
}

TEST_STARTS(r133_a_task_that_throws_has_failed, FORK | THREAD | INLINE) {
  procpool *pool = open_here(start);
  procpool_future *future;
  procpool_error error;
  CHECK_OK(procpool_submit(pool, throwing_task, nullptr, 0, NULL, &future));
  CHECK_STATUS(procpool_future_wait(future, PROCPOOL_FOREVER), PROCPOOL_FAILED);
  CHECK_OK(procpool_future_error(future, &error));
  CHECK_TEXT(error.message, "from a task");
  CHECK_OK(procpool_future_release(future));
  CHECK_OK(procpool_shutdown(pool, PROCPOOL_DRAIN, PROCPOOL_FOREVER));
  CHECK_OK(procpool_free(pool));
}

TEST_STARTS(r133_a_generator_that_throws, FORK | THREAD | INLINE) {
  procpool *pool = open_here(start);
  procpool_iterator *it;
  procpool_future *future;
  int n = 0, y = 0;
  bool caught = false;
  CHECK_OK(procpool_imap(pool, same_task, throwing_generator, &n, sizeof(int), nullptr, &it));
  try {
    while (procpool_next(it, PROCPOOL_FOREVER, &future) == PROCPOOL_OK)
      ;
  } catch (const std::runtime_error &) {
    caught = true;
  }
  CHECK(caught);
  procpool_iterator_free(it);
  CHECK_OK(same_result(same_submit(pool, 2), &y));
  CHECK_OK(procpool_shutdown(pool, PROCPOOL_DRAIN, PROCPOOL_FOREVER));
  CHECK_OK(procpool_free(pool));
}

TEST_STARTS(r133_an_initializer_that_throws_has_failed, FORK | THREAD | INLINE) {
  procpool_options options = {};
  procpool_error error;
  procpool_future *future;
  procpool *pool;
  options.start = start;
  options.max_workers = 1;
  options.initializer = throwing_initializer;
  options.error = &error;
  pool = procpool_open(&options);
  if (start == PROCPOOL_START_INLINE) {
    CHECK(pool == nullptr);
    CHECK_STATUS(error.status, PROCPOOL_INIT_FAIL);
    CHECK_EQ(error.code, -1);
    CHECK_TEXT(error.message, "an exception that is not a std::exception");
    return;
  }
  CHECK(pool != nullptr);
  if (procpool_submit(pool, throwing_task, nullptr, 0, NULL, &future) == PROCPOOL_OK) {
    CHECK_STATUS(procpool_future_wait(future, PROCPOOL_FOREVER), PROCPOOL_INIT_FAIL);
    CHECK_OK(procpool_future_error(future, &error));
    CHECK_EQ(error.code, -1);
    CHECK_TEXT(error.message, "an exception that is not a std::exception");
    CHECK_EQ(error.signal, 0); // it failed, and did not end its worker
    CHECK_OK(procpool_future_release(future));
  }
  CHECK_OK(procpool_free(pool));
}

static procpool *polled;
static bool entered, finished;

static void poller(procpool_future *, void *) {
  entered = true;
  (void)procpool_poll(polled, 0);
  finished = true;
}

// What one callback throws leaves the call that ran it, and no call within the next callback.
TEST_STARTS(r133_an_exception_passes_later_callbacks_by, FORK | THREAD) {
  procpool *pool = open_here(start);
  int called = 0, y = 0;
  procpool_future *first = with_thrower(pool, &called), *second = same_submit(pool, 2);
  bool caught = false;
  polled = pool;
  entered = finished = false;
  CHECK(second != nullptr);
  CHECK_OK(procpool_future_add_done_callback(second, poller, nullptr));
  while (!caught)
    try {
      (void)procpool_poll(pool, 0);
    } catch (const std::runtime_error &) {
      caught = true;
    }
  CHECK(caught);
  CHECK_OK(same_result(first, &y));
  CHECK_OK(same_result(second, &y));
  CHECK(entered && finished);
  CHECK_OK(procpool_shutdown(pool, PROCPOOL_DRAIN, PROCPOOL_FOREVER));
  CHECK_OK(procpool_free(pool));
}

// Runs a callback at once that throws; tells whether the call threw just that.
static bool throws_at_once(procpool_future *future, int *called) {
  try {
    (void)procpool_future_add_done_callback(future, thrower, called);
  } catch (const std::runtime_error &e) {
    return std::string(e.what()) == "from a callback";
  }
  return false;
}

struct nesting {
  procpool_future *settled;
  int called;
  int levels; // of callbacks, one within the other
  int caught;
  bool leaves; // what the innermost one throws leaves all of them
};

static void nester(procpool_future *, void *context) {
  nesting *self = static_cast<nesting *>(context);
  if (--self->levels > 0)
    CHECK_OK(procpool_future_add_done_callback(self->settled, nester, self));
  else if (self->leaves)
    (void)procpool_future_add_done_callback(self->settled, thrower, &self->called);
  else
    self->caught += throws_at_once(self->settled, &self->called);
}

// What a callback throws within a callback leaves the call that ran it, and not the one around that: whichever this is.
TEST_STARTS(r133_an_exception_of_a_callback_in_a_callback, FORK | THREAD | INLINE) {
  for (int number = 0; number < 6; number++)
    for (int levels = 1; levels < 4; levels++) {
      procpool *pool = open_here(start);
      nesting nested = {same_submit(pool, 1), 0, levels, 0, false};
      procpool_future *future = same_submit(pool, 2);
      int y = 0;
      CHECK_OK(procpool_future_wait(nested.settled, PROCPOOL_FOREVER));
      CHECK_OK(procpool_future_add_done_callback(future, nester, &nested));
      if (number == 2) // that one would go on without an exception
        CHECK_OK(procpool_future_wait(future, PROCPOOL_FOREVER));
      else
        call(number, pool, future);
      CHECK_EQ(nested.called, 1);
      CHECK_EQ(nested.caught, 1);
      CHECK_OK(same_result(future, &y));
      CHECK_EQ(y, 2);
      CHECK_OK(same_result(nested.settled, &y));
      CHECK_OK(procpool_shutdown(pool, PROCPOOL_DRAIN, PROCPOOL_FOREVER));
      CHECK_OK(procpool_free(pool));
    }
}

// And where the callback around it does not catch it, it leaves that one's call in turn.
TEST_STARTS(r133_an_exception_that_leaves_two_callbacks, FORK | THREAD | INLINE) {
  procpool *pool = open_here(start);
  nesting nested = {same_submit(pool, 1), 0, 1, 0, true};
  int y = 0, called = 0;
  bool caught = false;
  CHECK_OK(procpool_future_wait(nested.settled, PROCPOOL_FOREVER));
  try {
    (void)procpool_future_add_done_callback(nested.settled, nester, &nested);
  } catch (const std::runtime_error &e) {
    caught = std::string(e.what()) == "from a callback";
  }
  CHECK(caught);
  CHECK_EQ(nested.called, 1);
  CHECK(throws_at_once(nested.settled, &called)); // nothing of the first one is left
  CHECK_OK(same_result(nested.settled, &y));
  CHECK_OK(procpool_shutdown(pool, PROCPOOL_DRAIN, PROCPOOL_FOREVER));
  CHECK_OK(procpool_free(pool));
}

static nesting in_task;

static void nesting_task(procpool_task *) {
  in_task.caught += throws_at_once(in_task.settled, &in_task.called);
}

// A task of this process runs a callback: what it throws leaves the call in the task, and no call of another thread.
TEST_STARTS(r133_an_exception_of_a_callback_in_a_task, THREAD | INLINE) {
  procpool *pool = open_here(start);
  procpool_future *future;
  int y = 0;
  in_task = nesting();
  in_task.settled = same_submit(pool, 1);
  CHECK_OK(procpool_future_wait(in_task.settled, PROCPOOL_FOREVER));
  for (int i = 1; i <= 3; i++) {
    CHECK_OK(procpool_submit(pool, nesting_task, nullptr, 0, NULL, &future));
    CHECK_OK(procpool_future_wait(future, PROCPOOL_FOREVER));
    CHECK_EQ(in_task.called, i);
    CHECK_EQ(in_task.caught, i);
    CHECK_OK(procpool_future_release(future));
  }
  CHECK_OK(same_result(in_task.settled, &y));
  CHECK_OK(procpool_shutdown(pool, PROCPOOL_DRAIN, PROCPOOL_FOREVER));
  CHECK_OK(procpool_free(pool));
}

// The end of a scope gives the pool back before it throws; and one that is left by an exception throws no second one.
TEST_STARTS(r133_a_scope_whose_end_throws_is_over, FORK | THREAD | INLINE) {
  for (int left = 0; left < 2; left++) {
    procpool *kept = nullptr;
    procpool_options options = {};
    procpool_future *future = nullptr;
    int called = 0, y = 0;
    bool caught = false;
    options.start = start;
    options.max_workers = 1;
    try {
      PROCPOOL_WITH(pool, &options) {
        kept = pool;
        future = with_thrower(pool, &called);
        if (left != 0)
          throw std::runtime_error("from a callback");
      }
    } catch (const std::runtime_error &e) {
      caught = std::string(e.what()) == "from a callback";
    }
    CHECK(caught);
    CHECK_EQ(called, 1);
    CHECK_STATUS(procpool_poll(kept, 0), PROCPOOL_HANDLE);
    CHECK_OK(same_result(future, &y));
  }
}

struct cancelled_scope {
  procpool_start start;
  int called;
  bool throws, caught;
};

static void *cancelled_at_its_end(void *context) {
  cancelled_scope &s = *static_cast<cancelled_scope *>(context);
  procpool_options options = {};
  options.start = s.start;
  options.max_workers = 1;
  try {
    PROCPOOL_WITH(pool, &options) {
      if (s.throws)
        CHECK_OK(procpool_future_release(with_thrower(pool, &s.called)));
      CHECK_EQ(pthread_cancel(pthread_self()), 0);
    }
  } catch (const std::runtime_error &) {
    s.caught = true;
  }
  return nullptr;
}

// The end of a scope is no place where a thread ends that was cancelled: the pool is given back, and what a callback has
// thrown leaves it.
TEST_STARTS(r133_the_end_of_a_scope_is_not_cancelled, FORK | THREAD | INLINE) {
  for (int throws = 0; throws < 2; throws++) {
    cancelled_scope s = {};
    const size_t descriptors = test_descriptors();
    s.start = start;
    s.throws = throws != 0;
    (void)test_join(test_thread(cancelled_at_its_end, &s));
    CHECK_EQ(s.called, throws);
    CHECK_EQ(s.caught, throws != 0);
    CHECK_EQ(test_descriptors(), descriptors);
  }
}
