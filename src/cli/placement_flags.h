// SPDX-License-Identifier: MIT
#pragma once
#include <CLI/CLI.hpp>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "engine/engine.h"
#include "model/memory_plan.h"
#include "model/placed_model.h"

/// The flags that say what runs where.
namespace sw::cli {

struct PlacementFlags {
  std::string device = {}, split_mode = "layer", tensor_split = {};
  std::optional<int> n_gpu_layers = {};
  std::vector<std::string> overrides = {};
  bool cpu_moe = false;
  int n_cpu_moe = 0, main_gpu = 0;

  /// Throws sw::Error on nonsense.
  PlacementOptions options() const;
};

void add_placement_flags(CLI::App& command, PlacementFlags& flags);

/// A model on its devices.
struct Setup {
  std::unique_ptr<const Devices> devices = {};  // where `placed` refers to them, wherever this one moves
  std::unique_ptr<PlacedModel> placed = {};
};
/// Plans, says what goes where (nothing on a machine without GPUs), copies. Throws where it does not fit.
Setup set_up(const Model& model, const PlacementFlags& flags, const PlanInput& input);
/// The same for an engine; fills in options.forward.placed.
Setup set_up(const Model& model, const PlacementFlags& flags, EngineOptions& options);

}  // namespace sw::cli
