// SPDX-License-Identifier: MIT
#include "eval/divergence.h"

#include <cmath>
#include <gtest/gtest.h>

#include "base/error.h"
#include "base/rng.h"
#include "eval/saved_logits.h"
#include "support/refusal.h"
#include "support/test_data.h"

namespace sw {
namespace {

using Row = std::vector<float>;

Row log_probs(const Row& logits) {
  Row out(logits.size());
  log_softmax(logits, out);
  return out;
}

Row random_row(Rng& rng, size_t n, double spread) {
  Row row(n);
  for (float& v : row) v = static_cast<float>((rng.uniform() - 0.5) * spread);
  return row;
}

TEST(Divergence, EqualsTheDefinition) {
  const Row p = log_probs({0, 1, 2}), q = log_probs({2, 1, 0});
  DivergenceTally tally;
  tally.add(p, q, 1);
  tally.add(p, p, 1);
  double kl = 0;
  for (size_t i = 0; i < 3; ++i) kl += std::exp(p[i]) * (p[i] - q[i]);
  const Divergence d = tally.result();
  EXPECT_EQ(d.n, 2);
  EXPECT_NEAR(d.kl_mean, kl / 2, 1e-6);
  EXPECT_NEAR(d.kl_max, kl, 1e-6);
  EXPECT_NEAR(d.kl_error, kl / 2, 1e-6) << "two values, 0 and kl, about their mean";
  EXPECT_DOUBLE_EQ(d.same_top, 0.5);
  EXPECT_NEAR(d.delta_perplexity, 0, 1e-6) << "both give token 1 the same";
}

TEST(Divergence, OfARunFromItselfIsZero) {
  Rng rng(1);
  DivergenceTally tally;
  for (int i = 0; i < 100; ++i) {
    const Row p = log_probs(random_row(rng, 50, 10));
    tally.add(p, p, i % 50);
  }
  const Divergence d = tally.result();
  EXPECT_EQ(d.kl_max, 0);
  EXPECT_EQ(d.same_top, 1);
  EXPECT_EQ(d.delta_perplexity, 0);
  EXPECT_NEAR(d.delta_perplexity_error, 0, 1e-6) << "what varies together does not add to the error";
}

class SavedLogitsTest : public ::testing::Test {
 protected:
  static constexpr int64_t kVocab = 300;
  static ScoredText text() {
    return {.n_vocab = kVocab, .n_ctx = 16, .n_chunk = 2, .bos = 3, .tokens_hash = 7};
  }
  testing::TempDir temp_;
  std::filesystem::path path_ = temp_.path() / "base.logits";
};

TEST_F(SavedLogitsTest, KeepsPredictionsWithinAStep) {
  Rng rng(2);
  std::vector<Row> rows;
  SavedLogitsWriter writer(path_, text());
  for (int i = 0; i < text().n_row(); ++i)
    writer.add(rows.emplace_back(log_probs(random_row(rng, kVocab, 15))));
  writer.finish();
  const SavedLogits saved(path_);
  ASSERT_EQ(saved.n_row(), text().n_row());
  saved.check_same(text());
  DivergenceTally tally;
  for (int i = 0; i < text().n_row(); ++i) {
    Row read(kVocab);
    saved.read(i, read);
    for (size_t t = 0; t < read.size(); ++t) EXPECT_NEAR(read[t], rows[static_cast<size_t>(i)][t], 4e-4);
    tally.add(read, rows[static_cast<size_t>(i)], 0);
  }
  EXPECT_LT(tally.result().kl_max, 1e-6);
}

TEST_F(SavedLogitsTest, RefusesMissingRowsAndNaN) {
  const Row row(kVocab, -std::log(static_cast<float>(kVocab)));
  for (const int64_t n : {int64_t{0}, text().n_row() - 1, text().n_row() + 1}) {
    SavedLogitsWriter writer(path_, text());
    for (int64_t i = 0; i < n; ++i) writer.add(row);
    writer.finish();
    testing::expect_refused([&] { SavedLogits(path_).check_same(text()); }, "cut short");
  }
  SavedLogitsWriter writer(path_, text());
  for (int64_t i = 0; i < text().n_row(); ++i) writer.add(Row(kVocab, std::nanf("")));
  writer.finish();
  Row read(kVocab);
  testing::expect_refused([&] { SavedLogits(path_).read(1, read); }, "row 1");
}

TEST_F(SavedLogitsTest, RefusesWhatIsOfAnotherTextOrKind) {
  SavedLogitsWriter(path_, text()).finish();
  const SavedLogits saved(path_);
  ScoredText other = text();
  other.n_ctx = 32;
  EXPECT_THROW(saved.check_same(other), Error);
  other = text();
  other.tokens_hash = 8;
  EXPECT_THROW(saved.check_same(other), Error);
  for (const std::string& bytes : {std::string("GGUF"), std::string("SWLOGIT1"), std::string(200, 'x')}) {
    std::filesystem::remove(path_);  // what begins as a GGUF file is not replaced
    AtomicFile file(path_);
    file.write(bytes);
    file.commit();
    EXPECT_THROW(SavedLogits{path_}, Error) << bytes;
  }
}

}  // namespace
}  // namespace sw
