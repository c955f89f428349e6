#include "label_survey.h"

#include <algorithm>
#include <cstring>

#include "bytes.h"
#include "lanes.h"

namespace lsu {
namespace {

LSU_CLONES void note_differences(const uint8_t* row,    // [count]
                                 const uint8_t* first,  // [count]
                                 int64_t count,
                                 uint8_t* __restrict differs)  // [count]
{
    for (int64_t x = 0; x < count; ++x) differs[x] = static_cast<uint8_t>(differs[x] | (row[x] ^ first[x]));
}

}  // namespace

void LabelSurvey::prepare(const Plan& plan) { of_cells_.resize(static_cast<size_t>(plan.tile_samples + 1)); }

// Labels are compared along whole rows first, so that most cells cost one look.
void LabelSurvey::run(const Plan& plan, const uint8_t* labels, int64_t rows, int64_t width,
                      const std::vector<int32_t>& starts) {
    scores_matter_ = false;
    parts_ = 0;
    if (labels == nullptr) {
        std::fill(of_cells_.begin(), of_cells_.end(), 0);
        scores_matter_ = plan.allowed_for(0).count > 1;
        return;
    }
    labels_ = labels;
    rows_ = rows;
    std::memcpy(first_row_.data(), labels, static_cast<size_t>(width));
    std::memset(differs_.data(), 0, static_cast<size_t>(width));
    for (int64_t y = 1; y < rows; ++y)
        note_differences(labels + y * plan.row_bytes(), first_row_.data(), width, differs_.data());
    for (size_t cell = 0; starts[cell] < width; ++cell)
        survey_cell(plan, cell, starts[cell], starts[cell + 1]);
}

void LabelSurvey::survey_cell(const Plan& plan, size_t cell, int64_t begin, int64_t end) {
    const uint8_t label = first_row_[static_cast<size_t>(begin)];
    uint64_t mixed = 0;
    for (int64_t x = begin; x < end; x += kLanes) {
        const auto row = load<uint64_t>(first_row_.data() + x);
        mixed |= ((row ^ (label * kEachByte)) | load<uint64_t>(differs_.data() + x)) & first_bytes(end - x);
    }
    of_cells_[cell] = mixed != 0 ? kMixed : int32_t{label};
    if (mixed == 0) {
        if (cell == 0 || of_cells_[cell - 1] != label) scores_matter_ |= plan.allowed_for(label).count > 1;
        return;
    }
    scores_matter_ = scores_matter_ || has_choice(plan, begin, end);
    ++parts_;
    for (int64_t x = begin; x < end - 1; x += kLanes) {
        const auto row = load<uint64_t>(first_row_.data() + x);
        const uint64_t changes = (row ^ load<uint64_t>(first_row_.data() + x + 1)) & first_bytes(end - 1 - x);
        parts_ += kLanes - sum_of_bytes(bytes_equal(changes, 0) & kEachByte);
    }
}

bool LabelSurvey::has_choice(const Plan& plan, int64_t begin, int64_t end) const {
    if (plan.scanned.count == 0) return false;
    for (int64_t y = 0; y < rows_; ++y)
        for (int64_t x = begin; x < end; ++x)
            if (plan.allowed_for(labels_[y * plan.row_bytes() + x]).count > 1) return true;
    return false;
}

}  // namespace lsu
