// SPDX-License-Identifier: MIT
// Rows without a real expert leave nothing behind in scratch that could reach a result.
#include <gtest/gtest.h>

#include "rig.h"

namespace sw {
namespace {
using namespace testing;

constexpr int64_t kEmbd = 256, kFf = 512, kToken = 9;
constexpr int kExperts = 5, kZero = 4, kSlots = 3;

std::vector<float> run(float scratch, Type type, const std::vector<int32_t>& ids) {
  Rig rig;
  const ExpertsDesc desc{.gate = rig.experts(type, {kExperts, kFf, kEmbd}),
                         .up = rig.experts(type, {kExperts, kFf, kEmbd}),
                         .down = rig.experts(type, {kExperts, kEmbd, kFf}),
                         .n_slot = kSlots};
  const TensorView<float> x = rig.matrix(kToken, kEmbd), out = rig.matrix(kToken, kEmbd);
  std::vector<float> weights = rig.values(kToken * kSlots);
  std::vector<int32_t> taken = ids, n_active(kToken, kSlots);
  std::fill_n(reinterpret_cast<float*>(rig.scratch_memory.data()),
              rig.scratch_memory.size_bytes() / sizeof(float), scratch);
  OpContext context = rig.context();
  const Routing routing{{taken.data(), kToken, kSlots}, {weights.data(), kToken, kSlots}, n_active};
  bind_op(desc, {.limit = isa_limit()})({.x = x, .routing = routing, .out = out}, context);
  return copy(out);
}

TEST(IdentityExperts, PoisonedScratchChangesNoBit) {
  std::vector<int32_t> mixed, none(kToken * kSlots, kExperts + 1);
  for (int64_t t = 0; t < kToken; ++t) {  // from no real expert to three
    for (int s = 0; s < kSlots; ++s)
      mixed.push_back(static_cast<int32_t>(s < t % 4 ? (t + s) % kExperts : kExperts + (t + s) % kZero));
  }
  for (const Type type : {Type::F32, Type::Q8_0, Type::Q4_K}) {
    for (const auto& ids : {mixed, none}) {
      const std::vector<float> clean = run(0.0f, type, ids);
      EXPECT_EQ(run(std::numeric_limits<float>::quiet_NaN(), type, ids), clean);
      for (const float value : clean) ASSERT_TRUE(std::isfinite(value));
    }
  }
}

}  // namespace
}  // namespace sw
