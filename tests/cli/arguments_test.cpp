// SPDX-License-Identifier: MIT
// How arguments are read: names, values, numbers, repeated flags, the environment. Most stop at a help or an
// error, before any model is opened.
#include <algorithm>
#include <fstream>
#include <gtest/gtest.h>

#include "support/process.h"
#include "support/test_data.h"

namespace sw {
namespace {

using testing::ProcessResult;
using testing::run_switchyard;
using Arguments = std::vector<std::string>;
using Environment = std::vector<std::string>;

/// Exit code 2, one line that begins so, nothing on stdout.
void expect_usage_error(const Arguments& arguments, const std::string& begin, const std::string& says = "",
                        const Environment& environment = {}) {
  const ProcessResult r = run_switchyard(arguments, {.environment = environment});
  const std::string all = ::testing::PrintToString(arguments) + "\n" + r.err;
  EXPECT_EQ(r.exit_code, 2) << all;
  EXPECT_EQ(std::count(r.err.begin(), r.err.end(), '\n'), 1) << all;
  EXPECT_TRUE(r.err.starts_with("error: " + begin)) << all << "does not begin: " << begin;
  EXPECT_NE(r.err.find(says), std::string::npos) << all << "does not say: " << says;
  EXPECT_EQ(r.out, "") << all;
}

ProcessResult run(const Arguments& more, const Environment& environment = {}) {
  Arguments arguments = {"run", "-p", "Once upon", "--seed", "3", "--ignore-eos", "-t", "1"};
  arguments.insert(arguments.end(), more.begin(), more.end());
  ProcessResult r = run_switchyard(arguments, {.environment = environment});
  EXPECT_EQ(r.exit_code, 0) << ::testing::PrintToString(more) << "\n" << r.err;
  return r;
}

/// A text's tokens and back: what came in through -p.
std::string value_of(const Arguments& arguments) {
  Arguments all = {"tokenize"};
  all.insert(all.end(), arguments.begin(), arguments.end());
  const ProcessResult ids = run_switchyard(all);
  EXPECT_EQ(ids.exit_code, 0) << ids.err;
  return run_switchyard({"tokenize", "--detokenize", "-p", ids.out}).out;
}

TEST(Arguments, ANameOfSeveralLettersIsNeverALetterAndItsValue) {
  for (const char* name : {"-rx", "-px", "-mx", "-hx", "-nx", "-fx", "-h8x", "-t8x", "-sixteen", "-hh"})
    expect_usage_error({"run", name}, std::string(name) + ": no such flag of run");
  expect_usage_error({"run", "-threads", "2"}, "-threads: ", "did you mean --threads?");
}

TEST(Arguments, ANumberMayBeGluedToALetter) {
  const std::string text = run({"-n", "9"}).out;
  EXPECT_EQ(run({"-n9"}).out, text);
  EXPECT_EQ(run({"-n=9"}).out, text);
  EXPECT_NE(run({"-n4"}).out, text);
  EXPECT_EQ(run({"-n-1", "-c16"}).out, run({"-n", "-1", "-c", "16"}).out);
  expect_usage_error({"run", "-t0"}, "--threads: ");
}

TEST(Arguments, ValuesStayAsTheyAre) {
  for (const char* text :
       {"-ot", "-ngl=99 means what?", "--prompt", "-h", "--", "-", "-1", "[a,b]", "a=b", "--top_k"}) {
    EXPECT_EQ(value_of({"-p", text}), text);
    EXPECT_EQ(value_of({"--prompt", text}), text);
    EXPECT_EQ(value_of({std::string("--prompt=") + text}), text);
  }
  // A repeatable one, one of a kind that is known by an alias, and the place of a value that is missing.
  expect_usage_error({"run", "-p", "x", "-r", "-fa", "--no-such"}, "--no-such: ");
  expect_usage_error({"run", "-p", "x", "-tb", "--no-such", "-n", "x"}, "--predict: ");
  expect_usage_error({"run", "-p"}, "-p: its value is missing");
  // Places without a flag, before and after --.
  const ProcessResult place = run_switchyard({"info", "--", "-ot"});
  EXPECT_EQ(place.exit_code, 1);
  EXPECT_NE(place.err.find(" -ot"), std::string::npos) << place.err;
  expect_usage_error({"run", "-p", "a", "fox"}, "fox: ");
}

TEST(Arguments, WholeNumbersAreDecimalAndInRange) {
  for (const char* number : {"99999999999999999999", "-99999999999999999999", "0x10", "1e3", "5.0", "five",
                             "", " 5", "+5", "5k"}) {
    expect_usage_error({"run", "-p", "x", "--seed", number}, "--seed: expected a whole number");
    expect_usage_error({"run", "-p", "x", "--top-k", number}, "--top-k: expected a whole number");
    expect_usage_error({"bench", "-c", number}, "--ctx-size: expected a whole number");
    expect_usage_error({"perplexity", "-f", "x", "--chunks", number}, "--chunks: expected a whole number");
    expect_usage_error({"split", "a", "b", "--split-max-tensors", number},
                       "--split-max-tensors: expected a whole");
    expect_usage_error({"quantize", "a", "b", "Q8_0", "-t", number}, "--threads: expected a whole number");
    expect_usage_error({"run", "-p", "x", "-ngl", number}, "--n-gpu-layers: expected a number of layers");
  }
  for (const char* text : {"abc", "0.5x", "0,5", "0x1", ""})
    expect_usage_error({"run", "-p", "x", "--temp", text}, "--temp: expected a number");
  EXPECT_NE(run({"-n", "1", "--temp", "+5e-1"}).err.find("temperature 0.5;"), std::string::npos);
  EXPECT_EQ(run({"-n", "010"}).out, run({"-n", "10"}).out);
  EXPECT_NE(run({"-n", "1", "--top-k", "010"}).err.find("top_k 10;"), std::string::npos);
}

TEST(Arguments, AnEmptyModelNameIsAnError) {
  const char* says = "is a variable unset?";
  for (const Arguments& command : {Arguments{"run", "-p", "x"},
                                   {"perplexity", "-f", "x"},
                                   {"bench"},
                                   {"info"},
                                   {"tokenize", "-p", "x"},
                                   {"selftest"}}) {
    Arguments empty = command;
    empty.insert(empty.end(), {"-m", ""});
    expect_usage_error(empty, "--model: ", says);
    expect_usage_error(command, "--model: ", "(from the environment: SWITCHYARD_MODEL)",
                       {"SWITCHYARD_MODEL="});
  }
  expect_usage_error({"info", ""}, "FILE: ", says);
  const std::vector<Arguments> empty_values = {{"perplexity", "-f", "sample", "--save-logits", ""},
                                               {"perplexity", "-f", "sample", "--kl-against", ""},
                                               {"routing", "-f", "sample", "-o", ""},
                                               {"routing", "-f", "sample", "--svg="},
                                               {"bench", "--plot", ""},
                                               {"run", "-f", ""},
                                               {"run", "--samplers", "", "-p", "x"},
                                               {"run", "--experts", "", "-p", "x"},
                                               {"run", "-dev", "", "-p", "x"},
                                               {"tokenize", "-f", ""},
                                               {"quantize", "", "out.gguf", "Q8_0"},
                                               {"convert", "", "-o", "out.gguf"}};
  for (const Arguments& arguments : empty_values) expect_usage_error(arguments, "", says);
  expect_usage_error({"run", "-p", "x", "--model="}, "--model: ", says);
}

TEST(Arguments, TheLastOfTwoEqualFlagsCounts) {
  const std::string text = run({"-n", "9"}).out;
  EXPECT_EQ(run({"-n", "4", "--n-predict", "9"}).out, text);
  EXPECT_EQ(run({"-n", "9", "-s", "5", "-s", "3"}).out, text);
  EXPECT_EQ(run({"-n", "9", "-p", "A fox", "-p", "Once upon"}).out, text);
  EXPECT_EQ(run({"-n", "9", "-ub", "8", "-ub", "4", "--repack", "--no-repack"}).out, text);
  EXPECT_NE(run({"-n", "1", "-ger", "-no-ger"}).err.find("standard (all groups)"), std::string::npos);
  EXPECT_NE(run({"-n", "1", "-no-ger", "-ger"}).err.find("grouped (4 of 8 groups)"), std::string::npos);
}

TEST(Arguments, AnUnknownFlagIsToldBeforeAMissingOne) {
  expect_usage_error({"convert", "DIR", "--outfiel", "a.gguf"}, "--outfiel: ", "did you mean --outfile?");
  expect_usage_error({"perplexity", "--fiel", "x"}, "--fiel: ", "did you mean --file?");
  expect_usage_error({"trace", "--nonsense"}, "--nonsense: ", "switchyard trace -h");
  expect_usage_error({"-m", "x", "run"}, "a subcommand comes first");
  const ProcessResult usual =
      run_switchyard({"convert", "no-such-folder", "--outfile", "x", "--model-name", "y"});
  EXPECT_EQ(usual.exit_code, 1) << usual.err;
}

TEST(Arguments, EveryLongNameWorksFromTheEnvironment) {
  const std::string text = run({"-n", "9"}).out;
  for (const char* name : {"SWITCHYARD_N_PREDICT=9", "SWITCHYARD_PREDICT=9"})
    EXPECT_EQ(run({}, {name}).out, text);
  EXPECT_EQ(run({"-n", "9"}, {"SWITCHYARD_N_PREDICT=2"}).out, text);
  EXPECT_NE(run({"-n", "1"}, {"SWITCHYARD_NO_GROUPED_EXPERT_ROUTING=1"}).err.find("standard"),
            std::string::npos);
  EXPECT_NE(run({"-n", "1", "-ger"}, {"SWITCHYARD_NO_GROUPED_EXPERT_ROUTING=1"}).err.find("grouped ("),
            std::string::npos);
  EXPECT_EQ(run({"-n", "9"}, {"SWITCHYARD_FILE=no-such-file"}).out, text) << "flags win";
  const ProcessResult system =
      run_switchyard({"run", "-p", "hi", "-n", "1"}, {.environment = {"SWITCHYARD_SYSTEM_PROMPT=x"}});
  EXPECT_NE(system.err.find("--system acts in a chat only"), std::string::npos) << system.err;
  EXPECT_EQ(run({"-n", "9"}, {"SWITCHYARD_DRAFT_TOKENS=2"}).out, text)
      << "a setting of a flag that is not there";
  EXPECT_EQ(run({"-n", "9"}, {"SWITCHYARD_REPACK=1"}).out, text);
  expect_usage_error({"run", "-p", "x"},
                     "--repack: expected on or off, got maybe (from the environment: ", "",
                     {"SWITCHYARD_REPACK=maybe"});
  expect_usage_error({"run", "-p", "x", "--no-fused=2"}, "--no-fused: expected on or off");
  expect_usage_error({"bench"}, "--n-decode: ", "(from the environment: SWITCHYARD_N_DECODE)",
                     {"SWITCHYARD_N_DECODE=x"});
  const ProcessResult late = run_switchyard({"run", "-p", "x"}, {.environment = {"SWITCHYARD_TOP_P=7"}});
  EXPECT_EQ(late.exit_code, 1);
  EXPECT_NE(late.err.find("(from the environment: SWITCHYARD_TOP_P)"), std::string::npos) << late.err;
  const ProcessResult flag =
      run_switchyard({"run", "-p", "x", "--top-p", "8"}, {.environment = {"SWITCHYARD_TOP_P=7"}});
  EXPECT_EQ(flag.err.find("environment"), std::string::npos) << flag.err;
}

TEST(Arguments, AnUnknownVariableIsNoted) {
  const ProcessResult near = run({"-n", "1"}, {"SWITCHYARD_THREDS=2"});
  EXPECT_NE(near.err.find("SWITCHYARD_THREDS in the environment has no effect"), std::string::npos)
      << near.err;
  EXPECT_NE(near.err.find("did you mean SWITCHYARD_THREADS?"), std::string::npos) << near.err;
  EXPECT_EQ(run({"-n", "1"}, {"SWITCHYARD_STRIDE=2"}).err.find("STRIDE"), std::string::npos)
      << "another tool's";
}

TEST(Arguments, HelpIsASubcommandToo) {
  EXPECT_EQ(run_switchyard({"help"}).out, run_switchyard({"-h"}).out);
  EXPECT_EQ(run_switchyard({"help", "tokenize"}).out, run_switchyard({"tokenize", "-h"}).out);
  EXPECT_NE(run_switchyard({"help"}).out.find("Subcommands:"), std::string::npos);
  expect_usage_error({"quantise", "a"}, "unknown subcommand: quantise; did you mean quantize?");
}

TEST(Arguments, EscapesAreReadWhereAskedFor) {
  EXPECT_TRUE(run({"-n", "1", "-p", "a\\nb\\\\n"}).out.starts_with("a\\nb\\\\n"));
  EXPECT_TRUE(run({"-n", "1", "-e", "-p", "a\\nb\\\\n"}).out.starts_with("a\nb\\n"));
  EXPECT_TRUE(run({"-n", "1", "-e", "--no-escape", "-p", "a\\nb"}).out.starts_with("a\\nb"));
}

}  // namespace
}  // namespace sw
