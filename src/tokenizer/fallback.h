// SPDX-License-Identifier: MIT
#pragma once
#include <array>
#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "tokenizer/spec.h"

namespace sw {

/// The byte that the text of a Byte token names ("<0x0A>"); nothing where it names none.
std::optional<uint8_t> named_byte(std::string_view text);

/// What stands for text that no token spells: its bytes where each has a token, else the unknown token, else
/// nothing.
class Fallback {
 public:
  /// Throws sw::Error where a Byte token names no byte.
  explicit Fallback(const TokenizerSpec& spec);
  /// No second unknown token follows one at or after `word_begin` in ids.
  void append(std::string_view unspelled, size_t word_begin, std::vector<int32_t>& ids) const;

 private:
  std::array<int32_t, 256> byte_ids_;  // -1: none
  TokenizerSpec::Id unknown_;
};

}  // namespace sw
