/* How many processors there are. */
#include "harness.h"

TEST(r005_cpu_counts_make_sense) {
  const int usable = procpool_cpu_count(PROCPOOL_CPU_USABLE), logical = procpool_cpu_count(PROCPOOL_CPU_LOGICAL);
  const int physical = procpool_cpu_count(PROCPOOL_CPU_PHYSICAL);
  CHECK_GE(usable, 1);
  CHECK_GE(physical, 1);
  CHECK_LE(physical, logical);
  CHECK_LE(usable, logical);
  CHECK_EQ(logical, sysconf(_SC_NPROCESSORS_ONLN));
}

TEST(r005_cpu_count_of_an_unknown_kind) {
  CHECK_EQ(procpool_cpu_count((procpool_cpu)3), 0);
  CHECK_EQ(procpool_cpu_count((procpool_cpu)-1), 0);
  CHECK_EQ(procpool_cpu_count((procpool_cpu)1000), 0);
}

TEST(r005_cpu_count_keeps_to_the_affinity_mask) {
  cpu_set_t before, one;
  int first = 0;
  procpool *pool;
  CHECK_EQ(sched_getaffinity(0, sizeof(before), &before), 0);
  while (!CPU_ISSET(first, &before))
    first++;
  CPU_ZERO(&one);
  CPU_SET(first, &one);
  CHECK_EQ(sched_setaffinity(0, sizeof(one), &one), 0);
  CHECK_EQ(procpool_cpu_count(PROCPOOL_CPU_USABLE), 1);
  CHECK_EQ(procpool_cpu_count(PROCPOOL_CPU_LOGICAL), sysconf(_SC_NPROCESSORS_ONLN));
  pool = procpool_open(NULL);
  CHECK(pool != NULL);
  CHECK_EQ(test_stats(pool).workers, 1);
  CHECK_WORKS(pool); /* host and worker share one processor */
  test_close(pool);
  CHECK_EQ(sched_setaffinity(0, sizeof(before), &before), 0);
}

/* Host and workers on one processor: nobody may spin while the other has the work. */
TEST_STARTS(r005_everything_on_one_processor, CONCURRENT) {
  cpu_set_t before, one;
  int first = 0;
  procpool *pool;
  CHECK_EQ(sched_getaffinity(0, sizeof(before), &before), 0);
  while (!CPU_ISSET(first, &before))
    first++;
  CPU_ZERO(&one);
  CPU_SET(first, &one);
  CHECK_EQ(sched_setaffinity(0, sizeof(one), &one), 0);
  pool = test_open(start, 3);
  for (int i = 0; i < test_rounds(300); i++)
    CHECK_WORKS(pool);
  test_close(pool);
  CHECK_EQ(sched_setaffinity(0, sizeof(before), &before), 0);
}

TEST(r005_cpu_count_takes_no_notice_of_the_variable) {
  const int usable = procpool_cpu_count(PROCPOOL_CPU_USABLE);
  setenv("PROCPOOL_WORKERS", "77", 1);
  CHECK_EQ(procpool_cpu_count(PROCPOOL_CPU_USABLE), usable);
  unsetenv("PROCPOOL_WORKERS");
}
