// A libcuda.so.1 for the tests: the device's memory is the host's, kernels run on the host where that is
// asked for, each call is logged, and each can be told to fail.
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "block_on_host.h"

#define FAKE extern "C" __attribute__((visibility("default")))

namespace {

struct Kernel {
    std::string name;
};

struct State {
    std::string log;
    std::string failing;  // the call that is to fail
    int skipped = 0;      // how often it is to succeed before
    int result = 0;       // what it then returns
    int devices = 2;
    bool executes = std::getenv("FAKE_CUDA_EXECUTES") != nullptr;
    bool capturing = false;
    std::vector<std::function<void()>> graph;
    int retained = 0;
    int loaded = 0;
    int depth = 0;  // contexts pushed and not popped
    std::map<std::string, Kernel> kernels;
};

State& state() {
    static State state;
    return state;
}

int called(const std::string& call, const std::string& details = "") {
    State& fake = state();
    fake.log += call + (details.empty() ? "" : " " + details) + "\n";
    if (call == fake.failing && fake.skipped-- <= 0) return fake.result;
    return 0;
}

int counted(const char* call, int& counter, int step) {
    const int result = called(call);
    if (result == 0) counter += step;
    return result;
}

// At once, or when the graph is launched.
void execute(std::function<void()> work) {
    if (!state().executes) return;
    if (state().capturing)
        state().graph.push_back(std::move(work));
    else
        work();
}

void* const kContext = &state().retained;
void* const kModule = &state().loaded;

}  // namespace

// The tests' side.

FAKE void fake_fail(const char* call, int skipped, int result) {
    state().failing = call;
    state().skipped = skipped;
    state().result = result;
}
FAKE void fake_execute(int executes) { state().executes = executes != 0; }
FAKE void fake_clear_log() { state().log.clear(); }
FAKE const char* fake_log() { return state().log.c_str(); }
FAKE int fake_retained() { return state().retained; }
FAKE int fake_loaded() { return state().loaded; }
FAKE int fake_depth() { return state().depth; }

// The driver's side.

FAKE int cuInit(unsigned int) { return called("cuInit"); }

FAKE int cuGetErrorName(int result, const char** name) {
    *name = result == 700   ? "CUDA_ERROR_ILLEGAL_ADDRESS"
            : result == 209 ? "CUDA_ERROR_NO_BINARY_FOR_GPU"
                            : nullptr;
    return *name != nullptr ? 0 : 1;
}

FAKE int cuDeviceGetCount(int* count) {
    *count = state().devices;
    return called("cuDeviceGetCount");
}

FAKE int cuDeviceGet(int* device, int ordinal) {
    *device = 40 + ordinal;
    return called("cuDeviceGet", std::to_string(ordinal));
}

FAKE int cuDeviceGetAttribute(int* value, int attribute, int device) {
    *value = 3;
    return called("cuDeviceGetAttribute", std::to_string(attribute) + " of " + std::to_string(device));
}

FAKE int cuDevicePrimaryCtxRetain(void** context, int) {
    *context = kContext;
    return counted("cuDevicePrimaryCtxRetain", state().retained, 1);
}

FAKE int cuDevicePrimaryCtxRelease_v2(int) {
    return counted("cuDevicePrimaryCtxRelease", state().retained, -1);
}

FAKE int cuCtxPushCurrent_v2(void* context) {
    if (context != kContext) return 201;
    return counted("cuCtxPushCurrent", state().depth, 1);
}

// Pops even where it is told to fail: the driver reports errors of earlier work here too.
FAKE int cuCtxPopCurrent_v2(void** context) {
    *context = kContext;
    --state().depth;
    return called("cuCtxPopCurrent");
}

FAKE int cuModuleLoadData(void** module, const void*) {
    *module = kModule;
    return state().depth == 1 ? counted("cuModuleLoadData", state().loaded, 1) : 201;
}

FAKE int cuModuleUnload(void* module) {
    if (module == kModule && state().depth == 1) return counted("cuModuleUnload", state().loaded, -1);
    called("cuModuleUnload", "outside its context");
    return 201;
}

