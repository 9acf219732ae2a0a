// Taskflow: Executor::async, whose results are std::future.
#include "peer.h"

#include <taskflow/taskflow.hpp>

namespace {

void round_trip(int workers, double *out) {
  tf::Executor executor{size_t(workers)};
  measure_round_trip([&] { executor.async([] { return 1; }).get(); }, out);
}

void paused(int workers, double *out) {
  tf::Executor executor{size_t(workers)};
  measure_paused([&] { executor.async([] { return 1; }).get(); }, out);
}

void throughput(int workers, double *out) {
  tf::Executor executor{size_t(workers)};
  out[0] = futures_a_second([&](auto function) { return executor.async(function); });
}

void waiting(int workers, double *out) {
  tf::Executor executor{size_t(workers)};
  measure_waiting([&] { executor.async([] { return work_10us(1); }).get(); }, out);
}

const offer offers[] = {{"round_trip", round_trip},
                        {"paused", paused},
                        {"throughput", throughput},
                        {"waiting", waiting},
                        {nullptr, nullptr}};

} // namespace

int main(int argc, char **argv) {
  return offer_main(argc, argv, offers);
}
