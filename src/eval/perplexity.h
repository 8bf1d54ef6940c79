// SPDX-License-Identifier: MIT
#pragma once
#include <cstdint>
#include <functional>
#include <optional>
#include <span>

#include "model/forward.h"

namespace sw {

struct PerplexityOptions {
  int64_t n_ctx = 512;              ///< tokens of a chunk
  int64_t n_chunk = -1;             ///< at most; -1: as many as the text holds
  std::optional<int32_t> bos = {};  ///< put in place of each chunk's first token
  uint16_t policy = 0;              ///< resolved routing policy
  Type cache_type = Type::F32;
};

struct Perplexity {
  double value = 0;  ///< exp(mean negative log likelihood)
  double error = 0;  ///< one standard error of it
  int64_t n_chunk = 0;
  int64_t n_scored = 0;  ///< predictions that were scored
};

/// Perplexity of a text cut into chunks of n_ctx tokens: in each, the logits of positions c/2 .. c-2
/// predict tokens c/2+1 .. c-1. A u-batch larger than a chunk takes several chunks at once, each its own
/// sequence. `on_chunk` gets the running result after each chunk. Throws sw::Error where the text is
/// shorter than one chunk.
Perplexity measure_perplexity(
    Forward& forward, const Model& model, std::span<const int32_t> tokens, const PerplexityOptions& options,
    const std::function<void(const Perplexity&, int64_t n_chunk_in_all)>& on_chunk = {});

/// -log softmax(logits)[target], in double.
double negative_log_likelihood(std::span<const float> logits, int32_t target);

}  // namespace sw
