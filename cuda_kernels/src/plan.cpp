#include "plan.h"

namespace lsu {
namespace {

constexpr int64_t kBlockRows = 32;     // of the answer, where cells are not looked at
constexpr int64_t kBlockSamples = 16;  // rows of cells otherwise: the last is read again by the next block
constexpr int64_t kLeastCellArea = 4;  // pixels; below, looking at cells costs more than it saves

void append(ClassList& list, int64_t id) {
    list.ids[static_cast<size_t>(list.count++)] = static_cast<uint8_t>(id);
}

void read_row(const uint64_t* row,  // [(channels + 63) / 64]
              int64_t channels, ClassList& list) {
    list.count = 0;
    for (int64_t id = 0; id < channels; ++id)
        if (((row[id / 64] >> (id % 64)) & 1u) != 0) append(list, id);
}

}  // namespace

void Plan::prepare(const lsu_head_input& input, const lsu_head_output& output, int32_t method) {
    const bool same_columns = columns_are_ready_ && in.width == input.width &&
                              in.score_width == input.score_width && in.canvas_width == input.canvas_width &&
                              in.offset_x == input.offset_x;
    in = input;
    out = output;
    columns_are_ready_ = same_columns;
    if (!same_columns) prepare_columns();
    columns_are_ready_ = true;
    prepare_classes();
    choose_method(method);
}

void Plan::prepare_columns() {
    const auto padded = static_cast<size_t>(in.width + kLanes);
    columns.lower.resize(padded);
    columns.upper.resize(padded);
    columns.lower_weight.resize(padded);
    columns.upper_weight.resize(padded);
    for (size_t x = 0; x < static_cast<size_t>(in.width); ++x) {
        const int64_t on_canvas = static_cast<int64_t>(x) + in.offset_x;
        const Tap tap = tap_at(on_canvas, in.score_width, in.canvas_width);
        columns.lower[x] = static_cast<int32_t>(tap.lower);
        columns.upper[x] = static_cast<int32_t>(tap.upper);
        columns.lower_weight[x] = tap.lower_weight;
        columns.upper_weight[x] = tap.upper_weight;
    }
}

void Plan::prepare_classes() {
    every_class.count = 0;
    for (int64_t id = 0; id < in.channels; ++id) append(every_class, id);
    constrained_.resize(static_cast<size_t>(in.table_rows));
    std::array<bool, LSU_MAX_CHANNELS> wanted{};
    for (int64_t row = 0; row < in.table_rows; ++row) {
        ClassList& list = constrained_[static_cast<size_t>(row)];
        read_row(in.table + row * words(), in.channels, list);
        for (int64_t place = 0; list.count > 1 && place < list.count; ++place)
            wanted[list.ids[static_cast<size_t>(place)]] = true;
    }
    const bool all = in.table == nullptr || out.agreement != 0;
    scanned.count = 0;
    for (int64_t id = 0; id < in.channels; ++id)
        if (all || wanted[static_cast<size_t>(id)]) append(scanned, id);
}

void Plan::choose_method(int32_t method) {
    const bool enlarges =
        in.canvas_height >= in.score_height && in.canvas_width >= in.score_width &&
        in.canvas_height * in.canvas_width >= kLeastCellArea * in.score_height * in.score_width;
    always_cells = method == LSU_CELLS;
    cells = always_cells || (method == LSU_AUTO && enlarges);
    const int64_t tile_width = std::min(in.width, kTileWidth);
    tile_samples =
        in.width == 0 ? 0 : std::min(in.score_width, (tile_width * in.score_width) / in.canvas_width + 3);
    if (in.height == 0 || in.width == 0) {
        blocks_per_image_ = 0;
    } else if (cells) {
        first_sample_ = tap_at(in.offset_y, in.score_height, in.canvas_height).lower;
        const int64_t last = tap_at(in.offset_y + in.height - 1, in.score_height, in.canvas_height).lower;
        blocks_per_image_ = (last - first_sample_) / kBlockSamples + 1;
    } else {
        blocks_per_image_ = (in.height + kBlockRows - 1) / kBlockRows;
    }
}

Block Plan::block_at(int64_t index) const {
    const int64_t image = index / blocks_per_image_;
    const int64_t place = index % blocks_per_image_;
    if (!cells) return {image, {place * kBlockRows, std::min((place + 1) * kBlockRows, in.height)}};
    const int64_t sample = first_sample_ + place * kBlockSamples;
    return {image, {first_row(sample), first_row(sample + kBlockSamples)}};
}

int64_t Plan::tile_end(int64_t begin) const {
    const int64_t end = std::min(begin + kUsualTileWidth, in.width);
    if (!cells || end == in.width) return end;
    const int64_t sample = columns.lower[static_cast<size_t>(end)];
    const int64_t cell = first_column(sample) == end ? end : first_column(sample + 1);
    return cell - begin <= kTileWidth ? cell : end;
}

// Solves tap_at for x: the least x with (2x + 1) * source - target >= sample * 2 * target, on the window.
int64_t Plan::cell_begin(int64_t sample, int64_t source, int64_t target, int64_t offset, int64_t size) {
    if (sample <= 0) return 0;
    if (sample >= source) return size;
    const int64_t numerator = (2 * sample + 1) * target - source;
    const int64_t on_canvas = numerator <= 0 ? 0 : (numerator + 2 * source - 1) / (2 * source);
    return std::clamp<int64_t>(on_canvas - offset, 0, size);
}

}  // namespace lsu
