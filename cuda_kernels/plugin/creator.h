// Makes the plugin: from a network's node while an engine is built, from a plan while one is loaded.
#ifndef LSU_PLUGIN_CREATOR_H
#define LSU_PLUGIN_CREATOR_H

#include <NvInferRuntime.h>

#include "plugin.h"

namespace lsu::tensorrt {

class ConstrainedArgmaxPackedCreator final : public nvinfer1::IPluginCreatorV3One {
  public:
    // NULL after a failure, which it has reported. Fields while an engine is built: `void_channel`, one
    // integer, the class that is written as void, or -1, as if absent. Fields of a plan: those that the
    // plugin serialises.
    nvinfer1::IPluginV3* createPlugin(const char* name, const nvinfer1::PluginFieldCollection* fields,
                                      nvinfer1::TensorRTPhase phase) noexcept override;
    const nvinfer1::PluginFieldCollection* getFieldNames() noexcept override;

    const char* getPluginName() const noexcept override { return kName; }
    const char* getPluginVersion() const noexcept override { return kVersion; }
    const char* getPluginNamespace() const noexcept override { return kNamespace; }
};

}  // namespace lsu::tensorrt

#endif  // LSU_PLUGIN_CREATOR_H
