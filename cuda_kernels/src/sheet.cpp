#include "sheet.h"

#include <cstring>

#include "bytes.h"

namespace lsu {

void Sheet::fill_first_row(Span columns, const Fill& fill) {
    const auto count = static_cast<size_t>(columns.end - columns.begin);
    std::memset(classes_.data() + columns.begin, fill.value, count);
    if (with_margin_) std::memset(margin_.data() + columns.begin, fill.margin, count);
}

void Sheet::repeat_first_row(int64_t width) {
    for (int64_t y = 1; y < rows_; ++y) {
        std::memcpy(classes_.data() + y * kPitch, classes_.data(), static_cast<size_t>(width));
        if (with_margin_)
            std::memcpy(margin_.data() + y * kPitch, margin_.data(), static_cast<size_t>(width));
    }
}

void Sheet::paint(int64_t column, const RowMasks& part, const Fill& fill) {
    for (int64_t y = 0; y < rows_; ++y) {
        const uint64_t mask = part[static_cast<size_t>(y)];
        blend_bytes(classes_.data() + y * kPitch + column, fill.value * kEachByte, mask);
        if (with_margin_) blend_bytes(margin_.data() + y * kPitch + column, fill.margin * kEachByte, mask);
    }
}

void Sheet::paint(int64_t column, const RowMasks& part, const BlockBytes& classes, const BlockBytes& margin) {
    for (int64_t y = 0; y < rows_; ++y) {
        const uint64_t mask = part[static_cast<size_t>(y)];
        const auto made = load<uint64_t>(classes.data() + y * kLanes);
        blend_bytes(classes_.data() + y * kPitch + column, made, mask);
        if (with_margin_)
            blend_bytes(margin_.data() + y * kPitch + column,
                        load<uint64_t>(margin.data() + y * kLanes) & ~bytes_equal(made, LSU_VOID), mask);
    }
}

void Sheet::write(int64_t width, int64_t row_bytes, uint8_t* classes, uint8_t* margin) const {
    for (int64_t y = 0; y < rows_; ++y) {
        std::memcpy(classes + y * row_bytes, row(y), static_cast<size_t>(width));
        if (with_margin_)
            std::memcpy(margin + y * row_bytes, margin_.data() + y * kPitch, static_cast<size_t>(width));
    }
}

int64_t count_voids(const BlockBytes& classes, const RowMasks& part, int64_t rows) {
    uint64_t sums = 0;
    for (int64_t y = 0; y < rows; ++y) {
        const auto made = load<uint64_t>(classes.data() + y * kLanes);
        sums += bytes_equal(made, LSU_VOID) & part[static_cast<size_t>(y)] & kEachByte;
    }
    return sum_of_bytes(sums);
}

}  // namespace lsu
