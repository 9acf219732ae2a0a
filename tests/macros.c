/* macros.c - every macro of the typed layer and of the scope, as C and as C++: no compiler finds anything to say. */
#include "../procpool.h"

typedef struct range {
  double from, to;
} range;

PROCPOOL_FUNCTION(int, none) {
  return 1;
}
PROCPOOL_FUNCTION(range, one, range, r) {
  return r;
}
PROCPOOL_FUNCTION(const char *, two, const char *, text, short, n) {
  return n > 0 ? text : PROCPOOL_NULL;
}
PROCPOOL_FUNCTION(int, eight, int, a, int, b, int *, c, bool, d, float, e, char, f, range, g, procpool_start, h) {
  return c == PROCPOOL_NULL && d && e > 0 && g.from > 0 && h == PROCPOOL_START_AUTO ? a + b : f;
}
PROCPOOL_TASK_FUNCTION(int, task_none) {
  return procpool_task_worker(task);
}
PROCPOOL_TASK_FUNCTION(int, task_two, int, a, int, b) {
  return procpool_task_worker(task) + a + b;
}
PROCPOOL_PROCEDURE(proc_none) {
}
PROCPOOL_PROCEDURE(proc_one, int *, to) {
  *to = 1;
}
PROCPOOL_PROCEDURE(proc_two, int *, to, int, a) {
  *to = a;
}
PROCPOOL_TASK_PROCEDURE(task_proc_none) {
  procpool_task_fail(task, 1, "no");
}
PROCPOOL_TASK_PROCEDURE(task_proc_two, int, a, int, b) {
  procpool_task_fail(task, a + b, "no");
}
PROCPOOL_STRING_FUNCTION(upper, text) {
  procpool_task_return_string(task, text);
}

PROCPOOL_DECLARE(int, far_none);
PROCPOOL_DECLARE(int, far_one, int, a);
PROCPOOL_DECLARE_PROCEDURE(far_proc, int, a, int *, b);
PROCPOOL_DECLARE_TASK_FUNCTION(int, far_task, int, a);
PROCPOOL_DECLARE_TASK_PROCEDURE(far_task_proc);
PROCPOOL_DECLARE(int, far_undefined, int, a); /* as a file sees it that only calls it */

PROCPOOL_DEFINE(int, far_none) {
  return 1;
}
PROCPOOL_DEFINE(int, far_one, int, a) {
  return a;
}
PROCPOOL_DEFINE_PROCEDURE(far_proc, int, a, int *, b) {
  *b = a;
}
PROCPOOL_DEFINE_TASK_FUNCTION(int, far_task, int, a) {
  return procpool_task_worker(task) + a;
}
PROCPOOL_DEFINE_TASK_PROCEDURE(far_task_proc) {
  procpool_task_fail(task, 1, "no");
}

static procpool_status calls(procpool *pool, const procpool_submit_options *options) {
  const int in[2] = {1, 2};
  int out = 0, outs[2];
  char text[8];
  procpool_status status;
  const range r = {1, 2};
  procpool_future *future = upper_submit_with(pool, options, "text");
  if (none_call(pool, &out) != PROCPOOL_OK || far_one_map(pool, in, outs, 2) != PROCPOOL_OK)
    return PROCPOOL_FAILED;
  if (proc_two_call(pool, PROCPOOL_NULL, 1) != PROCPOOL_OK || far_none_map(pool, outs, 2) != PROCPOOL_OK)
    return PROCPOOL_FAILED;
  if (procpool_future_string(future) == PROCPOOL_NULL || proc_none_map(pool, 3) != PROCPOOL_OK)
    return PROCPOOL_FAILED;
  if (none_call_with(pool, options, &out) != PROCPOOL_OK || proc_one_call_with(pool, options, &out) != PROCPOOL_OK ||
      far_one_submit_many_with(pool, in, 2, &future, options) != PROCPOOL_OK ||
      proc_none_submit_many_with(pool, 2, &future, options) != PROCPOOL_OK ||
      upper_call_with(pool, options, "text", text, sizeof(text)) != PROCPOOL_OK ||
      upper_call(pool, "text", text, sizeof(text)) != PROCPOOL_OK)
    return PROCPOOL_FAILED;
  while (none_each(PROCPOOL_NULL, &out, &status) || proc_none_each(PROCPOOL_NULL, &status))
    if (status != PROCPOOL_OK)
      out++;
  return eight_call(pool, 1, 2, PROCPOOL_NULL, true, 1, 'c', r, PROCPOOL_START_AUTO, &out);
}

int scopes(int how);
int scopes(int how) {
  if (how > 1)
    PROCPOOL_WITH(pool, PROCPOOL_NULL) {
      return calls(pool, PROCPOOL_NULL) == PROCPOOL_OK;
    }
  while (how-- > 0) {
    PROCPOOL_WITH(outer, PROCPOOL_NULL) {
      PROCPOOL_WITH(inner, PROCPOOL_NULL) {
        if (how == 3)
          break;
        if (how == 4)
          continue;
        return inner != outer;
      }
      else {
        return 2;
      }
    }
    else {
      return 3;
    }
  }
  PROCPOOL_WITH(first, PROCPOOL_NULL)
  PROCPOOL_WITH(second, PROCPOOL_NULL)
  how = first != second;
  return how;
}
