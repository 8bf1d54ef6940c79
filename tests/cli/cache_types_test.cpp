// SPDX-License-Identifier: MIT
// -ctk and -ctv as a user meets them: every subcommand takes every type, and what does not fit is one line.
#include <fstream>
#include <gtest/gtest.h>

#include "support/process.h"
#include "support/test_data.h"

namespace sw {
namespace {

using testing::ProcessResult;
using testing::run_switchyard;
using Arguments = std::vector<std::string>;

constexpr const char* kTypes[] = {"f32", "f16", "bf16", "q8_0", "q5_1", "q4_0", "iq4_nl"};

ProcessResult run_with(Arguments arguments, const std::string& k, const std::string& v) {
  arguments.insert(arguments.end(), {"-t", "1", "-ctk", k, "-ctv", v});
  return run_switchyard(arguments);
}

TEST(CacheTypeFlags, EveryPairRuns) {
  const Arguments story = {"run", "-p", "Once upon a time there was a", "-n", "6", "--temp", "0"};
  const std::string f16 = run_with(story, "f16", "f16").out;
  for (const char* k : kTypes) {
    for (const char* v : kTypes) {
      const ProcessResult r = run_with(story, k, v);
      EXPECT_EQ(r.exit_code, 0) << k << " " << v << r.err;
      EXPECT_TRUE(r.out.starts_with("Once upon a time there was a")) << r.out;
      if (std::string(k) == "bf16" && std::string(v) == "q8_0") {
        EXPECT_EQ(r.out, f16) << "about the same numbers";
      }
    }
  }
}

TEST(CacheTypeFlags, KeysAndValuesAreSetApart) {
  const std::string model = testing::source_dir() / "models" / "fable-ling-Q4_K_M.gguf";
  const auto info = [&](const Arguments& more) {
    Arguments arguments = {"info", model, "-c", "640"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return run_switchyard(arguments).out;
  };
  EXPECT_NE(info({"-ctk", "f32"}).find("f32 keys 1.88 MiB, f16 values 0.94 MiB"), std::string::npos);
  EXPECT_NE(info({"-ctv", "f32"}).find("f16 keys 0.94 MiB, f32 values 1.88 MiB"), std::string::npos);
}

TEST(CacheTypeFlags, EverySubcommandTakesThem) {
  const testing::TempDir temp;
  const std::string text = testing::source_dir() / "models" / "sample.txt", q8 = "q8_0", q4 = "q4_0";
  const Arguments measure = {"-f", text, "-c", "64", "--chunks", "1"};
  for (Arguments tool : {Arguments{"perplexity"}, {"routing"}}) {
    tool.insert(tool.end(), measure.begin(), measure.end());
    const ProcessResult r = run_with(tool, q8, q4);
    EXPECT_EQ(r.exit_code, 0) << r.err;
    EXPECT_NE(r.out, "") << tool.front();
  }
  const ProcessResult bench = run_with({"bench", "-c", "32", "-ub", "16"}, q8, q4);
  EXPECT_EQ(bench.exit_code, 0) << bench.err;
  std::ofstream(temp.path() / "ids") << "1 2 3";
  const ProcessResult trace =
      run_with({"trace", "--ids-file", temp.path() / "ids", "-o", temp.path() / "t.safetensors"}, q8, q4);
  EXPECT_EQ(trace.exit_code, 0) << trace.err;
  const ProcessResult self = run_with({"selftest"}, q8, q4);
  EXPECT_EQ(self.exit_code, 0) << self.err;
  for (const char* type : kTypes)
    EXPECT_NE(self.out.find(std::string("attend ") + type), std::string::npos) << self.out;
}

TEST(CacheTypeFlags, PerplexityFollowsTheTypes) {
  const std::string text = testing::source_dir() / "models" / "sample.txt";
  const auto estimate = [&](const char* k, const char* v) {
    const ProcessResult r = run_with({"perplexity", "-f", text, "-c", "128", "--chunks", "2"}, k, v);
    EXPECT_EQ(r.exit_code, 0) << r.err;
    return std::stod(r.out.substr(r.out.find("PPL = ") + 6));
  };
  const double f32 = estimate("f32", "f32");
  EXPECT_NEAR(estimate("q8_0", "q8_0") / f32, 1, 0.005);
  EXPECT_NEAR(estimate("q4_0", "q4_0") / f32, 1, 0.1);
  EXPECT_NE(estimate("q4_0", "f32"), f32);
  EXPECT_NE(estimate("f32", "q4_0"), f32);
}

/// The heads of a model whose rows no block divides: one line, before anything is computed.
TEST(CacheTypeFlags, RowsThatATypeCannotHoldAreOneLine) {
  SW_DATA_OR_SKIP(checkpoint, testing::golden_folder("bailing_moe_v2"));
  const testing::TempDir temp;
  const std::string model = temp.path() / "model.gguf";
  ASSERT_EQ(run_switchyard({"convert", checkpoint, "-o", model, "--outtype", "f32"}).exit_code, 0);
  const Arguments tools[] = {{"bench", "-m", model}, {"serve", "-m", model, "--port", "0"}};
  for (const Arguments& tool : tools) {
    const ProcessResult r = run_with(tool, "f16", "q8_0");
    EXPECT_EQ(r.exit_code, 1) << tool.front();
    EXPECT_NE(
        r.err.find("error: the KV cache cannot keep the model's values in q8_0: -ctv: expected rows of a "
                   "multiple of 32, got rows of 16 (these can: f32, f16, bf16)\n"),
        std::string::npos)
        << r.err;
  }
  EXPECT_EQ(run_with({"bench", "-m", model, "-c", "32", "-ub", "16"}, "bf16", "f32").exit_code, 0);
}

TEST(CacheTypeFlags, AnUnusedTypeOfValuesIsNoted) {
  SW_DATA_OR_SKIP(checkpoint, testing::golden_folder("deepseek_v3"));
  const testing::TempDir temp;
  const std::string model = temp.path() / "model.gguf";
  ASSERT_EQ(run_switchyard({"convert", checkpoint, "-o", model, "--outtype", "f32"}).exit_code, 0);
  const Arguments bench = {"bench", "-m", model, "-c", "32", "-ub", "16", "-t", "1"};
  const auto said = [&](Arguments more) {
    more.insert(more.begin(), bench.begin(), bench.end());
    const ProcessResult r = run_switchyard(more);
    EXPECT_EQ(r.exit_code, 0) << r.err;
    return r.err;
  };
  const std::string line =
      "-ctv q4_0 is unused: this model's cache keeps no values beside its latents, which are bf16 (-ctk)\n";
  EXPECT_NE(said({"-ctk", "bf16", "-ctv", "q4_0"}).find(line), std::string::npos);
  for (const Arguments& same : {Arguments{"-ctk", "bf16"}, {"-ctk", "f32", "-ctv", "f32"}, {}})
    EXPECT_EQ(said(same).find("is unused"), std::string::npos);
  EXPECT_NE(run_switchyard({"info", model, "-ctk", "f32"}).out.find("tokens: f32 latents "),
            std::string::npos);
}

}  // namespace
}  // namespace sw
