#include "band.h"

#include <algorithm>
#include <cstring>

#include "lanes.h"

namespace lsu {
namespace {

constexpr uint64_t kEachByte = 0x0101010101010101;

// Measured costs of a deferred cell, in units of one class interpolated over one cell by the dense loop.
constexpr float kCostOfSearch = 0.25f;    // per allowed class
constexpr float kCostOfCandidate = 1.3f;  // per candidate
constexpr float kCostOfCell = 1.0f;
constexpr int64_t kProbes = 8;

uint64_t inside_of(int64_t columns) {  // 255 in each of the first bytes
    return columns >= kLanes ? ~uint64_t{0} : (uint64_t{1} << (8 * columns)) - 1;
}

// 255 where a byte is `value`.
LSU_INLINE uint64_t bytes_equal(uint64_t bytes, uint8_t value) {
    Byte8 lanes;
    std::memcpy(&lanes, &bytes, sizeof lanes);
    const Byte8 equal = lanes == static_cast<int8_t>(value);
    return load<uint64_t>(&equal);
}

// The number of bytes of 255 among rows of masks, at most kBandRows of them.
int64_t count_bytes(const uint64_t* masks,  // [rows]
                    int64_t rows) {
    uint64_t sums = 0;
    for (int64_t y = 0; y < rows; ++y) sums += masks[y] & kEachByte;
    sums = (sums & 0x00ff00ff00ff00ff) + ((sums >> 8) & 0x00ff00ff00ff00ff);
    return static_cast<int64_t>((sums * 0x0001000100010001) >> 48);
}

uint64_t load_bytes(const uint8_t* from, int64_t count) {
    uint64_t bytes = 0;
    std::memcpy(&bytes, from, static_cast<size_t>(std::min<int64_t>(count, 8)));
    return bytes;
}

LSU_CLONES void note_differences(const uint8_t* row,    // [count]
                                 const uint8_t* first,  // [count]
                                 int64_t count,
                                 uint8_t* __restrict differs)  // [count]
{
    for (int64_t x = 0; x < count; ++x) differs[x] = static_cast<uint8_t>(differs[x] | (row[x] ^ first[x]));
}

LSU_CLONES void replicate(const uint8_t* row, int64_t count, int64_t rows, int64_t pitch, uint8_t* map) {
    for (int64_t y = 0; y < rows; ++y) std::memcpy(map + y * pitch, row, static_cast<size_t>(count));
}

LSU_INLINE void blend_row(uint8_t* to, uint64_t made, uint64_t part) {
    store(to, (load<uint64_t>(to) & ~part) | (made & part));
}

}  // namespace

void Band::prepare(const Plan& plan) {
    const auto cells = static_cast<size_t>(plan.tile_samples + 1);
    starts_.resize(cells + 1);
    labels_.resize(cells);
    fills_.resize(cells + static_cast<size_t>(kLanes));
    deferred_.reserve(cells);
    runs_.reserve(cells);
    answer_.constrained = true;
    answer_.with_margin = plan.out.margin != nullptr;
    free_.constrained = free_.with_margin = false;
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

bool Band::answer(const Plan& plan, Span rows, int64_t y, Samples& samples, Tally& tally) {
    rows_ = rows;
    y_ = y;
    survey_labels(plan);
    if (scores_matter_) find_class_fills(plan, samples);
    sort_cells(plan, answer_);
    if (!plan.always_cells && dense_is_faster(plan, answer_)) return false;
    weigh_rows(plan);
    paint(plan, answer_, tally);
    write(plan, plan.out.classes, answer_.classes);
    if (answer_.with_margin) write(plan, plan.out.margin, answer_.margin);
    if (plan.out.agreement == 0) return true;
    Tally uncounted;
    sort_cells(plan, free_);
    paint(plan, free_, uncounted);
    count_agreement(plan, tally);
    return true;
}

// Labels are compared along whole rows first, so that most cells cost one look.
void Band::survey_labels(const Plan& plan) {
    scores_matter_ = plan.out.agreement != 0;
    if (plan.in.labels == nullptr) {
        std::fill_n(labels_.begin(), cells_, 0);
        scores_matter_ |= plan.allowed_for(0).count > 1;
        return;
    }
    const int64_t width = columns_.end - columns_.begin;
    std::memcpy(first_labels_.data(), labels_at(plan, rows_.begin), static_cast<size_t>(width));
    differs_.fill(0);
    for (int64_t y = rows_.begin + 1; y < rows_.end; ++y)
        note_differences(labels_at(plan, y), first_labels_.data(), width, differs_.data());
    survey_cells(plan);
}

void Band::survey_cells(const Plan& plan) {
    for (int64_t cell = 0; cell < cells_; ++cell) {
        const int64_t begin = starts_[static_cast<size_t>(cell)];
        const int64_t end = starts_[static_cast<size_t>(cell) + 1];
        const uint8_t label = first_labels_[static_cast<size_t>(begin)];
        uint64_t mixed = 0;
        for (int64_t x = begin; x < end; x += kLanes)
            mixed |= ((load<uint64_t>(first_labels_.data() + x) ^ (label * kEachByte)) |
                      load<uint64_t>(differs_.data() + x)) &
                     inside_of(end - x);
        labels_[static_cast<size_t>(cell)] = mixed != 0 ? kMixed : int32_t{label};
        scores_matter_ |= mixed != 0 ? plan.scanned.count > 0 : plan.allowed_for(label).count > 1;
    }
}

void Band::find_class_fills(const Plan& plan, Samples& samples) {
    const int64_t below = std::min(y_ + 1, plan.in.score_height - 1);
    samples.hold(plan, y_);
    samples.hold(plan, below);
    corners_ = {samples.values(y_), samples.values(below), samples.pitch()};
    if (answer_.with_margin)
        find_clear_fills(samples.leading(y_), samples.leading(below), cells_, plan.in.margin_scale,
                         fills_.data());
    else
        find_fills(samples.leading(y_), samples.leading(below), cells_, fills_.data());
}

// Which cells a fill answers, and which remain.
void Band::sort_cells(const Plan& plan, const Sheet& sheet) {
    runs_.clear();
    deferred_.clear();
    for (int64_t cell = 0; cell < cells_; ++cell) {
        const Span columns{starts_[static_cast<size_t>(cell)], starts_[static_cast<size_t>(cell) + 1]};
        if (columns.begin == columns.end) continue;
        const int32_t found = sheet.constrained ? labels_[static_cast<size_t>(cell)] : 0;
        const auto label = static_cast<uint8_t>(found);
        Fill fill;
        if (found == kMixed || !fill_for(plan, cell, label, sheet, fill)) {
            deferred_.push_back(static_cast<int32_t>(cell));
            continue;
        }
        const bool goes_on = !runs_.empty() && runs_.back().columns.end == columns.begin &&
                             runs_.back().label == label && runs_.back().fill.value == fill.value;
        if (goes_on)
            runs_.back().columns.end = columns.end;
        else
            runs_.push_back({columns, label, fill});
    }
}

// A sample of the deferred cells tells what all of them will cost.
bool Band::dense_is_faster(const Plan& plan, const Sheet& sheet) {
    const auto deferred = static_cast<int64_t>(deferred_.size());
    if (8 * deferred < cells_) return false;
    const int64_t step = (deferred + kProbes - 1) / kProbes;
    float cost = 0.0f;
    int64_t probes = 0;
    for (int64_t place = 0; place < deferred; place += step, ++probes) {
        const int64_t cell = deferred_[static_cast<size_t>(place)];
        const int32_t label = labels_[static_cast<size_t>(cell)];
        if (label == kMixed) continue;
        const ClassList& allowed = plan.allowed_for(static_cast<uint8_t>(label));
        Fill fill;
        const bool filled = resolve(plan, cell, static_cast<uint8_t>(label), sheet, fill);
        cost += kCostOfCell + kCostOfSearch * static_cast<float>(allowed.count);
        if (!filled) cost += kCostOfCandidate * static_cast<float>(candidates_.count);
    }
    const float cells = cost * static_cast<float>(deferred) / static_cast<float>(probes);
    return cells > static_cast<float>(plan.scanned.count * cells_);
}

bool Band::fill_for(const Plan& plan, int64_t cell, uint8_t label, const Sheet& sheet, Fill& fill) const {
    const ClassList& allowed = sheet.constrained ? plan.allowed_for(label) : plan.every_class;
    int32_t id = LSU_VOID;
    if (allowed.count == 1 && sheet.constrained) id = allowed.ids[0];
    if (allowed.count > 1 || (!sheet.constrained && allowed.count > 0)) {
        id = fills_[static_cast<size_t>(cell)];
        if (id == kMixed || (sheet.constrained && !plan.allows(label, id))) return false;
    }
    const uint8_t value = written_class(id, plan.in.void_channel);
    fill = {value, value == LSU_VOID ? uint8_t{0} : uint8_t{255}, outcome_of(value, allowed.count)};
    return true;
}

// The fill, or false with the candidates found.
bool Band::resolve(const Plan& plan, int64_t cell, uint8_t label, const Sheet& sheet, Fill& fill) {
    if (fill_for(plan, cell, label, sheet, fill)) return true;
    const ClassList& allowed = sheet.constrained ? plan.allowed_for(label) : plan.every_class;
    const Corners corners{corners_.top + cell, corners_.bottom + cell, corners_.pitch};
    if (sheet.with_margin)
        find_contenders(corners, allowed, candidates_);
    else
        find_candidates(corners, allowed, candidates_);
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

void Band::paint(const Plan& plan, Sheet& sheet, Tally& tally) {
    const int64_t rows = rows_.end - rows_.begin;
    const int64_t width = columns_.end - columns_.begin;
    for (const Run& run : runs_) {
        const int64_t columns = run.columns.end - run.columns.begin;
        std::memset(sheet.classes.data() + run.columns.begin, run.fill.value, static_cast<size_t>(columns));
        if (sheet.with_margin)
            std::memset(sheet.margin.data() + run.columns.begin, run.fill.margin,
                        static_cast<size_t>(columns));
        tally.of(run.label)[run.fill.outcome] += columns * rows;
    }
    replicate(sheet.classes.data(), width, rows - 1, kPitch, sheet.classes.data() + kPitch);
    if (sheet.with_margin)
        replicate(sheet.margin.data(), width, rows - 1, kPitch, sheet.margin.data() + kPitch);
    for (const int32_t cell : deferred_) paint_cell(plan, cell, sheet, tally);
}

void Band::paint_cell(const Plan& plan, int64_t cell, Sheet& sheet, Tally& tally) {
    const int64_t begin = starts_[static_cast<size_t>(cell)];
    const int64_t end = starts_[static_cast<size_t>(cell) + 1];
    const int32_t label = sheet.constrained ? labels_[static_cast<size_t>(cell)] : 0;
    Fill fill{};
    const bool filled = label != kMixed && resolve(plan, cell, static_cast<uint8_t>(label), sheet, fill);
    for (int64_t x = begin; x < end; x += kLanes) {
        const Block block{cell, x, inside_of(end - x)};
        if (label == kMixed) {
            paint_mixed_block(plan, block, sheet, tally);
        } else {
            RowMasks part;
            part.fill(block.inside);
            paint_part(plan, block, filled, fill, part, sheet, tally.of(static_cast<uint8_t>(label)));
        }
    }
}

// Each label of the block in turn: what its set answers, at its pixels.
void Band::paint_mixed_block(const Plan& plan, const Block& block, Sheet& sheet, Tally& tally) {
    const int64_t rows = rows_.end - rows_.begin;
    RowMasks labels;
    RowMasks rest;
    for (int64_t y = 0; y < rows; ++y) {
        labels[static_cast<size_t>(y)] = load_bytes(labels_at(plan, rows_.begin + y) + block.column,
                                                    columns_.end - columns_.begin - block.column);
        rest[static_cast<size_t>(y)] = block.inside;
    }
    for (int64_t y = 0; y < rows;) {
        if (rest[static_cast<size_t>(y)] == 0) {
            ++y;
            continue;
        }
        const int place = __builtin_ctzll(rest[static_cast<size_t>(y)]);
        const auto label = static_cast<uint8_t>(labels[static_cast<size_t>(y)] >> place);
        RowMasks part{};
        for (int64_t row = y; row < rows; ++row) {
            const auto at = static_cast<size_t>(row);
            part[at] = bytes_equal(labels[at], label) & rest[at];
            rest[at] &= ~part[at];
        }
        Fill fill{};
        const bool filled = resolve(plan, block.cell, label, sheet, fill);
        paint_part(plan, block, filled, fill, part, sheet, tally.of(label));
    }
}

// Paints the pixels of `part` with the fill or the candidates' answer.
void Band::paint_part(const Plan& plan, const Block& block, bool filled, const Fill& fill,
                      const RowMasks& part, Sheet& sheet, int64_t* counts) {
    const int64_t rows = rows_.end - rows_.begin;
    if (filled) {
        block_classes_.fill(fill.value);
        block_margin_.fill(fill.margin);
    } else {
        const auto column = static_cast<size_t>(columns_.begin + block.column);
        const BlockWeights weights{plan.columns.lower_weight.data() + column,
                                   plan.columns.upper_weight.data() + column, top_weight_.data(),
                                   bottom_weight_.data(), rows};
        if (sheet.with_margin)
            answer_block_with_margin(candidates_, weights, plan.in.margin_scale, block_classes_,
                                     block_margin_);
        else
            answer_block(candidates_, weights, block_classes_);
    }
    RowMasks voids;
    for (int64_t y = 0; y < rows; ++y) {
        const auto at = static_cast<size_t>(y);
        const auto made = load<uint64_t>(block_classes_.data() + y * kLanes);
        voids[at] = bytes_equal(made, LSU_VOID) & part[at];
        blend_row(sheet.classes.data() + y * kPitch + block.column, made, part[at]);
        if (sheet.with_margin)
            blend_row(sheet.margin.data() + y * kPitch + block.column,
                      load<uint64_t>(block_margin_.data() + y * kLanes) & ~voids[at], part[at]);
    }
    const int64_t void_count = count_bytes(voids.data(), rows);
    const Outcome outcome = filled && fill.outcome == kForced ? kForced : kChosen;
    counts[outcome] += count_bytes(part.data(), rows) - void_count;
    counts[kVoid] += void_count;
}

void Band::write(const Plan& plan, uint8_t* map, const Map& made) const {
    const auto width = static_cast<size_t>(columns_.end - columns_.begin);
    uint8_t* to = map + (image_ * plan.in.height + rows_.begin) * plan.row_bytes() + columns_.begin;
    for (int64_t y = rows_.begin; y < rows_.end; ++y, to += plan.row_bytes())
        std::memcpy(to, made.data() + (y - rows_.begin) * kPitch, width);
}

void Band::count_agreement(const Plan& plan, Tally& tally) const {
    const int64_t width = columns_.end - columns_.begin;
    for (int64_t y = rows_.begin; y < rows_.end; ++y) {
        const uint8_t* labels = plan.in.labels != nullptr ? labels_at(plan, y) : nullptr;
        const uint8_t* one = answer_.classes.data() + (y - rows_.begin) * kPitch;
        const uint8_t* other = free_.classes.data() + (y - rows_.begin) * kPitch;
        for (int64_t x = 0; x < width; ++x)
            tally.of(labels != nullptr ? labels[x] : uint8_t{0})[kAgreed] += one[x] == other[x];
    }
}

}  // namespace lsu
