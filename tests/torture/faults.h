/* faults.h - makes the j-th call of some kind fail, wherever the implementation makes it: host, go-between, supervisor or
 * worker. A program that includes this (instead of rig.h) has the implementation in it, with its system calls and
 * allocations led through here.
 *
 *   fault_arm(FAULT(PIPE) | FAULT(EVENT), FAULT_ANYWHERE, j, j, EMFILE);    calls j to j of these kinds fail
 *   ... fault_fired() ...
 *   fault_disarm();
 *
 * The counter lies in memory that all processes of the program share, spawned ones too. */
#ifndef FAULTS_H
#define FAULTS_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
/* Everything that the implementation includes: it must come before the macros below. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
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

enum {
  FAULT_FORK,
  FAULT_CLONE,
  FAULT_POSIX_SPAWN,
  FAULT_PTHREAD_CREATE,
  FAULT_PIPE,
  FAULT_CHANNEL,
  FAULT_EVENT,
  FAULT_MEMFD,
  FAULT_PIDFD,
  FAULT_DUP,
  FAULT_OPEN,
  FAULT_FTRUNCATE,
  FAULT_FALLOCATE,
  FAULT_MMAP,
  FAULT_MPROTECT,
  FAULT_MALLOC,
  FAULT_SEND,
  FAULT_RECEIVE, /* EINTR whatever else is asked for: these two cannot fail otherwise */
  FAULT_POLL,
  FAULT_MADVISE,
  FAULT_ATFORK,
  FAULT_ON_EXIT,
  FAULT_PASS_ON, /* a descriptor, to what is spawned */
  FAULT_READ,
  FAULT_KINDS
};
#define FAULT(kind) (1u << FAULT_##kind)
#define FAULT_ALL ((1u << FAULT_KINDS) - 1)
enum { FAULT_ITS_OWN = 0 }; /* in place of an error: what the kernel says when it cannot do this very call */

enum { FAULT_ANYWHERE, FAULT_IN_HOST, FAULT_ELSEWHERE };

typedef struct fault_page {
  uint32_t kinds; /* which count and may fail; 0: disarmed */
  int where;
  int first, last; /* the calls that fail, from 1 */
  int error;
  int calls, fired;
  int hit; /* kind of the last one that failed */
  int host;
  int counted[FAULT_KINDS]; /* all calls ever, of each kind */
  int foreign;              /* the host closed or wrote a descriptor that the pool did not make */
  int watch;                /* whether the host's descriptors are watched */
  int own[4096];            /* made by the pool, in the host */
  int live;                 /* allocations of the host that are not freed */
} fault_page;
static fault_page *fault;

