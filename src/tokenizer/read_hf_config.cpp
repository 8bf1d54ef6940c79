// SPDX-License-Identifier: MIT
#include <algorithm>
#include <string_view>
#include <unordered_set>

#include "base/file.h"
#include "base/log.h"
#include "tokenizer/config_keys.h"
#include "tokenizer/read_hf.h"
#include "tokenizer/read_tiktoken.h"

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

/// What a special token's member says of it: "<s>" or {"content": "<s>", ...}. Empty objects and others say
/// nothing.
std::string token_text(const Json& value) {
  if (value.is_string()) return value.get<std::string>();
  const bool has_text = value.is_object() && value.contains("content") && value["content"].is_string();
  return has_text ? value["content"].get<std::string>() : std::string();
}

/// Adds the special tokens that tokenizer_config.json names, as transformers does: a plain token of the
/// vocabulary is found in text from now on, and one that is no token yet gets the next id.
class SpecialTokens {
 public:
  SpecialTokens(const JsonObject& config, TokenizerSpec& spec) : config_(config), spec_(spec) {}

  void read() {
    for (const char* role : {"bos", "eos", "unk", "sep", "pad", "cls", "mask"}) read_role(role);
    for (const Role& role : kRoles) {
      const Json* value = config_.find((std::string(role.name) + "_token").c_str());
      if (const auto id = value ? find_token(spec_, token_text(*value)) : std::nullopt) spec_.*role.id = id;
    }
    read_further();
    for (const char* name : {"additional_special_tokens", "extra_special_tokens"}) {
      const Json* list = config_.find(name);
      if (!list || !list->is_array()) continue;
      for (const Json& value : *list) add(value, name);
    }
  }

 private:
  void read_role(const std::string& role) {
    const std::string name = role + "_token";
    if (const Json* value = config_.find(name.c_str())) add(*value, name);
  }

  /// Tokens under names of the model's own: members that end in "_token", and the objects
  /// "extra_special_tokens" and "model_specific_special_tokens". New ones get their ids in the order of the
  /// file, which a JSON object here has lost.
  void read_further() {
    size_t n_new = 0;
    const auto take = [&](const std::string& name, const Json& value) {
      const std::string text = token_text(value);
      if (!text.empty() && !find_token(spec_, text) && ++n_new > 1)
        config_.fail(name.c_str(),
                     "which ids new tokens get depends on their order; name them in "
                     "added_tokens_decoder");
      add(value, name);
    };
    for (const auto& [name, value] : config_.members()) {
      if (name.ends_with("_token") && !is_role(name)) take(name, value);
    }
    for (const char* key : {"extra_special_tokens", "model_specific_special_tokens"}) {
      const Json* others = config_.find(key);
      if (!others || !others->is_object()) continue;
      for (const auto& [name, value] : others->get_ref<const Json::object_t&>()) take(name, value);
    }
  }

  static bool is_role(const std::string& name) {
    return name == "cls_token" || std::ranges::any_of(kRoles, [&](const Role& role) {
             return name == std::string(role.name) + "_token";
           });
  }

  void add(const Json& value, const std::string& name) {
    const std::string text = token_text(value);
    if (text.empty()) return;
    if (const TokenizerSpec::Id id = find_token(spec_, text)) {
      TokenizerSpec::Token& token = spec_.tokens[static_cast<size_t>(*id)];
      if (token.type == TokenType::Normal)
        token = {.text = text, .type = TokenType::Control, .special = true};
      return;
    }
    Json described = value.is_object() ? value : Json{{"content", text}};
    described["special"] = true;
    const auto id = static_cast<int32_t>(spec_.tokens.size());
    add_token(JsonObject(described, config_.where() + "." + name), id, spec_);
  }

  const JsonObject& config_;
  TokenizerSpec& spec_;
};

