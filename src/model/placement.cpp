// SPDX-License-Identifier: MIT
#include "model/placement.h"

#include <algorithm>
#include <map>
#include <numeric>
#include <regex>

#include "base/error.h"

namespace sw {
namespace {

/// The GPU (or fake device) of each layer and, last, of the head; 0 for those that stay on the processor.
std::vector<int> slots_of_layers(const Model& model, const Devices& devices,
                                 const PlacementOptions& options) {
  const int n_gpu = std::max(0, static_cast<int>(devices.size()) - 1),
            n_layer = model.hparams().n_run_block();
  std::vector<int> slots(static_cast<size_t>(n_layer) + 1, 0);
  if (n_gpu == 0) return slots;
  if (options.main_gpu >= n_gpu) {
    throw Error({.what = "there is no such GPU",
                 .where = "--main-gpu",
                 .expected = "below " + std::to_string(n_gpu),
                 .got = std::to_string(options.main_gpu)});
  }
  if (static_cast<int>(options.tensor_split.size()) > n_gpu) {
    throw Error({.what = "more shares than GPUs",
                 .where = "--tensor-split",
                 .expected = "at most " + std::to_string(n_gpu),
                 .got = std::to_string(options.tensor_split.size())});
  }
  std::vector<double> share = options.tensor_split;
  if (share.empty()) {
    for (int gpu = 0; gpu < n_gpu; ++gpu)
      share.push_back(static_cast<double>(devices[static_cast<size_t>(gpu) + 1]->memory().free_bytes));
  }
  share.resize(static_cast<size_t>(n_gpu), 0.0);
  if (!options.split_layers) {
    std::fill(share.begin(), share.end(), 0.0);
    share[static_cast<size_t>(options.main_gpu)] = 1.0;
  }
  const double all = std::accumulate(share.begin(), share.end(), 0.0);
  if (!(all > 0)) throw Error({.what = "the GPUs' shares are all 0", .where = "--tensor-split"});

  const int n_on_gpu = std::clamp(options.n_gpu_layers.value_or(n_layer + 1), 0, n_layer + 1);
  const int first = n_layer + 1 - n_on_gpu;
  double sum = 0;
  int gpu = 0;
  for (int i = first; i <= n_layer; ++i) {
    const double at = (i - first + 0.5) / n_on_gpu * all;
    while (gpu + 1 < n_gpu && at >= sum + share[static_cast<size_t>(gpu)]) {
      sum += share[static_cast<size_t>(gpu++)];
    }
    slots[static_cast<size_t>(i)] = gpu + 1;
  }
  if (n_on_gpu > 0) slots.back() = options.main_gpu + 1;
  return slots;
}

Placement place_layers(const Model& model, const Devices& devices, const PlacementOptions& options) {
  const std::vector<int> slots = slots_of_layers(model, devices, options);
  const int n_layer = model.hparams().n_run_block();
  Placement placement{.embed = slots.front(), .head = slots.back()};
  for (int l = 0; l < n_layer; ++l) {
    const int slot = slots[static_cast<size_t>(l)];
    LayerPlacement layer{.attention = slot, .ffn = slot, .shared = slot};
    if (model.has_experts(l)) {
      const bool on_cpu = options.cpu_moe || l < options.n_cpu_moe;
      layer.experts.assign(static_cast<size_t>(model.hparams().moe.n_expert), on_cpu ? 0 : slot);
    }
    placement.layers.push_back(std::move(layer));
  }
  return placement;
}

/// The -ot patterns, and how often each was met.
class Overrides {
 public:
  Overrides(const Devices& devices, const PlacementOptions& options, std::vector<std::string>* hits)
      : hits_(hits) {
    for (const PlacementOverride& o : options.overrides) {
      const std::string where = "-ot " + o.pattern + "=" + o.device;
      const int slot = find_device(devices, o.device, where);
      try {
        rules_.push_back({std::regex(o.pattern, std::regex::optimize), slot, where,
                          devices[static_cast<size_t>(slot)]->name(), 0});
      } catch (const std::regex_error& e) {
        throw Error({.what = "not a regular expression", .where = where, .got = e.what()});
      }
    }
  }

  /// Where the first pattern that is found in `name` sends it; a line if that is not `now`.
  std::optional<int> find(const std::string& name, std::optional<int> now = {}) {
    for (Rule& rule : rules_) {
      if (!std::regex_search(name, rule.pattern)) continue;
      ++rule.n_hit;
      if (hits_ && rule.slot != now) hits_->push_back(rule.where + ": " + name + " -> " + rule.device);
      return rule.slot;
    }
    return std::nullopt;
  }
  bool empty() const { return rules_.empty(); }

