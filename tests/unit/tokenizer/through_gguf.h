// SPDX-License-Identifier: MIT
#pragma once
#include "formats/gguf.h"
#include "support/test_data.h"
#include "tokenizer/spec.h"

namespace sw::testing {

/// A tokenizer written to a GGUF file and read again, in a vocabulary with `n_more` ids that no token has.
inline TokenizerSpec through_gguf(const TokenizerSpec& spec, size_t n_more = 0) {
  const TempDir folder;
  const auto path = folder.path() / "vocab.gguf";
  GgufWriter writer(path);
  for (auto& [key, value] : gguf_keys(spec, spec.tokens.size() + n_more)) writer.set(key, std::move(value));
  writer.finish();
  return read_gguf_tokenizer(GgufFile(path));
}

}  // namespace sw::testing
