// SPDX-License-Identifier: MIT
#include "tokenizer/merger.h"

#include <algorithm>

#include "base/error.h"

namespace sw {

MergeTable merge_table(const std::vector<std::string>& merges, const TextTable& ids,
                       const std::string& source, bool pruned) {
  MergeTable table(merges.size());
  for (uint32_t rank = 0; rank < merges.size(); ++rank) {
    const std::string& merge = merges[rank];
    const auto fail = [&](const std::string& what) {
      return Error(
          {.what = what, .where = source + ", merge " + std::to_string(rank), .got = "'" + merge + "'"});
    };
    const size_t space = merge.find(' ');
    if (space == std::string::npos || merge.find(' ', space + 1) != std::string::npos) {
      throw fail("a merge must be two tokens with one space between them");
    }
    const auto id_of = [&](std::string_view text) {
      const int32_t id = ids.find(text);
      if (id < 0) throw fail("a merge names '" + std::string(text) + "', which is not in the vocabulary");
      return id;
    };
    const std::string_view left = std::string_view(merge).substr(0, space);
    const std::string_view right = std::string_view(merge).substr(space + 1);
    const int32_t left_id = id_of(left), right_id = id_of(right);
    const std::string both = std::string(left) + std::string(right);
    if (pruned && ids.find(both) < 0) continue;
    table.at(left_id, right_id) = {rank, id_of(both)};
  }
  return table;
}

void Merger::run(std::vector<int32_t>& ids) {
  // Where scanning a whole piece for its best pair is cheaper than a heap.
  constexpr size_t kShort = 24;
  if (symbols_.size() <= kShort)
    run_short();
  else
    run_long();
  for (const Symbol& symbol : symbols_) {
    if (symbol.id >= 0) ids.push_back(symbol.id);
  }
  symbols_.clear();
}

void Merger::look_right(size_t at) {
  const Merge* merge =
      at + 1 < symbols_.size() ? merges_.find(symbols_[at].id, symbols_[at + 1].id) : nullptr;
  symbols_[at].rank = merge ? merge->rank : kNever;
  symbols_[at].merged = merge ? merge->merged : -1;
}

void Merger::run_short() {
  for (size_t at = 0; at < symbols_.size(); ++at) look_right(at);
  while (!symbols_.empty()) {
    const auto best = std::ranges::min_element(symbols_, {}, &Symbol::rank);
    if (best->rank == kNever) return;
    best->id = best->merged;
    const auto at = static_cast<size_t>(best - symbols_.begin());
    symbols_.erase(best + 1);
    look_right(at);
    if (at > 0) look_right(at - 1);
  }
}

void Merger::run_long() {
  for (uint32_t at = 0; at < symbols_.size(); ++at) {
    symbols_[at].next = at + 1;
    symbols_[at].prev = at > 0 ? at - 1 : 0;
    offer(at);
  }
  while (!queue_.empty()) join(queue_.pop());
}

void Merger::offer(uint32_t at) {
  const uint32_t next = symbols_[at].next;
  if (next >= symbols_.size()) return;
  const Merge* merge = merges_.find(symbols_[at].id, symbols_[next].id);
  if (merge) queue_.push({merge->rank, at});
}

/// Joins the symbol at the place with the one after it, unless an earlier merge changed one of them.
void Merger::join(MergeQueue::Entry best) {
  Symbol& left = symbols_[best.place];
  if (left.id < 0 || left.next >= symbols_.size()) return;
  Symbol& right = symbols_[left.next];
  const Merge* merge = merges_.find(left.id, right.id);
  if (!merge || merge->rank != best.rank) return;
  left.id = merge->merged;
  left.next = right.next;
  right.id = -1;
  if (left.next < symbols_.size()) symbols_[left.next].prev = best.place;
  if (best.place > 0) offer(left.prev);
  offer(best.place);
}

}  // namespace sw
