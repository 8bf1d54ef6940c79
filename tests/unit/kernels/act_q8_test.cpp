// SPDX-License-Identifier: MIT
#include "kernels/cpu/act_q8.h"

#include <gtest/gtest.h>

#include "base/cpu.h"
#include "random_data.h"

namespace sw {
namespace {

std::vector<std::byte> packed(const std::vector<float>& x, void (*pack)(const float*, int64_t, std::byte*)) {
  const auto n = static_cast<int64_t>(x.size());
  std::vector<std::byte> bytes(act_q8_bytes(n), std::byte{0xff});
  pack(x.data(), n, bytes.data());
  return bytes;
}

TEST(ActQ8, PositionsAreAPermutation) {
  std::vector<int> seen(256);
  for (int i = 0; i < 256; ++i) ++seen[static_cast<size_t>(act_q8_position(i))];
  EXPECT_EQ(seen, std::vector<int>(256, 1));
}

TEST(ActQ8, RoundTripIsWithinHalfAStep) {
  Rng rng(1);
  for (const int64_t n : {1, 31, 32, 33, 256, 288, 700}) {
    const std::vector<float> x = testing::random_floats(rng, n);
    std::vector<float> back(x.size());
    decode_act_q8(packed(x, pack_act_q8).data(), n, back.data());
    for (size_t g = 0; g < x.size(); g += 32) {
      float max = 0.0f;
      for (size_t i = g; i < std::min(g + 32, x.size()); ++i) max = std::max(max, std::abs(x[i]));
      for (size_t i = g; i < std::min(g + 32, x.size()); ++i) {
        EXPECT_NEAR(back[i], x[i], max * (0.5001f / 127.0f));
      }
    }
  }
}

TEST(ActQ8, SumsBelongToTheirGroup) {
  std::vector<float> x(256);
  for (size_t i = 0; i < 256; ++i) x[i] = static_cast<float>(i / 32) + 1.0f;  // every q is 127
  const std::vector<std::byte> bytes = packed(x, pack_act_q8);
  ActQ8 block;
  std::memcpy(&block, bytes.data(), sizeof block);
  for (int g = 0; g < 8; ++g)
    EXPECT_NEAR(block.sum[act_q8_group(g)], 32.0f * (static_cast<float>(g) + 1.0f), 1e-4f);
}

TEST(ActQ8, ZeroTinyAndBadGroups) {
  std::vector<float> x(256, 1.0f);
  for (size_t i = 0; i < 32; ++i) {
    x[i] = 0.0f;
    x[32 + i] = 1e-40f;
    x[64 + i] = 3e38f;
  }
  x[100] = NAN;
  x[130] = -INFINITY;
  std::vector<float> back(256);
  decode_act_q8(packed(x, pack_act_q8).data(), 256, back.data());
  for (size_t i = 0; i < 64; ++i) EXPECT_EQ(back[i], 0.0f);
  for (size_t i = 64; i < 96; ++i) EXPECT_NEAR(back[i] / 3e38f, 1.0f, 1e-6f);
  for (size_t i = 96; i < 160; ++i) EXPECT_TRUE(std::isnan(back[i]));
  for (size_t i = 160; i < 256; ++i) EXPECT_NEAR(back[i], 1.0f, 1e-6f);
}

#if defined(__x86_64__)
TEST(ActQ8, Avx2GivesTheSameBytes) {
  if (!cpu_has(Isa::Avx2)) GTEST_SKIP() << "this CPU lacks AVX2";
  Rng rng(2);
  for (int trial = 0; trial < 300; ++trial) {
    const auto n = 1 + static_cast<int64_t>(rng.below(600));
    std::vector<float> x =
        testing::random_floats(rng, n, std::ldexp(1.0f, static_cast<int>(rng.below(250)) - 130));
    // Ties: multiples of half a step, with the largest value exact.
    if (trial % 3 == 0) {
      for (float& v : x) v = (static_cast<float>(rng.below(509)) - 254.0f) * 0.5f;
    }
    const float specials[] = {0.0f, -0.0f, NAN, INFINITY, -INFINITY, 1e-45f, kActQ8Tiny, 3.4e38f};
    if (trial % 4 == 0) x[rng.below(x.size())] = specials[rng.below(8)];
    ASSERT_EQ(packed(x, pack_act_q8), packed(x, pack_act_q8_avx2)) << "n " << n << ", trial " << trial;
  }
}
#endif

}  // namespace
}  // namespace sw
