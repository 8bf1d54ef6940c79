// SPDX-License-Identifier: MIT
#pragma once
#include <string>
#include <vector>

#include "model/forward.h"

namespace sw {

/// What a run will need, known before a weight is copied.
struct PlanInput {
  ForwardOptions forward = {};
  int experts_max = 0;  ///< see ProgramOptions
  PolicySizes policies = {};
  CachePlan cache = {};
};

struct DevicePlan {
  std::string name = {};
  size_t weight_bytes = 0;  ///< on the CPU mapped from the file, not taken
  size_t packed_bytes = 0;  ///< weights in memory of their own
  size_t cache_bytes = 0;
  size_t buffer_bytes = 0;  ///< activations, routing, scratch
  uint64_t free_bytes = 0;  ///< when the plan was made

  size_t size_bytes() const { return weight_bytes + packed_bytes + cache_bytes + buffer_bytes; }
  /// Whether there is room for what is taken on the CPU: all but the weights as stored, which are mapped.
  bool fits_cpu() const { return packed_bytes + cache_bytes + buffer_bytes <= free_bytes; }
  /// "CUDA0: weights 9123.84 MiB, ..."
  std::string to_string() const;
};

/// By device. A fold over the program: takes no device memory and starts no thread.
std::vector<DevicePlan> plan_memory(const ModelView& model, std::span<const DeviceFacts> devices,
                                    const Placement& placement, const PlanInput& input);

/// Throws sw::Error where a GPU would have to keep a cache of types that its attention does not read.
void check_cache_types(std::span<const DeviceFacts> devices, const Placement& placement,
                       const CachePlan& cache);

/// Whether each GPU has room for its part, and for what the plan cannot count.
bool fit_on_gpus(const std::vector<DevicePlan>& plan);

/// Where the user said nothing: the placement with the most on the GPUs that fits, experts of the first
/// blocks leaving first, then whole blocks. Else what the user said. Throws sw::SystemError with advice
/// where that does not fit; as check_cache_types().
Placement choose_placement(const ModelView& model, std::span<const DeviceFacts> devices,
                           const PlacementOptions& options, const PlanInput& input,
                           std::vector<std::string>* hits = nullptr);

}  // namespace sw
