// SPDX-License-Identifier: MIT
#pragma once
#include <cstdint>
#include <span>
#include <vector>

#include "runtime/notes.h"
#include "runtime/placed_run.h"

namespace sw {

struct MeasureOptions {
  DeviceOptions devices = {};
  ForwardOptions forward = {};  ///< n_thread 0: one per core; n_ctx, n_seq and placed are filled in
  CacheType cache_type = Type::F32;
  int64_t n_ctx = 0;  ///< tokens of a sequence
  int64_t n_seq = 1;  ///< sequences at one time
  /// Tokens that a sequence goes on by before it may go back; at least a u-batch. Windows keep so many more.
  int64_t n_ahead = 0;
};

/// A model on its devices and a forward pass for it, for what measures without an engine. Borrows the model.
class MeasuredModel {
 public:
  /// Plans, checks and takes memory. Throws sw::Error also where the model cannot do one of the policies.
  MeasuredModel(const Model& model, const MeasureOptions& options, std::span<const RoutingPolicy> policies,
                const Notes& notes = {});

  const Model& model() const { return model_; }
  Forward& forward() { return forward_; }
  const PolicyTable& policies() const { return policies_; }
  /// The resolved id of the policy given as number `index`.
  uint16_t policy(size_t index, Phase phase) const {
    return ids_[2 * index + (phase == Phase::Decode ? 1 : 0)];
  }

 private:
  const Model& model_;
  PolicyTable policies_;
  std::vector<uint16_t> ids_;  // [n_policy, 2]: prefill, decode
  PlacedRun run_;
  Forward forward_;
};

}  // namespace sw
