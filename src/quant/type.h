// SPDX-License-Identifier: MIT
#pragma once
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

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
  size_t row_header_bytes = 0;  ///< at the beginning of each row
  bool quantized = false;       ///< false for F32, F16, BF16
  /// Decodes the row of `n_elems` (a multiple of block_elems) at `row`, of any alignment.
  void (*decode)(const std::byte* row, float* dst, int64_t n_elems) = nullptr;
  /// Decodes elements [begin, begin + n_elems) of the row at `row`; both are multiples of block_elems.
  void (*decode_range)(const std::byte* row, int64_t begin, int64_t n_elems, float* dst) = nullptr;
  /// Encodes a row; `importance` is one weight per element (an importance matrix row) or null. The same
  /// bytes on every machine.
  void (*encode)(const float* src, std::byte* row, int64_t n_elems, const float* importance) = nullptr;
  /// Like encode() without importance, by a quicker fit where encode() searches long: perhaps other bytes,
  /// within the format's error bound, the same on every machine.
  void (*encode_quickly)(const float* src, std::byte* row, int64_t n_elems) = nullptr;
};

/// Nothing where no format of ours has that number or (any case) that name.
std::optional<Type> type_from_id(uint32_t gguf_id);
std::optional<Type> type_from_name(std::string_view name);
/// All of types.inc, in its order: "F32", "F16", ..
std::vector<std::string> type_names();

const TypeTraits& traits(Type type);
inline const char* type_name(Type type) { return traits(type).name; }

/// Bytes of a row of `n_elems` (a multiple of the format's block).
inline size_t row_bytes(Type type, int64_t n_elems) {
  const TypeTraits& t = traits(type);
  return t.row_header_bytes + static_cast<size_t>(n_elems / t.block_elems) * t.block_bytes;
}

/// Decodes a matrix, row by row, to [n_rows, n_cols].
inline void decode_rows(Type type, const std::byte* src, int64_t n_rows, int64_t n_cols, float* dst) {
  for (int64_t r = 0; r < n_rows; ++r, src += row_bytes(type, n_cols)) {
    traits(type).decode(src, dst + r * n_cols, n_cols);
  }
}
/// Encodes a matrix [n_rows, n_cols], row by row.
inline void encode_rows(Type type, const float* src, int64_t n_rows, int64_t n_cols, std::byte* dst) {
  for (int64_t r = 0; r < n_rows; ++r, dst += row_bytes(type, n_cols)) {
    traits(type).encode(src + r * n_cols, dst, n_cols, nullptr);
  }
}

}  // namespace sw
