// SPDX-License-Identifier: MIT
#include "kernels/matmul.h"

#include <bit>
#include <gtest/gtest.h>
#include <numeric>

#include "base/thread_pool.h"
#include "kernels/cpu/act_q8.h"
#include "kernels/variants/all.h"
#include "random_data.h"
#include "support/closeness.h"

namespace sw {
namespace {

using testing::encoded_weights;
using testing::random_floats;
using testing::wild_weights;

constexpr uint32_t kPoison = 0x7fc12345u;  // a NaN that no kernel makes

/// One kernel on one format that it accepts.
struct Case {
  const MatmulKernel* kernel = nullptr;
  Type type = Type::F32;
};

/// Every variant of the list with every format that it accepts.
std::vector<Case> all_cases() {
  std::vector<Case> cases;
  for (const MatmulKernel* kernel : {
#define SW_VARIANT(name, isa) &name,
#include "kernels/variants/matmul.inc"
#undef SW_VARIANT
       }) {
    for (const Type type : {
#define SW_TYPE(name, id) Type::name,
#include "quant/types.inc"
#undef SW_TYPE
         }) {
      if (!kernel->refuses({type, 256})) cases.push_back({kernel, type});
    }
  }
  return cases;
}

bool packs_int8(const MatmulKernel& kernel) { return kernel.act_bytes == act_q8_bytes; }

/// Weights, activations packed for one kernel, and the products.
struct Problem {
  const MatmulKernel& kernel;
  Type type;
  int64_t n_token, n_row, n_in;
  std::vector<std::byte> weights = {};
  std::vector<float> x = {};
  std::vector<std::byte> acts = {};
  std::vector<std::byte> matrix = {};  ///< the weights in the kernel's layout

  void pack() {
    matrix = laid_out(kernel, {type, {n_row, n_in}, weights.data()});
    acts.assign(kernel.act_bytes(n_in) * static_cast<size_t>(n_token), std::byte{0xff});
    for (int64_t t = 0; t < n_token; ++t) kernel.pack(x.data() + t * n_in, n_in, acts.data() + act_offset(t));
  }
  size_t act_offset(int64_t t) const { return kernel.act_bytes(n_in) * static_cast<size_t>(t); }

