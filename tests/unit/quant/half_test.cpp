// SPDX-License-Identifier: MIT
#include "base/half.h"

#include <bit>
#include <cmath>
#include <gtest/gtest.h>
#include <limits>

#include "quant/bf16.h"
#include "quant/f16.h"
#include "unit/quant/test_rows.h"

namespace sw {
namespace {

/// A binary floating-point format, as IEEE 754 describes one.
struct Small {
  int digits;        // of the significand, the hidden one included
  int max_exponent;  // of the largest value
};
constexpr Small kF16 = {11, 15}, kBf16 = {8, 127};

/// The value of a 16-bit pattern.
double value_of(Small format, uint16_t bits) {
  const int n_mantissa = format.digits - 1;
  const int exponent = (bits & 0x7fff) >> n_mantissa;
  const int mantissa = bits & ((1 << n_mantissa) - 1);
  const double sign = bits & 0x8000 ? -1.0 : 1.0;
  if (exponent == 2 * format.max_exponent + 1) {
    return mantissa ? std::numeric_limits<double>::quiet_NaN()
                    : sign * std::numeric_limits<double>::infinity();
  }
  const int hidden = exponent ? 1 << n_mantissa : 0;
  return sign * std::ldexp(mantissa + hidden, std::max(exponent, 1) - format.max_exponent - n_mantissa);
}

/// x rounded to nearest even. In double every step but the rounding is exact.
double rounded(Small format, double x) {
  if (x == 0.0 || !std::isfinite(x)) return x;
  const int exponent = std::max(std::ilogb(x), 1 - format.max_exponent);
  const double unit = std::ldexp(1.0, exponent - format.digits + 1);
  const double r = std::nearbyint(x / unit) * unit;
  const double limit = std::ldexp(1.0, format.max_exponent + 1);
  return std::abs(r) >= limit ? std::copysign(std::numeric_limits<double>::infinity(), x) : r;
}

template <class T>
void check_every_pattern(Small format) {
  for (uint32_t p = 0; p <= 0xffff; ++p) {
    const typename T::Block block = {static_cast<uint16_t>(p)};
    const float x = T::at(block, 0);
    const double expected = value_of(format, block.bits);
    typename T::Block back = {};
    T::encode(&x, nullptr, back);
    if (std::isnan(expected)) {
      ASSERT_TRUE(std::isnan(x)) << p;
      ASSERT_TRUE(std::isnan(value_of(format, back.bits))) << p;
    } else {
      ASSERT_EQ(static_cast<double>(x), expected) << p;
      ASSERT_EQ(std::signbit(x), (p & 0x8000) != 0) << p;
      ASSERT_EQ(back.bits, p);
    }
  }
}

template <class T>
void check_rounding(Small format, float x) {
  typename T::Block block = {};
  T::encode(&x, nullptr, block);
  const double got = value_of(format, block.bits);
  if (std::isnan(x)) {
    ASSERT_TRUE(std::isnan(got)) << std::bit_cast<uint32_t>(x);
  } else {
    ASSERT_EQ(got, rounded(format, static_cast<double>(x))) << std::bit_cast<uint32_t>(x);
    ASSERT_EQ(std::signbit(got), std::signbit(x)) << std::bit_cast<uint32_t>(x);
  }
}

/// Random patterns, and the neighbourhood of every value and of every midpoint between two.
template <class T>
void check_rounding_everywhere(Small format) {
  Rng rng(1);
  for (int i = 0; i < 2'000'000; ++i) {
    check_rounding<T>(format, std::bit_cast<float>(static_cast<uint32_t>(rng.next())));
    // Exponents -30 .. 17: all that f16 can hold, its subnormals and the edges.
    const auto exponent = static_cast<uint32_t>(97 + rng.below(48));
    const auto low = static_cast<uint32_t>(rng.next()) & 0x807fffffu;
    check_rounding<T>(format, std::bit_cast<float>(exponent << 23 | low));
    if (::testing::Test::HasFatalFailure()) return;
  }
  for (uint32_t p = 0; p < 0xffff; ++p) {
    const double a = value_of(format, static_cast<uint16_t>(p)),
                 b = value_of(format, static_cast<uint16_t>(p + 1));
    if (!std::isfinite(a) || std::isnan(b)) continue;
    const double limit = std::ldexp(std::signbit(a) ? -1.0 : 1.0, format.max_exponent + 1);
    const auto middle = static_cast<float>((a + (std::isinf(b) ? limit : b)) / 2);
    for (const float x : {static_cast<float>(a), middle}) {
      for (const float to : {-INFINITY, x, INFINITY}) check_rounding<T>(format, std::nextafter(x, to));
    }
    if (::testing::Test::HasFatalFailure()) return;
  }
}

TEST(Half, F16EveryPattern) { check_every_pattern<F16>(kF16); }
TEST(Half, Bf16EveryPattern) { check_every_pattern<BF16>(kBf16); }
TEST(Half, F16RoundsToNearestEven) { check_rounding_everywhere<F16>(kF16); }
TEST(Half, Bf16RoundsToNearestEven) { check_rounding_everywhere<BF16>(kBf16); }

}  // namespace
}  // namespace sw
