// SPDX-License-Identifier: MIT
#pragma once
#include <cstdint>
#include <string_view>
#include <vector>

namespace sw {

/// The part of a tokenizer that turns plain text into ids; special tokens were found before. Immutable:
/// threads may share it.
class TextModel {
 public:
  virtual ~TextModel() = default;
  /// Appends the ids of `text`, any bytes.
  virtual void encode(std::string_view text, std::vector<int32_t>& ids) const = 0;
  /// The pieces that are encoded each on its own; they view `text`.
  virtual std::vector<std::string_view> pieces(std::string_view text) const = 0;
};

}  // namespace sw
