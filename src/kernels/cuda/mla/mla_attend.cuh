// SPDX-License-Identifier: MIT
#pragma once
#include "kernels/cuda/attention/attend_parts.cuh"

/// Attention over latents. All heads of a token read the same cached rows: a latent, which is key and value
/// at once, and the rotated part, which is key alone. A block takes up to kMlaHeads heads of one token and
/// every n_split-th tile of its keys, and keeps a running softmax. Key p belongs to tile p / kMlaKeys
/// whatever the position: the grid never depends on it.
namespace sw::cuda {

inline constexpr int kMlaHeads = 16, kMlaKeys = 16;  ///< rows and columns of a tile of scores, a thread each
inline constexpr int kMlaThreads = kMlaHeads * kMlaKeys;
inline constexpr int kMaxLatent = 512, kMaxMlaRot = 64;

struct MlaTask {
  float* latents = nullptr;  ///< [n_token, n_head, kv_rank] queries on the latent's side; then the values
  const float* queries = nullptr;  ///< [n_token, n_head, query_dim], the last n_rot dims rotated
  TokenBatch batch = {};
  KvLayerView kv = {};
  int n_head = 0, query_dim = 0, n_rot = 0, kv_rank = 0;
  float scale = 0;  ///< log2(e) * the softmax's scale
  int n_split = 0;
  float* parts = nullptr;  ///< [n_token, n_head, n_split, kv_rank + kPartTail]; unused with one split

  __host__ __device__ constexpr int width() const { return kv_rank + n_rot; }
  /// In shared memory, in floats: an odd multiple of 4, so that eight neighbouring rows lie in different
  /// banks.
  __host__ __device__ constexpr int row_stride() const { return width() + 4; }
  __host__ __device__ int n_chunk() const { return (n_head + kMlaHeads - 1) / kMlaHeads; }
  __device__ int n_tile(int64_t token) const { return batch.pos[token] / kMlaKeys + 1; }
  constexpr size_t shared_bytes() const {
    return sizeof(float) * static_cast<size_t>((kMlaHeads + kMlaKeys) * row_stride());
  }
};

/// What the threads of a block tell each other.
struct MlaShared {
  float4 weights[kMlaHeads][kMlaKeys / 4 + 1];  ///< of a tile; one quad more: rows begin at different banks
  float shrink[kMlaHeads];                      ///< what becomes of the values so far
  float top[kMlaHeads], sum[kMlaHeads];         ///< at the end
};

/// Copies 16 rows of width() to shared memory, 16 threads a row; row(r) is called once a row and gives a
/// function from a dim, a multiple of 4, to four values.
template <class Row>
__device__ __forceinline__ void load_rows(const MlaTask& task, float* to, Row&& row) {
  const int r = threadIdx.x / kMlaKeys;
  const auto values = row(r);
  for (int dim = threadIdx.x % kMlaKeys * 4; dim < task.width(); dim += kMlaKeys * 4)
    *reinterpret_cast<float4*>(to + r * task.row_stride() + dim) = values(dim);
}

/// Scores of one tile of keys and the running softmax: thread (head, key) of a block.
struct MlaScores {
  int head = threadIdx.x / kMlaKeys, key = threadIdx.x % kMlaKeys;
  float top = -INFINITY, sum = 0;

  /// `n_key` of the tile's keys count, at least one.
  __device__ __forceinline__ void add(const MlaTask& task, const float* queries, const float* keys, int n_key,
                                      MlaShared& shared) {
    const float* query_row = queries + head * task.row_stride();
    const float* key_row = keys + key * task.row_stride();
    float4 dot = {};
    for (int dim = 0; dim < task.width(); dim += 4) {
      const float4 q = load4(query_row + dim), k = load4(key_row + dim);
      dot = {fmaf(q.x, k.x, dot.x), fmaf(q.y, k.y, dot.y), fmaf(q.z, k.z, dot.z), fmaf(q.w, k.w, dot.w)};
    }
    const float score = key < n_key ? (dot.x + dot.y) + (dot.z + dot.w) : -INFINITY;
    const float new_top = fmaxf(top, lane_max<kMlaKeys>(score));
    const float shrink = exp2f(top - new_top), weight = exp2f(score - new_top);
    top = new_top;
    sum = fmaf(sum, shrink, weight);  // of the lane's own keys
    reinterpret_cast<float*>(shared.weights[head])[key] = weight;
    if (key == 0) shared.shrink[head] = shrink;
  }
};

/// The weighted values: a thread has four neighbouring heads, and of each the quads x and x + kQuads.
struct MlaValues {
  static constexpr int kHeads = 4, kQuads = kMlaThreads / (kMlaHeads / kHeads),
                       kVecs = kMaxLatent / (4 * kQuads);
  int first_head = threadIdx.x / kQuads * kHeads, x = threadIdx.x % kQuads;
  float4 acc[kHeads][kVecs] = {};

  __device__ int dim(int v) const { return (x + kQuads * v) * 4; }

