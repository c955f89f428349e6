// What an execution context does: attach, tell shapes, enqueue.
#include <dlfcn.h>

#include <algorithm>
#include <string>

#include "driver.h"

namespace {

using nvinfer1::DataType;
using nvinfer1::Dims;
using nvinfer1::PluginTensorDesc;
using nvinfer1::TensorFormat;

PluginTensorDesc tensor(DataType type, Dims dims) { return {dims, type, TensorFormat::kLINEAR, 1.0F}; }

// The tensors of one call, with addresses that are never read.
struct Call {
    std::vector<PluginTensorDesc> in;
    std::vector<PluginTensorDesc> out;
    std::vector<const void*> inputs;
    std::vector<void*> outputs;
    cudaStream_t stream = nullptr;
    alignas(8) char memory[64] = {};

    int32_t tell(const Plugin& plugin) {
        return runtime_of(plugin)->onShapeChange(in.data(), static_cast<int32_t>(in.size()), out.data(),
                                                 static_cast<int32_t>(out.size()));
    }
    int32_t run(const Plugin& plugin) {
        return runtime_of(plugin)->enqueue(in.data(), out.data(), inputs.data(), outputs.data(), nullptr,
                                           stream);
    }
};

struct Sizes {
    int64_t batch = 2;
    int64_t channels = 19;
    int64_t score_height = 3;
    int64_t score_width = 5;
    int64_t height = 6;
    int64_t width = 10;
    int64_t void_channel = -1;
};

Call call_of(const Sizes& sizes, DataType type, bool labelled) {
    Call call;
    const Dims packed = dims_of({sizes.batch, sizes.height, (sizes.width + 3) / 4});
    call.in = {
        tensor(type, dims_of({sizes.batch, sizes.channels, sizes.score_height, sizes.score_width})),
        tensor(DataType::kINT32, dims_of({labelled ? 256 : 1, 2 * ((sizes.channels + 63) / 64)})),
    };
    if (labelled) call.in.push_back(tensor(DataType::kINT32, packed));
    call.out = {tensor(DataType::kINT32, packed),
                tensor(DataType::kINT32, dims_of({sizes.width, sizes.void_channel + 2}))};
    call.inputs = {call.memory, call.memory + 8};
    if (labelled) call.inputs.push_back(call.memory + 16);
    call.outputs = {call.memory + 24, call.memory + 32};
    call.stream = reinterpret_cast<cudaStream_t>(call.memory + 40);
    return call;
}

Plugin attach(const Plugin& plugin, Recorder& recorder) {
    Resources resources(&recorder);
    return Plugin(runtime_of(plugin)->attachToContext(&resources));
}

void expect_call(const FakeLsu& seen, const Sizes& sizes, DataType type, bool labelled, const Call& call) {
    const lsu_head_input& input = seen.input;
    expect(input.scores == call.inputs[0], "scores");
    expect(input.table == call.inputs[1], "table");
    expect(input.labels == (labelled ? call.inputs[2] : nullptr), "labels");
    expect(input.batch == sizes.batch && input.channels == sizes.channels, "N and C");
    expect(input.score_height == sizes.score_height && input.score_width == sizes.score_width, "h and w");
    expect(input.height == sizes.height && input.width == sizes.width, "H and W");
    expect(input.canvas_height == sizes.height && input.canvas_width == sizes.width,
           "the canvas is the answer");
    expect(input.offset_y == 0 && input.offset_x == 0, "no offset");
    expect(input.table_rows == (labelled ? 256 : 1), "rows of the table");
    expect(input.void_channel == sizes.void_channel, "void channel");
    expect(input.margin_scale == 1.0F, "a margin scale that is allowed");
    expect(input.score_type == (type == DataType::kFLOAT ? LSU_FLOAT32 : LSU_FLOAT16), "score type");
    expect(input.packed != 0, "packed");
    expect(seen.output.classes == call.outputs[0], "classes");
    expect(seen.output.counts == nullptr && seen.output.margin == nullptr, "neither counts nor a margin");
    expect(seen.output.agreement == 0, "no agreement");
    expect(seen.stream == call.stream && seen.head != nullptr, "stream and head");
}

void enqueue_calls_the_launcher(Session& session) {
    Recorder recorder;
    const Plugin plugin = attach(build_plugin(session, 7), recorder);
    int runs = 0;
    for (const DataType type : {DataType::kFLOAT, DataType::kHALF})
        for (const bool labelled : {false, true})
            for (const int64_t channels : {1, 64, 65, 255})
                for (const int64_t width : {0, 1, 8, 9, 11}) {
                    const int64_t void_channel = std::min(width, channels) - 1;
                    const Sizes sizes{width + 1, channels, 3, 5, 6 + width, width, void_channel};
                    Call call = call_of(sizes, type, labelled);
                    expect(call.tell(plugin) == 0, "shapes fit");
                    expect(call.run(plugin) == 0, "enqueue works");
                    expect(session.lsu->runs == ++runs, "one launch");
                    expect_call(*session.lsu, sizes, type, labelled, call);
                }
    expect(session.lsu->created == 1, "one head for all shapes");
    expect(session.lsu->device == 0 && session.lsu->kernels == nullptr,
           "the first device, the library's own kernels");
    expect(recorder.lines.empty() && session.finder->logger.lines.empty(), "nothing is said");
}

// The plan holds the void channel in a shape; the plugin that comes from a plan does not know it.
void a_plugin_of_a_plan_runs(Session& session) {
    const Plugin built = build_plugin(session, 3);
    const Plugin read(session.creator->createPlugin("head", runtime_of(built)->getFieldsToSerialize(),
                                                    nvinfer1::TensorRTPhase::kRUNTIME));
    Sizes sizes;
    sizes.void_channel = 3;
    Call call = call_of(sizes, DataType::kFLOAT, true);
    expect(call.tell(read) == 0 && call.run(read) == 0, "it runs");
    expect_call(*session.lsu, sizes, DataType::kFLOAT, true, call);
}

void clones_are_independent(Session& session) {
    Call call = call_of(Sizes{}, DataType::kFLOAT, false);
    Recorder recorder;
    Plugin first = build_plugin(session, 5);
    expect(call.tell(first) == 0, "the first has a head");
    Plugin second(first->clone());
    Plugin attached = attach(first, recorder);
    expect(second != nullptr && second != first, "a clone is another object");
    first.reset();
    expect(session.lsu->destroyed == 1, "a plugin destroys its head");
    expect(call.run(second) == 0 && session.lsu->created == 2, "a clone makes its own head");
    const Plugin third(attached->clone());
    session.lsu->create_status = LSU_NO_CUDA;
    expect(call.tell(third) != 0 && said(recorder.lines, "driver's own words"), "a clone keeps the recorder");
    Builder make;
    nvinfer1::DimsExprs in[2] = {};
    nvinfer1::DimsExprs size{};
    in[0].nbDims = 4;
    size.nbDims = 2;
    for (int i = 0; i < 4; ++i) in[0].d[i] = size.d[i] = make.number(8);
    for (const Plugin* plugin : {&second, &attached}) {
        nvinfer1::DimsExprs out[2] = {};
        expect(build_of(*plugin)->getOutputShapes(in, 2, &size, 1, out, 2, make) == 0, "a clone builds");
        expect(out[1].d[1]->getConstantValue() == 7, "a clone keeps the void channel");
    }
    const Plugin alone(runtime_of(second)->attachToContext(nullptr));
    expect(call.run(alone) != 0, "without a recorder the status alone tells");
}

void refuse(Session& session, const Plugin& plugin, Call call, Recorder& recorder, const char* part) {
    session.finder->logger.lines.clear();
    expect(call.tell(plugin) != 0 && said(recorder.lines, part), std::string("told shapes: ") + part);
    expect(said(session.finder->logger.lines, part), std::string("to the logger too: ") + part);
    expect(session.lsu->runs == 0, "nothing is launched");
}

void shapes_that_do_not_fit_are_refused(Session& session) {
    Recorder recorder;
    const Plugin plugin = attach(build_plugin(session), recorder);
    const auto with = [&](const char* part, auto change) {
        Call call = call_of(Sizes{}, DataType::kHALF, true);
        change(call);
        refuse(session, plugin, call, recorder, part);
    };
    with("with 19 classes it is [256, 2]", [](Call& c) { c.in[1].dims.d[1] = 1; });
    with("with 19 classes it is [256, 2]", [](Call& c) { c.in[1].dims.d[1] = 4; });
    with("the table has 1 rows with labels", [](Call& c) { c.in[1].dims.d[0] = 1; });
    with("the table has 2 rows with labels", [](Call& c) { c.in[1].dims.d[0] = 2; });
    with("the table has 256 rows without labels", [](Call& c) { c.in.pop_back(); });
    with("the table: 1 dimensions", [](Call& c) { c.in[1].dims.nbDims = 1; });
    with("the scores: 3 dimensions", [](Call& c) { c.in[0].dims.nbDims = 3; });
    with("data type 3; FP32 and FP16", [](Call& c) { c.in[0].type = DataType::kINT32; });
    with("the labels: 2 dimensions", [](Call& c) { c.in[2].dims.nbDims = 2; });
    with("the labels are [1, 6, 3]; the answer is [2, 6, 3]", [](Call& c) { c.in[2].dims.d[0] = 1; });
    with("the labels are [2, 7, 3]", [](Call& c) { c.in[2].dims.d[1] = 7; });
    with("the labels are [2, 6, 10]", [](Call& c) { c.in[2].dims.d[2] = 10; });
    with("the answer: 2 dimensions", [](Call& c) { c.out[0].dims.nbDims = 2; });
    with("the carrier: 3 dimensions", [](Call& c) { c.out[1].dims.nbDims = 3; });
    with("2 images of width 13 need [2, H, 4]", [](Call& c) { c.out[1].dims.d[0] = 13; });
    with("void_channel is 19; with 19 classes 0 to 18", [](Call& c) { c.out[1].dims.d[1] = 21; });
    with("void_channel is -2", [](Call& c) { c.out[1].dims.d[1] = 0; });
    with("the answer is [3, 6, 3]; 2 images", [](Call& c) { c.out[0].dims.d[0] = 3; });
    with("got 3 inputs and 1 outputs", [](Call& c) { c.out.pop_back(); });
    Call call = call_of(Sizes{}, DataType::kFLOAT, false);
    call.in[1].dims.d[0] = 3;
    refuse(session, plugin, call, recorder, "the table is [3, 2]");
    expect(call.run(plugin) != 0 && said(recorder.lines, "the table is [3, 2]"), "enqueue looks again");
    expect(recorder.codes[0] == nvinfer1::ErrorCode::kINVALID_ARGUMENT, "it is the caller's fault");
}

void every_status_is_reported(Session& session) {
    std::vector<std::string>& logged = session.finder->logger.lines;
    for (int status = LSU_NULL_POINTER; status <= LSU_CUDA_FAILED; ++status) {
        Recorder recorder;
        const bool of_cuda = status >= LSU_NO_CUDA;
        const char* const part = of_cuda ? "the driver's own words" : "the text of the status";
        Plugin plugin = attach(build_plugin(session), recorder);
        Call call = call_of(Sizes{}, DataType::kFLOAT, false);
        session.lsu->run_status = static_cast<lsu_status>(status);
        expect(call.run(plugin) != 0 && said(recorder.lines, part) && said(logged, part), "a launch fails");
        expect(recorder.codes[0] == (of_cuda ? nvinfer1::ErrorCode::kFAILED_EXECUTION
                                             : nvinfer1::ErrorCode::kINVALID_ARGUMENT),
               "the error's code");
        session.lsu->run_status = LSU_OK;
        session.lsu->create_status = static_cast<lsu_status>(status);
        plugin = attach(build_plugin(session), recorder);
        const int runs = session.lsu->runs;
        expect(call.tell(plugin) != 0 && said(recorder.lines, part) && said(logged, part),
               "no head for shapes");
        expect(call.run(plugin) != 0 && said(recorder.lines, part) && said(logged, part),
               "no head for enqueue");
        expect(session.lsu->runs == runs, "nothing is launched without a head");
        session.lsu->create_status = LSU_OK;
        expect(call.run(plugin) == 0, "it recovers");
    }
}

void the_head_is_made_on_the_current_device(Session& session) {
    const std::string driver = session.folder + "/../fake_cuda/libcuda.so.1";
    expect(dlopen(driver.c_str(), RTLD_NOW | RTLD_LOCAL) != nullptr, "the fake driver loads");
    Call call = call_of(Sizes{}, DataType::kFLOAT, false);
    const Plugin plugin = build_plugin(session);
    expect(call.tell(plugin) == 0 && session.lsu->device == 3, "the context's device");
}

// With the real liblsu.so, on a machine without CUDA.
void without_cuda_one_line_says_so(Session& session) {
    expect(session.lsu == nullptr, "the real liblsu.so is loaded");
    Recorder recorder;
    const Plugin plugin = attach(build_plugin(session), recorder);
    Call call = call_of(Sizes{}, DataType::kFLOAT, false);
    expect(call.tell(plugin) != 0 && said(recorder.lines, "CUDA"), "shapes are told in vain");
    expect(call.run(plugin) != 0 && said(recorder.lines, "CUDA"), "enqueue fails");
}

}  // namespace

const std::vector<NamedCase>& run_cases() {
    static const std::vector<NamedCase> cases = {
        {"enqueue_calls_the_launcher", enqueue_calls_the_launcher},
        {"a_plugin_of_a_plan_runs", a_plugin_of_a_plan_runs},
        {"clones_are_independent", clones_are_independent},
        {"shapes_that_do_not_fit_are_refused", shapes_that_do_not_fit_are_refused},
        {"every_status_is_reported", every_status_is_reported},
        {"the_head_is_made_on_the_current_device", the_head_is_made_on_the_current_device},
        {"without_cuda_one_line_says_so", without_cuda_one_line_says_so},
    };
    return cases;
}
