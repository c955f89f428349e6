// The dense loop's passes over one row of a tile: what takes nearly all of its time.
#ifndef LSU_DENSE_LOOPS_H
#define LSU_DENSE_LOOPS_H

#include <cstdint>

#include "plan.h"

namespace lsu {

// One class's scores along the two rows of samples around a row of the answer.
struct RowPair {
    const float* upper_row;  // [count]
    const float* lower_row;  // [count]
    float upper_row_weight;
    float lower_row_weight;
};

// Classes are offered in rising order. `best` is no_score() and `leader` LSU_VOID before the first.
void offer_class(const RowPair& rows, int32_t id, int64_t count,
                 float* best,       // [count]
                 int32_t* leader);  // [count]

// Goes before offer_class: it needs the best of the classes before this one.
void offer_second(const RowPair& rows, int64_t count,
                  const float* best,  // [count]
                  float* second);     // [count]

// Offers the class where the bit id % 32 of a pixel's word is set. All arrays, the two rows included, are
// [count + kLanes].
void offer_class_masked(const RowPair& rows, int32_t id, int64_t count, const int32_t* words, float* best,
                        int32_t* leader);
void offer_with_second_masked(const RowPair& rows, int32_t id, int64_t count, const int32_t* words,
                              float* best, float* second, int32_t* leader);

// Interpolates a row of samples, which begins at sample `first`, at the columns of `run`.
void stretch_row(const float* source, const Columns& columns, Span run, int64_t first,
                 float* wide);  // [run]

// Returns the number of void pixels.
int64_t write_classes(const int32_t* leader,  // [count]
                      int64_t count, int64_t void_channel,
                      uint8_t* classes);  // [count]

void write_margin(const float* best,    // [count]
                  const float* second,  // [count]
                  int64_t count, float scale,
                  const uint8_t* classes,  // [count]
                  uint8_t* margin);        // [count]

}  // namespace lsu

#endif  // LSU_DENSE_LOOPS_H
