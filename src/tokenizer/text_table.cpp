// SPDX-License-Identifier: MIT
#include "tokenizer/text_table.h"

#include <bit>
#include <cstring>

#include "base/error.h"

namespace sw {

uint64_t hash_text(std::string_view text) {
  constexpr uint64_t kFactor = 0x9E3779B97F4A7C15u;
  uint64_t hash = text.size();
  const auto mix = [&](uint64_t word) {
    hash = (hash ^ word) * kFactor;
    hash ^= hash >> 32;
  };
  uint64_t word = 0;
  for (; text.size() >= sizeof word; text.remove_prefix(sizeof word)) {
    std::memcpy(&word, text.data(), sizeof word);
    mix(word);
  }
  if (!text.empty()) {
    // Byte by byte: a copy of a length unknown at compile time would be a call.
    word = 0;
    for (const char c : text) word = word << 8 | static_cast<uint8_t>(c);
    mix(word);
  }
  return hash;
}

TextTable::TextTable(size_t n_texts) : slots_(std::bit_ceil(2 * n_texts + 1)) {}

size_t TextTable::place(std::string_view text, uint32_t hash) const {
  const size_t mask = slots_.size() - 1;
  for (size_t i = hash & mask;; i = (i + 1) & mask) {
    const Slot& slot = slots_[i];
    if (slot.id < 0) return i;
    if (slot.hash == hash && slot.length == text.size() &&
        std::memcmp(texts_.data() + slot.begin, text.data(), text.size()) == 0)
      return i;
  }
}

void TextTable::add(std::string_view text, int32_t id) {
  if (texts_.size() + text.size() > UINT32_MAX)
    throw Error({.what = "the texts of the tokens are too long", .expected = "less than 4 GiB"});
  const auto hash = static_cast<uint32_t>(hash_text(text));
  Slot& slot = slots_[place(text, hash)];
  if (slot.id >= 0) return;
  slot = {hash, static_cast<uint32_t>(texts_.size()), static_cast<uint32_t>(text.size()), id};
  texts_ += text;
}

int32_t TextTable::find(std::string_view text) const {
  return slots_[place(text, static_cast<uint32_t>(hash_text(text)))].id;
}

}  // namespace sw
