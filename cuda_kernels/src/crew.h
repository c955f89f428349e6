// Threads that are kept from call to call.
#ifndef LSU_CREW_H
#define LSU_CREW_H

#include <condition_variable>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

namespace lsu {

class Crew {
  public:
    Crew();
    ~Crew();
    Crew(const Crew&) = delete;
    Crew& operator=(const Crew&) = delete;

    // Starts threads until there are `members`, the caller included, or the machine gives no more.
    // Returns how many there are. In a child of fork() the threads are gone: there is the caller alone.
    int64_t gather(int64_t members);

    // Calls job(member) once on each member, the caller being member 0, and returns when all have.
    void run(const std::function<void(int64_t)>& job) noexcept;

  private:
    struct Waiting {
        std::mutex mutex;
        std::condition_variable begins;
        std::condition_variable ends;
    };

    void serve(int64_t member, int64_t seen);

    int64_t owner_;  // the process that started the threads
    std::vector<std::thread> threads_;
    std::unique_ptr<Waiting> waiting_;
    const std::function<void(int64_t)>* job_ = nullptr;
    int64_t round_ = 0;
    int64_t busy_ = 0;
    bool leaving_ = false;
};

}  // namespace lsu

#endif  // LSU_CREW_H
