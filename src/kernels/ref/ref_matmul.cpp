// SPDX-License-Identifier: MIT
#include <cstring>
#include <vector>

#include "base/error.h"
#include "kernels/variants/all.h"

/// The reference: any format that can be decoded, activations as f32, sums in double from the first
/// element to the last. It decodes a whole row at a time, so it asks nothing of a format but that, and
/// allocates that row.
namespace sw {
namespace {

const char* refuses(const MatmulDesc&) { return nullptr; }

size_t act_bytes(int64_t n_in) { return (static_cast<size_t>(n_in) * sizeof(float) + 63) / 64 * 64; }

void pack(const float* x, int64_t n_in, std::byte* packed) {
  const size_t n_bytes = static_cast<size_t>(n_in) * sizeof(float);
  std::memcpy(packed, x, n_bytes);
  std::memset(packed + n_bytes, 0, act_bytes(n_in) - n_bytes);
}

float dot(const float* w, const float* x, int64_t n) {
  double sum = 0.0;
  for (int64_t i = 0; i < n; ++i) sum += static_cast<double>(w[i]) * static_cast<double>(x[i]);
  return static_cast<float>(sum);
}

void run(const MatmulArgs& a) {
  const TypeTraits& type = traits(a.weight);
  SW_ASSERT(a.n_in % type.block_elems == 0);
  const WeightView matrix{a.weight, {a.row_end, a.n_in}, a.weights};
  const size_t act_row_bytes = act_bytes(a.n_in);
  std::vector<float> row(static_cast<size_t>(a.n_in));
  for (int64_t r = a.row_begin; r < a.row_end; ++r) {
    type.decode(matrix.row(r), row.data(), a.n_in);
    for (int64_t t = 0; t < a.n_token; ++t) {
      const auto* x = reinterpret_cast<const float*>(a.act(t, act_row_bytes));
      a.out[t * a.out_stride + r] = dot(row.data(), x, a.n_in);
    }
  }
}

}  // namespace

const MatmulKernel ref_matmul = {.name = "ref_matmul",
                                 .isa = Isa::Scalar,
                                 .refuses = refuses,
                                 .act_bytes = act_bytes,
                                 .pack = pack,
                                 .run = run};

}  // namespace sw
