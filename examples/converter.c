/* converter: PNG files become JPEG files. One in which a worker hangs (a pipe, say) is given up after two seconds, one
 * that it dies of (too wide for a JPEG) costs no more, and all the others are converted. Ctrl-C ends it early.
 *   cc -O2 -pthread -o converter examples/converter.c -lpng -ljpeg && ./converter *.png */
#define PROCPOOL_IMPLEMENTATION
#include "../procpool.h"
#include <png.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <jpeglib.h> /* needs stdio.h */

PROCPOOL_STRING_FUNCTION(convert, name) {
  struct jpeg_error_mgr errors; /* in libjpeg they call exit(1): here that ends only a worker */
  struct jpeg_compress_struct jpeg = {.err = jpeg_std_error(&errors)};
  png_image png = {.version = PNG_IMAGE_VERSION};
  char output[FILENAME_MAX + 5];
  snprintf(output, sizeof(output), "%s.jpg", name);
  png_image_begin_read_from_file(&png, name);
  png.format = PNG_FORMAT_RGB;
  unsigned char *const pixels = malloc(PNG_IMAGE_SIZE(png)), *row = pixels;
  const bool read = !PNG_IMAGE_FAILED(png) && png_image_finish_read(&png, NULL, pixels, 0, NULL);
  FILE *const file = read ? fopen(output, "wb") : NULL;
  if (file == NULL) {
    procpool_task_fail(task, 1, read ? "the JPEG file cannot be made" : png.message);
  } else {
    jpeg_create_compress(&jpeg);
    jpeg_stdio_dest(&jpeg, file);
    jpeg.image_width = png.width, jpeg.image_height = png.height;
    jpeg.input_components = 3, jpeg.in_color_space = JCS_RGB;
    jpeg_set_defaults(&jpeg);
    jpeg_start_compress(&jpeg, TRUE);
    for (; jpeg.next_scanline < jpeg.image_height; row += 3 * png.width)
      jpeg_write_scanlines(&jpeg, &row, 1);
    jpeg_finish_compress(&jpeg);
    jpeg_destroy_compress(&jpeg);
    fclose(file);
  }
  free(pixels);
}

static procpool *pool;
static void interrupt(int number) {
  procpool_interrupt(pool);
  (void)number;
}

int main(int argc, char **argv) {
  const procpool_options options = {.time_limit = 2};
  procpool_future *futures[argc];
  procpool_status status = PROCPOOL_OK;
  int converted = 0;
  if ((pool = procpool_open(&options)) == NULL ||
      convert_submit_many(pool, (const char *const *)argv + 1, (size_t)argc - 1, futures + 1) != PROCPOOL_OK)
    return fprintf(stderr, "converter: %s\n", procpool_last_message()), 1;
  signal(SIGINT, interrupt);
  for (int i = 1; i < argc && status != PROCPOOL_INTERRUPTED; i++) {
    if ((status = procpool_future_wait(futures[i], PROCPOOL_FOREVER)) == PROCPOOL_OK)
      converted++;
    else
      printf("%s: %s %s\n", argv[i], procpool_status_name(status), procpool_future_message(futures[i]));
    if (i % 100 == 0)
      fprintf(stderr, "%d of %d\n", i, argc - 1);
  }
  printf("%d of %d files converted\n", converted, argc - 1);
  signal(SIGINT, SIG_IGN);
  procpool_release_many(futures + 1, (size_t)argc - 1);
  procpool_free(pool);
  return 0;
}
