// SPDX-License-Identifier: MIT
#pragma once
#include "kernels/cuda/attention/attend_parts.cuh"

/// Attention of few tokens over long contexts: the keys of a token are split over blocks. Key p belongs to
/// unit p / kUnitKeys, and the units that a token sees go round the splits, whatever the position: the grid
/// never depends on it.
/// A row of partial results is [head_dim] weighted values, then the largest score, then the sum of weights.
namespace sw::cuda {

inline constexpr int kSplitWarps = 4;
inline constexpr int kWarpKeys = 8;  ///< that a warp loads at once
inline constexpr int kUnitKeys = kSplitWarps * kWarpKeys;

struct SplitTask {
  AttendTask attend = {};
  int n_split = 0;
  int n_chunk = 0;         ///< parts that a group of heads is cut into, as registers hold few
  float* parts = nullptr;  ///< [n_token, n_head, n_split, head_dim + 2]; unused with one split
};

/// The keys of one token: positions [first, end), and the units that they lie in.
struct SeenKeys {
  int first, end;

  __device__ SeenKeys(const AttendTask& task, int64_t token)
      : first(task.first_seen(task.batch.pos[token])), end(task.batch.pos[token] + 1) {}
  __device__ bool has(int pos) const {
    return static_cast<unsigned>(pos - first) < static_cast<unsigned>(end - first);
  }
  __device__ int first_unit() const { return first / kUnitKeys; }
  __device__ int n_unit() const { return (end - 1) / kUnitKeys - first_unit() + 1; }
};

/// What a warp knows of its share of the keys. Lane l holds the dims (l + 32 v) * 4 ... + 3.
template <int kHeads, int kVecs>
struct WarpState {
  float4 query[kHeads][kVecs], acc[kHeads][kVecs];
  float top[kHeads], sum[kHeads];

  __device__ void start(const AttendTask& task, int64_t token, int first_head, int n_head) {
    const int lane = threadIdx.x % kWarp;
    for (int h = 0; h < kHeads; ++h) {
      top[h] = -INFINITY;
      sum[h] = 0;
      for (int v = 0; v < kVecs; ++v) {
        const int dim = (lane + kWarp * v) * 4;
        const float* at =
            task.queries + token * task.query_stride + int64_t{first_head + h} * task.head_dim + dim;
        query[h][v] = h < n_head && dim < task.head_dim ? scaled4(load4(at), task.scale) : float4{};
        acc[h][v] = {};
      }
    }
  }

  /// Keys [first, first + kWarpKeys) of which those that are seen count, at least one.
  template <class Element>
  __device__ void attend(const CachedRows<Element>& keys, const CachedRows<Element>& values, int first,
                         const SeenKeys& seen) {
    float4 rows[kWarpKeys][kVecs];
    load(keys, first, seen, rows);
    float scores[kHeads][kWarpKeys];
    for (int h = 0; h < kHeads; ++h) {
      for (int k = 0; k < kWarpKeys; ++k) {
        float dot = 0;
        for (int v = 0; v < kVecs; ++v) dot = add_dot(dot, query[h][v], rows[k][v]);
        scores[h][k] = seen.has(first + k) ? lane_sum(dot) : -INFINITY;
      }
    }
    load(values, first, seen, rows);
    for (int h = 0; h < kHeads; ++h) add(h, scores[h], rows);
  }

  __device__ void store(int h, int head_dim, float* row) const {
    const int lane = threadIdx.x % kWarp;
    for (int v = 0; v < kVecs; ++v) {
      const int dim = (lane + kWarp * v) * 4;
      if (dim >= head_dim) continue;
      row[dim] = acc[h][v].x;
      row[dim + 1] = acc[h][v].y;
      row[dim + 2] = acc[h][v].z;
      row[dim + 3] = acc[h][v].w;
    }
    if (lane == 0) {
      row[head_dim] = top[h];
      row[head_dim + 1] = sum[h];
    }
  }

 private:
  template <class Element>
  __device__ static void load(const CachedRows<Element>& from, int first, const SeenKeys& seen,
                              float4 (&rows)[kWarpKeys][kVecs]) {
    const int lane = threadIdx.x % kWarp;
    for (int k = 0; k < kWarpKeys; ++k) {
      for (int v = 0; v < kVecs; ++v) {
        const int dim = (lane + kWarp * v) * 4;
        rows[k][v] = seen.has(first + k) && dim < from.head_dim ? load4(from.row(first + k) + dim) : float4{};
      }
    }
  }

