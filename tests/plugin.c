/* plugin.c - a shared object that a test loads after its pool was opened: its function is in no worker. Built twice, with
 * other answers: plugin.so, plugin2.so. */
#include "../procpool.h"

#ifndef PLUGIN_ANSWER
#define PLUGIN_ANSWER 42
#endif

__attribute__((visibility("default"))) void plugin_task(procpool_task *task);

void plugin_task(procpool_task *task) {
  const int answer = PLUGIN_ANSWER;
  procpool_task_return(task, &answer, sizeof(answer));
}
