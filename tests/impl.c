/* The implementation, as a user's program has it: in one file; and its own checks are on. */
#include <stdlib.h>
#define PROCPOOL_ASSERT(condition) ((condition) ? (void)0 : abort())
#define PROCPOOL_IMPLEMENTATION
#include "../procpool.h"
