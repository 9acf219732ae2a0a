/* server: an event loop (epoll) that never waits for an answer. Requests go to workers, answers are sent in callbacks. Its
 * 200 clients are in the program, too: they all ask at once.
 *   cc -O2 -pthread -o server examples/server.c && ./server */
#define PROCPOOL_IMPLEMENTATION
#include "../procpool.h"
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { CLIENTS = 200 };
static int connected;

PROCPOOL_FUNCTION(int, collatz_steps, long, n) { /* in a worker */
  return n <= 1 ? 0 : 1 + collatz_steps(n % 2 == 0 ? n / 2 : 3 * n + 1);
}

/* Runs in procpool_poll. The future of a request that was refused is null: that is an error, too. */
static void answer(procpool_future *future, void *user) {
  const int client = (int)(intptr_t)user;
  int steps = -1;
  if (collatz_steps_result(future, &steps) != PROCPOOL_OK) /* takes the result and gives the future back */
    fprintf(stderr, "server: %s\n", procpool_last_message());
  if (send(client, &steps, sizeof(steps), MSG_NOSIGNAL) < 0)
    perror("server: send");
  close(client);
  connected--;
}

int main(void) {
  procpool_submit_options options = {.callback = answer};
  int clients[CLIENTS], pair[2], number, steps, right = 0;
  PROCPOOL_WITH(pool, NULL) { /* before there are connections: else workers hold them open, too */
    struct epoll_event event = {.events = EPOLLIN, .data = {.fd = procpool_fd(pool)}};
    const int epoll = epoll_create1(EPOLL_CLOEXEC);
    int failed = epoll_ctl(epoll, EPOLL_CTL_ADD, event.data.fd, &event);
    event.events |= EPOLLONESHOT; /* each client asks once */
    for (; connected < CLIENTS && !failed; clients[connected++] = pair[1]) {
      failed = socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair) || send(pair[1], &connected, sizeof(int), 0) < 0 ||
               epoll_ctl(epoll, EPOLL_CTL_ADD, event.data.fd = pair[0], &event);
    }
    if (failed)
      return perror("server"), 1;
    while (connected > 0)
      if (epoll_wait(epoll, &event, 1, -1) != 1 || event.data.fd == procpool_fd(pool)) {
        procpool_poll(pool, 0);
      } else {
        options.user = (void *)(intptr_t)event.data.fd;
        if (recv(event.data.fd, &number, sizeof(number), 0) != sizeof(number))
          number = 0; /* the client is gone: send will tell */
        if (collatz_steps_submit_with(pool, &options, number) == NULL)
          answer(NULL, options.user);
      }
    for (int i = 0; i < CLIENTS; i++)
      right += recv(clients[i], &steps, sizeof(steps), 0) == sizeof(steps) && steps == collatz_steps(i);
    printf("%d of %d clients got the right answer\n", right, CLIENTS);
    return right < CLIENTS;
  }
  return fprintf(stderr, "server: %s\n", procpool_last_message()), 1;
}
