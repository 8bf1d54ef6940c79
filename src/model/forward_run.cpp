// SPDX-License-Identifier: MIT
#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "model/forward.h"

/// A step: the batch to every device, the layers, the head. Work of GPUs is queued; the processor waits only
/// where it needs a result itself.
namespace sw {

OpContext Forward::context() { return {pool_, no_scratch_, counters_, vector_, route_scratch_}; }

void Forward::fill_batch(std::span<const BatchToken> tokens, std::span<const SequenceCache* const> sequences,
                         const Cache& cache) {
  n_token_ = static_cast<int64_t>(tokens.size());
  SW_ASSERT(n_token_ <= options_.n_ubatch && !options_.plan_only);
  n_page_.assign(sequences.size(), 0);
  const size_t n_pair = rope_.inv_freq.size();
  for (size_t t = 0; t < tokens.size(); ++t) {
    const BatchToken& token = tokens[t];
    SW_ASSERT(token.id >= 0 && token.id < model_.hparams().n_vocab);
    SW_ASSERT(token.pos >= 0);
    ids_[t] = token.id;
    pos_[t] = token.pos;
    seq_[t] = token.seq;
    policy_[t] = token.policy;
    int64_t& n_page = n_page_[static_cast<size_t>(token.seq)];
    n_page = std::max(n_page, token.pos / cache.plan().page_tokens + 1);
    for (size_t p = 0; p < n_pair; ++p) {
      // The angle is rounded to f32, as the models' original Python does.
      const float angle = static_cast<float>(token.pos) * rope_.inv_freq[p];
      cos_[t * n_pair + p] = std::cos(angle) * rope_.magnitude;
      sin_[t * n_pair + p] = std::sin(angle) * rope_.magnitude;
    }
  }
  n_group_ = cache.plan().n_group();
  tables_.clear();
  for (int g = 0; g < n_group_; ++g) {
    for (const SequenceCache* s : sequences) tables_.push_back(s->pages(g));
  }
}

void Forward::stage() {
  const TokenBatch batch{.n_token = n_token_,
                         .ids = ids_.data(),
                         .pos = pos_.data(),
                         .seq = seq_.data(),
                         .block_tables = tables_.data(),
                         .policy = policy_.data(),
                         .rope_cos = cos_.data(),
                         .rope_sin = sin_.data()};
  for (State& s : states_) {
    if (s.needs.used) s.stage(batch, n_page_, n_group_);
  }
}

/// Copies the first rows of `source` to another device. Whoever then reads on the processor waits first.
template <class T>
void Forward::hand_over(State& from, State& to, TensorView<T> source, TensorView<T> target, int64_t n_row) {
  const auto bytes = static_cast<size_t>(n_row * source.n_cols()) * sizeof(T);
  const auto* data = reinterpret_cast<const std::byte*>(source.data());
  if (to.backend().host_visible()) {
    from.backend().copy_out(target.data(), data, bytes);
  } else {
    to.backend().copy_from(from.backend(), reinterpret_cast<std::byte*>(target.data()), data, bytes);
  }
}

void Forward::move_residual(int slot) {
  if (slot == residual_) return;
  State &from = state(residual_), &to = state(slot);
  from.backend().record();
  hand_over(from, to, from.x, to.x, n_token_);
  if (to.backend().host_visible()) from.backend().wait();
  residual_ = slot;
  ++n_hand_over_;
}

void Forward::send_routing(const Block& block, State& home) {
  if (block.away.empty()) return;
  home.backend().record();
  const auto n_active = [](const State& s) {
    return TensorView<int32_t>(s.routing.n_active.data(), std::ssize(s.routing.n_active), 1);
  };
  for (const int slot : block.away) {
    State& to = state(slot);
    hand_over(home, to, home.normed, to.normed, n_token_);
    hand_over(home, to, home.routing.ids, to.routing.ids, n_token_);
    hand_over(home, to, home.routing.weights, to.routing.weights, n_token_);
    hand_over(home, to, n_active(home), n_active(to), n_token_);
    ++n_hand_over_;
  }
  home.backend().record();  // the processor's part waits for this, not for what is queued next
}

/// What `on` has of the block's experts and shared experts: added to the residual where that is on the same
/// device and nothing is to be kept aside, or else on.part.
void Forward::run_part(const Block& block, State& on, bool aside) {
  const bool adds = !aside && on.slot() == block.route->slot;
  const TensorView<float> normed = on.normed.rows(0, n_token_);
  const TensorView<float> out = (adds ? on.x : on.part).rows(0, n_token_);
  Routing routing{on.routing.ids.rows(0, n_token_), on.routing.weights.rows(0, n_token_),
                  on.routing.n_active.first(static_cast<size_t>(n_token_))};
  if (!adds) {
    on.backend().zero(reinterpret_cast<std::byte*>(out.data()),
                      static_cast<size_t>(n_token_ * out.n_cols()) * sizeof(float));
  }
  for (const auto& part : block.experts) {
    if (part.slot == on.slot()) on.run(part.op, {.x = normed, .routing = routing, .out = out}, context());
  }
  if (block.shared && block.shared->slot == on.slot()) {
    on.run(block.shared->op, {.x = normed, .out = out}, context());
  }
}

/// Adds a device's part to the residual.
void Forward::add_part(State& from) {
  State& to = state(residual_);
  if (&from != &to) {
    from.backend().record();
    hand_over(from, to, from.part, to.part, n_token_);
    if (to.backend().host_visible()) from.backend().wait();
    ++n_hand_over_;
  }
  to.backend().add(to.x.data(), to.part.data(), n_token_ * to.x.n_cols());
}

/// Routes, and starts the experts. `aside`: the residual goes on without what they give.
void Forward::begin_moe(const Block& block, int moe_layer, bool aside, ForwardProbe* probe) {
  move_residual(block.route->slot);
  State& home = state(block.route->slot);
  Routing routing{home.routing.ids.rows(0, n_token_), home.routing.weights.rows(0, n_token_),
                  home.routing.n_active.first(static_cast<size_t>(n_token_))};
  home.run(block.route->op,
           {.batch = home.batch(),
            .x = home.x.rows(0, n_token_),
            .normed = home.normed.rows(0, n_token_),
            .logits = home.router_logits.rows(0, n_token_),
            .routing = routing},
           context());
  if (probe) show_routing(home, moe_layer, *probe);
  send_routing(block, home);
  // GPUs first: their work is only queued here, and goes on beside the processor's.
  const auto is_queued = [](State& s) { return s.backend().queue() != nullptr; };
  if (is_queued(home)) run_part(block, home, aside);
  for (const int slot : block.away) {
    if (is_queued(state(slot))) run_part(block, state(slot), aside);
  }
  if (!is_queued(home)) run_part(block, home, aside);
}

/// Runs what is not queued yet, and adds all parts to the residual: the one at hand, the router's device,
/// then in the order of their slots.
void Forward::end_moe(const Block& block, bool aside) {
  State& home = state(block.route->slot);
  for (const int slot : block.away) {
    if (state(slot).backend().queue()) continue;
    home.backend().wait_recorded();
    run_part(block, state(slot), aside);
  }
  const auto here = std::ranges::find(block.away, residual_);
  if (aside && here != block.away.end()) add_part(state(residual_));  // first: others arrive in its place
  if (aside) add_part(home);
  for (const int slot : block.away) {
    if (!aside || slot != residual_) add_part(state(slot));
  }
}

void Forward::run_dense(const Block& block) {
  move_residual(block.dense->slot);
  State& on = state(block.dense->slot);
  const TensorView<float> x = on.x.rows(0, n_token_);
  on.run(block.dense->op, {.x = block.dense->op.desc.norm ? x : on.normed.rows(0, n_token_), .out = x},
         context());
}

void Forward::show_routing(State& home, int moe_layer, ForwardProbe& probe) {
  const int64_t n = n_token_, n_router = home.router_logits.n_cols(), k = home.routing.ids.n_cols();
  Routing seen{home.routing.ids.rows(0, n), home.routing.weights.rows(0, n),
               home.routing.n_active.first(static_cast<size_t>(n))};
  TensorView<float> logits = home.router_logits.rows(0, n);
  if (!home.backend().host_visible()) {
    seen_floats_.resize(static_cast<size_t>(n * (n_router + k)));
    seen_ints_.resize(static_cast<size_t>(n * (k + 1)));
    float* weights = seen_floats_.data() + n * n_router;
    int32_t* n_active = seen_ints_.data() + n * k;
    const auto see = [&](auto* to, const auto* from, int64_t n_element) {
      home.backend().copy_out(to, reinterpret_cast<const std::byte*>(from),
                              static_cast<size_t>(n_element) * sizeof *to);
    };
    see(seen_floats_.data(), logits.data(), n * n_router);
    see(weights, seen.weights.data(), n * k);
    see(seen_ints_.data(), seen.ids.data(), n * k);
    see(n_active, seen.n_active.data(), n);
    home.backend().wait();
    logits = TensorView<float>(seen_floats_.data(), n, n_router);
    seen = {TensorView<int32_t>(seen_ints_.data(), n, k),
            TensorView<float>(weights, n, k),
            {n_active, static_cast<size_t>(n)}};
  }
  probe.on_routing(moe_layer, logits, seen);
}

/// Calls `show` with the residual where the processor sees it.
template <class Show>
void Forward::show_hidden(Show&& show) {
  State& at = state(residual_);
  if (at.backend().host_visible()) return show(at.x.rows(0, n_token_));
  const int64_t n_element = n_token_ * at.x.n_cols();
  seen_floats_.resize(static_cast<size_t>(n_element));
  at.backend().copy_out(seen_floats_.data(), reinterpret_cast<const std::byte*>(at.x.data()),
                        static_cast<size_t>(n_element) * sizeof(float));
  at.backend().wait();
  show(TensorView<const float>(seen_floats_.data(), n_token_, at.x.n_cols()));
}

void Forward::run_attention(const Block& block, int group, const KvLayerView& kv) {
  move_residual(block.attention_slot);
  State& at = state(block.attention_slot);
  const TensorView<float> x = at.x.rows(0, n_token_);
  if (block.mla) {
    at.run(block.mla->op, {.batch = at.batch(group), .kv = kv, .x = x}, context());
  } else {
    at.run(block.attention->op, {.batch = at.batch(group), .kv = kv, .x = x}, context());
  }
}

/// The steps of one layer, whose first block is `first`.
void Forward::run_layer(int layer, int& moe_layer, const Cache& cache, ForwardProbe* probe) {
  const int per_layer = model_.hparams().blocks_per_layer;
  int part = -1;
  const Block* begun = nullptr;  // whose experts' output is kept aside
  for (const Step step : model_.arch().layer) {
    if (step == Step::Attn && ++part > 0 && probe)
      show_hidden([&](TensorView<const float> x) { probe->on_part_hidden(layer, part - 1, x); });
    const int b = layer * per_layer + part;
    const Block& block = blocks_[static_cast<size_t>(b)];
    if (step == Step::Attn) {
      run_attention(block, cache.plan().group_of(b), cache.layer(b));
    } else if (step == Step::MoeEnd) {
      end_moe(*begun, true);
    } else if (step == Step::MoeBegin) {
      begin_moe(*(begun = &block), moe_layer++, true, probe);
    } else if (step == Step::Moe && block.route) {
      begin_moe(block, moe_layer++, false, probe);
      end_moe(block, false);
    } else {
      run_dense(block);
    }
  }
  if (probe) show_hidden([&](TensorView<const float> x) { probe->on_hidden(layer, x); });
}

void Forward::run_layers(const Cache& cache, ForwardProbe* probe) {
  residual_ = embed_.slot;
  State& first = state(embed_.slot);
  first.run(embed_.op, {.batch = first.batch(), .out = first.x.rows(0, n_token_)}, context());
  int moe_layer = 0;
  for (int layer = 0; layer < model_.hparams().n_layer; ++layer) run_layer(layer, moe_layer, cache, probe);
}

void Forward::run(std::span<const BatchToken> tokens, std::span<const SequenceCache* const> sequences,
                  const Cache& cache, ForwardProbe* probe) {
  for (State& s : states_) s.backend().wait();  // nobody reads the last batch any more
  fill_batch(tokens, sequences, cache);
  if (n_token_ == 0) return;
  stage();
  for (State& s : states_) {
    if (!s.needs.used) continue;
    s.upload_policies();
    s.send();
  }
  run_layers(cache, probe);
  model_.file().check_unchanged();
}

/// Logits of the staged rows, to the processor.
void Forward::queue_head(int64_t n_row) {
  State& at = state(head_.slot);
  at.send_rows();
  at.run(head_.op,
         {.x = at.x.rows(0, n_token_),
          .rows = at.rows(),
          .normed = at.final_norm.rows(0, n_row),
          .logits = at.logits.rows(0, n_row)},
         context());
  if (at.backend().host_visible()) return;
  at.backend().copy_out(host_logits_.data(), reinterpret_cast<const std::byte*>(at.logits.data()),
                        static_cast<size_t>(n_row * at.logits.n_cols()) * sizeof(float));
}

TensorView<const float> Forward::host_logits(int64_t n_row) {
  State& at = state(head_.slot);
  if (at.backend().host_visible()) return at.logits.rows(0, n_row);
  at.backend().wait();
  return TensorView<const float>(host_logits_.as<float>(), n_row, at.logits.n_cols());
}

TensorView<const float> Forward::logits(std::span<const int32_t> rows) {
  SW_ASSERT(std::ssize(rows) <= options_.n_logit_row);
  for (const int32_t row : rows) SW_ASSERT(row >= 0 && row < n_token_);
  for (State& s : states_) s.backend().wait();
  n_logit_row_ = std::ssize(rows);
  move_residual(head_.slot);
  state(head_.slot).stage_rows(rows);
  queue_head(n_logit_row_);
  model_.file().check_unchanged();
  return host_logits(n_logit_row_);
}

/// A step that is one recording: everything on one GPU, and a token and a row of logits for each sequence.
bool Forward::can_replay(size_t n_token, size_t n_seq, size_t n_row, const Cache& cache) const {
  return placed_->placement().all_on(head_.slot) && devices()[static_cast<size_t>(head_.slot)]->queue() &&
         n_token > 0 && n_token == n_seq && n_token == n_row && n_token < Backend::kMaxRecordings &&
         n_row <= static_cast<size_t>(options_.n_logit_row) &&
         (!recorded_cache_ || recorded_cache_ == cache.layer(0).k);
}

TensorView<const float> Forward::step(std::span<const BatchToken> tokens,
                                      std::span<const SequenceCache* const> sequences, const Cache& cache,
                                      std::span<const int32_t> rows, ForwardProbe* probe) {
  if (probe || !can_replay(tokens.size(), sequences.size(), rows.size(), cache)) {
    run(tokens, sequences, cache, probe);
    return rows.empty() ? TensorView<const float>() : logits(rows);
  }
  State& on = state(head_.slot);
  const size_t slot = tokens.size();
  on.backend().wait();
  fill_batch(tokens, sequences, cache);
  on.upload_policies();
  stage();
  on.stage_rows(rows);
  if (!recorded_[slot]) {
    // The same calls as in run() and logits(), kept instead of done; replayed, they read what was staged.
    const OpCounters before = counters_;
    SW_ASSERT(on.backend().begin_recording());
    on.send();
    run_layers(cache, nullptr);
    queue_head(std::ssize(rows));
    on.backend().end_recording(static_cast<int>(slot));
    recorded_.set(slot);
    recorded_cache_ = cache.layer(0).k;
    recorded_cost_[slot] = counters_ - before;
    counters_ = before;
  }
  on.backend().replay(static_cast<int>(slot));
  counters_ += recorded_cost_[slot];
  residual_ = head_.slot;
  n_logit_row_ = std::ssize(rows);
  model_.file().check_unchanged();
  return host_logits(n_logit_row_);
}

TensorView<const float> Forward::final_norm() {
  State& at = state(head_.slot);
  if (at.backend().host_visible()) return at.final_norm;
  at.backend().copy_out(host_final_norm_.data(), reinterpret_cast<const std::byte*>(at.final_norm.data()),
                        static_cast<size_t>(options_.n_logit_row * at.final_norm.n_cols()) * sizeof(float));
  at.backend().wait();
  return TensorView<const float>(host_final_norm_.as<float>(), options_.n_logit_row, at.final_norm.n_cols());
}

}  // namespace sw
