// SPDX-License-Identifier: MIT
#pragma once
#include <span>
#include <string>

#include "engine/sampler/settings.h"
#include "tokenizer/tokenizer.h"

namespace sw {

/// The tokens whose text contains one of `texts`, and the sequences in which a token ends with its beginning
/// and the tokens of the rest follow. Cost: one pass over the vocabulary for each text. Throws sw::Error on
/// an empty text.
DryBreakers find_dry_breakers(const Tokenizer& tokenizer, std::span<const std::string> texts);

}  // namespace sw
