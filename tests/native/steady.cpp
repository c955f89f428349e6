// What a head keeps: memory and threads. Nothing is allocated and nothing started once a shape is known, and
// a head that found no memory answers when there is some.
#include <atomic>
#include <chrono>
#include <thread>

#include "draw.h"
#include "expect.h"
#include "problem.h"
#include "truth.h"

extern "C" void* __libc_malloc(size_t size);
extern "C" void* __libc_calloc(size_t count, size_t size);
extern "C" void* __libc_realloc(void* memory, size_t size);
extern "C" void* __libc_memalign(size_t alignment, size_t size);

namespace {

std::atomic<int64_t> allocations{0};
std::atomic<int64_t> until_failure{-1};  // below 0: none

bool fails() {
    ++allocations;
    return until_failure >= 0 && until_failure-- == 0;
}

}  // namespace

// operator new comes here as well.
extern "C" void* malloc(size_t size) { return fails() ? nullptr : __libc_malloc(size); }
extern "C" void* calloc(size_t count, size_t size) { return fails() ? nullptr : __libc_calloc(count, size); }
extern "C" void* realloc(void* memory, size_t size) {
    return fails() ? nullptr : __libc_realloc(memory, size);
}
extern "C" void* aligned_alloc(size_t alignment, size_t size) {
    return fails() ? nullptr : __libc_memalign(alignment, size);
}

namespace test {
namespace {

// A thread that was joined may be listed a moment longer.
bool comes_down_to(int64_t threads) {
    for (int64_t turn = 0; turn < 2000 && count_threads() > threads; ++turn)
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
    return count_threads() == threads;
}

// Rows enough for several blocks, labels and cells of every kind.
Problem large_problem(uint64_t seed) {
    Random random(seed);
    std::vector<float> numbers(5 * 50 * 20);
    for (size_t place = 0; place < numbers.size(); ++place)
        numbers[place] = static_cast<float>(random.spread() + static_cast<double>(place / 300 % 4));
    Problem problem = problem_of(5, {50, 20}, numbers, {400, 160});
    std::vector<uint8_t> labels(400 * 160);
    for (size_t place = 0; place < labels.size(); ++place)
        labels[place] = place < 20000   ? 0
                        : place < 40000 ? uint8_t(place / 13 % 3)
                                        : uint8_t(random.between(0, 2));
    constrain(problem, labels, {{0, {0, 1, 2, 3, 4}}, {1, {1, 3}}, {2, {2}}});
    return problem;
}

void a_known_shape_allocates_nothing() {
    const Problem first = large_problem(1), second = large_problem(2);
    for (const lsu_method method : kMethods)
        for (const int64_t threads : {1, 2}) {
            const Head head(threads, method);
            Bytes classes(400 * 160), margin(400 * 160), counts(8 * 256 * 4);
            const lsu_head_output output{classes.as<uint8_t>(), counts.as<int64_t>(), margin.as<uint8_t>(),
                                         1};
            const lsu_head_input one = first.point(), other = second.point();
            LSU_EXPECT(lsu_head_run(head.get(), &one, &output) == LSU_OK);
            const int64_t before = allocations;
            for (int64_t turn = 0; turn < 3; ++turn) {
                LSU_EXPECT(lsu_head_run(head.get(), &other, &output) == LSU_OK);
                LSU_EXPECT(lsu_head_run(head.get(), &one, &output) == LSU_OK);
            }
            LSU_EXPECT(allocations == before);
        }
}

void threads_start_once_and_end_with_the_head() {
    const Problem problem = large_problem(3);
    const Truth truth = truth_of(problem);
    LSU_EXPECT(count_threads() == 1);
    for (const int64_t threads : {1, 3}) {
        {
            const Head head(threads, LSU_AUTO);
            for (int64_t turn = 0; turn < 3; ++turn) {
                LSU_EXPECT(difference(head.get(), problem, truth, 9).empty());
                LSU_EXPECT(count_threads() == threads);
            }
        }
        LSU_EXPECT(comes_down_to(1));
    }
}

// Until then it has written nothing.
void a_head_that_found_no_memory_answers_later() {
    const Problem problem = large_problem(4);
    const Truth truth = truth_of(problem);
    Bytes classes(400 * 160), margin(400 * 160), counts(8 * 256 * 4);
    Bytes untouched_map(400 * 160), untouched_counts(8 * 256 * 4);
    for (Bytes* bytes : {&untouched_map, &untouched_counts}) bytes->fill(0x5a);
    const lsu_head_input input = problem.point();
    const lsu_head_output output{classes.as<uint8_t>(), counts.as<int64_t>(), margin.as<uint8_t>(), 1};
    for (const int64_t threads : {1, 3}) {
        lsu_status status = LSU_NO_MEMORY;
        for (int64_t known = 0; status == LSU_NO_MEMORY; ++known) {
            const Head head(threads, LSU_AUTO);
            for (Bytes* bytes : {&classes, &margin, &counts}) bytes->fill(0x5a);
            until_failure = known;
            status = lsu_head_run(head.get(), &input, &output);
            const bool reached = until_failure < 0;
            until_failure = -1;
            LSU_EXPECT(status == LSU_NO_MEMORY || status == LSU_OK);
            const bool untouched =
                classes == untouched_map && margin == untouched_map && counts == untouched_counts;
            LSU_EXPECT(untouched == (status == LSU_NO_MEMORY));
            LSU_EXPECT(difference(head.get(), problem, truth, 3).empty());
            if (reached && status == LSU_OK) status = LSU_NO_MEMORY;  // a thread that did not start: go on
        }
    }
}

void no_memory_for_a_head_is_a_status() {
    lsu_head* head = nullptr;
    until_failure = 0;
    const lsu_status status = lsu_head_create(1, LSU_AUTO, &head);
    until_failure = -1;
    LSU_EXPECT(status == LSU_NO_MEMORY && head == nullptr);
}

}  // namespace
}  // namespace test

int main() {
    using namespace test;
    return run_all({
        LSU_CASE(a_known_shape_allocates_nothing),
        LSU_CASE(threads_start_once_and_end_with_the_head),
        LSU_CASE(a_head_that_found_no_memory_answers_later),
        LSU_CASE(no_memory_for_a_head_is_a_status),
    });
}
