// SPDX-License-Identifier: MIT
// A tokenizer.json: read, a text there and back, and written as GGUF keys.
#include "fuzz/memory_file.h"
#include "fuzz/mutate_json.h"
#include "fuzz/outcome.h"
#include "tokenizer/tokenizer.h"

namespace sw::fuzz {

int fuzz_one(Bytes input) {
  static const MemoryFile memory;
  memory.write(input);
  return outcome(memory.path().string(), [&] {
    const TokenizerSpec spec = read_tokenizer_json(memory.path());
    const Tokenizer tokenizer(spec);
    const std::vector<int32_t> ids =
        tokenizer.encode("Once upon a time\n\n 7 <|role_end|> \xe2\x96\x81 \xff", {.add_special = true});
    for (const int32_t id : ids) SW_ASSERT(id >= 0 && id < tokenizer.n_vocab());
    static_cast<void>(tokenizer.decode(ids));
    SW_ASSERT(!gguf_keys(spec, spec.tokens.size()).empty());
  });
}

std::string mutate(const std::string& input, Rng& rng) { return mutate_json(input, rng); }

}  // namespace sw::fuzz
