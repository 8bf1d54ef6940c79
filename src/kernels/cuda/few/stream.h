// SPDX-License-Identifier: MIT
#pragma once
#include "kernels/ops.h"

/// The experts of a decode step of several sequences: (token, slot) pairs sorted by expert, so that each
/// expert is read once for up to eight of them.
namespace sw::cuda {

/// Whether run_experts_stream() takes these experts, of one format per matrix: it has products of that
/// format, and a tile's inputs fit a block's shared memory.
bool can_stream_experts(const ExpertsDesc& d, const Queue& queue);

/// Scratch that it takes.
size_t stream_scratch_bytes(const ExpertsDesc& d, int64_t n_token);

/// out += experts (and the shared expert where fuses_shared()). Inputs are rounded to blocks of 32 signed
/// bytes. Begins by taking all of the context's scratch.
void run_experts_stream(const ExpertsDesc& d, const ExpertsArgs& args, OpContext& context);

}  // namespace sw::cuda
