#include "tensors.h"

namespace lsu::tensorrt {
namespace {

using nvinfer1::DataType;
using nvinfer1::Dims;
using nvinfer1::PluginTensorDesc;

bool has_rank(const char* name, const Dims& dims, int32_t rank, Line& fault) {
    if (dims.nbDims == rank) return true;
    fault = Line("%s: %d dimensions came; %d are needed", name, dims.nbDims, rank);
    return false;
}

bool are_equal(const Dims& left, const Dims& right) {
    if (left.nbDims != right.nbDims) return false;
    for (int32_t i = 0; i < left.nbDims; ++i)
        if (left.d[i] != right.d[i]) return false;
    return true;
}

bool table_fits(const Dims& table, int64_t channels, Line& fault) {
    const int64_t columns = 2 * ceil_div(channels, 64);
    if ((table.d[0] == 1 || table.d[0] == LSU_COUNTED_LABELS) && table.d[1] == columns) return true;
    fault = Line(
        "the table is [%lld, %lld]; with %lld classes it is [256, %lld] with labels and [1, %lld] without",
        static_cast<long long>(table.d[0]), static_cast<long long>(table.d[1]),
        static_cast<long long>(channels), static_cast<long long>(columns), static_cast<long long>(columns));
    return false;
}

bool labels_fit(const Dims& labels, const Dims& classes, Line& fault) {
    if (!has_rank("the labels", labels, 3, fault)) return false;
    if (are_equal(labels, classes)) return true;
    fault =
        Line("the labels are [%lld, %lld, %lld]; the answer is [%lld, %lld, %lld], and they must be alike",
             static_cast<long long>(labels.d[0]), static_cast<long long>(labels.d[1]),
             static_cast<long long>(labels.d[2]), static_cast<long long>(classes.d[0]),
             static_cast<long long>(classes.d[1]), static_cast<long long>(classes.d[2]));
    return false;
}

// What getOutputShapes has asked for; anything else would be a fault of the runtime, and wrong pixels.
bool outputs_fit(const Dims& scores, const Dims& classes, const Dims& carrier, Line& fault) {
    if (!has_rank("the answer", classes, 3, fault) || !has_rank("the carrier", carrier, 2, fault))
        return false;
    if (classes.d[0] == scores.d[0] && classes.d[2] == ceil_div(carrier.d[0], kPixelsPerElement)) return true;
    fault = Line("the answer is [%lld, %lld, %lld]; %lld images of width %lld need [%lld, H, %lld]",
                 static_cast<long long>(classes.d[0]), static_cast<long long>(classes.d[1]),
                 static_cast<long long>(classes.d[2]), static_cast<long long>(scores.d[0]),
                 static_cast<long long>(carrier.d[0]), static_cast<long long>(scores.d[0]),
                 static_cast<long long>(ceil_div(carrier.d[0], kPixelsPerElement)));
    return false;
}

// The field was checked before the number of classes was known.
bool is_void_channel(int64_t channel, int64_t channels, Line& fault) {
    if (channel >= LSU_NO_VOID_CHANNEL && channel < channels) return true;
    fault = Line("void_channel is %lld; with %lld classes 0 to %lld, or -1 for none, is allowed",
                 static_cast<long long>(channel), static_cast<long long>(channels),
                 static_cast<long long>(channels - 1));
    return false;
}

bool is_score_type(DataType type, Line& fault) {
    if (type == DataType::kFLOAT || type == DataType::kHALF) return true;
    fault = Line("the scores have data type %d; FP32 and FP16 are allowed", static_cast<int>(type));
    return false;
}

}  // namespace

std::optional<lsu_head_input> head_input_from(const PluginTensorDesc* in, const PluginTensorDesc* out,
                                              Line& fault) noexcept {
    const Dims& scores = in[kScores].dims;
    const Dims& table = in[kTable].dims;
    const Dims& classes = out[kClasses].dims;
    const Dims& carrier = out[kCarrier].dims;
    if (!is_score_type(in[kScores].type, fault) || !has_rank("the scores", scores, 4, fault) ||
        !has_rank("the table", table, 2, fault) || !table_fits(table, scores.d[1], fault) ||
        !outputs_fit(scores, classes, carrier, fault) ||
        !is_void_channel(carrier.d[1] - kCarrierOffset, scores.d[1], fault))
        return std::nullopt;

    lsu_head_input input{};
    input.batch = scores.d[0];
    input.channels = scores.d[1];
    input.score_height = scores.d[2];
    input.score_width = scores.d[3];
    input.table_rows = table.d[0];
    input.height = classes.d[1];
    input.width = carrier.d[0];
    input.canvas_height = input.height;
    input.canvas_width = input.width;
    input.void_channel = carrier.d[1] - kCarrierOffset;
    input.margin_scale = 1.0F;
    input.score_type = in[kScores].type == DataType::kFLOAT ? LSU_FLOAT32 : LSU_FLOAT16;
    input.packed = 1;
    if (has_labels(input) && !labels_fit(in[kLabels].dims, classes, fault)) return std::nullopt;
    return input;
}

}  // namespace lsu::tensorrt
