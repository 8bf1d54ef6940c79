// SPDX-License-Identifier: MIT
#pragma once
#include <bit>
#include <gtest/gtest.h>
#include <string>
#include <vector>

#include "kernels/variants/all.h"

/// What tests of the element-wise and attention kernels share.
namespace sw::testing {

inline constexpr uint32_t kPoison = 0x7fc12345u;

/// One of variants/vector.inc.
class VectorVariant : public ::testing::TestWithParam<const VectorKernel*> {
 protected:
  void SetUp() override {
    if (!cpu_has(GetParam()->isa)) GTEST_SKIP() << "this CPU lacks the instruction set";
  }
};

inline constexpr const VectorKernel* kVectorVariants[] = {
#define SW_VARIANT(name, isa) &name,
#include "kernels/variants/vector.inc"
#undef SW_VARIANT
};

inline std::string variant_name(const ::testing::TestParamInfo<const VectorKernel*>& test) {
  return test.param->name;
}

/// A result buffer with poison behind it.
inline std::vector<float> poisoned(int64_t n) {
  return std::vector<float>(static_cast<size_t>(n) + 9, std::bit_cast<float>(kPoison));
}

inline void expect_poison_from(const std::vector<float>& v, int64_t begin) {
  for (auto i = static_cast<size_t>(begin); i < v.size(); ++i) {
    ASSERT_EQ(std::bit_cast<uint32_t>(v[i]), kPoison) << "element " << i << " was written";
  }
}

}  // namespace sw::testing
