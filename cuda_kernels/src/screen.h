// A first screen of a band's cells, eight at a time: a class whose best corner lies clearly below another's
// worst cannot win in the cell. What passes is looked at more closely (cells.h), and is two or three classes
// as a rule.
#ifndef LSU_SCREEN_H
#define LSU_SCREEN_H

#include <cstdint>
#include <vector>

#include "cells.h"
#include "plan.h"
#include "samples.h"

namespace lsu {

class Screen {
  public:
    // Allocates all that a call will need.
    void prepare(const Plan& plan);

    // Screens the cells between two rows of samples: those of each group of eight that has a wanted one.
    void run(const Plan& plan, const SampleRow& top, const SampleRow& bottom,
             const std::vector<int32_t>& wanted,  // cells, rising
             bool for_margin);

    // The classes that pass at a cell, of those in `row` of the table (null: of all): they lie above the
    // worst corner of one class of the row, or for the margin of two. Or false: the screen says nothing about
    // this set.
    bool passed(int64_t cell, const uint64_t* row, ClassList& classes) const;

    // Over a cell's scanned classes.
    int64_t count_passed(int64_t cell) const;

  private:
    int64_t pitch_ = 0;
    int64_t words_ = 0;
    bool for_margin_ = false;
    bool with_second_ = false;
    std::vector<int32_t> first_;   // [pitch], the class of the highest worst corner, 255 = none
    std::vector<int32_t> second_;  // [pitch], of the next; only made for the margin and with a table
    std::vector<int32_t>
        first_bits_;  // [words, pitch], bit c % 32 of word c / 32: class c passes beside the first
    std::vector<int32_t> second_bits_;  // [words, pitch], beside the second: all of the first's and more
};

}  // namespace lsu

#endif  // LSU_SCREEN_H
