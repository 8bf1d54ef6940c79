// SPDX-License-Identifier: MIT
#include "tokenizer/fallback.h"

#include <algorithm>
#include <charconv>

#include "base/error.h"

namespace sw {

std::optional<uint8_t> named_byte(std::string_view text) {
  const bool framed = text.size() == 6 && text.starts_with("<0x") && text.ends_with(">");
  if (!framed) return std::nullopt;
  uint8_t byte = 0;
  const char* const end = text.data() + 5;
  const auto [at, error] = std::from_chars(text.data() + 3, end, byte, 16);
  if (error != std::errc() || at != end) return std::nullopt;
  return byte;
}

Fallback::Fallback(const TokenizerSpec& spec) : unknown_(spec.unk) {
  byte_ids_.fill(-1);
  for (size_t id = 0; id < spec.tokens.size(); ++id) {
    const TokenizerSpec::Token& token = spec.tokens[id];
    if (token.type != TokenType::Byte) continue;
    const auto byte = named_byte(token.text);
    if (!byte) {
      throw Error({.what = "a byte token must be written <0x00> to <0xFF>",
                   .where = spec.source + ", token " + std::to_string(id),
                   .got = "'" + token.text + "'"});
    }
    byte_ids_[*byte] = static_cast<int32_t>(id);
  }
}

void Fallback::append(std::string_view unspelled, size_t word_begin, std::vector<int32_t>& ids) const {
  const auto id_of = [&](char c) { return byte_ids_[static_cast<uint8_t>(c)]; };
  if (std::ranges::all_of(unspelled, [&](char c) { return id_of(c) >= 0; })) {
    for (const char c : unspelled) ids.push_back(id_of(c));
  } else if (unknown_ && (ids.size() == word_begin || ids.back() != *unknown_)) {
    ids.push_back(*unknown_);
  }
}

}  // namespace sw
