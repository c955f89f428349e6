// Short vectors for the CPU's inner loops, in the compilers' own extension: gcc and clang turn them into
// whatever the target has.
#ifndef LSU_LANES_H
#define LSU_LANES_H

#include <cstdint>
#include <cstring>

// One binary for all of x86-64, with the wider instructions where the machine has them. They give the same
// bits: no clone may contract (-ffp-contract=off). On aarch64 the baseline already is what we want.
#if defined(__x86_64__) && defined(__GLIBC__) && defined(__GNUC__) && !defined(__clang__) && \
    !defined(__SANITIZE_THREAD__) && !defined(__SANITIZE_ADDRESS__)
#define LSU_CLONES __attribute__((target_clones("avx2", "default")))
#else
#define LSU_CLONES
#endif

// What a clone calls must be inlined into it, or it would run the plain version.
#define LSU_INLINE __attribute__((always_inline)) inline

namespace lsu {

constexpr int64_t kLanes = 8;  // what a vector loop may read beyond the end of scratch memory

typedef float Float8 __attribute__((vector_size(32)));
typedef int32_t Int8 __attribute__((vector_size(32)));
typedef float Float4 __attribute__((vector_size(16)));
typedef int32_t Int4 __attribute__((vector_size(16)));
typedef int64_t Long2 __attribute__((vector_size(16)));
typedef int8_t Byte8 __attribute__((vector_size(8)));

template <typename Vector, typename Element>
LSU_INLINE Vector load(const Element* from) {
    Vector vector;
    std::memcpy(&vector, from, sizeof vector);
    return vector;
}

template <typename Vector, typename Element>
LSU_INLINE void store(Element* to, const Vector& vector) {
    std::memcpy(to, &vector, sizeof vector);
}

// One bit per lane, of lanes that are all ones or all zeros.
LSU_INLINE int bits_of(const Int4& lanes) {
#ifdef __SSE2__
    Float4 signs;
    std::memcpy(&signs, &lanes, sizeof signs);
    return __builtin_ia32_movmskps(signs);
#else
    const Int4 bits = lanes & Int4{1, 2, 4, 8};
    return bits[0] | bits[1] | bits[2] | bits[3];
#endif
}

LSU_INLINE bool all_of(const Int4& lanes) { return bits_of(lanes) == 15; }

// One bit per lane.
LSU_INLINE int lanes_of(const Int8& lanes) {
    const char* halves = reinterpret_cast<const char*>(&lanes);
    return bits_of(load<Int4>(halves)) | (bits_of(load<Int4>(halves + sizeof(Int4))) << 4);
}

LSU_INLINE Float8 larger(const Float8& value, const Float8& held) { return value > held ? value : held; }

LSU_INLINE Float8 magnitude(const Float8& value) {
    const Int8 bits = load<Int8>(&value) & 0x7fffffff;
    return load<Float8>(&bits);
}

}  // namespace lsu

#endif  // LSU_LANES_H
