// SPDX-License-Identifier: MIT
#include "model/forward.h"

#include <algorithm>
#include <set>

#include "model/layer_ops.h"

/// How a forward pass is bound and its memory taken; forward_run.cpp is what happens in a step.
namespace sw {
namespace {

Placement all_on_processor(const Model& model) { return place(model, {}, {.n_gpu_layers = 0}); }

}  // namespace

CachePlan Forward::cache_plan(const Model& model, int64_t n_token, Type type, int64_t n_seq,
                              int64_t n_ubatch) {
  const HParams& h = model.hparams();
  CachePlan plan{.type = type, .n_seq = n_seq, .n_ahead = n_ubatch};
  CacheGroup whole{.n_head_kv = h.attention.n_head_kv, .head_dim = h.attention.head_dim};
  if (h.mla.any()) {
    whole = {.kind = CacheKind::Latent, .n_head_kv = 1, .head_dim = h.mla.kv_rank + h.rope.n_rot};
  }
  CacheGroup windowed = whole;
  windowed.kind = CacheKind::Window;
  windowed.window = h.attention.window;
  for (int b = 0; b < h.n_run_block(); ++b) (h.window_of(b) > 0 ? windowed : whole).blocks.push_back(b);
  for (CacheGroup* group : {&whole, &windowed}) {
    if (!group->blocks.empty()) plan.groups.push_back(std::move(*group));
  }
  plan.n_token = n_seq * plan.pages_for(n_token) * plan.page_tokens;  // a page belongs to one sequence
  return plan;
}

Cache Forward::make_cache(const CachePlan& plan) const {
  std::vector<DeviceMemory*> memory;
  for (const Block& block : blocks_)
    memory.push_back(devices()[static_cast<size_t>(block.attention_slot)].get());
  return Cache(plan, memory);
}

Forward::Forward(const Model& model, const PolicyTable& policies, const ForwardOptions& options)
    : model_(model),
      placed_(options.placed),
      options_(options),
      n_slot_(policies.experts_max()),
      pool_(options.n_thread),
      vector_(choose_vector(isa_limit())) {
  if (!placed_) {
    own_devices_ = open_devices("none");
    own_placed_ = std::make_unique<PlacedModel>(model, *own_devices_, all_on_processor(model));
    placed_ = own_placed_.get();
  }
  const HParams& h = model.hparams();
  if (options_.n_ctx == 0) options_.n_ctx = std::max(1, h.n_ctx_train);
  if (!model.moe_layers().empty()) {
    for (int i = 0; i < options.n_thread; ++i) route_scratch_.emplace_back(model.moe_layers().front().router);
  }
  rope_ = rope_table(h.rope, model.vector(Role::RopeFreqs));
  for (size_t slot = 0; slot < devices().size(); ++slot) {
    states_.emplace_back(*devices()[slot], static_cast<int>(slot));
  }
  bind_blocks(policies, options.explain ? &explanation_ : nullptr);
  plan_scratch();
  take_buffers(policies);
}

template <class Desc, class Args>
Forward::Placed<Desc, Args> Forward::bind(Desc desc, int slot, std::string* why) {
  State& on = state(slot);
  on.needs.used = true;
  if (why && devices().size() > 1) *why += "on " + on.backend().name() + ": ";
  const BindOptions options{.limit = isa_limit(),
                            .references = options_.references,
                            .row_invariant = options_.invariant,
                            .device = on.backend().kind()};
  return {slot, bind_op(std::move(desc), options, why)};
}

void Forward::bind_attention(Block& block, int b, std::string* why) {
  block.attention_slot = placed_->placement().layers[static_cast<size_t>(b)].attention;
  if (model_.hparams().mla.any()) {
    block.mla = bind<MlaDesc, MlaArgs>(mla_desc(*placed_, b), block.attention_slot, why);
  } else {
    block.attention =
        bind<AttentionDesc, AttentionArgs>(attention_desc(*placed_, b), block.attention_slot, why);
  }
}

void Forward::bind_moe(Block& block, int b, int moe_layer, const PolicyTable& policies, std::string* why) {
  const LayerPlacement& at = placed_->placement().layers[static_cast<size_t>(b)];
  std::set<int> slots;
  block.route = bind<RouteDesc, RouteArgs>(route_desc(*placed_, b, moe_layer, policies), at.ffn, why);
  for (const ExpertsPart& part : placed_->experts(b)) {
    const bool first = block.experts.empty();
    block.experts.push_back(
        bind<ExpertsDesc, ExpertsArgs>(experts_desc(part, first, n_slot_, model_.hparams().moe.swiglu_limit),
                                       part.slot, first ? why : nullptr));
    slots.insert(part.slot);
  }
  if (auto shared = shared_desc(*placed_, b)) {
    block.shared = bind<FfnDesc, FfnArgs>(*shared, at.shared, why);
    slots.insert(at.shared);
  }
  for (const int slot : slots) state(slot).needs.moe = true;
  state(at.ffn).needs.moe = true;
  slots.erase(at.ffn);
  block.away.assign(slots.begin(), slots.end());
  for (const int slot : slots) state(slot).needs.part = state(at.ffn).needs.part = true;
}

void Forward::bind_blocks(const PolicyTable& policies, std::string* why) {
  const Placement& placement = placed_->placement();
  embed_ = bind<EmbedDesc, EmbedArgs>(embed_desc(*placed_), placement.embed, why);
  int b = -1, moe_layer = 0, residual = placement.embed;
  for (int layer = 0; layer < model_.hparams().n_layer; ++layer) {
    for (const Step step : model_.arch().layer) {
      b += step == Step::Attn;
      Block& block = step == Step::Attn ? blocks_.emplace_back() : blocks_.back();
      const bool is_moe = model_.hparams().is_moe_block(b);
      std::string* reasons = b == 0 || (moe_layer == 0 && is_moe) ? why : nullptr;
      const LayerPlacement& at = placement.layers[static_cast<size_t>(b)];
      if (step == Step::MoeEnd) {
        state(residual).needs.part = true;  // what was kept arrives where the residual is
        continue;
      }
      residual = step == Step::Attn ? at.attention : at.ffn;
      if (step == Step::Attn) {
        bind_attention(block, b, reasons);
      } else if (step == Step::Ffn || (step == Step::Moe && !is_moe)) {
        block.dense =
            bind<FfnDesc, FfnArgs>(dense_desc(*placed_, b, block.route.has_value()), at.ffn, reasons);
      } else {
        bind_moe(block, b, moe_layer++, policies, reasons);
        if (step == Step::MoeBegin) state(at.ffn).needs.part = true;
      }
    }
  }
  head_ = bind<HeadDesc, HeadArgs>(head_desc(*placed_), placement.head, why);
  state(placement.head).needs.head = true;
}

template <class Desc, class Args>
void Forward::count_scratch(const Placed<Desc, Args>& placed, int64_t n_row) {
  size_t& most = state(placed.slot).needs.scratch_bytes;
  most = std::max(most, placed.op.scratch_bytes(n_row, options_.n_thread));
}

void Forward::plan_scratch() {
  const int64_t n = options_.n_ubatch;
  count_scratch(embed_, n);
  count_scratch(head_, options_.n_logit_row);
  for (const Block& block : blocks_) {
    if (block.attention) count_scratch(*block.attention, n);
    if (block.mla) count_scratch(*block.mla, n);
    if (block.route) count_scratch(*block.route, n);
    for (const auto& part : block.experts) count_scratch(part, n);
    if (block.shared) count_scratch(*block.shared, n);
    if (block.dense) count_scratch(*block.dense, n);
  }
}

void Forward::take_buffers(const PolicyTable& policies) {
  const HParams& h = model_.hparams();
  const int64_t page = CachePlan{}.page_tokens;
  const BatchLimits limits{
      .n_token = options_.n_ubatch,
      .n_logit_row = options_.n_logit_row,
      .n_table = options_.n_seq * (h.attention.window > 0 ? 2 : 1),
      .n_page = (options_.n_ctx + page - 1) / page,
      .n_embd = h.n_embd,
      .n_vocab = h.n_vocab,
      .n_rot_pair = h.rope.n_rot / 2,
      .n_router = model_.moe_layers().empty() ? 0 : model_.moe_layers()[0].router.n_logits(),
      .n_slot = n_slot_};
  const auto gpu = std::find_if(devices().begin(), devices().end(), [](const auto& d) { return d->queue(); });
  for (State& s : states_) {
    s.take(limits, policies, options_.plan_only, gpu == devices().end() ? nullptr : gpu->get());
  }
  if (options_.plan_only) return;
  for (Block& block : blocks_) {
    if (block.route) block.route->op.desc.rows = state(block.route->slot).policy_rows();
  }
  const auto n = static_cast<size_t>(limits.n_token);
  for (auto* array : {&ids_, &pos_, &seq_}) array->resize(n);
  policy_.resize(n);
  cos_.resize(n * static_cast<size_t>(limits.n_rot_pair));
  sin_.resize(cos_.size());
  tables_.reserve(static_cast<size_t>(limits.n_table));
  n_page_.reserve(static_cast<size_t>(options_.n_seq));
  const State& head = state(head_.slot);
  if (head.backend().host_visible()) return;
  const auto bytes = [&](int64_t n_col) {
    return static_cast<size_t>(limits.n_logit_row * n_col) * sizeof(float);
  };
  host_logits_ = PinnedBuffer(bytes(limits.n_vocab), head.backend());
  host_final_norm_ = PinnedBuffer(bytes(limits.n_embd), head.backend());
}

}  // namespace sw
