// The Python door to the head: it checks that the arrays fit one another and passes pointers on. No
// arithmetic here.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/pair.h>

#include <cstdint>
#include <optional>
#include <stdexcept>
#include <utility>

#include "lsu/constrained_argmax.h"

namespace nb = nanobind;
using namespace nb::literals;

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
using Labels = std::optional<Array<const uint8_t, 2>>;
using Table = std::optional<Array<const uint64_t, 2>>;
using Margin = std::optional<Array<uint8_t, 2>>;
using Sides = std::pair<int64_t, int64_t>;  // (y, x)

int64_t extent(size_t value) { return static_cast<int64_t>(value); }

void require(bool holds, const char* sentence) {
    if (!holds) throw std::invalid_argument(sentence);
}

template <typename First, typename Second>
bool same_size(const First& first, const Second& second) {
    return first.shape(0) == second.shape(0) && first.shape(1) == second.shape(1);
}

template <typename Score>
void constrained_argmax(const Array<const Score, 3>& scores, const Labels& labels, const Table& table,
                        const Array<uint8_t, 2>& classes, const Array<int64_t, 2>& counts,
                        const Margin& margin, Sides canvas, Sides offset, int64_t void_channel,
                        float margin_scale, int64_t threads) {
    const size_t words = (scores.shape(0) + 63) / 64;
    require(!labels || same_size(*labels, classes), "labels and classes differ in size");
    require(!margin || same_size(*margin, classes), "margin and classes differ in size");
    require(!table || table->shape(1) == words, "the table's rows do not fit the number of classes");
    require(counts.shape(0) == LSU_COUNTED_LABELS && (counts.shape(1) == 3 || counts.shape(1) == 4),
            "counts are not [256, 3] or [256, 4]");

    lsu_head_input input{};
    input.scores = scores.data();
    input.labels = labels ? labels->data() : nullptr;
    input.table = table ? table->data() : nullptr;
    input.channels = extent(scores.shape(0));
    input.score_height = extent(scores.shape(1));
    input.score_width = extent(scores.shape(2));
    input.table_rows = table ? extent(table->shape(0)) : 0;
    input.height = extent(classes.shape(0));
    input.width = extent(classes.shape(1));
    input.canvas_height = canvas.first;
    input.canvas_width = canvas.second;
    input.offset_y = offset.first;
    input.offset_x = offset.second;
    input.void_channel = void_channel;
    input.margin_scale = margin_scale;
    input.score_type = sizeof(Score) == sizeof(float) ? LSU_FLOAT32 : LSU_FLOAT16;
    const lsu_head_output output{classes.data(), counts.data(), margin ? margin->data() : nullptr,
                                 counts.shape(1) == 4};

    lsu_status status = LSU_OK;
    {
        const nb::gil_scoped_release released;
        status = lsu_constrained_argmax_cpu(&input, &output, threads);
    }
    if (status == LSU_NO_MEMORY) throw std::bad_alloc();
    require(status == LSU_OK, lsu_status_text(status));
}

template <typename Score>
void define(nb::module_& module) {
    module.def("constrained_argmax", &constrained_argmax<Score>, "scores"_a.noconvert(),
               "labels"_a.noconvert().none(), "table"_a.noconvert().none(), "classes"_a.noconvert(),
               "counts"_a.noconvert(), "margin"_a.noconvert().none(), nb::kw_only(), "canvas"_a, "offset"_a,
               "void_channel"_a, "margin_scale"_a, "threads"_a,
               "Fill classes, counts and margin; lsu.runtime.head says what they mean.");
}

}  // namespace

NB_MODULE(_native, module) {
    module.doc() = "The compiled head, behind lsu.runtime.head.";
    define<float>(module);
    define<lsu::Half>(module);
}
