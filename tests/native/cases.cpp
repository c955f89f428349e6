// Fixed cases: tables by hand, then the edges of shapes and memory, all against the truth as well.
#include <cfenv>
#include <cmath>
#include <limits>
#include <string>
#include <thread>

#include "draw.h"
#include "expect.h"
#include "problem.h"
#include "truth.h"

namespace test {
namespace {

constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();
constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr float kUnit = std::numeric_limits<float>::denorm_min();  // 2^-149

void expect_truth(const Problem& problem) {
    const Truth truth = truth_of(problem);
    for (const lsu_method method : kMethods)
        for (int64_t threads = 1; threads <= 3; ++threads) {
            const Head head(threads, method);
            const std::string text = difference(head.get(), problem, truth, 0x5a);
            if (!text.empty())
                std::fprintf(stderr, "%s, threads %d: %s\n  %s\n", name_of(method), static_cast<int>(threads),
                             text.c_str(), problem.describe().c_str());
            LSU_EXPECT(text.empty());
        }
}

void expect_classes(const Problem& problem, const std::vector<uint8_t>& classes) {
    LSU_EXPECT(truth_of(problem).classes == classes);
    expect_truth(problem);
}

void expect_everywhere(const Problem& problem, uint8_t id) {
    const auto pixels = static_cast<size_t>(problem.input.height * problem.input.width);
    expect_classes(problem, std::vector<uint8_t>(pixels, id));
}

void the_best_class_wins() {
    expect_everywhere(problem_of(3, {1, 1}, {-3, -2, -5}, {8, 8}), 1);
    expect_classes(problem_of(2, {1, 2}, {0, 1, 0.5f, 0.5f}, {1, 4}), {1, 1, 0, 0});
}

void ties_go_to_the_lowest_class() {
    expect_everywhere(problem_of(3, {2, 2}, std::vector<float>(12, 7.0f), {16, 16}), 0);
    expect_everywhere(problem_of(2, {1, 1}, {-0.0f, 0.0f}, {9, 9}), 0);
}

// Halved twice, 3 and 4 units of the smallest number round to the same: nobody leads by so little.
void a_lead_that_rounding_eats_does_not_win() {
    const Problem problem = problem_of(
        2, {2, 2}, {3 * kUnit, 3 * kUnit, 3 * kUnit, 3 * kUnit, 4 * kUnit, 4 * kUnit, 4 * kUnit, 4 * kUnit},
        {33, 33});
    const std::vector<uint8_t> classes = truth_of(problem).classes;
    LSU_EXPECT(classes[16 * 33 + 16] == 0 && classes[0] == 1);
    expect_truth(problem);
    const float next = std::nextafter(1.0f, 2.0f);
    for (const int64_t side : {5, 11, 37, 64, 333}) {
        expect_truth(problem_of(2, {2, 2}, {1, 1, 1, 1, next, next, next, next}, {side, side}));
        expect_truth(
            problem_of(3, {2, 2}, {1, next, 1, 1, next, next, 1, next, next, 1, next, 1}, {side, side}));
    }
}

void what_is_not_finite_cannot_win() {
    for (const float hole : {kNaN, kInfinity, -kInfinity}) {
        expect_classes(problem_of(2, {1, 4}, {9, hole, 9, 9, 1, 1, 1, 1}, {1, 4}), {1, 1, 0, 0});
        expect_everywhere(problem_of(2, {1, 1}, {hole, hole}, {8, 8}), LSU_VOID);
        Problem problem = problem_of(2, {1, 1}, {hole, 9}, {8, 8});
        constrain(problem, {}, {{0, {0}}});
        expect_everywhere(problem, 0);
    }
}

void the_largest_numbers_do_not_overflow() {
    constexpr float kLargest = std::numeric_limits<float>::max();
    expect_everywhere(
        problem_of(2, {2, 2}, {-kLargest, -kLargest, -kLargest, -kLargest, kNaN, kNaN, kNaN, kNaN}, {61, 97}),
        0);
    Problem problem = problem_of(2, {1, 1}, {-kLargest, kLargest}, {8, 8});
    problem.input.margin_scale = kLargest;
    LSU_EXPECT(truth_of(problem).margin[0] == 255);
    expect_everywhere(problem, 1);
}

void each_label_has_its_own_set() {
    Problem problem = problem_of(3, {1, 1}, {1, 2, kNaN}, {1, 6});
    constrain(problem, {0, 1, 1, 2, 255, 7}, {{0, {2}}, {1, {0, 1}}, {2, {1, 2}}});
    expect_classes(problem, {2, 1, 1, 1, 255, 255});
    problem.input.void_channel = 1;
    expect_classes(problem, {2, 255, 255, 255, 255, 255});
}

void what_dominates_over_all_sets_does_not_decide_in_one() {
    Problem problem = problem_of(3, {2, 2}, {9, 9, 9, 9, 2, 2, 1, 1, 1, 1, 2, 2}, {16, 16});
    std::vector<uint8_t> labels(256);
    for (size_t pixel = 0; pixel < labels.size(); ++pixel) labels[pixel] = pixel % 3 == 0 ? 4 : 6;
    constrain(problem, labels, {{4, {1, 2}}, {6, {0, 1, 2}}});
    const std::vector<uint8_t> classes = truth_of(problem).classes;
    LSU_EXPECT(classes[0] == 1 && classes[1] == 0 && classes[255] == 2);
    expect_truth(problem);
}

void one_class_sets_read_no_scores() {
    const Forbidden scores(1 << 20);
    Problem problem = problem_of(5, {64, 64}, {}, {512, 512});
    std::vector<uint8_t> labels(512 * 512);
    for (size_t pixel = 0; pixel < labels.size(); ++pixel) labels[pixel] = pixel % 5 == 0 ? 1 : 0;
    constrain(problem, labels, {{0, {3}}, {1, {4}}, {9, {0, 1, 2, 3, 4}}});  // no pixel has label 9
    lsu_head_input input = problem.point();
    input.scores = scores.as<void>();
    std::vector<uint8_t> classes(labels.size());
    std::vector<uint8_t> margin(labels.size());
    const lsu_head_output output{classes.data(), nullptr, margin.data(), 0};
    for (const lsu_method method : kMethods) {
        const Head head(2, method);
        LSU_EXPECT(lsu_head_run(head.get(), &input, &output) == LSU_OK);
        for (size_t pixel = 0; pixel < labels.size(); ++pixel)
            LSU_EXPECT(classes[pixel] == 3 + labels[pixel] && margin[pixel] == 255);
    }
}

// A row of the scores is a page. Rows 0 to 4 lie under labels that choose, the others under one-class sets.
void rows_under_one_class_sets_are_not_read() {
    constexpr int64_t kRows = 8, kColumns = 1024, kRowBytes = 4 * kColumns;
    const Forbidden scores(static_cast<size_t>(3 * kRows * kRowBytes));
    for (int64_t id = 0; id < 3; ++id)
        scores.open(static_cast<size_t>(id * kRows * kRowBytes), static_cast<size_t>(5 * kRowBytes));
    Problem problem = problem_of(3, {kRows, kColumns}, {}, {8 * kRows, 2 * kColumns});
    std::vector<uint8_t> labels(static_cast<size_t>(problem.map_bytes()));
    for (size_t pixel = 0; pixel < labels.size(); ++pixel)
        labels[pixel] = pixel / (2 * kColumns) < 36 ? 0 : 1;
    constrain(problem, labels, {{0, {0, 1, 2}}, {1, {2}}});
    lsu_head_input input = problem.point();
    input.scores = scores.as<void>();
    std::vector<uint8_t> classes(labels.size());
    const lsu_head_output output{classes.data(), nullptr, nullptr, 0};
    for (const lsu_method method : kMethods) {
        const Head head(2, method);
        LSU_EXPECT(lsu_head_run(head.get(), &input, &output) == LSU_OK);
        for (size_t pixel = 0; pixel < labels.size(); ++pixel)
            LSU_EXPECT(classes[pixel] == 2 * labels[pixel]);
    }
}

// Cells and tiles of every kind: the sides of scores and answer, with and without labels, packed or not.
void shapes_from_one_sample_to_many_tiles() {
    const struct {
        Sides scores, size;
    } shapes[] = {{{1, 1}, {1, 1}},    {{1, 1}, {70, 1400}}, {{2, 2}, {130, 1300}}, {{3, 130}, {9, 1040}},
                  {{40, 3}, {160, 9}}, {{17, 9}, {34, 18}},  {{9, 9}, {5, 3}},      {{33, 64}, {33, 64}},
                  {{5, 7}, {27, 37}},  {{2, 60}, {4, 513}},  {{1, 66}, {1, 528}}};
    uint64_t seed = 0;
    for (const auto& shape : shapes)
        for (int64_t variant = 0; variant < 8; ++variant) {
            Random random(++seed);
            std::vector<float> numbers(static_cast<size_t>(4 * shape.scores.height * shape.scores.width));
            for (float& number : numbers) number = static_cast<float>(random.spread());
            Problem problem = problem_of(4, shape.scores, numbers, shape.size);
            problem.input.packed = variant & 1;
            problem.wants_margin = (variant & 2) != 0;
            problem.wants_agreement = problem.wants_margin;
            if ((variant & 4) != 0) {
                std::vector<uint8_t> labels(static_cast<size_t>(problem.map_bytes()));
                for (size_t place = 0; place < labels.size(); ++place)
                    labels[place] = static_cast<uint8_t>(place / 7 % 5);
                constrain(problem, labels, {{0, {0, 1, 2, 3}}, {1, {1, 3}}, {2, {2}}, {3, {0, 2}}});
            }
            expect_truth(problem);
        }
}

void the_callers_rounding_changes_nothing_and_comes_back() {
    std::vector<float> numbers(2 * 40 * 40);
    Random random(1);
    for (float& number : numbers) number = 1.0f + 0x1p-23f * static_cast<float>(random.between(0, 3));
    Problem problem = problem_of(2, {40, 40}, numbers, {333, 401});
    problem.input.margin_scale = 0x1p-20f;
    const Truth truth = truth_of(problem);
    for (const int mode : {FE_UPWARD, FE_DOWNWARD, FE_TOWARDZERO}) {
        const Head head(1, LSU_AUTO);
        Answer given;
        std::fesetround(mode);
        const lsu_status status = answer(head.get(), problem, 0, given);
        const int after = std::fegetround();
        std::fesetround(FE_TONEAREST);
        LSU_EXPECT(status == LSU_OK && after == mode);
        LSU_EXPECT(std::equal(truth.classes.begin(), truth.classes.end(), given.classes.as<uint8_t>()));
        LSU_EXPECT(std::equal(truth.margin.begin(), truth.margin.end(), given.margin.as<uint8_t>()));
    }
}

void calls_from_several_threads_wait_for_one_another() {
    const Head head(2, LSU_AUTO);
    std::vector<std::thread> callers;
    for (uint64_t seed = 0; seed < 3; ++seed)
        callers.emplace_back([seed, &head] {
            Random random(seed);
            for (int64_t turn = 0; turn < 4; ++turn) {
                const Problem problem = draw_problem(random);
                LSU_EXPECT(difference(head.get(), problem, truth_of(problem), 1).empty());
            }
        });
    for (std::thread& caller : callers) caller.join();
}

}  // namespace
}  // namespace test

int main(int count, char** words) {
    using namespace test;
    return run_all(
        {
            LSU_CASE(the_best_class_wins),
            LSU_CASE(ties_go_to_the_lowest_class),
            LSU_CASE(a_lead_that_rounding_eats_does_not_win),
            LSU_CASE(what_is_not_finite_cannot_win),
            LSU_CASE(the_largest_numbers_do_not_overflow),
            LSU_CASE(each_label_has_its_own_set),
            LSU_CASE(what_dominates_over_all_sets_does_not_decide_in_one),
            LSU_CASE(one_class_sets_read_no_scores),
            LSU_CASE(rows_under_one_class_sets_are_not_read),
            LSU_CASE(shapes_from_one_sample_to_many_tiles),
            LSU_CASE(the_callers_rounding_changes_nothing_and_comes_back),
            LSU_CASE(calls_from_several_threads_wait_for_one_another),
        },
        count == 2 ? words[1] : nullptr);
}
