/* ZeroMQ: two processes, a pair of sockets over ipc. */
#include "bench.h"

#include <zmq.h>

static char endpoint[64];
static char *sent, *got;
static void *near_end;

static void *open_socket(void) {
  void *context = zmq_ctx_new();
  void *opened = context == NULL ? NULL : zmq_socket(context, ZMQ_PAIR);
  if (opened == NULL)
    fail("zmq", "refused");
  return opened;
}

static void serve(void *context) {
  (void)context;
  pin(1);
  void *far_end = open_socket();
  char *bytes = echo_bytes();
  if (zmq_connect(far_end, endpoint) != 0)
    fail("zmq_connect", zmq_strerror(zmq_errno()));
  for (;;) /* it dies with its parent */
    if (zmq_recv(far_end, bytes, amount, 0) != (int)amount || zmq_send(far_end, bytes, amount, 0) != (int)amount)
      fail("zmq", "broken");
}

static void echo_trip(void *context) {
  (void)context;
  if (zmq_send(near_end, sent, amount, 0) != (int)amount || zmq_recv(near_end, got, amount, 0) != (int)amount)
    fail("zmq", "broken");
}

static void measure_echo(int workers, double *out) {
  (void)workers;
  snprintf(endpoint, sizeof(endpoint), "ipc://@procpool-bench-%ld", (long)getpid());
  child(serve, NULL);
  pin(0);
  near_end = open_socket();
  if (zmq_bind(near_end, endpoint) != 0)
    fail("zmq_bind", zmq_strerror(zmq_errno()));
  sent = echo_bytes();
  got = echo_bytes();
  out[0] = echo_us(echo_trip, NULL);
  echo_check(sent, got);
}

static const offer offers[] = {{"echo_us", measure_echo}, {NULL, NULL}};

int main(int argc, char **argv) {
  return offer_main(argc, argv, offers);
}
