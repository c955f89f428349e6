// The fuzz loop: one seed after the other, each with heads and problems of its own, so that any failure comes
// back with `--seed S --count 1`. The same heads answer several shapes in turn: what one leaves behind must
// not reach the next.
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <random>
#include <string>

#include "draw.h"
#include "problem.h"
#include "truth.h"

extern "C" void __sanitizer_set_death_callback(void (*callback)()) __attribute__((weak));

namespace test {
namespace {

struct Options {
    uint64_t seed = 0;
    int64_t count = 0;  // 0: until the time is over
    double seconds = 10;
    int64_t least_threads = 1;
    int64_t most_threads = 3;
};

bool agrees(lsu_head* head, const Problem& problem, const Truth& truth, uint8_t garbage,
            const std::string& who) {
    const std::string text = difference(head, problem, truth, garbage);
    if (text.empty()) return true;
    std::fprintf(stderr, "%s: %s\n  %s\n", who.c_str(), text.c_str(), problem.describe().c_str());
    return false;
}

bool answers_rightly(uint64_t seed, const Options& options) {
    Random random(seed);
    const int64_t threads = random.between(options.least_threads, options.most_threads);
    std::array<std::unique_ptr<Head>, kMethods.size()> heads;
    for (size_t place = 0; place < heads.size(); ++place)
        heads[place] = std::make_unique<Head>(threads, kMethods[place]);
    Problem problem = draw_problem(random);
    for (int64_t left = random.between(1, 3); left > 0; --left) {
        const Truth truth = truth_of(problem);
        const auto garbage = static_cast<uint8_t>(random.word());
        for (size_t place = 0; place < heads.size(); ++place) {
            const std::string who =
                std::string(name_of(kMethods[place])) + ", threads " + std::to_string(threads);
            if (!agrees(heads[place]->get(), problem, truth, garbage, who)) return false;
        }
        problem = random.chance(0.5) ? draw_sibling(random, problem) : draw_problem(random);
    }
    return true;
}

bool read_option(const std::string& name, const char* value, Options& options) {
    if (name == "--seed") return options.seed = std::strtoull(value, nullptr, 0), true;
    if (name == "--count") return options.count = std::strtoll(value, nullptr, 0), true;
    if (name == "--seconds") return options.seconds = std::strtod(value, nullptr), true;
    if (name == "--least-threads") return options.least_threads = std::strtoll(value, nullptr, 0), true;
    if (name == "--most-threads") return options.most_threads = std::strtoll(value, nullptr, 0), true;
    return false;
}

uint64_t seed_in_work = 0;

void say_seed() {
    std::fprintf(stderr, "again with --seed %llu --count 1\n", static_cast<unsigned long long>(seed_in_work));
}

void say_seed_and_end(int) {
    say_seed();
    std::_Exit(1);
}

// A crash ends the program where it stands: it must not take the seed along.
void say_seed_on_crash() {
    if (__sanitizer_set_death_callback != nullptr)
        __sanitizer_set_death_callback(say_seed);
    else
        std::signal(SIGSEGV, say_seed_and_end);
}

int run(const Options& options) {
    using Clock = std::chrono::steady_clock;
    const auto end = Clock::now() + std::chrono::duration<double>(options.seconds);
    std::printf("from seed %llu\n", static_cast<unsigned long long>(options.seed));
    std::fflush(stdout);
    say_seed_on_crash();
    int64_t done = 0;
    for (; options.count != 0 ? done < options.count : Clock::now() < end; ++done) {
        const uint64_t seed = options.seed + static_cast<uint64_t>(done);
        seed_in_work = seed;
        if (answers_rightly(seed, options)) continue;
        say_seed();
        return 1;
    }
    std::printf("%lld seeds\n", static_cast<long long>(done));
    return 0;
}

}  // namespace
}  // namespace test

int main(int count, char** words) {
    test::Options options;
    options.seed = std::random_device()();
    for (int at = 1; at < count; at += 2)
        if (at + 1 == count || !test::read_option(words[at], words[at + 1], options)) {
            std::fprintf(stderr,
                         "%s is not --seed, --count, --seconds, --least-threads or --most-threads N\n",
                         words[at]);
            return 2;
        }
    return test::run(options);
}
