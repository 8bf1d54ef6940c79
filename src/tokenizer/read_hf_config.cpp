// SPDX-License-Identifier: MIT
#include <algorithm>

#include "base/file.h"
#include "tokenizer/json_object.h"
#include "tokenizer/spec.h"

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

/// One template, or the default one of a list of named ones.
std::string chat_template(const JsonObject& config) {
  const Json* value = config.find("chat_template");
  if (!value || !value->is_array()) return config.text("chat_template");
  for (const Json& entry : *value) {
    const JsonObject named(entry, config.where() + ".chat_template");
    if (named.text("name") == "default") return named.text("template");
  }
  return {};
}

void read_tokenizer_config(const JsonObject& config, TokenizerSpec& spec) {
  for (const Role& role : kRoles) {
    const std::string text = token_text(config, std::string(role.name) + "_token");
    if (text.empty()) continue;
    const auto is_it = [&](const TokenizerSpec::Token& token) {
      return token.type != TokenType::Normal && token.text == text;
    };
    const auto found = std::ranges::find_if(spec.tokens, is_it);
    if (found != spec.tokens.end()) spec.*role.id = static_cast<int32_t>(found - spec.tokens.begin());
  }
  const auto flag = [&](const char* name, std::optional<bool>& out) {
    if (config.find(name)) out = config.flag(name, false);
  };
  flag("add_bos_token", spec.add_bos);
  flag("add_eos_token", spec.add_eos);
  flag("add_sep_token", spec.add_sep);
  spec.chat_template = chat_template(config);
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
  const fs::path template_file = folder / "chat_template.jinja";
  constexpr uint64_t kMaxTemplateBytes = 8 << 20;
  if (spec.chat_template.empty() && fs::exists(template_file))
    spec.chat_template = read_file(template_file, kMaxTemplateBytes);
  settle_affixes(spec);
  return spec;
}

}  // namespace sw
