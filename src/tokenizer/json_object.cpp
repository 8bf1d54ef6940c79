// SPDX-License-Identifier: MIT
#include "tokenizer/json_object.h"

#include "base/file.h"
#include "formats/json.h"

namespace sw {

using Json = nlohmann::json;

Json read_json(const std::filesystem::path& path) {
  constexpr uint64_t kMaxBytes = 64 << 20;
  return parse_json(read_file(path, kMaxBytes), path.string());
}

JsonObject::JsonObject(const Json& value, std::string where) : value_(value), where_(std::move(where)) {
  if (!value_.is_object())
    throw Error({.what = "this must be an object", .where = where_, .got = value_.type_name()});
}

const Json* JsonObject::find(const char* name) const {
  const auto found = value_.find(name);
  return found == value_.end() || found->is_null() ? nullptr : &*found;
}

const Json& JsonObject::require(const char* name) const {
  const Json* found = find(name);
  if (!found) fail(name, "the field is missing");
  return *found;
}

const Json& JsonObject::array(const char* name) const {
  const Json& found = require(name);
  if (!found.is_array()) fail(name, "this must be an array");
  return found;
}

std::string JsonObject::text(const char* name, const std::string& otherwise) const {
  const Json* found = find(name);
  if (!found) return otherwise;
  if (!found->is_string()) fail(name, "this must be a string");
  return found->get<std::string>();
}

bool JsonObject::flag(const char* name, bool otherwise) const {
  const Json* found = find(name);
  if (!found) return otherwise;
  if (!found->is_boolean()) fail(name, "this must be true or false");
  return found->get<bool>();
}

void JsonObject::fail(const char* name, const std::string& what, const std::string& expected) const {
  constexpr size_t kShown = 80;
  const Json* found = find(name);
  const bool small = found && !found->is_structured();
  std::string got = !found  ? ""
                    : small ? found->dump(-1, ' ', false, Json::error_handler_t::replace)
                            : found->type_name();
  if (got.size() > kShown) got.resize(kShown);
  throw Error({.what = what, .where = where_ + "." + name, .expected = expected, .got = got});
}

}  // namespace sw
