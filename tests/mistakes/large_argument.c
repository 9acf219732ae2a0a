// expect: procpool_argument_too_large_use_a_shared_buffer_or_procpool_submit_blur
// expect c++: the arguments of blur are over 64 KiB: use a shared buffer or procpool_submit
#include "../../procpool.h"

typedef struct image {
  char bytes[65537];
} image;

PROCPOOL_FUNCTION(int, blur, image, in) {
  return in.bytes[0];
}
