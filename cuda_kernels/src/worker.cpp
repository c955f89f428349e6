#include "worker.h"

#include <algorithm>
#include <cstddef>

// One binary for all of x86-64, with the wider instructions where the machine has them. They give the same
// bits: no clone may contract (-ffp-contract=off). On aarch64 the baseline already is what we want.
#if defined(__x86_64__) && defined(__GLIBC__) && defined(__GNUC__) && !defined(__SANITIZE_THREAD__)
#define LSU_CLONES __attribute__((target_clones("avx2", "default")))
#else
#define LSU_CLONES
#endif

namespace lsu {
namespace {

constexpr int64_t kTileWidth = 512;

struct RowPair {
    const float* upper_row;  // [count]
    const float* lower_row;  // [count]
    float upper_row_weight;
    float lower_row_weight;
};

// The ids are blended by bits: of two conditional assignments gcc makes masked stores, measured at 28 ms
// instead of 11 ms for 19 classes at 1024x2048.
LSU_CLONES void offer_class(const RowPair& rows, int32_t id, int64_t count,
                            float* __restrict best,      // [count]
                            int32_t* __restrict leader)  // [count]
{
    const float* a = rows.upper_row;
    const float* b = rows.lower_row;
    const float weight_a = rows.upper_row_weight;
    const float weight_b = rows.lower_row_weight;
    for (int64_t x = 0; x < count; ++x) {
        const float value = mix(weight_a, a[x], weight_b, b[x]);
        const float held = best[x];
        const int32_t wins = -static_cast<int32_t>(beats(value, held));  // all bits or none
        best[x] = beats(value, held) ? value : held;
        leader[x] = (id & wins) | (leader[x] & ~wins);
    }
}

// Goes before offer_class: it needs the best of the classes before this one.
LSU_CLONES void offer_second(const RowPair& rows, int64_t count,
                             const float* __restrict best,  // [count]
                             float* __restrict second)      // [count]
{
    const float* a = rows.upper_row;
    const float* b = rows.lower_row;
    const float weight_a = rows.upper_row_weight;
    const float weight_b = rows.lower_row_weight;
    for (int64_t x = 0; x < count; ++x) {
        const float value = mix(weight_a, a[x], weight_b, b[x]);
        const float held = beats(value, second[x]) ? value : second[x];
        second[x] = beats(value, best[x]) ? best[x] : held;
    }
}

LSU_CLONES void stretch_row(const float* source,  // [score_width]
                            const Columns& columns, int64_t first, int64_t count,
                            float* __restrict wide)  // [count]
{
    const int32_t* lower = columns.lower.data() + first;
    const int32_t* upper = columns.upper.data() + first;
    const float* lower_weight = columns.lower_weight.data() + first;
    const float* upper_weight = columns.upper_weight.data() + first;
    for (int64_t x = 0; x < count; ++x)
        wide[x] = mix(lower_weight[x], source[lower[x]], upper_weight[x], source[upper[x]]);
}

template <typename Score>
void read_scores(const Score* scores,  // [count]
                 int64_t count,
                 float* __restrict samples)  // [count]
{
    for (int64_t x = 0; x < count; ++x) samples[x] = read_score(scores[x]);
}

LSU_CLONES int64_t write_classes(const int32_t* leader,  // [count]
                                 int64_t count, int64_t void_channel,
                                 uint8_t* __restrict classes)  // [count]
{
    const auto void_id = static_cast<int32_t>(void_channel);
    int64_t voids = 0;
    for (int64_t x = 0; x < count; ++x) {
        const int32_t id = leader[x] == void_id ? LSU_VOID : leader[x];
        classes[x] = static_cast<uint8_t>(id);
        voids += id == LSU_VOID;
    }
    return voids;
}

LSU_CLONES void write_margin(const Leaders& leaders, int64_t first, int64_t count, float scale,
                             const uint8_t* classes,      // [count]
                             uint8_t* __restrict margin)  // [count]
{
    const float* best = leaders.best.data() + first;
    const float* second = leaders.second.data() + first;
    for (int64_t x = 0; x < count; ++x) {
        const uint8_t lead = margin_byte(best[x], second[x], scale);
        margin[x] = classes[x] == LSU_VOID ? uint8_t{0} : lead;
    }
}

Leaders make_leaders() {
    constexpr auto width = static_cast<size_t>(kTileWidth);
    return {std::vector<float>(width), std::vector<float>(width), std::vector<int32_t>(width)};
}

}  // namespace

Worker::Worker(const Plan& plan)
    : plan_(plan),
      source_(static_cast<size_t>(plan.in.score_width)),
      wide_(static_cast<size_t>(2 * plan.in.channels * kTileWidth)),
      held_(static_cast<size_t>(2 * plan.in.channels)),
      leaders_(make_leaders()),
      free_leaders_(make_leaders()) {}

void Worker::answer_rows(int64_t first, int64_t last) noexcept {
    for (tile_ = 0; tile_ < plan_.in.width; tile_ += kTileWidth) {
        tile_width_ = std::min(kTileWidth, plan_.in.width - tile_);
        std::fill(held_.begin(), held_.end(), -1);
        for (int64_t y = first; y < last; ++y) answer_tile_row(y);
    }
}

// Real label rows are long runs of one label: each run is one plain loop per allowed class.
void Worker::answer_tile_row(int64_t y) {
    const lsu_head_input& in = plan_.in;
    rows_ = tap_at(y + in.offset_y, in.score_height, in.canvas_height);
    if (plan_.out.agreement != 0) offer(plan_.every_class, {0, tile_width_}, false, free_leaders_);
    if (in.labels == nullptr) return answer_run(y, 0, {0, tile_width_});
    const uint8_t* labels = in.labels + y * in.width + tile_;  // [tile_width_]
    for (Span run{0, 0}; run.begin < tile_width_; run.begin = run.end) {
        const uint8_t label = labels[run.begin];
        while (run.end < tile_width_ && labels[run.end] == label) ++run.end;
        answer_run(y, label, run);
    }
}

void Worker::answer_run(int64_t y, uint8_t label, Span run) {
    const ClassList& classes = plan_.allowed_for(label);
    if (classes.count > 1) {
        offer(classes, run, plan_.out.margin != nullptr, leaders_);
    } else {
        const int32_t only = classes.count == 1 ? int32_t{classes.ids[0]} : int32_t{LSU_VOID};
        std::fill(leaders_.id.begin() + run.begin, leaders_.id.begin() + run.end, only);
        std::fill(leaders_.second.begin() + run.begin, leaders_.second.begin() + run.end, no_score());
    }
    write_run(y, label, run);
}

void Worker::offer(const ClassList& classes, Span run, bool with_second, Leaders& leaders) {
    const int64_t count = run.end - run.begin;
    float* best = leaders.best.data() + run.begin;
    float* second = leaders.second.data() + run.begin;
    int32_t* leader = leaders.id.data() + run.begin;
    std::fill_n(best, count, no_score());
    std::fill_n(second, count, no_score());
    std::fill_n(leader, count, LSU_VOID);
    for (int64_t place = 0; place < classes.count; ++place) {
        const uint8_t id = classes.ids[static_cast<size_t>(place)];
        const RowPair rows{widened_row(id, rows_.lower) + run.begin, widened_row(id, rows_.upper) + run.begin,
                           rows_.lower_weight, rows_.upper_weight};
        if (with_second) offer_second(rows, count, best, second);
        offer_class(rows, id, count, best, leader);
    }
}

void Worker::write_run(int64_t y, uint8_t label, Span run) {
    const lsu_head_input& in = plan_.in;
    const int64_t count = run.end - run.begin;
    const int64_t at = y * in.width + tile_ + run.begin;
    uint8_t* classes = plan_.out.classes + at;  // [count]
    const int64_t voids = write_classes(leaders_.id.data() + run.begin, count, in.void_channel, classes);
    int64_t* counts = counts_.data() + 4 * label;
    counts[plan_.allowed_for(label).count == 1 ? kForced : kChosen] += count - voids;
    counts[kVoid] += voids;
    if (plan_.out.margin != nullptr)
        write_margin(leaders_, run.begin, count, in.margin_scale, classes, plan_.out.margin + at);
    for (int64_t x = 0; plan_.out.agreement != 0 && x < count; ++x) {
        const auto column = static_cast<size_t>(run.begin + x);
        counts[kAgreed] += classes[x] == written_class(free_leaders_.id[column], in.void_channel);
    }
}

// A row of the scores is stretched to the tile's columns at its first use and kept while the rows of the
// answer lie beside it: two neighbouring rows never have the same parity.
const float* Worker::widened_row(int64_t id, int64_t source_y) {
    const lsu_head_input& in = plan_.in;
    const auto slot = static_cast<size_t>((source_y & 1) * in.channels + id);
    float* wide = wide_.data() + slot * static_cast<size_t>(kTileWidth);
    if (held_[slot] == source_y) return wide;
    held_[slot] = source_y;
    const auto first = static_cast<size_t>(tile_);
    const int64_t begin = plan_.columns.lower[first];
    const int64_t count = plan_.columns.upper[first + static_cast<size_t>(tile_width_) - 1] - begin + 1;
    const int64_t at = (id * in.score_height + source_y) * in.score_width + begin;
    if (in.score_type == LSU_FLOAT32)
        read_scores(static_cast<const float*>(in.scores) + at, count, source_.data() + begin);
    else
        read_scores(static_cast<const Half*>(in.scores) + at, count, source_.data() + begin);
    stretch_row(source_.data(), plan_.columns, tile_, tile_width_, wide);
    return wide;
}

}  // namespace lsu
