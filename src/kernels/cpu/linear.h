// SPDX-License-Identifier: MIT
#pragma once
#include <algorithm>
#include <atomic>

#include "kernels/ops.h"

/// What the CPU operations share: work queues inside a parallel region, packed activations, matrix
/// products cut into tasks. Work is cut by rows of weights; a cut never changes a result's bits.
namespace sw::cpu {

/// Work items handed out one by one to whoever is free. One use a region.
class WorkQueue {
 public:
  template <class F>
  void drain(int64_t n_item, F&& work) {
    for (int64_t i = next_.fetch_add(1, std::memory_order_relaxed); i < n_item;
         i = next_.fetch_add(1, std::memory_order_relaxed)) {
      work(i);
    }
  }

 private:
  alignas(64) std::atomic<int64_t> next_{0};
};

/// Rows of weights for one task: enough tasks to balance, not so many that the queue shows. A multiple of
/// kRowGrain, so that cuts suit every layout.
inline int64_t rows_per_task(int64_t n_row_in_all, int n_thread) {
  constexpr int64_t kTasksPerThread = 4, kMinRows = 16, kMaxRows = 256;
  static_assert(kMinRows % kRowGrain == 0 && kMaxRows % kRowGrain == 0);
  const int64_t even = (n_row_in_all + n_thread * kTasksPerThread - 1) / (n_thread * kTasksPerThread);
  return std::clamp((even + kRowGrain - 1) / kRowGrain * kRowGrain, kMinRows, kMaxRows);
}

/// Activation rows in the form that a matrix product reads.
struct Packed {
  const std::byte* data = nullptr;
  size_t row_bytes = 0;
};

/// Bytes of scratch for `n_row` packed rows.
inline size_t packed_bytes(const Linear& linear, int64_t n_row) {
  return Scratch::padded_bytes(linear.matmul->act_bytes(linear.n_in()) * static_cast<size_t>(n_row));
}

/// Takes scratch for packed rows; pack_row() fills them.
inline std::byte* take_packed(const Linear& linear, int64_t n_row, Scratch& scratch) {
  return scratch.take<std::byte>(static_cast<int64_t>(linear.matmul->act_bytes(linear.n_in())) * n_row);
}

/// Likewise for Buffers.
template <class Take>
void take_packed(Take& take, std::byte*& packed, const Linear& linear, int64_t n_row) {
  take(packed, static_cast<int64_t>(linear.matmul->act_bytes(linear.n_in())) * n_row);
}

inline void pack_row(const Linear& linear, const float* x, int64_t row, std::byte* packed) {
  const size_t bytes = linear.matmul->act_bytes(linear.n_in());
  linear.matmul->pack(x, linear.n_in(), packed + bytes * static_cast<size_t>(row));
}

/// True where both read activations packed the same way, so that one copy serves.
inline bool same_packing(const Linear& a, const Linear& b) {
  return a.matmul->pack == b.matmul->pack && a.n_in() == b.n_in();
}

/// out[t, r] for the rows of `matrix` (the linear's own weight, or one of its experts), which lies as the
/// bound kernel reads it. `rows` begins at a multiple of kRowGrain and ends at one or with the matrix.
inline void multiply(const Linear& linear, const WeightView& matrix, Range rows, const std::byte* packed,
                     const int32_t* act_rows, int64_t n_token, float* out, int64_t out_stride) {
  linear.matmul->run({.weight = matrix.type,
                      .n_in = linear.n_in(),
                      .weights = matrix.data,
                      .row_begin = rows.begin,
                      .row_end = rows.end,
                      .acts = packed,
                      .act_rows = act_rows,
                      .n_token = n_token,
                      .out = out,
                      .out_stride = out_stride});
}

/// x[t] += y[t] + bias for a thread's own rows.
inline void add_to_residual(TensorView<float> x, TensorView<const float> y, const Values& bias, Range rows,
                            const VectorKernel& vector) {
  for (int64_t t = rows.begin; t < rows.end; ++t) {
    vector.add_scaled(x.row(t), 1.0f, y.row(t), x.n_cols());
    if (bias) vector.add_scaled(x.row(t), 1.0f, bias, x.n_cols());
  }
}

/// The whole product out[t, :] = W x[t], by all threads of the region.
inline void multiply_all(const Linear& linear, WorkQueue& queue, int n_thread, const std::byte* packed,
                         TensorView<float> out) {
  const int64_t step = rows_per_task(linear.n_out(), n_thread);
  queue.drain((linear.n_out() + step - 1) / step, [&](int64_t task) {
    const Range rows{task * step, std::min((task + 1) * step, linear.n_out())};
    multiply(linear, linear.weight, rows, packed, nullptr, out.n_rows(), out.data(), out.stride());
  });
}

}  // namespace sw::cpu
