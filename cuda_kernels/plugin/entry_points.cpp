// What TensorRT looks up by name in a plugin library: IPluginRegistry::loadLibrary, trtexec --dynamicPlugins.
// They are declared in no header of TensorRT's.
#include "creator.h"
#include "report.h"

extern "C" __attribute__((visibility("default"))) nvinfer1::IPluginCreatorInterface* const* getCreators(
    int32_t& count) {
    static lsu::tensorrt::ConstrainedArgmaxPackedCreator creator;
    static nvinfer1::IPluginCreatorInterface* const creators[] = {&creator};
    count = 1;
    return creators;
}

extern "C" __attribute__((visibility("default"))) void setLoggerFinder(nvinfer1::ILoggerFinder* finder) {
    lsu::tensorrt::set_logger_finder(finder);
}
