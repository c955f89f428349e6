#include "worker.h"

#include <algorithm>
#include <cstring>

namespace lsu {

void Worker::prepare(const Plan& plan) {
    if (plan.cells) {
        samples_.prepare(plan);
        band_.prepare(plan);
    }
    dense_.prepare(plan);
    tally_.clear();
}

void Worker::answer(const Plan& plan, const Block& block) noexcept {
    for (Span tile{0, 0}; tile.begin < plan.in.width; tile.begin = tile.end) {
        tile.end = plan.tile_end(tile.begin);
        answer_tile(plan, block, tile);
    }
    pad_rows(plan, block);
}

void Worker::answer_tile(const Plan& plan, const Block& block, Span columns) {
    dense_.enter(block.image, columns);
    if (!plan.cells) return dense_.answer_rows(plan, block.rows, nullptr, tally_);
    samples_.enter(plan, block.image, columns);
    band_.enter(plan, block.image, columns);
    for (Span rows{block.rows.begin, 0}; rows.begin < block.rows.end; rows.begin = rows.end) {
        const int64_t y =
            tap_at(rows.begin + plan.in.offset_y, plan.in.score_height, plan.in.canvas_height).lower;
        rows.end = std::min({plan.first_row(y + 1), rows.begin + kBandRows, block.rows.end});
        if (!band_.answer(plan, rows, y, samples_, tally_)) dense_.answer_rows(plan, rows, &samples_, tally_);
    }
}

void Worker::pad_rows(const Plan& plan, const Block& block) {
    const auto padding = static_cast<size_t>(plan.row_bytes() - plan.in.width);
    for (int64_t y = block.rows.begin; padding != 0 && y < block.rows.end; ++y) {
        const int64_t at = (block.image * plan.in.height + y) * plan.row_bytes() + plan.in.width;
        std::memset(plan.out.classes + at, LSU_VOID, padding);
        if (plan.out.margin != nullptr) std::memset(plan.out.margin + at, LSU_VOID, padding);
    }
}

}  // namespace lsu
