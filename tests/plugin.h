/* plugin.h - what plugin_pool.so shows to the program that opens it: calls of the implementation that it has inside. */
#ifndef PLUGIN_H
#define PLUGIN_H

#include "../procpool.h"

typedef struct plugin_calls {
  procpool *(*open)(const procpool_options *options);
  procpool_initializer initializer; /* a function of the plugin's; wants 4 bytes, whose number is added to results */
  procpool_status (*map)(procpool *pool, const int *in, int *out, size_t count); /* squares, in workers */
  procpool_status (*run)(procpool *pool, procpool_function function, int *result);
  procpool_function die; /* a task that ends its worker by SIGKILL */
  procpool_start (*start_method)(procpool *pool);
  procpool_status (*wait_ready)(procpool *pool, double timeout);
  procpool_status (*close)(procpool *pool);
} plugin_calls;

/* The symbols: plugin_calls plugin_pool_calls; void plugin_worker_main(void). */

#endif /* PLUGIN_H */
