// SPDX-License-Identifier: MIT
// Who waits for whom where work goes from device to device: devices that do their work at once cannot show
// it.
#include <gtest/gtest.h>

#include "kernels/cpu/cpu_backend.h"
#include "model/placed_model.h"
#include "support/cache_rig.h"
#include "support/tiny_model.h"

namespace sw {
namespace {

struct Happened {
  enum class What : uint8_t { Copy, Wait } what = What::Copy;
  int on = 0, other = 0;  // copied to `on` from `other`; `on` waits for `other`

  friend bool operator==(const Happened&, const Happened&) = default;
};

/// The CPU as one of several devices that tell what is asked of them.
class Telling : public cpu::CpuBackend {
 public:
  Telling(int index, std::vector<Happened>& log)
      : CpuBackend({.name = "telling" + std::to_string(index)}), index_(index), log_(log) {}

  Device device() const override { return {index_}; }
  bool host_visible() const override { return false; }
  void copy_from(Backend& from, std::span<const DeviceCopy> copies) override {
    log_.push_back({Happened::What::Copy, index_, from.device().index});
    CpuBackend::copy_from(from, copies);
  }
  void wait_for(Backend& other) override {
    log_.push_back({Happened::What::Wait, index_, other.device().index});
  }

 private:
  int index_;
  std::vector<Happened>& log_;
};

class ExchangeTest : public testing::TinyModel {
 protected:
  /// What happens in a pass of three tokens over this placement.
  std::vector<Happened> pass(const Placement& placement) {
    std::vector<Happened> log;
    Devices devices;
    devices.push_back(open_cpu());
    for (int i = 1; i <= 3; ++i) devices.push_back(std::make_unique<Telling>(i, log));
    const PolicyTable policies(model_->moe_layers(), model_->hparams().n_layer,
                               experts_needed(model_->moe_layers(), {}), 1);
    const PlacedModel placed(*model_, devices, placement);
    Forward forward(*model_, policies, {.n_ubatch = 4, .n_seq = 1, .n_ctx = 64, .placed = &placed});
    testing::CacheRig cache(forward, Forward::cache_plan(*model_, 64, Type::F32, 1));
    const std::vector<BatchToken> tokens = {{.id = 1, .pos = 0}, {.id = 2, .pos = 1}, {.id = 3, .pos = 2}};
    cache.run(tokens);
    return log;
  }
  /// All blocks on one device.
  Placement all_on(int device) const {
    Placement placement{.embed = device, .head = device};
    for (int b = 0; b < model_->hparams().n_run_block(); ++b) {
      BlockPlacement block{.attention = device, .ffn = device, .shared = device};
      if (has_experts(*model_, b))
        block.experts.assign(static_cast<size_t>(model_->hparams().moe.n_expert), device);
      placement.blocks.push_back(block);
    }
    return placement;
  }
};

/// The next pass overwrites the residual that was sent on.
TEST_F(ExchangeTest, WhoSendsTheResidualWaitsForItsCopy) {
  load("bailing_moe_v2");
  if (!model_) return;  // skipped
  Placement placement = all_on(2);
  placement.embed = 1;
  placement.blocks.front() = {.attention = 1, .ffn = 1, .shared = 1};
  using enum Happened::What;
  EXPECT_EQ(pass(placement), (std::vector<Happened>{{Copy, 2, 1}, {Wait, 1, 2}}));
}

/// LongCat's experts work beside the next block. Where that is on a third device, the parts are added there,
/// and the router's device learns from nobody else that its routing has been read.
TEST_F(ExchangeTest, ARouterWaitsUntilAThirdDeviceHasTheParts) {
  load("longcat_flash");
  if (!model_) return;  // skipped
  Placement placement = all_on(3);
  placement.embed = 1;
  BlockPlacement& first = placement.blocks.front();
  first.attention = first.ffn = first.shared = 1;
  std::ranges::fill(first.experts, 2);
  const std::vector<Happened> log = pass(placement);
  using enum Happened::What;
  const auto part = std::ranges::find(log, Happened{Copy, 3, 2});
  ASSERT_NE(std::ranges::find(log, Happened{Copy, 2, 1}), log.end()) << "the routing";
  ASSERT_NE(part, log.end()) << "the part";
  EXPECT_NE(std::find(part, log.end(), Happened{Wait, 2, 3}), log.end()) << "the part is overwritten";
  EXPECT_NE(std::find(part, log.end(), Happened{Wait, 1, 3}), log.end()) << "the routing is overwritten";
}

}  // namespace
}  // namespace sw
