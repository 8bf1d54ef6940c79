// SPDX-License-Identifier: MIT
#pragma once
#include <charconv>
#include <iterator>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

namespace sw::server {

using Json = nlohmann::ordered_json;

/// JSON on one line; bytes that are no UTF-8 become U+FFFD.
inline std::string dump(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

/// Bytes as an array of numbers.
inline Json bytes_json(std::string_view bytes) {
  Json json = Json::array();
  for (const char c : bytes) json.push_back(static_cast<unsigned char>(c));
  return json;
}

/// The number that prints with the digits of the float: 0.2 for 0.2f, which is 0.20000000298.
inline double in_short(float value) {
  char text[32];
  const char* end = std::to_chars(std::begin(text), std::end(text), value).ptr;
  double out = 0;
  std::from_chars(std::begin(text), end, out);
  return out;
}
inline std::vector<double> in_short(const std::vector<float>& values) {
  std::vector<double> out;
  out.reserve(values.size());
  for (const float v : values) out.push_back(in_short(v));
  return out;
}

}  // namespace sw::server
