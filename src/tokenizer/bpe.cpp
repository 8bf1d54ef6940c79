// SPDX-License-Identifier: MIT
#include "tokenizer/bpe.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <functional>

#include "base/error.h"
#include "tokenizer/byte_level.h"

namespace sw {
namespace {

using TextIds = std::unordered_map<std::string_view, int32_t>;

/// The ids of a merge written "left right".
MergeTable::Merge resolve(const std::string& merge, size_t index, const TextIds& ids,
                          const std::string& source) {
  const std::string where = source + ", merge " + std::to_string(index);
  const auto fail = [&](const std::string& what) {
    return Error({.what = what, .where = where, .got = "'" + merge + "'"});
  };
  const size_t space = merge.find(' ');
  if (space == std::string::npos || merge.find(' ', space + 1) != std::string::npos) {
    throw fail("a merge must be two tokens with one space between them");
  }
  const std::string_view left = std::string_view(merge).substr(0, space);
  const std::string_view right = std::string_view(merge).substr(space + 1);
  const std::string merged = std::string(left) + std::string(right);
  const auto id_of = [&](std::string_view text) {
    const auto found = ids.find(text);
    if (found == ids.end())
      throw fail("a merge names '" + std::string(text) + "', which is not in the vocabulary");
    return found->second;
  };
  return {id_of(left), id_of(right), id_of(merged)};
}

/// Pieces met before in the same text, with the ids they got. One entry a slot: a new piece replaces the
/// old. Keys view the text and values the ids given out so far, so nothing is copied.
class PieceCache {
 public:
  struct Entry {
    std::string_view piece = {};
    size_t first_id = 0, n_ids = 0;
  };
  /// A slot for every eight bytes of text, within bounds: making it must not cost more than it saves.
  explicit PieceCache(size_t text_bytes)
      : entries_(std::clamp(std::bit_ceil(text_bytes / 8), kLeastSlots, kMostSlots)) {}

  Entry& slot_of(std::string_view piece) { return entries_[hash(piece) & (entries_.size() - 1)]; }

 private:
  static constexpr size_t kLeastSlots = 16, kMostSlots = 1 << 15;

  static size_t hash(std::string_view piece) {
    uint64_t h = piece.size();
    for (uint64_t word = 0; !piece.empty(); word = 0) {
      const size_t n = std::min(piece.size(), sizeof word);
      std::memcpy(&word, piece.data(), n);
      h = (h ^ word) * 0x9E3779B97F4A7C15u;
      h ^= h >> 32;
      piece.remove_prefix(n);
    }
    return h;
  }

  std::vector<Entry> entries_;
};

constexpr size_t kLongestCached = 64;  // bytes of a piece

}  // namespace

MergeTable::MergeTable(std::vector<Merge> merges) : merges_(std::move(merges)) {
  slots_.assign(std::bit_ceil(2 * merges_.size() + 1), Slot{});
  mask_ = slots_.size() - 1;
  for (uint32_t rank = 0; rank < merges_.size(); ++rank) {
    const auto [left, right, merged] = merges_[rank];
    size_t i = slot(left, right);
    while (slots_[i].rank != kNone && (slots_[i].left != left || slots_[i].right != right))
      i = (i + 1) & mask_;
    slots_[i] = {left, right, rank};
  }
}

/// Merges one piece at a time; keeps its memory between pieces.
class Bpe::Merger {
 public:
  explicit Merger(const MergeTable& merges) : merges_(merges) {}

  void start() { symbols_.clear(); }
  void push(int32_t id) { symbols_.push_back({id, static_cast<uint32_t>(symbols_.size()) + 1}); }

  void run(std::vector<int32_t>& ids) {
    queue_.clear();
    link();
    while (!queue_.empty()) {
      std::pop_heap(queue_.begin(), queue_.end(), std::greater<>());
      const uint64_t best = queue_.back();
      queue_.pop_back();
      join(static_cast<uint32_t>(best >> 32), static_cast<uint32_t>(best));
    }
    for (uint32_t at = 0; at < symbols_.size(); at = symbols_[at].next) ids.push_back(symbols_[at].id);
  }

 private:
  struct Symbol {
    int32_t id = -1;    // -1: joined to its left neighbour
    uint32_t next = 0;  // past the end: the last one
    uint32_t prev = 0;  // of the first one: itself
  };

  void link() {
    for (uint32_t at = 0; at + 1 < symbols_.size(); ++at) {
      symbols_[at + 1].prev = at;
      const uint32_t rank = merges_.rank(symbols_[at].id, symbols_[at + 1].id);
      if (rank != MergeTable::kNone) queue_.push_back(uint64_t{rank} << 32 | at);
    }
    std::make_heap(queue_.begin(), queue_.end(), std::greater<>());
  }

