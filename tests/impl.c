/* The implementation, as a user's program has it: in one file. */
#define PROCPOOL_IMPLEMENTATION
#include "../procpool.h"
