/* Prefork workers on two pipes each, plain C. Every task and every result is written by itself; a read takes what the
 * kernel has gathered by then. Tasks go to the workers in turn. */
#include "bench.h"

enum { MOST = 16, PIPE_BYTES = 65536 };

typedef struct message {
  uint64_t id, size; /* size bytes follow */
} message;

typedef struct pipe_reader {
  int fd;
  size_t begin, end;
  char bytes[PIPE_BYTES];
} pipe_reader;

typedef struct pipe_worker {
  int requests;
  pipe_reader results;
  pid_t pid;
} pipe_worker;

typedef struct prefork {
  pipe_worker workers[MOST];
  int count;
  uint64_t sent, received;
  char *argument, *result; /* of an echo */
} prefork;

/* False at the end of file. */
static bool read_all(pipe_reader *in, void *to, size_t size) {
  for (char *p = to; size > 0;) {
    if (in->begin == in->end) {
      const ssize_t got = read(in->fd, in->bytes, sizeof(in->bytes));
      if (got <= 0)
        return false;
      in->begin = 0;
      in->end = (size_t)got;
    }
    const size_t part = size < in->end - in->begin ? size : in->end - in->begin;
    memcpy(p, in->bytes + in->begin, part);
    in->begin += part;
    p += part;
    size -= part;
  }
  return true;
}

static void write_all(int fd, const void *from, size_t size) {
  for (const char *p = from; size > 0;) {
    const ssize_t put = write(fd, p, size);
    if (put <= 0)
      fail("pipe", "broken");
    p += put;
    size -= (size_t)put;
  }
}

/* The id is the result of an empty task; the bytes of an echo go back as they came. */
static void serve(pipe_reader *in, int out) {
  static char bytes[16 * MIB];
  message m;
  while (read_all(in, &m, sizeof(m)) && m.size <= sizeof(bytes) && read_all(in, bytes, m.size)) {
    write_all(out, &m, sizeof(m));
    write_all(out, bytes, m.size);
  }
}

typedef struct ends {
  int request[2], result[2];
} ends;

static void serve_child(void *context) {
  static pipe_reader in;
  const ends *e = context;
  close(e->request[1]);
  close(e->result[0]);
  in.fd = e->request[0];
  serve(&in, e->result[1]);
}

static void prefork_open(prefork *p, int workers) {
  p->count = workers;
  for (int w = 0; w < workers; w++) {
    ends e;
    if (pipe(e.request) != 0 || pipe(e.result) != 0)
      fail("pipe", "refused");
    p->workers[w].pid = child(serve_child, &e);
    close(e.request[0]);
    close(e.result[1]);
    p->workers[w].requests = e.request[1];
    p->workers[w].results.fd = e.result[0];
  }
}

/* A later worker also holds the requests' ends of the earlier ones: they see the end of file from the last to the first. */
static void prefork_close(prefork *p) {
  for (int w = 0; w < p->count; w++)
    close(p->workers[w].requests);
  for (int w = 0; w < p->count; w++) {
    reap(p->workers[w].pid);
    close(p->workers[w].results.fd);
  }
}

static void send_task(prefork *p, size_t size) {
  const message m = {p->sent, size};
  const int fd = p->workers[p->sent++ % (uint64_t)p->count].requests;
  write_all(fd, &m, sizeof(m));
  write_all(fd, p->argument, size);
}

static void receive_result(prefork *p) {
  message m;
  pipe_reader *in = &p->workers[p->received % (uint64_t)p->count].results;
  if (!read_all(in, &m, sizeof(m)) || m.id != p->received++ || !read_all(in, p->result, m.size))
    fail("pipes", "wrong result");
}

static void empty_trip(void *context) {
  send_task(context, 0);
  receive_result(context);
}

static void echo_trip(void *context) {
  send_task(context, amount);
  receive_result(context);
}

void pipes_round_trip(int workers, double *out) {
  static prefork p;
  prefork_open(&p, workers);
  out[0] = batched_us(empty_trip, &p, few(20000));
  prefork_close(&p);
}

/* What is in flight fits into the pipes, so neither side ever waits for the other to read. */
void pipes_throughput(int workers, double *out) {
  static prefork p;
  const size_t count = few(300000);
  prefork_open(&p, workers);
  const double start = now();
  for (size_t i = 0; i < count + WINDOW; i++) {
    if (i >= WINDOW)
      receive_result(&p);
    if (i < count)
      send_task(&p, 0);
  }
  out[0] = (double)count / (now() - start);
  prefork_close(&p);
}

void pipes_echo(int workers, double *out) {
  static prefork p;
  prefork_open(&p, workers);
  p.argument = echo_bytes();
  p.result = echo_bytes();
  out[0] = echo_gbs(echo_trip, &p);
  echo_check(p.argument, p.result);
  prefork_close(&p);
}

/* Caller and worker share a processor. */
void pipes_one_processor(int workers, double *out) {
  static prefork p;
  pin(0);
  prefork_open(&p, workers);
  out[0] = batched_us(empty_trip, &p, few(10000));
  prefork_close(&p);
}

/* Pauses of `amount` us before each. */
void pipes_paused(int workers, double *out) {
  static prefork p;
  prefork_open(&p, workers);
  each_us(empty_trip, &p, few(500), (long)amount, out);
  prefork_close(&p);
}
