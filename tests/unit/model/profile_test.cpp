// SPDX-License-Identifier: MIT
// Profiles of passes: exact counts, bytes that are those of the counters, times that fit into the whole.
#include "model/profile.h"

#include <gtest/gtest.h>
#include <map>
#include <set>

#include "kernels/devices.h"
#include "model/expert_bytes.h"
#include "support/cache_rig.h"
#include "support/tiny_model.h"

namespace sw {
namespace {

class ProfileTest : public testing::TinyLing {
 protected:
  void SetUp() override {
    TinyLing::SetUp();
    if (!model_) return;  // skipped
    policies_.emplace(model_->moe_layers(), model_->hparams().n_layer,
                      experts_needed(model_->moe_layers(), {}), 1);
    devices_ = open_devices("fake:2");
  }
  /// Everything on the CPU, every operation somewhere else, or single experts on each device.
  std::unique_ptr<PlacedModel> placed(const std::string& where) {
    if (where == "CPU") return PlacedModel::on_cpu(*model_);
    PlacementOptions options{.n_gpu_layers = 3};
    if (where == "experts") options.overrides = {{"exps\\.[0-5]$", "CPU"}, {"exps\\.[6-9]$", "fake1"}};
    return std::make_unique<PlacedModel>(*model_, devices_, place(*model_, devices_, options));
  }
  ForwardOptions options(const PlacedModel& placed) const {
    return {.n_ubatch = 16, .n_seq = 2, .n_ctx = 64, .count_routing = true, .placed = &placed};
  }
  /// A prompt of two sequences, then a token of each: the logits of both steps.
  std::vector<float> run(Forward& forward) const {
    testing::CacheRig cache(forward, Forward::cache_plan(*model_, 64, Type::F32, 2));
    std::vector<float> all;
    for (const auto& [pos, n] : {std::pair{0, 6}, {6, 1}}) {
      std::vector<BatchToken> batch;
      for (int32_t i = 0; i < 2 * n; ++i)
        batch.push_back({.id = (i * 37 + 11 * pos) % 512, .pos = pos + i % n, .seq = i / n});
      const int32_t rows[] = {n - 1, 2 * n - 1};
      const TensorView<const float> logits = cache.step(batch, rows);
      for (int64_t r = 0; r < 2; ++r) all.insert(all.end(), logits.row(r), logits.row(r) + logits.n_cols());
    }
    return all;
  }
  static std::map<std::string, int64_t> calls(const ProfileSummary& summary) {
    std::map<std::string, int64_t> n_call;
    for (const ProfileRow& row : summary.rows) n_call[row.operation] += row.n_call;
    return n_call;
  }