  void offer(uint32_t at) {
    const uint32_t next = symbols_[at].next;
    if (next >= symbols_.size()) return;
    const uint32_t rank = merges_.rank(symbols_[at].id, symbols_[next].id);
    if (rank == MergeTable::kNone) return;
    queue_.push_back(uint64_t{rank} << 32 | at);
    std::push_heap(queue_.begin(), queue_.end(), std::greater<>());
  }

  /// Joins the symbol at `at` with the one after it, unless an earlier merge changed one of them.
  void join(uint32_t rank, uint32_t at) {
    const MergeTable::Merge& merge = merges_[rank];
    Symbol& left = symbols_[at];
    if (left.id != merge.left || left.next >= symbols_.size()) return;
    Symbol& right = symbols_[left.next];
    if (right.id != merge.right) return;
    left.id = merge.merged;
    left.next = right.next;
    right.id = -1;
    if (left.next < symbols_.size()) symbols_[left.next].prev = at;
    if (at > 0) offer(left.prev);
    offer(at);
  }

  const MergeTable& merges_;
  std::vector<Symbol> symbols_;
  std::vector<uint64_t> queue_;  // a heap of rank << 32 | place: the least rank first, then the leftmost
};

Bpe::Bpe(const TokenizerSpec& spec) : pre_tokenizer_(spec.patterns) {
  TextIds ids;
  ids.reserve(spec.tokens.size());
  for (size_t id = 0; id < spec.tokens.size(); ++id) {
    if (spec.tokens[id].type != TokenType::Unused)
      ids.emplace(spec.tokens[id].text, static_cast<int32_t>(id));
  }
  for (int byte = 0; byte < 256; ++byte) {
    const char c = static_cast<char>(byte);
    const auto found = ids.find(to_byte_level({&c, 1}));
    byte_ids_[static_cast<size_t>(byte)] = found == ids.end() ? spec.unk.value_or(-1) : found->second;
  }
  std::vector<MergeTable::Merge> merges;
  merges.reserve(spec.merges.size());
  for (const std::string& merge : spec.merges)
    merges.push_back(resolve(merge, merges.size(), ids, spec.source));
  merges_ = MergeTable(std::move(merges));
  if (!spec.ignore_merges) return;
  whole_pieces_.reserve(ids.size());
  for (const auto& [text, id] : ids) {
    // Only plain ones: text that was not to be parsed must not become a control token.
    if (spec.tokens[static_cast<size_t>(id)].type != TokenType::Normal) continue;
    if (auto bytes = from_byte_level(text)) whole_pieces_.emplace(std::move(*bytes), id);
  }
}

std::vector<std::string_view> Bpe::pieces(std::string_view text) const {
  std::vector<std::string_view> pieces;
  pre_tokenizer_.split(text, pieces);
  return pieces;
}

void Bpe::encode(std::string_view text, std::vector<int32_t>& ids) const {
  if (text.size() >= UINT32_MAX) {
    throw Error({.what = "the text is too long",
                 .expected = "less than 4 GiB",
                 .got = std::to_string(text.size()) + " bytes"});
  }
  PieceCache cache(text.size());
  Merger merger(merges_);
  for (const std::string_view piece : pieces(text)) {
    if (piece.size() > kLongestCached) {
      encode_piece(piece, merger, ids);
      continue;
    }
    PieceCache::Entry& known = cache.slot_of(piece);
    const size_t first_id = ids.size();
    if (known.piece == piece) {
      ids.resize(first_id + known.n_ids);
      std::copy_n(ids.begin() + static_cast<ptrdiff_t>(known.first_id), known.n_ids,
                  ids.begin() + static_cast<ptrdiff_t>(first_id));
    } else {
      encode_piece(piece, merger, ids);
      known = {piece, first_id, ids.size() - first_id};
    }
  }
}

void Bpe::encode_piece(std::string_view piece, Merger& merger, std::vector<int32_t>& ids) const {
  if (!whole_pieces_.empty()) {
    const auto found = whole_pieces_.find(std::string(piece));
    if (found != whole_pieces_.end()) {
      ids.push_back(found->second);
      return;
    }
  }
  merger.start();
  for (const char c : piece) {
    const int32_t id = byte_ids_[static_cast<uint8_t>(c)];
    if (id >= 0) merger.push(id);
  }
  merger.run(ids);
}

}  // namespace sw
