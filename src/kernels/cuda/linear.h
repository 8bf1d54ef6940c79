// SPDX-License-Identifier: MIT
#pragma once
#include "kernels/ops.h"

/// Parts that CUDA operations share; every pointer is the GPU's. Work is queued on context.cuda.
namespace sw::cuda {

/// out[t, r] = sum_i W[r, i] x[t, i] + bias[r], added to out where `add`; for any number of tokens.
/// x [n_token, n_in] f32, out [n_token, n_out] f32, bias [n_out] or null. Needs linear_scratch_bytes() of
/// scratch. A row's bits are the same for 1 to 8 tokens, and the same for any larger number (see
/// docs/cuda.md); with Linear::row_invariant they are always those of a single token.
void linear(const Linear& linear, TensorView<const float> x, TensorView<float> out, bool add,
            OpContext& context, const float* bias = nullptr);
size_t linear_scratch_bytes(const Linear& linear, int64_t n_token);

/// Vectors of n_token tokens with n_head of them each: token t's of head h at data + t * token_stride + h *
/// head_stride.
struct HeadRows {
  float* data = nullptr;
  int64_t token_stride = 0, head_stride = 0;
};

/// out[t, h] = W[h] x[t, h]: each head has a matrix of its own in the stack [n_head, n_out, n_in]. For
/// quantised weights the strides of x must be multiples of 4. Takes no scratch.
void linear_heads(const Linear& stack, int64_t n_token, const HeadRows& x, const HeadRows& out,
                  OpContext& context);

/// out[t] = x[row(t)] / sqrt(mean(x^2) + eps) * weight, row(t) = rows ? rows[t] : t.
void rms_norm(TensorView<const float> x, const int32_t* rows, const float* weight, float eps,
              TensorView<float> out, OpContext& context);

/// out[i] = silu(gate[i]) * up[i] or, with a limit, clamped_swiglu of both; in place allowed.
void gate_mul(const float* gate, const float* up, float swiglu_limit, int64_t n, float* out,
              OpContext& context);

}  // namespace sw::cuda