  std::optional<PolicyTable> policies_;
  Devices devices_;
};

TEST_F(ProfileTest, CountsWhatAPassRuns) {
  const auto place = placed("CPU");
  Forward forward(*model_, *policies_, options(*place));
  Profile profile(*place);
  run(forward);
  EXPECT_TRUE(profile.summary().rows.empty()) << "nobody asked";
  forward.set_profile(&profile);
  run(forward);
  forward.set_profile(nullptr);
  run(forward);
  const ProfileSummary summary = profile.summary();
  EXPECT_EQ(summary.n_pass, 2);
  EXPECT_EQ(summary.n_token, 12 + 2);
  // Layer 0 is dense, the others have routed and shared experts.
  const int64_t n_layer = model_->hparams().n_layer, n_moe = n_layer - 1;
  EXPECT_EQ(calls(summary), (std::map<std::string, int64_t>{{"batch", 2},
                                                            {"embed", 2},
                                                            {"attention", 2 * n_layer},
                                                            {"route", 2 * n_moe},
                                                            {"experts", 2 * n_moe},
                                                            {"ffn", 2 * n_layer},
                                                            {"head", 2}}));
  EXPECT_EQ(summary.rows.front().operation, "batch");
  EXPECT_EQ(summary.rows.back().operation, "head");
  profile.clear();
  EXPECT_EQ(profile.summary().n_pass, 0);
  EXPECT_EQ(profile.summary().wall_s, 0);
  EXPECT_TRUE(profile.summary().rows.empty());
}

TEST_F(ProfileTest, PartsAddUpOnEveryDevice) {
  for (const char* where : {"CPU", "layers", "experts"}) {
    const auto place = placed(where);
    Forward forward(*model_, *policies_, options(*place));
    const std::vector<float> plain = run(forward);
    Profile profile(*place);
    forward.set_profile(&profile);
    const OpCounters before = forward.counters();
    const std::vector<float> profiled = run(forward);
    const OpCounters spent = forward.counters() - before;
    EXPECT_TRUE(plain == profiled) << where;
    const ProfileSummary summary = profile.summary();
    double seconds = 0;
    uint64_t bytes = 0;
    std::set<int> used;
    for (const ProfileRow& row : summary.rows) {
      EXPECT_GE(row.seconds, 0) << row.operation;
      EXPECT_GT(row.n_call, 0) << row.operation;
      seconds += row.seconds;  // fake devices work one after the other
      bytes += row.weight_bytes.value();
      used.insert(row.device);
    }
    EXPECT_GT(seconds, 0.2 * summary.wall_s) << where;
    EXPECT_LE(seconds, summary.wall_s) << where;
    EXPECT_EQ(bytes, spent.dense_bytes + spent.expert_bytes) << where;
    EXPECT_EQ(used.size(), std::string(where) == "CPU" ? 1u : 3u) << where;
    EXPECT_EQ(calls(summary).contains("copies"), used.size() > 1) << where;
  }
}

TEST_F(ProfileTest, LayersAreTheOperationsApart) {
  const auto place = placed("experts");
  Forward forward(*model_, *policies_, options(*place));
  Profile profile(*place);
  forward.set_profile(&profile);
  run(forward);
  const auto fold = [](const ProfileSummary& summary) {
    std::map<std::pair<std::string, int>, std::pair<int64_t, uint64_t>> sums;
    for (const ProfileRow& row : summary.rows) {
      auto& [n_call, bytes] = sums[{row.operation, row.device}];
      n_call += row.n_call;
      bytes += row.weight_bytes.value();
    }
    return sums;
  };
  const ProfileSummary by_layer = profile.summary(ProfileBy::Layer);
  EXPECT_EQ(fold(by_layer), fold(profile.summary()));
  std::map<int, int64_t> n_attention;
  for (const ProfileRow& row : by_layer.rows) {
    if (row.operation == "attention") n_attention[row.layer] += row.n_call;
    const bool in_layer = row.operation == "route" || row.operation == "experts" || row.operation == "ffn";
    if (in_layer) {
      EXPECT_GE(row.layer, row.operation == "ffn" ? 0 : 1) << row.operation;
    }
    const bool around = row.operation == "embed" || row.operation == "head" || row.operation == "batch";
    if (around) {
      EXPECT_EQ(row.layer, -1) << row.operation;
    }
  }
  EXPECT_EQ(std::ssize(n_attention), model_->hparams().n_layer);
  for (const auto& [layer, n] : n_attention) EXPECT_EQ(n, 2) << layer;
}

TEST_F(ProfileTest, APassThatWasEndedCountsForNothing) {
  const auto place = placed("CPU");
  ForwardOptions ended = options(*place);
  int n_asked = 0;
  ended.stop = [&] { return ++n_asked == 2; };
  Forward forward(*model_, *policies_, ended);
  Profile profile(*place);
  forward.set_profile(&profile);
  EXPECT_THROW(run(forward), Interrupted);
  EXPECT_TRUE(profile.summary().rows.empty());
  run(forward);
  EXPECT_EQ(profile.summary().n_pass, 2);
  EXPECT_EQ(calls(profile.summary())["embed"], 2);
}

/// Of experts on a GPU only the counts of the routing tell; where the CPU runs them both ways say the same.
TEST_F(ProfileTest, ChosenExpertsAreThoseThatWereRead) {
  const auto place = placed("experts");
  Forward forward(*model_, *policies_, options(*place));
  const std::vector<std::vector<uint64_t>> bytes = expert_bytes(*model_);
  testing::CacheRig cache(forward, Forward::cache_plan(*model_, 64, Type::F32));
  Profile profile(*place);
  forward.set_profile(&profile);
  std::vector<uint64_t> chosen(devices_.size(), 0), read = chosen;
  for (int32_t pos = 0; pos < 5; ++pos) {
    const RoutingStats before = forward.routing_stats();
    cache.step({.id = 100 * pos, .pos = pos});
    const RoutingStats after = forward.routing_stats();
    for (size_t m = 0; m < bytes.size(); ++m) {
      const std::vector<int>& places = place->placement().blocks[m + 1].experts;
      for (size_t d = 0; d < devices_.size(); ++d) {
        chosen[d] +=
            chosen_bytes(before.layers()[m], after.layers()[m], bytes[m], places, static_cast<int>(d));
      }
    }
  }
  for (const ProfileRow& row : profile.summary().rows) {
    if (row.operation == "experts") read[static_cast<size_t>(row.device)] += row.weight_bytes.value();
  }
  EXPECT_EQ(chosen, read);
  for (const uint64_t device : read) EXPECT_GT(device, 0u);
}

TEST_F(ProfileTest, ReadLimitsAreThoseOfDevicesInUse) {
  PlacementOptions one{.overrides = {{".", "fake1"}}};
  const PlacedModel placed(*model_, devices_, place(*model_, devices_, one));
  Forward forward(*model_, *policies_, options(placed));
  const std::vector<double> limits = forward.measure_read_limits();
  ASSERT_EQ(limits.size(), 3u);
  EXPECT_EQ(limits[0], 0);
  EXPECT_EQ(limits[2], 0);
  // 100 MB/s to 10 TB/s: bytes a second, not GB, nor of a cache line.
  EXPECT_TRUE(limits[1] == 0 || (limits[1] > 1e8 && limits[1] < 1e13)) << limits[1];
}

}  // namespace
}  // namespace sw