  MatmulArgs args(std::vector<float>& out) const {
    return {.weight = type,
            .n_in = n_in,
            .weights = matrix.data(),
            .row_begin = 0,
            .row_end = n_row,
            .acts = acts.data(),
            .n_token = n_token,
            .out = out.data(),
            .out_stride = n_row};
  }
  /// [begin, end), widened to whole groups of the kernel's layout.
  Range whole_groups(int64_t begin, int64_t end) const {
    const int64_t group = kernel.layout ? kernel.layout->row_group : 1;
    return {begin / group * group, std::min((end + group - 1) / group * group, n_row)};
  }
  std::vector<float> product() const {
    std::vector<float> out(static_cast<size_t>(n_token * n_row), std::bit_cast<float>(kPoison));
    kernel.run(args(out));
    return out;
  }
  /// The reference's product with the same activations, or with what the kernel packed them to.
  std::vector<float> reference(bool packed) const {
    Problem ref{ref_matmul, type, n_token, n_row, n_in, weights, x};
    for (int64_t t = 0; packed && t < n_token; ++t) {
      decode_act_q8(acts.data() + act_offset(t), n_in, ref.x.data() + t * n_in);
    }
    ref.pack();
    return ref.product();
  }
};

Problem random_problem(const Case& c, int64_t n_token, int64_t n_row, int64_t n_in, bool wild = false) {
  Rng rng(static_cast<uint64_t>(n_token * 1000003 + n_row * 1009 + n_in));
  Problem p{*c.kernel, c.type, n_token, n_row, n_in};
  p.weights = (wild ? wild_weights : encoded_weights)(rng, c.type, n_row, n_in);
  p.x = random_floats(rng, n_token * n_in);
  p.pack();
  return p;
}

float norm(const float* v, int64_t n) { return std::sqrt(std::inner_product(v, v + n, v, 0.0f)); }

/// |got - want| <= 1e-5 * the size that a product of random signs would have.
void expect_close(const Problem& p, const std::vector<float>& got, const std::vector<float>& want) {
  std::vector<float> row(static_cast<size_t>(p.n_in));
  int n_bad = 0;
  for (int64_t r = 0; r < p.n_row; ++r) {
    const size_t bytes = row_bytes(p.type, p.n_in);
    traits(p.type).decode(p.weights.data() + bytes * static_cast<size_t>(r), row.data(), p.n_in);
    const float size = norm(row.data(), p.n_in) / std::sqrt(static_cast<float>(p.n_in));
    for (int64_t t = 0; t < p.n_token; ++t) {
      const float allowed = 1e-5f * size * norm(p.x.data() + t * p.n_in, p.n_in);
      const auto i = static_cast<size_t>(t * p.n_row + r);
      if (!(std::abs(got[i] - want[i]) <= allowed) && ++n_bad <= 3) {
        ADD_FAILURE() << "token " << t << " row " << r << ": " << got[i] << " instead of " << want[i];
      }
    }
  }
  EXPECT_EQ(n_bad, 0);
}

std::vector<int64_t> widths(Type type) {
  const int block = traits(type).block_elems;
  if (block >= 64) return {256, 512, 768};
  if (block == 32) return {32, 96, 256, 288, 512};
  return {1, 7, 8, 40, 45, 256};
}

class Matmul : public ::testing::TestWithParam<Case> {
 protected:
  void SetUp() override {
    if (!cpu_has(GetParam().kernel->isa)) GTEST_SKIP() << "this CPU lacks the instruction set";
  }
};

std::string case_name(const ::testing::TestParamInfo<Case>& info) {
  return std::string(info.param.kernel->name) + "_" + type_name(info.param.type);
}
INSTANTIATE_TEST_SUITE_P(All, Matmul, ::testing::ValuesIn(all_cases()), case_name);

/// For what only kernels with integers inside can get wrong.
class QuantizedMatmul : public Matmul {};
std::vector<Case> quantized_cases() {
  std::vector<Case> cases = all_cases();
  std::erase_if(cases, [](const Case& c) { return !packs_int8(*c.kernel); });
  return cases;
}
INSTANTIATE_TEST_SUITE_P(All, QuantizedMatmul, ::testing::ValuesIn(quantized_cases()), case_name);

TEST_P(Matmul, AgreesWithTheReferenceOnRaggedShapes) {
  const bool int8 = packs_int8(*GetParam().kernel);
  for (const int64_t n_in : widths(GetParam().type)) {
    for (const int64_t n_row : {1, 3, 31, 64, 130}) {
      for (const int64_t n_token : {1, 2, 3, 5, 17, 64}) {
        SCOPED_TRACE("n_in " + std::to_string(n_in) + " n_row " + std::to_string(n_row) + " n_token " +
                     std::to_string(n_token));
        const Problem p = random_problem(GetParam(), n_token, n_row, n_in);
        const std::vector<float> got = p.product();
        expect_close(p, got, p.reference(int8));
        if (int8 && n_row * n_token > 100) {
          EXPECT_LT(testing::relative_error(got, p.reference(false)), 1e-2);
        }
      }
    }
  }
}

TEST_P(Matmul, ReadsEveryBitPatternOfItsFormat) {
  const Problem p = random_problem(GetParam(), 6, 50, 768, /*wild=*/true);
  expect_close(p, p.product(), p.reference(packs_int8(p.kernel)));
}

// All quants at one extreme and all activations at +-127: no sum inside may overflow.
TEST_P(QuantizedMatmul, ExtremesDoNotOverflow) {
  for (const int fill : {0x00, 0x7f, 0x80, 0xff}) {
    for (const float sign : {1.0f, -1.0f}) {
      Problem p = random_problem(GetParam(), 5, 3, 512, /*wild=*/true);
      with_type(p.type, [&]<class Format>() {
        const auto row_factor = [] { return 0.01f; };
        testing::change_blocks<Format>(p.weights, 512, row_factor, [&](typename Format::Block& block) {
          std::memset(&block, fill, sizeof block);
          if constexpr (requires { block.d; }) block.d = f32_to_f16(0.01f);
          if constexpr (requires { block.dmin; }) block.dmin = f32_to_f16(0.02f);
          if constexpr (requires { Format::set_factor_bits(block, 0); }) {
            Format::set_factor_bits(block, f32_to_f16(0.01f));
          }
          if constexpr (requires { block.e; }) block.e = 120;
        });
      });
      p.x.assign(p.x.size(), sign);
      p.pack();
      expect_close(p, p.product(), p.reference(packs_int8(p.kernel)));
    }
  }
}

// Longer than the tiles of unpacked weights that kernels keep.
TEST_P(Matmul, LongRows) {
  const Problem p = random_problem(GetParam(), 9, 3, 40 * 1024 + 256);
  expect_close(p, p.product(), p.reference(packs_int8(p.kernel)));
}

TEST_P(Matmul, AnElementDependsOnItsTwoRowsOnly) {
  for (const int64_t n_in : {widths(GetParam().type).back(), int64_t{2816}}) {
    const Problem p = random_problem(GetParam(), 23, 37, n_in);
    const std::vector<float> whole = p.product();
    Rng rng(7);
    for (int trial = 0; trial < 60; ++trial) {
      std::vector<int32_t> rows(1 + rng.below(11));
      for (int32_t& row : rows) row = static_cast<int32_t>(rng.below(23));
      std::vector<float> out(rows.size() * 37);
      MatmulArgs args = p.args(out);
      args.act_rows = rows.data();
      args.n_token = static_cast<int64_t>(rows.size());
      const auto begin = static_cast<int64_t>(rng.below(37));
      const int64_t end = begin + 1 + static_cast<int64_t>(rng.below(static_cast<uint64_t>(37 - begin)));
      const Range range = p.whole_groups(begin, end);
      args.row_begin = range.begin;
      args.row_end = range.end;
      p.kernel.run(args);
      for (size_t t = 0; t < rows.size(); ++t) {
        for (int64_t r = args.row_begin; r < args.row_end; ++r) {
          ASSERT_EQ(std::bit_cast<uint32_t>(out[t * 37 + static_cast<size_t>(r)]),
                    std::bit_cast<uint32_t>(whole[static_cast<size_t>(rows[t] * 37 + r)]))
              << "token " << t << " of " << rows.size() << ", row " << r << " of [" << args.row_begin << ", "
              << args.row_end << ")";
        }
      }
    }
  }
}

TEST_P(Matmul, WritesItsOwnElementsOnly) {
  constexpr int64_t kStride = 71, kRows = 63;
  for (const int64_t n_token : {0, 1, 4, 6}) {
    for (const auto& [begin, end] : {std::pair{0, 0}, {5, 5}, {5, 6}, {3, 34}, {59, 63}, {0, 63}}) {
      const Problem p = random_problem(GetParam(), 6, kRows, 256);
      const Range range = p.whole_groups(begin, end);
      std::vector<float> out(6 * kStride, std::bit_cast<float>(kPoison));
      MatmulArgs args = p.args(out);
      args.n_token = n_token;
      args.row_begin = range.begin;
      args.row_end = range.end;
      args.out_stride = kStride;
      p.kernel.run(args);
      for (int64_t i = 0; i < 6 * kStride; ++i) {
        const bool mine = i / kStride < n_token && i % kStride >= range.begin && i % kStride < range.end;
        ASSERT_EQ(std::bit_cast<uint32_t>(out[static_cast<size_t>(i)]) != kPoison, mine) << "element " << i;
      }
    }
  }
}

/// Variants that promise the bits of another one: the first is held against the second.
struct Twins {
  const MatmulKernel *kernel, *other;
  Type type;
};
class EqualBits : public ::testing::TestWithParam<Twins> {
 protected:
  void SetUp() override {
    if (!cpu_has(GetParam().kernel->isa)) GTEST_SKIP() << "this CPU lacks the instruction set";
  }
  void expect_equal(int64_t n_token, int64_t n_row, int64_t n_in, bool wild) const {
    SCOPED_TRACE("n_in " + std::to_string(n_in) + " n_row " + std::to_string(n_row) + " n_token " +
                 std::to_string(n_token));
    const auto& [kernel, other, type] = GetParam();
    const std::vector<float> got = random_problem({kernel, type}, n_token, n_row, n_in, wild).product();
    const std::vector<float> want = random_problem({other, type}, n_token, n_row, n_in, wild).product();
    EXPECT_EQ(std::memcmp(got.data(), want.data(), got.size() * sizeof(float)), 0);
  }
};
/// Every AVX-512 case with the AVX2 variant of its format.
std::vector<Twins> avx512_twins() {
  std::vector<Twins> twins;
#if defined(__x86_64__)
  for (const auto& [kernel, type] : all_cases()) {
    if (kernel->isa != Isa::Avx512Vnni) continue;
    twins.push_back({kernel, avx2_k.refuses({type, 256}) ? &avx2_q : &avx2_k, type});
  }
#endif
  return twins;
}
GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(EqualBits);
INSTANTIATE_TEST_SUITE_P(All, EqualBits, ::testing::ValuesIn(avx512_twins()), [](const auto& info) {
  return std::string(info.param.kernel->name) + "_" + type_name(info.param.type);
});

/// Of those, the ones that pack.
class PackedWeights : public EqualBits {};
std::vector<Twins> packed_twins() {
  std::vector<Twins> twins = avx512_twins();
  std::erase_if(twins, [](const Twins& t) { return !t.kernel->layout; });
  return twins;
}
GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(PackedWeights);
INSTANTIATE_TEST_SUITE_P(All, PackedWeights, ::testing::ValuesIn(packed_twins()), [](const auto& info) {
  return std::string(info.param.kernel->layout->name) + "_" + type_name(info.param.type);
});

TEST_P(EqualBits, ForAnyNumberOfTokensAndRows) {
  for (const int64_t n_in : widths(GetParam().type)) {
    for (int64_t n_token = 1; n_token <= 33; ++n_token) {
      for (const int64_t n_row : {1, 3, 4, 22}) expect_equal(n_token, n_row, n_in, n_token % 8 != 0);
    }
  }
}

// All kinds of tiles of unpacked weights: several groups, one group, rows too long to keep.
TEST_P(EqualBits, ForLongRows) {
  for (const int64_t n_in : {2048, 2304, 7168, 20480, 20736}) expect_equal(14, 39, n_in, true);
}

// Cut anyhow, the packed bytes are the same, and none beyond size_bytes() is touched.
TEST_P(PackedWeights, CutAnyhowAreTheSame) {
  const PackedLayout& layout = *GetParam().kernel->layout;
  for (const int64_t n_in : widths(GetParam().type)) {
    const Problem p = random_problem({GetParam().kernel, GetParam().type}, 1, 22, n_in);
    const WeightView stored{p.type, {p.n_row, n_in}, p.weights.data()};
    const size_t n_bytes = layout.size_bytes(p.type, p.n_row, n_in);
    EXPECT_EQ(n_bytes, matrix_bytes(p.kernel, {p.type, n_in, p.n_row, true}));
    std::vector<std::byte> packed(n_bytes + 64, std::byte{0xa5});
    for (const auto& [begin, end] : {std::pair{12, 20}, {20, 22}, {0, 12}}) {
      layout.pack(stored, begin, end, packed.data());
    }
    EXPECT_EQ(std::memcmp(packed.data(), p.matrix.data(), n_bytes), 0);
    for (size_t i = n_bytes; i < packed.size(); ++i) EXPECT_EQ(packed[i], std::byte{0xa5});
  }
}

TEST_P(PackedWeights, AreAboutAsLargeAsStored) {
  const PackedLayout& layout = *GetParam().kernel->layout;
  for (const int64_t n_in : {1024, 1536, 2048, 7168}) {
    const auto stored = static_cast<double>(64 * row_bytes(GetParam().type, n_in));
    const auto packed = static_cast<double>(layout.size_bytes(GetParam().type, 64, n_in));
    EXPECT_GE(packed, stored);
    EXPECT_LE(packed, 1.02 * stored) << n_in;
  }
}

TEST_P(Matmul, NanAndInfinityStayInTheirToken) {
  for (const float bad : {NAN, INFINITY, -INFINITY}) {
    Problem p = random_problem(GetParam(), 6, 5, 512);
    const std::vector<float> clean = p.product();
    p.x[2 * 512 + 300] = bad;
    p.pack();
    const std::vector<float> out = p.product();
    for (size_t i = 0; i < out.size(); ++i) {
      if (i / 5 == 2) {
        EXPECT_FALSE(std::isfinite(out[i]));
      } else {
        EXPECT_EQ(out[i], clean[i]);
      }
    }
  }
}

TEST_P(Matmul, PackedRowsAreWholeCacheLines) {
  for (const int64_t n_in : {1, 32, 40, 256, 288, 2048})
    EXPECT_EQ(GetParam().kernel->act_bytes(n_in) % 64, 0u);
}

}  // namespace
}  // namespace sw
