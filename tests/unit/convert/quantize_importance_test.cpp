// SPDX-License-Identifier: MIT
#include <algorithm>
#include <cmath>
#include <cstring>
#include <gtest/gtest.h>

#include "convert/quantize.h"
#include "formats/gguf.h"
#include "support/converted_file.h"
#include "support/refusal.h"

namespace sw {
namespace {

namespace fs = std::filesystem;
using testing::expect_refused;

bool has_line(const std::vector<std::string>& lines, const std::string& part) {
  return std::ranges::any_of(lines, [&](const std::string& line) { return line.find(part) != line.npos; });
}

std::vector<float> decoded(const GgufTensor& tensor) {
  std::vector<float> values(static_cast<size_t>(tensor.shape.n_elements()));
  decode_rows(*type_from_id(tensor.type_id), tensor.data, tensor.shape.n_rows(), tensor.shape.n_cols(),
              values.data());
  return values;
}

/// golden/bailing_moe_v2 as IQ4_NL, which searches for its scales: stacks of 16 experts, rows of 64 and 32.
/// Every fourth column of its matrix counts a hundred times.
class QuantizeImportance : public testing::TinyLingFile {
 protected:
  void SetUp() override {
    TinyLingFile::SetUp();
    if (IsSkipped()) return;
    const GgufFile source(file());
    matrix_ = {.n_chunk = 3, .chunk_tokens = 512, .architecture = "bailingmoe2", .routing = ""};
    matrix_.datasets = {"calibration.txt"};
    matrix_.expert_keys = expert_keys(source.metadata());
    for (const GgufTensor& tensor : source.tensors()) {
      if (tensor.shape.n_dims() < 2 || !tensor.name.starts_with("blk.")) continue;
      const int64_t n_matrix = tensor.shape.n_dims() > 2 ? tensor.shape[0] : 1;
      Importance one;
      one.counts.assign(static_cast<size_t>(n_matrix), 10);
      for (int64_t i = 0; i < n_matrix * tensor.shape.n_cols(); ++i)
        one.sum_squares.push_back(i % 4 == 0 ? 1000.0f : 10.0f);
      matrix_.tensors[tensor.name] = one;
    }
  }
  fs::path out(const char* name = "out.gguf") const { return folder() / name; }
  QuantizeOptions weighed() const { return {.importance = &matrix_, .importance_name = "imatrix.gguf"}; }
  QuantizeReport run(const QuantizeOptions& options, const char* name = "out.gguf") const {
    return quantize(file(), out(name), "IQ4_NL", options);
  }

