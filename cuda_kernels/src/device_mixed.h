// The second half of the cell-wise kernel: the pixels that no class fills. In their cells each class is
// compared with the leaders of the corners, and only the classes that can win are interpolated.
#ifndef LSU_DEVICE_MIXED_H
#define LSU_DEVICE_MIXED_H

#include "device_cells.h"

namespace lsu::device {

LSU_HOST_DEVICE inline int mask_words(const DeviceCall& call) {
    return static_cast<int>((call.in.channels + 31) / 32);
}

// The masks of a cell, one for each corner, a bit per class: those that stay beside the rival from there.
LSU_HOST_DEVICE inline uint32_t* masks_of(const DeviceCall& call, CellTile& tile, int cell) {
    return tile.masks + cell * kMasksPerCell * mask_words(call);
}

// Phase 4.
LSU_HOST_DEVICE inline void list_cells(const DeviceCall& call, CellTile& tile, int thread) {
    const Cells cells = cells_of(call, tile);
    for (int cell = thread; cell < cells.rows * cells.columns; cell += kBlockThreads) {
        if (((tile.wanted[cell / 32] >> (cell % 32)) & 1u) == 0) continue;
        const int row = cell / cells.columns;
        const CellSamples samples = samples_of(cells, row, cell - row * cells.columns);
        uint32_t rivals = 0;
        for (int i = 0; i < 4; ++i) {
            uint8_t rival = tile.leader[samples.index[i]];
            for (int j = 0; j < i; ++j)
                if (byte_of(rivals, j) == rival) rival = kMixed;
            rivals |= static_cast<uint32_t>(rival) << (8 * i);
        }
        tile.rivals[cell] = rivals;
        uint32_t* masks = masks_of(call, tile, cell);
        for (int i = 0; i < kMasksPerCell * mask_words(call); ++i) masks[i] = 0;
        tile.listed_cells[add_shared(tile.cell_count, 1)] = static_cast<uint16_t>(cell);
    }
}

// Comparisons with NaN are false: a rival that is not finite at some corner rules nobody out, and a class
// that is not stays, to be NaN wherever it is interpolated.
template <typename Score>
LSU_HOST_DEVICE inline void mark_class(const DeviceCall& call, CellTile& tile, int cell, int id, float clear,
                                       const Corners<Score>& scores) {
    uint32_t* masks = masks_of(call, tile, cell);
    float own[4];
    scores.read(id, own);
    for (int i = 0; i < 4; ++i) {
        const int rival = static_cast<int>(byte_of(tile.rivals[cell], i));
        if (rival == kMixed) continue;
        float other[4];
        scores.read(rival, other);
        bool out = true;
        LSU_UNROLL
        for (int j = 0; j < 4; ++j) out = out && yields(own[j], other[j], rival < id, clear);
        if (!out) set_shared_bit(masks + i * mask_words(call), id);
        // Without a table every rival may win, so that one of them is enough.
        if (out && call.in.table == nullptr) return;
    }
}

// Phase 5.
template <typename Score>
LSU_HOST_DEVICE inline void mark_classes(const DeviceCall& call, CellTile& tile, int thread) {
    const Cells cells = cells_of(call, tile);
    const int group = 1 << call.plan.group_shift;
    const int groups = kBlockThreads >> call.plan.group_shift;
    for (int listed = thread >> call.plan.group_shift; listed < static_cast<int>(tile.cell_count);
         listed += groups) {
        const int cell = tile.listed_cells[listed];
        const int row = cell / cells.columns;
        const int column = cell - row * cells.columns;
        const float clear = clear_lead_in(tile, samples_of(cells, row, column));
        const Corners<Score> scores(call, tile.place.image, tile.row_lower[0] + row,
                                    tile.column_lower[0] + column);
        for (int id = thread & (group - 1); id < call.in.channels; id += group)
            mark_class(call, tile, cell, id, clear, scores);
    }
}

// The classes 32 * part and up that can win at a pixel with this label. Only classes that the label allows
// rule others out.
LSU_HOST_DEVICE inline uint32_t candidates(const DeviceCall& call, const uint32_t* masks, uint32_t rivals,
                                           uint32_t label, int part) {
    const int words = mask_words(call);
    uint32_t left = allowed_classes(call, label, part);
    for (int i = 0; i < 4; ++i) {
        const uint32_t rival = byte_of(rivals, i);
        if (rival != kMixed && allows(call, label, rival)) left &= masks[i * words + part];
    }
    return left;
}

template <typename Score>
LSU_HOST_DEVICE inline uint8_t interpolated_class(const DeviceCall& call, CellTile& tile, int cell,
                                                  uint32_t label, const Neighbours<Score>& neighbours) {
    const uint32_t* masks = masks_of(call, tile, cell);
    const uint32_t rivals = tile.rivals[cell];
    float best = no_score();
    int64_t leader = LSU_VOID;
    for (int part = 0; part < mask_words(call); ++part) {
        uint32_t left = candidates(call, masks, rivals, label, part);
        for (; left != 0; left &= left - 1) {
            const int id = 32 * part + lowest_bit(left);
            const float value = neighbours.score(id);
            if (!beats(value, best)) continue;
            best = value;
            leader = id;
        }
    }
    return written_class(leader, call.in.void_channel);
}

// Phase 6. Four threads share a listed word, so that those of a warp stay in step.
template <typename Score>
LSU_HOST_DEVICE inline void interpolate_pixels(const DeviceCall& call, CellTile& tile, int thread) {
    const Cells cells = cells_of(call, tile);
    Tally tally(call, tile.counts);
    for (int item = thread; item < 4 * static_cast<int>(tile.word_count); item += kBlockThreads) {
        const int word = tile.listed_words[item / 4];
        if (((word >> (kWordBits + item % 4)) & 1) == 0) continue;
        const int index = word & (kMaxTileWords - 1);
        const int row = index >> call.plan.row_shift;
        const int column = 4 * (index & ((1 << call.plan.row_shift) - 1)) + item % 4;
        const int lower_y = tile.row_lower[row];
        const int lower_x = tile.column_lower[column];
        const int cell = (lower_y - tile.row_lower[0]) * cells.columns + lower_x - tile.column_lower[0];
        const int64_t at = map_index(call, tile.place, row, column);
        const uint32_t label = label_at(call, at);
        const Neighbours<Score> neighbours{Corners<Score>(call, tile.place.image, lower_y, lower_x),
                                           tile.column_weight[column], tile.row_weight[row]};
        const uint8_t answer = interpolated_class(call, tile, cell, label, neighbours);
        call.out.classes[at] = answer;
        tally.add(label, outcome_of(answer, 2), 1);
    }
    tally.flush();
}

template <typename Score>
struct CellKernel {
    using Tile = CellTile;
    static constexpr int kPhases = 8;

    LSU_HOST_DEVICE static void run(int phase, const DeviceCall& call, Tile& tile, int thread) {
        switch (phase) {
            case 0:
                return prepare_tile(call, tile, thread);
            case 1:
                return read_samples<Score>(call, tile, thread);
            case 2:
                return find_fillers(call, tile, thread);
            case 3:
                return fill_words(call, tile, thread);
            case 4:
                return list_cells(call, tile, thread);
            case 5:
                return mark_classes<Score>(call, tile, thread);
            case 6:
                return interpolate_pixels<Score>(call, tile, thread);
            default:
                return hand_in_counts(call, tile.place.image, tile.counts, thread);
        }
    }
};

}  // namespace lsu::device

#endif  // LSU_DEVICE_MIXED_H
