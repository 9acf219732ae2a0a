/* application: words are counted in worker processes, by the C++ part: texts go there as strings, tables come back, and
 * what a task throws, or dies of, is an exception here. Pool and futures give themselves back.
 *   c++ -O2 -pthread -o application examples/application.cc && ./application */
#define PROCPOOL_IMPLEMENTATION
#include "../procpool.h"
#include <cstdlib>
#include <iostream>
#include <map>
#include <sstream>
#include <stdexcept>
#include <string>
#include <vector>

typedef std::map<std::string, int> table;

static table count_words(const std::string &text) {
  table counts;
  std::istringstream words(text);
  for (std::string word; words >> word;)
    counts[word]++;
  if (counts.empty())
    throw std::invalid_argument("a text without words");
  if (counts.count("crash") > 0)
    std::abort(); /* a bug that only some texts meet */
  return counts;
}

/* The pool is a member like any other. */
class index_of_words {
public:
  void add(const std::vector<std::string> &texts) {
    try {
      for (const table &counts : pool_.map([](const std::string &text) { return count_words(text); }, texts))
        for (const auto &entry : counts)
          total_[entry.first] += entry.second;
      std::cout << texts.size() << " texts added, 'the' is there " << total_["the"] << " times\n";
    } catch (const procpools::error &error) {
      std::cout << "text " << error.item() << ": " << procpool_status_name(error.status()) << ", " << error.what()
                << "\n";
    }
  }
  procpools::future<std::string> longest() {
    return pool_.submit(
        [](const table &counts) {
          std::string longest;
          for (const auto &entry : counts)
            longest = entry.first.size() > longest.size() ? entry.first : longest;
          return longest;
        },
        total_);
  }

private:
  procpools::pool pool_;
  table total_;
};

int main() {
  try {
    index_of_words index;
    index.add({"the cat and the dog", "the mouse", "a hippopotamus"});
    index.add({"the end", " ", "the beginning"});
    index.add({"the end", "the crash", "the beginning"});
    std::cout << "the longest word: " << index.longest().get() << "\n";
  } catch (const procpools::error &error) {
    std::cerr << "application: " << error.what() << "\n";
    return 1;
  }
}
