// SPDX-License-Identifier: MIT
#include <cmath>
#include <fmt/format.h>

#include "eval/routing_report.h"

namespace sw {
namespace {

constexpr double kJump = 0.05;  // a difference in perplexity that is worth a warning

/// Sums of one policy over the chunks.
struct Running {
  PerplexityTally tally = {};
  DivergenceTally divergence = {};
};

/// One chunk's predictions: those of the first policy, for the others to be compared with.
class Chunk {
 public:
  Chunk(int64_t n_vocab, int64_t n_prediction)
      : n_vocab_(static_cast<size_t>(n_vocab)),
        base_(n_vocab_ * static_cast<size_t>(n_prediction)),
        run_(n_vocab_) {}

  void begin() { at_ = 0; }
  void add(bool is_base, std::span<const float> logits, int32_t target, Running& to) {
    to.tally.add(negative_log_likelihood(logits, target));
    const std::span base = std::span(base_).subspan(at_++ * n_vocab_, n_vocab_);
    log_softmax(logits, is_base ? base : std::span(run_));
    to.divergence.add(base, is_base ? base : std::span<const float>(run_), target);
  }

 private:
  size_t n_vocab_, at_ = 0;
  std::vector<float> base_, run_;
};

}  // namespace

std::vector<PolicyRow> compare_policies(Forward& forward, const Model& model, std::span<const int32_t> tokens,
                                        const PerplexityOptions& options,
                                        std::span<const ResolvedPolicy> policies, const SweepOptions& speed,
                                        const std::function<void(int64_t, int64_t)>& on_chunk) {
  const int64_t n_chunk = count_chunks(std::ssize(tokens), options);
  std::vector<Running> running(policies.size());
  Chunk chunk(model.hparams().n_vocab, options.n_ctx - 1 - options.first_scored());
  PerplexityOptions one = options;
  one.n_chunk = 1;
  for (int64_t c = 0; c < n_chunk; ++c) {
    const auto text =
        tokens.subspan(static_cast<size_t>(c * options.step()), static_cast<size_t>(options.n_ctx));
    for (size_t i = 0; i < policies.size(); ++i) {
      chunk.begin();
      one.policy = policies[i].use.prefill;
      one.on_prediction = [&](std::span<const float> logits, int32_t target) {
        chunk.add(i == 0, logits, target, running[i]);
      };
      measure_perplexity(forward, model, text, one);
    }
    if (on_chunk) on_chunk(c + 1, n_chunk);
  }
  std::vector<PolicyRow> rows;
  SweepOptions sweep = speed;
  sweep.policies.clear();
  for (size_t i = 0; i < policies.size(); ++i) {
    rows.push_back({.name = policies[i].name,
                    .perplexity = running[i].tally.result(n_chunk),
                    .divergence = running[i].divergence.result()});
    sweep.policies.push_back(policies[i].use);
  }
  sweep_bench(forward, model, sweep, [&](const SweepRow& row) { rows[row.policy].speed = row; });
  return rows;
}

std::string comparison_table(std::span<const PolicyRow> rows) {
  std::string out =
      "| policy | PPL | KL mean | KL 99 % | top-1 agreement | weights per token | PP t/s | TG t/s |\n"
      "|---|---|---|---|---|---|---|---|\n";
  for (const PolicyRow& r : rows) {
    out += fmt::format(
        "| {} | {:.4f} +/- {:.4f} | {:.5f} | {:.5f} | {:.2f} % | {:.2f} MB | {:.0f} +/- {:.0f} % | {:.0f} "
        "+/- {:.0f} % |\n",
        r.name, r.perplexity.value, r.perplexity.error, r.divergence.kl_mean, r.divergence.kl_p99,
        100 * r.divergence.same_top, static_cast<double>(r.speed.decode_weight_bytes) / 1e6,
        r.speed.prefill_rate(), 100 * r.speed.prefill.spread, r.speed.decode_rate(),
        100 * r.speed.decode.spread);
  }
  return out;
}

std::optional<std::string> perplexity_jump(const PolicyRow& grouped, const PolicyRow& standard) {
  const double ratio = standard.perplexity.value / grouped.perplexity.value;
  if (std::abs(ratio - 1) <= kJump) return std::nullopt;
  return fmt::format(
      "perplexity of {} and {} differ by {:.1f} %: more than routing by groups should; are the file's group "
      "keys right?",
      grouped.name, standard.name, 100 * (ratio - 1));
}

}  // namespace sw
