// SPDX-License-Identifier: MIT
#pragma once
#include "kernels/cuda/attention/attend_parts.cuh"

namespace sw::cuda {

inline constexpr int kMlaFinishThreads = 256;

/// The products of queries and of the latent in the making.
struct MlaFinishTask {
  float* queries = nullptr;   ///< [n_token, n_head, query_dim]; the last n_rot dims are rotated in place
  const float* kv = nullptr;  ///< [n_token, kv_rank + n_rot]
  TokenBatch batch = {};
  KvLayerView cache = {};
  int n_head = 0, query_dim = 0, kv_rank = 0;
  Rope rope = {};
  float eps = 0, latent_scale = 0;
  const float* kv_norm = nullptr;
};

/// Appends a token's latent and its rotated part to the cache and rotates its queries. A block per token.
template <class Element>
__global__ void __launch_bounds__(kMlaFinishThreads) mla_finish_kernel(const MlaFinishTask task) {
  __shared__ float of_warp[kMlaFinishThreads / kWarp];
  const int64_t token = blockIdx.x;
  const int thread = threadIdx.x, width = task.kv_rank + task.rope.n_rot, half = task.rope.n_pair();
  const float* kv = task.kv + token * width;
  const int32_t* pages = task.batch.block_tables[task.batch.seq[token]];
  Element* cached = CachedRows<Element>(task.cache.k, task.cache, pages, 0, width).row(task.batch.pos[token]);
  float squares = 0;
  for (int i = thread; i < task.kv_rank; i += kMlaFinishThreads) squares = fmaf(kv[i], kv[i], squares);
  squares = lane_sum(squares);
  if (thread % kWarp == 0) of_warp[thread / kWarp] = squares;
  __syncthreads();
  float total = 0;
  for (const float part : of_warp) total += part;
  const float scale = task.latent_scale / sqrtf(total / static_cast<float>(task.kv_rank) + task.eps);
  for (int i = thread; i < task.kv_rank; i += kMlaFinishThreads)
    cached[i] = Element(kv[i] * scale * task.kv_norm[i]);  // to nearest, ties to even

  const float* cos = task.batch.rope_cos + token * half;
  const float* sin = task.batch.rope_sin + token * half;
  for (int i = thread; i < (task.n_head + 1) * half; i += kMlaFinishThreads) {
    const int head = i / half, pair = i % half;
    const int2 at = rotary_pair(pair, task.rope);
    if (head == task.n_head) {  // the part that all heads share
      const float x = kv[task.kv_rank + at.x], y = kv[task.kv_rank + at.y];
      cached[task.kv_rank + at.x] = Element(x * cos[pair] - y * sin[pair]);
      cached[task.kv_rank + at.y] = Element(y * cos[pair] + x * sin[pair]);
    } else {
      float* query = task.queries + (token * task.n_head + head + 1) * task.query_dim - task.rope.n_rot;
      const float x = query[at.x], y = query[at.y];
      query[at.x] = x * cos[pair] - y * sin[pair];
      query[at.y] = y * cos[pair] + x * sin[pair];
    }
  }
}

}  // namespace sw::cuda
