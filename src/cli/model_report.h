// SPDX-License-Identifier: MIT
#pragma once
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "formats/gguf.h"
#include "kv/cache_plan.h"
#include "model/model.h"

namespace sw::cli {

/// Header, every metadata value (those in `overridden` marked) and tensors by type. Any GGUF file.
std::string describe_file(const GgufFile& file, const std::vector<std::string>& overridden);

/// A line for each tensor: name, shape, weight format, bytes. Any GGUF file.
std::string describe_tensors(const GgufFile& file);

/// The same as JSON: version, metadata after overrides, tensors. Numbers that JSON does not have are null.
std::string file_json(const GgufFile& file);

/// Parameters, active parameters, and a memory plan for `n_ctx` tokens (0: the training context) in a cache
/// of these types; one line that says why where the architecture is not known, the file is not a whole model
/// or the cache cannot have these types.
std::string describe_model(const std::filesystem::path& path, const std::vector<KeyOverride>& overrides,
                           int64_t n_ctx, CacheType cache_type);

/// "q8_0 keys 340.00 MiB, q4_0 values 180.00 MiB": what the cache is made of.
std::string describe_cache(const CachePlan& plan);

/// "model: Fable Ling, 36.5 M parameters (8.0 M active), Q4_K_M, path/of.gguf"
std::string describe_name(const Model& model);

/// A warning where so many tokens are more than the model was trained for.
void warn_of_long_context(const Model& model, int64_t n_token);

/// "Fable Ling, Q4_K_M": its name and format, without its place.
std::string describe_title(const Model& model);

/// "routing: the model's own, 4 of 32 experts per token, grouped (4 of 8 groups)"
std::string describe_routing(const Model& model, const RoutingPolicy& policy);

}  // namespace sw::cli
