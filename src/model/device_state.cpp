// SPDX-License-Identifier: MIT
#include "model/device_state.h"

#include <vector>

namespace sw {

DeviceState::DeviceState(Backend& backend, int device, const DeviceNeeds& needs, const BatchLimits& limits,
                         const PolicyTable& policies, const HostBatch& host, Backend* gpu)
    : backend_(backend),
      limits_(limits),
      policies_(policies),
      host_(host),
      arrays_(needs, limits, device, backend.host_visible()) {
  if (!is_used()) return;
  const size_t size_bytes = arrays_.size_bytes;
  if (backend.host_visible() && gpu) {
    pinned_ = PinnedBuffer(size_bytes, *gpu);
  } else {
    buffer_ = Buffer(size_bytes, backend);
  }
  arrays_ = DeviceArrays(needs, limits, device, backend.host_visible(),
                         buffer_.data() ? buffer_.data() : pinned_.data());
  if (!backend.host_visible()) staged_.emplace(backend, limits, arrays_.batch, arrays_.rows);
}

void DeviceState::stage(StageAs as) {
  if (!staged_) return;
  upload_policies();
  staged_->stage(host_, as);
}

void DeviceState::send() {
  if (staged_) staged_->send();
}

void DeviceState::stage_rows(std::span<const int32_t> rows) {
  if (staged_) {
    staged_->stage_rows(rows);
  } else {
    rows_ = rows;
  }
}

void DeviceState::send_rows() {
  if (staged_) staged_->send_rows();
}

PolicyRows DeviceState::policies() const {
  PolicyRows view = policies_.view();
  if (staged_) {
    view.rows = arrays_.policies;
    view.masks = arrays_.masks;
  }
  return view;
}

void DeviceState::upload_policies() {
  if (policy_version_ == policies_.version()) return;
  const auto rows = policies_.rows();
  const auto masks = policies_.masks();
  backend_.copy_in(reinterpret_cast<std::byte*>(arrays_.policies), rows.data(), rows.size_bytes());
  backend_.copy_in(reinterpret_cast<std::byte*>(arrays_.masks), masks.data(), masks.size_bytes());
  policy_version_ = policies_.version();
}

RouteCounts DeviceState::counts(int moe_layer) const {
  if (limits_.counted.empty()) return {};
  const RouterSpec& router = limits_.counted[static_cast<size_t>(moe_layer)].router;
  return counts_in(arrays_.counts.data() + counts_offset(limits_, moe_layer), router, limits_.n_slot);
}

LayerStats DeviceState::read_counts(int moe_layer) {
  const MoeLayer& layer = limits_.counted[static_cast<size_t>(moe_layer)];
  std::vector<std::byte> copy(count_bytes(layer.router, limits_.n_slot));
  backend_.wait();
  backend_.copy_out(copy.data(), arrays_.counts.data() + counts_offset(limits_, moe_layer), copy.size());
  backend_.wait();
  return sw::read_counts(copy.data(), layer, limits_.n_slot);
}

void DeviceState::reset_counts() {
  if (!arrays_.counts.empty()) backend_.zero(arrays_.counts.data(), arrays_.counts.size());
}

}  // namespace sw
