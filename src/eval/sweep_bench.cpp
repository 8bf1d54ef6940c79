// SPDX-License-Identifier: MIT
#include "eval/sweep_bench.h"

#include <algorithm>
#include <chrono>
#include <deque>
#include <vector>

#include "base/error.h"
#include "base/rng.h"
#include "model/expert_bytes.h"

namespace sw {
namespace {

constexpr double kLeastCellSeconds = 0.1;
constexpr int kMostPasses = 1000;

/// Adds up the experts' matrices that a pass's tokens are sent to, each once: the same on every device, where
/// counters of what was read are the CPU's alone.
class ExpertReads : public ForwardProbe {
 public:
  explicit ExpertReads(const Model& model)
      : n_expert_(model.hparams().moe.n_expert), expert_bytes_(expert_bytes(model)) {}
  void on_routing(int moe_layer, TensorView<const float>, const Routing& routing) override {
    chosen_.assign(static_cast<size_t>(n_expert_), false);
    for (int64_t t = 0; t < routing.n_tokens(); ++t) {
      for (int s = 0; s < routing.n_active[static_cast<size_t>(t)]; ++s) {
        const int32_t id = routing.ids.at(t, s);
        if (id < 0 || id >= n_expert_ || chosen_[static_cast<size_t>(id)]) continue;
        chosen_[static_cast<size_t>(id)] = true;
        bytes_ += expert_bytes_[static_cast<size_t>(moe_layer)][static_cast<size_t>(id)];
      }
    }
  }
  uint64_t bytes() const { return bytes_; }

 private:
  int n_expert_;
  std::vector<std::vector<uint64_t>> expert_bytes_;  // [n_moe_layer, n_expert]
  std::vector<bool> chosen_;                         // [n_expert], in the pass's layer
  uint64_t bytes_ = 0;
};

/// Sequences with room to go back to where a row began.
CachePlan cache_plan(const Forward& forward, const Model& model, const SweepOptions& options) {
  const int64_t n_ahead = std::max(forward.options().n_ubatch, options.n_ahead());
  CachePlan plan = Forward::cache_plan(model, options.room(), options.cache_type, options.n_seq, n_ahead);
  plan.n_draft = 1;
  return plan;
}

/// Sequences of random tokens on their way.
class Sweep {
 public:
  Sweep(Forward& forward, const Model& model, const SweepOptions& options)
      : forward_(forward),
        options_(options),
        model_(model),
        n_vocab_(static_cast<uint64_t>(model.hparams().n_vocab)),
        cache_(forward.make_cache(cache_plan(forward, model, options))) {
    for (int64_t s = 0; s < options.n_seq; ++s) tables_.emplace_back(cache_, options.room());
  }

  /// The rows of all cases, in turn.
  std::vector<SweepRow> run(int64_t n_kv) {
    const size_t n = options_.n_case();
    std::vector<std::vector<double>> prefill(n), decode(n);
    for (int round = 0; round < options_.n_round; ++round) {
      for (size_t i = 0; i < n; ++i) {
        const size_t c = (i + static_cast<size_t>(round)) % n;
        decode[c].push_back(cell([&] { return pass(c, Phase::Decode, n_kv, options_.n_decode); }));
        prefill[c].push_back(cell([&] { return pass(c, Phase::Prefill, n_kv, options_.n_prefill); }));
      }
    }
    std::vector<SweepRow> rows;
    for (size_t c = 0; c < n; ++c) {
      rows.push_back({.policy = c,
                      .n_seq = options_.n_seq,
                      .n_prefill = options_.n_prefill,
                      .n_decode = options_.n_decode,
                      .n_kv = n_kv,
                      .prefill = timing_of(std::move(prefill[c])),
                      .decode = timing_of(std::move(decode[c]))});
      if (options_.profile) rows.back().profile = profile(c, n_kv);
    }
    return rows;
  }

