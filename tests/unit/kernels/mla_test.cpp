// SPDX-License-Identifier: MIT
// Multi-head latent attention: both forms against the scalar reference and against each other.
#include "kernels/cpu/mla.h"

#include <gtest/gtest.h>
#include <numeric>

#include "base/error.h"
#include "kv/cache_type.h"
#include "random_data.h"
#include "rig.h"
#include "support/closeness.h"

namespace sw {
namespace {
using namespace testing;
using cpu::MlaForm;

constexpr int64_t kEmbd = 256, kPage = 16;

struct Sizes {
  int n_head = 3, nope_dim = 256, n_rot = 32, value_dim = 256, kv_rank = 256;
};

MlaDesc make_desc(Rig& rig, Type type, bool low_rank_queries, const Sizes& s = {}) {
  const int64_t q_rank = low_rank_queries ? 256 : kEmbd, q_dim = s.nope_dim + s.n_rot;
  MlaDesc d{.n_head = s.n_head,
            .nope_dim = s.nope_dim,
            .value_dim = s.value_dim,
            .kv_rank = s.kv_rank,
            .rope = {.n_rot = s.n_rot, .neighbours = low_rank_queries},
            .rms_eps = 1e-5f,
            .latent_eps = 1e-6f,
            .softmax_scale = 1.3f / std::sqrt(static_cast<float>(q_dim)),
            .norm = rig.vector(kEmbd),
            .q = rig.linear(type, {s.n_head * q_dim, q_rank}),
            .kv_a = rig.linear(type, {int64_t{s.kv_rank} + s.n_rot, kEmbd}),
            .kv_a_norm = rig.vector(s.kv_rank),
            .k_b = rig.linear(type, {s.n_head, s.kv_rank, s.nope_dim}),
            .v_b = rig.linear(type, {s.n_head, s.value_dim, s.kv_rank}),
            .out = rig.linear(type, {kEmbd, int64_t{s.n_head} * s.value_dim})};
  if (!low_rank_queries) return d;
  d.q_scale = 1.5f;
  d.latent_scale = 0.7f;
  d.q_a = rig.linear(type, {q_rank, kEmbd});
  d.q_a_norm = rig.vector(q_rank);
  return d;
}

/// Tokens of two sequences, the second in the middle of its cache, and a cache that holds what came before.
class LatentBatch {
 public:
  static constexpr int32_t kFirstPos = 290;  // three blocks of unfolded tokens
  static constexpr int64_t kPages = 24;

  LatentBatch(Rig& rig, const MlaDesc& d, Type type, int32_t n_first = 21, int32_t n_second = 19)
      : type_(type), row_dim_(d.latent_dim()), pages_(kPages) {
    for (int32_t i = 0; i < n_first; ++i) add(0, i);
    for (int32_t i = 0; i < n_second; ++i) add(1, kFirstPos + i);
    std::iota(pages_.begin(), pages_.end(), 0);
    std::reverse(pages_.begin(), pages_.end());
    tables_[0] = pages_.data();
    tables_[1] = pages_.data() + 2;
    const int64_t n = kPages * kPage * row_dim_;
    old_.resize(row_bytes(type, n));
    traits(type).encode(rig.values(n).data(), old_.data(), n, nullptr);
    cos_ = rig.values(n_token() * d.rope.n_pair());
    sin_ = rig.values(n_token() * d.rope.n_pair());
    x_ = rig.values(n_token() * kEmbd);
  }

  int64_t n_token() const { return std::ssize(seq_); }
  TokenBatch batch(int64_t first, int64_t n) const {
    const int64_t n_pair = std::ssize(cos_) / n_token();
    return {.n_token = n,
            .pos = pos_.data() + first,
            .seq = seq_.data() + first,
            .block_tables = tables_,
            .rope_cos = cos_.data() + first * n_pair,
            .rope_sin = sin_.data() + first * n_pair};
  }

