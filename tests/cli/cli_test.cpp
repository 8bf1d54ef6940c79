// SPDX-License-Identifier: MIT
// The program as a user meets it: exit codes, one-line errors, what goes to stdout.
#include <algorithm>
#include <chrono>
#include <csignal>
#include <fstream>
#include <gtest/gtest.h>
#include <thread>
#include <unistd.h>

#include "formats/gguf.h"
#include "formats/safetensors.h"
#include "support/broken_files.h"
#include "support/process.h"
#include "support/test_data.h"

namespace sw {
namespace {

using testing::ProcessResult;
using testing::run_switchyard;
using Arguments = std::vector<std::string>;

std::string write(const testing::TempDir& temp, const std::string& name, const std::string& bytes) {
  const std::filesystem::path path = temp.path() / name;
  std::ofstream(path, std::ios::binary) << bytes;
  return path;
}

/// One clear line that begins with "error: ", nothing on stdout.
void expect_refused(const Arguments& arguments, int exit_code, const std::string& says) {
  const ProcessResult r = run_switchyard(arguments);
  const std::string all = ::testing::PrintToString(arguments) + "\n" + r.err;
  EXPECT_EQ(r.exit_code, exit_code) << all;
  EXPECT_EQ(std::count(r.err.begin(), r.err.end(), '\n'), 1) << all;
  EXPECT_TRUE(r.err.starts_with("error: ")) << all;
  EXPECT_NE(r.err.find(says), std::string::npos) << all << "does not say: " << says;
  EXPECT_EQ(r.out, "") << all;
}

TEST(Cli, WrongUseIsOneLineAndExit2) {
  expect_refused({"run", "--no-such-flag"}, 2, "--no-such-flag");
  expect_refused({"no-such-command"}, 2, "no-such-command");
  expect_refused({"run", "-p", "x", "-n", "many"}, 2, "--predict");
  expect_refused({"run", "-p", "x", "-t", "0"}, 2, "--threads");
  expect_refused({"perplexity"}, 2, "--file");
  expect_refused({"trace", "--out", "x"}, 2, "--ids-file");
  expect_refused({"convert"}, 2, "HF_DIR");
  expect_refused({"run", "-p", "x", "--draft-tokens", "3"}, 2, "--draft-experts");
  EXPECT_EQ(run_switchyard({}).exit_code, 2);
}

TEST(Cli, DraftsThatCannotBeMadeAreRefused) {
  expect_refused({"run", "-p", "x", "--draft-experts", "99"}, 1, "99 experts");
  expect_refused({"run", "-p", "x", "--draft-experts", "2", "--draft-tokens", "65"}, 1, "1 to 64");
  expect_refused({"run", "-p", "x", "--draft-experts", "2", "-ub", "1"}, 1, "at least 2");
}

TEST(Cli, DraftsChangeNoTextAtTemperatureZero) {
  const Arguments plain = {"run", "-p", "Once upon a time", "-n", "60", "--temp", "0", "--ignore-eos"};
  Arguments drafts = plain;
  drafts.insert(drafts.end(), {"--draft-experts", "2"});
  const ProcessResult with = run_switchyard(drafts);
  EXPECT_EQ(with.out, run_switchyard(plain).out);
  EXPECT_NE(with.err.find(" tokens accepted ("), std::string::npos) << with.err;
  EXPECT_NE(with.err.find("; a pass with all experts gave "), std::string::npos) << with.err;
  drafts[2] = "Once";  // one token: its pass is prefill all the same
  EXPECT_NE(run_switchyard(drafts).err.find("prefill: 1 token, "), std::string::npos);
}

TEST(Cli, BadModelPathsAreOneLineAndExit1) {
  const testing::TempDir temp;
  const std::string text = write(temp, "story.txt", "Once upon a time there was a text file.\n");
  expect_refused({"run", "-p", "x", "-m", temp.path()}, 1, "folder");
  expect_refused({"run", "-p", "x", "-m", text}, 1, "story.txt");
  expect_refused({"run", "-p", "x", "-m", temp.path() / "missing.gguf"}, 1, "No such file");
  expect_refused({"run", "-p", "x", "-m", write(temp, "empty.gguf", "")}, 1, "empty.gguf");
  if (geteuid() != 0) {  // root may read everything
    const std::string secret = write(temp, "secret.gguf", "GGUF");
    std::filesystem::permissions(secret, std::filesystem::perms::none);
    expect_refused({"run", "-p", "x", "-m", secret}, 1, "Permission denied");
  }
  expect_refused({"run", "-p", "x", "-m", "/dev/null"}, 1, "not a regular file");
}

/// Before any line of progress: a long run must not end in a file that cannot be written.
TEST(Cli, OutputsThatCannotBeWrittenAreRefusedBeforeTheWork) {
  const testing::TempDir temp;
  const std::string text =
      write(temp, "story.txt", "Once upon a time there was a text file, and it was short.");
  const std::string no_folder = temp.path() / "no" / "x", no_statistics = write(temp, "s.json", "{}");
  for (const char* flag : {"--out", "--svg", "--trace"}) {
    expect_refused({"routing", "-f", text, "-c", "4", flag, no_folder}, 1, "No such file");
    expect_refused({"routing", "-f", text, "-c", "4", flag, temp.path()}, 1, "a folder");
  }
  expect_refused({"routing", "-f", text, "-c", "4", "-o", no_statistics}, 1, "holds no routing statistics");
  expect_refused({"bench", "-c", "8", "-ub", "4", "--plot", no_folder}, 1, "No such file");
  expect_refused(
      {"routing", "-f", text, "-c", "4", "-o", temp.path() / "x", "--svg", temp.path() / "." / "x"}, 1,
      "two outputs have one name");
  expect_refused({"bench", "-c", "8", "-ub", "4", "--plot", "/dev/full"}, 1, "a device");
  for (const Arguments& to_stdout :
       std::vector<Arguments>{{"routing", "-f", text, "-c", "4", "--svg", "-"},
                              {"trace", "-f", text, "-o", "-"},
                              {"perplexity", "-f", text, "-c", "4", "--save-logits", "-"}})
    expect_refused(to_stdout, 1, "outputs do not go to the standard output");
  expect_refused({"perplexity", "-f", text, "-c", "4", "--save-logits", "/dev/null"}, 1, "a device");
  expect_refused({"trace", "-f", text, "--out", "/dev/null"}, 1, "a device");
}

TEST(Cli, BadPromptsAreOneLineAndExit1) {
  expect_refused({"run", "-p", ""}, 1, "the prompt is empty");
  std::string long_prompt;
  for (int i = 0; i < 2000; ++i) long_prompt += "fox ";
  expect_refused({"run", "-p", long_prompt}, 1, "does not fit in the context");
  const testing::TempDir temp;
  const std::string text = write(temp, "story.txt", "Once upon a time there was a text file.\n");
  expect_refused({"perplexity", "-f", text}, 1, "too short");
  expect_refused({"perplexity", "-f", text, "-c", "4", "--chunks", "0"}, 1, "--chunks: expected 1 or more");
}

/// What no model can do, or not the default one, which has 32 experts in 8 groups, of which 4 are used.
const std::pair<Arguments, const char*> kBadRoutings[] = {
    {{"--experts", "0"}, "below 1"},
    {{"--experts", "17"}, "at most 16 (4 groups of 4)"},
    {{"--experts-decode", "17"}, "at most 16 (4 groups of 4)"},
    {{"-no-ger", "--experts", "33"}, "at most 32"},
    {{"--experts", "-3"}, "below 1"},
    {{"--experts", "x"}, "not a number"},
    {{"--experts", "0-99=2"}, "names a layer that the model lacks"},
    {{"-ser", "1,nan"}, "from 0 to 1"},
    {{"-ser", "1,-0.5"}, "from 0 to 1"},
    {{"-ser", "-1,0.5"}, "below 1"},
    {{"-ser", "1"}, "no comma"},
    {{"--expert-mask", "1:0-31"}, "forbids every expert"},
    {{"--expert-mask", "1:0-15", "--expert-mask", "1:16-31"}, "forbids every expert"},
    {{"--expert-mask", "1:32"}, "names an expert that the layer lacks"},
    {{"--expert-mask", "1:-3"}, "below 0"},
    {{"--expert-mask", "40:1"}, "names a layer that the model lacks"},
    {{"--expert-mask", "0:1"}, "names a layer without experts"}};

TEST(Cli, BadRoutingIsOneLineAndExit1) {
  const testing::TempDir temp;
  const std::string text = write(temp, "story.txt", "Once upon a time there was a fox.\n");
  for (const Arguments& command :
       {Arguments{"run", "-p", "x"}, {"perplexity", "-f", text}, {"bench"}, {"routing", "-f", text}}) {
    for (const auto& [flags, says] : kBadRoutings) {
      Arguments arguments = command;
      arguments.insert(arguments.end(), flags.begin(), flags.end());
      expect_refused(arguments, 1, says);
    }
  }
  expect_refused({"routing", "-f", text, "--compare", "default,experts=17"}, 1, "at most 16");
  expect_refused({"bench", "--compare", "default,experts=17"}, 1, "at most 16");
  expect_refused({"run", "-p", "x", "--override-kv", "nonsense"}, 1, "KEY=TYPE:VALUE");
  expect_refused({"run", "-p", "x", "--override-kv", "bailingmoe2.expert_used_count=int:400"}, 1,
                 "expert_used_count");
}

TEST(Cli, BrokenFilesAreOneLineAndExit1) {
  const testing::TempDir temp;
  int n = 0;
  for (const testing::BrokenFile& file : testing::broken_files()) {
    const std::string path = write(temp, file.name, file.bytes);
    if (path.ends_with(".safetensors")) {
      const testing::TempDir folder;
      std::filesystem::copy(testing::source_dir() / "tests/data/golden/bailing_moe_v2", folder.path());
      std::filesystem::permissions(folder.path() / "model.safetensors", std::filesystem::perms::owner_all);
      std::filesystem::copy(path, folder.path() / "model.safetensors",
                            std::filesystem::copy_options::overwrite_existing);
      expect_refused({"convert", folder.path(), "-o", temp.path() / "out.gguf"}, 1, file.says);
    } else {
      expect_refused({"info", path}, 1, file.says);
      expect_refused({"run", "-p", "x", "-m", path}, 1, file.says);
    }
    ++n;
  }
  EXPECT_GE(n, 20);
}

TEST(Cli, RunGoesOnWithThePrompt) {
  const Arguments arguments{"run", "-p", "Once upon a time", "-n", "20", "--seed", "1", "--ignore-eos"};
  const ProcessResult first = run_switchyard(arguments);
  EXPECT_EQ(first.exit_code, 0) << first.err;
  EXPECT_TRUE(first.out.starts_with("Once upon a time"));
  EXPECT_NE(first.err.find("prefill: "), std::string::npos);
  EXPECT_EQ(run_switchyard(arguments).out, first.out) << "a seed gives one text";
  Arguments threads = arguments;
  threads.insert(threads.end(), {"-t", "1", "-ub", "3"});
  EXPECT_EQ(run_switchyard(threads).out, first.out) << "threads and u-batch change nothing";
  const ProcessResult routed =
      run_switchyard({"run", "-p", "The fox", "-n", "5", "--routing", "--ignore-eos"});
  EXPECT_NE(routed.out.find("layer"), std::string::npos) << "a heat map";
  EXPECT_EQ(run_switchyard({"run", "-p", "The fox", "-n", "0", "--no-display-prompt"}).out, "\n");
}

TEST(Cli, TheRoutingInForceIsSaid) {
  const testing::TempDir temp;
  std::string words;
  for (int i = 0; i < 60; ++i) words += "Once upon a time there was a fox. ";
  const std::string text = write(temp, "story.txt", words);
  const std::pair<Arguments, const char*> kinds[] = {
      {{}, "the model's own, 4 of 32 experts per token, grouped (4 of 8 groups)"},
      {{"--override-kv", "bailingmoe2.expert_used_count=int:3"},
       "the model's own, 3 of 32 experts per token, grouped (4 of 8 groups)"},
      {{"-no-ger"}, "as asked for, 4 of 32 experts per token, standard (all groups)"},
      {{"--grouped-expert-routing", "--experts-decode", "1-2=8,3-5=2"},
       "as asked for, 4 of 32 experts per token of the prompt and 2 to 8 generated, grouped (4 of 8 groups)"},
      {{"--experts", "2", "-ser", "1,0.25", "--expert-mask", "3:0-7"},
       "as asked for, 2 of 32 experts per token, grouped (4 of 8 groups), threshold 1,0.25, 8 masked"}};
  for (const Arguments& command : {Arguments{"run", "-p", "Once", "-n", "2"},
                                   {"run", "-p", "Once", "-n", "2", "--chat"},
                                   {"perplexity", "-f", text, "-c", "64"},
                                   {"bench", "-c", "64", "-ub", "32"},
                                   {"routing", "-f", text, "-c", "64"},
                                   {"trace", "-f", text, "-o", temp.path() / "trace.safetensors"}}) {
    for (const auto& [flags, says] : kinds) {
      Arguments arguments = command;
      arguments.insert(arguments.end(), flags.begin(), flags.end());
      const ProcessResult r = run_switchyard(arguments);
      EXPECT_EQ(r.exit_code, 0) << r.err;
      EXPECT_NE(r.err.find(std::string("routing: ") + says + "\n"), std::string::npos)
          << ::testing::PrintToString(arguments) << " does not say: " << says << "\n"
          << r.err;
      EXPECT_EQ(r.out.find("routing: "), std::string::npos) << "that is for people";
    }
  }
}

TEST(Cli, FlagsComeFromTheEnvironmentToo) {
  const ProcessResult flag = run_switchyard({"run", "-p", "A", "-n", "12", "--temp", "0", "--experts", "1"});
  const ProcessResult environment = run_switchyard({"run", "-p", "A", "-n", "12", "--temp", "0"},
                                                   {.environment = {"SWITCHYARD_EXPERTS=1"}});
  EXPECT_EQ(flag.out, environment.out);
  EXPECT_EQ(run_switchyard({"run", "-p", "A"}, {.environment = {"SW_ISA=sse9"}}).exit_code, 1);
}

TEST(Cli, ControlCEndsTheGenerationAndKeepsTheText) {
  const ProcessResult r =
      run_switchyard({"run", "-p", "Once upon a time", "--ignore-eos", "-c", "20000", "--no-fused"},
                     {.signal_after_s = 2, .signal = SIGINT});
  EXPECT_EQ(r.exit_code, -SIGINT) << r.err;  // a shell's loop ends with it
  EXPECT_TRUE(r.out.starts_with("Once upon a time"));
  EXPECT_NE(r.err.find("decode: "), std::string::npos) << "speeds are still printed";
  EXPECT_NE(r.err.find("\nmodel: Fable Ling, "), std::string::npos) << r.err;
  EXPECT_NE(r.err.find("--chat answers it"), std::string::npos) << r.err;
}

TEST(Cli, AModelCutOrOverwrittenWhileItRunsIsOneLineAndExit3) {
  const std::filesystem::path model = testing::source_dir() / "models" / "fable-ling-Q4_K_M.gguf";
  for (const bool cut : {true, false}) {
    const testing::TempDir temp;
    const std::filesystem::path copy = temp.path() / "copy.gguf";
    std::filesystem::copy(model, copy);
    std::thread vandal([&] {
      std::this_thread::sleep_for(std::chrono::milliseconds(1500));
      if (cut) {
        std::filesystem::resize_file(copy, std::filesystem::file_size(copy) / 8);
      } else {
        std::fstream(copy, std::ios::binary | std::ios::in | std::ios::out).seekp(1 << 20)
            << std::string(4096, 'z');
      }
    });
    const ProcessResult r = run_switchyard(
        {"run", "-m", copy, "-p", "Once upon a time", "--ignore-eos", "-c", "20000", "--no-fused"});
    vandal.join();
    EXPECT_EQ(r.exit_code, 3) << r.err;
    EXPECT_EQ(std::count(r.err.begin(), r.err.end(), '\n'), 2) << r.err;  // a warning about the long context
    EXPECT_NE(r.err.find("error: the file was changed while it was in use"), std::string::npos) << r.err;
  }
}

TEST(Cli, TokenizeThereAndBack) {
  const ProcessResult ids = run_switchyard({"tokenize", "-p", "Tell me a story<|role_end|>"});
  EXPECT_EQ(ids.exit_code, 0) << ids.err;
  EXPECT_TRUE(ids.out.ends_with(" 6\n")) << ids.out;
  EXPECT_EQ(run_switchyard({"tokenize", "--detokenize", "-p", ids.out}).out, "Tell me a story<|role_end|>");
  const ProcessResult plain = run_switchyard({"tokenize", "-p", "<|role_end|>", "--no-parse-special"});
  EXPECT_GT(std::count(plain.out.begin(), plain.out.end(), ' '), 2);
  expect_refused({"tokenize", "--detokenize", "-p", "99999999"}, 1, "not a token id");
}

TEST(Cli, InfoTellsAllAndDumps) {
  const ProcessResult r = run_switchyard({"info", "--override-kv", "bailingmoe2.expert_used_count=int:2"});
  EXPECT_EQ(r.exit_code, 0) << r.err;
  for (const char* part :
       {"expert_used_count = 2  (overridden)", "Q4_K", "bits per weight", "KV cache", "active per token"}) {
    EXPECT_NE(r.out.find(part), std::string::npos) << part << "\n" << r.out;
  }
  const testing::TempDir temp;
  const std::string out = temp.path() / "dump.safetensors";
  EXPECT_EQ(run_switchyard({"info", "--dump", "output_norm.weight", "--out", out}).exit_code, 0);
  EXPECT_EQ(Safetensors(out).require("output_norm.weight").shape, Shape({256}));
  expect_refused({"info", "--dump", "no.such.tensor", "--out", out}, 1, "no.such.tensor");
}

TEST(Cli, ConvertQuantizeAndTrace) {
  const testing::TempDir temp;
  const std::string folder = testing::source_dir() / "tests/data/golden/bailing_moe_v2";
  const std::string f32 = temp.path() / "f32.gguf", q8 = temp.path() / "q8.gguf",
                    trace = temp.path() / "t.safetensors";
  ProcessResult r = run_switchyard({"convert", folder, "-o", f32, "--outtype", "f32"});
  ASSERT_EQ(r.exit_code, 0) << r.err;
  r = run_switchyard({"quantize", f32, q8, "Q4_K_M"});
  ASSERT_EQ(r.exit_code, 0) << r.err;
  EXPECT_NE(r.err.find("Q4_K"), std::string::npos) << "rows of 64 fall back, and it says so: " << r.err;
  const std::string ids = write(temp, "ids.txt", "1 2 3\n4\t5");
  r = run_switchyard({"trace", "-m", q8, "--ids-file", ids, "--out", trace});
  ASSERT_EQ(r.exit_code, 0) << r.err;
  EXPECT_EQ(Safetensors(trace).require("logits").shape, Shape({5, 512}));
  expect_refused({"trace", "-m", q8, "--ids-file", write(temp, "bad.txt", "1 two"), "--out", trace}, 1,
                 "offset 2");
  expect_refused({"trace", "-m", q8, "--ids-file", write(temp, "big.txt", "1 512"), "--out", trace}, 1,
                 "vocabulary");
  expect_refused({"quantize", f32, q8, "Q9_Z"}, 1, "Q9_Z");
  expect_refused({"quantize", f32, temp.path() / "no" / "such" / "folder.gguf", "Q8_0"}, 1, "cannot create");
}

TEST(Cli, SplitAndMerge) {
  const testing::TempDir temp;
  const std::string model = testing::source_dir() / "models" / "fable-ling-Q4_K_M.gguf";
  const std::string prefix = temp.path() / "part", out = temp.path() / "merged.gguf";
  const Arguments split{"split", model, prefix, "--split-max-size", "10M"};
  Arguments dry = split;
  dry.push_back("--dry-run");
  const ProcessResult planned = run_switchyard(dry);
  EXPECT_EQ(planned.exit_code, 0) << planned.err;
  EXPECT_TRUE(std::filesystem::is_empty(temp.path()));
  const ProcessResult done = run_switchyard(split);
  EXPECT_EQ(done.out, planned.out) << "the parts, as they were planned";
  EXPECT_TRUE(done.out.starts_with(prefix + "-00001-of-00003.gguf: ")) << done.out;
  const std::string first = prefix + "-00001-of-00003.gguf";
  const Arguments generate{"run", "-p", "The fox", "-n", "8", "--temp", "0", "-m"};
  Arguments whole = generate, parts = generate;
  whole.push_back(model);
  parts.push_back(first);
  EXPECT_EQ(run_switchyard(parts).out, run_switchyard(whole).out);
  EXPECT_EQ(run_switchyard({"merge", first, out}).exit_code, 0);
  EXPECT_EQ(std::filesystem::file_size(out), std::filesystem::file_size(model));
  std::filesystem::remove(prefix + "-00002-of-00003.gguf");
  expect_refused({"run", "-p", "x", "-m", first}, 1, "part-00002-of-00003.gguf");
  expect_refused({"merge", model, out}, 1, "not a part of a split model");
  expect_refused({"split", model, prefix, "--split-max-size", "10"}, 1, "a whole number and M or G");
  expect_refused({"split", model, prefix, "--split-max-tensors", "0"}, 2, "--split-max-tensors");
}

TEST(Cli, SelftestAndVersion) {
  const ProcessResult self = run_switchyard({"selftest"});
  EXPECT_EQ(self.exit_code, 0) << self.out << self.err;
  EXPECT_NE(self.out.find(" passed, 0 failed"), std::string::npos) << self.out;
  const ProcessResult version = run_switchyard({"version"});
  EXPECT_EQ(version.exit_code, 0);
  EXPECT_NE(version.out.find("Q4_K"), std::string::npos);
  for (const char* command : {"run", "convert", "quantize", "split", "merge", "perplexity", "trace",
                              "tokenize", "info", "selftest", "version"}) {
    const ProcessResult help = run_switchyard({command, "-h"});
    EXPECT_EQ(help.exit_code, 0) << command;
    EXPECT_NE(help.out.find("Usage"), std::string::npos) << command;
  }
}

}  // namespace
}  // namespace sw
