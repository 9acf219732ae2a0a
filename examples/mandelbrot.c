/* mandelbrot: a map whose results are used as they come. The rows of a picture are computed in workers and arrive in order;
 * each goes straight to the file (binary PPM), with a progress line if stderr is a terminal.
 *   cc -O2 -pthread -o mandelbrot examples/mandelbrot.c && ./mandelbrot mandelbrot.ppm 640 480 */
#define PROCPOOL_IMPLEMENTATION
#include "../procpool.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { LIMIT = 1000, SAMPLES = 2, MAX_SIDE = 32768 };

struct row {
  int y, width, height;
};

/* The logarithm with straight lines between the powers of two: x is at least 1. Enough for a colour without a seam. */
static double rough_log2(double x) {
  double exponent = 0;
  for (; x >= 2; x /= 2)
    exponent++;
  return exponent + x - 1;
}

/* How long the point takes to escape, as a smooth number, or LIMIT if it does not. */
static double escape_time(double re, double im) {
  double x = 0, y = 0;
  for (int i = 0; i < LIMIT; i++) {
    const double xx = x * x, yy = y * y;
    if (xx + yy > 65536)
      return i + 4 - rough_log2(rough_log2(xx + yy));
    y = 2 * x * y + im;
    x = xx - yy + re;
  }
  return LIMIT;
}

/* Adds the colour of one point: outside the later the lighter, from night blue over pale green to red; inside black. */
static void add_colour(double time, double *rgb) {
  const double t = time > 0 ? time / (time + 60) : 0, u = 1 - t;
  if (time >= LIMIT)
    return;
  rgb[0] += 9 * u * t * t * t;
  rgb[1] += 15 * u * u * t * t;
  rgb[2] += 8.5 * u * u * u * t;
}

static unsigned char to_byte(double value) {
  return (unsigned char)(value >= 1 ? 255 : value * 255 + 0.5);
}

/* Each pixel is the mean of SAMPLES x SAMPLES points. The set lies in the middle, 2.6 high. */
static void paint_pixel(const struct row *row, int column, unsigned char *pixel) {
  const double step = 2.6 / (row->height * SAMPLES);
  double rgb[3] = {0, 0, 0};
  for (int i = 0; i < SAMPLES * SAMPLES; i++) {
    const int x = column * SAMPLES + i % SAMPLES, y = row->y * SAMPLES + i / SAMPLES;
    const double re = (x - row->width * SAMPLES * 0.5 + 0.5) * step - 0.7;
    const double im = (y - row->height * SAMPLES * 0.5 + 0.5) * step;
    add_colour(escape_time(re, im), rgb);
  }
  for (int i = 0; i < 3; i++)
    pixel[i] = to_byte(rgb[i] / (SAMPLES * SAMPLES));
}

/* The task: one row of pixels, written where the host takes it from. */
static void paint_row(procpool_task *task) {
  const struct row *row = procpool_task_argument(task, NULL);
  unsigned char *pixels = procpool_task_result(task, 3 * (size_t)row->width);
  if (pixels == NULL)
    return; /* no memory: the task ends as TRANSFER */
  for (int x = 0; x < row->width; x++)
    paint_pixel(row, x, pixels + 3 * x);
}

/* The generator: rows from top to bottom; context is the next one. */
static int next_row(void *context, void *item) {
  struct row *next = context;
  if (next->y >= next->height)
    return 0;
  memcpy(item, next, sizeof(*next));
  next->y++;
  return 1;
}

static void show_progress(int done, int rows) {
  if (isatty(STDERR_FILENO))
    fprintf(stderr, "\rrow %d of %d (%d %%)%s", done, rows, done * 100 / rows, done == rows ? "\n" : "");
}

/* Takes rows in order until the end. Returns END if all went well. */
static procpool_status write_rows(procpool_iterator *rows, int height, FILE *file) {
  procpool_future *future;
  procpool_status status;
  int done = 0;
  while ((status = procpool_next(rows, PROCPOOL_FOREVER, &future)) == PROCPOOL_OK) {
    size_t size = 0;
    const void *pixels = procpool_future_data(future, &size);
    if (pixels == NULL)
      return procpool_future_status(future);
    if (fwrite(pixels, 1, size, file) != size)
      return PROCPOOL_SYSTEM;
    show_progress(++done, height);
  }
  return status;
}

/* The first rows are quick and the middle ones slow, so more are kept in flight than the workers need at once. */
static procpool_status render(procpool *pool, int width, int height, FILE *file) {
  struct row first = {0, 0, 0};
  procpool_imap_options options = {0};
  procpool_iterator *rows = NULL;
  procpool_status status;
  first.width = width;
  first.height = height;
  options.buffersize = 256;
  status = procpool_imap(pool, paint_row, next_row, &first, sizeof(first), &options, &rows);
  if (status == PROCPOOL_OK)
    status = write_rows(rows, height, file);
  procpool_iterator_free(rows);
  return status;
}

static int render_to(const char *path, int width, int height) {
  procpool_status status = PROCPOOL_SYSTEM;
  procpool_error error = {0};
  procpool_options options = {0};
  FILE *file = fopen(path, "wb");
  if (file == NULL) {
    perror(path);
    return 1;
  }
  options.error = &error;
  PROCPOOL_WITH(pool, &options) {
    fprintf(file, "P6\n%d %d\n255\n", width, height);
    status = render(pool, width, height, file);
  }
  if (error.status != PROCPOOL_OK)
    status = error.status;
  if (fclose(file) != 0 || status != PROCPOOL_END) {
    fprintf(stderr, "mandelbrot: %s: %s\n", path, status == PROCPOOL_END ? "not written" : procpool_strerror(status));
    return 1;
  }
  printf("%s: %d x %d\n", path, width, height);
  return 0;
}

int main(int argc, char **argv) {
  const char *path = argc > 1 ? argv[1] : "mandelbrot.ppm";
  const int width = argc > 2 ? atoi(argv[2]) : 640, height = argc > 3 ? atoi(argv[3]) : width * 3 / 4;
  if (argc > 4 || width < 1 || height < 1 || width > MAX_SIDE || height > MAX_SIDE) {
    fprintf(stderr, "usage: mandelbrot [FILE [WIDTH [HEIGHT]]]\n");
    return 2;
  }
  return render_to(path, width, height);
}
