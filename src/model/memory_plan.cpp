// SPDX-License-Identifier: MIT
#include "model/memory_plan.h"

#include <algorithm>
#include <fmt/core.h>

#include "base/error.h"
#include "base/memory.h"

namespace sw {
namespace {

/// Kernels' own needs and recorded steps: what the plan cannot count.
constexpr uint64_t kReserveBytes = uint64_t{256} << 20;

/// The first GPU that the plan does not fit on; null where it fits. The CPU's weights are mapped and
/// come and go, so only the GPUs can refuse.
const DevicePlan* too_small(const std::vector<DevicePlan>& plan) {
  const auto at = std::find_if(plan.begin() + 1, plan.end(), [](const DevicePlan& d) {
    return d.size_bytes() > 0 && d.size_bytes() + kReserveBytes > d.free_bytes;
  });
  return at == plan.end() ? nullptr : &*at;
}

[[noreturn]] void refuse(const DevicePlan& device, const std::string& hint) {
  throw SystemError({.what = "the model does not fit on the device",
                     .where = device.to_string(),
                     .expected = fmt::format("at most {:.0f} MiB free", mib(device.free_bytes)),
                     .got = fmt::format("a need of {:.0f} MiB", mib(device.size_bytes() + kReserveBytes)),
                     .hint = hint});
}

}  // namespace

std::string DevicePlan::to_string() const {
  const std::string packed = packed_bytes ? fmt::format("packed {:.2f} MiB, ", mib(packed_bytes)) : "";
  return fmt::format("{}: weights {:.2f} MiB, {}cache {:.2f} MiB, buffers {:.2f} MiB", name,
                     mib(weight_bytes), packed, mib(cache_bytes), mib(buffer_bytes));
}

std::vector<DevicePlan> plan_memory(const ModelView& model, std::span<const DeviceFacts> devices,
                                    const Placement& placement, const PlanInput& input) {
  const ForwardOptions& forward = input.forward;
  ProgramOptions options = forward.program(input.experts_max);
  options.explain = false;
  const Program program = compile(model, devices, placement, options);
  const auto n_device = static_cast<int>(devices.size());
  const std::vector<WeightBytes> weights = weight_bytes(program, n_device);
  const std::vector<DeviceNeeds> needs = needs_of(
      program, n_device,
      {.n_token = forward.n_ubatch, .n_logit_row = forward.n_logit_row, .n_thread = forward.n_thread});
  const BatchLimits limits = batch_limits(model, program, forward, input.policies);
  std::vector<DevicePlan> plan;
  for (size_t d = 0; d < devices.size(); ++d) {
    const DeviceArrays arrays(needs[d], limits, static_cast<int>(d), devices[d].host_visible);
    plan.push_back({.name = devices[d].name,
                    .weight_bytes = weights[d].as_stored,
                    .packed_bytes = weights[d].packed,
                    .buffer_bytes = arrays.size_bytes,
                    .free_bytes = devices[d].free_bytes});
  }
  for (int block = 0; block < input.cache.n_block(); ++block) {
    const int device = placement.blocks[static_cast<size_t>(block)].attention;
    plan[static_cast<size_t>(device)].cache_bytes += input.cache.block_bytes(block);
  }
  return plan;
}

void check_cache_types(std::span<const DeviceFacts> devices, const Placement& placement,
                       const CachePlan& cache) {
  const CacheType type = cache.type;
  if (type.same() && (type.k == Type::F16 || type.k == Type::F32)) return;
  for (int block = 0; block < cache.n_block(); ++block) {
    const int g = cache.group_of(block);
    if (g < 0 || cache.group(g).is_state()) continue;
    const int device = placement.blocks[static_cast<size_t>(block)].attention;
    const DeviceFacts& facts = devices[static_cast<size_t>(device)];
    if (facts.kind == DeviceKind::Cpu) continue;
    throw Error(
        {.what = "a GPU keeps keys and values in f16 or in f32, both alike",
         .where = facts.name,
         .expected = "-ctk f16 -ctv f16, or f32",
         .got = fmt::format("keys in {}, values in {}", cache_type_name(type.k), cache_type_name(type.v)),
         .hint = "the CPU takes every type: --device none, or -ot 'attn=CPU' for attention alone"});
  }
}

bool fit_on_gpus(const std::vector<DevicePlan>& plan) { return !too_small(plan); }

Placement choose_placement(const ModelView& model, std::span<const DeviceFacts> devices,
                           const PlacementOptions& options, const PlanInput& input,
                           std::vector<std::string>* hits) {
  const auto attempt = [&](PlacementOptions tried) {
    if (hits) hits->clear();  // those of the attempt before
    if (devices.size() == 1) tried.n_gpu_layers = 0;
    return place(model, devices, tried, hits);
  };
  Placement placement = attempt(options);
  if (devices.size() == 1) return placement;
  check_cache_types(devices, placement, input.cache);
  const auto problem = [&](const Placement& p) {
    const std::vector<DevicePlan> plan = plan_memory(model, devices, p, input);
    const DevicePlan* small = too_small(plan);
    return small ? std::optional(*small) : std::nullopt;
  };
  std::optional<DevicePlan> small = problem(placement);
  if (!small) return placement;
  if (!options.automatic()) {
    refuse(*small,
           "fewer layers (-ngl), experts on the CPU (--cpu-moe, --n-cpu-moe N), a smaller context "
           "(-c) or u-batch (-ub); with none of these flags what fits is found");
  }
  const int n_block = model.hparams.n_run_block();
  PlacementOptions humbler = options;
  for (int n = 1; small && n <= n_block; ++n) {
    humbler.n_cpu_moe = n;
    small = problem(placement = attempt(humbler));
  }
  for (int n = n_block; small && n >= 0; --n) {
    humbler.n_gpu_layers = n;
    small = problem(placement = attempt(humbler));
  }
  if (small) refuse(*small, "a smaller context (-c) or u-batch (-ub), or --device none");
  return placement;
}

}  // namespace sw
