#include "cuda_driver.h"

#include <dlfcn.h>

#include <mutex>

namespace lsu {
namespace {

// The names carry the versions of the interface that the declarations follow.
template <typename Function>
bool find(void* library, const char* name, Function*& function, std::string& failure) {
    function = reinterpret_cast<Function*>(dlsym(library, name));
    if (function == nullptr) failure = std::string("libcuda.so.1 has no ") + name + ": update the GPU driver";
    return function != nullptr;
}

bool find_all(void* library, CudaDriver& driver, std::string& failure) {
    return find(library, "cuInit", driver.init, failure) &&
           find(library, "cuGetErrorName", driver.error_name, failure) &&
           find(library, "cuDeviceGetCount", driver.device_count, failure) &&
           find(library, "cuDeviceGet", driver.device, failure) &&
           find(library, "cuDeviceGetAttribute", driver.device_attribute, failure) &&
           find(library, "cuDevicePrimaryCtxRetain", driver.retain_context, failure) &&
           find(library, "cuDevicePrimaryCtxRelease_v2", driver.release_context, failure) &&
           find(library, "cuCtxPushCurrent_v2", driver.push_context, failure) &&
           find(library, "cuCtxPopCurrent_v2", driver.pop_context, failure) &&
           find(library, "cuModuleLoadData", driver.load_module, failure) &&
           find(library, "cuModuleUnload", driver.unload_module, failure) &&
           find(library, "cuModuleGetFunction", driver.function, failure) &&
           find(library, "cuMemsetD8Async", driver.clear, failure) &&
           find(library, "cuLaunchKernel", driver.launch, failure);
}

bool open_driver(CudaDriver& driver, std::string& failure) {
    void* library = dlopen("libcuda.so.1", RTLD_NOW | RTLD_LOCAL);
    if (library == nullptr) {
        const char* reason = dlerror();
        failure = std::string("no CUDA driver: ") + (reason != nullptr ? reason : "libcuda.so.1 is missing");
        return false;
    }
    bool ready = find_all(library, driver, failure);
    if (ready) {
        const CudaResult result = driver.init(0);
        ready = result == kCudaSuccess;
        if (!ready) failure = cuda_sentence(driver, "cuInit", result);
    }
    if (!ready) dlclose(library);
    return ready;
}

}  // namespace

const CudaDriver* find_cuda_driver(std::string& failure) {
    static std::mutex mutex;
    static CudaDriver driver{};
    static bool ready = false;
    const std::lock_guard<std::mutex> lock(mutex);
    if (!ready) ready = open_driver(driver, failure);
    return ready ? &driver : nullptr;
}

std::string cuda_sentence(const CudaDriver& driver, const char* call, CudaResult result) {
    const char* name = nullptr;
    if (driver.error_name(result, &name) != kCudaSuccess || name == nullptr) name = "unknown error";
    return std::string(call) + " failed: " + name + " (" + std::to_string(result) + ")";
}

CudaScope::CudaScope(const CudaDriver& driver, CudaContext* context)
    : driver_(driver), entered_(driver.push_context(context)), inside_(entered_ == kCudaSuccess) {}

CudaScope::~CudaScope() { leave(); }

CudaResult CudaScope::leave() {
    if (!inside_) return kCudaSuccess;
    inside_ = false;
    CudaContext* left = nullptr;
    return driver_.pop_context(&left);
}

}  // namespace lsu