void read_tokenizer_config(const JsonObject& config, TokenizerSpec& spec) {
  check_config_keys(config, spec);
  if (config.flag("split_special_tokens", false))
    config.fail("split_special_tokens", "this is not supported", "false");
  read_added_tokens_decoder(config, spec);
  SpecialTokens(config, spec).read();
  if (!spec.scores.empty()) spec.scores.resize(spec.tokens.size());
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

[[noreturn]] void refuse_without_file(const fs::path& folder) {
  std::string found;
  std::error_code none;  // there may be no such folder
  for (const auto& file : fs::directory_iterator(folder, none)) {
    const std::string name = file.path().filename().string();
    const bool is_vocabulary =
        name.ends_with(".tiktoken") || name == "tokenizer.model" || name == "vocab.json";
    if (is_vocabulary && (found.empty() || name < found)) found = name;
  }
  throw Error(
      {.what = "the folder has no tokenizer.json",
       .where = folder.string(),
       .expected = "tokenizer.json, or the tiktoken.model of Kimi-K2 or Moonlight",
       .got = found,
       .hint = "save one with transformers: AutoTokenizer.from_pretrained(FOLDER).save_pretrained(FOLDER)"});
}

/// tokenizer_config.json, with what older folders have beside it in special_tokens_map.json and
/// added_tokens.json; transformers reads those where the first has no "added_tokens_decoder".
Json tokenizer_config_of(const fs::path& folder, const TokenizerSpec& spec) {
  const auto read = [&](const char* name) {
    const fs::path path = folder / name;
    return fs::exists(path) ? read_json(path) : Json::object();
  };
  Json config = read("tokenizer_config.json");
  if (!config.is_object() || config.contains("added_tokens_decoder")) return config;
  const Json special = read("special_tokens_map.json"), added = read("added_tokens.json");
  if (special.is_object()) config.update(special);
  if (!added.is_object()) return config;
  std::unordered_set<std::string_view> known;
  for (const TokenizerSpec::Token& token : spec.tokens) known.insert(token.text);
  for (const auto& [text, id] : added.get_ref<const Json::object_t&>()) {
    if (id.is_number_integer() && !known.contains(text))
      config["added_tokens_decoder"][id.dump()] = {{"content", text}};
  }
  return config;
}

/// Rows of the model's embedding, where config.json says them.
size_t embedding_rows(const fs::path& folder) {
  constexpr size_t kAny = INT32_MAX;
  const fs::path path = folder / "config.json";
  if (!fs::exists(path)) return kAny;
  const Json document = read_json(path);
  const JsonObject root(document, path.string());
  const Json* text = root.find("text_config");
  const Json* rows = root.find("vocab_size");
  if (!rows && text && text->is_object() && text->contains("vocab_size")) rows = &(*text)["vocab_size"];
  return rows && rows->is_number_unsigned() ? std::min(kAny, rows->get<size_t>()) : kAny;
}

/// Leaves out added tokens at the end that have no row in the embedding: a "<pad>" that was added for
/// training and never used.
void leave_out_unembedded(size_t n_rows, TokenizerSpec& spec) {
  const auto is_idle = [&](const TokenizerSpec::Token& token) {
    const auto id = static_cast<int32_t>(spec.tokens.size() - 1);
    const auto is_around = [&](const std::vector<int32_t>& ids) {
      return std::ranges::find(ids, id) != ids.end();
    };
    const bool is_added = token.type == TokenType::Control || token.type == TokenType::UserDefined;
    return (is_added || token.type == TokenType::Unused) && !is_around(spec.prefix) &&
           !is_around(spec.suffix);
  };
  const size_t n_before = spec.tokens.size();
  while (spec.tokens.size() > n_rows && is_idle(spec.tokens.back())) spec.tokens.pop_back();
  if (const size_t n_idle = n_before - spec.tokens.size(); n_idle > 0)
    log::warn("{}: {} token(s) behind the {} rows of the embedding are left out", spec.source, n_idle,
              n_rows);
  for (const Role& role : kRoles) {
    TokenizerSpec::Id& id = spec.*role.id;
    if (id && static_cast<size_t>(*id) >= spec.tokens.size()) id.reset();
  }
  if (!spec.scores.empty()) spec.scores.resize(spec.tokens.size());
}

}  // namespace

TokenizerSpec read_hf_tokenizer(const fs::path& folder) {
  const fs::path json = folder / "tokenizer.json", tiktoken = folder / "tiktoken.model";
  const bool is_tiktoken = !fs::exists(json) && fs::exists(tiktoken);
  if (!is_tiktoken && !fs::exists(json)) refuse_without_file(folder);
  TokenizerSpec spec;
  if (!is_tiktoken) spec = read_tokenizer_json(json);
  const Json document = tokenizer_config_of(folder, spec);
  const JsonObject config(document, (folder / "tokenizer_config.json").string());
  if (is_tiktoken) spec = read_tiktoken(tiktoken, config);
  read_tokenizer_config(config, spec);
  // Kimi's class puts nothing around a text, whatever its configuration says.
  if (is_tiktoken) spec.add_bos = spec.add_eos = false;
  leave_out_unembedded(embedding_rows(folder), spec);
  const auto with = [&](const char* name, auto&& read) {
    const fs::path path = folder / name;
    if (!fs::exists(path)) return;
    const Json document = read_json(path);
    read(JsonObject(document, path.string()), spec);
  };
  with("config.json", read_model_config);
  with("generation_config.json", read_ends);
  with("config.json", read_ends);
  read_template_files(folder, spec);
  settle_affixes(spec);
  return spec;
}

}  // namespace sw
