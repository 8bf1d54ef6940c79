// SPDX-License-Identifier: MIT
// Checkpoints that are quantised: what they give must be what their dequantised selves give.
#include <cmath>
#include <cstring>
#include <fmt/format.h>
#include <functional>
#include <gtest/gtest.h>

#include "base/rng.h"
#include "convert/convert_hf.h"
#include "convert/quant_mix.h"
#include "formats/gguf.h"
#include "quant/type.h"
#include "support/refusal.h"
#include "unit/convert/hf_folder.h"

namespace sw {
namespace {

using nlohmann::json;
using testing::HfFolder;
using Tensor = HfFolder::Tensor;

/// A tensor as a file stores it, of any element type.
struct Stored {
  std::string dtype = {};
  std::vector<int64_t> shape = {};
  std::string bytes = {};
};
using StoredTensors = std::map<std::string, Stored>;

template <class T>
Stored stored(const std::string& dtype, std::vector<int64_t> shape, const std::vector<T>& values) {
  Stored s{dtype, std::move(shape), std::string(values.size() * sizeof(T), '\0')};
  if (!values.empty()) std::memcpy(s.bytes.data(), values.data(), s.bytes.size());
  return s;
}
std::vector<int64_t> dims(const Shape& shape) {
  std::vector<int64_t> all;
  for (int i = 0; i < shape.n_dims(); ++i) all.push_back(shape[i]);
  return all;
}
Stored floats(const Tensor& t) { return stored("F32", dims(t.shape), t.values); }

void write_checkpoint(const HfFolder& folder, const StoredTensors& tensors) {
  json header = json::object();
  std::string data;
  for (const auto& [name, t] : tensors) {
    header[name] = {{"dtype", t.dtype},
                    {"shape", t.shape},
                    {"data_offsets", {data.size(), data.size() + t.bytes.size()}}};
    data += t.bytes;
  }
  const std::string text = header.dump();
  const uint64_t n = text.size();
  std::string length(sizeof(n), '\0');
  std::memcpy(length.data(), &n, sizeof(n));
  folder.write("model.safetensors", length + text + data);
}

/// A float of four bits of exponent and three of mantissa, by the definition.
double e4m3(uint8_t code) {
  const int exponent = code >> 3 & 15, mantissa = code & 7;
  const double magnitude = exponent == 0 ? std::ldexp(mantissa, -9) : std::ldexp(8 + mantissa, exponent - 10);
  return code & 0x80 ? -magnitude : magnitude;
}
/// A float of two bits of exponent and one of mantissa.
double e2m1(int code) {
  constexpr double kMagnitudes[] = {0, 0.5, 1, 1.5, 2, 3, 4, 6};
  return code & 8 ? -kMagnitudes[code & 7] : kMagnitudes[code & 7];
}

/// Makes codes and scales for one weight: gives what is to be stored, by the end of its name behind "weight",
/// and the weights that they stand for.
using Quantiser = std::function<std::map<std::string, Stored>(Tensor&, Rng&)>;

int64_t below(Rng& rng, int64_t n) { return static_cast<int64_t>(rng.next() % static_cast<uint64_t>(n)); }
uint8_t any_e4m3(Rng& rng) {
  const auto code = static_cast<uint8_t>(below(rng, 256));
  return (code & 0x7f) == 0x7f ? uint8_t{0x38} : code;
}

/// The block's codes are random; its scale makes the largest of them as large as the weights are.
std::map<std::string, Stored> fp8_blocks(Tensor& t, Rng& rng) {
  constexpr int64_t kRows = 24, kCols = 16;  // neither divides all matrices
  const int64_t n = t.shape[0], m = t.shape[1], across = (m + kCols - 1) / kCols,
                down = (n + kRows - 1) / kRows;
  std::vector<float> scales;
  for (int64_t i = 0; i < down * across; ++i)
    scales.push_back(0.0002f * static_cast<float>(1 + below(rng, 7)));
  std::vector<uint8_t> codes;
  for (int64_t i = 0; i < n * m; ++i) {
    codes.push_back(any_e4m3(rng));
    const float scale = scales[static_cast<size_t>(i / m / kRows * across + i % m / kCols)];
    t.values[static_cast<size_t>(i)] = static_cast<float>(e4m3(codes.back())) * scale;
  }
  return {{"", stored("F8_E4M3", {n, m}, codes)}, {"_scale_inv", stored("F32", {down, across}, scales)}};
}

std::map<std::string, Stored> scaled_rows(Tensor& t, Rng& rng) {
  const int64_t n = t.shape[0], m = t.shape[1];
  std::vector<float> scales;
  for (int64_t i = 0; i < n; ++i) scales.push_back(0.0005f * static_cast<float>(1 + below(rng, 3)));
  std::vector<int8_t> codes;
  for (int64_t i = 0; i < n * m; ++i) {
    codes.push_back(static_cast<int8_t>(below(rng, 255) - 127));
    t.values[static_cast<size_t>(i)] = static_cast<float>(codes.back()) * scales[static_cast<size_t>(i / m)];
  }
  return {{"", stored("I8", {n, m}, codes)}, {"_scale", stored("F32", {n, 1}, scales)}};
}

/// `exact`: scales that an f16 holds.
std::map<std::string, Stored> int4(Tensor& t, Rng& rng, bool exact) {
  constexpr int64_t kGroup = 32;
  const int64_t n = t.shape[0], m = t.shape[1];
  std::vector<float> scales;
  for (int64_t i = 0; i < n * m / kGroup; ++i)
    scales.push_back(exact ? std::ldexp(static_cast<float>(129 + below(rng, 100)), -13) : 0.01f + 1e-8f);
  std::vector<uint32_t> words(static_cast<size_t>(n * m / 8));
  for (int64_t i = 0; i < n * m; ++i) {
    const auto q = static_cast<uint32_t>(below(rng, 16));
    words[static_cast<size_t>(i / 8)] |= q << (i % 8 * 4);
    t.values[static_cast<size_t>(i)] =
        static_cast<float>(static_cast<int>(q) - 8) * scales[static_cast<size_t>(i / kGroup)];
  }
  return {{"_packed", stored("I32", {n, m / 8}, words)},
          {"_scale", stored("F32", {n, m / kGroup}, scales)},
          {"_shape", stored("I64", {2}, std::vector<int64_t>{n, m})}};
}

/// `divided`: as compressed-tensors names and means it; otherwise as ModelOpt does.
std::map<std::string, Stored> nvfp4(Tensor& t, Rng& rng, bool divided) {
  const int64_t n = t.shape[0], m = t.shape[1];
  std::vector<uint8_t> scales, codes(static_cast<size_t>(n * m / 2));
  for (int64_t i = 0; i < n * m / 16; ++i) scales.push_back(static_cast<uint8_t>(0x38 + below(rng, 32)));
  const float of_all = divided ? 512.0f : 1.0f / 512;
  for (int64_t i = 0; i < n * m; ++i) {
    const int q = static_cast<int>(below(rng, 16));
    codes[static_cast<size_t>(i / 2)] |= static_cast<uint8_t>(q << (i % 2 * 4));
    t.values[static_cast<size_t>(i)] =
        static_cast<float>(e2m1(q) * e4m3(scales[static_cast<size_t>(i / 16)]) / 512);
  }
  return {{divided ? "_packed" : "", stored("U8", {n, m / 2}, codes)},
          {"_scale", stored("F8_E4M3", {n, m / 16}, scales)},
          {divided ? "_global_scale" : "_scale_2", stored("F32", {1}, std::vector<float>{of_all})}};
}

json compressed(const json& weights, const char* format) {
  return {{"quant_method", "compressed-tensors"},
          {"format", format},
          {"config_groups",
           {{"group_0", {{"targets", {"Linear"}}, {"weights", weights}, {"input_activations", nullptr}}}}},
          {"ignore", {"lm_head"}},
          {"kv_cache_scheme", nullptr},
          {"quantization_status", "compressed"},
          {"sparsity_config", json::object()},
          {"transform_config", json::object()}};
}

struct Case {
  const char* name;
  json config;
  Quantiser quantise;
  Type experts;  ///< the format that experts keep where none is asked for
};

const json kInt4 = {{"num_bits", 4},       {"type", "int"},    {"symmetric", true},
                    {"strategy", "group"}, {"group_size", 32}, {"actorder", nullptr}};
const Case kCases[] = {
    {"Fp8Blocks",
     {{"quant_method", "fp8"},
      {"fmt", "e4m3"},
      {"weight_block_size", {24, 16}},
      {"activation_scheme", "dynamic"}},
     fp8_blocks,
     Type::BF16},
    {"I8Rows",
     compressed({{"num_bits", 8}, {"type", "int"}, {"symmetric", true}, {"strategy", "channel"}},
                "int-quantized"),
     scaled_rows, Type::BF16},
    {"Int4", compressed(kInt4, "pack-quantized"), [](Tensor& t, Rng& rng) { return int4(t, rng, true); },
     Type::Q4_0},
    {"Int4WithFineScales", compressed(kInt4, "pack-quantized"),
     [](Tensor& t, Rng& rng) { return int4(t, rng, false); }, Type::BF16},
    {"Nvfp4Compressed",
     compressed({{"num_bits", 4}, {"type", "float"}, {"group_size", 16}}, "nvfp4-pack-quantized"),
     [](Tensor& t, Rng& rng) { return nvfp4(t, rng, true); }, Type::BF16},
    {"Nvfp4ModelOpt",
     {{"quant_method", "modelopt"},
      {"quant_algo", "NVFP4"},
      {"group_size", 16},
      {"exclude_modules", {"lm_head"}}},
     [](Tensor& t, Rng& rng) { return nvfp4(t, rng, false); },
     Type::BF16}};

bool is_quantised(const std::string& name) {
  return name.ends_with("_proj.weight") || name.ends_with("_proj_with_mqa.weight");
}

/// Quantises the matrices of the folder's checkpoint, and gives the weights that it then stands for.
HfFolder::Tensors quantise(const HfFolder& folder, const Case& c) {
  HfFolder::Tensors plain;
  {
    const Safetensors source(folder.path());
    for (const auto& [name, t] : source.tensors()) plain[name] = {t.shape, Safetensors::to_f32(t)};
  }
  Rng rng(7);
  StoredTensors all;
  for (auto& [name, t] : plain) {
    const bool wide = t.shape.n_dims() == 2 && t.shape[1] % 32 == 0;
    if (!is_quantised(name) || !wide) {
      all[name] = floats(t);
      continue;
    }
    for (auto& [end, s] : c.quantise(t, rng)) all[name + end] = std::move(s);
  }
  write_checkpoint(folder, all);
  folder.edit_config([&](json& config) { config["quantization_config"] = c.config; });
  return plain;
}

/// Of F32; 0 and -0 are equal.
std::vector<float> values_of(const GgufTensor& t) {
  std::vector<float> values(static_cast<size_t>(t.shape.n_elements()));
  decode_rows(*type_from_id(t.type_id), t.data, t.shape.n_rows(), t.shape.n_cols(), values.data());
  return values;
}

void expect_equal_tensors(const std::filesystem::path& a, const std::filesystem::path& b) {
  const GgufFile one(a), other(b);
  ASSERT_EQ(one.tensors().size(), other.tensors().size());
  for (const GgufTensor& t : one.tensors()) {
    const GgufTensor* u = other.find_tensor(t.name);
    ASSERT_TRUE(u) << t.name;
    EXPECT_TRUE(values_of(t) == values_of(*u)) << t.name;
  }
}

class QuantizedCheckpoint : public ::testing::TestWithParam<Case> {};

TEST_P(QuantizedCheckpoint, GivesWhatItsDequantisedSelfGives) {
  SW_DATA_OR_SKIP(golden, "golden/deepseek_v3");
  const HfFolder coded(golden), plain(golden);
  const HfFolder::Tensors values = quantise(coded, GetParam());
  plain.edit_tensors([&](HfFolder::Tensors& tensors) { tensors = values; });
  convert_hf(coded.path(), coded.out(), {.out_type = Type::F32, .n_thread = 2});
  convert_hf(plain.path(), plain.out(), {.out_type = Type::F32});
  expect_equal_tensors(coded.out(), plain.out());
}

TEST_P(QuantizedCheckpoint, KeepsTheNearestFormat) {
  SW_DATA_OR_SKIP(golden, "golden/deepseek_v3");
  const HfFolder coded(golden);
  const HfFolder::Tensors values = quantise(coded, GetParam());
  convert_hf(coded.path(), coded.out(), {});
  const GgufFile made(coded.out());
  const GgufTensor* experts = nullptr;
  for (const GgufTensor& t : made.tensors()) {
    if (!experts && t.name.ends_with("ffn_gate_exps.weight")) experts = &t;
  }
  ASSERT_TRUE(experts);
  const Type type = GetParam().experts;
  EXPECT_EQ(experts->type_id, static_cast<uint32_t>(type));
  if (!traits(type).quantized) return;
  const int block = std::stoi(experts->name.substr(4));
  std::vector<float> first(static_cast<size_t>(experts->shape[1] * experts->shape[2]));
  decode_rows(type, experts->data, experts->shape[1], experts->shape[2], first.data());
  EXPECT_EQ(first, values.at(fmt::format("model.layers.{}.mlp.experts.0.gate_proj.weight", block)).values);
}

INSTANTIATE_TEST_SUITE_P(Cases, QuantizedCheckpoint, ::testing::ValuesIn(kCases),
                         [](const auto& info) { return std::string(info.param.name); });

/// gpt-oss: experts in blocks and scales, stored by rows of their output; its plain checkpoints are
/// transposed.
class GptOssCheckpoint : public ::testing::Test {
 protected:
  void SetUp() override {
    const auto golden = testing::find_data("golden/gpt_oss");
    if (!golden) GTEST_SKIP() << "no golden/gpt_oss";
    coded_.emplace(*golden);
    plain_.emplace(*golden);
    make();
  }

