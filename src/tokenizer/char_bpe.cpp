// SPDX-License-Identifier: MIT
#include "tokenizer/char_bpe.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "base/error.h"
#include "text/utf8.h"
#include "tokenizer/encode_pieces.h"

namespace sw {
namespace {

constexpr int32_t kCodePoints = 0x110000;
constexpr size_t kLongestToken = 512;  // bytes; a hostile file could else ask for quadratic work

template <class Wanted>
TextTable ids_by_text(const TokenizerSpec& spec, Wanted&& wanted) {
  TextTable ids(spec.tokens.size());
  for (size_t id = 0; id < spec.tokens.size(); ++id) {
    if (wanted(spec.tokens[id])) ids.add(spec.tokens[id].text, static_cast<int32_t>(id));
  }
  return ids;
}

/// The place of each token's score among all scores, 0 for the greatest; equal scores share one.
std::vector<uint32_t> ranks_of(const std::vector<double>& scores) {
  std::vector<double> sorted = scores;
  std::ranges::sort(sorted, std::greater<>());
  std::vector<uint32_t> ranks;
  for (const double score : scores) {
    const auto at = std::ranges::lower_bound(sorted, score, std::greater<>());
    ranks.push_back(static_cast<uint32_t>(at - sorted.begin()));
  }
  return ranks;
}

/// Calls visit(end) for each end of a character within the text but its own.
template <class F>
void for_each_inner_boundary(std::string_view text, F&& visit) {
  for (size_t end = next_utf8(text).length; end < text.size(); end += next_utf8(text.substr(end)).length)
    visit(end);
}

}  // namespace

CharBpe::CharBpe(const TokenizerSpec& spec)
    : cutter_(spec),
      fallback_(spec),
      tokens_(ids_by_text(spec, [](const auto& token) { return token.spells_text(); })),
      n_vocab_(static_cast<int32_t>(spec.tokens.size())) {
  constexpr size_t kMostTokens = INT32_MAX - kCodePoints - 256;
  if (spec.tokens.size() > kMostTokens) {
    throw Error({.what = "too many tokens",
                 .where = spec.source,
                 .expected = "at most " + std::to_string(kMostTokens),
                 .got = std::to_string(spec.tokens.size())});
  }
  if (spec.merges.empty()) {
    merges_ = scored_merges(spec);
    return;
  }
  const auto is_used = [](const auto& token) { return token.type != TokenType::Unused; };
  merges_ = merge_table(spec.merges, ids_by_text(spec, is_used), spec.source, spec.pruned_merges);
}

/// The token that is this one character (or invalid byte), or else a number of its own past the vocabulary.
int32_t CharBpe::symbol(std::string_view character) const {
  const int32_t token = tokens_.find(character);
  if (token >= 0) return token;
  const Utf8Step step = next_utf8(character);
  if (step.kind == Utf8Step::Kind::Valid) return n_vocab_ + static_cast<int32_t>(step.code_point);
  return n_vocab_ + kCodePoints + static_cast<uint8_t>(character[0]);
}

/// SentencePiece joins any neighbours whose texts together are a token: all ways to halve a token, each with
/// the rank of its score.
MergeTable CharBpe::scored_merges(const TokenizerSpec& spec) const {
  const auto fail = [&](size_t id, const std::string& what) {
    return Error({.what = what, .where = spec.source + ", token " + std::to_string(id)});
  };
  if (spec.scores.size() != spec.tokens.size()) {
    throw Error({.what = "there must be one score for each token",
                 .where = spec.source,
                 .expected = std::to_string(spec.tokens.size()),
                 .got = std::to_string(spec.scores.size())});
  }
  size_t n_merges = 0;
  for (size_t id = 0; id < spec.tokens.size(); ++id) {
    if (std::isnan(spec.scores[id])) throw fail(id, "the score is not a number");
    if (!spec.tokens[id].spells_text()) continue;
    if (spec.tokens[id].text.size() > kLongestToken) throw fail(id, "the token is too long");
    n_merges += spec.tokens[id].text.size();
  }
  MergeTable table(n_merges);
  const std::vector<uint32_t> ranks = ranks_of(spec.scores);
  // A part of several characters must be a token, as only merges can have made it.
  const auto part = [&](std::string_view text) {
    return next_utf8(text).length == text.size() ? symbol(text) : tokens_.find(text);
  };
  for (size_t id = 0; id < spec.tokens.size(); ++id) {
    const std::string_view text = spec.tokens[id].text;
    if (text.empty() || tokens_.find(text) != static_cast<int32_t>(id)) continue;
    for_each_inner_boundary(text, [&](size_t end) {
      const int32_t left = part(text.substr(0, end)), right = part(text.substr(end));
      if (left >= 0 && right >= 0) table.at(left, right) = {ranks[id], static_cast<int32_t>(id)};
    });
  }
  return table;
}

void CharBpe::encode(std::string_view text, std::vector<int32_t>& ids) const {
  if (text.size() >= UINT32_MAX) {
    throw Error({.what = "the text is too long",
                 .expected = "less than 4 GiB",
                 .got = std::to_string(text.size()) + " bytes"});
  }
  Merger merger(merges_);
  encode_pieces(pieces(text), ids, [&](std::string_view word) { encode_word(word, merger, ids); });
}

void CharBpe::encode_word(std::string_view word, Merger& merger, std::vector<int32_t>& ids) const {
  while (!word.empty()) {
    const Utf8Step step = next_utf8(word);
    const bool valid = step.kind == Utf8Step::Kind::Valid;
    const size_t n = valid ? step.length : 1;
    merger.push(symbol(word.substr(0, n)));
    word.remove_prefix(n);
  }
  const size_t before = ids.size();
  merger.run(ids);
  const auto is_token = [&](int32_t id) { return id < n_vocab_; };
  const auto word_ids = ids.begin() + static_cast<ptrdiff_t>(before);
  if (std::all_of(word_ids, ids.end(), is_token)) return;
  const std::vector<int32_t> symbols(word_ids, ids.end());
  ids.resize(before);
  for (const int32_t symbol : symbols) {
    if (is_token(symbol))
      ids.push_back(symbol);
    else
      fallback_.append(unspelled(symbol), before, ids);
  }
}

/// The other way round for what is no token.
std::string CharBpe::unspelled(int32_t symbol) const {
  const int32_t code = symbol - n_vocab_;
  if (code >= kCodePoints) return std::string(1, static_cast<char>(code - kCodePoints));
  std::string text;
  append_utf8(static_cast<char32_t>(code), text);
  return text;
}

}  // namespace sw
