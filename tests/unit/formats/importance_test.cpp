// SPDX-License-Identifier: MIT
#include "formats/importance.h"

#include <cstring>
#include <functional>
#include <gtest/gtest.h>
#include <limits>

#include "base/file.h"
#include "support/refusal.h"
#include "support/test_data.h"

namespace sw {
namespace {

namespace fs = std::filesystem;
using testing::expect_refused;

/// A stack of two experts, the second of which saw nothing, and a matrix of three columns.
ImportanceMatrix small_matrix() {
  ImportanceMatrix matrix{.datasets = {"story.txt"},
                          .n_chunk = 2,
                          .chunk_tokens = 4,
                          .architecture = "bailingmoe2",
                          .routing = "",
                          .expert_keys = {{"bailingmoe2.expert_used_count", "4"}}};
  matrix.tensors["blk.0.ffn_up_exps.weight"] = {.sum_squares = {2, 4, 0, 0}, .counts = {8, 0}};
  matrix.tensors["blk.0.attn_q.weight"] = {.sum_squares = {1, 2, 3}, .counts = {8}};
  return matrix;
}

class ImportanceFile : public ::testing::Test {
 protected:
  fs::path path() const { return temp_.path() / "imatrix.gguf"; }
  /// What is read of a file of these tensors.
  ImportanceMatrix read(const std::function<void(GgufWriter&)>& metadata,
                        const std::vector<std::pair<std::string, std::vector<float>>>& tensors) const {
    {
      GgufWriter writer(path());
      metadata(writer);
      for (const auto& [name, values] : tensors) writer.add_tensor(name, Type::F32, {1, std::ssize(values)});
      for (const auto& [name, values] : tensors) writer.write_tensor(std::as_bytes(std::span(values)));
      writer.finish();
    }
    return ImportanceMatrix::read(path());
  }

