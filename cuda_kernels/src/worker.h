// One thread's share of the CPU implementation: blocks of rows, in tiles of columns that stay in the cache.
#ifndef LSU_WORKER_H
#define LSU_WORKER_H

#include <array>
#include <cstdint>
#include <vector>

#include "plan.h"

namespace lsu {

// The running best of each column of a tile. A class id is 32 bits wide here, the width of a score, because
// the compiler vectorises a loop over lanes of one width.
struct Leaders {
    std::vector<float> best;    // [kTileWidth], no_score() = none yet
    std::vector<float> second;  // [kTileWidth], no_score() = none yet; only kept up if the margin is wanted
    std::vector<int32_t> id;    // [kTileWidth], 255 = none yet
};

class Worker {
  public:
    // Allocates all that the thread will need, so that answering cannot fail.
    explicit Worker(const Plan& plan);

    void answer_rows(int64_t first, int64_t last) noexcept;

    // [256, 4]: forced, chosen, void, agreed.
    const std::array<int64_t, 4 * LSU_COUNTED_LABELS>& counts() const { return counts_; }

  private:
    struct Span {
        int64_t begin;  // columns, relative to the tile
        int64_t end;
    };

    void answer_tile_row(int64_t y);
    void answer_run(int64_t y, uint8_t label, Span run);
    void offer(const ClassList& classes, Span run, bool with_second, Leaders& leaders);
    void write_run(int64_t y, uint8_t label, Span run);
    const float* widened_row(int64_t id, int64_t source_y);

    const Plan& plan_;
    std::vector<float> source_;  // [score_width] of one class, widened, non-finite samples as NaN
    std::vector<float> wide_;    // [2, channels, kTileWidth]: rows of the scores at the answer's columns
    std::vector<int64_t> held_;  // [2, channels]: which row of the scores lies in wide_, -1 = none
    Leaders leaders_;
    Leaders free_leaders_;  // over all classes, for the agreement
    std::array<int64_t, 4 * LSU_COUNTED_LABELS> counts_{};
    int64_t tile_ = 0;        // first column
    int64_t tile_width_ = 0;  // columns
    Tap rows_{};              // the two rows of the scores around the row in work
};

}  // namespace lsu

#endif  // LSU_WORKER_H