  void refuse_idle() const {
    for (const Rule& rule : rules_) {
      if (rule.n_hit == 0) throw Error({.what = "the pattern matches no tensor", .where = rule.where});
    }
  }

 private:
  struct Rule {
    std::regex pattern;
    int slot;
    std::string where, device;
    int n_hit;
  };
  std::vector<Rule> rules_;
  std::vector<std::string>* hits_;
};

int heaviest(const std::map<int, size_t>& bytes) {
  return std::max_element(bytes.begin(), bytes.end(),
                          [](const auto& a, const auto& b) { return a.second < b.second; })
      ->first;
}

/// An operation's tensors vote with their bytes; those that no pattern names vote for where they were.
void apply(const Model& model, Overrides& overrides, Placement& placement) {
  std::map<int*, std::map<int, size_t>> votes;
  std::map<int, std::map<int, size_t>> expert_votes;  // by layer
  const int n_layer = model.hparams().n_run_block();
  for (int layer = -1; layer < n_layer; ++layer) {
    for (const TensorItem& t : model.tensors(layer)) {
      const WeightView weight = model.weight(t.role, layer);
      if (weight.empty()) continue;
      const std::optional<int> wish = overrides.find(t.gguf);
      if (int* slot = slot_of(placement, t.role, layer)) {
        votes[slot][wish.value_or(*slot)] += weight.size_bytes();
      } else if (layer >= 0) {
        const int now = placement.layers[static_cast<size_t>(layer)].experts.front();
        expert_votes[layer][wish.value_or(now)] += weight.size_bytes();
      }
    }
  }
  for (const auto& [slot, bytes] : votes) *slot = heaviest(bytes);
  for (const auto& [layer, bytes] : expert_votes) {
    std::vector<int>& experts = placement.layers[static_cast<size_t>(layer)].experts;
    std::fill(experts.begin(), experts.end(), heaviest(bytes));
    for (size_t e = 0; e < experts.size(); ++e) {
      const std::string name = "blk." + std::to_string(layer) + ".exps." + std::to_string(e);
      if (const auto wish = overrides.find(name, experts[e])) experts[e] = *wish;
    }
  }
}

}  // namespace

int* slot_of(Placement& placement, Role role, int layer) {
  if (role == Role::TokenEmbd) return &placement.embed;
  if (role == Role::Output || role == Role::OutputNorm) return &placement.head;
  if (layer < 0 || layer >= static_cast<int>(placement.layers.size())) return nullptr;
  LayerPlacement& l = placement.layers[static_cast<size_t>(layer)];
  switch (role) {
    case Role::AttnNorm:
    case Role::AttnQkv:
    case Role::AttnQkvBias:
    case Role::AttnQ:
    case Role::AttnK:
    case Role::AttnV:
    case Role::AttnQBias:
    case Role::AttnKBias:
    case Role::AttnVBias:
    case Role::AttnOutBias:
    case Role::AttnSinks:
    case Role::AttnQNorm:
    case Role::AttnKNorm:
    case Role::AttnOut:
    case Role::AttnQA:
    case Role::AttnQANorm:
    case Role::AttnQB:
    case Role::AttnKvA:
    case Role::AttnKvANorm:
    case Role::AttnKB:
    case Role::AttnVB:
      return &l.attention;
    case Role::FfnNorm:
    case Role::FfnGate:
    case Role::FfnUp:
    case Role::FfnDown:
    case Role::Router:
    case Role::RouterBias:
    case Role::RouterLogitBias:
      return &l.ffn;
    case Role::SharedGate:
    case Role::SharedUp:
    case Role::SharedDown:
      return &l.shared;
    default:
      return nullptr;
  }
}

bool Placement::all_on(int slot) const {
  return embed == slot && head == slot && std::all_of(layers.begin(), layers.end(), [&](const auto& l) {
           return l.attention == slot && l.ffn == slot && l.shared == slot &&
                  std::all_of(l.experts.begin(), l.experts.end(), [&](int e) { return e == slot; });
         });
}

PlacementOverride parse_placement_override(const std::string& text) {
  const size_t equals = text.rfind('=');
  if (equals == std::string::npos || equals == 0 || equals + 1 == text.size()) {
    throw Error({.what = "bad -ot", .where = text, .expected = "REGEX=DEVICE, as in exps=CPU"});
  }
  return {.pattern = text.substr(0, equals), .device = text.substr(equals + 1)};
}

Placement place(const Model& model, const Devices& devices, const PlacementOptions& options,
                std::vector<std::string>* hits) {
  Placement placement = place_layers(model, devices, options);
  Overrides overrides(devices, options, hits);
  if (!overrides.empty()) {
    apply(model, overrides, placement);
    overrides.refuse_idle();
  }
  return placement;
}

}  // namespace sw
