#include "crew.h"

#include <unistd.h>

#include <new>
#include <system_error>

namespace lsu {

Crew::Crew() : owner_(getpid()), waiting_(std::make_unique<Waiting>()) {}

Crew::~Crew() {
    if (owner_ != getpid()) {
        // The threads do not run in this process: neither join them, nor destroy what they seem to wait on.
        static_cast<void>(waiting_.release());
        new std::vector<std::thread>(std::move(threads_));
        return;
    }
    {
        const std::lock_guard lock(waiting_->mutex);
        leaving_ = true;
    }
    waiting_->begins.notify_all();
    for (std::thread& thread : threads_) thread.join();
}

int64_t Crew::gather(int64_t members) {
    if (owner_ != getpid()) return 1;
    try {
        while (static_cast<int64_t>(threads_.size()) + 1 < members) {
            const auto member = static_cast<int64_t>(threads_.size()) + 1;
            threads_.emplace_back([this, member, seen = round_] { serve(member, seen); });
        }
    } catch (const std::system_error&) {
        // Those that started, and the caller, do the work.
    }
    return static_cast<int64_t>(threads_.size()) + 1;
}

void Crew::run(const std::function<void(int64_t)>& job) noexcept {
    const bool alone = threads_.empty() || owner_ != getpid();
    if (!alone) {
        const std::lock_guard lock(waiting_->mutex);
        job_ = &job;
        busy_ = static_cast<int64_t>(threads_.size());
        ++round_;
    }
    if (!alone) waiting_->begins.notify_all();
    job(0);
    if (alone) return;
    std::unique_lock lock(waiting_->mutex);
    waiting_->ends.wait(lock, [this] { return busy_ == 0; });
}

void Crew::serve(int64_t member, int64_t seen) {
    for (;;) {
        const std::function<void(int64_t)>* job;
        {
            std::unique_lock lock(waiting_->mutex);
            waiting_->begins.wait(lock, [&] { return leaving_ || round_ != seen; });
            if (leaving_) return;
            seen = round_;
            job = job_;
        }
        (*job)(member);
        const std::lock_guard lock(waiting_->mutex);
        if (--busy_ == 0) waiting_->ends.notify_one();
    }
}

}  // namespace lsu
