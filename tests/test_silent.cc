// The C++ part in a file without exceptions (and without run-time type information): outcomes are statuses.
#include "harness.h"

#include <string>

#pragma GCC diagnostic ignored "-Wold-style-cast" // the harness is C
#ifndef __clang__
#pragma GCC diagnostic ignored "-Wuseless-cast"
#endif

namespace {

TEST_STARTS(cplusplus_without_exceptions, EVERY) {
  procpool_options options = procpool_options();
  options.start = start;
  options.max_workers = -1;
  procpools::pool refused(options);
  CHECK(!refused);
  CHECK_STATUS(refused.error().status, PROCPOOL_ARGUMENT);
  options.max_workers = 2;
  procpools::pool pool(options);
  CHECK(pool);
  CHECK_STATUS(pool.error().status, PROCPOOL_OK);

  std::string text;
  auto future = pool.submit([](const std::string &x) { return x + "!"; }, std::string("text"));
  CHECK_OK(future.result(text));
  CHECK(text == "text!");

  std::vector<int> numbers;
  std::vector<std::string> texts;
  CHECK_OK(pool.map_into(
      numbers, [](int x) { return x * 2; }, std::vector<int>{1, 2, 3}));
  CHECK_EQ(numbers[2], 6);
  CHECK_OK(pool.map_into(
      texts, [](int x) { return std::to_string(x); }, numbers));
  CHECK(texts[2] == "6");

  CHECK_OK(pool.close());
  auto late = pool.submit([](int x) { return x; }, 1);
  procpools::error why;
  CHECK(!late);
  CHECK_STATUS(late.status(), PROCPOOL_HANDLE);
  CHECK_STATUS(late.result(numbers[0]), PROCPOOL_HANDLE);
  CHECK_STATUS(pool.map_into(
                   numbers, [](int x) { return x; }, std::vector<int>{1}, &why),
               PROCPOOL_HANDLE);
  CHECK_STATUS(why.status(), PROCPOOL_HANDLE);
  CHECK(why.what()[0] != '\0');
}

} // namespace
