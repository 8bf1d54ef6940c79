// SPDX-License-Identifier: MIT
#pragma once
#include "engine/engine.h"
#include "runtime/notes.h"
#include "runtime/placed_run.h"

namespace sw {

struct RuntimeOptions {
  DeviceOptions devices = {};
  EngineOptions engine = {};  ///< forward.n_thread 0: one per core; forward.placed is filled in
};

/// A model on its devices with an engine that takes requests: what the command line, the library and a server
/// share. Owns devices and placed weights, borrows the model.
class Runtime {
 public:
  /// Takes all memory that steps will need. engine.n_ctx 0: what the model was trained for, or what fits; see
  /// context_that_fits(). Throws sw::Error, and sw::SystemError where the model does not fit.
  Runtime(const Model& model, const RuntimeOptions& options, const Notes& notes = {});

  const Model& model() const { return model_; }
  Engine& engine() { return engine_; }
  const Engine& engine() const { return engine_; }

 private:
  struct Chosen {
    Devices devices = {};
    EngineOptions engine = {};
  };
  static Chosen choose(const Model& model, const RuntimeOptions& options, const Notes& notes);
  Runtime(const Model& model, Chosen chosen, const PlacementOptions& placement, const Notes& notes);

  const Model& model_;
  PlacedRun run_;
  Engine engine_;
};

}  // namespace sw
