#include "cells.h"

#include "lanes.h"

namespace lsu {
namespace {

// The classes that others are held against, a bit each: read back, they are in rising order.
class Leaders {
  public:
    LSU_INLINE void add(int32_t id) { words_[static_cast<size_t>(id >> 6)] |= uint64_t{1} << (id & 63); }

    // Writes the ids and returns their number.
    LSU_INLINE int64_t list(int32_t* ids) const {  // [8]
        int64_t count = 0;
        for (int32_t word = 0; word < 4; ++word)
            for (uint64_t rest = words_[static_cast<size_t>(word)]; rest != 0; rest &= rest - 1) {
                const int32_t id = 64 * word + __builtin_ctzll(rest);
                if (id != kNobody) ids[count++] = id;
            }
        return count;
    }

  private:
    std::array<uint64_t, 4> words_{};
};

LSU_INLINE Float4 samples_of(const Corners& corners, int64_t id) {
    const float* top = corners.top + id * corners.pitch;
    const float* bottom = corners.bottom + id * corners.pitch;
    const Long2 pairs{load<int64_t>(top), load<int64_t>(bottom)};
    return load<Float4>(&pairs);
}

// The best one or two classes at each corner, and the largest magnitude there.
template <bool kSecond>
LSU_INLINE float find_leaders(const Corners& corners, const ClassList& allowed, Leaders& leaders) {
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
    float most = 0.0f;
    for (int64_t lane = 0; lane < 4; ++lane) {
        most = largest[lane] > most ? largest[lane] : most;
        leaders.add(best_id[lane]);
        if constexpr (kSecond) leaders.add(second_id[lane]);
    }
    return most;
}

LSU_INLINE void add_candidate(int32_t id, const Float4& samples, Candidates& candidates) {
    if (!all_of(samples == samples)) return;
    const auto last = static_cast<size_t>(candidates.count++);
    candidates.ids[last] = id;
    store(candidates.corners[last].data(), samples);
}

// Drops what yields to `enough` leaders at all four corners. As ids rise past a leader's, it gets the lower
// id, and its limit rises to its own scores. A leader does not yield to itself, and nothing yields to a NaN.
LSU_INLINE void sift(const Corners& corners, const ClassList& allowed, const Leaders& leaders, float largest,
                     int64_t enough, Candidates& candidates) {
    Float4 limits[8];
    int32_t ids[8];
    const float clear = clear_lead(largest);
    const int64_t count = leaders.list(ids);
    for (int64_t leader = 0; leader < count; ++leader)
        limits[leader] = samples_of(corners, ids[leader]) - clear;
    int64_t passed = 0;
    candidates.count = 0;
    for (int64_t place = 0; place < allowed.count; ++place) {
        const int32_t id = allowed.ids[static_cast<size_t>(place)];
        const Float4 samples = samples_of(corners, id);
        int64_t yielded = 0;
        for (int64_t leader = 0; leader < count && yielded < enough; ++leader)
            yielded += all_of(samples <= limits[leader]);
        if (yielded < enough) add_candidate(id, samples, candidates);
        if (passed < count && ids[passed] == id) limits[passed++] = samples;
    }
}

template <bool kSecond>
LSU_INLINE void find(const Corners& corners, const ClassList& allowed, Candidates& candidates) {
    if (allowed.count == 2) {  // interpolating a class costs less than finding out that it need not be
        candidates.count = 0;
        for (const uint8_t id : {allowed.ids[0], allowed.ids[1]})
            add_candidate(id, samples_of(corners, id), candidates);
        return;
    }
    Leaders leaders;
    const float largest = find_leaders<kSecond>(corners, allowed, leaders);
    sift(corners, allowed, leaders, largest, kSecond ? 2 : 1, candidates);
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
template <bool kMargin>
LSU_INLINE Int8 stands_out(const Leading& row, int64_t x, const Float8& ahead, const Float8& far) {
    const Float8 best = load<Float8>(row.best + x);
    const Int8 leads = load<Float8>(row.lower + x) <= best - ahead;
    if constexpr (!kMargin) return leads;
    return leads & (load<Float8>(row.second + x) <= best - far);
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
        const Float8 clear = clear_lead<Float8>(largest);
        const Float8 far = 2.0f * clear + scale;
        const Int8 fills_cell =
            same & stands_out<kMargin>(top, x, clear, far) & stands_out<kMargin>(top, x + 1, clear, far) &
            stands_out<kMargin>(bottom, x, clear, far) & stands_out<kMargin>(bottom, x + 1, clear, far);
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
