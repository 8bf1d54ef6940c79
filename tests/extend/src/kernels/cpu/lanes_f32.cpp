// SPDX-License-Identifier: MIT
#include <algorithm>
#include <cstring>

#include "kernels/variants/all.h"

/// F32 weights on any processor: eight partial sums that a compiler can keep in one register.
namespace sw {
namespace {

constexpr int64_t kLanes = 8;

const char* refuses(const MatmulDesc& desc) {
  return desc.weight == Type::F32 ? nullptr : "only F32 weights";
}

size_t act_bytes(int64_t n_in) { return (static_cast<size_t>(n_in) * sizeof(float) + 63) / 64 * 64; }

void pack(const float* x, int64_t n_in, std::byte* packed) {
  std::memcpy(packed, x, static_cast<size_t>(n_in) * sizeof(float));
}

float dot(const float* w, const float* x, int64_t n) {
  float sums[kLanes] = {};
  for (int64_t i = 0; i < n; i += kLanes) {
    const int64_t n_lane = std::min(kLanes, n - i);
    for (int64_t lane = 0; lane < n_lane; ++lane) sums[lane] += w[i + lane] * x[i + lane];
  }
  float total = 0.0f;
  for (const float sum : sums) total += sum;
  return total;
}

void run(const MatmulArgs& a) {
  const auto* weights = reinterpret_cast<const float*>(a.weights);
  for (int64_t t = 0; t < a.n_token; ++t) {
    const int64_t row = a.act_rows ? a.act_rows[t] : t;
    const auto* x = reinterpret_cast<const float*>(a.acts + act_bytes(a.n_in) * static_cast<size_t>(row));
    for (int64_t r = a.row_begin; r < a.row_end; ++r) {
      a.out[t * a.out_stride + r] = dot(weights + r * a.n_in, x, a.n_in);
    }
  }
}

}  // namespace

const MatmulKernel lanes_f32 = {.name = "lanes_f32",
                                .isa = Isa::Scalar,
                                .refuses = refuses,
                                .act_bytes = act_bytes,
                                .pack = pack,
                                .run = run};

}  // namespace sw
