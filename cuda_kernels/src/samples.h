// Rows of the scores, widened to float32, with what leads at each sample: the low-resolution pass that tells
// which cells one class fills.
#ifndef LSU_SAMPLES_H
#define LSU_SAMPLES_H

#include <array>
#include <cstdint>
#include <vector>

#include "plan.h"

namespace lsu {

constexpr int32_t kNobody = LSU_VOID;  // leads where no class is finite

// What leads at each sample of a row, over the scanned classes. [count + kLanes]; what lies beyond the last
// sample repeats it.
struct Leading {
    float* best;     // the best score, no_score() = no finite one
    float* lower;    // the best among the classes of lower id than the leader
    float* second;   // the best among all others; only made if the margin is wanted
    float* largest;  // the largest magnitude
    int32_t* id;     // the leader, ties to the lowest id; 255 = none
};

struct SampleRow {
    float* values;  // [channels, pitch], non-finite samples as NaN
    int64_t pitch;
    uint8_t* finite;  // [channels], 1 = all samples of the class are
    Leading leading;
};

// Two neighbouring rows of one tile's columns; rows of the same parity share a place.
class Samples {
  public:
    // Allocates all that a call will need.
    void prepare(const Plan& plan);

    // Begins a tile: the columns of the scores under the given columns of the answer.
    void enter(const Plan& plan, int64_t image, Span columns);

    // Reads the row unless it lies here already. The sample beyond the last column of the scores repeats it.
    void hold(const Plan& plan, int64_t y);

    const SampleRow& row(int64_t y) const { return rows_[static_cast<size_t>(y & 1)]; }

  private:
    int64_t image_ = 0;
    int64_t first_ = 0;
    int64_t count_ = 0;
    std::array<int64_t, 2> held_{-1, -1};
    std::vector<float> values_;    // [2, channels, pitch]
    std::vector<float> numbers_;   // [2, 4, pitch]: best, lower, second, largest
    std::vector<int32_t> ids_;     // [2, pitch]
    std::vector<uint8_t> finite_;  // [2, channels]
    std::array<SampleRow, 2> rows_{};
};

}  // namespace lsu

#endif  // LSU_SAMPLES_H
