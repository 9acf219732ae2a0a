// Threads on moodycamel's ConcurrentQueue, in two ways: all spin (on the queue, and on a flag per task), or all sleep
// (in the blocking form of the queue, and on a futex per task).
#include "peer.h"

#include <concurrentqueue/blockingconcurrentqueue.h>
#include <concurrentqueue/concurrentqueue.h>
#include <linux/futex.h>
#include <sys/syscall.h>
#include <thread>
#include <vector>

namespace {

struct spinning_pool {
  moodycamel::ConcurrentQueue<flagged_job *> queue;
  std::atomic<bool> stopping{false};
  std::vector<std::thread> threads;

  explicit spinning_pool(int workers) {
    for (int i = 0; i < workers; i++)
      threads.emplace_back([this] { serve(); });
  }

  ~spinning_pool() {
    stopping = true;
    for (std::thread &thread : threads)
      thread.join();
  }

  void serve() {
    flagged_job *job;
    while (!stopping.load(std::memory_order_relaxed)) {
      if (queue.try_dequeue(job))
        job->run();
      else
        relax();
    }
  }

  void submit(flagged_job *job, uint64_t argument) {
    job->argument = argument;
    job->done.store(0, std::memory_order_relaxed);
    queue.enqueue(job);
  }
};

struct futex_job {
  uint64_t argument, result;
  std::atomic<int> state; // 0: runs or will, 1: the same, and somebody sleeps, 2: done

  void call(int operation, int value) {
    syscall(SYS_futex, &state, operation | FUTEX_PRIVATE_FLAG, value, nullptr, nullptr, 0);
  }

  void run() {
    result = argument;
    if (state.exchange(2, std::memory_order_acq_rel) == 1)
      call(FUTEX_WAKE, 1);
  }

  uint64_t wait() {
    int expected = 0;
    state.compare_exchange_strong(expected, 1, std::memory_order_acquire);
    while (state.load(std::memory_order_acquire) != 2)
      call(FUTEX_WAIT, 1);
    return result;
  }
};

struct sleeping_pool {
  moodycamel::BlockingConcurrentQueue<futex_job *> queue;
  std::vector<std::thread> threads;

  explicit sleeping_pool(int workers) {
    for (int i = 0; i < workers; i++)
      threads.emplace_back([this] { serve(); });
  }

  ~sleeping_pool() {
    for (size_t i = 0; i < threads.size(); i++)
      queue.enqueue(nullptr);
    for (std::thread &thread : threads)
      thread.join();
  }

  void serve() {
    futex_job *job;
    for (queue.wait_dequeue(job); job != nullptr; queue.wait_dequeue(job))
      job->run();
  }

  void submit(futex_job *job, uint64_t argument) {
    job->argument = argument;
    job->state.store(0, std::memory_order_relaxed);
    queue.enqueue(job);
  }
};

template <class Pool, class Job> void measure_trip(int workers, double *out) {
  static Job job;
  Pool pool(workers);
  measure_round_trip(
      [&] {
        pool.submit(&job, 1);
        job.wait();
      },
      out);
}

template <class Pool, class Job> void measure_stream(int workers, double *out) {
  static Job jobs[WINDOW];
  Pool pool(workers);
  out[0] = tasks_a_second([&](uint64_t i) { pool.submit(&jobs[i % WINDOW], i); },
                          [&](uint64_t i) { return jobs[i % WINDOW].wait(); });
}

const offer offers[] = {{"round_trip", measure_trip<spinning_pool, flagged_job>},
                        {"round_trip_asleep", measure_trip<sleeping_pool, futex_job>},
                        {"throughput", measure_stream<spinning_pool, flagged_job>},
                        {"throughput_asleep", measure_stream<sleeping_pool, futex_job>},
                        {nullptr, nullptr}};

} // namespace

int main(int argc, char **argv) {
  return offer_main(argc, argv, offers);
}