/* Runs before main, in spawned supervisors too: they find the page by the environment. */
__attribute__((constructor)) static void fault_attach(void) {
  const char *path = getenv("TORTURE_FAULTS");
  char text[64];
  int fd;
  if (path != NULL) {
    fd = open(path, O_RDWR | O_CLOEXEC);
  } else {
    fd = memfd_create("faults", MFD_CLOEXEC);
    if (fd >= 0 && ftruncate(fd, sizeof(fault_page)) != 0)
      abort();
    snprintf(text, sizeof(text), "/proc/%d/fd/%d", (int)getpid(), fd);
    setenv("TORTURE_FAULTS", text, 1);
  }
  fault = (fault_page *)mmap(NULL, sizeof(fault_page), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (fd < 0 || fault == MAP_FAILED)
    abort();
  if (path != NULL)
    close(fd);
}

static inline void fault_disarm(void) {
  __atomic_store_n(&fault->kinds, 0, __ATOMIC_SEQ_CST);
}

static inline void fault_arm(uint32_t kinds, int where, int first, int last, int error) {
  fault_disarm();
  fault->where = where;
  fault->first = first;
  fault->last = last;
  fault->error = error;
  fault->calls = fault->fired = 0;
  fault->hit = -1;
  fault->host = (int)getpid();
  __atomic_store_n(&fault->kinds, kinds, __ATOMIC_SEQ_CST);
}

static inline int fault_fired(void) {
  return __atomic_load_n(&fault->fired, __ATOMIC_SEQ_CST);
}

static inline int fault_calls(void) {
  return __atomic_load_n(&fault->calls, __ATOMIC_SEQ_CST);
}

static inline int fault_counted(int kind) {
  return __atomic_load_n(&fault->counted[kind], __ATOMIC_SEQ_CST);
}

static inline int fault_error(int kind) {
  static const int errors[FAULT_KINDS] = {EAGAIN,  EAGAIN, EAGAIN, EAGAIN, EMFILE, EMFILE, EMFILE, ENOMEM,
                                          EMFILE,  EMFILE, EMFILE, ENOSPC, ENOSPC, ENOMEM, ENOMEM, ENOMEM,
                                          ENOBUFS, EINTR,  EINTR,  ENOMEM, ENOMEM, ENOMEM, ENOMEM, EIO};
  return fault->error != FAULT_ITS_OWN && kind != FAULT_RECEIVE && kind != FAULT_POLL ? fault->error : errors[kind];
}

/* Counts a call; true (with errno) if it is to fail. */
static inline bool fault_here(int kind) {
  int number;
  __atomic_add_fetch(&fault->counted[kind], 1, __ATOMIC_SEQ_CST);
  if ((__atomic_load_n(&fault->kinds, __ATOMIC_SEQ_CST) & (1u << kind)) == 0)
    return false;
  if (fault->where != FAULT_ANYWHERE && (fault->where == FAULT_IN_HOST) != (fault->host == (int)getpid()))
    return false;
  number = __atomic_add_fetch(&fault->calls, 1, __ATOMIC_SEQ_CST);
  if (number < fault->first || number > fault->last)
    return false;
  __atomic_add_fetch(&fault->fired, 1, __ATOMIC_SEQ_CST);
  fault->hit = kind;
  errno = fault_error(kind);
  return true;
}

/* ---- whose descriptor it is ---- */

static inline int fault_made(int fd) {
  if (fault->watch && fault->host == (int)getpid() && fd >= 0 && fd < 4096)
    fault->own[fd] = 1;
  return fd;
}

static inline void fault_used(int fd, bool closed) {
  if (!fault->watch || fault->host != (int)getpid())
    return;
  if (fd < 0 || fd >= 4096 || !fault->own[fd])
    __atomic_add_fetch(&fault->foreign, 1, __ATOMIC_SEQ_CST);
  else if (closed)
    fault->own[fd] = 0;
}

static inline int fault_pair(int result, const int *fds) {
  if (result == 0) {
    fault_made(fds[0]);
    fault_made(fds[1]);
  }
  return result;
}

/* ---- the calls ---- */

static inline pid_t fault_fork(void) {
  return fault_here(FAULT_FORK) ? -1 : fork();
}

int fault_clone(int (*function)(void *), void *stack, int flags, void *argument, ...);
__attribute__((unused)) static int fault_posix_spawn(pid_t *pid, const char *path,
                                                     const posix_spawn_file_actions_t *actions,
                                                     const posix_spawnattr_t *attributes, char *const *argv,
                                                     char *const *environment) {
  return fault_here(FAULT_POSIX_SPAWN) ? errno : posix_spawn(pid, path, actions, attributes, argv, environment);
}

static inline int fault_pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*function)(void *),
                                       void *context) {
  return fault_here(FAULT_PTHREAD_CREATE) ? errno : pthread_create(thread, attributes, function, context);
}

/* Like the C library's: six words whatever the call. */
__attribute__((unused)) static long fault_syscall(long number, ...) {
  long a[6], result;
  va_list list;
  const int kind = number == SYS_pipe2          ? FAULT_PIPE
                   : number == SYS_eventfd2     ? FAULT_EVENT
                   : number == SYS_memfd_create ? FAULT_MEMFD
                   : number == SYS_pidfd_open   ? FAULT_PIDFD
                   : number == SYS_ppoll        ? FAULT_POLL
                                                : -1;
  va_start(list, number);
  for (int i = 0; i < 6; i++)
    a[i] = va_arg(list, long);
  va_end(list);
  if (kind >= 0 && fault_here(kind))
    return -1;
  result = syscall(number, a[0], a[1], a[2], a[3], a[4], a[5]);
  if (kind == FAULT_PIPE)
    fault_pair((int)result, (const int *)a[0]);
  else if (kind >= 0)
    fault_made((int)result);
  return result;
}

static inline int fault_socketpair(int domain, int type, int protocol, int fds[2]) {
  return fault_here(FAULT_CHANNEL) ? -1 : fault_pair(socketpair(domain, type, protocol, fds), fds);
}

__attribute__((unused)) static int fault_fcntl(int fd, int command, ...) {
  long argument;
  va_list list;
  va_start(list, command);
  argument = va_arg(list, long);
  va_end(list);
  if (command == F_SETFD && argument == 0 && fault_here(FAULT_PASS_ON))
    return -1;
  if (command != F_DUPFD_CLOEXEC)
    return fcntl(fd, command, argument);
  return fault_here(FAULT_DUP) ? -1 : fault_made(fcntl(fd, command, argument));
}

static inline int fault_open(const char *path, int flags) {
  return fault_here(FAULT_OPEN) ? -1 : fault_made(open(path, flags));
}

static inline int fault_close(int fd) {
  fault_used(fd, true);
  return close(fd);
}

static inline ssize_t fault_write(int fd, const void *data, size_t size) {
  fault_used(fd, false);
  return write(fd, data, size);
}

static inline int fault_ftruncate(int fd, off_t size) {
  return fault_here(FAULT_FTRUNCATE) ? -1 : ftruncate(fd, size);
}

static inline int fault_posix_fallocate(int fd, off_t offset, off_t size) {
  return fault_here(FAULT_FALLOCATE) ? errno : posix_fallocate(fd, offset, size);
}

