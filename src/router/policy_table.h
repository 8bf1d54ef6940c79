// SPDX-License-Identifier: MIT
#pragma once
#include <cstdint>
#include <span>
#include <vector>

#include "router/policy.h"
#include "router/resolve.h"
#include "router/spec.h"

namespace sw {

/// A policy table's memory on some device, as routing reads it.
struct PolicyRows {
  const LayerPolicy* rows = nullptr;  ///< [capacity, n_moe_layer]
  const uint32_t* masks = nullptr;    ///< [capacity, n_moe_layer, n_mask_words]
  int n_moe_layer = 0;
  int n_mask_words = 0;

  constexpr const LayerPolicy& at(uint16_t id, int moe_layer) const { return rows[index(id, moe_layer)]; }
  /// The forbidden experts of a policy's layer as bits: expert e is bit e % 32 of word e / 32.
  constexpr const uint32_t* mask(uint16_t id, int moe_layer) const {
    return masks + index(id, moe_layer) * n_mask_words;
  }

 private:
  constexpr int64_t index(uint16_t id, int moe_layer) const { return int64_t{id} * n_moe_layer + moe_layer; }
};

/// A policy table's size, as devices keep it.
struct PolicySizes {
  int64_t n_row = 0;        ///< policies times MoE layers
  int64_t n_mask_word = 0;  ///< of all rows
};

/// Policies resolved against a model: a table [capacity, n_moe_layer] that never moves, so that kernels
/// (and CUDA graphs) see one small id per token. Id 0 is the model's own routing and always there.
/// For the thread that admits requests; kernels read it during steps, it changes only between them.
class PolicyTable {
 public:
  /// `layers`       the model's MoE layers, validated, in rising order
  /// `n_layer`      of all the model's layers
  /// `experts_max`  the largest k that decode buffers are planned for
  /// `capacity`     policies in use at one time, at most 65536
  PolicyTable(std::vector<MoeLayer> layers, int n_layer, int experts_max, int capacity);
  /// The size of such a table.
  static PolicySizes sizes(std::span<const MoeLayer> layers, int capacity);

  /// The id of a policy for tokens of a phase. Policies that mean the same share an id. Throws
  /// sw::Error (and changes nothing) where the model cannot do it or the table is full.
  /// The id stays valid until release() was called as often as resolve() returned it.
  uint16_t resolve(const RoutingPolicy& policy, Phase phase);
  void release(uint16_t id);

  int n_moe_layer() const { return static_cast<int>(layers_.size()); }
  int experts_max() const { return experts_max_; }
  int capacity() const { return static_cast<int>(users_.size()); }
  const MoeLayer& layer(int moe_layer) const { return layers_[static_cast<size_t>(moe_layer)]; }

  const LayerPolicy& at(uint16_t id, int moe_layer) const { return rows_[row_index(id, moe_layer)]; }
  /// As PolicyRows::mask.
  std::span<const uint32_t> mask(uint16_t id, int moe_layer) const {
    return std::span(masks_).subspan(row_index(id, moe_layer) * n_mask_words_, n_mask_words_);
  }

  /// The whole table, [capacity, n_moe_layer], and its masks, [capacity, n_moe_layer, n_mask_words]: for
  /// the copy on a device.
  std::span<const LayerPolicy> rows() const { return rows_; }
  std::span<const uint32_t> masks() const { return masks_; }
  size_t n_mask_words() const { return n_mask_words_; }
  /// The table itself, for routing on the CPU. Valid as long as the table: its memory never moves.
  PolicyRows view() const {
    return {rows_.data(), masks_.data(), n_moe_layer(), static_cast<int>(n_mask_words_)};
  }
  /// Grows whenever rows() or masks() change: when a device's copy has another, it is old.
  uint64_t version() const { return version_; }

 private:
  size_t row_index(uint16_t id, int moe_layer) const {
    return static_cast<size_t>(id) * layers_.size() + static_cast<size_t>(moe_layer);
  }
  bool holds(uint16_t id, const ResolvedRows& resolved) const;
  uint16_t free_id() const;

  std::vector<MoeLayer> layers_;
  int n_layer_;
  int experts_max_;
  size_t n_mask_words_ = 0;
  std::vector<LayerPolicy> rows_;
  std::vector<uint32_t> masks_;
  std::vector<int> users_;  // of each id; 0: may be given away
  uint64_t version_ = 1;
};

}  // namespace sw
