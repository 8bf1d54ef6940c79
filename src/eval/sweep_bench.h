// SPDX-License-Identifier: MIT
#pragma once
#include <algorithm>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <vector>

#include "model/forward.h"

namespace sw {

/// What a policy resolved to.
struct SweepPolicy {
  uint16_t prefill = 0, decode = 0;
};

/// Token counts are those of each sequence.
struct SweepOptions {
  int64_t n_kv_max = 0;   ///< tokens of context that the sweep goes up to
  int64_t n_prefill = 0;  ///< tokens of a row's prompt (PP)
  int64_t n_decode = 0;   ///< tokens generated in a row (TG), one a pass
  /// Sequences at once, each with a context of its own; as many as a u-batch and the rows of logits hold.
  int64_t n_seq = 1;
  std::vector<SweepPolicy> policies = {{}};
  bool mix = false;  ///< measures all policies in one batch too: the sequences take them in turn
  int n_round = 1;   ///< measurements of each row and policy
  CacheType cache_type = {};
  /// Profiles each row in further passes: the speeds are those of passes that are not profiled.
  std::optional<ProfileBy> profile = {};

  /// Tokens of a sequence at most.
  int64_t room() const { return n_kv_max + std::max<int64_t>(0, n_decode - n_prefill); }
  /// Tokens that a sequence goes on by at most before it goes back to where a row began.
  int64_t n_ahead() const { return std::max(n_prefill, n_decode); }
  /// What is measured in each row: each policy, then the mix.
  size_t n_case() const { return policies.size() + (mix ? 1 : 0); }
};

/// Seconds of a pass over several rounds.
struct Timing {
  double median_s = 0;
  double spread = 0;  ///< half of the distance between the fastest and the slowest, in parts of the median
};
/// Of at least one measurement.
Timing timing_of(std::vector<double> seconds);

/// Of one row: both may be several passes over its tokens.
struct RowProfile {
  ProfileSummary prefill = {}, decode = {};
};

/// One row: the speeds of a policy where `n_kv` tokens of each sequence are cached already.
struct SweepRow {
  size_t policy = 0;  ///< index in the options; one more than the last: the mix
  int64_t n_seq = 1;
  int64_t n_prefill = 0, n_decode = 0, n_kv = 0;  ///< of each sequence
  Timing prefill = {}, decode = {};               ///< of all sequences
  /// Of weights, a generated token, the same in every row. What a pass reads for several tokens is shared.
  uint64_t decode_weight_bytes = 0;
  std::optional<RowProfile> profile = {};  ///< where one is wanted

  /// Tokens a second of all sequences together; of each it is that divided by n_seq.
  double prefill_rate() const { return rate(n_prefill, prefill); }
  double decode_rate() const { return rate(n_decode, decode); }

 private:
  double rate(int64_t n, const Timing& t) const {
    return t.median_s > 0 ? static_cast<double>(n_seq * n) / t.median_s : 0;
  }
};

/// What it costs that policies share a batch: the seconds of a mix over the mean of its policies' rows (each
/// counted as often as it has sequences), less 1. `rows` are those of one n_kv, the mix last.
struct MixCost {
  double prefill = 0, decode = 0;
};
MixCost mix_cost(std::span<const SweepRow> rows);

/// Prefill and decode speed over a growing context: rows at n_kv = 0, PP, 2 PP, ...; each generates TG tokens
/// and then, in their place, takes a prompt of PP. Of several sequences all do so at once: a decode pass has
/// a token of each, and u-batches are filled with the prompts one behind the other. The cache is not cleared
/// in between. At each n_kv the policies take turns, round by round, each round beginning with the next of
/// them: what disturbs a machine for a while disturbs all of them alike. A pass that is over soon is
/// repeated, and its mean counts. Rows that are not shown go first, so that the first shown finds everything
/// in memory. Tokens are random, the same every time. Throws sw::Error where not even one row fits.
void sweep_bench(Forward& forward, const Model& model, const SweepOptions& options,
                 const std::function<void(const SweepRow&)>& on_row);

}  // namespace sw
