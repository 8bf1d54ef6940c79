// SPDX-License-Identifier: MIT
#include "router/policy.h"

#include <algorithm>
#include <charconv>
#include <string>

#include "base/error.h"

namespace sw {
namespace {

/// The text of a flag, and how to complain about it.
struct Flag {
  const char* meaning;  // "the number of experts"
  const char* form;     // "N or FIRST-LAST=N,..."
  std::string_view text;

  [[noreturn]] void refuse(std::string_view part, const std::string& why) const {
    std::string got = "'" + std::string(part) + "'";
    if (part != text) got += " in '" + std::string(text) + "'";
    throw Error({.what = std::string("cannot read ") + meaning + ", " + why, .expected = form, .got = got});
  }
};

template <class Number>
Number parse_number(const Flag& flag, std::string_view part) {
  Number value{};
  const auto [end, error] = std::from_chars(part.data(), part.data() + part.size(), value);
  if (error == std::errc::result_out_of_range) flag.refuse(part, "a number is too large or too small");
  if (error != std::errc{} || end != part.data() + part.size()) flag.refuse(part, "this is not a number");
  return value;
}

int parse_count(const Flag& flag, std::string_view part, int least) {
  const int value = parse_number<int>(flag, part);
  if (value < least) flag.refuse(part, "a number is below " + std::to_string(least));
  return value;
}

/// Cuts the text at its first `separator`; nothing where there is none.
std::optional<std::pair<std::string_view, std::string_view>> cut(std::string_view text, char separator) {
  const size_t at = text.find(separator);
  if (at == std::string_view::npos) return std::nullopt;
  return std::pair(text.substr(0, at), text.substr(at + 1));
}

/// Calls f with each part of "a,b,c"; an empty part is a part.
template <class F>
void for_each_part(std::string_view list, char separator, F&& f) {
  auto parts = cut(list, separator);
  for (; parts; parts = cut(list, separator)) {
    f(parts->first);
    list = parts->second;
  }
  f(list);
}

/// "3" or "3-7" as first and last.
std::pair<int, int> parse_range(const Flag& flag, std::string_view part) {
  // A '-' in front is a sign, so that "-3" is refused as negative.
  const size_t dash = part.find('-', 1);
  if (dash == std::string_view::npos) {
    const int only = parse_count(flag, part, 0);
    return {only, only};
  }
  const int first = parse_count(flag, part.substr(0, dash), 0);
  const int last = parse_count(flag, part.substr(dash + 1), 0);
  if (last < first) flag.refuse(part, "a range ends before it begins");
  return {first, last};
}

/// One part of a named policy, added to it.
void add_part(const Flag& flag, std::string_view part, RoutingPolicy& policy) {
  const auto sides = cut(part, '=').value_or(std::pair(part, std::string_view()));
  const std::string_view name = sides.first, value = sides.second;
  const auto counts = [&] { return std::vector<ExpertCount>{{.k = parse_count(flag, value, 1)}}; };
  if (part == "default") return;
  if (part == "standard" || part == "grouped") {
    policy.grouped = part == "grouped";
  } else if (name == "experts") {
    policy.experts_prefill = policy.experts_decode = counts();
  } else if (name == "experts-prefill") {
    policy.experts_prefill = counts();
  } else if (name == "experts-decode") {
    policy.experts_decode = counts();
  } else if (name == "threshold") {
    policy.threshold = parse_threshold(value);
  } else {
    flag.refuse(part, "this names no policy");
  }
}

}  // namespace

std::vector<NamedPolicy> parse_policy_list(std::string_view text, const RoutingPolicy& base) {
  const Flag flag{"the list of policies",
                  "default, standard, grouped, experts=N, experts-prefill=N, experts-decode=N or "
                  "threshold=MIN:T, joined by '+', separated by commas",
                  text};
  std::vector<NamedPolicy> policies;
  for_each_part(text, ',', [&](std::string_view name) {
    NamedPolicy& policy = policies.emplace_back(NamedPolicy{std::string(name), base});
    for_each_part(name, '+', [&](std::string_view part) { add_part(flag, part, policy.policy); });
  });
  return policies;
}

std::vector<ExpertCount> parse_expert_counts(std::string_view text) {
  const Flag flag{"the number of experts", "N, or LAYER=N and FIRST-LAST=N separated by commas", text};
  if (text.find('=') == std::string_view::npos) return {{.k = parse_count(flag, text, 1)}};
  std::vector<ExpertCount> counts;
  for_each_part(text, ',', [&](std::string_view part) {
    const auto sides = cut(part, '=');
    if (!sides) flag.refuse(part, "a part has no '='");
    const auto [first, last] = parse_range(flag, sides->first);
    for (const ExpertCount& other : counts) {
      if (first <= other.last && other.first <= last) flag.refuse(part, "a layer is named twice");
    }
    counts.push_back({.first = first, .last = last, .k = parse_count(flag, sides->second, 1)});
  });
  return counts;
}

Threshold parse_threshold(std::string_view text) {
  const Flag flag{"the expert threshold", "MIN,T with MIN at least 1 and T from 0 to 1", text};
  auto sides = cut(text, ',');
  if (!sides) sides = cut(text, ':');  // as in a list of policies, where commas are taken
  if (!sides) flag.refuse(text, "there is no comma");
  const Threshold threshold{.min_k = parse_count(flag, sides->first, 1),
                            .share = parse_number<float>(flag, sides->second)};
  if (!(threshold.share >= 0.0f && threshold.share <= 1.0f))
    flag.refuse(sides->second, "T is not from 0 to 1");
  return threshold;
}

std::vector<ExpertMask> parse_expert_mask(std::string_view text) {
  const Flag flag{"the expert mask", "LAYER:IDS, as in 3:0-7,12", text};
  const auto sides = cut(text, ':');
  if (!sides) flag.refuse(text, "there is no colon");
  const int layer = parse_count(flag, sides->first, 0);
  std::vector<ExpertMask> masks;
  for_each_part(sides->second, ',', [&](std::string_view part) {
    const auto [first, last] = parse_range(flag, part);
    masks.push_back({.layer = layer, .first = first, .last = last});
  });
  return masks;
}

}  // namespace sw
