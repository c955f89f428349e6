// What every entry of the head refuses before it touches memory.
#ifndef LSU_CHECK_H
#define LSU_CHECK_H

#include "lsu/constrained_argmax.h"

namespace lsu {

// LSU_OK if all reads and writes that the two structs imply are inside the arrays that they describe.
// `table_on_host` says whether the table's bits may be read here: a bit at or beyond `channels` is refused
// then.
lsu_status check_head(const lsu_head_input& input, const lsu_head_output& output, bool table_on_host);

}  // namespace lsu

#endif  // LSU_CHECK_H
