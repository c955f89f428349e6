#include "plugin.h"

#include <new>

#include "device.h"
#include "tensors.h"

namespace lsu::tensorrt {

using nvinfer1::DataType;
using nvinfer1::DimensionOperation;
using nvinfer1::DimsExprs;
using nvinfer1::DynamicPluginTensorDesc;
using nvinfer1::ErrorCode;
using nvinfer1::PluginCapabilityType;
using nvinfer1::PluginField;
using nvinfer1::PluginFieldCollection;
using nvinfer1::PluginFieldType;
using nvinfer1::PluginTensorDesc;
using nvinfer1::TensorFormat;

nvinfer1::IPluginCapability* ConstrainedArgmaxPacked::getCapabilityInterface(
    PluginCapabilityType type) noexcept {
    switch (type) {
        case PluginCapabilityType::kCORE:
            return static_cast<nvinfer1::IPluginV3OneCore*>(this);
        case PluginCapabilityType::kBUILD:
            return static_cast<nvinfer1::IPluginV3OneBuild*>(this);
        case PluginCapabilityType::kRUNTIME:
            return static_cast<nvinfer1::IPluginV3OneRuntime*>(this);
    }
    return nullptr;
}

// The head is not shared: each execution context makes its own when it first learns its shapes.
nvinfer1::IPluginV3* ConstrainedArgmaxPacked::clone() noexcept {
    return new (std::nothrow) ConstrainedArgmaxPacked(void_channel_, recorder_);
}

nvinfer1::IPluginV3* ConstrainedArgmaxPacked::attachToContext(
    nvinfer1::IPluginResourceContext* context) noexcept {
    nvinfer1::IErrorRecorder* const recorder = context != nullptr ? context->getErrorRecorder() : nullptr;
    return new (std::nothrow) ConstrainedArgmaxPacked(void_channel_, recorder);
}

const PluginFieldCollection* ConstrainedArgmaxPacked::getFieldsToSerialize() noexcept {
    static constexpr int32_t format = kFormat;
    static const PluginField field{kFormatField, &format, PluginFieldType::kINT32, 1};
    static const PluginFieldCollection fields{1, &field};
    return &fields;
}

int32_t ConstrainedArgmaxPacked::getNbOutputs() const noexcept { return kOutputs; }

bool ConstrainedArgmaxPacked::are_counts(int32_t in_count, int32_t out_count) const noexcept {
    if (in_count >= kLeastInputs && in_count <= kMostInputs && out_count == kOutputs) return true;
    fail(ErrorCode::kINVALID_ARGUMENT, Line("got %d inputs and %d outputs beside the size; it takes the "
                                            "scores, the table and, if there are any, the "
                                            "labels, and gives 2 outputs",
                                            in_count, out_count));
    return false;
}

int32_t ConstrainedArgmaxPacked::getOutputDataTypes(DataType* out, int32_t out_count, const DataType*,
                                                    int32_t in_count) const noexcept {
    if (!are_counts(in_count, out_count)) return 1;
    out[kClasses] = DataType::kINT32;
    out[kCarrier] = DataType::kINT32;
    return 0;
}

int32_t ConstrainedArgmaxPacked::getOutputShapes(const DimsExprs* in, int32_t in_count,
                                                 const DimsExprs* shape_in, int32_t shape_in_count,
                                                 DimsExprs* out, int32_t out_count,
                                                 nvinfer1::IExprBuilder& builder) noexcept {
    if (!are_counts(in_count, out_count)) return 1;
    if (shape_in_count != 1 || shape_in[0].nbDims != 2)
        return fail(
            ErrorCode::kINVALID_ARGUMENT,
            Line(
                "got %d shape inputs; it takes one, the size [2] = (H, W): name its index in the ONNX node's "
                "attribute tensorrt_plugin_shape_input_indices",
                shape_in_count));
    if (in[kScores].nbDims != 4)
        return fail(ErrorCode::kINVALID_ARGUMENT,
                    Line("the scores: %d dimensions came; 4 are needed", in[kScores].nbDims));
    const nvinfer1::IDimensionExpr& width = *shape_in[0].d[1];
    out[kClasses].nbDims = 3;
    out[kClasses].d[0] = in[kScores].d[0];
    out[kClasses].d[1] = shape_in[0].d[0];
    out[kClasses].d[2] =
        builder.operation(DimensionOperation::kCEIL_DIV, width, *builder.constant(kPixelsPerElement));
    out[kCarrier].nbDims = 2;
    out[kCarrier].d[0] = &width;
    out[kCarrier].d[1] = builder.constant(void_channel_ + kCarrierOffset);
    return 0;
}

// Only what stands at or before `position` may be read.
bool ConstrainedArgmaxPacked::supportsFormatCombination(int32_t position,
                                                        const DynamicPluginTensorDesc* in_out,
                                                        int32_t in_count, int32_t out_count) noexcept {
    if (!are_counts(in_count, out_count)) return false;
    const PluginTensorDesc& tensor = in_out[position].desc;
    if (tensor.format != TensorFormat::kLINEAR) return false;
    if (position == kScores) return tensor.type == DataType::kFLOAT || tensor.type == DataType::kHALF;
    return tensor.type == DataType::kINT32;
}

int32_t ConstrainedArgmaxPacked::configurePlugin(const DynamicPluginTensorDesc*, int32_t in_count,
                                                 const DynamicPluginTensorDesc*, int32_t out_count) noexcept {
    return are_counts(in_count, out_count) ? 0 : 1;
}

// Loads the kernels too: that may not happen in enqueue, which may be captured in a CUDA graph.
int32_t ConstrainedArgmaxPacked::onShapeChange(const PluginTensorDesc* in, int32_t in_count,
                                               const PluginTensorDesc* out, int32_t out_count) noexcept {
    if (!are_counts(in_count, out_count)) return 1;
    const bool with_labels = in_count == kMostInputs;
    if (in[kTable].dims.nbDims == 2 && with_labels != (in[kTable].dims.d[0] == LSU_COUNTED_LABELS))
        return fail(ErrorCode::kINVALID_ARGUMENT,
                    Line("the table has %lld rows %s labels; it has 256 with labels and 1 without",
                         static_cast<long long>(in[kTable].dims.d[0]), with_labels ? "with" : "without"));
    Line fault;
    if (!head_input_from(in, out, fault)) return fail(ErrorCode::kINVALID_ARGUMENT, fault);
    return head() != nullptr ? 0 : 1;
}

int32_t ConstrainedArgmaxPacked::enqueue(const PluginTensorDesc* in, const PluginTensorDesc* out,
                                         const void* const* inputs, void* const* outputs, void*,
                                         cudaStream_t stream) noexcept {
    Line fault;
    std::optional<lsu_head_input> input = head_input_from(in, out, fault);
    if (!input) return fail(ErrorCode::kINVALID_ARGUMENT, fault);
    input->scores = inputs[kScores];
    input->table = static_cast<const uint64_t*>(inputs[kTable]);
    input->labels = has_labels(*input) ? static_cast<const uint8_t*>(inputs[kLabels]) : nullptr;
    lsu_head_output output{};
    output.classes = static_cast<uint8_t*>(outputs[kClasses]);
    lsu_cuda_head* const runner = head();
    if (runner == nullptr) return 1;
    const lsu_status status = lsu_cuda_head_run(runner, &*input, &output, stream);
    return status == LSU_OK ? 0 : fail(status);
}

lsu_cuda_head* ConstrainedArgmaxPacked::head() noexcept {
    if (head_ != nullptr) return head_.get();
    lsu_cuda_head* made = nullptr;
    const lsu_status status = lsu_cuda_head_create(current_device(), nullptr, &made);
    head_.reset(made);
    if (status != LSU_OK) fail(status);
    return head_.get();
}

int32_t ConstrainedArgmaxPacked::fail(ErrorCode code, const Line& line) const noexcept {
    report(recorder_, code, line);
    return 1;
}

int32_t ConstrainedArgmaxPacked::fail(lsu_status status) const noexcept {
    const bool of_cuda = status == LSU_NO_CUDA || status == LSU_NO_CUDA_KERNELS || status == LSU_CUDA_FAILED;
    return fail(of_cuda ? ErrorCode::kFAILED_EXECUTION : ErrorCode::kINVALID_ARGUMENT,
                Line("%s", of_cuda ? lsu_cuda_failure() : lsu_status_text(status)));
}

}  // namespace lsu::tensorrt
