// SPDX-License-Identifier: MIT
#pragma once
#include <vector>

#include "model/device_state.h"
#include "router/routing.h"
#include "tensor/view.h"

namespace sw {

/// Sees what happens inside a forward pass. Views are the CPU's and valid during the call. A pass with a
/// probe is never replayed from a recording, and waits for a GPU wherever something is shown: counts of the
/// routing alone come without one (ForwardOptions::count_routing).
class ForwardProbe {
 public:
  virtual ~ForwardProbe() = default;
  /// After decoder layer `layer` (as the Hugging Face config counts): the residual [n_token, n_embd].
  virtual void on_hidden(int /*layer*/, TensorView<const float> /*hidden*/) {}
  /// Where a layer is several blocks: the residual after block `part` of it, the last one left out.
  virtual void on_part_hidden(int /*layer*/, int /*part*/, TensorView<const float> /*hidden*/) {}
  /// A router's output. moe_layer counts MoE layers from 0.
  virtual void on_routing(int /*moe_layer*/, TensorView<const float> /*logits*/, const Routing& /*routing*/) {
  }
};

/// Brings what a probe looks at to the CPU. Allocates where the device's memory cannot be seen.
class ProbeView {
 public:
  /// The residual [n_token, n_embd].
  TensorView<const float> hidden(DeviceState& at, int64_t n_token);
  struct Routed {
    TensorView<const float> logits;
    Routing routing;
  };
  Routed routing(DeviceState& at, int64_t n_token);

 private:
  std::vector<float> floats_;
  std::vector<int32_t> ints_;
};

}  // namespace sw
