// SPDX-License-Identifier: MIT
#pragma once
#include <memory>
#include <vector>

#include "model/compile.h"
#include "model/model.h"
#include "tensor/buffer.h"

namespace sw {

/// The program of a model under a placement, its weights still in the file. Throws as compile(), and where no
/// operation reads a weight of the model.
Program compile(const Model& model, const Devices& devices, const Placement& placement,
                const ProgramOptions& options);

/// Bytes of the weights that a device's operations read.
struct WeightBytes {
  size_t as_stored = 0;  ///< on the CPU mapped from the file, not taken
  size_t packed = 0;     ///< in memory of their own, as a kernel packs them

  size_t all() const { return as_stored + packed; }
};
/// By device; `n_device` of them.
std::vector<WeightBytes> weight_bytes(const Program& program, int n_device);

/// A model on its devices: its program, and the weights where and as the program's kernels read them. The
/// CPU's stay in the file's mapping unless a kernel packs them; other devices get copies. All memory for
/// weights is taken in the constructor.
class PlacedModel {
 public:
  /// `model` and `devices` must outlive this. `n_thread` pack. Throws sw::SystemError where a device has too
  /// little memory.
  PlacedModel(const Model& model, const Devices& devices, Placement placement,
              const ProgramOptions& options = {}, int n_thread = 1);
  /// All on the CPU.
  static std::unique_ptr<PlacedModel> on_cpu(const Model& model, const ProgramOptions& options = {},
                                             int n_thread = 1);
  PlacedModel(const PlacedModel&) = delete;
  PlacedModel& operator=(const PlacedModel&) = delete;

  const Model& model() const { return model_; }
  const Devices& devices() const { return devices_; }
  const Placement& placement() const { return placement_; }
  const ProgramOptions& options() const { return options_; }
  const Program& program() const { return program_; }
  const WeightBytes& weight_bytes(int device) const { return bytes_[static_cast<size_t>(device)]; }

 private:
  const Model& model_;
  std::unique_ptr<const Devices> own_devices_;  // where the caller brought none
  const Devices& devices_;
  Placement placement_;
  ProgramOptions options_;
  Program program_;
  std::vector<WeightBytes> bytes_;  // by device
  std::vector<Buffer> buffers_;     // by device; the CPU's holds what is packed
};

}  // namespace sw
