// Eight bytes of a map at a time, in one integer.
#ifndef LSU_BYTES_H
#define LSU_BYTES_H

#include <cstdint>
#include <cstring>

#include "lanes.h"

namespace lsu {

constexpr uint64_t kEachByte = 0x0101010101010101;

// 255 in each of the first bytes in memory (little-endian machines).
LSU_INLINE uint64_t first_bytes(int64_t count) {
    return count >= kLanes ? ~uint64_t{0} : (uint64_t{1} << (8 * count)) - 1;
}

// 255 where a byte is `value`, else 0.
LSU_INLINE uint64_t bytes_equal(uint64_t bytes, uint8_t value) {
    const Byte8 equal = load<Byte8>(&bytes) == static_cast<int8_t>(value);
    return load<uint64_t>(&equal);
}

// The sum of eight bytes, each at most 32.
LSU_INLINE int64_t sum_of_bytes(uint64_t bytes) {
    constexpr uint64_t kEachPair = 0x00ff00ff00ff00ff;
    const uint64_t pairs = (bytes & kEachPair) + ((bytes >> 8) & kEachPair);
    return static_cast<int64_t>((pairs * 0x0001000100010001) >> 48);
}

LSU_INLINE void blend_bytes(uint8_t* to, uint64_t made, uint64_t part) {
    store(to, (load<uint64_t>(to) & ~part) | (made & part));
}

}  // namespace lsu

#endif  // LSU_BYTES_H
