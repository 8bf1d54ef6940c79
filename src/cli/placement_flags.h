// SPDX-License-Identifier: MIT
#pragma once
#include <CLI/CLI.hpp>
#include <optional>
#include <string>
#include <vector>

#include "runtime/placed_run.h"

/// The flags that say what runs where.
namespace sw::cli {

struct PlacementFlags {
  std::string device = {}, split_mode = "layer", tensor_split = {};
  std::optional<int> n_gpu_layers = {};
  std::vector<std::string> overrides = {};
  bool cpu_moe = false;
  int n_cpu_moe = 0, main_gpu = 0;

  /// Throws sw::Error on nonsense.
  DeviceOptions options() const;
};

void add_placement_flags(CLI::App& command, PlacementFlags& flags);

}  // namespace sw::cli
