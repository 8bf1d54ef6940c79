// SPDX-License-Identifier: MIT
#pragma once
#include <functional>

#include "model/memory_plan.h"

namespace sw {

/// Context sizes that nobody named are multiples of it.
inline constexpr int64_t kContextStep = 256;
/// Weights leave the GPUs before a context that nobody named gets shorter than this.
inline constexpr int64_t kLeastContext = 8192;

/// What a run with a context of so many tokens per sequence needs.
using PlanOfContext = std::function<PlanInput(int64_t n_ctx)>;

/// Tokens of context where the user names none: `most`, or what fits in memory beside all weights, but at
/// least kLeastContext (or `most`, if that is less), whether that fits or not. Weights are placed as they are
/// for that least context. Compiles the program up to some twenty times, copies nothing. Throws
/// sw::SystemError where the least context does not fit on the GPUs.
int64_t context_that_fits(const Model& model, const Devices& devices, const PlacementOptions& options,
                          int64_t most, const PlanOfContext& plan);

}  // namespace sw
