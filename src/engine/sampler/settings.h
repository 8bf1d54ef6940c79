// SPDX-License-Identifier: MIT
#pragma once
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string_view>
#include <variant>
#include <vector>

#include "engine/sampler/candidates.h"

namespace sw {

/// A step of the chain whose place the user may choose.
enum class SamplerKind : uint8_t {
#define SW_SAMPLER(kind, name, effect) kind,
#include "engine/sampler/steps.inc"
#undef SW_SAMPLER
};

/// "penalties;dry;...;temperature": all steps as in steps.inc.
std::vector<SamplerKind> default_sampler_order();
/// Names as in steps.inc and llama.cpp's other spellings ("top-k", "typical", "temp"), separated by ";".
/// Empty: no step. Throws sw::Error on an unknown name and on one named twice.
std::vector<SamplerKind> parse_sampler_order(std::string_view text);

class SamplerStep;
struct SamplerContext;

/// Makes a step of the caller's own: see SamplerStep. Called once per sequence, and with an empty context
/// where the chain is only printed. May throw sw::Error.
using StepMaker = std::function<std::unique_ptr<SamplerStep>(const SamplerContext&)>;

/// Where DRY takes a text for started anew: after any of `tokens`, and after any of `sequences`.
struct DryBreakers {
  std::vector<int32_t> tokens = {};
  std::vector<std::vector<int32_t>> sequences = {};
};

/// How the next token is chosen. docs/sampling.md explains every step.
struct SamplerParams {
  float temperature = 0.8f;  ///< 0: the best token, nothing is drawn
  float dynatemp_range = 0;  ///< 0: off
  float dynatemp_exponent = 1;
  int top_k = 40;             ///< 0 or -1: off
  float top_p = 0.95f;        ///< 1: off
  float min_p = 0.05f;        ///< 0: off
  float typical_p = 1;        ///< 1: off
  float top_n_sigma = -1;     ///< 0 or less: off
  float xtc_probability = 0;  ///< 0: off
  float xtc_threshold = 0.1f;
  int penalty_last_n = 64;   ///< tokens that the three penalties look at; 0: off, -1: all
  float repeat_penalty = 1;  ///< 1: off
  float presence_penalty = 0;
  float frequency_penalty = 0;
  float dry_multiplier = 0;  ///< 0: off
  float dry_base = 1.75f;
  int dry_allowed_length = 2;
  int dry_last_n = -1;  ///< tokens that DRY looks at; 0: off, -1: all
  DryBreakers dry_breakers = {};
  int mirostat = 0;  ///< 0: off, else the version
  float mirostat_tau = 5;
  float mirostat_eta = 0.1f;
  std::vector<LogitBias> logit_bias = {};
  std::vector<SamplerKind> order = default_sampler_order();
  std::vector<StepMaker> extra_steps = {};  ///< in front of all others; they act at temperature 0 too
  uint64_t seed = 0;
};

/// One number of SamplerParams.
struct SamplerSetting {
  std::variant<float SamplerParams::*, int SamplerParams::*> field;
  const char* flag;
  double low, high;  ///< the range, both ends within
  const char* key;   ///< in a model's file, after "general.sampling."; null: none
  const char* help;
};
std::span<const SamplerSetting> sampler_settings();

/// Throws sw::Error that names the flag whose value is out of range.
void check_sampler_params(const SamplerParams& params);

}  // namespace sw
