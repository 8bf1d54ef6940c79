// SPDX-License-Identifier: MIT
// fable-ling's perplexity under several routings against its original Python (reference-perplexity.json).
#include "eval/perplexity.h"

#include <bit>
#include <cmath>
#include <fstream>
#include <gtest/gtest.h>
#include <map>
#include <nlohmann/json.hpp>

#include "base/cpu.h"
#include "engine/engine.h"
#include "support/converted_file.h"
#include "tokenizer/tokenizer.h"

namespace sw {
namespace {

constexpr const char* kTexts[] = {"stories-heldout.txt", "pride-and-prejudice.txt", "wikitext2-test.txt"};

/// A model of data/models at f32, converted once for all tests of the program; null where it is absent.
const Model* model_f32(const std::string& name) {
  struct Made {
    explicit Made(const std::filesystem::path& folder) : file(folder), model(file.path()) {}
    testing::ConvertedFile file;
    Model model;
  };
  static std::map<std::string, Made> all;
  const auto folder = testing::find_data("models/" + name);
  return folder ? &all.try_emplace(name, *folder).first->second.model : nullptr;
}
const Model* fable_f32() { return model_f32("fable-ling"); }

struct Measure {
  RoutingPolicy policy = {};
  int64_t n_ctx = 512, n_chunk = 16, n_ubatch = 512;
};

double perplexity(const Model& model, const std::filesystem::path& text, const Measure& m) {
  const Tokenizer tokenizer = Tokenizer::from_gguf(model.file());
  const std::vector<int32_t> tokens = tokenizer.encode(read_file(text), {.parse_special = false});
  PolicyTable policies(model.moe_layers(), model.hparams().n_layer,
                       experts_needed(model.moe_layers(), m.policy), 2);
  Forward forward(model, policies, {.n_thread = cpu_facts().n_core, .n_ubatch = m.n_ubatch});
  return measure_perplexity(
             forward, model, tokens,
             {.n_ctx = m.n_ctx, .n_chunk = m.n_chunk, .policy = policies.resolve(m.policy, Phase::Prefill)})
      .value;
}

/// The policy that a row's changed config keys mean.
RoutingPolicy policy_of(const nlohmann::json& config) {
  RoutingPolicy policy;
  if (config.contains("n_group")) policy.grouped = false;
  for (const char* key : {"num_experts_per_tok", "moe_topk"}) {
    if (config.contains(key))
      policy.experts_prefill = policy.experts_decode = {{.k = config[key].get<int>()}};
  }
  return policy;
}

/// Every row within 0.1 %; how many there were.
int expect_every_row(const std::string& name) {
  const auto reference_file = testing::find_data("models/" + name + "/reference-perplexity.json");
  if (!reference_file) return 0;
  const auto reference = nlohmann::json::parse(std::ifstream(*reference_file));
  const Model& model = *model_f32(name);
  int n_row = 0;
  const auto check = [&](const nlohmann::json& row, const char* text, const Measure& measure) {
    const auto path = testing::find_data(std::string("text/") + text);
    if (!path) return;
    const double expected = row[text].get<double>(), got = perplexity(model, *path, measure);
    EXPECT_NEAR(got / expected, 1, 1e-3)
        << row["routing"] << ", " << text << ": " << got << " for " << expected;
    ++n_row;
  };
  for (const auto& row : reference["rows"]) {
    for (const char* text : kTexts) check(row, text, {.policy = policy_of(row["config"])});
  }
  for (const auto& row : reference["rows_c1024"])
    check(row, "stories-heldout.txt", {.n_ctx = 1024, .n_chunk = row["chunks"].get<int>()});
  return n_row;
}

TEST(FablePerplexity, EveryRowOfThePython) {
  SW_DATA_OR_SKIP(reference, "models/fable-ling/reference-perplexity.json");
  EXPECT_EQ(expect_every_row("fable-ling"), 22);
}

TEST(FablePerplexity, EveryRowOfThePythonWithIdentityExperts) {
  SW_DATA_OR_SKIP(reference, "models/fable-longcat/reference-perplexity.json");
  EXPECT_EQ(expect_every_row("fable-longcat"), 16);
}

/// Latent attention is absorbed for small u-batches and expanded for large ones.
TEST(FablePerplexity, BothFormsOfLatentAttentionAgree) {
  SW_DATA_OR_SKIP(text, "text/stories-heldout.txt");
  const Model* model = model_f32("fable-longcat");
  if (!model) GTEST_SKIP() << "no ../shared/data/models/fable-longcat on this machine";
  const double expected = perplexity(*model, text, {.n_chunk = 4});
  for (const int64_t n_ubatch : {1, 7, 63, 200, 1300}) {
    EXPECT_NEAR(perplexity(*model, text, {.n_chunk = 4, .n_ubatch = n_ubatch}) / expected, 1, 5e-6)
        << n_ubatch;
  }
}

class FableUbatch : public ::testing::TestWithParam<bool> {};

/// From 1024 on a batch holds several chunks, each a sequence of its own.
TEST_P(FableUbatch, ChangesNoBitOfThePerplexity) {
  SW_DATA_OR_SKIP(text, "text/stories-heldout.txt");
  if (!fable_f32()) GTEST_SKIP() << "no ../shared/data/models/fable-ling on this machine";
  Measure measure{.policy = {.grouped = GetParam()}, .n_chunk = 4};
  const double expected = perplexity(*fable_f32(), text, measure);
  for (const int64_t n_ubatch : {1, 7, 128, 256, 1024, 2048, 4096}) {
    measure.n_ubatch = n_ubatch;
    EXPECT_EQ(perplexity(*fable_f32(), text, measure), expected) << n_ubatch;
  }
}

INSTANTIATE_TEST_SUITE_P(Routing, FableUbatch, ::testing::Values(true, false),
                         [](const auto& info) { return info.param ? "grouped" : "standard"; });

TEST(FablePerplexity, QuantisedModels) {
  SW_DATA_OR_SKIP(text, "text/stories-heldout.txt");
  if (!fable_f32()) GTEST_SKIP() << "no ../shared/data/models/fable-ling on this machine";
  const double f32 = perplexity(*fable_f32(), text, {});
  const Model ours(testing::source_dir() / "models" / "fable-ling-Q4_K_M.gguf");
  EXPECT_NEAR(perplexity(ours, text, {}) / f32, 1, 4e-3);
  SW_DATA_OR_SKIP(theirs, "interop/fable-ling-Q4_K_M.gguf");
  constexpr double kMainlines = 50.66;  // its llama-perplexity on its own file, see the interop README
  EXPECT_NEAR(perplexity(Model(theirs), text, {}) / kMainlines, 1, 2e-3);
}

/// The bits of the logits behind a prompt and behind each token that follows it.
std::vector<uint32_t> logit_bits(const Model& model, const RoutingPolicy& policy) {
  const Tokenizer tokenizer = Tokenizer::from_gguf(model.file());
  Engine engine(model, {.n_ctx = 64, .default_policy = policy});
  SequenceRequest request{.prompt = tokenizer.encode("Once upon a time there was a fox who"),
                          .n_predict = 20};
  request.sampler.temperature = 0;
  engine.submit(std::move(request));
  std::vector<uint32_t> bits;
  while (!engine.idle()) {
    engine.step(nullptr, [&](const StepEvent&, std::span<const float> logits) {
      for (const float x : logits) bits.push_back(std::bit_cast<uint32_t>(x));
    });
  }
  return bits;
}

TEST(FableLogits, ExpertsFlagAndOverrideAgree) {
  const std::filesystem::path file = testing::source_dir() / "models" / "fable-ling-Q4_K_M.gguf";
  const Model plain(file);
  for (const bool grouped : {true, false}) {
    const std::vector<uint32_t> own = logit_bits(plain, {.grouped = grouped});
    for (const int n : {1, 2, 3, 4, 5, 8, 16}) {
      const Model overridden(
          file,
          {.overrides = {parse_key_override("bailingmoe2.expert_used_count=int:" + std::to_string(n))}});
      const std::vector<uint32_t> got = logit_bits(
          plain, {.experts_prefill = {{.k = n}}, .experts_decode = {{.k = n}}, .grouped = grouped});
      EXPECT_EQ(got.size(), 20u * 4096u);
      EXPECT_TRUE(got == logit_bits(overridden, {.grouped = grouped})) << n << " experts";
      EXPECT_EQ(got == own, n == 4) << n << " experts, the model has 4";
    }
  }
}

}  // namespace
}  // namespace sw
