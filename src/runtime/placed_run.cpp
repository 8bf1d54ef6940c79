// SPDX-License-Identifier: MIT
#include "runtime/placed_run.h"

#include <utility>

#include "base/topology.h"

namespace sw {
namespace {

Devices open_with_notes(const DeviceOptions& options, const Notes& notes) {
  std::string why;
  Devices devices = open_devices(options.devices, &why);
  if (why.starts_with("CUDA")) notes.warn(why);  // a GPU is there, and left out
  if (devices.size() == 1 && options.placement.n_gpu_layers.value_or(0) > 0)
    notes.warn("-ngl has no effect: " + (why.empty() ? "--device none" : why));
  return devices;
}

Placement choose_with_notes(const Model& model, const Devices& devices, PlacementOptions options,
                            const PlanInput& input, const Notes& notes) {
  if (devices.size() == 1) options.n_gpu_layers = 0;
  std::vector<std::string> hits;
  const FileWeights weights(model);
  const std::vector<DeviceFacts> facts = facts_of(devices);
  Placement placement = choose_placement(weights.view(), facts, options, input, &hits);
  for (const std::string& hit : hits) notes.info(hit);
  if (devices.size() > 1) {
    for (const DevicePlan& plan : plan_memory(weights.view(), facts, placement, input))
      notes.info(plan.to_string());
  }
  return placement;
}

}  // namespace

PlacedRun::PlacedRun(const Model& model, const DeviceOptions& options, const PlanInput& input,
                     const Notes& notes)
    : devices_(open_with_notes(options, notes)),
      placed_(model, devices_, choose_with_notes(model, devices_, options.placement, input, notes),
              input.forward.program(input.experts_max), input.forward.n_thread) {}

ForwardOptions with_threads(ForwardOptions options) {
  if (options.n_thread < 1) options.n_thread = topology().n_core;
  return options;
}

}  // namespace sw
