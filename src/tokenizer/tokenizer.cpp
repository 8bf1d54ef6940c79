// SPDX-License-Identifier: MIT
#include "tokenizer/tokenizer.h"

#include <algorithm>
#include <set>

#include "tokenizer/bpe.h"
#include "tokenizer/byte_level.h"
#include "tokenizer/normalizer.h"

namespace sw {
namespace {

/// Control tokens that end a turn, whatever the file calls its eos.
constexpr std::string_view kEndOfGeneration[] = {
    "<|endoftext|>", "<|role_end|>", "<|im_end|>", "<|eot_id|>",    "<|end_of_text|>",       "<|eom_id|>",
    "<|return|>",    "<|call|>",     "<|eot|>",    "<end_of_turn>", "<｜end▁of▁sentence｜>", "</s>",
};

std::vector<int32_t> end_of_generation_ids(const TokenizerSpec& spec) {
  std::set<int32_t> ids;
  for (const TokenizerSpec::Id& id : {spec.eos, spec.eot, spec.eom}) {
    if (id) ids.insert(*id);
  }
  for (size_t id = 0; id < spec.tokens.size(); ++id) {
    const TokenizerSpec::Token& token = spec.tokens[id];
    const bool known = std::ranges::find(kEndOfGeneration, token.text) != std::end(kEndOfGeneration);
    if (token.type == TokenType::Control && known) ids.insert(static_cast<int32_t>(id));
  }
  return {ids.begin(), ids.end()};
}

std::string bytes_of(const TokenizerSpec::Token& token) {
  if (token.type == TokenType::Unused) return {};
  if (token.type != TokenType::Normal) return token.text;
  // A plain token with characters outside the alphabet stands for itself, as in `tokenizers`.
  return from_byte_level(token.text).value_or(token.text);
}

}  // namespace

Tokenizer::Tokenizer(const TokenizerSpec& spec)
    : model_(std::make_unique<Bpe>(spec)),
      prefix_(spec.prefix),
      suffix_(spec.suffix),
      end_of_generation_(end_of_generation_ids(spec)),
      bos_(spec.bos),
      eos_(spec.eos),
      pad_(spec.pad),
      nfc_(spec.nfc),
      chat_template_(spec.chat_template) {
  pieces_.reserve(spec.tokens.size());
  for (const TokenizerSpec::Token& token : spec.tokens) {
    const bool in_text = token.type == TokenType::Control || token.type == TokenType::UserDefined;
    if (in_text) in_text_.add(token.text, static_cast<int32_t>(pieces_.size()));
    pieces_.push_back(bytes_of(token));
    special_.push_back(token.special);
  }
}

void Tokenizer::encode_plain(std::string_view text, std::vector<int32_t>& ids) const {
  if (nfc_ && may_need_nfc(text)) {
    model_->encode(nfc(text), ids);
  } else {
    model_->encode(text, ids);
  }
}

std::vector<int32_t> Tokenizer::encode(std::string_view text, EncodeOptions options) const {
  std::vector<int32_t> ids;
  if (options.add_special) ids = prefix_;
  size_t from = 0;
  while (options.parse_special) {
    const SpecialTokens::Match match = in_text_.find(text, from);
    if (match.id < 0) break;
    encode_plain(text.substr(from, match.begin - from), ids);
    ids.push_back(match.id);
    from = match.begin + match.length;
  }
  encode_plain(text.substr(from), ids);
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
  return text;
}

}  // namespace sw
