// SPDX-License-Identifier: MIT
#pragma once
#include "kernels/ops.h"

/// Parts that CUDA operations share; every pointer is the GPU's. Work is queued on context.cuda.
namespace sw::cuda {

/// x, or norm(x) = x / sqrt(mean(x^2) + eps) * weight.
struct InputNorm {
  const float* weight = nullptr;  ///< [n]; null: no norm
  float eps = 0;
};

/// What linear() does beside the product.
struct LinearOptions {
  bool row_invariant = false;   ///< Bound::row_invariant of the operation
  bool add = false;             ///< adds to what is there
  const float* bias = nullptr;  ///< [n_out], added to the product
  InputNorm norm = {};          ///< of x; only where norms_input()
  /// For more than 8 tokens: x in bf16 (tiles.h), if the caller has it; then only weights in F32 read x.
  TensorView<const uint16_t> x_bf16 = {};
  uint16_t* room = nullptr;  ///< [linear_room()] where x is rounded to bf16 otherwise
};

/// Elements that linear() and linear_heads() need as room.
int64_t linear_room(const Linear& linear, int64_t n_token, bool row_invariant);

/// Whether linear() norms its input on the way.
bool norms_input(const Linear& linear, int64_t n_token, bool row_invariant, const OpContext& context);

/// out[t, r] = sum_i W[r, i] x[t, i]; for any number of tokens. x [n_token, n_in] f32, out [n_token, n_out]
/// f32. Takes no scratch but options.room. A row's bits are the same for 1 to 8 tokens (see docs/cuda.md);
/// row-invariant they are always those of a single token.
void linear(const Linear& linear, TensorView<const float> x, TensorView<float> out,
            const LinearOptions& options, OpContext& context);

/// Vectors of n_token tokens with n_head of them each: token t's of head h at data + t * token_stride + h *
/// head_stride.
struct HeadRows {
  float* data = nullptr;
  int64_t token_stride = 0, head_stride = 0;
};

/// out[t, h] = W[h] x[t, h]: each head has a matrix of its own in the stack [n_head, n_out, n_in]. For
/// quantised weights the strides of x must be multiples of 4. Takes no scratch but `room`.
void linear_heads(const Linear& stack, int64_t n_token, const HeadRows& x, const HeadRows& out,
                  bool row_invariant, uint16_t* room, OpContext& context);

/// out[t] = x[row(t)] / sqrt(mean(x^2) + eps) * weight, row(t) = rows ? rows[t] : t. Where `out_bf16` is
/// given, the same rounded to bfloat16 goes there, and `out` may be empty. `out` may be x.
void rms_norm(TensorView<const float> x, const int32_t* rows, const float* weight, float eps,
              TensorView<float> out, OpContext& context, TensorView<uint16_t> out_bf16 = {});

/// out[i] = silu(gate[i]) * up[i] or, with a limit, clamped_swiglu of both; in place allowed.
void gate_mul(const float* gate, const float* up, float swiglu_limit, int64_t n, float* out,
              OpContext& context);

}  // namespace sw::cuda
