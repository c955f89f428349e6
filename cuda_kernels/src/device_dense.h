// The dense kernel's body: each allowed class at each pixel. It answers whatever the ratio of answer and
// scores, and what the cell-wise kernel leaves out: the margin and the agreement.
#ifndef LSU_DEVICE_DENSE_H
#define LSU_DEVICE_DENSE_H

#include "device_samples.h"

namespace lsu::device {

struct DenseTile {
    Place place;  // set before phase 0
    uint32_t counts[kCountCells];
    uint16_t rules[LSU_COUNTED_LABELS];
};

struct Leader {
    float best = no_score();
    float second = no_score();
    int64_t id = LSU_VOID;

    LSU_HOST_DEVICE void offer(float value, int64_t candidate) {
        if (beats(value, best)) {
            second = best;
            best = value;
            id = candidate;
        } else if (beats(value, second)) {
            second = value;
        }
    }
};

// Phase 0.
LSU_HOST_DEVICE inline void prepare_dense(const DeviceCall& call, DenseTile& tile, int thread) {
    clear_counts(tile.counts, thread);
    tile.rules[thread] = static_cast<uint16_t>(
        thread == 0 || call.in.labels != nullptr ? rule_of(call, static_cast<uint32_t>(thread)) : kSeveral);
}

template <typename Score>
LSU_HOST_DEVICE inline void offer_classes(const DeviceCall& call, uint32_t label, bool several,
                                          const Neighbours<Score>& neighbours, Leader& leader, Leader& free) {
    const bool agreement = call.out.agreement != 0;
    if (!several && !agreement) return;
    for (int part = 0; 32 * part < call.in.channels; ++part) {
        const uint32_t allowed = several ? allowed_classes(call, label, part) : 0;
        for (uint32_t classes = agreement ? existing_classes(call, part) : allowed; classes != 0;
             classes &= classes - 1) {
            const int bit = lowest_bit(classes);
            const float value = neighbours.score(32 * part + bit);
            if (((allowed >> bit) & 1u) != 0) leader.offer(value, 32 * part + bit);
            if (agreement) free.offer(value, 32 * part + bit);
        }
    }
}

template <typename Score>
LSU_HOST_DEVICE inline void answer_pixel(const DeviceCall& call, const DenseTile& tile, int64_t at,
                                         const Neighbours<Score>& neighbours, Tally& tally) {
    const uint32_t label = label_at(call, at);
    const uint32_t rule = tile.rules[label];
    Leader leader;
    Leader free;
    offer_classes(call, label, rule == kSeveral, neighbours, leader, free);
    const uint8_t answer = written_class(rule == kSeveral ? leader.id : rule, call.in.void_channel);
    call.out.classes[at] = answer;
    if (call.out.margin != nullptr)
        call.out.margin[at] =
            answer == LSU_VOID ? uint8_t{0} : margin_byte(leader.best, leader.second, call.in.margin_scale);
    tally.add(label, outcome_of(answer, rule == kSeveral ? 2 : 1), 1);
    if (call.out.agreement != 0 && answer == written_class(free.id, call.in.void_channel))
        tally.add(label, kAgreed, 1);
}

// Beyond the last column of a packed map: up to three bytes of each row.
LSU_HOST_DEVICE inline void write_padding(const DeviceCall& call, const DenseTile& tile, int thread) {
    if (tile.place.x + tile.place.width != call.in.width) return;
    const int padding = static_cast<int>(call.plan.row_bytes - call.in.width);
    for (int i = thread; i < tile.place.height * padding; i += kBlockThreads) {
        const int64_t at = map_index(call, tile.place, i / padding, tile.place.width + i % padding);
        call.out.classes[at] = LSU_VOID;
        if (call.out.margin != nullptr) call.out.margin[at] = LSU_VOID;
    }
}

// Phase 1.
template <typename Score>
LSU_HOST_DEVICE inline void answer_pixels(const DeviceCall& call, DenseTile& tile, int thread) {
    write_padding(call, tile, thread);
    const int shift = call.plan.row_shift + 2;
    const int column = thread & ((1 << shift) - 1);
    if (column >= tile.place.width) return;
    const NarrowTap x = column_tap(call, tile.place.x + column);
    Tally tally(call, tile.counts);
    for (int row = thread >> shift; row < tile.place.height; row += kBlockThreads >> shift) {
        const NarrowTap y = row_tap(call, tile.place.y + row);
        const Neighbours<Score> neighbours{Corners<Score>(call, tile.place.image, y.lower, x.lower),
                                           x.upper_weight, y.upper_weight};
        answer_pixel(call, tile, map_index(call, tile.place, row, column), neighbours, tally);
    }
    tally.flush();
}

template <typename Score>
struct DenseKernel {
    using Tile = DenseTile;
    static constexpr int kPhases = 3;

    LSU_HOST_DEVICE static void run(int phase, const DeviceCall& call, Tile& tile, int thread) {
        switch (phase) {
            case 0:
                return prepare_dense(call, tile, thread);
            case 1:
                return answer_pixels<Score>(call, tile, thread);
            default:
                return hand_in_counts(call, tile.place.image, tile.counts, thread);
        }
    }
};

}  // namespace lsu::device

#endif  // LSU_DEVICE_DENSE_H