  /// A row of one case that is not shown, after which all is in memory. Returns the bytes of weights that a
  /// generated token took in it, on average.
  uint64_t warm_up(size_t which) {
    ExpertReads experts(model_);
    const uint64_t dense_before = forward_.counters().dense_bytes;
    pass(which, Phase::Decode, 0, options_.n_decode, &experts);
    const uint64_t bytes = experts.bytes() + forward_.counters().dense_bytes - dense_before;
    pass(which, Phase::Decode, 0, std::min<int64_t>(1, options_.n_decode));  // a GPU records it
    pass(which, Phase::Prefill, 0, options_.n_prefill);
    return bytes / static_cast<uint64_t>(std::max<int64_t>(1, options_.n_seq * options_.n_decode));
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

  RowProfile profile(size_t which, int64_t n_kv) {
    const auto profiled = [&](Phase phase, int64_t n) {
      Profile profile(forward_.placed());
      forward_.set_profile(&profile);
      cell([&] { return pass(which, phase, n_kv, n); });
      forward_.set_profile(nullptr);
      return profile.summary(*options_.profile);
    };
    RowProfile row;
    row.decode = profiled(Phase::Decode, options_.n_decode);
    row.prefill = profiled(Phase::Prefill, options_.n_prefill);
    return row;
  }

  /// The policy of a sequence. In the mix they are dealt out one by one.
  uint16_t policy_of(size_t which, Phase phase, int64_t sequence) const {
    const std::vector<SweepPolicy>& all = options_.policies;
    const SweepPolicy& use = all[which < all.size() ? which : static_cast<size_t>(sequence) % all.size()];
    return phase == Phase::Decode ? use.decode : use.prefill;
  }

  /// Seconds for `n` tokens of each sequence from position `begin` on: prompts, one behind the other in
  /// u-batches, with the logits of the last token of each; or a token of each at a time, each with its
  /// logits.
  double pass(size_t which, Phase phase, int64_t begin, int64_t n, ForwardProbe* probe = nullptr) {
    const int64_t n_all = n * options_.n_seq;
    const int64_t n_step = phase == Phase::Decode ? options_.n_seq : forward_.options().n_ubatch;
    using Clock = std::chrono::steady_clock;
    const Clock::time_point start = Clock::now();
    for (int64_t done = 0; done < n_all; done += n_step) {
      clear();
      for (int64_t i = done; i < std::min(n_all, done + n_step); ++i) {
        const int64_t s = phase == Phase::Decode ? i % options_.n_seq : i / n;
        const int64_t pos = phase == Phase::Decode ? i / options_.n_seq : i % n;
        add(s, begin + pos, policy_of(which, phase, s));
        if (phase == Phase::Decode || pos + 1 == n) rows_.push_back(static_cast<int32_t>(batch_.size()) - 1);
      }
      step(begin, probe);
    }
    return std::chrono::duration<double>(Clock::now() - start).count();
  }

  void clear() {
    batch_.clear();
    sequences_.clear();
    rows_.clear();
  }
  /// The tokens of a sequence come one behind the other.
  void add(int64_t sequence, int64_t pos, uint16_t policy) {
    SequenceCache* table = &tables_[static_cast<size_t>(sequence)];
    if (sequences_.empty() || sequences_.back() != table) sequences_.push_back(table);
    batch_.push_back({.id = static_cast<int32_t>(rng_.below(n_vocab_)),
                      .pos = static_cast<int32_t>(pos),
                      .seq = static_cast<int32_t>(sequences_.size()) - 1,
                      .policy = policy});
  }
  /// The step that was put together, in a row that began at position `begin`.
  void step(int64_t begin, ForwardProbe* probe) {
    for (size_t first = 0, last = 0; first < batch_.size(); first = last + 1) {
      for (last = first; last + 1 < batch_.size() && batch_[last + 1].seq == batch_[first].seq;) ++last;
      SW_ASSERT(sequences_[static_cast<size_t>(batch_[first].seq)]->prepare(
          batch_[first].pos, batch_[last].pos + 1, {.n_before = batch_[first].pos - begin}));
    }
    forward_.step(batch_, sequences_, cache_, rows_, probe);
  }

  Forward& forward_;
  const SweepOptions& options_;
  const Model& model_;
  uint64_t n_vocab_;
  Cache cache_;
  std::deque<SequenceCache> tables_;  // [n_seq]
  // The step under way.
  std::vector<BatchToken> batch_;
  std::vector<SequenceCache*> sequences_;  // those with a token in it
  std::vector<int32_t> rows_;              // whose logits are wanted
  Rng rng_{1};
};

void check(const Forward& forward, const SweepOptions& options) {
  SW_ASSERT(options.n_seq >= 1 && options.n_seq <= forward.options().n_ubatch &&
            options.n_seq <= forward.options().n_logit_row);
  if (options.n_prefill >= 1 && options.n_kv_max >= options.n_prefill) return;
  throw Error({.what = "the sweep has no room for one row",
               .where = "-c",
               .expected = "at least " + std::to_string(std::max<int64_t>(1, options.n_prefill)),
               .got = std::to_string(options.n_kv_max),
               .hint = "a smaller prompt: -pp, or -ub"});
}

}  // namespace

Timing timing_of(std::vector<double> seconds) {
  SW_ASSERT(!seconds.empty());
  std::ranges::sort(seconds);
  const size_t n = seconds.size();
  const double median = (seconds[(n - 1) / 2] + seconds[n / 2]) / 2;
  return {median, median > 0 ? (seconds.back() - seconds.front()) / 2 / median : 0};
}

MixCost mix_cost(std::span<const SweepRow> rows) {
  SW_ASSERT(rows.size() > 1);
  const SweepRow& mix = rows.back();
  const size_t n_policy = rows.size() - 1;
  double prefill_s = 0, decode_s = 0;
  for (int64_t s = 0; s < mix.n_seq; ++s) {
    const SweepRow& own = rows[static_cast<size_t>(s) % n_policy];
    prefill_s += own.prefill.median_s;
    decode_s += own.decode.median_s;
  }
  const auto over = [&](double seconds, double sum) {
    return sum > 0 ? seconds * static_cast<double>(mix.n_seq) / sum - 1 : 0;
  };
  return {over(mix.prefill.median_s, prefill_s), over(mix.decode.median_s, decode_s)};
}

void sweep_bench(Forward& forward, const Model& model, const SweepOptions& options,
                 const std::function<void(const SweepRow&)>& on_row) {
  check(forward, options);
  Sweep sweep(forward, model, options);
  std::vector<uint64_t> weight_bytes;
  for (size_t c = 0; c < options.n_case(); ++c) weight_bytes.push_back(sweep.warm_up(c));
  for (int64_t n_kv = 0; n_kv + options.n_prefill <= options.n_kv_max; n_kv += options.n_prefill) {
    for (SweepRow& row : sweep.run(n_kv)) {
      row.decode_weight_bytes = weight_bytes[row.policy];
      on_row(row);
    }
  }
}

}  // namespace sw
