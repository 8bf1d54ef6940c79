// SPDX-License-Identifier: MIT
#pragma once
#include <filesystem>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "eval/divergence.h"
#include "eval/perplexity.h"
#include "eval/sweep_bench.h"
#include "formats/safetensors.h"
#include "router/stats.h"

namespace sw {

/// Statistics as a table: for each layer with experts how evenly they are used, and what a token gets.
std::string stats_table(const RoutingStats& stats);

/// What statistics were counted with; only equal ones are added up.
struct StatsOrigin {
  std::string model = {};   ///< its name and format
  std::string policy = {};  ///< the routing in force
  friend bool operator==(const StatsOrigin&, const StatsOrigin&) = default;
};

/// Statistics in a small JSON file. Reading throws sw::Error on a file of another kind, model or policy.
void write_stats(const RoutingStats& stats, const StatsOrigin& origin, const std::filesystem::path& path);
RoutingStats read_stats(const std::filesystem::path& path, const StatsOrigin& origin,
                        std::span<const MoeLayer> layers);

/// Keeps every token's experts: [n_token, k] of each layer, ids as i16 (-1: unused) and weights as f16.
class RoutingTrace : public ForwardProbe {
 public:
  explicit RoutingTrace(std::span<const MoeLayer> layers);
  void on_routing(int moe_layer, TensorView<const float> logits, const Routing& routing) override;
  /// Tensors layerK.topk_ids and layerK.topk_weights, K as the Hugging Face config counts.
  void write(const std::filesystem::path& path) const;

 private:
  struct Layer {
    int layer = 0;
    int64_t k = 0;
    std::vector<int16_t> ids = {};
    std::vector<uint16_t> weights = {};
  };
  std::vector<Layer> layers_;
};

/// One policy's row of a comparison. The divergence is from the first policy's predictions.
struct PolicyRow {
  std::string name = {};
  Perplexity perplexity = {};
  Divergence divergence = {};
  SweepRow speed = {};
};

/// A policy with what it resolved to.
struct ResolvedPolicy {
  std::string name = {};
  SweepPolicy use = {};
};

/// Perplexity, divergence and speed of each policy on one text, chunk by chunk in turn, so that no
/// predictions but one chunk's are kept. `on_chunk` gets the number of chunks done and in all.
std::vector<PolicyRow> compare_policies(Forward& forward, const Model& model, std::span<const int32_t> tokens,
                                        const PerplexityOptions& options,
                                        std::span<const ResolvedPolicy> policies, const SweepOptions& speed,
                                        const std::function<void(int64_t, int64_t)>& on_chunk = {});
/// As a Markdown table.
std::string comparison_table(std::span<const PolicyRow> rows);
/// A line of warning where the first two rows differ only by groups and by more than 5 % in perplexity.
std::optional<std::string> perplexity_jump(const PolicyRow& grouped, const PolicyRow& standard);

}  // namespace sw
