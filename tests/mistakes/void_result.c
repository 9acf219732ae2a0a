// expect: procpool_write_PROCPOOL_PROCEDURE_if_there_is_no_result_save
// expect c++: save has no result: write PROCPOOL_PROCEDURE\(save, \.\.\.\)
#include "../../procpool.h"

PROCPOOL_FUNCTION(void, save, int, number) {
  (void)number;
}
