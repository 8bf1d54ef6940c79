// SPDX-License-Identifier: MIT
#pragma once
#include <cmath>

#include "gpu.h"
#include "random_data.h"
#include "rig.h"

/// What the tests of CUDA operations share: the formats and shapes, and how close to the reference is close.
namespace sw::testing {

/// How operations are bound, and how far they may be from the reference, against each row's largest value.
struct Way {
  BindOptions options;
  double tolerance;
};

/// Row-invariant, and for weights in F32: f32 inputs with f32 sums, so that a few hundred additions are
/// rounded.
inline constexpr Way kExact{{.limit = Isa::Scalar, .row_invariant = true, .device = DeviceKind::Cuda}, 1e-5};
/// Else inputs are rounded as well: to bfloat16, or to blocks of 32 bytes, whose steps are 1/254 of the
/// largest value (the standard deviation is a third of that), in up to two products one behind the other.
inline constexpr double kRounded = 0.02;

inline std::vector<Way> ways(Type type) {
  return {kExact, {kOnGpu, type == Type::F32 ? kExact.tolerance : kRounded}};
}

/// Around every border between kernels: 1 and 2 to 8 tokens, up to 16 for experts, tiles of 64.
inline constexpr int64_t kTokens[] = {1, 2, 7, 8, 9, 16, 17, 64, 333};

inline void expect_rows_close(const std::vector<float>& got, const std::vector<float>& expected,
                              int64_t n_cols, double tolerance, const std::string& what) {
  ASSERT_EQ(got.size(), expected.size());
  for (size_t begin = 0; begin < got.size(); begin += static_cast<size_t>(n_cols)) {
    const size_t end = std::min(got.size(), begin + static_cast<size_t>(n_cols));
    double largest = 0;
    for (size_t i = begin; i < end; ++i)
      largest = std::max(largest, std::abs(static_cast<double>(expected[i])));
    for (size_t i = begin; i < end; ++i) {
      // Not "greater": a NaN must fail.
      ASSERT_LE(std::abs(static_cast<double>(got[i]) - expected[i]), tolerance * largest)
          << what << ", row " << begin / static_cast<size_t>(n_cols) << ", column " << i - begin << ": got "
          << got[i] << ", expected " << expected[i];
    }
  }
}

struct OpCase {
  Type type;
  int64_t n_embd, n_ff;
};

/// Widths that no tile divides, as ragged as a format's block allows. Formats without blocks are read in
/// another way where rows are no multiples of four.
inline std::vector<OpCase> cases() {
  std::vector<OpCase> all;
  for (const Type type : kGpuTypes) {
    const int block = traits(type).block_elems;
    if (block == 1) {
      all.push_back({type, 77, 50});
      all.push_back({type, 300, 52});
    } else {
      all.push_back(block == 32 ? OpCase{type, 96, 160} : OpCase{type, 512, 256});
    }
  }
  return all;
}

/// Random rows `n_more` further apart than they are wide.
inline TensorView<float> strided(Rig& rig, int64_t n_rows, int64_t n_cols, int64_t n_more) {
  const int64_t stride = n_cols + n_more;
  return {rig.values(n_rows * stride).data(), n_rows, n_cols, stride};
}

}  // namespace sw::testing
