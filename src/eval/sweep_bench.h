// SPDX-License-Identifier: MIT
#pragma once
#include <algorithm>
#include <cstdint>
#include <functional>

#include "model/forward.h"

namespace sw {

struct SweepOptions {
  int64_t n_kv_max = 0;   ///< tokens of context that the sweep goes up to
  int64_t n_prefill = 0;  ///< tokens of a row's prompt (PP)
  int64_t n_decode = 0;   ///< tokens generated in a row (TG), one a pass
  uint16_t prefill_policy = 0, decode_policy = 0;
  Type cache_type = Type::F16;

  /// Tokens of the one sequence at most.
  int64_t room() const { return n_kv_max + std::max<int64_t>(0, n_decode - n_prefill); }
};

/// One row: the speeds where `n_kv` tokens are cached already.
struct SweepRow {
  int64_t n_prefill = 0, n_decode = 0, n_kv = 0;
  double prefill_s = 0, decode_s = 0;
  uint64_t decode_weight_bytes = 0;  ///< of weights, a generated token, the same in every row

  double prefill_rate() const { return prefill_s > 0 ? static_cast<double>(n_prefill) / prefill_s : 0; }
  double decode_rate() const { return decode_s > 0 ? static_cast<double>(n_decode) / decode_s : 0; }
};

/// Prefill and decode speed over a growing context: rows at n_kv = 0, PP, 2 PP, ...; each generates TG tokens
/// and then, in their place, takes a prompt of PP. The cache is not cleared in between. A row that is not
/// shown goes first, so that the first shown finds everything in memory. Tokens are random, the same every
/// time. Throws sw::Error where not even one row fits.
void sweep_bench(Forward& forward, const Model& model, const SweepOptions& options,
                 const std::function<void(const SweepRow&)>& on_row);

}  // namespace sw
