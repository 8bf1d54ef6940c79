// SPDX-License-Identifier: MIT
#include "model/placement.h"

#include <algorithm>
#include <map>
#include <numeric>

#include "base/error.h"
#include "text/regex.h"

namespace sw {
namespace {

/// The GPU (or fake device) of each block and, last, of the head; 0 for those that stay on the CPU.
std::vector<int> devices_of_blocks(const HParams& hparams, std::span<const DeviceFacts> devices,
                                   const PlacementOptions& options) {
  const int n_gpu = std::max(0, static_cast<int>(devices.size()) - 1), n_block = hparams.n_run_block();
  std::vector<int> chosen(static_cast<size_t>(n_block) + 1, 0);
  if (n_gpu == 0) return chosen;
  if (options.main_gpu.value_or(0) >= n_gpu) {
    throw Error({.what = "there is no such GPU",
                 .where = "--main-gpu",
                 .expected = "below " + std::to_string(n_gpu),
                 .got = std::to_string(*options.main_gpu)});
  }
  if (static_cast<int>(options.tensor_split.size()) > n_gpu) {
    throw Error({.what = "more shares than GPUs",
                 .where = "--tensor-split",
                 .expected = "at most " + std::to_string(n_gpu),
                 .got = std::to_string(options.tensor_split.size())});
  }
  std::vector<double> share = options.tensor_split;
  if (share.empty()) {
    for (const DeviceFacts& gpu : devices.subspan(1)) share.push_back(static_cast<double>(gpu.free_bytes));
  }
  share.resize(static_cast<size_t>(n_gpu), 0.0);
  if (!options.split_layers) {
    std::fill(share.begin(), share.end(), 0.0);
    share[static_cast<size_t>(options.main_gpu.value_or(0))] = 1.0;
  }
  const double all = std::accumulate(share.begin(), share.end(), 0.0);
  if (!(all > 0)) throw Error({.what = "the GPUs' shares are all 0", .where = "--tensor-split"});

  const int n_on_gpu = std::clamp(options.n_gpu_layers.value_or(n_block + 1), 0, n_block + 1);
  const int first = n_block + 1 - n_on_gpu;
  double sum = 0;
  int gpu = 0;
  for (int i = first; i <= n_block; ++i) {
    const double at = (i - first + 0.5) / n_on_gpu * all;
    while (gpu + 1 < n_gpu && at >= sum + share[static_cast<size_t>(gpu)]) {
      sum += share[static_cast<size_t>(gpu++)];
    }
    chosen[static_cast<size_t>(i)] = gpu + 1;
  }
  if (n_on_gpu == 1) {  // the head alone goes to the first GPU that has a share
    const auto has_share = std::ranges::find_if(share, [](double s) { return s > 0; });
    chosen.back() = static_cast<int>(has_share - share.begin()) + 1;
  }
  if (n_on_gpu > 0 && options.main_gpu) chosen.back() = *options.main_gpu + 1;
  return chosen;
}

Placement place_blocks(const ModelView& model, std::span<const DeviceFacts> devices,
                       const PlacementOptions& options) {
  const HParams& hparams = model.hparams;
  const std::vector<int> chosen = devices_of_blocks(hparams, devices, options);
  Placement placement{.embed = chosen.front(), .head = chosen.back()};
  for (int b = 0; b < hparams.n_run_block(); ++b) {
    const int device = chosen[static_cast<size_t>(b)];
    BlockPlacement block{.attention = device, .ffn = device, .shared = device};
    if (block_operations(model.arch, hparams, b).has(Operation::Experts)) {
      const bool on_cpu = options.cpu_moe || b < options.n_cpu_moe;
      block.experts.assign(static_cast<size_t>(hparams.moe.n_expert), on_cpu ? 0 : device);
    }
    placement.blocks.push_back(std::move(block));
  }
  return placement;
}

/// The -ot patterns, and how often each was met.
class Overrides {
 public:
  Overrides(std::span<const DeviceFacts> devices, const PlacementOptions& options) {
    std::vector<std::string> names;
    for (const DeviceFacts& device : devices) names.push_back(device.name);
    for (const PlacementOverride& o : options.overrides) {
      const std::string where = "-ot " + o.pattern + "=" + o.device;
      const int device = find_device(names, o.device, where);
      rules_.push_back(
          {compile_pattern(o.pattern, where), device, where, names[static_cast<size_t>(device)]});
    }
  }

  /// Where the first pattern that is found in a tensor's name sends it.
  std::optional<int> find(const std::string& tensor) {
    Rule* rule = first_found(tensor);
    if (!rule) return std::nullopt;
    ++rule->n_tensor;
    return rule->device;
  }
  /// The same for a single expert, which counts where it leaves the others of its layer.
  std::optional<int> find_expert(const std::string& expert, int now) {
    Rule* rule = first_found(expert);
    if (!rule) return std::nullopt;
    if (rule->device != now) ++rule->n_expert;
    return rule->device;
  }
  bool empty() const { return rules_.empty(); }

  void refuse_idle() const {
    for (const Rule& rule : rules_) {
      if (!rule.found) throw Error({.what = "the pattern matches no tensor", .where = rule.where});
    }
  }

