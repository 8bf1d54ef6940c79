// SPDX-License-Identifier: MIT
// What users of llama.cpp and ik_llama.cpp type: each flag works, or is taken and said to do nothing, or is
// refused by its name. None is read as another one.
#include <algorithm>
#include <fstream>
#include <gtest/gtest.h>
#include <set>
#include <sstream>

#include "base/file.h"
#include "support/process.h"
#include "support/test_data.h"

namespace sw {
namespace {

using testing::ProcessResult;
using testing::run_switchyard;
using Arguments = std::vector<std::string>;

/// Lines of arguments as a shell splits them, one flag form each.
std::vector<Arguments> forms(const char* lines) {
  std::vector<Arguments> all;
  std::istringstream text(lines);
  for (std::string line; std::getline(text, line);) {
    std::istringstream words(line);
    Arguments form;
    for (std::string word; words >> word;) form.push_back(word);
    if (!form.empty()) all.push_back(form);
  }
  return all;
}

/// With -h behind it: names and values are read, and no model is opened.
ProcessResult run_form(const Arguments& form) {
  Arguments arguments = {"run", "-p", "x"};
  arguments.insert(arguments.end(), form.begin(), form.end());
  arguments.push_back("-h");
  return run_switchyard(arguments);
}

constexpr const char* kWorks = R"(
-m x
--model x
-n 5
--predict 5
--n-predict 5
--prompt-cache x
-c 64
--ctx-size 64
-t 1
--threads 1
-s 1
--seed 1
--temp 1
--temperature 1
--top-k 5
--top_k 5
--top-p 0.5
--min-p 0.1
--typical 1
--typical-p 1
--top-n-sigma 1
--top-nsigma 1
--repeat-last-n 64
--repeat-penalty 1
--presence-penalty 0
--frequency-penalty 0
--dry-multiplier 0
--dry-base 1.75
--dry-allowed-length 2
--dry-penalty-last-n -1
--dry-sequence-breaker none
--xtc-probability 0
--xtc-threshold 0.1
--dynatemp-range 0
--dynatemp-exp 1
--mirostat 0
--mirostat-lr 0.1
--mirostat-ent 5
-l 5+1
--logit-bias 5-1
--samplers top_k;temperature
--ignore-eos
--special
-sp
--no-display-prompt
-r tree
--reverse-prompt tree
-ub 64
--ubatch-size 64
-ctk f16
-ctk q8_0
--cache-type-k f16
-ctv f16
-ctv iq4_nl
--cache-type-v f16
-fa
-fa on
-fa auto
-fa 1
--flash-attn
--flash-attn on
-fmoe
--fused-moe
-ser 1,0.5
--smart-expert-reduction 1,0.5
-ger
--grouped-expert-routing
-no-ger
--no-grouped-expert-routing
--override-kv a=int:1
--chat-template-kwargs {}
-sys x
--system-prompt x
-cnv
--conversation
-st
--single-turn
-e
--escape
--no-escape
-cmoe
--cpu-moe
-ncmoe 2
--n-cpu-moe 2
-ngl 99
-ngl all
-ngl auto
-ngl -1
--gpu-layers 99
--n-gpu-layers 99
-ot exps=CPU
--override-tensor exps=CPU
-sm layer
-sm none
--split-mode none
-ts 1,2
--tensor-split 1,2
-mg 0
--main-gpu 0
-dev none
--device none
--no-repack
-nr
)";

constexpr const char* kNoEffect = R"(
-b 2048
--batch-size 2048
-fa off
-tb 4
--threads-batch 4
--mmap
--no-mmap
-no-mmap
-mmp 0
-lm mmap
--mlock
-thp
--numa distribute
--no-warmup
--warmup
-rtr
--run-time-repack
-mqkv
-muge
-np 1
--parallel 1
-sps 0.5
-cram 0
-cb
--cont-batching
-dt 0.1
--defrag-thold 0.1
--swa-full
--keep 4
--no-context-shift
-C ff
--cpu-mask ff
--prio 1
--poll 50
-fit
-fit off
-sas
-smgs
-gr
-no-gr
-no-fmoe
-mla 3
-amb 512
-khad
-rcache
-no-cnv
--no-conversation
-i
--interactive
--interactive-first
-mli
--jinja
--reasoning-format auto
--color
--color on
-co
--simple-io
--verbose-prompt
--print-token-count 5
--perf
--no-perf
--log-disable
-v
--verbose
-lv 1
--verbosity 1
-ooae
--no-op-offload
)";

