/* A libcuda.so.1 whose device is the host's memory: what runtime/cuda_device.py calls, counted, and told to
   fail by name through FAKE_CUDA_FAILS. */
#include <stdlib.h>
#include <string.h>

static int alive = 0, depth = 0, waited = 0;

int fake_alive(void) { return alive; }
int fake_depth(void) { return depth; }
int fake_waited(void) { return waited; }

static int fails(const char* name) {
    const char* failing = getenv("FAKE_CUDA_FAILS");
    return failing && strcmp(failing, name) == 0 ? 2 : 0;
}

static int number(const char* name, int otherwise) {
    const char* text = getenv(name);
    return text ? atoi(text) : otherwise;
}

int cuInit(unsigned flags) { return flags ? 1 : fails("cuInit"); }
int cuGetErrorName(int result, const char** name) {
    *name = result == 2 ? "CUDA_ERROR_OUT_OF_MEMORY" : "CUDA_ERROR_INVALID_VALUE";
    return 0;
}
int cuDriverGetVersion(int* version) {
    *version = 12060;
    return 0;
}
int cuDeviceGetCount(int* count) {
    *count = number("FAKE_CUDA_DEVICES", 1);
    return 0;
}
int cuDeviceGet(int* device, int ordinal) {
    *device = ordinal + 40;
    return 0;
}
int cuDeviceGetAttribute(int* value, int attribute, int device) {
    const int sm = number("FAKE_CUDA_SM", 87);
    if (device != 40) return 1;
    *value = attribute == 75 ? sm / 10 : attribute == 76 ? sm % 10 : -1;
    return 0;
}
int cuDevicePrimaryCtxRetain(void** context, int device) {
    *context = malloc(1);
    alive++;
    return device != 40;
}
int cuDevicePrimaryCtxRelease_v2(int device) {
    alive--;
    return device != 40;
}
int cuCtxPushCurrent_v2(void* context) {
    depth++;
    return context == NULL;
}
int cuCtxPopCurrent_v2(void** context) {
    *context = NULL;
    depth--;
    return 0;
}
int cuMemAlloc_v2(unsigned long long* pointer, size_t size) {
    if (fails("cuMemAlloc_v2") || depth < 1) return 2;
    *pointer = (unsigned long long)malloc(size);
    memset((void*)*pointer, 0xA5, size);
    alive++;
    return 0;
}
int cuMemFree_v2(unsigned long long pointer) {
    free((void*)pointer);
    alive--;
    return depth < 1;
}
int cuMemHostAlloc(void** pointer, size_t size, unsigned flags) {
    if (fails("cuMemHostAlloc") || depth < 1) return 2;
    *pointer = malloc(size);
    alive++;
    return (int)flags;
}
int cuMemFreeHost(void* pointer) {
    free(pointer);
    alive--;
    return depth < 1;
}
int cuMemcpyHtoDAsync_v2(unsigned long long to, const void* from, size_t size, void* stream) {
    memcpy((void*)to, from, size);
    return stream == NULL;
}
int cuMemcpyDtoHAsync_v2(void* to, unsigned long long from, size_t size, void* stream) {
    memcpy(to, (void*)from, size);
    return stream == NULL;
}
int cuStreamCreate(void** stream, unsigned flags) {
    if (fails("cuStreamCreate")) return 2;
    *stream = malloc(1);
    alive++;
    return flags != 1;
}
int cuStreamDestroy_v2(void* stream) {
    free(stream);
    alive--;
    return 0;
}
int cuStreamSynchronize(void* stream) {
    waited++;
    return stream == NULL ? 1 : fails("cuStreamSynchronize");
}
