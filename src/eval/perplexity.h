// SPDX-License-Identifier: MIT
#pragma once
#include <algorithm>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>

#include "model/forward.h"

namespace sw {

struct PerplexityOptions {
  int64_t n_ctx = 512;   ///< tokens of a chunk
  int64_t n_chunk = -1;  ///< at most; -1: as many as the text holds
  int64_t stride = 0;    ///< not 0: chunks begin so many tokens apart, and each one's last tokens are scored
  std::optional<int32_t> bos = {};  ///< put in place of each chunk's first token
  uint16_t policy = 0;              ///< resolved routing policy
  CacheType cache_type = Type::F32;
  ForwardProbe* probe = nullptr;  ///< sees every pass
  /// Sees each scored prediction in the order of the text, whatever the u-batch: logits [n_vocab] and the
  /// token that came.
  std::function<void(std::span<const float> logits, int32_t target)> on_prediction = {};

  int64_t step() const { return stride > 0 ? stride : n_ctx; }
  /// The first position of a chunk whose logits are scored; the last is n_ctx - 2.
  int64_t first_scored() const { return stride > 0 ? std::max<int64_t>(0, n_ctx - 1 - stride) : n_ctx / 2; }
};

struct Perplexity {
  double value = 0;  ///< exp(mean negative log likelihood)
  double error = 0;  ///< one standard error of it
  int64_t n_chunk = 0;
  int64_t n_scored = 0;  ///< predictions that were scored
};

/// Sums of the scored predictions.
struct PerplexityTally {
  double sum = 0, sum_squares = 0;
  int64_t n = 0;

  void add(double negative_log_likelihood) {
    sum += negative_log_likelihood;
    sum_squares += negative_log_likelihood * negative_log_likelihood;
    ++n;
  }
  Perplexity result(int64_t n_chunk) const;
};

/// Chunks that a text of `n_token` tokens has. Throws sw::Error where there is none.
int64_t count_chunks(int64_t n_token, const PerplexityOptions& options);

/// Perplexity of a text cut into chunks of n_ctx tokens: in each, the logits of positions c/2 .. c-2
/// predict tokens c/2+1 .. c-1 (with a stride, the last `stride` tokens are predicted). A u-batch larger than
/// a chunk takes several chunks at once, each its own sequence. `on_chunk` gets the running result after each
/// chunk. Throws sw::Error where the text is shorter than one chunk.
Perplexity measure_perplexity(
    Forward& forward, const Model& model, std::span<const int32_t> tokens, const PerplexityOptions& options,
    const std::function<void(const Perplexity&, int64_t n_chunk_in_all)>& on_chunk = {});

/// -log softmax(logits)[target], in double.
double negative_log_likelihood(std::span<const float> logits, int32_t target);

}  // namespace sw
