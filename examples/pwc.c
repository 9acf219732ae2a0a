/* pwc: counts the lines, words and bytes of many files with all processors, and prints what wc prints.
 *   cc -O2 -pthread -o pwc examples/pwc.c && ./pwc /usr/include
 * Every regular file that is named or lies under a directory that is named, sorted by path as bytes, then a total (not for
 * a single file, as wc). Symbolic links are not followed. A word is a run of characters between white space as the C
 * locale has it. What cannot be read is reported on stderr and makes the exit status 1.
 *
 * One thing is shown: an imap whose generator does real work. It walks the directories and packs files into batches,
 * so that thousands of small ones cost few tasks. How large a file is, the worker says, which has to open it in any
 * case; one that is not small comes back to be cut into pieces, so that one big file keeps every worker busy. */
#define PROCPOOL_IMPLEMENTATION
#include "../procpool.h"
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PIECE = 1 << 20, SMALL = 1 << 17, BATCH_PIECES = 64, PATH_SPACE = 8192, BUFFER = 1 << 16, BLOCK = 64 };

/* ---- what goes to a worker and comes back ---- */

struct piece {
  uint64_t file; /* index in the host's list */
  uint64_t size; /* of the file; 0: not known, all of it is to be counted if it is SMALL */
  uint64_t begin, end;
  uint64_t path; /* where in the batch's paths */
};

struct batch {
  uint64_t count, bytes, used;
  struct piece pieces[BATCH_PIECES];
  char paths[PATH_SPACE];
};

struct counts {
  uint64_t lines, words, bytes;
};

struct answer {
  uint64_t file;
  uint64_t size; /* where it was not known; of more than SMALL nothing has been counted */
  struct counts counts;
  int error; /* errno, or 0 */
};

/* ---- in the worker: count ---- */

static unsigned is_space(unsigned char c) {
  return (unsigned)(c == ' ') | (unsigned)((unsigned char)(c - '\t') <= '\r' - '\t');
}

/* A word is counted where it begins, so text[-1] is looked at too. */
static void count_tail(const unsigned char *text, size_t size, struct counts *counts) {
  for (size_t i = 0; i < size; i++) {
    counts->lines += text[i] == '\n';
    counts->words += is_space(*(text + i - 1)) & ~is_space(text[i]);
  }
}

/* The same for BLOCK bytes. Compilers turn a loop of fixed length over small numbers into vector instructions. */
static void count_block(const unsigned char *text, struct counts *counts) {
  unsigned char lines = 0, words = 0;
  for (int i = 0; i < BLOCK; i++) {
    lines = (unsigned char)(lines + (text[i] == '\n'));
    words = (unsigned char)(words + (is_space(*(text + i - 1)) & ~is_space(text[i])));
  }
  counts->lines += lines;
  counts->words += words;
}

static void count_text(const unsigned char *text, size_t size, struct counts *counts) {
  size_t done = 0;
  for (; size - done >= BLOCK; done += BLOCK)
    count_block(text + done, counts);
  count_tail(text + done, size - done, counts);
  counts->bytes += size;
}

static ssize_t read_at(int file, unsigned char *buffer, uint64_t size, uint64_t offset) {
  ssize_t got;
  do {
    got = pread(file, buffer, size, (off_t)offset);
  } while (got < 0 && errno == EINTR);
  return got;
}

/* Counts the bytes from begin to end, or to the end of the file if that comes first. A word belongs to the piece in
 * which it begins: the byte before the piece decides whether its first byte is in the middle of one. A short read that
 * reaches the size is the end; the files of /proc have the size 0, and short reads anywhere. */
static int count_piece(int file, uint64_t begin, uint64_t end, uint64_t size, struct counts *counts) {
  unsigned char buffer[1 + BUFFER];
  uint64_t offset = begin;
  ssize_t got = 0;
  bool ended = false;
  buffer[0] = ' ';
  if (offset > 0)
    got = read_at(file, buffer, 1, offset - 1);
  while (got >= 0 && offset < end && !ended) {
    const uint64_t left = end - offset < BUFFER ? end - offset : BUFFER;
    got = read_at(file, buffer + 1, left, offset);
    if (got <= 0)
      break;
    count_text(buffer + 1, (size_t)got, counts);
    buffer[0] = buffer[got];
    offset += (uint64_t)got;
    ended = (uint64_t)got < left && size > 0 && offset >= size;
  }
  return got < 0 ? errno : 0;
}

