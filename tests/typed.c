/* typed.c - see typed.h. */
#include "typed.h"

PROCPOOL_DEFINE(double, far_power, double, base, int, exponent) {
  double y = 1;
  for (int i = 0; i < exponent; i++)
    y *= base;
  return y;
}

PROCPOOL_DEFINE(int, far_answer) {
  return 42;
}

PROCPOOL_DEFINE_PROCEDURE(far_nothing, int, number) {
  (void)number;
}

PROCPOOL_DEFINE_TASK_FUNCTION(int, far_half, int, number) {
  if (number % 2 != 0)
    procpool_task_fail(task, 3, "an odd number");
  return number / 2;
}

PROCPOOL_DEFINE_TASK_PROCEDURE(far_refusal, int, code) {
  procpool_task_fail(task, code, "refused");
}
