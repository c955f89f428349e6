// Counts of pixels per label and outcome, as one thread adds them up.
#ifndef LSU_TALLY_H
#define LSU_TALLY_H

#include <array>
#include <cstdint>

#include "rules.h"

namespace lsu {

class Tally {
  public:
    // [4]: forced, chosen, void, agreed.
    int64_t* of(uint8_t label) { return counts_.data() + 4 * label; }

    // Moves the counts to [256, columns].
    void move_to(int64_t* counts, int64_t columns) {
        for (int64_t label = 0; label < LSU_COUNTED_LABELS; ++label)
            for (int64_t column = 0; column < columns; ++column)
                counts[label * columns + column] += counts_[static_cast<size_t>(4 * label + column)];
        clear();
    }

    void clear() { counts_.fill(0); }

  private:
    std::array<int64_t, 4 * LSU_COUNTED_LABELS> counts_{};
};

}  // namespace lsu

#endif  // LSU_TALLY_H
