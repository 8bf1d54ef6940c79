// SPDX-License-Identifier: MIT
#include "runtime/runtime.h"

#include <algorithm>
#include <fmt/core.h>
#include <utility>

#include "runtime/context_size.h"

namespace sw {
namespace {

EngineOptions on_placed(EngineOptions options, const PlacedModel& placed) {
  options.forward = on_placed(options.forward, placed);
  return options;
}

/// The context where the user named none.
int64_t choose_context(const Model& model, const Devices& devices, const RuntimeOptions& options,
                       const Notes& notes) {
  EngineOptions engine = options.engine;
  const int64_t n_trained = std::max(1, model.hparams().n_ctx_train);
  const int64_t most = engine.n_cache_token > 0 ? std::min(n_trained, engine.n_cache_token) : n_trained;
  const auto plan = [&](int64_t n_ctx) {
    engine.n_ctx = n_ctx;
    return plan_input(model, engine);
  };
  const int64_t n_ctx = context_that_fits(model, devices, options.devices.placement, most, plan);
  if (n_ctx < most) {
    notes.info(fmt::format("context: {} of {} tokens, for which there is memory beside the weights (-c)",
                           n_ctx, n_trained));
  }
  return n_ctx;
}

}  // namespace

Runtime::Chosen Runtime::choose(const Model& model, const RuntimeOptions& options, const Notes& notes) {
  RuntimeOptions all = options;
  all.engine.forward = with_threads(options.engine.forward);
  Devices devices = open_devices_of(options.devices, notes);
  if (all.engine.n_ctx < 1) all.engine.n_ctx = choose_context(model, devices, all, notes);
  return {std::move(devices), all.engine};
}

Runtime::Runtime(const Model& model, const RuntimeOptions& options, const Notes& notes)
    : Runtime(model, choose(model, options, notes), options.devices.placement, notes) {}

Runtime::Runtime(const Model& model, Chosen chosen, const PlacementOptions& placement, const Notes& notes)
    : model_(model),
      run_(model, std::move(chosen.devices), placement, plan_input(model, chosen.engine), notes),
      engine_(model, on_placed(chosen.engine, run_.placed())) {
  if (chosen.engine.forward.explain) notes.info(explain(engine_.forward().program()));
  if (engine_.n_ctx() > model.hparams().n_ctx_train) {
    notes.warn(fmt::format("the context of {} tokens is longer than the model was trained for ({})",
                           engine_.n_ctx(), model.hparams().n_ctx_train));
  }
}

}  // namespace sw
