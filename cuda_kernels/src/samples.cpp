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

constexpr int64_t kTogether = 4;  // classes that are offered in one go, while the leaders lie in registers

// Classes come in rising order, so that what the leader displaced is the best among the lower ids. Those with
// a NaN are noted as not finite.
template <int64_t kCount, bool kSecond>
LSU_INLINE void offer_classes(const SampleRow& row, const uint8_t* ids, int64_t count) {
    const Leading leading = row.leading;
    const float* values[kCount];  // [count + kLanes]
    Int8 odd[kCount];
    for (int64_t place = 0; place < kCount; ++place) {
        values[place] = row.values + ids[place] * row.pitch;
        odd[place] = Int8{};
    }
    for (int64_t x = 0; x < count; x += kLanes) {
        Float8 best = load<Float8>(leading.best + x);
        Float8 lower = load<Float8>(leading.lower + x);
        Float8 largest = load<Float8>(leading.largest + x);
        Int8 leader = load<Int8>(leading.id + x);
        Float8 second{};
        if constexpr (kSecond) second = load<Float8>(leading.second + x);
        for (int64_t place = 0; place < kCount; ++place) {
            const Float8 value = load<Float8>(values[place] + x);
            const Int8 wins = value > best;
            odd[place] |= value != value;
            lower = wins ? best : lower;
            if constexpr (kSecond) second = wins ? best : larger(value, second);
            best = wins ? value : best;
            leader = wins ? Int8{} + int32_t{ids[place]} : leader;
            largest = larger(magnitude(value), largest);
        }
        store(leading.best + x, best);
        store(leading.lower + x, lower);
        store(leading.largest + x, largest);
        store(leading.id + x, leader);
        if constexpr (kSecond) store(leading.second + x, second);
    }
    for (int64_t place = 0; place < kCount; ++place) row.finite[ids[place]] = lanes_of(odd[place]) == 0;
}

template <int64_t kCount>
LSU_INLINE void offer(const RowPass& pass, const SampleRow& row, int64_t place) {
    const uint8_t* ids = pass.classes.ids.data() + place;
    if (pass.with_second)
        offer_classes<kCount, true>(row, ids, pass.count + 1);
    else
        offer_classes<kCount, false>(row, ids, pass.count + 1);
}

template <typename Score>
LSU_INLINE void widen(const Score* scores, const RowPass& pass, const SampleRow& row, uint8_t id) {
    const Score* samples = scores + id * pass.plane;
    float* __restrict values = row.values + id * row.pitch;
    for (int64_t x = 0; x < pass.count; ++x) values[x] = read_score(samples[x]);
    store(values + pass.count, Float8{} + values[pass.count - 1]);
}

template <typename Score>
LSU_INLINE void pass_row(const Score* scores,  // [channels planes, count]
                         const RowPass& pass) {
    const SampleRow row = pass.row;  // a copy: a store through one of its pointers could change the original
    const int64_t classes = pass.classes.count;
    for (int64_t place = 0; place < classes; ++place) {
        widen(scores, pass, row, pass.classes.ids[static_cast<size_t>(place)]);
        if (place % kTogether == kTogether - 1) offer<kTogether>(pass, row, place - kTogether + 1);
    }
    for (int64_t place = classes / kTogether * kTogether; place < classes; ++place)
        offer<1>(pass, row, place);
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
