// SPDX-License-Identifier: MIT
#include "model/forward.h"

#include <algorithm>

#include "base/error.h"
#include "model/cache_groups.h"

/// How a forward pass takes its memory; run.cpp is what happens in a step.
namespace sw {
namespace {

/// Tokens of the longest sequence.
int64_t context_of(const HParams& h, const ForwardOptions& options) {
  return options.n_ctx > 0 ? options.n_ctx : std::max(1, h.n_ctx_train);
}

}  // namespace

CachePlan Forward::cache_plan(const Model& model, int64_t n_token, CacheType type, int64_t n_seq,
                              int64_t n_ubatch) {
  return plan_cache(cache_groups(model.arch(), model.hparams()),
                    {.n_token = n_token, .type = type, .n_seq = n_seq, .n_ubatch = n_ubatch});
}

Cache Forward::make_cache(const CachePlan& plan) const {
  std::vector<DeviceMemory*> memory;
  for (const BlockPlacement& block : placed_->placement().blocks)
    memory.push_back(placed_->devices()[static_cast<size_t>(block.attention)].get());
  return Cache(plan, memory);
}

BatchLimits batch_limits(const ModelView& model, const Program& program, const ForwardOptions& options,
                         const PolicySizes& policies) {
  const HParams& h = model.hparams;
  const int64_t n_ctx = context_of(h, options);
  return {.n_token = options.n_ubatch,
          .n_logit_row = options.n_logit_row,
          .n_seq = options.n_seq,
          .n_page = CachePlan{}.pages_for(n_ctx),
          .n_group = program.n_cache_group,
          .n_policy_row = policies.n_row,
          .n_mask_word = policies.n_mask_word,
          .n_embd = program.n_embd,
          .n_vocab = program.n_vocab,
          .n_rot_pair = std::ssize(program.rope.inv_freq),
          .n_router = program.n_router,
          .n_slot = program.n_slot,
          .counted = options.count_routing ? model.moe_layers : std::span<const MoeLayer>{}};
}

Forward::Forward(const Model& model, const PolicyTable& policies, const ForwardOptions& options)
    : model_(model),
      own_placed_(options.placed ? nullptr
                                 : PlacedModel::on_cpu(model, options.program(policies.experts_max()),
                                                       options.n_thread)),
      placed_(options.placed ? options.placed : own_placed_.get()),
      options_(options),
      pool_(options.n_thread),
      vector_(choose_vector(isa_limit())),
      exchange_(states_),
      batch_(program().rope_of(context_of(model.hparams(), options)), options.n_ubatch, options.n_seq,
             program().n_cache_group) {
  SW_ASSERT(placed_->options().serves(options.program(policies.experts_max())));
  if (!model.moe_layers().empty()) {
    for (int i = 0; i < options.n_thread; ++i) route_scratch_.emplace_back(model.moe_layers().front().router);
  }
  take_buffers(policies);
}

void Forward::take_buffers(const PolicyTable& policies) {
  const Devices& devices = placed_->devices();
  BatchLimits limits = batch_limits(FileWeights(model_).view(), program(), options_,
                                    PolicyTable::sizes(model_.moe_layers(), policies.capacity()));
  const std::vector<DeviceNeeds> needs = needs_of(
      program(), static_cast<int>(devices.size()),
      {.n_token = options_.n_ubatch, .n_logit_row = options_.n_logit_row, .n_thread = options_.n_thread});
  // A pass under way on each device, and one more that the host puts together.
  limits.n_staged = 1 + static_cast<int>(std::ranges::count_if(needs, &DeviceNeeds::used));
  const auto gpu = std::find_if(devices.begin(), devices.end(), [](const auto& d) { return d->queue(); });
  for (size_t d = 0; d < devices.size(); ++d) {
    states_.emplace_back(*devices[d], static_cast<int>(d), needs[d], limits, policies, batch_,
                         gpu == devices.end() ? nullptr : gpu->get());
  }
  Backend& head = head_state().backend();
  std::vector<Backend*> others;
  for (const DeviceState& s : states_) {
    if (!s.is_used()) continue;
    cpu_takes_part_ |= s.backend().host_visible();
    if (&s.backend() != &head) others.push_back(&s.backend());
  }
  bool direct = true;
  for_each_send(program(), [&](const program::Send& send) {
    direct &=
        devices[static_cast<size_t>(send.to)]->open_way(*devices[static_cast<size_t>(send.from)]).empty();
  });
  if (direct) recordings_ = head.make_recordings(others);
  if (head.host_visible()) return;
  const auto bytes = [&](int64_t n_col) {
    return static_cast<size_t>(limits.n_logit_row * n_col) * sizeof(float);
  };
  host_logits_ = PinnedBuffer(bytes(limits.n_vocab), head);
  host_final_norm_ = PinnedBuffer(bytes(limits.n_embd), head);
}

/// Passes that nobody waited for still read from memory that goes now.
Forward::~Forward() {
  try {
    wait_for_all();
  } catch (
      const SystemError&) {  // NOLINT(bugprone-empty-catch): the GPU has failed and reads nothing any more
  }
}

std::vector<double> Forward::measure_read_limits() {
  std::vector<double> limits;
  for (const DeviceState& s : states_)
    limits.push_back(s.is_used() ? s.backend().measure_read_limit(pool_) : 0);
  return limits;
}

RoutingStats Forward::routing_stats() {
  SW_ASSERT(options_.count_routing);
  std::vector<LayerStats> layers;
  for (const Instruction& instruction : program().layers) {
    const auto* route = std::get_if<program::Route>(&instruction);
    if (route) layers.push_back(state(route->device).read_counts(route->op.desc.moe_layer));
  }
  return RoutingStats(model_.moe_layers(), std::move(layers));
}

void Forward::reset_routing_stats() {
  SW_ASSERT(options_.count_routing);
  for (DeviceState& s : states_) s.reset_counts();
}

}  // namespace sw
