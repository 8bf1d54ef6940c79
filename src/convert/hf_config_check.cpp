// SPDX-License-Identifier: MIT
#include <algorithm>
#include <cmath>
#include <fmt/format.h>

#include "base/error.h"
#include "convert/hf_config.h"
#include "convert/idle_keys.h"

/// What a config may not say.
namespace sw {

using nlohmann::json;

/// Whether an architecture reads a key, or a member of it, or takes a value of it for granted.
bool HfConfig::reads(const ArchSpec& arch, std::string_view key) {
  const auto names = [&](std::string_view hf) {
    return std::ranges::any_of(alternatives(hf), [&](std::string_view name) {
      return name == key || (name.starts_with(key) && name.substr(key.size()).starts_with('.'));
    });
  };
  return std::ranges::any_of(arch.keys, names, &Key::hf) ||
         std::ranges::any_of(arch.lists, names, &ListKey::hf) ||
         std::ranges::any_of(arch.granted, names, &Granted::hf);
}

/// A config may list each layer's kind of attention.
void HfConfig::check_windows(const ArchSpec& arch, const HParams& h) const {
  constexpr const char* kKey = "layer_types";
  const json* kinds = value(kKey);
  if (!kinds || std::ranges::find(arch.lists, kKey, &ListKey::hf) != arch.lists.end()) return;
  for (int l = 0; l < h.n_layer; ++l) {
    const char* expected =
        layer_kind(arch, h, l).cache == CacheKind::Window ? "sliding_attention" : "full_attention";
    const auto i = static_cast<size_t>(l);
    const json* got = kinds->is_array() && i < kinds->size() ? &(*kinds)[i] : nullptr;
    if (got && *got == expected) continue;
    throw Error({.what = "a layer's kind of attention is not the architecture's",
                 .where = where(kKey) + ", layer " + std::to_string(l),
                 .expected = expected,
                 .got = got ? shown(*got) : "nothing"});
  }
}

/// What nobody reads may still be what the model needs.
void HfConfig::refuse_unknown_keys(const ArchSpec& arch) const {
  const auto refuse = [&](const std::string& key, const json& got) {
    throw Error({.what = "a key of the configuration is not known",
                 .where = where(key),
                 .expected = "keys that " + std::string(arch.name) + " has, or that change no result",
                 .got = shown(got),
                 .hint = "take it out if the model computes the same without it"});
  };
  for (const auto& [key, got] : object_.items()) {
    if (!got.is_null() && !reads(arch, key) && why_idle(key).empty()) refuse(printable(key), got);
  }
  const json* scaling = value("rope_scaling");
  if (!scaling || !scaling->is_object()) return;
  for (const auto& [key, got] : scaling->items()) {
    const std::string name = "rope_scaling." + key;
    if (!got.is_null() && !reads(arch, name) && why_idle_in_rope_scaling(key).empty())
      refuse(printable(name), got);
  }
}

/// Every type needs its numbers: there is no sensible value to take in their place.
void HfConfig::check_rope_scaling() const {
  constexpr const char* kScaling = "rope_scaling";
  constexpr std::pair<std::string_view, std::string_view> kNeeded[] = {
      {"linear", "factor"},
      {"yarn", "factor"},
      {"dynamic", "factor"},
      {"longrope", "long_factor"},
      {"longrope", "short_factor"},
      {"llama3", "factor"},
      {"llama3", "low_freq_factor"},
      {"llama3", "high_freq_factor"},
      {"llama3", "original_max_position_embeddings"}};
  const json* scaling = value(kScaling);
  if (!scaling || !scaling->is_object() || scaling->empty()) return;
  const auto type = string(kRopeType);
  const auto require = [&](const std::string& key) {
    if (has(key)) return;
    throw Error(
        {.what = "the model's rope scaling lacks a key", .where = where(key), .got = shown(*scaling)});
  };
  if (!type) require("rope_scaling.rope_type");
  for (const auto& [of, key] : kNeeded) {
    if (type == of) require("rope_scaling." + std::string(key));
  }
  // DeepSeek's own Python and transformers differ about one multiplier without the other.
  if (number("rope_scaling.mscale_all_dim").value_or(0) != 0) require("rope_scaling.mscale");
}

void HfConfig::check_router(const ArchSpec& arch, const RouterSpec& router) const {
  const auto name = [&](std::string_view key) { return name_of(arch, key); };
  validate(router, file_, name);
  // The classes add up the scores of a group's two best experts, and fail where it has one.
  if (!router.has_groups() || router.group_score != GroupScore::Top2Sum || router.group_size() > 1) return;
  throw Error({.what = "the groups have one expert each, and the model's class needs two",
               .where = where(name("expert_group_count")),
               .expected = "at most " + std::to_string(router.n_expert / 2),
               .got = std::to_string(router.n_group)});
}

/// As the config calls it.
std::string HfConfig::name_of(const ArchSpec& arch, std::string_view gguf_key) const {
  const auto key = std::ranges::find(arch.keys, gguf_key, &Key::gguf);
  if (key == arch.keys.end() || key->hf.empty()) return std::string(gguf_key);
  const std::vector<std::string_view> names = alternatives(key->hf);
  const auto said = std::ranges::find_if(names, [this](std::string_view name) { return has(name); });
  return std::string(said == names.end() ? names.front() : *said);
}

/// Two keys may say how much of the head rotates.
void HfConfig::check_rotated(const HParams& h) const {
  const auto factor = number("partial_rotary_factor"), n_dim = number("rotary_dim");
  if (!n_dim) return;
  const double n_rot = factor ? std::trunc(*factor * h.attention.head_dim) : h.rope.n_rot;
  if (*n_dim == n_rot) return;
  throw Error({.what = "the config contradicts itself or its class about the dimensions that rotate",
               .where = where("rotary_dim"),
               .expected = fmt::format("{}", n_rot),
               .got = fmt::format("{}", *n_dim)});
}

void HfConfig::check_granted(std::span<const Granted> all) const {
  for (const Granted& granted : all) {
    const json* v = value(granted.hf);
    if (!v || *v == json::parse(granted.only)) continue;
    throw Error({.what = "a setting of the model is not supported",
                 .where = where(granted.hf),
                 .expected = std::string(granted.only),
                 .got = shown(*v)});
  }
}

void HfConfig::check(const ArchSpec& arch, const HParams& h) const {
  check_windows(arch, h);
  check_granted(arch.granted);
  const json* classes = value("architectures");
  for (const HfClass& c : arch.hf_classes) {
    if (classes && classes->is_array() && !classes->empty() && classes->front() == c.name)
      check_granted(c.granted);
  }
  check_rope_scaling();
  check_rotated(h);
  if (h.moe.n_expert > 0) check_router(arch, make_router_spec(arch, h));
  refuse_unknown_keys(arch);
}

}  // namespace sw
