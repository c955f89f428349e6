#include "draw.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

namespace test {
namespace {

constexpr int64_t kMostValues = 400000;  // scores that the truth interpolates

enum class Kind { kNoise, kSmooth, kPatches, kTies, kNearTies, kTiny, kSmall, kHuge, kVoids, kHoles };

void draw_sides(Random& random, lsu_head_input& in) {
    double strides[2];
    int64_t sides[2];
    for (int axis = 0; axis < 2; ++axis) {
        const bool far = random.chance(0.1);
        strides[axis] = far ? random.pick({150.0, 700.0})
                            : random.pick({0.3, 0.8, 1.0, 1.7, 2.0, 4.0, 5.3, 8.0, 8.0, 16.0, 37.1});
        sides[axis] = random.between(1, far ? 2 : random.chance(0.25) ? 45 : 9);
    }
    in.score_height = sides[0];
    in.score_width = random.chance(0.1) ? random.between(60, 130) : sides[1];
    const auto canvas = [&](int axis, int64_t side) {
        return std::max<int64_t>(1, std::lround(strides[axis] * static_cast<double>(side)));
    };
    in.canvas_height = canvas(0, in.score_height);
    in.canvas_width = canvas(1, in.score_width);
}

// A window at a corner or an edge of the canvas more often than inside.
void draw_window(Random& random, int64_t canvas, int64_t most, int64_t& size, int64_t& offset) {
    size = random.chance(0.4) ? canvas : random.between(random.chance(0.05) ? 0 : 1, canvas);
    size = std::min(size, most);
    const int64_t room = canvas - size;
    offset = random.chance(0.3) ? 0 : random.chance(0.4) ? room : random.between(0, room);
}

void draw_shape(Random& random, lsu_head_input& in) {
    in.batch = random.chance(0.8) ? 1 : random.between(0, 3);
    in.channels = random.pick<int64_t>({1, 2, 2, 3, 3, 5, 8, 19, 31, 32, 33, 64, 65, 130, 255});
    draw_sides(random, in);
    const int64_t most = kMostValues / in.channels / std::max<int64_t>(in.batch, 1);
    draw_window(random, in.canvas_width, most, in.width, in.offset_x);
    draw_window(random, in.canvas_height, most / std::max<int64_t>(in.width, 1), in.height, in.offset_y);
    in.void_channel = random.chance(0.6) ? int64_t{LSU_NO_VOID_CHANNEL} : random.between(0, in.channels - 1);
    in.margin_scale = random.pick({1.0f, 0.3f, 7.0f, 1e-6f, 3e38f, 0x1p-126f});
    in.score_type = random.chance(0.3) ? LSU_FLOAT16 : LSU_FLOAT32;
    in.packed = random.chance(0.3) ? 1 : 0;
}

// A field that varies slowly, so that whole cells have one winner: a coarse grid of numbers, interpolated.
class Field {
  public:
    Field(Random& random, int64_t height, int64_t width, double spread)
        : rows_(height / 6 + 2), columns_(width / 6 + 2) {
        knots_.resize(static_cast<size_t>(rows_ * columns_));
        for (double& knot : knots_) knot = spread * random.spread();
    }

    double at(int64_t y, int64_t x) const {
        const auto down = static_cast<double>(y % 6) / 6, right = static_cast<double>(x % 6) / 6;
        const double* knot = knots_.data() + y / 6 * columns_ + x / 6;
        return (1 - down) * ((1 - right) * knot[0] + right * knot[1]) +
               down * ((1 - right) * knot[columns_] + right * knot[columns_ + 1]);
    }

