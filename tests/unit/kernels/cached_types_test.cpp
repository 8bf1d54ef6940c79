// SPDX-License-Identifier: MIT
// Attention over caches of every pair of types: what a token sees of itself and of others is what the cache
// kept.
#include <gtest/gtest.h>

#include "kernels/attention_parts.h"
#include "kv/cache_type.h"
#include "rig.h"
#include "support/closeness.h"

namespace sw {
namespace {
using namespace testing;

constexpr int kHeads = 4, kKvHeads = 2, kHead = 32;
constexpr int64_t kEmbd = kHeads * kHead, kPage = 4, kPages = 8, kToken = 11;

AttentionDesc random_attention(Rig& rig) {
  return {.n_head = kHeads,
          .n_head_kv = kKvHeads,
          .head_dim = kHead,
          .value_dim = kHead,
          .rms_eps = 1e-6f,
          .norm = rig.vector(kEmbd),
          .qkv = rig.linear(Type::F32, {(kHeads + 2 * kKvHeads) * kHead, kEmbd}),
          .rope = {.n_rot = kHead},
          .out = rig.linear(Type::F32, {kEmbd, kEmbd})};
}

/// Tokens of two sequences and a cache, of which pages that nobody has are full of NaN.
class PairOfTypes {
 public:
  PairOfTypes(Rig& rig, CacheType type)
      : type_(type),
        keys_(part_bytes(type.k), std::byte{0xff}),
        values_(part_bytes(type.v), std::byte{0xff}),
        x_(rig.values(kToken * kEmbd)),
        cos_(rig.values(kToken * kHead / 2)),
        sin_(rig.values(kToken * kHead / 2)) {}

  KvLayerView kv() {
    return {.k = keys_.data(),
            .v = values_.data(),
            .type = type_.k,
            .page_tokens = kPage,
            .page_stride_bytes = part_bytes(type_.k) / kPages,
            .head_stride_bytes = part_bytes(type_.k) / kPages / kKvHeads,
            .v_type = type_.v,
            .v_page_stride_bytes = part_bytes(type_.v) / kPages,
            .v_head_stride_bytes = part_bytes(type_.v) / kPages / kKvHeads};
  }
  /// The residual behind `op`, given at most `n_ubatch` of the first `n_token` tokens at a time.
  std::vector<float> run(Rig& rig, const BoundOp<AttentionDesc>& op, int64_t n_ubatch = kToken,
                         int64_t n_token = kToken) {
    std::vector<float> x = x_;
    for (int64_t t = 0; t < n_token; t += n_ubatch) {
      const int64_t n = std::min(n_ubatch, n_token - t);
      const TokenBatch batch{.n_token = n,
                             .pos = kPos + t,
                             .seq = kSeq + t,
                             .block_tables = kTables,
                             .rope_cos = cos_.data() + t * kHead / 2,
                             .rope_sin = sin_.data() + t * kHead / 2};
      OpContext context = rig.context(op, n);
      op({.batch = batch, .kv = kv(), .x = TensorView<float>(x.data() + t * kEmbd, n, kEmbd)}, context);
    }
    return x;
  }
  const std::vector<float>& before() const { return x_; }
  const std::vector<std::byte>& keys() const { return keys_; }
  const std::vector<std::byte>& values() const { return values_; }
  const int32_t* table(int64_t seq) const { return kTables[seq]; }

 private:
  static size_t part_bytes(Type type) { return kPages * kKvHeads * kPage * row_bytes(type, kHead); }

  static constexpr int32_t kSeq[kToken] = {0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1};
  static constexpr int32_t kPos[kToken] = {0, 1, 2, 3, 4, 0, 1, 2, 3, 4, 5};
  static constexpr int32_t kFirst[] = {5, 0}, kSecond[] = {3, 7};
  static constexpr const int32_t* kTables[] = {kFirst, kSecond};
  CacheType type_;
  std::vector<std::byte> keys_, values_;
  const std::vector<float>&x_, &cos_, &sin_;
};

template <class F>
void for_each_pair(F&& f) {
  for (const Type k : kCacheTypes) {
    for (const Type v : kCacheTypes) {
      SCOPED_TRACE(std::string(type_name(k)) + " " + type_name(v));
      f(CacheType{k, v});
    }
  }
}

/// With one token the softmax is 1 and attention gives its value: the one that was kept, not the one that was
/// computed.
TEST(CachedTypes, ATokenReadsItsOwnValueFromTheCache) {
  for_each_pair([](CacheType type) {
    Rig rig;
    AttentionDesc desc = random_attention(rig);
    std::vector<float>& identity = rig.values(kEmbd * kEmbd);
    for (size_t i = 0; i < identity.size(); ++i) identity[i] = i % (kEmbd + 1) == 0 ? 1.0f : 0.0f;
    desc.out.weight.data = reinterpret_cast<const std::byte*>(identity.data());
    for (const auto& op : variants_of(desc)) {
      SCOPED_TRACE(op.kernel->name);
      PairOfTypes tokens(rig, type);
      const std::vector<float> after = tokens.run(rig, op, 1, 1);
      for (int64_t head = 0; head < kHeads; ++head) {
        float value[kHead];
        traits(type.v).decode(kv_row(tokens.kv().values(), tokens.table(0), 0, head / 2, kHead), value,
                              kHead);
        for (int64_t i = 0; i < kHead; ++i) {
          const auto at = static_cast<size_t>(head * kHead + i);
          ASSERT_EQ(after[at], tokens.before()[at] + value[i]) << at;
        }
      }
    }
  });
}

TEST(CachedTypes, ATokenDoesNotDependOnHowItsTextIsCut) {
  for_each_pair([](CacheType type) {
    Rig rig;
    for (const auto& op : variants_of(random_attention(rig))) {
      SCOPED_TRACE(op.kernel->name);
      PairOfTypes whole(rig, type), pieces = whole;
      const std::vector<float> want = whole.run(rig, op);
      for (const int64_t n_ubatch : {1, 2, 5, 7}) {
        PairOfTypes cut = pieces;
        ASSERT_EQ(cut.run(rig, op, n_ubatch), want) << n_ubatch;
        ASSERT_EQ(cut.keys(), whole.keys());
        ASSERT_EQ(cut.values(), whole.values());
      }
    }
  });
}

/// Keys and values that differ in the last bit may be kept a step apart; few do.
TEST(CachedTypes, VariantsAgreeWithTheReference) {
  for_each_pair([](CacheType type) {
    Rig rig;
    const AttentionDesc desc = random_attention(rig);
    const auto reference = bind_op(desc, {.limit = Isa::Scalar, .references = true});
    PairOfTypes tokens(rig, type);
    const std::vector<float> want = PairOfTypes(tokens).run(rig, reference);
    for (const auto& op : variants_of(desc)) {
      SCOPED_TRACE(op.kernel->name);
      EXPECT_LE(relative_error(PairOfTypes(tokens).run(rig, op), want),
                type == CacheType(Type::F32) ? 2e-5 : 2e-3);
    }
    for (const float v : want) EXPECT_TRUE(std::isfinite(v));
  });
}

}  // namespace
}  // namespace sw
