// Which device TensorRT is running on.
#ifndef LSU_PLUGIN_DEVICE_H
#define LSU_PLUGIN_DEVICE_H

#include <cstdint>

namespace lsu::tensorrt {

// The device of the calling thread's CUDA context. 0 where there is no driver or no context: the head, which
// is made for that device next, says what is missing.
int32_t current_device() noexcept;

}  // namespace lsu::tensorrt

#endif  // LSU_PLUGIN_DEVICE_H
