// SPDX-License-Identifier: MIT
#pragma once
#include "kernels/ops.h"

/// Attention over a cache in F16 on the tensor cores: queries and the softmax's weights are rounded to f16.
namespace sw::cuda {

/// Floats of scratch that attend_half() needs for up to `n_token` tokens.
int64_t n_half_part(const AttentionDesc& d, int64_t n_token);

/// Norms of single heads, limits and rotation of qkv [n_token, n_head + 2 * n_head_kv, head_dim], the product
/// with its biases; keys and values to the cache; attended values to out [n_token, n_head, head_dim]. Pages
/// hold multiples of 16 tokens. One launch for all tokens that are alone in their sequences, two or three for
/// the others.
void attend_half(const AttentionDesc& d, const AttentionArgs& args, TensorView<float> qkv, float* parts,
                 float* out, OpContext& context);

}  // namespace sw::cuda
