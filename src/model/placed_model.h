// SPDX-License-Identifier: MIT
#pragma once
#include <map>
#include <tuple>
#include <vector>

#include "kernels/devices.h"
#include "model/model.h"
#include "model/placement.h"
#include "tensor/buffer.h"

namespace sw {

/// The experts of one layer that live on one device.
struct ExpertsPart {
  int slot = 0;
  ExpertStack gate = {}, up = {}, down = {};
};

/// A model's weights where a placement wants them: the processor's stay in the file's mapping, the others
/// are copied. All device memory for weights is taken in the constructor.
class PlacedModel {
 public:
  /// `upload` false: only counts bytes; views then point into the file and must not be run.
  /// Throws sw::SystemError where a device has too little memory.
  PlacedModel(const Model& model, const Devices& devices, Placement placement, bool upload = true);
  PlacedModel(const PlacedModel&) = delete;
  PlacedModel& operator=(const PlacedModel&) = delete;

  const Model& model() const { return model_; }
  const Devices& devices() const { return devices_; }
  const Placement& placement() const { return placement_; }

  /// On the device of the operation that the role belongs to; empty where an optional one is absent.
  WeightView weight(Role role, int layer = -1) const;
  /// Norms and biases as f32, likewise; null where absent.
  const float* vector(Role role, int layer = -1) const;
  /// By slot, the residual's owner first; empty for a dense layer.
  const std::vector<ExpertsPart>& experts(int layer) const { return experts_[static_cast<size_t>(layer)]; }
  /// Of the weights on a device. What the processor only has mapped counts too.
  size_t weight_bytes(int slot) const { return bytes_[static_cast<size_t>(slot)]; }

 private:
  enum class Pass { Count, Copy };
  struct Away {
    Buffer buffer;
    size_t used = 0;
  };
  void place_all(Pass pass);
  void place_weight(Role role, int layer, WeightView view, int slot, Pass pass);
  void place_tied_head(Pass pass);
  void place_experts(int layer, Pass pass);
  ExpertsPart place_part(int layer, int slot, Pass pass);
  const std::byte* put(int slot, const void* data, size_t size_bytes, Pass pass);
  ExpertStack place_stack(Role role, Role bias, int layer, int slot, Pass pass);

  const Model& model_;
  const Devices& devices_;
  Placement placement_;
  std::vector<Away> away_;     // by slot; the processor's is empty
  std::vector<size_t> bytes_;  // by slot
  std::map<std::pair<Role, int>, WeightView> weights_;
  std::map<std::pair<Role, int>, const float*> vectors_;
  std::vector<std::vector<ExpertsPart>> experts_;
  std::vector<std::vector<ExpertMatrix>> tables_;  // of the stacks; the processor reads these, others a copy
};

}  // namespace sw
