// SPDX-License-Identifier: MIT
#include "convert/generation.h"

#include <fstream>
#include <gtest/gtest.h>

#include "support/refusal.h"
#include "support/test_data.h"

namespace sw {
namespace {

class GenerationConfig : public ::testing::Test {
 protected:
  Recommended read(const std::string& json) {
    const std::filesystem::path file = temp_.path() / "generation_config.json";
    std::ofstream(file) << json;
    return read_recommended(file);
  }
  testing::TempDir temp_;
};

TEST_F(GenerationConfig, WhatGgufHasAKeyForIsKept) {
  const Recommended r =
      read(R"({"do_sample": true, "temperature": 0.5, "top_k": 20, "top_p": 0.75, "min_p": 0.25,
    "repetition_penalty": 1.5, "eos_token_id": [1, 2], "transformers_version": "5.24.0", "max_new_tokens": 7})");
  std::map<std::string, double> got;
  for (const auto& [key, value] : r.keys) {
    const auto* f = std::get_if<double>(&value.data);
    got[key] = f ? *f : static_cast<double>(std::get<int64_t>(value.data));
  }
  EXPECT_EQ(got, (std::map<std::string, double>{{"general.sampling.temp", 0.5},
                                                {"general.sampling.top_k", 20},
                                                {"general.sampling.top_p", 0.75},
                                                {"general.sampling.min_p", 0.25},
                                                {"general.sampling.penalty_repeat", 1.5}}));
  EXPECT_TRUE(r.left_out.empty());
}

TEST_F(GenerationConfig, WhatChangesTextsAndHasNoKeyIsTold) {
  for (const char* setting :
       {R"("do_sample": false)", R"("no_repeat_ngram_size": 3)", R"("suppress_tokens": [5])",
        R"("bad_words_ids": [[5]])", R"("forced_bos_token_id": 5)", R"("num_beams": 4)",
        R"("guidance_scale": 2)", R"("penalty_alpha": 0.6)", R"("sequence_bias": {})",
        R"("a_setting_to_come": 1)"}) {
    const Recommended r = read(std::string("{") + setting + "}");
    ASSERT_EQ(r.left_out.size(), 1u) << setting;
    const std::string name = std::string(setting).substr(1, std::string(setting).find('"', 1) - 1);
    EXPECT_NE(r.left_out[0].find(name + " is left out"), std::string::npos) << r.left_out[0];
    EXPECT_TRUE(r.keys.empty());
  }
  const Recommended neutral =
      read(R"({"no_repeat_ngram_size": 0, "num_beams": 1, "typical_p": 1, "top_k": null,
    "suppress_tokens": null, "guidance_scale": 1.0, "_from_model_config": true})");
  EXPECT_TRUE(neutral.left_out.empty() && neutral.keys.empty());
}

TEST_F(GenerationConfig, RefusesWhatNoKeyHolds) {
  for (const char* bad : {R"({"top_k": 1.5})", R"({"top_k": "20"})", R"({"temperature": 1e39})",
                          R"({"temperature": [1]})", R"({"top_k": 3000000000})"}) {
    testing::expect_refused([&] { read(bad); }, "generation_config.json, key t");
  }
  testing::expect_refused([&] { read("[]"); }, "a JSON object");
  EXPECT_TRUE(read_recommended(temp_.path() / "absent.json").keys.empty());
}

}  // namespace
}  // namespace sw
