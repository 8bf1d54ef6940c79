// SPDX-License-Identifier: MIT
// --invariant: a token's logits have the same bits whatever shares its batch, on every device. Sequences with
// policies of their own go through the layers in random pieces, and each must get what it gets alone.
#include <gtest/gtest.h>

#include "base/rng.h"
#include "golden/golden_models.h"
#include "support/cache_rig.h"
#include "support/gpus.h"

namespace sw {
namespace {

constexpr int kTexts = 16;
/// The first is long enough for the expanded form of latent attention, for tiles on a GPU, and for several
/// pages.
constexpr int64_t kLongest = 210;

struct Text {
  std::vector<int32_t> ids;
  uint16_t policy = 0;
};

/// Wish `i` about routing that the model can do.
RoutingPolicy policy(const Model& model, int i) {
  RoutingPolicy p;
  if (model.moe_layers().empty()) return p;
  const MoeLayer& layer = model.moe_layers().front();
  const int used = layer.router.n_expert_used;
  p.experts_prefill = {{.k = 1 + i % used}};
  if (i % 3 == 1) p.threshold = Threshold{.min_k = 1, .share = 0.5f};
  if (i % 4 == 2) p.grouped = false;
  if (i % 5 == 3) p.masks = {{.layer = layer.layer, .first = i % 2, .last = i % 2}};
  return p;
}

/// A model with 16 texts, and their logits however they are cut.
class Batches {
 public:
  Batches(const Model& model, const PlacedModel* placed, bool invariant, CacheType cache_type = {})
      : model_(model),
        placed_(placed),
        invariant_(invariant),
        cache_type_(cache_type),
        policies_(model.moe_layers(), model.hparams().n_layer, experts_needed(model.moe_layers(), {}),
                  2 * kTexts) {
    Rng rng(5);
    for (int i = 0; i < kTexts; ++i) {
      Text& text = texts_.emplace_back();
      const int64_t n = i == 0 ? kLongest : 5 + 7 * i % 60;
      for (int64_t t = 0; t < n; ++t) {
        const auto n_vocab = static_cast<uint64_t>(model.hparams().n_vocab);
        text.ids.push_back(static_cast<int32_t>(rng.below(n_vocab)));
      }
      text.policy = policies_.resolve(policy(model, i), Phase::Prefill);
    }
  }

  /// [text][token * n_vocab] logits. Each pass takes pieces of random size of the texts `which`, `n_ubatch`
  /// tokens at most.
  std::vector<std::vector<float>> logits(std::span<const int> which, int64_t n_ubatch, int n_thread,
                                         uint64_t seed) {
    Forward forward(model_, policies_,
                    {.n_thread = n_thread,
                     .n_ubatch = n_ubatch,
                     .n_logit_row = n_ubatch,
                     .n_seq = kTexts,
                     .n_ctx = kLongest,
                     .invariant = invariant_,
                     .placed = placed_});
    testing::CacheRig cache(forward,
                            Forward::cache_plan(model_, kLongest, cache_type_, std::ssize(which), n_ubatch));
    std::vector<std::vector<float>> all(which.size());
    std::vector<size_t> done(which.size(), 0);
    int64_t n_left = 0;
    for (const int i : which) n_left += std::ssize(texts_[static_cast<size_t>(i)].ids);
    Rng rng(seed);
    while (n_left > 0) {
      const std::vector<BatchToken> batch = next_batch(which, n_ubatch, rng, done);
      n_left -= std::ssize(batch);
      std::vector<int32_t> rows(batch.size());
      for (size_t r = 0; r < rows.size(); ++r) rows[r] = static_cast<int32_t>(r);
      const TensorView<const float> got = cache.step(batch, rows);
      for (size_t r = 0; r < rows.size(); ++r) {
        const float* row = got.row(static_cast<int64_t>(r));
        std::vector<float>& text = all[static_cast<size_t>(batch[r].seq)];
        text.insert(text.end(), row, row + got.n_cols());
      }
    }
    return all;
  }

 private:
  /// Pieces of the texts from `done` on, which moves with them; at least a token where any is left.
  std::vector<BatchToken> next_batch(std::span<const int> which, int64_t n_ubatch, Rng& rng,
                                     std::vector<size_t>& done) const {
    std::vector<BatchToken> batch;
    for (size_t s = 0; s < which.size(); ++s) {
      const Text& text = texts_[static_cast<size_t>(which[s])];
      const size_t left = text.ids.size() - done[s], room = static_cast<size_t>(n_ubatch) - batch.size();
      // Alone, whole; among others, one token as in decoding, or a piece of a prompt.
      const size_t wish = which.size() == 1 ? left : rng.below(3) == 0 ? 1 : 1 + rng.below(80);
      for (size_t n = std::min({left, room, wish}); n > 0; --n, ++done[s]) {
        batch.push_back({.id = text.ids[done[s]],
                         .pos = static_cast<int32_t>(done[s]),
                         .seq = static_cast<int32_t>(s),
                         .policy = text.policy});
      }
    }
    return batch;
  }

