// SPDX-License-Identifier: MIT
#include "eval/perplexity.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "base/error.h"

namespace sw {
namespace {

/// Some chunks on their way through the model together.
class Round {
 public:
  Round(Forward& forward, const Model& model, const PerplexityOptions& options, int64_t n_seq)
      : forward_(forward),
        options_(options),
        cache_(forward.make_cache(Forward::cache_plan(model, options.n_ctx, options.cache_type, n_seq,
                                                      forward.options().n_ubatch))) {
    for (int64_t i = 0; i < n_seq; ++i) tables_.emplace_back(cache_, options.n_ctx);
    for (SequenceCache& table : tables_) sequences_.push_back(&table);
  }

  /// Scores `n_seq` chunks, the first of which starts at tokens[0].
  void run(std::span<const int32_t> tokens, int64_t n_seq, PerplexityTally& tally) {
    const int64_t c = options_.n_ctx, n = n_seq * c, n_ubatch = forward_.options().n_ubatch;
    // Chunk after chunk: a u-batch may end in one and go on with the next.
    for (int64_t begin = 0; begin < n; begin += n_ubatch) {
      const int64_t end = std::min(begin + n_ubatch, n);
      batch_.clear();
      rows_.clear();
      targets_.clear();
      for (int64_t i = begin; i < end; ++i) {
        const int64_t pos = i % c;
        const auto at = static_cast<size_t>(i / c * options_.step() + pos);
        const int32_t id = pos == 0 && options_.bos ? *options_.bos : tokens[at];
        batch_.push_back({id, static_cast<int32_t>(pos), static_cast<int32_t>(i / c), options_.policy});
        if (pos < options_.first_scored() || pos > c - 2) continue;
        rows_.push_back(static_cast<int32_t>(i - begin));
        targets_.push_back(tokens[at + 1]);
      }
      for (int64_t s = begin / c; s * c < end; ++s) {
        SequenceCache& table = tables_[static_cast<size_t>(s)];
        SW_ASSERT(table.prepare(std::max<int64_t>(0, begin - s * c), std::min(end - s * c, c)));
      }
      forward_.run(batch_, sequences_, cache_, options_.probe);
      score_rows(tally);
    }
  }

 private:
  void score_rows(PerplexityTally& tally) {
    const auto slice = static_cast<size_t>(forward_.options().n_logit_row);
    for (size_t begin = 0; begin < rows_.size(); begin += slice) {
      const std::span rows = std::span(rows_).subspan(begin, std::min(slice, rows_.size() - begin));
      const TensorView<const float> logits = forward_.logits(rows);
      for (size_t i = 0; i < rows.size(); ++i) {
        const std::span row(logits.row(static_cast<int64_t>(i)), static_cast<size_t>(logits.n_cols()));
        tally.add(negative_log_likelihood(row, targets_[begin + i]));
        if (options_.on_prediction) options_.on_prediction(row, targets_[begin + i]);
      }
    }
  }

  Forward& forward_;
  const PerplexityOptions& options_;
  Cache cache_;
  std::vector<SequenceCache> tables_;
  std::vector<const SequenceCache*> sequences_;
  std::vector<BatchToken> batch_;
  std::vector<int32_t> rows_, targets_;
};

}  // namespace

double negative_log_likelihood(std::span<const float> logits, int32_t target) {
  const double top = *std::max_element(logits.begin(), logits.end());
  double sum = 0;
  for (const float logit : logits) sum += std::exp(logit - top);
  return top + std::log(sum) - logits[static_cast<size_t>(target)];
}

Perplexity PerplexityTally::result(int64_t n_chunk) const {
  const double mean = sum / static_cast<double>(n);
  const double variance = std::max(0.0, sum_squares / static_cast<double>(n) - mean * mean);
  const double error = n > 1 ? std::sqrt(variance / static_cast<double>(n - 1)) : 0.0;
  return {.value = std::exp(mean), .error = std::exp(mean) * error, .n_chunk = n_chunk, .n_scored = n};
}

int64_t count_chunks(int64_t n_token, const PerplexityOptions& options) {
  const int64_t c = options.n_ctx;
  if (c < 4)
    throw Error({.what = "the chunks are too short to score",
                 .where = "-c",
                 .expected = "at least 4",
                 .got = std::to_string(c)});
  if (options.stride < 0 || options.stride >= c) {
    throw Error({.what = "the stride does not fit in a chunk",
                 .where = "--stride",
                 .expected = "1 to " + std::to_string(c - 1),
                 .got = std::to_string(options.stride)});
  }
  if (options.n_chunk == 0)
    throw Error({.what = "no chunk was asked for", .where = "--chunks", .expected = "1 or more, or -1: all"});
  int64_t n_chunk = n_token < c ? 0 : (n_token - c) / options.step() + 1;
  if (options.n_chunk >= 0) n_chunk = std::min(n_chunk, options.n_chunk);
  if (n_chunk == 0) {
    throw Error({.what = "the text is too short for one chunk",
                 .expected = "at least " + std::to_string(c) + " tokens",
                 .got = std::to_string(n_token),
                 .hint = "a smaller chunk: -c"});
  }
  return n_chunk;
}

Perplexity measure_perplexity(Forward& forward, const Model& model, std::span<const int32_t> tokens,
                              const PerplexityOptions& options,
                              const std::function<void(const Perplexity&, int64_t)>& on_chunk) {
  const int64_t n_chunk = count_chunks(std::ssize(tokens), options);
  for (const int32_t id : tokens) {
    if (id < 0 || id >= model.hparams().n_vocab)
      throw Error({.what = "a token is not in the model's vocabulary", .got = std::to_string(id)});
  }
  const int64_t fit = std::min(forward.options().n_ubatch / options.n_ctx, forward.options().n_seq);
  const int64_t n_seq = std::clamp<int64_t>(fit, 1, n_chunk);
  Round round(forward, model, options, n_seq);
  PerplexityTally tally;
  for (int64_t chunk = 0; chunk < n_chunk; chunk += n_seq) {
    const int64_t n = std::min(n_seq, n_chunk - chunk);
    round.run(tokens.subspan(static_cast<size_t>(chunk * options.step())), n, tally);
    if (on_chunk) on_chunk(tally.result(chunk + n), n_chunk);
  }
  return tally.result(n_chunk);
}

}  // namespace sw
