#include "samples.h"

#include <algorithm>

#include "lanes.h"

namespace lsu {
namespace {

// One pass over a row of the scores.
struct RowPass {
    const ClassList& classes;
    int64_t plane;  // elements from class to class
    int64_t count;  // samples
    const SampleRow& row;
    bool with_second;
};

// Classes come in rising order, so that what the leader displaced is the best among the lower ids.
template <bool kSecond>
LSU_INLINE bool offer_samples(const float* values,  // [count + kLanes]
                              int64_t count, int32_t id, const Leading leading) {
    Int8 odd{};
    for (int64_t x = 0; x < count; x += kLanes) {
        const Float8 value = load<Float8>(values + x);
        const Float8 best = load<Float8>(leading.best + x);
        const Int8 wins = value > best;
        odd |= value != value;
        store(leading.lower + x, wins ? best : load<Float8>(leading.lower + x));
        if constexpr (kSecond)
            store(leading.second + x, wins ? best : larger(value, load<Float8>(leading.second + x)));
        store(leading.best + x, wins ? value : best);
        store(leading.id + x, wins ? Int8{} + id : load<Int8>(leading.id + x));
        store(leading.largest + x, larger(magnitude(value), load<Float8>(leading.largest + x)));
    }
    return lanes_of(odd) == 0;
}

template <typename Score>
LSU_INLINE void pass_row(const Score* scores,  // [channels planes, count]
                         const RowPass& pass) {
    const SampleRow row =
        pass.row;  // copies, as a store through one of its pointers could change the original
    for (int64_t place = 0; place < pass.classes.count; ++place) {
        const uint8_t id = pass.classes.ids[static_cast<size_t>(place)];
        const Score* samples = scores + id * pass.plane;
        float* __restrict values = row.values + id * row.pitch;
        for (int64_t x = 0; x < pass.count; ++x) values[x] = read_score(samples[x]);
        store(values + pass.count, Float8{} + values[pass.count - 1]);
        const int64_t count = pass.count + 1;
        row.finite[id] = pass.with_second ? offer_samples<true>(values, count, id, row.leading)
                                          : offer_samples<false>(values, count, id, row.leading);
    }
}

LSU_CLONES void pass_floats(const float* scores, const RowPass& pass) { pass_row(scores, pass); }

LSU_CLONES void pass_halves(const Half* scores, const RowPass& pass) { pass_row(scores, pass); }

}  // namespace

void Samples::prepare(const Plan& plan) {
    const auto pitch = static_cast<size_t>((plan.tile_samples + 1 + kLanes) / kLanes * kLanes + kLanes);
    const auto channels = static_cast<size_t>(plan.in.channels);
    values_.resize(2 * channels * pitch);
    numbers_.resize(2 * 4 * pitch);
    ids_.resize(2 * pitch);
    finite_.resize(2 * channels);
    for (size_t place = 0; place < 2; ++place) {
        float* numbers = numbers_.data() + 4 * place * pitch;
        rows_[place] = {values_.data() + place * channels * pitch,
                        static_cast<int64_t>(pitch),
                        finite_.data() + place * channels,
                        {numbers, numbers + pitch, numbers + 2 * pitch, numbers + 3 * pitch,
                         ids_.data() + place * pitch}};
    }
}

void Samples::enter(const Plan& plan, int64_t image, Span columns) {
    image_ = image;
    first_ = plan.columns.lower[static_cast<size_t>(columns.begin)];
    count_ = plan.columns.upper[static_cast<size_t>(columns.end - 1)] - first_ + 1;
    held_ = {-1, -1};
}

void Samples::hold(const Plan& plan, int64_t y) {
    int64_t& held = held_[static_cast<size_t>(y & 1)];
    if (held == y) return;
    held = y;
    const lsu_head_input& in = plan.in;
    const SampleRow& row = rows_[static_cast<size_t>(y & 1)];
    std::fill_n(row.leading.best, 3 * row.pitch, no_score());  // and lower and second
    std::fill_n(row.leading.largest, row.pitch, 0.0f);
    std::fill_n(row.leading.id, row.pitch, LSU_VOID);
    const int64_t plane = in.score_height * in.score_width;
    const int64_t at = image_ * in.channels * plane + y * in.score_width + first_;
    const RowPass pass{plan.scanned, plane, count_, row, plan.out.margin != nullptr};
    if (in.score_type == LSU_FLOAT32)
        pass_floats(static_cast<const float*>(in.scores) + at, pass);
    else
        pass_halves(static_cast<const Half*>(in.scores) + at, pass);
}

}  // namespace lsu
