// SPDX-License-Identifier: MIT
#include "cli/prompt_cache.h"

#include <filesystem>
#include <fmt/core.h>
#include <utility>

#include "base/log.h"
#include "base/memory.h"

namespace sw::cli {

void add_prompt_cache_flags(CLI::App& command, PromptCacheFlags& flags, const std::string& group) {
  CLI::Option* file =
      command
          .add_option(
              "--prompt-cache", flags.file,
              "take the beginning of the prompt from FILE, which an earlier run wrote, and write it there")
          ->option_text("FILE")
          ->group(group);
  CLI::Option* all =
      command.add_flag("--prompt-cache-all", flags.all, "write what was generated too, when the run ends")
          ->needs(file)
          ->group(group);
  command.add_flag("--prompt-cache-ro", flags.read_only, "read the file and leave it as it is")
      ->needs(file)
      ->excludes(all)
      ->group(group);
}

PromptCache::PromptCache(const PromptCacheFlags& flags, Engine& engine, const Model& model)
    : flags_(flags), page_tokens_(engine.cache().plan().page_tokens) {
  if (flags_.file.empty()) return;
  files_.emplace(engine, model);
  if (!flags_.read_only) check_writable(flags_.file);
  std::error_code unknown;  // restore() says what hinders it
  if (std::filesystem::status(flags_.file, unknown).type() != std::filesystem::file_type::not_found) {
    n_restored_ = files_->restore(flags_.file).n_token;
  } else if (flags_.read_only) {
    log::warn("prompt cache: there is no {}", flags_.file);
  }
}

void PromptCache::after_prompt(const RoutedText& prompt, int64_t n_computed) {
  if (!files_ || std::exchange(seen_prompt_, true)) return;
  const int64_t n_prompt = std::ssize(prompt.tokens), n_cached = n_prompt - n_computed;
  if (n_cached > 0) {
    log::info("prompt cache: {} of the prompt's {} tokens came from {}", n_cached, n_prompt, flags_.file);
  } else if (n_restored_ > 0 && n_prompt > page_tokens_) {
    log::info("prompt cache: nothing came from {}: its text begins differently, or was routed differently",
              flags_.file);
  }
  const bool is_there = n_cached > 0 && n_cached == (n_prompt - 1) / page_tokens_ * page_tokens_;
  if (!flags_.read_only && !flags_.all && !is_there) save(prompt);
}

void PromptCache::finish() {
  if (files_ && flags_.all && !text_.tokens.empty()) save(text_);
}

/// A run does not fail because its text could not be kept.
void PromptCache::save(const RoutedText& text) {
  if (std::ssize(text.tokens) < page_tokens_) {
    return log::info("prompt cache: nothing was written: {} tokens are less than a page of {}",
                     text.tokens.size(), page_tokens_);
  }
  try {
    const TextFiles::Saved saved = files_->save(text, flags_.file);
    log::info("prompt cache: {} tokens written to {} ({:.1f} MiB)", saved.n_token, flags_.file,
              mib(saved.size_bytes));
  } catch (const Error& e) {
    log::warn("prompt cache: {}", e.what());
  }
}

}  // namespace sw::cli
