// SPDX-License-Identifier: MIT
#include "runtime/placed_run.h"

#include <algorithm>
#include <fmt/core.h>
#include <set>
#include <utility>

#include "base/error.h"
#include "base/topology.h"
#include "runtime/context_size.h"

namespace sw {
namespace {

Placement choose_with_notes(const Model& model, const Devices& devices, const PlacementOptions& options,
                            const PlanInput& input, const Notes& notes) {
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

/// Tokens of a sequence for which the cache would fit, a sixteenth left free; 0 where hardly any would.
int64_t advised_context(const DevicePlan& plan, const CachePlan& cache) {
  const uint64_t room = plan.free_bytes - std::min(plan.free_bytes, uint64_t{plan.buffer_bytes});
  const double share = 15.0 / 16 * static_cast<double>(room) / static_cast<double>(plan.cache_bytes);
  const auto n_token = static_cast<int64_t>(share * static_cast<double>(cache.n_token / cache.n_seq));
  return n_token / kContextStep * kContextStep;
}

/// Refuses a cache and buffers for which the CPU has no room, with the whole need. (What fits on GPUs was
/// seen to when the placement was chosen.)
void check_room(const Model& model, const Devices& devices, const Placement& placement, PlanInput input) {
  input.forward.repack = false;  // packing is left out where there is no room for it
  const FileWeights weights(model);
  const DevicePlan plan = plan_memory(weights.view(), facts_of(devices), placement, input).front();
  if (plan.fits_cpu()) return;
  const int64_t fits = advised_context(plan, input.cache);
  throw SystemError(
      {.what = fmt::format("not enough memory: needs {} MiB, have {} MiB",
                           ((plan.cache_bytes + plan.buffer_bytes) >> 20) + 1, plan.free_bytes >> 20),
       .where = fmt::format("a context of {} tokens ({}cache {} MiB, buffers {} MiB)",
                            input.cache.n_token / input.cache.n_seq, devices.size() > 1 ? "the CPU's " : "",
                            plan.cache_bytes >> 20, plan.buffer_bytes >> 20),
       .hint = fits > 0 ? fmt::format("-c {} fits", fits) : "a smaller u-batch (-ub) needs less"});
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

/// A line for each pair of GPUs between which copies take the long way.
void note_indirect_copies(const PlacedModel& placed, const Notes& notes) {
  const Devices& devices = placed.devices();
  std::set<std::pair<int, int>> pairs;
  for_each_send(placed.program(), [&](const program::Send& send) { pairs.emplace(send.from, send.to); });
  for (const auto& [from_index, to_index] : pairs) {
    Backend &from = *devices[static_cast<size_t>(from_index)], &to = *devices[static_cast<size_t>(to_index)];
    const std::string why = to.open_way(from);
    if (why.empty()) continue;
    notes.info(fmt::format("{} to {}: copies go through the CPU's memory ({})", from.info().name,
                           to.info().name, why));
  }
}

std::unique_ptr<PlacedModel> place_with_notes(const Model& model, const Devices& devices,
                                              const PlacementOptions& options, const PlanInput& input,
                                              const Notes& notes) {
  Placement placement = choose_with_notes(model, devices, options, input, notes);
  check_room(model, devices, placement, input);
  ProgramOptions program = input.forward.program(input.experts_max);
  program.may_pack = packs_with_notes(model, devices, placement, input, notes);
  auto placed =
      std::make_unique<PlacedModel>(model, devices, std::move(placement), program, input.forward.n_thread);
  note_indirect_copies(*placed, notes);
  return placed;
}

}  // namespace

Devices open_devices_of(const DeviceOptions& options, const Notes& notes) {
  std::string why;
  Devices devices = open_devices(options.devices, &why, options.peer_access);
  if (why.starts_with("CUDA")) notes.warn(why);  // a GPU is there, and left out
  const PlacementOptions& p = options.placement;
  const std::pair<const char*, bool> of_gpus[] = {
      {"-ngl", p.n_gpu_layers.value_or(0) > 0},
      {"-ts", !p.tensor_split.empty()},
      {"-mg", p.main_gpu.value_or(0) > 0},
      {"--no-peer-access", options.peer_access == PeerAccess::Refused}};
  for (const auto& [flag, given] : of_gpus) {
    if (devices.size() == 1 && given)
      notes.warn(std::string(flag) + " has no effect: " + (why.empty() ? "--device none" : why));
  }
  return devices;
}

PlacedRun::PlacedRun(const Model& model, Devices devices, const PlacementOptions& options,
                     const PlanInput& input, const Notes& notes)
    : devices_(std::move(devices)), placed_(place_with_notes(model, devices_, options, input, notes)) {
  const int n_thread = input.forward.n_thread, n_processor = topology().n_processor;
  if (n_thread > n_processor) {
    notes.warn(fmt::format("{} threads share {} CPU core{}: fewer are faster (-t)", n_thread, n_processor,
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
