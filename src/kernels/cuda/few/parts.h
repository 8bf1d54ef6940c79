// SPDX-License-Identifier: MIT
#pragma once
#include "kernels/ops.h"

/// The two launches of run_experts_few(). `with_shared`: the shared expert goes along, one slot more, the
/// last.
namespace sw::cuda {

/// Whether one row of such matrices fits a block's shared memory, with its inputs.
bool gate_up_fits(Type type, int64_t n_in, const Queue& queue);
bool down_fits(Type type, int64_t n_in, const Queue& queue);

/// hidden [n_token, n_slot, n_ff] = act(gate x, up x) for the slots that are used and here.
void gate_up(const ExpertsDesc& d, const ExpertsArgs& args, bool with_shared, float* hidden,
             const Queue& queue);

/// out += sum over slots of weight * down hidden. To be queued right behind gate_up(): it reads the routing
/// and `out` before that has ended.
void down(const ExpertsDesc& d, const ExpertsArgs& args, bool with_shared, const float* hidden,
          const Queue& queue);

}  // namespace sw::cuda