  const Model& model_;
  const PlacedModel* placed_;
  bool invariant_;
  CacheType cache_type_;
  PolicyTable policies_;
  std::vector<Text> texts_;
};

void expect_invariant(const Model& model, const PlacedModel* placed = nullptr, CacheType cache_type = {}) {
  Batches batches(model, placed, true, cache_type);
  std::vector<int> everybody(kTexts);
  std::vector<std::vector<float>> alone;
  for (int i = 0; i < kTexts; ++i) {
    everybody[static_cast<size_t>(i)] = i;
    alone.push_back(batches.logits({{i}}, 256, 1, 0)[0]);
  }
  uint64_t seed = 1;
  for (const int64_t n_ubatch : {1, 7, 16, 61, 150, 512}) {
    const auto together = batches.logits(everybody, n_ubatch, static_cast<int>(1 + seed % 3), seed);
    for (size_t i = 0; i < alone.size(); ++i)
      EXPECT_TRUE(together[i] == alone[i]) << "text " << i << ", " << n_ubatch << " tokens a batch";
    ++seed;
  }
}

class InvariantGolden : public ::testing::TestWithParam<const char*> {};

TEST_P(InvariantGolden, SameBitsInAnyBatch) {
  SW_GOLDEN_OR_SKIP(folder, GetParam());
  expect_invariant(*Golden(folder).model);
}

TEST_P(InvariantGolden, SameBitsInAnyBatchOnGpus) {
  SW_GOLDEN_OR_SKIP(folder, GetParam());
  SW_GPUS_OR_SKIP(devices);
  const Golden golden(folder);
  SW_RUNS_ON_GPUS_OR_SKIP(*golden.model);
  for (const bool cpu_moe : {false, true}) {
    const PlacedModel placed(*golden.model, devices, place(*golden.model, devices, {.cpu_moe = cpu_moe}),
                             {.invariant = true});
    expect_invariant(*golden.model, &placed);
  }
}

INSTANTIATE_TEST_SUITE_P(Models, InvariantGolden, ::testing::ValuesIn(kGoldenModels),
                         [](const auto& info) { return std::string(info.param); });

/// Weights in blocks: Q4_K and Q6_K, and latent attention in Q8_0 (F16 where a block does not divide a row).
void expect_quantised_invariant(const Devices* devices) {
  std::optional<testing::ConvertedFile> latent;
  std::vector<std::filesystem::path> files = {testing::source_dir() / "models" / "fable-ling-Q4_K_M.gguf"};
  if (const auto checkpoint = testing::find_data("golden/deepseek_v3"))
    files.push_back(latent.emplace(*checkpoint, Type::Q8_0).path());
  for (const std::filesystem::path& file : files) {
    SCOPED_TRACE(file);
    const Model model(file);
    if (!devices) {
      expect_invariant(model);
    } else {
      const PlacedModel placed(model, *devices, place(model, *devices, {}), {.invariant = true});
      expect_invariant(model, &placed);
    }
  }
}

TEST(Invariant, SameBitsInAnyBatchOfQuantisedModels) { expect_quantised_invariant(nullptr); }

TEST(Invariant, SameBitsInAnyBatchOfQuantisedModelsOnGpus) {
  SW_GPUS_OR_SKIP(devices);
  expect_quantised_invariant(&devices);
}

/// A token's own key and value come from the cache too, so it does not matter which were there before the
/// pass.
TEST(Invariant, SameBitsInAnyBatchOverEveryCacheType) {
  const Model model(testing::source_dir() / "models" / "fable-ling-Q4_K_M.gguf");
  for (const CacheType type : {CacheType(Type::F32), CacheType(Type::BF16, Type::F16), CacheType(Type::Q8_0),
                               CacheType(Type::Q8_0, Type::Q4_0), CacheType(Type::Q5_1, Type::IQ4_NL),
                               CacheType(Type::IQ4_NL, Type::Q5_1), CacheType(Type::Q4_0, Type::BF16)}) {
    SCOPED_TRACE(std::string(type_name(type.k)) + " " + type_name(type.v));
    expect_invariant(model, nullptr, type);
  }
}

/// Latents in blocks: only the story model has rows that are long enough.
TEST(Invariant, SameBitsInAnyBatchOverLatentsOfEveryType) {
  SW_DATA_OR_SKIP(checkpoint, "models/fable-longcat");
  const testing::ConvertedFile file(checkpoint, Type::Q8_0);
  const Model model(file.path());
  for (const Type type : {Type::Q8_0, Type::Q5_1, Type::IQ4_NL}) {
    SCOPED_TRACE(type_name(type));
    expect_invariant(model, nullptr, type);
  }
}

/// What it is for: without it the form of latent attention follows the batch.
TEST(Invariant, WithoutItBitsFollowTheBatch) {
  SW_DATA_OR_SKIP(folder, "golden/longcat_flash_b");
  const Golden golden(folder);
  Batches batches(*golden.model, nullptr, false);
  EXPECT_NE(batches.logits({{0}}, 256, 1, 0), batches.logits({{0}}, 7, 1, 0));
}

}  // namespace
}  // namespace sw
