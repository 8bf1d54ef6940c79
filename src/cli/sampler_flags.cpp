// SPDX-License-Identifier: MIT
#include "cli/sampler_flags.h"

#include <algorithm>
#include <charconv>
#include <fmt/core.h>
#include <iterator>
#include <limits>
#include <random>

#include "base/error.h"
#include "cli/arguments.h"
#include "cli/escapes.h"
#include "cli/option_text.h"
#include "engine/sampler/dry_breakers.h"

namespace sw::cli {
namespace {

std::string file_key(const char* key) { return std::string("general.sampling.") + key; }

/// The setting's value in the file, if it is there.
void read_setting(const SamplerSetting& setting, const GgufFile& file, SamplerParams& params) {
  if (!setting.key) return;
  const std::string key = file_key(setting.key);
  const auto* as_float = std::get_if<float SamplerParams::*>(&setting.field);
  const std::optional<double> value =
      as_float ? file.metadata().get_float(key) : std::optional<double>(file.metadata().get_int(key));
  if (!value) return;
  if (!(*value >= setting.low && *value <= setting.high)) {
    throw Error({.what = "the file's sampler setting is out of range",
                 .where = file.name() + ", " + key,
                 .got = fmt::format("{}", *value),
                 .hint = std::string("give ") + setting.flag});
  }
  if (as_float) {
    params.** as_float = static_cast<float>(*value);
  } else {
    params.*std::get<int SamplerParams::*>(setting.field) = static_cast<int>(*value);
  }
}

/// "15043+1.5", "15043-inf"
LogitBias parse_logit_bias(const std::string& text) {
  LogitBias bias;
  const char* end = text.data() + text.size();
  const auto [sign, id_error] = std::from_chars(text.data(), end, bias.id);
  if (id_error == std::errc() && bias.id >= 0 && sign != end && (*sign == '+' || *sign == '-')) {
    // from_chars knows no plus.
    const auto [rest, error] = std::from_chars(*sign == '+' ? sign + 1 : sign, end, bias.bias);
    const bool one_sign = sign + 1 != end && sign[1] != '-';
    if (error == std::errc() && rest == end && one_sign) return bias;
  }
  throw Error({.what = "not a logit bias",
               .where = "--logit-bias",
               .expected = "an id, + or -, a number: 15043+1 or 15043-inf",
               .got = text});
}

bool is_usual(std::string_view flag) {
  constexpr std::string_view kUsual[] = {"--temp", "--top-k", "--top-p", "--min-p", "--repeat-penalty"};
  return std::ranges::find(kUsual, flag) != std::end(kUsual);
}

}  // namespace

void add_sampler_flags(CLI::App& command, SamplerFlags& f) {
  f.command = &command;
  const std::string group = "Sampling", rare = std::string(kRare) + "sampling";
  command.add_option("-s,--seed", f.seed, "the same seed gives the same text; -1: a random one")
      ->transform(whole_number(-1, std::numeric_limits<int64_t>::max()))
      ->group(group);
  command.add_option("--samplers", f.order, "the steps in their order: top_k;top_p;temperature")
      ->option_text("LIST")
      ->group(rare);
  command
      .add_option("-l,--logit-bias", f.logit_bias,
                  "add to a token's logit; ID-inf forbids the token; repeatable")
      ->option_text("ID+BIAS|ID-BIAS")
      ->allow_extra_args(false)
      ->group(rare);
  for (const SamplerSetting& setting : sampler_settings()) {
    std::visit(
        [&](auto field) {
          CLI::Option* option = command.add_option(setting.flag, f.values.*field, setting.help)
                                    ->capture_default_str()
                                    ->group(is_usual(setting.flag) ? group : rare);
          // Its own limits are checked together with the file's values.
          using Int = std::numeric_limits<int>;
          const bool whole = std::is_same_v<decltype(field), int SamplerParams::*>;
          option->transform(whole ? whole_number(Int::min(), Int::max()).description("") : number());
        },
        setting.field);
  }
  command
      .add_option("--dry-sequence-breaker", f.dry_breakers,
                  "DRY: a text that starts the count again; repeatable; none: no such text")
      ->allow_extra_args(false)
      ->group(rare);
}

DryBreakers SamplerFlags::breakers(const Tokenizer& tokenizer) const {
  if (dry_breakers.size() == 1 && dry_breakers.front() == "none") return {};
  std::vector<std::string> plain;
  std::transform(dry_breakers.begin(), dry_breakers.end(), std::back_inserter(plain), unescape);
  return find_dry_breakers(tokenizer, plain);
}

SamplerParams SamplerFlags::params(const GgufFile& file, const Tokenizer& tokenizer) const {
  SamplerParams p = values;
  for (const SamplerSetting& setting : sampler_settings()) {
    if (command->count(setting.flag) == 0) read_setting(setting, file, p);
  }
  if (command->count("--samplers") > 0) {
    p.order = parse_sampler_order(order);
  } else if (const auto names = file.metadata().get_string(file_key("sequence"))) {
    p.order = parse_sampler_order(*names);
  }
  for (const std::string& text : logit_bias) p.logit_bias.push_back(parse_logit_bias(text));
  p.seed = seed >= 0 ? static_cast<uint64_t>(seed) : std::random_device{}();
  check_sampler_params(p);
  if (p.dry_multiplier > 0) p.dry_breakers = breakers(tokenizer);
  return p;
}

}  // namespace sw::cli
