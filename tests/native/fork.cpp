// A child of fork() has the parent's heads but not their threads: it answers alone, makes heads of its own
// and destroys both.
#include <sys/wait.h>
#include <unistd.h>

#include "draw.h"
#include "expect.h"
#include "problem.h"
#include "truth.h"

namespace test {
namespace {

Problem tall_problem() {
    Random random(5);
    std::vector<float> numbers(3 * 50 * 6);
    for (float& number : numbers) number = static_cast<float>(random.spread());
    return problem_of(3, {50, 6}, numbers, {400, 48});
}

[[noreturn]] void act_as_child(lsu_head* inherited, const Problem& problem, const Truth& truth) {
    alarm(20);  // waiting for threads that are not there would be for ever
    LSU_EXPECT(difference(inherited, problem, truth, 1).empty());
    LSU_EXPECT(difference(inherited, problem, truth, 2).empty());
    LSU_EXPECT(count_threads() == 1);
    {
        const Head own(3, LSU_AUTO);
        LSU_EXPECT(difference(own.get(), problem, truth, 3).empty());
    }
    lsu_head_destroy(inherited);
    std::_Exit(0);
}

void a_child_uses_and_destroys_the_parents_head(int64_t threads, bool has_run) {
    const Problem problem = tall_problem();
    const Truth truth = truth_of(problem);
    const Head head(threads, LSU_AUTO);
    if (has_run) LSU_EXPECT(difference(head.get(), problem, truth, 4).empty());
    usleep(50000);  // until the threads wait for work
    const pid_t child = fork();
    LSU_EXPECT(child >= 0);
    if (child == 0) act_as_child(head.get(), problem, truth);
    int status = 0;
    LSU_EXPECT(waitpid(child, &status, 0) == child);
    LSU_EXPECT(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    LSU_EXPECT(difference(head.get(), problem, truth, 5).empty());
}

void without_threads() { a_child_uses_and_destroys_the_parents_head(1, true); }
void before_the_first_call() { a_child_uses_and_destroys_the_parents_head(3, false); }
void with_threads_that_wait() { a_child_uses_and_destroys_the_parents_head(3, true); }

}  // namespace
}  // namespace test

int main() {
    using namespace test;
    return run_all(
        {LSU_CASE(without_threads), LSU_CASE(before_the_first_call), LSU_CASE(with_threads_that_wait)});
}
