// SPDX-License-Identifier: MIT
// Importance matrices and the choices of `quantize`, as a user meets them.
#include <fstream>
#include <gtest/gtest.h>

#include "base/file.h"
#include "formats/gguf.h"
#include "support/process.h"
#include "support/test_data.h"

namespace sw::testing {
namespace {

using Arguments = std::vector<std::string>;

void expect_line(const ProcessResult& r, int exit_code, const std::string& says) {
  EXPECT_EQ(r.exit_code, exit_code) << r.err;
  EXPECT_NE(r.err.find(says), std::string::npos) << r.err;
  EXPECT_EQ(r.out, "");
}

class Imatrix : public ::testing::Test {
 protected:
  /// The default model, which is quantised: what is made of it is small.
  std::string model_ = (source_dir() / "models" / "fable-ling-Q4_K_M.gguf").string();
  std::string path(const char* name) const { return (temp_.path() / name).string(); }
  ProcessResult measure(const std::string& out, Arguments flags = {}) const {
    flags.insert(flags.begin(), {"imatrix", "-f", "sample", "-c", "64", "--chunks", "1", "-o", out});
    return run_switchyard(flags);
  }
  ProcessResult quantize(Arguments flags) const {
    flags.insert(flags.begin(), {"quantize", model_, path("out.gguf"), "--allow-requantize", "--dry-run"});
    return run_switchyard(flags);
  }

