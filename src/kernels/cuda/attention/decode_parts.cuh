// SPDX-License-Identifier: MIT
#pragma once
#include "kernels/cuda/attention/attend_finish.cuh"
#include "kernels/cuda/attention/attend_parts.cuh"
#include "kernels/cuda/attention/half_tiles.cuh"

/// What attend_decode_kernel() is told, what a block of it is about, and what a warp adds up.
namespace sw::cuda {

/// Heads are the columns of products, 8 at once, and keys their rows.
inline constexpr int kDecodeHeads = 8;

/// Sizes for heads of up to kDim. A warp streams units of 16 keys through a ring of its own.
template <int kDim, int kWarps_, int kRing_>
struct DecodeShape {
  static constexpr int kWarps = kWarps_, kThreads = kWarps * kWarp;
  static constexpr int kRing = kRing_;  ///< units of keys or of values that are there or on their way
  static constexpr uint32_t kSlotBytes = kTileRows * kDim * 2;
  /// The rings, and the new key and value.
  static constexpr size_t kSharedBytes = size_t{kWarps} * kRing * kSlotBytes + 2 * kDim * sizeof(__half);
  /// Of a head's sums: heads lie in different banks.
  static constexpr int kSumStride = kDim + 4;
  static_assert(kWarps * kDecodeHeads * kSumStride * sizeof(float) <= kSharedBytes, "the warps' sums fit");
  static_assert(kTileRows * kDim * sizeof(__half) >= kWarps * kDim * sizeof(float),
                "heads in the making fit");
};

struct DecodeTask {
  FinishTask finish = {};
  AttendTask attend = {};
  unsigned n_split = 0;
  unsigned n_chunk = 0;         ///< parts of 8 heads that a group is cut into
  unsigned least_units = 0;     ///< that a split is worth, if there are several
  float* parts = nullptr;       ///< [n_token, n_head, n_split, head_dim + kPartTail]
  uint32_t* n_ended = nullptr;  ///< [n_token, n_head_kv, n_chunk] zeros, and left so
};

/// What a block is about.
struct DecodeBlock {
  int64_t token;
  int kv_head, chunk, split;
  int pos, first;          ///< the last and first position that are seen
  int n_split;             ///< that have keys
  int begin, end;          ///< units of this one
  int first_head, n_head;  ///< queries

  __device__ explicit DecodeBlock(const DecodeTask& task) {
    const AttendTask& a = task.attend;
    unsigned block = blockIdx.x;
    split = static_cast<int>(block % task.n_split);
    block /= task.n_split;
    chunk = static_cast<int>(block % task.n_chunk);
    block /= task.n_chunk;
    kv_head = static_cast<int>(block % a.n_head_kv);
    token = block / a.n_head_kv;
    first_head = kv_head * a.group() + chunk * kDecodeHeads;
    n_head = min(kDecodeHeads, a.group() - chunk * kDecodeHeads);
    pos = a.batch.pos[token];
    first = a.first_seen(pos);
    const unsigned first_unit = first / kTileRows, n_unit = pos / kTileRows - first_unit + 1;
    n_split = static_cast<int>(min(max(n_unit / task.least_units, 1u), static_cast<unsigned>(task.n_split)));
    begin = static_cast<int>(first_unit + n_unit * split / n_split);
    end = static_cast<int>(first_unit + n_unit * (split + 1) / n_split);
  }
  __device__ bool is_empty() const { return split >= n_split; }
  __device__ bool owns_last() const { return split == n_split - 1; }
};

/// What the threads of a block tell each other.
template <int kWarps>
struct DecodeShared {
  float top[kWarps][kDecodeHeads], sum[kWarps][kDecodeHeads];
  float divisor[kDecodeHeads];
  bool is_last;
};

/// The running softmax of the heads of a warp and what it adds up. Lane l has heads 2 * (l % 4) and the next.
template <int kDim>
struct RunningHeads {
  float acc[kDim / 16][4] = {};                        ///< dims 16 i + l / 4 and + 8, in the places of sums
  float top[2] = {-INFINITY, -INFINITY}, sum[2] = {};  ///< a sum is of the lane's own keys until close()

  /// From scores, powers of 2, of 16 keys to weights.
  __device__ __forceinline__ void weigh(float (&scores)[4]) {
    float shrink[2];
#pragma unroll
    for (int h = 0; h < 2; ++h) {
      float most = fmaxf(scores[h], scores[2 + h]);
#pragma unroll
      for (int distance = 4; distance < kWarp; distance *= 2)
        most = fmaxf(most, __shfl_xor_sync(kAllLanes, most, distance));
      most = fmaxf(fmaxf(most, top[h]), -FLT_MAX);
      shrink[h] = fast_exp2(top[h] - most);
      top[h] = most;
      scores[h] = fast_exp2(scores[h] - most);
      scores[2 + h] = fast_exp2(scores[2 + h] - most);
      sum[h] = fmaf(sum[h], shrink[h], scores[h] + scores[2 + h]);
    }
#pragma unroll
    for (auto& tile : acc) {
#pragma unroll
      for (int i = 0; i < 4; ++i) tile[i] *= shrink[i % 2];
    }
  }
  __device__ __forceinline__ void close() {
#pragma unroll
    for (float& x : sum) {
#pragma unroll
      for (int distance = 4; distance < kWarp; distance *= 2) x += __shfl_xor_sync(kAllLanes, x, distance);
    }
  }
};

}  // namespace sw::cuda
