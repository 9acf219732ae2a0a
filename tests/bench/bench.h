/* What the files of the benchmark share: tools, and one function per figure. A figure is measured in a forked process of
 * its own, with a fresh heap and no threads, and writes up to OUTPUTS values. runner.c holds the tables of them. */
#ifndef BENCH_H
#define BENCH_H

#define _GNU_SOURCE
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
  OUTPUTS = 4,
  WINDOW = 4096,        /* tasks in flight while they stream through, and the bound of every queue that has one */
  CHUNK = 256,          /* items per task of every map but that over memory */
  MEMORY_CHUNK = 65536, /* of that: half a MiB in, half a MiB out, worth handing out */
  MIB = 1024 * 1024
};

/* ---- tools.c ---- */
extern bool quick; /* short runs: everything is exercised, no figure means anything */

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
/* Bytes there and back, as GB/s: 2 MiB over the time of one trip. */
double echo_gbs(trip one, void *context);
/* Fills a MiB with a pattern; checks that the other holds the same and wipes it. */
void echo_fill(char *bytes);
void echo_check(const char *sent, char *got);

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
/* Items a second: the median of three calls after one to warm up. */
double map_rate(map_data *map, void (*call)(void *context, map_data *map), void *context, double (*function)(double x));
double square_plus_one(double x);
double work_1us(double x);
enum { SCALE = 3, OFFSET = 5 };
double scale_and_offset(double x);

/* ---- the figures: what is measured with so many workers ---- */
typedef void measure(int workers, double *out);

/* limits.c: what the machine does with nothing around it */
measure limit_bounce, limit_futex, limit_echo, limit_fork_1, limit_fork_3, limit_two_processes;
/* pool.c: procpool.h */
measure pool_hot, pool_asleep, pool_default, pool_no_spin, pool_no_spin_pinned, pool_throughput, pool_throughput_many,
    pool_map_compute, pool_map_small, pool_map_memory, pool_map_memory_by_doubles, pool_echo_pinned, pool_echo,
    pool_open, pool_open_spawn, pool_recovery, pool_idle, pool_bytes_per_queued, pool_two_workers, pool_cost_1e3,
    pool_cost_1e6;
void pool_door(void);
/* the peers */
measure pipes_round_trip, pipes_throughput, pipes_echo;
measure threads_round_trip, threads_round_trip_pinned, threads_throughput;
measure uv_round_trip, uv_throughput;
measure openmp_throughput, openmp_map_compute, openmp_map_small, openmp_map_memory;
measure ppe_round_trip, ppe_throughput, ppe_map, ppe_echo, ppe_open;
measure mp_round_trip, mp_throughput, mp_map, mp_echo, mp_open;
measure mpi_round_trip, mpi_throughput, mpi_map, mpi_echo;

/* Why it cannot be measured here; null if it can. */
typedef const char *absence(void);
absence two_processors_absent, uv_absent, openmp_absent, ppe_absent, mp_absent, mpi_absent;

/* Tasks that run for 1 ms on two processors: how many, and how long each. */
enum { LONG_TASKS = 400, LONG_US = 1000 };

#endif
