// SPDX-License-Identifier: MIT
#pragma once
#include <cstdint>
#include <type_traits>

#include "base/checked.h"
#include "base/error.h"
#include "formats/gguf.h"

/// How metadata values lie in a file and how they are held; for the reader and the writer.
namespace sw::gguf {

/// What GgufValue::data holds for a scalar stored as T.
template <class T>
using Held =
    std::conditional_t<std::is_same_v<T, bool>, bool,
                       std::conditional_t<std::is_floating_point_v<T>, double,
                                          std::conditional_t<std::is_signed_v<T>, int64_t, uint64_t>>>;

/// What GgufArray::items holds for elements stored as T: bools are numbers 0 and 1 there.
template <class T>
using Item = std::conditional_t<std::is_same_v<T, bool>, uint64_t, Held<T>>;

/// Calls f<T>() with the C++ type that a scalar of `type` is stored as (bool: one byte, 0 or 1).
template <class F>
void with_scalar(GgufType type, F&& f) {
  switch (type) {
    case GgufType::U8:
      return f.template operator()<uint8_t>();
    case GgufType::I8:
      return f.template operator()<int8_t>();
    case GgufType::U16:
      return f.template operator()<uint16_t>();
    case GgufType::I16:
      return f.template operator()<int16_t>();
    case GgufType::U32:
      return f.template operator()<uint32_t>();
    case GgufType::I32:
      return f.template operator()<int32_t>();
    case GgufType::F32:
      return f.template operator()<float>();
    case GgufType::Bool:
      return f.template operator()<bool>();
    case GgufType::U64:
      return f.template operator()<uint64_t>();
    case GgufType::I64:
      return f.template operator()<int64_t>();
    case GgufType::F64:
      return f.template operator()<double>();
    case GgufType::String:
    case GgufType::Array:
      break;
  }
  SW_ASSERT(false);
}

constexpr uint32_t kMagic = 0x46554747;  // "GGUF"
constexpr const char* kAlignmentKey = "general.alignment";
constexpr uint64_t kDefaultAlignment = 32;
/// Bytes of what a file of ours has, with the padding behind it. In range: sums of sizes that exist.
inline uint64_t padded(Checked n_bytes) { return *align_up(n_bytes, kDefaultAlignment).value(); }

}  // namespace sw::gguf
