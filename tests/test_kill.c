/* Tasks that are ended while they run: by a limit, or by cancel_kill. */
#include "harness.h"
