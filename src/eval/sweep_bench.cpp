// SPDX-License-Identifier: MIT
#include "eval/sweep_bench.h"

#include <algorithm>
#include <chrono>
#include <vector>

#include "base/error.h"
#include "base/rng.h"

namespace sw {
namespace {

constexpr double kLeastCellSeconds = 0.1;
constexpr int kMostPasses = 1000;

/// Adds up the experts' matrices that tokens are sent to, one token a pass: the same on every device, where
/// counters of what was read are the CPU's alone.
class ExpertReads : public ForwardProbe {
 public:
  explicit ExpertReads(const Model& model) : n_expert_(model.hparams().moe.n_expert) {
    for (int b = 0; b < model.hparams().n_run_block(); ++b) {
      if (!has_experts(model, b)) continue;
      std::vector<uint64_t>& bytes = expert_bytes_.emplace_back(static_cast<size_t>(n_expert_), 0);
      for (const Role role : {Role::ExpertGate, Role::ExpertUp, Role::ExpertDown}) {
        for (int e = 0; e < n_expert_; ++e)
          bytes[static_cast<size_t>(e)] += model.expert(role, b, e).size_bytes();
      }
    }
  }
  void on_routing(int moe_layer, TensorView<const float>, const Routing& routing) override {
    for (int s = 0; s < routing.n_active[0]; ++s) {
      const int32_t id = routing.ids.at(0, s);
      if (id >= 0 && id < n_expert_)
        bytes_ += expert_bytes_[static_cast<size_t>(moe_layer)][static_cast<size_t>(id)];
    }
  }
  uint64_t bytes() const { return bytes_; }

 private:
  int n_expert_;
  std::vector<std::vector<uint64_t>> expert_bytes_;  // [n_moe_layer, n_expert]
  uint64_t bytes_ = 0;
};

/// One sequence, with room to go back to where a row began.
CachePlan cache_plan(const Forward& forward, const Model& model, const SweepOptions& options) {
  const int64_t n_ahead = std::max({forward.options().n_ubatch, options.n_prefill, options.n_decode});
  CachePlan plan = Forward::cache_plan(model, options.room(), options.cache_type, 1, n_ahead);
  plan.n_draft = 1;
  return plan;
}

/// One sequence of random tokens on its way.
class Sweep {
 public:
  Sweep(Forward& forward, const Model& model, const SweepOptions& options)
      : forward_(forward),
        options_(options),
        model_(model),
        n_vocab_(static_cast<uint64_t>(model.hparams().n_vocab)),
        cache_(forward.make_cache(cache_plan(forward, model, options))),
        table_(cache_, options.room()) {}

  /// The rows of all policies, in turn.
  std::vector<SweepRow> run(int64_t n_kv) {
    const size_t n = options_.policies.size();
    std::vector<std::vector<double>> prefill(n), decode(n);
    for (int round = 0; round < options_.n_round; ++round) {
      for (size_t i = 0; i < n; ++i) {
        const size_t p = (i + static_cast<size_t>(round)) % n;
        const SweepPolicy& policy = options_.policies[p];
        decode[p].push_back(cell([&] { return pass(n_kv, options_.n_decode, 1, policy.decode); }));
        prefill[p].push_back(cell(
            [&] { return pass(n_kv, options_.n_prefill, forward_.options().n_ubatch, policy.prefill); }));
      }
    }
    std::vector<SweepRow> rows;
    for (size_t p = 0; p < n; ++p) {
      rows.push_back({.policy = p,
                      .n_prefill = options_.n_prefill,
                      .n_decode = options_.n_decode,
                      .n_kv = n_kv,
                      .prefill = timing_of(std::move(prefill[p])),
                      .decode = timing_of(std::move(decode[p]))});
    }
    return rows;
  }

  /// A row of one policy that is not shown, after which all is in memory. Returns the bytes of weights that a
  /// generated token took in it, on average.
  uint64_t warm_up(const SweepPolicy& policy) {
    ExpertReads experts(model_);
    const uint64_t dense_before = forward_.counters().dense_bytes;
    pass(0, options_.n_decode, 1, policy.decode, &experts);
    const uint64_t bytes = experts.bytes() + forward_.counters().dense_bytes - dense_before;
    pass(0, std::min<int64_t>(1, options_.n_decode), 1, policy.decode);  // a GPU records it
    pass(0, options_.n_prefill, forward_.options().n_ubatch, policy.prefill);
    return bytes / static_cast<uint64_t>(std::max<int64_t>(1, options_.n_decode));
  }

 private:
  /// Mean seconds of a pass that is repeated until the clock has something to measure.
  template <class Pass>
  static double cell(const Pass& pass) {
    double seconds = 0;
    int n = 0;
    while (seconds < kLeastCellSeconds && n < kMostPasses) seconds += pass(), ++n;
    return seconds / n;
  }

  /// Seconds for `n` tokens from position `begin` on, `n_batch` at a time, with the logits of the last.
  double pass(int64_t begin, int64_t n, int64_t n_batch, uint16_t policy, ForwardProbe* probe = nullptr) {
    using Clock = std::chrono::steady_clock;
    const SequenceCache* const tables[] = {&table_};
    double seconds = 0;
    for (int64_t done = 0; done < n; done += n_batch) {
      const int64_t size = std::min(n_batch, n - done);
      batch_.clear();
      for (int64_t i = 0; i < size; ++i) {
        batch_.push_back({.id = static_cast<int32_t>(rng_.below(n_vocab_)),
                          .pos = static_cast<int32_t>(begin + done + i),
                          .policy = policy});
      }
      SW_ASSERT(table_.prepare(begin + done, begin + done + size, {.n_before = done}));
      const auto last = static_cast<int32_t>(size) - 1;
      const Clock::time_point start = Clock::now();
      forward_.step(batch_, tables, cache_, {&last, 1}, probe);
      seconds += std::chrono::duration<double>(Clock::now() - start).count();
    }
    return seconds;
  }

  Forward& forward_;
  const SweepOptions& options_;
  const Model& model_;
  uint64_t n_vocab_;
  Cache cache_;
  SequenceCache table_;
  std::vector<BatchToken> batch_;
  Rng rng_{1};
};

}  // namespace

Timing timing_of(std::vector<double> seconds) {
  SW_ASSERT(!seconds.empty());
  std::ranges::sort(seconds);
  const size_t n = seconds.size();
  const double median = (seconds[(n - 1) / 2] + seconds[n / 2]) / 2;
  return {median, median > 0 ? (seconds.back() - seconds.front()) / 2 / median : 0};
}

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
  std::vector<uint64_t> weight_bytes;
  for (const SweepPolicy& policy : options.policies) weight_bytes.push_back(sweep.warm_up(policy));
  for (int64_t n_kv = 0; n_kv + options.n_prefill <= options.n_kv_max; n_kv += options.n_prefill) {
    for (SweepRow& row : sweep.run(n_kv)) {
      row.decode_weight_bytes = weight_bytes[row.policy];
      on_row(row);
    }
  }
}

}  // namespace sw
