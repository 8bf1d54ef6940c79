// SPDX-License-Identifier: MIT
#pragma once
#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>

#include "base/error.h"

namespace sw {

/// A JSON document from a file of at most 64 MiB; see parse_json for what else it checks.
nlohmann::json read_json(const std::filesystem::path& path);

/// Reads members of one JSON object and names the field where something is wrong. Borrows both.
class JsonObject {
 public:
  using Json = nlohmann::json;
  /// Throws sw::Error where `value` is no object.
  JsonObject(const Json& value, std::string where);

  const std::string& where() const { return where_; }
  /// All members, by name.
  const Json::object_t& members() const { return value_.get_ref<const Json::object_t&>(); }
  /// Null where the member is missing or JSON null.
  const Json* find(const char* name) const;
  const Json& require(const char* name) const;
  /// Throws where the member is missing or no array.
  const Json& array(const char* name) const;
  JsonObject object(const char* name) const { return JsonObject(require(name), where_ + "." + name); }

  /// The member, `otherwise` where it is missing or null; another type throws.
  std::string text(const char* name, const std::string& otherwise = {}) const;
  bool flag(const char* name, bool otherwise) const;

  [[noreturn]] void fail(const char* name, const std::string& what, const std::string& expected = {}) const;

 private:
  const Json& value_;
  std::string where_;
};

}  // namespace sw
