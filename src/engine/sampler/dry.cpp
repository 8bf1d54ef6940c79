// SPDX-License-Identifier: MIT
#include <fmt/core.h>

#include "base/math.h"
#include "engine/sampler/step.h"

namespace sw {
namespace {

/// "Don't repeat yourself": where the end of the text was there before, with n tokens alike, the token that
/// followed loses multiplier * base^(n - allowed). Breakers end what counts as alike and are never
/// penalised themselves. Cost: linear in the tokens looked at.
class Dry : public SamplerStep {
 public:
  Dry(const SamplerParams& p, const SamplerContext& context)
      : multiplier_(p.dry_multiplier),
        base_(p.dry_base),
        allowed_(p.dry_allowed_length),
        last_n_(p.dry_last_n),
        breaks_(context.n_vocab),
        sequences_(p.dry_breakers.sequences),
        longest_(context.n_vocab) {
    for (const int32_t id : p.dry_breakers.tokens) {
      if (static_cast<size_t>(id) < context.n_vocab) breaks_[static_cast<size_t>(id)] = true;
    }
    std::erase_if(sequences_, [](const auto& s) { return s.empty(); });
    std::sort(sequences_.begin(), sequences_.end(), EndsBefore());
    alike_.reserve(context.n_ctx);
  }

  void apply(Candidates& c, std::span<const int32_t> tokens) override {
    const std::span<const int32_t> text = last_tokens(tokens, last_n_);
    const int32_t most = unbroken(text);
    if (most < allowed_) return;
    find_alike(text);
    // alike_[i] tokens end where the text without its last i tokens ends; the next one is i from the end.
    for (size_t i = 1; i < text.size(); ++i) {
      const int32_t n = std::min(alike_[i], most);
      int32_t& longest = longest_[static_cast<size_t>(text[text.size() - i])];
      if (n >= allowed_) longest = std::max(longest, n);
    }
    for (Candidate& item : c.items()) {
      const auto id = static_cast<size_t>(item.id);
      if (longest_[id] == 0 || breaks_[id]) continue;
      const float penalty = multiplier_ * pow_exact(base_, static_cast<float>(longest_[id] - allowed_));
      item.logit = finite(item.logit - penalty);
    }
    for (const int32_t id : text) longest_[static_cast<size_t>(id)] = 0;
  }
  bool reads_text() const override { return true; }
  std::string describe() const override {
    return fmt::format("dry (multiplier {}, base {}, allowed {}, last {})", multiplier_, base_, allowed_,
                       last_n_);
  }

 private:
  /// By the last token.
  struct EndsBefore {
    bool operator()(const std::vector<int32_t>& a, const std::vector<int32_t>& b) const {
      return a.back() < b.back();
    }
    bool operator()(const std::vector<int32_t>& a, int32_t id) const { return a.back() < id; }
    bool operator()(int32_t id, const std::vector<int32_t>& b) const { return id < b.back(); }
  };

  bool ends_with_breaker(std::span<const int32_t> text) const {
    if (breaks_[static_cast<size_t>(text.back())]) return true;
    const auto [begin, end] =
        std::equal_range(sequences_.begin(), sequences_.end(), text.back(), EndsBefore());
    return std::any_of(begin, end, [&](const std::vector<int32_t>& s) {
      return s.size() <= text.size() && std::equal(s.rbegin(), s.rend(), text.rbegin());
    });
  }

  /// Tokens after the last breaker.
  int32_t unbroken(std::span<const int32_t> text) const {
    size_t n = 0;
    while (n < text.size() && !ends_with_breaker(text.first(text.size() - n))) ++n;
    return static_cast<int32_t>(n);
  }

  /// alike_[i]: how many tokens at the end of the text without its last i equal those at its very end. The
  /// Z algorithm on the reversed text: what lies within an earlier match is not compared again.
  void find_alike(std::span<const int32_t> text) {
    const size_t n = text.size();
    const auto reversed = [&](size_t i) { return text[n - 1 - i]; };
    alike_.assign(n, 0);
    size_t begin = 0, end = 0;  // the match that reaches furthest
    for (size_t i = 1; i < n; ++i) {
      size_t length = i < end ? std::min(end - i, static_cast<size_t>(alike_[i - begin])) : 0;
      while (i + length < n && reversed(length) == reversed(i + length)) ++length;
      alike_[i] = static_cast<int32_t>(length);
      if (i + length > end) {
        begin = i;
        end = i + length;
      }
    }
  }

  float multiplier_, base_;
  int allowed_, last_n_;
  std::vector<bool> breaks_;                     // by id: a breaker of one token
  std::vector<std::vector<int32_t>> sequences_;  // of several, by their last token
  std::vector<int32_t> alike_;
  std::vector<int32_t> longest_;  // by id: tokens alike before it; all 0 between calls
};

}  // namespace

StepPointer make_dry(const SamplerParams& p, const SamplerContext& context) {
  if (p.dry_multiplier == 0 || p.dry_last_n == 0) return nullptr;
  return std::make_unique<Dry>(p, context);
}

}  // namespace sw
