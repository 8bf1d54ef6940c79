// SPDX-License-Identifier: MIT
#include "base/error.h"
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

void add_tokens(const TokenizerSpec& spec, size_t n_vocab, KeyList& keys) {
  std::vector<std::string> texts;
  std::vector<int32_t> types;
  for (size_t id = 0; id < n_vocab; ++id) {
    const bool used = id < spec.tokens.size() && spec.tokens[id].type != TokenType::Unused;
    texts.push_back(used ? spec.tokens[id].text : "[PAD" + std::to_string(id) + "]");
    types.push_back(static_cast<int32_t>(used ? spec.tokens[id].type : TokenType::Unused));
  }
  keys.add("tokenizer.ggml.tokens", GgufValue::strings(std::move(texts)));
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

void add_own_keys(const TokenizerSpec& spec, const NamedPreTokenizer* named, KeyList& keys) {
  const std::string own = "tokenizer.switchyard.";
  if (spec.nfc || (named && named->nfc))
    keys.add(own + "normalizer", GgufValue::string(spec.nfc ? "nfc" : "none"));
  if (!named) {
    keys.add(own + "pre_regex", GgufValue::strings(spec.patterns));
    keys.add(own + "ignore_merges", GgufValue::boolean(spec.ignore_merges));
  }
  std::vector<int32_t> visible;
  for (size_t id = 0; id < spec.tokens.size(); ++id) {
    const TokenizerSpec::Token& token = spec.tokens[id];
    if (token.type == TokenType::Control && !token.special) visible.push_back(static_cast<int32_t>(id));
  }
  if (!visible.empty()) keys.add(own + "visible_tokens", GgufValue::i32s(visible));

  // What a reader concludes from bos, eos and the flags alone.
  const auto implied = [](const std::optional<bool>& add, const TokenizerSpec::Id& id) {
    return add.value_or(false) && id ? std::vector<int32_t>{*id} : std::vector<int32_t>{};
  };
  const bool implies_bos = spec.add_bos.value_or(named && named->add_bos);
  if (spec.prefix != implied(implies_bos, spec.bos)) keys.add(own + "prefix", GgufValue::i32s(spec.prefix));
  if (spec.suffix != implied(spec.add_eos, spec.eos)) keys.add(own + "suffix", GgufValue::i32s(spec.suffix));
}

}  // namespace

std::vector<std::pair<std::string, GgufValue>> gguf_keys(const TokenizerSpec& spec, size_t n_vocab) {
  if (spec.tokens.size() > n_vocab) {
    throw Error({.what = "the tokenizer has more tokens than the model has embeddings",
                 .where = spec.source,
                 .expected = "at most " + std::to_string(n_vocab),
                 .got = std::to_string(spec.tokens.size())});
  }
  const NamedPreTokenizer* named = match_pre_tokenizer(spec.patterns, spec.ignore_merges);
  KeyList keys;
  keys.add("tokenizer.ggml.model", GgufValue::string("gpt2"));
  keys.add("tokenizer.ggml.pre", GgufValue::string(named ? std::string(named->name) : "default"));
  add_tokens(spec, n_vocab, keys);
  keys.add("tokenizer.ggml.merges", GgufValue::strings(spec.merges));
  add_special_ids(spec, keys);
  if (!spec.chat_template.empty()) keys.add("tokenizer.chat_template", GgufValue::string(spec.chat_template));
  add_own_keys(spec, named, keys);
  return keys.take();
}

}  // namespace sw
