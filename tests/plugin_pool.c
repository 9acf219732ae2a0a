/* plugin_pool.c - a plugin that has the implementation inside, where no other part of the program sees it. Neither the
 * host's main nor its executable know of it: its workers are starts of plugin_worker.c. */
#define PROCPOOL__COME_UP ((uint64_t)4000000000u)
#define PROCPOOL_STATIC
#define PROCPOOL_IMPLEMENTATION
#include "plugin.h"

static int added;

static int initializer(const void *argument, size_t size) {
  if (size != sizeof(added))
    return 1;
  memcpy(&added, argument, sizeof(added));
  return 0;
}

PROCPOOL_FUNCTION(int, square, int, x) {
  return x * x + added;
}

static void die(procpool_task *task) {
  (void)task;
  (void)raise(SIGKILL);
}

static procpool *open_pool(const procpool_options *options) {
  return procpool_open(options);
}

static procpool_status map(procpool *pool, const int *in, int *out, size_t count) {
  square_arguments *arguments = (square_arguments *)malloc(count * sizeof(*arguments));
  procpool_status status;
  if (arguments == NULL)
    return PROCPOOL_MEMORY;
  for (size_t i = 0; i < count; i++)
    arguments[i] = in[i];
  status = square_map(pool, arguments, out, count);
  free(arguments);
  return status;
}

static procpool_status run(procpool *pool, procpool_function function, int *result) {
  procpool_future *future = NULL;
  procpool_status status = procpool_submit(pool, function, NULL, 0, NULL, &future);
  if (status == PROCPOOL_OK)
    status = procpool_future_result(future, PROCPOOL_FOREVER, result, sizeof(*result), NULL);
  (void)procpool_future_release(future);
  return status;
}

static procpool_status close_pool(procpool *pool) {
  const procpool_status status = procpool_shutdown(pool, PROCPOOL_DRAIN, PROCPOOL_FOREVER);
  return status == PROCPOOL_OK ? procpool_free(pool) : status;
}

extern const plugin_calls plugin_pool_calls;
const plugin_calls plugin_pool_calls = {
    open_pool, initializer, map, run, die, procpool_start_method, procpool_wait_ready, close_pool,
};

void plugin_worker_main(void);
void plugin_worker_main(void) {
  procpool_worker_main();
}
