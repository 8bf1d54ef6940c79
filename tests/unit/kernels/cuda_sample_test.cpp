// SPDX-License-Identifier: MIT
// What a GPU takes of rows of logits against what the greedy sampler takes.
#include <gtest/gtest.h>
#include <limits>

#include "kernels/cuda/sample/argmax.h"
#include "unit/kernels/gpu.h"
#include "unit/kernels/random_data.h"

#ifdef SWITCHYARD_CUDA

namespace sw {
namespace {

using namespace testing;

constexpr float kInf = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

/// As argmax_rows() says, by one look at each logit.
int32_t plain_argmax(const float* logits, int64_t n) {
  int32_t best = -1;
  for (int32_t i = 0; i < n; ++i) {
    if (!(logits[i] < kInf)) return -2 - i;
    if (logits[i] > -kInf && (best < 0 || logits[i] > logits[best])) best = i;
  }
  return best;
}

void compare_argmax(Gpu& gpu, const std::vector<float>& logits, int64_t n_row, int64_t n_vocab) {
  const int64_t stride = std::ssize(logits) / n_row;
  int32_t* out = gpu.poisoned<int32_t>(n_row);
  cuda::argmax_rows({gpu.put(logits), n_row, n_vocab, stride}, out, gpu.queue());
  const std::vector<int32_t> got = gpu.get(out, n_row);
  for (int64_t r = 0; r < n_row; ++r)
    ASSERT_EQ(got[static_cast<size_t>(r)], plain_argmax(logits.data() + r * stride, n_vocab)) << "row " << r;
}

TEST(CudaArgmax, TakesWhatTheGreedySamplerTakes) {
  SW_GPU_OR_SKIP();
  Gpu gpu;
  Rng rng(7);
  for (const int64_t n_vocab : {1, 5, 4095, 4096, 4097, 32000, 157184}) {
    for (const int64_t n_row : {1, 3, 64}) {
      const std::vector<float> logits = random_floats(rng, n_row * (n_vocab + 3));
      compare_argmax(gpu, logits, n_row, n_vocab);
      compare_argmax(gpu, logits, n_row, n_vocab);  // what the first one counted is gone
      if (HasFatalFailure()) return;
      gpu.clear();
    }
  }
}

TEST(CudaArgmax, TiesZerosAndWhatIsNoNumber) {
  SW_GPU_OR_SKIP();
  Gpu gpu;
  Rng rng(8);
  constexpr int64_t kVocab = 10000, kRows = 12;
  std::vector<float> logits(kRows * kVocab, -kInf);
  const auto at = [&](int64_t row, int64_t id) -> float& {
    return logits[static_cast<size_t>(row * kVocab + id)];
  };
  at(1, 9999) = -3.0f;                              // the only one that may be chosen
  at(2, 7000) = at(2, 8000) = at(2, 6999) = 1.5f;   // ties
  at(3, 9000) = 0.0f, at(3, 5000) = -0.0f;          // equal zeros
  at(4, 9000) = -0.0f, at(4, 5000) = -1e-45f;       // a denormal below them
  at(5, 0) = 3.0f, at(5, 8191) = kInf;              // infinite
  at(6, 8192) = kNan, at(6, 4096) = kNan;           // the lowest of them
  at(7, 100) = kNan, at(7, 99) = kInf;              // either kind
  at(8, 4000) = std::numeric_limits<float>::max();  // the largest float is a number
  at(9, 1) = -std::numeric_limits<float>::max();    // and so is the smallest
  for (int64_t row = 10; row < kRows; ++row) {      // few values, so that every block has a best one
    for (int64_t id = 0; id < kVocab; ++id) at(row, id) = static_cast<float>(rng.below(5));
  }
  compare_argmax(gpu, logits, kRows, kVocab);
}

}  // namespace
}  // namespace sw

#endif