  testing::TempDir temp_;
};

void is_imatrix(GgufWriter& writer) { writer.set("general.type", GgufValue::string("imatrix")); }

TEST_F(ImportanceFile, ReadsWhatItWrote) {
  const ImportanceMatrix matrix = small_matrix();
  matrix.write(path());
  const ImportanceMatrix again = ImportanceMatrix::read(path());
  EXPECT_EQ(again.datasets, matrix.datasets);
  EXPECT_EQ(again.n_chunk, 2);
  EXPECT_EQ(again.chunk_tokens, 4);
  EXPECT_EQ(again.architecture, "bailingmoe2");
  EXPECT_EQ(again.routing, "");
  EXPECT_EQ(again.expert_keys, matrix.expert_keys);
  ASSERT_EQ(again.tensors.size(), 2u);
  const Importance& experts = again.tensors.at("blk.0.ffn_up_exps.weight");
  EXPECT_TRUE(experts.fits(2, 2));
  EXPECT_FALSE(experts.fits(1, 4));
  EXPECT_EQ(experts.means(0, 2), (std::vector<float>{0.25f, 0.5f}));
  EXPECT_TRUE(experts.means(1, 2).empty()) << "no input, so no mean, and no NaN";
}

/// Names, types and keys as llama-imatrix writes them; it reads ours by the same names.
TEST_F(ImportanceFile, HasMainlinesForm) {
  small_matrix().write(path());
  const GgufFile file(path());
  EXPECT_EQ(file.metadata().require_string("general.type"), "imatrix");
  EXPECT_EQ(*file.metadata().get_strings("imatrix.datasets"), std::vector<std::string>{"story.txt"});
  EXPECT_EQ(file.metadata().find("imatrix.chunk_count")->type, GgufType::U32);
  EXPECT_EQ(file.metadata().find("imatrix.chunk_size")->type, GgufType::U32);
  EXPECT_EQ(file.find_tensor("blk.0.ffn_up_exps.weight.in_sum2")->shape, (Shape{2, 2}));
  EXPECT_EQ(file.find_tensor("blk.0.ffn_up_exps.weight.counts")->shape, (Shape{2, 1}));
}

/// It writes stacks that are no experts (heads of latent attention) with one count for all.
TEST_F(ImportanceFile, OneCountMayStandForAllMatrices) {
  const ImportanceMatrix matrix = read(is_imatrix, {{"a.in_sum2", {2, 4, 6, 8}}, {"a.counts", {2}}});
  const Importance& a = matrix.tensors.at("a");
  EXPECT_TRUE(a.fits(2, 2));
  EXPECT_EQ(a.means(1, 2), (std::vector<float>{3, 4}));
  EXPECT_FALSE(matrix.routing) << "it does not say";
}

TEST_F(ImportanceFile, MergeAddsWhatBothSaw) {
  ImportanceMatrix one = small_matrix(), other = small_matrix();
  other.datasets = {"news.txt"};
  other.chunk_tokens = 8;
  other.tensors["blk.0.ffn_up_exps.weight"] = {.sum_squares = {1, 1, 5, 5}, .counts = {2, 1}};
  other.tensors["blk.1.attn_q.weight"] = {.sum_squares = {7}, .counts = {1}};
  one.merge(other, "other");
  EXPECT_EQ(one.datasets, (std::vector<std::string>{"story.txt", "news.txt"}));
  EXPECT_EQ(one.n_chunk, 2 + 4) << "two chunks of eight tokens are four of four";
  EXPECT_EQ(one.tensors.at("blk.0.ffn_up_exps.weight").sum_squares, (std::vector<float>{3, 5, 5, 5}));
  EXPECT_EQ(one.tensors.at("blk.0.ffn_up_exps.weight").counts, (std::vector<float>{10, 1}));
  EXPECT_EQ(one.tensors.at("blk.0.attn_q.weight").counts, std::vector<float>{16});
  EXPECT_EQ(one.tensors.at("blk.1.attn_q.weight").counts, std::vector<float>{1});
  EXPECT_EQ(one.routing, "");
  other.routing.reset();
  other.architecture.clear();
  one.merge(other, "of mainline");
  EXPECT_FALSE(one.routing) << "half of it is not known";
}

TEST_F(ImportanceFile, MergeRefusesAnotherModelAndLeavesAllAsItWas) {
  const auto refuses = [](const std::function<void(ImportanceMatrix&)>& change, const std::string& says) {
    ImportanceMatrix one = small_matrix(), other = small_matrix();
    change(other);
    expect_refused([&] { one.merge(other, "other.gguf"); }, says);
    expect_refused([&] { one.merge(other, "other.gguf"); }, "other.gguf");
    EXPECT_EQ(one.tensors.at("blk.0.attn_q.weight").counts, std::vector<float>{8});
  };
  refuses([](auto& m) { m.architecture = "mixtral"; }, "of another model");
  refuses([](auto& m) { m.routing = R"({"experts":2})"; }, "with another routing");
  refuses([](auto& m) { m.expert_keys.begin()->second = "2"; }, "with another routing");
  refuses([](auto& m) { m.expert_keys.clear(); }, "with another routing");
  refuses([](auto& m) { m.expert_keys["bailingmoe2.expert_group_used_count"] = "2"; },
          "with another routing");
  refuses([](auto& m) { m.chunk_tokens = 0; }, "how many tokens");
  refuses([](auto& m) { m.tensors["blk.0.ffn_up_exps.weight"].sum_squares.resize(6); },
          "tensor blk.0.ffn_up_exps.weight");
}

TEST_F(ImportanceFile, SumsAndMeansStayNumbers) {
  const float huge = 3e38f;
  ImportanceMatrix one = small_matrix(), other = small_matrix();
  one.tensors["blk.0.attn_q.weight"].sum_squares[1] = other.tensors["blk.0.attn_q.weight"].sum_squares[1] =
      huge;
  expect_refused([&] { one.merge(other, "other.gguf"); }, "no sum of squares");
  EXPECT_EQ(one.tensors.at("blk.0.ffn_up_exps.weight").counts, (std::vector<float>{8, 0}));
  expect_refused(
      [&] {
        read(is_imatrix, {{"a.in_sum2", {huge}}, {"a.counts", {1e-3f}}});
      },
      "no sum of squares");
}

TEST_F(ImportanceFile, RefusesWhatIsNoMatrix) {
  const auto nothing = [](GgufWriter&) {};
  const float inf = std::numeric_limits<float>::infinity();
  expect_refused([&] { read(nothing, {{"a.in_sum2", {1}}, {"a.counts", {1}}}); }, "no importance matrix");
  expect_refused([&] { read(is_imatrix, {{"a.in_sum2", {1}}}); }, "expected a.counts");
  expect_refused(
      [&] {
        read(is_imatrix, {{"a.in_sum2", {1, 2, 3}}, {"a.counts", {1, 2}}});
      },
      "a wrong number of counts");
  expect_refused([&] { read(is_imatrix, {{"a.in_sum2", {1, -1}}, {"a.counts", {1}}}); }, "element 1");
  expect_refused([&] { read(is_imatrix, {{"a.in_sum2", {inf}}, {"a.counts", {1}}}); }, "no sum of squares");
  expect_refused([&] { read(is_imatrix, {{"a.in_sum2", {1}}, {"a.counts", {-2}}}); }, "no sum of squares");
  expect_refused([&] { read(is_imatrix, {{"a", {1}}}); }, "has no tensors");
  const auto negative = [](GgufWriter& writer) {
    is_imatrix(writer);
    writer.set("imatrix.chunk_count", GgufValue::i32(-1));
  };
  expect_refused([&] { read(negative, {{"a.in_sum2", {1}}, {"a.counts", {1}}}); }, "imatrix.chunk_count");
}

/// The form of before 2025: one tensor "ab" of two values that saw three chunks, and a text "t".
std::string older_file() {
  std::string out;
  const auto put = [&](auto value) { out.append(reinterpret_cast<const char*>(&value), sizeof value); };
  put(int32_t{1});
  put(int32_t{2});
  out += "ab";
  put(int32_t{3});
  put(int32_t{2});
  put(6.0f);
  put(1.5f);
  put(int32_t{3});
  put(int32_t{1});
  out += "t";
  return out;
}

ImportanceMatrix read_bytes(const fs::path& path, const std::string& bytes) {
  AtomicFile file(path);
  file.write(bytes);
  file.commit();
  return ImportanceMatrix::read(path);
}

TEST_F(ImportanceFile, ReadsTheOlderForm) {
  const fs::path dat = temp_.path() / "imatrix.dat";
  const ImportanceMatrix matrix = read_bytes(dat, older_file());
  EXPECT_EQ(matrix.n_chunk, 3);
  EXPECT_EQ(matrix.datasets, std::vector<std::string>{"t"});
  EXPECT_EQ(matrix.tensors.at("ab").means(0, 2), (std::vector<float>{2, 0.5f}));
  EXPECT_EQ(matrix.tensors.at("ab").means(1, 1), std::vector<float>{0.5f}) << "one count for all matrices";
  EXPECT_EQ(read_bytes(dat, older_file().substr(0, 26)).n_chunk, 0)
      << "what follows the tensors may be missing";
}

TEST_F(ImportanceFile, RefusesTheOlderFormCutAnywhere) {
  const fs::path dat = temp_.path() / "imatrix.dat";
  const std::string whole = older_file();
  for (size_t n = 0; n < whole.size(); ++n) {
    if (n == 26 || n == 30) continue;  // after the tensors, after the number of chunks
    EXPECT_THROW(read_bytes(dat, whole.substr(0, n)), Error) << n;
  }
  for (const size_t at : {0, 4, 10, 14, 26, 30}) {
    for (const int32_t odd : {-1, 0, std::numeric_limits<int32_t>::max()}) {
      if (at == 10 && odd > 0) continue;  // as many chunks as that are fine
      if (at == 26 && odd > 0) continue;
      std::string bytes = whole;
      std::memcpy(bytes.data() + at, &odd, sizeof odd);
      EXPECT_THROW(read_bytes(dat, bytes), Error) << at << ": " << odd;
    }
  }
}

TEST(UnseenExperts, AreListedByTensor) {
  ImportanceMatrix matrix = small_matrix();
  EXPECT_EQ(unseen_experts(matrix), std::vector<std::string>{"blk.0.ffn_up_exps.weight: 1 of 2 experts (1)"});
  matrix.tensors["blk.0.ffn_up_exps.weight"].counts.assign(32, 0);
  EXPECT_EQ(unseen_experts(matrix).front(),
            "blk.0.ffn_up_exps.weight: 32 of 32 experts (0, 1, 2, 3, 4, 5, 6, 7, ...)");
}

}  // namespace
}  // namespace sw
