// SPDX-License-Identifier: MIT
#include <fmt/format.h>
#include <unordered_map>

#include "base/error.h"
#include "tokenizer/gguf_names.h"
#include "tokenizer/pre_tokenizer.h"
#include "tokenizer/spec.h"

namespace sw {
namespace {

class KeyList {
 public:
  void add(const std::string& key, GgufValue value) { keys_.emplace_back(key, std::move(value)); }
  void add_id(const std::string& role, const TokenizerSpec::Id& id) {
    if (id) add("tokenizer.ggml." + role + "_token_id", GgufValue::u32(static_cast<uint32_t>(*id)));
  }
  void add_flag(const std::string& role, const std::optional<bool>& flag) {
    if (flag) add("tokenizer.ggml.add_" + role + "_token", GgufValue::boolean(*flag));
  }
  std::vector<std::pair<std::string, GgufValue>> take() { return std::move(keys_); }

 private:
  std::vector<std::pair<std::string, GgufValue>> keys_;
};

/// By id. Where merges say the order, each token's place in it, so that readers who know only scores come
/// near.
std::vector<float> scores(const TokenizerSpec& spec, size_t n_vocab) {
  std::vector<float> scores(spec.scores.begin(), spec.scores.end());
  scores.resize(n_vocab);
  if (spec.merges.empty()) return scores;
  std::unordered_map<std::string, float> by_text;
  for (size_t rank = 0; rank < spec.merges.size(); ++rank) {
    std::string merged = spec.merges[rank];
    std::erase(merged, ' ');
    by_text.emplace(std::move(merged), -static_cast<float>(rank));
  }
  for (size_t id = 0; id < spec.tokens.size(); ++id) {
    const auto found = by_text.find(spec.tokens[id].text);
    scores[id] = found == by_text.end() ? -static_cast<float>(spec.merges.size()) : found->second;
  }
  return scores;
}

void add_tokens(const TokenizerSpec& spec, size_t n_vocab, KeyList& keys) {
  std::vector<std::string> texts;
  std::vector<int32_t> types;
  for (size_t id = 0; id < n_vocab; ++id) {
    const bool used = id < spec.tokens.size() && spec.tokens[id].type != TokenType::Unused;
    texts.push_back(used ? spec.tokens[id].text : "[PAD" + std::to_string(id) + "]");
    types.push_back(static_cast<int32_t>(used ? spec.tokens[id].type : TokenType::Unused));
  }
  keys.add("tokenizer.ggml.tokens", GgufValue::strings(std::move(texts)));
  if (spec.kind != TokenizerKind::ByteBpe)
    keys.add("tokenizer.ggml.scores", GgufValue::f32s(scores(spec, n_vocab)));
  keys.add("tokenizer.ggml.token_type", GgufValue::i32s(types));
}

void add_special_ids(const TokenizerSpec& spec, KeyList& keys) {
  keys.add_id("bos", spec.bos);
  keys.add_id("eos", spec.eos);
  keys.add_id("eot", spec.eot);
  keys.add_id("eom", spec.eom);
  keys.add_id("unknown", spec.unk);
  keys.add_id("seperator", spec.sep);  // the key's own spelling
  keys.add_id("padding", spec.pad);
  keys.add_id("mask", spec.mask);
  keys.add_flag("bos", spec.add_bos);
  keys.add_flag("eos", spec.add_eos);
  keys.add_flag("sep", spec.add_sep);
}

const std::string kOwn = "tokenizer.switchyard.";

/// The ids of the tokens for which `is_listed` holds, if any.
template <class F>
void add_token_list(const TokenizerSpec& spec, const char* name, F&& is_listed, KeyList& keys) {
  std::vector<int32_t> ids;
  for (size_t id = 0; id < spec.tokens.size(); ++id) {
    if (is_listed(spec.tokens[id])) ids.push_back(static_cast<int32_t>(id));
  }
  if (!ids.empty()) keys.add(kOwn + name, GgufValue::i32s(ids));
}

void add_space_rule(const TokenizerSpec& spec, KeyList& keys) {
  const bool prefixed = spec.spaces.prefix != SpaceRule::Prefix::Never;
  keys.add("tokenizer.ggml.add_space_prefix", GgufValue::boolean(prefixed));
  SpaceRule prefix = spec.spaces;
  prefix.split_words = false;
  if (const auto name = name_of(kSpacePrefixes, prefix))
    keys.add(kOwn + "space_prefix", GgufValue::string(std::string(*name)));
  if (spec.spaces.split_words) keys.add(kOwn + "split_words", GgufValue::boolean(true));
}

void add_own_keys(const TokenizerSpec& spec, const NamedPreTokenizer* named, KeyList& keys) {
  const bool is_bytes = spec.kind == TokenizerKind::ByteBpe;
  const bool implies_nfc = named && named->nfc;
  if (spec.nfc || implies_nfc) keys.add(kOwn + "normalizer", GgufValue::string(spec.nfc ? "nfc" : "none"));
  if (is_bytes && !named) {
    keys.add(kOwn + "pre_regex", GgufValue::strings(spec.patterns));
    if (!spec.split_rules.empty()) {
      std::vector<std::string> rules;
      for (const SplitRule& rule : spec.split_rules) rules.emplace_back(*name_of(kSplitRules, rule));
      keys.add(kOwn + "pre_split", GgufValue::strings(std::move(rules)));
    }
    keys.add(kOwn + "ignore_merges", GgufValue::boolean(spec.ignore_merges));
  }
  if (!spec.further_ends.empty()) keys.add(kOwn + "end_tokens", GgufValue::i32s(spec.further_ends));
  using Token = TokenizerSpec::Token;
  const auto is_visible = [](const Token& token) {
    return token.type == TokenType::Control && !token.special;
  };
  add_token_list(spec, "visible_tokens", is_visible, keys);
  add_token_list(
      spec, "strip_left", [](const Token& token) { return token.strip_left; }, keys);
  add_token_list(
      spec, "strip_right", [](const Token& token) { return token.strip_right; }, keys);
  add_token_list(
      spec, "single_word", [](const Token& token) { return token.single_word; }, keys);
  if (normalizes(spec)) {
    add_token_list(
        spec, "normalized", [](const Token& token) { return token.normalized; }, keys);
  }
  if (!is_bytes) add_space_rule(spec, keys);

  // What a reader concludes from bos, eos and the flags alone.
  const auto implied = [](bool add, const TokenizerSpec::Id& id) {
    return add && id ? std::vector<int32_t>{*id} : std::vector<int32_t>{};
  };
  const bool implies_bos =
      spec.add_bos.value_or(named ? named->add_bos : spec.kind == TokenizerKind::CharBpe);
  const bool implies_eos = spec.add_eos.value_or(spec.kind == TokenizerKind::Unigram);
  if (spec.prefix != implied(implies_bos, spec.bos)) keys.add(kOwn + "prefix", GgufValue::i32s(spec.prefix));
  if (spec.suffix != implied(implies_eos, spec.eos)) keys.add(kOwn + "suffix", GgufValue::i32s(spec.suffix));
}

}  // namespace

std::vector<std::pair<std::string, GgufValue>> gguf_keys(const TokenizerSpec& spec, size_t n_vocab) {
  if (spec.tokens.size() > n_vocab) {
    throw Error({.what = "the tokenizer has more tokens than the model has embeddings",
                 .where = spec.source,
                 .expected = "at most " + std::to_string(n_vocab),
                 .got = std::to_string(spec.tokens.size())});
  }
  const NamedPreTokenizer* named = spec.kind == TokenizerKind::ByteBpe && spec.split_rules.empty()
                                       ? match_pre_tokenizer(spec.patterns, spec.ignore_merges)
                                       : nullptr;
  KeyList keys;
  keys.add("tokenizer.ggml.model", GgufValue::string(std::string(*name_of(kTokenizerKinds, spec.kind))));
  keys.add("tokenizer.ggml.pre", GgufValue::string(named ? std::string(named->name) : "default"));
  add_tokens(spec, n_vocab, keys);
  if (spec.kind == TokenizerKind::ByteBpe || !spec.merges.empty())
    keys.add("tokenizer.ggml.merges", GgufValue::strings(spec.merges));
  add_special_ids(spec, keys);
  const std::string template_key = "tokenizer.chat_template";
  if (!spec.chat_template.empty()) keys.add(template_key, GgufValue::string(spec.chat_template));
  std::vector<std::string> names;
  for (const auto& [name, source] : spec.named_templates) {
    keys.add(fmt::format("{}.{}", template_key, name), GgufValue::string(source));
    names.push_back(name);
  }
  if (!names.empty()) keys.add("tokenizer.chat_templates", GgufValue::strings(std::move(names)));
  add_own_keys(spec, named, keys);
  return keys.take();
}

}  // namespace sw
