// SPDX-License-Identifier: MIT
#pragma once
#include <string>
#include <vector>

#include "model/model_view.h"

namespace sw::testing {

/// A model that is hyperparameters and shapes alone: its weights are addresses that nobody reads.
class MadeUpModel : public WeightSource {
 public:
  /// `change` adapts small defaults: 4 layers, the first dense where the family can, 8 experts of which 2.
  explicit MadeUpModel(
      std::string_view architecture, void (*change)(HParams&) = [](HParams&) {}, Type type = Type::F32)
      : arch_(arch_by_name(architecture)), type_(type) {
    HParams& h = hparams_;
    h.n_layer = h.n_block = 4;
    h.n_embd = 64;
    h.n_vocab = 128;
    h.n_ff = 96;
    h.n_ctx_train = 256;
    h.attention = {.n_head = 4, .n_head_kv = 2, .head_dim = 16, .value_dim = 16};
    h.rope.n_rot = 16;
    h.moe = {.n_expert = 8, .n_expert_used = 2, .n_ff_expert = 32};
    h.moe.n_layer_dense_lead = 1;
    change(h);
    for (int block = kOfModel; block < h.n_run_block(); ++block)
      items_.push_back(tensors_of(arch_, h, block));
    for (int block = 0; block < h.n_run_block(); ++block) {
      if (block_operations(arch_, h, block).has(Operation::Experts))
        moe_layers_.push_back({block / h.blocks_per_layer, make_router_spec(arch_, h)});
    }
  }

  ModelView view() const { return {arch_, hparams_, moe_layers_, *this}; }
  const HParams& hparams() const { return hparams_; }

  WeightView weight(Role role, int block) const override {
    for (const TensorItem& t : tensors(block)) {
      if (t.role == role && !t.optional) return {type_, t.shape, address(role, block), {}};
    }
    return {};
  }
  WeightView expert(Role role, int block, int e) const override { return weight(role, block).expert(e); }
  size_t size_bytes(Role role, int block) const override { return weight(role, block).size_bytes(); }
  const float* vector(Role role, int block) const override {
    return weight(role, block).empty() ? nullptr : reinterpret_cast<const float*>(address(role, block));
  }
  const std::vector<TensorItem>& tensors(int block) const override {
    return items_[static_cast<size_t>(block - kOfModel)];
  }

 private:
  static const std::byte* address(Role role, int block) {
    // An address that differs from all others and is never read. NOLINTNEXTLINE(performance-no-int-to-ptr)
    return reinterpret_cast<const std::byte*>((static_cast<uintptr_t>(block + 2) << 40) +
                                              (static_cast<uintptr_t>(role) << 32) + 256);
  }

  const ArchSpec& arch_;
  Type type_;
  HParams hparams_;
  std::vector<MoeLayer> moe_layers_;
  std::vector<std::vector<TensorItem>> items_;  // the model's, then block by block
};

/// A CPU and `n` further devices that look like GPUs to a compiler, but have the CPU's kernels.
inline std::vector<DeviceFacts> made_up_devices(int n, uint64_t free_bytes = uint64_t{1} << 40) {
  std::vector<DeviceFacts> devices = {{.name = "CPU", .free_bytes = uint64_t{1} << 40}};
  for (int i = 1; i <= n; ++i) {
    devices.push_back(
        {.name = "gpu" + std::to_string(i), .host_visible = false, .queued = true, .free_bytes = free_bytes});
  }
  return devices;
}

}  // namespace sw::testing
