// SPDX-License-Identifier: MIT
#include <algorithm>

#include "tokenizer/json_object.h"
#include "tokenizer/pre_tokenizer.h"
#include "tokenizer/spec.h"

namespace sw {
namespace {

using Json = nlohmann::json;

/// A token id. The bound keeps a file of few tokens from asking for much memory.
int32_t checked_id(const Json& value, size_t n_tokens, const std::string& where) {
  const size_t limit = 2 * n_tokens + 1024;
  const bool fits = value.is_number_integer() && value >= 0 && value < limit;
  if (!fits) {
    throw Error({.what = "the token id is out of range, or the ids leave large gaps",
                 .where = where,
                 .expected = "an integer from 0 to " + std::to_string(limit - 1),
                 .got = value.dump(-1, ' ', false, Json::error_handler_t::replace)});
  }
  return value.get<int32_t>();
}

void place(TokenizerSpec& spec, int32_t id, TokenizerSpec::Token token, const std::string& where) {
  const auto i = static_cast<size_t>(id);
  if (i >= spec.tokens.size()) spec.tokens.resize(i + 1);
  TokenizerSpec::Token& there = spec.tokens[i];
  if (there.type != TokenType::Unused && there.text != token.text) {
    throw Error({.what = "two tokens have the id " + std::to_string(id),
                 .where = where,
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

void read_added_tokens(const JsonObject& file, const Json& list, size_t n_tokens, TokenizerSpec& spec) {
  const Json& vocab = file.object("model").require("vocab");
  for (size_t i = 0; i < list.size(); ++i) {
    const JsonObject token(list[i], file.where() + ".added_tokens[" + std::to_string(i) + "]");
    for (const char* flag : {"single_word", "lstrip", "rstrip"}) {
      if (token.flag(flag, false))
        token.fail(flag, "tokens that take white space with them are not supported", "false");
    }
    // "normalized" makes no difference here: NFC does not change such tokens.
    const std::string text = token.text("content");
    const bool special = token.flag("special", false);
    const TokenType type = special || looks_special(text) ? TokenType::Control : TokenType::UserDefined;
    const int32_t id = checked_id(token.require("id"), n_tokens, token.where() + ".id");
    const auto in_vocab = vocab.find(text);
    if (in_vocab != vocab.end() && *in_vocab != id)
      token.fail("id", "the vocabulary has this token under another id");
    place(spec, id, {text, type, special}, token.where());
  }
}

std::string merge_text(const Json& merge, const std::string& where) {
  if (merge.is_string()) return merge.get<std::string>();
  const bool pair = merge.is_array() && merge.size() == 2 && merge[0].is_string() && merge[1].is_string();
  if (!pair)
    throw Error(
        {.what = "a merge must be \"a b\" or [\"a\", \"b\"]", .where = where, .got = merge.type_name()});
  return merge[0].get<std::string>() + ' ' + merge[1].get<std::string>();
}

void read_model(const JsonObject& file, TokenizerSpec& spec) {
  const JsonObject model = file.object("model");
  // Files of old have no type; only BPE has merges.
  if (model.text("type", model.find("merges") ? "BPE" : "") != "BPE") {
    model.fail("type", "this kind of tokenizer is not supported", "\"BPE\"");
  }
  for (const char* affix : {"continuing_subword_prefix", "end_of_word_suffix"}) {
    if (!model.text(affix).empty()) model.fail(affix, "this is not supported in a byte-level BPE", "nothing");
  }
  if (model.flag("byte_fallback", false))
    model.fail("byte_fallback", "this is not supported in a byte-level BPE", "false");
  spec.ignore_merges = model.flag("ignore_merges", false);

  const Json& vocab = model.require("vocab");
  if (!vocab.is_object() || vocab.empty()) model.fail("vocab", "this must be an object of tokens");
  static const Json kNone = Json::array();
  const Json& added = file.find("added_tokens") ? file.array("added_tokens") : kNone;
  const size_t n_tokens = vocab.size() + added.size();
  for (const auto& [text, id] : vocab.items()) {
    const std::string where = model.where() + ".vocab['" + text + "']";
    place(spec, checked_id(id, n_tokens, where), {text, TokenType::Normal, false}, where);
  }
  read_added_tokens(file, added, n_tokens, spec);

  const Json& merges = model.array("merges");
  spec.merges.reserve(merges.size());
  for (size_t i = 0; i < merges.size(); ++i) {
    spec.merges.push_back(merge_text(merges[i], model.where() + ".merges[" + std::to_string(i) + "]"));
  }
  if (const std::string unk = model.text("unk_token"); !unk.empty()) {
    const auto found = std::ranges::find(spec.tokens, unk, &TokenizerSpec::Token::text);
    if (found == spec.tokens.end()) model.fail("unk_token", "the token is not in the vocabulary");
    spec.unk = static_cast<int32_t>(found - spec.tokens.begin());
  }
}

/// Calls `visit` for a component, or for each part of a Sequence (whose parts stand in `list`).
template <class F>
void for_each_part(const JsonObject& owner, const char* name, const char* list, F&& visit) {
  const Json* component = owner.find(name);
  if (!component) return;
  const JsonObject whole(*component, owner.where() + "." + name);
  if (whole.text("type") != "Sequence") return visit(whole);
  const Json& parts = whole.array(list);
  for (size_t i = 0; i < parts.size(); ++i) {
    visit(JsonObject(parts[i], whole.where() + "." + list + "[" + std::to_string(i) + "]"));
  }
}

void read_normalizer(const JsonObject& file, TokenizerSpec& spec) {
  for_each_part(file, "normalizer", "normalizers", [&](const JsonObject& part) {
    if (part.text("type") != "NFC") part.fail("type", "this normalizer is not supported", "\"NFC\"");
    spec.nfc = true;
  });
}

std::string split_pattern(const JsonObject& split) {
  // With a pattern that covers all text the two ways to cut are one; what lies between matches is kept.
  const bool invert = split.flag("invert", false);
  if (split.text("behavior") != (invert ? "Removed" : "Isolated")) {
    split.fail("behavior", "this way to split is not supported", "\"Isolated\"");
  }
  return split.object("pattern").text("Regex");
}

void read_pre_tokenizer(const JsonObject& file, TokenizerSpec& spec) {
  bool byte_level = false;
  for_each_part(file, "pre_tokenizer", "pretokenizers", [&](const JsonObject& part) {
    if (byte_level) part.fail("type", "nothing may follow ByteLevel");
    const std::string type = part.text("type");
    if (type == "Split") {
      spec.patterns.push_back(split_pattern(part));
      if (spec.patterns.back().empty()) part.fail("pattern", "this must be {\"Regex\": ...}");
    } else if (type == "Digits") {
      spec.patterns.push_back(part.flag("individual_digits", false) ? "\\p{N}" : "\\p{N}+");
    } else if (type == "ByteLevel") {
      byte_level = true;
      if (part.flag("add_prefix_space", true))
        part.fail("add_prefix_space", "this is not supported", "false");
      if (part.flag("use_regex", true)) spec.patterns.emplace_back(find_pre_tokenizer("gpt-2")->patterns[0]);
    } else {
      part.fail("type", "this pre-tokenizer is not supported", "Split, Digits or ByteLevel");
    }
  });
  if (!byte_level) file.fail("pre_tokenizer", "only byte-level BPE is supported", "a ByteLevel part");
}

int32_t template_id(const JsonObject& processor, const std::string& name, size_t n_vocab) {
  const JsonObject tokens = processor.object("special_tokens");
  const Json& ids = tokens.object(name.c_str()).array("ids");
  const bool usable = ids.size() == 1 && ids[0].is_number_integer() && ids[0] >= 0 && ids[0] < n_vocab;
  if (!usable) tokens.fail(name.c_str(), "this must have one id, that of a token");
  return ids[0].get<int32_t>();
}

/// The name of a template's special token; empty for a sequence.
std::string special_name(const Json& entry, const std::string& where) {
  const JsonObject item(entry, where);
  return item.find("SpecialToken") ? item.object("SpecialToken").text("id") : std::string();
}

void read_template(const JsonObject& processor, TokenizerSpec& spec) {
  const std::string where = processor.where() + ".single";
  bool after_text = false;
  for (const Json& entry : processor.array("single")) {
    const std::string name = special_name(entry, where);
    if (name.empty())
      after_text = true;
    else
      (after_text ? spec.suffix : spec.prefix).push_back(template_id(processor, name, spec.tokens.size()));
  }
  // Whether a separator joins pairs; nothing here uses it, but mainline's files say it.
  const Json* pair = processor.find("pair");
  if (!pair || !pair->is_array()) return;
  const auto is_sequence = [&](const Json& entry) {
    return special_name(entry, processor.where() + ".pair").empty();
  };
  const auto first = std::ranges::find_if(*pair, is_sequence);
  if (first != pair->end() && std::next(first) != pair->end() && !is_sequence(*std::next(first)))
    spec.add_sep = false;
}

void read_post_processor(const JsonObject& file, TokenizerSpec& spec) {
  for_each_part(file, "post_processor", "processors", [&](const JsonObject& part) {
    const std::string type = part.text("type");
    if (type == "TemplateProcessing")
      read_template(part, spec);
    else if (type != "ByteLevel")
      part.fail("type", "this post-processor is not supported", "ByteLevel or TemplateProcessing");
  });
}

}  // namespace

TokenizerSpec read_tokenizer_json(const std::filesystem::path& tokenizer_json) {
  const Json document = read_json(tokenizer_json);
  const JsonObject file(document, tokenizer_json.string());
  TokenizerSpec spec;
  spec.source = tokenizer_json.string();
  read_model(file, spec);
  read_normalizer(file, spec);
  read_pre_tokenizer(file, spec);
  read_post_processor(file, spec);
  return spec;
}

}  // namespace sw
