// SPDX-License-Identifier: MIT
// Attention over a paged cache of every pair of types.
#include <cmath>
#include <cstring>

#include "kv/cache_type.h"
#include "random_data.h"
#include "vector_case.h"

namespace sw {
namespace {

using namespace testing;

class Attend : public VectorVariant {};
INSTANTIATE_TEST_SUITE_P(All, Attend, ::testing::ValuesIn(kVectorVariants), variant_name);

/// A paged cache of one key/value head whose pages lie scattered; all that no query may read is NaN.
struct Cache {
  int64_t n_q, head_dim, page_tokens, n_kv;
  /// One of the two sides.
  struct Side {
    Type type;
    size_t row_bytes = 0, page_stride_bytes = 0;
    std::vector<std::byte> bytes = {};

    CachedHead head() const { return {bytes.data(), type, page_stride_bytes, row_bytes}; }
    /// The row of token j of page `page`.
    std::byte* row(int32_t page, int64_t j) {
      return bytes.data() + static_cast<size_t>(page) * page_stride_bytes +
             static_cast<size_t>(j) * row_bytes;
    }
  };
  Side keys, values;
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
            .k = keys.head(),
            .v = values.head(),
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

Cache random_cache(Rng& rng, CacheType type, int64_t n_q, int64_t head_dim, int64_t page_tokens,
                   int64_t n_kv) {
  Cache c{.n_q = n_q,
          .head_dim = head_dim,
          .page_tokens = page_tokens,
          .n_kv = n_kv,
          .keys = {.type = type.k},
          .values = {.type = type.v}};
  const int64_t n_page = (n_kv + page_tokens - 1) / page_tokens, n_in_all = 2 * n_page + 3;
  for (int64_t i = 0; i < n_page; ++i) c.block_table.push_back(static_cast<int32_t>(n_in_all - 2 - 2 * i));
  for (Cache::Side* side : {&c.keys, &c.values}) {
    side->row_bytes = row_bytes(side->type, head_dim);
    side->page_stride_bytes =
        side->row_bytes * static_cast<size_t>(page_tokens) * 2;  // other heads lie between
    // NaN in plain formats, and factors of NaN in blocks.
    side->bytes.assign(side->page_stride_bytes * static_cast<size_t>(n_in_all), std::byte{0xff});
    for (int64_t j = 0; j < n_kv; ++j) {
      const int32_t page = c.block_table[static_cast<size_t>(j / page_tokens)];
      write_row(rng, side->type, head_dim, side->row(page, j % page_tokens));
    }
  }
  c.q_stride = head_dim + 5;
  c.out_stride = head_dim + 3;
  c.q = random_floats(rng, n_q * c.q_stride, 2.0f);
  return c;
}

TEST_P(Attend, AgreesWithTheReference) {
  Rng rng(4);
  for (const Type type : kCacheTypes) {
    for (const int64_t head_dim : {1, 16, 21, 32, 64, 80, 128}) {
      if (!can_cache(type, head_dim)) continue;
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

/// The same cache as f32: what its formats say.
Cache decoded(Cache c) {
  for (Cache::Side* side : {&c.keys, &c.values}) {
    Cache::Side plain{.type = Type::F32,
                      .row_bytes = static_cast<size_t>(c.head_dim) * sizeof(float),
                      .page_stride_bytes = static_cast<size_t>(c.head_dim * c.page_tokens) * sizeof(float)};
    plain.bytes.assign(side->bytes.size() / side->page_stride_bytes * plain.page_stride_bytes,
                       std::byte{0xff});
    for (int64_t j = 0; j < c.n_kv; ++j) {
      const int32_t page = c.block_table[static_cast<size_t>(j / c.page_tokens)];
      traits(side->type)
          .decode(side->row(page, j % c.page_tokens),
                  reinterpret_cast<float*>(plain.row(page, j % c.page_tokens)), c.head_dim);
    }
    *side = std::move(plain);
  }
  return c;
}

/// Every pair of types, with whole tiles of queries, keys and dimensions and what is left over: to the bit
/// what the same kernel makes of the decoded values, which AgreesWithTheReference compares.
TEST_P(Attend, ToEveryPairOfTypesReadsWhatTheFormatsSay) {
  Rng rng(9);
  for (const Type k : kCacheTypes) {
    for (const Type v : kCacheTypes) {
      for (const int64_t head_dim : {32, 96, 128}) {
        for (const auto& [n_q, n_kv] : {std::pair{1, 1}, {5, 39}, {18, 64}}) {
          SCOPED_TRACE(std::string(type_name(k)) + " " + type_name(v) + " head_dim " +
                       std::to_string(head_dim) + " n_q " + std::to_string(n_q));
          Cache c = random_cache(rng, {k, v}, n_q, head_dim, 16, n_kv);
          c.first_kv = n_kv / 5;
          c.sinks = random_floats(rng, n_q, 3.0f);
          const std::vector<float> got = c.attend(*GetParam()), want = decoded(c).attend(*GetParam());
          ASSERT_EQ(std::memcmp(got.data(), want.data(), got.size() * sizeof(float)), 0);
        }
      }
    }
  }
}

/// Zeros, rows whose factors are subnormal or nothing, large ones.
TEST_P(Attend, ReadsTheExtremesOfEveryType) {
  constexpr int64_t kHead = 64, kTokens = 5;
  for (const Type type : kCacheTypes) {
    SCOPED_TRACE(type_name(type));
    Rng rng(10);
    Cache c = random_cache(rng, type, 3, kHead, 16, kTokens);
    for (auto& q : c.q) q *= 1e-6f;
    for (int64_t j = 0; j < kTokens; ++j) {
      const float scale = std::vector<float>{0.0f, 1e-7f, 1e4f, 3e-5f, 1.0f}[static_cast<size_t>(j)];
      std::vector<float> row = random_floats(rng, kHead, scale);
      for (Cache::Side* side : {&c.keys, &c.values})
        traits(type).encode(row.data(), side->row(c.block_table[0], j), kHead, nullptr);
    }
    const std::vector<float> got = c.attend(*GetParam()), want = decoded(c).attend(*GetParam());
    ASSERT_EQ(std::memcmp(got.data(), want.data(), got.size() * sizeof(float)), 0);
    for (int64_t h = 0; h < c.n_q; ++h) {
      for (int64_t i = 0; i < kHead; ++i)
        EXPECT_TRUE(std::isfinite(got[static_cast<size_t>(h * c.out_stride + i)]));
    }
  }
}

/// Against a plain calculation in double over the codec's own values, for one query.
TEST_P(Attend, AgreesWithACalculationByHand) {
  constexpr int64_t kHead = 32, kTokens = 21, kPage = 16;
  for (const Type k : kCacheTypes) {
    for (const Type v : kCacheTypes) {
      SCOPED_TRACE(std::string(type_name(k)) + " " + type_name(v));
      Rng rng(11);
      Cache c = random_cache(rng, {k, v}, 1, kHead, kPage, kTokens);
      std::vector<double> sum(kHead, 0.0);
      double total = 0;
      for (int64_t j = 0; j < kTokens; ++j) {
        float key[kHead], value[kHead];
        const int32_t page = c.block_table[static_cast<size_t>(j / kPage)];
        traits(k).decode(c.keys.row(page, j % kPage), key, kHead);
        traits(v).decode(c.values.row(page, j % kPage), value, kHead);
        double score = 0;
        for (int64_t i = 0; i < kHead; ++i)
          score += static_cast<double>(c.q[static_cast<size_t>(i)]) * key[i];
        const double weight = std::exp(score / std::sqrt(static_cast<double>(kHead)));
        total += weight;
        for (size_t i = 0; i < kHead; ++i) sum[i] += weight * value[i];
      }
      const std::vector<float> got = c.attend(*GetParam());
      for (size_t i = 0; i < kHead; ++i) EXPECT_NEAR(static_cast<double>(got[i]), sum[i] / total, 2e-6);
    }
  }
}

/// Latents: keys and values share rows, of which values are the first part, be it no whole number of blocks.
TEST_P(Attend, ToThePartOfARow) {
  Rng rng(12);
  constexpr int64_t kHead = 64, kQ = 6;
  for (const Type type : kCacheTypes) {
    for (const int64_t value_dim : {3, 32, 44, 56, 61}) {
      SCOPED_TRACE(std::string(type_name(type)) + " " + std::to_string(value_dim));
      Cache c = random_cache(rng, type, kQ, kHead, 16, 39), plain = decoded(c);
      const auto attend = [&](const Cache& cache) {
        std::vector<float> scores(kQ * 16), out = poisoned(kQ * kHead);
        AttendArgs args = cache.args(scores, out);
        args.v = args.k;
        args.value_dim = value_dim;
        args.out_stride = kHead;
        GetParam()->attend(args);
        for (int64_t i = 0; i < kQ * kHead; ++i) {
          const bool behind = i % kHead >= value_dim;
          EXPECT_TRUE(!behind || std::bit_cast<uint32_t>(out[static_cast<size_t>(i)]) == kPoison) << i;
        }
        return out;
      };
      const std::vector<float> got = attend(c), want = attend(plain);
      ASSERT_EQ(std::memcmp(got.data(), want.data(), got.size() * sizeof(float)), 0);
    }
  }
}

TEST_P(Attend, WithWindowAndSinksAgreesWithTheReference) {
  Rng rng(8);
  for (const int64_t first_kv : {0, 1, 15, 16, 40, 99}) {
    for (const bool sinks : {false, true}) {
      SCOPED_TRACE(std::to_string(first_kv) + (sinks ? " with sinks" : ""));
      Cache c = random_cache(rng, Type::F32, 19, 24, 16, 100);
      c.first_kv = first_kv;
      if (sinks) c.sinks = random_floats(rng, 19, 3.0f);
      for (int64_t j = 0; j < first_kv; ++j) {  // what is out of sight must not be read
        const int32_t page = c.block_table[static_cast<size_t>(j / 16)];
        for (Cache::Side* side : {&c.keys, &c.values})
          std::fill_n(side->row(page, j % 16), side->row_bytes, std::byte{0xff});
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

TEST_P(Attend, ToOneTokenGivesItsValue) {
  Rng rng(5);
  Cache c = random_cache(rng, Type::F32, 3, 24, 8, 1);
  const std::vector<float> out = c.attend(*GetParam());
  const auto* value = reinterpret_cast<const float*>(c.values.row(c.block_table[0], 0));
  for (size_t h = 0; h < 3; ++h) {
    for (size_t i = 0; i < 24; ++i) EXPECT_EQ(out[h * 27 + i], value[i]);
  }
}

TEST_P(Attend, ToAQueryDoesNotDependOnTheOthers) {
  Rng rng(6);
  for (const Type type : kCacheTypes) {
    const Cache all = random_cache(rng, type, 23, can_cache(type, 44) ? 44 : 64, 16, 75);
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
TEST_P(Attend, GoesOnFromWhatItCarries) {
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
TEST_P(Attend, RescalesWhatCameBefore) {
  Rng rng(7);
  Cache c = random_cache(rng, Type::F32, 5, 16, 4, 18);
  std::fill(c.q.begin(), c.q.end(), 30.0f);
  auto* key = reinterpret_cast<float*>(c.keys.row(c.block_table[4], 1));
  std::fill_n(key, 16, 40.0f);
  const auto* value = reinterpret_cast<const float*>(c.values.row(c.block_table[4], 1));
  const std::vector<float> out = c.attend(*GetParam());
  for (size_t h = 0; h < 5; ++h) {
    for (size_t i = 0; i < 16; ++i) EXPECT_EQ(out[h * 19 + i], value[i]);
  }
}

}  // namespace
}  // namespace sw
