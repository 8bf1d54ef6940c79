// SPDX-License-Identifier: MIT
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "tokenizer/merge_queue.h"
#include "tokenizer/pair_map.h"
#include "tokenizer/text_table.h"

namespace sw {

/// What a pair of neighbours becomes, and when: the least rank first, of equal ranks the leftmost.
struct Merge {
  uint32_t rank = 0;
  int32_t merged = -1;
};
using MergeTable = PairMap<Merge>;

/// The table of a list of merges "left right", best first, whose tokens `ids` knows. Where a pair stands
/// twice, the later one counts, as in Hugging Face's `tokenizers`. Throws sw::Error naming `source` where
/// a merge is malformed or names what is no token; with `pruned`, merges into what is no token are left out.
MergeTable merge_table(const std::vector<std::string>& merges, const TextTable& ids,
                       const std::string& source, bool pruned);

/// Byte-pair merging of one piece at a time; keeps its memory between pieces. Borrows the table.
class Merger {
 public:
  explicit Merger(const MergeTable& merges) : merges_(merges) {}

  void push(int32_t id) { symbols_.push_back({id}); }
  /// Appends what becomes of the ids pushed since the last run. O(n log n) for n of them.
  void run(std::vector<int32_t>& ids);

 private:
  static constexpr uint32_t kNever = UINT32_MAX;
  struct Symbol {
    int32_t id = -1;         // -1: joined to its left neighbour
    uint32_t rank = kNever;  // short pieces: of the merge with the next symbol
    int32_t merged = -1;     // short pieces: what that merge gives
    uint32_t next = 0;       // long pieces: past the end for the last one
    uint32_t prev = 0;       // long pieces: of the first one itself
  };

  void run_short();
  void look_right(size_t at);
  void run_long();
  void offer(uint32_t at);
  void join(MergeQueue::Entry best);

  const MergeTable& merges_;
  std::vector<Symbol> symbols_;
  MergeQueue queue_;
};

}  // namespace sw
