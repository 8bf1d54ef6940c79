// SPDX-License-Identifier: MIT
#include "tokenizer/bpe.h"

#include "base/error.h"
#include "tokenizer/byte_level.h"
#include "tokenizer/encode_pieces.h"

namespace sw {

Bpe::Bpe(const TokenizerSpec& spec) : pre_tokenizer_(spec.patterns, spec.split_rules) {
  TextTable ids(spec.tokens.size());
  for (size_t id = 0; id < spec.tokens.size(); ++id) {
    if (spec.tokens[id].type != TokenType::Unused) ids.add(spec.tokens[id].text, static_cast<int32_t>(id));
  }
  for (int byte = 0; byte < 256; ++byte) {
    const char c = static_cast<char>(byte);
    const int32_t found = ids.find(to_byte_level({&c, 1}));
    byte_ids_[static_cast<size_t>(byte)] = found < 0 ? spec.unk.value_or(-1) : found;
  }
  merges_ = merge_table(spec.merges, ids, spec.source, spec.pruned_merges);
  add_whole_tokens(spec);
}

void Bpe::add_whole_tokens(const TokenizerSpec& spec) {
  tokens_ = TextTable(spec.tokens.size());
  whole_ = std::vector<std::atomic<Whole>>(spec.tokens.size());
  for (size_t id = 0; id < spec.tokens.size(); ++id) {
    // Only plain ones: text that was not to be parsed must not become a control token.
    if (spec.tokens[id].type != TokenType::Normal) continue;
    if (const auto bytes = from_byte_level(spec.tokens[id].text))
      tokens_.add(*bytes, static_cast<int32_t>(id));
    if (spec.ignore_merges) whole_[id] = Whole::Yes;
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
  Merger merger(merges_);
  encode_pieces(pieces(text), ids, [&](std::string_view piece) { encode_piece(piece, merger, ids); });
}

void Bpe::encode_piece(std::string_view piece, Merger& merger, std::vector<int32_t>& ids) const {
  const int32_t token = tokens_.find(piece);
  auto* const whole = token < 0 ? nullptr : &whole_[static_cast<size_t>(token)];
  if (whole && whole->load(std::memory_order_relaxed) == Whole::Yes) {
    ids.push_back(token);
    return;
  }
  const size_t before = ids.size();
  for (const char c : piece) {
    const int32_t id = byte_ids_[static_cast<uint8_t>(c)];
    if (id >= 0) merger.push(id);
  }
  merger.run(ids);
  const bool is_whole = ids.size() == before + 1 && ids.back() == token;
  if (whole) whole->store(is_whole ? Whole::Yes : Whole::No, std::memory_order_relaxed);
}

}  // namespace sw
