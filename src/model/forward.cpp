// SPDX-License-Identifier: MIT
#include "model/forward.h"

#include <algorithm>
#include <cmath>

#include "model/layer_ops.h"

namespace sw {

CacheSpec Forward::cache_spec(const Model& model, int64_t n_token, Type type, int64_t n_seq) {
  const HParams& h = model.hparams();
  CacheSpec spec{.n_layer = h.n_layer,
                 .n_head_kv = h.attention.n_head_kv,
                 .head_dim = h.attention.head_dim,
                 .type = type,
                 .n_token = n_token};
  spec.n_token = n_seq * spec.n_page() * spec.page_tokens;  // a page belongs to one sequence
  return spec;
}

Forward::Forward(const Model& model, const PolicyTable& policies, const ForwardOptions& options)
    : model_(model), options_(options), n_slot_(policies.experts_max()), pool_(options.n_thread) {
  const HParams& h = model.hparams();
  std::string* why = options.explain ? &explanation_ : nullptr;
  if (!model.moe_layers().empty()) {
    for (int i = 0; i < options.n_thread; ++i) route_scratch_.emplace_back(model.moe_layers().front().router);
  }
  for (int i = 0; i < h.rope.n_rot / 2; ++i) {
    const double exponent = 2.0 * i / h.rope.n_rot;
    inv_freq_.push_back(static_cast<float>(1.0 / std::pow(static_cast<double>(h.rope.freq_base), exponent)));
  }
  bind_layers(policies, why);
  take_buffers();
}

void Forward::bind_layers(const PolicyTable& policies, std::string* why) {
  const BindOptions bind{.limit = isa_limit(), .references = options_.references};
  embed_ = bind_op(embed_desc(model_), bind, why);
  int moe_layer = 0;
  for (int l = 0; l < model_.hparams().n_layer; ++l) {
    std::string* reasons = l == 0 || (moe_layer == 0 && model_.hparams().is_moe_layer(l)) ? why : nullptr;
    Layer layer;
    layer.attention = bind_op(attention_desc(model_, l), bind, reasons);
    if (model_.hparams().is_moe_layer(l)) {
      layer.route = bind_op(route_desc(model_, l, moe_layer++, policies), bind, reasons);
      layer.experts = bind_op(experts_desc(model_, l, n_slot_), bind, reasons);
      if (auto shared = shared_desc(model_, l)) layer.shared = bind_op(*shared, bind, reasons);
    } else {
      layer.dense = bind_op(dense_desc(model_, l), bind, reasons);
    }
    layers_.push_back(layer);
  }
  head_ = bind_op(head_desc(model_), bind, why);
}

template <class T>
TensorView<T> Forward::take(int64_t n_rows, int64_t n_cols) {
  const auto bytes = static_cast<size_t>(n_rows * n_cols) * sizeof(T);
  buffer_bytes_ += bytes;
  if (options_.plan_only) return {};
  return buffers_.emplace_back(bytes).view<T>(n_rows, n_cols);
}

void Forward::take_buffers() {
  const HParams& h = model_.hparams();
  const int64_t n = options_.n_ubatch,
                n_router = model_.moe_layers().empty() ? 0 : model_.moe_layers()[0].router.n_logits();
  ids_ = take<int32_t>(1, n);
  pos_ = take<int32_t>(1, n);
  seq_ = take<int32_t>(1, n);
  policy_ = take<uint16_t>(1, n);
  cos_ = take<float>(n, h.rope.n_rot / 2);
  sin_ = take<float>(n, h.rope.n_rot / 2);
  x_ = take<float>(n, h.n_embd);
  normed_ = take<float>(n, h.n_embd);
  router_logits_ = take<float>(n, n_router);
  final_norm_ = take<float>(options_.n_logit_row, h.n_embd);
  logits_ = take<float>(options_.n_logit_row, h.n_vocab);
  routing_.ids = take<int32_t>(n, n_slot_);
  routing_.weights = take<float>(n, n_slot_);
  routing_.n_active = {take<int32_t>(1, n).data(), static_cast<size_t>(n)};

  size_t scratch_bytes = head_.scratch_bytes(options_.n_logit_row, options_.n_thread);
  const auto needs = [&](const auto& op) {
    scratch_bytes = std::max(scratch_bytes, op.scratch_bytes(n, options_.n_thread));
  };
  needs(embed_);
  for (const Layer& layer : layers_) {
    needs(layer.attention);
    if (layer.route) needs(*layer.route);
    if (layer.experts) needs(*layer.experts);
    if (layer.shared) needs(*layer.shared);
    if (layer.dense) needs(*layer.dense);
  }
  scratch_ = Scratch(take<std::byte>(1, static_cast<int64_t>(scratch_bytes)).data(), scratch_bytes);
}

void Forward::fill_batch(std::span<const BatchToken> tokens) {
  const int64_t n_pair = cos_.n_cols();
  for (size_t i = 0; i < tokens.size(); ++i) {
    const BatchToken& token = tokens[i];
    const auto t = static_cast<int64_t>(i);
    SW_ASSERT(token.id >= 0 && token.id < model_.hparams().n_vocab && token.pos >= 0);
    ids_.at(0, t) = token.id;
    pos_.at(0, t) = token.pos;
    seq_.at(0, t) = token.seq;
    policy_.at(0, t) = token.policy;
    for (int64_t p = 0; p < n_pair; ++p) {
      // The angle is rounded to f32, as the models' original Python does.
      const float angle = static_cast<float>(token.pos) * inv_freq_[static_cast<size_t>(p)];
      cos_.at(t, p) = std::cos(angle);
      sin_.at(t, p) = std::sin(angle);
    }
  }
}

void Forward::run_moe(const Layer& layer, int moe_layer, const TokenBatch& batch, TensorView<float> x,
                      OpContext& context, ForwardProbe* probe) {
  const int64_t n = batch.n_token;
  const TensorView<float> normed = normed_.rows(0, n), logits = router_logits_.rows(0, n);
  Routing routing{routing_.ids.rows(0, n), routing_.weights.rows(0, n),
                  routing_.n_active.first(static_cast<size_t>(n))};
  (*layer.route)({.batch = batch, .x = x, .normed = normed, .logits = logits, .routing = routing}, context);
  if (probe) probe->on_routing(moe_layer, logits, routing);
  (*layer.experts)({.x = normed, .routing = routing, .out = x}, context);
  if (layer.shared) (*layer.shared)({.x = normed, .out = x}, context);
}

void Forward::run(std::span<const BatchToken> tokens, std::span<const int32_t* const> block_tables,
                  const PagedCache& cache, ForwardProbe* probe) {
  n_token_ = static_cast<int64_t>(tokens.size());
  SW_ASSERT(n_token_ <= options_.n_ubatch);
  SW_ASSERT(!options_.plan_only);
  if (n_token_ == 0) return;
  fill_batch(tokens);
  const TokenBatch batch{.n_token = n_token_,
                         .ids = ids_.data(),
                         .pos = pos_.data(),
                         .seq = seq_.data(),
                         .block_tables = block_tables.data(),
                         .policy = policy_.data(),
                         .rope_cos = cos_.data(),
                         .rope_sin = sin_.data()};
  OpContext context{pool_, scratch_, counters_, choose_vector(isa_limit()), route_scratch_};
  const TensorView<float> x = x_.rows(0, n_token_);
  embed_({.batch = batch, .out = x}, context);
  int moe_layer = 0;
  for (size_t l = 0; l < layers_.size(); ++l) {
    const Layer& layer = layers_[l];
    layer.attention({.batch = batch, .kv = cache.layer(static_cast<int>(l)), .x = x}, context);
    if (layer.route) {
      run_moe(layer, moe_layer++, batch, x, context, probe);
    } else {
      (*layer.dense)({.x = x, .out = x}, context);
    }
    if (probe) probe->on_hidden(static_cast<int>(l), x);
  }
  model_.file().check_unchanged();
}

TensorView<const float> Forward::logits(std::span<const int32_t> rows) {
  const auto n = static_cast<int64_t>(rows.size());
  SW_ASSERT(n <= options_.n_logit_row);
  for (const int32_t row : rows) SW_ASSERT(row >= 0 && row < n_token_);
  OpContext context{pool_, scratch_, counters_, choose_vector(isa_limit()), route_scratch_};
  head_({.x = x_.rows(0, n_token_),
         .rows = rows,
         .normed = final_norm_.rows(0, n),
         .logits = logits_.rows(0, n)},
        context);
  model_.file().check_unchanged();
  return logits_.rows(0, n);
}

}  // namespace sw
