// SPDX-License-Identifier: MIT
#include "convert/hf_config.h"

#include <algorithm>

#include "base/error.h"
#include "base/file.h"
#include "formats/json.h"

namespace sw {
namespace {

using nlohmann::json;

constexpr uint64_t kMaxBytes = 16 << 20;

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
  if (scaling.empty() || scaling == json{{"rope_type", "default"}}) return;
  if (!has("rope_scaling")) object_["rope_scaling"] = std::move(scaling);
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
  const auto find = [this](const Key& key) { return lookup(key); };
  const auto find_list = [this](const ListKey& key) {
    return key.names.empty() ? integers(key.hf) : named(key);
  };
  return naming_file(file_, [&] {
    return read_hparams(arch, &Key::hf, find, read, read_lists(arch, &ListKey::hf, find_list));
  });
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

void HfConfig::check(const ArchSpec& arch, const HParams& h) const {
  check_windows(arch, h);
  if (const auto method = string("quantization_config.quant_method")) {
    throw Error({.what = "the checkpoint is quantised, and convert does not read that",
                 .where = where("quantization_config"),
                 .expected = "weights as F32, F16 or BF16",
                 .got = *method,
                 .hint = "convert the model's unquantised weights"});
  }
  for (const Granted& granted : arch.granted) {
    const json* v = value(granted.hf);
    if (!v || *v == json::parse(granted.only)) continue;
    throw Error({.what = "a setting of the model is not supported",
                 .where = where(granted.hf),
                 .expected = std::string(granted.only),
                 .got = shown(*v)});
  }
  constexpr const char* kScaling = "rope_scaling";
  const auto scales = [](const Key& key) { return key.hf.starts_with("rope_scaling."); };
  if (!has(kScaling) || std::ranges::any_of(arch.keys, scales)) return;
  throw Error({.what = "the model's rope scaling is not supported",
               .where = where(kScaling),
               .expected = "null",
               .hint = "without it the model serves its original context length"});
}

}  // namespace sw
