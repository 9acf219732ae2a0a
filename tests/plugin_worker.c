/* plugin_worker.c - the program that the pools of plugin_pool.so start: it opens the plugin, which lies beside it, and
 * calls the door in there. That returns only where no pool has started this program. */
#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

int main(int argc, char **argv) {
  char path[4096];
  const char *slash = argc > 0 ? strrchr(argv[0], '/') : NULL;
  void (*worker_main)(void);
  void *plugin, *symbol;
  if (argc < 1)
    return 2;
  (void)snprintf(path, sizeof(path), "%.*s/plugin_pool.so", slash != NULL ? (int)(slash - argv[0]) : 1,
                 slash != NULL ? argv[0] : ".");
  plugin = dlopen(path, RTLD_NOW);
  symbol = plugin != NULL ? dlsym(plugin, "plugin_worker_main") : NULL;
  if (symbol == NULL) {
    (void)fprintf(stderr, "%s\n", dlerror());
    return 3;
  }
  memcpy((void *)&worker_main, (const void *)&symbol, sizeof(worker_main));
  worker_main();
  printf("no pool has started this\n");
  return 4;
}
