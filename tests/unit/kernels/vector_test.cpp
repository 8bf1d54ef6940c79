// SPDX-License-Identifier: MIT
// The element-wise kernels; attention in attend_test.cpp.
#include "kernels/vector.h"

#include "base/math.h"
#include "random_data.h"
#include "vector_case.h"

namespace sw {
namespace {

using namespace testing;

const int64_t kLengths[] = {1, 3, 7, 8, 9, 16, 31, 100, 2048, 2051};

class Vector : public VectorVariant {};
INSTANTIATE_TEST_SUITE_P(All, Vector, ::testing::ValuesIn(kVectorVariants), variant_name);

TEST_P(Vector, RmsNorm) {
  Rng rng(1);
  for (const int64_t n : kLengths) {
    const std::vector<float> x = random_floats(rng, n, 3.0f), weight = random_floats(rng, n);
    std::vector<float> want(x.size()), got = poisoned(n);
    ref_vector.rms_norm(x.data(), weight.data(), 1e-6f, n, want.data());
    GetParam()->rms_norm(x.data(), weight.data(), 1e-6f, n, got.data());
    for (size_t i = 0; i < x.size(); ++i) EXPECT_NEAR(got[i], want[i], 1e-6f * std::abs(want[i]));
    expect_poison_from(got, n);
    std::vector<float> in_place = x;
    GetParam()->rms_norm(in_place.data(), weight.data(), 1e-6f, n, in_place.data());
    EXPECT_TRUE(std::equal(in_place.begin(), in_place.end(), got.begin())) << n;
  }
}

TEST_P(Vector, RmsNormOfKnownValues) {
  const float x[] = {3.0f, -4.0f}, weight[] = {1.0f, 2.0f};
  float out[2];
  GetParam()->rms_norm(x, weight, 0.0f, 2, out);  // mean of squares 12.5
  EXPECT_FLOAT_EQ(out[0], 3.0f / std::sqrt(12.5f));
  EXPECT_FLOAT_EQ(out[1], -8.0f / std::sqrt(12.5f));
  const float zeros[16] = {}, ones[16] = {1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1};
  float result[16];
  GetParam()->rms_norm(zeros, ones, 1e-5f, 16, result);
  for (const float v : result) EXPECT_EQ(v, 0.0f);
}

TEST_P(Vector, SiluMulHasTheBitsOfItsDefinition) {
  Rng rng(2);
  for (const int64_t n : kLengths) {
    const std::vector<float> gate = random_floats(rng, n, 20.0f), up = random_floats(rng, n);
    std::vector<float> got = poisoned(n), in_place = gate;
    GetParam()->silu_mul(gate.data(), up.data(), n, got.data());
    GetParam()->silu_mul(in_place.data(), up.data(), n, in_place.data());
    for (size_t i = 0; i < gate.size(); ++i) {
      EXPECT_EQ(got[i], silu_exact(gate[i]) * up[i]) << gate[i];
      EXPECT_EQ(in_place[i], got[i]);
    }
    expect_poison_from(got, n);
  }
}

TEST_P(Vector, SiluMulAtTheEdges) {
  const float gate[] = {0.0f,  -0.0f,  88.72283f, 88.8f,     -88.72283f, -88.8f, 87.33654f, -87.4f,
                        1e30f, -1e30f, INFINITY,  -87.3365f, 1e-40f,     NAN,    -104.0f,   0.5f};
  const std::vector<float> up(16, 2.0f);
  float got[16];
  GetParam()->silu_mul(gate, up.data(), 16, got);
  for (int i = 0; i < 16; ++i) {
    const float want = silu_exact(gate[i]) * 2.0f;
    if (std::isnan(want)) {
      EXPECT_TRUE(std::isnan(got[i])) << gate[i];
    } else {
      EXPECT_EQ(std::bit_cast<uint32_t>(got[i]), std::bit_cast<uint32_t>(want)) << gate[i];
      if (std::isinf(want)) continue;
      const double exact =
          static_cast<double>(gate[i]) / (1.0 + std::exp(-static_cast<double>(gate[i]))) * 2.0;
      EXPECT_NEAR(static_cast<double>(got[i]), exact, 1e-6 * std::abs(exact) + 1e-35) << gate[i];
    }
  }
}

TEST_P(Vector, AddScaled) {
  Rng rng(3);
  for (const int64_t n : kLengths) {
    const std::vector<float> x = random_floats(rng, n), before = random_floats(rng, n);
    std::vector<float> acc = poisoned(n);
    std::copy(before.begin(), before.end(), acc.begin());
    GetParam()->add_scaled(acc.data(), 0.3f, x.data(), n);
    for (size_t i = 0; i < x.size(); ++i) EXPECT_EQ(acc[i], before[i] + 0.3f * x[i]);
    expect_poison_from(acc, n);
  }
}

}  // namespace
}  // namespace sw
