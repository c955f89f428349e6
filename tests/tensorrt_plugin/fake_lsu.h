// A liblsu.so that computes nothing: it records its calls and answers what it was told to.
#ifndef LSU_TESTS_FAKE_LSU_H
#define LSU_TESTS_FAKE_LSU_H

#include "lsu/constrained_argmax.h"

struct FakeLsu {
    lsu_status create_status = LSU_OK;
    lsu_status run_status = LSU_OK;
    int created = 0;
    int destroyed = 0;
    int runs = 0;
    int32_t device = -1;
    const char* kernels = nullptr;
    lsu_cuda_head* head = nullptr;
    lsu_head_input input{};
    lsu_head_output output{};
    void* stream = nullptr;
};

extern "C" LSU_API FakeLsu* fake_lsu();

#endif  // LSU_TESTS_FAKE_LSU_H
