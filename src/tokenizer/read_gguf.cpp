// SPDX-License-Identifier: MIT
#include <algorithm>

#include "base/error.h"
#include "tokenizer/pre_tokenizer.h"
#include "tokenizer/spec.h"

namespace sw {
namespace {

Error bad(const GgufFile& file, const std::string& key, const std::string& what, const std::string& expected,
          const std::string& got, const std::string& hint = {}) {
  return Error(
      {.what = what, .where = file.name() + ", " + key, .expected = expected, .got = got, .hint = hint});
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
  for (const int64_t id : file.get_ints(key).value_or(std::vector<int64_t>{})) {
    ids.push_back(checked_id(file, key, id, n_vocab));
  }
  return ids;
}

void read_tokens(const GgufFile& file, TokenizerSpec& spec) {
  const std::string tokens_key = "tokenizer.ggml.tokens", types_key = "tokenizer.ggml.token_type";
  const auto* texts = file.get_strings(tokens_key);
  if (!texts || texts->empty())
    throw bad(file, tokens_key, "the file has no tokens", "an array of strings", "nothing");
  if (texts->size() > INT32_MAX) {
    throw bad(file, tokens_key, "too many tokens", "less than 2^31", std::to_string(texts->size()));
  }
  const auto types = file.get_ints(types_key);
  if (types && types->size() != texts->size()) {
    throw bad(file, types_key, "there must be one type for each token", std::to_string(texts->size()),
              std::to_string(types->size()));
  }
  spec.tokens.resize(texts->size());
  for (size_t id = 0; id < texts->size(); ++id) {
    const int64_t type = types ? (*types)[id] : static_cast<int64_t>(TokenType::Normal);
    if (type < static_cast<int64_t>(TokenType::Normal) || type > static_cast<int64_t>(TokenType::Byte)) {
      throw bad(file, types_key, "unknown type of token " + std::to_string(id), "1 to 6",
                std::to_string(type));
    }
    spec.tokens[id] = {(*texts)[id], static_cast<TokenType>(type),
                       static_cast<TokenType>(type) == TokenType::Control};
  }
  for (const int32_t id : id_list(file, "tokenizer.switchyard.visible_tokens", spec.tokens.size())) {
    spec.tokens[static_cast<size_t>(id)].special = false;
  }
}

void read_special_ids(const GgufFile& file, TokenizerSpec& spec) {
  const auto read = [&](const char* name) {
    const std::string key = std::string("tokenizer.ggml.") + name + "_token_id";
    const auto id = file.get_int(key);
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
  spec.add_bos = file.get_bool("tokenizer.ggml.add_bos_token");
  spec.add_eos = file.get_bool("tokenizer.ggml.add_eos_token");
  spec.add_sep = file.get_bool("tokenizer.ggml.add_sep_token");
}

/// What the pre-tokenizer's name implies, then what our own keys say.
void read_pre_tokenizer(const GgufFile& file, TokenizerSpec& spec) {
  const std::string pre_key = "tokenizer.ggml.pre", regex_key = "tokenizer.switchyard.pre_regex";
  const std::string name = file.get_string(pre_key).value_or("default");
  const NamedPreTokenizer* named = find_pre_tokenizer(name);
  const auto* patterns = file.get_strings(regex_key);
  if (!named && !patterns) {
    throw bad(file, pre_key, "unknown pre-tokenizer", "a name that `pre_tokenizers.inc` lists",
              "'" + name + "'", "convert the model from its Hugging Face files, which name the patterns");
  }
  if (named) {
    spec.patterns.assign(named->patterns.begin(), named->patterns.end());
    spec.ignore_merges = named->ignore_merges;
    spec.nfc = named->nfc;
    if (!spec.add_bos) spec.add_bos = named->add_bos;
  }
  if (patterns) spec.patterns = *patterns;
  spec.ignore_merges = file.get_bool("tokenizer.switchyard.ignore_merges").value_or(spec.ignore_merges);

  const std::string nfc_key = "tokenizer.switchyard.normalizer";
  const std::string normalizer = file.get_string(nfc_key).value_or(spec.nfc ? "nfc" : "none");
  if (normalizer != "nfc" && normalizer != "none") {
    throw bad(file, nfc_key, "unknown normalizer", "nfc or none", "'" + normalizer + "'");
  }
  spec.nfc = normalizer == "nfc";
}

void read_affixes(const GgufFile& file, TokenizerSpec& spec) {
  if (spec.add_bos.value_or(false) && spec.bos) spec.prefix = {*spec.bos};
  if (spec.add_eos.value_or(false) && spec.eos) spec.suffix = {*spec.eos};
  const std::string prefix_key = "tokenizer.switchyard.prefix", suffix_key = "tokenizer.switchyard.suffix";
  if (file.find(prefix_key)) spec.prefix = id_list(file, prefix_key, spec.tokens.size());
  if (file.find(suffix_key)) spec.suffix = id_list(file, suffix_key, spec.tokens.size());
}

}  // namespace

TokenizerSpec read_gguf_tokenizer(const GgufFile& file) {
  const std::string model = file.require_string("tokenizer.ggml.model");
  if (model != "gpt2") {
    throw bad(file, "tokenizer.ggml.model", "this kind of tokenizer is not supported", "gpt2",
              "'" + model + "'");
  }
  TokenizerSpec spec;
  spec.source = file.name();
  read_tokens(file, spec);
  if (const auto* merges = file.get_strings("tokenizer.ggml.merges")) spec.merges = *merges;
  read_special_ids(file, spec);
  read_pre_tokenizer(file, spec);
  read_affixes(file, spec);
  spec.chat_template = file.get_string("tokenizer.chat_template").value_or("");
  return spec;
}

}  // namespace sw
