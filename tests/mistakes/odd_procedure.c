// expect: procpool_write_type_comma_name_for_each_argument_of_save
// expect c++: write type, name for each argument of save
#include "../../procpool.h"

PROCPOOL_PROCEDURE(save, int) {
}
