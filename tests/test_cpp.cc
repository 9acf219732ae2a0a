// The typed layer in C++: trivially copyable types, exceptions that end a task as FAILED, lambdas as task functions.
#include "harness.h"
#include "typed.h"

#include <cmath>
#include <cstdlib>
#include <stdexcept>
#include <string>
#include <vector>

namespace geometry {

struct point {
  double x, y;
  double length() const {
    return std::sqrt(x * x + y * y);
  }
};

PROCPOOL_FUNCTION(double, length, point, p) {
  return p.length();
}

PROCPOOL_FUNCTION(point, middle, point, a, point, b) {
  return point{(a.x + b.x) / 2, (a.y + b.y) / 2};
}

} // namespace geometry

PROCPOOL_FUNCTION(int, checked, int, x) {
  if (x == 13)
    throw std::out_of_range("thirteen");
  if (x == 14)
    throw std::runtime_error("a message much longer than fits: " + std::string(400, 'z'));
  if (x == 15)
    throw 15;
  return x + 1;
}

PROCPOOL_FUNCTION(long, four, char, a, short, b, int, c, long, d) {
  return a + b + c + d;
}

PROCPOOL_TASK_FUNCTION(int, refusing, int, x) {
  if (x < 0)
    procpool_task_fail(task, x, "negative");
  return x;
}

TEST_STARTS(cpp_typed_calls, EVERY) {
  procpool *pool = test_open(start, 2);
  const geometry::point a = {3, 4}, b = {5, 8};
  double length = 0;
  geometry::point middle = {0, 0};
  long sum = 0;
  CHECK_OK(geometry::length_result(geometry::length_submit(pool, a), &length));
  CHECK(length == 5);
  CHECK_OK(geometry::middle_result(geometry::middle_submit(pool, a, b), &middle));
  CHECK(middle.x == 4 && middle.y == 6);
  CHECK_OK(four_result(four_submit(pool, 1, 2, 3, 4), &sum));
  CHECK_EQ(sum, 10);
  test_close(pool);
}

TEST_STARTS(cpp_map_over_a_vector, EVERY) {
  procpool *pool = test_open(start, 2);
  std::vector<geometry::point> in(500);
  std::vector<double> out(in.size());
  for (size_t i = 0; i < in.size(); i++)
    in[i] = geometry::point{double(i), 0};
  CHECK_OK(geometry::length_map(pool, in.data(), out.data(), in.size()));
  for (size_t i = 0; i < in.size(); i++)
    CHECK(out[i] == double(i));
  test_close(pool);
}

// An exception in the midst of a chunk that works in place: its item fails alone, before and behind are done.
TEST_STARTS(cpp_map_over_shared_buffers, EVERY) {
  enum { COUNT = 3000 };
  procpool *pool = test_open(start, 2);
  int *in = static_cast<int *>(procpool_shared_alloc(pool, COUNT * sizeof(int)));
  int *out = static_cast<int *>(procpool_shared_alloc(pool, COUNT * sizeof(int)));
  std::vector<procpool_status> statuses(COUNT);
  procpool_map_options options = {};
  CHECK(in != nullptr && out != nullptr);
  options.statuses = statuses.data();
  for (size_t chunksize : {size_t(0), size_t(7), size_t(COUNT)}) {
    options.chunksize = chunksize;
    for (int i = 0; i < COUNT; i++)
      in[i] = i % 100;
    CHECK_STATUS(checked_map_with(pool, in, out, COUNT, &options), PROCPOOL_FAILED);
    CHECK_EQ(options.failed_count, 3 * COUNT / 100);
    for (int i = 0; i < COUNT; i++) {
      const bool throws = i % 100 >= 13 && i % 100 <= 15;
      CHECK_STATUS(statuses[size_t(i)], throws ? PROCPOOL_FAILED : PROCPOOL_OK);
      CHECK(throws || out[i] == i % 100 + 1);
    }
  }
  CHECK_OK(procpool_shared_free(pool, in));
  CHECK_OK(procpool_shared_free(pool, out));
  test_close(pool);
}

