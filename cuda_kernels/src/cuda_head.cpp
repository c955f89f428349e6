// The head on a CUDA device: it loads the kernels once and puts their launches on the caller's streams.
#include <dlfcn.h>

#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <ios>
#include <iterator>
#include <memory>
#include <new>
#include <string>
#include <vector>

#include "check.h"
#include "cuda_driver.h"
#include "device_plan.h"

namespace lsu {
namespace {

constexpr const char* kKernelNames[] = {"lsu_dense_float32", "lsu_dense_float16", "lsu_cells_float32",
                                        "lsu_cells_float16"};

// Fixed memory, because saying what failed must not fail.
struct Failure {
    char sentence[512] = "";
};

Failure& failure_of_thread() {
    thread_local Failure failure;
    return failure;
}

lsu_status fail(lsu_status status, const std::string& sentence) {
    Failure& failure = failure_of_thread();
    std::snprintf(failure.sentence, sizeof failure.sentence, "%s", sentence.c_str());
    for (char& letter : failure.sentence)
        if (letter == '\n' || letter == '\r') letter = ' ';
    return status;
}

lsu_status fail_call(const CudaDriver& driver, const char* call, CudaResult result) {
    return fail(LSU_CUDA_FAILED, cuda_sentence(driver, call, result));
}

// Results of loading a module that say: nothing in this file is for this device or this driver.
bool is_unfit_file(CudaResult result) {
    constexpr CudaResult kInvalidImage = 200;
    constexpr CudaResult kNoBinaryForGpu = 209;
    constexpr CudaResult kInvalidPtx = 218;
    constexpr CudaResult kJitCompilerNotFound = 221;
    constexpr CudaResult kUnsupportedPtxVersion = 222;
    return result == kInvalidImage || result == kNoBinaryForGpu || result == kInvalidPtx ||
           result == kJitCompilerNotFound || result == kUnsupportedPtxVersion;
}

// Without symbolic links; as it is where that cannot be said.
std::string resolved(const char* path) {
    const std::unique_ptr<char, decltype(&std::free)> real(realpath(path, nullptr), &std::free);
    return real != nullptr ? real.get() : path;
}

// data/constrained_argmax.fatbin beside the shared object, or the program, that this code is in. A link to
// the library may stand in a folder without it.
std::string default_kernels() {
    Dl_info info{};
    std::string path;
    if (dladdr(reinterpret_cast<const void*>(&lsu_cuda_head_create), &info) != 0 && info.dli_fname != nullptr)
        path = resolved(info.dli_fname);
    const size_t slash = path.rfind('/');
    return (slash == std::string::npos ? std::string() : path.substr(0, slash + 1)) +
           "data/constrained_argmax.fatbin";
}

// Nothing where the file cannot be read.
std::vector<char> bytes_of(const std::string& path) {
    std::ifstream file(path, std::ios::binary | std::ios::ate);
    const std::streamoff size = file ? static_cast<std::streamoff>(file.tellg()) : 0;
    constexpr std::streamoff kMost = std::streamoff{1} << 30;  // a folder answers with the largest number
    if (size <= 0 || size > kMost) return {};
    std::vector<char> bytes(static_cast<size_t>(size));
    file.seekg(0);
    file.read(bytes.data(), size);
    return file ? bytes : std::vector<char>();
}

}  // namespace
}  // namespace lsu

struct lsu_cuda_head {
    explicit lsu_cuda_head(const lsu::CudaDriver& found) : driver(found) {}
    lsu_cuda_head(const lsu_cuda_head&) = delete;
    lsu_cuda_head& operator=(const lsu_cuda_head&) = delete;

    // Failures are passed over: there is nobody to tell, and a driver that is shutting down reports some.
    ~lsu_cuda_head() {
        if (module != nullptr) {
            const lsu::CudaScope scope(driver, context);
            if (scope.entered() == lsu::kCudaSuccess) driver.unload_module(module);
        }
        if (context != nullptr) driver.release_context(device);
    }

    const lsu::CudaDriver& driver;
    lsu::CudaDevice device = 0;
    lsu::CudaContext* context = nullptr;
    lsu::CudaModule* module = nullptr;
    lsu::CudaFunction* kernels[4] = {};  // dense and cell-wise, of float32 and float16 each
    int multiprocessors = 1;
};

