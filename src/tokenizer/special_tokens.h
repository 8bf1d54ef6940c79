// SPDX-License-Identifier: MIT
#pragma once
#include <array>
#include <cstdint>
#include <string_view>
#include <vector>

namespace sw {

/// Whether a letter, mark, digit or connector stands at the end or at the beginning of a text: what Rust's
/// `\w` matches.
bool ends_with_word(std::string_view text);
bool begins_with_word(std::string_view text);

/// Finds tokens that are matched in the text itself ("<|role_end|>"), before any model sees it.
class SpecialTokens {
 public:
  struct Match {
    size_t begin = 0, length = 0;
    int32_t id = -1;  ///< -1: no match
  };

  SpecialTokens() { root_.fill(kNone); }
  /// An empty text is never matched; of two equal texts the first added wins.
  void add(std::string_view text, int32_t id);
  /// The leftmost match at or after `from`, the longest of those that begin there.
  Match find(std::string_view text, size_t from) const;

 private:
  static constexpr int32_t kNone = -1;
  /// A node of the trie. Children of one node form a list.
  struct Node {
    uint8_t byte = 0;
    int32_t id = kNone, first_child = kNone, next_sibling = kNone;
  };
  int32_t child(int32_t node, uint8_t byte) const;

  std::array<int32_t, 256> root_;
  std::vector<Node> nodes_;
};

}  // namespace sw
