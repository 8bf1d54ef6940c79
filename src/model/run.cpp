// SPDX-License-Identifier: MIT
#include <utility>

#include "base/error.h"
#include "model/forward.h"

/// A step: the batch to every device, the program, the head. Work of GPUs is queued; the CPU waits only where
/// it needs a result itself.
namespace sw {

using namespace program;

/// What a cache keeps of a block, as the block's operation wants to see it.
struct BlockCache {
  const Cache& cache;
  int block = 0;

  operator KvLayerView() const { return cache.layer(block); }  // NOLINT: implicit, the operation chooses
  operator StateView() const { return cache.state(block); }    // NOLINT: likewise
};

/// One way through instructions.
class Pass {
 public:
  Pass(Forward& forward, const Cache* cache, ForwardProbe* probe, const std::function<bool()>& stop)
      : f_(forward), cache_(cache), probe_(probe), stop_(stop), n_(forward.batch_.n_token()) {}

  void operator()(const Embed& i) {
    DeviceState& at = f_.state(i.device);
    at.run(i.op, {.batch = at.batch(), .out = at.arrays().residual.rows(0, n_)}, f_.context());
  }
  template <class Desc>
  void operator()(const Mix<Desc>& i) {
    if (stop_ && stop_()) throw Interrupted();
    DeviceState& at = f_.state(i.device);
    at.run(i.op, {at.batch(i.group), BlockCache{*cache_, i.block}, at.arrays().residual.rows(0, n_)},
           f_.context());
  }
  void operator()(const Route& i) {
    DeviceState& at = f_.state(i.device);
    Routing routing = at.arrays().routing.first(n_);
    at.run(i.op,
           {.batch = at.batch(),
            .x = at.arrays().residual.rows(0, n_),
            .normed = at.arrays().normed.rows(0, n_),
            .logits = at.arrays().router_logits.rows(0, n_),
            .routing = routing,
            .policies = at.policies(),
            .counts = at.counts(i.op.desc.moe_layer)},
           f_.context());
  }
  void operator()(const Experts& i) {
    DeviceState& at = f_.state(i.device);
    const Routing routing = at.arrays().routing.first(n_);
    at.run(i.op, {.x = at.arrays().normed.rows(0, n_), .routing = routing, .out = rows(at, i.out)},
           f_.context());
  }
  void operator()(const Ffn& i) {
    DeviceState& at = f_.state(i.device);
    at.run(i.op, {.x = rows(at, i.in), .out = rows(at, i.out)}, f_.context());
  }
  void operator()(const Head&) { SW_ASSERT(!"the head is no part of the layers"); }
  void operator()(const Zero& i) {
    DeviceState& at = f_.state(i.device);
    at.backend().zero(reinterpret_cast<std::byte*>(at.arrays().part.data()),
                      static_cast<size_t>(n_ * at.arrays().part.n_cols()) * sizeof(float));
  }
  void operator()(const AddPart& i) { f_.exchange_.add_part(i.device, n_); }
  void operator()(const Send& i) { f_.exchange_.send(i, n_); }
  void operator()(const Mark& i) { f_.exchange_.mark(i.device); }
  void operator()(const Await& i) { f_.exchange_.await(i); }
  void operator()(const ShowHidden& i) {
    if (!probe_) return;
    const TensorView<const float> hidden = f_.probe_view_.hidden(f_.state(i.device), n_);
    if (i.part < 0) {
      probe_->on_hidden(i.layer, hidden);
    } else {
      probe_->on_part_hidden(i.layer, i.part, hidden);
    }
  }
  void operator()(const ShowRouting& i) {
    if (!probe_) return;
    const ProbeView::Routed seen = f_.probe_view_.routing(f_.state(i.device), n_);
    probe_->on_routing(i.moe_layer, seen.logits, seen.routing);
  }

