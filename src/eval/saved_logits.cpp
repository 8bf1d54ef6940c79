// SPDX-License-Identifier: MIT
#include "eval/saved_logits.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "base/error.h"
#include "eval/divergence.h"
#include "formats/reader.h"

namespace sw {
namespace {

constexpr std::string_view kMagic = "SWLOGIT1";
constexpr size_t kHeaderBytes = 8 + 4 * 8 + 4 + 4 + 8;  // magic, four sizes, BOS, padding, hash
constexpr float kRange = 24.0f, kStep = kRange / 65535.0f;

size_t row_bytes(int64_t n_vocab) { return sizeof(float) + static_cast<size_t>(n_vocab) * sizeof(uint16_t); }

template <class T>
void append(std::vector<std::byte>& to, const T& value) {
  const auto bytes = std::as_bytes(std::span(&value, 1));
  to.insert(to.end(), bytes.begin(), bytes.end());
}

}  // namespace

uint64_t hash_tokens(std::span<const int32_t> tokens) {
  uint64_t hash = 0xcbf29ce484222325;  // FNV-1a
  for (const std::byte b : std::as_bytes(tokens)) hash = (hash ^ static_cast<uint64_t>(b)) * 0x100000001b3;
  return hash;
}

SavedLogitsWriter::SavedLogitsWriter(const std::filesystem::path& path, const ScoredText& text)
    : file_(path), n_vocab_(text.n_vocab), codes_(static_cast<size_t>(text.n_vocab)) {
  std::vector<std::byte> header;
  for (const char c : kMagic) append(header, c);
  for (const int64_t size : {text.n_vocab, text.n_ctx, text.stride, text.n_chunk}) append(header, size);
  append(header, text.bos);
  append(header, int32_t{0});
  append(header, text.tokens_hash);
  SW_ASSERT(header.size() == kHeaderBytes);
  file_.write(header);
}

void SavedLogitsWriter::add(std::span<const float> log_probs) {
  SW_ASSERT(std::ssize(log_probs) == n_vocab_);
  const float top = *std::max_element(log_probs.begin(), log_probs.end());
  std::transform(log_probs.begin(), log_probs.end(), codes_.begin(), [&](float p) {
    return static_cast<uint16_t>(std::lround(std::clamp(top - p, 0.0f, kRange) / kStep));
  });
  file_.write(std::as_bytes(std::span(&top, 1)));
  file_.write(std::as_bytes(std::span(codes_)));
}

SavedLogits::SavedLogits(const std::filesystem::path& path) : file_(path) {
  ByteReader reader(file_.bytes(), path.string());
  reader.set_subject("saved predictions");
  if (reader.text(kMagic.size(), "magic") != kMagic) {
    reader.fail(
        0, "magic",
        {.what = "this file holds no saved predictions", .hint = "perplexity --save-logits writes one"});
  }
  for (int64_t* size : {&text_.n_vocab, &text_.n_ctx, &text_.stride, &text_.n_chunk})
    *size = reader.number<int64_t>("a size");
  text_.bos = reader.number<int32_t>("BOS");
  reader.number<int32_t>("padding");
  text_.tokens_hash = reader.number<uint64_t>("hash");
  constexpr int64_t kMostVocab = int64_t{1} << 31;
  if (text_.n_vocab < 1 || text_.n_vocab > kMostVocab || reader.remaining() % row_bytes(text_.n_vocab) != 0) {
    reader.fail(reader.offset(), "rows",
                {.what = "the saved predictions are cut short or damaged",
                 .expected = "whole rows of " + std::to_string(text_.n_vocab) + " tokens"});
  }
  n_row_ = static_cast<int64_t>(reader.remaining() / row_bytes(text_.n_vocab));
}

void SavedLogits::check_same(const ScoredText& other) const {
  const auto refuse = [&](const std::string& what, int64_t expected, int64_t got) {
    throw Error({.what = what,
                 .where = file_.path().string(),
                 .expected = std::to_string(expected),
                 .got = std::to_string(got)});
  };
  const auto fail = [&](const char* of, int64_t expected, int64_t got) {
    refuse(std::string("the saved predictions are of another ") + of, expected, got);
  };
  if (text_ == other) {
    if (n_row_ != text_.n_row())
      refuse("the saved predictions are cut short or damaged", text_.n_row(), n_row_);
    return;
  }
  if (text_.n_vocab != other.n_vocab) fail("vocabulary", text_.n_vocab, other.n_vocab);
  if (text_.n_ctx != other.n_ctx) fail("chunk length (-c)", text_.n_ctx, other.n_ctx);
  if (text_.stride != other.stride) fail("--stride", text_.stride, other.stride);
  if (text_.n_chunk != other.n_chunk) fail("number of chunks (--chunks)", text_.n_chunk, other.n_chunk);
  if (text_.bos != other.bos) fail("BOS (--bos; -1 is off)", text_.bos, other.bos);
  throw Error({.what = "the saved predictions are of another text", .where = file_.path().string()});
}

void SavedLogits::read(int64_t row, std::span<float> log_probs) const {
  SW_ASSERT(row >= 0 && row < n_row_ && std::ssize(log_probs) == text_.n_vocab);
  const std::byte* at =
      file_.bytes().data() + kHeaderBytes + static_cast<size_t>(row) * row_bytes(text_.n_vocab);
  float top;
  std::memcpy(&top, at, sizeof top);
  if (!std::isfinite(top)) {
    throw Error({.what = "the saved predictions are cut short or damaged",
                 .where = file_.path().string() + ", row " + std::to_string(row),
                 .expected = "a finite log probability"});
  }
  at += sizeof top;
  for (float& p : log_probs) {
    uint16_t code;
    std::memcpy(&code, at, sizeof code);
    at += sizeof code;
    p = top - static_cast<float>(code) * kStep;
  }
  log_softmax(log_probs, log_probs);  // steps have moved the sum a little
}

}  // namespace sw