static inline void *fault_mmap(void *at, size_t size, int protection, int flags, int fd, off_t offset) {
  return fault_here(FAULT_MMAP) ? MAP_FAILED : mmap(at, size, protection, flags, fd, offset);
}

static inline int fault_mprotect(void *at, size_t size, int protection) {
  return fault_here(FAULT_MPROTECT) ? -1 : mprotect(at, size, protection);
}

static inline void *fault_count(void *p, int live) {
  if (p != NULL && fault->host == (int)getpid())
    __atomic_add_fetch(&fault->live, live, __ATOMIC_SEQ_CST);
  return p;
}

static inline void *fault_malloc(size_t size) {
  return fault_here(FAULT_MALLOC) ? NULL : fault_count(malloc(size), 1);
}

static inline void *fault_realloc(void *p, size_t size) {
  return fault_here(FAULT_MALLOC) ? NULL : fault_count(realloc(p, size), p == NULL);
}

static inline void fault_free(void *p) {
  free(fault_count(p, -1));
}

static inline ssize_t fault_send(int fd, const void *data, size_t size, int flags) {
  return fault_here(FAULT_SEND) ? -1 : send(fd, data, size, flags);
}

static inline ssize_t fault_recv(int fd, void *data, size_t size, int flags) {
  return fault_here(FAULT_RECEIVE) ? -1 : recv(fd, data, size, flags);
}

static inline ssize_t fault_read(int fd, void *data, size_t size) {
  return fault_here(FAULT_READ) ? -1 : read(fd, data, size);
}

static inline int fault_madvise(void *at, size_t size, int advice) {
  return fault_here(FAULT_MADVISE) ? -1 : madvise(at, size, advice);
}

static inline int fault_atfork(void (*before)(void), void (*parent)(void), void (*child)(void)) {
  return fault_here(FAULT_ATFORK) ? errno : pthread_atfork(before, parent, child);
}

#ifdef __GLIBC__
static inline int fault_on_exit(void (*function)(int, void *), void *context) {
  return fault_here(FAULT_ON_EXIT) ? -1 : on_exit(function, context);
}
#endif

#define PROCPOOL_MALLOC(size) fault_malloc(size)
#define PROCPOOL_REALLOC(p, size) fault_realloc(p, size)
#define PROCPOOL_FREE(p) fault_free(p)
#define fork() fault_fork()
#define clone(...) fault_clone(__VA_ARGS__)
#define posix_spawn(...) fault_posix_spawn(__VA_ARGS__)
#define pthread_create(...) fault_pthread_create(__VA_ARGS__)
#define syscall(...) fault_syscall(__VA_ARGS__, 0L, 0L, 0L, 0L, 0L, 0L)
#define socketpair(...) fault_socketpair(__VA_ARGS__)
#define fcntl(...) fault_fcntl(__VA_ARGS__, 0L)
#define open(...) fault_open(__VA_ARGS__)
#define close(fd) fault_close(fd)
#define write(...) fault_write(__VA_ARGS__)
#define ftruncate(...) fault_ftruncate(__VA_ARGS__)
#define posix_fallocate(...) fault_posix_fallocate(__VA_ARGS__)
#define mmap(...) fault_mmap(__VA_ARGS__)
#define mprotect(...) fault_mprotect(__VA_ARGS__)
#define send(...) fault_send(__VA_ARGS__)
#define recv(...) fault_recv(__VA_ARGS__)
#define read(...) fault_read(__VA_ARGS__)
#define madvise(...) fault_madvise(__VA_ARGS__)
#define pthread_atfork(...) fault_atfork(__VA_ARGS__)
#define on_exit(...) fault_on_exit(__VA_ARGS__)
#define PROCPOOL_IMPLEMENTATION
#include "rig.h"
#undef fork
#undef clone
#undef posix_spawn
#undef pthread_create
#undef syscall
#undef socketpair
#undef fcntl
#undef open
#undef close
#undef write
#undef ftruncate
#undef posix_fallocate
#undef mmap
#undef mprotect
#undef send
#undef recv
#undef read
#undef madvise
#undef pthread_atfork
#undef on_exit

/* With the header's arguments: no thread-local words. */
int fault_clone(int (*function)(void *), void *stack, int flags, void *argument, ...) {
  return fault_here(FAULT_CLONE) ? -1 : clone(function, stack, flags, argument);
}

/* As rig_task, whose calls are those of rig.c's own copy of the implementation: these are the ones that may fail. */
__attribute__((unused)) static void fault_task(procpool_task *task) {
  const rig_job *job = rig_task_begin(task);
  rig_entry *e = rig_entry_of(job);
  void *result = procpool_task_result(task, job->size);
  if (result == NULL)
    return;
  pattern_fill(result, job->size, job->id);
  e->made = rig_hash(result, job->size);
  __atomic_add_fetch(&e->finished, 1, __ATOMIC_SEQ_CST);
}

#include "audit.h"
#endif /* FAULTS_H */
