// What the device's blocks share whatever the kernel: access to maps and tables, counting, the tile's place.
//
// Everything compiles as plain C++ too, where a block's threads run one after another, phase by phase: the
// tests run this very code on the host. Between two phases all threads of a block meet.
#ifndef LSU_DEVICE_BLOCK_H
#define LSU_DEVICE_BLOCK_H

#include <cstdint>

#include "device_plan.h"
#include "rules.h"

#ifdef __CUDACC__
#define LSU_UNROLL _Pragma("unroll")
#else
#define LSU_UNROLL
#endif

namespace lsu::device {

// Maps are bytes, and a table's words are 64 bits wide; both are read 32 bits at a time where they allow it.
typedef uint32_t __attribute__((may_alias)) Word;

constexpr int kCountCells = 4 * LSU_COUNTED_LABELS;
constexpr uint32_t kEveryByte = 0x01010101u;

// What a label's row of the table says before any score is read: the only class, LSU_VOID where there is
// none, or that there are several.
constexpr uint32_t kSeveral = 256;

// Inputs never change while a kernel runs, which lets the device take them through its read-only path.
template <typename Element>
LSU_HOST_DEVICE inline Element load(const Element* from) {
#ifdef __CUDA_ARCH__
    return __ldg(from);
#else
    return *from;
#endif
}

LSU_HOST_DEVICE inline Half load(const Half* from) {
#ifdef __CUDA_ARCH__
    return {__ldg(reinterpret_cast<const unsigned short*>(from))};
#else
    return *from;
#endif
}

LSU_HOST_DEVICE inline uint32_t load_word(const void* from) {
#ifdef __CUDA_ARCH__
    return __ldg(static_cast<const unsigned int*>(from));
#else
    return *static_cast<const Word*>(from);
#endif
}

// The value before.
LSU_HOST_DEVICE inline uint32_t add_shared(uint32_t& cell, uint32_t amount) {
#ifdef __CUDA_ARCH__
    return atomicAdd(&cell, amount);
#else
    const uint32_t before = cell;
    cell += amount;
    return before;
#endif
}

LSU_HOST_DEVICE inline void set_shared_bit(uint32_t* words, int bit) {
    uint32_t& word = words[bit / 32];
    const uint32_t mask = 1u << (bit % 32);
#ifdef __CUDA_ARCH__
    atomicOr(&word, mask);
#else
    word |= mask;
#endif
}

LSU_HOST_DEVICE inline void add_global(int64_t* cell, uint32_t amount) {
#ifdef __CUDA_ARCH__
    atomicAdd(reinterpret_cast<unsigned long long*>(cell), static_cast<unsigned long long>(amount));
#else
    *cell += amount;
#endif
}

LSU_HOST_DEVICE inline int count_bits(uint32_t word) {
#ifdef __CUDA_ARCH__
    return __popc(word);
#else
    return __builtin_popcount(word);
#endif
}

// Of a word that is not 0.
LSU_HOST_DEVICE inline int lowest_bit(uint32_t word) {
#ifdef __CUDA_ARCH__
    return __ffs(static_cast<int>(word)) - 1;
#else
    return __builtin_ctz(word);
#endif
}

LSU_HOST_DEVICE inline int least(int64_t a, int b) { return a < b ? static_cast<int>(a) : b; }

// The part of the answer that a block works on. Extents are at most LSU_MAX_EXTENT: 32 bits hold them.
struct Place {
    int image;
    int y;
    int x;
    int height;  // pixels that are inside the answer
    int width;
};

LSU_HOST_DEVICE inline Place place_of(const DeviceCall& call, int image, int tile_y, int tile_x) {
    const int y = tile_y * call.plan.tile_height;
    const int x = tile_x * call.plan.tile_width;
    return {image, y, x, least(call.in.height - y, call.plan.tile_height),
            least(call.in.width - x, call.plan.tile_width)};
}

// Where a pixel of the tile lies in every map.
LSU_HOST_DEVICE inline int64_t map_index(const DeviceCall& call, const Place& place, int row, int column) {
    return (place.image * call.in.height + place.y + row) * call.plan.row_bytes + place.x + column;
}

// Classes 32 * part and up, a bit each.
LSU_HOST_DEVICE inline uint32_t existing_classes(const DeviceCall& call, int part) {
    const int left = static_cast<int>(call.in.channels) - 32 * part;
    return left >= 32 ? ~0u : (1u << left) - 1u;
}

// Those that the label allows. Bits that stand for no class are taken out, whatever the table holds there.
LSU_HOST_DEVICE inline uint32_t allowed_classes(const DeviceCall& call, uint32_t label, int part) {
    if (call.in.table == nullptr) return existing_classes(call, part);
    const int words = 2 * static_cast<int>((call.in.channels + 63) / 64);
    const auto* row = reinterpret_cast<const uint8_t*>(call.in.table) + 4 * (static_cast<int>(label) * words);
    return load_word(row + 4 * part) & existing_classes(call, part);
}

LSU_HOST_DEVICE inline bool allows(const DeviceCall& call, uint32_t label, uint32_t id) {
    return call.in.table == nullptr ||
           ((allowed_classes(call, label, static_cast<int>(id / 32)) >> (id % 32)) & 1u) != 0;
}

LSU_HOST_DEVICE inline uint32_t rule_of(const DeviceCall& call, uint32_t label) {
    int count = 0;
    uint32_t only = LSU_VOID;
    for (int part = 0; 32 * part < call.in.channels; ++part) {
        const uint32_t classes = allowed_classes(call, label, part);
        count += count_bits(classes);
        if (classes != 0) only = static_cast<uint32_t>(32 * part + lowest_bit(classes));
    }
    return count > 1 ? kSeveral : only;
}

LSU_HOST_DEVICE inline uint8_t label_at(const DeviceCall& call, int64_t at) {
    return call.in.labels != nullptr ? load(call.in.labels + at) : uint8_t{0};
}

// The labels of four pixels, of which the first `inside` are read.
LSU_HOST_DEVICE inline uint32_t labels_at(const DeviceCall& call, int64_t at, int inside) {
    if (call.in.labels == nullptr) return 0;
    if (call.plan.in_words != 0) return load_word(call.in.labels + at);
    uint32_t labels = 0;
    for (int i = 0; i < inside; ++i)
        labels |= static_cast<uint32_t>(load(call.in.labels + at + i)) << (8 * i);
    return labels;
}

// Four bytes of a map that is written, of which the first `inside` are pixels: the others are there only in a
// packed map.
LSU_HOST_DEVICE inline void store_bytes(const DeviceCall& call, uint8_t* map, int64_t at, int inside,
                                        uint32_t bytes) {
    if (call.plan.in_words != 0) {
        *reinterpret_cast<Word*>(map + at) = bytes;
        return;
    }
    const int count = call.in.packed != 0 ? 4 : inside;
    for (int i = 0; i < count; ++i) map[at + i] = static_cast<uint8_t>(bytes >> (8 * i));
}

// Counts of one thread on their way to those of its block. Neighbouring pixels mostly count in one cell, and
// a thread's pixels are neighbours.
class Tally {
  public:
    LSU_HOST_DEVICE Tally(const DeviceCall& call, uint32_t* counts)  // [kCountCells]
        : counts_(call.out.counts != nullptr ? counts : nullptr) {}

