// What the CPU implementation works out once per call, before any row is answered.
#ifndef LSU_PLAN_H
#define LSU_PLAN_H

#include <array>
#include <cstdint>
#include <vector>

#include "rules.h"

namespace lsu {

// The classes that one label allows, in rising order: the order in which the tie rule wants them offered.
struct ClassList {
    int64_t count = 0;
    std::array<uint8_t, LSU_MAX_CHANNELS> ids{};
};

// The taps of all columns of the window, one array per field so that loops over columns vectorise.
struct Columns {
    std::vector<int32_t> lower;       // [width]
    std::vector<int32_t> upper;       // [width]
    std::vector<float> lower_weight;  // [width]
    std::vector<float> upper_weight;  // [width]
};

struct Plan {
    Plan(const lsu_head_input& input, const lsu_head_output& output);

    const ClassList& allowed_for(uint8_t label) const {
        return constrained.empty() ? every_class : constrained[label];
    }

    lsu_head_input in;
    lsu_head_output out;
    Columns columns;
    ClassList every_class;
    std::vector<ClassList> constrained;  // [table_rows]; a label is 0 where there are no labels
};

}  // namespace lsu

#endif  // LSU_PLAN_H
