#include "dense_loops.h"

#include "rules.h"

namespace lsu {
namespace {

// The ids are blended by bits: of two conditional assignments gcc makes masked stores, measured at 28 ms
// instead of 11 ms for 19 classes at 1024x2048.
LSU_INLINE void offer_value(float value, int32_t id, float& best, int32_t& leader) {
    const float held = best;
    const int32_t wins = -static_cast<int32_t>(beats(value, held));  // all bits or none
    best = beats(value, held) ? value : held;
    leader = (id & wins) | (leader & ~wins);
}

// Where the bit of the class is set in the pixel's word, and no score elsewhere. Spelled out in vectors, as
// the compiler makes branches of it. All arrays: [count + kLanes].
LSU_INLINE Float8 masked_value(const RowPair& rows, int64_t x, const int32_t* words, int32_t bit) {
    const Float8 value = rows.upper_row_weight * load<Float8>(rows.upper_row + x) +
                         rows.lower_row_weight * load<Float8>(rows.lower_row + x);
    return (load<Int8>(words + x) & bit) != 0 ? value : Float8{} + no_score();
}

template <bool kSecond>
LSU_INLINE void offer_masked(const RowPair& rows, int32_t id, int64_t count, const int32_t* words,
                             float* best_scores, float* second_scores, int32_t* leaders) {
    const auto bit = static_cast<int32_t>(uint32_t{1} << (id % 32));
    for (int64_t x = 0; x < count; x += kLanes) {
        const Float8 value = masked_value(rows, x, words, bit);
        const Float8 best = load<Float8>(best_scores + x);
        const Int8 wins = value > best;
        if constexpr (kSecond)
            store(second_scores + x, wins ? best : larger(value, load<Float8>(second_scores + x)));
        store(best_scores + x, wins ? value : best);
        store(leaders + x, wins ? Int8{} + id : load<Int8>(leaders + x));
    }
}

}  // namespace

LSU_CLONES void offer_class(const RowPair& rows, int32_t id, int64_t count, float* __restrict best,
                            int32_t* __restrict leader) {
    const float* a = rows.upper_row;
    const float* b = rows.lower_row;
    const float weight_a = rows.upper_row_weight;
    const float weight_b = rows.lower_row_weight;
    for (int64_t x = 0; x < count; ++x)
        offer_value(mix(weight_a, a[x], weight_b, b[x]), id, best[x], leader[x]);
}

LSU_CLONES void offer_second(const RowPair& rows, int64_t count, const float* __restrict best,
                             float* __restrict second) {
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

LSU_CLONES void offer_class_masked(const RowPair& rows, int32_t id, int64_t count, const int32_t* words,
                                   float* best, int32_t* leader) {
    offer_masked<false>(rows, id, count, words, best, nullptr, leader);
}

LSU_CLONES void offer_with_second_masked(const RowPair& rows, int32_t id, int64_t count, const int32_t* words,
                                         float* best, float* second, int32_t* leader) {
    offer_masked<true>(rows, id, count, words, best, second, leader);
}

LSU_CLONES void stretch_row(const float* source, const Columns& columns, Span run, int64_t first,
                            float* __restrict wide) {
    const int64_t begin = run.begin;
    const int64_t count = run.end - begin;
    const int32_t* lower = columns.lower.data() + begin;
    const int32_t* upper = columns.upper.data() + begin;
    const float* lower_weight = columns.lower_weight.data() + begin;
    const float* upper_weight = columns.upper_weight.data() + begin;
    const auto skipped = static_cast<int32_t>(first);
    for (int64_t x = 0; x < count; ++x)
        wide[x] =
            mix(lower_weight[x], source[lower[x] - skipped], upper_weight[x], source[upper[x] - skipped]);
}

LSU_CLONES int64_t write_classes(const int32_t* leader, int64_t count, int64_t void_channel,
                                 uint8_t* __restrict classes) {
    const auto void_id = static_cast<int32_t>(void_channel);
    int64_t voids = 0;
    for (int64_t x = 0; x < count; ++x) {
        const int32_t id = leader[x] == void_id ? LSU_VOID : leader[x];
        classes[x] = static_cast<uint8_t>(id);
        voids += id == LSU_VOID;
    }
    return voids;
}

LSU_CLONES void write_margin(const float* best, const float* second, int64_t count, float scale,
                             const uint8_t* classes, uint8_t* __restrict margin) {
    for (int64_t x = 0; x < count; ++x) {
        const uint8_t lead = margin_byte(best[x], second[x], scale);
        margin[x] = classes[x] == LSU_VOID ? uint8_t{0} : lead;
    }
}

}  // namespace lsu
