// SPDX-License-Identifier: MIT
// A GGUF file: parsed, read as a tokenizer, loaded as a model, and where it is accepted, one token.
#include "base/log.h"
#include "fuzz/memory_file.h"
#include "fuzz/mutate_gguf.h"
#include "fuzz/outcome.h"
#include "fuzz/run_model.h"
#include "tokenizer/tokenizer.h"

namespace sw::fuzz {

int fuzz_one(Bytes input) {
  static const MemoryFile memory;
  log::set_level(log::Level::Error);
  memory.write(input);
  const std::string name = memory.path();
  const auto with_tokenizer = [&] {
    const Tokenizer tokenizer = Tokenizer::from_gguf(GgufFile(memory.path()));
    const std::vector<int32_t> ids =
        tokenizer.encode("Once upon \xe2\x96\x81 a\ttime\n\n7 <|role_end|>", {.add_special = true});
    for (const int32_t id : ids) SW_ASSERT(id >= 0 && id < tokenizer.n_vocab());
    static_cast<void>(tokenizer.decode(ids));
  };
  const auto with_model = [&] { run_one_token(Model(memory.path())); };
  outcome(name, with_tokenizer);
  return outcome(name, with_model);
}

std::string mutate(const std::string& input, Rng& rng) { return mutate_gguf(input, rng); }

}  // namespace sw::fuzz
