// SPDX-License-Identifier: MIT
#pragma once
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "engine/sampler/settings.h"
#include "server/json.h"

namespace sw::server {

/// Which requests have a field.
enum Endpoint : unsigned {
  kChat = 1,
  kCompletions = 2,
  kEmbeddings = 4,
  kMessages = 8,
  kResponses = 16,
  kTokenize = 32,
  kDetokenize = 64,
  kApplyTemplate = 128,
  kCountTokens = 256,
  kSlotAction = 512,
};

enum class FieldType : uint8_t {
  Integer,
  Number,
  Boolean,
  String,
  Array,
  Object,
  Any,          ///< several types; what reads it says which
  Unsupported,  ///< no value is taken: to ignore it would answer something else than was asked for
};

/// One member of a request. The table of them is the one place that knows types and ranges: requests are
/// checked by it, errors cite it, docs/server.md and openapi.json are made of it.
struct Field {
  std::string name = {};
  FieldType type = FieldType::Any;
  unsigned endpoints = 0;
  double low = 0, high = 0;   ///< numbers: the range, both ends within
  std::string fallback = {};  ///< what is taken where it is absent, in words; empty: it must be there
  std::string help = {};
  std::string member = {};  ///< objects: the one member that is read; empty: what reads it says which
};

/// All fields, those of one name once for each range. Made once.
std::span<const Field> request_fields();

/// What requests call a sampler's setting: "temperature" for --temp.
std::string sampler_field(const SamplerSetting& setting);

/// "an integer from 1 to 16"
std::string describe_type(const Field& field);

/// A request's members, each of the type and in the range that the table says. Members that are null are
/// absent; unknown ones, in objects within too, are left out and warned of.
class RequestFields {
 public:
  /// Throws ApiError: no JSON object, or a member that the table refuses.
  RequestFields(std::string_view body, Endpoint endpoint);

  bool has(std::string_view name) const { return members_.contains(name); }
  /// Throws ApiError where it is absent.
  const Json& need(std::string_view name) const;
  /// Null where it is absent.
  const Json& at(std::string_view name) const;
  int64_t integer(std::string_view name, int64_t fallback) const;
  double number(std::string_view name, double fallback) const;
  bool boolean(std::string_view name, bool fallback = false) const;
  std::string string(std::string_view name, const std::string& fallback = {}) const;

  /// Says that a member had no effect, or another than one may think.
  void warn(const std::string& param, const std::string& message);
  /// [{"param", "message"}]; empty: nothing to say.
  const Json& warnings() const { return warnings_; }

 private:
  void warn_of_unknown_members(const Field& field, const Json& value);

  Json members_ = Json::object();
  Json warnings_ = Json::array();
};

/// An error about one member of a request.
[[noreturn]] void refuse_field(const std::string& name, const std::string& expected, const Json& got);

}  // namespace sw::server
