// SPDX-License-Identifier: MIT
#include "engine/sampler/dry_breakers.h"

#include <algorithm>

#include "base/error.h"

namespace sw {

DryBreakers find_dry_breakers(const Tokenizer& tokenizer, std::span<const std::string> texts) {
  DryBreakers found;
  for (const std::string_view text : texts) {
    if (text.empty())
      throw Error({.what = "an empty text breaks nothing", .where = "--dry-sequence-breaker"});
    std::vector<std::vector<int32_t>> rests;  // by how many bytes of the text come before
    for (size_t n = 0; n < text.size(); ++n) {
      rests.push_back(n == 0 ? std::vector<int32_t>{}
                             : tokenizer.encode(text.substr(n), {.parse_special = false}));
    }
    for (int32_t id = 0; id < tokenizer.n_vocab(); ++id) {
      const std::string_view piece = tokenizer.piece(id);
      if (piece.find(text) != piece.npos) {
        found.tokens.push_back(id);
        continue;
      }
      for (size_t n = 1; n < text.size(); ++n) {
        if (!piece.ends_with(text.substr(0, n))) continue;
        std::vector<int32_t>& sequence = found.sequences.emplace_back(1, id);
        sequence.insert(sequence.end(), rests[n].begin(), rests[n].end());
      }
    }
  }
  std::sort(found.tokens.begin(), found.tokens.end());
  found.tokens.erase(std::unique(found.tokens.begin(), found.tokens.end()), found.tokens.end());
  return found;
}

}  // namespace sw
