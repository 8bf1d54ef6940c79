// SPDX-License-Identifier: MIT
#pragma once
#include <cstddef>
#include <cstdint>

namespace sw {

/// A weight format of GGUF files that is not decoded here.
struct ForeignType {
  uint32_t id = 0;
  const char* name = nullptr;
  int block_elems = 0;     ///< 0: only the name is known
  size_t block_bytes = 0;  ///< of block_elems elements
};

/// Null where the number is unknown, or one of our own formats.
const ForeignType* find_foreign_type(uint32_t gguf_id);

}  // namespace sw