FAKE int cuModuleGetFunction(void** function, void*, const char* name) {
    Kernel& kernel = state().kernels[name];
    kernel.name = name;
    *function = &kernel;
    return called("cuModuleGetFunction", name);
}

FAKE int cuMemsetD8Async(unsigned long long begin, unsigned char value, size_t bytes, void* stream) {
    execute([=] { std::memset(reinterpret_cast<void*>(begin), value, bytes); });
    char text[64];
    std::snprintf(text, sizeof text, "%zu bytes on %zu", bytes, reinterpret_cast<size_t>(stream));
    return state().depth == 1 ? called("cuMemsetD8Async", text) : 201;
}

FAKE int cuLaunchKernel(void* function, unsigned int grid_x, unsigned int grid_y, unsigned int grid_z,
                        unsigned int block_x, unsigned int block_y, unsigned int block_z,
                        unsigned int shared_bytes, void* stream, void** arguments, void**) {
    if (state().depth != 1) return 201;
    if (grid_x == 0 || grid_y == 0 || grid_z == 0 || grid_x > 0x7fffffffu || grid_y > 65535 || grid_z > 65535)
        return 1;
    const std::string& name = static_cast<Kernel*>(function)->name;
    char text[160];
    std::snprintf(text, sizeof text, "%s grid %u %u %u block %u %u %u shared %u on %zu", name.c_str(), grid_x,
                  grid_y, grid_z, block_x, block_y, block_z, shared_bytes, reinterpret_cast<size_t>(stream));
    const int result = called("cuLaunchKernel", text);
    if (result != 0 || !state().executes) return result;
    const auto call = *static_cast<const lsu::DeviceCall*>(arguments[0]);
    const std::string wanted = std::string(call.plan.by_cells != 0 ? "lsu_cells_" : "lsu_dense_") +
                               (call.in.score_type == LSU_FLOAT32 ? "float32" : "float16");
    if (name != wanted || block_x != lsu::kBlockThreads) return 400;
    execute(
        [=] { lsu::device::run_call_on_host(call, {grid_x, grid_y, grid_z}, lsu::device::Turns::kForward); });
    return 0;
}

// For the GPU cases alone.

FAKE int cuCtxSetCurrent(void*) { return 0; }
FAKE int cuCtxSynchronize() { return 0; }

FAKE int cuMemGetInfo_v2(size_t* free, size_t* total) {
    *free = *total = size_t{1} << 30;
    return 0;
}

FAKE int cuMemAlloc_v2(unsigned long long* begin, size_t bytes) {
    *begin = reinterpret_cast<unsigned long long>(std::malloc(bytes));
    return *begin != 0 ? 0 : 2;
}

FAKE int cuMemFree_v2(unsigned long long begin) {
    std::free(reinterpret_cast<void*>(begin));
    return 0;
}

FAKE int cuMemcpyHtoD_v2(unsigned long long target, const void* source, size_t bytes) {
    std::memcpy(reinterpret_cast<void*>(target), source, bytes);
    return 0;
}

FAKE int cuMemcpyDtoH_v2(void* target, unsigned long long source, size_t bytes) {
    std::memcpy(target, reinterpret_cast<const void*>(source), bytes);
    return 0;
}

FAKE int cuStreamCreate(void** stream, unsigned int) {
    *stream = &state().graph;
    return 0;
}

FAKE int cuStreamBeginCapture_v2(void*, int) {
    state().graph.clear();
    state().capturing = true;
    return 0;
}

FAKE int cuStreamEndCapture(void*, void** graph) {
    state().capturing = false;
    *graph = &state().graph;
    return 0;
}

FAKE int cuGraphInstantiateWithFlags(void** ready, void* graph, unsigned long long) {
    *ready = graph;
    return 0;
}

FAKE int cuGraphLaunch(void*, void*) {
    for (const auto& work : state().graph) work();
    return 0;
}
