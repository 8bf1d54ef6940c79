// SPDX-License-Identifier: MIT
#include <cmath>
#include <gtest/gtest.h>

#include "base/error.h"
#include "eval/perplexity.h"
#include "support/cache_rig.h"
#include "support/stats_probe.h"
#include "support/tiny_model.h"

namespace sw {
namespace {

TEST(NegativeLogLikelihood, IsMinusLogSoftmax) {
  const std::vector<float> logits{1.0f, 2.0f, 4.0f};
  const double sum = std::exp(1.0) + std::exp(2.0) + std::exp(4.0);
  EXPECT_NEAR(negative_log_likelihood(logits, 1), -std::log(std::exp(2.0) / sum), 1e-12);
  const std::vector<float> huge{1000.0f, -1000.0f};
  EXPECT_NEAR(negative_log_likelihood(huge, 1), 2000, 1e-9) << "no overflow";
}

class PerplexityTest : public testing::TinyLing {
 protected:
  void SetUp() override {
    TinyLing::SetUp();
    if (!model_) return;  // skipped
    policies_ = std::make_unique<PolicyTable>(model_->moe_layers(), model_->hparams().n_layer, 4, 1);
    for (int i = 0; i < 100; ++i) tokens_.push_back((i * 37 + i * i) % 500);
  }
  Perplexity measure(int64_t n_ubatch, const PerplexityOptions& options) {
    Forward forward(*model_, *policies_, {.n_ubatch = n_ubatch});
    return measure_perplexity(forward, *model_, tokens_, options);
  }
  /// By the definition: each chunk alone, token by token, its predictions from `first` on.
  double chunk_by_chunk(const std::vector<int32_t>& ids, int64_t n_ctx, int64_t first) {
    double sum = 0;
    int n = 0;
    for (int64_t begin = 0; begin + n_ctx <= std::ssize(ids); begin += n_ctx) {
      Forward forward(*model_, *policies_, {});
      testing::CacheRig cache(forward, Forward::cache_plan(*model_, n_ctx, Type::F32));
      for (int64_t pos = 0; pos + 1 < n_ctx; ++pos) {
        const int32_t *id = &ids[static_cast<size_t>(begin + pos)], target = id[1];
        const TensorView<const float> logits = cache.step({*id, static_cast<int32_t>(pos), 0, 0});
        if (pos < first) continue;
        double all = 0;
        for (int64_t v = 0; v < logits.n_cols(); ++v) all += std::exp(double{logits.row(0)[v]});
        sum += std::log(all) - double{logits.row(0)[target]};
        ++n;
      }
    }
    return std::exp(sum / n);
  }

  std::unique_ptr<PolicyTable> policies_;
  std::vector<int32_t> tokens_;
};

TEST_F(PerplexityTest, ScoresTheSecondHalfOfEachChunk) {
  const Perplexity p = measure(512, {.n_ctx = 16});
  EXPECT_EQ(p.n_chunk, 6);
  EXPECT_EQ(p.n_scored, 6 * 7) << "logits 8 .. 14 predict tokens 9 .. 15";
  EXPECT_GT(p.error, 0);
}

TEST_F(PerplexityTest, PackingChunksChangesNothing) {
  const double expected = measure(1, {.n_ctx = 16}).value;
  for (const int64_t n_ubatch : {3, 16, 17, 40, 512})
    EXPECT_EQ(measure(n_ubatch, {.n_ctx = 16}).value, expected) << n_ubatch;
}

TEST_F(PerplexityTest, BosReplacesTheFirstToken) {
  EXPECT_NE(measure(512, {.n_ctx = 16, .bos = 492}).value, measure(512, {.n_ctx = 16}).value);
  std::vector<int32_t> replaced = tokens_;
  for (size_t first = 0; first < replaced.size(); first += 16) replaced[first] = 492;
  const double expected = chunk_by_chunk(replaced, 16, 8);
  EXPECT_NEAR(measure(512, {.n_ctx = 16, .bos = 492}).value, expected, 1e-9 * expected);
}

/// The rule of llama-perplexity: BOS before the text, then the cut, then BOS in place of each chunk's first.
TEST_F(PerplexityTest, BosBeforeTheTextCostsItNoToken) {
  const std::vector<int32_t> text = tokens_;
  tokens_.insert(tokens_.begin(), 492);
  const PerplexityOptions one{.n_ctx = 16, .n_chunk = 1}, one_with{.n_ctx = 16, .n_chunk = 1, .bos = 492};
  EXPECT_EQ(measure(512, one_with).value, measure(512, one).value)
      << "the first chunk begins with it already";
  std::vector<int32_t> cut;
  for (size_t at = 0; at < tokens_.size(); ++at) cut.push_back(at % 16 == 0 ? 492 : text[at - 1]);
  const double expected = chunk_by_chunk(cut, 16, 8);
  EXPECT_NEAR(measure(512, {.n_ctx = 16, .bos = 492}).value, expected, 1e-9 * expected);
}

/// What a chunk begins with is still what the one before it ends with predicts.
TEST_F(PerplexityTest, BosHidesNoTokenThatIsPredicted) {
  std::vector<int32_t> targets;
  PerplexityOptions options{.n_ctx = 16, .stride = 5, .bos = 492};
  options.on_prediction = [&](std::span<const float>, int32_t target) { targets.push_back(target); };
  measure(512, options);
  const std::vector<int32_t> expected(tokens_.begin() + 11, tokens_.begin() + 96);
  EXPECT_EQ(targets, expected) << "17 chunks, the last five tokens of each";
}

TEST_F(PerplexityTest, RefusesWhatCannotBeScored) {
  EXPECT_THROW(measure(512, {.n_ctx = 101}), Error);
  EXPECT_THROW(measure(512, {.n_ctx = 3}), Error);
  tokens_[50] = 512;
  EXPECT_THROW(measure(512, {.n_ctx = 16}), Error);
}

TEST_F(PerplexityTest, StatisticsCountEveryTokenAndGroup) {
  Forward forward(*model_, *policies_, {});
  testing::CacheRig cache(forward, Forward::cache_plan(*model_, 64, Type::F32));
  std::vector<BatchToken> batch;
  for (int i = 0; i < 20; ++i) batch.push_back({tokens_[static_cast<size_t>(i)], i, 0, 0});
  StatsProbe probe(*model_, 4);
  cache.run(batch, &probe);
  for (const LayerStats& layer : probe.stats().layers()) {
    EXPECT_EQ(layer.n_tokens, 20u);
    uint64_t chosen = 0;
    for (const uint64_t n : layer.counts) chosen += n;
    EXPECT_EQ(chosen, 80u);
    uint64_t more_than_four_groups = 0;
    for (size_t g = 5; g < layer.groups_per_token.size(); ++g)
      more_than_four_groups += layer.groups_per_token[g];
    EXPECT_EQ(more_than_four_groups, 0u) << "4 of 8 groups are kept";
  }
}

}  // namespace
}  // namespace sw
