// SPDX-License-Identifier: MIT
#include "runtime/context_size.h"

#include <algorithm>

namespace sw {
namespace {

/// Mapped weights that find no room beside the cache would be read from the disk for each token.
bool fits_beside_weights(const DevicePlan& cpu) {
  const uint64_t left = cpu.free_bytes - cpu.free_bytes / 16;
  return cpu.weight_bytes + cpu.cache_bytes + cpu.buffer_bytes <= left;
}

}  // namespace

int64_t context_that_fits(const Model& model, const Devices& devices, const PlacementOptions& options,
                          int64_t most, const PlanOfContext& plan) {
  const FileWeights weights(model);
  const std::vector<DeviceFacts> facts = facts_of(devices);
  const int64_t least = std::min(most, kLeastContext);
  const Placement placement = choose_placement(weights.view(), facts, options, plan(least));
  const auto fits = [&](int64_t n_ctx) {
    PlanInput input = plan(n_ctx);
    input.forward.repack = false;  // packing is left out where there is no room for it
    const std::vector<DevicePlan> plans = plan_memory(weights.view(), facts, placement, input);
    return fit_on_gpus(plans) && fits_beside_weights(plans.front());
  };
  if (most == least || fits(most)) return most;
  // In steps: `low` fits, or is the least.
  int64_t low = (least + kContextStep - 1) / kContextStep, high = (most + kContextStep - 1) / kContextStep;
  while (high - low > 1) {
    const int64_t middle = (low + high) / 2;
    (fits(middle * kContextStep) ? low : high) = middle;
  }
  return std::max(least, low * kContextStep);
}

}  // namespace sw
