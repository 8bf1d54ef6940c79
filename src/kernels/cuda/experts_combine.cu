// SPDX-License-Identifier: MIT
#include "kernels/cuda/experts_combine.h"
#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/warp.cuh"

namespace sw::cuda {
namespace {

constexpr int kCombineThreads = 256;

struct CombineArgs {
  ExpertSlots slots;
  ProductRows rows;
  const void* y;  ///< [row, n_embd] the experts' products, in bf16 or f32
  int n_embd;
  const float* x;
  int64_t x_stride;
  float* out;
  int64_t out_stride;
};

/// N neighbours.
template <class T, int kN>
struct alignas(kN * sizeof(T)) Neighbors {
  T v[kN];
};

__device__ __forceinline__ float as_float(float x) { return x; }
__device__ __forceinline__ float as_float(uint16_t bf16) {
  return __uint_as_float(static_cast<uint32_t>(bf16) << 16);
}

/// A block per token.
template <class T, int kN>
__global__ void __launch_bounds__(kCombineThreads) combine_rows(CombineArgs a) {
  using Floats = Neighbors<float, kN>;
  using Products = Neighbors<T, kN>;
  extern __shared__ int32_t row_of[];  // [n_slot + 1], then as many weights
  wait_for_previous();
  let_next_start();
  const ExpertSlots& slots = a.slots;
  float* weight_of = reinterpret_cast<float*>(row_of + slots.n_slot + 1);
  const int64_t t = blockIdx.x;
  const int n_routed = slots.n_used(t), n_used = a.rows.first_shared < 0 ? n_routed : n_routed + 1;
  for (int s = static_cast<int>(threadIdx.x); s < n_routed; s += kCombineThreads) {
    row_of[s] = a.rows.row[t * slots.n_slot + s];
    const bool counts = row_of[s] >= 0 || (slots.identity && slots.id(t, s) >= slots.n_expert);
    weight_of[s] = counts ? slots.weight(t, s) : 0.0f;
  }
  if (threadIdx.x == 0 && n_used > n_routed) {
    row_of[n_routed] = a.rows.first_shared + static_cast<int32_t>(t);
    weight_of[n_routed] = 1.0f;
  }
  __syncthreads();
  float identity_weight = 0.0f;
  for (int s = 0; s < n_used; ++s) {
    if (row_of[s] < 0) identity_weight += weight_of[s];
  }
  for (int c = static_cast<int>(threadIdx.x) * kN; c < a.n_embd; c += kCombineThreads * kN) {
    Floats sum = {};
#pragma unroll 8
    for (int s = 0; s < n_used; ++s) {
      if (row_of[s] < 0) continue;
      const T* row = static_cast<const T*>(a.y) + static_cast<int64_t>(row_of[s]) * a.n_embd;
      const Products y = *reinterpret_cast<const Products*>(row + c);
#pragma unroll
      for (int i = 0; i < kN; ++i) sum.v[i] = fmaf(weight_of[s], as_float(y.v[i]), sum.v[i]);
    }
    Floats& out = *reinterpret_cast<Floats*>(a.out + t * a.out_stride + c);
    Floats to = out;
#pragma unroll
    for (int i = 0; i < kN; ++i) {
      if (identity_weight != 0.0f) sum.v[i] = fmaf(identity_weight, a.x[t * a.x_stride + c + i], sum.v[i]);
      to.v[i] += sum.v[i];
    }
    out = to;
  }
}

}  // namespace

template <class T>
void combine(const ExpertSlots& slots, const ProductRows& rows, const T* y, const ExpertsArgs& args,
             OpContext& context) {
  const CombineArgs combined{.slots = slots,
                             .rows = rows,
                             .y = y,
                             .n_embd = static_cast<int>(args.out.n_cols()),
                             .x = args.x.data(),
                             .x_stride = args.x.stride(),
                             .out = args.out.data(),
                             .out_stride = args.out.stride()};
  const bool by_quads = combined.n_embd % 4 == 0 && combined.out_stride % 4 == 0 &&
                        reinterpret_cast<uintptr_t>(combined.out) % sizeof(float4) == 0;
  const auto kernel = by_quads ? combine_rows<T, 4> : combine_rows<T, 1>;
  const size_t shared_bytes = static_cast<size_t>(slots.n_slot + 1) * (sizeof(int32_t) + sizeof(float));
  launch_early(kernel, n_blocks(args.out.n_rows(), 1), kCombineThreads, shared_bytes, *context.cuda,
               combined);
}

template void combine(const ExpertSlots&, const ProductRows&, const float*, const ExpertsArgs&, OpContext&);
template void combine(const ExpertSlots&, const ProductRows&, const uint16_t*, const ExpertsArgs&,
                      OpContext&);

}  // namespace sw::cuda
