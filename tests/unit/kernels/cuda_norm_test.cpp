// SPDX-License-Identifier: MIT
// The GPU's norm of rows, and its copy in bfloat16, against the reference.
#include <bit>
#include <gtest/gtest.h>

#include "base/half.h"
#include "kernels/cuda/product/linear.h"
#include "kernels/ref/ref_math.h"
#include "unit/kernels/gpu.h"
#include "unit/kernels/random_data.h"

#ifdef SWITCHYARD_CUDA

namespace sw {
namespace {

using namespace testing;

struct NormCase {
  int64_t n, n_row, padding;  ///< values of a row, rows, values between two rows
  bool gathered;
};

struct CudaNormTest : ::testing::TestWithParam<NormCase> {
  OpContext context() { return {pool_, none_, counters_, choose_vector(Isa::Scalar), {}, &gpu_.queue()}; }

  void run() {
    const auto [n, n_row, padding, gathered] = GetParam();
    const int64_t stride = n + padding;
    const std::vector<float> x = random_floats(rng_, n_row * stride), weight = random_floats(rng_, n);
    std::vector<int32_t> rows;
    for (int64_t t = 0; t < n_row; ++t)
      rows.push_back(static_cast<int32_t>(gathered ? (t * 7 + 3) % n_row : t));
    const TensorView<float> on_gpu(gpu_.put(x), n_row, n, stride);
    const TensorView<float> out(gpu_.poisoned<float>(n_row * stride), n_row, n, stride);
    const TensorView<uint16_t> bf16(gpu_.poisoned<uint16_t>(n_row * stride), n_row, n, stride);
    const TensorView<uint16_t> alone(gpu_.poisoned<uint16_t>(n_row * stride), n_row, n, stride);
    const int32_t* row_ids = gathered ? gpu_.put(rows) : nullptr;
    OpContext with = context();
    cuda::rms_norm(on_gpu, row_ids, gpu_.put(weight), kEps, out, with, bf16);
    cuda::rms_norm(on_gpu, row_ids, gpu_.put(weight), kEps, {}, with, alone);
    const std::vector<float> got = gpu_.get(out.data(), n_row * stride);
    const std::vector<uint16_t> rounded = gpu_.get(bf16.data(), n_row * stride);
    EXPECT_EQ(gpu_.get(alone.data(), n_row * stride), rounded);
    for (int64_t t = 0; t < n_row; ++t) {
      const ref::Vector want =
          ref::rms_norm(x.data() + rows[static_cast<size_t>(t)] * stride, weight.data(), kEps, n);
      for (int64_t i = 0; i < n; ++i) {
        const auto at = static_cast<size_t>(t * stride + i);
        ASSERT_NEAR(got[at], want[static_cast<size_t>(i)], 1e-5) << "row " << t << ", value " << i;
        ASSERT_EQ(rounded[at], f32_to_bf16(got[at]));
      }
    }
    if (gathered) return;
    cuda::rms_norm(on_gpu, nullptr, gpu_.put(weight), kEps, on_gpu, with);
    const std::vector<float> in_place = gpu_.get(on_gpu.data(), n_row * stride);
    for (int64_t t = 0; t < n_row; ++t) {
      for (auto at = static_cast<size_t>(t * stride); at < static_cast<size_t>(t * stride + n); ++at)
        ASSERT_EQ(std::bit_cast<uint32_t>(in_place[at]), std::bit_cast<uint32_t>(got[at]));
    }
  }

 private:
  static constexpr float kEps = 1e-6f;
  Gpu gpu_;
  Rng rng_{11};
  ThreadPool pool_{1};
  Scratch none_;
  OpCounters counters_;
};

TEST_P(CudaNormTest, EveryWidthAndAddress) {
  SW_GPU_OR_SKIP();
  run();
}

/// A width on each side of every border between kernels, rows apart by nothing, by quads and by single
/// values.
std::vector<NormCase> norm_cases() {
  std::vector<NormCase> cases;
  for (const int64_t n : {1, 6, 128, 512, 516, 1024, 1028, 2047, 2048, 2052, 4096, 4100, 7168, 7172}) {
    for (const int64_t padding : {0, 4, 1}) cases.push_back({n, n == 2048 ? 70 : 3, padding, padding == 4});
  }
  return cases;
}

INSTANTIATE_TEST_SUITE_P(Shapes, CudaNormTest, ::testing::ValuesIn(norm_cases()), [](const auto& info) {
  const NormCase& c = info.param;
  return "n" + std::to_string(c.n) + "_padding" + std::to_string(c.padding);
});

}  // namespace
}  // namespace sw

#endif
