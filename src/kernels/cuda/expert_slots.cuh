// SPDX-License-Identifier: MIT
#pragma once
#include <cstring>

#include "kernels/ops.h"

namespace sw::cuda {

/// An entry of a table, by one load; all lanes of a warp ask for the same one.
__device__ __forceinline__ ExpertMatrix load_expert(const ExpertMatrix* table, int32_t id) {
  const int4 bits = __ldg(reinterpret_cast<const int4*>(table + id));
  ExpertMatrix matrix;
  memcpy(&matrix, &bits, sizeof matrix);
  // The compiler knows of a kernel's arguments that they point to global memory, but not of an address that
  // was loaded: it would read the weights by generic loads, which are slower.
  size_t global;
  asm("cvta.to.global.u64 %0, %1;" : "=l"(global) : "l"(matrix.data));
  matrix.data = static_cast<const std::byte*>(__cvta_global_to_generic(global));
  return matrix;
}

/// Where the matrices of a stack are, as kernels find them.
struct ExpertMatrices {
  const ExpertMatrix* table = nullptr;
  const uint8_t* even = nullptr;  ///< or null
  int64_t stride_bytes = 0;

  ExpertMatrices() = default;  ///< of no experts
  explicit ExpertMatrices(const ExpertStack& stack)
      : table(stack.table),
        even(reinterpret_cast<const uint8_t*>(stack.even)),
        stride_bytes(stack.n_out * static_cast<int64_t>(row_bytes(stack.formats[0].type, stack.n_in))) {}

  /// Of an id that is in the table; null where the expert is not here. With `even` it loads nothing: the
  /// table may have left the cache since the last layer, and every weight waits for it. kEven: the caller
  /// knows that there is `even`.
  template <bool kEven = false>
  __device__ const uint8_t* at(int32_t id) const {
    if (kEven || even) return even + id * stride_bytes;
    return reinterpret_cast<const uint8_t*>(load_expert(table, id).data);
  }
};

/// Which experts the tokens of a batch chose, as kernels see it.
struct ExpertSlots {
  const int32_t* ids = nullptr;
  int64_t id_stride = 0;
  const float* weights = nullptr;
  int64_t weight_stride = 0;
  const int32_t* n_active = nullptr;
  int64_t n_expert = 0;  ///< ids from here on are identity experts
  int64_t n_token = 0;
  int n_slot = 0;
  bool identity = false;

  ExpertSlots() = default;
  ExpertSlots(const ExpertsDesc& d, const Routing& routing)
      : ids(routing.ids.data()),
        id_stride(routing.ids.stride()),
        weights(routing.weights.data()),
        weight_stride(routing.weights.stride()),
        n_active(routing.n_active.data()),
        n_expert(d.n_expert()),
        n_token(routing.n_tokens()),
        n_slot(d.n_slot),
        identity(d.identity) {}

  /// Slots that token t uses; those behind them may hold anything.
  __device__ int n_used(int64_t t) const { return min(n_active[t], n_slot); }
  __device__ int32_t id(int64_t t, int s) const { return ids[t * id_stride + s]; }
  __device__ float weight(int64_t t, int s) const { return weights[t * weight_stride + s]; }
  /// Whether an id is an entry of the experts' tables.
  __device__ bool in_table(int32_t id) const { return id >= 0 && id < n_expert; }

  /// One element of token t: out += sum over its slots, in order, of weight * product(s) where here(s), and
  /// the identity experts' weights times the token's own input `x`.
  template <class Here, class Product>
  __device__ void combine(int64_t t, const float& x, float& out, Here&& here, Product&& product) const {
    float sum = 0.0f, identity_weight = 0.0f;
    for (int s = 0; s < n_used(t); ++s) {
      if (here(s)) {
        sum = fmaf(weight(t, s), product(s), sum);
      } else if (identity && id(t, s) >= n_expert) {
        identity_weight += weight(t, s);
      }
    }
    if (identity_weight != 0.0f) sum = fmaf(identity_weight, x, sum);
    out += sum;
  }
};

}  // namespace sw::cuda
