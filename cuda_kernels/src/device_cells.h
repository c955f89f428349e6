// The cell-wise kernel's body. A cell is what lies between four neighbouring samples.
//
// One pass over the scores of a tile keeps of each sample the class that leads. Where one class leads all
// four corners of a cell, clearly before every lower id, it wins in the whole cell and fills it wherever the
// label allows it. The words of four pixels that are left over are listed; for their cells each class is
// compared with the leaders, and only the classes that can win are interpolated.
#ifndef LSU_DEVICE_CELLS_H
#define LSU_DEVICE_CELLS_H

#include "device_samples.h"

namespace lsu::device {

constexpr uint8_t kMixed = 255;       // a cell that no class fills, a sample that no class leads
constexpr uint32_t kUnsettled = 257;  // a pixel whose class the scores have to say
constexpr int kWordBits = 11;         // of a listed word's index; above them a bit per unsettled pixel
static_assert(kMaxTileWords == 1 << kWordBits);

struct CellTile {
    Place place;  // set before phase 0
    uint32_t counts[kCountCells];
    uint16_t rules[LSU_COUNTED_LABELS];
    // Sample to the left of a column of the tile, on the whole of the scores, and the weight of the next.
    int32_t column_lower[kMaxTileWidth];
    float column_weight[kMaxTileWidth];
    int32_t row_lower[kMaxTileHeight];
    float row_weight[kMaxTileHeight];
    // Per sample: the first class among the best, its score, the best score of the lower ids, and the largest
    // magnitude of all.
    uint8_t leader[kMaxTileSamples];
    float best[kMaxTileSamples];
    float displaced[kMaxTileSamples];
    float magnitude[kMaxTileSamples];
    uint8_t filler[kMaxTileCells];               // the class that fills the cell, or kMixed
    uint32_t wanted[(kMaxTileCells + 31) / 32];  // a bit per cell with unsettled pixels
    // Of the cells that are wanted: the leaders of their corners, a byte each, doubles replaced by kMixed.
    uint32_t rivals[kMaxTileCells];
    uint32_t masks[kMaxMaskWords];
    uint16_t listed_cells[kMaxTileCells];
    uint16_t listed_words[kMaxTileWords];
    uint32_t cell_count;
    uint32_t word_count;
};

// Read from the shared arrays once they are there.
struct Cells {
    int columns;
    int rows;
    int sample_columns;
    int sample_rows;
};

LSU_HOST_DEVICE inline Cells cells_of(const DeviceCall& call, const CellTile& tile) {
    const int first_x = tile.column_lower[0];
    const int first_y = tile.row_lower[0];
    const int columns = tile.column_lower[tile.place.width - 1] - first_x + 1;
    const int rows = tile.row_lower[tile.place.height - 1] - first_y + 1;
    return {columns, rows, least(call.in.score_width - first_x, columns + 1),
            least(call.in.score_height - first_y, rows + 1)};
}

// Indices of the four samples around a cell: above left, above right, below left, below right.
struct CellSamples {
    int index[4];
};

LSU_HOST_DEVICE inline CellSamples samples_of(const Cells& cells, int row, int column) {
    const int above = row * cells.sample_columns;
    const int below = least(row + 1, cells.sample_rows - 1) * cells.sample_columns;
    const int right = least(column + 1, cells.sample_columns - 1);
    return {{above + column, above + right, below + column, below + right}};
}

// Does b, at one corner, stay out of the way of a? If so at all four corners of a cell, b cannot be the
// answer inside it. Where a has the lower id it wins ties, so that equal scores suffice: mix() is monotone.
LSU_HOST_DEVICE inline bool yields(float b, float a, bool a_has_lower_id, float clear) {
    return b <= (a_has_lower_id ? a : a - clear);
}

// Phase 0.
LSU_HOST_DEVICE inline void prepare_tile(const DeviceCall& call, CellTile& tile, int thread) {
    clear_counts(tile.counts, thread);
    tile.rules[thread] = static_cast<uint16_t>(
        thread == 0 || call.in.labels != nullptr ? rule_of(call, static_cast<uint32_t>(thread)) : kSeveral);
    for (int x = thread; x < tile.place.width; x += kBlockThreads) {
        const NarrowTap tap = column_tap(call, tile.place.x + x);
        tile.column_lower[x] = tap.lower;
        tile.column_weight[x] = tap.upper_weight;
    }
    // From the last thread on: the first ones have the columns.
    for (int y = kBlockThreads - 1 - thread; y < tile.place.height; y += kBlockThreads) {
        const NarrowTap tap = row_tap(call, tile.place.y + y);
        tile.row_lower[y] = tap.lower;
        tile.row_weight[y] = tap.upper_weight;
    }
    for (int word = thread; word < (kMaxTileCells + 31) / 32; word += kBlockThreads) tile.wanted[word] = 0;
    if (thread == 0) tile.cell_count = tile.word_count = 0;
}

struct Lead {
    float best = no_score();
    float displaced = no_score();
    float magnitude = 0.0f;
    uint8_t leader = kMixed;

