/* Two processes on a UNIX stream socket with large buffers: bytes there and back, which the other process reads as a
 * whole before it answers. */
#include "bench.h"

#include <sys/socket.h>

enum { BUFFER = 4 * MIB };

static int sockets[2];
static char *sent, *got;

static bool read_all(int fd, char *to, size_t size) {
  while (size > 0) {
    const ssize_t part = read(fd, to, size);
    if (part <= 0)
      return false;
    to += part;
    size -= (size_t)part;
  }
  return true;
}

static bool write_all(int fd, const char *from, size_t size) {
  while (size > 0) {
    const ssize_t part = write(fd, from, size);
    if (part <= 0)
      return false;
    from += part;
    size -= (size_t)part;
  }
  return true;
}

static void serve(void *context) {
  (void)context;
  pin(1);
  close(sockets[0]);
  char *bytes = echo_bytes();
  while (read_all(sockets[1], bytes, amount) && write_all(sockets[1], bytes, amount))
    continue;
}

static void echo_trip(void *context) {
  (void)context;
  if (!write_all(sockets[0], sent, amount) || !read_all(sockets[0], got, amount))
    fail("socket", "broken");
}

void sockets_echo_us(int workers, double *out) {
  const int size = BUFFER;
  (void)workers;
  if (socketpair(AF_UNIX, SOCK_STREAM, 0, sockets) != 0)
    fail("socketpair", "refused");
  for (int i = 0; i < 2; i++)
    (void)setsockopt(sockets[i], SOL_SOCKET, SO_SNDBUF, &size, sizeof(size)); /* the system may give less */
  const pid_t pid = child(serve, NULL);
  close(sockets[1]);
  pin(0);
  sent = echo_bytes();
  got = echo_bytes();
  out[0] = echo_us(echo_trip, NULL);
  echo_check(sent, got);
  close(sockets[0]);
  reap(pid);
}

/* GB/s, there and back. */
void sockets_echo(int workers, double *out) {
  sockets_echo_us(workers, out);
  out[0] = 2e-3 * (double)amount / out[0];
}
