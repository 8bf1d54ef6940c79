// SPDX-License-Identifier: MIT
#pragma once
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

namespace sw {

/// Weight formats. Each value is the type's number in GGUF files; types.inc is the list.
enum class Type : uint32_t {
#define SW_TYPE(name, id) name = id,
#include "quant/types.inc"
#undef SW_TYPE
};

/// What is known of a format without decoding: one row of a table made from types.inc.
struct TypeTraits {
  Type type = {};
  const char* name = nullptr;  ///< "Q4_K"
  int block_elems = 0;         ///< elements that one block holds; a row must be a multiple of it
  size_t block_bytes = 0;
  bool quantized = false;  ///< false for F32, F16, BF16
  /// Decodes `n_elems` (a multiple of block_elems) from `src`.
  void (*decode)(const std::byte* src, float* dst, int64_t n_elems) = nullptr;
  /// Encodes; `importance` is one weight per element (an importance matrix row) or null. The same
  /// bytes on every machine.
  void (*encode)(const float* src, std::byte* dst, int64_t n_elems, const float* importance) = nullptr;
};

/// Nothing where no format of ours has that number or (any case) that name.
std::optional<Type> type_from_id(uint32_t gguf_id);
std::optional<Type> type_from_name(std::string_view name);

const TypeTraits& traits(Type type);
inline const char* type_name(Type type) { return traits(type).name; }

/// Bytes of a row of `n_elems` (a multiple of the format's block).
inline size_t row_bytes(Type type, int64_t n_elems) {
  const TypeTraits& t = traits(type);
  return static_cast<size_t>(n_elems / t.block_elems) * t.block_bytes;
}

}  // namespace sw
