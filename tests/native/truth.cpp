#include "truth.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace test {
namespace {

struct Neighbours {
    int64_t first;
    int64_t second;
    float first_weight;
    float second_weight;
};

// Half-pixel centres. The quotient of two numbers below 2^25 rounds to the same float32 through double.
Neighbours neighbours_of(int64_t place, int64_t samples, int64_t pixels) {
    const int64_t position = std::max<int64_t>((2 * place + 1) * samples - pixels, 0);  // in 1 / (2 * pixels)
    const int64_t first = position / (2 * pixels);
    const auto rest = static_cast<double>(position - first * 2 * pixels);
    const auto weight = static_cast<float>(rest / static_cast<double>(2 * pixels));
    return {first, std::min(first + 1, samples - 1), 1.0f - weight, weight};
}

float from_half(uint16_t bits) {
    const int exponent = bits >> 10 & 31;
    const int fraction = bits & 1023;
    if (exponent == 31) return std::numeric_limits<float>::quiet_NaN();
    const float size = exponent == 0 ? std::ldexp(static_cast<float>(fraction), -24)
                                     : std::ldexp(static_cast<float>(1024 + fraction), exponent - 25);
    return bits >> 15 != 0 ? -size : size;
}

float sample_at(const Problem& problem, int64_t plane, int64_t y, int64_t x) {
    const lsu_head_input& in = problem.input;
    const int64_t place = (plane * in.score_height + y) * in.score_width + x;
    const float value = in.score_type == LSU_FLOAT16 ? from_half(problem.scores.as<uint16_t>()[place])
                                                     : problem.scores.as<float>()[place];
    return std::isfinite(value) ? value : std::numeric_limits<float>::quiet_NaN();
}

float value_at(const Problem& problem, int64_t plane, const Neighbours& rows, const Neighbours& columns) {
    float along[2];
    for (int side = 0; side < 2; ++side) {
        const int64_t y = side == 0 ? rows.first : rows.second;
        along[side] = columns.first_weight * sample_at(problem, plane, y, columns.first) +
                      columns.second_weight * sample_at(problem, plane, y, columns.second);
    }
    return rows.first_weight * along[0] + rows.second_weight * along[1];
}

struct Ranking {
    int64_t best = -1;
    int64_t second = -1;
};

// Over the classes that are members, those with a number for a score.
Ranking rank(const std::vector<float>& values, const std::vector<bool>& members) {
    Ranking ranking;
    for (int64_t turn = 0; turn < 2; ++turn) {
        int64_t found = -1;
        for (int64_t id = 0; id < static_cast<int64_t>(values.size()); ++id) {
            const auto at = static_cast<size_t>(id);
            if (!members[at] || std::isnan(values[at]) || (turn == 1 && id == ranking.best)) continue;
            if (found < 0 || values[at] > values[static_cast<size_t>(found)]) found = id;
        }
        (turn == 0 ? ranking.best : ranking.second) = found;
    }
    return ranking;
}

uint8_t byte_of(int64_t id, int64_t void_channel) {
    return id < 0 || id == void_channel ? uint8_t{255} : static_cast<uint8_t>(id);
}

uint8_t margin_of(const std::vector<float>& values, const Ranking& ranking, float scale) {
    if (ranking.second < 0) return 255;
    const float lead =
        values[static_cast<size_t>(ranking.best)] - values[static_cast<size_t>(ranking.second)];
    const float share = std::min(lead / scale, 1.0f);
    return static_cast<uint8_t>(std::lrint(255.0f * share));  // half to even
}

}  // namespace

Truth truth_of(const Problem& problem) {
    const lsu_head_input& in = problem.input;
    const auto pixels = static_cast<size_t>(in.batch * in.height * in.width);
    Truth truth{std::vector<uint8_t>(pixels), std::vector<uint8_t>(pixels),
                std::vector<int64_t>(static_cast<size_t>(in.batch * LSU_COUNTED_LABELS * 4))};
    const auto channels = static_cast<size_t>(in.channels);
    std::vector<float> values(channels);
    std::vector<bool> allowed(channels);
    const std::vector<bool> all(channels, true);
    for (size_t pixel = 0; pixel < pixels; ++pixel) {
        const auto place = static_cast<int64_t>(pixel);
        const int64_t x = place % in.width, y = place / in.width % in.height;
        const int64_t image = place / in.width / in.height;
        const Neighbours rows = neighbours_of(y + in.offset_y, in.score_height, in.canvas_height);
        const Neighbours columns = neighbours_of(x + in.offset_x, in.score_width, in.canvas_width);
        const int64_t label = problem.label_at(image, y, x);
        for (size_t id = 0; id < channels; ++id) {
            values[id] = value_at(problem, image * in.channels + static_cast<int64_t>(id), rows, columns);
            allowed[id] = problem.allows(label, static_cast<int64_t>(id));
        }
        const int64_t members = std::count(allowed.begin(), allowed.end(), true);
        const int64_t forced = std::find(allowed.begin(), allowed.end(), true) - allowed.begin();
        const Ranking ranking = members == 1 ? Ranking{forced, -1} : rank(values, allowed);
        const uint8_t answer = byte_of(ranking.best, in.void_channel);
        truth.classes[pixel] = answer;
        truth.margin[pixel] = answer == 255 ? uint8_t{0} : margin_of(values, ranking, in.margin_scale);
        int64_t* counts = truth.counts.data() + (image * LSU_COUNTED_LABELS + label) * 4;
        ++counts[answer == 255 ? 2 : members == 1 ? 0 : 1];
        counts[3] += answer == byte_of(rank(values, all).best, in.void_channel);
    }
    return truth;
}

}  // namespace test
