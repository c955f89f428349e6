#include "screen.h"

#include <algorithm>

#include "lanes.h"

namespace lsu {
namespace {

// Eight neighbouring cells.
struct Group {
    const SampleRow top;
    const SampleRow bottom;
    const ClassList& classes;
    int64_t cell;  // the first
    int64_t pitch;
    int32_t* first;        // [kLanes]
    int32_t* second;       // [kLanes]
    int32_t* first_bits;   // [words, pitch]
    int32_t* second_bits;  // [words, pitch]
};

// The corners of a group's cells: of one class, or their largest magnitudes.
struct CornerLanes {
    Float8 top_left;
    Float8 top_right;
    Float8 bottom_left;
    Float8 bottom_right;
};

LSU_INLINE CornerLanes corners_at(const float* top, const float* bottom) {
    return {load<Float8>(top), load<Float8>(top + 1), load<Float8>(bottom), load<Float8>(bottom + 1)};
}

LSU_INLINE CornerLanes corners_of(const Group& group, uint8_t id) {
    return corners_at(group.top.values + id * group.top.pitch + group.cell,
                      group.bottom.values + id * group.bottom.pitch + group.cell);
}

LSU_INLINE Float8 highest(const CornerLanes& corners) {
    return larger(larger(corners.top_left, corners.top_right),
                  larger(corners.bottom_left, corners.bottom_right));
}

LSU_INLINE Float8 smaller(const Float8& value, const Float8& held) { return value < held ? value : held; }

LSU_INLINE Float8 lowest(const CornerLanes& corners) {
    return smaller(smaller(corners.top_left, corners.top_right),
                   smaller(corners.bottom_left, corners.bottom_right));
}

LSU_INLINE bool is_finite(const Group& group, uint8_t id) {
    return group.top.finite[id] != 0 && group.bottom.finite[id] != 0;
}

// What a class must exceed at its best corner.
struct Limits {
    Float8 first;   // to stay beside the class of the highest worst corner
    Float8 second;  // beside the next
};

// The limits, and the best corners of all. Classes that are not finite everywhere hold nobody down.
template <bool kSecond>
LSU_INLINE Limits find_limits(const Group& group, Float8* best) {  // [classes]
    Float8 floor = Float8{} + no_score();
    Float8 next = floor;
    Int8 first = Int8{} + kNobody;
    Int8 second = first;
    for (int64_t place = 0; place < group.classes.count; ++place) {
        const uint8_t id = group.classes.ids[static_cast<size_t>(place)];
        const CornerLanes corners = corners_of(group, id);
        best[place] = highest(corners);
        if (!is_finite(group, id)) continue;
        const Float8 worst = lowest(corners);
        const Int8 wins = worst > floor;
        if constexpr (kSecond) {
            const Int8 follows = worst > next;
            second = wins ? first : (follows ? Int8{} + int32_t{id} : second);
            next = wins ? floor : larger(worst, next);
        }
        first = wins ? Int8{} + int32_t{id} : first;
        floor = larger(worst, floor);
    }
    store(group.first, first);
    if constexpr (kSecond) store(group.second, second);
    const CornerLanes largest =
        corners_at(group.top.leading.largest + group.cell, group.bottom.leading.largest + group.cell);
    const Float8 clear = clear_lead<Float8>(highest(largest));
    return {floor - clear, next - clear};
}

LSU_INLINE void find_bits(const Group& group, const Float8* best, const Float8& limits, int32_t* to) {
    Int8 bits{};
    int64_t word = 0;
    for (int64_t place = 0; place < group.classes.count; ++place) {
        const uint8_t id = group.classes.ids[static_cast<size_t>(place)];
        for (; word < id / 32; ++word, bits = Int8{}) store(to + word * group.pitch, bits);
        const auto bit = static_cast<int32_t>(uint32_t{1} << (id % 32));
        bits |= is_finite(group, id) ? (best[place] > limits) & bit : Int8{} + bit;
    }
    store(to + word * group.pitch, bits);
}

template <bool kSecond>
LSU_INLINE void screen(const Group& group) {
    Float8 best[LSU_MAX_CHANNELS];
    const Limits limits = find_limits<kSecond>(group, best);
    find_bits(group, best, limits.first, group.first_bits);
    if constexpr (kSecond) find_bits(group, best, limits.second, group.second_bits);
}

LSU_CLONES void screen_free(const Group& group) { screen<false>(group); }

LSU_CLONES void screen_with_second(const Group& group) { screen<true>(group); }

bool is_allowed(const uint64_t* row, int32_t id) {
    return id != kNobody && (row == nullptr || ((row[id / 64] >> (id % 64)) & 1u) != 0);
}

}  // namespace

void Screen::prepare(const Plan& plan) {
    pitch_ = (plan.tile_samples + kLanes) / kLanes * kLanes + kLanes;
    words_ = (plan.in.channels + 31) / 32;
    first_.resize(static_cast<size_t>(pitch_));
    second_.resize(static_cast<size_t>(pitch_));
    // Words beyond the last scanned class stay empty.
    first_bits_.assign(static_cast<size_t>(words_ * pitch_), 0);
    second_bits_.assign(static_cast<size_t>(words_ * pitch_), 0);
}

void Screen::run(const Plan& plan, const SampleRow& top, const SampleRow& bottom,
                 const std::vector<int32_t>& wanted, bool for_margin) {
    for_margin_ = for_margin;
    with_second_ = for_margin || plan.in.table != nullptr;
    int64_t done = 0;
    for (const int32_t cell : wanted) {
        if (cell < done) continue;
        const int64_t begin = cell / kLanes * kLanes;
        done = begin + kLanes;
        const Group group{top,
                          bottom,
                          plan.scanned,
                          begin,
                          pitch_,
                          first_.data() + begin,
                          second_.data() + begin,
                          first_bits_.data() + begin,
                          second_bits_.data() + begin};
        if (with_second_)
            screen_with_second(group);
        else
            screen_free(group);
    }
}

bool Screen::passed(int64_t cell, const uint64_t* row, ClassList& classes) const {
    const auto place = static_cast<size_t>(cell);
    const bool first = is_allowed(row, first_[place]);
    const bool second = with_second_ && is_allowed(row, second_[place]);
    // What holds a class down must itself be allowed: for the margin both of them, else one.
    if (for_margin_ && !(first && second)) return false;
    if (!first && !second) return false;
    const int32_t* held = first && !for_margin_ ? first_bits_.data() : second_bits_.data();
    classes.count = 0;
    for (int64_t word = 0; word < words_; ++word) {
        auto bits = static_cast<uint32_t>(held[word * pitch_ + cell]);
        if (row != nullptr) bits &= static_cast<uint32_t>(row[word / 2] >> (32 * (word % 2)));
        for (; bits != 0; bits &= bits - 1)
            classes.ids[static_cast<size_t>(classes.count++)] =
                static_cast<uint8_t>(32 * word + __builtin_ctz(bits));
    }
    return true;
}

int64_t Screen::count_passed(int64_t cell) const {
    int64_t count = 0;
    for (int64_t word = 0; word < words_; ++word)
        count +=
            __builtin_popcount(static_cast<uint32_t>(first_bits_[static_cast<size_t>(word * pitch_ + cell)]));
    return count;
}

}  // namespace lsu
