// SPDX-License-Identifier: MIT
#pragma once
#include <CLI/CLI.hpp>
#include <string>
#include <vector>

#include "runtime/placed_run.h"

/// The flags that say what runs where.
namespace sw::cli {

struct PlacementFlags {
  std::string device = {}, split_mode = "layer", tensor_split = {};
  int n_gpu_layers = -1;  ///< -1: what fits
  std::vector<std::string> overrides = {};
  bool cpu_moe = false;
  int n_cpu_moe = 0, main_gpu = -1;  ///< main_gpu -1: the one with the last layers
  bool no_peer_access = false;

  /// Throws sw::Error on nonsense.
  DeviceOptions options() const;
};

void add_placement_flags(CLI::App& command, PlacementFlags& flags);

/// The GPUs and their memory, a line each, or why there is none.
std::string describe_devices();

}  // namespace sw::cli
