// SPDX-License-Identifier: MIT
#pragma once
#include <algorithm>
#include <numeric>
#include <span>

#include "kernels/ops.h"

/// What the CPU operations share: loops over tokens, packed activations, matrix products cut into tasks. Work
/// is cut by rows of weights; a cut never changes a result's bits.
namespace sw::cpu {

/// f(rows, worker) for ranges of n rows of `n_element` values, as many as are worth handing out.
template <class F>
void for_rows(ThreadPool& pool, int64_t n, int64_t n_element, F&& f) {
  constexpr int64_t kLeastElements = 4096;
  pool.for_ranges(n, kLeastElements / std::max<int64_t>(n_element, 1), f);
}

/// f(t, worker) for each of n_token tokens with so many values.
template <class F>
void for_tokens(ThreadPool& pool, int64_t n_token, int64_t n_element, F&& f) {
  for_rows(pool, n_token, n_element, [&](Range tokens, int worker) {
    for (int64_t t = tokens.begin; t < tokens.end; ++t) f(t, worker);
  });
}

/// f(which, task) for each of counts[which] tasks, for all of them in one loop.
template <class F>
void for_each_task(ThreadPool& pool, std::span<const int64_t> counts, F&& f) {
  pool.for_each(std::accumulate(counts.begin(), counts.end(), int64_t{0}), [&](int64_t task, int) {
    size_t which = 0;
    for (; task >= counts[which]; ++which) task -= counts[which];
    f(which, task);
  });
}

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

/// x += y + bias, row by row.
inline void add_to_residual(TensorView<float> x, TensorView<const float> y, const Values& bias,
                            OpContext& context) {
  for_tokens(context.pool, x.n_rows(), x.n_cols(), [&](int64_t t, int) {
    context.vector.add_scaled(x.row(t), 1.0f, y.row(t), x.n_cols());
    if (bias) context.vector.add_scaled(x.row(t), 1.0f, bias, x.n_cols());
  });
}

/// out[t, :] = W x[t] of packed x.
struct Product {
  const Linear* linear = nullptr;
  const std::byte* packed = nullptr;
  TensorView<float> out = {};
};

/// Whole products in one loop: three at most.
inline void multiply_all(ThreadPool& pool, std::span<const Product> products) {
  constexpr size_t kMost = 3;
  int64_t steps[kMost], counts[kMost];
  SW_ASSERT(products.size() <= kMost);
  for (size_t i = 0; i < products.size(); ++i) {
    const int64_t n_out = products[i].linear->n_out();
    steps[i] = rows_per_task(n_out, pool.size());
    counts[i] = (n_out + steps[i] - 1) / steps[i];
  }
  for_each_task(pool, {counts, products.size()}, [&](size_t which, int64_t task) {
    const Product& p = products[which];
    const Range rows{task * steps[which], std::min((task + 1) * steps[which], p.linear->n_out())};
    multiply(*p.linear, p.linear->weight, rows, p.packed, nullptr, p.out.n_rows(), p.out.data(),
             p.out.stride());
  });
}
inline void multiply_all(ThreadPool& pool, const Product& product) {
  multiply_all(pool, std::span(&product, 1));
}

}  // namespace sw::cpu
