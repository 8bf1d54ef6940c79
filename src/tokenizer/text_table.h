// SPDX-License-Identifier: MIT
#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace sw {

/// Ids by text; filled once, then only read. Holds copies of the texts.
class TextTable {
 public:
  TextTable() : TextTable(0) {}
  /// Room for `n_texts` different texts and no more.
  explicit TextTable(size_t n_texts);

  /// The first added of two equal texts counts. Throws sw::Error where all texts together reach 4 GiB.
  void add(std::string_view text, int32_t id);
  /// -1 where the text is not there.
  int32_t find(std::string_view text) const;

 private:
  struct Slot {
    uint32_t hash = 0, begin = 0, length = 0;
    int32_t id = -1;
  };
  size_t place(std::string_view text, uint32_t hash) const;

  std::string texts_;
  std::vector<Slot> slots_;  // open addressing, at most half full
};

/// A hash of short texts that is cheap rather than safe from those who choose them.
uint64_t hash_text(std::string_view text);

}  // namespace sw
