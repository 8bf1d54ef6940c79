// SPDX-License-Identifier: MIT
#include "kernels/self_check.h"

#include <cmath>
#include <span>

#include "base/rng.h"
#include "kernels/variants/all.h"
#include "kv/cache_type.h"

namespace sw {
namespace {

constexpr int64_t kIn = 512, kOut = 48, kToken = 5;
// 8-bit activations cost about 0.4 % of noise; f32 ones only rounding.
constexpr double kQuantizedBound = 0.02, kExactBound = 1e-5;

std::vector<float> random_values(Rng& rng, int64_t n) {
  std::vector<float> values(static_cast<size_t>(n));
  for (float& v : values) v = static_cast<float>(rng.uniform() + rng.uniform() + rng.uniform() - 1.5);
  return values;
}

double relative_error(std::span<const float> got, std::span<const float> expected) {
  double error = 0, power = 0;
  for (size_t i = 0; i < got.size(); ++i) {
    const double d = static_cast<double>(got[i]) - expected[i];
    error += d * d;
    power += static_cast<double>(expected[i]) * expected[i];
  }
  const double ratio = std::sqrt(error / power);
  return std::isnan(ratio) ? INFINITY : ratio;
}

std::vector<float> multiply(const MatmulKernel& kernel, Type type, const std::vector<std::byte>& weights,
                            const std::vector<float>& x) {
  const size_t act_bytes = kernel.act_bytes(kIn);
  std::vector<std::byte> acts(act_bytes * kToken);
  for (int64_t t = 0; t < kToken; ++t)
    kernel.pack(&x[static_cast<size_t>(t * kIn)], kIn, &acts[act_bytes * static_cast<size_t>(t)]);
  std::vector<float> out(kToken * kOut);
  const std::vector<std::byte> matrix = laid_out(kernel, {type, {kOut, kIn}, weights.data()});
  kernel.run({.weight = type,
              .n_in = kIn,
              .weights = matrix.data(),
              .row_begin = 0,
              .row_end = kOut,
              .acts = acts.data(),
              .n_token = kToken,
              .out = out.data(),
              .out_stride = kOut});
  return out;
}

void check_matmul(const MatmulKernel& kernel, Type type, std::vector<KernelCheck>& checks) {
  if (kernel.refuses({type, kIn})) return;
  KernelCheck check{.what = std::string(kernel.name) + " " + type_name(type),
                    .bound = kernel.act_bytes(kIn) < kIn * sizeof(float) ? kQuantizedBound : kExactBound};
  if (!cpu_has(kernel.isa)) {
    check.skipped = std::string("this CPU lacks ") + isa_name(kernel.isa);
  } else {
    Rng rng(1);
    const std::vector<float> values = random_values(rng, kIn * kOut), x = random_values(rng, kIn * kToken);
    std::vector<std::byte> weights(row_bytes(type, kIn) * kOut);
    encode_rows(type, values.data(), kOut, kIn, weights.data());
    check.error = relative_error(multiply(kernel, type, weights, x), multiply(ref_matmul, type, weights, x));
  }
  checks.push_back(std::move(check));
}

std::vector<float> attend(const VectorKernel& kernel, Type type, const std::vector<float>& data) {
  constexpr int64_t kHead = 64, kPage = 32, kPages = 3, kRows = kPage * kPages;
  const int32_t table[kPages] = {2, 0, 1};
  const size_t row_size = row_bytes(type, kHead);
  std::vector<std::byte> cache(row_size * 2 * kRows);
  encode_rows(type, data.data() + 2 * kHead, 2 * kRows, kHead, cache.data());
  const auto rows_from = [&](int64_t row) {
    return CachedHead{.data = cache.data() + row_size * static_cast<size_t>(row),
                      .type = type,
                      .page_stride_bytes = row_size * kPage,
                      .row_stride_bytes = row_size};
  };
  std::vector<float> out(2 * kHead), scores(2 * kPage);
  kernel.attend({.q = data.data(),
                 .q_stride = kHead,
                 .n_q = 2,
                 .head_dim = kHead,
                 .value_dim = kHead,
                 .k = rows_from(0),
                 .v = rows_from(kRows),
                 .block_table = table,
                 .page_tokens = kPage,
                 .n_kv = kRows - 5,
                 .scale = 0.125f,
                 .scores = scores.data(),
                 .out = out.data(),
                 .out_stride = kHead});
  return out;
}

void check_vector(const VectorKernel& kernel, std::vector<KernelCheck>& checks) {
  const auto add = [&](const std::string& what, auto&& compute) {
    KernelCheck check{.what = std::string(kernel.name) + " " + what, .bound = kExactBound};
    if (cpu_has(kernel.isa)) {
      check.error = relative_error(compute(kernel), compute(ref_vector));
    } else {
      check.skipped = std::string("this CPU lacks ") + isa_name(kernel.isa);
    }
    checks.push_back(std::move(check));
  };
  Rng rng(2);
  constexpr int64_t kN = 203;  // with a ragged end
  const std::vector<float> a = random_values(rng, kN), b = random_values(rng, kN),
                           cache = random_values(rng, 194 * 64);
  add("rms_norm", [&](const VectorKernel& k) {
    std::vector<float> out(kN);
    k.rms_norm(a.data(), b.data(), 1e-6f, kN, out.data());
    return out;
  });
  add("silu_mul", [&](const VectorKernel& k) {
    std::vector<float> out(kN);
    k.silu_mul(a.data(), b.data(), kN, out.data());
    return out;
  });
  add("add_scaled", [&](const VectorKernel& k) {
    std::vector<float> out = a;
    k.add_scaled(out.data(), 0.3f, b.data(), kN);
    return out;
  });
  for (const Type type : kCacheTypes) {
    add("attend " + cache_type_name(type), [&](const VectorKernel& k) { return attend(k, type, cache); });
  }
}

}  // namespace

std::vector<KernelCheck> check_kernels() {
  std::vector<KernelCheck> checks;
  for (const MatmulKernel* variant : {
#define SW_VARIANT(kernel, isa) &kernel,
#include "kernels/variants/matmul.inc"
#undef SW_VARIANT
       }) {
#define SW_TYPE(name, id) check_matmul(*variant, Type::name, checks);
#include "quant/types.inc"
#undef SW_TYPE
  }
  for (const VectorKernel* variant : {
#define SW_VARIANT(kernel, isa) &kernel,
#include "kernels/variants/vector.inc"
#undef SW_VARIANT
       }) {
    check_vector(*variant, checks);
  }
  return checks;
}

}  // namespace sw