  void make() {
    HfFolder::Tensors tensors;
    {
      const Safetensors source(coded_->path());
      for (const auto& [name, t] : source.tensors()) tensors[name] = {t.shape, Safetensors::to_f32(t)};
    }
    Rng rng(11);
    for (auto& [name, t] : tensors) {
      if (!name.ends_with("experts.gate_up_proj") && !name.ends_with("experts.down_proj")) {
        all_[name] = floats(t);
        continue;
      }
      const int64_t n_expert = t.shape[0], n_in = t.shape[1], n_out = t.shape[2], n_block = n_in / 32;
      std::vector<uint8_t> blocks(static_cast<size_t>(n_expert * n_out * n_in / 2));
      std::vector<uint8_t> scales(static_cast<size_t>(n_expert * n_out * n_block));
      for (uint8_t& s : scales) s = static_cast<uint8_t>(118 + below(rng, 6));
      for (int64_t i = 0; i < n_expert * n_out * n_in; ++i) {
        const int q = static_cast<int>(below(rng, 16));
        blocks[static_cast<size_t>(i / 2)] |= static_cast<uint8_t>(q << (i % 2 * 4));
        const int64_t e = i / (n_out * n_in), out = i / n_in % n_out, in = i % n_in;
        t.values[static_cast<size_t>((e * n_in + in) * n_out + out)] =
            static_cast<float>(std::ldexp(e2m1(q), scales[static_cast<size_t>(i / 32)] - 127));
      }
      all_[name + "_blocks"] = stored("U8", {n_expert, n_out, n_block, 16}, blocks);
      all_[name + "_scales"] = stored("U8", {n_expert, n_out, n_block}, scales);
    }
    plain_->edit_tensors([&](HfFolder::Tensors& to) { to = tensors; });
    write_checkpoint(*coded_, all_);
    coded_->edit_config([](json& config) {
      config["quantization_config"] = {{"quant_method", "mxfp4"}, {"modules_to_not_convert", {"lm_head"}}};
    });
  }

