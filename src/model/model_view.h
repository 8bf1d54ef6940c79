// SPDX-License-Identifier: MIT
#pragma once
#include <cstdint>
#include <set>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "arch/spec.h"
#include "arch/tensors.h"
#include "kernels/devices.h"
#include "model/model.h"
#include "quant/weight.h"

/// What place() and compile() read of a model and of its devices. Both are plain data, so that a test can
/// make one up.
namespace sw {

/// Where weights are found. `block` is kOfModel for those of the model as a whole.
class WeightSource {
 public:
  virtual ~WeightSource() = default;
  /// In the host's memory; empty where an optional one is absent.
  virtual WeightView weight(Role role, int block) const = 0;
  /// One routed expert's matrix, of a block that has the role.
  virtual WeightView expert(Role role, int block, int e) const = 0;
  /// Stored bytes of a weight, of all experts together.
  virtual size_t size_bytes(Role role, int block) const = 0;
  /// A norm or a bias as f32; null where absent.
  virtual const float* vector(Role role, int block) const = 0;
  /// What the model or the block may have.
  virtual const std::vector<TensorItem>& tensors(int block) const = 0;
};

struct ModelView {
  const ArchSpec& arch;
  const HParams& hparams;
  std::span<const MoeLayer> moe_layers;
  const WeightSource& weights;
};

/// The weights of a model's file, and which of them were asked for.
class FileWeights : public WeightSource {
 public:
  explicit FileWeights(const Model& model) : model_(model) {}
  WeightView weight(Role role, int block) const override;
  WeightView expert(Role role, int block, int e) const override;
  size_t size_bytes(Role role, int block) const override { return model_.size_bytes(role, block); }
  const float* vector(Role role, int block) const override;
  const std::vector<TensorItem>& tensors(int block) const override { return model_.tensors(block); }
  bool was_read(Role role, int block) const { return read_.contains({role, block}); }

  ModelView view() const { return {model_.arch(), model_.hparams(), model_.moe_layers(), *this}; }

 private:
  const Model& model_;
  mutable std::set<std::pair<Role, int>> read_;
};

struct DeviceFacts {
  std::string name = {};
  DeviceKind kind = DeviceKind::Cpu;
  bool host_visible = true;  ///< the CPU may touch its memory at any time
  bool queued = false;       ///< a call only queues work, which goes on beside the CPU's
  uint64_t free_bytes = 0;
};
/// By device.
std::vector<DeviceFacts> facts_of(const Devices& devices);

}  // namespace sw