/* All of a file whose size nobody has asked for yet, unless it is large. */
static int count_small(int file, struct answer *answer) {
  struct stat about;
  if (fstat(file, &about) != 0)
    return errno;
  answer->size = (uint64_t)about.st_size;
  return answer->size > SMALL ? 0 : count_piece(file, 0, INT64_MAX, answer->size, &answer->counts);
}

/* The path may meanwhile be something else: a link is refused, and nothing that is opened can block. */
static void count_file(const char *path, const struct piece *piece, struct answer *answer) {
  const int file = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);
  struct stat about;
  memset(answer, 0, sizeof(*answer));
  answer->file = piece->file;
  if (file < 0) {
    answer->error = errno;
    if (lstat(path, &about) == 0)
      answer->size = (uint64_t)about.st_size; /* the columns are as wide as wc makes them */
    return;
  }
  answer->error = piece->size == 0 ? count_small(file, answer)
                                   : count_piece(file, piece->begin, piece->end, piece->size, &answer->counts);
  close(file);
}

/* The task. */
static void count_batch(procpool_task *task) {
  const struct batch *batch = procpool_task_argument(task, NULL);
  struct answer *answers = procpool_task_result(task, batch->count * sizeof(*answers));
  if (answers == NULL)
    return; /* no memory: the task ends as TRANSFER */
  for (size_t i = 0; i < batch->count; i++)
    count_file(batch->paths + batch->pieces[i].path, &batch->pieces[i], &answers[i]);
}

/* ---- in the host: the files found so far, and the paths not yet looked at ---- */

struct file {
  char *path;
  uint64_t size, pieces_left; /* size 0: not known */
  struct counts counts;
  int error;
};

struct entry {
  char *path;
  unsigned char type; /* DT_REG and so on, if its directory knows; else DT_UNKNOWN */
  bool named;         /* on the command line */
};

struct job {
  struct file *files;
  size_t files_count, files_room;
  struct entry *stack;
  size_t stack_count, stack_room;
  size_t *large; /* files to be cut into pieces */
  size_t large_count, large_room;
  size_t cut;      /* a file, of which what comes before offset has been packed */
  uint64_t offset; /* in it */
  bool cutting;    /* whether anything of it is left */
  bool failed;
};

static void *need(void *memory) {
  if (memory == NULL) {
    fprintf(stderr, "pwc: out of memory\n");
    exit(1);
  }
  return memory;
}

/* Makes room for one more item of an array. */
static void *grown(void *items, size_t count, size_t *room, size_t item_size) {
  if (count < *room)
    return items;
  *room = *room * 2 + 64;
  return need(realloc(items, *room * item_size));
}

/* As wc does it: a name with a newline is put in the shell's quotes, so that a line is a file; any other goes out as it is. */
static void print_path(const char *path, FILE *out) {
  bool escaped = false;
  if (strchr(path, '\n') == NULL) {
    fputs(path, out);
    return;
  }
  putc('\'', out);
  for (; *path != '\0'; path++) {
    const char *known = strchr("\aa\bb\tt\nn\vv\ff\rr", *path);
    const bool plain = isprint((unsigned char)*path) != 0;
    if (plain == escaped)
      fputs(plain ? "''" : "'$'", out);
    escaped = !plain;
    if (plain && *path == '\'')
      fputs("'\\''", out);
    else if (plain)
      putc(*path, out);
    else if (known != NULL)
      fprintf(out, "\\%c", known[1]);
    else
      fprintf(out, "\\%03o", (unsigned)(unsigned char)*path);
  }
  putc('\'', out);
}

static void complain(struct job *job, const char *path, const char *text) {
  job->failed = true;
  fputs("pwc: ", stderr);
  print_path(path, stderr);
  fprintf(stderr, ": %s\n", text);
}

static void push(struct job *job, char *path, unsigned char type, bool named) {
  const struct entry entry = {path, type, named};
  job->stack = grown(job->stack, job->stack_count, &job->stack_room, sizeof(*job->stack));
  job->stack[job->stack_count++] = entry;
}

static char *join(const char *directory, const char *name) {
  const size_t length = strlen(directory), name_size = strlen(name) + 1;
  const bool slash = length > 0 && directory[length - 1] != '/';
  char *path = need(malloc(length + slash + name_size));
  memcpy(path, directory, length);
  path[length] = '/';
  memcpy(path + length + slash, name, name_size);
  return path;
}

