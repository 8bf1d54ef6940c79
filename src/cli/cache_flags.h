// SPDX-License-Identifier: MIT
#pragma once
#include <CLI/CLI.hpp>
#include <string>

#include "kv/cache_plan.h"

namespace sw::cli {

/// -ctk and -ctv: how keys and values are kept.
struct CacheFlags {
  std::string k = "f16", v = "f16";
  bool v_given = false;

  CacheType type() const;
};

/// `by_default`: "f16", or "f32" for measuring.
void add_cache_flags(CLI::App& command, CacheFlags& flags, const char* by_default = "f16");

/// A line where -ctv says something about values and the cache keeps none. `plan` is one of the model's.
void note_unused_value_type(const CacheFlags& flags, const CachePlan& plan);

}  // namespace sw::cli
