// SPDX-License-Identifier: MIT
#pragma once
#include <algorithm>
#include <cstdint>
#include <functional>
#include <vector>

#include "model/forward.h"

namespace sw {

/// What a policy resolved to.
struct SweepPolicy {
  uint16_t prefill = 0, decode = 0;
};

struct SweepOptions {
  int64_t n_kv_max = 0;   ///< tokens of context that the sweep goes up to
  int64_t n_prefill = 0;  ///< tokens of a row's prompt (PP)
  int64_t n_decode = 0;   ///< tokens generated in a row (TG), one a pass
  std::vector<SweepPolicy> policies = {{}};
  int n_round = 1;  ///< measurements of each row and policy
  Type cache_type = Type::F16;

  /// Tokens of the one sequence at most.
  int64_t room() const { return n_kv_max + std::max<int64_t>(0, n_decode - n_prefill); }
};

/// Seconds of a pass over several rounds.
struct Timing {
  double median_s = 0;
  double spread = 0;  ///< half of the distance between the fastest and the slowest, in parts of the median
};
/// Of at least one measurement.
Timing timing_of(std::vector<double> seconds);

/// One row: the speeds of a policy where `n_kv` tokens are cached already.
struct SweepRow {
  size_t policy = 0;  ///< index in the options
  int64_t n_prefill = 0, n_decode = 0, n_kv = 0;
  Timing prefill = {}, decode = {};
  uint64_t decode_weight_bytes = 0;  ///< of weights, a generated token, the same in every row

  double prefill_rate() const { return rate(n_prefill, prefill); }
  double decode_rate() const { return rate(n_decode, decode); }

 private:
  static double rate(int64_t n, const Timing& t) {
    return t.median_s > 0 ? static_cast<double>(n) / t.median_s : 0;
  }
};

/// Prefill and decode speed over a growing context: rows at n_kv = 0, PP, 2 PP, ...; each generates TG tokens
/// and then, in their place, takes a prompt of PP. The cache is not cleared in between. At each n_kv the
/// policies take turns, round by round, each round beginning with the next of them: what disturbs a machine
/// for a while disturbs all of them alike. A pass that is over soon is repeated, and its mean counts. Rows
/// that are not shown go first, so that the first shown finds everything in memory. Tokens are random, the
/// same every time. Throws sw::Error where not even one row fits.
void sweep_bench(Forward& forward, const Model& model, const SweepOptions& options,
                 const std::function<void(const SweepRow&)>& on_row);

}  // namespace sw
