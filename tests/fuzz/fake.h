/* fake.h - a kernel for the fuzz target, and the implementation of procpool.h compiled against it.
 *
 * Nothing here reaches a real process, descriptor or clock. The segment lies at a fixed place between pages that cannot
 * be touched, and what the layout leaves free between its parts is poisoned for AddressSanitizer; private tables are heap
 * blocks, so that an index beyond them is seen; each memcpy into or out of the segment must stay within one part of it
 * (one ring, one slot, the arena). Workers are fake processes that the supervisor's fork, kill and wait4 know. */
#ifndef FAKE_H
#define FAKE_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdio_ext.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#if defined(__SANITIZE_ADDRESS__)
#define FAKE_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define FAKE_ASAN 1
#endif
#endif
#ifdef FAKE_ASAN
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(p, n) ((void)(p), (void)(n))
#endif

#define REQUIRE(condition)                                                                                             \
  do {                                                                                                                 \
    if (!(condition)) {                                                                                                \
      fprintf(stderr, "%s:%d: REQUIRE(%s)\n", __FILE__, __LINE__, #condition);                                         \
      abort();                                                                                                         \
    }                                                                                                                  \
  } while (0)

enum {
  FAKE_MEMORY = 700,
  FAKE_LIFELINE,
  FAKE_CONTROL,
  FAKE_SUPER_END,
  FAKE_PROCESSES = 256,
  FAKE_MESSAGES = 64,
  FAKE_GUARD = 1 << 16
};

/* ---- what the fakes remember ---- */

typedef enum fake_life { FAKE_NONE, FAKE_LIVES, FAKE_DEAD, FAKE_REAPED } fake_life;

typedef struct fake_message {
  size_t size;
  unsigned char bytes[128];
} fake_message;

typedef struct fake_queue {
  fake_message messages[FAKE_MESSAGES];
  int count;
} fake_queue;

static struct {
  uint64_t now;
  size_t blocks;       /* allocated and not freed */
  unsigned fail_after; /* allocations until one fails; 0: none does */
  unsigned fail_count; /* how many fail then */
  unsigned char *segment;
  size_t segment_size;
  fake_life lives[FAKE_PROCESSES]; /* pid = FIRST_PID + index */
  int statuses[FAKE_PROCESSES];
  int processes;
  bool no_fork, undead;
  pid_t stopped; /* whose stop is not yet told */
  bool lifeline_closed, super_gone;
  fake_queue to_super, to_host;
  jmp_buf exit;
  bool exits; /* _exit may be called */
} fake;

enum { FAKE_FIRST_PID = 5000000 }; /* above what Linux gives out */

/* ---- memory ---- */

static bool fake_refuses(size_t size) {
  if (size > (size_t)16 << 20)
    return true;
  if (fake.fail_after == 0 || --fake.fail_after > 0)
    return false;
  if (fake.fail_count > 0) {
    fake.fail_count--;
    fake.fail_after = 1;
  }
  return true;
}

static void *fake_malloc(size_t size) {
  void *p = fake_refuses(size) ? NULL : malloc(size > 0 ? size : 1);
  fake.blocks += p != NULL;
  return p;
}

static void *fake_realloc(void *old, size_t size) {
  void *p = fake_refuses(size) ? NULL : realloc(old, size > 0 ? size : 1);
  fake.blocks += p != NULL && old == NULL;
  return p;
}

static void fake_free(void *p) {
  fake.blocks -= p != NULL;
  free(p);
}

/* The segment has one place for ever; the rest of it is reserved once. */
static void *fake_segment(size_t size) {
  if (fake.segment == NULL) {
    unsigned char *p = (unsigned char *)mmap(NULL, size + 2 * FAKE_GUARD, PROT_NONE,
                                             MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    REQUIRE(p != MAP_FAILED);
    fake.segment = p + FAKE_GUARD;
    fake.segment_size = size;
    REQUIRE(mprotect(fake.segment, size, PROT_READ | PROT_WRITE) == 0);
  }
  REQUIRE(size == fake.segment_size);
  REQUIRE(madvise(fake.segment, size, MADV_DONTNEED) == 0); /* zeros again */
  return fake.segment;
}

static void *fake_mmap(void *at, size_t size, int protection, int flags, int fd, off_t offset) {
  void *p;
  (void)at, (void)protection, (void)offset;
  if (flags & MAP_SHARED) {
    REQUIRE(fd == FAKE_MEMORY);
    return fake_segment(size);
  }
  p = calloc(1, size);
  REQUIRE(p != NULL);
  fake.blocks++;
  return p;
}

static int fake_munmap(void *p, size_t size) {
  (void)size;
  if (p != fake.segment)
    fake_free(p);
  return 0;
}

/* ---- kernel ---- */

static int fake_clock_gettime(clockid_t clock, struct timespec *t) {
  (void)clock;
  fake.now += 1000;
  t->tv_sec = (time_t)(fake.now / 1000000000u);
  t->tv_nsec = (long)(fake.now % 1000000000u);
  return 0;
}

static int fake_close(int fd) {
  REQUIRE(fd >= FAKE_MEMORY && fd <= FAKE_CONTROL);
  if (fd == FAKE_LIFELINE)
    fake.lifeline_closed = true;
  return 0;
}

static ssize_t fake_send(int fd, const void *bytes, size_t size) {
  fake_queue *queue = fd == FAKE_CONTROL ? &fake.to_super : &fake.to_host;
  fake_message *m = &queue->messages[queue->count];
  REQUIRE((fd == FAKE_CONTROL || fd == FAKE_SUPER_END) && size <= sizeof(m->bytes));
  if (fake.super_gone || queue->count == FAKE_MESSAGES) {
    errno = fake.super_gone ? EPIPE : EAGAIN;
    return -1;
  }
  m->size = size;
  memcpy(m->bytes, bytes, size);
  queue->count++;
  return (ssize_t)size;
}

static ssize_t fake_recv(int fd, void *bytes, size_t size) {
  fake_queue *queue = fd == FAKE_CONTROL ? &fake.to_host : &fake.to_super;
  REQUIRE(fd == FAKE_CONTROL || fd == FAKE_SUPER_END);
  if (queue->count == 0) {
    errno = EAGAIN;
    return fd == FAKE_CONTROL && fake.super_gone ? 0 : -1;
  }
  REQUIRE(queue->messages[0].size == size);
  memcpy(bytes, queue->messages[0].bytes, size);
  memmove(&queue->messages[0], &queue->messages[1], (size_t)--queue->count * sizeof(queue->messages[0]));
  return (ssize_t)size;
}

static long fake_syscall(long number, ...) {
  va_list list;
  struct pollfd *fds = NULL;
  int fd = -1;
  void *bytes = NULL;
  size_t size = 0;
  va_start(list, number);
  if (number == SYS_ppoll)
    fds = va_arg(list, struct pollfd *);
  else if (number != SYS_futex && number != SYS_memfd_create)
    fd = va_arg(list, int);
  if (number == SYS_sendto || number == SYS_recvfrom) {
    bytes = va_arg(list, void *);
    size = va_arg(list, size_t);
  }
  va_end(list);
  if (number == SYS_memfd_create)
    return FAKE_MEMORY;
  if (number == SYS_futex) /* nobody sleeps here: who would have to, goes on as if woken */
    return 0;
  if (number == SYS_close)
    return fake_close(fd);
  if (number == SYS_sendto)
    return (long)fake_send(fd, bytes, size);
  if (number == SYS_recvfrom)
    return (long)fake_recv(fd, bytes, size);
  if (number == SYS_ppoll && fds == NULL) {
    fake.now += 10000000u;
    return 0;
  }
  if (number == SYS_ppoll) {
    fds[0].revents = POLLHUP;
    return 1;
  }
  errno = ENOSYS;
  return -1;
}

/* ---- processes ---- */

static fake_life *fake_process(pid_t pid) {
  const int i = (int)pid - FAKE_FIRST_PID;
  REQUIRE(i >= 0 && i < fake.processes); /* else a stranger would be hit */
  return &fake.lives[i];
}

static pid_t fake_fork(void) {
  if (fake.no_fork || fake.processes == FAKE_PROCESSES) {
    errno = EAGAIN;
    return -1;
  }
  fake.lives[fake.processes] = FAKE_LIVES;
  return FAKE_FIRST_PID + fake.processes++;
}

static void fake_die(pid_t pid, int status) {
  fake_life *life = fake_process(pid);
  if (*life != FAKE_LIVES)
    return;
  *life = FAKE_DEAD;
  fake.statuses[(int)pid - FAKE_FIRST_PID] = status;
}

static int fake_kill(pid_t pid, int signal_number) {
  REQUIRE(*fake_process(pid) != FAKE_REAPED);
  if (signal_number == SIGKILL && fake.undead)
    return 0; /* the kernel holds it */
  if (signal_number == SIGKILL || (signal_number == SIGTERM && pid % 2 == 0))
    fake_die(pid, signal_number);
  return 0;
}

static pid_t fake_wait4(pid_t pid, int *status, int options, struct rusage *usage) {
  for (int i = 0; i < fake.processes; i++) {
    if ((pid > 0 && pid != FAKE_FIRST_PID + i) || fake.lives[i] != FAKE_DEAD)
      continue;
    fake.lives[i] = FAKE_REAPED;
    if (status != NULL)
      *status = fake.statuses[i];
    if (usage != NULL)
      memset(usage, 0x11, sizeof(*usage));
    return FAKE_FIRST_PID + i;
  }
  if (pid < 0 && (options & WUNTRACED) && fake.stopped != 0) {
    pid = fake.stopped;
    fake.stopped = 0;
    *status = (SIGSTOP << 8) | 0x7f;
    return pid;
  }
  REQUIRE(pid < 0 || (options & WNOHANG)); /* else it would wait for ever */
  if (options & WNOHANG)
    return 0;
  errno = ECHILD;
  return -1;
}

__attribute__((noreturn)) static void fake_exit(int status) {
  (void)status;
  REQUIRE(fake.exits);
  longjmp(fake.exit, 1);
}

/* ---- copies stay within one part ---- */

static void fake_check_range(const void *p, size_t size);

static void *fake_memcpy(void *to, const void *from, size_t size) {
  fake_check_range(to, size);
  fake_check_range(from, size);
  return memcpy(to, from, size);
}

#define mmap(a, b, c, d, e, f) fake_mmap(a, b, c, d, e, f)
#define munmap(a, b) fake_munmap(a, b)
#define mprotect(a, b, c) ((void)(a), (void)(b), 0)
#define madvise(a, b, c) ((void)(a), (void)(b), -1)
#define ftruncate(a, b) 0
#define posix_fallocate(a, b, c) ((void)(a), (void)(b), (void)(c), 0)
#define fcntl(a, ...) ((void)(a), 0)
#define clock_gettime(a, b) fake_clock_gettime(a, b)
#define syscall(...) fake_syscall(__VA_ARGS__)
#define fork() fake_fork()
#define kill(a, b) fake_kill(a, b)
#define wait4(a, b, c, d) fake_wait4(a, b, c, d)
#define waitpid(a, b, c) fake_wait4(a, b, c, NULL)
#define _exit(a) fake_exit(a)
#define memcpy(a, b, c) fake_memcpy(a, b, c)

#define PROCPOOL_MALLOC(size) fake_malloc(size)
#define PROCPOOL_REALLOC(p, size) fake_realloc(p, size)
#define PROCPOOL_FREE(p) fake_free(p)
#define PROCPOOL_ASSERT(condition) REQUIRE(condition)
#define PROCPOOL_STATIC
#define PROCPOOL_IMPLEMENTATION
#include "../../procpool.h"

#endif
