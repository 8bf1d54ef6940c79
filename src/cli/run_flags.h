// SPDX-License-Identifier: MIT
#pragma once
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "cli/model_flags.h"
#include "cli/profile_flag.h"
#include "cli/prompt_cache.h"
#include "cli/sampler_flags.h"
#include "runtime/generate.h"

namespace sw::cli {

struct RunFlags {
  ModelFlags model = {};
  SamplerFlags sampler = {};
  std::optional<std::string> prompt = {};
  std::string prompt_file = {}, system = {}, resume = {}, template_kwargs = "{}", template_name = {};
  std::vector<std::string> stops = {};
  int64_t n_predict = -1;
  int64_t n_ctx = 0;
  DraftParams draft = {.n_expert = 0};
  bool escapes = false, chat = false, routing = false, special = false, hide_prompt = false,
       ignore_eos = false;
  ProfileFlag profile = {};
  PromptCacheFlags prompt_cache = {};
};

/// What a run works with, once loaded.
struct RunState {
  const RunFlags& flags;
  const Model& model;
  const Tokenizer& tokenizer;
  Engine& engine;
  SamplerParams sampler;
  RoutingPolicy policy;
  std::optional<DraftParams> draft;
  PromptCache& prompt_cache;
  Speeds speeds = {};
  std::unique_ptr<PhaseProfiles> profiles = {};  ///< where they are wanted
};

/// A conversation with a person (or with the lines of a pipe) until the input ends.
int run_chat(RunState& state);

/// One answer to one message, through the chat template.
int run_chat_once(RunState& state, const std::string& message);

/// For GenerateOptions::after_prompt. Copies the prompt.
std::function<void(int64_t n_computed)> tell_prompt_cache(RunState& state,
                                                          const std::vector<int32_t>& prompt);
/// What the prompt cache is to have at the end.
void keep_text(RunState& state, const Generated& result);

/// Layers x experts as text for stdout, as wide as the terminal, colored where it can be.
std::string draw_heat_map(const RoutingStats& stats);

}  // namespace sw::cli
