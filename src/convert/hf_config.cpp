// SPDX-License-Identifier: MIT
#include "convert/hf_config.h"

#include <algorithm>
#include <fmt/format.h>
#include <utility>

#include "base/error.h"
#include "base/file.h"
#include "formats/json.h"

namespace sw {
namespace {

using nlohmann::json;

constexpr uint64_t kMaxBytes = 16 << 20;
constexpr const char* kOriginalContext =
    "original_max_position_embeddings|rope_scaling.original_max_position_embeddings";

}  // namespace

std::vector<std::string_view> HfConfig::alternatives(std::string_view names) {
  std::vector<std::string_view> all;
  for (size_t begin = 0; begin <= names.size();) {
    const size_t end = std::min(names.find('|', begin), names.size());
    all.push_back(names.substr(begin, end - begin));
    begin = end + 1;
  }
  return all;
}

std::string HfConfig::shown(const json& value) {
  if (value.is_structured()) return std::string("an ") + value.type_name();
  return value.dump(-1, ' ', false, json::error_handler_t::replace).substr(0, 100);
}

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
  add_longrope_factor();
}

/// Configs of transformers 5 have all that concerns rotation in one object, "rope_parameters": brought into
/// the form before. What it says goes before a key of old beside it, as in transformers.
void HfConfig::spell_rope_as_before() {
  constexpr const char* kAll = "rope_parameters";
  const json* all = value(kAll);
  if (!all) return;
  if (const json* other = value("rope_scaling")) {
    throw Error({.what = "a configuration says its rotation twice",
                 .where = where("rope_scaling"),
                 .expected = "rope_parameters or rope_scaling, not both",
                 .got = shown(*other)});
  }
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
    if (!member->is_null()) object_[key] = *member;
    scaling.erase(member);
  }
  const bool plain = scaling.empty() || scaling == json{{"rope_type", "default"}};
  object_["rope_scaling"] = plain ? json() : std::move(scaling);
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
      const size_t dot = key.find('.');
      if (dot != std::string::npos) {  // of a member that an object, if it is there, leaves out
        const auto object = object_.find(key.substr(0, dot));
        if (object != object_.end() && object->is_object()) object->emplace(key.substr(dot + 1), preset);
      } else if (!says(*known, key)) {
        object_[key] = preset;
      }
    }
    return;
  }
}

/// Where a config leaves it out, longrope's factor is that of its two contexts.
void HfConfig::add_longrope_factor() {
  if (string(kRopeType) != "longrope" || has("rope_scaling.factor")) return;
  const auto n_ctx = number("max_position_embeddings"), original = number(kOriginalContext);
  if (n_ctx && original && *original > 0) object_["rope_scaling"]["factor"] = *n_ctx / *original;
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
  if (h.rope.kind() == RopeScaling::LongRope) {
    h.rope.long_factors = rope_factors("rope_scaling.long_factor", h);
    h.rope.short_factors = rope_factors("rope_scaling.short_factor", h);
  }
  return h;
}

std::vector<float> HfConfig::rope_factors(const char* key, const HParams& h) const {
  const json* v = value(key);
  std::vector<float> factors;
  const auto good = [](const json& item) { return item.is_number() && item.get<float>() > 0; };
  if (v && v->is_array() && std::ranges::all_of(*v, good)) factors = v->get<std::vector<float>>();
  if (std::ssize(factors) == h.rope.n_rot / 2 && !factors.empty()) return factors;
  throw Error({.what = "wrong factors in a configuration",
               .where = where(key),
               .expected = fmt::format("an array of {} numbers above 0", h.rope.n_rot / 2),
               .got = v && v->is_array() ? fmt::format("an array of {}", v->size())
                      : v                ? shown(*v)
                                         : "nothing"});
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

}  // namespace sw
