// SPDX-License-Identifier: MIT
#pragma once
#include "kernels/cuda/mla/mla_attend.cuh"

namespace sw::cuda {

/// Attention over latents in F16 on the tensor cores: queries and the softmax's weights are rounded to f16.
/// task.parts has room for `most_parts` rows of partial results; task.n_split is chosen here. Pages hold
/// multiples of 16 tokens.
void attend_half_latents(const MlaTask& task, const Rope& rope, int64_t most_parts, OpContext& context);

}  // namespace sw::cuda
