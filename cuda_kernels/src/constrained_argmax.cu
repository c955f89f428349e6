// The dense CUDA implementation: one thread per pixel, the same rules as on the host.
//
// No launcher calls these kernels yet, and they have not been run on a device: they are compiled so that the
// rules stay fit for one. What would settle it is bit equality with the CPU implementation on a GPU.
//
// Launch: blocks of kBlockX x kBlockY, any grid that leaves a block fewer than 2^32 pixels (they are strided
// over), no dynamic shared memory, after the host has checked the arguments and cleared the counts.
#include "lsu/constrained_argmax.h"
#include "rules.h"

namespace lsu {
namespace {

constexpr int kBlockX = 32;
constexpr int kBlockY = 8;

struct Leader {
    float best = no_score();
    float second = no_score();
    int64_t id = LSU_VOID;

    __device__ void offer(float value, int64_t candidate) {
        if (beats(value, best)) {
            second = best;
            best = value;
            id = candidate;
        } else if (beats(value, second)) {
            second = value;
        }
    }
};

struct Pixel {
    Tap row;
    Tap column;
};

template <typename Score>
__device__ float score_at(const lsu_head_input& in, const Pixel& pixel, int64_t id) {
    const Score* scores = static_cast<const Score*>(in.scores) + id * in.score_height * in.score_width;
    const Score* lower = scores + pixel.row.lower * in.score_width;
    const Score* upper = scores + pixel.row.upper * in.score_width;
    const Tap& x = pixel.column;
    const float a =
        mix(x.lower_weight, read_score(lower[x.lower]), x.upper_weight, read_score(lower[x.upper]));
    const float b =
        mix(x.lower_weight, read_score(upper[x.lower]), x.upper_weight, read_score(upper[x.upper]));
    return mix(pixel.row.lower_weight, a, pixel.row.upper_weight, b);
}

__device__ bool allows(const uint64_t* row,  // [(channels + 63) / 64], or null: all
                       int64_t id) {
    return row == nullptr || ((row[id / 64] >> (id % 64)) & 1u) != 0;
}

// The number of allowed classes; `only` is one of them.
__device__ int64_t count_allowed(const uint64_t* row, int64_t channels, int64_t& only) {
    if (row == nullptr) {
        only = 0;
        return channels;
    }
    int64_t count = 0;
    for (int64_t word = 0; word < (channels + 63) / 64; ++word) {
        count += __popcll(row[word]);
        if (row[word] != 0) only = 64 * word + __ffsll(static_cast<long long>(row[word])) - 1;
    }
    return count;
}

template <typename Score>
__device__ void answer_pixel(const lsu_head_input& in, const lsu_head_output& out, int64_t y, int64_t x,
                             unsigned int* counts) {  // [256, 4], of this block
    const int64_t at = y * in.width + x;
    const unsigned int label = in.labels != nullptr ? in.labels[at] : 0;
    const int64_t words = (in.channels + 63) / 64;
    const uint64_t* row = in.table != nullptr ? in.table + label * words : nullptr;
    const Pixel pixel{tap_at(y + in.offset_y, in.score_height, in.canvas_height),
                      tap_at(x + in.offset_x, in.score_width, in.canvas_width)};
    int64_t only = LSU_VOID;
    const int64_t allowed_count = count_allowed(row, in.channels, only);

    Leader leader;
    Leader free;
    for (int64_t id = 0; id < in.channels && (allowed_count > 1 || out.agreement != 0); ++id) {
        const bool allowed = allowed_count > 1 && allows(row, id);
        if (!allowed && out.agreement == 0) continue;
        const float value = score_at<Score>(in, pixel, id);
        if (allowed) leader.offer(value, id);
        if (out.agreement != 0) free.offer(value, id);
    }
    const uint8_t answer = written_class(allowed_count > 1 ? leader.id : only, in.void_channel);
    out.classes[at] = answer;
    if (out.margin != nullptr)
        out.margin[at] = answer == LSU_VOID ? 0 : margin_byte(leader.best, leader.second, in.margin_scale);
    atomicAdd(counts + 4 * label + outcome_of(answer, allowed_count), 1u);
    if (out.agreement != 0 && answer == written_class(free.id, in.void_channel))
        atomicAdd(counts + 4 * label + kAgreed, 1u);
}

template <typename Score>
__device__ void answer(const lsu_head_input& in, const lsu_head_output& out) {
    constexpr int kCells = 4 * LSU_COUNTED_LABELS;
    __shared__ unsigned int counts[kCells];
    const int thread = static_cast<int>(threadIdx.y) * kBlockX + static_cast<int>(threadIdx.x);
    for (int cell = thread; cell < kCells; cell += kBlockX * kBlockY) counts[cell] = 0;
    __syncthreads();
    const int64_t rows = static_cast<int64_t>(gridDim.y) * kBlockY;
    const int64_t columns = static_cast<int64_t>(gridDim.x) * kBlockX;
    for (int64_t y = static_cast<int64_t>(blockIdx.y) * kBlockY + threadIdx.y; y < in.height; y += rows)
        for (int64_t x = static_cast<int64_t>(blockIdx.x) * kBlockX + threadIdx.x; x < in.width; x += columns)
            answer_pixel<Score>(in, out, y, x, counts);
    __syncthreads();
    const int kept = out.agreement != 0 ? 4 : 3;
    for (int cell = thread; cell < kCells; cell += kBlockX * kBlockY) {
        auto* total = reinterpret_cast<unsigned long long*>(out.counts + kept * (cell / 4) + cell % 4);
        if (cell % 4 < kept && counts[cell] != 0)
            atomicAdd(total, static_cast<unsigned long long>(counts[cell]));
    }
}

}  // namespace
}  // namespace lsu

extern "C" __global__ void __launch_bounds__(lsu::kBlockX* lsu::kBlockY)
    lsu_constrained_argmax_float32(lsu_head_input input, lsu_head_output output) {
    lsu::answer<float>(input, output);
}

extern "C" __global__ void __launch_bounds__(lsu::kBlockX* lsu::kBlockY)
    lsu_constrained_argmax_float16(lsu_head_input input, lsu_head_output output) {
    lsu::answer<lsu::Half>(input, output);
}
