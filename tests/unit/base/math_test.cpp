// SPDX-License-Identifier: MIT
#include "base/math.h"

#include <cmath>
#include <gtest/gtest.h>
#include <limits>

#include "base/rng.h"

namespace sw {
namespace {

constexpr float kInf = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
constexpr float kMax = std::numeric_limits<float>::max();

/// The distance from the true value in units of the last place of f32 there.
double ulps(float got, double want) {
  const double place = std::ldexp(1.0, std::max(std::ilogb(want), -126) - 23);
  return std::fabs(got - want) / place;
}

TEST(Math, ExpIsWithinTwoUlp) {
  double worst = 0.0;
  for (int i = -8730000; i <= 8870000; ++i) {
    const float x = static_cast<float>(i) * 1e-5f;
    worst = std::max(worst, ulps(exp_exact(x), std::exp(static_cast<double>(x))));
  }
  // Where arguments are small, and where n changes: at odd multiples of ln2 / 2.
  for (float x = 1e-30f; x < 1.0f; x *= 1.0001f) {
    worst = std::max(worst, ulps(exp_exact(x), std::exp(static_cast<double>(x))));
    worst = std::max(worst, ulps(exp_exact(-x), std::exp(static_cast<double>(-x))));
  }
  for (int n = -251; n <= 251; n += 2) {
    float x = static_cast<float>(n * 0.34657359028);
    for (int i = 0; i < 200; ++i) x = std::nextafterf(x, -kInf);
    for (int i = 0; i < 400; ++i, x = std::nextafterf(x, kInf)) {
      worst = std::max(worst, ulps(exp_exact(x), std::exp(static_cast<double>(x))));
    }
  }
  EXPECT_LE(worst, 2.0);
}

TEST(Math, ExpAtTheEdges) {
  EXPECT_EQ(exp_exact(0.0f), 1.0f);
  EXPECT_EQ(exp_exact(-0.0f), 1.0f);
  EXPECT_EQ(exp_exact(kInf), kInf);
  EXPECT_EQ(exp_exact(-kInf), 0.0f);
  EXPECT_EQ(exp_exact(kMax), kInf);
  EXPECT_EQ(exp_exact(-kMax), 0.0f);
  EXPECT_TRUE(std::isnan(exp_exact(kNan)));
  EXPECT_EQ(exp_exact(1e-45f), 1.0f);
  // The last finite result, the first that is none, the last normal one.
  EXPECT_LT(exp_exact(88.72283f), kInf);
  EXPECT_EQ(exp_exact(std::nextafterf(88.72283f, kInf)), kInf);
  EXPECT_GT(exp_exact(-87.33654f), 0.0f);
  EXPECT_EQ(exp_exact(std::nextafterf(-87.33654f, -kInf)), 0.0f);
}

TEST(Math, ExpHasTheseBits) {
  // The same operations in the same order, done by NumPy: a compiler that contracts or reorders is caught.
  const std::pair<float, uint32_t> known[] = {
      {1.0f, 0x402df854u},   {-1.0f, 0x3ebc5ab2u}, {0.1f, 0x3f8d763eu},  {10.0f, 0x46ac14eeu},
      {-20.5f, 0x30abd1d8u}, {88.0f, 0x7ef882b7u}, {-87.0f, 0x00b33687u}};
  for (const auto& [x, bits] : known) EXPECT_EQ(std::bit_cast<uint32_t>(exp_exact(x)), bits) << x;
}

TEST(Math, LogIsWithinTwoUlp) {
  double worst = 0.0;
  const auto check = [&](float x) {
    worst = std::max(worst, ulps(log_exact(x), std::log(static_cast<double>(x))));
  };
  for (uint32_t bits = 1; bits < 0x7f800000u; bits += 1009) check(std::bit_cast<float>(bits));
  // Around 1 the result is small, and around sqrt(1/2) * 2^n the exponent turns.
  for (const float around : {1.0f, 0.70710678f, 1.41421356f, 2.0f, 0.5f}) {
    float x = around;
    for (int i = 0; i < 20000; ++i) x = std::nextafterf(x, 0.0f);
    for (int i = 0; i < 40000; ++i, x = std::nextafterf(x, kInf)) {
      if (x != 1.0f) check(x);
    }
  }
  EXPECT_LE(worst, 2.0);
}

TEST(Math, LogAtTheEdges) {
  EXPECT_EQ(log_exact(1.0f), 0.0f);
  EXPECT_EQ(log_exact(0.0f), -kInf);
  EXPECT_EQ(log_exact(-0.0f), -kInf);
  EXPECT_EQ(log_exact(kInf), kInf);
  EXPECT_TRUE(std::isnan(log_exact(-1.0f)));
  EXPECT_TRUE(std::isnan(log_exact(-kInf)));
  EXPECT_TRUE(std::isnan(log_exact(kNan)));
  EXPECT_NEAR(log_exact(kMax), 88.72284, 1e-5);
  EXPECT_NEAR(log_exact(1e-45f), -103.27893, 1e-5);
}

TEST(Math, LogHasTheseBits) {
  // By NumPy, as for exp.
  const std::pair<float, uint32_t> known[] = {
      {2.0f, 0x3f317218u},  {0.1f, 0xc0135d8eu},   {0.7f, 0xbeb69e1au},  {1.4f, 0x3eac4616u},
      {10.0f, 0x40135d8eu}, {1e-40f, 0xc2b834f2u}, {3e38f, 0x42b13196u}, {0.999f, 0xba8322cau}};
  for (const auto& [x, bits] : known) EXPECT_EQ(std::bit_cast<uint32_t>(log_exact(x)), bits) << x;
}

TEST(Math, PowValues) {
  EXPECT_EQ(pow_exact(0.0f, 0.0f), 1.0f);
  EXPECT_EQ(pow_exact(0.0f, 2.0f), 0.0f);
  EXPECT_EQ(pow_exact(1.0f, 1e9f), 1.0f);
  EXPECT_EQ(pow_exact(2.0f, 1000.0f), kInf);
  for (float y = -20.0f; y < 20.0f; y += 0.13f) {
    const double want = std::pow(1.75, static_cast<double>(y));
    ASSERT_NEAR(pow_exact(1.75f, y), want, 2e-6 * want) << y;
  }
}

TEST(Math, SigmoidValues) {
  EXPECT_EQ(sigmoid_exact(0.0f), 0.5f);
  EXPECT_EQ(sigmoid_exact(kInf), 1.0f);
  EXPECT_EQ(sigmoid_exact(-kInf), 0.0f);
  EXPECT_EQ(sigmoid_exact(kMax), 1.0f);
  EXPECT_EQ(sigmoid_exact(-kMax), 0.0f);
  EXPECT_TRUE(std::isnan(sigmoid_exact(kNan)));
  for (float x = -87.0f; x < 40.0f; x += 0.0013f) {
    ASSERT_LE(ulps(sigmoid_exact(x), 1.0 / (1.0 + std::exp(-static_cast<double>(x)))), 4.0) << x;
  }
}

/// A larger logit must not get a smaller score.
TEST(Math, SigmoidNeverFalls) {
  float last = 0.0f;
  for (int i = -9000000; i <= 9000000; ++i) {
    const float s = sigmoid_exact(static_cast<float>(i) * 1e-5f);
    ASSERT_GE(s, last) << i;
    last = s;
  }
}

TEST(Math, Silu) {
  EXPECT_EQ(silu_exact(0.0f), 0.0f);
  EXPECT_EQ(silu_exact(100.0f), 100.0f);
  EXPECT_EQ(silu_exact(-kMax), 0.0f);
  for (float x = -80.0f; x < 80.0f; x += 0.0017f) {
    const double want = x / (1.0 + std::exp(-static_cast<double>(x)));
    ASSERT_LE(ulps(silu_exact(x), want), 5.0) << x;
  }
}

}  // namespace
}  // namespace sw
