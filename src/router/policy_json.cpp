// SPDX-License-Identifier: MIT
#include "router/policy_json.h"

#include <charconv>
#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "base/error.h"

namespace sw {
namespace {

using nlohmann::json;

constexpr size_t kMaxGot = 60;  // characters of a value in a message

[[noreturn]] void refuse(const std::string& member, const std::string& expected, const json& got) {
  const std::string text = got.dump(-1, ' ', true, json::error_handler_t::replace);
  throw Error({.what = "a routing policy cannot be read",
               .where = "moe." + member,
               .expected = expected,
               .got = text.size() <= kMaxGot ? text : text.substr(0, kMaxGot) + "..."});
}

bool is_count(const json& j, int least) {
  return j.is_number_integer() && j >= least && j <= ExpertCount::kLastLayer;
}

std::vector<ExpertCount> read_counts(const std::string& member, const json& j) {
  constexpr const char* kExpected = "a number from 1, or a list of [first layer, last layer, number]";
  if (is_count(j, 1)) return {{.k = j.get<int>()}};
  if (!j.is_array()) refuse(member, kExpected, j);
  std::vector<ExpertCount> counts;
  for (const json& range : j) {
    const bool fits = range.is_array() && range.size() == 3 && is_count(range[0], 0) &&
                      is_count(range[1], 0) && is_count(range[2], 1) && range[0] <= range[1];
    if (!fits) refuse(member, kExpected, range);
    counts.push_back({.first = range[0], .last = range[1], .k = range[2]});
  }
  return counts;
}

Threshold read_threshold(const json& j) {
  const bool fits =
      j.is_array() && j.size() == 2 && is_count(j[0], 1) && j[1].is_number() && j[1] >= 0 && j[1] <= 1;
  if (!fits) refuse("threshold", "[experts that stay from 1, share from 0 to 1]", j);
  return {.min_k = j[0], .share = j[1]};
}

std::vector<ExpertMask> read_masks(const json& j) {
  constexpr const char* kExpected = "an object of layers, each with its list of expert ids";
  if (!j.is_object()) refuse("mask", kExpected, j);
  std::vector<ExpertMask> masks;
  for (const auto& [layer_name, ids] : j.items()) {
    int layer = -1;
    const char* end = layer_name.data() + layer_name.size();
    const auto read = std::from_chars(layer_name.data(), end, layer);
    if (read.ec != std::errc() || read.ptr != end || layer < 0 || !ids.is_array())
      refuse("mask", kExpected, json{{layer_name, ids}});
    for (const json& id : ids) {
      if (!is_count(id, 0)) refuse("mask." + layer_name, "expert ids", id);
      masks.push_back({.layer = layer, .first = id, .last = id});
    }
  }
  return masks;
}

json counts_to_json(const std::vector<ExpertCount>& counts) {
  if (counts.size() == 1 && counts[0] == ExpertCount{.k = counts[0].k}) return counts[0].k;
  json list = json::array();
  for (const ExpertCount& c : counts) list.push_back({c.first, c.last, c.k});
  return list;
}

}  // namespace

RoutingPolicy policy_from_json(const json& j, const RoutingPolicy& base) {
  if (!j.is_object()) refuse("", "an object", j);
  RoutingPolicy policy = base;
  if (j.contains("experts"))  // first: the two phases' own go before it, wherever they stand
    policy.experts_prefill = policy.experts_decode = read_counts("experts", j["experts"]);
  for (const auto& [member, value] : j.items()) {
    if (member == "experts") continue;
    if (member == "experts_prefill") {
      policy.experts_prefill = read_counts(member, value);
    } else if (member == "experts_decode") {
      policy.experts_decode = read_counts(member, value);
    } else if (member == "grouped") {
      if (!value.is_boolean()) refuse(member, "true or false", value);
      policy.grouped = value.get<bool>();
    } else if (member == "threshold") {
      policy.threshold = read_threshold(value);
    } else if (member == "mask") {
      policy.masks = read_masks(value);
    } else {
      refuse(member, fmt::format("one of {}", fmt::join(kPolicyMembers, ", ")), value);
    }
  }
  return policy;
}

json policy_to_json(const RoutingPolicy& policy) {
  json j = json::object();
  if (policy.experts_prefill == policy.experts_decode) {
    if (!policy.experts_prefill.empty()) j["experts"] = counts_to_json(policy.experts_prefill);
  } else {
    if (!policy.experts_prefill.empty()) j["experts_prefill"] = counts_to_json(policy.experts_prefill);
    if (!policy.experts_decode.empty()) j["experts_decode"] = counts_to_json(policy.experts_decode);
  }
  if (policy.grouped) j["grouped"] = *policy.grouped;
  if (policy.threshold) j["threshold"] = {policy.threshold->min_k, policy.threshold->share};
  for (const ExpertMask& m : policy.masks) {
    json& ids = j["mask"][std::to_string(m.layer)];
    for (int id = m.first; id <= m.last; ++id) ids.push_back(id);
  }
  return j;
}

}  // namespace sw
