// expect: procpool_result_over_1_MiB_use_a_shared_buffer_or_procpool_task_result_render
// expect c++: the result of render is over 1 MiB: use a shared buffer or procpool_task_result
#include "../../procpool.h"

typedef struct image {
  char bytes[1048577];
} image;

PROCPOOL_FUNCTION(image, render, int, number) {
  static image out;
  (void)number;
  return out;
}
