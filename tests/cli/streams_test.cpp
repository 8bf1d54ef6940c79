// SPDX-License-Identifier: MIT
// No output takes an input's place, what cannot be written is told, and closed streams stay closed.
#include <algorithm>
#include <filesystem>
#include <fstream>
#include <gtest/gtest.h>

#include "support/process.h"
#include "support/test_data.h"

namespace sw::testing {
namespace {

namespace fs = std::filesystem;

std::string read(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

/// Copies that a test may lose: the default model, a text, token ids and a safetensors file.
class Outputs : public ::testing::Test {
 protected:
  Outputs() {
    fs::copy(source_dir() / "models" / "fable-ling-Q4_K_M.gguf", path("m.gguf"));
    std::string text;
    for (int i = 0; i < 30; ++i) text += "Once upon a time there was a fox. ";
    write("t.txt", text);
    write("ids.txt", "1 2 3\n");
    EXPECT_EQ(sy({"info", path("m.gguf"), "--dump", "output_norm.weight", "--out", path("w.safetensors")})
                  .exit_code,
              0);
  }
  std::string path(const std::string& name) const { return temp_.path() / name; }
  void write(const std::string& name, const std::string& bytes) const {
    std::ofstream(path(name), std::ios::binary) << bytes;
  }
  static ProcessResult sy(const std::vector<std::string>& arguments, const ProcessOptions& options = {}) {
    return run_switchyard(arguments, options);
  }
  /// Exit 1 with one line that says so, and `kept` is what it was.
  void expect_kept(const std::vector<std::string>& arguments, const std::string& kept,
                   const std::string& says, const ProcessOptions& options = {}) const {
    SCOPED_TRACE(arguments[0] + " " + arguments.back());
    const std::string before = read(kept);
    const ProcessResult r = sy(arguments, options);
    EXPECT_EQ(r.exit_code, 1) << r.err;
    EXPECT_NE(r.err.find("error: " + says), std::string::npos) << r.err;
    EXPECT_EQ(read(kept) == before, true) << kept << " was changed";
  }

 private:
  TempDir temp_;
};

constexpr const char* kSame = "input and output are the same file";
constexpr const char* kModel = "this would replace a model";

TEST_F(Outputs, NoOutputReplacesAnInput) {
  const std::string m = path("m.gguf"), t = path("t.txt"), w = path("w.safetensors");
  fs::create_symlink(m, path("soft.gguf"));
  fs::create_hard_link(m, path("hard.gguf"));
  for (const char* name : {"m.gguf", "soft.gguf", "hard.gguf"}) {
    const std::string out = path(name);
    expect_kept({"trace", "-m", m, "--ids-file", path("ids.txt"), "-o", out}, m, kSame);
    expect_kept({"bench", "-m", m, "-c", "16", "-ub", "8", "--plot", out}, m, kSame);
    expect_kept({"perplexity", "-m", m, "-f", t, "-c", "64", "--save-logits", out}, m, kSame);
    expect_kept({"info", m, "--dump", "output_norm.weight", "--out", out}, m, kSame);
    expect_kept({"quantize", m, out, "Q8_0", "--allow-requantize"}, m, kSame);
    expect_kept({"routing", "-m", m, "-f", t, "-c", "64", "--svg", out}, m, kSame);
    expect_kept({"run", "-m", m}, m, kSame, {.input = "/save " + out + "\n"});
  }
  for (const char* flag : {"-o", "--svg", "--trace"})
    expect_kept({"routing", "-m", m, "-f", t, "-c", "64", flag, t}, t, flag[1] == 'o' ? "" : kSame);
  expect_kept({"trace", "-m", m, "-f", t, "-o", t}, t, kSame);
  expect_kept({"trace", "-m", m, "--ids-file", path("ids.txt"), "-o", path("ids.txt")}, path("ids.txt"),
              kSame);
  expect_kept({"run", "-m", m}, path("lines"), kSame, [&] {
    write("lines", "/save " + path("lines") + "\n");
    return ProcessOptions{.input_file = path("lines")};
  }());
}

TEST_F(Outputs, AModelIsReplacedByItsKindOnly) {
  const std::string m = path("m.gguf"), t = path("t.txt"), w = path("w.safetensors");
  expect_kept({"trace", "-f", t, "-o", m}, m, kModel);
  expect_kept({"routing", "-f", t, "-c", "64", "--svg", w}, w, kModel);
  expect_kept({"perplexity", "-f", t, "-c", "64", "--save-logits", w}, w, kModel);
  expect_kept({"quantize", m, w, "Q8_0", "--allow-requantize"}, w, kModel);
  expect_kept({"run"}, m, kModel, {.input = "/save " + m + "\n"});
  EXPECT_EQ(sy({"trace", "--ids-file", path("ids.txt"), "-o", w}).exit_code, 0) << "a safetensors file anew";
  EXPECT_EQ(sy({"routing", "-f", t, "-c", "64", "-o", path("s.json")}).exit_code, 0);
  EXPECT_EQ(sy({"routing", "-f", t, "-c", "64", "-o", path("s.json")}).exit_code, 0) << "added to";
}

TEST_F(Outputs, StandardOutputThatTakesNothingIsToldByEverySubcommand) {
  const std::string m = path("m.gguf"), t = path("t.txt");
  const std::vector<std::vector<std::string>> commands = {
      {"version"},
      {"-h"},
      {"run", "-h"},
      {"--version"},
      {"tokenize", "-f", t},
      {"tokenize", "--detokenize", "-f", path("ids.txt")},
      {"info", m},
      {"run", "-p", "Once", "-n", "3"},
      {"run", "-p", "Once", "-n", "3", "--routing"},
      {"run", "--chat", "-p", "Once", "-n", "3"},
      {"bench", "-c", "16", "-ub", "8"},
      {"perplexity", "-f", t, "-c", "64", "--chunks", "1"},
      {"routing", "-f", t, "-c", "64", "--chunks", "1"},
      {"routing", "-f", t, "-c", "64", "--chunks", "1", "--compare", "default"},
      {"split", m, path("part"), "--dry-run"},
      {"quantize", m, path("q.gguf"), "Q8_0", "--allow-requantize", "--dry-run"},
      {"selftest"},
  };
  for (const std::vector<std::string>& arguments : commands) {
    SCOPED_TRACE(arguments[0] + " " + arguments.back());
    const ProcessResult r = sy(arguments, {.output_file = "/dev/full"});
    EXPECT_EQ(r.exit_code, 3) << r.err;
    const size_t line = r.err.find("error: ");
    ASSERT_NE(line, std::string::npos) << r.err;
    EXPECT_EQ(r.err.find("error: cannot write the results to standard output"), line) << r.err;
    EXPECT_EQ(std::count(r.err.begin() + static_cast<std::ptrdiff_t>(line), r.err.end(), '\n'), 1) << r.err;
  }
  const ProcessResult chat = sy({"run", "-n", "3"}, {.input = "Hello.\n", .output_file = "/dev/full"});
  EXPECT_EQ(chat.exit_code, 3) << chat.err;
}

TEST_F(Outputs, TextsComeFromPipesToo) {
  const std::string text = read(path("t.txt"));
  const std::vector<std::vector<std::string>> commands = {
      {"tokenize"},
      {"perplexity", "-c", "64", "--chunks", "1"},
      {"routing", "-c", "64", "--chunks", "1"},
  };
  for (std::vector<std::string> arguments : commands) {
    SCOPED_TRACE(arguments[0]);
    arguments.insert(arguments.end(), {"-f", path("t.txt")});
    const std::string from_file = sy(arguments).out;
    EXPECT_NE(from_file, "");
    for (const char* name : {"-", "/dev/stdin"}) {
      arguments.back() = name;
      EXPECT_EQ(sy(arguments, {.input = text}).out, from_file) << name;
    }
  }
  EXPECT_EQ(
      sy({"template", "-f", "-"}, {.input = R"({"messages": [{"role": "user", "content": "x"}]})"}).exit_code,
      0);
  EXPECT_EQ(sy({"template", "-f", "-"}, {.input = "["}).exit_code, 1);
  EXPECT_EQ(sy({"tokenize", "-f", "/dev/zero"}).exit_code, 1) << "a device has no end";
}

TEST_F(Outputs, ClosedStreamsAreNoFiles) {
  const std::string saved = path("s.lg"), whole = path("whole.lg"), t = path("t.txt");
  const std::vector<std::string> perplexity = {"perplexity", "-f", t, "-c", "64", "--save-logits"};
  const auto with = [](std::vector<std::string> arguments, const std::string& last) {
    arguments.push_back(last);
    return arguments;
  };
  ASSERT_EQ(sy(with(perplexity, whole)).exit_code, 0);
  for (const std::vector<int>& closed :
       {std::vector<int>{1, 2}, std::vector<int>{0, 1, 2}, std::vector<int>{2}, std::vector<int>{0, 2}}) {
    EXPECT_EQ(sy(with(perplexity, saved), {.closed = closed}).exit_code, 0);
    EXPECT_EQ(read(saved) == read(whole), true) << "lines of the program stand in its output";
    fs::remove(saved);
  }
  const ProcessResult chat = sy({"run", "-t", "1", "-n", "5"}, {.closed = {0}});
  EXPECT_EQ(chat.exit_code, 0) << chat.err;
  EXPECT_EQ(chat.out, "") << "the model's file is no message";
}

}  // namespace
}  // namespace sw::testing
