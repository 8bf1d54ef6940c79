// SPDX-License-Identifier: MIT
#include "engine/sampler/sampler.h"

#include <algorithm>
#include <fmt/core.h>
#include <limits>

#include "base/error.h"

namespace sw {
namespace {

/// What a step does, hence when it stands in the chain.
enum class Effect {
  Adjust,  ///< changes which token is best: always
  Cut,     ///< keeps what may be drawn: not where Mirostat does that, not where nothing is drawn
  Scale    ///< changes how the draw goes: not where nothing is drawn
};

struct KnownStep {
  Effect effect;
  StepPointer (*make)(const SamplerParams&, const SamplerContext&);
};

/// By SamplerKind.
constexpr KnownStep kKnownSteps[] = {
#define SW_SAMPLER(kind, name, effect) {Effect::effect, make_##name},
#include "engine/sampler/steps.inc"
#undef SW_SAMPLER
};

bool is_greedy(const SamplerParams& p) { return p.temperature == 0 && p.dynatemp_range == 0; }

std::vector<StepPointer> make_steps(const SamplerParams& p, const SamplerContext& context) {
  const bool greedy = is_greedy(p);
  std::vector<StepPointer> steps;
  const auto add = [&](StepPointer step) {
    if (step) steps.push_back(std::move(step));
  };
  for (const StepMaker& make : p.extra_steps) add(make(context));
  for (const SamplerKind kind : p.order) {
    const KnownStep& step = kKnownSteps[static_cast<size_t>(kind)];
    if (step.effect != Effect::Adjust && greedy) continue;
    if (step.effect == Effect::Cut && p.mirostat != 0) continue;
    add(step.make(p, context));
  }
  if (!greedy) add(make_mirostat(p, context));
  return steps;
}

void check_biases(const SamplerParams& p, size_t n_vocab) {
  for (const LogitBias& b : p.logit_bias) {
    if (b.id >= 0 && static_cast<size_t>(b.id) < n_vocab) continue;
    throw Error({.what = "a biased token is not in the model's vocabulary",
                 .where = "--logit-bias",
                 .expected = fmt::format("an id below {}", n_vocab),
                 .got = std::to_string(b.id)});
  }
}

}  // namespace

Sampler::Sampler(const SamplerParams& p, const SamplerContext& context)
    : greedy_(is_greedy(p)),
      rng_(p.seed),
      n_vocab_(context.n_vocab),
      end_ids_(context.end_ids.begin(), context.end_ids.end()),
      unbanned_(n_vocab_),
      allowed_(n_vocab_) {
  check_sampler_params(p);
  check_biases(p, n_vocab_);
  for (const LogitBias& b : p.logit_bias) {
    if (b.bias == -std::numeric_limits<float>::infinity()) {
      unbanned_.forbid(b.id);
      has_bans_ = true;
    } else {
      logit_bias_.push_back(b);
    }
  }
  std::erase_if(end_ids_, [&](int32_t id) { return id < 0 || static_cast<size_t>(id) >= n_vocab_; });
  steps_ = make_steps(p, context);
  reads_text_ = std::any_of(steps_.begin(), steps_.end(), [](const auto& s) { return s->reads_text(); });
  if (reads_text_) tokens_.reserve(context.n_ctx);
  candidates_.reserve(n_vocab_);
}

int32_t Sampler::sample(std::span<const float> logits) {
  weigh(logits);
  return draw();
}

const Candidates& Sampler::weigh(std::span<const float> logits) {
  SW_ASSERT(logits.size() == n_vocab_);
  candidates_.assign(logits, allowed());
  candidates_.add_bias(logit_bias_);
  if (candidates_.empty())
    throw Error({.what = "no token may come next: all are forbidden",
                 .hint = "by logit biases, by another sampler, or by the model"});
  for (const StepPointer& step : steps_) step->apply(candidates_, tokens_);
  if (greedy_) candidates_.keep(1);
  candidates_.softmax();
  return candidates_;
}

/// What biases, steps and the rule about ends let through; null: every token. Cost: n_vocab / 8 bytes per
/// mask.
const TokenMask* Sampler::allowed() {
  allowed_ = unbanned_;
  bool forbids = has_bans_;
  for (const StepPointer& step : steps_) {
    const TokenMask* mask = step->allowed();
    if (!mask) continue;
    allowed_.intersect(*mask);
    forbids = true;
  }
  const bool may_end = std::all_of(steps_.begin(), steps_.end(), [](const auto& s) { return s->may_end(); });
  for (const int32_t id : end_ids_) {
    if (may_end && unbanned_.allows(id)) {
      allowed_.allow(id);
    } else {
      allowed_.forbid(id);
      forbids = true;
    }
  }
  return forbids ? &allowed_ : nullptr;
}

int32_t Sampler::draw() {
  const Candidate& chosen = choose();
  take(chosen);
  return chosen.id;
}

void Sampler::take(const Candidate& chosen) {
  accept(chosen.id, Origin::Generated);
  for (const StepPointer& step : steps_) step->drawn(chosen);
}

void Sampler::accept(int32_t token, Origin origin) {
  SW_ASSERT(token >= 0 && static_cast<size_t>(token) < n_vocab_);
  if (reads_text_) tokens_.push_back(token);
  for (const StepPointer& step : steps_) step->accept(token, origin);
}

void Sampler::rollback(size_t n) {
  if (reads_text_) tokens_.resize(tokens_.size() - n);
  for (const StepPointer& step : steps_) step->rollback(n);
}

const Candidate& Sampler::choose() {
  if (greedy_) return candidates_.items().front();
  const double draw = rng_.uniform();
  double sum = 0;
  const Candidate* chosen = &candidates_.items().front();
  for (const Candidate& c : candidates_.items()) {
    if (c.p == 0) break;  // the sum may end just below 1 and the draw above it
    chosen = &c;
    sum += c.p;
    if (draw < sum) break;
  }
  return *chosen;
}

std::string describe_sampler(const SamplerParams& params) {
  check_sampler_params(params);
  std::string text;
  if (!params.logit_bias.empty()) text += fmt::format("logit_bias ({} tokens); ", params.logit_bias.size());
  for (const StepPointer& step : make_steps(params, {})) text += step->describe() + "; ";
  return text + (is_greedy(params) ? std::string("greedy") : fmt::format("seed {}", params.seed));
}

}  // namespace sw
