// SPDX-License-Identifier: MIT
#pragma once
#include "kernels/ops.h"

/// The experts of few tokens in two launches: each (token, slot) pair for itself, the shared expert as one
/// slot more.
namespace sw::cuda {

inline constexpr int64_t kMostPairTokens =
    16;  ///< up to here experts chosen twice are too rare to be worth sorting

/// Whether run_experts_few() takes these experts, of one format per matrix: their rows fit a block's shared
/// memory.
bool can_run_experts_few(const ExpertsDesc& d, int64_t n_token, const Queue& queue);

/// Whether the shared expert goes along: with the formats and the width of the others.
bool fuses_shared(const ExpertsDesc& d);

/// Scratch that it takes.
size_t few_experts_scratch_bytes(const ExpertsDesc& d, int64_t n_token);

/// out += experts (and the shared expert where fuses_shared()). Inputs of quantised weights are rounded to
/// blocks of 32 signed bytes.
void run_experts_few(const ExpertsDesc& d, const ExpertsArgs& args, OpContext& context);

/// Whether gate_few() takes a dense network: gate and up of one format, without biases.
bool can_gate_few(const FfnDesc& d, const Queue& queue);

/// hidden [n_ff] = silu(gate x') * up x' of one token; x' = norm(x) where the description has a norm.
void gate_few(const FfnDesc& d, const float* x, float* hidden, const Queue& queue);

}  // namespace sw::cuda
