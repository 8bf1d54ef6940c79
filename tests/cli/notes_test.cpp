// SPDX-License-Identifier: MIT
// What tools say beside their results: why a text ended, flags without effect, how to go on after an error;
// and what their files say of where they come from.
#include <algorithm>
#include <fstream>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>
#include <set>

#include "base/file.h"
#include "formats/safetensors.h"
#include "support/process.h"
#include "support/test_data.h"

namespace sw {
namespace {

using testing::ProcessResult;
using testing::run_switchyard;
using Arguments = std::vector<std::string>;

/// Exit code and stderr of a run with these flags more.
ProcessResult run(const Arguments& more) {
  Arguments arguments = {"run", "-p", "Once upon a time", "-t", "1", "--temp", "0"};
  arguments.insert(arguments.end(), more.begin(), more.end());
  ProcessResult r = run_switchyard(arguments);
  EXPECT_EQ(r.exit_code, 0) << r.err;
  return r;
}

void expect_says(const std::string& text, const std::string& part) {
  EXPECT_NE(text.find(part), std::string::npos) << text << "does not say: " << part;
}

TEST(Notes, RunSaysWhyATextEnded) {
  expect_says(run({"-n", "1", "--ignore-eos"}).err, "ended: after 1 token, as asked for (-n)\n");
  expect_says(run({"-c", "12", "--ignore-eos"}).err, "ended: the context is full, after ");
  expect_says(run({"-n", "30", "--ignore-eos", "-r", " "}).err,
              "ended: the model ended its text, or a stop text");
}

TEST(Notes, AThresholdHasTwoSpellings) {
  const ProcessResult comma = run({"-n", "8", "-ser", "1,0.3"}), colon = run({"-n", "8", "-ser", "1:0.3"});
  EXPECT_EQ(comma.out, colon.out);
  for (const ProcessResult* r : {&comma, &colon}) expect_says(r->err, ", threshold 1,0.3\n");
}

TEST(Notes, RoutingFlagsThatChangeNothingAreWarnedOf) {
  expect_says(run({"-n", "1", "-ser", "9,0.1"}).err, "-ser 9,0.1 has no effect: a token has 4 experts");
  EXPECT_EQ(run({"-n", "1", "-ser", "3,0.1"}).err.find("no effect"), std::string::npos);
  EXPECT_EQ(run({"-n", "1", "-ger"}).err.find("no effect"), std::string::npos) << "it has groups";
  expect_says(run_switchyard({"selftest", "--experts", "2"}).err, "the routing flags have no effect here");
  EXPECT_EQ(run_switchyard({"info", "--out", "x"}).exit_code, 2);
  EXPECT_EQ(run_switchyard({"info", "--dump", "x"}).exit_code, 2);
}

TEST(Notes, FlagsOfGpusWithoutGpusAreWarnedOf) {
  const std::string text = run({"-n", "1", "-dev", "none", "-mg", "3", "-ts", "1,2", "--no-peer-access"}).err;
  expect_says(text, "-mg has no effect: ");
  expect_says(text, "-ts has no effect: ");
  expect_says(text, "--no-peer-access has no effect: ");
}

TEST(Notes, APatternOfPlacementHasOneLine) {
  const std::string text = run({"-n", "1", "-ot", "exps=CPU"}).err;
  expect_says(text, "-ot exps=CPU: 15 tensors -> CPU\n");
  EXPECT_EQ(text.find("blk.1"), std::string::npos) << text;
}

TEST(Notes, ACheckpointIsPointedToTheConverter) {
  const std::string folder = testing::source_dir() / "tests/data/golden/bailing_moe_v2";
  for (const std::string& model : {folder, folder + "/model.safetensors"}) {
    for (const Arguments& command : {Arguments{"run", "-p", "x", "-m", model}, {"info", model}}) {
      const ProcessResult r = run_switchyard(command);
      EXPECT_EQ(r.exit_code, 1);
      expect_says(r.err, "switchyard convert " + folder + " -o OUT.gguf");
      EXPECT_EQ(std::count(r.err.begin(), r.err.end(), '\n'), 1) << r.err;
    }
  }
}

TEST(Notes, AnArgumentTooManyShowsTheUsage) {
  const ProcessResult r = run_switchyard({"merge", "a", "b", "c"});
  EXPECT_EQ(r.exit_code, 2);
  expect_says(r.err, "usage: switchyard merge IN OUT\n");
}

TEST(Notes, AMissingArgumentShowsTheUsage) {
  const ProcessResult r = run_switchyard({"quantize", "a"});
  EXPECT_EQ(r.exit_code, 2);
  EXPECT_EQ(r.err, "error: OUT is required; usage: switchyard quantize IN OUT [TYPE] [THREADS] [FLAGS]\n");
}

TEST(Info, ListsTensorsAndPrintsJson) {
  const ProcessResult list = run_switchyard({"info", "--tensors"}), json = run_switchyard({"info", "--json"});
  expect_says(list.out, "blk.1.ffn_gate_exps.weight ");
  const nlohmann::json all = nlohmann::json::parse(json.out);
  EXPECT_EQ(all.at("tensors").size(),
            static_cast<size_t>(std::count(list.out.begin(), list.out.end(), '\n')));
  EXPECT_EQ(all.at("metadata").at("general.name"), "Fable Ling");
  EXPECT_EQ(all.at("metadata").at("bailingmoe2.expert_count"), 32);
  EXPECT_GT(all.at("metadata").at("tokenizer.ggml.tokens").size(), 100u);
  for (const auto& tensor : all["tensors"]) {
    if (tensor["name"] == "output_norm.weight") {
      EXPECT_EQ(tensor.dump(), R"({"bytes":1024,"name":"output_norm.weight","shape":[256],"type":"F32"})");
    }
  }
  const ProcessResult float_value =
      run_switchyard({"info", "--json", "--override-kv", "bailingmoe2.expert_weights_scale=float:0.95"});
  expect_says(float_value.out, "\"bailingmoe2.expert_weights_scale\": 0.95,");
}

TEST(Info, FloatsAreShort) {
  const ProcessResult r =
      run_switchyard({"info", "--override-kv", "bailingmoe2.expert_weights_scale=float:0.95"});
  expect_says(r.out, "bailingmoe2.expert_weights_scale = 0.95  (overridden)\n");
}

TEST(RoutingFile, SaysWhatItCountedAndTakesNothingElse) {
  const testing::TempDir temp;
  const std::string file = temp.path() / "st.json", svg = temp.path() / "map.svg";
  const Arguments count = {"routing", "-f", "sample", "-c", "32", "--chunks", "1", "-t", "1", "-o", file};
  Arguments drawn = count, other = count;
  drawn.insert(drawn.end(), {"--svg", svg});
  other.insert(other.end(), {"--experts", "2"});
  ASSERT_EQ(run_switchyard(drawn).exit_code, 0);
  const nlohmann::json json = nlohmann::json::parse(std::ifstream(file));
  EXPECT_EQ(json.at("model"), "Fable Ling, Q4_K_M");
  EXPECT_EQ(json.at("policy"),
            "routing: the model's own, 4 of 32 experts per token, grouped (4 of 8 groups)");
  expect_says(read_file(svg), "Fable Ling, Q4_K_M");
  EXPECT_EQ(run_switchyard(count).exit_code, 0) << "more of the same";
  const ProcessResult refused = run_switchyard(other);
  EXPECT_EQ(refused.exit_code, 1);
  expect_says(refused.err, "these statistics are of another model or policy");
  for (const char* bad : {"{}", "[", "{\"kind\": 5}"}) {
    std::ofstream(file) << bad;
    const ProcessResult r = run_switchyard(count);
    EXPECT_EQ(r.exit_code, 1) << bad;
    EXPECT_EQ(r.err.find("exception"), std::string::npos) << r.err;
  }
}

TEST(TraceFile, HoldsItsTokensAndOrigin) {
  const testing::TempDir temp;
  const std::string ids = temp.path() / "ids.txt", out = temp.path() / "t.safetensors";
  std::ofstream(ids) << "5 6 7";
  ASSERT_EQ(run_switchyard({"trace", "--ids-file", ids, "-o", out, "--experts", "2"}).exit_code, 0);
  const Safetensors trace(out);
  EXPECT_EQ(Safetensors::to_i32(trace.require("tokens")), (std::vector<int32_t>{5, 6, 7}));
  const std::string bytes = read_file(out);
  expect_says(
      bytes,
      "\"__metadata__\":{\"model\":\"Fable Ling, Q4_K_M\",\"routing\":\"routing: as asked for, 2 of 32");
}

TEST(Quantize, TakesTheNumbersAndThreadsOfOthers) {
  const std::string model = testing::source_dir() / "models" / "fable-ling-Q4_K_M.gguf";
  const auto plan = [&](const Arguments& type) {
    Arguments arguments = {"quantize", "--dry-run", "--allow-requantize", model, "x"};
    arguments.insert(arguments.end(), type.begin(), type.end());
    const ProcessResult r = run_switchyard(arguments);
    EXPECT_EQ(r.exit_code, 0) << r.err;
    return r.out;
  };
  const std::string wanted = plan({"Q4_K_M"});
  EXPECT_EQ(plan({"15"}), wanted);
  EXPECT_EQ(plan({"q4_k", "1"}), wanted);
  EXPECT_EQ(plan({"Q5_K"}), plan({"17"}));
  EXPECT_NE(plan({"Q5_K"}), wanted);
  EXPECT_EQ(run_switchyard({"quantize", model, "x", "Q8_0", "0"}).exit_code, 2);
}

TEST(Perplexity, WarnsOfAContextBeyondTheTrainedOne) {
  const ProcessResult r = run_switchyard({"perplexity", "-f", "sample", "-c", "1100", "--chunks", "1"});
  EXPECT_EQ(r.exit_code, 0) << r.err;
  expect_says(r.err, "1100 tokens are more than the model was trained for (1024)");
  expect_says(r.err, "\n1 chunk of 1100 tokens, ");
}

TEST(Bench, OneSequenceHasTheColumnsOfOtherSweeps) {
  const ProcessResult r = run_switchyard({"bench", "-c", "8", "-ub", "8", "-r", "1", "-t", "1"});
  EXPECT_EQ(r.exit_code, 0) << r.err;
  EXPECT_TRUE(r.out.starts_with(
      "|    PP |     TG |   N_KV |   T_PP s | S_PP t/s |   T_TG s | S_TG t/s | PP +/- | TG +/- |\n"
      "|-------|--------|--------|----------|----------|----------|----------|--------|--------|\n"
      "|     8 |      2 |      0 |"))
      << r.out;
}

TEST(Bench, ABatchHasSpeedsOfAllAndOfEach) {
  const std::vector<std::string> flags = {
      "bench", "-c", "16",   "-ub", "8",     "-r",        "1",
      "-t",    "1",  "-npl", "3",   "--mix", "--compare", "default,experts=1"};
  const ProcessResult table = run_switchyard(flags);
  EXPECT_EQ(table.exit_code, 0) << table.err;
  expect_says(table.out, "| N_SEQ | PP/seq t/s | TG/seq t/s | policy | mix costs |\n");
  expect_says(table.out, "| experts=1 | |\n");
  expect_says(table.out, "| mix | PP ");
  expect_says(table.err, "mix: the sequences of a batch take these policies in turn");
  std::vector<std::string> as_json = flags;
  as_json.insert(as_json.end(), {"--format", "jsonl"});
  const ProcessResult r = run_switchyard(as_json);
  std::istringstream lines(r.out);
  int n_row = 0, n_mix = 0;
  for (std::string line; std::getline(lines, line); ++n_row) {
    const auto row = nlohmann::json::parse(line);
    EXPECT_EQ(row["n_seq"], 3);
    EXPECT_NEAR(row["s_pp"].get<double>() * row["t_pp_s"].get<double>(), 3 * 8, 1e-6);
    EXPECT_NEAR(row["s_tg"].get<double>() * row["t_tg_s"].get<double>(), 3 * 2, 1e-6);
    EXPECT_NEAR(row["s_tg"].get<double>() / row["s_tg_seq"].get<double>(), 3, 1e-6);
    EXPECT_EQ(row.contains("mix_cost_tg"), row["policy"] == "mix");
    n_mix += row["policy"] == "mix" ? 1 : 0;
  }
  EXPECT_EQ(n_row, 6) << "two depths of three";
  EXPECT_EQ(n_mix, 2);
}

TEST(Bench, WhatCannotBeABatchIsOneLine) {
  const std::pair<std::vector<std::string>, const char*> wrong[] = {
      {{"--batch", "9", "-ub", "8"},
       "error: a u-batch has no room for a token of each sequence: --batch: "
       "expected at most 8, as -ub, got 9\n"},
      {{"--mix"}, "error: one sequence has one policy: --mix: expected --batch 2 or more, got --batch 1\n"},
      {{"--mix", "--batch", "2"},
       "error: there is nothing to mix: --mix: expected two policies or more in "
       "--compare, got default\n"}};
  for (const auto& [flags, says] : wrong) {
    std::vector<std::string> arguments = {"bench", "-c", "8"};
    arguments.insert(arguments.end(), flags.begin(), flags.end());
    const ProcessResult r = run_switchyard(arguments);
    EXPECT_EQ(r.exit_code, 1);
    EXPECT_EQ(r.err, says);
  }
}

TEST(Bench, APromptMayBeLongerThanAUbatch) {
  const auto row = [](std::vector<std::string> flags) {
    flags.insert(flags.begin(), {"bench", "-r", "1", "-t", "1", "--format", "jsonl", "--profile"});
    const ProcessResult r = run_switchyard(flags);
    EXPECT_EQ(r.exit_code, 0) << r.err;
    return nlohmann::json::parse(r.out);
  };
  const auto alone = row({"-c", "24", "-ub", "8", "-pp", "24", "-tg", "1"});
  EXPECT_EQ(alone.at("n_pp"), 24);
  EXPECT_EQ(alone.at("profile_pp").at("n_token"), 8 * alone.at("profile_pp").at("n_pass").get<int64_t>());
  // The prompts of three sequences, 15 tokens in all: two passes.
  const auto three = row({"-c", "5", "-ub", "8", "--n-prompt", "5", "--batch", "3"});
  EXPECT_EQ(three.at("n_pp"), 5);
  EXPECT_EQ(2 * three.at("profile_pp").at("n_token").get<int64_t>(),
            15 * three.at("profile_pp").at("n_pass").get<int64_t>());
}

TEST(Bench, APromptThatTheContextCannotHoldIsRefused) {
  const ProcessResult r = run_switchyard({"bench", "-c", "64", "-pp", "4096"});
  EXPECT_EQ(r.exit_code, 1);
  expect_says(r.err,
              "the sweep has no room for one row: -c: expected at least 4096, got 64 (a smaller prompt: -pp");
}

TEST(Bench, AProfileIsOfEachRow) {
  const std::vector<std::string> flags = {"bench", "-c", "8", "-ub", "8", "-tg", "3", "-r", "1", "-t", "1"};
  std::vector<std::string> layers = flags, table = flags;
  layers.insert(layers.end(), {"--profile=layers", "--format", "jsonl"});
  table.emplace_back("--profile");
  const ProcessResult shown = run_switchyard(table);
  EXPECT_EQ(shown.exit_code, 0) << shown.err;
  expect_says(shown.out, "\nprefill at N_KV 0, default: ");
  expect_says(shown.out, "\ndecode at N_KV 0, default: ");
  expect_says(shown.out, "| operation  | device |   calls |");
  expect_says(shown.out, "| rest       | CPU    |         |");
  expect_says(shown.err, " GB/s at best\n");
  const auto row = nlohmann::json::parse(run_switchyard(layers).out);
  for (const auto& [name, n_token] : {std::pair("profile_pp", 8), {"profile_tg", 1}}) {
    const auto& profile = row.at(name);
    const auto n_pass = profile.at("n_pass").get<int64_t>();
    EXPECT_EQ(profile.at("n_token"), n_pass * n_token);
    double seconds = 0;
    std::set<int> layers_seen;
    for (const auto& part : profile.at("rows")) {
      EXPECT_EQ(part.at("n_call"), n_pass) << part;
      seconds += part.at("time_s").get<double>();
      if (part.contains("layer")) layers_seen.insert(part.at("layer").get<int>());
      if (part.at("operation") != "experts") continue;
      const double rate = part.at("weight_bytes").get<double>() / part.at("time_s").get<double>();
      EXPECT_NEAR(part.at("bytes_per_s").get<double>() / rate, 1, 1e-9);
      EXPECT_NEAR(part.at("of_limit").get<double>(),
                  rate / profile.at("read_limit_bytes_per_s").at("CPU").get<double>(), 1e-9);
    }
    EXPECT_LE(seconds, profile.at("wall_s").get<double>());
    EXPECT_GT(layers_seen.size(), 2u);
  }
}

TEST(Run, AProfileGoesToStderr) {
  const std::vector<std::string> flags = {"run", "-p", "Once upon a time", "-n", "4", "--temp", "0"};
  std::vector<std::string> profiled = flags, wrong = flags;
  profiled.insert(profiled.end(), {"--profile", "--device", "fake:1", "-ngl", "2"});
  wrong.emplace_back("--profile=layer");
  const ProcessResult r = run_switchyard(profiled);
  EXPECT_EQ(r.exit_code, 0) << r.err;
  EXPECT_EQ(r.out, run_switchyard(flags).out);
  expect_says(r.err, "\nprefill: 1 pass, ");
  expect_says(r.err, "\ndecode: 3 passes, 3 tokens, ");
  expect_says(r.err, "| copies     | fake1  |");
  const ProcessResult one = run_switchyard({"run", "-p", "Once", "-n", "1", "--profile"});
  expect_says(one.err, "\nprefill: 1 pass, 1 token, ");
  EXPECT_EQ(one.err.find("\ndecode: "), std::string::npos) << "no pass was one: " << one.err;
  const ProcessResult bad = run_switchyard(wrong);
  EXPECT_EQ(bad.exit_code, 2);
  EXPECT_EQ(bad.err, "error: --profile: expected on, off or layers, got layer\n");
}

TEST(Bench, ADrawingIsSvg) {
  const ProcessResult r = run_switchyard({"bench", "--plot", "x.png"});
  EXPECT_EQ(r.exit_code, 2);
  expect_says(r.err, "ends with .svg, got x.png");
  const testing::TempDir temp;
  const std::string svg = temp.path() / "b.svg";
  ASSERT_EQ(run_switchyard({"bench", "-c", "8", "-ub", "4", "-r", "1", "-t", "1", "--plot", svg}).exit_code,
            0);
  const std::string text = read_file(svg);
  expect_says(text, ">Fable Ling, Q4_K_M; ");
  expect_says(text, "; -t 1 -ub 4; 20");
  expect_says(text, "<circle ");
}

}  // namespace
}  // namespace sw
