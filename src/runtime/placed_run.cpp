// SPDX-License-Identifier: MIT
#include "runtime/placed_run.h"

#include <fmt/core.h>
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

/// Whether the CPU's weights are packed: where that was asked for and there is room.
bool packs_with_notes(const Model& model, const Devices& devices, const Placement& placement,
                      const PlanInput& input, const Notes& notes) {
  if (!input.forward.repack) return false;
  const FileWeights weights(model);
  const DevicePlan cpu = plan_memory(weights.view(), facts_of(devices), placement, input).front();
  if (cpu.packed_bytes == 0) {
    notes.warn("--repack has no effect: no kernel for this CPU packs any of the model's weights");
    return false;
  }
  if (!cpu.fits_cpu()) {
    notes.warn(fmt::format("--repack: packed weights need {} MiB and {} MiB are free: the model stays mapped",
                           cpu.packed_bytes >> 20, cpu.free_bytes >> 20));
    return false;
  }
  notes.info(fmt::format("packing {} MiB of weights", cpu.packed_bytes >> 20));
  return true;
}

std::unique_ptr<PlacedModel> place_with_notes(const Model& model, const Devices& devices,
                                              const DeviceOptions& options, const PlanInput& input,
                                              const Notes& notes) {
  Placement placement = choose_with_notes(model, devices, options.placement, input, notes);
  ProgramOptions program = input.forward.program(input.experts_max);
  program.may_pack = packs_with_notes(model, devices, placement, input, notes);
  return std::make_unique<PlacedModel>(model, devices, std::move(placement), program, input.forward.n_thread);
}

}  // namespace

PlacedRun::PlacedRun(const Model& model, const DeviceOptions& options, const PlanInput& input,
                     const Notes& notes)
    : devices_(open_with_notes(options, notes)),
      placed_(place_with_notes(model, devices_, options, input, notes)) {
  const int n_thread = input.forward.n_thread, n_processor = topology().n_processor;
  if (n_thread > n_processor) {
    notes.warn(fmt::format("{} threads share {} processor{}: fewer are faster (-t)", n_thread, n_processor,
                           n_processor == 1 ? "" : "s"));
  }
}

ForwardOptions on_placed(ForwardOptions options, const PlacedModel& placed) {
  options.placed = &placed;
  options.repack = placed.options().may_pack;
  return options;
}

ForwardOptions with_threads(ForwardOptions options) {
  if (options.n_thread < 1) options.n_thread = topology().n_core;
  return options;
}

}  // namespace sw
