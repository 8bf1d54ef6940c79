// SPDX-License-Identifier: MIT
#pragma once
#include "kernels/ops.h"

/// The experts of many tokens: (token, slot) pairs sorted by expert, then products of tiles.
namespace sw::cuda {

/// Scratch that run_sorted takes for `n_token` tokens.
size_t sorted_scratch_bytes(const ExpertsDesc& d, int64_t n_token);

/// `like_one`: with the bits that each token has alone. Begins by taking all of the context's scratch.
void run_sorted(const ExpertsDesc& d, const ExpertsArgs& args, bool like_one, OpContext& context);

}  // namespace sw::cuda
