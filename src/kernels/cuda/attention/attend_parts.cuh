// SPDX-License-Identifier: MIT
#pragma once
#include <algorithm>
#include <cuda_fp16.h>

#include "kernels/cuda/warp.cuh"
#include "kernels/ops.h"

/// What the kernels of attention share.
namespace sw::cuda {

inline constexpr float kLog2E = 1.44269504f;
/// A row of partial results ends with the largest score, the sum of weights and, where rows are read in
/// quads, two floats that keep the next one aligned.
inline constexpr int kPartTail = 4;

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
inline TokenBatch tokens_of(const TokenBatch& batch, int64_t begin, int64_t n, const Rope& rope) {
  return {.n_token = n,
          .pos = batch.pos + begin,
          .seq = batch.seq + begin,
          .n_alone = std::clamp<int64_t>(batch.n_alone - begin, 0, n),
          .block_tables = batch.block_tables,
          .rope_cos = batch.rope_cos + begin * rope.n_pair(),
          .rope_sin = batch.rope_sin + begin * rope.n_pair()};
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

/// Splits at most: a warp weighs their parts at once.
inline constexpr int kMaxParts = 128;

/// Partial results of one head of a token, `n` rows of [dim] values and the tail. Loads do not wait for each
/// other; sums have the order of the parts.
struct SoftmaxParts {
  const float* rows;
  int n, dim;

  __device__ const float* row(int i) const { return rows + int64_t{i} * (dim + kPartTail); }

  /// By a warp: each part's weight relative to the largest score to weights [kMaxParts], 0 for a part that
  /// has seen no key. Returns the largest score and the sum.
  __device__ float2 weigh(float* weights) const {
    constexpr int kEach = kMaxParts / kWarp;
    const int lane = threadIdx.x % kWarp;
    float2 stats[kEach];
    float top = -INFINITY, sum = 0;
#pragma unroll
    for (int v = 0; v < kEach; ++v) {
      const int i = lane + v * kWarp;
      stats[v] = i < n ? *reinterpret_cast<const float2*>(row(i) + dim) : make_float2(-INFINITY, 0);
    }
#pragma unroll
    for (const float2& s : stats) top = fmaxf(top, s.x);
    top = lane_max(top);
#pragma unroll
    for (int v = 0; v < kEach; ++v) {
      const float weight = stats[v].y == 0 ? 0 : exp2f(stats[v].x - top);
      weights[lane + v * kWarp] = weight;
      sum = fmaf(weight, stats[v].y, sum);
    }
    return {top, lane_sum(sum)};
  }

  /// Dims d and d + 1, weighted and added up.
  __device__ float2 add(const float* weights, int d) const {
    constexpr int kAtOnce = 12;
    float2 all = {};
    for (int begin = 0; begin < n; begin += kAtOnce) {
      float2 x[kAtOnce];
#pragma unroll
      for (int i = 0; i < kAtOnce; ++i) {
        const bool counts = begin + i < n && weights[begin + i] != 0;
        x[i] = counts ? *reinterpret_cast<const float2*>(row(begin + i) + d) : make_float2(0, 0);
      }
#pragma unroll
      for (int i = 0; i < kAtOnce; ++i) {
        const float weight = begin + i < n ? weights[begin + i] : 0;
        all.x = fmaf(weight, x[i].x, all.x);
        all.y = fmaf(weight, x[i].y, all.y);
      }
    }
    return all;
  }
};

}  // namespace sw::cuda