  TempDir temp_;
};

TEST_F(Imatrix, IsMeasuredShownMergedAndUsed) {
  const std::string one = path("one.gguf"), both = path("both.gguf");
  ProcessResult r = measure(one);
  EXPECT_EQ(r.exit_code, 0) << r.err;
  EXPECT_EQ(r.out, "");
  EXPECT_NE(r.err.find("1 chunks of 64 tokens"), std::string::npos) << r.err;
  EXPECT_EQ(*GgufFile(one).metadata().get_strings("imatrix.datasets"), Arguments{"sample"});

  r = run_switchyard({"imatrix", "--in-file", one, "--in-file", one, "-o", both});
  EXPECT_EQ(r.exit_code, 0) << r.err;
  EXPECT_EQ(GgufFile(both).metadata().require_int("imatrix.chunk_count"), 2);
  r = run_switchyard({"imatrix", "--in-file", both, "--show-statistics"});
  EXPECT_EQ(r.exit_code, 0) << r.err;
  EXPECT_NE(r.out.find("2 chunks of 64 tokens, routing: the model's own\n"), std::string::npos) << r.out;
  EXPECT_NE(r.out.find("blk.1.ffn_down_exps.weight                 32 "), std::string::npos) << r.out;

  r = quantize({"--imatrix", both, "IQ3_XXS"});
  EXPECT_EQ(r.exit_code, 0) << r.err;
  EXPECT_EQ(r.err.find("warning"), std::string::npos) << r.err;
  EXPECT_NE(r.err.find("token_embd.weight, output.weight): not in the importance matrix"), std::string::npos)
      << r.err;
}

/// 64 tokens reach few experts of 32: the others are named, by both commands.
TEST_F(Imatrix, NamesExpertsThatNoTokenReached) {
  const std::string file = path("few.gguf");
  const ProcessResult made = measure(file, {"--experts", "1"});
  EXPECT_NE(made.err.find(" of 32 experts ("), std::string::npos) << made.err;
  EXPECT_NE(made.err.find("saw no token"), std::string::npos) << made.err;
  const ProcessResult used = quantize({"--imatrix", file, "IQ3_XXS"});
  EXPECT_NE(used.err.find(" of 32 experts ("), std::string::npos) << used.err;
  EXPECT_NE(used.err.find("is encoded as without one"), std::string::npos) << used.err;
}

TEST_F(Imatrix, QuantizeWarnsOfAnotherRouting) {
  const std::string file = path("other.gguf"), own = path("own.gguf");
  for (const Arguments& flags : {Arguments{"--experts", "2"}, {"-no-ger"}, {"-ser", "1,0.5"}}) {
    EXPECT_EQ(measure(file, flags).exit_code, 0);
    EXPECT_NE(
        quantize({"--imatrix", file, "Q8_0"}).err.find("made with another routing than the model's own"),
        std::string::npos)
        << flags.front();
  }
  EXPECT_EQ(measure(file, {"--override-kv", "bailingmoe2.expert_used_count=int:2"}).exit_code, 0);
  EXPECT_NE(quantize({"--imatrix", file, "Q8_0"}).err.find("bailingmoe2.expert_used_count 2 (the model: 4)"),
            std::string::npos);
  // A flag that asks for what the model does anyway is no other routing.
  EXPECT_EQ(measure(own, {"-ger", "--experts", "4"}).exit_code, 0);
  EXPECT_EQ(quantize({"--imatrix", own, "Q8_0"}).err.find("another routing"), std::string::npos);
  const ProcessResult merged =
      run_switchyard({"imatrix", "--in-file", own, "--in-file", file, "-o", path("m.gguf")});
  expect_line(merged, 1, "with another routing");
}

TEST_F(Imatrix, BadRequestsGetOneLine) {
  expect_line(run_switchyard({"imatrix"}), 2, "expected a text (-f FILE), or matrices");
  expect_line(run_switchyard({"imatrix", "--in-file", model_, "-o", path("x.gguf")}), 1,
              "no importance matrix");
  expect_line(run_switchyard({"imatrix", "--in-file", path("none"), "-o", path("x.gguf")}), 1, path("none"));
  std::ofstream(path("text")) << "plain text, and no matrix";
  expect_line(run_switchyard({"imatrix", "--in-file", path("text"), "-o", path("x.gguf")}), 1, path("text"));
  expect_line(measure(path("no/such/folder.gguf")), 1, "cannot create");
  expect_line(measure(model_), 1, model_);
  expect_line(measure(path("x.gguf"), {"-f", path("text")}), 1, "too short");
  for (const Arguments& flags :
       {Arguments{"--device", "fake:1"}, {"-ngl", "3"}, {"-ot", "exps=CPU"}, {"--no-fused"}})
    expect_line(measure(path("x.gguf"), flags), 1, "importance is measured on the CPU");
  EXPECT_FALSE(std::filesystem::exists(path("x.gguf")));
  expect_line(quantize({"--imatrix", model_, "Q8_0"}), 1, "no importance matrix");
  expect_line(quantize({"--imatrix", path("none"), "Q8_0"}), 1, path("none"));
}

TEST_F(Imatrix, OfAnotherModelIsRefused) {
  SW_DATA_OR_SKIP(mixtral, "interop/mixtral.gguf");
  std::ofstream(path("text")) << std::string(400, 'a') + " b c d e f g";
  const std::string file = path("mixtral.gguf");
  const ProcessResult made =
      run_switchyard({"imatrix", "-m", mixtral, "-f", path("text"), "-c", "8", "--chunks", "1", "-o", file});
  ASSERT_EQ(made.exit_code, 0) << made.err;
  expect_line(quantize({"--imatrix", file, "Q8_0"}), 1, "the importance matrix is of another model");
}

TEST_F(Imatrix, TargetsTakeThePlaceOfTheType) {
  const ProcessResult r = quantize({"--target-size", "24M", "--tensor-type", "exps=q4_k"});
  EXPECT_EQ(r.exit_code, 0) << r.err;
  EXPECT_NE(r.out.find("bits per weight"), std::string::npos) << r.out;
  expect_line(quantize({}), 2, "expected one of TYPE, --target-bpw and --target-size");
  expect_line(quantize({"Q8_0", "--target-bpw", "4"}), 2, "expected only one of");
  expect_line(quantize({"--target-size", "1G", "--target-bpw", "4"}), 2, "expected only one of");
  expect_line(quantize({"--target-size", "24"}), 1, "--target-size: expected a whole number and M or G");
  expect_line(quantize({"--target-bpw", "x"}), 2, "--target-bpw: expected a number");
  expect_line(quantize({"--target-bpw", "1", "--tensor-type", "exps=q4_k"}), 1,
              "--target-bpw: expected at least ");
}

TEST_F(Imatrix, KeepSplitWritesAsManyParts) {
  ASSERT_EQ(run_switchyard({"split", model_, path("in"), "--split-max-tensors", "40"}).exit_code, 0);
  const ProcessResult r = run_switchyard({"quantize", path("in-00001-of-00003.gguf"), path("out.gguf"),
                                          "Q8_0", "--keep-split", "--allow-requantize"});
  EXPECT_EQ(r.exit_code, 0) << r.err;
  EXPECT_NE(r.err.find("out-00001-of-00003.gguf (3 of 3 parts)"), std::string::npos) << r.err;
  EXPECT_EQ(GgufFile(path("out-00001-of-00003.gguf")).tensors().size(), 82u);
}

}  // namespace
}  // namespace sw::testing
