// The plugin's tensors, and the head's input that they describe.
//
// `size` is a shape input. TensorRT shows the values of a shape input to getOutputShapes only, as
// expressions, and never to enqueue; but the answer's exact width decides the coordinates, and the packed
// output tells only ceil(W / 4). So the plugin has a second output whose shape carries what enqueue has to
// know: [W, void_channel + 2]. It is never written and nobody connects it. The plan keeps its shape, thus the
// plugin need not serialise anything.
#ifndef LSU_PLUGIN_TENSORS_H
#define LSU_PLUGIN_TENSORS_H

#include <NvInferRuntime.h>

#include <cstdint>
#include <optional>

#include "lsu/constrained_argmax.h"
#include "report.h"

namespace lsu::tensorrt {

enum InputIndex : int32_t {
    kScores = 0,  // FP32 or FP16 [N, C, h, w]
    kTable = 1,   // INT32 [L, 2 * ceil(C / 64)], L = 256 with labels, 1 without
    kLabels = 2,  // INT32 [N, H, ceil(W / 4)], four labels to an element; may be absent
};
enum OutputIndex : int32_t {
    kClasses = 0,  // INT32 [N, H, ceil(W / 4)], four classes to an element
    kCarrier = 1,  // INT32 [W, void_channel + 2]
};
constexpr int32_t kLeastInputs = 2;
constexpr int32_t kMostInputs = 3;
constexpr int32_t kOutputs = 2;
constexpr int32_t kPixelsPerElement = 4;
constexpr int64_t kCarrierOffset = 2;  // keeps the carrier's extent above 0 for LSU_NO_VOID_CHANNEL

constexpr int64_t ceil_div(int64_t number, int64_t divisor) { return (number + divisor - 1) / divisor; }

// Everything of the head's input but its pointers. The number of inputs is not known to enqueue: the table's
// rows say whether there are labels. Nothing, and why in `fault`, if the tensors do not fit one another.
std::optional<lsu_head_input> head_input_from(const nvinfer1::PluginTensorDesc* in,
                                              const nvinfer1::PluginTensorDesc* out, Line& fault) noexcept;

inline bool has_labels(const lsu_head_input& input) { return input.table_rows == LSU_COUNTED_LABELS; }

}  // namespace lsu::tensorrt

#endif  // LSU_PLUGIN_TENSORS_H
