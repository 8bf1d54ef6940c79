// SPDX-License-Identifier: MIT
#pragma once
#include <CLI/CLI.hpp>
#include <optional>
#include <string>

#include "slots/text_files.h"

namespace sw::cli {

struct PromptCacheFlags {
  std::string file = {};
  bool all = false, read_only = false;
};
void add_prompt_cache_flags(CLI::App& command, PromptCacheFlags& flags, const std::string& group);

/// --prompt-cache: a file with what the cache had of an earlier run's text.
class PromptCache {
 public:
  /// Reads the file, where there is one. Throws sw::Error where it does not fit, or cannot be written.
  PromptCache(const PromptCacheFlags& flags, Engine& engine, const Model& model);

  /// Once the prompt is in the cache: says how much of it came from the file, and saves the run's first
  /// prompt.
  void after_prompt(const RoutedText& prompt, int64_t n_computed);
  /// The text as it is now; saved in finish() where that was asked for.
  void set_text(RoutedText text) { text_ = std::move(text); }
  void finish();

 private:
  void save(const RoutedText& text);

  PromptCacheFlags flags_;
  int64_t page_tokens_;
  std::optional<TextFiles> files_;
  int64_t n_restored_ = 0;
  bool seen_prompt_ = false;
  RoutedText text_;
};

}  // namespace sw::cli
