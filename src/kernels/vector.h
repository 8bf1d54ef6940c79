// SPDX-License-Identifier: MIT
#pragma once
#include <cstddef>
#include <cstdint>

#include "base/cpu.h"
#include "quant/type.h"

namespace sw {

/// The keys or the values of one head in a paged cache, in any format: the row of token j starts at
/// data + block_table[j / page_tokens] * page_stride_bytes + j % page_tokens * row_stride_bytes. Keys have
/// whole blocks; of values a row is read as far as its last block goes.
struct CachedHead {
  const std::byte* data = nullptr;
  Type type = Type::F32;
  size_t page_stride_bytes = 0, row_stride_bytes = 0;
};

/// Attention of one token's query heads that share one key/value head, over a paged cache.
/// Keys are taken in ascending order in blocks of one page, so the result does not depend on batching. Keys
/// and values count as their formats decode them to f32: a cache of F32 that holds the same values gives the
/// same bits.
struct AttendArgs {
  const float* q = nullptr;  ///< [n_q, head_dim] query rows, rotated, `q_stride` apart
  int64_t q_stride = 0;
  int64_t n_q = 0;                       ///< query heads of this key/value head
  int64_t head_dim = 0;                  ///< of queries and keys
  int64_t value_dim = 0;                 ///< of values
  CachedHead k = {}, v = {};             ///< formats of kv/cache_type.h
  const int32_t* block_table = nullptr;  ///< logical page i of the sequence is page block_table[i]
  int64_t page_tokens = 0;
  int64_t first_kv = 0;          ///< the first token visible to this query
  int64_t n_kv = 0;              ///< tokens up to the last visible one, the query's own; > first_kv
  const float* sinks = nullptr;  ///< [n_q] logits that take part in the softmax alone, or null
  float scale = 1.0f;            ///< multiplies q . k
  float* scores = nullptr;       ///< scratch [n_q, page_tokens]
  float* out = nullptr;          ///< [n_q, value_dim], `out_stride` apart
  int64_t out_stride = 0;
  /// [n_q] Where the tokens come in several calls: the largest score and the sum of weights so far, -inf and
  /// 0 before the first. `out` then starts as 0 and is left undivided. Null: one call is all.
  float* carried_max = nullptr;
  float* carried_sum = nullptr;
};

/// The element-wise and attention kernels of one instruction set.
struct VectorKernel {
  const char* name = nullptr;
  Isa isa = Isa::Scalar;
  /// out[i] = x[i] / sqrt(mean(x^2) + eps) * weight[i]. In place allowed.
  void (*rms_norm)(const float* x, const float* weight, float eps, int64_t n, float* out) = nullptr;
  /// out[i] = silu(gate[i]) * up[i]. In place allowed.
  void (*silu_mul)(const float* gate, const float* up, int64_t n, float* out) = nullptr;
  /// acc[i] += weight * x[i]
  void (*add_scaled)(float* acc, float weight, const float* x, int64_t n) = nullptr;
  void (*attend)(const AttendArgs&) = nullptr;
};

/// The first of variants/vector.inc that this machine can run, up to `limit`.
const VectorKernel& choose_vector(Isa limit);

}  // namespace sw
