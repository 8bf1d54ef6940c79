// SPDX-License-Identifier: MIT
#pragma once
#include "kernels/cuda/product/linear.h"

/// Products for few tokens, where reading the weights is all the cost.
namespace sw::cuda {

inline constexpr int kMostFewTokens = 8;

/// Matrices that each multiply an input of their own, for 1 .. kMostFewTokens tokens.
struct FewProduct {
  const Linear& linear;  ///< [n_out, n_in], or [n_matrix, n_out, n_in]
  int64_t n_token = 0;
  const float* x = nullptr;  ///< input of token t for matrix m: at t * x_stride + m * x_step
  int64_t x_stride = 0, x_step = 0;
  InputNorm norm = {};
  float* out = nullptr;
  int64_t out_stride = 0, out_step = 0;
  bool add = false;
  const float* bias = nullptr;  ///< [n_matrix * n_out], added to the product; or null
};

/// Whether multiply_few() takes such a product: its rows fit a block's shared memory.
bool can_multiply_few(const Linear& linear, int64_t n_token, const OpContext& context);

/// Inputs of quantised weights are rounded to blocks of 32 signed bytes; the sums are f32, and those of a
/// token the same for any number of tokens. Takes no scratch.
void multiply_few(const FewProduct& product, OpContext& context);

}  // namespace sw::cuda
