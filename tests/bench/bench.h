/* What the files of the benchmark share: tools, and one function per figure. A figure is measured in a forked process
 * of its own, with a fresh heap and no threads, and writes up to OUTPUTS values. figures.c holds the tables of them.
 * Peers that are not plain C are programs of their own, which run in that process. */
#ifndef BENCH_H
#define BENCH_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* g++ defines it itself */
#endif
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#ifdef __cplusplus
extern "C" {
#endif

enum {
  OUTPUTS = 4,
  WINDOW = 4096,        /* tasks in flight while they stream through, and the bound of every queue that has one */
  CHUNK = 256,          /* items per task of every map but that over memory */
  MEMORY_CHUNK = 65536, /* of that: half a MiB in, half a MiB out, worth handing out */
  MIB = 1024 * 1024
};

/* ---- tools.c ---- */
extern bool quick;    /* short runs: everything is exercised, no figure means anything */
extern size_t amount; /* bytes, items or threads of the figure that is measured, from its row in figures.c; else 0 */

/* count, or a small part of it when quick. */
size_t few(size_t count);
double now(void); /* seconds */
void pause_us(long us);
/* Prints and ends the process of this figure. */
void fail(const char *what, const char *why) __attribute__((noreturn));
/* Sorts the values. */
double percentile(double *values, size_t count, double percent);
double median(double *values, size_t count);

int processors(void);
/* Keeps the caller on the n-th processor that it may use. */
void pin(int n);
void *shared_pages(size_t size);
/* A forked child runs body(context) and ends; it dies with its parent. */
pid_t child(void (*body)(void *context), void *context);
void reap(pid_t pid);

/* One round trip, from handing over to having the result. */
typedef void (*trip)(void *context);
/* us of a trip: the median over batches of 100, so that reading the clock weighs nothing. */
double batched_us(trip one, void *context, size_t count);
/* Each trip timed by itself, pause us of sleep before each: us[0] and us[1] the median, us[2] p99, us[3] p99.9. */
void each_us(trip one, void *context, size_t count, long pause, double *us);
/* Fewer of what takes long: as many as move or compute `most` bytes or items by `each`, from 5 (3 of huge ones) to
 * limit; fewer when quick. */
size_t repeats(size_t most, size_t each, size_t limit);
/* us of a trip that moves or computes so many bytes or items: the median. */
double median_us(trip one, void *context, size_t each);
/* us of a trip with amount bytes there and back. */
double echo_us(trip one, void *context);
/* The same as GB/s: twice as many over the time of one trip. */
double echo_gbs(trip one, void *context);
/* amount bytes of a pattern; checks that the other holds the same, and wipes it. */
char *echo_bytes(void);
void echo_fill(char *bytes);
void echo_check(const char *sent, char *got);
/* So many threads at once, each of which calls one(context) again and again: out[0] calls a second of all, out[1] the
 * median in us, out[2] p99, out[3] p99.9. */
void waiting_threads(size_t threads, trip one, void *context, double *out);

/* A chain of dependent multiplications. The compiler does not see into it, so every peer runs the same code. */
double work(double x, size_t iterations);
extern size_t work_per_us; /* iterations that take 1 us here */
void calibrate(void);
/* Arguments of a map, its results wiped, and a check of them by the function. */
typedef struct map_data {
  double *arguments, *results;
  size_t count;
} map_data;
map_data map_open(size_t count);
map_data map_open_in(double *arguments, double *results, size_t count); /* in arrays of the caller's */
void map_check(map_data *map, double (*function)(double x));
void map_close(map_data *map);
/* A call: us of the median of several, after some to warm up. */
double map_us(map_data *map, void (*call)(void *context, map_data *map), void *context, double (*function)(double x));
/* Items a second: the median of three calls after one to warm up. */
double map_rate(map_data *map, void (*call)(void *context, map_data *map), void *context, double (*function)(double x));
double square_plus_one(double x);
double work_1us(double x);
/* 1 us of work; 1,000 for the SKEWED_LONG adjacent items of SKEWED that begin at skewed_first, which amount chooses: 0
 * at the first item, 1 in the middle, 2 so that they are the last. */
enum { SKEWED = 20000, SKEWED_LONG = 40, SKEWED_TIMES = 1000 };
size_t skewed_first(void);
double skewed_work(double x);
/* What two processors that are never idle would take, over us. */
double skewed_share(double us, int workers);
double work_10us(double x);
enum { SCALE = 3, OFFSET = 5 };
double scale_and_offset(double x);

/* ---- the figures: what is measured with so many workers ---- */
typedef void measure(int workers, double *out);

/* limits.c: what the machine does with nothing around it */
measure limit_bounce, limit_futex, limit_futex_paused, limit_echo, limit_echo_us, limit_fork_1, limit_fork_3,
    limit_two_processes, limit_copy, limit_loop_us, limit_loop, limit_state;
/* pool.c: procpool.h */
measure pool_hot, pool_asleep, pool_default, pool_no_spin, pool_no_spin_pinned, pool_throughput, pool_throughput_many,
    pool_map_compute, pool_map_small, pool_map_memory, pool_map_memory_by_doubles, pool_echo_pinned, pool_echo,
    pool_echo_us, pool_open, pool_open_spawn, pool_recovery, pool_idle, pool_bytes_per_queued, pool_two_workers,
    pool_cost_1e3, pool_cost_1e6;
void pool_door(void);
/* cliffs.c: where it fell behind once */
measure pool_limited, pool_one_processor, pool_paused, pool_paused_no_spin, pool_many_workers, pool_stream,
    pool_stream_many, pool_map, pool_map_us, pool_map_shared, pool_map_shared_us, pool_map_behind_loop, pool_skewed,
    pool_imap, pool_imap_unordered, pool_result, pool_waiting;
/* the peers */
measure pipes_round_trip, pipes_throughput, pipes_echo, pipes_one_processor, pipes_paused;
measure sockets_echo, sockets_echo_us, ring_echo, ring_echo_us;
measure threads_round_trip, threads_round_trip_pinned, threads_throughput, threads_waiting;
measure uv_round_trip, uv_throughput;
measure openmp_throughput, openmp_map_compute, openmp_map_small, openmp_map_memory, openmp_map, openmp_map_us,
    openmp_skewed;
measure ppe_round_trip, ppe_throughput, ppe_map, ppe_echo, ppe_open;
measure mp_round_trip, mp_throughput, mp_map, mp_echo, mp_open;
measure mpi_round_trip, mpi_throughput, mpi_map, mpi_echo;
/* programs.c: peers that are programs of their own */
measure tbb_round_trip, tbb_paused, tbb_throughput, tbb_map, tbb_map_us, tbb_skewed, tbb_waiting;
measure taskflow_round_trip, taskflow_paused, taskflow_throughput, taskflow_waiting;
measure asio_round_trip, asio_paused, asio_throughput, asio_waiting;
measure queue_round_trip, queue_round_trip_asleep, queue_throughput, queue_throughput_asleep;
measure zmq_echo, zmq_echo_us, interprocess_echo, interprocess_echo_us;

/* Why it cannot be measured here; null if it can. */
typedef const char *absence(void);
absence two_processors_absent, uv_absent, openmp_absent, ppe_absent, mp_absent, mpi_absent, tbb_absent, taskflow_absent,
    asio_absent, queue_absent, zmq_absent, interprocess_absent;

/* tools.c: main of a program that has the figures of one peer:  PROGRAM FIGURE WORKERS AMOUNT WORK_PER_US QUICK  prints
 * what it measured. The table ends with a null name. */
typedef struct offer {
  const char *name;
  measure *run;
} offer;
int offer_main(int argc, char **argv, const offer *offers);

/* Tasks that run for 1 ms on two processors: how many, and how long each. */
enum { LONG_TASKS = 400, LONG_US = 1000 };

#ifdef __cplusplus
}
#endif
#endif