    LSU_HOST_DEVICE void offer(float value, int id) {
        const float size = value < 0.0f ? -value : value;
        magnitude = size > magnitude ? size : magnitude;
        if (!beats(value, best)) return;
        displaced = best;
        best = value;
        leader = static_cast<uint8_t>(id);
    }
};

// Phase 1. Several loads are under way at once: the pass waits for memory otherwise.
template <typename Score>
LSU_HOST_DEVICE inline void read_samples(const DeviceCall& call, CellTile& tile, int thread) {
    constexpr int kAtOnce = 8;
    const Cells cells = cells_of(call, tile);
    const int64_t plane = call.plan.plane;
    const int channels = static_cast<int>(call.in.channels);
    for (int sample = thread; sample < cells.sample_rows * cells.sample_columns; sample += kBlockThreads) {
        const int row = sample / cells.sample_columns;
        const int column = sample - row * cells.sample_columns;
        const Score* at =
            sample_at<Score>(call, tile.place.image, tile.row_lower[0] + row, tile.column_lower[0] + column);
        Lead lead;
        for (int first = 0; first < channels; first += kAtOnce) {
            float values[kAtOnce];
            LSU_UNROLL
            for (int i = 0; i < kAtOnce; ++i, at += plane)
                values[i] = first + i < channels ? read_score(load(at)) : not_a_number();
            LSU_UNROLL
            for (int i = 0; i < kAtOnce; ++i) lead.offer(values[i], first + i);
        }
        tile.leader[sample] = lead.leader;
        tile.best[sample] = lead.best;
        tile.displaced[sample] = lead.displaced;
        tile.magnitude[sample] = lead.magnitude;
    }
}

LSU_HOST_DEVICE inline float clear_lead_in(const CellTile& tile, const CellSamples& samples) {
    float magnitude = 0.0f;
    LSU_UNROLL
    for (int i = 0; i < 4; ++i) {
        const float size = tile.magnitude[samples.index[i]];
        magnitude = size > magnitude ? size : magnitude;
    }
    return clear_lead(magnitude);
}

// The leader was the first among the best: no higher id scores more at any corner, and every lower id less.
LSU_HOST_DEVICE inline uint8_t filler_of(const CellTile& tile, const CellSamples& samples) {
    const uint8_t leader = tile.leader[samples.index[0]];
    const float clear = clear_lead_in(tile, samples);
    bool fills = leader != kMixed;
    LSU_UNROLL
    for (int i = 0; i < 4; ++i) {
        const int sample = samples.index[i];
        fills = fills && tile.leader[sample] == leader &&
                yields(tile.displaced[sample], tile.best[sample], false, clear);
    }
    return fills ? leader : kMixed;
}

// Phase 2.
LSU_HOST_DEVICE inline void find_fillers(const DeviceCall& call, CellTile& tile, int thread) {
    const Cells cells = cells_of(call, tile);
    for (int cell = thread; cell < cells.rows * cells.columns; cell += kBlockThreads) {
        const int row = cell / cells.columns;
        tile.filler[cell] = filler_of(tile, samples_of(cells, row, cell - row * cells.columns));
    }
}

// The class, LSU_VOID, or kUnsettled.
LSU_HOST_DEVICE inline uint32_t settled_class(const DeviceCall& call, const CellTile& tile, uint32_t label,
                                              uint32_t filler) {
    const uint32_t rule = tile.rules[label];
    if (rule != kSeveral) return rule;
    return filler != kMixed && allows(call, label, filler) ? filler : kUnsettled;
}

// A word of four pixels in work.
struct WordOfPixels {
    int cell[4];
    int inside;       // pixels that are inside the answer
    uint32_t labels;  // a byte each, as all that follow
    uint32_t fillers;
    uint32_t classes = 0;
    uint32_t unsettled = 0;  // a bit each
};

LSU_HOST_DEVICE inline uint32_t byte_of(uint32_t word, int place) { return (word >> (8 * place)) & 0xffu; }

LSU_HOST_DEVICE inline void settle_word(const DeviceCall& call, CellTile& tile, WordOfPixels& word,
                                        Tally& tally) {
    const bool uniform = word.inside == 4 && word.labels == byte_of(word.labels, 0) * kEveryByte &&
                         word.fillers == byte_of(word.fillers, 0) * kEveryByte;
    const int step = uniform ? 4 : 1;
    for (int i = 0; i < word.inside; i += step) {
        const uint32_t label = byte_of(word.labels, i);
        const uint32_t id = settled_class(call, tile, label, byte_of(word.fillers, i));
        const uint32_t pixels = uniform ? 0xfu : 1u << i;
        if (id == kUnsettled) {
            word.unsettled |= pixels;
        } else {
            const uint8_t written = written_class(id, call.in.void_channel);
            tally.add(label, outcome_of(written, tile.rules[label] == kSeveral ? 2 : 1),
                      static_cast<uint32_t>(step));
            word.classes |= uniform ? written * kEveryByte : static_cast<uint32_t>(written) << (8 * i);
        }
    }
    int last = -1;
    LSU_UNROLL
    for (int i = 0; i < 4; ++i) {
        if (((word.unsettled >> i) & 1u) == 0 || word.cell[i] == last) continue;
        last = word.cell[i];
        set_shared_bit(tile.wanted, last);
    }
}

// Phase 3. Unsettled pixels are written in phase 6; until then any byte may stand there.
LSU_HOST_DEVICE inline void fill_words(const DeviceCall& call, CellTile& tile, int thread) {
    const Cells cells = cells_of(call, tile);
    const int word_column = thread & ((1 << call.plan.row_shift) - 1);
    const int first = 4 * word_column;
    if (first >= tile.place.width) return;
    const int inside = least(tile.place.width - first, 4);
    int cell_column[4];
    LSU_UNROLL
    for (int i = 0; i < 4; ++i)
        cell_column[i] = tile.column_lower[first + least(i, inside - 1)] - tile.column_lower[0];
    const uint32_t outside = inside < 4 ? ~0u << (8 * inside) : 0;
    Tally tally(call, tile.counts);
    const int row_step = kBlockThreads >> call.plan.row_shift;
    for (int row = thread >> call.plan.row_shift; row < tile.place.height; row += row_step) {
        const int64_t at = map_index(call, tile.place, row, first);
        const int cell_row = (tile.row_lower[row] - tile.row_lower[0]) * cells.columns;
        WordOfPixels word{};
        word.inside = inside;
        word.labels = labels_at(call, at, inside);
        LSU_UNROLL
        for (int i = 0; i < 4; ++i) {
            word.cell[i] = cell_row + cell_column[i];
            word.fillers |= static_cast<uint32_t>(tile.filler[word.cell[i]]) << (8 * i);
        }
        settle_word(call, tile, word, tally);
        store_bytes(call, call.out.classes, at, inside, word.classes | outside);
        if (word.unsettled != 0) {
            const uint32_t index = static_cast<uint32_t>((row << call.plan.row_shift) + word_column);
            tile.listed_words[add_shared(tile.word_count, 1)] =
                static_cast<uint16_t>(index | word.unsettled << kWordBits);
        }
    }
    tally.flush();
}

}  // namespace lsu::device

#endif  // LSU_DEVICE_CELLS_H
