// SPDX-License-Identifier: MIT
#include "convert/split.h"

#include <functional>
#include <gtest/gtest.h>

#include "base/input_files.h"
#include "convert/quantize.h"
#include "formats/gguf.h"
#include "formats/gguf_split.h"
#include "support/converted_file.h"
#include "support/refusal.h"

namespace sw {
namespace {

namespace fs = std::filesystem;
using testing::expect_refused;

/// golden/bailing_moe_v2 at f32: 40 tensors, the largest of 131 kB.
class Split : public testing::TinyLingFile {
 protected:
  fs::path prefix() const { return folder() / "part"; }
  fs::path out() const { return folder() / "out.gguf"; }
  std::vector<SplitPart> split(const SplitOptions& options = {.max_tensors = 15}) const {
    return split_gguf(file(), prefix(), options);
  }
  /// Writes a part again with a change to its metadata.
  void edit(const fs::path& part, const std::function<void(GgufWriter&)>& change) const {
    const fs::path alone = folder() / "alone.gguf";  // with a name and a count that nobody follows
    fs::copy(part, alone);
    std::string bytes = read_file(alone);
    const GgufFile file(std::as_bytes(std::span(bytes)), "alone");
    GgufWriter writer(part);
    for (const auto& [key, value] : file.metadata().entries()) writer.set(key, value);
    change(writer);
    for (const GgufTensor& t : file.tensors()) writer.add_tensor(t.name, *type_from_id(t.type_id), t.shape);
    for (const GgufTensor& t : file.tensors()) writer.write_tensor({t.data, t.size_bytes});
    writer.finish();
    fs::remove(alone);
  }
  void expect_refuses(const fs::path& first, const std::string& says, const fs::path& names) const {
    expect_refused([&] { GgufFile{first}; }, says);
    expect_refused([&] { GgufFile{first}; }, names.string());
  }
};

TEST_F(Split, MergedItHasTheBytesThatItHad) {
  const std::string original = read_file(file());
  const size_t n_tensor = GgufFile(file()).tensors().size();
  const SplitOptions all[] = {{.max_tensors = 1},
                              {.max_tensors = 15},
                              {.max_tensors = 15, .first_without_tensors = true},
                              {.max_bytes = 200'000},
                              {.max_bytes = 1, .max_tensors = 7},
                              {.max_bytes = 1'000'000'000}};
  const size_t n_parts[] = {n_tensor, (n_tensor + 14) / 15, (n_tensor + 14) / 15 + 1, 0, n_tensor, 1};
  for (size_t i = 0; i < std::size(all); ++i) {
    const std::vector<SplitPart> parts = split(all[i]);
    if (n_parts[i] > 0) {
      EXPECT_EQ(parts.size(), n_parts[i]) << i;
    }
    EXPECT_EQ(GgufFile(parts[0].path).tensors().size(), n_tensor) << "the other parts are found";
    if (parts.size() > 1) {
      merge_gguf(parts[0].path, out());
      EXPECT_TRUE(read_file(out()) == original) << i;
    }
    for (const SplitPart& part : parts) fs::remove(part.path);
  }
  EXPECT_EQ(std::distance(fs::directory_iterator(folder()), {}), 2) << "nothing else was left";
}

TEST_F(Split, PartsKeepTheLimits) {
  for (const SplitPart& part : split({.max_bytes = 200'000})) {
    EXPECT_GT(part.n_tensor, 0u);
    EXPECT_LE(part.tensor_bytes, 200'000u);
    const std::string bytes = read_file(part.path);
    const GgufFile alone(std::as_bytes(std::span(bytes)), "alone");
    EXPECT_EQ(alone.tensors().size(), part.n_tensor);
    EXPECT_EQ(alone.metadata().find("general.architecture") != nullptr, part.first_tensor == 0);
    EXPECT_EQ(alone.metadata().find(gguf::kSplitNo)->type, GgufType::U16) << "as other readers demand";
    EXPECT_EQ(alone.metadata().find(gguf::kSplitCount)->type, GgufType::U16);
    EXPECT_EQ(alone.metadata().find(gguf::kSplitTensorCount)->type, GgufType::I32);
  }
  const std::vector<SplitPart> parts = split({.max_tensors = 15, .first_without_tensors = true});
  EXPECT_EQ(parts[0].n_tensor, 0u);
  EXPECT_EQ(parts[1].n_tensor, 15u);
}

TEST_F(Split, DryRunWritesNothing) {
  const std::vector<SplitPart> parts = split({.max_tensors = 15, .dry_run = true});
  EXPECT_EQ(parts[0].path.filename(), "part-00001-of-00003.gguf");
  for (const SplitPart& part : parts) EXPECT_FALSE(fs::exists(part.path));
}

TEST_F(Split, SplitsAreSplitMergedAndQuantizedLikeWholeFiles) {
  const auto parts = split();
  const std::string original = read_file(file());
  const auto again = split_gguf(parts[0].path, folder() / "again", {.max_tensors = 5});
  merge_gguf(again[0].path, out());
  EXPECT_TRUE(read_file(out()) == original);
  quantize(file(), out(), "Q8_0");
  const std::string whole = read_file(out());
  quantize(parts[0].path, out(), "Q8_0");
  EXPECT_TRUE(read_file(out()) == whole);
}

TEST_F(Split, MergedFilesOfMainlineSayZeroParts) {
  edit(file(), [](GgufWriter& writer) {
    writer.set(gguf::kSplitNo, GgufValue::u16(0));
    writer.set(gguf::kSplitCount, GgufValue::u16(0));
  });
  EXPECT_EQ(GgufFile(file()).tensors().size(), 40u);
  expect_refused([&] { merge_gguf(file(), out()); }, "not a part of a split model");
}

TEST_F(Split, SaysWhichPartIsMissingOrNamedAmiss) {
  const auto parts = split();
  const fs::path first = parts[0].path, second = parts[1].path;
  expect_refuses(second, "this is not the first part of a split model", second);
  const fs::path renamed = folder() / "renamed.gguf";
  fs::copy(first, renamed);
  expect_refuses(renamed, "expected NAME-00001-of-00003.gguf", renamed);
  fs::rename(second, folder() / "elsewhere");
  expect_refuses(first, "a part of a split model is missing", second);
  fs::copy(parts[2].path, second);
  expect_refuses(first, "does not match its name", second);
}

TEST_F(Split, SaysWhichPartIsOfAnotherSplit) {
  const auto parts = split();
  const fs::path first = parts[0].path, third = parts[2].path;
  edit(third, [](GgufWriter& w) { w.set(gguf::kSplitCount, GgufValue::u16(4)); });
  expect_refuses(first, "counts other parts", third);
  split();
  edit(third, [](GgufWriter& w) { w.set(gguf::kSplitTensorCount, GgufValue::i32(7)); });
  expect_refuses(first, "a part of another model", third);
  split();
  edit(third, [](GgufWriter& w) { w.set(gguf::kSplitFingerprint, GgufValue::u64(7)); });
  expect_refuses(first, "a part of another model", third);
  split();
  edit(third, [](GgufWriter& w) { w.set(gguf::kSplitNo, GgufValue::string("two")); });
  expect_refuses(first, "expected an integer", third);
}

/// Without a fingerprint, as in files of others, tensors tell.
TEST_F(Split, TensorsTwiceOrMissingTellOfAnotherModel) {
  split();
  const auto parts = split();
  const fs::path first = parts[0].path, second = parts[1].path, third = parts[2].path;
  edit(first, [](GgufWriter& w) { w.set(gguf::kSplitTensorCount, GgufValue::i32(500)); });
  for (const fs::path& other : {second, third}) {
    edit(other, [](GgufWriter& w) { w.set(gguf::kSplitTensorCount, GgufValue::i32(500)); });
  }
  expect_refuses(first, "do not have all of its tensors", first);
  fs::copy(second, third, fs::copy_options::overwrite_existing);
  edit(third, [](GgufWriter& w) { w.set(gguf::kSplitNo, GgufValue::u16(2)); });
  expect_refuses(first, "two parts of a split model have the same tensor", third);
}

TEST_F(Split, NeverWritesOverItsInput) {
  const InputProtection protection;
  const auto parts = split();
  expect_refused([&] { merge_gguf(parts[0].path, parts[1].path); }, "input and output are the same file");
  expect_refused([&] { split_gguf(parts[0].path, prefix(), {.max_tensors = 15}); },
                 "input and output are the same file");
}

TEST(SplitSize, IsAWholeNumberOfMillions) {
  EXPECT_EQ(parse_size("300M", "--split-max-size"), 300'000'000u);
  EXPECT_EQ(parse_size("2G", "--split-max-size"), 2'000'000'000u);
  for (const char* bad : {"", "2", "G", "0G", "-1G", "1.5G", "2K", "2GB", " 2G", "99999999999999999999G"}) {
    expect_refused([&] { parse_size(bad, "--split-max-size"); }, "a whole number and M or G");
  }
}

}  // namespace
}  // namespace sw
