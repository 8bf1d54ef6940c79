// SPDX-License-Identifier: MIT
#include "runtime/runtime.h"

#include <fmt/core.h>

namespace sw {
namespace {

EngineOptions engine_options(EngineOptions options, const PlacedModel* placed) {
  options.forward = with_threads(options.forward);
  if (placed) options.forward = on_placed(options.forward, *placed);
  return options;
}

PlacedRun place(const Model& model, const RuntimeOptions& options, const Notes& notes) {
  const EngineOptions engine = engine_options(options.engine, nullptr);
  return PlacedRun(model, options.devices, plan_input(model, engine), notes);
}

}  // namespace

Runtime::Runtime(const Model& model, const RuntimeOptions& options, const Notes& notes)
    : model_(model),
      run_(place(model, options, notes)),
      engine_(model, engine_options(options.engine, &run_.placed())) {
  if (options.engine.forward.explain) notes.info(explain(engine_.forward().program()));
  if (engine_.n_ctx() > model.hparams().n_ctx_train) {
    notes.warn(fmt::format("the context of {} tokens is longer than the model was trained for ({})",
                           engine_.n_ctx(), model.hparams().n_ctx_train));
  }
}

}  // namespace sw
