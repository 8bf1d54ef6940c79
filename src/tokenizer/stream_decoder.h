// SPDX-License-Identifier: MIT
#pragma once
#include <cstdint>
#include <string>

#include "tokenizer/tokenizer.h"

namespace sw {

/// Turns ids into text as they come. What it hands out is always whole, valid UTF-8: the beginning of a
/// character waits for its rest, bytes that can become none give U+FFFD. Borrows the tokenizer.
class StreamDecoder {
 public:
  explicit StreamDecoder(const Tokenizer& tokenizer) : tokenizer_(tokenizer) {}

  /// The text that is certain now; often empty within a character of several tokens.
  std::string push(int32_t id);
  /// What still waits, broken as it is. The decoder is as new after it.
  std::string finish();

 private:
  const Tokenizer& tokenizer_;
  std::string waiting_;  // at most 3 bytes between calls
};

}  // namespace sw