/* Puts what the directory holds on the stack; the directory is closed before any of that is looked at. */
static void push_directory(struct job *job, const char *path) {
  struct dirent *found;
  DIR *directory = opendir(path);
  if (directory == NULL) {
    complain(job, path, strerror(errno));
    return;
  }
  while ((errno = 0, found = readdir(directory)) != NULL)
    if (strcmp(found->d_name, ".") != 0 && strcmp(found->d_name, "..") != 0)
      push(job, join(path, found->d_name), found->d_type, false);
  if (errno != 0)
    complain(job, path, strerror(errno));
  closedir(directory);
}

static void add_file(struct job *job, char *path) {
  struct file file;
  memset(&file, 0, sizeof(file));
  file.path = path;
  file.pieces_left = 1;
  job->files = grown(job->files, job->files_count, &job->files_room, sizeof(*job->files));
  job->cut = job->files_count;
  job->files[job->files_count++] = file;
  job->offset = 0;
  job->cutting = true;
}

/* DT_UNKNOWN, and errno, if there is none. */
static unsigned char type_of(const char *path) {
  struct stat about;
  if (lstat(path, &about) != 0)
    return DT_UNKNOWN;
  return S_ISREG(about.st_mode) ? DT_REG : S_ISDIR(about.st_mode) ? DT_DIR : S_ISLNK(about.st_mode) ? DT_LNK : DT_SOCK;
}

/* Looks at the topmost path: a file becomes the last of the files, a directory is replaced by what it holds. */
static void visit(struct job *job) {
  const struct entry entry = job->stack[--job->stack_count];
  const unsigned char type = entry.type != DT_UNKNOWN ? entry.type : type_of(entry.path);
  if (type == DT_REG) {
    add_file(job, entry.path);
    return; /* the path is kept */
  }
  if (type == DT_UNKNOWN)
    complain(job, entry.path, strerror(errno));
  else if (type == DT_DIR)
    push_directory(job, entry.path);
  else if (entry.named)
    complain(job, entry.path, type == DT_LNK ? "is a symbolic link: not followed" : "is not a regular file");
  free(entry.path);
}

/* Goes on until there is a file of which something is left to pack. */
static bool find_file(struct job *job) {
  while (!job->cutting && job->large_count + job->stack_count > 0)
    if (job->large_count > 0) {
      job->cut = job->large[--job->large_count];
      job->offset = 0;
      job->cutting = true;
    } else {
      visit(job);
    }
  return job->cutting;
}

/* Packs the next piece of a file. The last piece has no end: it takes in what has been written meanwhile. */
static bool pack_piece(struct job *job, struct batch *batch) {
  struct file *file = &job->files[job->cut];
  const size_t path_size = strlen(file->path) + 1;
  const bool last = file->size - job->offset <= PIECE;
  struct piece *piece = &batch->pieces[batch->count];
  if (path_size > PATH_SPACE - batch->used)
    return false;
  piece->file = job->cut;
  piece->size = file->size;
  piece->begin = job->offset;
  piece->end = last ? INT64_MAX : job->offset + PIECE;
  piece->path = batch->used;
  memcpy(batch->paths + batch->used, file->path, path_size);
  batch->used += path_size;
  batch->bytes += last ? file->size - job->offset : PIECE;
  batch->count++;
  job->offset += PIECE;
  job->cutting = !last;
  return true;
}

/* The generator: fills one batch. A path that no batch can hold is left out, and reported in the end. */
static int next_batch(void *context, void *item) {
  struct job *job = context;
  struct batch *batch = item;
  batch->count = batch->bytes = batch->used = 0;
  while (batch->count < BATCH_PIECES && batch->bytes < PIECE && find_file(job))
    if (!pack_piece(job, batch)) {
      if (batch->count > 0)
        break;
      job->files[job->cut].error = ENAMETOOLONG;
      job->cutting = false;
    }
  return batch->count > 0;
}

/* ---- in the host: collect and print ---- */

static void take_answer(struct job *job, const struct answer *answer) {
  struct file *file = &job->files[answer->file];
  if (answer->size > 0)
    file->size = answer->size;
  if (answer->size > SMALL && answer->error == 0) {
    file->pieces_left = (answer->size - 1) / PIECE + 1;
    job->large = grown(job->large, job->large_count, &job->large_room, sizeof(*job->large));
    job->large[job->large_count++] = answer->file;
    return;
  }
  file->pieces_left--;
  file->counts.lines += answer->counts.lines;
  file->counts.words += answer->counts.words;
  file->counts.bytes += answer->counts.bytes;
  if (answer->error != 0)
    file->error = answer->error;
}

