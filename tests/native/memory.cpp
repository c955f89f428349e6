#include "memory.h"

#include <sys/mman.h>

#include <cstring>
#include <new>

namespace test {

Bytes::Bytes(size_t size) : size_(size), memory_(std::malloc(size)) {
    if (size != 0 && memory_ == nullptr) throw std::bad_alloc();
}

void Bytes::fill(uint8_t value) {
    if (size_ != 0) std::memset(memory_.get(), value, size_);
}

bool Bytes::operator==(const Bytes& other) const {
    return size_ == other.size_ &&
           (size_ == 0 || std::memcmp(memory_.get(), other.memory_.get(), size_) == 0);
}

Forbidden::Forbidden(size_t size)
    : size_(size),
      memory_(mmap(nullptr, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0)) {
    if (memory_ == MAP_FAILED) throw std::bad_alloc();
}

void Forbidden::open(size_t begin, size_t size) const {
    if (mprotect(as<uint8_t>() + begin, size, PROT_READ | PROT_WRITE) != 0) throw std::bad_alloc();
}

Forbidden::~Forbidden() { munmap(memory_, size_); }

}  // namespace test
