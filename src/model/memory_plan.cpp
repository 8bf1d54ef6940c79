// SPDX-License-Identifier: MIT
#include "model/memory_plan.h"

#include <algorithm>
#include <fmt/core.h>

#include "base/error.h"

namespace sw {
namespace {

/// Kernels' own needs and recorded steps: what the plan cannot count.
constexpr uint64_t kReserveBytes = uint64_t{256} << 20;

double mib(size_t bytes) { return static_cast<double>(bytes) / (1 << 20); }

/// The first GPU that the plan does not fit on; null where it fits. The processor's weights are mapped and
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
  return fmt::format("{}: weights {:.2f} MiB, cache {:.2f} MiB, buffers {:.2f} MiB", name, mib(weight_bytes),
                     mib(cache_bytes), mib(buffer_bytes));
}

std::vector<DevicePlan> plan_memory(const Model& model, const Devices& devices, const Placement& placement,
                                    const PlanInput& input) {
  const PlacedModel placed(model, devices, placement, false);
  ForwardOptions options = input.forward;
  options.placed = &placed;
  options.plan_only = true;
  options.explain = false;
  const Forward forward(model, *input.policies, options);
  std::vector<DevicePlan> plan;
  for (size_t slot = 0; slot < devices.size(); ++slot) {
    plan.push_back({.name = devices[slot]->name(),
                    .weight_bytes = placed.weight_bytes(static_cast<int>(slot)),
                    .buffer_bytes = forward.buffer_bytes(static_cast<int>(slot)),
                    .free_bytes = devices[slot]->memory().free_bytes});
  }
  for (int b = 0; b < input.cache.n_block(); ++b) {
    const int slot = placement.layers[static_cast<size_t>(b)].attention;
    plan[static_cast<size_t>(slot)].cache_bytes += input.cache.block_bytes(b);
  }
  return plan;
}

Placement choose_placement(const Model& model, const Devices& devices, const PlacementOptions& options,
                           const PlanInput& input, std::vector<std::string>* hits) {
  const auto attempt = [&](const PlacementOptions& wish) {
    if (hits) hits->clear();  // those of the attempt before
    return place(model, devices, wish, hits);
  };
  Placement placement = attempt(options);
  if (devices.size() == 1) return placement;
  const auto problem = [&](const Placement& p) {
    const std::vector<DevicePlan> plan = plan_memory(model, devices, p, input);
    const DevicePlan* small = too_small(plan);
    return small ? std::optional(*small) : std::nullopt;
  };
  std::optional<DevicePlan> small = problem(placement);
  if (!small) return placement;
  if (!options.automatic()) {
    refuse(*small,
           "fewer layers (-ngl), experts on the processor (--cpu-moe, --n-cpu-moe N), a smaller context "
           "(-c) or u-batch (-ub); with none of these flags what fits is found");
  }
  const int n_layer = model.hparams().n_run_block();
  PlacementOptions humbler = options;
  for (int n = 1; small && n <= n_layer; ++n) {
    humbler.n_cpu_moe = n;
    small = problem(placement = attempt(humbler));
  }
  for (int n = n_layer; small && n >= 0; --n) {
    humbler.n_gpu_layers = n;
    small = problem(placement = attempt(humbler));
  }
  if (small) refuse(*small, "a smaller context (-c) or u-batch (-ub), or --device none");
  return placement;
}

}  // namespace sw
