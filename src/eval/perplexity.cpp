// SPDX-License-Identifier: MIT
#include "eval/perplexity.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "base/error.h"

namespace sw {
namespace {

/// Sums of the scored predictions.
struct Tally {
  double sum = 0, sum_squares = 0;
  int64_t n = 0;

  void add(double nll) {
    sum += nll;
    sum_squares += nll * nll;
    ++n;
  }
  Perplexity result(int64_t n_chunk) const {
    const double mean = sum / static_cast<double>(n);
    const double variance = std::max(0.0, sum_squares / static_cast<double>(n) - mean * mean);
    const double error = n > 1 ? std::sqrt(variance / static_cast<double>(n - 1)) : 0.0;
    return {.value = std::exp(mean), .error = std::exp(mean) * error, .n_chunk = n_chunk, .n_scored = n};
  }
};

/// Some chunks on their way through the model together.
class Round {
 public:
  Round(Forward& forward, const Model& model, const PerplexityOptions& options, int64_t n_seq)
      : forward_(forward),
        options_(options),
        cache_(forward.make_cache(Forward::cache_spec(model, options.n_ctx, options.cache_type, n_seq,
                                                      forward.options().n_ubatch))) {
    for (int64_t i = 0; i < n_seq; ++i) {
      tables_.emplace_back(cache_, options.n_ctx);
      SW_ASSERT(tables_.back().resize(options.n_ctx));
    }
    for (BlockTable& table : tables_) sequences_.push_back(&table);
  }

  /// Scores `n_seq` chunks that start at tokens[0].
  void run(std::span<const int32_t> tokens, int64_t n_seq, Tally& tally) {
    const int64_t c = options_.n_ctx, n = n_seq * c, n_ubatch = forward_.options().n_ubatch;
    // Chunk after chunk: a u-batch may end in one and go on with the next.
    for (int64_t begin = 0; begin < n; begin += n_ubatch) {
      const int64_t end = std::min(begin + n_ubatch, n);
      batch_.clear();
      rows_.clear();
      for (int64_t i = begin; i < end; ++i) {
        const int64_t pos = i % c;
        const int32_t id = pos == 0 && options_.bos ? *options_.bos : tokens[static_cast<size_t>(i)];
        batch_.push_back({id, static_cast<int32_t>(pos), static_cast<int32_t>(i / c), options_.policy});
        if (pos >= c / 2 && pos <= c - 2) rows_.push_back(static_cast<int32_t>(i - begin));
      }
      forward_.run(batch_, sequences_, cache_);
      score_rows(tokens.subspan(static_cast<size_t>(begin)), tally);
    }
  }

 private:
  /// The token after row r of the batch is tokens[r + 1].
  void score_rows(std::span<const int32_t> tokens, Tally& tally) {
    const auto slice = static_cast<size_t>(forward_.options().n_logit_row);
    for (size_t begin = 0; begin < rows_.size(); begin += slice) {
      const std::span rows = std::span(rows_).subspan(begin, std::min(slice, rows_.size() - begin));
      const TensorView<const float> logits = forward_.logits(rows);
      for (size_t i = 0; i < rows.size(); ++i) {
        const std::span row(logits.row(static_cast<int64_t>(i)), static_cast<size_t>(logits.n_cols()));
        tally.add(negative_log_likelihood(row, tokens[static_cast<size_t>(rows[i]) + 1]));
      }
    }
  }

  Forward& forward_;
  const PerplexityOptions& options_;
  PagedCache cache_;
  std::vector<BlockTable> tables_;
  std::vector<BlockTable*> sequences_;
  std::vector<BatchToken> batch_;
  std::vector<int32_t> rows_;
};

}  // namespace

double negative_log_likelihood(std::span<const float> logits, int32_t target) {
  const double top = *std::max_element(logits.begin(), logits.end());
  double sum = 0;
  for (const float logit : logits) sum += std::exp(logit - top);
  return top + std::log(sum) - logits[static_cast<size_t>(target)];
}

Perplexity measure_perplexity(Forward& forward, const Model& model, std::span<const int32_t> tokens,
                              const PerplexityOptions& options,
                              const std::function<void(const Perplexity&, int64_t)>& on_chunk) {
  const int64_t c = options.n_ctx, n_token = static_cast<int64_t>(tokens.size());
  if (c < 4)
    throw Error({.what = "the chunks are too short to score",
                 .where = "-c",
                 .expected = "at least 4",
                 .got = std::to_string(c)});
  int64_t n_chunk = n_token / c;
  if (options.n_chunk >= 0) n_chunk = std::min(n_chunk, options.n_chunk);
  if (n_chunk == 0) {
    throw Error({.what = "the text is too short for one chunk",
                 .expected = "at least " + std::to_string(c) + " tokens",
                 .got = std::to_string(n_token),
                 .hint = "a smaller chunk: -c"});
  }
  for (const int32_t id : tokens) {
    if (id < 0 || id >= model.hparams().n_vocab)
      throw Error({.what = "a token is not in the model's vocabulary", .got = std::to_string(id)});
  }
  const int64_t fit = std::min(forward.options().n_ubatch / c, forward.options().n_seq);
  const int64_t n_seq = std::clamp<int64_t>(fit, 1, n_chunk);
  Round round(forward, model, options, n_seq);
  Tally tally;
  for (int64_t chunk = 0; chunk < n_chunk; chunk += n_seq) {
    const int64_t n = std::min(n_seq, n_chunk - chunk);
    round.run(tokens.subspan(static_cast<size_t>(chunk * c), static_cast<size_t>(n * c)), n, tally);
    if (on_chunk) on_chunk(tally.result(chunk + n), n_chunk);
  }
  return tally.result(n_chunk);
}

}  // namespace sw
