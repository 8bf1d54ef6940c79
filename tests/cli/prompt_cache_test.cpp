// SPDX-License-Identifier: MIT
// `run --prompt-cache FILE`: the second run takes from the file what the first computed, and says the same.
#include <filesystem>
#include <fstream>
#include <gtest/gtest.h>

#include "base/file.h"
#include "support/process.h"
#include "support/test_data.h"

namespace sw {
namespace {

namespace fs = std::filesystem;
using testing::ProcessResult;
using testing::run_switchyard;

class PromptCache : public ::testing::Test {
 protected:
  fs::path file() const { return temp_.path() / "cache"; }
  std::string bytes() const { return read_file(file(), uint64_t{1} << 30, Reading::Update); }
  static std::string prompt() {
    std::string text = "Once upon a time there was a fox";
    for (int i = 0; i < 40; ++i) text += ", and then there was another fox";
    return text;
  }
  ProcessResult run(std::vector<std::string> more, const std::string& text = prompt()) const {
    more.insert(more.begin(), {"run", "-t", "1", "--temp", "0", "-n", "80", "--invariant", "--ignore-eos",
                               "-c", "1024", "-p", text, "--prompt-cache", file().string()});
    return run_switchyard(more);
  }
  /// "prompt cache: 256 of ..." gives 256; 0 without such a line.
  static int n_from_file(const ProcessResult& result) {
    const std::string mark = "prompt cache: ";
    for (size_t at = result.err.find(mark); at != std::string::npos; at = result.err.find(mark, at + 1)) {
      if (result.err.find(" of the prompt's ", at) < result.err.find('\n', at))
        return std::stoi(result.err.substr(at + mark.size()));
    }
    return 0;
  }

 private:
  testing::TempDir temp_;
};

TEST_F(PromptCache, ASecondRunTakesThePromptFromTheFile) {
  const ProcessResult first = run({});
  EXPECT_EQ(first.exit_code, 0) << first.err;
  EXPECT_EQ(n_from_file(first), 0);
  EXPECT_NE(first.err.find("tokens written to " + file().string()), std::string::npos) << first.err;
  const std::string written = bytes();
  const ProcessResult second = run({});
  EXPECT_GE(n_from_file(second), 128) << second.err;
  EXPECT_EQ(second.out, first.out);
  EXPECT_EQ(bytes(), written) << "nothing new to write";
  // Another end of the prompt: the file follows, unless it is to stay.
  const ProcessResult other = run({"--prompt-cache-ro"}, prompt() + prompt());
  EXPECT_GE(n_from_file(other), 128) << other.err;
  EXPECT_EQ(bytes(), written);
  run({}, prompt() + prompt());
  EXPECT_GT(bytes().size(), written.size());
}

TEST_F(PromptCache, AnotherRoutingComputesItsOwn) {
  run({"--experts", "2"});
  const ProcessResult own = run({"--prompt-cache-ro"});
  EXPECT_EQ(n_from_file(own), 0);
  EXPECT_NE(own.err.find("nothing came from"), std::string::npos) << own.err;
  EXPECT_GE(n_from_file(run({"--experts", "2", "--prompt-cache-ro"})), 128);
}

TEST_F(PromptCache, AllHasTheAnswerToo) {
  const ProcessResult first = run({"--prompt-cache-all"});
  const ProcessResult second = run({"--prompt-cache-ro"}, prompt());
  const int n_prompt_only = n_from_file(second);
  std::string text = first.out;
  while (text.ends_with('\n')) text.pop_back();
  EXPECT_GT(n_from_file(run({"--prompt-cache-ro"}, text)), n_prompt_only);
}

TEST_F(PromptCache, OfAnyCacheTypeIsFoundAgain) {
  const std::vector<std::string> types = {"-ctk", "q8_0", "-ctv", "q4_0"};
  const ProcessResult first = run(types);
  EXPECT_EQ(first.exit_code, 0) << first.err;
  const ProcessResult second = run(types);
  EXPECT_GE(n_from_file(second), 128) << second.err;
  EXPECT_EQ(second.out, first.out);
}

TEST_F(PromptCache, AChatGoesOnInAnotherRun) {
  const std::vector<std::string> arguments = {"run",
                                              "-t",
                                              "1",
                                              "--temp",
                                              "0",
                                              "-n",
                                              "60",
                                              "--invariant",
                                              "--chat",
                                              "-p",
                                              prompt(),
                                              "--prompt-cache",
                                              file().string(),
                                              "--prompt-cache-all"};
  const ProcessResult first = run_switchyard(arguments);
  EXPECT_EQ(first.exit_code, 0) << first.err;
  const ProcessResult second = run_switchyard(arguments);
  EXPECT_GE(n_from_file(second), 128) << second.err;
  EXPECT_EQ(second.out, first.out);
}

TEST_F(PromptCache, WhatDoesNotFitIsOneLineAndStays) {
  EXPECT_EQ(run({}).exit_code, 0);
  const std::string written = bytes();
  const auto expect_refused = [&](const ProcessResult& result, const std::string& part) {
    EXPECT_EQ(result.exit_code, 1);
    EXPECT_EQ(result.out, "");
    EXPECT_NE(result.err.find(part), std::string::npos) << result.err;
    EXPECT_EQ(bytes(), written);
  };
  expect_refused(run({"-ctk", "f32", "-ctv", "f32"}), "the text was saved with another cache");
  expect_refused(run({"-ctv", "q8_0"}),
                 "types: expected [\"F16\",\"Q8_0\"], got [\"F16\",\"F16\"] (-ctk and -ctv");
  expect_refused(run({"--override-kv", "bailingmoe2.rope.freq_base=float:5000"}),
                 "the text was saved with another model");
  std::ofstream(file(), std::ios::binary | std::ios::trunc) << written.substr(0, written.size() / 2);
  const ProcessResult cut = run({});
  EXPECT_EQ(cut.exit_code, 1);
  EXPECT_NE(cut.err.find("the saved text is cut"), std::string::npos) << cut.err;
  fs::remove(file());
  const ProcessResult absent = run({"--prompt-cache-ro"});
  EXPECT_EQ(absent.exit_code, 0);
  EXPECT_NE(absent.err.find("prompt cache: there is no "), std::string::npos);
  EXPECT_FALSE(fs::exists(file()));
  fs::create_directory(file());
  EXPECT_EQ(run({}).exit_code, 1);
}

TEST_F(PromptCache, FlagsBelongTogether) {
  for (const char* flag : {"--prompt-cache-all", "--prompt-cache-ro"})
    EXPECT_EQ(run_switchyard({"run", "-p", "x", "-n", "1", flag}).exit_code, 2) << flag;
  EXPECT_EQ(run({"--prompt-cache-all", "--prompt-cache-ro"}).exit_code, 2);
}

}  // namespace
}  // namespace sw
