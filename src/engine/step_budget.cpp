// SPDX-License-Identifier: MIT
#include "engine/step_budget.h"

#include <algorithm>

#include "base/error.h"

namespace sw {
namespace {

/// Beyond so many tokens, steps are taken to cost alike.
constexpr int64_t kMostDecodeTokens = 512;
/// Then a step without prompts is made again: texts grow, other programs come and go.
constexpr int kMixedSteps = 32;
/// Prompts keep this part of their speed while nobody decodes, if it costs no more than so many times what
/// the slowdown grants: small pieces of a prompt are slow.
constexpr double kLeastSpeed = 1.0 / 8, kMostCost = 4;
/// Where several prompts wait, those behind the first share the time with the sequences that decode, and
/// weigh so many times as much: large pieces are cheap, and whoever has begun to decode makes each step serve
/// more. With 8 users 4 and 8 gave most answers a second, of 1, 2, 4, 8 and 16.
constexpr double kPromptWeight = 4;
/// But prompts get at most so many times the time of what is decoded.
constexpr double kMostPrompt = 8;

/// How much the newest step counts, and how far off an average one may count at most.
constexpr double kNewest = 0.25, kMostChange = 2;
constexpr double kFading = 0.9;

/// The average with one more; 0: there is none yet.
double averaged(double average, double next) {
  if (average == 0) return next;
  return average + kNewest * (std::clamp(next, average / kMostChange, average * kMostChange) - average);
}

}  // namespace

StepBudget::StepBudget(double slowdown, int64_t n_ubatch)
    : slowdown_(slowdown),
      n_ubatch_(n_ubatch),
      decode_(static_cast<size_t>(std::min(n_ubatch, kMostDecodeTokens)) + 1) {
  SW_ASSERT(slowdown == 0 || slowdown > 1);
}

size_t StepBudget::place(int64_t n_decode_token) const {
  return std::min(static_cast<size_t>(n_decode_token), decode_.size() - 1);
}

int64_t StepBudget::prompt_tokens(const Load& load) const {
  if (slowdown_ == 0 || load.n_decoding == 0) return n_ubatch_;
  const Decode& decode = decode_[place(load.n_decode_token)];
  if (decode.seconds == 0 || decode.n_mixed >= kMixedSteps) return 0;
  const double granted_s = (slowdown_ - 1) * decode.seconds;
  const double share_s = std::min(kMostPrompt, kPromptWeight * static_cast<double>(load.n_prefilling - 1) /
                                                   static_cast<double>(load.n_decoding)) *
                         decode.seconds;
  // No step takes much longer than those before it: prompts come to their share step by step.
  const double added_s = std::max(granted_s, std::min(share_s, slowdown_ * usual_s_ - decode.seconds));
  double n = added_s / prompt_token_s_;
  if (alone_seconds_ > 0)
    n = std::clamp(kLeastSpeed * mixed_s_ * alone_tokens_ / alone_seconds_, n, kMostCost * n + 1);
  return static_cast<int64_t>(std::clamp(n, 1.0, static_cast<double>(n_ubatch_)));
}

void StepBudget::note(int64_t n_decode_token, int64_t n_prompt_token, double seconds) {
  if (n_decode_token == 0) {
    alone_tokens_ = kFading * alone_tokens_ + static_cast<double>(n_prompt_token);
    alone_seconds_ = kFading * alone_seconds_ + seconds;
    return;
  }
  usual_s_ = averaged(usual_s_, seconds);
  Decode& decode = decode_[place(n_decode_token)];
  if (n_prompt_token == 0) {
    decode = {.seconds = averaged(decode.seconds, seconds)};
    if (prompt_token_s_ == 0) prompt_token_s_ = seconds / static_cast<double>(n_decode_token);
  } else if (decode.seconds > 0) {
    ++decode.n_mixed;
    mixed_s_ = averaged(mixed_s_, seconds);
    // A step that was quicker than one without prompts says that they cost next to nothing.
    const double added_s = std::max(seconds - decode.seconds, 0.01 * decode.seconds);
    prompt_token_s_ = averaged(prompt_token_s_, added_s / static_cast<double>(n_prompt_token));
  }
}

}  // namespace sw
