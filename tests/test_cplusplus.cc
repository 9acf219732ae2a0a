// The C++ part: pools and futures that give themselves back, lambdas as tasks, containers as arguments and results.
#include "harness.h"

#include <array>
#include <csignal>
#include <list>
#include <map>
#include <set>
#include <stdexcept>
#include <cstring>
#include <string>
#include <tuple>

#pragma GCC diagnostic ignored "-Wold-style-cast" // the harness is C
#ifndef __clang__
#pragma GCC diagnostic ignored "-Wuseless-cast"
#endif

using procpools::future;
using procpools::pool;

namespace {

procpool_options options_of(procpool_start start, int workers) {
  procpool_options options = procpool_options();
  options.start = start;
  options.max_workers = workers;
  return options;
}

struct scaled {
  int by;
  int operator()(int x) const {
    return x * by;
  }
};

class shape { // neither trivially copyable nor default constructible
public:
  shape(const std::string &name, int corners) : name_(name), corners_(corners) {
  }
  std::string name_;
  int corners_;
};

struct nothing {}; // its codec writes no byte
bool operator==(const nothing &, const nothing &) {
  return true;
}

struct row { // trivially copyable; its codec tells that it was asked
  int value;
};

typedef std::map<std::string, std::vector<std::list<int>>> nested;

// A call that must throw: what it threw.
template <class F> procpools::error thrown_by(const char *file, int line, F call) {
  try {
    call();
  } catch (const procpools::error &error) {
    return error;
  }
  harness_fail(file, line, "nothing was thrown");
}
#define THROWN_BY(call) thrown_by(__FILE__, __LINE__, [&] { call; })

} // namespace

template <> struct procpools::codec<shape> {
  static void write(writer &to, const shape &from) {
    to.put(from.name_);
    to.put(from.corners_);
  }
  static shape read(reader &from) {
    const std::string name = from.get<std::string>();
    const int corners = from.get<int>();
    if (corners < 0)
      from.fail();
    return shape(name, corners);
  }
};

template <> struct procpools::codec<nothing> {
  static void write(writer &, const nothing &) {
  }
  static nothing read(reader &) {
    return nothing();
  }
};

template <> struct procpools::codec<row> {
  static void write(writer &to, const row &from) {
    to.put(from.value + 1);
  }
  static row read(reader &from) {
    const row value = {from.get<int>() + 1};
    return value;
  }
};

