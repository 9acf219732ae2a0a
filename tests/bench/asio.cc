// Asio: post to a thread_pool with use_future.
#include "peer.h"

#include <asio/post.hpp>
#include <asio/thread_pool.hpp>
#include <asio/use_future.hpp>

namespace {

template <class Function> auto async(asio::thread_pool &pool, Function function) {
  return asio::post(pool, asio::use_future(function));
}

void round_trip(int workers, double *out) {
  asio::thread_pool pool{size_t(workers)};
  measure_round_trip([&] { async(pool, [] { return 1; }).get(); }, out);
}

void paused(int workers, double *out) {
  asio::thread_pool pool{size_t(workers)};
  measure_paused([&] { async(pool, [] { return 1; }).get(); }, out);
}

void throughput(int workers, double *out) {
  asio::thread_pool pool{size_t(workers)};
  out[0] = futures_a_second([&](auto function) { return async(pool, function); });
}

void waiting(int workers, double *out) {
  asio::thread_pool pool{size_t(workers)};
  measure_waiting([&] { async(pool, [] { return work_10us(1); }).get(); }, out);
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
