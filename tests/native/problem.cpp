#include "problem.h"

#include <algorithm>
#include <cstring>
#include <sstream>
#include <stdexcept>

#include "truth.h"

namespace test {
namespace {

template <typename Element>
Bytes bytes_of(const std::vector<Element>& elements) {
    Bytes bytes(elements.size() * sizeof(Element));
    if (!elements.empty()) std::memcpy(bytes.as<void>(), elements.data(), bytes.size());
    return bytes;
}

std::string where(const char* what, int64_t place, int64_t got, int64_t expected) {
    std::ostringstream text;
    text << what << " at " << place << " is " << got << "; " << expected << " is right";
    return text.str();
}

std::string map_difference(const char* what, const Problem& problem, const Bytes& map,
                           const std::vector<uint8_t>& expected) {
    const int64_t width = problem.input.width;
    const int64_t pitch = problem.row_bytes();
    for (int64_t place = 0; place < problem.map_bytes(); ++place) {
        const int64_t x = place % pitch;
        const int64_t right =
            x < width ? expected[static_cast<size_t>(place / pitch * width + x)] : int64_t{LSU_VOID};
        const int64_t got = map.as<uint8_t>()[place];
        if (got != right) return where(what, place, got, right);
    }
    return "";
}

std::string counts_difference(const Problem& problem, const Bytes& counts, const Truth& truth) {
    const int64_t columns = problem.wants_agreement ? 4 : 3;
    for (int64_t row = 0; row < problem.input.batch * LSU_COUNTED_LABELS; ++row)
        for (int64_t column = 0; column < columns; ++column) {
            const int64_t right = truth.counts[static_cast<size_t>(4 * row + column)];
            const int64_t got = counts.as<int64_t>()[row * columns + column];
            if (got != right) return where("count", row * columns + column, got, right);
        }
    return "";
}

}  // namespace

int64_t Problem::row_bytes() const { return input.packed != 0 ? 4 * ((input.width + 3) / 4) : input.width; }

int64_t Problem::label_at(int64_t image, int64_t y, int64_t x) const {
    return has_labels ? labels.as<uint8_t>()[(image * input.height + y) * row_bytes() + x] : 0;
}

bool Problem::allows(int64_t label, int64_t id) const {
    if (!has_table) return true;
    const uint64_t word = table.as<uint64_t>()[label * ((input.channels + 63) / 64) + id / 64];
    return (word >> (id % 64) & 1) != 0;
}

lsu_head_input Problem::point() const {
    lsu_head_input pointed = input;
    pointed.scores = scores.as<void>();
    pointed.labels = has_labels ? labels.as<uint8_t>() : nullptr;
    pointed.table = has_table ? table.as<uint64_t>() : nullptr;
    return pointed;
}

std::string Problem::describe() const {
    std::ostringstream text;
    text << input.batch << "x" << input.channels << "x" << input.score_height << "x" << input.score_width
         << (input.score_type == LSU_FLOAT16 ? " float16" : " float32") << " on " << input.canvas_height
         << "x" << input.canvas_width << ", window " << input.height << "x" << input.width << " at "
         << input.offset_y << "," << input.offset_x << (has_labels ? ", labels" : "")
         << (has_table ? ", table" : "") << (input.packed != 0 ? ", packed" : "")
         << (wants_margin ? ", margin" : "") << (wants_counts ? ", counts" : "")
         << (wants_agreement ? ", agreement" : "") << ", void channel " << input.void_channel;
    return text.str();
}

Problem problem_of(int64_t channels, Sides scores, const std::vector<float>& numbers, Sides size) {
    Problem problem;
    problem.scores = bytes_of(numbers);
    lsu_head_input& in = problem.input;
    in.batch = 1;
    in.channels = channels;
    in.score_height = scores.height;
    in.score_width = scores.width;
    in.height = in.canvas_height = size.height;
    in.width = in.canvas_width = size.width;
    in.void_channel = LSU_NO_VOID_CHANNEL;
    in.margin_scale = 1.0f;
    return problem;
}

void constrain(Problem& problem, const std::vector<uint8_t>& labels, const std::vector<LabelRow>& rows) {
    const auto words = static_cast<size_t>((problem.input.channels + 63) / 64);
    problem.input.table_rows = labels.empty() ? 1 : LSU_COUNTED_LABELS;
    std::vector<uint64_t> table(static_cast<size_t>(problem.input.table_rows) * words, 0);
    for (const LabelRow& row : rows)
        for (const int64_t id : row.classes)
            table[row.label * words + static_cast<size_t>(id / 64)] |= uint64_t{1} << (id % 64);
    problem.table = bytes_of(table);
    problem.has_table = true;
    problem.labels = bytes_of(labels);
    problem.has_labels = !labels.empty();
}

lsu_status answer(lsu_head* head, const Problem& problem, uint8_t garbage, Answer& given) {
    const auto map = static_cast<size_t>(problem.map_bytes());
    const int64_t columns = problem.wants_agreement ? 4 : 3;
    const auto counts = static_cast<size_t>(8 * problem.input.batch * LSU_COUNTED_LABELS * columns);
    given = {Bytes(map), Bytes(problem.wants_counts ? counts : 0), Bytes(problem.wants_margin ? map : 0)};
    given.classes.fill(garbage);
    given.counts.fill(garbage);
    given.margin.fill(garbage);
    const lsu_head_input input = problem.point();
    const lsu_head_output output{
        given.classes.as<uint8_t>(), problem.wants_counts ? given.counts.as<int64_t>() : nullptr,
        problem.wants_margin ? given.margin.as<uint8_t>() : nullptr, problem.wants_agreement};
    return lsu_head_run(head, &input, &output);
}

std::string difference(lsu_head* head, const Problem& problem, const Truth& truth, uint8_t garbage) {
    Answer given;
    if (const lsu_status status = answer(head, problem, garbage, given); status != LSU_OK)
        return std::string("refused: ") + lsu_status_text(status);
    std::string text = map_difference("class", problem, given.classes, truth.classes);
    if (text.empty() && problem.wants_margin)
        text = map_difference("margin", problem, given.margin, truth.margin);
    if (text.empty() && problem.wants_counts) text = counts_difference(problem, given.counts, truth);
    return text;
}

Head::Head(int64_t threads, int32_t method) {
    if (lsu_head_create(threads, method, &head_) != LSU_OK) throw std::runtime_error("no head");
}

const char* name_of(lsu_method method) {
    return method == LSU_AUTO ? "auto" : method == LSU_CELLS ? "cells" : "dense";
}

}  // namespace test
