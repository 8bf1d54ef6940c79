// SPDX-License-Identifier: MIT
#include "cli/cache_flags.h"

#include <optional>
#include <vector>

#include "base/error.h"
#include "base/log.h"
#include "cli/arguments.h"

namespace sw::cli {
namespace {

std::vector<std::string> type_names() {
  std::vector<std::string> names;
  for (const Type type : kCacheTypes) names.push_back(cache_type_name(type));
  return names;
}

Type type_of(const std::string& name) {
  const std::optional<Type> type = type_from_name(name);  // one of the choices
  SW_ASSERT(type);
  return *type;
}

}  // namespace

CacheType CacheFlags::type() const { return {type_of(k), type_of(v)}; }

void add_cache_flags(CLI::App& command, CacheFlags& flags, const char* by_default) {
  flags.k = flags.v = by_default;
  const auto add = [&](const char* name, std::string& value, const char* help) {
    return command.add_option(name, value, help)->check(one_of(type_names()))->capture_default_str();
  };
  add("--cache-type-k", flags.k, "the type of keys, and of latents, in the KV cache; -ctv: of values");
  add("--cache-type-v", flags.v, "the type of values in the KV cache, one of the same")
      ->option_text("TYPE")
      ->each([&flags](const std::string&) { flags.v_given = true; });
}

void note_unused_value_type(const CacheFlags& flags, const CachePlan& plan) {
  if (!flags.v_given || flags.v == flags.k || plan.has_values()) return;
  log::info("-ctv {} is unused: this model's cache keeps no values beside its latents, which are {} (-ctk)",
            flags.v, flags.k);
}

}  // namespace sw::cli
