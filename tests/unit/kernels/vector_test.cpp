// SPDX-License-Identifier: MIT
#include "kernels/vector.h"

#include <bit>
#include <gtest/gtest.h>

#include "base/math.h"
#include "kernels/variants/all.h"
#include "random_data.h"

namespace sw {
namespace {

using testing::random_floats;

constexpr uint32_t kPoison = 0x7fc12345u;
const int64_t kLengths[] = {1, 3, 7, 8, 9, 16, 31, 100, 2048, 2051};

class Vector : public ::testing::TestWithParam<const VectorKernel*> {
 protected:
  void SetUp() override {
    if (!cpu_has(GetParam()->isa)) GTEST_SKIP() << "this CPU lacks the instruction set";
  }
};

const VectorKernel* const kKernels[] = {
#define SW_VARIANT(name, isa) &name,
#include "kernels/variants/vector.inc"
#undef SW_VARIANT
};
INSTANTIATE_TEST_SUITE_P(All, Vector, ::testing::ValuesIn(kKernels),
                         [](const auto& test) { return std::string(test.param->name); });

/// A result buffer with poison behind it.
std::vector<float> poisoned(int64_t n) {
  return std::vector<float>(static_cast<size_t>(n) + 9, std::bit_cast<float>(kPoison));
}

void expect_poison_from(const std::vector<float>& v, int64_t begin) {
  for (auto i = static_cast<size_t>(begin); i < v.size(); ++i) {
    ASSERT_EQ(std::bit_cast<uint32_t>(v[i]), kPoison) << "element " << i << " was written";
  }
}

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

/// A paged cache of one key/value head whose pages lie scattered; all that no query may read is NaN.
struct Cache {
  int64_t n_q, head_dim, page_tokens, n_kv;
  Type type;
  size_t page_stride_bytes = 0;
  std::vector<std::byte> keys = {}, values = {};
  std::vector<int32_t> block_table = {};
  std::vector<float> q = {};
  int64_t q_stride = 0, out_stride = 0;
  int64_t first_kv = 0;
  std::vector<float> sinks = {};