 private:
  TensorView<float> rows(const DeviceState& at, Activation what) const {
    switch (what) {
      case Activation::Residual:
        return at.arrays().residual.rows(0, n_);
      case Activation::Normed:
        return at.arrays().normed.rows(0, n_);
      case Activation::Part:
        return at.arrays().part.rows(0, n_);
    }
    __builtin_unreachable();
  }
  Forward& f_;
  const Cache* cache_;  // null where no tokens are mixed
  ForwardProbe* probe_;
  const std::function<bool()>& stop_;
  int64_t n_;  // tokens of the batch
};

void Forward::execute(std::span<const Instruction> instructions, const Cache* cache, ForwardProbe* probe,
                      const std::function<bool()>& stop) {
  Pass pass(*this, cache, probe, stop);
  if (!profile_) {
    for (const Instruction& instruction : instructions) std::visit(pass, instruction);
    return;
  }
  size_t number = profile_->number_of(instructions);
  for (const Instruction& instruction : instructions)
    profile_->time(number++, counters_, [&] { std::visit(pass, instruction); });
}

/// All that was queued is done.
void Forward::wait_for_all() {
  for (DeviceState& s : states_) s.backend().wait();
}

/// The batch on the CPU, and ready to be sent to every device that runs something.
void Forward::fill(std::span<const BatchToken> tokens, std::span<const SequenceCache* const> sequences,
                   const Cache& cache, StageAs as) {
  for (const BatchToken& token : tokens) SW_ASSERT(token.id < program().n_vocab);
  batch_.fill(tokens, sequences, cache.plan(), pool_);
  at_head_ = program().to_head.empty();
  for (DeviceState& s : states_) s.stage(as);
}

void Forward::run(std::span<const BatchToken> tokens, std::span<const SequenceCache* const> sequences,
                  const Cache& cache, ForwardProbe* probe) {
  if (!runs_ahead()) wait_for_all();
  const std::optional<RoutingStats> routed_before = routing_for_profile();
  if (profile_) profile_->begin(std::ssize(tokens));
  const StageAs as = runs_ahead() ? StageAs::Next : StageAs::First;
  timed(Profile::kBatch, [&] { fill(tokens, sequences, cache, as); });
  if (tokens.empty()) return;
  for (size_t d = 0; d < states_.size(); ++d) {
    if (states_[d].is_staged()) timed(Profile::kSend + d, [&] { states_[d].send(); });
  }
  execute(program().layers, &cache, probe, options_.stop);
  model_.file().check_unchanged();
  if (!profile_) return;
  wait_for_all();
  profile_->end();
  if (routed_before) profile_->add_experts(*routed_before, routing_stats());
}

/// Read before a pass and after it, where a profile cannot know otherwise which experts the pass reads.
std::optional<RoutingStats> Forward::routing_for_profile() {
  if (!profile_ || !profile_->needs_routing() || !options_.count_routing) return {};
  return routing_stats();
}

/// Logits of the staged rows, to the CPU.
void Forward::queue_head(int64_t n_row) {
  DeviceState& at = head_state();
  at.send_rows();
  timed(Profile::kHead, [&] {
    at.run(program().head.op,
           {.x = at.arrays().residual.rows(0, batch_.n_token()),
            .rows = at.rows(),
            .normed = at.arrays().final_norm.rows(0, n_row),
            .logits = at.arrays().logits.rows(0, n_row)},
           context());
  });
  if (at.backend().host_visible()) return;
  timed(Profile::kLogits, [&] {
    at.backend().copy_out(host_logits_.data(), reinterpret_cast<const std::byte*>(at.arrays().logits.data()),
                          static_cast<size_t>(n_row * at.arrays().logits.n_cols()) * sizeof(float));
  });
}

TensorView<const float> Forward::host_logits(int64_t n_row) {
  DeviceState& at = head_state();
  if (at.backend().host_visible()) return at.arrays().logits.rows(0, n_row);
  at.backend().wait();
  return TensorView<const float>(host_logits_.as<float>(), n_row, at.arrays().logits.n_cols());
}

TensorView<const float> Forward::logits(std::span<const int32_t> rows) {
  SW_ASSERT(std::ssize(rows) <= options_.n_logit_row);
  for (const int32_t row : rows) SW_ASSERT(row >= 0 && row < batch_.n_token());
  wait_for_all();
  if (profile_) profile_->begin(0);
  if (!std::exchange(at_head_, true)) execute(program().to_head, nullptr, nullptr);
  head_state().stage_rows(rows);
  queue_head(std::ssize(rows));
  model_.file().check_unchanged();
  const TensorView<const float> logits = host_logits(std::ssize(rows));
  if (profile_) {
    wait_for_all();
    profile_->end();
  }
  return logits;
}

TensorView<const float> Forward::step(std::span<const BatchToken> tokens,
                                      std::span<const SequenceCache* const> sequences, const Cache& cache,
                                      std::span<const int32_t> rows, ForwardProbe* probe) {
  const size_t n = tokens.size();
  const std::byte* memory = cache.memory();
  // A recording is everything on GPUs, with one token and one row of logits per sequence.
  const bool replays = !probe && !profile_ && recordings_ && n == sequences.size() && n == rows.size() &&
                       std::ssize(rows) <= options_.n_logit_row && recorder_.can_keep(n, memory);
  if (!replays) {
    run(tokens, sequences, cache, probe);
    return rows.empty() ? TensorView<const float>() : logits(rows);
  }
  wait_for_all();
  fill(tokens, sequences, cache, StageAs::First);
  at_head_ = true;
  head_state().stage_rows(rows);
  if (!recorder_.has(n)) {
    recorder_.record(*recordings_, n, memory, counters_, [&] {
      for (DeviceState& s : states_) s.send();
      execute(program().layers, &cache, nullptr);
      execute(program().to_head, nullptr, nullptr);
      queue_head(std::ssize(rows));
    });
  }
  recorder_.replay(*recordings_, n, counters_);
  const TensorView<const float> logits = host_logits(std::ssize(rows));
  model_.file().check_unchanged();
  return logits;
}

TensorView<const float> Forward::final_norm() {
  DeviceState& at = head_state();
  if (at.backend().host_visible()) return at.arrays().final_norm;
  at.backend().copy_out(
      host_final_norm_.data(), reinterpret_cast<const std::byte*>(at.arrays().final_norm.data()),
      static_cast<size_t>(options_.n_logit_row * at.arrays().final_norm.n_cols()) * sizeof(float));
  at.backend().wait();
  return TensorView<const float>(host_final_norm_.as<float>(), options_.n_logit_row,
                                 at.arrays().final_norm.n_cols());
}

}  // namespace sw
