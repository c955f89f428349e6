// Labels are constant over long runs: whole words are held against the value of the run, and the table is
// asked only where a word differs.
#include "label_lookup.h"

#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>

#include <cstring>
#include <stdexcept>
#include <vector>

namespace nb = nanobind;
using namespace nb::literals;

namespace lsu {
namespace {

constexpr size_t kStep = 8;  // pixels that are compared at once
constexpr uint8_t kVoid = 255;

template <typename Id>
bool translate(const Id* ids, size_t count, const uint16_t* table, uint8_t* dense) {
    uint16_t seen = 0;
    Id run[kStep] = {};
    uint16_t answer = table[0];
    size_t k = 0;
    const auto one = [&](size_t at) {
        answer = table[ids[at]];
        seen |= answer;
        dense[at] = answer == kUnknownLabel ? kVoid : static_cast<uint8_t>(answer);
    };
    for (; k + kStep <= count; k += kStep) {
        if (k > 0 && std::memcmp(ids + k, run, sizeof run) == 0) {
            std::memset(dense + k, dense[k - 1], kStep);
            continue;
        }
        for (size_t at = k; at < k + kStep; ++at) one(at);
        for (Id& value : run) value = ids[k + kStep - 1];
    }
    for (; k < count; ++k) one(k);
    return seen < kUnknownLabel;
}

// Colours by open addressing; at most half of the places are taken.
class ColourTable {
  public:
    ColourTable(const uint32_t* colours, const uint8_t* classes, size_t count) {
        while ((size_t{1} << bits_) < 2 * count) ++bits_;
        places_.assign(size_t{1} << bits_, Place{kFree, kUnknownLabel});
        for (size_t k = 0; k < count; ++k) {
            size_t at = start(colours[k]);
            while (places_[at].colour != kFree) at = next(at);
            places_[at] = Place{colours[k], classes[k]};
        }
    }

    uint16_t of(uint32_t colour) const {
        size_t at = start(colour);
        while (places_[at].colour != colour && places_[at].colour != kFree) at = next(at);
        return places_[at].label;
    }

  private:
    static constexpr uint32_t kFree = 0xFFFFFFFF;  // no colour: those have 24 bits
    struct Place {
        uint32_t colour;
        uint16_t label;
    };

    size_t start(uint32_t colour) const { return (colour * 0x9E3779B1U) >> (32 - bits_); }
    size_t next(size_t at) const { return (at + 1) & (places_.size() - 1); }

    unsigned bits_ = 4;
    std::vector<Place> places_;
};

}  // namespace

bool dense_from_ids(const uint8_t* ids, size_t count, const uint16_t* table, uint8_t* dense) {
    return translate(ids, count, table, dense);
}

bool dense_from_ids(const uint16_t* ids, size_t count, const uint16_t* table, uint8_t* dense) {
    return translate(ids, count, table, dense);
}

bool dense_from_colours(const uint8_t* pixels, size_t count, const uint32_t* colours, const uint8_t* classes,
                        size_t colour_count, uint8_t* dense) {
    const ColourTable table(colours, classes, colour_count);
    uint16_t seen = 0;
    uint8_t run[3 * kStep] = {};
    uint32_t last = 0xFFFFFFFF;
    uint8_t answer = kVoid;
    const auto one = [&](size_t at) {
        const uint8_t* pixel = pixels + 3 * at;
        const uint32_t colour = static_cast<uint32_t>(pixel[0]) | static_cast<uint32_t>(pixel[1]) << 8 |
                                static_cast<uint32_t>(pixel[2]) << 16;
        if (colour != last) {
            const uint16_t label = table.of(colour);
            seen |= label;
            answer = label == kUnknownLabel ? kVoid : static_cast<uint8_t>(label);
            last = colour;
        }
        dense[at] = answer;
    };
    size_t k = 0;
    for (; k + kStep <= count; k += kStep) {
        if (k > 0 && std::memcmp(pixels + 3 * k, run, sizeof run) == 0) {
            std::memset(dense + k, answer, kStep);
            continue;
        }
        for (size_t at = k; at < k + kStep; ++at) one(at);
        for (size_t at = 0; at < kStep; ++at) std::memcpy(run + 3 * at, pixels + 3 * (k + kStep - 1), 3);
    }
    for (; k < count; ++k) one(k);
    return seen < kUnknownLabel;
}

}  // namespace lsu

namespace {

template <typename Element, size_t Dimensions>
using Array = nb::ndarray<Element, nb::numpy, nb::ndim<Dimensions>, nb::c_contig, nb::device::cpu>;
using Dense = Array<uint8_t, 2>;

void require(bool holds, const char* sentence) {
    if (!holds) throw std::invalid_argument(sentence);
}

template <typename Id>
bool dense_from_ids(const Array<const Id, 2>& values, const Array<const uint16_t, 1>& table,
                    const Dense& dense) {
    require(values.shape(0) == dense.shape(0) && values.shape(1) == dense.shape(1),
            "values and dense differ in size");
    require(table.shape(0) == 65536, "the table has not 65536 entries");
    const nb::gil_scoped_release released;
    return lsu::dense_from_ids(values.data(), values.size(), table.data(), dense.data());
}

bool dense_from_colours(const Array<const uint8_t, 3>& values, const Array<const uint32_t, 1>& colours,
                        const Array<const uint8_t, 1>& classes, const Dense& dense) {
    require(values.shape(0) == dense.shape(0) && values.shape(1) == dense.shape(1) && values.shape(2) == 3,
            "values and dense differ in size");
    require(colours.shape(0) == classes.shape(0), "colours and classes differ in number");
    const nb::gil_scoped_release released;
    return lsu::dense_from_colours(values.data(), dense.size(), colours.data(), classes.data(),
                                   colours.size(), dense.data());
}

}  // namespace

void define_label_lookup(nb::module_& module) {
    module.def("dense_from_ids", &dense_from_ids<uint8_t>, "values"_a.noconvert(), "table"_a.noconvert(),
               "dense"_a.noconvert());
    module.def(
        "dense_from_ids", &dense_from_ids<uint16_t>, "values"_a.noconvert(), "table"_a.noconvert(),
        "dense"_a.noconvert(),
        "Fill dense by the table; whether every value is known. see lsu.runtime.datasets.label_image.");
    module.def("dense_from_colours", &dense_from_colours, "values"_a.noconvert(), "colours"_a.noconvert(),
               "classes"_a.noconvert(), "dense"_a.noconvert(),
               "Fill dense by colours 0xRRGGBB of BGR values; whether every colour is known.");
}
