// The constrained argmax as a TensorRT layer.
#ifndef LSU_PLUGIN_PLUGIN_H
#define LSU_PLUGIN_PLUGIN_H

#include <NvInferRuntime.h>

#include <cstdint>
#include <memory>

#include "lsu/constrained_argmax.h"
#include "report.h"

namespace lsu::tensorrt {

constexpr const char* kName = "ConstrainedArgmaxPacked";
constexpr const char* kVersion = "1";
constexpr const char* kNamespace = "lsu";
constexpr const char* kFormatField = "format";
constexpr int32_t kFormat = 1;  // of what is serialised: raise it when an older plugin would misread a plan

class ConstrainedArgmaxPacked final : public nvinfer1::IPluginV3,
                                      public nvinfer1::IPluginV3OneCore,
                                      public nvinfer1::IPluginV3OneBuild,
                                      public nvinfer1::IPluginV3OneRuntime {
  public:
    // `void_channel` is read while an engine is built; a plan keeps it in a shape (tensors.h). `recorder` may
    // be NULL and is not owned.
    explicit ConstrainedArgmaxPacked(int32_t void_channel,
                                     nvinfer1::IErrorRecorder* recorder = nullptr) noexcept
        : void_channel_(void_channel), recorder_(recorder) {}

    nvinfer1::IPluginCapability* getCapabilityInterface(
        nvinfer1::PluginCapabilityType type) noexcept override;
    nvinfer1::IPluginV3* clone() noexcept override;

    const char* getPluginName() const noexcept override { return kName; }
    const char* getPluginVersion() const noexcept override { return kVersion; }
    const char* getPluginNamespace() const noexcept override { return kNamespace; }

    int32_t getNbOutputs() const noexcept override;
    int32_t getOutputDataTypes(nvinfer1::DataType* out, int32_t out_count, const nvinfer1::DataType* in,
                               int32_t in_count) const noexcept override;
    int32_t getOutputShapes(const nvinfer1::DimsExprs* in, int32_t in_count,
                            const nvinfer1::DimsExprs* shape_in, int32_t shape_in_count,
                            nvinfer1::DimsExprs* out, int32_t out_count,
                            nvinfer1::IExprBuilder& builder) noexcept override;
    bool supportsFormatCombination(int32_t position, const nvinfer1::DynamicPluginTensorDesc* in_out,
                                   int32_t in_count, int32_t out_count) noexcept override;
    int32_t configurePlugin(const nvinfer1::DynamicPluginTensorDesc* in, int32_t in_count,
                            const nvinfer1::DynamicPluginTensorDesc* out,
                            int32_t out_count) noexcept override;

    int32_t onShapeChange(const nvinfer1::PluginTensorDesc* in, int32_t in_count,
                          const nvinfer1::PluginTensorDesc* out, int32_t out_count) noexcept override;
    int32_t enqueue(const nvinfer1::PluginTensorDesc* in, const nvinfer1::PluginTensorDesc* out,
                    const void* const* inputs, void* const* outputs, void* workspace,
                    cudaStream_t stream) noexcept override;
    nvinfer1::IPluginV3* attachToContext(nvinfer1::IPluginResourceContext* context) noexcept override;
    const nvinfer1::PluginFieldCollection* getFieldsToSerialize() noexcept override;

  private:
    struct HeadDeleter {
        void operator()(lsu_cuda_head* head) const { lsu_cuda_head_destroy(head); }
    };

    bool are_counts(int32_t in_count, int32_t out_count) const noexcept;
    // NULL after a failure, which it has reported.
    lsu_cuda_head* head() noexcept;
    int32_t fail(nvinfer1::ErrorCode code, const Line& line) const noexcept;
    int32_t fail(lsu_status status) const noexcept;

    int32_t void_channel_;
    nvinfer1::IErrorRecorder* recorder_;
    std::unique_ptr<lsu_cuda_head, HeadDeleter> head_;
};

}  // namespace lsu::tensorrt

#endif  // LSU_PLUGIN_PLUGIN_H
