/* Calls for which there is no memory at all. The implementation is included, with an allocator that has none. */
#define PROCPOOL_MALLOC(size) ((void)(size), PROCPOOL_NULL)
#define PROCPOOL_REALLOC(p, size) ((void)(p), (void)(size), PROCPOOL_NULL)
#define PROCPOOL_FREE(p) ((void)(p))
#define PROCPOOL_STATIC
#define PROCPOOL_IMPLEMENTATION
#include "harness.h"

TEST(process_without_memory) {
  procpool_process_options options;
  procpool_error error;
  memset(&options, 0, sizeof(options));
  memset(&error, 0, sizeof(error));
  options.error = &error;
  CHECK(procpool_process_start(&options, task_nothing, PROCPOOL_NULL, 0) == PROCPOOL_NULL);
  CHECK_STATUS(error.status, PROCPOOL_MEMORY);
  CHECK_EQ(error.system_error, ENOMEM);
  CHECK_NE(error.message[0], '\0');
}

TEST(open_without_memory) {
  procpool_options options;
  procpool_error error;
  memset(&options, 0, sizeof(options));
  memset(&error, 0, sizeof(error));
  options.error = &error;
  CHECK(procpool_open(&options) == PROCPOOL_NULL);
  CHECK_STATUS(error.status, PROCPOOL_MEMORY);
}
