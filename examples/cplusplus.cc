/* cplusplus: a picture is blurred, row by row, in worker processes; a row that crashes its worker is an exception here.
 *   c++ -O2 -pthread -o cplusplus examples/cplusplus.cc && ./cplusplus */
#define PROCPOOL_IMPLEMENTATION
#include "../procpool.h"
#include <cstdio>
#include <stdexcept>
#include <string>
#include <vector>

typedef std::vector<float> row;

/* A worker's memory is its own: nothing of this runs in the process that called map. */
static row blur(const row &pixels) {
  if (pixels.empty())
    throw std::invalid_argument("a row without pixels");
  if (pixels[0] < 0)
    __builtin_trap(); /* a bug that only some pictures meet */
  row blurred(pixels.size());
  for (size_t x = 0; x < pixels.size(); x++) {
    const float left = pixels[x > 0 ? x - 1 : x], right = pixels[x + 1 < pixels.size() ? x + 1 : x];
    blurred[x] = (left + 2 * pixels[x] + right) / 4;
  }
  return blurred;
}

static void try_to_blur(procpools::pool &pool, const char *name, const std::vector<row> &picture) {
  try {
    const std::vector<row> blurred = pool.map([](const row &pixels) { return blur(pixels); }, picture);
    std::printf("%s: %zu rows, in the middle %g %g %g\n", name, blurred.size(), double(blurred[240][318]),
                double(blurred[240][319]), double(blurred[240][320]));
  } catch (const procpools::error &error) {
    std::printf("%s: row %zu is %s: %s\n", name, error.item(), procpool_status_name(error.status()), error.what());
  }
}

int main() {
  try {
    procpools::pool pool;
    std::vector<row> picture(480, row(640, 0.0f));
    for (row &pixels : picture)
      pixels[320] = 1; /* a white line */
    try_to_blur(pool, "a good picture", picture);
    picture[7].clear();
    try_to_blur(pool, "an odd picture", picture);
    picture[3][0] = -1;
    try_to_blur(pool, "a bad picture", picture);

    procpools::future<std::string> last =
        pool.submit([](const std::string &text, int times) { return text + " " + std::to_string(times) + " times"; },
                    std::string("the pool goes on,"), 3);
    std::printf("%s\n", last.get().c_str());
  } catch (const procpools::error &error) {
    std::fprintf(stderr, "cplusplus: %s\n", error.what());
    return 1;
  }
  return 0;
}
