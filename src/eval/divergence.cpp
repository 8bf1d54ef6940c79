// SPDX-License-Identifier: MIT
#include "eval/divergence.h"

#include <algorithm>
#include <cmath>
#include <fmt/core.h>

#include "base/error.h"

namespace sw {

void log_softmax(std::span<const float> logits, std::span<float> out) {
  SW_ASSERT(logits.size() == out.size());
  const double top = *std::max_element(logits.begin(), logits.end());
  double sum = 0;
  for (const float logit : logits) sum += std::exp(logit - top);
  const double log_sum = top + std::log(sum);
  for (size_t i = 0; i < out.size(); ++i) out[i] = static_cast<float>(logits[i] - log_sum);
}

void DivergenceTally::add(std::span<const float> base, std::span<const float> run, int32_t target) {
  SW_ASSERT(base.size() == run.size());
  double kl = 0;
  for (size_t i = 0; i < base.size(); ++i) {
    const double p = std::exp(static_cast<double>(base[i]));
    if (p > 0) kl += p * (static_cast<double>(base[i]) - run[i]);
  }
  kl_.push_back(static_cast<float>(std::max(kl, 0.0)));  // rounding may leave it a little below 0
  const auto top = [](std::span<const float> row) {
    return std::max_element(row.begin(), row.end()) - row.begin();
  };
  n_same_ += top(base) == top(run);
  const double a = -base[static_cast<size_t>(target)], b = -run[static_cast<size_t>(target)];
  base_sum_ += a;
  run_sum_ += b;
  base_squares_ += a * a;
  run_squares_ += b * b;
  products_ += a * b;
}

Divergence DivergenceTally::result() const {
  Divergence d{.n = std::ssize(kl_)};
  if (d.n == 0) return d;
  const auto n = static_cast<double>(d.n);
  // The error of a mean from sums of values and of products.
  const auto variance = [&](double products, double sum_a, double sum_b) {
    return d.n > 1 ? (products / n - sum_a / n * (sum_b / n)) / (n - 1) : 0.0;
  };
  double sum = 0, squares = 0;
  for (const float kl : kl_) {
    sum += kl;
    squares += static_cast<double>(kl) * kl;
  }
  d.kl_mean = sum / n;
  d.kl_error = std::sqrt(std::max(0.0, variance(squares, sum, sum)));
  std::vector<float> sorted = kl_;
  std::sort(sorted.begin(), sorted.end());
  const auto quantile = [&](double share) {
    return sorted[static_cast<size_t>(std::llround(share * (n - 1)))];
  };
  d.kl_median = quantile(0.5);
  d.kl_p99 = quantile(0.99);
  d.kl_max = sorted.back();
  d.same_top = static_cast<double>(n_same_) / n;
  d.same_top_error = d.n > 1 ? std::sqrt(d.same_top * (1 - d.same_top) / (n - 1)) : 0.0;
  const double base = std::exp(base_sum_ / n), run = std::exp(run_sum_ / n);
  d.delta_perplexity = run - base;
  const double spread = run * run * variance(run_squares_, run_sum_, run_sum_) +
                        base * base * variance(base_squares_, base_sum_, base_sum_) -
                        2 * run * base * variance(products_, base_sum_, run_sum_);
  d.delta_perplexity_error = std::sqrt(std::max(0.0, spread));
  return d;
}

std::string Divergence::to_string() const {
  return fmt::format(
      "KL divergence: mean {:.6f} +/- {:.6f}, median {:.6f}, 99 % {:.6f}, most {:.6f} (nats, {} "
      "predictions)\n"
      "Top-1 agreement: {:.3f} +/- {:.3f} %; PPL against the base: {:+.4f} +/- {:.4f}",
      kl_mean, kl_error, kl_median, kl_p99, kl_max, n, 100 * same_top, 100 * same_top_error, delta_perplexity,
      delta_perplexity_error);
}

}  // namespace sw
