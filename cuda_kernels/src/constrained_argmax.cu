// The CUDA kernels. Their bodies are in device_cells.h, device_mixed.h and device_dense.h, as phases that
// also run on the host; here are only the threads, the barriers between the phases, and the names that the
// launcher looks up.
//
// Launch: kBlockThreads threads, a grid of grid_of() or smaller in y and z, no dynamic shared memory, after
// the counts were cleared.
#include "device_dense.h"
#include "device_mixed.h"

namespace lsu::device {
namespace {

// Blocks whose registers are to fit a multiprocessor at once. Shared memory has room for two cell-wise blocks
// on 7.5, three on 8.6, 8.9 and 12.0, six on 8.0 and 8.7, eight on 9.0 and 10.0; with five, 9.0 spills.
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ < 800
constexpr int kCellBlocks = 2;
#elif defined(__CUDA_ARCH__) && __CUDA_ARCH__ < 900
constexpr int kCellBlocks = 3;
#else
constexpr int kCellBlocks = 4;
#endif
constexpr int kDenseBlocks = 4;

template <typename Kernel>
__device__ void run_block(const DeviceCall& call) {
    __shared__ typename Kernel::Tile tile;
    const int thread = static_cast<int>(threadIdx.x);
    const auto rows = static_cast<int>((call.in.height + call.plan.tile_height - 1) / call.plan.tile_height);
    for (int image = static_cast<int>(blockIdx.z); image < call.in.batch;
         image += static_cast<int>(gridDim.z))
        for (int row = static_cast<int>(blockIdx.y); row < rows; row += static_cast<int>(gridDim.y)) {
            if (thread == 0) tile.place = place_of(call, image, row, static_cast<int>(blockIdx.x));
            __syncthreads();
            LSU_UNROLL
            for (int phase = 0; phase < Kernel::kPhases; ++phase) {
                Kernel::run(phase, call, tile, thread);
                __syncthreads();
            }
        }
}

}  // namespace
}  // namespace lsu::device

extern "C" __global__ void __launch_bounds__(lsu::kBlockThreads, lsu::device::kCellBlocks)
    lsu_cells_float32(const __grid_constant__ lsu::DeviceCall call) {
    lsu::device::run_block<lsu::device::CellKernel<float>>(call);
}

extern "C" __global__ void __launch_bounds__(lsu::kBlockThreads, lsu::device::kCellBlocks)
    lsu_cells_float16(const __grid_constant__ lsu::DeviceCall call) {
    lsu::device::run_block<lsu::device::CellKernel<lsu::Half>>(call);
}

extern "C" __global__ void __launch_bounds__(lsu::kBlockThreads, lsu::device::kDenseBlocks)
    lsu_dense_float32(const __grid_constant__ lsu::DeviceCall call) {
    lsu::device::run_block<lsu::device::DenseKernel<float>>(call);
}

extern "C" __global__ void __launch_bounds__(lsu::kBlockThreads, lsu::device::kDenseBlocks)
    lsu_dense_float16(const __grid_constant__ lsu::DeviceCall call) {
    lsu::device::run_block<lsu::device::DenseKernel<lsu::Half>>(call);
}
