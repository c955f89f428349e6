// Runs the device kernels' bodies on the host: the threads of a block one after another, phase by phase.
//
// Threads may take their turns in any order. An answer that depends on it shows a barrier that is missing.
#ifndef LSU_BLOCK_ON_HOST_H
#define LSU_BLOCK_ON_HOST_H

#include <algorithm>
#include <cstring>
#include <memory>
#include <numeric>
#include <random>
#include <vector>

#include "device_dense.h"
#include "device_mixed.h"

namespace lsu::device {

enum class Turns { kForward, kBackward, kShuffled };

inline std::vector<int> turns_in(Turns turns) {
    std::vector<int> threads(kBlockThreads);
    std::iota(threads.begin(), threads.end(), 0);
    if (turns == Turns::kBackward) std::reverse(threads.begin(), threads.end());
    if (turns == Turns::kShuffled) std::shuffle(threads.begin(), threads.end(), std::mt19937(7));
    return threads;
}

// As run_block() in the .cu file. Shared memory starts as a device's does: with anything in it.
template <typename Kernel>
void run_block_on_host(const DeviceCall& call, const DeviceGrid& grid, const DeviceGrid& block, Turns turns) {
    const std::vector<int> threads = turns_in(turns);
    const auto tile = std::make_unique<typename Kernel::Tile>();
    std::memset(static_cast<void*>(tile.get()), 0xa5, sizeof *tile);
    const auto rows = static_cast<int>((call.in.height + call.plan.tile_height - 1) / call.plan.tile_height);
    for (int image = static_cast<int>(block.z); image < call.in.batch; image += static_cast<int>(grid.z))
        for (int row = static_cast<int>(block.y); row < rows; row += static_cast<int>(grid.y)) {
            tile->place = place_of(call, image, row, static_cast<int>(block.x));
            for (int phase = 0; phase < Kernel::kPhases; ++phase)
                for (const int thread : threads) Kernel::run(phase, call, *tile, thread);
        }
}

template <typename Kernel>
void run_grid_on_host(const DeviceCall& call, const DeviceGrid& grid, Turns turns) {
    for (uint32_t z = 0; z < grid.z; ++z)
        for (uint32_t y = 0; y < grid.y; ++y)
            for (uint32_t x = 0; x < grid.x; ++x) run_block_on_host<Kernel>(call, grid, {x, y, z}, turns);
}

inline void run_call_on_host(const DeviceCall& call, const DeviceGrid& grid, Turns turns) {
    const bool wide = call.in.score_type == LSU_FLOAT32;
    if (call.plan.by_cells != 0)
        wide ? run_grid_on_host<CellKernel<float>>(call, grid, turns)
             : run_grid_on_host<CellKernel<Half>>(call, grid, turns);
    else
        wide ? run_grid_on_host<DenseKernel<float>>(call, grid, turns)
             : run_grid_on_host<DenseKernel<Half>>(call, grid, turns);
}

}  // namespace lsu::device

#endif  // LSU_BLOCK_ON_HOST_H
