// SPDX-License-Identifier: MIT
#include "model/placed_model.h"

#include <algorithm>
#include <set>

namespace sw {
namespace {

constexpr size_t kAlignment = 256;

}  // namespace

PlacedModel::PlacedModel(const Model& model, const Devices& devices, Placement placement, bool upload)
    : model_(model),
      devices_(devices),
      placement_(std::move(placement)),
      away_(devices.size()),
      bytes_(devices.size(), 0),
      experts_(placement_.layers.size()) {
  place_all(Pass::Count);
  if (!upload) return;
  for (size_t slot = 1; slot < devices.size(); ++slot) {
    away_[slot].buffer = Buffer(std::exchange(away_[slot].used, 0), *devices[slot]);
  }
  place_all(Pass::Copy);
  for (const auto& device : devices) device->wait();
}

void PlacedModel::place_all(Pass pass) {
  std::fill(bytes_.begin(), bytes_.end(), 0);
  maps_.clear();
  const auto place_block = [&](int block) {
    for (const TensorItem& t : model_.tensors(block)) {
      const int* slot = slot_of(placement_, t.role, block);
      if (slot) place_weight(t.role, block, model_.weight(t.role, block), *slot, pass);
    }
  };
  place_block(kOfModel);
  if (model_.weight(Role::Output).empty()) place_tied_head(pass);
  for (int layer = 0; layer < std::ssize(placement_.layers); ++layer) {
    place_block(layer);
    if (!placement_.layers[static_cast<size_t>(layer)].experts.empty()) place_experts(layer, pass);
  }
}

/// Copies `data` behind what the device's buffer holds already; the processor's stays where it is.
const std::byte* PlacedModel::put(int slot, const void* data, size_t size_bytes, Pass pass) {
  const auto* host = static_cast<const std::byte*>(data);
  if (slot == 0) return host;
  Away& away = away_[static_cast<size_t>(slot)];
  const size_t at = away.used;
  away.used += (size_bytes + kAlignment - 1) / kAlignment * kAlignment;
  if (pass == Pass::Count) return host;
  std::byte* to = away.buffer.data() + at;
  devices_[static_cast<size_t>(slot)]->copy_in(to, host, size_bytes);
  return to;
}

/// A head without a matrix of its own reads the embedding's table: the same one where both are on one device.
void PlacedModel::place_tied_head(Pass pass) {
  if (placement_.head == placement_.embed) {
    weights_[{Role::Output, -1}] = weights_[{Role::TokenEmbd, -1}];
  } else {
    place_weight(Role::Output, -1, model_.weight(Role::TokenEmbd), placement_.head, pass);
  }
}

void PlacedModel::place_weight(Role role, int layer, WeightView view, int slot, Pass pass) {
  if (view.empty()) return;
  const bool is_vector = view.shape.n_dims() == 1;
  const size_t size =
      is_vector ? static_cast<size_t>(view.shape.n_elements()) * sizeof(float) : view.size_bytes();
  bytes_[static_cast<size_t>(slot)] += size;
  if (is_vector) {
    vectors_[{role, layer}] =
        reinterpret_cast<const float*>(put(slot, model_.vector(role, layer), size, pass));
  } else {
    view.data = put(slot, view.data, size, pass);
    view.device = {slot};
    weights_[{role, layer}] = view;
  }
}

void PlacedModel::place_experts(int layer, Pass pass) {
  const LayerPlacement& at = placement_.layers[static_cast<size_t>(layer)];
  std::set<int> slots(at.experts.begin(), at.experts.end());
  std::vector<ExpertsPart>& parts = experts_[static_cast<size_t>(layer)];
  parts.clear();
  if (slots.erase(at.ffn) > 0) parts.push_back(place_part(layer, at.ffn, pass));
  for (const int slot : slots) parts.push_back(place_part(layer, slot, pass));
}

ExpertsPart PlacedModel::place_part(int layer, int slot, Pass pass) {
  const std::vector<int>& at = placement_.layers[static_cast<size_t>(layer)].experts;
  std::vector<int32_t> ids, local(at.size(), -1);
  for (size_t e = 0; e < at.size(); ++e) {
    if (at[e] != slot) continue;
    // The processor's experts stay in the file's stack, at their own places.
    local[e] = static_cast<int32_t>(slot == 0 ? e : ids.size());
    ids.push_back(static_cast<int32_t>(e));
  }
  ExpertsPart part{.slot = slot,
                   .gate = put_experts(model_.weight(Role::ExpertGate, layer), ids, slot, pass),
                   .up = put_experts(model_.weight(Role::ExpertUp, layer), ids, slot, pass),
                   .down = put_experts(model_.weight(Role::ExpertDown, layer), ids, slot, pass),
                   .gate_bias = put_expert_bias(Role::ExpertGateBias, layer, ids, slot, pass),
                   .up_bias = put_expert_bias(Role::ExpertUpBias, layer, ids, slot, pass),
                   .down_bias = put_expert_bias(Role::ExpertDownBias, layer, ids, slot, pass)};
  if (ids.size() < at.size()) {
    maps_.push_back(std::move(local));  // a vector's memory stays where it is when it is moved
    const std::byte* map = put(slot, maps_.back().data(), at.size() * sizeof(int32_t), pass);
    part.local = {reinterpret_cast<const int32_t*>(map), at.size()};
  }
  return part;
}

/// Biases go as stacks of matrices of one row.
const float* PlacedModel::put_expert_bias(Role role, int layer, const std::vector<int32_t>& ids, int slot,
                                          Pass pass) {
  const WeightView bias = model_.weight(role, layer);
  if (bias.empty()) return nullptr;
  const auto* values = reinterpret_cast<const std::byte*>(model_.vector(role, layer));
  const WeightView rows{Type::F32, {bias.shape[0], 1, bias.shape[1]}, values, {}};
  return reinterpret_cast<const float*>(put_experts(rows, ids, slot, pass).data);
}

WeightView PlacedModel::put_experts(const WeightView& all, const std::vector<int32_t>& ids, int slot,
                                    Pass pass) {
  const size_t one = all.expert(0).size_bytes(), n = ids.size();
  bytes_[static_cast<size_t>(slot)] += one * n;
  if (slot == 0 || n == static_cast<size_t>(all.shape[0])) {
    WeightView view = all;
    view.data = put(slot, all.data, all.size_bytes(), pass);
    view.device = {slot};
    return view;
  }
  // Neighbours in the stack, each put behind the one before: together one stack again.
  WeightView view{all.type, {static_cast<int64_t>(n), all.shape[1], all.shape[2]}, all.data, {slot}};
  Away& away = away_[static_cast<size_t>(slot)];
  const size_t begin = away.used;
  if (pass == Pass::Copy) view.data = away.buffer.data() + begin;
  for (size_t i = 0; pass == Pass::Copy && i < n; ++i) {
    devices_[static_cast<size_t>(slot)]->copy_in(away.buffer.data() + begin + i * one,
                                                 all.expert(ids[i]).data, one);
  }
  away.used += (one * n + kAlignment - 1) / kAlignment * kAlignment;
  return view;
}

WeightView PlacedModel::weight(Role role, int layer) const {
  const auto at = weights_.find({role, layer});
  return at == weights_.end() ? WeightView{} : at->second;
}

const float* PlacedModel::vector(Role role, int layer) const {
  const auto at = vectors_.find({role, layer});
  return at == vectors_.end() ? nullptr : at->second;
}

}  // namespace sw
