// SPDX-License-Identifier: MIT
#include <algorithm>
#include <cstring>
#include <gtest/gtest.h>
#include <numeric>

#include "formats/safetensors.h"
#include "support/test_data.h"
#include "unit/quant/test_rows.h"

namespace sw {
namespace {

using testing::normals;

constexpr int64_t kGoldenCols = 512;

/// Checks the formats that a file of reference vectors has, and returns how many.
int check_decoding(const Safetensors& golden) {
  int n_checked = 0;
  for (const Type type : testing::all_types()) {
    const std::string name = type_name(type);
    const StTensor* raw = golden.find(name + ".raw");
    if (!raw) continue;
    const std::vector<float> expected = Safetensors::to_f32(golden.require(name + ".f32"));
    const int64_t n_rows = static_cast<int64_t>(expected.size()) / kGoldenCols;
    EXPECT_EQ(raw->data.size(), static_cast<size_t>(n_rows) * row_bytes(type, kGoldenCols)) << name;
    if (::testing::Test::HasFailure()) return n_checked;
    std::vector<float> decoded(expected.size());
    decode_rows(type, raw->data.data(), n_rows, kGoldenCols, decoded.data());
    EXPECT_EQ(std::memcmp(decoded.data(), expected.data(), expected.size() * sizeof(float)), 0) << name;
    ++n_checked;
  }
  return n_checked;
}

TEST(QuantGolden, DecodeIsExact) {
  SW_DATA_OR_SKIP(path, "golden/quant/dequant.safetensors");
  EXPECT_EQ(check_decoding(Safetensors(path)), 24);  // all but F32 and F16, which half_test.cpp tries whole
}

TEST(QuantGolden, DecodeIsExactForIkLlamaCpp) {
  SW_DATA_OR_SKIP(path, "golden/quant/ik.safetensors");
  EXPECT_EQ(check_decoding(Safetensors(path)), 15);
}

/// The reference vectors are ik_llama.cpp's own encodings of `src`, made without an importance matrix.
TEST(QuantGolden, ErrorsAreNoLargerThanIkLlamaCpps) {
  SW_DATA_OR_SKIP(path, "golden/quant/ik.safetensors");
  const Safetensors golden(path);
  const std::vector<float> src = Safetensors::to_f32(golden.require("src"));
  for (const Type type : testing::all_types()) {
    const std::string name = type_name(type);
    if (!golden.find(name + ".f32")) continue;
    std::vector<std::byte> bytes(src.size() / kGoldenCols * row_bytes(type, kGoldenCols));
    const auto n_rows = static_cast<int64_t>(src.size()) / kGoldenCols;
    encode_rows(type, src.data(), n_rows, kGoldenCols, bytes.data());
    std::vector<float> ours(src.size());
    decode_rows(type, bytes.data(), n_rows, kGoldenCols, ours.data());
    const double theirs = testing::rms_difference(src, Safetensors::to_f32(golden.require(name + ".f32")));
    // Its search for trellis codes tries more scales than ours.
    const bool thorough = type == Type::IQ3_KT || type == Type::IQ4_KT;
    EXPECT_LE(testing::rms_difference(src, ours), (thorough ? 1.04 : 1.0) * theirs) << name;
  }
}

TEST(QuantGolden, EncodeIsByteExactWhereRoundingIsNoSearch) {
  SW_DATA_OR_SKIP(path, "golden/quant/quantize.safetensors");
  const Safetensors golden(path);
  const std::vector<float> src = Safetensors::to_f32(golden.require("src"));
  for (const Type type : {Type::Q8_0, Type::Q4_0, Type::Q4_1, Type::Q5_0, Type::Q5_1, Type::MXFP4, Type::BF16,
                          Type::TQ1_0, Type::TQ2_0}) {
    const auto expected = golden.require(std::string(type_name(type)) + ".raw").data;
    const std::vector<std::byte> bytes = testing::encode(type, src);
    EXPECT_TRUE(std::equal(bytes.begin(), bytes.end(), expected.begin(), expected.end())) << type_name(type);
  }
}

uint64_t fnv1a(std::span<const std::byte> bytes) {
  return std::accumulate(
      bytes.begin(), bytes.end(), uint64_t{0xcbf29ce484222325},
      [](uint64_t h, std::byte b) { return (h ^ static_cast<uint64_t>(b)) * 0x100000001b3; });
}

// The searches must find the same bytes with every compiler, optimisation level and machine. The numbers
// are our own: change them when a search is changed on purpose.
TEST(QuantGolden, SearchesGiveTheSameBytesEverywhere) {
  const std::vector<float> x = normals(64 * 256, 11);
  std::vector<float> importance = normals(64 * 256, 12);
  for (float& w : importance) w *= w;
  struct {
    Type type;
    uint64_t plain, weighted;
  } constexpr kExpected[] = {{Type::Q4_K, 11291976848336211158u, 1988069077800115799u},
                             {Type::Q5_K, 10916482891326180949u, 11723715648119302076u},
                             {Type::Q6_K, 521195767224840760u, 12671005134159138133u},
                             {Type::Q2_K, 16734755577045681053u, 16639754659309060780u},
                             {Type::Q3_K, 3908543347116616715u, 6208462668805387827u},
                             {Type::IQ1_S, 2460037742919563587u, 10058779414061949112u},
                             {Type::IQ1_M, 15640480650927490106u, 9254658683468607625u},
                             {Type::IQ2_XXS, 11261594124893624956u, 18409317173299988682u},
                             {Type::IQ2_XS, 13347320312004316544u, 445086558450574710u},
                             {Type::IQ2_S, 11042619470456863015u, 13078418855459574828u},
                             {Type::IQ3_XXS, 12695863674507587264u, 5685630524233473253u},
                             {Type::IQ3_S, 7702651058915843140u, 759338636548759456u},
                             {Type::IQ4_NL, 15417528798932377508u, 12537353776365514690u},
                             {Type::IQ4_XS, 3887619093722384047u, 1820395251795224815u},
                             {Type::NVFP4, 16739311750035117813u, 15590115163708095142u},
                             {Type::IQ2_K, 13224896557597046348u, 6515083121226166879u},
                             {Type::IQ3_K, 14435519727153769426u, 2644209295888333092u},
                             {Type::IQ4_K, 5301394221926736546u, 10889990621627311131u},
                             {Type::IQ5_K, 10423469557970577900u, 8830363766820966998u},
                             {Type::IQ6_K, 4990228204899604672u, 3610254602590137966u},
                             {Type::IQ2_KS, 17503583477998628730u, 12334318491836169906u},
                             {Type::IQ3_KS, 8242408591891002514u, 4674438036546108370u},
                             {Type::IQ4_KS, 7457642305804891912u, 11866026283191621896u},
                             {Type::IQ5_KS, 5453638495647210222u, 17296358613727741466u},
                             {Type::IQ4_KSS, 14644584033720884375u, 8566104646307319553u},
                             {Type::IQ2_KL, 274645952391955473u, 1124077168211537082u},
                             {Type::IQ1_KT, 11566836943854030430u, 11080963633010663573u},
                             {Type::IQ2_KT, 202000581239046492u, 7745835227318978025u},
                             {Type::IQ3_KT, 1631261058935066033u, 5268930568282076689u},
                             {Type::IQ4_KT, 15148111983583457805u, 8287582921296282432u}};
  for (const auto& [type, plain, weighted] : kExpected) {
    EXPECT_EQ(fnv1a(testing::encode(type, x)), plain) << type_name(type);
    EXPECT_EQ(fnv1a(testing::encode(type, x, importance.data())), weighted) << type_name(type);
  }
}

}  // namespace
}  // namespace sw
