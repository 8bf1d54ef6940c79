// SPDX-License-Identifier: MIT
#pragma once
#include <climits>

#include "kernels/attention_parts.h"
#include "kernels/cuda/attention/attend_finish.cuh"
#include "kernels/cuda/queue.h"

/// From a description and a call's arguments to what the kernels read.
namespace sw::cuda {

inline FinishTask finish_task(const AttentionDesc& d, const AttentionArgs& args, float* qkv) {
  const bool per_head = d.qk_norm.over == QkNorm::Over::Head;
  return {.qkv = qkv,
          .batch = args.batch,
          .kv = args.kv,
          .n_head = d.n_head,
          .n_head_kv = d.n_head_kv,
          .head_dim = d.head_dim,
          .clip = d.clip,
          .rope = d.rope,
          .rms_eps = d.rms_eps,
          .q_norm = per_head ? d.qk_norm.q.data : nullptr,
          .k_norm = per_head ? d.qk_norm.k.data : nullptr};
}

inline AttendTask attend_task(const AttentionDesc& d, const AttentionArgs& args, TensorView<float> qkv,
                              float* out) {
  return {.queries = qkv.data(),
          .query_stride = qkv.stride(),
          .batch = args.batch,
          .kv = args.kv,
          .n_head = d.n_head,
          .n_head_kv = d.n_head_kv,
          .head_dim = d.head_dim,
          .window = d.mask.window > 0 ? d.mask.window : INT_MAX,
          .sinks = d.sinks,
          .scale = attention_scale(d) * kLog2E,
          .out = out};
}

template <class Element>
void finish(const FinishTask& task, cudaStream_t stream) {
  const unsigned blocks = n_blocks(task.batch.n_token * n_blocks(task.n_all_heads(), kFinishWarps), 1);
  const auto kernel =
      task.head_dim <= 128 ? finish_kernel<Element, 128> : finish_kernel<Element, kMaxHeadDim>;
  kernel<<<blocks, kFinishWarps * kWarp, 0, stream>>>(task);
  SW_CUDA_LAUNCHED();
}

}  // namespace sw::cuda
