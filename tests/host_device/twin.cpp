// The device's kernels on the host, for the tests to call: arguments as for lsu_cuda_head_run, answered by
// the same plan, grid and phases. It checks nothing.
#include <cstring>

#include "block_on_host.h"

extern "C" {

// Returns whether the cell-wise kernel answered. `turns` is a lsu::device::Turns; a grid side above
// `most_blocks` is cut, so that blocks stride over the rest.
LSU_API int lsu_twin_run(const lsu_head_input* input, const lsu_head_output* output, int turns,
                         int64_t multiprocessors, uint32_t most_blocks) {
    const int64_t columns = output->agreement != 0 ? 4 : 3;
    if (output->counts != nullptr)
        std::memset(output->counts, 0,
                    static_cast<size_t>(input->batch * LSU_COUNTED_LABELS * columns) * sizeof(int64_t));
    if (input->batch == 0 || input->height == 0 || input->width == 0) return 0;
    const lsu::DeviceCall call{*input, *output, lsu::plan_device(*input, *output, multiprocessors)};
    lsu::DeviceGrid grid = lsu::grid_of(*input, call.plan);
    grid.y = std::min(grid.y, most_blocks);
    grid.z = std::min(grid.z, most_blocks);
    lsu::device::run_call_on_host(call, grid, static_cast<lsu::device::Turns>(turns));
    return call.plan.by_cells;
}

// narrow_tap() against tap_at(): 1 if they agree.
LSU_API int lsu_twin_taps_agree(int64_t x, int64_t source, int64_t target) {
    const lsu::Tap tap = lsu::tap_at(x, source, target);
    const lsu::device::NarrowTap narrow = lsu::device::narrow_tap(x, source, target);
    return tap.lower == narrow.lower && tap.upper_weight == narrow.upper_weight &&
           tap.lower_weight == 1.0f - narrow.upper_weight;
}

// The plan and grid of a call: tile width and height, cell-wise or not, grid x, y, z.
LSU_API void lsu_twin_plan(const lsu_head_input* input, const lsu_head_output* output,
                           int64_t multiprocessors, int64_t* plan) {
    const lsu::DevicePlan made = lsu::plan_device(*input, *output, multiprocessors);
    const lsu::DeviceGrid grid = lsu::grid_of(*input, made);
    const int64_t values[] = {made.tile_width, made.tile_height, made.by_cells, grid.x, grid.y, grid.z};
    std::copy(std::begin(values), std::end(values), plan);
}

}  // extern "C"
