// The truth that the head is compared with: each pixel by itself, all its classes, nothing kept, and written
// without the library's source.
#ifndef LSU_TESTS_TRUTH_H
#define LSU_TESTS_TRUTH_H

#include <cstdint>
#include <vector>

#include "problem.h"

namespace test {

struct Truth {
    std::vector<uint8_t> classes;  // [batch, height, width], never packed
    std::vector<uint8_t> margin;   // [batch, height, width]
    std::vector<int64_t> counts;   // [batch, 256, 4]
};

Truth truth_of(const Problem& problem);

}  // namespace test

#endif  // LSU_TESTS_TRUTH_H