namespace {

TEST_STARTS(cplusplus_lambdas_and_callables, EVERY) {
  pool pool(options_of(start, 2));
  CHECK(pool && pool.handle() != nullptr);
  CHECK_EQ(pool.submit([](double x) { return x * x; }, 5).get(), 25);
  CHECK_EQ(pool.submit([] { return 7; }).get(), 7);
  CHECK_EQ(pool.submit([](char a, short b, long c) { return a + b + c; }, '\1', short(2), 3L).get(), 6);
  CHECK_EQ(pool.submit(scaled{6}, 7).get(), 42);
  int captured = 30;
  double other = 0.5;
  CHECK(pool.submit([captured, other](int x) { return captured + x + other; }, 1).get() == 31.5);
  CHECK(pool.submit([captured]() mutable { return captured == 30; }).get());
  future<void> none = pool.submit([](int) {}, 1);
  none.get();
  CHECK_OK(none.result());
  CHECK(none.done());
}

template <class T> bool comes_back(pool &pool, const T &value) {
  return pool.submit([](const T &there) { return there; }, value).get() == value;
}

TEST_STARTS(cplusplus_containers_there_and_back, EVERY) {
  pool pool(options_of(start, 2));
  const std::string text("a\0b", 3);
  CHECK(comes_back(pool, text));
  CHECK(comes_back(pool, std::string()));
  CHECK(comes_back(pool, std::u16string(u"wide")));
  CHECK(comes_back(pool, std::vector<int>{1, 2, 3}));
  CHECK(comes_back(pool, std::vector<int>()));
  CHECK(comes_back(pool, std::vector<bool>{true, false, true, true}));
  CHECK(comes_back(pool, std::vector<std::string>{"", "one", text}));
  CHECK(comes_back(pool, std::set<std::string>{"b", "a"}));
  CHECK(comes_back(pool, std::list<std::vector<std::string>>{{}, {"x"}}));
  CHECK(comes_back(pool, nested{{"a", {{1, 2}, {}}}, {"b", {}}}));
  CHECK(comes_back(pool, std::make_pair(text, 4)));
  CHECK(comes_back(pool, std::make_tuple(1, text, std::vector<double>{0.5})));
  CHECK(comes_back(pool, std::tuple<>()));
  CHECK(comes_back(pool, std::array<int, 3>{{1, 2, 3}}));
  CHECK(comes_back(pool, std::array<std::string, 2>{{"q", "r"}}));
  CHECK(comes_back(pool, std::vector<nothing>(5)));
  const std::string joined =
      pool.submit([](std::string a, const std::vector<std::string> &b, char c) { return a.append(b[1]) + c; }, text,
                  std::vector<std::string>{"", "d"}, 'e')
          .get();
  CHECK(joined == text + "de");
}

TEST_STARTS(cplusplus_large_vectors, EVERY) {
  pool pool(options_of(start, 2));
  std::vector<float> in(2000000);
  for (size_t i = 0; i < in.size(); i++)
    in[i] = float(i % 1000);
  auto twice = pool.submit(
      [](std::vector<float> pixels) {
        for (float &pixel : pixels)
          pixel *= 2;
        return pixels;
      },
      in);
  const std::vector<float> out = twice.get();
  CHECK_EQ(out.size(), in.size());
  for (size_t i = 0; i < in.size(); i++)
    CHECK(out[i] == 2 * in[i]);
}

TEST_STARTS(cplusplus_codecs_of_users, EVERY) {
  pool pool(options_of(start, 2));
  const shape out =
      pool.submit([](const shape &s) { return shape(s.name_ + "!", s.corners_ + 1); }, shape("square", 4)).get();
  CHECK(out.name_ == "square!");
  CHECK_EQ(out.corners_, 5);
  const std::vector<shape> all = pool.map([](int i) { return shape("s", i); }, std::vector<int>{3, 4});
  CHECK_EQ(all[1].corners_, 4);
  CHECK_EQ(pool.submit([](row r) { return r; }, row{1}).get().value, 5); // twice there and twice back
  CHECK_EQ(pool.map([](row r) { return r; }, std::vector<row>(3, row{1}))[2].value, 5);
  const procpools::error error = THROWN_BY(pool.submit([] { return shape("none", -1); }).get());
  CHECK_STATUS(error.status(), PROCPOOL_TRANSFER);
  CHECK_STATUS(THROWN_BY(pool.submit([](shape) {}, shape("none", -1)).get()).status(), PROCPOOL_FAILED);
}

TEST_STARTS(cplusplus_exceptions_come_back, EVERY) {
  pool pool(options_of(start, 1));
  future<int> failing = pool.submit(
      [](int x) {
        if (x == 13)
          throw std::out_of_range("thirteen");
        return x;
      },
      13);
  for (int i = 0; i < 2; i++) {
    const procpools::error error = THROWN_BY(failing.get());
    CHECK_STATUS(error.status(), PROCPOOL_FAILED);
    CHECK_TEXT(error.what(), "thirteen");
    CHECK_STATUS(error.details().status, PROCPOOL_FAILED);
  }
  int out = 77;
  CHECK_STATUS(failing.result(out), PROCPOOL_FAILED);
  CHECK_EQ(out, 77);
  CHECK_STATUS(failing.status(), PROCPOOL_FAILED);
  CHECK_EQ(pool.submit(scaled{2}, 4).get(), 8); // the worker goes on
}

// Of any length; also copied, as what is thrown may be.
TEST_STARTS(cplusplus_what_has_the_whole_message, EVERY) {
  pool pool(options_of(start, 1));
  const std::string whole(5000, 'm');
  const auto fails = [](const std::string &text) -> int { throw std::runtime_error(text); };
  const procpools::error error = THROWN_BY(pool.submit(fails, whole).get());
  const procpools::error copy(error);
  CHECK_TEXT(copy.what(), whole.c_str());
  CHECK_EQ(std::strlen(error.details().message), sizeof(error.details().message) - 1);
  CHECK_TEXT(THROWN_BY(pool.map(fails, std::vector<std::string>(2, whole))).what(), whole.c_str());
  CHECK_TEXT(procpools::error(PROCPOOL_FAILED, whole.c_str()).what(), whole.c_str());
  CHECK_TEXT(procpools::error(PROCPOOL_FAILED).what(), procpool_strerror(PROCPOOL_FAILED));
  CHECK_TEXT(procpools::error(PROCPOOL_FAILED, "").what(), procpool_strerror(PROCPOOL_FAILED));
}

TEST_STARTS(cplusplus_items_know_their_index, EVERY) {
  pool pool(options_of(start, 2));
  const std::vector<size_t> at_once = pool.map([](int) { return procpool_task_index(); }, std::vector<int>(100));
  const std::vector<std::string> one_by_one =
      pool.map([](int) { return std::to_string(procpool_task_index()); }, std::vector<int>(100));
  for (size_t i = 0; i < 100; i++) {
    CHECK_EQ(at_once[i], i);
    CHECK_TEXT(one_by_one[i].c_str(), std::to_string(i).c_str());
  }
  CHECK_EQ(pool.submit([] { return procpool_task_index(); }).get(), 0);
}

TEST_STARTS(cplusplus_a_crash_is_thrown, PROCESSES) {
  pool pool(options_of(start, 2));
  const auto die = [](int signal) {
    (void)raise(signal);
    return std::string("alive");
  };
  const procpools::error error = THROWN_BY(pool.submit(die, SIGKILL).get());
  CHECK_STATUS(error.status(), PROCPOOL_CRASHED);
  CHECK_EQ(error.details().signal, SIGKILL);
  CHECK(error.details().pid > 0);
  CHECK(error.what()[0] != '\0');
  CHECK(pool.submit(die, 0).get() == "alive");
}

TEST_STARTS(cplusplus_futures_move_and_are_given_back, EVERY) {
  future<std::string> kept;
  CHECK(!kept && kept.done()); // nothing is to come
  CHECK_STATUS(kept.wait(), PROCPOOL_HANDLE);
  CHECK_STATUS(kept.cancel(), PROCPOOL_HANDLE);
  CHECK_STATUS(THROWN_BY(kept.get()).status(), PROCPOOL_HANDLE);
  {
    pool pool(options_of(start, 2));
    future<std::string> first = pool.submit([] { return std::string("first"); });
    kept = std::move(first);
    CHECK_STATUS(first.status(), PROCPOOL_HANDLE);
    CHECK_OK(kept.wait());
    CHECK_OK(kept.status());
    kept = pool.submit([] { return std::string("second"); });
    future<std::string> third(std::move(kept));
    CHECK(!kept && third);
    kept = std::move(third);
    for (int i = 0; i < 100; i++)
      (void)pool.submit(scaled{2}, i); // dropped
    pool.submit([] {}).get();
  }
  CHECK(kept.get() == "second"); // readable after the pool
}

TEST_STARTS(cplusplus_waits_and_cancels, CONCURRENT) {
  const test_job job = job_with(0, 0);
  pool pool(options_of(start, 1));
  future<int> blocked(test_submit(pool.handle(), task_block, &job, sizeof(job))); // a handle of the C part
  gate_wait(&page->started, 1);
  future<int> queued = pool.submit(scaled{3}, 3);
  CHECK_STATUS(queued.wait(0.01), PROCPOOL_PENDING);
  CHECK_STATUS(queued.status(), PROCPOOL_PENDING);
  CHECK_STATUS(queued.cancel(), PROCPOOL_CANCELLED);
  CHECK_STATUS(THROWN_BY(queued.get()).status(), PROCPOOL_CANCELLED);
  CHECK_STATUS(blocked.cancel(), PROCPOOL_PENDING);
  gate_add(&page->gate, 1);
  CHECK_EQ(blocked.get(), 0);
}

TEST_STARTS(cplusplus_time_limit_of_one_task, PROCESSES) {
  pool pool(options_of(start, 1));
  procpool_submit_options options = procpool_submit_options();
  options.time_limit = 0.05;
  future<int> slow = pool.submit_with(
      options,
      [](unsigned seconds) {
        sleep(seconds);
        return 1;
      },
      100u);
  CHECK_STATUS(THROWN_BY(slow.get()).status(), PROCPOOL_TIMEOUT);
}

TEST_STARTS(cplusplus_maps, EVERY) {
  pool pool(options_of(start, 2));
  std::vector<int> in(5000);
  for (size_t i = 0; i < in.size(); i++)
    in[i] = int(i);
  const std::vector<int> scaled_by = pool.map(scaled{3}, in);
  const std::vector<double> halves = pool.map([](int x) { return x / 2.0; }, in);
  const std::vector<bool> odd = pool.map([](int x) { return x % 2 != 0; }, in);
  const std::vector<std::string> texts = pool.map([](int x) { return std::to_string(x); }, in);
  const std::vector<size_t> sizes = pool.map([](const std::string &text) { return text.size(); }, texts);
  const std::vector<int> not_odd = pool.map([](bool x) { return int(!x); }, odd);
  const std::vector<int> listed = pool.map([](int x) { return -x; }, std::list<int>(in.begin(), in.end()));
  CHECK_EQ(scaled_by.size(), in.size());
  for (size_t i = 0; i < in.size(); i++) {
    CHECK_EQ(scaled_by[i], 3 * in[i]);
    CHECK(halves[i] == in[i] / 2.0);
    CHECK_EQ(odd[i], i % 2);
    CHECK(texts[i] == std::to_string(i));
    CHECK_EQ(sizes[i], texts[i].size());
    CHECK_EQ(not_odd[i], 1 - i % 2);
    CHECK_EQ(listed[i], -in[i]);
  }
  CHECK(pool.map(scaled{3}, std::vector<int>()).empty());
  CHECK(pool.map([](const std::string &text) { return text; }, std::vector<std::string>()).empty());
  CHECK_EQ(pool.map([](const std::pair<const std::string, int> &entry) { return entry.second; },
                    std::map<std::string, int>{{"a", 1}, {"b", 2}})[1],
           2);
}

int fails_at_30(int x) {
  if (x >= 30)
    throw std::runtime_error("item " + std::to_string(x));
  return x;
}

TEST_STARTS(cplusplus_a_map_says_which_item_failed, EVERY) {
  pool pool(options_of(start, 2));
  std::vector<int> in(40);
  for (size_t i = 0; i < in.size(); i++)
    in[i] = int(i);
  const procpools::error at_once = THROWN_BY(pool.map([](int x) { return fails_at_30(x); }, in));
  CHECK_EQ(at_once.item(), 30);
  CHECK_EQ(at_once.details().index, 30);
  CHECK_STATUS(at_once.status(), PROCPOOL_FAILED);
  CHECK_TEXT(at_once.what(), "item 30");
  const procpools::error one_by_one = THROWN_BY(pool.map([](int x) { return std::to_string(fails_at_30(x)); }, in));
  CHECK_EQ(one_by_one.item(), 30);
  CHECK_EQ(one_by_one.details().index, 30);
  CHECK_STATUS(one_by_one.status(), PROCPOOL_FAILED);
  CHECK_TEXT(one_by_one.what(), "item 30");
  const auto impossible = [](int x) { return shape("s", x == 5 ? -1 : x); };
  const procpools::error unreadable = THROWN_BY(pool.map(impossible, in));
  CHECK_EQ(unreadable.item(), 5);
  CHECK_EQ(unreadable.details().index, 5);
  CHECK_STATUS(unreadable.status(), PROCPOOL_TRANSFER);
  const auto fails = [](int x) { return fails_at_30(x); };
  const auto as_text = [](int x) { return std::to_string(x); };
  std::vector<int> out(2, 77);
  std::vector<std::string> texts;
  procpools::error why(PROCPOOL_BROKEN); // of an earlier call
  CHECK_STATUS(pool.map_into(out, fails, in, &why), PROCPOOL_FAILED);
  CHECK_EQ(out.size(), 2);
  CHECK_STATUS(why.status(), PROCPOOL_FAILED);
  CHECK_OK(pool.map_into(texts, as_text, in, &why));
  CHECK_EQ(texts.size(), in.size());
  CHECK_STATUS(why.status(), PROCPOOL_OK);
}

TEST_STARTS(cplusplus_pools_move_and_close, EVERY) {
  pool first(options_of(start, 2));
  pool second(std::move(first));
  CHECK(!first && second);
  first = std::move(second);
  CHECK(first && !second);
  future<int> queued = first.submit(scaled{2}, 21);
  CHECK_OK(first.close());
  CHECK(!first);
  CHECK_EQ(queued.get(), 42);
  CHECK_OK(first.close()); /* there is none: fine */
  CHECK_STATUS(THROWN_BY(first.submit(scaled{2}, 1)).status(), PROCPOOL_HANDLE);
  CHECK_STATUS(THROWN_BY(first.map(scaled{2}, std::vector<int>(3))).status(), PROCPOOL_HANDLE);
  CHECK_STATUS(THROWN_BY(first.map([](int) { return std::string(); }, std::vector<int>(3))).status(), PROCPOOL_HANDLE);
}

TEST_STARTS(cplusplus_refusals_are_thrown, EVERY) {
  procpool_error reason = procpool_error();
  procpool_options options = options_of(start, -1);
  options.error = &reason;
  const procpools::error error = THROWN_BY(pool{options});
  CHECK_STATUS(error.status(), PROCPOOL_ARGUMENT);
  CHECK_TEXT(error.what(), reason.message);
  pool pool(options_of(start, 1));
  CHECK_OK(procpool_shutdown(pool.handle(), PROCPOOL_DRAIN, PROCPOOL_FOREVER));
  CHECK_STATUS(THROWN_BY(pool.submit(scaled{2}, 1)).status(), PROCPOOL_SHUTDOWN);
  CHECK_STATUS(THROWN_BY(pool.map(scaled{2}, std::vector<int>(3))).status(), PROCPOOL_SHUTDOWN);
}

TEST_STARTS(cplusplus_a_pool_drains_at_the_end_of_its_scope, EVERY) {
  std::vector<future<int>> futures;
  {
    pool pool(options_of(start, 2));
    for (int i = 0; i < 200; i++)
      futures.push_back(pool.submit(scaled{2}, i));
  }
  for (int i = 0; i < 200; i++)
    CHECK_EQ(futures[size_t(i)].get(), 2 * i);
}

// Results whose bytes are not those of the type: too few, too many, counts that are larger than all memory.
template <class T> void check_refused(pool &pool, const procpools::writer &bytes) {
  future<T> result(test_submit(pool.handle(), task_echo, bytes.data(), bytes.size()));
  T value = T();
  CHECK_STATUS(THROWN_BY(result.get()).status(), PROCPOOL_TRANSFER);
  CHECK_STATUS(result.result(value), PROCPOOL_TRANSFER);
  CHECK(value == T());
}

TEST_STARTS(cplusplus_bytes_of_a_hostile_worker, EVERY) {
  pool pool(options_of(start, 1));
  const size_t counts[] = {5, size_t(1) << 20, SIZE_MAX / 4 + 1, SIZE_MAX / 8, SIZE_MAX};
  for (size_t count : counts) {
    procpools::writer bytes;
    bytes.put(count);
    bytes.put(1);
    check_refused<std::vector<int>>(pool, bytes);
    check_refused<std::vector<long long>>(pool, bytes);
    check_refused<std::vector<std::string>>(pool, bytes);
    check_refused<std::vector<nothing>>(pool, bytes);
    check_refused<std::map<std::string, int>>(pool, bytes);
    bytes.put(count);
    check_refused<nested>(pool, bytes);
    check_refused<std::tuple<std::string, int>>(pool, bytes);
  }
  const procpools::writer none;
  check_refused<std::string>(pool, none);
  check_refused<int>(pool, none);
  procpools::writer neither;
  neither.put('\2');
  CHECK_EQ(int(future<bool>(test_submit(pool.handle(), task_echo, neither.data(), 1)).get()), 1);
  check_refused<std::vector<bool>>(pool, neither);
  procpools::writer more;
  more.put(1L);
  more.put('x');
  check_refused<long>(pool, more);
}

TEST(cplusplus_a_reader_survives_any_bytes) {
  unsigned seed = 1;
  for (int i = 0; i < test_rounds(20000); i++) {
    unsigned char bytes[64];
    for (unsigned char &byte : bytes) {
      seed = seed * 1103515245u + 12345u;
      byte = static_cast<unsigned char>(seed >> 16 & (seed >> 28 > 3 ? 3 : 0)); // mostly small counts
    }
    procpools::reader from(bytes, size_t(i % 65));
    (void)from.get<std::tuple<nested, std::vector<bool>, std::set<std::string>>>();
    CHECK(from.left() <= sizeof(bytes));
  }
  procpools::reader from("abc", 3);
  char into[4] = "xyz";
  CHECK(!from.get_bytes(into, 4));
  CHECK(from.failed() && from.left() == 0 && into[0] == '\0');
  CHECK(!from.get_bytes(into, 0));
}

} // namespace
