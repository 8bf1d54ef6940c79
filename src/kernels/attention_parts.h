// SPDX-License-Identifier: MIT
#pragma once
#include <algorithm>
#include <cmath>

#include "kernels/ops.h"

/// The parts of attention that the reference and the fast variants share: they have one right answer.
namespace sw {

/// 1 / sqrt(head_dim)
inline float attention_scale(const AttentionDesc& d) {
  return static_cast<float>(1.0 / std::sqrt(static_cast<double>(d.head_dim)));
}

/// What no variant of latent attention can do; null where there is nothing.
inline const char* refuses_mla(const MlaDesc& d) {
  if (d.k_b.empty() || d.v_b.empty()) return "the matrices of keys and values are missing";
  return d.rope.n_rot % 2 == 0 ? nullptr : "an odd number of rotary dims";
}

/// Brings values between the limits of attention that has some.
inline void clip(const AttentionDesc& d, float* values, int64_t n) {
  if (d.clip == 0) return;
  for (int64_t i = 0; i < n; ++i) values[i] = std::clamp(values[i], -d.clip, d.clip);
}

/// Rotates a head of token t.
inline void rotate(const Rope& rope, const TokenBatch& batch, int64_t t, float* head) {
  const int64_t n_pair = rope.n_pair(), stride = rope.neighbours ? 2 : 1,
                partner = rope.neighbours ? 1 : n_pair;
  const float *cos = batch.rope_cos + t * n_pair, *sin = batch.rope_sin + t * n_pair;
  for (int64_t i = 0; i < n_pair; ++i) {
    float* a = head + i * stride;
    float* b = a + partner;
    const float x = *a, y = *b;
    *a = x * cos[i] - y * sin[i];
    *b = y * cos[i] + x * sin[i];
  }
}

/// The cached row of a head and of position `pos` of a sequence.
inline std::byte* kv_row(const KvPart& part, const int32_t* block_table, int64_t pos, int64_t head,
                         int64_t head_dim) {
  const auto page = static_cast<size_t>(block_table[pos / part.page_tokens]);
  const auto row = static_cast<size_t>(pos % part.page_tokens);
  return part.data + page * part.page_stride_bytes + static_cast<size_t>(head) * part.head_stride_bytes +
         row * row_bytes(part.type, head_dim);
}

/// All rows of a head, as attention reads them.
inline CachedHead cached_head(const KvPart& part, int64_t head, int64_t head_dim) {
  return {.data = part.data + static_cast<size_t>(head) * part.head_stride_bytes,
          .type = part.type,
          .page_stride_bytes = part.page_stride_bytes,
          .row_stride_bytes = row_bytes(part.type, head_dim)};
}

/// Appends a row of one head of token t to the keys or the values of a cache. Every token reads it back from
/// there, this one too: no result may depend on what the format lost.
inline void store_row(const KvPart& part, const TokenBatch& batch, int64_t t, int64_t head, int64_t head_dim,
                      const float* row) {
  std::byte* at = kv_row(part, batch.block_tables[batch.seq[t]], batch.pos[t], head, head_dim);
  traits(part.type).encode_quickly(row, at, head_dim);
}

/// Appends one head's key and value of token t to the cache.
inline void store_kv(const KvLayerView& kv, const TokenBatch& batch, int64_t t, int64_t head,
                     int64_t head_dim, const float* key, const float* value) {
  store_row(kv.keys(), batch, t, head, head_dim, key);
  store_row(kv.values(), batch, t, head, head_dim, value);
}

}  // namespace sw
