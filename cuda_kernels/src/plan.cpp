#include "plan.h"

namespace lsu {
namespace {

Columns columns_of(const lsu_head_input& input) {
    const auto width = static_cast<size_t>(input.width);
    Columns columns{std::vector<int32_t>(width), std::vector<int32_t>(width), std::vector<float>(width),
                    std::vector<float>(width)};
    for (size_t x = 0; x < width; ++x) {
        const int64_t on_canvas = static_cast<int64_t>(x) + input.offset_x;
        const Tap tap = tap_at(on_canvas, input.score_width, input.canvas_width);
        columns.lower[x] = static_cast<int32_t>(tap.lower);
        columns.upper[x] = static_cast<int32_t>(tap.upper);
        columns.lower_weight[x] = tap.lower_weight;
        columns.upper_weight[x] = tap.upper_weight;
    }
    return columns;
}

void append(ClassList& list, int64_t id) {
    list.ids[static_cast<size_t>(list.count++)] = static_cast<uint8_t>(id);
}

ClassList classes_of_row(const uint64_t* row,  // [(channels + 63) / 64]
                         int64_t channels) {
    ClassList list;
    for (int64_t id = 0; id < channels; ++id)
        if (((row[id / 64] >> (id % 64)) & 1u) != 0) append(list, id);
    return list;
}

}  // namespace

Plan::Plan(const lsu_head_input& input, const lsu_head_output& output)
    : in(input), out(output), columns(columns_of(input)) {
    for (int64_t id = 0; id < in.channels; ++id) append(every_class, id);
    const int64_t words = (in.channels + 63) / 64;
    constrained.reserve(static_cast<size_t>(in.table_rows));
    for (int64_t row = 0; row < in.table_rows; ++row)
        constrained.push_back(classes_of_row(in.table + row * words, in.channels));
}

}  // namespace lsu
