// SPDX-License-Identifier: MIT
#include "convert/hf_config.h"

#include <algorithm>
#include <cmath>
#include <fmt/format.h>
#include <utility>

#include "base/error.h"
#include "base/file.h"
#include "convert/idle_keys.h"
#include "formats/json.h"

namespace sw {
namespace {

using nlohmann::json;

constexpr uint64_t kMaxBytes = 16 << 20;

/// The names of "a|b.c|d".
std::vector<std::string_view> alternatives(std::string_view names) {
  std::vector<std::string_view> all;
  for (size_t begin = 0; begin <= names.size();) {
    const size_t end = std::min(names.find('|', begin), names.size());
    all.push_back(names.substr(begin, end - begin));
    begin = end + 1;
  }
  return all;
}

/// Whether an architecture reads a key, or a member of it, or takes a value of it for granted.
bool reads(const ArchSpec& arch, std::string_view key) {
  const auto names = [&](std::string_view hf) {
    return std::ranges::any_of(alternatives(hf), [&](std::string_view name) {
      return name == key || (name.starts_with(key) && name.substr(key.size()).starts_with('.'));
    });
  };
  return std::ranges::any_of(arch.keys, names, &Key::hf) ||
         std::ranges::any_of(arch.lists, names, &ListKey::hf) ||
         std::ranges::any_of(arch.granted, names, &Granted::hf);
}

/// A value as a message shows it: short, and never a whole array.
std::string shown(const json& value) {
  if (value.is_structured()) return std::string("an ") + value.type_name();
  return value.dump(-1, ' ', false, json::error_handler_t::replace).substr(0, 100);
}

}  // namespace

HfConfig::HfConfig(const std::filesystem::path& file) : file_(file.string()) {
  object_ = parse_json(read_file(file, kMaxBytes), file_);
  if (!object_.is_object()) {
    throw Error(
        {.what = "not a configuration", .where = file_, .expected = "a JSON object", .got = shown(object_)});
  }
  // A model of text and images has the text model's hyperparameters in an object of their own.
  const auto text = object_.find("text_config");
  if (text != object_.end() && text->is_object()) {
    const json hparams = *text;
    object_.insert(hparams.begin(), hparams.end());  // what stands there already stays
  }
  spell_rope_as_before();
  add_class_defaults();
}

/// Configs of transformers 5 have all that concerns rotation in one object, "rope_parameters": brought into
/// the form before. What stands there already stays.
void HfConfig::spell_rope_as_before() {
  constexpr const char* kAll = "rope_parameters";
  const json* all = value(kAll);
  if (!all) return;
  if (!all->is_object() || std::ranges::any_of(*all, [](const json& v) { return v.is_object(); })) {
    throw Error({.what = "the model's rotation is not supported",
                 .where = where(kAll),
                 .expected = "one set of numbers for all layers",
                 .got = shown(*all)});
  }
  json scaling = *all;
  for (const char* key : {"rope_theta", "partial_rotary_factor"}) {
    const auto member = scaling.find(key);
    if (member == scaling.end()) continue;
    if (!has(key)) object_[key] = *member;
    scaling.erase(member);
  }
  const bool plain = scaling.empty() || scaling == json{{"rope_type", "default"}};
  if (!has("rope_scaling")) object_["rope_scaling"] = plain ? json() : std::move(scaling);
}

/// The class of a config that names a known one decides what the config leaves out. null is not left out.
void HfConfig::add_class_defaults() {
  const json* classes = value("architectures");
  if (!classes || !classes->is_array() || classes->empty() || !classes->front().is_string()) return;
  const auto& name = classes->front().get_ref<const std::string&>();
  for (const ArchSpec* known : all_archs()) {
    if (std::ranges::find(known->hf_classes, name, &HfClass::name) == known->hf_classes.end()) continue;
    const json defaults = json::parse(hf_class_of(*known, name).defaults);
    for (const auto& [key, preset] : defaults.items()) {
      if (!says(*known, key)) object_[key] = preset;
    }
    return;
  }
}

/// By any of its names.
bool HfConfig::says(const ArchSpec& arch, std::string_view key) const {
  if (object_.contains(key)) return true;
  for (const Key& k : arch.keys) {
    const std::vector<std::string_view> names = alternatives(k.hf);
    if (std::ranges::find(names, key) == names.end()) continue;
    if (std::ranges::any_of(names, [&](std::string_view other) { return object_.contains(other); }))
      return true;
  }
  return false;
}

HfConfig HfConfig::optional_file(const std::filesystem::path& file) {
  return std::filesystem::exists(file) ? HfConfig(file) : HfConfig();
}

std::string HfConfig::where(std::string_view key) const { return file_ + ", key " + std::string(key); }

const json* HfConfig::value(std::string_view key) const {
  const size_t bar = key.find('|');
  if (bar != std::string_view::npos) {
    const json* first = value(key.substr(0, bar));
    return first ? first : value(key.substr(bar + 1));
  }
  const json* at = &object_;
  for (size_t begin = 0; begin <= key.size();) {
    const size_t end = std::min(key.find('.', begin), key.size());
    const auto member = at->find(key.substr(begin, end - begin));
    if (member == at->end() || member->is_null()) return nullptr;
    at = &*member;
    begin = end + 1;
  }
  return at;
}

std::optional<double> HfConfig::number(std::string_view key) const {
  const json* v = value(key);
  if (!v) return std::nullopt;
  if (v->is_boolean()) return v->get<bool>() ? 1.0 : 0.0;
  if (v->is_number()) return v->get<double>();
  throw Error({.what = "wrong type in a configuration",
               .where = where(key),
               .expected = "a number or a boolean",
               .got = shown(*v)});
}

std::optional<std::string> HfConfig::string(std::string_view key) const {
  const json* v = value(key);
  if (!v) return std::nullopt;
  if (v->is_string()) return v->get<std::string>();
  throw Error(
      {.what = "wrong type in a configuration", .where = where(key), .expected = "a text", .got = shown(*v)});
}

std::optional<std::vector<int64_t>> HfConfig::integers(std::string_view key) const {
  const json* v = value(key);
  if (!v) return std::nullopt;
  const auto is_integer = [](const json& item) { return item.is_number_integer(); };
  if (v->is_array() && std::ranges::all_of(*v, is_integer)) return v->get<std::vector<int64_t>>();
  throw Error({.what = "wrong type in a configuration",
               .where = where(key),
               .expected = "an array of whole numbers",
               .got = shown(*v)});
}

std::optional<std::vector<int64_t>> HfConfig::named(const ListKey& key) const {
  const json* v = value(key.hf);
  if (!v) return std::nullopt;
  if (!v->is_array() || !std::ranges::all_of(*v, [](const json& item) { return item.is_string(); })) {
    throw Error({.what = "wrong type in a configuration",
                 .where = where(key.hf),
                 .expected = "an array of texts",
                 .got = shown(*v)});
  }
  std::vector<int64_t> items;
  for (const json& item : *v)
    items.push_back(value_of_name(key.names, item.get_ref<const std::string&>(), where(key.hf)));
  return items;
}

std::optional<double> HfConfig::lookup(const Key& key) const {
  if (key.hf_counts) {
    const json* v = value(key.hf);
    return v && v->is_array() ? std::optional(static_cast<double>(v->size())) : std::nullopt;
  }
  if (key.names.empty()) return number(key.hf);
  const std::optional<std::string> text = string(key.hf);
  if (!text) return std::nullopt;
  return value_of_name(key.names, *text, where(key.hf));
}

const ArchSpec& HfConfig::arch() const {
  constexpr const char* kKey = "architectures";
  const json* classes = value(kKey);
  if (!classes || !classes->is_array() || classes->empty() || !classes->front().is_string()) {
    throw Error({.what = "a configuration does not name its model class",
                 .where = where(kKey),
                 .expected = "an array with the class's name",
                 .got = classes ? shown(*classes) : "nothing",
                 .hint = "is this the config.json of a language model?"});
  }
  const auto& name = classes->front().get_ref<const std::string&>();
  return *naming_file(file_, [&] { return &arch_by_hf_class(name); });
}

HParams HfConfig::hparams(const ArchSpec& arch, std::vector<ReadKey>* read) const {
  // A file may count its blocks instead; a config has to say its layers.
  for (const Key& key : arch.keys) {
    if (key.field.get != at<&HParams::n_layer>.get || value(key.hf)) continue;
    throw Error({.what = "a key that the architecture needs is missing", .where = where(key.hf)});
  }
  const auto find = [this](const Key& key) { return lookup(key); };
  const auto find_list = [this](const ListKey& key) {
    if (key.hf.empty()) return std::optional<std::vector<int64_t>>();
    return key.names.empty() ? integers(key.hf) : named(key);
  };
  HParams h = naming_file(file_, [&] {
    return read_hparams(arch, &Key::hf, find, read, read_lists(arch, &ListKey::hf, find_list));
  });
  settle_windows(h);
  return h;
}

/// A file says by a size and, where a rule does not say the same, by a list which layers have a window.
void HfConfig::settle_windows(HParams& h) const {
  Attention& a = h.attention;
  if (!a.uses_window) a.window = 0;
  if (a.window == 0 && std::ranges::find(a.windowed, 1) != a.windowed.end()) {
    const json* size = value("sliding_window");
    throw Error({.what = "layer_types names layers with a window, and there is none",
                 .where = where("sliding_window"),
                 .expected = "a size (and use_sliding_window, where the class has it)",
                 .got = size ? shown(*size) : "nothing"});
  }
  std::vector<int> windowed = std::exchange(a.windowed, {}), by_rule;
  for (int l = 0; l < h.n_layer; ++l) {
    by_rule.push_back(a.has_window(l));
    if (std::ssize(windowed) == l) windowed.push_back(by_rule.back() && l >= a.n_full_lead);
  }
  if (std::ranges::find(windowed, 1) == windowed.end()) a.window = 0;
  if (a.window > 0 && windowed != by_rule) a.windowed = std::move(windowed);
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
void HfConfig::check_rope_scaling(const ArchSpec& arch) const {
  constexpr const char* kScaling = "rope_scaling";
  constexpr std::pair<std::string_view, std::string_view> kNeeded[] = {
      {"linear", "factor"},           {"yarn", "factor"},
      {"llama3", "factor"},           {"llama3", "low_freq_factor"},
      {"llama3", "high_freq_factor"}, {"llama3", "original_max_position_embeddings"}};
  const json* scaling = value(kScaling);
  if (!scaling) return;
  const auto scales = [](const Key& key) { return key.hf.starts_with("rope_scaling."); };
  if (std::ranges::none_of(arch.keys, scales)) {
    throw Error({.what = "the model's rope scaling is not supported",
                 .where = where(kScaling),
                 .expected = "null",
                 .hint = "without it the model serves its original context length"});
  }
  if (!scaling->is_object() || scaling->empty()) return;
  const auto type = string("rope_scaling.rope_type|rope_scaling.type");
  const auto require = [&](const std::string& key) {
    if (has(key)) return;
    throw Error(
        {.what = "the model's rope scaling lacks a key", .where = where(key), .got = shown(*scaling)});
  };
  if (!type) require("rope_scaling.rope_type");
  for (const auto& [of, key] : kNeeded) {
    if (type == of) require("rope_scaling." + std::string(key));
  }
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
  if (has("quantization_config")) {
    throw Error({.what = "the checkpoint is quantised, and convert does not read that",
                 .where = where("quantization_config"),
                 .expected = "weights as F32, F16 or BF16",
                 .got = string("quantization_config.quant_method").value_or("a method without a name"),
                 .hint = "convert the model's unquantised weights"});
  }
  check_granted(arch.granted);
  const json* classes = value("architectures");
  for (const HfClass& c : arch.hf_classes) {
    if (classes && classes->is_array() && !classes->empty() && classes->front() == c.name)
      check_granted(c.granted);
  }
  check_rope_scaling(arch);
  check_rotated(h);
  refuse_unknown_keys(arch);
}

}  // namespace sw
