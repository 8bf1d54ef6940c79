// SPDX-License-Identifier: MIT
#pragma once
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "formats/gguf.h"

namespace sw {

/// What a checkpoint's generation_config.json recommends.
struct Recommended {
  std::vector<std::pair<std::string, GgufValue>> keys = {};  ///< general.sampling.*
  /// Settings that change texts and that a GGUF file has no key for, a line each.
  std::vector<std::string> left_out = {};
};

/// Nothing where the file is absent. End tokens are the tokenizer's matter. Throws sw::Error where the file
/// is no JSON object, or a setting is no number or none that the key's type holds.
Recommended read_recommended(const std::filesystem::path& generation_config);

}  // namespace sw
