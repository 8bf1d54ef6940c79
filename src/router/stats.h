// SPDX-License-Identifier: MIT
#pragma once
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "router/routing.h"
#include "router/spec.h"

namespace sw {

/// What the router of one layer did. Histograms count tokens.
struct LayerStats {
  int layer = 0;  ///< as the Hugging Face config counts the model's layers
  int n_expert = 0;
  int group_size = 0;
  uint64_t n_tokens = 0;
  std::vector<uint64_t> counts = {};            ///< [n_expert + n_zero] times an expert was chosen
  std::vector<uint64_t> groups_per_token = {};  ///< [n_group + 1] groups that its experts came from
  std::vector<uint64_t> real_per_token = {};    ///< [experts_max + 1] experts that are not identity
  double entropy_bits = 0.0;  ///< summed over tokens: of a row's weights, divided by their sum

  /// The mean load of an expert with weights.
  double mean_count() const;
  /// The largest load of an expert with weights, as a multiple of the mean; 0 where nothing was routed.
  double imbalance() const;
};

/// A layer's statistics before anything was counted, for rows of up to `experts_max` experts.
LayerStats empty_stats(const MoeLayer& layer, int experts_max);

/// Counts of which experts were chosen, kept while running.
class RoutingStats {
 public:
  /// `layers` as in PolicyTable; rows may hold up to `experts_max` experts.
  RoutingStats(std::span<const MoeLayer> layers, int experts_max);

  /// The same with what was counted before. Throws sw::Error where that is of another model.
  RoutingStats(std::span<const MoeLayer> layers, std::vector<LayerStats> counted);

  /// Counts the rows of a batch. No allocation.
  void add(int moe_layer, const Routing& routing);
  /// Adds what another run counted. Throws sw::Error where it was of another model.
  void merge(const RoutingStats& other);

  std::span<const LayerStats> layers() const { return layers_; }

 private:
  std::vector<LayerStats> layers_;
};

/// Draws load per layer (rows) and expert (columns; several experts per cell where they do not fit) as
/// text of at most `max_width` columns (24 or more): shades on a logarithmic scale about each layer's mean
/// load, as block characters and, with `color`, in 256 colors. Identity experts stand behind a bar.
std::string heat_map(const RoutingStats& stats, int max_width, bool color);

/// The same as an SVG document under a title, such as the model's name: a row per layer, a cell per expert,
/// its count where the pointer rests, the experts' numbers and a key to the colors.
std::string heat_map_svg(const RoutingStats& stats, const std::string& title);
/// How many experts with weights the tokens of each layer had, in percent of its tokens; empty for a model
/// without identity experts.
std::string real_expert_table(const RoutingStats& stats);

}  // namespace sw
