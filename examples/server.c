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
#define NUMBER(client) (1009L * (client + 2)) /* of which it asks the smallest factor */
static int epoll, connected;

PROCPOOL_FUNCTION(long, smallest_factor, long, number) { /* runs in a worker */
  for (long factor = 2; factor * factor <= number; factor++)
    if (number % factor == 0)
      return factor;
  return number;
}

static void hang_up(int client) {
  close(client);
  connected--;
}

/* Runs in procpool_poll. A client whose task has failed gets no answer. */
static void send_answer(procpool_future *future, void *user) {
  const int client = (int)(intptr_t)user;
  long factor;
  if (smallest_factor_result(future, &factor) != PROCPOOL_OK) /* takes the result and gives the future back */
    fprintf(stderr, "server: %s\n", procpool_last_message());
  else if (send(client, &factor, sizeof(factor), MSG_NOSIGNAL) < 0)
    perror("server: send");
  hang_up(client);
}

static void take_request(procpool *pool, int client) {
  const procpool_submit_options options = {.callback = send_answer, .user = (void *)(intptr_t)client};
  long number;
  if (recv(client, &number, sizeof(number), 0) == sizeof(number)) {
    if (smallest_factor_submit_with(pool, &options, number) != NULL)
      return; /* send_answer will be called */
    fprintf(stderr, "server: %s\n", procpool_last_message());
  }
  hang_up(client);
}

static void watch(int descriptor, uint32_t events) {
  struct epoll_event event = {.events = events, .data = {.fd = descriptor}};
  if (epoll_ctl(epoll, EPOLL_CTL_ADD, descriptor, &event) != 0)
    perror("server: epoll_ctl");
}

static void serve(procpool *pool) {
  struct epoll_event event;
  watch(procpool_fd(pool), EPOLLIN);
  while (connected > 0)
    if (epoll_wait(epoll, &event, 1, -1) == 1) {
      if (event.data.fd == procpool_fd(pool))
        procpool_poll(pool, 0);
      else
        take_request(pool, event.data.fd);
    }
}

int main(void) {
  procpool_error error = {0};
  const procpool_options options = {.error = &error};
  int clients[CLIENTS], pair[2], right = 0;
  PROCPOOL_WITH(pool, &options) { /* before there are connections: else workers hold them open, too */
    epoll = epoll_create1(EPOLL_CLOEXEC);
    for (; connected < CLIENTS && socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair) == 0; connected++) {
      const long number = NUMBER(connected);
      clients[connected] = pair[1];
      if (send(pair[1], &number, sizeof(number), 0) < 0)
        perror("client: send");
      watch(pair[0], EPOLLIN | EPOLLONESHOT); /* each asks once */
    }
    serve(pool);
    for (int i = 0; i < CLIENTS; i++) {
      long factor = 0;
      (void)recv(clients[i], &factor, sizeof(factor), 0);
      right += factor == smallest_factor(NUMBER(i));
    }
    printf("%d of %d clients got the right answer\n", right, CLIENTS);
    return right < CLIENTS;
  }
  fprintf(stderr, "server: %s\n", error.message);
  return 1;
}