  /// The residual after `call`, given at most `n_ubatch` tokens at a time.
  template <class Call>
  std::vector<float> run(Call&& call, int64_t n_ubatch = 1000) {
    std::vector<float> x = x_;
    cache = old_;
    const KvLayerView kv{.k = cache.data(),
                         .type = type_,
                         .page_tokens = kPage,
                         .page_stride_bytes = row_bytes(type_, row_dim_) * kPage};
    for (int64_t t = 0; t < n_token(); t += n_ubatch) {
      const int64_t n = std::min(n_ubatch, n_token() - t);
      const TokenBatch part = batch(t, n);
      call(MlaArgs{.batch = part, .kv = kv, .x = TensorView<float>(x.data() + t * kEmbd, n, kEmbd)});
    }
    return x;
  }

  std::vector<std::byte> cache = {};  ///< after the last run

 private:
  void add(int32_t seq, int32_t pos) {
    seq_.push_back(seq);
    pos_.push_back(pos);
  }

  Type type_;
  int64_t row_dim_;
  std::vector<int32_t> seq_ = {}, pos_ = {}, pages_;
  const int32_t* tables_[2] = {};
  std::vector<std::byte> old_ = {};
  std::vector<float> cos_ = {}, sin_ = {}, x_ = {};
};

class MlaTest : public ::testing::TestWithParam<Type> {};

TEST_P(MlaTest, BothFormsAndEveryVariantEqualTheReference) {
  const double bound = traits(GetParam()).quantized ? 0.02 : 2e-5;
  for (const bool low_rank : {false, true}) {
    for (const Type cache : kCacheTypes) {
      if (GetParam() != Type::F32 && cache != Type::F32 && cache != Type::F16) continue;
      Rig rig;
      const MlaDesc desc = make_desc(rig, GetParam(), low_rank);
      LatentBatch tokens(rig, desc, cache);
      const auto reference = bind_op(desc, kReference), fast = bind_op(desc, {.limit = isa_limit()});
      OpContext context = rig.context();
      const auto expected = tokens.run([&](const MlaArgs& args) { reference(args, context); });
      const auto in_form = [&](MlaForm form) {
        return tokens.run([&](const MlaArgs& args) {
          context.scratch.reset();
          cpu::run_mla(fast.desc, args, context, form);
        });
      };
      // A last step of the cache's type may differ in a few elements; that is not the forms' doing.
      const double of_cache = cache == Type::F32 ? 0 : cache == Type::F16 ? 2e-4 : 2e-3;
      EXPECT_LE(relative_error(in_form(MlaForm::Absorbed), expected), bound + of_cache);
      EXPECT_LE(relative_error(in_form(MlaForm::Expanded), expected), bound + of_cache);
      for (const auto& op : variants_of(desc)) {
        SCOPED_TRACE(op.kernel->name);
        OpContext poisoned = rig.context(op, tokens.n_token());
        EXPECT_LE(relative_error(tokens.run([&](const MlaArgs& args) { op(args, poisoned); }), expected),
                  bound + of_cache);
      }
    }
  }
}

std::vector<Type> types() {
  std::vector<Type> all;
  for (const Type type : kOpTypes) {
    if (kEmbd % traits(type).block_elems == 0) all.push_back(type);
  }
  return all;
}
INSTANTIATE_TEST_SUITE_P(Types, MlaTest, ::testing::ValuesIn(types()),
                         [](const auto& info) { return std::string(type_name(info.param)); });

/// Each form gives a token the same bits alone, among others and on any number of threads.
void expect_independent(MlaForm form, Type cache_type) {
  std::vector<float> expected;
  std::vector<std::byte> cache;
  for (const int n_thread : {1, 2, 5}) {
    for (const int64_t n_ubatch : {1000, 1, 7, 33}) {
      Rig rig(n_thread);
      const MlaDesc desc =
          make_desc(rig, Type::F32, true, {.n_head = 5, .nope_dim = 20, .n_rot = 36, .kv_rank = 28});
      LatentBatch tokens(rig, desc, cache_type);
      const auto op = bind_op(desc, {.limit = isa_limit()});
      OpContext context = rig.context();
      const std::vector<float> got = tokens.run(
          [&](const MlaArgs& args) {
            context.scratch.reset();
            cpu::run_mla(op.desc, args, context, form);
          },
          n_ubatch);
      if (expected.empty()) {
        expected = got;
        cache = tokens.cache;
      }
      ASSERT_EQ(got, expected) << n_thread << " threads, " << n_ubatch << " tokens";
      ASSERT_EQ(tokens.cache, cache);
    }
  }
}

TEST(Mla, ATokenDoesNotDependOnItsNeighbours) {
  for (const Type cache : kCacheTypes) {
    SCOPED_TRACE(type_name(cache));
    for (const MlaForm form : {MlaForm::Absorbed, MlaForm::Expanded}) expect_independent(form, cache);
  }
}

/// The sizes of DeepSeek-V3: single tokens are absorbed, prompts expanded, also where they follow a context.
TEST(Mla, TheCheaperFormIsTaken) {
  const MlaDesc desc{.n_head = 128, .nope_dim = 128, .value_dim = 128, .kv_rank = 512, .rope = {.n_rot = 64}};
  const auto form = [&](int32_t n_token, int32_t first_pos) {
    std::vector<int32_t> pos(static_cast<size_t>(n_token)), seq(pos.size(), 0);
    std::iota(pos.begin(), pos.end(), first_pos);
    return cpu::cheaper_form(desc, {.n_token = n_token, .pos = pos.data(), .seq = seq.data()});
  };
  EXPECT_EQ(form(1, 1000), MlaForm::Absorbed);
  EXPECT_EQ(form(8, 1000), MlaForm::Absorbed);
  EXPECT_EQ(form(100, 10000), MlaForm::Absorbed);
  EXPECT_EQ(form(63, 0), MlaForm::Absorbed) << "so short ones keep their bits";
  EXPECT_EQ(form(64, 0), MlaForm::Expanded);
  EXPECT_EQ(form(512, 0), MlaForm::Expanded);
  EXPECT_EQ(form(512, 4096), MlaForm::Expanded);
}

TEST(Mla, FoldedWeightsAreCountedOnceEachToken) {
  Rig rig;
  const MlaDesc desc = make_desc(rig, Type::F32, true);
  LatentBatch tokens(rig, desc, Type::F32, 1, 0);
  const auto op = bind_op(desc, {.limit = isa_limit()});
  OpContext context = rig.context();
  tokens.run([&](const MlaArgs& args) { op(args, context); });
  uint64_t bytes = 0;
  for (const Linear* linear : {&desc.q_a, &desc.q, &desc.kv_a, &desc.k_b, &desc.v_b, &desc.out})
    bytes += linear->weight.size_bytes();
  EXPECT_EQ(rig.counters.dense_bytes, bytes);
  EXPECT_EQ(rig.counters.dense_flops, bytes / sizeof(float) * 2);
}

TEST(Mla, RefusalsNameTheReason) {
  Rig rig;
  std::string why;
  MlaDesc desc = make_desc(rig, Type::F32, true);
  desc.k_b = {};
  const std::string reason = "the matrices of keys and values are missing";
  try {
    bind_op(desc, {.limit = isa_limit()});
    ADD_FAILURE() << "there is no such kernel";
  } catch (const Error& e) {
    EXPECT_EQ(e.what(),
              "no kernel can run this operation: mla (cpu_mla: " + reason + "; ref_mla: " + reason + ")");
  }
  EXPECT_STREQ(bind_op(make_desc(rig, Type::F32, true), kReference, &why).kernel->name, "ref_mla");
  EXPECT_NE(why.find("not cpu_mla: the references were asked for"), std::string::npos);
}

}  // namespace
}  // namespace sw
