// The labels under one band: which cells have one label throughout.
#ifndef LSU_LABEL_SURVEY_H
#define LSU_LABEL_SURVEY_H

#include <array>
#include <cstdint>
#include <vector>

#include "plan.h"

namespace lsu {

constexpr int32_t kMixed = -1;  // of a cell: several labels, or no class that is known to fill it

class LabelSurvey {
  public:
    // Allocates all that a call will need.
    void prepare(const Plan& plan);

    // Looks at `rows` rows of labels, `row_bytes` apart. Null: all labels are 0.
    void run(const Plan& plan,
             const uint8_t* labels,  // [rows, width]
             int64_t rows, int64_t width,
             const std::vector<int32_t>& starts);  // [cells + 1], columns

    const std::vector<int32_t>& of_cells() const { return of_cells_; }  // [cells], the label or kMixed
    bool scores_matter() const { return scores_matter_; }               // does a set of two or more occur?
    int64_t parts() const { return parts_; }  // about how many labels the mixed cells have together

  private:
    void survey_cell(const Plan& plan, size_t cell, int64_t begin, int64_t end);
    bool has_choice(const Plan& plan, int64_t begin, int64_t end) const;  // within columns

    const uint8_t* labels_ = nullptr;
    int64_t rows_ = 0;
    bool scores_matter_ = false;
    int64_t parts_ = 0;
    std::vector<int32_t> of_cells_;
    std::array<uint8_t, kTileWidth + kLanes + 1> first_row_{};
    std::array<uint8_t, kTileWidth + kLanes>
        differs_{};  // not 0: the column has another label than in the first row
};

}  // namespace lsu

#endif  // LSU_LABEL_SURVEY_H
