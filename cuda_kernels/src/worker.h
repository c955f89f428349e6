// One thread's share of the CPU implementation: blocks of rows, in tiles of columns that stay in the cache.
#ifndef LSU_WORKER_H
#define LSU_WORKER_H

#include <cstdint>

#include "band.h"
#include "dense.h"
#include "plan.h"
#include "samples.h"
#include "tally.h"

namespace lsu {

class Worker {
  public:
    // Allocates all that the thread will need, so that answering cannot fail.
    void prepare(const Plan& plan);

    void answer(const Plan& plan, const Block& block) noexcept;

    Tally& tally() { return tally_; }

  private:
    void answer_tile(const Plan& plan, const Block& block, Span columns);
    void pad_rows(const Plan& plan, const Block& block);

    Samples samples_;
    Dense dense_;
    Band band_;
    Tally tally_;
};

}  // namespace lsu

#endif  // LSU_WORKER_H