  __device__ __forceinline__ void add(const MlaTask& task, const float* rows, const MlaShared& shared) {
#pragma unroll
    for (int h = 0; h < kHeads; ++h) {
#pragma unroll
      for (int v = 0; v < kVecs; ++v) acc[h][v] = scaled4(acc[h][v], shared.shrink[first_head + h]);
    }
    for (int k = 0; k < kMlaKeys; k += 4) {
      float4 weight[kHeads];
#pragma unroll
      for (int h = 0; h < kHeads; ++h) weight[h] = shared.weights[first_head + h][k / 4];
#pragma unroll
      for (int v = 0; v < kVecs; ++v) {
        if (dim(v) >= task.kv_rank) continue;
        const float* value = rows + k * task.row_stride() + dim(v);
        const float4 a = load4(value), b = load4(value + task.row_stride()),
                     c = load4(value + 2 * task.row_stride()), d = load4(value + 3 * task.row_stride());
#pragma unroll
        for (int h = 0; h < kHeads; ++h) {
          add_scaled4(acc[h][v], weight[h].x, a);
          add_scaled4(acc[h][v], weight[h].y, b);
          add_scaled4(acc[h][v], weight[h].z, c);
          add_scaled4(acc[h][v], weight[h].w, d);
        }
      }
    }
  }

  /// Heads `begin` on of the token, `n` of them: values where there is one split, else the split's part.
  __device__ void write(const MlaTask& task, int64_t token, int begin, int n, int split,
                        const MlaShared& shared) const {
    const bool whole = task.n_split == 1;
#pragma unroll
    for (int i = 0; i < kHeads; ++i) {
      const int h = first_head + i;
      if (h >= n) continue;
      const int64_t row = token * task.n_head + begin + h;
      float* out = whole ? task.latents + row * task.kv_rank
                         : task.parts + (row * task.n_split + split) * (task.kv_rank + kPartTail);
      const float scale = whole ? 1.0f / shared.sum[h] : 1.0f;
#pragma unroll
      for (int v = 0; v < kVecs; ++v) {
        if (dim(v) < task.kv_rank) *reinterpret_cast<float4*>(out + dim(v)) = scaled4(acc[i][v], scale);
      }
      if (whole || x != 0) continue;
      out[task.kv_rank] = shared.top[h];
      out[task.kv_rank + 1] = shared.sum[h];
    }
  }
};

template <class Element>
__global__ void __launch_bounds__(kMlaThreads) mla_attend_kernel(const MlaTask task) {
  extern __shared__ float4 rows[];
  __shared__ MlaShared shared;
  float* queries = reinterpret_cast<float*>(rows);
  float* keys = queries + kMlaHeads * task.row_stride();
  int64_t block = blockIdx.x;
  const int split = static_cast<int>(block % task.n_split);
  block /= task.n_split;
  const int begin = static_cast<int>(block % task.n_chunk()) * kMlaHeads;
  const int64_t token = block / task.n_chunk();
  const int n_tile = task.n_tile(token), n_head = min(kMlaHeads, task.n_head - begin);
  if (split >= n_tile) return;  // the whole block, and nobody reads its part

  load_rows(task, queries, [&](int h) {
    const int64_t row = token * task.n_head + begin + h;
    return [&task, row, there = h < n_head](int dim) {
      if (!there) return float4{};
      const float* from = dim < task.kv_rank
                              ? task.latents + row * task.kv_rank + dim
                              : task.queries + (row + 1) * task.query_dim - task.n_rot + dim - task.kv_rank;
      return scaled4(load4(from), task.scale);
    };
  });
  const CachedRows<Element> cached(task.kv.k, task.kv, task.batch.block_tables[task.batch.seq[token]], 0,
                                   task.width());
  const int n_kv = task.batch.pos[token] + 1;
  MlaScores scores;
  MlaValues values;
  for (int tile = split; tile < n_tile; tile += task.n_split) {
    const int first = tile * kMlaKeys, n_key = min(kMlaKeys, n_kv - first);
    __syncthreads();  // all have read the keys before
    load_rows(task, keys, [&](int k) {
      const Element* row = k < n_key ? cached.row(first + k) : nullptr;  // behind, nothing was ever written
      return [row](int dim) { return row ? load4(row + dim) : float4{}; };
    });
    __syncthreads();
    scores.add(task, queries, keys, n_key, shared);
    __syncthreads();
    values.add(task, keys, shared);
  }
  const float sum = lane_sum<kMlaKeys>(scores.sum);
  if (scores.key == 0) {
    shared.top[scores.head] = scores.top;
    shared.sum[scores.head] = sum;
  }
  __syncthreads();
  values.write(task, token, begin, n_head, split, shared);
}

/// A block adds up the splits of one head of one token.
static __global__ void __launch_bounds__(kMlaThreads) mla_combine_kernel(const MlaTask task) {
  const int64_t row = blockIdx.x;
  const int stride = task.kv_rank + kPartTail, n = min(task.n_split, task.n_tile(row / task.n_head));
  for (int dim = threadIdx.x; dim < task.kv_rank; dim += kMlaThreads) {
    const Merged all = merge_parts(task.parts + row * task.n_split * stride, stride, n, task.kv_rank, dim);
    task.latents[row * task.kv_rank + dim] = all.value / all.sum;
  }
}

}  // namespace sw::cuda
