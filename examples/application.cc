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
  for (std::string word; words >> word; counts[word]++)
    if (word == "crash")
      std::abort(); /* a bug that only some texts meet */
  if (counts.empty())
    throw std::invalid_argument("a text without words");
  return counts;
}

class index_of_words {
  procpools::pool pool_; /* a member like any other */
  table total_;

public:
  void add(const std::vector<std::string> &texts) {
    try {
      for (const table &counts : pool_.map([](const std::string &text) { return count_words(text); }, texts))
        for (const auto &entry : counts)
          total_[entry.first] += entry.second;
      std::cout << texts.size() << " texts added, 'the' is there " << total_["the"] << " times\n";
    } catch (const procpools::error &error) {
      std::cout << "text " << error.item() << ": " << error.what() << "\n";
    }
  }
  procpools::future<std::string> last() {
    return pool_.submit([](const table &counts) { return counts.rbegin()->first; }, total_);
  }
};

int main() {
  try {
    index_of_words index;
    index.add({"the cat and the dog", "the mouse", "a hippopotamus"});
    index.add({"the end", " ", "the beginning"});
    index.add({"the end", "the crash", "the beginning"});
    std::cout << "last in the alphabet: " << index.last().get() << "\n";
    return 0;
  } catch (const procpools::error &error) {
    std::cerr << "application: " << error.what() << "\n";
    return 1;
  }
}
