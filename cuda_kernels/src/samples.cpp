#include "samples.h"

#include <algorithm>

#include "lanes.h"

namespace lsu {
namespace {

LSU_CLONES void widen(const float* scores,  // [count]
                      int64_t count,
                      float* __restrict values)  // [count]
{
    for (int64_t x = 0; x < count; ++x) values[x] = read_score(scores[x]);
}

LSU_CLONES void widen_half(const Half* scores,  // [count]
                           int64_t count,
                           float* __restrict values)  // [count]
{
    for (int64_t x = 0; x < count; ++x) values[x] = read_score(scores[x]);
}

void widen(const Half* scores, int64_t count, float* values) { widen_half(scores, count, values); }

// Classes come in rising order, so that what the leader displaced is the best among the lower ids.
LSU_CLONES void offer_samples(const float* values,  // [count + kLanes]
                              int64_t count, int32_t id, const Leading& leading) {
    for (int64_t x = 0; x < count; x += kLanes) {
        const Float8 value = load<Float8>(values + x);
        const Float8 best = load<Float8>(leading.best + x);
        const Int8 wins = value > best;
        store(leading.lower + x, wins ? best : load<Float8>(leading.lower + x));
        store(leading.second + x, wins ? best : larger(value, load<Float8>(leading.second + x)));
        store(leading.best + x, wins ? value : best);
        store(leading.id + x, wins ? Int8{} + id : load<Int8>(leading.id + x));
        store(leading.largest + x, larger(magnitude(value), load<Float8>(leading.largest + x)));
    }
}

}  // namespace

void Samples::prepare(const Plan& plan) {
    pitch_ = (plan.tile_samples + 1 + kLanes - 1) / kLanes * kLanes + kLanes;
    row_size_ = plan.in.channels * pitch_;
    const auto pitch = static_cast<size_t>(pitch_);
    values_.resize(static_cast<size_t>(2 * row_size_));
    numbers_.resize(2 * 4 * pitch);
    ids_.resize(2 * pitch);
    for (size_t place = 0; place < 2; ++place) {
        float* numbers = numbers_.data() + 4 * place * pitch;
        leading_[place] = {numbers, numbers + pitch, numbers + 2 * pitch, numbers + 3 * pitch,
                           ids_.data() + place * pitch};
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
    if (plan.in.score_type == LSU_FLOAT32)
        read<float>(plan, y);
    else
        read<Half>(plan, y);
}

template <typename Score>
void Samples::read(const Plan& plan, int64_t y) {
    const lsu_head_input& in = plan.in;
    const Leading& leading = leading_[static_cast<size_t>(y & 1)];
    std::fill_n(leading.best, 3 * pitch_, no_score());  // and lower and second
    std::fill_n(leading.largest, pitch_, 0.0f);
    std::fill_n(leading.id, pitch_, LSU_VOID);
    const int64_t plane = in.score_height * in.score_width;
    const Score* row =
        static_cast<const Score*>(in.scores) + image_ * in.channels * plane + y * in.score_width + first_;
    float* values = values_.data() + (y & 1) * row_size_;
    for (int64_t place = 0; place < plan.scanned.count; ++place) {
        const uint8_t id = plan.scanned.ids[static_cast<size_t>(place)];
        float* widened = values + id * pitch_;
        widen(row + id * plane, count_, widened);
        widened[count_] = widened[count_ - 1];
        offer_samples(widened, count_ + 1, id, leading);
    }
}

}  // namespace lsu
