// SPDX-License-Identifier: MIT
#pragma once
#include <cstddef>
#include <cstdint>

#include "quant/type.h"

namespace sw {

/// Tokens that a cache page may hold at most; bounds the scratch of attention scores.
inline constexpr int64_t kMaxPageTokens = 256;

/// The keys or the values of one block: page p of head h starts at data + p * page_stride_bytes +
/// h * head_stride_bytes and holds [page_tokens, head_dim].
struct KvPart {
  std::byte* data = nullptr;
  Type type = Type::F32;
  int64_t page_tokens = 0;
  size_t page_stride_bytes = 0, head_stride_bytes = 0;
};

/// Keys and values of one block. GPUs keep both in one type and read the fields of the keys for both.
struct KvLayerView {
  std::byte* k = nullptr;
  std::byte* v = nullptr;
  Type type = Type::F32;  ///< of keys
  int64_t page_tokens = 0;
  size_t page_stride_bytes = 0, head_stride_bytes = 0;  ///< of keys
  Type v_type = Type::F32;
  size_t v_page_stride_bytes = 0, v_head_stride_bytes = 0;

  KvPart keys() const { return {k, type, page_tokens, page_stride_bytes, head_stride_bytes}; }
  KvPart values() const { return {v, v_type, page_tokens, v_page_stride_bytes, v_head_stride_bytes}; }
};

/// States of one block: the one in page p is the floats from data + p * stride_floats on.
struct StateView {
  float* data = nullptr;
  int64_t stride_floats = 0;
};

}  // namespace sw
