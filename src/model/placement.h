// SPDX-License-Identifier: MIT
#pragma once
#include <optional>
#include <string>
#include <vector>

#include "model/model_view.h"

/// What runs where. An operation runs whole on one device, which holds all its weights; only experts are
/// placed one by one. Devices are indices into sw::Devices, 0 the CPU.
namespace sw {

struct BlockPlacement {
  int attention = 0;
  int ffn = 0;  ///< the router, which owns the residual of an MoE layer, and the dense FFN
  int shared = 0;
  std::vector<int> experts = {};  ///< [n_expert]; empty without a router
};

struct Placement {
  int embed = 0, head = 0;
  std::vector<BlockPlacement> blocks = {};
};

/// One -ot: a regular expression, searched for in tensor names and, for single experts, in the names
/// blk.LAYER.exps.EXPERT.
struct PlacementOverride {
  std::string pattern = {}, device = {};
};
/// "exps=CPU". Throws sw::Error.
PlacementOverride parse_placement_override(const std::string& text);

/// What the user said of placement; nothing at all means: as much on the GPUs as fits.
struct PlacementOptions {
  std::optional<int> n_gpu_layers = {};           ///< the last so many blocks, the head counted as one
  std::vector<PlacementOverride> overrides = {};  ///< the first that matches a name counts
  bool cpu_moe = false;
  int n_cpu_moe = 0;                      ///< experts of the first so many blocks stay on the CPU
  bool split_layers = true;               ///< false: the main GPU alone
  std::vector<double> tensor_split = {};  ///< share of each GPU; empty: by free memory
  /// Of the GPUs, from 0: holds the head. None: the head goes like one layer more behind the
  /// last; alone, to the first GPU.
  std::optional<int> main_gpu = {};

  bool automatic() const { return !n_gpu_layers && !cpu_moe && n_cpu_moe == 0; }
};

/// The device that a role's weights go to (`block` -1 for the model's own), as a place to change it; null for
/// experts, which have one each, and for what no pass runs.
int* device_of(Placement& placement, Role role, int block);

/// Turns options into devices. `hits`, if given, gets a line for each override: the tensors that it
/// names, and the single experts that it takes away from where their layer's experts go. Where an operation's
/// tensors were sent to several devices, it goes where most of their bytes were sent. Throws sw::Error on a
/// bad pattern, one that matches nothing, and an unknown device.
Placement place(const ModelView& model, std::span<const DeviceFacts> devices, const PlacementOptions& options,
                std::vector<std::string>* hits = nullptr);
Placement place(const Model& model, const Devices& devices, const PlacementOptions& options,
                std::vector<std::string>* hits = nullptr);

}  // namespace sw
