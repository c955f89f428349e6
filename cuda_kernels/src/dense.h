// The dense loop: each allowed class at each pixel. It serves tiles where most cells are mixed, and ratios at
// which a cell has few pixels.
#ifndef LSU_DENSE_H
#define LSU_DENSE_H

#include <array>
#include <cstdint>
#include <vector>

#include "plan.h"
#include "samples.h"
#include "tally.h"

namespace lsu {

// The running best of each column of a tile. A class id is 32 bits wide here, the width of a score, because
// the compiler vectorises a loop over lanes of one width.
struct Running {
    std::vector<float> best;  // [kTileWidth + kLanes], no_score() = none yet
    std::vector<float>
        second;  // [kTileWidth + kLanes], no_score() = none yet; only kept up if the margin is wanted
    std::vector<int32_t> id;  // [kTileWidth + kLanes], 255 = none yet
};

class Dense {
  public:
    // Allocates all that a call will need.
    void prepare(const Plan& plan);

    // Begins a tile of an image.
    void enter(int64_t image, Span columns);

    // Answers the tile's columns of the given rows. `samples` are the tile's, or null: scores are read
    // directly.
    void answer_rows(const Plan& plan, Span rows, Samples* samples, Tally& tally);

  private:
    struct Row;

    void answer_row(const Plan& plan, int64_t y, Samples* samples, Tally& tally);
    void answer_run(const Plan& plan, const Row& row, uint8_t label, Span run, Tally& tally);
    void answer_mixed_row(const Plan& plan, const Row& row, Tally& tally);
    void offer(const Plan& plan, const Row& row, const ClassList& classes, Span run, bool with_second,
               Running& running);
    int32_t spread_masks(const Row& row, int64_t group);
    int64_t write_run(const Plan& plan, const Row& row, Span run);
    bool agrees(const Plan& plan, const Row& row, int64_t x) const;
    const float* widened_row(const Plan& plan, const Row& row, int64_t id, int64_t source_y);
    const float* source_row(const Plan& plan, const Row& row, int64_t id, int64_t source_y);
    void prepare_masks(const Plan& plan);

    int64_t image_ = 0;
    Span columns_{0, 0};
    std::vector<float> source_;  // [tile_samples] of one class, widened, non-finite samples as NaN
    std::vector<float> wide_;    // [2, channels, kTileWidth]: rows of the scores at the answer's columns
    std::vector<int64_t> held_;  // [2, channels]: which row of the scores lies in wide_, -1 = none
    std::vector<int32_t>
        masks_;  // [groups of 32 classes, 256]: the table's bits, none where a label is forced
    std::vector<int32_t> words_;                      // [kTileWidth] of masks_
    std::array<int32_t, LSU_COUNTED_LABELS> only_{};  // the forced class, 255 = no class, -1 = a choice
    Running running_;
    Running free_;  // over all classes, for the agreement
};

}  // namespace lsu

#endif  // LSU_DENSE_H
