#include "creator.h"

#include <cstring>
#include <new>
#include <optional>

#include "report.h"

namespace lsu::tensorrt {
namespace {

using nvinfer1::PluginField;
using nvinfer1::PluginFieldCollection;
using nvinfer1::PluginFieldType;

constexpr const char* kVoidChannelField = "void_channel";

void refuse(const Line& line) noexcept { report(nullptr, nvinfer1::ErrorCode::kINVALID_ARGUMENT, line); }

// INT64 too, because an ONNX attribute is one.
std::optional<int64_t> integer_of(const PluginField& field) noexcept {
    if (field.data != nullptr && field.length == 1) {
        int32_t narrow = 0;
        int64_t wide = 0;
        if (field.type == PluginFieldType::kINT32) {
            std::memcpy(&narrow, field.data, sizeof(narrow));
            return narrow;
        }
        if (field.type == PluginFieldType::kINT64) {
            std::memcpy(&wide, field.data, sizeof(wide));
            return wide;
        }
    }
    refuse(Line("the field %s is not one integer", field.name));
    return std::nullopt;
}

// The only field that may be given, or `absent` without it. Nothing after a failure.
std::optional<int64_t> only_field(const PluginFieldCollection* fields, const char* name,
                                  int64_t absent) noexcept {
    std::optional<int64_t> value = absent;
    for (int32_t i = 0; fields != nullptr && i < fields->nbFields; ++i) {
        const PluginField& field = fields->fields[i];
        if (std::strcmp(field.name, name) != 0) {
            refuse(Line("the field %s is unknown; %s is allowed", field.name, name));
            return std::nullopt;
        }
        value = integer_of(field);
        if (!value) return std::nullopt;
    }
    return value;
}

nvinfer1::IPluginV3* plugin_from_node(const PluginFieldCollection* fields) noexcept {
    const std::optional<int64_t> channel = only_field(fields, kVoidChannelField, LSU_NO_VOID_CHANNEL);
    if (!channel) return nullptr;
    if (*channel < LSU_NO_VOID_CHANNEL || *channel >= LSU_MAX_CHANNELS) {
        refuse(Line("void_channel is %lld; a class, 0 to 254, or -1 for none is allowed",
                    static_cast<long long>(*channel)));
        return nullptr;
    }
    return new (std::nothrow) ConstrainedArgmaxPacked(static_cast<int32_t>(*channel));
}

nvinfer1::IPluginV3* plugin_from_plan(const PluginFieldCollection* fields) noexcept {
    const std::optional<int64_t> format = only_field(fields, kFormatField, 0);
    if (!format) return nullptr;
    if (*format != kFormat) {
        refuse(
            Line("the plan's plugin has format %lld; this plugin reads format %d: build the engine again "
                 "with it, or "
                 "load the plugin that the engine was built with",
                 static_cast<long long>(*format), kFormat));
        return nullptr;
    }
    return new (std::nothrow) ConstrainedArgmaxPacked(LSU_NO_VOID_CHANNEL);
}

}  // namespace

nvinfer1::IPluginV3* ConstrainedArgmaxPackedCreator::createPlugin(const char*,
                                                                  const PluginFieldCollection* fields,
                                                                  nvinfer1::TensorRTPhase phase) noexcept {
    return phase == nvinfer1::TensorRTPhase::kBUILD ? plugin_from_node(fields) : plugin_from_plan(fields);
}

const PluginFieldCollection* ConstrainedArgmaxPackedCreator::getFieldNames() noexcept {
    static const PluginField field{kVoidChannelField, nullptr, PluginFieldType::kINT32, 1};
    static const PluginFieldCollection fields{1, &field};
    return &fields;
}

}  // namespace lsu::tensorrt
