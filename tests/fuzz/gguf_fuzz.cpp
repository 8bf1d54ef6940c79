// SPDX-License-Identifier: MIT
// A GGUF file: read as an importance matrix, parsed, read as a tokenizer, looked at by the quantiser, loaded
// as a model, and where it is accepted, one token.
#include <optional>

#include "base/log.h"
#include "convert/quantize.h"
#include "formats/importance.h"
#include "fuzz/memory_file.h"
#include "fuzz/mutate_gguf.h"
#include "fuzz/outcome.h"
#include "fuzz/run_model.h"
#include "tokenizer/tokenizer.h"

namespace sw::fuzz {
namespace {

void use_tokenizer(const GgufFile& file) {
  const Tokenizer tokenizer = Tokenizer::from_gguf(file);
  const std::vector<int32_t> ids =
      tokenizer.encode("Once upon \xe2\x96\x81 a\ttime\n\n7 <|role_end|>", {.add_special = true});
  for (const int32_t id : ids) SW_ASSERT(id >= 0 && id < tokenizer.n_vocab());
  static_cast<void>(tokenizer.decode(ids));
}

}  // namespace

int fuzz_one(Bytes input) {
  static const MemoryFile memory;
  log::set_level(log::Level::Error);
  memory.write(input);
  const std::filesystem::path path = memory.path();
  outcome(path.string(), [&] { ImportanceMatrix::read(path); });
  // What is wrong with the bytes stands somewhere in the file, and the line says where.
  std::optional<GgufFile> file;
  if (outcome(path.string() + ", offset ", [&] { file.emplace(path); }) == 0) return 0;
  outcome(path.string(), [&] { use_tokenizer(*file); });
  outcome(path.string(),
          [&] { quantize(path, "none", "Q8_0", {.allow_requantize = true, .dry_run = true}); });
  return outcome(path.string(), [&] { run_one_token(Model(path)); });
}

std::string mutate(const std::string& input, Rng& rng) { return mutate_gguf(input, rng); }

}  // namespace sw::fuzz
