// The constrained argmax: the class that scores best at each pixel among those that its label allows.
//
// This is the only public header. It is plain C, so that Python, C, C++ and an inference plugin share one
// contract: pointers with their shapes, int64 extents, a status as the result. All arrays are contiguous,
// rows first. Scores stay at the network's own low resolution; they are interpolated per pixel and never
// stored enlarged. Every implementation gives the same bits.
#ifndef LSU_CONSTRAINED_ARGMAX_H
#define LSU_CONSTRAINED_ARGMAX_H

#include <stdint.h>

#if defined(__GNUC__)
#define LSU_API __attribute__((visibility("default")))
#else
#define LSU_API
#endif

#ifdef __cplusplus
extern "C" {
#endif

enum {
    LSU_MAX_CHANNELS = 255,    // a class id is a byte, and 255 is void
    LSU_MAX_EXTENT = 1 << 23,  // of any side: 2 * side is exact in float32, which the coordinates rely on
    LSU_VOID = 255,            // written where no class answers
    LSU_COUNTED_LABELS = 256,  // rows of the counts
    LSU_NO_VOID_CHANNEL = -1,
};

typedef enum lsu_status {
    LSU_OK = 0,
    LSU_NULL_POINTER,
    LSU_MISALIGNED_POINTER,
    LSU_BAD_SCORE_TYPE,
    LSU_BAD_CHANNELS,
    LSU_BAD_EXTENT,
    LSU_BAD_WINDOW,
    LSU_BAD_TABLE,
    LSU_BAD_VOID_CHANNEL,
    LSU_BAD_MARGIN_SCALE,
    LSU_BAD_THREADS,
    LSU_BAD_METHOD,
    LSU_NO_MEMORY,
    LSU_NO_CUDA,          // no CUDA driver or no such device on this machine
    LSU_NO_CUDA_KERNELS,  // the file of compiled kernels is missing or has none for this device
    LSU_CUDA_FAILED,      // a call of the driver failed; lsu_cuda_failure says which
} lsu_status;

typedef enum lsu_score_type { LSU_FLOAT32 = 0, LSU_FLOAT16 = 1 } lsu_score_type;

// How the CPU answers. The bits are the same; LSU_CELLS and LSU_DENSE are there for tests and measurements.
typedef enum lsu_method {
    LSU_AUTO = 0,   // per tile, whichever of the two is expected to be faster
    LSU_CELLS = 1,  // cells between four samples: only the classes that can win there are interpolated
    LSU_DENSE = 2,  // each allowed class at each pixel
} lsu_method;

// A map of bytes is [batch, height, width], or, with `packed` not 0, [batch, height, 4 * ceil(width / 4)]:
// the same rows padded to whole 32-bit elements. Pad bytes are never read; in an output they are written 255.
typedef struct lsu_head_input {
    const void* scores;     // [batch, channels, score_height, score_width], float32 or IEEE float16
    const uint8_t* labels;  // map of bytes, or NULL: every pixel has label 0
    const uint64_t*
        table;  // [table_rows, (channels + 63) / 64], bit c of row y: label y allows class c; or NULL: all
    int64_t batch;         // 0 to LSU_MAX_EXTENT
    int64_t channels;      // 1 to LSU_MAX_CHANNELS
    int64_t score_height;  // 1 to LSU_MAX_EXTENT, as score_width
    int64_t score_width;
    int64_t table_rows;  // 256 with labels (row 255 is the row of void labels), 1 without, 0 without a table
    int64_t height;      // of the answer, 0 to LSU_MAX_EXTENT, as width
    int64_t width;
    int64_t canvas_height;  // what the scores cover; the answer is the window of it that begins at offset
    int64_t canvas_width;
    int64_t offset_y;
    int64_t offset_x;
    int64_t void_channel;  // the class that is written as void, or LSU_NO_VOID_CHANNEL
    float margin_scale;    // the margin that is written as 255: a finite, normal number above 0
    int32_t score_type;    // an lsu_score_type
    int32_t packed;        // not 0: labels, classes and margin are packed
} lsu_head_input;

typedef struct lsu_head_output {
    uint8_t* classes;   // map of bytes, 255 = void
    int64_t* counts;    // [batch, 256, 3 or 4] per image and label: forced, chosen, void, and agreeing if
                        // agreement is not 0; or NULL: not wanted
    uint8_t* margin;    // map of bytes, or NULL: not wanted
    int32_t agreement;  // not 0: also count the pixels where the argmax over all classes gives the same byte
} lsu_head_output;

// On the CPU. A head keeps its threads and its scratch memory from call to call.
typedef struct lsu_head lsu_head;

// `threads` is at least 1, the calling one included: 1 starts none. `method` is an lsu_method. *head is NULL
// after a failure.
LSU_API lsu_status lsu_head_create(int64_t threads, int32_t method, lsu_head** head);

// All outputs are overwritten, and nothing is written if the arguments are refused. No output may overlap an
// input or another output. Calls from several threads wait for one another.
LSU_API lsu_status lsu_head_run(lsu_head* head, const lsu_head_input* input, const lsu_head_output* output);

// No call may be running. NULL is allowed.
LSU_API void lsu_head_destroy(lsu_head* head);

// On a CUDA device, in its primary context. A head holds the loaded kernels and no memory per call.
typedef struct lsu_cuda_head lsu_cuda_head;

// `kernels` is the path of the compiled kernels, or NULL: constrained_argmax.fatbin in data/ beside this
// library's file, links resolved. *head is NULL after a failure.
LSU_API lsu_status lsu_cuda_head_create(int32_t device, const char* kernels, lsu_cuda_head** head);

// All pointers of the two structs are the device's. Puts the work on `stream` (a CUstream or cudaStream_t of
// that device, NULL = the default stream) and returns; it can be captured in a CUDA graph. The table's bits
// at and beyond `channels` must be 0; they are not read here to be checked.
LSU_API lsu_status lsu_cuda_head_run(lsu_cuda_head* head, const lsu_head_input* input,
                                     const lsu_head_output* output, void* stream);

// Unloads the kernels: all of the head's work must be done, and no graph that captured it may be replayed
// afterwards. NULL is allowed.
LSU_API void lsu_cuda_head_destroy(lsu_cuda_head* head);

// One line about the last LSU_NO_CUDA, LSU_NO_CUDA_KERNELS or LSU_CUDA_FAILED of this thread; never NULL.
LSU_API const char* lsu_cuda_failure(void);

// One line that says what a status means; never NULL.
LSU_API const char* lsu_status_text(lsu_status status);

#ifdef __cplusplus
}
#endif

#endif  // LSU_CONSTRAINED_ARGMAX_H
