// SPDX-License-Identifier: MIT
#include <algorithm>

#include "base/file.h"
#include "tokenizer/read_hf.h"

namespace sw {
namespace {

using Json = nlohmann::json;
namespace fs = std::filesystem;

struct Role {
  const char* name;
  TokenizerSpec::Id TokenizerSpec::*id;
};
constexpr Role kRoles[] = {
    {"bos", &TokenizerSpec::bos}, {"eos", &TokenizerSpec::eos}, {"unk", &TokenizerSpec::unk},
    {"sep", &TokenizerSpec::sep}, {"pad", &TokenizerSpec::pad}, {"mask", &TokenizerSpec::mask},
};

/// "<s>" or {"content": "<s>", ...}; empty where there is none.
std::string token_text(const JsonObject& config, const std::string& name) {
  const Json* value = config.find(name.c_str());
  return value && value->is_object() ? config.object(name.c_str()).text("content")
                                     : config.text(name.c_str());
}

void add_template(const std::string& name, std::string source, TokenizerSpec& spec) {
  (name == "default" ? spec.chat_template : spec.named_templates[name]) = std::move(source);
}

/// One template, or a list of named ones.
void read_chat_template(const JsonObject& config, TokenizerSpec& spec) {
  const Json* value = config.find("chat_template");
  if (!value || !value->is_array()) return add_template("default", config.text("chat_template"), spec);
  for (const Json& entry : *value) {
    const JsonObject named(entry, config.where() + ".chat_template");
    add_template(named.text("name"), named.text("template"), spec);
  }
}

/// Templates in files of their own, which overrule those of tokenizer_config.json.
void read_template_files(const fs::path& folder, TokenizerSpec& spec) {
  constexpr uint64_t kMaxTemplateBytes = 8 << 20;
  const fs::path one = folder / "chat_template.jinja", more = folder / "additional_chat_templates";
  if (fs::exists(one)) add_template("default", read_file(one, kMaxTemplateBytes), spec);
  if (!fs::is_directory(more)) return;
  for (const auto& file : fs::directory_iterator(more)) {
    if (file.path().extension() == ".jinja")
      add_template(file.path().stem().string(), read_file(file.path(), kMaxTemplateBytes), spec);
  }
}

TokenizerSpec::Id find_token(const TokenizerSpec& spec, const std::string& text) {
  const auto found = std::ranges::find(spec.tokens, text, &TokenizerSpec::Token::text);
  if (text.empty() || found == spec.tokens.end()) return {};
  return static_cast<int32_t>(found - spec.tokens.begin());
}

/// The id that a member of "added_tokens_decoder" names.
int32_t id_of_member(const JsonObject& list, const std::string& name, size_t n_tokens) {
  const bool is_number = !name.empty() && name.size() <= 9 &&
                         std::ranges::all_of(name, [](char c) { return c >= '0' && c <= '9'; });
  const int64_t id = is_number ? std::stol(name) : -1;
  if (id < 0 || id >= id_limit(n_tokens)) list.fail(name.c_str(), "this is no token's id");
  return static_cast<int32_t>(id);
}

/// "added_tokens_decoder": what it says of a token overrules tokenizer.json, and what that lacks is added.
void read_added_tokens_decoder(const JsonObject& config, TokenizerSpec& spec) {
  if (!config.find("added_tokens_decoder")) return;
  const JsonObject list = config.object("added_tokens_decoder");
  const Json& members = config.require("added_tokens_decoder");
  const size_t n_tokens = spec.tokens.size() + members.size();
  for (const auto& [name, member] : members.get_ref<const Json::object_t&>()) {
    const JsonObject token(member, list.where() + "." + name);
    const int32_t id = id_of_member(list, name, n_tokens);
    const std::string text = token.text("content");
    const auto i = static_cast<size_t>(id);
    const bool there = i < spec.tokens.size() && spec.tokens[i].text == text;
    add_token(token, there ? id : find_token(spec, text).value_or(id), spec);
  }
  if (!spec.scores.empty()) spec.scores.resize(spec.tokens.size());
}

/// The special tokens by name. One that was a plain token of the vocabulary is found in text from now on.
TokenizerSpec::Id read_special_token(const std::string& text, TokenizerSpec& spec) {
  const TokenizerSpec::Id id = find_token(spec, text);
  if (!id) return id;
  TokenizerSpec::Token& token = spec.tokens[static_cast<size_t>(*id)];
  if (token.type == TokenType::Normal) token = {.text = text, .type = TokenType::Control, .special = true};
  return id;
}

void read_special_tokens(const JsonObject& config, TokenizerSpec& spec) {
  for (const Role& role : kRoles) {
    const auto id = read_special_token(token_text(config, std::string(role.name) + "_token"), spec);
    if (id) spec.*role.id = id;
  }
  for (const char* list : {"additional_special_tokens", "extra_special_tokens"}) {
    const Json* others = config.find(list);
    if (!others || !others->is_array()) continue;
    for (const Json& other : *others) {
      if (other.is_string()) read_special_token(other.get<std::string>(), spec);
    }
  }
}

void read_tokenizer_config(const JsonObject& config, TokenizerSpec& spec) {
  read_added_tokens_decoder(config, spec);
  read_special_tokens(config, spec);
  const auto flag = [&](const char* name, std::optional<bool>& out) {
    if (config.find(name)) out = config.flag(name, false);
  };
  flag("add_bos_token", spec.add_bos);
  flag("add_eos_token", spec.add_eos);
  flag("add_sep_token", spec.add_sep);
  read_chat_template(config, spec);
}

/// Ids that tokenizer_config.json left open.
void read_model_config(const JsonObject& root, TokenizerSpec& spec) {
  const auto read = [&](const JsonObject& config) {
    for (const Role& role : kRoles) {
      const Json* id = config.find((std::string(role.name) + "_token_id").c_str());
      const bool usable = id && id->is_number_integer() && *id >= 0 && *id < spec.tokens.size();
      if (usable && !(spec.*role.id)) spec.*role.id = id->get<int32_t>();
    }
  };
  read(root);
  if (root.find("text_config")) read(root.object("text_config"));
}

constexpr std::string_view kEndsOfMessages[] = {"<|eom_id|>", "<|observation|>", "<|call|>"};

/// An end token under the first name that it fits: eos, then those that other readers know too.
void add_end(int32_t id, TokenizerSpec& spec) {
  const auto is_known = [&](const TokenizerSpec::Id& known) { return known == id; };
  if (is_known(spec.eos) || is_known(spec.eot) || is_known(spec.eom)) return;
  if (std::ranges::find(spec.further_ends, id) != spec.further_ends.end()) return;
  const TokenizerSpec::Token& token = spec.tokens[static_cast<size_t>(id)];
  if (spec.eos && ends_by_name(token)) return;
  const bool ends_message = std::ranges::find(kEndsOfMessages, token.text) != std::end(kEndsOfMessages);
  TokenizerSpec::Id& role = !spec.eos ? spec.eos : ends_message ? spec.eom : spec.eot;
  if (!role)
    role = id;
  else
    spec.further_ends.push_back(id);
}

/// All of "eos_token_id", which may be one id or a list. Ids beyond the tokens are rows of the embedding that
/// pad it, which no answer ends with.
void read_ends(const JsonObject& root, TokenizerSpec& spec) {
  const auto read = [&](const JsonObject& config) {
    const Json* ends = config.find("eos_token_id");
    if (!ends) return;
    for (const Json& id : ends->is_array() ? *ends : Json::array({*ends})) {
      if (!id.is_number_integer()) config.fail("eos_token_id", "this must be a token id, or a list of them");
      if (id >= 0 && id < spec.tokens.size()) add_end(id.get<int32_t>(), spec);
    }
  };
  read(root);
  if (root.find("text_config")) read(root.object("text_config"));
}

/// Makes prefix and suffix agree with add_bos and add_eos, which overrule the template, and fills in the
/// flags where only the template speaks.
void settle_affixes(TokenizerSpec& spec) {
  const auto settle = [](std::optional<bool>& add, const TokenizerSpec::Id& id, std::vector<int32_t>& ids,
                         bool front) {
    if (!id) return;
    const auto there = std::ranges::find(ids, *id);
    const bool has = there != ids.end();
    if (!add && !ids.empty()) add = has;
    if (add.value_or(has) == has) return;
    if (has)
      ids.erase(there);
    else
      ids.insert(front ? ids.begin() : ids.end(), *id);
  };
  settle(spec.add_bos, spec.bos, spec.prefix, true);
  settle(spec.add_eos, spec.eos, spec.suffix, false);
}

}  // namespace

TokenizerSpec read_hf_tokenizer(const fs::path& folder) {
  TokenizerSpec spec = read_tokenizer_json(folder / "tokenizer.json");
  const auto with = [&](const char* name, auto&& read) {
    const fs::path path = folder / name;
    if (!fs::exists(path)) return;
    const Json document = read_json(path);
    read(JsonObject(document, path.string()), spec);
  };
  with("tokenizer_config.json", read_tokenizer_config);
  with("config.json", read_model_config);
  with("generation_config.json", read_ends);
  with("config.json", read_ends);
  read_template_files(folder, spec);
  settle_affixes(spec);
  return spec;
}

}  // namespace sw
