// SPDX-License-Identifier: MIT
// Identity experts through a whole model: they are never computed, whatever the batch.
#include <gtest/gtest.h>
#include <set>

#include "golden/ling_golden.h"
#include "support/cache_rig.h"
#include "support/stats_probe.h"

namespace sw {
namespace {

/// What a run's experts must have cost.
class CostProbe : public ForwardProbe {
 public:
  explicit CostProbe(const Model& model) : moe_(model.hparams().moe), n_embd_(model.hparams().n_embd) {}
  void on_routing(int, TensorView<const float>, const Routing& routing) override {
    std::set<int32_t> chosen;
    uint64_t n_row = 0;
    for (int64_t t = 0; t < routing.n_tokens(); ++t) {
      for (int64_t s = 0; s < routing.n_active[static_cast<size_t>(t)]; ++s) {
        const int32_t id = routing.ids.at(t, s);
        n_identity += id >= moe_.n_expert;
        if (id >= moe_.n_expert) continue;
        chosen.insert(id);
        ++n_row;
      }
    }
    const auto n_weight =
        uint64_t{3} * static_cast<uint64_t>(moe_.n_ff_expert) * static_cast<uint64_t>(n_embd_);
    bytes += chosen.size() * n_weight * sizeof(float);
    flops += n_row * n_weight * 2;
  }
  uint64_t bytes = 0, flops = 0, n_identity = 0;

 private:
  Moe moe_;
  int n_embd_;
};

class IdentityExperts : public ::testing::Test {
 protected:
  void SetUp() override {
    SW_DATA_OR_SKIP(folder, "golden/longcat_flash");
    golden_ = std::make_unique<Golden>(folder);
  }

  /// Logits of the last token of seq0.
  std::vector<float> run(const RoutingPolicy& policy, const ForwardOptions& options, ForwardProbe* probe,
                         OpCounters* counters = nullptr) {
    const Model& model = *golden_->model;
    PolicyTable policies(model.moe_layers(), model.hparams().n_layer,
                         experts_needed(model.moe_layers(), policy), 2);
    const uint16_t id = policies.resolve(policy, Phase::Prefill);
    Forward forward(model, policies, options);
    const std::vector<int32_t> ids = golden_->ints("seq0.ids");
    testing::CacheRig cache(forward, Forward::cache_plan(model, std::ssize(ids), Type::F32));
    for (size_t begin = 0; begin < ids.size(); begin += static_cast<size_t>(options.n_ubatch)) {
      std::vector<BatchToken> batch;
      for (size_t i = begin; i < std::min(ids.size(), begin + static_cast<size_t>(options.n_ubatch)); ++i)
        batch.push_back({.id = ids[i], .pos = static_cast<int32_t>(i), .policy = id});
      cache.run(batch, probe);
    }
    if (counters) *counters = forward.counters();
    const int32_t last[] = {static_cast<int32_t>((ids.size() - 1) % static_cast<size_t>(options.n_ubatch))};
    const TensorView<const float> logits = forward.logits(last);
    return {logits.row(0), logits.row(0) + logits.n_cols()};
  }

  /// Only identity experts may be chosen.
  RoutingPolicy identity_alone() const {
    const int n_expert = golden_->model->hparams().moe.n_expert;
    RoutingPolicy policy;
    for (const MoeLayer& layer : golden_->model->moe_layers())
      policy.masks.push_back(
          parse_expert_mask(std::to_string(layer.layer) + ":0-" + std::to_string(n_expert - 1)).front());
    return policy;
  }

  std::unique_ptr<Golden> golden_;
};

TEST_F(IdentityExperts, CostNeitherBytesNorFlops) {
  for (const int64_t n_ubatch : {1, 5, 48}) {
    CostProbe probe(*golden_->model);
    OpCounters counters;
    run({}, {.n_thread = 2, .n_ubatch = n_ubatch}, &probe, &counters);
    EXPECT_GT(probe.n_identity, 0u);
    EXPECT_EQ(counters.expert_bytes, probe.bytes) << n_ubatch;
    EXPECT_EQ(counters.expert_flops, probe.flops) << n_ubatch;
  }
}

/// Whole batches without a real expert, and single tokens.
TEST_F(IdentityExperts, MayBeAllThatABatchHas) {
  const std::vector<float> expected = run(identity_alone(), {.n_ubatch = 48, .references = true}, nullptr);
  for (const int64_t n_ubatch : {1, 48}) {
    CostProbe probe(*golden_->model);
    OpCounters counters;
    const auto got = run(identity_alone(), {.n_thread = 2, .n_ubatch = n_ubatch}, &probe, &counters);
    EXPECT_LE(testing::largest_error(got, expected), 1e-4);
    EXPECT_EQ(probe.bytes, 0u);
    EXPECT_GT(probe.n_identity, 0u);
    EXPECT_EQ(counters.expert_bytes, 0u);
    EXPECT_EQ(counters.expert_flops, 0u);
  }
}

TEST_F(IdentityExperts, AreToldApartInTheStatistics) {
  StatsProbe probe(*golden_->model, 3);
  run({}, {.n_ubatch = 48}, &probe);
  const std::vector<int32_t> ids = golden_->ints("seq0.layer1.topk_ids");
  std::vector<uint64_t> expected(4, 0);
  for (size_t t = 0; t < ids.size(); t += 3) {
    ++expected[static_cast<size_t>(std::count_if(
        &ids[t], &ids[t] + 3, [&](int32_t id) { return id < golden_->model->hparams().moe.n_expert; }))];
  }
  EXPECT_EQ(probe.stats().layers()[1].real_per_token, expected);
}

}  // namespace
}  // namespace sw
