// SPDX-License-Identifier: MIT
#include "formats/json.h"

#include <fmt/core.h>
#include <nlohmann/json.hpp>
#include <set>
#include <vector>

#include "base/error.h"

namespace sw {
namespace {

using nlohmann::json;

constexpr int kMaxDepth = 64;

/// Watches the parser's events for what the parser itself lets pass.
class Guard {
 public:
  explicit Guard(const std::string& file_name) : file_name_(file_name), names_(kMaxDepth + 1) {}

  bool operator()(int depth, json::parse_event_t event, const json& parsed) {
    const auto level = static_cast<size_t>(depth);
    if (event == json::parse_event_t::object_start || event == json::parse_event_t::array_start) {
      if (depth >= kMaxDepth) {
        fail({.what = "JSON is nested too deeply", .expected = fmt::format("at most {} levels", kMaxDepth)});
      }
      names_[level + 1].clear();
    } else if (event == json::parse_event_t::key) {
      last_name_ = parsed.get<std::string>();
      if (!names_[level].insert(last_name_).second) fail({.what = "a name is there twice in a JSON object"});
    }
    return true;
  }

 private:
  [[noreturn]] void fail(Error::Parts parts) const {
    parts.where = file_name_;
    if (!last_name_.empty()) parts.where += ", at name " + printable(last_name_);
    throw Error(std::move(parts));
  }

  const std::string& file_name_;
  std::string last_name_ = {};
  std::vector<std::set<std::string>> names_;  // of the objects now open, by depth
};

/// What the library says, without its own prefix, which ends with `mark`.
std::string reason(const json::exception& e, std::string_view mark) {
  const std::string text = e.what();
  const size_t at = text.find(mark);
  return printable(at == text.npos ? text : text.substr(at + mark.size()));
}

}  // namespace

json parse_json(std::string_view text, const std::string& file_name, uint64_t file_offset) {
  Guard guard(file_name);
  try {
    return json::parse(text, [&](int depth, json::parse_event_t event, json& parsed) {
      return guard(depth, event, parsed);
    });
  } catch (const json::parse_error& e) {
    const uint64_t at = file_offset + (e.byte > 0 ? e.byte - 1 : 0);  // the library counts bytes from one
    throw Error({.what = "this is not valid JSON",
                 .where = fmt::format("{}, offset {}", file_name, at),
                 .got = reason(e, ": ")});
  } catch (const json::exception& e) {  // a number that no double holds
    throw Error({.what = "this JSON cannot be read", .where = file_name, .got = reason(e, "] ")});
  }
}

}  // namespace sw
