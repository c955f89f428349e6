// Problems drawn from a seed.
#ifndef LSU_TESTS_DRAW_H
#define LSU_TESTS_DRAW_H

#include <cstdint>
#include <initializer_list>
#include <random>

#include "problem.h"

namespace test {

class Random {
  public:
    explicit Random(uint64_t seed) : bits_(seed) {}

    uint64_t word() { return bits_(); }
    int64_t between(int64_t low, int64_t high) {  // both included
        return low + static_cast<int64_t>(bits_() % static_cast<uint64_t>(high - low + 1));
    }
    double unit() { return static_cast<double>(bits_() >> 11) * 0x1p-53; }
    double spread() { return unit() + unit() + unit() - 1.5; }
    bool chance(double probability) { return unit() < probability; }
    template <typename Value>
    Value pick(std::initializer_list<Value> values) {
        return values.begin()[between(0, static_cast<int64_t>(values.size()) - 1)];
    }

  private:
    std::mt19937_64 bits_;
};

// Small enough for the slow truth, and of every kind that the head tells apart.
Problem draw_problem(Random& random);

// Like an earlier one but for its window, its kind of answer or its batch.
Problem draw_sibling(Random& random, const Problem& earlier);

}  // namespace test

#endif  // LSU_TESTS_DRAW_H
