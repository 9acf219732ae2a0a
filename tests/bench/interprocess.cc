// Boost.Interprocess: two processes, and a message_queue in shared memory each way.
#include "peer.h"

#include <boost/interprocess/ipc/message_queue.hpp>
#include <string>

namespace {

using boost::interprocess::message_queue;

struct side {
  message_queue *there, *back;
  char *sent, *got;
};

// The name is gone at once; a child has the mapping.
message_queue *open_queue(const char *name) {
  const std::string path = "procpool-bench-" + std::to_string(long(getpid())) + name;
  auto *queue = new message_queue(boost::interprocess::create_only, path.c_str(), 2, amount);
  message_queue::remove(path.c_str());
  return queue;
}

void receive(message_queue *queue, char *bytes) {
  message_queue::size_type size;
  unsigned priority;
  queue->receive(bytes, amount, size, priority);
  if (size != amount)
    fail("interprocess", "wrong size");
}

void serve(void *context) {
  const auto *s = static_cast<side *>(context);
  char *bytes = echo_bytes();
  pin(1);
  for (;;) { // it dies with its parent
    receive(s->there, bytes);
    s->back->send(bytes, amount, 0);
  }
}

void echo_trip(void *context) {
  const auto *s = static_cast<side *>(context);
  s->there->send(s->sent, amount, 0);
  receive(s->back, s->got);
}

void measure_echo(int, double *out) {
  side s = {open_queue("-there"), open_queue("-back"), echo_bytes(), echo_bytes()};
  child(serve, &s);
  pin(0);
  out[0] = echo_us(echo_trip, &s);
  echo_check(s.sent, s.got);
}

const offer offers[] = {{"echo_us", measure_echo}, {nullptr, nullptr}};

} // namespace

int main(int argc, char **argv) {
  return offer_main(argc, argv, offers);
}
