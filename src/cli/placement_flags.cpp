// SPDX-License-Identifier: MIT
#include "cli/placement_flags.h"

#include <algorithm>
#include <cctype>
#include <charconv>
#include <fmt/core.h>
#include <sstream>

#include "base/error.h"
#include "cli/arguments.h"
#include "cli/option_text.h"
#include "kernels/devices.h"
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

/// The rules of one -ot: "a=CPU,b=CUDA0" has two. A pattern may have commas, a device has none: a list is cut
/// at the comma behind `=DEVICE`.
std::vector<std::string> split_rules(const std::string& text) {
  std::vector<std::string> rules;
  size_t begin = 0;
  for (size_t comma = text.find(','); comma != text.npos; comma = text.find(',', comma + 1)) {
    const size_t equals = text.rfind('=', comma);
    if (equals == text.npos || equals < begin) continue;
    const std::string_view device = std::string_view(text).substr(equals + 1, comma - equals - 1);
    const auto is_named = [](char c) { return c == ':' || std::isalnum(static_cast<unsigned char>(c)) != 0; };
    if (device.empty() || !std::all_of(device.begin(), device.end(), is_named)) continue;
    rules.push_back(text.substr(begin, comma - begin));
    begin = comma + 1;
  }
  rules.push_back(text.substr(begin));
  return rules;
}

/// "all" and "auto" are numbers after it.
std::string check_gpu_layers(std::string& text) {
  if (text == "all") text = std::to_string(limits::kLayers.most);
  if (text == "auto") text = "-1";
  if (whole_number(-1, limits::kLayers.most)(text).empty()) return {};
  return fmt::format("expected a number of layers, all or auto, got {}", printable(text, 40));
}

void list_devices() {
  fmt::print("{}", describe_devices());
  throw CLI::Success();
}

}  // namespace

std::string describe_devices() {
  std::string note, out;
  const Devices devices = open_devices("", &note);
  if (devices.size() == 1) return fmt::format("GPUs:      none ({})\n", note);
  for (size_t d = 1; d < devices.size(); ++d) {
    const Backend::MemoryFacts memory = devices[d]->memory();
    out += fmt::format("{:<10} {}, {} of {} MiB free\n", devices[d]->info().name + ":",
                       devices[d]->info().description, memory.free_bytes >> 20, memory.total_bytes >> 20);
  }
  return out;
}

void add_placement_flags(CLI::App& command, PlacementFlags& f) {
  const std::string group = "Placement", rare = std::string(kRare) + "placement";
  command
      .add_option("--device", f.device,
                  "devices to use: CUDA0,CUDA1, none, or fake:N for tests (default: every GPU)")
      ->option_text("LIST")
      ->group(group);
  command
      .add_option("--n-gpu-layers", f.n_gpu_layers,
                  "put the last N layers on GPUs, the head counted as one, or all (default: auto, what fits)")
      ->option_text("N|all|auto")
      ->transform(CLI::Validator(check_gpu_layers, "{all,auto}"))
      ->group(group);
  command
      .add_option("--override-tensor", f.overrides,
                  "place tensors by name, single experts as blk.L.exps.E; repeatable, or a list with commas")
      ->option_text("REGEX=DEVICE")
      ->allow_extra_args(false)
      ->group(group);
  command.add_flag_callback("--list-devices", list_devices, "print the GPUs and end")->group(rare);
  command.add_flag("--cpu-moe", f.cpu_moe, "keep every routed expert on the CPU")->group(group);
  command.add_option("--n-cpu-moe", f.n_cpu_moe, "keep those of the first N layers on the CPU")
      ->transform(range(limits::kLayers))
      ->group(group);
  command.add_option("--split-mode", f.split_mode, "spread layers over all GPUs, or put all on the main GPU")
      ->check(one_of({"layer", "none"}))
      ->capture_default_str()
      ->group(rare);
  command
      .add_option("--tensor-split", f.tensor_split,
                  "each GPU's share of the layers, as in 3,1 (default: by free memory)")
      ->option_text("LIST")
      ->group(rare);
  command
      .add_option("--main-gpu", f.main_gpu,
                  "the GPU that holds the head (default: the one with the last layers), or with --split-mode "
                  "none all")
      ->transform(range(limits::kGpu))
      ->group(rare);
  command
      .add_flag("--no-peer-access", f.no_peer_access,
                "copy between GPUs through the CPU's memory, as where they cannot reach each other")
      ->group(rare);
}

DeviceOptions PlacementFlags::options() const {
  DeviceOptions o{
      .devices = device,
      .placement = {.n_gpu_layers = n_gpu_layers >= 0 ? std::optional(n_gpu_layers) : std::nullopt,
                    .cpu_moe = cpu_moe,
                    .n_cpu_moe = n_cpu_moe,
                    .split_layers = split_mode == "layer",
                    .tensor_split = parse_shares(tensor_split),
                    .main_gpu = main_gpu >= 0 ? std::optional(main_gpu) : std::nullopt},
      .peer_access = no_peer_access ? PeerAccess::Refused : PeerAccess::Allowed};
  for (const std::string& text : overrides) {
    for (const std::string& rule : split_rules(text))
      o.placement.overrides.push_back(parse_placement_override(rule));
  }
  return o;
}

}  // namespace sw::cli
