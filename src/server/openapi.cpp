// SPDX-License-Identifier: MIT
#include "server/openapi.h"

#include <limits>

#include "server/fields.h"
#include "server/read_request.h"
#include "server/routes.h"

namespace sw::server {
namespace {

/// A message's schema, as far as it does not depend on the chat template.
Json message_schema() {
  const Json roles = std::vector<std::string>(message_roles().begin(), message_roles().end());
  return {{"type", "object"},
          {"required", {"role"}},
          {"properties",
           {{"role", {{"type", "string"}, {"enum", roles}}},
            {"content", {{"type", {"string", "array", "null"}}}}}}};
}

Json field_schema(const Field& f) {
  Json schema = {{"description", f.help + (f.fallback.empty() ? "" : "; default: " + f.fallback)}};
  switch (f.type) {
    case FieldType::Integer:
    case FieldType::Number:
      schema["type"] = f.type == FieldType::Integer ? "integer" : "number";
      if (f.low > -1e30) schema["minimum"] = f.low;
      if (f.high < std::numeric_limits<int>::max()) schema["maximum"] = f.high;
      break;
    case FieldType::Boolean:
      schema["type"] = "boolean";
      break;
    case FieldType::String:
      schema["type"] = "string";
      break;
    case FieldType::Array:
      schema["type"] = "array";
      schema["items"] = f.name == "messages" ? message_schema() : Json::object();
      if (f.name == "messages") schema["minItems"] = 1;
      if (f.name == "tokens") schema["items"] = {{"type", "integer"}, {"minimum", 0}};
      break;
    case FieldType::Object:
      schema["type"] = "object";
      break;
    case FieldType::Unsupported:
      schema["enum"] = {"", nullptr};
      break;
    case FieldType::Any:
      schema["type"] = {"string", f.name == "tool_choice" ? "object" : "array"};
      break;
  }
  if (f.fallback.empty() || !schema.contains("type")) return schema;
  // Null is the same as absent.
  if (!schema["type"].is_array()) schema["type"] = Json::array({schema["type"]});
  schema["type"].push_back("null");
  return schema;
}

Json body_schema(unsigned endpoint) {
  Json schema = {{"type", "object"}, {"properties", Json::object()}};
  for (const Field& f : request_fields()) {
    if ((f.endpoints & endpoint) == 0) continue;
    schema["properties"][f.name] = field_schema(f);
    if (f.fallback.empty()) schema["required"].push_back(f.name);
  }
  return schema;
}

Json error_schema() {
  const Json maybe_text = {{"type", {"string", "null"}}};
  return {{"type", "object"},
          {"required", {"error"}},
          {"properties",
           {{"error",
             {{"type", "object"},
              {"required", {"message", "type", "param", "code"}},
              {"properties",
               {{"message", {{"type", "string"}}},
                {"type", {{"type", "string"}}},
                {"param", maybe_text},
                {"code", maybe_text}}}}}}}};
}

Json operation(const Route& route) {
  const Json error = {
      {"description", "what was wrong"},
      {"content", {{"application/json", {{"schema", {{"$ref", "#/components/schemas/Error"}}}}}}}};
  Json json = {{"summary", route.help},
               {"responses", {{"200", {{"description", "the answer"}}}, {"4XX", error}, {"503", error}}}};
  if (route.endpoint != 0) {
    json["requestBody"] = {{"required", true},
                           {"content", {{"application/json", {{"schema", body_schema(route.endpoint)}}}}}};
  }
  const std::string_view path = route.path;
  if (path.ends_with('}')) {
    const std::string_view name = path.substr(path.find('{') + 1, path.size() - path.find('{') - 2);
    json["parameters"].push_back({{"name", name},
                                  {"in", "path"},
                                  {"required", true},
                                  {"schema", {{"type", name == "id" ? "integer" : "string"}}}});
  }
  if (route.endpoint == kSlotAction) {
    json["responses"]["501"] = error;  // the server was started without --slot-save-path
    json["responses"]["507"] = error;  // the disk is full
    json["parameters"].push_back({{"name", "action"},
                                  {"in", "query"},
                                  {"required", true},
                                  {"schema", {{"type", "string"}, {"enum", {"save", "restore", "erase"}}}}});
  }
  if (route.access == Access::Open) json["security"] = Json::array();
  if (route.access == Access::Local) json["security"] = {Json::object(), {{"key", Json::array()}}};
  return json;
}

}  // namespace

Json openapi(const std::string& version) {
  Json paths = Json::object();
  for (const Route& route : routes()) {
    std::string method = route.method;
    for (char& c : method) c = static_cast<char>(c - 'A' + 'a');
    paths[route.path][method] = operation(route);
  }
  return {{"openapi", "3.1.0"},
          {"info", {{"title", "Switchyard"}, {"version", version}}},
          {"security", Json::array({{{"key", Json::array()}}})},
          {"paths", std::move(paths)},
          {"components",
           {{"schemas", {{"Error", error_schema()}}},
            {"securitySchemes", {{"key", {{"type", "http"}, {"scheme", "bearer"}}}}}}}};
}

}  // namespace sw::server
