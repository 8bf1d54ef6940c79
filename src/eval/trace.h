// SPDX-License-Identifier: MIT
#pragma once
#include <cstdint>
#include <filesystem>
#include <map>
#include <span>
#include <string>

#include "model/forward.h"

namespace sw {

struct TraceOptions {
  bool hidden = false;  ///< also layerK.hidden, layerK.half0.hidden and final_norm
  uint16_t policy = 0;
  CacheType cache_type = Type::F32;
  std::map<std::string, std::string> metadata = {};  ///< for the file's header
};

/// Runs `tokens` as one sequence and writes what happened as safetensors: `tokens` [T] i32, `logits` [T,
/// n_vocab], `layerK.topk_ids` [T, k] i32, `layerK.topk_weights` [T, k], `layerK.router_logits` [T, n_expert
/// + n_zero]; with `hidden` also `layerK.hidden` [T, n_embd], where a layer is two blocks
/// `layerK.half0.hidden`, and `final_norm` [T, n_embd]. K counts layers as the model's Hugging Face config
/// does; an unused slot is id -1, weight 0. Holds all of it in memory.
void write_trace(Forward& forward, const Model& model, std::span<const int32_t> tokens,
                 const TraceOptions& options, const std::filesystem::path& out);

}  // namespace sw
