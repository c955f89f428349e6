// A band is what lies between two rows of samples within a tile: one row of cells. It is answered cell by
// cell.
#ifndef LSU_BAND_H
#define LSU_BAND_H

#include <array>
#include <cstdint>
#include <vector>

#include "cells.h"
#include "label_survey.h"
#include "plan.h"
#include "samples.h"
#include "screen.h"
#include "sheet.h"
#include "tally.h"

namespace lsu {

class Band {
  public:
    // Allocates all that a call will need.
    void prepare(const Plan& plan);

    // Begins a tile: where its cells begin and end.
    void enter(const Plan& plan, int64_t image, Span columns);

    // Answers the given rows, at most kBandRows, all between the rows of samples `y` and `y + 1`. Or, if the
    // dense loop is expected to be faster, writes nothing and returns false.
    bool answer(const Plan& plan, Span rows, int64_t y, Samples& samples, Tally& tally);

  private:
    // Neighbouring cells of one label with one fill.
    struct Run {
        Span columns;
        uint8_t label;
        Fill fill;
    };

    // The part of a cell under kLanes columns or fewer.
    struct Block {
        int64_t cell;
        int64_t column;   // of the tile
        uint64_t inside;  // 255 for each of its columns
    };

    // A block and the candidates that it was answered from.
    struct Made {
        int64_t cell;
        int64_t column;
        int64_t count;
        std::array<int32_t, LSU_MAX_CHANNELS> ids;
    };

    void find_class_fills(const Plan& plan, int64_t y, Samples& samples);
    void sort_cells(const Plan& plan, const Sheet& sheet);
    bool dense_is_faster(const Plan& plan) const;
    bool fill_for(const Plan& plan, int64_t cell, uint8_t label, const Sheet& sheet, Fill& fill) const;
    bool resolve(const Plan& plan, int64_t cell, uint8_t label, const Sheet& sheet, Fill& fill);
    void weigh_rows(const Plan& plan);
    void make_sheet(const Plan& plan, Sheet& sheet, Tally& tally);
    void paint_cell(const Plan& plan, int64_t cell, Sheet& sheet, Tally& tally);
    void paint_mixed_block(const Plan& plan, const Block& block, Sheet& sheet, Tally& tally);
    bool is_made(const Block& block) const;
    void make_block(const Plan& plan, const Block& block, const Sheet& sheet);
    void paint_candidates(const Plan& plan, const Block& block, const RowMasks& part, int64_t pixels,
                          Sheet& sheet, int64_t* counts);
    void count_agreement(const Plan& plan, Tally& tally) const;
    int64_t at(const Plan& plan) const;
    const uint8_t* labels(const Plan& plan) const;

    int64_t image_ = 0;
    Span columns_{0, 0};
    Span rows_{0, 0};
    int64_t cells_ = 0;
    const SampleRow* top_ = nullptr;  // null: no score is asked for
    const SampleRow* bottom_ = nullptr;
    std::vector<int32_t> starts_;  // [cells + 1], columns of the tile
    LabelSurvey survey_;
    std::vector<int32_t>
        fills_;  // [cells + kLanes], the class that fills it where all are allowed, or kMixed
    std::vector<int32_t> deferred_;  // cells that no fill answers
    std::vector<Run> runs_;          // the others
    Screen screen_;
    ClassList passed_;
    Candidates candidates_;
    std::array<float, kBandRows> top_weight_{};
    std::array<float, kBandRows> bottom_weight_{};
    Made made_{};  // what lies in block_classes_ and block_margin_
    BlockBytes block_classes_{};
    BlockBytes block_margin_{};
    Sheet answer_{Sets::kOfLabels};
    Sheet free_{Sets::kEveryClass};
};

}  // namespace lsu

#endif  // LSU_BAND_H
