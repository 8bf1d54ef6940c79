// SPDX-License-Identifier: MIT
#pragma once
#include <memory>
#include <optional>
#include <span>

#include "cli/model_flags.h"
#include "model/forward.h"

namespace sw::cli {

/// A text that is scored in chunks.
struct ChunkedText {
  std::string file = {};
  int64_t n_ctx = 512;   ///< tokens of a chunk
  int64_t n_chunk = -1;  ///< at most; -1: all
};
/// -f, -c and --chunks.
void add_text_flags(CLI::App& command, ChunkedText& text);

/// The room that passes need.
struct MeasuredRoom {
  int64_t n_ctx = 0;  ///< tokens of a sequence
  int64_t n_seq = 1;  ///< sequences at one time
};

/// A model on its devices and a forward pass for it, for what measures without an engine.
class MeasuredModel {
 public:
  /// Plans, checks and takes memory; every policy must be one that the model can do. Throws sw::Error.
  MeasuredModel(const Model& model, const ModelFlags& flags, MeasuredRoom room,
                std::span<const RoutingPolicy> policies);

  const Model& model() const { return model_; }
  Forward& forward() { return *forward_; }
  const PolicyTable& policies() const { return *policies_; }
  /// The resolved id of the policy given as number `index`.
  uint16_t policy(size_t index, Phase phase) const {
    return ids_[2 * index + (phase == Phase::Decode ? 1 : 0)];
  }

 private:
  const Model& model_;
  std::optional<PolicyTable> policies_;
  std::vector<uint16_t> ids_;
  Setup setup_;
  std::optional<Forward> forward_;
};

}  // namespace sw::cli