  __device__ void add(int h, const float (&scores)[kWarpKeys], const float4 (&rows)[kWarpKeys][kVecs]) {
    float new_top = top[h];
    for (const float s : scores) new_top = fmaxf(new_top, s);
    const float shrink = exp2f(top[h] - new_top);
    top[h] = new_top;
    sum[h] *= shrink;
    for (int v = 0; v < kVecs; ++v) acc[h][v] = scaled4(acc[h][v], shrink);
    for (int k = 0; k < kWarpKeys; ++k) {
      const float weight = exp2f(scores[k] - new_top);
      sum[h] += weight;
      for (int v = 0; v < kVecs; ++v) add_scaled4(acc[h][v], weight, rows[k][v]);
    }
  }
};

/// A block takes one token, up to kHeads query heads that share a key head, and one split.
template <class Element, int kHeads, int kVecs>
__global__ void __launch_bounds__(kSplitWarps* kWarp) attend_split_kernel(const SplitTask task) {
  __shared__ float shared[kSplitWarps][kHeads][kVecs * kWarp * 4 + 2];
  const AttendTask& a = task.attend;
  int64_t block = blockIdx.x;
  const int split = static_cast<int>(block % task.n_split);
  block /= task.n_split;
  const int chunk = static_cast<int>(block % task.n_chunk);
  block /= task.n_chunk;
  const int kv_head = static_cast<int>(block % a.n_head_kv);
  const int64_t token = block / a.n_head_kv;
  const SeenKeys seen(a, token);
  if (split >= seen.n_unit()) return;  // the whole block, and nobody reads its part

  const int first_head = kv_head * a.group() + chunk * kHeads;
  const int n_head = min(kHeads, a.group() - chunk * kHeads);
  const int warp = threadIdx.x / kWarp;
  const CachedRows<Element> keys(a.kv.k, a, a.batch.seq[token], kv_head);
  const CachedRows<Element> values(a.kv.v, a, a.batch.seq[token], kv_head);
  WarpState<kHeads, kVecs> state;
  state.start(a, token, first_head, n_head);
  for (int unit = split; unit < seen.n_unit(); unit += task.n_split) {
    const int first = (seen.first_unit() + unit) * kUnitKeys + warp * kWarpKeys;
    if (first < seen.end && first + kWarpKeys > seen.first) state.attend(keys, values, first, seen);
  }
  for (int h = 0; h < kHeads; ++h) state.store(h, a.head_dim, shared[warp][h]);
  __syncthreads();
  for (int i = threadIdx.x; i < n_head * a.head_dim; i += kSplitWarps * kWarp) {
    const int h = i / a.head_dim, dim = i % a.head_dim;
    const Merged all =
        merge_parts(shared[0][h], sizeof shared[0] / sizeof(float), kSplitWarps, a.head_dim, dim);
    const int64_t row = token * a.n_head + first_head + h;
    if (task.n_split == 1) {
      a.out[row * a.head_dim + dim] = all.value / a.divisor(all.sum, all.top, first_head + h);
      continue;
    }
    float* part = task.parts + (row * task.n_split + split) * (a.head_dim + 2);
    part[dim] = all.value;
    if (dim == 0) {
      part[a.head_dim] = all.top;
      part[a.head_dim + 1] = all.sum;
    }
  }
}

/// A block adds up the splits of one head of one token, a thread a dimension.
static __global__ void __launch_bounds__(256) combine_kernel(const SplitTask task) {
  const AttendTask& a = task.attend;
  const int64_t row = blockIdx.x, token = row / a.n_head;
  const int dim = threadIdx.x, head = static_cast<int>(row - token * a.n_head);
  if (dim >= a.head_dim) return;
  const int n_unit = SeenKeys(a, token).n_unit();
  const int stride = a.head_dim + 2;
  const Merged all = merge_parts(task.parts + row * task.n_split * stride, stride, min(task.n_split, n_unit),
                                 a.head_dim, dim);
  a.out[row * a.head_dim + dim] = all.value / a.divisor(all.sum, all.top, head);
}

}  // namespace sw::cuda
