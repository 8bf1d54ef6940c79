// SPDX-License-Identifier: MIT
#pragma once
#include <numeric>
#include <optional>

#include "base/error.h"
#include "convert/convert_hf.h"
#include "fuzz/tiny_model.h"
#include "slots/text_files.h"
#include "support/test_data.h"

namespace sw::fuzz {

/// An engine of the tiny model, which keeps a text in its cache and can save another. The same in every
/// process.
class SavedTextRig {
 public:
  struct Ran {
    std::vector<int32_t> tokens = {};  ///< generated
    int64_t n_computed = 0;
    friend bool operator==(const Ran&, const Ran&) = default;
  };

  Engine& engine() { return *engine_; }
  TextFiles& files() { return *files_; }
  /// A greedy text of `n` tokens from `first` on, and some more.
  Ran run(int n, int32_t first) {
    Ran ran;
    SequenceRequest request{.prompt = prompt(n, first), .n_predict = 4};
    request.sampler.temperature = 0;
    engine_->submit(request);
    while (!engine_->idle()) {
      for (const StepEvent& event : engine_->step()) ran.tokens.push_back(event.token);
      ran.n_computed += engine_->n_computed();
    }
    return ran;
  }
  static std::vector<int32_t> prompt(int n, int32_t first) {
    std::vector<int32_t> ids(static_cast<size_t>(n));
    std::iota(ids.begin(), ids.end(), first);
    return ids;
  }
  /// A text with two whole pages, saved.
  void save(const std::filesystem::path& path) {
    const Ran ran = run(150, 3);
    RoutedText text{.tokens = prompt(150, 3), .n_prompt = 150};
    text.tokens.insert(text.tokens.end(), ran.tokens.begin(), ran.tokens.end());
    files_->save(text, path);
  }

  SavedTextRig() {
    write_tiny_checkpoint(temp_.path() / "hf", 32, 32);
    convert_hf(temp_.path() / "hf", temp_.path() / "tiny.gguf", {.out_type = Type::F32, .name = "tiny"});
    model_.emplace(temp_.path() / "tiny.gguf");
    engine_.emplace(*model_, EngineOptions{.forward = {.n_ubatch = 64, .invariant = true}, .n_ctx = 512});
    files_.emplace(*engine_, *model_);
  }

 private:
  testing::TempDir temp_;
  std::optional<Model> model_;
  std::optional<Engine> engine_;
  std::optional<TextFiles> files_;
};

}  // namespace sw::fuzz
