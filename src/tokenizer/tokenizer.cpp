// SPDX-License-Identifier: MIT
#include "tokenizer/tokenizer.h"

#include <algorithm>
#include <set>

#include "base/error.h"
#include "tokenizer/bpe.h"
#include "tokenizer/byte_level.h"
#include "tokenizer/char_bpe.h"
#include "tokenizer/fallback.h"
#include "tokenizer/normalizer.h"
#include "tokenizer/spaces.h"
#include "tokenizer/unigram.h"

namespace sw {
namespace {

/// Control tokens that end a turn, whatever the file calls its eos.
constexpr std::string_view kEndOfGeneration[] = {
    "<|endoftext|>", "<|role_end|>", "<|im_end|>", "<|eot_id|>",    "<|end_of_text|>",       "<|eom_id|>",
    "<|return|>",    "<|call|>",     "<|eot|>",    "<end_of_turn>", "<｜end▁of▁sentence｜>", "</s>",
    "[EOS]",         "[EOT]",
};

std::vector<int32_t> end_of_generation_ids(const TokenizerSpec& spec) {
  std::set<int32_t> ids(spec.further_ends.begin(), spec.further_ends.end());
  for (const TokenizerSpec::Id& id : {spec.eos, spec.eot, spec.eom}) {
    if (id) ids.insert(*id);
  }
  for (size_t id = 0; id < spec.tokens.size(); ++id) {
    const TokenizerSpec::Token& token = spec.tokens[id];
    if (ends_by_name(token)) ids.insert(static_cast<int32_t>(id));
  }
  return {ids.begin(), ids.end()};
}

std::string bytes_of(const TokenizerSpec::Token& token, TokenizerKind kind) {
  if (token.type == TokenType::Unused) return {};
  if (kind == TokenizerKind::ByteBpe) {
    // A plain token with characters outside the alphabet stands for itself, as in `tokenizers`.
    return token.type == TokenType::Normal ? from_byte_level(token.text).value_or(token.text) : token.text;
  }
  const auto byte = token.type == TokenType::Byte ? named_byte(token.text) : std::nullopt;
  if (byte) return std::string(1, static_cast<char>(*byte));
  return token.spells_text() ? unmark_spaces(token.text) : token.text;
}

std::unique_ptr<const TextModel> make_model(const TokenizerSpec& spec) {
  switch (spec.kind) {
    case TokenizerKind::ByteBpe:
      return std::make_unique<Bpe>(spec);
    case TokenizerKind::CharBpe:
      return std::make_unique<CharBpe>(spec);
    case TokenizerKind::Unigram:
      return std::make_unique<Unigram>(spec);
  }
  SW_ASSERT(false);
  return nullptr;
}

}  // namespace

bool ends_by_name(const TokenizerSpec::Token& token) {
  const bool known = std::ranges::find(kEndOfGeneration, token.text) != std::end(kEndOfGeneration);
  return token.type == TokenType::Control && known;
}

bool normalizes(const TokenizerSpec& spec) {
  return spec.nfc || (spec.kind != TokenizerKind::ByteBpe && !spec.spaces.if_missing);
}

Tokenizer::Tokenizer(const TokenizerSpec& spec)
    : model_(naming_file(spec.source, [&] { return make_model(spec); })),
      prefix_(spec.prefix),
      suffix_(spec.suffix),
      end_of_generation_(end_of_generation_ids(spec)),
      bos_(spec.bos),
      eos_(spec.eos),
      nfc_(spec.nfc),
      chat_templates_(spec.named_templates) {
  chat_templates_.try_emplace("default", spec.chat_template);
  if (spec.kind != TokenizerKind::ByteBpe) spaces_ = spec.spaces;
  const bool changes = normalizes(spec);
  pieces_.reserve(spec.tokens.size());
  for (const TokenizerSpec::Token& token : spec.tokens) {
    const auto id = static_cast<int32_t>(pieces_.size());
    const bool in_text = token.type == TokenType::Control || token.type == TokenType::UserDefined ||
                         token.type == TokenType::Unknown;
    if (in_text && token.normalized && changes)
      in_normalized_.add(normalized(token.text, true), id);
    else if (in_text)
      in_text_.add(token.text, id);
    pieces_.push_back(bytes_of(token, spec.kind));
    special_.push_back(token.special);
    if (token.strip_left) strip_left_.insert(id);
    if (token.strip_right) strip_right_.insert(id);
    if (token.single_word) single_word_.insert(id);
  }
}

/// What comes before any token is looked for: not what a Metaspace does.
std::string Tokenizer::normalized(std::string_view text, bool first) const {
  std::string changed = nfc_ && may_need_nfc(text) ? nfc(text) : std::string(text);
  if (spaces_ && !spaces_->if_missing) changed = mark_spaces(changed, *spaces_, first);
  return changed;
}

/// As `tokenizers` does it: a token within a word is passed over whole, and the white space that a token
/// takes with it may yet begin the next token.
Tokenizer::Found Tokenizer::find(const SpecialTokens& tokens, std::string_view text, size_t from,
                                 size_t search_from) const {
  SpecialTokens::Match match = tokens.find(text, search_from);
  const auto is_within_word = [&] {
    return single_word_.contains(match.id) && (ends_with_word(text.substr(0, match.begin)) ||
                                               begins_with_word(text.substr(match.begin + match.length)));
  };
  while (match.id >= 0 && is_within_word()) match = tokens.find(text, match.begin + match.length);
  if (match.id < 0) return {text.substr(from), -1, text.size(), text.size()};
  std::string_view before = text.substr(from, match.begin - std::min(from, match.begin));
  if (strip_left_.contains(match.id)) before.remove_suffix(trailing_white_space(before));
  const size_t match_end = match.begin + match.length;
  size_t end = match_end;
  if (strip_right_.contains(match.id)) {
    // Up to `from` it is white space that the token before took: not counted again for each token in it.
    end = match_end <= from ? from : match_end + leading_white_space(text.substr(match_end));
  }
  return {before, match.id, end, match_end};
}

/// A text between the tokens that are found in it as it stands.
void Tokenizer::encode_between(std::string_view text, bool first, bool parse,
                               std::vector<int32_t>& ids) const {
  std::string changed;
  const bool changes = (nfc_ && may_need_nfc(text)) || (spaces_ && !spaces_->if_missing);
  if (changes) text = changed = normalized(text, first);
  for (size_t from = 0, search_from = 0; search_from < text.size();) {
    const Found found = parse ? find(in_normalized_, text, from, search_from)
                              : Found{text.substr(from), -1, text.size(), text.size()};
    if (spaces_ && spaces_->if_missing)
      model_->encode(mark_spaces(found.before, *spaces_, first && from == 0), ids);
    else
      model_->encode(found.before, ids);
    if (found.id >= 0) ids.push_back(found.id);
    from = found.end;
    search_from = found.search_end;
  }
}

std::vector<int32_t> Tokenizer::encode(std::string_view text, EncodeOptions options) const {
  std::vector<int32_t> ids;
  if (options.add_special) ids = prefix_;
  for (size_t from = 0, search_from = 0; search_from < text.size();) {
    const bool parse = options.parse_special;
    const Found found = parse ? find(in_text_, text, from, search_from)
                              : Found{text.substr(from), -1, text.size(), text.size()};
    encode_between(found.before, from == 0, parse, ids);
    if (found.id >= 0) ids.push_back(found.id);
    from = found.end;
    search_from = found.search_end;
  }
  if (options.add_special) ids.insert(ids.end(), suffix_.begin(), suffix_.end());
  return ids;
}

std::string_view Tokenizer::piece(int32_t id) const {
  return has(id) ? std::string_view(pieces_[static_cast<size_t>(id)]) : std::string_view();
}

std::string Tokenizer::decode(std::span<const int32_t> ids, bool skip_special) const {
  std::string text;
  for (const int32_t id : ids) {
    if (!skip_special || !is_special(id)) text += piece(id);
  }
  const bool prefixed = spaces_ && spaces_->prefix != SpaceRule::Prefix::Never;
  if (prefixed && text.starts_with(' ')) text.erase(0, 1);
  return text;
}

std::vector<std::string> Tokenizer::chat_template_names() const {
  std::vector<std::string> names;
  for (const auto& [name, source] : chat_templates_) {
    if (!source.empty()) names.push_back(name);
  }
  return names;
}

}  // namespace sw
