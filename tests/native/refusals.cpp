// Calls that do not fit: each is refused with its status, and no array is touched but the table, whose bits
// are part of the check.
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <limits>
#include <random>
#include <string>

#include "draw.h"
#include "expect.h"
#include "problem.h"

namespace test {
namespace {

constexpr int64_t kEnormous = std::numeric_limits<int64_t>::max();
constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();

// Every array but the table lies where no access is allowed: one touch ends the program.
struct Call {
    lsu_head_input input{};
    lsu_head_output output{};
};

struct Grounds {
    Forbidden memory{1 << 16};
    std::array<uint64_t, LSU_COUNTED_LABELS> table{};
};

Call call_that_fits(const Grounds& grounds) {
    Call call;
    Problem problem = problem_of(3, {4, 5}, {}, {8, 9});
    call.input = problem.input;
    call.input.scores = call.input.labels = grounds.memory.as<uint8_t>();
    call.input.table = grounds.table.data();
    call.input.table_rows = LSU_COUNTED_LABELS;
    call.output = {grounds.memory.as<uint8_t>(), grounds.memory.as<int64_t>(), grounds.memory.as<uint8_t>(),
                   1};
    return call;
}

struct Refusal {
    lsu_status status;
    void (*spoil)(Call&);
};

const void* misaligned(const void* pointer) { return static_cast<const uint8_t*>(pointer) + 1; }

// Faults of the call that fits but for them.
const Refusal kFaults[] = {
    {LSU_NULL_POINTER, [](Call& call) { call.input.scores = nullptr; }},
    {LSU_NULL_POINTER, [](Call& call) { call.output.classes = nullptr; }},
    {LSU_BAD_EXTENT,  // 2^69 bytes of classes
     [](Call& call) {
         call.input.batch = call.input.height = call.input.width = LSU_MAX_EXTENT;
         call.input.canvas_height = call.input.canvas_width = LSU_MAX_EXTENT;
     }},
    {LSU_BAD_EXTENT,  // 2^70 bytes of scores
     [](Call& call) {
         call.input.batch = call.input.score_height = call.input.score_width = LSU_MAX_EXTENT;
     }},
    {LSU_BAD_WINDOW, [](Call& call) { call.input.canvas_height = 7; }},
    {LSU_BAD_WINDOW, [](Call& call) { call.input.canvas_width = 8; }},
    {LSU_BAD_WINDOW, [](Call& call) { call.input.offset_y = 1; }},
    {LSU_BAD_TABLE, [](Call& call) { call.input.labels = nullptr; }},
};

// Faults whatever the other extents are.
const Refusal kSureFaults[] = {
    {LSU_MISALIGNED_POINTER, [](Call& call) { call.input.scores = misaligned(call.input.scores); }},
    {LSU_MISALIGNED_POINTER,
     [](Call& call) {
         call.input.score_type = LSU_FLOAT16;
         call.input.scores = misaligned(call.input.scores);
     }},
    {LSU_MISALIGNED_POINTER,
     [](Call& call) { call.input.table = static_cast<const uint64_t*>(misaligned(call.input.table)); }},
    {LSU_MISALIGNED_POINTER,
     [](Call& call) {
         call.output.counts =
             static_cast<int64_t*>(const_cast<void*>(misaligned(call.output.counts)));  // NOLINT
     }},
    {LSU_BAD_SCORE_TYPE, [](Call& call) { call.input.score_type = 2; }},
    {LSU_BAD_SCORE_TYPE, [](Call& call) { call.input.score_type = -1; }},
    {LSU_BAD_CHANNELS, [](Call& call) { call.input.channels = 0; }},
    {LSU_BAD_CHANNELS, [](Call& call) { call.input.channels = 256; }},
    {LSU_BAD_CHANNELS, [](Call& call) { call.input.channels = -kEnormous; }},
    {LSU_BAD_EXTENT, [](Call& call) { call.input.batch = -1; }},
    {LSU_BAD_EXTENT, [](Call& call) { call.input.batch = kEnormous; }},
    {LSU_BAD_EXTENT, [](Call& call) { call.input.score_height = 0; }},
    {LSU_BAD_EXTENT, [](Call& call) { call.input.score_width = 0; }},
    {LSU_BAD_EXTENT, [](Call& call) { call.input.score_height = LSU_MAX_EXTENT + 1; }},
    {LSU_BAD_EXTENT, [](Call& call) { call.input.score_width = kEnormous; }},
    {LSU_BAD_EXTENT, [](Call& call) { call.input.height = -1; }},
    {LSU_BAD_EXTENT, [](Call& call) { call.input.width = -kEnormous; }},
    {LSU_BAD_EXTENT, [](Call& call) { call.input.canvas_height = LSU_MAX_EXTENT + 1; }},
    {LSU_BAD_EXTENT, [](Call& call) { call.input.canvas_width = -1; }},
    {LSU_BAD_WINDOW, [](Call& call) { call.input.offset_x = -1; }},
    {LSU_BAD_WINDOW, [](Call& call) { call.input.offset_x = kEnormous; }},
    {LSU_BAD_WINDOW, [](Call& call) { call.input.offset_y = -kEnormous - 1; }},
    {LSU_BAD_TABLE, [](Call& call) { call.input.table = nullptr; }},
    {LSU_BAD_TABLE, [](Call& call) { call.input.table_rows = 1; }},
    {LSU_BAD_TABLE, [](Call& call) { call.input.table_rows = kEnormous; }},
    {LSU_BAD_TABLE, [](Call& call) { call.input.table_rows = -1; }},
    {LSU_BAD_VOID_CHANNEL, [](Call& call) { call.input.void_channel = 3; }},
    {LSU_BAD_VOID_CHANNEL, [](Call& call) { call.input.void_channel = -2; }},
    {LSU_BAD_MARGIN_SCALE, [](Call& call) { call.input.margin_scale = 0.0f; }},
    {LSU_BAD_MARGIN_SCALE, [](Call& call) { call.input.margin_scale = -1.0f; }},
    {LSU_BAD_MARGIN_SCALE, [](Call& call) { call.input.margin_scale = kNaN; }},
    {LSU_BAD_MARGIN_SCALE, [](Call& call) { call.input.margin_scale = HUGE_VALF; }},
    {LSU_BAD_MARGIN_SCALE, [](Call& call) { call.input.margin_scale = 0x1p-127f; }},
};

template <size_t kCount>
void expect_statuses(const Refusal (&refusals)[kCount]) {
    const Grounds grounds;
    const Head head(2, LSU_AUTO);
    for (const Refusal& refusal : refusals) {
        Call call = call_that_fits(grounds);
        refusal.spoil(call);
        const lsu_status status = lsu_head_run(head.get(), &call.input, &call.output);
        if (status != refusal.status)
            std::fprintf(stderr, "fault %d: status %d; %d is right\n", static_cast<int>(&refusal - refusals),
                         static_cast<int>(status), static_cast<int>(refusal.status));
        LSU_EXPECT(status == refusal.status);
    }
}

void each_fault_has_its_status() {
    expect_statuses(kFaults);
    expect_statuses(kSureFaults);
}

void a_bit_beyond_the_classes_is_refused() {
    Grounds grounds;
    grounds.table[255] = uint64_t{1} << 3;
    const Head head(1, LSU_AUTO);
    const Call call = call_that_fits(grounds);
    LSU_EXPECT(lsu_head_run(head.get(), &call.input, &call.output) == LSU_BAD_TABLE);
}

void heads_that_cannot_be_are_refused() {
    lsu_head* head = reinterpret_cast<lsu_head*>(8);
    LSU_EXPECT(lsu_head_create(0, LSU_AUTO, &head) == LSU_BAD_THREADS && head == nullptr);
    LSU_EXPECT(lsu_head_create(-kEnormous, LSU_AUTO, &head) == LSU_BAD_THREADS);
    LSU_EXPECT(lsu_head_create(1, 3, &head) == LSU_BAD_METHOD && head == nullptr);
    LSU_EXPECT(lsu_head_create(1, -1, &head) == LSU_BAD_METHOD);
    LSU_EXPECT(lsu_head_create(1, LSU_AUTO, nullptr) == LSU_NULL_POINTER);
    lsu_head_destroy(nullptr);
}

void null_structs_are_refused() {
    const Grounds grounds;
    const Head head(1, LSU_AUTO);
    const Call call = call_that_fits(grounds);
    LSU_EXPECT(lsu_head_run(nullptr, &call.input, &call.output) == LSU_NULL_POINTER);
    LSU_EXPECT(lsu_head_run(head.get(), nullptr, &call.output) == LSU_NULL_POINTER);
    LSU_EXPECT(lsu_head_run(head.get(), &call.input, nullptr) == LSU_NULL_POINTER);
}

void every_status_has_a_text() {
    for (int status = LSU_OK; status <= LSU_CUDA_FAILED; ++status)
        LSU_EXPECT(std::strcmp(lsu_status_text(static_cast<lsu_status>(status)), "unknown status") != 0);
}

void an_empty_answer_needs_no_arrays() {
    const Head head(1, LSU_AUTO);
    for (int64_t side = 0; side < 3; ++side) {
        Problem problem = problem_of(3, {4, 5}, {}, {8, 9});
        (side == 0 ? problem.input.batch : side == 1 ? problem.input.height : problem.input.width) = 0;
        const lsu_head_output output{};
        LSU_EXPECT(lsu_head_run(head.get(), &problem.input, &output) == LSU_OK);
    }
}

// Among any extents, one fault that is sure.
void any_extents_are_refused_with_a_fault(double seconds) {
    const Grounds grounds;
    const Head head(2, LSU_AUTO);
    const uint64_t seed = std::random_device()();
    std::printf("drawn extents from seed %llu\n", static_cast<unsigned long long>(seed));
    std::fflush(stdout);
    Random random(seed);
    const auto end = std::chrono::steady_clock::now() + std::chrono::duration<double>(seconds);
    while (std::chrono::steady_clock::now() < end) {
        Call call = call_that_fits(grounds);
        lsu_head_input& in = call.input;
        int64_t* const extents[] = {&in.batch,    &in.score_height, &in.score_width,
                                    &in.height,   &in.width,        &in.canvas_height,
                                    &in.offset_y, &in.canvas_width, &in.offset_x};
        for (int64_t drawn = random.between(0, 5); drawn > 0; --drawn)
            *extents[random.between(0, 8)] = random.chance(0.5) ? static_cast<int64_t>(random.word())
                                                                : int64_t{1} << random.between(0, 62);
        kSureFaults[random.between(0, static_cast<int64_t>(std::size(kSureFaults)) - 1)].spoil(call);
        LSU_EXPECT(lsu_head_run(head.get(), &call.input, &call.output) != LSU_OK);
    }
}

}  // namespace
}  // namespace test

int main(int count, char** words) {
    using namespace test;
    run_all({
        LSU_CASE(each_fault_has_its_status),
        LSU_CASE(a_bit_beyond_the_classes_is_refused),
        LSU_CASE(heads_that_cannot_be_are_refused),
        LSU_CASE(null_structs_are_refused),
        LSU_CASE(every_status_has_a_text),
        LSU_CASE(an_empty_answer_needs_no_arrays),
    });
    any_extents_are_refused_with_a_fault(
        count == 3 && std::string(words[1]) == "--seconds" ? std::atof(words[2]) : 1);
    return 0;
}
