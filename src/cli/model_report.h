// SPDX-License-Identifier: MIT
#pragma once
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "formats/gguf.h"
#include "model/model.h"

namespace sw::cli {

/// Header, every metadata value (those in `overridden` marked) and tensors by type. Any GGUF file.
std::string describe_file(const GgufFile& file, const std::vector<std::string>& overridden);

/// Parameters, active parameters, and a memory plan for `n_ctx` tokens (0: the training context); one line
/// that says why where the architecture is not known or the file is not a whole model.
std::string describe_model(const std::filesystem::path& path, const std::vector<KeyOverride>& overrides,
                           int64_t n_ctx);

/// "model: Fable Ling, 36.5 M parameters (8.0 M active), Q4_K_M, path/of.gguf"
std::string describe_name(const Model& model);

/// "routing: the model's own, 4 of 32 experts per token, grouped (4 of 8 groups)"
std::string describe_routing(const Model& model, const RoutingPolicy& policy);

}  // namespace sw::cli
