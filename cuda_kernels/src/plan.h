// What the CPU implementation works out once per call, before any row is answered.
#ifndef LSU_PLAN_H
#define LSU_PLAN_H

#include <algorithm>
#include <array>
#include <cstdint>
#include <vector>

#include "lanes.h"
#include "rules.h"

namespace lsu {

constexpr int64_t kUsualTileWidth = 512;  // columns of the answer that are in work at once
constexpr int64_t kTileWidth = 576;       // at most: a tile ends where a cell does, if one ends soon

// The classes that one label allows, in rising order: the order in which the tie rule wants them offered.
struct ClassList {
    int64_t count = 0;
    std::array<uint8_t, LSU_MAX_CHANNELS> ids{};
};

// The taps of all columns of the window, one array per field so that loops over columns vectorise.
struct Columns {
    std::vector<int32_t> lower;       // [width + kLanes]
    std::vector<int32_t> upper;       // [width + kLanes]
    std::vector<float> lower_weight;  // [width + kLanes]
    std::vector<float> upper_weight;  // [width + kLanes]
};

// Columns of the window, `begin` included and `end` not.
struct Span {
    int64_t begin;
    int64_t end;
};

// Consecutive rows of one image of the batch: what one thread takes at a time.
struct Block {
    int64_t image;
    Span rows;
};

// Kept from call to call, so that the memory of the last call serves the next.
class Plan {
  public:
    void prepare(const lsu_head_input& input, const lsu_head_output& output, int32_t method);

    const ClassList& allowed_for(uint8_t label) const {
        return in.table == nullptr ? every_class : constrained_[label];
    }

    // The label's row of the table, [words()]; null: all classes are allowed.
    const uint64_t* row_of(uint8_t label) const {
        return in.table == nullptr ? nullptr : in.table + label * words();
    }

    bool allows(uint8_t label, int64_t id) const {
        return in.table == nullptr || ((row_of(label)[id / 64] >> (id % 64)) & 1u) != 0;
    }

    int64_t words() const { return (in.channels + 63) / 64; }  // of a row of the table
    int64_t row_bytes() const { return in.packed != 0 ? (in.width + 3) / 4 * 4 : in.width; }

    // The first row of the window whose lower sample is `sample` or a later one; `first_column` likewise.
    int64_t first_row(int64_t sample) const {
        return cell_begin(sample, in.score_height, in.canvas_height, in.offset_y, in.height);
    }
    int64_t first_column(int64_t sample) const {
        return cell_begin(sample, in.score_width, in.canvas_width, in.offset_x, in.width);
    }

    // Where the tile that begins at a column ends: where a cell does, if one ends in it.
    int64_t tile_end(int64_t begin) const;

    int64_t blocks() const { return in.batch * blocks_per_image_; }
    Block block_at(int64_t index) const;

    lsu_head_input in{};
    lsu_head_output out{};
    Columns columns;
    ClassList every_class;
    ClassList scanned;   // the classes whose scores may be asked for: those in sets of two or more
    bool cells = false;  // answer by cells where that is expected to be faster
    bool always_cells = false;
    int64_t tile_samples = 0;  // columns of the scores that one tile can touch, at most

  private:
    static int64_t cell_begin(int64_t sample, int64_t source, int64_t target, int64_t offset, int64_t size);
    void prepare_columns();
    void prepare_classes();
    void choose_method(int32_t method);

    std::vector<ClassList> constrained_;  // [table_rows]; a label is 0 where there are no labels
    bool columns_are_ready_ = false;      // not so after memory ran out
    int64_t blocks_per_image_ = 0;
    int64_t first_sample_ = 0;  // the row of the scores above the window's first row
};

}  // namespace lsu

#endif  // LSU_PLAN_H