  std::optional<HfFolder> coded_, plain_;
  StoredTensors all_;
};

TEST_F(GptOssCheckpoint, GivesWhatItsDequantisedSelfGives) {
  convert_hf(coded_->path(), coded_->out(), {.out_type = Type::F32, .n_thread = 2});
  convert_hf(plain_->path(), plain_->out(), {.out_type = Type::F32});
  expect_equal_tensors(coded_->out(), plain_->out());
}

TEST_F(GptOssCheckpoint, KeepsItsBlocksToTheBit) {
  convert_hf(coded_->path(), coded_->out(), {});
  convert_hf(plain_->path(), plain_->out(), {.out_type = Type::F32});
  const GgufFile made(coded_->out()), plain(plain_->out());
  int n_seen = 0;
  for (const GgufTensor& t : made.tensors()) {
    if (t.name.find("_exps.weight") == std::string::npos) continue;
    ++n_seen;
    EXPECT_EQ(t.type_id, static_cast<uint32_t>(Type::MXFP4)) << t.name;
    EXPECT_TRUE(values_of(t) == values_of(*plain.find_tensor(t.name))) << t.name;
  }
  EXPECT_GT(n_seen, 2);
}

TEST_F(GptOssCheckpoint, RefusesWhatDoesNotBelongTogether) {
  const std::string name = "model.layers.0.mlp.experts.down_proj";
  const auto refuses = [&](const char* message) {
    write_checkpoint(*coded_, all_);
    testing::expect_refused([&] { convert_hf(coded_->path(), coded_->out(), {}); }, message);
  };
  const StoredTensors good = all_;
  all_.erase(name + "_scales");
  refuses("expected a tensor model.layers.0.mlp.experts.down_proj_scales, got none");
  all_ = good;
  all_[name + "_scales"].shape.back() *= 2;
  all_[name + "_scales"].bytes += all_[name + "_scales"].bytes;
  refuses("a quantised tensor's scales do not fit");
  all_ = good;
  all_[name + "_scales"].bytes.back() = '\xff';
  refuses("a scale is not a finite number");
  all_ = good;
  coded_->edit_config([](json& config) { config.erase("quantization_config"); });
  refuses("the checkpoint lacks a tensor");
}

TEST(FileType, OfAFormatIsThatOfItsMix) {
  EXPECT_EQ(file_type_of(Type::F32), 0u);
  EXPECT_EQ(file_type_of(Type::BF16), 32u);
  EXPECT_EQ(file_type_of(Type::Q4_0), 2u);
  EXPECT_EQ(file_type_of(Type::MXFP4), 38u);  // which mainline has for experts alone
}

}  // namespace
}  // namespace sw
