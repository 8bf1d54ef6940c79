// SPDX-License-Identifier: MIT
// Which tokens `perplexity` scores. The values are those that transformers 5.24 gives for the same ids of the
// golden model qwen3_moe, in float32, cut by the rule that docs/commands/perplexity.md says.
#include <fstream>
#include <gtest/gtest.h>
#include <regex>

#include "support/process.h"
#include "support/test_data.h"

namespace sw::testing {
namespace {

class PerplexityCommand : public ::testing::Test {
 protected:
  void SetUp() override {
    SW_DATA_OR_SKIP(file, "interop/qwen3_moe.gguf");
    model_ = file;
    for (int i = 0; i < 3; ++i) text_ += "Four score and seven years ago, and so on it went.";
  }
  /// The value of the last line.
  double value(const std::string& text, std::vector<std::string> flags) const {
    const std::filesystem::path file = temp_.path() / "text";
    std::ofstream(file) << text;
    flags.insert(flags.begin(), {"perplexity", "-m", model_, "-f", file, "-c", "16"});
    const ProcessResult result = run_switchyard(flags);
    std::smatch found;
    const std::regex line(R"(Final estimate: PPL = ([0-9.]+) \+/- [0-9.]+\n)");
    EXPECT_TRUE(std::regex_match(result.out, found, line)) << result.out << result.err;
    return found.empty() ? 0 : std::stod(found[1]);
  }
  static void expect_near(double got, double expected) { EXPECT_NEAR(got, expected, 1e-5 * expected); }

  TempDir temp_;
  std::string model_, text_;
};

TEST_F(PerplexityCommand, PutsBosBeforeTheTextAsTheFileSays) {
  expect_near(value(text_, {}), 1260.79642);
  expect_near(value(text_, {"--bos", "on"}), 1260.79642);
  expect_near(value(text_, {"--bos", "replace"}), 1465.94379);
  expect_near(value(text_, {"--bos", "off"}), 2570.79229);
  expect_near(value(text_, {"--stride", "4"}), 1336.12275);
}

TEST_F(PerplexityCommand, FindsSpecialTokensOfTheTextWhereAsked) {
  const std::string marked = text_ + "<|begin_of_text|>" + text_;
  expect_near(value(marked, {}), 2238.08653);
  expect_near(value(marked, {"--parse-special"}), 1435.82952);
  EXPECT_EQ(value("<|begin_of_text|>" + text_, {"--bos", "replace", "--parse-special"}), value(text_, {}));
}

}  // namespace
}  // namespace sw::testing
