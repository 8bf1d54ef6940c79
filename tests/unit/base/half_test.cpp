// SPDX-License-Identifier: MIT
#include "base/half.h"

#include <cmath>
#include <gtest/gtest.h>
#include <limits>

#include "base/rng.h"

namespace sw {
namespace {

/// A small binary float by its definition.
struct Format {
  int mantissa_bits;
  int exponent_bits;

  int bias() const { return (1 << (exponent_bits - 1)) - 1; }
  int infinity_exponent() const { return (1 << exponent_bits) - 1; }

  double decode(uint32_t bits) const {
    const int mantissa = static_cast<int>(bits & ((1u << mantissa_bits) - 1));
    const int exponent = static_cast<int>(bits >> mantissa_bits) & infinity_exponent();
    const double sign = bits >> (mantissa_bits + exponent_bits) ? -1.0 : 1.0;
    if (exponent == infinity_exponent()) return mantissa ? NAN : sign * INFINITY;
    if (exponent == 0) return sign * std::ldexp(mantissa, 1 - bias() - mantissa_bits);
    return sign * std::ldexp(mantissa + (1 << mantissa_bits), exponent - bias() - mantissa_bits);
  }

  /// Round to nearest even in double, which holds every f32 and every half step exactly.
  uint32_t encode(double value) const {
    const uint32_t sign = std::signbit(value) ? 1u << (mantissa_bits + exponent_bits) : 0;
    const uint32_t infinity = static_cast<uint32_t>(infinity_exponent()) << mantissa_bits;
    value = std::fabs(value);
    if (std::isinf(value)) return sign | infinity;
    const int exponent = value == 0.0 ? 1 - bias() : std::max(std::ilogb(value), 1 - bias());
    const double steps = std::nearbyint(std::ldexp(value, mantissa_bits - exponent));
    // Steps from the start of the binade; a carry moves on to the next one by itself.
    const double bits = std::ldexp(exponent + bias() - 1, mantissa_bits) + steps;
    return sign | static_cast<uint32_t>(std::min(bits, static_cast<double>(infinity)));
  }
};

constexpr Format kF16{10, 5}, kBf16{7, 8};

template <class Decode, class Encode>
void check_all_patterns(const Format& format, Decode&& decode, Encode&& encode) {
  for (uint32_t bits = 0; bits < 0x10000; ++bits) {
    const float got = decode(static_cast<uint16_t>(bits));
    const double want = format.decode(bits);
    if (std::isnan(want)) {
      ASSERT_TRUE(std::isnan(got)) << bits;
      const uint32_t quiet = bits | (1u << (format.mantissa_bits - 1));
      ASSERT_EQ(encode(got), quiet) << bits;
      continue;
    }
    ASSERT_EQ(got, want) << bits;
    ASSERT_EQ(std::signbit(got), std::signbit(want)) << bits;
    ASSERT_EQ(encode(got), bits);
  }
}

/// Random values, and those around every half step between two neighbours.
template <class Encode>
void check_rounding(const Format& format, Encode&& encode) {
  Rng rng(11);
  for (int i = 0; i < 500000; ++i) {
    const float f = std::bit_cast<float>(static_cast<uint32_t>(rng.next()));
    if (std::isnan(f)) continue;
    ASSERT_EQ(encode(f), format.encode(f)) << std::hexfloat << f;
  }
  for (uint32_t bits = 0; bits < static_cast<uint32_t>(format.infinity_exponent()) << format.mantissa_bits;
       ++bits) {
    const double above = format.decode(bits + 1);
    const double middle = std::isinf(above) ? format.decode(bits) * 1.5 - format.decode(bits - 1) * 0.5
                                            : (format.decode(bits) + above) / 2.0;
    const auto f = static_cast<float>(middle);
    for (const float near : {std::nextafterf(f, 0.0f), f, std::nextafterf(f, INFINITY)}) {
      ASSERT_EQ(encode(near), format.encode(near)) << std::hexfloat << near;
      ASSERT_EQ(encode(-near), format.encode(-near)) << std::hexfloat << -near;
    }
  }
}

TEST(Half, F16PatternsAreExact) { check_all_patterns(kF16, f16_to_f32, f32_to_f16); }
TEST(Half, Bf16PatternsAreExact) { check_all_patterns(kBf16, bf16_to_f32, f32_to_bf16); }
TEST(Half, F16RoundsToNearestEven) { check_rounding(kF16, f32_to_f16); }
TEST(Half, Bf16RoundsToNearestEven) { check_rounding(kBf16, f32_to_bf16); }

TEST(Half, KnownValues) {
  EXPECT_EQ(f32_to_f16(1.0f), 0x3c00);
  EXPECT_EQ(f32_to_f16(-2.0f), 0xc000);
  EXPECT_EQ(f32_to_f16(65504.0f), 0x7bff);
  EXPECT_EQ(f32_to_f16(65519.0f), 0x7bff);
  EXPECT_EQ(f32_to_f16(65520.0f), 0x7c00);
  EXPECT_EQ(f32_to_f16(0x1p-24f), 0x0001);
  EXPECT_EQ(f32_to_f16(0x1p-25f), 0x0000);
  EXPECT_EQ(f32_to_bf16(1.0f), 0x3f80);
  EXPECT_EQ(f32_to_bf16(std::numeric_limits<float>::max()), 0x7f80);
}

/// A NaN whose payload stands only in bits that are cut off must not become infinity.
TEST(Half, NanStaysNan) {
  for (const uint32_t bits : {0x7f800001u, 0xff800001u, 0x7fffffffu, 0xffc00000u}) {
    const float f = std::bit_cast<float>(bits);
    EXPECT_TRUE(std::isnan(f16_to_f32(f32_to_f16(f))));
    EXPECT_TRUE(std::isnan(bf16_to_f32(f32_to_bf16(f))));
    EXPECT_EQ(std::signbit(f16_to_f32(f32_to_f16(f))), std::signbit(f));
  }
}

}  // namespace
}  // namespace sw
