// SPDX-License-Identifier: MIT
#pragma once
#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace sw {

/// out = log softmax(logits), computed in double. A row of f32 logits [n_vocab].
void log_softmax(std::span<const float> logits, std::span<float> out);

/// How the predictions Q of a run differ from those, P, of a base. KL divergences are of P from Q, in nats;
/// an error is one standard error.
struct Divergence {
  int64_t n = 0;  ///< predictions
  double kl_mean = 0, kl_error = 0, kl_median = 0, kl_p99 = 0, kl_max = 0;
  double same_top = 0, same_top_error = 0;                  ///< share of predictions with the same best token
  double delta_perplexity = 0, delta_perplexity_error = 0;  ///< of Q less that of P, as they vary together

  /// Two lines for a person.
  std::string to_string() const;
};

/// Collects predictions one by one; keeps a number of each for the quantiles.
class DivergenceTally {
 public:
  /// `base` and `run` [n_vocab] are log probabilities, `target` the token that came.
  void add(std::span<const float> base, std::span<const float> run, int32_t target);
  Divergence result() const;

 private:
  std::vector<float> kl_;
  int64_t n_same_ = 0;
  double base_sum_ = 0, run_sum_ = 0;  // of -log probabilities of targets, and of their products
  double base_squares_ = 0, run_squares_ = 0, products_ = 0;
};

}  // namespace sw
