// How a call is cut into tiles for the blocks of a CUDA device, and what a kernel is given.
#ifndef LSU_DEVICE_PLAN_H
#define LSU_DEVICE_PLAN_H

#include <cstdint>

#include "lsu/constrained_argmax.h"

namespace lsu {

constexpr int kBlockThreads = 256;

// What a block's shared memory has room for: 25 KiB together, of which 228 KiB hold eight. The registers
// leave a multiprocessor fewer blocks (kCellBlocks).
constexpr int kMaxTileWidth = 128;  // pixels
constexpr int kMaxTileHeight = 64;
constexpr int kMaxTileWords = 2048;  // of four pixels
constexpr int kMaxTileSamples = 384;
constexpr int kMaxTileCells = 320;
constexpr int kMaxMaskWords = 2048;  // of 32 classes
constexpr int kMasksPerCell = 4;

// Grid dimensions beyond the first end here on every device; the kernels stride over what is left.
constexpr int64_t kMaxGridSide = 65535;

struct DevicePlan {
    int64_t row_bytes;   // from one row of a map to the next
    int64_t plane;       // samples of one class of one image
    int32_t tile_width;  // pixels: a power of two, at least 4
    int32_t tile_height;
    int32_t row_shift;    // a row of a tile is 2^row_shift words of four pixels
    int32_t group_shift;  // 2^group_shift neighbouring threads share the classes of one cell
    int32_t in_words;     // not 0: rows of all maps begin on a word
    int32_t by_cells;     // not 0: the cell-wise kernel, else the dense one
};

// The one argument of every kernel.
struct DeviceCall {
    lsu_head_input in;
    lsu_head_output out;
    DevicePlan plan;
};

struct DeviceGrid {
    uint32_t x;
    uint32_t y;
    uint32_t z;
};

// For arguments that check_head() accepted and an answer of at least one pixel. Tiles shrink until every one
// of `multiprocessors` has several.
DevicePlan plan_device(const lsu_head_input& input, const lsu_head_output& output, int64_t multiprocessors);

DeviceGrid grid_of(const lsu_head_input& input, const DevicePlan& plan);

}  // namespace lsu

#endif  // LSU_DEVICE_PLAN_H
