// SPDX-License-Identifier: MIT
#pragma once
#include <memory>
#include <string>

#include "model/memory_plan.h"
#include "model/placed_model.h"
#include "runtime/notes.h"

namespace sw {

struct DeviceOptions {
  std::string devices = {};  ///< as open_devices() takes them: "" for all, "none" for the CPU alone
  PlacementOptions placement = {};
  PeerAccess peer_access = PeerAccess::Allowed;
};

/// Opens the devices of a run and tells which GPU is left out and why. Throws sw::Error.
Devices open_devices_of(const DeviceOptions& options, const Notes& notes);

/// A model's weights on the devices of a run. All that this room knows of how `model` plans and places is
/// here.
class PlacedRun {
 public:
  /// Plans, tells what goes where (nothing on a machine without GPUs), copies weights. Borrows the model.
  /// Throws sw::Error, and sw::SystemError where the model does not fit.
  PlacedRun(const Model& model, Devices devices, const PlacementOptions& options, const PlanInput& input,
            const Notes& notes);
  PlacedRun(const PlacedRun&) = delete;
  PlacedRun& operator=(const PlacedRun&) = delete;

  const PlacedModel& placed() const { return *placed_; }

 private:
  Devices devices_;
  std::unique_ptr<PlacedModel> placed_;
};

/// The options for a forward pass over these weights, as they were really placed.
ForwardOptions on_placed(ForwardOptions options, const PlacedModel& placed);
/// The options with n_thread 0 as one per core.
ForwardOptions with_threads(ForwardOptions options);

}  // namespace sw
