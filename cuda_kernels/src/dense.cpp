#include "dense.h"

#include <algorithm>
#include <cstddef>

#include "dense_loops.h"

namespace lsu {
namespace {

constexpr int64_t kShortRun = 16;  // columns; rows whose runs of labels are shorter are answered in one go

template <typename Score>
void read_scores(const Score* scores,  // [count]
                 int64_t count,
                 float* __restrict samples)  // [count]
{
    for (int64_t x = 0; x < count; ++x) samples[x] = read_score(scores[x]);
}

void clear(Running& running, Span run) {
    std::fill(running.best.begin() + run.begin, running.best.begin() + run.end, no_score());
    std::fill(running.second.begin() + run.begin, running.second.begin() + run.end, no_score());
    std::fill(running.id.begin() + run.begin, running.id.begin() + run.end, LSU_VOID);
}

void allocate(Running& running) {
    running.best.resize(kTileWidth + kLanes);
    running.second.resize(kTileWidth + kLanes);
    running.id.resize(kTileWidth + kLanes);
}

int64_t count_runs(const uint8_t* labels,  // [count]
                   int64_t count) {
    int64_t runs = 1;
    for (int64_t x = 1; x < count; ++x) runs += labels[x] != labels[x - 1];
    return runs;
}

}  // namespace

// A row of the answer within the tile. Columns are counted from the tile's first.
struct Dense::Row {
    Tap taps;
    int64_t width;
    const uint8_t* labels;  // [width], or null
    uint8_t* classes;       // [width]
    uint8_t* margin;        // [width], or null
    Samples* samples;
};

void Dense::prepare(const Plan& plan) {
    const auto channels = static_cast<size_t>(plan.in.channels);
    source_.resize(static_cast<size_t>(plan.tile_samples));
    wide_.resize(2 * channels * kTileWidth + kLanes);
    held_.resize(2 * channels);
    allocate(running_);
    allocate(free_);
    if (plan.in.labels != nullptr) prepare_masks(plan);
}

void Dense::prepare_masks(const Plan& plan) {
    const int64_t groups = 2 * plan.words();
    masks_.resize(static_cast<size_t>(groups * LSU_COUNTED_LABELS));
    words_.resize(kTileWidth + kLanes);
    for (int64_t label = 0; label < LSU_COUNTED_LABELS; ++label) {
        const ClassList& allowed = plan.allowed_for(static_cast<uint8_t>(label));
        only_[static_cast<size_t>(label)] = allowed.count == 0   ? int32_t{LSU_VOID}
                                            : allowed.count == 1 ? int32_t{allowed.ids[0]}
                                                                 : -1;
        for (int64_t group = 0; group < groups; ++group) {
            const uint64_t word = plan.in.table[label * plan.words() + group / 2];
            const auto half = static_cast<uint32_t>(group % 2 == 0 ? word : word >> 32);
            masks_[static_cast<size_t>(group * LSU_COUNTED_LABELS + label)] =
                static_cast<int32_t>(allowed.count > 1 ? half : 0);
        }
    }
}

void Dense::enter(int64_t image, Span columns) {
    image_ = image;
    columns_ = columns;
    std::fill(held_.begin(), held_.end(), -1);
}

void Dense::answer_rows(const Plan& plan, Span rows, Samples* samples, Tally& tally) {
    for (int64_t y = rows.begin; y < rows.end; ++y) answer_row(plan, y, samples, tally);
}

// Real label rows are long runs of one label: each run is one plain loop per allowed class.
void Dense::answer_row(const Plan& plan, int64_t y, Samples* samples, Tally& tally) {
    const lsu_head_input& in = plan.in;
    const int64_t at = (image_ * in.height + y) * plan.row_bytes() + columns_.begin;
    const Row row{tap_at(y + in.offset_y, in.score_height, in.canvas_height),
                  columns_.end - columns_.begin,
                  in.labels != nullptr ? in.labels + at : nullptr,
                  plan.out.classes + at,
                  plan.out.margin != nullptr ? plan.out.margin + at : nullptr,
                  samples};
    if (plan.out.agreement != 0) offer(plan, row, plan.every_class, {0, row.width}, false, free_);
    if (row.labels == nullptr) return answer_run(plan, row, 0, {0, row.width}, tally);
    if (count_runs(row.labels, row.width) * kShortRun > row.width) return answer_mixed_row(plan, row, tally);
    for (Span run{0, 0}; run.begin < row.width; run.begin = run.end) {
        const uint8_t label = row.labels[run.begin];
        while (run.end < row.width && row.labels[run.end] == label) ++run.end;
        answer_run(plan, row, label, run, tally);
    }
}

void Dense::answer_run(const Plan& plan, const Row& row, uint8_t label, Span run, Tally& tally) {
    const ClassList& classes = plan.allowed_for(label);
    if (classes.count > 1) {
        offer(plan, row, classes, run, row.margin != nullptr, running_);
    } else {
        clear(running_, run);
    }
    if (classes.count == 1) {
        std::fill(running_.id.begin() + run.begin, running_.id.begin() + run.end, int32_t{classes.ids[0]});
    }
    const int64_t voids = write_run(plan, row, run);
    int64_t* counts = tally.of(label);
    counts[classes.count == 1 ? kForced : kChosen] += run.end - run.begin - voids;
    counts[kVoid] += voids;
    for (int64_t x = run.begin; plan.out.agreement != 0 && x < run.end; ++x)
        counts[kAgreed] += agrees(plan, row, x);
}

void Dense::offer(const Plan& plan, const Row& row, const ClassList& classes, Span run, bool with_second,
                  Running& running) {
    const int64_t count = run.end - run.begin;
    float* best = running.best.data() + run.begin;
    clear(running, run);
    for (int64_t place = 0; place < classes.count; ++place) {
        const uint8_t id = classes.ids[static_cast<size_t>(place)];
        const RowPair rows{widened_row(plan, row, id, row.taps.lower) + run.begin,
                           widened_row(plan, row, id, row.taps.upper) + run.begin, row.taps.lower_weight,
                           row.taps.upper_weight};
        if (with_second) offer_second(rows, count, best, running.second.data() + run.begin);
        offer_class(rows, id, count, best, running.id.data() + run.begin);
    }
}

// Writes the pixels' words and returns the bits of all of them: classes that no label of the row chooses from
// are not read.
int32_t Dense::spread_masks(const Row& row, int64_t group) {
    const int32_t* masks = masks_.data() + group * LSU_COUNTED_LABELS;
    int32_t occurring = 0;
    for (int64_t x = 0; x < row.width; ++x) {
        words_[static_cast<size_t>(x)] = masks[row.labels[x]];
        occurring |= masks[row.labels[x]];
    }
    return occurring;
}

// Where labels change from pixel to pixel: each class once over the whole row, with the table's bit per
// pixel.
void Dense::answer_mixed_row(const Plan& plan, const Row& row, Tally& tally) {
    clear(running_, {0, row.width});
    int64_t group = -1;
    int32_t occurring = 0;
    for (int64_t place = 0; place < plan.scanned.count; ++place) {
        const uint8_t id = plan.scanned.ids[static_cast<size_t>(place)];
        if (id / 32 != group) {
            group = id / 32;
            occurring = spread_masks(row, group);
        }
        if (((static_cast<uint32_t>(occurring) >> (id % 32)) & 1u) == 0) continue;
        const RowPair rows{widened_row(plan, row, id, row.taps.lower),
                           widened_row(plan, row, id, row.taps.upper), row.taps.lower_weight,
                           row.taps.upper_weight};
        if (row.margin != nullptr)
            offer_with_second_masked(rows, id, row.width, words_.data(), running_.best.data(),
                                     running_.second.data(), running_.id.data());
        else
            offer_class_masked(rows, id, row.width, words_.data(), running_.best.data(), running_.id.data());
    }
    for (int64_t x = 0; x < row.width; ++x) {
        const int32_t only = only_[row.labels[x]];
        int32_t& id = running_.id[static_cast<size_t>(x)];
        id = only >= 0 ? only : id;
    }
    write_run(plan, row, {0, row.width});
    for (int64_t x = 0; x < row.width; ++x) {
        const uint8_t label = row.labels[x];
        const Outcome written = only_[label] >= 0 ? kForced : kChosen;
        ++tally.of(label)[row.classes[x] == LSU_VOID ? kVoid : written];
        if (plan.out.agreement != 0) tally.of(label)[kAgreed] += agrees(plan, row, x);
    }
}

// The number of void pixels.
int64_t Dense::write_run(const Plan& plan, const Row& row, Span run) {
    const int64_t count = run.end - run.begin;
    uint8_t* classes = row.classes + run.begin;  // [count]
    const int64_t voids = write_classes(running_.id.data() + run.begin, count, plan.in.void_channel, classes);
    if (row.margin != nullptr)
        write_margin(running_.best.data() + run.begin, running_.second.data() + run.begin, count,
                     plan.in.margin_scale, classes, row.margin + run.begin);
    return voids;
}

bool Dense::agrees(const Plan& plan, const Row& row, int64_t x) const {
    return row.classes[x] == written_class(free_.id[static_cast<size_t>(x)], plan.in.void_channel);
}

// A row of the scores is stretched to the tile's columns at its first use and kept while the rows of the
// answer lie beside it: two neighbouring rows never have the same parity.
const float* Dense::widened_row(const Plan& plan, const Row& row, int64_t id, int64_t source_y) {
    const auto slot = static_cast<size_t>((source_y & 1) * plan.in.channels + id);
    float* wide = wide_.data() + slot * static_cast<size_t>(kTileWidth);
    if (held_[slot] == source_y) return wide;
    held_[slot] = source_y;
    const int64_t first = plan.columns.lower[static_cast<size_t>(columns_.begin)];
    stretch_row(source_row(plan, row, id, source_y), plan.columns, columns_, first, wide);
    return wide;
}

const float* Dense::source_row(const Plan& plan, const Row& row, int64_t id, int64_t source_y) {
    if (row.samples != nullptr) {
        row.samples->hold(plan, source_y);
        return row.samples->row(source_y).values + id * row.samples->row(source_y).pitch;
    }
    const lsu_head_input& in = plan.in;
    const int64_t begin = plan.columns.lower[static_cast<size_t>(columns_.begin)];
    const int64_t count = plan.columns.upper[static_cast<size_t>(columns_.end - 1)] - begin + 1;
    const int64_t at = ((image_ * in.channels + id) * in.score_height + source_y) * in.score_width + begin;
    if (in.score_type == LSU_FLOAT32)
        read_scores(static_cast<const float*>(in.scores) + at, count, source_.data());
    else
        read_scores(static_cast<const Half*>(in.scores) + at, count, source_.data());
    return source_.data();
}

}  // namespace lsu
