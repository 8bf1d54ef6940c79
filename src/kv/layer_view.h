// SPDX-License-Identifier: MIT
#pragma once
#include <cstddef>
#include <cstdint>

#include "quant/type.h"

namespace sw {

/// Tokens that a cache page may hold at most; bounds the scratch of attention scores.
inline constexpr int64_t kMaxPageTokens = 256;

/// Keys and values of one block: page p of head h starts at k + p * page_stride + h * head_stride and
/// holds [page_tokens, head_dim].
struct KvLayerView {
  std::byte* k = nullptr;
  std::byte* v = nullptr;
  Type type = Type::F32;
  int64_t page_tokens = 0;
  size_t page_stride_bytes = 0, head_stride_bytes = 0;
};

/// States of one block: the one in page p is the floats from data + p * stride_floats on.
struct StateView {
  float* data = nullptr;
  int64_t stride_floats = 0;
};

}  // namespace sw
