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

/// Norm and rotation of one head where it has them, and its limits, by one warp; the head ends up in `head`.
__device__ inline void finish_head(const FinishTask& task, const float* from, const float* norm,
                                   int64_t token, bool rotated, float* head) {
  const int lane = threadIdx.x % kWarp;
  float squares = 0;
  for (int i = lane; i < task.head_dim; i += kWarp) {
    const float x = from[i];
    head[i] = x;
    squares = fmaf(x, x, squares);
  }
  if (norm) {
    const float mean = lane_sum(squares) / static_cast<float>(task.head_dim);
    const float scale = 1.0f / sqrtf(mean + task.rms_eps);
    for (int i = lane; i < task.head_dim; i += kWarp) head[i] = head[i] * scale * norm[i];
  }
  if (task.clip > 0) {
    for (int i = lane; i < task.head_dim; i += kWarp) head[i] = fminf(fmaxf(head[i], -task.clip), task.clip);
  }
  __syncwarp();
  if (!rotated) return;
  const int half = task.rope.n_pair();
  const float* cos = task.batch.rope_cos + token * half;
  const float* sin = task.batch.rope_sin + token * half;
  for (int i = lane; i < half; i += kWarp) {
    const int2 at = rotary_pair(i, task.rope);
    const float x = head[at.x], y = head[at.y];
    head[at.x] = x * cos[i] - y * sin[i];
    head[at.y] = y * cos[i] + x * sin[i];
  }
  __syncwarp();
}

/// Queries stay where they were, keys and values go to the cache. One warp per head of a token.
template <class Element>
__global__ void __launch_bounds__(kFinishWarps* kWarp) finish_kernel(const FinishTask task) {
  __shared__ float heads[kFinishWarps][kMaxHeadDim];
  const int warp = threadIdx.x / kWarp, lane = threadIdx.x % kWarp;
  const int n_block = (task.n_all_heads() + kFinishWarps - 1) / kFinishWarps;  // of a token
  const int64_t token = blockIdx.x / n_block;
  const int h = static_cast<int>(blockIdx.x % n_block) * kFinishWarps + warp;
  if (h >= task.n_all_heads()) return;
  const bool is_query = h < task.n_head, is_value = h >= task.n_head + task.n_head_kv;
  float* from = task.qkv + (token * task.n_all_heads() + h) * task.head_dim;
  float* head = heads[warp];
  const float* norm = is_value ? nullptr : is_query ? task.q_norm : task.k_norm;
  finish_head(task, from, norm, token, !is_value, head);
  if (is_query) {
    for (int i = lane; i < task.head_dim; i += kWarp) from[i] = head[i];
    return;
  }
  const int kv_head = is_value ? h - task.n_head - task.n_head_kv : h - task.n_head;
  const int32_t* pages = task.batch.block_tables[task.batch.seq[token]];
  const CachedRows<Element> rows(is_value ? task.kv.v : task.kv.k, task.kv, pages, kv_head, task.head_dim);
  Element* to = rows.row(task.batch.pos[token]);
  for (int i = lane; i < task.head_dim; i += kWarp) to[i] = Element(head[i]);  // to nearest, ties to even
}

}  // namespace sw::cuda
