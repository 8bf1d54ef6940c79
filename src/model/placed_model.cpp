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
  tables_.clear();
  const auto place_role = [&](const TensorSpec& t, int layer) {
    const int* slot = slot_of(placement_, t.role, layer);
    if (slot) place_weight(t.role, layer, model_.weight(t.role, layer), *slot, pass);
  };
  for (const TensorSpec& t : model_.arch().tensors) {
    if (t.on == On::Model) place_role(t, -1);
  }
  if (model_.weight(Role::Output).empty()) place_tied_head(pass);
  for (int layer = 0; layer < std::ssize(placement_.layers); ++layer) {
    for (const TensorSpec& t : model_.arch().tensors) {
      if (t.on != On::Model && has_tensor(t, model_.hparams(), layer)) place_role(t, layer);
    }
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
  return {.slot = slot,
          .gate = place_stack(Role::ExpertGate, Role::ExpertGateBias, layer, slot, pass),
          .up = place_stack(Role::ExpertUp, Role::ExpertUpBias, layer, slot, pass),
          .down = place_stack(Role::ExpertDown, Role::ExpertDownBias, layer, slot, pass)};
}

/// One matrix of each expert that lives on a device, and what finds them there: the table and, small beside
/// the matrices, the biases of all experts.
ExpertStack PlacedModel::place_stack(Role role, Role bias, int layer, int slot, Pass pass) {
  const std::vector<int>& at = placement_.layers[static_cast<size_t>(layer)].experts;
  const WeightView all = model_.weight(role, layer);
  size_t& bytes = bytes_[static_cast<size_t>(slot)];
  std::vector<WeightView> here(at.size());
  for (size_t e = 0; e < at.size(); ++e) {
    if (at[e] != slot) continue;
    here[e] = all.expert(static_cast<int64_t>(e));
    bytes += here[e].size_bytes();
    here[e].data = put(slot, here[e].data, here[e].size_bytes(), pass);
  }
  std::vector<ExpertMatrix>& table = tables_.emplace_back();  // its memory stays where it is when it is moved
  ExpertStack stack = list_experts(here, table);
  stack.table = reinterpret_cast<const ExpertMatrix*>(
      put(slot, table.data(), table.size() * sizeof(ExpertMatrix), pass));
  if (const float* values = model_.vector(bias, layer)) {
    const size_t size = static_cast<size_t>(stack.n_expert * stack.n_out) * sizeof(float);
    bytes += size;
    stack.bias = reinterpret_cast<const float*>(put(slot, values, size, pass));
  }
  return stack;
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
