// SPDX-License-Identifier: MIT
// What the types of keys and values cost: predictions of the story models against those over an f16 cache.
#include <gtest/gtest.h>

#include "eval/divergence.h"
#include "eval/perplexity.h"
#include "support/converted_file.h"
#include "tokenizer/tokenizer.h"

namespace sw {
namespace {

/// Log probabilities [n_prediction, n_vocab] of the first tokens of a text, in passes of `n_ubatch` tokens.
std::vector<std::vector<float>> predictions(const Model& model, CacheType type, int64_t n_ubatch = 128) {
  constexpr int64_t kContext = 128;
  const Tokenizer tokenizer = Tokenizer::from_gguf(model.file());
  std::vector<int32_t> tokens = tokenizer.encode(read_file(testing::source_dir() / "models" / "sample.txt"));
  tokens.resize(kContext);
  const PolicyTable policies(model.moe_layers(), model.hparams().n_layer,
                             experts_needed(model.moe_layers(), {}), 2);
  Forward forward(model, policies, {.n_thread = 2, .n_ubatch = n_ubatch, .invariant = true});
  std::vector<std::vector<float>> all;
  const auto add = [&](std::span<const float> logits, int32_t) {
    log_softmax(logits, all.emplace_back(logits.size()));
  };
  measure_perplexity(forward, model, tokens, {.n_ctx = kContext, .cache_type = type, .on_prediction = add});
  return all;
}

double mean_divergence(const std::vector<std::vector<float>>& from,
                       const std::vector<std::vector<float>>& to) {
  DivergenceTally tally;
  for (size_t i = 0; i < from.size(); ++i) tally.add(from[i], to[i], 0);
  return tally.result().kl_mean;
}

/// What a type may cost on either side, as mean KL divergence from f16: about twice what was measured. Up to
/// 2e-4 is the chance of near ties among experts.
double bound_of(Type type) {
  switch (type) {
    case Type::F32:
    case Type::F16:
    case Type::BF16:
    case Type::Q8_0:
      return 3e-4;
    case Type::Q5_1:
      return 2e-3;
    default:
      return 8e-3;
  }
}

/// Of latents, which are the keys and values of all heads: twice what was measured of fable-longcat, which is
/// 1.0e-4 (F32), 1.3e-4 (BF16), 1.5e-4 (Q8_0), 3.0e-3 (Q5_1), 2.5e-2 (Q4_0) and 1.2e-2 (IQ4_NL).
double latent_bound_of(Type type) {
  switch (type) {
    case Type::F32:
    case Type::F16:
    case Type::BF16:
    case Type::Q8_0:
      return 3e-4;
    case Type::Q5_1:
      return 6e-3;
    case Type::Q4_0:
      return 5e-2;
    default:
      return 2.4e-2;
  }
}

TEST(CacheTypes, EveryPairPredictsAboutWhatF16Does) {
  const Model model(testing::source_dir() / "models" / "fable-ling-Q4_K_M.gguf");
  const auto f16 = predictions(model, Type::F16);
  for (const Type k : kCacheTypes) {
    for (const Type v : kCacheTypes) {
      const double kl = mean_divergence(f16, predictions(model, {k, v}));
      RecordProperty(std::string(type_name(k)) + "_" + type_name(v), std::to_string(kl));
      EXPECT_LE(kl, bound_of(k) + bound_of(v)) << type_name(k) << " " << type_name(v);
      if (traits(k).quantized || traits(v).quantized) {
        EXPECT_GT(kl, 1e-7) << type_name(k) << " " << type_name(v) << " is not what was used";
      }
    }
  }
}

TEST(CacheTypes, LatentsOfEveryTypePredictAboutWhatF16Does) {
  SW_DATA_OR_SKIP(checkpoint, "models/fable-longcat");
  const testing::ConvertedFile file(checkpoint, Type::Q8_0);
  const Model model(file.path());
  const auto f16 = predictions(model, Type::F16);
  for (const Type type : kCacheTypes) {
    const double kl = mean_divergence(f16, predictions(model, type));
    EXPECT_LE(kl, latent_bound_of(type)) << type_name(type);
    if (traits(type).quantized) {
      EXPECT_GT(kl, 1e-7) << type_name(type);
    }
    // The type of values is of no account.
    if (type == Type::Q8_0) {
      EXPECT_EQ(predictions(model, {type, Type::Q4_0}), predictions(model, type));
    }
  }
}

/// A token's own row is read back, so it does not matter whether it was there before the pass.
TEST(CacheTypes, ThePassChangesNoBit) {
  const Model model(testing::source_dir() / "models" / "fable-ling-Q4_K_M.gguf");
  for (const CacheType type : {CacheType(Type::Q8_0, Type::Q4_0), CacheType(Type::IQ4_NL, Type::Q5_1)}) {
    const auto whole = predictions(model, type);
    for (const int64_t n_ubatch : {1, 17}) EXPECT_EQ(predictions(model, type, n_ubatch), whole) << n_ubatch;
  }
}

/// The references read and write the same cache.
TEST(CacheTypes, ReferencesAgree) {
  SW_DATA_OR_SKIP(checkpoint, testing::golden_folder("bailing_moe_v2_qkvbias"));
  const testing::ConvertedFile file(checkpoint);
  const Model model(file.path());
  const PolicyTable policies(model.moe_layers(), model.hparams().n_layer,
                             experts_needed(model.moe_layers(), {}), 2);
  std::vector<int32_t> tokens;
  for (int32_t i = 0; i < 48; ++i) tokens.push_back(1 + i * 7 % 50);
  for (const Type k : kCacheTypes) {
    for (const Type v : kCacheTypes) {
      const auto perplexity = [&](bool references) {
        Forward forward(model, policies, {.n_ubatch = 48, .references = references});
        return measure_perplexity(forward, model, tokens, {.n_ctx = 48, .cache_type = {k, v}}).value;
      };
      EXPECT_NEAR(perplexity(false) / perplexity(true), 1, 5e-3) << type_name(k) << " " << type_name(v);
    }
  }
}

}  // namespace
}  // namespace sw
