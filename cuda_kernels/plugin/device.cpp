#include "device.h"

#include <dlfcn.h>

namespace lsu::tensorrt {

int32_t current_device() noexcept {
    // A thread that has a context has the driver's library loaded; linking it would tie the plugin to a
    // driver.
    void* const driver = dlopen("libcuda.so.1", RTLD_LAZY | RTLD_NOLOAD);
    if (driver == nullptr) return 0;
    int device = 0;
    using GetDevice = int (*)(int*);
    const auto get_device = reinterpret_cast<GetDevice>(dlsym(driver, "cuCtxGetDevice"));
    if (get_device == nullptr || get_device(&device) != 0) device = 0;
    dlclose(driver);
    return device;
}

}  // namespace lsu::tensorrt
