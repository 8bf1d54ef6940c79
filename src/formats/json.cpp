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

constexpr int kMaxDepth = 64;
constexpr size_t kMaxOrderedNames = 4096;  // each is compared with all before it

/// Watches the parser's events for what the parser itself lets pass.
template <class Json>
class Guard {
 public:
  using Event = typename Json::parse_event_t;

  Guard(const std::string& file_name, uint64_t file_offset)
      : file_name_(file_name), file_offset_(file_offset), names_(kMaxDepth + 1) {}

  bool operator()(int depth, Event event, const Json& parsed) {
    const auto level = static_cast<size_t>(depth);
    if (event == Event::object_start || event == Event::array_start) {
      if (depth >= kMaxDepth) {
        fail({.what = "JSON is nested too deeply", .expected = fmt::format("at most {} levels", kMaxDepth)});
      }
      names_[level + 1].clear();
    } else if (event == Event::key) {
      last_name_ = parsed.template get_ref<const std::string&>();
      names_[level].push_back(last_name_);
      if (std::is_same_v<Json, nlohmann::ordered_json> && names_[level].size() > kMaxOrderedNames) {
        fail({.what = "a JSON object has too many names",
              .expected = fmt::format("at most {}", kMaxOrderedNames)});
      }
    } else if (event == Event::object_end && parsed.size() < names_[level + 1].size()) {
      // The parser keeps one member of a name. Looking for it only now spares a search for each name.
      auto& names = names_[level + 1];
      std::ranges::sort(names);
      last_name_ = *std::ranges::adjacent_find(names);
      fail({.what = "a name is there twice in a JSON object"});
    }
    return true;
  }
  /// Where the text begins in the file, and the last name read: the parser does not tell more.
  std::string place() const {
    const std::string begin = fmt::format("{}, JSON at offset {}", file_name_, file_offset_);
    return last_name_.empty() ? begin : begin + ", at name " + printable(last_name_);
  }

 private:
  [[noreturn]] void fail(Error::Parts parts) const {
    parts.where = place();
    throw Error(std::move(parts));
  }

  const std::string& file_name_;
  uint64_t file_offset_;
  std::string last_name_ = {};
  std::vector<std::vector<std::string>> names_;  // of the objects now open, by depth
};

/// What the library says, without its own prefix, which ends with `mark`.
std::string reason(const std::exception& e, std::string_view mark) {
  const std::string text = e.what();
  const size_t at = text.find(mark);
  return printable(at == text.npos ? text : text.substr(at + mark.size()));
}

template <class Json>
Json parse(std::string_view text, const std::string& file_name, uint64_t file_offset) {
  Guard<Json> guard(file_name, file_offset);
  try {
    return Json::parse(text, [&](int depth, typename Json::parse_event_t event, Json& parsed) {
      return guard(depth, event, parsed);
    });
  } catch (const typename Json::parse_error& e) {
    const uint64_t at = file_offset + (e.byte > 0 ? e.byte - 1 : 0);  // the library counts bytes from one
    throw Error({.what = "this is not valid JSON",
                 .where = fmt::format("{}, offset {}", file_name, at),
                 .got = reason(e, ": ")});
  } catch (const typename Json::exception& e) {  // a number that no double holds
    throw Error({.what = "this JSON cannot be read", .where = guard.place(), .got = reason(e, "] ")});
  }
}

}  // namespace

nlohmann::json parse_json(std::string_view text, const std::string& file_name, uint64_t file_offset) {
  return parse<nlohmann::json>(text, file_name, file_offset);
}

nlohmann::ordered_json parse_ordered_json(std::string_view text, const std::string& file_name) {
  return parse<nlohmann::ordered_json>(text, file_name, 0);
}

}  // namespace sw
