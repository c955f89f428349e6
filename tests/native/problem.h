// A call of the head with all its arrays, and what comes back.
#ifndef LSU_TESTS_PROBLEM_H
#define LSU_TESTS_PROBLEM_H

#include <array>
#include <cstdint>
#include <initializer_list>
#include <string>
#include <vector>

#include "lsu/constrained_argmax.h"
#include "memory.h"

namespace test {

struct Sides {
    int64_t height;
    int64_t width;
};

// The arrays may be empty: then the call has none of them.
struct Problem {
    lsu_head_input input{};  // its pointers are set by point()
    Bytes scores;
    Bytes labels;
    Bytes table;
    bool has_labels = false;
    bool has_table = false;
    bool wants_counts = true;
    bool wants_margin = true;
    bool wants_agreement = true;

    int64_t row_bytes() const;
    int64_t map_bytes() const { return input.batch * input.height * row_bytes(); }
    int64_t label_at(int64_t image, int64_t y, int64_t x) const;
    bool allows(int64_t label, int64_t id) const;

    // The input with its pointers.
    lsu_head_input point() const;

    std::string describe() const;
};

struct Answer {
    Bytes classes;
    Bytes counts;
    Bytes margin;
};

// A problem of one image whose scores are these numbers, [channels, height, width], and whose answer is the
// whole canvas.
Problem problem_of(int64_t channels, Sides scores, const std::vector<float>& numbers, Sides size);

// A row of the table per label; labels that are not named allow nothing. Without labels only row 0 is kept.
struct LabelRow {
    uint8_t label;
    std::vector<int64_t> classes;
};
void constrain(Problem& problem, const std::vector<uint8_t>& labels, const std::vector<LabelRow>& rows);

// Runs the call with outputs full of `garbage`. An output that is not wanted stays empty.
lsu_status answer(lsu_head* head, const Problem& problem, uint8_t garbage, Answer& given);

// Runs and compares with the truth, pads included. Says what differs, or is empty.
struct Truth;
std::string difference(lsu_head* head, const Problem& problem, const Truth& truth, uint8_t garbage);

// A head that ends with its scope.
class Head {
  public:
    Head(int64_t threads, int32_t method);
    ~Head() { lsu_head_destroy(head_); }
    Head(const Head&) = delete;
    Head& operator=(const Head&) = delete;
    lsu_head* get() const { return head_; }

  private:
    lsu_head* head_ = nullptr;
};

constexpr std::array<lsu_method, 3> kMethods{LSU_AUTO, LSU_CELLS, LSU_DENSE};
const char* name_of(lsu_method method);

}  // namespace test

#endif  // LSU_TESTS_PROBLEM_H
