// SPDX-License-Identifier: MIT
#include "eval/sweep_bench.h"

#include <algorithm>
#include <chrono>
#include <vector>

#include "base/error.h"
#include "base/rng.h"

namespace sw {
namespace {

/// One sequence of random tokens on its way.
class Sweep {
 public:
  Sweep(Forward& forward, const Model& model, const SweepOptions& options)
      : forward_(forward),
        options_(options),
        n_vocab_(static_cast<uint64_t>(model.hparams().n_vocab)),
        cache_(forward.make_cache(
            Forward::cache_spec(model, options.room(), options.cache_type, 1, forward.options().n_ubatch))),
        table_(cache_, options.room()) {
    SW_ASSERT(table_.resize(options.room()));
  }

  SweepRow run(int64_t n_kv) {
    SweepRow row{.n_prefill = options_.n_prefill, .n_decode = options_.n_decode, .n_kv = n_kv};
    const OpCounters before = forward_.counters();
    row.decode_s = pass(n_kv, options_.n_decode, 1, options_.decode_policy);
    const OpCounters& after = forward_.counters();
    const uint64_t bytes = after.expert_bytes + after.dense_bytes - before.expert_bytes - before.dense_bytes;
    row.decode_weight_bytes = bytes / static_cast<uint64_t>(std::max<int64_t>(1, options_.n_decode));
    row.prefill_s = pass(n_kv, options_.n_prefill, forward_.options().n_ubatch, options_.prefill_policy);
    return row;
  }

 private:
  /// Seconds for `n` tokens from position `begin` on, `n_batch` at a time, with the logits of the last.
  double pass(int64_t begin, int64_t n, int64_t n_batch, uint16_t policy) {
    using Clock = std::chrono::steady_clock;
    BlockTable* const tables[] = {&table_};
    double seconds = 0;
    for (int64_t done = 0; done < n; done += n_batch) {
      const int64_t size = std::min(n_batch, n - done);
      batch_.clear();
      for (int64_t i = 0; i < size; ++i) {
        batch_.push_back({.id = static_cast<int32_t>(rng_.below(n_vocab_)),
                          .pos = static_cast<int32_t>(begin + done + i),
                          .policy = policy});
      }
      const auto last = static_cast<int32_t>(size) - 1;
      const Clock::time_point start = Clock::now();
      forward_.step(batch_, tables, cache_, {&last, 1});
      seconds += std::chrono::duration<double>(Clock::now() - start).count();
    }
    return seconds;
  }

  Forward& forward_;
  const SweepOptions& options_;
  uint64_t n_vocab_;
  PagedCache cache_;
  BlockTable table_;
  std::vector<BatchToken> batch_;
  Rng rng_{1};
};

}  // namespace

void sweep_bench(Forward& forward, const Model& model, const SweepOptions& options,
                 const std::function<void(const SweepRow&)>& on_row) {
  if (options.n_prefill < 1 || options.n_kv_max < options.n_prefill) {
    throw Error({.what = "the sweep has no room for one row",
                 .where = "-c",
                 .expected = "at least " + std::to_string(std::max<int64_t>(1, options.n_prefill)),
                 .got = std::to_string(options.n_kv_max),
                 .hint = "a smaller prompt: -ub"});
  }
  Sweep sweep(forward, model, options);
  sweep.run(0);  // warm-up
  for (int64_t n_kv = 0; n_kv + options.n_prefill <= options.n_kv_max; n_kv += options.n_prefill)
    on_row(sweep.run(n_kv));
}

}  // namespace sw