    LSU_HOST_DEVICE void add(uint32_t label, uint32_t column, uint32_t amount) {
        const uint32_t cell = 4 * label + column;
        if (cell != cell_) flush();
        cell_ = cell;
        pending_ += amount;
    }

    // Last of all: what is pending is lost otherwise.
    LSU_HOST_DEVICE void flush() {
        if (counts_ != nullptr && pending_ != 0) add_shared(counts_[cell_], pending_);
        pending_ = 0;
    }

  private:
    uint32_t* counts_;
    uint32_t cell_ = 0;
    uint32_t pending_ = 0;
};

LSU_HOST_DEVICE inline void clear_counts(uint32_t* counts,  // [kCountCells]
                                         int thread) {
    for (int cell = thread; cell < kCountCells; cell += kBlockThreads) counts[cell] = 0;
}

LSU_HOST_DEVICE inline void hand_in_counts(const DeviceCall& call, int image,
                                           const uint32_t* counts,  // [kCountCells]
                                           int thread) {
    if (call.out.counts == nullptr) return;
    const int columns = call.out.agreement != 0 ? 4 : 3;
    for (int cell = thread; cell < kCountCells; cell += kBlockThreads)
        if (counts[cell] != 0 && cell % 4 < columns)
            add_global(
                call.out.counts + (int64_t{image} * LSU_COUNTED_LABELS + cell / 4) * columns + cell % 4,
                counts[cell]);
}

}  // namespace lsu::device

#endif  // LSU_DEVICE_BLOCK_H
