/* fuzzer: inputs without end go to a target that crashes on some and hangs on others. The search ends at the third kind of
 * end that is new.
 *   cc -O2 -pthread -o fuzzer examples/fuzzer.c && ./fuzzer */
#define PROCPOOL_IMPLEMENTATION
#include "../procpool.h"
#include <stdio.h>
#include <stdlib.h>

typedef struct packet {
  uint8_t type, length, step, flags;
} packet;

/* Random bytes, the same ones at each run (xorshift). Returns 1: there is always one more. */
static int next_packet(void *state, void *item) {
  uint64_t *x = state;
  *x ^= *x << 13;
  *x ^= *x >> 7;
  *x ^= *x << 17;
  *(packet *)item = (packet){(uint8_t)*x, (uint8_t)(*x >> 8), (uint8_t)(*x >> 16), (uint8_t)(*x >> 24)};
  return 1;
}

/* The target, with three bugs. */
PROCPOOL_PROCEDURE(parse, packet, input) {
  volatile uint8_t *volatile flags = input.type == 7 ? NULL : &input.flags;
  *flags |= 1; /* one type has none */
  if (input.type == 100 && input.length > 100)
    abort();
  for (volatile int at = 0; input.type == 200 && at < input.length; at += input.step / 64)
    ; /* short steps never arrive */
}

int main(void) {
  const procpool_imap_options in_groups = {.chunksize = 16, .time_limit = 0.1};
  uint64_t state = 88172645463325252u;
  bool seen[65] = {false}; /* by the signal that ended the worker */
  int found = 0;
  PROCPOOL_WITH(pool, NULL) {
    procpool_iterator *inputs = NULL;
    procpool_status status = parse_imap(pool, next_packet, &state, &in_groups, &inputs);
    for (; found < 3 && status <= PROCPOOL_TIMEOUT; status = parse_next(inputs)) { /* above are the pool's own errors */
      procpool_error error;
      if (status == PROCPOOL_OK || procpool_last_error(&error) != status || seen[error.signal])
        continue;
      printf("input %zu: %s, %s\n", error.index, procpool_status_name(status), error.message);
      seen[error.signal] = true;
      found++;
    }
    procpool_iterator_free(inputs); /* and with it the inputs that wait */
  }
  if (found < 3)
    fprintf(stderr, "fuzzer: %s\n", procpool_last_message());
  return found < 3;
}