TEST_STARTS(cpp_exception_is_failed_with_its_what, EVERY) {
  procpool *pool = test_open(start, 1);
  procpool_future *future = checked_submit(pool, 13);
  int out = 77;
  CHECK_SETTLES(future, PROCPOOL_FAILED);
  CHECK_TEXT(test_error(future).message, "thirteen");
  CHECK_STATUS(checked_result(future, &out), PROCPOOL_FAILED);
  CHECK_EQ(out, 77);
  CHECK_OK(checked_result(checked_submit(pool, 1), &out)); // the worker goes on
  CHECK_EQ(out, 2);
  CHECK_EQ(test_stats(pool).crashed, 0);
  test_close(pool);
}

TEST_STARTS(cpp_long_what_is_cut, EVERY) {
  procpool *pool = test_open(start, 1);
  procpool_future *future = checked_submit(pool, 14);
  CHECK_SETTLES(future, PROCPOOL_FAILED);
  CHECK_EQ(std::string(test_error(future).message).size(), 191);
  CHECK_OK(procpool_future_release(future));
  test_close(pool);
}

TEST_STARTS(cpp_foreign_exception_is_failed, EVERY) {
  procpool *pool = test_open(start, 1);
  procpool_future *future = checked_submit(pool, 15);
  CHECK_SETTLES(future, PROCPOOL_FAILED);
  CHECK(test_error(future).message[0] != '\0');
  CHECK_OK(procpool_future_release(future));
  test_close(pool);
}

TEST_STARTS(cpp_exceptions_in_a_map_by_position, EVERY) {
  procpool *pool = test_open(start, 2);
  for (size_t chunksize : {0, 1, 7, 40}) {
    std::vector<int> in(40), out(40, -1);
    std::vector<procpool_status> statuses(40);
    procpool_error error;
    procpool_map_options options{};
    for (int i = 0; i < 40; i++)
      in[size_t(i)] = i;
    options.chunksize = chunksize;
    options.statuses = statuses.data();
    options.error = &error;
    CHECK_STATUS(checked_map_with(pool, in.data(), out.data(), in.size(), &options), PROCPOOL_FAILED);
    CHECK_EQ(options.failed_item, 13);
    CHECK_EQ(options.failed_count, 3);
    CHECK_TEXT(error.message, "thirteen");
    for (int i = 0; i < 40; i++) {
      const bool bad = i >= 13 && i <= 15;
      CHECK_STATUS(statuses[size_t(i)], bad ? PROCPOOL_FAILED : PROCPOOL_OK);
      CHECK_EQ(out[size_t(i)], bad ? -1 : i + 1);
    }
  }
  test_close(pool);
}

TEST_STARTS(cpp_task_function_fails_by_hand, EVERY) {
  procpool *pool = test_open(start, 1);
  procpool_future *future = refusing_submit(pool, -4);
  int out = 0;
  CHECK_SETTLES(future, PROCPOOL_FAILED);
  CHECK_EQ(test_error(future).code, -4);
  CHECK_OK(procpool_future_release(future));
  CHECK_OK(refusing_result(refusing_submit(pool, 4), &out));
  CHECK_EQ(out, 4);
  test_close(pool);
}

// Declared for both languages, defined in a file that is C.
TEST_STARTS(cpp_typed_of_a_file_in_c, EVERY) {
  procpool *pool = test_open(start, 1);
  double y = 0;
  CHECK_OK(far_power_call(pool, 2, 10, &y));
  CHECK(y == 1024);
  CHECK_OK(far_nothing_call(pool, 1));
  CHECK_STATUS(far_refusal_call(pool, 1), PROCPOOL_FAILED);
  test_close(pool);
}

PROCPOOL_PROCEDURE(throwing, int, code) {
  if (code != 0)
    throw std::runtime_error("from a procedure");
}

PROCPOOL_STRING_FUNCTION(throwing_string, text) {
  if (text[0] == '!')
    throw std::runtime_error("from a string function");
  procpool_task_return_string(task, text);
}

