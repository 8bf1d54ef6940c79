// SPDX-License-Identifier: MIT
// The file of a saved text, restored into an engine. Whatever stands in it, a text that the engine has in its
// cache goes on as before; where the file is refused, it is still in the cache.
#include <cstring>

#include "base/checksum.h"
#include "base/log.h"
#include "fuzz/edge_values.h"
#include "fuzz/memory_file.h"
#include "fuzz/mutate_json.h"
#include "fuzz/outcome.h"
#include "fuzz/saved_text.h"

namespace sw::fuzz {
namespace {

constexpr int kOwnTokens = 130, kOwnFirst = 90;
constexpr size_t kHeadBytes = 16, kTailBytes = 24;  // magic, version, reserved; sizes, checksum, end mark

uint64_t number_at(const std::string& text, size_t at) {
  uint64_t number = 0;
  std::memcpy(&number, text.data() + at, sizeof number);
  return number;
}

void set_number(std::string& text, size_t at, uint64_t number) {
  std::memcpy(text.data() + at, &number, sizeof number);
}

void mend_checksum(std::string& file) {
  Checksum sum;
  sum.add(std::as_bytes(std::span(file)).first(file.size() - 16));
  set_number(file, file.size() - 16, sum.value());
}

/// A part of the file as mutate_bytes() makes it.
void change_part(std::string& file, size_t first, size_t last, Rng& rng) {
  file.replace(first, last - first, mutate_bytes(file.substr(first, last - first), rng));
}

}  // namespace

int fuzz_one(Bytes input) {
  static SavedTextRig rig;
  static const MemoryFile memory;
  static const std::vector<int32_t> expected = rig.run(kOwnTokens, kOwnFirst).tokens;
  log::set_level(log::Level::Error);
  memory.write(input);
  rig.run(kOwnTokens, kOwnFirst);  // it is in the cache now
  const int accepted = outcome(memory.path().string(), [&] {
    const TextFiles::Restored restored = rig.files().restore(memory.path());
    rig.engine().cached(restored.text).forget();
  });
  const SavedTextRig::Ran own = rig.run(kOwnTokens, kOwnFirst);
  if (own.tokens != expected) give_up("the answer to another text has changed");
  if (accepted == 0 && own.n_computed > kOwnTokens - 128 + 3)
    give_up("a refused file took another text's place");
  return accepted;
}

std::string mutate(const std::string& input, Rng& rng) {
  if (input.size() < kHeadBytes + kTailBytes || rng.below(8) == 0) return mutate_bytes(input, rng);
  std::string file = input;
  const size_t end = file.size() - kTailBytes;
  const size_t json_bytes = std::min<size_t>(number_at(file, end), end - kHeadBytes),
               json_at = end - json_bytes;
  switch (rng.below(6)) {
    case 0:
      change_part(file, 0, kHeadBytes, rng);
      break;
    case 1:
      set_number(file, end, changed_number(json_bytes, rng));
      break;
    case 2:  // pages and tokens
      change_part(file, kHeadBytes, json_at, rng);
      break;
    default: {
      const std::string json = mutate_json(file.substr(json_at, json_bytes), rng);
      file.replace(json_at, json_bytes, json);
      set_number(file, file.size() - kTailBytes, json.size());
    }
  }
  mend_checksum(file);
  return file;
}

}  // namespace sw::fuzz
