// A band is what lies between two rows of samples within a tile: one row of cells. It is answered cell by
// cell.
#ifndef LSU_BAND_H
#define LSU_BAND_H

#include <array>
#include <cstdint>
#include <vector>

#include "cells.h"
#include "plan.h"
#include "samples.h"
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
    static constexpr int64_t kPitch = kTileWidth + kLanes;
    using Map = std::array<uint8_t, static_cast<size_t>(kBandRows* kPitch)>;  // [kBandRows, kPitch]
    using RowMasks = std::array<uint64_t, static_cast<size_t>(kBandRows)>;    // 255 or 0 per byte

    // What is being made: the answer within the labels' sets, or the free answer for the agreement.
    struct Sheet {
        Map classes;
        Map margin;
        bool constrained;
        bool with_margin;
    };

    // What one class, or void, answers in a cell or a part of it.
    struct Fill {
        uint8_t value;
        uint8_t margin;
        Outcome outcome;
    };

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

    void survey_labels(const Plan& plan);
    void survey_cells(const Plan& plan);
    void find_class_fills(const Plan& plan, Samples& samples);
    void sort_cells(const Plan& plan, const Sheet& sheet);
    bool dense_is_faster(const Plan& plan, const Sheet& sheet);
    bool fill_for(const Plan& plan, int64_t cell, uint8_t label, const Sheet& sheet, Fill& fill) const;
    bool resolve(const Plan& plan, int64_t cell, uint8_t label, const Sheet& sheet, Fill& fill);
    void weigh_rows(const Plan& plan);
    void paint(const Plan& plan, Sheet& sheet, Tally& tally);
    void paint_cell(const Plan& plan, int64_t cell, Sheet& sheet, Tally& tally);
    void paint_mixed_block(const Plan& plan, const Block& block, Sheet& sheet, Tally& tally);
    void paint_part(const Plan& plan, const Block& block, bool filled, const Fill& fill, const RowMasks& part,
                    Sheet& sheet, int64_t* counts);
    void write(const Plan& plan, uint8_t* map, const Map& made) const;
    void count_agreement(const Plan& plan, Tally& tally) const;

    const uint8_t* labels_at(const Plan& plan, int64_t y) const {
        return plan.in.labels + (image_ * plan.in.height + y) * plan.row_bytes() + columns_.begin;
    }

    int64_t image_ = 0;
    Span columns_{0, 0};
    Span rows_{0, 0};
    int64_t y_ = 0;
    int64_t cells_ = 0;
    bool scores_matter_ = false;
    Corners corners_{};              // of the band's first cell
    std::vector<int32_t> starts_;    // [cells + 1], columns of the tile
    std::vector<int32_t> labels_;    // [cells], the label of all its pixels, or kMixed
    std::vector<int32_t> fills_;     // [cells + kLanes], the class that fills it where all are allowed
    std::vector<int32_t> deferred_;  // cells that no fill answers
    std::vector<Run> runs_;          // the others
    std::array<uint8_t, kPitch> first_labels_{};
    std::array<uint8_t, kPitch> differs_{};  // bits in which labels of the column differ from the first row's
    std::array<float, kBandRows> top_weight_{};
    std::array<float, kBandRows> bottom_weight_{};
    Candidates candidates_;
    BlockBytes block_classes_{};
    BlockBytes block_margin_{};
    Sheet answer_{};
    Sheet free_{};
};

}  // namespace lsu

#endif  // LSU_BAND_H
