// SPDX-License-Identifier: MIT
#include "base/checked.h"

#include <gtest/gtest.h>
#include <limits>

namespace sw {
namespace {

constexpr uint64_t kMax = std::numeric_limits<uint64_t>::max();

TEST(Checked, HoldsValuesInRange) {
  EXPECT_EQ(Checked(7).value(), 7u);
  EXPECT_EQ((Checked(3) + 4).value(), 7u);
  EXPECT_EQ((Checked(3) * 4).value(), 12u);
  EXPECT_EQ((Checked(kMax - 1) + 1).value(), kMax);
  EXPECT_EQ((Checked(1ull << 32) * (1ull << 31)).value(), 1ull << 63);
  EXPECT_EQ((Checked(kMax) * 0).value(), 0u);
  static_assert((Checked(2) + 3).value() == 5u);
}

TEST(Checked, OverflowLastsForGood) {
  for (const Checked bad : {Checked(kMax) + 1, Checked(1ull << 32) * (1ull << 32), Checked(kMax) * 2}) {
    EXPECT_FALSE(bad.valid());
    EXPECT_EQ(bad.value(), std::nullopt);
    EXPECT_FALSE(bad.at_most(kMax));
    for (const Checked more :
         {bad + 0, bad * 0, bad * 1, Checked(0) * bad, Checked(1) + bad, align_up(bad, 8)}) {
      EXPECT_FALSE(more.valid());
    }
  }
}

TEST(Checked, AtMost) {
  EXPECT_TRUE(Checked(5).at_most(5));
  EXPECT_FALSE(Checked(6).at_most(5));
  EXPECT_TRUE(Checked(kMax).at_most(kMax));
}

TEST(Checked, AlignUp) {
  EXPECT_EQ(align_up(Checked(0), 32).value(), 0u);
  EXPECT_EQ(align_up(Checked(1), 32).value(), 32u);
  EXPECT_EQ(align_up(Checked(32), 32).value(), 32u);
  EXPECT_EQ(align_up(Checked(33), 32).value(), 64u);
  EXPECT_EQ(align_up(Checked(5), 1).value(), 5u);
  EXPECT_EQ(align_up(Checked(7), 3).value(), 9u);
  EXPECT_EQ(align_up(Checked(kMax - 31), 32).value(), kMax - 31);
  EXPECT_FALSE(align_up(Checked(kMax - 30), 32).valid());
}

}  // namespace
}  // namespace sw