  ImportanceMatrix matrix_;
};

/// Mean squared error of the columns that count, and of the others.
std::pair<double, double> errors(const GgufTensor& source, const GgufTensor& coded) {
  const std::vector<float> x = decoded(source), y = decoded(coded);
  double sums[2] = {};
  for (size_t i = 0; i < x.size(); ++i) sums[i % 4 == 0 ? 0 : 1] += std::pow(double{x[i]} - double{y[i]}, 2);
  const auto n = static_cast<double>(x.size());
  return {sums[0] / (n / 4), sums[1] / (n * 3 / 4)};
}

TEST_F(QuantizeImportance, ColumnsThatCountComeNearer) {
  run({}, "plain.gguf");
  run(weighed());
  const GgufFile source(file()), plain(out("plain.gguf")), better(out());
  for (const char* name : {"blk.1.ffn_up_exps.weight", "blk.2.attn_qkv.weight"}) {
    const GgufTensor& original = *source.find_tensor(name);
    const auto [counted, others] = errors(original, *plain.find_tensor(name));
    const auto [counted_now, others_now] = errors(original, *better.find_tensor(name));
    EXPECT_LT(counted_now, 0.95 * counted) << name;
    EXPECT_GT(others_now, others) << name << ": at their cost";
  }
}

/// Experts that no token reached have no means: they come out as without a matrix, and are named.
TEST_F(QuantizeImportance, UnseenExpertsAreAsWithoutAMatrix) {
  constexpr const char* kName = "blk.1.ffn_down_exps.weight";
  Importance& one = matrix_.tensors.at(kName);
  const size_t n_col = one.sum_squares.size() / one.counts.size();
  one.counts[3] = 0;
  std::fill_n(one.sum_squares.begin() + static_cast<int64_t>(3 * n_col), n_col, 0.0f);
  const QuantizeReport report = run(weighed());
  EXPECT_TRUE(has_line(report.notes, std::string(kName) + ": 1 of 16 experts (3)"));
  run({}, "plain.gguf");
  const GgufFile plain(out("plain.gguf")), better(out());
  const GgufTensor &a = *plain.find_tensor(kName), &b = *better.find_tensor(kName);
  const size_t n_byte = a.size_bytes / one.counts.size();
  for (size_t e = 0; e < one.counts.size(); ++e) {
    const bool same = std::memcmp(a.data + e * n_byte, b.data + e * n_byte, n_byte) == 0;
    EXPECT_EQ(same, e == 3) << "expert " << e;
  }
  for (const float v : decoded(b)) ASSERT_TRUE(std::isfinite(v));
}

/// Sums of zero everywhere: an importance that says nothing.
TEST_F(QuantizeImportance, ZeroSumsChangeNothing) {
  for (auto& [name, one] : matrix_.tensors) std::ranges::fill(one.sum_squares, 0.0f);
  matrix_.datasets.clear();
  run(weighed());
  run({}, "plain.gguf");
  const GgufFile plain(out("plain.gguf")), better(out());
  const GgufTensor &a = *plain.find_tensor("blk.1.ffn_up_exps.weight"),
                   &b = *better.find_tensor("blk.1.ffn_up_exps.weight");
  EXPECT_EQ(std::memcmp(a.data, b.data, a.size_bytes), 0);
}

TEST_F(QuantizeImportance, ThreadsDoNotChangeTheBytes) {
  QuantizeOptions options = weighed();
  run(options);
  options.n_thread = 5;
  run(options, "five.gguf");
  EXPECT_TRUE(read_file(out()) == read_file(out("five.gguf")));
}

TEST_F(QuantizeImportance, TheFileSaysWhatItWasMadeWith) {
  run(weighed());
  const GgufFile after(out());
  const GgufMetadata& metadata = after.metadata();
  EXPECT_EQ(metadata.require_string("quantize.imatrix.file"), "imatrix.gguf");
  EXPECT_EQ(metadata.require_string("quantize.imatrix.dataset"), "calibration.txt");
  EXPECT_EQ(metadata.require_int("quantize.imatrix.chunks_count"), 3);
  EXPECT_EQ(metadata.require_int("quantize.imatrix.entries_count"), std::ssize(matrix_.tensors));
}

TEST_F(QuantizeImportance, WarnsOfAnotherRouting) {
  EXPECT_TRUE(run(weighed()).warnings.empty());
  matrix_.routing = R"({"grouped":false})";
  EXPECT_TRUE(
      has_line(run(weighed()).warnings, R"(another routing than the model's own: {"grouped":false})"));
  matrix_.routing = "";
  matrix_.expert_keys["bailingmoe2.expert_used_count"] = "2";
  EXPECT_TRUE(has_line(run(weighed()).warnings, "bailingmoe2.expert_used_count 2 (the model: 4)"));
  matrix_.routing.reset();
  matrix_.expert_keys.clear();
  matrix_.architecture.clear();
  const QuantizeReport report = run(weighed());
  EXPECT_TRUE(report.warnings.empty());
  EXPECT_TRUE(has_line(report.notes, "does not say with which routing"));
}

TEST_F(QuantizeImportance, RefusesTheMatrixOfAnotherModel) {
  const ImportanceMatrix good = matrix_;
  const auto refuses = [&](const std::string& says) {
    expect_refused([&] { run(weighed()); }, "the importance matrix is of another model: imatrix.gguf");
    expect_refused([&] { run(weighed()); }, says);
    EXPECT_FALSE(fs::exists(out()));
    matrix_ = good;
  };
  matrix_.architecture = "mixtral";
  refuses("got mixtral");
  matrix_.tensors.at("blk.1.ffn_up_exps.weight").counts.resize(8);
  refuses("expected 16 x 64 values, got 1024 values, 8 counts");
  matrix_.tensors.at("blk.2.attn_qkv.weight").sum_squares.resize(32);
  refuses("tensor blk.2.attn_qkv.weight");
  matrix_.tensors = {{"model.layers.0.q_proj", {{1}, {1}}}};
  refuses("got model.layers.0.q_proj");
}

TEST_F(QuantizeImportance, NamesTheTensorsThatItLacks) {
  matrix_.tensors.erase("blk.2.attn_qkv.weight");
  const QuantizeReport report = run(weighed());
  EXPECT_TRUE(
      has_line(report.notes, "3 tensors (token_embd.weight, output.weight, blk.2.attn_qkv.weight): not in"))
      << ::testing::PrintToString(report.notes);
}

}  // namespace
}  // namespace sw
