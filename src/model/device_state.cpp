// SPDX-License-Identifier: MIT
#include "model/device_state.h"

#include <algorithm>
#include <cstring>

namespace sw {
namespace {

constexpr size_t kAlignment = 256;
constexpr size_t aligned(size_t bytes) { return (bytes + kAlignment - 1) / kAlignment * kAlignment; }

/// Lays arrays out one behind the other, in the staging block and on the device alike.
class Packer {
 public:
  Packer(std::byte* staging, std::byte* device) : staging_(staging), device_(device) {}

  /// Copies `n` elements; returns where they will be on the device.
  template <class T>
  T* put(const T* data, int64_t n) {
    T* to = reinterpret_cast<T*>(device_ + used_);
    std::memcpy(staging_ + used_, data, static_cast<size_t>(n) * sizeof(T));
    used_ += padded(static_cast<size_t>(n) * sizeof(T));
    return to;
  }
  size_t used() const { return used_; }
  static constexpr size_t padded(size_t bytes) { return (bytes + 15) / 16 * 16; }

 private:
  std::byte* staging_;
  std::byte* device_;
  size_t used_ = 0;
};

}  // namespace

template <class T>
T* DeviceState::carve(int64_t n) {
  T* data = base_ ? reinterpret_cast<T*>(base_ + used_) : nullptr;
  used_ += aligned(static_cast<size_t>(n) * sizeof(T));
  return data;
}

template <class T>
TensorView<T> DeviceState::carve(int64_t n_rows, int64_t n_cols) {
  return {carve<T>(n_rows * n_cols), n_rows, n_cols, n_cols, {slot_}};
}

size_t DeviceState::batch_bytes(int64_t n_token, int64_t n_table) const {
  const auto n = static_cast<size_t>(n_token), s = static_cast<size_t>(n_table);
  const auto pad = Packer::padded;
  return 3 * pad(n * sizeof(int32_t)) + pad(n * sizeof(uint16_t)) +
         2 * pad(n * static_cast<size_t>(limits_.n_rot_pair) * sizeof(float)) + pad(s * sizeof(void*)) +
         s * pad(static_cast<size_t>(limits_.n_page) * sizeof(int32_t));
}

void DeviceState::carve_all() {
  const int64_t n = limits_.n_token;
  used_ = 0;
  x = carve<float>(n, limits_.n_embd);
  if (needs.moe) {
    normed = carve<float>(n, limits_.n_embd);
    router_logits = carve<float>(n, limits_.n_router);
    routing.ids = carve<int32_t>(n, limits_.n_slot);
    routing.weights = carve<float>(n, limits_.n_slot);
    routing.n_active = {carve<int32_t>(n), static_cast<size_t>(n)};
  }
  if (needs.part) part = carve<float>(n, limits_.n_embd);
  if (needs.head) {
    final_norm = carve<float>(limits_.n_logit_row, limits_.n_embd);
    logits = carve<float>(limits_.n_logit_row, limits_.n_vocab);
  }
  scratch_ = {carve<std::byte>(static_cast<int64_t>(needs.scratch_bytes)), needs.scratch_bytes};
  if (backend_.host_visible()) return;  // the processor reads the batch where it is
  row_memory_ = carve<int32_t>(limits_.n_logit_row);
  batch_memory_ = carve<std::byte>(static_cast<int64_t>(batch_bytes(n, limits_.n_table)));
  policy_memory_ = carve<LayerPolicy>(static_cast<int64_t>(policies_->rows().size()));
  mask_memory_ = carve<uint32_t>(static_cast<int64_t>(policies_->masks().size()));
}

void DeviceState::take(const BatchLimits& limits, const PolicyTable& policies, bool plan_only, Backend* gpu) {
  limits_ = limits;
  policies_ = &policies;
  if (!needs.used) return;
  carve_all();
  if (plan_only) return;
  if (backend_.host_visible() && gpu) {
    pinned_ = PinnedBuffer(used_, *gpu);
    base_ = pinned_.data();
  } else {
    buffer_ = Buffer(used_, backend_);
    base_ = buffer_.data();
  }
  carve_all();
  policy_rows_ = policies.view();
  if (backend_.host_visible()) return;
  policy_rows_.rows = policy_memory_;
  policy_rows_.masks = mask_memory_;
  staging_ = PinnedBuffer(batch_bytes(limits.n_token, limits.n_table), backend_);
  row_staging_ = PinnedBuffer(static_cast<size_t>(limits.n_logit_row) * sizeof(int32_t), backend_);
}

void DeviceState::stage(const TokenBatch& host, std::span<const int64_t> n_page, int n_group) {
  n_seq_ = std::ssize(n_page);
  if (backend_.host_visible()) {
    batch_ = host;
    return;
  }
  const int64_t n = host.n_token, n_table = n_seq_ * n_group;
  SW_ASSERT(n_table <= limits_.n_table && *std::max_element(n_page.begin(), n_page.end()) <= limits_.n_page);
  Packer packer(staging_.data(), batch_memory_);
  batch_ = {.n_token = n,
            .ids = packer.put(host.ids, n),
            .pos = packer.put(host.pos, n),
            .seq = packer.put(host.seq, n),
            .policy = packer.put(host.policy, n),
            .rope_cos = packer.put(host.rope_cos, n * limits_.n_rot_pair),
            .rope_sin = packer.put(host.rope_sin, n * limits_.n_rot_pair)};
  // The tables' addresses on the device follow from where the first one lies; all have the same room.
  const size_t addresses = Packer::padded(static_cast<size_t>(n_table) * sizeof(void*)),
               room = Packer::padded(static_cast<size_t>(limits_.n_page) * sizeof(int32_t));
  const size_t begin = packer.used() + addresses;
  auto* list = reinterpret_cast<const int32_t**>(staging_.data() + packer.used());
  for (int64_t i = 0; i < n_table; ++i) {
    const size_t at = begin + static_cast<size_t>(i) * room;
    list[i] = reinterpret_cast<const int32_t*>(batch_memory_ + at);
    std::memcpy(staging_.data() + at, host.block_tables[i],
                static_cast<size_t>(n_page[static_cast<size_t>(i % n_seq_)]) * sizeof(int32_t));
  }
  batch_.block_tables = reinterpret_cast<const int32_t* const*>(batch_memory_ + packer.used());
  staged_bytes_ = begin + static_cast<size_t>(n_table) * room;
}

void DeviceState::send() {
  if (!backend_.host_visible()) backend_.copy_in(batch_memory_, staging_.data(), staged_bytes_);
}

void DeviceState::stage_rows(std::span<const int32_t> rows) {
  if (backend_.host_visible()) {
    rows_ = rows;
    return;
  }
  std::copy(rows.begin(), rows.end(), row_staging_.as<int32_t>());
  rows_ = {row_memory_, rows.size()};
}

void DeviceState::send_rows() {
  if (backend_.host_visible()) return;
  backend_.copy_in(reinterpret_cast<std::byte*>(row_memory_), row_staging_.data(), rows_.size_bytes());
}

void DeviceState::upload_policies() {
  if (backend_.host_visible() || policy_version_ == policies_->version()) return;
  const auto rows = policies_->rows();
  const auto masks = policies_->masks();
  backend_.copy_in(reinterpret_cast<std::byte*>(policy_memory_), rows.data(), rows.size_bytes());
  backend_.copy_in(reinterpret_cast<std::byte*>(mask_memory_), masks.data(), masks.size_bytes());
  policy_version_ = policies_->version();
}

}  // namespace sw