  AttendArgs args(std::vector<float>& scores, std::vector<float>& out) const {
    return {.q = q.data(),
            .q_stride = q_stride,
            .n_q = n_q,
            .head_dim = head_dim,
            .value_dim = head_dim,
            .row_dim = head_dim,
            .cache_type = type,
            .k_cache = keys.data(),
            .v_cache = values.data(),
            .page_stride_bytes = page_stride_bytes,
            .block_table = block_table.data(),
            .page_tokens = page_tokens,
            .first_kv = first_kv,
            .n_kv = n_kv,
            .sinks = sinks.empty() ? nullptr : sinks.data(),
            .scale = 1.0f / std::sqrt(static_cast<float>(head_dim)),
            .scores = scores.data(),
            .out = out.data(),
            .out_stride = out_stride};
  }
  std::vector<float> attend(const VectorKernel& kernel) const {
    std::vector<float> scores = poisoned(n_q * page_tokens), out = poisoned(n_q * out_stride);
    kernel.attend(args(scores, out));
    expect_poison_from(scores, n_q * page_tokens);
    for (int64_t h = 0; h < n_q; ++h) {
      for (int64_t i = head_dim; i < out_stride; ++i) {
        EXPECT_EQ(std::bit_cast<uint32_t>(out[static_cast<size_t>(h * out_stride + i)]), kPoison);
      }
    }
    expect_poison_from(out, n_q * out_stride);
    return out;
  }
};

void write_row(Rng& rng, Type type, int64_t n, std::byte* dst) {
  traits(type).encode(random_floats(rng, n).data(), dst, n, nullptr);
}

Cache random_cache(Rng& rng, Type type, int64_t n_q, int64_t head_dim, int64_t page_tokens, int64_t n_kv) {
  Cache c{n_q, head_dim, page_tokens, n_kv, type};
  const int64_t n_page = (n_kv + page_tokens - 1) / page_tokens, n_in_all = 2 * n_page + 3;
  const size_t row = row_bytes(type, head_dim);
  c.page_stride_bytes = row * static_cast<size_t>(page_tokens) * 2;  // other heads lie between
  c.keys.assign(c.page_stride_bytes * static_cast<size_t>(n_in_all), std::byte{0xff});  // NaN in F16 and F32
  c.values = c.keys;
  for (int64_t i = 0; i < n_page; ++i) {
    c.block_table.push_back(static_cast<int32_t>(n_in_all - 2 - 2 * i));
    for (int64_t j = 0; j < std::min(page_tokens, n_kv - i * page_tokens); ++j) {
      const size_t at =
          static_cast<size_t>(c.block_table.back()) * c.page_stride_bytes + static_cast<size_t>(j) * row;
      write_row(rng, type, head_dim, c.keys.data() + at);
      write_row(rng, type, head_dim, c.values.data() + at);
    }
  }
  c.q_stride = head_dim + 5;
  c.out_stride = head_dim + 3;
  c.q = random_floats(rng, n_q * c.q_stride, 2.0f);
  return c;
}

TEST_P(Vector, AttendAgreesWithTheReference) {
  Rng rng(4);
  for (const Type type : {Type::F32, Type::F16}) {
    for (const int64_t head_dim : {1, 16, 21, 32, 64, 80, 128}) {
      for (const int64_t n_q : {1, 2, 4, 7, 19}) {
        for (const int64_t n_kv : {1, 15, 16, 17, 100}) {
          SCOPED_TRACE(std::string(type_name(type)) + " head_dim " + std::to_string(head_dim) + " n_q " +
                       std::to_string(n_q) + " n_kv " + std::to_string(n_kv));
          const Cache c = random_cache(rng, type, n_q, head_dim, 16, n_kv);
          const std::vector<float> got = c.attend(*GetParam()), want = c.attend(ref_vector);
          for (int64_t h = 0; h < n_q; ++h) {
            for (int64_t i = 0; i < head_dim; ++i) {
              const auto at = static_cast<size_t>(h * c.out_stride + i);
              ASSERT_NEAR(got[at], want[at], 2e-6f) << "query " << h << " dimension " << i;
            }
          }
        }
      }
    }
  }
}

TEST_P(Vector, AttendWithWindowAndSinksAgreesWithTheReference) {
  Rng rng(8);
  for (const int64_t first_kv : {0, 1, 15, 16, 40, 99}) {
    for (const bool sinks : {false, true}) {
      SCOPED_TRACE(std::to_string(first_kv) + (sinks ? " with sinks" : ""));
      Cache c = random_cache(rng, Type::F32, 19, 24, 16, 100);
      c.first_kv = first_kv;
      if (sinks) c.sinks = random_floats(rng, 19, 3.0f);
      for (int64_t j = 0; j < first_kv; ++j) {  // what is out of sight must not be read
        const size_t at =
            static_cast<size_t>(c.block_table[static_cast<size_t>(j / 16)]) * c.page_stride_bytes +
            static_cast<size_t>(j % 16) * row_bytes(Type::F32, 24);
        std::fill_n(c.keys.begin() + static_cast<std::ptrdiff_t>(at), 96, std::byte{0xff});
        std::fill_n(c.values.begin() + static_cast<std::ptrdiff_t>(at), 96, std::byte{0xff});
      }
      const std::vector<float> got = c.attend(*GetParam()), want = c.attend(ref_vector);
      for (int64_t h = 0; h < 19; ++h) {
        for (int64_t i = 0; i < 24; ++i) {
          const auto at = static_cast<size_t>(h * c.out_stride + i);
          ASSERT_NEAR(got[at], want[at], 2e-6f) << "query " << h << " dimension " << i;
        }
      }
    }
  }
}

TEST_P(Vector, AttendToOneTokenGivesItsValue) {
  Rng rng(5);
  const Cache c = random_cache(rng, Type::F32, 3, 24, 8, 1);
  const std::vector<float> out = c.attend(*GetParam());
  const auto* value = reinterpret_cast<const float*>(c.values.data() + static_cast<size_t>(c.block_table[0]) *
                                                                           c.page_stride_bytes);
  for (size_t h = 0; h < 3; ++h) {
    for (size_t i = 0; i < 24; ++i) EXPECT_EQ(out[h * 27 + i], value[i]);
  }
}

TEST_P(Vector, AttendToAQueryDoesNotDependOnTheOthers) {
  Rng rng(6);
  for (const Type type : {Type::F32, Type::F16}) {
    const Cache all = random_cache(rng, type, 23, 44, 16, 75);
    const std::vector<float> want = all.attend(*GetParam());
    for (int64_t first = 0; first < 23; ++first) {
      for (int64_t n = 1; n <= 23 - first; ++n) {
        Cache some = all;
        some.n_q = n;
        some.q.assign(all.q.begin() + first * all.q_stride, all.q.end());
        const std::vector<float> got = some.attend(*GetParam());
        for (int64_t i = 0; i < n * all.out_stride; ++i) {
          ASSERT_EQ(std::bit_cast<uint32_t>(got[static_cast<size_t>(i)]),
                    std::bit_cast<uint32_t>(want[static_cast<size_t>(first * all.out_stride + i)]));
        }
      }
    }
  }
}

/// The same tokens in several calls, and keys and values that share rows.
TEST_P(Vector, AttendGoesOnFromWhatItCarries) {
  Rng rng(8);
  constexpr int64_t kQ = 6, kHead = 24, kTokens = 75, kPage = 16;
  const Cache c = random_cache(rng, Type::F32, kQ, kHead, kPage, kTokens);
  const auto out_row = static_cast<size_t>(c.out_stride);
  for (const int64_t value_dim : {int64_t{17}, kHead}) {
    std::vector<float> scores(kQ * kPage), whole(kQ * out_row), parts(kQ * out_row);
    AttendArgs args = c.args(scores, whole);
    args.value_dim = value_dim;
    GetParam()->attend(args);
    std::vector<float> max(kQ, -INFINITY), sum(kQ, 0.0f);
    args.out = parts.data();
    args.carried_max = max.data();
    args.carried_sum = sum.data();
    for (const auto& [first, end] : {std::pair{0, 33}, {33, 34}, {34, 64}, {64, 75}}) {
      args.first_kv = first;
      args.n_kv = end;
      GetParam()->attend(args);
    }
    for (size_t h = 0; h < kQ; ++h) {
      for (size_t i = 0; i < static_cast<size_t>(value_dim); ++i)
        ASSERT_NEAR(parts[h * out_row + i] / sum[h], whole[h * out_row + i], 2e-6f);
      EXPECT_EQ(parts[h * out_row + static_cast<size_t>(value_dim)], 0.0f) << "beyond the values";
    }
  }
}

// The largest score comes last, and lies so far above the others that they must vanish.
TEST_P(Vector, AttendRescalesWhatCameBefore) {
  Rng rng(7);
  Cache c = random_cache(rng, Type::F32, 5, 16, 4, 18);
  std::fill(c.q.begin(), c.q.end(), 30.0f);
  const size_t last = static_cast<size_t>(c.block_table[4]) * c.page_stride_bytes + 16 * sizeof(float);
  auto* key = reinterpret_cast<float*>(c.keys.data() + last);
  std::fill_n(key, 16, 40.0f);
  const auto* value = reinterpret_cast<const float*>(c.values.data() + last);
  const std::vector<float> out = c.attend(*GetParam());
  for (size_t h = 0; h < 5; ++h) {
    for (size_t i = 0; i < 16; ++i) EXPECT_EQ(out[h * 19 + i], value[i]);
  }
}

}  // namespace
}  // namespace sw