TEST_STARTS(cpp_exceptions_of_procedures_and_strings, EVERY) {
  procpool *pool = test_open(start, 1);
  const int codes[3] = {0, 1, 0};
  procpool_map_options options = {};
  procpool_future *future = throwing_string_submit(pool, "!");
  CHECK_STATUS(throwing_call(pool, 1), PROCPOOL_FAILED);
  CHECK_OK(throwing_call(pool, 0));
  CHECK_STATUS(throwing_map_with(pool, codes, 3, &options), PROCPOOL_FAILED);
  CHECK_EQ(options.failed_item, 1);
  CHECK_EQ(options.failed_count, 1);
  CHECK_SETTLES(future, PROCPOOL_FAILED);
  CHECK_TEXT(test_error(future).message, "from a string function");
  CHECK_OK(procpool_future_release(future));
  test_close(pool);
}

TEST_STARTS(cpp_lambda_without_captures, EVERY) {
  procpool *pool = test_open(start, 1);
  const int in = 4;
  int out = 0;
  procpool_future *future = nullptr;
  CHECK_OK(procpool_submit(
      pool,
      [](procpool_task *task) {
        const int answer = *static_cast<const int *>(procpool_task_argument(task, nullptr)) * 100;
        procpool_task_return(task, &answer, sizeof(answer));
      },
      &in, sizeof(in), NULL, &future));
  CHECK_OK(procpool_future_result(future, PROCPOOL_FOREVER, &out, sizeof(out), nullptr));
  CHECK_EQ(out, 400);
  CHECK_OK(procpool_future_release(future));
  test_close(pool);
}

TEST_STARTS(cpp_imap, EVERY) {
  procpool *pool = test_open(start, 2);
  int next = 10, out = 0;
  procpool_iterator *iterator = nullptr;
  const procpool_generator generate = [](void *context, void *item) {
    int *from = static_cast<int *>(context);
    if (*from == 17)
      return 0;
    memcpy(item, from, sizeof(*from));
    ++*from;
    return 1;
  };
  CHECK_OK(checked_imap(pool, generate, &next, nullptr, &iterator));
  for (int i = 10; i < 17; i++) {
    const bool bad = i >= 13 && i <= 15;
    CHECK_STATUS(checked_next(iterator, &out), bad ? PROCPOOL_FAILED : PROCPOOL_OK);
    if (!bad)
      CHECK_EQ(out, i + 1);
  }
  CHECK_STATUS(checked_next(iterator, &out), PROCPOOL_END);
  procpool_iterator_free(iterator);
  test_close(pool);
}

static int leave_the_scope() {
  PROCPOOL_WITH(pool, nullptr) {
    int out = 0;
    CHECK_OK(checked_result(checked_submit(pool, 1), &out));
    return out;
  }
  return -1;
}

TEST(cpp_scope) {
  int rounds = 0;
  CHECK_EQ(leave_the_scope(), 2);
  try {
    PROCPOOL_WITH(pool, nullptr) {
      rounds++;
      throw std::runtime_error("out of the scope"); // the pool is shut down and freed on the way
    }
  } catch (const std::exception &) {
    rounds++;
  }
  CHECK_EQ(rounds, 2);
}

// A worker is a copy of the host, and of what the host's thread_local objects are to do at its end.
namespace {
struct counted {
  int used = 0;
  ~counted() {
    gate_add(&page->word[9], 1);
  }
};
thread_local counted of_the_host;
} // namespace

static void task_exit_cpp(procpool_task *task) {
  (void)job_begin(task);
  std::exit(3);
}

TEST(r143_exit_runs_no_thread_local_destructor) {
  const test_job job = job_of(0);
  of_the_host.used = 1;
  procpool *pool = test_open(PROCPOOL_START_FORK, 1);
  for (int i = 0; i < 2; i++) {
    procpool_future *future = test_submit(pool, task_exit_cpp, &job, sizeof(job));
    CHECK_SETTLES(future, PROCPOOL_CRASHED);
    CHECK_EQ(test_error(future).exit_status, 3);
    CHECK_OK(procpool_future_release(future));
  }
  test_close(pool);
  CHECK_EQ(page->word[9], 0);
}
