// The CUDA driver, found when it is first needed: neither its header nor its library takes part in the build,
// and a machine without a GPU loads this library all the same.
//
// The declarations are the few that we call, as the driver's documented binary interface has them.
#ifndef LSU_CUDA_DRIVER_H
#define LSU_CUDA_DRIVER_H

#include <cstddef>
#include <cstdint>
#include <string>

#include "lsu/constrained_argmax.h"

namespace lsu {

using CudaResult = int;
using CudaDevice = int;
using CudaPointer = unsigned long long;  // in the device's memory
struct CudaContext;
struct CudaModule;
struct CudaFunction;
struct CudaStream;

constexpr CudaResult kCudaSuccess = 0;
constexpr int kMultiprocessorCount = 16;  // a device attribute

struct CudaDriver {
    CudaResult (*init)(unsigned int flags);
    CudaResult (*error_name)(CudaResult result, const char** name);
    CudaResult (*device_count)(int* count);
    CudaResult (*device)(CudaDevice* device, int ordinal);
    CudaResult (*device_attribute)(int* value, int attribute, CudaDevice device);
    CudaResult (*retain_context)(CudaContext** context, CudaDevice device);
    CudaResult (*release_context)(CudaDevice device);
    CudaResult (*push_context)(CudaContext* context);
    CudaResult (*pop_context)(CudaContext** context);
    CudaResult (*load_module)(CudaModule** module, const void* image);
    CudaResult (*unload_module)(CudaModule* module);
    CudaResult (*function)(CudaFunction** function, CudaModule* module, const char* name);
    CudaResult (*clear)(CudaPointer begin, unsigned char value, size_t bytes, CudaStream* stream);
    CudaResult (*launch)(CudaFunction* function, unsigned int grid_x, unsigned int grid_y,
                         unsigned int grid_z, unsigned int block_x, unsigned int block_y,
                         unsigned int block_z, unsigned int shared_bytes, CudaStream* stream,
                         void** arguments, void** extra);
};

// The driver, ready for use, or null; then `failure` says why. The first success is kept for the process.
const CudaDriver* find_cuda_driver(std::string& failure);

// "cuCall failed: CUDA_ERROR_NAME (number)".
std::string cuda_sentence(const CudaDriver& driver, const char* call, CudaResult result);

// Makes the device's context the calling thread's own for as long as it lives.
class CudaScope {
  public:
    CudaScope(const CudaDriver& driver, CudaContext* context);
    ~CudaScope();
    CudaScope(const CudaScope&) = delete;
    CudaScope& operator=(const CudaScope&) = delete;

    // The status of the push: if it is not kCudaSuccess, the context is not there.
    CudaResult entered() const { return entered_; }

    // Ends the scope early, for its status.
    CudaResult leave();

  private:
    const CudaDriver& driver_;
    CudaResult entered_;
    bool inside_;
};

}  // namespace lsu

#endif  // LSU_CUDA_DRIVER_H
