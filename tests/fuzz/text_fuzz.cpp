// SPDX-License-Identifier: MIT
// Text through tokenizers of every kind, there and back. The first byte chooses the tokenizer.
#include <vector>

#include "fuzz/edge_values.h"
#include "fuzz/mutate_json.h"
#include "fuzz/outcome.h"
#include "fuzz/target.h"
#include "fuzz/tiny_model.h"
#include "support/test_data.h"
#include "tokenizer/tokenizer.h"

namespace sw::fuzz {
namespace {

struct Subject {
  Tokenizer tokenizer;
  bool exact = false;  ///< every text comes back as it was
};

std::vector<Subject> make_subjects() {
  std::vector<Subject> subjects;
  for (const char* model : {"bailing_moe_v2", "qwen3_moe"}) {
    const auto file = testing::find_data(std::string("golden/") + model + "/tokenizer.json");
    SW_ASSERT(file);
    TokenizerSpec spec = read_tokenizer_json(*file);
    spec.nfc = false;  // the one thing that changes text
    subjects.push_back({Tokenizer(spec), true});
  }
  const testing::TempDir temp;
  for (const char* model : {"llama", "t5"}) {
    const std::filesystem::path file = temp.path() / model;
    write_sentence_piece(file, model);
    subjects.push_back({Tokenizer::from_gguf(GgufFile(file))});
  }
  return subjects;
}

}  // namespace

int fuzz_one(Bytes input) {
  static const std::vector<Subject> subjects = make_subjects();
  if (input.empty()) return 0;
  const Subject& subject = subjects[static_cast<size_t>(input[0]) % subjects.size()];
  const std::string text(reinterpret_cast<const char*>(input.data()) + 1, input.size() - 1);
  for (const bool parse_special : {true, false}) {
    const std::vector<int32_t> ids =
        subject.tokenizer.encode(text, {.parse_special = parse_special, .add_special = false});
    for (const int32_t id : ids) SW_ASSERT(id >= 0 && id < subject.tokenizer.n_vocab());
    const std::string back = subject.tokenizer.decode(ids);
    if (subject.exact && back != text) give_up("a text does not come back");
  }
  return 1;
}

std::string mutate(const std::string& input, Rng& rng) {
  if (input.empty()) return std::string(1, static_cast<char>(rng.below(4)));
  std::string text = input.substr(1);
  for (uint64_t n = 1 + rng.below(3); n-- > 0;) {
    if (rng.below(2) == 0) {
      text = mutate_bytes(text, rng);
    } else {
      text.insert(rng.below(text.size() + 1), edge_text(rng));
    }
  }
  return static_cast<char>(rng.below(4)) + text;
}

}  // namespace sw::fuzz
