// Label files to dense indices: ids or colours through a table, at the speed at which labels are constant.
#pragma once

#include <cstddef>
#include <cstdint>

namespace lsu {

constexpr uint16_t kUnknownLabel = 256;

// Each returns whether every value is known; unknown ones become 255.
bool dense_from_ids(const uint8_t* ids,  // [count]
                    size_t count,
                    const uint16_t* table,  // [65536], 0 to 255 or kUnknownLabel
                    uint8_t* dense);        // [count]
bool dense_from_ids(const uint16_t* ids,    // [count]
                    size_t count,
                    const uint16_t* table,      // [65536], 0 to 255 or kUnknownLabel
                    uint8_t* dense);            // [count]
bool dense_from_colours(const uint8_t* pixels,  // [count, 3], blue first
                        size_t count,
                        const uint32_t* colours,  // [colour_count], 0xRRGGBB, each once
                        const uint8_t* classes,   // [colour_count]
                        size_t colour_count,
                        uint8_t* dense);  // [count]

}  // namespace lsu
