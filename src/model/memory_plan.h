// SPDX-License-Identifier: MIT
#pragma once
#include <string>
#include <vector>

#include "model/forward.h"

namespace sw {

/// What a run will need, known before a weight is copied.
struct PlanInput {
  ForwardOptions forward = {};
  const PolicyTable* policies = nullptr;
  CachePlan cache = {};
};

struct DevicePlan {
  std::string name = {};
  size_t weight_bytes = 0;  ///< on the processor mapped from the file, not taken
  size_t cache_bytes = 0;
  size_t buffer_bytes = 0;  ///< activations, routing, scratch
  uint64_t free_bytes = 0;  ///< when the plan was made

  size_t size_bytes() const { return weight_bytes + cache_bytes + buffer_bytes; }
  /// "CUDA0: weights 9123.84 MiB, ..."
  std::string to_string() const;
};

/// Of every device, by slot. Takes no device memory.
std::vector<DevicePlan> plan_memory(const Model& model, const Devices& devices, const Placement& placement,
                                    const PlanInput& input);

/// Where the user said nothing: the placement with the most on the GPUs that fits, experts of the first
/// layers leaving first, then whole layers. Else what the user said. Throws sw::SystemError with advice
/// where that does not fit.
Placement choose_placement(const Model& model, const Devices& devices, const PlacementOptions& options,
                           const PlanInput& input, std::vector<std::string>* hits = nullptr);

}  // namespace sw
