// SPDX-License-Identifier: MIT
#include "model/model_view.h"

namespace sw {

WeightView FileWeights::weight(Role role, int block) const {
  read_.insert({role, block});
  return model_.weight(role, block);
}

WeightView FileWeights::expert(Role role, int block, int e) const {
  read_.insert({role, block});
  return model_.expert(role, block, e);
}

const float* FileWeights::vector(Role role, int block) const {
  read_.insert({role, block});
  return model_.vector(role, block);
}

std::vector<DeviceFacts> facts_of(const Devices& devices) {
  std::vector<DeviceFacts> facts;
  for (const auto& device : devices) {
    facts.push_back({.name = device->info().name,
                     .kind = device->info().kind,
                     .host_visible = device->host_visible(),
                     .queued = device->queue() != nullptr,
                     .free_bytes = device->memory().free_bytes});
  }
  return facts;
}

}  // namespace sw
