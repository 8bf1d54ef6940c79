// SPDX-License-Identifier: MIT
#include "eval/collect_importance.h"

#include <cmath>
#include <gtest/gtest.h>

#include "router/resolve.h"
#include "support/tiny_model.h"

namespace sw {
namespace {

class CollectImportance : public testing::TinyModel {
 protected:
  static std::vector<int32_t> tokens() {
    std::vector<int32_t> ids;
    for (int i = 0; i < 64; ++i) ids.push_back((i * 37 + i * i) % 500);
    return ids;
  }
  PolicyTable table() const {
    const std::vector<MoeLayer>& layers = model_->moe_layers();
    return {layers, model_->hparams().n_layer, experts_needed(layers, {}), 1};
  }
  ImportanceMatrix collect(ForwardOptions options = {}, bool with_output = false) const {
    const PolicyTable policies = table();
    options.observe_products = true;
    Forward forward(*model_, policies, options);
    const std::vector<int32_t> ids = tokens();
    return collect_importance(forward, *model_, ids, {.n_ctx = 16}, with_output);
  }
  std::vector<float> values_of(const char* name) const {
    const GgufTensor& tensor = *model_->file().find_tensor(name);
    std::vector<float> values(static_cast<size_t>(tensor.shape.n_elements()));
    traits(Type::F32).decode(tensor.data, values.data(), tensor.shape.n_elements());
    return values;
  }
};

#define LOAD_OR_SKIP(...) \
  load(__VA_ARGS__);      \
  if (!model_) return

/// The first block reads the embeddings, normed: what its projections see follows from the file alone.
TEST_F(CollectImportance, FirstInputsAreTheNormedEmbeddings) {
  LOAD_OR_SKIP("bailing_moe_v2");
  const ImportanceMatrix matrix = collect();
  const std::vector<float> embedding = values_of("token_embd.weight"),
                           norm = values_of("blk.0.attn_norm.weight");
  const size_t n = norm.size();
  std::vector<double> expected(n);
  for (const int32_t id : tokens()) {
    const float* x = embedding.data() + static_cast<size_t>(id) * n;
    double squares = 0;
    for (size_t i = 0; i < n; ++i) squares += double{x[i]} * x[i];
    const double scale = 1 / (squares / static_cast<double>(n) + double{model_->hparams().rms_eps});
    for (size_t i = 0; i < n; ++i) expected[i] += double{x[i]} * x[i] * norm[i] * norm[i] * scale;
  }
  const Importance& seen = matrix.tensors.at("blk.0.attn_qkv.weight");
  EXPECT_EQ(seen.counts, std::vector<float>{64}) << "once, though queries, keys and values are read apart";
  ASSERT_TRUE(seen.fits(1, static_cast<int64_t>(n)));
  for (size_t i = 0; i < n; ++i) EXPECT_NEAR(seen.sum_squares[i], expected[i], 1e-4 * expected[i]) << i;
}

TEST_F(CollectImportance, ExpertsSeeTheTokensThatWereRoutedToThem) {
  LOAD_OR_SKIP("bailing_moe_v2");
  const ImportanceMatrix matrix = collect();
  const int k = model_->moe_layers().front().router.n_expert_used;
  int n_stack = 0;
  for (const auto& [name, one] : matrix.tensors) {
    if (name.find("_exps.weight") == name.npos) continue;
    ++n_stack;
    EXPECT_GT(one.counts.size(), 1u) << name;
    float n_seen = 0;
    for (const float n : one.counts) n_seen += n;
    EXPECT_EQ(n_seen, 64.0f * static_cast<float>(k)) << name;
  }
  EXPECT_EQ(n_stack, 3 * static_cast<int>(model_->moe_layers().size()));
}

/// The router's own count of what it chose.
TEST_F(CollectImportance, CountsAreTheRouters) {
  LOAD_OR_SKIP("bailing_moe_v2");
  const PolicyTable policies = table();
  Forward forward(*model_, policies, {.observe_products = true, .count_routing = true});
  const std::vector<int32_t> ids = tokens();
  const ImportanceMatrix matrix = collect_importance(forward, *model_, ids, {.n_ctx = 16});
  const RoutingStats stats = forward.routing_stats();
  for (size_t i = 0; i < stats.layers().size(); ++i) {
    const std::string name = "blk." + std::to_string(model_->moe_layers()[i].layer) + ".ffn_down_exps.weight";
    const std::vector<float>& counts = matrix.tensors.at(name).counts;
    for (size_t e = 0; e < counts.size(); ++e)
      EXPECT_EQ(counts[e], static_cast<float>(stats.layers()[i].counts[e])) << name << ", expert " << e;
  }
}

TEST_F(CollectImportance, ThreadsDoNotChangeTheBits) {
  for (const char* golden : {"bailing_moe_v2", "deepseek_v3"}) {
    LOAD_OR_SKIP(golden);
    const ImportanceMatrix one = collect({.n_thread = 1}), more = collect({.n_thread = 5});
    ASSERT_EQ(one.tensors.size(), more.tensors.size());
    for (const auto& [name, a] : one.tensors) {
      EXPECT_EQ(a.sum_squares, more.tensors.at(name).sum_squares) << name;
      EXPECT_EQ(a.counts, more.tensors.at(name).counts) << name;
    }
  }
}

/// Chunks that go through together: other orders of sums, the same inputs.
TEST_F(CollectImportance, BatchesHardlyMatter) {
  LOAD_OR_SKIP("deepseek_v3");
  const ImportanceMatrix alone = collect({.n_ubatch = 16}), together = collect({.n_ubatch = 64});
  for (const auto& [name, a] : alone.tensors) {
    const Importance& b = together.tensors.at(name);
    EXPECT_EQ(a.counts, b.counts) << name;
    for (size_t i = 0; i < a.sum_squares.size(); ++i)
      EXPECT_NEAR(a.sum_squares[i], b.sum_squares[i], 1e-4f * a.sum_squares[i]) << name;
  }
}

/// Every head's part of latent attention sees every token.
TEST_F(CollectImportance, HeadsOfLatentAttentionSeeAllTokens) {
  LOAD_OR_SKIP("deepseek_v3");
  const ImportanceMatrix matrix = collect();
  for (const char* name : {"blk.0.attn_k_b.weight", "blk.0.attn_v_b.weight"}) {
    const Importance& one = matrix.tensors.at(name);
    EXPECT_EQ(one.counts, std::vector<float>(one.counts.size(), 64)) << name;
    EXPECT_EQ(std::ssize(one.counts), model_->file().find_tensor(name)->shape[0]) << name;
  }
}

TEST_F(CollectImportance, TheOutputIsMeasuredWhereAsked) {
  LOAD_OR_SKIP("bailing_moe_v2");
  EXPECT_FALSE(collect().tensors.contains("output.weight"));
  EXPECT_EQ(collect({}, true).tensors.at("output.weight").counts, std::vector<float>{4 * 7})
      << "four chunks of 16, of which 7 tokens are predicted";
}

TEST_F(CollectImportance, SaysWhatItWasMeasuredOn) {
  LOAD_OR_SKIP("bailing_moe_v2");
  const ImportanceMatrix matrix = collect();
  EXPECT_EQ(matrix.n_chunk, 4);
  EXPECT_EQ(matrix.chunk_tokens, 16);
  EXPECT_EQ(matrix.architecture, model_->arch().name);
  EXPECT_TRUE(matrix.expert_keys.contains(matrix.architecture + ".expert_used_count"));
}

/// Passes that nobody watches are bound as they always were.
TEST_F(CollectImportance, CostsNothingWhereItIsOff) {
  LOAD_OR_SKIP("bailing_moe_v2");
  const PolicyTable policies = table();
  Forward off(*model_, policies, {.explain = true}),
      on(*model_, policies, {.explain = true, .observe_products = true});
  EXPECT_EQ(off.placed().program().reasons.find("observed"), std::string::npos);
  EXPECT_NE(on.placed().program().reasons.find("observed"), std::string::npos)
      << on.placed().program().reasons;
}

}  // namespace
}  // namespace sw
