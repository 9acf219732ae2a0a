/* runner.h - between the runner and the process that runs one case. */
#ifndef RUNNER_H
#define RUNNER_H

#include "harness.h"

/* Exit statuses of a case. Passing has an unlikely one: a stray exit(0) is no success. */
enum { CASE_PASSED = 64, CASE_FAILED = 65, CASE_SKIPPED = 77 };

#ifdef __cplusplus
extern "C" {
#endif
int case_run(const harness_test *test, procpool_start start);
#ifdef __cplusplus
}
#endif
#endif
