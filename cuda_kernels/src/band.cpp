#include "band.h"

#include <algorithm>
#include <cstring>

#include "bytes.h"

namespace lsu {
namespace {

// Measured costs, in units of one class interpolated over one cell by the dense loop.
constexpr float kCostOfCell = 3.0f;  // that is deferred, besides one for each class that passes the screen
constexpr float kCostOfPart = 2.0f;  // one label's pixels in a cell of several
constexpr float kPartsWithOwnScores = 2.0f;  // as a rule the labels of a cell share their candidates
constexpr float kPartsOfNoise = 4.0f;        // in a cell: beyond, labels change from pixel to pixel
constexpr float kCostOfRuns = 7.0f;          // to the dense loop, of the labels in a cell
constexpr float kCostOfNoise = 8.0f;         // the same where they change from pixel to pixel, besides
constexpr float kCostOfMask = 0.3f;          // this for each class

uint64_t load_bytes(const uint8_t* from, int64_t count) {
    if (count >= kLanes) return load<uint64_t>(from);
    uint64_t bytes = 0;
    std::memcpy(&bytes, from, static_cast<size_t>(count));
    return bytes;
}

}  // namespace

void Band::prepare(const Plan& plan) {
    const auto cells = static_cast<size_t>(plan.tile_samples + 1);
    starts_.resize(cells + 1);
    fills_.resize(cells + static_cast<size_t>(kLanes));
    deferred_.reserve(cells);
    runs_.reserve(cells);
    survey_.prepare(plan);
    screen_.prepare(plan);
}

void Band::enter(const Plan& plan, int64_t image, Span columns) {
    image_ = image;
    columns_ = columns;
    const int64_t first = plan.columns.lower[static_cast<size_t>(columns.begin)];
    cells_ = plan.columns.lower[static_cast<size_t>(columns.end - 1)] - first + 1;
    for (int64_t cell = 0; cell <= cells_; ++cell) {
        const int64_t start = std::clamp(plan.first_column(first + cell), columns.begin, columns.end);
        starts_[static_cast<size_t>(cell)] = static_cast<int32_t>(start - columns.begin);
    }
}

// Where the band begins in a map.
int64_t Band::at(const Plan& plan) const {
    return (image_ * plan.in.height + rows_.begin) * plan.row_bytes() + columns_.begin;
}

const uint8_t* Band::labels(const Plan& plan) const {
    return plan.in.labels != nullptr ? plan.in.labels + at(plan) : nullptr;
}

bool Band::answer(const Plan& plan, Span rows, int64_t y, Samples& samples, Tally& tally) {
    rows_ = rows;
    const int64_t height = rows.end - rows.begin;
    const int64_t width = columns_.end - columns_.begin;
    survey_.run(plan, labels(plan), height, width, starts_);
    find_class_fills(plan, y, samples);
    answer_.start(height, plan.out.margin != nullptr);
    sort_cells(plan, answer_);
    if (!plan.always_cells && dense_is_faster(plan)) return false;
    weigh_rows(plan);
    make_sheet(plan, answer_, tally);
    answer_.write(width, plan.row_bytes(), plan.out.classes + at(plan),
                  plan.out.margin != nullptr ? plan.out.margin + at(plan) : nullptr);
    if (plan.out.agreement == 0) return true;
    Tally uncounted;
    free_.start(height, false);
    sort_cells(plan, free_);
    make_sheet(plan, free_, uncounted);
    count_agreement(plan, tally);
    return true;
}

void Band::find_class_fills(const Plan& plan, int64_t y, Samples& samples) {
    top_ = bottom_ = nullptr;
    std::fill_n(fills_.begin(), cells_, kMixed);
    if (!survey_.scores_matter() && plan.out.agreement == 0) return;
    const int64_t below = std::min(y + 1, plan.in.score_height - 1);
    samples.hold(plan, y);
    samples.hold(plan, below);
    top_ = &samples.row(y);
    bottom_ = &samples.row(below);
    if (plan.out.margin != nullptr)
        find_clear_fills(top_->leading, bottom_->leading, cells_, plan.in.margin_scale, fills_.data());
    else
        find_fills(top_->leading, bottom_->leading, cells_, fills_.data());
}

// Which cells a fill answers, and which remain. Both depend on the label and the class alone, so that a cell
// like the one before it shares its fate.
void Band::sort_cells(const Plan& plan, const Sheet& sheet) {
    runs_.clear();
    deferred_.clear();
    int32_t label = kMixed;
    int32_t class_fill = kMixed;
    bool filled = false;
    for (int64_t cell = 0; cell < cells_; ++cell) {
        const auto place = static_cast<size_t>(cell);
        const Span columns{starts_[place], starts_[place + 1]};
        const int32_t cell_label = sheet.constrained ? survey_.of_cells()[place] : 0;
        if (columns.begin == columns.end) continue;
        if (cell_label != label || fills_[place] != class_fill) {
            label = cell_label;
            class_fill = fills_[place];
            Fill fill{};
            filled = label != kMixed && fill_for(plan, cell, static_cast<uint8_t>(label), sheet, fill);
            if (filled) runs_.push_back({{columns.begin, columns.begin}, static_cast<uint8_t>(label), fill});
        }
        if (filled)
            runs_.back().columns.end = columns.end;
        else
            deferred_.push_back(static_cast<int32_t>(cell));
    }
    if (top_ != nullptr) screen_.run(plan, *top_, *bottom_, deferred_, sheet.with_margin());
}

bool Band::dense_is_faster(const Plan& plan) const {
    const auto parts = static_cast<float>(survey_.parts());
    const auto cells = static_cast<float>(cells_);
    const float classes = top_ != nullptr ? static_cast<float>(plan.scanned.count) : 0.0f;
    float scores = 0.0f;
    for (const int32_t cell : deferred_)
        scores += kCostOfCell + (top_ != nullptr ? static_cast<float>(screen_.count_passed(cell)) : 0.0f);
    const bool noise = parts > kPartsOfNoise * cells;
    const float cost = kCostOfPart * parts + scores * (noise ? kPartsWithOwnScores : 1.0f);
    const float labels = plan.in.labels == nullptr ? 0.0f
                         : noise                   ? kCostOfNoise + kCostOfMask * classes
                                                   : kCostOfRuns;
    return cost > (classes + labels) * cells;
}

bool Band::fill_for(const Plan& plan, int64_t cell, uint8_t label, const Sheet& sheet, Fill& fill) const {
    const ClassList& allowed = sheet.constrained ? plan.allowed_for(label) : plan.every_class;
    int32_t id = fills_[static_cast<size_t>(cell)];
    if (sheet.constrained && allowed.count < 2) {
        id = allowed.count == 1 ? int32_t{allowed.ids[0]} : int32_t{LSU_VOID};
    } else if (id == kMixed || (sheet.constrained && !plan.allows(label, id))) {
        return false;
    }
    const uint8_t value = written_class(id, plan.in.void_channel);
    fill = {value, value == LSU_VOID ? uint8_t{0} : uint8_t{255}, outcome_of(value, allowed.count)};
    return true;
}

// The fill, or false with the candidates found.
bool Band::resolve(const Plan& plan, int64_t cell, uint8_t label, const Sheet& sheet, Fill& fill) {
    if (fill_for(plan, cell, label, sheet, fill)) return true;
    const ClassList& allowed = sheet.constrained ? plan.allowed_for(label) : plan.every_class;
    const uint64_t* row = sheet.constrained ? plan.row_of(label) : nullptr;
    const ClassList& remaining = screen_.passed(cell, row, passed_) ? passed_ : allowed;
    const Corners corners{top_->values + cell, bottom_->values + cell, top_->pitch};
    if (sheet.with_margin())
        find_contenders(corners, remaining, candidates_);
    else
        find_candidates(corners, remaining, candidates_);
    // From here on a candidate stands for the byte that it writes; their order, which the ties need, stays.
    for (int64_t place = 0; place < candidates_.count; ++place) {
        int32_t& id = candidates_.ids[static_cast<size_t>(place)];
        id = written_class(id, plan.in.void_channel);
    }
    if (candidates_.count > 1) return false;
    const auto value = static_cast<uint8_t>(candidates_.count == 1 ? candidates_.ids[0] : LSU_VOID);
    fill = {value, value == LSU_VOID ? uint8_t{0} : uint8_t{255}, outcome_of(value, allowed.count)};
    return true;
}

void Band::weigh_rows(const Plan& plan) {
    for (int64_t y = rows_.begin; y < rows_.end; ++y) {
        const Tap tap = tap_at(y + plan.in.offset_y, plan.in.score_height, plan.in.canvas_height);
        top_weight_[static_cast<size_t>(y - rows_.begin)] = tap.lower_weight;
        bottom_weight_[static_cast<size_t>(y - rows_.begin)] = tap.upper_weight;
    }
}

void Band::make_sheet(const Plan& plan, Sheet& sheet, Tally& tally) {
    for (const Run& run : runs_) {
        sheet.fill_first_row(run.columns, run.fill);
        tally.of(run.label)[run.fill.outcome] +=
            (run.columns.end - run.columns.begin) * (rows_.end - rows_.begin);
    }
    sheet.repeat_first_row(columns_.end - columns_.begin);
    made_.cell = -1;
    for (const int32_t cell : deferred_) paint_cell(plan, cell, sheet, tally);
}

void Band::paint_cell(const Plan& plan, int64_t cell, Sheet& sheet, Tally& tally) {
    const int64_t begin = starts_[static_cast<size_t>(cell)];
    const int64_t end = starts_[static_cast<size_t>(cell) + 1];
    const int64_t rows = rows_.end - rows_.begin;
    const int32_t found = sheet.constrained ? survey_.of_cells()[static_cast<size_t>(cell)] : 0;
    const auto label = static_cast<uint8_t>(found);
    Fill fill{};
    const bool filled = found != kMixed && resolve(plan, cell, label, sheet, fill);
    for (int64_t x = begin; x < end; x += kLanes) {
        const Block block{cell, x, first_bytes(end - x)};
        if (found == kMixed) {
            paint_mixed_block(plan, block, sheet, tally);
            continue;
        }
        const int64_t pixels = rows * std::min(end - x, kLanes);
        RowMasks part;
        std::fill_n(part.begin(), rows, block.inside);
        if (filled) {
            sheet.paint(x, part, fill);
            tally.of(label)[fill.outcome] += pixels;
        } else {
            paint_candidates(plan, block, part, pixels, sheet, tally.of(label));
        }
    }
}

// Each label of the block in turn: what its set answers, at its pixels.
void Band::paint_mixed_block(const Plan& plan, const Block& block, Sheet& sheet, Tally& tally) {
    const auto rows = static_cast<size_t>(rows_.end - rows_.begin);
    const int64_t columns = columns_.end - columns_.begin - block.column;
    RowMasks found;
    RowMasks rest;
    for (size_t y = 0; y < rows; ++y) {
        found[y] =
            load_bytes(labels(plan) + static_cast<int64_t>(y) * plan.row_bytes() + block.column, columns);
        rest[y] = block.inside;
    }
    for (size_t y = 0; y < rows;) {
        if (rest[y] == 0) {
            ++y;
            continue;
        }
        const auto label = static_cast<uint8_t>(found[y] >> __builtin_ctzll(rest[y]));
        RowMasks part;
        uint64_t sums = 0;
        for (size_t row = 0; row < rows; ++row) {
            part[row] = bytes_equal(found[row], label) & rest[row];
            rest[row] ^= part[row];
            sums += part[row] & kEachByte;
        }
        Fill fill{};
        if (resolve(plan, block.cell, label, sheet, fill)) {
            sheet.paint(block.column, part, fill);
            tally.of(label)[fill.outcome] += sum_of_bytes(sums);
        } else {
            paint_candidates(plan, block, part, sum_of_bytes(sums), sheet, tally.of(label));
        }
    }
}

// The labels of one cell often leave the same candidates.
bool Band::is_made(const Block& block) const {
    const auto ids = candidates_.ids.begin();
    return made_.cell == block.cell && made_.column == block.column && made_.count == candidates_.count &&
           std::equal(ids, ids + made_.count, made_.ids.begin());
}

void Band::make_block(const Plan& plan, const Block& block, const Sheet& sheet) {
    if (is_made(block)) return;
    const auto column = static_cast<size_t>(columns_.begin + block.column);
    const BlockWeights weights{plan.columns.lower_weight.data() + column,
                               plan.columns.upper_weight.data() + column, top_weight_.data(),
                               bottom_weight_.data(), rows_.end - rows_.begin};
    if (sheet.with_margin())
        answer_block_with_margin(candidates_, weights, plan.in.margin_scale, block_classes_, block_margin_);
    else
        answer_block(candidates_, weights, block_classes_);
    made_.cell = block.cell;
    made_.column = block.column;
    made_.count = candidates_.count;
    std::copy_n(candidates_.ids.begin(), made_.count, made_.ids.begin());
}

// Paints the candidates' answer at the pixels of `part`; `pixels` is their number.
void Band::paint_candidates(const Plan& plan, const Block& block, const RowMasks& part, int64_t pixels,
                            Sheet& sheet, int64_t* counts) {
    make_block(plan, block, sheet);
    sheet.paint(block.column, part, block_classes_, block_margin_);
    const bool voids = plan.in.void_channel != LSU_NO_VOID_CHANNEL;
    const int64_t void_pixels = voids ? count_voids(block_classes_, part, rows_.end - rows_.begin) : 0;
    counts[kChosen] += pixels - void_pixels;
    counts[kVoid] += void_pixels;
}

void Band::count_agreement(const Plan& plan, Tally& tally) const {
    const int64_t width = columns_.end - columns_.begin;
    const uint8_t* labels_row = labels(plan);
    for (int64_t y = 0; y < rows_.end - rows_.begin; ++y) {
        const uint8_t* one = answer_.row(y);
        const uint8_t* other = free_.row(y);
        for (int64_t x = 0; x < width; ++x)
            tally.of(labels_row != nullptr ? labels_row[x] : uint8_t{0})[kAgreed] += one[x] == other[x];
        if (labels_row != nullptr) labels_row += plan.row_bytes();
    }
}

}  // namespace lsu