/* Takes the answers in the order in which they come. The files of a batch that failed stay incomplete. */
static procpool_status collect(struct job *job, procpool_iterator *batches) {
  procpool_future *future;
  procpool_status status;
  while ((status = procpool_next(batches, PROCPOOL_FOREVER, &future)) == PROCPOOL_OK) {
    size_t size = 0;
    const struct answer *answers = procpool_future_data(future, &size);
    if (answers == NULL)
      fprintf(stderr, "pwc: a batch was lost: %s\n", procpool_strerror(procpool_future_status(future)));
    else
      for (size_t i = 0; i < size / sizeof(*answers); i++)
        take_answer(job, &answers[i]);
  }
  return status == PROCPOOL_END ? PROCPOOL_OK : status;
}

static procpool_status count_all(struct job *job, procpool *pool) {
  procpool_imap_options options = {0};
  procpool_iterator *batches = NULL;
  procpool_stats stats;
  procpool_status status = procpool_get_stats(pool, &stats);
  if (status != PROCPOOL_OK)
    return status;
  options.unordered = true;
  options.buffersize = 16 + 4 * (size_t)stats.workers; /* so that none starves while a directory is read */
  do {                                                 /* again for what the last answers have found to be large */
    status = procpool_imap(pool, count_batch, next_batch, job, sizeof(struct batch), &options, &batches);
    if (status == PROCPOOL_OK)
      status = collect(job, batches);
    procpool_iterator_free(batches);
    batches = NULL;
  } while (status == PROCPOOL_OK && job->large_count > 0);
  return status;
}

static int compare_paths(const void *a, const void *b) {
  return strcmp(((const struct file *)a)->path, ((const struct file *)b)->path);
}

static void print_counts(const struct counts *counts, int width, const char *path) {
  printf("%*" PRIu64 " %*" PRIu64 " %*" PRIu64 " ", width, counts->lines, width, counts->words, width, counts->bytes);
  print_path(path, stdout);
  putchar('\n');
}

/* As wide as the sum of all sizes, as wc does it. */
static int width_of(const struct job *job) {
  uint64_t sizes = 0, bytes = 0;
  int width = 1;
  for (size_t i = 0; i < job->files_count; i++) {
    sizes += job->files[i].size;
    bytes += job->files[i].counts.bytes;
  }
  for (uint64_t left = sizes > bytes ? sizes : bytes; left >= 10; left /= 10)
    width++;
  return width;
}

static void report(struct job *job, bool with_total) {
  const int width = width_of(job);
  struct counts total = {0, 0, 0};
  if (job->files_count > 0)
    qsort(job->files, job->files_count, sizeof(*job->files), compare_paths);
  for (size_t i = 0; i < job->files_count; i++) {
    const struct file *file = &job->files[i];
    if (file->error != 0 || file->pieces_left != 0) {
      complain(job, file->path, file->error != 0 ? strerror(file->error) : "could not be counted");
      continue;
    }
    print_counts(&file->counts, width, file->path);
    total.lines += file->counts.lines;
    total.words += file->counts.words;
    total.bytes += file->counts.bytes;
  }
  if (with_total)
    print_counts(&total, width, "total");
}

static void free_job(struct job *job) {
  for (size_t i = 0; i < job->files_count; i++)
    free(job->files[i].path);
  for (size_t i = 0; i < job->stack_count; i++)
    free(job->stack[i].path);
  free(job->files);
  free(job->stack);
  free(job->large);
}

/* Counts everything in a pool of as many workers as processors; the pool is gone before anything is printed. */
static procpool_status run_job(struct job *job) {
  procpool_status status = PROCPOOL_OK;
  procpool_error error = {0};
  procpool_options options = {0};
  options.error = &error;
  options.name = "pwc";
  PROCPOOL_WITH(pool, &options) {
    status = count_all(job, pool);
  }
  return error.status != PROCPOOL_OK ? error.status : status;
}

int main(int argc, char **argv) {
  struct job job = {0};
  struct stat about;
  procpool_status status;
  const bool single = argc == 2 && lstat(argv[1], &about) == 0 && S_ISREG(about.st_mode);
  if (argc < 2) {
    fprintf(stderr, "usage: pwc FILE-OR-DIRECTORY...\n");
    return 2;
  }
  for (int i = argc - 1; i > 0; i--)
    push(&job, join("", argv[i]), DT_UNKNOWN, true);
  status = run_job(&job);
  if (status != PROCPOOL_OK)
    complain(&job, "pool", procpool_strerror(status));
  report(&job, !single && (job.files_count > 0 || argc > 2 || !job.failed));
  if (fflush(stdout) != 0 || ferror(stdout))
    complain(&job, "standard output", strerror(errno));
  free_job(&job);
  return job.failed;
}
