// SPDX-License-Identifier: MIT
#pragma once
#include "kernels/cuda/attention/attend_parts.cuh"

namespace sw::cuda {

inline constexpr int kMaxHeadDim = 256;
inline constexpr int kFinishWarps = 8;

/// The product of qkv, biases added, in the making.
struct FinishTask {
  float* qkv = nullptr;  ///< [n_token, n_head + 2 * n_head_kv, head_dim]
  TokenBatch batch = {};
  KvLayerView kv = {};
  int n_head = 0, n_head_kv = 0, head_dim = 0;
  float clip = 0;
  Rope rope = {};
  float rms_eps = 0;
  const float* q_norm = nullptr;
  const float* k_norm = nullptr;

  __host__ __device__ int n_all_heads() const { return n_head + 2 * n_head_kv; }
};

/// Norm and rotation of one head of up to kDim where it has them, and its limits, by one warp. All that they
/// need is loaded at once, and what the product does not give can be loaded before it is there.
template <int kDim>
class HeadFinish {
 public:
  /// `h` counts queries, keys and values.
  __device__ __forceinline__ HeadFinish(const FinishTask& task, int64_t token, int h) : task_(task) {
    const bool is_query = h < task.n_head, is_value = h >= task.n_head + task.n_head_kv;
    from_ = task.qkv + (token * task.n_all_heads() + h) * task.head_dim;
    has_norm_ = !is_value && (is_query ? task.q_norm : task.k_norm);
    n_pair_ = is_value ? 0 : task.rope.n_pair();
    const float* norm = is_query ? task.q_norm : task.k_norm;
    const float* cos = task.batch.rope_cos + token * n_pair_;
    const float* sin = task.batch.rope_sin + token * n_pair_;
#pragma unroll
    for (int v = 0; v < kEach; ++v) norm_[v] = has_norm_ && dim(v) < task.head_dim ? norm[dim(v)] : 0;
#pragma unroll
    for (int v = 0; v < kPairs; ++v) {
      cos_[v] = dim(v) < n_pair_ ? cos[dim(v)] : 0;
      sin_[v] = dim(v) < n_pair_ ? sin[dim(v)] : 0;
    }
  }

  /// Once the product is there.
  __device__ __forceinline__ void load() {
#pragma unroll
    for (int v = 0; v < kEach; ++v) x_[v] = dim(v) < task_.head_dim ? from_[dim(v)] : 0;
  }
  /// What was loaded becomes `head`.
  __device__ __forceinline__ void run(float* head) {
    float squares = 0;
#pragma unroll
    for (int v = 0; v < kEach; ++v) squares = fmaf(x_[v], x_[v], squares);
    if (has_norm_) {
      const float mean = lane_sum(squares) / static_cast<float>(task_.head_dim);
      const float scale = 1.0f / sqrtf(mean + task_.rms_eps);
#pragma unroll
      for (int v = 0; v < kEach; ++v) x_[v] = x_[v] * scale * norm_[v];
    }
#pragma unroll
    for (int v = 0; v < kEach; ++v) {
      if (task_.clip > 0) x_[v] = fminf(fmaxf(x_[v], -task_.clip), task_.clip);
      if (dim(v) < task_.head_dim) head[dim(v)] = x_[v];
    }
    __syncwarp();
    if (n_pair_ == 0) return;
#pragma unroll
    for (int v = 0; v < kPairs; ++v) {
      if (dim(v) < n_pair_) rotate(dim(v), cos_[v], sin_[v], head);
    }
    __syncwarp();
  }

 private:
  static constexpr int kEach = kDim / kWarp, kPairs = (kEach + 1) / 2;

  __device__ static int dim(int v) { return static_cast<int>(threadIdx.x) % kWarp + v * kWarp; }
  __device__ void rotate(int pair, float cos, float sin, float* head) const {
    const int2 at = rotary_pair(pair, task_.rope);
    const float x = head[at.x], y = head[at.y];
    head[at.x] = x * cos - y * sin;
    head[at.y] = y * cos + x * sin;
  }

  const FinishTask& task_;
  const float* from_;
  bool has_norm_;
  int n_pair_;
  float x_[kEach], norm_[kEach], cos_[kPairs], sin_[kPairs];
};

/// Queries stay where they were, keys and values go to the cache. One warp per head, of up to kDim, of a
/// token.
template <class Element, int kDim>
__global__ void __launch_bounds__(kFinishWarps* kWarp) finish_kernel(const FinishTask task) {
  __shared__ float heads[kFinishWarps][kDim];
  const int warp = threadIdx.x / kWarp, lane = threadIdx.x % kWarp;
  const int n_block = (task.n_all_heads() + kFinishWarps - 1) / kFinishWarps;  // of a token
  const int64_t token = blockIdx.x / n_block;
  const int h = static_cast<int>(blockIdx.x % n_block) * kFinishWarps + warp;
  if (h >= task.n_all_heads()) return;
  const bool is_query = h < task.n_head, is_value = h >= task.n_head + task.n_head_kv;
  float* head = heads[warp];
  HeadFinish<kDim> finish(task, token, h);
  finish.load();
  Element* to = nullptr;  // where a key or value goes; found while its head is on its way
  if (!is_query) {
    const int kv_head = is_value ? h - task.n_head - task.n_head_kv : h - task.n_head;
    const int32_t* pages = task.batch.block_tables[task.batch.seq[token]];
    const CachedRows<Element> rows(is_value ? task.kv.v : task.kv.k, task.kv, pages, kv_head, task.head_dim);
    to = rows.row(task.batch.pos[token]);
  }
  finish.run(head);
  if (is_query) {
    float* from = task.qkv + (token * task.n_all_heads() + h) * task.head_dim;
    for (int i = lane; i < task.head_dim; i += kWarp) from[i] = head[i];
    return;
  }
  for (int i = lane; i < task.head_dim; i += kWarp) to[i] = Element(head[i]);  // to nearest, ties to even
}

}  // namespace sw::cuda