namespace lsu {
namespace {

lsu_status take_device(lsu_cuda_head& head, int32_t ordinal) {
    const CudaDriver& driver = head.driver;
    int count = 0;
    if (const CudaResult result = driver.device_count(&count); result != kCudaSuccess)
        return fail_call(driver, "cuDeviceGetCount", result);
    if (ordinal < 0 || ordinal >= count)
        return fail(LSU_NO_CUDA,
                    "no CUDA device " + std::to_string(ordinal) + ": there are " + std::to_string(count));
    if (const CudaResult result = driver.device(&head.device, ordinal); result != kCudaSuccess)
        return fail_call(driver, "cuDeviceGet", result);
    if (const CudaResult result =
            driver.device_attribute(&head.multiprocessors, kMultiprocessorCount, head.device);
        result != kCudaSuccess)
        return fail_call(driver, "cuDeviceGetAttribute", result);
    if (const CudaResult result = driver.retain_context(&head.context, head.device); result != kCudaSuccess) {
        head.context = nullptr;
        return fail_call(driver, "cuDevicePrimaryCtxRetain", result);
    }
    return LSU_OK;
}

// All functions are asked for here, which makes the driver load them: a first launch that still had to load
// its kernel could not be captured.
lsu_status load_kernels(lsu_cuda_head& head, const std::string& path) {
    const std::vector<char> image = bytes_of(path);
    if (image.empty())
        return fail(LSU_NO_CUDA_KERNELS, "no compiled kernels in " + path + ": build with nvcc, LSU_CUDA=ON");
    CudaScope scope(head.driver, head.context);
    if (scope.entered() != kCudaSuccess) return fail_call(head.driver, "cuCtxPushCurrent", scope.entered());
    if (const CudaResult result = head.driver.load_module(&head.module, image.data());
        result != kCudaSuccess) {
        head.module = nullptr;
        if (!is_unfit_file(result)) return fail_call(head.driver, "cuModuleLoadData", result);
        return fail(LSU_NO_CUDA_KERNELS, cuda_sentence(head.driver, "cuModuleLoadData", result) + ": " +
                                             path + " has no kernels for this device and driver");
    }
    for (size_t i = 0; i < std::size(kKernelNames); ++i)
        if (const CudaResult result = head.driver.function(&head.kernels[i], head.module, kKernelNames[i]);
            result != kCudaSuccess)
            return fail_call(head.driver, "cuModuleGetFunction", result);
    if (const CudaResult result = scope.leave(); result != kCudaSuccess)
        return fail_call(head.driver, "cuCtxPopCurrent", result);
    return LSU_OK;
}

lsu_status clear_counts(const lsu_cuda_head& head, const lsu_head_input& input, const lsu_head_output& output,
                        CudaStream* stream) {
    const int64_t columns = output.agreement != 0 ? 4 : 3;
    const auto bytes = static_cast<size_t>(input.batch * LSU_COUNTED_LABELS * columns) * sizeof(int64_t);
    if (output.counts == nullptr || bytes == 0) return LSU_OK;
    const CudaResult result =
        head.driver.clear(reinterpret_cast<CudaPointer>(output.counts), 0, bytes, stream);
    return result == kCudaSuccess ? LSU_OK : fail_call(head.driver, "cuMemsetD8Async", result);
}

lsu_status launch(const lsu_cuda_head& head, const lsu_head_input& input, const lsu_head_output& output,
                  CudaStream* stream) {
    if (input.batch == 0 || input.height == 0 || input.width == 0) return LSU_OK;
    DeviceCall call{input, output, plan_device(input, output, head.multiprocessors)};
    const DeviceGrid grid = grid_of(input, call.plan);
    const size_t kernel = (call.plan.by_cells != 0 ? 2u : 0u) + (input.score_type == LSU_FLOAT16 ? 1u : 0u);
    void* arguments[] = {&call};
    const CudaResult result = head.driver.launch(head.kernels[kernel], grid.x, grid.y, grid.z, kBlockThreads,
                                                 1, 1, 0, stream, arguments, nullptr);
    return result == kCudaSuccess ? LSU_OK : fail_call(head.driver, "cuLaunchKernel", result);
}

lsu_status run(const lsu_cuda_head& head, const lsu_head_input& input, const lsu_head_output& output,
               CudaStream* stream) {
    if (const lsu_status status = check_head(input, output, false); status != LSU_OK) return status;
    CudaScope scope(head.driver, head.context);
    if (scope.entered() != kCudaSuccess) return fail_call(head.driver, "cuCtxPushCurrent", scope.entered());
    if (const lsu_status status = clear_counts(head, input, output, stream); status != LSU_OK) return status;
    if (const lsu_status status = launch(head, input, output, stream); status != LSU_OK) return status;
    const CudaResult left = scope.leave();
    return left == kCudaSuccess ? LSU_OK : fail_call(head.driver, "cuCtxPopCurrent", left);
}

}  // namespace
}  // namespace lsu

lsu_status lsu_cuda_head_create(int32_t device, const char* kernels, lsu_cuda_head** head) {
    if (head == nullptr) return LSU_NULL_POINTER;
    *head = nullptr;
    try {
        std::string failure;
        const lsu::CudaDriver* driver = lsu::find_cuda_driver(failure);
        if (driver == nullptr) return lsu::fail(LSU_NO_CUDA, failure);
        auto made = std::make_unique<lsu_cuda_head>(*driver);
        if (const lsu_status status = lsu::take_device(*made, device); status != LSU_OK) return status;
        const std::string path = kernels != nullptr ? std::string(kernels) : lsu::default_kernels();
        if (const lsu_status status = lsu::load_kernels(*made, path); status != LSU_OK) return status;
        *head = made.release();
        return LSU_OK;
    } catch (const std::bad_alloc&) {
        return LSU_NO_MEMORY;
    }
}

lsu_status lsu_cuda_head_run(lsu_cuda_head* head, const lsu_head_input* input, const lsu_head_output* output,
                             void* stream) {
    if (head == nullptr || input == nullptr || output == nullptr) return LSU_NULL_POINTER;
    try {
        return lsu::run(*head, *input, *output, static_cast<lsu::CudaStream*>(stream));
    } catch (const std::bad_alloc&) {
        return LSU_NO_MEMORY;
    }
}

void lsu_cuda_head_destroy(lsu_cuda_head* head) { delete head; }

const char* lsu_cuda_failure(void) { return lsu::failure_of_thread().sentence; }
