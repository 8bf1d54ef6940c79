// SPDX-License-Identifier: MIT
#pragma once
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "kv/cache_type.h"
#include "model/model.h"
#include "router/policy.h"
#include "runtime/notes.h"

namespace sw {

struct OpenOptions {
  std::vector<std::string> overrides = {};  ///< KEY=TYPE:VALUE, as --override-kv takes them
  /// Policies that will be asked for: where the model cannot do one, that is said before the weights are
  /// read, which takes minutes for a large model.
  std::vector<RoutingPolicy> policies = {};
  CacheType cache_type = {};  ///< likewise, of the cache that it will run with
};

/// Opens a GGUF file (of several: the first part) and reads its weights in once. Throws sw::Error.
std::unique_ptr<const Model> open_model(const std::filesystem::path& path, const OpenOptions& options = {},
                                        const Notes& notes = {});

}  // namespace sw
