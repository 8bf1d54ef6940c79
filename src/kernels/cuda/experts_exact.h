// SPDX-License-Identifier: MIT
#pragma once
#include "kernels/ops.h"

/// The experts of few tokens as `--invariant` wants them: f32 inputs, in two launches, a warp per row of
/// weights, each (token, slot) pair for itself. One format per matrix.
namespace sw::cuda {

size_t exact_experts_scratch_bytes(const ExpertsDesc& d, int64_t n_token);
void run_experts_exact(const ExpertsDesc& d, const ExpertsArgs& args, OpContext& context);

}  // namespace sw::cuda
