// A band's part of a map in the making. Rows and columns are counted from the band's first.
#ifndef LSU_SHEET_H
#define LSU_SHEET_H

#include <array>
#include <cstdint>

#include "cells.h"
#include "plan.h"

namespace lsu {

// What one class, or void, answers in a cell or a part of it.
struct Fill {
    uint8_t value;
    uint8_t margin;
    Outcome outcome;
};

using RowMasks = std::array<uint64_t, static_cast<size_t>(kBandRows)>;  // 255 or 0 per byte

// Among which classes a pixel's answer is sought.
enum class Sets {
    kOfLabels,    // those that its label allows
    kEveryClass,  // all, for the free answer that the agreement is counted with
};

class Sheet {
  public:
    explicit Sheet(Sets sets) : constrained(sets == Sets::kOfLabels) {}

    // Begins a band.
    void start(int64_t rows, bool with_margin) {
        rows_ = rows;
        with_margin_ = with_margin;
    }

    bool with_margin() const { return with_margin_; }

    void fill_first_row(Span columns, const Fill& fill);
    void repeat_first_row(int64_t width);

    // Paints the bytes of `part` from a column on. The blocks are of kLanes columns and all rows.
    void paint(int64_t column, const RowMasks& part, const Fill& fill);
    void paint(int64_t column, const RowMasks& part, const BlockBytes& classes, const BlockBytes& margin);

    // Copies the first `width` columns to a map whose rows are `row_bytes` apart.
    void write(int64_t width, int64_t row_bytes, uint8_t* classes, uint8_t* margin) const;

    const uint8_t* row(int64_t y) const { return classes_.data() + y * kPitch; }

    const bool constrained;

  private:
    static constexpr int64_t kPitch = kTileWidth + kLanes;
    using Map = std::array<uint8_t, static_cast<size_t>(kBandRows* kPitch)>;  // [kBandRows, kPitch]

    int64_t rows_ = 0;
    bool with_margin_ = false;
    Map classes_{};
    Map margin_{};
};

// The number of bytes in `part` where a block is void.
int64_t count_voids(const BlockBytes& classes, const RowMasks& part, int64_t rows);

}  // namespace lsu

#endif  // LSU_SHEET_H
