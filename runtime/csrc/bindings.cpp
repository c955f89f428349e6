// The Python door to the head: it checks that the arrays fit one another and passes pointers on. No
// arithmetic here.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/pair.h>

#include <cstdint>
#include <memory>
#include <new>
#include <optional>
#include <stdexcept>
#include <utility>

#include "lsu/constrained_argmax.h"

namespace nb = nanobind;
using namespace nb::literals;

void define_cuda(nb::module_& module);          // cuda_bindings.cpp
void define_label_lookup(nb::module_& module);  // label_lookup.cpp

namespace lsu {

struct Half {
    uint16_t bits;
};

}  // namespace lsu

template <>
struct nanobind::detail::dtype_traits<lsu::Half> {
    static constexpr dlpack::dtype value{static_cast<uint8_t>(dlpack::dtype_code::Float), 16, 1};
    static constexpr auto name = const_name("float16");
};

namespace {

template <typename Element, size_t Dimensions>
using Array = nb::ndarray<Element, nb::numpy, nb::ndim<Dimensions>, nb::c_contig, nb::device::cpu>;
using Labels = std::optional<Array<const uint8_t, 3>>;
using Table = std::optional<Array<const uint64_t, 2>>;
using Margin = std::optional<Array<uint8_t, 3>>;
using Sides = std::pair<int64_t, int64_t>;  // (y, x)

int64_t extent(size_t value) { return static_cast<int64_t>(value); }

void require(bool holds, const char* sentence) {
    if (!holds) throw std::invalid_argument(sentence);
}

void require_ok(lsu_status status) {
    if (status == LSU_NO_MEMORY) throw std::bad_alloc();
    require(status == LSU_OK, lsu_status_text(status));
}

template <typename First, typename Second>
bool same_shape(const First& first, const Second& second) {
    return first.shape(0) == second.shape(0) && first.shape(1) == second.shape(1) &&
           first.shape(2) == second.shape(2);
}

class Head {
  public:
    Head(int64_t threads, int32_t method) {
        lsu_head* head = nullptr;
        require_ok(lsu_head_create(threads, method, &head));
        head_.reset(head);
    }

    template <typename Score>
    void answer(const Array<const Score, 4>& scores, const Labels& labels, const Table& table,
                const Array<uint8_t, 3>& classes, const Array<int64_t, 3>& counts, const Margin& margin,
                Sides size, Sides canvas, Sides offset, int64_t void_channel, float margin_scale,
                bool packed) {
        require(size.second >= 0 && size.second <= LSU_MAX_EXTENT, lsu_status_text(LSU_BAD_EXTENT));
        const int64_t row_bytes = packed ? (size.second + 3) / 4 * 4 : size.second;
        require(classes.shape(0) == scores.shape(0) && extent(classes.shape(1)) == size.first &&
                    extent(classes.shape(2)) == row_bytes,
                "classes do not fit the batch and the size");
        require(!labels || same_shape(*labels, classes), "labels and classes differ in size");
        require(!margin || same_shape(*margin, classes), "margin and classes differ in size");
        require(!table || table->shape(1) == (scores.shape(1) + 63) / 64,
                "the table's rows do not fit the number of classes");
        require(counts.shape(0) == scores.shape(0) && counts.shape(1) == LSU_COUNTED_LABELS &&
                    (counts.shape(2) == 3 || counts.shape(2) == 4),
                "counts are not [batch, 256, 3] or [batch, 256, 4]");

        lsu_head_input input{};
        input.scores = scores.data();
        input.labels = labels ? labels->data() : nullptr;
        input.table = table ? table->data() : nullptr;
        input.batch = extent(scores.shape(0));
        input.channels = extent(scores.shape(1));
        input.score_height = extent(scores.shape(2));
        input.score_width = extent(scores.shape(3));
        input.table_rows = table ? extent(table->shape(0)) : 0;
        input.height = size.first;
        input.width = size.second;
        input.canvas_height = canvas.first;
        input.canvas_width = canvas.second;
        input.offset_y = offset.first;
        input.offset_x = offset.second;
        input.void_channel = void_channel;
        input.margin_scale = margin_scale;
        input.score_type = sizeof(Score) == sizeof(float) ? LSU_FLOAT32 : LSU_FLOAT16;
        input.packed = packed;
        const lsu_head_output output{classes.data(), counts.data(), margin ? margin->data() : nullptr,
                                     counts.shape(2) == 4};
        const nb::gil_scoped_release released;
        require_ok(lsu_head_run(head_.get(), &input, &output));
    }

  private:
    struct Destroy {
        void operator()(lsu_head* head) const { lsu_head_destroy(head); }
    };
    std::unique_ptr<lsu_head, Destroy> head_;
};

template <typename Score>
void define_answer(nb::class_<Head>& head) {
    head.def("answer", &Head::answer<Score>, "scores"_a.noconvert(), "labels"_a.noconvert().none(),
             "table"_a.noconvert().none(), "classes"_a.noconvert(), "counts"_a.noconvert(),
             "margin"_a.noconvert().none(), nb::kw_only(), "size"_a, "canvas"_a, "offset"_a, "void_channel"_a,
             "margin_scale"_a, "packed"_a = false,
             "Fill classes, counts and margin; lsu.runtime.head says what they mean.");
}

}  // namespace

NB_MODULE(_native, module) {
    module.doc() = "The compiled head, behind lsu.runtime.head.";
    nb::class_<Head> head(module, "Head", "Threads and memory that are kept from call to call.");
    head.def(nb::init<int64_t, int32_t>(), "threads"_a, "method"_a = static_cast<int32_t>(LSU_AUTO));
    define_answer<float>(head);
    define_answer<lsu::Half>(head);
    define_cuda(module);
    define_label_lookup(module);
    module.attr("AUTO") = static_cast<int32_t>(LSU_AUTO);
    module.attr("CELLS") = static_cast<int32_t>(LSU_CELLS);
    module.attr("DENSE") = static_cast<int32_t>(LSU_DENSE);
}
