// SPDX-License-Identifier: MIT
#include "engine/sampler/sampler.h"

#include <fmt/core.h>

#include "base/error.h"

namespace sw {
namespace {

/// What a step does, hence when it stands in the chain.
enum class Role {
  Adjust,  ///< changes which token is best: always
  Cut,     ///< keeps what may be drawn: not where Mirostat does that, not where nothing is drawn
  Scale    ///< changes how the draw goes: not where nothing is drawn
};

struct StepMaker {
  Role role;
  StepPointer (*make)(const SamplerParams&, const SamplerSizes&);
};

/// By SamplerKind.
constexpr StepMaker kMakers[] = {
#define SW_SAMPLER(kind, name, role) {Role::role, make_##name},
#include "engine/sampler/steps.inc"
#undef SW_SAMPLER
};

bool is_greedy(const SamplerParams& p) { return p.temperature == 0 && p.dynatemp_range == 0; }

std::vector<StepPointer> make_steps(const SamplerParams& p, const SamplerSizes& sizes) {
  const bool greedy = is_greedy(p);
  std::vector<StepPointer> steps;
  const auto add = [&](StepPointer step) {
    if (step) steps.push_back(std::move(step));
  };
  for (const SamplerKind kind : p.order) {
    const StepMaker& maker = kMakers[static_cast<size_t>(kind)];
    if (maker.role != Role::Adjust && greedy) continue;
    if (maker.role == Role::Cut && p.mirostat != 0) continue;
    add(maker.make(p, sizes));
  }
  if (!greedy) add(make_mirostat(p, sizes));
  return steps;
}

bool looks_back(const SamplerParams& p) { return make_penalties(p, {}) || make_dry(p, {}); }

}  // namespace

Sampler::Sampler(const SamplerParams& p, int64_t n_vocab, int64_t n_ctx)
    : logit_bias_(p.logit_bias),
      greedy_(is_greedy(p)),
      rng_(p.seed),
      n_vocab_(static_cast<size_t>(n_vocab)),
      looks_back_(looks_back(p)) {
  check_sampler_params(p);
  for (const LogitBias& b : logit_bias_) {
    if (b.id < 0 || b.id >= n_vocab) {
      throw Error({.what = "a biased token is not in the model's vocabulary",
                   .where = "--logit-bias",
                   .expected = fmt::format("an id below {}", n_vocab),
                   .got = std::to_string(b.id)});
    }
  }
  const SamplerSizes sizes{.n_vocab = n_vocab_, .n_ctx = static_cast<size_t>(n_ctx) + 1};
  steps_ = make_steps(p, sizes);
  if (looks_back_) tokens_.reserve(sizes.n_ctx);
  candidates_.reserve(sizes.n_vocab);
}

int32_t Sampler::sample(std::span<const float> logits) {
  weigh(logits);
  return draw();
}

const Candidates& Sampler::weigh(std::span<const float> logits) {
  SW_ASSERT(logits.size() == n_vocab_);
  candidates_.assign(logits);
  candidates_.add_bias(logit_bias_);
  if (candidates_.empty())
    throw Error({.what = "no token may come next: all are forbidden", .hint = "a logit bias or the model"});
  for (const StepPointer& step : steps_) step->apply(candidates_, tokens_);
  if (greedy_) candidates_.keep(1);
  candidates_.softmax();
  return candidates_;
}

int32_t Sampler::draw() {
  const Candidate& chosen = choose();
  for (const StepPointer& step : steps_) step->drawn(chosen);
  accept(chosen.id);
  return chosen.id;
}

void Sampler::accept(int32_t token) {
  SW_ASSERT(token >= 0 && static_cast<size_t>(token) < n_vocab_);
  if (looks_back_) tokens_.push_back(token);
}

void Sampler::take_back(size_t n) {
  if (looks_back_) tokens_.resize(tokens_.size() - n);
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
