// SPDX-License-Identifier: MIT
#include "formats/json.h"

#include <algorithm>
#include <fmt/core.h>
#include <nlohmann/json.hpp>
#include <type_traits>
#include <vector>

#include "base/error.h"

namespace sw {
namespace {

constexpr size_t kMaxDepth = 64;
constexpr size_t kMaxOrderedNames = 4096;  // each is compared with all before it

/// What the library says, without its own prefix, which ends with `mark`.
std::string reason(const std::exception& e, std::string_view mark) {
  const std::string text = e.what();
  const size_t at = text.find(mark);
  return printable(at == text.npos ? text : text.substr(at + mark.size()));
}

/// Makes a value of the parser's events, and looks at what the parser itself lets pass.
template <class Json>
class Builder final : public nlohmann::json_sax<Json> {
 public:
  using String = typename Json::string_t;

  Builder(const std::string& file_name, uint64_t file_offset)
      : file_name_(file_name), file_offset_(file_offset), names_(kMaxDepth + 1) {}

  bool null() override { return add(nullptr), true; }
  bool boolean(bool value) override { return add(value), true; }
  bool number_integer(int64_t value) override { return add(value), true; }
  bool number_unsigned(uint64_t value) override { return add(value), true; }
  bool number_float(double value, const String& text) override {
    // The parser makes a float of an integer beyond 64 bits.
    const bool is_integer = text.find_first_of(".eE") == text.npos;
    if (kIsOrdered && is_integer) return add(Json::binary({text.begin(), text.end()}, kIntegerDigits)), true;
    return add(value), true;
  }
  bool string(String& value) override { return add(std::move(value)), true; }
  bool binary(typename Json::binary_t&) override { return false; }  // JSON has none

  bool start_object(size_t) override { return open(Json::object()); }
  bool start_array(size_t) override { return open(Json::array()); }
  bool end_array() override { return open_.pop_back(), true; }
  bool key(String& name) override {
    last_name_ = name;
    auto& names = names_[open_.size()];
    names.push_back(std::move(name));
    if (kIsOrdered && names.size() > kMaxOrderedNames) {
      fail({.what = "a JSON object has too many names",
            .expected = fmt::format("at most {}", kMaxOrderedNames)});
    }
    return true;
  }
  bool end_object() override {
    // A value keeps one member of a name. Looking for it only now spares a search for each name.
    auto& names = names_[open_.size()];
    if (open_.back()->size() < names.size()) {
      std::ranges::sort(names);
      last_name_ = *std::ranges::adjacent_find(names);
      fail({.what = "a name is there twice in a JSON object"});
    }
    return open_.pop_back(), true;
  }
  bool parse_error(size_t byte, const std::string&, const nlohmann::detail::exception& e) override {
    constexpr int kOutOfRange = 406;  // a number that no double holds
    if (e.id == kOutOfRange) fail({.what = "this JSON cannot be read", .got = reason(e, "] ")});
    const uint64_t at = file_offset_ + (byte > 0 ? byte - 1 : 0);  // the library counts bytes from one
    throw Error({.what = "this is not valid JSON",
                 .where = fmt::format("{}, offset {}", file_name_, at),
                 .got = reason(e, ": ")});
  }

  Json take() { return std::move(root_); }

 private:
  static constexpr bool kIsOrdered = std::is_same_v<Json, nlohmann::ordered_json>;

  /// Where the value then stands, until a later one is added to what holds it.
  Json* add(Json value) {
    Json* const to = open_.empty()              ? &root_
                     : open_.back()->is_array() ? &open_.back()->emplace_back(nullptr)
                                                : &(*open_.back())[names_[open_.size()].back()];
    *to = std::move(value);
    return to;
  }
  bool open(Json container) {
    if (open_.size() >= kMaxDepth) {
      fail({.what = "JSON is nested too deeply", .expected = fmt::format("at most {} levels", kMaxDepth)});
    }
    open_.push_back(add(std::move(container)));
    names_[open_.size()].clear();
    return true;
  }
  /// Names the place where the text begins in the file, and the last name read: the parser does not tell
  /// more.
  [[noreturn]] void fail(Error::Parts parts) const {
    parts.where = fmt::format("{}, JSON at offset {}", file_name_, file_offset_);
    if (!last_name_.empty()) parts.where += ", at name " + printable(last_name_);
    throw Error(std::move(parts));
  }

  const std::string& file_name_;
  uint64_t file_offset_;
  Json root_ = {};
  std::vector<Json*> open_ = {};                 // the containers that the parser is in
  std::vector<std::vector<std::string>> names_;  // of the objects among them, by depth
  std::string last_name_ = {};
};

template <class Json>
Json parse(std::string_view text, const std::string& file_name, uint64_t file_offset) {
  Builder<Json> builder(file_name, file_offset);
  Json::sax_parse(text, &builder);
  return builder.take();
}

}  // namespace

nlohmann::json parse_json(std::string_view text, const std::string& file_name, uint64_t file_offset) {
  return parse<nlohmann::json>(text, file_name, file_offset);
}

nlohmann::ordered_json parse_ordered_json(std::string_view text, const std::string& file_name) {
  return parse<nlohmann::ordered_json>(text, file_name, 0);
}

}  // namespace sw
