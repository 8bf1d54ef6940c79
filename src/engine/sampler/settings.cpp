// SPDX-License-Identifier: MIT
#include "engine/sampler/settings.h"

#include <algorithm>
#include <fmt/format.h>
#include <iterator>
#include <limits>
#include <string>
#include <utility>

#include "base/error.h"

namespace sw {
namespace {

using P = SamplerParams;

constexpr double kAny = std::numeric_limits<float>::max();
constexpr double kAnyInt = std::numeric_limits<int>::max();

constexpr SamplerSetting kSettings[] = {
    {&P::temperature, "--temp", 0, kAny, "temp", "temperature; 0: always the best token"},
    {&P::dynatemp_range, "--dynatemp-range", 0, kAny, nullptr,
     "the temperature moves this much up and down with the entropy; 0: off"},
    {&P::dynatemp_exponent, "--dynatemp-exp", 0, kAny, nullptr, "how the entropy moves it"},
    {&P::top_k, "--top-k", -1, kAnyInt, "top_k", "keep the K best tokens; 0: off"},
    {&P::top_p, "--top-p", 0, 1, "top_p", "keep the best tokens that together have probability P; 1: off"},
    {&P::min_p, "--min-p", 0, 1, "min_p", "keep tokens at least P times as probable as the best; 0: off"},
    {&P::typical_p, "--typical", 0, 1, nullptr,
     "keep the most typical tokens that together have probability P; 1: off"},
    {&P::top_n_sigma, "--top-n-sigma", -kAny, kAny, nullptr,
     "keep tokens within N standard deviations of the best logit; 0 or less: off"},
    {&P::xtc_probability, "--xtc-probability", 0, 1, "xtc_probability",
     "how often XTC leaves out the best tokens; 0: off"},
    {&P::xtc_threshold, "--xtc-threshold", 0, 1, "xtc_threshold",
     "XTC: all tokens of at least this probability but the last are left out"},
    {&P::penalty_last_n, "--repeat-last-n", -1, kAnyInt, "penalty_last_n",
     "tokens that the penalties look at; 0: none, -1: all"},
    {&P::repeat_penalty, "--repeat-penalty", 0.01, kAny, "penalty_repeat",
     "divides the logits of tokens that occurred; 1: off"},
    {&P::presence_penalty, "--presence-penalty", -kAny, kAny, nullptr,
     "subtracted from the logits of tokens that occurred"},
    {&P::frequency_penalty, "--frequency-penalty", -kAny, kAny, nullptr, "the same, for each occurrence"},
    {&P::dry_multiplier, "--dry-multiplier", 0, kAny, nullptr, "DRY: weight of its penalty; 0: off"},
    {&P::dry_base, "--dry-base", 1, kAny, nullptr, "DRY: growth of the penalty with each repeated token"},
    {&P::dry_allowed_length, "--dry-allowed-length", 1, kAnyInt, nullptr,
     "DRY: from this many repeated tokens on there is a penalty"},
    {&P::dry_last_n, "--dry-penalty-last-n", -1, kAnyInt, nullptr,
     "DRY: tokens that it looks at; 0: none, -1: all"},
    {&P::mirostat, "--mirostat", 0, 2, "mirostat", "Mirostat version 1 or 2; 0: off"},
    {&P::mirostat_tau, "--mirostat-ent", 0, kAny, "mirostat_tau", "Mirostat: the surprise aimed at, in bits"},
    {&P::mirostat_eta, "--mirostat-lr", 0, kAny, "mirostat_eta", "Mirostat: how fast it gets there"},
};

constexpr const char* kNames[] = {
#define SW_SAMPLER(kind, name, effect) #name,
#include "engine/sampler/steps.inc"
#undef SW_SAMPLER
};

constexpr std::pair<const char*, SamplerKind> kOtherNames[] = {
    {"typical", SamplerKind::TypP}, {"typical_p", SamplerKind::TypP}, {"temp", SamplerKind::Temperature}};

SamplerKind parse_kind(std::string_view text) {
  std::string name(text);
  std::replace(name.begin(), name.end(), '-', '_');
  const auto known = std::find(std::begin(kNames), std::end(kNames), name);
  if (known != std::end(kNames)) return static_cast<SamplerKind>(known - std::begin(kNames));
  for (const auto& [other, kind] : kOtherNames) {
    if (name == other) return kind;
  }
  throw Error({.what = "unknown sampler",
               .where = "--samplers",
               .expected = fmt::format("one of {}", fmt::join(kNames, ", ")),
               .got = std::string(text)});
}

std::string range_text(const SamplerSetting& s) {
  const bool no_low = s.low == -kAny, no_high = s.high == kAny || s.high == kAnyInt;
  if (no_low && no_high) return "a finite number";
  return no_high ? fmt::format("{} or more", s.low) : fmt::format("{} to {}", s.low, s.high);
}

}  // namespace

std::vector<SamplerKind> default_sampler_order() {
  std::vector<SamplerKind> order;
  for (size_t i = 0; i < std::size(kNames); ++i) order.push_back(static_cast<SamplerKind>(i));
  return order;
}

std::vector<SamplerKind> parse_sampler_order(std::string_view text) {
  std::vector<SamplerKind> order;
  while (!text.empty()) {
    const size_t end = text.find(';');
    const std::string_view name = text.substr(0, end);
    const SamplerKind kind = parse_kind(name);
    if (std::find(order.begin(), order.end(), kind) != order.end())
      throw Error({.what = "a sampler is named twice", .where = "--samplers", .got = std::string(name)});
    order.push_back(kind);
    text.remove_prefix(end == text.npos ? text.size() : end + 1);
  }
  return order;
}

std::span<const SamplerSetting> sampler_settings() { return kSettings; }

void check_sampler_params(const SamplerParams& params) {
  for (const SamplerSetting& s : kSettings) {
    const double value = std::visit([&](auto field) { return static_cast<double>(params.*field); }, s.field);
    if (value >= s.low && value <= s.high) continue;
    throw Error({.what = "a sampler setting is out of range",
                 .where = s.flag,
                 .expected = range_text(s),
                 .got = fmt::format("{}", value)});
  }
  for (const LogitBias& b : params.logit_bias) {
    if (b.bias != b.bias)
      throw Error({.what = "a bias is not a number",
                   .where = "--logit-bias",
                   .got = fmt::format("{} for token {}", b.bias, b.id)});
  }
}

}  // namespace sw