  private:
    int64_t rows_;
    int64_t columns_;
    std::vector<double> knots_;
};

double score_of(Random& random, Kind kind, double smooth, bool narrow) {
    constexpr double kInfinity = std::numeric_limits<double>::infinity();
    switch (kind) {
        case Kind::kNoise:
            return 3 * random.spread();
        case Kind::kSmooth:
            return smooth + 0.05 * random.spread();
        case Kind::kPatches:
            return smooth;
        case Kind::kTies:
            return std::round(smooth);
        case Kind::kNearTies:
            return 1 + (narrow ? 0x1p-10 : 0x1p-23) * std::round(smooth);
        case Kind::kTiny:
            return (narrow ? 0x1p-24 : 0x1p-149) * std::round(smooth);
        case Kind::kSmall:  // around the threshold below which leads are not trusted
            return (narrow ? 0x1p-16 : 0x1p-125) * smooth;
        case Kind::kHuge:
            return std::clamp((narrow ? 4e4 : 2e38) * smooth, narrow ? -65504.0 : -3.4028234e38,
                              narrow ? 65504.0 : 3.4028234e38);
        case Kind::kVoids:  // in most of the map no class, or one, has a number
            return smooth > 1.2 ? smooth : std::nan("");
        case Kind::kHoles:
            return random.chance(0.03) ? random.pick({kInfinity, -kInfinity, std::nan("")}) : smooth;
    }
    return 0;
}

uint16_t half_of(double value) {
    const uint16_t sign = std::signbit(value) ? 0x8000 : 0;
    if (std::isnan(value)) return 0x7e00;
    const double size = std::min(std::fabs(value), 65536.0);
    int exponent;
    const double fraction = std::frexp(size, &exponent);  // in 1/2 to 1
    const long bits = exponent < -13 ? std::lrint(std::ldexp(size, 24))
                                     : (exponent + 14L) * 1024 + std::lrint(std::ldexp(fraction, 11)) - 1024;
    return static_cast<uint16_t>(sign | std::min(bits, 0x7c00L));
}

void draw_plane(Random& random, Kind kind, double lead, Problem& problem, int64_t plane) {
    const lsu_head_input& in = problem.input;
    const bool narrow = in.score_type == LSU_FLOAT16;
    const Field field(random, in.score_height, in.score_width, kind == Kind::kHuge ? 1.5 : 4);
    const double level = kind == Kind::kPatches ? std::round(random.spread() * 3) : 0;
    for (int64_t y = 0; y < in.score_height; ++y)
        for (int64_t x = 0; x < in.score_width; ++x) {
            const double smooth = kind == Kind::kPatches && field.at(y, x) > 0.5 ? level + 1 : level;
            const double value =
                lead + score_of(random, kind, kind == Kind::kPatches ? smooth : field.at(y, x), narrow);
            const int64_t at = (plane * in.score_height + y) * in.score_width + x;
            if (narrow)
                problem.scores.as<uint16_t>()[at] = half_of(value);
            else
                problem.scores.as<float>()[at] = static_cast<float>(value);
        }
}

void draw_scores(Random& random, Problem& problem) {
    const lsu_head_input& in = problem.input;
    const int64_t count = in.batch * in.channels * in.score_height * in.score_width;
    problem.scores = Bytes(static_cast<size_t>(count * (in.score_type == LSU_FLOAT16 ? 2 : 4)));
    const auto kind = static_cast<Kind>(random.between(0, static_cast<int64_t>(Kind::kHoles)));
    const bool leads =
        random.chance(0.3) && kind != Kind::kTiny && kind != Kind::kSmall && kind != Kind::kHuge;
    const int64_t leader = random.between(0, in.channels - 1);
    for (int64_t plane = 0; plane < in.batch * in.channels; ++plane)
        draw_plane(random, kind, leads && plane % in.channels == leader ? 5 : 0, problem, plane);
}

void draw_table(Random& random, Problem& problem) {
    lsu_head_input& in = problem.input;
    const int64_t words = (in.channels + 63) / 64;
    in.table_rows = problem.has_labels ? LSU_COUNTED_LABELS : 1;
    problem.has_table = true;
    problem.table = Bytes(static_cast<size_t>(8 * in.table_rows * words));
    problem.table.fill(0);
    for (int64_t row = 0; row < in.table_rows; ++row) {
        const int64_t only = random.chance(0.3) ? random.between(0, in.channels - 1) : -1;
        const double density = random.pick({0.0, 0.1, 0.5, 0.5, 1.0});
        for (int64_t id = 0; id < in.channels; ++id)
            if (only < 0 ? random.chance(density) : id == only)
                problem.table.as<uint64_t>()[row * words + id / 64] |= uint64_t{1} << (id % 64);
    }
}

// One label, rectangles of labels, lone pixels among one label, or noise; pads hold anything.
void draw_labels(Random& random, Problem& problem) {
    const lsu_head_input& in = problem.input;
    std::array<uint8_t, 4> known;
    for (uint8_t& label : known) label = static_cast<uint8_t>(random.between(0, 255));
    problem.has_labels = true;
    problem.labels = Bytes(static_cast<size_t>(problem.map_bytes()));
    const int64_t kind = random.between(0, 3);
    const int64_t tall = random.between(1, 40), wide = random.between(1, 40), turn = random.between(0, 40);
    const auto draw = [&](int64_t y, int64_t x) -> uint8_t {
        if (x >= in.width) return static_cast<uint8_t>(random.word());
        if (kind == 1) return known[static_cast<size_t>(((y + turn) / tall * 3 + (x + turn) / wide) % 4)];
        if (kind == 2) return known[random.chance(0.02) ? 1 : 0];
        return known[static_cast<size_t>(kind == 0 ? 0 : random.between(0, 3))];
    };
    for (int64_t place = 0; place < problem.map_bytes(); ++place)
        problem.labels.as<uint8_t>()[place] = draw(place / problem.row_bytes(), place % problem.row_bytes());
}

void draw_arrays(Random& random, Problem& problem) {
    draw_scores(random, problem);
    const int64_t constraint = random.between(0, 3);
    if (constraint >= 2) draw_labels(random, problem);
    if (constraint >= 1) draw_table(random, problem);
    problem.wants_counts = random.chance(0.8);
    problem.wants_margin = random.chance(0.5);
    problem.wants_agreement = random.chance(0.4);
}

}  // namespace

Problem draw_problem(Random& random) {
    Problem problem;
    draw_shape(random, problem.input);
    draw_arrays(random, problem);
    return problem;
}

Problem draw_sibling(Random& random, const Problem& earlier) {
    Problem problem;
    lsu_head_input& in = problem.input;
    in = earlier.input;
    in.table_rows = 0;
    in.offset_y = random.between(0, in.canvas_height - in.height);
    in.offset_x = random.between(0, in.canvas_width - in.width);
    in.packed = random.chance(0.5) ? 1 : 0;
    in.batch = random.chance(0.5) ? 1 : in.batch;
    draw_arrays(random, problem);
    return problem;
}

}  // namespace test
