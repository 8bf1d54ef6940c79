// SPDX-License-Identifier: MIT
#include "cli/measured_model.h"

#include <algorithm>

#include "base/log.h"
#include "engine/engine.h"

namespace sw::cli {

void add_text_flags(CLI::App& command, ChunkedText& text) {
  command.add_option("-f,--file", text.file, "the text, its bytes unchanged")->required();
  command.add_option("-c,--ctx-size", text.n_ctx, "tokens of a chunk")
      ->check(CLI::Range(int64_t{4}, int64_t{1} << 24))
      ->capture_default_str();
  command.add_option("--chunks", text.n_chunk, "chunks at most (default: all)")
      ->check(CLI::Range(int64_t{-1}, int64_t{1} << 40));
}

MeasuredModel::MeasuredModel(const Model& model, const ModelFlags& flags, MeasuredRoom room,
                             std::span<const RoutingPolicy> policies)
    : model_(model) {
  int most = 0;
  for (const RoutingPolicy& policy : policies) most = std::max(most, experts_needed(model, policy));
  const auto capacity = 1 + 2 * static_cast<int>(policies.size());
  policies_.emplace(model.moe_layers(), model.hparams().n_layer, most, capacity);
  for (const RoutingPolicy& policy : policies) {
    for (const Phase phase : {Phase::Prefill, Phase::Decode})
      ids_.push_back(policies_->resolve(policy, phase));
  }
  ForwardOptions options = flags.forward_options();
  options.n_ctx = room.n_ctx;
  options.n_seq = room.n_seq;
  setup_ = set_up(model, flags.placement,
                  {options, &*policies_,
                   Forward::cache_plan(model, room.n_ctx, flags.kv_type(), room.n_seq, options.n_ubatch)});
  options.placed = setup_.placed.get();
  forward_.emplace(model, *policies_, options);
  if (flags.explain) log::info("{}", forward_->explanation());
}

}  // namespace sw::cli
