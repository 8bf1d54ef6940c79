// SPDX-License-Identifier: MIT
#include <fmt/format.h>
#include <limits>

#include "base/error.h"
#include "formats/foreign_types.h"
#include "formats/gguf.h"
#include "quant/type.h"

namespace sw {
namespace {

std::string describe(const GgufValue& value) {
  if (value.type != GgufType::Array) return gguf_type_name(value.type);
  return std::string("array of ") + gguf_type_name(std::get<GgufArray>(value.data).element);
}

template <class T, class Source>
GgufValue array_of(GgufType element, const Source& source) {
  return {.type = GgufType::Array, .data = GgufArray{element, std::vector<T>(source.begin(), source.end())}};
}

/// The items of an array of vector type V, or null for any other value.
template <class V>
const V* items(const GgufValue& value) {
  const auto* array = std::get_if<GgufArray>(&value.data);
  return array ? std::get_if<V>(&array->items) : nullptr;
}

constexpr uint64_t kMaxInt = std::numeric_limits<int64_t>::max();
constexpr const char* kIntRange = "an integer below 2^63";

}  // namespace

const char* gguf_type_name(GgufType type) {
  static constexpr const char* kNames[kGgufTypeCount] = {
      "u8", "i8", "u16", "i16", "u32", "i32", "f32", "bool", "string", "array", "u64", "i64", "f64"};
  const auto i = static_cast<uint32_t>(type);
  SW_ASSERT(i < kGgufTypeCount);
  return kNames[i];
}

size_t GgufArray::size() const {
  return std::visit([](const auto& vector) { return vector.size(); }, items);
}

GgufValue GgufValue::u16(uint16_t v) { return {.type = GgufType::U16, .data = uint64_t{v}}; }
GgufValue GgufValue::u32(uint32_t v) { return {.type = GgufType::U32, .data = uint64_t{v}}; }
GgufValue GgufValue::i32(int32_t v) { return {.type = GgufType::I32, .data = int64_t{v}}; }
GgufValue GgufValue::u64(uint64_t v) { return {.type = GgufType::U64, .data = v}; }
GgufValue GgufValue::f32(float v) { return {.type = GgufType::F32, .data = double{v}}; }
GgufValue GgufValue::boolean(bool v) { return {.type = GgufType::Bool, .data = v}; }
GgufValue GgufValue::string(std::string v) { return {.type = GgufType::String, .data = std::move(v)}; }
GgufValue GgufValue::strings(std::vector<std::string> v) {
  return {.type = GgufType::Array, .data = GgufArray{GgufType::String, std::move(v)}};
}
GgufValue GgufValue::i32s(const std::vector<int32_t>& v) { return array_of<int64_t>(GgufType::I32, v); }
GgufValue GgufValue::f32s(const std::vector<float>& v) { return array_of<double>(GgufType::F32, v); }

const GgufTensor* GgufFile::find_tensor(std::string_view tensor_name) const {
  const auto found = tensor_index_.find(tensor_name);
  return found == tensor_index_.end() ? nullptr : &tensors_[found->second];
}

Type GgufFile::require_type(const GgufTensor& tensor) const {
  if (const auto type = type_from_id(tensor.type_id)) return *type;
  const ForeignType* foreign = find_foreign_type(tensor.type_id);
  throw Error({.what = "a tensor has a weight format that is not known here",
               .where = place_of(tensor),
               .expected = fmt::format("{}", fmt::join(type_names(), ", ")),
               .got = foreign ? foreign->name : fmt::format("type {}", tensor.type_id),
               .hint = "take a file in one of these formats, or make it with quantize"});
}

const GgufValue* GgufMetadata::find(std::string_view key) const {
  const auto found = index_.find(key);
  return found == index_.end() ? nullptr : &entries_[found->second].second;
}

void GgufMetadata::set(const std::string& key, GgufValue value) {
  const auto [at, is_new] = index_.emplace(key, entries_.size());
  if (is_new) {
    entries_.emplace_back(key, std::move(value));
  } else {
    entries_[at->second].second = std::move(value);
  }
}

std::string GgufMetadata::place_of(std::string_view key) const {
  const GgufValue* value = find(key);
  std::string place = file_name_;
  if (value) place += value->offset ? fmt::format(", offset {}", value->offset) : ", overridden";
  return place + ", key " + printable(std::string(key));
}

std::string GgufFile::place_of(const GgufTensor& tensor) const {
  const std::string file =
      mappings_.empty() ? name_ : mappings_[static_cast<size_t>(tensor.split)]->path().string();
  return fmt::format("{}, offset {}, tensor {}", file, tensor.info_offset, printable(tensor.name));
}

void GgufMetadata::refuse(std::string_view key, const char* expected, std::string got) const {
  throw Error({.what = "a metadata value cannot be used",
               .where = place_of(key),
               .expected = expected,
               .got = std::move(got)});
}

std::optional<int64_t> GgufMetadata::get_int(std::string_view key) const {
  const GgufValue* value = find(key);
  if (!value) return std::nullopt;
  if (const auto* i = std::get_if<int64_t>(&value->data)) return *i;
  const auto* u = std::get_if<uint64_t>(&value->data);
  if (!u) refuse(key, "an integer", describe(*value));
  if (*u > kMaxInt) refuse(key, kIntRange, std::to_string(*u));
  return static_cast<int64_t>(*u);
}

std::optional<double> GgufMetadata::get_float(std::string_view key) const {
  const GgufValue* value = find(key);
  if (!value) return std::nullopt;
  if (const auto* f = std::get_if<double>(&value->data)) return *f;
  if (const auto* i = std::get_if<int64_t>(&value->data)) return static_cast<double>(*i);
  if (const auto* u = std::get_if<uint64_t>(&value->data)) return static_cast<double>(*u);
  refuse(key, "a number", describe(*value));
}

std::optional<bool> GgufMetadata::get_bool(std::string_view key) const {
  const GgufValue* value = find(key);
  if (!value) return std::nullopt;
  const auto* b = std::get_if<bool>(&value->data);
  if (!b) refuse(key, "bool", describe(*value));
  return *b;
}

std::optional<std::string> GgufMetadata::get_string(std::string_view key) const {
  const GgufValue* value = find(key);
  if (!value) return std::nullopt;
  const auto* s = std::get_if<std::string>(&value->data);
  if (!s) refuse(key, "string", describe(*value));
  return *s;
}

const std::vector<std::string>* GgufMetadata::get_strings(std::string_view key) const {
  const GgufValue* value = find(key);
  if (!value) return nullptr;
  const auto* strings = items<std::vector<std::string>>(*value);
  if (!strings) refuse(key, "array of string", describe(*value));
  return strings;
}

std::optional<std::vector<int64_t>> GgufMetadata::get_ints(std::string_view key) const {
  const GgufValue* value = find(key);
  if (!value) return std::nullopt;
  if (const auto* i = items<std::vector<int64_t>>(*value)) return *i;
  const auto* u = items<std::vector<uint64_t>>(*value);
  if (!u || std::get<GgufArray>(value->data).element == GgufType::Bool) {
    refuse(key, "array of integers", describe(*value));
  }
  for (const uint64_t item : *u) {
    if (item > kMaxInt) refuse(key, kIntRange, std::to_string(item));
  }
  return std::vector<int64_t>(u->begin(), u->end());
}

std::optional<std::vector<int64_t>> GgufMetadata::get_bools_or_ints(std::string_view key) const {
  const GgufValue* value = find(key);
  const auto* array = value ? std::get_if<GgufArray>(&value->data) : nullptr;
  if (!array || array->element != GgufType::Bool) return get_ints(key);
  const auto& bools = std::get<std::vector<uint64_t>>(array->items);
  return std::vector<int64_t>(bools.begin(), bools.end());
}

std::optional<std::vector<double>> GgufMetadata::get_floats(std::string_view key) const {
  const GgufValue* value = find(key);
  if (!value) return std::nullopt;
  const auto* floats = items<std::vector<double>>(*value);
  if (!floats) refuse(key, "array of f32 or f64", describe(*value));
  return *floats;
}

template <class T>
T GgufMetadata::required(std::optional<T> value, std::string_view key) const {
  if (value) return *std::move(value);
  throw Error({.what = "a metadata key is missing", .where = place_of(key)});
}

int64_t GgufMetadata::require_int(std::string_view key) const { return required(get_int(key), key); }
std::string GgufMetadata::require_string(std::string_view key) const {
  return required(get_string(key), key);
}

}  // namespace sw
