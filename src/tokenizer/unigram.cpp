// SPDX-License-Identifier: MIT
#include "tokenizer/unigram.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "text/utf8.h"
#include "tokenizer/encode_pieces.h"

namespace sw {
namespace {

constexpr double kUnknownPenalty = 10;

size_t character_length(std::string_view text) {
  const Utf8Step step = next_utf8(text);
  return step.kind == Utf8Step::Kind::Valid ? step.length : 1;
}

}  // namespace

Unigram::Unigram(const TokenizerSpec& spec) : cutter_(spec), fallback_(spec), scores_(spec.scores) {
  if (scores_.size() != spec.tokens.size()) {
    throw Error({.what = "there must be one score for each token",
                 .where = spec.source,
                 .expected = std::to_string(spec.tokens.size()),
                 .got = std::to_string(scores_.size())});
  }
  size_t n_bytes = 0;
  for (size_t id = 0; id < scores_.size(); ++id) {
    if (!std::isfinite(scores_[id])) {
      throw Error(
          {.what = "the score is not finite", .where = spec.source + ", token " + std::to_string(id)});
    }
    n_bytes += spec.tokens[id].text.size();
  }
  if (n_bytes >= INT32_MAX)
    throw Error({.what = "the texts of the tokens are too long", .where = spec.source});
  children_ = PairMap<int32_t>(n_bytes);
  for (size_t id = 0; id < scores_.size(); ++id) {
    if (spec.tokens[id].spells_text()) add(spec.tokens[id].text, static_cast<int32_t>(id));
  }
  if (!scores_.empty()) unknown_score_ = std::ranges::min(scores_) - kUnknownPenalty;
}

void Unigram::add(std::string_view text, int32_t id) {
  if (text.empty()) return;
  int32_t node = 0;
  for (const char c : text) {
    int32_t& child = children_.at(node, static_cast<uint8_t>(c));
    if (child == 0) {
      child = static_cast<int32_t>(node_ids_.size());
      node_ids_.push_back(-1);
    }
    node = child;
  }
  node_ids_[static_cast<size_t>(node)] = id;
}

void Unigram::encode(std::string_view text, std::vector<int32_t>& ids) const {
  std::vector<Best> best;
  encode_pieces(pieces(text), ids, [&](std::string_view word) { encode_word(word, best, ids); });
}

void Unigram::encode_word(std::string_view word, std::vector<Best>& best, std::vector<int32_t>& ids) const {
  best.assign(word.size() + 1, {});
  // Of equal sums the one found first stays: its last token begins first, as in `tokenizers`.
  const auto offer = [&](size_t begin, size_t end, double score, int32_t id) {
    const double sum = best[begin].score + score;
    if (best[end].length == 0 || sum > best[end].score)
      best[end] = {sum, static_cast<uint32_t>(end - begin), id};
  };
  for (size_t begin = 0; begin < word.size();) {
    const size_t one = character_length(word.substr(begin));
    bool one_is_token = false;
    int32_t node = 0;
    for (size_t end = begin; end < word.size();) {
      const int32_t* child = children_.find(node, static_cast<uint8_t>(word[end++]));
      if (!child) break;
      node = *child;
      const int32_t id = node_ids_[static_cast<size_t>(node)];
      if (id < 0) continue;
      offer(begin, end, scores_[static_cast<size_t>(id)], id);
      one_is_token |= end == begin + one;
    }
    if (!one_is_token) offer(begin, begin + one, unknown_score_, -1);
    begin += one;
  }

  // Turned round: best[begin] becomes the step that begins there.
  Best step = best[word.size()];
  for (size_t begin = word.size(); begin > 0;) {
    begin -= step.length;
    std::swap(step, best[begin]);
  }
  const size_t word_begin = ids.size();
  for (size_t begin = 0, end = 0; begin < word.size(); begin = end) {
    end = begin + best[begin].length;
    if (best[begin].id >= 0) {
      ids.push_back(best[begin].id);
      continue;
    }
    // Neighbours without a token fall back as one.
    while (end < word.size() && best[end].id < 0) end += best[end].length;
    fallback_.append(word.substr(begin, end - begin), word_begin, ids);
  }
}

}  // namespace sw
