#include "device_plan.h"

#include <algorithm>

namespace lsu {
namespace {

constexpr int64_t kTilesPerMultiprocessor = 4;
constexpr int32_t kLeastTileHeight = 8;
constexpr int32_t kDenseTileHeight = 8;

int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

// The most cells that `count` pixels in a row can touch.
int64_t most_cells(int64_t count, int64_t source, int64_t target) {
    return std::min(ceil_div((count - 1) * source, target) + 1, source);
}

int64_t most_samples(int64_t cells, int64_t source) { return std::min(cells + 1, source); }

bool fits(const lsu_head_input& input, int64_t tile_width, int64_t tile_height) {
    const int64_t columns = most_cells(tile_width, input.score_width, input.canvas_width);
    const int64_t rows = most_cells(tile_height, input.score_height, input.canvas_height);
    const int64_t mask_words = columns * rows * kMasksPerCell * ceil_div(input.channels, 32);
    const int64_t samples = most_samples(columns, input.score_width) * most_samples(rows, input.score_height);
    return columns * rows <= kMaxTileCells && mask_words <= kMaxMaskWords && samples <= kMaxTileSamples;
}

// Cells pay where a sample has several pixels. The margin asks for a second class and the agreement for a
// second answer, which the dense loop has at hand.
bool cells_pay(const lsu_head_input& input, const lsu_head_output& output) {
    return output.margin == nullptr && output.agreement == 0 &&
           input.canvas_height >= 2 * input.score_height && input.canvas_width >= 2 * input.score_width;
}

// The largest tile that fits, the widest among equals; false if not even the smallest does.
bool choose_cell_tile(const lsu_head_input& input, DevicePlan& plan) {
    int32_t most = 0;
    for (int32_t width = kMaxTileWidth; width >= 32; width /= 2)
        for (int32_t height = kMaxTileHeight; height >= 4; height /= 2)
            if (width * height > most && fits(input, width, height)) {
                most = width * height;
                plan.tile_width = width;
                plan.tile_height = height;
            }
    return most > 0;
}

int64_t tiles_of(const lsu_head_input& input, const DevicePlan& plan) {
    // Beyond this number nothing shrinks; the product of three large extents would not fit.
    constexpr int64_t kMany = int64_t{1} << 30;
    const int64_t rows = ceil_div(input.height, plan.tile_height);
    const int64_t tiles = std::min(kMany, rows * ceil_div(input.width, plan.tile_width));
    return std::min(kMany, tiles * input.batch);
}

bool is_word_aligned(const void* pointer) { return reinterpret_cast<uintptr_t>(pointer) % 4 == 0; }

int32_t log2_at_least(int64_t value) {
    int32_t shift = 0;
    while ((int64_t{1} << shift) < value) ++shift;
    return shift;
}

}  // namespace

DevicePlan plan_device(const lsu_head_input& input, const lsu_head_output& output, int64_t multiprocessors) {
    DevicePlan plan{};
    plan.row_bytes = input.packed != 0 ? 4 * ceil_div(input.width, 4) : input.width;
    plan.plane = input.score_height * input.score_width;
    plan.in_words = plan.row_bytes % 4 == 0 && is_word_aligned(input.labels) &&
                    is_word_aligned(output.classes) && is_word_aligned(output.margin);
    plan.by_cells = cells_pay(input, output) && choose_cell_tile(input, plan);
    if (plan.by_cells == 0) {
        plan.tile_width = kMaxTileWidth;
        plan.tile_height = kDenseTileHeight;
    }
    while (plan.tile_height > kLeastTileHeight &&
           tiles_of(input, plan) < kTilesPerMultiprocessor * multiprocessors)
        plan.tile_height /= 2;
    plan.row_shift = log2_at_least(plan.tile_width / 4);
    plan.group_shift = log2_at_least(std::min<int64_t>(input.channels, 32));
    return plan;
}

DeviceGrid grid_of(const lsu_head_input& input, const DevicePlan& plan) {
    const int64_t rows = ceil_div(input.height, plan.tile_height);
    return {static_cast<uint32_t>(ceil_div(input.width, plan.tile_width)),
            static_cast<uint32_t>(std::min(rows, kMaxGridSide)),
            static_cast<uint32_t>(std::min(input.batch, kMaxGridSide))};
}

}  // namespace lsu
