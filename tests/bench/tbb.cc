// oneTBB. Tasks are enqueued into an arena that the caller is not in; their results are awaited by a flag that the
// waiter spins on, which is the fastest way, or (threads that wait) by a std::future. Maps: parallel_for, the caller
// takes part.
#include "peer.h"

#include <memory>
#include <oneapi/tbb/blocked_range.h>
#include <oneapi/tbb/global_control.h>
#include <oneapi/tbb/parallel_for.h>
#include <oneapi/tbb/task_arena.h>

namespace {

using oneapi::tbb::global_control;
using oneapi::tbb::task_arena;

struct pool {
  global_control control;
  task_arena arena;

  explicit pool(int workers)
      : control(global_control::max_allowed_parallelism, size_t(workers) + 1), arena(workers, 0) {
    arena.initialize();
  }

  void submit(flagged_job *job, uint64_t argument) {
    job->argument = argument;
    job->done.store(0, std::memory_order_relaxed);
    arena.enqueue([job] { job->run(); });
  }
};

struct flag_trip {
  pool *p;
  flagged_job job;

  explicit flag_trip(pool *pool) : p(pool), job() {
  }

  flag_trip(const flag_trip &other) : p(other.p), job() {
  }

  void operator()() {
    p->submit(&job, 1);
    job.wait();
  }
};

void round_trip(int workers, double *out) {
  pool p(workers);
  measure_round_trip(flag_trip(&p), out);
}

void paused(int workers, double *out) {
  pool p(workers);
  measure_paused(flag_trip(&p), out);
}

void throughput(int workers, double *out) {
  static flagged_job jobs[WINDOW];
  pool p(workers);
  out[0] = tasks_a_second([&](uint64_t i) { p.submit(&jobs[i % WINDOW], i); },
                          [&](uint64_t i) { return jobs[i % WINDOW].wait(); });
}

void waiting(int workers, double *out) {
  pool p(workers);
  measure_waiting(
      [&] {
        auto promise = std::make_shared<std::promise<double>>();
        auto result = promise->get_future();
        p.arena.enqueue([promise] { promise->set_value(work_10us(1)); });
        result.get();
      },
      out);
}

using range = oneapi::tbb::blocked_range<size_t>;

struct team {
  global_control control;
  task_arena arena; // the caller is one of the workers

  explicit team(int workers) : control(global_control::max_allowed_parallelism, size_t(workers)), arena(workers, 1) {
  }
};

void call_square(void *context, map_data *map) {
  const double *arguments = map->arguments;
  double *results = map->results;
  static_cast<team *>(context)->arena.execute([=] {
    oneapi::tbb::parallel_for(range(0, map->count), [=](const range &r) {
      for (size_t i = r.begin(); i < r.end(); i++)
        results[i] = arguments[i] * arguments[i] + 1.0;
    });
  });
}

void call_skewed(void *context, map_data *map) {
  static_cast<team *>(context)->arena.execute([=] {
    oneapi::tbb::parallel_for(
        range(0, map->count, 1),
        [=](const range &r) {
          for (size_t i = r.begin(); i < r.end(); i++)
            map->results[i] = skewed_work(map->arguments[i]);
        },
        oneapi::tbb::simple_partitioner());
  });
}

void map_us_of_square(int workers, double *out) {
  team t(workers);
  map_data map = map_open(amount);
  out[0] = map_us(&map, call_square, &t, square_plus_one);
  map_close(&map);
}

void skewed(int workers, double *out) {
  team t(workers);
  map_data map = map_open(SKEWED);
  out[0] = skewed_share(SKEWED * 1e6 / map_rate(&map, call_skewed, &t, skewed_work), workers);
  map_close(&map);
}

const offer offers[] = {{"round_trip", round_trip}, {"paused", paused}, {"throughput", throughput},
                        {"waiting", waiting},       {"skewed", skewed}, {"map_us", map_us_of_square},
                        {nullptr, nullptr}};

} // namespace

int main(int argc, char **argv) {
  return offer_main(argc, argv, offers);
}
