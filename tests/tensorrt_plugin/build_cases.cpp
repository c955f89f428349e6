// What a builder asks: names, formats, types, shapes, fields.
#include <cstring>
#include <string>

#include "driver.h"

namespace {

using nvinfer1::DataType;
using nvinfer1::DimsExprs;
using nvinfer1::DynamicPluginTensorDesc;
using nvinfer1::PluginCapabilityType;
using nvinfer1::PluginField;
using nvinfer1::PluginFieldCollection;
using nvinfer1::PluginFieldType;
using nvinfer1::TensorFormat;
using nvinfer1::TensorRTPhase;

bool is(const char* text, const char* expected) { return std::strcmp(text, expected) == 0; }

void names(Session& session) {
    nvinfer1::IPluginCreatorV3One& creator = *session.creator;
    expect(is(creator.getInterfaceInfo().kind, "PLUGIN CREATOR_V3ONE"), "the creator is a V3 creator");
    expect(is(creator.getPluginName(), "ConstrainedArgmaxPacked"), "the creator's name");
    expect(is(creator.getPluginVersion(), "1"), "the creator's version");
    expect(is(creator.getPluginNamespace(), "lsu"), "the creator's namespace");
    const PluginFieldCollection& fields = *creator.getFieldNames();
    expect(fields.nbFields == 1 && is(fields.fields[0].name, "void_channel"), "one field, void_channel");
    expect(fields.fields[0].type == PluginFieldType::kINT32 && fields.fields[0].length == 1,
           "it is one INT32");

    const Plugin plugin = build_plugin(session);
    auto* const core = plugin->getCapabilityInterface(PluginCapabilityType::kCORE);
    expect(is(core->getInterfaceInfo().kind, "PLUGIN_V3ONE_CORE"), "the core capability");
    expect(is(build_of(plugin)->getInterfaceInfo().kind, "PLUGIN_V3ONE_BUILD"), "the build capability");
    expect(is(runtime_of(plugin)->getInterfaceInfo().kind, "PLUGIN_V3ONE_RUNTIME"), "the runtime capability");
    expect(plugin->getCapabilityInterface(static_cast<PluginCapabilityType>(9)) == nullptr,
           "no other capability");
    auto* const named = static_cast<nvinfer1::IPluginV3OneCore*>(core);
    expect(is(named->getPluginName(), "ConstrainedArgmaxPacked") && is(named->getPluginVersion(), "1") &&
               is(named->getPluginNamespace(), "lsu"),
           "the plugin's names are its creator's");
    expect(build_of(plugin)->getNbOutputs() == 2, "two outputs: the answer and the carrier of the width");
}

DynamicPluginTensorDesc linear(DataType type) {
    DynamicPluginTensorDesc tensor{};
    tensor.desc.type = type;
    tensor.desc.format = TensorFormat::kLINEAR;
    return tensor;
}

void formats(Session& session) {
    const Plugin plugin = build_plugin(session);
    nvinfer1::IPluginV3OneBuild& build = *build_of(plugin);
    for (const int32_t inputs : {2, 3}) {
        const int32_t tensors = inputs + 2;
        for (int32_t position = 0; position < tensors; ++position)
            for (int type = 0; type < nvinfer1::EnumMax<DataType>(); ++type)
                for (int format = 0; format < nvinfer1::EnumMax<TensorFormat>(); ++format) {
                    std::vector<DynamicPluginTensorDesc> all(static_cast<size_t>(tensors),
                                                             linear(DataType::kINT32));
                    all[0] = linear(DataType::kFLOAT);
                    auto& asked = all[static_cast<size_t>(position)].desc;
                    asked.type = static_cast<DataType>(type);
                    asked.format = static_cast<TensorFormat>(format);
                    const bool score = asked.type == DataType::kFLOAT || asked.type == DataType::kHALF;
                    const bool allowed = asked.format == TensorFormat::kLINEAR &&
                                         (position == 0 ? score : asked.type == DataType::kINT32);
                    expect(build.supportsFormatCombination(position, all.data(), inputs, 2) == allowed,
                           "inputs " + std::to_string(inputs) + " position " + std::to_string(position) +
                               " type " + std::to_string(type) + " format " + std::to_string(format));
                }
    }
    const std::vector<DynamicPluginTensorDesc> six(6, linear(DataType::kINT32));
    expect(!build.supportsFormatCombination(1, six.data(), 1, 2), "one input is too few");
    expect(!build.supportsFormatCombination(1, six.data(), 4, 2), "four inputs are too many");
    expect(!build.supportsFormatCombination(1, six.data(), 2, 1), "the carrier is missing");
}

void types(Session& session) {
    const Plugin plugin = build_plugin(session);
    for (const DataType score : {DataType::kFLOAT, DataType::kHALF}) {
        const DataType in[3] = {score, DataType::kINT32, DataType::kINT32};
        for (const int32_t inputs : {2, 3}) {
            DataType out[2] = {DataType::kFLOAT, DataType::kFLOAT};
            expect(build_of(plugin)->getOutputDataTypes(out, 2, in, inputs) == 0, "types are known");
            expect(out[0] == DataType::kINT32 && out[1] == DataType::kINT32, "both outputs are INT32");
        }
        DataType out[2];
        expect(build_of(plugin)->getOutputDataTypes(out, 2, in, 1) != 0, "a table is needed");
        expect(said(session.finder->logger.lines, "got 1 inputs and 2 outputs"), "why the types are unknown");
    }
    DynamicPluginTensorDesc tensors[3] = {};
    expect(build_of(plugin)->configurePlugin(tensors, 3, tensors, 2) == 0, "it can be configured");
    expect(build_of(plugin)->configurePlugin(tensors, 4, tensors, 2) != 0, "but not with four inputs");
    expect(build_of(plugin)->getWorkspaceSize(tensors, 3, tensors, 2) == 0, "it needs no workspace");
}

DimsExprs exprs_of(std::initializer_list<const nvinfer1::IDimensionExpr*> extents) {
    DimsExprs dims{};
    for (const auto* extent : extents) dims.d[dims.nbDims++] = extent;
    return dims;
}

void static_shapes(Session& session) {
    for (const int32_t void_channel : {-1, 0, 18})
        for (int64_t width = 0; width < 10; ++width) {
            const Plugin plugin = build_plugin(session, void_channel);
            Builder make;
            const DimsExprs in[2] = {
                exprs_of({make.number(2), make.number(19), make.number(3), make.number(5)}),
                exprs_of({make.number(1), make.number(2)})};
            const DimsExprs size = exprs_of({make.number(7), make.number(width)});
            DimsExprs out[2] = {};
            expect(build_of(plugin)->getOutputShapes(in, 2, &size, 1, out, 2, make) == 0, "shapes are known");
            expect(out[0].nbDims == 3 && out[1].nbDims == 2, "ranks 3 and 2");
            expect(out[0].d[0]->getConstantValue() == 2, "N");
            expect(out[0].d[1]->getConstantValue() == 7, "H");
            expect(out[0].d[2]->getConstantValue() == width / 4 + (width % 4 != 0), "ceil(W / 4)");
            expect(out[1].d[0]->getConstantValue() == width, "the carrier's W");
            expect(out[1].d[1]->getConstantValue() == void_channel + 2, "the carrier's void channel");
        }
}

void symbolic_shapes(Session& session) {
    const Plugin plugin = build_plugin(session);
    Builder make;
    const DimsExprs in[3] = {exprs_of({make.name("N"), make.name("C"), make.name("h"), make.name("w")}),
                             exprs_of({make.number(256), make.number(2)}),
                             exprs_of({make.name("N"), make.name("H"), make.name("P")})};
    const DimsExprs size = exprs_of({make.name("H"), make.name("W")});
    DimsExprs out[2] = {};
    expect(build_of(plugin)->getOutputShapes(in, 3, &size, 1, out, 2, make) == 0, "shapes are known");
    std::string written;
    for (int32_t output = 0; output < 2; ++output)
        for (int32_t i = 0; i < out[output].nbDims; ++i)
            written += static_cast<const Expression*>(out[output].d[i])->text + " ";
    expect(written == "N H ceil(W/4) W 1 ", "shapes are written in the values of size: " + written);
    expect(make.size_tensors == 0, "nothing depends on data");
}

void refused_shapes(Session& session) {
    const Plugin plugin = build_plugin(session);
    nvinfer1::IPluginV3OneBuild& build = *build_of(plugin);
    std::vector<std::string>& lines = session.finder->logger.lines;
    Builder make;
    const auto* const one = make.number(1);
    DimsExprs in[3] = {exprs_of({one, one, one, one}), exprs_of({one, one}), exprs_of({one, one, one})};
    const DimsExprs sizes[2] = {exprs_of({one, one}), exprs_of({one, one, one})};
    DimsExprs out[2] = {};
    expect(build.getOutputShapes(in, 2, sizes, 0, out, 2, make) != 0, "without a size");
    expect(said(lines, "tensorrt_plugin_shape_input_indices"), "how to name the shape input");
    expect(build.getOutputShapes(in, 2, sizes, 2, out, 2, make) != 0, "with two shape inputs");
    expect(said(lines, "got 2 shape inputs"), "how many shape inputs came");
    expect(build.getOutputShapes(in, 2, sizes + 1, 1, out, 2, make) != 0, "with three sizes");
    expect(said(lines, "(H, W)"), "what the size is");
    expect(build.getOutputShapes(in, 1, sizes, 1, out, 2, make) != 0, "without a table");
    expect(said(lines, "got 1 inputs"), "how many inputs came");
    in[0].nbDims = 3;
    expect(build.getOutputShapes(in, 2, sizes, 1, out, 2, make) != 0, "with scores of rank 3");
    expect(said(lines, "the scores: 3 dimensions"), "the rank that came");
}

nvinfer1::IPluginV3* plugin_from(Session& session, TensorRTPhase phase, std::vector<PluginField> fields) {
    const PluginFieldCollection collection{static_cast<int32_t>(fields.size()), fields.data()};
    return session.creator->createPlugin("head", &collection, phase);
}

void refuse(Session& session, TensorRTPhase phase, const PluginField& field, const char* part) {
    expect(plugin_from(session, phase, {field}) == nullptr, std::string("refused: ") + part);
    expect(said(session.finder->logger.lines, part), part);
}

void node_fields(Session& session) {
    const auto phase = TensorRTPhase::kBUILD;
    expect(Plugin(session.creator->createPlugin("head", nullptr, phase)) != nullptr, "no fields at all");
    expect(Plugin(plugin_from(session, phase, {})) != nullptr, "no field");
    for (const int64_t wide : {-2, -1, 0, 254, 255}) {
        const int32_t narrow = static_cast<int32_t>(wide);
        for (const PluginField& field : {PluginField("void_channel", &wide, PluginFieldType::kINT64, 1),
                                         PluginField("void_channel", &narrow, PluginFieldType::kINT32, 1)}) {
            const Plugin made(plugin_from(session, phase, {field}));
            const bool allowed = wide >= -1 && wide <= 254;
            expect((made != nullptr) == allowed, "void_channel " + std::to_string(wide));
            if (!allowed)
                expect(said(session.finder->logger.lines, "0 to 254, or -1 for none"), "what is allowed");
        }
    }
    const int64_t far = (int64_t{1} << 32) + 3;
    refuse(session, phase, {"void_channel", &far, PluginFieldType::kINT64, 1}, "void_channel is 4294967299");
    refuse(session, phase, {"void_channel", &far, PluginFieldType::kINT32, 2},
           "void_channel is not one integer");
    refuse(session, phase, {"void_channel", &far, PluginFieldType::kFLOAT32, 1},
           "void_channel is not one integer");
    refuse(session, phase, {"void_channel", nullptr, PluginFieldType::kINT32, 1}, "is not one integer");
    refuse(session, phase, {"table", &far, PluginFieldType::kINT64, 1},
           "table is unknown; void_channel is allowed");
}

void plan_fields(Session& session) {
    const auto phase = TensorRTPhase::kRUNTIME;
    const Plugin plugin = build_plugin(session, 18);
    const PluginFieldCollection& kept = *runtime_of(plugin)->getFieldsToSerialize();
    expect(kept.nbFields == 1 && is(kept.fields[0].name, "format"), "only the format is serialised");
    expect(kept.fields[0].type == PluginFieldType::kINT32 && kept.fields[0].length == 1, "it is one INT32");
    expect(*static_cast<const int32_t*>(kept.fields[0].data) == 1, "the format is 1");
    expect(Plugin(session.creator->createPlugin("head", &kept, phase)) != nullptr,
           "what is serialised is read");

    const int32_t newer = 2;
    const int32_t older = 0;
    refuse(session, phase, {"format", &newer, PluginFieldType::kINT32, 1},
           "has format 2; this plugin reads format 1");
    refuse(session, phase, {"format", &older, PluginFieldType::kINT32, 1}, "has format 0");
    refuse(session, phase, {"format", &newer, PluginFieldType::kINT8, 1}, "format is not one integer");
    refuse(session, phase, {"void_channel", &newer, PluginFieldType::kINT32, 1}, "void_channel is unknown");
    expect(plugin_from(session, phase, {}) == nullptr, "a plan without a format");
    expect(said(session.finder->logger.lines, "has format 0"), "that it has none");
}

}  // namespace

const std::vector<NamedCase>& build_cases() {
    static const std::vector<NamedCase> cases = {
        {"names", names},
        {"formats", formats},
        {"types", types},
        {"static_shapes", static_shapes},
        {"symbolic_shapes", symbolic_shapes},
        {"refused_shapes", refused_shapes},
        {"node_fields", node_fields},
        {"plan_fields", plan_fields},
    };
    return cases;
}
