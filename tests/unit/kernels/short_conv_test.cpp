// SPDX-License-Identifier: MIT
// Every variant of the short convolution that the CPU can run: against the reference, and against itself with
// the same texts in other batches.
#include <cstring>
#include <gtest/gtest.h>

#include "base/error.h"
#include "rig.h"
#include "support/closeness.h"

namespace sw {
namespace {
using namespace testing;

struct Case {
  Type type;
  int64_t n_embd;
  int n_tap;
  bool biases;
};

constexpr Case kCases[] = {{Type::F32, 77, 3, false},
                           {Type::F32, 40, 2, true},
                           {Type::F16, 33, 5, true},
                           {Type::Q8_0, 96, 3, true},
                           {Type::Q4_K, 256, 4, false}};

ShortConvDesc describe(Rig& rig, const Case& s) {
  const auto bias = [&](int64_t n) { return s.biases ? rig.vector(n) : Values{}; };
  return {.norm = rig.vector(s.n_embd),
          .rms_eps = 1e-5f,
          .in = rig.linear(s.type, {3 * s.n_embd, s.n_embd}),
          .in_bias = bias(3 * s.n_embd),
          .taps = rig.vector(s.n_embd * s.n_tap),
          .bias = bias(s.n_embd),
          .out = rig.linear(s.type, {s.n_embd, s.n_embd}),
          .out_bias = bias(s.n_embd)};
}

/// Neighbouring tokens of a sequence, of which the last stores its state, and others as they are told.
struct Tokens {
  std::vector<int32_t> seq = {}, pos = {}, from = {}, to = {};

  TokenBatch batch() const {
    return {.n_token = std::ssize(seq),
            .pos = pos.data(),
            .seq = seq.data(),
            .state_from = from.data(),
            .state_to = to.data()};
  }
};

constexpr int64_t kPages = 16;

/// Pages of states, with room between them, all random.
struct States {
  States(Rig& rig, const ShortConvDesc& d)
      : n_float((d.n_tap() - 1) * d.n_embd()),
        stride((n_float + 15) / 16 * 16 + 16),
        values(rig.values(kPages * stride)) {}
  StateView view() { return {values.data(), stride}; }
  /// Of a page.
  std::vector<float> state(int64_t page) const {
    const auto begin = values.begin() + page * stride;
    return {begin, begin + n_float};
  }

