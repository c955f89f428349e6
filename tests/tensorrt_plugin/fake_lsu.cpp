#include "fake_lsu.h"

struct lsu_cuda_head {
    int number;
};

FakeLsu* fake_lsu() {
    static FakeLsu record;
    return &record;
}

lsu_status lsu_cuda_head_create(int32_t device, const char* kernels, lsu_cuda_head** head) {
    FakeLsu& record = *fake_lsu();
    record.device = device;
    record.kernels = kernels;
    *head = record.create_status == LSU_OK ? new lsu_cuda_head{++record.created} : nullptr;
    return record.create_status;
}

lsu_status lsu_cuda_head_run(lsu_cuda_head* head, const lsu_head_input* input, const lsu_head_output* output,
                             void* stream) {
    FakeLsu& record = *fake_lsu();
    ++record.runs;
    record.head = head;
    record.input = *input;
    record.output = *output;
    record.stream = stream;
    return record.run_status;
}

void lsu_cuda_head_destroy(lsu_cuda_head* head) {
    if (head != nullptr) ++fake_lsu()->destroyed;
    delete head;
}

const char* lsu_cuda_failure(void) { return "the driver's own words"; }

const char* lsu_status_text(lsu_status) { return "the text of the status"; }
