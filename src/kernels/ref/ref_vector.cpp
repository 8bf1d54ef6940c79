// SPDX-License-Identifier: MIT
#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "base/math.h"
#include "kernels/variants/all.h"

/// The reference of the element-wise and attention kernels: plain loops, sums in double.
namespace sw {
namespace {

void rms_norm(const float* x, const float* weight, float eps, int64_t n, float* out) {
  double sum = 0.0;
  for (int64_t i = 0; i < n; ++i) sum += static_cast<double>(x[i]) * static_cast<double>(x[i]);
  const double mean = sum / static_cast<double>(n);
  const float scale = static_cast<float>(1.0 / std::sqrt(mean + static_cast<double>(eps)));
  for (int64_t i = 0; i < n; ++i) out[i] = x[i] * scale * weight[i];
}

void silu_mul(const float* gate, const float* up, int64_t n, float* out) {
  for (int64_t i = 0; i < n; ++i) out[i] = silu_exact(gate[i]) * up[i];
}

void add_scaled(float* acc, float weight, const float* x, int64_t n) {
  for (int64_t i = 0; i < n; ++i) acc[i] += weight * x[i];
}

/// The first `n` elements of the cached row of visible token `j`, as f32 in `out`.
const float* cached(const AttendArgs& a, const CachedHead& rows, int64_t j, int64_t n,
                    std::vector<float>& out) {
  const auto page = static_cast<size_t>(a.block_table[j / a.page_tokens]);
  const auto row = static_cast<size_t>(j % a.page_tokens);
  const int64_t block = traits(rows.type).block_elems, n_whole = (n + block - 1) / block * block;
  out.resize(static_cast<size_t>(n_whole));
  traits(rows.type).decode(rows.data + page * rows.page_stride_bytes + row * rows.row_stride_bytes,
                           out.data(), n_whole);
  return out.data();
}

double score(const AttendArgs& a, const float* q, int64_t j, std::vector<float>& row) {
  const float* k = cached(a, a.k, j, a.head_dim, row);
  double sum = 0.0;
  for (int64_t i = 0; i < a.head_dim; ++i) sum += static_cast<double>(q[i]) * static_cast<double>(k[i]);
  return sum * static_cast<double>(a.scale);
}

/// Two passes over the keys, so that the scratch need not hold a score for each of them.
void attend(const AttendArgs& a) {
  std::vector<float> row;
  for (int64_t h = 0; h < a.n_q; ++h) {
    const float* q = a.q + h * a.q_stride;
    float* out = a.out + h * a.out_stride;
    const double sink = a.sinks ? static_cast<double>(a.sinks[h]) : -std::numeric_limits<double>::infinity();
    const double before = a.carried_max ? static_cast<double>(a.carried_max[h]) : sink;
    double max = before;
    for (int64_t j = a.first_kv; j < a.n_kv; ++j) max = std::max(max, score(a, q, j, row));
    const double kept = std::exp(before - max);
    double sum = a.carried_max ? kept * static_cast<double>(a.carried_sum[h]) : kept;
    for (int64_t i = 0; i < a.value_dim; ++i)
      out[i] = a.carried_max ? static_cast<float>(kept * static_cast<double>(out[i])) : 0.0f;
    for (int64_t j = a.first_kv; j < a.n_kv; ++j) {
      const double p = std::exp(score(a, q, j, row) - max);
      const float* v = cached(a, a.v, j, a.value_dim, row);
      sum += p;
      for (int64_t i = 0; i < a.value_dim; ++i) out[i] += static_cast<float>(p * static_cast<double>(v[i]));
    }
    if (a.carried_max) {
      a.carried_max[h] = static_cast<float>(max);
      a.carried_sum[h] = static_cast<float>(sum);
      continue;
    }
    for (int64_t i = 0; i < a.value_dim; ++i) out[i] = static_cast<float>(static_cast<double>(out[i]) / sum);
  }
}

}  // namespace

const VectorKernel ref_vector = {.name = "ref_vector",
                                 .isa = Isa::Scalar,
                                 .rms_norm = rms_norm,
                                 .silu_mul = silu_mul,
                                 .add_scaled = add_scaled,
                                 .attend = attend};

}  // namespace sw
