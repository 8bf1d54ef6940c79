// SPDX-License-Identifier: MIT
#include "model/device_arrays.h"

#include "model/staged_batch.h"

namespace sw {
namespace {

constexpr size_t kAlignment = 256;

/// Lays arrays out one behind the other; without memory it only counts.
class Carver {
 public:
  Carver(std::byte* memory, int device) : memory_(memory), device_(device) {}

  template <class T>
  T* take(int64_t n) {
    T* data = memory_ ? reinterpret_cast<T*>(memory_ + used_) : nullptr;
    used_ += (static_cast<size_t>(n) * sizeof(T) + kAlignment - 1) / kAlignment * kAlignment;
    return data;
  }
  template <class T>
  TensorView<T> matrix(int64_t n_rows, int64_t n_cols) {
    return {take<T>(n_rows * n_cols), n_rows, n_cols, n_cols, {device_}};
  }
  std::span<std::byte> bytes(size_t n) { return {take<std::byte>(static_cast<int64_t>(n)), n}; }
  size_t used() const { return used_; }

 private:
  std::byte* memory_;
  int device_;
  size_t used_ = 0;
};

}  // namespace

DeviceArrays::DeviceArrays(const DeviceNeeds& needs, const BatchLimits& limits, int device, bool host_visible,
                           std::byte* memory) {
  if (!needs.used) return;
  const int64_t n = limits.n_token;
  Carver carver(memory, device);
  residual = carver.matrix<float>(n, limits.n_embd);
  if (needs.routed) {
    normed = carver.matrix<float>(n, limits.n_embd);
    router_logits = carver.matrix<float>(n, limits.n_router);
    routing.ids = carver.matrix<int32_t>(n, limits.n_slot);
    routing.weights = carver.matrix<float>(n, limits.n_slot);
    routing.n_active = {carver.take<int32_t>(n), static_cast<size_t>(n)};
    counts = carver.bytes(counts_offset(limits, static_cast<int>(limits.counted.size())));
  }
  if (needs.part) part = carver.matrix<float>(n, limits.n_embd);
  if (needs.head) {
    final_norm = carver.matrix<float>(limits.n_logit_row, limits.n_embd);
    logits = carver.matrix<float>(limits.n_logit_row, limits.n_vocab);
  }
  scratch = {carver.bytes(needs.scratch_bytes).data(), needs.scratch_bytes};
  if (!host_visible) {
    rows = carver.take<int32_t>(limits.n_logit_row);
    batch = carver.bytes(staged_bytes(limits));
    policies = carver.take<LayerPolicy>(limits.n_policy_row);
    masks = carver.take<uint32_t>(limits.n_mask_word);
  }
  size_bytes = carver.used();
}

size_t counts_offset(const BatchLimits& limits, int moe_layer) {
  size_t offset = 0;
  for (const MoeLayer& layer : limits.counted.first(static_cast<size_t>(moe_layer)))
    offset += count_bytes(layer.router, limits.n_slot);
  return offset;
}

}  // namespace sw
