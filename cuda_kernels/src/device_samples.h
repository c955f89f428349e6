// How the device reads scores: the coordinates of a pixel, the four samples around it, their interpolation.
#ifndef LSU_DEVICE_SAMPLES_H
#define LSU_DEVICE_SAMPLES_H

#include "device_block.h"

namespace lsu::device {

// A tap with what a thread needs of it; the weight of the lower sample is 1 minus that of the upper.
struct NarrowTap {
    int lower;
    float upper_weight;
};

// tap_at() with a division of 32 bits where it suffices: 64 bits take the device several times as long.
LSU_HOST_DEVICE inline NarrowTap narrow_tap(int64_t x, int64_t source, int64_t target) {
    const int64_t numerator = (2 * x + 1) * source - target;
    if (numerator < 0) return {0, 0.0f};
    if (numerator > UINT32_MAX) {
        const Tap tap = tap_at(x, source, target);
        return {static_cast<int>(tap.lower), tap.upper_weight};
    }
    const auto divisor = static_cast<uint32_t>(2 * target);  // at most 2^24
    const uint32_t lower = static_cast<uint32_t>(numerator) / divisor;
    const uint32_t rest = static_cast<uint32_t>(numerator) - lower * divisor;
    return {static_cast<int>(lower), static_cast<float>(rest) / static_cast<float>(divisor)};
}

LSU_HOST_DEVICE inline NarrowTap column_tap(const DeviceCall& call, int x) {
    return narrow_tap(x + call.in.offset_x, call.in.score_width, call.in.canvas_width);
}

LSU_HOST_DEVICE inline NarrowTap row_tap(const DeviceCall& call, int y) {
    return narrow_tap(y + call.in.offset_y, call.in.score_height, call.in.canvas_height);
}

// The sample of class 0; that of class c lies c planes further on.
template <typename Score>
LSU_HOST_DEVICE inline const Score* sample_at(const DeviceCall& call, int image, int y, int x) {
    return static_cast<const Score*>(call.in.scores) + image * call.in.channels * call.plan.plane +
           y * call.in.score_width + x;
}

// The four samples around a pixel, or at the corners of a cell.
template <typename Score>
class Corners {
  public:
    LSU_HOST_DEVICE Corners(const DeviceCall& call, int image, int y, int x)
        : first_(sample_at<Score>(call, image, y, x)),
          plane_(call.plan.plane),
          right_(x + 1 < call.in.score_width ? 1 : 0),
          down_(y + 1 < call.in.score_height ? static_cast<int>(call.in.score_width) : 0) {}

    // Above left, above right, below left, below right.
    LSU_HOST_DEVICE void read(int id, float (&values)[4]) const {
        const Score* corner = first_ + id * plane_;
        values[0] = read_score(load(corner));
        values[1] = read_score(load(corner + right_));
        corner += down_;
        values[2] = read_score(load(corner));
        values[3] = read_score(load(corner + right_));
    }

  private:
    const Score* first_;
    int64_t plane_;
    int right_;
    int down_;
};

// Horizontal first, then vertical.
LSU_HOST_DEVICE inline float interpolate(const float (&values)[4], float x_weight, float y_weight) {
    const float above = mix(1.0f - x_weight, values[0], x_weight, values[1]);
    const float below = mix(1.0f - x_weight, values[2], x_weight, values[3]);
    return mix(1.0f - y_weight, above, y_weight, below);
}

// The scores at one pixel.
template <typename Score>
struct Neighbours {
    Corners<Score> corners;
    float x_weight;  // of the right samples
    float y_weight;  // of the lower samples

    LSU_HOST_DEVICE float score(int id) const {
        float values[4];
        corners.read(id, values);
        return interpolate(values, x_weight, y_weight);
    }
};

}  // namespace lsu::device

#endif  // LSU_DEVICE_SAMPLES_H