constexpr const char* kRefused = R"(
-hf a/b
-hff x
-hfr a/b
-hft x
--hf-repo a/b
-mu x
--check-tensors
--lora x
--control-vector x
-mm x
--mmproj x
--rpc x
-nkvo
--context-shift
--slot-save-path x
-md x
--model-draft x
--draft 5
--draft-max 5
--draft-min 1
--draft-p-min 0.5
-ngld 9
-cd 5
-td 5
--rope-scaling yarn
--rope-freq-base 1
--rope-freq-scale 1
--yarn-orig-ctx 5
--yarn-ext-factor 1
--sampler-seq kp
--grammar x
--grammar-file x
-j {}
--json-schema {}
-jf x
--json-schema-file x
--reasoning-budget 0
--chat-template x
--chat-template-file x
-sysf x
--in-prefix x
--in-suffix x
--log-file x
--build-info
--license
--completion-bash
-pps
--host x
--port 80
-a x
)";

TEST(ForeignFlags, ThoseThatWorkAreTakenInSilence) {
  for (const Arguments& form : forms(kWorks)) {
    const ProcessResult r = run_form(form);
    EXPECT_EQ(r.exit_code, 0) << ::testing::PrintToString(form) << r.err;
    EXPECT_EQ(r.err, "") << ::testing::PrintToString(form);
  }
}

TEST(ForeignFlags, ThoseWithoutEffectAreTakenAndSaidSo) {
  for (const Arguments& form : forms(kNoEffect)) {
    const ProcessResult r = run_form(form);
    EXPECT_EQ(r.exit_code, 0) << ::testing::PrintToString(form) << r.err;
    EXPECT_TRUE(r.err.starts_with(form.front())) << ::testing::PrintToString(form) << r.err;
    EXPECT_NE(r.err.find(": no effect here: "), std::string::npos) << ::testing::PrintToString(form) << r.err;
    EXPECT_EQ(std::count(r.err.begin(), r.err.end(), '\n'), 1) << r.err;
  }
}

TEST(ForeignFlags, ThoseThatAreNotThereAreRefusedByName) {
  for (const Arguments& form : forms(kRefused)) {
    const ProcessResult r = run_form(form);
    EXPECT_EQ(r.exit_code, 2) << ::testing::PrintToString(form);
    EXPECT_TRUE(r.err.starts_with("error: " + form.front() + ": "))
        << ::testing::PrintToString(form) << r.err;
    EXPECT_EQ(r.err.find("no such flag"), std::string::npos)
        << r.err << "it should say what there is instead";
    EXPECT_EQ(std::count(r.err.begin(), r.err.end(), '\n'), 1) << r.err;
    EXPECT_EQ(r.out, "") << ::testing::PrintToString(form);
  }
}

/// Not only taken: they are what they say.
TEST(ForeignFlags, AliasesReachTheirOptions) {
  const std::pair<Arguments, const char*> kinds[] = {
      {{"-ncmoe", "x"}, "--n-cpu-moe: "},     {{"--gpu-layers", "x"}, "--n-gpu-layers: "},
      {{"--temperature", "x"}, "--temp"},     {{"--typical_p", "x"}, "--typical"},
      {{"-ctk", "q6_k"}, "--cache-type-k: "}, {{"-ctv", "x"}, "--cache-type-v: "},
      {{"-mg", "x"}, "--main-gpu: "},         {{"-ub", "0"}, "--ubatch-size: "}};
  for (const auto& [form, says] : kinds) {
    Arguments arguments = {"run", "-p", "x"};
    arguments.insert(arguments.end(), form.begin(), form.end());
    const ProcessResult r = run_switchyard(arguments);
    EXPECT_NE(r.exit_code, 0) << ::testing::PrintToString(form);
    EXPECT_NE(r.err.find(says), std::string::npos) << r.err;
  }
  const Arguments story = {"run", "-p", "Once upon a time", "-n", "9", "--seed", "1", "--temp", "0"};
  Arguments chat = story;
  chat.push_back("-cnv");
  EXPECT_FALSE(run_switchyard(chat).out.starts_with("Once")) << "an answer, not the text continued";
  const ProcessResult devices = run_switchyard({"run", "--list-devices"});
  EXPECT_EQ(devices.exit_code, 0);
  EXPECT_TRUE(run_switchyard({"version"}).out.ends_with(devices.out));
  EXPECT_NE(devices.out, "");
}

