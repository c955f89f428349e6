// The constrained argmax: the class that scores best at each pixel among those that its label allows.
//
// This is the only public header. It is plain C, so that Python, C and an inference plugin share one
// contract: pointers with their shapes, int64 extents, a status as the result. All arrays are contiguous,
// rows first. Scores stay at the network's own low resolution; they are interpolated per pixel and never
// stored enlarged.
//
// An entry that launches on a device will take the same two structs and a `void* stream`; it is declared here
// once its launcher exists.
#ifndef LSU_CONSTRAINED_ARGMAX_H
#define LSU_CONSTRAINED_ARGMAX_H

#include <stdint.h>

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
    LSU_NO_MEMORY,
} lsu_status;

typedef enum lsu_score_type { LSU_FLOAT32 = 0, LSU_FLOAT16 = 1 } lsu_score_type;

typedef struct lsu_head_input {
    const void* scores;  // [channels, score_height, score_width], float32 or IEEE float16, as score_type says
    const uint8_t* labels;  // [height, width], or NULL: every pixel has label 0
    const uint64_t*
        table;  // [table_rows, (channels + 63) / 64], bit c of row y: label y allows class c; or NULL: all
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
} lsu_head_input;

typedef struct lsu_head_output {
    uint8_t* classes;   // [height, width], 255 = void
    int64_t* counts;    // [256, 3 or 4] per label: forced, chosen, void, and agreeing if agreement is not 0
    uint8_t* margin;    // [height, width], or NULL: not wanted
    int32_t agreement;  // not 0: also count the pixels where the argmax over all classes gives the same byte
} lsu_head_output;

// Computes on `threads` threads, at least 1; 1 starts none. All outputs are overwritten, and nothing is
// written if the arguments are refused. No output may overlap an input.
lsu_status lsu_constrained_argmax_cpu(const lsu_head_input* input, const lsu_head_output* output,
                                      int64_t threads);

// One line that says what a status means; never NULL.
const char* lsu_status_text(lsu_status status);

#ifdef __cplusplus
}
#endif

#endif  // LSU_CONSTRAINED_ARGMAX_H
