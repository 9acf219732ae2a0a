/* plugin.c - a shared object that a test loads after its pool was opened: its function is in no worker. */
#include "../procpool.h"

__attribute__((visibility("default"))) void plugin_task(procpool_task *task);

void plugin_task(procpool_task *task) {
  const int answer = 42;
  procpool_task_return(task, &answer, sizeof(answer));
}
