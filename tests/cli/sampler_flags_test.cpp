// SPDX-License-Identifier: MIT
// The sampler's flags as a user gives them, and the file's recommendations.
#include <gtest/gtest.h>

#include "support/process.h"

namespace sw {
namespace {

using testing::ProcessResult;
using testing::run_switchyard;
using Arguments = std::vector<std::string>;

ProcessResult run(Arguments more, const std::vector<std::string>& environment = {}) {
  Arguments arguments = {"run", "-p", "Once upon", "-n", "4", "--seed", "3"};
  arguments.insert(arguments.end(), more.begin(), more.end());
  return run_switchyard(arguments, {.environment = environment});
}

/// The line that tells the chain: it ends with the seed.
std::string chain(const Arguments& more, const std::vector<std::string>& environment = {}) {
  const ProcessResult r = run(more, environment);
  EXPECT_EQ(r.exit_code, 0) << r.err;
  const size_t end = r.err.find("seed 3\n");
  if (end == std::string::npos) return r.err;
  const size_t before = r.err.rfind('\n', end);
  const size_t begin = before == std::string::npos ? 0 : before + 1;
  return r.err.substr(begin, end + 6 - begin);
}

TEST(SamplerFlags, FlagsWinOverTheFileAndItOverDefaults) {
  const Arguments file = {"--override-kv", "general.sampling.temp=float:0.5",
                          "--override-kv", "general.sampling.top_k=int:7",
                          "--override-kv", "general.sampling.top_p=float:1.0",
                          "--override-kv", "general.sampling.sequence=str:temperature;min_p;top_k"};
  EXPECT_EQ(chain(file), "temperature 0.5; min_p 0.05; top_k 7; seed 3");
  Arguments both = file;
  both.insert(both.end(), {"--top-k", "9", "--samplers", "top_k;temp", "--temp", "0.25"});
  EXPECT_EQ(chain(both), "top_k 9; temperature 0.25; seed 3");
  EXPECT_EQ(chain(file, {"SWITCHYARD_TOP_K=11"}), "temperature 0.5; min_p 0.05; top_k 11; seed 3");
}

TEST(SamplerFlags, EveryStepHasItsFlags) {
  EXPECT_EQ(
      chain({"--repeat-penalty",
             "1.1",
             "--presence-penalty",
             "-0.5",
             "--frequency-penalty",
             "0.2",
             "--repeat-last-n",
             "-1",
             "--dry-multiplier",
             "0.8",
             "--dry-base",
             "2",
             "--dry-allowed-length",
             "3",
             "--dry-penalty-last-n",
             "99",
             "--top-n-sigma",
             "1.5",
             "--top-k",
             "50",
             "--typical",
             "0.9",
             "--top-p",
             "0.8",
             "--min-p",
             "0.1",
             "--xtc-probability",
             "0.5",
             "--xtc-threshold",
             "0.2",
             "--temp",
             "1.5",
             "--dynatemp-range",
             "0.5",
             "--dynatemp-exp",
             "2",
             "--logit-bias",
             "5+1.5",
             "-l",
             "6-inf",
             "--dry-sequence-breaker",
             "\\n\\n"}),
      "logit_bias (2 tokens); penalties (repeat 1.1, presence -0.5, frequency 0.2, last -1); "
      "dry (multiplier 0.8, base 2, allowed 3, last 99); top_n_sigma 1.5; top_k 50; typ_p 0.9; top_p 0.8; "
      "min_p 0.1; xtc (probability 0.5, threshold 0.2); temperature 1 to 2 (exponent 2); seed 3");
  EXPECT_EQ(chain({"--mirostat", "1", "--mirostat-ent", "4", "--mirostat-lr", "0.2", "--temp", "0.9"}),
            "temperature 0.9; mirostat 1 (tau 4, eta 0.2); seed 3");
}

TEST(SamplerFlags, NonsenseIsRefusedByName) {
  const std::pair<Arguments, const char*> bad[] = {
      {{"--top-p", "1.5"}, "--top-p"},
      {{"--mirostat", "3"}, "--mirostat"},
      {{"--samplers", "top_k;nothing"}, "--samplers"},
      {{"--logit-bias", "5"}, "--logit-bias"},
      {{"--logit-bias", "5+-1"}, "--logit-bias"},
      {{"--logit-bias", "5+1x"}, "--logit-bias"},
      {{"--logit-bias", "5+nan"}, "--logit-bias"},
      {{"--logit-bias", "99999999+1"}, "--logit-bias"},
      {{"--override-kv", "general.sampling.top_k=int:-9"}, "general.sampling.top_k"},
      {{"--override-kv", "general.sampling.temp=float:-1"}, "general.sampling.temp"}};
  for (const auto& [arguments, name] : bad) {
    const ProcessResult r = run(arguments);
    EXPECT_EQ(r.exit_code, 1) << arguments.back();
    EXPECT_NE(r.err.find(name), std::string::npos) << r.err;
    EXPECT_EQ(r.out, "") << arguments.back();
  }
  const ProcessResult no_number = run({"--min-p", "nan"});  // as any word: the use of the flag is wrong
  EXPECT_EQ(no_number.exit_code, 2);
  EXPECT_NE(no_number.err.find("--min-p"), std::string::npos) << no_number.err;
  EXPECT_EQ(run({"--override-kv", "general.sampling.temp=float:-1", "--temp", "1"}).exit_code, 0)
      << "a flag mends the file";
}

TEST(SamplerFlags, BiasesForceAndForbid) {
  const auto text = [](const Arguments& more) {
    Arguments arguments = {"--no-display-prompt", "--temp", "0"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    const ProcessResult r = run(arguments);
    EXPECT_EQ(r.exit_code, 0) << r.err;
    return r.out.substr(0, r.out.size() - 1);  // run ends the line
  };
  const std::string piece = run_switchyard({"tokenize", "--detokenize", "-p", "400"}).out;
  ASSERT_FALSE(piece.empty());
  EXPECT_EQ(text({"--logit-bias", "400+1000"}), piece + piece + piece + piece);
  EXPECT_EQ(text({"--logit-bias", "400+1000", "-l", "400-inf"}), text({"-l", "400-inf"}));
}

}  // namespace
}  // namespace sw
