#include "check.h"

#include <cmath>
#include <cstdint>

namespace lsu {
namespace {

bool is_extent(int64_t extent, int64_t least) { return extent >= least && extent <= LSU_MAX_EXTENT; }

bool is_window(int64_t offset, int64_t size, int64_t canvas) {
    return offset >= 0 && size <= canvas && offset <= canvas - size;
}

bool is_aligned(const void* pointer, uintptr_t bytes) {
    return reinterpret_cast<uintptr_t>(pointer) % bytes == 0;
}

lsu_status check_pointers(const lsu_head_input& input, const lsu_head_output& output) {
    const bool has_pixels = input.batch > 0 && input.height > 0 && input.width > 0;
    if (has_pixels && (input.scores == nullptr || output.classes == nullptr)) return LSU_NULL_POINTER;
    const uintptr_t score_bytes = input.score_type == LSU_FLOAT32 ? 4 : 2;
    const bool aligned = is_aligned(input.scores, score_bytes) &&
                         is_aligned(input.table, alignof(uint64_t)) &&
                         is_aligned(output.counts, alignof(int64_t));
    return aligned ? LSU_OK : LSU_MISALIGNED_POINTER;
}

// Every offset into the arrays fits 63 bits.
bool is_addressable(const lsu_head_input& input) {
    const auto batch = static_cast<double>(input.batch);
    const double map = static_cast<double>(input.height) * static_cast<double>(input.width + 3);
    const double scores = 4.0 * static_cast<double>(input.channels) *
                          static_cast<double>(input.score_height) * static_cast<double>(input.score_width);
    return batch * map <= 0x1p62 && batch * scores <= 0x1p62;
}

lsu_status check_extents(const lsu_head_input& input) {
    const bool extents = is_extent(input.batch, 0) && is_extent(input.score_height, 1) &&
                         is_extent(input.score_width, 1) && is_extent(input.height, 0) &&
                         is_extent(input.width, 0) && is_extent(input.canvas_height, 0) &&
                         is_extent(input.canvas_width, 0);
    if (!extents || !is_addressable(input)) return LSU_BAD_EXTENT;
    const bool window = is_window(input.offset_y, input.height, input.canvas_height) &&
                        is_window(input.offset_x, input.width, input.canvas_width);
    return window ? LSU_OK : LSU_BAD_WINDOW;
}

lsu_status check_table(const lsu_head_input& input, bool table_on_host) {
    if (input.table == nullptr)
        return input.labels == nullptr && input.table_rows == 0 ? LSU_OK : LSU_BAD_TABLE;
    const bool empty =
        input.batch == 0 || input.height == 0 || input.width == 0;  // its labels may lie at a null pointer
    const bool fits = input.labels != nullptr
                          ? input.table_rows == LSU_COUNTED_LABELS
                          : input.table_rows == 1 || (empty && input.table_rows == LSU_COUNTED_LABELS);
    if (!fits) return LSU_BAD_TABLE;
    const int64_t used_bits = input.channels % 64;
    if (!table_on_host || used_bits == 0) return LSU_OK;
    const int64_t words = (input.channels + 63) / 64;
    for (int64_t row = 0; row < input.table_rows; ++row)
        if ((input.table[(row + 1) * words - 1] >> used_bits) != 0) return LSU_BAD_TABLE;
    return LSU_OK;
}

}  // namespace

lsu_status check_head(const lsu_head_input& input, const lsu_head_output& output, bool table_on_host) {
    if (input.score_type != LSU_FLOAT32 && input.score_type != LSU_FLOAT16) return LSU_BAD_SCORE_TYPE;
    if (input.channels < 1 || input.channels > LSU_MAX_CHANNELS) return LSU_BAD_CHANNELS;
    if (input.void_channel < LSU_NO_VOID_CHANNEL || input.void_channel >= input.channels)
        return LSU_BAD_VOID_CHANNEL;
    if (!std::isnormal(input.margin_scale) || input.margin_scale < 0.0f) return LSU_BAD_MARGIN_SCALE;
    if (const lsu_status status = check_extents(input); status != LSU_OK) return status;
    if (const lsu_status status = check_pointers(input, output); status != LSU_OK) return status;
    return check_table(input, table_on_host);
}

}  // namespace lsu

const char* lsu_status_text(lsu_status status) {
    switch (status) {
        case LSU_OK:
            return "ok";
        case LSU_NULL_POINTER:
            return "a pointer that is needed is null";
        case LSU_MISALIGNED_POINTER:
            return "a pointer is not aligned to its element";
        case LSU_BAD_SCORE_TYPE:
            return "scores are neither float32 nor float16";
        case LSU_BAD_CHANNELS:
            return "the number of classes is not in 1 to 255";
        case LSU_BAD_EXTENT:
            return "a side is negative, empty where it may not be, or above 8388608, or an array beyond 2^62 "
                   "bytes";
        case LSU_BAD_WINDOW:
            return "the window reaches outside the canvas";
        case LSU_BAD_TABLE:
            return "the table needs 256 rows with labels, 1 without, and no bit at or beyond the number of "
                   "classes";
        case LSU_BAD_VOID_CHANNEL:
            return "the void channel is neither -1 nor a class";
        case LSU_BAD_MARGIN_SCALE:
            return "the margin scale is not a finite, normal number above 0";
        case LSU_BAD_THREADS:
            return "the number of threads is below 1";
        case LSU_BAD_METHOD:
            return "the method is none of automatic, cells and dense";
        case LSU_NO_MEMORY:
            return "out of memory";
        case LSU_NO_CUDA:
            return "this machine has no CUDA driver or no such device";
        case LSU_NO_CUDA_KERNELS:
            return "the file of compiled CUDA kernels is missing or has none for this device";
        case LSU_CUDA_FAILED:
            return "a call of the CUDA driver failed";
    }
    return "unknown status";
}
