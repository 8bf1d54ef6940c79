// SPDX-License-Identifier: MIT
#pragma once
#include <cstdint>
#include <filesystem>
#include <span>
#include <vector>

#include "base/file.h"

namespace sw {

/// What saved predictions are of: another run must score the same to be held against them.
struct ScoredText {
  int64_t n_vocab = 0, n_ctx = 0, stride = 0, n_chunk = 0;
  int32_t bos = -1;          ///< put in place of each chunk's first token; -1: none
  uint64_t tokens_hash = 0;  ///< of the text's tokens (hash_tokens)

  /// Predictions in all, as measure_perplexity() scores them.
  int64_t n_row() const { return n_chunk * (stride > 0 ? stride : n_ctx - 1 - n_ctx / 2); }
  friend bool operator==(const ScoredText&, const ScoredText&) = default;
};
uint64_t hash_tokens(std::span<const int32_t> tokens);

/// Writes predictions to a file: for each the largest log probability as f32, then for each token of the
/// vocabulary how far below it lies, as u16 in steps of 24 / 65535 nats; what is further down is kept as 24.
/// The numbers are little-endian; nothing stands under the final name before finish().
class SavedLogitsWriter {
 public:
  SavedLogitsWriter(const std::filesystem::path& path, const ScoredText& text);
  /// Log probabilities [n_vocab] of the next prediction.
  void add(std::span<const float> log_probs);
  void finish() { file_.commit(); }

 private:
  AtomicFile file_;
  int64_t n_vocab_;
  std::vector<uint16_t> codes_;
};

/// Reads them back in the same order. Throws sw::Error on a file of another kind.
class SavedLogits {
 public:
  explicit SavedLogits(const std::filesystem::path& path);
  const ScoredText& text() const { return text_; }
  int64_t n_row() const { return n_row_; }
  /// Throws sw::Error with what differs, or where rows are missing.
  void check_same(const ScoredText& other) const;
  /// The log probabilities of prediction `row`, normalised anew.
  void read(int64_t row, std::span<float> log_probs) const;

 private:
  MappedFile file_;
  ScoredText text_;
  int64_t n_row_ = 0;
};

}  // namespace sw
