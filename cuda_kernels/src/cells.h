// Inside one cell, the pixels between four neighbouring samples, few classes can win. These are the exact
// short cuts: which classes they are, and the answer of a cell from them alone.
//
// Why it is exact: mix() is monotone in the samples, so that a class that yields to another at all four
// corners yields everywhere inside; and a class with a sample that is not finite can win nowhere in the cell.
#ifndef LSU_CELLS_H
#define LSU_CELLS_H

#include <array>
#include <cstdint>

#include "label_survey.h"
#include "plan.h"
#include "samples.h"

namespace lsu {

constexpr int64_t kBandRows = 32;  // rows of a cell that are answered at once

// The samples at a cell's corners, of all classes.
struct Corners {
    const float* top;     // [channels, pitch], from the cell's column on
    const float* bottom;  // [channels, pitch]
    int64_t pitch;
};

// The classes that can be the answer somewhere in a cell, in rising order.
struct Candidates {
    int64_t count = 0;
    std::array<int32_t, LSU_MAX_CHANNELS> ids;
    alignas(16) std::array<std::array<float, 4>, LSU_MAX_CHANNELS> corners;  // top pair, bottom pair
};

// Where a block of kLanes columns lies within its cell's columns and rows.
struct BlockWeights {
    const float* left;    // [kLanes], of the columns
    const float* right;   // [kLanes]
    const float* top;     // [rows]
    const float* bottom;  // [rows]
    int64_t rows;         // at most kBandRows
};

using BlockBytes = std::array<uint8_t, kBandRows * kLanes>;  // [rows, kLanes]

// For each of `count` cells in a row the class that fills it among all scanned ones, or kMixed.
void find_fills(const Leading& top, const Leading& bottom, int64_t count,
                int32_t* fills);  // [count + kLanes]

// The same, where the margin is at least `scale` over the whole cell besides.
void find_clear_fills(const Leading& top, const Leading& bottom, int64_t count, float scale,
                      int32_t* fills);  // [count + kLanes]

// The allowed classes that yield to no leader of a corner. Every leader that is finite at all corners is
// kept.
void find_candidates(const Corners& corners, const ClassList& allowed, Candidates& candidates);

// The allowed classes that do not yield to two others: those that decide the best and the second score.
void find_contenders(const Corners& corners, const ClassList& allowed, Candidates& candidates);

// The best candidate of each pixel; at least one candidate.
void answer_block(const Candidates& candidates, const BlockWeights& weights, BlockBytes& classes);

// The same, with the margin over the runner-up.
void answer_block_with_margin(const Candidates& candidates, const BlockWeights& weights, float scale,
                              BlockBytes& classes, BlockBytes& margin);

}  // namespace lsu

#endif  // LSU_CELLS_H
