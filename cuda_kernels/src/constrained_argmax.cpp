// The CPU's entry: a head keeps its threads and the memory that it computes in.
#include "lsu/constrained_argmax.h"

#include <algorithm>
#include <atomic>
#include <cfenv>
#include <mutex>
#include <new>
#include <vector>

#include "check.h"
#include "crew.h"
#include "worker.h"

namespace lsu {
namespace {

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

}  // namespace
}  // namespace lsu

struct lsu_head {
  public:
    lsu_head(int64_t threads, int32_t method) : threads_(threads), method_(method) {}

    void run(const lsu_head_input& input, const lsu_head_output& output) {
        const std::lock_guard lock(in_use_);
        const lsu::IeeeArithmetic ieee;  // the weights of the columns are made here
        plan_.prepare(input, output, method_);
        const int64_t members = crew_.gather(std::clamp<int64_t>(plan_.blocks(), 1, threads_));
        workers_.resize(std::max(workers_.size(), static_cast<size_t>(members)));
        for (lsu::Worker& worker : workers_) worker.prepare(plan_);
        if (output.counts != nullptr)
            std::fill_n(output.counts, input.batch * LSU_COUNTED_LABELS * columns(), int64_t{0});
        next_block_ = 0;
        crew_.run([this](int64_t member) { answer_blocks(workers_[static_cast<size_t>(member)]); });
    }

  private:
    int64_t columns() const { return plan_.out.agreement != 0 ? 4 : 3; }

    void answer_blocks(lsu::Worker& worker) {
        const lsu::IeeeArithmetic ieee;
        for (int64_t index = next_block_++; index < plan_.blocks(); index = next_block_++) {
            const lsu::Block block = plan_.block_at(index);
            worker.answer(plan_, block);
            if (plan_.out.counts == nullptr) continue;
            const std::lock_guard lock(counting_);
            worker.tally().move_to(plan_.out.counts + block.image * LSU_COUNTED_LABELS * columns(),
                                   columns());
        }
    }

    int64_t threads_;
    int32_t method_;
    lsu::Plan plan_;
    lsu::Crew crew_;
    std::vector<lsu::Worker> workers_;
    std::atomic<int64_t> next_block_{0};
    std::mutex in_use_;
    std::mutex counting_;
};

lsu_status lsu_head_create(int64_t threads, int32_t method, lsu_head** head) {
    if (head == nullptr) return LSU_NULL_POINTER;
    *head = nullptr;
    if (threads < 1) return LSU_BAD_THREADS;
    if (method != LSU_AUTO && method != LSU_CELLS && method != LSU_DENSE) return LSU_BAD_METHOD;
    try {
        *head = new lsu_head(threads, method);
        return LSU_OK;
    } catch (const std::bad_alloc&) {
        return LSU_NO_MEMORY;
    }
}

lsu_status lsu_head_run(lsu_head* head, const lsu_head_input* input, const lsu_head_output* output) {
    if (head == nullptr || input == nullptr || output == nullptr) return LSU_NULL_POINTER;
    if (const lsu_status status = lsu::check_head(*input, *output, true); status != LSU_OK) return status;
    try {
        head->run(*input, *output);
        return LSU_OK;
    } catch (const std::exception&) {  // no room for the scratch memory
        return LSU_NO_MEMORY;
    }
}

void lsu_head_destroy(lsu_head* head) { delete head; }
