// SPDX-License-Identifier: MIT
#include <algorithm>
#include <fmt/format.h>

#include "base/error.h"
#include "base/log.h"
#include "tokenizer/byte_level.h"
#include "tokenizer/gguf_names.h"
#include "tokenizer/pre_tokenizer.h"
#include "tokenizer/spec.h"

namespace sw {
namespace {

Error bad(const GgufFile& file, const std::string& key, const std::string& what, const std::string& expected,
          const std::string& got, const std::string& hint = {}) {
  return Error(
      {.what = what, .where = file.metadata().place_of(key), .expected = expected, .got = got, .hint = hint});
}

int32_t checked_id(const GgufFile& file, const std::string& key, int64_t id, size_t n_vocab) {
  if (id < 0 || id >= static_cast<int64_t>(n_vocab)) {
    throw bad(file, key, "the token id is out of range", "less than " + std::to_string(n_vocab),
              std::to_string(id));
  }
  return static_cast<int32_t>(id);
}

std::vector<int32_t> id_list(const GgufFile& file, const std::string& key, size_t n_vocab) {
  std::vector<int32_t> ids;
  for (const int64_t id : file.metadata().get_ints(key).value_or(std::vector<int64_t>{})) {
    ids.push_back(checked_id(file, key, id, n_vocab));
  }
  return ids;
}

void read_tokens(const GgufFile& file, TokenizerSpec& spec) {
  const std::string tokens_key = "tokenizer.ggml.tokens", types_key = "tokenizer.ggml.token_type";
  const auto* texts = file.metadata().get_strings(tokens_key);
  if (!texts || texts->empty())
    throw bad(file, tokens_key, "the file has no tokens", "an array of strings", "nothing");
  if (texts->size() > INT32_MAX) {
    throw bad(file, tokens_key, "too many tokens", "less than 2^31", std::to_string(texts->size()));
  }
  const auto types = file.metadata().get_ints(types_key);
  if (types && types->size() != texts->size()) {
    throw bad(file, types_key, "there must be one type for each token", std::to_string(texts->size()),
              std::to_string(types->size()));
  }
  if (!types) {
    log::warn(
        "{} does not say which tokens are control tokens ({}): only those that begin or end a text "
        "are taken for such",
        file.name(), types_key);
  }
  spec.tokens.resize(texts->size());
  for (size_t id = 0; id < texts->size(); ++id) {
    const int64_t type = types ? (*types)[id] : static_cast<int64_t>(TokenType::Normal);
    if (type < static_cast<int64_t>(TokenType::Normal) || type > static_cast<int64_t>(TokenType::Byte)) {
      throw bad(file, types_key, "unknown type of token " + std::to_string(id), "1 to 6",
                std::to_string(type));
    }
    const auto known = static_cast<TokenType>(type);
    spec.tokens[id] = {(*texts)[id], known, known == TokenType::Control || known == TokenType::Unknown};
  }
  for (const int32_t id : id_list(file, "tokenizer.switchyard.visible_tokens", spec.tokens.size())) {
    spec.tokens[static_cast<size_t>(id)].special = false;
  }
}

/// Some writers give the tokens that end or begin a text no type, or that of plain text. Their ids say what
/// they are. (Only those that look like markup: a placeholder may name a comma.)
void settle_types(TokenizerSpec& spec) {
  for (const TokenizerSpec::Id& id : {spec.bos, spec.eos, spec.eot, spec.eom}) {
    if (!id) continue;
    TokenizerSpec::Token& token = spec.tokens[static_cast<size_t>(*id)];
    const bool is_markup = token.text.size() > 2 && token.text.front() == '<' && token.text.back() == '>';
    if (is_markup && token.type == TokenType::Normal)
      token = {.text = token.text, .type = TokenType::Control, .special = true};
  }
}

void read_special_ids(const GgufFile& file, TokenizerSpec& spec) {
  const auto read = [&](const char* name) {
    const std::string key = std::string("tokenizer.ggml.") + name + "_token_id";
    const auto id = file.metadata().get_int(key);
    return id ? TokenizerSpec::Id(checked_id(file, key, *id, spec.tokens.size())) : TokenizerSpec::Id();
  };
  spec.bos = read("bos");
  spec.eos = read("eos");
  spec.unk = read("unknown");
  spec.sep = read("seperator");  // the key's own spelling
  spec.pad = read("padding");
  spec.mask = read("mask");
  spec.eot = read("eot");
  spec.eom = read("eom");
  spec.further_ends = id_list(file, "tokenizer.switchyard.end_tokens", spec.tokens.size());
  spec.add_bos = file.metadata().get_bool("tokenizer.ggml.add_bos_token");
  spec.add_eos = file.metadata().get_bool("tokenizer.ggml.add_eos_token");
  spec.add_sep = file.metadata().get_bool("tokenizer.ggml.add_sep_token");
  settle_types(spec);
}

/// Without them a byte-level vocabulary can say text only byte by byte.
void read_merges(const GgufFile& file, TokenizerSpec& spec) {
  const std::string key = "tokenizer.ggml.merges";
  if (const auto* merges = file.metadata().get_strings(key)) {
    spec.merges = *merges;
  } else if (spec.kind == TokenizerKind::ByteBpe) {
    const auto is_made_by_merging = [](const TokenizerSpec::Token& token) {
      return token.type == TokenType::Normal && from_byte_level(token.text).value_or("").size() > 1;
    };
    if (std::ranges::any_of(spec.tokens, is_made_by_merging))
      throw bad(file, key, "the file has no merges", "an array of strings", "nothing",
                "convert the model again: its tokenizer was not written whole");
  }
  spec.pruned_merges = true;  // other engines load files with a cut vocabulary and all the merges
}

void read_nfc(const GgufFile& file, TokenizerSpec& spec) {
  const std::string key = "tokenizer.switchyard.normalizer";
  const std::string normalizer = file.metadata().get_string(key).value_or(spec.nfc ? "nfc" : "none");
  if (normalizer != "nfc" && normalizer != "none") {
    throw bad(file, key, "unknown normalizer", "nfc or none", "'" + normalizer + "'");
  }
  spec.nfc = normalizer == "nfc";
}

std::string known_pre_tokenizers() {
  std::string names = "one of";
  for (const NamedPreTokenizer& known : named_pre_tokenizers()) names += " " + std::string(known.name);
  return names + ", or another name of one of these";
}

void read_split_rules(const GgufFile& file, TokenizerSpec& spec) {
  const std::string key = "tokenizer.switchyard.pre_split";
  const auto* names = file.metadata().get_strings(key);
  if (!names) return;
  for (const std::string& name : *names) {
    const auto rule = value_of(kSplitRules, name);
    if (!rule)
      throw bad(file, key, "unknown way to split", "isolated, removed, contiguous, ...", "'" + name + "'");
    spec.split_rules.push_back(*rule);
  }
}

/// What the pre-tokenizer's name implies, then what our own keys say.
void read_pre_tokenizer(const GgufFile& file, TokenizerSpec& spec) {
  const std::string pre_key = "tokenizer.ggml.pre", regex_key = "tokenizer.switchyard.pre_regex";
  const std::string name = file.metadata().get_string(pre_key).value_or("default");
  const NamedPreTokenizer* named = find_pre_tokenizer(name);
  const auto* patterns = file.metadata().get_strings(regex_key);
  if (!named && !patterns) {
    throw bad(file, pre_key, "the pre-tokenizer '" + name + "' is not known", known_pre_tokenizers(),
              "'" + name + "'",
              "convert the model from a folder with its tokenizer.json, which holds the patterns themselves");
  }
  if (!patterns && !file.metadata().find(pre_key)) {
    log::warn("{} does not say how its tokenizer cuts text ({}): the default is used, and may be wrong",
              file.name(), pre_key);
  }
  if (named) {
    spec.patterns.assign(named->patterns.begin(), named->patterns.end());
    spec.ignore_merges = named->ignore_merges;
    spec.nfc = named->nfc;
    if (!spec.add_bos) spec.add_bos = named->add_bos;
  }
  if (patterns) {
    spec.patterns = *patterns;
    read_split_rules(file, spec);
  }
  spec.ignore_merges =
      file.metadata().get_bool("tokenizer.switchyard.ignore_merges").value_or(spec.ignore_merges);
}

/// How some tokens are found: with the white space beside them, in the normalized text, not within words.
void read_finding(const GgufFile& file, TokenizerSpec& spec) {
  for (const int32_t id : id_list(file, "tokenizer.switchyard.strip_left", spec.tokens.size()))
    spec.tokens[static_cast<size_t>(id)].strip_left = true;
  for (const int32_t id : id_list(file, "tokenizer.switchyard.strip_right", spec.tokens.size()))
    spec.tokens[static_cast<size_t>(id)].strip_right = true;
  for (const int32_t id : id_list(file, "tokenizer.switchyard.normalized", spec.tokens.size()))
    spec.tokens[static_cast<size_t>(id)].normalized = true;
  for (const int32_t id : id_list(file, "tokenizer.switchyard.single_word", spec.tokens.size()))
    spec.tokens[static_cast<size_t>(id)].single_word = true;
}

void read_space_rule(const GgufFile& file, TokenizerSpec& spec) {
  using Prefix = SpaceRule::Prefix;
  const bool by_default = spec.kind == TokenizerKind::CharBpe;
  const bool add = file.metadata().get_bool("tokenizer.ggml.add_space_prefix").value_or(by_default);
  spec.spaces.prefix = add ? Prefix::Always : Prefix::Never;
  const std::string key = "tokenizer.switchyard.space_prefix";
  if (const auto name = file.metadata().get_string(key)) {
    const auto rule = value_of(kSpacePrefixes, *name);
    if (!rule)
      throw bad(file, key, "unknown rule", "first, first-if-missing or always-if-missing", "'" + *name + "'");
    spec.spaces = *rule;
  }
  spec.spaces.split_words = file.metadata().get_bool("tokenizer.switchyard.split_words").value_or(false);
}

/// What SentencePiece's models may want of text before it is cut, and we do not do.
void refuse_normalizers(const GgufFile& file) {
  const std::string charsmap = "tokenizer.ggml.precompiled_charsmap";
  if (file.metadata().find(charsmap))
    throw bad(file, charsmap, "character maps are not supported", "no such key", "one");
  const std::string extra = "tokenizer.ggml.remove_extra_whitespaces";
  if (file.metadata().get_bool(extra).value_or(false))
    throw bad(file, extra, "this way to normalize text is not supported", "false", "true");
}

/// SentencePiece's models: scores instead of merges, and a rule for spaces.
void read_sentence_piece(const GgufFile& file, TokenizerSpec& spec) {
  const std::string key = "tokenizer.ggml.scores";
  spec.scores = file.metadata().get_floats(key).value_or(std::vector<double>{});
  if (spec.scores.size() != spec.tokens.size()) {
    throw bad(file, key, "there must be one score for each token", std::to_string(spec.tokens.size()),
              std::to_string(spec.scores.size()));
  }
  refuse_normalizers(file);
  read_space_rule(file, spec);
  read_nfc(file, spec);
  // What SentencePiece's files mean where they say nothing.
  const bool is_bpe = spec.kind == TokenizerKind::CharBpe;
  if (!spec.add_bos) spec.add_bos = is_bpe;
  if (!spec.add_eos) spec.add_eos = !is_bpe;
}

void read_affixes(const GgufFile& file, TokenizerSpec& spec) {
  if (spec.add_bos.value_or(false) && spec.bos) spec.prefix = {*spec.bos};
  if (spec.add_eos.value_or(false) && spec.eos) spec.suffix = {*spec.eos};
  const std::string prefix_key = "tokenizer.switchyard.prefix", suffix_key = "tokenizer.switchyard.suffix";
  if (file.metadata().find(prefix_key)) spec.prefix = id_list(file, prefix_key, spec.tokens.size());
  if (file.metadata().find(suffix_key)) spec.suffix = id_list(file, suffix_key, spec.tokens.size());
}

}  // namespace

TokenizerSpec read_gguf_tokenizer(const GgufFile& file) {
  const std::string model_key = "tokenizer.ggml.model", model = file.metadata().require_string(model_key);
  const auto kind = value_of(kTokenizerKinds, model);
  if (!kind) {
    throw bad(file, model_key, "this kind of tokenizer is not supported", "gpt2, llama or t5",
              "'" + model + "'");
  }
  TokenizerSpec spec;
  spec.source = file.name();
  spec.kind = *kind;
  read_tokens(file, spec);
  read_special_ids(file, spec);
  read_merges(file, spec);
  read_finding(file, spec);
  if (spec.kind == TokenizerKind::ByteBpe) {
    read_pre_tokenizer(file, spec);
    read_nfc(file, spec);
  } else {
    read_sentence_piece(file, spec);
  }
  read_affixes(file, spec);
  const std::string template_key = "tokenizer.chat_template";
  spec.chat_template = file.metadata().get_string(template_key).value_or("");
  if (const auto* names = file.metadata().get_strings("tokenizer.chat_templates")) {
    for (const std::string& name : *names) {
      if (const auto source = file.metadata().get_string(fmt::format("{}.{}", template_key, name)))
        spec.named_templates[name] = *source;
    }
  }
  return spec;
}

}  // namespace sw
