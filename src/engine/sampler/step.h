// SPDX-License-Identifier: MIT
#pragma once
#include <algorithm>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "engine/sampler/candidates.h"
#include "engine/sampler/history.h"
#include "engine/sampler/settings.h"
#include "engine/sampler/token_mask.h"

namespace sw {

/// Where a token of the text comes from.
enum class Origin : uint8_t {
  Prompt,
  Generated  ///< chosen from candidates, or drafted
};

/// The bytes of a token; empty for an id that stands for no text.
using TokenPieces = std::function<std::string_view(int32_t id)>;

/// What steps are made for, beside the settings.
struct SamplerContext {
  size_t n_vocab = 0;                     ///< length of the logits
  size_t n_ctx = 0;                       ///< tokens of the longest text
  std::span<const int32_t> end_ids = {};  ///< ids that end the text; valid while the steps are made
  TokenPieces pieces = {};                ///< empty where nobody knows the vocabulary
};

/// One step of the chain: forbids tokens, removes candidates, or changes their logits. For each token the
/// order of calls is allowed() and may_end(), apply(), then accept() and drawn(). A step may keep state that
/// follows the text. It then undoes with rollback() what accept() and drawn() did: drafts are accepted like
/// any text, taken back, and accepted again one by one as the full model chooses them. Calls after
/// construction allocate nothing.
class SamplerStep {
 public:
  virtual ~SamplerStep() = default;

  /// The tokens that may come next, [n_vocab], valid until the next call; null: all. What is forbidden never
  /// becomes a candidate of any step. End ids are not looked at: may_end() speaks for them.
  virtual const TokenMask* allowed() { return nullptr; }
  /// Whether the text may end here. Drafts may go on behind an end token, so this is asked there too.
  virtual bool may_end() const { return true; }
  /// `tokens`: the text so far, prompt included, where reads_text(). Finds at least one candidate and leaves
  /// at least one.
  virtual void apply(Candidates&, std::span<const int32_t> /*tokens*/) {}
  virtual bool reads_text() const { return false; }

  /// The text's next token: those of the prompt first, then what was chosen. End tokens come too.
  virtual void accept(int32_t /*token*/, Origin) {}
  /// After accept() of a chosen token: its candidate as it was after all steps, with its probability by the
  /// model whose logits were weighed.
  virtual void drawn(const Candidate&) {}
  /// Takes the last `n` tokens back, all of them generated and among the last kMaxRollback that were
  /// accepted.
  virtual void rollback(size_t /*n*/) {}

  /// Name and numbers, for the printed chain.
  virtual std::string describe() const = 0;
};

using StepPointer = std::unique_ptr<SamplerStep>;

// make_penalties(), make_dry(), ...: null where the settings switch the step off.
#define SW_SAMPLER(kind, name, effect) StepPointer make_##name(const SamplerParams&, const SamplerContext&);
#include "engine/sampler/steps.inc"
#undef SW_SAMPLER
StepPointer make_mirostat(const SamplerParams&, const SamplerContext&);

/// The last `n` of the tokens; -1: all.
inline std::span<const int32_t> last_tokens(std::span<const int32_t> tokens, int n) {
  return n < 0 ? tokens : tokens.last(std::min(tokens.size(), static_cast<size_t>(n)));
}

}  // namespace sw
