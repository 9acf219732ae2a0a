// What the peers in C++ share: a window of tasks, each with an argument and a result, that stream through or go one by
// one.
#ifndef BENCH_PEER_H
#define BENCH_PEER_H

#include "bench.h"

#include <atomic>
#include <future>

inline void relax() {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#endif
}

// A task whose waiter spins.
struct flagged_job {
  uint64_t argument, result;
  std::atomic<int> done;

  void run() {
    result = argument;
    done.store(1, std::memory_order_release);
  }

  uint64_t wait() {
    while (!done.load(std::memory_order_acquire))
      relax();
    return result;
  }
};

// Tasks a second: submit(i) hands one over, as number i % WINDOW of those in flight; collect(i) gives its result.
template <class Submit, class Collect> double stream_once(size_t count, Submit submit, Collect collect) {
  const double start = now();
  for (uint64_t i = 0; i < count + WINDOW; i++) {
    if (i >= WINDOW && collect(i - WINDOW) != i - WINDOW)
      fail("stream", "wrong result");
    if (i < count)
      submit(i);
  }
  return double(count) / (now() - start);
}

template <class Submit, class Collect> double tasks_a_second(Submit submit, Collect collect) {
  stream_once(4 * WINDOW, submit, collect);
  return stream_once(few(500000), submit, collect);
}

// The same of a pool whose async(function) gives a future.
template <class Async> double futures_a_second(Async async) {
  static std::future<uint64_t> futures[WINDOW];
  return tasks_a_second([&](uint64_t i) { futures[i % WINDOW] = async([i] { return i; }); },
                        [&](uint64_t i) { return futures[i % WINDOW].get(); });
}

// As trips: context is a callable without arguments.
template <class Call> void call_trip(void *context) {
  (*static_cast<Call *>(context))();
}

template <class Call> void measure_round_trip(Call call, double *out) {
  out[0] = batched_us(call_trip<Call>, &call, few(20000));
}

template <class Call> void measure_paused(Call call, double *out) {
  each_us(call_trip<Call>, &call, few(500), long(amount), out);
}

template <class Call> void measure_waiting(Call call, double *out) {
  waiting_threads(amount, call_trip<Call>, &call, out);
}

#endif
