// SPDX-License-Identifier: MIT
#include <algorithm>
#include <fstream>
#include <gtest/gtest.h>

#include "convert/quantize.h"
#include "convert/split.h"
#include "formats/gguf.h"
#include "formats/gguf_split.h"
#include "support/converted_file.h"
#include "support/refusal.h"

namespace sw {
namespace {

namespace fs = std::filesystem;
using testing::expect_refused;

/// golden/bailing_moe_v2 in three parts of 15, 15 and 10 tensors.
class KeepSplit : public testing::TinyLingFile {
 protected:
  void SetUp() override {
    TinyLingFile::SetUp();
    if (!IsSkipped()) split_gguf(file(), folder() / "in", {.max_tensors = 15});
  }
  fs::path in() const { return gguf::split_path(folder() / "in", 0, 3); }
  fs::path part(int i) const { return gguf::split_path(folder() / "out", i, 3); }
  QuantizeReport run(QuantizeOptions options = {}, const char* mix = "Q8_0", const char* out = "out") const {
    options.keep_split = true;
    return quantize(in(), folder() / out, mix, options);
  }
  static bool has_line(const std::vector<std::string>& lines, const std::string& part) {
    return std::ranges::any_of(lines, [&](const std::string& line) { return line.find(part) != line.npos; });
  }
};

TEST_F(KeepSplit, PartsHoldWhatTheInputsHold) {
  const QuantizeReport report = run();
  ASSERT_EQ(report.paths.size(), 3u);
  uint64_t bytes = 0;
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(report.paths[static_cast<size_t>(i)], part(i));
    bytes += fs::file_size(part(i));
  }
  EXPECT_EQ(report.file_bytes, bytes);
  const GgufFile source(in()), made(part(0));
  ASSERT_EQ(made.tensors().size(), source.tensors().size());
  for (size_t i = 0; i < made.tensors().size(); ++i) {
    EXPECT_EQ(made.tensors()[i].name, source.tensors()[i].name);
    EXPECT_EQ(made.tensors()[i].split, source.tensors()[i].split);
  }
  merge_gguf(part(0), folder() / "merged.gguf");
  quantize(file(), folder() / "whole.gguf", "Q8_0");
  EXPECT_TRUE(read_file(folder() / "merged.gguf") == read_file(folder() / "whole.gguf"));
}

TEST_F(KeepSplit, OutMayBeAPrefixAFileOrAFirstPart) {
  for (const char* out : {"out", "out.gguf", "out-00001-of-00003.gguf"}) {
    EXPECT_EQ(run({.dry_run = true}, "Q8_0", out).paths.front(), part(0)) << out;
    EXPECT_FALSE(fs::exists(part(0)));
  }
}

TEST_F(KeepSplit, AWholeFileStaysOne) {
  const QuantizeReport report = quantize(file(), folder() / "one.gguf", "Q8_0", {.keep_split = true});
  EXPECT_EQ(report.paths, std::vector<fs::path>{folder() / "one.gguf"});
  EXPECT_TRUE(fs::exists(folder() / "one.gguf"));
}

/// As after a kill: some parts are there, the first is not.
TEST_F(KeepSplit, ASecondRunContinuesAtTheLastFinishedPart) {
  run();
  const std::string first = read_file(part(0)), third = read_file(part(2));
  fs::remove(part(0));
  fs::remove(part(2));
  const auto before = fs::last_write_time(part(1));
  uint64_t last = 0;
  const QuantizeReport report = run({.progress = [&](uint64_t done, uint64_t) { last = done; }});
  EXPECT_TRUE(has_line(report.notes, part(1).string() + ": finished by an earlier run"));
  EXPECT_EQ(report.n_kept, 1u);
  EXPECT_EQ(fs::last_write_time(part(1)), before);
  EXPECT_EQ(last, report.to_bytes) << "what was finished counts as done";
  EXPECT_TRUE(read_file(part(0)) == first);
  EXPECT_TRUE(read_file(part(2)) == third);
}

/// What was interrupted is what a run left that failed at the last part.
TEST_F(KeepSplit, AFailedRunLeavesWholePartsOnly) {
  run({}, "Q4_0");  // of another request; its first part must not stay beside new ones
  int n_tensor = 0;
  const auto fail = [&](uint64_t, uint64_t) {
    if (++n_tensor == 20) throw Error({.what = "enough"});
  };
  EXPECT_THROW(run({.progress = fail}), Error);
  EXPECT_TRUE(fs::exists(part(1)));
  EXPECT_FALSE(fs::exists(part(0))) << "nothing that looks whole";
  const QuantizeReport report = run();
  EXPECT_TRUE(has_line(report.notes, part(1).string() + ": finished by an earlier run"));
  EXPECT_EQ(report.n_kept, 1u);
  EXPECT_EQ(GgufFile(part(0)).tensors().size(), 40u);
}

TEST_F(KeepSplit, AWayThatIsBarredIsRefusedBeforeTheWork) {
  fs::create_directory(part(2));
  uint64_t last = 0;
  EXPECT_THROW(run({.progress = [&](uint64_t done, uint64_t) { last = done; }}), Error);
  EXPECT_EQ(last, 0u);
  EXPECT_FALSE(fs::exists(part(1)));
}

/// Other weights, other metadata, other cuts of the same tensors.
TEST_F(KeepSplit, PartsOfAnotherInputAreWrittenAnew) {
  const auto parts = [&] { return read_file(part(0)) + read_file(part(1)) + read_file(part(2)); };
  run();
  const std::string before = parts();
  std::string input = read_file(gguf::split_path(folder() / "in", 2, 3));
  input[input.size() - 40] = static_cast<char>(input[input.size() - 40] ^ 1);  // a bit of the last weights
  std::ofstream(gguf::split_path(folder() / "in", 2, 3), std::ios::binary) << input;
  EXPECT_EQ(run().n_kept, 0u);
  EXPECT_EQ(run().n_kept, 3u);

  const GgufFile source(file());
  {
    GgufWriter writer(folder() / "named.gguf");
    for (const auto& [key, value] : source.metadata().entries()) writer.set(key, value);
    writer.set("general.name", GgufValue::string("another name"));
    for (const GgufTensor& t : source.tensors()) writer.add_tensor(t.name, source.require_type(t), t.shape);
    for (const GgufTensor& t : source.tensors()) writer.write_tensor({t.data, t.size_bytes});
    writer.finish();
  }
  const auto cut = [&](const fs::path& whole, int64_t max_tensors) {
    for (int i = 0; i < 3; ++i) fs::remove(gguf::split_path(folder() / "in", i, 3));
    split_gguf(whole, folder() / "in", {.max_tensors = static_cast<size_t>(max_tensors)});
  };
  cut(file(), 15);
  run();
  EXPECT_TRUE(parts() == before);
  cut(folder() / "named.gguf", 15);
  EXPECT_EQ(run().n_kept, 2u) << "only the first part has the name";
  EXPECT_EQ(GgufFile(part(0)).metadata().get_string("general.name"), "another name");
  cut(file(), 16);
  run();
  EXPECT_EQ(GgufFile(part(0)).tensors().size(), 40u) << "no part of the other cut is among them";
}

TEST_F(KeepSplit, PartsOfAnotherRequestAreWrittenAnew) {
  const auto starts_again = [&](const QuantizeOptions& options, const char* mix) {
    run();
    const QuantizeReport report = run(options, mix);
    EXPECT_FALSE(has_line(report.notes, "finished by an earlier run")) << mix;
    EXPECT_EQ(GgufFile(part(0)).tensors().size(), 40u);
  };
  starts_again({}, "Q5_1");
  starts_again({.tensor_types = {parse_tensor_type_rule("blk.1.ffn_down_exps=f16")}}, "Q8_0");
  ImportanceMatrix matrix{.routing = ""};
  const GgufFile source(file());
  const auto n_col = static_cast<size_t>(source.find_tensor("blk.2.attn_qkv.weight")->shape.n_cols());
  matrix.tensors["blk.2.attn_qkv.weight"] = {std::vector<float>(n_col, 1.0f), {1}};
  starts_again({.importance = &matrix, .importance_name = "m"}, "Q8_0");
}

TEST_F(KeepSplit, DamagedPartsAreWrittenAnew) {
  run();
  const std::string whole = read_file(part(1));
  fs::resize_file(part(1), whole.size() - 32);
  run();
  EXPECT_TRUE(read_file(part(1)) == whole);
  std::ofstream(part(1), std::ios::binary) << std::string(whole.size(), 'x');
  run();
  EXPECT_TRUE(read_file(part(1)) == whole);
}

TEST_F(KeepSplit, NeverWritesOverItsInput) {
  expect_refused([&] { run({}, "Q8_0", "in"); }, "in-00001-of-00003.gguf");
  expect_refused([&] { run({.dry_run = true}, "Q8_0", "in.gguf"); }, "in-00001-of-00003.gguf");
  EXPECT_EQ(GgufFile(in()).tensors().size(), 40u);
}

}  // namespace
}  // namespace sw