  int64_t n_float, stride;
  std::vector<float> values;
};

std::vector<float> run(Rig& rig, const BoundOp<ShortConvDesc>& op, const Tokens& tokens, States& states,
                       std::vector<float> x) {
  const TokenBatch batch = tokens.batch();
  OpContext context = rig.context(op, batch.n_token);
  op({.batch = batch, .states = states.view(), .x = {x.data(), batch.n_token, op.desc.n_embd()}}, context);
  return x;
}

/// Empty; one token with and without a past; several sequences, one of them in two runs, more tokens than
/// taps and fewer, states kept in between.
const std::vector<Tokens> kBatches = {
    {},
    {.seq = {0}, .pos = {0}, .from = {-1}, .to = {3}},
    {.seq = {0}, .pos = {9}, .from = {2}, .to = {-1}},
    {.seq = {0, 0, 0, 1, 2, 2, 0, 0, 2, 3},
     .pos = {0, 1, 2, 40, 7, 8, 3, 4, 9, 0},
     .from = {-1, 1, 4, -1},
     .to = {-1, 5, -1, 6, 7, -1, -1, 8, 9, 10}},
};

TEST(ShortConv, EveryVariantIsNearTheReference) {
  Rig rig;
  for (const Case& shape : kCases) {
    const ShortConvDesc desc = describe(rig, shape);
    const double bound = traits(shape.type).quantized ? 0.02 : 2e-5;
    for (const Tokens& tokens : kBatches) {
      const std::vector<float> x = rig.values(std::ssize(tokens.seq) * shape.n_embd);
      const States before(rig, desc);
      States expected = before;
      const auto variants = variants_of(desc);
      EXPECT_GE(variants.size(), 2u);
      const std::vector<float> want = run(rig, variants[0], tokens, expected, x);
      for (const auto& op : variants) {
        SCOPED_TRACE(std::string(op.kernel->name) + ", " + std::to_string(tokens.seq.size()) + " tokens");
        States states = before;
        EXPECT_LE(relative_error(run(rig, op, tokens, states, x), want), bound);
        for (int64_t page = 0; page < kPages; ++page) {
          const bool stored = std::ranges::find(tokens.to, page) != tokens.to.end();
          EXPECT_LE(relative_error(states.state(page), expected.state(page)), stored ? bound : 0) << page;
          EXPECT_EQ(states.state(page) == before.state(page), !stored) << page;
        }
      }
    }
  }
}

/// A text of 12 tokens in one pass, and in two with each token in turn as the first of the second.
TEST(ShortConv, ACutChangesNoBit) {
  constexpr int64_t kToken = 12;
  Rig rig;
  for (const Case& shape : kCases) {
    const ShortConvDesc desc = describe(rig, shape);
    const std::vector<float> x = rig.values(kToken * shape.n_embd);
    States states(rig, desc);
    for (const auto& op : variants_of(desc)) {
      SCOPED_TRACE(op.kernel->name);
      const auto part = [&](int64_t begin, int64_t end, int32_t from, int32_t to) {
        Tokens tokens{.from = {from}};
        for (int64_t t = begin; t < end; ++t) {
          tokens.seq.push_back(0);
          tokens.pos.push_back(static_cast<int32_t>(t));
          tokens.to.push_back(t + 1 == end ? to : -1);
        }
        return run(rig, op, tokens, states,
                   {x.begin() + begin * shape.n_embd, x.begin() + end * shape.n_embd});
      };
      const std::vector<float> whole = part(0, kToken, -1, 1);
      const std::vector<float> end = states.state(1);
      for (int64_t cut = 1; cut < kToken; ++cut) {
        std::vector<float> parts = part(0, cut, -1, 2);
        const std::vector<float> rest = part(cut, kToken, 2, 3);
        parts.insert(parts.end(), rest.begin(), rest.end());
        EXPECT_EQ(std::memcmp(parts.data(), whole.data(), whole.size() * sizeof(float)), 0) << cut;
        EXPECT_EQ(states.state(3), end) << cut;
      }
    }
  }
}

/// By hand: one channel, three taps, everything else the identity or one.
TEST(ShortConv, IsTheSumOfItsTaps) {
  Rig rig;
  const std::vector<float> in = {1, 1, 1}, one = {1}, taps = {100, 10, 1};
  const auto matrix = [](const std::vector<float>& v) {
    return Linear{
        .weight = {Type::F32, {std::ssize(v), 1}, reinterpret_cast<const std::byte*>(v.data()), {}}};
  };
  // The norm of one number is its sign: b = c = v = u = 1 or -1 each, u = 1.
  const ShortConvDesc desc{
      .norm = {one.data(), 1}, .in = matrix(in), .taps = {taps.data(), 3}, .out = matrix(one)};
  for (const auto& op : variants_of(desc)) {
    States states(rig, desc);
    states.values[0] = 5;  // page 0: two tokens ago
    states.values[1] = 7;
    const Tokens tokens{.seq = {0, 0}, .pos = {2, 3}, .from = {0}, .to = {-1, 1}};
    const std::vector<float> x = run(rig, op, tokens, states, {3, -4});
    EXPECT_FLOAT_EQ(x[0], 3 + (500 + 70 + 1));
    EXPECT_FLOAT_EQ(x[1], -4 - (700 + 10 + 1));  // c is -1
    EXPECT_EQ(states.state(1), (std::vector<float>{1, 1}));
  }
}

TEST(ShortConv, IsRefusedOnGpusInOneLine) {
  Rig rig;
  try {
    bind_op(describe(rig, kCases[0]), {.device = DeviceKind::Cuda});
    FAIL() << "there is no such kernel";
  } catch (const Error& e) {
    const std::string said = e.what();
    EXPECT_NE(said.find("no kernel can run this operation: short_conv"), std::string::npos) << said;
  }
}

}  // namespace
}  // namespace sw
