// SPDX-License-Identifier: MIT
#pragma once
#include "model/forward.h"
#include "router/stats.h"

namespace sw {

/// Counts every routing decision of the passes that it watches, on the CPU: what the counts that devices keep
/// are compared with.
class StatsProbe : public ForwardProbe {
 public:
  StatsProbe(const Model& model, int experts_max) : stats_(model.moe_layers(), experts_max) {}
  void on_routing(int moe_layer, TensorView<const float>, const Routing& routing) override {
    stats_.add(moe_layer, routing);
  }
  const RoutingStats& stats() const { return stats_; }

 private:
  RoutingStats stats_;
};

}  // namespace sw
