// The Python door to the head on a CUDA device: addresses and extents go through as they are. What they have
// to fulfil is said by lsu.runtime.device_head.
#include <nanobind/nanobind.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/pair.h>
#include <nanobind/stl/string.h>

#include <cstdint>
#include <memory>
#include <new>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>

#include "lsu/constrained_argmax.h"

namespace nb = nanobind;
using namespace nb::literals;

namespace {

using Sides = std::pair<int64_t, int64_t>;  // (y, x)

template <typename Element>
Element* at(uintptr_t address) {
    return reinterpret_cast<Element*>(address);
}

// std::runtime_error for what the machine lacks or the driver refuses, std::invalid_argument for arguments.
void require_ok(lsu_status status) {
    if (status == LSU_OK) return;
    if (status == LSU_NO_MEMORY) throw std::bad_alloc();
    if (status == LSU_NO_CUDA || status == LSU_NO_CUDA_KERNELS || status == LSU_CUDA_FAILED)
        throw std::runtime_error(lsu_cuda_failure());
    throw std::invalid_argument(lsu_status_text(status));
}

class CudaHead {
  public:
    CudaHead(int32_t device, const std::optional<std::string>& kernels) {
        lsu_cuda_head* head = nullptr;
        const char* path = kernels ? kernels->c_str() : nullptr;
        require_ok([&] {
            const nb::gil_scoped_release released;
            return lsu_cuda_head_create(device, path, &head);
        }());
        head_.reset(head);
    }

    void run(uintptr_t scores, uintptr_t labels, uintptr_t table, uintptr_t classes, uintptr_t counts,
             uintptr_t margin, int32_t score_type, std::pair<int64_t, int64_t> stack, Sides score_size,
             int64_t table_rows, Sides size, Sides canvas, Sides offset, int64_t void_channel,
             float margin_scale, bool agreement, bool packed, uintptr_t stream) {
        lsu_head_input input{};
        input.scores = at<const void>(scores);
        input.labels = at<const uint8_t>(labels);
        input.table = at<const uint64_t>(table);
        input.batch = stack.first;
        input.channels = stack.second;
        input.score_height = score_size.first;
        input.score_width = score_size.second;
        input.table_rows = table_rows;
        input.height = size.first;
        input.width = size.second;
        input.canvas_height = canvas.first;
        input.canvas_width = canvas.second;
        input.offset_y = offset.first;
        input.offset_x = offset.second;
        input.void_channel = void_channel;
        input.margin_scale = margin_scale;
        input.score_type = score_type;
        input.packed = packed ? 1 : 0;
        const lsu_head_output output{at<uint8_t>(classes), at<int64_t>(counts), at<uint8_t>(margin),
                                     agreement ? 1 : 0};
        require_ok([&] {
            const nb::gil_scoped_release released;
            return lsu_cuda_head_run(head_.get(), &input, &output, at<void>(stream));
        }());
    }

  private:
    struct Destroy {
        void operator()(lsu_cuda_head* head) const { lsu_cuda_head_destroy(head); }
    };
    std::unique_ptr<lsu_cuda_head, Destroy> head_;
};

}  // namespace

void define_cuda(nb::module_& module) {
    nb::class_<CudaHead>(module, "CudaHead", "The kernels, loaded on one CUDA device.")
        .def(nb::init<int32_t, std::optional<std::string>>(), "device"_a, "kernels"_a = nb::none())
        .def("run", &CudaHead::run, nb::kw_only(), "scores"_a, "labels"_a, "table"_a, "classes"_a, "counts"_a,
             "margin"_a, "score_type"_a, "stack"_a, "score_size"_a, "table_rows"_a, "size"_a, "canvas"_a,
             "offset"_a, "void_channel"_a, "margin_scale"_a, "agreement"_a, "packed"_a, "stream"_a,
             "Put the work on a stream; lsu.runtime.device_head explains it.");
}
