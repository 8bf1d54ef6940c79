// SPDX-License-Identifier: MIT
#pragma once
#include "kernels/cuda/expert_slots.cuh"
#include "kernels/cuda/few/stage.cuh"
#include "kernels/cuda/warp.cuh"

/// The experts of few tokens, and the shared expert as one slot more.
namespace sw::cuda {

/// A stack, and the shared expert's matrix.
struct FewStack {
  ExpertMatrices experts;
  const uint8_t* shared = nullptr;  ///< or null
  int64_t row_bytes, n_out;
  int n_in;
  const float* bias = nullptr;  ///< [n_expert, n_out] or null

  FewStack(const ExpertStack& stack, const Linear& shared_expert)
      : experts(stack),
        shared(reinterpret_cast<const uint8_t*>(shared_expert.weight.data)),
        row_bytes(static_cast<int64_t>(sw::row_bytes(stack.formats[0].type, stack.n_in))),
        n_out(stack.n_out),
        n_in(static_cast<int>(stack.n_in)),
        bias(stack.bias) {}
  /// Of the shared expert alone, or of a dense network.
  explicit FewStack(const Linear& linear)
      : shared(reinterpret_cast<const uint8_t*>(linear.weight.data)),
        row_bytes(static_cast<int64_t>(linear.weight.row_size_bytes())),
        n_out(linear.n_out()),
        n_in(static_cast<int>(linear.n_in())) {}

  __device__ const uint8_t* stage_rows_by_warp(uint8_t* to, const uint8_t* matrix, int64_t row,
                                               int n_row) const {
    return stage(to, matrix + row * row_bytes, n_row * static_cast<int>(row_bytes), threadIdx.x % kWarp,
                 kWarp);
  }
};

/// The slots of a token: those that were routed, then the shared expert's.
struct FewSlots {
  ExpertSlots routed;
  bool shared;

  __host__ __device__ int n_slot() const { return routed.n_slot + (shared ? 1 : 0); }
  __device__ bool is_shared(int s) const { return s == routed.n_slot; }
};

/// Where the matrix of slot s is; null where there is nothing to do. The routed ones are known after
/// wait_for_previous() alone.
__device__ __forceinline__ const uint8_t* matrix_of(const FewStack& stack, const FewSlots& slots, int64_t t,
                                                    int s) {
  if (slots.is_shared(s)) return stack.shared;
  if (s >= slots.routed.n_used(t)) return nullptr;
  const int32_t id = slots.routed.id(t, s);
  return slots.routed.in_table(id) ? stack.experts.at(id) : nullptr;
}

}  // namespace sw::cuda
