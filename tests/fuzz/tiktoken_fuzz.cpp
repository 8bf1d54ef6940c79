// SPDX-License-Identifier: MIT
// A tiktoken.model: read, a text there and back, and written as GGUF keys.
#include "fuzz/memory_file.h"
#include "fuzz/mutate_json.h"
#include "fuzz/outcome.h"
#include "tokenizer/read_tiktoken.h"
#include "tokenizer/tokenizer.h"

namespace sw::fuzz {

int fuzz_one(Bytes input) {
  static const MemoryFile memory;
  static const nlohmann::json config = {
      {"auto_map", {{"AutoTokenizer", "tokenization_kimi.TikTokenTokenizer"}}},
      {"added_tokens_decoder", {{"576", {{"content", "[BOS]"}, {"special", true}}}}}};
  memory.write(input);
  return outcome(memory.path().string(), [&] {
    const TokenizerSpec spec = read_tiktoken(memory.path(), JsonObject(config, memory.path().string()));
    const Tokenizer tokenizer(spec);
    const std::string text = "Once upon a time\n\n 7 [BOS] \xe2\x96\x81 \xff<|reserved_token_600|>";
    const std::vector<int32_t> ids = tokenizer.encode(text);
    for (const int32_t id : ids) SW_ASSERT(id >= 0 && id < tokenizer.n_vocab());
    SW_ASSERT(tokenizer.decode(ids) == text);
    SW_ASSERT(!gguf_keys(spec, spec.tokens.size()).empty());
  });
}

std::string mutate(const std::string& input, Rng& rng) { return mutate_bytes(input, rng); }

}  // namespace sw::fuzz
