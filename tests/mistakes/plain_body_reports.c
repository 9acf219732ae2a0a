// expect: .task. undeclared|undeclared identifier .task.
// expect c++: .task. was not declared|undeclared identifier .task.
#include "../../procpool.h"

PROCPOOL_FUNCTION(int, root, int, x) {
  if (x < 0)
    procpool_task_fail(task, 1, "negative"); /* PROCPOOL_TASK_FUNCTION has a task */
  return x;
}
