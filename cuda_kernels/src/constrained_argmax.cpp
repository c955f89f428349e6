// The CPU implementation: a dense loop over all allowed classes that never stores enlarged scores.
#include "lsu/constrained_argmax.h"

#include <algorithm>
#include <atomic>
#include <cfenv>
#include <new>
#include <system_error>
#include <thread>
#include <vector>

#include "check.h"
#include "worker.h"

namespace lsu {
namespace {

constexpr int64_t kBlockHeight = 32;

// Some libraries switch a whole thread to flushing subnormals; the rules want IEEE arithmetic, rounding to
// nearest.
class IeeeArithmetic {
  public:
    IeeeArithmetic() noexcept {
        std::fegetenv(&saved_);
        std::fesetenv(FE_DFL_ENV);
    }
    ~IeeeArithmetic() { std::fesetenv(&saved_); }
    IeeeArithmetic(const IeeeArithmetic&) = delete;
    IeeeArithmetic& operator=(const IeeeArithmetic&) = delete;

  private:
    std::fenv_t saved_;
};

class Crew {
  public:
    Crew(const Plan& plan, int64_t threads) : height_(plan.in.height) {
        const int64_t blocks = (height_ + kBlockHeight - 1) / kBlockHeight;
        const auto crew = static_cast<size_t>(std::clamp<int64_t>(blocks, 1, threads));
        workers_.reserve(crew);
        while (workers_.size() < crew) workers_.emplace_back(plan);
        helpers_.reserve(crew - 1);
    }

    void answer() noexcept {
        try {
            for (size_t i = 1; i < workers_.size(); ++i)
                helpers_.emplace_back([this, i] {
                    const IeeeArithmetic ieee;
                    answer_blocks(workers_[i]);
                });
        } catch (const std::exception&) {
            // The machine gives no more threads: those that started, and this one, do the work.
        }
        answer_blocks(workers_[0]);
        for (std::thread& helper : helpers_) helper.join();
    }

    // Overwrites counts: [256, columns].
    void write_counts(int64_t* counts, int64_t columns) const {
        std::fill_n(counts, LSU_COUNTED_LABELS * columns, int64_t{0});
        for (const Worker& worker : workers_)
            for (int64_t label = 0; label < LSU_COUNTED_LABELS; ++label)
                for (int64_t column = 0; column < columns; ++column)
                    counts[label * columns + column] +=
                        worker.counts()[static_cast<size_t>(4 * label + column)];
    }

  private:
    void answer_blocks(Worker& worker) noexcept {
        for (int64_t first = next_row_.fetch_add(kBlockHeight); first < height_;
             first = next_row_.fetch_add(kBlockHeight))
            worker.answer_rows(first, std::min(first + kBlockHeight, height_));
    }

    int64_t height_;
    std::vector<Worker> workers_;
    std::vector<std::thread> helpers_;
    std::atomic<int64_t> next_row_{0};
};

}  // namespace
}  // namespace lsu

lsu_status lsu_constrained_argmax_cpu(const lsu_head_input* input, const lsu_head_output* output,
                                      int64_t threads) {
    if (input == nullptr || output == nullptr) return LSU_NULL_POINTER;
    if (threads < 1) return LSU_BAD_THREADS;
    const lsu_status status = lsu::check_head(*input, *output, true);
    if (status != LSU_OK) return status;
    const lsu::IeeeArithmetic ieee;
    try {
        const lsu::Plan plan(*input, *output);
        lsu::Crew crew(plan, threads);
        crew.answer();
        crew.write_counts(output->counts, output->agreement != 0 ? 4 : 3);
        return LSU_OK;
    } catch (const std::bad_alloc&) {
        return LSU_NO_MEMORY;
    }
}
