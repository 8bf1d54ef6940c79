// SPDX-License-Identifier: MIT
#pragma once
#include <cuda_fp16.h>

#include "kernels/cuda/warp.cuh"
#include "kernels/ops.h"

/// What the kernels of attention share.
namespace sw::cuda {

inline constexpr float kLog2E = 1.44269504f;

/// What the attend kernels read and write. Scores are kept as powers of 2: exp2 is what the hardware has.
struct AttendTask {
  const float* queries = nullptr;  ///< token t, head h: at t * query_stride + h * head_dim, rotated
  int64_t query_stride = 0;
  TokenBatch batch = {};
  KvLayerView kv = {};
  int n_head = 0, n_head_kv = 0, head_dim = 0;
  int window = 0;                ///< a token sees so many, itself included; INT_MAX: all
  const float* sinks = nullptr;  ///< [n_head] or null
  float scale = 0;               ///< log2(e) / sqrt(head_dim)
  float* out = nullptr;          ///< [n_token, n_head, head_dim]

  /// Query heads that read the same keys.
  __host__ __device__ int group() const { return n_head / n_head_kv; }
  /// The first position that a token at `pos` sees. What lies before may have no page any more.
  __device__ int first_seen(int pos) const { return max(0, pos - window + 1); }
  /// The softmax's divisor: the sum of weights, relative to the largest score `top`, and the head's sink. A
  /// sink so far above all scores that its weight is infinite leaves values of 0, as it should.
  __device__ float divisor(float sum, float top, int head) const {
    return sinks ? sum + exp2f(fmaf(sinks[head], kLog2E, -top)) : sum;
  }
};

/// What attention reads of the tokens [begin, begin + n) of a batch.
inline TokenBatch tokens_of(const TokenBatch& batch, int64_t begin, int64_t n) {
  return {
      .n_token = n, .pos = batch.pos + begin, .seq = batch.seq + begin, .block_tables = batch.block_tables};
}

/// Four elements of a cached row; rows are multiples of 8 elements, so that a load is aligned.
__device__ inline float4 load4(const float* p) { return *reinterpret_cast<const float4*>(p); }
__device__ inline float4 load4(const __half* p) {
  const uint2 bits = *reinterpret_cast<const uint2*>(p);
  const float2 low = __half22float2(reinterpret_cast<const __half2&>(bits.x));
  const float2 high = __half22float2(reinterpret_cast<const __half2&>(bits.y));
  return {low.x, low.y, high.x, high.y};
}

__device__ inline void add_scaled4(float4& acc, float weight, const float4& x) {
  acc.x = fmaf(weight, x.x, acc.x);
  acc.y = fmaf(weight, x.y, acc.y);
  acc.z = fmaf(weight, x.z, acc.z);
  acc.w = fmaf(weight, x.w, acc.w);
}
__device__ inline float4 scaled4(const float4& x, float s) { return {x.x * s, x.y * s, x.z * s, x.w * s}; }

/// The two dims of rotary pair i.
__device__ inline int2 rotary_pair(int i, const Rope& rope) {
  return rope.neighbours ? make_int2(2 * i, 2 * i + 1) : make_int2(i, i + rope.n_pair());
}

/// One head's keys or values of one sequence, in pages.
template <class Element>
struct CachedRows {
  std::byte* base;       ///< of the head, in page 0
  const int32_t* pages;  ///< of the sequence
  size_t page_stride_bytes;
  int page_tokens, head_dim;

  __device__ CachedRows(std::byte* layer, const AttendTask& task, int32_t seq, int kv_head)
      : CachedRows(layer, task.kv, task.batch.block_tables[seq], kv_head, task.head_dim) {}
  __device__ CachedRows(std::byte* layer, const KvLayerView& kv, const int32_t* pages, int kv_head,
                        int head_dim)
      : base(layer + static_cast<size_t>(kv_head) * kv.head_stride_bytes),
        pages(pages),
        page_stride_bytes(kv.page_stride_bytes),
        page_tokens(static_cast<int>(kv.page_tokens)),
        head_dim(head_dim) {}

  __device__ Element* row(int pos) const {
    const auto page = static_cast<size_t>(pages[pos / page_tokens]);
    return reinterpret_cast<Element*>(base + page * page_stride_bytes) + pos % page_tokens * head_dim;
  }
};

/// A dimension of several partial results.
struct Merged {
  float value = 0, top = 0, sum = 0;
};

/// Dimension `dim` of `n` rows of partial results, added up in their order. A row is [head_dim] weighted
/// values, then the largest score, then the sum of weights.
__device__ inline Merged merge_parts(const float* rows, int64_t stride, int n, int head_dim, int dim) {
  Merged all{.top = -INFINITY};
  for (int i = 0; i < n; ++i) all.top = fmaxf(all.top, rows[i * stride + head_dim]);
  for (int i = 0; i < n; ++i) {
    const float* row = rows + i * stride;
    const float weight = exp2f(row[head_dim] - all.top);
    all.value = fmaf(weight, row[dim], all.value);
    all.sum = fmaf(weight, row[head_dim + 1], all.sum);
  }
  return all;
}

}  // namespace sw::cuda
