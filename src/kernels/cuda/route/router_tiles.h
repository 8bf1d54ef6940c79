// SPDX-License-Identifier: MIT
#pragma once
#include "kernels/ops.h"

namespace sw::cuda {

/// Whether multiply_f32_tiles() takes a product: weights in F32, rows of a multiple of 32 values, all aligned
/// to 16 bytes.
bool takes_f32_tiles(const Linear& linear, TensorView<const float> x);

/// out = W x + bias for many tokens, each product within 2^-20 of f32's. Sums have an order of their own, the
/// same in any batch.
/// out [n_token, n_out], bias [n_out] or null.
void multiply_f32_tiles(const Linear& linear, TensorView<const float> x, TensorView<float> out,
                        const float* bias, OpContext& context);

}  // namespace sw::cuda
