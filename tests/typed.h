/* typed.h - typed functions of more than one file: declared here, defined in typed.c, and called from C and C++. */
#ifndef TYPED_H
#define TYPED_H

#include "../procpool.h"

PROCPOOL_DECLARE(double, far_power, double, base, int, exponent);
PROCPOOL_DECLARE(int, far_answer);
PROCPOOL_DECLARE_PROCEDURE(far_nothing, int, number);
PROCPOOL_DECLARE_TASK_FUNCTION(int, far_half, int, number);
PROCPOOL_DECLARE_TASK_PROCEDURE(far_refusal, int, code);

#endif /* TYPED_H */