/// A tool that runs no model has no opinion on how one should be run.
TEST(ForeignFlags, AFlagOfAnotherToolIsUnknown) {
  for (const Arguments& arguments : {Arguments{"tokenize", "-p", "x", "-b", "1"},
                                     {"merge", "a", "b", "-ngl", "9"},
                                     {"quantize", "a", "b", "Q8_0", "--mlock"},
                                     {"convert", "a", "-fa"}}) {
    const ProcessResult r = run_switchyard(arguments);
    EXPECT_EQ(r.exit_code, 2);
    EXPECT_NE(r.err.find("no such flag of " + arguments.front()), std::string::npos) << r.err;
  }
  EXPECT_NE(run_switchyard({"bench", "-n", "128"}).err.find("-tg"), std::string::npos);
  EXPECT_NE(run_switchyard({"quantize", "a", "b", "Q8_0", "--pure"}).err.find("--tensor-type"),
            std::string::npos);
}

/// "`-b`, `--batch-size`"
std::string in_backticks(const std::string& names) {
  std::istringstream words(names);
  std::string out;
  for (std::string name; words >> name;) out += (out.empty() ? "`" : ", `") + name + "`";
  return out;
}

/// A row of a table; a tag of HTML stays text.
std::string row(const std::string& command, const std::string& names, std::string text) {
  for (size_t at = text.find('<'); at != text.npos; at = text.find('<', at + 2)) text.insert(at, "\\");
  return "| " + in_backticks(names) + " | " + (command.empty() ? "" : in_backticks(command)) + " | " + text +
         " |\n";
}

std::string flag_page() {
  std::string aliases, no_effect, refused;
#define SW_ALIAS(command, names, option) aliases += row(command, names, in_backticks(option));
#define SW_NO_EFFECT(command, names, takes, why) no_effect += row(command, names, why);
#define SW_REFUSED(command, names, instead) refused += row(command, names, instead);
#include "cli/foreign_flags.inc"
  return "# Flags of llama.cpp and ik_llama.cpp, one by one\n\n"
         "Made from `src/cli/foreign_flags.inc`. Flags that are names of our own are on the pages of the "
         "[subcommands](commands/README.md);\n[coming from llama.cpp](coming-from-llama-cpp.md) says what "
         "differs. "
         "A subcommand in the second column: only there.\n\n"
         "## Other names\n\n| flag | subcommand | the same as |\n|---|---|---|\n" +
         aliases +
         "\n## Taken, without effect\n\nOn every subcommand that runs a model. A line on stderr says so.\n\n"
         "| flag | subcommand | why |\n|---|---|---|\n" +
         no_effect +
         "\n## Refused\n\nExit code 2, and a line that says:\n\n| flag | subcommand | line "
         "|\n|---|---|---|\n" +
         refused;
}

/// One source for the program and the page.
TEST(ForeignFlags, ThePageSaysWhatTheProgramDoes) {
  const std::filesystem::path page = testing::source_dir() / "docs" / "llama-cpp-flags.md";
  const std::filesystem::path made = std::filesystem::temp_directory_path() / "llama-cpp-flags.md";
  std::ofstream(made, std::ios::binary) << flag_page();
  ASSERT_TRUE(std::filesystem::exists(page)) << made << " is how it should be";
  EXPECT_TRUE(read_file(page) == flag_page()) << page << " should be as " << made;
  std::istringstream names(flag_page());
  std::set<std::string> seen;
  for (std::string line; std::getline(names, line);) {
    if (!line.starts_with("| `")) continue;
    EXPECT_TRUE(seen.insert(line.substr(0, line.find("` |", 3))).second) << line;
  }
  EXPECT_GT(seen.size(), 90u);
}

}  // namespace
}  // namespace sw
