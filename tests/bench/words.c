/* The peer of examples/pwc.c: plain C and a few threads, which take files off one list.
 *   words make FOLDER FILES       makes as many small files, of up to 4 KiB of words, 500 to a directory
 *   words count FOLDER THREADS    prints lines, words, bytes and path of each, sorted by path, and a total */
#include "bench.h"

#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <sys/stat.h>

enum { PER_FOLDER = 500, MOST_BYTES = 4096, MOST_THREADS = 16, TAKEN = 32, BLOCK = 64, BUFFER = 65536 };

/* ---- make ---- */

/* A little generator of numbers, so that every tree is the same. */
static uint32_t next_number(void) {
  static uint32_t state = 12345;
  state = state * 1664525 + 1013904223;
  return state >> 8;
}

static void write_file(const char *path) {
  char text[MOST_BYTES];
  const size_t size = next_number() % MOST_BYTES;
  for (size_t i = 0; i < size; i++) {
    const uint32_t n = next_number() % 64;
    text[i] = n < 9 ? ' ' : n == 9 ? '\n' : (char)('a' + n % 26);
  }
  const int file = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
  if (file < 0 || write(file, text, size) != (ssize_t)size || close(file) != 0)
    fail(path, "cannot be written");
}

static void make_tree(const char *folder, size_t files) {
  char path[4096];
  (void)mkdir(folder, 0755);
  for (size_t i = 0; i < files; i++) {
    snprintf(path, sizeof(path), "%s/%04zu", folder, i / PER_FOLDER);
    if (i % PER_FOLDER == 0)
      (void)mkdir(path, 0755);
    snprintf(path, sizeof(path), "%s/%04zu/%03zu.txt", folder, i / PER_FOLDER, i % PER_FOLDER);
    write_file(path);
  }
}

/* ---- count ---- */

typedef struct counted {
  char *path;
  uint64_t lines, words, bytes;
} counted;

static counted *list;
static size_t listed, capacity, taken;

static unsigned is_space(unsigned char c) {
  return (unsigned)(c == ' ') | (unsigned)((unsigned char)(c - '\t') <= '\r' - '\t');
}

/* BLOCK bytes or the rest, text[-1] being the byte before: a word is counted where it begins. */
static void count_bytes(const unsigned char *text, size_t size, counted *c) {
  for (; size >= BLOCK; text += BLOCK, size -= BLOCK) {
    unsigned char lines = 0, words = 0;
    for (int i = 0; i < BLOCK; i++) {
      lines = (unsigned char)(lines + (text[i] == '\n'));
      words = (unsigned char)(words + (is_space(*(text + i - 1)) & ~is_space(text[i])));
    }
    c->lines += lines;
    c->words += words;
  }
  for (size_t i = 0; i < size; i++) {
    c->lines += text[i] == '\n';
    c->words += is_space(*(text + i - 1)) & ~is_space(text[i]);
  }
}

/* A short read is the end of a file. */
static void count_file(counted *c) {
  unsigned char buffer[1 + BUFFER];
  ssize_t got = 0;
  const int file = open(c->path, O_RDONLY | O_CLOEXEC);
  if (file < 0)
    fail(c->path, "cannot be opened");
  buffer[0] = ' ';
  do {
    got = read(file, buffer + 1, BUFFER);
    if (got < 0)
      fail(c->path, "cannot be read");
    count_bytes(buffer + 1, (size_t)got, c);
    c->bytes += (uint64_t)got;
    buffer[0] = buffer[got];
  } while (got == BUFFER);
  close(file);
}

static void *count_some(void *context) {
  size_t first;
  (void)context;
  while ((first = __atomic_fetch_add(&taken, TAKEN, __ATOMIC_RELAXED)) < listed)
    for (size_t i = first; i < first + TAKEN && i < listed; i++)
      count_file(&list[i]);
  return NULL;
}

static void add_path(const char *folder, const char *name) {
  char path[4096];
  const counted empty = {NULL, 0, 0, 0};
  snprintf(path, sizeof(path), "%s/%s", folder, name);
  if (listed == capacity) {
    capacity = capacity == 0 ? 1024 : 2 * capacity;
    list = realloc(list, capacity * sizeof(*list));
  }
  if (list == NULL)
    fail("words", "out of memory");
  list[listed] = empty;
  list[listed++].path = strdup(path);
}

/* Files and directories as readdir tells them. */
static void walk(const char *folder) {
  char path[4096];
  DIR *open_folder = opendir(folder);
  struct dirent *entry;
  if (open_folder == NULL)
    fail(folder, "cannot be read");
  while ((entry = readdir(open_folder)) != NULL) {
    if (entry->d_type == DT_REG)
      add_path(folder, entry->d_name);
    if (entry->d_type != DT_DIR || entry->d_name[0] == '.')
      continue;
    snprintf(path, sizeof(path), "%s/%s", folder, entry->d_name);
    walk(path);
  }
  closedir(open_folder);
}

static int by_path(const void *a, const void *b) {
  return strcmp(((const counted *)a)->path, ((const counted *)b)->path);
}

static void count_tree(const char *folder, int threads) {
  pthread_t ids[MOST_THREADS];
  counted total = {NULL, 0, 0, 0};
  walk(folder);
  for (int i = 1; i < threads; i++)
    if (pthread_create(&ids[i], NULL, count_some, NULL) != 0)
      fail("pthread_create", "refused");
  count_some(NULL);
  for (int i = 1; i < threads; i++)
    pthread_join(ids[i], NULL);
  qsort(list, listed, sizeof(*list), by_path);
  for (size_t i = 0; i < listed; i++) {
    printf("%7zu %7zu %7zu %s\n", (size_t)list[i].lines, (size_t)list[i].words, (size_t)list[i].bytes, list[i].path);
    total.lines += list[i].lines;
    total.words += list[i].words;
    total.bytes += list[i].bytes;
  }
  printf("%7zu %7zu %7zu total\n", (size_t)total.lines, (size_t)total.words, (size_t)total.bytes);
}

int main(int argc, char **argv) {
  const int number = argc == 4 ? atoi(argv[3]) : 0;
  if (argc == 4 && strcmp(argv[1], "make") == 0 && number > 0)
    make_tree(argv[2], (size_t)number);
  else if (argc == 4 && strcmp(argv[1], "count") == 0 && number > 0 && number <= MOST_THREADS)
    count_tree(argv[2], number);
  else
    fail("words", "make FOLDER FILES, or count FOLDER THREADS");
  return 0;
}
