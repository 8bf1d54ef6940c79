// SPDX-License-Identifier: MIT
#include "cli/placement_flags.h"

#include <charconv>
#include <sstream>

#include "base/error.h"
#include "cli/arguments.h"
#include "runtime/limits.h"

namespace sw::cli {
namespace {

std::vector<double> parse_shares(const std::string& text) {
  std::vector<double> shares;
  std::istringstream list(text);
  for (std::string item; std::getline(list, item, ',');) {
    double share = 0;
    const auto [end, error] = std::from_chars(item.data(), item.data() + item.size(), share);
    if (error != std::errc{} || end != item.data() + item.size() || !(share >= 0 && share < 1e9)) {
      throw Error(
          {.what = "bad shares", .where = "--tensor-split", .expected = "numbers as in 3,1", .got = text});
    }
    shares.push_back(share);
  }
  return shares;
}

}  // namespace

void add_placement_flags(CLI::App& command, PlacementFlags& f) {
  const std::string group = "Placement";
  command
      .add_option("--device,--dev", f.device,
                  "-dev: devices to use: CUDA0,CUDA1 (default: every GPU), none, or fake:N for tests")
      ->group(group);
  command
      .add_option("--n-gpu-layers,--ngl", f.n_gpu_layers,
                  "-ngl: so many layers, from the last, on GPUs (default: what fits)")
      ->check(range(limits::kLayers))
      ->group(group);
  command
      .add_option("--override-tensor,--ot", f.overrides,
                  "-ot: REGEX=DEVICE, tensors by name, single experts as blk.L.exps.E; repeatable")
      ->allow_extra_args(false)
      ->group(group);
  command.add_flag("--cpu-moe", f.cpu_moe, "every routed expert stays on the CPU")->group(group);
  command.add_option("--n-cpu-moe", f.n_cpu_moe, "those of the first N layers stay on the CPU")
      ->check(range(limits::kLayers))
      ->group(group);
  command.add_option("--split-mode,--sm", f.split_mode, "-sm: layer (over all GPUs) or none (the main GPU)")
      ->check(CLI::IsMember({"layer", "none"}))
      ->capture_default_str()
      ->group(group);
  command
      .add_option("--tensor-split,--ts", f.tensor_split,
                  "-ts: shares of layers, as in 3,1 (default: free memory)")
      ->group(group);
  command.add_option("--main-gpu,--mg", f.main_gpu, "-mg: the GPU that holds the output matrix")
      ->check(range(limits::kGpu))
      ->capture_default_str()
      ->group(group);
}

DeviceOptions PlacementFlags::options() const {
  DeviceOptions o{.devices = device,
                  .placement = {.n_gpu_layers = n_gpu_layers,
                                .cpu_moe = cpu_moe,
                                .n_cpu_moe = n_cpu_moe,
                                .split_layers = split_mode == "layer",
                                .tensor_split = parse_shares(tensor_split),
                                .main_gpu = main_gpu}};
  for (const std::string& text : overrides) o.placement.overrides.push_back(parse_placement_override(text));
  return o;
}

}  // namespace sw::cli
