// The rules that make every implementation of the head give the same bits, for host and device alike.
//
// Nothing here may be contracted into a fused multiply-add or reordered: the build passes -ffp-contract=off
// to the host compiler and --fmad=false to the device compiler.
#ifndef LSU_RULES_H
#define LSU_RULES_H

#include <cmath>
#include <cstdint>
#include <cstring>

#include "lsu/constrained_argmax.h"

#ifdef __CUDACC__
#define LSU_HOST_DEVICE __host__ __device__
#define LSU_ALWAYS_INLINE __forceinline__
#else
#define LSU_HOST_DEVICE
#define LSU_ALWAYS_INLINE __attribute__((always_inline)) inline
#endif

namespace lsu {

// A float16 as it lies in memory: not every compiler that we build with has a type for it.
struct Half {
    uint16_t bits;
};

// Where one output coordinate falls between two samples of a side of the scores.
struct Tap {
    int64_t lower;
    int64_t upper;
    float lower_weight;
    float upper_weight;
};

// Half-pixel centres: coordinate (2x + 1) * source / (2 * target) - 1/2, as an exact fraction over 2 *
// target. The upper neighbour is read even where its weight is zero, so that a NaN there counts the same in
// every implementation.
LSU_HOST_DEVICE inline Tap tap_at(int64_t x, int64_t source, int64_t target) {
    const int64_t numerator = (2 * x + 1) * source - target;
    const int64_t lower = numerator < 0 ? 0 : numerator / (2 * target);
    const int64_t rest = numerator < 0 ? 0 : numerator % (2 * target);
    // Both are below 2^24 + 1 (LSU_MAX_EXTENT), hence exact in float32: the division is the only rounding.
    const float fraction = static_cast<float>(rest) / static_cast<float>(2 * target);
    return {lower, lower + 1 < source ? lower + 1 : lower, 1.0f - fraction, fraction};
}

// A fixed order of operations that is monotone in a and b, which lower + (upper - lower) * fraction is not.
LSU_HOST_DEVICE inline float mix(float lower_weight, float a, float upper_weight, float b) {
    return lower_weight * a + upper_weight * b;
}

LSU_HOST_DEVICE inline float not_a_number() { return NAN; }

// Non-finite samples are read as NaN: an infinity times a weight of zero would be one only sometimes.
LSU_HOST_DEVICE inline float read_score(float sample) {
    return sample - sample == 0.0f ? sample : not_a_number();
}

// Exact, subnormals included: the bits shifted into a float32 are the value times 2^-112.
LSU_HOST_DEVICE inline float read_score(Half sample) {
    const uint32_t shifted = static_cast<uint32_t>(sample.bits & 0x7fffu) << 13;
    float magnitude;
    std::memcpy(&magnitude, &shifted, sizeof magnitude);
    magnitude *= 0x1p112f;
    const float value = (sample.bits & 0x8000u) != 0 ? -magnitude : magnitude;
    return magnitude < 65536.0f ? value : not_a_number();  // infinity and NaN have the exponent of 65536
}

// The score of a class that is not there. No candidate has it, because mix() of finite samples stays finite.
// With both weights 1/2 all is exact. Otherwise the larger weight times the largest float32 falls short of
// that weight times 2^128 by 2^104, after rounding, and the other product falls short too. The rounding of 1
// - fraction lifts the sum of the weights by 2^-25 at most, which is 2^103: the sum lies below 2^128 - 2^103,
// from where on it would round to infinity.
LSU_HOST_DEVICE inline float no_score() { return -HUGE_VALF; }

// How far the scores of a must lie above those of b at all four corners of a cell for a to be strictly above
// b everywhere in it, after rounding. `magnitude` is at least that of each of the eight scores. Interpolation
// and the subtraction of the two err by at most nine roundings of 2^-24 * magnitude together, of the sixteen
// that the first term allows; below the normal numbers by nine of 2^-150, which the second term covers.
// Real is float, or a short vector of floats.
template <typename Real>
LSU_HOST_DEVICE LSU_ALWAYS_INLINE Real clear_lead(const Real& magnitude) {
    return 0x1p-20f * magnitude + 0x1p-126f;
}

// The tie rule, for classes offered in rising order: an equal score does not replace, and NaN never does.
LSU_HOST_DEVICE inline bool beats(float value, float best) { return value > best; }

LSU_HOST_DEVICE inline uint8_t written_class(int64_t id, int64_t void_channel) {
    return id == void_channel ? uint8_t{LSU_VOID} : static_cast<uint8_t>(id);
}

// Columns of the counts.
enum Outcome { kForced = 0, kChosen = 1, kVoid = 2, kAgreed = 3 };

LSU_HOST_DEVICE inline Outcome outcome_of(uint8_t answer, int64_t allowed_count) {
    return answer == LSU_VOID ? kVoid : allowed_count == 1 ? kForced : kChosen;
}

// round(255 * min(m / scale, 1)), half to even. Without a second, no other class could have won.
LSU_HOST_DEVICE inline uint8_t margin_byte(float best, float second, float scale) {
    const float lead = best > second ? best - second : 0.0f;
    const float share = lead / scale;
    const float level = rintf(255.0f * (share < 1.0f ? share : 1.0f));
    return static_cast<uint8_t>(second == no_score() ? 255.0f : level);
}

}  // namespace lsu

#endif  // LSU_RULES_H
