// SPDX-License-Identifier: MIT
#include <gtest/gtest.h>

#include "convert/convert_hf.h"
#include "support/refusal.h"
#include "unit/convert/hf_folder.h"

namespace sw {
namespace {

using nlohmann::json;
using testing::HfFolder;

const json kInt4 = {{"num_bits", 4},       {"type", "int"},    {"symmetric", true},
                    {"strategy", "group"}, {"group_size", 32}, {"actorder", nullptr}};
TEST(QuantizationConfig, WhatIsNotKnownIsRefusedByName) {
  SW_DATA_OR_SKIP(golden, "golden/deepseek_v3");
  const json groups = {{"group_0", {{"weights", kInt4}}}};
  const auto with = [](json all, const char* key, const json& value) {
    all[key] = value;
    return all;
  };
  const json fp8 = {{"quant_method", "fp8"}};
  const json int4 = {{"quant_method", "compressed-tensors"}, {"config_groups", groups}};
  const struct {
    json config;
    const char* message;
  } cases[] = {
      {json::object(), "quantization_config.quant_method"},
      {"fp8", "expected an object"},
      {{{"quant_method", "awq"}}, "got \"awq\""},
      {with(fp8, "fmt", "e5m2"), "quantization_config.fmt"},
      {with(fp8, "weight_block_size", {128}), "rows and columns"},
      {with(fp8, "weight_block_size", {0, 128}), "rows and columns"},
      {with(fp8, "rotation", "hadamard"), "quantization_config.rotation"},
      {with(int4, "transform_config", {{"R1", 1}}), "transform_config"},
      {with(int4, "config_groups", {{"g", {{"weights", with(kInt4, "symmetric", false)}}}}),
       "g.weights.symmetric"},
      {with(int4, "config_groups", {{"g", {{"weights", with(kInt4, "actorder", "group")}}}}), "actorder"},
      {with(int4, "config_groups", {{"g", {{"weights", with(kInt4, "num_bits", 3)}}}}), "num_bits"},
      {with(int4, "config_groups", {{"g", {{"weights", with(kInt4, "codebook", 3)}}}}), "g.weights.codebook"},
  };
  for (const auto& c : cases) {
    SCOPED_TRACE(c.config.dump());
    const HfFolder folder(golden);
    folder.edit_config([&](json& config) { config["quantization_config"] = c.config; });
    testing::expect_refused([&] { convert_hf(folder.path(), folder.out(), {}); }, c.message);
  }
}

}  // namespace
}  // namespace sw
