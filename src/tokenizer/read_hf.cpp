// SPDX-License-Identifier: MIT
#include "tokenizer/read_hf.h"

#include <algorithm>

#include "tokenizer/config_keys.h"
#include "tokenizer/fallback.h"
#include "tokenizer/json_object.h"

namespace sw {
namespace {

using Json = nlohmann::json;

/// `where` is called only to complain: there may be very many tokens.
template <class Where>
int32_t checked_id(const Json& value, size_t n_tokens, Where&& where) {
  const int64_t limit = id_limit(n_tokens);
  const bool fits = value.is_number_integer() && value >= 0 && value < limit;
  if (!fits) {
    throw Error({.what = "the token id is out of range, or the ids leave large gaps",
                 .where = where(),
                 .expected = "an integer from 0 to " + std::to_string(limit - 1),
                 .got = value.dump(-1, ' ', false, Json::error_handler_t::replace)});
  }
  return value.get<int32_t>();
}

template <class Where>
void place(TokenizerSpec& spec, int32_t id, TokenizerSpec::Token token, Where&& where) {
  const auto i = static_cast<size_t>(id);
  if (i >= spec.tokens.size()) spec.tokens.resize(i + 1);
  TokenizerSpec::Token& there = spec.tokens[i];
  if (there.type != TokenType::Unused && there.text != token.text) {
    throw Error({.what = "two tokens have the id " + std::to_string(id),
                 .where = where(),
                 .got = "'" + there.text + "' and '" + token.text + "'"});
  }
  there = std::move(token);
}

/// Mainline's rule: what looks like markup is a control token even where the file does not say so.
bool looks_special(const std::string& text) {
  const auto between = [&](std::string_view begin, std::string_view end) {
    return text.starts_with(begin) && text.ends_with(end);
  };
  return between("<|", "|>") || between("<｜", "｜>");
}

void read_added_tokens(const JsonObject& file, size_t n_tokens, TokenizerSpec& spec) {
  if (!file.find("added_tokens")) return;
  const Json& vocab = file.object("model").require("vocab");
  const Json& list = file.array("added_tokens");
  for (size_t i = 0; i < list.size(); ++i) {
    const JsonObject token(list[i], file.where() + ".added_tokens[" + std::to_string(i) + "]");
    const std::string text = token.text("content");
    const auto id_where = [&] { return token.where() + ".id"; };
    const int32_t id = checked_id(token.require("id"), n_tokens, id_where);
    const auto in_vocab = vocab.is_object() ? vocab.find(text) : vocab.end();
    if (in_vocab != vocab.end() && *in_vocab != id)
      token.fail("id", "the vocabulary has this token under another id");
    add_token(token, id, spec);
  }
}

/// Appends a merge as "left right".
void read_merge(const Json& merge, const JsonObject& model, std::vector<std::string>& merges) {
  const bool pair = merge.is_array() && merge.size() == 2 && merge[0].is_string() && merge[1].is_string();
  if (pair) {
    merges.push_back(merge[0].get_ref<const std::string&>() + ' ' + merge[1].get_ref<const std::string&>());
  } else if (merge.is_string()) {
    merges.push_back(merge.get_ref<const std::string&>());
  } else {
    throw Error({.what = "a merge must be \"a b\" or [\"a\", \"b\"]",
                 .where = model.where() + ".merges[" + std::to_string(merges.size()) + "]",
                 .got = merge.type_name()});
  }
}

TokenType type_in_vocab(const std::string& text, bool byte_fallback) {
  return byte_fallback && named_byte(text) ? TokenType::Byte : TokenType::Normal;
}

size_t n_added_tokens(const JsonObject& file) {
  return file.find("added_tokens") ? file.array("added_tokens").size() : 0;
}

void read_bpe(const JsonObject& file, const JsonObject& model, TokenizerSpec& spec) {
  const bool is_bytes = spec.kind == TokenizerKind::ByteBpe;
  for (const char* affix : {"continuing_subword_prefix", "end_of_word_suffix"}) {
    if (!model.text(affix).empty()) model.fail(affix, "this is not supported in a BPE", "nothing");
  }
  const bool byte_fallback = model.flag("byte_fallback", false);
  if (is_bytes && byte_fallback)
    model.fail("byte_fallback", "this is not supported in a byte-level BPE", "false");
  if (!is_bytes && !byte_fallback && !model.flag("fuse_unk", false))
    model.fail("fuse_unk", "without byte_fallback only this is supported", "true");
  spec.ignore_merges = model.flag("ignore_merges", false);
  if (!is_bytes && spec.ignore_merges)
    model.fail("ignore_merges", "this is only supported in a byte-level BPE", "false");

  const Json& vocab = model.require("vocab");
  if (!vocab.is_object() || vocab.empty()) model.fail("vocab", "this must be an object of tokens");
  const size_t n_tokens = vocab.size() + n_added_tokens(file);
  for (const auto& [text, id] : vocab.get_ref<const Json::object_t&>()) {
    const auto where = [&, &text = text] { return model.where() + ".vocab['" + text + "']"; };
    place(spec, checked_id(id, n_tokens, where), {text, type_in_vocab(text, byte_fallback)}, where);
  }
  read_added_tokens(file, n_tokens, spec);

  const Json& merges = model.array("merges");
  spec.merges.reserve(merges.size());
  for (const Json& merge : merges) read_merge(merge, model, spec.merges);
  if (const std::string unk = model.text("unk_token"); !unk.empty()) {
    const auto found = std::ranges::find(spec.tokens, unk, &TokenizerSpec::Token::text);
    if (found == spec.tokens.end()) model.fail("unk_token", "the token is not in the vocabulary");
    spec.unk = static_cast<int32_t>(found - spec.tokens.begin());
  }
}

void read_unigram(const JsonObject& file, const JsonObject& model, TokenizerSpec& spec) {
  const bool byte_fallback = model.flag("byte_fallback", false);
  const Json& vocab = model.array("vocab");
  if (vocab.empty()) model.fail("vocab", "this must be an array of tokens and their scores");
  const size_t n_tokens = vocab.size() + n_added_tokens(file);
  for (const Json& entry : vocab) {
    const auto where = [&] { return model.where() + ".vocab[" + std::to_string(spec.scores.size()) + "]"; };
    const bool usable = entry.is_array() && entry.size() == 2 && entry[0].is_string() && entry[1].is_number();
    if (!usable)
      throw Error({.what = "a token must be [\"text\", score]", .where = where(), .got = entry.type_name()});
    const auto& text = entry[0].get_ref<const std::string&>();
    place(spec, static_cast<int32_t>(spec.scores.size()), {text, type_in_vocab(text, byte_fallback)}, where);
    spec.scores.push_back(entry[1].get<double>());
  }
  read_added_tokens(file, n_tokens, spec);
  spec.scores.resize(spec.tokens.size());
  if (const Json* unk = model.find("unk_id"))
    spec.unk = checked_id(*unk, vocab.size(), [&] { return model.where() + ".unk_id"; });
  if (spec.unk && static_cast<size_t>(*spec.unk) >= spec.tokens.size())
    model.fail("unk_id", "there is no such token");
}

void read_model(const JsonObject& file, TokenizerSpec& spec) {
  const JsonObject model = file.object("model");
  check_members(model, spec.kind == TokenizerKind::Unigram ? "Unigram" : "BPE");
  const Json* dropout = model.find("dropout");
  if (dropout && *dropout != 0)
    model.fail("dropout", "merges left out at random are not supported", "null or 0");
  if (spec.kind == TokenizerKind::Unigram) {
    read_unigram(file, model, spec);
  } else {
    // Files of old have no type; only BPE has merges.
    if (model.text("type", model.find("merges") ? "BPE" : "") != "BPE")
      model.fail("type", "this kind of tokenizer is not supported", "\"BPE\" or \"Unigram\"");
    read_bpe(file, model, spec);
  }
  // As mainline's files have it; text that spells it is still found.
  if (spec.unk && spec.kind != TokenizerKind::ByteBpe)
    spec.tokens[static_cast<size_t>(*spec.unk)].type = TokenType::Unknown;
}

}  // namespace

int64_t id_limit(size_t n_tokens) { return 2 * static_cast<int64_t>(n_tokens) + 1024; }

void add_token(const JsonObject& token, int32_t id, TokenizerSpec& spec) {
  check_members(token, "added token");
  const std::string text = token.text("content");
  const bool special = token.flag("special", false);
  const TokenType type = special || looks_special(text) ? TokenType::Control : TokenType::UserDefined;
  const bool left = token.flag("lstrip", false), right = token.flag("rstrip", false);
  const bool normalized = token.flag("normalized", !special);
  const bool single_word = token.flag("single_word", false);
  place(spec, id, {text, type, special, left, right, normalized, single_word}, [&] { return token.where(); });
}

TokenizerSpec read_tokenizer_json(const std::filesystem::path& tokenizer_json) {
  const Json document = read_json(tokenizer_json);
  const JsonObject file(document, tokenizer_json.string());
  TokenizerSpec spec;
  spec.source = tokenizer_json.string();
  check_members(file, "file");
  read_cutting(file, spec);
  read_model(file, spec);
  read_affixes(file, spec);
  check_decoder(file, spec.kind == TokenizerKind::ByteBpe);
  return spec;
}

}  // namespace sw
