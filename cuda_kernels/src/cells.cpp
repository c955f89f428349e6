#include "cells.h"

#include "lanes.h"

namespace lsu {
namespace {

constexpr int32_t kNobody = LSU_VOID;  // leads where no class is finite

struct Leaders {
    int64_t count = 0;
    std::array<int32_t, 8> ids{};
    alignas(16) std::array<std::array<float, 4>, 8> corners{};  // what a class of higher id must not exceed
    alignas(16) std::array<std::array<float, 4>, 8> below{};    // what a class of lower id must not exceed
};

LSU_INLINE Float4 samples_of(const Corners& corners, int64_t id) {
    const float* top = corners.top + id * corners.pitch;
    const float* bottom = corners.bottom + id * corners.pitch;
    return Float4{top[0], top[1], bottom[0], bottom[1]};
}

LSU_INLINE void add_leaders(const Corners& corners, const Int4& ids, float clear, Leaders& leaders) {
    for (int64_t lane = 0; lane < 4; ++lane) {
        bool known = false;
        for (int64_t place = 0; place < leaders.count; ++place)
            known |= leaders.ids[static_cast<size_t>(place)] == ids[lane];
        if (known || ids[lane] == kNobody) continue;
        const auto last = static_cast<size_t>(leaders.count++);
        const Float4 samples = samples_of(corners, ids[lane]);
        leaders.ids[last] = ids[lane];
        store(leaders.corners[last].data(), samples);
        store(leaders.below[last].data(), samples - clear);
    }
}

LSU_INLINE float clear_lead_of(const Float4& largest) {
    float most = 0.0f;
    for (int64_t lane = 0; lane < 4; ++lane) most = largest[lane] > most ? largest[lane] : most;
    return clear_lead(most);
}

// The best one or two classes at each corner.
template <bool kSecond>
LSU_INLINE Leaders leaders_of(const Corners& corners, const ClassList& allowed) {
    Float4 best = Float4{} + no_score();
    Float4 second = best;
    Float4 largest{};
    Int4 best_id = Int4{} + kNobody;
    Int4 second_id = best_id;
    for (int64_t place = 0; place < allowed.count; ++place) {
        const int32_t id = allowed.ids[static_cast<size_t>(place)];
        const Float4 value = samples_of(corners, id);
        const Float4 size = value < 0.0f ? -value : value;
        const Int4 wins = value > best;
        if constexpr (kSecond) {
            const Int4 follows = value > second;
            second = wins ? best : (follows ? value : second);
            second_id = wins ? best_id : (follows ? Int4{} + id : second_id);
        }
        best = wins ? value : best;
        best_id = wins ? Int4{} + id : best_id;
        largest = size > largest ? size : largest;
    }
    Leaders leaders;
    const float clear = clear_lead_of(largest);
    add_leaders(corners, best_id, clear, leaders);
    if constexpr (kSecond) add_leaders(corners, second_id, clear, leaders);
    return leaders;
}

// yields() at all four corners; a leader yields neither to itself nor to one with a NaN.
LSU_INLINE bool yields_to(const Float4& value, int32_t id, const Leaders& leaders, size_t place) {
    const auto& limit = leaders.ids[place] < id ? leaders.corners[place] : leaders.below[place];
    return all_of(value <= load<Float4>(limit.data()));
}

template <bool kSecond>
LSU_INLINE void find(const Corners& corners, const ClassList& allowed, Candidates& candidates) {
    const Leaders leaders = leaders_of<kSecond>(corners, allowed);
    const int64_t enough = kSecond ? 2 : 1;
    candidates.count = 0;
    for (int64_t place = 0; place < allowed.count; ++place) {
        const int32_t id = allowed.ids[static_cast<size_t>(place)];
        const Float4 value = samples_of(corners, id);
        int64_t yielded = 0;
        for (int64_t leader = 0; leader < leaders.count && yielded < enough; ++leader)
            yielded += yields_to(value, id, leaders, static_cast<size_t>(leader));
        if (yielded >= enough || !all_of(value == value)) continue;
        const auto last = static_cast<size_t>(candidates.count++);
        candidates.ids[last] = id;
        store(candidates.corners[last].data(), value);
    }
}

// One candidate's scores along the cell's upper and lower edge.
struct Edges {
    Float8 top;
    Float8 bottom;
};

LSU_INLINE void stretch(const Candidates& candidates, const BlockWeights& weights, Edges* edges) {
    const Float8 left = load<Float8>(weights.left);
    const Float8 right = load<Float8>(weights.right);
    for (int64_t place = 0; place < candidates.count; ++place) {
        const auto& corner = candidates.corners[static_cast<size_t>(place)];
        edges[place].top = left * corner[0] + right * corner[1];
        edges[place].bottom = left * corner[2] + right * corner[3];
    }
}

LSU_INLINE Float8 between(const Edges& edges, float top_weight, float bottom_weight) {
    return top_weight * edges.top + bottom_weight * edges.bottom;
}

LSU_INLINE void write_ids(const Int8& ids, uint8_t* classes) {
    store(classes, __builtin_convertvector(ids, Byte8));
}

// kCount = 0: as many as there are.
template <int64_t kCount>
LSU_INLINE void answer_rows(const Candidates& candidates, const Edges* edges, const BlockWeights& weights,
                            uint8_t* classes) {
    const int64_t count = kCount != 0 ? kCount : candidates.count;
    for (int64_t y = 0; y < weights.rows; ++y) {
        Float8 best = between(edges[0], weights.top[y], weights.bottom[y]);
        Int8 leader = Int8{} + candidates.ids[0];
        for (int64_t place = 1; place < count; ++place) {
            const Float8 value = between(edges[place], weights.top[y], weights.bottom[y]);
            const Int8 wins = value > best;
            best = wins ? value : best;
            leader = wins ? Int8{} + candidates.ids[static_cast<size_t>(place)] : leader;
        }
        write_ids(leader, classes + y * kLanes);
    }
}

// Does the leader of each sample stand `ahead` above the lower ids, and `far` above all others?
LSU_INLINE Int8 stands_out(const Leading& row, int64_t x, const Float8& ahead, const Float8& far) {
    const Float8 best = load<Float8>(row.best + x);
    return (load<Float8>(row.lower + x) <= best - ahead) & (load<Float8>(row.second + x) <= best - far);
}

template <bool kMargin>
LSU_INLINE void find_fills_of(const Leading& top, const Leading& bottom, int64_t count, float scale,
                              int32_t* fills) {
    for (int64_t x = 0; x < count; x += kLanes) {
        const Int8 leader = load<Int8>(top.id + x);
        const Int8 same = (leader == load<Int8>(top.id + x + 1)) & (leader == load<Int8>(bottom.id + x)) &
                          (leader == load<Int8>(bottom.id + x + 1)) & (leader != kNobody);
        const Float8 largest =
            larger(larger(load<Float8>(top.largest + x), load<Float8>(top.largest + x + 1)),
                   larger(load<Float8>(bottom.largest + x), load<Float8>(bottom.largest + x + 1)));
        const Float8 clear = 0x1p-20f * largest + 0x1p-126f;  // clear_lead()
        // A second that is no further than the best is none the less below it by nothing: no condition.
        const Float8 far = kMargin ? 2.0f * clear + scale : Float8{};
        const Int8 fills_cell = same & stands_out(top, x, clear, far) & stands_out(top, x + 1, clear, far) &
                                stands_out(bottom, x, clear, far) & stands_out(bottom, x + 1, clear, far);
        store(fills + x, fills_cell ? leader : Int8{} + kMixed);
    }
}

template <int64_t kCount>
LSU_INLINE void answer_rows_with_margin(const Candidates& candidates, const Edges* edges,
                                        const BlockWeights& weights, float scale, uint8_t* classes,
                                        uint8_t* margin) {
    const int64_t count = kCount != 0 ? kCount : candidates.count;
    for (int64_t y = 0; y < weights.rows; ++y) {
        Float8 best = between(edges[0], weights.top[y], weights.bottom[y]);
        Float8 second = Float8{} + no_score();
        Int8 leader = Int8{} + candidates.ids[0];
        for (int64_t place = 1; place < count; ++place) {
            const Float8 value = between(edges[place], weights.top[y], weights.bottom[y]);
            const Int8 wins = value > best;
            second = wins ? best : larger(value, second);
            best = wins ? value : best;
            leader = wins ? Int8{} + candidates.ids[static_cast<size_t>(place)] : leader;
        }
        write_ids(leader, classes + y * kLanes);
        for (int64_t x = 0; x < kLanes; ++x) margin[y * kLanes + x] = margin_byte(best[x], second[x], scale);
    }
}

}  // namespace

LSU_CLONES void find_fills(const Leading& top, const Leading& bottom, int64_t count, int32_t* fills) {
    find_fills_of<false>(top, bottom, count, 0.0f, fills);
}

LSU_CLONES void find_clear_fills(const Leading& top, const Leading& bottom, int64_t count, float scale,
                                 int32_t* fills) {
    find_fills_of<true>(top, bottom, count, scale, fills);
}

LSU_CLONES void find_candidates(const Corners& corners, const ClassList& allowed, Candidates& candidates) {
    find<false>(corners, allowed, candidates);
}

LSU_CLONES void find_contenders(const Corners& corners, const ClassList& allowed, Candidates& candidates) {
    find<true>(corners, allowed, candidates);
}

LSU_CLONES void answer_block(const Candidates& candidates, const BlockWeights& weights, BlockBytes& classes) {
    Edges edges[LSU_MAX_CHANNELS];
    stretch(candidates, weights, edges);
    switch (candidates.count) {
        case 2:
            return answer_rows<2>(candidates, edges, weights, classes.data());
        case 3:
            return answer_rows<3>(candidates, edges, weights, classes.data());
        default:
            return answer_rows<0>(candidates, edges, weights, classes.data());
    }
}

LSU_CLONES void answer_block_with_margin(const Candidates& candidates, const BlockWeights& weights,
                                         float scale, BlockBytes& classes, BlockBytes& margin) {
    Edges edges[LSU_MAX_CHANNELS];
    stretch(candidates, weights, edges);
    switch (candidates.count) {
        case 2:
            return answer_rows_with_margin<2>(candidates, edges, weights, scale, classes.data(),
                                              margin.data());
        case 3:
            return answer_rows_with_margin<3>(candidates, edges, weights, scale, classes.data(),
                                              margin.data());
        default:
            return answer_rows_with_margin<0>(candidates, edges, weights, scale, classes.data(),
                                              margin.data());
    }
}

}  // namespace lsu
