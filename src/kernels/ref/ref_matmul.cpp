// SPDX-License-Identifier: MIT
#include <algorithm>
#include <cstring>

#include "base/error.h"
#include "kernels/variants/all.h"

/// The reference: any format that can be decoded, activations as f32, sums in double from the first
/// element to the last. Decodes each block of weights once for kTokenTile tokens, else it is naive.
namespace sw {
namespace {

constexpr int64_t kChunk = 256;  ///< elements decoded at once, a multiple of every format's block
constexpr int64_t kTokenTile = 16;

const char* refuses(const MatmulDesc&) { return nullptr; }

size_t act_bytes(int64_t n_in) { return (static_cast<size_t>(n_in) * sizeof(float) + 63) / 64 * 64; }

void pack(const float* x, int64_t n_in, std::byte* packed) {
  const size_t n_bytes = static_cast<size_t>(n_in) * sizeof(float);
  std::memcpy(packed, x, n_bytes);
  std::memset(packed + n_bytes, 0, act_bytes(n_in) - n_bytes);
}

/// Row `r` times the tokens [begin, end), at most kTokenTile of them.
void run_row(const MatmulArgs& a, const TypeTraits& type, int64_t r, int64_t begin, int64_t end) {
  const std::byte* row = a.weights + row_bytes(a.weight, a.n_in) * static_cast<size_t>(r);
  double sums[kTokenTile] = {};
  for (int64_t i = 0; i < a.n_in; i += kChunk) {
    const int64_t n = std::min(kChunk, a.n_in - i);
    float weights[kChunk];
    type.decode(row + row_bytes(a.weight, i), weights, n);
    for (int64_t t = begin; t < end; ++t) {
      const float* x = reinterpret_cast<const float*>(a.act(t, act_bytes(a.n_in))) + i;
      double& sum = sums[t - begin];
      for (int64_t j = 0; j < n; ++j) sum += static_cast<double>(weights[j]) * static_cast<double>(x[j]);
    }
  }
  for (int64_t t = begin; t < end; ++t) a.out[t * a.out_stride + r] = static_cast<float>(sums[t - begin]);
}

void run(const MatmulArgs& a) {
  const TypeTraits& type = traits(a.weight);
  SW_ASSERT(kChunk % type.block_elems == 0 && a.n_in % type.block_elems == 0);
  for (int64_t r = a.row_begin; r < a.row_end; ++r) {
    for (int64_t t = 0; t < a.n_token; t += kTokenTile) {
      run_row(a, type, r, t, std::min(t + kTokenTile, a.n_token));
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
