// SPDX-License-Identifier: MIT
#include "base/rng.h"

#include <array>
#include <gtest/gtest.h>

namespace sw {
namespace {

TEST(Rng, KnownVectors) {
  // The first outputs of the authors' C code (splitmix64.c) for two seeds.
  Rng zero(0);
  for (const uint64_t want : {0xe220a8397b1dcdafull, 0x6e789e6aa1b965f4ull, 0x06c45d188009454full}) {
    EXPECT_EQ(zero.next(), want);
  }
  Rng other(1234567);
  for (const uint64_t want : {6457827717110365317ull, 3203168211198807973ull, 9817491932198370423ull,
                              4593380528125082431ull, 16408922859458223821ull}) {
    EXPECT_EQ(other.next(), want);
  }
}

TEST(Rng, UniformIsInRangeAndEven) {
  Rng rng(1);
  double sum = 0.0;
  constexpr int kDraws = 100000;
  for (int i = 0; i < kDraws; ++i) {
    const double u = rng.uniform();
    ASSERT_GE(u, 0.0);
    ASSERT_LT(u, 1.0);
    sum += u;
  }
  EXPECT_NEAR(sum / kDraws, 0.5, 0.005);  // five standard deviations
}

TEST(Rng, BelowReachesAllAndNoMore) {
  Rng rng(2);
  std::array<int, 7> counts = {};
  for (int i = 0; i < 70000; ++i) ++counts.at(rng.below(7));
  for (const int c : counts) EXPECT_NEAR(c, 10000, 500);
  for (int i = 0; i < 100; ++i) EXPECT_EQ(rng.below(1), 0u);
  for (int i = 0; i < 100; ++i) EXPECT_LT(rng.below(~0ull), ~0ull);
}

}  // namespace
}  // namespace sw
