/* converter: 2000 PNG files become JPEG files. Some are broken: a worker that hangs in one is ended after two seconds, one
 * that dies of one is replaced, and all the others are converted. Ctrl-C ends it early; nothing is left behind.
 *   cc -O2 -pthread -o converter examples/converter.c -lpng -ljpeg && ./converter */
#define PROCPOOL_IMPLEMENTATION
#include "../procpool.h"
#include <glob.h>
#include <png.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include <jpeglib.h> /* needs stdio.h */

enum { FILES = 2000, SIDE = 32, TOO_WIDE = 65501 /* for a JPEG */ };
static procpool *pool;

/* Leaves errors to libjpeg, which calls exit(1): here that ends only a worker. */
static void write_jpeg(FILE *file, const png_image *png, unsigned char *pixels) {
  struct jpeg_error_mgr errors;
  struct jpeg_compress_struct jpeg = {.err = jpeg_std_error(&errors)};
  jpeg_create_compress(&jpeg);
  jpeg_stdio_dest(&jpeg, file);
  jpeg.image_width = png->width;
  jpeg.image_height = png->height;
  jpeg.input_components = 3;
  jpeg.in_color_space = JCS_RGB;
  jpeg_set_defaults(&jpeg);
  jpeg_start_compress(&jpeg, TRUE);
  for (; jpeg.next_scanline < jpeg.image_height; pixels += 3 * png->width)
    jpeg_write_scanlines(&jpeg, &pixels, 1);
  jpeg_finish_compress(&jpeg);
  jpeg_destroy_compress(&jpeg);
}

/* Runs in a worker. */
PROCPOOL_STRING_FUNCTION(convert, name) {
  png_image png = {.version = PNG_IMAGE_VERSION};
  unsigned char *pixels = NULL;
  char output[16];
  FILE *file;
  snprintf(output, sizeof(output), "%.4s.jpg", name);
  if (png_image_begin_read_from_file(&png, name)) {
    png.format = PNG_FORMAT_RGB;
    pixels = malloc(PNG_IMAGE_SIZE(png));
  }
  if (pixels == NULL || !png_image_finish_read(&png, NULL, pixels, 0, NULL)) {
    procpool_task_fail(task, 1, png.message);
  } else if ((file = fopen(output, "wb")) != NULL) {
    write_jpeg(file, &png, pixels);
    fclose(file);
  } else {
    procpool_task_fail(task, 2, "the JPEG file cannot be made");
  }
  free(pixels);
}

/* Of 1000 files one is too wide, one is cut, and one is a pipe into which nobody writes. */
static void make_input(int i) {
  static const unsigned char pixels[TOO_WIDE * 3];
  png_image png = {.version = PNG_IMAGE_VERSION, .width = SIDE, .height = SIDE, .format = PNG_FORMAT_RGB};
  char name[16];
  snprintf(name, sizeof(name), "%04d.png", i);
  if (i % 1000 == 100)
    png.width = TOO_WIDE, png.height = 1;
  if (i % 1000 == 300 ? mkfifo(name, 0600) != 0 : !png_image_write_to_file(&png, name, 0, pixels, 0, NULL))
    perror(name);
  if (i % 1000 == 200 && truncate(name, 50) != 0)
    perror(name);
}

static void interrupt(int number) {
  procpool_interrupt(pool);
  (void)number;
}

/* Returns END when all are converted or have failed. */
static procpool_status convert_all(const char *const *names, size_t count, procpool_future **futures) {
  procpool_iterator *ended = NULL;
  procpool_future *future;
  procpool_status status = convert_submit_many(pool, names, count, futures);
  if (status == PROCPOOL_OK)
    status = procpool_as_completed(futures, count, &ended);
  while (status == PROCPOOL_OK && (status = procpool_next(ended, PROCPOOL_FOREVER, &future)) == PROCPOOL_OK)
    if (procpool_iterator_remaining(ended) % 100 == 0)
      fprintf(stderr, "%zu left\n", procpool_iterator_remaining(ended));
  procpool_iterator_free(ended);
  return status;
}

int main(void) {
  static procpool_future *futures[FILES]; /* null: not handed out */
  char folder[] = "/tmp/converter-XXXXXX";
  procpool_error error = {0};
  const procpool_options options = {.time_limit = 2, .error = &error};
  procpool_status status;
  glob_t files = {0};
  int converted = 0;
  signal(SIGINT, interrupt); /* ends the wait that goes on in the pool, or if there is none the next one */
  if (mkdtemp(folder) == NULL || chdir(folder) != 0)
    return perror(folder), 1;
  if ((pool = procpool_open(&options)) == NULL) /* in the folder: workers stay where it was opened */
    return fprintf(stderr, "converter: %s\n", error.message), rmdir(folder), 1;
  for (int i = 0; i < FILES; i++)
    make_input(i);
  glob("*.png", 0, NULL, &files); /* a list of names, sorted */
  if ((status = convert_all((const char *const *)files.gl_pathv, files.gl_pathc, futures)) != PROCPOOL_END)
    printf("converter: %s\n", procpool_strerror(status));
  signal(SIGINT, SIG_IGN);
  for (size_t i = 0; i < files.gl_pathc; i++)
    if ((status = procpool_future_status(futures[i])) == PROCPOOL_OK)
      converted++;
    else if (status < PROCPOOL_PENDING)
      printf("%s: %s %s\n", files.gl_pathv[i], procpool_status_name(status), procpool_future_message(futures[i]));
  printf("%d of %zu files converted\n", converted, files.gl_pathc);
  procpool_release_many(futures, files.gl_pathc);
  procpool_free(pool); /* ends what still runs, after Ctrl-C */
  globfree(&files);
  glob("*", 0, NULL, &files);
  for (size_t i = 0; i < files.gl_pathc; i++)
    unlink(files.gl_pathv[i]);
  globfree(&files);
  rmdir(folder);
  return 0;
}
