// SPDX-License-Identifier: MIT
#pragma once
#include <CLI/CLI.hpp>
#include <optional>
#include <string>
#include <vector>

#include "engine/sampler/settings.h"
#include "formats/gguf.h"
#include "tokenizer/tokenizer.h"

/// The flags that say how the next token is chosen.
namespace sw::cli {

struct SamplerFlags {
  SamplerParams values = {};  ///< what the numeric flags said, defaults elsewhere
  int64_t seed = -1;          ///< -1: a random one
  std::string order = {};
  std::vector<std::string> logit_bias = {};
  std::vector<std::string> dry_breakers = {"\n", ":", "\"", "*"};
  const CLI::App* command = nullptr;  ///< knows which flags were given

  /// Flags win over the file's general.sampling.* keys, which win over the defaults. Throws sw::Error on
  /// nonsense, naming the flag or the key.
  SamplerParams params(const GgufFile& file, const Tokenizer& tokenizer) const;
  /// Where DRY begins anew. params() has them where DRY is on.
  DryBreakers breakers(const Tokenizer& tokenizer) const;
};

void add_sampler_flags(CLI::App& command, SamplerFlags& flags);

}  // namespace sw::cli