  /// "-ot exps=CPU: 15 tensors -> CPU" for each pattern.
  std::vector<std::string> lines() const {
    std::vector<std::string> out;
    for (const Rule& rule : rules_) {
      const std::string tensors = count(rule.n_tensor, "tensor"), experts = count(rule.n_expert, "expert");
      std::string what = tensors;
      if (!tensors.empty() && !experts.empty()) what += ", ";
      what += experts;
      out.push_back(rule.where + ": " +
                    (what.empty() ? "experts that are there already" : what + " -> " + rule.device_name));
    }
    return out;
  }

 private:
  struct Rule {
    Regex pattern;
    int device;
    std::string where, device_name;
    bool found = false;
    int n_tensor = 0, n_expert = 0;  ///< that it sent
  };

  Rule* first_found(const std::string& name) {
    const auto rule = std::ranges::find_if(rules_, [&](const Rule& r) { return r.pattern.finds(name); });
    if (rule == rules_.end()) return nullptr;
    rule->found = true;
    return &*rule;
  }
  static std::string count(int n, const char* what) {
    return n == 0 ? "" : std::to_string(n) + " " + what + (n == 1 ? "" : "s");
  }
  static Regex compile_pattern(const std::string& pattern, const std::string& where) {
    try {
      return Regex(pattern, where, Regex::Dialect::Pcre2);
    } catch (const Error& e) {
      throw Error({.what = "not a regular expression", .where = e.parts().where, .got = e.parts().what});
    }
  }

  std::vector<Rule> rules_;
};

int heaviest(const std::map<int, size_t>& bytes) {
  return std::max_element(bytes.begin(), bytes.end(),
                          [](const auto& a, const auto& b) { return a.second < b.second; })
      ->first;
}

/// An operation's tensors vote with their bytes; those that no pattern names vote for where they were.
void apply(const ModelView& model, Overrides& overrides, Placement& placement) {
  std::map<int*, std::map<int, size_t>> votes;
  std::map<int, std::map<int, size_t>> expert_votes;  // by block
  const int n_block = model.hparams.n_run_block();
  for (int block = kOfModel; block < n_block; ++block) {
    for (const TensorItem& t : model.weights.tensors(block)) {
      const size_t size_bytes = model.weights.size_bytes(t.role, block);
      if (size_bytes == 0) continue;
      const std::optional<int> wanted = overrides.find(t.gguf);
      if (is_expert(t.role)) {
        const int now = placement.blocks[static_cast<size_t>(block)].experts.front();
        expert_votes[block][wanted.value_or(now)] += size_bytes;
      } else if (int* device = device_of(placement, t.role, block)) {
        votes[device][wanted.value_or(*device)] += size_bytes;
      }
    }
  }
  for (const auto& [device, bytes] : votes) *device = heaviest(bytes);
  for (const auto& [block, bytes] : expert_votes) {
    std::vector<int>& experts = placement.blocks[static_cast<size_t>(block)].experts;
    std::fill(experts.begin(), experts.end(), heaviest(bytes));
    for (size_t e = 0; e < experts.size(); ++e) {
      const std::string name = "blk." + std::to_string(block) + ".exps." + std::to_string(e);
      if (const auto wanted = overrides.find_expert(name, experts[e])) experts[e] = *wanted;
    }
  }
}

}  // namespace

int* device_of(Placement& placement, Role role, int block) {
  const auto at = [&]() -> BlockPlacement& { return placement.blocks[static_cast<size_t>(block)]; };
  switch (operation_of(role)) {
    case Operation::Embed:
      return &placement.embed;
    case Operation::Head:
      return &placement.head;
#define SW_MIXER(name) case Operation::name:
#include "arch/roles.inc"
      return &at().attention;
    case Operation::Route:
    case Operation::Ffn:
      return &at().ffn;
    case Operation::Shared:
      return &at().shared;
    case Operation::Experts:  // each has its own
    case Operation::Rope:     // the host's
    case Operation::Nextn:    // not run
      return nullptr;
  }
  return nullptr;
}

PlacementOverride parse_placement_override(const std::string& text) {
  const size_t equals = text.rfind('=');
  if (equals == std::string::npos || equals == 0 || equals + 1 == text.size()) {
    throw Error({.what = "bad -ot", .where = text, .expected = "REGEX=DEVICE, as in exps=CPU"});
  }
  return {.pattern = text.substr(0, equals), .device = text.substr(equals + 1)};
}

Placement place(const ModelView& model, std::span<const DeviceFacts> devices, const PlacementOptions& options,
                std::vector<std::string>* hits) {
  Placement placement = place_blocks(model, devices, options);
  Overrides overrides(devices, options);
  if (!overrides.empty()) {
    apply(model, overrides, placement);
    overrides.refuse_idle();
    if (hits) *hits = overrides.lines();
  }
  return placement;
}

Placement place(const Model& model, const Devices& devices, const PlacementOptions& options,
                std::vector<std::string>* hits) {
  const FileWeights weights(model);
  return place(weights.view(), facts_of(devices), options, hits);
}

}  // namespace sw
